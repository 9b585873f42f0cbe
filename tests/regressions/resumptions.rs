//! Resumptions in any phase, against an archive that may be slow.

use super::memory::{Item, World, is_message, limited};
use crate::peer::{BIND_SM, message};
use crate::*;
use parley_xmpp::{Bookmark, Start};
use proptest::prelude::*;

const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='600'/>";

fn quiet(mut config: parley_xmpp::Config) -> parley_xmpp::Config {
    config.anchor_at_join = false;
    config.timing.keepalive = secs(1_000_000);
    config.timing.self_ping = Duration::MAX;
    config
}

fn sm_peer(config: &parley_xmpp::Config) -> (Peer, RoomId) {
    let mut peer = Peer::new(config.clone());
    peer.acks = true;
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say(ENABLED);
    peer.events();
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    peer.shows = false;
    peer.acks = true;
    (peer, room)
}

/// A world over a stream that is managed.
pub(super) fn managed(config: parley_xmpp::Config) -> World {
    let config = quiet(config);
    let (peer, room) = sm_peer(&config);
    World {
        peer,
        room,
        subscription: None,
        config,
        items: vec![Item {
            id: "m0".into(),
            body: true,
            shown: true,
        }],
        refuses: false,
        silent: false,
        overlap: 0,
        bookmark: Bookmark::at(Cursor::parse("m0").unwrap()),
        told: Vec::new(),
        before: 0,
        asked: 0,
        delays: false,
        queue: Vec::new(),
    }
}

fn last(world: &World) -> String {
    let id = world.items.last().unwrap().id.clone();
    message("bob", &id, &id)
}

/// The archive's answers under way come.
fn release(world: &mut World) {
    world.delays = false;
    for answer in core::mem::take(&mut world.queue) {
        world.peer.say(&answer);
        world.take();
    }
    world.serve();
}

