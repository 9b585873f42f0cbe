//! A subscription: the room's archive and its live messages as one sequence.
//!
//! At each (re)entry into the room live messages are held back while the archive
//! is read ([`catchup`]) from the cursor to its end, if it still shows what the cursor
//! names (see [`mam`](crate::mam)), else after a gap from what it shows; then what was held
//! and not read is given out, and the rest follows live. What does not fit is dropped and
//! read from the archive instead, since the archive is the truth. A subscription delivers
//! only as many messages as its reader granted.
//!
//! A room that has not said whether it has an archive is heard live, [without places](places).
//!
//! Archives may lag behind what their rooms say: the end of the archive counts as
//! reached only once it shows the first message that was held back, or after a while
//! ([`settle`](crate::Timing::settle)). What shows up later still is found by
//! [`audit`](super::audit). After a resumption of the stream the order of what is heard is
//! [not to be relied on](resumption).

pub(super) mod catchup;
mod missing;
mod places;
mod resumption;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};

use super::audit::Audit;
use super::early::Early;
use super::echo::Echoes;
use super::recent::Recent;
use super::told::{Told, Turn};
use crate::bookmark::Bookmark;
use crate::command::Start;
use crate::cx::Cx;
use crate::event::{Entry, Event, GapReason, Message, Source};
use crate::ids::{ArchiveId, Cursor, SubscriptionId};
use crate::mam::{Barren, Direction, Pager};
use crate::planted::{Bug, planted};
use crate::time::{Instant, Timer};
use missing::Missing;
use resumption::Order;

#[derive(Debug)]
pub(crate) struct Log {
    pub(super) id: SubscriptionId,
    /// Where the reader stands; `None` until the "now" of [`Start::Now`] has a place.
    pub(super) cursor: Option<Cursor>,
    pub(super) phase: Phase,
    /// The room has an archive whose ids are on its live messages.
    pub(super) archived: bool,
    /// The room has not said yet whether it has one: what its ids are worth.
    unsaid: bool,
    /// The last that was delivered before it said so, under an id that may be a place.
    unvouched: Option<ArchiveId>,
    /// The same of an earlier stay in the room: what was told since may lie after more
    /// that was not.
    unvouched_before: Option<ArchiveId>,
    /// So many were: no more than are remembered can be told from what is read.
    told_early: usize,
    /// Something was delivered whose place is not known, since the cursor was.
    placeless: bool,
    pub(super) pager: Pager,
    pub(super) held: VecDeque<Box<Message>>,
    held_bytes: usize,
    /// What of that the archive has shown: it may be more than is remembered until it is given out.
    pub(super) shown: BTreeSet<ArchiveId>,
    /// Held messages were dropped: the archive has to be read once more.
    pub(super) overflowed: bool,
    /// The last that was heard and dropped, until the archive shows it: one that lags
    /// has not come to its end before.
    pub(super) dropped: Option<ArchiveId>,
    /// What was dropped and has a place, until the archive shows it.
    pub(super) missing: Missing,
    /// Something was dropped that has no place in the archive, and a gap was told for it.
    unplaced_lost: bool,
    /// What was delivered, in its turn or late.
    pub(super) told: Told,
    /// Items of the archive that are no messages. They have a memory of their own: what
    /// is forgotten of them is not told again.
    pub(super) removed: Recent<ArchiveId>,
    pub(super) echoes: Echoes,
    pub(super) credit: u32,
    /// The end of the archive, while what lies before the first that is held back is asked.
    end: Option<ArchiveId>,
    /// The request for the page being received.
    asked: Option<u64>,
    /// When it was made.
    pub(super) asked_at: Instant,
    /// Failures in a row, since the archive last gave something.
    pub(super) failures: u32,
    /// Cursors that the archive did not know, since we last were at its end.
    expirations: u32,
    /// It was told that it did not, and nothing was read since.
    gap_told: bool,
    /// The room was entered before, so that something may have been missed.
    entered: bool,
    /// Until when the archive may lag behind what is held back.
    settles_until: Option<Instant>,
    /// What it has to show by then.
    settles_for: Option<ArchiveId>,
    /// Until when the archive may not show the cursor.
    shows_until: Option<Instant>,
    /// It has shown something new since that was set.
    progressed: bool,
    /// How often it was looked at for that.
    looks: u32,
    order: Order,
    /// What is heard next may come in another order: the stream was resumed.
    doubtful: bool,
    /// So many of those held back first may be out of their order: the archive has to show them.
    awaited: usize,
    /// So many of those are told late, whatever their place: nobody knows it.
    pub(super) late_held: usize,
    /// Nor in which order they were said.
    pub(super) scattered: bool,
    pub(super) audit: Audit,
    /// What was read to no use since something was last told, however often it was interrupted.
    barren: Barren,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not in the room.
    Away,
    /// Asking where "now" is.
    Anchoring,
    /// Asking what lies before the first that was said since "now".
    Placing,
    /// Reading the archive.
    Paging,
    /// Comparing what was heard before more of the archive is read.
    Comparing,
    /// Reading the archive failed for now; a timer runs.
    Pausing,
    /// The archive does not show yet what the room said; a timer runs.
    Settling,
    /// The archive is to be read as soon as the reader grants something.
    Starved,
    /// At the end of the archive.
    Live,
}

