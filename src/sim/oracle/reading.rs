//! Those who follow a room: rules S1 to S5.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::delivered::{Bits, Delivered};
use super::earlier;
use super::evidence::Witness;
use super::found::Found;
use super::truth::{Item, Room};
use super::verdicts::{self, Grounds};
use crate::{Cursor, Entry, GapReason, Instant, Limits, Message, Source, Start};

/// A subscription that stands at the end compares what it gave with the archive by then,
/// twice.
const COMPARED: Duration = Duration::from_secs(60);

/// What it was told at its end may have been so before; and what it asked for then may be
/// answered that much later.
const GRACE: Duration = Duration::from_secs(60);

/// What was heard and not shown before that is looked for so much longer.
const LOOKED_FOR: Duration = Duration::from_secs(180);

/// How long an archive has to show what came live, by default
/// ([`Timing::settle`](crate::Timing::settle)), but for what a coarse clock makes of it.
const SETTLE: Duration = Duration::from_millis(4_900);

/// A subscription.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) room: usize,
    /// The place of the first message that was not considered yet; `None` before
    /// the "now" of [`Start::Now`] has a place.
    pub(super) next: Option<usize>,
    /// How much was said when it began, and when that was.
    began: (usize, Instant),
    /// What lies before it was dealt with, one way or another: it is not owed.
    floor: usize,
    /// Passed by before the archive showed it, and since when: it has to come late.
    pub(super) owed: BTreeMap<usize, Instant>,
    /// Since when it stands at the end, undisturbed.
    calm: Option<Instant>,
    delivered: Delivered,
    /// Owed when a gap was told: it may come yet, or not at all.
    excused: Bits,
    /// When a gap was told after which nothing was delivered yet.
    pub(super) gap: Option<Instant>,
    /// A gap was told after which nothing was delivered that the archive still has.
    unsure: bool,
    /// It began at a cursor, and nothing was delivered yet.
    from_cursor: bool,
    /// The archive had let go of that cursor before, which is to be told first.
    expired: bool,
    /// Nothing comes any more, or nobody wants it.
    pub(super) over: bool,
    ended: bool,
    pub(super) caught_up: u32,
    /// When it was said to stand at the end last, or when it began; no later than that was so.
    stood: Instant,
    /// The room had said then that it has no archive, or had not said in time that it has one.
    lacked_archive: bool,
    /// It was out of the room, or its stream broke, since it began.
    pub(super) interrupted: bool,
    /// Something was delivered whose place nobody knows, since a place was known.
    placeless: bool,
    /// How often the room was lost before its host asked to join, or that was told.
    pub(super) deaths: u32,
}

impl Follow {
    pub(super) fn new(room: usize, truth: &Room, start: &Start, found: &mut Found) -> Self {
        let mut expired = false;
        let next = match start {
            Start::Now => None,
            Start::Cursor(cursor) => {
                expired = truth.named(cursor).is_some_and(|item| item.unplaced);
                place_after(truth, cursor, found)
            }
            // It stands where the reader before it stood.
            Start::Bookmark(bookmark) => bookmark.reached().and_then(|cursor| {
                expired = truth.named(&cursor).is_some_and(|item| item.unplaced);
                place_after(truth, &cursor, found)
            }),
        };
        // What the bookmark says was dealt with is not to be told again.
        let mut delivered = Delivered::default();
        if let Start::Bookmark(bookmark) = start {
            let bookmark = bookmark.clone().for_memory(found.remembered);
            for id in bookmark.beyond() {
                match truth.place(id.as_str()) {
                    Some(place) => delivered.insert(place),
                    None => found.violate("S5", format!("a bookmark names what is none: {id}")),
                }
            }
        }
        let mut follow = Self {
            room,
            next,
            began: (truth.items.len(), found.now),
            floor: 0,
            owed: BTreeMap::new(),
            calm: None,
            delivered,
            excused: Bits::default(),
            gap: None,
            unsure: false,
            from_cursor: next.is_some(),
            expired,
            over: false,
            ended: false,
            caught_up: 0,
            stood: found.now,
            lacked_archive: false,
            interrupted: false,
            placeless: false,
            deaths: 0,
        };
        if let (Start::Bookmark(bookmark), Some(next)) = (start, next) {
            // What it was to be told late, it is still.
            let bookmark = bookmark.clone().for_memory(found.remembered);
            let stand = bookmark.cursor().and_then(|cursor| truth.after(cursor));
            // What lies before that was dealt with, wherever the reader has to go back to.
            follow.floor = stand.unwrap_or(0);
            for place in stand.unwrap_or(next)..next {
                if follow.misses(truth, place) {
                    follow.owed.insert(place, found.now);
                }
            }
        }
        follow
    }

