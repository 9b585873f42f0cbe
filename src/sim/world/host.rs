//! A host: a process with an engine and a bot, and what it keeps when the process dies.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Pulling;
use super::eyes::Eyes;
use super::hands::Hands;
use crate::sim::bot::Bot;
use crate::sim::happening::{Ending, Happening, HostId, LinkId, Side};
use crate::sim::plan::{Effect, Mishap, Order};
use crate::sim::random::Random;
use crate::{Config, Deadline, Engine, Event, Instant, Seed, Transport};

/// What a host's transport may be told at a time, and how long it then needs.
const PACE: Duration = Duration::from_millis(1);

/// A host of the world.
pub(super) struct Host {
    pub(super) id: HostId,
    config: Config,
    make: Box<dyn FnMut() -> Box<dyn Bot>>,
    seeds: Random,
    pub(super) direct_tls: bool,
    /// Its clock shows whole multiples of this.
    pub(super) tick: Option<Duration>,
    pub(super) process: Option<Process>,
    pub(super) kept: BTreeMap<String, String>,
    /// What was kept when it was copied last.
    pub(super) backup: Option<BTreeMap<String, String>>,
    pub(super) orders: VecDeque<Order>,
    /// How many links it had.
    pub(super) links: u64,
    pub(super) trouble: Trouble,
}

/// A running process.
pub(super) struct Process {
    /// To be looked at; what changes it goes through [`Self::drive`].
    pub(super) engine: Engine,
    /// It was driven since what it holds was looked at.
    driven: bool,
    bot: Box<dyn Bot>,
    pub(super) link: Option<LinkId>,
    pub(super) attempt: Option<u32>,
    wake: Option<Instant>,
    /// Pulled and not yet given to the bot.
    pulled: VecDeque<Event>,
}

impl Process {
    /// The engine, to be driven.
    pub(super) const fn drive(&mut self) -> &mut Engine {
        self.driven = true;
        &mut self.engine
    }
}

/// What befalls a host for now.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) starts_at: Option<Instant>,
    pub(super) frozen_until: Option<Instant>,
    pub(super) ignores_until: Option<Instant>,
    pub(super) refused_until: Option<Instant>,
    /// Its connections are not answered until then.
    pub(super) unanswered_until: Option<Instant>,
    /// The server's name is not found until then.
    pub(super) nameless_until: Option<Instant>,
    /// Bytes a second that the host writes, and that are for it, and until when.
    pub(super) throttle: [Option<(u32, Instant)>; 2],
    pub(super) tls_fails: Option<bool>,
    pub(super) small_writes: Option<usize>,
    pub(super) paced_until: Option<Instant>,
    /// Bytes the host wrote, and bytes for it, arrive only then.
    pub(super) stalled: [Option<Instant>; 2],
    pub(super) cuts: Vec<Cut>,
    /// So many timers go off in time, and the next one so late.
    pub(super) skew: Option<(u32, Duration)>,
    /// A timer was held back, and is not any more: it goes off late by what it was.
    overdue: bool,
    /// The timer that is asked for early.
    pub(super) early: Option<Early>,
    /// So many steps of its kind go well, and this befalls the next one.
    pub(super) mishap: Option<(u32, Mishap)>,
    /// How far its clock is ahead of the world's.
    pub(super) ahead: Duration,
}

/// A cut that waits for its byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) from: Side,
    pub(super) left: u64,
    pub(super) how: Ending,
    pub(super) linger: Option<Duration>,
}

/// A timer that waits to be asked for early.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    /// So many are armed before it.
    left: u32,
    by: Duration,
    /// The deadline that was seen last.
    seen: Option<Deadline>,
    /// That is the one.
    found: bool,
}

impl Early {
    pub(super) const fn new(left: u32, by: Duration) -> Self {
        Self {
            left,
            by,
            seen: None,
            found: false,
        }
    }

    /// Takes in the engine's deadline. Returns whether it is this timer's hour.
    fn see(&mut self, deadline: Option<Deadline>, clock: Instant) -> bool {
        let Some(deadline) = deadline.filter(|deadline| deadline.at > clock) else {
            return false;
        };
        if self.found && self.seen != Some(deadline) {
            // It was disarmed, or went off, before its hour: no other takes its place.
            return false;
        }
        if self.seen != Some(deadline) {
            self.seen = Some(deadline);
            self.found = self.left == 0;
            self.left = self.left.saturating_sub(1);
        }
        self.found && clock.plus(self.by) >= deadline.at
    }

