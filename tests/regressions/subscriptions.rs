//! Subscriptions: their place in the archive, and the gaps they own up to.

use crate::peer::{archived, message};
use crate::*;
use parley_xmpp::{GapReason, RequestError};

/// A subscription at the end of an archive whose last item is `a0`.
fn caught_up() -> (Peer, RoomId) {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine.subscribe(peer.now, room, start, 1000).unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    assert!(matches!(
        entries(peer.events())[..],
        [Entry::CaughtUp { .. }]
    ));
    (peer, room)
}

#[test]
fn a_late_answer_ends_no_newer_page_of_a_subscription() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 9)
        .unwrap();
    let old = query(&mut peer);
    drop_and_rejoin(&mut peer);
    let new = query(&mut peer);
    peer.say(&fin(iq(&old), true, &[]));
    peer.say(&failure(iq(&old), "forbidden", "auth"));
    assert_eq!(peer.events(), []);
    peer.say(&archived(query_id(&new), "a1", "one"));
    peer.say(&fin(iq(&new), true, &["a1"]));
    assert!(matches!(
        entries(peer.events())[..],
        [Entry::Message(_), Entry::CaughtUp { at: Some(_) }]
    ));
}

#[test]
fn the_deadline_of_an_older_page_does_not_end_a_newer_one() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 9)
        .unwrap();
    query(&mut peer);
    peer.pass(secs(29));
    drop_and_rejoin(&mut peer);
    let new = query(&mut peer);
    peer.pass(secs(10));
    let sent = peer.heard();
    assert!(queries(&sent).is_empty(), "asked again: {sent}");
    peer.say(&archived(query_id(&new), "a1", "one"));
    peer.say(&fin(iq(&new), true, &["a1"]));
    assert_eq!(bodies(&entries(peer.events())), ["one"]);
}

#[test]
fn an_archive_that_forgets_what_it_says_is_given_up_soon() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 1000)
        .unwrap();
    peer.shows = false;
    let (mut count, mut told) = (0, Vec::new());
    let since = peer.now;
    while !matches!(told.last(), Some(Entry::CaughtUp { .. })) {
        let sent = peer.heard();
        let Some(query) = queries(&sent).pop() else {
            // It may lag, and is looked at again.
            turn(&mut peer);
            continue;
        };
        count += 1;
        assert!(count <= 40, "a storm");
        if query.contains("<after>") || query.contains("<before>") {
            peer.say(&failure(iq(query), "item-not-found", "modify"));
        } else {
            peer.say(&archived(query_id(query), "a1", "one"));
            peer.say(&fin(iq(query), false, &["a1"]));
        }
        told.extend(entries(peer.events()));
    }
    assert!(peer.now <= since.plus(secs(10)), "{:?}", peer.now);
    // What it forgets is looked for three times, and failure is believed the fifth time.
    assert_eq!(count, 32);
    assert_eq!(bodies(&told), ["one"]);
    assert!(
        matches!(
            told[told.len() - 2..],
            [
                Entry::Gap {
                    reason: GapReason::ArchiveFailed(_),
                    ..
                },
                Entry::CaughtUp { .. }
            ]
        ),
        "{told:?}"
    );
    peer.say(&message("bob", "a9", "live"));
    assert_eq!(bodies(&entries(peer.events())), ["live"]);
}

#[test]
fn an_archive_that_promises_more_and_gives_nothing_is_asked_a_few_times() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 1000)
        .unwrap();
    let start = peer.now;
    let (mut count, mut told) = (0, Vec::new());
    while peer.now.since(start) < secs(3600) {
        let sent = peer.heard();
        pong(&mut peer, &sent);
        for query in queries(&sent) {
            count += 1;
            peer.say(&fin(iq(query), false, &[]));
        }
        told.extend(entries(peer.events()));
        if peer.engine.wants().write.is_empty() {
            turn(&mut peer);
        }
    }
    // A few times each time it is looked at, which is every ten minutes.
    assert!(count <= 30, "{count} questions in an hour");
    assert!(
        matches!(
            told[..],
            [
                Entry::Gap {
                    reason: GapReason::ArchiveFailed(RequestError::Inconsistent(_)),
                    ..
                },
                Entry::CaughtUp { .. }
            ]
        ),
        "{told:?}"
    );
}

