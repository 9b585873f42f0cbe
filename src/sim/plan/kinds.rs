//! The kinds of faults, and sets of them that have names.

use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use core::time::Duration;

use super::{Fault, PlanError};
use crate::sim::happening::Ending;
use crate::sim::server::{Mechanisms, Operation, Personality, Removal, Withheld};
use crate::{SaslCondition, StreamCondition};

/// Writes the kinds with their names.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// A kind of fault: what can be switched on and off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name, as in a list of kinds and in a tally.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// A link ends.
    Cut = "cut",
    /// A link ends without a word, and its last bytes arrive later all the same.
    Linger = "linger",
    /// TLS ends in the middle of a record, or without a word.
    Truncate = "truncate",
    /// TLS ends with a fatal alert.
    Alert = "tls-alert",
    /// A link carries nothing any more in one direction.
    HalfOpen = "half-open",
    /// A link carries nothing for a while.
    Stall = "stall",
    /// Connections are refused.
    Refuse = "refuse",
    /// Connections are neither taken nor refused.
    NoAnswer = "no-answer",
    /// The server's name is not found.
    NoName = "no-name",
    /// A link is slow.
    Throttle = "throttle",
    /// A link is so slow that next to nothing arrives.
    Trickle = "trickle",
    /// A TLS handshake fails.
    TlsFails = "tls-fails",
    /// A certificate cannot be trusted.
    Certificate = "certificate",
    /// A host stands still.
    Freeze = "freeze",
    /// A bot takes no events.
    Ignore = "ignore",
    /// A host's transport takes little at a time.
    SmallWrites = "small-writes",
    /// A host's clock jumps.
    Leap = "leap",
    /// A host's process is killed and starts again.
    Restart = "restart",
    /// The server crashes and loses nothing but its sessions.
    Crash = "crash",
    /// The server crashes and loses the latest messages.
    CrashLosesMessages = "crash-loses-messages",
    /// The server crashes and loses its rooms.
    CrashLosesRooms = "crash-loses-rooms",
    /// The server ends in good order.
    Stop = "stop",
    /// The server runs again. Part of a crash or stop, not drawn by itself.
    Start = "start",
    /// An occupant is kicked.
    Kick = "kick",
    /// An occupant is banned.
    Ban = "ban",
    /// An occupant is no longer a member.
    NotMember = "not-member",
    /// An occupant is put out for a technical reason.
    Technical = "technical",
    /// An occupant is put out without a word.
    Vanish = "vanish",
    /// The room service restarts and says so.
    RoomsRestart = "rooms-restart",
    /// The room service restarts without a word.
    RoomsVanish = "rooms-vanish",
    /// Somebody put out may come in again. Not drawn: for plans that are written.
    Admit = "admit",
    /// A room is destroyed.
    Destroy = "destroy",
    /// The archive lags behind, by no more than the client waits for it.
    ArchiveLag = "archive-lag",
    /// The archive lags behind, by more than that.
    ArchiveLagLong = "archive-lag-long",
    /// Old messages expire.
    Expire = "expire",
    /// A message becomes a tombstone.
    Retract = "retract",
    /// A stream ends with an error that may pass.
    StreamError = "stream-error",
    /// A stream ends with an error that does not pass by itself.
    StreamRefused = "stream-refused",
    /// Messages are refused for a while.
    RateLimit = "rate-limit",
    /// Broken streams can no longer be resumed.
    ForgetStreams = "forget-streams",
    /// A password changes.
    ChangePassword = "change-password",
    /// A page of the archive comes without its first result.
    DropResult = "drop-result",
    /// A page of the archive comes without one in its middle, or its last.
    DropLater = "drop-later",
    /// Queries of the archive fail.
    FailQueries = "fail-queries",
    /// Messages show up in the archive late and out of order, and it says so.
    Unsettle = "unsettle",
    /// The server's wall clock is set back.
    ClockStep = "clock-step",
    /// Messages are sent to all and not archived.
    FailArchiving = "fail-archiving",
    /// A page of the archive repeats results, names the wrong ones, or ends before them.
    Garble = "garble",
    /// Stream management is not offered for a while.
    NoManagement = "no-management",
    /// Stream management is offered for a while, and refused.
    ManagementRefused = "management-refused",
    /// Streams that begin cannot be resumed, but are managed.
    NoResumption = "no-resumption",
    /// Fewer mechanisms to log in with are offered, one of them good enough.
    FewerMechanisms = "fewer-mechanisms",
    /// None of the mechanisms offered is good enough.
    WeakMechanisms = "weak-mechanisms",
    /// Rooms have no archive for a while.
    NoArchives = "no-archives",
    /// The messages of a room have other ids than before.
    Migrate = "migrate",
    /// Who enters a room is given another nick.
    RewriteNicks = "rewrite-nicks",
    /// The server takes smaller stanzas than before.
    SmallStanzas = "small-stanzas",
    /// Logins are refused for now.
    LoginFails = "login-fails",
    /// An account is disabled for a while.
    Disabled = "disabled",
    /// Somebody who does not know the password lets the client in.
    FalseProof = "false-proof",
    /// Broken streams can no longer be resumed, but it is known how far they came.
    ExpireStreams = "expire-streams",
    /// A client is lied to.
    Forge = "forge",
    /// A stanza of the server is doubled, dropped, or sent out of its turn.
    Tamper = "tamper",
    /// A timer goes off late, or is asked for early.
    Skew = "skew",
    /// What a host kept is copied. Part of a restore, not drawn by itself.
    Backup = "backup",
    /// A host starts again with what it kept some time ago.
    Restore = "restore",
}

