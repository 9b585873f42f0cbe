//! What a reader keeps from one process to the next, and what the next one is told.

use parley_xmpp::Bookmark;

use super::memory::World;
use crate::peer::{archived, message};
use crate::*;

/// A new process that goes on from a bookmark, and its first question.
fn following(start: Start) -> (Peer, String) {
    let (mut peer, room) = in_room();
    peer.engine.subscribe(peer.now, room, start, 1000).unwrap();
    let asked = query(&mut peer);
    (peer, asked)
}

fn answer(peer: &mut Peer, asked: &str, ids: &[&str], stable: bool) {
    for id in ids {
        peer.say(&archived(query_id(asked), id, id));
    }
    let fin = fin(iq(asked), true, ids);
    let fin = match stable {
        true => fin,
        false => fin.replace("complete='true'", "complete='true' stable='false'"),
    };
    assert_eq!(fin.contains("stable='false'"), !stable);
    peer.say(&fin);
}

/// The next question, with whatever time passes until then.
fn next_question(peer: &mut Peer) -> String {
    for _ in 0..1000 {
        let sent = peer.heard();
        pong(peer, &sent);
        if let Some(query) = queries(&sent).first() {
            return (*query).to_owned();
        }
        turn(peer);
    }
    panic!("nothing is asked");
}

/// What came, in words, taken into the bookmark.
fn told(peer: &mut Peer, bookmark: &mut Bookmark) -> Vec<String> {
    let told = entries(peer.events()).into_iter().map(|entry| {
        bookmark.take(&entry);
        match entry {
            Entry::Message(message) => message.body,
            Entry::Late(message) => format!("late {}", message.body),
            Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
            Entry::Confirmed { at } => format!("sure up to {at}"),
            other => panic!("{other:?}"),
        }
    });
    told.collect()
}

#[test]
fn a_new_process_is_told_what_the_old_one_was_not_and_nothing_else() {
    let mut bookmark = Bookmark::at(Cursor::parse("a0").unwrap());
    let (mut old, asked) = following(Start::Bookmark(bookmark.clone()));
    answer(&mut old, &asked, &["a1"], true);
    old.say(&message("bob", "a3", "a3"));
    old.say(&message("bob", "a5", "a5"));
    assert_eq!(
        told(&mut old, &mut bookmark),
        ["a1", "caught up a1", "a3", "a5"]
    );
    drop(old);
    // It was killed before a2 and a4, which the archive shows late.
    let kept = bookmark.to_string();
    let mut bookmark = Bookmark::parse(&kept).unwrap();
    let (mut new, asked) = following(Start::Bookmark(bookmark.clone()));
    // After what may lie before a5, to see that the archive still shows that.
    assert!(asked.contains("<after>a3</after>"), "{asked}");
    let all = ["a1", "a2", "a3", "a4", "a5", "a6"];
    answer(&mut new, &asked, &all[3..], true);
    assert_eq!(
        told(&mut new, &mut bookmark),
        ["late a4", "a6", "caught up a6"]
    );
    let asked = next_question(&mut new);
    assert!(asked.contains("<after>a0</after>"), "{asked}");
    answer(&mut new, &asked, &all, true);
    assert_eq!(told(&mut new, &mut bookmark), ["late a2"]);
    // The archive repeats itself, and so does the room.
    new.say(&message("bob", "a4", "a4"));
    new.say(&message("bob", "a5", "a5"));
    for from in [0, 6] {
        let asked = next_question(&mut new);
        answer(&mut new, &asked, &all[from..], true);
    }
    assert_eq!(told(&mut new, &mut bookmark), ["sure up to a6"]);
    // Of what was late among the rest, nobody knows where it lies who only knows what was told.
    assert_eq!(bookmark.cursor(), Cursor::parse("a6").as_ref());
    let names: Vec<_> = bookmark.beyond().map(|id| id.as_str()).collect();
    assert_eq!(names, ["a4", "a2"]);
}

/// XEP-0313, section 4.2.
#[test]
fn q13_what_may_still_change_is_delivered_and_not_built_on() {
    let mut bookmark = Bookmark::at(Cursor::parse("a0").unwrap());
    let (mut peer, asked) = following(Start::Bookmark(bookmark.clone()));
    answer(&mut peer, &asked, &["a2"], false);
    assert_eq!(told(&mut peer, &mut bookmark), ["a2", "caught up a2"]);
    for _ in 0..4 {
        let asked = next_question(&mut peer);
        assert!(asked.contains("<after>a0</after>"), "{asked}");
        answer(&mut peer, &asked, &["a2"], false);
        assert_eq!(told(&mut peer, &mut bookmark), [""; 0]);
    }
    // What it shows at last is before what was delivered, and not lost.
    let asked = next_question(&mut peer);
    answer(&mut peer, &asked, &["a1", "a2"], true);
    assert_eq!(told(&mut peer, &mut bookmark), ["late a1"]);
    let asked = next_question(&mut peer);
    assert!(asked.contains("<after>a0</after>"), "{asked}");
    answer(&mut peer, &asked, &["a1", "a2"], true);
    assert_eq!(told(&mut peer, &mut bookmark), ["sure up to a2"]);
    assert_eq!(bookmark.cursor(), Cursor::parse("a2").as_ref());
}

