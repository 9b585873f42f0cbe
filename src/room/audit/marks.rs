//! The places from which a subscription is compared with its archive, and how much was told
//! since the reader stood there: the bounds of what has to be remembered.

use crate::bookmark::Bookmark;
use crate::event::RequestError;
use crate::ids::{ArchiveId, Cursor};
use crate::mam::{Barren, Direction, Pager};
use crate::room::told::Told;
use crate::time::Instant;

/// So much may be heard at most until it is compared: of large memories not all is filled,
/// since what the room dropped comes no sooner.
const HEARD: usize = 256;

/// How often a comparison that is to come soon may end in vain, before what was told since
/// the last is given up. One that is not answered counts three times.
pub(super) const IN_VAIN: u32 = 4;

/// A place in the archive: all that lies before it was compared, or read.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: Cursor,
    /// The last message at or before it that was told in its turn, if it is remembered.
    over: Option<ArchiveId>,
    /// So many of those that were told last may lie behind it.
    pub(super) told: usize,
    /// So many of these were heard, and the room may have said more between them.
    heard: usize,
    /// Others were read at what was the end of the archive then, which may be late to show more.
    open: bool,
}

impl Mark {
    /// Whether all that lies behind it was told, but for what the room says yet.
    const fn is_whole(&self) -> bool {
        self.heard == 0 && !self.open
    }

    const fn new(at: Cursor) -> Self {
        Self {
            at,
            over: None,
            told: 0,
            heard: 0,
            open: false,
        }
    }
}

/// How far a comparison has come.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Where it began.
    pub(super) from: Option<Cursor>,
    /// How much was told since the reader stood there.
    told: usize,
    /// How much of that was left when some of it was forgotten last.
    left: usize,
    /// The last item that was compared.
    pub(super) place: Option<Cursor>,
    /// The last that it came by of what was told in its turn.
    pub(super) over: Option<ArchiveId>,
    /// Whether it has come to where the reader stands.
    pub(super) passed: bool,
    /// It waits until the reader can take more, and then goes on.
    pub(super) waits: bool,
    /// It went on after that.
    pub(super) resumed: bool,
    /// It began where the last one ended, since much was heard.
    early: bool,
    /// It is over, and what is missing is looked for behind the reader.
    pub(super) looks_behind: bool,
    /// It only reads on, to see whether anything there was told.
    pub(super) looks: bool,
    /// It did so, and told nothing since.
    pub(super) looked: bool,
    /// What it saw of that: the reader is late for what lies before it.
    pub(super) seen: Option<ArchiveId>,
    /// Some of what it came by was forgotten: no place before it can be gone back to.
    forgot: bool,
    /// What it read to no use since it last told something.
    pub(super) barren: Barren,
}

#[derive(Debug)]
pub(in crate::room) struct Audit {
    pub(in crate::room) pager: Pager,
    /// The request for the page being received.
    pub(in crate::room) asked: Option<u64>,
    /// The stand: all before it was compared twice, or is given up; where the comparison that
    /// counts as the next ended; and the last one.
    marks: Option<[Mark; 3]>,
    /// Where reading to the end of the archive began: the archive knew it then.
    began: Option<Mark>,
    /// The comparison under way.
    pub(super) pass: Pass,
    /// The archive said of the comparison under way that what it showed may still change.
    pub(super) unstable: bool,
    /// What was told as confirmed, or where the reader began.
    confirmed: Option<Cursor>,
    /// The last message of which that was told.
    confirmed_over: Option<ArchiveId>,
    /// Something is looked for behind the reader, so that no comparison confirms anything: whoever
    /// goes on from a place would not know of what lies before it.
    pub(super) wary: bool,
    /// Comparisons since the last catch-up.
    pub(super) rounds: u32,
    /// When one counted last: what ended there once is compared once more.
    counted_at: Option<Instant>,
    /// Whether a comparison is to come soon, because much was heard.
    pub(super) hurry: Hurry,
    /// Why the last one failed.
    pub(in crate::room) failed: Option<RequestError>,
    /// The comparison under way forgot what lies behind all that it came by of what was told in
    /// its turn: to read on from there would tell that again.
    pub(in crate::room) beyond: bool,
    /// Some of what was told may lie ahead of the reader, who stands at an older place since the
    /// archive did not show the one it stood at.
    pub(in crate::room) ahead: bool,
    /// How often in a row one ended in vain while more was held back.
    in_vain: u32,
    /// How many of these were not answered, which takes long each time.
    unanswered: u32,
    /// The comparison under way began after the stream was resumed.
    pub(in crate::room) orders: bool,
    remembered: usize,
}

