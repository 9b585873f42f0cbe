//! What hosts write and read, as bytes: rules S9 to S11, S17, S19 and S20.
//!
//! A host's writing is parsed as it is handed to the link, the server's as the host
//! reads it, so that what a host could not know yet is not held against it.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::evidence::Seen;
use super::found::Found;
use super::requests::Talked;
use super::scan::{SECRET, Scan};
use crate::sim::happening::HostId;
use crate::xml::{Element, Frame, Framer};
use crate::{Instant, XmlLimits};

const CLIENT: &str = "jabber:client";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const STREAM: &str = "http://etherx.jabber.org/streams";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const SM: &str = "urn:xmpp:sm:3";
const MUC: &str = "http://jabber.org/protocol/muc";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// A link as its bytes show it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) host: HostId,
    written: Reader,
    /// The first byte after a login: not enough to tell what it begins.
    begun: Vec<u8>,
    read: Reader,
    /// Passwords are written within SASL alone, and there in base64.
    secrets: Scan,
    pub(super) talk: Talk,
}

/// What was said over a link so far.
#[derive(Debug, Default)]
pub(super) struct Talk {
    protected: bool,
    logged_in: bool,
    pub(super) bound: bool,
    /// The login succeeded just now: the next the host writes is a new stream.
    anew: bool,
    bind_id: String,
    /// Requests of the server that the host has not answered.
    pub(super) owed: Vec<Owed>,
    /// Rooms that were asked to let the host in and have not answered.
    joining: BTreeSet<String>,
    /// What has to be written first after a resumption, byte by byte, and when that was read.
    resent: VecDeque<Vec<u8>>,
    resumed_at: Instant,
    /// How many stanzas had been read when the server asked for an acknowledgement, and when
    /// that was.
    asked_at: VecDeque<(u32, Instant)>,
    resuming: bool,
    /// The host was asked to end.
    pub(super) closing: bool,
    /// The host said that its stream is over.
    pub(super) ended: bool,
    pub(super) stanzas: u32,
    /// What was said between the host and its rooms, and is not taken yet.
    pub(super) talked: Vec<Talked>,
    /// The server told what it had handled of a stream that it does not resume.
    handled: bool,
}

/// A request that is to be answered.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// Whose it is, and by what id: who asks chooses it, so that it is theirs only. Empty:
    /// the server's, or the account's own.
    from: String,
    id: String,
    /// When it was read; zero before that is known.
    since: Instant,
}

/// Stream management (XEP-0198) as a host should keep it, over all links of a session.
#[derive(Debug, Default)]
pub(super) struct Managed {
    /// Stanzas the host read since it was enabled.
    received: u32,
    enabled: bool,
    /// What the host wrote since it asked for it and the server did not acknowledge.
    unacked: VecDeque<Vec<u8>>,
    acked: u32,
    /// How many stanzas it acknowledged last.
    said: u32,
    counting: bool,
    /// What was still to be answered when the last link broke.
    owed: Vec<Owed>,
    /// Which rooms had been asked to let the host in by then.
    joining: BTreeSet<String>,
}

/// What a host knows since it read something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learnt {
    /// The server took its password.
    pub(super) logged_in: bool,
    /// Its session is bound.
    pub(super) bound: bool,
}

/// Takes bytes apart.
#[derive(Debug)]
struct Reader {
    framer: Framer,
    failed: bool,
    /// The bytes since the last frame.
    raw: Vec<u8>,
}

impl Reader {
    fn new() -> Self {
        Self {
            framer: Framer::new(XmlLimits::default()),
            failed: false,
            raw: Vec::new(),
        }
    }

    fn restart(&mut self) {
        self.framer.restart();
        self.failed = false;
        self.raw.clear();
    }

    /// Takes each frame with its bytes, without white space before them.
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>, &[u8]) -> bool) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.failed {
            let (taken, frame) = self.framer.push(rest);
            let (these, behind) = rest.split_at_checked(taken).unwrap_or_default();
            self.raw.extend_from_slice(these);
            rest = behind;
            match frame {
                None => {}
                Some(Err(_)) => self.failed = true,
                Some(Ok(frame)) => {
                    let restarts = each(frame, self.raw.trim_ascii_start());
                    self.raw.clear();
                    if restarts {
                        self.framer.restart();
                    }
                }
            }
        }
    }
}

