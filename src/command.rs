//! What a host asks the engine for.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use crate::bookmark::Bookmark;
use crate::ids::Cursor;
use crate::jid::BareJid;
use crate::token::PostToken;

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
    /// The nick of who said that message.
    pub reply_author: Option<String>,
    /// What that message says, or the part that matters. It is put before the body,
    /// line by line after `> `, for readers that do not show what is answered, and
    /// marked as said for them only (XEP-0428). Ignored without [`Self::reply_to`].
    pub quote: Option<String>,
    /// How long to try, interruptions included. Default: [`Timing::post`](crate::Timing::post).
    pub deadline: Option<Duration>,
    /// Whether it waits while an earlier post to the room is in doubt, so that
    /// the order is kept across interruptions. Default: yes.
    pub ordered: bool,
    /// What to do when nobody can tell whether it is there. Default: to say so.
    pub on_doubt: OnDoubt,
    /// What to do about characters that XMPP cannot carry. Default: to refuse it.
    pub forbidden: Forbidden,
    /// What it is known by, if that was [prepared](crate::Engine::prepare). Default: an id
    /// that is drawn when it is posted.
    pub prepared: Option<Box<PostToken>>,
}

/// What to do with a post of which nobody can tell whether it is in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDoubt {
    /// [`PostOutcome::Unknown`](crate::PostOutcome::Unknown): it is there once or not at all.
    #[default]
    Report,
    /// It is sent again, under the same ids, each time that nobody can tell: it is there
    /// mostly once or twice, and more often only after as many breaks; what is there again may
    /// stand behind what was posted later. Readers that heed the ids show it once
    /// ([`Config::drop_repeats`](crate::Config::drop_repeats)).
    Resend,
}

/// What to do about characters that XML cannot carry, escape codes for instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Forbidden {
    /// [`PostError::ForbiddenChar`](crate::PostError::ForbiddenChar) says where the first is.
    #[default]
    Refuse,
    /// U+FFFD takes the place of each.
    Replace,
}

impl Post {
    /// Says `body`.
    #[must_use]
    pub fn new(body: &str) -> Self {
        Self {
            body: body.into(),
            reply_to: None,
            reply_author: None,
            quote: None,
            deadline: None,
            ordered: true,
            on_doubt: OnDoubt::Report,
            forbidden: Forbidden::Refuse,
            prepared: None,
        }
    }

    /// The same, as an answer to the message with this archive id.
    #[must_use]
    pub fn in_reply_to(mut self, id: &str) -> Self {
        self.reply_to = Some(id.into());
        self
    }

    /// The same, naming who said what is answered.
    #[must_use]
    pub fn by(mut self, author: &str) -> Self {
        self.reply_author = Some(author.into());
        self
    }

    /// The same, quoting what is answered for readers that do not show it.
    #[must_use]
    pub fn quoting(mut self, quote: &str) -> Self {
        self.quote = Some(quote.into());
        self
    }

    /// The same, with a deadline of its own.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same, not waiting for earlier posts that are in doubt.
    #[must_use]
    pub const fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// The same, under the id that was [prepared](crate::Engine::prepare) for it: who kept
    /// the token before can find out what became of it, whatever happens to this process.
    #[must_use]
    pub fn under(mut self, token: &PostToken) -> Self {
        self.prepared = Some(Box::new(token.clone()));
        self
    }

    /// The same, sent again when nobody can tell whether it is there.
    #[must_use]
    pub const fn or_resend(mut self) -> Self {
        self.on_doubt = OnDoubt::Resend;
        self
    }

    /// The same, with U+FFFD in place of characters that XMPP cannot carry.
    #[must_use]
    pub const fn replacing_forbidden(mut self) -> Self {
        self.forbidden = Forbidden::Replace;
        self
    }
}

/// What to read of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetch {
    /// From where: after a cursor towards the present, or with `None` the newest
    /// messages there are.
    ///
    /// A cursor counts as long as the archive shows the message that it names, or its
    /// tombstone. Whether it does is found out first, mostly by one item more on the first
    /// page; where the engine has not seen what lies before it, by one question more. If it
    /// does not, the fetch fails with
    /// [`CursorExpired`](crate::RequestError::CursorExpired) and gives nothing.
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
    /// Where another subscription was read to: what its reader had not dealt with
    /// comes first, and nothing else of before. What lies before a message that it had
    /// dealt with comes as [`Entry::Late`](crate::Entry::Late), if one page of the
    /// archive shows both. A bookmark without a place is [`Self::Now`].
    Bookmark(Bookmark),
}
