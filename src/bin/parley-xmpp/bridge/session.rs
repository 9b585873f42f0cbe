//! What the bridge can be asked to do.

use core::pin::{Pin, pin};
use core::sync::atomic::Ordering;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use parley_xmpp::tokio::{Client, Room, State, Subscription};
use parley_xmpp::{ArchiveId, Cursor, Entry, Fetch, Post, PostToken, Start};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

use super::followers::{Followers, Reserved};
use super::params::{
    ConnectParams, FetchParams, IdentityParams, NoParams, PostParams, ResolveParams,
    SubscribeParams, TopicParams, params,
};
use super::rpc::{Error, notification};
use super::turns::{Before, HandedOver, Turn};
use super::{Out, lock};
use crate::connect;
use crate::doubts::{self, Memory};
use crate::output::{self, MessageObject};
use crate::problem::{Kind, Problem};
use crate::settings::{DEFAULT_PASSWORD_WARNING, Layer, Resolved};

/// Messages in one answer of `fetchRecent`.
const MAX_LIMIT: u32 = 10_000;
/// Fetches at a time that do not wait for news; more wait their turn.
const FETCHES: usize = 16;
/// The same for those that wait for news, so that these keep none of the others.
/// Together below what the engine takes: the rest is for subscriptions.
const WAITING_FETCHES: usize = 32;

/// The password is all that resolving the settings can miss.
const NO_PASSWORD: &str =
    "pass the `password` parameter, or give the bridge PARLEY_XMPP_PASS in its environment";

/// What came of a request, and what may happen once that is answered.
pub(super) struct Outcome {
    pub(super) result: Result<Value, Error>,
    pub(super) after: Option<Box<dyn FnOnce() + Send>>,
}

impl From<Result<Value, Error>> for Outcome {
    fn from(result: Result<Value, Error>) -> Self {
        Self {
            result,
            after: None,
        }
    }
}

/// A request under way.
pub(super) struct Pending {
    pub(super) work: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    /// A post: whether it may be on its way already.
    pub(super) handed_over: HandedOver,
    /// A fetch that waits for news, as long as it was told to.
    pub(super) waits: bool,
}

impl Pending {
    fn new(work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self {
            work: Box::pin(work),
            handed_over: HandedOver::default(),
            waits: false,
        }
    }
}

/// What is answered when there is no more time.
pub(super) fn given_up(handed_over: &HandedOver) -> Error {
    let text = "the input ended, and this was not through within the time for that";
    if handed_over.0.load(Ordering::Acquire) {
        let remedy =
            "look into the room before posting it again: `fetchRecent` shows what is there";
        return Error::new(Kind::Unknown, text).with("remedy", remedy);
    }
    let remedy = "keep the input open until everything is answered";
    Error::new(Kind::Timeout, text).with("remedy", remedy)
}

