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

    /// Adds an item. Those at the end that are markers, as it is, are looked through for one
    /// that `merged` makes one with it, told how many they are: that one goes.
    pub(super) fn push_merged(
        &self,
        item: T,
        is_marker: impl Fn(&T) -> bool,
        merged: impl Fn(&T, &T, usize) -> Option<T>,
    ) {
        let reader = {
            let mut inner = lock(&self.inner);
            let markers = inner.items.iter().rev().take_while(|old| is_marker(old));
            let run = if is_marker(&item) { markers.count() } else { 0 };
            let start = inner.items.len().saturating_sub(run);
            let mut run_of = inner.items.range(start..).enumerate();
            let found = run_of.find_map(|(at, old)| Some((at, merged(old, &item, run)?)));
            let item = match found {
                Some((at, both)) => {
                    inner.items.remove(start.saturating_add(at));
                    both
                }
                None => item,
            };
            inner.items.push_back(item);
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
        let merged = |old: &i32, new: &i32, _: usize| (old == new).then_some(*new);
        [1, -1, -2, -1, -1, 2, 2, -1]
            .into_iter()
            .for_each(|n| queue.push_merged(n, |n| *n < 0, merged));
        let read: alloc::vec::Vec<_> = (0..6).map(|_| next(&queue)).collect();
        assert_eq!(
            read,
            [1, -2, -1, 2, 2, -1].map(|n| Poll::Ready(Some((0, n))))
        );
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
