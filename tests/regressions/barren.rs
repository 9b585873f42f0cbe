//! Archives that hold much that is of no use to who reads them, and archives that make it up.

use super::archive::tombstone;
use crate::peer::{archived, message};
use crate::*;
use parley_xmpp::{GapReason, Post, PostOutcome, RequestError};

/// So many questions are too many.
const ENOUGH: usize = 6000;

/// What an archive answers to each question, and whether it says that nothing is behind that.
type Page = fn(&str, usize) -> (String, Vec<String>, bool);

fn answer(peer: &mut Peer, asked: &str, n: usize, page: Page) {
    let (items, ids, complete) = page(query_id(asked), n);
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    peer.say(&items);
    peer.say(&fin(iq(asked), complete, &ids));
}

/// One more of what was removed than is asked for, and always the last page.
fn overfull(query: &str, n: usize) -> (String, Vec<String>, bool) {
    let ids: Vec<_> = (0..=100).map(|item| format!("t{n}-{item}")).collect();
    let items = ids.iter().map(|id| tombstone(query, id)).collect();
    (items, ids, true)
}

/// A message that was given before, and something that was removed.
fn repeated(query: &str, n: usize) -> (String, Vec<String>, bool) {
    let removed = format!("t{n}");
    let items = archived(query, "m1", "hi") + &tombstone(query, &removed);
    (items, vec!["m1".into(), removed], false)
}

/// The same message under ever other archive ids.
fn same(query: &str, n: usize) -> (String, Vec<String>, bool) {
    let id = format!("m{n}");
    let said = archived(query, &id, "hi")
        .replace("type='groupchat'>", "type='groupchat' id='same'>")
        .replace(
            "</body>",
            "</body><origin-id xmlns='urn:xmpp:sid:0' id='same'/>",
        );
    (said, vec![id], false)
}

#[test]
fn q08_a_fetch_of_nothing_new_comes_to_an_end() {
    let newest = Fetch::newest(100);
    let since = |limit| Fetch::since(Cursor::Beginning, limit);
    for (fetch, page) in [
        (newest, overfull as Page),
        (since(100), overfull),
        (since(5), repeated),
    ] {
        let (mut peer, room) = in_room();
        peer.engine.fetch(peer.now, room, fetch).unwrap();
        let mut asked = query(&mut peer);
        for n in 0.. {
            assert!(n < ENOUGH, "still asking");
            answer(&mut peer, &asked, n, page);
            let sent = peer.heard();
            match queries(&sent)[..] {
                [] => break,
                [next] => asked = next.to_owned(),
                _ => panic!("{sent}"),
            }
        }
        let ends = fetched(peer.events()).1;
        assert!(
            matches!(
                ends[..],
                [FetchEvent::Failed(RequestError::Inconsistent(_))]
            ),
            "{ends:?}"
        );
    }
}

#[test]
fn q08_a_follower_of_nothing_new_is_told_so() {
    for page in [overfull as Page, repeated, same] {
        let (mut peer, room) = in_room();
        let credit = 100;
        let start = FROM_THE_BEGINNING;
        peer.engine
            .subscribe(peer.now, room, start, credit)
            .unwrap();
        let mut asked = query(&mut peer);
        let mut told = Vec::new();
        for n in 0.. {
            assert!(n < ENOUGH, "still asking: {told:?}");
            answer(&mut peer, &asked, n, page);
            told.extend(entries(peer.events()));
            if matches!(told.last(), Some(Entry::CaughtUp { .. })) {
                break;
            }
            asked = next_question(&mut peer);
        }
        let failed = |entry: &Entry| {
            matches!(
                entry,
                Entry::Gap {
                    reason: GapReason::ArchiveFailed(_),
                    ..
                }
            )
        };
        assert!(told.iter().any(failed), "{told:?}");
        assert!(bodies(&told).len() <= 1, "{told:?}");
    }
}

