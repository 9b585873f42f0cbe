//! A model of an XMPP server, itself without I/O or clock: streams, logins, rooms
//! and archives as Prosody 0.12 and ejabberd 23.01 were measured to keep them.
//!
//! [`Server`] is driven like an [`Engine`](crate::Engine), once for each connection:
//! bytes and time in, bytes out. What it did in truth it says in [`Note`]s; what an
//! operator, an accident or a rival does to it are [`Operation`]s.
//!
//! It has one domain, a room service at `muc.` before it, and no other servers. Of
//! XEP-0045 it leaves out passwords, voice, invitations and registration; nicks are
//! taken as they are. It has no contact lists, no archives of accounts, no carbons.

mod archive;
mod bind;
mod connection;
mod features;
mod forge;
mod groupchat;
mod hub;
mod ids;
mod iq;
mod keys;
mod mam;
mod model;
mod muc;
mod muc_iq;
mod note;
mod ns;
mod operate;
mod operation;
mod outbox;
mod room;
mod route;
mod sasl;
mod session;
mod setup;
mod stamp;
mod stanza;
mod stream;
mod tamper;

use alloc::collections::BTreeMap;

use self::connection::Stage;
use self::model::Model;
use self::stream::Then;
use crate::xml::Framer;
use crate::{ChannelBinding, Instant, Security};

pub use forge::{MARK, STRANGER};
pub use note::Note;
pub use operation::{Garbling, Lie, Mechanisms, Operation, Removal, Tampering, Withheld};
pub use setup::{Personality, ServerSetup};

/// A connection to the server. Never reused within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// What the server wants for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerWants<'a> {
    /// The state the transport should be in.
    pub transport: ServerTransport,
    /// Bytes to write, the oldest first. Report with [`Server::written`].
    pub write: &'a [u8],
    /// Whether to read.
    pub read: bool,
}

/// The state a connection's transport should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerTransport {
    /// As it is.
    Open,
    /// Write what is left, then let the client begin TLS, then say
    /// [`Server::tls_established`].
    StartTls,
    /// Write what is left, then close.
    Shutdown,
    /// Gone without a word: drop it.
    Closed,
}

/// A message as a room's archive holds it, in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchivedMessage<'a> {
    /// Its place.
    pub archive_id: &'a str,
    /// The sender's nick.
    pub nick: &'a str,
    /// The sender's full address.
    pub jid: &'a str,
    /// The id its sender gave it.
    pub origin_id: Option<&'a str>,
    /// The text; empty for a tombstone.
    pub body: &'a str,
    /// Whether who reads the archive sees it now.
    pub visible: bool,
    /// Whether only its place is left.
    pub tombstone: bool,
}

/// The model server.
///
/// Calls may come in any order; time that runs backwards stands still. The same
/// setup and calls give the same bytes and notes on every platform.
#[derive(Debug)]
pub struct Server {
    model: Model,
    framers: BTreeMap<ConnectionId, Framer>,
}

impl Server {
    /// A server that runs, with neither rooms nor connections.
    #[must_use]
    pub fn new(setup: ServerSetup, now: Instant) -> Self {
        Self {
            model: Model::new(setup, now),
            framers: BTreeMap::new(),
        }
    }

    /// How it is set up.
    #[must_use]
    pub const fn setup(&self) -> &ServerSetup {
        &self.model.hub.setup
    }

    /// Takes a client's connection; `None` if the server is down or full: refused.
    pub fn accept(&mut self, now: Instant, security: Security) -> Option<ConnectionId> {
        self.model.enter(now);
        if !self.model.up {
            return None;
        }
        let id = self.model.hub.open(security)?;
        let mut limits = self.model.hub.setup.xml.clone();
        if let Some(most) = self.model.stanza_limit {
            limits.stanza_bytes = usize::try_from(most).unwrap_or(usize::MAX);
        }
        self.framers.insert(id, Framer::new(limits));
        Some(id)
    }

    /// TLS stands, which [`ServerTransport::StartTls`] asked for.
    pub fn tls_established(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        binding: ChannelBinding,
    ) {
        self.model.enter(now);
        self.model.tls_established(connection, binding);
        if let Some(framer) = self.framers.get_mut(&connection) {
            framer.restart();
        }
    }

