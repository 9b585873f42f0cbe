//! Taking stanzas to whom they concern, and timers to whose they are.
//!
//! A stanza counts only from the entity that can send it: an answer from whom
//! was asked, an archived message from the archive that is being read, anything
//! of a room from that room.

use alloc::boxed::Box;
use alloc::string::ToString as _;

use super::machine::Machine;
use crate::cx::Purpose;
use crate::error::{Condition, StanzaError};
use crate::event::{DiscoInfo, Event, PeerMisbehaved, RequestError, Retry};
use crate::ids::{PostId, QueryId, RoomId, SubscriptionId};
use crate::jid::BareJid;
use crate::mam::{Archived, Fin};
use crate::ns;
use crate::room::Heard;
use crate::stanza::iq::{self, Iq, Kind};
use crate::stanza::{self, RawJid};
use crate::time::{Timer, TimerKey};
use crate::xml::Element;

/// More of an entity's identities, features or items than this is not kept.
const DISCO_IDENTITIES: usize = 32;
const DISCO_ENTRIES: usize = 256;

impl Machine {
    /// Takes a first-level child of an established stream.
    pub(super) fn on_stanza(&mut self, element: Element<'_>) {
        self.last_heard = self.core.now;
        self.core.cx().disarm(Timer::KeepaliveReply, 0);
        if element.ns() != ns::CLIENT {
            // Features, acknowledgements, whatever else: nothing that was asked for.
            return;
        }
        match element.name() {
            "message" => self.on_message(element),
            "presence" => {
                let Some(from) = element.attr("from").map(RawJid::new) else {
                    return;
                };
                self.in_room(from.bare, |room, cx| {
                    room.on_presence(cx, element, from.resource)
                });
            }
            "iq" => self.on_iq(element),
            // RFC 6120 section 4.9.3.24.
            _ => self.misbehaved(PeerMisbehaved::UnexpectedElement),
        }
    }

    fn on_message(&mut self, element: Element<'_>) {
        let Some(from) = element.attr("from").map(RawJid::new) else {
            return;
        };
        if let Some(archived) = Archived::read(element) {
            if from.resource.is_none() {
                self.on_archived(from.bare, &archived);
            }
            return;
        }
        self.in_room(from.bare, |room, cx| {
            room.on_message(cx, element, from.resource)
        });
    }

