//! A subscription: a room's messages at the reader's own pace.

use alloc::sync::Arc;
use core::pin::Pin;
use core::task::{Context, Poll};

use ::tokio::sync::oneshot;
use futures_core::Stream;

use super::link::{Command, Link};
use super::queue::Queue;
use crate::{Entry, QueryError, RoomId, Start, SubscriptionId};

/// A room followed without a gap and without a duplicate, or with an
/// [`Entry::Gap`] that says where there may be one.
///
/// Holds at most [`Subscription::WINDOW`] messages in memory: a reader that is
/// slower than the room delays itself and nobody else, since the engine then
/// reads from the archive what it did not keep. Dropping it ends it.
///
/// To go on later, also in another process, keep a [`Bookmark`](crate::Bookmark) that is
/// told each entry once it was dealt with, and start with [`Start::Bookmark`]. The id of
/// the last message read does as well ([`Start::Cursor`]), but for what its archive shows
/// late.
#[derive(Debug)]
pub struct Subscription {
    link: Link,
    id: SubscriptionId,
    queue: Arc<Queue<Entry>>,
    /// Messages read since the engine was last told.
    read: u32,
    ended: bool,
}

impl Subscription {
    /// How many messages may wait for the reader.
    pub const WINDOW: u32 = 256;

    pub(super) async fn open(link: &Link, room: RoomId, from: Start) -> Result<Self, QueryError> {
        let queue = Queue::new();
        let (reply, answer) = oneshot::channel();
        link.send(Command::Subscribe {
            room,
            from,
            queue: Arc::downgrade(&queue),
            reply,
        });
        let id = answer.await.map_err(|_| QueryError::Closed)??;
        Ok(Self {
            link: link.clone(),
            id,
            queue,
            read: 0,
            ended: false,
        })
    }

    /// The next entry; `None` after [`Entry::Ended`], or when the client is
    /// closed. Can be dropped at any time without losing one.
    pub async fn next(&mut self) -> Option<Entry> {
        core::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Whether `newer` can stand in the place of `older`, both unread: a reader
    /// who sleeps through many interruptions need not hear of each.
    pub(super) fn supersedes(older: &Entry, newer: &Entry) -> bool {
        match (older, newer) {
            (Entry::CaughtUp { .. }, Entry::CaughtUp { .. })
            | (Entry::Confirmed { .. }, Entry::Confirmed { .. }) => true,
            (Entry::Gap { after: old, .. }, Entry::Gap { after: new, .. }) => old == new,
            _ => false,
        }
    }
}

impl Stream for Subscription {
    type Item = Entry;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Entry>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = self.queue.poll(cx) else {
            return Poll::Pending;
        };
        let entry = next.map(|(_, entry)| entry);
        match entry {
            Some(Entry::Message(_) | Entry::Late(_)) => {
                self.read = self.read.saturating_add(1);
                if self.read >= Self::WINDOW / 2 {
                    let credit = core::mem::take(&mut self.read);
                    self.link.send(Command::Grant {
                        subscription: self.id,
                        credit,
                    });
                }
            }
            Some(Entry::Ended) | None => self.ended = true,
            Some(_) => {}
        }
        Poll::Ready(entry)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.link.send(Command::Unsubscribe {
            subscription: self.id,
        });
    }
}
