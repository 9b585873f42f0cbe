//! What a server did, in truth: for whoever checks what its clients believe.

use alloc::string::String;

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
    /// A message cannot be seen in the archive any more: expired, retracted or lost.
    Unarchived {
        /// The room.
        room: String,
        /// Its place.
        archive_id: String,
        /// Its place is left, and can still be read on from.
        tombstone: bool,
    },
}
