//! What all tasks of an embedded server share: the model server, its clock, and
//! who waits for it.
//!
//! Everything goes through [`Hub::act`]: whatever is done to the server, those whose
//! wishes it changed are woken, what it noted is passed on, and the time of its next
//! deadline is told to the task that keeps the time.

use alloc::collections::BTreeMap;
use core::task::Waker;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::tokio::sync::broadcast;
use ::tokio::time::Instant as Moment;

use crate::Instant;
use crate::sim::server::{ConnectionId, Note, Server};
use crate::tokio::Lagged;

/// Notes that a reader may leave unread.
const NOTES: usize = 16 * 1024;

/// The server and its surroundings, behind one lock that is held neither while waiting
/// nor while bytes are encrypted, written or read.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Hub>);

impl Shared {
    pub(super) fn new(hub: Hub) -> Self {
        Self(Mutex::new(hub))
    }

    /// Takes the lock, also after a panic elsewhere: a test that fails in one
    /// task need not fail in all.
    pub(super) fn lock(&self) -> MutexGuard<'_, Hub> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Hub {
    server: Server,
    start: Moment,
    /// Every connection that the server knows, and who carries it.
    lines: BTreeMap<ConnectionId, Option<Waker>>,
    /// The task that keeps the time, and the deadline it knows of.
    clock: Option<Waker>,
    deadline: Option<Instant>,
    notes: broadcast::Sender<Note>,
    /// Another number after each time that everything was cut, or the server was
    /// down: so that a connection that is only being set up notices it too.
    cuts: u64,
}

impl Hub {
    pub(super) fn new(server: Server, start: Moment) -> Self {
        Self {
            server,
            start,
            lines: BTreeMap::new(),
            clock: None,
            deadline: None,
            notes: broadcast::Sender::new(NOTES),
            cuts: 0,
        }
    }

    /// Microseconds since the server was started.
    pub(super) fn now(&self) -> Instant {
        let elapsed = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    pub(super) const fn start(&self) -> Moment {
        self.start
    }

    pub(super) const fn server(&self) -> &Server {
        &self.server
    }

    /// Does something to the server, and lets everybody know what comes of it.
    pub(super) fn act<T>(&mut self, what: impl FnOnce(&mut Server, Instant) -> T) -> T {
        let now = self.now();
        let result = what(&mut self.server, now);
        if !self.server.is_up() {
            self.cuts = self.cuts.wrapping_add(1);
        }
        while let Some(id) = self.server.poll_changed() {
            if let Some(waker) = self.lines.get_mut(&id).and_then(Option::take) {
                waker.wake();
            }
        }
        while let Some(note) = self.server.poll_note() {
            // Without a reader nobody wants to know.
            let _ = self.notes.send(note);
        }
        let deadline = self.server.deadline();
        if deadline != self.deadline {
            self.deadline = deadline;
            if let Some(clock) = self.clock.take() {
                clock.wake();
            }
        }
        result
    }

    /// Registers a connection; from now on its task is woken when the server
    /// wants something for it.
    pub(super) fn register(&mut self, id: ConnectionId) {
        self.lines.insert(id, None);
    }

    /// Notes who waits. `false` if the connection was cut.
    pub(super) fn wait(&mut self, id: ConnectionId, waker: &Waker) -> bool {
        let Some(line) = self.lines.get_mut(&id) else {
            return false;
        };
        match line {
            Some(known) => known.clone_from(waker),
            None => *line = Some(waker.clone()),
        }
        true
    }

    /// Forgets a connection. `false` if it was cut.
    pub(super) fn forget(&mut self, id: ConnectionId) -> bool {
        self.lines.remove(&id).is_some()
    }

    /// The deadline at which the server wants to be called; the waker is told
    /// when it changes.
    pub(super) fn wait_for_deadline(&mut self, waker: &Waker) -> Option<Instant> {
        self.clock = Some(waker.clone());
        self.deadline = self.server.deadline();
        self.deadline
    }

    /// Breaks every connection, also those that are being set up.
    pub(super) fn cut(&mut self) {
        self.cuts = self.cuts.wrapping_add(1);
        let lines = core::mem::take(&mut self.lines);
        self.act(|server, now| {
            for id in lines.keys() {
                server.transport_failed(now, *id);
            }
        });
        lines.into_values().flatten().for_each(Waker::wake);
    }

    pub(super) const fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(super) fn notes(&self) -> Notes {
        Notes(self.notes.subscribe())
    }
}

/// What the server does, in truth, from the moment of asking on. See
/// [`EmbeddedServer::notes`](super::EmbeddedServer::notes).
#[derive(Debug)]
pub struct Notes(broadcast::Receiver<Note>);

impl Notes {
    /// The next note; `None` when the server has ended. Can be dropped at any time.
    ///
    /// # Errors
    /// [`Lagged`] if so many notes were lost because more than 16,384 were left unread.
    pub async fn next(&mut self) -> Option<Result<Note, Lagged>> {
        match self.0.recv().await {
            Ok(note) => Some(Ok(note)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(Lagged(missed))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
