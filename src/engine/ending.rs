//! What the end of a stream means: what the peer is told, whether there will be
//! another, and whether that may go on where this one broke. One exhaustive match
//! each, so that a new cause asks to be decided on.

use crate::error::{AuthFailure, SaslCondition, StreamCondition};
use crate::event::{OfflineCause, PeerIncompatible, PeerMisbehaved, TransportFailureKind};

/// What the peer is told about the end of the stream: RFC 6120, section 4.9.3.
pub(super) const fn stream_condition(cause: &OfflineCause) -> Option<StreamCondition> {
    match cause {
        OfflineCause::Xml(error) => Some(error.condition()),
        OfflineCause::TimedOut(_) => Some(StreamCondition::ConnectionTimeout),
        OfflineCause::PeerMisbehaved(what) => Some(match what {
            PeerMisbehaved::UnexpectedElement => StreamCondition::UnsupportedStanzaType,
            PeerMisbehaved::WrongStreamHeader => StreamCondition::InvalidFrom,
            PeerMisbehaved::DataAfterProceed | PeerMisbehaved::IdleFlood => {
                StreamCondition::PolicyViolation
            }
            PeerMisbehaved::MalformedHandledCount => StreamCondition::BadFormat,
            // XEP-0198 section 6 asks for this one where the count is too high.
            PeerMisbehaved::HandledCountTooHigh { .. }
            | PeerMisbehaved::HandledCountBackwards
            | PeerMisbehaved::ResumedAnother
            | PeerMisbehaved::BoundToAnotherAccount
            | PeerMisbehaved::MalformedBind => StreamCondition::UndefinedCondition,
        }),
        OfflineCause::PeerIncompatible(what) => Some(match what {
            PeerIncompatible::LegacyStream => StreamCondition::UnsupportedVersion,
            PeerIncompatible::NoTls | PeerIncompatible::TlsRefused => {
                StreamCondition::PolicyViolation
            }
            PeerIncompatible::NoBind => StreamCondition::UnsupportedFeature,
        }),
        OfflineCause::Internal(_) => Some(StreamCondition::UndefinedCondition),
        OfflineCause::Transport(_)
        | OfflineCause::PeerClosed
        | OfflineCause::StreamError { .. }
        | OfflineCause::Auth(_)
        | OfflineCause::Bind(_)
        | OfflineCause::Closed => None,
    }
}

/// What the end of a stream means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It may be better in a moment.
    Transient,
    /// It may be better in some minutes.
    Slow,
    /// It will not be better until somebody changes something.
    Attention,
}

/// How bad the end of a stream is.
pub(super) const fn class(cause: &OfflineCause) -> Class {
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Certificate => Class::Attention,
            TransportFailureKind::Resolve
            | TransportFailureKind::Connect
            | TransportFailureKind::Tls
            | TransportFailureKind::Io => Class::Transient,
        },
        OfflineCause::TimedOut(_) | OfflineCause::PeerClosed => Class::Transient,
        OfflineCause::StreamError { condition, .. } => match condition {
            // Somebody else took our place: to take it back would be a see-saw.
            StreamCondition::Conflict
            | StreamCondition::HostUnknown
            | StreamCondition::HostGone
            | StreamCondition::NotAuthorized
            | StreamCondition::InvalidFrom
            | StreamCondition::InvalidNamespace
            | StreamCondition::UnsupportedVersion
            | StreamCondition::UnsupportedFeature
            | StreamCondition::UnsupportedEncoding
            | StreamCondition::UnsupportedStanzaType
            | StreamCondition::SeeOtherHost => Class::Attention,
            StreamCondition::PolicyViolation | StreamCondition::ResourceConstraint => Class::Slow,
            _ => Class::Transient,
        },
        OfflineCause::Auth(failure) => match failure {
            AuthFailure::Rejected {
                condition: SaslCondition::TemporaryAuthFailure,
                ..
            } => Class::Slow,
            _ => Class::Attention,
        },
        OfflineCause::Bind(error) => match error.condition {
            crate::error::Condition::ResourceConstraint
            | crate::error::Condition::InternalServerError => Class::Slow,
            _ => Class::Attention,
        },
        OfflineCause::PeerIncompatible(_) | OfflineCause::Closed => Class::Attention,
        // A peer that garbles its XML may have been restarted in the middle.
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_) | OfflineCause::Internal(_) => {
            Class::Slow
        }
    }
}

/// Whether what lived on a stream that ended so may live on in the next one, if the
/// server lets it (XEP-0198 v1.6.3, section 5).
pub(super) const fn may_resume(cause: &OfflineCause) -> bool {
    match cause {
        // At worst it costs a round trip to learn that the server has forgotten.
        OfflineCause::Transport(_)
        | OfflineCause::TimedOut(_)
        | OfflineCause::PeerClosed
        | OfflineCause::Auth(_) => true,
        OfflineCause::StreamError { condition, .. } => match condition {
            // What the server did not like would be sent again, for ever.
            StreamCondition::BadFormat
            | StreamCondition::BadNamespacePrefix
            | StreamCondition::ImproperAddressing
            | StreamCondition::InvalidFrom
            | StreamCondition::InvalidNamespace
            | StreamCondition::InvalidXml
            | StreamCondition::NotAuthorized
            | StreamCondition::NotWellFormed
            | StreamCondition::PolicyViolation
            | StreamCondition::RestrictedXml
            | StreamCondition::UndefinedCondition
            | StreamCondition::UnsupportedEncoding
            | StreamCondition::UnsupportedFeature
            | StreamCondition::UnsupportedStanzaType
            | StreamCondition::UnsupportedVersion
            // Somebody else has our place.
            | StreamCondition::Conflict
            | StreamCondition::HostGone
            | StreamCondition::HostUnknown
            | StreamCondition::SeeOtherHost => false,
            StreamCondition::ConnectionTimeout
            | StreamCondition::InternalServerError
            | StreamCondition::RemoteConnectionFailed
            | StreamCondition::Reset
            | StreamCondition::ResourceConstraint
            | StreamCondition::SystemShutdown => true,
        },
        // Who breaks the protocol cannot be trusted with its counters; and we closed
        // the stream, which ends its session.
        OfflineCause::Xml(_)
        | OfflineCause::PeerMisbehaved(_)
        | OfflineCause::PeerIncompatible(_)
        | OfflineCause::Bind(_)
        | OfflineCause::Closed
        | OfflineCause::Internal(_) => false,
    }
}
