//! Running a plan: a world is built, watched by the oracle, healed and judged.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use crate::sim::bot::Bot;
use crate::sim::happening::{Happening, Violation, Watch};
use crate::sim::member::Member;
use crate::sim::oracle::Oracle;
use crate::sim::plan::{Habits, Plan, What};
use crate::sim::server::ServerSetup;
use crate::sim::world::{Pulling, World};
use crate::{Config, Instant, Limits};

/// The domain of all plans.
const DOMAIN: &str = "parley.local";

/// For how long a broken stream can be resumed, where it can.
const RESUMABLE: Duration = Duration::from_secs(120);

/// Few rounds, so that a world's time does not go into PBKDF2.
const ROUNDS: u32 = 16;

/// Silence after which clients ask whether they are still in a room.
const SELF_PING: Duration = Duration::from_secs(60);

/// The address of a plan's room.
pub(in crate::sim) fn room(name: &str) -> String {
    format!("{name}@muc.{DOMAIN}")
}

/// The password of a plan's account, unless it is changed.
pub(in crate::sim) fn password(account: &str) -> String {
    format!("{account}'s secret")
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The rules that were broken, in the order in which it was noticed.
    pub violations: Vec<(Instant, Violation)>,
    /// The hash of all that happened.
    pub hash: u64,
    /// How often what happened: faults by kind, posts by outcome, and the paths that
    /// are of interest (`resumed`, `gap`, `rejoined`, ...).
    pub tally: BTreeMap<&'static str, u64>,
}

/// Runs a plan from its beginning to its end, with a [`Member`] on each host.
#[must_use]
pub fn run(plan: &Plan, pulling: Pulling, watchers: Vec<Box<dyn Watch>>) -> Report {
    let mut limits = Limits::default();
    habitual(&mut limits, plan.habits);
    let oracle = Oracle::new()
        .holding(limits.held_messages)
        .remembering(limits.remembered_ids);
    let oracle = Rc::new(RefCell::new(oracle));
    let mut world = build(plan, pulling, &oracle, watchers);
    for (number, account) in plan.hosts.iter().enumerate() {
        let Some(config) = config(account, number, plan.habits) else {
            continue;
        };
        let first = plan.hosts.first().filter(|_| plan.habits.one_nick);
        let nick = first.unwrap_or(account).clone();
        let insists = plan.habits.insist;
        let program = move || -> Box<dyn Bot> {
            let member = Member::new(&nick);
            Box::new(if insists { member.insisting() } else { member })
        };
        let host = world.add_host(config, Box::new(program));
        if let Some(tick) = plan.habits.tick {
            world.coarse_clock(host, tick);
        }
    }
    let mut healed = false;
    for step in &plan.steps {
        if step.at > plan.end_at {
            break;
        }
        if !healed && step.at >= plan.heal_at {
            healed = true;
            world.run_until(plan.heal_at);
            world.heal();
        }
        // What goes wrong from the first instant on befalls the first connection too.
        let at_once = matches!(step.what, What::Fault(_)) && step.at == world.now();
        if !at_once {
            world.run_until(step.at);
        }
        match &step.what {
            What::Order(host, order) => world.order(*host, order),
            What::Fault(fault) if !healed => world.fault(fault),
            What::Fault(_) => {}
        }
    }
    if !healed {
        world.run_until(plan.heal_at);
        world.heal();
    }
    world.run_until(plan.end_at);
    let hash = world.hash();
    let mut oracle = oracle.borrow_mut();
    oracle.judge(plan.end_at);
    Report {
        violations: oracle.take_violations(),
        hash,
        tally: oracle.tally().clone(),
    }
}

fn build(
    plan: &Plan,
    pulling: Pulling,
    oracle: &Rc<RefCell<Oracle>>,
    watchers: Vec<Box<dyn Watch>>,
) -> World {
    let mut setup = ServerSetup::new(plan.personality, DOMAIN);
    for account in &plan.hosts {
        if setup.accounts.iter().all(|(known, _)| known != account) {
            setup = setup.account(account, &password(account));
        }
    }
    setup.seed = plan.seed;
    setup.resumption = plan.resumption.then_some(RESUMABLE);
    setup.page_cap = plan.page_cap;
    setup.rounds = ROUNDS;
    setup.channel_binding = true;
    let mut world = World::new(plan.seed, plan.weather.clone(), setup);
    world.pulling(pulling);
    world.watch(Box::new(Judge {
        oracle: Rc::clone(oracle),
        watchers,
    }));
    world
}

/// The configuration of a host. Its resource is its own, so that a new process takes
/// the place of the one before it, unless hosts are to put each other out.
fn config(account: &str, number: usize, habits: Habits) -> Option<Config> {
    let number = if habits.one_resource { 0 } else { number };
    let config = Config::new(DOMAIN, account, &password(account)).ok()?;
    let mut config = config.resource(&format!("h{number}")).ok()?;
    config.limits.scram_iterations.0 = ROUNDS;
    // Five minutes by default: longer than a plan gives its clients to recover.
    config.timing.self_ping = SELF_PING;
    habitual(&mut config.limits, habits);
    Some(config)
}

/// The limits of a host with these habits.
fn habitual(limits: &mut Limits, habits: Habits) {
    if let Some(remembered) = habits.remembered {
        limits.page = remembered / 4;
        let remembered = usize::try_from(remembered).unwrap_or(usize::MAX);
        limits.remembered_ids = remembered;
        limits.held_messages = remembered.saturating_sub(remembered / 4);
    }
    if let Some(held) = habits.held {
        limits.held_messages = usize::try_from(held).unwrap_or(usize::MAX);
    }
}

/// The oracle, and behind it those who want to know what it finds.
struct Judge {
    oracle: Rc<RefCell<Oracle>>,
    watchers: Vec<Box<dyn Watch>>,
}

impl Judge {
    fn show(&mut self, at: Instant, happening: &Happening<'_>) {
        for watcher in &mut self.watchers {
            watcher.see(at, happening);
        }
    }
}

impl Watch for Judge {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        self.show(at, happening);
        let fresh = {
            let mut oracle = self.oracle.borrow_mut();
            oracle.see(at, happening);
            oracle.fresh()
        };
        for (at, violation) in fresh {
            self.show(at, &Happening::Violated(&violation));
        }
    }
}
