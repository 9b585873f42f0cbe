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
//!   it is not there and never will be. `StreamKill`: the server ended the stream over
//!   it, or over what was in flight with it; it is not there, and is not sent
//!   again. `NotSent`: it is not there, and is not sent any more: no transport ever had all of
//!   it, or the server said that it did not handle it (XEP-0198), and it was not sent again.
//!   `Unknown`: it may be there or not; [`Engine::resolve`] finds out later, also in another
//!   process.
//!   Posts to a room are sent in the order of the calls, over all interruptions; only what
//!   would rather be there twice than not at all ([`OnDoubt::Resend`]) may come again later.
//! - A **subscription** gives what the room archived, in the order of the
//!   archive, each message once, then goes on live; after each interruption it
//!   reads what was missed first. Where something may be missing it says
//!   [`Entry::Gap`]; what the archive shows only after its turn comes as
//!   [`Entry::Late`]. A [`Bookmark`] keeps where its reader stands: another process goes on
//!   from it with what was not dealt with, and nothing else.
//! - A **process** that ends, however, leaves nothing that the next could not find out: a
//!   post [prepared](Engine::prepare) and written down before it left is
//!   [resolved](Engine::resolve) by it, and a session that was [suspended](Engine::suspend) goes on
//!   in it.
//! - A **fetch** reads over as many pages as it takes, and ends with
//!   [`FetchEvent::Done`] or [`FetchEvent::Failed`], never with a short list that
//!   looks whole.
//! - A **stream** that ends says why, once, and whether the engine tries again. It
//!   does not try again where that cannot help: wrong password, another client
//!   in our place, a certificate that cannot be trusted. Where the server manages
//!   streams (XEP-0198), the next one resumes it: rooms stay joined, and posts in
//!   flight are sent again exactly if the server did not handle them. However the
//!   attempts fail, there are never more than [`Limits::attempts_per_hour`].
//! - A **room** that is joined stays joined, each for itself: removals that nobody
//!   meant are answered by coming back, a kick once, a ban never. A room that loses us
//!   without a word is found out by asking it after a silence (XEP-0410).
//!
//! # What is not
//!
//! - `Committed` is no promise of durability. Servers may lose what they
//!   accepted when they crash: ejabberd's default archive was measured to.
//! - A session outlives its engine only if the engine is told to suspend it
//!   ([`Engine::suspend`]); a process that is killed begins another. The `location` at which
//!   a server would rather be asked (XEP-0198, section 5) is not followed; who suspends a session
//!   is told it ([`SavedSession::location`]).
//! - XMPP makes it impossible to post exactly once to a room at another server: what
//!   our own server accepted may wait in its queue, and arrive after the room's archive
//!   was read. Such a post is `Unknown` unless it is found ([`OnDoubt`]).
//! - Nor can a message be told that a room drops without a word from one that is lost,
//!   nor one that an archive had and has purged from one that it never had. Messages bear no
//!   numbers: what an archive failed to write, or was told not to, leaves no hole to be seen.
//! - A message that a room with an archive gives no place, or two, is told without one
//!   ([`Message::id`]). If the archive shows it all the same it is told a second time, with its
//!   place, unless its sender gave it an id (XEP-0359) by which it is known again.
//! - Who said something is told by the room. Where it gives no occupant-id (XEP-0421) that is
//!   the nick, which may have been another's before, and ids can be copied: to know its own
//!   messages, and to drop repeats, the engine then goes by nick and id. Who operates the
//!   server of the room can alter all of it.
//! - Whether a room is at our own server is told by its domain unless
//!   [`Config::own_services`] says it: where such a service is on another machine, over a
//!   queue of its own, say that it is not ours.
//! - A room that drops us without a word is noticed after a silence
//!   ([`Timing::self_ping`]) or at the next post, not at once; while its server
//!   cannot be reached it is asked again, and nothing is told of that. A room that was
//!   lost, and that somebody else made anew before we were back, looks like any other.
//!   What was missed comes with the return, or with the next comparison of what was
//!   delivered with the archive ([`Timing::audit`]).
//! - What was told is remembered by [`Limits::remembered_ids`] until it was compared. In a
//!   busy room that comes early, and once instead of twice; what an archive is late to show by
//!   more than a quarter of that is not found. Where the archive shows for a while nothing of
//!   what the room says, live messages are held back, and then a gap is told
//!   ([`GapReason::Unsettled`]); what comes live behind such a gap may be told before what
//!   belongs before it. Where an archive lost its end, and more lies before that than is
//!   remembered, it is told again ([`GapReason::CursorExpired`]).
//! - Of what was heard and left to be read from the archive, since more was said than is held back,
//!   256 messages are remembered until the archive shows them. Of more, none is missed that it shows
//!   in its turn; where it is late to show one that was heard before those, no gap is told.
//! - Servers need not keep the order of messages over a resumption (by its source ejabberd does
//!   not always). What a room says first after one is held back until its archive was read again; where
//!   that fails, a gap is told, and what was held back comes as [`Entry::Late`].
//! - A redirect (`see-other-host`) is not followed, an alternate venue not entered:
//!   where else to go is for the host to decide.
//! - A cursor is believed only while the archive shows the message that it names, since
//!   ejabberd answers one that it does not know as if nothing were new, or everything.
//!   One that it let go of, one that it lost in a crash and one that it never gave are
//!   told alike ([`RequestError::CursorExpired`]), unless it is known to be another
//!   room's ([`RequestError::CursorForeign`]).
//! - No end-to-end encryption, no one-to-one chat, no contact list, no files.
//!
//! # How that is known
//!
//! In the simulated world, rule by rule (`sim`, whose docs say how far): 200,000 worlds in a row, by
//! `parley-xmpp sim --seeds 0..200000 --keep-going` on 23 November 2026 at commit 65d85a7, broke
//! none; bugs planted to measure that are found in at most 25 worlds each. On Prosody and ejabberd,
//! through a network that breaks and with servers that are killed: the README has what was posted,
//! what became of it, and the commands.
//!
//! # A post after a break
//!
//! What is known of its stanza decides, and where nothing is, the room's archive does,
//! as soon as we are in the room again:
//!
//! | what is known | what is done |
//! |---|---|
//! | the stream is resumed, and the server did not handle it | it is sent again |
//! | resumed, and the server did | its reflection is awaited, and the room asked meanwhile whether we are in it; at the deadline `Unknown` |
//! | not resumed, and the server says how many it handled (`h`): above | it is sent again |
//! | not resumed: not above, or no `h` | the archive is read, from before the post to its end |
//! | the archive has it, by us | `Committed`, [`Via::Archive`] |
//! | it has its id, by somebody who cannot be told to be us | `Unknown`: it was said ([`CannotTell::Copied`]) |
//! | it does not, nor [`Timing::settle`] later; the room is [ours](Config::own_services), and the same resource is bound again | it is sent again |
//! | the same, but a later post is there already | `Unknown`: it would be out of order |
//! | it does not; the room is elsewhere, or another resource is bound | `Unknown` |
//! | it refuses, no longer shows the place, there is none or was none while the post was under way, or something was removed behind it | `Unknown` |
//! | it does not answer, fails for now, or is not sure (`stable='false'`) | it is asked again, until the deadline: `Unknown` |
//! | five streams in a row ended, however, in place of an answer whether it is resumed | as if it was not resumed, without `h` |
//! | the server ended a resumed stream over what was in flight | as if it was not resumed: its parser may be at fault |
//! | the server ended a new stream over what was in flight | the archive is read: `Committed`, `StreamKill` or `Unknown` |
//! | eight sessions in a row ended, however, with it as the first in flight | the same, without a condition |
//! | the stream stands, and the room put us out, or is found to have dropped us | as if it was not resumed, once we are in again |
//! | it is refused, although what was sent before may be there; or by what stands between us and a room elsewhere | `Unknown` |
//! | the archive shows it to whoever reads there | `Committed`, [`Via::Archive`] |
//!
//! To bind the same resource makes a server end the old stream, so that nothing of it
//! arrives once the archive was read: measured on Prosody and ejabberd, for rooms of
//! the same server. Sent again it is the same byte by byte, so that readers can
//! tell ([`Config::drop_repeats`]). With [`OnDoubt::Resend`] it is sent again where
//! `Unknown` stands here, except where it may have ended a stream, is refused, or was said.
//!
//! It is known by its id and our occupant-id, whatever the nick by then; where the room gives
//! none, by the nick that it was sent under. Its id alone does not say where it is, for anybody
//! can copy it, but that it was said: nobody else knew it before.
//!
//! The place to look from is known before it leaves. Where nothing was heard in the room yet
//! the end of its archive is asked for with the join, and posts wait for the answer, once we are
//! in for [`Timing::settle`] at most ([`Config::anchor_at_join`]).
//!
//! # Features
//!
//! | feature | brings | crates in all |
//! |---|---|---|
//! | none (default) | the core | 17 |
//! | `saslprep` | names and passwords beyond ASCII | 22 |
//! | `precis` | addresses beyond ASCII, prepared and compared by RFC 7622 | 51 |
//! | `tokio` | sockets, TLS, the async interface | 39 |
//! | `srv` | finding servers in the DNS | 114 |
//! | `sim` | the simulated world: servers, links and hosts in virtual time | 19 |
//! | `embedded` | a server in the same process | 49 |
//! | `cli` | the program `parley-xmpp` | 160 |
//!
//! # The house
//!
//! What stands to the right imports what stands to the left, never back; a test
//! (`tests/layering.rs`) holds it.
//!
//! ```text
//! time ids limits error ns precis prep <- jid <- topic config token
//!   <- xml <- { event  saved } <- bookmark
//!   <- command <- stanza <- cx <- { sasl  sm  rsm <- mam  muc } <- { stream  room } <- engine
//!   <- { tokio  sim } <- embedded <- bin
//! ```
//!
//! [`xml`] is the only place that sees `<`. `command` and `event` are the
//! vocabulary between host and engine, `bookmark` what a reader keeps of it. `cx` is the one door from a part of the engine to what it may
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
// What a peer can make large must neither panic nor wrap. Tests may do as they like. This lint
// and those of Cargo.toml hold it for operators, `unwrap` and the like, and slices;
// tests/panics.rs for the methods that panic.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(any(test, feature = "tokio"))]
extern crate std;

