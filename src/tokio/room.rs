//! A room: post, fetch, subscribe.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use ::tokio::sync::{mpsc, oneshot};
use futures_core::Stream;

use super::link::{Command, Fetched, Link, RoomShared};
use super::queue::{Queue, lock};
use super::subscription::Subscription;
use crate::jid::{BareJid, JidError};
use crate::{
    ArchiveId, Cursor, Fetch, FetchEvent, JoinError, JoinFailure, Joined, Message, NotSent, Post,
    PostError, PostToken, QueryError, RequestError, Resolution, RoomEvent, StanzaError, Start,
    StreamCondition, Via,
};

/// A room that was joined. Cloning gives another handle to the same.
///
/// Interruptions are mended: the room is joined again by itself, unless it
/// refuses for good ([`RoomEvent::Left`] with [`Retry::Never`](crate::Retry::Never)).
/// Then every call on the handle fails, and the room can be joined anew.
#[derive(Clone, Debug)]
pub struct Room {
    link: Link,
    shared: Arc<RoomShared>,
    topic: Option<Arc<str>>,
}

impl Room {
    pub(super) const fn new(link: Link, shared: Arc<RoomShared>, topic: Option<Arc<str>>) -> Self {
        Self {
            link,
            shared,
            topic,
        }
    }

    /// Its address.
    #[must_use]
    pub fn jid(&self) -> &BareJid {
        &self.shared.jid
    }

    /// The topic by which this handle was asked for, if it was by a topic.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// Our nick at present.
    #[must_use]
    pub fn nick(&self) -> String {
        lock(&self.shared.view).nick.clone()
    }

    /// How we stood when we joined last; [`Joined::privacy`] is what it is at present,
    /// and [`Joined::info`] what the room said since, if it was slow to say it.
    #[must_use]
    pub fn joined(&self) -> Joined {
        lock(&self.shared.view).joined.clone()
    }

    /// Says `text`. Resolves when its fate is known.
    ///
    /// Dropping the future does not take the post back; only its fate stays unknown.
    ///
    /// # Errors
    /// [`PostFailure`] tells what certainly did not happen from what may have.
    pub async fn post(&self, text: &str) -> Result<Posted, PostFailure> {
        self.send(Post::new(text)).await
    }

    /// Posts a message. Resolves when its fate is known; otherwise as [`Room::post`].
    ///
    /// # Errors
    /// [`PostFailure`] tells what certainly did not happen from what may have.
    pub async fn send(&self, post: Post) -> Result<Posted, PostFailure> {
        let (reply, answer) = oneshot::channel();
        self.link.send(Command::Post {
            room: self.shared.id,
            post,
            reply,
        });
        answer.await.map_err(|_| PostFailure::Closed)?
    }

    /// Draws the id of a post that is yet to be made: for a program that writes the token
    /// down before it sends [`Post::under`] it, so that what became of the post can be
    /// found out even if the program is killed meanwhile. Nothing is sent.
    ///
    /// # Errors
    /// [`PostFailure::Invalid`] if the room was left, [`PostFailure::Closed`].
    pub async fn prepare(&self) -> Result<PostToken, PostFailure> {
        let (reply, answer) = oneshot::channel();
        let room = self.shared.id;
        self.link.send(Command::Prepare { room, reply });
        answer.await.map_err(|_| PostFailure::Closed)?
    }

    /// Finds out what became of a post to this room that was
    /// [`Unknown`](PostFailure::Unknown), be it of this program or of another. May
    /// be asked again. Resolves after [`Timing::post`](crate::Timing::post) at the latest.
    ///
    /// # Errors
    /// [`QueryError::UnknownRoom`] if the token is of another room, or this one was left.
    pub async fn resolve(&self, token: &PostToken) -> Result<Resolution, QueryError> {
        if token.room() != self.jid() {
            return Err(QueryError::UnknownRoom);
        }
        let (reply, answer) = oneshot::channel();
        let token = Box::new(token.clone());
        self.link.send(Command::Resolve { token, reply });
        answer.await.map_err(|_| QueryError::Closed)?
    }

