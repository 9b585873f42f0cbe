//! Rooms that say more than is remembered, and archives that fail meanwhile.

use super::memory::{World, is_message, limited};
use crate::peer::message;
use crate::*;

fn bad(world: &World) -> (usize, usize, Vec<String>) {
    let not = world.not_once();
    let lost = not.iter().filter(|(_, n)| *n == 0).count();
    let twice = not.iter().filter(|(_, n)| *n > 1).count();
    let shown = not.iter().take(12).map(|x| format!("{x:?}")).collect();
    (lost, twice, shown)
}

fn gaps(world: &World) -> Vec<&String> {
    world.told.iter().filter(|t| t.starts_with("gap")).collect()
}

/// More came late than is remembered, and the place it came to is gone: there was a question for
/// each answer, for ever.
#[test]
fn an_archive_that_is_emptied_is_not_asked_for_ever() {
    for hole in [1000, 2000] {
        let mut world = World::new(config());
        world.read(1_000_000);
        (0..10).for_each(|_| world.say(true));
        world.pass(secs(3));
        (0..hole).for_each(|_| world.store(true, true));
        world.say(false);
        let last = world.items.len() - 1;
        for _ in 0..60 {
            world.pass(Duration::from_millis(100));
            if world.told.iter().any(|told| told.starts_with("late")) {
                break;
            }
        }
        for item in &mut world.items[..=last] {
            item.shown = false;
        }
        world.store(true, true);
        let before = world.asked;
        world.pass(secs(3600));
        let asked = world.asked - before;
        assert!(asked < 60, "{asked}: {:?}", gaps(&world));
    }
}

/// What is held back to be compared was lost where that cannot be.
#[test]
fn a_room_whose_archive_refuses_is_heard_all_the_same() {
    let mut world = World::new(config());
    world.read(1_000_000);
    world.refuses = true;
    for _ in 0..3000 {
        world.say(true);
        world.pass(Duration::from_millis(20));
    }
    world.pass(secs(700));
    assert_eq!(bad(&world).0, 0, "{:?}", gaps(&world));
    let failed = gaps(&world)
        .iter()
        .all(|gap| gap.starts_with("gap ArchiveFailed"));
    assert!(failed && gaps(&world).len() < 10, "{:?}", gaps(&world));
}

/// The archive answers each comparison with an error that may pass.
fn fails_for_now(world: &mut World) {
    let sent = world.peer.heard();
    for query in queries(&sent) {
        let failure = failure(iq(query), "internal-server-error", "wait");
        world.peer.say(&failure);
    }
    world.take();
}

/// As many are held back as may be, and comparisons fail again and again: a gap is told, and what
/// is heard is not lost for that.
#[test]
fn what_is_held_back_is_told_where_comparisons_fail_again_and_again() {
    let mut world = World::new(limited(32, 8, 24));
    world.read(1_000_000);
    world.pass(secs(700));
    let say = |world: &mut World| {
        world.store(true, true);
        let id = world.items.last().unwrap().id.clone();
        world.peer.say(&message("bob", &id, &id));
        world.take();
    };
    (0..21).for_each(|_| say(&mut world));
    let mut failures = 0;
    while failures < 3 {
        turn(&mut world.peer);
        let before = world.peer.heard();
        failures += usize::from(!queries(&before).is_empty());
        world.peer.kept = before;
        fails_for_now(&mut world);
    }
    assert_eq!(world.told.last().unwrap(), "m20", "it waits");
    (0..24).for_each(|_| say(&mut world));
    assert!(
        gaps(&world)[0].starts_with("gap ArchiveFailed"),
        "{:?}",
        world.told
    );
    // As many again as are told before anything is compared.
    assert!(world.told.contains(&"m40".into()), "{:?}", world.told);
    assert_eq!(gaps(&world).len(), 1);
}

/// But a reader who takes nothing holds it up himself: what is too much is read when he does.
#[test]
fn what_a_reader_does_not_take_is_no_gap_where_comparisons_failed() {
    let mut world = World::new(limited(32, 8, 24));
    world.read(40);
    world.pass(secs(700));
    world.refuses = true;
    for _ in 0..21 {
        world.say(true);
    }
    world.pass(secs(1));
    assert_eq!(gaps(&world).len(), 1, "{:?}", world.told);
    (0..60).for_each(|_| world.say(true));
    assert_eq!(world.told.last().unwrap(), "m40");
    assert_eq!(gaps(&world).len(), 1, "{:?}", world.told);
    world.refuses = false;
    world.grant(1000);
    world.pass(secs(60));
    assert_eq!(bad(&world), (0, 0, vec![]));
}

/// What is heard while the archive is read waits for that, whatever failed before.
#[test]
fn what_is_too_much_while_the_archive_is_read_is_read() {
    let mut world = World::new(limited(32, 8, 24));
    world.read(1_000_000);
    world.pass(secs(700));
    world.refuses = true;
    (0..21).for_each(|_| world.say(true));
    world.pass(secs(1));
    let failed = gaps(&world).len();
    assert_eq!(failed, 1, "{:?}", world.told);
    (0..19).for_each(|_| world.say(true));
    world.refuses = false;
    world.silent = true;
    world.away(|_| {});
    (0..60).for_each(|_| world.say(true));
    assert_eq!(gaps(&world).len(), failed, "{:?}", world.told);
    world.silent = false;
    world.pass(secs(100));
    assert_eq!(bad(&world), (0, 0, vec![]));
    assert_eq!(gaps(&world).len(), failed, "{:?}", world.told);
}

