//! Fetches: reading an archive over as many pages as it takes.

use alloc::vec::Vec;

use super::machine::Machine;
use crate::command::Fetch;
use crate::cx::{Cx, Purpose};
use crate::error::Condition;
use crate::event::{Event, FetchEvent, Message, RequestError, Retry};
use crate::ids::{ArchiveId, Cursor, Label, QueryId, RoomId};
use crate::mam::{self, Direction, Fin, Walk, WalkedPage};
use crate::room::Room;
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, TimerKey};

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetching {
    id: QueryId,
    pub(super) room: RoomId,
    pub(super) walk: Walk,
    since: Option<Cursor>,
    /// Messages still wanted.
    left: u32,
    /// Until when it waits for news, if it does.
    patience: Option<Instant>,
    /// The newest item seen: the place to go on from.
    newest: Option<ArchiveId>,
    phase: Phase,
    delivered: bool,
    /// The room said something since the archive was last asked.
    heard: bool,
    inconsistencies: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// We are not in the room.
    Away,
    /// A page was asked for.
    Asking,
    /// Nothing is there; waiting for news.
    Watching,
    Over,
}

/// After news, how long to wait before asking an archive again that did not have
/// it yet: archives may lag behind what the room says.
const RECHECK: core::time::Duration = core::time::Duration::from_millis(250);

/// How often an answer that contradicts itself is asked for again.
const INCONSISTENCIES: u8 = 2;

