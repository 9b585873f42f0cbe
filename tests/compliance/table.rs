//! The tables of requirements: read strictly, checked against the code and the tests that
//! they name, and printed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A document's table.
#[derive(Debug, Default)]
struct Document {
    name: String,
    sections: Vec<Section>,
}

#[derive(Debug, Default)]
struct Section {
    number: String,
    title: String,
    /// Sentences of the section that say MUST, REQUIRED or SHALL.
    sentences: Option<usize>,
    /// Those of them that bind nobody but others: servers, rooms, registries.
    others: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Default)]
struct Row {
    id: String,
    clause: String,
    code: Vec<String>,
    test: Vec<String>,
    absent: Option<String>,
    note: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a table; whatever is not as the README has it is an error.
fn parse(text: &str) -> Result<Document, String> {
    let mut document = Document::default();
    for (number, line) in text.lines().enumerate() {
        let fail = |what: &str| Err(format!("line {}: {what}: {line:?}", number + 1));
        if line.trim_end() != line {
            return fail("white space at the end");
        }
        let section = document.sections.last_mut();
        match line.strip_prefix("  ") {
            _ if line.is_empty() => {}
            Some(inner) => {
                let Some(row) = section.and_then(|section| section.rows.last_mut()) else {
                    return fail("of no row");
                };
                if let Some(clause) = inner.strip_prefix('"').and_then(|c| c.strip_suffix('"')) {
                    if !row.clause.is_empty() || clause.trim().is_empty() {
                        return fail("a second clause, or none");
                    }
                    row.clause = clause.into();
                    continue;
                }
                let Some((key, value)) = inner.split_once(": ").filter(|(_, v)| !v.is_empty())
                else {
                    return fail("a field without a value");
                };
                let value = value.to_owned();
                let once = match key {
                    "code" => {
                        row.code.push(value);
                        None
                    }
                    "test" => {
                        row.test.push(value);
                        None
                    }
                    "absent" => row.absent.replace(value),
                    "note" => row.note.replace(value),
                    _ => return fail("an unknown field"),
                };
                if once.is_some() {
                    return fail("a field occurs twice");
                }
            }
            None => match (line.split_once(": "), section) {
                (Some(("document", name)), None) if document.name.is_empty() => {
                    document.name = name.into();
                }
                (Some(("covers", _)), None) => {}
                (Some(("section", name)), _) => {
                    let Some((number, title)) = name.split_once(' ') else {
                        return fail("a section without a title");
                    };
                    document.sections.push(Section {
                        number: number.into(),
                        title: title.into(),
                        ..Section::default()
                    });
                }
                (Some(("sentences", counts)), Some(section)) if section.rows.is_empty() => {
                    let counts = counts.split_once(", binding others only: ");
                    let Some((Ok(all), Ok(others))) =
                        counts.map(|(all, others)| (all.parse(), others.parse()))
                    else {
                        return fail("counts that are none");
                    };
                    (section.sentences, section.others) = (Some(all), others);
                }
                (None, Some(section)) if !line.contains(' ') => section.rows.push(Row {
                    id: line.into(),
                    ..Row::default()
                }),
                _ => return fail("out of place"),
            },
        }
    }
    Ok(document)
}

fn documents() -> Vec<(PathBuf, Document)> {
    let directory = root().join("tests/compliance/requirements");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("the tables")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a table");
            let document = parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            (path, document)
        })
        .collect()
}

/// The code without its comments.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The words of a text, and between them what is no word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (word, later) = rest.split_at(end);
        if !word.trim().is_empty() {
            words.push(word);
        }
        rest = later;
    }
    words
}

/// Whether a source defines an item: a function, type, constant or module, or a variant
/// or method of one that is named before it.
fn defines(code: &str, item: &str) -> bool {
    let words = words(code);
    let defined = |name: &str| {
        words.windows(2).any(|pair| {
            matches!(
                pair[0],
                "fn" | "struct" | "enum" | "const" | "static" | "trait" | "type" | "mod"
            ) && pair[1] == name
        })
    };
    let named = |name: &str| defined(name) || words.contains(&name);
    match item.split_once("::") {
        None => defined(item),
        Some((of, name)) if name.starts_with(char::is_uppercase) => has_variant(code, of, name),
        Some((of, name)) => named(of) && defined(name),
    }
}

