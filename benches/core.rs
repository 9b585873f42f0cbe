//! What the core costs: XML in whole stanzas and in small pieces, and a page of
//! an archive through the whole engine.
//!
//! `cargo bench` prints times; on a noisy machine compare the ratios within one
//! run, or count instructions: `valgrind --tool=callgrind` on the built benchmark.

#![allow(
    clippy::expect_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a benchmark stops where it cannot go on"
)]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use parley_xmpp::XmlLimits;
use parley_xmpp::xml::Framer;

#[path = "../tests/peer/mod.rs"]
mod peer;

fn main() {
    divan::main();
}

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

fn messages(count: usize) -> String {
    (0..count)
        .map(|n| peer::message("bob", &n.to_string(), "The nightly build is green."))
        .collect()
}

fn frames(framer: &mut Framer, bytes: &[u8], piece: usize) -> usize {
    let mut frames = 0;
    for mut piece in bytes.chunks(piece) {
        while !piece.is_empty() {
            let (taken, frame) = framer.push(piece);
            frames += usize::from(frame.is_some());
            piece = piece.get(taken..).unwrap_or_default();
        }
    }
    frames
}

/// A thousand room messages, in pieces of this many bytes.
#[divan::bench(args = [usize::MAX, 1460, 64, 1])]
fn framer(bencher: Bencher<'_, '_>, piece: usize) {
    let text = messages(1000);
    let mut framer = Framer::new(XmlLimits::default());
    frames(&mut framer, HEADER, usize::MAX);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| assert_eq!(frames(&mut framer, text.as_bytes(), piece), 1000));
}

/// Room messages that nobody follows: nothing of them is kept.
#[divan::bench]
fn messages_that_nobody_follows(bencher: Bencher<'_, '_>) {
    let text = messages(1000);
    let mut peer = peer::Peer::online(peer::config());
    peer.join(peer::ROOM_FEATURES);
    bencher
        .counter(ItemsCount::new(1000_usize))
        .bench_local(|| {
            peer.say(&text);
            peer.events()
        });
}

/// Room messages through a subscription.
#[divan::bench]
fn messages_followed_live(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| {
            let mut peer = peer::Peer::online(peer::config());
            let room = peer.join("<feature var='urn:xmpp:sid:0'/>");
            let now = peer.now;
            peer.engine
                .subscribe(now, room, parley_xmpp::Start::Now, u32::MAX)
                .expect("a subscription");
            (peer, messages(1000))
        })
        .counter(ItemsCount::new(1000_usize))
        .bench_local_values(|(mut peer, text)| {
            // Events are taken between reads, as a host does.
            let mut entries = 0;
            for piece in text.as_bytes().chunks(16 * 1024) {
                assert_eq!(peer.engine.handle_input(peer.now, piece), piece.len());
                entries += peer.events().len();
            }
            entries
        });
}

/// A page of a hundred archived messages, from the question to the events.
#[divan::bench]
fn page_of_an_archive(bencher: Bencher<'_, '_>) {
    let ids: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let mut peer = peer::Peer::online(peer::config());
    let room = peer.join(peer::ROOM_FEATURES);
    peer.heard();
    bencher.counter(ItemsCount::new(100_usize)).bench_local(|| {
        let now = peer.now;
        peer.engine
            .fetch(now, room, parley_xmpp::Fetch::newest(100))
            .expect("a fetch");
        let query = peer.heard();
        let (iq, q) = (
            peer::attribute(&query, "id"),
            peer::attribute(&query, "queryid"),
        );
        let mut page: String = ids
            .iter()
            .map(|id| peer::archived(q, id, "The nightly build is green."))
            .collect();
        page.push_str(&peer::fin(iq, true, &["0", "99"]));
        peer.say(&page);
        peer.events().len()
    });
}
