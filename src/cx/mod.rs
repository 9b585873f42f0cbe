//! The only door from a part of the engine to the world: what it may write, arm,
//! draw and tell. Parts own no queues and do not know each other.

mod outbound;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;

use crate::event::Event;
use crate::ids::{IdSource, Label, QueryId, RoomId, SubscriptionId};
use crate::jid::{Jid, same_address};
use crate::limits::{Limits, Timing};
use crate::stanza::iq::{Iq, Kind};
use crate::time::{Instant, Timer, TimerKey, Timers};
use crate::xml::Writer;
pub(crate) use outbound::{Outbound, PROGRESS, Question};

/// Everything a part of the engine may use while it handles one input.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) out: &'a mut Outbound,
    pub(crate) events: &'a mut EventQueue,
    pub(crate) timers: &'a mut Timers,
    pub(crate) ids: &'a mut IdSource,
    pub(crate) requests: &'a mut Requests,
    pub(crate) limits: &'a Limits,
    pub(crate) timing: &'a Timing,
}

impl Cx<'_> {
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn arm(&mut self, why: Timer, owner: u64, after: core::time::Duration) {
        self.timers
            .arm_after(TimerKey::of(why, owner), self.now, after);
    }

    pub(crate) fn disarm(&mut self, why: Timer, owner: u64) {
        self.timers.disarm(TimerKey::of(why, owner));
    }

    /// Sends a request to `to` (our own server where `None`), with a deadline.
    ///
    /// `payload` writes the one child. The answer comes back under `purpose` and
    /// the number that is returned, so that a late answer to an older question is
    /// not taken for the answer to a newer one.
    pub(crate) fn request(
        &mut self,
        kind: Kind,
        to: Option<&str>,
        purpose: Purpose,
        payload: impl FnOnce(&mut Writer<'_>),
    ) -> u64 {
        let id = self.ids.token(Label::IqId);
        let kind = if kind == Kind::Set { "set" } else { "get" };
        self.out.stanza(|w| {
            w.start("iq").attr("type", kind).attr("id", &id);
            if let Some(to) = to {
                w.attr("to", to);
            }
            payload(w);
            w.end();
        });
        let serial = self.requests.insert(id, to, purpose);
        self.arm(Timer::Iq, serial, self.timing.request);
        serial
    }

    /// Takes the request that `answer` answers, if it comes from whom it was asked of.
    pub(crate) fn answered(&mut self, answer: &Iq<'_>, us: &Jid) -> Option<(u64, Purpose)> {
        let (serial, purpose) = self.requests.take(answer, us)?;
        self.disarm(Timer::Iq, serial);
        Some((serial, purpose))
    }

    /// Forgets a request: its answer is of no use any more.
    pub(crate) fn forget(&mut self, serial: Option<u64>) {
        if let Some(serial) = serial {
            self.requests.expire(serial);
            self.disarm(Timer::Iq, serial);
        }
    }
}

/// Events on their way to the host, and how much memory they hold.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    bytes: usize,
}

impl EventQueue {
    fn push(&mut self, event: Event) {
        self.bytes = self.bytes.saturating_add(event.weight());
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(event.weight());
        Some(event)
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What an answer is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Resource binding.
    Bind,
    /// The legacy session.
    Session,
    /// A sign of life.
    Keepalive,
    /// Unlocking a room just created.
    Unlock(RoomId),
    /// What a room can do.
    RoomInfo(RoomId),
    /// Whether we are still in a room.
    SelfPing(RoomId),
    /// Destroying a room.
    Destroy(RoomId),
    /// A page of a fetch.
    FetchPage(QueryId),
    /// A page of a subscription.
    LogPage(SubscriptionId),
    /// Where a room's archive ends.
    Anchor(RoomId),
    /// A page that may hold posts in doubt.
    Inquiry(RoomId),
    /// A page that may hold a post to resolve.
    Resolve(QueryId),
    /// What an entity is.
    DiscoInfo(QueryId),
    /// What an entity names.
    DiscoItems(QueryId),
}

/// Requests without an answer.
///
/// XEP-0199, XEP-0313 and others build on one rule of RFC 6120 section 8.1.2.1:
/// an answer counts only from the entity that was asked. Ids are random, so that
/// nobody can answer first; the address is checked all the same.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<Box<str>, Request>,
    ids: BTreeMap<u64, Box<str>>,
    next: u64,
}

