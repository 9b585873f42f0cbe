//! How much an event holds: exact in what peers can make large, or make often.

use alloc::string::String;

use super::{Entry, Event, FetchEvent, JoinFailure, LeaveCause, Message, RoomEvent};
use crate::error::StanzaError;
use crate::ids::Cursor;

impl Event {
    /// About how many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let texts = match self {
            Self::Entry { entry, .. } => entry.weight(),
            Self::Room { event, .. } => event.weight(),
            Self::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => page
                .iter()
                .map(Message::weight)
                .fold(0, usize::saturating_add),
            Self::Disco {
                result: Ok(info), ..
            } => info.weight(),
            // One for each thing that the host asked for, or for each stream; the words of a
            // peer in them are cut at 1 KiB.
            Self::Online { .. }
            | Self::Offline { .. }
            | Self::Post { .. }
            | Self::Fetch { .. }
            | Self::Resolved { .. }
            | Self::Disco { .. }
            | Self::Closed => 0,
        };
        texts.saturating_add(size_of::<Self>())
    }
}

impl Entry {
    fn weight(&self) -> usize {
        let place = |at: &Option<Cursor>| at.as_ref().map_or(0, |at| at.as_str().len());
        match self {
            Self::Message(message) | Self::Late(message) => message.weight(),
            Self::CaughtUp { at } | Self::Gap { after: at, .. } => place(at),
            Self::Confirmed { at } => at.as_str().len(),
            Self::Ended => 0,
        }
    }
}

impl RoomEvent {
    fn weight(&self) -> usize {
        match self {
            Self::OccupantJoined { nick } => nick.len(),
            Self::OccupantLeft { nick, cause } => nick.len().saturating_add(cause.weight()),
            Self::NickChanged { from, to } => from.len().saturating_add(to.len()),
            Self::Subject { text, by } => text.len().saturating_add(words(by)),
            Self::Joined(joined) => [joined.nick.len(), joined.room.as_str().len()]
                .into_iter()
                .fold(size_of_val(&**joined), usize::saturating_add),
            Self::Left { cause, .. } => cause.weight(),
            Self::JoinFailed { error, .. } => match error {
                JoinFailure::Refused(error) => said(error),
                JoinFailure::PutOut(cause) => cause.weight(),
                JoinFailure::NickConflict | JoinFailure::TimedOut | JoinFailure::Offline => 0,
            },
            Self::DestroyRefused(error) => said(error),
            Self::Recreated
            | Self::PrivacyChanged(_)
            | Self::ConfigChanged
            | Self::Described(_) => 0,
        }
    }
}

impl LeaveCause {
    fn weight(&self) -> usize {
        match self {
            Self::Kicked { reason } | Self::Banned { reason } => words(reason),
            Self::Destroyed {
                alternative,
                reason,
            } => {
                let room = alternative.as_ref().map_or(0, |room| room.as_str().len());
                room.saturating_add(words(reason))
            }
            Self::Asked
            | Self::NotMember
            | Self::ServiceShutdown
            | Self::Unexplained
            | Self::TechnicalProblem
            | Self::Dropped
            | Self::Offline => 0,
        }
    }
}

fn said(error: &StanzaError) -> usize {
    words(&error.text)
}

fn words(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
