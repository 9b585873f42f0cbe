//! Why a connection was not made, and what to do about it.

use alloc::string::String;
use core::fmt;

use super::settings::SettingsError;
use crate::{
    AuthFailure, OfflineCause, PeerIncompatible, SaslCondition, StreamCondition, Timer,
    TransportFailureKind,
};

/// Why a connection was not made.
///
/// `Display` is one line that says what happened; [`ConnectError::remedy`] says
/// what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The settings cannot work.
    Settings(SettingsError),
    /// The host has no address, or the domain no service.
    Resolve {
        /// What went wrong, with the name.
        detail: String,
    },
    /// No address of the host took the connection.
    Connect {
        /// What went wrong, with the addresses.
        detail: String,
    },
    /// The server's certificate cannot be trusted.
    Certificate {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// The same in words.
        detail: String,
    },
    /// TLS could not be set up, for another reason than the certificate.
    Tls {
        /// What went wrong.
        detail: String,
    },
    /// The server offers no TLS, and nothing may be said without.
    NoTls,
    /// The login failed.
    Auth(AuthFailure),
    /// The stream ended otherwise.
    Stream(OfflineCause),
    /// The client was closed while it connected.
    Closed,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is made out to other names.
    WrongName,
    /// Nobody whom we trust has issued it.
    UnknownIssuer,
    /// It was revoked.
    Revoked,
    /// It is an authority's own certificate, which does not identify a server.
    Authority,
    /// Something else.
    Other,
}

impl ConnectError {
    /// What the user can do about it, in one line.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Settings(_) | Self::Closed => return None,
            Self::Resolve { .. } => {
                "check the name of the host, or give the server as xmpp://host:port"
            }
            Self::Connect { .. } => {
                "is the server running on that host and port, and reachable from here?"
            }
            Self::Certificate { problem, .. } => match problem {
                CertificateProblem::Expired => {
                    "renew the server's certificate, and check the clock of this machine"
                }
                CertificateProblem::NotYetValid => "check the clock of this machine",
                CertificateProblem::WrongName => {
                    "use the domain that the certificate is made out to, or name it with tls_name"
                }
                CertificateProblem::UnknownIssuer => {
                    "if the server has a certificate of its own, pass its issuer's certificate with ca_file (on the command line: --ca-file)"
                }
                CertificateProblem::Authority => {
                    "let that authority issue a certificate for the server"
                }
                CertificateProblem::Revoked | CertificateProblem::Other => {
                    "renew the server's certificate"
                }
            },
            Self::Tls { .. } => {
                "does the port speak TLS from the first byte (xmpps://), or after STARTTLS (xmpp://)?"
            }
            Self::NoTls => {
                "switch TLS on at the server; without TLS only a server on this machine is spoken to"
            }
            Self::Auth(failure) => return auth_remedy(failure),
            Self::Stream(cause) => return stream_remedy(cause),
        })
    }
}

fn auth_remedy(failure: &AuthFailure) -> Option<&'static str> {
    Some(match failure {
        AuthFailure::Rejected { condition, .. } => match condition {
            SaslCondition::NotAuthorized | SaslCondition::InvalidAuthzid => {
                "check the user name and password"
            }
            SaslCondition::AccountDisabled => "ask the server's operator to enable the account",
            SaslCondition::CredentialsExpired => "change the password",
            SaslCondition::TemporaryAuthFailure => "try again later",
            SaslCondition::EncryptionRequired => "connect over TLS",
            _ => return None,
        },
        AuthFailure::NoMechanism { .. } => {
            "enable SCRAM-SHA-1 or SCRAM-SHA-256 at the server; PLAIN must be allowed explicitly, and needs TLS"
        }
        AuthFailure::ServerNotAuthenticated | AuthFailure::Downgraded => {
            "do not trust this connection; check who stands between you and the server"
        }
        _ => return None,
    })
}

const fn stream_remedy(cause: &OfflineCause) -> Option<&'static str> {
    Some(match cause {
        OfflineCause::StreamError {
            condition: StreamCondition::HostUnknown | StreamCondition::HostGone,
            ..
        } => "the server does not serve that domain: check the domain",
        OfflineCause::StreamError {
            condition: StreamCondition::Conflict,
            ..
        } => "another program uses the same account and resource: give each its own resource",
        OfflineCause::StreamError {
            condition: StreamCondition::SystemShutdown,
            ..
        } => "try again later",
        OfflineCause::TimedOut(Timer::Connect) => {
            "is the server running on that host and port, and reachable from here?"
        }
        OfflineCause::TimedOut(_) => "is it an XMPP server that listens there?",
        OfflineCause::Xml(_) => {
            "is it an XMPP server that listens there, and without TLS from the first byte?"
        }
        OfflineCause::Internal(_) => "please report it",
        _ => return None,
    })
}

