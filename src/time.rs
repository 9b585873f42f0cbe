//! Time as the engine sees it: a number of microseconds that the host passes in.
//!
//! The core never asks a clock. Zero is the host's choice (process start, say);
//! all that counts is that the numbers do not run backwards, and where they do
//! the engine treats them as standing still.

use alloc::collections::{BTreeMap, BTreeSet};
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
    /// A room does not answer the join.
    Join,
    /// A room gives no proof that the occupant of our nick is us.
    SelfPresence,
    /// A room left just now has not said that we are out.
    Parting,
    /// A room is joined again after a refusal that may pass.
    Rejoin,
    /// A fetch that waits for news reached the end of its patience.
    FetchWait,
    /// A fetch that waits for news heard some, and looks whether the archive has it.
    FetchRecheck,
    /// A fetch gets no further.
    FetchStalled,
    /// Reading an archive for a subscription failed for now and is tried again.
    LogRetry,
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

    /// Whether this timer accuses the peer of silence. Such timers stand still
    /// while we refuse to read: we may not declare a peer dead whom we do not hear.
    pub(crate) const fn accuses_peer(self) -> bool {
        matches!(
            self.why,
            Timer::Negotiation
                | Timer::Login
                | Timer::Keepalive
                | Timer::KeepaliveReply
                | Timer::Iq
                | Timer::Join
                | Timer::FetchStalled
        )
    }
}

/// All armed timers. Each key is armed at most once; their number is bounded by
/// the limits on rooms, requests and posts.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, TimerKey)>,
    at: BTreeMap<TimerKey, Instant>,
}

impl Timers {
    /// Arms `key` for `at`, replacing what it was armed for.
    pub(crate) fn arm(&mut self, key: TimerKey, at: Instant) {
        self.disarm(key);
        self.at.insert(key, at);
        self.queue.insert((at, key));
    }

    pub(crate) fn disarm(&mut self, key: TimerKey) {
        if let Some(at) = self.at.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    pub(crate) fn is_armed(&self, key: TimerKey) -> bool {
        self.at.contains_key(&key)
    }

    /// The earliest timer; those that accuse the peer only `with_peer`.
    pub(crate) fn next(&self, with_peer: bool) -> Option<Deadline> {
        self.queue
            .iter()
            .find(|(_, key)| with_peer || !key.accuses_peer())
            .map(|(at, key)| Deadline::new(*at, key.why))
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant, with_peer: bool) -> Option<TimerKey> {
        let (at, key) = self
            .queue
            .iter()
            .find(|(_, key)| with_peer || !key.accuses_peer())
            .copied()?;
        if at > now {
            return None;
        }
        self.queue.remove(&(at, key));
        self.at.remove(&key);
        Some(key)
    }

    /// Moves every timer that accuses the peer `by` into the future.
    pub(crate) fn shift_peer(&mut self, by: Duration) {
        let moved: alloc::vec::Vec<_> = self
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
        assert_eq!(timers.pop_due(Instant::from_millis(5), true), None);
        assert_eq!(timers.pop_due(Instant::from_millis(9), true), Some(key));
        assert_eq!(timers.pop_due(Instant::from_millis(99), true), None);
    }

    #[test]
    fn timers_that_accuse_the_peer_stand_still_when_asked_to() {
        let mut timers = Timers::default();
        timers.arm(TimerKey::single(Timer::Keepalive), Instant::from_millis(1));
        timers.arm(TimerKey::single(Timer::Reconnect), Instant::from_millis(7));
        assert_eq!(timers.next(false).unwrap().why, Timer::Reconnect);
        assert_eq!(timers.pop_due(Instant::from_millis(3), false), None);
        timers.shift_peer(Duration::from_millis(10));
        assert_eq!(timers.next(true).unwrap().at, Instant::from_millis(7));
    }
}
