//! placeholder
use super::{Element, XmlError};
use crate::limits::XmlLimits;

/// What the framer found.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// The opening tag of the stream, with its attributes and no children.
    Open(Element<'a>),
    /// A whole child of the stream.
    Stanza(Element<'a>),
    /// The closing tag of the stream.
    Close,
}

/// Takes bytes, gives frames.
#[derive(Debug)]
pub struct Framer { _todo: () }

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new(_limits: XmlLimits) -> Self { Self { _todo: () } }
    /// Forgets everything: the next byte is the first of a new stream.
    pub fn restart(&mut self) {}
    /// Reads on, up to the end of the next frame.
    ///
    /// Returns how many of `bytes` were read and what they completed. With
    /// `None`, all of them were. After an error every call returns that error.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Frame<'_>, XmlError>>) { (bytes.len(), None) }
    /// Whether the last byte read was the end of a frame, or nothing but white
    /// space came after it: if not, an end of input here is a truncation.
    #[must_use]
    pub fn is_between_frames(&self) -> bool { true }
    /// Bytes of white space read since the last frame.
    #[must_use]
    pub fn idle_bytes(&self) -> usize { 0 }
}
