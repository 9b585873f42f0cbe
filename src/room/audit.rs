//! Comparing what a subscription delivered with the archive.
//!
//! A room can drop a message on its way to us, or drop us without a word (XEP-0410);
//! an archive can lag behind what its room says, so that a message appears in it
//! before one that was delivered already. Both leave no trace in what is heard. So
//! the archive is read again from time to time, from where it was compared last but
//! once, and what was not delivered is: in its order if it lies behind all that was,
//! else as [`Entry::Late`].
//!
//! What was compared twice is told as [`Entry::Confirmed`]. A comparison over pages of
//! which the server says that they may still change (`stable='false'`) delivers what they
//! show, and counts for nothing else.
//!
//! Where the archive let go of the place to compare from, nothing tells what it was late to
//! show after that: a gap is told ([`GapReason::Unsettled`]).
//!
//! # What is remembered
//!
//! Nothing is told twice, because of this: *what was told and lies after the place to which a
//! comparison has come is remembered*, the place where it begins being the first of these.
//! Each [`Mark`] to begin at was a place where the reader stood, so that what had been told by
//! then lies before it; it counts what was told since, in its turn and late, each of which
//! has a memory of its own of [`Limits::remembered_ids`](crate::Limits::remembered_ids). So:
//!
//! - A comparison begins at such a place only if half a memory at most was delivered in its
//!   turn since, else at the middle of that; and it is given up if as much is delivered while
//!   it is under way ([`Audit::is_overtaken`]).
//! - What a comparison tells late lies before the place to which it has come. It is forgotten
//!   as soon as half a memory was told late: that place becomes the one to begin at
//!   ([`Audit::settle_for`]), and what lies before is not compared again.
//! - A comparison that waits for the reader goes on from the place it had come to.
//! - What a bookmark names is kept apart until more was delivered than a comparison from there
//!   may find. What is no message needs no place in these memories.
//!
//! If more was told late otherwise than is remembered, a gap is told ([`GapReason::Unsettled`]).
//!
//! What lies before the middle from which a busy room is compared is not compared at all,
//! though it is told as confirmed with the rest.
//!
//! It does not find what the archive does not show, and not what shows up later than
//! two comparisons after its time. Where the message that the reader stands on was removed
//! without a trace, nothing tells what lies behind it: that comes as [`Entry::Late`] too.

use alloc::boxed::Box;
use core::time::Duration;

use super::log::Log;
use super::recent::Recent;
use crate::cx::{Cx, Purpose};
use crate::event::{Entry, GapReason, Message, RequestError};
use crate::ids::{ArchiveId, Cursor, Label};
use crate::mam::{self, Direction, Fin, Pager};
use crate::stanza::iq::Kind;
use crate::time::{Timer, part};

/// When the second comparison after a catch-up comes, counted from the first.
const SECOND: Duration = Duration::from_secs(25);

#[derive(Debug)]
pub(super) struct Audit {
    pub(super) pager: Pager,
    /// The request for the page being received.
    asked: Option<u64>,
    /// Where the last comparison but one ended, and the last one. All before the
    /// first was compared twice.
    compared: [Mark; 2],
    /// Where reading to the end of the archive began when all that was delivered had been
    /// compared: what was compared before that may be gone from the archive meanwhile, and
    /// what it was late to show lies behind this.
    began: Mark,
    /// The same of the last time, whatever had been compared: the place to go on from after
    /// a gap.
    began_last: Mark,
    /// The comparison under way.
    pass: Pass,
    /// The archive said of the comparison under way, or of one since the last that
    /// counted, that what it showed may still change.
    unstable: bool,
    /// What was told as confirmed.
    confirmed: Option<Cursor>,
    /// So many comparisons more are not told: they begin or end before a gap.
    untold: u8,
    /// Told as late, or before it was known to be a place.
    late: Recent<ArchiveId>,
    /// Comparisons since the last catch-up.
    rounds: u32,
    remembered: usize,
}

/// A place, and how much was told since the reader stood there. All that was told before
/// lies before it.
#[derive(Clone, Debug)]
struct Mark {
    at: Option<Cursor>,
    /// In its turn.
    turn: usize,
    /// Out of its turn.
    late: usize,
}

