//! What all parts of the model share: connections, sessions, the time, notes.
//!
//! [`Hub::send`] is the one way from the model to a client. Nothing here knows a
//! room or what a stanza means.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::connection::{Connection, Stage};
use super::ids::Ids;
use super::session::{Session, SessionId, is_groupchat};
use super::tamper::Tamper;
use super::{ConnectionId, Note, Personality, ServerSetup, ServerTransport, Withheld, ns};
use crate::sim::random::Random;
use crate::xml::Writer;
use crate::{Instant, Security, StreamCondition};

/// How long a client may take to close after the stream is over.
const CLOSE: Duration = Duration::from_secs(5);
/// Notes that nobody takes are kept up to this number, the oldest going first.
const NOTES: usize = 1 << 20;

/// Something that is due at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The client has not closed a connection whose stream is over.
    Close(ConnectionId),
    /// A session that lost its connection is not resumed any more.
    Hibernation(SessionId),
    /// A message of this room shows up in the archive.
    Archive(String),
    /// What was under way to the broken connection of a session comes over the new one.
    UnderWay(SessionId),
}

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) setup: ServerSetup,
    /// The domain of the rooms.
    pub(super) muc: String,
    pub(super) now: Instant,
    pub(super) ids: Ids,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    next_session: u64,
    /// Sessions by full address.
    pub(super) bound: BTreeMap<String, SessionId>,
    pub(super) timers: BTreeSet<(Instant, Due)>,
    /// Stanzas that will be tampered with, by account.
    pub(super) tampers: BTreeMap<String, Tamper>,
    /// How long messages take to show up in unsettled archives.
    pub(super) delays: Random,
    /// What is under way to a session when it is resumed.
    pub(super) resumptions: Random,
    /// How far the wall clock was set back, in microseconds.
    set_back: u64,
    /// What of stream management new streams do without, and until when.
    pub(super) withheld: Option<(Withheld, Instant)>,
    notes: VecDeque<Note>,
    changed: VecDeque<ConnectionId>,
    /// Connections to be given up at the end of this call: nobody reads them.
    doomed: Vec<ConnectionId>,
    scratch: Vec<u8>,
}

