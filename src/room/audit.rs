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
//! show, and counts for nothing else, unless no more can be remembered.
//!
//! # What is remembered
//!
//! Nothing is told twice, because of this: *what was told and may lie behind the place from
//! which is compared is remembered*. Each such place ([`marks`]) is one where a reading of the
//! archive stood, with how much was told since. The memory
//! ([`Limits::remembered_ids`](crate::Limits::remembered_ids)) bounds all of that:
//!
//! - In a busy room it is compared early, after a quarter of a memory was heard, or 256
//!   messages, from where the last comparison ended. Where more than half a memory lies behind
//!   the stand, that moves on to what was compared once.
//! - Where five eighths do, because the archive does not answer or does not show what was
//!   heard, what is said is held back until it does. If it never does, a gap is told
//!   ([`GapReason::Unsettled`]).
//! - A catch-up that would fill it compares what was heard before, and what an earlier one read
//!   to the end of the archive, and then reads on. What else was read, and not heard, lies there
//!   whole: the stand follows it.
//! - What a comparison tells late lies before the place to which it has come. If it fills the
//!   memory, that place becomes the stand, and what lies before is forgotten.
//! - A comparison that waits for the reader goes on from the place it had come to.
//!
//! A reader who goes on from a bookmark stands as the one before it did: the bookmark's cursor
//! is the stand, and what it names was told since.
//!
//! # What is not told yet
//!
//! Where something is held back or was dropped, and the archive does not show yet where the reader
//! stands, nobody can tell at once what the reader was late for: a comparison reads [ahead] then.
//! What was heard and dropped, and not shown when the archive was read to its end, is looked for
//! [behind] the reader; if it is not found in the time that archives have to
//! [settle](crate::Timing::settle), and by two looks, a gap is told ([`GapReason::Unsettled`]).
//!
//! It does not find what the archive does not show, and not what shows up later than
//! two comparisons after its time. Where the message that the reader stands on was removed
//! without a trace, nothing tells what lies behind it: that comes as [`Entry::Late`] too.
//! Where more was told than is remembered before an archive showed what was told before that, at a
//! place further on, it is told again.
//! Where the archive let go of the place to compare from, and of those after it, nothing tells
//! what it was late to show since: a gap is told ([`GapReason::Unsettled`]).

mod ahead;
mod behind;
mod marks;

use alloc::boxed::Box;
use core::time::Duration;

use super::log::catchup::FAILURES;
use super::log::{Log, Phase};
use super::told::Turn;
use crate::cx::{Cx, Purpose};
use crate::event::{Entry, GapReason, Message, RequestError, Source};
use crate::ids::{ArchiveId, Cursor, Label};
use crate::mam::{self, Fin};
use crate::stanza::iq::Kind;
use crate::time::{Timer, part};
pub(super) use marks::Audit;
use marks::{Hurry, IN_VAIN, Next};

/// When the second comparison after a catch-up comes, counted from the first.
const SECOND: Duration = Duration::from_secs(25);

/// What became of a message of the archive.
enum Compared {
    /// It was delivered, now or before.
    Done,
    /// It was heard, and waits for all that the reader was told before to be compared: so it
    /// lies behind where the reader stands.
    HeldBack,
    /// The reader can take no more.
    NoCredit,
}

impl Log {
    /// The end of the archive was reached: what lags behind it is looked for.
    pub(super) fn plan_audits(&mut self, cx: &mut Cx<'_>) {
        if self.cursor.is_none() {
            return;
        }
        self.audit.rounds = 0;
        self.audit.hurry = Hurry::No;
        cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
        self.hurry_audit(cx);
    }

    /// Something may have been missed: compares soon.
    pub(super) fn compare_anew(&mut self, cx: &mut Cx<'_>) {
        if self.audit.has_begun() {
            self.stop_audit(cx);
            self.plan_audits(cx);
        }
    }

