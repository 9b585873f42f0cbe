//! A room's archive: what was said, in its order, and how much of it shows.
//!
//! Messages show up in the order in which they were said, at the earliest after
//! the lag that held then: what shows is always a prefix of what is there.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::Instant;

/// A message in an archive.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its place.
    pub(super) id: String,
    /// The time of its stamp, in microseconds since 1970.
    pub(super) micros: u64,
    /// When it shows.
    pub(super) shows: Instant,
    pub(super) nick: String,
    /// The sender's full address.
    pub(super) jid: String,
    /// The id that the sender gave the stanza.
    pub(super) stanza: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) body: String,
    /// What is in the message, as markup, without what the archive adds.
    pub(super) inner: String,
    /// Only the place is left.
    pub(super) tombstone: bool,
}

#[derive(Debug, Default)]
pub(super) struct Archive {
    entries: VecDeque<Stored>,
    /// How many of them show.
    shown: usize,
}

impl Archive {
    /// Adds a message that shows at its time, or once the one before it does.
    pub(super) fn push(&mut self, mut message: Stored) {
        if let Some(last) = self.entries.back() {
            message.shows = message.shows.max(last.shows);
        }
        self.entries.push_back(message);
    }

    /// Shows the next message that is due.
    pub(super) fn reveal(&mut self, now: Instant) -> Option<&Stored> {
        let next = self.entries.get(self.shown)?;
        if next.shows > now {
            return None;
        }
        self.shown = self.shown.saturating_add(1);
        Some(next)
    }

    /// When the next message shows.
    pub(super) fn next_shows(&self) -> Option<Instant> {
        self.entries.get(self.shown).map(|next| next.shows)
    }

    pub(super) fn entries(&self) -> &VecDeque<Stored> {
        &self.entries
    }

    pub(super) const fn shown(&self) -> usize {
        self.shown
    }

    /// Takes the oldest message out; and whether it showed.
    pub(super) fn pop_oldest(&mut self) -> Option<(Stored, bool)> {
        let oldest = self.entries.pop_front()?;
        let showed = self.shown > 0;
        self.shown = self.shown.saturating_sub(1);
        Some((oldest, showed))
    }

    /// Takes the latest message out; and whether it showed.
    pub(super) fn pop_latest(&mut self) -> Option<(Stored, bool)> {
        let latest = self.entries.pop_back()?;
        let showed = self.shown > self.entries.len();
        self.shown = self.shown.min(self.entries.len());
        Some((latest, showed))
    }

    /// Leaves only the place of the message so many from the end; gives that
    /// place, and whether it shows.
    pub(super) fn retract(&mut self, from_end: usize) -> Option<(&str, bool)> {
        let index = self.entries.len().checked_sub(from_end.checked_add(1)?)?;
        let entry = self.entries.get_mut(index)?;
        if core::mem::replace(&mut entry.tombstone, true) {
            return None;
        }
        entry.inner.clear();
        entry.body.clear();
        Some((&entry.id, index < self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: u64, shows: u64) -> Stored {
        Stored {
            id: alloc::format!("{id}"),
            micros: id,
            shows: Instant::from_millis(shows),
            nick: String::new(),
            jid: String::new(),
            stanza: None,
            origin: None,
            body: String::new(),
            inner: String::new(),
            tombstone: false,
        }
    }

    #[test]
    fn what_shows_is_a_prefix_whatever_goes() {
        let mut archive = Archive::default();
        for (id, shows) in [(1, 0), (2, 500), (3, 100), (4, 900)] {
            archive.push(stored(id, shows));
        }
        let at = Instant::from_millis(500);
        while archive.reveal(at).is_some() {}
        assert_eq!(archive.shown(), 3, "the third waits for the second");
        assert_eq!(archive.next_shows(), Some(Instant::from_millis(900)));
        assert!(archive.pop_latest().is_some_and(|(_, showed)| !showed));
        assert!(archive.pop_latest().is_some_and(|(_, showed)| showed));
        assert!(archive.pop_oldest().is_some_and(|(_, showed)| showed));
        assert_eq!((archive.entries().len(), archive.shown()), (1, 1));
        assert_eq!(archive.retract(0), Some(("2", true)));
        assert_eq!(archive.retract(0), None);
        assert_eq!(archive.retract(1), None);
    }
}