    /// Takes bytes of a client, in pieces of any size.
    pub fn handle_input(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8]) {
        self.model.enter(now);
        let Some(mut framer) = self.framers.remove(&connection) else {
            return;
        };
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if !self.model.hears(connection) {
                // What comes between `<starttls/>` and TLS would go to the latter,
                // which fails on it.
                self.model.injected(connection);
                break;
            }
            let (n, frame) = framer.push(rest);
            taken += n;
            match frame {
                None => {}
                Some(Err(error)) => {
                    // Measured: neither server tells what is not XML from what XMPP
                    // does not allow.
                    let condition = match error.condition() {
                        crate::StreamCondition::RestrictedXml => {
                            crate::StreamCondition::NotWellFormed
                        }
                        other => other,
                    };
                    self.model.end(connection, Some(condition));
                }
                Some(Ok(frame)) => match self.model.on_frame(connection, frame) {
                    Then::Continue => {}
                    Then::Restart => framer.restart(),
                },
            }
        }
        self.framers.insert(connection, framer);
        self.settle();
    }

    /// The client ended its side of the transport, or what
    /// [`ServerTransport::Shutdown`] asked for is done.
    pub fn handle_eof(&mut self, now: Instant, connection: ConnectionId) {
        self.transport_failed(now, connection);
    }

    /// The transport broke (a reset, say): what can be resumed hibernates.
    pub fn transport_failed(&mut self, now: Instant, connection: ConnectionId) {
        self.model.enter(now);
        self.model.lost(connection);
        self.settle();
    }

    /// The transport took the first `n` bytes of [`ServerWants::write`].
    pub fn written(&mut self, now: Instant, connection: ConnectionId, n: usize) {
        self.model.enter(now);
        if let Some(connection) = self.model.hub.connections.get_mut(&connection) {
            connection.out.drain(n);
        }
        self.settle();
    }

    /// What the host should do for a connection. Pure.
    #[must_use]
    pub fn wants(&self, connection: ConnectionId) -> ServerWants<'_> {
        match self.model.hub.connections.get(&connection) {
            None => ServerWants {
                transport: ServerTransport::Closed,
                write: &[],
                read: false,
            },
            Some(connection) => ServerWants {
                transport: connection.transport,
                write: connection.out.pending(),
                read: !matches!(connection.stage, Stage::Tls),
            },
        }
    }

    /// A connection whose [`wants`](Self::wants) may have changed since this was
    /// asked last.
    pub fn poll_changed(&mut self) -> Option<ConnectionId> {
        self.model.hub.poll_changed()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.model.hub.timers.first().map(|(at, _)| *at)
    }

    /// Does what is due. Spurious calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.model.enter(now);
        self.settle();
    }

    /// Does something to the server.
    pub fn operate(&mut self, now: Instant, operation: &Operation) {
        self.model.enter(now);
        self.model.operate(operation);
        self.settle();
    }

    /// Ends what was done to it and lasts: it runs, its archives neither lag nor are
    /// unsettled, what it offers is what it was set up to offer, and nobody stands between
    /// it and its clients.
    pub fn heal(&mut self, now: Instant) {
        self.model.enter(now);
        self.model.heal();
        self.settle();
    }

    /// The next thing that became a fact, in order. More than a million that
    /// nobody takes are not kept.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.model.hub.poll_note()
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.model.up
    }

    /// The bare addresses of the rooms there are.
    pub fn rooms(&self) -> impl Iterator<Item = &str> {
        self.model
            .muc
            .rooms
            .keys()
            .map(alloc::string::String::as_str)
    }

    /// Nick and full address of each session in a room, in the order of entry.
    pub fn occupants(&self, room: &str) -> impl Iterator<Item = (&str, &str)> {
        let room = self.model.muc.rooms.get(room).into_iter();
        room.flat_map(|room| &room.occupants)
            .map(|occupant| (occupant.nick.as_str(), occupant.jid.as_str()))
    }

    /// What a room's archive holds, in its order; nothing if there is no room.
    pub fn archive(&self, room: &str) -> impl DoubleEndedIterator<Item = ArchivedMessage<'_>> {
        let room = self.model.muc.rooms.get(room).into_iter();
        room.flat_map(|room| {
            let entries = room.archive.entries().iter();
            entries.map(|message| ArchivedMessage {
                archive_id: &message.id,
                nick: &message.nick,
                jid: &message.jid,
                origin_id: message.origin.as_deref(),
                body: &message.body,
                visible: message.visible,
                tombstone: message.tombstone,
            })
        })
    }

    /// Gives up what nobody reads, and forgets the framers of what is gone.
    fn settle(&mut self) {
        self.model.settle();
        let connections = &self.model.hub.connections;
        if self.framers.len() > connections.len() {
            self.framers.retain(|id, _| connections.contains_key(id));
        }
    }
}