impl Wire {
    pub(super) fn new(host: HostId) -> Self {
        Self {
            host,
            written: Reader::new(),
            begun: Vec::new(),
            read: Reader::new(),
            secrets: Scan::new(SECRET),
            talk: Talk::default(),
        }
    }

    pub(super) fn protect(&mut self) {
        self.talk.protected = true;
        self.written.restart();
        self.read.restart();
    }

    /// The host wrote something. `tls`: it may say nothing of worth in clear.
    pub(super) fn wrote(
        &mut self,
        bytes: &[u8],
        tls: bool,
        (sm, seen): (&mut Managed, &mut Seen),
        found: &mut Found,
    ) {
        self.secrets.read(bytes);
        if self.secrets.found() {
            found.violate("S19", String::from("a password is written as it is"));
        }
        let talk = &mut self.talk;
        let mut all = core::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        if talk.anew && all.len() < 2 {
            self.begun = all;
            return;
        }
        // Who does not believe the success ends the stream that there was; so does who ended
        // it before, and may be in the middle of it.
        let opens = all.starts_with(b"<") && !all.starts_with(b"</");
        if core::mem::take(&mut talk.anew) && opens {
            self.written.restart();
        }
        self.written.push(&all, |frame, raw| {
            match frame {
                Frame::Stanza(element) => {
                    talk.said(element, raw, tls, sm, found);
                    seen.said(element, found.now);
                }
                Frame::Open(_) => {}
                Frame::Close => talk.ended = true,
            }
            false
        });
        if self.written.failed && !talk.ended {
            found.violate(
                "S9",
                String::from("a host writes what is no XML of a stream"),
            );
            talk.ended = true;
        }
    }

    /// The host read something. Returns what it knows by that.
    pub(super) fn heard(
        &mut self,
        bytes: &[u8],
        (sm, seen): (&mut Managed, &mut Seen),
        found: &mut Found,
    ) -> Learnt {
        let talk = &mut self.talk;
        let (logged_in, bound) = (talk.logged_in, talk.bound);
        self.read.push(bytes, |frame, raw| match frame {
            Frame::Stanza(element) => {
                seen.heard(element, raw.len(), found.now);
                talk.was_told(element, sm, seen, found)
            }
            _ => false,
        });
        Learnt {
            logged_in: talk.logged_in && !logged_in,
            bound: talk.bound && !bound,
        }
    }
}

impl Talk {
    fn said(
        &mut self,
        element: Element<'_>,
        raw: &[u8],
        tls: bool,
        sm: &mut Managed,
        found: &mut Found,
    ) {
        let (name, ns) = (element.name(), element.ns());
        if !self.protected && tls && ns != TLS && ns != STREAM {
            found.violate("S9", format!("<{name}/> is written in clear"));
        }
        match ns {
            CLIENT => {
                // What is sent again was due when it was sent first.
                let again = sm.counting && self.resent.front().is_some_and(|it| it == raw);
                self.stanza_said(element, again, found);
                if !again {
                    self.talked.extend(Talked::said(element, self.handled));
                }
                if sm.counting {
                    self.managed_said(raw, sm, found);
                }
            }
            SM => self.sm_said(element, sm, found),
            _ => {}
        }
    }

    fn stanza_said(&mut self, element: Element<'_>, again: bool, found: &mut Found) {
        self.stanzas = self.stanzas.saturating_add(1);
        let kind = element.attr("type");
        let id = element.attr("id").unwrap_or_default();
        match element.name() {
            "iq" => {
                let setting_up = element.child("bind", BIND).is_some()
                    || element.child("session", SESSION).is_some();
                if element.child("bind", BIND).is_some() {
                    self.bind_id = id.into();
                }
                if !self.bound && !setting_up {
                    found.violate("S9", String::from("a request before the session is bound"));
                }
                let answer = matches!(kind, Some("result" | "error"));
                let to = element.attr("to").unwrap_or_default();
                if answer && !self.answers(to, id) && !again {
                    found.violate("S11", format!("an answer to no request: {id} of {to:?}"));
                }
            }
            name => {
                if !self.bound {
                    found.violate("S9", format!("<{name}/> before the session is bound"));
                }
                if kind == Some("error") {
                    found.violate("S11", format!("an error is sent for a <{name}/>"));
                }
                // What is sent again was asked before; what was read since may have answered it.
                if name == "presence" && !again {
                    self.presence_said(element, found);
                }
            }
        }
    }

