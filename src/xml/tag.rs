//! Start tags, read strictly. XML 1.0 (5th ed.), sections 2.3, 3.1 and 3.3.3;
//! Namespaces in XML 1.0, sections 3 to 6.

use core::str;

use memchr::memchr3;

use super::chars;
use super::error::XmlFault;
use super::reference::{self, Reference};
use super::scope::Scope;
use super::tape::{Attr, Name, Span, Tape, index};
use crate::limits::XmlLimits;

/// A start tag whose attributes are on the tape and whose declarations are in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) ns: Span,
    pub(super) name: Name,
    pub(super) attrs: (u32, u32),
    /// It ends in `/>`.
    pub(super) empty: bool,
}

/// Why reading stops before the end of a tag.
enum Stop {
    /// There are no more bytes.
    Short,
    /// This is not allowed at this byte.
    Fault(XmlFault, usize),
}

/// Reads the tag that begins after its `<`.
///
/// Where `whole`, the bytes end with the `>`; else they are its first ones only,
/// and `None` says that nothing is wrong with them as yet. The first fault in
/// the order of the bytes is the one that is told, so that reading a part first
/// makes no difference. Then, and after `None`, what was put on the tape and
/// into scope is of no use.
///
/// # Errors
/// The fault and the byte where it lies.
pub(super) fn read(
    bytes: &[u8],
    whole: bool,
    tape: &mut Tape,
    scope: &mut Scope,
    limits: &XmlLimits,
) -> Result<Option<Tag>, (XmlFault, usize)> {
    let (text, torn) = match str::from_utf8(bytes) {
        Ok(text) => (text, whole),
        Err(e) => {
            let good = bytes.get(..e.valid_up_to()).unwrap_or_default();
            (
                str::from_utf8(good).unwrap_or_default(),
                whole || e.error_len().is_some(),
            )
        }
    };
    match (Reader {
        text,
        at: 0,
        tape,
        scope,
        limits,
    })
    .tag()
    {
        Ok(tag) => Ok(Some(tag)),
        Err(Stop::Fault(fault, at)) => Err((fault, at)),
        Err(Stop::Short) if torn => Err((XmlFault::InvalidUtf8, text.len())),
        Err(Stop::Short) => Ok(None),
    }
}

struct Reader<'r> {
    text: &'r str,
    at: usize,
    tape: &'r mut Tape,
    scope: &'r mut Scope,
    limits: &'r XmlLimits,
}

impl<'r> Reader<'r> {
    fn tag(&mut self) -> Result<Tag, Stop> {
        let (name, colon) = self.name()?;
        let name = self.tape.push_name(name, colon);
        if !matches!(self.peek()?, b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n') {
            return Err(self.refuse(XmlFault::MalformedName));
        }
        let first_attr = self.tape.attrs.len();
        let first_binding = self.scope.len();
        let mut count = 0;
        let empty = loop {
            let spaced = self.skip_space();
            match self.peek()? {
                b'>' => break false,
                b'/' => {
                    self.at += 1;
                    match self.peek()? {
                        b'>' => break true,
                        _ => return Err(self.refuse(XmlFault::StraySlash)),
                    }
                }
                _ if !spaced => return Err(self.refuse(XmlFault::MissingSpace)),
                _ if count == self.limits.attributes => {
                    return Err(self.refuse(XmlFault::TooManyAttributes));
                }
                _ => self.attribute(first_binding)?,
            }
            count += 1;
        };
        let ns = self.scope.element(self.tape, name.prefix());
        let ns = ns.map_err(|fault| self.refuse(fault))?;
        self.resolve_attributes(first_attr)?;
        let attrs = (index(first_attr), index(self.tape.attrs.len()));
        Ok(Tag {
            ns,
            name,
            attrs,
            empty,
        })
    }

