//! Staying in rooms and staying connected, against a scripted peer: each removal,
//! each answer to a self-ping, each end of a stream, and what follows from it.

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

mod supervisor {
    mod asking;
    mod link;
    mod ping;
    mod removal;
}

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Config, Event, JoinRoom, LeaveCause, Nick, Retry, RoomEvent, RoomId, Transport,
    TransportFailure, TransportFailureKind,
};
use peer::{Peer, ROOM, ROOM_FEATURES, attribute, presence};

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A configuration under which the server is never asked for a sign of life, so that
/// all that is written while time passes is about rooms.
fn config() -> Config {
    let mut config = peer::config();
    // One request less to tell apart.
    config.anchor_at_join = false;
    config.timing.keepalive = secs(1_000_000_000);
    config
}

fn in_room() -> (Peer, RoomId) {
    in_room_of(config())
}

fn in_room_of(config: Config) -> (Peer, RoomId) {
    let mut peer = Peer::online(config);
    peer.heard();
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    (peer, room)
}

fn ada() -> JoinRoom {
    join_as(Nick::Chosen("ada".into()))
}

fn join_as(nick: Nick) -> JoinRoom {
    JoinRoom::new(BareJid::parse(ROOM).unwrap(), nick)
}

fn room_events(peer: &mut Peer) -> Vec<RoomEvent> {
    let room = |event| match event {
        Event::Room { event, .. } => Some(event),
        _ => None,
    };
    peer.events().into_iter().filter_map(room).collect()
}

/// The room says that we are out, with this status.
fn out(status: &str) -> String {
    presence("ada", &format!("<status code='110'/>{status}"))
        .replace("<presence ", "<presence type='unavailable' ")
}

/// The only event is that we left; why, and how long until we come back.
#[track_caller]
fn left(peer: &mut Peer) -> (LeaveCause, Option<Duration>) {
    match &room_events(peer)[..] {
        [RoomEvent::Left { cause, retry }] => {
            let pause = match retry {
                Retry::At(at) => Some(at.since(peer.now)),
                _ => None,
            };
            (cause.clone(), pause)
        }
        other => panic!("{other:?}"),
    }
}

/// The requests in what was written, each as it stands there.
fn requests(written: &str) -> Vec<&str> {
    let from_iq = written.match_indices("<iq ").map(|(at, _)| &written[at..]);
    from_iq
        .map(|rest| &rest[..rest.find("</iq>").expect("its end") + 5])
        .collect()
}

/// Whom the presences that ask to be let in are for.
fn joins(written: &str) -> Vec<&str> {
    let parts = written.match_indices("<presence ").map(|(at, _)| {
        let rest = &written[at..];
        &rest[..rest.find('>').unwrap() + 60.min(rest.len() - rest.find('>').unwrap())]
    });
    parts
        .filter(|part| part.contains("protocol/muc'"))
        .map(|part| attribute(part, "to"))
        .collect()
}

/// Refuses the join that was sent last.
fn refuse(peer: &mut Peer, written: &str, condition: &str, kind: &str) {
    let join = &written[written.rfind("<presence ").expect("a join")..];
    let id = attribute(join, "id");
    peer.say(&format!(
        "<presence from='{ROOM}/ada' type='error' id='{id}'><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></presence>"
    ));
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Lets the backoff pass until a transport is wanted.
fn until_connect(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
}
