//! Where a reader stands, as it is kept from one process to the next.
//!
//! The last message read is not that place: an archive may show a message late, before
//! one that was delivered already, and a cursor behind both passes it by for ever. So a
//! [`Bookmark`] holds the place up to which all was compared with the archive, and the
//! ids of what was delivered after it. Who goes on from it reads from that place, and
//! leaves out those.
//!
//! It is pure: the host tells it each entry after it has dealt with it, so that it is
//! right wherever the host's queue stands.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::event::{Entry, GapReason};
use crate::ids::{ArchiveId, Cursor};

const VERSION: &str = "bm1";

/// Where a reader of a subscription stands. [`Start::Bookmark`](crate::Start::Bookmark)
/// goes on from it, in this process or another, with what it had not dealt with: no
/// message twice, none left out, late ones included.
///
/// ```
/// use parley_xmpp::{Bookmark, Entry, Start};
///
/// let mut bookmark = Bookmark::default();
/// # let entries: Vec<Entry> = Vec::new();
/// for entry in entries {
///     // Deal with it, then:
///     bookmark.take(&entry);
/// }
/// let kept = bookmark.to_string();
/// // In the next process:
/// let start = Start::Bookmark(Bookmark::parse(&kept)?);
/// # Ok::<(), parley_xmpp::BookmarkError>(())
/// ```
///
/// Its text is opaque, `bm1.` and then URL-safe characters, dots and tildes; it ends with
/// a check against truncation. It is not signed.
///
/// # Bounds
///
/// It names at most [`Bookmark::MOST`] messages, as many as a subscription remembers by default
/// ([`Limits::remembered_ids`](crate::Limits::remembered_ids)) of what it may have to compare.
/// With more, the place moves forward over the oldest of them: what the archive shows late
/// before that is then not found by the next process. A subscription takes at most as
/// many as it remembers, likewise.
#[derive(Clone, Debug, Default)]
pub struct Bookmark {
    /// All up to there was delivered, and compared with the archive.
    cursor: Option<Cursor>,
    /// Delivered after it, in the order of the delivery. What stands before a message
    /// that came in its turn lies before it in the archive as well.
    beyond: VecDeque<Beyond>,
    lost: Lost,
    /// The cursor moved forward over names, so that a place told may lie before it.
    shrunk: bool,
    unplaced: Unplaced,
}

/// Two are the same if their texts are.
impl PartialEq for Bookmark {
    fn eq(&self, other: &Self) -> bool {
        (&self.cursor, &self.beyond) == (&other.cursor, &other.beyond)
    }
}

impl Eq for Bookmark {}

/// Whether the next place told takes the place of the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lost {
    #[default]
    No,
    /// It lies behind all that was given.
    Behind,
    /// The archive does not know the cursor, and is read from an older place.
    Anywhere,
}

/// Whether messages were told whose places nobody knew, in a room that had not said
/// whether it has an archive. They cannot be named. Once all that the archive holds was told
/// around them, the place after that takes the place of their names.
///
/// What the archive is late to show before that place is found by this process, and not by
/// the next. The gap that was told when these messages began to be heard
/// ([`GapReason::NoArchive`]) begins before all of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unplaced {
    #[default]
    No,
    /// What is told now has no place.
    Hears,
    Told,
    /// The archive was not read to its end.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Beyond {
    id: ArchiveId,
    /// It came out of its turn: it is no place to go on from.
    late: bool,
}

impl Bookmark {
    /// No bookmark names more messages after its cursor.
    pub const MOST: usize = 1024;
    /// No text of a bookmark is longer.
    pub const MAX_BYTES: usize = 2 * 1024 * 1024;

    /// The bookmark of a reader who has dealt with all up to `cursor`.
    #[must_use]
    pub const fn at(cursor: Cursor) -> Self {
        Self {
            cursor: Some(cursor),
            beyond: VecDeque::new(),
            lost: Lost::No,
            shrunk: false,
            unplaced: Unplaced::No,
        }
    }

    /// The place up to which all was delivered and compared with the archive; `None`
    /// before any place was told, which begins with what is said from now on.
    #[must_use]
    pub const fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// What was delivered after that, in the order of the delivery.
    pub fn beyond(&self) -> impl Iterator<Item = &ArchiveId> {
        self.beyond.iter().map(|beyond| &beyond.id)
    }

