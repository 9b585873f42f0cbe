//! `parley-xmpp sim` as a user meets it.

#![cfg(feature = "cli")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and these run programs"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn sim(directory: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parley-xmpp"))
        .arg("sim")
        .args(args)
        .current_dir(directory)
        .output()
        .expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A world so small that it takes no time.
const SMALL: [&str; 8] = [
    "--hosts", "1", "--posts", "3", "--rooms", "1", "--faults", "none",
];

fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().chain(more).copied().collect()
}

/// Arguments of a batch that breaks rules: nothing in a page tells that a result in its
/// middle is missing, so that it is beyond any client.
const BREAKING: [&str; 10] = [
    "--seeds",
    "0..500",
    "--faults",
    "drop-later,cut,refuse",
    "--fault-count",
    "12",
    "--posts",
    "20",
    "--hosts",
    "2",
];

#[test]
fn help_names_every_kind_of_fault_and_the_exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let output = sim(directory.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for kind in parley_xmpp::sim::plan::FaultKind::ALL {
        // These come with a crash, a ban or a restore, and are not drawn by themselves.
        if !["start", "admit", "backup"].contains(&kind.name()) {
            assert!(help.contains(kind.name()), "{}", kind.name());
        }
    }
    assert!(help.contains("Exit code 0 if no rule was broken, 7 if one was"));
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("no.trace"), "nonsense\n").unwrap();
    for args in [
        &["--seeds", "5..5"][..],
        &["--seeds", "7..3"],
        &["--seeds", "x"],
        &["--seeds", "1-9"],
        &["--seed", "1", "--seeds", "0..9"],
        &["--seed", "-1"],
        &["--personality", "openfire"],
        &["--faults", "cut,stal"],
        &["--hosts", "0"],
        &["--replay", "missing.trace"],
        &["--replay", "no.trace"],
        &["--replay", "no.trace", "--seed", "1"],
        &["--seed", "1", "--html", "no/such/directory.html"],
        &["--seed", "1", "--trace", "."],
    ] {
        let output = sim(directory.path(), args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            said.starts_with("error: ") && said.contains("\nremedy: "),
            "{said}"
        );
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}

#[test]
fn a_trace_replays_as_the_same_run_and_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let output = sim(
        at,
        &small(&[
            "--seed",
            "5",
            "--trace",
            "a.trace",
            "--html",
            "a.html",
            "--timeline",
        ]),
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let first = stdout(&output);
    assert!(first.contains("no rule was broken"), "{first}");
    let output = sim(
        at,
        &[
            "--replay",
            "a.trace",
            "--html",
            "b.html",
            "--trace",
            "b.trace",
            "--timeline",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // But for the line with the file's name, and the time it took.
    let events = |text: &str| -> Vec<String> {
        let is_event = |line: &&str| line.starts_with(' ') && line.contains('.');
        text.lines().filter(is_event).map(str::to_owned).collect()
    };
    assert!(events(&first).len() > 10, "{first}");
    assert_eq!(events(&first), events(&stdout(&output)));
    let read = |name: &str| fs::read_to_string(at.join(name)).unwrap();
    assert_eq!(read("a.trace"), read("b.trace"));
    let page = read("b.html");
    assert!(page.starts_with("<!doctype html>") && page.contains("Seed 5"));
    assert!(page.contains("parley-xmpp sim --replay b.trace"));
}

#[test]
fn json_is_one_object() {
    let directory = tempfile::tempdir().unwrap();
    let output = sim(directory.path(), &small(&["--seeds", "0..4", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let object: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(object["worlds"], 4);
    assert!(object["virtualHours"].as_f64().unwrap() > 0.0);
    assert!(
        object["happened"]["post committed"].as_u64().unwrap() > 0,
        "{object}"
    );
}

#[test]
fn a_broken_rule_is_seven_and_leaves_what_is_needed_to_see_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let output = sim(at, &BREAKING);
    let (said, told) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(7), "{said}{told}");
    assert!(told.starts_with("error: seed "), "{told}");
    assert!(
        told.contains("\nremedy: look at it: `parley-xmpp sim --replay sim-"),
        "{told}"
    );
    let trace = said
        .lines()
        .find_map(|line| line.strip_prefix("trace     "))
        .unwrap();
    assert!(at.join(trace).exists());

    // The same again leaves no second file, and another plan of that name is left alone.
    sim(at, &BREAKING);
    assert_eq!(fs::read_dir(at).unwrap().count(), 1);
    fs::write(at.join(trace), "mine").unwrap();
    sim(at, &BREAKING);
    assert_eq!(fs::read_to_string(at.join(trace)).unwrap(), "mine");
    let second = trace.replace(".trace", "-2.trace");

    // The replay breaks the same rule.
    let rule = told.split_whitespace().nth(4).unwrap().to_owned();
    let output = sim(at, &["--replay", &second, "--html", "page.html", "--json"]);
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    let object: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(object["broken"]["rule"], rule.as_str());
    let page = fs::read_to_string(at.join("page.html")).unwrap();
    assert!(page.contains(&format!("{rule} is broken")));
}

#[test]
fn a_run_that_keeps_going_names_every_world_that_broke_a_rule() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut args: Vec<_> = BREAKING.to_vec();
    args[1] = "0..200";
    args.extend(["--keep-going", "--json"]);
    let output = sim(at, &args);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(7), "{told}");
    let object: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(object["worlds"], 200);
    assert_eq!(
        object["prosody"].as_u64().unwrap() + object["ejabberd"].as_u64().unwrap(),
        200
    );
    let by_rule = object["brokenSeeds"].as_object().unwrap();
    let mut broken: Vec<_> = by_rule
        .values()
        .flat_map(|seeds| seeds.as_array().unwrap())
        .map(|seed| seed.as_u64().unwrap())
        .collect();
    broken.sort_unstable();
    assert_eq!(object["broken"]["seed"].as_u64(), broken.first().copied());
    let count = format!("{} of 200 worlds broke a rule", broken.len());
    assert!(told.contains(&count), "{told}");
    // Each does so by itself, too.
    let last = broken.last().unwrap().to_string();
    args[0] = "--seed";
    args[1] = &last;
    args.truncate(BREAKING.len());
    assert_eq!(sim(at, &args).status.code(), Some(7), "seed {last}");
    // It is for many.
    let output = sim(at, &["--seed", "1", "--keep-going"]);
    assert_eq!(output.status.code(), Some(2));
}
