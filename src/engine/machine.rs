//! The state behind the engine's surface.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use super::fetching::Fetching;
use super::link::{Link, Peer};
use super::resolving::Resolving;
use super::retry::Pacing;
use super::{Transport, Wants};
use crate::config::Config;
use crate::cx::{Cx, EventQueue, Outbound, PROGRESS, Question, Requests};
use crate::event::{Event, Login};
use crate::ids::{IdSource, Label, QueryId, RoomId, Seed, SubscriptionId};
use crate::jid::Jid;
use crate::room::{Log, Room};
use crate::sasl::ScramKeys;
use crate::sm::Management;
use crate::time::{Deadline, Instant, Timer, TimerKey, Timers};

/// What the reader of the byte stream is to do after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Continue,
    /// The next byte begins a new XML stream.
    Restart,
}

/// What every part of the engine works with.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) out: Outbound,
    pub(super) events: EventQueue,
    pub(super) timers: Timers,
    ids: IdSource,
    pub(super) requests: Requests,
}

impl Core {
    pub(super) const fn cx(&mut self) -> Cx<'_> {
        self.split().0
    }

    /// The context, next to the configuration it borrows from.
    pub(super) const fn split(&mut self) -> (Cx<'_>, &Config) {
        let cx = Cx {
            now: self.now,
            out: &mut self.out,
            events: &mut self.events,
            timers: &mut self.timers,
            ids: &mut self.ids,
            requests: &mut self.requests,
            limits: &self.config.limits,
            timing: &self.config.timing,
        };
        (cx, &self.config)
    }
}

/// Numbers the handles that are given out; none twice.
#[derive(Debug, Default)]
pub(super) struct Handles(u64);

impl Handles {
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.saturating_add(1);
        self.0
    }
}

/// A room with those who follow it.
#[derive(Debug)]
pub(super) struct RoomEntry {
    pub(super) room: Room,
    pub(super) logs: BTreeMap<SubscriptionId, Log>,
}

/// A room that was told that we go, and has not said that we are gone.
#[derive(Debug)]
pub(super) struct Parting {
    /// Our nick there.
    pub(super) nick: String,
    /// How often it is to say so: for each that came and left before it was heard.
    pub(super) times: u32,
    /// The number of the timer that waits for it.
    pub(super) serial: u64,
    /// It took too long to say so: nobody who joins it anew waits for that any more.
    pub(super) overdue: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) core: Core,
    pub(super) link: Link,
    /// Of this transport; of the last, where there is none.
    pub(super) peer: Peer,
    /// Transports asked for so far.
    pub(super) attempts: u32,
    pub(super) pacing: Pacing,
    /// The end was asked for.
    pub(super) closing: bool,
    /// The session is handed on: what is in flight may be carried by who gets it.
    pub(super) handed_on: bool,
    /// The session is of another process.
    pub(super) restored: bool,
    /// The resource to ask for: the same as long as nobody else takes our place, so that
    /// a new stream makes the server close the old one.
    pub(super) resource: String,
    /// The nick for rooms that do not care.
    pub(super) nick: String,
    pub(super) keys: Option<Box<ScramKeys>>,
    pub(super) management: Management,
    pub(super) us: Option<Jid>,
    pub(super) login: Login,
    pub(super) last_heard: Instant,
    pub(super) last_sent: Instant,
    /// The last question for a sign of life, where no stream management asks it.
    pub(super) ping: Question,
    /// Since when reading is refused because too many events wait.
    paused: Option<Instant>,
    /// How many bytes the transport had taken when it was given its time to take more.
    taken_before: u64,
    pub(super) rooms: BTreeMap<RoomId, RoomEntry>,
    pub(super) by_address: BTreeMap<Box<str>, RoomId>,
    /// Rooms left that have not said so yet.
    pub(super) partings: BTreeMap<Box<str>, Parting>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, RoomId>,
    pub(super) fetches: BTreeMap<QueryId, Fetching>,
    pub(super) discos: BTreeSet<QueryId>,
    pub(super) resolving: BTreeMap<QueryId, Resolving>,
    pub(super) ids: Handles,
    pub(super) room_ids: Handles,
}