/// Whether a comparison is to come soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hurry {
    No,
    /// In a while, since the last one was in vain and there is place for more.
    Later,
    /// As soon as can be.
    Now,
}

/// What a comparison goes on from if the archive does not know the place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// From a place before which all was compared.
    Whole,
    /// From a place between which and the last one something may be missing.
    Holes,
    /// There is no such place but the reader's.
    Nowhere,
}

impl Audit {
    pub(in crate::room) fn new(remembered: usize, page: u32, bookmark: &Bookmark) -> Self {
        let named = bookmark.beyond().count();
        let stand = |at: &Cursor| Mark {
            told: named,
            heard: named,
            ..Mark::new(at.clone())
        };
        let stand = bookmark.cursor().map(stand);
        Self {
            pager: Pager::new(Direction::Forward, None, page),
            asked: None,
            marks: stand.map(|stand| [stand.clone(), stand.clone(), stand]),
            began: None,
            pass: Pass::default(),
            unstable: false,
            confirmed: bookmark.cursor().cloned(),
            confirmed_over: None,
            wary: false,
            rounds: 0,
            counted_at: None,
            hurry: Hurry::No,
            failed: None,
            beyond: false,
            ahead: false,
            in_vain: 0,
            unanswered: 0,
            orders: false,
            remembered,
        }
    }

    pub(in crate::room) fn is_asked(&self, serial: u64) -> bool {
        self.asked == Some(serial)
    }

    /// How many bytes it holds.
    pub(in crate::room) fn held(&self) -> usize {
        self.pager.held()
    }

    /// So many ids are remembered.
    pub(in crate::room) const fn remembers(&self) -> usize {
        self.remembered
    }

    /// So much may be told behind the stand: a page has place after it.
    const fn most(&self) -> usize {
        self.remembered.saturating_sub(self.remembered / 8)
    }

    /// More than that is forgotten, whatever it is. Where nearly all that is remembered may lie
    /// ahead of what is read, there is place for some of that too.
    pub(in crate::room) const fn capacity(remembered: usize) -> usize {
        remembered.saturating_add(remembered / 4)
    }

    /// Whether there is anything to compare with.
    pub(super) const fn has_begun(&self) -> bool {
        self.marks.is_some()
    }

    /// Where a subscription begins to read: nothing before it is compared.
    pub(in crate::room) fn anchor(&mut self, cursor: &Cursor, told: &Told) {
        if self.marks.is_none() {
            let ahead = if self.ahead { told.len() } else { 0 };
            self.stand_at(cursor.clone(), ahead);
        }
        self.confirmed.get_or_insert_with(|| cursor.clone());
    }

    /// Reading to the end of the archive begins there.
    pub(in crate::room) fn begins(&mut self, cursor: &Cursor) {
        self.began = Some(Mark::new(cursor.clone()));
    }

    /// Nothing that was told so far can be compared.
    pub(in crate::room) fn forget(&mut self) {
        self.marks = None;
        self.ahead = false;
        self.began = None;
        self.beyond = false;
        self.pass = Pass::default();
    }

