//! What is right after something ended: to try again, or to stop. Written from the
//! design, not from the client, which has tables of its own.
//!
//! | what ended | try again | stop |
//! |---|---|---|
//! | a stream | I/O and TLS but for the certificate, silence, a close in good order; [stream errors that pass](passes); a login refused for now; a bind that says `wait`, or that the server lacks what it takes; XML or a protocol broken fewer than three times in an hour | certificate, no TLS, no bind, the other stream errors, the account, no safe login, a bind refused, broken XML or protocol for the third time in an hour |
//! | a stream, by the password | once more, if it was taken since it was refused last | else |
//! | being in a room | the service stops (332), a technical problem (333), no reason, dropped without a word; the first kick of an hour | banned (301), no member (321, 322), destroyed, asked; further kicks |
//! | coming in | `wait`, `item-not-found`, `recipient-unavailable`, `remote-server-*`, `internal-server-error`; no answer, and `service-unavailable` of a room that let us in before; a nick that was only suggested | all other errors; a nick that was chosen and never ours |
//!
//! A room that never let its host in may be given up for any reason once the time for a
//! join is over; a chosen nick that was ours, when somebody had it for longer than a
//! server needs to notice that a link is gone.
//!
//! What a gap may be told for, of what the world did and the host could see of it since it
//! stood at the end of the archive last, or a minute before:
//!
//! | reason | what there has to be |
//! |---|---|
//! | `CursorExpired` | it names a place, which is not in the archive, nor is its tombstone; or it does not show yet, or did not a minute ago where the host's clock leaps just then or its link is slow. Nobody expires who stands nowhere, or at the beginning |
//! | `NoArchive` | the room said, when it was asked last in this session, that it has no archive or does not put its ids on messages; or it would not say; or it has been asked for half a minute by the host's clock, counted from when it was asked to let the host in, or since the session began where a link that is slow or broken may not have taken the question (unless its bot was told late); or one of this when it stood at the end last |
//! | `NeverAnchored` | it stands nowhere: no place was told, and it was out of the room or off its stream since it began; or something was given without one |
//! | `Overflow` | more came live than [is held back](crate::Limits::held_messages), by number or by bytes; or something that has no place, which cannot be read later |
//! | `Recreated` | the room was destroyed or lost, once for each time that this is told |
//! | `ArchiveFailed` | as it says: refused for that, and again and again if it may pass; `NoSuchRoom` and `ArchiveUnsupported` for the conditions that say so; not answered in this session for half a minute by the host's clock, or not written since the link is broken, once, and failed once more in any way; contradicted by a page that was [spoilt](crate::sim::server::Note::Garbled) or may change, or by what it let go of meanwhile; a place that is not there |
//! | `Unsettled` | something came live five seconds ago or more that was not given since, and that the archive did not show by a minute ago, or not in its turn, or no more; a page of it was spoilt or may change; or it let go of some place, which may be one to compare from |
//!
//! Sources: RFC 6120, sections 4.9.3, 6.5, 7.6.2 and 8.3.2; XEP-0045 v1.35.5, sections
//! 7.2, 8.2, 9.1, 10.9 and 11; XEP-0410 v1.1.0, section 3.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::sim::plan::passes;
use crate::sim::server::Removal;
use crate::{
    AuthFailure, Condition, ErrorType, GapReason, Instant, JoinFailure, LeaveCause, OfflineCause,
    RequestError, Retry, SaslCondition, StreamCondition, TransportFailureKind,
};

/// So many breaches of XML or protocol within [`HOUR`] are taken for all there is to come.
const BREACHES: usize = 3;

/// So many failures of an archive are more than one that happened to fail.
const AGAIN_AND_AGAIN: usize = 2;

/// For how long kicks and breaches count.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// The time for a join, by default, but for what a coarse clock makes of it.
const JOIN: Duration = Duration::from_millis(29_900);

/// A server has noticed by then that a link is gone, and let go of the nick.
const GHOST: Duration = Duration::from_secs(60);

/// What is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has to try again.
    Again,
    /// It has to stop.
    Stop,
    /// It may do either.
    Either,
}

