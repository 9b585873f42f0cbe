//! Markup out of names that the program knows and data that it does not.

use alloc::vec::Vec;
use core::fmt;

use super::chars;

/// A character that XML 1.0 cannot carry, escaped or not (section 2.2), and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenChar {
    /// The character.
    pub character: char,
    /// Its byte offset in the text or value that it stands in.
    pub offset: usize,
}

impl fmt::Display for ForbiddenChar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = u32::from(self.character);
        write!(
            f,
            "XML cannot carry the character U+{code:04X} (at byte {} of the text)",
            self.offset
        )
    }
}

impl core::error::Error for ForbiddenChar {}

/// Finds the first character that XML cannot carry.
///
/// That is any but tab, line feed, carriage return, and U+0020 onward without
/// U+FFFE and U+FFFF. XML 1.0 (5th ed.), section 2.2.
///
/// # Errors
/// That character and where it stands.
pub fn check_text(text: &str) -> Result<(), ForbiddenChar> {
    match chars::first_forbidden(text) {
        None => Ok(()),
        Some((offset, character)) => Err(ForbiddenChar { character, offset }),
    }
}

/// Elements that can be open without an allocation.
const INLINE: usize = 16;

/// Appends markup to a buffer, such that parsing it gives back what was put in.
///
/// Names are literals of the program, so no data can become markup. A character
/// that XML cannot carry is remembered, nothing is written any more, and
/// [`finish`](Self::finish) tells and takes back what was appended.
///
/// ```
/// use parley_xmpp::xml::Writer;
/// let mut out = Vec::new();
/// let mut writer = Writer::new(&mut out);
/// writer.start("message").attr("to", "a@b").start("body").text("1 < 2").end().end();
/// writer.finish().unwrap();
/// assert_eq!(out, b"<message to='a@b'><body>1 &lt; 2</body></message>");
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// How long the buffer was at first.
    base: usize,
    /// The names of the innermost open elements, and the ones beyond those.
    open: [&'static str; INLINE],
    deeper: Vec<&'static str>,
    depth: usize,
    /// The last start tag can still take attributes.
    in_tag: bool,
    failed: Option<ForbiddenChar>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let base = out.len();
        Self {
            out,
            base,
            open: [""; INLINE],
            deeper: Vec::new(),
            depth: 0,
            in_tag: false,
            failed: None,
        }
    }

    /// Writes the XML declaration. It is for the start of a stream alone.
    /// RFC 6120, section 11.5.
    pub fn declaration(&mut self) -> &mut Self {
        debug_assert!(self.depth == 0, "a declaration within an element");
        self.put("<?xml version='1.0'?>")
    }

    /// Opens an element. Names come from the program, never from data.
    pub fn start(&mut self, name: &'static str) -> &mut Self {
        debug_assert!(is_qname(name), "not a name: {name:?}");
        self.end_tag();
        match self.open.get_mut(self.depth) {
            Some(slot) => *slot = name,
            None => self.deeper.push(name),
        }
        self.depth = self.depth.saturating_add(1);
        self.in_tag = true;
        self.put("<").put(name)
    }

    /// Adds an attribute to the element just opened, escaped so that no white
    /// space in it is normalised away. After a text or a child it is ignored.
    pub fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        debug_assert!(is_qname(name), "not a name: {name:?}");
        debug_assert!(self.in_tag, "an attribute {name:?} without a start tag");
        if !self.in_tag {
            return self;
        }
        self.put(" ")
            .put(name)
            .put("='")
            .put_escaped(value, true)
            .put("'")
    }

    /// Adds text, escaped. Carriage returns survive.
    pub fn text(&mut self, text: &str) -> &mut Self {
        debug_assert!(self.depth > 0, "text outside of elements");
        if text.is_empty() {
            return self;
        }
        self.end_tag();
        self.put_escaped(text, false)
    }

    /// Closes the innermost open element, `/>` where it is empty. Without one
    /// nothing happens.
    pub fn end(&mut self) -> &mut Self {
        debug_assert!(self.depth > 0, "an end without a start");
        let Some(depth) = self.depth.checked_sub(1) else {
            return self;
        };
        self.depth = depth;
        let name = match self.deeper.pop() {
            Some(name) => name,
            None => self.open.get(depth).copied().unwrap_or_default(),
        };
        if core::mem::take(&mut self.in_tag) {
            return self.put("/>");
        }
        self.close(name)
    }

    /// Closes an element that was left open by an earlier writer: the stream.
    pub fn close(&mut self, name: &'static str) -> &mut Self {
        debug_assert!(is_qname(name), "not a name: {name:?}");
        self.end_tag();
        self.put("</").put(name).put(">")
    }

    /// Ends the writing. Elements that are still open stay so, which is how a
    /// stream header is written; [`close`](Self::close) is its counterpart.
    ///
    /// # Errors
    /// The first character that XML cannot carry; then nothing was appended.
    pub fn finish(mut self) -> Result<(), ForbiddenChar> {
        self.end_tag();
        match self.failed {
            None => Ok(()),
            Some(e) => {
                self.out.truncate(self.base);
                Err(e)
            }
        }
    }

    fn end_tag(&mut self) {
        if core::mem::take(&mut self.in_tag) {
            self.put(">");
        }
    }

    fn put(&mut self, markup: &str) -> &mut Self {
        if self.failed.is_none() {
            self.out.extend_from_slice(markup.as_bytes());
        }
        self
    }

    fn put_escaped(&mut self, text: &str, in_attribute: bool) -> &mut Self {
        if let Err(e) = check_text(text) {
            self.failed.get_or_insert(e);
            return self;
        }
        let mut rest = text;
        while let Some((plain, escape, after)) = next_escape(rest, in_attribute) {
            self.put(plain).put(escape);
            rest = after;
        }
        self.put(rest)
    }
}

/// Splits off what needs no escape, gives the escape, and what comes after.
pub(super) fn next_escape(text: &str, in_attribute: bool) -> Option<(&str, &'static str, &str)> {
    let escape_of = |byte| {
        Some(match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            // Not only after `]]`: that could be in the text before.
            b'>' => "&gt;",
            b'\r' => "&#13;",
            b'"' if in_attribute => "&quot;",
            b'\'' if in_attribute => "&apos;",
            b'\t' if in_attribute => "&#9;",
            b'\n' if in_attribute => "&#10;",
            _ => return None,
        })
    };
    let (at, escape) = text
        .bytes()
        .enumerate()
        .find_map(|(at, byte)| Some((at, escape_of(byte)?)))?;
    let (plain, rest) = text.split_at_checked(at)?;
    Some((plain, escape, rest.get(1..)?))
}

/// Whether the program's name is a `QName`; only ever asserted.
fn is_qname(name: &str) -> bool {
    let is_ncname = |part: &str| {
        part.chars().next().is_some_and(chars::is_name_start)
            && part.chars().all(chars::is_name_char)
    };
    match name.split_once(':') {
        None => is_ncname(name),
        Some((prefix, local)) => is_ncname(prefix) && is_ncname(local),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespaces in XML 1.0, section 4: a name has at most one colon, with a name on both sides.
    #[test]
    fn names_of_the_program_are_names() {
        for name in ["a", "_", "a-1.b", "a:b", "\u{e9}:b1"] {
            assert!(is_qname(name), "{name}");
        }
        for name in [
            "", "1a", "a b", ":", ":a", "a:", "1:a", "a:1", "a:b:c", "a>",
        ] {
            assert!(!is_qname(name), "{name}");
        }
    }
}