    /// What is read begins at this place, and `told` of what was told may lie behind it.
    pub(in crate::room) fn stand_at(&mut self, at: Cursor, told: usize) {
        let mark = Mark {
            told,
            ..Mark::new(at)
        };
        self.marks = Some([mark.clone(), mark.clone(), mark]);
        self.began = None;
        self.beyond = false;
        self.pass = Pass {
            told,
            ..Pass::default()
        };
    }

    /// The place before which all was compared.
    pub(in crate::room) fn stand(&self) -> Option<(&Cursor, usize)> {
        let [stand, ..] = self.marks.as_ref()?;
        Some((&stand.at, stand.told))
    }

    /// A message is told.
    pub(in crate::room) fn tells(&mut self, heard: bool) {
        let marks = self.marks.iter_mut().flatten().chain(&mut self.began);
        for mark in marks {
            mark.told = mark.told.saturating_add(1);
            mark.heard = mark.heard.saturating_add(usize::from(heard));
        }
        self.pass.told = self.pass.told.saturating_add(1);
    }

    /// The reader stands further on now than the comparison has come, and if that was `heard`
    /// behind all that was told.
    pub(in crate::room) const fn moved(&mut self, heard: bool) {
        self.pass.passed = false;
        if heard {
            self.ahead = false;
        }
    }

    /// Whether what was heard is to be compared soon.
    pub(super) fn is_due(&self) -> bool {
        let most = HEARD.min(self.remembered / 4);
        let heard = |[.., last]: &[Mark; 3]| last.heard >= most;
        self.marks.as_ref().is_some_and(heard) || self.is_full()
    }

    /// Whether what was heard has to be compared before more is told.
    pub(in crate::room) fn is_full(&self) -> bool {
        let most = (self.remembered / 2).saturating_add(self.remembered / 8);
        let is_full = |[stand, ..]: &[Mark; 3]| stand.heard > 0 && stand.told >= most;
        self.beyond || self.marks.as_ref().is_some_and(is_full)
    }

    /// Whether one more can be told behind the stand.
    pub(super) fn has_place(&self) -> bool {
        let has = |[stand, ..]: &[Mark; 3]| stand.told < self.most();
        self.marks.as_ref().is_some_and(has)
    }

    /// Whether what was heard has to be compared before a page of so many is told.
    pub(in crate::room) fn is_due_before(&self, page: u32) -> bool {
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        let is_due = |[stand, ..]: &[Mark; 3]| {
            !stand.is_whole() && stand.told.saturating_add(page) > self.most()
        };
        self.marks.as_ref().is_some_and(is_due)
    }

    /// One ended in vain. Says whether to go on trying.
    pub(super) fn ended_in_vain(&mut self, error: Option<&RequestError>) -> bool {
        self.in_vain = self.in_vain.saturating_add(1);
        let unanswered = u32::from(error == Some(&RequestError::TimedOut));
        self.unanswered = self.unanswered.saturating_add(unanswered);
        self.in_vain
            .saturating_add(self.unanswered.saturating_mul(2))
            <= IN_VAIN
    }

    pub(super) const fn in_vain(&self) -> u32 {
        self.in_vain
    }

    /// One is not awaited any more, or it was not in vain.
    pub(in crate::room) const fn begin_anew(&mut self) {
        (self.in_vain, self.unanswered) = (0, 0);
    }

    /// Whether less is to lie behind the stand.
    pub(super) fn is_pressed(&self) -> bool {
        let half = self.remembered / 2;
        self.marks
            .as_ref()
            .is_some_and(|[stand, ..]| stand.told > half)
    }

    /// A page was read, up to `cursor`: what was read and not heard lies there whole, but for
    /// what the archive was late to show of the last of it.
    pub(in crate::room) fn read_to(&mut self, cursor: &Cursor, told: &Told) {
        let Some(marks) = &mut self.marks else { return };
        let [stand, second, last] = marks;
        let moves = stand.told > self.remembered / 2;
        if !stand.is_whole() || !moves && last.told < self.remembered / 4 {
            return;
        }
        if moves {
            stand.clone_from(second);
        }
        let now = Mark {
            over: told.newest_in_turn().cloned(),
            ..Mark::new(cursor.clone())
        };
        *second = core::mem::replace(last, now);
    }

