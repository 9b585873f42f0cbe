//! The engine: everything composed, the only owner of timers and queues.

use crate::jid::Jid;
use crate::*;
use core::fmt;

/// What the host should do for the engine now. See [`Engine::wants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants<'a> {
    /// The state the transport should be in.
    pub transport: Transport,
    /// Bytes to write, the oldest first; report what was with [`Engine::written`].
    pub write: &'a [u8],
    /// Whether to read. While `false`, input is not taken (back-pressure).
    pub read: bool,
    /// When to call [`Engine::handle_timeout`]; `None` means that only the host
    /// or the peer can change anything.
    pub deadline: Option<Deadline>,
}

/// The state the transport should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// No transport. Drop what there is.
    Closed,
    /// A new byte stream to the account's server. Answer with
    /// [`Engine::transport_opened`] or [`Engine::transport_failed`]. A number
    /// other than before means that the attempt before it was given up.
    Connect {
        /// Counts the transports asked for since the engine was made, from one.
        attempt: u32,
    },
    /// As it is.
    Open,
    /// TLS on top of it. Answer with [`Engine::tls_established`] or
    /// [`Engine::transport_failed`]. Wanted only when all has been written.
    StartTls,
    /// Write what is left, then close it and call [`Engine::handle_eof`].
    Shutdown,
}

/// An XMPP client as a state machine.
#[derive(Debug)]
pub struct Engine {
    out: alloc::vec::Vec<u8>,
}

#[allow(unused_variables, missing_docs, clippy::todo, clippy::missing_errors_doc, reason = "interface sketch")]
impl Engine {
    /// An engine that wants a transport at once.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self { todo!() }
    // A. transport inputs: infallible
    pub fn transport_opened(&mut self, now: Instant, security: Security) { todo!() }
    pub fn tls_established(&mut self, now: Instant, binding: ChannelBinding) { todo!() }
    pub fn transport_failed(&mut self, now: Instant, why: TransportFailure) { todo!() }
    #[must_use]
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize { todo!() }
    pub fn handle_eof(&mut self, now: Instant) { todo!() }
    pub fn handle_timeout(&mut self, now: Instant) { todo!() }
    pub fn written(&mut self, now: Instant, n: usize) { todo!() }
    // B. pure view
    #[must_use]
    pub fn wants(&self) -> Wants<'_> { todo!() }
    // C. events
    pub fn poll_event(&mut self) -> Option<Event> { todo!() }
    // D. commands
    /// Events for the returned room follow; the first is Joined or JoinFailed (after occupants).
    pub fn join(&mut self, now: Instant, room: JoinRoom) -> Result<RoomId, JoinError> { todo!() }
    /// Left{Asked, Never} follows. Unknown ids are ignored.
    pub fn leave(&mut self, now: Instant, room: RoomId) { todo!() }
    pub fn post(&mut self, now: Instant, room: RoomId, post: Post) -> Result<PostId, PostError> { todo!() }
    pub fn fetch(&mut self, now: Instant, room: RoomId, fetch: Fetch) -> Result<QueryId, QueryError> { todo!() }
    /// Gives up a fetch: no further event of it comes.
    pub fn cancel(&mut self, now: Instant, query: QueryId) { todo!() }
    /// A subscription that may deliver `credit` messages until more are granted. Use
    /// u32::MAX for no bound.
    pub fn subscribe(&mut self, now: Instant, room: RoomId, from: Start, credit: u32) -> Result<SubscriptionId, QueryError> { todo!() }
    /// Lets a subscription deliver `credit` messages more (saturating).
    pub fn grant(&mut self, now: Instant, subscription: SubscriptionId, credit: u32) { todo!() }
    pub fn unsubscribe(&mut self, now: Instant, subscription: SubscriptionId) { todo!() }
    /// Asks an entity what it is and can do. Event::Disco follows.
    pub fn disco_info(&mut self, now: Instant, of: Jid) -> Result<QueryId, QueryError> { todo!() }
    pub fn disco_items(&mut self, now: Instant, of: Jid) -> Result<QueryId, QueryError> { todo!() }
    /// Destroys a room we own (XEP-0045 section 10.9). Outcome: RoomEvent::Left{Destroyed} or nothing.
    pub fn destroy(&mut self, now: Instant, room: RoomId) { todo!() }
    /// Tries to connect at once, whatever the backoff or an earlier Retry::Never says.
    pub fn reconnect(&mut self, now: Instant) { todo!() }
    /// Ends in good order: Event::Closed follows.
    pub fn close(&mut self, now: Instant) { todo!() }
    // E.
    #[must_use]
    pub fn config(&self) -> &Config { todo!() }
}

/// A join was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// That room is joined already, under this id.
    AlreadyJoined(RoomId),
    /// The nick cannot be one.
    InvalidNick,
    /// [`Limits::rooms`] is reached.
    TooMany,
    /// The engine is closed or closing.
    Closed,
}

/// A post was refused; nothing changed, nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// No such room: left, or never joined.
    UnknownRoom,
    /// Nothing to say.
    Empty,
    /// A character that XML cannot carry, an escape code pasted from a terminal
    /// for instance, and its byte offset.
    ForbiddenChar(crate::xml::ForbiddenChar),
    /// Larger, once escaped, than the server takes.
    TooLarge {
        /// Bytes of the stanza.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Too many posts wait already; wait for outcomes.
    Busy,
    /// The engine is closed or closing.
    Closed,
}

/// A request was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// No such room: left, or never joined.
    UnknownRoom,
    /// Too many requests wait already; wait for outcomes.
    Busy,
    /// The engine is closed or closing.
    Closed,
}

macro_rules! explain {
    ($name:ident: $($pattern:pat => $text:literal $(, $arg:expr)*;)*) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $($pattern => write!(f, $text $(, $arg)*),)* }
            }
        }
        impl core::error::Error for $name {}
    };
}

explain! { JoinError:
    Self::AlreadyJoined(_) => "the room is joined already";
    Self::InvalidNick => "the nick is empty, too long, or holds characters that an address cannot carry";
    Self::TooMany => "too many rooms: raise Limits::rooms or leave some";
    Self::Closed => "the connection is closed";
}
explain! { PostError:
    Self::UnknownRoom => "the room is not joined";
    Self::Empty => "there is nothing to post";
    Self::ForbiddenChar(c) => "the text holds {:?} at byte {}, which XMPP cannot carry: remove or replace it", c.character, c.offset;
    Self::TooLarge { size, limit } => "the message takes {} bytes, the server takes {}: split it", size, limit;
    Self::Busy => "too many posts wait for their outcome: wait for some";
    Self::Closed => "the connection is closed";
}
explain! { QueryError:
    Self::UnknownRoom => "the room is not joined";
    Self::Busy => "too many requests wait for their answer: wait for some";
    Self::Closed => "the connection is closed";
}
