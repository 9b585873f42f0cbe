//! A fetch: reading an archive over as many pages as it takes, and waiting for
//! news where there is nothing.

use alloc::vec::Vec;

use crate::command::Fetch;
use crate::cx::{Cx, Purpose};
use crate::error::Condition;
use crate::event::{Event, FetchEvent, Message, RequestError};
use crate::ids::{ArchiveId, Cursor, Label, QueryId, RoomId};
use crate::mam::{self, Barren, Direction, Fin, Pager, WholePage};
use crate::room::Room;
use crate::room::recent::Recent;
use crate::stanza::iq::Kind;
use crate::time::{Instant, Timer, TimerKey};

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetching {
    id: QueryId,
    pub(super) room: RoomId,
    pub(super) pager: Pager,
    since: Option<Cursor>,
    /// The place to begin at is known to be another room's.
    foreign: bool,
    /// Messages still wanted.
    left: u32,
    /// Until when it waits for news, if it does.
    patience: Option<Instant>,
    /// The newest item seen: the place to go on from.
    newest: Option<ArchiveId>,
    phase: Phase,
    delivered: bool,
    /// The request for the page being received.
    asked: Option<u64>,
    /// The room said something that the archive has not shown yet.
    heard: bool,
    /// How often the archive was looked at since then.
    rechecks: u32,
    /// When the archive was asked last because the room said something, now or before.
    hurried: Option<Instant>,
    /// Until when the archive may not show the cursor yet.
    settles_until: Option<Instant>,
    inconsistencies: u8,
    /// What was read to no use since it last gave something.
    barren: Barren,
    /// Of a page it was said that it may still change.
    unstable: bool,
    /// What was given, as far as it is remembered.
    given: Recent<ArchiveId>,
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
/// it yet; twice as long each time.
const RECHECK: core::time::Duration = core::time::Duration::from_millis(250);

/// So often that pause is doubled, to about a minute: what the archive has not shown by then
/// it may never show, and somebody may wait for an hour.
const SLOWEST: u32 = 8;

/// How often an answer that contradicts itself is asked for again.
const INCONSISTENCIES: u8 = 2;

impl Fetching {
    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let given = self.given.held(|id| id.as_str().len());
        let own = size_of::<Self>().saturating_add(given);
        self.pager.held().saturating_add(own)
    }

    pub(super) fn new(cx: &mut Cx<'_>, id: QueryId, room: RoomId, fetch: Fetch) -> Self {
        let pager = match &fetch.since {
            None => Pager::new(Direction::Backward, None, cx.limits.page),
            Some(cursor) => Pager::after(cursor, None, cx.limits.page),
        };
        let waits = fetch.since.is_some() && !fetch.wait.is_zero();
        cx.arm(Timer::FetchStalled, id.0, cx.timing.post);
        Self {
            id,
            room,
            pager,
            foreign: false,
            since: fetch.since,
            left: fetch.limit,
            patience: waits.then(|| cx.now.plus(fetch.wait)),
            newest: None,
            phase: Phase::Away,
            delivered: false,
            asked: None,
            heard: false,
            rechecks: 0,
            hurried: None,
            settles_until: None,
            inconsistencies: 0,
            barren: Barren::default(),
            unstable: false,
            given: Recent::new(cx.limits.remembered_ids),
        }
    }

    /// The same, from a cursor that another room's archive is known to have given.
    pub(super) const fn known_elsewhere(mut self, foreign: bool) -> Self {
        self.foreign = foreign;
        self
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// We are in the room.
    pub(super) fn enter(&mut self, cx: &mut Cx<'_>, room: &Room) {
        cx.disarm(Timer::FetchStalled, self.id.0);
        if room.lacks_archive() {
            self.fail(cx, RequestError::ArchiveUnsupported);
        } else if self.left == 0 {
            self.done(cx, false);
        } else {
            self.pager.hint(|item| room.neighbours.before(item));
            self.ask(cx, room);
        }
    }

    /// We are out of the room, or the stream ended, for now.
    pub(super) fn away(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Away {
            // Its time goes on: it is no nearer to its end.
            return;
        }
        self.disarm(cx);
        self.pager.abandon();
        self.phase = Phase::Away;
        cx.arm(Timer::FetchStalled, self.id.0, cx.timing.post);
    }

    /// The stream broke and may be resumed: whoever asked does not wait for ever.
    pub(super) fn suspend(&mut self, cx: &mut Cx<'_>) {
        if self.phase != Phase::Away {
            cx.arm(Timer::FetchStalled, self.id.0, cx.timing.post);
        }
    }

    /// The stream was resumed: it goes on, or begins if it was asked for meanwhile.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, room: &Room) {
        if self.phase != Phase::Away {
            cx.disarm(Timer::FetchStalled, self.id.0);
        } else if room.is_in() {
            self.enter(cx, room);
        }
    }

    /// Lets go of its timers and its question.
    pub(super) fn disarm(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.asked.take());
        for timer in [Timer::FetchStalled, Timer::FetchWait, Timer::FetchRecheck] {
            cx.disarm(timer, self.id.0);
        }
    }

    fn ask(&mut self, cx: &mut Cx<'_>, room: &Room) {
        self.phase = Phase::Asking;
        cx.disarm(Timer::FetchRecheck, self.id.0);
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.pager.open(query_id.clone(), self.left);
        let purpose = Purpose::FetchPage(self.id);
        self.asked = Some(
            cx.request(Kind::Set, Some(room.jid().as_str()), purpose, |w| {
                mam::write_query(w, &query_id, &page, max);
            }),
        );
    }

    /// The room said something: the archive is asked at once, and where more is said that it
    /// does not show, no sooner than after a pause.
    pub(super) fn hear(&mut self, cx: &mut Cx<'_>, room: &Room) {
        self.heard = true;
        self.rechecks = 0;
        if self.phase != Phase::Watching {
            return;
        }
        if self.hurried.is_some_and(|at| cx.now.since(at) < RECHECK) {
            let recheck = TimerKey::of(Timer::FetchRecheck, self.id.0);
            let soon = cx.now.plus(RECHECK);
            if cx.timers.armed_for(recheck).is_none_or(|at| at > soon) {
                self.look_again(cx);
            }
            return;
        }
        self.hurried = Some(cx.now);
        self.ask(cx, room);
    }

    /// A timer of its own went off.
    pub(super) fn on_timer(&mut self, cx: &mut Cx<'_>, room: Option<&Room>, why: Timer) {
        match (why, self.phase) {
            (Timer::FetchStalled, _) => self.fail(cx, RequestError::TimedOut),
            (Timer::FetchWait, Phase::Watching) => self.done(cx, true),
            (Timer::FetchRecheck, Phase::Watching) => {
                if let Some(room) = room {
                    self.hurried = Some(cx.now);
                    self.ask(cx, room);
                }
            }
            _ => {}
        }
    }

    /// The page asked for was answered.
    pub(super) fn page(
        &mut self,
        cx: &mut Cx<'_>,
        room: &mut Room,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        // A late answer to an older question says nothing about this page.
        if self.asked != Some(serial) {
            return;
        }
        self.asked = None;
        self.unstable |= answer.as_ref().is_ok_and(|fin| !fin.stable);
        let mut page = match self.pager.close(answer) {
            Ok(page) => page,
            Err(RequestError::Inconsistent(_))
                if self.inconsistencies < INCONSISTENCIES && !self.pager.is_lost() =>
            {
                self.inconsistencies = self.inconsistencies.saturating_add(1);
                return self.ask(cx, room);
            }
            Err(RequestError::CursorExpired { .. }) if self.may_show_yet(cx) => {
                self.pager.abandon();
                return self.look_again(cx);
            }
            Err(error) => return self.refused(cx, error),
        };
        self.inconsistencies = 0;
        let mut again = page.take_again(|id| self.given.contains(id));
        let WholePage {
            mut messages,
            mut complete,
            newest,
            before,
            doubtful,
            weight,
            ..
        } = page;
        if doubtful {
            return self.ask(cx, room);
        }
        if let (Some(newest), Some(before)) = (&newest, before) {
            room.neighbours.note(newest.clone(), before);
        }
        // What pages say again has its first place.
        if self.since.is_some() {
            core::mem::swap(&mut messages, &mut again);
        }
        messages.append(&mut again);
        let is_news = |id: &ArchiveId| !self.given.contains(id);
        messages.retain(|message| message.id.as_ref().is_none_or(is_news));
        if let Err(error) = self.barren.read(weight, complete || !messages.is_empty()) {
            return self.refused(cx, error);
        }
        let newest = self.cut(&mut messages, &mut complete).or(newest);
        if self.since.is_some() || self.newest.is_none() {
            // Towards the past the first page has the newest item of all.
            self.newest = newest.or(self.newest.take());
        }
        if !messages.is_empty() {
            self.delivered = true;
            for id in messages.iter().filter_map(|message| message.id.clone()) {
                self.given.insert(id);
            }
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
                cx.timers
                    .arm(TimerKey::of(Timer::FetchWait, self.id.0), until);
                if self.heard {
                    // The archive lags behind what the room says.
                    self.look_again(cx);
                }
            }
            _ => self.done(cx, complete || self.since.is_none()),
        }
    }

    /// Whether the archive may lag, so that it does not show yet what its room said just
    /// now: the cursor may name that.
    fn may_show_yet(&mut self, cx: &Cx<'_>) -> bool {
        let until = cx.now.plus(cx.timing.settle);
        let until = *self.settles_until.get_or_insert(until);
        !self.foreign && !self.delivered && cx.now < until
    }

    /// Asks the archive again after a while, longer each time.
    fn look_again(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Watching;
        let pause = RECHECK.saturating_mul(1 << self.rechecks.min(SLOWEST));
        self.rechecks = self.rechecks.saturating_add(1);
        cx.arm(Timer::FetchRecheck, self.id.0, pause);
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
            // In range: it is a part of their number.
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
                Condition::ItemNotFound | Condition::Gone => RequestError::NoSuchRoom,
                Condition::FeatureNotImplemented | Condition::ServiceUnavailable => {
                    RequestError::ArchiveUnsupported
                }
                _ => RequestError::Refused(refusal),
            },
            RequestError::CursorExpired { .. } if self.foreign => RequestError::CursorForeign,
            other => other,
        };
        self.fail(cx, error);
    }

    fn done(&mut self, cx: &mut Cx<'_>, complete: bool) {
        let next = match self.newest.take() {
            Some(id) => Cursor::After(id),
            None => self.since.take().unwrap_or(Cursor::Beginning),
        };
        let stable = !self.unstable;
        let done = FetchEvent::Done {
            next,
            complete,
            stable,
        };
        self.over(cx, done);
    }

    pub(super) fn fail(&mut self, cx: &mut Cx<'_>, error: RequestError) {
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
