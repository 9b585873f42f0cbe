//! Stanzas: what can be built can be emitted and parsed back (RFC 6120, section 8).
//!
//! Parsing gives views that borrow from the framer; only what leaves the engine
//! is copied. Building writes straight into the output.

pub(crate) mod delay;
pub(crate) mod error;
pub(crate) mod iq;
pub(crate) mod message;
pub(crate) mod presence;

use crate::limits::Limits;

/// An address as it stands in an attribute, split and not prepared.
///
/// RFC 7622 section 3.1: the first `/` ends the domain. Section 3.4: what is behind it "MUST NOT
/// be zero octets in length and MUST NOT be more than 1023 octets in length"; so nobody is
/// at `room/`, and no nick is longer than [`Limits::NICK_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawJid<'a> {
    /// Up to the first `/`.
    pub(crate) bare: &'a str,
    /// Behind it.
    pub(crate) resource: Option<&'a str>,
}

impl<'a> RawJid<'a> {
    /// Splits an address; `None` if its resource is none.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        resource
            .is_none_or(Limits::is_nick)
            .then_some(Self { bare, resource })
    }
}

/// The longest piece of a peer's prose that is kept, in bytes.
const PROSE_BYTES: usize = 1024;

/// A copy of a peer's prose, cut at [`PROSE_BYTES`]; `None` where it is empty.
pub(crate) fn prose(text: &str) -> Option<alloc::string::String> {
    let mut end = text.len().min(PROSE_BYTES);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).filter(|t| !t.is_empty()).map(Into::into)
}
