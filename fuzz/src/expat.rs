//! libexpat as an oracle: what Prosody reads with, and so what stanzas of others went through.
//!
//! Whatever we accept it accepts, with the same tree, cut or whole; and it accepts nothing more,
//! but for these deliberate differences, each with a test in `tests.rs` that shows when it is
//! none any more:
//!
//! - Only we accept names with letters that came with the fifth edition of XML 1.0, section 2.3,
//!   such as U+20AC, U+203F, U+FDF0, U+FFFD, U+1F600 and U+EFFFF. RFC 6120, section 16.1, cites
//!   that edition; libexpat 2.5 has the tables of the fourth (appendix B). See [`twin`].
//! - Only expat accepts what [`is_known_difference`] lists: what XMPP takes from XML, and our
//!   bounds.
//! - Comments, processing instructions and document type declarations expat reads, but is stopped
//!   at, so that it does refuse them here.
//!
//! What is deliberate against rxml stands in `tests/support/xml.rs`.

mod sys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use parley_xmpp::xml::XmlFault;
use parley_xmpp::{StreamCondition, XmlLimits};

use crate::xml::{Outcome, Part, frame, pieces};
use sys::{Ending, Name};

/// What expat made of a document.
#[derive(Debug)]
pub(crate) struct Reading {
    /// As ours: without the white space between stanzas.
    pub(crate) parts: Vec<Part>,
    ending: Ending,
    depth: usize,
}

impl Reading {
    /// Reads a document in pieces.
    pub(crate) fn of<'a>(document: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut reading = Self {
            parts: Vec::new(),
            ending: Ending::Cut,
            depth: 0,
        };
        reading.ending = sys::parse(document, &mut reading);
        reading
    }

    /// Whether the document is whole and well-formed.
    pub(crate) fn is_whole(&self) -> bool {
        self.ending == Ending::Whole
    }

    /// The letter at which it was refused, if that is a name's, with one that both editions of
    /// XML have in its place.
    pub(crate) fn late_letter(&self, document: &[u8]) -> Option<(char, char)> {
        let Ending::Refused(sys::INVALID_TOKEN, at) = self.ending else {
            return None;
        };
        let rest = document.get(at..)?.utf8_chunks().next()?.valid();
        let letter = rest.chars().next()?;
        let other = twin(letter)?;
        (other != letter).then_some((letter, other))
    }
}

impl sys::Handler for Reading {
    fn start(&mut self, (ns, name): Name<'_>, attributes: Vec<(Name<'_>, Cow<'_, str>)>) {
        let own = |((ns, name), value): (Name<'_>, Cow<'_, str>)| {
            (ns.into_owned(), name.into_owned(), value.into_owned())
        };
        let mut attrs: Vec<_> = attributes.into_iter().map(own).collect();
        attrs.sort();
        self.parts
            .push(Part::Start(ns.into_owned(), name.into_owned(), attrs));
        self.depth += 1;
    }

    fn text(&mut self, text: &str) {
        if self.depth == 1 && text.chars().all(|c| " \t\r\n".contains(c)) || text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.into())),
        }
    }

    fn end(&mut self) {
        self.parts.push(Part::End);
        self.depth -= 1;
    }
}

/// What we and expat make of a document is the same, be it read whole or in pieces of these sizes,
/// but for the deliberate differences.
///
/// # Panics
/// If it is not.
pub(crate) fn check(limits: &XmlLimits, document: &[u8], sizes: &[usize]) {
    check_framing(document, sizes, &|pieces| {
        frame(limits, pieces.iter().copied())
    });
}

/// The same of whatever frames documents in pieces.
fn check_framing(document: &[u8], sizes: &[usize], ours: &dyn Fn(&[&[u8]]) -> Outcome) {
    let mut document = Cow::Borrowed(document);
    // Each round takes one letter out of all tags; those that take its place are never replaced.
    while let Err((why, late)) = compare(&document, sizes, ours) {
        let replaced = late.map(|(letter, other)| replace(&document, letter, other));
        match replaced {
            Some(replaced) if replaced != *document => document = replaced.into(),
            _ => panic!("{why}: {}", String::from_utf8_lossy(&document)),
        }
    }
}

