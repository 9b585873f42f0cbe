//! Whether and when the engine connects again by itself (RFC 6120, section 3.3).
//!
//! - *Transient* ends: full jitter below a ceiling that doubles, from
//!   [`Timing::backoff_min`] to [`Timing::backoff_max`].
//! - *Slow* ends: no sooner than [`Timing::slow_min`], below a ceiling that doubles up
//!   to [`Timing::slow_max`].
//! - Ends that need *attention*: not at all, until the host asks for it.
//!
//! What is said in clear, before TLS, can be anybody's: a captive portal's, or one packet of
//! somebody who wants us gone for good. Until the first login it is taken for the server's, since
//! then it is mostly a mistake in the configuration, of which somebody should hear at once. Who
//! was logged in before tries again, slowly, whatever is said there.
//!
//! An untrusted certificate is another matter, though who stands between us and the server can show
//! one at any time: with it somebody asks for the password, and that is for people to look at, also
//! where it is a captive portal's. It needs attention, and ends a session that could have been
//! resumed; the host hears of it, and decides when to
//! [`reconnect`](crate::Engine::reconnect).
//!
//! Ceilings start afresh only after a stream has been stable: a login is not enough,
//! or a server that fails the session right after it would be stormed. Above all
//! stands a budget of [`Limits::attempts_per_hour`], whatever the classes and the dice.
//!
//! A redirect (`see-other-host`) is not followed: the engine knows no addresses, and
//! to which other host a connection may go under the same identity is for the host
//! program to decide. It needs attention.

use alloc::vec::Vec;
use core::time::Duration;

use super::link::Peer;
use crate::error::{AuthFailure, Condition, ErrorType, SaslCondition, StreamCondition};
use crate::event::{OfflineCause, TransportFailureKind};
use crate::ids::IdSource;
use crate::limits::{Limits, Timing};
use crate::planted::{Bug, planted};
use crate::time::{Instant, part};

/// So many breaches of XML or protocol within an hour, and the server is taken for
/// one that cannot do better.
const BREACHES: usize = 3;

const HOUR: Duration = Duration::from_secs(3600);

/// What the end of a stream means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It may be better in a moment.
    Transient,
    /// It may be better in some minutes.
    Slow,
    /// The server broke XML or the protocol, in the middle of a restart maybe: slow,
    /// but not for ever.
    Breach,
    /// The password is wrong, or its database away: slow and once, if it was right before.
    Password,
    /// It will not be better until somebody changes something.
    Attention,
}

/// How bad the end of a stream is.
const fn class(cause: &OfflineCause) -> Class {
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Certificate => Class::Attention,
            TransportFailureKind::Resolve
            | TransportFailureKind::Connect
            | TransportFailureKind::Tls
            | TransportFailureKind::Io => Class::Transient,
        },
        OfflineCause::TimedOut(_) | OfflineCause::PeerClosed | OfflineCause::Truncated => {
            Class::Transient
        }
        OfflineCause::StreamError { condition, .. } => of_stream(*condition),
        OfflineCause::Auth(failure) => match failure {
            AuthFailure::Rejected { condition, .. } => match condition {
                SaslCondition::TemporaryAuthFailure => Class::Transient,
                // RFC 6120 section 6.5: who does not understand a condition "MUST treat the
                // unknown condition as a generic authentication failure, i.e., as equivalent
                // to <not-authorized/>".
                SaslCondition::NotAuthorized | SaslCondition::Undefined => Class::Password,
                _ => Class::Attention,
            },
            _ => Class::Attention,
        },
        OfflineCause::Bind(error) => match error.condition {
            // RFC 6120 section 7.6.2.1: at the limit of connected resources; and section
            // 8.3.2: "wait -- retry after waiting (the error is temporary)".
            Condition::ResourceConstraint | Condition::InternalServerError => Class::Slow,
            _ if matches!(error.kind, ErrorType::Wait) => Class::Slow,
            _ => Class::Attention,
        },
        OfflineCause::PeerIncompatible(_) | OfflineCause::Closed => Class::Attention,
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_) => Class::Breach,
        OfflineCause::Internal(_) => Class::Slow,
    }
}

/// Whether the other end said so, and has not merely gone or been refused.
const fn is_said(cause: &OfflineCause) -> bool {
    matches!(
        cause,
        OfflineCause::StreamError { .. }
            | OfflineCause::Xml(_)
            | OfflineCause::PeerMisbehaved(_)
            | OfflineCause::PeerIncompatible(_)
    )
}

