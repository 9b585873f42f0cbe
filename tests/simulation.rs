//! The client in worlds that go wrong: drawn plans, committed traces, and that nothing
//! of how a world is run makes a difference.
//!
//! `PARLEY_WORLDS=A..B` says which seeds are run. A seed that fails is named with what
//! to do: `tests/traces/` has smaller plans of most that failed in the client and were mended.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use parley_xmpp::sim::plan::{Plan, Profile};
use parley_xmpp::sim::{Pulling, Report, Timeline, run, shrink};

/// How many seeds `cargo test` runs, each twice: some two minutes of one core in a
/// debug build.
const SEEDS: u64 = 120;

/// Paths that a batch of [`SEEDS`] takes at least once: what is never walked is not tested.
const SOMETIMES: &[&str] = &[
    "archive looked at again",
    "archive taken over",
    "bad-format",
    "bad-namespace-prefix",
    "caught up again",
    "closed with posts in flight",
    "conflict",
    "connection-timeout",
    "cut: alert",
    "cut: half-open",
    "cut: truncation",
    "expire-streams",
    "fetch failed: cursor expired",
    "fetched past the cap",
    "fewer-mechanisms",
    "followed to the end",
    "gap: archive failed",
    "gap: cursor expired",
    "gap: overflow",
    "gap: recreated",
    "gap: unsettled",
    "hole mended, in turn",
    "hole mended, late",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "join failed: nick conflict",
    "join failed: offline",
    "join failed: refused",
    "join failed: timed out",
    "joined under another nick",
    "late",
    "left while joining",
    "left: asked",
    "left: banned",
    "left: destroyed",
    "left: dropped",
    "left: kicked",
    "left: not a member",
    "left: offline",
    "left: shutdown",
    "left: technical",
    "let in without a proof",
    "lied to",
    "live given up for pages",
    "no-resumption",
    "not archived",
    "not-authorized",
    "not-well-formed",
    "offline: certificate",
    "offline: closed by the server",
    "offline: login refused",
    "offline: not answered",
    "offline: not resolved",
    "offline: refused",
    "offline: stream error",
    "offline: timed out",
    "offline: tls",
    "offline: transport",
    "page garbled",
    "page may change",
    "policy-violation",
    "post committed",
    "post found in the archive",
    "post not sent",
    "post rejected",
    "post sent again, not in the archive",
    "post unknown",
    "rejoined",
    "remote-connection-failed",
    "resent",
    "reset",
    "resource-constraint",
    "restarted",
    "restore",
    "restricted-xml",
    "resumed",
    "resumption failed, with h",
    "resumption failed, without h",
    "rewrite-nicks",
    "room created again",
    "see-other-host",
    "stays away",
    "stream management refused",
    "system-shutdown",
    "trickle",
    "unarchived",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
    "weak-mechanisms",
    "went on from a kept cursor",
];

fn seeds(many: u64) -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("PARLEY_WORLDS") else {
        return 0..many;
    };
    let (from, to) = range.split_once("..").expect("PARLEY_WORLDS=A..B");
    let number = |text: &str| text.parse().expect("PARLEY_WORLDS: a number");
    number(from)..number(to)
}

fn report(plan: &Plan) -> Report {
    run(plan, Pulling::default(), Vec::new())
}

/// A way to pull that is not the usual one, or is just that: a run is the same twice.
fn another_way(seed: u64) -> Pulling {
    let pieces = [usize::MAX, usize::MAX, 1, 7];
    let turn = usize::try_from(seed % 4).expect("below four");
    Pulling {
        eager: turn == 0 || turn == 2,
        piece: pieces.get(turn).copied().unwrap_or(1),
        early: seed.is_multiple_of(3),
    }
}

/// A world that went wrong, on one screen.
fn tell(name: &str, plan: &Plan) -> String {
    let timeline = Rc::new(RefCell::new(Timeline::new(60)));
    let report = run(
        plan,
        Pulling::default(),
        vec![Box::new(Rc::clone(&timeline))],
    );
    let mut text = format!("{name}:\n{plan}\n{}\n", timeline.borrow());
    for (at, violation) in report.violations.iter().take(5) {
        let _ = writeln!(text, "{at:?} {}: {}", violation.rule, violation.detail);
    }
    text
}

#[test]
fn drawn_worlds_keep_every_rule() {
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    let profile = Profile::standard();
    let known = known_to_fail();
    let range = seeds(SEEDS);
    for seed in range.clone() {
        let plan = Plan::draw(seed, &profile);
        let report = report(&plan);
        // Once more, pulled in another way from seed to seed: nothing may differ.
        let again = run(&plan, another_way(seed), Vec::new());
        assert_eq!(
            report.hash,
            again.hash,
            "seed {seed}: {:?}",
            another_way(seed)
        );
        for (path, count) in report.tally {
            *tally.entry(path).or_default() += count;
        }
        if let Some((_, violation)) = report.violations.first()
            && !known.contains(&(seed, violation.rule.to_owned()))
        {
            failed.push((seed, violation.rule));
        }
    }
    println!("{} worlds: {tally:#?}", range.end - range.start);
    if let Some((seed, rule)) = failed.first() {
        let plan = Plan::draw(*seed, &profile);
        let small = shrink(&plan, rule, 400, &mut |_| {});
        panic!(
            "{failed:?}\n{}",
            tell(&format!("seed {seed}, shrunk"), &small)
        );
    }
    if std::env::var("PARLEY_WORLDS").is_err() {
        let missed: Vec<_> = SOMETIMES
            .iter()
            .filter(|p| !tally.contains_key(*p))
            .collect();
        assert!(
            missed.is_empty(),
            "never walked in {SEEDS} worlds: {missed:?}"
        );
    }
}

