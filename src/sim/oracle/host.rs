//! A host as its oracle sees it: what it asked for and what it was told.
//!
//! What it is told of its [`streams`], its [`rooms`] and its [`posts`] is judged there; what
//! it reads in [`reading`](super::reading) and [`fetching`](super::fetching), what it writes in [`wire`](super::wire).

mod posts;
mod rooms;
mod streams;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::evidence::{Seen, Witness};
use super::fetching::Reading;
use super::found::Found;
use super::reading::Follow;
use super::requests::{Requests, Talked};
use super::scan::Looked;
use super::trouble::Trouble;
use super::truth::Truth;
use super::verdicts::LastHour;
use super::wire::Managed;
use super::{BYTES_AT_ONCE, CLOSING, TOLD_AT_ONCE};
use crate::sim::happening::{LinkId, Request};
use crate::{
    Entry, Event, FetchEvent, Instant, Message, PostId, QueryId, RoomEvent, RoomId, SubscriptionId,
};
use posts::Posted;
use rooms::Membership;

#[derive(Debug, Default)]
pub(super) struct Host {
    /// Its name, without the domain.
    pub(super) account: String,
    pub(super) alive: bool,
    starts: u32,
    pub(super) link: Option<LinkId>,
    /// Its link is broken, whether it knows that or not.
    pub(super) cut: bool,
    pub(super) rooms: BTreeMap<RoomId, Membership>,
    pub(super) follows: BTreeMap<SubscriptionId, Follow>,
    fetches: BTreeMap<QueryId, Reading>,
    pub(super) posts: BTreeMap<PostId, Posted>,
    opened: u32,
    offline: u32,
    /// Transports it gave up without opening them, as far as that can be told.
    unopened: u32,
    /// Who let it in last does not know its password, and could not prove that it does.
    deceived: bool,
    /// When the server last read something over its link.
    pub(super) heard_at: Option<Instant>,
    /// Sessions that were bound, and those it was told of.
    pub(super) bound: u32,
    onlines: u32,
    /// The server took the password once, on whatever became of that link.
    proven: bool,
    /// And refused it since: worth one more attempt, and no more.
    refused: bool,
    pub(super) online: bool,
    /// It was told that it does not connect again by itself.
    pub(super) rests: bool,
    /// When it is to connect again, by the world's clock.
    pub(super) next_attempt: Option<Instant>,
    /// Its attempts to connect, by its own clock, but for those that its bot asked for.
    attempts: LastHour,
    /// Its bot asked for the next one.
    asked_to_connect: bool,
    /// When the server broke XML or the protocol, by its own clock.
    breaches: LastHour,
    pub(super) closing: Option<Instant>,
    pub(super) closed: bool,
    /// It took too long to, and that was said.
    slow_to_close: bool,
    pub(super) trouble: Trouble,
    /// The address that the server gave it.
    jid: String,
    /// Its password was changed.
    pub(super) locked_out: bool,
    pub(super) sm: Managed,
    pub(super) requests: Requests,
    pub(super) seen: Seen,
    /// What it did at one instant.
    at_once: (Instant, u32, usize),
}

impl Host {
    pub(super) fn started(&mut self, account: &str, found: &mut Found) {
        if self.starts > 0 {
            found.count("restarted");
        }
        // The server's operators know accounts by their names alone.
        let name = account.split('@').next().unwrap_or_default();
        *self = Self {
            account: name.into(),
            alive: true,
            starts: self.starts.saturating_add(1),
            trouble: core::mem::take(&mut self.trouble),
            locked_out: self.locked_out,
            ..Self::default()
        };
    }

    /// Something was said between it and its rooms.
    pub(super) fn talked(&mut self, talked: Talked, found: &mut Found) {
        let reads = |room: &str| {
            let rooms = self.rooms.values().filter(|joined| joined.name == room);
            let mut places = rooms.map(|joined| joined.truth);
            places.any(|place| {
                let mut follows = self.follows.values();
                follows.any(|follow| follow.room == place && !follow.is_caught_up())
            })
        };
        let clock = found.now.plus(self.trouble.ahead);
        self.requests.take(talked, clock, reads, found);
    }