impl Hub {
    pub(super) fn new(setup: ServerSetup, now: Instant) -> Self {
        Self {
            muc: alloc::format!("muc.{}", setup.domain),
            now,
            ids: Ids::new(setup.personality, setup.seed),
            delays: Random::stream(setup.seed, "server.delays"),
            resumptions: Random::stream(setup.seed, "server.resumptions"),
            setup,
            connections: BTreeMap::new(),
            next_connection: 1,
            sessions: BTreeMap::new(),
            next_session: 1,
            bound: BTreeMap::new(),
            timers: BTreeSet::new(),
            tampers: BTreeMap::new(),
            set_back: 0,
            withheld: None,
            notes: VecDeque::new(),
            changed: VecDeque::new(),
            doomed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn is_prosody(&self) -> bool {
        self.setup.personality == Personality::Prosody
    }

    /// What the wall clock shows, in microseconds since 1970.
    pub(super) fn wall_clock(&self) -> u64 {
        let wall_clock = self.setup.wall_clock.saturating_add(self.now.as_micros());
        wall_clock.saturating_sub(self.set_back)
    }

    /// The wall clock is set back.
    pub(super) fn step_back(&mut self, back: Duration) {
        let micros = u64::try_from(back.as_micros()).unwrap_or(u64::MAX);
        self.set_back = self.set_back.saturating_add(micros);
        self.ids.step_back();
    }

    /// For how long streams can be resumed that begin now, if they can.
    pub(super) fn resumption(&self) -> Option<Duration> {
        self.setup
            .resumption
            .filter(|_| self.withheld() != Some(Withheld::All))
    }

    /// What of stream management new streams do without just now.
    pub(super) fn withheld(&self) -> Option<Withheld> {
        let (what, until) = self.withheld?;
        (self.now < until).then_some(what)
    }

    // ---- notes and timers --------------------------------------------------

    pub(super) fn note(&mut self, note: Note) {
        if self.notes.len() >= NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(note);
    }

    pub(super) fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    pub(super) fn arm(&mut self, after: Duration, due: Due) {
        self.timers.insert((self.now.plus(after), due));
    }

    /// The next thing that is due by now.
    pub(super) fn take_due(&mut self) -> Option<Due> {
        let (at, _) = self.timers.first()?;
        if *at > self.now {
            return None;
        }
        self.timers.pop_first().map(|(_, due)| due)
    }

    // ---- connections -------------------------------------------------------

    pub(super) fn open(&mut self, security: Security) -> Option<ConnectionId> {
        if self.connections.len() >= self.setup.connections {
            return None;
        }
        let id = ConnectionId(self.next_connection);
        self.next_connection = self.next_connection.saturating_add(1);
        self.connections.insert(id, Connection::new(security));
        self.touch(id);
        Some(id)
    }

    /// What the host should do for this connection may be another thing now.
    pub(super) fn touch(&mut self, id: ConnectionId) {
        let listed = self
            .connections
            .get_mut(&id)
            .is_some_and(|connection| core::mem::replace(&mut connection.listed, true));
        if !listed {
            self.changed.push_back(id);
        }
    }

    pub(super) fn poll_changed(&mut self) -> Option<ConnectionId> {
        let id = self.changed.pop_front()?;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.listed = false;
        }
        Some(id)
    }

    /// Drops a connection without a word.
    pub(super) fn drop_connection(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if !connection.listed {
            self.changed.push_back(id);
        }
        if connection.transport == ServerTransport::Shutdown {
            self.timers.retain(|(_, due)| *due != Due::Close(id));
        }
        Some(connection)
    }

    /// The next connection that nobody reads.
    pub(super) fn take_doomed(&mut self) -> Option<ConnectionId> {
        self.doomed.pop()
    }

    /// Writes markup that is no stanza, or that comes before there is a session.
    pub(super) fn say(&mut self, id: ConnectionId, write: impl FnOnce(&mut Writer<'_>)) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let mut writer = Writer::new(connection.out.buffer());
        write(&mut writer);
        // What XML cannot carry did not come through XML; then nothing is said.
        let _ = writer.finish();
        if connection.out.overflows() && !self.doomed.contains(&id) {
            self.doomed.push(id);
        }
        self.touch(id);
    }

    /// Ends our side of a stream, with an error or without. What the client says
    /// then is not heard any more.
    pub(super) fn end_stream(&mut self, id: ConnectionId, error: Option<StreamCondition>) {
        self.end_stream_with(id, error, |_| {});
    }

    /// The same, with more beside the condition.
    pub(super) fn end_stream_with(
        &mut self,
        id: ConnectionId,
        error: Option<StreamCondition>,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if matches!(connection.stage, Stage::Over) {
            return;
        }
        let opened = connection.opened;
        connection.stage = Stage::Over;
        connection.transport = ServerTransport::Shutdown;
        if !opened {
            // RFC 6120 section 4.9.1.2: "the receiving entity MUST still send the
            // opening <stream> tag".
            self.say_header(id);
        }
        if let Some(condition) = error {
            let prosody = self.is_prosody();
            self.say(id, |w| {
                w.start("stream:error");
                w.start(condition.as_str()).attr("xmlns", ns::STREAM_ERRORS);
                if condition == StreamCondition::SeeOtherHost {
                    // RFC 6120 section 4.9.3.19: it says which one.
                    w.text("elsewhere.invalid:5222");
                }
                w.end();
                if explains(prosody, condition) {
                    w.start("text").attr("xmlns", ns::STREAM_ERRORS);
                    if !prosody {
                        w.attr("xml:lang", "en");
                    }
                    w.text("The stream ends").end();
                }
                more(w);
                w.end();
            });
            self.note(Note::StreamError {
                connection: id,
                condition,
            });
        }
        self.say(id, |w| {
            w.close("stream:stream");
        });
        self.arm(CLOSE, Due::Close(id));
    }

    /// Opens our side of a stream. RFC 6120, section 4.7.
    pub(super) fn say_header(&mut self, id: ConnectionId) {
        let stream = self.ids.stream();
        let domain = self.setup.domain.clone();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.opened = true;
        }
        self.say(id, |w| {
            w.declaration();
            w.start("stream:stream")
                .attr("id", &stream)
                .attr("version", "1.0")
                .attr("xml:lang", "en")
                .attr("xmlns:stream", ns::STREAM)
                .attr("from", &domain)
                .attr("xmlns", ns::CLIENT);
        });
    }

    // ---- sessions ----------------------------------------------------------

    /// A session of an account, over a connection.
    pub(super) fn begin_session(
        &mut self,
        account: &str,
        full: &str,
        over: ConnectionId,
    ) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session = self.next_session.saturating_add(1);
        self.bound.insert(full.into(), id);
        self.sessions.insert(id, Session::new(account, full, over));
        id
    }

    pub(super) fn session_of(&self, id: ConnectionId) -> Option<SessionId> {
        match self.connections.get(&id)?.stage {
            Stage::Bound(session) => Some(session),
            _ => None,
        }
    }

    /// The session that gets what is for this one. Measured: on ejabberd one that was
    /// replaced is told that it left rooms when the new one has its address.
    pub(super) fn heir(&self, id: SessionId, full: &str) -> SessionId {
        if self.is_prosody() || self.sessions.contains_key(&id) {
            return id;
        }
        self.bound.get(full).copied().unwrap_or(id)
    }

    /// The full address of a session; empty if there is none.
    pub(super) fn address(&self, id: SessionId) -> String {
        self.sessions
            .get(&id)
            .map(|session| session.full.clone())
            .unwrap_or_default()
    }

