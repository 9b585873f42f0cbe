use super::*;
use crate::event::{Message, Source};
use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use proptest::prelude::*;

fn id(text: &str) -> ArchiveId {
    ArchiveId::new(text).unwrap()
}

fn after(text: &str) -> Cursor {
    Cursor::After(id(text))
}

fn message(text: &str) -> Box<Message> {
    Box::new(Message {
        id: ArchiveId::new(text),
        nick: "ana".into(),
        occupant_id: None,
        body: text.into(),
        origin_id: None,
        reply_to: None,
        stamp: None,
        own: false,
        source: Source::Live,
    })
}

fn said(text: &str) -> Entry {
    Entry::Message(message(text))
}

fn late(text: &str) -> Entry {
    Entry::Late(message(text))
}

fn shown(bookmark: &Bookmark) -> String {
    let beyond: Vec<_> = bookmark.beyond().map(ArchiveId::as_str).collect();
    let cursor = bookmark.cursor().map_or("nowhere", Cursor::as_str);
    alloc::format!("{cursor}|{}", beyond.join(" "))
}

#[test]
fn what_was_given_behind_the_place_after_a_gap_stays_given() {
    let mut bookmark = Bookmark::at(after("4"));
    for id in ["5", "6", "7"] {
        bookmark.take(&said(id));
    }
    bookmark.take(&Entry::Gap {
        after: Some(after("4")),
        reason: GapReason::CursorExpired,
    });
    // The archive went on from a place that we had been given already.
    bookmark.take(&Entry::CaughtUp {
        at: Some(after("5")),
    });
    assert_eq!(shown(&bookmark), "5|6 7");
}

#[test]
fn it_stands_where_all_was_compared_and_names_the_rest() {
    let mut bookmark = Bookmark::default();
    assert_eq!(shown(&bookmark), "nowhere|");
    assert!(!bookmark.take(&Entry::CaughtUp { at: None }));
    assert!(bookmark.take(&Entry::CaughtUp {
        at: Some(after("a"))
    }));
    for text in ["b", "c", "d"] {
        assert!(bookmark.take(&said(text)));
    }
    // The end of the archive is no place that was compared.
    assert!(!bookmark.take(&Entry::CaughtUp {
        at: Some(after("d"))
    }));
    assert!(bookmark.take(&late("c1")));
    assert_eq!(shown(&bookmark), "a|b c d c1");
    assert!(bookmark.take(&Entry::Confirmed { at: after("c") }));
    assert_eq!(shown(&bookmark), "c|d c1");
    assert!(!bookmark.take(&Entry::Confirmed { at: after("c") }));
    // A place that is no message, and not named: what is named stays.
    assert!(bookmark.take(&Entry::Confirmed { at: after("t") }));
    assert_eq!(shown(&bookmark), "t|d c1");
    bookmark.take(&said("e"));
    bookmark.take(&Entry::Confirmed { at: after("e") });
    assert_eq!(shown(&bookmark), "e|c1", "late among what is done with");
    bookmark.take(&said("f"));
    bookmark.take(&Entry::Confirmed { at: after("f") });
    assert_eq!(shown(&bookmark), "f|");
}

#[test]
fn a_first_message_before_any_place_is_the_place() {
    let mut bookmark = Bookmark::default();
    bookmark.take(&said("a"));
    bookmark.take(&said("b"));
    assert_eq!(shown(&bookmark), "a|b");
}

#[test]
fn after_a_lost_place_the_next_message_is_the_place() {
    let mut bookmark = Bookmark::at(after("a"));
    bookmark.take(&said("b"));
    let gap = Entry::Gap {
        after: Some(after("b")),
        reason: GapReason::CursorExpired,
    };
    assert!(!bookmark.take(&gap));
    // A process that ends here meets the same gap again, and loses nothing.
    assert_eq!(shown(&bookmark), "a|b");
    bookmark.take(&said("m"));
    // What was given before the gap is no place to come back to, and may lie behind it.
    assert_eq!(shown(&bookmark), "m|b");
    assert_eq!(bookmark.reached(), Some(after("m")));
    bookmark.take(&said("n"));
    assert_eq!(shown(&bookmark), "m|b n");
    assert_eq!(bookmark.reached(), Some(after("n")));
    bookmark.take(&Entry::Confirmed { at: after("n") });
    assert_eq!(shown(&bookmark), "n|");
}

/// However it learns where the reader goes on: what was given before the gap is no place
/// to go on from, and moves the place back over it neither when there are too many names.
#[test]
fn what_was_given_before_a_gap_moves_no_place_back_over_it() {
    let gap = Entry::Gap {
        after: Some(after("b")),
        reason: GapReason::CursorExpired,
    };
    let caught_up = Entry::CaughtUp {
        at: Some(after("m")),
    };
    let confirmed = Entry::Confirmed { at: after("m") };
    for goes_on in [said("m"), caught_up, confirmed] {
        let mut bookmark = Bookmark::at(after("a"));
        bookmark.take(&said("b"));
        bookmark.take(&gap);
        bookmark.take(&goes_on);
        bookmark.take(&said("n"));
        bookmark.take(&said("o"));
        assert_eq!(shown(&bookmark), "m|b n o", "{goes_on:?}");
        bookmark.shrink(2);
        assert_eq!(shown(&bookmark), "n|o", "{goes_on:?}");
    }
}

