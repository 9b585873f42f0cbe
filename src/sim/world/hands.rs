//! What a bot can do: use its engine, keep things, wait.

use alloc::string::String;
use core::time::Duration;

use crate::{
    Cursor, Engine, Fetch, Instant, JoinError, JoinRoom, Post, PostError, PostId, QueryError,
    QueryId, RoomId, Start, SubscriptionId,
};

/// A bot's engine and everything else within its reach. Everything it does is
/// shown to those who watch the world.
pub struct Hands<'a> {
    engine: &'a mut Engine,
}

#[expect(
    unused_variables,
    missing_docs,
    clippy::missing_errors_doc,
    reason = "a sketch of the surface"
)]
impl Hands<'_> {
    /// The host's clock.
    pub fn now(&self) -> Instant {
        Instant::ZERO
    }
    pub fn engine(&self) -> &Engine {
        self.engine
    }
    pub fn join(&mut self, room: &JoinRoom) -> Result<RoomId, JoinError> {
        Err(JoinError::Offline)
    }
    pub fn leave(&mut self, room: RoomId) {}
    pub fn post(&mut self, room: RoomId, post: &Post) -> Result<PostId, PostError> {
        todo_err()
    }
    pub fn fetch(&mut self, room: RoomId, fetch: &Fetch) -> Result<QueryId, QueryError> {
        todo_err2()
    }
    pub fn subscribe(
        &mut self,
        room: RoomId,
        start: &Start,
        credit: u32,
    ) -> Result<SubscriptionId, QueryError> {
        todo_err2()
    }
    pub fn grant(&mut self, subscription: SubscriptionId, credit: u32) {}
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {}
    pub fn reconnect(&mut self) {}
    pub fn close(&mut self) {}
    /// Writes something where it survives the process.
    pub fn keep(&mut self, name: &str, value: &str) {}
    /// What was kept under a name.
    pub fn kept(&self, name: &str) -> Option<&str> {
        None
    }
    /// Asks to be [`woken`](crate::sim::Bot::woken) then; the latest wish counts.
    pub fn wake_after(&mut self, after: Duration) {}
}

fn todo_err<T>() -> Result<T, PostError> {
    Err(PostError::UnknownRoom)
}
fn todo_err2<T>() -> Result<T, QueryError> {
    Err(QueryError::UnknownRoom)
}