    /// Compares soon, if so much was heard that it has to be.
    pub(super) fn hurry_audit(&mut self, cx: &mut Cx<'_>) {
        if self.phase != Phase::Live
            || !self.archived
            || self.audit.asked.is_some()
            || !self.audit.is_due()
        {
            return;
        }
        match self.audit.hurry {
            Hurry::No => {}
            Hurry::Later if self.audit.is_full() => {}
            Hurry::Later | Hurry::Now => return,
        }
        self.audit.hurry = Hurry::Now;
        cx.arm(Timer::LogAudit, self.id.0, Duration::ZERO);
    }

    /// Compares, if nothing else is under way.
    pub(super) fn begin_audit(&mut self, cx: &mut Cx<'_>, at: &str) {
        if !self.audit.has_begun() {
            return;
        }
        if self.credit == 0 {
            // What is held back waits for the reader too.
            self.audit.hurry = Hurry::No;
            cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
            return;
        }
        self.audit.pass.resumed = core::mem::take(&mut self.audit.pass.waits);
        let place = self.audit.pass.place.clone();
        if let Some(place) = place.filter(|_| self.audit.pass.resumed) {
            self.audit.pager = self.pager_after(&place, cx.limits.page);
            return self.ask_audit(cx, at);
        }
        let early = self.audit.hurry != Hurry::No && !self.audit.is_pressed();
        self.begin_pass(cx, at, early);
    }

    /// Compares what was heard before more is read, since more cannot be remembered.
    pub(super) fn compare_first(&mut self, cx: &mut Cx<'_>, at: &str) {
        self.phase = Phase::Comparing;
        self.begin_pass(cx, at, false);
    }

    fn begin_pass(&mut self, cx: &mut Cx<'_>, at: &str, early: bool) {
        let Some(from) = self.audit.begin_pass(early) else {
            return;
        };
        self.audit.orders = self.orders();
        self.told.begin_reading();
        if let Cursor::After(id) = &from {
            // What is forgotten of what comes lies behind that.
            self.told.come_by(id);
        }
        self.audit.unstable = false;
        self.audit.pass.passed =
            self.cursor == Some(Cursor::Beginning) || self.cursor.as_ref() == Some(&from);
        self.audit.pass.place = Some(from.clone());
        self.audit.pager = self.pager_after(&from, cx.limits.page);
        self.ask_audit(cx, at);
    }

    fn ask_audit(&mut self, cx: &mut Cx<'_>, at: &str) {
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.audit.pager.open(query_id.clone(), cx.limits.page);
        let purpose = Purpose::LogPage(self.id);
        self.asked_at = cx.now;
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
        let page = self.audit.pager.close(answer);
        if !matches!(self.phase, Phase::Live | Phase::Comparing) {
            // What is read now comes first; comparing begins anew after it.
            return;
        }
        let page = match page {
            Ok(page) => page,
            Err(error) if self.audit.pass.looks_behind => return self.look_failed(cx, &error),
            Err(error) => return self.audit_failed(cx, at, error),
        };
        self.audit.failed = None;
        if page.doubtful {
            return self.ask_audit(cx, at);
        }
        if self.audit.pass.looks_behind {
            return self.looked_behind(cx, at, page);
        }
        let (weight, credit) = (page.weight, self.credit);
        if self.audit.pass.looks {
            if let Err(error) = self.audit.pass.barren.read(weight, page.complete) {
                return self.audit_failed(cx, at, error);
            }
            return self.look_ahead(cx, at, &page);
        }
        let stood_at = self.cursor.clone();
        let sure = self.surely_before(&page);
        let ends = self.ends_with(&page);
        let mut removed = page.removed.into_iter().peekable();
        for (number, message) in page.messages.into_iter().enumerate() {
            // The reader may stand on what was removed since: its place is still known.
            while let Some((_, id)) = removed.next_if(|(before, _)| *before <= number) {
                self.come_by(id);
            }
            if self.phase == Phase::Comparing && self.audit.pass.passed {
                break;
            }
            if number >= sure && !self.audit.pass.passed && !self.is_told(&message) {
                if ends {
                    return self.end_pass(cx, at, true);
                }
                return self.begin_to_look(cx, at);
            }
            match self.compare(cx, Box::new(message)) {
                Compared::Done => {}
                Compared::HeldBack => return self.end_pass(cx, at, true),
                Compared::NoCredit => return self.wait_for_reader(cx),
            }
        }
        if self.phase == Phase::Comparing && self.audit.pass.passed {
            return self.end_pass(cx, at, false);
        }
        removed.for_each(|(_, id)| self.come_by(id));
        if page.complete {
            self.ordered();
            return self.end_pass(cx, at, true);
        }
        if self.cursor != stood_at {
            // There is more behind where the reader stood: what comes live waits for it.
            return self.end_pass(cx, at, false);
        }
        if let Err(error) = self.audit.pass.barren.read(weight, self.credit < credit) {
            return self.audit_failed(cx, at, error);
        }
        self.ask_audit(cx, at);
    }