    /// Gives a stanza to the room it is of, if it is one of ours.
    fn in_room(
        &mut self,
        address: &str,
        give: impl FnOnce(&mut crate::room::Room, &mut crate::cx::Cx<'_>) -> Heard,
    ) {
        let Some(id) = self.room_at(address) else {
            return;
        };
        let Some(hall) = self.halls.get_mut(&id) else {
            return;
        };
        let heard = give(&mut hall.room, &mut self.core.cx());
        self.heard(id, heard);
    }

    /// The room at an address as the peer wrote it.
    fn room_at(&self, address: &str) -> Option<RoomId> {
        if let Some(id) = self.by_address.get(address) {
            return Some(*id);
        }
        // Compared prepared, but only where preparing can change anything.
        if address
            .bytes()
            .all(|b| b.is_ascii() && !b.is_ascii_uppercase())
        {
            return None;
        }
        let address = BareJid::parse(address).ok()?;
        self.by_address.get(address.as_str()).copied()
    }

    /// Tells those who follow a room what came of it.
    pub(super) fn heard(&mut self, id: RoomId, heard: Heard) {
        let Some(hall) = self.halls.get_mut(&id) else {
            return;
        };
        match heard {
            Heard::Nothing => {}
            Heard::Message(message) => {
                for log in hall.logs.values_mut() {
                    log.hear(&mut self.core.cx(), &message);
                }
                self.fetches_heard(id);
            }
            Heard::Entered(early) => {
                for log in hall.logs.values_mut() {
                    log.enter(
                        &mut self.core.cx(),
                        hall.room.jid().as_str(),
                        hall.room.info(),
                    );
                    for message in &early {
                        log.hear(&mut self.core.cx(), message);
                    }
                }
                self.fetches_entered(id);
            }
            Heard::Out(false) => {
                for log in hall.logs.values_mut() {
                    log.away(&mut self.core.cx());
                }
                self.fetches_away(id);
            }
            Heard::Out(true) => self.forget_room(id, &RequestError::NoSuchRoom),
        }
    }

    /// Ends all that lives in a room that is dead.
    pub(super) fn forget_room(&mut self, id: RoomId, why: &RequestError) {
        let Some(mut hall) = self.halls.remove(&id) else {
            return;
        };
        self.by_address.remove(hall.room.jid().as_str());
        for (subscription, log) in &mut hall.logs {
            self.subscriptions.remove(subscription);
            log.end(&mut self.core.cx());
        }
        self.fail_fetches(|fetch| fetch.room == id, why);
    }

    /// The stream is over, for now or for good.
    pub(super) fn rooms_offline(&mut self, retry: Retry, sent: u64) {
        let mut dead = alloc::vec::Vec::new();
        for (id, hall) in &mut self.halls {
            hall.room.stream_ended(&mut self.core.cx(), sent, retry);
            for log in hall.logs.values_mut() {
                log.away(&mut self.core.cx());
            }
            if hall.room.is_dead() || self.closing {
                dead.push(*id);
            }
        }
        for id in dead {
            self.forget_room(id, &RequestError::Offline);
        }
    }

    /// A message from an archive: only from the room that is being read, under
    /// the id of the page that was asked for (XEP-0313 v1.1.3, section 8).
    fn on_archived(&mut self, from: &str, archived: &Archived<'_>) {
        let Some(id) = self.room_at(from) else {
            return;
        };
        let Some(hall) = self.halls.get_mut(&id) else {
            return;
        };
        let walks = hall
            .logs
            .values_mut()
            .map(super::super::room::Log::walk)
            .chain(
                self.fetches
                    .values_mut()
                    .filter(|fetch| fetch.room == id)
                    .map(|fetch| &mut fetch.walk),
            );
        for walk in walks {
            if walk.is_open(archived.query_id) {
                walk.take(archived.id, hall.room.read_archived(archived));
                return;
            }
        }
    }

    fn on_iq(&mut self, element: Element<'_>) {
        let Some(iq) = Iq::parse(element) else {
            return;
        };
        match iq.kind {
            Kind::Get | Kind::Set => self.on_request(&iq),
            Kind::Result | Kind::Error => {
                let Some(us) = &self.us else {
                    return;
                };
                if let Some(purpose) = self.core.cx().answered(&iq, us) {
                    let answer = match iq.kind {
                        Kind::Error => Err(RequestError::Refused(stanza::error::parse(element))),
                        _ => Ok(iq.payload()),
                    };
                    self.on_answer(purpose, answer);
                }
            }
        }
    }

    /// Answers a request: a ping from anybody, since a room's self-ping comes
    /// back to us as one (XEP-0410 v1.1.0, section 3); nothing else.
    fn on_request(&mut self, iq: &Iq<'_>) {
        if self.core.out.waiting().len() >= self.core.config.limits.write_bytes {
            // Who asks without end and does not read goes without an answer.
            return;
        }
        let is_ping = iq.kind == Kind::Get
            && iq
                .payload()
                .is_some_and(|payload| payload.is("ping", ns::PING));
        self.core.out.write(|w| {
            if is_ping {
                iq::write_result(w, iq.from, iq.id);
            } else {
                iq::write_unavailable(w, iq.from, iq.id);
            }
        });
    }

    /// Nobody answered a request in time.
    pub(super) fn request_expired(&mut self, serial: u64) {
        if let Some(purpose) = self.core.requests.expire(serial) {
            self.on_answer(purpose, Err(RequestError::TimedOut));
        }
    }

    fn on_answer(&mut self, purpose: Purpose, answer: Result<Option<Element<'_>>, RequestError>) {
        match purpose {
            Purpose::Unlock(id) => {
                let answer = answer.map(drop).map_err(refusal);
                if let Some(hall) = self.halls.get_mut(&id) {
                    let heard = hall.room.unlocked(&mut self.core.cx(), answer);
                    self.heard(id, heard);
                }
            }
            Purpose::RoomInfo(id) => {
                let query = answer
                    .ok()
                    .flatten()
                    .filter(|e| e.is("query", ns::DISCO_INFO));
                if let Some(hall) = self.halls.get_mut(&id) {
                    let heard = hall.room.examined(&mut self.core.cx(), query);
                    self.heard(id, heard);
                }
            }
            Purpose::Destroy(id) => {
                if let (Err(error), Some(hall)) = (answer, self.halls.get(&id)) {
                    hall.room
                        .destroy_refused(&mut self.core.cx(), refusal(error));
                }
            }
            Purpose::FetchPage(id) => self.fetch_page(id, fin(answer)),
            Purpose::LogPage(id) => {
                if let Some(hall) = self
                    .subscriptions
                    .get(&id)
                    .and_then(|r| self.halls.get_mut(r))
                    && let Some(log) = hall.logs.get_mut(&id)
                {
                    log.page(&mut self.core.cx(), hall.room.jid().as_str(), fin(answer));
                }
            }
            Purpose::DiscoInfo(id) | Purpose::DiscoItems(id) => self.on_disco(id, answer),
            Purpose::Keepalive | Purpose::Bind | Purpose::Session => {}
        }
    }

    fn on_disco(&mut self, id: QueryId, answer: Result<Option<Element<'_>>, RequestError>) {
        if !self.discos.remove(&id) {
            return;
        }
        let result = answer.map(|query| {
            let mut info = DiscoInfo::default();
            for child in query.into_iter().flat_map(|query| query.children()) {
                match (child.name(), child.ns()) {
                    ("identity", ns::DISCO_INFO) if info.identities.len() < DISCO_IDENTITIES => {
                        let part = |name| child.attr(name).unwrap_or_default().to_string();
                        info.identities.push((part("category"), part("type")));
                    }
                    ("feature", ns::DISCO_INFO) if info.features.len() < DISCO_ENTRIES => {
                        info.features.extend(child.attr("var").map(Into::into));
                    }
                    ("item", ns::DISCO_ITEMS) if info.items.len() < DISCO_ENTRIES => {
                        info.items.extend(child.attr("jid").map(Into::into));
                    }
                    _ => {}
                }
            }
            Box::new(info)
        });
        self.core.cx().tell(Event::Disco { id, result });
    }

    pub(super) fn room_timer(&mut self, key: TimerKey) {
        let Some(id) = u32::try_from(key.owner).ok().map(RoomId) else {
            return;
        };
        let Some(hall) = self.halls.get_mut(&id) else {
            return;
        };
        let mut cx = self.core.cx();
        let heard = if key.why == Timer::Join {
            hall.room.join_expired(&mut cx)
        } else {
            hall.room.rejoin(&mut cx);
            Heard::Nothing
        };
        self.heard(id, heard);
    }

    pub(super) fn log_timer(&mut self, owner: u64) {
        let id = SubscriptionId(owner);
        if let Some(hall) = self
            .subscriptions
            .get(&id)
            .and_then(|room| self.halls.get_mut(room))
            && let Some(log) = hall.logs.get_mut(&id)
        {
            log.retry(&mut self.core.cx(), hall.room.jid().as_str());
        }
    }

    pub(super) fn post_expired(&mut self, owner: u64) {
        for hall in self.halls.values_mut() {
            hall.room.outbox.expire(&mut self.core.cx(), PostId(owner));
        }
    }
}

/// The end of a page in an answer.
fn fin(answer: Result<Option<Element<'_>>, RequestError>) -> Result<Fin<'_>, RequestError> {
    answer?
        .and_then(Fin::read)
        .ok_or(RequestError::Inconsistent("a page without an end"))
}

/// A failed request as the error stanza that it is or stands for.
fn refusal(error: RequestError) -> StanzaError {
    match error {
        RequestError::Refused(error) => error,
        _ => StanzaError::new(
            crate::error::ErrorType::Wait,
            Condition::RemoteServerTimeout,
        ),
    }
}
