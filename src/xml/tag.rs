//! Start tags, read strictly. XML 1.0 (5th ed.), sections 2.3, 3.1 and 3.3.3;
//! Namespaces in XML 1.0, sections 3 to 6.

mod progress;

use core::str;

use memchr::memchr3;

use super::chars;
use super::error::XmlFault;
use super::reference::{self, Reference};
use super::scope::Scope;
use super::tape::{Attr, Name, Span, Tape, index};
use crate::limits::XmlLimits;
use progress::{Head, Named, Part, Place, Value};

pub(super) use progress::{Awaited, Progress};

/// A start tag whose attributes are on the tape and whose declarations are in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub(super) ns: Span,
    pub(super) name: Name,
    pub(super) attrs: (u32, u32),
    /// It ends in `/>`.
    pub(super) empty: bool,
    /// Bindings in scope around it.
    pub(super) outer: usize,
}

/// Why reading stops before the end of a tag.
enum Stop {
    /// There are no more bytes.
    Short,
    /// This is not allowed at this byte.
    Fault(XmlFault, usize),
}

/// Reads the tag that begins after its `<`, on from where `progress` says.
///
/// Where `whole`, the bytes end with the `>`; else they are its first ones only,
/// and `None` says that nothing is wrong with them as yet. The first fault in
/// the order of the bytes is the one that is told, so that reading a part first
/// makes no difference. Then what was put on the tape and into scope is of no
/// use; after `None` it is what `progress` speaks of.
///
/// # Errors
/// The fault and the byte where it lies.
pub(super) fn read(
    bytes: &[u8],
    whole: bool,
    progress: &mut Progress,
    tape: &mut Tape,
    scope: &mut Scope,
    limits: &XmlLimits,
) -> Result<Option<Tag>, (XmlFault, usize)> {
    let base = progress.at;
    let unread = bytes.get(base..).unwrap_or_default();
    let (text, torn) = match str::from_utf8(unread) {
        Ok(text) => (text, whole),
        Err(e) => {
            let good = unread.get(..e.valid_up_to()).unwrap_or_default();
            (
                str::from_utf8(good).unwrap_or_default(),
                whole || e.error_len().is_some(),
            )
        }
    };
    let mut reader = Reader {
        text,
        whole,
        base,
        at: base,
        progress,
        tape,
        scope,
        limits,
    };
    match reader.tag() {
        Ok(tag) => Ok(Some(tag)),
        Err(Stop::Fault(fault, at)) => Err((fault, at)),
        Err(Stop::Short) if torn => Err((XmlFault::InvalidUtf8, base.saturating_add(text.len()))),
        Err(Stop::Short) => {
            tape.rewind(progress.tape);
            scope.truncate(progress.bindings);
            Ok(None)
        }
    }
}

struct Reader<'r> {
    /// The bytes of the tag from `base` on.
    text: &'r str,
    /// It ends with the tag: nothing has to be kept for more of it.
    whole: bool,
    base: usize,
    at: usize,
    progress: &'r mut Progress,
    tape: &'r mut Tape,
    scope: &'r mut Scope,
    limits: &'r XmlLimits,
}

impl<'r> Reader<'r> {
    fn tag(&mut self) -> Result<Tag, Stop> {
        let mut head = match self.progress.place {
            Place::Name(part) => self.head(part)?,
            Place::Attributes(head) => head,
            Place::AttributeName(head, part) => self.attribute(head, part)?,
            Place::Equals(head, named) => self.equals(head, named)?,
            Place::Quote(head, named) => self.quote(head, named)?,
            Place::Value(head, value) => self.rest_of_attribute(head, &value)?,
        };
        let empty = loop {
            head.spaced |= self.skip_space();
            if !self.whole {
                self.reached(Place::Attributes(head));
            }
            match self.peek()? {
                b'>' => break false,
                b'/' => {
                    self.at = self.at.saturating_add(1);
                    match self.peek()? {
                        b'>' => break true,
                        _ => return Err(self.refuse(XmlFault::StraySlash)),
                    }
                }
                _ if !head.spaced => return Err(self.refuse(XmlFault::MissingSpace)),
                _ if head.count == self.limits.attributes => {
                    return Err(self.refuse(XmlFault::TooManyAttributes));
                }
                _ => {
                    let part = Part::begin(self.at, self.tape, self.limits);
                    head = self.attribute(head, part)?;
                }
            }
        };
        let ns = self.scope.element(self.tape, head.name.prefix());
        let ns = ns.map_err(|fault| self.refuse(fault))?;
        self.resolve_attributes(head.first_attr)?;
        let attrs = (index(head.first_attr), index(self.tape.attrs.len()));
        Ok(Tag {
            ns,
            name: head.name,
            attrs,
            empty,
            outer: self.progress.outer,
        })
    }

