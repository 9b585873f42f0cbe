//! Taking to fetches what concerns them.

use super::fetching::Fetching;
use super::machine::Machine;
use crate::event::{Event, RequestError, Retry};
use crate::ids::{QueryId, RoomId};
use crate::mam::Fin;
use crate::planted::{Bug, planted};
use crate::time::{Timer, TimerKey};

impl Machine {
    /// The page of a fetch was answered.
    pub(super) fn fetch_page(
        &mut self,
        id: QueryId,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        if let Some(fetching) = self.fetches.get_mut(&id)
            && let Some(entry) = self.rooms.get_mut(&fetching.room)
        {
            fetching.page(&mut self.core.cx(), &mut entry.room, serial, answer);
            self.sweep();
        }
    }

    /// The room said something: those who wait for news look again.
    pub(super) fn fetches_heard(&mut self, room: RoomId) {
        let Some(entry) = self.rooms.get(&room) else {
            return;
        };
        for fetching in self
            .fetches
            .values_mut()
            .filter(|fetching| fetching.room == room)
        {
            fetching.hear(&mut self.core.cx(), &entry.room);
        }
    }

    pub(super) fn fetches_entered(&mut self, room: RoomId) {
        let Some(entry) = self.rooms.get(&room) else {
            return;
        };
        for fetching in self
            .fetches
            .values_mut()
            .filter(|fetching| fetching.room == room)
        {
            fetching.enter(&mut self.core.cx(), &entry.room);
        }
        self.sweep();
    }

    pub(super) fn fetches_away(&mut self, room: RoomId) {
        for fetching in self
            .fetches
            .values_mut()
            .filter(|fetching| fetching.room == room)
        {
            fetching.away(&mut self.core.cx());
        }
    }

    /// The stream broke and may be resumed.
    pub(super) fn fetches_suspended(&mut self) {
        if planted(Bug::FetchForgotten) {
            self.fetches.clear();
        }
        for fetching in self.fetches.values_mut() {
            fetching.suspend(&mut self.core.cx());
        }
        for id in &self.discos {
            let patience = self.core.config.timing.post;
            self.core.cx().arm(Timer::FetchStalled, id.0, patience);
        }
    }

    /// The stream was resumed.
    pub(super) fn fetches_resumed(&mut self) {
        for fetching in self.fetches.values_mut() {
            if let Some(entry) = self.rooms.get(&fetching.room) {
                fetching.resume(&mut self.core.cx(), &entry.room);
            }
        }
        for id in &self.discos {
            self.core.cx().disarm(Timer::FetchStalled, id.0);
        }
        self.sweep();
    }

    /// The session ended: for now, and fetches wait; or for good.
    pub(super) fn fetches_offline(&mut self, retry: Retry) {
        if planted(Bug::FetchForgotten) {
            self.fetches.clear();
        }
        for id in core::mem::take(&mut self.discos) {
            let result = Err(RequestError::Offline);
            self.core.cx().disarm(Timer::FetchStalled, id.0);
            self.core.cx().tell(Event::Disco { id, result });
        }
        if retry == Retry::Never {
            return self.fail_fetches(|_| true, &RequestError::Offline);
        }
        for fetching in self.fetches.values_mut() {
            fetching.away(&mut self.core.cx());
        }
    }

    pub(super) fn fail_fetches(&mut self, which: impl Fn(&Fetching) -> bool, why: &RequestError) {
        for fetching in self.fetches.values_mut().filter(|fetching| which(fetching)) {
            fetching.fail(&mut self.core.cx(), why.clone());
        }
        self.sweep();
    }

    pub(super) fn fetch_timer(&mut self, key: TimerKey) {
        let id = QueryId(key.owner);
        if self.discos.remove(&id) {
            let result = Err(RequestError::TimedOut);
            self.core.cx().tell(Event::Disco { id, result });
        }
        if key.why == Timer::FetchStalled {
            self.fail_resolving(|resolving| resolving.id == id, &RequestError::TimedOut);
        }
        let Some(fetching) = self.fetches.get_mut(&id) else {
            return;
        };
        let room = self.rooms.get(&fetching.room).map(|entry| &entry.room);
        fetching.on_timer(&mut self.core.cx(), room, key.why);
        self.sweep();
    }

    fn sweep(&mut self) {
        self.fetches.retain(|_, fetching| !fetching.is_over());
    }
}
