//! Getting into a room, knowing whether we are in it, and getting in again
//! (XEP-0045 v1.35.5, sections 7.2, 7.14, 8.2, 9.1 and 10).
//!
//! ```text
//! Out --> Joining --> [Unlocking] --> Examining --> In --> Out (session ended)
//!            |                                      |
//!            +--> Waiting --> Joining               +--> Waiting | Dead (removed)
//!            +--> Dead (refused)
//! ```
//!
//! It does not yet ask the room whether we are still in it (XEP-0410).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{Asked, Nickname, Room, RoomOutput, Standing};
use crate::cx::{Cx, Purpose};
use crate::error::{Condition, ErrorType, StanzaError};
use crate::event::{JoinFailure, Joined, LeaveCause, NotSent, Retry, RoomEvent, RoomInfo};
use crate::ids::Label;
use crate::limits::Limits;
use crate::muc::{self, OccupantPresence};
use crate::ns;
use crate::stanza::iq::Kind;
use crate::stanza::{self, message, presence};
use crate::time::{Instant, Timer};
use crate::xml::Element;

/// So many other nicks are tried at once; then each after a pause.
const CONFLICTS: u32 = 4;

/// So often a chosen nick that we had is asked for again while somebody has it,
/// ever more slowly: some minutes in all.
const GHOSTS: u32 = 12;

/// How long to wait for a proof of our own presence, where a nick alone speaks for it.
const SELF_PRESENCE: Duration = Duration::from_secs(2);

