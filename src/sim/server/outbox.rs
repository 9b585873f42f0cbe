//! Bytes that wait to be written to one connection: one slice, drained cheaply.

use alloc::vec::Vec;

/// More unread bytes than this, and the connection is given up.
const MOST: usize = 4 * 1024 * 1024;
/// Written bytes that are kept before the rest is moved up.
const SLACK: usize = 64 * 1024;

/// Bytes to write, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// So much of it was kept for a broken connection, and does not count.
    spared: usize,
}

impl Outbox {
    /// What is left to write.
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// The buffer, to append to.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Whether more waits than is kept for a client that does not read.
    pub(super) fn overflows(&self) -> bool {
        self.pending().len() > MOST.saturating_add(self.spared)
    }

    /// What is left to write now is no fault of whoever has just come back for it.
    pub(super) fn spare(&mut self) {
        self.spared = self.pending().len();
    }

    /// The first `n` bytes are written.
    pub(super) fn drain(&mut self, n: usize) {
        self.written = self.written.saturating_add(n).min(self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes.clear();
            (self.written, self.spared) = (0, 0);
        } else if self.written > SLACK && self.written > self.bytes.len() / 2 {
            // Moved are fewer bytes than were written: linear in all.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_does_not_make_it_overflow() {
        let mut outbox = Outbox::default();
        outbox.buffer().resize(2 * MOST, 0);
        assert!(outbox.overflows());
        outbox.spare();
        assert!(!outbox.overflows());
        outbox.buffer().resize(3 * MOST, 0);
        assert!(!outbox.overflows());
        outbox.buffer().push(0);
        assert!(outbox.overflows());
        outbox.drain(usize::MAX);
        outbox.buffer().resize(MOST + 1, 0);
        assert!(outbox.overflows());
    }

    #[test]
    fn what_is_left_is_what_was_not_written() {
        let mut outbox = Outbox::default();
        outbox.buffer().extend((0..200_000_u32).map(|n| n as u8));
        for step in [1, 70_000, 60_000, 0] {
            let rest = outbox.pending().get(step..).unwrap_or_default().to_vec();
            outbox.drain(step);
            assert_eq!(outbox.pending(), rest);
        }
        outbox.drain(usize::MAX);
        assert!(outbox.pending().is_empty());
    }
}
