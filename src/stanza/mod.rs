//! Stanzas: what can be built can be emitted and parsed back (RFC 6120, section 8).
//!
//! Parsing gives views that borrow from the framer; only what leaves the engine
//! is copied. Building writes straight into the output.

pub(crate) mod delay;
pub(crate) mod error;
pub(crate) mod iq;
pub(crate) mod message;
pub(crate) mod presence;

/// An address as it stands in an attribute, split and not prepared.
///
/// RFC 7622 section 3.1: the first `/` ends the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawJid<'a> {
    /// Up to the first `/`.
    pub(crate) bare: &'a str,
    /// Behind it.
    pub(crate) resource: Option<&'a str>,
}

impl<'a> RawJid<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        match text.split_once('/') {
            Some((bare, resource)) => Self {
                bare,
                resource: Some(resource),
            },
            None => Self {
                bare: text,
                resource: None,
            },
        }
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
