//! Fetches over late answers, lagging archives, and what is no archive.

use crate::peer::{archived, message};
use crate::*;
use parley_xmpp::{ArchiveId, RequestError};

fn found(peer: &mut Peer) -> Vec<String> {
    let (messages, ends) = fetched(peer.events());
    assert!(
        matches!(ends[..], [FetchEvent::Done { complete: true, .. }]),
        "{ends:?}"
    );
    messages.into_iter().map(|m| m.body).collect()
}

#[test]
fn a_late_answer_does_not_close_a_newer_page() {
    let (mut peer, room) = in_room();
    peer.engine.fetch(peer.now, room, everything(9)).unwrap();
    let old = query(&mut peer);
    drop_and_rejoin(&mut peer);
    let new = query(&mut peer);
    assert_ne!(iq(&old), iq(&new));
    peer.say(&archived(query_id(&old), "a1", "late"));
    peer.say(&fin(iq(&old), true, &["a1"]));
    peer.say(&failure(iq(&old), "item-not-found", "cancel"));
    assert_eq!(peer.events(), []);
    peer.say(&archived(query_id(&new), "a1", "one"));
    peer.say(&fin(iq(&new), true, &["a1"]));
    assert_eq!(found(&mut peer), ["one"]);
}

#[test]
fn the_deadline_of_an_older_question_does_not_end_a_newer_one() {
    let (mut peer, room) = in_room();
    peer.engine.fetch(peer.now, room, everything(9)).unwrap();
    query(&mut peer);
    peer.pass(secs(29));
    drop_and_rejoin(&mut peer);
    let new = query(&mut peer);
    peer.pass(secs(10));
    assert_eq!(fetched(peer.events()), (vec![], vec![]));
    peer.say(&archived(query_id(&new), "a1", "one"));
    peer.say(&fin(iq(&new), true, &["a1"]));
    assert_eq!(found(&mut peer), ["one"]);
}

#[test]
fn a_question_that_is_cancelled_answers_nobody() {
    let (mut peer, room) = in_room();
    let id = peer.engine.fetch(peer.now, room, everything(9)).unwrap();
    let old = query(&mut peer);
    peer.engine.cancel(peer.now, id);
    peer.say(&archived(query_id(&old), "a1", "late"));
    peer.say(&fin(iq(&old), true, &["a1"]));
    peer.pass(secs(31));
    assert_eq!(peer.events(), []);
}

/// When an archive is asked that has nothing yet, as milliseconds from now, for
/// as long as `time`.
fn asked_again(peer: &mut Peer, time: Duration) -> (Vec<u128>, Option<String>) {
    let start = peer.now;
    let (mut when, mut open) = (Vec::new(), None);
    while peer.now.since(start) < time {
        peer.pass(Duration::from_millis(50));
        let sent = peer.heard();
        pong(peer, &sent);
        if let Some(query) = queries(&sent).pop() {
            when.push(peer.now.since(start).as_millis());
            open = Some(query.to_owned());
            if peer.now.since(start) < time {
                nothing(peer, query);
            }
        }
    }
    (when, open)
}

