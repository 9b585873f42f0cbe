//! Commands that are refused: nothing changed, nothing was queued, no id issued.

use core::fmt;

use crate::ids::RoomId;

/// A join was refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// That room is joined already, under this id.
    AlreadyJoined(RoomId),
    /// The address has no localpart, and so is no room's: a service's, or another domain.
    InvalidRoom,
    /// The nick cannot be one.
    InvalidNick,
    /// There is no stream, and none will be set up unless
    /// [`reconnect`](crate::Engine::reconnect) asks for it.
    Offline,
    /// [`Limits::rooms`](crate::Limits::rooms) is reached.
    TooMany,
    /// The engine is closed or closing.
    Closed,
}

/// A post was refused; nothing changed, nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// No such room: left, or never joined; or the post was prepared for another.
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
    /// [`Limits::subscriptions`](crate::Limits::subscriptions) is reached.
    TooManySubscriptions,
    /// There is no stream to ask over.
    Offline,
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
    Self::InvalidRoom => "the address is no room's: something has to stand before an `@`";
    Self::InvalidNick => "the nick is empty, too long, or holds characters that an address cannot carry";
    Self::Offline => "not connected";
    Self::TooMany => "too many rooms: leave some, or raise `Limits::rooms`";
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
    Self::TooManySubscriptions => "too many subscriptions: end some, or raise `Limits::subscriptions`";
    Self::Offline => "not connected";
    Self::Busy => "too many requests wait for their answer: wait for some";
    Self::Closed => "the connection is closed";
}
