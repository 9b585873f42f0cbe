//! When a subscription compares what it was told with its archive, and when it asks nothing.

use super::memory::{Item, World, is_message, limited};
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

/// Nor does what is heard hurry one that is under way already, for another reason.
#[test]
fn one_comparison_is_under_way_at_a_time_whatever_it_began_for() {
    let mut world = standing();
    let before = world.asked;
    world.silent = true;
    let began = world.peer.now;
    while world.asked == before {
        assert!(world.peer.now.since(began) < secs(7200), "no comparison");
        turn(&mut world.peer);
        world.serve();
    }
    for _ in 0..9 {
        world.say(true);
    }
    world.pass(Duration::ZERO);
    assert_eq!(world.asked, before + 1);
}

/// What the archive does not show is compared again after a while; as soon as the memory is full, at
/// once.
#[test]
fn what_is_compared_in_vain_is_compared_at_once_when_no_more_can_be_remembered() {
    let mut world = standing();
    let mut asked = world.asked;
    for n in 1..=20 {
        world.say(false);
        world.pass(Duration::ZERO);
        let asks = matches!(n, 8 | 20);
        assert_eq!(world.asked > asked, asks, "after {n}");
        asked = world.asked;
    }
}

/// In a busy room all is read twice, and not three times: from where the last one ended.
#[test]
fn what_is_heard_soon_after_is_compared_from_where_the_last_comparison_ended() {
    let mut world = standing();
    (0..8).for_each(|_| world.say(true));
    world.pass(Duration::ZERO);
    world.silent = true;
    (0..8).for_each(|_| world.say(true));
    turn(&mut world.peer);
    let asked = world.peer.heard();
    // Right before it, so that it shows the place.
    assert!(asked.contains("<after>m7</after>"), "{asked}");
}

/// A room that has no archive any more is not asked for it.
#[test]
fn what_was_due_is_not_compared_in_a_room_without_an_archive() {
    let mut world = standing();
    world.silent = true;
    (0..9).for_each(|_| world.say(true));
    world.pass(Duration::ZERO);
    world.peer.say(&dropped());
    knock_again(&mut world.peer);
    world.peer.let_in("ada", "");
    world.peer.events();
    world.peer.heard();
    for _ in 0..20 {
        world.peer.say(&message("bob", "x", "x"));
        world.peer.pass(secs(60));
        let sent = world.peer.heard();
        assert_eq!(queries(&sent), [""; 0]);
    }
}