    /// Whether it stands at the end, undisturbed so far.
    pub(super) const fn is_caught_up(&self) -> bool {
        self.calm.is_some()
    }

    /// An entry was delivered.
    pub(super) fn entry(
        &mut self,
        truth: &Room,
        entry: &Entry,
        witness: &Witness<'_>,
        found: &mut Found,
    ) {
        let jid = witness.jid;
        if self.ended {
            found.violate(
                "S8",
                String::from("an entry after the end of a subscription"),
            );
        }
        match entry {
            Entry::Gap { .. } => self.expired = false,
            Entry::Message(_) | Entry::CaughtUp { .. } if self.expired => {
                self.expired = false;
                let what =
                    "it goes on from a cursor that the archive had let go of, without a word";
                found.violate("S5", String::from(what));
            }
            _ => {}
        }
        match entry {
            Entry::Message(message) => self.message(truth, message, jid, found),
            Entry::Late(message) => self.late(truth, message, found),
            Entry::CaughtUp { at: cursor } => {
                self.caught_up(truth, cursor.as_ref(), jid, found);
                self.lacked_archive = witness.seen.lacks_archive(witness);
                if !witness.told_late {
                    self.stood = found.now;
                }
            }
            Entry::Confirmed { at } => self.confirmed(truth, at, found),
            Entry::Gap { after, reason } => {
                let grounds = self.grounds(truth, after.as_ref(), witness, found.now);
                if let Some(what) = verdicts::lie_of_a_gap(reason, &grounds) {
                    found.violate("S4", format!("a gap is told, and {what}: {reason:?}"));
                }
                if *reason == GapReason::NoArchive {
                    self.lacked_archive = witness.seen.lacks_archive(witness);
                }
                self.gap(reason, found);
            }
            Entry::Ended => {
                self.over = true;
                self.ended = true;
            }
        }
    }

    fn message(&mut self, truth: &Room, message: &Message, jid: &str, found: &mut Found) {
        let Some(place) = truth.find(message) else {
            let id = message.id.as_ref().map_or("no id", |id| id.as_str());
            return found.violate(
                "S1",
                format!("nobody said {:?} as {} ({id})", message.body, message.nick),
            );
        };
        if self.delivered.has(place) {
            return found.violate("S2", format!("delivered twice: {:?}", message.body));
        }
        if message.id.is_none() {
            // It has no place in the archive, so that nothing there lies before or behind it.
            self.delivered.insert(place);
            self.placeless = true;
            return;
        }
        if let Some(next) = self.next {
            // Where an archive was taken over, nothing tells where the old place was; nor
            // where it let go of what the reader heard and could not be sure of.
            let taken_over = truth.was_taken_over(place);
            let is_kept = truth.items.get(place).is_some_and(Item::is_kept);
            self.unsure &= !is_kept;
            if place < next && !taken_over && !self.unsure {
                found.violate("S3", format!("out of order: {:?}", message.body));
            }
            self.passed(truth, next, place, jid, found);
        }
        if message.source == Source::Archive && self.calm.is_some() {
            found.count(if truth.went_unheard(place, jid) {
                "hole mended, in turn"
            } else {
                "live given up for pages"
            });
        }
        self.delivered.insert(place);
        self.gap = None;
        self.placeless = false;
        self.from_cursor = false;
        self.next = Some(self.next.unwrap_or(0).max(place.saturating_add(1)));
    }

    /// A message came after its turn, and was said to.
    fn late(&mut self, truth: &Room, message: &Message, found: &mut Found) {
        found.count("late");
        let Some(place) = truth.find(message) else {
            return found.violate("S1", format!("nobody said {:?}, late", message.body));
        };
        if self.delivered.has(place) {
            return found.violate("S2", format!("delivered twice, late: {:?}", message.body));
        }
        // What it stands on may be gone, so that nobody can tell what lies behind it.
        let stands = self.next.and_then(|next| next.checked_sub(1));
        let stands = stands.and_then(|place| truth.items.get(place));
        let next = self.next;
        let told = self.gap.is_some() || self.unsure;
        if !told && stands.is_some_and(Item::is_kept) && next.is_some_and(|next| place >= next) {
            let body = &message.body;
            found.violate("S3", format!("said to be late before its turn: {body:?}"));
        }
        self.delivered.insert(place);
        if self.owed.remove(&place).is_some() && self.calm.is_some() {
            found.count("hole mended, late");
        }
    }