/// The cause without what only the driver knows: the problem of a certificate is
/// [`CertificateProblem::Other`].
impl From<OfflineCause> for ConnectError {
    fn from(cause: OfflineCause) -> Self {
        match cause {
            OfflineCause::Transport(failure) => {
                let detail = failure.detail;
                match failure.kind {
                    TransportFailureKind::Resolve => Self::Resolve { detail },
                    TransportFailureKind::Connect => Self::Connect { detail },
                    TransportFailureKind::Tls => Self::Tls { detail },
                    TransportFailureKind::Certificate => Self::Certificate {
                        problem: CertificateProblem::Other,
                        detail,
                    },
                    _ => Self::Stream(OfflineCause::Transport(crate::TransportFailure {
                        kind: failure.kind,
                        detail,
                    })),
                }
            }
            OfflineCause::Auth(failure) => Self::Auth(failure),
            OfflineCause::PeerIncompatible(PeerIncompatible::NoTls) => Self::NoTls,
            OfflineCause::Closed => Self::Closed,
            other => Self::Stream(other),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(why) => why.fmt(f),
            Self::Resolve { detail } | Self::Connect { detail } => f.write_str(detail),
            Self::Certificate { detail, .. } => {
                write!(f, "the server's certificate cannot be trusted: {detail}")
            }
            Self::Tls { detail } => write!(f, "TLS could not be set up: {detail}"),
            Self::NoTls => f.write_str("the server offers no TLS"),
            Self::Auth(failure) => failure.fmt(f),
            Self::Stream(cause) => Cause(cause).fmt(f),
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl core::error::Error for ConnectError {}

/// An [`OfflineCause`] in one line.
struct Cause<'a>(&'a OfflineCause);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            OfflineCause::Transport(failure) => {
                write!(f, "the connection failed: {}", failure.detail)
            }
            OfflineCause::TimedOut(Timer::Connect) => f.write_str("no connection in time"),
            OfflineCause::TimedOut(timer) => {
                write!(f, "the server did not answer in time ({timer:?})")
            }
            OfflineCause::PeerClosed => f.write_str("the server closed the connection"),
            OfflineCause::Truncated => {
                f.write_str("the connection ended in the middle of a stanza")
            }
            OfflineCause::StreamError {
                condition,
                text: Some(text),
            } => {
                write!(
                    f,
                    "the server ended the stream: {condition} ({})",
                    text.escape_debug()
                )
            }
            OfflineCause::StreamError {
                condition,
                text: None,
            } => {
                write!(f, "the server ended the stream: {condition}")
            }
            OfflineCause::Xml(error) => write!(f, "the server's XML was refused: {error}"),
            OfflineCause::PeerMisbehaved(what) => {
                write!(f, "the server broke the protocol: {what:?}")
            }
            OfflineCause::PeerIncompatible(what) => {
                write!(f, "the server lacks what is needed: {what:?}")
            }
            OfflineCause::Auth(failure) => failure.fmt(f),
            OfflineCause::Bind(error) => write!(f, "the server gave no resource: {error}"),
            OfflineCause::Closed => f.write_str("the client was closed"),
            OfflineCause::Internal(what) => write!(f, "a mistake in parley-xmpp: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TransportFailure;
    use alloc::string::ToString as _;

    #[test]
    fn an_error_is_one_line_and_hides_no_escape_codes() {
        let hostile = OfflineCause::StreamError {
            condition: StreamCondition::HostUnknown,
            text: Some("a\u{1b}[2J\nb".into()),
        };
        let error = ConnectError::from(hostile);
        let line = error.to_string();
        assert_eq!(
            line,
            "the server ended the stream: host-unknown (a\\u{1b}[2J\\nb)"
        );
        assert!(error.remedy().is_some_and(|text| text.contains("domain")));
    }

    #[test]
    fn a_failure_of_the_transport_keeps_its_kind() {
        let of = |kind| {
            let detail = "why".into();
            ConnectError::from(OfflineCause::Transport(TransportFailure { kind, detail }))
        };
        let detail = String::from("why");
        assert_eq!(
            of(TransportFailureKind::Tls),
            ConnectError::Tls {
                detail: detail.clone()
            }
        );
        assert_eq!(
            of(TransportFailureKind::Connect),
            ConnectError::Connect { detail }
        );
        let io = of(TransportFailureKind::Io);
        assert_eq!(io.to_string(), "the connection failed: why");
        assert_eq!(
            ConnectError::from(OfflineCause::Closed),
            ConnectError::Closed
        );
    }
}