    /// The reader can take no more of what the archive shows.
    fn wait_for_reader(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Comparing || self.audit.pass.passed {
            self.phase = Phase::Starved;
        } else {
            self.audit.pass.waits = true;
            cx.arm(Timer::LogAudit, self.id.0, cx.timing.settle);
        }
    }

    /// The reader's place is reached, and `complete`: the end of the archive.
    fn end_pass(&mut self, cx: &mut Cx<'_>, at: &str, complete: bool) {
        let Some(cursor) = self.cursor.clone() else {
            return;
        };
        let catching_up = self.phase == Phase::Comparing;
        let pressed = catching_up || self.audit.is_pressed();
        if self.audit.beyond {
            return self.ended_in_vain(cx, at, None);
        }
        self.audit.wary = self.missing.is_late();
        // A comparison that may be contradicted has to be made again, from the same place; but
        // where there is no memory to do so, it has to do.
        let confirmed = if catching_up {
            self.audit.compared_to(&cursor, &self.told)
        } else if self.audit.unstable && !pressed {
            None
        } else {
            let soon = |counted| cx.now.since(counted) < SECOND;
            self.audit.compared(&cursor, &self.told, cx.now, soon)
        };
        if let Some(at) = confirmed {
            self.tell(cx, Entry::Confirmed { at });
        }
        let held_up = match catching_up {
            true => self.audit.is_due_before(cx.limits.page),
            false => self.audit.is_pressed() || self.audit.is_due(),
        };
        // What lies behind the reader's place comes before what is held back.
        if held_up && (catching_up || complete) {
            return self.ended_in_vain(cx, at, None);
        }
        if !complete {
            self.phase = Phase::Comparing;
        }
        self.go_on(cx, at);
    }

    /// The archive does not show where the reader stands, and more than can be remembered behind
    /// that: it stands there from now on.
    fn step_over(&mut self, cx: &mut Cx<'_>) {
        let Some(place) = self.audit.pass.place.clone() else {
            return;
        };
        self.audit.beyond = false;
        self.audit.ahead = true;
        self.gap(cx, GapReason::Unsettled);
        self.missing.clear();
        self.cursor = Some(place.clone());
        self.settle_at(place, None);
        // What is held back may lie before that.
        self.are_late(false);
    }

    /// What was heard could not be compared, so that it has to be remembered further on.
    fn ended_in_vain(&mut self, cx: &mut Cx<'_>, at: &str, error: Option<RequestError>) {
        let catching_up = self.phase == Phase::Comparing;
        if !catching_up && !self.audit.is_full() {
            // There is place for more.
            self.audit.hurry = Hurry::Later;
            if error.is_none() && self.look_behind(cx, at) {
                return self.flush(cx);
            }
            cx.arm(Timer::LogAudit, self.id.0, SECOND);
            return self.flush(cx);
        }
        if !self.audit.ended_in_vain(error.as_ref()) {
            return self.give_up_comparing(cx, at, error);
        }
        let pause = match error {
            Some(_) => cx
                .timing
                .backoff_min
                .saturating_mul(1 << self.audit.in_vain().min(6)),
            None => part(cx.timing.settle, IN_VAIN),
        };
        if catching_up {
            self.phase = Phase::Settling;
            return cx.arm(Timer::LogSettle, self.id.0, pause);
        }
        self.audit.hurry = Hurry::Now;
        cx.arm(Timer::LogAudit, self.id.0, pause);
        self.flush(cx);
    }

