//! What handles and the task share: commands one way, snapshots the other.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use ::tokio::sync::{mpsc, oneshot};

use super::client::{State, TlsInfo};
use super::queue::Queue;
use super::room::{PostFailure, Posted, RoomError};
use crate::jid::{BareJid, Jid};
use crate::{
    DiscoInfo, Entry, Fetch, FetchEvent, Joined, Login, Nick, Post, PostToken, QueryError,
    RequestError, Resolution, RoomEvent, RoomId, SavedSession, Start, SubscriptionId,
};

/// What a handle asks the task for.
///
/// Each belongs to a future that waits, or gives back what a handle held; so
/// their number is bounded by what the program itself keeps.
#[derive(Debug)]
pub(super) enum Command {
    Join {
        room: BareJid,
        nick: Nick,
        reply: Reply<Arc<RoomShared>, RoomError>,
    },
    Leave {
        room: RoomId,
    },
    Destroy {
        room: RoomId,
    },
    Prepare {
        room: RoomId,
        reply: Reply<PostToken, PostFailure>,
    },
    Post {
        room: RoomId,
        post: Post,
        reply: Reply<Posted, PostFailure>,
    },
    Fetch {
        token: u64,
        room: RoomId,
        fetch: Fetch,
        pages: mpsc::UnboundedSender<Fetched>,
    },
    Cancel {
        token: u64,
    },
    Disco {
        of: Jid,
        items: bool,
        reply: Reply<DiscoInfo, RequestError>,
    },
    Resolve {
        token: Box<PostToken>,
        reply: Reply<Resolution, QueryError>,
    },
    Subscribe {
        room: RoomId,
        from: Start,
        queue: Weak<Queue<Entry>>,
        reply: Reply<SubscriptionId, QueryError>,
    },
    Grant {
        subscription: SubscriptionId,
        credit: u32,
    },
    Unsubscribe {
        subscription: SubscriptionId,
    },
    Reconnect,
    Disconnect,
    Close,
    Suspend {
        reply: oneshot::Sender<Option<SavedSession>>,
    },
}

pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What comes back for a fetch.
#[derive(Debug)]
pub(super) enum Fetched {
    Refused(QueryError),
    Event(FetchEvent),
}

/// A handle's way to the task. While one is left, the task goes on.
#[derive(Clone, Debug)]
pub(super) struct Link {
    commands: mpsc::UnboundedSender<Command>,
    pub(super) shared: Arc<Shared>,
}

impl Link {
    pub(super) const fn new(commands: mpsc::UnboundedSender<Command>, shared: Arc<Shared>) -> Self {
        Self { commands, shared }
    }

    /// Sends a command. If the task is gone, the command is dropped and with it
    /// its way back, which the one who waits for it sees.
    pub(super) fn send(&self, command: Command) {
        drop(self.commands.send(command));
    }

    /// Waits for the task to end.
    pub(super) async fn ended(&self) {
        self.commands.closed().await;
    }

    pub(super) fn token(&self) -> u64 {
        self.shared.tokens.fetch_add(1, Ordering::Relaxed)
    }
}

/// What all handles of a client see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) muc_service: String,
    pub(super) nick: Nick,
    /// After which nobody waits any more for what the engine need not answer.
    pub(super) patience: core::time::Duration,
    tokens: AtomicU64,
    pub(super) status: Mutex<Status>,
}

/// How the client stands: the last that was heard.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) jid: Jid,
    pub(super) login: Login,
    pub(super) tls: Option<TlsInfo>,
    /// What happened last; `None` before anything did.
    pub(super) state: Option<State>,
    pub(super) readers: Vec<Weak<Queue<State>>>,
}

impl Shared {
    pub(super) fn new(
        muc_service: String,
        nick: Nick,
        patience: core::time::Duration,
        jid: Jid,
    ) -> Self {
        let status = Status {
            jid,
            login: Login::default(),
            tls: None,
            state: None,
            readers: Vec::new(),
        };
        Self {
            muc_service,
            nick,
            patience,
            tokens: AtomicU64::new(0),
            status: Mutex::new(status),
        }
    }
}

/// What all handles of a room see.
#[derive(Debug)]
pub(super) struct RoomShared {
    pub(super) id: RoomId,
    pub(super) jid: BareJid,
    pub(super) view: Mutex<View>,
}

/// How we stand in a room: the last that was heard.
#[derive(Debug)]
pub(super) struct View {
    pub(super) nick: String,
    pub(super) joined: Joined,
    pub(super) readers: Vec<Weak<Queue<RoomEvent>>>,
    /// Left for good.
    pub(super) dead: bool,
    /// Those who wait for that.
    pub(super) mourners: Vec<oneshot::Sender<()>>,
    /// Those who want the room destroyed.
    pub(super) destroyers: Vec<Reply<(), RequestError>>,
}