    fn presence_said(&mut self, element: Element<'_>, found: &mut Found) {
        let Some(room) = element.attr("to").and_then(|to| to.split('/').next()) else {
            return;
        };
        match element.attr("type") {
            None if element.child("x", MUC).is_some() && !self.joining.insert(room.into()) => {
                found.violate("S20", format!("{room} is asked twice to let the host in"));
            }
            Some("unavailable") => {
                self.joining.remove(room);
            }
            _ => {}
        }
    }

    fn managed_said(&mut self, raw: &[u8], sm: &mut Managed, found: &mut Found) {
        if let Some(wanted) = self.resent.pop_front() {
            if wanted != raw {
                let text = String::from_utf8_lossy(raw);
                let what = format!("something else than what is to be resent: {text}");
                found.violate("S17", what);
                self.resent.clear();
            }
            return;
        }
        sm.unacked.push_back(raw.into());
    }

    fn sm_said(&mut self, element: Element<'_>, sm: &mut Managed, found: &mut Found) {
        let h = element.attr("h").and_then(|h| h.parse::<u32>().ok());
        match (element.name(), h) {
            ("enable", _) => {
                *sm = Managed {
                    counting: true,
                    ..Managed::default()
                };
            }
            ("a", Some(h)) => {
                let least = self.asked_at.front().map_or(0, |(least, _)| *least);
                // Who closes acknowledges unasked, and then may be slow to write it.
                if h > sm.received || (h < least && !self.closing) || h < sm.said {
                    let (most, least) = (sm.received, least.max(sm.said));
                    let what = format!("{h} stanzas acknowledged, where {least} to {most} came");
                    found.violate("S17", what);
                    self.asked_at.pop_front();
                }
                sm.said = h;
                // Who is asked again before it has answered may answer both at once.
                while self.asked_at.front().is_some_and(|(least, _)| *least <= h) {
                    self.asked_at.pop_front();
                }
            }
            ("resume", Some(h)) => {
                self.resuming = true;
                if h != sm.received {
                    let came = sm.received;
                    found.violate("S17", format!("resumes with h={h}, where {came} came"));
                }
            }
            _ => {}
        }
    }

    /// Returns whether a new stream follows.
    fn was_told(
        &mut self,
        element: Element<'_>,
        sm: &mut Managed,
        seen: &mut Seen,
        found: &mut Found,
    ) -> bool {
        match (element.ns(), element.name()) {
            (SASL, "success") => {
                self.logged_in = true;
                self.anew = true;
                return true;
            }
            (CLIENT, name) => {
                if sm.enabled {
                    sm.received = sm.received.wrapping_add(1);
                }
                self.stanza_heard(name, element, seen, found.now);
                self.talked.extend(Talked::heard(element));
            }
            (SM, name) => self.sm_heard(name, element, sm, found),
            _ => {}
        }
        false
    }

    fn stanza_heard(&mut self, name: &str, element: Element<'_>, seen: &mut Seen, now: Instant) {
        let kind = element.attr("type");
        let id = element.attr("id").unwrap_or_default();
        match name {
            "iq" if matches!(kind, Some("get" | "set")) => self.owed.push(Owed {
                from: element.attr("from").unwrap_or_default().into(),
                id: id.into(),
                since: Instant::ZERO,
            }),
            "iq" if kind == Some("result") && !self.bound && id == self.bind_id => {
                self.bound = self.logged_in;
                seen.bound(now);
            }
            "presence" => {
                let room = element.attr("from").and_then(|from| from.split('/').next());
                let own = element.child("x", MUC_USER).is_some_and(|x| {
                    x.children().any(|status| {
                        status.name() == "status" && status.attr("code") == Some("110")
                    })
                });
                if let Some(room) = room.filter(|_| own || kind == Some("error")) {
                    self.joining.remove(room);
                }
            }
            _ => {}
        }
    }

