//! Asking a silent room whether we are still in it (XEP-0410 v1.1.0).
//!
//! A room that lost us, over a link between servers or a restart, says nothing: it
//! only falls silent. So after a silence it is asked, by a ping (XEP-0199) to our
//! own occupant; what is heard of the room meanwhile postpones that. A post that
//! comes back asks as well, and a post of ours that is not heard for some seconds. What the answers mean is for [`policy`](super::policy)
//! to say.
//!
//! It does not: prove that nothing was missed before ("it can not ensure that a
//! client remains joined to a room without any interruptions"), which is for the
//! archive to show; or tell the host of a room that cannot be reached.

use core::time::Duration;

use super::policy::{Verdict, verdict};
use super::{Room, RoomOutput};
use crate::cx::{Cx, Purpose};
use crate::error::Condition;
use crate::event::{LeaveCause, RequestError};
use crate::ids::Label;
use crate::ns;
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, TimerKey, part};

/// However short the configured silence, nobody is asked more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// The pause before a question that says whether an answer is to be believed.
const SOON: Duration = Duration::from_secs(1);

/// The first pause after a question that nobody answered.
const AGAIN: Duration = Duration::from_secs(30);

/// So many answers in a row that nobody can make sense of are taken for "any other
/// error", which they are.
const ODD: u8 = 3;

/// A post comes back at once from a room that we are in. If it does not for so long, and
/// nothing else is heard, the room is asked, long before the post's deadline.
const ECHO: Duration = Duration::from_secs(10);

/// What we know of being in the room.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    /// When something was heard that only an occupant hears.
    heard: Instant,
    /// The question without an answer: one at a time.
    asked: Option<u64>,
    /// There is a reason to ask, silence or not.
    pressing: bool,
    /// Questions in a row that nobody answered.
    unanswered: u32,
    /// Answers in a row that nobody can make sense of.
    odd: u8,
    /// It was said that nobody has our nick, and no other was seen since.
    nickless: bool,
    /// A self-ping said that we were out, and we came back: is it right?
    probation: bool,
    /// How often it was not.
    distrust: u32,
    /// A post was refused as a stranger's, and none of ours was accepted since.
    refused: bool,
}

impl Room {
    /// We are in: from now on it is watched whether we stay so.
    pub(super) fn watch(&mut self, cx: &mut Cx<'_>) {
        let vigil = &mut self.vigil;
        vigil.heard = cx.now;
        vigil.unanswered = 0;
        vigil.odd = 0;
        vigil.nickless = false;
        vigil.pressing = vigil.probation;
        if vigil.pressing {
            self.ask_in(cx, SOON, SOON);
        } else {
            self.rest(cx);
        }
    }

