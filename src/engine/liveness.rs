//! Noticing that a stream is dead, or soon will be: silence, white space without end,
//! a peer that does not read (RFC 6120, section 4.6; XEP-0199; XEP-0478).
//!
//! It accuses nobody while we refuse to read: the timers see to that.

use alloc::borrow::ToOwned as _;
use core::time::Duration;

use super::ending::Ending;
use super::link::Link;
use super::machine::Machine;
use crate::cx::{Purpose, Question};
use crate::event::{OfflineCause, PeerMisbehaved};
use crate::ns;
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, TimerKey};

impl Machine {
    /// White space came, `bytes` of it since the last frame.
    pub(super) fn idle(&mut self, bytes: usize) {
        let limit = self.core.config.limits.xml.idle_bytes_before_login;
        if matches!(self.link, Link::Negotiating(_)) && bytes > limit {
            self.misbehaved(PeerMisbehaved::IdleFlood);
        }
    }

    /// How many bytes may be read before [`Self::idle`] has to look, `bytes` of
    /// white space having come since the last frame: at least one.
    pub(super) const fn idle_allowance(&self, bytes: usize) -> usize {
        let limit = self.core.config.limits.xml.idle_bytes_before_login;
        match self.link {
            Link::Negotiating(_) => limit.saturating_sub(bytes).saturating_add(1),
            _ => usize::MAX,
        }
    }

    /// When the server is to be asked for a sign of life: when it was silent for
    /// long, or when we were for half of what it bears. XEP-0478 v0.2.0 section 3:
    /// `<idle-seconds/>` is about traffic "from the initiating entity".
    pub(super) fn keepalive_due(&self) -> Instant {
        let heard = self.last_heard.plus(self.core.config.timing.keepalive);
        match self.bears_silence() {
            Some(bears) => heard.min(self.last_sent.plus(bears)),
            None => heard,
        }
    }

    /// How long we may be silent, if the server said so: half of what it bears.
    fn bears_silence(&self) -> Option<Duration> {
        let seconds = self.login.idle_seconds.filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds / 2).max(Duration::from_secs(5)))
    }

    /// Looks again after so long, or when we were silent for as long as the server bears.
    fn keepalive_after(&mut self, pause: Duration) {
        let now = self.core.now;
        let at = now.plus(pause);
        let at = self.bears_silence().map_or(at, |bears| {
            let silent = self.last_sent.plus(bears);
            at.min(if silent > now {
                silent
            } else {
                now.plus(bears)
            })
        });
        let timer = TimerKey::single(Timer::Keepalive);
        self.core.timers.arm(timer, at);
    }

    /// The server may have been silent for long enough to be asked.
    pub(super) fn keepalive(&mut self) {
        if !matches!(self.link, Link::Online) || planted(Bug::NoKeepalive) {
            return;
        }
        let due = self.keepalive_due();
        if due > self.core.now {
            // Something was heard since; the timer is moved only now, so that
            // hearing costs nothing.
            self.core
                .timers
                .arm(TimerKey::single(Timer::Keepalive), due);
            return;
        }
        if self
            .core
            .timers
            .is_armed(TimerKey::single(Timer::KeepaliveReply))
        {
            // It was asked, and has its time. Asked once more it would have it once more; but that
            // we are silent for so long it may not bear.
            let silent = self.bears_silence().map(|bears| self.last_sent.plus(bears));
            let is_due = silent.is_some_and(|due| due <= self.core.now);
            if is_due && self.core.out.waiting().is_empty() {
                self.core.out.white_space();
            }
            return self.keepalive_after(self.core.config.timing.keepalive);
        }
        // XEP-0198 section 8: to request acknowledgements "in lieu of a whitespace
        // keepalive or XMPP ping" costs no more, and tells more.
        if self.management.ask(&mut self.core.cx()) {
            let pause = self.core.config.timing.keepalive;
            let reply = self.core.config.timing.keepalive_reply;
            return self.keepalive_after(pause.saturating_add(reply));
        }
        let domain = self.core.config.account.domain().to_owned();
        let mut cx = self.core.cx();
        cx.request(Kind::Get, Some(&domain), Purpose::Keepalive, |w| {
            w.start("ping").attr("xmlns", ns::PING).end();
        });
        let ping = Question::written(cx.out);
        let reply = cx.timing.keepalive_reply;
        cx.arm(Timer::KeepaliveReply, 0, reply);
        let pause = cx.timing.keepalive;
        self.ping = ping;
        self.keepalive_after(pause.saturating_add(reply));
    }

    /// The transport took something, and with that our ping maybe, or more of what is before it.
    pub(super) fn ping_on_its_way(&mut self) {
        let unanswered = TimerKey::single(Timer::KeepaliveReply);
        if self.ping.moved(&self.core.out) && self.core.timers.is_armed(unanswered) {
            let mut cx = self.core.cx();
            let reply = cx.timing.keepalive_reply;
            cx.arm(Timer::KeepaliveReply, 0, reply);
        }
    }

    pub(super) fn silent_for_too_long(&mut self, why: Timer) {
        let unanswered = matches!(why, Timer::Ack | Timer::KeepaliveReply);
        if unanswered && matches!(self.link, Link::Online) && self.login.resumed {
            self.management.unanswered();
        }
        let ending = match self.link {
            Link::Connecting => Ending::Dead,
            // Who does not read will not read our farewell either.
            Link::Negotiating(_) | Link::Online if why == Timer::Write => Ending::Dead,
            // XEP-0198 section 7: "If the stream is not cleanly closed then the server
            // SHOULD consider the stream to be unfinished": only so it can be resumed.
            Link::Negotiating(_) | Link::Online if self.management.resumable() => Ending::Dead,
            Link::Negotiating(_) | Link::Online => Ending::Ours,
            _ => return,
        };
        self.end_stream(OfflineCause::TimedOut(why), ending);
    }
}
