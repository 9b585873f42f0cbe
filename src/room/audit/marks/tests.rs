use super::*;
use crate::room::told::Turn;
use alloc::format;
use core::time::Duration;

/// A reader who remembers 32, with a page of 8, after `a0`.
struct Reader {
    audit: Audit,
    told: Told,
    count: usize,
}

impl Reader {
    fn new() -> Self {
        let bookmark = Bookmark::at(place("a0"));
        let audit = Audit::new(32, 8, &bookmark);
        let mut told = Told::new(Audit::capacity(32));
        told.begin_reading();
        Self {
            audit,
            told,
            count: 0,
        }
    }

    fn cursor(&self) -> Cursor {
        place(&format!("a{}", self.count))
    }

    /// So many are told in their turn.
    fn tell(&mut self, many: usize, heard: bool) {
        for _ in 0..many {
            self.count += 1;
            let id = ArchiveId::new(&format!("a{}", self.count)).unwrap();
            assert!(self.told.insert(&id, Turn::In, !heard));
            self.audit.tells(heard);
            self.audit.moved(heard);
        }
    }

    /// A comparison comes by all that was told, to the end.
    fn compare(&mut self, early: bool, at: u64) -> Option<Cursor> {
        self.audit.begin_pass(early).unwrap();
        self.told.begin_reading();
        for number in 1..=self.count {
            self.told
                .come_by(&ArchiveId::new(&format!("a{number}")).unwrap());
        }
        self.audit.pass.passed = true;
        self.ends(at)
    }

    fn ends(&mut self, at: u64) -> Option<Cursor> {
        let now = Instant::ZERO.plus(Duration::from_secs(at));
        let soon = |counted| now.since(counted) < Duration::from_secs(25);
        let cursor = self.cursor();
        self.audit.compared(&cursor, &self.told, now, soon)
    }

    fn stand(&self) -> (Cursor, usize) {
        let (at, told) = self.audit.stand().unwrap();
        (at.clone(), told)
    }
}

fn place(text: &str) -> Cursor {
    Cursor::parse(text).unwrap()
}

#[test]
fn what_was_compared_twice_is_confirmed() {
    let mut reader = Reader::new();
    reader.tell(3, true);
    assert_eq!(reader.compare(false, 5), None);
    assert_eq!(reader.stand(), (place("a0"), 3));
    reader.tell(1, true);
    assert_eq!(reader.compare(false, 30), Some(place("a3")));
    assert_eq!(reader.stand(), (place("a3"), 1));
    assert_eq!(reader.compare(false, 60), Some(place("a4")));
    assert_eq!(reader.compare(false, 90), None, "that is no news");
}

#[test]
fn what_was_heard_is_due_after_a_quarter_and_early_comparisons_do_not_count_twice() {
    let mut reader = Reader::new();
    reader.tell(7, true);
    assert!(!reader.audit.is_due());
    reader.tell(1, true);
    assert!(reader.audit.is_due() && !reader.audit.is_full());
    assert_eq!(reader.compare(true, 5), None);
    assert!(!reader.audit.is_due());
    reader.tell(2, true);
    assert_eq!(reader.compare(true, 10), None, "it is too soon");
    assert_eq!(reader.stand(), (place("a0"), 10));
    assert_eq!(reader.compare(false, 12), Some(place("a8")), "that counts");
    assert_eq!(reader.stand(), (place("a8"), 2));
}

#[test]
fn no_more_is_told_than_can_be_remembered_until_it_is_compared() {
    let mut reader = Reader::new();
    reader.tell(19, true);
    assert!(!reader.audit.is_full());
    assert!(reader.audit.is_pressed());
    assert!(!reader.audit.is_due_before(9) && reader.audit.is_due_before(10));
    reader.tell(1, true);
    assert!(reader.audit.is_full() && reader.audit.is_due());
    // Once is enough then, and the last of it is compared again.
    assert_eq!(reader.compare(true, 5), Some(place("a8")));
    assert_eq!(reader.stand(), (place("a8"), 12));
    assert!(!reader.audit.is_full() && !reader.audit.is_pressed());
}

