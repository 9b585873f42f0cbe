//! What becomes of what the host asked for: posts, resolutions, fetches, discoveries.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{Condition, StanzaError, StreamCondition};
use crate::ids::{ArchiveId, Cursor};
use crate::token::PostToken;

use super::Message;

/// What became of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostOutcome {
    /// The room accepted and ordered it. Not a promise that it survives a crash
    /// of the server: that is for the server's storage to keep.
    Committed {
        /// Its position; `None` if the room does not archive.
        id: Option<ArchiveId>,
        /// How we know.
        via: Via,
    },
    /// The room refused it; it is not there and never will be.
    Rejected(StanzaError),
    /// The server ended the stream over something that was in flight, and this was
    /// among it. It is not in the room, and is not sent again: if it is what the
    /// server does not bear, it would end every stream.
    ///
    /// Only a stream that began anew proves that. After the end of one that was resumed
    /// what was in flight is looked for, and sent again once.
    ///
    /// Without a condition it is a guess: one session after the other ended, eight in a row,
    /// with this as the first in flight.
    ///
    /// At most one of them is guilty. Those with `among` above one can be posted
    /// again one at a time; who posts them all again at once may end up here again.
    StreamKill {
        /// What the server said; `None` if so many sessions ended otherwise.
        condition: Option<StreamCondition>,
        /// How many posts, of all rooms, were in flight then, this one included.
        among: u32,
    },
    /// It is not in the room, and is not sent any more. No transport ever had all of it; or
    /// one had, but the server said that it did not handle it (XEP-0198 section 5, `h` of
    /// `<failed/>`), and it was not sent again since.
    NotSent(NotSent),
    /// It may be there or not: it was sent, and nobody could tell in time.
    Unknown {
        /// What [`Engine::resolve`](crate::Engine::resolve) decides by, later.
        token: Box<PostToken>,
    },
}

/// How the fate of a post became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Via {
    /// The room sent it back to us.
    Reflection,
    /// It was found in the room's archive.
    Archive,
}

/// Why a post was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NotSent {
    /// Its deadline came before there was a way to send it, be it again.
    Deadline,
    /// The room was left, or cannot be joined.
    NoRoom,
    /// The stream ended and is not set up again.
    Offline,
    /// The server takes only smaller ones since it came back (XEP-0478).
    TooLarge,
}

/// What came of an attempt to [resolve](crate::Engine::resolve) a post in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It is in the room's archive, at this position.
    Found(ArchiveId),
    /// The archive was read from before the post was sent to its end, and it is not
    /// there. It may still come: if the stream that it was sent on lives on
    /// somewhere, if the room is at another server, if the archive lags; or it may
    /// have been there, if the archive keeps messages for a time only, or was off for a time after
    /// its token was made.
    AbsentSoFar,
    /// The archive does not tell.
    CannotTell(CannotTell),
}

/// Why an archive does not tell whether a post is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotTell {
    /// The room has no archive.
    NoArchive,
    /// The archive no longer shows the place to read from, so that it may have let go of
    /// the post as well: that it is not there does not mean that it never was.
    AnchorExpired,
    /// It is not there, which proves nothing: the room had no archive at a time when the post may
    /// have come to it; or was made anew since, and its archive with it, as far as can be told.
    Unkept,
    /// No place to read from was known when the post left, and the archive is too
    /// long to be read whole.
    NoAnchor,
    /// The archive says that what it shows may still change (`stable='false'`).
    Unstable,
    /// Something was removed from the archive since, which may have been it.
    Removed,
    /// It has a message of this id, by somebody who cannot be told to be us: we had another
    /// nick when it was said, in a room without occupant-ids (XEP-0421), or somebody copied the
    /// id. That was not known before the room said it, so that the post was in the room; where,
    /// nobody can tell.
    Copied,
    /// Reading it failed.
    Failed(RequestError),
}

