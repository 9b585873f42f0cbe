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

#[test]
fn all_is_given_out_to_who_wants_it() {
    let mut config = config();
    config.drop_repeats = false;
    let mut peer = follow(config);
    peer.say(&said("bob", "a1", "x"));
    peer.say(&said("bob", "a2", "x"));
    assert_eq!(delivered(&mut peer), ["a1", "a2"]);
}