    /// What lies from `next` up to `place` was passed by.
    fn passed(&mut self, truth: &Room, next: usize, place: usize, jid: &str, found: &mut Found) {
        for at in next..place {
            if self.misses(truth, at) {
                if self.could_not_be_seen(truth, at) || truth.may_be_late(at, jid) {
                    found.count("passed by before it showed");
                    self.owed.entry(at).or_insert(found.now);
                    continue;
                }
                let rule = if self.from_cursor { "S5" } else { "S4" };
                let body = truth.items.get(at).map(|item| item.body.as_str());
                return found.violate(rule, format!("passed by without a word: {body:?}"));
            }
        }
    }

    /// Whether a message was said before the subscription began, and the archive did not
    /// show it until after that.
    fn could_not_be_seen(&self, truth: &Room, place: usize) -> bool {
        let (said, at) = self.began;
        let place = truth.original(place);
        let item = truth.items.get(place);
        place < said && item.is_some_and(|item| item.shown.is_none_or(|shown| shown > at))
    }

    /// Whether a message should have been delivered by the time that later ones are.
    pub(super) fn misses(&self, truth: &Room, place: usize) -> bool {
        truth.items.get(place).is_some_and(|item| {
            item.is_kept()
                && place >= self.floor
                && !self.delivered.has(place)
                && !self.excused.has(place)
                && !truth
                    .first_saying(place)
                    .is_some_and(|first| self.delivered.has(first))
                && !self.had_before(truth, item)
                && self.gap.is_none_or(|gap| item.said > gap)
        })
    }

    /// Whether a message that got another id was dealt with under one that it had before,
    /// or was given so: who does not learn of the other, since nothing makes it ask, is not
    /// owed it once more.
    fn had_before(&self, truth: &Room, item: &Item) -> bool {
        let position = self.next.unwrap_or(0).max(self.floor);
        let mut before = item.copy_of;
        while let Some(place) = before {
            if place < position || self.delivered.has(place) {
                return true;
            }
            before = truth.items.get(place).and_then(|item| item.copy_of);
        }
        false
    }

    /// All up to a place is said to be dealt with: nothing visible there may be missing.
    fn confirmed(&self, truth: &Room, at: &Cursor, found: &mut Found) {
        found.count("confirmed");
        let (Some(next), Some(place)) = (self.next, truth.after(at)) else {
            return found.violate("S5", format!("a place is confirmed that is none: {at}"));
        };
        // What it comes by after a gap was told before, and moves nothing.
        if (next..place).any(|at| self.misses(truth, at)) {
            found.violate("S5", format!("a place is confirmed before its turn: {at}"));
        }
    }

    /// Its link broke, which it may not notice for a while: what was owed for long enough had
    /// to come, and nothing comes until it asks over another.
    pub(super) fn cut_off(
        &mut self,
        truth: &Room,
        peace: Instant,
        more: Duration,
        found: &mut Found,
    ) {
        let calm = self.calm;
        self.disturbed(truth, peace, more, found);
        self.calm = calm;
        for since in self.owed.values_mut() {
            *since = found.now;
        }
    }

    /// What holds it up, or ends it, does so now. What was owed for long enough before
    /// that had to come: whether all is well at the end or not. Since `peace` nothing else
    /// did: before that it may have compared in vain.
    /// `more`: how much longer than others it takes to ask.
    pub(super) fn disturbed(
        &mut self,
        truth: &Room,
        peace: Instant,
        more: Duration,
        found: &mut Found,
    ) {
        let calm = self.calm.take();
        let Some(calm) = calm.filter(|calm| *calm >= peace && !self.over) else {
            return;
        };
        let late = |(place, since): (&usize, &Instant)| {
            let item = truth.items.get(*place)?;
            let since = calm.max(*since).max(item.shown?);
            let long = found.now.since(since) > COMPARED.saturating_add(more);
            (long && self.misses(truth, *place)).then_some(item)
        };
        if let Some(item) = self.owed.iter().find_map(late) {
            let what = format!("passed by and not given later: {:?}", item.body);
            found.violate("S4", what);
        }
    }

    fn caught_up(&mut self, truth: &Room, cursor: Option<&Cursor>, jid: &str, found: &mut Found) {
        // Who stands nowhere has nothing to compare with.
        self.calm = cursor.map(|_| found.now);
        self.caught_up = self.caught_up.saturating_add(1);
        found.count("caught up");
        if self.caught_up > 1 {
            found.count("caught up again");
        }
        let Some(cursor) = cursor else {
            // It stands nowhere: what comes next is where it goes on.
            return found.count("without an archive");
        };
        self.placeless = false;
        let Some(place) = truth.after(cursor) else {
            return found.violate("S5", format!("a cursor is told that is none: {cursor}"));
        };
        let Some(next) = self.next else {
            self.next = Some(place);
            return;
        };
        let again = |at: &usize| {
            self.delivered.has(*at) && truth.items.get(*at).is_some_and(|item| item.is_kept())
        };
        if (place..next).any(|at| again(&at)) {
            found.violate("S5", format!("the cursor told lies too far back: {cursor}"));
        }
        self.passed(truth, next, place, jid, found);
        self.next = Some(next.max(place));
    }

