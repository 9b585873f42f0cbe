//! Every limit of a stanza is exact: a stanza at it is taken, one beyond it is refused for it,
//! with the byte that crosses it.
//!
//! The stanzas are drawn, and measured as they are written, by nobody who knows the framer. That
//! closes what the comparison with other parsers leaves open (`tests/xml_properties.rs`): there
//! a document that is refused for a limit is taken to have crossed it.

#![allow(
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

use parley_xmpp::XmlLimits;
use parley_xmpp::xml::{Framer, XmlError, XmlFault};
use proptest::prelude::*;

const HEAD: &str = "<s:stream xmlns:s='http://etherx.jabber.org/streams'>";

/// Declarations in scope within the stream.
const IN_SCOPE: usize = 1;

/// Numbers to draw from, and zeros after them.
struct Draws(std::vec::IntoIter<u8>);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn some(&mut self, most: usize, all: &[&str]) -> String {
        (0..self.below(most + 1)).map(|_| self.of(all)).collect()
    }
}

/// What a stanza takes of each limit.
#[derive(Clone, Debug, Default)]
struct Measures {
    depth: usize,
    nodes: usize,
    attributes: usize,
    declarations: usize,
    bindings: usize,
    name: usize,
    value: usize,
}

struct Stanza {
    draws: Draws,
    text: String,
    measures: Measures,
    /// The prefixes in scope, and how many declarations.
    prefixes: Vec<String>,
    bindings: usize,
}

const SPACE: &[&str] = &[" ", "\n", "\t", "\r"];
const FIRST: &[&str] = &["a", "b", "z", "\u{e9}", "\u{20ac}\u{301}", "\u{1f600}"];
const NEXT: &[&str] = &["a", "-", "7", "\u{e9}", "\u{10000}"];

impl Stanza {
    fn drawn(draws: Vec<u8>) -> (String, Measures) {
        let mut stanza = Self {
            draws: Draws(draws.into_iter()),
            text: String::new(),
            measures: Measures::default(),
            prefixes: Vec::new(),
            bindings: IN_SCOPE,
        };
        stanza.element(1);
        (stanza.text, stanza.measures)
    }

    fn name(&mut self) -> String {
        // U+20AC begins no name.
        let first = self.draws.of(FIRST).replace('\u{20ac}', "e");
        first + &self.draws.some(5, NEXT)
    }

    fn space(&mut self, least: &str) {
        self.text += least;
        let more = self.draws.some(2, SPACE);
        self.text += &more;
    }

    fn element(&mut self, depth: usize) {
        let outer = (self.prefixes.len(), self.bindings);
        let mut attributes = Vec::new();
        for i in 0..self.draws.below(8).saturating_sub(4) {
            let prefix = format!("p{depth}{i}");
            let name = match self.draws.below(4) {
                0 if i == 0 => "xmlns".to_owned(),
                _ => format!("xmlns:{prefix}"),
            };
            if name != "xmlns" {
                self.prefixes.push(prefix);
            }
            let uri = self.draws.of(&["urn:u", "w&amp;x", "\u{20ac}"]);
            attributes.push((name, uri.to_owned() + &i.to_string()));
        }
        let declared = attributes.len();
        for i in 0..self.draws.below(5) {
            let name = self.name() + &i.to_string();
            let value = ["v", "&lt;", "&#x41;", "\u{20ac}", "\r\n", "\"", ">"];
            attributes.push((name, self.draws.some(6, &value)));
        }
        if !attributes.is_empty() {
            let turn = self.draws.below(attributes.len());
            attributes.rotate_left(turn);
        }
        self.bindings += declared;
        let mut name = self.name();
        if !self.prefixes.is_empty() && self.draws.below(2) == 0 {
            let prefix = self.draws.below(self.prefixes.len());
            name = format!("{}:{name}", self.prefixes[prefix]);
        }

        let measures = &mut self.measures;
        measures.nodes += 1;
        measures.depth = measures.depth.max(depth);
        measures.attributes = measures.attributes.max(attributes.len());
        measures.declarations = measures.declarations.max(declared);
        measures.bindings = measures.bindings.max(self.bindings);
        measures.name = measures.name.max(name.len());
        for (name, value) in &attributes {
            measures.name = measures.name.max(name.len());
            measures.value = measures.value.max(value.len());
        }

        self.text += "<";
        self.text += &name;
        for (name, value) in attributes {
            self.space(" ");
            self.text += &name;
            self.space("");
            self.text += "=";
            self.space("");
            self.text += &format!("'{value}'");
        }
        self.space("");
        if self.draws.below(3) == 0 {
            self.text += "/>";
        } else {
            self.text += ">";
            self.content(depth);
            self.text += "</";
            self.text += &name;
            self.space("");
            self.text += ">";
        }
        self.prefixes.truncate(outer.0);
        self.bindings = outer.1;
    }

