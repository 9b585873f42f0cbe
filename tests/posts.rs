//! What becomes of posts, against a scripted peer: every outcome, and every row of
//! the table by which a post is decided on after a break.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod peer;

mod posts {
    mod anchor;
    mod doubt;
    mod inquiry;
    mod order;
    mod poison;
    mod proof;
    mod repeats;
    mod resolving;
    mod sending;
    mod unkept;
}

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    ArchiveId, Config, Event, JoinRoom, Nick, Post, PostId, PostOutcome, RoomEvent, RoomId,
    Transport, TransportFailure, TransportFailureKind, Via,
};
use peer::{Peer, ROOM, ROOM_FEATURES, attribute, config, fin, presence};

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A configuration for which the room is at somebody else's server.
fn far() -> Config {
    let mut config = config();
    config.own_services = Some(Vec::new());
    config
}

/// In the room, the archive of which ended with `a0` when we came.
fn in_room() -> (Peer, RoomId) {
    in_room_of(config())
}

fn in_room_of(config: Config) -> (Peer, RoomId) {
    in_room_with(config, ROOM_FEATURES, Some("a0"))
}

/// In a room of these features; its archive said where it ends, or does not answer.
fn in_room_with(config: Config, features: &str, anchor: Option<&str>) -> (Peer, RoomId) {
    let mut peer = Peer::online(config);
    let room = BareJid::parse(ROOM).unwrap();
    let join = JoinRoom::new(room, Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
    let asked = queries(&written);
    assert!(asked[0].contains("<max>1</max><before/>"), "{written}");
    if let Some(anchor) = anchor {
        peer.say(&peer::archived(
            attribute(asked[0], "queryid"),
            anchor,
            "before",
        ));
        peer.say(&fin(attribute(asked[0], "id"), false, &[anchor]));
    }
    let_in(&mut peer, &written, features);
    if anchor.is_none() {
        peer.say(&peer::no_end(attribute(asked[0], "id"), ROOM));
    }
    assert!(peer.events().iter().any(joined));
    (peer, room)
}

/// Answers the join in what was written.
fn let_in(peer: &mut Peer, written: &str, features: &str) {
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(&described(written, features));
}

/// The room's answer to what it can do, as it was asked in the last request of these.
fn described(written: &str, features: &str) -> String {
    let disco = written.rsplit("<iq ").next().unwrap();
    let id = attribute(disco, "id");
    format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
    )
}

fn joined(event: &Event) -> bool {
    let joined = |event: &RoomEvent| matches!(event, RoomEvent::Joined(_));
    matches!(event, Event::Room { event, .. } if joined(event))
}

fn outcomes(peer: &mut Peer) -> Vec<(PostId, PostOutcome)> {
    let outcome = |event| match event {
        Event::Post { id, outcome } => Some((id, outcome)),
        _ => None,
    };
    peer.events().into_iter().filter_map(outcome).collect()
}

/// Posts, the transport taking it; returns the bytes as well.
fn post(peer: &mut Peer, room: RoomId, body: &str) -> (PostId, String) {
    send(peer, room, Post::new(body))
}

fn send(peer: &mut Peer, room: RoomId, post: Post) -> (PostId, String) {
    let id = peer.engine.post(peer.now, room, post).unwrap();
    (id, peer.heard())
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Lets the backoff pass, and logs in anew; the room lets us in.
fn heal(peer: &mut Peer) {
    until_connect(peer);
    peer.events();
    peer.log_in();
    peer.let_in("ada", ROOM_FEATURES);
}

/// The server offers this and binds this resource.
fn bind_as(peer: &mut Peer, features: &str, resource: &str) {
    peer.heard();
    peer.say(features);
    let asked = peer.heard();
    let iq = attribute(&asked[asked.find("<iq ").expect(&asked)..], "id");
    peer.say(&format!(
        "<iq type='result' id='{iq}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/{resource}</jid></bind></iq>"
    ));
}

fn until_connect(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
}

/// The stream breaks, and is set up again without resumption.
fn break_and_heal(peer: &mut Peer) {
    cut(peer);
    heal(peer);
}

/// The questions to an archive in what was written.
fn queries(written: &str) -> Vec<&str> {
    let from_iq = written.match_indices("<iq ").map(|(at, _)| &written[at..]);
    from_iq
        .map(|rest| &rest[..rest.find("</iq>").expect("its end") + 5])
        .filter(|request| request.contains("urn:xmpp:mam:2"))
        .collect()
}

/// The only thing that was written since last time: a question to the archive.
#[track_caller]
fn asked(peer: &mut Peer) -> String {
    let written = peer.heard();
    match &queries(&written)[..] {
        [query] if **query == *written => (*query).to_owned(),
        _ => panic!("not one question: {written}"),
    }
}

/// A post as the archive has it, by that nick, with more in it.
fn archived_as(query: &str, at: &str, written: &str, nick: &str, more: &str) -> String {
    let id = attribute(written, "id");
    format!(
        "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{}' id='{at}'>\
         <forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' from='{ROOM}/{nick}' type='groupchat' id='{id}'>\
         <body>x</body><origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>{more}\
         </message></forwarded></result></message>",
        attribute(query, "queryid")
    )
}

/// The archive has these and no more, by us.
fn has(peer: &mut Peer, query: &str, posts: &[(&str, &str)]) {
    for (at, written) in posts {
        peer.say(&archived_as(query, at, written, "ada", ""));
    }
    let ids: Vec<_> = posts.iter().map(|(at, _)| *at).collect();
    peer.say(&fin(attribute(query, "id"), true, &ids));
}

/// The archive says that it is empty.
fn empty(query: &str) -> String {
    fin(attribute(query, "id"), true, &[]).replace(
        "<set xmlns='http://jabber.org/protocol/rsm'>",
        "<set xmlns='http://jabber.org/protocol/rsm'><count>0</count>",
    )
}

/// The archive does not have the posts in doubt, at first nor after a while.
fn has_not(peer: &mut Peer) {
    let query = asked(peer);
    has(peer, &query, &[]);
    assert_eq!(peer.heard(), "", "it is believed the second time only");
    peer.pass(secs(5));
    let query = asked(peer);
    has(peer, &query, &[]);
}

/// The archive has this and no more, by this nick, both times that it is asked.
fn has_by(peer: &mut Peer, written: &str, nick: &str) {
    for _ in 0..2 {
        let query = asked(peer);
        peer.say(&archived_as(&query, "a1", written, nick, ""));
        peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
        peer.pass(secs(5));
    }
}

fn refuses(peer: &mut Peer, query: &str, condition: &str, kind: &str) {
    peer.say(&format!(
        "<iq type='error' id='{}' from='{ROOM}'><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></iq>",
        attribute(query, "id")
    ));
}

/// The room sends a post back.
fn reflect(peer: &mut Peer, written: &str, at: &str) {
    let id = attribute(written, "id");
    peer.say(&format!(
        "<message from='{ROOM}/ada' type='groupchat' id='{id}'><body>x</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{at}'/></message>"
    ));
}

fn committed(at: &str, via: Via) -> PostOutcome {
    PostOutcome::Committed {
        id: ArchiveId::new(at),
        via,
    }
}

#[track_caller]
fn assert_unknown(outcomes: &[(PostId, PostOutcome)], posts: &[PostId]) {
    let unknown = |(_, outcome): &(PostId, PostOutcome)| matches!(outcome, PostOutcome::Unknown { token } if token.room().as_str() == ROOM);
    assert!(outcomes.iter().all(unknown), "{outcomes:?}");
    let ids: Vec<_> = outcomes.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, posts);
}