impl Mark {
    const NOWHERE: Self = Self {
        at: None,
        turn: 0,
        late: 0,
    };

    const fn new(at: Cursor) -> Self {
        Self {
            at: Some(at),
            ..Self::NOWHERE
        }
    }
}

/// How far a comparison has come.
#[derive(Debug)]
struct Pass {
    /// The last item that was compared.
    place: Option<Cursor>,
    /// The last that it came by of what was delivered in its turn.
    over: Option<ArchiveId>,
    /// How much was delivered in its turn since the reader stood where it began.
    turn: usize,
    /// How much of that since it began.
    meanwhile: usize,
    /// How much it told, as long as that is the last that was told late.
    late: usize,
    /// Whether it has come to where the reader stands.
    passed: bool,
    /// It waits until the reader can take more, and then goes on.
    waits: bool,
    /// It went on after that.
    resumed: bool,
    /// Some of what it told is forgotten.
    settled: bool,
}

impl Pass {
    /// One that begins where the reader stood so many messages ago.
    const fn new(turn: usize) -> Self {
        Self {
            place: None,
            over: None,
            turn,
            meanwhile: 0,
            late: 0,
            passed: false,
            waits: false,
            resumed: false,
            settled: false,
        }
    }
}

/// From where is compared what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// From a place before which all had been compared.
    Whole,
    /// From a place before which something may be missing.
    AfterGap,
    /// There is no such place.
    Nowhere,
}

impl Audit {
    pub(super) const fn new(remembered: usize, page: u32) -> Self {
        Self {
            pager: Pager::new(Direction::Forward, None, page),
            asked: None,
            compared: [Mark::NOWHERE; 2],
            began: Mark::NOWHERE,
            began_last: Mark::NOWHERE,
            pass: Pass::new(0),
            unstable: false,
            confirmed: None,
            untold: 0,
            late: Recent::new(remembered),
            rounds: 0,
            remembered,
        }
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.pager
            .held()
            .saturating_add(self.late.held(|id| id.as_str().len()))
    }

    pub(super) fn is_asked(&self, serial: u64) -> bool {
        self.asked == Some(serial)
    }

    /// A message was delivered of which nobody knew yet where it lies.
    pub(super) fn told_early(&mut self, id: ArchiveId) {
        self.told_late(id);
    }

    /// A message is delivered out of its turn. Returns whether it was not before.
    fn told_late(&mut self, id: ArchiveId) -> bool {
        let is_new = self.late.insert(id);
        if is_new {
            for mark in self.marks() {
                mark.late = mark.late.saturating_add(1);
            }
            self.pass.late = 0;
        }
        is_new
    }

    fn marks(&mut self) -> impl Iterator<Item = &mut Mark> {
        let others = [&mut self.began, &mut self.began_last];
        self.compared.iter_mut().chain(others)
    }

    /// So many ids are remembered.
    pub(super) const fn remembers(&self) -> usize {
        self.remembered
    }

    /// Whether a message was delivered out of its turn.
    pub(super) fn has_told(&self, id: &ArchiveId) -> bool {
        self.late.contains(id)
    }

    /// A message was delivered in its turn.
    pub(super) fn delivered(&mut self) {
        for mark in self.marks() {
            mark.turn = mark.turn.saturating_add(1);
        }
        let pass = &mut self.pass;
        pass.turn = pass.turn.saturating_add(1);
        pass.meanwhile = pass.meanwhile.saturating_add(1);
        // The reader stands further on now than the comparison has come.
        pass.passed = false;
    }

    /// Where a subscription begins to read: nothing before it is compared.
    pub(super) fn anchor(&mut self, cursor: &Cursor) {
        for compared in &mut self.compared {
            compared.at.get_or_insert_with(|| cursor.clone());
        }
        self.confirmed.get_or_insert_with(|| cursor.clone());
    }

    /// Reading to the end of the archive begins there.
    pub(super) fn begins(&mut self, cursor: &Cursor) {
        self.began_last = Mark::new(cursor.clone());
        let [_, last] = &self.compared;
        if last.turn > 0 || last.late > 0 {
            // What the archive was late to show may lie before this place.
            return;
        }
        self.began = Mark::new(cursor.clone());
    }