#[derive(Debug)]
struct Request {
    serial: u64,
    /// Whom it was asked of; `None` is our own server on behalf of our account.
    to: Option<Box<str>>,
    purpose: Purpose,
}

impl Requests {
    fn insert(&mut self, id: String, to: Option<&str>, purpose: Purpose) -> u64 {
        self.next = self.next.wrapping_add(1);
        let serial = self.next;
        let id: Box<str> = id.into();
        self.ids.insert(serial, id.clone());
        self.pending.insert(
            id,
            Request {
                serial,
                to: to.map(Into::into),
                purpose,
            },
        );
        serial
    }

    fn take(&mut self, answer: &Iq<'_>, us: &Jid) -> Option<(u64, Purpose)> {
        let request = self.pending.get(answer.id)?;
        let from_whom_was_asked = match (&request.to, answer.from) {
            (Some(to), Some(from)) => same_address(to, from),
            (Some(to), None) => **to == *us.domain() || **to == *us.bare_str(),
            // RFC 6120 section 8.1.2.1: our server may name itself, or the account.
            (None, Some(from)) => {
                same_address(us.bare_str(), from)
                    || same_address(us.domain(), from)
                    || same_address(us.as_str(), from)
            }
            (None, None) => true,
        };
        // While binding, the only one who can speak to us is our server, and
        // under what address it does so is known only from its answer.
        if !from_whom_was_asked && !matches!(request.purpose, Purpose::Bind | Purpose::Session) {
            return None;
        }
        let request = self.pending.remove(answer.id)?;
        self.ids.remove(&request.serial);
        Some((request.serial, request.purpose))
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        let each = |id: &str, request: &Request| {
            let to = request.to.as_ref().map_or(0, |to| to.len());
            let text = id.len().saturating_mul(2).saturating_add(to);
            text.saturating_add(size_of::<Request>())
                .saturating_add(size_of::<(Box<str>, u64)>().saturating_mul(2))
        };
        let all = self.pending.iter().map(|(id, request)| each(id, request));
        all.fold(0, usize::saturating_add)
    }

    /// Takes the request whose deadline has come.
    pub(crate) fn expire(&mut self, serial: u64) -> Option<Purpose> {
        let id = self.ids.remove(&serial)?;
        self.pending.remove(&id).map(|request| request.purpose)
    }

    /// Forgets all, the stream having ended; returns the serials of their timers.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = u64> {
        self.pending.clear();
        core::mem::take(&mut self.ids).into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::DiscoInfo;
    use alloc::string::ToString as _;

    /// An entity can name thousands of bytes: they count while they wait for the host.
    #[test]
    fn what_a_discovery_found_is_counted() {
        let text = "x".repeat(1000);
        let info = DiscoInfo {
            identities: alloc::vec![(text.clone(), text.clone()); 3],
            features: alloc::vec![text.clone(); 5],
            items: alloc::vec![text.to_string(); 7],
        };
        let disco = |result| Event::Disco {
            id: QueryId(1),
            result,
        };
        let mut events = EventQueue::default();
        events.push(disco(Ok(Box::new(info))));
        let least = (2 * 3 + 5 + 7) * 1000;
        assert!(
            (least..least + 2000).contains(&events.bytes()),
            "{}",
            events.bytes()
        );
        let before = events.bytes();
        events.push(disco(Err(crate::event::RequestError::TimedOut)));
        assert_eq!(events.bytes() - before, size_of::<Event>());
        while events.pop().is_some() {}
        assert_eq!(events.bytes(), 0);
    }
}
