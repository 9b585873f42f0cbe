//! Who follows which topic through the bridge.

use std::collections::BTreeMap;
use std::sync::Mutex;

use parley_xmpp::jid::BareJid;
use parley_xmpp::tokio::Subscription;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::lock;
use super::rpc::Error;
use super::turns::Turn;

/// Who follows which topic. Changed in the order of the requests, while the work
/// that takes goes on beside.
#[derive(Default)]
pub(super) struct Followers(pub(super) Mutex<Following>);

#[derive(Default)]
pub(super) struct Following {
    pub(super) latest: u64,
    pub(super) by_topic: BTreeMap<String, Follower>,
}

pub(super) struct Follower {
    /// Tells one `subscribe` to a topic from another.
    pub(super) generation: u64,
    /// `None` while it is being set up.
    pub(super) task: Option<JoinHandle<()>>,
    /// It is set up, and its answer still to come. Kept here for its end: who takes the
    /// follower away hands on its turn, however long the answer takes, in a batch for instance.
    pub(super) opened: Option<Opened>,
    /// Says that there was an `unsubscribe`; only dropped, that the connection is over.
    pub(super) unwanted: oneshot::Sender<()>,
}

/// A subscription that nobody reads yet.
pub(super) struct Opened {
    pub(super) room: BareJid,
    pub(super) subscription: Subscription,
    pub(super) turn: Turn,
}

/// A `subscribe` that has its place.
pub(super) struct Reserved {
    pub(super) generation: u64,
    pub(super) unwanted: oneshot::Receiver<()>,
}

impl Followers {
    pub(super) fn reserve(&self, topic: &str) -> Result<Reserved, Error> {
        let mut following = lock(&self.0);
        let task = following.by_topic.get(topic).map(|follower| &follower.task);
        let over = task.is_none_or(|task| task.as_ref().is_some_and(JoinHandle::is_finished));
        if !over {
            let error = Error::invalid("subscribed to that topic already");
            return Err(error.with("remedy", "send `unsubscribe` first"));
        }
        following.latest = following.latest.wrapping_add(1);
        let generation = following.latest;
        let (stop, unwanted) = oneshot::channel();
        let follower = Follower {
            generation,
            task: None,
            opened: None,
            unwanted: stop,
        };
        following.by_topic.insert(topic.to_owned(), follower);
        Ok(Reserved {
            generation,
            unwanted,
        })
    }

    /// Nobody follows the topic any more; who did may have a last word.
    pub(super) fn remove(&self, topic: &str) -> Option<JoinHandle<()>> {
        let follower = lock(&self.0).by_topic.remove(topic)?;
        // Nobody listens where it stands.
        let _ = follower.unwanted.send(());
        follower.task.inspect(JoinHandle::abort)
    }

    /// A `subscribe` is set up. Where it was taken away meanwhile, that is all of it.
    pub(super) fn opened(&self, topic: &str, generation: u64, opened: Opened) {
        let mut following = lock(&self.0);
        let follower = following.by_topic.get_mut(topic);
        if let Some(follower) = follower.filter(|follower| follower.generation == generation) {
            follower.opened = Some(opened);
        }
    }

    pub(super) fn give_back(&self, topic: &str, generation: u64) {
        let mut following = lock(&self.0);
        if following
            .by_topic
            .get(topic)
            .is_some_and(|follower| follower.generation == generation)
        {
            following.by_topic.remove(topic);
        }
    }

    pub(super) fn clear(&self) {
        let by_topic = core::mem::take(&mut lock(&self.0).by_topic);
        by_topic
            .into_values()
            .filter_map(|follower| follower.task)
            .for_each(|task| task.abort());
    }
}