    fn content(&mut self, depth: usize) {
        let most = if depth > 5 { 1 } else { 4 };
        // However it is cut up in writing, what stands between two tags is one text.
        let mut in_text = false;
        for _ in 0..self.draws.below(most) {
            if self.draws.below(2) == 0 {
                in_text = false;
                self.element(depth + 1);
                continue;
            }
            let text = [
                "t",
                "&gt;",
                "<![CDATA[x]]>",
                "<![CDATA[]]>",
                "\r",
                "\u{e9}",
                "]] ",
                "&#13;",
            ];
            let text = self.draws.of(&text);
            self.text += text;
            if !in_text && text != "<![CDATA[]]>" {
                in_text = true;
                self.measures.nodes += 1;
            }
        }
    }
}

/// More than any of these takes.
fn wide() -> XmlLimits {
    let mut limits = XmlLimits::default();
    limits.stanza_bytes = 1 << 20;
    limits.depth = 1 << 10;
    limits.nodes = 1 << 20;
    limits.attributes = 1 << 10;
    limits.declarations = 1 << 10;
    limits.bindings = 1 << 10;
    limits.name_bytes = 1 << 10;
    limits.value_bytes = 1 << 10;
    limits
}

/// Reads a stanza in such pieces: how often something was found, what was wrong, and how many
/// bytes of the stanza had been given when that was said.
fn read(limits: &XmlLimits, stanza: &str, size: usize) -> (usize, Option<XmlError>, usize) {
    let mut framer = Framer::new(limits.clone());
    let (mut found, mut given) = (0, 0);
    for piece in std::iter::once(HEAD.as_bytes()).chain(stanza.as_bytes().chunks(size)) {
        given += piece.len();
        let mut rest = piece;
        while !rest.is_empty() {
            let (n, frame) = framer.push(rest);
            match frame {
                Some(Err(error)) => return (found, Some(error), given - HEAD.len()),
                Some(Ok(_)) => found += 1,
                None => {}
            }
            rest = &rest[n..];
        }
    }
    (found, None, given - HEAD.len())
}

type Limit = (fn(&mut XmlLimits) -> &mut usize, usize, XmlFault, usize);

proptest! {
    #[test]
    fn each_limit_is_exact(draws in prop::collection::vec(any::<u8>(), 0..300)) {
        let (stanza, measures) = Stanza::drawn(draws);
        // With what it takes, and the least that the header of the stream takes.
        let limits: [Limit; 8] = [
            (|l| &mut l.stanza_bytes, stanza.len(), XmlFault::StanzaTooLong, HEAD.len()),
            (|l| &mut l.depth, measures.depth, XmlFault::TooDeep, 0),
            (|l| &mut l.nodes, measures.nodes, XmlFault::TooManyNodes, 0),
            (|l| &mut l.attributes, measures.attributes, XmlFault::TooManyAttributes, 1),
            (|l| &mut l.declarations, measures.declarations, XmlFault::TooManyDeclarations, 1),
            (|l| &mut l.bindings, measures.bindings, XmlFault::TooManyBindings, 1),
            (|l| &mut l.name_bytes, measures.name, XmlFault::NameTooLong, 8),
            (|l| &mut l.value_bytes, measures.value, XmlFault::ValueTooLong, 32),
        ];
        let mut exact = wide();
        for (limit, takes, _, header) in limits {
            *limit(&mut exact) = takes.max(header);
        }
        for size in [usize::MAX, 7, 1] {
            let (found, error, _) = read(&exact, &stanza, size);
            prop_assert_eq!((found, error), (2, None), "{:?} of {:?}", measures, stanza);
        }
        for (limit, takes, fault, header) in limits {
            if takes <= header {
                continue;
            }
            let mut less = wide();
            *limit(&mut less) = takes - 1;
            let (found, whole, _) = read(&less, &stanza, usize::MAX);
            prop_assert_eq!(found, 1);
            let whole = whole.map(|error| (error.fault, error.offset));
            let (_, bytewise, given) = read(&less, &stanza, 1);
            let bytewise = bytewise.map(|error| (error.fault, error.offset));
            prop_assert_eq!(whole.map(|(fault, _)| fault), Some(fault), "{:?}", stanza);
            prop_assert_eq!(whole, bytewise, "{:?}", stanza);
            // It is said with that byte, or with the end of its character; of a declaration with
            // what ends its name, for until then it is none.
            let at = usize::try_from(whole.map_or(0, |(_, at)| at)).unwrap() - HEAD.len();
            let is_declared = fault == XmlFault::TooManyDeclarations || fault == XmlFault::TooManyBindings;
            let due = if is_declared {
                at + stanza[at..].find([' ', '\n', '\t', '\r', '=']).unwrap() + 1
            } else {
                let mut due = at + 1;
                while !stanza.is_char_boundary(due) {
                    due += 1;
                }
                due
            };
            prop_assert!(given <= due, "{fault:?} of {at} after {given}: {stanza:?}");
        }
    }
}
