//! Why XML was refused.

use core::fmt;

use crate::error::StreamCondition;

/// What is wrong with the XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum XmlFault {
    /// A placeholder until the framer lands.
    NotWellFormed,
}

/// XML was refused: what is wrong, and after how many bytes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlError {
    /// What is wrong.
    pub fault: XmlFault,
    /// Bytes of this stream before the one that was refused.
    pub offset: u64,
}

impl XmlError {
    /// The stream error that RFC 6120 section 4.9.3 names for it.
    #[must_use]
    pub const fn condition(&self) -> StreamCondition {
        match self.fault {
            XmlFault::NotWellFormed => StreamCondition::NotWellFormed,
        }
    }
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at byte {}", self.fault, self.offset)
    }
}

impl core::error::Error for XmlError {}
