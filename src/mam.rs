//! Archives: one page at a time, and the pager over many (XEP-0313 v1.1.3).
//!
//! A [`Pager`] knows nothing of time, of requests on the wire or of who wants the
//! messages. It says which page to ask for, takes the results of that page, and
//! gives them out only when the page is whole. It never asks for the same page
//! for ever, and it makes progress over pages of tombstones, a thousand of them in a row at
//! most. A place that it is to go on from counts only once the archive has shown that it still
//! knows it: see [`witness`].
//!
//! What it does not see is an archive that lets go of a place between two pages of one
//! run and says nothing about it.

mod barren;
mod page;
mod wire;
mod witness;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;

use crate::event::{Message, RequestError};
use crate::ids::{ArchiveId, Cursor};
use crate::planted::{Bug, planted};
use crate::rsm::Page;
pub(crate) use barren::Barren;
pub(crate) use page::WholePage;
use page::{Item, OpenPage, agree, sort};
pub(crate) use wire::{Archived, Fin, write_query};
use witness::{Verdict, Witness};

/// Which way a pager goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards the present.
    Forward,
    /// Towards the past.
    Backward,
}

/// Pages through one archive.
#[derive(Debug)]
pub(crate) struct Pager {
    direction: Direction,
    /// The last item reached; `None` before the first page.
    position: Option<ArchiveId>,
    /// Where reading began: what lies behind that is of no interest. Towards the past from the
    /// end of the archive that is the newest item of the first page.
    began: Option<ArchiveId>,
    /// What lay right before the position when it was seen, if it was.
    before: Option<Cursor>,
    /// Whether the archive still knows the position is to be found out first.
    witness: Option<Witness>,
    /// How often the archive did not know the position, since it moved.
    refusals: u8,
    /// The largest page to ask for; smaller once pages turned out too heavy.
    page: u32,
    /// The page now being received.
    open: Option<OpenPage>,
    /// Pages in a row that gave no item although more was promised.
    idle_pages: u8,
    /// The archive was said to be empty, and was asked again.
    doubted: bool,
    /// Where the pager stood some pages ago: to come there again is a loop
    /// (Brent's algorithm, so that no list of visited items is needed).
    mark: Option<ArchiveId>,
    pages_since_mark: u64,
    pages_to_next_mark: u64,
    /// How often it came where it had been.
    laps: u8,
}

/// Empty pages in a row, each promising more, after which we stop asking.
const IDLE_PAGES: u8 = 2;

/// How often pages may lead back to where they led before.
const LAPS: u8 = 2;

/// How often an archive may not know the position and show it all the same.
const REFUSALS: u8 = 2;

impl Pager {
    pub(crate) fn new(direction: Direction, position: Option<ArchiveId>, page: u32) -> Self {
        Self {
            direction,
            began: position.clone(),
            position,
            before: None,
            witness: None,
            refusals: 0,
            page,
            open: None,
            idle_pages: 0,
            doubted: false,
            mark: None,
            pages_since_mark: 0,
            pages_to_next_mark: 1,
            laps: 0,
        }
    }

    /// Goes forward from a cursor, which the archive may know no more. `hint`: what lay
    /// right before the item it names, if that is known; it need not be right.
    pub(crate) fn after(cursor: &Cursor, hint: Option<Cursor>, page: u32) -> Self {
        let position = match cursor {
            Cursor::Beginning => None,
            Cursor::After(id) => Some(id.clone()),
        };
        let mut pager = Self::new(Direction::Forward, position, page);
        pager.before = hint;
        pager.doubt();
        pager
    }

    /// What lay right before an item when it was seen, if this pager stands there.
    pub(crate) fn before(&self, item: &ArchiveId) -> Option<Cursor> {
        let stands_there = self.position.as_ref() == Some(item);
        self.before.clone().filter(|_| stands_there)
    }

    /// Nobody remembers what was told of what lies right before the position.
    pub(crate) fn forget_before(&mut self) {
        self.before = None;
    }