impl Log {
    pub(crate) fn new(
        id: SubscriptionId,
        start: Start,
        credit: u32,
        remembered: usize,
        drop_repeats: bool,
        page: u32,
    ) -> Self {
        let bookmark = match start {
            Start::Now => Bookmark::default(),
            Start::Cursor(cursor) => cursor.into(),
            Start::Bookmark(bookmark) => bookmark,
        };
        let bookmark = bookmark.for_memory(remembered);
        let mut told = Told::new(Audit::capacity(remembered));
        for (id, late) in bookmark.told() {
            told.insert(id, if late { Turn::Out } else { Turn::In }, false);
        }
        Self {
            id,
            cursor: bookmark.reached(),
            phase: Phase::Away,
            archived: false,
            unsaid: false,
            unvouched: None,
            unvouched_before: None,
            told_early: 0,
            placeless: false,
            pager: Pager::new(Direction::Forward, None, page),
            held: VecDeque::new(),
            held_bytes: 0,
            shown: BTreeSet::new(),
            overflowed: false,
            dropped: None,
            missing: Missing::new(),
            unplaced_lost: false,
            told,
            removed: Recent::new(remembered),
            echoes: Echoes::new(remembered, drop_repeats),
            credit,
            end: None,
            asked: None,
            asked_at: Instant::ZERO,
            failures: 0,
            expirations: 0,
            gap_told: false,
            entered: false,
            settles_until: None,
            settles_for: None,
            shows_until: None,
            progressed: false,
            looks: 0,
            order: Order::Kept,
            doubtful: false,
            awaited: 0,
            late_held: 0,
            scattered: false,
            audit: Audit::new(remembered, page, &bookmark),
            barren: Barren::default(),
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

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        [
            size_of::<Self>(),
            self.held_bytes,
            self.pager.held(),
            self.audit.held(),
            self.told.held(),
            self.missing.held(),
            self.removed.held(|id| id.as_str().len()),
            self.echoes.held(),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
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
        self.unvouched_before = self.unvouched_before.take().or(self.unvouched.take());
        (self.settles_until, self.settles_for, self.shows_until) = (None, None, None);
        self.progressed = false;
        self.looks = 0;
        self.audit.begin_anew();
        (self.order, self.doubtful) = (Order::Kept, false);
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
            Phase::Starved => {
                // Nothing was asked meanwhile: what is held back has its own time to show.
                self.settles_until = None;
                self.restart(cx, at);
            }
            Phase::Away
            | Phase::Anchoring
            | Phase::Placing
            | Phase::Paging
            | Phase::Comparing
            | Phase::Pausing
            | Phase::Settling => {}
        }
    }

    /// Whether the reader has passed this in its turn, or another before it.
    pub(super) fn knows(&self, id: &ArchiveId) -> bool {
        self.told.is_in_turn(id) || self.removed.contains(id) || self.shown.contains(id)
    }

    /// Whether the archive showed this, or need not.
    fn is_shown(&self, id: &ArchiveId) -> bool {
        self.stands_on(id) || self.knows(id) || self.told.contains(id)
    }

    /// The archive shows this.
    pub(super) fn comes_by(&mut self, id: &ArchiveId) {
        if self.dropped.as_ref() == Some(id) {
            self.dropped = None;
        }
        self.missing.found(id);
        if self.held.iter().any(|held| held.id.as_ref() == Some(id)) {
            self.shown.insert(id.clone());
        }
    }

    /// Whether nothing stands between what the room says and the reader.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Live && self.held.is_empty()
    }

    /// The room said this before it could be told what its ids are worth.
    pub(crate) fn hear_early(&mut self, cx: &mut Cx<'_>, early: &Early) {
        match &early.lost {
            // It is all read from the archive, in its order.
            Some(lost) if self.archived => {
                if lost.unplaced || early.said.iter().any(|said| said.id.is_none()) {
                    self.lose_unplaced(cx);
                }
                for said in &early.said {
                    self.expect(said.id.as_ref());
                }
                self.expect(early.newest());
                self.overflowed = true;
            }
            lost => {
                for said in &early.said {
                    self.hear(cx, said);
                }
                if lost.is_some() {
                    self.gap(cx, GapReason::Overflow);
                }
            }
        }
    }

