use super::*;
use crate::event::Source;
use crate::limits::Limits;
use alloc::string::ToString as _;
use alloc::vec::Vec;

fn fin<'a>(complete: bool, first: Option<&'a str>, last: Option<&'a str>) -> Fin<'a> {
    Fin {
        complete,
        stable: true,
        set: crate::rsm::Set {
            first,
            last,
            nothing: false,
        },
    }
}

fn message(body: &str) -> Option<Box<Message>> {
    Some(Box::new(Message {
        id: None,
        nick: "n".to_string(),
        occupant_id: None,
        body: body.to_string(),
        origin_id: None,
        reply_to: None,
        stamp: None,
        own: false,
        source: Source::Archive,
    }))
}

fn id(text: &str) -> ArchiveId {
    ArchiveId::new(text).unwrap()
}

#[test]
fn pages_follow_each_other_both_ways() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    assert_eq!(pager.open("q".to_string(), 7), (Page::First, 7));
    pager.take("a", message("1"));
    pager.take("b", message("2"));
    let page = pager.close(Ok(fin(false, Some("a"), Some("b")))).unwrap();
    assert_eq!((page.messages.len(), page.complete), (2, false));
    assert_eq!(pager.open("r".to_string(), 700), (Page::After(id("b")), 50));

    let mut pager = Pager::new(Direction::Backward, None, 50);
    assert_eq!(pager.open("q".to_string(), 50).0, Page::Last);
    pager.take("a", message("1"));
    pager.take("b", message("2"));
    pager.close(Ok(fin(false, Some("a"), Some("b")))).unwrap();
    assert_eq!(pager.open("r".to_string(), 50).0, Page::Before(id("a")));
}

#[test]
fn q14_a_page_of_tombstones_is_progress() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    pager.open("q".to_string(), 50);
    pager.take("a", None);
    pager.take("b", None);
    let page = pager.close(Ok(fin(false, Some("a"), Some("b")))).unwrap();
    assert!(page.messages.is_empty() && !page.complete);
    assert_eq!(pager.open("r".to_string(), 50).0, Page::After(id("b")));
}

#[test]
fn q03_the_item_that_a_page_was_to_lie_beyond_is_not_on_it() {
    for (direction, edge, page) in [
        (Direction::Forward, "b", ["b", "c", "d"]),
        (Direction::Backward, "e", ["c", "d", "e"]),
    ] {
        let mut pager = Pager::new(direction, Some(id(edge)), 50);
        pager.open("q".to_string(), 50);
        for text in page {
            pager.take(text, message(text));
        }
        let fin = fin(true, page.first().copied(), page.last().copied());
        let whole = pager.close(Ok(fin)).unwrap();
        let ids = whole.messages.iter().filter_map(|m| m.id.as_ref());
        assert_eq!(ids.map(ArchiveId::as_str).collect::<Vec<_>>(), ["c", "d"]);

        // Alone, it is an empty page.
        pager.open("r".to_string(), 50);
        let edge = whole.newest.filter(|_| direction == Direction::Forward);
        let edge = edge.map_or_else(|| "c".to_string(), |id| id.as_str().to_string());
        pager.take(&edge, message("again"));
        let fin = self::fin(true, Some(&edge), Some(&edge));
        let whole = pager.close(Ok(fin)).unwrap();
        assert!(whole.messages.is_empty() && whole.complete);
    }
}

#[test]
fn q03_duplicate_ids_keep_their_first_place() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    pager.open("q".to_string(), 50);
    pager.take("a", message("1"));
    pager.take("a", message("again"));
    pager.take("b", message("2"));
    let page = pager.close(Ok(fin(true, Some("a"), Some("b")))).unwrap();
    let bodies: Vec<_> = page.messages.iter().map(|m| m.body.as_str()).collect();
    assert_eq!(bodies, ["1", "2"]);
}

#[test]
fn q05_an_item_that_never_came_is_a_hole() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    pager.open("q".to_string(), 50);
    pager.take("a", message("1"));
    assert!(pager.close(Ok(fin(true, Some("a"), Some("b")))).is_err());
    pager.open("r".to_string(), 50);
    assert!(pager.close(Ok(fin(true, Some("a"), Some("b")))).is_err());
}

