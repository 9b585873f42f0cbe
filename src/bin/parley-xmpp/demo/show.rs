//! What a person sees: how far the play is, and its account.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::account::{Account, InDoubt};
use super::play::Outcome;
use crate::escape::Line;

/// Faults that are named; of more, their number is told.
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
    let adds_up = account.adds_up();
    // Said only where it was found to be so.
    let verified = |remark| if adds_up { remark } else { "" };
    let there = account.in_doubt.iter().filter(|post| post.archived).count();
    let doubt = account.in_doubt.len();
    let in_doubt = match doubt {
        0 => String::new(),
        _ => format!(
            "in truth {there} archived, {} not",
            doubt.saturating_sub(there)
        ),
    };
    row(0, "posted", account.posted.to_string(), "");
    row(
        2,
        "committed",
        account.committed.to_string(),
        verified("each archived once, under the id that was told"),
    );
    row(2, "rejected", account.rejected.to_string(), "");
    row(2, "not sent", account.not_sent.to_string(), "");
    row(2, "unknown", doubt.to_string(), &in_doubt);
    row(
        0,
        "archived",
        account.archived.to_string(),
        "by the server's own word",
    );
    row(
        0,
        "delivered",
        account.delivered.to_string(),
        "to the follower",
    );
    row(2, "late", account.late.to_string(), "");
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

    if doubt > 0 {
        text.push_str("\nIn doubt, because a link broke between the post and its answer:\n");
        for (archived, name) in [(true, "archived"), (false, "not there")] {
            let posts = account.in_doubt.iter();
            let posts: Vec<_> = posts.filter(|post| post.archived == archived).collect();
            if !posts.is_empty() {
                text.push_str(&wrap(name, &ranges(&posts)));
            }
        }
    }
    if !account.faults.is_empty() {
        text.push_str("\nWrong:\n");
        for fault in account.faults.iter().take(NAMED) {
            let _ = writeln!(text, "  {}", Line(&fault.to_string()));
        }
        let more = account.faults.len().saturating_sub(NAMED);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more");
        }
    }
    text.push_str(if account.adds_up() {
        "\nThe account adds up.\n"
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

/// Posts by their authors and numbers: `ana 36-40`, `ben 7`. They come in the order
/// in which they were posted.
fn ranges(posts: &[&InDoubt]) -> Vec<String> {
    let mut by_author: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for post in posts {
        let runs = by_author.entry(&post.nick).or_default();
        match runs.last_mut() {
            Some((_, last)) if post.number == *last + 1 => *last = post.number,
            _ => runs.push((post.number, post.number)),
        }
    }
    let names = by_author.iter().flat_map(|(nick, runs)| {
        runs.iter().map(move |(first, last)| match first == last {
            true => format!("{nick} {first}"),
            false => format!("{nick} {first}-{last}"),
        })
    });
    names.collect()
}

/// A title, and items after it on as many lines of 80 columns as it takes.
fn wrap(title: &str, items: &[String]) -> String {
    let mut text = String::new();
    let mut line = format!("  {title:<16}");
    for (index, item) in items.iter().enumerate() {
        let end = if index + 1 == items.len() { "" } else { "," };
        if line.len() + item.len() + end.len() + 1 > 80 {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(18);
        }
        let _ = write!(line, "{item}{end} ");
    }
    let _ = writeln!(text, "{}", line.trim_end());
    text
}

/// The account for programs, whole.
pub(super) fn object(account: &Account, outcome: &Outcome) -> Value {
    let in_doubt = account.in_doubt.iter().map(
        |post| json!({ "author": post.nick, "number": post.number, "archived": post.archived }),
    );
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
        "late": account.late,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(nick: &str, number: usize) -> InDoubt {
        InDoubt {
            nick: nick.into(),
            number,
            archived: true,
        }
    }

    #[test]
    fn posts_in_doubt_are_named_in_runs() {
        let posts = [("ana", 3), ("ben", 1), ("ana", 4), ("ana", 5), ("ben", 3)];
        let posts = posts.map(|(nick, number)| doubt(nick, number));
        let named = ranges(&posts.iter().collect::<Vec<_>>());
        assert_eq!(named, ["ana 3-5", "ben 1", "ben 3"]);
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let items: Vec<_> = (0..40).map(|n| format!("ana {n}-{}", n + 1000)).collect();
        let text = wrap("not there", &items);
        assert!(text.lines().count() > 3);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let outcome = Outcome {
            evidence: super::super::account::Evidence::default(),
            cuts: 4,
            crashes: 2,
            reconnects: 18,
            took: Duration::from_secs(9),
        };
        let account = Account::of(&outcome.evidence);
        assert!(!account.adds_up());
        let text = super::text(&account, &outcome);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(
            text.contains("\nWrong:\n") && text.contains("does not add up"),
            "{text}"
        );
    }
}
