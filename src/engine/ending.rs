//! How a stream ends: what the peer is told, who learns of it, and whether what
//! lived on it may go on in another (RFC 6120, sections 4.4 and 4.9; XEP-0198 v1.6.3,
//! section 5). One exhaustive match each, so that a new cause asks to be decided on.
//!
//! Every end of a stream goes through [`Machine::end_stream`]. Whether and when there
//! is another is decided in [`retry`](super::retry).

use super::link::{Link, Peer};
use super::machine::Machine;
use crate::error::{AuthFailure, StreamCondition};
use crate::event::{Event, OfflineCause, PeerIncompatible, PeerMisbehaved, Retry};
use crate::planted::{Bug, planted};
use crate::stanza::presence;
use crate::stream;
use crate::time::Timer;

/// How a stream ends, as far as it decides what can still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The transport is gone, or never was.
    Dead,
    /// The peer ended the stream.
    Theirs,
    /// We end it.
    Ours,
}

impl Machine {
    /// The transport of a stream that had ended is closed.
    pub(super) fn transport_gone(&mut self) {
        self.core.cx().disarm(Timer::Close, 0);
        self.core.out.reset();
        self.link = Link::Resting;
        self.finish();
    }

    /// Ends the engine, if that was asked for.
    fn finish(&mut self) {
        if self.closing {
            self.link = Link::Closed;
            self.core.cx().tell(Event::Closed);
        }
    }

    /// Ends the engine.
    pub(super) fn close(&mut self) {
        if !core::mem::replace(&mut self.closing, true) {
            self.part();
            if matches!(self.link, Link::Resting) {
                self.finish();
            }
        }
    }

    /// Ends the stream, or the attempt at one, or the waiting for the next.
    pub(super) fn part(&mut self) {
        match self.link {
            Link::Online => {
                self.core.out.stanza(presence::write_final);
                self.management.take_leave(&mut self.core.cx());
                self.end_stream(OfflineCause::Closed, Ending::Ours);
            }
            Link::Negotiating(_) => self.end_stream(OfflineCause::Closed, Ending::Ours),
            Link::Connecting => self.end_stream(OfflineCause::Closed, Ending::Dead),
            Link::Resting | Link::Parting | Link::Draining => {
                self.core.cx().disarm(Timer::Reconnect, 0);
                self.session_over(Retry::Never, None);
            }
            Link::Closed => {}
        }
    }

    /// Ends the stream, or the attempt at one, without a word to the server.
    pub(super) fn abandon(&mut self) {
        match self.link {
            Link::Connecting | Link::Negotiating(_) | Link::Online => {
                self.end_stream(OfflineCause::Closed, Ending::Dead);
            }
            Link::Resting | Link::Parting | Link::Draining => {
                self.core.cx().disarm(Timer::Reconnect, 0);
                self.session_over(Retry::Never, None);
                self.transport_gone();
            }
            Link::Closed => {}
        }
    }

    /// Decides on the next attempt, and arms it.
    fn next_attempt(&mut self, cause: &OfflineCause) -> Retry {
        if self.closing || !self.core.config.reconnect {
            return Retry::Never;
        }
        let (cx, config) = self.core.split();
        let (limits, timing) = (&config.limits, &config.timing);
        let Some(pause) = self
            .pacing
            .after(cause, self.peer, cx.now, limits, timing, cx.ids)
        else {
            return Retry::Never;
        };
        self.core.cx().arm(Timer::Reconnect, 0, pause);
        Retry::At(self.core.now.plus(pause))
    }