/// The longest lag of an archive that the client has to bear: it waits
/// [`Timing::settle`](crate::Timing::settle), five seconds, before it takes what an
/// archive does not show for absent. MongooseIM lags two seconds by default.
pub(in crate::sim) const LAG: Duration = Duration::from_secs(4);

/// So many bytes a second, and next to nothing arrives.
const TRICKLE: u32 = 10;

impl FaultKind {
    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Whether a plan has it less often than others: so many kinds are there that those
    /// which find most would be crowded out.
    pub(super) const fn is_rare(self) -> bool {
        matches!(
            self,
            Self::Truncate
                | Self::Alert
                | Self::HalfOpen
                | Self::NoAnswer
                | Self::NoName
                | Self::Trickle
                | Self::ManagementRefused
                | Self::NoResumption
                | Self::FewerMechanisms
                | Self::WeakMechanisms
                | Self::NoArchives
                | Self::Migrate
                | Self::RewriteNicks
        )
    }

    const fn bit(self) -> u128 {
        1 << (self as u128)
    }
}

impl Fault {
    /// What kind it is of.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Cut {
                linger: Some(_), ..
            } => FaultKind::Linger,
            Self::Cut { how, .. } => match how {
                Ending::Fin | Ending::Reset | Ending::Silence => FaultKind::Cut,
                Ending::Truncation => FaultKind::Truncate,
                Ending::Alert => FaultKind::Alert,
                Ending::HalfOpen => FaultKind::HalfOpen,
            },
            Self::Stall { .. } => FaultKind::Stall,
            Self::Refuse { .. } => FaultKind::Refuse,
            Self::NoAnswer { .. } => FaultKind::NoAnswer,
            Self::NoName { .. } => FaultKind::NoName,
            Self::Throttle {
                bytes_per_second, ..
            } if *bytes_per_second < TRICKLE => FaultKind::Trickle,
            Self::Throttle { .. } => FaultKind::Throttle,
            Self::TlsFails {
                certificate: false, ..
            } => FaultKind::TlsFails,
            Self::TlsFails { .. } => FaultKind::Certificate,
            Self::Freeze { .. } => FaultKind::Freeze,
            Self::Ignore { .. } => FaultKind::Ignore,
            Self::SmallWrites { .. } => FaultKind::SmallWrites,
            Self::Leap { .. } => FaultKind::Leap,
            Self::Restart { .. } => FaultKind::Restart,
            Self::Skew { .. } | Self::Early { .. } => FaultKind::Skew,
            Self::Mishap { what, .. } => what.kind(),
            Self::Backup { .. } => FaultKind::Backup,
            Self::Restore { .. } => FaultKind::Restore,
            Self::Server(operation) => kind_of(operation),
        }
    }
}

