//! What hosts are told: rules S1 to S8, S10, S12 and S13.

use super::*;
use crate::sim::oracle::host::Host;

#[test]
fn what_is_right_is_left_alone() {
    let mut hand = from_beginning();
    for (id, body) in SAID {
        hand.give(id, body);
    }
    let at = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), [""; 0]);
}

#[test]
fn s1_what_nobody_said() {
    let mut hand = from_beginning();
    hand.give("a", "another");
    assert_eq!(hand.rules(), ["S1"]);
}

#[test]
fn s2_twice() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give("a", "one");
    assert_eq!(hand.rules(), ["S2"]);
}

#[test]
fn s3_and_s5_out_of_order() {
    let mut hand = from_beginning();
    hand.give("b", "two");
    hand.give("a", "one");
    assert_eq!(hand.rules(), ["S5", "S3"]);
}

#[test]
fn s4_a_hole_and_what_excuses_it() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give("c", "three");
    assert_eq!(hand.rules(), ["S4"]);

    let mut hand = from_beginning();
    hand.give("a", "one");
    // A page may change, so that a gap may be told.
    hand.see(&Happening::Noted(&Note::Unstable {
        room: "red@muc.x".into(),
    }));
    hand.entry(Entry::Gap {
        after: None,
        reason: crate::GapReason::Unsettled,
    });
    hand.give("c", "three");
    assert_eq!(hand.rules(), [""; 0]);

    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.see(&Happening::Noted(&Note::Unarchived {
        room: "red@muc.x".into(),
        archive_id: "b".into(),
        tombstone: false,
    }));
    hand.give("c", "three");
    assert_eq!(hand.rules(), [""; 0]);
}

#[test]
fn s5_a_cursor_that_lies_behind_what_was_not_given() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    let at = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), ["S4"]);

    let mut hand = from_beginning();
    for (id, body) in SAID {
        hand.give(id, body);
    }
    let at = ArchiveId::new("a").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), ["S5"]);
}

#[test]
fn s5_a_cursor_that_the_archive_let_go_of() {
    let fetch = Fetch::since(ArchiveId::new("a").map(Cursor::After).unwrap(), 9);
    let id = QueryId(7);
    let done = FetchEvent::Done {
        next: ArchiveId::new("c").map(Cursor::After).unwrap(),
        complete: true,
        stable: true,
    };
    let expired = || FetchEvent::Failed(RequestError::CursorExpired { oldest: None });
    let rules = |tombstone, event| {
        let mut hand = from_beginning();
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "a".into(),
            tombstone,
        }));
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "b".into(),
            tombstone: false,
        }));
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "c".into(),
            tombstone: true,
        }));
        hand.ask(Request::Fetch(ROOM, &fetch, id));
        hand.tell(&Event::Fetch { id, event });
        hand.rules()
    };
    assert_eq!(rules(false, done.clone()), ["S5"]);
    assert_eq!(rules(true, done), [""; 0]);
    assert_eq!(rules(false, expired()), [""; 0]);
    assert_eq!(rules(true, expired()), ["S5"]);

    // The same of a subscription, unless it says so.
    for told in [false, true] {
        let mut hand = from_beginning();
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "a".into(),
            tombstone: false,
        }));
        let cursor = ArchiveId::new("a").map(Cursor::After);
        let start = Start::Cursor(cursor.clone().unwrap());
        hand.ask(Request::Subscribe(ROOM, &start, FOLLOW));
        if told {
            hand.entry(Entry::Gap {
                after: cursor,
                reason: crate::GapReason::CursorExpired,
            });
        }
        hand.give("b", "two");
        assert_eq!(hand.rules(), ["S5"][usize::from(told)..]);
    }
}

#[test]
fn s5_a_fetch_expires_only_with_a_place() {
    let expired = || FetchEvent::Failed(RequestError::CursorExpired { oldest: None });
    let id = QueryId(7);
    let let_go = |hand: &mut Hand| {
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "a".into(),
            tombstone: false,
        }));
    };
    // From an end of the archive there is none, whatever that let go of.
    for fetch in [Fetch::newest(9), Fetch::since(Cursor::Beginning, 9)] {
        let mut hand = from_beginning();
        let_go(&mut hand);
        hand.ask(Request::Fetch(ROOM, &fetch, id));
        let event = expired();
        hand.tell(&Event::Fetch { id, event });
        assert_eq!(hand.rules(), ["S5"]);
    }
    // Behind a page it is what that ended with, which may go until the next.
    for (goes, broken) in [(true, &[][..]), (false, &["S5"])] {
        let mut hand = from_beginning();
        let fetch = Fetch::since(Cursor::Beginning, 9);
        hand.ask(Request::Fetch(ROOM, &fetch, id));
        let event = FetchEvent::Page(Vec::from([*Hand::message("a", "one")]));
        hand.tell(&Event::Fetch { id, event });
        if goes {
            let_go(&mut hand);
        }
        let event = expired();
        hand.tell(&Event::Fetch { id, event });
        assert_eq!(hand.rules(), broken);
    }
}