fn next_question(peer: &mut Peer) -> String {
    for _ in 0..50 {
        let sent = peer.heard();
        if let Some(query) = queries(&sent).pop() {
            return query.to_owned();
        }
        turn(peer);
    }
    panic!("no question");
}

/// Who takes one message at a time asks for one item at a time, and much may have been removed.
#[test]
fn a_thousand_removed_messages_are_passed_one_by_one() {
    let one: Page = |query, n| {
        let id = format!("t{n}");
        (tombstone(query, &id), vec![id], false)
    };
    let (mut peer, room) = in_room();
    let fetch = Fetch::since(Cursor::Beginning, 1);
    peer.engine.fetch(peer.now, room, fetch).unwrap();
    for n in 0..5000 {
        let asked = query(&mut peer);
        answer(&mut peer, &asked, n, one);
    }
    let asked = query(&mut peer);
    peer.say(&archived(query_id(&asked), "m", "found"));
    peer.say(&fin(iq(&asked), true, &["m"]));
    assert_eq!(fetched(peer.events()).0[0].body, "found");

    let (mut peer, room) = in_room();
    let start = FROM_THE_BEGINNING;
    peer.engine.subscribe(peer.now, room, start, 1).unwrap();
    for n in 0..7000 {
        let asked = query(&mut peer);
        answer(&mut peer, &asked, n, one);
    }
    let asked = query(&mut peer);
    peer.say(&archived(query_id(&asked), "m", "found"));
    peer.say(&fin(iq(&asked), true, &["m"]));
    assert_eq!(bodies(&entries(peer.events())), ["found"]);
}

/// A post is looked for behind all that others said since.
#[test]
fn a_post_is_found_behind_more_than_a_thousand_pages() {
    // Pages of full length, and such as are short though they are not the last.
    for page in [1, 2] {
        found_behind_many(page);
    }
}

fn found_behind_many(page: u32) {
    let mut config = config();
    config.limits.page = page;
    let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
    peer.say(&message("bob", "a0", "before"));
    peer.events();
    let post = Post::new("hi").within(secs(1_000_000));
    peer.engine.post(peer.now, room, post).unwrap();
    let written = peer.heard();
    let origin = attribute(&written[written.find("<message").unwrap()..], "id").to_owned();
    cut(&mut peer);
    until_connect(&mut peer);
    peer.log_in();
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    for n in 1..1200 {
        let asked = query(&mut peer);
        let id = format!("b{n}");
        peer.say(&archived(query_id(&asked), &id, "later"));
        peer.say(&fin(iq(&asked), false, &[&id]));
    }
    let asked = query(&mut peer);
    let ours = format!("/ada' type='groupchat' id='{origin}'");
    let said = archived(query_id(&asked), "c1", "hi");
    peer.say(&said.replace("/bob' type='groupchat'", &ours));
    peer.say(&fin(iq(&asked), true, &["c1"]));
    let committed = |event: &Event| {
        matches!(
            event,
            Event::Post {
                outcome: PostOutcome::Committed { .. },
                ..
            }
        )
    };
    assert!(peer.events().iter().any(committed));
}