    /// Reads the archive. Resolves with everything that was asked for, over as many pages as it takes.
    ///
    /// Dropping the future gives the fetch up. Holds at most
    /// [`Fetch::limit`] messages in memory.
    ///
    /// # Errors
    /// [`FetchFailure`] has what was read until then.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Page, FetchFailure> {
        self.fetch_with(fetch, |_| ()).await
    }

    /// Reads the archive and tells after each page how many messages there are so
    /// far; otherwise as [`Room::fetch`].
    ///
    /// # Errors
    /// [`FetchFailure`] has what was read until then.
    pub async fn fetch_with(
        &self,
        fetch: Fetch,
        mut progress: impl FnMut(u64),
    ) -> Result<Page, FetchFailure> {
        let mut reading = Reading::new(fetch.since.clone());
        let (pages, mut events) = mpsc::unbounded_channel();
        let token = self.link.token();
        let guard = CancelOnDrop {
            link: &self.link,
            token: Some(token),
        };
        self.link.send(Command::Fetch {
            token,
            room: self.shared.id,
            fetch,
            pages,
        });
        let end = loop {
            match events.recv().await {
                Some(Fetched::Event(FetchEvent::Page(page))) => {
                    reading.add(page);
                    progress(reading.count);
                }
                Some(Fetched::Event(FetchEvent::Done {
                    next,
                    complete,
                    stable,
                })) => {
                    break Ok((next, complete, stable));
                }
                Some(Fetched::Event(FetchEvent::Failed(error))) => break Err(error),
                Some(Fetched::Refused(QueryError::UnknownRoom)) => {
                    break Err(RequestError::NoSuchRoom);
                }
                Some(Fetched::Refused(_)) | None => break Err(RequestError::Offline),
            }
        };
        guard.disarm();
        match end {
            Ok((next, complete, stable)) => Ok(Page {
                messages: reading.messages(),
                next,
                complete,
                stable,
            }),
            Err(error) => Err(reading.fail(error)),
        }
    }

    /// Follows the room: what was missed since `from`, then what is said.
    ///
    /// # Errors
    /// If the room is left, or the client closed.
    pub async fn subscribe(&self, from: Start) -> Result<Subscription, QueryError> {
        Subscription::open(&self.link, self.shared.id, from).await
    }

    /// What happens in the room apart from messages: who comes and goes, interruptions.
    ///
    /// Begins with the present. A reader that lags by more than 256 loses the
    /// oldest and is told how many. Keeping it does not keep the client.
    #[must_use]
    pub fn events(&self) -> RoomEvents {
        let queue = Queue::new();
        let mut view = lock(&self.shared.view);
        if view.dead {
            queue.close();
        } else {
            view.readers.push(Arc::downgrade(&queue));
        }
        drop(view);
        RoomEvents { queue, held: None }
    }

    /// Leaves the room, for every handle. Resolves when out, at once if out already.
    pub async fn leave(&self) {
        if let Some(left) = self.mourn() {
            self.link.send(Command::Leave {
                room: self.shared.id,
            });
            drop(left.await);
        }
    }

    /// Destroys the room, which only its owner may (XEP-0045 v1.35.5 section 10.9).
    /// Resolves when it is gone.
    ///
    /// # Errors
    /// If the room refuses or does not answer, or was left, or the client is closed.
    pub async fn destroy(&self) -> Result<(), RequestError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut view = lock(&self.shared.view);
            if view.dead {
                return Err(RequestError::NoSuchRoom);
            }
            view.destroyers.retain(|destroyer| !destroyer.is_closed());
            view.destroyers.push(reply);
        }
        self.link.send(Command::Destroy {
            room: self.shared.id,
        });
        // Where the stream breaks meanwhile, nobody knows, and nothing is said.
        match ::tokio::time::timeout(self.link.shared.patience, answer).await {
            Ok(answer) => answer.map_err(|_| RequestError::Offline)?,
            Err(_) => Err(RequestError::TimedOut),
        }
    }

    /// Resolves when the room is left for good; `None` if it is already.
    fn mourn(&self) -> Option<oneshot::Receiver<()>> {
        let mut view = lock(&self.shared.view);
        if view.dead {
            return None;
        }
        let (sender, left) = oneshot::channel();
        view.mourners.retain(|mourner| !mourner.is_closed());
        view.mourners.push(sender);
        Some(left)
    }
}

/// Gives a fetch up when the future that waits for it is dropped.
struct CancelOnDrop<'a> {
    link: &'a Link,
    token: Option<u64>,
}

impl CancelOnDrop<'_> {
    fn disarm(mut self) {
        self.token = None;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.link.send(Command::Cancel { token });
        }
    }
}

/// Puts the pages of a fetch in order.
struct Reading {
    since: Option<Cursor>,
    pages: Vec<Vec<Message>>,
    count: u64,
}

