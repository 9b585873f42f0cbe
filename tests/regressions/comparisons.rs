//! When a subscription compares what it was told with its archive, and when it asks nothing.

use super::memory::{World, limited};
use super::resumptions::{disorder, managed, resume};
use crate::peer::message;
use crate::*;

/// Who remembers 32: eight that are heard are due, and behind twenty no more is told.
fn small() -> parley_xmpp::Config {
    limited(32, 8, 24)
}

/// A reader who was compared long ago.
fn compared(mut world: World) -> World {
    world.read(1_000_000);
    world.pass(secs(700));
    world
}

fn standing() -> World {
    compared(World::new(small()))
}

/// Each message would cost a question.
#[test]
fn what_is_heard_is_compared_by_the_quarter_of_what_is_remembered() {
    let mut world = standing();
    let before = world.asked;
    for _ in 0..7 {
        world.say(true);
        world.pass(secs(1));
    }
    assert_eq!(world.asked, before);
    world.say(true);
    world.pass(Duration::ZERO);
    assert!(world.asked > before);
}

/// Nobody would know which of two answers is whose.
#[test]
fn one_comparison_is_under_way_at_a_time() {
    let mut world = standing();
    let before = world.asked;
    world.silent = true;
    for _ in 0..8 {
        world.say(true);
    }
    world.pass(Duration::ZERO);
    assert_eq!(world.asked, before + 1);
    for _ in 0..3 {
        world.say(true);
    }
    world.pass(Duration::ZERO);
    assert_eq!(world.asked, before + 1);
}

/// An archive that does not answer is not asked faster and faster, nor at an even pace.
#[test]
fn comparisons_that_fail_come_in_growing_pauses() {
    let mut world = standing();
    world.refuses = true;
    let refused_for_now = |world: &mut World| {
        // As a failure that may pass.
        let sent = world.peer.heard();
        for query in queries(&sent) {
            world.asked += 1;
            world
                .peer
                .say(&failure(iq(query), "internal-server-error", "wait"));
        }
    };
    // Twenty of 32: no more is told before it is compared.
    for _ in 0..20 {
        let id = format!("m{}", world.items.len());
        world.store(true, false);
        world.peer.say(&message("bob", &id, &id));
    }
    let mut asked_at = Vec::new();
    let end = world.peer.now.plus(secs(60));
    loop {
        let before = world.asked;
        refused_for_now(&mut world);
        if world.asked > before {
            asked_at.push(world.peer.now);
        }
        match world.peer.engine.wants().deadline {
            Some(deadline) if deadline.at <= end => turn(&mut world.peer),
            _ => break,
        }
    }
    let mut pauses = asked_at.windows(2).map(|pair| pair[1].since(pair[0]));
    let (first, second) = (pauses.next().unwrap(), pauses.next().unwrap());
    assert!(second >= first + first / 2, "{first:?}, then {second:?}");
}

/// What was compared to its end after a resumption is in its order.
#[test]
fn who_was_compared_after_a_resumption_is_told_at_once() {
    let mut world = compared(managed(config()));
    resume(&mut world, 0, 0, 0, true, true);
    let before = world.asked;
    world.pass(secs(10));
    let compared = world.asked;
    assert!(compared > before);
    world.say(true);
    assert_eq!(world.told.last().unwrap(), "m1");
    assert_eq!(world.asked, compared, "nothing more is asked");
}

/// But what is heard before that is held back until the archive tells its order.
#[test]
fn who_was_not_compared_after_a_resumption_is_told_in_the_order_of_the_archive() {
    let mut world = compared(managed(config()));
    resume(&mut world, 0, 1, 1, true, true);
    world.pass(secs(1));
    assert_eq!(
        world.told[world.told.len() - 3..],
        ["m1", "m2", "caught up"]
    );
}

/// The archive is read while what overtook is heard: to its end, and once more for that.
#[test]
fn what_overtakes_while_the_archive_is_read_is_in_its_order_as_well() {
    let mut world = compared(managed(config()));
    world.delays = true;
    resume(&mut world, 1, 0, 0, true, false);
    world.pass(Duration::ZERO);
    let answers = core::mem::take(&mut world.queue);
    assert_eq!(answers.len(), 1, "it shows m1");
    // m3 is heard, then m2.
    resume(&mut world, 0, 1, 1, false, false);
    world.delays = false;
    for answer in answers {
        world.peer.say(&answer);
    }
    world.serve();
    world.items[2].shown = true;
    world.pass(secs(1));
    world.items[3].shown = true;
    world.pass(secs(10));
    let told = world.told.iter().filter(|told| told.contains('m'));
    let told: Vec<_> = told.filter(|told| !told.starts_with("confirmed")).collect();
    assert_eq!(told, ["m1", "m2", "m3"], "{:?}", world.told);
}

/// Behind what is held back it did not read: that may be out of its order yet.
#[test]
fn a_comparison_that_stops_at_what_is_held_back_says_nothing_of_the_order_behind_it() {
    let mut world = compared(managed(small()));
    world.silent = true;
    for _ in 0..22 {
        world.say(true);
    }
    assert_eq!(world.told.last().unwrap(), "m20", "the rest is held back");
    resume(&mut world, 0, 0, 0, true, true);
    // Under way to the connection before.
    world.store(true, true);
    world.silent = false;
    while !world.told.contains(&"m22".to_owned()) {
        world.pass(secs(1));
    }
    world.store(true, true);
    for id in ["m24", "m23"] {
        world.peer.say(&message("bob", id, id));
    }
    world.pass(secs(10));
    assert_eq!(disorder(&world), None, "{:?}", world.told);
    assert_eq!(world.not_once(), []);
}