    /// Notes that what is before `at` need not be read again, should the bytes end.
    fn reached(&mut self, place: Place) {
        self.progress.at = self.at;
        self.progress.place = place;
        self.progress.tape = self.tape.mark();
        self.progress.bindings = self.scope.len();
    }

    /// Reads the name of the tag on.
    fn head(&mut self, part: Part) -> Result<Head, Stop> {
        let (name, _) = self.name(part, Place::Name)?;
        if !matches!(self.peek()?, b'/' | b'>' | b' ' | b'\t' | b'\r' | b'\n') {
            return Err(self.refuse(XmlFault::MalformedName));
        }
        Ok(Head {
            name,
            first_attr: self.tape.attrs.len(),
            count: 0,
            spaced: false,
        })
    }

    /// Reads an attribute on from its name, and puts it on the tape, or a declaration into
    /// scope; so do those that follow, from where it was read to.
    fn attribute(&mut self, head: Head, part: Part) -> Result<Head, Stop> {
        let (name, colon) = self.name(part, |part| Place::AttributeName(head, part))?;
        let text = self.tape.str(name.whole());
        let declares = match colon {
            None => text == "xmlns",
            Some(at) => text.get(..at) == Some("xmlns"),
        };
        if declares {
            let declared = self.scope.len().saturating_sub(self.progress.outer);
            if declared >= self.limits.declarations {
                return Err(Stop::Fault(XmlFault::TooManyDeclarations, part.start));
            }
            if self.scope.len() >= self.limits.bindings {
                return Err(Stop::Fault(XmlFault::TooManyBindings, part.start));
            }
        }
        let colon = colon.is_some();
        self.equals(
            head,
            Named {
                name,
                declares,
                colon,
            },
        )
    }

    fn equals(&mut self, head: Head, named: Named) -> Result<Head, Stop> {
        self.skip_space();
        if self.peek_in(Place::Equals(head, named))? != b'=' {
            return Err(self.refuse(XmlFault::MissingEquals));
        }
        self.at = self.at.saturating_add(1);
        self.quote(head, named)
    }

    fn quote(&mut self, head: Head, named: Named) -> Result<Head, Stop> {
        self.skip_space();
        let quote = self.peek_in(Place::Quote(head, named))?;
        if !matches!(quote, b'"' | b'\'') {
            return Err(self.refuse(XmlFault::MissingQuote));
        }
        self.at = self.at.saturating_add(1);
        let value = Value {
            named,
            quote,
            start: self.tape.here(),
            end: self.at.saturating_add(self.limits.value_bytes),
        };
        self.rest_of_attribute(head, &value)
    }

    fn rest_of_attribute(&mut self, mut head: Head, attribute: &Value) -> Result<Head, Stop> {
        let value = self.value(&head, attribute)?;
        let Named {
            name,
            declares,
            colon,
        } = attribute.named;
        if declares {
            let prefix = if colon { name.local() } else { Span::default() };
            let outer = self.progress.outer;
            let bound = self.scope.bind(self.tape, prefix, value, outer);
            bound.map_err(|fault| self.refuse(fault))?;
        } else {
            self.tape.attrs.push(Attr {
                ns: Span::default(),
                name,
                value,
            });
        }
        self.at = self.at.saturating_add(1);
        head.count = head.count.saturating_add(1);
        head.spaced = false;
        Ok(head)
    }