const fn of_stream(condition: StreamCondition) -> Class {
    match condition {
        StreamCondition::ConnectionTimeout
        | StreamCondition::InternalServerError
        | StreamCondition::RemoteConnectionFailed
        | StreamCondition::Reset
        | StreamCondition::SystemShutdown
        // What the server found wrong with our XML: not with all of it, since streams
        // were set up before. Which stanza it was is for the posts to find out.
        | StreamCondition::BadFormat
        | StreamCondition::BadNamespacePrefix
        | StreamCondition::ImproperAddressing
        | StreamCondition::InvalidXml
        | StreamCondition::NotWellFormed
        | StreamCondition::RestrictedXml
        | StreamCondition::UndefinedCondition
        | StreamCondition::UnsupportedStanzaType => Class::Transient,
        StreamCondition::PolicyViolation | StreamCondition::ResourceConstraint => Class::Slow,
        // Somebody else took our place: to take it back would be a see-saw.
        StreamCondition::Conflict
        | StreamCondition::HostUnknown
        | StreamCondition::HostGone
        | StreamCondition::NotAuthorized
        | StreamCondition::InvalidFrom
        | StreamCondition::InvalidNamespace
        | StreamCondition::SeeOtherHost
        | StreamCondition::UnsupportedVersion
        | StreamCondition::UnsupportedFeature
        | StreamCondition::UnsupportedEncoding => Class::Attention,
    }
}

/// What the streams so far mean for the next one.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Failed streams in a row, none of which lasted long enough to be stable.
    failures: u32,
    /// When the server broke XML or the protocol, within the last hour.
    breaches: Vec<Instant>,
    /// The password was right once.
    proven: bool,
    /// And was refused since.
    refused: bool,
    /// When the budget would be as good as new, on the host's clock.
    spent_until: Instant,
    /// The same without the attempt that is planned and not made yet.
    spent_before: Option<Instant>,
}

