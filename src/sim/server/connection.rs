//! One connection: how it is protected, how far its stream has come.

use alloc::boxed::Box;
use alloc::string::String;

use super::outbox::Outbox;
use super::sasl::Scram;
use super::session::SessionId;
use super::{Mechanisms, ServerTransport};
use crate::Security;

/// How far a stream has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// The client's header is waited for.
    Header {
        /// Who is logged in.
        account: Option<String>,
    },
    /// Features were sent, nobody is logged in.
    Open,
    /// PLAIN was chosen, its message is waited for.
    Plain,
    /// The last message of a SCRAM exchange is waited for.
    Scram(Box<Scram>),
    /// The client begins TLS.
    Tls,
    /// Logged in, without a session.
    LoggedIn {
        /// Who.
        account: String,
    },
    /// In a session.
    Bound(SessionId),
    /// Nothing is heard any more.
    Over,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) security: Security,
    pub(super) stage: Stage,
    pub(super) transport: ServerTransport,
    pub(super) out: Outbox,
    /// Our side of the stream is open.
    pub(super) opened: bool,
    /// Waits to be told as changed.
    pub(super) listed: bool,
    /// Logins that failed.
    pub(super) failures: u8,
    /// Somebody said that a login succeeded who does not know the password.
    pub(super) false_proof: bool,
    /// The mechanisms that it was offered, if fewer than there are.
    pub(super) mechanisms: Option<Mechanisms>,
}

impl Connection {
    pub(super) fn new(security: Security) -> Self {
        Self {
            security,
            stage: Stage::Header { account: None },
            transport: ServerTransport::Open,
            out: Outbox::default(),
            opened: false,
            listed: false,
            failures: 0,
            false_proof: false,
            mechanisms: None,
        }
    }

    /// Whether there is TLS.
    pub(super) const fn is_secure(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }
}
