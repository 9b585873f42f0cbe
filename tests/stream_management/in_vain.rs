//! Servers that end each stream that asks to go on with the session, in place of an answer.

use crate::*;
use parley_xmpp::{JoinRoom, Nick, jid::BareJid};

/// The server dies of it, says so, or the network breaks each time: how it ends is no difference.
fn endings() -> [fn(&mut Peer); 5] {
    const FAILS: &str = "<stream:error><internal-server-error \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    [
        |peer| peer.engine.handle_eof(peer.now),
        cut,
        |peer| peer.say("</stream:stream>"),
        |peer| assert!(peer.engine.handle_input(peer.now, FAILS.as_bytes()) > 0),
        |peer| {
            peer.say(FAILS);
            peer.engine.handle_eof(peer.now);
        },
    ]
}

/// So often the server is asked to resume before another session is begun, of at most so often.
fn asked_to_resume(peer: &mut Peer, end: fn(&mut Peer), most: u32) -> u32 {
    for n in 0..most {
        let asked = return_to(peer, BIND_SM);
        if !asked.starts_with("<resume ") {
            assert!(asked.contains("<bind "), "{asked}");
            return n;
        }
        peer.heard();
        end(peer);
    }
    most
}

/// A new session is begun in the end, and what was posted looked for.
#[test]
fn a_server_that_ends_the_stream_when_asked_to_resume_is_not_asked_for_ever() {
    for end in endings() {
        let (mut peer, room) = in_room();
        post(&mut peer, room, "hi");
        cut(&mut peer);
        assert_eq!(asked_to_resume(&mut peer, end, 100), 5);
        let asked = peer.heard();
        peer.say(&format!(
            "<iq type='result' id='{}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/here</jid></bind></iq>",
            attribute(&asked, "id")
        ));
        peer.let_in("ada", ROOM_FEATURES);
        let written = peer.heard();
        assert!(written.contains("urn:xmpp:mam:2"), "{written}");
        assert_eq!(outcomes(&peer.events()), [], "it is looked for");
    }
}

/// Only ends in a row count.
#[test]
fn a_server_that_resumed_meanwhile_is_asked_as_often_again() {
    let (mut peer, _) = in_room();
    cut(&mut peer);
    for end in endings() {
        assert_eq!(asked_to_resume(&mut peer, end, 4), 4);
        ask_to_resume(&mut peer, 2);
        peer.say(&resumed(3));
        peer.events();
        peer.heard();
        cut(&mut peer);
    }
}

/// The stream breaks before the archive has said where it ends, and is resumed after the time for
/// which a post waits for that: nobody could answer meanwhile.
#[test]
fn a_post_that_waits_for_a_place_waits_over_a_resumption() {
    let mut peer = online_with(peer::config(), ENABLED);
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let sent = peer.heard();
    let disco = attribute(sent.rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&peer::presence("ada", "<status code='110'/>"));
    peer.say(&format!(
        "<iq type='result' id='{disco}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    ));
    peer.events();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    assert!(!peer.heard().contains("<body>hi"));
    cut(&mut peer);
    peer.pass(secs(6));
    let asked = return_to(&mut peer, BIND_SM);
    assert!(asked.starts_with("<resume "), "{asked}");
    peer.heard();
    peer.say(&resumed(4));
    assert!(!peer.heard().contains("<body>hi"), "without a place");
    peer.pass(secs(5));
    assert!(peer.heard().contains("<body>hi"));
}