    /// Ends the stream, or the attempt at one: the one place where that happens.
    pub(super) fn end_stream(&mut self, mut cause: OfflineCause, ending: Ending) {
        let condition = stream_condition(&cause);
        let awaits_tls =
            matches!(&self.link, Link::Negotiating(negotiation) if negotiation.awaits_tls());
        for timer in [
            Timer::Ack,
            Timer::Connect,
            Timer::Negotiation,
            Timer::Login,
            Timer::Keepalive,
            Timer::KeepaliveReply,
            Timer::Stable,
            Timer::Work,
        ] {
            self.core.cx().disarm(timer, 0);
        }
        let retry = self.next_attempt(&cause);
        if planted(Bug::PasswordTold)
            && let OfflineCause::Auth(AuthFailure::Rejected { text, .. }) = &mut cause
        {
            *text = Some(self.core.config.credentials.password().into());
        }
        let times = if planted(Bug::OfflineTwice) { 2 } else { 1 };
        for _ in usize::from(planted(Bug::OfflineUntold))..times {
            let cause = cause.clone();
            self.core.cx().tell(Event::Offline { cause, retry });
        }
        self.suspect_posts(&cause);
        if matches!(
            cause,
            OfflineCause::StreamError {
                condition: StreamCondition::Conflict,
                ..
            }
        ) && self.peer == Peer::Ours
        {
            self.displaced();
        }
        let writable = ending != Ending::Dead && !awaits_tls;
        if retry == Retry::Never || !may_resume(&cause, self.peer) || !self.suspend() {
            // What is written and not yet sent will be, if the transport lives on.
            let all = writable && !self.management.is_suspended();
            self.session_over(retry, all.then_some(u64::MAX));
        }
        if !writable {
            self.core.out.reset();
            // Somebody may still hold the transport; it is let go with the next
            // state the host is told of.
            self.link = Link::Resting;
            return self.finish();
        }
        let detail = match cause {
            OfflineCause::PeerMisbehaved(what) => Some(what),
            _ => None,
        };
        stream::write_end(&mut self.core.cx(), condition, detail);
        let patience = self.core.config.timing.close;
        if cause != OfflineCause::Closed || !planted(Bug::CloseWaits) {
            self.core.cx().arm(Timer::Close, 0, patience);
        }
        self.link = if cause == OfflineCause::Closed {
            Link::Parting
        } else {
            Link::Draining
        };
    }

    /// The server closed its side as well, or takes too long to.
    pub(super) fn drain(&mut self) {
        match self.link {
            Link::Parting => {
                let patience = self.core.config.timing.close;
                self.core.cx().arm(Timer::Close, 0, patience);
                self.link = Link::Draining;
            }
            // The host takes too long to close it.
            Link::Draining => self.transport_gone(),
            _ => {}
        }
    }
}

/// What the peer is told about the end of the stream: RFC 6120, section 4.9.3.
pub(super) const fn stream_condition(cause: &OfflineCause) -> Option<StreamCondition> {
    match cause {
        OfflineCause::Xml(error) => Some(error.condition()),
        OfflineCause::TimedOut(_) => Some(StreamCondition::ConnectionTimeout),
        OfflineCause::PeerMisbehaved(what) => Some(match what {
            PeerMisbehaved::UnexpectedElement => StreamCondition::UnsupportedStanzaType,
            PeerMisbehaved::WrongStreamHeader => StreamCondition::InvalidFrom,
            PeerMisbehaved::WrongContentNamespace => StreamCondition::InvalidNamespace,
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
        | OfflineCause::Truncated
        | OfflineCause::StreamError { .. }
        | OfflineCause::Auth(_)
        | OfflineCause::Bind(_)
        | OfflineCause::Closed => None,
    }
}

/// Whether what lived on a stream that ended so may live on in the next one, if the
/// server lets it (XEP-0198 v1.6.3, section 5). What is said before the login is not about
/// it, whoever says it: the session is of another stream than that.
pub(super) fn may_resume(cause: &OfflineCause, peer: Peer) -> bool {
    match cause {
        OfflineCause::StreamError { .. }
        | OfflineCause::Xml(_)
        | OfflineCause::PeerMisbehaved(_)
        | OfflineCause::PeerIncompatible(_)
            if peer < Peer::Ours =>
        {
            true
        }
        // At worst it costs a round trip to learn that the server has forgotten.
        OfflineCause::Transport(_)
        | OfflineCause::TimedOut(_)
        | OfflineCause::PeerClosed
        | OfflineCause::Truncated
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
