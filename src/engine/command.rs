//! What the host asks for: checked first, then queued, or refused and nothing changed.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::fetching::Fetching;
use super::link::Link;
use super::machine::{Machine, RoomEntry};
use super::refusal::{JoinError, PostError, QueryError};
use crate::command::{Fetch, Forbidden, JoinRoom, Nick, Post, Start};
use crate::cx::Purpose;
use crate::error::{Condition, ErrorType, StanzaError};
use crate::event::RequestError;
use crate::ids::{Cursor, PostId, QueryId, RoomId, SubscriptionId};
use crate::jid::Jid;
use crate::ns;
use crate::room::outbox::Fit;
use crate::room::{Log, Nickname, Room};
use crate::stanza::iq::Kind;
use crate::stanza::message::{self, Draft};
use crate::time::{Timer, TimerKey};
use crate::token::PostToken;
use crate::xml::{Writer, check_text};

/// An id as long as those that are drawn, to measure a post with.
const MEASURE_ID: &str = "0000000000000000000000";

impl Machine {
    pub(super) fn join(&mut self, join: JoinRoom) -> Result<RoomId, JoinError> {
        if self.closing {
            return Err(JoinError::Closed);
        }
        // XEP-0045 section 17.1: "both the Room ID (node) and Room Nickname (resource) portions of
        // an Occupant JID MUST be of non-zero length".
        if join.room.local().is_none() {
            return Err(JoinError::InvalidRoom);
        }
        if let Some(id) = self.by_address.get(join.room.as_str()) {
            return Err(JoinError::AlreadyJoined(*id));
        }
        if self.rooms.len() >= self.core.config.limits.rooms {
            return Err(JoinError::TooMany);
        }
        if self.no_stream_is_coming() {
            return Err(JoinError::Offline);
        }
        let mut nick = match join.nick {
            Nick::Chosen(nick) => Nickname::Chosen(nick),
            Nick::Suggested(nick) => Nickname::Suggested(nick),
            Nick::Random => Nickname::Suggested(self.nick.clone()),
        };
        let (Nickname::Chosen(text) | Nickname::Suggested(text)) = &mut nick;
        let occupant = join.room.with_resource(text);
        let occupant = occupant.map_err(|_| JoinError::InvalidNick)?;
        let prepared = occupant.resource().unwrap_or_default();
        check_text(prepared).map_err(|_| JoinError::InvalidNick)?;
        // As the room will call us: what it says is compared byte by byte.
        if text != prepared {
            *text = prepared.into();
        }
        let id = RoomId(self.room_ids.next());
        self.by_address.insert(join.room.as_str().into(), id);
        let near = self.core.config.is_own_service(join.room.domain());
        let mut room = Room::new(id, join.room, nick, near, &self.core.config.limits);
        if let Some(kicks) = join.kicks {
            room = room.with_kicks(kicks);
        }
        room.outbox.want_anchor(self.core.config.anchor_at_join);
        if let Some(us) = &self.us {
            let limit = self.stanza_limit();
            let outbox = &mut room.outbox;
            outbox.session_began(&mut self.core.cx(), us.as_str(), limit);
        }
        let parting = self.waits_for_parting(&mut room);
        if matches!(self.link, Link::Online) && !parting {
            room.enter(&mut self.core.cx());
        }
        self.rooms.insert(
            id,
            RoomEntry {
                room,
                logs: BTreeMap::new(),
            },
        );
        Ok(id)
    }

    pub(super) fn leave(&mut self, id: RoomId) {
        if let Some(entry) = self.rooms.get_mut(&id) {
            entry.room.leave(&mut self.core.cx());
            self.forget_room(id, &RequestError::NoSuchRoom);
        }
    }

    pub(super) fn destroy(&mut self, id: RoomId) {
        let Some(entry) = self.rooms.get(&id) else {
            return;
        };
        if entry.room.is_in() {
            entry.room.destroy(&mut self.core.cx());
        } else {
            let error = StanzaError::new(ErrorType::Wait, Condition::RecipientUnavailable);
            entry.room.destroy_refused(&mut self.core.cx(), error);
        }
    }

