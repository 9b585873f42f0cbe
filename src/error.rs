//! Conditions that XMPP defines, and errors that say who did what wrong.
//!
//! Four classes, each with a way of its own: bad configuration is a
//! [`ConfigError`](crate::ConfigError) from a constructor; a refused command is
//! a small enum and changes nothing; a refusal by a peer is a [`StanzaError`]
//! in the outcome of the command; the end of a stream is one
//! [`OfflineCause`](crate::OfflineCause).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Writes an enum of named conditions: its wire names both ways.
macro_rules! conditions {
    ($(#[$meta:meta])* $name:ident, $unknown:ident: $($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }

            /// The condition of this wire name, or the catch-all for one that is not known.
            #[must_use]
            pub fn from_wire(name: &str) -> Self {
                match name { $($wire => Self::$variant,)* _ => Self::$unknown }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

conditions! {
    /// Why a stream ended. RFC 6120, section 4.9.3.
    StreamCondition, UndefinedCondition:
    /// The peer's XML cannot be processed.
    BadFormat = "bad-format",
    /// A namespace prefix is missing or unsupported.
    BadNamespacePrefix = "bad-namespace-prefix",
    /// Another stream took this one's place.
    Conflict = "conflict",
    /// The peer has not been heard for too long.
    ConnectionTimeout = "connection-timeout",
    /// The host is no longer served here.
    HostGone = "host-gone",
    /// The host is not served here.
    HostUnknown = "host-unknown",
    /// An address between servers is missing or wrong.
    ImproperAddressing = "improper-addressing",
    /// The server failed inside.
    InternalServerError = "internal-server-error",
    /// `from` does not match the authorized identity.
    InvalidFrom = "invalid-from",
    /// The stream or content namespace is wrong.
    InvalidNamespace = "invalid-namespace",
    /// XML is invalid against a schema.
    InvalidXml = "invalid-xml",
    /// Something was sent before authentication, or is not allowed.
    NotAuthorized = "not-authorized",
    /// The XML is not well-formed.
    NotWellFormed = "not-well-formed",
    /// A local policy was violated, a size limit for instance.
    PolicyViolation = "policy-violation",
    /// A remote server could not be reached.
    RemoteConnectionFailed = "remote-connection-failed",
    /// The stream must be set up anew, security having changed.
    Reset = "reset",
    /// The server lacks resources.
    ResourceConstraint = "resource-constraint",
    /// XML that XMPP forbids: a comment, a DTD, a processing instruction.
    RestrictedXml = "restricted-xml",
    /// Use another host. Reported, not followed.
    SeeOtherHost = "see-other-host",
    /// The server is going down.
    SystemShutdown = "system-shutdown",
    /// Something else.
    UndefinedCondition = "undefined-condition",
    /// The encoding is not UTF-8.
    UnsupportedEncoding = "unsupported-encoding",
    /// A mandatory feature is not supported.
    UnsupportedFeature = "unsupported-feature",
    /// The first-level child of the stream is not understood.
    UnsupportedStanzaType = "unsupported-stanza-type",
    /// The version of XMPP is not supported.
    UnsupportedVersion = "unsupported-version",
}

conditions! {
    /// Why a stanza was refused. RFC 6120, section 8.3.3.
    Condition, UndefinedCondition:
    /// Malformed or incomprehensible.
    BadRequest = "bad-request",
    /// Something of that name exists, a nick or a resource.
    Conflict = "conflict",
    /// Not implemented there.
    FeatureNotImplemented = "feature-not-implemented",
    /// Not permitted: banned, or without voice.
    Forbidden = "forbidden",
    /// No longer at this address.
    Gone = "gone",
    /// The other side failed inside.
    InternalServerError = "internal-server-error",
    /// Not there.
    ItemNotFound = "item-not-found",
    /// The address is malformed.
    JidMalformed = "jid-malformed",
    /// Against a rule, or not an occupant.
    NotAcceptable = "not-acceptable",
    /// Nobody may do that.
    NotAllowed = "not-allowed",
    /// Credentials or a password are needed.
    NotAuthorized = "not-authorized",
    /// Against a local policy.
    PolicyViolation = "policy-violation",
    /// The recipient is not available for now.
    RecipientUnavailable = "recipient-unavailable",
    /// Another address has to be used.
    Redirect = "redirect",
    /// Registration, or membership, is needed.
    RegistrationRequired = "registration-required",
    /// The remote server does not exist.
    RemoteServerNotFound = "remote-server-not-found",
    /// The remote server does not answer.
    RemoteServerTimeout = "remote-server-timeout",
    /// Lacks resources.
    ResourceConstraint = "resource-constraint",
    /// No such service there.
    ServiceUnavailable = "service-unavailable",
    /// A subscription is needed.
    SubscriptionRequired = "subscription-required",
    /// Something else.
    UndefinedCondition = "undefined-condition",
    /// Out of order.
    UnexpectedRequest = "unexpected-request",
}

conditions! {
    /// What to do about a refused stanza. RFC 6120, section 8.3.2.
    ErrorType, Unknown:
    /// Retry after providing credentials.
    Auth = "auth",
    /// Do not retry.
    Cancel = "cancel",
    /// Proceed: it was only a warning.
    Continue = "continue",
    /// Retry after changing what was sent.
    Modify = "modify",
    /// Retry after waiting.
    Wait = "wait",
    /// The peer gave none, or one that does not exist.
    Unknown = "",
}

conditions! {
    /// Why a login was refused. RFC 6120, section 6.5.
    SaslCondition, Undefined:
    /// We aborted.
    Aborted = "aborted",
    /// The account is disabled for now.
    AccountDisabled = "account-disabled",
    /// The credentials have expired.
    CredentialsExpired = "credentials-expired",
    /// The mechanism may be used over TLS only.
    EncryptionRequired = "encryption-required",
    /// Our data was wrongly encoded.
    IncorrectEncoding = "incorrect-encoding",
    /// Not allowed to act as that identity.
    InvalidAuthzid = "invalid-authzid",
    /// The mechanism is not supported.
    InvalidMechanism = "invalid-mechanism",
    /// Our request was malformed.
    MalformedRequest = "malformed-request",
    /// The mechanism is weaker than the policy for this account allows.
    MechanismTooWeak = "mechanism-too-weak",
    /// Wrong name or password.
    NotAuthorized = "not-authorized",
    /// The server cannot decide for now.
    TemporaryAuthFailure = "temporary-auth-failure",
    /// A condition that RFC 6120 does not know.
    Undefined = "undefined-condition",
}

/// A peer refused a stanza: an `<error/>` (RFC 6120, section 8.3).
///
/// `text` is the peer's and hostile until escaped; it is cut at 1 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StanzaError {
    /// What to do about it.
    pub kind: ErrorType,
    /// What is wrong.
    pub condition: Condition,
    /// The peer's words, if it gave any.
    pub text: Option<String>,
}

impl StanzaError {
    pub(crate) const fn new(kind: ErrorType, condition: Condition) -> Self {
        Self {
            kind,
            condition,
            text: None,
        }
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.condition)
    }
}

impl core::error::Error for StanzaError {}

/// A login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthFailure {
    /// The server said no. `text` is the server's and hostile until escaped.
    Rejected {
        /// Why.
        condition: SaslCondition,
        /// The server's words.
        text: Option<String>,
    },
    /// The server offers no mechanism that the policy lets us use.
    NoMechanism {
        /// What it offers, at most 32 names.
        offered: Vec<String>,
    },
    /// The server said yes without proving that it knows the password, or with a
    /// wrong proof (RFC 5802, section 5). It may be an impostor.
    ServerNotAuthenticated,
    /// The server's message breaks SCRAM or its encoding.
    BadMessage(&'static str),
    /// The server asks for fewer or more PBKDF2 rounds than the limits allow.
    Iterations(u64),
    /// The server offered other mechanisms than reached us (XEP-0474): somebody
    /// between tampers with the stream.
    Downgraded,
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { condition, .. } => {
                write!(f, "the server refused the login: {condition}")
            }
            Self::NoMechanism { .. } => {
                f.write_str("the server offers no login mechanism that the policy allows")
            }
            Self::ServerNotAuthenticated => {
                f.write_str("the server did not prove that it knows the password")
            }
            Self::BadMessage(what) => write!(f, "the server's login message is wrong: {what}"),
            Self::Iterations(count) => {
                write!(
                    f,
                    "the server asks for {count} key derivation rounds, outside the limits"
                )
            }
            Self::Downgraded => {
                f.write_str("the server's login offer was tampered with on the way")
            }
        }
    }
}

impl core::error::Error for AuthFailure {}