    /// Nothing that was delivered so far can be compared.
    pub(super) fn forget(&mut self) {
        (self.began, self.began_last) = (Mark::NOWHERE, Mark::NOWHERE);
        self.compared = [Mark::NOWHERE; 2];
        self.pass = Pass::new(0);
    }

    /// The archive no longer knows where to compare from: it is compared from where it was
    /// read last, which it knew then; else nothing before the reader's place is.
    fn restart(&mut self, cursor: &Cursor) -> Restart {
        let [from, _] = &self.compared;
        let from = from.at.clone();
        let other = |mark: &mut Mark| {
            let mark = core::mem::replace(mark, Mark::NOWHERE);
            Some(mark).filter(|mark| mark.at.is_some() && mark.at != from)
        };
        let (mark, restart) = if let Some(began) = other(&mut self.began) {
            (began, Restart::Whole)
        } else if let Some(began) = other(&mut self.began_last) {
            (began, Restart::AfterGap)
        } else {
            (Mark::new(cursor.clone()), Restart::Nowhere)
        };
        self.compared = [mark.clone(), mark];
        restart
    }

    /// The comparison under way told much: what it told is forgotten, since it is not
    /// compared again. Nothing before the place to which it came is.
    fn settle_for(&mut self, turn: usize) {
        let [from, _] = &self.compared;
        let told = core::mem::take(&mut self.pass.late);
        self.late.forget_last(told);
        let mark = Mark {
            at: self.pass.place.clone(),
            turn,
            late: from.late.saturating_sub(told),
        };
        self.compared = [mark.clone(), mark];
        self.pass.settled = true;
        (self.began, self.began_last) = (Mark::NOWHERE, Mark::NOWHERE);
        // It was compared once.
        self.untold = self.untold.max(1);
    }

    /// What was compared twice is done with.
    /// Returns up to where that is so, if that is news.
    fn shift(&mut self, reached: Cursor) -> Option<Cursor> {
        let [first, last] = &mut self.compared;
        let mut mark = Mark::new(reached);
        if !self.pass.passed && self.pass.settled {
            // The archive does not show the reader's place: it may come to lie before what
            // was told late and is forgotten.
            mark = first.clone();
            mark.at = self.pass.place.clone().or(mark.at);
            mark.turn = self.pass.turn;
            self.untold = 2;
        }
        self.pass.settled &= !self.pass.passed;
        core::mem::swap(first, last);
        *last = mark;
        let twice = &first.at;
        if *twice == self.confirmed {
            return None;
        }
        self.confirmed.clone_from(twice);
        let told = self.untold == 0;
        self.untold = self.untold.saturating_sub(1);
        twice.clone().filter(|_| told)
    }

    /// Whether so much was said since the comparison began that what it shows is forgotten.
    const fn is_overtaken(&self) -> bool {
        self.pass.meanwhile >= self.remembered / 2
    }

    /// The reader begins at another place: where it stood before is none to go on from.
    pub(super) const fn displaced(&mut self) {
        self.untold = 2;
    }
}

impl Log {
    /// The end of the archive was reached: what lags behind it is looked for.
    pub(super) fn plan_audits(&mut self, cx: &mut Cx<'_>) {
        if self.cursor.is_none() {
            return;
        }
        self.audit.rounds = 0;
        cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
    }

    /// The stream was resumed, which is no proof that the room told us everything.
    pub(crate) fn resumed(&mut self, cx: &mut Cx<'_>) {
        // What was given in a room without an archive cannot be told from what is read.
        let begun = self.audit.compared.iter().all(|mark| mark.at.is_some());
        if self.archived && begun && self.is_idle() {
            self.stop_audit(cx);
            self.plan_audits(cx);
        }
    }

