//! Catching up: reading the archive from the cursor to its end (XEP-0313 v1.1.3).
//!
//! Where no cursor is known, the end itself is asked for first. A cursor that the archive
//! does not show is looked for again before it is told to be gone. The end counts as
//! reached only once the archive shows what was held back meanwhile.
//!
//! What was held back and what comes of it is for the [log](super) to say.

use alloc::boxed::Box;
use core::time::Duration;

use super::{Log, Phase};
use crate::cx::{Cx, Purpose};
use crate::event::{GapReason, RequestError};
use crate::ids::{ArchiveId, Cursor, Label};
use crate::mam::{self, Barren, Direction, Fin, Pager, WholePage};
use crate::planted::{Bug, planted};
use crate::room::told::Turn;
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer};

/// How often the archive may not know the cursor, before the end is reached: once
/// is retention, again and again is an archive that forgets what it says.
const EXPIRATIONS: u32 = 3;

/// How long to wait before a lagging archive is looked at again; twice as long each
/// time, up to eight times.
const LOOK: Duration = Duration::from_millis(250);

/// How often in a row reading the archive may fail before a gap is declared.
pub(in crate::room) const FAILURES: u32 = 5;

impl Log {
    /// Begins to read the archive from where the reader stands.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, at: &str) {
        if self.cursor.is_none() {
            self.phase = Phase::Anchoring;
            self.pager = Pager::new(Direction::Backward, None, 1);
            self.request(cx, at, 1);
        } else {
            self.begin_at_cursor(cx, at);
        }
    }

    fn begin_at_cursor(&mut self, cx: &mut Cx<'_>, at: &str) {
        if let Some(cursor) = &self.cursor {
            self.audit.begins(cursor);
        }
        self.restart(cx, at);
    }

    /// Begins to read the archive after the cursor.
    pub(in crate::room) fn restart(&mut self, cx: &mut Cx<'_>, at: &str) {
        let cursor = self.cursor.clone().unwrap_or(Cursor::Beginning);
        self.audit.anchor(&cursor, &self.told);
        self.expects_order();
        // What was dropped so far lies before the answer to what is asked now.
        self.overflowed = false;
        if !self.audit.ahead {
            self.told.begin_reading();
        }
        self.audit.breaks_off();
        cx.forget(self.audit.asked.take());
        self.pager = self.pager_after(&cursor, cx.limits.page);
        self.ask(cx, at);
    }

    /// A pager over what lies after a cursor, with what is known to lie before it.
    pub(in crate::room) fn pager_after(&self, cursor: &Cursor, page: u32) -> Pager {
        let hint = match cursor {
            Cursor::Beginning => None,
            Cursor::After(id) => self
                .pager
                .before(id)
                .or_else(|| self.audit.pager.before(id))
                .or_else(|| self.told.before(id).cloned().map(Cursor::After)),
        };
        Pager::after(cursor, hint, page)
    }

    /// Asks for the next page, of no more than the reader can take.
    fn ask(&mut self, cx: &mut Cx<'_>, at: &str) {
        let page = self.credit.min(cx.limits.page);
        if page > 0 && !self.audit.ahead && (self.audit.is_due_before(page) || self.audit.beyond) {
            return self.compare_first(cx, at);
        }
        self.ask_now(cx, at);
    }

    /// The same, whatever is to be compared first: whether the archive shows the cursor.
    pub(in crate::room) fn ask_now(&mut self, cx: &mut Cx<'_>, at: &str) {
        if self.credit == 0 {
            self.phase = Phase::Starved;
            return;
        }
        self.phase = Phase::Paging;
        self.request(cx, at, self.credit);
    }

    fn request(&mut self, cx: &mut Cx<'_>, at: &str, wanted: u32) {
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.pager.open(query_id.clone(), wanted);
        let purpose = Purpose::LogPage(self.id);
        self.asked_at = cx.now;
        self.asked = Some(cx.request(Kind::Set, Some(at), purpose, |w| {
            mam::write_query(w, &query_id, &page, max);
        }));
    }

    /// The page asked for was answered.
    pub(crate) fn page(
        &mut self,
        cx: &mut Cx<'_>,
        at: &str,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        if self.audit.is_asked(serial) {
            return self.audit_page(cx, at, answer);
        }
        // A late answer to an older question says nothing about this page.
        if self.asked != Some(serial) {
            return;
        }
        self.asked = None;
        let mut page = match self.pager.close(answer) {
            Ok(page) => page,
            Err(error) if self.phase == Phase::Placing && error.is_expired() => {
                // The archive does not show it yet: then its end is still before that.
                let end = self.end.take();
                return self.anchor(cx, at, end);
            }
            Err(error) => return self.failed(cx, at, error),
        };
        let anchoring = matches!(self.phase, Phase::Anchoring | Phase::Placing);
        if page.doubtful && anchoring {
            return self.request(cx, at, 1);
        }
        if page.doubtful {
            return self.ask_now(cx, at);
        }
        if anchoring {
            let held = page.newest.clone().filter(|id| self.holds_back(id));
            if let Some(held) = held.filter(|_| self.phase == Phase::Placing) {
                // It came out of its order, after a resumption: "now" lies before that too. Each
                // that is held back can do so once.
                if let Err(error) = self.barren.read(Barren::PAGE, false) {
                    return self.failed(cx, at, error);
                }
                self.pager = Pager::new(Direction::Backward, Some(held), 1);
                return self.request(cx, at, 1);
            }
            let first = self.said_first().filter(|_| page.newest.is_some());
            if let Some(first) = first.filter(|_| self.phase == Phase::Anchoring) {
                // What was said since we came in is held back, and the archive may show it
                // already, or what was said after it: "now" lies before that, and so does
                // the place to stand on.
                self.phase = Phase::Placing;
                self.end = page.newest;
                self.pager = Pager::new(Direction::Backward, Some(first), 1);
                return self.request(cx, at, 1);
            }
            return self.anchor(cx, at, page.newest);
        }
        let is_news = self.is_news(&page);
        if page.complete || is_news {
            self.failures = 0;
        }
        self.progressed |= is_news;
        let complete = page.complete
            || planted(Bug::ShortPageIsLast)
                && u32::try_from(page.messages.len()).is_ok_and(|n| n < cx.limits.page);
        let (weight, credit) = (page.weight, self.credit);
        let again = page.take_again(|id| self.told.contains(id));
        for message in page.late.into_iter().chain(again) {
            // What is held back has its turn yet.
            if !message.id.as_ref().is_some_and(|id| self.holds_back(id)) {
                self.deliver_late(cx, Box::new(message));
            }
        }
        for message in page.messages {
            let id = message.id.clone();
            self.order_of_what_is_read(id.as_ref());
            self.deliver(cx, Box::new(message));
            if let Some(id) = &id {
                self.comes_by(id);
            }
            if let Some(id) = id.filter(|_| self.audit.ahead && self.audit.overflows()) {
                // Some of what was delivered before may lie further on: that stays.
                let over = Some(id.clone()).filter(|id| self.told.is_in_turn(id));
                self.settle_at(Cursor::After(id), over);
            }
        }
        for (_, id) in page.removed {
            // Whoever heard it before it was removed is not to be told any more: its
            // place is passed.
            self.missing.found(&id);
            self.removed.insert(id);
        }
        self.shows_until = None;
        if let Some(newest) = page.newest {
            self.gap_told = false;
            self.cursor = Some(Cursor::After(newest));
        }
        if let Some(cursor) = self.cursor.as_ref().filter(|_| !self.audit.ahead) {
            self.audit.read_to(cursor, &self.told);
        }
        if let Err(error) = self.barren.read(weight, complete || self.credit < credit) {
            // It did not fail until now, and will not do better.
            self.failures = FAILURES;
            return self.failed(cx, at, error);
        }
        if !complete && planted(Bug::GapInsteadOfPaging) {
            self.gap(cx, GapReason::ArchiveFailed(RequestError::TimedOut));
            let place = self.cursor.clone();
            return self.go_live(cx, place);
        }
        if complete {
            self.arrive(cx, at);
        } else {
            self.ask(cx, at);
        }
    }

    /// Whether a page holds anything that no page before it did: what repeats itself is no
    /// progress, and would be read for ever.
    fn is_news(&self, page: &WholePage) -> bool {
        let said = page.messages.iter().chain(&page.late);
        let said = said.filter_map(|message| message.id.as_ref());
        let removed = page.removed.iter().map(|(_, id)| id);
        let mut ids = said.chain(removed);
        ids.any(|id| !self.told.contains(id) && !self.removed.contains(id))
    }

    /// The first message that is held back and has a place.
    fn said_first(&self) -> Option<ArchiveId> {
        self.held.iter().find_map(|held| held.id.clone())
    }

    /// "Now" is behind `newest`, or where the archive begins.
    fn anchor(&mut self, cx: &mut Cx<'_>, at: &str, newest: Option<ArchiveId>) {
        self.end = None;
        if self.overflowed {
            // What was dropped before the archive looked lies before the
            // anchor, from a place that nobody knows; the rest is read yet.
            self.gap(cx, GapReason::Overflow);
        }
        self.missing.clear();
        // What was given before that lies before it, with what was not given between them.
        self.told.clear();
        if let Some(newest) = &newest {
            self.told.insert(newest, Turn::In, true);
        }
        let now = newest.map_or(Cursor::Beginning, Cursor::After);
        self.audit.anchor(&now, &self.told);
        self.audit.begins(&now);
        self.cursor = Some(now);
        if self.held.is_empty() {
            return self.arrive(cx, at);
        }
        // What is held back may not be all that was said after it.
        self.restart(cx, at);
    }

    /// The end of the archive is reached.
    fn arrive(&mut self, cx: &mut Cx<'_>, at: &str) {
        self.audit.came_to_an_end();
        if self.rereads() || self.overflowed {
            return self.restart(cx, at);
        }
        if !self.is_settled() {
            let first = self.awaited_first();
            if core::mem::take(&mut self.progressed) && first != self.settles_for {
                // It has its own time to show.
                self.settles_until = None;
            }
            self.settles_for = first;
            let until = cx.now.plus(cx.timing.settle);
            let until = *self.settles_until.get_or_insert(until);
            // An answer that was long under way shows the archive as it was when it was asked.
            if self.asked_at < until && !planted(Bug::UnsettledAtOnce) {
                return self.settle(cx, until);
            }
            self.gap(cx, GapReason::Unsettled);
            self.missing.clear();
            self.gives_up_order();
        }
        self.missing.end_is_read(cx.now);
        self.audit.read_all(&mut self.told);
        let place = self.cursor.clone();
        self.go_live(cx, place);
    }

    /// Whether the archive shows what was dropped, and any of what is held back: then it
    /// shows all that was said before, and what it does not show of that is no longer
    /// there.
    fn is_settled(&self) -> bool {
        let dropped = self.dropped.as_ref();
        dropped.is_none_or(|id| self.is_shown(id) || self.missing.has_late(id))
            && self.shows_what_is_held()
    }

    /// What the archive has to show first of what was heard.
    fn awaited_first(&self) -> Option<ArchiveId> {
        let dropped = self.dropped.iter().filter(|id| !self.is_shown(id));
        let held = self.held.iter().filter_map(|held| held.id.as_ref());
        let mut ids = dropped.chain(held.filter(|id| !self.knows(id)));
        ids.next().cloned()
    }

    fn shows_what_is_held(&self) -> bool {
        if !self.is_in_order() {
            return false;
        }
        let mut ids = self.held.iter().filter_map(|message| message.id.as_ref());
        ids.next()
            .is_none_or(|first| self.knows(first) || ids.any(|id| self.knows(id)))
    }

    /// Whether to look again for what the archive does not show: the cursor may name what
    /// the room said just now, and the archive lag. Places further back are looked for
    /// twice, for one answer may be wrong.
    fn may_show_yet(&mut self, cx: &Cx<'_>) -> bool {
        let until = cx.now.plus(cx.timing.settle);
        let until = *self.shows_until.get_or_insert(until);
        if self.expirations == 0 {
            self.asked_at < until
        } else {
            self.looks == 0
        }
    }

    /// Waits for an archive that lags, ever longer.
    fn settle(&mut self, cx: &mut Cx<'_>, until: Instant) {
        self.phase = Phase::Settling;
        let doublings = self.looks.min(3);
        let pause = if planted(Bug::LookWithoutPause) {
            Duration::from_millis(1)
        } else {
            LOOK.saturating_mul(1 << doublings)
        };
        self.looks = self.looks.saturating_add(1);
        cx.arm(Timer::LogSettle, self.id.0, pause.min(until.since(cx.now)));
    }

    pub(in crate::room) fn failed(&mut self, cx: &mut Cx<'_>, at: &str, error: RequestError) {
        self.stop(cx);
        let expired = self.phase == Phase::Paging
            && matches!(self.cursor, Some(Cursor::After(_)))
            && error.is_expired();
        if expired && self.may_show_yet(cx) {
            let until = self.shows_until.unwrap_or(cx.now);
            return self.settle(cx, until.max(cx.now.plus(LOOK)));
        }
        if expired && self.expirations < EXPIRATIONS {
            self.expirations = self.expirations.saturating_add(1);
            (self.settles_until, self.shows_until) = (None, None);
            self.looks = 0;
            self.fall_back(cx);
            return self.begin_at_cursor(cx, at);
        }
        // Who is not answered has waited for long each time.
        let weight = if error == RequestError::TimedOut {
            2
        } else {
            1
        };
        self.failures = self.failures.saturating_add(weight);
        if error.is_for_good() || self.failures >= FAILURES {
            self.gap(cx, GapReason::ArchiveFailed(error));
            self.missing.clear();
            self.gives_up_order();
            let place = self.cursor.clone();
            return self.go_live(cx, place);
        }
        self.phase = Phase::Pausing;
        let pause = cx
            .timing
            .backoff_min
            .saturating_mul(1 << self.failures.min(6));
        cx.arm(Timer::LogRetry, self.id.0, pause);
    }

    /// The archive does not know the cursor: what is read begins at an older place. An archive
    /// that lost its end still knows what came before it; one that lets go of what is old does
    /// not. What was delivered since is not delivered again as far as it is remembered.
    fn fall_back(&mut self, cx: &mut Cx<'_>) {
        if !core::mem::replace(&mut self.gap_told, true) {
            self.gap(cx, GapReason::CursorExpired);
            self.missing.clear();
        }
        let stand = self.audit.stand().map(|(at, told)| (at.clone(), told));
        let len = self.told.len();
        let oldest = self.told.oldest_place().cloned().and_then(|id| {
            let told = self.told.after(&id)?;
            Some((Cursor::After(id), told))
        });
        let is_older = |(at, _): &(Cursor, usize)| {
            *at != Cursor::Beginning && self.cursor.as_ref() != Some(at)
        };
        let last = self.expirations >= EXPIRATIONS;
        let stood_there = stand.as_ref().is_some_and(|stand| !is_older(stand));
        // What was delivered after the stand is gone with it.
        let behind = stand.as_ref().map_or(0, |(_, told)| *told);
        let oldest = oldest.filter(|(_, told)| !stood_there || *told > behind);
        let (place, told) = [stand.filter(|_| !self.audit.ahead), oldest]
            .into_iter()
            .flatten()
            .filter(|_| !last)
            .find(is_older)
            .unwrap_or((Cursor::Beginning, len));
        self.audit.ahead = true;
        // Whatever was come by so far may come again.
        self.told.begin_reading();
        if let Cursor::After(id) = &place {
            self.told.come_by(id);
        }
        self.audit.stand_at(place.clone(), told.min(len));
        self.cursor = Some(place);
    }

    /// Gives up the page being received.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.asked.take());
        self.pager.abandon();
    }
}