/// A follower that has caught up with what an archive holds, and the first question of its first
/// comparison.
fn comparing() -> (Peer, String) {
    let (mut peer, room) = in_room();
    let start = FROM_THE_BEGINNING;
    peer.engine.subscribe(peer.now, room, start, 9999).unwrap();
    let asked = query(&mut peer);
    peer.say(&archived(query_id(&asked), "a1", "first"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    assert_eq!(bodies(&entries(peer.events())), ["first"]);
    let asked = next_question(&mut peer);
    (peer, asked)
}

fn removed(query: &str, n: usize) -> (String, Vec<String>, bool) {
    let id = format!("t{n}");
    (tombstone(query, &id), vec![id], false)
}

/// A comparison reads behind the reader, where an archive can make up as much.
#[test]
fn q08_a_comparison_with_nothing_new_comes_to_an_end() {
    // The first of those that are the same is new.
    for (page, most) in [(removed as Page, 1000), (same, 1001)] {
        nothing_new(page, most);
    }
}

fn nothing_new(page: Page, most: usize) {
    let (mut peer, mut asked) = comparing();
    let mut pages = 0;
    loop {
        assert!(pages < ENOUGH, "still asking");
        answer(&mut peer, &asked, pages, page);
        pages += 1;
        let sent = peer.heard();
        match queries(&sent).pop() {
            Some(next) => asked = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, most);
    peer.events();
    // It is tried again, later, and then all is told.
    peer.say(&message("bob", "a2", "live"));
    let mut told = entries(peer.events());
    asked = next_question(&mut peer);
    for (id, said) in [("a0", "late"), ("a1", "first"), ("a2", "live")] {
        peer.say(&archived(query_id(&asked), id, said));
    }
    peer.say(&fin(iq(&asked), true, &["a0", "a1", "a2"]));
    told.extend(entries(peer.events()));
    assert_eq!(bodies(&told), ["live"]);
    let is_late = |entry: &Entry| matches!(entry, Entry::Late(message) if message.body == "late");
    assert!(told.iter().any(is_late), "{told:?}");
}

/// What an archive was late to show is of use, however much it is.
#[test]
fn a_comparison_tells_all_that_was_late_page_by_page() {
    let (mut peer, mut asked) = comparing();
    for n in 0..1500 {
        let (id, said) = (format!("b{n}"), n.to_string());
        peer.say(&archived(query_id(&asked), &id, &said));
        peer.say(&fin(iq(&asked), false, &[&id]));
        assert_eq!(late(&peer.events()), [said]);
        asked = next_question(&mut peer);
    }
}

fn late(events: &[Event]) -> Vec<&str> {
    let late = |event| match event {
        &Event::Entry {
            entry: Entry::Late(ref message),
            ..
        } => Some(message.body.as_str()),
        _ => None,
    };
    events.iter().filter_map(late).collect()
}

/// Where "now" is comes before all that is held back, each of which may lie before another; and an
/// archive may say so in a circle.
#[test]
fn q08_what_lies_before_what_is_held_back_is_not_asked_in_a_circle() {
    let mut peer = Peer::online(config());
    peer.shows = false;
    let room = peer.join(ROOM_FEATURES);
    peer.heard();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 99)
        .unwrap();
    peer.say(&message("bob", "x", "x"));
    peer.say(&message("bob", "y", "y"));
    for turn in 0.. {
        assert!(turn < ENOUGH, "still asking");
        let sent = peer.heard();
        let Some(asked) = queries(&sent).pop() else {
            assert!(turn > 2, "{sent}");
            break;
        };
        let before_y = asked.contains("<before>y</before>");
        let id = if before_y { "x" } else { "y" };
        peer.say(&archived(query_id(asked), id, id));
        peer.say(&fin(iq(asked), false, &[id]));
    }
}

/// A page with news is of use, however short, and however often the archive fails in between.
#[test]
fn a_follower_is_told_all_that_comes_in_short_pages_from_an_archive_in_trouble() {
    for fails in [false, true] {
        let (mut peer, room) = in_room();
        let start = FROM_THE_BEGINNING;
        peer.engine.subscribe(peer.now, room, start, 9999).unwrap();
        for n in 0..if fails { 20 } else { 1200 } {
            let mut asked = next_question(&mut peer);
            if fails {
                peer.say(&failure(iq(&asked), "resource-constraint", "wait"));
                asked = next_question(&mut peer);
            }
            // Begun anew it looks for its place first, and is shown what is before that as well.
            let ids: Vec<_> = (if fails { 0 } else { n }..=n)
                .map(|n| format!("a{n}"))
                .collect();
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            for id in &ids {
                peer.say(&archived(query_id(&asked), id, id));
            }
            peer.say(&fin(iq(&asked), false, &ids));
            let told = entries(peer.events());
            assert_eq!(
                (bodies(&told), told.len()),
                (ids[ids.len() - 1..].to_vec(), 1)
            );
        }
    }
}