    /// Nobody can tell any more what was told since the last comparison, and what was not.
    fn give_up_comparing(&mut self, cx: &mut Cx<'_>, at: &str, error: Option<RequestError>) {
        if self.audit.beyond && error.is_none() {
            self.step_over(cx);
        } else if self.phase == Phase::Comparing {
            // Perhaps the archive does not know the cursor any more.
            self.audit.begin_anew();
            return self.ask_now(cx, at);
        } else if let Some(cursor) = self.cursor.clone() {
            let after = self.audit.give_up(&cursor, &self.told);
            self.missing.clear();
            if error.is_some() && self.overflowed {
                // What was dropped meanwhile is not waited for as long once more.
                self.failures = FAILURES.saturating_sub(1);
            }
            let reason = error.map_or(GapReason::Unsettled, GapReason::ArchiveFailed);
            self.tell(cx, Entry::Gap { after, reason });
        }
        self.go_on(cx, at);
    }

    /// What is held back until it is compared is not, where the archive fails: a gap is told, and
    /// what was heard is given out. Says whether that was so.
    pub(super) fn go_on_uncompared(&mut self, cx: &mut Cx<'_>) -> bool {
        let (true, Some(cursor)) = (self.archived && self.audit.is_full(), self.cursor.clone())
        else {
            return false;
        };
        let again = self.audit.in_vain() > 1;
        let failed = self.audit.failed.clone();
        let Some(error) = failed.filter(|error| again || error.is_for_good()) else {
            return false;
        };
        let after = self.audit.give_up(&cursor, &self.told);
        self.missing.clear();
        let reason = GapReason::ArchiveFailed(error);
        self.tell(cx, Entry::Gap { after, reason });
        self.audit.begin_anew();
        self.flush(cx);
        true
    }

    /// There is nothing to compare for now.
    fn go_on(&mut self, cx: &mut Cx<'_>, at: &str) {
        self.audit.begin_anew();
        self.audit.hurry = Hurry::No;
        if self.phase == Phase::Comparing || self.overflowed {
            return self.restart(cx, at);
        }
        if self.look_behind(cx, at) {
            return self.flush(cx);
        }
        self.next_audit(cx);
        self.flush(cx);
    }

    fn audit_failed(&mut self, cx: &mut Cx<'_>, at: &str, error: RequestError) {
        let Some(cursor) = self.cursor.clone() else {
            return;
        };
        if error.is_expired() && self.audit.pass.seen.is_some() {
            // It is only the place to which it went back.
            return self.ended_in_vain(cx, at, None);
        }
        if error.is_expired() && core::mem::take(&mut self.audit.pass.resumed) {
            // It is only the place to which this one had come.
            return self.begin_audit(cx, at);
        }
        if error.is_expired() {
            let from = self.audit.pass.from.clone();
            let from = from.unwrap_or_else(|| cursor.clone());
            let next = self.audit.displace(&from, &cursor);
            if next == Next::Holes || next == Next::Nowhere && from != cursor {
                // What it was late to show since is not to be found any more.
                let (after, reason) = (Some(from), GapReason::Unsettled);
                self.tell(cx, Entry::Gap { after, reason });
            }
            if next != Next::Nowhere {
                return self.begin_pass(cx, at, false);
            }
            return self.go_on(cx, at);
        }
        if self.phase == Phase::Comparing {
            return self.failed(cx, at, error);
        }
        // The next catch-up or comparison tells; this one only looks.
        let for_good = error.is_for_good();
        self.audit.failed = Some(error.clone());
        if for_good && self.go_on_uncompared(cx) {
            return self.go_on(cx, at);
        }
        if self.audit.is_full() {
            return self.ended_in_vain(cx, at, Some(error));
        }
        if self.audit.is_due() {
            self.audit.hurry = Hurry::Later;
        }
        self.not_found(cx, Some(&error));
        self.next_audit(cx);
        self.flush(cx);
    }

    fn is_told(&self, message: &Message) -> bool {
        let id = message.id.as_ref();
        id.is_some_and(|id| self.told.contains(id) || self.removed.contains(id))
    }

