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

/// Memory is bounded whatever is sent, and does not grow with time.
#[test]
fn memory_is_bounded() {
    let limits = XmlLimits::default();
    let bound =
        4 * limits.stanza_bytes + 2 * (limits.nodes + limits.attributes * limits.nodes) * 40;
    let bombs: [&[u8]; 6] = [b"<a>", b"<a b='1'>", b"<a/>", b" b='1'", b"x", b"&lt;"];
    for bomb in bombs {
        for open in [
            &b""[..],
            b"<a>",
            b"<a b='",
            b"<a ",
            b"<a>&lt;",
            b"<a><![CDATA[",
        ] {
            let mut framer = Framer::new(limits.clone());
            framer.push(HEAD.as_bytes());
            framer.push(open);
            for _ in 0..(1 << 20) / bomb.len() {
                let mut rest = bomb;
                while !rest.is_empty() {
                    let (n, found) = framer.push(rest);
                    if matches!(found, Some(Err(_))) {
                        break;
                    }
                    rest = &rest[n..];
                }
            }
            assert!(
                framer.allocated_bytes() < bound,
                "{}",
                framer.allocated_bytes()
            );
        }
    }
}

/// The work is linear in the bytes, whatever the pieces: a stanza of 250 KiB in
/// one tag, byte by byte, would take minutes if it were read anew each time.
#[test]
fn small_pieces_cost_no_more() {
    let mut limits = XmlLimits::default();
    limits.value_bytes = limits.stanza_bytes;
    let tag = format!("{HEAD}<a b='{}'/>", "v".repeat(250_000));
    let text = format!("{HEAD}<a>{}</a>", "t".repeat(250_000));
    let references = format!("{HEAD}<a>{}</a>", "&lt;".repeat(60_000));
    for document in [tag, text, references] {
        let outcome = frame(&limits, document.as_bytes().chunks(1));
        assert_eq!(outcome.error, None);
        assert_eq!(
            outcome
                .parts
                .iter()
                .filter(|part| **part == Part::End)
                .count(),
            1
        );
    }
}
