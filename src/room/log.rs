//! A subscription: the room's archive and its live messages as one sequence.
//!
//! At each (re)entry into the room live messages are held back while the archive
//! is read from the cursor to its end, if it still shows what the cursor names (see
//! [`mam`]), else after a gap from what it shows; then what was held and not read is given
//! out, and the rest follows live. What does not fit is dropped and read from the
//! archive instead, since the archive is the truth. A subscription delivers only
//! as many messages as its reader granted.
//!
//! Archives may lag behind what their rooms say: the end of the archive counts as
//! reached only once it shows the first message that was held back, or after a while
//! ([`settle`](crate::Timing::settle)). What shows up later still is found by
//! [`audit`](super::audit).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use super::audit::Audit;
use super::echo::Echoes;
use super::reading::ids_are_places;
use super::recent::Recent;
use crate::bookmark::Bookmark;
use crate::command::Start;
use crate::cx::{Cx, Purpose};
use crate::error::ErrorType;
use crate::event::{Entry, Event, GapReason, Message, RequestError, RoomInfo};
use crate::ids::{ArchiveId, Cursor, Label, SubscriptionId};
use crate::mam::{self, Direction, Fin, Pager};
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer};

#[derive(Debug)]
pub(crate) struct Log {
    pub(super) id: SubscriptionId,
    /// Where the reader stands; `None` until the "now" of [`Start::Now`] has a place.
    pub(super) cursor: Option<Cursor>,
    phase: Phase,
    /// The room has an archive whose ids are on its live messages.
    archived: bool,
    /// Something was delivered whose place is not known, since the cursor was.
    placeless: bool,
    pager: Pager,
    held: VecDeque<Box<Message>>,
    held_bytes: usize,
    /// Held messages were dropped: the archive has to be read once more.
    overflowed: bool,
    /// The last that was heard and dropped, until the archive shows it: one that lags
    /// has not come to its end before.
    dropped: Option<ArchiveId>,
    /// Something was dropped that has no place in the archive, and a gap was told for it.
    unplaced_lost: bool,
    pub(super) delivered: Recent<ArchiveId>,
    /// Some of that was delivered by another subscription, and the archive was not read
    /// to its end since.
    bookmarked: bool,
    pub(super) echoes: Echoes,
    pub(super) credit: u32,
    /// The request for the page being received.
    asked: Option<u64>,
    /// Failures in a row, since the archive last gave something.
    failures: u32,
    /// Cursors that the archive did not know, since we last were at its end.
    expirations: u32,
    /// The room was entered before, so that something may have been missed.
    entered: bool,
    /// Until when the archive may lag behind what is held back.
    settles_until: Option<Instant>,
    /// How often it was looked at for that.
    looks: u32,
    pub(super) audit: Audit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not in the room.
    Away,
    /// Asking where "now" is.
    Anchoring,
    /// Asking what lies before the first that was said since "now".
    Placing,
    /// Reading the archive.
    Paging,
    /// Reading the archive failed for now; a timer runs.
    Pausing,
    /// The archive does not show yet what the room said; a timer runs.
    Settling,
    /// The archive is to be read as soon as the reader grants something.
    Starved,
    /// At the end of the archive.
    Live,
}

/// How often the archive may not know the cursor, before the end is reached: once
/// is retention, again and again is an archive that forgets what it says.
const EXPIRATIONS: u32 = 2;

/// How long to wait before a lagging archive is looked at again; twice as long each
/// time, up to eight times.
const LOOK: Duration = Duration::from_millis(250);

/// How often in a row reading the archive may fail before a gap is declared.
const FAILURES: u32 = 5;