    /// Compares, if nothing else is under way.
    pub(super) fn begin_audit(&mut self, cx: &mut Cx<'_>, at: &str) {
        let [Mark { at: Some(_), .. }, _] = &self.audit.compared else {
            return;
        };
        if !self.is_idle() || self.credit == 0 {
            cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
            return;
        }
        let waited = core::mem::take(&mut self.audit.pass.waits);
        self.audit.pass.resumed = waited && !self.audit.is_overtaken();
        let place = self.audit.pass.place.clone();
        if let Some(place) = place.filter(|_| self.audit.pass.resumed) {
            self.audit.pager = self.pager_after(&place, cx.limits.page);
            return self.ask_audit(cx, at);
        }
        let Some((from, turn)) = self.compares_from(cx) else {
            return self.next_audit(cx);
        };
        self.audit.unstable = false;
        let settled = self.audit.pass.settled;
        self.audit.pass = Pass::new(turn);
        self.audit.pass.settled = settled;
        self.audit.pass.passed =
            self.cursor == Some(Cursor::Beginning) || self.cursor.as_ref() == Some(&from);
        self.audit.pager = self.pager_after(&from, cx.limits.page);
        self.ask_audit(cx, at);
    }

    /// From where to compare, and how much was delivered in its turn since the reader stood
    /// there.
    fn compares_from(&mut self, cx: &mut Cx<'_>) -> Option<(Cursor, usize)> {
        let [from, _] = self.audit.compared.clone();
        let remembered = self.audit.remembered;
        let place = from.at?;
        if from.late > remembered {
            // Nobody knows any more what was told since, and what was not.
            let cursor = self.cursor.clone()?;
            let (after, reason) = (Some(place), GapReason::Unsettled);
            self.tell(cx, Entry::Gap { after, reason });
            let mark = Mark::new(cursor.clone());
            self.audit.compared = [mark.clone(), mark];
            return Some((cursor, 0));
        }
        // What is forgotten would be told again; and what is said while the archive
        // answers makes us forget as much.
        if from.turn < remembered / 2 {
            return Some((place, from.turn));
        }
        let middle = self.delivered.middle().cloned();
        let after_middle = self.delivered.len().div_ceil(2).saturating_sub(1);
        Some(middle.map_or((place, from.turn), |id| (Cursor::After(id), after_middle)))
    }

    fn ask_audit(&mut self, cx: &mut Cx<'_>, at: &str) {
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.audit.pager.open(query_id.clone(), cx.limits.page);
        let purpose = Purpose::LogPage(self.id);
        self.audit.asked = Some(cx.request(Kind::Set, Some(at), purpose, |w| {
            mam::write_query(w, &query_id, &page, max);
        }));
    }

    /// A page of a comparison was answered.
    pub(super) fn audit_page(
        &mut self,
        cx: &mut Cx<'_>,
        at: &str,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        self.audit.asked = None;
        // XEP-0313 v1.1.3, section 4.2: results of which the server says stable='false'
        // may change, so that nothing is concluded from what they do not show.
        self.audit.unstable |= answer.as_ref().is_ok_and(|fin| !fin.stable);
        let page = match self.audit.pager.close(answer) {
            Ok(page) => page,
            Err(error) => {
                if error.is_expired() && core::mem::take(&mut self.audit.pass.resumed) {
                    // It is only the place to which this one had come.
                    return self.begin_audit(cx, at);
                }
                // The next catch-up or comparison tells; this one only looks.
                if let (true, Some(cursor)) = (error.is_expired(), self.cursor.clone()) {
                    let [Mark { at: from, .. }, _] = self.audit.compared.clone();
                    let restart = self.audit.restart(&cursor);
                    let [Mark { at: now_from, .. }, _] = &self.audit.compared;
                    if from != *now_from && restart != Restart::Whole {
                        // What it was late to show since is not to be found any more.
                        let reason = GapReason::Unsettled;
                        let after = from;
                        self.tell(cx, Entry::Gap { after, reason });
                    }
                    if restart != Restart::Nowhere {
                        return self.begin_audit(cx, at);
                    }
                }
                return self.next_audit(cx);
            }
        };
        if page.doubtful {
            return self.ask_audit(cx, at);
        }
        if self.audit.is_overtaken() {
            return self.next_audit(cx);
        }
        let stood_at = self.cursor.clone();
        let mut removed = page.removed.into_iter().peekable();
        for (number, message) in page.messages.into_iter().enumerate() {
            // The reader may stand on what was removed since: its place is still known.
            while let Some((_, id)) = removed.next_if(|(before, _)| *before <= number) {
                self.come_by(id);
            }
            if !self.compare(cx, Box::new(message)) {
                if self.audit.pass.passed {
                    self.starve();
                } else {
                    self.audit.pass.waits = true;
                    cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
                }
                return;
            }
        }
        removed.for_each(|(_, id)| self.come_by(id));
        if !page.complete {
            if self.cursor != stood_at {
                // There is more behind where the reader stood: what comes live waits for it.
                self.audit.pager.abandon();
                return self.read_on(cx, at);
            }
            return self.ask_audit(cx, at);
        }
        self.bookmarked = false;
        // The comparison has to be made again, from the same place.
        if let Some(reached) = self.cursor.clone().filter(|_| !self.audit.unstable)
            && let Some(at) = self.audit.shift(reached)
        {
            self.tell(cx, Entry::Confirmed { at });
        }
        self.next_audit(cx);
    }

