//! What is said in rooms (XEP-0045 v1.35.5, sections 7.2.13 to 7.5; XEP-0359
//! v0.7.0): messages to all, private ones, the subject, the history.

use alloc::string::String;
use core::time::Duration;

use super::archive::Stored;
use super::hub::{Due, Hub};
use super::muc::{Muc, NO_SERVICE};
use super::room::{Occupant, Room, Subject};
use super::session::SessionId;
use super::stanza::{Refusal, inner};
use super::{Note, ns, stamp};
use crate::jid::Jid;
use crate::xml::Element;
use crate::{Condition, Instant};

/// The most messages of the history that both servers send.
const HISTORY: usize = 20;

/// Messages are refused beyond so many a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimit {
    pub(super) per_second: u32,
    pub(super) until: Instant,
    /// When the second that is counted began.
    pub(super) since: Instant,
    pub(super) passed: u32,
}

impl RateLimit {
    fn passes(&mut self, now: Instant) -> bool {
        if now >= self.until {
            return true;
        }
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.since, self.passed) = (now, 0);
        }
        let passes = self.passed < self.per_second;
        self.passed = self.passed.saturating_add(u32::from(passes));
        passes
    }
}

/// What who is not in a room is told; each server in its own words.
pub(super) const fn not_inside(prosody: bool) -> Refusal {
    if prosody {
        Refusal::cancel(Condition::NotAcceptable)
            .saying("You are not currently connected to this chat")
    } else {
        Refusal::modify(Condition::NotAcceptable)
            .saying("Only occupants are allowed to send messages to the conference")
    }
}

impl Muc {
    /// Takes a message to a room.
    pub(super) fn on_message(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        message: Element<'_>,
    ) {
        let inside = self
            .rooms
            .get(jid)
            .is_some_and(|r| r.occupant(session).is_some());
        match message.attr("type") {
            Some("groupchat") => {}
            Some("error") if inside => return self.on_error(hub, session, jid, message),
            Some("error") => return,
            // Measured: ejabberd says nothing.
            _ if !hub.is_prosody() => return,
            _ => return hub.refuse(session, message, NO_SERVICE),
        }
        if let Err(refusal) = self.post(hub, session, jid, message) {
            hub.refuse(session, message, refusal);
            let note = Note::Refused {
                room: jid.into(),
                jid: hub.address(session),
                origin_id: origin_id(message).map(Into::into),
            };
            hub.note(note);
        }
    }

    fn post(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        message: Element<'_>,
    ) -> Result<(), Refusal> {
        let missing = if self.gone.contains(jid) {
            Condition::Gone
        } else {
            Condition::ItemNotFound
        };
        let room = self.rooms.get_mut(jid).ok_or(Refusal::cancel(missing))?;
        // XEP-0045 section 7.4: "If the sender is not an occupant of the room, the
        // service SHOULD return a <not-acceptable/> error to the sender".
        room.occupant(session).ok_or(not_inside(hub.is_prosody()))?;
        let limit = self.limit.as_mut();
        if limit.is_some_and(|limit| !limit.passes(hub.now)) {
            return Err(Refusal::wait(Condition::ResourceConstraint));
        }
        let body = message.child("body", ns::CLIENT);
        match (body, message.child("subject", ns::CLIENT)) {
            (None, Some(subject)) => room.change_subject(hub, session, message, subject.text()),
            (None, None) => {
                let sender = room.occupant(session).ok_or(not_inside(hub.is_prosody()))?;
                room.reflect(hub, session, message, "", &room.contents(message, sender));
                Ok(())
            }
            (Some(body), _) => {
                self.say(hub, session, jid, message, body.text());
                Ok(())
            }
        }
    }

    /// A room accepts a message, archives it and sends it to all.
    fn say(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        message: Element<'_>,
        body: &str,
    ) {
        let lag = self.lag;
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        let Some(sender) = room.occupant(session).cloned() else {
            return;
        };
        let contents = room.contents(message, &sender);
        let place = room.archives.then(|| hub.ids.archived(hub.wall_clock()));
        let (mut head, mut tail) = (String::new(), String::new());
        if let Some((id, _)) = &place {
            let mark = ids(jid, id, !hub.is_prosody());
            *(if hub.is_prosody() {
                &mut tail
            } else {
                &mut head
            }) = mark;
        }
        let origin = origin_id(message);
        hub.note(Note::Accepted {
            room: jid.into(),
            archive_id: place.as_ref().map(|(id, _)| id.clone()),
            nick: sender.nick.clone(),
            jid: sender.jid.clone(),
            origin_id: origin.map(Into::into),
            body: body.into(),
        });
        room.reflect(hub, session, message, &head, &[&contents, &*tail].concat());
        let Some((id, micros)) = place else {
            return;
        };
        room.archive.push(Stored {
            id,
            micros,
            shows: hub.now.plus(lag),
            nick: sender.nick,
            jid: sender.jid,
            stanza: message.attr("id").map(Into::into),
            origin: origin.map(Into::into),
            body: body.into(),
            inner: [head, contents].concat(),
            tombstone: false,
        });
        let excess = room.archive.entries().len() > hub.setup.archive_limit;
        self.reveal(hub, jid);
        if excess {
            self.expire(hub, jid, hub.setup.archive_limit);
        }
    }

