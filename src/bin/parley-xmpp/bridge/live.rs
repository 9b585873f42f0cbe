//! A connection and what hangs on it: its rooms and who watches them, its subscriptions,
//! its state, and the posts that a run before left in doubt.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use parley_xmpp::tokio::{Client, Room, State};
use parley_xmpp::{Entry, PostToken};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::followers::{Followers, Opened};
use super::lock;
use super::recent::Recent;
use super::rpc::notification;
use super::writer::Out;
use crate::connect;
use crate::doubts::{self, Memory};
use crate::output::{self, MessageObject};
use crate::problem::Problem;

/// Fetches at a time that do not wait for news; more wait their turn.
const FETCHES: usize = 16;
/// The same for those that wait for news, so that these keep none of the others.
/// Together below what the engine takes: the rest is for subscriptions.
const WAITING_FETCHES: usize = 32;

/// A connection and what hangs on it.
pub(super) struct Live {
    pub(super) client: Client,
    out: Out,
    pub(super) memory: Option<Memory>,
    /// Who finds out what became of posts of before.
    resolver: Mutex<Option<JoinHandle<()>>>,
    pub(super) fetches: Semaphore,
    pub(super) waiting_fetches: Semaphore,
    pub(super) followers: Arc<Followers>,
    /// What a reply may be to.
    pub(super) recent: Arc<Recent>,
    /// By topic: who reports what happens in its room.
    watchers: Mutex<BTreeMap<String, JoinHandle<()>>>,
    states: Mutex<Option<JoinHandle<()>>>,
}

impl Live {
    pub(super) fn new(
        client: Client,
        out: Out,
        memory: Option<Memory>,
        followers: Arc<Followers>,
    ) -> Self {
        Self {
            client,
            out,
            memory,
            resolver: Mutex::new(None),
            fetches: Semaphore::new(FETCHES),
            waiting_fetches: Semaphore::new(WAITING_FETCHES),
            followers,
            recent: Arc::default(),
            watchers: Mutex::new(BTreeMap::new()),
            states: Mutex::new(None),
        }
    }

    /// Joins the room of a topic, or is in it already, and has it watched.
    pub(super) async fn room(self: &Arc<Self>, topic: &str) -> Result<Room, Problem> {
        let room = connect::join(&self.client, topic).await?;
        let mut watchers = lock(&self.watchers);
        if watchers.get(topic).is_none_or(JoinHandle::is_finished) {
            let mut events = room.events();
            let (out, name, kept) = (self.out.clone(), topic.to_owned(), room.clone());
            let watcher = tokio::spawn(async move {
                while let Some(event) = events.next().await {
                    let Ok(event) = event else { continue };
                    let line = notification("room", &output::room_event(&name, &event));
                    if !out.line(line).await {
                        break;
                    }
                }
                // A room without a handle may be left at the next interruption.
                drop(kept);
            });
            watchers.insert(topic.to_owned(), watcher);
        }
        Ok(room)
    }

    /// Waits until all that was queued before is written and remembered.
    pub(super) async fn through(&self) {
        self.out.through().await;
    }

    /// Passes the entries of a subscription on, until it ends.
    pub(super) fn follow(&self, topic: String, generation: u64) {
        let mut following = lock(&self.followers.0);
        // Taken away meanwhile: there was an `unsubscribe` or a `disconnect`.
        let Some(follower) = following
            .by_topic
            .get_mut(&topic)
            .filter(|follower| follower.generation == generation)
        else {
            return;
        };
        let Some(opened) = follower.opened.take() else {
            return;
        };
        let Opened {
            room,
            mut subscription,
            turn,
        } = opened;
        let (out, recent) = (self.out.clone(), Arc::clone(&self.recent));
        let topic: Arc<str> = topic.into();
        follower.task = Some(tokio::spawn(async move {
            while let Some(entry) = subscription.next().await {
                let late = matches!(entry, Entry::Late(_));
                let line = match &entry {
                    Entry::Message(message) | Entry::Late(message) => {
                        recent.told(&room, message);
                        let object = MessageObject::new(&topic, message).late(late);
                        notification("message", &object)
                    }
                    Entry::Gap { after, reason } => {
                        notification("gap", &output::gap(&topic, after.as_ref(), reason))
                    }
                    // For the state file only, in its place among the others.
                    _ => String::new(),
                };
                if !out.entry(line, &topic, entry).await {
                    break;
                }
            }
            // However it ends: nothing more is queued.
            drop(turn);
        }));
    }

    /// Tells what became of posts that a run before left in doubt.
    pub(super) fn resolve_doubts(
        self: &Arc<Self>,
        posts: Vec<PostToken>,
        is_own: impl Fn(&str) -> bool + Send + 'static,
    ) {
        let Some(memory) = self.memory.clone() else {
            return;
        };
        let (client, out) = (self.client.clone(), self.out.clone());
        let resolver = tokio::spawn(async move {
            let told = doubts::resolve(&client, &memory, posts, is_own, |found, settles| {
                let out = out.clone();
                async move {
                    let line = notification("resolved", &found);
                    out.settling(line, settles.into_iter().collect()).await;
                }
            });
            if let Err(failure) = told.await {
                tracing::error!(error = failure.error, "posts in doubt");
            }
        });
        *lock(&self.resolver) = Some(resolver);
    }

    pub(super) fn report_states(self: Arc<Self>) {
        let mut states = self.client.states();
        let out = self.out.clone();
        let reporter = tokio::spawn(async move {
            while let Some(state) = states.next().await {
                let mut params = output::state(&state);
                if let (State::Online { login, .. }, Some(params)) =
                    (&state, params.as_object_mut())
                {
                    params.insert("resumed".into(), login.resumed.into());
                }
                if !out.line(notification("state", &params)).await {
                    break;
                }
            }
        });
        *lock(&self.states) = Some(reporter);
    }

    pub(super) async fn close(&self) {
        self.followers.clear();
        if let Some(resolver) = lock(&self.resolver).take() {
            resolver.abort();
        }
        self.client.close().await;
        let watchers = core::mem::take(&mut *lock(&self.watchers));
        watchers.into_values().for_each(|watcher| watcher.abort());
        // The last state, `closed`, comes before the answer.
        let states = lock(&self.states).take();
        if let Some(mut states) = states
            && tokio::time::timeout(Duration::from_secs(1), &mut states)
                .await
                .is_err()
        {
            states.abort();
        }
    }
}
