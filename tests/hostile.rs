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
    mod sasl;
    mod stream;
    mod table;
    mod xml;
}

#[path = "peer/scram.rs"]
mod scram;

use parley_xmpp::xml::XmlFault;
use parley_xmpp::{ChannelBinding, Event, OfflineCause, Security, Transport};
use peer::{HEADER, Peer, config};

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
