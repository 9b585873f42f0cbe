//! What can go wrong, said once: the same words and kinds for the command line
//! and for the bridge.

use parley_xmpp::tokio::{ConnectError, FetchFailure, PostFailure, RoomError};
use parley_xmpp::{
    JoinFailure, LeaveCause, NotSent, OfflineCause, PostToken, QueryError, RequestError,
    SaslCondition, StanzaError,
};

use crate::exit::{Exit, Failure};

/// What kind of problem it is. The bridge shows it as `data.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Invalid,
    NotConnected,
    Rejected,
    NotSent,
    Unknown,
    CursorExpired,
    CursorForeign,
    NoSuchRoom,
    AuthFailed,
    TlsFailed,
    ConnectFailed,
    Timeout,
    ArchiveUnsupported,
    Inconsistent,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotConnected => "not-connected",
            Self::Rejected => "rejected",
            Self::NotSent => "not-sent",
            Self::Unknown => "unknown",
            Self::CursorExpired => "cursor-expired",
            Self::CursorForeign => "cursor-foreign",
            Self::NoSuchRoom => "no-such-room",
            Self::AuthFailed => "auth-failed",
            Self::TlsFailed => "tls-failed",
            Self::ConnectFailed => "connect-failed",
            Self::Timeout => "timeout",
            Self::ArchiveUnsupported => "archive-unsupported",
            Self::Inconsistent => "inconsistent",
        }
    }

    const fn exit(self) -> Exit {
        match self {
            Self::Invalid => Exit::Usage,
            Self::NotConnected | Self::NotSent | Self::TlsFailed | Self::ConnectFailed => {
                Exit::CannotConnect
            }
            Self::AuthFailed => Exit::NotAuthenticated,
            Self::Rejected
            | Self::CursorExpired
            | Self::CursorForeign
            | Self::NoSuchRoom
            | Self::ArchiveUnsupported
            | Self::Inconsistent => Exit::Refused,
            Self::Unknown | Self::Timeout => Exit::NotDecided,
        }
    }
}

/// A problem. Its words may be a peer's: escape them before a terminal sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) remedy: String,
    /// The remedy for a program behind the bridge, where `remedy` speaks of the command line.
    pub(crate) bridge_remedy: Option<&'static str>,
    /// The condition that the peer named.
    pub(crate) condition: Option<&'static str>,
    /// The peer's words.
    pub(crate) text: Option<Box<str>>,
    /// Of a post that may be there or not: that by which it can be found out later.
    pub(crate) token: Option<Box<PostToken>>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: remedy.into(),
            bridge_remedy: None,
            condition: None,
            text: None,
            token: None,
        }
    }

    pub(crate) const fn for_bridge(mut self, remedy: &'static str) -> Self {
        self.bridge_remedy = Some(remedy);
        self
    }

    fn because(mut self, error: &StanzaError) -> Self {
        self.condition = Some(error.condition.as_str());
        self.text = error.text.as_deref().map(Into::into);
        self
    }

    /// With what was tried before the words.
    pub(crate) fn while_at(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let error = match &problem.text {
            Some(text) => format!("{} ({text})", problem.message),
            None => problem.message,
        };
        Self {
            token: problem.token,
            ..Self::new(problem.kind.exit(), error, problem.remedy)
        }
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        let kind = match &error {
            ConnectError::Settings(_) => Kind::Invalid,
            ConnectError::Certificate { .. } | ConnectError::Tls { .. } | ConnectError::NoTls => {
                Kind::TlsFailed
            }
            ConnectError::Auth(_) => Kind::AuthFailed,
            ConnectError::Stream(OfflineCause::Bind(_)) => Kind::Rejected,
            ConnectError::Closed => Kind::NotConnected,
            _ => Kind::ConnectFailed,
        };
        let own = error.remedy();
        let remedy = own.unwrap_or(match kind {
            Kind::Invalid => "correct the settings, see `parley-xmpp --help`",
            Kind::AuthFailed => "ask the server's operator",
            _ => "look at the server's log, and try again",
        });
        let mut problem = Self::new(kind, error.to_string(), remedy);
        if kind == Kind::Invalid && own.is_none() {
            problem = problem.for_bridge("correct the parameters of `connect`");
        }
        match error {
            ConnectError::Auth(parley_xmpp::AuthFailure::Rejected { condition, text }) => {
                problem.text = text.map(Into::into);
                problem.condition =
                    (condition != SaslCondition::Undefined).then(|| condition.as_str());
            }
            // The text is part of the message already.
            ConnectError::Stream(OfflineCause::StreamError { condition, .. }) => {
                problem.condition = Some(condition.as_str());
            }
            ConnectError::Stream(OfflineCause::Bind(error)) => problem = problem.because(&error),
            _ => {}
        }
        problem
    }
}

