//! What a host asks of its rooms, and how often: rules L6 and L7.

use super::super::requests::{Requests, Talked};
use super::*;

/// What is broken if something is said so many times, each so long after the one before.
fn said(times: u64, apart: Duration, what: impl Fn(u64) -> Talked) -> Vec<&'static str> {
    let (mut requests, mut found) = (Requests::default(), Found::default());
    let mut clock = Instant::ZERO;
    for number in 0..times {
        clock = clock.plus(apart);
        requests.take(what(number), clock, |_| true, &mut found);
    }
    found.violations.iter().map(|(_, v)| v.rule).collect()
}

fn query(number: u64, after: &str) -> Talked {
    Talked::Query {
        room: "red@muc.x".into(),
        id: number.to_string(),
        page: format!("<set><after>{after}</after></set>"),
        after: Some(after.into()),
    }
}

#[test]
fn l6_a_room_is_stormed() {
    let join = |_| Talked::Join {
        room: "red@muc.x".into(),
    };
    let ping = |_| Talked::Ping {
        room: "red@muc.x".into(),
    };
    let secs = Duration::from_secs;
    // As often as the longest backoff has it, for hours; once in a second; a bit less often.
    assert_eq!(said(400, secs(30), join), [""; 0]);
    assert_eq!(said(41, secs(1), join), ["L6"]);
    assert_eq!(said(241, secs(2), join), ["L6"]);
    assert_eq!(said(400, secs(60), ping), [""; 0]);
    assert_eq!(said(9, secs(1), ping), ["L6"]);
    assert_eq!(said(31, secs(10), ping), ["L6"]);
    // Each room by itself.
    let many = |number: u64| Talked::Join {
        room: format!("{number}@muc.x"),
    };
    assert_eq!(said(200, secs(0), many), [""; 0]);
}

#[test]
fn l7_an_archive_is_asked_for_the_same_page_for_ever() {
    let quick = Duration::from_millis(100);
    assert_eq!(said(81, quick, |n| query(n, "a")), ["L7"]);
    assert_eq!(said(80, quick, |n| query(n, "a")), [""; 0]);
    // It gets on.
    assert_eq!(said(500, quick, |n| query(n, &n.to_string())), [""; 0]);
    assert_eq!(
        said(500, Duration::from_secs(1), |n| query(n, "a")).len(),
        0
    );
}

/// Queries after these places, each answered with the last page, so far apart.
fn looks(apart: Duration, places: &[&str], reads: bool) -> u64 {
    let (mut requests, mut found) = (Requests::default(), Found::default());
    let mut clock = Instant::ZERO;
    for (number, place) in (0..).zip(places) {
        clock = clock.plus(apart);
        let answer = Talked::Answer {
            id: number.to_string(),
            complete: true,
            last: None,
        };
        for talked in [query(number, place), answer] {
            requests.take(talked, clock, |_| reads, &mut found);
        }
    }
    let count = found.tally.get("archive looked at again");
    count.copied().unwrap_or_default()
}

#[test]
fn an_archive_that_lags_is_looked_at_again() {
    let soon = Duration::from_millis(500);
    assert_eq!(looks(soon, &["a", "a", "a"], true), 2);
    assert_eq!(looks(soon, &["a", "b", "c"], true), 0);
    // Who is caught up compares; who comes much later looks for a post, or comes anew.
    assert_eq!(looks(soon, &["a", "a"], false), 0);
    assert_eq!(looks(Duration::from_secs(5), &["a", "a"], true), 0);
}

#[test]
fn a_post_that_is_sent_again_says_why() {
    let (mut requests, mut found) = (Requests::default(), Found::default());
    for (id, handled) in [("a", false), ("b", false), ("a", false), ("b", true)] {
        let id = id.into();
        let post = Talked::Post { id, handled };
        requests.take(post, Instant::ZERO, |_| false, &mut found);
    }
    let tally: Vec<_> = found.tally.into_iter().collect();
    assert_eq!(
        tally,
        [
            ("post sent again, never handled", 1),
            ("post sent again, not in the archive", 1)
        ]
    );
}
