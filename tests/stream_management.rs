//! Stream management (XEP-0198 v1.6.3) against a scripted peer: what is counted,
//! asked, answered and kept, and how a broken stream is resumed. The tests named
//! `smN_…` are the entries of the catalogue of bad input.

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

mod stream_management {
    mod acks;
    mod bounds;
    mod failures;
    mod handed_on;
    mod in_vain;
    mod resumption;
    mod suspended;
}

use std::time::Duration;

use parley_xmpp::{
    Event, OfflineCause, PeerMisbehaved, Post, PostId, PostOutcome, RoomEvent, RoomId, Transport,
    TransportFailure, TransportFailureKind,
};
use peer::{BIND_SM, Peer, ROOM, ROOM_FEATURES, attribute};

const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='600'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const NOT_FOUND: &str = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";

/// Nothing is said that a test did not ask for.
fn config() -> parley_xmpp::Config {
    let mut config = peer::config();
    config.anchor_at_join = false;
    config
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ack(h: impl std::fmt::Display) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn resumed(h: impl std::fmt::Display) -> String {
    format!("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>")
}

fn failed(h: impl std::fmt::Display) -> String {
    format!("<failed xmlns='urn:xmpp:sm:3' h='{h}'>{NOT_FOUND}</failed>")
}

/// A peer that offers management, and to `<enable/>` says this.
fn online_with(config: parley_xmpp::Config, enabled: &str) -> Peer {
    let mut peer = Peer::new(config);
    peer.authenticate();
    peer.bind(BIND_SM);
    let written = peer.heard();
    let expected = "<enable xmlns='urn:xmpp:sm:3' resume='true'/><presence>";
    assert!(written.starts_with(expected), "{written}");
    peer.say(enabled);
    peer.events();
    peer
}

/// A peer that manages the stream; one stanza has been sent, the presence.
fn online() -> Peer {
    online_with(config(), ENABLED)
}

/// The same, in a room: three stanzas have been sent, two received.
fn in_room() -> (Peer, RoomId) {
    in_room_of(config(), ENABLED)
}

fn in_room_of(config: parley_xmpp::Config, enabled: &str) -> (Peer, RoomId) {
    let mut peer = online_with(config, enabled);
    let room = peer.join(ROOM_FEATURES);
    assert!(matches!(
        peer.events()[..],
        [Event::Room {
            event: RoomEvent::Joined(_),
            ..
        }]
    ));
    assert_eq!(peer.heard(), "");
    (peer, room)
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Posts, the transport taking it.
fn post(peer: &mut Peer, room: RoomId, body: &str) -> (PostId, String) {
    let id = peer.engine.post(peer.now, room, Post::new(body)).unwrap();
    (id, peer.heard())
}

/// The room sends the post back that was written so.
fn reflect(peer: &mut Peer, written: &str, at: &str) {
    let id = attribute(&written[written.find("<message").unwrap()..], "id").to_owned();
    peer.say(&format!(
        "<message from='{ROOM}/ada' type='groupchat' id='{id}'><body>x</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{at}'/></message>"
    ));
}

/// Lets the backoff pass, logs in anew, and offers these features; returns what is
/// asked for then.
fn return_to(peer: &mut Peer, features: &str) -> String {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    peer.authenticate();
    peer.heard();
    peer.say(features);
    let wants = core::str::from_utf8(peer.engine.wants().write).unwrap();
    wants.to_owned()
}

/// The peer comes back and asks to resume, having handled `h`.
fn ask_to_resume(peer: &mut Peer, h: u32) {
    let asked = return_to(peer, BIND_SM);
    assert_eq!(
        asked,
        format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='sm-1'/>")
    );
    peer.heard();
}

fn outcomes(events: &[Event]) -> Vec<(PostId, PostOutcome)> {
    let outcome = |event: &Event| match event {
        Event::Post { id, outcome } => Some((*id, outcome.clone())),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

/// What becomes of the posts when nothing is found out about them any more.
fn given_up(peer: &mut Peer) -> Vec<(PostId, PostOutcome)> {
    peer.engine.close(peer.now);
    outcomes(&peer.events())
}

fn room_events(events: &[Event]) -> Vec<RoomEvent> {
    let of_room = |event: &Event| match event {
        Event::Room { event, .. } => Some(event.clone()),
        _ => None,
    };
    events.iter().filter_map(of_room).collect()
}

fn causes(events: &[Event]) -> Vec<OfflineCause> {
    let cause = |event: &Event| match event {
        Event::Offline { cause, .. } => Some(cause.clone()),
        _ => None,
    };
    events.iter().filter_map(cause).collect()
}

/// The stream ends because of that, and no later one asks to resume it.
#[track_caller]
fn assert_fatal(peer: &mut Peer, what: PeerMisbehaved, written: &str) {
    let events = peer.events();
    assert_eq!(causes(&events), [OfflineCause::PeerMisbehaved(what)]);
    assert_eq!(
        peer.heard(),
        format!("<stream:error>{written}</stream:error></stream:stream>")
    );
    peer.engine.handle_eof(peer.now);
    assert!(return_to(peer, BIND_SM).contains("<bind "));
}

const UNDEFINED: &str = "<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