    /// The same, with whether it was late.
    pub(crate) fn told(&self) -> impl Iterator<Item = (&ArchiveId, bool)> {
        self.beyond.iter().map(|beyond| (&beyond.id, beyond.late))
    }

    /// Where the reader stands: behind the last that was delivered in its turn.
    pub(crate) fn reached(&self) -> Option<Cursor> {
        let last = self.beyond.iter().rev().find(|beyond| !beyond.late);
        let last = last.map(|beyond| Cursor::After(beyond.id.clone()));
        last.or_else(|| self.cursor.clone())
    }

    /// What a subscription that remembers so many ids takes of it.
    pub(crate) fn for_memory(mut self, remembered: usize) -> Self {
        self.shrink(remembered);
        self
    }

    /// The host has dealt with this entry of the subscription; says whether that changed
    /// the bookmark.
    ///
    /// To be called for each, in their order, and once the host would not want to be
    /// told the entry again. An entry that is lost between the call and the keeping of the
    /// bookmark's text comes again in the next process; one that is lost before the
    /// call, but after its effect, is dealt with twice.
    pub fn take(&mut self, entry: &Entry) -> bool {
        let unplaced = self.unplaced;
        self.unplaced = unplaced.after(entry);
        match entry {
            Entry::Message(message) => message.id.as_ref().is_some_and(|id| {
                if self.cursor.is_none() || self.lost != Lost::No {
                    self.stand(Cursor::After(id.clone()));
                } else {
                    self.push(id, false);
                }
                true
            }),
            Entry::Late(message) => message.id.as_ref().is_some_and(|id| {
                self.push(id, true);
                true
            }),
            Entry::CaughtUp { at: Some(at) } => {
                if unplaced == Unplaced::Told {
                    self.lost = Lost::Behind;
                }
                let stands = self.cursor.is_none() || self.lost != Lost::No;
                if stands {
                    self.stand(at.clone());
                }
                stands
            }
            Entry::Confirmed { at } => {
                let before = (self.cursor.clone(), self.beyond.len());
                self.stand(at.clone());
                before != (self.cursor.clone(), self.beyond.len())
            }
            Entry::Gap { reason, .. } => {
                // What is read after these begins at another place, which is not known yet.
                match reason {
                    GapReason::CursorExpired => self.lost = Lost::Anywhere,
                    GapReason::NeverAnchored => self.lost = Lost::Behind,
                    _ => {}
                }
                false
            }
            Entry::CaughtUp { at: None } | Entry::Ended => false,
        }
    }

    /// All up to `at` is done with.
    fn stand(&mut self, at: Cursor) {
        let lost = core::mem::take(&mut self.lost);
        if let Cursor::After(id) = &at {
            match self.beyond.iter().position(|beyond| beyond.id == *id) {
                // What was given after it lies after it, gap or not.
                Some(reached) => self.leave_behind(reached),
                // It lies before what the cursor moved over.
                None if self.shrunk && lost == Lost::No => return,
                // What was given before the gap may lie before it or behind it.
                None if lost == Lost::Behind => self.beyond.clear(),
                // It may lie before some of what was given, and behind the rest.
                None if lost == Lost::Anywhere => {
                    self.beyond.iter_mut().for_each(|beyond| beyond.late = true)
                }
                None => {}
            }
        }
        self.cursor = Some(at);
    }

    /// The message of that number is done with, and what was given in its turn before. What was
    /// late and given among these stays until the next time: where the archive did not show the
    /// place that the reader stood on, it may lie further on.
    fn leave_behind(&mut self, reached: usize) {
        self.shrunk = false;
        if self.beyond.get(reached).is_some_and(|beyond| beyond.late) {
            // What was late and given right before it lies before it; of the rest, nobody knows.
            let before = self.beyond.iter().take(reached);
            let from = before.clone().rposition(|beyond| !beyond.late);
            let from = from.map_or(0, |last| last.saturating_add(1));
            // In range: there is one at `reached`, and `from` is behind one before it.
            self.beyond.drain(from..=reached);
            return;
        }
        let first = self.beyond.iter().position(|beyond| !beyond.late);
        let first = first.unwrap_or(reached);
        let mut number = 0_usize;
        self.beyond.retain(|beyond| {
            let stays = number > reached || beyond.late && number > first && number < reached;
            number = number.saturating_add(1);
            stays
        });
    }

    fn push(&mut self, id: &ArchiveId, late: bool) {
        let id = id.clone();
        self.beyond.push_back(Beyond { id, late });
        self.shrink(Self::MOST);
    }

