//! What was heard and dropped, until the archive shows it.
//!
//! It is read from the archive, which may show what was said later before it: then it lies behind
//! the reader, and is [looked for](crate::room::audit) there. If it is not found, a gap is told.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use super::Log;
use super::catchup::FAILURES;
use crate::cx::Cx;
use crate::event::{GapReason, RequestError};
use crate::ids::{ArchiveId, Cursor};
use crate::time::{Instant, part};

/// So many are remembered at most: more are rarely on their way into an archive at a time.
const MOST: usize = 256;

/// So many pages are read back at most to find it.
const PAGES: u32 = 32;

/// Bounded: of more, those are forgotten that were heard first, and so had the longest time to get
/// into the archive.
#[derive(Debug)]
pub(in crate::room) struct Missing {
    /// It is to be read yet.
    awaited: BTreeSet<ArchiveId>,
    /// In this order it was heard, with what was found since.
    order: VecDeque<ArchiveId>,
    /// The archive was read to its end since it was dropped, and did not show it: since then.
    late: BTreeMap<ArchiveId, Instant>,
    /// More was than can be remembered.
    too_many: bool,
    /// The place before which all was compared when the first of it was dropped.
    stand: Option<Cursor>,
    /// When it was last looked for.
    looked_at: Option<Instant>,
    /// How many pages were read for that.
    pages: u32,
    /// How often it was, or could not be.
    looks: u32,
    /// How often the archive failed then.
    failures: u32,
}

impl Log {
    /// Drops what is held back.
    pub(super) fn drop_held(&mut self, cx: &mut Cx<'_>) {
        let held = core::mem::take(&mut self.held);
        for message in &held {
            self.expect(message.id.as_ref());
        }
        if held.iter().any(|held| held.id.is_none()) {
            self.lose_unplaced(cx);
        }
        self.shown.clear();
        self.held_bytes = 0;
        (self.awaited, self.late_held) = (0, 0);
    }

    /// This was heard, and is to be read from the archive. What the reader has passed or was told
    /// is waited for no more: once it is forgotten, nothing would tell that the archive showed it.
    pub(super) fn expect(&mut self, id: Option<&ArchiveId>) {
        let Some(id) = id.filter(|id| !self.is_shown(id)) else {
            return;
        };
        self.dropped = Some(id.clone());
        if self.archived {
            let stand = self.audit.stand().map(|(at, _)| at);
            self.missing.expect(id, stand);
        }
    }

    /// Something was dropped that the archive will not show: once until we are live again.
    /// Where there is no archive, a gap is told for that.
    pub(super) fn lose_unplaced(&mut self, cx: &mut Cx<'_>) {
        if self.archived && !core::mem::replace(&mut self.unplaced_lost, true) {
            self.gap(cx, GapReason::Overflow);
        }
    }
}

impl Missing {
    pub(super) const fn new() -> Self {
        Self {
            awaited: BTreeSet::new(),
            order: VecDeque::new(),
            late: BTreeMap::new(),
            too_many: false,
            stand: None,
            looked_at: None,
            pages: 0,
            looks: 0,
            failures: 0,
        }
    }

    /// This was dropped, behind a place before which all is compared.
    pub(super) fn expect(&mut self, id: &ArchiveId, stand: Option<&Cursor>) {
        if self.awaited.is_empty() && !self.is_late() {
            self.clear();
            self.stand = stand.cloned();
        }
        if self.late.contains_key(id) || !self.awaited.insert(id.clone()) {
            return;
        }
        self.order.push_back(id.clone());
        if self.order.len() > MOST {
            // First what was found, then what was heard first.
            self.order.retain(|id| self.awaited.contains(id));
        }
        if self.order.len() > MOST
            && let Some(first) = self.order.pop_front()
        {
            self.awaited.remove(&first);
        }
    }

    /// The archive shows this, or it was told.
    pub(in crate::room) fn found(&mut self, id: &ArchiveId) {
        self.awaited.remove(id);
        self.late.remove(id);
    }

