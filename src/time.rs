//! Time as the engine sees it: a number of microseconds that the host passes in.
//!
//! The core never asks a clock. Zero is the host's choice (process start, say);
//! all that counts is that the numbers do not run backwards, and where they do
//! the engine treats them as standing still.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// A point on the host's monotonic clock, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The host's own zero.
    pub const ZERO: Self = Self(0);

    /// The instant `micros` microseconds after the host's zero.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant `millis` milliseconds after the host's zero; saturates.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the host's zero.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This instant, `by` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Such a part of a time; of no parts, all of it.
pub(crate) const fn part(whole: Duration, parts: u32) -> Duration {
    match whole.checked_div(parts) {
        Some(part) => part,
        None => whole,
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Which timer a [`Deadline`] belongs to. For logs and tests; do not branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// The host was asked for a transport and has not said that it is open.
    Connect,
    /// One step of the negotiation (header, features, TLS, SASL, bind) takes too long.
    Negotiation,
    /// The whole login takes too long, however busy each step looks.
    Login,
    /// The next attempt to connect.
    Reconnect,
    /// The closing of the stream is not answered.
    Close,
    /// The server does not say which stanzas it handled, although it was asked to; or says for as
    /// long that it handled none of many.
    Ack,
    /// A broken stream can no longer be resumed.
    Session,
    /// Nothing was heard for a while: time to ask the server for a sign of life.
    Keepalive,
    /// The sign of life that was asked for has not come.
    KeepaliveReply,
    /// The stream has been up long enough for the backoff to start afresh.
    Stable,
    /// The transport takes none of what is to be written: the peer does not read.
    Write,
    /// A request (IQ) is not answered.
    Iq,
    /// A post reached its deadline.
    Post,
    /// An archive that did not have a post in doubt is looked at again.
    Settle,
    /// The archive of a room just joined has not said where it ends: what is to be posted there
    /// waits for that no longer.
    Anchor,
    /// A room does not answer the join.
    Join,
    /// A room gives no proof that the occupant of our nick is us.
    SelfPresence,
    /// A room left just now has not said that we are out.
    Parting,
    /// A room is joined again after a refusal that may pass.
    Rejoin,
    /// A room that has not said what it can do is asked again.
    Examine,
    /// A room was silent for a while: time to ask whether we are still in it.
    SelfPing,
    /// A fetch that waits for news reached the end of its patience.
    FetchWait,
    /// A fetch that waits for news heard some, and looks whether the archive has it.
    FetchRecheck,
    /// A fetch gets no further.
    FetchStalled,
    /// Reading an archive for a subscription failed for now and is tried again.
    LogRetry,
    /// An archive that lags behind what its room says is looked at again.
    LogSettle,
    /// A subscription compares what it delivered with the archive.
    LogAudit,
    /// Computation in slices (PBKDF2): call again at once.
    Work,
    /// Reading was refused for a while and may go on: call again at once.
    Resume,
}

/// When [`handle_timeout`](crate::Engine::handle_timeout) is due, and which timer asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// The instant at which to call, or any later one.
    pub at: Instant,
    /// For logs and tests.
    pub why: Timer,
}

impl Deadline {
    pub(crate) const fn new(at: Instant, why: Timer) -> Self {
        Self { at, why }
    }
}

/// What a timer is for, in enough detail to find its owner again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    pub(crate) why: Timer,
    /// The request, post, room or query; zero where there is only one.
    pub(crate) owner: u64,
}

impl TimerKey {
    pub(crate) const fn single(why: Timer) -> Self {
        Self { why, owner: 0 }
    }

    pub(crate) const fn of(why: Timer, owner: u64) -> Self {
        Self { why, owner }
    }

    /// The bit of its kind, where it has no owner; none where there are too many kinds.
    const fn single_bit(self) -> u32 {
        match 1_u32.checked_shl(self.why as u32) {
            Some(bit) if self.owner == 0 => bit,
            _ => 0,
        }
    }

    /// Whether this timer accuses the peer of silence. Such timers stand still
    /// while we refuse to read: we may not declare a peer dead whom we do not hear.
    pub(crate) const fn accuses_peer(self) -> bool {
        matches!(
            self.why,
            Timer::Negotiation
                | Timer::Login
                | Timer::Keepalive
                | Timer::KeepaliveReply
                | Timer::Ack
                | Timer::Iq
                | Timer::Anchor
                | Timer::Join
                | Timer::FetchStalled
                | Timer::SelfPresence
                | Timer::Parting
                // These accuse nobody, but ask for what we would not read.
                | Timer::LogSettle
                | Timer::LogAudit
                | Timer::Examine
                | Timer::SelfPing
        )
    }
}