    /// Names at most so many messages: the cursor moves forward over the oldest.
    pub(crate) fn shrink(&mut self, most: usize) {
        let mut is_place = true;
        while (self.beyond.len() > most || !is_place && self.names_places())
            && let Some(oldest) = self.beyond.pop_front()
        {
            // A late one lies before the next that is none, wherever that is.
            is_place = !oldest.late;
            if is_place {
                self.cursor = Some(Cursor::After(oldest.id));
                self.lost = Lost::No;
                self.shrunk = true;
            }
        }
    }

    fn names_places(&self) -> bool {
        self.beyond.iter().any(|beyond| !beyond.late)
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`BookmarkError`], if that cannot have written it.
    pub fn parse(text: &str) -> Result<Self, BookmarkError> {
        let text = text.trim_ascii();
        let (version, _) = text.split_once('.').ok_or(BookmarkError::NoBookmark)?;
        if !version.starts_with("bm") {
            return Err(BookmarkError::NoBookmark);
        }
        if version != VERSION {
            return Err(BookmarkError::Version);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(BookmarkError::Damaged);
        }
        let (content, check) = text.rsplit_once('.').ok_or(BookmarkError::Damaged)?;
        if check != checksum(content) {
            return Err(BookmarkError::Damaged);
        }
        Self::read(content).ok_or(BookmarkError::Damaged)
    }

    fn read(content: &str) -> Option<Self> {
        let mut parts = content.split('.').skip(1);
        let cursor = match parts.next()? {
            "~" => None,
            part => Some(Cursor::parse(&decode(part)?)?),
        };
        let mut beyond = VecDeque::new();
        for part in parts {
            if beyond.len() >= Self::MOST {
                return None;
            }
            let (late, text) = match part.strip_prefix('~') {
                Some(text) => (true, text),
                None => (false, part),
            };
            let id = ArchiveId::new(&decode(text)?)?;
            beyond.push_back(Beyond { id, late });
        }
        Some(Self {
            cursor,
            beyond,
            lost: Lost::No,
            shrunk: false,
            unplaced: Unplaced::No,
        })
    }
}

impl Unplaced {
    const fn after(self, entry: &Entry) -> Self {
        match (self, entry) {
            (Self::No | Self::Hears, Entry::CaughtUp { at: None }) => Self::Hears,
            (Self::Told | Self::Failed, Entry::CaughtUp { at: None }) => Self::Told,
            (Self::Hears, Entry::Message(message)) if message.id.is_none() => Self::Told,
            (
                Self::Told,
                Entry::Gap {
                    reason: GapReason::ArchiveFailed(_),
                    ..
                },
            ) => Self::Failed,
            (Self::Failed, Entry::CaughtUp { at: Some(_) }) => Self::Told,
            (_, Entry::CaughtUp { at: Some(_) }) => Self::No,
            _ => self,
        }
    }
}

impl From<Cursor> for Bookmark {
    fn from(cursor: Cursor) -> Self {
        Self::at(cursor)
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from(VERSION);
        text.push('.');
        match &self.cursor {
            // Not the same as the beginning, which is empty.
            None => text.push('~'),
            Some(cursor) => URL_SAFE_NO_PAD.encode_string(cursor.as_str(), &mut text),
        }
        for beyond in &self.beyond {
            text.push_str(if beyond.late { ".~" } else { "." });
            URL_SAFE_NO_PAD.encode_string(beyond.id.as_str(), &mut text);
        }
        let check = checksum(&text);
        write!(f, "{text}.{check}")
    }
}

impl core::str::FromStr for Bookmark {
    type Err = BookmarkError;

    fn from_str(text: &str) -> Result<Self, BookmarkError> {
        Self::parse(text)
    }
}

fn decode(part: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn checksum(content: &str) -> String {
    let digest = Sha256::digest(content);
    URL_SAFE_NO_PAD.encode(digest.first_chunk::<6>().unwrap_or(&[0; 6]))
}

/// A text that is no [`Bookmark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BookmarkError {
    /// It is something else.
    NoBookmark,
    /// It was written by another version of this library.
    Version,
    /// It was cut short or changed.
    Damaged,
}

impl fmt::Display for BookmarkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBookmark => "that is not a bookmark",
            Self::Version => "the bookmark was written by another version of this program",
            Self::Damaged => "the bookmark was cut short or changed",
        })
    }
}

impl core::error::Error for BookmarkError {}

#[cfg(test)]
mod tests;
