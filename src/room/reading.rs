//! Reading what is said in a room: live, and out of its archive.
//!
//! Only messages with a body are the topic's (XEP-0045 v1.35.5, section 7.4);
//! subjects are told apart, and what the room says of its configuration (section 10.2.1);
//! everything else is nothing to us. A message is our
//! own by its id, never by its nick alone.

use alloc::boxed::Box;

use super::search::Seen;
use super::{Room, RoomOutput, Standing};
use crate::cx::Cx;
use crate::event::{Message, RoomEvent, RoomInfo, Source};
use crate::ids::ArchiveId;
use crate::jid::same_address;
use crate::mam::Archived;
use crate::muc::Configuration;
use crate::ns;
use crate::stanza::{self, delay, message};
use crate::xml::Element;

/// Whether the ids that a room gives are places in an archive. XEP-0313 v1.1.3 section
/// 3.5: "clients MUST NOT interpret XEP-0359 IDs in messages as archive IDs unless the
/// server advertises support for 'urn:xmpp:mam:2' specifically"; and a room that does not
/// advertise `urn:xmpp:sid:0` lets anybody forge them.
pub(super) const fn ids_are_places(info: &RoomInfo) -> bool {
    info.archive && info.stanza_ids
}

/// What the ids are worth that a room puts on its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Places {
    /// They are places in its archive.
    Sure,
    /// It has not said: they may turn out to be.
    Unsaid,
    /// Nothing.
    None,
}

impl Room {
    /// A message of the room came; `nick` is whose, `None` if it is the room's own.
    /// It is copied only if somebody follows the room.
    pub(crate) fn on_message(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: Option<&str>,
        followed: bool,
    ) -> RoomOutput {
        match element.attr("type") {
            Some("error") => {
                // From the room, or as bounced from ourselves in it.
                if nick.is_none_or(|nick| nick == self.current)
                    && let Some(id) = element.attr("id")
                {
                    let error = stanza::error::parse(element);
                    let condition = error.condition;
                    self.outbox.refused(cx, id, error);
                    if self.outbox.is_own(id) {
                        return self.post_refused(cx, condition);
                    }
                }
                return RoomOutput::Nothing;
            }
            Some("groupchat") => self.heard_of(cx.now),
            // Private messages, invitations: not the topic's.
            _ => return RoomOutput::Nothing,
        }
        // XEP-0045 section 7.2.15: "a message with a <subject/> but no <body/>"; and section 8.1:
        // one with a <subject/> and a <thread/> "SHALL NOT be interpreted as a subject change".
        let subject = element.child("subject", ns::CLIENT);
        if let Some(subject) = subject
            && element.child("body", ns::CLIENT).is_none()
            && element.child("thread", ns::CLIENT).is_none()
        {
            let event = RoomEvent::Subject {
                text: subject.text().into(),
                by: nick.map(Into::into),
            };
            self.tell(cx, event);
            self.history_told = true;
            // It ends what a room says to those who enter.
            return self.presume(cx);
        }
        let inside = matches!(
            self.standing,
            Standing::In | Standing::Examining | Standing::Unlocking
        );
        match nick {
            Some(nick) if inside && !self.is_history(cx, element) => {
                self.history_told = true;
                self.on_said(cx, element, nick, followed)
            }
            Some(nick) => {
                // A room that we took for having dropped us, and that did not; or what was
                // said before we came, which is for the archive to tell in its order.
                self.reflection(cx, element, nick);
                RoomOutput::Nothing
            }
            None => {
                self.configured(cx, element);
                RoomOutput::Nothing
            }
        }
    }

    /// The room itself said something: perhaps that its configuration changed. XEP-0045
    /// v1.35.5 section 14.3: "A client MUST also warn the user if the room's configuration is
    /// subsequently modified to allow room logging"; section 14.5 has the same of addresses.
    fn configured(&mut self, cx: &mut Cx<'_>, element: Element<'_>) {
        // Before we are in, it is about the stay before.
        let Some(Configuration { privacy, other }) = Configuration::read(element, self.privacy)
            .filter(|_| !matches!(self.standing, Standing::Joining | Standing::Waiting))
        else {
            return;
        };
        // What it can do may have changed with that: whether it has an archive, above all.
        self.ask_anew(cx);
        let changed = core::mem::replace(&mut self.privacy, privacy) != privacy;
        // Else it is told with the rest, once we are.
        if self.is_in() && changed {
            self.tell(cx, RoomEvent::PrivacyChanged(privacy));
        }
        if self.is_in() && other {
            self.tell(cx, RoomEvent::ConfigChanged);
        }
    }