    /// Reads an attribute and puts it on the tape, or a declaration into scope.
    fn attribute(&mut self, first_binding: usize) -> Result<(), Stop> {
        let start = self.at;
        let (name, colon) = self.name()?;
        let declares = match colon {
            None => name == "xmlns",
            Some(at) => name.get(..at) == Some("xmlns"),
        };
        if declares {
            let declared = self.scope.len() - first_binding;
            if declared >= self.limits.declarations {
                return Err(Stop::Fault(XmlFault::TooManyDeclarations, start));
            }
            if self.scope.len() >= self.limits.bindings {
                return Err(Stop::Fault(XmlFault::TooManyBindings, start));
            }
        }
        let name = self.tape.push_name(name, colon);
        self.skip_space();
        if self.peek()? != b'=' {
            return Err(self.refuse(XmlFault::MissingEquals));
        }
        self.at += 1;
        self.skip_space();
        let quote = self.peek()?;
        if !matches!(quote, b'"' | b'\'') {
            return Err(self.refuse(XmlFault::MissingQuote));
        }
        self.at += 1;
        let value = self.value(quote)?;
        if declares {
            let prefix = if colon.is_some() {
                name.local()
            } else {
                Span::default()
            };
            let bound = self.scope.bind(self.tape, prefix, value, first_binding);
            bound.map_err(|fault| self.refuse(fault))?;
        } else {
            self.tape.attrs.push(Attr {
                ns: Span::default(),
                name,
                value,
            });
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a value up to its closing quote, normalised as section 3.3.3 has it
    /// for what no document type declares: literal white space becomes spaces,
    /// what comes from references stays.
    fn value(&mut self, quote: u8) -> Result<Span, Stop> {
        let start = self.tape.here();
        let end = self.at.saturating_add(self.limits.value_bytes);
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let stop = memchr3(quote, b'<', b'&', rest.as_bytes());
            let run = rest.get(..stop.unwrap_or(rest.len())).unwrap_or_default();
            if let Some((i, _)) = chars::first_forbidden(run)
                && self.at + i < end
            {
                return Err(Stop::Fault(XmlFault::ForbiddenCharacter, self.at + i));
            }
            self.at += run.len();
            if self.at > end {
                return Err(Stop::Fault(XmlFault::ValueTooLong, end));
            }
            self.push_normalised(run);
            let byte = self.peek()?;
            if byte == quote {
                return Ok(self.tape.since(start));
            }
            if self.at == end {
                return Err(Stop::Fault(XmlFault::ValueTooLong, end));
            }
            if byte == b'<' {
                return Err(self.refuse(XmlFault::LessThanInValue));
            }
            let after = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
            let (used, found) = match reference::read(after) {
                Reference::Partial => return Err(Stop::Short),
                Reference::Is(c, used) => (used, Ok(c)),
                Reference::Refused(fault, used) => (used, Err(fault)),
            };
            // The byte that a refusal points at is not a used one.
            let used = self.at + 1 + used;
            if used > end || (used == end && found.is_err()) {
                return Err(Stop::Fault(XmlFault::ValueTooLong, end));
            }
            self.at = used;
            match found {
                Ok(c) => self.tape.text.push(c),
                Err(fault) => return Err(self.refuse(fault)),
            }
        }
    }

    fn push_normalised(&mut self, run: &str) {
        let mut rest = run;
        while let Some(at) = rest
            .bytes()
            .position(|b| matches!(b, b'\t' | b'\n' | b'\r'))
        {
            let (before, after) = rest.split_at_checked(at).unwrap_or_default();
            self.tape.text.push_str(before);
            self.tape.text.push(' ');
            let pair = after.strip_prefix("\r\n");
            rest = pair.or_else(|| after.get(1..)).unwrap_or_default();
        }
        self.tape.text.push_str(rest);
    }

    /// Reads a `QName` up to the first byte that cannot be of it: the name, and
    /// where its colon is.
    fn name(&mut self) -> Result<(&'r str, Option<usize>), Stop> {
        let start = self.at;
        let end = start.saturating_add(self.limits.name_bytes);
        let mut colon = None;
        // At the start of the name or of the part after the colon.
        let mut fresh = true;
        loop {
            let c = self.peek_char()?;
            let goes_on = if c == ':' {
                let valid = !fresh && colon.is_none();
                colon = Some(self.at - start);
                valid
            } else if fresh {
                chars::is_name_start(c)
            } else {
                chars::is_name_char(c)
            };
            if !goes_on {
                if fresh || c == ':' || !c.is_ascii() {
                    return Err(self.refuse(XmlFault::MalformedName));
                }
                let name = self.text.get(start..self.at).unwrap_or_default();
                return Ok((name, colon));
            }
            fresh = c == ':';
            self.at += c.len_utf8();
            if self.at > end {
                return Err(Stop::Fault(XmlFault::NameTooLong, end));
            }
        }
    }

    /// Gives the attributes their namespaces and finds duplicates. Every pair is
    /// compared, which the limit on attributes keeps cheap.
    fn resolve_attributes(&mut self, first: usize) -> Result<(), Stop> {
        for i in first..self.tape.attrs.len() {
            let Some(attr) = self.tape.attrs.get(i).copied() else {
                break;
            };
            let ns = self.scope.attribute(self.tape, attr.name.prefix());
            let ns = ns.map_err(|fault| self.refuse(fault))?;
            if let Some(attr) = self.tape.attrs.get_mut(i) {
                attr.ns = ns;
            }
            let (ns, local) = (self.tape.str(ns), self.tape.str(attr.name.local()));
            let mut before = self.tape.attrs.get(first..i).unwrap_or_default().iter();
            if before.any(|a| self.tape.str(a.name.local()) == local && self.tape.str(a.ns) == ns) {
                return Err(self.refuse(XmlFault::DuplicateAttribute));
            }
        }
        Ok(())
    }

    fn peek(&self) -> Result<u8, Stop> {
        self.text
            .as_bytes()
            .get(self.at)
            .copied()
            .ok_or(Stop::Short)
    }

    fn peek_char(&self) -> Result<char, Stop> {
        let byte = self.peek()?;
        if byte.is_ascii() {
            return Ok(char::from(byte));
        }
        self.text
            .get(self.at..)
            .and_then(|t| t.chars().next())
            .ok_or(Stop::Short)
    }

    /// Skips white space; tells whether there was any.
    fn skip_space(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_ok_and(chars::is_space) {
            self.at += 1;
        }
        self.at > start
    }

    /// A fault at the byte that is to be read next. What is no character at all
    /// is called that.
    fn refuse(&self, fault: XmlFault) -> Stop {
        let forbidden = self.peek_char().is_ok_and(|c| !chars::is_char(c));
        Stop::Fault(
            if forbidden {
                XmlFault::ForbiddenCharacter
            } else {
                fault
            },
            self.at,
        )
    }
}