    pub(super) fn post(&mut self, id: RoomId, post: Post) -> Result<PostId, PostError> {
        if self.closing {
            return Err(PostError::Closed);
        }
        let post = fit_text(post)?;
        let limit = self.stanza_limit();
        let entry = self.rooms.get_mut(&id).ok_or(PostError::UnknownRoom)?;
        let mut post = post;
        let prepared = post.prepared.take();
        if let Some(token) = &prepared
            && token.room() != entry.room.jid()
        {
            return Err(PostError::UnknownRoom);
        }
        let prepared = prepared.map(|token| String::from(token.origin_id()));
        let room = entry.room.jid().as_str();
        let (deadline, ordered, on_doubt) = (post.deadline, post.ordered, post.on_doubt);
        let draft = Draft::new(post, room);
        let mut measured = Vec::new();
        let mut w = Writer::new(&mut measured);
        let id = prepared.as_deref().unwrap_or(MEASURE_ID);
        message::write_post(&mut w, room, id, &draft);
        w.finish().map_err(PostError::ForbiddenChar)?;
        let size = measured.len();
        if size > limit {
            return Err(PostError::TooLarge { size, limit });
        }
        if entry.room.outbox.len() >= self.core.config.limits.posts_per_room {
            return Err(PostError::Busy);
        }
        let post_id = PostId(self.ids.next());
        let mut cx = self.core.cx();
        let post = Fit {
            draft,
            size,
            deadline,
            ordered,
            on_doubt,
            origin_id: prepared,
        };
        entry.room.outbox.push(&mut cx, post_id, post);
        if matches!(self.link, Link::Online) {
            entry.room.flush(&mut cx);
        }
        Ok(post_id)
    }

    pub(super) fn prepare(&mut self, id: RoomId) -> Result<PostToken, PostError> {
        let entry = self.rooms.get(&id).ok_or(PostError::UnknownRoom)?;
        Ok(entry.room.prepare(&mut self.core.cx()))
    }

    /// The largest stanza that the server takes: what it announces (XEP-0478),
    /// within reason, or else what servers are known to take.
    pub(super) fn stanza_limit(&self) -> usize {
        /// RFC 6120 section 13.12: no server may refuse less.
        const SMALLEST: u64 = 10_000;
        let announced = self.login.max_bytes.map(|max| max.max(SMALLEST));
        let usual = self.core.config.limits.xml.stanza_bytes;
        announced.map_or(usual, |max| {
            usize::try_from(max).unwrap_or(usual).min(usual)
        })
    }

    pub(super) fn fetch(&mut self, room: RoomId, fetch: Fetch) -> Result<QueryId, QueryError> {
        self.may_query()?;
        let entry = self.rooms.get(&room).ok_or(QueryError::UnknownRoom)?;
        let id = QueryId(self.ids.next());
        // Two archives may give the same id to different messages: what this one shows
        // counts, and only if it does not is it told that the other had it.
        let elsewhere = match &fetch.since {
            Some(Cursor::After(cursor)) => self
                .rooms
                .iter()
                .any(|(other, entry)| *other != room && entry.room.neighbours.knows(cursor)),
            _ => false,
        };
        let mut fetching =
            Fetching::new(&mut self.core.cx(), id, room, fetch).known_elsewhere(elsewhere);
        if entry.room.is_in() && !self.management.is_suspended() {
            fetching.enter(&mut self.core.cx(), &entry.room);
        }
        if !fetching.is_over() {
            self.fetches.insert(id, fetching);
        }
        Ok(id)
    }

    pub(super) fn cancel(&mut self, id: QueryId) {
        if let Some(mut fetching) = self.fetches.remove(&id) {
            fetching.disarm(&mut self.core.cx());
        }
        if self.discos.remove(&id) {
            self.core.cx().disarm(Timer::FetchStalled, id.0);
        }
        if let Some(mut resolving) = self.resolving.remove(&id) {
            resolving.disarm(&mut self.core.cx());
        }
    }

