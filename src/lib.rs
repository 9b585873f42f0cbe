//! An XMPP client core that a program can trust with a conversation.
//!
//! **Post** a message to a room and know what became of it, **fetch** what was
//! missed since a cursor, **subscribe** and go on where you stood, over links
//! that break and servers that restart. A topic is a room (XEP-0045), a position
//! the id that its archive gave the message (XEP-0359, XEP-0313).
//!
//! # Two ways in
//!
//! - [`Engine`], the core: a state machine without I/O, clock, randomness,
//!   threads or runtime. You bring the bytes and the time. This is all there is
//!   by default, `#![no_std]` with `alloc`.
//! - `tokio::Client`, with the feature `tokio`: the same over sockets and TLS.
//!   `embedded::EmbeddedServer`, with the feature `embedded`, is a server to try it with.
//!
//! With the core, a host is a loop:
//!
//! ```
//! use parley_xmpp::{Config, Engine, Instant, Seed, Transport};
//!
//! let config = Config::new("example.org", "alice", "secret")?;
//! // Fresh bytes from a cryptographic source; these are for the example.
//! let seed = Seed::new([7; 32]);
//! let mut engine = Engine::new(config, seed, Instant::ZERO);
//! // What it wants, it says; nothing happens behind its back.
//! assert_eq!(engine.wants().transport, Transport::Connect { attempt: 1 });
//! assert!(engine.wants().write.is_empty());
//! # Ok::<(), parley_xmpp::ConfigError>(())
//! ```
//!
//! `tests/blocking_host` in the repository is such a loop in full, over a socket
//! of the standard library; [`Engine`] states the contract.
//!
//! # What is promised
//!
//! - A **post** is checked before it is queued, and then has exactly one
//!   [`PostOutcome`]. `Committed`: the room accepted and ordered it. `Rejected`:
//!   it is not there and never will be. `NotSent`: no transport ever had all of
//!   it. `Unknown`: it may be there or not.
//! - A **subscription** gives what the room archived, in the order of the
//!   archive, each message once, then goes on live; after each interruption it
//!   reads what was missed first. Where something may be missing it says
//!   [`Entry::Gap`]; what the archive shows only after its turn comes as
//!   [`Entry::Late`].
//! - A **fetch** reads over as many pages as it takes, and ends with
//!   [`FetchEvent::Done`] or [`FetchEvent::Failed`], never with a short list that
//!   looks whole.
//! - A **stream** that ends says why, once, and whether the engine tries again. It
//!   does not try again where that cannot help: wrong password, another client
//!   in our place, a certificate that cannot be trusted. Where the server manages
//!   streams (XEP-0198), the next one resumes it: rooms stay joined, and posts in
//!   flight are sent again exactly if the server did not handle them.
//!
//! # What is not
//!
//! - `Committed` is no promise of durability. Servers may lose what they
//!   accepted when they crash: ejabberd's default archive was measured to.
//! - Posts in flight when a stream breaks are `Unknown` where the server does not
//!   let the next one resume it (XEP-0198), and does not say that it never handled
//!   them: the archive is not yet searched for them. A session is not kept beyond
//!   the life of its engine.
//! - A room that drops us without a word is not noticed until something fails
//!   (XEP-0410 is not implemented yet), but what was missed comes with the next
//!   comparison of what was delivered with the archive ([`Timing::audit`]).
//! - ejabberd answers a cursor that it no longer knows without an error, so that
//!   the gap is not seen there.
//! - No end-to-end encryption, no one-to-one chat, no contact list, no files.
//!
//! # Features
//!
//! | feature | brings | crates in all |
//! |---|---|---|
//! | none (default) | the core | 17 |
//! | `saslprep` | names and passwords beyond ASCII | 22 |
//! | `tokio` | sockets, TLS, the async interface | 39 |
//! | `srv` | finding servers in the DNS | 114 |
//! | `embedded` | a server in the same process | 49 |
//! | `cli` | the program `parley-xmpp` | 158 |
//!
//! # The house
//!
//! What stands to the right imports what stands to the left, never back; a test
//! (`tests/layering.rs`) holds it.
//!
//! ```text
//! time ids limits error ns prep <- jid <- topic command config <- xml <- event <- stanza
//!   <- cx <- { sasl  sm  rsm <- mam  muc } <- { stream  room } <- engine
//!   <- { tokio  sim } <- embedded <- bin
//! ```
//!
//! [`xml`] is the only place that sees `<`. `command` and `event` are the
//! vocabulary between host and engine. `cx` is the one door from a part of the engine to what it may
//! write, arm, draw and tell. `sm` counts stanzas, and knows what a broken stream
//! takes to be resumed. `stream` brings a connection to life, `room` keeps
//! us in a room, its posts until their outcome is known, and its messages as one
//! sequence. `engine` composes them. `tokio` and `sim` do not know each other;
//! `embedded` is the server of the one over the sockets of the other.
//!
//! Timers are a set ordered by time rather than a fixed table: rooms, posts and
//! requests each have their own, and their number is bounded by [`Limits`].

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(test, feature = "tokio"))]
extern crate std;

mod command;
mod config;
mod cx;
#[cfg(feature = "embedded")]
pub mod embedded;
mod engine;
mod error;
mod event;
mod ids;
pub mod jid;
mod limits;
mod mam;
mod muc;
mod ns;
#[doc(hidden)]
#[cfg(parley_planted)]
pub mod planted;
#[cfg(not(parley_planted))]
mod planted;
mod prep;
mod room;
mod rsm;
mod sasl;
#[cfg(feature = "sim")]
pub mod sim;
mod sm;
mod stanza;
mod stream;
mod time;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod topic;
pub mod xml;

pub use command::{Fetch, JoinRoom, Nick, Post, Start};
pub use config::{ChannelBinding, Config, ConfigError, Credentials, Plaintext, Security};
pub use engine::{Engine, JoinError, PostError, QueryError, Transport, Wants};
pub use error::{AuthFailure, Condition, ErrorType, SaslCondition, StanzaError, StreamCondition};
pub use event::{
    DiscoInfo, Entry, Event, FetchEvent, GapReason, JoinFailure, Joined, LeaveCause, Login,
    Message, NotSent, OfflineCause, PeerIncompatible, PeerMisbehaved, PostOutcome, RequestError,
    Retry, RoomEvent, RoomInfo, Source, TransportFailure, TransportFailureKind, Via,
};
pub use ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, Seed, SubscriptionId};
pub use limits::{Limits, Timing, XmlLimits};
pub use time::{Deadline, Instant, Timer};

/// The README's program compiles.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
