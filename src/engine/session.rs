//! What outlives a stream: the session that its server binds to it, and that the
//! next stream may resume (XEP-0198 v1.6.3, section 5).
//!
//! ```text
//! online --> suspended --> resumed: everything goes on, what was not handled is sent again
//!    |           +-------> over: refused, too late, too much, or no stream is coming
//!    +--> over: not to be resumed
//! ```
//!
//! While it is suspended nobody knows what will become of it. So nothing is told of
//! it: rooms are not left, posts not in doubt, requests not unanswered. Timers that
//! belong to it stand still, and what is asked of it meanwhile waits; only the
//! deadlines of posts and fetches, which are promises to the host, go on.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::link::Link;
use super::machine::{Machine, Then};
use crate::cx::Question;
use crate::event::{Event, Login, Retry};
use crate::ids::RoomId;
use crate::jid::Jid;
use crate::ns;
use crate::planted::{Bug, planted};
use crate::saved::SavedSession;
use crate::stanza::presence;
use crate::time::{Timer, TimerKey};
use crate::xml::Element;

impl Machine {
    /// A resource is bound: a session begins.
    pub(super) fn online(&mut self, jid: Jid, login: Box<Login>) {
        let manage = self.core.config.stream_management && login.stream_management;
        self.established(&login);
        if manage {
            // No round trip: section 4 has what follows count from here on.
            self.management.enable(&mut self.core.cx());
        }
        self.core.out.stanza(presence::write_initial);
        self.us = Some(jid.clone());
        self.core.cx().tell(Event::Online { jid, login });
        self.posts_bound();
        for entry in self.rooms.values_mut() {
            if entry.room.was_in() && planted(Bug::NoRejoin) {
                continue;
            }
            entry.room.enter(&mut self.core.cx());
        }
    }

    /// Goes on with the session of another process, if it is of the same account.
    pub(super) fn restore(&mut self, saved: SavedSession) {
        if saved.jid.bare_str() != self.core.config.account.as_str() {
            return;
        }
        if let Some(resource) = saved.jid.resource() {
            // If it cannot be resumed, the same is bound again, which ends what is left.
            self.resource = resource.into();
        }
        self.nick.clone_from(&saved.nick);
        self.us = Some(saved.jid.clone());
        self.restored = true;
        // Who has a session has logged in.
        self.pacing.logged_in();
        let until = self.management.restore(&mut self.core.cx(), saved);
        self.core
            .timers
            .arm(TimerKey::single(Timer::Session), until);
        self.core.timers.freeze(self.core.now);
    }

    /// Ends the engine and keeps the session for another, if the server can resume it;
    /// else ends it in good order. Nothing is written: section 5 takes a stream that is
    /// closed for one that is not to be resumed.
    pub(super) fn hand_on(&mut self) -> Option<SavedSession> {
        let saved = self.us.clone().and_then(|us| {
            let (cx, _) = self.core.split();
            self.management.saved(&cx, &us, &self.nick)
        });
        if saved.is_none() || self.closing {
            self.close();
            return None;
        }
        self.closing = true;
        self.handed_on = true;
        self.abandon();
        saved
    }

    /// The server resumed the session, having handled `h` of our stanzas.
    pub(super) fn resumed(&mut self, h: u32, login: Box<Login>) {
        self.established(&login);
        if let Err(what) = self.management.resumed(&mut self.core.cx(), h) {
            return self.misbehaved(what);
        }
        self.core.cx().disarm(Timer::Session, 0);
        self.core.timers.thaw(self.core.now);
        if let Some(jid) = self.us.clone() {
            self.core.cx().tell(Event::Online { jid, login });
        }
        self.posts_shrink();
        // What was asked for while there was no stream, after what was before.
        let mut inside = Vec::new();
        for (id, entry) in &mut self.rooms {
            entry.room.resumed(&self.core.cx());
            if entry.room.is_in() {
                inside.push(*id);
            } else if !self.partings.contains_key(entry.room.jid().as_str()) {
                entry.room.enter(&mut self.core.cx());
            }
            entry.room.flush(&mut self.core.cx());
        }
        for id in inside {
            self.follow_on(id);
        }
        self.fetches_resumed();
        self.resolving_entered(None);
    }

    /// Those who began to follow a room while there was no stream begin to read.
    fn follow_on(&mut self, id: RoomId) {
        let Some(entry) = self.rooms.get_mut(&id) else {
            return;
        };
        for log in entry.logs.values_mut() {
            if log.is_away() {
                let places = entry.room.places();
                log.enter(&mut self.core.cx(), entry.room.jid().as_str(), places);
            } else {
                log.resumed(&mut self.core.cx());
            }
        }
    }

