//! What is asked of the engine while a broken stream waits to be resumed, and what
//! becomes of what was under way.

use crate::*;
use parley_xmpp::jid::{BareJid, Jid};
use parley_xmpp::{
    Cursor, Fetch, FetchEvent, JoinRoom, Nick, NotSent, QueryError, RequestError, Start,
};

/// The stream breaks, and a hundred seconds pass.
fn broken() -> (Peer, RoomId) {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    peer.pass(secs(100));
    peer.events();
    (peer, room)
}

fn go_on(peer: &mut Peer) -> String {
    ask_to_resume(peer, 2);
    peer.say(&resumed(3));
    peer.events();
    peer.heard()
}

#[test]
fn a_post_in_flight_keeps_its_deadline() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "in flight");
    cut(&mut peer);
    let never = peer
        .engine
        .post(peer.now, room, Post::new("waits"))
        .unwrap();
    peer.pass(secs(60));
    let outcomes = outcomes(&peer.events());
    assert!(
        matches!(
            &outcomes[..],
            [(a, PostOutcome::Unknown { .. }), (b, PostOutcome::NotSent(NotSent::Deadline))]
            if *a == id && *b == never
        ),
        "{outcomes:?}"
    );
}

#[test]
fn a_room_joined_meanwhile_is_entered_then() {
    let (mut peer, _) = broken();
    let other = BareJid::parse("dev@muc.parley.local").unwrap();
    let join = JoinRoom::new(other, Nick::Chosen("ada".into()));
    peer.engine.join(peer.now, join).unwrap();
    peer.pass(secs(100));
    assert_eq!(room_events(&peer.events()), []);
    let written = go_on(&mut peer);
    assert!(
        written.contains("<presence to='dev@muc.parley.local/ada'"),
        "{written}"
    );
    assert!(!written.contains("ops@muc"), "{written}");
}

#[test]
fn a_room_left_meanwhile_is_told_then() {
    let (mut peer, room) = broken();
    peer.engine.leave(peer.now, room);
    assert!(matches!(
        room_events(&peer.events())[..],
        [RoomEvent::Left { .. }]
    ));
    // And joined again: after it has said that we are out.
    let ops = BareJid::parse(ROOM).unwrap();
    peer.engine
        .join(peer.now, JoinRoom::new(ops, Nick::Chosen("ada".into())))
        .unwrap();
    peer.pass(secs(100));
    let written = go_on(&mut peer);
    assert_eq!(
        written,
        format!("<presence to='ops@muc.parley.local/ada' id='leave' type='unavailable'/>{ASK}")
    );
    let out = peer::presence("ada", "<status code='110'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    assert!(
        peer.heard()
            .contains("<presence to='ops@muc.parley.local/ada' id=")
    );
    peer.say(&ack(6));
    assert_eq!(causes(&peer.events()), []);
}

/// A room that we told that we go, since it did not let us in in time, and that hears all of it
/// only when the stream is resumed: it answers from then on.
#[test]
fn the_farewell_of_an_attempt_given_up_before_is_no_removal_after() {
    let mut config = config();
    config.timing.keepalive = secs(1_000_000);
    let (mut peer, _) = in_room_of(config, ENABLED);
    let status = |status: &str| peer::presence("ada", &format!("<status code='110'/>{status}"));
    let gone = |told: &str| told.replace("<presence ", "<presence type='unavailable' ");
    peer.say(&gone(&status("<status code='333'/>")));
    peer.pass(secs(35));
    let written = peer.heard();
    let (first, rest) = written.split_once("id='leave'").expect("a farewell");
    assert!(first.contains("protocol/muc'") && rest.contains("protocol/muc'"));
    cut(&mut peer);
    peer.pass(secs(100));
    peer.events();
    ask_to_resume(&mut peer, 3);
    peer.say(&resumed(3));
    peer.events();
    let again = peer.heard();
    peer.say(&status(""));
    for request in again.split("<iq ").skip(1) {
        let id = attribute(&format!(" {request}"), "id").to_owned();
        peer.say(&format!(
            "<iq type='result' id='{id}' from='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
        ));
    }
    let joined = room_events(&peer.events());
    assert!(matches!(joined[..], [RoomEvent::Joined(_)]), "{joined:?}");
    peer.say(&gone(&status("")));
    peer.say(&status(""));
    assert_eq!(room_events(&peer.events()), []);
}