    pub(super) fn subscribe(
        &mut self,
        room: RoomId,
        start: Start,
        credit: u32,
    ) -> Result<SubscriptionId, QueryError> {
        if self.closing {
            return Err(QueryError::Closed);
        }
        if self.subscriptions.len() >= self.core.config.limits.subscriptions {
            return Err(QueryError::TooManySubscriptions);
        }
        let entry = self.rooms.get_mut(&room).ok_or(QueryError::UnknownRoom)?;
        let id = SubscriptionId(self.ids.next());
        let limits = &self.core.config.limits;
        let mut log = Log::new(
            id,
            start,
            credit,
            limits.remembered_ids,
            self.core.config.drop_repeats,
            limits.page,
        );
        if entry.room.is_in() && !self.management.is_suspended() {
            log.enter(
                &mut self.core.cx(),
                entry.room.jid().as_str(),
                entry.room.places(),
            );
        }
        entry.logs.insert(id, log);
        self.subscriptions.insert(id, room);
        Ok(id)
    }

    pub(super) fn grant(&mut self, id: SubscriptionId, credit: u32) {
        if let Some(entry) = self
            .subscriptions
            .get(&id)
            .and_then(|room| self.rooms.get_mut(room))
            && let Some(log) = entry.logs.get_mut(&id)
        {
            log.grant(&mut self.core.cx(), entry.room.jid().as_str(), credit);
        }
    }

    pub(super) fn unsubscribe(&mut self, id: SubscriptionId) {
        if let Some(entry) = self
            .subscriptions
            .remove(&id)
            .and_then(|room| self.rooms.get_mut(&room))
            && let Some(mut log) = entry.logs.remove(&id)
        {
            log.away(&mut self.core.cx());
        }
    }

    pub(super) fn disco(&mut self, of: &Jid, what: &'static str) -> Result<QueryId, QueryError> {
        self.may_query()?;
        if !matches!(self.link, Link::Online) {
            return Err(QueryError::Offline);
        }
        let id = QueryId(self.ids.next());
        self.discos.insert(id);
        let purpose = if what == ns::DISCO_INFO {
            Purpose::DiscoInfo(id)
        } else {
            Purpose::DiscoItems(id)
        };
        self.core
            .cx()
            .request(Kind::Get, Some(of.as_str()), purpose, |w| {
                w.start("query").attr("xmlns", what).end();
            });
        Ok(id)
    }

    pub(super) fn disconnect(&mut self) {
        if !self.closing {
            self.part();
        }
    }

    pub(super) fn may_query(&self) -> Result<(), QueryError> {
        let under_way = [self.fetches.len(), self.discos.len(), self.resolving.len()];
        let under_way = under_way.into_iter().fold(0, usize::saturating_add);
        if self.closing {
            Err(QueryError::Closed)
        } else if under_way >= self.core.config.limits.queries {
            Err(QueryError::Busy)
        } else {
            Ok(())
        }
    }

    /// Whether there is no stream, and none will be set up unless somebody asks.
    fn no_stream_is_coming(&self) -> bool {
        let reconnect = TimerKey::single(Timer::Reconnect);
        matches!(
            self.link,
            Link::Resting | Link::Parting | Link::Draining | Link::Closed
        ) && !self.core.timers.is_armed(reconnect)
    }
}

/// A post whose texts XML can carry, or where it cannot.
fn fit_text(mut post: Post) -> Result<Post, PostError> {
    if post.body.is_empty() {
        return Err(PostError::Empty);
    }
    let Post {
        body,
        reply_to,
        reply_author,
        quote,
        forbidden,
        ..
    } = &mut post;
    let more = [reply_author, quote].into_iter().flatten();
    for text in more.chain([body]) {
        if let Err(found) = check_text(text) {
            match forbidden {
                Forbidden::Replace => {
                    *text = text.chars().map(carried).collect::<String>();
                }
                Forbidden::Refuse => return Err(PostError::ForbiddenChar(found)),
            }
        }
    }
    // Nothing that was changed would be the id of anything.
    if let Some(reply_to) = reply_to {
        check_text(reply_to).map_err(PostError::ForbiddenChar)?;
    }
    Ok(post)
}

/// A character, or what takes its place where XML cannot carry it.
fn carried(c: char) -> char {
    let mut buffer = [0; 4];
    if check_text(c.encode_utf8(&mut buffer)).is_ok() {
        c
    } else {
        char::REPLACEMENT_CHARACTER
    }
}
