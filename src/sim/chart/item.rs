//! What a chart is made of: items, links, spans of time, and names of handles.

use alloc::collections::BTreeMap;
use alloc::string::String;

use super::wire::Direction;
use crate::sim::happening::{Ending, Side};
use crate::{PostId, QueryId, RoomId, SubscriptionId};

/// When something happened: the time, and its place among all that happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) at: u64,
    pub(super) order: u64,
}

/// What an item is. The page has a way to draw each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Presence,
    Iq,
    /// Children of the stream other than stanzas.
    Nonza,
    /// The stream's header and end.
    Stream,
    /// Bytes in which no stanza was found.
    Bytes,
    Asked,
    Told,
    Kept,
    Note,
    Link,
    Process,
    Fault,
    Healed,
    Violation,
}

impl Kind {
    /// In the order of their numbers in the page.
    pub(super) const NAMES: [&'static str; 15] = [
        "message",
        "presence",
        "iq",
        "nonza",
        "stream",
        "bytes",
        "asked",
        "told",
        "kept",
        "note",
        "link",
        "process",
        "fault",
        "healed",
        "violation",
    ];

    pub(super) const fn is_wire(self) -> bool {
        (self as usize) < Self::Asked as usize
    }
}

/// At whose lifeline something is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Host(usize),
    Server,
    /// Across all.
    All,
}

/// Something that is drawn.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) stamp: Stamp,
    pub(super) lane: Lane,
    pub(super) link: Option<u32>,
    pub(super) label: String,
    pub(super) detail: String,
    pub(super) transit: Option<Transit>,
}

/// How something got from one end of a link to the other.
#[derive(Clone, Debug)]
pub(super) struct Transit {
    pub(super) bytes: u64,
    /// When its last byte was written, in how many pieces.
    pub(super) written: Stamp,
    pub(super) writes: u32,
    /// When the first byte was read, and the last.
    pub(super) first_read: Option<Stamp>,
    pub(super) read: Option<Stamp>,
    pub(super) reads: u32,
    /// How many bytes were read.
    pub(super) arrived: u64,
}

/// A link as it is drawn along its host's lifeline.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) host: usize,
    /// Which of the host's links it is; counts from one.
    pub(super) generation: u32,
    pub(super) opening: u64,
    pub(super) opened: Option<u64>,
    pub(super) stands: bool,
    pub(super) protected: Option<u64>,
    /// When it broke, and when each end learned of an end.
    pub(super) broken: Option<u64>,
    pub(super) ended: [Option<(u64, Ending)>; 2],
    pub(super) wires: [Direction; 2],
}

impl Link {
    pub(super) fn wire(&mut self, by: Side) -> &mut Direction {
        let [host, server] = &mut self.wires;
        match by {
            Side::Host => host,
            Side::Server => server,
        }
    }
}

/// A while in which something was amiss.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) lane: Lane,
    pub(super) from: u64,
    pub(super) to: Option<u64>,
    /// The host's process or the server was down: the lifeline is interrupted.
    pub(super) down: bool,
    pub(super) label: String,
}

/// Names of what a host's engine has handles for.
#[derive(Debug, Default)]
pub(super) struct Handles {
    pub(super) rooms: BTreeMap<RoomId, String>,
    pub(super) posts: BTreeMap<PostId, String>,
    pub(super) queries: BTreeMap<QueryId, String>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, String>,
}
