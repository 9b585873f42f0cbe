//! What lay next to what in a room's archive, lately: hints for the witness of a cursor
//! ([`Pager::after`](crate::mam::Pager::after)), so that it costs no question.
//!
//! Bounded, and never relied upon: a hint that is wrong costs the question that it
//! would have saved.

use alloc::collections::VecDeque;

use crate::ids::{ArchiveId, Cursor};

/// So many places are remembered for each room: that many readers can go on, each from
/// a cursor of its own.
pub(crate) const NEIGHBOURS: usize = 32;

/// Remembers what lay right before an item, for the last so many items.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    pairs: VecDeque<(ArchiveId, Cursor)>,
    /// What the room said last, since we are in.
    said: Option<ArchiveId>,
}

impl Neighbours {
    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        let pairs = self.pairs.iter().map(|(item, before)| {
            let before = match before {
                Cursor::Beginning => 0,
                Cursor::After(id) => id.as_str().len(),
            };
            size_of::<(ArchiveId, Cursor)>()
                .saturating_add(item.as_str().len())
                .saturating_add(before)
        });
        let said = self.said.as_ref().map_or(0, |id| id.as_str().len());
        pairs.fold(said, usize::saturating_add)
    }

    /// `before` lay right before `item`.
    pub(crate) fn note(&mut self, item: ArchiveId, before: Cursor) {
        self.pairs.retain(|(known, _)| *known != item);
        self.pairs.push_back((item, before));
        if self.pairs.len() > NEIGHBOURS {
            self.pairs.pop_front();
        }
    }

    /// The room said something, at this place of its archive.
    pub(crate) fn heard(&mut self, item: &ArchiveId) {
        if let Some(before) = self.said.replace(item.clone())
            && before != *item
        {
            self.note(item.clone(), Cursor::After(before));
        }
    }

    /// We were not in the room: what it said meanwhile was not heard.
    pub(crate) fn away(&mut self) {
        self.said = None;
    }

    /// What lay right before an item, if that is remembered.
    pub(crate) fn before(&self, item: &ArchiveId) -> Option<Cursor> {
        let (_, before) = self.pairs.iter().rev().find(|(known, _)| known == item)?;
        Some(before.clone())
    }

    /// Whether an id is known to be of this room's archive.
    pub(crate) fn knows(&self, id: &ArchiveId) -> bool {
        self.said.as_ref() == Some(id)
            || self.pairs.iter().any(|(item, before)| {
                item == id || matches!(before, Cursor::After(before) if before == id)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ArchiveId {
        ArchiveId::new(&alloc::format!("a{n}")).unwrap()
    }

    #[test]
    fn what_is_said_has_what_was_said_before_it_as_its_neighbour() {
        let mut near = Neighbours::default();
        near.heard(&id(1));
        assert_eq!(near.before(&id(1)), None);
        assert!(near.knows(&id(1)));
        near.heard(&id(2));
        near.heard(&id(2));
        assert_eq!(near.before(&id(2)), Some(Cursor::After(id(1))));
        near.away();
        near.heard(&id(4));
        assert_eq!(near.before(&id(4)), None, "3 may lie between");
    }

    #[test]
    fn the_latest_so_many_are_remembered() {
        let mut near = Neighbours::default();
        for n in 0..=NEIGHBOURS {
            near.note(id(n + 1), Cursor::After(id(n)));
        }
        assert_eq!(near.before(&id(1)), None);
        assert_eq!(near.before(&id(2)), Some(Cursor::After(id(1))));
        assert!(!near.knows(&id(0)) && near.knows(&id(1)));
        near.note(id(2), Cursor::Beginning);
        assert_eq!(near.before(&id(2)), Some(Cursor::Beginning));
    }
}
