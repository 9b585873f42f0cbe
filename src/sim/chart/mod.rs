//! A run as a sequence chart: one page, to be looked at in a browser.
//!
//! [`Chart`] watches a world and records it; [`Chart::html`] draws what it saw, as
//! a page that needs nothing else: no network, no other file, no server.
//! `record` keeps what is seen, `wire` finds the stanzas in the bytes, `words` says
//! what is seen in a few words, `page` puts it together, with `json` for the data.

mod item;
mod json;
mod page;
mod record;
mod wire;
mod words;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::Instant;
use crate::sim::happening::{Happening, Violation, Watch};
use crate::sim::plan::{Plan, What};

use record::Record;

/// How much of a run a page shows. What is beyond is counted, and the page says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChartLimits {
    /// The most events, stanzas among them. Default 50 000. Broken rules are shown all the same.
    pub events: usize,
    /// The most bytes of one stanza, or of another event's details. Default 8 KiB.
    pub detail_bytes: usize,
    /// The most bytes of all details. Default 64 MiB.
    pub text_bytes: usize,
}

impl Default for ChartLimits {
    fn default() -> Self {
        Self {
            events: 50_000,
            detail_bytes: 8 * 1024,
            text_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Records a run and draws it as a sequence chart.
///
/// A clone is another handle of the same recording, so that one can watch and
/// the other draw:
///
/// ```
/// use parley_xmpp::Instant;
/// use parley_xmpp::sim::{Chart, Happening, HostId, Watch};
///
/// let chart = Chart::new("a host that dies");
/// let mut watcher = chart.clone();
/// let host = HostId(0);
/// watcher.see(Instant::ZERO, &Happening::Started { host, account: "u0" });
/// watcher.see(Instant::from_millis(20), &Happening::Died { host });
/// assert!(chart.html().starts_with("<!doctype html>"));
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    record: Rc<RefCell<Record>>,
}

impl Chart {
    /// An empty recording under a title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self::with_limits(title, ChartLimits::default())
    }

    /// The same, that shows more or less.
    #[must_use]
    pub fn with_limits(title: &str, limits: ChartLimits) -> Self {
        Self {
            record: Rc::new(RefCell::new(Record::new(title, limits))),
        }
    }

    /// An empty recording for the run of a plan, whose key figures head the page.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let chart = Self::new(&format!("Seed {}", plan.seed));
        let orders = plan
            .steps
            .iter()
            .filter(|step| matches!(step.what, What::Order(..)))
            .count();
        let weather = &plan.weather;
        chart.fact("seed", &plan.seed.to_string());
        chart.fact("server", words::personality(plan.personality));
        chart.fact(
            "stream resumption",
            if plan.resumption {
                "offered"
            } else {
                "not offered"
            },
        );
        chart.fact(
            "network",
            &format!(
                "{:?} to {:?}, packets of {} bytes",
                weather.latency,
                weather.latency.saturating_add(weather.jitter),
                weather.packet,
            ),
        );
        chart.fact(
            "plan",
            &format!(
                "orders {}, faults {}, healed at {}, ends at {}",
                orders,
                plan.steps.len().saturating_sub(orders),
                words::time(plan.heal_at.as_micros()),
                words::time(plan.end_at.as_micros()),
            ),
        );
        chart
    }

    /// Puts a fact at the top of the page: its name, and what it is.
    pub fn fact(&self, name: &str, value: &str) {
        if let Ok(mut record) = self.record.try_borrow_mut() {
            record.facts.push((name.into(), value.into()));
        }
    }

    /// Puts a command at the top of the page: what it is for, and the line to type.
    pub fn command(&self, purpose: &str, line: &str) {
        if let Ok(mut record) = self.record.try_borrow_mut() {
            record.commands.push((purpose.into(), line.into()));
        }
    }

    /// Adds the rules that were found broken only when all was over.
    pub fn judged(&self, violations: &[(Instant, Violation)]) {
        if let Ok(mut record) = self.record.try_borrow_mut() {
            for (at, violation) in violations {
                record.judged(at.as_micros(), violation.rule, &violation.detail);
            }
        }
    }

    /// How many events were recorded, those beyond the limit left out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.record
            .try_borrow()
            .map_or(0, |record| record.items.len())
    }

    /// Whether nothing was recorded yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The page, the same for the same run.
    #[must_use]
    pub fn html(&self) -> String {
        self.record
            .try_borrow()
            .map_or_else(|_| String::new(), |record| page::html(&record))
    }
}

impl Watch for Chart {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        // Nobody else borrows it in a call of ours: it cannot fail.
        if let Ok(mut record) = self.record.try_borrow_mut() {
            record.see(at.as_micros(), happening);
        }
    }
}

/// At most so many bytes of a text, and how many were left out.
fn shortened(text: &str, most: usize) -> (String, usize) {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let kept = text.get(..end).unwrap_or_default();
    (kept.into(), text.len().saturating_sub(end))
}

/// A text on one line of at most so many characters.
fn brief(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// What is said of several things at once: those that are there, with commas.
fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(", ")
}