const fn kind_of(operation: &Operation) -> FaultKind {
    match operation {
        Operation::Crash {
            lost_rooms: true, ..
        } => FaultKind::CrashLosesRooms,
        Operation::Crash {
            lost_messages: 0, ..
        } => FaultKind::Crash,
        Operation::Crash { .. } => FaultKind::CrashLosesMessages,
        Operation::Stop => FaultKind::Stop,
        Operation::Start => FaultKind::Start,
        Operation::Remove { how, .. } => match how {
            Removal::Kicked => FaultKind::Kick,
            Removal::Banned => FaultKind::Ban,
            Removal::NotMember => FaultKind::NotMember,
            Removal::Technical => FaultKind::Technical,
            Removal::Silent => FaultKind::Vanish,
        },
        Operation::Admit { .. } => FaultKind::Admit,
        Operation::RestartRooms { told: true } => FaultKind::RoomsRestart,
        Operation::RestartRooms { told: false } => FaultKind::RoomsVanish,
        Operation::Destroy { .. } => FaultKind::Destroy,
        Operation::ArchiveLag(lag) if lag.as_millis() <= LAG.as_millis() => FaultKind::ArchiveLag,
        Operation::ArchiveLag(_) => FaultKind::ArchiveLagLong,
        Operation::Expire { .. } => FaultKind::Expire,
        Operation::Retract { .. } => FaultKind::Retract,
        Operation::StreamError { condition, .. } if passes(*condition) => FaultKind::StreamError,
        Operation::StreamError { .. } => FaultKind::StreamRefused,
        Operation::RateLimit { .. } => FaultKind::RateLimit,
        Operation::ForgetStreams => FaultKind::ForgetStreams,
        Operation::ChangePassword { .. } => FaultKind::ChangePassword,
        Operation::DropResult { index: 0 } => FaultKind::DropResult,
        Operation::DropResult { .. } => FaultKind::DropLater,
        Operation::FailQueries { .. } => FaultKind::FailQueries,
        Operation::Unsettle { .. } => FaultKind::Unsettle,
        Operation::ClockStep { .. } => FaultKind::ClockStep,
        Operation::FailArchiving { .. } => FaultKind::FailArchiving,
        Operation::Garble(_) => FaultKind::Garble,
        Operation::WithholdManagement { what, .. } => match what {
            Withheld::All => FaultKind::NoManagement,
            Withheld::Enabling => FaultKind::ManagementRefused,
            Withheld::Resumption => FaultKind::NoResumption,
        },
        Operation::WithholdMechanisms { left, .. } => match left {
            Mechanisms::Unbound | Mechanisms::Sha1 => FaultKind::FewerMechanisms,
            Mechanisms::Plain => FaultKind::WeakMechanisms,
        },
        Operation::Archives(_) => FaultKind::NoArchives,
        Operation::Migrate { .. } => FaultKind::Migrate,
        Operation::RewriteNicks { .. } => FaultKind::RewriteNicks,
        Operation::LimitStanzas(_) => FaultKind::SmallStanzas,
        Operation::RefuseLogins {
            condition: SaslCondition::TemporaryAuthFailure,
            ..
        } => FaultKind::LoginFails,
        Operation::RefuseLogins { .. } => FaultKind::Disabled,
        Operation::FalseProof { .. } => FaultKind::FalseProof,
        Operation::ExpireStreams => FaultKind::ExpireStreams,
        Operation::Forge { .. } => FaultKind::Forge,
        Operation::Tamper { .. } => FaultKind::Tamper,
    }
}

