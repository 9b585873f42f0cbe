//! Making a plan that breaks a rule smaller, as long as it breaks the same rule.
//!
//! Delta debugging on the decisions: whole kinds of faults go first, then faults,
//! then orders, in ever smaller groups; then what follows the violation; then hosts'
//! texts, the weather and the times become plain. A replay is a whole run.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::plan::{FaultKind, Order, Plan, Step, What};
use super::run::run;
use super::world::Pulling;
use crate::Instant;

/// How far shrinking is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Replays so far.
    pub replays: u32,
    /// Decisions left.
    pub steps: usize,
}

/// Makes `plan` smaller as long as a run of it breaks `rule`, with at most `budget`
/// replays. Comes back unchanged if it does not break the rule in the first place.
///
/// `progress` is called after each replay.
pub fn shrink(plan: &Plan, rule: &str, budget: u32, progress: &mut dyn FnMut(Progress)) -> Plan {
    let breaks = |plan: &Plan| -> Option<Instant> {
        let report = run(plan, Pulling::default(), Vec::new());
        let violation = report.violations.iter().find(|(_, v)| v.rule == rule);
        violation.map(|(at, _)| *at)
    };
    shrink_with(plan, &breaks, budget, progress)
}

/// The same with another judge: when a run of the plan goes wrong, if it does.
pub fn shrink_with(
    plan: &Plan,
    breaks: &dyn Fn(&Plan) -> Option<Instant>,
    budget: u32,
    progress: &mut dyn FnMut(Progress),
) -> Plan {
    let mut search = Search {
        best: plan.clone(),
        broken_at: Instant::ZERO,
        breaks,
        left: budget,
        budget,
        progress,
    };
    if !search.accepts(plan.clone()) {
        return plan.clone();
    }
    loop {
        let before = search.best.clone();
        search.tail();
        search.kinds();
        search.steps();
        search.weather();
        search.texts();
        search.times();
        if search.best == before || search.left == 0 {
            return search.best;
        }
    }
}

struct Search<'a> {
    best: Plan,
    broken_at: Instant,
    breaks: &'a dyn Fn(&Plan) -> Option<Instant>,
    left: u32,
    budget: u32,
    progress: &'a mut dyn FnMut(Progress),
}

impl Search<'_> {
    /// Takes a candidate if it still breaks the rule.
    fn accepts(&mut self, candidate: Plan) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        let broken = (self.breaks)(&candidate);
        if let Some(at) = broken {
            self.best = candidate;
            self.broken_at = at;
        }
        (self.progress)(Progress {
            replays: self.budget.saturating_sub(self.left),
            steps: self.best.steps.len(),
        });
        broken.is_some()
    }

    /// Tries the best plan, changed.
    fn try_changed(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        candidate != self.best && self.accepts(candidate)
    }

    /// Nothing after the violation matters to it; and the heal may come earlier, as
    /// long as there is as much time after it.
    fn tail(&mut self) {
        let broken_at = self.broken_at;
        self.try_changed(|plan| plan.steps.retain(|step| step.at <= broken_at));
        let last = |plan: &Plan| {
            let faults = plan
                .steps
                .iter()
                .filter(|s| matches!(s.what, What::Fault(_)));
            faults.map(|step| step.at).max().unwrap_or_default()
        };
        self.try_changed(|plan| {
            let healed = plan.end_at.since(plan.heal_at);
            plan.heal_at = last(plan).plus(Duration::from_secs(1)).min(plan.heal_at);
            plan.end_at = plan.heal_at.plus(healed);
        });
    }

    fn kinds(&mut self) {
        for kind in FaultKind::ALL {
            let is_it = |step: &Step| match &step.what {
                What::Fault(fault) => fault.kind() == *kind,
                What::Order(..) => false,
            };
            self.try_changed(|plan| plan.steps.retain(|step| !is_it(step)));
        }
    }

    /// Drops decisions: halves, quarters and so on, down to single ones.
    fn steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.steps.len() && self.left > 0 {
                let to = from.saturating_add(size).min(self.best.steps.len());
                let dropped = self.try_changed(|plan| {
                    plan.steps.drain(from..to);
                });
                if !dropped {
                    from = to;
                }
            }
            size /= 2;
        }
    }

    fn weather(&mut self) {
        self.try_changed(|plan| plan.weather.bandwidth = None);
        self.try_changed(|plan| plan.weather.jitter = Duration::ZERO);
        self.try_changed(|plan| plan.weather.latency = Duration::from_millis(1));
        self.try_changed(|plan| plan.weather.packet = 1460);
        self.try_changed(|plan| plan.resumption = false);
        self.try_changed(|plan| plan.page_cap = 50);
        self.try_changed(|plan| plan.habits.tick = None);
        self.try_changed(|plan| plan.habits.insist = false);
        self.try_changed(|plan| plan.habits.remembered = None);
    }

    /// Texts become numbers.
    fn texts(&mut self) {
        let plain = |plan: &mut Plan| {
            for (number, step) in plan.steps.iter_mut().enumerate() {
                if let What::Order(_, Order::Post(_, text)) = &mut step.what {
                    *text = number_text(number);
                }
            }
        };
        if self.try_changed(plain) {
            return;
        }
        for number in 0..self.best.steps.len() {
            self.try_changed(|plan| {
                if let Some(step) = plan.steps.get_mut(number)
                    && let What::Order(_, Order::Post(_, text)) = &mut step.what
                {
                    *text = number_text(number);
                }
            });
        }
    }

    /// Times become round: seconds, tenths, milliseconds; all at once, else one by one.
    fn times(&mut self) {
        for unit in [1_000_000, 100_000, 1_000] {
            if self.try_changed(|plan| {
                for step in &mut plan.steps {
                    step.at = rounded(step.at, unit);
                }
            }) {
                return;
            }
        }
        for number in 0..self.best.steps.len() {
            for unit in [1_000_000, 100_000, 1_000] {
                let rounded = self.try_changed(|plan| {
                    if let Some(step) = plan.steps.get_mut(number) {
                        step.at = rounded(step.at, unit);
                    }
                    plan.steps.sort_by_key(|step| step.at);
                });
                if rounded {
                    break;
                }
            }
        }
    }
}

fn number_text(number: usize) -> String {
    format!("text {number}")
}

const fn rounded(at: Instant, unit: u64) -> Instant {
    Instant::from_micros(at.as_micros() / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plan::{Fault, Profile};

    #[test]
    fn what_does_not_matter_is_dropped() {
        let plan = Plan::draw(3, &Profile::standard());
        let is_cut = |step: &&Step| matches!(&step.what, What::Fault(Fault::Stall { .. }));
        // Broken by any stall that comes before a post.
        let breaks = |plan: &Plan| {
            let stall = plan.steps.iter().find(is_cut)?;
            let later = plan.steps.iter().find(|step| {
                step.at > stall.at && matches!(&step.what, What::Order(_, Order::Post(..)))
            })?;
            Some(later.at)
        };
        let seed = (0..50).find(|seed| breaks(&Plan::draw(*seed, &Profile::standard())).is_some());
        let plan = seed.map_or(plan, |seed| Plan::draw(seed, &Profile::standard()));
        assert!(breaks(&plan).is_some());
        let mut replays = 0;
        let small = shrink_with(&plan, &breaks, 2000, &mut |progress| {
            replays = progress.replays
        });
        assert_eq!(small.steps.len(), 2, "{small}");
        assert!(replays < 2000);
        assert!(small.end_at.since(small.heal_at) >= plan.end_at.since(plan.heal_at));
    }
}