#[test]
fn s6_and_s7_posts() {
    let committed = |id| PostOutcome::Committed {
        id: ArchiveId::new(id),
        via: Via::Reflection,
    };
    let outcome = |outcome| Event::Post {
        id: PostId(1000),
        outcome,
    };
    let mut hand = from_beginning();
    hand.accept("d", "one");
    assert_eq!(hand.rules(), ["S6"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(committed("a")));
    hand.tell(&outcome(committed("a")));
    assert_eq!(hand.rules(), ["S8"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(committed("b")));
    assert_eq!(hand.rules(), ["S7"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(PostOutcome::NotSent(crate::NotSent::Offline)));
    assert_eq!(hand.rules(), ["S7"]);
}

#[test]
fn s8_offline_twice() {
    let mut hand = from_beginning();
    let offline = Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(Instant::ZERO),
    };
    hand.see(&Happening::Opening {
        link: LinkId(0),
        host: HOST,
    });
    hand.tell(&offline);
    hand.tell(&offline);
    assert_eq!(hand.rules(), ["S8"]);
}

/// What was said before the host came in, of which the archive shows the second only
/// after that; then something is said that it hears.
fn lagging() -> Hand {
    lagging_in(Hand::following(Start::Cursor(Cursor::Beginning)))
}

fn lagging_in(mut hand: Hand) -> Hand {
    hand.online("ana@x/h0");
    for (number, (_, body)) in (0..).zip(SAID) {
        hand.ask(Request::Post(ROOM, &Post::new(body), PostId(number)));
    }
    hand.accept("a", "one");
    hand.accept_only("b", "two");
    hand.enter("ana@x/h0");
    hand.give("a", "one");
    hand.entry(Entry::CaughtUp {
        at: ArchiveId::new("a").map(Cursor::After),
    });
    hand.accept_only("c", "three");
    hand.give("c", "three");
    hand.show("b");
    hand.show("c");
    hand
}

#[test]
fn s4_what_the_archive_showed_too_late_comes_late() {
    let mut hand = lagging();
    hand.give_late("b", "two");
    assert_eq!(hand.rules(), [""; 0]);
    // Without being said to be late, it is out of order.
    let mut hand = lagging();
    hand.give("b", "two");
    assert_eq!(hand.rules(), ["S3"]);
    // Not at all, although it stood at the end for long enough to find it.
    let mut hand = lagging();
    hand.at = hand.at.plus(Duration::from_secs(61));
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::Never,
    });
    let rules = hand.rules();
    assert!(rules.contains(&"S4"), "{rules:?}");
}

#[test]
fn s3_what_the_archive_let_go_of_has_no_place_behind_a_gap() {
    for (tells, lets_go) in [(true, true), (true, false), (false, true)] {
        let mut hand = lagging();
        let let_go = |hand: &mut Hand, id: &str| {
            hand.see(&Happening::Noted(&Note::Unarchived {
                room: "red@muc.x".into(),
                archive_id: id.into(),
                tombstone: false,
            }));
        };
        let_go(&mut hand, if lets_go { "b" } else { "a" });
        if tells {
            hand.entry(Entry::Gap {
                after: ArchiveId::new("c").map(Cursor::After),
                reason: crate::GapReason::Unsettled,
            });
        }
        hand.give("b", "two");
        let broken = if tells && lets_go { &[][..] } else { &["S3"] };
        assert_eq!(hand.rules(), broken, "{tells} {lets_go}");
    }
}

#[test]
fn s4_an_archive_that_is_back_is_to_be_compared_with() {
    for back in [false, true] {
        let mut hand = Hand::following(Start::Cursor(Cursor::Beginning));
        let archives = |there| Fault::Server(Operation::Archives(there));
        hand.see(&Happening::Fault(&archives(false)));
        if back {
            hand.see(&Happening::Fault(&archives(true)));
        }
        let mut hand = lagging_in(hand);
        hand.at = hand.at.plus(Duration::from_secs(61));
        hand.tell(&Event::Offline {
            cause: OfflineCause::PeerClosed,
            retry: Retry::Never,
        });
        assert_eq!(hand.rules().contains(&"S4"), back);
    }
}

