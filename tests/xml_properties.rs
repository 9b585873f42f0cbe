//! Properties of the XML layer, checked on generated documents.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[path = "support/documents.rs"]
mod documents;
#[path = "support/xml.rs"]
mod xml;

use documents::{TOKENS, document, stream};
use parley_xmpp::XmlLimits;
use parley_xmpp::xml::Framer;
use proptest::prelude::*;
use xml::*;

/// Limits that documents like these do run into.
fn tight() -> impl Strategy<Value = XmlLimits> {
    (
        20..400_usize,
        1..6_usize,
        1..12_usize,
        1..5_usize,
        1..12_usize,
    )
        .prop_map(|(stanza, depth, nodes, few, bytes)| {
            let mut limits = XmlLimits::default();
            limits.stanza_bytes = stanza.max(90);
            limits.depth = depth;
            limits.nodes = nodes;
            limits.attributes = few + 1;
            limits.declarations = few + 1;
            limits.bindings = 2 * few + 1;
            limits.name_bytes = bytes + 13;
            limits.value_bytes = bytes + 32;
            limits
        })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(TOKENS), 0..4).prop_map(|t| t.concat()),
        8 => "[ -~]{0,8}",
        1 => any::<String>(),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => any::<usize>().prop_map(Op::Start),
        3 => (any::<usize>(), any_text()).prop_map(|(name, value)| Op::Attr(name, value)),
        2 => any_text().prop_map(Op::Text),
        2 => Just(Op::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cutting_makes_no_difference(
        document in document(),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check_cuts(&XmlLimits::default(), &document, &sizes);
    }

    #[test]
    fn cutting_makes_no_difference_at_limits(
        document in document(),
        limits in tight(),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check_cuts(&limits, &document, &sizes);
    }

    #[test]
    fn an_independent_parser_agrees(document in document()) {
        check_against_rxml(&document);
    }

    #[test]
    fn what_is_well_formed_is_accepted(document in stream()) {
        let outcome = frame(&XmlLimits::default(), [document.as_slice()]);
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(outcome.closed, Some(document.len()));
    }

    #[test]
    fn what_is_printed_reads_the_same(document in document()) {
        check_display(&document);
    }

    #[test]
    fn what_is_written_is_what_is_read(ops in prop::collection::vec(op(), 0..40)) {
        check_writer(&ops);
    }
}

fn unlimited() -> XmlLimits {
    let mut limits = XmlLimits::default();
    for limit in [
        &mut limits.stanza_bytes,
        &mut limits.depth,
        &mut limits.nodes,
        &mut limits.attributes,
        &mut limits.declarations,
        &mut limits.bindings,
        &mut limits.name_bytes,
        &mut limits.value_bytes,
    ] {
        *limit = usize::MAX;
    }
    limits
}

/// Reads so much of a bomb, until it is defused or more is held than that. Returns the most.
fn drowned(limits: &XmlLimits, open: &[u8], bomb: &[u8], bytes: usize, bound: usize) -> usize {
    let mut framer = Framer::new(limits.clone());
    let mut most = 0;
    let bombs = core::iter::repeat_n(bomb, bytes / bomb.len());
    for mut rest in [HEAD.as_bytes(), open].into_iter().chain(bombs) {
        while !rest.is_empty() && most <= bound {
            let (n, found) = framer.push(rest);
            let defused = matches!(found, Some(Err(_)));
            most = most.max(framer.allocated_bytes());
            if defused {
                return most;
            }
            rest = &rest[n..];
        }
    }
    most
}

/// Memory is bounded whatever is sent, and does not grow with time. The bound is one that would
/// be exceeded without limits.
#[test]
fn memory_is_bounded() {
    let limits = XmlLimits::default();
    let bound = 10 * limits.stanza_bytes;
    // As many attributes as there may be, in as few bytes, over and over.
    let mut dense = String::from("<a");
    for i in 0..limits.attributes {
        let letter = |n: usize| char::from(b"abcdefgh"[n % 8]);
        dense += &format!(" {}{}=''", letter(i), letter(i / 8));
    }
    dense += "/>";
    let bombs: [&[u8]; 7] = [
        b"<a>",
        b"<a b='1'>",
        b"<a/>",
        b" b='1'",
        b"x",
        b"&lt;",
        dense.as_bytes(),
    ];
    let (mut most_of_all, mut unbounded) = (0, 0);
    for bomb in bombs {
        for open in [
            &b""[..],
            b"<a>",
            b"<a b='",
            b"<a ",
            b"<a>&lt;",
            b"<a><![CDATA[",
        ] {
            let most = drowned(&limits, open, bomb, 1 << 20, bound);
            assert!(most <= bound, "{most} of {bound}");
            most_of_all = most_of_all.max(most);
            // Not all go off: some are stanzas of their own, one after the other, or no XML.
            let most = drowned(&unlimited(), open, bomb, 4 << 20, bound);
            unbounded += usize::from(most > bound);
        }
    }
    println!("at most {most_of_all} of {bound} bytes; {unbounded} bombs hold more without limits");
    assert!(unbounded >= 20, "only {unbounded} bombs go off");
}
