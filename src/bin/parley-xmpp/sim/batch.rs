//! Runs worlds on all cores, in the order of their seeds: until one breaks a rule, or
//! all of them.

use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use parley_xmpp::sim::plan::{Plan, Profile};
use parley_xmpp::sim::server::Personality;
use parley_xmpp::sim::{Violation, run as run_plan};

/// The worlds to run.
#[derive(Debug)]
pub(super) enum Worlds {
    /// That of a plan.
    One(Box<Plan>),
    /// Those of seeds.
    Drawn(RangeInclusive<u64>, Box<Profile>),
}

/// What came of one.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    personality: Personality,
    /// How long it lasted, on its own clock, in microseconds.
    lasted: u64,
    tally: BTreeMap<&'static str, u64>,
    pub(super) broken: Option<Broken>,
}

/// What came of all of them. It grows with what was broken, not with what was run.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// How many were run.
    pub(super) worlds: u64,
    /// How many of them with ejabberd's habits.
    pub(super) ejabberd: u64,
    /// How long they lasted, on their own clocks, in microseconds.
    pub(super) micros: u64,
    pub(super) tally: BTreeMap<&'static str, u64>,
    /// Those that broke a rule, by their seeds.
    pub(super) broken: BTreeMap<u64, Broken>,
}

impl Results {
    fn add(&mut self, outcome: Outcome) {
        self.worlds += 1;
        self.ejabberd += u64::from(outcome.personality == Personality::Ejabberd);
        self.micros = self.micros.saturating_add(outcome.lasted);
        for (name, count) in outcome.tally {
            *self.tally.entry(name).or_insert(0) += count;
        }
        if let Some(broken) = outcome.broken {
            self.broken.insert(outcome.seed, broken);
        }
    }
}

/// What went wrong first, in a world.
#[derive(Debug)]
pub(super) enum Broken {
    /// A rule was broken, and perhaps more of them.
    Rule {
        at: u64,
        violation: Violation,
        more: usize,
    },
    /// The program itself gave up.
    Panic(String),
}

impl Broken {
    /// The rule, or that it is a panic, and what happened.
    pub(super) fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Rule { violation, .. } => (violation.rule, &violation.detail),
            Self::Panic(message) => ("panic", message),
        }
    }

    /// The rule, unless it is none.
    pub(super) const fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Rule { violation, .. } => Some(violation.rule),
            Self::Panic(_) => None,
        }
    }
}

impl Worlds {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Drawn(seeds, _) => (seeds.end() - seeds.start()).saturating_add(1),
        }
    }

    /// The plan of one of them.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        match self {
            Self::One(plan) => (**plan).clone(),
            Self::Drawn(_, profile) => Plan::draw(seed, profile),
        }
    }

    /// The seed of the first.
    pub(super) fn first(&self) -> u64 {
        match self {
            Self::One(plan) => plan.seed,
            Self::Drawn(seeds, _) => *seeds.start(),
        }
    }
}

/// Runs them; `progress` is told of each that is done, how many are, and how many of
/// these broke a rule.
///
/// After a failure no more are begun, unless they are to `keep_going`. All that come
/// before it were begun, and are completed: the first failure is the same however many
/// run at a time.
pub(super) fn run(
    worlds: &Worlds,
    jobs: Option<u16>,
    keep_going: bool,
    mut progress: impl FnMut(&Outcome, u64, usize),
) -> Results {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.map_or(cores, usize::from);
    let jobs = jobs.min(usize::try_from(worlds.count()).unwrap_or(usize::MAX));
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let mut results = Results::default();
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs {
            let (next, enough, sender) = (&next, &enough, sender.clone());
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= worlds.count() {
                        break;
                    }
                    let outcome = one(worlds, worlds.first().saturating_add(index));
                    if outcome.broken.is_some() && !keep_going {
                        enough.store(true, Ordering::Relaxed);
                    }
                    if sender.send(outcome).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for outcome in receiver {
            let done = results.worlds + 1;
            let broken = results.broken.len() + usize::from(outcome.broken.is_some());
            progress(&outcome, done, broken);
            results.add(outcome);
        }
    });
    results
}

fn one(worlds: &Worlds, seed: u64) -> Outcome {
    let plan = worlds.plan(seed);
    let mut outcome = Outcome {
        seed,
        personality: plan.personality,
        lasted: plan.end_at.as_micros(),
        tally: BTreeMap::new(),
        broken: None,
    };
    match caught(|| run_plan(&plan, Default::default(), Vec::new())) {
        Ok(report) => {
            let more = report.violations.len().saturating_sub(1);
            outcome.tally = report.tally;
            let first = report.violations.into_iter().next();
            outcome.broken = first.map(|(at, violation)| Broken::Rule {
                at: at.as_micros(),
                violation,
                more,
            });
        }
        Err(message) => outcome.broken = Some(Broken::Panic(message)),
    }
    outcome
}

/// What the closure gives, or the message of its panic: a world that makes the
/// engine panic is a finding, with a seed like any other.
pub(super) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "a panic without words".to_owned())
    })
}
