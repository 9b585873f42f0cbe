//! Rooms that have no archive, and then have one: what was missed before lies in none.

use crate::peer::message;
use crate::*;
use parley_xmpp::{Cursor, GapReason, Start};

const CHANGED: &str = "<message from='ops@muc.parley.local' type='groupchat'>\
     <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>";

/// In a room without an archive, which is followed from a place that it had once; what was told
/// until now was taken.
fn following(credit: u32) -> Peer {
    let mut peer = Peer::online(config());
    let room = peer.join("");
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, credit)
        .unwrap();
    let told = entries(peer.events());
    assert_eq!(gaps(&told), [GapReason::NoArchive]);
    peer.heard();
    peer
}

fn gaps(told: &[Entry]) -> Vec<GapReason> {
    let reason = |entry: &Entry| match entry {
        Entry::Gap { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    told.iter().filter_map(reason).collect()
}

/// The room says that it has an archive now.
fn begins_an_archive(peer: &mut Peer) {
    peer.say(CHANGED);
    let written = peer.heard();
    let question = iq(requests(&written)[0]).to_owned();
    peer.say(&features(&question, ROOM_FEATURES));
}

/// We are put out of the room, and let in again; it has an archive.
fn comes_again(peer: &mut Peer) -> Vec<Entry> {
    peer.say(&dropped());
    knock_again(peer);
    peer.let_in("ada", ROOM_FEATURES);
    entries(peer.events())
}

/// What is held back for a reader that takes nothing is in no archive, whatever the room has then.
#[test]
fn what_is_held_back_when_a_room_begins_an_archive_is_not_lost_without_a_word() {
    for held in [true, false] {
        let mut peer = following(0);
        if held {
            peer.say(&message("bob", "b1", "held"));
        }
        begins_an_archive(&mut peer);
        let told = entries(peer.events());
        let expected = [GapReason::NoArchive];
        assert_eq!(gaps(&told), &expected[..usize::from(held)], "{told:?}");
    }
}

/// Nor does the archive that a room has when we come again show what was said while we were away,
/// for nobody knows since when it has that.
#[test]
fn who_comes_again_to_a_room_that_has_an_archive_by_then_is_told_of_the_hole() {
    let mut peer = following(9);
    let told = comes_again(&mut peer);
    assert_eq!(gaps(&told), [GapReason::NoArchive], "{told:?}");
    let asked = query(&mut peer);
    assert!(asked.contains("<after>a0</after>"), "{asked}");
    peer.say(&peer::archived(query_id(&asked), "a1", "since"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    assert_eq!(bodies(&entries(peer.events())), ["since"]);
    // It is told once.
    assert_eq!(gaps(&comes_again(&mut peer)), []);
}
