//! Bounds of the client that drawn worlds do not reach, reached in worlds of their own: what
//! the host and the wire see of it there, and that nothing is lost by it. The oracle watches.
//!
//! The others are set low elsewhere: `scram_iterations`, `write_bytes`, `remembered_ids` and
//! `page` in `tests/regressions`, `tests/hostile` and `tests/support/script.rs`, `kicks` in
//! `tests/supervisor`, `occupants` in `tests/hostile/muc.rs`, the bounds of XML in `tests/bounds.rs`, and what all of
//! them allow together in `tests/flood.rs`.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::sim::plan::{Fault, Order, Weather};
use parley_xmpp::sim::server::{Personality, ServerSetup};
use parley_xmpp::sim::{Bot, Hands, Happening, HostId, Member, Oracle, Side, Watch, World};
use parley_xmpp::{
    Config, Event, Fetch, Instant, JoinError, JoinRoom, Limits, Nick, OfflineCause, Post,
    PostError, QueryError, Start,
};

const ROOM: &str = "ops@muc.parley.local";
const LIMITED: HostId = HostId(0);
const OTHER: HostId = HostId(1);

/// What a world showed of the host with limits.
#[derive(Debug, Default)]
struct Seen {
    /// Attempts to connect.
    attempts: u32,
    /// Instants at which it took nothing from its transport.
    deaf: u32,
    /// What it wrote.
    written: String,
    /// Messages that it was given.
    given: usize,
    /// How streams ended.
    ends: Vec<OfflineCause>,
}

impl Watch for Seen {
    fn see(&mut self, _: Instant, happening: &Happening<'_>) {
        match happening {
            Happening::Opening { host, .. } if *host == LIMITED => self.attempts += 1,
            Happening::Held { host, reads, .. } if *host == LIMITED => {
                self.deaf += u32::from(!reads);
            }
            // Only the limited host has this on its wire: see `posts`.
            Happening::Written { by, bytes, .. } if *by == Side::Host => {
                self.written += &String::from_utf8_lossy(bytes);
            }
            Happening::Told { host, event } if *host == LIMITED => match event {
                Event::Entry { entry, .. } => {
                    let entry = format!("{entry:?}");
                    let message = entry.starts_with("Message") || entry.starts_with("Late");
                    self.given += usize::from(message);
                }
                Event::Offline { cause, .. } => self.ends.push(cause.clone()),
                _ => {}
            },
            _ => {}
        }
    }
}

struct Scene {
    world: World,
    oracle: Rc<RefCell<Oracle>>,
    seen: Rc<RefCell<Seen>>,
}

/// Two members, of whom the first has limits, in a room that both follow.
fn scene(limit: impl FnOnce(&mut Limits)) -> Scene {
    scene_of(limit, Box::new(|| Box::new(Member::new("ana"))))
}

fn scene_of(limit: impl FnOnce(&mut Limits), bot: Box<dyn FnMut() -> Box<dyn Bot>>) -> Scene {
    let mut setup = ServerSetup::new(Personality::Prosody, "parley.local");
    for name in ["ana", "bo"] {
        setup = setup.account(name, "secret");
    }
    setup.resumption = Some(Duration::from_secs(120));
    let mut world = World::new(5, Weather::calm(), setup);
    let oracle = Rc::new(RefCell::new(Oracle::new()));
    let seen = Rc::new(RefCell::new(Seen::default()));
    world.watch(Box::new(Rc::clone(&oracle)));
    world.watch(Box::new(Rc::clone(&seen)));
    let mut config = Config::new("parley.local", "ana", "secret").unwrap();
    limit(&mut config.limits);
    world.add_host(config, bot);
    let config = Config::new("parley.local", "bo", "secret").unwrap();
    world.add_host(config, Box::new(|| Box::new(Member::new("bo"))));
    let mut scene = Scene {
        world,
        oracle,
        seen,
    };
    for host in [LIMITED, OTHER] {
        scene.order(host, &Order::Join(ROOM.into()));
        scene.order(host, &Order::Follow(ROOM.into()));
    }
    scene.pass(10);
    scene
}