impl TimerKey {
    /// Whether this timer belongs to a session rather than to a stream: it stands
    /// still while a broken stream waits to be resumed, since nobody can answer.
    const fn is_of_session(self) -> bool {
        matches!(
            self.why,
            Timer::Iq
                | Timer::Anchor
                | Timer::Join
                | Timer::SelfPresence
                | Timer::Parting
                | Timer::Rejoin
                | Timer::Examine
                // XEP-0410 section 4: "If a client session is in hibernation", it "should
                // defer sending of self-ping requests until it is reconnected".
                | Timer::SelfPing
                | Timer::LogRetry
                | Timer::LogSettle
                | Timer::LogAudit
                | Timer::FetchRecheck
                | Timer::Settle
        )
    }
}

/// All armed timers. Each key is armed at most once; their number is bounded by
/// the limits on rooms, requests and posts.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, TimerKey)>,
    at: BTreeMap<TimerKey, Instant>,
    /// A bit for each kind of which the timer without an owner is armed: every call of the
    /// host asks for one of them, and is not to search for it.
    singles: u32,
    frozen: Option<Frozen>,
}

/// Timers of a session while there is no stream.
#[derive(Debug)]
struct Frozen {
    since: Instant,
    /// As they would have been at `since`.
    at: BTreeMap<TimerKey, Instant>,
}

