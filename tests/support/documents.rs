//! Documents for the XML layer, well-formed and not: what properties are checked on, here and
//! beside the fuzz targets.

use proptest::prelude::*;

use super::xml::{BARE_HEAD, HEAD};

/// What documents are made of, right and wrong.
pub(crate) const TOKENS: &[&str] = &[
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
    "<\u{20ac}/>",
    "<a\u{203f} \u{1f600}=''/>",
    " \u{fffd}=''",
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
    let name =
        || prop::sample::select(&["a", "p:b", "q:a", "c.1-2_", "\u{e9}", "p:\u{20ac}\u{203f}"][..]);
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
pub(crate) fn stream() -> impl Strategy<Value = Vec<u8>> {
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
    let attribute = prop::sample::select(ATTRIBUTES);
    (
        stream(),
        any::<prop::sample::Index>(),
        token(),
        attribute,
        0..6_usize,
    )
        .prop_map(|(mut document, index, token, attribute, how)| {
            let at = index.index(document.len());
            match how {
                0 => drop(document.remove(at)),
                1 => drop(document.splice(at..at, token)),
                2 => drop(document.splice(at..=at, token)),
                3 => document.truncate(at),
                _ => {
                    let ends: Vec<_> = (0..document.len())
                        .filter(|i| document[*i] == b'>')
                        .collect();
                    let at = ends[index.index(ends.len())];
                    drop(document.splice(at..at, attribute.bytes()));
                }
            }
            document
        })
}

/// What a tag of a stream may well have already, under this name or another.
const ATTRIBUTES: &[&str] = &[
    " a='1'",
    " p:a='1'",
    " q:a='1'",
    " r:a='1' xmlns:r='u'",
    " a='1' b='2' b='3'",
    " xml:lang=''",
    " xmlns='u'",
    " xmlns:p='u'",
    " xmlns:q='u'",
    " xmlns:r=''",
    " c='\t<'",
    "c='1'",
];

/// Any of these.
pub(crate) fn document() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => soup(), 1 => stream(), 3 => mutated()]
}