#[test]
fn a_subscription_made_meanwhile_begins_then() {
    let (mut peer, room) = broken();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    peer.pass(secs(100));
    assert_eq!(
        peer.events()
            .iter()
            .filter(|e| matches!(e, Event::Entry { .. }))
            .count(),
        0
    );
    assert!(go_on(&mut peer).contains("urn:xmpp:mam:2"));
}

#[test]
fn a_fetch_made_meanwhile_begins_then_or_ends_in_time() {
    let fetch = || Fetch::since(Cursor::Beginning, 5);
    let (mut peer, room) = broken();
    peer.engine.fetch(peer.now, room, fetch()).unwrap();
    assert!(go_on(&mut peer).contains("urn:xmpp:mam:2"));
    let (mut peer, room) = broken();
    let id = peer.engine.fetch(peer.now, room, fetch()).unwrap();
    peer.pass(secs(60));
    let failed = Event::Fetch {
        id,
        event: FetchEvent::Failed(RequestError::TimedOut),
    };
    assert!(peer.events().contains(&failed));
}

#[test]
fn what_was_asked_before_ends_in_time_as_well() {
    let (mut peer, room) = in_room();
    let fetch = Fetch::since(Cursor::Beginning, 5);
    let fetch = peer.engine.fetch(peer.now, room, fetch).unwrap();
    let server = Jid::parse("parley.local").unwrap();
    let disco = peer.engine.disco_info(peer.now, &server).unwrap();
    peer.heard();
    cut(&mut peer);
    assert_eq!(
        peer.engine.disco_info(peer.now, &server),
        Err(QueryError::Offline)
    );
    peer.pass(secs(59));
    assert!(
        !peer
            .events()
            .iter()
            .any(|e| matches!(e, Event::Fetch { .. } | Event::Disco { .. }))
    );
    peer.pass(secs(1));
    let events = peer.events();
    let timed_out = RequestError::TimedOut;
    let failed = FetchEvent::Failed(timed_out.clone());
    assert!(events.contains(&Event::Fetch {
        id: fetch,
        event: failed
    }));
    assert!(events.contains(&Event::Disco {
        id: disco,
        result: Err(timed_out)
    }));
    // What comes of it nevertheless is nothing to anybody.
    go_on(&mut peer);
    assert_eq!(peer.events(), []);
}

#[test]
fn the_time_of_a_request_stands_still() {
    let (mut peer, _) = in_room();
    let server = Jid::parse("parley.local").unwrap();
    let disco = peer.engine.disco_info(peer.now, &server).unwrap();
    let asked = peer.heard();
    peer.pass(secs(10));
    cut(&mut peer);
    peer.pass(secs(40));
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(4));
    peer.events();
    peer.heard();
    peer.pass(secs(12));
    peer.say(&format!(
        "<iq type='result' id='{}' from='parley.local'><query \
         xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        attribute(&asked, "id")
    ));
    let events = peer.events();
    assert!(
        matches!(&events[..], [Event::Disco { id, result: Ok(_) }] if *id == disco),
        "{events:?}"
    );
}

#[test]
fn a_room_being_joined_is_joined_over_the_break() {
    let mut peer = online();
    let ops = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    peer.engine.join(peer.now, ops).unwrap();
    peer.heard();
    cut(&mut peer);
    peer.pass(secs(100));
    assert_eq!(room_events(&peer.events()), []);
    ask_to_resume(&mut peer, 0);
    // The presence was handled, the join and its question were not.
    peer.say(&resumed(1));
    peer.events();
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(
        room_events(&peer.events())[..],
        [RoomEvent::Joined(_)]
    ));
}
