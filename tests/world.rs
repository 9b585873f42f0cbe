//! The world by itself: bots over engines, a server, a network that fails.

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
use parley_xmpp::sim::server::{Operation, Personality, ServerSetup};
use parley_xmpp::sim::{Bot, Ending, Hands, HostId, Pulling, Side, World};
use parley_xmpp::{
    Config, Entry, Event, Instant, JoinRoom, Nick, Post, PostOutcome, RoomEvent, RoomId, Start,
};

const ROOM: &str = "ops@muc.parley.local";

/// What the bots of a test heard and were told.
#[derive(Debug, Default)]
struct Heard {
    bodies: Vec<String>,
    outcomes: Vec<&'static str>,
    caught_up: u32,
    offline: u32,
}

/// Joins, follows, and posts what it is ordered to.
struct Parrot {
    room: Option<RoomId>,
    heard: Rc<RefCell<Heard>>,
}

impl Bot for Parrot {
    fn started(&mut self, hands: &mut Hands<'_>) {
        let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Random);
        let room = hands.join(&join).unwrap();
        self.room = Some(room);
        hands.subscribe(room, &Start::Now, u32::MAX).unwrap();
    }

    fn told(&mut self, _: &mut Hands<'_>, event: Event) {
        let mut heard = self.heard.borrow_mut();
        match event {
            Event::Entry { entry, .. } => match entry {
                Entry::Message(message) => heard.bodies.push(message.body),
                Entry::CaughtUp { .. } => heard.caught_up += 1,
                Entry::Confirmed { .. } => {}
                other => panic!("{other:?}"),
            },
            Event::Post { outcome, .. } => heard.outcomes.push(match outcome {
                PostOutcome::Committed { .. } => "committed",
                PostOutcome::Unknown { .. } => "unknown",
                PostOutcome::NotSent(_) => "not sent",
                other => panic!("{other:?}"),
            }),
            Event::Offline { .. } => heard.offline += 1,
            Event::Room {
                event: RoomEvent::JoinFailed { error, .. },
                ..
            } => panic!("{error:?}"),
            _ => {}
        }
    }

    fn ordered(&mut self, hands: &mut Hands<'_>, order: &Order) {
        if let Order::Post(_, text) = order {
            hands.post(self.room.unwrap(), &Post::new(text)).unwrap();
        }
    }
}

struct Scene {
    world: World,
    heard: Vec<Rc<RefCell<Heard>>>,
}

fn scene(seed: u64, personality: Personality) -> Scene {
    let weather = Weather {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(30),
        packet: 200,
        bandwidth: None,
    };
    let mut setup = ServerSetup::new(personality, "parley.local");
    for name in ["u0", "u1"] {
        setup = setup.account(name, "secret");
    }
    let mut world = World::new(seed, weather, setup);
    let heard: Vec<Rc<RefCell<Heard>>> = (0..2).map(|_| Rc::default()).collect();
    for (index, heard) in heard.iter().enumerate() {
        let config = Config::new("parley.local", &format!("u{index}"), "secret").unwrap();
        let heard = Rc::clone(heard);
        world.add_host(
            config,
            Box::new(move || {
                Box::new(Parrot {
                    room: None,
                    heard: Rc::clone(&heard),
                })
            }),
        );
    }
    Scene { world, heard }
}

fn say(scene: &mut Scene, host: usize, text: &str) {
    let order = Order::Post(ROOM.into(), text.into());
    scene.world.order(HostId(host), &order);
}

fn wait(scene: &mut Scene, seconds: u64) {
    let end = scene.world.now().plus(Duration::from_secs(seconds));
    scene.world.run_until(end);
}

#[test]
fn two_bots_hear_each_other() {
    for personality in [Personality::Prosody, Personality::Ejabberd] {
        let mut scene = scene(1, personality);
        wait(&mut scene, 5);
        say(&mut scene, 0, "hello");
        say(&mut scene, 1, "good day");
        wait(&mut scene, 5);
        for heard in &scene.heard {
            let heard = heard.borrow();
            assert_eq!(heard.bodies.len(), 2, "{personality:?} {heard:?}");
            assert_eq!(heard.outcomes, ["committed"]);
            assert_eq!((heard.caught_up, heard.offline), (1, 0));
        }
    }
}

#[test]
fn what_is_said_while_a_link_is_cut_is_heard_afterwards() {
    for how in [Ending::Fin, Ending::Reset, Ending::Silence] {
        let mut scene = scene(2, Personality::Prosody);
        wait(&mut scene, 5);
        scene.world.fault(&Fault::Cut {
            host: HostId(0),
            from: Side::Server,
            after_bytes: 0,
            how,
            linger: None,
        });
        say(&mut scene, 1, "while you are away");
        wait(&mut scene, 300);
        let heard = scene.heard[0].borrow();
        assert_eq!(heard.bodies, ["while you are away"], "{how:?} {heard:?}");
        assert_eq!(heard.offline, 1, "{how:?}");
    }
}

#[test]
fn a_server_that_crashes_comes_back_with_its_archive() {
    let mut scene = scene(3, Personality::Ejabberd);
    wait(&mut scene, 5);
    say(&mut scene, 0, "before");
    wait(&mut scene, 1);
    scene.world.fault(&Fault::Server(Operation::Crash {
        lost_messages: 0,
        lost_rooms: false,
    }));
    wait(&mut scene, 10);
    scene.world.fault(&Fault::Server(Operation::Start));
    wait(&mut scene, 120);
    say(&mut scene, 1, "after");
    wait(&mut scene, 5);
    for heard in &scene.heard {
        assert_eq!(heard.borrow().bodies, ["before", "after"]);
    }
}

/// What a run comes to, pulled in a way of its own.
fn run(pulling: Pulling) -> u64 {
    let mut scene = scene(4, Personality::Prosody);
    scene.world.pulling(pulling);
    for round in 0..20 {
        wait(&mut scene, 3);
        say(&mut scene, round % 2, &format!("message {round}"));
        if round % 5 == 0 {
            scene.world.fault(&Fault::Cut {
                host: HostId(round % 2),
                from: Side::Host,
                after_bytes: 100,
                how: Ending::Reset,
                linger: None,
            });
        }
    }
    wait(&mut scene, 200);
    assert_eq!(scene.heard[1].borrow().outcomes.len(), 10);
    scene.world.hash()
}

#[test]
fn the_same_world_twice_is_the_same_however_hosts_pull() {
    let usual = run(Pulling::default());
    assert_eq!(run(Pulling::default()), usual);
    let lazy = Pulling {
        eager: false,
        ..Pulling::default()
    };
    assert_eq!(run(lazy), usual);
    let bytewise = Pulling {
        piece: 1,
        ..Pulling::default()
    };
    assert_eq!(run(bytewise), usual);
}

#[test]
fn a_million_seconds_pass_quickly() {
    let mut scene = scene(5, Personality::Prosody);
    for day in 0..12 {
        wait(&mut scene, 86_400);
        say(&mut scene, day % 2, "good morning");
    }
    wait(&mut scene, 10);
    assert!(scene.world.now() > Instant::from_millis(1_000_000_000));
    assert_eq!(scene.heard[0].borrow().bodies.len(), 12);
    assert_eq!(scene.heard[0].borrow().offline, 0);
}
