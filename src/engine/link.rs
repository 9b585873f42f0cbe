//! Bringing a stream up, and what comes over it to whom it concerns (RFC 6120,
//! sections 4 to 7).
//!
//! Whether it lives is noticed in [`liveness`](super::liveness), how it ends is done
//! in [`ending`](super::ending), whether another follows decided in
//! [`retry`](super::retry), and what outlives it kept in [`session`](super::session).

use alloc::boxed::Box;
use core::time::Duration;

use super::ending::Ending;
use super::machine::{Machine, Then};
use crate::config::{ChannelBinding, Security};
use crate::event::{OfflineCause, PeerMisbehaved, TransportFailure};
use crate::ns;
use crate::stream::{self, Channel, Negotiation, Setting, Step};
use crate::time::Timer;
use crate::xml::{Frame, XmlError};

/// How the engine stands with its server.
#[derive(Debug)]
pub(super) enum Link {
    /// No transport is wanted, now or ever.
    Resting,
    /// A transport is wanted.
    Connecting,
    /// The stream is being set up.
    Negotiating(Box<Negotiation>),
    /// The stream is up.
    Online,
    /// We closed our side and wait for the server to close its.
    Parting,
    /// The stream is over; what is left to write is written, then the transport closed.
    Draining,
    /// The engine has ended.
    Closed,
}

/// Who the other end of the transport is known to be, and so how far its word goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peer {
    /// Whoever stands on the way: all is in clear.
    Anybody,
    /// The server: TLS stands with its certificate, or the way does not leave this machine.
    Server,
    /// The server, and we are logged in: what it says may concern our session.
    Ours,
}

impl Link {
    /// Whether there is a stream to take input.
    pub(super) const fn has_stream(&self) -> bool {
        matches!(self, Self::Negotiating(_) | Self::Online | Self::Parting)
    }

    pub(super) const fn reads(&self) -> bool {
        match self {
            Self::Negotiating(negotiation) => !negotiation.awaits_tls(),
            _ => self.has_stream(),
        }
    }

    pub(super) const fn writes(&self) -> bool {
        self.has_stream() || matches!(self, Self::Draining)
    }
}

impl Machine {
    /// Asks the host for a transport.
    pub(super) fn connect(&mut self) {
        self.core.cx().disarm(Timer::Close, 0);
        self.core.out.reset();
        self.attempts = self.attempts.saturating_add(1);
        self.peer = Peer::Anybody;
        self.link = Link::Connecting;
        let after = self.core.config.timing.connect;
        self.core.cx().arm(Timer::Connect, 0, after);
    }

    /// A transport is open. Says whether it was wanted.
    pub(super) fn transport_opened(&mut self, security: Security) -> bool {
        if !matches!(self.link, Link::Connecting) {
            return false;
        }
        self.peer = match security {
            Security::Clear { loopback: false } => Peer::Anybody,
            Security::Clear { loopback: true } | Security::Tls(_) => Peer::Server,
        };
        let channel = match security {
            Security::Clear { loopback } => Channel::Clear { loopback },
            Security::Tls(binding) => Channel::Tls(binding),
        };
        self.core.cx().disarm(Timer::Connect, 0);
        let login = self.core.config.timing.login;
        self.core.cx().arm(Timer::Login, 0, login);
        self.arm_step();
        let negotiation = self.with_setting(|cx, setting| Negotiation::start(cx, setting, channel));
        self.link = Link::Negotiating(Box::new(negotiation));
        true
    }

    /// TLS stands. Says whether it was wanted.
    pub(super) fn tls_established(&mut self, binding: ChannelBinding) -> bool {
        if !matches!(self.link, Link::Negotiating(_)) {
            return false;
        }
        let mut link = core::mem::replace(&mut self.link, Link::Resting);
        let wanted = match &mut link {
            Link::Negotiating(negotiation) => {
                self.with_setting(|cx, setting| negotiation.tls_established(cx, setting, binding))
            }
            _ => false,
        };
        self.link = link;
        if wanted {
            self.peer = Peer::Server;
            self.arm_step();
        }
        wanted
    }

    pub(super) fn transport_failed(&mut self, why: TransportFailure) {
        match self.link {
            Link::Connecting | Link::Negotiating(_) | Link::Online => {
                self.end_stream(OfflineCause::Transport(why), Ending::Dead);
            }
            Link::Parting | Link::Draining => self.transport_gone(),
            Link::Resting | Link::Closed => {}
        }
    }

    /// The byte stream ended; `whole`: not in the middle of anything.
    pub(super) fn eof(&mut self, whole: bool) {
        match self.link {
            Link::Negotiating(_) | Link::Online => {
                let cause = if whole {
                    OfflineCause::PeerClosed
                } else {
                    // XML 1.0, section 2.1: what is left open is no document.
                    OfflineCause::Truncated
                };
                self.end_stream(cause, Ending::Dead);
            }
            Link::Parting | Link::Draining => self.transport_gone(),
            Link::Connecting | Link::Resting | Link::Closed => {}
        }
    }

    pub(super) fn xml_refused(&mut self, error: XmlError) {
        if matches!(self.link, Link::Parting) {
            return self.drain();
        }
        self.end_stream(OfflineCause::Xml(error), Ending::Ours);
    }

    pub(super) fn misbehaved(&mut self, what: PeerMisbehaved) {
        self.end_stream(OfflineCause::PeerMisbehaved(what), Ending::Ours);
    }