    /// Writes a stanza for a session. It is counted, kept until it is acknowledged
    /// and written once there is a connection, if the session can do that.
    pub(super) fn send(&mut self, session: SessionId, write: impl FnOnce(&mut Writer<'_>)) {
        let mut bytes = core::mem::take(&mut self.scratch);
        bytes.clear();
        let mut writer = Writer::new(&mut bytes);
        write(&mut writer);
        if writer.finish().is_ok() {
            self.deliver(session, &bytes);
        }
        self.scratch = bytes;
    }

    /// The same with contents that are markup already: `start` opens the stanza,
    /// `name` is what it opens, `inner` and what `more` writes go into it.
    pub(super) fn send_with(
        &mut self,
        session: SessionId,
        name: &'static str,
        start: impl FnOnce(&mut Writer<'_>),
        inner: &str,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut bytes = core::mem::take(&mut self.scratch);
        bytes.clear();
        if enclose(&mut bytes, name, start, inner, more) {
            self.deliver(session, &bytes);
        }
        self.scratch = bytes;
    }

    fn deliver(&mut self, session: SessionId, stanza: &[u8]) {
        let overtakes = is_groupchat(stanza);
        if !overtakes {
            self.give_on(session);
        }
        self.deliver_in_turn(session, stanza);
        if overtakes {
            self.give_on(session);
        }
    }

    /// What was under way to the broken connection of a session when it was resumed comes after
    /// what is said over the new one, without a mark. Not measured: ejabberd's source does so, at
    /// once, so that what is asked over the new connection is answered after it.
    pub(super) fn give_on(&mut self, session: SessionId) {
        let state = self.sessions.get_mut(&session);
        let under_way = state.map(|state| core::mem::take(&mut state.under_way));
        for stanza in under_way.into_iter().flatten() {
            self.deliver_one(session, &stanza);
        }
    }

    fn deliver_in_turn(&mut self, session: SessionId, stanza: &[u8]) {
        match self.tampered(session, stanza) {
            None => self.deliver_one(session, stanza),
            Some(instead) => {
                for stanza in instead {
                    self.deliver_one(session, &stanza);
                }
            }
        }
    }

    pub(super) fn deliver_one(&mut self, session: SessionId, stanza: &[u8]) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let connection = state.connection;
        let asks = state.keep(stanza);
        let overfull = state.is_overfull();
        let Some(id) = connection else {
            if overfull {
                // Too much was missed: it can no longer be resumed.
                state.sm = None;
            }
            return;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.out.buffer().extend_from_slice(stanza);
            if asks {
                connection
                    .out
                    .buffer()
                    .extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
            }
            if (connection.out.overflows() || overfull) && !self.doomed.contains(&id) {
                self.doomed.push(id);
            }
        }
        self.touch(id);
    }

    /// Writes bytes that a session already keeps: a replay.
    pub(super) fn replay(&mut self, id: ConnectionId, stanza: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.out.buffer().extend_from_slice(stanza);
        }
        self.touch(id);
    }

    /// Answers a request with an empty result, or what `payload` writes.
    pub(super) fn result(
        &mut self,
        session: SessionId,
        from: Option<&str>,
        id: &str,
        payload: impl FnOnce(&mut Writer<'_>),
    ) {
        let to = self.address(session);
        // Measured: ejabberd names the account where nobody was asked in particular.
        let own = to.split('/').next().filter(|_| !self.is_prosody());
        let from = from.or(own);
        let lang = (!self.is_prosody()).then_some("en");
        self.send(session, |w| {
            w.start("iq")
                .attr("type", "result")
                .attr("id", id)
                .attr("to", &to);
            if let Some(from) = from {
                w.attr("from", from);
            }
            if let Some(lang) = lang {
                w.attr("xml:lang", lang);
            }
            payload(w);
            w.end();
        });
    }

    /// The addresses of an account's sessions.
    pub(super) fn sessions_of(&self, account: &str) -> Vec<SessionId> {
        self.sessions
            .iter()
            .filter(|(_, session)| session.account == account)
            .map(|(id, _)| *id)
            .collect()
    }

    /// `account@domain`.
    pub(super) fn bare(&self, account: &str) -> String {
        [account, "@", &self.setup.domain].concat()
    }

    /// A number as text, for an attribute.
    pub(super) fn decimal(number: usize) -> String {
        number.to_string()
    }
}

/// Whether a server says in words why it ends a stream. Measured.
const fn explains(prosody: bool, condition: StreamCondition) -> bool {
    use StreamCondition as C;
    match condition {
        C::Conflict => true,
        C::HostUnknown | C::InvalidXml => prosody,
        C::NotWellFormed | C::InvalidFrom | C::ConnectionTimeout => !prosody,
        _ => false,
    }
}

/// Writes an element around markup; `false` if it could not be written.
pub(super) fn enclose(
    out: &mut Vec<u8>,
    name: &'static str,
    start: impl FnOnce(&mut Writer<'_>),
    inner: &str,
    more: impl FnOnce(&mut Writer<'_>),
) -> bool {
    let mut writer = Writer::new(out);
    start(&mut writer);
    if writer.finish().is_err() {
        return false;
    }
    out.extend_from_slice(inner.as_bytes());
    let mut writer = Writer::new(out);
    more(&mut writer);
    writer.close(name);
    writer.finish().is_ok()
}
