//! What an oracle found: rules that were broken, and paths that were taken.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Instant;
use crate::sim::happening::Violation;

/// More violations than this are not kept: the first says it all.
const KEPT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) now: Instant,
    /// So many messages are held back by each host for those who read a room.
    pub(super) held: usize,
    /// So many archive ids are remembered by each host.
    pub(super) remembered: usize,
    pub(super) violations: Vec<(Instant, Violation)>,
    /// How many of them were shown to others.
    pub(super) shown: usize,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

impl Found {
    pub(super) fn violate(&mut self, rule: &'static str, detail: String) {
        if self.violations.len() < KEPT {
            self.violations.push((self.now, Violation { rule, detail }));
        }
    }

    pub(super) fn count(&mut self, path: &'static str) {
        let count = self.tally.entry(path).or_default();
        *count = count.saturating_add(1);
    }
}