impl Scene {
    fn order(&mut self, host: HostId, order: &Order) {
        self.world.order(host, order);
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.world.now().plus(Duration::from_secs(seconds));
        self.world.run_until(end);
    }

    fn posts(&mut self, host: HostId, number: usize) {
        for number in 0..number {
            let text = format!("{} of {number}", host.0);
            self.order(host, &Order::Post(ROOM.into(), text));
        }
    }

    /// No rule was broken so far.
    fn keeps_every_rule(&self) {
        assert_eq!(self.oracle.borrow_mut().take_violations(), []);
    }

    /// No rule was broken, and the limited host was given so much.
    fn ends_well(mut self, given: usize) {
        self.pass(240);
        let mut oracle = self.oracle.borrow_mut();
        oracle.judge(self.world.now());
        assert_eq!(oracle.take_violations(), []);
        assert_eq!(self.seen.borrow().given, given);
    }
}

#[test]
fn events_that_nobody_takes_stop_the_reading() {
    let mut scene = scene(|limits| limits.events = 4);
    let lasts = Duration::from_secs(20);
    scene.world.fault(&Fault::Ignore {
        host: LIMITED,
        lasts,
    });
    scene.posts(OTHER, 50);
    scene.pass(10);
    assert!(scene.seen.borrow().deaf > 0);
    assert!(
        scene
            .oracle
            .borrow()
            .tally()
            .contains_key("reading stopped")
    );
    scene.ends_well(50);
}

#[test]
fn bytes_of_events_that_nobody_takes_stop_the_reading() {
    let mut scene = scene(|limits| limits.event_bytes = 512);
    let lasts = Duration::from_secs(20);
    scene.world.fault(&Fault::Ignore {
        host: LIMITED,
        lasts,
    });
    scene.posts(OTHER, 50);
    scene.pass(10);
    assert!(scene.seen.borrow().deaf > 0);
    scene.ends_well(50);
}

/// How many posts of the limited host are on the wire while it hears nothing.
fn written_unheard(limit: impl FnOnce(&mut Limits)) -> (usize, Scene) {
    let mut scene = scene(limit);
    let lasts = Duration::from_secs(8);
    scene.world.fault(&Fault::Stall {
        host: LIMITED,
        from: Side::Server,
        lasts,
    });
    scene.posts(LIMITED, 40);
    scene.pass(5);
    let written = scene.seen.borrow().written.matches("<body>0 of ").count();
    (written, scene)
}

#[test]
fn posts_wait_for_what_the_server_has_not_acknowledged() {
    let (written, scene) = written_unheard(|_| {});
    assert_eq!(written, 40);
    scene.ends_well(40);
    let (written, scene) = written_unheard(|limits| limits.unacked_stanzas = 8);
    assert!((1..=8).contains(&written), "{written}");
    scene.ends_well(40);
    let (written, scene) = written_unheard(|limits| limits.unacked_bytes = 2000);
    assert!((1..=12).contains(&written), "{written}");
    scene.ends_well(40);
}

#[test]
fn what_is_held_back_for_a_slow_reader_is_dropped_and_read_from_the_archive() {
    let queries = |limit: fn(&mut Limits)| {
        let mut scene = scene(limit);
        // It takes sixteen, and nobody grants it more for a while.
        let lasts = Duration::from_secs(5);
        scene.world.fault(&Fault::Ignore {
            host: LIMITED,
            lasts,
        });
        scene.posts(OTHER, 40);
        scene.pass(8);
        let archive = "urn:xmpp:mam:2";
        let queries = scene.seen.borrow().written.matches(archive).count();
        scene.ends_well(40);
        queries
    };
    let usual = queries(|_| {});
    let few = queries(|limits| limits.held_messages = 8);
    let light = queries(|limits| limits.held_bytes = 1000);
    assert!(few > usual && light > usual, "{usual}, {few}, {light}");
}

