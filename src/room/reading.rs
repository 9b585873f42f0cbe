//! Reading what is said in a room: live, and out of its archive.
//!
//! Only messages with a body are the topic's (XEP-0045 v1.35.5, section 7.4);
//! subjects are told apart, everything else is nothing to us. A message is our
//! own by its id, never by its nick alone.

use alloc::boxed::Box;

use super::{Heard, Room, Standing};
use crate::cx::{Cx, same_address};
use crate::event::{Message, RoomEvent, Source};
use crate::mam::Archived;
use crate::ns;
use crate::stanza::{self, message};
use crate::xml::Element;

impl Room {
    /// A message of the room came; `nick` is whose, `None` if it is the room's own.
    pub(crate) fn on_message(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: Option<&str>,
    ) -> Heard {
        match element.attr("type") {
            Some("error") => {
                if let Some(id) = element.attr("id") {
                    self.outbox.refused(cx, id, stanza::error::parse(element));
                }
                return Heard::Nothing;
            }
            Some("groupchat") => {}
            // Private messages, invitations, configuration changes: not the topic's.
            _ => return Heard::Nothing,
        }
        if !matches!(
            self.standing,
            Standing::In | Standing::Examining | Standing::Unlocking
        ) {
            return Heard::Nothing;
        }
        // XEP-0045 section 7.2.15: "a message with a <subject/> but no <body/>".
        let subject = element.child("subject", ns::CLIENT);
        if let Some(subject) = subject
            && element.child("body", ns::CLIENT).is_none()
        {
            let event = RoomEvent::Subject {
                text: subject.text().into(),
                by: nick.map(Into::into),
            };
            self.tell(cx, event);
            return Heard::Nothing;
        }
        let Some(nick) = nick else {
            return Heard::Nothing;
        };
        let Some(mut message) = message::read(element, nick, Source::Live) else {
            return Heard::Nothing;
        };
        let room = &self.jid;
        let id = message::stanza_id(element, |by| same_address(room.as_str(), by));
        message.id = id.filter(|_| self.info.stanza_ids || self.standing != Standing::In);
        message.own = self.is_own(&message);
        if nick == self.current && self.is_ours(&message) {
            let ids = [message.origin_id.as_deref(), element.attr("id")];
            self.outbox.reflected(cx, ids, message.id.clone());
        }
        if self.standing != Standing::In {
            // What does not fit is in the archive, if there is one.
            let held = self
                .early
                .iter()
                .map(Message::weight)
                .fold(0, usize::saturating_add);
            if self.early.len() < cx.limits.held_messages && held < cx.limits.held_bytes {
                self.early.push(*message);
            }
            return Heard::Nothing;
        }
        Heard::Message(message)
    }

    /// The message in an archived result, if it is one of this room with a body.
    pub(crate) fn read_archived(&self, archived: &Archived<'_>) -> Option<Box<Message>> {
        let room = self.jid.as_str();
        let nick = archived.nick_in(|bare| same_address(room, bare))?;
        let mut message = message::read(archived.message?, nick, Source::Archive)?;
        message.stamp = archived.stamp.and_then(stanza::prose);
        message.own = self.is_own(&message);
        Some(message)
    }

    /// Whether this engine said it: it bears an id of ours, and no occupant-id
    /// that says otherwise, since ids can be copied.
    fn is_own(&self, message: &Message) -> bool {
        self.is_ours(message)
            && message
                .origin_id
                .as_deref()
                .is_some_and(|id| self.outbox.is_own(id))
    }

    /// Whether no occupant-id says that somebody else said it (XEP-0421).
    fn is_ours(&self, message: &Message) -> bool {
        match (&self.occupant_id, &message.occupant_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => true,
        }
    }
}