/// All conditions that end a stream: RFC 6120, sections 4.9.3.1 to 4.9.3.25.
pub(super) const CONDITIONS: &[StreamCondition] = &[
    StreamCondition::BadFormat,
    StreamCondition::BadNamespacePrefix,
    StreamCondition::Conflict,
    StreamCondition::ConnectionTimeout,
    StreamCondition::HostGone,
    StreamCondition::HostUnknown,
    StreamCondition::ImproperAddressing,
    StreamCondition::InternalServerError,
    StreamCondition::InvalidFrom,
    StreamCondition::InvalidNamespace,
    StreamCondition::InvalidXml,
    StreamCondition::NotAuthorized,
    StreamCondition::NotWellFormed,
    StreamCondition::PolicyViolation,
    StreamCondition::RemoteConnectionFailed,
    StreamCondition::Reset,
    StreamCondition::ResourceConstraint,
    StreamCondition::RestrictedXml,
    StreamCondition::SeeOtherHost,
    StreamCondition::SystemShutdown,
    StreamCondition::UndefinedCondition,
    StreamCondition::UnsupportedEncoding,
    StreamCondition::UnsupportedFeature,
    StreamCondition::UnsupportedStanzaType,
    StreamCondition::UnsupportedVersion,
];

/// Whether a stream that ended with this may be set up again by itself.
pub(in crate::sim) const fn passes(condition: StreamCondition) -> bool {
    !matches!(
        condition,
        StreamCondition::Conflict
            | StreamCondition::HostUnknown
            | StreamCondition::HostGone
            | StreamCondition::NotAuthorized
            | StreamCondition::InvalidFrom
            | StreamCondition::InvalidNamespace
            | StreamCondition::UnsupportedVersion
            | StreamCondition::UnsupportedFeature
            | StreamCondition::UnsupportedEncoding
            | StreamCondition::SeeOtherHost
    )
}

/// A set of kinds of faults. Its text form is a list with commas.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FaultKinds(u128);

impl FaultKinds {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Every one, those included that the client is known not to bear.
    #[must_use]
    pub fn all() -> Self {
        FaultKind::ALL.iter().copied().collect()
    }

    /// Every one that the client promises to bear.
    #[must_use]
    pub fn standard() -> Self {
        let beyond = Self::beyond_the_client();
        Self::all().iter().filter(|k| !beyond.has(*k)).collect()
    }

    /// Those whose consequences the client does not notice yet, so that it breaks
    /// rules which stay as they are:
    ///
    /// - `archive-lag-long`: archives lag by four to ten seconds, longer than the client
    ///   waits for one before it sends a post again or takes a cursor for expired
    ///   ([`Timing::settle`](crate::Timing::settle)). Breaks S4, S6, L3.
    /// - `drop-later`: a page names its first item and its last (XEP-0059); nothing in it
    ///   tells that one between them is missing. Breaks S4.
    /// - `no-archives`: a room has no archive when the client comes in, and has one again
    ///   while it stays, which nothing tells it. What is said then is told without an id,
    ///   since a room that does not say that it gives them (XEP-0359, section 4) may not;
    ///   and told again, as late, once the archive is asked all the same. Breaks S2.
    /// - `tamper`: a stanza is dropped or out of its turn, which a stream does not do to
    ///   it. A result of a page that is dropped is a `drop-later`; results, or messages of
    ///   a room, that are swapped are in the order in which they came, since ids do not
    ///   tell another. Breaks S3, S4. `tests/exhaustive_cuts.rs` does it to each stanza of
    ///   a session, and says which of them the client does not bear.
    ///
    /// More are a matter of the server: see [`Self::beyond_the_client_on`].
    #[must_use]
    pub fn beyond_the_client() -> Self {
        [
            FaultKind::ArchiveLagLong,
            FaultKind::DropLater,
            FaultKind::NoArchives,
            FaultKind::Tamper,
        ]
        .into_iter()
        .collect()
    }

    /// Those of [`Self::beyond_the_client`], and on ejabberd, whose archive ids are times,
    /// and which gives after a cursor what has a greater one, `clock-step`. What is said
    /// after a step back lies before the cursors that were given out, for as long as the
    /// step was. Who is in the room hears it; who comes in later, from whatever cursor, is
    /// never shown it. Breaks S3, S4, S5. On Prosody, whose ids are random and whose order
    /// is that of arrival, only stamps go back, which no decision rests on.
    #[must_use]
    pub fn beyond_the_client_on(personality: Personality) -> Self {
        let more: &[FaultKind] = match personality {
            Personality::Prosody => &[],
            Personality::Ejabberd => &[FaultKind::ClockStep],
        };
        Self::beyond_the_client()
            .iter()
            .chain(more.iter().copied())
            .collect()
    }

