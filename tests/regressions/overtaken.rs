//! What a resumption leaves in doubt: what came out of its order, and whether all came.

use super::memory::{World, limited};
use super::resumptions::{Step, disorder, last, managed, quiet, release, restart, resume, run};
use crate::peer::BIND_SM;
use crate::*;
use parley_xmpp::{Bookmark, Start};

/// Waits for what stands still.
fn settle(world: &mut World) {
    world.pass(secs(100));
}

#[test]
fn a_now_that_is_asked_for_while_the_stream_is_resumed_lies_before_all_that_was_said() {
    let mut world = managed(config());
    world.bookmark = Bookmark::default();
    world.delays = true;
    let id = world
        .peer
        .engine
        .subscribe(world.peer.now, world.room, Start::Now, 99);
    world.subscription = Some(id.unwrap());
    // It is not written before the link breaks, so that it is asked over the new stream.
    let h = world.peer.sent;
    cut(&mut world.peer);
    world.take();
    world.store(true, true);
    let first = last(&world);
    until_connect(&mut world.peer);
    world.peer.authenticate();
    world.peer.heard();
    world.peer.say(BIND_SM);
    world.peer.heard();
    world.peer.say(&format!(
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>"
    ));
    world.store(true, true);
    let second = last(&world);
    world.peer.say(&second);
    world.peer.say(&first);
    world.delays = false;
    world.serve();
    // What is held back meanwhile is read behind it anyway: once is enough.
    assert_eq!(world.told, ["m1", "m2", "caught up"]);
    assert_eq!(world.asked, 5);
    settle(&mut world);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
}

#[test]
fn what_was_told_out_of_its_order_behind_a_gap_is_not_told_again_by_the_next_process() {
    for lags in [true, false] {
        let mut world = managed(config());
        world.read(99);
        settle(&mut world);
        world.refuses = !lags;
        resume(&mut world, 0, 1, 1, !lags, true);
        world.pass(secs(7));
        world.refuses = false;
        world.show();
        for time in [1, 10, 40, 700, 700] {
            world.pass(secs(time));
            let kept = world.bookmark.clone();
            let mut other = managed(config());
            std::mem::swap(&mut other.items, &mut world.items);
            other.told = world.told.clone();
            other.bookmark = kept;
            restart(&mut other, 99);
            settle(&mut other);
            assert_eq!(other.not_once(), [], "{lags} {time} {:?}", other.told);
            std::mem::swap(&mut other.items, &mut world.items);
        }
    }
}

/// One answer that fails is no reason for a gap, whatever failed long ago.
#[test]
fn an_archive_that_failed_long_ago_may_fail_once() {
    let mut world = managed(config());
    world.read(1_000_000);
    settle(&mut world);
    world.silent = true;
    (0..650).for_each(|_| world.say(true));
    for _ in 0..400 {
        if world.told.iter().any(|told| told.starts_with("gap")) {
            break;
        }
        world.pass(secs(1));
    }
    world.silent = false;
    world.pass(secs(5000));
    let gaps = |world: &World| world.told.iter().filter(|t| t.starts_with("gap")).count();
    let before = gaps(&world);
    // One answer is an error that passes.
    world.delays = true;
    resume(&mut world, 0, 1, 1, true, false);
    world.pass(Duration::ZERO);
    let sent = world.peer.heard();
    for query in queries(&sent) {
        world
            .peer
            .say(&failure(iq(query), "internal-server-error", "wait"));
    }
    world.delays = false;
    world.queue.clear();
    world.serve();
    settle(&mut world);
    assert_eq!(
        gaps(&world),
        before,
        "{:?}",
        &world.told[world.told.len() - 8..]
    );
}

/// What is heard after the resumption has its own time to be shown.
#[test]
fn an_archive_that_lags_by_less_than_it_may_is_no_gap_after_a_resumption() {
    for resumes in [false, true] {
        let mut world = managed(config());
        world.read(99);
        settle(&mut world);
        // Coming into the room, the archive lags by 4.8 s.
        world.away(|_| {});
        world.delays = true;
        let _ = world.peer.heard();
        world.delays = false;
        world.away(|world| world.store(true, false));
        settle(&mut world);
        world.show();
        world.peer.say(&dropped());
        world.take();
        for _ in 0..1000 {
            let sent = world.peer.heard();
            if !joins(&sent).is_empty() {
                world.peer.kept = sent;
                world.peer.let_in("ada", ROOM_FEATURES);
                break;
            }
            world.answer(&sent);
            turn(&mut world.peer);
            world.take();
        }
        // Heard while the archive is read, which does not show it.
        world.store(true, false);
        let text = last(&world);
        world.peer.say(&text);
        let first = world.items.len() - 1;
        world.serve();
        world.pass(Duration::from_millis(3000));
        // Resumed 3 s later: that takes some time too.
        let before = world.peer.now;
        if resumes {
            resume(&mut world, 1, 0, 0, false, true);
        } else {
            world.say(false);
        }
        let took = world.peer.now.since(before);
        let second = world.items.len() - 1;
        world.pass(Duration::from_millis(4800).saturating_sub(secs(3) + took));
        world.items[first].shown = true;
        world.pass(secs(3) + took);
        world.items[second].shown = true;
        settle(&mut world);
        assert!(
            !world.told.iter().any(|t| t.starts_with("gap")),
            "{resumes} {took:?} {:?}",
            world.told
        );
    }
}