#[test]
fn q07_empty_pages_that_promise_more_end() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    pager.open("q".to_string(), 50);
    assert!(!pager.close(Ok(fin(false, None, None))).unwrap().complete);
    pager.open("r".to_string(), 50);
    assert!(pager.close(Ok(fin(false, None, None))).is_err());
}

#[test]
fn an_archive_that_is_said_to_be_empty_is_asked_twice() {
    let empty = || {
        let mut empty = fin(true, None, None);
        empty.set.nothing = true;
        Ok(empty)
    };
    let mut pager = Pager::new(Direction::Backward, None, 10);
    pager.open("a".to_string(), 10);
    assert!(pager.close(empty()).unwrap().doubtful);
    pager.open("b".to_string(), 10);
    let page = pager.close(empty()).unwrap();
    assert!(!page.doubtful && page.complete && page.newest.is_none());
    // An empty page of an archive that holds something is none of these.
    let mut pager = Pager::new(Direction::Forward, Some(id("1")), 10);
    pager.open("c".to_string(), 10);
    assert!(!pager.close(Ok(fin(true, None, None))).unwrap().doubtful);
}

#[test]
fn q08_pages_in_a_circle_are_an_error() {
    let mut pager = Pager::new(Direction::Forward, None, 1);
    let circle = ["a", "b", "c", "d", "e"].into_iter().cycle().take(40);
    let failed = circle.into_iter().any(|name| {
        pager.open("q".to_string(), 1);
        pager.take(name, message("x"));
        pager.close(Ok(fin(false, Some(name), Some(name)))).is_err()
    });
    assert!(failed);
}

#[test]
fn q08_the_same_page_again_is_an_error() {
    let mut pager = Pager::new(Direction::Forward, Some(id("b")), 50);
    pager.open("q".to_string(), 50);
    pager.take("a", message("1"));
    pager.take("b", message("2"));
    assert!(pager.close(Ok(fin(false, Some("a"), Some("b")))).is_err());
}

/// Nor does one that goes back go on from where it begins itself.
#[test]
fn q08_the_same_page_again_is_an_error_backwards_too() {
    let mut pager = Pager::new(Direction::Backward, Some(id("b")), 50);
    pager.open("q".to_string(), 50);
    pager.take("b", message("1"));
    pager.take("c", message("2"));
    assert!(pager.close(Ok(fin(false, Some("b"), Some("c")))).is_err());
}

#[test]
fn a_page_too_heavy_is_cut_at_the_far_end() {
    let heavy = "x".repeat(Limits::PAGE_BYTES / 3);
    let page = |direction| {
        let mut pager = Pager::new(direction, None, 50);
        pager.open("q".to_string(), 50);
        for name in ["a", "b", "c", "d"] {
            pager.take(name, message(&heavy));
        }
        let page = pager.close(Ok(fin(true, Some("a"), Some("d")))).unwrap();
        assert!(!page.complete);
        let ids: Vec<_> = page.messages.into_iter().filter_map(|m| m.id).collect();
        (ids, pager.open("r".to_string(), 50))
    };
    assert_eq!(
        page(Direction::Forward),
        (alloc::vec![id("a"), id("b")], (Page::After(id("b")), 2))
    );
    assert_eq!(
        page(Direction::Backward),
        (alloc::vec![id("c"), id("d")], (Page::Before(id("c")), 2))
    );
}

#[test]
fn what_comes_beyond_the_number_asked_for_is_left_for_the_next_page() {
    let mut pager = Pager::new(Direction::Backward, None, 50);
    pager.open("q".to_string(), 2);
    for name in ["a", "b", "c"] {
        pager.take(name, message("x"));
    }
    let page = pager.close(Ok(fin(true, Some("a"), Some("c")))).unwrap();
    assert_eq!((page.messages.len(), page.complete), (2, false));
    assert_eq!(page.newest, Some(id("c")));
    assert_eq!(pager.open("r".to_string(), 50).0, Page::Before(id("b")));
}

/// A page of these items as the answer to what was asked last.
fn page(pager: &mut Pager, ids: &[&str]) -> Result<WholePage, RequestError> {
    for name in ids {
        pager.take(name, message(name));
    }
    pager.close(Ok(fin(true, ids.first().copied(), ids.last().copied())))
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|m| m.body.as_str()).collect()
}