    /// When its hour is, on the host's clock.
    fn next(&self) -> Option<Instant> {
        let seen = self.seen.filter(|_| self.found)?;
        let by = u64::try_from(self.by.as_micros()).unwrap_or(u64::MAX);
        Some(Instant::from_micros(seen.at.as_micros().saturating_sub(by)))
    }
}

/// Whether an instant lies ahead.
pub(super) fn ahead(until: Option<Instant>, now: Instant) -> bool {
    until.is_some_and(|until| until > now)
}

impl Trouble {
    pub(super) fn is_frozen(&self, now: Instant) -> bool {
        ahead(self.frozen_until, now)
    }

    pub(super) const fn stalled(&self, from: Side) -> Option<Instant> {
        let [host, server] = self.stalled;
        match from {
            Side::Host => host,
            Side::Server => server,
        }
    }

    pub(super) const fn stall(&mut self, from: Side, until: Instant) {
        let [host, server] = &mut self.stalled;
        match from {
            Side::Host => *host = Some(until),
            Side::Server => *server = Some(until),
        }
    }

    /// So many bytes a second are carried of what this side writes, if that is bounded.
    pub(super) fn rate(&self, from: Side, now: Instant) -> Option<u32> {
        let [host, server] = self.throttle;
        let throttle = match from {
            Side::Host => host,
            Side::Server => server,
        };
        throttle
            .filter(|(_, until)| *until > now)
            .map(|(rate, _)| rate)
    }

    pub(super) const fn slow_down(&mut self, from: Side, rate: u32, until: Instant) {
        let [host, server] = &mut self.throttle;
        match from {
            Side::Host => *host = Some((rate, until)),
            Side::Server => *server = Some((rate, until)),
        }
    }

    /// How many of `bytes` arrive before the next cut.
    pub(super) fn before_cut(&self, from: Side, bytes: usize) -> usize {
        self.cuts
            .iter()
            .filter(|cut| cut.from == from)
            .filter_map(|cut| usize::try_from(cut.left).ok())
            .fold(bytes, usize::min)
    }

    /// So many bytes arrived.
    pub(super) fn count(&mut self, from: Side, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        for cut in self.cuts.iter_mut().filter(|cut| cut.from == from) {
            cut.left = cut.left.saturating_sub(bytes);
        }
    }

    /// A cut whose byte has come.
    pub(super) fn take_cut(&mut self) -> Option<Cut> {
        let at = self.cuts.iter().position(|cut| cut.left == 0)?;
        Some(self.cuts.swap_remove(at))
    }

    /// The host takes a step: what befalls it, if it is the one that a mishap waits for.
    pub(super) fn befalls(&mut self, effect: Effect) -> Option<Mishap> {
        let (left, what) = self.mishap.filter(|(_, what)| what.effect() == effect)?;
        self.mishap = left.checked_sub(1).map(|left| (left, what));
        (left == 0).then_some(what)
    }

    /// How late the next timer goes off.
    fn late(&self) -> Duration {
        let skew = self.skew.filter(|(after, _)| *after == 0);
        skew.map_or(Duration::ZERO, |(_, by)| by)
    }

    /// A timer went off.
    const fn went_off(&mut self) {
        self.skew = match self.skew {
            Some((after, by)) if after > 0 => Some((after.saturating_sub(1), by)),
            _ => None,
        };
    }

    /// The end of everything but the clock's lead and a restart under way.
    fn heal(&mut self) {
        let (ahead, starts_at) = (self.ahead, self.starts_at);
        *self = Self::default();
        (self.ahead, self.starts_at) = (ahead, starts_at);
    }

    /// The next instant at which something of it ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let [host, server] = self.stalled;
        [
            self.starts_at,
            self.frozen_until,
            self.ignores_until,
            self.paced_until,
            host,
            server,
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > now)
        .min()
    }
}