#[test]
fn what_has_no_place_is_passed_once_all_around_it_was_told() {
    let gap = |reason| Entry::Gap {
        after: Some(after("a")),
        reason,
    };
    let caught_up = |at: Option<&str>| Entry::CaughtUp { at: at.map(after) };
    let failed = GapReason::ArchiveFailed(crate::event::RequestError::TimedOut);
    let mut bookmark = Bookmark::at(after("a"));
    bookmark.take(&said("x"));
    bookmark.take(&gap(GapReason::NoArchive));
    bookmark.take(&caught_up(None));
    assert!(!bookmark.take(&said("")));
    // The room described itself.
    bookmark.take(&said("b"));
    assert_eq!(shown(&bookmark), "a|x b");
    bookmark.take(&gap(failed));
    assert!(!bookmark.take(&caught_up(Some("b"))), "there is more");
    bookmark.take(&said("c"));
    assert!(bookmark.take(&caught_up(Some("d"))));
    assert_eq!(shown(&bookmark), "d|");
    // A room with an archive may say something that this does not take.
    bookmark.take(&said("e"));
    bookmark.take(&said(""));
    assert!(!bookmark.take(&caught_up(Some("f"))));
    assert_eq!(shown(&bookmark), "d|e");
}

#[test]
fn too_many_move_the_place_forward_and_never_back() {
    let mut bookmark = Bookmark::at(Cursor::Beginning);
    for n in 0..Bookmark::MOST {
        bookmark.take(&said(&alloc::format!("m{n}")));
    }
    assert_eq!(bookmark.cursor(), Some(&Cursor::Beginning));
    bookmark.take(&late("late"));
    assert_eq!(bookmark.cursor(), Some(&after("m0")));
    bookmark.take(&Entry::Confirmed { at: after("m1023") });
    assert_eq!(shown(&bookmark), "m1023|late");
    for n in 0..Bookmark::MOST {
        bookmark.take(&said(&alloc::format!("n{n}")));
    }
    // The late one is no place to go back to, and may lie behind all but the next.
    assert_eq!(bookmark.cursor(), Some(&after("n0")));
    assert_eq!(bookmark.beyond().count(), Bookmark::MOST - 1);
    bookmark.shrink(2);
    assert_eq!(shown(&bookmark), "n1021|n1022 n1023");
}

#[test]
fn what_is_no_bookmark_says_why() {
    let mut bookmark = Bookmark::at(after("a"));
    bookmark.take(&said("b"));
    let text = bookmark.to_string();
    assert_eq!(Bookmark::parse(""), Err(BookmarkError::NoBookmark));
    assert_eq!(Bookmark::parse("1730.x"), Err(BookmarkError::NoBookmark));
    let other = text.replace("bm1", "bm2");
    assert_eq!(Bookmark::parse(&other), Err(BookmarkError::Version));
    for end in 4..text.len() {
        let cut = text.get(..end).unwrap();
        assert_eq!(Bookmark::parse(cut), Err(BookmarkError::Damaged));
    }
    let mut long = String::from("bm1.");
    for _ in 0..=Bookmark::MOST {
        long.push_str(".YQ");
    }
    let long = alloc::format!("{long}.{}", checksum(&long));
    assert_eq!(Bookmark::parse(&long), Err(BookmarkError::Damaged));
}

fn entry() -> impl Strategy<Value = Entry> {
    let place = "[a-z0-9. ~\u{20ac}]{0,6}";
    prop_oneof![
        4 => place.prop_map(|text| said(&text)),
        1 => place.prop_map(|text| late(&text)),
        1 => place.prop_map(|text| Entry::CaughtUp { at: Cursor::parse(&text) }),
        1 => place.prop_map(|text| Entry::Confirmed { at: Cursor::parse(&text).unwrap() }),
    ]
}

proptest! {
    #[test]
    fn it_survives_its_text(entries in proptest::collection::vec(entry(), 0..60)) {
        let mut bookmark = Bookmark::default();
        for entry in &entries {
            let before = bookmark.clone();
            let changed = bookmark.take(entry);
            prop_assert_eq!(changed, before != bookmark);
        }
        let text = bookmark.to_string();
        prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{}", text);
        prop_assert_eq!(Bookmark::parse(&alloc::format!(" {text}\n")), Ok(bookmark));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(bm1\\.)?[A-Za-z0-9._~-]{0,80}") {
        let _ = Bookmark::parse(&text);
    }
}