/// One host's use of the bridge: at most one connection at a time.
pub(super) struct Session {
    defaults: Layer,
    patience: Duration,
    out: Out,
    memory: Option<Memory>,
    slot: Mutex<Option<Slot>>,
    /// By topic: what the next post to it waits for.
    turns: Mutex<BTreeMap<String, Before>>,
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

/// A connection and what hangs on it.
struct Live {
    client: Client,
    out: Out,
    memory: Option<Memory>,
    /// Who finds out what became of posts of before.
    resolver: Mutex<Option<JoinHandle<()>>>,
    fetches: Semaphore,
    waiting_fetches: Semaphore,
    followers: Arc<Followers>,
    /// By topic: who reports what happens in its room.
    watchers: Mutex<BTreeMap<String, JoinHandle<()>>>,
    states: Mutex<Option<JoinHandle<()>>>,
}

fn not_connected() -> Error {
    Error::new(Kind::NotConnected, "not connected").with("remedy", "send `connect` first")
}

impl Session {
    pub(super) const fn new(
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
            turns: Mutex::new(BTreeMap::new()),
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
                Err(error) => ready(Err(error)),
            },
            "disconnect" => match params::<NoParams>(given) {
                Ok(_) => self.disconnect(),
                Err(error) => ready(Err(error)),
            },
            "subscribe" => self.begin_subscribe(given),
            "unsubscribe" => self.begin_unsubscribe(given),
            "post" => {
                let topic = given
                    .get("topic")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let mut turn = self.turn(topic);
                let handed_over = HandedOver::default();
                turn.handed_over = handed_over.clone();
                let pending = self.with_live(given, |live, params| post_to(live, params, turn));
                Pending {
                    handed_over,
                    ..pending
                }
            }
            "fetchRecent" => {
                let waits = given.contains_key("since")
                    && given.get("blockMs").and_then(Value::as_u64) > Some(0);
                let pending = self.with_live(given, fetch);
                Pending { waits, ..pending }
            }
            "resolve" => self.with_live(given, resolve),
            "resolveIdentity" => ready(params(given).and_then(resolve_identity)),
            other => ready(Err(Error::method(other))),
        }
    }

    fn begin_subscribe(&self, given: Map<String, Value>) -> Pending {
        let begun = || {
            let SubscribeParams { topic, since } = params(given)?;
            let since = since.as_deref().map(cursor).transpose()?;
            let kept = || {
                let memory = self.memory.as_ref()?;
                memory.with(|file| file.start(&topic))
            };
            let start = since.map(Start::Cursor).or_else(kept).unwrap_or(Start::Now);
            let slot = lock(&self.slot).clone().ok_or_else(not_connected)?;
            let reserved = slot.followers.reserve(&topic)?;
            if let Some(memory) = &self.memory {
                memory.with(|file| file.begin(&topic, &start));
            }
            Ok((slot, topic, start, reserved))
        };
        match begun() {
            Ok((slot, topic, start, reserved)) => Pending::new(async move {
                match live(slot).await {
                    Ok(live) => subscribe(live, topic, start, reserved).await,
                    Err(error) => Err(error).into(),
                }
            }),
            Err(error) => ready(Err(error)),
        }
    }

    fn begin_unsubscribe(&self, given: Map<String, Value>) -> Pending {
        let begun = || {
            let TopicParams { topic } = params(given)?;
            let slot = lock(&self.slot).clone().ok_or_else(not_connected)?;
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
            Err(error) => ready(Err(error)),
        }
    }

    fn disconnect(&self) -> Pending {
        let Some(slot) = lock(&self.slot).take() else {
            return ready(Err(not_connected()));
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
            Err(error) => return ready(Err(error)),
        };
        let Some(slot) = lock(&self.slot).clone() else {
            return ready(Err(not_connected()));
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
            .map_err(|failure| Error::invalid(failure.error).with("remedy", NO_PASSWORD))?;
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
        let live = Arc::new(Live {
            client,
            out: self.out.clone(),
            memory: self.memory.clone(),
            resolver: Mutex::new(None),
            fetches: Semaphore::new(FETCHES),
            waiting_fetches: Semaphore::new(WAITING_FETCHES),
            followers,
            watchers: Mutex::new(BTreeMap::new()),
            states: Mutex::new(None),
        });
        phase.send_replace(Phase::Ready(Arc::clone(&live)));
        Outcome {
            result: Ok(result),
            after: Some(Box::new(move || {
                live.resolve_doubts();
                live.report_states();
            })),
        }
    }

    /// A place in the order of the posts to a topic.
    fn turn(&self, topic: &str) -> Turn {
        let (done, mine) = oneshot::channel();
        let mut turns = lock(&self.turns);
        turns.retain(|_, before| before.is_open());
        Turn {
            before: turns.insert(topic.to_owned(), Before(mine)),
            done: Some(done),
            handed_over: HandedOver::default(),
        }
    }
}

fn ready(result: Result<Value, Error>) -> Pending {
    Pending::new(core::future::ready(Outcome::from(result)))
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
        _ => Err(not_connected()),
    }
}