impl Reading {
    const fn new(since: Option<Cursor>) -> Self {
        Self {
            since,
            pages: Vec::new(),
            count: 0,
        }
    }

    fn add(&mut self, page: Vec<Message>) {
        self.count = self.count.saturating_add(page.len() as u64);
        self.pages.push(page);
    }

    /// All messages, the oldest first. Towards the past the newest page came first.
    fn messages(mut self) -> Vec<Message> {
        if self.since.is_none() {
            self.pages.reverse();
        }
        self.pages.into_iter().flatten().collect()
    }

    fn fail(self, error: RequestError) -> FetchFailure {
        let since = self.since.clone();
        let prefix = self.messages();
        let last = prefix.iter().rev().find_map(|message| message.id.clone());
        FetchFailure {
            error,
            next: last.map(Cursor::After).or(since),
            prefix,
        }
    }
}

/// What a fetch read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The messages, the oldest first.
    pub messages: Vec<Message>,
    /// Where to go on: after the newest of them.
    pub next: Cursor,
    /// Nothing lay behind `next` when the archive was asked.
    pub complete: bool,
    /// The archive stands by what it showed: see [`FetchEvent::Done`].
    pub stable: bool,
}

/// A fetch that failed, with what it read until then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchFailure {
    /// Why.
    pub error: RequestError,
    /// What was read, the oldest first, without a hole. Of a fetch without
    /// `since` these are the newest messages; older ones may be missing.
    pub prefix: Vec<Message>,
    /// Where to go on; `None` if nothing was read and no cursor was given.
    pub next: Option<Cursor>,
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after {} messages", self.error, self.prefix.len())
    }
}

impl core::error::Error for FetchFailure {}

/// A post that the room accepted and ordered. See
/// [`PostOutcome::Committed`](crate::PostOutcome::Committed) for what that does not promise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Posted {
    /// Its position; `None` if the room does not archive.
    pub id: Option<ArchiveId>,
    /// How we know.
    pub via: Via,
}

/// A post without a known success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostFailure {
    /// It cannot be posted as it is. Nothing was sent.
    Invalid(PostError),
    /// The room refused it; it is not there and never will be.
    Rejected(StanzaError),
    /// It is not in the room, and is not sent any more: no connection ever had all of it, or
    /// the server said that it did not handle it. See
    /// [`PostOutcome::NotSent`](crate::PostOutcome::NotSent).
    NotSent(NotSent),
    /// The server ended the stream over something that was in flight, this or another
    /// of so many. It is not in the room, and not sent again. See
    /// [`PostOutcome::StreamKill`](crate::PostOutcome::StreamKill).
    StreamKill {
        /// What the server said; `None` if one connection after the other ended.
        condition: Option<StreamCondition>,
        /// How many posts were in flight, this one included.
        among: u32,
    },
    /// It may be there or not: it was sent, and nobody could tell in time.
    Unknown {
        /// What [`Room::resolve`] decides by, later.
        token: Box<PostToken>,
    },
    /// The client was closed before the fate was known, or before the post was looked at.
    Closed,
}

impl fmt::Display for PostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => why.fmt(f),
            Self::Rejected(error) => write!(f, "the room refused the message: {error}"),
            Self::NotSent(NotSent::Deadline) => f.write_str("not sent: no connection in time"),
            Self::NotSent(NotSent::NoRoom) => f.write_str("not sent: the room was left"),
            Self::NotSent(NotSent::TooLarge) => {
                f.write_str("not sent: the server takes only smaller messages now")
            }
            Self::NotSent(_) => f.write_str("not sent: the connection ended"),
            Self::StreamKill {
                condition: None, ..
            } => f.write_str("one connection after the other ended when the message was sent"),
            Self::StreamKill {
                condition: Some(condition),
                among: 1,
            } => write!(
                f,
                "the server ended the connection over the message: {condition}"
            ),
            Self::StreamKill {
                condition: Some(condition),
                among,
            } => write!(
                f,
                "the server ended the connection over this or another of {among} messages: {condition}"
            ),
            Self::Unknown { token } => write!(
                f,
                "sent, but not confirmed: it may be in the room, under the id {}",
                token.origin_id()
            ),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for PostFailure {}