impl Machine {
    pub(super) fn new(mut config: Config, seed: Seed, now: Instant) -> Self {
        config.limits.make_usable();
        let mut ids = IdSource::new(seed);
        let resource = config.resource.clone();
        let resource = resource.unwrap_or_else(|| drawn_resource(&mut ids));
        let tail = tail(&mut ids, Label::Nick);
        let nick = alloc::format!("{}-{tail}", config.credentials.username());
        let pacing = Pacing::new(now, &config.limits);
        let core = Core {
            config,
            now,
            out: Outbound::default(),
            events: EventQueue::default(),
            timers: Timers::default(),
            ids,
            requests: Requests::default(),
        };
        let mut machine = Self {
            core,
            link: Link::Resting,
            peer: Peer::Anybody,
            attempts: 0,
            pacing,
            closing: false,
            handed_on: false,
            restored: false,
            resource,
            nick,
            keys: None,
            management: Management::default(),
            us: None,
            login: Login::default(),
            last_heard: now,
            last_sent: now,
            ping: Question::default(),
            paused: None,
            taken_before: 0,
            rooms: BTreeMap::new(),
            by_address: BTreeMap::new(),
            partings: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            fetches: BTreeMap::new(),
            discos: BTreeSet::new(),
            resolving: BTreeMap::new(),
            ids: Handles::default(),
            room_ids: Handles::default(),
        };
        machine.connect();
        machine
    }

    pub(super) const fn config(&self) -> &Config {
        &self.core.config
    }

    /// Begins every call: time goes on, and reading goes on if it may again.
    pub(super) fn enter(&mut self, now: Instant) {
        self.core.now = self.core.now.max(now);
        if let Some(since) = self.paused
            && !self.is_full()
        {
            // Back-pressure is not death: the peer was not heard because we did
            // not listen, so its deadlines move by as long as that took.
            self.paused = None;
            let pause = self.core.now.since(since);
            self.core.timers.shift_peer(pause);
            self.last_heard = self.last_heard.plus(pause);
            for entry in self.rooms.values_mut() {
                entry.room.deaf_for(pause);
            }
        }
    }

    /// Ends every call: what was filled or emptied by it has its consequences.
    pub(super) fn settle(&mut self) {
        self.manage();
        if self.paused.is_none() && self.is_full() {
            self.paused = Some(self.core.now);
        }
        let stalled = TimerKey::single(Timer::Write);
        if self.core.out.waiting().is_empty() || !self.link.has_stream() {
            self.core.timers.disarm(stalled);
        } else if !self.core.timers.is_armed(stalled)
            || self.core.out.sent().saturating_sub(self.taken_before) >= PROGRESS
        {
            self.taken_before = self.core.out.sent();
            let patience = self.core.config.timing.write;
            self.core.timers.arm(stalled, self.core.now.plus(patience));
        }
    }

    /// Whether as much waits, for the host or for the peer, as may wait.
    fn is_full(&self) -> bool {
        let limits = &self.core.config.limits;
        self.core.events.len() >= limits.events
            || self.core.events.bytes() >= limits.event_bytes
            // What we owe the peer for what it sends, answers to pings say.
            // What was taken and is not moved away yet takes its place as well.
            || self.core.out.buffered() >= limits.write_bytes.saturating_mul(2)
    }

    /// Whether input is taken.
    pub(super) fn reads(&self) -> bool {
        !self.is_full() && self.link.reads()
    }

    /// Whether input is thrown away, there being no stream to take it.
    pub(super) const fn refuses_input(&self) -> bool {
        !self.link.has_stream()
    }