    /// Takes a hint at what lay right before the position, if none is known yet.
    pub(crate) fn hint(&mut self, hint: impl FnOnce(&ArchiveId) -> Option<Cursor>) {
        if self.before.is_none()
            && let Some(position) = &self.position
        {
            self.before = hint(position);
            if self.witness.take().is_some() {
                self.doubt();
            }
        }
    }

    /// From now on the archive may no longer know the position.
    fn doubt(&mut self) {
        if self.direction == Direction::Forward
            && self.witness.is_none()
            && let Some(position) = &self.position
            && !planted(Bug::NoWitness)
        {
            self.witness = Some(Witness::new(position.clone(), self.before.clone()));
        }
    }

    /// Opens the next page under this query id, and says what to ask for:
    /// which page, and how many items of the `wanted` at most.
    pub(crate) fn open(&mut self, query_id: String, wanted: u32) -> (Page, u32) {
        let (page, wanted) = match (&self.witness, self.direction, &self.position) {
            (Some(witness), ..) => witness.question(wanted),
            (None, Direction::Forward, None) => (Page::First, wanted),
            (None, Direction::Forward, Some(id)) => (Page::After(id.clone()), wanted),
            (None, Direction::Backward, None) => (Page::Last, wanted),
            (None, Direction::Backward, Some(id)) => (Page::Before(id.clone()), wanted),
        };
        let max = self.page.min(wanted).max(1);
        self.open = Some(OpenPage {
            query_id,
            direction: match page {
                Page::First | Page::After(_) => Direction::Forward,
                Page::Last | Page::Before(_) => Direction::Backward,
            },
            max: usize::try_from(max).unwrap_or(usize::MAX),
            items: VecDeque::new(),
            seen: BTreeSet::new(),
            bytes: 0,
            overfull: false,
        });
        (page, max)
    }

    /// Forgets the page being received; the pager stands where it stood, if the
    /// archive still knows that when it is asked again.
    pub(crate) fn abandon(&mut self) {
        self.open = None;
        self.witness = None;
        self.doubt();
    }

    /// Whether an item with this id, about to be taken, would lie beyond the position.
    pub(crate) fn is_beyond(&self, id: &str) -> bool {
        let Some(witness) = &self.witness else {
            return true;
        };
        let target = witness.target();
        let seen = |open: &OpenPage| open.seen.contains(target);
        witness.is_looking() && target.as_str() != id && self.open.as_ref().is_some_and(seen)
    }