    /// Notes work of one instant (S13, S14).
    pub(super) fn works(&mut self, events: u32, bytes: usize, found: &mut Found) {
        let (at, told, wrote) = &mut self.at_once;
        if *at != found.now {
            (*at, *told, *wrote) = (found.now, 0, 0);
        }
        *told = told.saturating_add(events);
        *wrote = wrote.saturating_add(bytes);
        if *told == TOLD_AT_ONCE || (*wrote > BYTES_AT_ONCE && *wrote - bytes <= BYTES_AT_ONCE) {
            let (told, wrote) = (*told, *wrote);
            found.violate(
                "S13",
                format!("{told} events and {wrote} bytes at one instant"),
            );
        }
    }

    pub(super) fn asked(&mut self, request: &Request<'_>, truth: &mut Truth, found: &mut Found) {
        match request {
            Request::Join(join, id) => {
                let place = truth.room(join.room.as_str());
                let ahead = self.trouble.ahead;
                let lived = self.seen.lived(found.now.plus(ahead));
                let mut membership = Membership::new(join, place, found.now, (ahead, lived));
                membership.deaths = truth.at(place).map_or(0, |room| room.deaths);
                self.rooms.insert(*id, membership);
            }
            Request::Leave(id) => {
                if let Some(room) = self.rooms.get_mut(id) {
                    room.leaving = true;
                    if !room.joined {
                        found.count("left while joining");
                    }
                }
            }
            Request::Grant(..) => {}
            Request::Post(room, post, id) => {
                let Some(room) = self.rooms.get(room) else {
                    return;
                };
                if let Some(truth) = truth.at(room.truth) {
                    let account = truth.accounts.entry(post.body.clone()).or_default();
                    account.asked = account.asked.saturating_add(1);
                }
                let posted = Posted::new(post, room.truth, found.now);
                self.posts.insert(*id, posted);
            }
            Request::Fetch(room, fetch, id) => {
                let Some(room) = self.rooms.get(room) else {
                    return;
                };
                if let Some(archive) = truth.at(room.truth) {
                    let reading = Reading::new(room.truth, archive, fetch, found.now);
                    self.fetches.insert(*id, reading);
                }
            }
            Request::Subscribe(room, start, id) => {
                let Some(room) = self.rooms.get(room) else {
                    return;
                };
                if self.starts > 1 && !matches!(start, crate::Start::Now) {
                    found.count("went on from a kept cursor");
                }
                if let Some(archive) = truth.at(room.truth) {
                    let mut follow = Follow::new(room.truth, archive, start, found);
                    follow.deaths = room.deaths;
                    self.follows.insert(*id, follow);
                }
            }
            Request::Unsubscribe(id) => {
                if let Some(follow) = self.follows.get_mut(id) {
                    follow.over = true;
                }
            }
            Request::Reconnect => {
                self.rests = false;
                self.asked_to_connect = true;
            }
            Request::Close => {
                if self.posts.values().any(|post| !post.resolved) {
                    found.count("closed with posts in flight");
                }
                self.closing = self.closing.or(Some(found.now));
            }
        }
    }