impl Verdict {
    /// The rule that this breaks, and what it does.
    pub(super) const fn broken_by(self, retry: Retry) -> Option<(&'static str, &'static str)> {
        match (self, retry) {
            (Self::Again, Retry::Never) => Some(("L1", "gives up")),
            (Self::Stop, Retry::At(_)) => Some(("L5", "tries again")),
            _ => None,
        }
    }
}

/// What a host went through before a stream ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// The server took the password, and has not refused it since.
    pub(super) trusted: bool,
    /// Breaches of XML or protocol within the hour, this one included.
    pub(super) breaches: usize,
    /// It was asked to end.
    pub(super) closing: bool,
}

/// After the end of a stream, or of an attempt at one.
pub(super) fn of_stream(cause: &OfflineCause, past: Past) -> Verdict {
    if past.closing {
        return Verdict::Stop;
    }
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Certificate => Verdict::Stop,
            TransportFailureKind::Resolve
            | TransportFailureKind::Connect
            | TransportFailureKind::Tls
            | TransportFailureKind::Io => Verdict::Again,
        },
        // Nobody asked for it.
        OfflineCause::Closed => Verdict::Again,
        OfflineCause::TimedOut(_) | OfflineCause::PeerClosed | OfflineCause::Truncated => {
            Verdict::Again
        }
        OfflineCause::StreamError { condition, .. } if passes(*condition) => Verdict::Again,
        OfflineCause::Auth(AuthFailure::Rejected {
            condition: SaslCondition::TemporaryAuthFailure,
            ..
        }) => Verdict::Again,
        // Its database may be away: once more, and no more than that.
        OfflineCause::Auth(_) if past.trusted && is_refusal(cause) => Verdict::Again,
        OfflineCause::StreamError { .. }
        | OfflineCause::Auth(_)
        | OfflineCause::PeerIncompatible(_) => Verdict::Stop,
        // RFC 6120 section 7.6.2: too many resources is `resource-constraint`, to be tried
        // again; what is not allowed stays so.
        OfflineCause::Bind(error) => match error.condition {
            Condition::ResourceConstraint | Condition::InternalServerError => Verdict::Again,
            _ if error.kind == ErrorType::Wait => Verdict::Again,
            _ => Verdict::Stop,
        },
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_) => {
            if past.breaches < BREACHES {
                Verdict::Again
            } else {
                Verdict::Stop
            }
        }
        // Its own mistake: that there is one is what is wrong.
        OfflineCause::Internal(_) => Verdict::Either,
    }
}

/// How long it may wait before it comes again: a minute, or ten where the server is to be left
/// in peace; an attempt that the hour has no room for waits for less.
pub(super) fn patience(cause: &OfflineCause) -> Duration {
    let slow = match cause {
        OfflineCause::StreamError { condition, .. } => matches!(
            condition,
            StreamCondition::PolicyViolation | StreamCondition::ResourceConstraint
        ),
        OfflineCause::Auth(_)
        | OfflineCause::Bind(_)
        | OfflineCause::Xml(_)
        | OfflineCause::PeerMisbehaved(_)
        | OfflineCause::PeerIncompatible(_)
        | OfflineCause::Internal(_) => true,
        OfflineCause::Transport(_)
        | OfflineCause::TimedOut(_)
        | OfflineCause::PeerClosed
        | OfflineCause::Truncated
        | OfflineCause::Closed => false,
    };
    Duration::from_secs(if slow { 601 } else { 61 })
}

/// Whether the server did not take the password. RFC 6120 section 6.5: who does not
/// understand a condition treats it as `not-authorized`.
pub(super) const fn is_refusal(cause: &OfflineCause) -> bool {
    matches!(
        cause,
        OfflineCause::Auth(AuthFailure::Rejected {
            condition: SaslCondition::NotAuthorized | SaslCondition::Undefined,
            ..
        })
    )
}

/// Whether the server broke XML or the protocol.
pub(super) const fn is_breach(cause: &OfflineCause) -> bool {
    matches!(
        cause,
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_)
    )
}

