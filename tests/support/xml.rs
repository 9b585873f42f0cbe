//! What must hold of the XML layer for any input: the bodies of the property
//! tests and of the fuzz targets.
//!
//! The oracle is rxml, an independent parser of the same restricted XML. It is
//! known to differ from XML, or from us, in what [`is_known_difference`] lists, and in what is
//! made easier for it by the functions below that one. A second oracle, libexpat, stands with the
//! fuzz targets (`fuzz/src/expat.rs`), where a C library may be asked for.

use parley_xmpp::XmlLimits;
use parley_xmpp::xml::{Content, Element, Frame, Framer, Writer, XmlError, XmlFault, check_text};
use rxml::{Parse, WithOptions};

/// A stream header with a default namespace.
pub(crate) const HEAD: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
/// A stream header without one.
pub(crate) const BARE_HEAD: &str = "<s:stream xmlns:s='http://etherx.jabber.org/streams'>";

/// A document as a list of what comes one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Namespace, name, and the attributes (namespace, name, value), sorted.
    Start(String, String, Vec<(String, String, String)>),
    /// Never empty, never two in a row.
    Text(String),
    End,
}

/// What a framer made of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What was framed, without the white space between stanzas.
    pub(crate) parts: Vec<Part>,
    pub(crate) error: Option<XmlError>,
    /// Whether the end of input here is no truncation.
    pub(crate) between: bool,
    /// Bytes up to the end of the stream, if that came.
    pub(crate) closed: Option<usize>,
}

/// Pushes a document in pieces.
pub(crate) fn frame<'a>(limits: &XmlLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut framer = Framer::new(limits.clone());
    let mut outcome = Outcome {
        parts: Vec::new(),
        error: None,
        between: true,
        closed: None,
    };
    let mut taken = 0;
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let (n, found) = framer.push(rest);
            assert!(n <= rest.len());
            assert!(
                found.is_some() || n == rest.len(),
                "without a frame all is read"
            );
            taken += n;
            match found {
                None => {}
                Some(Ok(Frame::Open(element))) => {
                    assert_eq!(element.contents().count(), 0);
                    flatten(element, &mut outcome.parts);
                    outcome.parts.pop();
                }
                Some(Ok(Frame::Stanza(element))) => flatten(element, &mut outcome.parts),
                Some(Ok(Frame::Close)) => {
                    outcome.parts.push(Part::End);
                    outcome.closed = Some(taken);
                }
                Some(Err(error)) => {
                    assert!(outcome.closed.is_none(), "nothing is refused after the end");
                    assert_eq!(
                        framer.push(b"<a/>").1.unwrap().unwrap_err(),
                        error,
                        "latched"
                    );
                    assert!(!framer.is_between_frames());
                    outcome.error = Some(error);
                    outcome.between = false;
                    return outcome;
                }
            }
            rest = &rest[n..];
        }
    }
    outcome.between = framer.is_between_frames();
    outcome
}

/// Appends an element, without recursion.
pub(crate) fn flatten(element: Element<'_>, parts: &mut Vec<Part>) {
    parts.push(start_of(element));
    let mut open = vec![element.contents()];
    while let Some(innermost) = open.last_mut() {
        match innermost.next() {
            Some(Content::Text(text)) => {
                assert!(!text.is_empty() && !matches!(parts.last(), Some(Part::Text(_))));
                assert_eq!(check_text(text), Ok(()));
                parts.push(Part::Text(text.into()));
            }
            Some(Content::Element(child)) => {
                parts.push(start_of(child));
                open.push(child.contents());
            }
            None => {
                parts.push(Part::End);
                open.pop();
            }
        }
    }
}

fn start_of(element: Element<'_>) -> Part {
    let own = |(ns, name, value): (&str, &str, &str)| (ns.into(), name.into(), value.into());
    let mut attrs: Vec<(String, String, String)> = element.attrs().map(own).collect();
    attrs.sort();
    for (ns, name, value) in &attrs {
        assert_eq!(element.attr_ns(name, ns), Some(value.as_str()));
        assert_eq!(check_text(value), Ok(()));
    }
    Part::Start(element.ns().into(), element.name().into(), attrs)
}

/// Any way to cut a document gives the same.
pub(crate) fn check_cuts(limits: &XmlLimits, document: &[u8], sizes: &[usize]) -> Outcome {
    let whole = frame(limits, [document]);
    assert_eq!(frame(limits, document.chunks(1)), whole, "byte by byte");
    let pieces = pieces(document, sizes);
    assert_eq!(frame(limits, pieces), whole, "in pieces of {sizes:?}");
    whole
}

/// A document in pieces of these sizes, over and over.
pub(crate) fn pieces<'a>(document: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = document;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle().take(document.len()) {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// What rxml made of a document.
struct Other {
    parts: Vec<Part>,
    /// The document is whole and well-formed.
    complete: bool,
    /// Nothing is wrong as yet.
    sound: bool,
}

