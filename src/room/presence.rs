//! What a room's presences say of its occupants, ourselves among them
//! (XEP-0045 v1.35.5, sections 7.2, 7.6, 7.14, 8.2, 9.1, 10.9 and 11).
//!
//! Presence of our own may be proof that we are in, another nick, or our removal;
//! what follows is done in [`joining`](super::joining) and [`leaving`](super::leaving).
//! Occupants are known by nick alone: no roles, no addresses.

use core::time::Duration;

use super::policy::{Removal, removal};
use super::{Room, RoomOutput, Standing};
use crate::cx::Cx;
use crate::event::{LeaveCause, RoomEvent};
use crate::muc::{self, OccupantPresence};
use crate::stanza::{self, message, presence};
use crate::time::{Timer, part};
use crate::xml::Element;

/// How long to wait for a proof of our own presence, where a nick alone speaks for it.
const SELF_PRESENCE: Duration = Duration::from_secs(2);

impl Room {
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
            let id = element.attr("id");
            if id == Some(muc::LEAVE) {
                self.parted.answered();
            }
            let this = id.is_none_or(|id| id == self.join_id);
            return if self.standing == Standing::Joining && this {
                self.refused(cx, stanza::error::parse(element))
            } else {
                RoomOutput::Nothing
            };
        }
        let Some(nick) = nick else {
            return RoomOutput::Nothing;
        };
        self.heard_of(cx.now);
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
            // A slow room: it lets in whom it was told since that they go, which it answers
            // next. We come again after that.
            Standing::Waiting if self.parted.awaited(cx) => RoomOutput::Nothing,
            // 110 is proof that we are in, whatever we made of an earlier answer.
            Standing::Joining | Standing::Waiting if said.status.own => {
                cx.disarm(Timer::Rejoin, self.owner());
                // Who came under the nick we asked for was somebody else.
                if self.provisional.take().is_some() && nick != self.current {
                    let stranger = core::mem::take(&mut self.current);
                    self.occupant_came(cx, &stranger);
                }
                let occupant_id = message::occupant_id(element).map(Into::into);
                self.privacy = said.status.privacy;
                self.let_in(cx, nick, occupant_id, said.status.created)
            }
            Standing::Joining => {
                // XEP-0045 section 7.2.2 has the others' presence come first, and a
                // room may give us another nick than the one we asked for. Rooms
                // that know no 110 end with the subject, or with silence.
                self.provisional = Some(message::occupant_id(element).map(Into::into));
                self.privacy = said.status.privacy;
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

    fn rename(&mut self, cx: &mut Cx<'_>, nick: &str) {
        if nick != self.current {
            self.own_nicks.insert(nick.into());
            self.renamed();
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
            // The parting of an older stream of ours, while we join anew, or of an attempt
            // that was given up.
            self.parted.answered();
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
            // The answer to our own leave of a while ago: the room was slow, and we gave
            // up a first attempt to get in. What was asked for after that holds, and what
            // was read since then was asked for later still.
            LeaveCause::Asked if self.parted.take_answer(cx) => return RoomOutput::Nothing,
            LeaveCause::Asked => LeaveCause::Unexplained,
            cause => cause,
        };
        match removal(&cause) {
            Removal::Return => {
                let pause = self.pause(cx);
                self.step_out(cx, cause, pause)
            }
            // Who waits to be let in hears of it at once.
            Removal::Kick if !self.entered => self.out(cx, cause),
            Removal::Kick => match self.kicks.kicked(cx.now, cx.timing) {
                Some(least) => {
                    // All who were kicked together do not come back together.
                    let pause = least.saturating_add(cx.ids.jitter(part(least, 2)));
                    self.grounded = Some(cx.now.plus(pause));
                    self.step_out(cx, cause, pause)
                }
                None => self.out(cx, cause),
            },
            Removal::Final => self.out(cx, cause),
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
}
