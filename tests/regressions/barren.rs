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
    let mut config = config();
    config.limits.page = 1;
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
