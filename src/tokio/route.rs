//! From commands to the engine, and from its events to whoever waits for them.
//!
//! Nothing here waits: whoever does not listen misses, by the rules of the
//! queue at hand, or is forgotten.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use std::sync::Mutex;

use ::tokio::sync::{mpsc, oneshot};

use super::client::{State, States, TlsInfo};
use super::error::ConnectError;
use super::link::{Command, Fetched, Reply, RoomShared, Shared, View};
use super::queue::{Queue, close_all, lock, publish};
use super::room::{PostFailure, Posted, RoomError, RoomEvents};
use super::subscription::Subscription;
use crate::jid::{BareJid, Jid};
use crate::{
    DiscoInfo, Engine, Entry, Event, Fetch, FetchEvent, Instant, JoinError, JoinRoom, Joined,
    Login, Nick, OfflineCause, PostError, PostId, PostOutcome, PostToken, QueryError, QueryId,
    RequestError, Resolution, Retry, RoomEvent, RoomId, StanzaError, Start, SubscriptionId,
};

/// Who waits for what.
#[derive(Debug)]
pub(super) struct Router {
    shared: Arc<Shared>,
    keep_trying: bool,
    /// The one who waits for the first login.
    ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// How TLS protects the transport at hand.
    pub(super) tls: Option<TlsInfo>,
    /// Why the transport failed, in more detail than the engine needs.
    pub(super) problem: Option<ConnectError>,
    rooms: BTreeMap<RoomId, RoomEntry>,
    by_jid: BTreeMap<BareJid, RoomId>,
    posts: BTreeMap<PostId, Reply<Posted, PostFailure>>,
    fetches: BTreeMap<QueryId, (u64, mpsc::UnboundedSender<Fetched>)>,
    discos: BTreeMap<QueryId, Reply<DiscoInfo, RequestError>>,
    resolutions: BTreeMap<QueryId, Reply<Resolution, QueryError>>,
    subscriptions: BTreeMap<SubscriptionId, Weak<Queue<Entry>>>,
    /// Requests that the engine has no room for yet, the oldest first.
    waiting: VecDeque<Request>,
    pub(super) closed: bool,
}

/// A room as the task knows it.
#[derive(Debug)]
struct RoomEntry {
    jid: BareJid,
    /// From the first time it let us in.
    shared: Option<Arc<RoomShared>>,
    waiters: Vec<Reply<Arc<RoomShared>, RoomError>>,
    /// We have asked to leave; who wants in now has to wait until we are out.
    leaving: bool,
    again: Vec<(Nick, Reply<Arc<RoomShared>, RoomError>)>,
}

/// What the engine takes only so many of at a time.
#[derive(Debug)]
enum Request {
    Fetch {
        token: u64,
        room: RoomId,
        fetch: Fetch,
        pages: mpsc::UnboundedSender<Fetched>,
    },
    Disco {
        of: Jid,
        items: bool,
        reply: Reply<DiscoInfo, RequestError>,
    },
    Resolve {
        token: Box<PostToken>,
        reply: Reply<Resolution, QueryError>,
    },
    Subscribe {
        room: RoomId,
        from: Start,
        queue: Weak<Queue<Entry>>,
        reply: Reply<SubscriptionId, QueryError>,
    },
}

impl Router {
    pub(super) const fn new(
        shared: Arc<Shared>,
        keep_trying: bool,
        ready: oneshot::Sender<Result<(), ConnectError>>,
    ) -> Self {
        Self {
            shared,
            keep_trying,
            ready: Some(ready),
            tls: None,
            problem: None,
            rooms: BTreeMap::new(),
            by_jid: BTreeMap::new(),
            posts: BTreeMap::new(),
            fetches: BTreeMap::new(),
            discos: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            waiting: VecDeque::new(),
            closed: false,
        }
    }

