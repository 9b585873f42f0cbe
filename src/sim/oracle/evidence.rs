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
const MUC: &str = "http://jabber.org/protocol/muc";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const MAM: &str = "urn:xmpp:mam:2";
const SID: &str = "urn:xmpp:sid:0";
const DISCO: &str = "http://jabber.org/protocol/disco#info";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// How long an answer is waited for, by default ([`Timing::request`](crate::Timing::request),
/// and as long for all of a join), but for what a coarse clock makes of it.
const PATIENCE: Duration = Duration::from_millis(29_900);

/// What the rooms said to one process of a host.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rooms: BTreeMap<String, FromRoom>,
    /// Questions of this session without an answer, by their id.
    open: BTreeMap<String, Question>,
    /// How far the host's clock is ahead of the world's.
    ahead: Duration,
    /// When this session began, by the host's clock.
    began: Instant,
    /// There is one, or was.
    any: bool,
    /// When its stream broke, if it did and was not taken up again.
    broke: Option<Instant>,
    /// For how long the sessions before lasted.
    before: Duration,
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
    /// What it asks may not be written: its link is broken, or takes little at a time, and its
    /// timers cannot be told.
    pub(super) unwritten: bool,
    /// What its own clock shows.
    pub(super) clock: Instant,
    /// If it is in the room for the first time: for how long it had a session until it was.
    pub(super) first: Option<Duration>,
    /// So many messages it holds back.
    pub(super) held: usize,
}

#[derive(Debug)]
struct Question {
    room: String,
    of_archive: bool,
    at: Instant,
    /// What the host's clock showed then.
    by_clock: Instant,
}

/// What a room said of its archive to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It has one, whose ids are on its messages.
    Archives,
    /// It has none, or puts no ids on its messages that could be trusted.
    Lacks,
    /// It does not say.
    Refuses,
}

/// What one room said.
#[derive(Debug, Default)]
pub(super) struct FromRoom {
    /// What it said of its archive last in this session.
    answer: Option<Answer>,
    /// Since when that was asked and has not been answered, by the host's clock: since it was
    /// asked to let the host in, if it was just now, which has one time for all of it.
    asking: Option<Instant>,
    /// When it was asked to let the host in, for the first time since it last did.
    joining: Option<Instant>,
    /// It let the host in since.
    let_in: bool,
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
    /// Refused for this.
    pub(super) condition: Option<String>,
    /// It came when nobody waited for it any more.
    pub(super) late: bool,
}

impl Seen {
    /// The host wrote a stanza.
    pub(super) fn said(&mut self, element: Element<'_>, now: Instant) {
        let Some(to) = element.attr("to") else {
            return;
        };
        if element.name() == "presence" && element.child("x", MUC).is_some() {
            let (room, _) = to.split_once('/').unwrap_or((to, ""));
            let room = self.rooms.entry(room.into()).or_default();
            if room.let_in || room.joining.is_none() {
                (room.joining, room.let_in) = (Some(now.plus(self.ahead)), false);
            }
            return;
        }
        let of_archive = element.child("query", MAM).is_some();
        let Some(id) = element.attr("id") else {
            return;
        };
        if element.name() == "iq" && (of_archive || element.child("query", DISCO).is_some()) {
            let by_clock = now.plus(self.ahead);
            let question = Question {
                room: to.into(),
                of_archive,
                at: now,
                by_clock,
            };
            if !of_archive {
                let room = self.rooms.entry(to.into()).or_default();
                let join = room.joining.filter(|at| by_clock.since(*at) < PATIENCE);
                room.asking.get_or_insert(join.unwrap_or(by_clock));
            }
            if !of_archive && !self.open.contains_key(id) {
                // What was asked before counts no more: who comes again asks anew.
                let is_older = |asked: &Question| asked.room == to && !asked.of_archive;
                self.open.retain(|_, asked| !is_older(asked));
                self.out_of(to);
            }
            // What is sent again was asked before.
            self.open.entry(id.into()).or_insert(question);
        }
    }

    /// The host's clock is ahead of the world's by so much from now on.
    pub(super) const fn runs_ahead(&mut self, by: Duration) {
        self.ahead = by;
    }

    /// When this session began, by the host's clock.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// The stream of this session broke.
    pub(super) fn broke(&mut self, now: Instant) {
        self.broke.get_or_insert(now.plus(self.ahead));
    }

    /// It was taken up again on another.
    pub(super) const fn taken_up(&mut self) {
        self.broke = None;
    }