    /// Those named in a list with commas; also `all`, `standard`, `none`.
    ///
    /// # Errors
    /// [`PlanError`] if a name is not known.
    pub fn parse(list: &str) -> Result<Self, PlanError> {
        let mut kinds = Self::none();
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            match (name, FaultKind::parse(name)) {
                ("all", _) => kinds.0 |= Self::all().0,
                ("standard", _) => kinds.0 |= Self::standard().0,
                ("none", _) => {}
                (_, Some(kind)) => kinds = kinds.with(kind),
                (_, None) => {
                    return Err(PlanError {
                        line: 0,
                        problem: format!("`{name}` is no kind of fault"),
                        remedy: format!("use some of: {}, or standard, all, none", Self::all()),
                    });
                }
            }
        }
        Ok(kinds)
    }

    /// The same and this one.
    #[must_use]
    pub const fn with(self, kind: FaultKind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// The same without this one.
    #[must_use]
    pub const fn without(self, kind: FaultKind) -> Self {
        Self(self.0 & !kind.bit())
    }

    /// The same without those.
    #[must_use]
    pub const fn except(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether it is in.
    #[must_use]
    pub const fn has(self, kind: FaultKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Those that are in, in order.
    pub fn iter(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL
            .iter()
            .copied()
            .filter(move |kind| self.has(*kind))
    }
}

impl FromIterator<FaultKind> for FaultKinds {
    fn from_iter<T: IntoIterator<Item = FaultKind>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::none(), Self::with)
    }
}

impl fmt::Display for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: alloc::vec::Vec<_> = self.iter().map(FaultKind::name).collect();
        match names.as_slice() {
            [] => f.write_str("none"),
            names => f.write_str(&names.join(",")),
        }
    }
}

impl fmt::Debug for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.to_string();
        f.debug_tuple("FaultKinds").field(&text).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use super::*;

    /// The second column of the table of faults.
    fn listed() -> Vec<&'static str> {
        let rows = include_str!("faults.md").lines();
        let rows = rows.filter_map(|line| line.strip_prefix('|')?.split('|').nth(1));
        let names = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        names.collect()
    }

    #[test]
    fn every_kind_is_in_the_table_and_every_name_there_is_a_kind() {
        let listed = listed();
        for kind in FaultKind::ALL {
            assert!(listed.contains(&kind.name()), "{kind:?}");
        }
        for name in listed {
            assert!(FaultKind::parse(name).is_some(), "{name}");
        }
    }

    #[test]
    fn all_conditions_of_a_stream_error_are_listed_and_are_twenty_five() {
        let names: BTreeSet<_> = CONDITIONS.iter().map(|c| c.as_str()).collect();
        assert_eq!((names.len(), CONDITIONS.len()), (25, 25));
        for condition in CONDITIONS {
            assert_eq!(StreamCondition::from_wire(condition.as_str()), *condition);
        }
        let passing = CONDITIONS.iter().filter(|c| passes(**c)).count();
        assert_eq!(passing, 15, "the others need somebody to look after them");
    }

    #[test]
    fn each_kind_has_a_bit_of_its_own() {
        let bits: BTreeSet<_> = FaultKind::ALL.iter().map(|kind| kind.bit()).collect();
        assert_eq!(bits.len(), FaultKind::ALL.len());
    }

    #[test]
    fn lists_of_kinds_read_back() {
        let kinds = FaultKinds::parse("cut, stall").unwrap();
        assert_eq!(kinds.to_string(), "cut,stall");
        assert_eq!(
            FaultKinds::parse(&FaultKinds::all().to_string()).unwrap(),
            FaultKinds::all()
        );
        assert!(!FaultKinds::standard().has(FaultKind::ArchiveLagLong));
        assert!(FaultKinds::standard().has(FaultKind::Vanish));
        let error = FaultKinds::parse("cut,stal").unwrap_err();
        assert!(error.to_string().contains("`stal`"), "{error}");
    }
}