    /// The room said something.
    pub(crate) fn hear(&mut self, cx: &mut Cx<'_>, message: &Message) {
        if self.phase == Phase::Away {
            return;
        }
        if self.overflowed {
            self.expect(message.id.as_ref());
            if message.id.is_none() {
                self.lose_unplaced(cx);
            }
            return;
        }
        if message.id.is_some() {
            self.order_of_what_is_heard(cx);
        }
        let flows = self.credit > 0 && !self.is_full();
        if self.phase == Phase::Live && self.held.is_empty() && flows {
            self.deliver(cx, Box::new(message.clone()));
            return self.hurry_audit(cx);
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
            if self.phase == Phase::Live && self.credit > 0 && self.go_on_uncompared(cx) {
                return;
            }
            self.drop_held(cx);
            match self.phase {
                // There is no archive to read it from, or no place to read on from.
                Phase::Live if !self.archived || self.cursor.is_none() => {
                    self.gap(cx, GapReason::Overflow);
                }
                Phase::Live if self.credit == 0 => {
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

    /// A timer of its own went off.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>, at: &str, why: Timer) {
        match (why, self.phase) {
            (Timer::LogRetry, Phase::Pausing) => self.begin(cx, at),
            (Timer::LogSettle, Phase::Settling) if self.cursor.is_none() => self.begin(cx, at),
            (Timer::LogSettle, Phase::Settling) => self.restart(cx, at),
            (Timer::LogAudit, Phase::Live) => self.begin_audit(cx, at),
            _ => {}
        }
    }

    fn go_live(&mut self, cx: &mut Cx<'_>, at: Option<Cursor>) {
        self.phase = Phase::Live;
        self.order = Order::Kept;
        self.overflowed = false;
        self.dropped = None;
        self.unplaced_lost = false;
        self.failures = 0;
        self.expirations = 0;
        self.gap_told = false;
        (self.settles_until, self.settles_for, self.shows_until) = (None, None, None);
        self.progressed = false;
        self.awaited = 0;
        self.looks = 0;
        self.tell(cx, Entry::CaughtUp { at });
        self.flush(cx);
        if self.archived {
            self.plan_audits(cx);
        }
    }

    /// Whether what was heard has to be compared before more is given out.
    fn is_full(&self) -> bool {
        self.archived && self.audit.is_full()
    }

    /// Gives out what was held back, as far as the reader can take it, and what it was given
    /// can be remembered.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        // What the archive was read past without showing it lies behind the reader.
        let mut behind = self
            .held
            .iter()
            .rposition(|message| {
                let id = message.id.as_ref().filter(|_| self.archived);
                id.is_some_and(|id| self.knows(id))
            })
            .unwrap_or(0);
        while self.credit > 0
            && !self.is_full()
            && let Some(message) = self.held.pop_front()
        {
            self.held_bytes = self.held_bytes.saturating_sub(message.weight());
            // What has no place in the archive is not late for it.
            let late = behind > 0 || self.late_held > 0;
            if late && message.id.is_some() {
                self.deliver_late(cx, message);
            } else {
                self.deliver(cx, message);
            }
            behind = behind.saturating_sub(1);
            self.late_held = self.late_held.saturating_sub(1);
            self.awaited = self.awaited.saturating_sub(1);
        }
        if self.held.is_empty() {
            self.shown.clear();
        }
        self.hurry_audit(cx);
    }

    pub(super) fn deliver(&mut self, cx: &mut Cx<'_>, mut message: Box<Message>) {
        let unvouched = message.id.take_if(|_| self.unsaid);
        if let Some(id) = unvouched {
            // Nobody is told of it as a place; if it is one, it is not to be told again.
            self.told_early = self.told_early.saturating_add(1);
            self.placeless |= self.told_early > self.audit.remembers() / 2;
            if self.told.insert(&id, Turn::Out, false) {
                self.audit.tells(true);
            }
            self.unvouched = Some(id);
        } else if let Some(id) = &message.id {
            let read = message.source == Source::Archive;
            let is_told = match read {
                true => self.told.come_by_again(id),
                false => self.told.contains(id),
            };
            if (is_told || self.removed.contains(id) || self.shown.contains(id))
                && !planted(Bug::NoDedupe)
            {
                return;
            }
            self.told.insert(id, Turn::In, read);
            self.missing.found(id);
            self.cursor = Some(Cursor::After(id.clone()));
            self.audit.tells(!read);
            self.audit.moved(!read);
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
}
