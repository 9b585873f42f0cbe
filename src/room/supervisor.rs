//! Getting into a room, knowing whether we are in it, and getting in again
//! (XEP-0045 v1.35.5, sections 7.2, 7.14, 8.2, 9.1 and 10).
//!
//! ```text
//! Out --> Joining --> [Unlocking] --> Examining --> In --> Out (stream ended)
//!            |                                      |
//!            +--> Waiting --> Joining               +--> Waiting | Dead (removed)
//!            +--> Dead (refused)
//! ```
//!
//! It does not yet ask the room whether we are still in it (XEP-0410).

use alloc::boxed::Box;
use alloc::format;
use core::time::Duration;

use super::{Asked, Heard, Nickname, Room, Standing};
use crate::cx::{Cx, Purpose};
use crate::error::{Condition, ErrorType, StanzaError};
use crate::event::{JoinFailure, Joined, LeaveCause, NotSent, Retry, RoomEvent};
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
        let occupant = format!("{}/{}", self.jid, self.current);
        cx.out.write(|w| muc::write_join(w, &occupant));
        self.ask(cx);
    }

    /// Asks what the room can do: what its ids are worth above all.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        self.asked = Asked::Pending;
        let purpose = Purpose::RoomInfo(self.id);
        cx.request(Kind::Get, Some(self.jid.as_str()), purpose, |w| {
            w.start("query").attr("xmlns", ns::DISCO_INFO).end();
        });
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

    /// Leaves for good.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>) {
        if !matches!(
            self.standing,
            Standing::Out | Standing::Waiting | Standing::Dead
        ) {
            let occupant = format!("{}/{}", self.jid, self.current);
            cx.out.write(|w| muc::write_leave(w, &occupant));
        }
        self.out(cx, LeaveCause::Asked, Retry::Never);
    }

    /// The stream ended after the transport took `sent` bytes of it; `retry`
    /// says whether there will be another.
    pub(crate) fn stream_ended(&mut self, cx: &mut Cx<'_>, sent: u64, retry: Retry) {
        self.disarm(cx);
        self.outbox.stream_ended(cx, sent);
        if retry == Retry::Never {
            self.outbox.give_up(cx, NotSent::Offline);
        }
        let was_in = self.is_in();
        self.standing = Standing::Out;
        self.early.clear();
        self.occupants.clear();
        if was_in {
            self.tell(
                cx,
                RoomEvent::Left {
                    cause: LeaveCause::Offline,
                    retry,
                },
            );
        } else if retry == Retry::Never && !self.entered {
            self.fail(cx, JoinFailure::Offline);
        }
    }

    /// A presence of the room came; `nick` is whose, `None` if it is the room's own.
    pub(crate) fn on_presence(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: Option<&str>,
    ) -> Heard {
        let kind = presence::kind(element);
        if kind == presence::Kind::Error {
            return if self.standing == Standing::Joining {
                self.refused(cx, stanza::error::parse(element))
            } else {
                Heard::Nothing
            };
        }
        let Some(nick) = nick.filter(|nick| (1..=Limits::NICK_BYTES).contains(&nick.len())) else {
            return Heard::Nothing;
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
                Heard::Nothing
            }
            (presence::Kind::Unavailable, false) => {
                self.occupant_went(cx, nick, said);
                Heard::Nothing
            }
            (presence::Kind::Error | presence::Kind::Other, _) => Heard::Nothing,
        }
    }

    fn own_available(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: &str,
        said: OccupantPresence<'_>,
    ) -> Heard {
        match self.standing {
            Standing::Joining => {
                // The room may have rewritten the nick, with status 210 or without.
                self.current = nick.into();
                self.occupant_id = message::occupant_id(element).map(Into::into);
                self.created = said.status.created;
                if said.status.created {
                    // XEP-0045 section 10.1.2: until the room is unlocked nobody
                    // else gets in, so it is not ours to call joined.
                    self.standing = Standing::Unlocking;
                    let purpose = Purpose::Unlock(self.id);
                    cx.request(
                        Kind::Set,
                        Some(self.jid.as_str()),
                        purpose,
                        muc::write_unlock,
                    );
                    Heard::Nothing
                } else {
                    self.examine(cx)
                }
            }
            Standing::In | Standing::Examining | Standing::Unlocking => {
                self.rename(cx, nick);
                Heard::Nothing
            }
            Standing::Out | Standing::Waiting | Standing::Dead => Heard::Nothing,
        }
    }

    fn rename(&mut self, cx: &mut Cx<'_>, nick: &str) {
        if nick != self.current {
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
    ) -> Heard {
        if !matches!(
            self.standing,
            Standing::In | Standing::Examining | Standing::Unlocking
        ) {
            // The parting of an older stream of ours, while we join anew.
            return Heard::Nothing;
        }
        if said.status.new_nick
            && let Some(next) = said.next_nick()
        {
            self.rename(cx, next);
            return Heard::Nothing;
        }
        if nick != self.current {
            return Heard::Nothing;
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
                self.early.clear();
                self.occupants.clear();
                let retry = Retry::At(self.wait(cx));
                self.tell(cx, RoomEvent::Left { cause, retry });
                Heard::Out(false)
            }
            _ => {
                self.out(cx, cause, Retry::Never);
                Heard::Out(true)
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
    fn refused(&mut self, cx: &mut Cx<'_>, error: StanzaError) -> Heard {
        match error.condition {
            Condition::Conflict => match &self.nick {
                Nickname::Suggested(nick) => {
                    let tail = cx.ids.token(Label::Nick);
                    let tail = tail.get(..4).unwrap_or_default();
                    self.current = format!("{nick}-{tail}");
                    self.conflicts = self.conflicts.saturating_add(1);
                    if self.conflicts <= CONFLICTS {
                        self.send_join(cx);
                        return Heard::Nothing;
                    }
                }
                // Our own ghost may sit there still, for as long as its server
                // takes to notice that the stream is gone.
                Nickname::Chosen(_) if self.entered => {}
                Nickname::Chosen(_) => {
                    self.fail(cx, JoinFailure::NickConflict);
                    return Heard::Out(true);
                }
            },
            // Somebody else is creating the room and has not unlocked it yet, or
            // its service is not there for now.
            Condition::ItemNotFound
            | Condition::RecipientUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout => {}
            _ if error.kind == ErrorType::Wait => {}
            _ => {
                self.fail(cx, JoinFailure::Refused(error));
                return Heard::Out(true);
            }
        }
        self.wait(cx);
        self.last_refusal = Some(error);
        Heard::Nothing
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
    pub(crate) fn join_expired(&mut self, cx: &mut Cx<'_>) -> Heard {
        if self.entered {
            // We were in once: somebody counts on us coming back.
            let retry = Retry::At(self.wait(cx));
            self.tell(
                cx,
                RoomEvent::JoinFailed {
                    error: JoinFailure::TimedOut,
                    retry,
                },
            );
            return Heard::Nothing;
        }
        let error = self
            .last_refusal
            .take()
            .map_or(JoinFailure::TimedOut, JoinFailure::Refused);
        self.fail(cx, error);
        Heard::Out(true)
    }

    /// The room was unlocked, or refused to be.
    pub(crate) fn unlocked(&mut self, cx: &mut Cx<'_>, answer: Result<(), StanzaError>) -> Heard {
        if self.standing != Standing::Unlocking {
            return Heard::Nothing;
        }
        match answer {
            Ok(()) => {
                // What it said before was about a room that was not set up yet.
                self.asked = Asked::Failed;
                self.examine(cx)
            }
            Err(error) => {
                let occupant = format!("{}/{}", self.jid, self.current);
                cx.out.write(|w| muc::write_leave(w, &occupant));
                self.fail(cx, JoinFailure::Refused(error));
                Heard::Out(true)
            }
        }
    }

    /// We are in: what is missing is what the room can do.
    fn examine(&mut self, cx: &mut Cx<'_>) -> Heard {
        self.standing = Standing::Examining;
        match self.asked {
            Asked::Known => return self.arrive(cx),
            Asked::Failed => self.ask(cx),
            Asked::Pending => {}
        }
        self.again = true;
        Heard::Nothing
    }

    /// The room said what it can do, or would not (`None`).
    pub(crate) fn examined(&mut self, cx: &mut Cx<'_>, query: Option<Element<'_>>) -> Heard {
        if self.asked != Asked::Pending {
            return Heard::Nothing;
        }
        self.asked = if query.is_some() {
            Asked::Known
        } else {
            Asked::Failed
        };
        self.info = query.map(muc::room_info).unwrap_or_default();
        match (self.standing, self.asked) {
            (Standing::Examining, Asked::Known) => self.arrive(cx),
            // Asked too early, by one who was not in yet: asked once more.
            (Standing::Examining, _) if core::mem::take(&mut self.again) => {
                self.ask(cx);
                Heard::Nothing
            }
            (Standing::Examining, _) => self.arrive(cx),
            _ => Heard::Nothing,
        }
    }

    /// In.
    fn arrive(&mut self, cx: &mut Cx<'_>) -> Heard {
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
        Heard::Entered(early)
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
        self.standing = Standing::Dead;
        self.early.clear();
        self.occupants.clear();
        self.outbox.give_up(cx, NotSent::NoRoom);
    }

    fn disarm(&self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::Join, self.owner());
        cx.disarm(Timer::Rejoin, self.owner());
    }
}
