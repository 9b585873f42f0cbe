//! What its sender had to send again, readers get once.

use crate::*;
use parley_xmpp::{Entry, Start};

fn said(nick: &str, at: &str, origin: &str) -> String {
    peer::message(nick, at, "hi").replace(
        "</body>",
        &format!("</body><origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>"),
    )
}

fn delivered(peer: &mut Peer) -> Vec<String> {
    let message = |event| match event {
        Event::Entry {
            entry: Entry::Message(message),
            ..
        } => Some(message.id.unwrap().to_string()),
        _ => None,
    };
    peer.events().into_iter().filter_map(message).collect()
}

fn follow(config: Config) -> Peer {
    let (mut peer, room) = in_room_of(config);
    peer.engine
        .subscribe(peer.now, room, Start::Now, 99)
        .unwrap();
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    peer.events();
    peer
}

/// dino/dino#194, monal-im/Monal#707: an id of the sender's choice alone drops nobody's message.
#[test]
fn the_same_id_of_the_same_occupant_is_given_out_once() {
    let mut peer = follow(config());
    peer.say(&said("bob", "a1", "x"));
    peer.say(&said("bob", "a2", "x"));
    peer.say(&said("mallory", "a3", "x"));
    peer.say(&said("bob", "a4", "y"));
    peer.say(&peer::message("bob", "a5", "hi"));
    assert_eq!(delivered(&mut peer), ["a1", "a3", "a4", "a5"]);
}

/// dino/dino#194, monal-im/Monal#707: nor does every program draw its ids anew.
#[test]
fn another_text_under_the_same_id_is_another_message() {
    let mut peer = follow(config());
    let said =
        |at, text: &str| said("bob", at, "x").replace("<body>hi<", &format!("<body>{text}<"));
    for (at, text) in [("a1", "one"), ("a2", "two"), ("a3", "one")] {
        peer.say(&said(at, text));
    }
    assert_eq!(delivered(&mut peer), ["a1", "a2"]);
}

#[test]
fn all_is_given_out_to_who_wants_it() {
    let mut config = config();
    config.drop_repeats = false;
    let mut peer = follow(config);
    peer.say(&said("bob", "a1", "x"));
    peer.say(&said("bob", "a2", "x"));
    assert_eq!(delivered(&mut peer), ["a1", "a2"]);
}

/// Every message, whether in its turn or late.
fn given(peer: &mut Peer) -> Vec<String> {
    let given = |event| match event {
        Event::Entry {
            entry: Entry::Message(message),
            ..
        } => Some(message.id.unwrap().to_string()),
        Event::Entry {
            entry: Entry::Late(message),
            ..
        } => Some(format!("late {}", message.id.unwrap())),
        _ => None,
    };
    peer.events().into_iter().filter_map(given).collect()
}

/// The same, out of the archive.
fn kept(query: &str, at: &str, origin: &str) -> String {
    peer::archived(query, at, "hi").replace(
        "</body>",
        &format!("</body><origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>"),
    )
}

/// The archive answers the next query with these messages, of which some are marked.
fn shows(peer: &mut Peer, messages: &[(&str, &str)]) {
    let asked = asked(peer);
    for (at, origin) in messages {
        peer.say(&kept(attribute(&asked, "queryid"), at, origin));
    }
    let ids: Vec<_> = messages.iter().map(|(at, _)| *at).collect();
    peer.say(&fin(attribute(&asked, "id"), true, &ids));
}

/// The room dropped the first copy on its way to us, and the author sent another.
#[test]
fn what_the_archive_was_late_to_show_is_not_given_out_beside_its_repetition() {
    let mut peer = follow(config());
    peer.say(&said("bob", "a0", "w"));
    peer.say(&said("bob", "a2", "x"));
    assert_eq!(given(&mut peer), ["a0", "a2"]);
    peer.pass(secs(5));
    shows(&mut peer, &[("a0", "w"), ("a1", "x"), ("a2", "x")]);
    assert_eq!(given(&mut peer), [""; 0]);
}

#[test]
fn what_was_given_out_late_is_not_given_out_again_when_it_is_repeated() {
    let mut peer = follow(config());
    peer.say(&said("bob", "a0", "w"));
    peer.say(&said("bob", "a2", "y"));
    peer.pass(secs(5));
    shows(&mut peer, &[("a0", "w"), ("a1", "x"), ("a2", "y")]);
    assert_eq!(given(&mut peer), ["a0", "a2", "late a1"]);
    peer.say(&said("bob", "a3", "x"));
    assert_eq!(given(&mut peer), [""; 0]);
    peer.say(&said("bob", "a4", "z"));
    assert_eq!(given(&mut peer), ["a4"]);
}

#[test]
fn a_page_gives_out_one_of_the_copies() {
    let (mut peer, room) = in_room_of(config());
    let start = Start::Cursor(parley_xmpp::Cursor::After(ArchiveId::new("a0").unwrap()));
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    shows(&mut peer, &[("a1", "x"), ("a2", "x"), ("a3", "y")]);
    assert_eq!(given(&mut peer), ["a1", "a3"]);
}
