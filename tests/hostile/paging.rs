//! Pages without end, and pages at the same time: Q2, Q7, Q8, Q20, Q21.

use std::time::Duration;

use parley_xmpp::{Cursor, Fetch, FetchEvent, RequestError};

use super::mam::*;
use crate::peer::{ROOM_FEATURES, message};
use crate::*;

#[test]
fn q07_more_that_never_comes_is_not_waited_for() {
    let (mut peer, _, mut page) = all(9);
    for round in 0.. {
        assert!(round < 10, "still asking");
        ends(&mut peer, &page, false, &[]);
        let sent = peer.heard();
        match requests(&sent)[..] {
            [] => break,
            [again] => page = again.to_owned(),
            _ => panic!("{sent}"),
        }
    }
    assert!(matches!(failed(&mut peer), RequestError::Inconsistent(_)));
}

#[test]
fn q08_the_same_pages_again_come_to_an_end() {
    for circle in [
        &[["a1", "a2"]][..],
        &[["a1", "a2"], ["a3", "a4"], ["a5", "a6"]],
    ] {
        let (mut peer, _, mut page) = all(10_000);
        let mut pages = 0;
        for ids in circle.iter().cycle() {
            pages += 1;
            assert!(pages < 50, "still asking");
            gives(&mut peer, &page, false, ids);
            let sent = peer.heard();
            match requests(&sent)[..] {
                [] => break,
                [again] => page = again.to_owned(),
                _ => panic!("{sent}"),
            }
        }
        let (_, end) = fetched(&mut peer);
        assert!(
            matches!(end, FetchEvent::Failed(RequestError::Inconsistent(_))),
            "{end:?}"
        );
    }
    // Who follows is not kept reading either, and hears what is said.
    for circle in [
        &[["a1", "a2"]][..],
        &[["a1", "a2"], ["a3", "a4"], ["a5", "a6"]],
    ] {
        let (mut peer, mut page) = following(10_000);
        let (mut pages, mut ids) = (0, circle.iter().cycle());
        let mut all = Vec::new();
        while !all
            .iter()
            .any(|entry: &String| entry.starts_with("caught up"))
        {
            pages += 1;
            assert!(pages < 200, "still asking");
            gives(&mut peer, &page, false, ids.next().unwrap());
            all.extend(told(&mut peer));
            if all.last().is_none_or(|last| !last.starts_with("caught up")) {
                page = next_question(&mut peer);
            }
        }
        let messages = all.iter().filter(|entry| entry.starts_with('a')).count();
        assert_eq!(messages, circle.len() * 2, "each once: {all:?}");
        assert!(
            all.iter()
                .any(|entry| entry.starts_with("gap ArchiveFailed"))
        );
    }
}

#[test]
fn q20_a_backlog_is_read_as_it_is_taken() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let start = Start::Cursor(Cursor::Beginning);
    let following = peer.engine.subscribe(peer.now, room, start, 3).unwrap();
    let mut seen = 0;
    let mut page = question(&mut peer);
    let ids: Vec<_> = (0..300).map(|n| format!("b{n:03}")).collect();
    while seen < 300 {
        assert!(
            page.contains("<max>3</max>"),
            "no more than is taken: {page}"
        );
        let ids: Vec<_> = ids[seen..seen + 3].iter().map(String::as_str).collect();
        gives(&mut peer, &page, false, &ids);
        assert_eq!(told(&mut peer), ids);
        seen += 3;
        // Nothing more is asked for until the reader has taken it.
        assert_eq!(peer.heard(), "");
        peer.engine.grant(peer.now, following, 3);
        let last = *ids.last().unwrap();
        // It stands where it stood, and says so.
        page = peer.heard();
        assert!(page.contains("<after>"), "after {last}: {page}");
        if !page.contains(&format!("<after>{last}</after>")) {
            // What it stands on is to be shown first.
            let asked_before = attribute(&page, "queryid").to_owned();
            assert!(!asked_before.is_empty());
            peer.say(&result(&page, last));
            ends(&mut peer, &page, false, &[last]);
            page = question(&mut peer);
        }
    }
}

#[test]
fn q21_a_server_decides_how_large_its_pages_are() {
    let (mut peer, _, mut page) = all(100);
    assert!(page.contains("<max>100</max>"), "{page}");
    for n in 0..9 {
        let (a, b) = (format!("a{n}1"), format!("a{n}2"));
        gives(&mut peer, &page, n == 8, &[&a, &b]);
        if n < 8 {
            page = question(&mut peer);
            assert!(page.contains(&format!("<after>{b}</after>")), "{page}");
        }
    }
    let (bodies, next, complete) = done(&mut peer);
    assert_eq!((bodies.len(), next.as_str(), complete), (18, "a82", true));
}