    /// The comparison comes by an item that is no message.
    fn come_by(&mut self, id: ArchiveId) {
        if self.stands_on(&id) {
            self.audit.pass.passed = true;
            self.audit.beyond = false;
        }
        self.missing.found(&id);
        self.audit.pass.place = Some(Cursor::After(id));
    }

    pub(super) fn stands_on(&self, id: &ArchiveId) -> bool {
        matches!(&self.cursor, Some(Cursor::After(at)) if at == id)
    }

    /// Delivers a message unless it was.
    fn compare(&mut self, cx: &mut Cx<'_>, message: Box<Message>) -> Compared {
        let Some(id) = message.id.clone() else {
            return Compared::Done;
        };
        let stands_here = self.stands_on(&id);
        self.audit.pass.passed |= stands_here;
        let told = self.told.come_by(&id);
        if stands_here || told.is_some() || self.removed.contains(&id) {
            self.missing.found(&id);
            if told == Some(Turn::In) || stands_here {
                self.audit.beyond = false;
            }
            if told == Some(Turn::In) {
                self.audit.pass.over = Some(id.clone());
            }
            self.audit.pass.place = Some(Cursor::After(id));
            return Compared::Done;
        }
        if self.holds_back(&id) {
            if self.audit.pass.passed {
                self.is_in_turn_from(&id);
            }
            return Compared::HeldBack;
        }
        if self.credit == 0 {
            return Compared::NoCredit;
        }
        self.audit.pass.place = Some(Cursor::After(id.clone()));
        if self.audit.pass.passed {
            self.deliver(cx, message);
            self.audit.pass.passed = true;
            self.audit.pass.over = Some(id);
        } else {
            self.deliver_late(cx, message);
        }
        self.audit.pass.looked = false;
        if self.audit.overflows() {
            self.forget_read(cx);
        }
        Compared::Done
    }

    /// Whether a message was heard and waits to be delivered.
    pub(super) fn holds_back(&self, id: &ArchiveId) -> bool {
        self.held.iter().any(|held| held.id.as_ref() == Some(id))
    }

    /// So much was told that what lies before the place to which the reading under way has come
    /// is forgotten.
    fn forget_read(&mut self, cx: &mut Cx<'_>) {
        let Some(place) = self.audit.pass.place.clone() else {
            return;
        };
        let over = self.audit.pass.over.clone();
        if let Some(at) = self.settle_at(place, over) {
            self.tell(cx, Entry::Confirmed { at });
            // Whoever keeps what was told has to know both: what was told in its turn up to
            // there, and the place.
            if let Some(at) = self.audit.confirm() {
                self.tell(cx, Entry::Confirmed { at });
            }
        }
        self.audit.beyond = !self.audit.pass.passed;
    }

    /// What the reading under way came by is forgotten, and nothing before `place` compared
    /// again. Returns what is confirmed by that.
    pub(super) fn settle_at(&mut self, place: Cursor, over: Option<ArchiveId>) -> Option<Cursor> {
        self.pager.forget_before();
        let held = &self.held;
        let keeps = |id: &ArchiveId| held.iter().any(|held| held.id.as_ref() == Some(id));
        self.audit.settle_at(place, over, &mut self.told, keeps)
    }

    /// Delivers a message that lies behind where the reader stands, unless it was.
    pub(super) fn deliver_late(&mut self, cx: &mut Cx<'_>, message: Box<Message>) {
        if let Some(id) = &message.id {
            let read = message.source == Source::Archive;
            self.missing.found(id);
            if self.removed.contains(id)
                || self.shown.contains(id)
                || !self.told.insert(id, Turn::Out, read)
            {
                return;
            }
            self.audit.tells(false);
        }
        // Else the archive failed to take it: nowhere else will it be found. Its author may
        // have sent it again, and the reader have the other copy.
        if !self.echoes.repeats(&message) {
            self.credit = self.credit.saturating_sub(1);
            self.tell(cx, Entry::Late(message));
        }
    }

    fn next_audit(&mut self, cx: &mut Cx<'_>) {
        let pause = match self.audit.rounds {
            0 => SECOND,
            _ if self.audit.hurry != Hurry::No || self.missing.is_late() => SECOND,
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
        self.audit.hurry = Hurry::No;
    }
}
