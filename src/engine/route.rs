//! Taking stanzas to whom they concern, and timers to whose they are.
//!
//! A stanza counts only from the entity that can send it: an answer from whom
//! was asked, an archived message from the archive that is being read, anything
//! of a room from that room.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::link::Link;
use super::machine::{Machine, Parting, RoomEntry};
use crate::cx::{Cx, Purpose};
use crate::error::{Condition, ErrorType, StanzaError};
use crate::event::{DiscoInfo, Event, PeerMisbehaved, RequestError, Retry};
use crate::ids::{QueryId, RoomId, SubscriptionId};
use crate::jid;
use crate::mam::{Archived, Fin};
use crate::muc::{self, OccupantPresence};
use crate::ns;
use crate::planted::{Bug, planted};
use crate::room::{Log, Room, RoomOutput};
use crate::stanza::iq::{self, Iq, Kind};
use crate::stanza::{self, RawJid, presence};
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
        if element.ns() == ns::SM {
            return self.on_management(element);
        }
        if element.ns() != ns::CLIENT {
            // Features, whatever else: nothing that was asked for.
            return;
        }
        if matches!(element.name(), "message" | "presence" | "iq") {
            // Whatever is made of it, and be it nothing: it is ours now.
            self.management.handled();
        }
        match element.name() {
            "message" => self.on_message(element),
            "presence" => {
                let Some(from) = element.attr("from").and_then(RawJid::read) else {
                    return;
                };
                self.in_room(from, Some(element), |entry, cx| {
                    entry.room.on_presence(cx, element, from.resource)
                });
            }
            "iq" => self.on_iq(element),
            // RFC 6120 section 4.9.3.24.
            _ => self.misbehaved(PeerMisbehaved::UnexpectedElement),
        }
    }

    fn on_message(&mut self, element: Element<'_>) {
        let Some(from) = element.attr("from").and_then(RawJid::read) else {
            return;
        };
        // Only an archive itself sends results: what an occupant says is payload,
        // whatever it looks like (XEP-0313 v1.1.3, section 8).
        if (from.resource.is_none() || planted(Bug::ResultsFromAnyone))
            && element.attr("type") != Some("groupchat")
            && let Some(archived) = Archived::read(element)
        {
            return self.on_archived(from.bare, &archived);
        }
        if element.child("body", ns::CLIENT).is_none() && planted(Bug::ErrorForMessage) {
            let to = String::from(from.bare);
            self.core.out.stanza(|w| {
                w.start("message")
                    .attr("to", &to)
                    .attr("type", "error")
                    .end();
            });
        }
        self.in_room(from, None, |entry, cx| {
            let followed = !entry.logs.is_empty();
            entry.room.on_message(cx, element, from.resource, followed)
        });
    }

    /// Gives a stanza to the room it is of, if it is one of ours, and not still
    /// about the one that we left there just now.
    fn in_room(
        &mut self,
        from: RawJid<'_>,
        presence: Option<Element<'_>>,
        give: impl FnOnce(&mut RoomEntry, &mut Cx<'_>) -> RoomOutput,
    ) {
        if !self.partings.is_empty() && self.is_parting(from, presence) {
            return;
        }
        let Some(id) = self.room_at(from.bare) else {
            return;
        };
        let Some(entry) = self.rooms.get_mut(&id) else {
            return;
        };
        let output = give(entry, &mut self.core.cx());
        self.follow(id, output);
    }

    /// Whether a stanza is about a room that we left and that has not said so yet.
    /// What it says until then is not for who joins it anew.
    fn is_parting(&mut self, from: RawJid<'_>, presence: Option<Element<'_>>) -> bool {
        let address = known(&self.partings, from.bare);
        let Some(parting) = address.and_then(|address| self.partings.get_mut(&*address)) else {
            return false;
        };
        let gone = presence.is_some_and(|presence| match presence::kind(presence) {
            // The room may have given us another nick than the one we know of. Its own
            // farewell, which ejabberd sends besides, is not that of an occupant.
            presence::Kind::Unavailable => {
                from.resource
                    .is_some_and(|resource| resource == parting.nick)
                    || OccupantPresence::read(presence).status.own
            }
            presence::Kind::Error => true,
            presence::Kind::Available | presence::Kind::Other => false,
        });
        if gone {
            parting.times = parting.times.saturating_sub(1);
            if parting.times == 0 {
                let serial = parting.serial;
                self.parted(serial);
            }
        }
        true
    }

    /// A room that we left is done with us, or takes too long to say so: who
    /// joined it anew may go in.
    pub(super) fn parted(&mut self, serial: u64) {
        self.core.cx().disarm(Timer::Parting, serial);
        let address = self
            .partings
            .iter()
            .find(|(_, parting)| parting.serial == serial)
            .map(|(address, _)| address.clone());
        let Some(address) = address else { return };
        let id = self.by_address.get(&address).copied();
        let room = id.and_then(|id| self.rooms.get_mut(&id));
        if let Some(parting) = self.partings.get_mut(&address)
            && room.is_none()
            && parting.times > 0
            && !parting.overdue
        {
            // Who joins it now is to know.
            parting.overdue = true;
            let patience = self.core.config.timing.request;
            self.core.cx().arm(Timer::Parting, serial, patience);
            return;
        }
        let parting = self.partings.remove(&address);
        if let Some(entry) = room
            && matches!(self.link, Link::Online)
        {
            entry.room.enter(&mut self.core.cx());
            // What it has not said by now it may say yet.
            let times = parting.map_or(0, |parting| parting.times);
            entry.room.still_parting(&self.core.cx(), times);
        }
    }

    /// Whether who joins a room is to wait until it has said that we are gone. It is told of
    /// what is overdue.
    pub(super) fn waits_for_parting(&mut self, room: &mut Room) -> bool {
        let address = room.jid().as_str();
        match self.partings.get(address) {
            None => false,
            Some(parting) if !parting.overdue => true,
            Some(_) => {
                if let Some(parting) = self.partings.remove(address) {
                    self.core.cx().disarm(Timer::Parting, parting.serial);
                    room.still_parting(&self.core.cx(), parting.times);
                }
                false
            }
        }
    }

    /// The room at an address as the peer wrote it.
    fn room_at(&self, address: &str) -> Option<RoomId> {
        let address = known(&self.by_address, address)?;
        self.by_address.get(&*address).copied()
    }

    /// Tells those who follow a room what came of it.
    pub(super) fn follow(&mut self, id: RoomId, output: RoomOutput) {
        let Some(entry) = self.rooms.get_mut(&id) else {
            return;
        };
        match output {
            RoomOutput::Nothing => {}
            RoomOutput::Said(message) => {
                for log in entry.logs.values_mut() {
                    if let Some(message) = &message {
                        log.hear(&mut self.core.cx(), message);
                    }
                }
                self.fetches_heard(id);
            }
            RoomOutput::Entered(early) => {
                let recreated = entry.room.take_recreated();
                for log in entry.logs.values_mut() {
                    if recreated {
                        log.recreated(&mut self.core.cx());
                    }
                    log.enter(
                        &mut self.core.cx(),
                        entry.room.jid().as_str(),
                        entry.room.places(),
                    );
                    log.hear_early(&mut self.core.cx(), &early);
                }
                self.fetches_entered(id);
                self.resolving_entered(Some(id));
            }
            RoomOutput::Described => {
                let (at, places) = (entry.room.jid().as_str(), entry.room.places());
                for log in entry.logs.values_mut() {
                    log.described(&mut self.core.cx(), at, places);
                }
            }
            RoomOutput::Out(false) => {
                for log in entry.logs.values_mut() {
                    log.away(&mut self.core.cx());
                }
                self.fetches_away(id);
                self.resolving_away(id);
            }
            RoomOutput::Out(true) => self.forget_room(id, &RequestError::NoSuchRoom),
        }
    }

    /// Ends all that lives in a room that is dead.
    pub(super) fn forget_room(&mut self, id: RoomId, why: &RequestError) {
        let Some(mut entry) = self.rooms.remove(&id) else {
            return;
        };
        self.by_address.remove(entry.room.jid().as_str());
        // What it says of our going is not for who joins it anew.
        if let Some((nick, times)) = entry.room.unanswered_partings() {
            let parting = Parting {
                nick: nick.into(),
                times,
                serial: self.ids.next(),
                overdue: false,
            };
            let patience = self.core.config.timing.request;
            self.core.cx().arm(Timer::Parting, parting.serial, patience);
            let address = entry.room.jid().as_str().into();
            if let Some(earlier) = self.partings.insert(address, parting) {
                self.core.cx().disarm(Timer::Parting, earlier.serial);
            }
        }
        for (subscription, log) in &mut entry.logs {
            self.subscriptions.remove(subscription);
            log.end(&mut self.core.cx());
        }
        self.fail_fetches(|fetch| fetch.room == id, why);
        self.fail_resolving(|resolving| resolving.room == id, why);
    }

    /// The session is over, for now or for good.
    pub(super) fn rooms_offline(&mut self, retry: Retry, doubtful: u64) {
        for parting in core::mem::take(&mut self.partings).into_values() {
            self.core.cx().disarm(Timer::Parting, parting.serial);
        }
        let mut dead = Vec::new();
        for (id, entry) in &mut self.rooms {
            entry
                .room
                .session_ended(&mut self.core.cx(), doubtful, retry);
            for log in entry.logs.values_mut() {
                log.away(&mut self.core.cx());
            }
            if entry.room.is_dead() {
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
        let Some(entry) = self.rooms.get_mut(&id) else {
            return;
        };
        if entry.room.outbox.take(archived) {
            return;
        }
        for resolving in self.resolving.values_mut() {
            if resolving.room == id && resolving.take(archived) {
                return;
            }
        }
        let pagers = entry.logs.values_mut().flat_map(Log::pagers).chain(
            self.fetches
                .values_mut()
                .filter(|fetch| fetch.room == id)
                .map(|fetch| &mut fetch.pager),
        );
        for pager in pagers {
            if pager.is_open(archived.query_id) {
                pager.take(archived.id, entry.room.read_archived(archived));
                entry.room.archived(&mut self.core.cx(), archived);
                return;
            }
        }
    }

    fn on_iq(&mut self, element: Element<'_>) {
        let Some(iq) = Iq::parse(element) else {
            // RFC 6120 section 8.2.3: who receives a result or error "MUST NOT respond";
            // whatever else it may be meant for is a request.
            if !matches!(element.attr("type"), Some("result" | "error")) {
                self.core.out.stanza(|w| iq::write_malformed(w, element));
            }
            return;
        };
        match iq.kind {
            Kind::Get | Kind::Set => self.on_request(&iq),
            Kind::Result | Kind::Error => {
                let Some(us) = &self.us else {
                    return;
                };
                if let Some((serial, purpose)) = self.core.cx().answered(&iq, us) {
                    let answer = match iq.kind {
                        Kind::Error => Err(RequestError::Refused(stanza::error::parse(element))),
                        _ => Ok(iq.payload()),
                    };
                    self.on_answer(serial, purpose, answer);
                }
            }
        }
    }

    /// Answers a request: a ping from anybody, since a room's self-ping comes
    /// back to us as one (XEP-0410 v1.1.0, section 3); nothing else.
    fn on_request(&mut self, iq: &Iq<'_>) {
        // RFC 6120 section 8.2.3: it "MUST contain exactly one child element, which
        // specifies the semantics of the particular request".
        if iq.element.children().count() != 1 {
            self.core.out.stanza(|w| iq::write_malformed(w, iq.element));
            return;
        }
        let is_ping = iq.kind == Kind::Get
            && iq
                .payload()
                .is_some_and(|payload| payload.is("ping", ns::PING));
        self.core.out.stanza(|w| {
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
            self.on_answer(serial, purpose, Err(RequestError::TimedOut));
        }
    }

    fn on_answer(
        &mut self,
        serial: u64,
        purpose: Purpose,
        answer: Result<Option<Element<'_>>, RequestError>,
    ) {
        match purpose {
            Purpose::Unlock(id) => {
                let answer = answer.map(drop).map_err(refusal);
                if let Some(entry) = self.rooms.get_mut(&id) {
                    let output = entry.room.unlocked(&mut self.core.cx(), serial, answer);
                    self.follow(id, output);
                }
            }
            Purpose::RoomInfo(id) => {
                let answer = match answer {
                    Ok(Some(query)) if query.is("query", ns::DISCO_INFO) => {
                        Ok(muc::room_info(query))
                    }
                    Ok(_) => Err(false),
                    Err(RequestError::Refused(error)) => Err(error.kind == ErrorType::Wait),
                    Err(_) => Err(true),
                };
                if let Some(entry) = self.rooms.get_mut(&id) {
                    let output = entry.room.examined(&mut self.core.cx(), serial, answer);
                    self.follow(id, output);
                }
            }
            Purpose::SelfPing(id) => {
                let answer = answer.map(drop);
                if let Some(entry) = self.rooms.get_mut(&id) {
                    let output = entry.room.pinged(&mut self.core.cx(), serial, &answer);
                    self.follow(id, output);
                }
            }
            Purpose::Destroy(id) => {
                if let (Err(error), Some(entry)) = (answer, self.rooms.get(&id)) {
                    entry
                        .room
                        .destroy_refused(&mut self.core.cx(), refusal(error));
                }
            }
            Purpose::FetchPage(id) => self.fetch_page(id, serial, fin(answer)),
            Purpose::LogPage(id) => {
                if let Some(entry) = self
                    .subscriptions
                    .get(&id)
                    .and_then(|r| self.rooms.get_mut(r))
                    && let Some(log) = entry.logs.get_mut(&id)
                {
                    let at = entry.room.jid().as_str();
                    log.page(&mut self.core.cx(), at, serial, fin(answer));
                }
            }
            Purpose::Anchor(id) => {
                if let Some(entry) = self.rooms.get_mut(&id) {
                    let mut cx = self.core.cx();
                    entry.room.outbox.anchored(&mut cx, serial, fin(answer));
                    entry.room.flush(&mut cx);
                }
            }
            Purpose::Inquiry(id) => self.posts_inquired(id, serial, fin(answer)),
            Purpose::Resolve(id) => self.resolve_page(id, serial, fin(answer)),
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
        let id = RoomId(key.owner);
        let Some(entry) = self.rooms.get_mut(&id) else {
            return;
        };
        let mut cx = self.core.cx();
        let output = match key.why {
            Timer::Join => entry.room.join_expired(&mut cx),
            Timer::SelfPresence => entry.room.presume(&mut cx),
            Timer::SelfPing => {
                entry.room.self_ping(&mut cx);
                RoomOutput::Nothing
            }
            Timer::Examine => {
                entry.room.ask_again(&mut cx);
                RoomOutput::Nothing
            }
            _ => {
                entry.room.rejoin(&mut cx);
                RoomOutput::Nothing
            }
        };
        self.follow(id, output);
    }

    pub(super) fn log_timer(&mut self, key: TimerKey) {
        let id = SubscriptionId(key.owner);
        if let Some(entry) = self
            .subscriptions
            .get(&id)
            .and_then(|room| self.rooms.get_mut(room))
            && let Some(log) = entry.logs.get_mut(&id)
        {
            log.on_timer(&mut self.core.cx(), entry.room.jid().as_str(), key.why);
        }
    }
}

/// The prepared address under which something is known, from one that the peer wrote.
fn known<'a, V>(known: &BTreeMap<Box<str>, V>, address: &'a str) -> Option<Cow<'a, str>> {
    if known.contains_key(address) {
        return Some(Cow::Borrowed(address));
    }
    jid::prepared_bare(address)
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
        _ => StanzaError::new(ErrorType::Wait, Condition::RemoteServerTimeout),
    }
}
