//! Archives with holes, tombstones and much in them.

use crate::peer::archived;
use crate::*;

pub(super) fn tombstone(query: &str, id: &str) -> String {
    format!(
        "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{query}' id='{id}'/>\
         </message>"
    )
}

/// Twenty thousand removed messages in the answer to one question.
fn many_tombstones(peer: &mut Peer, query: &str) {
    for n in 0..20_000 {
        peer.say(&tombstone(query_id(query), &format!("t{n}")));
    }
    peer.say(&fin(iq(query), true, &["t0", "t19999"]));
}

#[test]
fn of_a_flood_of_tombstones_the_newest_is_kept_towards_the_past() {
    let (mut peer, room) = in_room();
    peer.shows = false;
    peer.engine.fetch(peer.now, room, Fetch::newest(1)).unwrap();
    let asked = query(&mut peer);
    many_tombstones(&mut peer, &asked);
    assert_eq!(peer.events(), []);
    let asked = query(&mut peer);
    assert!(asked.contains("<before>t19999</before>"), "{asked}");
    peer.say(&archived(query_id(&asked), "a1", "one"));
    peer.say(&fin(iq(&asked), false, &["a1"]));
    let (messages, ends) = fetched(peer.events());
    assert_eq!(messages[0].body, "one");
    assert!(
        matches!(&ends[..], [FetchEvent::Done { next, .. }] if next.as_str() == "t19999"),
        "{ends:?}"
    );
}

#[test]
fn of_a_flood_of_tombstones_the_oldest_are_kept_towards_the_present() {
    let (mut peer, room) = in_room();
    peer.engine.fetch(peer.now, room, everything(10)).unwrap();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 10)
        .unwrap();
    let sent = peer.heard();
    for asked in queries(&sent) {
        many_tombstones(&mut peer, asked);
    }
    assert_eq!(peer.events(), [], "there is more behind");
    let sent = peer.heard();
    let asked = queries(&sent);
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert!(asked.contains("<after>t9</after>"), "{asked}");
    }
}

#[test]
fn a_page_that_is_all_tombstones_is_passed_over() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 10)
        .unwrap();
    let asked = query(&mut peer);
    for id in ["t1", "t2"] {
        peer.say(&tombstone(query_id(&asked), id));
    }
    peer.say(&fin(iq(&asked), false, &["t1", "t2"]));
    let asked = query(&mut peer);
    assert!(asked.contains("<after>t2</after>"), "{asked}");
    nothing(&mut peer, &asked);
    assert!(matches!(
        &entries(peer.events())[..],
        [Entry::CaughtUp { at: Some(at) }] if at.as_str() == "t2"
    ));
}
