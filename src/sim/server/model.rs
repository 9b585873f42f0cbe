//! The model without its framers: the hub and the rooms, and what concerns both.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};

use super::connection::Stage;
use super::hub::{Due, Hub};
use super::muc::Muc;
use super::session::SessionId;
use super::{ConnectionId, Mechanisms, Note, ServerSetup, ServerTransport, ns};
use crate::{ChannelBinding, Instant, SaslCondition, Security, StreamCondition};

/// Ended streams that are remembered.
const EXPIRED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Model {
    pub(super) hub: Hub,
    pub(super) muc: Muc,
    pub(super) up: bool,
    /// Passwords that are not those of the setup any more.
    pub(super) passwords: BTreeMap<String, String>,
    /// Keys that were derived because nobody had done it ahead of time.
    pub(super) derived: super::stream::Derived,
    /// Streams that could be resumed and cannot any more: by token, who and how
    /// many stanzas of theirs were handled.
    pub(super) expired: BTreeMap<String, (String, u32)>,
    /// The most bytes of a stanza on new streams, where it is not what was set up.
    pub(super) stanza_limit: Option<u32>,
    /// Logins that will be refused, by account: why, and how many.
    pub(super) refused_logins: BTreeMap<String, (SaslCondition, u32)>,
    /// Logins that will get a false proof, by account: whether it is missing, and how many.
    pub(super) false_proofs: BTreeMap<String, (bool, u32)>,
    pub(super) forger: super::forge::Forger,
    /// Which mechanisms new streams are offered, if fewer than there are, and until when.
    pub(super) mechanisms: Option<(Mechanisms, Instant)>,
}

impl Model {
    pub(super) fn new(setup: ServerSetup, now: Instant) -> Self {
        Self {
            hub: Hub::new(setup, now),
            muc: Muc::default(),
            up: true,
            passwords: Default::default(),
            derived: Default::default(),
            expired: Default::default(),
            stanza_limit: None,
            refused_logins: Default::default(),
            false_proofs: Default::default(),
            forger: Default::default(),
            mechanisms: None,
        }
    }

    /// Lets the time come to `now` and does what is due until then. Time that
    /// runs backwards stands still.
    pub(super) fn enter(&mut self, now: Instant) {
        self.hub.now = self.hub.now.max(now);
        while let Some(due) = self.hub.take_due() {
            match due {
                Due::Close(id) => {
                    self.hub.drop_connection(id);
                }
                Due::Hibernation(session) => self.expire(session),
                Due::UnderWay(session) => self.hub.give_on(session),
                Due::Archive(room) => self.muc.reveal(&mut self.hub, &room),
            }
        }
    }

    /// Gives up the connections that nobody reads.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.hub.take_doomed() {
            self.lost(id);
        }
    }

    pub(super) fn tls_established(&mut self, id: ConnectionId, binding: ChannelBinding) {
        let Some(connection) = self.hub.connections.get_mut(&id) else {
            return;
        };
        if matches!(connection.stage, Stage::Tls) {
            connection.security = Security::Tls(binding);
            connection.stage = Stage::Header { account: None };
            connection.opened = false;
            connection.transport = ServerTransport::Open;
            self.hub.touch(id);
        }
    }

    /// Bytes came that are not heard: on a connection that waits for TLS that is
    /// the end of it.
    pub(super) fn injected(&mut self, id: ConnectionId) {
        let connection = self.hub.connections.get(&id);
        if connection.is_some_and(|c| matches!(c.stage, Stage::Tls)) {
            self.lost(id);
        }
    }

    /// The connection is gone; what of its session can be resumed hibernates.
    pub(super) fn lost(&mut self, id: ConnectionId) {
        let Some(connection) = self.hub.drop_connection(id) else {
            return;
        };
        let Stage::Bound(session) = connection.stage else {
            return;
        };
        let Some(state) = self.hub.sessions.get_mut(&session) else {
            return;
        };
        state.connection = None;
        let resumable = state.sm.as_ref().is_some_and(|sm| sm.token.is_some());
        match self
            .hub
            .setup
            .resumption
            .filter(|_| resumable && !state.is_overfull())
        {
            Some(time) => self.hub.arm(time, Due::Hibernation(session)),
            None => self.end_session(session),
        }
    }

    /// A session hibernated for too long. Both servers remember how much of it
    /// was handled, for `<failed h=…/>`.
    pub(super) fn expire(&mut self, session: SessionId) {
        let Some(state) = self.hub.sessions.get_mut(&session) else {
            return;
        };
        let sm = state.sm.as_mut();
        if let Some((token, handled)) = sm.and_then(|sm| Some((sm.token.take()?, sm.handled))) {
            if self.expired.len() >= EXPIRED {
                self.expired.pop_first();
            }
            let account = state.account.clone();
            self.expired.insert(token, (account, handled));
        }
        self.end_session(session);
    }

    /// Ends a session: its occupants leave, its address is free.
    pub(super) fn end_session(&mut self, id: SessionId) {
        let Some(session) = self.hub.sessions.remove(&id) else {
            return;
        };
        if self.hub.bound.get(&session.full) == Some(&id) {
            self.hub.bound.remove(&session.full);
        }
        if session.connection.is_none() {
            self.hub
                .timers
                .retain(|(_, due)| *due != Due::Hibernation(id));
        }
        // Measured: what was not acknowledged goes back to rooms as an error, and
        // they put out whom they get errors from.
        let unacked = session.sm.map(|sm| sm.unacked).unwrap_or_default();
        let bounced = |room: &str| {
            let of_room = |stanza: &[u8]| {
                let text = core::str::from_utf8(stanza).unwrap_or_default();
                !text.starts_with("<iq") && text.contains(&[" from='", room].concat())
            };
            unacked.iter().any(|stanza| of_room(stanza))
        };
        self.muc.leave_all(&mut self.hub, id, bounced);
        self.hub.note(Note::SessionEnded { jid: session.full });
    }

    /// Ends a session together with its stream, if it has one.
    pub(super) fn close_session(&mut self, id: SessionId, error: Option<StreamCondition>) {
        let session = self.hub.sessions.get(&id);
        let connection = session.and_then(|s| s.connection);
        let handled = session.and_then(|s| s.sm.as_ref()).map(|sm| sm.handled);
        self.end_session(id);
        if let Some(connection) = connection {
            // XEP-0198 section 4: "Either party MAY send an <a/> element at any time".
            // Measured: Prosody does before it closes a stream.
            if let Some(handled) = handled.filter(|_| self.hub.is_prosody()) {
                let handled = handled.to_string();
                self.hub.say(connection, |w| {
                    w.start("a").attr("xmlns", ns::SM).attr("h", &handled).end();
                });
            }
            self.hub.end_stream(connection, error);
        }
    }

    /// Ends a stream by the client's fault or wish, and its session.
    pub(super) fn end(&mut self, id: ConnectionId, error: Option<StreamCondition>) {
        match self.hub.session_of(id) {
            Some(session) => self.close_session(session, error),
            None => self.hub.end_stream(id, error),
        }
    }
}
