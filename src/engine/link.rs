//! Bringing a stream up, noticing when it is dead, ending it, trying again.
//!
//! Every end of a stream goes through [`Machine::end_stream`]; what it means is
//! decided in [`ending`](super::ending), and what outlives it in
//! [`session`](super::session).

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use core::time::Duration;

use super::ending::{Class, class, may_resume, stream_condition};
use super::machine::{Machine, Then};
use crate::config::{ChannelBinding, Security};
use crate::cx::Purpose;
use crate::event::{Event, OfflineCause, PeerMisbehaved, Retry, TransportFailure};
use crate::ns;
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::stanza::presence;
use crate::stream::{self, Channel, Negotiation, Setting, Step};
use crate::time::{Instant, Timer, TimerKey};
use crate::xml::{Frame, XmlError};

/// How the engine stands with its server.
#[derive(Debug)]
pub(super) enum Link {
    /// No transport is wanted, now or ever.
    Resting,
    /// A transport is wanted.
    Connecting,
    /// The stream is being set up.
    Negotiating(Box<Negotiation>),
    /// The stream is up.
    Online,
    /// We closed our side and wait for the server to close its.
    Parting,
    /// The stream is over; what is left to write is written, then the transport closed.
    Draining,
    /// The engine has ended.
    Closed,
}

impl Link {
    /// Whether there is a stream to take input.
    pub(super) const fn has_stream(&self) -> bool {
        matches!(self, Self::Negotiating(_) | Self::Online | Self::Parting)
    }

    pub(super) const fn reads(&self) -> bool {
        match self {
            Self::Negotiating(negotiation) => !negotiation.awaits_tls(),
            _ => self.has_stream(),
        }
    }

    pub(super) const fn writes(&self) -> bool {
        self.has_stream() || matches!(self, Self::Draining)
    }
}

impl Machine {
    /// Asks the host for a transport.
    pub(super) fn connect(&mut self) {
        self.core.cx().disarm(Timer::Close, 0);
        self.core.out.reset();
        self.attempts = self.attempts.saturating_add(1);
        self.link = Link::Connecting;
        let after = self.core.config.timing.connect;
        self.core.cx().arm(Timer::Connect, 0, after);
    }

    /// A transport is open. Says whether it was wanted.
    pub(super) fn transport_opened(&mut self, security: Security) -> bool {
        if !matches!(self.link, Link::Connecting) {
            return false;
        }
        let channel = match security {
            Security::Clear { loopback } => Channel::Clear { loopback },
            Security::Tls(binding) => Channel::Tls(binding),
        };
        self.core.cx().disarm(Timer::Connect, 0);
        let login = self.core.config.timing.login;
        self.core.cx().arm(Timer::Login, 0, login);
        self.arm_step();
        let negotiation = self.with_setting(|cx, setting| Negotiation::start(cx, setting, channel));
        self.link = Link::Negotiating(Box::new(negotiation));
        true
    }

    /// TLS stands. Says whether it was wanted.
    pub(super) fn tls_established(&mut self, binding: ChannelBinding) -> bool {
        if !matches!(self.link, Link::Negotiating(_)) {
            return false;
        }
        let mut link = core::mem::replace(&mut self.link, Link::Resting);
        let wanted = match &mut link {
            Link::Negotiating(negotiation) => {
                self.with_setting(|cx, setting| negotiation.tls_established(cx, setting, binding))
            }
            _ => false,
        };
        self.link = link;
        if wanted {
            self.arm_step();
        }
        wanted
    }

    pub(super) fn transport_failed(&mut self, why: TransportFailure) {
        match self.link {
            Link::Connecting | Link::Negotiating(_) | Link::Online => {
                self.end_stream(OfflineCause::Transport(why), Ending::Dead);
            }
            Link::Parting | Link::Draining => self.transport_gone(),
            Link::Resting | Link::Closed => {}
        }
    }