    /// Whether a message was said before we came, although none such was asked for.
    ///
    /// XEP-0045 section 7.2.13: "Discussion history messages MUST be stamped with Delayed
    /// Delivery", the 'from' of which "MUST be set to the JID of the room itself", and all of
    /// them come "before delivering the room subject and any "live" messages". After the
    /// subject, or what was said live, such a stamp is somebody's own, and hides nothing; nor
    /// where neither comes, once a room has had the time to tell what was.
    fn is_history(&self, cx: &Cx<'_>, element: Element<'_>) -> bool {
        let room = self.jid.as_str();
        let mut delays = element.children().filter(|c| c.is("delay", ns::DELAY));
        let is_over = |arrived| cx.now.since(arrived) >= cx.timing.settle;
        !self.history_told
            && !self.arrived.is_some_and(is_over)
            && delays.any(|delay| delay.attr("from").is_some_and(|by| same_address(room, by)))
    }

    /// Settles the post that a message is the reflection of, if it is one. Returns the
    /// message's place in the archive, if the room vouches for it or may yet.
    fn reflection(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: &str,
    ) -> Option<ArchiveId> {
        let room = &self.jid;
        let id = message::stanza_id(element, |by| same_address(room.as_str(), by));
        let is_in = self.standing == Standing::In;
        let told = id.filter(|_| !is_in || self.places() != Places::None);
        let id = told.clone().filter(|_| ids_are_places(&self.info));
        if let Some(id) = id.as_ref().filter(|_| is_in) {
            let waited = self.outbox.awaits_anchor(cx.now);
            self.outbox.heard(id, cx.now);
            self.neighbours.heard(id);
            if waited {
                self.flush(cx);
            }
        }
        if nick == self.current && self.is_ours(message::occupant_id(element), Source::Live) {
            let ids = [message::origin_id(element), element.attr("id")];
            if ids.iter().flatten().any(|id| self.outbox.is_own(id)) {
                self.accepted();
            }
            self.outbox.reflected(cx, ids, id);
        }
        told
    }

    /// Somebody said something while we are in.
    fn on_said(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        nick: &str,
        followed: bool,
    ) -> RoomOutput {
        let is_in = self.standing == Standing::In;
        let id = self.reflection(cx, element, nick);
        if is_in && !followed {
            return RoomOutput::Said(None);
        }
        let Some(mut message) = message::read(element, nick, Source::Live) else {
            return RoomOutput::Nothing;
        };
        message.id = id;
        message.own = self.is_own(&message, element);
        if is_in {
            return RoomOutput::Said(Some(message));
        }
        self.early.hear(*message, cx.limits);
        RoomOutput::Nothing
    }

    /// The message in an archived result, if it is one of this room with a body.
    pub(crate) fn read_archived(&self, archived: &Archived<'_>) -> Option<Box<Message>> {
        let room = self.jid.as_str();
        let nick = archived.nick_in(|bare| same_address(room, bare))?;
        let element = archived.message?;
        let mut message = message::read(element, nick, Source::Archive)?;
        message.stamp = archived.stamp.and_then(delay::stamp).map(Into::into);
        message.own = self.is_own(&message, element);
        Some(message)
    }

    /// An archive shows this, whoever asked for it: it may be a post that is open.
    pub(crate) fn archived(&mut self, cx: &mut Cx<'_>, archived: &Archived<'_>) {
        let said = Seen::read(archived, &self.jid);
        if let (Some(said), Some(at)) = (said, ArchiveId::new(archived.id))
            && self.outbox.archived(cx, &said, at)
        {
            // Others may have waited for it.
            self.flush(cx);
        }
    }

    /// Whether this engine said it: it bears an id of ours, that of its stanza or that of
    /// its origin, under a nick of ours, and no occupant-id that says otherwise, since ids
    /// can be copied.
    fn is_own(&self, message: &Message, element: Element<'_>) -> bool {
        let ids = [message.origin_id.as_deref(), element.attr("id")];
        ids.iter().flatten().any(|id| self.outbox.is_own(id))
            && self.own_nicks.contains(message.nick.as_str())
            && self.is_ours(message.occupant_id.as_deref(), message.source)
    }

    /// Whether no occupant-id says that somebody else said it, nor the lack of one.
    ///
    /// XEP-0421 has in its business rules: "The `<occupant-id>` element MUST be attached to every
    /// message and every presence sent by a MUC." So what comes live without one, from a room
    /// that announces them and gave us ours, was not said by us, and what became of the post is
    /// found out as if nothing had come. Of what an archive shows, which the same rule is
    /// about, this is not asked: it may not keep them, or hold what was said before the room
    /// had them, and what is there must not be sent again.
    fn is_ours(&self, occupant_id: Option<&str>, source: Source) -> bool {
        match (self.occupant_id.as_deref(), occupant_id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (Some(_), None) => source != Source::Live || !self.info.occupant_ids,
            (None, _) => true,
        }
    }
}
