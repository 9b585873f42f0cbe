//! The witness of a cursor: that the archive still shows the item it names.
//!
//! XEP-0059 v1.0, section 2.2 (quoted by XEP-0313 v1.1.3, section 4.3): "If the UID
//! contained within an `<after/>` or `<before/>` element is not present in the archive, the server MUST
//! return an item-not-found error". Prosody 0.12 does; ejabberd 23.01 does not, whatever
//! the id. It compares ids as texts of digits, the longer one being the greater: after an
//! id that it let go of it gives what is left behind the hole; after one that is
//! longer than its own, an empty and complete page, as if nothing were new; after one that
//! is shorter or no number, the archive from its beginning, as if all were new. So a
//! page "after X" proves nothing about X, since X is not on it.
//!
//! What proves it is a page that X is *on*: the one after the item before it.
//!
//! ```text
//! Hinted (after what lay before X) --- X is on the page --> proven
//!   |                                                         ^
//!   +--> Predecessor (the item before X) --> Following (after that) --- X is on it
//!                  | item-not-found            |
//!                  +--> Oldest <---------------+ not on it
//!                         +--> expired; or refused, and then there is no such room
//! ```
//!
//! With a hint that costs one item on the page and no question; without, one question of
//! one item. At most six (`MOST`) questions are asked, each once more where it is doubtful.
//! An id that looks like none of this archive's is asked for all the same: ids are opaque.
//!
//! The time stamp of X, which both servers can be asked for, would be another witness.
//! It is not used: a live message has none, and the core has no clock to tell one by.
//!
//! What cannot be told apart: an id that the archive let go of, one that it lost in a crash,
//! and one that it never gave. All are [`CursorExpired`](RequestError::CursorExpired),
//! unless the id is known to be another room's, or the archive says that it is no id
//! at all: [`CursorForeign`](RequestError::CursorForeign). Two archives may give
//! the same id to different items: nobody can tell that.

use crate::error::Condition;
use crate::event::RequestError;
use crate::ids::{ArchiveId, Cursor};
use crate::rsm::Page;

/// How often what lies before the item is asked for: it may go between two questions.
const TRIES: u8 = 2;

/// No more questions than these are asked about one cursor: a hint, what lies before it
/// and after that, twice, and what is the oldest.
#[cfg(test)]
pub(super) const MOST: usize = 6;

/// What is asked to find out whether an archive still shows an item.
#[derive(Debug)]
pub(super) struct Witness {
    target: ArchiveId,
    step: Step,
    /// How often its predecessor was asked for.
    tries: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The page after what lay before it when it was seen last.
    Hinted(Cursor),
    /// The item before it.
    Predecessor,
    /// The page after that.
    Following(Cursor),
    /// It is not there. Is there anything?
    Oldest {
        /// The archive says that it is no id.
        foreign: bool,
    },
}

/// What an answer says about the item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is more to ask.
    Ask,
    /// It is the item of this index on the page, the first that was not asked
    /// for already; what is before it came late if `late`.
    Shown {
        at: usize,
        /// What lies before it.
        before: Cursor,
        late: bool,
    },
    /// It is not there, or this failed.
    Not(RequestError),
}

impl Witness {
    /// The places that it names.
    pub(super) fn places(&self) -> impl Iterator<Item = &ArchiveId> {
        let hint = match &self.step {
            Step::Hinted(Cursor::After(id)) | Step::Following(Cursor::After(id)) => Some(id),
            _ => None,
        };
        core::iter::once(&self.target).chain(hint)
    }

    /// A witness to find for `target`, before which `hint` lay when it was seen last.
    pub(super) fn new(target: ArchiveId, hint: Option<Cursor>) -> Self {
        // What is before itself is no hint.
        let hint = hint.filter(|hint| !matches!(hint, Cursor::After(id) if *id == target));
        Self {
            target,
            step: hint.map_or(Step::Predecessor, Step::Hinted),
            tries: 0,
        }
    }