impl Room {
    /// Asks to be let in; the stream is up.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>) {
        if self.standing == Standing::Out {
            self.current = self.nick.text().into();
            cx.arm(Timer::Join, self.owner(), cx.timing.join);
            self.send_join(cx);
        }
    }

    fn send_join(&mut self, cx: &mut Cx<'_>) {
        self.standing = Standing::Joining;
        self.occupants.clear();
        self.provisional = None;
        self.join_id = cx.ids.token(Label::IqId);
        let occupant = format!("{}/{}", self.jid, self.current);
        cx.out
            .stanza(|w| muc::write_join(w, &occupant, &self.join_id));
        self.ask(cx);
    }

    /// Asks what the room can do: what its ids are worth above all.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.question.take());
        self.asked = Asked::Pending;
        let purpose = Purpose::RoomInfo(self.id);
        self.question = Some(
            cx.request(Kind::Get, Some(self.jid.as_str()), purpose, |w| {
                w.start("query").attr("xmlns", ns::DISCO_INFO).end();
            }),
        );
    }

    /// Writes the posts that wait, as far as there is room.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) {
        if self.is_in() {
            self.outbox.flush(cx, &self.jid);
        }
    }

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

    /// Leaves for good. Returns the nick under which the room will say so, if it
    /// has anything to say.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) -> Option<String> {
        let parting = self.part(cx).then(|| self.current.clone());
        self.out(cx, LeaveCause::Asked, Retry::Never);
        parting
    }

    /// Tells the room that we go, if it may take us for an occupant.
    fn part(&self, cx: &mut Cx<'_>) -> bool {
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

    /// The session ended, no stanza from the number `doubtful` on having been
    /// handled; `retry` says whether there will be another.
    pub(crate) fn session_ended(&mut self, cx: &mut Cx<'_>, doubtful: u64, retry: Retry) {
        self.disarm(cx);
        self.outbox.session_ended(cx, doubtful);
        if retry == Retry::Never {
            self.outbox.give_up(cx, NotSent::Offline);
        }
        let was_in = self.is_in();
        self.standing = Standing::Out;
        self.question = None;
        self.early.clear();
        self.occupants.clear();
        if retry == Retry::Never {
            // Nobody will bring us back: the room is over, whoever waits for it.
            if self.entered {
                self.out(cx, LeaveCause::Offline, retry);
            } else {
                self.fail(cx, JoinFailure::Offline);
            }
        } else if was_in {
            let cause = LeaveCause::Offline;
            self.tell(cx, RoomEvent::Left { cause, retry });
        }
    }

    /// A presence of the room came; `nick` is whose, `None` if it is the room's own.
    pub(crate) fn on_presence(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: Option<&str>,
    ) -> RoomOutput {
        let kind = presence::kind(element);
        if kind == presence::Kind::Error {
            // A refusal bears the id of what it refuses (RFC 6120, section 8.1.3):
            // that of an earlier attempt says nothing about this one.
            let this = element.attr("id").is_none_or(|id| id == self.join_id);
            return if self.standing == Standing::Joining && this {
                self.refused(cx, stanza::error::parse(element))
            } else {
                RoomOutput::Nothing
            };
        }
        let Some(nick) = nick.filter(|nick| (1..=Limits::NICK_BYTES).contains(&nick.len())) else {
            return RoomOutput::Nothing;
        };
        let said = OccupantPresence::read(element);
        // 110 is neither sent by every room nor proof of much, so the current
        // nick counts as well (XEP-0045, section 7.2.2, and older rooms).
        let own = said.status.own || nick == self.current;
        match (kind, own) {
            (presence::Kind::Available, true) => self.own_available(cx, element, nick, said),
            (presence::Kind::Unavailable, true) => self.own_unavailable(cx, nick, said),
            (presence::Kind::Available, false) => {
                self.occupant_came(cx, nick);
                RoomOutput::Nothing
            }
            (presence::Kind::Unavailable, false) => {
                self.occupant_went(cx, nick, said);
                RoomOutput::Nothing
            }
            (presence::Kind::Error | presence::Kind::Other, _) => RoomOutput::Nothing,
        }
    }

    fn own_available(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: &str,
        said: OccupantPresence<'_>,
    ) -> RoomOutput {
        match self.standing {
            // 110 is proof that we are in, whatever we made of an earlier answer.
            Standing::Joining | Standing::Waiting if said.status.own => {
                cx.disarm(Timer::Rejoin, self.owner());
                // Who came under the nick we asked for was somebody else.
                if self.provisional.take().is_some() && nick != self.current {
                    let stranger = core::mem::take(&mut self.current);
                    self.occupant_came(cx, &stranger);
                }
                let occupant_id = message::occupant_id(element).map(Into::into);
                self.let_in(cx, nick, occupant_id, said.status.created)
            }
            Standing::Joining => {
                // XEP-0045 section 7.2.2 has the others' presence come first, and a
                // room may give us another nick than the one we asked for. Rooms
                // that know no 110 end with the subject, or with silence.
                self.provisional = Some(message::occupant_id(element).map(Into::into));
                cx.arm(Timer::SelfPresence, self.owner(), SELF_PRESENCE);
                RoomOutput::Nothing
            }
            Standing::In | Standing::Examining | Standing::Unlocking => {
                if said.status.own {
                    self.rename(cx, nick);
                    if let Some(id) = message::occupant_id(element) {
                        self.occupant_id = Some(id.into());
                    }
                }
                RoomOutput::Nothing
            }
            Standing::Waiting | Standing::Out | Standing::Dead => RoomOutput::Nothing,
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

    fn let_in(
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
        if !created {
            return self.examine(cx);
        }
        // XEP-0045 section 10.1.2: until the room is unlocked nobody else gets in,
        // so it is not ours to call joined. What it said so far was about a room
        // that was not set up yet.
        cx.forget(self.question.take());
        self.asked = Asked::Failed;
        self.standing = Standing::Unlocking;
        let purpose = Purpose::Unlock(self.id);
        self.question = Some(cx.request(
            Kind::Set,
            Some(self.jid.as_str()),
            purpose,
            muc::write_unlock,
        ));
        RoomOutput::Nothing
    }

    fn rename(&mut self, cx: &mut Cx<'_>, nick: &str) {
        if nick != self.current {
            self.own_nicks.insert(nick.into());
            let from = core::mem::replace(&mut self.current, nick.into());
            self.tell(
                cx,
                RoomEvent::NickChanged {
                    from,
                    to: nick.into(),
                },
            );
        }
    }

    fn own_unavailable(
        &mut self,
        cx: &mut Cx<'_>,
        nick: &str,
        said: OccupantPresence<'_>,
    ) -> RoomOutput {
        if !matches!(
            self.standing,
            Standing::In | Standing::Examining | Standing::Unlocking
        ) {
            // The parting of an older stream of ours, while we join anew.
            return RoomOutput::Nothing;
        }
        if said.status.new_nick
            && let Some(next) = said.next_nick()
        {
            self.rename(cx, next);
            return RoomOutput::Nothing;
        }
        if nick != self.current {
            return RoomOutput::Nothing;
        }
        let cause = match said.leave_cause() {
            LeaveCause::Asked => LeaveCause::Unexplained,
            cause => cause,
        };
        match cause {
            LeaveCause::ServiceShutdown
            | LeaveCause::TechnicalProblem
            | LeaveCause::Unexplained => {
                self.outbox.room_left(cx);
                self.disarm(cx);
                cx.forget(self.question.take());
                self.early.clear();
                self.occupants.clear();
                let retry = Retry::At(self.wait(cx));
                self.tell(cx, RoomEvent::Left { cause, retry });
                RoomOutput::Out(false)
            }
            _ => {
                self.out(cx, cause, Retry::Never);
                RoomOutput::Out(true)
            }
        }
    }

    fn occupant_came(&mut self, cx: &mut Cx<'_>, nick: &str) {
        if self.occupants.len() < cx.limits.occupants && self.occupants.insert(nick.into()) {
            self.tell(cx, RoomEvent::OccupantJoined { nick: nick.into() });
        }
    }

    fn occupant_went(&mut self, cx: &mut Cx<'_>, nick: &str, said: OccupantPresence<'_>) {
        if !self.occupants.remove(nick) {
            return;
        }
        if said.status.new_nick
            && let Some(next) = said.next_nick()
        {
            self.occupants.insert(next.into());
            self.tell(
                cx,
                RoomEvent::NickChanged {
                    from: nick.into(),
                    to: next.into(),
                },
            );
        } else {
            let cause = said.leave_cause();
            self.tell(
                cx,
                RoomEvent::OccupantLeft {
                    nick: nick.into(),
                    cause,
                },
            );
        }
    }

    /// The room refused to let us in.
    fn refused(&mut self, cx: &mut Cx<'_>, error: StanzaError) -> RoomOutput {
        match error.condition {
            Condition::Conflict => {
                self.conflicts = self.conflicts.saturating_add(1);
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
                    // Our own ghost may sit there still, for as long as its server
                    // takes to notice that the stream is gone; not for ever.
                    Nickname::Chosen(_) if self.entered && self.conflicts <= GHOSTS => {}
                    Nickname::Chosen(_) => {
                        self.fail(cx, JoinFailure::NickConflict);
                        return RoomOutput::Out(true);
                    }
                }
            }
            // Somebody else is creating the room and has not unlocked it yet, or
            // its service is not there for now.
            Condition::ItemNotFound
            | Condition::RecipientUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout => {}
            _ if error.kind == ErrorType::Wait => {}
            _ => {
                self.fail(cx, JoinFailure::Refused(error));
                return RoomOutput::Out(true);
            }
        }
        let retry = Retry::At(self.wait(cx));
        if self.entered {
            // We were in once: somebody counts on us, and wants to know.
            let error = refusal(error.clone());
            self.tell(cx, RoomEvent::JoinFailed { error, retry });
        }
        self.last_refusal = Some(error);
        RoomOutput::Nothing
    }

    /// Arms the next attempt, with full jitter below a growing ceiling.
    fn wait(&mut self, cx: &mut Cx<'_>) -> Instant {
        self.standing = Standing::Waiting;
        self.failures = self.failures.saturating_add(1);
        let ceiling = Duration::from_millis(100)
            .saturating_mul(1 << self.failures.min(16))
            .min(cx.timing.backoff_max);
        let pause = cx.ids.jitter(ceiling).max(Duration::from_millis(20));
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
            // We are in; it only does not say what it can do.
            cx.forget(self.question.take());
            return self.arrive(cx);
        }
        self.part(cx);
        let error = self
            .last_refusal
            .take()
            .map_or(JoinFailure::TimedOut, refusal);
        if self.entered {
            let retry = Retry::At(self.wait(cx));
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
            Ok(()) => self.examine(cx),
            Err(error) => {
                // Told that we created it, refused as its owner: ejabberd 23.01 says so
                // ("Owner privileges required") where two came at the same moment, each was
                // given a room of its own, and only the other's is kept under this address.
                self.part(cx);
                self.last_refusal = Some(error);
                self.wait(cx);
                RoomOutput::Nothing
            }
        }
    }

    /// We are in: what is missing is what the room can do.
    fn examine(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        self.standing = Standing::Examining;
        // Asked before we were in, it may have been kept from us.
        self.again = self.asked == Asked::Pending;
        match self.asked {
            Asked::Known => return self.arrive(cx),
            // A question that was forgotten meanwhile will not be answered.
            Asked::Pending if self.question.is_some() => {}
            Asked::Failed | Asked::Pending => self.ask(cx),
        }
        RoomOutput::Nothing
    }

    /// The room said what it can do, or would not, or nobody did (`transient`).
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
        let in_already = self.standing == Standing::Examining;
        match answer {
            Ok(info) => {
                self.asked = Asked::Known;
                self.info = info;
            }
            Err(_) if in_already && core::mem::take(&mut self.again) => {
                self.ask(cx);
                return RoomOutput::Nothing;
            }
            Err(transient) => {
                self.asked = Asked::Failed;
                // What it could do when we were in last, it can most likely still.
                if !(transient && self.entered) {
                    self.info = RoomInfo::default();
                }
            }
        }
        if in_already {
            self.arrive(cx)
        } else {
            RoomOutput::Nothing
        }
    }

    /// In.
    fn arrive(&mut self, cx: &mut Cx<'_>) -> RoomOutput {
        self.standing = Standing::In;
        self.entered = true;
        self.failures = 0;
        self.conflicts = 0;
        self.last_refusal = None;
        self.disarm(cx);
        let joined = Joined {
            room: self.jid.clone(),
            nick: self.current.clone(),
            created: self.created,
            info: self.info,
        };
        self.tell(cx, RoomEvent::Joined(Box::new(joined)));
        self.outbox.flush(cx, &self.jid);
        let mut early = core::mem::take(&mut self.early);
        for message in &mut early {
            if !self.info.stanza_ids {
                message.id = None;
            }
        }
        RoomOutput::Entered(early)
    }

    /// The room cannot be entered: no more is tried.
    fn fail(&mut self, cx: &mut Cx<'_>, error: JoinFailure) {
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
    fn out(&mut self, cx: &mut Cx<'_>, cause: LeaveCause, retry: Retry) {
        self.die(cx);
        self.tell(cx, RoomEvent::Left { cause, retry });
    }

    fn die(&mut self, cx: &mut Cx<'_>) {
        self.disarm(cx);
        cx.forget(self.question.take());
        self.standing = Standing::Dead;
        self.early.clear();
        self.occupants.clear();
        self.outbox.give_up(cx, NotSent::NoRoom);
    }

    fn disarm(&self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::Join, self.owner());
        cx.disarm(Timer::Rejoin, self.owner());
        cx.disarm(Timer::SelfPresence, self.owner());
    }
}

/// A refusal as the reason why a join failed.
fn refusal(error: StanzaError) -> JoinFailure {
    match error.condition {
        Condition::Conflict => JoinFailure::NickConflict,
        _ => JoinFailure::Refused(error),
    }
}