    pub(super) fn eof(&mut self) {
        match self.link {
            Link::Negotiating(_) | Link::Online => {
                self.end_stream(OfflineCause::PeerClosed, Ending::Dead);
            }
            Link::Parting | Link::Draining => self.transport_gone(),
            Link::Connecting | Link::Resting | Link::Closed => {}
        }
    }

    /// The transport of a stream that had ended is closed.
    fn transport_gone(&mut self) {
        self.core.cx().disarm(Timer::Close, 0);
        self.core.out.reset();
        self.link = Link::Resting;
        self.finish();
    }

    /// Ends the engine, if that was asked for.
    fn finish(&mut self) {
        if self.closing {
            self.link = Link::Closed;
            self.core.cx().tell(Event::Closed);
        }
    }

    pub(super) fn xml_refused(&mut self, error: XmlError) {
        if matches!(self.link, Link::Parting) {
            return self.drain();
        }
        self.end_stream(OfflineCause::Xml(error), Ending::Ours);
    }

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

    pub(super) fn misbehaved(&mut self, what: PeerMisbehaved) {
        self.end_stream(OfflineCause::PeerMisbehaved(what), Ending::Ours);
    }

    /// Takes a frame, whatever the state.
    pub(super) fn on_frame(&mut self, frame: Frame<'_>) -> Then {
        match core::mem::replace(&mut self.link, Link::Resting) {
            Link::Negotiating(negotiation) => self.negotiate(negotiation, frame),
            Link::Online => {
                self.link = Link::Online;
                match frame {
                    Frame::Stanza(element) if element.is("error", ns::STREAM) => {
                        self.end_stream(stream::stream_error(element), Ending::Theirs);
                    }
                    Frame::Stanza(element) => self.on_stanza(element),
                    Frame::Open(_) => self.misbehaved(PeerMisbehaved::WrongStreamHeader),
                    Frame::Close => self.end_stream(OfflineCause::PeerClosed, Ending::Theirs),
                }
                Then::Continue
            }
            Link::Parting => {
                self.link = Link::Parting;
                if matches!(frame, Frame::Close) {
                    self.drain();
                }
                Then::Continue
            }
            other => {
                self.link = other;
                Then::Continue
            }
        }
    }

    fn negotiate(&mut self, negotiation: Box<Negotiation>, frame: Frame<'_>) -> Then {
        let next = self.with_setting(|cx, setting| negotiation.on_frame(cx, setting, frame));
        self.negotiated(next)
    }

    /// Does what follows from a step of the negotiation.
    pub(super) fn negotiated(&mut self, next: Result<(Negotiation, Step), OfflineCause>) -> Then {
        let (negotiation, step) = match next {
            Ok(next) => next,
            Err(cause) => {
                let ending = match cause {
                    OfflineCause::PeerClosed | OfflineCause::StreamError { .. } => Ending::Theirs,
                    _ => Ending::Ours,
                };
                self.end_stream(cause, ending);
                return Then::Continue;
            }
        };
        self.link = Link::Negotiating(Box::new(negotiation));
        if !matches!(step, Step::Wait) {
            self.arm_step();
        }
        match step {
            Step::Continue | Step::Wait | Step::StartTls => Then::Continue,
            Step::Work => {
                // The time we take to compute is not the server's silence.
                self.core.cx().disarm(Timer::Negotiation, 0);
                self.core.cx().arm(Timer::Work, 0, Duration::ZERO);
                Then::Continue
            }
            Step::LoggedIn(keys) => {
                self.keys = keys.or(self.keys.take());
                Then::Restart
            }
            Step::Online(jid, login) => {
                self.online(jid, login);
                Then::Continue
            }
            Step::Resumed(h, login) => {
                self.resumed(h, login);
                Then::Continue
            }
            Step::NotResumed(h) => self.not_resumed(h),
        }
    }