impl From<RoomError> for Problem {
    fn from(error: RoomError) -> Self {
        let message = error.to_string();
        match error {
            RoomError::Topic(_) => Self::new(Kind::Invalid, message, "choose another topic"),
            RoomError::Invalid(_) => Self::new(Kind::Invalid, message, "choose another nick"),
            RoomError::Refused(failure) => match failure {
                JoinFailure::NickConflict => {
                    Self::new(Kind::Rejected, message, "choose another nick")
                }
                JoinFailure::Refused(error) => {
                    let (kind, remedy) = of_join(&error);
                    let problem = Self::new(kind, message, remedy).because(&error);
                    if remedy == WRONG_SERVICE {
                        problem.for_bridge(
                            "is the MUC service right? see the parameter `muc_service` of `connect`",
                        )
                    } else {
                        problem
                    }
                }
                JoinFailure::PutOut(
                    LeaveCause::ServiceShutdown
                    | LeaveCause::TechnicalProblem
                    | LeaveCause::Unexplained
                    | LeaveCause::Dropped,
                ) => Self::new(Kind::Timeout, message, "try again"),
                JoinFailure::PutOut(_) => {
                    Self::new(Kind::Rejected, message, "ask the owner of the room")
                }
                JoinFailure::TimedOut => Self::new(
                    Kind::Timeout,
                    message,
                    "does the MUC service exist? see `parley-xmpp doctor`",
                ),
                _ => Self::new(Kind::NotConnected, message, "try again"),
            },
            _ => Self::new(Kind::NotConnected, message, "connect again"),
        }
    }
}

const WRONG_SERVICE: &str = "is the MUC service right? see --muc-service and `parley-xmpp doctor`";

fn of_join(error: &StanzaError) -> (Kind, &'static str) {
    use parley_xmpp::Condition::*;
    match error.condition {
        RegistrationRequired => (
            Kind::Rejected,
            "the room is for members: ask its owner to add you",
        ),
        Forbidden => (
            Kind::Rejected,
            "you are banned from the room: ask its owner",
        ),
        NotAuthorized => (
            Kind::Rejected,
            "the room wants a password, which is not supported",
        ),
        NotAllowed => (
            Kind::Rejected,
            "the server does not let you into or create this room: is --muc-service (muc_service) its \
             room service? else ask its operator",
        ),
        ItemNotFound | RecipientUnavailable => (
            Kind::NoSuchRoom,
            "the room is locked or gone: try again, or ask its owner",
        ),
        RemoteServerNotFound | RemoteServerTimeout | ServiceUnavailable | Gone => {
            (Kind::NoSuchRoom, WRONG_SERVICE)
        }
        Conflict => (Kind::Rejected, "choose another nick"),
        _ => (
            Kind::Rejected,
            "ask the room's owner or the server's operator",
        ),
    }
}

