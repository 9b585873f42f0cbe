//! The arrows of the house point one way: what stands to the right may import
//! what stands to the left, never back; siblings do not know each other; driver
//! and programs see only what every user sees.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The house from left to right. Modules of one row are siblings.
const ROWS: &[&[&str]] = &[
    &[
        "error", "ids", "limits", "ns", "planted", "precis", "prep", "time",
    ],
    &["jid"],
    &["topic", "config", "token"],
    &["xml"],
    &["event", "saved"],
    &["bookmark"],
    &["command"],
    &["stanza"],
    &["cx"],
    &["sasl", "sm", "rsm", "muc"],
    &["mam"],
    &["stream", "room"],
    &["engine"],
];

/// What is outside of the core: they see only the public surface.
const OUTSIDE: &[&str] = &["tokio", "sim", "embedded", "bin"];

/// The modules of the public surface.
const PUBLIC: &[&str] = &["jid", "topic", "xml", "tokio", "sim", "embedded"];

/// Crates that are named in some rooms only.
const CRATES: &[(&str, &[&str])] = &[
    ("quick_xml", &["xml"]),
    ("memchr", &["xml"]),
    ("hmac", &["ids", "sasl", "sim"]),
    ("sha1", &["sasl", "sim", "topic"]),
    (
        "sha2",
        &[
            "bookmark", "ids", "room", "sasl", "saved", "sim", "token", "tokio", "embedded",
        ],
    ),
    ("stringprep", &["prep"]),
    ("icu_properties", &["precis"]),
    ("idna", &["precis"]),
    ("precis_profiles", &["precis"]),
    ("unicode_normalization", &["precis"]),
    ("rustls", &["tokio"]),
    ("tokio_rustls", &["tokio", "embedded"]),
    ("rcgen", &["tokio", "embedded"]),
    ("hickory_resolver", &["tokio"]),
    ("clap", &["bin"]),
    ("serde", &["bin"]),
    ("serde_json", &["bin"]),
];

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(at).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let inner = path.strip_prefix(&src).expect("below src");
            let first = inner.components().next().expect("a name").as_os_str();
            let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("a source");
            // Comments may speak of anything.
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("\n");
            (module, path, code)
        })
        .collect()
}

/// Every name that follows `prefix` in the code, braces of a `use` taken apart.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let ident = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code.get(..at).and_then(|b| b.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            // The first segment of each item at the outermost level.
            let (mut depth, mut item) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(ident(core::mem::take(&mut item).trim())),
                    c => item.push(c),
                }
            }
            names.push(ident(item.trim()));
        } else {
            names.push(ident(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

#[test]
fn arrows_point_one_way() {
    let mut arrows = 0;
    for (module, path, code) in sources() {
        let Some(own) = row(&module) else { continue };
        for name in names_after(&code, "crate::") {
            if name == module {
                continue;
            }
            let at = path.display();
            let Some(other) = row(&name) else {
                panic!("{at}: `crate::{name}` is no module of the core: name the module it is of");
            };
            assert!(
                other < own,
                "{at}: `{module}` imports `{name}`, which is not to its left"
            );
            arrows += 1;
        }
    }
    assert!(
        arrows > 100,
        "only {arrows} arrows were found: is this test blind?"
    );
}

#[test]
fn every_room_of_the_core_has_its_place() {
    for (module, path, _) in sources() {
        let known = row(&module).is_some() || OUTSIDE.contains(&module.as_str()) || module == "lib";
        assert!(known, "{}: where does `{module}` stand?", path.display());
    }
}

#[test]
fn outside_sees_only_what_users_see() {
    for (module, path, code) in sources() {
        if !OUTSIDE.contains(&module.as_str()) {
            continue;
        }
        for name in names_after(&code, "crate::") {
            let is_item = name.starts_with(char::is_uppercase);
            // In the program `crate` is the program itself.
            let fits = module == "bin" || is_item || PUBLIC.contains(&name.as_str());
            assert!(fits, "{}: `{module}` uses `crate::{name}`", path.display());
        }
    }
}

/// What stands outside has an order of its own: `tokio` and `sim` know neither each
/// other nor what is built of both.
#[test]
fn driver_and_world_do_not_know_each_other() {
    for (module, path, code) in sources() {
        let strangers: &[&str] = match module.as_str() {
            "tokio" => &["sim", "embedded"],
            "sim" => &["tokio", "embedded"],
            _ => continue,
        };
        for name in names_after(&code, "crate::") {
            let fits = !strangers.contains(&name.as_str());
            assert!(fits, "{}: `{module}` uses `crate::{name}`", path.display());
        }
    }
}

#[test]
fn crates_are_named_where_they_belong() {
    for (module, path, code) in sources() {
        // Tests may look behind what they test.
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for (name, rooms) in CRATES {
            let used = !names_after(code, &format!("{name}::")).is_empty();
            let fits = !used || rooms.contains(&module.as_str());
            assert!(fits, "{}: `{name}` is not for `{module}`", path.display());
        }
    }
}

#[test]
fn the_core_neither_asks_a_clock_nor_knows_std() {
    for (module, path, code) in sources() {
        if row(&module).is_none() {
            continue;
        }
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let is_test = path.components().any(|name| {
            let name = name.as_os_str();
            name == "tests.rs" || name == "tests"
        });
        assert!(
            is_test || names_after(code, "std::").is_empty(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_test_sees_what_it_looks_for() {
    assert_eq!(names_after("use crate::xml::Element;", "crate::"), ["xml"]);
    assert_eq!(
        names_after("use crate::{ids::{A, B}, ns};", "crate::"),
        ["ids", "ns"]
    );
    assert_eq!(names_after("othercrate::ids", "crate::"), [""; 0]);
}