    pub(super) fn wants(&self) -> Wants<'_> {
        Wants {
            transport: self.transport(),
            write: if self.link.writes() {
                self.core.out.waiting()
            } else {
                &[]
            },
            read: self.reads(),
            deadline: self.deadline(),
        }
    }

    fn transport(&self) -> Transport {
        match &self.link {
            Link::Resting | Link::Closed => Transport::Closed,
            Link::Connecting => Transport::Connect {
                attempt: self.attempts,
            },
            Link::Negotiating(negotiation)
                if negotiation.awaits_tls() && self.core.out.waiting().is_empty() =>
            {
                Transport::StartTls
            }
            Link::Negotiating(_) | Link::Online | Link::Parting => Transport::Open,
            Link::Draining => Transport::Shutdown,
        }
    }

    fn deadline(&self) -> Option<Deadline> {
        if matches!(self.link, Link::Closed) {
            return None;
        }
        if self.paused.is_some() {
            return if self.is_full() {
                self.core.timers.next(false)
            } else {
                Some(Deadline::new(self.core.now, Timer::Resume))
            };
        }
        self.core.timers.next(true)
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop()
    }

    pub(super) fn written(&mut self, n: usize) {
        self.core.out.advance(n);
        if n > 0 {
            self.last_sent = self.core.now;
        }
        if self.core.out.waiting().is_empty() {
            self.core.cx().disarm(Timer::Write, 0);
        }
        if n > 0 && matches!(self.link, Link::Online) {
            self.management.written(&mut self.core.cx());
            self.ping_on_its_way();
        }
        self.flush_rooms();
    }

    /// Does what is due: everything that was due when the call began, but no
    /// more than one slice of computation.
    pub(super) fn timeouts(&mut self) {
        let mut work = false;
        // Each at most once: what is armed meanwhile is for the next call.
        for key in self.core.timers.due(self.core.now, self.paused.is_none()) {
            if !self.core.timers.take_due(key, self.core.now) {
                continue;
            }
            match key.why {
                Timer::Work => work = true,
                _ => self.on_timer(key),
            }
        }
        if work {
            self.work();
        }
    }

    fn on_timer(&mut self, key: TimerKey) {
        match key.why {
            Timer::Ack if self.management.ask_again(&mut self.core.cx()) => {}
            Timer::Connect
            | Timer::Negotiation
            | Timer::Login
            | Timer::KeepaliveReply
            | Timer::Ack
            | Timer::Write => {
                self.silent_for_too_long(key.why);
            }
            Timer::Reconnect => {
                self.pacing.begun();
                self.connect();
            }
            Timer::Close => self.drain(),
            Timer::Keepalive => self.keepalive(),
            Timer::Stable => self.pacing.stable(),
            Timer::Iq => self.request_expired(key.owner),
            Timer::Post => self.post_expired(key.owner),
            Timer::Settle => self.settle_posts(key.owner),
            Timer::Anchor => self.anchor_is_late(key.owner),
            Timer::Join
            | Timer::Rejoin
            | Timer::Examine
            | Timer::SelfPresence
            | Timer::SelfPing => {
                self.room_timer(key);
            }
            Timer::Parting => self.parted(key.owner),
            Timer::LogRetry | Timer::LogSettle | Timer::LogAudit => self.log_timer(key),
            Timer::FetchWait | Timer::FetchRecheck | Timer::FetchStalled => self.fetch_timer(key),
            Timer::Session => self.end_lost_session(),
            Timer::Work | Timer::Resume => {}
        }
    }

    /// Another stream took the place of ours, or has it. RFC 6120 section 4.9.3.3: after a
    /// `<conflict/>` a client "MUST NOT blindly request the resourcepart it used during
    /// the former session but instead MUST choose a different resourcepart". One that the
    /// host chose is the host's to change: nothing is tried again unless it says so.
    pub(super) fn displaced(&mut self) {
        if self.core.config.resource.is_none() {
            self.resource = drawn_resource(&mut self.core.ids);
        }
    }
}

/// A few random characters that may stand in any name.
fn tail(ids: &mut IdSource, label: Label) -> String {
    let token = ids.token(label);
    token
        .get(..8)
        .unwrap_or_default()
        .replace(['-', '_'], "0")
        .to_ascii_lowercase()
}

fn drawn_resource(ids: &mut IdSource) -> String {
    alloc::format!("parley-{}", tail(ids, Label::Resource))
}
