//! Archives that show what was said only after a while, or out of its turn.

use super::memory::World;
use crate::peer::{archived, message};
use crate::*;

/// A subscription after `a0`, and its first question.
fn following() -> (Peer, String) {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine.subscribe(peer.now, room, start, 1000).unwrap();
    let asked = query(&mut peer);
    (peer, asked)
}

/// Answers a question with these messages, in that order.
fn answer(peer: &mut Peer, asked: &str, ids: &[&str]) {
    for id in ids {
        peer.say(&archived(query_id(asked), id, id));
    }
    peer.say(&fin(iq(asked), true, ids));
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

/// The bodies of what came, late ones marked.
fn told(peer: &mut Peer) -> Vec<String> {
    let told = entries(peer.events()).into_iter();
    let told = told.filter(|entry| !matches!(entry, Entry::Confirmed { .. }));
    let told = told.map(|entry| match entry {
        Entry::Message(message) => message.body,
        Entry::Late(message) => format!("late {}", message.body),
        Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
        Entry::Gap { after, reason } => format!("gap {} {reason:?}", after.unwrap()),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn q12_what_the_archive_does_not_show_yet_is_waited_for() {
    let (mut peer, asked) = following();
    peer.say(&message("bob", "a2", "a2"));
    answer(&mut peer, &asked, &[]);
    assert_eq!(told(&mut peer), [""; 0], "a1 may be on its way");
    let asked = next_question(&mut peer);
    answer(&mut peer, &asked, &["a1"]);
    assert_eq!(told(&mut peer), ["a1"]);
    let asked = next_question(&mut peer);
    assert!(asked.contains("<after>a0</after>"), "{asked}");
    answer(&mut peer, &asked, &["a1", "a2", "a3"]);
    assert_eq!(told(&mut peer), ["a2", "a3", "caught up a3"]);
}

#[test]
fn q12_an_archive_that_never_shows_what_was_said_is_not_waited_for_for_ever() {
    let (mut peer, mut asked) = following();
    let start = peer.now;
    peer.say(&message("bob", "a2", "a2"));
    let mut all = Vec::new();
    while all.is_empty() {
        answer(&mut peer, &asked, &[]);
        all = told(&mut peer);
        asked = if all.is_empty() {
            next_question(&mut peer)
        } else {
            String::new()
        };
    }
    assert_eq!(all, ["gap a0 Unsettled", "caught up a0", "a2"]);
    let took = peer.now.since(start);
    assert!(took >= secs(5) && took < secs(6), "{took:?}");
}

/// While a reader takes nothing, nobody looks whether the archive shows it by now.
#[test]
fn what_is_waited_for_has_its_time_after_a_reader_took_a_rest() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    let log = peer.engine.subscribe(peer.now, room, start, 1).unwrap();
    let asked = query(&mut peer);
    peer.say(&message("bob", "a3", "a3"));
    answer(&mut peer, &asked, &[]);
    let asked = next_question(&mut peer);
    answer(&mut peer, &asked, &["a1"]);
    assert_eq!(told(&mut peer), ["a1"]);
    peer.pass(secs(2));
    assert_eq!(queries(&peer.heard()), [""; 0], "the reader has no room");
    peer.now = peer.now.plus(secs(20));
    peer.engine.grant(peer.now, log, 1000);
    let asked = query(&mut peer);
    answer(&mut peer, &asked, &["a1"]);
    assert_eq!(
        told(&mut peer),
        [""; 0],
        "it was not looked for in these 20 seconds"
    );
    let asked = next_question(&mut peer);
    answer(&mut peer, &asked, &["a1", "a2", "a3"]);
    assert_eq!(told(&mut peer), ["a2", "a3", "caught up a3"]);
}

#[test]
fn what_shows_up_behind_what_was_delivered_is_told_as_late_and_once() {
    let (mut peer, asked) = following();
    answer(&mut peer, &asked, &[]);
    peer.say(&message("bob", "a2", "a2"));
    assert_eq!(told(&mut peer), ["caught up a0", "a2"]);
    for round in 0..4 {
        let asked = next_question(&mut peer);
        answer(&mut peer, &asked, &["a1", "a2"][usize::from(round > 1)..]);
        let late = told(&mut peer);
        assert_eq!(late.len(), usize::from(round == 0), "{round}: {late:?}");
        if round == 0 {
            assert!(asked.contains("<after>a0</after>"), "{asked}");
            assert_eq!(late, ["late a1"]);
        }
    }
    // Said now, but known: the room repeats itself.
    peer.say(&message("bob", "a1", "a1"));
    assert_eq!(told(&mut peer), [""; 0]);
}

#[test]
fn m16_what_the_room_did_not_tell_us_is_read_in_its_order() {
    let (mut peer, asked) = following();
    answer(&mut peer, &asked, &[]);
    told(&mut peer);
    let asked = next_question(&mut peer);
    answer(&mut peer, &asked, &["a1", "a2"]);
    assert_eq!(told(&mut peer), ["a1", "a2"]);
    peer.say(&message("bob", "a2", "a2"));
    peer.say(&message("bob", "a3", "a3"));
    assert_eq!(told(&mut peer), ["a3"]);
}

/// A room that says more than is remembered, to a reader who remembers little.
fn small() -> parley_xmpp::Config {
    let mut config = config();
    config.limits.remembered_ids = 64;
    config.limits.held_messages = 16;
    config.limits.page = 8;
    config
}

#[test]
fn what_a_busy_room_drops_is_found_however_much_it_says() {
    let mut world = World::new(small());
    world.read(100_000);
    for n in 0..2000 {
        world.say(true);
        if n % 7 == 0 {
            world.store(true, true);
        }
        world.pass(Duration::ZERO);
    }
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
    assert!(world.told.iter().all(|told| !told.starts_with("gap")));
    // Each message is read twice or so, in pages of eight.
    assert!(world.asked < 2000, "{}", world.asked);
}

#[test]
fn what_cannot_be_compared_yet_is_held_back_before_more_is_told_than_is_remembered() {
    let mut world = World::new(small());
    world.read(100_000);
    // The archive does not answer in no time: no timer runs before all is said.
    (0..50).for_each(|_| world.say(true));
    let heard = world.told.len() - 1;
    assert_eq!((heard, &*world.told[heard]), (64 * 5 / 8, "m40"));
    world.pass(Duration::ZERO);
    assert_eq!(world.not_once(), []);
}

#[test]
fn an_archive_that_does_not_show_what_is_heard_holds_it_up_for_a_while_and_a_gap_is_told() {
    let mut world = World::new(small());
    world.read(100_000);
    for _ in 0..50 {
        world.say(false);
    }
    world.pass(secs(60));
    let gap = world.told.iter().position(|told| told == "gap Unsettled");
    assert_eq!(world.told[gap.unwrap() - 1], "m40");
    assert!(world.told.contains(&"m50".into()));
    world.show();
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
}

/// Found by the simulation: what is held back may be let go of meanwhile.
#[test]
fn what_the_archive_lost_while_it_was_held_back_does_not_come_out_of_turn() {
    let (mut peer, asked) = following();
    for id in ["a1", "a2"] {
        peer.say(&message("bob", id, id));
    }
    answer(&mut peer, &asked, &["a2", "a3"]);
    assert_eq!(told(&mut peer), ["a2", "a3", "caught up a3", "late a1"]);
    peer.say(&message("bob", "a3", "a3"));
    peer.say(&message("bob", "a4", "a4"));
    assert_eq!(told(&mut peer), ["a4"]);
}

/// The archive fails while much is said, and shows it once what came after was told.
fn behind_a_gap(said: usize, credit: u32) -> World {
    let mut world = World::new(config());
    world.read(credit);
    assert_eq!(world.told, ["caught up"]);
    world.away(|world| {
        world.refuses = true;
        (0..said).for_each(|_| world.store(true, true));
    });
    world.say(true);
    world.refuses = false;
    assert!(
        world.told[1].starts_with("gap ArchiveFailed"),
        "{:?}",
        world.told
    );
    world.told.drain(..3);
    world
}

#[test]
fn more_late_messages_than_are_remembered_are_told_once() {
    let mut world = behind_a_gap(3000, 100_000);
    assert_eq!(world.told, ["m3001"]);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
    // And once more, by what it stands on now.
    world.say(true);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
    assert!(world.told.iter().any(|told| told == "confirmed"));
}

#[test]
fn a_slow_reader_of_many_late_messages_comes_to_their_end() {
    let mut world = behind_a_gap(3000, 256);
    let mut unread = 1;
    for _ in 0..60 {
        let before = world.told.len();
        world.grant(unread);
        world.pass(secs(15));
        unread = u32::try_from(world.told.len() - before).unwrap();
    }
    assert_eq!(world.not_once(), []);
    world.say(true);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
    // Each page once, and what was told once more for the second comparison.
    assert!(world.asked < 400, "{}", world.asked);
}

/// Found by the property of [`memory`](super::memory).
#[test]
fn what_lies_after_a_page_without_messages_is_told_in_its_turn() {
    let mut config = config();
    config.limits.page = 2;
    let mut world = World::new(config);
    world.store(true, true);
    (0..4).for_each(|_| world.store(false, true));
    world.read(1000);
    assert_eq!(world.told, ["m1", "caught up"]);
    world.store(true, true);
    world.pass(secs(6));
    assert_eq!(world.told[2..], ["m6"]);
}

/// Found by the property of [`memory`](super::memory).
#[test]
fn a_place_that_shows_up_before_what_was_late_makes_nothing_come_again() {
    let mut config = config();
    config.limits.remembered_ids = 4;
    config.limits.held_messages = 3;
    config.limits.page = 1;
    let mut world = World::new(config);
    world.read(100);
    world.say(false);
    (0..6).for_each(|_| world.store(true, true));
    world.pass(secs(6));
    world.show();
    world.pass(secs(4000));
    assert_eq!(world.not_once(), []);
}

/// What a comparison found is told; that it is heard afterwards, where all that is heard is
/// dropped, does not make it missing.
#[test]
fn what_was_told_late_is_not_waited_for() {
    let mut config = config();
    config.limits.held_messages = 2;
    let mut world = World::new(config);
    world.read(2);
    // The archive shows m1 after m2.
    world.store(true, false);
    world.say(true);
    world.show();
    world.pass(secs(120));
    assert_eq!(
        world.told.iter().filter(|told| *told == "late m1").count(),
        1
    );
    // The reader is full: what it hears is dropped.
    (0..4).for_each(|_| world.say(true));
    world.peer.say(&message("bob", "m1", "m1"));
    world.grant(100);
    world.pass(secs(4000));
    assert_eq!(world.not_once(), [], "{:?}", world.told);
    let has_gap = world.told.iter().any(|told| told.starts_with("gap"));
    assert!(!has_gap, "{:?}", world.told);
}