impl fmt::Display for CannotTell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArchive => f.write_str("the room has no archive to look into"),
            Self::AnchorExpired => {
                f.write_str("the archive no longer reaches back to when it was sent")
            }
            Self::Unkept => f.write_str(
                "it is not in the archive, but the room had none for a time, or began another",
            ),
            Self::NoAnchor => f.write_str("it is not known where in the archive to look"),
            Self::Unstable => f.write_str("what the archive shows may still change"),
            Self::Removed => f.write_str("something was removed there, which may have been it"),
            Self::Copied => f.write_str(
                "it was said, but under another name than ours, or somebody copied its id",
            ),
            Self::Failed(error) => write!(f, "the archive could not be read: {error}"),
        }
    }
}

/// Progress and outcome of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// A page, its messages in the order of the archive. Pages of a fetch
    /// towards the past come newest page first. Where pages of a server overlap, and something
    /// came late to the archive where they do, a page may begin with what lies before the last.
    Page(Vec<Message>),
    /// All pages were given.
    Done {
        /// Where to go on: after the newest message given.
        next: Cursor,
        /// Nothing lay behind `next` when the archive was asked.
        complete: bool,
        /// The archive stands by what it showed. Where it says of a page that it may still change
        /// (`stable='false'`, XEP-0313 v1.1.3, section 4.2), what it shows later may lie before
        /// `next`: who must not miss that goes on from where they began, and drops by its id
        /// what they have.
        stable: bool,
    },
    /// A page failed. The pages given before are whole and without a hole.
    Failed(RequestError),
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Refused by whom it was asked of.
    Refused(StanzaError),
    /// The archive does not show the item that the cursor names, so that nobody can tell
    /// what came after it. Mostly the archive let go of it, being kept for a time only;
    /// it may also have lost it in a crash, or never had it: these look the same.
    CursorExpired {
        /// The oldest item that there is now; `None` if there is none.
        oldest: Option<ArchiveId>,
    },
    /// The cursor is not of this room: another one gave it and this one does not know
    /// it, or its archive says that it is no id of its own.
    CursorForeign,
    /// There is no such room, or it was left.
    NoSuchRoom,
    /// The room has no archive.
    ArchiveUnsupported,
    /// The archive's answers contradict each other; what, in words.
    Inconsistent(&'static str),
    /// No answer in time.
    TimedOut,
    /// The stream ended for good.
    Offline,
}

impl RequestError {
    /// Whether the archive does not know where to read on.
    /// Whether to ask again would not help.
    pub(crate) fn is_for_good(&self) -> bool {
        self.is_expired()
            || matches!(self, Self::Refused(error) if error.kind != crate::error::ErrorType::Wait)
    }

    pub(crate) const fn is_expired(&self) -> bool {
        matches!(self, Self::CursorExpired { .. } | Self::CursorForeign)
    }

    /// Whether somebody refused with `<item-not-found/>`.
    pub(crate) fn is_item_not_found(&self) -> bool {
        matches!(self, Self::Refused(error) if error.condition == Condition::ItemNotFound)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {error}"),
            Self::CursorExpired { .. } => f.write_str("the archive no longer knows the cursor"),
            Self::CursorForeign => f.write_str("the cursor is not one of this room"),
            Self::NoSuchRoom => f.write_str("there is no such room"),
            Self::ArchiveUnsupported => f.write_str("the room has no archive"),
            Self::Inconsistent(what) => write!(f, "the archive contradicts itself: {what}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Offline => f.write_str("not connected"),
        }
    }
}

impl core::error::Error for RequestError {}

/// What an entity is and can do (XEP-0030 v2.5.0, sections 3 and 4).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiscoInfo {
    /// Its identities as (category, type), at most 32.
    pub identities: Vec<(String, String)>,
    /// Its features, at most 256.
    pub features: Vec<String>,
    /// Entities it names, at most 256. Filled by a discovery of items only.
    pub items: Vec<String>,
}

impl DiscoInfo {
    /// Whether the feature is announced.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// How many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let pairs = self.identities.iter().flat_map(|(one, other)| [one, other]);
        pairs
            .chain(&self.features)
            .chain(&self.items)
            .map(|text| text.len().saturating_add(size_of::<String>()))
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}