impl Fetching {
    pub(super) fn new(cx: &mut Cx<'_>, id: QueryId, room: RoomId, fetch: Fetch) -> Self {
        let (direction, position) = match &fetch.since {
            None => (Direction::Backward, None),
            Some(Cursor::Beginning) => (Direction::Forward, None),
            Some(Cursor::After(id)) => (Direction::Forward, Some(id.clone())),
        };
        let waits = fetch.since.is_some() && !fetch.wait.is_zero();
        cx.arm(Timer::Fetch, id.0, cx.timing.post);
        Self {
            id,
            room,
            walk: Walk::new(direction, position, cx.limits.page),
            since: fetch.since,
            left: fetch.limit,
            patience: waits.then(|| cx.now.plus(fetch.wait)),
            newest: None,
            phase: Phase::Away,
            delivered: false,
            heard: false,
            inconsistencies: 0,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// We are in the room.
    pub(super) fn enter(&mut self, cx: &mut Cx<'_>, room: &Room) {
        cx.disarm(Timer::Fetch, self.id.0);
        if !room.info().archive {
            self.fail(cx, RequestError::ArchiveUnsupported);
        } else if self.left == 0 {
            self.done(cx, false);
        } else {
            self.ask(cx, room);
        }
    }

    /// We are out of the room, or the stream ended, for now.
    fn away(&mut self, cx: &mut Cx<'_>) {
        self.disarm(cx);
        self.walk.abandon();
        self.phase = Phase::Away;
        cx.arm(Timer::Fetch, self.id.0, cx.timing.post);
    }

    pub(super) fn disarm(&mut self, cx: &mut Cx<'_>) {
        for timer in [Timer::Fetch, Timer::Wait, Timer::Recheck] {
            cx.disarm(timer, self.id.0);
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, room: &Room) {
        self.phase = Phase::Asking;
        self.heard = false;
        cx.disarm(Timer::Recheck, self.id.0);
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.walk.open(query_id.clone(), self.left);
        cx.request(
            Kind::Set,
            Some(room.jid().as_str()),
            Purpose::FetchPage(self.id),
            |w| {
                mam::write_query(w, &query_id, &page, max);
            },
        );
    }

    /// The page asked for was answered.
    fn page(&mut self, cx: &mut Cx<'_>, room: &Room, answer: Result<Fin<'_>, RequestError>) {
        if self.phase != Phase::Asking {
            return;
        }
        let page = match answer {
            Err(error) => return self.refused(cx, error),
            Ok(fin) => match self.walk.close(&fin) {
                Ok(page) => page,
                Err(_) if self.inconsistencies < INCONSISTENCIES => {
                    self.inconsistencies += 1;
                    return self.ask(cx, room);
                }
                Err(what) => return self.fail(cx, RequestError::Inconsistent(what)),
            },
        };
        self.inconsistencies = 0;
        let WalkedPage {
            mut messages,
            mut complete,
            newest,
            doubtful,
        } = page;
        if doubtful {
            return self.ask(cx, room);
        }
        let newest = self.cut(&mut messages, &mut complete).or(newest);
        if self.since.is_some() || self.newest.is_none() {
            // Towards the past the first page has the newest item of all.
            self.newest = newest.or(self.newest.take());
        }
        if !messages.is_empty() {
            self.delivered = true;
            self.left = self
                .left
                .saturating_sub(u32::try_from(messages.len()).unwrap_or(u32::MAX));
            self.tell(cx, FetchEvent::Page(messages));
        }
        if !complete && self.left > 0 {
            return self.ask(cx, room);
        }
        match self.patience {
            Some(until) if complete && !self.delivered && until > cx.now => {
                self.phase = Phase::Watching;
                cx.timers.arm(TimerKey::of(Timer::Wait, self.id.0), until);
                if self.heard {
                    cx.arm(Timer::Recheck, self.id.0, RECHECK);
                }
            }
            _ => self.done(cx, complete || self.since.is_none()),
        }
    }

    /// Takes what the server sent beyond what was asked for off a page; returns
    /// the newest item that is left, if anything was taken off its end.
    fn cut(&self, messages: &mut Vec<Message>, complete: &mut bool) -> Option<ArchiveId> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let excess = messages
            .len()
            .checked_sub(left)
            .filter(|excess| *excess > 0)?;
        if self.since.is_none() {
            messages.drain(..excess);
            return None;
        }
        messages.truncate(left);
        *complete = false;
        messages.last().and_then(|message| message.id.clone())
    }

    fn refused(&mut self, cx: &mut Cx<'_>, error: RequestError) {
        let error = match error {
            RequestError::Refused(refusal) => match refusal.condition {
                // We are in the room, so it is the item that is not found.
                Condition::ItemNotFound if matches!(self.since, Some(Cursor::After(_))) => {
                    RequestError::CursorExpired
                }
                Condition::ItemNotFound | Condition::Gone => RequestError::NoSuchRoom,
                Condition::FeatureNotImplemented | Condition::ServiceUnavailable => {
                    RequestError::ArchiveUnsupported
                }
                _ => RequestError::Refused(refusal),
            },
            other => other,
        };
        self.fail(cx, error);
    }

    fn done(&mut self, cx: &mut Cx<'_>, complete: bool) {
        let next = match self.newest.take() {
            Some(id) => Cursor::After(id),
            None => self.since.take().unwrap_or(Cursor::Beginning),
        };
        self.over(cx, FetchEvent::Done { next, complete });
    }

    fn fail(&mut self, cx: &mut Cx<'_>, error: RequestError) {
        self.over(cx, FetchEvent::Failed(error));
    }

    fn over(&mut self, cx: &mut Cx<'_>, event: FetchEvent) {
        self.disarm(cx);
        self.phase = Phase::Over;
        self.tell(cx, event);
    }

    fn tell(&self, cx: &mut Cx<'_>, event: FetchEvent) {
        cx.tell(Event::Fetch { id: self.id, event });
    }
}

impl Machine {
    /// The page of a fetch was answered.
    pub(super) fn fetch_page(&mut self, id: QueryId, answer: Result<Fin<'_>, RequestError>) {
        if let Some(fetching) = self.fetches.get_mut(&id)
            && let Some(hall) = self.halls.get(&fetching.room)
        {
            fetching.page(&mut self.core.cx(), &hall.room, answer);
            self.sweep();
        }
    }

    /// The room said something: those who wait for news look again.
    pub(super) fn fetches_heard(&mut self, room: RoomId) {
        let Some(hall) = self.halls.get(&room) else {
            return;
        };
        for fetching in self
            .fetches
            .values_mut()
            .filter(|fetching| fetching.room == room)
        {
            match fetching.phase {
                Phase::Watching => fetching.ask(&mut self.core.cx(), &hall.room),
                Phase::Asking => fetching.heard = true,
                Phase::Away | Phase::Over => {}
            }
        }
    }

    pub(super) fn fetches_entered(&mut self, room: RoomId) {
        let Some(hall) = self.halls.get(&room) else {
            return;
        };
        for fetching in self
            .fetches
            .values_mut()
            .filter(|fetching| fetching.room == room)
        {
            fetching.enter(&mut self.core.cx(), &hall.room);
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

    /// The stream ended: for now, and fetches wait; or for good.
    pub(super) fn fetches_offline(&mut self, retry: Retry) {
        for id in core::mem::take(&mut self.discos) {
            let result = Err(RequestError::Offline);
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
        let Some(fetching) = self.fetches.get_mut(&QueryId(key.owner)) else {
            return;
        };
        let mut cx = self.core.cx();
        match (key.why, fetching.phase) {
            (Timer::Fetch, _) => fetching.fail(&mut cx, RequestError::TimedOut),
            (Timer::Wait, Phase::Watching) => fetching.done(&mut cx, true),
            (Timer::Recheck, Phase::Watching) => {
                if let Some(hall) = self.halls.get(&fetching.room) {
                    fetching.ask(&mut cx, &hall.room);
                }
            }
            _ => {}
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.fetches
            .retain(|_, fetching| fetching.phase != Phase::Over);
    }
}
