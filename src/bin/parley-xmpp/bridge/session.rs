//! One host's use of the bridge: its connection, of which there is one at most, and its
//! requests in their order. What they do then is for [`calls`] to say.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::calls;
use super::followers::Followers;
use super::live::Live;
use super::lock;
use super::outcome::{Outcome, Pending};
use super::params::{ConnectParams, NoParams, SubscribeParams, TopicParams, params};
use super::rpc::Error;
use super::turns::{HandedOver, Turns};
use super::writer::Out;
use crate::connect;
use crate::doubts::Memory;
use crate::settings::{DEFAULT_PASSWORD_WARNING, Layer, Resolved};

/// The password is all that resolving the settings can miss.
const NO_PASSWORD: &str =
    "pass the `password` parameter, or give the bridge PARLEY_XMPP_PASS in its environment";

/// One host's use of the bridge: at most one connection at a time.
pub(super) struct Session {
    defaults: Layer,
    patience: Duration,
    out: Out,
    memory: Option<Memory>,
    slot: Mutex<Option<Slot>>,
    /// What the next post to a topic waits for.
    posts: Turns,
    /// What the next `subscribe` to a topic waits for: that the one before is over.
    subscriptions: Turns,
}

/// A connection, from the request for it on.
#[derive(Clone)]
struct Slot {
    phase: watch::Receiver<Phase>,
    followers: Arc<Followers>,
}

/// The other end of a [`Slot`].
struct Connecting {
    phase: watch::Sender<Phase>,
    followers: Arc<Followers>,
}

/// How a connection stands.
#[derive(Clone)]
enum Phase {
    Connecting,
    Ready(Arc<Live>),
    Failed,
}

impl Session {
    pub(super) fn new(
        defaults: Layer,
        patience: Duration,
        out: Out,
        memory: Option<Memory>,
    ) -> Self {
        Self {
            defaults,
            patience,
            out,
            memory,
            slot: Mutex::new(None),
            posts: Turns::default(),
            subscriptions: Turns::default(),
        }
    }

    /// Begins a request. What depends on the order of requests is done at once:
    /// which connection it is for, and its place among the posts to its topic.
    pub(super) fn begin(self: &Arc<Self>, method: &str, given: Map<String, Value>) -> Pending {
        match method {
            "connect" => match params(given).and_then(|params| self.begin_connect(params)) {
                Ok((resolved, phase)) => {
                    let session = Arc::clone(self);
                    Pending::new(async move { session.connect(resolved, phase).await })
                }
                Err(error) => Pending::ready(Err(error)),
            },
            "disconnect" => match params::<NoParams>(given) {
                Ok(_) => self.disconnect(),
                Err(error) => Pending::ready(Err(error)),
            },
            "subscribe" => self.begin_subscribe(given),
            "unsubscribe" => self.begin_unsubscribe(given),
            "post" => {
                let topic = given
                    .get("topic")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let mut turn = self.posts.next(topic);
                let handed_over = HandedOver::default();
                turn.handed_over = handed_over.clone();
                let pending = self.with_live(given, |live, params| calls::post(live, params, turn));
                Pending {
                    handed_over,
                    ..pending
                }
            }
            "fetchRecent" => {
                let waits = given.contains_key("since")
                    && given.get("blockMs").and_then(Value::as_u64) > Some(0);
                let pending = self.with_live(given, calls::fetch);
                Pending { waits, ..pending }
            }
            "resolve" => self.with_live(given, calls::resolve),
            "forget" => Pending::ready(
                params(given).and_then(|params| calls::forget(self.memory.as_ref(), &params)),
            ),
            "resolveIdentity" => Pending::ready(params(given).and_then(calls::resolve_identity)),
            other => Pending::ready(Err(Error::method(other))),
        }
    }

