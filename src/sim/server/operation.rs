//! What befalls a server.

use alloc::string::String;
use core::time::Duration;

use crate::StreamCondition;

/// Something that an operator, an accident or a rival does to a server.
///
/// Rooms are named by their bare address, clients by the name of their account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The process is killed: connections end without a word, sessions and
    /// resumable streams are gone.
    Crash {
        /// So many of the latest messages of each archive are lost.
        lost_messages: u32,
        /// The rooms are lost, archives included.
        lost_rooms: bool,
    },
    /// The server ends in good order: occupants are told (332), streams end with
    /// `system-shutdown`.
    Stop,
    /// It runs again after a crash or a stop.
    Start,
    /// An occupant is put out.
    Remove {
        /// The room.
        room: String,
        /// The account of the occupant.
        account: String,
        /// How.
        how: Removal,
    },
    /// An account is a member of a room from now on, whatever it was before: who was
    /// banned or lost the membership may enter again.
    Admit {
        /// The room.
        room: String,
        /// The account.
        account: String,
    },
    /// The room service restarts: all occupants of all rooms are out.
    RestartRooms {
        /// Whether they are told (332).
        told: bool,
    },
    /// A room is destroyed.
    Destroy {
        /// The room.
        room: String,
    },
    /// From now on a message shows up in the archive only that long after it was
    /// said, and never before one that was said earlier.
    ArchiveLag(Duration),
    /// Only the latest so many messages of a room are kept.
    Expire {
        /// The room.
        room: String,
        /// How many stay.
        keep: u32,
    },
    /// The message that is so many places from the end becomes a tombstone (XEP-0424).
    Retract {
        /// The room.
        room: String,
        /// Zero is the latest.
        from_end: u32,
    },
    /// Streams of an account end with an error.
    StreamError {
        /// The account.
        account: String,
        /// Which error.
        condition: StreamCondition,
    },
    /// For that long messages to rooms are refused (`wait`, `resource-constraint`),
    /// except so many a second.
    RateLimit {
        /// How many a second pass.
        per_second: u32,
        /// For how long.
        lasts: Duration,
    },
    /// Broken streams can no longer be resumed: the states are lost.
    ForgetStreams,
    /// An account's password is another one from now on.
    ChangePassword {
        /// The account.
        account: String,
        /// The new password.
        password: String,
    },
    /// The next page of an archive comes without the result of that index.
    DropResult {
        /// Counts from zero.
        index: u32,
    },
    /// The next so many archive queries are answered with an error
    /// (`internal-server-error`, type `wait`).
    FailQueries {
        /// How many.
        count: u32,
    },
}

/// How an occupant is put out of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Removal {
    /// Kicked (307).
    Kicked,
    /// Banned (301).
    Banned,
    /// No longer a member (321). The room lets members in only from then on; all
    /// other accounts are members of it.
    NotMember,
    /// A technical problem (333).
    Technical,
    /// Without a word: the occupant still looks joined to itself.
    Silent,
}
