//! What a bot can do: use its engine, keep things, wait.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use super::eyes::Eyes;
use crate::sim::happening::{Happening, HostId, Request};
use crate::{
    Engine, Fetch, Instant, JoinError, JoinRoom, Post, PostError, PostId, QueryError, QueryId,
    RoomId, Start, SubscriptionId,
};

/// A bot's engine and everything else within its reach. What it does is shown to
/// those who watch the world.
pub struct Hands<'a> {
    pub(super) host: HostId,
    pub(super) now: Instant,
    pub(super) engine: &'a mut Engine,
    pub(super) kept: &'a mut BTreeMap<String, String>,
    pub(super) wake: &'a mut Option<Instant>,
    pub(super) eyes: &'a mut Eyes,
}

impl Hands<'_> {
    /// The host's clock, which may have leapt ahead of the world's.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The engine, to look at.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        self.engine
    }

    /// [`Engine::join`].
    ///
    /// # Errors
    /// As there.
    pub fn join(&mut self, room: &JoinRoom) -> Result<RoomId, JoinError> {
        let id = self.engine.join(self.now, room.clone())?;
        self.asked(Request::Join(room, id));
        Ok(id)
    }

    /// [`Engine::leave`].
    pub fn leave(&mut self, room: RoomId) {
        self.asked(Request::Leave(room));
        self.engine.leave(self.now, room);
    }

    /// [`Engine::post`].
    ///
    /// # Errors
    /// As there.
    pub fn post(&mut self, room: RoomId, post: &Post) -> Result<PostId, PostError> {
        let id = self.engine.post(self.now, room, post.clone())?;
        self.asked(Request::Post(room, post, id));
        Ok(id)
    }

    /// [`Engine::fetch`].
    ///
    /// # Errors
    /// As there.
    pub fn fetch(&mut self, room: RoomId, fetch: &Fetch) -> Result<QueryId, QueryError> {
        let id = self.engine.fetch(self.now, room, fetch.clone())?;
        self.asked(Request::Fetch(room, fetch, id));
        Ok(id)
    }

    /// [`Engine::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub fn subscribe(
        &mut self,
        room: RoomId,
        start: &Start,
        credit: u32,
    ) -> Result<SubscriptionId, QueryError> {
        let id = self
            .engine
            .subscribe(self.now, room, start.clone(), credit)?;
        self.asked(Request::Subscribe(room, start, id));
        Ok(id)
    }

    /// [`Engine::grant`].
    pub fn grant(&mut self, subscription: SubscriptionId, credit: u32) {
        self.asked(Request::Grant(subscription, credit));
        self.engine.grant(self.now, subscription, credit);
    }

    /// [`Engine::unsubscribe`].
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.asked(Request::Unsubscribe(subscription));
        self.engine.unsubscribe(self.now, subscription);
    }

    /// [`Engine::reconnect`].
    pub fn reconnect(&mut self) {
        self.asked(Request::Reconnect);
        self.engine.reconnect(self.now);
    }

    /// [`Engine::close`].
    pub fn close(&mut self) {
        self.asked(Request::Close);
        self.engine.close(self.now);
    }

    /// Writes something where it survives the process. It is there at once and whole.
    pub fn keep(&mut self, name: &str, value: &str) {
        let host = self.host;
        self.eyes.show(&Happening::Kept { host, name, value });
        match self.kept.get_mut(name) {
            Some(kept) => {
                kept.clear();
                kept.push_str(value);
            }
            None => {
                self.kept.insert(name.into(), value.into());
            }
        }
    }

    /// What was kept under a name.
    #[must_use]
    pub fn kept(&self, name: &str) -> Option<&str> {
        self.kept.get(name).map(String::as_str)
    }

    /// Asks to be [`woken`](crate::sim::Bot::woken) then; the latest wish counts.
    pub fn wake_after(&mut self, after: Duration) {
        *self.wake = Some(self.now.plus(after));
    }

    fn asked(&mut self, request: Request<'_>) {
        let host = self.host;
        self.eyes.show(&Happening::Asked { host, request });
    }
}
