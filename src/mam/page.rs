//! A page of an archive: as it comes, and whole.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Direction, Fin};
use crate::event::Message;
use crate::ids::{ArchiveId, Cursor};
use crate::limits::Limits;

#[derive(Debug)]
pub(super) struct OpenPage {
    pub(super) query_id: String,
    /// Which end of it counts if more comes than was asked for.
    pub(super) direction: Direction,
    /// How many items were asked for.
    pub(super) max: usize,
    pub(super) items: VecDeque<Item>,
    pub(super) seen: BTreeSet<ArchiveId>,
    pub(super) bytes: usize,
    /// More came than was asked for or can be kept.
    pub(super) overfull: bool,
}

#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: ArchiveId,
    pub(super) message: Option<Box<Message>>,
}

impl Item {
    pub(super) fn weight(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.weight());
        message
            .saturating_add(self.id.as_str().len().saturating_mul(2))
            .saturating_add(size_of::<Self>())
    }
}

/// A whole page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WholePage {
    /// Its messages, the oldest first.
    pub(crate) messages: Vec<Message>,
    /// Messages that lie before the position which the page comes after, and that were
    /// not there when it was taken.
    pub(crate) late: Vec<Message>,
    /// Those before the position again, for [`take_again`](Self::take_again).
    pub(super) again: Vec<Message>,
    /// These may lie behind where reading in this direction began, which the page does not show.
    pub(super) astray: Option<Direction>,
    /// Nothing lies beyond it in the direction of the pager.
    pub(crate) complete: bool,
    /// Items of it that are no messages, tombstones above all, each with the number of
    /// messages that lie before it.
    pub(crate) removed: Vec<(usize, ArchiveId)>,
    /// Its newest item, message or tombstone; `None` if it is empty.
    pub(crate) newest: Option<ArchiveId>,
    /// What lies right before that, if it was seen.
    pub(crate) before: Option<Cursor>,
    /// It says nothing yet, and another has to be asked for: where the archive is
    /// said to hold nothing at all, since ejabberd 23.01 says so of an archive that is
    /// being written to; and where it is not known yet whether the archive knows the
    /// position.
    pub(crate) doubtful: bool,
    /// What it counts where it is of no use, for [`Barren`](super::Barren).
    pub(crate) weight: u32,
}

impl WholePage {
    /// Nothing, and another is to be asked for.
    pub(super) const fn doubtful() -> Self {
        Self {
            messages: Vec::new(),
            late: Vec::new(),
            again: Vec::new(),
            astray: None,
            complete: false,
            removed: Vec::new(),
            newest: None,
            before: None,
            doubtful: true,
            weight: 0,
        }
    }

    /// Takes the messages that lie before the position again, where pages overlap: given before, as
    /// a rule, but what came late to the archive may be among them. What lies behind where reading
    /// began is not: of a page that does not show that place, what it shows on this side of
    /// something that `is_known`, since it was given.
    pub(crate) fn take_again(&mut self, is_known: impl Fn(&ArchiveId) -> bool) -> Vec<Message> {
        let mut again = core::mem::take(&mut self.again);
        let is_known = |message: &Message| message.id.as_ref().is_some_and(&is_known);
        match self.astray {
            None => {}
            Some(Direction::Forward) => {
                let known = again.iter().position(is_known).unwrap_or(again.len());
                // In range: the place of one of them, or their number.
                drop(again.drain(..known));
            }
            Some(Direction::Backward) => {
                let known = again.iter().rposition(is_known);
                again.truncate(known.map_or(0, |at| at.saturating_add(1)));
            }
        }
        again
    }
}

impl OpenPage {
    /// Whether there is room for an item. There always is for the first, so that
    /// a page of one makes progress.
    pub(super) fn fits(&self, item: &Item) -> bool {
        self.items.is_empty()
            || (self.items.len() < self.max
                && self.bytes.saturating_add(item.weight()) <= Limits::PAGE_BYTES)
    }

    /// Appends an item that is not on the page yet.
    pub(super) fn push(&mut self, item: Item) {
        self.seen.insert(item.id.clone());
        self.bytes = self.bytes.saturating_add(item.weight());
        self.items.push_back(item);
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.seen.remove(&item.id);
            self.bytes = self.bytes.saturating_sub(item.weight());
        }
    }
}

/// Takes the messages out of a page, and the ids of what are none.
pub(super) fn sort(items: VecDeque<Item>) -> (Vec<Message>, Vec<(usize, ArchiveId)>) {
    let (mut messages, mut removed) = (Vec::new(), Vec::new());
    for Item { id, message } in items {
        match message {
            None => removed.push((messages.len(), id)),
            Some(mut message) => {
                message.id = Some(id);
                messages.push(*message);
            }
        }
    }
    (messages, removed)
}

/// Checks that a page is what its answer says it is: XEP-0059 section 2.2 makes
/// `<first/>` and `<last/>` the ids of the first and last item. Where they name
/// items that never came, the page has a hole. Of a page that was `cut`, because it was more
/// than was asked for, only the end is there at which it was kept.
pub(super) fn agree(
    items: &VecDeque<Item>,
    fin: &Fin<'_>,
    cut: Option<Direction>,
) -> Result<(), &'static str> {
    let matches = |claimed: Option<&str>, item: Option<&Item>| match (claimed, item) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(claimed), Some(item)) => item.id.as_str() == claimed,
    };
    let first = cut == Some(Direction::Backward) || matches(fin.set.first, items.front());
    let last = cut == Some(Direction::Forward) || matches(fin.set.last, items.back());
    if first && last {
        Ok(())
    } else {
        Err("the first or last item of a page never came")
    }
}
