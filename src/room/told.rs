//! What a subscription was told, in the order of the telling, so that nothing is told twice.
//!
//! It is bounded: what was told first is forgotten first. How much of it has to be remembered
//! is for the [marks](super::audit) to say.

use alloc::collections::{BTreeMap, VecDeque};

use crate::ids::ArchiveId;

#[derive(Debug)]
pub(super) struct Told {
    order: VecDeque<ArchiveId>,
    known: BTreeMap<ArchiveId, Known>,
    /// How many items readings of the archive have come by.
    came_by: u32,
    /// The same when the one under way, or the last one, began.
    began: u32,
    capacity: usize,
}

#[derive(Debug)]
struct Known {
    /// It came in its turn: what was told before it lies before it in the archive too.
    in_turn: bool,
    /// Which item it was when a reading of the archive came by it last; 0: none did.
    came_by: u32,
    /// The archive showed it where it was told, as far as is known, and all that was told behind
    /// that is remembered.
    is_place: bool,
}

/// How a message is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Behind all that was told before.
    In,
    /// Late, or before it was known to be a place.
    Out,
}

impl Told {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            order: VecDeque::new(),
            known: BTreeMap::new(),
            came_by: 0,
            began: 0,
            capacity,
        }
    }

    /// The archive is read anew: from somewhere to its end, forward.
    pub(super) fn begin_reading(&mut self) {
        if self.came_by > u32::MAX / 2 {
            // Only what comes now counts.
            self.came_by = 0;
            self.known.values_mut().for_each(|known| known.came_by = 0);
        }
        self.began = self.came_by;
    }

    fn comes_by(&mut self) -> u32 {
        self.came_by = self.came_by.saturating_add(1);
        self.came_by
    }

    /// Remembers a message; says whether it was not told before. `read`: the reading under way
    /// came by it, else it was heard.
    pub(super) fn insert(&mut self, id: &ArchiveId, turn: Turn, read: bool) -> bool {
        if self.known.contains_key(id) {
            return false;
        }
        let known = Known {
            in_turn: turn == Turn::In,
            came_by: if read { self.comes_by() } else { 0 },
            is_place: turn == Turn::In,
        };
        self.known.insert(id.clone(), known);
        self.order.push_back(id.clone());
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// The reading under way comes by an item. Says whether it was told, and how.
    pub(super) fn come_by(&mut self, id: &ArchiveId) -> Option<Turn> {
        let came_by = self.comes_by();
        let known = self.known.get_mut(id)?;
        known.came_by = came_by;
        // What was forgotten that may lie behind it comes again.
        known.is_place = known.in_turn;
        Some(if known.in_turn { Turn::In } else { Turn::Out })
    }

    /// The same for one that delivers what it comes by: what was told before the rest of that, by
    /// an earlier process for one, lies behind it, and is remembered as long.
    pub(super) fn come_by_again(&mut self, id: &ArchiveId) -> bool {
        if self.come_by(id).is_none() {
            return false;
        }
        if let Some(at) = self.order.iter().rposition(|told| told == id)
            && let Some(id) = self.order.remove(at)
        {
            self.order.push_back(id);
        }
        true
    }

    pub(super) fn contains(&self, id: &ArchiveId) -> bool {
        self.known.contains_key(id)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// How much was told after a message.
    pub(super) fn after(&self, id: &ArchiveId) -> Option<usize> {
        if !self.known.contains_key(id) {
            return None;
        }
        self.order.iter().rev().position(|told| told == id)
    }

    /// The first that was told in its turn, and that the reading under way came by, with no more
    /// than so many told after it; and how many were.
    pub(super) fn come_by_before(&self, most: usize) -> Option<(&ArchiveId, usize)> {
        let latest = self.order.iter().rev().zip(0..=most);
        let is_place = |(id, _): &(&ArchiveId, usize)| {
            let known = self.known.get(*id);
            known.is_some_and(|known| known.in_turn && known.came_by > self.began)
        };
        latest.filter(is_place).last()
    }

    /// Forgets what the reading under way came by, but for what of the last `fresh` was told in
    /// its turn, since it may be heard yet, and for what `keeps` names. Returns how much is left
    /// of the `last` so many that were told.
    ///
    /// What it came by before the last of what is forgotten is no place any more, nor is what was
    /// told before that.
    pub(super) fn forget_read(
        &mut self,
        last: usize,
        fresh: usize,
        keeps: impl Fn(&ArchiveId) -> bool,
    ) -> usize {
        let len = self.order.len();
        let (counts_from, fresh_from) = (len.saturating_sub(last), len.saturating_sub(fresh));
        let began = self.began;
        let is_forgotten = |at: usize, id: &ArchiveId, known: &Known| {
            let is_fresh = known.in_turn && at >= fresh_from;
            known.came_by > began && !is_fresh && !keeps(id)
        };
        let forgotten = self.order.iter().enumerate().filter_map(|(at, id)| {
            let known = self.known.get(id)?;
            is_forgotten(at, id, known).then_some(known.came_by)
        });
        let last_forgotten = forgotten.max().unwrap_or(0);
        self.is_no_place_before(last_forgotten);
        let (mut at, mut left) = (0_usize, 0_usize);
        let known = &mut self.known;
        self.order.retain(|id| {
            let forgets = known.get(id).is_some_and(|it| is_forgotten(at, id, it));
            if forgets {
                known.remove(id);
            } else if at >= counts_from {
                left = left.saturating_add(1);
            }
            at = at.saturating_add(1);
            !forgets
        });
        left
    }

    fn is_no_place_before(&mut self, last_forgotten: u32) {
        let mut was_before = false;
        for id in self.order.iter().rev() {
            let Some(known) = self.known.get_mut(id) else {
                continue;
            };
            let is_before = known.came_by > self.began && known.came_by <= last_forgotten;
            was_before |= is_before && known.in_turn;
            known.is_place &= !is_before && !was_before;
        }
    }

    /// The reading under way came to the end of the archive from before all that was told: what
    /// it did not come by is no place.
    pub(super) fn read_all(&mut self) {
        let began = self.began;
        let unread = self
            .known
            .values_mut()
            .filter(|known| known.came_by <= began);
        unread.for_each(|known| known.is_place = false);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.known.clear();
    }

    /// The first that was told in its turn, of those behind which all that was told is remembered.
    pub(super) fn oldest_place(&self) -> Option<&ArchiveId> {
        self.order.iter().find(|id| self.is_place(id))
    }

    fn is_place(&self, id: &ArchiveId) -> bool {
        self.known.get(id).is_some_and(|known| known.is_place)
    }

    /// The last that was.
    pub(super) fn newest_in_turn(&self) -> Option<&ArchiveId> {
        self.order.iter().rev().find(|id| self.is_in_turn(id))
    }

    pub(super) fn is_in_turn(&self, id: &ArchiveId) -> bool {
        self.known.get(id).is_some_and(|known| known.in_turn)
    }

    /// What was told in its turn right before a message that was, if all that was told since is
    /// remembered.
    pub(super) fn before(&self, id: &ArchiveId) -> Option<&ArchiveId> {
        if !self.is_in_turn(id) {
            return None;
        }
        let mut back = self.order.iter().rev().skip_while(|told| *told != id);
        back.next();
        let before = back.find(|id| self.is_in_turn(id));
        before.filter(|id| self.is_place(id))
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let each = |id: &ArchiveId| {
            // Each is there twice, by its time and to be found; the text once.
            let own = size_of::<ArchiveId>().saturating_mul(2);
            own.saturating_add(size_of::<Known>())
                .saturating_add(id.as_str().len())
        };
        self.order.iter().map(each).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ArchiveId {
        ArchiveId::new(text).unwrap()
    }

    fn told(capacity: usize, ids: &[&str]) -> Told {
        let mut told = Told::new(capacity);
        for text in ids {
            let (turn, text) = match text.strip_prefix('~') {
                Some(text) => (Turn::Out, text),
                None => (Turn::In, *text),
            };
            assert!(told.insert(&id(text), turn, false));
        }
        told
    }

    #[test]
    fn what_is_come_by_again_is_told_behind_what_was_told_meanwhile() {
        // An earlier process told `x`; what was said before that is read now.
        let mut told = told(3, &["x"]);
        told.begin_reading();
        assert!(told.insert(&id("a"), Turn::In, true));
        assert!(told.come_by_again(&id("x")) && !told.come_by_again(&id("y")));
        assert_eq!(told.after(&id("a")), Some(1));
        assert_eq!(told.come_by_before(1), Some((&id("a"), 1)));
        for later in ["b", "c"] {
            told.insert(&id(later), Turn::In, false);
        }
        assert!(told.contains(&id("x")) && !told.contains(&id("a")));
    }

    #[test]
    fn forgets_what_was_told_first() {
        let mut told = told(2, &["a", "b"]);
        assert!(!told.insert(&id("a"), Turn::In, false));
        assert!(told.insert(&id("c"), Turn::In, false));
        assert!(!told.contains(&id("a")) && told.contains(&id("b")) && told.contains(&id("c")));
        assert_eq!(told.len(), 2);
        assert!(told.held() > 0);
        told.clear();
        assert_eq!((told.len(), told.held()), (0, 0));
    }

    #[test]
    fn what_was_told_in_its_turn_is_found_among_what_was_not() {
        let told = told(9, &["~x", "a", "~y", "b", "~z"]);
        assert_eq!(told.oldest_place(), Some(&id("a")));
        assert_eq!(told.newest_in_turn(), Some(&id("b")));
        assert_eq!(told.before(&id("b")), Some(&id("a")));
        assert_eq!(told.before(&id("a")), None);
        assert_eq!(
            told.before(&id("y")),
            None,
            "what lies before it is not known"
        );
        assert_eq!(told.before(&id("z")), None);
        assert_eq!(
            (told.after(&id("b")), told.after(&id("z"))),
            (Some(1), Some(0))
        );
        assert_eq!(told.after(&id("q")), None);
    }

    #[test]
    fn what_a_reading_came_by_can_be_forgotten() {
        let mut told = told(9, &["a", "b", "c", "d"]);
        told.begin_reading();
        assert_eq!(told.come_by(&id("a")), Some(Turn::In));
        assert_eq!(told.come_by(&id("b")), Some(Turn::In));
        assert_eq!(told.come_by(&id("q")), None);
        assert!(told.insert(&id("late"), Turn::Out, true));
        assert!(told.insert(&id("new"), Turn::In, true));
        // Of the last five, c and d were not come by, and the last is fresh.
        assert_eq!(told.forget_read(5, 1, |kept| *kept == id("a")), 3);
        for (text, is_known) in [("a", true), ("b", false), ("late", false), ("new", true)] {
            assert_eq!(told.contains(&id(text)), is_known, "{text}");
        }
        // Another reading came by nothing yet.
        told.begin_reading();
        assert_eq!(told.forget_read(9, 0, |_| false), 4);
    }

    /// All that was told after a place is remembered, wherever in the archive it lies.
    #[test]
    fn what_was_forgotten_lies_behind_no_place() {
        // Late messages between b and c are told, and forgotten.
        let mut told = told(9, &["a", "b", "c", "d"]);
        told.begin_reading();
        told.come_by(&id("b"));
        told.insert(&id("late"), Turn::Out, true);
        assert_eq!(told.oldest_place(), Some(&id("a")));
        told.forget_read(9, 4, |_| false);
        assert!(told.contains(&id("a")) && told.contains(&id("b")));
        assert_eq!(told.oldest_place(), Some(&id("c")));
        // Whoever reads on from a after all is told that again.
        told.begin_reading();
        told.come_by(&id("b"));
        assert_eq!(told.oldest_place(), Some(&id("b")));
        told.read_all();
        assert_eq!(told.oldest_place(), Some(&id("b")));
        assert!(
            told.is_in_turn(&id("c")),
            "it is no place, and told all the same"
        );
    }

    #[test]
    fn what_is_left_of_one_reading_in_a_row_are_places() {
        let mut told = told(9, &["gone"]);
        told.begin_reading();
        for text in ["a", "b", "c"] {
            told.insert(&id(text), Turn::In, true);
        }
        told.forget_read(9, 2, |_| false);
        assert_eq!(told.oldest_place(), Some(&id("b")));
        told.read_all();
        assert_eq!(told.oldest_place(), Some(&id("b")));
    }

    /// The same where nothing is left of what the reading came by.
    #[test]
    fn what_was_forgotten_lies_behind_no_place_though_nothing_of_the_reading_is_left() {
        // The reading goes from y, over x, and is to come to c yet.
        let mut told = told(40, &["y", "x", "c"]);
        for number in 0..8 {
            told.insert(&id(&alloc::format!("earlier{number}")), Turn::Out, true);
        }
        told.begin_reading();
        told.come_by(&id("x"));
        told.insert(&id("late"), Turn::Out, true);
        told.forget_read(11, 4, |_| false);
        assert!(!told.contains(&id("x")) && !told.contains(&id("late")));
        // They lie between y and c: to read from y tells them again.
        assert_eq!(told.before(&id("c")), None);
        assert_eq!(told.oldest_place(), Some(&id("c")));
    }

    /// Only what the reading under way came by counts, and of that what was told in its turn.
    #[test]
    fn what_an_earlier_reading_came_by_is_not_come_by() {
        let mut told = told(9, &["a", "b", "~x"]);
        told.begin_reading();
        told.come_by(&id("x"));
        told.come_by(&id("a"));
        assert_eq!(told.come_by_before(9), Some((&id("a"), 2)));
        told.begin_reading();
        assert_eq!(told.come_by_before(9), None);
        told.come_by(&id("x"));
        assert_eq!(told.come_by_before(9), None, "that is no place");
        told.come_by(&id("b"));
        assert_eq!(told.come_by_before(9), Some((&id("b"), 1)));
    }

    #[test]
    fn what_a_reading_to_the_end_did_not_come_by_is_no_place() {
        let mut told = told(9, &["a", "b"]);
        told.begin_reading();
        told.come_by(&id("b"));
        assert_eq!(told.oldest_place(), Some(&id("a")));
        told.read_all();
        assert_eq!(told.oldest_place(), Some(&id("b")));
    }

    /// A subscription may last for years.
    #[test]
    fn what_readings_come_by_is_counted_anew_before_the_count_is_full() {
        let mut told = told(9, &["a", "b"]);
        told.came_by = u32::MAX / 2;
        told.begin_reading();
        assert_eq!(told.came_by, u32::MAX / 2, "not yet");
        told.come_by(&id("a"));
        told.begin_reading();
        assert_eq!(told.came_by, 0);
        assert_eq!(told.come_by_before(9), None);
        told.come_by(&id("b"));
        assert_eq!(told.come_by_before(9), Some((&id("b"), 0)));
    }
}