/// The link breaks; `pending` messages are said, and `overtaken`; it is resumed, and `new` are said
/// before what was overtaken comes.
pub(super) fn resume(
    world: &mut World,
    pending: usize,
    overtaken: usize,
    new: usize,
    shown: bool,
    serve: bool,
) {
    world.serve();
    cut(&mut world.peer);
    world.take();
    let mut queue = core::mem::take(&mut world.queue);
    for _ in 0..pending {
        world.store(true, shown);
        queue.push(last(world));
    }
    let mut late = Vec::new();
    for _ in 0..overtaken {
        world.store(true, shown);
        late.push(last(world));
    }
    let h = world.peer.sent;
    until_connect(&mut world.peer);
    world.peer.authenticate();
    world.peer.heard();
    world.peer.say(BIND_SM);
    let asked = world.peer.heard();
    assert!(asked.contains("<resume "), "{asked}");
    world.peer.say(&format!(
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>"
    ));
    for text in queue {
        world.peer.say(&text);
        world.take();
    }
    for _ in 0..new {
        world.store(true, shown);
        let text = last(world);
        world.peer.say(&text);
        world.take();
    }
    for text in late {
        world.peer.say(&text);
        world.take();
    }
    if serve {
        world.serve();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Said(usize, bool),
    Unplaced,
    Markers(usize),
    Unheard(usize),
    Shows,
    Away(usize, bool),
    Pass(u64),
    Takes,
    Delays,
    Release,
    Refuses(bool),
    Silent(bool),
    Resume(usize, usize, usize, bool, bool),
    Restart,
}

fn step(bad: bool) -> impl Strategy<Value = Step> {
    let hides = move |shown: bool| shown || !bad;
    prop_oneof![
        4 => (1..12_usize, any::<bool>()).prop_map(move |(n, shown)| Step::Said(n, hides(shown))),
        1 => Just(Step::Unplaced),
        2 => (1..20_usize).prop_map(Step::Markers),
        1 => (0..12_usize).prop_map(move |n| Step::Unheard(if bad { n } else { 0 })),
        3 => Just(Step::Shows),
        2 => (0..40_usize, any::<bool>()).prop_map(move |(n, r)| Step::Away(n, r && bad)),
        6 => (0..40_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Takes),
        3 => Just(Step::Delays),
        3 => Just(Step::Release),
        1 => any::<bool>().prop_map(move |r| Step::Refuses(r && bad)),
        2 => any::<bool>().prop_map(move |r| Step::Silent(r && bad)),
        8 => (0..6_usize, 0..3_usize, 0..4_usize, any::<bool>(), any::<bool>())
            .prop_map(move |(p, o, n, shown, serve)| Step::Resume(p, o, n, hides(shown), serve)),
        1 => Just(Step::Restart),
    ]
}

fn restart(world: &mut World, credit: u32) {
    let kept = world.bookmark.to_string();
    world.bookmark = Bookmark::parse(&kept).unwrap();
    (world.peer, world.room) = sm_peer(&world.config);
    world.queue.clear();
    world.delays = false;
    world.before = world.told.len();
    world.told.push("restart".into());
    world.read(credit);
}

fn run(steps: &[Step], remembered: usize, page: u32, held: usize, window: u32) -> World {
    run_over(0, steps, remembered, page, held, window)
}

/// The same with an archive whose pages overlap by so much.
fn run_over(
    overlap: usize,
    steps: &[Step],
    remembered: usize,
    page: u32,
    held: usize,
    window: u32,
) -> World {
    let mut world = managed(limited(remembered, page, held));
    world.overlap = overlap;
    world.read(window);
    let mut taken = 0;
    let takes = |world: &mut World, taken: &mut usize| {
        let told = world.told.iter().filter(|told| is_told(told)).count();
        let unread = told - core::mem::replace(taken, told);
        world.grant(u32::try_from(unread).unwrap());
        unread > 0
    };
    for step in steps {
        match *step {
            Step::Said(n, shown) => (0..n).for_each(|_| {
                world.store(true, shown);
                let text = last(&world);
                if world.queue.is_empty() {
                    world.peer.say(&text);
                    world.serve();
                } else {
                    world.queue.push(text);
                }
            }),
            Step::Unplaced => {
                let text = format!(
                    "<message from='{ROOM}/bob' type='groupchat' id='x{}'><body>x</body></message>",
                    world.told.len()
                );
                if world.queue.is_empty() {
                    world.peer.say(&text);
                    world.serve();
                } else {
                    world.queue.push(text);
                }
            }
            Step::Markers(n) => (0..n).for_each(|_| world.store(false, true)),
            Step::Unheard(n) => (0..n).for_each(|_| world.store(true, true)),
            Step::Shows => {
                world.refuses = false;
                world.show();
            }
            Step::Away(n, refuses) => {
                release(&mut world);
                world.away(|world| {
                    world.refuses |= refuses;
                    (0..n).for_each(|_| world.store(true, true));
                });
            }
            Step::Pass(time) => {
                if time > 20_000 {
                    // Else the archive is not answered in time.
                    release(&mut world);
                }
                world.pass(Duration::from_millis(time));
            }
            Step::Takes => drop(takes(&mut world, &mut taken)),
            Step::Delays => world.delays = true,
            Step::Release => release(&mut world),
            Step::Refuses(refuses) => world.refuses = refuses,
            Step::Silent(silent) => world.silent = silent,
            Step::Resume(p, o, n, shown, serve) => {
                let delays = world.delays;
                resume(&mut world, p, o, n, shown, serve);
                world.delays = delays;
            }
            Step::Restart => {
                restart(&mut world, window);
                taken = world.told.iter().filter(|told| is_told(told)).count();
                let since = world.told.iter().skip(world.before);
                taken -= since.filter(|told| is_told(told)).count();
            }
        }
    }
    world.refuses = false;
    world.silent = false;
    world.show();
    release(&mut world);
    for rounds in 0.. {
        world.pass(secs(700));
        if !takes(&mut world, &mut taken) && rounds > 4 {
            return world;
        }
        assert!(rounds < 2000, "it is told for ever");
    }
    unreachable!()
}

fn is_told(told: &str) -> bool {
    is_message(told) || told == "x" || told == "late x"
}

pub(super) fn disorder(world: &World) -> Option<String> {
    let mut most = 0;
    for told in world.told.iter().filter(|told| told.starts_with('m')) {
        let number: usize = told[1..].parse().unwrap();
        if number <= most {
            return Some(told.clone());
        }
        most = number;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(60, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..ProptestConfig::default()
    })]

    /// The archive does all that it should, if slowly.
    #[test]
    fn over_any_resumptions_a_good_archive_gives_all_in_order_and_no_gap(
        steps in proptest::collection::vec(step(false), 1..30),
        remembered in prop_oneof![8..40_usize, Just(1024)],
        page in 1..6_u32,
        held in 1..8_usize,
        window in 1..30_u32,
    ) {
        let world = run(&steps, remembered, page, held, window);
        let not_once = world.not_once();
        prop_assert!(not_once.is_empty(), "{not_once:?}: {:?}", world.told);
        let unplaced = steps.iter().any(|step| matches!(step, Step::Unplaced));
        let gap = world.told.iter().find(|told| told.starts_with("gap")
            && !(unplaced && told.contains("Overflow")));
        prop_assert!(gap.is_none(), "{gap:?} {:?}", world.told);
        let restarts = steps.iter().any(|step| matches!(step, Step::Restart));
        let disorder = disorder(&world);
        prop_assert!(disorder.is_none(), "{disorder:?} {:?}", world.told);
        let late = world.told.iter().find(|told| told.starts_with("late"));
        prop_assert!(restarts || late.is_none(), "{late:?} {:?}", world.told);
    }

    /// It refuses, is silent, shows late what was said, or repeats itself from page to page.
    #[test]
    fn over_any_resumptions_nothing_is_told_twice_nor_lost_in_silence(
        steps in proptest::collection::vec(step(true), 1..30),
        remembered in prop_oneof![0..40_usize, Just(1024)],
        page in 1..6_u32,
        held in 1..8_usize,
        window in 1..30_u32,
        overlap in prop_oneof![4 => Just(0_usize), 1 => 1..4_usize],
    ) {
        let world = run_over(overlap, &steps, remembered, page, held, window);
        let (lost, twice): (Vec<_>, Vec<_>) =
            world.not_once().into_iter().partition(|(_, times)| *times == 0);
        let has = |what: &str| world.told.iter().any(|told| told.starts_with(what));
        if has("gap CursorExpired") {
            return Ok(());
        }
        let restarts = steps.iter().any(|step| matches!(step, Step::Restart));
        let mut hidden = false;
        let late = steps.iter().any(|step| {
            match step {
                Step::Said(_, false) | Step::Resume(_, _, _, false, _) => hidden = true,
                Step::Shows => hidden = false,
                _ => {}
            }
            hidden && matches!(step, Step::Pass(_) | Step::Away(..) | Step::Resume(..))
        });
        if restarts && (late || remembered < 1024 && has("gap")) {
            // Nobody knows where what was told behind a gap lies.
            return Ok(());
        }
        prop_assert!(twice.is_empty(), "{twice:?}: {:?}", world.told);
        let hides = steps.iter().any(|step| matches!(step, Step::Said(_, false) | Step::Resume(_, _, _, false, _)));
        let found = !late && (remembered == 1024 || !hides);
        prop_assert!(!found || has("gap") || lost.is_empty(), "{lost:?}: {:?}", world.told);
        if !has("gap") {
            let disorder = disorder(&world);
            prop_assert!(disorder.is_none(), "{disorder:?} {:?}", world.told);
        }
    }
}

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