impl Pacing {
    /// Before the first attempt, which is part of the budget.
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        let mut pacing = Self::default();
        pacing.spend(now, Duration::ZERO, limits.attempts_per_hour);
        pacing.begun();
        pacing
    }

    /// A stream lasted.
    pub(super) const fn stable(&mut self) {
        self.failures = 0;
    }

    /// The server took the password.
    pub(super) const fn logged_in(&mut self) {
        self.proven = true;
        self.refused = false;
    }

    /// The attempt that was planned is made.
    pub(super) const fn begun(&mut self) {
        self.spent_before = None;
    }

    /// The host wants a stream: whatever was is forgiven. The budget is not, but is
    /// no matter to attempts that the host asks for: what was taken out of it for the
    /// attempt that is not made now is given back.
    pub(super) fn asked(&mut self) {
        self.failures = 0;
        self.breaches.clear();
        if let Some(before) = self.spent_before.take() {
            self.spent_until = before;
        }
    }

    /// A stream ended: the pause before the next attempt, if there is one.
    pub(super) fn after(
        &mut self,
        cause: &OfflineCause,
        peer: Peer,
        now: Instant,
        limits: &Limits,
        timing: &Timing,
        ids: &mut IdSource,
    ) -> Option<Duration> {
        let final_by_mistake = match cause {
            OfflineCause::Auth(_) => planted(Bug::TemporaryFailureIsFinal),
            OfflineCause::StreamError { .. } => planted(Bug::StreamErrorIsFinal),
            _ => false,
        };
        if final_by_mistake {
            return None;
        }
        let hearsay = peer == Peer::Anybody && self.proven && is_said(cause);
        let slow = match class(cause) {
            Class::Breach | Class::Attention if hearsay => true,
            Class::Transient => planted(Bug::SlowAfterABreak),
            Class::Slow => true,
            Class::Breach => {
                self.breaches.retain(|at| now.since(*at) < HOUR);
                self.breaches.push(now);
                if self.breaches.len() >= BREACHES {
                    return None;
                }
                true
            }
            // More often than once, and accounts are locked, addresses barred.
            Class::Password if self.proven && !self.refused => {
                self.refused = true;
                true
            }
            Class::Password | Class::Attention if planted(Bug::NeverIgnored) => true,
            Class::Password => {
                self.proven = false;
                return None;
            }
            Class::Attention => return None,
        };
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = if slow {
            let ceiling = timing.slow_min.saturating_mul(2 << doublings);
            let above = ceiling.min(timing.slow_max).saturating_sub(timing.slow_min);
            timing.slow_min.saturating_add(ids.jitter(above))
        } else {
            let ceiling = timing.backoff_min.saturating_mul(1 << doublings);
            ids.jitter(ceiling.min(timing.backoff_max))
        };
        if planted(Bug::NoBackoff) {
            return Some(Duration::ZERO);
        }
        Some(self.spend(now, pause, limits.attempts_per_hour))
    }

    /// Takes an attempt out of the budget: the pause, prolonged if need be. Each
    /// attempt puts off by one interval when all is spent; that may lie ahead by a
    /// burst. So in no hour there are more than the burst and an hour's intervals.
    fn spend(&mut self, now: Instant, pause: Duration, per_hour: u32) -> Duration {
        let burst = (per_hour / 4).max(1);
        // Rounded up, and one more than an hour has room for, since the first comes free.
        let spaced = per_hour.saturating_sub(burst).saturating_add(1).max(1);
        let interval = part(HOUR, spaced).saturating_add(Duration::from_micros(1));
        let ahead = interval.saturating_mul(burst.saturating_sub(1));
        let ahead = u64::try_from(ahead.as_micros()).unwrap_or(u64::MAX);
        let soonest = self.spent_until.as_micros().saturating_sub(ahead);
        let at = now.plus(pause).max(Instant::from_micros(soonest));
        self.spent_before = Some(self.spent_until);
        self.spent_until = self.spent_until.max(at).plus(interval);
        at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Seed;

    /// World 116710.
    #[test]
    fn impatient_hosts_do_not_spend_the_budget() {
        let (limits, timing) = (Limits::default(), Timing::default());
        let mut ids = IdSource::new(Seed::new([5; 32]));
        let mut now = Instant::ZERO;
        let mut pacing = Pacing::new(now, &limits);
        for _ in 0..500 {
            let pause = pacing.after(
                &OfflineCause::PeerClosed,
                Peer::Ours,
                now,
                &limits,
                &timing,
                &mut ids,
            );
            assert!(pause.unwrap() <= timing.backoff_max, "waits for {pause:?}");
            now = now.plus(Duration::from_millis(100));
            pacing.asked();
        }
    }

    /// The most attempts in any hour of a day in which each fails at once.
    fn most_in_an_hour(per_hour: u32, timing: &Timing) -> usize {
        let mut ids = IdSource::new(Seed::new([5; 32]));
        let limits = Limits {
            attempts_per_hour: per_hour,
            ..Limits::default()
        };
        let (mut pacing, mut now, mut at) = (
            Pacing::new(Instant::ZERO, &limits),
            Instant::ZERO,
            Vec::from([Instant::ZERO]),
        );
        while now < Instant::ZERO.plus(HOUR * 24) {
            let cause = OfflineCause::PeerClosed;
            let pause = pacing.after(&cause, Peer::Ours, now, &limits, timing, &mut ids);
            now = now.plus(pause.unwrap());
            pacing.begun();
            at.push(now);
        }
        let (mut most, mut first) = (0, 0);
        for (last, until) in at.iter().enumerate() {
            while until.since(at[first]) >= HOUR {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }

    /// `service-unavailable` and whatever else was refused with `wait` needed somebody's
    /// attention.
    #[test]
    fn a_bind_that_is_to_wait_is_tried_again() {
        let refused = |kind, condition| {
            let error = crate::error::StanzaError::new(kind, condition);
            class(&OfflineCause::Bind(error))
        };
        let condition = Condition::ServiceUnavailable;
        assert_eq!(refused(ErrorType::Wait, condition), Class::Slow);
        assert_eq!(refused(ErrorType::Cancel, condition), Class::Attention);
        let condition = Condition::NotAllowed;
        assert_eq!(refused(ErrorType::Cancel, condition), Class::Attention);
    }

    #[test]
    fn no_hour_sees_more_attempts_than_the_budget_allows() {
        let hasty = Timing {
            backoff_min: Duration::ZERO,
            backoff_max: Duration::ZERO,
            ..Timing::default()
        };
        for per_hour in [0, 1, 2, 3, 10, 120, 1000] {
            let most = most_in_an_hour(per_hour, &hasty);
            let allowed = usize::try_from(per_hour).unwrap().max(1);
            assert!(most <= allowed, "{most} of {per_hour}");
            assert!(most * 10 >= allowed * 9, "{most} of {per_hour}");
        }
        let usual = most_in_an_hour(120, &Timing::default());
        assert!((60..=120).contains(&usual), "{usual}");
    }
}
