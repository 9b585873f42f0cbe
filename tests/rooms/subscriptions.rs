//! Subscriptions: what was missed, what was held, what is said.

use crate::*;

#[test]
fn a_subscription_reads_what_was_missed_then_what_was_held_then_what_is_said() {
    let (mut peer, room) = in_room();
    peer.heard();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, u32::MAX)
        .unwrap();
    let query = peer.heard();
    assert!(query.contains("<after>a0</after>"), "{query}");
    let (iq, q) = (attribute(&query, "id"), attribute(&query, "queryid"));
    // Said while the archive is read: one of them is in the page already.
    peer.say(&message("bob", "a2", "two"));
    peer.say(&message("bob", "a3", "three"));
    peer.say(&archived(q, "a1", "one"));
    peer.say(&archived(q, "a2", "two"));
    assert_eq!(entries(peer.events()), [], "not before the page is whole");
    peer.say(&fin(iq, true, &["a1", "a2"]));
    peer.say(&message("bob", "a4", "four"));
    peer.say(&message("bob", "a4", "four"));
    let entries = entries(peer.events());
    assert_eq!(bodies(&entries), ["one", "two", "three", "four"]);
    assert!(
        matches!(&entries[2], Entry::CaughtUp { at: Some(at) } if at.as_str() == "a2"),
        "{entries:?}"
    );
}

#[test]
fn after_a_break_a_subscription_goes_on_where_it_stood() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .subscribe(peer.now, room, Start::Now, u32::MAX)
        .unwrap();
    let query = peer.heard();
    assert!(
        query.contains("<before/>") && query.contains("<max>1</max>"),
        "{query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a7", "old"));
    peer.say(&fin(attribute(&query, "id"), false, &["a7"]));
    assert_eq!(
        bodies(&entries(peer.events())),
        [""; 0],
        "what was said before is not new"
    );
    cut(&mut peer);
    heal(&mut peer);
    let query = peer.heard();
    assert!(query.contains("<after>a7</after>"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a8", "missed"));
    peer.say(&fin(attribute(&query, "id"), true, &["a8"]));
    let entries = entries(peer.events());
    assert_eq!(bodies(&entries), ["missed"]);
    assert!(!entries.iter().any(|e| matches!(e, Entry::Gap { .. })));
}

#[test]
fn q09_an_expired_cursor_is_a_gap_and_a_new_beginning() {
    // The archive does not lag: what it does not show is not there.
    let mut config = config();
    config.timing.settle = Duration::ZERO;
    let (mut peer, room) = in_room_of(config);
    peer.heard();
    peer.shows = false;
    let start = Start::Cursor(Cursor::parse("gone").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, u32::MAX)
        .unwrap();
    let query = peer.heard();
    peer.say(&format!(
        "<iq type='error' id='{}' from='{ROOM}'><error type='modify'><item-not-found \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        attribute(&query, "id")
    ));
    let query = peer.heard();
    assert!(query.contains("<max>1</max></set>"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a9", "left"));
    peer.say(&fin(attribute(&query, "id"), true, &["a9"]));
    let query = peer.heard();
    assert!(!query.contains("<after"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a9", "left"));
    peer.say(&fin(attribute(&query, "id"), true, &["a9"]));
    let entries = entries(peer.events());
    assert!(
        matches!(&entries[0], Entry::Gap { after: Some(after), reason: GapReason::CursorExpired } if after.as_str() == "gone")
    );
    assert_eq!(bodies(&entries), ["left"]);
}

#[test]
fn a_reader_without_credit_gets_nothing_and_misses_nothing() {
    let (mut peer, room) = in_room();
    peer.heard();
    let start = Start::Cursor(Cursor::Beginning);
    let id = peer.engine.subscribe(peer.now, room, start, 2).unwrap();
    let query = peer.heard();
    assert!(
        query.contains("<max>2</max>"),
        "no more is asked for than can be taken: {query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&archived(attribute(&query, "queryid"), "a2", "2"));
    peer.say(&fin(attribute(&query, "id"), false, &["a1", "a2"]));
    assert_eq!(bodies(&entries(peer.events())), ["1", "2"]);
    // Far more is said than is held back.
    for n in 3..900 {
        peer.say(&message("bob", &format!("a{n}"), &n.to_string()));
    }
    assert_eq!(entries(peer.events()), []);
    assert_eq!(peer.heard(), "");
    peer.engine.grant(peer.now, id, 1000);
    let query = peer.heard();
    assert!(query.contains("<after>a1</after>"), "{query}");
    let ids: Vec<_> = (2..900).map(|n| format!("a{n}")).collect();
    let (mut query, mut seen) = (query, Vec::new());
    for page in ids.chunks(100) {
        let (q, iq) = (attribute(&query, "queryid"), attribute(&query, "id"));
        for id in page {
            peer.say(&archived(q, id, &id[1..]));
        }
        let complete = page.last() == ids.last();
        peer.say(&fin(iq, complete, &[&page[0], page.last().unwrap()]));
        seen.extend(
            bodies(&entries(peer.events()))
                .iter()
                .map(ToString::to_string),
        );
        query = peer.heard();
    }
    assert_eq!(seen, (3..900).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// [`Engine::grant`](parley_xmpp::Engine::grant): no message more than that, read or heard or held
/// back.
#[test]
fn a_reader_is_given_as_many_messages_as_it_granted() {
    let (mut peer, room) = in_room();
    let id = peer
        .engine
        .subscribe(peer.now, room, Start::Now, 1)
        .unwrap();
    let query = peer.heard();
    peer.say(&archived(attribute(&query, "queryid"), "a0", "old"));
    peer.say(&fin(attribute(&query, "id"), false, &["a0"]));
    peer.events();
    let mut said = 0;
    let mut say = |peer: &mut Peer, n: usize| {
        for _ in 0..n {
            said += 1;
            peer.say(&message("bob", &format!("a{said}"), &said.to_string()));
        }
    };
    say(&mut peer, 5);
    assert_eq!(bodies(&entries(peer.events())), ["1"]);
    peer.engine.grant(peer.now, id, 0);
    assert_eq!(entries(peer.events()), []);
    peer.engine.grant(peer.now, id, 2);
    assert_eq!(bodies(&entries(peer.events())), ["2", "3"]);
    say(&mut peer, 1);
    assert_eq!(entries(peer.events()), []);
    peer.engine.grant(peer.now, id, 4);
    assert_eq!(bodies(&entries(peer.events())), ["4", "5", "6"]);
    // One is left of these.
    say(&mut peer, 2);
    assert_eq!(bodies(&entries(peer.events())), ["7"]);
}