    /// The archive was read to its end. What was told before and has not come by is not in it,
    /// so that nothing lies ahead of the reader, and no comparison can wait for that.
    pub(in crate::room) fn read_all(&mut self, told: &mut Told) {
        if core::mem::take(&mut self.ahead) {
            told.read_all();
            for mark in self.marks.iter_mut().flatten() {
                mark.heard = 0;
            }
        }
    }

    /// What the archive showed was read to its end, of which it may be late to show more.
    pub(in crate::room) fn came_to_an_end(&mut self) {
        for mark in self.marks.iter_mut().flatten() {
            mark.open |= mark.told > 0;
        }
    }

    /// A comparison begins, from where the last one ended if it is `early`.
    pub(super) fn begin_pass(&mut self, early: bool) -> Option<Cursor> {
        let [stand, _, last] = self.marks.as_ref()?;
        let from = if early { last } else { stand };
        self.pass = Pass {
            from: Some(from.at.clone()),
            told: from.told,
            early,
            ..Pass::default()
        };
        Some(from.at.clone())
    }

    /// Something else is read: what a comparison that waits came by is no longer known.
    pub(in crate::room) const fn breaks_off(&mut self) {
        self.pass.waits = false;
    }

    /// Whether so much was told that some of what the reading under way came by has to be
    /// forgotten.
    pub(in crate::room) fn overflows(&mut self) -> bool {
        let most = self.most();
        if let Some([stand, second, last]) = &mut self.marks
            && self.pass.early
            && stand.told > most
        {
            // All before the place where this one began was compared once.
            (*stand, *second) = (last.clone(), last.clone());
        }
        self.pass.told > most.max(self.pass.left.saturating_add(self.remembered / 8))
    }

    /// The reading under way came to `place`, and what it came by is forgotten: nothing
    /// before it is compared again. Returns what is confirmed by that.
    pub(in crate::room) fn settle_at(
        &mut self,
        place: Cursor,
        over: Option<ArchiveId>,
        told: &mut Told,
        keeps: impl Fn(&ArchiveId) -> bool,
    ) -> Option<Cursor> {
        // What is read where the archive lost its end may be lost, and read, once more.
        let fresh = match self.ahead {
            true => self.remembered / 4,
            false => self.remembered / 8,
        };
        let left = told.forget_read(self.pass.told, fresh, keeps);
        (self.pass.told, self.pass.left) = (left, left);
        self.pass.forgot = true;
        let mark = Mark {
            at: place,
            over,
            told: left,
            heard: left,
            open: false,
        };
        self.marks = Some([mark.clone(), mark.clone(), mark]);
        self.began = None;
        // What is remembered has to be told, whatever is missing.
        self.wary = false;
        self.confirm()
    }

    /// A comparison came to the end of the archive, the reader standing at `cursor`. `soon`: it
    /// is too soon after the last that counted. Returns what is confirmed by that.
    pub(super) fn compared(
        &mut self,
        cursor: &Cursor,
        told: &Told,
        now: Instant,
        soon: impl Fn(Instant) -> bool,
    ) -> Option<Cursor> {
        let ended = self.ended_at(cursor, told)?;
        let half = self.remembered / 2;
        let too_soon = self.pass.early && self.counted_at.is_some_and(soon);
        let [stand, second, last] = self.marks.as_mut()?;
        *last = ended;
        if !(too_soon && stand.told <= half) {
            core::mem::swap(stand, second);
            second.clone_from(last);
            self.counted_at = Some(now);
            if stand.told > half {
                *stand = match self.pass.forgot {
                    true => last.clone(),
                    false => Self::near(last, told, self.remembered),
                };
            }
        } else {
            // Another has to come that counts.
            self.rounds = 0;
        }
        self.confirm()
    }