#[test]
fn what_the_archive_does_not_show_yet_stays_behind_the_place() {
    let mut reader = Reader::new();
    reader.tell(5, true);
    reader.audit.begin_pass(false).unwrap();
    reader.told.begin_reading();
    let shown = ArchiveId::new("a3").unwrap();
    reader.told.come_by(&shown);
    reader.audit.pass.over = Some(shown);
    assert_eq!(reader.ends(5), None);
    reader.audit.begin_pass(false).unwrap();
    reader.audit.pass.over = ArchiveId::new("a3");
    assert_eq!(reader.ends(40), Some(place("a3")));
    assert_eq!(reader.stand(), (place("a3"), 2));
    // Where nothing of it is shown, the place stays.
    reader.audit.begin_pass(false).unwrap();
    assert_eq!(reader.ends(80), None);
    assert_eq!(reader.stand(), (place("a3"), 2));
}

#[test]
fn the_stand_follows_what_is_read_and_leaves_a_part_of_it_to_be_compared() {
    let mut reader = Reader::new();
    for _ in 0..20 {
        reader.tell(8, false);
        let cursor = reader.cursor();
        reader.audit.read_to(&cursor, &reader.told);
        let (_, told) = reader.stand();
        assert!((8..=24).contains(&told), "{told}");
    }
    assert!(!reader.audit.is_due_before(8));
    // What was heard does not lie there whole.
    reader.tell(9, true);
    let before = reader.stand();
    let cursor = reader.cursor();
    reader.audit.read_to(&cursor, &reader.told);
    assert_eq!(reader.stand(), before);
}

#[test]
fn what_was_read_to_an_end_of_the_archive_is_compared_before_much_more_is_read() {
    let mut reader = Reader::new();
    reader.tell(8, false);
    reader.audit.came_to_an_end();
    reader.tell(8, false);
    let before = reader.stand();
    reader.tell(8, false);
    let cursor = reader.cursor();
    reader.audit.read_to(&cursor, &reader.told);
    assert_eq!(reader.stand().0, before.0, "it is not passed by");
    assert!(reader.audit.is_due_before(8) && !reader.audit.is_full());
    assert_eq!(reader.compare(false, 5), Some(place("a12")));
    assert!(!reader.audit.is_due_before(8));
}

#[test]
fn nothing_lies_ahead_of_who_read_the_archive_to_its_end() {
    let mut reader = Reader::new();
    reader.tell(24, true);
    reader.audit.ahead = true;
    reader.audit.stand_at(place("a0"), 24);
    reader.tell(2, true);
    assert!(reader.audit.is_full());
    reader.audit.ahead = true;
    reader.audit.read_all(&mut reader.told);
    assert!(!reader.audit.ahead && !reader.audit.is_full());
}

#[test]
fn what_is_no_place_to_compare_from_has_others_after_it() {
    let mut reader = Reader::new();
    reader.tell(2, true);
    reader.compare(false, 5);
    reader.tell(2, true);
    let cursor = reader.cursor();
    reader.audit.begins(&cursor);
    reader.tell(1, true);
    let cursor = reader.cursor();
    reader.audit.begin_pass(true);
    assert_eq!(reader.audit.displace(&place("a2"), &cursor), Next::Whole);
    assert_eq!(reader.stand().0, place("a0"), "it began early");
    for (from, next, stand) in [
        ("a0", Next::Whole, "a2"),
        ("a2", Next::Holes, "a4"),
        ("a4", Next::Nowhere, "a5"),
    ] {
        reader.audit.begin_pass(false);
        assert_eq!(reader.audit.displace(&place(from), &cursor), next);
        assert_eq!(reader.stand().0, place(stand));
    }
}