#[test]
fn a_place_to_go_on_from_is_one_that_the_archive_shows() {
    let mut pager = Pager::after(&Cursor::After(id("c")), None, 50);
    assert_eq!(pager.open("q".to_string(), 9), (Page::Before(id("c")), 1));
    assert!(page(&mut pager, &["b"]).unwrap().doubtful);
    assert_eq!(pager.open("q".to_string(), 9), (Page::After(id("b")), 10));
    let got = page(&mut pager, &["c", "d"]).unwrap();
    assert_eq!(bodies(&got.messages), ["d"]);
    assert_eq!(got.newest, Some(id("d")));
    assert_eq!(pager.before(&id("d")), Some(Cursor::After(id("c"))));
    assert_eq!(pager.open("q".to_string(), 9), (Page::After(id("d")), 9));
    // Interrupted: what it stands on may be gone when it is asked again.
    pager.abandon();
    assert_eq!(pager.open("q".to_string(), 9), (Page::After(id("c")), 10));
    let got = page(&mut pager, &["d"]).unwrap();
    assert!(got.messages.is_empty() && got.complete && !got.doubtful);
    assert_eq!(got.newest, Some(id("d")));
}

#[test]
fn what_comes_late_before_the_place_is_told_apart() {
    let hint = Some(Cursor::After(id("a")));
    let mut pager = Pager::after(&Cursor::After(id("c")), hint, 50);
    assert_eq!(pager.open("q".to_string(), 9).0, Page::After(id("a")));
    let got = page(&mut pager, &["b", "c", "d"]).unwrap();
    assert_eq!(bodies(&got.late), ["b"]);
    assert_eq!(bodies(&got.messages), ["d"]);
    // An archive that takes no notice of where from: nothing of that is late.
    let hint = Some(Cursor::After(id("b")));
    let mut pager = Pager::after(&Cursor::After(id("c")), hint, 50);
    pager.open("q".to_string(), 9);
    let got = page(&mut pager, &["a", "b", "c", "d"]).unwrap();
    assert_eq!(
        (got.late.len(), bodies(&got.messages)),
        (0, alloc::vec!["d"])
    );
}

#[test]
fn q09_a_place_that_goes_between_two_pages_is_expired() {
    let gone = || {
        Err(RequestError::Refused(crate::error::StanzaError {
            kind: crate::error::ErrorType::Modify,
            condition: crate::error::Condition::ItemNotFound,
            text: None,
        }))
    };
    let mut pager = Pager::new(Direction::Forward, None, 50);
    pager.open("q".to_string(), 9);
    pager.take("a", message("1"));
    pager.close(Ok(fin(false, Some("a"), Some("a")))).unwrap();
    pager.open("q".to_string(), 9);
    assert!(pager.close(gone()).unwrap().doubtful);
    assert_eq!(pager.open("q".to_string(), 9).0, Page::Before(id("a")));
    assert!(pager.close(gone()).unwrap().doubtful);
    assert_eq!(pager.open("q".to_string(), 9), (Page::First, 1));
    let oldest = Some(id("m"));
    assert_eq!(
        page(&mut pager, &["m"]),
        Err(RequestError::CursorExpired { oldest })
    );
}

/// What lay before the place when it was seen last may be gone, or be no id of this
/// archive's; that says nothing about the place.
#[test]
fn q09_a_hint_that_the_archive_does_not_know_proves_nothing() {
    for condition in [
        crate::error::Condition::ItemNotFound,
        crate::error::Condition::BadRequest,
    ] {
        let hint = Some(Cursor::After(id("b")));
        let mut pager = Pager::after(&Cursor::After(id("c")), hint, 50);
        assert_eq!(pager.open("q".to_string(), 9).0, Page::After(id("b")));
        let refusal = RequestError::Refused(crate::error::StanzaError {
            kind: crate::error::ErrorType::Cancel,
            condition,
            text: None,
        });
        assert!(pager.close(Err(refusal)).unwrap().doubtful);
        assert_eq!(pager.open("q".to_string(), 9), (Page::Before(id("c")), 1));
    }
}

