//! The order of the posts to a topic, kept while each goes its way, and of the subscriptions
//! to it.

use core::sync::atomic::AtomicBool;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::lock;

/// Whether a post was handed over, and may be there without an answer.
#[derive(Clone, Default)]
pub(super) struct HandedOver(pub(super) Arc<AtomicBool>);

/// A place in an order: a post's, which waits for the one before it to be handed over, or a
/// subscription's, which waits for the one before it to end. One that ends without having
/// waited hands on what it would have waited for.
pub(super) struct Turn {
    pub(super) before: Option<Before>,
    pub(super) done: Option<oneshot::Sender<Option<Before>>>,
    pub(super) handed_over: HandedOver,
}

/// By topic: what the next one waits for.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, Before>>);

impl Turns {
    /// A place in the order of those of a topic.
    pub(super) fn next(&self, topic: &str) -> Turn {
        let (done, mine) = oneshot::channel();
        let mut turns = lock(&self.0);
        turns.retain(|_, before| before.is_open());
        Turn {
            before: turns.insert(topic.to_owned(), Before(mine)),
            done: Some(done),
            handed_over: HandedOver::default(),
        }
    }
}

/// Resolves when the one before is over, with what that one still waited for.
pub(super) struct Before(pub(super) oneshot::Receiver<Option<Self>>);

impl Before {
    /// Whether there is something to wait for.
    pub(super) fn is_open(&mut self) -> bool {
        loop {
            match self.0.try_recv() {
                Ok(Some(before)) => *self = before,
                Err(oneshot::error::TryRecvError::Empty) => return true,
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

impl Turn {
    /// Waits for all before this one.
    pub(super) async fn come(&mut self) {
        // Kept in place while waiting: who is given up on still hands it on.
        while let Some(before) = &mut self.before {
            self.before = (&mut before.0).await.ok().flatten();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let before = self.before.take();
        // Taken together at once, so that many in a row make no chain.
        let before = before.and_then(|mut before| before.is_open().then_some(before));
        if let Some(done) = self.done.take() {
            // Nobody may be waiting.
            let _ = done.send(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use core::task::Poll;

    #[tokio::test]
    async fn posts_that_come_to_nothing_let_none_overtake() {
        let turns = Turns::default();
        let first = turns.next("t");
        for _ in 0..100_000 {
            drop(turns.next("t"));
        }
        let (late, later) = (turns.next("t"), turns.next("t"));
        let mut last = turns.next("t");
        drop(later);
        drop(late);
        {
            let mut come = pin!(last.come());
            let polled = core::future::poll_fn(|cx| Poll::Ready(come.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            drop(first);
            come.await;
        }
        drop(last);
        drop(turns.next("u"));
        assert_eq!(lock(&turns.0).len(), 1);
    }
}