    fn sm_heard(&mut self, name: &str, element: Element<'_>, sm: &mut Managed, found: &mut Found) {
        let h = element.attr("h").and_then(|h| h.parse::<u32>().ok());
        match name {
            "enabled" => {
                found.count("stream managed");
                if !matches!(element.attr("resume"), Some("true" | "1")) {
                    found.count("stream managed, without resumption");
                }
                sm.enabled = true;
                sm.received = 0;
            }
            // Before that nothing is counted that could be acknowledged.
            "r" if sm.enabled => self.asked_at.push_back((sm.received, found.now)),
            "a" => sm.acknowledge(h),
            "resumed" => {
                found.count("resumed");
                self.bound = self.logged_in;
                sm.acknowledge(h);
                // The server takes them for handled, and does not ask again.
                self.owed.append(&mut sm.owed);
                self.joining.append(&mut sm.joining);
                self.resent = sm.unacked.clone();
                self.resumed_at = found.now;
                if !self.resent.is_empty() {
                    found.count("resent");
                }
            }
            "failed" => {
                self.asked_at.clear();
                // What follows on this link is to be enabled, not resumed.
                let resuming = core::mem::take(&mut self.resuming);
                let path = match (resuming, h.is_some()) {
                    (true, true) => "resumption failed, with h",
                    (true, false) => "resumption failed, without h",
                    (false, _) => "stream management refused",
                };
                found.count(path);
                self.handled |= resuming && h.is_some();
                *sm = Managed::default();
            }
            _ => {}
        }
    }

    /// An answer was written. Says whether there was a request.
    fn answers(&mut self, to: &str, id: &str) -> bool {
        let asked = |owed: &Owed| owed.id == id && owed.from == to;
        let place = self.owed.iter().position(asked);
        place.map(|place| self.owed.swap_remove(place)).is_some()
    }

    /// Whether a request waits for too long; it is said once.
    pub(super) fn leaves_unanswered(&mut self, late: impl Fn(Instant) -> bool) -> bool {
        let before = self.owed.len();
        self.owed
            .retain(|owed| owed.since == Instant::ZERO || !late(owed.since));
        self.owed.len() < before
    }

    /// Whether a request for an acknowledgement waits for too long (XEP-0198 v1.6.3, section
    /// 4: "the recipient MUST acknowledge it"); it is said once.
    pub(super) fn leaves_unacknowledged(&mut self, late: impl Fn(Instant) -> bool) -> bool {
        let waits = self.asked_at.front().is_some_and(|(_, at)| late(*at));
        if waits {
            self.asked_at.clear();
        }
        waits
    }

    /// Whether something is still to be resent for too long after a resumption; it is said
    /// once.
    pub(super) fn leaves_unsent(&mut self, late: impl Fn(Instant) -> bool) -> bool {
        let waits = !self.resent.is_empty() && late(self.resumed_at);
        if waits {
            self.resent.clear();
        }
        waits
    }

    /// Dates what was just found to be owed.
    pub(super) fn date(&mut self, now: Instant) {
        let fresh = |owed: &&mut Owed| owed.since == Instant::ZERO;
        for owed in self.owed.iter_mut().filter(fresh) {
            owed.since = now;
        }
    }
}

impl Managed {
    /// The link broke: what was to be answered there, by either side, still is, if the
    /// stream is resumed.
    pub(super) fn keep(&mut self, talk: Talk) {
        if self.enabled {
            self.owed.extend(talk.owed);
            self.joining.extend(talk.joining);
        }
    }

    fn acknowledge(&mut self, h: Option<u32>) {
        let Some(h) = h else { return };
        while self.acked != h && self.unacked.pop_front().is_some() {
            self.acked = self.acked.wrapping_add(1);
        }
        self.acked = h;
    }
}