    /// The comparison comes by an item that is no message.
    fn come_by(&mut self, id: ArchiveId) {
        self.audit.pass.passed |= self.stands_on(&id);
        self.audit.pass.place = Some(Cursor::After(id));
    }

    fn stands_on(&self, id: &ArchiveId) -> bool {
        matches!(&self.cursor, Some(Cursor::After(at)) if at == id)
    }

    /// Delivers a message unless it was. Returns whether the reader can take more.
    fn compare(&mut self, cx: &mut Cx<'_>, message: Box<Message>) -> bool {
        let Some(id) = message.id.clone() else {
            return true;
        };
        let stands_here = self.stands_on(&id);
        self.audit.pass.passed |= stands_here;
        let in_turn = self.delivered.contains(&id);
        if stands_here || in_turn || self.knows(&id) || self.audit.has_told(&id) {
            self.audit.pass.place = Some(Cursor::After(id.clone()));
            self.audit.pass.over = Some(id).filter(|_| in_turn).or(self.audit.pass.over.take());
            return true;
        }
        if self.credit == 0 || !self.is_idle() {
            return false;
        }
        self.audit.pass.place = Some(Cursor::After(id));
        if self.audit.pass.passed {
            self.deliver(cx, message);
            self.audit.pass.passed = true;
            return true;
        }
        let told = self.audit.pass.late.saturating_add(1);
        self.deliver_late(cx, message);
        self.audit.pass.late = told;
        let [from, _] = &self.audit.compared;
        if from.late >= self.audit.remembered / 2 {
            if let Some(over) = self.audit.pass.over.take() {
                self.delivered.forget_through(&over);
                self.audit.pass.turn = self.delivered.len();
            }
            self.audit.settle_for(self.audit.pass.turn);
        }
        true
    }

    /// Delivers a message that lies behind where the reader stands, unless it was.
    pub(super) fn deliver_late(&mut self, cx: &mut Cx<'_>, message: Box<Message>) {
        let Some(id) = message.id.clone() else {
            // The archive failed to take it: nowhere else will it be found.
            if !self.echoes.repeats(&message) {
                self.credit = self.credit.saturating_sub(1);
                self.tell(cx, Entry::Late(message));
            }
            return;
        };
        if self.knows(&id) || !self.audit.told_late(id) {
            return;
        }
        // Its author may have sent it again, and the reader have the other copy.
        if !self.echoes.repeats(&message) {
            self.credit = self.credit.saturating_sub(1);
            self.tell(cx, Entry::Late(message));
        }
    }

    fn next_audit(&mut self, cx: &mut Cx<'_>) {
        let pause = match self.audit.rounds {
            0 => SECOND,
            _ => cx
                .timing
                .audit
                .saturating_add(cx.ids.jitter(part(cx.timing.audit, 10))),
        };
        self.audit.rounds = self.audit.rounds.saturating_add(1);
        cx.arm(Timer::LogAudit, self.id.0, pause);
    }

    pub(super) fn stop_audit(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::LogAudit, self.id.0);
        cx.forget(self.audit.asked.take());
        self.audit.pager.abandon();
    }
}