    /// Hands a command to the engine.
    pub(super) fn command(&mut self, engine: &mut Engine, now: Instant, command: Command) {
        match command {
            Command::Join { room, nick, reply } => self.join(engine, now, room, nick, reply),
            Command::Leave { room } => self.leave(engine, now, room),
            Command::Destroy { room } => engine.destroy(now, room),
            Command::Prepare { room, reply } => {
                let prepared = engine.prepare(now, room);
                drop(reply.send(prepared.map_err(PostFailure::Invalid)));
            }
            Command::Post { room, post, reply } => match engine.post(now, room, post) {
                Ok(id) => drop(self.posts.insert(id, reply)),
                Err(PostError::Closed) => drop(reply.send(Err(PostFailure::Closed))),
                Err(error) => drop(reply.send(Err(PostFailure::Invalid(error)))),
            },
            Command::Fetch {
                token,
                room,
                fetch,
                pages,
            } => {
                self.request(
                    engine,
                    now,
                    Request::Fetch {
                        token,
                        room,
                        fetch,
                        pages,
                    },
                );
            }
            Command::Disco { of, items, reply } => {
                self.request(engine, now, Request::Disco { of, items, reply })
            }
            Command::Resolve { token, reply } => {
                self.request(engine, now, Request::Resolve { token, reply });
            }
            Command::Cancel { token } => {
                let id = self
                    .fetches
                    .iter()
                    .find_map(|(id, (of, _))| (*of == token).then_some(*id));
                if let Some(id) = id {
                    self.fetches.remove(&id);
                    engine.cancel(now, id);
                }
                self.waiting.retain(
                    |request| !matches!(request, Request::Fetch { token: of, .. } if *of == token),
                );
            }
            Command::Subscribe {
                room,
                from,
                queue,
                reply,
            } => {
                self.request(
                    engine,
                    now,
                    Request::Subscribe {
                        room,
                        from,
                        queue,
                        reply,
                    },
                );
            }
            Command::Grant {
                subscription,
                credit,
            } => engine.grant(now, subscription, credit),
            Command::Unsubscribe { subscription } => {
                self.subscriptions.remove(&subscription);
                engine.unsubscribe(now, subscription);
            }
            Command::Reconnect => engine.reconnect(now),
            Command::Disconnect => engine.disconnect(now),
            Command::Close => engine.close(now),
            Command::Suspend { reply } => drop(reply.send(engine.suspend(now))),
        }
    }

    fn join(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        room: BareJid,
        nick: Nick,
        reply: Reply<Arc<RoomShared>, RoomError>,
    ) {
        if let Some(entry) = self.by_jid.get(&room).and_then(|id| self.rooms.get_mut(id)) {
            match &entry.shared {
                _ if entry.leaving => entry.again.push((nick, reply)),
                Some(shared) => drop(reply.send(Ok(Arc::clone(shared)))),
                None => entry.waiters.push(reply),
            }
            return;
        }
        match engine.join(now, JoinRoom::new(room.clone(), nick)) {
            Ok(id) => {
                let waiters = alloc::vec![reply];
                let entry = RoomEntry {
                    jid: room.clone(),
                    shared: None,
                    waiters,
                    leaving: false,
                    again: Vec::new(),
                };
                self.rooms.insert(id, entry);
                self.by_jid.insert(room, id);
            }
            Err(JoinError::Closed) => drop(reply.send(Err(RoomError::Closed))),
            Err(error) => drop(reply.send(Err(RoomError::Invalid(error)))),
        }
    }

    fn leave(&mut self, engine: &mut Engine, now: Instant, room: RoomId) {
        if let Some(entry) = self.rooms.get_mut(&room) {
            entry.leaving = true;
            engine.leave(now, room);
        }
    }