    /// What there truly was for which a gap may be told.
    fn grounds(
        &self,
        truth: &Room,
        after: Option<&Cursor>,
        witness: &Witness<'_>,
        now: Instant,
    ) -> Grounds {
        let since = earlier(self.stood, GRACE);
        let place = after.and_then(|after| truth.named(after));
        let from_room = witness.seen.of(witness.room);
        let heard = || {
            from_room
                .into_iter()
                .flat_map(|room| room.heard_since(since))
        };
        let failed = || {
            from_room
                .into_iter()
                .flat_map(|room| room.failed_since(since))
        };
        let unshown = |item: &Item| {
            let lately = |shown: Instant| witness.disturbed || now.since(shown) < GRACE;
            item.gone || item.unsettled || item.copy_of.is_some() || item.shown.is_none_or(lately)
        };
        // Whose clock leaps has waited for long, though what it was told last was under way.
        let is_unseen = |item: &Item| match item.shown {
            Some(shown) => witness.disturbed && now.since(shown) < GRACE,
            None => true,
        };
        let is_awaited = |id: &str| {
            let place = truth.place(id).filter(|place| !self.delivered.has(*place));
            place
                .and_then(|place| truth.items.get(place))
                .is_some_and(unshown)
        };
        let bytes = heard().map(|heard| heard.bytes).sum::<usize>();
        let limits = Limits::default();
        Grounds {
            recreated: truth.deaths > self.deaths,
            lacks_archive: witness.told_late
                || self.lacked_archive
                || witness.seen.lacks_archive(witness),
            stands_nowhere: after.is_none() && (self.next.is_none() || self.placeless),
            placeless: self.placeless,
            interrupted: self.interrupted,
            overflowed: heard().count() > witness.held || bytes > limits.held_bytes,
            heard_unplaced: heard().any(|heard| heard.id.is_none()),
            awaited: from_room
                .into_iter()
                .flat_map(|room| room.heard_since(earlier(since, LOOKED_FOR)))
                .filter(|heard| witness.disturbed || now.since(heard.at) >= SETTLE)
                .filter_map(|heard| heard.id.as_deref())
                .any(is_awaited),
            place_is_missing: place.is_some_and(|item| item.unplaced || is_unseen(item)),
            place_is_gone: place.is_some_and(|item| item.unplaced || unshown(item)),
            let_go: truth.let_go.is_some_and(|at| at >= since),
            refused_for: failed()
                .filter_map(|failed| failed.condition.clone())
                .collect(),
            refusals: failed().filter(|failed| !failed.late).count(),
            timed_out: witness
                .seen
                .unanswered(witness.room, since, witness.clock)
                .saturating_add(usize::from(witness.unwritten))
                .saturating_add(failed().filter(|failed| failed.late).count()),
            spoilt: truth.spoilt.is_some_and(|at| at >= since),
        }
    }

    fn gap(&mut self, reason: &GapReason, found: &mut Found) {
        found.count("gap");
        match reason {
            GapReason::CursorExpired => {
                found.count("gap: cursor expired");
                // It reads on from the oldest that there is, or that it knows to lie
                // before; what it left behind already is not owed again. What it does not
                // remember comes again.
                self.delivered.forget_all_but(found.remembered / 4);
                self.floor = self.floor.max(self.next.unwrap_or(0));
                self.next = Some(0);
                self.from_cursor = false;
                return;
            }
            GapReason::NoArchive => found.count("gap: no archive"),
            GapReason::NeverAnchored => found.count("gap: never anchored"),
            GapReason::Overflow => found.count("gap: overflow"),
            GapReason::ArchiveFailed(_) => found.count("gap: archive failed"),
            GapReason::Recreated => {
                self.deaths = self.deaths.saturating_add(1);
                found.count("gap: recreated");
            }
            GapReason::Unsettled => found.count("gap: unsettled"),
        }
        for place in core::mem::take(&mut self.owed).into_keys() {
            self.excused.insert(place);
        }
        self.gap = Some(found.now);
        self.unsure = true;
    }
}

/// The place after a cursor that a host began at.
fn place_after(truth: &Room, cursor: &Cursor, found: &mut Found) -> Option<usize> {
    let next = truth.after(cursor);
    if next.is_none() {
        found.violate(
            "S5",
            format!("a cursor was given out that is none: {cursor}"),
        );
    }
    next
}