    /// The server does not resume the session, or cannot: it is over, and another
    /// begins on the same stream.
    pub(super) fn not_resumed(&mut self, h: Option<u32>) -> Then {
        let doubtful = match self.management.failed(&self.core.cx(), h) {
            Ok(doubtful) => doubtful,
            // What another process saved may be older than what became of the session.
            Err(_) if self.restored => self.core.out.whole(),
            Err(what) => {
                self.misbehaved(what);
                return Then::Continue;
            }
        };
        self.session_over(Retry::At(self.core.now), Some(doubtful));
        match core::mem::replace(&mut self.link, Link::Resting) {
            Link::Negotiating(negotiation) => {
                let next = self.with_setting(|cx, setting| negotiation.bind(cx, setting));
                self.negotiated(next)
            }
            other => {
                self.link = other;
                Then::Continue
            }
        }
    }

    /// A stream is up, of whatever session.
    fn established(&mut self, login: &Login) {
        self.link = Link::Online;
        self.login = login.clone();
        self.last_heard = self.core.now;
        self.last_sent = self.core.now;
        self.ping = Question::default();
        let due = self.keepalive_due();
        let mut cx = self.core.cx();
        cx.disarm(Timer::Negotiation, 0);
        cx.disarm(Timer::Login, 0);
        cx.arm(Timer::Stable, 0, cx.timing.stable);
        cx.timers.arm(TimerKey::single(Timer::Keepalive), due);
    }

    /// The stream broke. Says whether the session can live on.
    pub(super) fn suspend(&mut self) -> bool {
        let anew = !self.management.is_suspended();
        if self.awaits_resumption() {
            self.management.left_without_answer();
        }
        let Some(until) = self.management.suspend(&mut self.core.cx()) else {
            return false;
        };
        if anew {
            self.core
                .timers
                .arm(TimerKey::single(Timer::Session), until);
            self.core.timers.freeze(self.core.now);
            self.fetches_suspended();
        }
        true
    }

    /// The server is being asked to resume the session.
    fn awaits_resumption(&self) -> bool {
        matches!(&self.link, Link::Negotiating(negotiation) if negotiation.awaits_resumption())
    }

    /// Ends a suspended session that can no longer be resumed; while the server is
    /// being asked, its answer decides.
    pub(super) fn end_lost_session(&mut self) {
        if !self.awaits_resumption() && self.management.is_lost(&self.core.cx()) {
            let reconnect = self
                .core
                .timers
                .armed_for(TimerKey::single(Timer::Reconnect));
            self.session_over(Retry::At(reconnect.unwrap_or(self.core.now)), None);
        }
    }

    /// Everything that lived in the session learns that it is over. Stanzas
    /// numbered from `doubtful` on were never handled: if that is not known
    /// better, those that no transport had whole.
    pub(super) fn session_over(&mut self, retry: Retry, doubtful: Option<u64>) {
        // What is handed on may be sent yet, by another.
        let doubtful = doubtful.filter(|_| !self.handed_on);
        let doubtful = doubtful.unwrap_or_else(|| {
            if self.handed_on {
                return u64::MAX;
            }
            let going = matches!(self.link, Link::Parting | Link::Draining);
            // What waits to be written on a stream that ends may be yet.
            if going && !self.core.out.waiting().is_empty() {
                u64::MAX
            } else {
                self.core.out.whole()
            }
        });
        self.management.end(&mut self.core.cx());
        self.restored = false;
        self.core.timers.thaw(self.core.now);
        self.us = None;
        for serial in self.core.requests.clear() {
            self.core.timers.disarm(TimerKey::of(Timer::Iq, serial));
        }
        self.rooms_offline(retry, doubtful);
        self.fetches_offline(retry);
        self.resolving_offline(retry);
    }

    /// Takes an element of the stream management.
    pub(super) fn on_management(&mut self, element: Element<'_>) {
        debug_assert!(element.ns() == ns::SM, "for the management only");
        match self.management.on_element(&mut self.core.cx(), element) {
            // Posts may have waited for room among what is not acknowledged.
            Ok(true) => self.flush_rooms(),
            Ok(false) => {}
            Err(what) => self.misbehaved(what),
        }
    }

    /// Writes the posts that wait, as far as there is room.
    pub(super) fn flush_rooms(&mut self) {
        if matches!(self.link, Link::Online) {
            for entry in self.rooms.values_mut() {
                entry.room.flush(&mut self.core.cx());
            }
        }
    }

    /// After each input: what was sent may be worth asking about.
    pub(super) fn manage(&mut self) {
        if matches!(self.link, Link::Online) {
            self.management.ask_if_due(&mut self.core.cx());
        } else {
            self.end_lost_session();
        }
    }
}