    /// Nobody watches any more: we are out.
    pub(super) fn unwatch(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::SelfPing, self.owner());
        cx.forget(self.vigil.asked.take());
    }

    /// The room said something that it says to occupants only.
    pub(super) const fn heard_of(&mut self, now: Instant) {
        self.vigil.heard = now;
    }

    /// We did not listen for a while: that was not the room's silence.
    pub(crate) fn deaf_for(&mut self, time: Duration) {
        self.vigil.heard = self.vigil.heard.plus(time);
    }

    /// We go by another nick now: the room knows us.
    pub(super) const fn renamed(&mut self) {
        self.vigil.nickless = false;
    }

    /// A post of ours was accepted.
    pub(super) const fn accepted(&mut self) {
        self.vigil.refused = false;
    }

    /// A post of ours was refused.
    pub(super) fn post_refused(&mut self, cx: &mut Cx<'_>, condition: Condition) -> RoomOutput {
        if !self.is_in() {
            return RoomOutput::Nothing;
        }
        match condition {
            // XEP-0045 section 7.4: "If the sender is not an occupant of the room, the
            // service SHOULD return a <not-acceptable/> error". There are rooms that
            // say so about what they do not like; once bitten, we ask.
            Condition::NotAcceptable if !self.vigil.refused => {
                self.vigil.refused = true;
                return self.dropped(cx);
            }
            // The way to the room is broken, or there is no such room.
            Condition::NotAcceptable
            | Condition::Gone
            | Condition::ItemNotFound
            | Condition::RecipientUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout => {
                self.vigil.pressing = true;
                if self.vigil.asked.is_none() {
                    self.self_ping(cx);
                }
            }
            _ => {}
        }
        RoomOutput::Nothing
    }

    /// When the room is to be asked because a post was not heard, and nothing else since.
    fn echo_due(&self, cx: &Cx<'_>) -> Option<Instant> {
        if cx.timing.self_ping == Duration::MAX {
            return None;
        }
        let sent = self.outbox.awaits_since(self.vigil.heard)?;
        Some(sent.plus(ECHO))
    }

    /// Posts were sent, perhaps: they should be heard before long.
    pub(super) fn expect_echo(&self, cx: &mut Cx<'_>) {
        let Some(due) = self.echo_due(cx).filter(|_| self.vigil.asked.is_none()) else {
            return;
        };
        let due = due.max(cx.now.plus(SOON));
        let key = TimerKey::of(Timer::SelfPing, self.owner());
        if cx.timers.armed_for(key).is_none_or(|armed| armed > due) {
            cx.timers.arm(key, due);
        }
    }

    /// The room may have been silent for long enough to be asked.
    pub(crate) fn self_ping(&mut self, cx: &mut Cx<'_>) {
        if !self.is_in() || self.vigil.asked.is_some() {
            return;
        }
        let silence = self.silence(cx);
        let due = self.vigil.heard.plus(silence);
        let unheard = self.echo_due(cx).is_some_and(|due| due <= cx.now);
        if due > cx.now && !self.vigil.pressing && unheard && !cx.out.waiting().is_empty() {
            // The transport is slow: the post may not have left yet.
            return cx.arm(Timer::SelfPing, self.owner(), ECHO);
        }
        if due > cx.now && !self.vigil.pressing && !unheard {
            // Something was heard since; the timer is moved only now, so that
            // hearing costs nothing.
            self.ask_in(cx, due.since(cx.now), part(silence, 4));
            return self.expect_echo(cx);
        }
        if cx.out.waiting().len() >= cx.limits.write_bytes || cx.out.is_full() {
            return self.ask_in(cx, SOON, AGAIN);
        }
        let occupant = alloc::format!("{}/{}", self.jid, self.current);
        let purpose = Purpose::SelfPing(self.id);
        let serial = cx.request(Kind::Get, Some(&occupant), purpose, |w| {
            w.start("ping").attr("xmlns", ns::PING).end();
        });
        self.vigil.asked = Some(serial);
        cx.disarm(Timer::SelfPing, self.owner());
    }

    /// The self-ping was answered, or not in time.
    pub(crate) fn pinged(
        &mut self,
        cx: &mut Cx<'_>,
        serial: u64,
        answer: &Result<(), RequestError>,
    ) -> RoomOutput {
        if self.vigil.asked != Some(serial) {
            return RoomOutput::Nothing;
        }
        self.vigil.asked = None;
        let out = match verdict(answer) {
            Verdict::In => {
                self.vigil.probation = false;
                self.vigil.distrust = 0;
                self.outbox.prove_inside(cx, u64::MAX);
                self.settled(cx);
                false
            }
            Verdict::Unknown => {
                self.vigil.unanswered = self.vigil.unanswered.saturating_add(1);
                let doublings = self.vigil.unanswered.min(16).saturating_sub(1);
                let pause = AGAIN.saturating_mul(1 << doublings).min(self.silence(cx));
                self.ask_in(cx, part(pause, 2), part(pause, 2));
                false
            }
            // XEP-0410 section 3 takes this for a nick that "just changed", which we
            // should have been told of. Prosody 0.12 and ejabberd 23.01 say it as
            // well of a room that is no more. So it is believed once for each nick.
            Verdict::Renamed if !core::mem::replace(&mut self.vigil.nickless, true) => {
                self.vigil.pressing = true;
                self.ask_in(cx, SOON, SOON);
                false
            }
            Verdict::Odd if self.vigil.odd.saturating_add(1) < ODD => {
                self.vigil.odd = self.vigil.odd.saturating_add(1);
                self.ask_in(cx, part(AGAIN, 2), part(AGAIN, 2));
                false
            }
            Verdict::Renamed | Verdict::Odd | Verdict::Out => true,
        };
        if !out {
            return RoomOutput::Nothing;
        }
        if core::mem::take(&mut self.vigil.probation) {
            // It said so before, and let us in, and says it again: there are rooms that
            // do not let occupants be asked (`not-allowed`). Such a room is asked more
            // seldom, and not left each time.
            self.vigil.distrust = self.vigil.distrust.saturating_add(1);
            self.settled(cx);
            return RoomOutput::Nothing;
        }
        self.vigil.probation = true;
        self.vigil.refused = false;
        self.dropped(cx)
    }

    /// "The client is probably not joined any more. It should perform a re-join."
    fn dropped(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        let pause = self.pause(cx);
        self.step_out(cx, LeaveCause::Dropped, pause)
    }

    /// The question is settled for now.
    fn settled(&mut self, cx: &mut Cx<'_>) {
        let vigil = &mut self.vigil;
        vigil.pressing = false;
        vigil.unanswered = 0;
        vigil.odd = 0;
        vigil.nickless = false;
        vigil.heard = cx.now;
        if planted(Bug::PingWithoutPause) {
            vigil.pressing = true;
            return self.ask_in(cx, SOON, SOON);
        }
        self.rest(cx);
    }

    /// Asks after the next silence.
    fn rest(&self, cx: &mut Cx<'_>) {
        let silence = self.silence(cx);
        self.ask_in(cx, silence, part(silence, 4));
    }

    /// Asks after `least`, and up to `more` later: drawn, so that not all rooms, and
    /// not all clients of one that restarted, are heard at once.
    fn ask_in(&self, cx: &mut Cx<'_>, least: Duration, more: Duration) {
        let more = cx.ids.jitter_for(Label::SelfPing, more);
        cx.arm(Timer::SelfPing, self.owner(), least.saturating_add(more));
    }

    /// How long the room may be silent before it is asked.
    fn silence(&self, cx: &Cx<'_>) -> Duration {
        let silence = cx.timing.self_ping.max(SHORTEST);
        silence.saturating_mul(1 << self.vigil.distrust.min(6))
    }
}
