//! Getting into a room, and getting in again (XEP-0045 v1.35.5, sections 7.2 and 10.1).
//!
//! ```text
//! Out --> Joining --> [Unlocking] --> Examining --> In --> Out (session ended)
//!            |                                      |
//!            +--> Waiting --> Joining               +--> Waiting | Dead (removed)
//!            +--> Dead (refused)
//! ```
//!
//! What a refusal means is for [`policy`] to say. A nick that
//! somebody has is varied if it was a suggestion. A chosen one that we had is
//! waited for, since it is most likely our own ghost that has it, of a stream that
//! its server still believes in; and given up after some minutes, since it may be
//! a stranger. One that we never had belongs to a stranger.
//!
//! A first join has one time for all streams, and a room that lets us in within it and does
//! not say what it can do is one that we are in. It is asked further, ever more slowly, and
//! those who follow it find their places once it answers.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::policy::{self, Refusal};
use super::{Asked, Nickname, Places, Room, RoomOutput, Standing};
use crate::cx::{Cx, Purpose};
use crate::error::{Condition, StanzaError};
use crate::event::{JoinFailure, Joined, Retry, RoomEvent, RoomInfo};
use crate::ids::Label;
use crate::muc;
use crate::ns;
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, part};

/// So many other nicks are tried at once; then each after a pause.
const CONFLICTS: u32 = 4;

/// For so long a chosen nick that we had is asked for again while somebody has it, ever more
/// slowly.
const GHOST: Duration = Duration::from_secs(300);

/// For so long a room is locked to us before we take its creator for lost. Whoever fills in
/// its form has that long, if the account is the same: programs take no time for it.
const STAYS_LOCKED: Duration = Duration::from_secs(15);

/// The highest ceiling of the pauses before a room that is locked to us is tried again, for
/// twice as long as it takes until its creator is taken for lost: a first join waits no
/// longer than that, and has to see that the room was unlocked.
const LOCKED: Duration = Duration::from_secs(4);

/// The first ceiling of the pauses before a room that never let us in is tried
/// again: somebody else is unlocking it.
const COLD: Duration = Duration::from_millis(100);

/// So often the time is doubled that a room has to say what it can do.
const SLOWER: u32 = 4;

/// No pause is shorter.
const SHORTEST: Duration = Duration::from_millis(20);

