//! What came of a batch of worlds, for eyes or as JSON.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use parley_xmpp::sim::plan::FaultKind;
use serde_json::{Value, json};

use super::batch::{Broken, Results};
use super::{commands, failure};
use crate::escape::Line;
use crate::exit::{Failure, from_write};
use crate::output::to_json;

/// So many seeds are listed of each rule that was broken.
const LISTED: usize = 20;

/// What is printed at the end.
#[derive(Debug)]
pub(super) struct Summary {
    worlds: u64,
    ejabberd: u64,
    micros: u64,
    took: Duration,
    tally: BTreeMap<&'static str, u64>,
    lines: Vec<String>,
    failed: Option<Failed>,
    members: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
struct Failed {
    text: String,
    remedy: String,
}

impl Summary {
    pub(super) fn new(results: &Results, took: Duration) -> Self {
        Self {
            worlds: results.worlds,
            ejabberd: results.ejabberd,
            micros: results.micros,
            took,
            tally: results.tally.clone(),
            lines: Vec::new(),
            failed: None,
            members: Vec::new(),
        }
    }

    /// A line of its own, already fit for a terminal.
    pub(super) fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// All of several worlds are well: which one would be shown?
    pub(super) fn nothing_to_show(&mut self, wanted: bool) {
        if wanted {
            crate::say(
                "warning: none of the worlds broke a rule, so none is written or drawn; \
                 name one with --seed",
            );
        }
    }

    pub(super) fn drawn(&mut self, file: &Path) {
        let name = file.display().to_string();
        self.line(format!("{:<9} {}", "chart", Line(&name)));
        self.members.push(("html", json!(name)));
    }

    pub(super) fn shrunk(&mut self, steps: usize) {
        self.line(format!("{:<9} to {steps} decisions", "shrunk"));
        self.members.push(("decisions", json!(steps)));
    }

    pub(super) fn broken(&mut self, seed: u64, broken: &Broken, trace: Option<&Path>) {
        let text = match broken {
            Broken::Rule {
                at,
                violation,
                more,
            } => {
                let (secs, part) = (at / 1_000_000, at % 1_000_000);
                let more_count = *more;
                let more = match more {
                    0 => String::new(),
                    n => format!(" (and {n} more)"),
                };
                let (rule, detail) = (violation.rule, &violation.detail);
                self.members.push((
                    "broken",
                    json!({
                        "seed": seed, "rule": rule, "detail": detail, "atMicros": at,
                        "more": more_count,
                    }),
                ));
                format!("seed {seed} broke {rule} at {secs}.{part:06} s: {detail}{more}")
            }
            Broken::Panic(message) => {
                self.members
                    .push(("broken", json!({ "seed": seed, "panic": message })));
                format!("seed {seed} made the program panic: {message}")
            }
        };
        let mut remedy = String::from("run it again with its seed");
        if let Some(trace) = trace {
            let name = trace.display().to_string();
            self.line(format!("{:<9} {}", "trace", Line(&name)));
            self.members.push(("trace", json!(name)));
            for (purpose, command) in commands(trace) {
                self.line(format!("{purpose:<9} {}", Line(&command)));
                if purpose == "draw" {
                    remedy = format!("look at it: `{command}`");
                }
            }
        }
        self.failed = Some(Failed { text, remedy });
    }

    /// After a run that stopped for nothing: every world that broke a rule, by rule.
    pub(super) fn all_broken(&mut self, results: &Results) {
        let mut by_rule = BTreeMap::<_, Vec<(u64, String)>>::new();
        for (seed, broken) in &results.broken {
            let (rule, detail) = broken.words();
            by_rule
                .entry(rule)
                .or_default()
                .push((*seed, detail.to_owned()));
        }
        let mut members = serde_json::Map::new();
        let mut counts = Vec::new();
        for (rule, worlds) in &by_rule {
            let count = worlds.len();
            self.line(format!("{rule:<9} broken in {count} worlds"));
            for (seed, detail) in worlds.iter().take(LISTED) {
                self.line(format!("{:<9} seed {seed}: {}", "", Line(detail)));
            }
            if let Some(more) = count.checked_sub(LISTED).filter(|more| *more > 0) {
                self.line(format!("{:<9} and {more} more", ""));
            }
            let seeds: Vec<u64> = worlds.iter().map(|(seed, _)| *seed).collect();
            members.insert((*rule).to_owned(), json!(seeds));
            counts.push(format!("{rule} {count}"));
        }
        self.members.push(("brokenSeeds", Value::Object(members)));
        if let Some(failed) = &mut self.failed {
            let (broken, all) = (results.broken.len(), results.worlds);
            let counts = counts.join(", ");
            failed.text = format!("{broken} of {all} worlds broke a rule: {counts}");
        }
    }