#[test]
fn what_was_told_late_since_the_reader_came_there_may_lie_ahead() {
    let mut reader = Reader::new();
    reader.tell(4, true);
    let late = ArchiveId::new("late").unwrap();
    reader.told.insert(&late, Turn::Out, true);
    reader.audit.tells(false);
    let cursor = reader.cursor();
    assert_eq!(
        reader.audit.give_up(&cursor, &reader.told),
        Some(place("a0"))
    );
    assert_eq!(reader.stand(), (place("a4"), 1));
    assert!(!reader.audit.is_due());
}

#[test]
fn a_flood_of_late_messages_is_forgotten_behind_the_place_it_came_to() {
    let mut reader = Reader::new();
    reader.tell(4, true);
    reader.audit.begin_pass(false).unwrap();
    reader.told.begin_reading();
    let mut number = 0;
    while !reader.audit.overflows() {
        number += 1;
        let id = ArchiveId::new(&format!("late{number}")).unwrap();
        reader.told.insert(&id, Turn::Out, true);
        reader.audit.tells(false);
    }
    assert_eq!(number, 32 - 32 / 8 + 1 - 4);
    let keeps = |id: &ArchiveId| id.as_str() == "late1";
    let told = &mut reader.told;
    let confirmed = reader.audit.settle_at(place("late25"), None, told, keeps);
    assert_eq!(confirmed, Some(place("late25")));
    assert_eq!(reader.stand(), (place("late25"), 5));
    assert!(!reader.audit.overflows());
    // There has to be place for some more before it is done again.
    reader.audit.tells(false);
    assert!(!reader.audit.overflows());
}

#[test]
fn without_a_cursor_there_is_nothing_to_compare_with() {
    let mut audit = Audit::new(32, 8, &Bookmark::default());
    assert!(!audit.has_begun());
    audit.anchor(&place("a0"), &Told::new(9));
    assert!(audit.has_begun());
    audit.forget();
    assert!(!audit.has_begun());
}

#[test]
fn the_page_that_is_received_is_held() {
    let mut reader = Reader::new();
    let before = reader.audit.held();
    let _ = reader.audit.pager.open("a question".into(), 8);
    assert!(reader.audit.held() >= before + "a question".len());
}

#[test]
fn a_quarter_more_is_remembered_than_is_told_behind_the_stand() {
    assert_eq!(Audit::capacity(32), 40);
    let mut reader = Reader::new();
    reader.tell(27, true);
    assert!(reader.audit.has_place());
    reader.tell(1, true);
    assert!(!reader.audit.has_place());
}

#[test]
fn where_the_reader_stands_moves_away_from_where_a_comparison_has_come() {
    let mut reader = Reader::new();
    for heard in [false, true] {
        reader.audit.pass.passed = true;
        reader.audit.ahead = true;
        reader.audit.moved(heard);
        assert!(!reader.audit.pass.passed);
        assert_eq!(reader.audit.ahead, !heard, "what is heard lies behind all");
    }
    reader.audit.pass.waits = true;
    reader.audit.breaks_off();
    assert!(!reader.audit.pass.waits);
}

#[test]
fn comparisons_in_vain_are_counted_until_one_is_not() {
    let mut reader = Reader::new();
    for _ in 0..2 {
        for number in 1..=IN_VAIN {
            assert!(reader.audit.ended_in_vain(None));
            assert_eq!(reader.audit.in_vain(), number);
        }
        assert!(!reader.audit.ended_in_vain(None));
        reader.audit.begin_anew();
        assert_eq!(reader.audit.in_vain(), 0);
    }
    let timed_out = RequestError::TimedOut;
    assert!(reader.audit.ended_in_vain(Some(&timed_out)));
    assert!(!reader.audit.ended_in_vain(Some(&timed_out)));
}

#[test]
fn with_half_of_what_is_remembered_behind_it_the_stand_may_stay() {
    let mut reader = Reader::new();
    reader.tell(16, true);
    assert!(!reader.audit.is_pressed());
    assert_eq!(reader.compare(false, 5), None);
    assert_eq!(reader.stand(), (place("a0"), 16));
    reader.tell(1, true);
    assert!(reader.audit.is_pressed());
}

