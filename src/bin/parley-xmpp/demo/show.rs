//! What a person sees: how far the play is, and its account.

use core::fmt::Write as _;
use core::time::Duration;
use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::account::Account;
use super::play::Outcome;
use crate::escape::Line;

/// Posts in doubt and faults that are named; of more, their number is told.
const NAMED: usize = 12;

/// Shows how far it is: a bar where somebody looks, lines otherwise.
#[derive(Debug)]
pub(super) struct Show {
    bar: ProgressBar,
    quiet: bool,
}

impl Show {
    /// `quiet`: nothing is shown; a program reads the account.
    pub(super) fn new(posts: usize, quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(Some(posts as u64), ProgressDrawTarget::stderr())
        };
        if let Ok(style) = ProgressStyle::with_template("  {wide_bar} {pos}/{len} posts, {elapsed}")
        {
            bar.set_style(style);
        }
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar, quiet }
    }

    pub(super) fn position(&self, posts: usize) {
        self.bar.set_position(posts as u64);
    }

    /// A line, above the bar if there is one.
    pub(super) fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| crate::say(text));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The account for people, 80 columns wide.
pub(super) fn text(account: &Account, outcome: &Outcome) -> String {
    let mut text = String::from("\nThe account, held against the server's own archive:\n\n");
    let mut row = |indent: usize, name: &str, number: String, remark: &str| {
        let name = format!("{:indent$}{name}", "");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}",
            format!("  {name:<16}{number:>6}   {remark}").trim_end()
        );
    };
    let there = account.in_doubt.iter().filter(|post| post.archived).count();
    let doubt = account.in_doubt.len();
    let in_doubt = match doubt {
        0 => String::new(),
        _ => format!(
            "in doubt: {there} in the archive, {} not",
            doubt.saturating_sub(there)
        ),
    };
    row(0, "posted", account.posted.to_string(), "");
    row(
        2,
        "committed",
        account.committed.to_string(),
        "told where in the archive",
    );
    row(2, "rejected", account.rejected.to_string(), "");
    row(2, "not sent", account.not_sent.to_string(), "");
    row(2, "unknown", doubt.to_string(), &in_doubt);
    row(0, "archived", account.archived.to_string(), "the truth");
    row(
        0,
        "delivered",
        account.delivered.to_string(),
        "to the follower",
    );
    row(2, "duplicates", account.duplicates.to_string(), "");
    let gaps = account.gaps_announced.to_string();
    row(2, "gaps announced", gaps, "");
    let gaps = account.gaps_not_announced.to_string();
    row(2, "not announced", gaps, "");
    let blows = format!(
        "of 3 clients, after {} and {}",
        count(outcome.cuts, "cut"),
        count(outcome.crashes, "crash")
    );
    row(0, "reconnects", outcome.reconnects.to_string(), &blows);
    let took = format!("{:.1}", outcome.took.as_secs_f32());
    row(0, "seconds", took, "");

    list(&mut text, "In doubt:", &account.in_doubt, |post| {
        let where_ = if post.archived {
            "is in the archive"
        } else {
            "is not in the archive"
        };
        format!("{} {where_}", post.body)
    });
    list(&mut text, "Wrong:", &account.faults, ToString::to_string);
    text.push_str(if account.adds_up() {
        "\nThe account adds up: every committed post is there once under its id, and the\n\
         follower got the archive in order.\n"
    } else {
        "\nThe account does not add up.\n"
    });
    text
}

fn count(number: u32, noun: &str) -> String {
    match (number, noun) {
        (1, _) => format!("1 {noun}"),
        (_, "crash") => format!("{number} crashes"),
        _ => format!("{number} {noun}s"),
    }
}

fn list<T>(text: &mut String, title: &str, items: &[T], name: impl Fn(&T) -> String) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for item in items.iter().take(NAMED) {
        let _ = writeln!(text, "  {}", Line(&name(item)));
    }
    if let Some(more) = items.len().checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
}

/// The account for programs, whole.
pub(super) fn object(account: &Account, outcome: &Outcome) -> Value {
    let in_doubt = account
        .in_doubt
        .iter()
        .map(|post| json!({ "body": post.body, "archived": post.archived }));
    let faults = account.faults.iter().map(ToString::to_string);
    json!({
        "posted": account.posted,
        "committed": account.committed,
        "rejected": account.rejected,
        "notSent": account.not_sent,
        "unknown": in_doubt.collect::<Vec<_>>(),
        "archived": account.archived,
        "delivered": account.delivered,
        "duplicates": account.duplicates,
        "gapsAnnounced": account.gaps_announced,
        "gapsNotAnnounced": account.gaps_not_announced,
        "cuts": outcome.cuts,
        "crashes": outcome.crashes,
        "reconnects": outcome.reconnects,
        "seconds": outcome.took.as_secs_f64(),
        "faults": faults.collect::<Vec<_>>(),
        "addsUp": account.adds_up(),
    })
}