fn parse_with_rxml(document: &[u8]) -> Other {
    let options = rxml::Options {
        max_token_length: 1 << 20,
        ..Default::default()
    };
    let mut parser = rxml::Parser::with_options(options);
    let mut rest = document;
    let mut other = Other {
        parts: Vec::new(),
        complete: false,
        sound: true,
    };
    let mut depth = 0;
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(rxml::Event::XmlDeclaration(..))) => {}
            Ok(Some(rxml::Event::StartElement(_, (ns, name), attrs))) => {
                depth += 1;
                let own = |((ns, name), value): ((&rxml::Namespace, &rxml::NcName), &String)| {
                    (ns.as_str().into(), name.as_str().into(), value.clone())
                };
                let mut attrs: Vec<_> = attrs.iter().map(own).collect();
                attrs.sort();
                other
                    .parts
                    .push(Part::Start(ns.as_str().into(), name.as_str().into(), attrs));
            }
            Ok(Some(rxml::Event::EndElement(_))) => {
                depth -= 1;
                other.parts.push(Part::End);
            }
            Ok(Some(rxml::Event::Text(_, text))) => {
                // White space between stanzas is not framed.
                if depth == 1 && text.chars().all(|c| " \t\r\n".contains(c)) || text.is_empty() {
                    continue;
                }
                match other.parts.last_mut() {
                    Some(Part::Text(last)) => last.push_str(&text),
                    _ => other.parts.push(Part::Text(text)),
                }
            }
            Ok(None) => {
                other.complete = true;
                return other;
            }
            Err(rxml::error::EndOrError::NeedMoreData) => break,
            Err(rxml::error::EndOrError::Error(_)) => {
                other.sound = false;
                return other;
            }
        }
    }
    other.complete = matches!(parser.parse(&mut rest, true), Ok(None));
    other
}

/// Faults in what rxml takes: our bounds, what XMPP adds to XML, and two faults
/// of rxml, which lets the default namespace be declared twice and be that of
/// `xmlns`.
fn is_known_difference(fault: XmlFault) -> bool {
    use parley_xmpp::StreamCondition as S;
    fault.condition() == S::PolicyViolation
        || matches!(
            fault,
            XmlFault::TextBetweenStanzas
                // rxml 0.14 takes an empty CDATA section before the root.
                | XmlFault::TextBeforeHeader
                | XmlFault::WrongStreamNamespace
                | XmlFault::NotAStream
                | XmlFault::SecondHeader
                | XmlFault::DuplicateDeclaration
                | XmlFault::ReservedNamespace
        )
}

/// Makes line feeds of all line ends, which XML 1.0, section 2.11, has a parser
/// do first. rxml 0.14 drops or refuses a lone carriage return in the value of an
/// attribute, and keeps one that comes after a bracket in CDATA; expat reads
/// both as we do.
pub(crate) fn with_line_feeds(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    for (i, &byte) in document.iter().enumerate() {
        match byte {
            b'\r' => out.push(b'\n'),
            b'\n' if i > 0 && document[i - 1] == b'\r' => {}
            _ => out.push(byte),
        }
    }
    out
}

/// Drops white space before the header, which rxml 0.14 refuses where there is
/// no XML declaration, though the production `prolog` has it (XML 1.0, section
/// 2.8). A declaration must come first, so before that it stays.
fn without_leading_space(document: &[u8]) -> &[u8] {
    let space = document
        .iter()
        .take_while(|b| b" \t\r\n".contains(b))
        .count();
    match &document[space..] {
        rest if rest.starts_with(b"<?") => document,
        rest => rest,
    }
}