    /// The archive was read to its end after all that was dropped.
    pub(super) fn end_is_read(&mut self, now: Instant) {
        self.order.clear();
        let awaited = core::mem::take(&mut self.awaited);
        if !awaited.is_empty() {
            (self.looked_at, self.looks) = (None, 0);
        }
        self.late.extend(awaited.into_iter().map(|id| (id, now)));
        while self.late.len() > MOST {
            self.late.pop_first();
            self.too_many = true;
        }
    }

    /// Whether anything has to be looked for behind the reader.
    pub(in crate::room) fn is_late(&self) -> bool {
        !self.late.is_empty() || self.too_many
    }

    /// Whether this has to be.
    pub(in crate::room) fn has_late(&self, id: &ArchiveId) -> bool {
        self.late.contains_key(id)
    }

    /// Whether it is time to look.
    pub(in crate::room) fn is_due(&self, now: Instant, settle: Duration) -> bool {
        let rests = |at| now.since(at) < part(settle, 4);
        self.is_late() && !self.looked_at.is_some_and(rests)
    }

    pub(in crate::room) const fn look(&mut self, now: Instant) {
        (self.looked_at, self.pages) = (Some(now), 0);
    }

    /// Whether to look further back than was read so far.
    pub(in crate::room) const fn looks_on(&mut self) -> bool {
        self.pages = self.pages.saturating_add(1);
        self.pages < PAGES
    }

    /// Whether this is the place before which all was compared when the first of it was dropped.
    pub(in crate::room) fn begins_after(&self, id: &ArchiveId) -> bool {
        matches!(&self.stand, Some(Cursor::After(at)) if at == id)
    }

    /// It was looked for and not found, or could not be: counts that. Where the archive had so much
    /// time to show it, or cannot be read, it is given up: then the place is returned that it comes
    /// after, if that is known.
    pub(in crate::room) fn was_not_found(
        &mut self,
        error: Option<&RequestError>,
        now: Instant,
        settle: Duration,
    ) -> Option<Option<Cursor>> {
        if !self.is_late() {
            return None;
        }
        self.looks = self.looks.saturating_add(1);
        self.failures = match error {
            Some(RequestError::TimedOut) => self.failures.saturating_add(2),
            Some(_) => self.failures.saturating_add(1),
            None => 0,
        };
        // What was asked for then; an answer may have been long under way.
        let asked = self.looked_at.filter(|_| error.is_none()).unwrap_or(now);
        let had_its_time = self
            .late
            .values()
            .any(|since| asked.since(*since) >= settle);
        let gives_up = match error {
            Some(error) => error.is_for_good() || had_its_time && self.failures >= FAILURES,
            None => self.too_many || had_its_time && self.looks > 1,
        };
        gives_up.then(|| {
            self.late.clear();
            (self.too_many, self.looks, self.failures) = (false, 0, 0);
            self.stand.clone()
        })
    }