    /// Shows what is due in an archive, and waits for what is not.
    pub(super) fn reveal(&mut self, hub: &mut Hub, jid: &str) {
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        while let Some(shown) = room.archive.reveal(hub.now) {
            let archive_id = shown.id.clone();
            let room = jid.into();
            hub.note(Note::Archived { room, archive_id });
        }
        if let Some(at) = room.archive.next_shows() {
            hub.timers.insert((at, Due::Archive(jid.into())));
        }
    }

    /// Only the latest `keep` messages stay.
    pub(super) fn expire(&mut self, hub: &mut Hub, jid: &str, keep: usize) {
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        while room.archive.entries().len() > keep {
            if let Some((oldest, true)) = room.archive.pop_oldest() {
                hub.note(Note::Unarchived {
                    room: jid.into(),
                    archive_id: oldest.id,
                });
            }
        }
    }

    /// Takes a message to one occupant (XEP-0045, section 7.5).
    pub(super) fn on_private(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        to: &Jid,
        nick: &str,
        message: Element<'_>,
    ) {
        let jid = to.bare_str();
        let room = self.rooms.get(jid);
        let Some((room, from)) = room.and_then(|r| Some((r, r.occupant(session)?))) else {
            return hub.refuse(session, message, not_inside(hub.is_prosody()));
        };
        match message.attr("type") {
            Some("error") => return self.on_error(hub, session, jid, message),
            Some("groupchat") => {
                let refusal = Refusal::modify(Condition::BadRequest);
                return hub.refuse(session, message, refusal);
            }
            _ => {}
        }
        if room.by_nick(nick).is_none() {
            let refusal = Refusal::cancel(Condition::ItemNotFound);
            return hub.refuse(session, message, refusal);
        }
        let from = [&room.jid, "/", &from.nick].concat();
        let contents = inner(message, |child| child.ns() != ns::MUC_USER);
        for target in room.occupants.iter().filter(|o| o.nick == nick) {
            hub.send_with(
                target.session,
                "message",
                |w| {
                    w.start("message")
                        .attr("from", &from)
                        .attr("to", &target.jid);
                    w.attr("type", message.attr("type").unwrap_or("normal"));
                    if let Some(id) = message.attr("id") {
                        w.attr("id", id);
                    }
                },
                &contents,
                |w| {
                    w.start("x").attr("xmlns", ns::MUC_USER).end();
                },
            );
        }
    }
}

impl Room {
    /// What of a message is the sender's to say. XEP-0359 section 3, rule 5: ids
    /// that claim to be by the room are removed; so is what only a room says. The
    /// occupant's id is the room's to say (XEP-0421, section 4).
    fn contents(&self, message: Element<'_>, sender: &Occupant) -> String {
        let is_ours = |by: Option<&str>| {
            let by = by.and_then(|by| Jid::parse(by).ok());
            by.is_some_and(|by| by.as_str() == self.jid)
        };
        let mut contents = inner(message, |child| match (child.name(), child.ns()) {
            ("stanza-id", ns::SID) | ("archived", ns::MAM_OLD) => !is_ours(child.attr("by")),
            ("delay", ns::DELAY) => !is_ours(child.attr("from")),
            ("occupant-id", ns::OCCUPANT_ID) | ("x", ns::MUC_USER) => false,
            _ => true,
        });
        if let Some(id) = &sender.occupant_id {
            contents.push_str("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='");
            contents.push_str(id);
            contents.push_str("'/>");
        }
        contents
    }

