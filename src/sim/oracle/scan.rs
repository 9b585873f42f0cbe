//! Looking for what may not be anywhere: secrets (rule S19), and what only liars say
//! (rule S12).

use core::fmt;

use crate::sim::server::MARK;

/// What is in every password of a plan, and in nothing else that is said there.
pub(super) const SECRET: &[u8] = b" secret";

/// What liars mark their texts with.
pub(super) const FORGED: &[u8] = MARK.as_bytes();

/// Looks for a word in what it is shown, in whatever pieces that comes. The word's first
/// byte must not come again in it, so that a word half seen is no beginning of another.
#[derive(Debug)]
pub(super) struct Scan {
    word: &'static [u8],
    seen: usize,
    found: bool,
}

impl Scan {
    pub(super) const fn new(word: &'static [u8]) -> Self {
        Self {
            word,
            seen: 0,
            found: false,
        }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.seen = match self.word.get(self.seen) {
                Some(wanted) if wanted == byte => self.seen.saturating_add(1),
                _ => usize::from(self.word.first() == Some(byte)),
            };
            if self.seen == self.word.len() {
                self.found = true;
                self.seen = 0;
            }
        }
    }

    /// Whether it came since this was asked last.
    pub(super) const fn found(&mut self) -> bool {
        core::mem::replace(&mut self.found, false)
    }
}

/// What an event says in full, looked through for each of the words.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) secret: Scan,
    pub(super) forged: Scan,
}

impl Looked {
    pub(super) fn through(what: &impl fmt::Debug) -> Self {
        let mut looked = Self {
            secret: Scan::new(SECRET),
            forged: Scan::new(FORGED),
        };
        // What looks on cannot fail.
        let _ = fmt::Write::write_fmt(&mut looked, format_args!("{what:?}"));
        looked
    }
}

impl fmt::Write for Looked {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.secret.read(text.as_bytes());
        self.forged.read(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_whatever_pieces() {
        let text = b"ana's  secret";
        for piece in 1..text.len() {
            let mut scan = Scan::new(SECRET);
            for piece in text.chunks(piece) {
                scan.read(piece);
            }
            assert!(scan.found() && !scan.found(), "{piece}");
        }
        let mut scan = Scan::new(FORGED);
        scan.read(b"fforged; forge");
        assert!(!scan.found());
        scan.read(b"d:");
        assert!(scan.found());
        for word in [SECRET, FORGED] {
            assert!(!word[1..].contains(&word[0]));
        }
    }
}
