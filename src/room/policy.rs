//! What follows from what a room says: whether we come back after a removal, try
//! again after a refusal, are in or out after a self-ping. Decisions only, one
//! exhaustive match each (XEP-0045 v1.35.5, sections 7.2, 8.2, 9.1, 10.9 and 11;
//! XEP-0410 v1.1.0, section 3).
//!
//! It does not: act, count (but kicks), or wait.

use alloc::vec::Vec;
use core::time::Duration;

use crate::error::{Condition, ErrorType, StanzaError};
use crate::event::{LeaveCause, RequestError};
use crate::limits::Timing;
use crate::time::Instant;

/// What is done about a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Nobody meant us: we come back, with backoff.
    Return,
    /// Somebody did: what was configured decides.
    Kick,
    /// The room does not want us, or is no more.
    Final,
}

/// What is done about this cause.
pub(super) const fn removal(cause: &LeaveCause) -> Removal {
    match cause {
        LeaveCause::ServiceShutdown
        | LeaveCause::TechnicalProblem
        | LeaveCause::Unexplained
        | LeaveCause::Dropped
        // The session's business; it brings its rooms back itself.
        | LeaveCause::Offline => Removal::Return,
        LeaveCause::Kicked { .. } => Removal::Kick,
        // Section 10.9: the alternate venue is a suggestion, made by whoever could
        // destroy the room. It is told to the host, which alone can judge it.
        LeaveCause::Destroyed { .. }
        | LeaveCause::Banned { .. }
        | LeaveCause::NotMember
        | LeaveCause::Asked => Removal::Final,
    }
}

/// What is done about a refusal to let us in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Somebody has the nick.
    Nick,
    /// It may pass.
    Passing,
    /// It will not, until somebody changes something.
    Final,
}

/// What is done about this refusal; `entered` says that we were in before.
pub(super) fn refusal(error: &StanzaError, entered: bool) -> Refusal {
    match error.condition {
        Condition::Conflict => Refusal::Nick,
        // Somebody else is creating the room and has not unlocked it yet (section
        // 10.1.1), or its service is not there for now.
        Condition::ItemNotFound
        | Condition::RecipientUnavailable
        | Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::InternalServerError => Refusal::Passing,
        _ if error.kind == ErrorType::Wait => Refusal::Passing,
        // What our server says while the rooms' service is being restarted. Of a
        // room that never let us in it more likely means that there is no service.
        Condition::ServiceUnavailable if entered => Refusal::Passing,
        _ => Refusal::Final,
    }
}

/// What an answer to a self-ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// We are in.
    In,
    /// We are in and go by another nick, or there is no such room.
    Renamed,
    /// Nobody knows.
    Unknown,
    /// Something is wrong, and nothing says what.
    Odd,
    /// We are out.
    Out,
}

/// Reads the answer to a self-ping, as the table of XEP-0410 section 3 has it.
pub(super) const fn verdict(answer: &Result<(), RequestError>) -> Verdict {
    let error = match answer {
        Ok(()) => return Verdict::In,
        Err(RequestError::Refused(error)) => error,
        // "Timeout (no response): the MUC service (or another client) is unreachable."
        Err(_) => return Verdict::Unknown,
    };
    match error.condition {
        // "the client is joined, but the pinged client does not implement XMPP Ping".
        Condition::ServiceUnavailable | Condition::FeatureNotImplemented => Verdict::In,
        // "the client is joined, but the occupant just changed their name".
        Condition::ItemNotFound => Verdict::Renamed,
        // "No decision can be made based on this; Treat like a timeout".
        Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => Verdict::Unknown,
        Condition::UndefinedCondition => Verdict::Odd,
        // "Any other error: the client is probably not joined any more."
        _ => Verdict::Out,
    }
}

/// The most kicks that are remembered, however many are answered by coming back.
const KICKS: usize = 16;

/// The longest pause after a kick.
const KICK_PAUSE: Duration = Duration::from_secs(600);

/// The kicks of late, and how many of them are answered by coming back.
#[derive(Debug)]
pub(super) struct Kicks {
    allowed: usize,
    at: Vec<Instant>,
}

impl Kicks {
    pub(super) fn new(allowed: u32) -> Self {
        Self {
            allowed: usize::try_from(allowed).unwrap_or(KICKS).min(KICKS),
            at: Vec::new(),
        }
    }

    /// We were kicked: the pause after which we come back, if we do. Each is twice
    /// as long as that before it.
    pub(super) fn kicked(&mut self, now: Instant, timing: &Timing) -> Option<Duration> {
        self.at.retain(|at| now.since(*at) < timing.kick_memory);
        let before = self.at.len();
        if before >= self.allowed {
            return None;
        }
        self.at.push(now);
        let longest = KICK_PAUSE.max(timing.kick_pause);
        let pause = timing.kick_pause.saturating_mul(1 << before.min(KICKS));
        Some(pause.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kicks_are_answered_as_often_as_allowed_and_ever_more_slowly() {
        let timing = Timing::default();
        let at = |secs: u64| Instant::from_millis(secs * 1000);
        assert_eq!(Kicks::new(0).kicked(at(1), &timing), None);
        let mut once = Kicks::new(1);
        assert_eq!(once.kicked(at(1), &timing), Some(timing.kick_pause));
        assert_eq!(once.kicked(at(60), &timing), None);
        // It is remembered for so long, and no longer.
        let later = at(1).plus(timing.kick_memory);
        assert_eq!(once.kicked(later, &timing), Some(timing.kick_pause));
        let mut often = Kicks::new(u32::MAX);
        let pauses: Vec<_> = (0..20)
            .filter_map(|n| often.kicked(at(n), &timing))
            .collect();
        assert_eq!(pauses.len(), KICKS);
        assert!(pauses.is_sorted() && pauses.last() == Some(&KICK_PAUSE));
    }
}
