//! What was dropped and not found, and is looked for back from where the reader stands.

use super::memory::{Item, World, limited};
use crate::peer::message;
use crate::*;

/// A reader who was told `m1` to `m5`, and can take so many more. `mx` was heard before `m4`, and
/// dropped, and the archive shows it nowhere: neither to who read it to its end, nor to the first
/// comparison, nor to who looked back from there.
fn without_mx(credit: u32) -> World {
    let mut world = World::new(limited(32, 8, 2));
    world.read(3);
    (0..3).for_each(|_| world.say(true));
    world.peer.say(&message("bob", "mx", "mx"));
    (0..2).for_each(|_| world.say(true));
    world.grant(credit + 2);
    world.pass(secs(8));
    let told = ["caught up", "m1", "m2", "m3", "m4", "m5", "caught up"];
    assert_eq!(world.told, told);
    world
}

/// The archive has this before that item.
fn put(world: &mut World, id: &str, before: &str) {
    let at = world.items.iter().position(|item| item.id == before);
    let id = id.to_owned();
    let (body, shown) = (true, true);
    world.items.insert(at.unwrap(), Item { id, body, shown });
}

/// Eight messages are heard, which is reason to compare from where the last comparison ended, and
/// to look for what that does not find.
fn hurry(world: &mut World, shown: bool) {
    for n in 1..=8 {
        world.say(shown || n < 8);
    }
    world.pass(Duration::ZERO);
}

fn count(world: &World, word: &str) -> usize {
    world.told.iter().filter(|told| told.contains(word)).count()
}

/// Whether the archive shows where the reader stands or not.
#[test]
fn what_was_dropped_is_found_behind_the_place_from_which_is_compared() {
    for shown in [true, false] {
        let mut world = without_mx(100);
        put(&mut world, "mx", "m4");
        hurry(&mut world, shown);
        assert_eq!(world.told.last().unwrap(), "late mx", "{:?}", world.told);
        assert_eq!(count(&world, "gap"), 0);
    }
}

/// [`Engine::grant`](parley_xmpp::Engine::grant): no message more than that.
#[test]
fn no_more_of_it_is_told_than_the_reader_takes() {
    let mut world = World::new(limited(32, 8, 2));
    world.read(3);
    (0..3).for_each(|_| world.say(true));
    for id in ["mx", "my"] {
        world.peer.say(&message("bob", id, id));
    }
    (0..2).for_each(|_| world.say(true));
    world.grant(2 + 8 + 1);
    world.pass(secs(8));
    put(&mut world, "mx", "m4");
    put(&mut world, "my", "m4");
    hurry(&mut world, true);
    assert_eq!((count(&world, "late"), count(&world, "gap")), (1, 0));
    world.grant(9);
    world.pass(secs(60));
    assert_eq!((count(&world, "late"), count(&world, "gap")), (2, 0));
}

/// Back to the place before which all was compared when it was dropped, and no further: whether
/// that is a message or was removed.
#[test]
fn it_is_not_looked_for_in_all_of_a_long_archive() {
    for body in [true, false] {
        let mut world = without_mx(100);
        world.items[0].body = body;
        for n in 0..200 {
            put(&mut world, &format!("o{n}"), "m0");
        }
        let before = world.asked;
        hurry(&mut world, true);
        let asked = world.asked - before;
        assert_eq!(asked, 4, "{:?}", world.told);
    }
}

/// The comparison that much was heard for is answered, and what is asked to look for `mx` refused
/// with this.
fn refuse_to_look(condition: &str, kind: &str) -> World {
    let mut world = without_mx(100);
    (0..8).for_each(|_| world.say(true));
    turn(&mut world.peer);
    for _ in 0..9 {
        let sent = world.peer.heard();
        world.take();
        if let Some(query) = queries(&sent).into_iter().find(|q| q.contains("<before>")) {
            world.peer.say(&failure(iq(query), condition, kind));
            world.take();
            return world;
        }
        world.answer(&sent);
    }
    panic!("it is not looked for");
}

/// An archive that refuses to be looked through will not show it; where that may pass it is looked
/// for again. A place to look from that is gone meanwhile shows nothing: that is a second look in
/// vain. Comparisons go on.
#[test]
fn where_it_may_not_be_looked_for_a_gap_is_told_and_comparisons_go_on() {
    for (condition, kind, gap) in [
        ("not-allowed", "cancel", Some("gap ArchiveFailed")),
        ("internal-server-error", "wait", None),
        ("item-not-found", "cancel", Some("gap Unsettled")),
    ] {
        let mut world = refuse_to_look(condition, kind);
        let sent = world.peer.heard();
        assert_eq!(queries(&sent), [""; 0], "{condition}");
        world.peer.kept = sent;
        let last = world.told.last().unwrap();
        assert!(
            last.starts_with(gap.unwrap_or("m13")),
            "{condition}: {last}"
        );
        put(&mut world, "mx", "m4");
        put(&mut world, "mz", "m13");
        world.pass(secs(60));
        for late in ["late mx", "late mz"] {
            assert_eq!(count(&world, late), 1, "{condition}: {:?}", world.told);
        }
        let gaps = usize::from(gap.is_some());
        assert_eq!(count(&world, "gap"), gaps, "{condition}: {:?}", world.told);
    }
}

/// Where nothing is said any more, and all was compared, it is looked for from where the reader
/// stands.
#[test]
fn it_is_looked_for_where_nothing_is_left_to_compare() {
    let mut world = refuse_to_look("internal-server-error", "wait");
    for _ in 0..3 {
        let refused = loop {
            let sent = world.peer.heard();
            world.take();
            let look = queries(&sent).into_iter().find(|q| q.contains("<before>"));
            if let Some(query) = look {
                break iq(query).to_owned();
            }
            world.answer(&sent);
            if requests(&sent).is_empty() {
                turn(&mut world.peer);
            }
        };
        let refusal = failure(&refused, "internal-server-error", "wait");
        world.peer.say(&refusal);
    }
    put(&mut world, "mx", "m4");
    world.pass(secs(700));
    assert_eq!((count(&world, "late mx"), count(&world, "gap")), (1, 0));
}