impl Room {
    /// Asks to be let in; the stream is up.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>) {
        if self.standing != Standing::Out {
            return;
        }
        self.current = self.nick.text().into();
        self.failures = 0;
        self.unanswered = 0;
        // The stream that broke may have left a ghost, whatever became of earlier ones.
        self.conflicts = 0;
        self.haunted = None;
        self.arrived = None;
        // A kick outlives the stream.
        match self.grounded.filter(|until| *until > cx.now) {
            Some(until) => {
                self.wait(cx, until.since(cx.now));
            }
            None => {
                let left = self.patience.take().filter(|_| !self.entered);
                cx.arm(Timer::Join, self.owner(), left.unwrap_or(cx.timing.join));
                self.send_join(cx);
            }
        }
    }

    fn send_join(&mut self, cx: &mut Cx<'_>) {
        self.standing = Standing::Joining;
        self.history_told = false;
        self.occupants.clear();
        self.provisional = None;
        self.join_id = cx.ids.token(Label::IqId);
        let occupant = format!("{}/{}", self.jid, self.current);
        cx.out
            .stanza(|w| muc::write_join(w, &occupant, &self.join_id));
        if planted(Bug::JoinedTwice) {
            cx.out
                .stanza(|w| muc::write_join(w, &occupant, &self.join_id));
        }
        self.outbox.ask_anchor(cx);
        self.ask(cx);
    }

    /// Asks what the room can do: what its ids are worth above all.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.question.take());
        self.outdated = false;
        self.asked = Asked::Pending;
        let purpose = Purpose::RoomInfo(self.id);
        let serial = cx.request(Kind::Get, Some(self.jid.as_str()), purpose, |w| {
            w.start("query").attr("xmlns", ns::DISCO_INFO).end();
        });
        if self.unsaid {
            // An answer is of use after the join's time as well, and a room that is slow
            // to answer is no faster when it is asked more often.
            let doublings = self.unanswered.saturating_add(1).min(SLOWER);
            let patience = cx.timing.request.saturating_mul(1 << doublings);
            cx.arm(Timer::Iq, serial, patience);
        }
        self.question = Some(serial);
    }

    /// The room changed: asks what it can do now, one question at a time, however often it
    /// says so.
    pub(super) fn ask_anew(&mut self, cx: &mut Cx<'_>) {
        self.outbox.may_be_off();
        if self.question.is_some() {
            self.outdated = true;
        } else if self.is_in() {
            self.ask(cx);
        }
    }

    /// Asks again what the room can do, after a pause: full jitter below a ceiling that
    /// doubles.
    fn ask_later(&mut self, cx: &mut Cx<'_>) {
        self.unanswered = self.unanswered.saturating_add(1);
        let ceiling = cx
            .timing
            .backoff_min
            .saturating_mul(1 << self.unanswered.min(16))
            .min(cx.timing.slow_max);
        let pause = cx.ids.jitter(ceiling).max(cx.timing.backoff_min);
        cx.arm(Timer::Examine, self.owner(), pause);
    }

    /// The pause before the next question is over.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx<'_>) {
        let asks = self.unsaid || self.outdated;
        if self.is_in() && asks && self.question.is_none() {
            self.ask(cx);
        }
    }

    /// Nothing more comes before our own presence: who came under our nick is us.
    pub(crate) fn presume(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        match self.provisional.take() {
            Some(occupant_id) if self.standing == Standing::Joining => {
                let nick = self.current.clone();
                self.let_in(cx, &nick, occupant_id, false)
            }
            _ => RoomOutput::Nothing,
        }
    }

    pub(super) fn let_in(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        occupant_id: Option<String>,
        created: bool,
    ) -> RoomOutput {
        cx.disarm(Timer::SelfPresence, self.owner());
        // The room may have rewritten the nick, with status 210 or without.
        self.current = nick.into();
        self.own_nicks.insert(nick.into());
        self.occupant_id = occupant_id;
        self.created = created;
        self.locked_out = None;
        self.knocked = false;
        self.recreated |= created && self.entered;
        if !created {
            self.locked = false;
            return self.examine(cx);
        }
        // XEP-0045 section 10.1.2: until the room is unlocked nobody else gets in,
        // so it is not ours to call joined. What it said so far was about a room
        // that was not set up yet.
        cx.forget(self.question.take());
        self.asked = Asked::Failed;
        self.standing = Standing::Unlocking;
        self.locked = true;
        let purpose = Purpose::Unlock(self.id);
        self.question = Some(cx.request(
            Kind::Set,
            Some(self.jid.as_str()),
            purpose,
            muc::write_unlock,
        ));
        RoomOutput::Nothing
    }

    /// The room refused to let us in.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, error: StanzaError) -> RoomOutput {
        match policy::refusal(&error, self.entered) {
            Refusal::Nick => {
                self.conflicts = self.conflicts.saturating_add(1);
                // Who has our nick may be what is left of a stream of ours, and its server
                // has not had the time to notice that it is gone.
                let since = *self.haunted.get_or_insert(cx.now);
                let ghost = self.entered && cx.now.since(since) < GHOST;
                match &self.nick {
                    Nickname::Suggested(nick) => {
                        let tail = cx.ids.token(Label::Nick);
                        let tail = tail.get(..4).unwrap_or_default();
                        self.current = format!("{nick}-{tail}");
                        if self.conflicts <= CONFLICTS {
                            self.send_join(cx);
                            return RoomOutput::Nothing;
                        }
                    }
                    // Our own ghost, for as long as its server takes to notice that
                    // the stream is gone; not for ever.
                    Nickname::Chosen(_) if ghost => {}
                    Nickname::Chosen(_) => {
                        self.fail(cx, JoinFailure::NickConflict);
                        return RoomOutput::Out(true);
                    }
                }
            }
            Refusal::Passing if planted(Bug::PassingRefusalIsFinal) => {
                self.fail(cx, JoinFailure::Refused(error));
                return RoomOutput::Out(true);
            }
            Refusal::Passing => {
                if error.condition == Condition::ItemNotFound {
                    let since = *self.locked_out.get_or_insert(cx.now);
                    let abandoned = cx.now.since(since) >= STAYS_LOCKED && !self.knocked;
                    if self.locked || abandoned {
                        self.knocked = true;
                        self.unlock_from_outside(cx);
                    }
                } else {
                    self.locked_out = None;
                }
            }
            Refusal::Final => {
                self.fail(cx, JoinFailure::Refused(error));
                return RoomOutput::Out(true);
            }
        }
        let retry = self.back_off(cx);
        if self.entered {
            // We were in once: somebody counts on us, and wants to know.
            let error = refusal(error.clone());
            self.tell(cx, RoomEvent::JoinFailed { error, retry });
        }
        self.last_refusal = Some(refusal(error));
        RoomOutput::Nothing
    }

    /// Unlocks a room whose creator was lost before it was unlocked: Prosody keeps such a room
    /// locked for five minutes, for its owner as for everybody (XEP-0045 section 10.1.2), and
    /// does as its owners say whether they are in or not. That may be us, who were never told
    /// that we created it, or another process of the same account; who is not is refused.
    /// What it answers shows when we come again.
    fn unlock_from_outside(&self, cx: &mut Cx<'_>) {
        let purpose = Purpose::Unlock(self.id);
        let room = Some(self.jid.as_str());
        cx.request(Kind::Set, room, purpose, muc::write_unlock);
    }

    /// Tells the room that we go, before we try again.
    fn give_up(&mut self, cx: &mut Cx<'_>) {
        if self.part(cx) {
            self.parted.add(cx.now, 1);
        }
    }

    /// The next attempt, after a pause.
    fn back_off(&mut self, cx: &mut Cx<'_>) -> Retry {
        let pause = self.pause(cx);
        Retry::At(self.wait(cx, pause))
    }

    /// The pause before the next attempt: full jitter below a ceiling that doubles
    /// until we have been in for a while. To be let in is not enough, or a room that
    /// throws out whom it lets in would be stormed.
    pub(super) fn pause(&mut self, cx: &mut Cx<'_>) -> Duration {
        let arrived = self.arrived.take();
        if arrived.is_some_and(|at| cx.now.since(at) >= cx.timing.stable) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let least = if self.entered {
            cx.timing.backoff_min
        } else {
            COLD
        };
        let is_locked = |since: Instant| cx.now.since(since) < STAYS_LOCKED.saturating_mul(2);
        let most = match self.locked_out {
            Some(since) if is_locked(since) => LOCKED.min(cx.timing.backoff_max),
            _ => cx.timing.backoff_max,
        };
        // A first join is not slept away.
        let most = if self.entered {
            most
        } else {
            most.min(part(cx.timing.join, 4))
        };
        let ceiling = least.saturating_mul(1 << self.failures.min(16)).min(most);
        if planted(Bug::RejoinWithoutPause) {
            return SHORTEST;
        }
        cx.ids.jitter(ceiling).max(SHORTEST)
    }

    /// Waits for that long, then asks to be let in again.
    pub(super) fn wait(&mut self, cx: &mut Cx<'_>, pause: Duration) -> Instant {
        self.standing = Standing::Waiting;
        if self.entered {
            // Each attempt has its own deadline; those of a first join share one.
            cx.disarm(Timer::Join, self.owner());
        }
        cx.arm(Timer::Rejoin, self.owner(), pause);
        cx.now.plus(pause)
    }

    /// The pause before the next attempt is over.
    pub(crate) fn rejoin(&mut self, cx: &mut Cx<'_>) {
        if self.standing == Standing::Waiting {
            if self.entered {
                cx.arm(Timer::Join, self.owner(), cx.timing.join);
            }
            self.send_join(cx);
        }
    }

    /// The room has not let us in in time.
    pub(crate) fn join_expired(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        if self.standing == Standing::Examining {
            // We are in; it only does not say what it can do. If it never did, its answer
            // is of use whenever it comes.
            if !self.unsaid {
                cx.forget(self.question.take());
            }
            return self.arrive(cx, true);
        }
        self.give_up(cx);
        let error = self.last_refusal.take().unwrap_or(JoinFailure::TimedOut);
        if self.entered {
            let retry = self.back_off(cx);
            self.tell(cx, RoomEvent::JoinFailed { error, retry });
            return RoomOutput::Nothing;
        }
        self.fail(cx, error);
        RoomOutput::Out(true)
    }

    /// The room was unlocked, or refused to be.
    pub(crate) fn unlocked(
        &mut self,
        cx: &mut Cx<'_>,
        serial: u64,
        answer: Result<(), StanzaError>,
    ) -> RoomOutput {
        if self.question != Some(serial) || self.standing != Standing::Unlocking {
            return RoomOutput::Nothing;
        }
        self.question = None;
        match answer {
            Ok(()) => {
                self.locked = false;
                self.examine(cx)
            }
            Err(error) => {
                self.locked = false;
                // Told that we created it, refused as its owner: ejabberd 23.01 says so
                // ("Owner privileges required") where two came at the same moment, each was
                // given a room of its own, and only the other's is kept under this address.
                self.give_up(cx);
                self.last_refusal = Some(refusal(error));
                self.back_off(cx);
                RoomOutput::Nothing
            }
        }
    }

    /// We are in: what is missing is what the room can do.
    fn examine(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        self.standing = Standing::Examining;
        // Asked before we were in, it may have been kept from us.
        self.again = self.asked == Asked::Pending;
        if self.again && self.entered && planted(Bug::ArchiveNotAwaited) {
            cx.forget(self.question.take());
            self.info = RoomInfo::default();
            return self.arrive(cx, false);
        }
        match self.asked {
            Asked::Known => return self.arrive(cx, false),
            // A question that was forgotten meanwhile will not be answered.
            Asked::Pending if self.question.is_some() => {}
            Asked::Failed | Asked::Pending => self.ask(cx),
        }
        RoomOutput::Nothing
    }

    /// The room said what it can do, or would not, or nobody did (`transient`): while we
    /// wait for that, or at last. A room that never said is asked until it does, since what
    /// follows it has no place to stand on before.
    pub(crate) fn examined(
        &mut self,
        cx: &mut Cx<'_>,
        serial: u64,
        answer: Result<RoomInfo, bool>,
    ) -> RoomOutput {
        if self.question != Some(serial) {
            return RoomOutput::Nothing;
        }
        self.question = None;
        let before = (!self.unsaid).then_some(self.info);
        let in_already = self.standing == Standing::Examining;
        let mut silent = false;
        match answer {
            Ok(info) => {
                self.asked = Asked::Known;
                self.unsaid = false;
                self.again = false;
                self.unanswered = 0;
                self.info = info;
            }
            // What it refuses to those outside, it may tell us once we are in. Who took too
            // long for us to wait is asked later.
            Err(transient)
                if (in_already || self.is_in() && !transient)
                    && core::mem::take(&mut self.again) =>
            {
                self.ask(cx);
                return RoomOutput::Nothing;
            }
            // It said it before, and did not say that it is another: that holds until it does.
            Err(_) if self.is_in() && !self.unsaid => {
                self.outdated = true;
                self.ask_later(cx);
                return RoomOutput::Nothing;
            }
            Err(transient) => {
                self.asked = Asked::Failed;
                self.unsaid &= transient || !(in_already || self.is_in());
                // What it could do when we were in last, it can most likely still.
                silent = transient && self.entered;
                if !silent {
                    self.info = RoomInfo::default();
                }
            }
        }
        match self.standing {
            Standing::Examining => self.arrive(cx, silent),
            Standing::In if self.unsaid => {
                self.ask_later(cx);
                RoomOutput::Nothing
            }
            Standing::In => {
                self.outbox.described(cx, self.info.archive);
                if self.outdated {
                    self.outbox.may_be_off();
                }
                if self.asked == Asked::Known {
                    if before != Some(self.info) {
                        self.tell(cx, RoomEvent::Described(self.info));
                    }
                    self.flush(cx);
                }
                if self.outdated {
                    self.ask(cx);
                }
                RoomOutput::Described
            }
            _ => RoomOutput::Nothing,
        }
    }

    /// In. If the room is `silent` about what it is now, it is what it was until it says.
    fn arrive(&mut self, cx: &mut Cx<'_>, silent: bool) -> RoomOutput {
        self.standing = Standing::In;
        self.entered = true;
        self.arrived = Some(cx.now);
        self.grounded = None;
        self.conflicts = 0;
        self.haunted = None;
        self.last_refusal = None;
        self.disarm(cx);
        if self.unsaid && self.question.is_none() {
            self.ask_later(cx);
        }
        if self.recreated {
            self.outbox.renewed();
            self.tell(cx, RoomEvent::Recreated);
        }
        let joined = Joined {
            room: self.jid.clone(),
            nick: self.current.clone(),
            created: self.created,
            info: self.info,
            privacy: self.privacy,
        };
        self.tell(cx, RoomEvent::Joined(Box::new(joined)));
        self.watch(cx);
        let mut early = core::mem::take(&mut self.early);
        if self.places() == Places::None {
            early.displace();
        }
        if self.info.archive
            && let Some(id) = early.newest()
        {
            self.outbox.heard(id, cx.now);
        }
        self.neighbours.away();
        let no_archive = self.lacks_archive();
        self.outbox.entered(cx, no_archive);
        if self.outdated {
            self.outbox.may_be_off();
        }
        self.flush(cx);
        if self.outdated && self.question.is_none() {
            // It changed since it was asked.
            self.ask(cx);
        } else if silent && !self.unsaid {
            self.outdated = true;
            self.ask_later(cx);
        }
        RoomOutput::Entered(early)
    }
}

/// A refusal as the reason why a join failed.
fn refusal(error: StanzaError) -> JoinFailure {
    match error.condition {
        Condition::Conflict => JoinFailure::NickConflict,
        _ => JoinFailure::Refused(error),
    }
}