impl Host {
    pub(super) fn new(
        id: HostId,
        config: Config,
        make: Box<dyn FnMut() -> Box<dyn Bot>>,
        seed: u64,
    ) -> Self {
        Self {
            id,
            config,
            make,
            seeds: Random::stream(seed, &format!("host {}", id.0)),
            direct_tls: false,
            tick: None,
            process: None,
            kept: BTreeMap::new(),
            backup: None,
            orders: VecDeque::new(),
            links: 0,
            trouble: Trouble::default(),
        }
    }

    /// How much its engine holds, and may hold at most, if that may be news.
    pub(super) fn held(&mut self) -> Option<Happening<'static>> {
        let process = self.process.as_mut()?;
        if !core::mem::take(&mut process.driven) {
            return None;
        }
        let engine = &process.engine;
        let wants = engine.wants();
        Some(Happening::Held {
            host: self.id,
            bytes: engine.held_bytes(),
            most: engine.config().limits.worst_case_bytes(),
            reads: wants.read || wants.transport != Transport::Open,
        })
    }

    /// The host's clock.
    pub(super) fn clock(&self, now: Instant) -> Instant {
        let exact = now.plus(self.trouble.ahead).as_micros();
        Instant::from_micros(exact.saturating_sub(exact % self.tick()))
    }

    /// In microseconds.
    fn tick(&self) -> u64 {
        let tick = self.tick.map_or(1, |tick| tick.as_micros());
        u64::try_from(tick).unwrap_or(u64::MAX).max(1)
    }

    /// When the host wants to be called next, on the world's clock.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let trouble = self.trouble.next(now);
        let Some(process) = self
            .process
            .as_ref()
            .filter(|_| !self.trouble.is_frozen(now))
        else {
            return trouble;
        };
        let on_worlds_clock = |at: Instant| {
            let ahead = u64::try_from(self.trouble.ahead.as_micros()).unwrap_or(u64::MAX);
            let shown = at
                .as_micros()
                .div_ceil(self.tick())
                .saturating_mul(self.tick());
            Instant::from_micros(shown.saturating_sub(ahead))
        };
        let late = self.trouble.late();
        let deadline = process.engine.wants().deadline;
        let deadline = deadline.map(|deadline| deadline.at.plus(late));
        let early = self.trouble.early.as_ref().and_then(Early::next);
        [deadline, early, process.wake]
            .into_iter()
            .flatten()
            .map(on_worlds_clock)
            .chain(trouble)
            .filter(|at| *at > now)
            .min()
    }

    /// Starts the process.
    pub(super) fn start(&mut self, now: Instant, eyes: &mut Eyes) {
        self.trouble.starts_at = None;
        let clock = self.clock(now);
        let seed = Seed::new(self.seeds.bytes());
        self.process = Some(Process {
            engine: Engine::new(self.config.clone(), seed, clock),
            driven: true,
            bot: (self.make)(),
            link: None,
            attempt: None,
            wake: None,
            pulled: VecDeque::new(),
        });
        let account = self.config.account().as_str();
        eyes.show(&Happening::Started {
            host: self.id,
            account,
        });
        self.with_bot(now, eyes, |bot, hands| bot.started(hands));
    }

    /// So many timers go off in time, and the next one so late; one that is held back already
    /// goes off.
    pub(super) fn skew(&mut self, now: Instant, after: u32, by: Duration) {
        self.trouble.overdue = self.is_held_back(now);
        self.trouble.skew = Some((after, by));
    }

    /// All that befalls it ends.
    pub(super) fn heal(&mut self, now: Instant) {
        let overdue = self.is_held_back(now);
        self.trouble.heal();
        self.trouble.overdue = overdue;
    }

    /// Whether a timer would have gone off, but is to be late.
    fn is_held_back(&self, now: Instant) -> bool {
        let deadline = self
            .process
            .as_ref()
            .and_then(|p| p.engine.wants().deadline);
        !self.trouble.late().is_zero() && deadline.is_some_and(|due| due.at < self.clock(now))
    }

    /// Does what time alone asks for. Returns whether there was anything.
    pub(super) fn pass_time(&mut self, now: Instant, eyes: &mut Eyes, pulling: Pulling) -> bool {
        if self.trouble.starts_at.is_some_and(|at| at <= now) {
            self.start(now, eyes);
            return true;
        }
        if self.trouble.is_frozen(now) {
            return false;
        }
        let clock = self.clock(now);
        let Some(process) = &mut self.process else {
            return false;
        };
        let mut moved = false;
        let late = self.trouble.late();
        let deadline = process.engine.wants().deadline;
        let due = deadline.is_some_and(|deadline| deadline.at.plus(late) <= clock);
        // What is to be late is not told early.
        if due || (pulling.early && late.is_zero()) {
            process.drive().handle_timeout(clock);
        }
        let held_back = !late.is_zero() || self.trouble.overdue;
        if let Some(deadline) = deadline.filter(|_| due && held_back) {
            self.trouble.overdue = false;
            eyes.show(&Happening::Untimely {
                host: self.id,
                timer: deadline.why,
                early: false,
                by: clock.since(deadline.at),
            });
        }
        let early = self.trouble.early.as_mut();
        if early.is_some_and(|early| early.see(deadline, clock)) {
            self.trouble.early = None;
            if let Some(deadline) = deadline {
                eyes.show(&Happening::Untimely {
                    host: self.id,
                    timer: deadline.why,
                    early: true,
                    by: deadline.at.since(clock),
                });
            }
            process.drive().handle_timeout(clock);
            self.pull_eagerly(now, pulling);
            moved = true;
        }
        if due {
            self.trouble.went_off();
            self.pull_eagerly(now, pulling);
            moved = true;
        }
        if let Some(process) = &mut self.process
            && process.wake.is_some_and(|wake| wake <= clock)
        {
            process.wake = None;
            self.with_bot(now, eyes, |bot, hands| bot.woken(hands));
            moved = true;
        }
        moved
    }

    /// Pulls at once, if that is the way.
    pub(super) fn pull_eagerly(&mut self, now: Instant, pulling: Pulling) {
        if pulling.eager {
            self.pull(now);
            if let Some(process) = &self.process {
                // Looking may not change anything.
                let _ = process.engine.wants();
            }
        }
    }

    fn pull(&mut self, now: Instant) {
        if ahead(self.trouble.ignores_until, now) {
            return;
        }
        if let Some(process) = &mut self.process {
            while let Some(event) = process.engine.poll_event() {
                process.driven = true;
                process.pulled.push_back(event);
            }
        }
    }

    /// Gives the bot what was pulled and what it is ordered to do. Returns whether
    /// there was anything.
    pub(super) fn serve_bot(&mut self, now: Instant, eyes: &mut Eyes) -> bool {
        if self.process.is_none()
            || self.trouble.is_frozen(now)
            || ahead(self.trouble.ignores_until, now)
        {
            return false;
        }
        let mut moved = false;
        loop {
            self.pull(now);
            let event = self
                .process
                .as_mut()
                .and_then(|process| process.pulled.pop_front());
            let Some(event) = event else { break };
            moved = true;
            let host = self.id;
            eyes.show(&Happening::Told {
                host,
                event: &event,
            });
            self.with_bot(now, eyes, |bot, hands| bot.told(hands, event));
        }
        while let Some(order) = self.orders.pop_front() {
            moved = true;
            self.with_bot(now, eyes, |bot, hands| bot.ordered(hands, &order));
        }
        moved
    }

    fn with_bot(
        &mut self,
        now: Instant,
        eyes: &mut Eyes,
        call: impl FnOnce(&mut dyn Bot, &mut Hands<'_>),
    ) {
        let clock = self.clock(now);
        let Some(process) = &mut self.process else {
            return;
        };
        process.driven = true;
        let mut hands = Hands {
            host: self.id,
            now: clock,
            engine: &mut process.engine,
            kept: &mut self.kept,
            wake: &mut process.wake,
            eyes,
        };
        call(&mut *process.bot, &mut hands);
    }

    /// How many bytes the transport takes now.
    pub(super) fn write_allowance(&self, now: Instant) -> usize {
        if self.trouble.small_writes.is_some() && ahead(self.trouble.paced_until, now) {
            return 0;
        }
        self.trouble.small_writes.unwrap_or(usize::MAX)
    }

    /// The transport took some.
    pub(super) fn wrote(&mut self, now: Instant) {
        if self.trouble.small_writes.is_some() {
            self.trouble.paced_until = Some(now.plus(PACE));
        }
    }
}
