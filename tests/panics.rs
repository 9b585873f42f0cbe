//! What no lint holds: methods that panic on a place that is not there, or on a sum that is too
//! large, where the core works on what peers send. `unwrap`, `expect`, `panic!`, indexing,
//! slicing, and the operators of arithmetic are denied by lints (`Cargo.toml`, `src/lib.rs`).
//!
//! Each call has a comment right before it that begins with "In range:" and says why. `insert`
//! and `remove` are not looked for: maps and deques have methods of these names that do not
//! panic, and no `Vec` of the core is inserted into.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by a panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Methods, as they are called.
const METHODS: &[&str] = &[
    "drain",
    "split_off",
    "swap_remove",
    "split_at",
    "split_at_mut",
    "copy_from_slice",
    "clone_from_slice",
    "copy_within",
    "chunks",
    "chunks_exact",
    "rchunks",
    "windows",
    "step_by",
    "swap",
    "rotate_left",
    "rotate_right",
    "insert_str",
    "replace_range",
    "sum",
    "product",
    "pow",
    "abs",
    "div_duration_f64",
    "mul_f64",
    "div_f64",
];

const MACROS: &[&str] = &["unreachable!", "assert!", "assert_eq!", "assert_ne!"];

/// What is not the core, or is not there when it runs.
const ELSEWHERE: &[&str] = &[
    "sim",
    "sim.rs",
    "tokio",
    "tokio.rs",
    "embedded",
    "embedded.rs",
    "bin",
];

fn walk(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        if ELSEWHERE.contains(&name) || name.starts_with("tests") {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// What of a line can panic, if anything.
fn suspect(line: &str) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default();
    let method = METHODS.iter().find(|method| {
        let calls = [format!(".{method}("), format!(".{method}::")];
        // One of our own machine's.
        let own = code.contains("self.drain()");
        calls.iter().any(|call| code.contains(call)) && !own
    });
    let bare = code.replace("debug_assert", "");
    let named = MACROS.iter().find(|name| bare.contains(*name));
    // Of a deque or a map, which no lint looks at: a bracket right behind a name or a call.
    let mut pairs = code.as_bytes().windows(2);
    let indexed = pairs.any(|pair| {
        pair[1] == b'[' && (pair[0].is_ascii_alphanumeric() || b"_)]".contains(&pair[0]))
    });
    let text = code.contains("b\"");
    method
        .or(named)
        .map(|name| (*name).to_owned())
        .or((indexed && !text).then(|| "[]".to_owned()))
}

/// The calls in a source that nothing is said about.
fn unexplained(source: &str) -> Vec<(usize, String)> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines: Vec<&str> = code.lines().collect();
    let explained = |at: usize| {
        let before = lines[..at].iter().rev().map(|line| line.trim_start());
        let mut comment = before.take_while(|line| line.starts_with("//"));
        comment.any(|line| line.starts_with("// In range:"))
    };
    let suspects = lines.iter().enumerate();
    suspects
        .filter(|(at, _)| !explained(*at))
        .filter_map(|(at, line)| Some((at + 1, suspect(line)?)))
        .collect()
}

#[test]
fn what_can_panic_in_the_core_says_why_it_does_not() {
    let mut files = Vec::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 50, "the core is not there");
    let mut found = Vec::new();
    for path in files {
        let source = fs::read_to_string(&path).expect("a source");
        let calls = unexplained(&source).into_iter();
        found.extend(calls.map(|(line, what)| format!("{}:{line}: {what}", path.display())));
    }
    assert!(found.is_empty(), "not explained:\n{}", found.join("\n"));
}

#[test]
fn what_is_looked_for_is_found() {
    for line in [
        "items.drain(..at);",
        "let rest = items.split_off(at);",
        "let all: usize = sizes.iter().sum();",
        "let all = sizes.iter().sum::<usize>();",
        "unreachable!()",
        "assert_eq!(a, b);",
        "let first = self.posts[0];",
        "let first = posts()[0];",
    ] {
        assert_eq!(unexplained(line).len(), 1, "{line}");
        let explained = format!("// In range: it is.\n{line}");
        assert_eq!(unexplained(&explained), [], "{line}");
    }
    for line in [
        "debug_assert!(a);",
        "// items.drain(..at)",
        "#[cfg(feature = \"x\")]",
        "let a: [u8; 3] = vec![0];",
        "#[cfg(test)]\nassert!(a);",
    ] {
        assert_eq!(unexplained(line), [], "{line}");
    }
}