    /// Bytes came while the host was to set up TLS: RFC 6120 section 5.4.3.3
    /// makes the server wait for our first byte of TLS, so somebody else sent
    /// them (CVE-2011-0411).
    pub(super) fn injected(&mut self) -> bool {
        if let Link::Negotiating(negotiation) = &self.link
            && negotiation.awaits_tls()
        {
            self.end_stream(
                OfflineCause::PeerMisbehaved(PeerMisbehaved::DataAfterProceed),
                Ending::Dead,
            );
            return true;
        }
        false
    }

    /// One slice of key derivation.
    pub(super) fn work(&mut self) {
        let rounds = self.core.config.limits.scram_iterations_per_call;
        let Link::Negotiating(negotiation) = &mut self.link else {
            return;
        };
        if matches!(negotiation.work(&mut self.core.cx(), rounds), Step::Work) {
            self.core.cx().arm(Timer::Work, 0, Duration::ZERO);
        } else {
            self.arm_step();
        }
    }

    /// When the server is to be asked for a sign of life: when it was silent for
    /// long, or when we were for half of what it bears. XEP-0478 v0.2.0 section 3:
    /// `<idle-seconds/>` is about traffic "from the initiating entity".
    pub(super) fn keepalive_due(&self) -> Instant {
        let heard = self.last_heard.plus(self.core.config.timing.keepalive);
        match self.login.idle_seconds {
            Some(seconds) if seconds > 0 => {
                let bears = Duration::from_secs(seconds / 2).max(Duration::from_secs(5));
                heard.min(self.last_sent.plus(bears))
            }
            _ => heard,
        }
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
        // XEP-0198 section 8: to request acknowledgements "in lieu of a whitespace
        // keepalive or XMPP ping" costs no more, and tells more.
        if self.management.ask(&mut self.core.cx()) {
            let pause = self.core.config.timing.keepalive;
            let reply = self.core.config.timing.keepalive_reply;
            let after = pause.saturating_add(reply);
            return self.core.cx().arm(Timer::Keepalive, 0, after);
        }
        let domain = self.core.config.account.domain().to_owned();
        let mut cx = self.core.cx();
        cx.request(Kind::Get, Some(&domain), Purpose::Keepalive, |w| {
            w.start("ping").attr("xmlns", ns::PING).end();
        });
        let reply = cx.timing.keepalive_reply;
        cx.arm(Timer::KeepaliveReply, 0, reply);
        cx.arm(
            Timer::Keepalive,
            0,
            cx.timing.keepalive.saturating_add(reply),
        );
    }