    /// For how long there has been a session, this and those before, at a time by the host's
    /// clock: what went by while a stream was broken that was taken up again counts.
    pub(super) fn lived(&self, clock: Instant) -> Duration {
        let until = self.broke.unwrap_or(clock);
        let now = if self.any {
            until.since(self.began)
        } else {
            Duration::ZERO
        };
        self.before.saturating_add(now)
    }

    /// The host is not in the room any more: what that said of itself before is old.
    pub(super) fn out_of(&mut self, room: &str) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.answer = None;
        }
    }

    /// The host has a session of its own: what rooms said of themselves before is old, and
    /// what was asked before is not answered any more.
    pub(super) fn bound(&mut self, now: Instant) {
        let clock = now.plus(self.ahead);
        let ended = self.broke.take().unwrap_or(clock);
        self.before = self.lived(ended);
        (self.began, self.any) = (clock, true);
        self.open.clear();
        for room in self.rooms.values_mut() {
            (room.answer, room.asking, room.joining) = (None, None, None);
        }
    }

    /// The host read a stanza.
    pub(super) fn heard(&mut self, element: Element<'_>, bytes: usize, now: Instant) {
        let Some(from) = element.attr("from") else {
            return;
        };
        match (element.name(), element.attr("type")) {
            ("presence", None) => {
                let user = element.child("x", MUC_USER);
                let mut user = user.into_iter().flat_map(|user| user.children());
                let own = user.any(|e| e.name() == "status" && e.attr("code") == Some("110"));
                let (room, _) = from.split_once('/').unwrap_or((from, ""));
                if let Some(room) = self.rooms.get_mut(room).filter(|_| own) {
                    room.let_in = true;
                }
            }
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
                    let late = now.plus(self.ahead).since(asked.by_clock) >= PATIENCE;
                    room.answers(&asked, element, (kind == "error", late), now);
                }
            }
            _ => {}
        }
    }

    pub(super) fn of(&self, room: &str) -> Option<&FromRoom> {
        self.rooms.get(room)
    }

    /// Whether a room said in this session that it has no archive to read from, or would not
    /// say, or has not said so until its time was over. Where timers cannot be told by the
    /// world's clock, or a link that is slow or broken has not taken the question yet, that
    /// time began with the session at the earliest; that of a first join is one for all
    /// sessions.
    pub(super) fn lacks_archive(&self, witness: &Witness<'_>) -> bool {
        let room = self.rooms.get(witness.room);
        let answer = room.and_then(|room| room.answer);
        let asking = room.and_then(|room| room.asking);
        let unwritten = answer.is_none() && (witness.disturbed || witness.unwritten);
        let first = witness.first.filter(|_| answer.is_none());
        let mut asking = asking.into_iter().chain(unwritten.then_some(self.began));
        let late = |at: Instant| witness.clock.since(at) >= PATIENCE;
        matches!(answer, Some(Answer::Lacks | Answer::Refuses))
            || asking.any(late)
            || first.is_some_and(|spent| spent >= PATIENCE)
    }

    /// Queries of an archive since then that nobody answered in time, where the host's clock
    /// shows this.
    pub(super) fn unanswered(&self, room: &str, since: Instant, clock: Instant) -> usize {
        let of_it = |asked: &&Question| asked.of_archive && asked.room == room && asked.at >= since;
        let late = |asked: &&Question| clock.since(asked.by_clock) >= PATIENCE;
        self.open.values().filter(of_it).filter(late).count()
    }
}

impl FromRoom {
    fn answers(
        &mut self,
        asked: &Question,
        answer: Element<'_>,
        (refused, late): (bool, bool),
        now: Instant,
    ) {
        if !asked.of_archive {
            let says = |feature: &str| {
                let query = answer.child("query", DISCO);
                let mut features = query.into_iter().flat_map(|query| query.children());
                features.any(|f| f.name() == "feature" && f.attr("var") == Some(feature))
            };
            self.asking = None;
            self.answer = Some(if refused {
                Answer::Refuses
            } else if says(MAM) && says(SID) {
                Answer::Archives
            } else {
                Answer::Lacks
            });
            return;
        }
        let error = answer.child("error", CLIENT).filter(|_| refused);
        let mut conditions = error.into_iter().flat_map(|error| error.children());
        let condition = conditions.find(|e| e.ns() == STANZAS && e.name() != "text");
        if refused || late {
            self.failed.push(Failed {
                at: now,
                condition: condition.map(|e| e.name().into()),
                late,
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