#[test]
fn no_answers_make_it_ask_for_ever() {
    let refusal = |condition| {
        Err(RequestError::Refused(crate::error::StanzaError {
            kind: crate::error::ErrorType::Modify,
            condition,
            text: None,
        }))
    };
    // Every sequence of answers, in base four.
    for answers in 0..4_u32.pow(7) {
        let hint = Some(Cursor::After(id("b")));
        let mut pager = Pager::after(&Cursor::After(id("c")), hint, 50);
        let (mut questions, mut rest) = (0, answers);
        loop {
            pager.open("q".to_string(), 9);
            questions += 1;
            assert!(questions <= witness::MOST, "{answers}");
            let answer = match rest % 4 {
                0 => page(&mut pager, &[]),
                1 => page(&mut pager, &["x"]),
                2 => pager.close(refusal(crate::error::Condition::ItemNotFound)),
                _ => pager.close(refusal(crate::error::Condition::BadRequest)),
            };
            rest /= 4;
            match answer {
                Ok(page) if page.doubtful => {}
                Ok(page) => panic!("{answers}: it never showed, {page:?}"),
                Err(_) => break,
            }
        }
    }
}

/// The place to go on from is the same; only where that is past, the archive may have let
/// go of it meanwhile.
#[test]
fn a_page_that_is_abandoned_is_asked_for_again() {
    let mut pager = Pager::new(Direction::Backward, Some(id("c")), 50);
    let question = (Page::Before(id("c")), 9);
    assert_eq!(pager.open("q".to_string(), 9), question);
    pager.take("b", message("b"));
    pager.abandon();
    assert!(!pager.is_open("q"));
    assert_eq!(pager.open("r".to_string(), 9), question);
}

/// While the witness is looked for, what comes up to it is not beyond it.
#[test]
fn what_lies_beyond_a_place_is_known_once_that_is_shown() {
    let mut pager = Pager::after(&Cursor::After(id("c")), None, 50);
    assert!(!pager.is_beyond("b"), "nothing is asked yet");
    pager.open("q".to_string(), 9);
    assert!(!pager.is_beyond("b"), "what lies before it is asked for");
    let mut wrong = Pager::after(&Cursor::After(id("c")), None, 50);
    wrong.open("q".to_string(), 9);
    wrong.take("c", None);
    assert!(!wrong.is_beyond("d"), "no proof, on the page before it");
    assert!(page(&mut pager, &["b"]).unwrap().doubtful);
    pager.open("q".to_string(), 9);
    assert!(!pager.is_beyond("c"));
    pager.take("c", message("c"));
    assert!(pager.is_beyond("d"));
    assert!(!pager.is_beyond("c"), "itself, once more");
    let got = page(&mut pager, &["c", "d"]).unwrap();
    assert_eq!(bodies(&got.messages), ["d"]);
    pager.open("q".to_string(), 9);
    assert!(pager.is_beyond("e"), "the place is proven");
}

#[test]
fn what_a_pager_holds_is_its_page_and_its_place() {
    let mut pager = Pager::new(Direction::Forward, None, 50);
    assert_eq!(pager.held(), 0);
    pager.open("q".repeat(100), 9);
    assert_eq!(pager.held(), 100);
    pager.take("a", message(&"x".repeat(1000)));
    let one = pager.held();
    assert!((1100..2000).contains(&one), "{one}");
    pager.take("b", message(&"x".repeat(1000)));
    assert_eq!(pager.held() - 100, 2 * (one - 100));
    let last = "z".repeat(300);
    pager.take(&last, None);
    pager.close(Ok(fin(false, None, None))).unwrap();
    // Where it stands, the mark by which it would notice a circle, and what lies before it.
    assert_eq!(pager.held(), 601);
}

/// XEP-0059, section 2.2: the page after an item lies after it. An archive that leads
/// back now and again may have been interrupted; one that always does is not asked for
/// ever.
#[test]
fn q08_a_pager_that_is_led_back_again_and_again_is_lost() {
    let mut pager = Pager::new(Direction::Forward, Some(id("b")), 50);
    for lap in 1..=4 {
        pager.open("q".to_string(), 50);
        assert!(page(&mut pager, &["a", "b"]).is_err());
        assert_eq!(pager.is_lost(), lap > 2, "{lap}");
    }
}