impl Timers {
    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, |frozen| frozen.at.len());
        let entries = self.queue.len().saturating_add(self.at.len());
        entries
            .saturating_add(frozen)
            .saturating_mul(size_of::<(Instant, TimerKey)>())
    }

    /// Arms `key` for `at`, replacing what it was armed for.
    pub(crate) fn arm(&mut self, key: TimerKey, at: Instant) {
        self.disarm(key);
        self.at.insert(key, at);
        self.queue.insert((at, key));
        self.singles |= key.single_bit();
    }

    /// Arms `key` to go off so long after `now`.
    pub(crate) fn arm_after(&mut self, key: TimerKey, now: Instant, after: Duration) {
        match &mut self.frozen {
            Some(frozen) if key.is_of_session() => {
                frozen.at.insert(key, frozen.since.plus(after));
            }
            _ => self.arm(key, now.plus(after)),
        }
    }

    /// From now on the timers of the session stand still.
    pub(crate) fn freeze(&mut self, now: Instant) {
        if self.frozen.is_some() {
            return;
        }
        let of_session = self.at.iter().filter(|(key, _)| key.is_of_session());
        let at: BTreeMap<_, _> = of_session.map(|(key, at)| (*key, *at)).collect();
        for key in at.keys() {
            self.disarm(*key);
        }
        self.frozen = Some(Frozen { since: now, at });
    }

    /// They go on where they stood.
    pub(crate) fn thaw(&mut self, now: Instant) {
        if let Some(frozen) = self.frozen.take() {
            let pause = now.since(frozen.since);
            for (key, at) in frozen.at {
                self.arm(key, at.plus(pause));
            }
        }
    }

    pub(crate) fn disarm(&mut self, key: TimerKey) {
        if let Some(frozen) = &mut self.frozen {
            frozen.at.remove(&key);
        }
        let single = key.single_bit();
        if single != 0 && self.singles & single == 0 {
            return;
        }
        if let Some(at) = self.at.remove(&key) {
            self.queue.remove(&(at, key));
            self.singles &= !single;
        }
    }

    pub(crate) fn is_armed(&self, key: TimerKey) -> bool {
        match key.single_bit() {
            0 => self.at.contains_key(&key),
            single => self.singles & single != 0,
        }
    }

    /// What `key` is armed for, if it is.
    pub(crate) fn armed_for(&self, key: TimerKey) -> Option<Instant> {
        self.at.get(&key).copied()
    }

    /// The earliest timer; those that accuse the peer only `with_peer`.
    pub(crate) fn next(&self, with_peer: bool) -> Option<Deadline> {
        self.queue
            .iter()
            .find(|(_, key)| with_peer || !key.accuses_peer())
            .map(|(at, key)| Deadline::new(*at, key.why))
    }

    /// The timers that are due at `now`, the earliest first.
    pub(crate) fn due(&self, now: Instant, with_peer: bool) -> Vec<TimerKey> {
        self.queue
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, key)| *key)
            .filter(|key| with_peer || !key.accuses_peer())
            .collect()
    }

    /// Takes a timer if it is still armed, and due at `now`.
    pub(crate) fn take_due(&mut self, key: TimerKey, now: Instant) -> bool {
        let due = self.at.get(&key).is_some_and(|at| *at <= now);
        if due {
            self.disarm(key);
        }
        due
    }

    /// Moves every timer that accuses the peer `by` into the future.
    pub(crate) fn shift_peer(&mut self, by: Duration) {
        let moved: Vec<_> = self
            .at
            .iter()
            .filter(|(key, _)| key.accuses_peer())
            .map(|(key, at)| (*key, at.plus(by)))
            .collect();
        for (key, at) in moved {
            self.arm(key, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end.plus(Duration::from_secs(1)), end);
        assert_eq!(Instant::ZERO.since(end), Duration::ZERO);
    }

    #[test]
    fn a_timer_is_armed_once_and_fires_once() {
        let mut timers = Timers::default();
        let key = TimerKey::single(Timer::Keepalive);
        timers.arm(key, Instant::from_millis(5));
        timers.arm(key, Instant::from_millis(9));
        assert_eq!(timers.due(Instant::from_millis(5), true), []);
        assert!(!timers.take_due(key, Instant::from_millis(5)));
        assert_eq!(timers.due(Instant::from_millis(9), true), [key]);
        assert!(timers.take_due(key, Instant::from_millis(9)));
        assert!(!timers.take_due(key, Instant::from_millis(9)));
        assert_eq!(timers.due(Instant::from_millis(99), true), []);
    }

    #[test]
    fn what_is_armed_is_known_whatever_was_done() {
        let at = Instant::from_millis;
        let single = |why| TimerKey::single(why);
        let keys = [
            single(Timer::Write),
            single(Timer::Keepalive),
            single(Timer::Iq),
            TimerKey::of(Timer::Iq, 1),
            TimerKey::of(Timer::Write, 7),
        ];
        let mut timers = Timers::default();
        let steps: [fn(&mut Timers, TimerKey); 7] = [
            |timers, key| timers.arm(key, Instant::from_millis(4)),
            |timers, _| timers.shift_peer(Duration::from_millis(2)),
            |timers, _| timers.freeze(Instant::from_millis(1)),
            |timers, _| timers.thaw(Instant::from_millis(3)),
            |timers, key| timers.disarm(key),
            |timers, key| timers.arm(key, Instant::from_millis(5)),
            |timers, key| assert!(timers.take_due(key, Instant::from_millis(5))),
        ];
        for key in keys {
            for (n, step) in steps.iter().enumerate() {
                step(&mut timers, key);
                for key in keys {
                    let queued = timers.queue.iter().any(|(_, queued)| *queued == key);
                    assert_eq!(timers.is_armed(key), queued, "{key:?} after {n}");
                    assert_eq!(timers.armed_for(key).is_some(), queued, "{key:?}");
                }
            }
            assert!(timers.due(at(99), true).is_empty(), "{key:?}");
        }
    }

    #[test]
    fn timers_of_a_session_stand_still_without_a_stream() {
        let (secs, at) = (Duration::from_secs, Instant::from_millis);
        let mut timers = Timers::default();
        let iq = |n| TimerKey::of(Timer::Iq, n);
        timers.arm(iq(1), at(5000));
        timers.arm(iq(2), at(5000));
        timers.arm(TimerKey::of(Timer::Post, 1), at(6000));
        timers.freeze(at(2000));
        timers.freeze(at(3000));
        timers.disarm(iq(2));
        timers.arm_after(iq(3), at(4000), secs(30));
        assert_eq!(timers.next(true).unwrap().why, Timer::Post);
        timers.thaw(at(100_000));
        timers.disarm(TimerKey::of(Timer::Post, 1));
        assert_eq!(timers.next(true).unwrap().at, at(103_000));
        timers.disarm(iq(1));
        assert_eq!(timers.next(true).unwrap().at, at(130_000));
        timers.disarm(iq(3));
        assert_eq!(timers.next(true), None);
    }

    #[test]
    fn timers_that_accuse_the_peer_stand_still_when_asked_to() {
        let mut timers = Timers::default();
        timers.arm(TimerKey::single(Timer::Keepalive), Instant::from_millis(1));
        timers.arm(TimerKey::single(Timer::Reconnect), Instant::from_millis(7));
        assert_eq!(timers.next(false).unwrap().why, Timer::Reconnect);
        assert_eq!(timers.due(Instant::from_millis(3), false), []);
        timers.shift_peer(Duration::from_millis(10));
        assert_eq!(timers.next(true).unwrap().at, Instant::from_millis(7));
    }
}