    /// A gap is told, or there is nothing to find it by.
    pub(in crate::room) fn clear(&mut self) {
        *self = Self::new();
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let ids = self.order.iter().chain(self.late.keys());
        // Most are there twice, by their time and to be found; the text once.
        let own = size_of::<ArchiveId>().saturating_mul(2);
        ids.map(|id| own.saturating_add(id.as_str().len()))
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const SETTLE: Duration = Duration::from_secs(60);

    fn id(text: &str) -> ArchiveId {
        ArchiveId::new(text).unwrap()
    }

    fn at(secs: u64) -> Instant {
        Instant::from_micros(secs * 1_000_000)
    }

    fn expect(missing: &mut Missing, text: &str) {
        missing.expect(&id(text), Some(&Cursor::After(id("stand"))));
    }

    fn missing(ids: &[&str]) -> Missing {
        let mut missing = Missing::new();
        ids.iter().for_each(|text| expect(&mut missing, text));
        missing
    }

    #[test]
    fn what_the_archive_did_not_show_at_its_end_is_late_until_it_does() {
        let mut missing = missing(&["z", "b"]);
        (2..MOST).for_each(|number| expect(&mut missing, &format!("c{number}")));
        expect(&mut missing, "a");
        (2..MOST).for_each(|number| missing.found(&id(&format!("c{number}"))));
        assert!(missing.held() > 0 && !missing.is_late());
        missing.found(&id("a"));
        missing.end_is_read(at(1));
        assert!(missing.has_late(&id("b")) && !missing.has_late(&id("a")));
        assert!(
            !missing.has_late(&id("z")),
            "of too many it was heard first"
        );
        assert!(missing.begins_after(&id("stand")) && !missing.begins_after(&id("b")));
        missing.found(&id("b"));
        assert!(!missing.is_late());
        missing.expect(&id("d"), None);
        assert!(!missing.begins_after(&id("stand")));
        missing.end_is_read(at(2));
        missing.clear();
        assert!(!missing.is_late() && missing.held() == 0);
    }

    #[test]
    fn it_is_looked_for_in_pauses_and_given_up_after_a_time() {
        let mut missing = missing(&["a"]);
        missing.end_is_read(at(10));
        assert!(missing.is_due(at(10), SETTLE));
        missing.look(at(10));
        assert!(!missing.is_due(at(24), SETTLE) && missing.is_due(at(25), SETTLE));
        // It has its time, and two looks at the least.
        missing.look(at(69));
        assert_eq!(missing.was_not_found(None, at(70), SETTLE), None);
        missing.look(at(70));
        let given_up = missing.was_not_found(None, at(70), SETTLE);
        assert_eq!(given_up, Some(Some(Cursor::After(id("stand")))));
        assert_eq!(missing.was_not_found(None, at(70), SETTLE), None);
    }

    #[test]
    fn an_archive_that_fails_is_asked_some_times() {
        let mut missing = missing(&["a"]);
        missing.end_is_read(at(0));
        let timed_out = RequestError::TimedOut;
        for _ in 0..2 {
            assert_eq!(
                missing.was_not_found(Some(&timed_out), at(60), SETTLE),
                None
            );
        }
        assert!(
            missing
                .was_not_found(Some(&timed_out), at(60), SETTLE)
                .is_some()
        );
        missing.expect(&id("b"), None);
        missing.end_is_read(at(70));
        let for_good = RequestError::CursorForeign;
        assert!(
            missing
                .was_not_found(Some(&for_good), at(70), SETTLE)
                .is_some()
        );
    }

    #[test]
    fn more_than_can_be_remembered_is_given_up_at_once() {
        let mut missing = missing(&["a"]);
        missing.end_is_read(at(0));
        (0..MOST).for_each(|number| expect(&mut missing, &format!("c{number}")));
        missing.end_is_read(at(1));
        assert!(missing.was_not_found(None, at(1), SETTLE).is_some());
    }

    #[test]
    fn what_was_found_makes_place_before_anything_is_forgotten() {
        let mut missing = missing(&["first", "found"]);
        (2..MOST).for_each(|number| expect(&mut missing, &format!("c{number}")));
        missing.found(&id("found"));
        expect(&mut missing, "last");
        missing.end_is_read(at(1));
        assert!(missing.has_late(&id("first")) && missing.has_late(&id("last")));
        // These are as many as can be remembered, and not too many.
        missing.look(at(1));
        assert_eq!(missing.was_not_found(None, at(1), SETTLE), None);
    }

    #[test]
    fn what_is_newly_late_is_looked_for_at_once() {
        let mut missing = missing(&["a"]);
        missing.end_is_read(at(10));
        missing.look(at(10));
        missing.end_is_read(at(11));
        assert!(!missing.is_due(at(11), SETTLE), "nothing is new");
        expect(&mut missing, "b");
        missing.end_is_read(at(12));
        assert!(missing.is_due(at(12), SETTLE));
    }

    #[test]
    fn so_many_pages_are_read_back() {
        let mut missing = missing(&["a"]);
        for _ in 0..2 {
            missing.look(at(1));
            assert_eq!((1..99).take_while(|_| missing.looks_on()).count(), 31);
        }
    }

    #[test]
    fn one_look_does_not_do() {
        let mut missing = missing(&["a"]);
        missing.end_is_read(at(10));
        missing.look(at(80));
        assert_eq!(missing.was_not_found(None, at(80), SETTLE), None);
        missing.look(at(81));
        assert!(missing.was_not_found(None, at(81), SETTLE).is_some());
    }
}