/// Whether a source has an enum of that name with that variant, each on a line of its own: in
/// its braces, or in those of the macro that makes it of what it is given.
fn has_variant(code: &str, of: &str, variant: &str) -> bool {
    let lines: Vec<_> = code.lines().collect();
    // What is in the braces that a line opens, to the one that is as far in as the line is.
    let within = |at: usize| {
        let margin = lines[at].len() - lines[at].trim_start().len();
        let closes = move |line: &&&str| {
            line.trim() == "}" && line.len() - line.trim_start().len() == margin
        };
        lines[at + 1..].iter().take_while(move |line| !closes(line))
    };
    let begins = |line: &str, word: &str, ends: &[char]| {
        let rest = line.trim().strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(ends))
    };
    let declares = |line: &str, name: &str| {
        let name = format!("enum {name} {{");
        line.trim_end().ends_with(&name)
    };
    let is_variant = |line: &&str| begins(line, variant, &[',', '(', ' ', ':']);
    (0..lines.len()).any(|at| {
        let (literal, made) = (declares(lines[at], of), declares(lines[at], "$name"));
        if !literal && !made {
            return false;
        }
        if literal && within(at).any(is_variant) {
            return true;
        }
        // Of the macro around it, each use that is of this name.
        let rule = lines[..at]
            .iter()
            .rposition(|line| line.starts_with("macro_rules! "));
        let Some(name) = rule.filter(|rule| within(*rule).count() > at - rule) else {
            return false;
        };
        let name = lines[name]["macro_rules! ".len()..].trim_end_matches([' ', '{']);
        let uses = format!("{name}! {{");
        (0..lines.len()).any(|at| {
            lines[at] == uses
                && (literal || within(at).any(|line| begins(line, of, &[','])))
                && within(at).any(is_variant)
        })
    })
}

/// Whether a source has a test of that name: a function that is marked as one, or stands
/// in a `proptest!` of which each is.
fn has_test(code: &str, name: &str) -> bool {
    let lines: Vec<_> = code.lines().map(str::trim).collect();
    let marks = |line: &str| {
        let kinds = ["#[test]", "#[tokio::test", "#[::tokio::test"];
        kinds.iter().any(|kind| line.starts_with(kind))
    };
    // A macro that makes a test of each of its lines.
    let makes = lines
        .windows(2)
        .any(|pair| marks(pair[0]) && pair[1].starts_with("fn $name("));
    let is_made = |line: &str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(": \""))
    };
    if makes && lines.iter().any(|line| is_made(line)) {
        return true;
    }
    lines.iter().enumerate().any(|(at, line)| {
        let signature = line.strip_prefix("async ").unwrap_or(line);
        let is_it = signature
            .strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('));
        let marked = lines[..at]
            .iter()
            .rev()
            .take_while(|line| line.starts_with("#[") || line.is_empty())
            .any(|line| marks(line));
        is_it && marked
    })
}

fn source(path: &str) -> Option<String> {
    let text = fs::read_to_string(root().join(path)).ok()?;
    Some(without_comments(&text))
}

/// What is wrong with a reference of a row, if anything is.
fn wrong_reference(reference: &str, holds: impl Fn(&str, &str) -> bool) -> Option<String> {
    let Some((path, item)) = reference.split_once("::") else {
        return Some(format!("{reference} names nothing in its file"));
    };
    match source(path) {
        None => Some(format!("{path} does not exist")),
        Some(code) if !holds(&code, item) => Some(format!("{path} has no {item}")),
        Some(_) => None,
    }
}