    /// Prints all of it, and ends as it has to.
    pub(super) fn conclude(mut self, json: bool) -> Result<(), Failure> {
        let text = if json { self.json() } else { self.text() };
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written
            && let Some(failure) = from_write(&error)
        {
            return Err(failure);
        }
        match self.failed {
            None => Ok(()),
            Some(failed) => Err(failure(failed.text, failed.remedy)),
        }
    }

    fn per_minute(&self) -> f64 {
        let worlds = f64::from(u32::try_from(self.worlds).unwrap_or(u32::MAX));
        worlds * 60.0 / self.took.as_secs_f64().max(1e-6)
    }

    fn hours(&self) -> f64 {
        Duration::from_micros(self.micros).as_secs_f64() / 3600.0
    }

    /// The counts of faults, or of everything else.
    fn counts(&self, faults: bool) -> Vec<(&'static str, u64)> {
        let is_fault = |name: &str| FaultKind::parse(name).is_some();
        self.tally
            .iter()
            .filter(|(name, _)| is_fault(name) == faults)
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&format!(
            "{:<9} {}, {:.1} virtual hours in {:.1} s: {:.0} worlds a minute\n",
            "worlds",
            self.worlds,
            self.hours(),
            self.took.as_secs_f64(),
            self.per_minute(),
        ));
        let (ejabberd, prosody) = (self.ejabberd, self.worlds - self.ejabberd);
        text.push_str(&format!(
            "{:<9} prosody {prosody}, ejabberd {ejabberd}\n",
            "habits"
        ));
        for (name, faults) in [("faults", true), ("happened", false)] {
            let counts: Vec<String> = self
                .counts(faults)
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            wrap(name, &counts, &mut text);
        }
        let verdict = match self.failed {
            None => "no rule was broken",
            Some(_) => "a rule was broken",
        };
        text.push_str(&format!("{:<9} {verdict}\n", "verdict"));
        text
    }

    fn json(&mut self) -> String {
        let object = |counts: Vec<(&'static str, u64)>| {
            let members = counts
                .into_iter()
                .map(|(name, n)| (name.to_owned(), json!(n)));
            Value::Object(members.collect())
        };
        let mut all = serde_json::Map::new();
        let took = self.took.as_secs_f64();
        for (name, value) in [
            ("worlds", json!(self.worlds)),
            ("prosody", json!(self.worlds - self.ejabberd)),
            ("ejabberd", json!(self.ejabberd)),
            ("virtualHours", json!(self.hours())),
            ("seconds", json!(took)),
            ("worldsPerMinute", json!(self.per_minute())),
            ("faults", object(self.counts(true))),
            ("happened", object(self.counts(false))),
        ]
        .into_iter()
        .chain(core::mem::take(&mut self.members))
        {
            all.insert(name.to_owned(), value);
        }
        format!("{}\n", to_json(&Value::Object(all)))
    }
}

/// A name and its items, with commas, on lines of at most a hundred characters.
fn wrap(name: &str, items: &[String], text: &mut String) {
    if items.is_empty() {
        return;
    }
    let mut line = format!("{name:<9}");
    for (index, item) in items.iter().enumerate() {
        let comma = if index + 1 < items.len() { "," } else { "" };
        if line.len() + item.len() + 2 > 100 {
            text.push_str(&line);
            text.push('\n');
            line = format!("{:<9}", "");
        }
        line.push(' ');
        line.push_str(item);
        line.push_str(comma);
    }
    text.push_str(&line);
    text.push('\n');
}