    fn begin_subscribe(&self, given: Map<String, Value>) -> Pending {
        let begun = || {
            let SubscribeParams { topic, since } = params(given)?;
            let since = since.as_deref().map(calls::cursor).transpose()?;
            let slot = lock(&self.slot).clone().ok_or_else(Error::not_connected)?;
            let reserved = slot.followers.reserve(&topic)?;
            let turn = self.subscriptions.next(&topic);
            Ok((slot, topic, since, reserved, turn))
        };
        match begun() {
            Ok((slot, topic, since, reserved, turn)) => Pending::new(async move {
                match live(slot).await {
                    Ok(live) => calls::subscribe(live, topic, since, reserved, turn).await,
                    Err(error) => Err(error).into(),
                }
            }),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn begin_unsubscribe(&self, given: Map<String, Value>) -> Pending {
        let begun = || {
            let TopicParams { topic } = params(given)?;
            let slot = lock(&self.slot).clone().ok_or_else(Error::not_connected)?;
            let follower = slot.followers.remove(&topic);
            Ok((slot, follower))
        };
        match begun() {
            Ok((slot, follower)) => Pending::new(async move {
                if let Some(follower) = follower {
                    // Its end is awaited: no message comes after the answer.
                    let _ = follower.await;
                }
                live(slot).await.map(|_| json!({})).into()
            }),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    fn disconnect(&self) -> Pending {
        let Some(slot) = lock(&self.slot).take() else {
            return Pending::ready(Err(Error::not_connected()));
        };
        Pending::new(async move {
            match live(slot).await {
                Ok(live) => live.close().await,
                Err(error) => return Err(error).into(),
            }
            Ok(json!({})).into()
        })
    }

    /// Closes the connection, if there is one, in good order.
    pub(super) async fn end(&self) {
        let slot = lock(&self.slot).take();
        if let Some(slot) = slot
            && let Phase::Ready(live) = slot.phase.borrow().clone()
        {
            live.close().await;
        }
    }

    /// A request that needs a connection, of which one may still be under way.
    fn with_live<P, F, W>(&self, given: Map<String, Value>, work: F) -> Pending
    where
        P: DeserializeOwned + Send + 'static,
        F: FnOnce(Arc<Live>, P) -> W + Send + 'static,
        W: Future<Output = Outcome> + Send + 'static,
    {
        let params = match params(given) {
            Ok(params) => params,
            Err(error) => return Pending::ready(Err(error)),
        };
        let Some(slot) = lock(&self.slot).clone() else {
            return Pending::ready(Err(Error::not_connected()));
        };
        Pending::new(async move {
            match live(slot).await {
                Ok(live) => work(live, params).await,
                Err(error) => Err(error).into(),
            }
        })
    }

    fn begin_connect(&self, params: ConnectParams) -> Result<(Resolved, Connecting), Error> {
        let mut slot = lock(&self.slot);
        if slot.is_some() {
            return Err(
                Error::invalid("connected already").with("remedy", "send `disconnect` first")
            );
        }
        let resolved = Layer::from(params)
            .or(self.defaults.clone())
            .resolve()
            .map_err(|failure| Error::invalid(failure.error).with("remedy", NO_PASSWORD))?
            .or_under(self.memory.as_ref().map(Memory::resource));
        let (sender, receiver) = watch::channel(Phase::Connecting);
        let followers = Arc::new(Followers::default());
        *slot = Some(Slot {
            phase: receiver,
            followers: Arc::clone(&followers),
        });
        let connecting = Connecting {
            phase: sender,
            followers,
        };
        Ok((resolved, connecting))
    }

    async fn connect(&self, resolved: Resolved, connecting: Connecting) -> Outcome {
        let Connecting { phase, followers } = connecting;
        if resolved.default_password {
            crate::say(DEFAULT_PASSWORD_WARNING);
        }
        let client = match connect::open(&resolved, self.patience).await {
            Ok(client) => client,
            Err(problem) => {
                let mut slot = lock(&self.slot);
                if slot
                    .as_ref()
                    .is_some_and(|slot| slot.phase.same_channel(&phase.subscribe()))
                {
                    *slot = None;
                }
                drop(slot);
                phase.send_replace(Phase::Failed);
                return Err(Error::from(problem)).into();
            }
        };
        let result = json!({ "jid": client.jid().as_str(), "nick": resolved.nick });
        let is_own = move |service: &str| connect::is_own_service(&resolved, service);
        let live = Live::new(client, self.out.clone(), self.memory.clone(), followers);
        let live = Arc::new(live);
        // Those of before: from now on posts of this connection may be among them.
        let doubts = self.memory.as_ref().map(Memory::posts).unwrap_or_default();
        phase.send_replace(Phase::Ready(Arc::clone(&live)));
        Outcome {
            result: Ok(result),
            after: Some(Box::new(move || {
                live.resolve_doubts(doubts, is_own);
                live.report_states();
            })),
            settles: None,
        }
    }
}

/// The connection, once it stands.
async fn live(mut slot: Slot) -> Result<Arc<Live>, Error> {
    match slot
        .phase
        .wait_for(|phase| !matches!(phase, Phase::Connecting))
        .await
        .as_deref()
    {
        Ok(Phase::Ready(live)) => Ok(Arc::clone(live)),
        _ => Err(Error::not_connected()),
    }
}
