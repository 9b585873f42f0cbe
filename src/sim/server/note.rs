//! What a server did, in truth: for whoever checks what its clients believe.

use alloc::string::String;
use alloc::vec::Vec;

use super::ConnectionId;
use crate::StreamCondition;

/// Something that became a fact in the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A client has a session: bound anew, or resumed.
    Session {
        /// Over which connection.
        connection: ConnectionId,
        /// The full address.
        jid: String,
        /// An older stream was resumed (XEP-0198).
        resumed: bool,
    },
    /// A session ended; nothing of it is handled any more.
    SessionEnded {
        /// The full address.
        jid: String,
    },
    /// The server ended a stream with an error.
    StreamError {
        /// Which connection.
        connection: ConnectionId,
        /// The condition.
        condition: StreamCondition,
    },
    /// A room came into being.
    RoomCreated {
        /// Its bare address.
        room: String,
    },
    /// A room is no more, its archive included.
    RoomGone {
        /// Its bare address.
        room: String,
    },
    /// An occupant came in.
    Entered {
        /// The room.
        room: String,
        /// The nick.
        nick: String,
        /// The full address of the session.
        jid: String,
    },
    /// An occupant is out.
    Left {
        /// The room.
        room: String,
        /// The nick.
        nick: String,
        /// The full address of the session.
        jid: String,
        /// Whether the occupant was told.
        told: bool,
    },
    /// An occupant goes by another nick.
    Renamed {
        /// The room.
        room: String,
        /// The nick until now.
        from: String,
        /// The nick from now on.
        to: String,
        /// The full address of the session.
        jid: String,
    },
    /// A room accepted a message, gave it its place and sends it to the occupants.
    /// Only messages with a body count.
    Accepted {
        /// The room.
        room: String,
        /// Its place; `None` if the room does not archive it.
        archive_id: Option<String>,
        /// The sender's nick.
        nick: String,
        /// The sender's full address.
        jid: String,
        /// The id its sender gave it.
        origin_id: Option<String>,
        /// The text.
        body: String,
    },
    /// A message was refused, and is not in the room.
    Refused {
        /// The room.
        room: String,
        /// The sender's full address.
        jid: String,
        /// The id its sender gave it.
        origin_id: Option<String>,
    },
    /// A message can now be seen in the archive.
    Archived {
        /// The room.
        room: String,
        /// Its place.
        archive_id: String,
    },
    /// All messages of an archive have other ids from now on, and keep their order.
    Migrated {
        /// The room.
        room: String,
        /// Their places until now, and from now on.
        ids: Vec<(String, String)>,
    },
    /// A page of an archive went out that may still change, and says so.
    Unstable {
        /// The room.
        room: String,
    },
    /// A page of an archive went out that is not as it should be, or a query of it was made
    /// to fail.
    Garbled {
        /// The room.
        room: String,
    },
    /// A stanza was sent twice, not at all, or not in its turn.
    Tampered {
        /// The account that it was for.
        account: String,
        /// The stanza, and the one that went before it instead.
        stanzas: Vec<String>,
    },
    /// What rooms said last to a client comes after what they say over the stream that goes on.
    Overtaken {
        /// The full address of the session.
        jid: String,
        /// The messages.
        stanzas: Vec<String>,
    },
    /// Somebody lied to a client. What has the marker in its text may never be told.
    Forged {
        /// The account.
        account: String,
        /// What the lie is marked with.
        marker: String,
    },
    /// A login was said to have succeeded by somebody who does not know the password.
    FalseProof {
        /// Over which connection.
        connection: ConnectionId,
        /// Whose login.
        account: String,
    },
    /// A client went on with a login of which that was said: rule S10 is broken.
    Trusted {
        /// Over which connection.
        connection: ConnectionId,
        /// The account.
        account: String,
    },
    /// A message cannot be seen in the archive any more, or never will: expired,
    /// retracted or lost.
    Unarchived {
        /// The room.
        room: String,
        /// Its place.
        archive_id: String,
        /// Its place is left, and can still be read on from.
        tombstone: bool,
    },
}