mod bookmark;
mod command;
mod config;
mod cx;
#[cfg(feature = "embedded")]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "no peer chooses these numbers"
)]
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
#[cfg(feature = "precis")]
mod precis;
mod prep;
mod room;
mod rsm;
mod sasl;
mod saved;
#[cfg(feature = "sim")]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "no peer chooses these numbers"
)]
pub mod sim;
mod sm;
mod stanza;
mod stream;
mod time;
mod token;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod topic;
pub mod xml;

pub use bookmark::{Bookmark, BookmarkError};
pub use command::{Fetch, Forbidden, JoinRoom, Nick, OnDoubt, Post, Start};
pub use config::{ChannelBinding, Config, ConfigError, Credentials, Plaintext, Security};
pub use engine::{Engine, JoinError, PostError, QueryError, Transport, Wants};
pub use error::{AuthFailure, Condition, ErrorType, SaslCondition, StanzaError, StreamCondition};
pub use event::{
    CannotTell, DiscoInfo, Entry, Event, FetchEvent, GapReason, JoinFailure, Joined, LeaveCause,
    Login, Message, NotSent, OfflineCause, PeerIncompatible, PeerMisbehaved, PostOutcome, Privacy,
    RequestError, Resolution, Retry, RoomEvent, RoomInfo, Source, TransportFailure,
    TransportFailureKind, Via,
};
pub use ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, Seed, SubscriptionId};
pub use limits::{Limits, Timing, XmlLimits};
pub use saved::{SavedSession, SavedSessionError};
pub use time::{Deadline, Instant, Timer};
pub use token::{PostToken, TokenError};

/// The README's program compiles.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
