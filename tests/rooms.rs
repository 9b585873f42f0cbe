//! Rooms, posts, subscriptions and fetches against a scripted peer: each rule of
//! the engine that real servers show only now and then.

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

mod rooms {
    mod fetches;
    mod held_back;
    mod joining;
    mod link;
    mod posting;
    mod privacy;
    mod slow;
    mod stay;
    mod subscriptions;
}

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, Config, Cursor, Entry, Event, Fetch, FetchEvent, GapReason, JoinFailure, JoinRoom,
    LeaveCause, Message, Nick, NotSent, OfflineCause, Post, PostError, PostOutcome, Privacy,
    RequestError, Retry, RoomEvent, Start, Timer, Transport, TransportFailure,
    TransportFailureKind, Via,
};
use peer::{Peer, ROOM, ROOM_FEATURES, archived, attribute, config, fin, message, presence};

fn in_room() -> (Peer, parley_xmpp::RoomId) {
    in_room_of(config())
}

fn in_room_of(config: Config) -> (Peer, parley_xmpp::RoomId) {
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));
    (peer, room)
}

fn joined(event: &Event) -> bool {
    matches!(
        event,
        Event::Room {
            event: RoomEvent::Joined(_),
            ..
        }
    )
}

fn join(peer: &mut Peer, nick: Nick) {
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), nick);
    peer.engine.join(peer.now, room).unwrap();
}

fn room_events(events: &[Event]) -> Vec<&RoomEvent> {
    events
        .iter()
        .filter_map(|e| {
            if let Event::Room { event, .. } = e {
                Some(event)
            } else {
                None
            }
        })
        .collect()
}

fn entries(events: Vec<Event>) -> Vec<Entry> {
    events
        .into_iter()
        .filter_map(|e| {
            if let Event::Entry { entry, .. } = e {
                Some(entry)
            } else {
                None
            }
        })
        .collect()
}

fn bodies(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .filter_map(|e| {
            if let Entry::Message(m) = e {
                Some(m.body.as_str())
            } else {
                None
            }
        })
        .collect()
}

fn refusal(condition: &str, kind: &str) -> String {
    format!(
        "<presence from='{ROOM}/ada' type='error'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    )
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Lets the backoff pass, logs in and is let into the room again.
fn heal(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a next attempt");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    peer.engine.transport_opened(
        peer.now,
        parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default()),
    );
    peer.say(peer::HEADER);
    peer.say(peer::PLAIN);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(peer::HEADER);
    peer.say(peer::BIND);
    let sent = peer.heard();
    let bind = sent.rsplit("<iq ").next().unwrap();
    let id = attribute(bind, "id").to_owned();
    peer.say(&format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/here</jid></bind></iq>"
    ));
    peer.let_in("ada", ROOM_FEATURES);
}
