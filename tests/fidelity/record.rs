//! Shapes in files: what each server was seen to do, scenario by scenario.

use std::fs;
use std::path::PathBuf;

use crate::stage::Step;
use crate::support::Kind;

const MARK: &str = "== ";

pub(crate) fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fidelity"]
        .iter()
        .collect()
}

/// The name of a server in paths and headings.
pub(crate) fn server(kind: Kind) -> &'static str {
    match kind {
        Kind::Prosody => "prosody",
        Kind::Ejabberd => "ejabberd",
    }
}

fn file(kind: Kind, scenario: &str) -> PathBuf {
    let name = format!("{scenario}.txt");
    directory().join("shapes").join(server(kind)).join(name)
}

pub(crate) fn write(kind: Kind, scenario: &str, steps: &[Step]) {
    let path = file(kind, scenario);
    let folder = path.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder for the shapes");
    let text: String = steps
        .iter()
        .map(|step| format!("{MARK}{}\n{}", step.name, step.text))
        .collect();
    fs::write(path, text).expect("a file of shapes");
}

/// What was seen, or nothing.
pub(crate) fn read(kind: Kind, scenario: &str) -> Vec<Step> {
    let text = fs::read_to_string(file(kind, scenario)).unwrap_or_default();
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix(MARK) {
            steps.push(Step {
                name: name.to_owned(),
                text: String::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.text.push_str(line);
            step.text.push('\n');
        }
    }
    steps
}

/// The scenarios that were recorded for a server.
pub(crate) fn recorded(kind: Kind) -> Vec<String> {
    let folder = directory().join("shapes").join(server(kind));
    let files = fs::read_dir(folder).expect("a folder of shapes");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").file_name())
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".txt")?.to_owned()))
        .collect();
    names.sort();
    names
}
