//! Properties of the XML layer, checked on generated documents.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

#[path = "support/xml.rs"]
mod support;

use parley_xmpp::XmlLimits;
use parley_xmpp::xml::Framer;
use proptest::prelude::*;
use support::*;

/// What documents are made of, right and wrong.
const TOKENS: &[&str] = &[
    "<a>",
    "</a>",
    "<a/>",
    "<b>",
    "</b>",
    "<b/>",
    "<p:a>",
    "</p:a>",
    "<p:a/>",
    "<xml:a/>",
    "<a ",
    "<b\n",
    " c='1'",
    " c='2'",
    " p:c='3'",
    " q:c='4'",
    " xmlns='u'",
    " xmlns=''",
    " xmlns:p='u'",
    " xmlns:q='u'",
    " xmlns:q='v'",
    " xmlns:p=''",
    " xmlns:xml='u'",
    " xml:lang='en'",
    " xmlns='http://www.w3.org/2000/xmlns/'",
    " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
    " xmlns:p='http://www.w3.org/XML/1998/namespace'",
    " xmlns='jabber&#58;client'",
    " c=\"",
    " d='",
    "\"",
    "'",
    ">",
    "/>",
    "/",
    "<",
    "=",
    "&",
    ";",
    "&amp;",
    "&lt;",
    "&gt;",
    "&quot;",
    "&apos;",
    "&#65;",
    "&#x1F600;",
    "&#10;",
    "&#13;",
    "&#0;",
    "&#xFFFE;",
    "&#xD800;",
    "&#00000065;",
    "&#000000065;",
    "&nbsp;",
    "&#",
    "&#x",
    "<![CDATA[",
    "]]>",
    "]]",
    "]",
    "<![CDATA[x]]>",
    "<![CDATA[]]>",
    "<!--",
    "-->",
    "<!DOCTYPE a>",
    "<?x y?>",
    "<?xml version='1.0'?>",
    "text",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\u{e9}",
    "\u{20ac}",
    "\u{1f600}",
    "\u{FEFF}",
    "\u{FFFE}",
    "\u{FFFD}",
    "\u{85}",
    "\u{2028}",
    "\u{b7}",
    "\0",
    "\u{1}",
    "\u{1b}",
    "\u{7f}",
    ":",
    "-",
    ".",
    "1",
    "_",
    "xmlns",
    "xml",
    "<stream:stream>",
    "<stream:x/>",
    "</stream:stream>",
    "</a >",
    "<a\u{e9}/>",
    "<\u{e9}:b/>",
];

const RAW: &[&[u8]] = &[
    b"\xEB",
    b"\xC0\xBC",
    b"\xED\xA0\x80",
    b"\xF0\x9F\x98",
    b"\xF4\x90\x80\x80",
    b"\x80",
    b"\xFF",
    b"\xEF\xBF",
    b"\xEF\xBB\xBF",
];

fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => prop::sample::select(TOKENS).prop_map(|t| t.as_bytes().to_vec()),
        1 => prop::sample::select(RAW).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|b| vec![b]),
    ]
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => Just(HEAD.as_bytes().to_vec()),
        2 => Just(format!("<?xml version='1.0'?>\n{BARE_HEAD}").into_bytes()),
        1 => Just(b"<stream xmlns='http://etherx.jabber.org/streams'>".to_vec()),
        1 => Just(Vec::new()),
        1 => Just(format!(" \r\n\t{HEAD}").into_bytes()),
    ]
}

/// Tokens in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    (head(), prop::collection::vec(token(), 0..24))
        .prop_map(|(head, tokens)| [head, tokens.concat()].concat())
}

/// A text in one of its spellings.
fn data() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(
        &[
            "x",
            "]]",
            " ",
            "\r\n",
            "\r",
            "\n",
            "\t",
            "&amp;",
            "&#13;",
            "&#x20AC;",
            "\u{e9}",
            "\u{1f600}",
            "'/&gt;",
        ][..],
    );
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// A well-formed element.
fn element() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(&["a", "p:b", "q:a", "c.1-2_", "\u{e9}"][..]);
    let attrs = || {
        let attr = (
            prop::sample::select(&["a", "p:a", "q:a", "xml:lang", "b"][..]),
            data(),
            any::<bool>(),
        );
        prop::collection::vec(attr, 0..4).prop_map(|attrs| {
            let mut seen = Vec::new();
            let mut out = String::new();
            for (name, value, double) in attrs {
                if seen.contains(&name) {
                    continue;
                }
                seen.push(name);
                let quote = if double { '"' } else { '\'' };
                let value = value.replace('\'', "&apos;");
                out.push_str(&format!(
                    " {name}{}{quote}{value}{quote}",
                    if double { " = " } else { "=" }
                ));
            }
            out
        })
    };
    let declared = " xmlns:p='u' xmlns:q='v&amp;w'";
    let leaf = (name(), attrs(), data())
        .prop_map(move |(n, a, t)| format!("<{n}{declared}{a}>{t}</{n} >"));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let content = prop_oneof![
            inner,
            data(),
            data().prop_map(|t| format!("<![CDATA[{}]]>", t.replace("]]", "]"))),
        ];
        (name(), attrs(), prop::collection::vec(content, 0..4))
            .prop_map(move |(n, a, c)| format!("<{n}{a}{declared}>{}</{n}>", c.concat()))
    })
}

/// Well-formed streams.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    (head(), prop::collection::vec(element(), 0..4)).prop_map(|(head, elements)| {
        let head = if head.is_empty() {
            HEAD.as_bytes().to_vec()
        } else {
            head
        };
        let name = &head[head.iter().rposition(|&b| b == b'<').unwrap() + 1..];
        let name = name[..name.iter().position(|&b| b == b' ').unwrap()].to_vec();
        [
            head,
            elements.join("\n").into_bytes(),
            b"</".to_vec(),
            name,
            b">".to_vec(),
        ]
        .concat()
    })
}

/// Streams with one thing wrong, perhaps.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (stream(), any::<prop::sample::Index>(), token(), 0..4_usize).prop_map(
        |(mut document, at, token, how)| {
            let at = at.index(document.len());
            match how {
                0 => drop(document.remove(at)),
                1 => drop(document.splice(at..at, token)),
                2 => drop(document.splice(at..=at, token)),
                _ => document.truncate(at),
            }
            document
        },
    )
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => soup(), 1 => stream(), 3 => mutated()]
}

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
