//! What a host asks the engine for.

use alloc::string::String;
use core::time::Duration;

use crate::ids::Cursor;
use crate::jid::BareJid;

/// A room to join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRoom {
    /// Its address.
    pub room: BareJid,
    /// The nick to go by.
    pub nick: Nick,
    /// How many kicks are answered by coming back, instead of
    /// [`Limits::kicks`](crate::Limits::kicks).
    pub kicks: Option<u32>,
}

impl JoinRoom {
    /// Joins `room` as `nick`.
    #[must_use]
    pub const fn new(room: BareJid, nick: Nick) -> Self {
        Self {
            room,
            nick,
            kicks: None,
        }
    }

    /// The same, coming back after so many kicks: see [`Limits::kicks`](crate::Limits::kicks).
    #[must_use]
    pub const fn kicks(mut self, kicks: u32) -> Self {
        self.kicks = Some(kicks);
        self
    }
}

/// The nick to go by in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nick {
    /// This one and no other: if somebody else has it, the join fails.
    Chosen(String),
    /// This one if it is free, else one like it.
    Suggested(String),
    /// A random one, the same in all rooms of the engine.
    Random,
}

/// A message to post.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Post {
    /// What to say.
    pub body: String,
    /// The archive id of the message this answers (XEP-0461).
    pub reply_to: Option<String>,
    /// How long to try, interruptions included. Default: [`Timing::post`](crate::Timing::post).
    pub deadline: Option<Duration>,
}

impl Post {
    /// Says `body`.
    #[must_use]
    pub fn new(body: &str) -> Self {
        Self {
            body: body.into(),
            reply_to: None,
            deadline: None,
        }
    }

    /// The same, as an answer to the message with this archive id.
    #[must_use]
    pub fn in_reply_to(mut self, id: &str) -> Self {
        self.reply_to = Some(id.into());
        self
    }

    /// The same, with a deadline of its own.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// What to read of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetch {
    /// From where: after a cursor towards the present, or with `None` the newest
    /// messages there are.
    pub since: Option<Cursor>,
    /// How many messages at most.
    pub limit: u32,
    /// How long to wait for news where nothing lies after `since`. Zero: not at all.
    pub wait: Duration,
}

impl Fetch {
    /// The newest `limit` messages.
    #[must_use]
    pub const fn newest(limit: u32) -> Self {
        Self {
            since: None,
            limit,
            wait: Duration::ZERO,
        }
    }

    /// At most `limit` messages after `since`.
    #[must_use]
    pub const fn since(since: Cursor, limit: u32) -> Self {
        Self {
            since: Some(since),
            limit,
            wait: Duration::ZERO,
        }
    }

    /// The same, waiting for news at most that long.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is said from now on.
    Now,
    /// Right after a cursor: what was missed comes first.
    Cursor(Cursor),
}
