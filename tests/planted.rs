//! Bugs planted on purpose, and how many worlds it takes to find each.
//!
//! ```text
//! RUSTFLAGS="--cfg parley_planted" cargo test --release --features sim \
//!     --target-dir target/planted --test planted -- --nocapture
//! ```
//!
//! One test in a process of its own: what is planted is planted in all of it.

#![cfg(all(feature = "sim", parley_planted))]

use parley_xmpp::planted::{Bug, plant};
use parley_xmpp::sim::plan::{FaultKind, Plan, Profile};
use parley_xmpp::sim::{Pulling, run};

/// So many worlds are enough for each.
const WORLDS: u64 = 25;

/// The worlds to look for a bug in.
fn profile(bug: Option<Bug>) -> Profile {
    let mut profile = Profile::standard();
    if bug == Some(Bug::ExpiredIsAbsent) {
        // What lies right before a post has to go in the seconds between a break and the
        // search for it: in standard worlds that took 235 of them.
        profile.kinds = [FaultKind::Cut, FaultKind::Expire].into_iter().collect();
        profile.faults = 150;
    }
    if bug == Some(Bug::FetchForgotten) {
        // A stream has to break in the moment in which an archive is read.
        profile.kinds = [FaultKind::Cut, FaultKind::Throttle].into_iter().collect();
        profile.faults = 150;
    }
    if bug == Some(Bug::ResultsFromAnyone) {
        // Somebody has to lie in the moment in which an archive is read.
        profile.kinds = [FaultKind::Cut, FaultKind::Forge].into_iter().collect();
        profile.faults = 150;
    }
    if bug == Some(Bug::UnsettledAtOnce) {
        // An archive has to lag, and nothing else be wrong with it.
        profile.kinds = [FaultKind::Cut, FaultKind::ArchiveLag]
            .into_iter()
            .collect();
        profile.faults = 60;
    }
    if bug == Some(Bug::DeadlineWraps) {
        // A clock has to leap far, and then a post's time has to run out.
        profile.kinds = [FaultKind::Leap, FaultKind::Refuse].into_iter().collect();
        profile.faults = 60;
    }
    profile
}

/// The rule that breaks first in the world of a seed, if one does, and how.
fn broken(seed: u64, profile: &Profile) -> Option<(&'static str, String)> {
    let plan = Plan::draw(seed, profile);
    let report = run(&plan, Pulling::default(), Vec::new());
    let first = report.violations.into_iter().next();
    first.map(|(_, violation)| (violation.rule, violation.detail))
}

#[test]
fn every_planted_bug_is_found() {
    plant(None);
    for seed in 0..WORLDS {
        for bug in [
            None,
            Some(Bug::ExpiredIsAbsent),
            Some(Bug::FetchForgotten),
            Some(Bug::ResultsFromAnyone),
            Some(Bug::UnsettledAtOnce),
            Some(Bug::DeadlineWraps),
        ] {
            let found = broken(seed, &profile(bug));
            assert_eq!(found, None, "seed {seed} fails with nothing planted");
        }
    }
    println!("| bug | rule | worlds needed | bound |\n|---|---|---|---|");
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        plant(Some(bug));
        let profile = profile(Some(bug));
        let found = |seed| broken(seed, &profile).map(|(rule, how)| (seed, rule, how));
        let found = (0..WORLDS).find_map(found);
        match found {
            Some((seed, rule, how)) => {
                println!("| {bug:?} | {rule} | {} | {WORLDS} |", seed + 1);
                eprintln!("{bug:?}: {how}");
            }
            None => {
                println!("| {bug:?} | - | not found | {WORLDS} |");
                missed.push(bug);
            }
        }
    }
    plant(None);
    assert!(
        missed.is_empty(),
        "not found in {WORLDS} worlds: {missed:?}"
    );
}