#[test]
fn pages_are_marked_by_the_quarter_and_the_stand_moves_after_half() {
    let mut reader = Reader::new();
    let mut read = |many| {
        reader.tell(many, false);
        let cursor = reader.cursor();
        reader.audit.read_to(&cursor, &reader.told);
        reader.audit.marks.clone().unwrap().map(|mark| mark.at)
    };
    assert_eq!(read(7), ["a0", "a0", "a0"].map(place));
    assert_eq!(read(1), ["a0", "a0", "a8"].map(place));
    assert_eq!(read(8), ["a0", "a8", "a16"].map(place));
    assert_eq!(read(0), ["a0", "a8", "a16"].map(place));
    assert_eq!(read(1), ["a8", "a16", "a17"].map(place));
}

/// All before the place where it began was compared once.
#[test]
fn an_early_comparison_moves_the_stand_where_there_is_no_memory_for_it() {
    for early in [false, true] {
        let mut reader = Reader::new();
        reader.tell(10, true);
        reader.compare(false, 5);
        reader.tell(18, true);
        reader.audit.begin_pass(early).unwrap();
        reader.audit.overflows();
        assert_eq!(reader.stand(), (place("a0"), 28));
        reader.tell(1, true);
        reader.audit.overflows();
        let stand = if early { ("a10", 19) } else { ("a0", 29) };
        assert_eq!(reader.stand(), (place(stand.0), stand.1));
    }
}

#[test]
fn what_is_kept_of_a_flood_has_some_more_told_behind_it_before_it_is_forgotten_again() {
    let mut reader = Reader::new();
    reader.tell(26, true);
    reader.audit.begin_pass(false).unwrap();
    let told = &mut reader.told;
    reader.audit.settle_at(place("a26"), None, told, |_| true);
    assert_eq!(reader.stand(), (place("a26"), 26));
    reader.tell(4, true);
    assert!(!reader.audit.overflows());
    reader.tell(1, true);
    assert!(reader.audit.overflows());
}

/// It may be heard yet.
#[test]
fn the_last_of_what_is_forgotten_is_kept() {
    for (ahead, left) in [(false, 4), (true, 8)] {
        let mut reader = Reader::new();
        reader.tell(12, true);
        reader.audit.ahead = ahead;
        reader.audit.begin_pass(false).unwrap();
        reader.told.begin_reading();
        for number in 1..=12 {
            let id = ArchiveId::new(&format!("a{number}")).unwrap();
            reader.told.come_by(&id);
        }
        let told = &mut reader.told;
        reader.audit.settle_at(place("a12"), None, told, |_| false);
        assert_eq!(reader.stand(), (place("a12"), left));
        assert_eq!(reader.told.len(), left);
    }
}

#[test]
fn what_was_told_in_its_turn_is_confirmed_before_the_place_behind_it() {
    let mut reader = Reader::new();
    reader.tell(2, true);
    reader.audit.begin_pass(false).unwrap();
    let (over, told) = (ArchiveId::new("a2"), &mut reader.told);
    let confirmed = reader.audit.settle_at(place("late"), over, told, |_| false);
    assert_eq!(confirmed, Some(place("a2")));
    assert_eq!(reader.audit.confirm(), Some(place("late")));
    assert_eq!(reader.audit.confirm(), None);
}

#[test]
fn where_reading_began_nothing_is_missing_before_what_was_read() {
    let mut reader = Reader::new();
    reader.tell(2, true);
    reader.compare(false, 5);
    reader.tell(2, false);
    let cursor = reader.cursor();
    reader.audit.begins(&cursor);
    for (from, stand) in [("a0", "a2"), ("a2", "a4")] {
        reader.audit.begin_pass(false);
        assert_eq!(reader.audit.displace(&place(from), &cursor), Next::Whole);
        assert_eq!(reader.stand().0, place(stand));
    }
}