impl Log {
    pub(crate) fn new(
        id: SubscriptionId,
        start: Start,
        credit: u32,
        remembered: usize,
        drop_repeats: bool,
        page: u32,
    ) -> Self {
        let mut bookmark = match start {
            Start::Now => Bookmark::default(),
            Start::Cursor(cursor) => cursor.into(),
            Start::Bookmark(bookmark) => bookmark,
        };
        // Half is for what is delivered until these are compared.
        bookmark.shrink(remembered / 2);
        let mut delivered = Recent::new(remembered);
        for id in bookmark.beyond() {
            delivered.insert(id.clone());
        }
        Self {
            id,
            cursor: bookmark.cursor().cloned(),
            phase: Phase::Away,
            archived: false,
            placeless: false,
            pager: Pager::new(Direction::Forward, None, page),
            held: VecDeque::new(),
            held_bytes: 0,
            overflowed: false,
            dropped: None,
            unplaced_lost: false,
            bookmarked: bookmark.beyond().next().is_some(),
            delivered,
            echoes: Echoes::new(remembered, drop_repeats),
            credit,
            asked: None,
            failures: 0,
            expirations: 0,
            entered: false,
            settles_until: None,
            looks: 0,
            audit: Audit::new(remembered, page),
        }
    }

    /// The room was lost and made anew: what was said after the cursor may be gone.
    /// The cursor is kept, since there are servers whose archives outlive their rooms;
    /// where it is unknown now, that shows when the archive is read.
    pub(crate) fn recreated(&self, cx: &mut Cx<'_>) {
        if self.cursor.is_some() {
            self.gap(cx, GapReason::Recreated);
        }
    }

