//! What befalls a host, and until when it excuses that something comes late or not at
//! all. Each lasts as long as it can be felt, and no longer.

use alloc::vec::Vec;
use core::time::Duration;

use super::earlier;
use crate::Instant;
use crate::sim::plan::Fault;

/// What a link holds at most: a throttled one may take that long to let go of it.
const WINDOW: u32 = 64 * 1024;

/// What comes at the very end of a disturbance was made within it.
const BEHIND: Duration = Duration::from_secs(1);

/// A host that writes little at a time does so this often, at the least.
const PIECE: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// How far its clock is ahead of the world's.
    pub(super) ahead: Duration,
    /// Until when it, or its bot, stands still.
    still_until: Instant,
    /// How late the next timers may be that go off: nobody tells which it is before it does.
    skew: Duration,
    /// When a timer that waits to be late was last let go of for another.
    replaced: Option<Instant>,
    /// From when to when timers did not go off that were due.
    late: Vec<(Instant, Instant)>,
    /// When its clock leapt last, with all its timers.
    leapt: Option<Instant>,
    /// Until when its link carries next to nothing, and how long what was written by then
    /// may stay under way.
    slow_until: Instant,
    backlog: Duration,
    /// How long what it is to write may take, since it writes little at a time.
    paced: Duration,
}

impl Trouble {
    /// Whether this disturbs its comparing what it gave with archives.
    pub(super) const fn is_in(fault: &Fault) -> bool {
        matches!(
            fault,
            Fault::Freeze { .. }
                | Fault::Ignore { .. }
                | Fault::Skew { .. }
                | Fault::Leap { .. }
                | Fault::Throttle { .. }
                | Fault::SmallWrites { .. }
        )
    }

    /// Something goes wrong with it.
    pub(super) fn befalls(&mut self, fault: &Fault, now: Instant) {
        match fault {
            Fault::Freeze { lasts, .. } | Fault::Ignore { lasts, .. } => {
                self.still_until = self.still_until.max(now.plus(*lasts));
            }
            Fault::Skew { by, .. } => {
                // It takes the place of one that waits for its timer, which goes off now if
                // it is overdue.
                if !self.skew.is_zero() {
                    self.replaced = Some(now);
                    self.still_until = self.still_until.max(now);
                }
                self.skew = *by;
            }
            Fault::Leap { by, .. } => {
                self.ahead = self.ahead.saturating_add(*by);
                self.leapt = Some(now);
            }
            Fault::Throttle {
                bytes_per_second,
                lasts,
                ..
            } => {
                self.slow_until = self.slow_until.max(now.plus(*lasts));
                let backlog = Duration::from_secs(u64::from(WINDOW / (*bytes_per_second).max(1)));
                self.backlog = self.backlog.max(backlog);
            }
            Fault::SmallWrites { bytes, .. } => {
                let pieces = WINDOW / (*bytes).max(1);
                self.paced = PIECE.saturating_mul(pieces);
            }
            _ => {}
        }
    }

    /// A timer went off so late: with it all that was due meanwhile.
    pub(super) fn untimely(&mut self, by: Duration, now: Instant) {
        if self.replaced != Some(now) {
            self.skew = Duration::ZERO;
        }
        self.late.push((earlier(now, by), now));
    }

    /// All of it ends, but that a clock which leapt stays ahead.
    pub(super) fn healed(&mut self, now: Instant) {
        if !self.skew.is_zero() {
            // What is overdue by now goes off now, and is told.
            self.skew = Duration::ZERO;
            self.still_until = now;
        }
        self.paced = Duration::ZERO;
        self.still_until = self.still_until.min(now);
        self.slow_until = self.slow_until.min(now);
    }

    /// A new link is opened: nothing is under way there.
    pub(super) fn opens(&mut self, now: Instant) {
        if self.slow_until <= now {
            self.backlog = Duration::ZERO;
        }
    }

    /// By when the timers have gone off that were to take so long since then, and its bot has
    /// been told.
    pub(super) fn excused(&self, since: Instant, wait: Duration) -> Instant {
        let mut due = since.plus(wait);
        for (from, until) in self.late.iter().filter(|(_, until)| *until > since) {
            if *from <= due {
                due = due.plus(until.since(*from));
            }
        }
        due.plus(self.skew).max(self.still_until)
    }

    /// Whether it, or its bot, stands still, or did until just now: it is told late.
    pub(super) fn is_told_late(&self, now: Instant) -> bool {
        self.still_until >= now
    }

    /// By when it has written what it was to write so long after that.
    pub(super) fn excused_over_link(&self, since: Instant, wait: Duration) -> Instant {
        let due = self.excused(since, wait).plus(self.paced);
        due.max(self.slow_until.plus(self.backlog))
    }

    /// How much longer than others it takes to ask for something.
    pub(super) const fn paced(&self) -> Duration {
        self.paced
    }

    /// Since when it has been left in peace; in the future while it is not.
    pub(super) fn peace(&self) -> Instant {
        if !self.skew.is_zero() {
            return Instant::from_micros(u64::MAX);
        }
        let leapt = self.leapt.unwrap_or_default();
        let late = self.late.last().map_or(Instant::ZERO, |(_, until)| *until);
        let still = self.still_until.max(leapt).max(late);
        let slow = self.slow_until.plus(self.backlog);
        still.max(slow).plus(BEHIND)
    }

    /// Whether its timers can be told by the world's clock now.
    pub(super) fn is_disturbed(&self, now: Instant) -> bool {
        self.peace() > now
    }
}
