//! A world: hosts, links, a server and a clock that jumps to what is due next.
//!
//! [`World`] is the surface. Behind it, [`host`] keeps a process with an engine and
//! a bot, [`link`] and [`pipe`] carry bytes, [`traffic`] and [`serve`] move them between the
//! ends, [`trouble`] does what goes wrong. All that happens passes [`eyes`].
//!
//! The world is a single thread without a clock of its own. What it draws on the way
//! (delays of packets, seeds of engines) is drawn for each link and each host apart,
//! so that a fault more or less leaves the rest as it was.

mod eyes;
mod hands;
mod hash;
mod host;
mod link;
mod pipe;
mod serve;
mod traffic;
mod trouble;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use crate::sim::bot::Bot;
use crate::sim::happening::{Happening, HostId, Violation, Watch};
use crate::sim::plan::{Order, Weather};
use crate::sim::server::{Server, ServerSetup};
use crate::{Config, Instant};
use eyes::Eyes;
use host::Host;
use link::Link;

pub use hands::Hands;

/// So many rounds of calls at one instant are a livelock (rule S14).
const ROUNDS: u32 = 200_000;

/// How hosts pull what their engines have. None of it may make a difference to
/// what happens: that is the engine's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulling {
    /// Whether events are pulled after each call, or only before the bot is served.
    pub eager: bool,
    /// The most bytes an engine is given at once.
    pub piece: usize,
    /// Whether engines are told of the time whenever anything happens, not only when a
    /// timer of theirs is due.
    pub early: bool,
}

impl Default for Pulling {
    fn default() -> Self {
        Self {
            eager: true,
            piece: usize::MAX,
            early: false,
        }
    }
}

/// A simulated world.
///
/// Time passes only in [`run_until`](Self::run_until), and jumps from one thing that
/// is due to the next. The same seed, set-up and calls give the same world, bit by
/// bit; [`hash`](Self::hash) tells.
pub struct World {
    now: Instant,
    seed: u64,
    weather: Weather,
    pulling: Pulling,
    server: Server,
    hosts: Vec<Host>,
    links: Vec<Link>,
    next_link: u32,
    eyes: Eyes,
}

impl World {
    /// A world with a server and no hosts, at [`Instant::ZERO`].
    #[must_use]
    pub fn new(seed: u64, weather: Weather, server: ServerSetup) -> Self {
        Self {
            now: Instant::ZERO,
            seed,
            weather,
            pulling: Pulling::default(),
            server: Server::new(server, Instant::ZERO),
            hosts: Vec::new(),
            links: Vec::new(),
            next_link: 0,
            eyes: Eyes::new(),
        }
    }

    /// Shows all that happens from now on to somebody. Watchers see things in the
    /// order in which they came; a watcher in an `Rc<RefCell<_>>` can be looked at
    /// afterwards.
    pub fn watch(&mut self, watcher: Box<dyn Watch>) {
        self.eyes.add(watcher);
    }

    /// How hosts pull from now on.
    pub const fn pulling(&mut self, pulling: Pulling) {
        self.pulling = pulling;
    }

    /// A host whose process starts now. `bot` makes the program, at each start of the
    /// process: what it does not [keep](Hands::keep) dies with the process.
    ///
    /// Its links begin in clear and are protected by STARTTLS where the server asks for
    /// it; see [`direct_tls`](Self::direct_tls).
    pub fn add_host(&mut self, config: Config, bot: Box<dyn FnMut() -> Box<dyn Bot>>) -> HostId {
        let id = HostId(self.hosts.len());
        let mut host = Host::new(id, config, bot, self.seed);
        host.start(self.now, &mut self.eyes);
        self.hosts.push(host);
        id
    }

    /// The host's next links are under TLS from the first byte (XEP-0368).
    pub fn direct_tls(&mut self, host: HostId) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.direct_tls = true;
        }
    }

    /// The host's clock shows whole multiples of `tick` from now on: 15 ms, say, as
    /// monotonic clocks of some systems do. Best before time passes, since it is set back
    /// by up to a tick.
    pub fn coarse_clock(&mut self, host: HostId, tick: core::time::Duration) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.tick = Some(tick);
        }
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The server, to look at.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// What a host's bot keeps under a name.
    #[must_use]
    pub fn kept(&self, host: HostId, name: &str) -> Option<&str> {
        let host = self.hosts.get(host.0)?;
        host.kept.get(name).map(alloc::string::String::as_str)
    }

    /// Tells a bot to do something, now; as soon as its process runs, if it does not.
    pub fn order(&mut self, host: HostId, order: &Order) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            host.orders.push_back(order.clone());
        }
        self.settle();
    }

    /// A hash over all that happened: every byte, event, request, note and fault with
    /// its time.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.eyes.hash()
    }

    /// Lets time pass until `end`, doing all that is due, that of `end` included.
    pub fn run_until(&mut self, end: Instant) {
        self.settle();
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.at(next);
            self.settle();
            self.gauge();
        }
        self.at(end);
        self.settle();
    }

    /// Tells how much memory engines hold, and which of them do not read.
    fn gauge(&mut self) {
        for host in &mut self.hosts {
            if let Some(held) = host.held() {
                self.eyes.show(&held);
            }
        }
    }

    fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.eyes.now = self.now;
    }

    /// When something is due next.
    fn next(&self) -> Option<Instant> {
        let now = self.now;
        let hosts = self.hosts.iter().filter_map(|host| host.next(now));
        let links = self.links.iter().filter_map(|link| self.link_next(link));
        let server = self.server.deadline().filter(|at| *at > now);
        hosts.chain(links).chain(server).min()
    }

    /// Does all that is due now, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if !self.round() {
                return;
            }
        }
        let violation = Violation {
            rule: "S14",
            detail: format!("no rest after {ROUNDS} rounds at {:?}", self.now),
        };
        self.eyes.show(&Happening::Violated(&violation));
    }

    /// One round of calls. Returns whether there was anything to do.
    fn round(&mut self) -> bool {
        let mut moved = false;
        if self.server.deadline().is_some_and(|at| at <= self.now) {
            self.server.handle_timeout(self.now);
            moved = true;
        }
        self.take_notes();
        for host in &mut self.hosts {
            moved |= host.pass_time(self.now, &mut self.eyes, self.pulling);
        }
        moved |= self.carry();
        for host in &mut self.hosts {
            moved |= host.serve_bot(self.now, &mut self.eyes);
        }
        moved |= self.serve_hosts();
        moved |= self.serve_server();
        self.links.retain(|link| !link.is_over());
        moved
    }

    /// Shows what became a fact in the server.
    fn take_notes(&mut self) {
        while let Some(note) = self.server.poll_note() {
            self.eyes.show(&Happening::Noted(&note));
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now)
            .field("hosts", &self.hosts.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}
