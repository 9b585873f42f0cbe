//! The client: one account, one connection at a time, one task.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use ::tokio::sync::oneshot;
use futures_core::Stream;

use super::error::ConnectError;
use super::link::{Command, Link};
use super::queue::{Queue, lock};
use super::room::{Room, RoomError};
use super::settings::Settings;
use super::task;
use crate::jid::{BareJid, Jid};
use crate::{DiscoInfo, Login, Nick, OfflineCause, RequestError, SavedSession};

/// A client that is, or was, online. Cloning gives another handle to the same.
///
/// A task of the runtime owns the connection. It mends interruptions by itself
/// and ends when [`close`](Self::close) is called, or when the last [`Client`],
/// [`Room`] and [`Subscription`](super::Subscription) is dropped.
///
/// Every future can be dropped at any time: what it asked for is then given up,
/// or, for a post, goes its way without a witness.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
}

/// How TLS protects a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite, as rustls names it.
    pub cipher: String,
}

/// How a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Logged in.
    Online {
        /// The address the server gave us.
        jid: Jid,
        /// How we got in, and what the server can do.
        login: Box<Login>,
    },
    /// A connection, or the attempt at one, ended.
    Offline {
        /// Why.
        cause: OfflineCause,
        /// When the next attempt begins, counted from the event; `None` if
        /// nothing is tried until [`Client::reconnect`] is called.
        retry_in: Option<Duration>,
    },
    /// The client has ended. Nothing comes after it.
    Closed,
}

impl Client {
    /// Connects and logs in. Resolves when online.
    ///
    /// Must be called within a tokio runtime with its clock and I/O enabled, of
    /// any flavour. If the future is dropped, nothing stays behind.
    ///
    /// # Errors
    /// The reason of the first failure, be it one that may pass. With
    /// [`Settings::keep_trying`] only of one that does not pass by itself.
    pub async fn connect(settings: Settings) -> Result<Self, ConnectError> {
        let (reply, ready) = oneshot::channel();
        let link = task::spawn(settings, reply)?;
        match ready.await {
            Ok(Ok(())) => Ok(Self { link }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ConnectError::Closed),
        }
    }

    /// The address the server gave us last.
    #[must_use]
    pub fn jid(&self) -> Jid {
        lock(&self.link.shared.status).jid.clone()
    }

    /// How the last login went, and what the server announced.
    #[must_use]
    pub fn login(&self) -> Login {
        lock(&self.link.shared.status).login.clone()
    }

    /// How TLS protects the last connection; `None` if it does not.
    #[must_use]
    pub fn tls(&self) -> Option<TlsInfo> {
        lock(&self.link.shared.status).tls.clone()
    }

    /// Joins the room of a topic, under the nick of the settings. Resolves when in it.
    ///
    /// Which room that is, [`topic::room`](crate::topic::room) says. Asking twice
    /// for the same topic gives two handles to the same room. A room stays joined
    /// until [`Room::leave`], whatever happens to the handles.
    ///
    /// # Errors
    /// If the topic has no room, or the room does not let us in.
    pub async fn room(&self, topic: &str) -> Result<Room, RoomError> {
        let shared = &self.link.shared;
        let room = crate::topic::room(topic, &shared.muc_service).map_err(RoomError::Topic)?;
        self.enter(room, shared.nick.clone(), Some(topic.into()))
            .await
    }

    /// Joins a room. Resolves when in it.
    ///
    /// If it is joined already, this is another handle to it, and `nick` counts for nothing.
    ///
    /// # Errors
    /// If the room does not let us in.
    pub async fn join(&self, room: BareJid, nick: Nick) -> Result<Room, RoomError> {
        self.enter(room, nick, None).await
    }

    /// The same, under the nick of the settings.
    ///
    /// # Errors
    /// If the room does not let us in.
    pub async fn room_at(&self, room: BareJid) -> Result<Room, RoomError> {
        let nick = self.link.shared.nick.clone();
        self.enter(room, nick, None).await
    }

    async fn enter(
        &self,
        room: BareJid,
        nick: Nick,
        topic: Option<Arc<str>>,
    ) -> Result<Room, RoomError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Join { room, nick, reply });
        let shared = answer.await.map_err(|_| RoomError::Closed)??;
        Ok(Room::new(self.link.clone(), shared, topic))
    }

    /// Asks an entity what it is and can do (XEP-0030 v2.5.0 section 3).
    ///
    /// # Errors
    /// If it refuses or does not answer.
    pub async fn disco_info(&self, of: Jid) -> Result<DiscoInfo, RequestError> {
        self.disco(of, false).await
    }

    /// Asks an entity for those it names, the rooms of a service for instance
    /// (XEP-0030 v2.5.0 section 4).
    ///
    /// # Errors
    /// If it refuses or does not answer.
    pub async fn disco_items(&self, of: Jid) -> Result<DiscoInfo, RequestError> {
        self.disco(of, true).await
    }

    async fn disco(&self, of: Jid, items: bool) -> Result<DiscoInfo, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Disco { of, items, reply });
        answer.await.map_err(|_| RequestError::Offline)?
    }

    /// How the client stands, now and after each change.
    ///
    /// The first item is the present state. A reader that lags by more than 64
    /// loses the oldest, never the newest. Keeping it does not keep the client.
    #[must_use]
    pub fn states(&self) -> States {
        let queue = Queue::new();
        let mut status = lock(&self.link.shared.status);
        if let Some(state) = &status.state {
            queue.push(state.clone(), States::CAPACITY);
        }
        if status.state == Some(State::Closed) {
            queue.close();
        } else {
            status.readers.push(Arc::downgrade(&queue));
        }
        drop(status);
        States { queue }
    }

    /// Tries to connect at once, whatever the waiting time before the next
    /// attempt, and also where the engine has given up. Nothing if online.
    pub fn reconnect(&self) {
        self.link.send(Command::Reconnect);
    }

    /// Goes offline in good order and stays so until [`Self::reconnect`] asks for a
    /// connection. Rooms, subscriptions, fetches and posts end: nothing comes back
    /// by itself.
    pub fn disconnect(&self) {
        self.link.send(Command::Disconnect);
    }

    /// Ends the client without ending its stream, for every handle, and gives what it takes
    /// to go on with it in another process ([`Settings::resume`]). Resolves when the
    /// connection is dropped and the task has ended. `None` where the server cannot resume
    /// it: then this is [`close`](Self::close).
    ///
    /// Posts without an outcome end as [`Engine::suspend`](crate::Engine::suspend) says.
    pub async fn suspend(&self) -> Option<SavedSession> {
        let (reply, saved) = oneshot::channel();
        self.link.send(Command::Suspend { reply });
        let saved = saved.await.ok().flatten();
        self.link.ended().await;
        saved
    }

    /// Ends the stream in good order, for every handle. Resolves when the
    /// connection is closed and the task has ended.
    ///
    /// Takes at most the time the server is given to close its side
    /// ([`Timing::close`](crate::Timing::close)). Posts without an outcome get
    /// theirs first.
    pub async fn close(&self) {
        self.link.send(Command::Close);
        self.link.ended().await;
    }
}

/// How a client stands, now and after each change. See [`Client::states`].
#[derive(Debug)]
pub struct States {
    queue: Arc<Queue<State>>,
}

impl States {
    pub(super) const CAPACITY: usize = 64;

    /// The next state; `None` after [`State::Closed`]. Can be dropped at any time.
    pub async fn next(&mut self) -> Option<State> {
        core::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for States {
    type Item = State;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<State>> {
        self.queue.poll(cx).map(|next| next.map(|(_, state)| state))
    }
}
