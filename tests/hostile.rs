//! A scripted hostile server: entry by entry of a catalogue of bad input, through the public
//! interface alone. Each test bears the id of its entry.
//!
//! `tests/hostile/README.md` is the catalogue: what comes, what is done, and the tests that
//! hold it. That table and tests agree is itself a test (`hostile/table.rs`).

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

mod hostile {
    mod bind;
    mod clear;
    mod framing;
    mod ids;
    mod mam;
    mod management;
    mod muc;
    mod output;
    mod paging;
    mod requests;
    mod said;
    mod sasl;
    mod stream;
    mod table;
    mod tokenizer;
    mod xml;
}

#[path = "peer/scram.rs"]
mod scram;

use parley_xmpp::xml::XmlFault;
use parley_xmpp::{
    ChannelBinding, Entry, Event, OfflineCause, RoomEvent, RoomId, Security, Start, Transport,
};
use peer::{HEADER, Peer, ROOM, archived, attribute, config, fin};

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

fn secure() -> Security {
    Security::Tls(ChannelBinding::default())
}

/// A peer that the engine has opened its stream to, and that has said nothing yet.
fn opened() -> Peer {
    let mut peer = Peer::new(config());
    peer.engine.transport_opened(peer.now, secure());
    peer.heard();
    peer
}

/// A peer that has opened its side of the stream as well.
fn greeted() -> Peer {
    let mut peer = opened();
    peer.say(HEADER);
    peer
}

/// A peer that the engine is logged in with, nothing being left to hear.
fn online() -> Peer {
    let mut peer = Peer::online(config());
    peer.heard();
    peer
}

/// Bytes that need not be text, in pieces of that size.
fn feed(peer: &mut Peer, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        let taken = peer.engine.handle_input(peer.now, piece);
        assert_eq!(taken, piece.len());
    }
}

/// A stream error as it is written, with the end of the stream.
fn farewell(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         </stream:error></stream:stream>"
    )
}

/// How the stream ended: once, and with no other event.
#[track_caller]
fn ended(peer: &mut Peer) -> OfflineCause {
    match &peer.events()[..] {
        [Event::Offline { cause, .. }] => cause.clone(),
        other => panic!("not the end alone: {other:?}"),
    }
}

/// That these bytes, whole and in pieces, are refused as bad XML, at once and for good: the
/// server is told, the host is told, and nothing after them counts.
#[track_caller]
fn refused(start: fn() -> Peer, input: impl AsRef<[u8]>, fault: XmlFault, condition: &str) {
    let input = input.as_ref();
    let shown: String = String::from_utf8_lossy(input).chars().take(99).collect();
    // One byte at a time where that does not take too long.
    let small = if input.len() < 10_000 { 1 } else { 997 };
    for size in [usize::MAX, small] {
        let mut peer = start();
        feed(&mut peer, input, size);
        feed(
            &mut peer,
            b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
            5,
        );
        feed(&mut peer, b"</stream:stream>", 5);
        assert_eq!(peer.heard(), farewell(condition), "{shown}");
        match ended(&mut peer) {
            OfflineCause::Xml(error) => assert_eq!(error.fault, fault, "{shown}"),
            other => panic!("{shown}: {other:?}"),
        }
        assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
    }
}

/// That each of them is.
#[track_caller]
fn all_refused(start: fn() -> Peer, condition: &str, fault: XmlFault, inputs: &[&str]) {
    for input in inputs {
        refused(start, input, fault, condition);
    }
}

// ---- XML -------------------------------------------------------------------

const NOT_WELL_FORMED: &str = "not-well-formed";
const RESTRICTED: &str = "restricted-xml";
const POLICY: &str = "policy-violation";
const ENCODING: &str = "unsupported-encoding";
const PONG: &str = "<iq type='result' id='1'/>";