/// No resumption, no gap, no small memory.
#[test]
fn what_is_late_before_the_end_of_a_catch_up_is_told_once() {
    for heard in [0, 1] {
        let mut config = quiet(config());
        config.limits.page = 10;
        let mut world = World::new(config);
        (heard..3).for_each(|_| world.store(true, true));
        world.read(1_000_000);
        (0..heard).for_each(|_| world.say(true));
        world.away(|world| {
            (0..887 - heard).for_each(|_| world.store(true, true));
            (0..10).for_each(|_| world.store(true, false));
            world.store(true, true);
        });
        world.show();
        world.away(|world| (0..heard).for_each(|_| world.store(true, true)));
        world.pass(secs(7000));
        assert_eq!(world.not_once(), [], "{heard}");
    }
}

/// What was held back and dropped with the room is forgotten when the archive shows it, not told
/// to be missing.
#[test]
fn what_a_reader_who_left_had_not_taken_is_no_gap_behind_much_that_was_missed() {
    let mut world = World::new(quiet(config()));
    world.read(1);
    (0..2).for_each(|_| world.say(true));
    world.away(|world| (0..1400).for_each(|_| world.store(true, true)));
    world.grant(1_000_000);
    settle(&mut world);
    assert_eq!(world.not_once(), []);
    assert!(
        !world.told.iter().any(|t| t.starts_with("gap")),
        "{:?}",
        &world.told[1390..]
    );
}

/// What is said is held back for a minute and a half at most where the archive does not answer.
#[test]
fn a_resumption_does_not_wait_for_ever_for_an_archive_that_does_not_answer() {
    let mut world = managed(config());
    world.read(1_000_000);
    settle(&mut world);
    for round in 0..3 {
        world.silent = true;
        resume(&mut world, 0, 1, 1, true, true);
        let mut time = 0;
        let told = world.told.len();
        while world.told.len() == told {
            world.pass(secs(1));
            time += 1;
        }
        assert!(time <= 100, "{round}: {time} s");
        world.pass(secs(1));
        world.silent = false;
        world.pass(secs(2000));
    }
    assert_eq!(world.not_once(), []);
}

/// A link that is resumed again and again: one question each time, or two.
#[test]
fn a_link_that_is_resumed_again_and_again_asks_little() {
    for busy in [1, 10] {
        let mut world = managed(config());
        world.read(1_000_000);
        settle(&mut world);
        let before = world.asked;
        for _ in 0..100 {
            resume(&mut world, 1, 1, busy, true, true);
            world.pass(secs(2));
        }
        let asked = world.asked - before;
        assert!(asked <= 220, "{busy}: {asked}");
        settle(&mut world);
        assert_eq!(world.not_once(), []);
        assert!(!world.told.iter().any(|told| told.starts_with("gap")));
        assert_eq!(disorder(&world), None);
    }
}

/// "Now" was never found: what comes first is told in order all the same.
#[test]
fn who_has_no_place_yet_is_told_in_order_after_a_resumption() {
    let mut world = managed(config());
    world.bookmark = Bookmark::default();
    world.refuses = true;
    let id = world
        .peer
        .engine
        .subscribe(world.peer.now, world.room, Start::Now, 99);
    world.subscription = Some(id.unwrap());
    world.serve();
    settle(&mut world);
    world.refuses = false;
    resume(&mut world, 0, 1, 1, true, true);
    settle(&mut world);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
    assert_eq!(disorder(&world), None, "{:?}", world.told);
}

