//! What a room says before it said what its ids are worth.

use crate::peer::{archived, message};
use crate::*;

const NO_ARCHIVE: &str = "<feature var='http://jabber.org/protocol/muc'/>";

/// Let in by a room that says these before it says that it has `features`; who follows it from the
/// beginning is held back two at most.
fn said_early(said: &[String], features_of_it: &str) -> Peer {
    let mut config = config();
    config.anchor_at_join = false;
    config.limits.held_messages = 2;
    let mut peer = Peer::online(config);
    let room = peer.engine.join(peer.now, ada()).unwrap();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let written = peer.heard();
    let asked = requests(&written)
        .into_iter()
        .find(|request| request.contains("disco#info"));
    peer.say(&presence("ada", "<status code='110'/>"));
    for text in said {
        peer.say(text);
    }
    peer.say(&features(iq(asked.unwrap()), features_of_it));
    peer
}

fn said(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| message("bob", id, id)).collect()
}

/// One that no archive has.
fn unplaced(body: &str) -> String {
    format!("<message type='groupchat' from='{ROOM}/bob'><body>{body}</body></message>")
}

/// What was told, the archive having these.
fn told(peer: &mut Peer, has: &[&str]) -> Vec<String> {
    for _ in 0..9 {
        let written = peer.heard();
        for asked in queries(&written) {
            let after = asked.split("<after>").nth(1);
            let after = after.map(|rest| rest.split('<').next().unwrap());
            let from = has.iter().position(|id| Some(*id) == after);
            let page = &has[from.map_or(0, |at| at + 1)..];
            for id in page {
                peer.say(&archived(query_id(asked), id, id));
            }
            peer.say(&fin(iq(asked), true, page));
        }
    }
    let told = entries(peer.events()).into_iter();
    told.map(super::memory::words).collect()
}

#[test]
fn without_an_archive_it_is_told_as_it_was_said() {
    let mut peer = said_early(&said(&["a1", "a2"]), NO_ARCHIVE);
    let told = told(&mut peer, &[]);
    let told: Vec<_> = told.iter().filter(|told| told.starts_with('a')).collect();
    assert_eq!(told, ["a1", "a2"]);
}

#[test]
fn without_an_archive_what_is_too_much_is_a_gap() {
    let mut peer = said_early(&said(&["a1", "a2", "a3"]), NO_ARCHIVE);
    let told = told(&mut peer, &[]);
    assert!(told.contains(&"gap Overflow".to_owned()), "{told:?}");
    assert!(told.contains(&"a1".to_owned()), "{told:?}");
}

#[test]
fn what_is_too_much_is_read_from_the_archive() {
    let ids = ["a1", "a2", "a3", "a4"];
    let mut peer = said_early(&said(&ids), ROOM_FEATURES);
    let told = told(&mut peer, &ids);
    assert_eq!(told, ["a1", "a2", "a3", "a4", "caught up"]);
}

/// Whether it was kept or not: it is not in the archive, and the rest is read from there.
#[test]
fn what_has_no_place_among_what_is_too_much_is_a_gap() {
    for at in [0, 3] {
        let mut all = said(&["a1", "a2", "a3"]);
        all.insert(at, unplaced("none"));
        let mut peer = said_early(&all, ROOM_FEATURES);
        let told = told(&mut peer, &["a1", "a2", "a3"]);
        let gaps = told.iter().filter(|told| *told == "gap Overflow").count();
        assert_eq!(gaps, 1, "{at}: {told:?}");
        let told: Vec<_> = told.iter().filter(|told| told.starts_with('a')).collect();
        assert_eq!(told, ["a1", "a2", "a3"], "{at}");
    }
}
