//! A queue from the task to one reader that the task never waits for.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also after a panic elsewhere: what it guards is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One reader's queue. The reader holds the [`Arc`], the writer a [`Weak`].
#[derive(Debug)]
pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    /// How many were dropped from the front since the reader last looked.
    missed: u64,
    closed: bool,
    reader: Option<Waker>,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Arc<Self> {
        let inner = Inner {
            items: VecDeque::new(),
            missed: 0,
            closed: false,
            reader: None,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Adds an item. At `capacity` the oldest goes, and is counted.
    pub(super) fn push(&self, item: T, capacity: usize) {
        let reader = {
            let mut inner = lock(&self.inner);
            if inner.items.len() >= capacity {
                inner.items.pop_front();
                inner.missed = inner.missed.saturating_add(1);
            }
            inner.items.push_back(item);
            inner.reader.take()
        };
        wake(reader);
    }

    /// Adds an item, in the place of the newest if that is still there and `same` says so.
    pub(super) fn push_merged(&self, item: T, same: impl Fn(&T, &T) -> bool) {
        let reader = {
            let mut inner = lock(&self.inner);
            match inner.items.back_mut() {
                Some(last) if same(last, &item) => *last = item,
                _ => inner.items.push_back(item),
            }
            inner.reader.take()
        };
        wake(reader);
    }

    /// Nothing comes any more. What is in the queue can still be read.
    pub(super) fn close(&self) {
        let reader = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            inner.reader.take()
        };
        wake(reader);
    }

    /// The next item with the number of those lost before it; `None` at the end.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<(u64, T)>> {
        let mut inner = lock(&self.inner);
        if let Some(item) = inner.items.pop_front() {
            let missed = core::mem::take(&mut inner.missed);
            return Poll::Ready(Some((missed, item)));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Wakes outside of the lock, for a waker may run the reader at once.
fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// Gives an item to every reader that is still there, and forgets the others.
pub(super) fn publish<T: Clone>(
    readers: &mut alloc::vec::Vec<Weak<Queue<T>>>,
    item: &T,
    capacity: usize,
) {
    readers.retain(|reader| {
        let reader = reader.upgrade();
        if let Some(reader) = &reader {
            reader.push(item.clone(), capacity);
        }
        reader.is_some()
    });
}

/// Tells every reader that nothing comes any more.
pub(super) fn close_all<T>(readers: &mut alloc::vec::Vec<Weak<Queue<T>>>) {
    for reader in readers.drain(..).filter_map(|reader| reader.upgrade()) {
        reader.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next<T>(queue: &Queue<T>) -> Poll<Option<(u64, T)>> {
        queue.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_oldest_goes_at_the_bound_and_is_counted() {
        let queue = Queue::new();
        (0..5).for_each(|n| queue.push(n, 3));
        assert_eq!(next(&queue), Poll::Ready(Some((2, 2))));
        assert_eq!(next(&queue), Poll::Ready(Some((0, 3))));
        queue.close();
        assert_eq!(next(&queue), Poll::Ready(Some((0, 4))));
        assert_eq!(next(&queue), Poll::Ready(None));
    }

    #[test]
    fn a_marker_that_repeats_takes_one_place() {
        let queue = Queue::new();
        let same = |a: &i32, b: &i32| *a < 0 && *b < 0;
        [1, -1, -2, -3, 2]
            .into_iter()
            .for_each(|n| queue.push_merged(n, same));
        let read: alloc::vec::Vec<_> = (0..3).map(|_| next(&queue)).collect();
        assert_eq!(read, [1, -3, 2].map(|n| Poll::Ready(Some((0, n)))));
        assert_eq!(next(&queue), Poll::Pending);
    }

    #[test]
    fn readers_that_went_are_forgotten() {
        let (kept, gone) = (Queue::new(), Queue::new());
        let mut readers = alloc::vec![Arc::downgrade(&kept), Arc::downgrade(&gone)];
        drop(gone);
        publish(&mut readers, &1, 8);
        assert_eq!(readers.len(), 1);
        assert_eq!(next(&kept), Poll::Ready(Some((0, 1))));
    }
}