    pub(super) fn silent_for_too_long(&mut self, why: Timer) {
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

    pub(super) fn reconnect(&mut self) {
        // What is left of an ended stream is let go: the host sees a new attempt.
        if matches!(self.link, Link::Resting | Link::Draining) && !self.closing {
            self.failures = 0;
            self.core.cx().disarm(Timer::Reconnect, 0);
            self.connect();
        }
    }

    pub(super) fn close(&mut self) {
        if core::mem::replace(&mut self.closing, true) {
            return;
        }
        match self.link {
            Link::Online => {
                self.core.out.stanza(presence::write_final);
                self.management.take_leave(&mut self.core.cx());
                self.end_stream(OfflineCause::Closed, Ending::Ours);
            }
            Link::Negotiating(_) => self.end_stream(OfflineCause::Closed, Ending::Ours),
            Link::Connecting => self.end_stream(OfflineCause::Closed, Ending::Dead),
            Link::Resting => {
                self.core.cx().disarm(Timer::Reconnect, 0);
                self.session_over(Retry::Never, None);
                self.finish();
            }
            Link::Parting | Link::Draining => {
                self.core.cx().disarm(Timer::Reconnect, 0);
                self.session_over(Retry::Never, None);
            }
            Link::Closed => {}
        }
    }

    /// Ends the stream, or the attempt at one: the one place where that happens.
    pub(super) fn end_stream(&mut self, cause: OfflineCause, ending: Ending) {
        let condition = stream_condition(&cause);
        let class = class(&cause);
        let awaits_tls =
            matches!(&self.link, Link::Negotiating(negotiation) if negotiation.awaits_tls());
        for timer in [
            Timer::Ack,
            Timer::Connect,
            Timer::Negotiation,
            Timer::Login,
            Timer::Keepalive,
            Timer::KeepaliveReply,
            Timer::Stable,
            Timer::Work,
        ] {
            self.core.cx().disarm(timer, 0);
        }
        let retry = if self.closing {
            Retry::Never
        } else {
            self.backoff(class)
        };
        let times = 1 + usize::from(planted(Bug::OfflineTwice));
        for _ in usize::from(planted(Bug::OfflineUntold))..times {
            let cause = cause.clone();
            self.core.cx().tell(Event::Offline { cause, retry });
        }
        self.suspect_posts(&cause);
        let writable = ending != Ending::Dead && !awaits_tls;
        if retry == Retry::Never || !may_resume(&cause) || !self.suspend() {
            // What is written and not yet sent will be, if the transport lives on.
            let all = writable && !self.management.is_suspended();
            self.session_over(retry, all.then_some(u64::MAX));
        }
        if !writable {
            self.core.out.reset();
            // Somebody may still hold the transport; it is let go with the next
            // state the host is told of.
            self.link = Link::Resting;
            return self.finish();
        }
        let detail = match cause {
            OfflineCause::PeerMisbehaved(what) => Some(what),
            _ => None,
        };
        stream::write_end(&mut self.core.cx(), condition, detail);
        let patience = self.core.config.timing.close;
        self.core.cx().arm(Timer::Close, 0, patience);
        self.link = if cause == OfflineCause::Closed {
            Link::Parting
        } else {
            Link::Draining
        };
    }

    /// The server closed its side as well, or takes too long to.
    pub(super) fn drain(&mut self) {
        match self.link {
            Link::Parting => {
                let patience = self.core.config.timing.close;
                self.core.cx().arm(Timer::Close, 0, patience);
                self.link = Link::Draining;
            }
            // The host takes too long to close it.
            Link::Draining => self.transport_gone(),
            _ => {}
        }
    }

    /// Decides on the next attempt, and arms it: full jitter below a ceiling that
    /// doubles until a stream has been stable.
    fn backoff(&mut self, class: Class) -> Retry {
        let timing = &self.core.config.timing;
        let (min, max) = match class {
            Class::Attention if planted(Bug::NeverIgnored) => {
                (timing.backoff_min, timing.backoff_max)
            }
            Class::Attention => return Retry::Never,
            Class::Transient => (timing.backoff_min, timing.backoff_max),
            Class::Slow => (
                timing.backoff_max / 2,
                timing.backoff_max.saturating_mul(10),
            ),
        };
        let ceiling = min.saturating_mul(1 << self.failures.min(16)).min(max);
        self.failures = self.failures.saturating_add(1);
        let pause = self.core.cx().ids.jitter(ceiling);
        let pause = if class == Class::Slow {
            pause.saturating_add(min)
        } else {
            pause
        };
        let pause = if planted(Bug::NoBackoff) {
            Duration::ZERO
        } else {
            pause
        };
        self.core.cx().arm(Timer::Reconnect, 0, pause);
        Retry::At(self.core.now.plus(pause))
    }

    fn arm_step(&mut self) {
        let after = self.core.config.timing.negotiation;
        self.core.cx().arm(Timer::Negotiation, 0, after);
    }

    pub(super) fn with_setting<T>(
        &mut self,
        f: impl FnOnce(&mut crate::cx::Cx<'_>, &Setting<'_>) -> T,
    ) -> T {
        let (mut cx, config) = self.core.split();
        let setting = Setting {
            config,
            resource: &self.resource,
            keys: self.keys.as_deref(),
            resume: self.management.resume(),
        };
        f(&mut cx, &setting)
    }
}

/// How a stream ends, as far as it decides what can still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The transport is gone, or never was.
    Dead,
    /// The peer ended the stream.
    Theirs,
    /// We end it.
    Ours,
}
