//! Bugs planted on purpose: how many worlds it takes to find each, and by which rule.
//!
//! ```text
//! RUSTFLAGS="--cfg parley_planted" cargo test --release --features sim \
//!     --target-dir target/planted --test planted -- --nocapture
//! ```
//!
//! One test in a process of its own: what is planted is planted in all of it.

#![cfg(all(feature = "sim", parley_planted))]

use core::time::Duration;

use parley_xmpp::Instant;
use parley_xmpp::planted::{Bug, plant};
use parley_xmpp::sim::plan::{Fault, FaultKind, Order, Plan, Profile, Step, What};
use parley_xmpp::sim::{Ending, HostId, Pulling, Side, run};

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
    if bug == Some(Bug::WrittenIsKept) {
        // A leak takes its time: a stream has to last for hours.
        profile.troubled = Duration::from_secs(8000);
        profile.posts = 1500;
        profile.faults = 0;
    }
    profile
}

/// The plan of a seed to look for a bug in.
fn plan(seed: u64, bug: Option<Bug>) -> Plan {
    let mut plan = Plan::draw(seed, &profile(bug));
    if bug == Some(Bug::RejoinWithoutPause) {
        // Who comes back finds its nick taken, and asks for it for some minutes.
        plan.habits.one_nick = true;
        plan.habits.insist = true;
    }
    if bug == Some(Bug::CloseWaits) {
        // Who is to end has not noticed yet that its link is dead.
        let host = HostId(0);
        let cut = Fault::Cut {
            host,
            from: Side::Server,
            after_bytes: 0,
            how: Ending::Silence,
            linger: None,
        };
        let step = |seconds: u64, what| Step {
            at: Instant::from_millis(seconds * 1000),
            what,
        };
        plan.steps.push(step(300, What::Fault(cut)));
        plan.steps.push(step(302, What::Order(host, Order::Close)));
        plan.steps.sort_by_key(|step| step.at);
    }
    plan
}

/// The rules that a bug breaks first: it is found by what it does wrong, not by whatever
/// comes of that.
const fn expected(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::NoDedupe => &["S2"],
        Bug::CursorRunsAhead => &["S3"],
        Bug::LiveBeforeArchive
        | Bug::DedupeByNick
        | Bug::LiveAfterBreak
        | Bug::FullMeansGone
        | Bug::ResumedInOrder
        | Bug::GapInsteadOfPaging
        | Bug::GapAfterBreak
        | Bug::UnsettledAtOnce
        | Bug::ArchiveNotAwaited => &["S4"],
        // Something is passed by: S5 if nothing was given since the reader began at a cursor.
        Bug::ShortPageIsLast => &["S4", "S5"],
        Bug::CursorIsFirst | Bug::NoWitness => &["S5"],
        Bug::ResendUnseen | Bug::ExpiredIsAbsent => &["S6"],
        Bug::NotSentThoughSent | Bug::UnknownIsCommitted => &["S7"],
        Bug::OutcomeTwice | Bug::OfflineTwice | Bug::OfflineUntold | Bug::FetchForgotten => &["S8"],
        Bug::StanzaBeforeBind => &["S9"],
        Bug::SignatureUnverified => &["S10"],
        Bug::ErrorForMessage => &["S11"],
        Bug::ResultsFromAnyone => &["S12"],
        Bug::WrittenIsKept => &["S13"],
        Bug::HandledTooMany
        | Bug::HandledTooFew
        | Bug::ResumeSendsNothing
        | Bug::ResumeSendsAll
        | Bug::ResendAltered
        | Bug::RequestUnanswered => &["S17"],
        Bug::PasswordTold => &["S19"],
        Bug::JoinedTwice => &["S20"],
        Bug::NoRejoin
        | Bug::PassingRefusalIsFinal
        | Bug::TemporaryFailureIsFinal
        | Bug::StreamErrorIsFinal
        | Bug::SlowAfterABreak => &["L1"],
        // Who believes in a dead link is told nothing of what is said, and may be out.
        Bug::NoKeepalive => &["L1", "L3"],
        Bug::NoDeadline | Bug::DeadlineWraps => &["L4"],
        Bug::NeverIgnored => &["L5"],
        Bug::NoBackoff | Bug::RejoinWithoutPause | Bug::PingWithoutPause => &["L6"],
        Bug::LookWithoutPause => &["L7"],
        Bug::CloseWaits => &["L9"],
    }
}

/// The rule that breaks first in a plan, if one does, and how.
fn broken(plan: &Plan) -> Option<(&'static str, String)> {
    let report = run(plan, Pulling::default(), Vec::new());
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
            Some(Bug::RejoinWithoutPause),
            Some(Bug::CloseWaits),
        ] {
            let found = broken(&plan(seed, bug));
            assert_eq!(found, None, "seed {seed} fails with nothing planted");
        }
    }
    // Large worlds, so few of them.
    for seed in 0..3 {
        let found = broken(&plan(seed, Some(Bug::WrittenIsKept)));
        assert_eq!(found, None, "seed {seed} fails with nothing planted");
    }
    println!("| bug | rule | worlds needed | bound |\n|---|---|---|---|");
    let (mut missed, mut misjudged) = (Vec::new(), Vec::new());
    for bug in Bug::ALL {
        plant(Some(bug));
        let found = |seed| broken(&plan(seed, Some(bug))).map(|(rule, how)| (seed, rule, how));
        let found = (0..WORLDS).find_map(found);
        match found {
            Some((seed, rule, how)) => {
                println!("| {bug:?} | {rule} | {} | {WORLDS} |", seed + 1);
                eprintln!("{bug:?}: {how}");
                if !expected(bug).contains(&rule) {
                    misjudged.push((bug, rule));
                }
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
    assert!(
        misjudged.is_empty(),
        "found by another rule than what is wrong breaks: {misjudged:?}"
    );
}