/// What somebody said, the markup of the body being this.
#[track_caller]
fn said(markup: &str) -> String {
    let mut bodies = Vec::new();
    let message =
        format!("<message from='{ROOM}/bob' type='groupchat'><body>{markup}</body></message>");
    for size in [usize::MAX, 1, 2, 3] {
        let (mut peer, _) = followed("");
        feed(&mut peer, message.as_bytes(), size);
        match &peer.events()[..] {
            [
                Event::Entry {
                    entry: Entry::Message(message),
                    ..
                },
            ] => bodies.push(message.body.clone()),
            other => panic!("{markup}: {other:?}"),
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    bodies.remove(0)
}

/// What is answered to a request with this payload.
#[track_caller]
fn answer(payload: &str) -> String {
    let mut peer = online();
    peer.say(&format!("<iq type='get' id='1'>{payload}</iq>"));
    peer.heard()
}

// ---- rooms -----------------------------------------------------------------

/// In [`ROOM`] as `ada`, the room having these features.
fn in_room(features: &str) -> (Peer, RoomId) {
    let mut peer = online();
    let room = peer.join(features);
    let joined = |event: &Event| matches!(event, Event::Room { event, .. } if matches!(event, RoomEvent::Joined(_)));
    assert!(peer.events().iter().any(joined));
    answer_archive_of(&mut peer, &[]);
    (peer, room)
}

/// The same, followed from now on; where there is an archive its last message is `a7`.
fn followed(features: &str) -> (Peer, RoomId) {
    let (mut peer, room) = in_room(features);
    peer.engine
        .subscribe(peer.now, room, Start::Now, 100)
        .unwrap();
    answer_archive_of(&mut peer, &["a7"]);
    peer.events();
    (peer, room)
}

/// Answers all questions to the archive that were asked with a page of these.
fn answer_archive_of(peer: &mut Peer, ids: &[&str]) {
    let sent = peer.heard();
    for query in requests(&sent) {
        if query.contains("urn:xmpp:mam:2") {
            for id in ids {
                peer.say(&archived(attribute(query, "queryid"), id, "before"));
            }
            peer.say(&fin(attribute(query, "id"), true, ids));
        }
    }
}

/// Says that there is nothing new, to the questions to the archive in what was written.
fn answer_archive(peer: &mut Peer, sent: &str) {
    for query in requests(sent) {
        if query.contains("urn:xmpp:mam:2") {
            peer.say(&fin(attribute(query, "id"), true, &[]));
        }
    }
}

/// Answers the pings of the server that were written.
fn answer_pings(peer: &mut Peer, sent: &str) {
    for request in requests(sent) {
        if request.contains("urn:xmpp:ping") && !request.contains(ROOM) {
            let id = attribute(request, "id");
            peer.say(&format!(
                "<iq type='result' id='{id}' from='parley.local'/>"
            ));
        }
    }
}

/// The requests in what was written, each as it stands there.
fn requests(written: &str) -> Vec<&str> {
    let from_iq = written.match_indices("<iq ").map(|(at, _)| &written[at..]);
    from_iq
        .filter_map(|rest| Some(&rest[..rest.find("</iq>")? + 5]))
        .collect()
}

/// What the room says that it can do.
fn disco(id: &str, features: &str) -> String {
    format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
    )
}

/// The room refuses a request.
fn failure(id: &str, condition: &str, kind: &str) -> String {
    format!(
        "<iq type='error' id='{id}' from='{ROOM}'><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></iq>"
    )
}

fn room_events(peer: &mut Peer) -> Vec<RoomEvent> {
    let room = |event| match event {
        Event::Room { event, .. } => Some(event),
        _ => None,
    };
    peer.events().into_iter().filter_map(room).collect()
}

/// What those who follow were told that was said, in their order.
fn bodies(events: &[Event]) -> Vec<&str> {
    let body = |event| match event {
        &Event::Entry {
            entry: Entry::Message(ref message) | Entry::Late(ref message),
            ..
        } => Some(&*message.body),
        _ => None,
    };
    events.iter().filter_map(body).collect()
}

/// The id of the only request of that namespace in what was written.
#[track_caller]
fn request_of(written: &str, namespace: &str) -> String {
    let all = requests(written);
    let asked: Vec<_> = all.iter().filter(|r| r.contains(namespace)).collect();
    assert_eq!(asked.len(), 1, "{namespace}: {written}");
    attribute(asked[0], "id").to_owned()
}