/// Why a room was not joined.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomError {
    /// The topic has no room.
    Topic(JidError),
    /// It cannot be asked for like this.
    Invalid(JoinError),
    /// The room did not let us in.
    Refused(JoinFailure),
    /// It was left, by another handle, before it let us in.
    Left,
    /// The client is closed.
    Closed,
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(why) => write!(f, "the topic has no room: {why}"),
            Self::Invalid(why) => why.fmt(f),
            Self::Refused(JoinFailure::NickConflict) => {
                f.write_str("the nick belongs to somebody else in the room")
            }
            Self::Refused(JoinFailure::Refused(error)) => {
                write!(f, "the room does not let us in: {error}")
            }
            Self::Refused(JoinFailure::TimedOut) => f.write_str("the room does not answer"),
            Self::Refused(JoinFailure::Offline) => {
                f.write_str("the connection ended before the room answered")
            }
            Self::Refused(JoinFailure::PutOut(cause)) => {
                write!(
                    f,
                    "the room let us in and put us out again at once: {cause}"
                )
            }
            Self::Left => f.write_str("the room was left before it let us in"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for RoomError {}

/// A reader was too slow: so many events were dropped, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were missed", self.0)
    }
}

impl core::error::Error for Lagged {}

/// What happens in a room, apart from messages. See [`Room::events`].
#[derive(Debug)]
pub struct RoomEvents {
    queue: Arc<Queue<RoomEvent>>,
    /// Comes after the report of those that were lost before it.
    held: Option<RoomEvent>,
}

impl RoomEvents {
    pub(super) const CAPACITY: usize = 256;

    /// The next event; `None` when the room is left for good. Can be dropped at any time.
    pub async fn next(&mut self) -> Option<Result<RoomEvent, Lagged>> {
        core::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for RoomEvents {
    type Item = Result<RoomEvent, Lagged>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = self.held.take() {
            return Poll::Ready(Some(Ok(event)));
        }
        self.queue.poll(cx).map(|next| {
            next.map(|(missed, event)| {
                if missed == 0 {
                    return Ok(event);
                }
                self.held = Some(event);
                Err(Lagged(missed))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LeaveCause, Source};
    use core::task::Waker;

    fn message(id: &str) -> Message {
        Message {
            id: ArchiveId::new(id),
            nick: "ana".into(),
            occupant_id: None,
            body: id.into(),
            origin_id: None,
            reply_to: None,
            stamp: None,
            own: false,
            source: Source::Archive,
        }
    }

    fn reading(since: Option<Cursor>, pages: &[&[&str]]) -> Reading {
        let mut reading = Reading::new(since);
        for page in pages {
            reading.add(page.iter().map(|id| message(id)).collect());
        }
        reading
    }

    fn ids(messages: &[Message]) -> Vec<&str> {
        messages
            .iter()
            .map(|message| message.body.as_str())
            .collect()
    }

    #[test]
    fn pages_come_out_with_the_oldest_first() {
        let onwards = reading(Some(Cursor::Beginning), &[&["1", "2"], &["3"]]);
        assert_eq!(onwards.count, 3);
        assert_eq!(ids(&onwards.messages()), ["1", "2", "3"]);
        let backwards = reading(None, &[&["3", "4"], &["1", "2"]]);
        assert_eq!(ids(&backwards.messages()), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_failure_says_where_to_go_on() {
        let fail = |since, pages| reading(since, pages).fail(RequestError::TimedOut);
        let after = |id| Cursor::parse(id);
        assert_eq!(fail(after("0"), &[&["1", "2"]]).next, after("2"));
        assert_eq!(fail(after("0"), &[]).next, after("0"));
        assert_eq!(fail(None, &[&["3", "4"], &["1", "2"]]).next, after("4"));
        assert_eq!(fail(None, &[]).next, None);
        assert_eq!(ids(&fail(after("0"), &[&["1"], &["2"]]).prefix), ["1", "2"]);
    }

    #[test]
    fn a_slow_reader_of_events_is_told_how_many_it_missed() {
        let queue = Queue::new();
        let mut events = RoomEvents {
            queue: Arc::clone(&queue),
            held: None,
        };
        let event = |n: usize| RoomEvent::OccupantLeft {
            nick: alloc::format!("{n}"),
            cause: LeaveCause::Asked,
        };
        (0..300).for_each(|n| queue.push(event(n), RoomEvents::CAPACITY));
        queue.close();
        let mut cx = Context::from_waker(Waker::noop());
        let mut next = || Pin::new(&mut events).poll_next(&mut cx);
        assert_eq!(next(), Poll::Ready(Some(Err(Lagged(44)))));
        for n in 44..300 {
            assert_eq!(next(), Poll::Ready(Some(Ok(event(n)))));
        }
        assert_eq!(next(), Poll::Ready(None));
    }
}