    /// The place up to which the comparison under way has come: where the reader stands, or
    /// else the last that the archive shows of what was told in its turn. Behind that lies
    /// what was told later. Where it shows nothing of that, the comparison does not count.
    fn ended_at(&self, cursor: &Cursor, told: &Told) -> Option<Mark> {
        if self.pass.passed && !self.ahead {
            return Some(Mark {
                over: told.newest_in_turn().cloned(),
                ..Mark::new(cursor.clone())
            });
        }
        let over = self.pass.over.as_ref()?;
        let after = told.after(over)?;
        Some(Mark {
            at: Cursor::After(over.clone()),
            over: Some(over.clone()),
            told: after,
            heard: after,
            open: false,
        })
    }

    /// What was heard was compared up to where the reader stands, so that more can be read.
    pub(super) fn compared_to(&mut self, cursor: &Cursor, told: &Told) -> Option<Cursor> {
        let last = self.ended_at(cursor, told)?;
        let near = match self.pass.forgot {
            true => last.clone(),
            false => Self::near(&last, told, self.remembered),
        };
        self.marks = Some([near.clone(), near, last]);
        self.confirm()
    }

    /// The place to compare from next where only so much can be remembered, all before it having
    /// been compared once: what the archive is late to show behind it is found yet.
    fn near(last: &Mark, told: &Told, remembered: usize) -> Mark {
        let most = (remembered / 2).saturating_sub(remembered / 8);
        let place = told.come_by_before(most);
        let Some((id, after)) = place.filter(|(_, after)| *after > last.told) else {
            return last.clone();
        };
        Mark {
            at: Cursor::After(id.clone()),
            over: Some(id.clone()),
            told: after,
            heard: last.heard,
            open: false,
        }
    }

    /// Nobody can tell any more what was told behind the stand: that becomes `cursor`.
    /// What was told late since the reader came there may lie ahead.
    pub(super) fn give_up(&mut self, cursor: &Cursor, told: &Told) -> Option<Cursor> {
        let before = self.stand().map(|(at, _)| at.clone());
        let newest = told.newest_in_turn();
        let late = newest.and_then(|newest| told.after(newest));
        self.stand_at(cursor.clone(), late.unwrap_or(0));
        self.confirmed = Some(cursor.clone());
        before
    }

    /// The archive does not know `from`: what to compare from instead.
    pub(super) fn displace(&mut self, from: &Cursor, cursor: &Cursor) -> Next {
        let Some([_, second, last]) = self.marks.clone() else {
            return Next::Nowhere;
        };
        if self.pass.early {
            return Next::Whole;
        }
        let known = [&second, &last].into_iter().find(|mark| mark.at != *from);
        if let Some(known) = known.cloned() {
            // All before it was compared once.
            self.marks = Some([known.clone(), known, last]);
            return Next::Whole;
        }
        self.beyond = false;
        let began = self.began.take().filter(|began| began.at != *from);
        let (mark, next) = match began {
            Some(began) if last.heard <= began.heard => (began, Next::Whole),
            Some(began) => (began, Next::Holes),
            None => (Mark::new(cursor.clone()), Next::Nowhere),
        };
        self.marks = Some([mark.clone(), mark.clone(), mark]);
        next
    }

    /// The stand, if that is news: first the last message before it, so that whoever keeps
    /// what was told learns what lies there.
    pub(in crate::room) fn confirm(&mut self) -> Option<Cursor> {
        let [stand, ..] = self.marks.as_ref().filter(|_| !self.wary)?;
        let over = stand.over.as_ref();
        let over = over.filter(|over| self.confirmed_over.as_ref() != Some(over));
        let place = match over {
            Some(over) => Cursor::After(over.clone()),
            None => stand.at.clone(),
        };
        if stand.over.is_some() {
            self.confirmed_over.clone_from(&stand.over);
        }
        if self.confirmed.as_ref() == Some(&place) {
            return None;
        }
        self.confirmed = Some(place.clone());
        Some(place)
    }
}

#[cfg(test)]
mod tests;
