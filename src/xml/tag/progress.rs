//! How far a start tag was read that comes in pieces, and when it is to be looked at again.

use memchr::memchr;

use crate::limits::XmlLimits;
use crate::xml::chars;
use crate::xml::scope::Scope;
use crate::xml::tape::{Mark, Name, Tape};

/// How far a tag was read that comes in pieces, so that nothing of it is read twice, but for
/// the bytes of a character or a reference that is not whole.
#[derive(Clone, Copy, Debug)]
pub(in crate::xml) struct Progress {
    /// Bytes of the tag that need not be seen again.
    pub(super) at: usize,
    pub(super) place: Place,
    /// What there was on the tape then, and in scope.
    pub(super) tape: Mark,
    pub(super) bindings: usize,
    /// Bindings in scope around the tag.
    pub(super) outer: usize,
}

/// Where in a tag reading goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In the name of the tag.
    Name(Part),
    /// Before an attribute, or the end.
    Attributes(Head),
    /// In the name of an attribute.
    AttributeName(Head, Part),
    /// Before its equals sign.
    Equals(Head, Named),
    /// Before the quote that opens its value.
    Quote(Head, Named),
    Value(Head, Value),
}

/// A name, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Where it begins, in the tag and on the tape.
    pub(super) start: usize,
    pub(super) on_tape: u32,
    /// The first byte of the tag that it may not have.
    pub(super) end: usize,
    /// Where in it the colon is.
    pub(super) colon: Option<usize>,
    /// At the start of the name or of the part after the colon.
    pub(super) fresh: bool,
}

impl Part {
    pub(super) fn begin(at: usize, tape: &Tape, limits: &XmlLimits) -> Self {
        Self {
            start: at,
            on_tape: tape.here(),
            end: at.saturating_add(limits.name_bytes),
            colon: None,
            fresh: true,
        }
    }
}

/// An attribute of which the name is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) name: Name,
    /// It is a declaration: of a prefix, where it has a colon.
    pub(super) declares: bool,
    pub(super) colon: bool,
}

/// What is before the attribute that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) name: Name,
    pub(super) first_attr: usize,
    /// Attributes before it.
    pub(super) count: usize,
    /// There was white space after them.
    pub(super) spaced: bool,
}

/// An attribute whose value is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) named: Named,
    pub(super) quote: u8,
    /// Where the value begins on the tape.
    pub(super) start: u32,
    /// The first byte of the tag that it may not have.
    pub(super) end: usize,
}

impl Progress {
    /// Nothing was read of the tag that is to be put on the tape as it is.
    pub(in crate::xml) fn begin(tape: &Tape, scope: &Scope, limits: &XmlLimits) -> Self {
        Self {
            at: 0,
            place: Place::Name(Part::begin(0, tape, limits)),
            tape: tape.mark(),
            bindings: scope.len(),
            outer: scope.len(),
        }
    }

    /// With how many bytes of the tag what is read now can be too long at the earliest, `len` of
    /// which were read: however the tag goes on, with fewer it is not.
    pub(in crate::xml) fn due(&self, len: usize) -> usize {
        let end = match self.place {
            Place::Name(part) | Place::AttributeName(_, part) => part.end,
            Place::Value(_, value) => value.end,
            Place::Attributes(_) | Place::Equals(..) | Place::Quote(..) => usize::MAX,
        };
        // A character that crosses a limit is one when it is whole.
        end.max(len).saturating_add(1)
    }

    /// What has to come before any other limit can be crossed, and where to look for it from.
    pub(in crate::xml) const fn awaited(&self) -> (Awaited, usize) {
        let awaited = match self.place {
            Place::Name(_) | Place::AttributeName(..) => Awaited::EndOfName,
            Place::Attributes(_) | Place::Equals(..) | Place::Quote(..) => Awaited::NoSpace,
            Place::Value(_, value) => Awaited::Quote(value.quote),
        };
        (awaited, self.at)
    }

    /// With how many bytes of the tag another limit can be crossed at the earliest, when what was
    /// awaited came as its byte `at`: however the tag goes on from there, with fewer none is.
    pub(in crate::xml) fn due_behind(&self, at: usize, limits: &XmlLimits) -> usize {
        let after = |bytes: usize| at.saturating_add(bytes);
        // How many attributes there were before what is read now.
        let count = match self.place {
            Place::Name(_) => 0,
            Place::Attributes(head)
            | Place::AttributeName(head, _)
            | Place::Equals(head, _)
            | Place::Quote(head, _)
            | Place::Value(head, _) => head.count,
        };
        // The next name begins here, the next value behind its quote.
        let name = after(limits.name_bytes.saturating_add(1));
        let value = after(limits.value_bytes.saturating_add(2));
        // ` a=''` are five bytes, the last three of which may be all that is to come of one.
        let attributes = limits.attributes.saturating_sub(count).saturating_mul(5);
        let attributes = after(attributes.saturating_sub(2));
        // ` xmlns=''` are nine, likewise; that one is too many is seen behind its name.
        let declared = self.bindings.saturating_sub(self.outer);
        let left = limits
            .declarations
            .saturating_sub(declared)
            .min(limits.bindings.saturating_sub(self.bindings));
        let declarations = after(match self.place {
            Place::AttributeName(..) if left == 0 => 1,
            _ => left.saturating_mul(9).saturating_sub(1).max(6),
        });
        let earliest = name.min(value).min(attributes).min(declarations);
        earliest.max(after(1))
    }
}

/// What is behind a name, a gap or a value that is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::xml) enum Awaited {
    /// A byte that no name has.
    EndOfName,
    /// Anything but white space.
    NoSpace,
    /// The quote that closes the value.
    Quote(u8),
}

impl Awaited {
    /// The first of those bytes that is it.
    pub(in crate::xml) fn position(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::EndOfName => first_not(bytes, chars::is_in_name),
            Self::NoSpace => first_not(bytes, chars::is_space),
            Self::Quote(quote) => memchr(quote, bytes),
        }
    }
}

/// The first byte that is not such a one. Sixteen are judged at once: without an early end
/// that takes a few instructions.
fn first_not(bytes: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    let all = |chunk: &&[u8; 16]| chunk.iter().fold(true, |all, &byte| all & is(byte));
    let same = bytes.as_chunks().0.iter().take_while(all).count();
    let from = same.saturating_mul(16);
    let rest = bytes.get(from..)?;
    let at = rest.iter().position(|&byte| !is(byte))?;
    Some(from.saturating_add(at))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn the_first_that_is_not_is_found_wherever_it_stands() {
        for len in 0..70 {
            for first in 0..=len {
                for more in 0..3 {
                    let mut bytes = vec![b'a'; len];
                    for byte in bytes.iter_mut().skip(first).take(1 + more) {
                        *byte = b' ';
                    }
                    let expected = Some(first).filter(|first| *first < len);
                    assert_eq!(first_not(&bytes, |byte| byte == b'a'), expected);
                }
            }
        }
    }
}