/// Replaces U+FDF0 to U+FFFD by other letters: rxml 0.14 lacks that range of
/// `NameStartChar` (XML 1.0, 5th ed., section 2.3).
fn without_late_letters(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    for chunk in document.utf8_chunks() {
        for c in chunk.valid().chars() {
            let c = match c {
                '\u{FDF0}'..='\u{FFFD}' => char::from_u32(c as u32 - 0xFDF0 + 0xF900).unwrap(),
                _ => c,
            };
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// What we accept, rxml accepts with the same tree; what rxml accepts, we accept
/// but for the known differences.
pub(crate) fn check_against_rxml(document: &[u8]) {
    let document = &without_late_letters(document)[..];
    let ours = frame(&XmlLimits::default(), [document]);
    let document = &document[..ours.closed.unwrap_or(document.len())];
    let theirs = parse_with_rxml(&with_line_feeds(without_leading_space(document)));
    let known = ours.error.is_some_and(|e| is_known_difference(e.fault));
    let shown = || String::from_utf8_lossy(document).into_owned();

    assert!(
        theirs.parts.starts_with(&ours.parts),
        "other trees: {}\nours: {:?}\ntheirs: {:?}",
        shown(),
        ours.parts,
        theirs.parts
    );
    if ours.error.is_none() && ours.between {
        assert!(theirs.sound, "only we accept: {}", shown());
        assert_eq!(ours.parts, theirs.parts, "{}", shown());
    }
    if theirs.complete && !known {
        assert_eq!(ours.error, None, "only rxml accepts: {}", shown());
        assert!(
            ours.closed.is_some(),
            "only rxml finds the end: {}",
            shown()
        );
    }
}

/// Printing a stanza and reading that gives the same stanza.
pub(crate) fn check_display(document: &[u8]) {
    let limits = XmlLimits::default();
    let mut wide = limits.clone();
    // Printing can declare a namespace for each attribute.
    wide.stanza_bytes *= 128;
    wide.value_bytes *= 8;
    wide.attributes *= 4;
    wide.declarations = 2 * wide.attributes;
    wide.bindings = 64 * wide.declarations;
    let mut framer = Framer::new(limits);
    let mut rest = document;
    while !rest.is_empty() {
        let (n, found) = framer.push(rest);
        match found {
            Some(Err(_)) => return,
            Some(Ok(Frame::Stanza(element))) => {
                let mut parts = Vec::new();
                flatten(element, &mut parts);
                let printed = format!("{BARE_HEAD}{element}");
                let again = frame(&wide, [printed.as_bytes()]);
                assert_eq!(again.error, None, "{printed}");
                assert_eq!(again.parts[1..], parts, "{printed}");
            }
            _ => {}
        }
        rest = &rest[n..];
    }
}

/// Something to do with a writer.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Start(usize),
    Attr(usize, String),
    Text(String),
    End,
}

const ELEMENTS: [&str; 4] = ["message", "body", "x", "a-b.c_1"];
const ATTRIBUTES: [&str; 4] = ["id", "to", "xml:lang", "xmlns"];

/// What is written is what is read, or nothing is written. Gives what was, and what we read.
pub(crate) fn check_writer(ops: &[Op]) -> Option<(Vec<u8>, Outcome)> {
    let mut out = HEAD.as_bytes().to_vec();
    let mut writer = Writer::new(&mut out);
    let mut expected: Vec<Part> = Vec::new();
    let mut defaults = vec!["jabber:client".to_string()];
    let mut forbidden = None;
    let mut taken = [false; ATTRIBUTES.len()];
    let mut in_tag = false;
    writer.start("top");
    expected.push(Part::Start(
        "jabber:client".into(),
        "top".into(),
        Vec::new(),
    ));
    for op in ops {
        match op {
            Op::Start(name) => {
                if defaults.len() >= 30 {
                    continue;
                }
                let name = ELEMENTS[name % ELEMENTS.len()];
                writer.start(name);
                let default = defaults.last().unwrap().clone();
                expected.push(Part::Start(default.clone(), name.into(), Vec::new()));
                defaults.push(default);
                taken = [false; ATTRIBUTES.len()];
                in_tag = true;
            }
            Op::Attr(name, value) => {
                let index = name % ATTRIBUTES.len();
                let reserved = value.starts_with("http://www.w3.org/");
                if !in_tag || core::mem::replace(&mut taken[index], true) || reserved {
                    continue;
                }
                writer.attr(ATTRIBUTES[index], value);
                forbidden = forbidden.or(check_text(value).err());
                let Some(Part::Start(ns, _, attrs)) = expected.last_mut() else {
                    unreachable!()
                };
                match ATTRIBUTES[index] {
                    "xmlns" => {
                        ns.clone_from(value);
                        defaults.last_mut().unwrap().clone_from(value);
                    }
                    "xml:lang" => {
                        let xml = "http://www.w3.org/XML/1998/namespace";
                        attrs.push((xml.into(), "lang".into(), value.clone()));
                    }
                    name => attrs.push((String::new(), name.into(), value.clone())),
                }
                attrs.sort();
            }
            Op::Text(text) => {
                writer.text(text);
                forbidden = forbidden.or(check_text(text).err());
                match expected.last_mut() {
                    _ if text.is_empty() => continue,
                    Some(Part::Text(last)) => last.push_str(text),
                    _ => expected.push(Part::Text(text.clone())),
                }
                in_tag = false;
            }
            Op::End => {
                if defaults.len() > 1 {
                    writer.end();
                    expected.push(Part::End);
                    defaults.pop();
                    in_tag = false;
                }
            }
        }
    }
    for _ in 0..defaults.len() {
        writer.end();
        expected.push(Part::End);
    }
    let finished = writer.finish();
    assert_eq!(finished.err(), forbidden);
    if forbidden.is_some() {
        assert_eq!(out, HEAD.as_bytes(), "what was written is taken back");
        return None;
    }
    out.extend_from_slice(b"</stream:stream>");
    let mut limits = XmlLimits::default();
    limits.stanza_bytes = out.len() + 1;
    limits.value_bytes = out.len() + 1;
    limits.nodes = out.len();
    let read = frame(&limits, [out.as_slice()]);
    let shown = String::from_utf8_lossy(&out);
    assert_eq!(read.error, None, "{shown}");
    assert_eq!(read.parts[1..read.parts.len() - 1], expected, "{shown}");
    assert_eq!(
        parse_with_rxml(&with_line_feeds(&out)).parts,
        read.parts,
        "{shown}"
    );
    Some((out, read))
}
