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

    /// What can stand in the place of both, if that is one entry: `older` and `newer` are
    /// unread, and only markers lie between them; `run` is how many of these there are. A
    /// reader who sleeps through many interruptions need not hear of each.
    ///
    /// Gaps are told apart by what they mean, unless there are very many.
    pub(super) fn merged(older: &Entry, newer: &Entry, run: usize) -> Option<Entry> {
        match (older, newer) {
            (Entry::CaughtUp { .. }, Entry::CaughtUp { .. })
            | (Entry::Confirmed { .. }, Entry::Confirmed { .. }) => Some(newer.clone()),
            (Entry::Gap { .. }, Entry::Gap { .. }) if older == newer => Some(newer.clone()),
            (Entry::Gap { after, reason: old }, Entry::Gap { reason, .. }) => {
                let alike = core::mem::discriminant(old) == core::mem::discriminant(reason);
                (alike && run >= Self::MARKERS).then(|| Entry::Gap {
                    after: after.clone(),
                    reason: reason.clone(),
                })
            }
            _ => None,
        }
    }

    /// Whether an entry is no message, but says something about those around it.
    pub(super) const fn is_marker(entry: &Entry) -> bool {
        !matches!(entry, Entry::Message(_) | Entry::Late(_) | Entry::Ended)
    }

    /// After so many markers in a row, gaps for the same kind of reason are one.
    const MARKERS: usize = 32;
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::task::Waker;

    use super::*;
    use crate::{Bookmark, Cursor, GapReason};

    fn place(text: &str) -> Option<Cursor> {
        Cursor::parse(text)
    }

    fn gap(after: &str, reason: GapReason) -> Entry {
        let after = place(after).filter(|_| !after.is_empty());
        Entry::Gap { after, reason }
    }

    fn caught_up(at: &str) -> Entry {
        Entry::CaughtUp { at: place(at) }
    }

    /// What a reader is told who slept through these.
    fn unread(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
        let queue = Queue::new();
        for entry in entries {
            queue.push_merged(entry, Subscription::is_marker, Subscription::merged);
        }
        let cx = Context::from_waker(Waker::noop());
        let next = || match queue.poll(&cx) {
            Poll::Ready(Some((_, entry))) => Some(entry),
            _ => None,
        };
        core::iter::from_fn(next).collect()
    }

    #[test]
    fn a_gap_hides_no_other_with_another_reason() {
        let told = [
            gap("", GapReason::NeverAnchored),
            gap("", GapReason::Overflow),
            caught_up("b"),
        ];
        let unread = unread(told.clone());
        assert_eq!(unread, told);
        let mut bookmark = Bookmark::at(place("a").unwrap());
        for entry in &unread {
            bookmark.take(entry);
        }
        assert_eq!(bookmark, Bookmark::at(place("b").unwrap()));
    }

    #[test]
    fn who_sleeps_through_many_interruptions_hears_of_each_kind_once() {
        let again = [gap("a", GapReason::Recreated), caught_up("a")];
        let often = again.iter().cycle().take(1000).cloned();
        assert_eq!(unread(often), again);
        let many = (0..1000).flat_map(|n| {
            let after = alloc::format!("a{n}");
            let reasons = [GapReason::CursorExpired, GapReason::Unsettled];
            let gaps = reasons.map(|reason| gap(&after, reason));
            gaps.into_iter().chain([caught_up("a")])
        });
        let unread = unread(many);
        assert!(unread.len() <= 40, "{}", unread.len());
        assert_eq!(unread.last(), Some(&caught_up("a")));
        let first = |reason| unread.contains(&gap("a0", reason));
        assert!(first(GapReason::CursorExpired) && first(GapReason::Unsettled));
    }
}
