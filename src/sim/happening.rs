//! What happens in a world, as whoever watches it is told.

use core::time::Duration;

use crate::sim::plan::{Fault, Mishap};
use crate::sim::server::Note;
use crate::{
    Event, Fetch, Instant, JoinRoom, Post, PostId, QueryId, RoomId, Start, SubscriptionId, Timer,
};

/// A host of the world: an engine, and the bot that uses it. Counts from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// A link between a host and the server: one transport. Counts from zero
/// through the whole world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The host's.
    Host,
    /// The server's.
    Server,
}

/// How a link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// In good order: what was written arrives, then the end.
    Fin,
    /// At once: what is under way is lost, both ends are told.
    Reset,
    /// Without a word: nothing arrives any more, nobody is told.
    Silence,
    /// As [`Self::Fin`], but not in good order for TLS: the transport ends in the middle
    /// of a record, or without `close_notify` (RFC 8446, section 6.1). The host's driver
    /// says so, as a failure; the drivers of this crate take it for [`Self::Fin`], since
    /// the end of a stream is said in the stream. The server does too.
    Truncation,
    /// The server ends TLS with a fatal alert (RFC 8446, section 6.2): what is under way
    /// is lost, both ends are told, the host with the alert.
    Alert,
    /// Without a word, and in one direction only: what the other end writes still
    /// arrives.
    HalfOpen,
}

impl Ending {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Fin,
        Self::Reset,
        Self::Silence,
        Self::Truncation,
        Self::Alert,
        Self::HalfOpen,
    ];

    /// What it is called, in plans and in tallies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Truncation => "truncation",
            Self::Alert => "alert",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Something that happens, borrowed from where it happens.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Happening<'a> {
    /// A host's process starts: a new engine, a new bot, what was kept before.
    Started {
        /// Which.
        host: HostId,
        /// The account it logs in with.
        account: &'a str,
    },
    /// A host's process dies.
    Died {
        /// Which.
        host: HostId,
    },
    /// A link is being opened.
    Opening {
        /// Which.
        link: LinkId,
        /// For whom.
        host: HostId,
    },
    /// A link stands, or could not be opened.
    Opened {
        /// Which.
        link: LinkId,
        /// Whether it stands.
        stands: bool,
    },
    /// TLS stands on it: what is written from now on is protected.
    Protected {
        /// Which.
        link: LinkId,
    },
    /// An end handed bytes to its link. Bytes of TLS handshakes are not shown.
    Written {
        /// Which.
        link: LinkId,
        /// Whose.
        by: Side,
        /// What.
        bytes: &'a [u8],
    },
    /// An end was given bytes: the next of those that the other end wrote.
    Read {
        /// Which.
        link: LinkId,
        /// Who reads.
        by: Side,
        /// What.
        bytes: &'a [u8],
    },
    /// A link breaks under way; its ends learn of it later, if at all.
    Broken {
        /// Which.
        link: LinkId,
        /// How.
        how: Ending,
    },
    /// An end of a link learns that it ended, or drops it.
    Ended {
        /// Which.
        link: LinkId,
        /// Whose end.
        at: Side,
        /// How.
        how: Ending,
    },
    /// A bot asked its engine for something.
    Asked {
        /// Which host.
        host: HostId,
        /// What.
        request: Request<'a>,
    },
    /// An engine told its bot something.
    Told {
        /// Which host.
        host: HostId,
        /// What.
        event: &'a Event,
    },
    /// An engine says how much memory it holds, and whether it reads. After each instant; how many there are depends on
    /// how the world is run, so that it is no part of [`World::hash`](crate::sim::World::hash).
    Held {
        /// Which host.
        host: HostId,
        /// [`Engine::held_bytes`](crate::Engine::held_bytes).
        bytes: u64,
        /// [`Limits::worst_case_bytes`](crate::Limits::worst_case_bytes).
        most: u64,
        /// Whether it takes more from its transport: [`Wants::read`](crate::Wants::read). It
        /// does not while its host has too much to take from it, or it too much to write.
        reads: bool,
    },
    /// A bot wrote something where it survives the process.
    Kept {
        /// Which host.
        host: HostId,
        /// Under which name.
        name: &'a str,
        /// What.
        value: &'a str,
    },
    /// Something became a fact in the server.
    Noted(&'a Note),
    /// A fault of the plan takes effect.
    Fault(&'a Fault),
    /// A step of a host that a [`Fault::Mishap`] waited for: it goes wrong now.
    Mishap {
        /// Which host.
        host: HostId,
        /// What befalls it.
        what: Mishap,
    },
    /// A timer that a [`Fault::Skew`] or [`Fault::Early`] waited for: an engine is told of
    /// the time after it was due, or before.
    Untimely {
        /// Which host.
        host: HostId,
        /// Which timer.
        timer: Timer,
        /// Before it is due, not after.
        early: bool,
        /// How long before or after.
        by: Duration,
    },
    /// From now on there are no more faults: the network is clean, the server is up.
    Healed,
    /// A watcher found a rule broken.
    Violated(&'a Violation),
}

/// What a bot asked its engine for, and under which name; refusals are not shown.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Request<'a> {
    /// [`Engine::join`](crate::Engine::join).
    Join(&'a JoinRoom, RoomId),
    /// [`Engine::leave`](crate::Engine::leave).
    Leave(RoomId),
    /// [`Engine::post`](crate::Engine::post).
    Post(RoomId, &'a Post, PostId),
    /// [`Engine::fetch`](crate::Engine::fetch).
    Fetch(RoomId, &'a Fetch, QueryId),
    /// [`Engine::subscribe`](crate::Engine::subscribe).
    Subscribe(RoomId, &'a Start, SubscriptionId),
    /// [`Engine::grant`](crate::Engine::grant).
    Grant(SubscriptionId, u32),
    /// [`Engine::unsubscribe`](crate::Engine::unsubscribe).
    Unsubscribe(SubscriptionId),
    /// [`Engine::reconnect`](crate::Engine::reconnect).
    Reconnect,
    /// [`Engine::close`](crate::Engine::close).
    Close,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule: `S1` to `S20`, `L1` to `L9`.
    pub rule: &'static str,
    /// What happened, in a sentence.
    pub detail: alloc::string::String,
}

/// Somebody who watches a world.
pub trait Watch {
    /// Something happens.
    fn see(&mut self, at: Instant, happening: &Happening<'_>);
}
