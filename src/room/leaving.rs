//! Getting out of a room: of our own will, with the session, or by the room's,
//! for a while or for good (XEP-0045 v1.35.5, sections 7.14, 8.2, 9.1, 10.9 and 11).
//!
//! Whether we come back is for [`policy`](super::policy) to say, and done in
//! [`joining`](super::joining).

use alloc::format;
use core::time::Duration;

use super::{Room, RoomOutput, Standing};
use crate::cx::{Cx, Purpose};
use crate::error::StanzaError;
use crate::event::{JoinFailure, LeaveCause, NotSent, Retry, RoomEvent};
use crate::muc;
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, TimerKey};

/// What a room was told and has not answered: that we go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Partings {
    times: u32,
    /// When it was told so last.
    at: Instant,
}

impl Partings {
    pub(super) fn add(&mut self, now: Instant, times: u32) {
        self.times = self.times.saturating_add(times);
        self.at = now;
    }

    /// One was answered, if one was to be.
    pub(super) fn answered(&mut self) {
        self.times = self.times.saturating_sub(1);
    }

    /// Whether one is to be answered, and not for long enough to have been forgotten.
    pub(super) fn awaited(&self, cx: &Cx<'_>) -> bool {
        self.times > 0 && cx.now.since(self.at) <= cx.timing.request
    }

    /// Takes what the room says for an answer, if one is [awaited](Self::awaited).
    pub(super) fn take_answer(&mut self, cx: &Cx<'_>) -> bool {
        let expected = self.awaited(cx);
        self.answered();
        expected
    }
}

impl Room {
    /// Asks the room to destroy itself; it answers with our removal, or refuses.
    pub(crate) fn destroy(&self, cx: &mut Cx<'_>) {
        let purpose = Purpose::Destroy(self.id);
        cx.request(
            Kind::Set,
            Some(self.jid.as_str()),
            purpose,
            muc::write_destroy,
        );
    }

    pub(crate) fn destroy_refused(&self, cx: &mut Cx<'_>, error: StanzaError) {
        self.tell(cx, RoomEvent::DestroyRefused(error));
    }

    /// Leaves for good.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) {
        if self.part(cx) {
            self.parted.add(cx.now, 1);
        }
        self.out(cx, LeaveCause::Asked);
    }

    /// Tells the room that we go, if it may take us for an occupant.
    pub(super) fn part(&self, cx: &mut Cx<'_>) -> bool {
        let known = !matches!(
            self.standing,
            Standing::Out | Standing::Waiting | Standing::Dead
        );
        if known {
            let occupant = format!("{}/{}", self.jid, self.current);
            cx.out.stanza(|w| muc::write_leave(w, &occupant));
        }
        known
    }

    /// The nick under which the room will say that we are gone, and how often, if it was told
    /// that we go and has not said it.
    pub(crate) fn unanswered_partings(&self) -> Option<(&str, u32)> {
        (self.parted.times > 0).then_some((&self.current, self.parted.times))
    }

    /// The room was left before, under another handle, and has not said so: when it does,
    /// that is not about us.
    pub(crate) fn still_parting(&mut self, cx: &Cx<'_>, times: u32) {
        self.parted.add(cx.now, times);
    }

    /// The stream was resumed: what the room was asked while nothing came through, it
    /// answers from now on.
    pub(crate) fn resumed(&mut self, cx: &Cx<'_>) {
        self.parted.at = cx.now;
    }

    /// The session ended, no stanza from the number `doubtful` on having been
    /// handled; `retry` says whether there will be another.
    pub(crate) fn session_ended(&mut self, cx: &mut Cx<'_>, doubtful: u64, retry: Retry) {
        if !self.entered {
            // Each stream would have the first join begin anew, and none end it.
            let deadline = cx.timers.armed_for(TimerKey::of(Timer::Join, self.owner()));
            let left = deadline.map(|at| at.since(cx.now));
            self.patience = left.or(self.patience);
        }
        self.disarm(cx);
        self.outbox.session_ended(cx, doubtful);
        if retry == Retry::Never {
            self.outbox.give_up(cx, NotSent::Offline);
        }
        let was_in = self.is_in();
        self.standing = Standing::Out;
        self.question = None;
        self.parted = Partings::default();
        self.early.clear();
        self.occupants.clear();
        if retry == Retry::Never {
            // Nobody will bring us back: the room is over, whoever waits for it.
            if self.entered {
                self.out(cx, LeaveCause::Offline);
            } else {
                self.fail(cx, JoinFailure::Offline);
            }
        } else if was_in {
            let cause = LeaveCause::Offline;
            self.tell(cx, RoomEvent::Left { cause, retry });
        }
    }

    /// The room cannot be entered: no more is tried.
    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, error: JoinFailure) {
        self.die(cx);
        self.tell(
            cx,
            RoomEvent::JoinFailed {
                error,
                retry: Retry::Never,
            },
        );
    }

    /// We are out of the room, and stay out.
    pub(super) fn out(&mut self, cx: &mut Cx<'_>, cause: LeaveCause) -> RoomOutput {
        if !self.entered && cause != LeaveCause::Asked {
            // Nobody was told that we were in.
            self.fail(cx, JoinFailure::PutOut(cause));
            return RoomOutput::Out(true);
        }
        self.die(cx);
        let retry = Retry::Never;
        self.tell(cx, RoomEvent::Left { cause, retry });
        RoomOutput::Out(true)
    }

    /// We are out of the room, and come back after this pause.
    pub(super) fn step_out(
        &mut self,
        cx: &mut Cx<'_>,
        cause: LeaveCause,
        pause: Duration,
    ) -> RoomOutput {
        if self.entered {
            self.disarm(cx);
        } else {
            // The time of a first join is running.
            cx.disarm(Timer::SelfPresence, self.owner());
        }
        cx.forget(self.question.take());
        // Posts under way are not given up: each is refused because we are out, or the room had
        // taken it before, which its archive tells once we are in again. Until then nothing is
        // to be learnt from it.
        self.outbox.stop(cx);
        self.early.clear();
        self.occupants.clear();
        let retry = Retry::At(self.wait(cx, pause));
        if self.entered {
            self.tell(cx, RoomEvent::Left { cause, retry });
        } else {
            self.last_refusal = Some(JoinFailure::PutOut(cause));
        }
        RoomOutput::Out(false)
    }

    fn die(&mut self, cx: &mut Cx<'_>) {
        self.disarm(cx);
        cx.forget(self.question.take());
        self.standing = Standing::Dead;
        self.early.clear();
        self.occupants.clear();
        self.outbox.give_up(cx, NotSent::NoRoom);
    }

    pub(super) fn disarm(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::Join, self.owner());
        cx.disarm(Timer::Rejoin, self.owner());
        cx.disarm(Timer::Examine, self.owner());
        cx.disarm(Timer::SelfPresence, self.owner());
        self.unwatch(cx);
    }
}