#[test]
fn s4_only_who_could_not_see_it_may_be_late() {
    // Another came in too late to see it, and that is no excuse for this one.
    let mut hand = from_beginning();
    hand.online("ana@x/h0");
    hand.enter("ana@x/h0");
    hand.accept_only("d", "four");
    hand.enter("bo@x/h1");
    for (id, body) in SAID {
        hand.give(id, body);
    }
    hand.accept_only("e", "five");
    hand.give("e", "five");
    let rules = hand.rules();
    assert_eq!(rules, ["S6", "S6", "S4"]);
}

#[test]
fn s3_said_to_be_late_before_its_turn() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give_late("b", "two");
    assert_eq!(hand.rules(), ["S3"]);
}

#[test]
fn s10_a_login_without_a_valid_signature() {
    let account = "ana".to_string();
    let connection = ConnectionId(1);
    let mut hand = from_beginning();
    hand.open(0);
    let (link, by) = (LinkId(0), Side::Server);
    let bytes = b"<auth/>";
    hand.see(&Happening::Read { link, by, bytes });
    let note = Note::FalseProof {
        connection,
        account: account.clone(),
    };
    hand.oracle.see(hand.at, &Happening::Noted(&note));
    hand.online("ana@x/h0");
    assert_eq!(hand.rules(), ["S10"]);
    // The next link is another matter.
    let mut hand = from_beginning();
    hand.see(&Happening::Noted(&Note::FalseProof {
        connection,
        account: account.clone(),
    }));
    hand.open(0);
    hand.online("ana@x/h0");
    assert_eq!(hand.rules(), [""; 0]);
    // So is one that was given up, over which the server is slow to read.
    let mut hand = from_beginning();
    hand.open(0);
    hand.open(1);
    hand.see(&Happening::Read { link, by, bytes });
    hand.oracle.see(hand.at, &Happening::Noted(&note));
    hand.online("ana@x/h0");
    assert_eq!(hand.rules(), [""; 0]);
    let mut hand = from_beginning();
    hand.see(&Happening::Noted(&Note::Trusted {
        connection,
        account,
    }));
    assert_eq!(hand.rules(), ["S10"]);
}

#[test]
fn s12_a_lie_is_told() {
    let mut hand = from_beginning();
    hand.tell(&Event::Room {
        room: ROOM,
        event: crate::RoomEvent::Subject {
            text: "forged:7".into(),
            by: None,
        },
    });
    assert_eq!(hand.rules(), ["S12"]);
}

#[test]
fn s13_more_than_anything_needs_is_held() {
    let held = |bytes, most| {
        let mut hand = from_beginning();
        let host = HOST;
        let reads = true;
        hand.see(&Happening::Held {
            host,
            bytes,
            most,
            reads,
        });
        hand.rules()
    };
    assert_eq!(held(1000, 1000), [""; 0]);
    assert_eq!(held(1001, 1000), ["S13"]);
    assert_eq!(held(1 << 30, u64::MAX), ["S13"]);
}

#[test]
fn s13_too_much_at_one_instant() {
    let rules = |works: &dyn Fn(&mut Host, &mut Found)| {
        let (mut host, mut found) = (Host::default(), Found::default());
        works(&mut host, &mut found);
        found
            .violations
            .iter()
            .map(|(_, v)| v.rule)
            .collect::<Vec<_>>()
    };
    let told = |times: u32, apart: u64| {
        rules(&|host, found| {
            for _ in 0..times {
                found.now = found.now.plus(Duration::from_millis(apart));
                host.works(1, 0, found);
            }
        })
    };
    assert_eq!(told(TOLD_AT_ONCE - 1, 0), [""; 0]);
    assert_eq!(told(TOLD_AT_ONCE * 2, 0), ["S13"]);
    assert_eq!(told(TOLD_AT_ONCE * 2, 1), [""; 0]);
    let wrote = |times: u32| {
        rules(&|host, found| {
            for _ in 0..times {
                host.works(0, BYTES_AT_ONCE / 4, found);
            }
        })
    };
    assert_eq!(wrote(4), [""; 0]);
    assert_eq!(wrote(9), ["S13"]);
}