#[test]
fn a_bookmark_of_more_than_is_remembered_names_what_is() {
    let mut bookmark = Bookmark::at(Cursor::parse("a0").unwrap());
    let mut config = config();
    config.limits.remembered_ids = 16;
    let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
    let remembered = peer.engine.config().limits.remembered_ids;
    let ids: Vec<_> = (1..=500).map(|n| format!("a{n}")).collect();
    for entry in said(&ids) {
        bookmark.take(&entry);
    }
    let start = Start::Bookmark(bookmark);
    peer.engine.subscribe(peer.now, room, start, 9).unwrap();
    // There is no place for a page more: what is named is compared first.
    let asked = query(&mut peer);
    let oldest = 500 - remembered;
    assert!(
        asked.contains(&format!("<after>a{oldest}</after>")),
        "{asked}"
    );
}

/// Entries as another engine tells them.
fn said(ids: &[String]) -> Vec<Entry> {
    let (mut peer, asked) = following(Start::Cursor(Cursor::Beginning));
    answer(&mut peer, &asked, &[], true);
    for id in ids {
        peer.say(&message("bob", id, id));
    }
    entries(peer.events())
}

#[test]
fn items_without_a_body_do_not_make_the_reader_forget_what_it_was_given() {
    let mut world = World::new(config());
    for _ in 0..100 {
        world.store(true, true);
        (0..20).for_each(|_| world.store(false, true));
    }
    world.read(10_000);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
    assert!(world.told.iter().all(|told| !told.starts_with("late")));
}

/// A reader that was given many messages, and is killed before they are compared.
fn killed(given: usize) -> World {
    let mut world = World::new(config());
    world.read(100_000);
    (0..given).for_each(|_| world.say(true));
    assert_eq!(world.not_once(), []);
    world
}

#[test]
fn a_bookmark_and_many_markers_give_nothing_twice() {
    let mut world = killed(512);
    assert_eq!(world.bookmark.beyond().count(), 512);
    (0..512).for_each(|_| world.store(false, true));
    (0..100).for_each(|_| world.store(true, true));
    world.restart(100_000);
    assert_eq!(world.not_once(), []);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
}

#[test]
fn markers_before_what_a_bookmark_names_give_nothing_twice() {
    let mut world = World::new(config());
    (0..1500).for_each(|_| world.store(false, false));
    world.read(100_000);
    (0..512).for_each(|_| world.say(true));
    // What the archive was late to show is no message at all.
    world.show();
    world.restart(100_000);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
}

/// In a room that did not say in time what it can do, from this start; and the question.
fn in_a_silent_room(start: Start) -> (Peer, String) {
    let mut config = config();
    config.timing.self_ping = Duration::MAX;
    let mut peer = Peer::online(config);
    let room = peer.engine.join(peer.now, ada()).unwrap();
    let question = iq(requests(&peer.heard()).last().unwrap()).to_owned();
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(secs(30));
    peer.heard();
    (peer, question)
}

/// The last question to an archive: the room asks one of its own before.
fn last_query(peer: &mut Peer) -> String {
    let sent = peer.heard();
    (*queries(&sent).last().expect("a question")).to_owned()
}

/// What came, taken into the bookmark: messages by their bodies.
fn taken(peer: &mut Peer, bookmark: &mut Bookmark) -> Vec<String> {
    let told = entries(peer.events()).into_iter().map(|entry| {
        bookmark.take(&entry);
        match entry {
            Entry::Message(message) => message.body,
            Entry::CaughtUp { at } => at.map_or_else(|| "live".into(), |at| format!("at {at}")),
            Entry::Gap { reason, .. } => format!("gap {reason:?}"),
            other => panic!("{other:?}"),
        }
    });
    told.collect()
}

#[test]
fn what_was_told_before_the_room_described_itself_does_not_come_again_after_a_restart() {
    let mut bookmark = Bookmark::at(Cursor::parse("a0").unwrap());
    let (mut old, question) = in_a_silent_room(Start::Bookmark(bookmark.clone()));
    for id in ["a3", "a4"] {
        old.say(&message("bob", id, id));
    }
    assert_eq!(
        taken(&mut old, &mut bookmark),
        ["gap NoArchive", "live", "a3", "a4"]
    );
    old.say(&features(&question, ROOM_FEATURES));
    let asked = last_query(&mut old);
    let all = ["a1", "a2", "a3", "a4"];
    answer(&mut old, &asked, &all, true);
    assert_eq!(taken(&mut old, &mut bookmark), ["a1", "a2", "at a4"]);
    // It was killed before anything was confirmed.
    drop(old);
    let (mut new, asked) = following(Start::Bookmark(bookmark.clone()));
    let place = ["a0", "a4"]
        .into_iter()
        .position(|id| asked.contains(&format!(">{id}<")));
    answer(&mut new, &asked, [&all[..], &[]][place.unwrap()], true);
    assert_eq!(taken(&mut new, &mut bookmark), ["at a4"]);
}

#[test]
fn a_second_stay_in_a_silent_room_goes_on_from_the_first() {
    let mut bookmark = Bookmark::default();
    let (mut peer, _) = in_a_silent_room(Start::Now);
    peer.say(&message("bob", "a1", "a1"));
    assert_eq!(taken(&mut peer, &mut bookmark), ["live", "a1"]);
    peer.say(&dropped());
    knock_again(&mut peer);
    let question = iq(requests(&peer.heard()).last().unwrap()).to_owned();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(secs(30));
    peer.heard();
    peer.say(&message("bob", "a3", "a3"));
    assert_eq!(
        taken(&mut peer, &mut bookmark),
        ["gap NoArchive", "live", "a3"]
    );
    peer.say(&features(&question, ROOM_FEATURES));
    let asked = last_query(&mut peer);
    assert!(asked.contains("<after>a1</after>"), "{asked}");
    answer(&mut peer, &asked, &["a2", "a3"], true);
    assert_eq!(taken(&mut peer, &mut bookmark), ["a2", "at a3"]);
}
