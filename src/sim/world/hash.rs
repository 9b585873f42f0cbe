//! One number for all that happened: two runs that differ in anything differ in it.

use core::fmt::{self, Write as _};

use crate::Instant;
use crate::sim::happening::Happening;

/// FNV-1a, eight bytes at a time: not against forgery, only for comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }

    /// Takes in what happens, and when.
    pub(super) fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        self.word(at.as_micros());
        match happening {
            Happening::Written { link, by, bytes } => {
                self.word(u64::from(link.0));
                self.word(*by as u64);
                self.bytes(bytes);
            }
            Happening::Read { link, by, bytes } => {
                self.word(u64::from(link.0));
                self.word(*by as u64 | 2);
                self.bytes(bytes);
            }
            other => {
                // What a writer of hashes takes cannot fail.
                let _ = write!(self, "{other:?}");
            }
        }
    }

    const fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
        self.word(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