#[test]
fn how_a_world_is_run_makes_no_difference() {
    let profile = Profile::standard();
    for seed in 0..8 {
        let plan = Plan::draw(seed, &profile);
        let hash = |pulling| run(&plan, pulling, Vec::new()).hash;
        let usual = hash(Pulling::default());
        assert_eq!(usual, hash(Pulling::default()), "seed {seed}, twice");
        for pulling in [
            Pulling {
                eager: false,
                ..Pulling::default()
            },
            Pulling {
                piece: 1,
                ..Pulling::default()
            },
            Pulling {
                early: true,
                ..Pulling::default()
            },
            Pulling {
                eager: false,
                piece: 7,
                early: true,
            },
        ] {
            assert_eq!(usual, hash(pulling), "seed {seed}, {pulling:?}");
        }
        assert_ne!(usual, report(&Plan::draw(seed + 100, &profile)).hash);
    }
}

fn traces() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces")
}

/// A line of `seeds.txt`.
struct Listed {
    seed: u64,
    rule: String,
    open: bool,
    /// Whether the list must name a plan that shows it.
    shown: bool,
    /// The plan beside the list that shows it, if there is one.
    plan: Option<String>,
}

/// The lines of `seeds.txt`, each as it has to be.
fn listed() -> Vec<Listed> {
    let list = fs::read_to_string(traces().join("seeds.txt")).expect("tests/traces/seeds.txt");
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let seed = words.next().and_then(|seed| seed.parse().ok());
            let seed = seed.unwrap_or_else(|| panic!("no seed: {line}"));
            let rule = words.next().unwrap_or_default().to_owned();
            let known = |kind: char| rule.strip_prefix(kind)?.parse::<u8>().ok();
            assert!(known('S').or(known('L')).is_some(), "no rule: {line}");
            let open = match words.next() {
                Some("open") => true,
                Some("mended") => false,
                _ => panic!("neither open nor mended: {line}"),
            };
            let why: Vec<_> = words.collect();
            let shown = !open && is_the_clients(&why.join(" "));
            let plan = match why[..] {
                [.., "see", plan] if plan.ends_with(".plan") => Some(plan.to_owned()),
                _ => None,
            };
            Listed {
                seed,
                rule,
                open,
                shown,
                plan,
            }
        })
        .collect()
}

/// Whether what was mended was in the client, for the first time: not in what judges it or
/// is its world, nor the same as in the line before; and a plan of it could be had.
fn is_the_clients(why: &str) -> bool {
    let elsewhere = ["oracle", "model", "profile", "world"];
    let is_elsewhere = |what: &&str| why.starts_with(&format!("of the {what}: "));
    let is_the_same = why == "the same" || why.starts_with("the same, ");
    // Said instead of a plan, with the reason.
    let is_lost = why.contains(", no plan: ");
    !is_the_same && !is_lost && !elsewhere.iter().any(is_elsewhere)
}

#[test]
fn a_bug_of_the_client_is_known_by_its_line() {
    for why in [
        "the same",
        "the same, on ejabberd",
        "of the world: cuts",
        "of the model: x",
        "a place was lost, no plan: it is lost too",
    ] {
        assert!(!is_the_clients(why), "{why}");
    }
    for why in [
        "a place was lost, see a.plan",
        "the same place was lost",
        "of the room: x",
    ] {
        assert!(is_the_clients(why), "{why}");
    }
}

/// Seeds listed as `open`, with the rule they break: for a reason that is known and not
/// mended yet.
fn known_to_fail() -> Vec<(u64, String)> {
    let open = listed().into_iter().filter(|listed| listed.open);
    open.map(|listed| (listed.seed, listed.rule)).collect()
}

#[test]
fn the_list_of_seeds_and_the_plans_beside_it_agree() {
    let listed = listed();
    for Listed {
        seed, shown, plan, ..
    } in &listed
    {
        let Some(name) = plan else {
            assert!(
                !shown,
                "{seed} was a bug of the client, and no plan shows it"
            );
            continue;
        };
        let text = fs::read_to_string(traces().join(name))
            .unwrap_or_else(|error| panic!("{seed} names {name}: {error}"));
        let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(plan.seed, *seed, "{name}");
    }
    for entry in fs::read_dir(traces()).expect("tests/traces").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let is_listed = listed.iter().any(|l| l.plan.as_ref() == Some(&name));
        assert!(
            is_listed || name == "seeds.txt",
            "{name} is not in seeds.txt"
        );
    }
}

#[test]
fn what_failed_once_does_not_fail_again() {
    let mut replayed = 0;
    for entry in fs::read_dir(traces()).expect("tests/traces").flatten() {
        let path = entry.path();
        let name = path.display().to_string();
        // `open-` marks what is known and not mended yet.
        if !name.ends_with(".plan") || name.contains("/open-") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a trace");
        let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = report(&plan);
        assert!(report.violations.is_empty(), "{}", tell(&name, &plan));
        replayed += 1;
    }
    assert!(replayed > 0, "no traces were found");
}