#[test]
fn what_was_dropped_before_the_place_of_now_was_known_is_a_gap() {
    let mut config = config();
    config.limits.held_messages = 2;
    let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
    peer.engine
        .subscribe(peer.now, room, Start::Now, 1000)
        .unwrap();
    let asked = query(&mut peer);
    for n in 1..=3 {
        peer.say(&message("bob", &format!("a{n}"), "dropped"));
    }
    peer.say(&archived(query_id(&asked), "a3", "dropped"));
    // Said after the archive looked, and not held back either.
    peer.say(&message("bob", "a4", "four"));
    peer.say(&fin(iq(&asked), false, &["a3"]));
    let told = entries(peer.events());
    assert!(
        matches!(
            told[..],
            [Entry::Gap {
                after: None,
                reason: GapReason::Overflow
            }]
        ),
        "where it begins is not known: {told:?}"
    );
    // What the archive has after that place is not lost.
    let asked = query(&mut peer);
    assert!(asked.contains("<after>a3</after>"), "{asked}");
    peer.say(&archived(query_id(&asked), "a4", "four"));
    peer.say(&fin(iq(&asked), true, &["a4"]));
    peer.say(&message("bob", "a5", "five"));
    let told = entries(peer.events());
    assert_eq!(bodies(&told), ["four", "five"]);
    assert!(matches!(told[1], Entry::CaughtUp { at: Some(_) }));
}

/// A message that the room does not vouch for a place of.
fn unplaced(body: &str) -> String {
    format!(
        "<message from='{ROOM}/bob' type='groupchat' id='m-{body}'><body>{body}</body></message>"
    )
}

fn overflows(told: &[Entry]) -> usize {
    let overflow = |entry: &&Entry| {
        let reason = GapReason::Overflow;
        matches!(entry, Entry::Gap { reason: why, .. } if *why == reason)
    };
    told.iter().filter(overflow).count()
}

/// A room may fail to archive what it says: that bears no archive id, and is lost to who
/// has no space for it. What has one is read from the archive, and no gap.
#[test]
fn what_overflows_and_has_no_place_in_the_archive_is_a_gap() {
    // Where among those that overflow the one without a place is: among what was held
    // back, or after that was dropped; or nowhere.
    for (unplaced_at, gaps) in [(&[1][..], 1), (&[4], 1), (&[0, 1, 4, 5], 1), (&[][..], 0)] {
        let mut config = config();
        config.limits.held_messages = 2;
        let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
        let start = Start::Cursor(Cursor::parse("a0").unwrap());
        peer.engine.subscribe(peer.now, room, start, 1000).unwrap();
        let asked = query(&mut peer);
        let mut placed = Vec::new();
        for n in 0..6 {
            if unplaced_at.contains(&n) {
                peer.say(&unplaced(&format!("lost{n}")));
            } else {
                placed.push(format!("a{}", n + 1));
                peer.say(&message("bob", &format!("a{}", n + 1), "kept"));
            }
        }
        let mut told = entries(peer.events());
        assert_eq!(overflows(&told), gaps, "{unplaced_at:?}: {told:?}");
        // The archive has the others, each of which is told.
        nothing(&mut peer, &asked);
        let again = query(&mut peer);
        for id in &placed {
            peer.say(&archived(query_id(&again), id, "kept"));
        }
        let ids: Vec<_> = placed.iter().map(String::as_str).collect();
        peer.say(&fin(iq(&again), true, &ids));
        told.extend(entries(peer.events()));
        assert_eq!(bodies(&told).len(), placed.len(), "{told:?}");
        assert_eq!(overflows(&told), gaps, "{unplaced_at:?}: {told:?}");
    }
}