/// What a comparison told late was forgotten behind a gap, and is read again after the cursor.
#[test]
fn what_was_told_late_before_a_gap_is_not_told_again_after_a_resumption() {
    let mut failures = Vec::new();
    for end in [
        Step::Pass(1),
        Step::Away(0, false),
        Step::Resume(0, 0, 1, false, false),
    ] {
        let steps = [
            Step::Away(11, false),
            Step::Said(10, false),
            Step::Takes,
            Step::Unheard(10),
            Step::Pass(5000),
            Step::Unplaced,
            end.clone(),
        ];
        let world = run(&steps, 32, 1, 1, 20);
        let twice: Vec<_> = world
            .not_once()
            .into_iter()
            .filter(|(_, n)| *n > 1)
            .collect();
        if !twice.is_empty() {
            failures.push(format!("{end:?} {twice:?} {:?}", world.told));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// An archive that lags shows what overtook nothing first.
#[test]
fn what_overtook_is_not_late_while_the_archive_shows_what_it_overtook() {
    let mut world = managed(config());
    world.read(99);
    settle(&mut world);
    // m2 is heard, then m1.
    resume(&mut world, 0, 1, 1, false, true);
    world.pass(secs(1));
    world.items[1].shown = true;
    world.pass(secs(3));
    world.items[2].shown = true;
    settle(&mut world);
    let told: Vec<_> = world
        .told
        .iter()
        .filter(|told| told.contains('m'))
        .collect();
    assert_eq!(told[..2], ["m1", "m2"], "{:?}", world.told);
}

/// What was said over a resumed stream was read from the archive before, then dropped with all
/// that was held back, and waited for: long after its place was passed, and forgotten.
#[test]
fn what_was_read_before_it_was_heard_is_not_waited_for() {
    let steps = [
        Step::Resume(0, 1, 0, true, false),
        Step::Pass(0),
        Step::Away(11, false),
        Step::Away(23, false),
        Step::Resume(3, 0, 3, true, false),
    ];
    let world = run(&steps, 32, 1, 6, 1);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
    let gap = world.told.iter().find(|told| told.starts_with("gap"));
    assert_eq!(gap, None, "{:?}", world.told);
}

/// An archive that showed what the room had not let us hear, and not yet what it had said before.
#[test]
fn what_was_not_heard_is_not_told_before_what_was_and_is_not_shown_yet() {
    let steps = [
        Step::Said(7, false),
        Step::Said(2, true),
        Step::Resume(0, 2, 3, true, false),
        Step::Pass(0),
        Step::Said(1, false),
        Step::Unheard(1),
        Step::Takes,
    ];
    let world = run(&steps, 32, 1, 6, 9);
    let told = || world.told.iter().skip_while(|told| *told != "m16");
    assert!(!told().any(|told| told == "m15"), "{:?}", world.told);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
}

/// The stream is resumed once more while the archive is read for the first time that it was: what
/// is heard next may be out of its order as well, whether the archive answers, lags or refuses.
#[test]
fn what_is_heard_after_a_second_resumption_is_read_in_its_order_as_well() {
    let first = |shown| Step::Resume(1, 0, 0, shown, false);
    let second = |shown| Step::Resume(0, 1, 1, shown, false);
    let pass = Step::Pass(0);
    for steps in [
        [
            first(false),
            Step::Shows,
            Step::Delays,
            pass.clone(),
            second(false),
        ],
        [
            Step::Delays,
            first(true),
            pass.clone(),
            second(true),
            pass.clone(),
        ],
        [
            Step::Refuses(true),
            Step::Delays,
            first(true),
            pass.clone(),
            second(true),
        ],
    ] {
        for refuses in [false, true] {
            let mut steps = steps.to_vec();
            if refuses {
                steps.insert(steps.len() - 1, Step::Refuses(true));
            }
            steps.push(Step::Pass(0));
            let world = run(&steps, 1024, 100, 100, 99);
            let told = &world.told;
            assert_eq!(disorder(&world), None, "{steps:?} {told:?}");
            assert_eq!(world.not_once(), [], "{steps:?} {told:?}");
        }
    }
}

/// What is heard while the archive is read for what overtook is no part of that, and not waited for.
#[test]
fn what_is_heard_behind_what_overtook_is_told_once_that_is_in_its_order() {
    let mut world = managed(config());
    world.read(1_000_000);
    world.pass(secs(700));
    world.delays = true;
    // m2 is heard, and m1.
    resume(&mut world, 0, 1, 1, true, false);
    world.pass(Duration::ZERO);
    assert_eq!(world.queue.len(), 1, "it shows both");
    world.say(false);
    let before = world.told.len();
    release(&mut world);
    assert_eq!(world.told[before..], ["m1", "m2", "caught up", "m3"]);
}

/// A catch-up of several pages that has to compare in between, resumed after each answer in turn.
#[test]
fn a_catch_up_goes_on_wherever_it_is_resumed() {
    for answers in 0..24 {
        let mut world = managed(limited(32, 8, 24));
        world.read(1_000_000);
        (0..10).for_each(|_| world.say(true));
        world.delays = true;
        world.away(|world| (0..30).for_each(|_| world.store(true, true)));
        for _ in 0..answers {
            if !world.queue.is_empty() {
                let answer = world.queue.remove(0);
                world.peer.say(&answer);
                world.take();
            }
            world.serve();
        }
        resume(&mut world, 0, 0, 0, true, false);
        world.delays = false;
        settle(&mut world);
        assert_eq!(world.not_once(), [], "after {answers}: {:?}", world.told);
        assert!(
            !world.told.iter().any(|told| told.starts_with("gap")),
            "after {answers}: {:?}",
            world.told
        );
    }
}
