//! A model of an XMPP server, itself without I/O or clock: streams, logins, rooms
//! and archives as Prosody 0.12 and ejabberd 23.01 were measured to keep them.
//!
//! [`Server`] is driven like an [`Engine`](crate::Engine), once for each connection:
//! bytes and time in, bytes out. What it did in truth it says in [`Note`]s; what an
//! operator, an accident or a rival does to it are [`Operation`]s.

mod note;
mod operation;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{ChannelBinding, Instant, Security};

pub use note::Note;
pub use operation::{Operation, Removal};

/// Whose habits the model has, where servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Personality {
    /// Prosody 0.12.
    Prosody,
    /// ejabberd 23.01.
    Ejabberd,
}

/// A connection to the server. Never reused within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// How a server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSetup {
    /// Whose habits it has.
    pub personality: Personality,
    /// The domain it serves; rooms are at `muc.` before it.
    pub domain: String,
    /// Names and passwords.
    pub accounts: Vec<(String, String)>,
    /// The seed of its ids and nonces.
    pub seed: u64,
    /// What its wall clock shows at [`Instant::ZERO`], in microseconds since 1970.
    pub wall_clock: u64,
    /// Whether STARTTLS is offered and required.
    pub tls: bool,
    /// Whether stream management (XEP-0198) is offered, and how long a broken
    /// stream can be resumed; `None` is not at all.
    pub resumption: Option<Duration>,
    /// The most messages in a page of the archive.
    pub page_cap: u32,
    /// PBKDF2 rounds.
    pub rounds: u32,
}

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

/// The model server.
#[derive(Debug)]
pub struct Server {
    setup: ServerSetup,
}

#[expect(
    unused_variables,
    clippy::unused_self,
    clippy::needless_pass_by_ref_mut,
    missing_docs,
    reason = "a sketch of the surface"
)]
impl Server {
    /// A server that runs, with neither rooms nor connections.
    #[must_use]
    pub fn new(setup: ServerSetup, now: Instant) -> Self {
        Self { setup }
    }
    pub fn setup(&self) -> &ServerSetup {
        &self.setup
    }
    /// A client's connection; `None` if the server is down: refused.
    pub fn accept(&mut self, now: Instant, security: Security) -> Option<ConnectionId> {
        None
    }
    pub fn tls_established(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        binding: ChannelBinding,
    ) {
    }
    pub fn handle_input(&mut self, now: Instant, connection: ConnectionId, bytes: &[u8]) {}
    pub fn handle_eof(&mut self, now: Instant, connection: ConnectionId) {}
    /// The transport broke (a reset, say).
    pub fn transport_failed(&mut self, now: Instant, connection: ConnectionId) {}
    pub fn written(&mut self, now: Instant, connection: ConnectionId, n: usize) {}
    pub fn wants(&self, connection: ConnectionId) -> ServerWants<'_> {
        ServerWants {
            transport: ServerTransport::Closed,
            write: &[],
            read: false,
        }
    }
    /// Connections whose `wants` may have changed since this was asked last.
    pub fn poll_changed(&mut self) -> Option<ConnectionId> {
        None
    }
    pub fn deadline(&self) -> Option<Instant> {
        None
    }
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn operate(&mut self, now: Instant, operation: &Operation) {}
    pub fn poll_note(&mut self) -> Option<Note> {
        None
    }
    pub fn is_up(&self) -> bool {
        true
    }
}