#[test]
fn a_room_that_cannot_say_now_what_it_can_do_still_can_what_it_could() {
    let (mut peer, _) = caught_up();
    peer.say(&dropped());
    knock_again(&mut peer);
    peer.say(&presence("ada", "<status code='110'/>"));
    // Asked with the join, and once more inside: there is trouble both times.
    for _ in 0..2 {
        let sent = peer.heard();
        let asked = requests(&sent).pop().unwrap();
        peer.say(&failure(iq(asked), "resource-constraint", "wait"));
    }
    let asked = query(&mut peer);
    peer.say(&message("bob", "a1", "once"));
    peer.say(&archived(query_id(&asked), "a1", "once"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    let events = peer.events();
    let told = entries(events.clone());
    assert!(room_events(events).iter().any(
        |e| matches!(e, RoomEvent::Joined(joined) if joined.info.archive && joined.info.stanza_ids)
    ));
    assert_eq!(bodies(&told), ["once"]);
    assert!(!told.iter().any(|e| matches!(e, Entry::Gap { .. })));
    // And when it can say so again, the place is still right.
    drop_and_rejoin(&mut peer);
    let asked = query(&mut peer);
    assert!(
        asked.contains("<after>a0</after>"),
        "what lay before it: {asked}"
    );
    peer.say(&archived(query_id(&asked), "a1", "once"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    assert_eq!(bodies(&entries(peer.events())), [""; 0]);
}

#[test]
fn a_room_without_an_archive_has_no_place_to_stand_at() {
    let no_gap = |entry: &Entry| matches!(entry, Entry::CaughtUp { at: None });
    let is_gap = |entry: &Entry| {
        matches!(
            entry,
            Entry::Gap {
                reason: GapReason::NoArchive,
                ..
            }
        )
    };
    // No archive at all, or one whose ids the live messages do not bear.
    for kind in ["", "<feature var='urn:xmpp:mam:2'/>"] {
        let (mut peer, room) = in_room_of(config(), kind);
        let now = peer.now;
        peer.engine.subscribe(now, room, Start::Now, 99).unwrap();
        let told = entries(peer.events());
        assert!(told.len() == 1 && no_gap(&told[0]), "{told:?}");
        peer.say(&message("bob", "a1", "live"));
        assert_eq!(bodies(&entries(peer.events())), ["live"]);

        peer.engine
            .subscribe(now, room, FROM_THE_BEGINNING, 99)
            .unwrap();
        let told = entries(peer.events());
        assert!(
            told.len() == 2 && is_gap(&told[0]) && no_gap(&told[1]),
            "{told:?}"
        );
        assert_eq!(peer.heard(), "", "nothing is read");

        // What is said while we are away is lost, and both say so.
        peer.say(&dropped());
        knock_again(&mut peer);
        peer.let_in("ada", kind);
        let told = entries(peer.events());
        assert_eq!(told.iter().filter(|e| is_gap(e)).count(), 2, "{told:?}");
        assert_eq!(told.iter().filter(|e| no_gap(e)).count(), 2, "{told:?}");
        peer.say(&message("bob", "a2", "again"));
        assert_eq!(bodies(&entries(peer.events())), ["again", "again"]);
    }
}

#[test]
fn a_reader_who_takes_nothing_in_a_room_without_an_archive_is_told_of_the_hole() {
    let mut config = config();
    config.limits.held_messages = 4;
    // Whether there is no archive, or one whose ids are not on the live messages; and whether
    // there was one once.
    let once = || Start::Cursor(Cursor::parse("a0").unwrap());
    let mam = "<feature var='urn:xmpp:mam:2'/>";
    for (features, start) in [("", Start::Now), (mam, Start::Now), ("", once())] {
        let mut peer = Peer::online(config.clone());
        let room = peer.join(features);
        let id = peer.engine.subscribe(peer.now, room, start, 1).unwrap();
        peer.events();
        peer.heard();
        for n in 0..10 {
            peer.say(&message("bob", &format!("a{n}"), &n.to_string()));
        }
        let gaps = |events: Vec<Event>| {
            let gap = |e: &Event| {
                matches!(
                    e,
                    Event::Entry {
                        entry: Entry::Gap {
                            reason: GapReason::Overflow,
                            ..
                        },
                        ..
                    }
                )
            };
            events.iter().filter(|e| gap(e)).count()
        };
        assert_eq!(gaps(peer.events()), 1);
        peer.engine.grant(peer.now, id, 100);
        assert_eq!(peer.heard(), "", "there is no archive to ask");
        let events = peer.events();
        let said = events.iter().filter(|e| {
            matches!(
                e,
                Event::Entry {
                    entry: Entry::Message(_),
                    ..
                }
            )
        });
        assert_eq!(said.count(), 4, "{events:?}");
    }
}

/// It is compared from `a0`, which is gone: what comes first now is `a1`. What is asked then, behind
/// that.
fn compares_behind_a_place_that_is_gone(peer: &mut Peer) -> String {
    peer.pass(secs(5));
    let asked = query(peer);
    assert!(asked.contains("<after>a0</after>"), "{asked}");
    peer.shows = false;
    peer.say(&failure(iq(&asked), "item-not-found", "cancel"));
    let asked = query(peer);
    assert!(asked.contains("<before>a0</before>"), "{asked}");
    peer.say(&failure(iq(&asked), "item-not-found", "cancel"));
    let asked = query(peer);
    assert!(asked.contains("<max>1</max></set>"), "{asked}");
    peer.say(&archived(query_id(&asked), "a1", "one"));
    peer.say(&fin(iq(&asked), false, &["a1"]));
    let asked = query(peer);
    assert!(asked.contains("<after>a1</after>"), "{asked}");
    asked
}

#[test]
fn what_shows_late_is_found_although_the_older_place_has_expired() {
    let (mut peer, _) = caught_up();
    peer.say(&message("bob", "a1", "one"));
    peer.say(&message("bob", "a2", "two"));
    drop_and_rejoin(&mut peer);
    // Said while we were away, and not shown yet.
    let asked = query(&mut peer);
    assert!(asked.contains("<after>a1</after>"), "{asked}");
    peer.say(&archived(query_id(&asked), "a2", "two"));
    peer.say(&fin(iq(&asked), true, &["a2"]));
    peer.say(&message("bob", "a4", "four"));
    peer.events();
    let asked = compares_behind_a_place_that_is_gone(&mut peer);
    peer.say(&archived(query_id(&asked), "a2", "two"));
    peer.say(&archived(query_id(&asked), "a3", "three"));
    peer.say(&archived(query_id(&asked), "a4", "four"));
    peer.say(&fin(iq(&asked), true, &["a2", "a3", "a4"]));
    let told = entries(peer.events());
    // What was late before the place that it goes on from is not to be found any more.
    let [
        Entry::Gap { after, reason },
        Entry::Late(late),
        Entry::Confirmed { at },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(after.as_ref().map(Cursor::as_str), Some("a0"));
    assert_eq!(*reason, GapReason::Unsettled);
    assert_eq!(late.body, "three");
    assert_eq!(at.as_str(), "a2");
}

/// The same where the archive had to be looked at twice, since it was late to show what was heard.
#[test]
fn what_shows_late_is_found_although_the_archive_lagged_and_the_older_place_has_expired() {
    let (mut peer, _) = caught_up();
    peer.say(&message("bob", "a1", "one"));
    peer.say(&message("bob", "a2", "two"));
    drop_and_rejoin(&mut peer);
    let asked = query(&mut peer);
    peer.say(&message("bob", "a5", "five"));
    for id in ["a2", "a4"] {
        peer.say(&archived(query_id(&asked), id, id));
    }
    peer.say(&fin(iq(&asked), true, &["a2", "a4"]));
    peer.pass(Duration::from_millis(250));
    let asked = query(&mut peer);
    assert!(asked.contains("<after>a2</after>"), "{asked}");
    for id in ["a4", "a5"] {
        peer.say(&archived(query_id(&asked), id, id));
    }
    peer.say(&fin(iq(&asked), true, &["a4", "a5"]));
    peer.events();
    // From where the catch-up began.
    let asked = compares_behind_a_place_that_is_gone(&mut peer);
    for id in ["a2", "a3", "a4", "a5"] {
        peer.say(&archived(query_id(&asked), id, id));
    }
    peer.say(&fin(iq(&asked), true, &["a2", "a5"]));
    let told = entries(peer.events());
    let late = |entry: &Entry| matches!(entry, Entry::Late(late) if late.body == "a3");
    assert!(told.iter().any(late), "{told:?}");
}

#[test]
fn what_lies_behind_a_place_that_was_retracted_is_in_its_turn() {
    let (mut peer, _) = caught_up();
    peer.say(&message("bob", "a1", "one"));
    peer.events();
    peer.pass(secs(5));
    let asked = query(&mut peer);
    peer.say(&format!(
        "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{}' id='a1'/></message>",
        query_id(&asked)
    ));
    peer.say(&archived(query_id(&asked), "a2", "two"));
    peer.say(&fin(iq(&asked), true, &["a1", "a2"]));
    let told = entries(peer.events());
    assert!(
        matches!(&told[..], [Entry::Message(m)] if m.body == "two"),
        "{told:?}"
    );
}