#[test]
fn a_stanza_that_is_too_large_ends_the_stream() {
    let mut scene = scene(|limits| limits.xml.stanza_bytes = 8 * 1024);
    let text = "long ".repeat(2000);
    scene.order(OTHER, &Order::Post(ROOM.into(), text));
    scene.pass(5);
    {
        let seen = scene.seen.borrow();
        assert!(matches!(seen.ends[..], [OfflineCause::Xml(_)]), "{seen:?}");
    }
    // It never ends there: the archive has it too. No other rule is broken by that.
    scene.keeps_every_rule();
}

#[test]
fn no_more_attempts_are_made_in_an_hour_than_allowed() {
    let mut scene = scene(|limits| limits.attempts_per_hour = 8);
    let lasts = Duration::from_secs(3000);
    scene.world.fault(&Fault::Refuse {
        host: LIMITED,
        lasts,
    });
    scene.world.fault(&Fault::Cut {
        host: LIMITED,
        from: Side::Server,
        after_bytes: 0,
        how: parley_xmpp::sim::Ending::Reset,
        linger: None,
    });
    scene.posts(OTHER, 1);
    scene.pass(3000);
    let attempts = scene.seen.borrow().attempts;
    assert!((4..=8).contains(&attempts), "{attempts}");
    // The oracle knows the default only, by which no pause is that long.
    for (_, violation) in scene.oracle.borrow_mut().take_violations() {
        assert!(violation.detail.starts_with("waits for "), "{violation:?}");
    }
}

/// Asks for more than it may, of everything.
struct Greedy {
    refused: Rc<RefCell<Vec<String>>>,
}

impl Bot for Greedy {
    fn started(&mut self, hands: &mut Hands<'_>) {
        let join = |name: &str| {
            let room = BareJid::parse(&format!("{name}@muc.parley.local")).unwrap();
            JoinRoom::new(room, Nick::Random)
        };
        let room = hands.join(&join("ops")).unwrap();
        let mut refused = self.refused.borrow_mut();
        let second = hands.join(&join("red"));
        assert_eq!(second, Err(JoinError::TooMany));
        refused.push("rooms".into());
        hands.subscribe(room, &Start::Now, 1).unwrap();
        let second = hands.subscribe(room, &Start::Now, 1);
        assert_eq!(second, Err(QueryError::TooManySubscriptions));
        refused.push("subscriptions".into());
        hands.fetch(room, &Fetch::newest(1)).unwrap();
        let second = hands.fetch(room, &Fetch::newest(1));
        assert_eq!(second, Err(QueryError::Busy));
        refused.push("queries".into());
        hands.post(room, &Post::new("first")).unwrap();
        let second = hands.post(room, &Post::new("second"));
        assert_eq!(second, Err(PostError::Busy));
        refused.push("posts".into());
    }

    fn told(&mut self, _: &mut Hands<'_>, _: Event) {}
}

#[test]
fn commands_above_a_bound_are_refused_and_the_others_are_done() {
    let refused = Rc::new(RefCell::new(Vec::new()));
    let of_bot = Rc::clone(&refused);
    let bot = move || -> Box<dyn Bot> {
        Box::new(Greedy {
            refused: Rc::clone(&of_bot),
        })
    };
    let limit = |limits: &mut Limits| {
        limits.rooms = 1;
        limits.subscriptions = 1;
        limits.queries = 1;
        limits.posts_per_room = 1;
    };
    let scene = scene_of(limit, Box::new(bot));
    assert_eq!(
        *refused.borrow(),
        ["rooms", "subscriptions", "queries", "posts"]
    );
    let committed = scene.oracle.borrow().tally().get("post committed").copied();
    assert_eq!(committed, Some(1));
    scene.ends_well(1);
}
