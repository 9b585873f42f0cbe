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
    compared: [Option<Cursor>; 2],
    /// How much was delivered since the first: no more than is remembered can be
    /// compared.
    since: [usize; 2],
    /// Where reading to the end of the archive began when all that was delivered had been
    /// compared, and how much was delivered since: what was compared before that may be
    /// gone from the archive meanwhile, and what it was late to show lies behind this.
    began: Option<Cursor>,
    since_began: usize,
    /// The same of the last time, whatever had been compared: the place to go on from after
    /// a gap.
    began_last: Option<Cursor>,
    since_began_last: usize,
    /// How much was delivered since the comparison under way began.
    meanwhile: usize,
    /// The archive said of the comparison under way, or of one since the last that
    /// counted, that what it showed may still change.
    unstable: bool,
    /// What was told as confirmed.
    confirmed: Option<Cursor>,
    /// So many comparisons more are not told: they begin or end before a gap.
    untold: u8,
    /// Told as late, or before it was known to be a place.
    late: Recent<ArchiveId>,
    /// Whether the comparison under way has come to where the reader stands.
    passed: bool,
    /// Comparisons since the last catch-up.
    rounds: u32,
    remembered: usize,
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
            compared: [None, None],
            since: [0, 0],
            began: None,
            since_began: 0,
            began_last: None,
            since_began_last: 0,
            meanwhile: 0,
            unstable: false,
            confirmed: None,
            untold: 0,
            late: Recent::new(remembered),
            passed: false,
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
        self.late.insert(id);
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
        for since in &mut self.since {
            *since = since.saturating_add(1);
        }
        self.since_began = self.since_began.saturating_add(1);
        self.since_began_last = self.since_began_last.saturating_add(1);
        self.meanwhile = self.meanwhile.saturating_add(1);
        // The reader stands further on now than the comparison has come.
        self.passed = false;
    }

    /// Where a subscription begins to read: nothing before it is compared.
    pub(super) fn anchor(&mut self, cursor: &Cursor) {
        for compared in &mut self.compared {
            compared.get_or_insert_with(|| cursor.clone());
        }
        self.confirmed.get_or_insert_with(|| cursor.clone());
    }

    /// Reading to the end of the archive begins there.
    pub(super) fn begins(&mut self, cursor: &Cursor) {
        self.began_last = Some(cursor.clone());
        self.since_began_last = 0;
        let [_, uncompared] = self.since;
        if uncompared > 0 {
            // What the archive was late to show may lie before this place.
            return;
        }
        self.began = Some(cursor.clone());
        self.since_began = 0;
    }

    /// Nothing that was delivered so far can be compared.
    pub(super) fn forget(&mut self) {
        (self.began, self.began_last) = (None, None);
        self.compared = [None, None];
        self.since = [0, 0];
    }

    /// The archive no longer knows where to compare from: it is compared from where it was
    /// read last, which it knew then; else nothing before the reader's place is.
    fn restart(&mut self, cursor: &Cursor) -> Restart {
        let [from, _] = &self.compared;
        let other = |began: Option<Cursor>| began.filter(|began| from.as_ref() != Some(began));
        let (place, since, restart) = if let Some(began) = other(self.began.take()) {
            (began, self.since_began, Restart::Whole)
        } else if let Some(began) = other(self.began_last.take()) {
            (began, self.since_began_last, Restart::AfterGap)
        } else {
            (cursor.clone(), 0, Restart::Nowhere)
        };
        self.compared = [Some(place.clone()), Some(place)];
        self.since = [since, since];
        restart
    }

    /// What was compared twice is done with.
    /// Returns up to where that is so, if that is news.
    fn shift(&mut self, reached: Cursor) -> Option<Cursor> {
        let [_, last] = core::mem::take(&mut self.compared);
        self.compared = [last, Some(reached)];
        let [_, since] = self.since;
        self.since = [since, 0];
        let [twice, _] = &self.compared;
        if *twice == self.confirmed {
            return None;
        }
        self.confirmed.clone_from(twice);
        let told = self.untold == 0;
        self.untold = self.untold.saturating_sub(1);
        twice.clone().filter(|_| told)
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
        let begun = self.audit.compared.iter().all(Option::is_some);
        if self.archived && begun && self.is_idle() {
            self.stop_audit(cx);
            self.plan_audits(cx);
        }
    }

    /// Compares, if nothing else is under way.
    pub(super) fn begin_audit(&mut self, cx: &mut Cx<'_>, at: &str) {
        let [Some(from), _] = &self.audit.compared else {
            return;
        };
        if !self.is_idle() || self.credit == 0 {
            cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
            return;
        }
        let [since, _] = self.audit.since;
        // What is forgotten would be told again; and what is said while the archive
        // answers makes us forget as much.
        let from = if since < self.audit.remembered / 2 {
            from.clone()
        } else {
            let middle = self.delivered.middle().cloned();
            middle.map_or_else(|| from.clone(), Cursor::After)
        };
        self.audit.meanwhile = 0;
        self.audit.unstable = false;
        self.audit.passed =
            self.cursor == Some(Cursor::Beginning) || self.cursor.as_ref() == Some(&from);
        self.audit.pager = self.pager_after(&from, cx.limits.page);
        self.ask_audit(cx, at);
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
                // The next catch-up or comparison tells; this one only looks.
                if let (true, Some(cursor)) = (error.is_expired(), self.cursor.clone()) {
                    let [from, _] = self.audit.compared.clone();
                    let restart = self.audit.restart(&cursor);
                    let [now_from, _] = &self.audit.compared;
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
        if self.audit.meanwhile >= self.audit.remembered / 2 {
            return self.next_audit(cx);
        }
        let stood_at = self.cursor.clone();
        let mut removed = page.removed.into_iter().peekable();
        for (number, message) in page.messages.into_iter().enumerate() {
            // The reader may stand on what was removed since: its place is still known.
            while let Some((_, id)) = removed.next_if(|(before, _)| *before <= number) {
                self.audit.passed |= self.stands_on(&id);
            }
            if !self.compare(cx, Box::new(message)) {
                if self.audit.passed {
                    self.starve();
                } else {
                    cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
                }
                return;
            }
        }
        if !page.complete {
            if self.cursor != stood_at {
                // There is more behind where the reader stood: what comes live waits for it.
                self.audit.pager.abandon();
                return self.read_on(cx, at);
            }
            return self.ask_audit(cx, at);
        }
        // The comparison has to be made again, from the same place.
        if let Some(reached) = self.cursor.clone().filter(|_| !self.audit.unstable)
            && let Some(at) = self.audit.shift(reached)
        {
            self.tell(cx, Entry::Confirmed { at });
        }
        self.next_audit(cx);
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
        self.audit.passed |= stands_here;
        if stands_here || self.delivered.contains(&id) || self.audit.has_told(&id) {
            return true;
        }
        if self.credit == 0 || !self.is_idle() {
            return false;
        }
        if self.audit.passed {
            self.deliver(cx, message);
            self.audit.passed = true;
            return true;
        }
        self.deliver_late(cx, message);
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
        if self.delivered.contains(&id) || !self.audit.late.insert(id) {
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