    /// Takes a frame, whatever the state.
    pub(super) fn on_frame(&mut self, frame: Frame<'_>) -> Then {
        // RFC 6120 section 4.8.3: "If an entity receives a first-level child element
        // qualified by a content namespace it does not support, it MUST close the stream
        // with an <invalid-namespace/> stream error."
        if let Frame::Stanza(element) = frame
            && element.ns() == ns::SERVER
            && matches!(self.link, Link::Negotiating(_) | Link::Online)
        {
            self.misbehaved(PeerMisbehaved::WrongContentNamespace);
            return Then::Continue;
        }
        match core::mem::replace(&mut self.link, Link::Resting) {
            Link::Negotiating(negotiation) => self.negotiate(negotiation, frame),
            Link::Online => {
                self.link = Link::Online;
                match frame {
                    Frame::Stanza(element) if element.is("error", ns::STREAM) => {
                        self.end_stream(stream::stream_error(element), Ending::Theirs);
                    }
                    Frame::Stanza(element) => self.on_stanza(element),
                    Frame::Open(_) => self.misbehaved(PeerMisbehaved::WrongStreamHeader),
                    Frame::Close => self.end_stream(OfflineCause::PeerClosed, Ending::Theirs),
                }
                Then::Continue
            }
            Link::Parting => {
                self.link = Link::Parting;
                if matches!(frame, Frame::Close) {
                    self.drain();
                }
                Then::Continue
            }
            other => {
                self.link = other;
                Then::Continue
            }
        }
    }

    fn negotiate(&mut self, negotiation: Box<Negotiation>, frame: Frame<'_>) -> Then {
        let awaited = negotiation.awaits_resumption();
        let next = self.with_setting(|cx, setting| negotiation.on_frame(cx, setting, frame));
        if awaited && next.is_err() {
            self.management.left_without_answer();
        }
        self.negotiated(next)
    }

    /// Does what follows from a step of the negotiation.
    pub(super) fn negotiated(&mut self, next: Result<(Negotiation, Step), OfflineCause>) -> Then {
        let (negotiation, step) = match next {
            Ok(next) => next,
            Err(cause) => {
                let ending = match cause {
                    OfflineCause::PeerClosed | OfflineCause::StreamError { .. } => Ending::Theirs,
                    _ => Ending::Ours,
                };
                self.end_stream(cause, ending);
                return Then::Continue;
            }
        };
        self.link = Link::Negotiating(Box::new(negotiation));
        if !matches!(step, Step::Wait) {
            self.arm_step();
        }
        match step {
            Step::Continue | Step::Wait | Step::StartTls => Then::Continue,
            Step::Work => {
                // The time we take to compute is not the server's silence.
                self.core.cx().disarm(Timer::Negotiation, 0);
                self.core.cx().arm(Timer::Work, 0, Duration::ZERO);
                Then::Continue
            }
            Step::LoggedIn(keys) => {
                self.keys = keys.or(self.keys.take());
                self.pacing.logged_in();
                self.peer = Peer::Ours;
                Then::Restart
            }
            Step::Online(jid, login) => {
                self.online(jid, login);
                Then::Continue
            }
            Step::Resumed(h, login) => {
                self.resumed(h, login);
                Then::Continue
            }
            Step::NotResumed(h) => self.not_resumed(h),
        }
    }

    /// Bytes came while the host was to set up TLS: RFC 6120 section 5.4.3.3
    /// makes the server wait for our first byte of TLS, so somebody else sent
    /// them (CVE-2011-0411).
    pub(super) fn injected(&mut self) -> bool {
        if let Link::Negotiating(negotiation) = &self.link
            && negotiation.awaits_tls()
        {
            self.end_stream(
                OfflineCause::PeerMisbehaved(PeerMisbehaved::DataAfterProceed),
                Ending::Dead,
            );
            return true;
        }
        false
    }

    /// One slice of key derivation.
    pub(super) fn work(&mut self) {
        let rounds = self.core.config.limits.scram_iterations_per_call;
        let Link::Negotiating(negotiation) = &mut self.link else {
            return;
        };
        if matches!(negotiation.work(&mut self.core.cx(), rounds), Step::Work) {
            self.core.cx().arm(Timer::Work, 0, Duration::ZERO);
        } else {
            self.arm_step();
        }
    }

    /// The host asks for a stream, whatever was before.
    pub(super) fn reconnect(&mut self) {
        // What is left of an ended stream is let go: the host sees a new attempt.
        let ended = matches!(self.link, Link::Resting | Link::Draining | Link::Parting);
        if ended && !self.closing {
            self.pacing.asked();
            self.core.cx().disarm(Timer::Reconnect, 0);
            self.connect();
        }
    }

    pub(super) fn arm_step(&mut self) {
        let after = self.core.config.timing.negotiation;
        self.core.cx().arm(Timer::Negotiation, 0, after);
    }

    pub(super) fn with_setting<T>(
        &mut self,
        f: impl FnOnce(&mut crate::cx::Cx<'_>, &Setting<'_>) -> T,
    ) -> T {
        let (mut cx, config) = self.core.split();
        let setting = Setting {
            config,
            resource: &self.resource,
            keys: self.keys.as_deref(),
            resume: self.management.resume(),
        };
        f(&mut cx, &setting)
    }
}