/// How a host stands with a room when it is put out or refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    /// It was in.
    pub(super) entered: bool,
    /// Its stream is over, and there will be no other by itself.
    pub(super) over: bool,
    /// Kicks within the hour, this one included.
    pub(super) kicks: usize,
    /// How many of them are to be answered by coming back.
    pub(super) forgiven: u32,
    /// The nick was not only suggested.
    pub(super) chosen: bool,
    /// For how long it has been trying: on this stream, if it was in before; else on all.
    pub(super) trying: Duration,
    /// Its timers cannot be told by the world's clock.
    pub(super) disturbed: bool,
}

/// After a host was put out of a room.
pub(super) const fn of_removal(cause: &LeaveCause, room: Standing) -> Verdict {
    match cause {
        LeaveCause::ServiceShutdown
        | LeaveCause::TechnicalProblem
        | LeaveCause::Unexplained
        | LeaveCause::Dropped => Verdict::Again,
        LeaveCause::Kicked { .. } if room.disturbed => Verdict::Either,
        LeaveCause::Kicked { .. } if room.kicks <= room.forgiven as usize => Verdict::Again,
        LeaveCause::Kicked { .. }
        | LeaveCause::Banned { .. }
        | LeaveCause::NotMember
        | LeaveCause::Destroyed { .. }
        | LeaveCause::Asked => Verdict::Stop,
        LeaveCause::Offline => with_the_stream(room),
    }
}

/// After a room refused to let a host in.
pub(super) fn of_refusal(error: &JoinFailure, room: Standing) -> Verdict {
    let verdict = match error {
        JoinFailure::NickConflict if !room.chosen => Verdict::Again,
        JoinFailure::NickConflict if !room.entered => Verdict::Stop,
        JoinFailure::NickConflict if room.trying >= GHOST || room.disturbed => Verdict::Either,
        JoinFailure::NickConflict | JoinFailure::TimedOut => Verdict::Again,
        JoinFailure::Refused(error) => match error.condition {
            Condition::ItemNotFound
            | Condition::RecipientUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::InternalServerError => Verdict::Again,
            _ if error.kind == ErrorType::Wait => Verdict::Again,
            // While the rooms' service is started again; or there is none.
            Condition::ServiceUnavailable if room.entered => Verdict::Again,
            _ => Verdict::Stop,
        },
        JoinFailure::Offline => return with_the_stream(room),
        // Who was never in does not come back to be kicked again.
        JoinFailure::PutOut(LeaveCause::Kicked { .. }) => Verdict::Stop,
        JoinFailure::PutOut(cause) => of_removal(cause, room),
    };
    let in_vain = !room.entered && (room.trying >= JOIN || room.disturbed);
    if in_vain { Verdict::Either } else { verdict }
}

/// A room that ended with its stream comes back with it.
const fn with_the_stream(room: Standing) -> Verdict {
    if room.over {
        Verdict::Either
    } else {
        Verdict::Again
    }
}

/// What the server must have done for a host to be told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Its operators removed the account.
    Removed(Removal),
    /// The room was destroyed.
    Destroyed,
}

/// What must have been done to a host that is put out for this cause.
pub(super) const fn behind_removal(cause: &LeaveCause) -> Option<Deed> {
    match cause {
        LeaveCause::Kicked { .. } => Some(Deed::Removed(Removal::Kicked)),
        LeaveCause::Banned { .. } => Some(Deed::Removed(Removal::Banned)),
        LeaveCause::NotMember => Some(Deed::Removed(Removal::NotMember)),
        LeaveCause::Destroyed { .. } => Some(Deed::Destroyed),
        _ => None,
    }
}

/// What must have been done to a host that is refused for this reason.
pub(super) const fn behind_refusal(error: &JoinFailure) -> Option<Deed> {
    let JoinFailure::Refused(error) = error else {
        return None;
    };
    match error.condition {
        Condition::Forbidden => Some(Deed::Removed(Removal::Banned)),
        Condition::RegistrationRequired => Some(Deed::Removed(Removal::NotMember)),
        Condition::Gone => Some(Deed::Destroyed),
        _ => None,
    }
}

