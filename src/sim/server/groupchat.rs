//! What is said in rooms (XEP-0045 v1.35.5, sections 7.2.13 to 7.5; XEP-0359
//! v0.7.0): messages to all, private ones, the subject, the history.

use alloc::string::String;
use core::time::Duration;

use super::archive::Stored;
use super::hub::{Due, Hub};
use super::muc::{GONE, Muc, NO_ROOM, NO_SERVICE};
use super::room::{Occupant, Room, Subject};
use super::session::SessionId;
use super::stanza::{By, Refusal, markup, passed_on};
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

/// What Prosody says of an occupant that is not there.
pub(super) const NOT_THERE: &str = "Recipient not in room";

/// What who is not in a room is told. Measured: the servers do not agree on what is
/// to be done about it.
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
            GONE
        } else {
            NO_ROOM
        };
        let room = self.rooms.get_mut(jid).ok_or(missing)?;
        // XEP-0045 section 7.4: "If the sender is not an occupant of the room, the
        // service SHOULD return a <not-acceptable/> error to the sender".
        let sender = room.occupant(session).ok_or(not_inside(hub.is_prosody()))?;
        if sender.muted {
            let refusal = Refusal::auth(Condition::Forbidden);
            return Err(refusal.saying("You may not speak in this room"));
        }
        let limit = self.limit.as_mut();
        if limit.is_some_and(|limit| !limit.passes(hub.now)) {
            return Err(Refusal::wait(Condition::ResourceConstraint));
        }
        let body = message.child("body", ns::CLIENT);
        if let (None, Some(subject)) = (body, message.child("subject", ns::CLIENT)) {
            room.change_subject(hub, session, subject.text())?;
            if hub.is_prosody() {
                return Ok(());
            }
        }
        self.say(hub, session, jid, message, body.map_or("", |b| b.text()));
        Ok(())
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
        let (lag, unsettled) = (self.lag, self.settling(hub));
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        let Some(sender) = room.occupant(session).cloned() else {
            return;
        };
        let contents = room.contents(message, &sender);
        let mut place = keeps(hub, message) && room.archives;
        if place && self.fail_archiving > 0 {
            self.fail_archiving = self.fail_archiving.saturating_sub(1);
            place = false;
        }
        let place = place.then(|| hub.ids.archived(hub.wall_clock()));
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
        let stored = Stored {
            id,
            micros,
            shows: hub.now.plus(unsettled.unwrap_or(lag)),
            visible: false,
            unsettled: unsettled.is_some(),
            nick: sender.nick,
            jid: sender.jid,
            stanza: message.attr("id").map(Into::into),
            origin: origin.map(Into::into),
            body: body.into(),
            inner: [head, contents].concat(),
            tombstone: false,
        };
        room.archive.push(stored, !hub.is_prosody());
        let excess = room.archive.entries().len() > hub.setup.archive_limit;
        self.reveal(hub, jid);
        if excess {
            self.expire(hub, jid, hub.setup.archive_limit);
        }
    }

    /// How long the next message takes to show, where archives are unsettled.
    pub(super) fn settling(&self, hub: &mut Hub) -> Option<Duration> {
        let (most, until) = self.unsettled?;
        (hub.now < until).then(|| hub.delays.duration(most))
    }

    /// Whether some archive shows less than was said in its room, or may.
    pub(super) fn lags(&self, now: Instant) -> bool {
        let mut archives = self.rooms.values().map(|room| &room.archive);
        self.lag > Duration::ZERO
            || self.unsettled.is_some_and(|(_, until)| now < until)
            || archives.any(|archive| archive.next_shows().is_some())
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
            if let Some((oldest, _)) = room.archive.pop_oldest() {
                hub.note(Note::Unarchived {
                    room: jid.into(),
                    archive_id: oldest.id,
                    tombstone: false,
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
            return hub.refuse(session, message, not_inside(hub.is_prosody()).by(By::Room));
        };
        match message.attr("type") {
            Some("error") => return self.on_error(hub, session, jid, message),
            Some("groupchat") => {
                let refusal = Refusal::modify(Condition::BadRequest).by(By::Room);
                return hub.refuse(session, message, refusal);
            }
            _ => {}
        }
        if room.by_nick(nick).is_none() {
            let refusal = Refusal::cancel(Condition::ItemNotFound).by(By::Room);
            return hub.refuse(session, message, refusal.saying(NOT_THERE));
        }
        let own_id = from.occupant_id.clone();
        let from = [&room.jid, "/", &from.nick].concat();
        let prosody = hub.is_prosody();
        let lang = message.attr_ns("lang", ns::XML).unwrap_or("en");
        let mark = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
        let said = passed_on(prosody, message, |child| child.ns() != ns::MUC_USER);
        let id = own_id.map(|id| {
            markup(|w| {
                w.start("occupant-id")
                    .attr("xmlns", ns::OCCUPANT_ID)
                    .attr("id", &id)
                    .end();
            })
        });
        let contents = if prosody {
            [&*said, mark, &*id.unwrap_or_default()].concat()
        } else {
            [mark, &*said].concat()
        };
        for target in room.occupants.iter().filter(|o| o.nick == nick) {
            hub.send_with(
                target.session,
                "message",
                |w| {
                    w.start("message")
                        .attr("from", &from)
                        .attr("to", &target.jid);
                    w.attr("type", message.attr("type").unwrap_or("normal"))
                        .attr("xml:lang", lang);
                    if let Some(id) = message.attr("id") {
                        w.attr("id", id);
                    }
                },
                &contents,
                |_| {},
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
        // Measured: both pass on a role that the sender claims to have.
        let prosody = sender.occupant_id.is_some();
        let keep = |child: Element<'_>| match (child.name(), child.ns()) {
            ("stanza-id", ns::SID) | ("archived", ns::MAM_OLD) => !is_ours(child.attr("by")),
            ("delay", ns::DELAY) => !is_ours(child.attr("from")),
            ("occupant-id", ns::OCCUPANT_ID) => !prosody,
            _ => true,
        };
        let mut contents = passed_on(prosody, message, keep);
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
        // Measured: Prosody gives a message an id that has none.
        let made = hub.is_prosody().then(|| hub.ids.token());
        let id = message.attr("id").or(made.as_deref());
        for to in &self.occupants {
            hub.send_with(
                to.session,
                "message",
                |w| {
                    w.start("message").attr("from", &from).attr("to", &to.jid);
                    w.attr("type", "groupchat").attr("xml:lang", lang);
                    if let Some(id) = id {
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
        text: &str,
    ) -> Result<(), Refusal> {
        let Some(sender) = self.occupant(session) else {
            return Err(not_inside(hub.is_prosody()));
        };
        if hub.is_prosody() && !self.moderates(&sender.bare) {
            let refusal = Refusal::auth(Condition::Forbidden);
            return Err(refusal.saying("You may not change the subject"));
        }
        self.subject = Some(Subject {
            text: text.into(),
            nick: sender.nick.clone(),
            micros: hub.wall_clock(),
        });
        // Measured: Prosody makes a message of its own of it, without an id.
        if hub.is_prosody() {
            for to in &self.occupants {
                self.send_subject(hub, &to.jid, to.session, false);
            }
        }
        Ok(())
    }

    fn send_subject(&self, hub: &mut Hub, to: &str, session: SessionId, late: bool) {
        let subject = self.subject.as_ref();
        let late = late && hub.is_prosody();
        hub.send(session, |w| {
            w.start("message").attr("to", to).attr("type", "groupchat");
            match subject {
                Some(subject) => w.attr("from", &[&self.jid, "/", &subject.nick].concat()),
                None => w.attr("from", &self.jid),
            };
            let text = subject.map(|s| s.text.as_str()).unwrap_or_default();
            w.start("subject").text(text).end();
            if let Some(subject) = subject.filter(|_| late) {
                w.start("delay")
                    .attr("xmlns", ns::DELAY)
                    .attr("from", &self.jid)
                    .attr("stamp", &stamp_of(true, subject.micros))
                    .end();
            }
            w.end();
        });
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
            let mark = ids(&self.jid, &message.id, !prosody);
            let delay = markup(|w| {
                w.start("delay")
                    .attr("xmlns", ns::DELAY)
                    .attr("from", &self.jid)
                    .attr("stamp", &stamp_of(prosody, message.micros))
                    .end();
            });
            // Measured: Prosody gives what is asked for from its archive, and what is
            // not from its memory, in another order.
            let contents = match (prosody, asked.is_some()) {
                (true, true) => [&*message.inner, &*mark, &*delay].concat(),
                (true, false) => [&*message.inner, &*delay, &*mark].concat(),
                (false, _) => {
                    let rest = message.inner.strip_prefix(mark.as_str());
                    [&*mark, &*delay, rest.unwrap_or(&message.inner)].concat()
                }
            };
            hub.send_with(
                session,
                "message",
                |w| {
                    let from = [&self.jid, "/", &message.nick].concat();
                    w.start("message").attr("from", &from).attr("to", &to);
                    w.attr("type", "groupchat").attr("xml:lang", "en");
                    if let Some(id) = &message.stanza {
                        w.attr("id", id);
                    }
                },
                &contents,
                |_| {},
            );
        }
        self.send_subject(hub, &to, session, true);
    }
}

/// Whether a room keeps a message. Measured: ejabberd what has a text or a subject,
/// unless it is not to be stored, or what is to be stored; Prosody what has a body,
/// however empty, what is to be stored and markers, if no hint forbids.
fn keeps(hub: &Hub, message: Element<'_>) -> bool {
    let hint = |name| message.child(name, ns::HINTS).is_some();
    if hint("no-store") || hint("no-permanent-store") {
        return false;
    }
    let text = |name| message.child(name, ns::CLIENT).map(|child| child.text());
    if hint("store") {
        return true;
    }
    if hub.is_prosody() {
        let marker = |child: Element<'_>| child.ns() == "urn:xmpp:chat-markers:0";
        return text("body").is_some() || message.children().any(marker);
    }
    let said = |name| text(name).is_some_and(|text| !text.is_empty());
    said("body") || said("subject")
}

/// The marks by which a room says where it archived a message, as markup. Rooms'
/// addresses and ids hold nothing but what an attribute can carry as it is, or
/// are escaped here.
pub(super) fn ids(room: &str, id: &str, old_too: bool) -> String {
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