#[test]
fn an_archive_that_lags_is_asked_until_it_shows_what_was_said() {
    let (mut peer, room) = in_room();
    let poll = everything(9).wait(secs(600));
    peer.engine.fetch(peer.now, room, poll).unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    assert_eq!(
        asked_again(&mut peer, secs(20)).0,
        [0_u128; 0],
        "not before there is news"
    );
    peer.say(&message("bob", "a1", "news"));
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    let (when, _) = asked_again(&mut peer, secs(300));
    assert_eq!(
        when,
        [
            250, 750, 1750, 3750, 7750, 15750, 31750, 63750, 127_750, 191_750, 255_750
        ]
    );
    assert_eq!(fetched(peer.events()), (vec![], vec![]));
    peer.pass(secs(20));
    let asked = query(&mut peer);
    peer.say(&archived(query_id(&asked), "a1", "news"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    assert_eq!(found(&mut peer), ["news"]);
}

#[test]
fn more_news_makes_a_lagging_archive_be_asked_at_once() {
    let (mut peer, room) = in_room();
    let poll = everything(9).wait(secs(60));
    peer.engine.fetch(peer.now, room, poll).unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.say(&message("bob", "a1", "news"));
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    asked_again(&mut peer, secs(16));
    peer.say(&message("bob", "a2", "more"));
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    let (when, _) = asked_again(&mut peer, secs(2));
    assert_eq!(when, [250, 750, 1750]);
}

#[test]
fn a_poll_ends_in_time_however_the_archive_lags() {
    let (mut peer, room) = in_room();
    let poll = everything(9).wait(secs(5));
    peer.engine.fetch(peer.now, room, poll).unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.say(&message("bob", "a1", "news"));
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    asked_again(&mut peer, secs(6));
    assert_eq!(
        fetched(peer.events()).1,
        [FetchEvent::Done {
            next: Cursor::Beginning,
            complete: true,
            stable: true,
        }]
    );
}

#[test]
fn an_archive_that_promises_more_and_gives_nothing_is_found_out() {
    let (mut peer, room) = in_room();
    peer.engine.fetch(peer.now, room, everything(9)).unwrap();
    let mut count = 0;
    loop {
        let sent = peer.heard();
        let Some(query) = queries(&sent).pop() else {
            break;
        };
        count += 1;
        assert!(count <= 20, "asked for ever");
        peer.say(&fin(iq(query), false, &[]));
    }
    assert!(matches!(
        fetched(peer.events()).1[..],
        [FetchEvent::Failed(RequestError::Inconsistent(_))]
    ));
}

#[test]
fn a_cursor_that_xml_cannot_carry_is_none() {
    for text in [
        "a\u{1}b", "\u{0}", "\u{b}", "\u{1b}", "\u{fffe}", "\u{ffff}",
    ] {
        assert_eq!(Cursor::parse(text), None, "{text:?}");
        assert_eq!(ArchiveId::new(text), None, "{text:?}");
    }
    let (mut peer, room) = in_room();
    peer.shows = false;
    let cursor = Cursor::parse("<&> '\"").unwrap();
    peer.engine
        .fetch(peer.now, room, Fetch::since(cursor, 1))
        .unwrap();
    let asked = query(&mut peer);
    assert!(
        asked.contains("<before>&lt;&amp;&gt; '\"</before>"),
        "{asked}"
    );
}

/// Answers the questions that follow with these pages, the last of them complete.
fn pages(peer: &mut Peer, pages: &[&[&str]]) {
    for (n, page) in pages.iter().enumerate() {
        let asked = query(peer);
        for id in *page {
            peer.say(&archived(query_id(&asked), id, id));
        }
        peer.say(&fin(iq(&asked), n + 1 == pages.len(), page));
    }
}

/// Q3: an id counts at its first place, also where pages overlap, and what came late to what they
/// overlap by is given as well.
#[test]
fn q03_pages_that_overlap_give_each_message_once() {
    let everything = everything(100);
    let newest = Fetch::newest(100);
    let cases: [(&Fetch, &[&[&str]]); 9] = [
        (&everything, &[&["a1", "a2", "a3"], &["a2", "a3", "a4"]]),
        (&everything, &[&["a1", "a2", "a3"], &["a3", "a2", "a4"]]),
        // Even if the place it was to begin after is not on it.
        (&everything, &[&["a1", "a2", "a3"], &["a1", "a2", "a4"]]),
        (&everything, &[&["a1", "a3"], &["a2", "a3", "a4"]]),
        // More than two, and not one after the other.
        (
            &everything,
            &[&["a1", "a2"], &["a2", "a1", "a3"], &["a3", "a1", "a4"]],
        ),
        (&everything, &[&["a1", "a2"], &["a3"], &["a1", "a2", "a4"]]),
        (&newest, &[&["a2", "a3", "a4"], &["a1", "a2", "a3"]]),
        (&newest, &[&["a2", "a3", "a4"], &["a1", "a3", "a4"]]),
        (&newest, &[&["a2", "a4"], &["a1", "a2", "a3", "a4"]]),
    ];
    for (fetch, shown) in cases {
        let (mut peer, room) = in_room();
        peer.engine.fetch(peer.now, room, fetch.clone()).unwrap();
        pages(&mut peer, shown);
        let (messages, _) = fetched(peer.events());
        let mut told: Vec<_> = messages.iter().map(|message| &message.body).collect();
        // Towards the past the newest page comes first; what came late comes late.
        told.sort();
        assert_eq!(told, ["a1", "a2", "a3", "a4"], "{shown:?}");
    }
}

/// A subscription tells it as late.
#[test]
fn q03_what_came_late_to_what_pages_overlap_by_is_told() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    pages(&mut peer, &[&["a1", "a2", "a4"], &["a2", "a3", "a4", "a5"]]);
    let told = entries(peer.events()).into_iter().map(|entry| match entry {
        Entry::Message(message) => message.body,
        Entry::Late(message) => format!("late {}", message.body),
        Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, ["a1", "a2", "a4", "late a3", "a5", "caught up a5"]);
}

/// Where pages lead back to before where reading began, that is no news: it was not asked for, and
/// who asked had it before.
#[test]
fn q03_pages_that_lead_back_to_before_the_cursor_give_nothing_of_that() {
    for back in [
        &["a1", "a2", "a3", "a4", "a5"][..],
        // Where it does not show the cursor, nobody can tell.
        &["a1", "a2", "a4", "a5"],
    ] {
        goes_on_after_a3(&[&["a2"], &["a3", "a4"], back]);
    }
}

/// Reads on after a3, the archive answering with these pages: that gives a4 and a5.
fn goes_on_after_a3(shown: &[&[&str]]) {
    let (mut peer, room) = in_room();
    peer.shows = false;
    let cursor = Cursor::parse("a3").unwrap();
    let since = Fetch::since(cursor.clone(), 9);
    peer.engine.fetch(peer.now, room, since).unwrap();
    pages(&mut peer, shown);
    let (messages, _) = fetched(peer.events());
    let told: Vec<_> = messages.iter().map(|message| &message.body).collect();
    assert_eq!(told, ["a4", "a5"]);

    let start = Start::Cursor(cursor);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    pages(&mut peer, shown);
    let told = entries(peer.events()).into_iter().map(|entry| match entry {
        Entry::Message(message) => message.body,
        Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["a4", "a5", "caught up a5"]);
}

/// Towards the past nothing is given that lies behind the cursor to go on from later.
#[test]
fn q03_pages_that_lead_on_to_after_the_newest_give_nothing_of_that() {
    for (on, gives) in [
        (
            &["a1", "a2", "a3", "a4", "a5"][..],
            &["a1", "a2", "a3", "a4"][..],
        ),
        // Where it does not show the newest, nobody can tell.
        (&["a1", "a2", "a3", "a5"], &["a1", "a2", "a4"]),
    ] {
        let (mut peer, room) = in_room();
        peer.engine.fetch(peer.now, room, Fetch::newest(9)).unwrap();
        pages(&mut peer, &[&["a2", "a4"], on]);
        let (messages, ends) = fetched(peer.events());
        let mut told: Vec<_> = messages.iter().map(|message| &message.body).collect();
        told.sort();
        assert_eq!(told, gives);
        let next = Cursor::parse("a4").unwrap();
        assert!(matches!(&ends[..], [FetchEvent::Done { next: told, .. }] if *told == next));
    }
}

/// The archive does not show what was said, and is asked ever more slowly; what is said right after
/// it was asked once more does not wait for the next of these.
#[test]
fn news_right_after_a_slow_question_are_asked_for_soon() {
    let (mut peer, room) = in_room();
    let mut wait = Fetch::since(Cursor::parse("a0").unwrap(), 9);
    wait.wait = secs(600);
    peer.engine.fetch(peer.now, room, wait).unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.say(&message("bob", "never", "not kept"));
    loop {
        let began = peer.now;
        let asked = until_asked(&mut peer);
        nothing(&mut peer, &asked);
        if peer.now.since(began) >= secs(60) {
            break;
        }
    }
    peer.pass(Duration::from_millis(100));
    peer.say(&message("bob", "a1", "news"));
    let said = peer.now;
    until_asked(&mut peer);
    assert!(peer.now.since(said) < secs(1), "{:?}", peer.now.since(said));
}

/// The next question to the archive; whatever else is asked meanwhile is answered.
fn until_asked(peer: &mut Peer) -> String {
    loop {
        let sent = peer.heard();
        for request in requests(&sent) {
            if request.contains("urn:xmpp:mam:2") {
                return request.to_owned();
            }
            let from = match request.contains(" to='") {
                true => attribute(request, "to"),
                false => "parley.local",
            };
            peer.say(&format!(
                "<iq type='result' id='{}' from='{from}'/>",
                iq(request)
            ));
        }
        turn(peer);
    }
}
