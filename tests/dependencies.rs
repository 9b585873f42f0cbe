//! The trees of dependencies stay small, and the default one free of clocks, sockets and randomness.

#![allow(
    clippy::expect_used,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking, and these are programs of the std world"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// What the pure core may not pull in by any way: the things that it takes as inputs instead.
const NOT_IN_CORE: &[&str] = &[
    "async-io",
    "async-std",
    "chrono",
    "getrandom",
    "mio",
    "native-tls",
    "openssl",
    "polling",
    "rand",
    "rand_core",
    "ring",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
];

/// The names and versions of all crates that a user's build gets, ours included.
fn tree(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--no-default-features"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn the_core_stays_small_and_pure() {
    let crates = tree(&[]);
    println!("default: {} crates: {crates:?}", crates.len());
    assert!(crates.len() > 1, "{crates:?}");
    assert!(crates.len() <= 20, "{}: {crates:?}", crates.len());
    for name in crates.iter().filter_map(|line| line.split(' ').next()) {
        assert!(
            !NOT_IN_CORE.contains(&name),
            "{name} is in the default tree"
        );
    }
}

/// The table of features in the README tells how many crates each brings.
#[test]
fn the_table_in_the_readme_is_right() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("the README");
    let count = |feature: &str| -> usize {
        let start = format!("| {feature} |");
        let row = readme.lines().find(|line| line.starts_with(&start));
        let cells = row.expect("a row").split('|').map(str::trim);
        cells
            .filter_map(|cell| cell.parse().ok())
            .next_back()
            .expect("a number")
    };
    assert_eq!(tree(&[]).len(), count("none"));
    for feature in ["saslprep", "precis", "tokio", "sim", "embedded"] {
        let crates = tree(&["--features", feature]).len();
        assert_eq!(crates, count(&format!("`{feature}`")), "{feature}");
    }
    // The larger trees move with every release of what is in them.
    for feature in ["srv", "cli"] {
        let crates = tree(&["--features", feature]).len();
        let told = count(&format!("`{feature}`"));
        assert!(
            crates.abs_diff(told) <= 15,
            "{feature}: {crates}, not {told}"
        );
    }
}

#[test]
fn the_driver_stays_small() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest");
    if !manifest.lines().any(|line| line.starts_with("tokio = [")) {
        let _ = writeln!(
            std::io::stderr(),
            "NOT CHECKED: there is no feature \"tokio\""
        );
        return;
    }
    let crates = tree(&["--features", "tokio"]);
    println!("tokio: {} crates: {crates:?}", crates.len());
    assert!(crates.len() <= 45, "{}: {crates:?}", crates.len());
}
