//! What a host has asked archives for and read from rooms: without it, it has no reason to
//! say that it does not know all.
//!
//! Taken from the bytes, like all in [`wire`](super::wire): what a room says of itself, what
//! it says live, and how its archive answers. What others say in its name is left out, as
//! the client has to.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;
use crate::xml::Element;

const CLIENT: &str = "jabber:client";
const MAM: &str = "urn:xmpp:mam:2";
const SID: &str = "urn:xmpp:sid:0";
const DISCO: &str = "http://jabber.org/protocol/disco#info";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// An answer that takes longer may have come too late.
const SLOW: Duration = Duration::from_secs(10);

/// What the rooms said to one process of a host.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rooms: BTreeMap<String, FromRoom>,
    /// Questions without an answer, by their id.
    open: BTreeMap<String, Question>,
}

/// What there is to say for a host that is told something of a room that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness<'a> {
    pub(super) seen: &'a Seen,
    /// The room's address.
    pub(super) room: &'a str,
    /// The host's own full address.
    pub(super) jid: &'a str,
    /// It stood still until now.
    pub(super) told_late: bool,
    /// Its timers cannot be told by the world's clock.
    pub(super) disturbed: bool,
    /// So many messages it holds back.
    pub(super) held: usize,
}

#[derive(Debug)]
struct Question {
    room: String,
    of_archive: bool,
    at: Instant,
}

/// What one room said.
#[derive(Debug, Default)]
pub(super) struct FromRoom {
    /// Whether it has an archive whose ids are on its messages, by its answer to who asked
    /// last in this session.
    pub(super) archives: Option<bool>,
    heard: Vec<Heard>,
    failed: Vec<Failed>,
}

/// A message that came live.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    /// Its place in the archive, if it came with one.
    pub(super) id: Option<String>,
    pub(super) bytes: usize,
}

/// A query of its archive that was not answered, or not well.
#[derive(Debug)]
pub(super) struct Failed {
    at: Instant,
    /// Refused for this; else it took long.
    pub(super) condition: Option<String>,
}

impl Seen {
    /// The host wrote a stanza.
    pub(super) fn said(&mut self, element: Element<'_>, now: Instant) {
        let (Some(id), Some(to)) = (element.attr("id"), element.attr("to")) else {
            return;
        };
        let of_archive = element.child("query", MAM).is_some();
        if element.name() == "iq" && (of_archive || element.child("query", DISCO).is_some()) {
            let question = Question {
                room: to.into(),
                of_archive,
                at: now,
            };
            if !of_archive && let Some(room) = self.rooms.get_mut(to) {
                // Its answer counts, and that may not come.
                room.archives = None;
            }
            // What is sent again was asked before.
            self.open.entry(id.into()).or_insert(question);
        }
    }

    /// The host has a session of its own: what rooms said of themselves before is old.
    pub(super) fn bound(&mut self) {
        for room in self.rooms.values_mut() {
            room.archives = None;
        }
    }

    /// The host read a stanza.
    pub(super) fn heard(&mut self, element: Element<'_>, bytes: usize, now: Instant) {
        let Some(from) = element.attr("from") else {
            return;
        };
        match (element.name(), element.attr("type")) {
            ("message", Some("groupchat")) if element.child("body", CLIENT).is_some() => {
                let Some((room, _)) = from.split_once('/') else {
                    return;
                };
                let ids = element.children().filter(|e| e.is("stanza-id", SID));
                let mut ids = ids.filter(|e| e.attr("by") == Some(room));
                let id = ids.next().and_then(|e| e.attr("id")).map(String::from);
                let heard = Heard { at: now, id, bytes };
                self.rooms.entry(room.into()).or_default().heard.push(heard);
            }
            ("iq", Some(kind @ ("result" | "error"))) => {
                let id = element.attr("id").unwrap_or_default();
                if self.open.get(id).is_some_and(|asked| asked.room == from)
                    && let Some(asked) = self.open.remove(id)
                {
                    let room = self.rooms.entry(asked.room.clone()).or_default();
                    room.answers(&asked, element, kind == "error", now);
                }
            }
            _ => {}
        }
    }

    pub(super) fn of(&self, room: &str) -> Option<&FromRoom> {
        self.rooms.get(room)
    }

    /// Queries of an archive since then that nobody answered.
    pub(super) fn unanswered(&self, room: &str, since: Instant) -> usize {
        let of_it = |asked: &&Question| asked.of_archive && asked.room == room && asked.at >= since;
        self.open.values().filter(of_it).count()
    }
}

impl FromRoom {
    fn answers(&mut self, asked: &Question, answer: Element<'_>, refused: bool, now: Instant) {
        if !asked.of_archive {
            let says = |feature: &str| {
                let query = answer.child("query", DISCO);
                let mut features = query.into_iter().flat_map(|query| query.children());
                features.any(|f| f.name() == "feature" && f.attr("var") == Some(feature))
            };
            self.archives = (!refused).then(|| says(MAM) && says(SID));
            return;
        }
        let error = answer.child("error", CLIENT).filter(|_| refused);
        let mut conditions = error.into_iter().flat_map(|error| error.children());
        let condition = conditions.find(|e| e.ns() == STANZAS && e.name() != "text");
        if refused || now.since(asked.at) > SLOW {
            self.failed.push(Failed {
                at: now,
                condition: condition.map(|e| e.name().into()),
            });
        }
    }

    /// What came live since then.
    pub(super) fn heard_since(&self, since: Instant) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.at >= since)
    }

    /// What of its archive failed since then.
    pub(super) fn failed_since(&self, since: Instant) -> impl Iterator<Item = &Failed> {
        self.failed.iter().filter(move |failed| failed.at >= since)
    }
}