    pub(super) const fn target(&self) -> &ArchiveId {
        &self.target
    }

    /// What to ask for, and how many items.
    pub(super) fn question(&self, wanted: u32) -> (Page, u32) {
        match &self.step {
            // One more than what is wanted: the item itself.
            Step::Hinted(from) | Step::Following(from) => (after(from), wanted.saturating_add(1)),
            Step::Predecessor => (Page::Before(self.target.clone()), 1),
            Step::Oldest { .. } => (Page::First, 1),
        }
    }

    /// Whether the page asked for may have the item on it.
    pub(super) const fn is_looking(&self) -> bool {
        matches!(self.step, Step::Hinted(_) | Step::Following(_))
    }

    /// A page came: these are its items, the oldest first.
    pub(super) fn page<'a>(
        &mut self,
        items: impl DoubleEndedIterator<Item = &'a ArchiveId> + Clone,
    ) -> Verdict {
        let (first, last) = (items.clone().next(), items.clone().next_back());
        match &self.step {
            Step::Predecessor => {
                let before = last.cloned().map_or(Cursor::Beginning, Cursor::After);
                self.step = Step::Following(before);
                Verdict::Ask
            }
            Step::Oldest { foreign: true } => Verdict::Not(RequestError::CursorForeign),
            Step::Oldest { foreign: false } => self.expired(first),
            Step::Hinted(from) | Step::Following(from) => {
                let hinted = matches!(self.step, Step::Hinted(_));
                let goes_back = matches!(from, Cursor::After(id) if items.clone().any(|i| i == id));
                if let Some(at) = items.clone().position(|id| *id == self.target) {
                    let before = at.checked_sub(1).and_then(|at| items.clone().nth(at));
                    let before = before.cloned().map_or_else(|| from.clone(), Cursor::After);
                    let late = hinted && !goes_back && *from != Cursor::Beginning;
                    return Verdict::Shown { at, before, late };
                }
                if hinted {
                    // The archive may have let go of what lay before it alone.
                    self.look();
                    Verdict::Ask
                } else if goes_back {
                    let what = "the page after an item has that item on it";
                    Verdict::Not(RequestError::Inconsistent(what))
                } else if *from == Cursor::Beginning {
                    self.expired(first)
                } else {
                    self.step = Step::Oldest { foreign: false };
                    Verdict::Ask
                }
            }
        }
    }

    /// The question was refused.
    pub(super) fn refused(&mut self, error: RequestError) -> Verdict {
        let RequestError::Refused(refusal) = &error else {
            return Verdict::Not(error);
        };
        match (refusal.condition, &self.step) {
            // Nothing was named that could be missing, but the room.
            (_, Step::Oldest { .. } | Step::Following(Cursor::Beginning)) => Verdict::Not(error),
            (Condition::ItemNotFound | Condition::BadRequest, Step::Hinted(_)) => self.look(),
            (Condition::ItemNotFound, Step::Following(_)) if self.tries < TRIES => self.look(),
            (Condition::ItemNotFound, _) => {
                self.step = Step::Oldest { foreign: false };
                Verdict::Ask
            }
            // Not a question that cannot be asked, if it can without the id.
            (Condition::BadRequest, Step::Predecessor) => {
                self.step = Step::Oldest { foreign: true };
                Verdict::Ask
            }
            _ => Verdict::Not(error),
        }
    }

    /// Asks for what lies before it now.
    fn look(&mut self) -> Verdict {
        self.tries = self.tries.saturating_add(1);
        self.step = Step::Predecessor;
        Verdict::Ask
    }

    fn expired(&self, oldest: Option<&ArchiveId>) -> Verdict {
        Verdict::Not(RequestError::CursorExpired {
            oldest: oldest.cloned(),
        })
    }
}

/// The page after a cursor.
fn after(cursor: &Cursor) -> Page {
    match cursor {
        Cursor::Beginning => Page::First,
        Cursor::After(id) => Page::After(id.clone()),
    }
}
