//! Where the model is known to differ: found by comparing, and listed with a reason.

use std::fmt;
use std::fs;

use crate::record::directory;
use crate::stage::Step;

/// Lines of one step that are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Server, scenario, step.
    pub(crate) place: String,
    /// Lines with `-` before what the server has, and `+` before what the model has.
    pub(crate) lines: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n\n```diff", self.place)?;
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "```")
    }
}

/// Compares two runs of a scenario step by step.
pub(crate) fn compare(place: &str, server: &[Step], model: &[Step]) -> Vec<Difference> {
    let mut found = Vec::new();
    for at in 0..server.len().max(model.len()) {
        let (ours, theirs) = (model.get(at), server.get(at));
        let text = |step: Option<&Step>| step.map_or(String::new(), |s| s.text.clone());
        let name = |step: Option<&Step>| step.map_or(String::new(), |s| s.name.clone());
        let mut lines = Vec::new();
        if name(ours) != name(theirs) {
            lines.push(format!("-== {}", name(theirs)));
            lines.push(format!("+== {}", name(ours)));
        }
        lines.extend(diff(&text(theirs), &text(ours)));
        if !lines.is_empty() {
            let step = theirs.or(ours).map_or("", |step| &step.name);
            found.push(Difference {
                place: format!("{place} / {}. {step}", at + 1),
                lines,
            });
        }
    }
    found
}

/// The differences that are listed, in the order of the file.
pub(crate) fn listed() -> Vec<Difference> {
    let path = directory().join("differences.md");
    let text = fs::read_to_string(path).expect("the list of differences");
    let mut all: Vec<Difference> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if let Some(place) = line.strip_prefix("## ") {
            all.push(Difference {
                place: place.to_owned(),
                lines: Vec::new(),
            });
        } else if line.starts_with("```") {
            within = line == "```diff";
        } else if within && let Some(difference) = all.last_mut() {
            difference.lines.push(line.to_owned());
        }
    }
    all
}

/// The lines that are only in one of two texts, by a longest common subsequence.
fn diff(old: &str, new: &str) -> Vec<String> {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            common[i][j] = if a == b {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            i += 1;
            j += 1;
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("-{}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    lines
}