impl From<PostFailure> for Problem {
    fn from(failure: PostFailure) -> Self {
        let message = failure.to_string();
        match failure {
            PostFailure::Invalid(error) => {
                use parley_xmpp::PostError::*;
                match error {
                    UnknownRoom => Self::new(Kind::NotSent, message, "join the room again"),
                    Empty => Self::new(Kind::Invalid, message, "give some text"),
                    ForbiddenChar(_) => Self::new(
                        Kind::Invalid,
                        message,
                        "remove it, or use --replace-forbidden",
                    )
                    .for_bridge(
                        "remove the character from `content`, or give `replaceForbidden`: true",
                    ),
                    TooLarge { .. } => Self::new(Kind::Invalid, message, "split the message"),
                    Busy => Self::new(Kind::NotSent, message, "try again when some are through"),
                    _ => Self::new(Kind::NotConnected, message, "connect again"),
                }
            }
            PostFailure::Rejected(error) => {
                let remedy = match error.condition {
                    parley_xmpp::Condition::Forbidden => "ask the room's owner for voice",
                    parley_xmpp::Condition::PolicyViolation
                    | parley_xmpp::Condition::ResourceConstraint => {
                        "post more slowly, or less at a time"
                    }
                    _ => "ask the room's owner or the server's operator",
                };
                Self::new(Kind::Rejected, message, remedy).because(&error)
            }
            PostFailure::NotSent(NotSent::NoRoom) => {
                Self::new(Kind::NotSent, message, "the room was left: join it again")
            }
            PostFailure::NotSent(NotSent::Deadline) => Self::new(
                Kind::NotSent,
                message,
                "try again, or allow more time with a longer deadline",
            ),
            PostFailure::StreamKill { among, .. } => {
                let remedy = if among == 1 {
                    "do not post it again as it is"
                } else {
                    "post them again one at a time, to find out which it was"
                };
                Self::new(Kind::Rejected, message, remedy)
            }
            PostFailure::NotSent(NotSent::TooLarge) => {
                Self::new(Kind::NotSent, message, "split the message")
            }
            PostFailure::Unknown { token } => {
                let remedy =
                    format!("find out before posting it again: parley-xmpp post --resolve {token}");
                let mut problem = Self::new(Kind::Unknown, message, remedy)
                    .for_bridge("find out before posting it again: `resolve` with `token` tells");
                problem.token = Some(token);
                problem
            }
            PostFailure::Closed => Self::new(Kind::NotConnected, message, "connect again"),
            _ => Self::new(Kind::NotSent, message, "try again"),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Refused(error) => {
                let remedy = match error.condition {
                    parley_xmpp::Condition::Forbidden
                    | parley_xmpp::Condition::NotAllowed
                    | parley_xmpp::Condition::NotAuthorized => "ask the room's owner for access",
                    _ => "ask the server's operator",
                };
                Self::new(Kind::Rejected, message, remedy).because(&error)
            }
            RequestError::CursorExpired { .. } => Self::new(
                Kind::CursorExpired,
                message,
                "messages may be missing: read on from the oldest there is (--since '') or from the newest",
            )
            .for_bridge(
                "messages may be missing: read on from the oldest there is (`since` \"\") or from the newest (without `since`)",
            ),
            RequestError::CursorForeign => Self::new(
                Kind::CursorForeign,
                message,
                "use a cursor that this topic gave, or none",
            ),
            RequestError::NoSuchRoom => Self::new(Kind::NoSuchRoom, message, "check the topic"),
            RequestError::ArchiveUnsupported => Self::new(
                Kind::ArchiveUnsupported,
                message,
                "let the operator enable MAM for rooms; `parley-xmpp doctor` says how",
            ),
            RequestError::Inconsistent(_) => Self::new(
                Kind::Inconsistent,
                message,
                "try again; if it stays, report it to the server's makers",
            ),
            RequestError::TimedOut => Self::new(Kind::Timeout, message, "try again"),
            _ => Self::new(Kind::NotConnected, message, "connect again"),
        }
    }
}

impl From<&FetchFailure> for Problem {
    fn from(failure: &FetchFailure) -> Self {
        let mut problem = Self::from(failure.error.clone());
        if !failure.prefix.is_empty() {
            problem.message = format!(
                "{}, after {} messages",
                problem.message,
                failure.prefix.len()
            );
        }
        problem
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let message = error.to_string();
        match error {
            QueryError::UnknownRoom => Self::new(Kind::NoSuchRoom, message, "join it again"),
            QueryError::Busy => {
                Self::new(Kind::Rejected, message, "try again when some are through")
            }
            _ => Self::new(Kind::NotConnected, message, "connect again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parley_xmpp::{AuthFailure, StreamCondition};

    /// RFC 6120 section 4.9.2: the text of an error "MUST NOT be used as the error message
    /// presented to a human user, but MAY be shown in addition to the error message associated
    /// with the defined condition element".
    #[test]
    fn the_words_of_an_error_are_shown_beside_the_message_and_escaped() {
        const WORDS: &str = "all is well\nerror: \u{1b}[2J\u{202e}";
        let stream = |text| {
            ConnectError::Stream(OfflineCause::StreamError {
                condition: StreamCondition::Conflict,
                text,
            })
        };
        let login = |text| {
            ConnectError::Auth(AuthFailure::Rejected {
                condition: SaslCondition::AccountDisabled,
                text,
            })
        };
        for error in [stream as fn(Option<String>) -> ConnectError, login] {
            let render = |text| Failure::from(Problem::from(error(text))).render(false);
            let [alone, beside] = [None, Some(WORDS.to_owned())].map(render);
            let (message, remedy) = alone.split_once('\n').unwrap();
            // The same message, and the words after it, on its line.
            let words = beside.strip_prefix(message).expect("the same message");
            let words = words.strip_suffix(remedy).expect("the same remedy");
            assert!(
                words.starts_with(" (all is well") && words.ends_with(")\n"),
                "{words:?}"
            );
            assert!(!words.contains(['\u{1b}', '\u{202e}']), "{words:?}");
            assert_eq!(words.matches('\n').count(), 1, "{words:?}");
        }
    }
}
