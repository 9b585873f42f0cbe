//! What is said to be held is what is allocated. Bytes are counted where they are allocated
//! ([`cap`]); one test alone, since whatever else ran in the process would be counted as well.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use std::alloc::System;

use cap::Cap;
use parley_xmpp::XmlLimits;
use parley_xmpp::xml::{Frame, Framer};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// Stanzas each of which makes one thing grow.
fn stanzas() -> [(&'static str, String); 6] {
    let attributes: String = (0..60).map(|i| format!(" a{i}='v'")).collect();
    let declarations: String = (0..7).map(|i| format!(" xmlns:p{i}='u'")).collect();
    [
        ("text", format!("<a>{}</a>", "t".repeat(50_000))),
        ("children", format!("<a>{}</a>", "<b/>".repeat(500))),
        ("attributes", format!("<a{attributes}/>")),
        (
            "depth",
            format!("{}{}", "<a>".repeat(30), "</a>".repeat(30)),
        ),
        ("declarations", format!("<a{declarations}/>")),
        // In pieces, so that it is kept until it is whole.
        ("a long tag", format!("<a b='{}'/>", "v".repeat(5000))),
    ]
}

#[test]
fn a_framer_has_reserved_what_it_says() {
    let limits = XmlLimits::default();
    for (what, stanza) in stanzas() {
        // The thread that runs the tests allocates for itself now and then, and is counted too.
        let mut measured = (0..5).map(|_| measure(what, &limits, &stanza));
        let (said, is) = measured
            .find(|(said, is)| said == is)
            .unwrap_or_else(|| measure(what, &limits, &stanza));
        assert_eq!(said, is, "{what}");
    }
}

/// What a framer that is given a stanza says that it has allocated, and what it has.
fn measure(what: &str, limits: &XmlLimits, stanza: &str) -> (usize, usize) {
    let before = ALLOCATOR.allocated();
    let mut framer = Framer::new(limits.clone());
    assert!(matches!(framer.push(HEADER).1, Some(Ok(Frame::Open(_)))));
    let mut found = 0;
    for piece in stanza.as_bytes().chunks(700) {
        match framer.push(piece).1 {
            None => {}
            Some(Ok(Frame::Stanza(_))) => found += 1,
            other => panic!("{what}: {other:?}"),
        }
    }
    assert_eq!(found, 1, "{what}");
    (framer.allocated_bytes(), ALLOCATOR.allocated() - before)
}