/// What is left of a message that was removed: the answer to a page that holds nothing else.
fn gives_tombstone(peer: &mut Peer, question: &str, id: &str) {
    peer.say(&format!(
        "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{}' id='{id}'/></message>",
        attribute(question, "queryid")
    ));
    ends(peer, question, false, &[id]);
}

#[test]
fn q08_tombstones_without_end_are_not_read_for_ever() {
    let (mut peer, _, mut page) = all(10);
    let mut pages = 0;
    loop {
        pages += 1;
        assert!(pages < 2000, "still asking");
        gives_tombstone(&mut peer, &page, &format!("t{pages}"));
        match requests(&peer.heard())[..] {
            [] => break,
            [next] => page = next.to_owned(),
            _ => panic!("more than one question"),
        }
    }
    assert!(pages >= 1000, "a room may remove much: {pages}");
    let end = fetched(&mut peer).1;
    let inconsistent = matches!(end, FetchEvent::Failed(RequestError::Inconsistent(_)));
    assert!(inconsistent, "{end:?}");
    // Who follows is told, and hears what is said.
    let (mut peer, mut page) = following(100);
    let (mut pages, mut all) = (0, Vec::new());
    peer.say(&message("bob", "b1", "hi"));
    while !all.iter().any(|entry: &String| entry == "hi") {
        pages += 1;
        assert!(pages < 10_000, "still asking");
        gives_tombstone(&mut peer, &page, &format!("t{pages}"));
        all.extend(told(&mut peer));
        if !all.iter().any(|entry| entry == "hi") {
            page = next_question(&mut peer);
        }
    }
    assert!(all[0].starts_with("gap ArchiveFailed"), "{all:?}");
}

/// A message between them, and there is an end to what was removed.
#[test]
fn q08_a_message_among_tombstones_is_progress() {
    let (mut peer, _, mut page) = all(10);
    for i in 0..2500 {
        match i % 900 {
            0 => gives(&mut peer, &page, false, &[&format!("m{i}")]),
            _ => gives_tombstone(&mut peer, &page, &format!("t{i}")),
        }
        page = question(&mut peer);
    }
    gives(&mut peer, &page, true, &["last"]);
    assert_eq!(done(&mut peer).0, ["m0", "m900", "m1800", "last"]);
}

/// XEP-0313 section 8.2: "multiple queries in flight at once".
#[test]
fn q02_queries_in_flight_at_once_have_each_their_own_results() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let fetches = [2, 3].map(|limit| {
        let id = peer
            .engine
            .fetch(peer.now, room, Fetch::newest(limit))
            .unwrap();
        (id, question(&mut peer))
    });
    // Both pages come at once, item by item, and the later ends first.
    for i in 1..=3 {
        for ((_, page), least) in fetches.iter().zip([2, 1]) {
            if i >= least {
                peer.say(&result(page, &format!("a{i}")));
            }
        }
    }
    ends(&mut peer, &fetches[1].1, true, &["a1", "a2", "a3"]);
    ends(&mut peer, &fetches[0].1, true, &["a2", "a3"]);
    let mut given = Vec::new();
    for event in peer.events() {
        match event {
            Event::Fetch {
                id,
                event: FetchEvent::Page(page),
            } => {
                given.push((id, page.into_iter().map(|m| m.body).collect::<Vec<_>>()));
            }
            Event::Fetch {
                event: FetchEvent::Done { .. },
                ..
            } => {}
            other => panic!("{other:?}"),
        }
    }
    let bodies = |all: &[&str]| all.iter().map(|&body| body.to_owned()).collect::<Vec<_>>();
    assert_eq!(
        given,
        [
            (fetches[1].0, bodies(&["a1", "a2", "a3"])),
            (fetches[0].0, bodies(&["a2", "a3"])),
        ]
    );
}

/// Each would be a question of its own.
#[test]
fn q20_what_is_said_while_a_fetch_waits_is_not_asked_for_each_time() {
    let wait = Duration::from_secs(60);
    let (mut peer, _, page) = fetching(Fetch::since(Cursor::Beginning, 10).wait(wait));
    ends(&mut peer, &page, true, &[]);
    let mut questions = 0;
    for i in 0..500 {
        peer.say(&message("bob", &format!("b{i}"), "hi"));
        let sent = peer.heard();
        if i == 0 {
            assert!(
                !requests(&sent).is_empty(),
                "the first is asked for at once"
            );
        }
        for question in requests(&sent) {
            questions += 1;
            peer.say(&fin(attribute(question, "id"), true, &[]));
        }
        peer.pass(Duration::from_millis(10));
    }
    assert!(
        (10..=30).contains(&questions),
        "{questions} in five seconds"
    );
}