/// What was told already takes no credit: a comparison passes it and ends.
#[test]
fn a_comparison_needs_no_credit_for_what_was_told() {
    let mut world = World::new(small());
    world.read(3);
    (0..2).for_each(|_| world.say(true));
    world.pass(secs(1));
    // The room dropped it on its way to us.
    let id = "mx".to_owned();
    let (body, shown) = (true, true);
    world.items.insert(1, Item { id, body, shown });
    world.pass(secs(60));
    assert_eq!(world.told, ["caught up", "m1", "m2", "late mx"]);
    // With the second comparison.
    world.grant(9);
    world.pass(secs(5));
    assert_eq!(world.told[4..], ["confirmed"]);
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

/// A full reader: twenty were heard since anything was compared, and one more is held back. Of what
/// is heard the archive shows `shown`; the other items are for the test to put in.
fn full(shown: impl Fn(usize) -> bool) -> World {
    let mut world = standing();
    (1..=20).for_each(|n| world.say(shown(n)));
    world.say(true);
    assert_eq!(world.told.last().unwrap(), "m20", "m21 is held back");
    world
}

/// The archive has this, which the room did not say to us, before that item.
fn unheard(world: &mut World, id: &str, before: &str) {
    let at = world.items.iter().position(|item| item.id == before);
    let id = id.to_owned();
    let (body, shown) = (true, true);
    world.items.insert(at.unwrap(), Item { id, body, shown });
}

/// The messages that were told behind that one.
fn told_since(world: &World, id: &str) -> Vec<String> {
    let at = world.told.iter().position(|told| told == id).unwrap();
    let told = world.told[at + 1..].iter();
    told.filter(|told| is_message(told)).cloned().collect()
}

/// The archive does not show yet where the reader stands: what it shows behind that may be before
/// or behind it, and is not told until it does.
#[test]
fn what_may_be_the_next_is_not_told_late() {
    let mut world = full(|n| n < 20);
    unheard(&mut world, "mx", "m21");
    world.pass(secs(1));
    assert_eq!(told_since(&world, "m20"), ["m21"]);
    world.show();
    world.pass(secs(4000));
    assert_eq!(told_since(&world, "m20"), ["m21", "late mx"]);
}

/// But what it shows before something that the reader was told is late.
#[test]
fn what_lies_before_what_was_told_is_told_late_though_the_place_is_not_shown() {
    let mut world = full(|n| n < 20);
    unheard(&mut world, "mx", "m19");
    world.pass(secs(1));
    assert_eq!(told_since(&world, "m20"), ["late mx", "m21"]);
}

/// A page of what was not told, and something told on the next: the reader is late for what lies
/// before that, and for no more.
#[test]
fn what_was_seen_ahead_makes_late_what_lies_before_it_and_no_more() {
    let mut world = full(|n| n == 1);
    let late: Vec<_> = (1..=8).map(|n| format!("mx{n}")).collect();
    for id in &late {
        unheard(&mut world, id, "m1");
    }
    unheard(&mut world, "my", "m21");
    world.pass(secs(1));
    let late: Vec<_> = late.iter().map(|id| format!("late {id}")).collect();
    assert_eq!(told_since(&world, "m20"), late);
}

/// More late messages than are remembered, while one is held back: each is told once, and where that
/// has come to is confirmed on the way, so that the next process is not told again.
#[test]
fn more_late_messages_than_are_remembered_are_told_once_while_one_is_held_back() {
    for (shown, wait, then) in [20, 19, 10, 1, 0].into_iter().flat_map(|shown| {
        let waits = [0, 1, 30, 700].into_iter();
        waits.flat_map(move |wait| (0..3).map(move |then| (shown, wait, then)))
    }) {
        let mut world = full(|n| n <= shown);
        for n in 1..=100 {
            unheard(&mut world, &format!("mx{n}"), "m1");
        }
        world.pass(secs(wait));
        match then {
            0 => world.restart(1_000_000),
            1 => world.away(|_| {}),
            _ => {}
        }
        world.pass(secs(1));
        world.show();
        world.pass(secs(4000));
        let case = format!("{shown} shown, {wait} s, {then}");
        let not_once = world.not_once();
        let twice = not_once.iter().any(|(_, times)| *times > 1);
        let gap = world.told.iter().any(|told| told.starts_with("gap"));
        assert!(
            !twice && (gap || not_once.is_empty()),
            "{case}: {:?}",
            world.told
        );
        // Archives have five seconds to show what was said.
        assert!(!gap || wait > 5, "{case}: {:?}", world.told);
    }
}

/// Five were heard, of which the archive shows these; and a hundred that were not, between the first
/// two of them.
fn a_hundred_late(shown: &[usize]) -> World {
    let mut world = standing();
    (1..=5).for_each(|n| world.say(shown.contains(&n)));
    for n in 1..=100 {
        unheard(&mut world, &format!("mx{n}"), "m2");
    }
    world.pass(secs(60));
    world
}

/// Behind what it has come by of what was told in its turn, more was told late than is remembered:
/// to compare from there again would tell that again.
#[test]
fn what_was_forgotten_behind_what_was_come_by_is_not_told_again() {
    let mut world = a_hundred_late(&[1]);
    world.pass(secs(4000));
    world.show();
    world.pass(secs(4000));
    let twice: Vec<_> = world
        .not_once()
        .into_iter()
        .filter(|(_, n)| *n > 1)
        .collect();
    assert_eq!(twice, [], "{:?}", world.told);
}

/// Unless more of that comes behind it: then nothing is in doubt.
#[test]
fn what_was_forgotten_before_what_was_come_by_is_no_gap() {
    for shown in [&[1, 2][..], &[1, 2, 5], &[1, 5]] {
        let mut world = a_hundred_late(shown);
        world.pass(secs(4000));
        world.show();
        world.pass(secs(4000));
        assert_eq!(world.not_once(), [], "{shown:?}: {:?}", world.told);
        let gap = world.told.iter().find(|told| told.starts_with("gap"));
        assert_eq!(gap, None, "{shown:?}: {:?}", world.told);
    }
}