    /// We are in the room `at`.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>, at: &str, info: &RoomInfo) {
        let entered_before = core::mem::replace(&mut self.entered, true);
        self.failures = 0;
        // An archive whose ids are not those of the live messages is of no use:
        // what was read could not be told from what is heard.
        self.archived = ids_are_places(info);
        if !self.archived {
            if entered_before || self.cursor.is_some() {
                self.gap(cx, GapReason::NoArchive);
            }
            return self.go_live(cx, None);
        }
        if entered_before && planted(Bug::LiveAfterBreak) {
            return self.go_live(cx, self.cursor.clone());
        }
        if core::mem::take(&mut self.placeless) {
            // The room had no archive for a while, or did not say so in time. What was
            // heard then lies in it after the cursor, and would be told again.
            self.cursor = None;
            self.audit.forget();
        }
        if entered_before && self.cursor.is_none() {
            self.gap(cx, GapReason::NeverAnchored);
        }
        self.begin(cx, at);
    }

    /// Begins to read the archive from where the reader stands.
    fn begin(&mut self, cx: &mut Cx<'_>, at: &str) {
        if self.cursor.is_none() {
            self.phase = Phase::Anchoring;
            self.pager = Pager::new(Direction::Backward, None, 1);
            self.request(cx, at, 1);
        } else {
            self.begin_at_cursor(cx, at);
        }
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        [
            size_of::<Self>(),
            self.held_bytes,
            self.pager.held(),
            self.audit.held(),
            self.delivered.held(|id| id.as_str().len()),
            self.echoes.held(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    fn begin_at_cursor(&mut self, cx: &mut Cx<'_>, at: &str) {
        if let Some(cursor) = &self.cursor {
            self.audit.begins(cursor);
        }
        self.restart(cx, at);
    }

    /// Whether it waits for us to be in the room.
    pub(crate) fn is_away(&self) -> bool {
        self.phase == Phase::Away
    }

    /// We are out of the room, or the session ended.
    pub(crate) fn away(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::LogRetry, self.id.0);
        cx.disarm(Timer::LogSettle, self.id.0);
        self.stop_audit(cx);
        self.phase = Phase::Away;
        self.settles_until = None;
        self.looks = 0;
        self.stop(cx);
        self.drop_held(cx);
        self.overflowed = false;
    }

    /// The room is left for good.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        self.away(cx);
        self.tell(cx, Entry::Ended);
    }

    /// The reader can take `credit` messages more.
    pub(crate) fn grant(&mut self, cx: &mut Cx<'_>, at: &str, credit: u32) {
        self.credit = self.credit.saturating_add(credit);
        match self.phase {
            Phase::Live => self.flush(cx),
            Phase::Starved => self.restart(cx, at),
            Phase::Away
            | Phase::Anchoring
            | Phase::Placing
            | Phase::Paging
            | Phase::Pausing
            | Phase::Settling => {}
        }
    }

    /// Whether nothing stands between what the room says and the reader.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Live && self.held.is_empty()
    }

    /// The room said something.
    pub(crate) fn hear(&mut self, cx: &mut Cx<'_>, message: &Message) {
        if self.phase == Phase::Away {
            return;
        }
        if self.overflowed {
            self.dropped = message.id.clone().or(self.dropped.take());
            if message.id.is_none() {
                self.lose_unplaced(cx);
            }
            return;
        }
        if self.phase == Phase::Live && self.held.is_empty() && self.credit > 0 {
            self.deliver(cx, Box::new(message.clone()));
            return;
        }
        if self.phase == Phase::Paging && planted(Bug::LiveBeforeArchive) {
            return self.deliver(cx, Box::new(message.clone()));
        }
        if self.credit == 0 && planted(Bug::FullMeansGone) {
            return;
        }
        if let Some(id) = message.id.clone().filter(|_| planted(Bug::CursorRunsAhead)) {
            self.cursor = Some(Cursor::After(id));
        }
        self.held_bytes = self.held_bytes.saturating_add(message.weight());
        self.held.push_back(Box::new(message.clone()));
        if self.held.len() > cx.limits.held_messages || self.held_bytes > cx.limits.held_bytes {
            self.drop_held(cx);
            match self.phase {
                // There is no archive to read it from, or no place to read on from.
                Phase::Live if !self.archived || self.cursor.is_none() => {
                    self.gap(cx, GapReason::Overflow);
                }
                Phase::Live => {
                    self.overflowed = true;
                    self.phase = Phase::Starved;
                }
                _ => self.overflowed = true,
            }
        }
    }

    /// The pagers over the archive, to which results are given.
    pub(crate) const fn pagers(&mut self) -> [&mut Pager; 2] {
        [&mut self.pager, &mut self.audit.pager]
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
        let page = match self.pager.close(answer) {
            Ok(page) => page,
            Err(error) => return self.failed(cx, at, error),
        };
        let anchoring = matches!(self.phase, Phase::Anchoring | Phase::Placing);
        if page.doubtful && anchoring {
            return self.request(cx, at, 1);
        }
        if page.doubtful {
            return self.ask(cx, at);
        }
        if let Some(first) = self.said_before(page.newest.as_ref()) {
            // The archive shows already what was said since we came in and is held
            // back: "now" lies before that, and so does the place to stand on.
            self.phase = Phase::Placing;
            self.pager = Pager::new(Direction::Backward, Some(first), 1);
            return self.request(cx, at, 1);
        }
        if anchoring {
            if self.overflowed {
                // What was dropped before the archive looked lies before the
                // anchor, from a place that nobody knows; the rest is read yet.
                self.gap(cx, GapReason::Overflow);
            }
            let now = page.newest.map_or(Cursor::Beginning, Cursor::After);
            self.audit.anchor(&now);
            self.audit.begins(&now);
            self.cursor = Some(now);
            if self.held.is_empty() {
                return self.arrive(cx, at);
            }
            // What is held back may not be all that was said after it.
            return self.restart(cx, at);
        }
        if page.complete || page.newest.is_some() {
            self.failures = 0;
        }
        let complete = page.complete
            || planted(Bug::ShortPageIsLast)
                && u32::try_from(page.messages.len()).is_ok_and(|n| n < cx.limits.page);
        for message in page.late {
            self.deliver_late(cx, Box::new(message));
        }
        let behind = self.behind(&page.messages);
        for (at, message) in page.messages.into_iter().enumerate() {
            if at < behind {
                self.deliver_late(cx, Box::new(message));
            } else {
                self.deliver(cx, Box::new(message));
            }
        }
        for (_, id) in page.removed {
            // Whoever heard it before it was removed is not to be told any more: its
            // place is passed.
            self.delivered.insert(id);
        }
        if let Some(newest) = page.newest {
            self.cursor = Some(Cursor::After(newest));
        }
        if complete {
            self.arrive(cx, at);
        } else {
            self.ask(cx, at);
        }
    }

    /// How many messages of a page lie before one that an earlier reader was given.
    fn behind(&self, page: &[Message]) -> usize {
        let known = |message: &Message| {
            let id = message.id.as_ref();
            id.is_some_and(|id| self.delivered.contains(id))
        };
        let last = page.iter().rposition(known);
        last.filter(|_| self.bookmarked).unwrap_or(0)
    }

    /// The first message that is held back, if the `newest` of the archive is one of
    /// those and no place was asked for yet.
    fn said_before(&self, newest: Option<&ArchiveId>) -> Option<ArchiveId> {
        let newest = newest.filter(|_| self.phase == Phase::Anchoring)?;
        let is_held = self
            .held
            .iter()
            .any(|held| held.id.as_ref() == Some(newest));
        let first = self.held.iter().find_map(|held| held.id.clone());
        first.filter(|_| is_held)
    }

    /// A timer of its own went off.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>, at: &str, why: Timer) {
        match (why, self.phase) {
            (Timer::LogRetry, Phase::Pausing) => self.begin(cx, at),
            (Timer::LogSettle, Phase::Settling) => self.restart(cx, at),
            (Timer::LogAudit, Phase::Live) => self.begin_audit(cx, at),
            _ => {}
        }
    }

    /// Begins to read the archive after the cursor.
    fn restart(&mut self, cx: &mut Cx<'_>, at: &str) {
        let cursor = self.cursor.clone().unwrap_or(Cursor::Beginning);
        self.audit.anchor(&cursor);
        // What was dropped so far lies before the answer to what is asked now.
        self.overflowed = false;
        self.pager = self.pager_after(&cursor, cx.limits.page);
        self.ask(cx, at);
    }

    /// A pager over what lies after a cursor, with what is known to lie before it.
    pub(super) fn pager_after(&self, cursor: &Cursor, page: u32) -> Pager {
        let hint = match cursor {
            Cursor::Beginning => None,
            Cursor::After(id) => self
                .pager
                .before(id)
                .or_else(|| self.audit.pager.before(id))
                .or_else(|| self.delivered.before(id).cloned().map(Cursor::After)),
        };
        Pager::after(cursor, hint, page)
    }

    /// Asks for the next page, of no more than the reader can take.
    fn ask(&mut self, cx: &mut Cx<'_>, at: &str) {
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
        self.asked = Some(cx.request(Kind::Set, Some(at), purpose, |w| {
            mam::write_query(w, &query_id, &page, max);
        }));
    }

    /// The end of the archive is reached.
    fn arrive(&mut self, cx: &mut Cx<'_>, at: &str) {
        if self.overflowed {
            return self.restart(cx, at);
        }
        if !self.is_settled() {
            let until = cx.now.plus(cx.timing.settle);
            let until = *self.settles_until.get_or_insert(until);
            if cx.now < until {
                return self.settle(cx, until);
            }
            self.gap(cx, GapReason::Unsettled);
        }
        let place = self.cursor.clone();
        self.go_live(cx, place);
    }

    /// Whether the archive shows what was dropped, and any of what is held back: then it
    /// shows all that was said before, and what it does not show of that is no longer
    /// there.
    fn is_settled(&self) -> bool {
        let dropped = self.dropped.as_ref();
        if dropped.is_some_and(|id| !self.delivered.contains(id)) {
            return false;
        }
        let mut ids = self.held.iter().filter_map(|message| message.id.as_ref());
        ids.next().is_none_or(|first| {
            self.delivered.contains(first) || ids.any(|id| self.delivered.contains(id))
        })
    }

    /// Whether to look again for what the archive does not show: the cursor may name what
    /// the room said just now, and the archive lag. Places further back are looked for
    /// twice, for one answer may be wrong.
    fn may_show_yet(&mut self, cx: &Cx<'_>) -> bool {
        let until = cx.now.plus(cx.timing.settle);
        let until = *self.settles_until.get_or_insert(until);
        if self.expirations == 0 {
            cx.now < until
        } else {
            self.looks == 0
        }
    }

    /// Waits for an archive that lags, ever longer.
    fn settle(&mut self, cx: &mut Cx<'_>, until: Instant) {
        self.phase = Phase::Settling;
        let pause = LOOK.saturating_mul(1 << self.looks.min(3));
        self.looks = self.looks.saturating_add(1);
        cx.arm(Timer::LogSettle, self.id.0, pause.min(until.since(cx.now)));
    }

    fn go_live(&mut self, cx: &mut Cx<'_>, at: Option<Cursor>) {
        self.phase = Phase::Live;
        self.bookmarked = false;
        self.overflowed = false;
        self.dropped = None;
        self.unplaced_lost = false;
        self.expirations = 0;
        self.settles_until = None;
        self.looks = 0;
        self.tell(cx, Entry::CaughtUp { at });
        self.flush(cx);
        if self.archived {
            self.plan_audits(cx);
        }
    }

    fn failed(&mut self, cx: &mut Cx<'_>, at: &str, error: RequestError) {
        self.stop(cx);
        let expired = self.phase == Phase::Paging
            && matches!(self.cursor, Some(Cursor::After(_)))
            && error.is_expired();
        if expired && self.may_show_yet(cx) {
            let until = self.settles_until.unwrap_or(cx.now);
            return self.settle(cx, until.max(cx.now.plus(LOOK)));
        }
        if expired && self.expirations < EXPIRATIONS {
            self.expirations = self.expirations.saturating_add(1);
            self.settles_until = None;
            self.looks = 0;
            self.gap(cx, GapReason::CursorExpired);
            self.audit.displaced();
            // An archive that lost its end still knows what came before it; one that
            // lets go of what is old does not.
            let older = self
                .delivered
                .oldest()
                .filter(|_| self.expirations < EXPIRATIONS);
            let older = older.cloned().map_or(Cursor::Beginning, Cursor::After);
            self.cursor = Some(if self.cursor.as_ref() == Some(&older) {
                Cursor::Beginning
            } else {
                older
            });
            return self.begin_at_cursor(cx, at);
        }
        self.failures = self.failures.saturating_add(1);
        let for_good = error.is_expired()
            || matches!(&error, RequestError::Refused(e) if e.kind != ErrorType::Wait);
        if for_good || self.failures >= FAILURES {
            self.gap(cx, GapReason::ArchiveFailed(error));
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

    /// Gives out what was held back, as far as the reader can take it.
    fn flush(&mut self, cx: &mut Cx<'_>) {
        // What the archive was read past without showing it lies behind the reader.
        let mut behind = self
            .held
            .iter()
            .rposition(|message| {
                let id = message.id.as_ref();
                id.is_some_and(|id| self.delivered.contains(id))
            })
            .unwrap_or(0);
        while self.credit > 0
            && let Some(message) = self.held.pop_front()
        {
            self.held_bytes = self.held_bytes.saturating_sub(message.weight());
            if behind > 0 {
                self.deliver_late(cx, message);
            } else {
                self.deliver(cx, message);
            }
            behind = behind.saturating_sub(1);
        }
    }

    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>, message: Box<Message>) {
        if let Some(id) = &message.id {
            let told = self.audit.has_told(id) || !self.delivered.insert(id.clone());
            if told && !planted(Bug::NoDedupe) {
                return;
            }
            self.cursor = Some(Cursor::After(id.clone()));
            self.audit.delivered();
        } else if !self.archived {
            self.placeless = true;
        }
        if message.own && planted(Bug::DedupeByNick) {
            return;
        }
        if self.echoes.repeats(&message) && !planted(Bug::NoDedupe) {
            return;
        }
        self.credit = self.credit.saturating_sub(1);
        self.tell(cx, Entry::Message(message));
    }

    pub(super) fn gap(&self, cx: &mut Cx<'_>, reason: GapReason) {
        let after = self.cursor.clone();
        self.tell(cx, Entry::Gap { after, reason });
    }

    pub(super) fn tell(&self, cx: &mut Cx<'_>, entry: Entry) {
        cx.tell(Event::Entry {
            subscription: self.id,
            entry,
        });
    }

    /// Gives up the page being received.
    fn stop(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.asked.take());
        self.pager.abandon();
    }

    fn drop_held(&mut self, cx: &mut Cx<'_>) {
        let last = self.held.iter().rev().find_map(|held| held.id.clone());
        self.dropped = last.or(self.dropped.take());
        if self.held.iter().any(|held| held.id.is_none()) {
            self.lose_unplaced(cx);
        }
        self.held.clear();
        self.held_bytes = 0;
    }

    /// Something was dropped that the archive will not show: once until we are live again.
    /// Where there is no archive, a gap is told for that.
    fn lose_unplaced(&mut self, cx: &mut Cx<'_>) {
        if self.archived && !core::mem::replace(&mut self.unplaced_lost, true) {
            self.gap(cx, GapReason::Overflow);
        }
    }
}
