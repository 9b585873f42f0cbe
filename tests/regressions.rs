//! What a reviewer's probes found broken once, and must stay mended: against a
//! scripted peer. Each test is named after what it holds.

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

mod regressions {
    mod addresses;
    mod ahead;
    mod archive;
    mod archive_without_manners;
    mod barren;
    mod bookmarks;
    mod busy_rooms;
    mod coming_and_going;
    mod comparisons;
    mod dropped;
    mod early;
    mod fetches;
    mod lagging_archives;
    mod link;
    mod looked_for;
    mod memory;
    mod offline;
    mod overtaken;
    mod resumptions;
    mod rooms;
    mod subscriptions;
    mod threads;
    mod without_archive;
}

#[path = "peer/scram.rs"]
mod scram;

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Cursor, Entry, Event, Fetch, FetchEvent, JoinRoom, Message, Nick, RoomEvent, RoomId, Security,
    Start, Timer, Transport, TransportFailure, TransportFailureKind,
};
use peer::{Peer, ROOM, ROOM_FEATURES, attribute, config, fin, presence};

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const CONFLICT: &str = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
    </stream:error>";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn secure() -> Security {
    Security::Tls(parley_xmpp::ChannelBinding::default())
}

fn ops(nick: Nick) -> JoinRoom {
    JoinRoom::new(BareJid::parse(ROOM).unwrap(), nick)
}

fn ada() -> JoinRoom {
    ops(Nick::Chosen("ada".into()))
}

fn in_room() -> (Peer, RoomId) {
    in_room_of(config(), ROOM_FEATURES)
}

fn in_room_of(config: parley_xmpp::Config, features: &str) -> (Peer, RoomId) {
    let mut peer = Peer::online(config);
    let room = peer.join(features);
    assert!(peer.events().iter().any(joined));
    assert_eq!(peer.heard(), "");
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

fn room_events(events: Vec<Event>) -> Vec<RoomEvent> {
    let room = |event| match event {
        Event::Room { event, .. } => Some(event),
        _ => None,
    };
    events.into_iter().filter_map(room).collect()
}

fn entries(events: Vec<Event>) -> Vec<Entry> {
    let entry = |event| match event {
        Event::Entry { entry, .. } => Some(entry),
        _ => None,
    };
    events.into_iter().filter_map(entry).collect()
}

fn messages(entries: &[Entry]) -> Vec<&Message> {
    let mut messages = Vec::new();
    for entry in entries {
        if let Entry::Message(message) = entry {
            messages.push(&**message);
        }
    }
    messages
}

fn bodies(entries: &[Entry]) -> Vec<&str> {
    messages(entries).iter().map(|m| m.body.as_str()).collect()
}

/// What came of fetches: the messages of their pages, and how they ended.
fn fetched(events: Vec<Event>) -> (Vec<Message>, Vec<FetchEvent>) {
    let (mut messages, mut ends) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => messages.extend(page),
            Event::Fetch { event, .. } => ends.push(event),
            _ => {}
        }
    }
    (messages, ends)
}

fn refusal(id: &str, condition: &str, kind: &str) -> String {
    format!(
        "<presence from='{ROOM}/ada' type='error' id='{id}'><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></presence>"
    )
}

/// The room's answer to a request: an error.
fn failure(iq: &str, condition: &str, kind: &str) -> String {
    format!(
        "<iq type='error' id='{iq}' from='{ROOM}'><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></iq>"
    )
}

/// The room's answer to what it can do.
fn features(iq: &str, features: &str) -> String {
    format!(
        "<iq type='result' id='{iq}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
    )
}

/// The room says that we are out, with this status.
fn out(status: &str) -> String {
    presence("ada", &format!("<status code='110'/>{status}"))
        .replace("<presence ", "<presence type='unavailable' ")
}

/// A technical problem of the room's.
fn dropped() -> String {
    out("<status code='333'/>")
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// The next deadline comes.
fn turn(peer: &mut Peer) {
    let deadline = peer.engine.wants().deadline.expect("a deadline");
    peer.now = peer.now.max(deadline.at);
    peer.engine.handle_timeout(peer.now);
}

/// Lets the pause pass after which the room is joined again.
fn knock_again(peer: &mut Peer) {
    let deadline = peer.engine.wants().deadline.expect("a deadline");
    assert_eq!(deadline.why, Timer::Rejoin);
    turn(peer);
}

/// The room drops us, and lets us in again.
fn drop_and_rejoin(peer: &mut Peer) {
    peer.say(&dropped());
    knock_again(peer);
    peer.let_in("ada", ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));
}

/// Lets the backoff pass until a transport is wanted.
fn until_connect(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        turn(peer);
    }
}

/// The requests in what was written, each as it stands there.
fn requests(written: &str) -> Vec<&str> {
    let from_iq = written.match_indices("<iq ").map(|(at, _)| &written[at..]);
    from_iq
        .map(|rest| &rest[..rest.find("</iq>").expect("its end") + 5])
        .collect()
}

/// The questions to an archive in what was written.
fn queries(written: &str) -> Vec<&str> {
    let all = requests(written).into_iter();
    all.filter(|request| request.contains("urn:xmpp:mam:2"))
        .collect()
}

/// The only question to an archive that was asked since last time.
fn query(peer: &mut Peer) -> String {
    let written = peer.heard();
    match &queries(&written)[..] {
        [query] => (*query).to_owned(),
        other => panic!("not one question: {other:?}"),
    }
}

fn iq(request: &str) -> &str {
    attribute(request, "id")
}

fn query_id(query: &str) -> &str {
    attribute(query, "queryid")
}

/// The archive has nothing there.
fn nothing(peer: &mut Peer, query: &str) {
    peer.say(&fin(iq(query), true, &[]));
}

/// Answers pings of the server, if there are any in what was written.
fn pong(peer: &mut Peer, written: &str) {
    for request in requests(written) {
        if request.contains("urn:xmpp:ping") {
            peer.say(&format!(
                "<iq type='result' id='{}' from='parley.local'/>",
                iq(request)
            ));
        }
    }
}

/// The ids of presences that ask to be let in, in what was written.
fn joins(written: &str) -> Vec<&str> {
    let parts = written.split("<presence ").skip(1);
    let joins = parts.filter(|part| part.contains("protocol/muc'"));
    joins
        .map(|part| part.split("id='").nth(1).unwrap())
        .map(|rest| &rest[..rest.find('\'').unwrap()])
        .collect()
}

fn everything(limit: u32) -> Fetch {
    Fetch::since(Cursor::Beginning, limit)
}

const FROM_THE_BEGINNING: Start = Start::Cursor(Cursor::Beginning);
