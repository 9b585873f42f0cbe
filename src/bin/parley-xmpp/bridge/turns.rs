//! The order of the posts to a topic, kept while each goes its way.

use core::sync::atomic::AtomicBool;
use std::sync::Arc;

use tokio::sync::oneshot;

/// Whether a post was handed over, and may be there without an answer.
#[derive(Clone, Default)]
pub(super) struct HandedOver(pub(super) Arc<AtomicBool>);

/// A post's place: it waits for the one before it to be handed over. One that
/// ends without having waited hands on what it would have waited for.
pub(super) struct Turn {
    pub(super) before: Option<Before>,
    pub(super) done: Option<oneshot::Sender<Option<Before>>>,
    pub(super) handed_over: HandedOver,
}

/// Resolves when the post before is over, with what that one still waited for.
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
    /// Waits for all posts before this one.
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
