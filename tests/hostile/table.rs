//! That the catalogue and the tests agree: each entry has a test that bears its id, or the
//! reason why it has none, and each test is of an entry.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The sections of the catalogue: the letters of the ids, and how many entries there are.
const SECTIONS: [(&str, usize); 12] = [
    ("X", 38),
    ("S", 15),
    ("A", 18),
    ("B", 6),
    ("M", 28),
    ("Q", 22),
    ("I", 3),
    ("C", 1),
    ("SM", 13),
    ("R", 7),
    ("L", 3),
    ("T", 13),
];

/// What stands in the last column where there is no test, before the reason.
const NONE: &str = "none: ";
/// What stands there where the entry is not answered as most would, before the reason.
const DEPARTS: &str = "otherwise: ";

#[derive(Debug)]
struct Row {
    id: String,
    comes: String,
    done: String,
    /// Each as `module::name`, or as `path/to/file.rs::name` where it lies in the crate.
    tests: Vec<String>,
    departs: Option<String>,
    none: Option<String>,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile")
}

/// Splits at bars that are not escaped.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    let apart = inner.replace("\\|", "\u{0}");
    apart
        .split('|')
        .map(|cell| cell.trim().replace('\u{0}', "|"))
        .collect()
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(here().join("README.md")).expect("the table");
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells = cells(line);
        let [id, comes, done, last] = &cells[..] else {
            panic!("not four columns: {line}");
        };
        if id == "id" {
            continue;
        }
        let (named, none) = match last.split_once(NONE) {
            Some((before, why)) => (before, Some(why.to_owned())),
            None => (last.as_str(), None),
        };
        let (named, departs) = match named.split_once(DEPARTS) {
            Some((before, why)) => (before, Some(why.to_owned())),
            None => (named, None),
        };
        let tests = named.split('`').skip(1).step_by(2).map(str::to_owned);
        rows.push(Row {
            id: id.clone(),
            comes: comes.clone(),
            done: done.clone(),
            tests: tests.collect(),
            departs,
            none,
        });
    }
    rows
}

/// The ids of all entries, in order.
fn ids() -> Vec<String> {
    let of = |(letters, count): (&'static str, usize)| {
        (1..=count).map(move |number| format!("{letters}{number}"))
    };
    SECTIONS.into_iter().flat_map(of).collect()
}

/// How the names of an entry's tests begin: `x07_` for X7.
fn prefix(id: &str) -> String {
    let digits = id.find(|c: char| c.is_ascii_digit()).expect("a number");
    let (letters, number) = id.split_at(digits);
    format!("{}{number:0>2}_", letters.to_lowercase())
}

/// All tests of this target but those of this module, as `module::name`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(here()).expect("the modules") {
        let path = entry.expect("a file").path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|e| e != "rs") || module == "table" {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a module");
        let lines: Vec<_> = source.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            // As rustfmt has it: attributes, then the function, at the margin.
            let head = line.strip_prefix("async ").unwrap_or(line);
            let Some(rest) = head.strip_prefix("fn ") else {
                continue;
            };
            let above = lines[..at].iter().rev();
            let mut attributes = above.take_while(|line| line.starts_with("#["));
            if attributes.any(|line| *line == "#[test]") {
                let (name, _) = rest.split_once('(').expect("its end");
                found.insert(format!("{module}::{name}"));
            }
        }
    }
    assert!(found.len() > 150, "{}", found.len());
    found
}

#[test]
fn every_entry_has_one_row_in_order() {
    let rows = rows();
    let listed: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(listed, ids());
    for row in &rows {
        assert!(row.comes.len() > 9 && row.done.len() > 3, "{row:?}");
        assert_eq!(
            row.tests.is_empty(),
            row.none.is_some(),
            "{} has tests, or the reason why not: {row:?}",
            row.id
        );
        let reasons = row.none.iter().chain(&row.departs);
        for why in reasons {
            assert!(why.split(' ').count() > 4, "{}: {why}", row.id);
            assert!(!why.to_lowercase().contains("not yet"), "{}: {why}", row.id);
        }
    }
}

#[test]
fn every_test_of_the_table_exists_and_bears_its_id() {
    let tests = tests();
    for row in rows() {
        for test in &row.tests {
            let (module, name) = test.split_once("::").expect("a module");
            if module.ends_with(".rs") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
                let source = fs::read_to_string(path).expect(module);
                let lines: Vec<_> = source.lines().map(str::trim).collect();
                let head = format!("fn {name}() {{");
                let there = lines.windows(2).any(|two| {
                    two[0].ends_with("test]") && two[1].trim_start_matches("async ") == head
                });
                assert!(there, "{}: no test {test}", row.id);
            } else {
                assert!(tests.contains(test), "{}: no test {test}", row.id);
            }
            assert!(name.starts_with(&prefix(&row.id)), "{}: {name}", row.id);
        }
    }
}

#[test]
fn every_test_is_of_an_entry() {
    let mut tests = tests();
    for row in rows() {
        for test in &row.tests {
            tests.remove(test);
        }
    }
    assert!(tests.is_empty(), "in no row: {tests:?}");
}

#[test]
#[ignore = "prints"]
fn print_the_count() {
    let rows = rows();
    let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    println!("{} entries", rows.len());
    println!("{} with tests", count(|row| row.none.is_none()));
    println!(
        "{} of them answered otherwise",
        count(|row| row.departs.is_some())
    );
    println!("{} without, and why", count(|row| row.none.is_some()));
}
