//! What befalls a server.

use alloc::string::String;
use core::time::Duration;

use crate::{SaslCondition, StreamCondition};

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
    /// For that long what is said shows up in the archives late and out of order; as
    /// long as something does not show, their pages say that they may still change
    /// (`stable='false'`, XEP-0313 v1.1.3, section 4.2).
    Unsettle {
        /// The longest that a message takes to show up.
        most: Duration,
        /// For how long.
        lasts: Duration,
    },
    /// The server's wall clock is set back. On Prosody stamps go back with it; on
    /// ejabberd, whose archive ids are times, so do the places of messages.
    ClockStep {
        /// How far.
        back: Duration,
    },
    /// The next so many messages are sent to all, but cannot be archived: they have no
    /// id by the room (measured: Prosody logs that and goes on).
    FailArchiving {
        /// How many.
        count: u32,
    },
    /// The next page of an archive is not as it should be.
    Garble(Garbling),
    /// For that long stream management (XEP-0198) is not what it is set up to be, on new
    /// streams.
    WithholdManagement {
        /// What is wanting.
        what: Withheld,
        /// For how long.
        lasts: Duration,
    },
    /// For that long new streams are offered fewer mechanisms to log in with.
    WithholdMechanisms {
        /// Which are left.
        left: Mechanisms,
        /// For how long.
        lasts: Duration,
    },
    /// Rooms archive from now on, or no more: what they have is not shown then, nor said
    /// to be there.
    Archives(bool),
    /// The archives of a room are taken over from another server: its messages are the
    /// same, and all have other ids.
    Migrate {
        /// The room.
        room: String,
    },
    /// For that long who enters a room is given another nick than the one asked for
    /// (status 210; XEP-0045 v1.35.5, section 7.2.3).
    RewriteNicks {
        /// For how long.
        lasts: Duration,
    },
    /// From now on new streams take stanzas of at most so many bytes, and say so
    /// (XEP-0478); `None` is as it was set up.
    LimitStanzas(Option<u32>),
    /// The next so many logins of an account are refused, whatever its password.
    RefuseLogins {
        /// The account.
        account: String,
        /// Why.
        condition: SaslCondition,
        /// How many.
        count: u32,
    },
    /// The next so many logins of an account with SCRAM meet somebody who does not know
    /// the password and says all the same that they succeeded.
    FalseProof {
        /// The account.
        account: String,
        /// No signature is given, rather than a wrong one.
        missing: bool,
        /// How many.
        count: u32,
    },
    /// The states of streams that are broken just now expire: they can no longer be
    /// resumed, but how much of them was handled is remembered (`<failed h='…'/>`).
    ExpireStreams,
    /// One stanza for an account is sent in another way than it should be.
    Tamper {
        /// The account.
        account: String,
        /// So many stanzas go to it before that one.
        after: u32,
        /// What becomes of it.
        how: Tampering,
    },
    /// Somebody sends the clients of an account what is not true.
    Forge {
        /// The account.
        account: String,
        /// The room that it is about.
        room: String,
        /// What.
        lie: Lie,
    },
}

/// What is wanting in stream management (XEP-0198 v1.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Withheld {
    /// It is not offered.
    All,
    /// It is offered, and refused to who asks for it (section 3).
    Enabling,
    /// It is there, without the right to resume (section 5: no `resume` in `<enabled/>`).
    Resumption,
}

/// Which mechanisms are left to log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanisms {
    /// Those that are not bound to the channel.
    Unbound,
    /// Those of SHA-1.
    Sha1,
    /// PLAIN alone.
    Plain,
}

/// What is wrong about a page of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Garbling {
    /// Each of its results comes twice.
    Twice,
    /// It begins with the item that it was to begin after, or ends with the one before
    /// which it was to end.
    Again,
    /// Its `<first/>` and `<last/>` are each other's (XEP-0059, section 2.2).
    Bounds,
    /// Its results come after its end.
    AfterEnd,
}

/// What becomes of a stanza on its way to a client, before it is counted (XEP-0198).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tampering {
    /// It is sent twice.
    Double,
    /// It is not sent.
    Drop,
    /// It is sent after the next one.
    Swap,
}

/// A lie told to a client by [an account of its server](super::STRANGER), or by rooms in
/// its name. What may not be believed has a text with [`MARK`](super::MARK) in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lie {
    /// Results of the archive of a room, from who is not that archive, and from the room
    /// itself under a query that nobody made.
    Result,
    /// The next request of the account to a room is answered by others before it is by
    /// the room: under the right ids, from the wrong addresses.
    Answer,
    /// Messages to all from the bare address of the room, from an account, and from a room
    /// that the client is not in.
    Foreign,
    /// A carbon copy (XEP-0280) from an account that is not the client's own.
    Carbon,
    /// The client's own presence (status 110), from a room that it is not in and from an
    /// account.
    Entered,
    /// The client is kicked (status 307 and 110), from a room that it is not in and from
    /// an account.
    Kicked,
    /// An occupant says something under an id that another gave, with an id by a room
    /// that is not this one. It is said: all are to be told.
    Copied,
    /// An occupant says something in which all kinds of things are forwarded that were
    /// never said, but for the text itself.
    Nested,
    /// A contact is pushed (RFC 6121, section 2.1.6) by who is not the server.
    Push,
}

impl Lie {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Result,
        Self::Answer,
        Self::Foreign,
        Self::Carbon,
        Self::Entered,
        Self::Kicked,
        Self::Copied,
        Self::Nested,
        Self::Push,
    ];
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
