//! A room's archive: what was said, in its order, and how much of it shows.
//!
//! Messages show up in the order in which they were said, at the earliest after the lag
//! that held then, but for those said while the archive was unsettled: each of them shows
//! at its own time.

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
    /// Whether it does.
    pub(super) visible: bool,
    /// It may show after what was said later.
    pub(super) unsettled: bool,
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
    /// How many of them do not show yet.
    hidden: usize,
    /// When the last message that is not unsettled shows.
    settled: Instant,
}

impl Archive {
    /// Adds a message that shows at its time; unless it is unsettled, not before the one
    /// before it does. `by_time`: its place is its time, whatever came before.
    pub(super) fn push(&mut self, mut message: Stored, by_time: bool) {
        if !message.unsettled {
            message.shows = message.shows.max(self.settled);
            self.settled = message.shows;
        }
        self.hidden = self.hidden.saturating_add(1);
        let earlier = |other: &Stored| other.micros <= message.micros;
        if by_time && self.entries.back().is_some_and(|last| !earlier(last)) {
            let at = self.entries.partition_point(earlier);
            self.entries.insert(at, message);
        } else {
            self.entries.push_back(message);
        }
    }

    /// Shows the next message that is due.
    pub(super) fn reveal(&mut self, now: Instant) -> Option<&Stored> {
        if self.hidden == 0 {
            return None;
        }
        let hidden = self.entries.iter_mut();
        let due = hidden.filter(|m| !m.visible && m.shows <= now);
        let next = due.min_by_key(|m| m.shows)?;
        next.visible = true;
        self.hidden = self.hidden.saturating_sub(1);
        Some(next)
    }

    /// When the next message shows.
    pub(super) fn next_shows(&self) -> Option<Instant> {
        self.hidden().map(|next| next.shows).min()
    }

    /// Whether something is to appear between what shows.
    pub(super) fn is_unsettled(&self) -> bool {
        self.hidden().any(|m| m.unsettled)
    }

    fn hidden(&self) -> impl Iterator<Item = &Stored> {
        let all = if self.hidden == 0 { 0 } else { usize::MAX };
        self.entries.iter().take(all).filter(|m| !m.visible)
    }

    pub(super) const fn entries(&self) -> &VecDeque<Stored> {
        &self.entries
    }

    /// All messages, to give them other ids.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.entries.iter_mut()
    }

    /// Takes the oldest message out; and whether it showed.
    pub(super) fn pop_oldest(&mut self) -> Option<(Stored, bool)> {
        let oldest = self.entries.pop_front()?;
        Some(self.out(oldest))
    }

    /// Takes the latest message out; and whether it showed.
    pub(super) fn pop_latest(&mut self) -> Option<(Stored, bool)> {
        let latest = self.entries.pop_back()?;
        Some(self.out(latest))
    }

    const fn out(&mut self, message: Stored) -> (Stored, bool) {
        let showed = message.visible;
        if !showed {
            self.hidden = self.hidden.saturating_sub(1);
        }
        (message, showed)
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
        Some((&entry.id, entry.visible))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn stored(id: u64, shows: u64) -> Stored {
        Stored {
            id: alloc::format!("{id}"),
            micros: id,
            shows: Instant::from_millis(shows),
            visible: false,
            unsettled: false,
            nick: String::new(),
            jid: String::new(),
            stanza: None,
            origin: None,
            body: String::new(),
            inner: String::new(),
            tombstone: false,
        }
    }

    fn showing(archive: &Archive) -> Vec<&str> {
        let showing = archive.entries().iter().filter(|m| m.visible);
        showing.map(|m| m.id.as_str()).collect()
    }

    #[test]
    fn what_shows_is_a_prefix_whatever_goes() {
        let mut archive = Archive::default();
        for (id, shows) in [(1, 0), (2, 500), (3, 100), (4, 900)] {
            archive.push(stored(id, shows), false);
        }
        let at = Instant::from_millis(500);
        while archive.reveal(at).is_some() {}
        assert_eq!(
            showing(&archive),
            ["1", "2", "3"],
            "the third waits for the second"
        );
        assert_eq!(archive.next_shows(), Some(Instant::from_millis(900)));
        assert!(archive.pop_latest().is_some_and(|(_, showed)| !showed));
        assert!(archive.pop_latest().is_some_and(|(_, showed)| showed));
        assert!(archive.pop_oldest().is_some_and(|(_, showed)| showed));
        assert_eq!(showing(&archive), ["2"]);
        assert_eq!(archive.retract(0), Some(("2", true)));
        assert_eq!(archive.retract(0), None);
        assert_eq!(archive.retract(1), None);
    }

    #[test]
    fn unsettled_messages_show_each_at_its_time() {
        let mut archive = Archive::default();
        for (id, shows, unsettled) in [(1, 500, true), (2, 100, true), (3, 0, false)] {
            let message = Stored {
                unsettled,
                ..stored(id, shows)
            };
            archive.push(message, false);
        }
        while archive.reveal(Instant::from_millis(100)).is_some() {}
        assert_eq!(showing(&archive), ["2", "3"]);
        assert!(archive.is_unsettled());
        while archive.reveal(Instant::from_millis(500)).is_some() {}
        assert_eq!(showing(&archive), ["1", "2", "3"]);
        assert!(!archive.is_unsettled() && archive.next_shows().is_none());
    }

    #[test]
    fn where_places_are_times_a_message_goes_to_its_time() {
        for (by_time, order) in [(true, ["3", "5", "7"]), (false, ["5", "7", "3"])] {
            let mut archive = Archive::default();
            for id in [5, 7, 3] {
                archive.push(stored(id, 0), by_time);
            }
            while archive.reveal(Instant::ZERO).is_some() {}
            assert_eq!(showing(&archive), order);
        }
    }
}
