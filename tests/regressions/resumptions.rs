//! Resumptions in any phase, against an archive that may be slow.

use super::memory::{Item, World, is_message, limited};
use crate::peer::{BIND_SM, message};
use crate::*;
use parley_xmpp::Bookmark;
use proptest::prelude::*;

const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='600'/>";

pub(super) fn quiet(mut config: parley_xmpp::Config) -> parley_xmpp::Config {
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

pub(super) fn last(world: &World) -> String {
    let id = world.items.last().unwrap().id.clone();
    message("bob", &id, &id)
}

/// The archive's answers under way come.
pub(super) fn release(world: &mut World) {
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
pub(super) enum Step {
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

pub(super) fn restart(world: &mut World, credit: u32) {
    let kept = world.bookmark.to_string();
    world.bookmark = Bookmark::parse(&kept).unwrap();
    (world.peer, world.room) = sm_peer(&world.config);
    world.queue.clear();
    world.delays = false;
    world.before = world.told.len();
    world.told.push("restart".into());
    world.read(credit);
}

pub(super) fn run(steps: &[Step], remembered: usize, page: u32, held: usize, window: u32) -> World {
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