    pub(super) fn told(&mut self, event: &Event, truth: &mut Truth, found: &mut Found) {
        if self.closed {
            found.violate("S8", format!("told after the end: {event:?}"));
        }
        let mut looked = Looked::through(event);
        if looked.secret.found() {
            found.violate("S19", format!("a password is told: {event:?}"));
        }
        if looked.forged.found() {
            found.violate("S12", format!("a lie is told: {event:?}"));
        }
        match event {
            Event::Online { jid, .. } => {
                self.jid = jid.to_string();
                self.came_online(found);
            }
            Event::Offline { cause, retry } => {
                self.disturb(None, truth, found);
                for follow in self.follows.values_mut() {
                    follow.interrupted = true;
                }
                self.went_offline(cause, *retry, found);
            }
            Event::Room { room, event } => {
                if let RoomEvent::Left { .. } | RoomEvent::Joined(_) = event {
                    let place = self.rooms.get(room).map(|room| room.truth);
                    self.disturb(place, truth, found);
                    let follows = self.follows.values_mut();
                    for follow in follows.filter(|follow| Some(follow.room) == place) {
                        follow.interrupted |= matches!(event, RoomEvent::Left { .. });
                    }
                }
                self.room(*room, event, truth, found);
            }
            Event::Entry {
                subscription,
                entry,
            } => {
                if !self.follows.contains_key(subscription) {
                    return found.violate("S8", String::from("an entry of no subscription"));
                }
                if let Entry::Message(message) | Entry::Late(message) = entry {
                    self.claims(message, found);
                }
                let Some(follow) = self.follows.get_mut(subscription) else {
                    return;
                };
                let clock = found.now.plus(self.trouble.ahead);
                // Who was refused for good, or left, may have come again.
                let mut members = self.rooms.values().rev();
                let member = members.find(|room| room.truth == follow.room);
                let disturbed = self.trouble.is_disturbed(found.now);
                let writes_little = !self.trouble.paced().is_zero();
                let witness = Witness {
                    seen: &self.seen,
                    room: member.map_or("", |room| room.name.as_str()),
                    jid: &self.jid,
                    told_late: self.trouble.is_told_late(found.now),
                    disturbed,
                    unwritten: self.cut || (disturbed && writes_little),
                    clock,
                    first: member.and_then(Membership::first_join),
                    held: found.held,
                };
                if let Some(archive) = truth.at(follow.room) {
                    follow.entry(archive, entry, &witness, found);
                }
            }
            Event::Post { id, outcome } => self.outcome(*id, outcome, truth, found),
            Event::Fetch { id, event } => {
                if let FetchEvent::Page(messages) = event {
                    for message in messages {
                        self.claims(message, found);
                    }
                }
                let Some(reading) = self.fetches.get_mut(id) else {
                    return found.violate("S8", String::from("an answer to no fetch"));
                };
                if let Some(archive) = truth.at(reading.room) {
                    reading.event(archive, event, found);
                }
            }
            Event::Disco { .. } | Event::Resolved { .. } => {}
            Event::Closed => {
                self.closed = true;
                let open = |post: &&Posted| !post.resolved;
                if let Some(post) = self.posts.values().find(open) {
                    let body = &post.body;
                    found.violate("S8", format!("the end comes before an outcome: {body:?}"));
                }
                if self.fetches.values().any(|fetch| !fetch.over) {
                    let what = "the end comes before the outcome of a fetch";
                    found.violate("S8", String::from(what));
                }
            }
        }
    }

    /// It was told that it said something itself, or not.
    fn claims(&self, message: &Message, found: &mut Found) {
        if message.own && !self.posts.values().any(|post| post.body == message.body) {
            found.violate("S1", format!("not its own: {:?}", message.body));
        }
    }

    /// A fetch of a room that it is in, or none, has had an outcome by now.
    pub(super) fn fetched(&self, patience: Duration, found: &mut Found) {
        let open = |fetch: &&Reading| !fetch.over && found.now.since(fetch.asked) > patience;
        if self.fetches.values().any(|fetch| open(&fetch)) {
            found.violate("S8", String::from("a fetch has no outcome"));
        }
    }

    /// Who was told to close is closed in time (L9).
    pub(super) fn close_in_time(&mut self, found: &mut Found) {
        if let Some(closing) = self.closing
            && !self.closed
            && !self.slow_to_close
            && found.now > self.trouble.excused(closing, CLOSING)
        {
            self.slow_to_close = true;
            found.violate("L9", format!("{} does not end", self.account));
        }
    }

    /// Its link breaks, whether it notices or not.
    pub(super) fn cut_off(&mut self, truth: &Truth, found: &mut Found) {
        self.cut = true;
        let peace = self.trouble.peace().max(truth.honest_since());
        for follow in self.follows.values_mut() {
            if let Some(room) = truth.rooms.get(follow.room) {
                follow.cut_off(room, peace, self.trouble.paced(), found);
            }
        }
    }

    /// Something holds up those subscriptions that follow a room, or all.
    pub(super) fn disturb(&mut self, room: Option<usize>, truth: &Truth, found: &mut Found) {
        // What had to come before its link was cut was judged then, and nothing came since.
        let peace = match self.cut {
            true => Instant::from_micros(u64::MAX),
            false => self.trouble.peace().max(truth.honest_since()),
        };
        let follows = self.follows.values_mut();
        for follow in follows.filter(|follow| room.is_none_or(|room| room == follow.room)) {
            if let Some(room) = truth.rooms.get(follow.room) {
                follow.disturbed(room, peace, self.trouble.paced(), found);
            }
        }
    }
}
