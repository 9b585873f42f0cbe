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
        let (said, is) = (framer.allocated_bytes(), ALLOCATOR.allocated() - before);
        assert_eq!((found, said), (1, is), "{what}");
    }
}