#[test]
fn a_large_hole_and_a_restart_in_its_midst_lose_nothing() {
    let mut failures = Vec::new();
    for (hole, after) in [
        (800, 600),
        (1000, 950),
        (1500, 1100),
        (3000, 2000),
        (3000, 1000),
    ] {
        let mut world = World::new(config());
        world.read(1_000_000);
        (0..10).for_each(|_| world.say(true));
        world.pass(secs(3000));
        let had = world.told.iter().filter(|t| is_message(t)).count();
        assert_eq!(had, 10);
        // A new process with a small window: the reader takes so much.
        world.restart(after + 1);
        world.pass(secs(1));
        (0..hole).for_each(|_| world.store(true, true));
        world.say(true);
        world.pass(secs(3000));
        world.restart(1_000_000);
        world.pass(secs(6000));
        let (lost, twice, _) = bad(&world);
        if (lost > 0 && gaps(&world).is_empty()) || twice > 0 {
            failures.push((hole, after, lost, twice));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_memory_larger_than_a_bookmark_moves_no_place_back() {
    let mut failures = Vec::new();
    for (catch_up, live) in [(0, 1500), (0, 2500), (5000, 0), (5000, 300)] {
        let mut config = config();
        config.limits.remembered_ids = 4096;
        let mut world = World::new(config);
        (0..catch_up).for_each(|_| world.store(true, true));
        world.read(1_000_000);
        for n in 0..live {
            world.say(true);
            if n % 50 == 0 {
                world.pass(Duration::from_millis(500));
            }
        }
        for wait in [0, 6, 35, 40] {
            world.pass(secs(wait));
            let kept = world.bookmark.clone();
            let mut other = World::new(world.config.clone());
            std::mem::swap(&mut other.items, &mut world.items);
            other.told = world.told.clone();
            other.bookmark = kept;
            other.restart(1_000_000);
            other.pass(secs(6000));
            let (lost, twice, shown) = bad(&other);
            if lost + twice > 0 {
                failures.push((catch_up, live, wait, lost, twice, shown));
            }
            std::mem::swap(&mut other.items, &mut world.items);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_was_told_before_the_room_described_itself_comes_once_behind_much_that_was_missed() {
    let mut failures = Vec::new();
    for (missed, early) in [
        (100, 100),
        (1000, 300),
        (2000, 300),
        (2000, 500),
        (1500, 50),
    ] {
        let mut config = config();
        config.timing.self_ping = Duration::MAX;
        let mut peer = Peer::online(config.clone());
        let room = peer.engine.join(peer.now, ada()).unwrap();
        let question = iq(requests(&peer.heard()).last().unwrap()).to_owned();
        let mut world = World::new(config);
        world.peer = peer;
        world.peer.shows = false;
        world.room = room;
        let start = Start::Bookmark(world.bookmark.clone());
        let (now, room) = (world.peer.now, world.room);
        let id = world.peer.engine.subscribe(now, room, start, 1_000_000);
        world.subscription = Some(id.unwrap());
        world.peer.say(&presence("ada", "<status code='110'/>"));
        world.peer.pass(secs(30));
        world.peer.heard();
        world.take();
        (0..missed).for_each(|_| world.store(true, true));
        for _ in 0..early {
            world.store(true, true);
            let id = world.items.last().unwrap().id.clone();
            world.peer.say(&message("bob", &id, &id));
            world.take();
        }
        world.peer.say(&features(&question, ROOM_FEATURES));
        world.serve();
        world.pass(secs(3000));
        let (lost, twice, _) = bad(&world);
        if twice > 0 || lost > 0 {
            failures.push((missed, early, lost, twice));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// The archive was given one time to show all that was dropped, however much was dropped meanwhile:
/// a gap was told though it lagged by less than that all along.
#[test]
fn an_archive_that_lags_by_seconds_in_a_busy_room_is_no_gap() {
    for (lag, rate) in [(3, 100), (4, 200), (4, 40)] {
        let mut world = World::new(config());
        world.read(1_000_000);
        world.pass(secs(10));
        for turn in 0..60 * rate {
            world.say(false);
            if let Some(shown) = (turn + 1_usize).checked_sub(lag * rate) {
                world.items[shown].shown = true;
            }
            world.pass(Duration::from_millis(1000 / rate as u64));
        }
        world.show();
        world.pass(secs(600));
        let (lost, twice, which) = bad(&world);
        assert_eq!((lost, twice), (0, 0), "{lag} {rate}: {which:?}");
        assert_eq!(gaps(&world), [""; 0], "{lag} {rate}");
        let late = world.told.iter().filter(|told| told.starts_with("late"));
        assert_eq!(late.count(), 0, "{lag} {rate}");
    }
}

/// Each of five questions waited for its time, one after the other, while a busy room was held up.
#[test]
fn a_busy_room_is_heard_again_soon_where_its_archive_does_not_answer() {
    let mut world = World::new(config());
    world.read(1_000_000);
    world.silent = true;
    let mut quiet = 0;
    let mut longest = 0;
    for _ in 0..6000 {
        let before = world.told.len();
        world.say(true);
        world.pass(Duration::from_millis(100));
        quiet = if world.told.len() > before {
            0
        } else {
            quiet + 1
        };
        longest = longest.max(quiet);
    }
    assert_eq!(bad(&world).1, 0, "{:?}", gaps(&world));
    // Tenths of a second.
    assert!((300..1000).contains(&longest), "{longest}");
}