/// What there truly was for which a gap may be told.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Grounds {
    /// The room was lost more often than was told.
    pub(super) recreated: bool,
    /// The room said that it has no archive whose ids are on its messages, or would not say,
    /// or did not in time.
    pub(super) lacks_archive: bool,
    /// No place was told, or something was given without one.
    pub(super) stands_nowhere: bool,
    /// Something was given without a place.
    pub(super) placeless: bool,
    /// It was out of the room, or off its stream.
    pub(super) interrupted: bool,
    /// More came live than is held back.
    pub(super) overflowed: bool,
    /// Something came live that has no place.
    pub(super) heard_unplaced: bool,
    /// Something came live that the archive does not show as it should.
    pub(super) awaited: bool,
    /// The gap names a place that was given out, and that the archive let go of or does not
    /// show yet, as far as the host can know.
    pub(super) place_is_missing: bool,
    /// It does so, or did lately.
    pub(super) place_is_gone: bool,
    /// The archive let go of some place since.
    pub(super) let_go: bool,
    /// For what the archive refused to be read.
    pub(super) refused_for: Vec<String>,
    /// How many queries were refused in time.
    pub(super) refusals: usize,
    /// How many were not answered in time, by the host's clock.
    pub(super) timed_out: usize,
    /// A page was not as it should be, or may change, or messages got other ids.
    pub(super) spoilt: bool,
}

/// What of a gap is a lie, if it is one.
pub(super) fn lie_of_a_gap(reason: &GapReason, there: &Grounds) -> Option<&'static str> {
    let (holds, lie) = match reason {
        GapReason::CursorExpired => (there.place_is_missing, "the archive has all"),
        GapReason::NoArchive => (
            there.lacks_archive,
            "the room did not say that it has no archive",
        ),
        GapReason::NeverAnchored if !there.interrupted && !there.placeless => {
            (false, "nothing came between")
        }
        GapReason::NeverAnchored => (there.stands_nowhere, "it knows where it stands"),
        GapReason::Overflow => (
            there.overflowed || there.heard_unplaced,
            "not so much was said",
        ),
        GapReason::Recreated => (there.recreated, "the room was not lost"),
        GapReason::ArchiveFailed(error) => {
            (has_failed(error, there), "the archive did not fail so")
        }
        GapReason::Unsettled => (
            there.awaited || there.spoilt || there.place_is_gone || there.let_go,
            "the archive shows all that was said",
        ),
    };
    (!holds).then_some(lie)
}

/// Whether reading an archive failed in this way, and often enough.
fn has_failed(error: &RequestError, there: &Grounds) -> bool {
    let refused_for = |condition: &Condition| {
        let condition = condition.as_str();
        there.refused_for.iter().any(|it| it == condition)
    };
    let spoilt = usize::from(there.spoilt);
    let failures = (there.refusals.saturating_add(there.timed_out)).saturating_add(spoilt);
    match error {
        RequestError::Refused(error) => {
            let once_is_enough = error.kind != ErrorType::Wait;
            refused_for(&error.condition) && (once_is_enough || failures >= AGAIN_AND_AGAIN)
        }
        RequestError::CursorExpired { .. } | RequestError::CursorForeign => there.place_is_gone,
        RequestError::NoSuchRoom => [Condition::ItemNotFound, Condition::Gone]
            .iter()
            .any(refused_for),
        RequestError::ArchiveUnsupported => {
            let for_that = [
                Condition::FeatureNotImplemented,
                Condition::ServiceUnavailable,
            ];
            for_that.iter().any(refused_for)
        }
        // What was there a page before may have been let go of since.
        RequestError::Inconsistent(_) => there.spoilt || there.let_go,
        RequestError::TimedOut => there.timed_out > 0 && failures >= AGAIN_AND_AGAIN,
        // Then nobody reads it.
        RequestError::Offline => false,
    }
}

/// Instants of the last hour, on a clock of their own.
#[derive(Debug, Default)]
pub(super) struct LastHour(Vec<Instant>);

impl LastHour {
    /// One more. Returns how many there are in the hour that ends now.
    pub(super) fn add(&mut self, now: Instant) -> usize {
        self.0.retain(|at| now.since(*at) < HOUR);
        self.0.push(now);
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many of them lie in what is left of that time before now.
    pub(super) fn within(&self, last: Duration, now: Instant) -> usize {
        self.0.iter().filter(|at| now.since(**at) < last).count()
    }
}