    /// How many bytes it holds: of the page being received above all.
    pub(crate) fn held(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| {
            let seen = open.seen.len().saturating_mul(size_of::<ArchiveId>());
            open.bytes
                .saturating_add(seen)
                .saturating_add(open.query_id.len())
        });
        let before = match &self.before {
            Some(Cursor::After(id)) => Some(id),
            Some(Cursor::Beginning) | None => None,
        };
        let places = [&self.began, &self.position, &self.mark]
            .into_iter()
            .flatten();
        let witness = self.witness.iter().flat_map(Witness::places);
        places
            .chain(before)
            .chain(witness)
            .map(|id| id.as_str().len())
            .fold(open, usize::saturating_add)
    }

    /// Whether results under this query id belong to the page being received.
    pub(crate) fn is_open(&self, query_id: &str) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.query_id == query_id)
    }

    /// Takes an item of the open page; `message` is `None` for what only moves
    /// the position: a tombstone, a subject, a foreign message.
    pub(crate) fn take(&mut self, id: &str, message: Option<Box<Message>>) {
        let (Some(open), Some(id)) = (self.open.as_mut(), ArchiveId::new(id)) else {
            return;
        };
        let item = Item { id, message };
        match open.direction {
            // Its first place counts, and it takes no other.
            _ if open.seen.contains(&item.id) => {}
            // What does not fit is the first of the next page.
            Direction::Forward if open.overfull || !open.fits(&item) => open.overfull = true,
            Direction::Forward => open.push(item),
            // What counts is what lies next to where the pager stands: the newest.
            Direction::Backward => {
                while !open.fits(&item) {
                    open.overfull = true;
                    open.drop_oldest();
                }
                open.push(item);
            }
        }
    }

    /// Ends the open page with what its answer said.
    ///
    /// # Errors
    /// Why there is no page; [`RequestError::Inconsistent`] if it cannot be as it is. The
    /// pager stands where it stood, and the same can be asked again.
    pub(crate) fn close(
        &mut self,
        answer: Result<Fin<'_>, RequestError>,
    ) -> Result<WholePage, RequestError> {
        let open = self.open.take();
        let fin = match answer {
            Ok(fin) => fin,
            Err(error) => return self.refused(error),
        };
        let Some(open) = open else {
            return Err(RequestError::Inconsistent("an answer to no question"));
        };
        let weight = Barren::weight(open.items.len(), open.max);
        let mut items = open.items;
        let cut = open.overfull.then_some(open.direction);
        agree(&items, &fin, cut).map_err(RequestError::Inconsistent)?;
        if open.overfull && open.direction == self.direction {
            self.page = u32::try_from(items.len()).unwrap_or(u32::MAX).max(1);
        }
        let nothing = items.is_empty() && fin.set.nothing;
        let doubtful = nothing && !core::mem::replace(&mut self.doubted, nothing);
        let mut late = VecDeque::new();
        let mut shown = None;
        if let Some(witness) = &mut self.witness {
            if doubtful {
                return Ok(WholePage::doubtful());
            }
            match witness.page(items.iter().map(|item| &item.id)) {
                Verdict::Ask => return Ok(WholePage::doubtful()),
                Verdict::Not(why) => return Err(why),
                Verdict::Shown {
                    at,
                    before,
                    late: is_late,
                } => {
                    shown = Some(witness.target().clone());
                    self.before = Some(before);
                    // In range: their number at most.
                    let beyond = items.split_off(at.saturating_add(1).min(items.len()));
                    items.pop_back();
                    if is_late {
                        late = items;
                    }
                    items = beyond;
                    self.witness = None;
                }
            }
        }
        let (again, astray) = self.split_at_position(&mut items);
        let before = self.neighbour(&items);
        self.move_on(&items, shown.is_some(), fin.complete)
            .map_err(RequestError::Inconsistent)?;
        if self.direction == Direction::Forward {
            self.before.clone_from(&before);
        } else if self.began.is_none() {
            self.began = items.back().map(|item| item.id.clone());
        }
        let newest = if planted(Bug::CursorIsFirst) {
            items.front()
        } else {
            items.back()
        };
        let newest = newest.map(|item| item.id.clone()).or(shown);
        let (late, _) = sort(late);
        let (again, _) = sort(again);
        let (messages, removed) = sort(items);
        Ok(WholePage {
            messages,
            late,
            again,
            astray,
            removed,
            complete: fin.complete && !open.overfull,
            newest,
            before,
            doubtful,
            weight,
        })
    }

    /// Takes out what we stand on, and gives what lies before it in the direction of reading:
    /// an item after, or before, which the page was to lie is not on it (XEP-0059, section 2.2),
    /// whatever the server thinks. Nor does that give what lies behind where reading began, which
    /// nobody asked for; if the page does not show that place, the direction is given too.
    fn split_at_position(&self, items: &mut VecDeque<Item>) -> (VecDeque<Item>, Option<Direction>) {
        let Some(position) = &self.position else {
            return (VecDeque::new(), None);
        };
        let mut ids = items.iter().map(|item| &item.id);
        let at = match self.direction {
            Direction::Forward => ids.rposition(|id| id == position),
            Direction::Backward => ids.position(|id| id == position),
        };
        let mut again = match (self.direction, at) {
            // A page that ends with it is the same again: that is for `move_on` to say.
            (Direction::Forward, Some(at)) if at == 0 || at.saturating_add(1) < items.len() => {
                // In range: behind the place of one of them.
                let beyond = items.split_off(at.saturating_add(1));
                core::mem::replace(items, beyond)
            }
            // In range: the place of one of them.
            (Direction::Backward, Some(at)) if at > 0 || items.len() == 1 => items.split_off(at),
            _ => return (VecDeque::new(), None),
        };
        let mut astray = None;
        if let Some(began) = &self.began {
            let at = again.iter().position(|item| item.id == *began);
            match (self.direction, at) {
                // In range: the place of one of them.
                (Direction::Forward, Some(at)) => drop(again.drain(..=at)),
                (Direction::Backward, Some(at)) => again.truncate(at),
                (direction, None) => astray = Some(direction),
            }
        }
        again.retain(|item| item.id != *position);
        (again, astray)
    }

    /// What lies right before the newest of a page of these items.
    fn neighbour(&self, items: &VecDeque<Item>) -> Option<Cursor> {
        let last_but_one = items.len().checked_sub(2).and_then(|at| items.get(at));
        match (last_but_one, items.is_empty(), self.direction) {
            (Some(item), ..) => Some(Cursor::After(item.id.clone())),
            (None, _, Direction::Backward) => None,
            (None, true, Direction::Forward) => self.before.clone(),
            (None, false, Direction::Forward) => {
                let position = self.position.clone();
                Some(position.map_or(Cursor::Beginning, Cursor::After))
            }
        }
    }

    /// Moves the position to the last of a page of these items; `shown`: the position
    /// itself was on it.
    fn move_on(
        &mut self,
        items: &VecDeque<Item>,
        shown: bool,
        complete: bool,
    ) -> Result<(), &'static str> {
        let edge = match self.direction {
            Direction::Forward => items.back(),
            Direction::Backward => items.front(),
        };
        match edge {
            Some(edge) if self.position.as_ref() == Some(&edge.id) => {
                self.laps = self.laps.saturating_add(1);
                Err("the page after an item ends with that item")
            }
            Some(edge) if self.mark.as_ref() == Some(&edge.id) => {
                self.laps = self.laps.saturating_add(1);
                Err("the pages go round in a circle")
            }
            Some(edge) => {
                self.position = Some(edge.id.clone());
                self.idle_pages = 0;
                self.refusals = 0;
                self.remember();
                Ok(())
            }
            None if complete || shown => Ok(()),
            None => {
                self.idle_pages = self.idle_pages.saturating_add(1);
                if self.idle_pages >= IDLE_PAGES {
                    return Err("more is promised and none is given");
                }
                Ok(())
            }
        }
    }

    /// The open page was refused.
    fn refused(&mut self, error: RequestError) -> Result<WholePage, RequestError> {
        if let Some(witness) = &mut self.witness {
            return match witness.refused(error) {
                Verdict::Not(error) => Err(error),
                Verdict::Ask | Verdict::Shown { .. } => Ok(WholePage::doubtful()),
            };
        }
        if !error.is_item_not_found() || self.position.is_none() {
            return Err(error);
        }
        if self.direction == Direction::Backward {
            return Err(RequestError::Inconsistent(
                "an item is gone that was there a page before",
            ));
        }
        if self.refusals >= REFUSALS {
            return Err(RequestError::Inconsistent(
                "an item is shown, and nothing is known to come after it",
            ));
        }
        self.refusals = self.refusals.saturating_add(1);
        // It was there a page before; what lay before it may be gone with it.
        self.before = None;
        self.doubt();
        match self.witness {
            Some(_) => Ok(WholePage::doubtful()),
            None => Err(error),
        }
    }

    /// Whether to ask again would only lead round once more.
    pub(crate) const fn is_lost(&self) -> bool {
        self.laps > LAPS
    }

    /// Marks the position after 1, 2, 4, 8, ... pages.
    fn remember(&mut self) {
        self.pages_since_mark = self.pages_since_mark.saturating_add(1);
        if self.pages_since_mark == self.pages_to_next_mark {
            self.mark.clone_from(&self.position);
            self.pages_since_mark = 0;
            self.pages_to_next_mark = self.pages_to_next_mark.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests;
