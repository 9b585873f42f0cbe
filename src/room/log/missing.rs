//! What was heard and dropped, until the archive shows it.
//!
//! It is read from the archive, which may show what was said later before it: then it lies behind
//! the reader, and a comparison finds it. Until one has, none counts; if none does, a gap is told.

use alloc::collections::BTreeSet;

use crate::ids::ArchiveId;

/// So many are remembered at most: more are rarely on their way into an archive at a time.
const MOST: usize = 256;

/// Bounded: of too much, some is forgotten.
#[derive(Debug)]
pub(in crate::room) struct Missing {
    /// It is to be read yet.
    awaited: BTreeSet<ArchiveId>,
    /// The archive was read to its end since it was dropped, and did not show it.
    late: BTreeSet<ArchiveId>,
    capacity: usize,
}

impl Missing {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            awaited: BTreeSet::new(),
            late: BTreeSet::new(),
            capacity: if capacity < MOST { capacity } else { MOST },
        }
    }

    pub(super) fn is_dropped(&mut self, id: &ArchiveId) {
        self.awaited.insert(id.clone());
        if self.awaited.len() > self.capacity {
            // With most servers' ids, what was said first.
            self.awaited.pop_first();
        }
    }

    /// The archive shows this.
    pub(in crate::room) fn comes_by(&mut self, id: &ArchiveId) {
        self.awaited.remove(id);
        self.late.remove(id);
    }

    /// The archive was read to its end after all that was dropped.
    pub(super) fn come_to_an_end(&mut self) {
        self.late.append(&mut self.awaited);
        while self.late.len() > self.capacity {
            self.late.pop_first();
        }
    }

    /// Whether a comparison has to find anything.
    pub(in crate::room) fn is_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// A gap is told, or there is nothing to find it by.
    pub(in crate::room) fn clear(&mut self) {
        self.awaited.clear();
        self.late.clear();
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let ids = self.awaited.iter().chain(&self.late);
        ids.map(|id| size_of::<ArchiveId>().saturating_add(id.as_str().len()))
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ArchiveId {
        ArchiveId::new(text).unwrap()
    }

    #[test]
    fn what_the_archive_did_not_show_at_its_end_is_late_until_it_does() {
        let mut missing = Missing::new(2);
        for text in ["a", "b", "c"] {
            missing.is_dropped(&id(text));
        }
        assert!(missing.held() > 0 && !missing.is_late());
        missing.comes_by(&id("c"));
        missing.come_to_an_end();
        assert!(missing.is_late());
        missing.comes_by(&id("b"));
        assert!(!missing.is_late(), "more than two are not remembered");
        missing.is_dropped(&id("d"));
        missing.come_to_an_end();
        missing.clear();
        assert!(!missing.is_late() && missing.held() == 0);
    }
}
