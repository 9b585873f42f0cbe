//! When a room is asked whether we are in it, and how often it is believed.

use super::ping::{error, ping, ping_within, pings, refused_post, result, silence};
use crate::*;
use parley_xmpp::{Post, PostOutcome};

/// XEP-0410 v1.1.0, section 3: `item-not-found` says that "the occupant just changed their name".
/// That is believed once of each nick, and we go by another one now.
#[test]
fn that_our_nick_just_changed_is_believed_once_of_each_nick() {
    let (mut peer, _) = in_room();
    let id = ping(&mut peer);
    peer.say(&error(&id, "item-not-found"));
    peer.say(&out("<status code='303'/>").replace("<item ", "<item nick='eve' "));
    peer.say(&presence("eve", "<status code='110'/>"));
    room_events(&mut peer);
    let asked_as_eve = |peer: &mut Peer| {
        peer.pass(secs(2));
        let sent = peer.heard();
        let [request] = requests(&sent)[..] else {
            panic!("not one question: {sent}");
        };
        assert_eq!(attribute(request, "to"), format!("{ROOM}/eve"));
        error(attribute(request, "id"), "item-not-found").replace("/ada'", "/eve'")
    };
    let refused = asked_as_eve(&mut peer);
    peer.say(&refused);
    assert_eq!(peer.events(), [], "the nick is another than that of before");
    let refused = asked_as_eve(&mut peer);
    peer.say(&refused);
    assert_eq!(left(&mut peer).0, LeaveCause::Dropped);
}

/// XEP-0045 section 7.4: `not-acceptable` says that we are not in the room. There are rooms that
/// say so of what they do not like, which is why they are asked the second time; a post that was
/// taken shows that this is none of them.
#[test]
fn a_room_that_took_a_post_is_believed_again_that_we_are_out() {
    let (mut peer, room) = in_room();
    let mut out = || {
        refused_post(&mut peer, room, "not-acceptable");
        let told = room_events(&mut peer);
        let [
            RoomEvent::Left {
                cause: LeaveCause::Dropped,
                retry: Retry::At(at),
            },
        ] = told[..]
        else {
            panic!("{told:?}");
        };
        peer.pass(at.since(peer.now));
        peer.let_in("ada", ROOM_FEATURES);
        // What was refused is sent again, and comes through.
        let sent = peer.heard();
        let post = &sent[sent.find("<message ").expect(&sent)..];
        peer.say(&format!(
            "<message from='{ROOM}/ada' type='groupchat' id='{}'><body>hi</body></message>",
            attribute(post, "id")
        ));
        let events = peer.events();
        assert!(
            matches!(
                events[..],
                [
                    ..,
                    Event::Post {
                        outcome: PostOutcome::Committed { .. },
                        ..
                    }
                ]
            ),
            "{events:?}"
        );
    };
    out();
    out();
}

/// `Limits::write_bytes`: where a transport takes nothing, no more is written by ourselves.
#[test]
fn nobody_is_asked_while_nothing_that_is_written_leaves() {
    let mut config = config();
    config.limits.write_bytes = 1000;
    config.timing.write = Duration::MAX;
    let (mut peer, room) = in_room_of(config);
    // More than that, and not so much that nothing is read any more.
    let large = Post::new(&"x".repeat(1200)).within(secs(1_000_000));
    peer.engine.post(peer.now, room, large).unwrap();
    peer.reads = false;
    let waits = peer.engine.wants().write.len();
    assert!(waits > 1000);
    let (least, more) = silence();
    peer.pass((least + more) * 3);
    assert_eq!(peer.engine.wants().write.len(), waits);
    // Once it does, the silence is looked into.
    peer.reads = true;
    assert_eq!(pings(&peer.heard()), [""; 0]);
    let id = ping_within(&mut peer, secs(40));
    peer.say(&result(&id));
    assert_eq!(room_events(&mut peer), []);
}

/// A transport that takes nothing for a while: a post that is not heard is no reason to ask then,
/// but the silence of the room is, and so is a post that is refused.
#[test]
fn a_room_is_asked_although_a_post_still_waits_for_the_transport() {
    let stuck = || {
        let mut config = config();
        config.timing.write = Duration::MAX;
        let (mut peer, room) = in_room_of(config);
        let post = |body: &str| Post::new(body).within(secs(1_000_000));
        peer.engine.post(peer.now, room, post("taken")).unwrap();
        let taken = peer.heard();
        peer.engine.post(peer.now, room, post("stuck")).unwrap();
        peer.reads = false;
        (peer, attribute(&taken, "id").to_owned())
    };
    let asks = |peer: &mut Peer| {
        let waiting = core::str::from_utf8(peer.engine.wants().write).unwrap();
        waiting.contains("<ping xmlns='urn:xmpp:ping'/>")
    };
    let (least, more) = silence();
    let (mut peer, _) = stuck();
    peer.pass(least / 2);
    assert!(!asks(&mut peer), "it may not have left yet");
    peer.pass(least / 2 + more);
    assert!(asks(&mut peer), "the room is silent");

    let (mut peer, taken) = stuck();
    peer.pass(least / 4);
    assert!(!asks(&mut peer));
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{taken}'><error type='cancel'>\
         <item-not-found xmlns='{STANZAS}'/></error></message>"
    ));
    peer.pass(secs(2));
    assert!(asks(&mut peer), "a post was refused");
}