    fn request(&mut self, engine: &mut Engine, now: Instant, request: Request) {
        if self.waiting.is_empty() {
            let refused = self.try_request(engine, now, request);
            self.waiting.extend(refused);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// Asks the engine; the request comes back if the engine has no room for it.
    fn try_request(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        request: Request,
    ) -> Option<Request> {
        match request {
            Request::Fetch {
                token,
                room,
                fetch,
                pages,
            } => match engine.fetch(now, room, fetch.clone()) {
                Ok(id) => drop(self.fetches.insert(id, (token, pages))),
                Err(QueryError::Busy) => {
                    return Some(Request::Fetch {
                        token,
                        room,
                        fetch,
                        pages,
                    });
                }
                Err(error) => drop(pages.send(Fetched::Refused(error))),
            },
            Request::Disco { of, items, reply } => {
                let asked = if items {
                    engine.disco_items(now, &of)
                } else {
                    engine.disco_info(now, &of)
                };
                match asked {
                    Ok(id) => drop(self.discos.insert(id, reply)),
                    Err(QueryError::Busy) => return Some(Request::Disco { of, items, reply }),
                    Err(QueryError::UnknownRoom) => drop(reply.send(Err(RequestError::NoSuchRoom))),
                    Err(
                        QueryError::Offline | QueryError::Closed | QueryError::TooManySubscriptions,
                    ) => drop(reply.send(Err(RequestError::Offline))),
                }
            }
            Request::Resolve { token, reply } => match engine.resolve(now, &token) {
                Ok(id) => drop(self.resolutions.insert(id, reply)),
                Err(QueryError::Busy) => return Some(Request::Resolve { token, reply }),
                Err(error) => drop(reply.send(Err(error))),
            },
            Request::Subscribe {
                room,
                from,
                queue,
                reply,
            } => {
                match engine.subscribe(now, room, from.clone(), Subscription::WINDOW) {
                    Ok(id) if reply.is_closed() => engine.unsubscribe(now, id),
                    // Who goes away at this very moment is found out by the next entry.
                    Ok(id) => {
                        self.subscriptions.insert(id, queue);
                        let _ = reply.send(Ok(id));
                    }
                    Err(QueryError::Busy) => {
                        return Some(Request::Subscribe {
                            room,
                            from,
                            queue,
                            reply,
                        });
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        }
        None
    }

    /// Asks again for what the engine had no room for.
    pub(super) fn retry_waiting(&mut self, engine: &mut Engine, now: Instant) {
        while let Some(request) = self.waiting.pop_front() {
            let given_up = match &request {
                Request::Fetch { pages, .. } => pages.is_closed(),
                Request::Disco { reply, .. } => reply.is_closed(),
                Request::Resolve { reply, .. } => reply.is_closed(),
                Request::Subscribe { reply, .. } => reply.is_closed(),
            };
            if given_up {
                continue;
            }
            if let Some(refused) = self.try_request(engine, now, request) {
                self.waiting.push_front(refused);
                return;
            }
        }
    }

    /// Passes an event on.
    pub(super) fn event(&mut self, engine: &mut Engine, now: Instant, event: Event) {
        match event {
            Event::Online { jid, login } => self.online(jid, login),
            Event::Offline { cause, retry } => self.offline(engine, now, cause, retry),
            Event::Room { room, event } => self.room(engine, now, room, event),
            Event::Entry {
                subscription,
                entry,
            } => self.entry(engine, now, subscription, entry),
            Event::Post { id, outcome } => {
                if let Some(reply) = self.posts.remove(&id) {
                    drop(reply.send(match outcome {
                        PostOutcome::Committed { id, via } => Ok(Posted { id, via }),
                        PostOutcome::Rejected(error) => Err(PostFailure::Rejected(error)),
                        PostOutcome::NotSent(why) => Err(PostFailure::NotSent(why)),
                        PostOutcome::StreamKill { condition, among } => {
                            Err(PostFailure::StreamKill { condition, among })
                        }
                        PostOutcome::Unknown { token } => Err(PostFailure::Unknown { token }),
                    }));
                }
            }
            Event::Fetch { id, event } => {
                let last = !matches!(event, FetchEvent::Page(_));
                if let Some((_, pages)) = self.fetches.get(&id) {
                    drop(pages.send(Fetched::Event(event)));
                }
                if last {
                    self.fetches.remove(&id);
                }
            }
            Event::Disco { id, result } => {
                if let Some(reply) = self.discos.remove(&id) {
                    drop(reply.send(result.map(|info| *info)));
                }
            }
            Event::Resolved { id, resolution } => {
                if let Some(reply) = self.resolutions.remove(&id) {
                    drop(reply.send(Ok(resolution)));
                }
            }
            Event::Closed => self.closed = true,
        }
    }

    fn online(&mut self, jid: Jid, login: Box<Login>) {
        self.problem = None;
        {
            let mut status = lock(&self.shared.status);
            status.jid = jid.clone();
            status.login = (*login).clone();
            status.tls = self.tls.clone();
        }
        self.state(State::Online { jid, login });
        if let Some(ready) = self.ready.take() {
            drop(ready.send(Ok(())));
        }
    }

    fn offline(&mut self, engine: &mut Engine, now: Instant, cause: OfflineCause, retry: Retry) {
        let retry_in = match retry {
            Retry::At(at) => Some(at.since(now)),
            Retry::Never => None,
        };
        self.state(State::Offline {
            cause: cause.clone(),
            retry_in,
        });
        let problem = self.problem.take();
        if self.keep_trying && retry_in.is_some() {
            return;
        }
        if let Some(ready) = self.ready.take() {
            let error = match (&cause, problem) {
                (OfflineCause::Transport(_), Some(problem)) => problem,
                _ => cause.into(),
            };
            drop(ready.send(Err(error)));
            engine.close(now);
        }
    }

    fn state(&self, state: State) {
        let mut status = lock(&self.shared.status);
        publish(&mut status.readers, &state, States::CAPACITY);
        status.state = Some(state);
    }

    fn room(&mut self, engine: &mut Engine, now: Instant, room: RoomId, event: RoomEvent) {
        let Some(entry) = self.rooms.get_mut(&room) else {
            return;
        };
        let first = entry.shared.is_none();
        match &event {
            RoomEvent::Joined(joined) => entry.joined(room, joined),
            RoomEvent::NickChanged { from, to } => {
                if let Some(shared) = &entry.shared {
                    let mut view = lock(&shared.view);
                    if view.nick == *from {
                        view.nick.clone_from(to);
                    }
                }
            }
            RoomEvent::Described(info) => {
                if let Some(shared) = &entry.shared {
                    lock(&shared.view).joined.info = *info;
                }
            }
            RoomEvent::PrivacyChanged(privacy) => {
                if let Some(shared) = &entry.shared {
                    lock(&shared.view).joined.privacy = *privacy;
                }
            }
            _ => {}
        }
        if let Some(shared) = &entry.shared {
            publish(
                &mut lock(&shared.view).readers,
                &event,
                RoomEvents::CAPACITY,
            );
        }
        match event {
            // Whoever asked has gone, and nobody ever had a handle to follow it by.
            RoomEvent::Joined(_) if entry.admit() == 0 && first && !entry.leaving => {
                self.leave(engine, now, room)
            }
            RoomEvent::JoinFailed { error, retry } => {
                let first = entry.shared.is_none();
                if first && retry != Retry::Never && self.keep_trying {
                    return;
                }
                for waiter in entry.waiters.drain(..) {
                    drop(waiter.send(Err(RoomError::Refused(error.clone()))));
                }
                if retry == Retry::Never {
                    self.bury(engine, now, room);
                } else if first {
                    self.leave(engine, now, room);
                }
            }
            RoomEvent::DestroyRefused(error) => entry.spare(&error),
            RoomEvent::Left {
                retry: Retry::Never,
                ..
            } => self.bury(engine, now, room),
            _ => {}
        }
    }

    /// Forgets a room that was left for good, and joins it anew for those who waited for that.
    fn bury(&mut self, engine: &mut Engine, now: Instant, room: RoomId) {
        let Some(mut entry) = self.rooms.remove(&room) else {
            return;
        };
        self.by_jid.remove(&entry.jid);
        for waiter in entry.waiters.drain(..) {
            drop(waiter.send(Err(RoomError::Left)));
        }
        entry.end();
        for (nick, reply) in entry.again {
            self.join(engine, now, entry.jid.clone(), nick, reply);
        }
    }

    fn entry(&mut self, engine: &mut Engine, now: Instant, id: SubscriptionId, entry: Entry) {
        let Some(queue) = self.subscriptions.get(&id) else {
            return;
        };
        let Some(queue) = queue.upgrade() else {
            self.subscriptions.remove(&id);
            engine.unsubscribe(now, id);
            return;
        };
        let last = entry == Entry::Ended;
        queue.push_merged(entry, Subscription::is_marker, Subscription::merged);
        if last {
            queue.close();
            self.subscriptions.remove(&id);
        }
    }
}

impl Drop for Router {
    /// Ends whatever somebody still reads, also when the task is torn down with
    /// its runtime.
    fn drop(&mut self) {
        self.state(State::Closed);
        close_all(&mut lock(&self.shared.status).readers);
        for queue in self.subscriptions.values().filter_map(Weak::upgrade) {
            queue.close();
        }
        for entry in self.rooms.values() {
            if let Some(shared) = &entry.shared {
                let mut view = lock(&shared.view);
                view.dead = true;
                view.mourners.clear();
                view.destroyers.clear();
                close_all(&mut view.readers);
            }
        }
    }
}

impl RoomEntry {
    fn joined(&mut self, id: RoomId, joined: &Joined) {
        if let Some(shared) = &self.shared {
            let mut view = lock(&shared.view);
            view.nick.clone_from(&joined.nick);
            view.joined = joined.clone();
            return;
        }
        let view = View {
            nick: joined.nick.clone(),
            joined: joined.clone(),
            readers: Vec::new(),
            dead: false,
            mourners: Vec::new(),
            destroyers: Vec::new(),
        };
        self.shared = Some(Arc::new(RoomShared {
            id,
            jid: self.jid.clone(),
            view: Mutex::new(view),
        }));
    }

    /// Gives a handle to those who waited; says how many handles there are.
    fn admit(&mut self) -> usize {
        let Some(shared) = &self.shared else { return 0 };
        for waiter in self.waiters.drain(..) {
            drop(waiter.send(Ok(Arc::clone(shared))));
        }
        Arc::strong_count(shared).saturating_sub(1)
    }

    /// Tells everybody that the room is left for good.
    fn end(&self) {
        let Some(shared) = &self.shared else { return };
        let mut view = lock(&shared.view);
        view.dead = true;
        close_all(&mut view.readers);
        for mourner in view.mourners.drain(..) {
            let _ = mourner.send(());
        }
        for destroyer in view.destroyers.drain(..) {
            drop(destroyer.send(Ok(())));
        }
    }

    /// Tells those who wanted the room destroyed that it is not.
    fn spare(&self, error: &StanzaError) {
        let Some(shared) = &self.shared else { return };
        for destroyer in lock(&shared.view).destroyers.drain(..) {
            drop(destroyer.send(Err(RequestError::Refused(error.clone()))));
        }
    }
}