impl Live {
    /// Joins the room of a topic, or is in it already, and has it watched.
    async fn room(self: &Arc<Self>, topic: &str) -> Result<Room, Problem> {
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

    /// Passes the entries of a subscription on, until it ends.
    fn follow(&self, topic: String, generation: u64, mut subscription: Subscription) {
        let mut following = lock(&self.followers.0);
        // Taken away meanwhile: there was an `unsubscribe` or a `disconnect`.
        let Some(follower) = following
            .by_topic
            .get_mut(&topic)
            .filter(|follower| follower.generation == generation)
        else {
            return;
        };
        let out = self.out.clone();
        let topic: Arc<str> = topic.into();
        follower.task = Some(tokio::spawn(async move {
            while let Some(entry) = subscription.next().await {
                let late = matches!(entry, Entry::Late(_));
                let line = match &entry {
                    Entry::Message(message) | Entry::Late(message) => {
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
        }));
    }

    /// Tells what became of posts that a run before left in doubt.
    fn resolve_doubts(self: &Arc<Self>) {
        let Some(memory) = self.memory.clone() else {
            return;
        };
        let (client, out) = (self.client.clone(), self.out.clone());
        let resolver = tokio::spawn(async move {
            let told = doubts::resolve(&client, &memory, |found| {
                let out = out.clone();
                async move {
                    out.line(notification("resolved", &found)).await;
                }
            });
            if let Err(failure) = told.await {
                tracing::error!(error = failure.error, "posts in doubt");
            }
        });
        *lock(&self.resolver) = Some(resolver);
    }

    fn report_states(self: Arc<Self>) {
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

    async fn close(&self) {
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

async fn subscribe(live: Arc<Live>, topic: String, start: Start, reserved: Reserved) -> Outcome {
    let Reserved {
        generation,
        unwanted,
    } = reserved;
    let opened = async {
        let room = live.room(&topic).await?;
        room.subscribe(start).await.map_err(Problem::from)
    };
    let opened = tokio::select! {
        biased;
        unwanted = unwanted => {
            return unwanted.map(|()| json!({})).map_err(|_| not_connected()).into();
        }
        opened = opened => opened,
    };
    match opened {
        Ok(subscription) => Outcome {
            result: Ok(json!({})),
            after: Some(Box::new(move || {
                live.follow(topic, generation, subscription);
            })),
        },
        Err(problem) => {
            live.followers.give_back(&topic, generation);
            Err(Error::from(problem)).into()
        }
    }
}

async fn post_to(live: Arc<Live>, params: PostParams, turn: Turn) -> Outcome {
    post_in_turn(&live, params, turn).await.into()
}

async fn post_in_turn(
    live: &Arc<Live>,
    params: PostParams,
    mut turn: Turn,
) -> Result<Value, Error> {
    let room = live.room(&params.topic).await?;
    let nick = room.nick();
    if params
        .identity
        .as_ref()
        .is_some_and(|identity| *identity != nick)
    {
        let text = format!("this connection posts as {nick:?} in that room, and as nobody else");
        let remedy = "leave `identity` out, or use a connection of its own with that nick";
        return Err(Error::invalid(text)
            .with("remedy", remedy)
            .with("nick", nick));
    }
    let mut message = Post::new(&params.content);
    message.reply_to = params.in_reply_to;
    message.deadline = params.deadline_ms.map(Duration::from_millis);
    turn.come().await;
    // Written down before it leaves.
    let token = match &live.memory {
        Some(memory) => Some(memory.prepare(&room).await?),
        None => None,
    };
    if let Some(token) = &token {
        message = message.under(token);
    }
    turn.handed_over.0.store(true, Ordering::Release);
    let mut sending = pin!(room.send(message));
    // Polled once, it has been handed over, and the next may follow.
    let first = core::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
    drop(turn);
    let posted = match first {
        Poll::Ready(result) => result,
        Poll::Pending => sending.await,
    };
    if let (Some(memory), Some(token)) = (&live.memory, &token) {
        memory.settle(token, &posted);
    }
    let posted = posted.map_err(Problem::from)?;
    let id = posted.id.as_ref().map(ArchiveId::as_str);
    Ok(json!({ "backendMsgId": id, "cursor": id, "via": output::via(posted.via) }))
}

async fn resolve(live: Arc<Live>, params: ResolveParams) -> Outcome {
    let resolved = async {
        let token = PostToken::parse(&params.token)
            .map_err(|error| Error::invalid(error.to_string()).with("remedy", TOKEN_REMEDY))?;
        let room = connect::join_room(&live.client, token.room().clone()).await?;
        let resolution = room.resolve(&token).await.map_err(Problem::from)?;
        Ok(output::resolution(&resolution))
    };
    resolved.await.into()
}

/// Of a token that is none.
const TOKEN_REMEDY: &str = "give `data.token` of the error `unknown` as it was";

async fn fetch(live: Arc<Live>, params: FetchParams) -> Outcome {
    fetch_recent(&live, params).await.into()
}

async fn fetch_recent(live: &Arc<Live>, params: FetchParams) -> Result<Value, Error> {
    let limit = params.limit.unwrap_or(100);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::invalid(format!(
            "`limit` is a number from 1 to {MAX_LIMIT}"
        )));
    }
    let request = match params.since.as_deref().map(cursor).transpose()? {
        None => Fetch::newest(limit),
        Some(since) => {
            let wait = Duration::from_millis(params.block_ms.unwrap_or(0));
            Fetch::since(since, limit).wait(wait)
        }
    };
    let topic = params.topic.as_str();
    let room = live.room(topic).await?;
    let fetches = if request.wait.is_zero() {
        &live.fetches
    } else {
        &live.waiting_fetches
    };
    // Never closed.
    let _permit = fetches.acquire().await;
    let messages = |messages: &[parley_xmpp::Message]| -> Value {
        messages
            .iter()
            .map(|message| json!(MessageObject::new(topic, message)))
            .collect()
    };
    match room.fetch(request).await {
        Ok(page) => Ok(json!({
            "messages": messages(&page.messages),
            "nextCursor": page.next.as_str(),
            "complete": page.complete,
        })),
        Err(failure) => Err(Error::from(Problem::from(&failure))
            .with("messages", messages(&failure.prefix))
            .with("nextCursor", failure.next.as_ref().map(Cursor::as_str))),
    }
}

fn resolve_identity(params: IdentityParams) -> Result<Value, Error> {
    // In a room, people are their nicks; there is no registry to look in.
    if params.handle.is_empty() || params.handle.len() > 1023 {
        return Err(Error::invalid("`handle` is a nick: 1 to 1023 bytes"));
    }
    Ok(json!({ "handle": params.handle, "backendRef": params.handle }))
}

fn cursor(since: &str) -> Result<Cursor, Error> {
    Cursor::parse(since).ok_or_else(|| Error::invalid("`since` is too long to be a cursor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn posts_that_come_to_nothing_let_none_overtake() {
        let (sender, _lines) = tokio::sync::mpsc::channel(1);
        let session = Session::new(Layer::default(), Duration::ZERO, Out(sender), None);
        let first = session.turn("t");
        for _ in 0..100_000 {
            drop(session.turn("t"));
        }
        let (late, later) = (session.turn("t"), session.turn("t"));
        let mut last = session.turn("t");
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
        drop(session.turn("u"));
        assert_eq!(lock(&session.turns).len(), 1);
    }
}
