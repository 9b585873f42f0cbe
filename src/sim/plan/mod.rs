//! What is going to happen in a world: every decision, none of them drawn later.
//!
//! A [`Plan`] is drawn from a seed, or read from a trace. Its text form has a line
//! for each decision; a run depends on nothing else.
//!
//! ```
//! use parley_xmpp::sim::plan::{Plan, Profile};
//!
//! let plan = Plan::draw(7, &Profile::standard());
//! assert_eq!(Plan::parse(&plan.to_string()), Ok(plan));
//! ```
//!
#![doc = include_str!("faults.md")]

mod draw;
mod kinds;
mod mishap;
mod names;
mod text;
mod trouble;
mod words;
mod write;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;
use crate::sim::happening::{Ending, HostId, Side};
use crate::sim::server::{Operation, Personality};

pub use draw::Profile;
use kinds::LAG;
pub(in crate::sim) use kinds::passes;
pub use kinds::{FaultKind, FaultKinds};
pub(in crate::sim) use mishap::Effect;
pub use mishap::Mishap;
pub use text::PlanError;

/// A run, decided in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The seed of what is drawn on the way: ids, nonces, delays of single packets.
    pub seed: u64,
    /// The server's habits.
    pub personality: Personality,
    /// Whether the server offers to resume streams.
    pub resumption: bool,
    /// The most messages in a page of the server's archives.
    pub page_cap: u32,
    /// How the network behaves when it does nothing worse.
    pub weather: Weather,
    /// Accounts of the hosts, by host: `u0`, `u0` twice would be two hosts of one account.
    pub hosts: Vec<String>,
    /// What is particular about the hosts.
    pub habits: Habits,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
    /// When the faults end, whatever they were: the network heals, the server runs.
    pub heal_at: Instant,
    /// When the run ends and the account is drawn up.
    pub end_at: Instant,
}

/// What is particular about the hosts of a plan. Default: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Habits {
    /// All suggest the nick of the first.
    pub one_nick: bool,
    /// All ask for the same resource: hosts of one account put each other out.
    pub one_resource: bool,
    /// They insist on their nicks ([`Nick::Chosen`](crate::Nick::Chosen)): with
    /// [`Self::one_nick`] the second waits until the first has gone, and the trace that it
    /// left.
    pub insist: bool,
    /// Their clocks show whole multiples of this.
    pub tick: Option<Duration>,
    /// So many messages are held back at most
    /// ([`Limits::held_messages`](crate::Limits::held_messages)).
    pub held: Option<u32>,
    /// So many archive ids are remembered
    /// ([`Limits::remembered_ids`](crate::Limits::remembered_ids)), with pages of a quarter of
    /// that, and unless [`Self::held`] says otherwise as much held back as leaves place for a
    /// page.
    pub remembered: Option<u32>,
}

/// How the network behaves when it does nothing worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The least time a byte is under way.
    pub latency: Duration,
    /// The most that is added to it, drawn for each packet; bytes keep their order.
    pub jitter: Duration,
    /// Packets have at most so many bytes.
    pub packet: u32,
    /// Bytes a second; `None` is no bound.
    pub bandwidth: Option<u32>,
}

impl Weather {
    /// 10 ms each way, no jitter, packets of 1400 bytes, no bound on bandwidth.
    #[must_use]
    pub const fn calm() -> Self {
        Self {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            packet: 1400,
            bandwidth: None,
        }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A bot is told to do something.
    Order(HostId, Order),
    /// Something goes wrong.
    Fault(Fault),
}

/// What a standard bot can be told. Rooms by their bare address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Join a room and stay.
    Join(String),
    /// Post a text there.
    Post(String, String),
    /// Follow the room: from the cursor kept, or from now.
    Follow(String),
    /// Follow the room from now on, whatever cursor was kept.
    FollowNow(String),
    /// Stop following.
    Unfollow(String),
    /// Fetch what came after the cursor kept, at most so many.
    Fetch(String, u32),
    /// Leave.
    Leave(String),
    /// Try to connect at once.
    Reconnect,
    /// End in good order.
    Close,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The host's link ends after so many more bytes in one direction.
    Cut {
        /// Whose link.
        host: HostId,
        /// Whose bytes count.
        from: Side,
        /// So many more arrive.
        after_bytes: u64,
        /// How it ends.
        how: Ending,
        /// What the host wrote by then and the server has not read arrives that
        /// much later all the same, with [`Ending::Silence`]: old bytes after the
        /// new link stands.
        linger: Option<Duration>,
    },
    /// Nothing arrives for a while in one direction; then all of it.
    Stall {
        /// Whose link.
        host: HostId,
        /// Whose bytes.
        from: Side,
        /// For how long.
        lasts: Duration,
    },
    /// Connections of the host are refused for a while.
    Refuse {
        /// Whose.
        host: HostId,
        /// For how long.
        lasts: Duration,
    },
    /// Connections of the host are not answered for a while: they neither stand nor
    /// are refused.
    NoAnswer {
        /// Whose.
        host: HostId,
        /// For how long.
        lasts: Duration,
    },
    /// The host does not find the server's name for a while.
    NoName {
        /// Which.
        host: HostId,
        /// For how long.
        lasts: Duration,
    },
    /// The host's link carries only so many bytes a second for a while in one direction.
    Throttle {
        /// Whose.
        host: HostId,
        /// Whose bytes.
        from: Side,
        /// The bound.
        bytes_per_second: u32,
        /// For how long.
        lasts: Duration,
    },
    /// The next TLS handshake of the host fails.
    TlsFails {
        /// Whose.
        host: HostId,
        /// Because of the certificate: no retry mends that.
        certificate: bool,
    },
    /// The host does nothing for a while: neither reads nor writes nor keeps time.
    Freeze {
        /// Which.
        host: HostId,
        /// For how long.
        lasts: Duration,
    },
    /// The host's bot takes no events for a while.
    Ignore {
        /// Which.
        host: HostId,
        /// For how long.
        lasts: Duration,
    },
    /// The host's transport takes at most so many bytes at a time from now on.
    SmallWrites {
        /// Which.
        host: HostId,
        /// How many.
        bytes: u32,
    },
    /// The host's clock jumps ahead.
    Leap {
        /// Which.
        host: HostId,
        /// How far.
        by: Duration,
    },
    /// The host's process is killed and starts again, with what it kept.
    Restart {
        /// Which.
        host: HostId,
        /// How long it is down.
        after: Duration,
    },
    /// A timer of the host's goes off late.
    Skew {
        /// Which.
        host: HostId,
        /// So many go off in time before it.
        after: u32,
        /// How late.
        by: Duration,
    },
    /// The host calls [`handle_timeout`](crate::Engine::handle_timeout) before a timer is
    /// due, which may change nothing.
    Early {
        /// Which.
        host: HostId,
        /// So many timers are armed before it.
        after: u32,
        /// How early; as soon as it is armed, if that is later.
        by: Duration,
    },
    /// One step of the host goes wrong.
    Mishap {
        /// Which.
        host: HostId,
        /// So many steps of its kind go well before it.
        after: u32,
        /// What befalls it.
        what: Mishap,
    },
    /// What the host keeps is copied, for [`Fault::Restore`].
    Backup {
        /// Which.
        host: HostId,
    },
    /// The host's process is killed and starts again, with what was copied last; as
    /// [`Fault::Restart`] if nothing was.
    Restore {
        /// Which.
        host: HostId,
        /// How long it is down.
        after: Duration,
    },
    /// Something befalls the server.
    Server(Operation),
}