#[test]
fn each_row_names_code_and_tests_that_exist_or_says_why_not() {
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for (path, document) in documents() {
        let mut say = |what: String| wrong.push(format!("{}: {what}", path.display()));
        if document.name.is_empty() || document.sections.is_empty() {
            say("it names no document, or none of its sections".into());
        }
        for section in &document.sections {
            let number = &section.number;
            match section.sentences {
                None => say(format!("section {number} was not counted")),
                Some(all) if all < section.others => {
                    say(format!(
                        "section {number} binds more others than there are sentences"
                    ));
                }
                Some(all) if section.rows.len() < all - section.others => {
                    say(format!("section {number} has fewer rows than sentences"));
                }
                Some(_) => {}
            }
            for row in &section.rows {
                let id = &row.id;
                if !ids.insert(id.clone()) {
                    say(format!("{id} occurs twice"));
                }
                if !id.contains(&format!("-{number}-")) {
                    say(format!("{id} stands in section {number}"));
                }
                if row.clause.is_empty() {
                    say(format!("{id} quotes nothing"));
                }
                match &row.absent {
                    Some(_) if !(row.code.is_empty() && row.test.is_empty()) => {
                        say(format!("{id} is absent and is not"));
                    }
                    None if row.code.is_empty() || row.test.is_empty() => {
                        say(format!("{id} lacks code or a test"));
                    }
                    _ => {}
                }
                let code = row.code.iter().map(|code| wrong_reference(code, defines));
                let tests = row.test.iter().map(|test| wrong_reference(test, has_test));
                for what in code.chain(tests).flatten() {
                    say(format!("{id}: {what}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(ids.len() > 200, "the tables are not there");
}

/// The table, and the totals of each document.
fn printed(documents: &[(PathBuf, Document)]) -> String {
    let mut out = String::new();
    let mut totals = String::new();
    let mut all = [0; 4];
    for (_, document) in documents {
        writeln!(out, "# {}", document.name).unwrap();
        let mut sums = [0; 4];
        for section in &document.sections {
            let Section { number, title, .. } = section;
            sums[0] += section.sentences.unwrap_or(0);
            sums[1] += section.others;
            if section.rows.is_empty() {
                writeln!(out, "{number} {title}: binds others only").unwrap();
                continue;
            }
            writeln!(out, "{number} {title}").unwrap();
            for row in &section.rows {
                sums[2 + usize::from(row.absent.is_some())] += 1;
                writeln!(out, "  {} \"{}\"", row.id, row.clause).unwrap();
                for code in &row.code {
                    writeln!(out, "      decided by {code}").unwrap();
                }
                for test in &row.test {
                    writeln!(out, "      shown by   {test}").unwrap();
                }
                if let Some(why) = &row.absent {
                    writeln!(out, "      absent:    {why}").unwrap();
                }
                if let Some(note) = &row.note {
                    writeln!(out, "      note:      {note}").unwrap();
                }
            }
        }
        writeln!(out).unwrap();
        let mut total = |name: &str, sums: [usize; 4]| {
            let [sentences, others, met, absent] = sums;
            let required = met + absent;
            writeln!(
                totals,
                "{name:28} {sentences:9} {others:6} {required:8} {met:5} {absent:6}"
            )
            .unwrap();
        };
        total(&document.name, sums);
        for (all, sum) in all.iter_mut().zip(sums) {
            *all += sum;
        }
        if document.name == documents.last().expect("one").1.name {
            total("all", all);
        }
    }
    let head = format!(
        "{:28} {:>9} {:>6} {:>8} {:>5} {:>6}\n",
        "document", "sentences", "others", "required", "met", "absent"
    );
    out + &head + &totals
}

#[test]
#[ignore = "prints the table: run it with --nocapture"]
fn print_the_table() {
    println!("{}", printed(&documents()));
}

#[test]
fn the_table_prints_every_row_once() {
    let documents = documents();
    let printed = printed(&documents);
    for (_, document) in &documents {
        for row in document.sections.iter().flat_map(|section| &section.rows) {
            let line = format!("\n  {} \"", row.id);
            assert_eq!(printed.matches(&line).count(), 1, "{}", row.id);
        }
    }
    let met = printed.matches("\n  ").count() - printed.matches("\n      ").count();
    let last = printed.lines().last().expect("a total");
    let required = last.split_whitespace().nth(3).expect("how many");
    assert_eq!(required, met.to_string());
}

#[test]
fn the_readme_says_how_many_there_are() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a README");
    let printed = printed(&documents());
    let total: Vec<_> = printed
        .lines()
        .last()
        .expect("a total")
        .split_whitespace()
        .collect();
    let [_, _, _, required, _, absent] = total[..] else {
        panic!("{total:?}");
    };
    assert!(readme.contains(&format!("| {required}, of which {absent} absent |")));
    let examples = fs::read_dir(root().join("tests/compliance/examples")).expect("examples");
    let examples: usize = examples
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| fs::read_dir(entry.path()).expect("examples").count())
        .sum();
    assert!(readme.contains(&format!(
        "| {examples} | `cargo test --test compliance examples` |"
    )));
}

#[test]
fn the_test_sees_what_it_looks_for() {
    let good = "document: D\n\nsection: 1.2 T\nsentences: 2, binding others only: 1\n\n\
                D-1.2-1\n  \"MUST\"\n  code: a.rs::b\n  test: c.rs::d\n";
    assert_eq!(parse(good).unwrap().sections[0].rows[0].clause, "MUST");
    for (from, to) in [
        ("sentences: 2", "sentences: two"),
        ("  code: a.rs::b", "  code: "),
        ("  code: ", "  kode: "),
        ("  code: a.rs::b", "  absent: x\n  absent: y"),
        ("  \"MUST\"", "  \"\""),
        ("  \"MUST\"", "  \"MUST\"\n  \"MUST\""),
        ("D-1.2-1\n", "D 1.2 1\n"),
        ("section: 1.2 T\n", ""),
        ("\"MUST\"", "\"MUST\" "),
    ] {
        let bad = good.replace(from, to);
        assert!(parse(&bad).is_err(), "{bad}");
    }
    let code = "impl Thing { const fn act() {} }\nstruct Thing;\n\
                pub enum Kind {\n    Odd,\n    Strange(u8),\n    Last\n}\n\
                fn f() { Kind::Even; Foreign::Odd; }\n\
                macro_rules! made {\n    (x) => {\n        enum Made {\n            $($v,)*\n        \
                }\n        enum $name {\n            $($v,)*\n        }\n    }\n}\n\
                made! {\n    Sort, Rest:\n    One: \"1\",\n    Two = 2,\n}\n\
                enum Next {\n    Three,\n}\n";
    for item in [
        "act",
        "Thing::act",
        "Thing",
        "Kind::Odd",
        "Kind::Strange",
        "Kind::Last",
        "Made::One",
        "Sort::Two",
    ] {
        assert!(defines(code, item), "{item}");
    }
    for item in [
        "ac",
        "other",
        "Thing::other",
        "Other::act",
        "Kind::Even",
        "Kind::Od",
        "Kind::Three",
        "Foreign::Odd",
        "Thing::Odd",
        "Made::Three",
        "Next::One",
        "Sorts::Two",
    ] {
        assert!(!defines(code, item), "{item}");
    }
    let tests = "#[test]\nfn one() {}\n#[tokio::test(x)]\nasync fn two() {}\nfn three() {}\n\
                 #[test]\n#[ignore]\nfn four(x in 0..1) {}\n#[test]\nfn five() {}\nfn six() {}";
    for name in ["one", "two", "four", "five"] {
        assert!(has_test(tests, name), "{name}");
    }
    for name in ["three", "six", "on", "seven"] {
        assert!(!has_test(tests, name), "{name}");
    }
    assert!(wrong_reference("tests/compliance.rs::peer", defines).is_none());
    assert!(wrong_reference("tests/nothing.rs::peer", defines).is_some());
    assert!(wrong_reference("tests/compliance.rs", defines).is_some());
    assert_eq!(without_comments("fn a() {} // fn b"), "fn a() {} ");
}