/// Says in what we and expat differ, and the letter that may be all of it.
fn compare(
    document: &[u8],
    sizes: &[usize],
    ours: &dyn Fn(&[&[u8]]) -> Outcome,
) -> Result<(), (String, Option<(char, char)>)> {
    for pieces in [vec![document], pieces(document, sizes)] {
        let ours = ours(&pieces);
        // What comes behind the end of the stream is nobody's.
        let mut left = ours.closed.unwrap_or(document.len());
        let theirs = Reading::of(pieces.into_iter().map(|piece| {
            let piece = &piece[..piece.len().min(left)];
            left -= piece.len();
            piece
        }));
        agree(&ours, &theirs).map_err(|why| (why, theirs.late_letter(document)))?;
    }
    Ok(())
}

/// Whether what we made of a document is what expat made of it.
///
/// # Errors
/// What differs.
pub(crate) fn agree(ours: &Outcome, theirs: &Reading) -> Result<(), String> {
    let differ = |how: &str| {
        let by = sys::version();
        Err(format!("{how}\nours: {ours:?}\n{by}: {theirs:?}\nof"))
    };
    // What was framed was told, whatever came behind it.
    if !theirs.parts.starts_with(&ours.parts) {
        return differ("other trees");
    }
    // In the middle of a tag expat may know already what we find at its end.
    let known = ours.closed.is_some() || ours.between;
    match (ours.error, theirs.ending) {
        (None, Ending::Refused(code, at)) if known => {
            differ(&format!("only we accept: {} at {at}", sys::explain(code)))
        }
        (None, Ending::Cut) if ours.closed.is_some() => differ("only we find the end"),
        (None, Ending::Whole) if ours.closed.is_none() => differ("only expat finds the end"),
        (None, _) if known && theirs.parts != ours.parts => differ("other trees"),
        (Some(error), Ending::Whole) if !is_known_difference(error.fault) => {
            differ("only expat accepts")
        }
        _ => Ok(()),
    }
}

/// Faults in what expat takes. Comments and the like are none, since it is stopped at them.
fn is_known_difference(fault: XmlFault) -> bool {
    // Our bounds. RFC 6120, section 4.9.3.14, leaves policies to each.
    fault.condition() == StreamCondition::PolicyViolation
        || matches!(
            fault,
            // What XMPP wants of a root and of what stands between stanzas: RFC 6120, sections
            // 4.8.1, 4.9.3.24 and 11.7.
            XmlFault::WrongStreamNamespace
                | XmlFault::NotAStream
                | XmlFault::SecondHeader
                | XmlFault::TextBetweenStanzas
                // UTF-8 without a mark, and said so if anything is: RFC 6120, section 11.6.
                | XmlFault::ForeignEncoding
                | XmlFault::DeclaredEncoding
                | XmlFault::ByteOrderMark
                // The version is 1.0, where expat takes any word: RFC 6120, section 11.8.
                | XmlFault::DeclaredVersion
                // There is no external markup: RFC 6120, section 11.5.
                | XmlFault::DeclaredStandalone
        )
}

/// A letter that may stand wherever this one may by the fifth edition of XML 1.0, section 2.3,
/// and by the fourth; none, if this may not stand in a name or is ASCII, in which the editions
/// are the same.
fn twin(letter: char) -> Option<char> {
    match letter {
        // `NameStartChar`
        '\u{C0}'..='\u{D6}'
        | '\u{D8}'..='\u{F6}'
        | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}'
        | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}'
        | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}' => Some('\u{4E00}'),
        // `NameChar`, and not that
        '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}' => Some('\u{B7}'),
        _ => None,
    }
}

/// Puts a letter in the place of another, in tags only: in texts and values they stay, and are
/// compared.
fn replace(document: &[u8], from: char, to: char) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    let mut place = Place::Text;
    let mut at = 0;
    for chunk in document.utf8_chunks() {
        for c in chunk.valid().chars() {
            let rest = &document[at..];
            at += c.len_utf8();
            place = match (place, c) {
                (Place::Text, '<') if rest.starts_with(b"<![CDATA[") => Place::CData,
                (Place::Text, '<') => Place::Tag,
                (Place::Tag, '>') => Place::Text,
                (Place::Tag, '\'' | '"') => Place::Value(c),
                (Place::Value(quote), _) if c == quote => Place::Tag,
                (Place::CData, '>') if document[..at].ends_with(b"]]>") => Place::Text,
                _ => place,
            };
            let c = match place {
                Place::Tag if c == from => to,
                _ => c,
            };
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
        at += chunk.invalid().len();
    }
    out
}

/// Where a letter stands, in what is well-formed up to there.
#[derive(Clone, Copy)]
enum Place {
    Text,
    Tag,
    Value(char),
    CData,
}