    /// Reads a value up to its closing quote, normalised as section 3.3.3 has it
    /// for what no document type declares: literal white space becomes spaces,
    /// what comes from references stays.
    fn value(&mut self, head: &Head, value: &Value) -> Result<Span, Stop> {
        let Value { quote, end, .. } = *value;
        loop {
            let rest = self.rest();
            let stop = memchr3(quote, b'<', b'&', rest.as_bytes());
            let run = rest.get(..stop.unwrap_or(rest.len())).unwrap_or_default();
            if let Some((i, _)) = chars::first_forbidden(run)
                && self.at.saturating_add(i) < end
            {
                return Err(Stop::Fault(
                    XmlFault::ForbiddenCharacter,
                    self.at.saturating_add(i),
                ));
            }
            if self.at.saturating_add(run.len()) > end {
                return Err(Stop::Fault(XmlFault::ValueTooLong, end));
            }
            // A carriage return may be the first half of a line end.
            let whole = match stop {
                None => run.strip_suffix('\r').unwrap_or(run),
                Some(_) => run,
            };
            self.at = self.at.saturating_add(whole.len());
            self.push_normalised(whole);
            if !self.whole {
                self.reached(Place::Value(*head, *value));
            }
            let Some(stop) = stop else {
                return Err(Stop::Short);
            };
            let byte = rest.as_bytes().get(stop).copied().ok_or(Stop::Short)?;
            if byte == quote {
                return Ok(self.tape.since(value.start));
            }
            if self.at == end {
                return Err(Stop::Fault(XmlFault::ValueTooLong, end));
            }
            if byte == b'<' {
                return Err(self.refuse(XmlFault::LessThanInValue));
            }
            let after = rest
                .as_bytes()
                .get(stop.saturating_add(1)..)
                .unwrap_or_default();
            let (used, found) = match reference::read(after) {
                // However it ends, that is beyond the limit.
                Reference::Partial
                    if self.at.saturating_add(1).saturating_add(after.len()) > end =>
                {
                    return Err(Stop::Fault(XmlFault::ValueTooLong, end));
                }
                Reference::Partial => return Err(Stop::Short),
                Reference::Is(c, used) => (used, Ok(c)),
                Reference::Refused(fault, used) => (used, Err(fault)),
            };
            // The byte that a refusal points at is not a used one.
            let used = self.at.saturating_add(1).saturating_add(used);
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

    /// Reads a `QName` on, up to the first byte that cannot be of it, and puts it on the tape:
    /// the name, and where its colon is. `place` is that of a part of it.
    fn name(
        &mut self,
        mut part: Part,
        place: impl FnOnce(Part) -> Place,
    ) -> Result<(Name, Option<usize>), Stop> {
        let from = self.at;
        loop {
            let c = match self.peek_char() {
                Ok(c) => c,
                Err(stop) => {
                    self.push_name_since(from);
                    self.reached(place(part));
                    return Err(stop);
                }
            };
            let goes_on = if c == ':' {
                let valid = !part.fresh && part.colon.is_none();
                part.colon = Some(self.at.saturating_sub(part.start));
                valid
            } else if part.fresh {
                chars::is_name_start(c)
            } else {
                chars::is_name_char(c)
            };
            if !goes_on {
                if part.fresh || c == ':' || !c.is_ascii() {
                    return Err(self.refuse(XmlFault::MalformedName));
                }
                self.push_name_since(from);
                return Ok((self.tape.name_since(part.on_tape, part.colon), part.colon));
            }
            part.fresh = c == ':';
            self.at = self.at.saturating_add(c.len_utf8());
            if self.at > part.end {
                return Err(Stop::Fault(XmlFault::NameTooLong, part.end));
            }
        }
    }

    fn push_name_since(&mut self, from: usize) {
        let (from, to) = (
            from.saturating_sub(self.base),
            self.at.saturating_sub(self.base),
        );
        let run = self.text.get(from..to).unwrap_or_default();
        self.tape.text.push_str(run);
    }

    /// Gives the attributes their namespaces and finds duplicates. Every pair is compared,
    /// which the limit on attributes keeps cheap: namespaces by their place, since equal ones
    /// have one (`Scope::bind`), and then names, each of which is in this tag.
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
            let same = |a: &Attr| a.ns == ns && self.tape.same(a.name.local(), attr.name.local());
            let mut before = self.tape.attrs.get(first..i).unwrap_or_default().iter();
            if before.any(same) {
                return Err(self.refuse(XmlFault::DuplicateAttribute));
            }
        }
        Ok(())
    }

    fn rest(&self) -> &'r str {
        self.text
            .get(self.at.saturating_sub(self.base)..)
            .unwrap_or_default()
    }

    fn peek(&self) -> Result<u8, Stop> {
        let bytes = self.text.as_bytes();
        let byte = bytes.get(self.at.saturating_sub(self.base));
        byte.copied().ok_or(Stop::Short)
    }

    /// The next byte; without one, reading goes on in that place.
    fn peek_in(&mut self, place: Place) -> Result<u8, Stop> {
        let byte = self.peek();
        if byte.is_err() {
            self.reached(place);
        }
        byte
    }

    fn peek_char(&self) -> Result<char, Stop> {
        let byte = self.peek()?;
        if byte.is_ascii() {
            return Ok(char::from(byte));
        }
        self.rest().chars().next().ok_or(Stop::Short)
    }

    /// Skips white space; tells whether there was any.
    fn skip_space(&mut self) -> bool {
        let start = self.at;
        while self.peek().is_ok_and(chars::is_space) {
            self.at = self.at.saturating_add(1);
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