    /// Sends a message of an occupant to all, itself included.
    fn reflect(
        &self,
        hub: &mut Hub,
        session: SessionId,
        message: Element<'_>,
        head: &str,
        contents: &str,
    ) {
        let Some(sender) = self.occupant(session) else {
            return;
        };
        let from = [&self.jid, "/", &sender.nick].concat();
        let lang = message.attr_ns("lang", ns::XML).unwrap_or("en");
        let contents = [head, contents].concat();
        for to in &self.occupants {
            hub.send_with(
                to.session,
                "message",
                |w| {
                    w.start("message").attr("from", &from).attr("to", &to.jid);
                    w.attr("type", "groupchat").attr("xml:lang", lang);
                    if let Some(id) = message.attr("id") {
                        w.attr("id", id);
                    }
                },
                &contents,
                |_| {},
            );
        }
    }

    /// XEP-0045 section 8.1. Measured: on Prosody moderators may by default, on
    /// ejabberd everybody.
    fn change_subject(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        message: Element<'_>,
        text: &str,
    ) -> Result<(), Refusal> {
        let Some(sender) = self.occupant(session) else {
            return Err(not_inside(hub.is_prosody()));
        };
        if hub.is_prosody() && !self.moderates(&sender.bare) {
            return Err(Refusal::auth(Condition::Forbidden));
        }
        self.subject = Some(Subject {
            text: text.into(),
            nick: sender.nick.clone(),
        });
        let Some(sender) = self.occupant(session) else {
            return Err(not_inside(hub.is_prosody()));
        };
        self.reflect(hub, session, message, "", &self.contents(message, sender));
        Ok(())
    }

    /// Sends what was said before, as much of it as the joining asks for, and the
    /// subject, which ends the joining (XEP-0045, sections 7.2.13 to 7.2.15).
    pub(super) fn introduce_history(
        &self,
        hub: &mut Hub,
        session: SessionId,
        x: Option<Element<'_>>,
    ) {
        let asked = x.and_then(|x| x.child("history", ns::MUC));
        let number = |name| asked.and_then(|h| h.attr(name)?.parse::<usize>().ok());
        let most = if number("maxchars") == Some(0) {
            0
        } else {
            number("maxstanzas").unwrap_or(HISTORY).min(HISTORY)
        };
        let said = self.archive.entries().iter().filter(|m| !m.tombstone);
        let skipped = said.clone().count().saturating_sub(most);
        let to = hub.address(session);
        for message in said.skip(skipped) {
            let prosody = hub.is_prosody();
            let after = if prosody {
                ids(&self.jid, &message.id, false)
            } else {
                String::new()
            };
            hub.send_with(
                session,
                "message",
                |w| {
                    let from = [&self.jid, "/", &message.nick].concat();
                    w.start("message").attr("from", &from).attr("to", &to);
                    w.attr("type", "groupchat");
                    if let Some(id) = &message.stanza {
                        w.attr("id", id);
                    }
                },
                &[message.inner.as_str(), &after].concat(),
                |w| {
                    w.start("delay")
                        .attr("xmlns", ns::DELAY)
                        .attr("from", &self.jid)
                        .attr("stamp", &stamp_of(prosody, message.micros))
                        .end();
                },
            );
        }
        let nick = self.subject.as_ref().map(|s| s.nick.as_str());
        let text = self.subject.as_ref().map(|s| s.text.as_str());
        hub.send(session, |w| {
            w.start("message").attr("to", &to).attr("type", "groupchat");
            match nick {
                Some(nick) => w.attr("from", &[&self.jid, "/", nick].concat()),
                None => w.attr("from", &self.jid),
            };
            w.start("subject").text(text.unwrap_or_default()).end();
            w.end();
        });
    }
}

/// The marks by which a room says where it archived a message, as markup. Rooms'
/// addresses and ids hold nothing but what an attribute can carry as it is, or
/// are escaped here.
fn ids(room: &str, id: &str, old_too: bool) -> String {
    let mut bytes = alloc::vec::Vec::new();
    let mut w = crate::xml::Writer::new(&mut bytes);
    if old_too {
        w.start("archived")
            .attr("by", room)
            .attr("id", id)
            .attr("xmlns", ns::MAM_OLD)
            .end();
    }
    w.start("stanza-id")
        .attr("by", room)
        .attr("id", id)
        .attr("xmlns", ns::SID)
        .end();
    let _ = w.finish();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A stamp as the server writes it.
pub(super) fn stamp_of(prosody: bool, micros: u64) -> String {
    if prosody {
        stamp::seconds(micros)
    } else {
        stamp::microseconds(micros)
    }
}

/// The id that the sender says it gave (XEP-0359, section 2.2).
fn origin_id<'a>(message: Element<'a>) -> Option<&'a str> {
    message.child("origin-id", ns::SID)?.attr("id")
}
