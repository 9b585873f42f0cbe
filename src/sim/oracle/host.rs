//! A host as its oracle sees it: what it asked for and what it was told.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::found::Found;
use super::reading::{Follow, Reading};
use super::scan::Looked;
use super::truth::{Account, Truth};
use super::wire::{Learnt, Managed};
use super::{ATTEMPTS, BYTES_AT_ONCE, TOLD_AT_ONCE};
use crate::sim::happening::{LinkId, Request};
use crate::sim::plan::passes;
use crate::{
    AuthFailure, Event, Instant, JoinFailure, LeaveCause, Nick, OfflineCause, PostId, PostOutcome,
    QueryId, Retry, RoomEvent, RoomId, SaslCondition, SubscriptionId, Timer, TransportFailureKind,
};

#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) account: String,
    pub(super) alive: bool,
    starts: u32,
    pub(super) link: Option<LinkId>,
    pub(super) rooms: BTreeMap<RoomId, Membership>,
    pub(super) follows: BTreeMap<SubscriptionId, Follow>,
    fetches: BTreeMap<QueryId, Reading>,
    pub(super) posts: BTreeMap<PostId, Posted>,
    opened: u32,
    offline: u32,
    /// Who let it in last does not know its password, and could not prove that it does.
    deceived: bool,
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
    attempts: VecDeque<Instant>,
    pub(super) closing: Option<Instant>,
    pub(super) closed: bool,
    /// How far its clock is ahead of the world's.
    pub(super) ahead: Duration,
    /// It stood still, or its bot did, so that times say nothing.
    pub(super) disturbed: bool,
    /// Its link carried next to nothing for a while, so that reading took its time.
    pub(super) slowed: bool,
    /// The address that the server gave it.
    jid: String,
    /// Its password was changed.
    pub(super) locked_out: bool,
    pub(super) sm: Managed,
    /// What it did at one instant.
    at_once: (Instant, u32, usize),
}

/// A room that a host asked to join.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) name: String,
    /// The nick that was suggested.
    nick: String,
    truth: usize,
    pub(super) asked: Instant,
    pub(super) joined: bool,
    entries: u32,
    pub(super) dead: bool,
}

/// A post of a host.
#[derive(Debug)]
pub(super) struct Posted {
    body: String,
    truth: usize,
    pub(super) asked: Instant,
    pub(super) resolved: bool,
    deadline: Option<Duration>,
}

/// Posts have a minute, unless they say otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

impl Host {
    pub(super) fn started(&mut self, account: &str, found: &mut Found) {
        if self.starts > 0 {
            found.count("restarted");
        }
        *self = Self {
            account: account.into(),
            alive: true,
            starts: self.starts.saturating_add(1),
            ahead: self.ahead,
            disturbed: self.disturbed,
            slowed: self.slowed,
            locked_out: self.locked_out,
            ..Self::default()
        };
    }

    pub(super) fn opening(&mut self, link: LinkId, found: &mut Found) {
        self.link = Some(link);
        self.opened = self.opened.saturating_add(1);
        self.next_attempt = None;
        self.deceived = false;
        if self.rests {
            found.violate("L5", String::from("connects although it was to stay away"));
        }
        if self.closed {
            found.violate("S8", String::from("connects although it is closed"));
        }
        self.attempts.push_back(found.now);
        if self.attempts.len() > ATTEMPTS {
            let oldest = self.attempts.pop_front().unwrap_or_default();
            if found.now.since(oldest) < Duration::from_secs(60) && !self.disturbed {
                found.violate("L6", format!("connects {ATTEMPTS} times in a minute"));
                self.attempts.clear();
            }
        }
    }

    /// It was let in by somebody who does not know its password.
    pub(super) const fn is_deceived(&mut self) {
        self.deceived = true;
    }

    /// It read something from which it knows more.
    pub(super) const fn learns(&mut self, learnt: Learnt) {
        if learnt.logged_in && !self.deceived {
            // Even if the link breaks before there is a session.
            self.proven = true;
            self.refused = false;
        }
        if learnt.bound {
            self.bound = self.bound.saturating_add(1);
        }
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
                let membership = Membership {
                    name: join.room.as_str().into(),
                    nick: match &join.nick {
                        Nick::Chosen(nick) | Nick::Suggested(nick) => nick.clone(),
                        Nick::Random => String::new(),
                    },
                    truth: truth.room(join.room.as_str()),
                    asked: found.now,
                    joined: false,
                    entries: 0,
                    dead: false,
                };
                self.rooms.insert(*id, membership);
            }
            Request::Leave(id) => {
                if self.rooms.get(id).is_some_and(|room| !room.joined) {
                    found.count("left while joining");
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
                let posted = Posted {
                    body: post.body.clone(),
                    truth: room.truth,
                    asked: found.now,
                    resolved: false,
                    deadline: post.deadline,
                };
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
                    let follow = Follow::new(room.truth, archive, start, found);
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
                self.attempts.clear();
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
                self.went_offline(cause, *retry, found);
            }
            Event::Room { room, event } => {
                if let RoomEvent::Left { .. } | RoomEvent::Joined(_) = event {
                    let place = self.rooms.get(room).map(|room| room.truth);
                    self.disturb(place, truth, found);
                }
                self.room(*room, event, found);
            }
            Event::Entry {
                subscription,
                entry,
            } => {
                let Some(follow) = self.follows.get_mut(subscription) else {
                    return found.violate("S8", String::from("an entry of no subscription"));
                };
                if let crate::Entry::Message(message) = entry
                    && message.own
                    && !self.posts.values().any(|post| post.body == message.body)
                {
                    found.violate("S1", format!("not its own: {:?}", message.body));
                }
                if let Some(archive) = truth.at(follow.room) {
                    follow.entry(archive, entry, &self.jid, found);
                }
            }
            Event::Post { id, outcome } => self.outcome(*id, outcome, truth, found),
            Event::Fetch { id, event } => {
                let Some(reading) = self.fetches.get_mut(id) else {
                    return found.violate("S8", String::from("an answer to no fetch"));
                };
                if let Some(archive) = truth.at(reading.room) {
                    reading.event(archive, event, found);
                }
            }
            Event::Disco { .. } | Event::Resolved { .. } => {}
            Event::Closed => self.closed = true,
        }
    }

    /// Something holds up those subscriptions that follow a room, or all.
    pub(super) fn disturb(&mut self, room: Option<usize>, truth: &Truth, found: &mut Found) {
        let reliable = truth.reliable && !self.disturbed && !self.slowed;
        let follows = self.follows.values_mut();
        for follow in follows.filter(|follow| room.is_none_or(|room| room == follow.room)) {
            if let Some(room) = truth.rooms.get(follow.room) {
                follow.disturbed(room, reliable, found);
            }
        }
    }

    fn came_online(&mut self, found: &mut Found) {
        found.count("online");
        self.onlines = self.onlines.saturating_add(1);
        if self.online {
            found.violate("S8", String::from("online twice"));
        }
        if self.deceived {
            let what = "online after a login without a valid signature of the server";
            found.violate("S10", String::from(what));
        }
        if self.onlines > self.bound {
            found.violate("S10", String::from("online without a login that succeeded"));
        }
        self.online = true;
    }

    fn went_offline(&mut self, cause: &OfflineCause, retry: Retry, found: &mut Found) {
        self.online = false;
        self.offline = self.offline.saturating_add(1);
        let unopened = [OfflineCause::TimedOut(Timer::Connect), OfflineCause::Closed];
        if self.offline > self.opened && unopened.contains(cause) {
            // It stood still for so long that it never got round to opening it, or was
            // told to end before it could.
            self.opened = self.opened.saturating_add(1);
        }
        if self.offline > self.opened {
            found.violate("S8", String::from("offline twice for one transport"));
        }
        found.count(path_of(cause));
        self.rests = retry == Retry::Never;
        match retry {
            Retry::At(at) => {
                let wait = at.since(found.now.plus(self.ahead));
                self.next_attempt = Some(found.now.plus(wait));
                let second_look = is_refusal(cause)
                    && self.proven
                    && !core::mem::replace(&mut self.refused, true);
                if is_for_good(cause) && !second_look {
                    found.violate("L5", format!("tries again after {cause:?}"));
                }
                if wait > Duration::from_secs(700) {
                    found.violate("L1", format!("waits for {wait:?} after {cause:?}"));
                }
            }
            Retry::Never => {
                if is_refusal(cause) {
                    self.proven = false;
                }
                found.count("stays away");
                let asked = self.closing.is_some();
                if !asked && !is_for_good(cause) && may_pass(cause) {
                    found.violate("L1", format!("gives up after {cause:?}"));
                }
            }
        }
    }

    fn room(&mut self, id: RoomId, event: &RoomEvent, found: &mut Found) {
        let Some(room) = self.rooms.get_mut(&id) else {
            return found.violate("S8", String::from("an event of a room that nobody joined"));
        };
        if room.dead {
            let name = &room.name;
            found.violate("S8", format!("{name} is over, and something happens there"));
        }
        match event {
            RoomEvent::Joined(joined) => {
                if room.joined {
                    found.violate("S20", format!("joined twice: {}", room.name));
                }
                room.joined = true;
                room.entries = room.entries.saturating_add(1);
                if room.entries > 1 {
                    found.count("rejoined");
                }
                if joined.nick != room.nick {
                    found.count("joined under another nick");
                }
                if joined.created {
                    found.count(if room.entries > 1 {
                        "room created again"
                    } else {
                        "room created"
                    });
                }
            }
            RoomEvent::Left { cause, retry } => {
                room.joined = false;
                room.dead = *retry == Retry::Never;
                found.count(match cause {
                    LeaveCause::Asked => "left: asked",
                    LeaveCause::Kicked { .. } => "left: kicked",
                    LeaveCause::Banned { .. } => "left: banned",
                    LeaveCause::NotMember => "left: not a member",
                    LeaveCause::ServiceShutdown => "left: shutdown",
                    LeaveCause::Dropped => "left: dropped",
                    LeaveCause::Unexplained => "left: unexplained",
                    LeaveCause::TechnicalProblem => "left: technical",
                    LeaveCause::Destroyed { .. } => "left: destroyed",
                    LeaveCause::Offline => "left: offline",
                });
            }
            RoomEvent::JoinFailed { error, retry } => {
                room.joined = false;
                room.dead = *retry == Retry::Never;
                found.count(match error {
                    JoinFailure::NickConflict => "join failed: nick conflict",
                    JoinFailure::Refused(_) => "join failed: refused",
                    JoinFailure::TimedOut => "join failed: timed out",
                    JoinFailure::Offline => "join failed: offline",
                });
            }
            RoomEvent::NickChanged { .. } => found.count("nick changed"),
            _ => {}
        }
    }

    fn outcome(&mut self, id: PostId, outcome: &PostOutcome, truth: &mut Truth, found: &mut Found) {
        let Some(post) = self.posts.get_mut(&id) else {
            return found.violate("S8", String::from("an outcome of no post"));
        };
        if post.resolved {
            found.violate("S8", format!("two outcomes of one post: {:?}", post.body));
            return;
        }
        post.resolved = true;
        let allowed = post.deadline.unwrap_or(DEADLINE);
        let took = found.now.since(post.asked);
        if !self.disturbed && took > allowed.saturating_add(Duration::from_secs(1)) {
            found.violate("L4", format!("an outcome after {took:?}: {:?}", post.body));
        }
        let Some(room) = truth.at(post.truth) else {
            return;
        };
        if let PostOutcome::Committed { id: Some(id), .. } = outcome {
            let item = room
                .place(id.as_str())
                .and_then(|place| room.items.get(place));
            if item.is_none_or(|item| item.body != post.body) {
                found.violate("S7", format!("{:?} is not at {id}", post.body));
            }
        }
        let Some(account) = room.accounts.get_mut(&post.body) else {
            return;
        };
        let count = |count: &mut u32| *count = count.saturating_add(1);
        found.count(match outcome {
            PostOutcome::Committed { .. } => {
                count(&mut account.committed);
                "post committed"
            }
            PostOutcome::Rejected(_) => {
                count(&mut account.denied);
                "post rejected"
            }
            PostOutcome::StreamKill { .. } => {
                count(&mut account.denied);
                "post killed a stream"
            }
            PostOutcome::NotSent(_) => {
                count(&mut account.denied);
                "post not sent"
            }
            PostOutcome::Unknown { .. } => "post unknown",
        });
        accuse(account, &post.body, found);
    }

    /// One [`Event::Offline`] for each transport: one may be missing, that of now.
    pub(super) fn settle_transports(&self, found: &mut Found) {
        if self.opened > self.offline.saturating_add(1) {
            let (opened, offline) = (self.opened, self.offline);
            found.violate(
                "S8",
                format!("{opened} transports, and only {offline} ends"),
            );
        }
    }
}

/// Says what is wrong about the posts of one text.
pub(super) fn accuse(account: &Account, body: &str, found: &mut Found) {
    if let Some((rule, what)) = account.verdict() {
        found.violate(rule, format!("{body:?} {what}"));
    }
}

/// Whether the server did not take the password.
const fn is_refusal(cause: &OfflineCause) -> bool {
    matches!(
        cause,
        OfflineCause::Auth(AuthFailure::Rejected {
            condition: SaslCondition::NotAuthorized,
            ..
        })
    )
}

/// Whether nothing but somebody's doing mends it.
fn is_for_good(cause: &OfflineCause) -> bool {
    match cause {
        OfflineCause::Transport(failure) => failure.kind == TransportFailureKind::Certificate,
        OfflineCause::StreamError { condition, .. } => !passes(*condition),
        OfflineCause::Auth(AuthFailure::Rejected { condition, .. }) => {
            *condition != SaslCondition::TemporaryAuthFailure
        }
        OfflineCause::Auth(_) => true,
        _ => false,
    }
}

/// Whether it passes by itself, as far as one can know.
const fn may_pass(cause: &OfflineCause) -> bool {
    matches!(
        cause,
        OfflineCause::Transport(_)
            | OfflineCause::TimedOut(_)
            | OfflineCause::PeerClosed
            | OfflineCause::Truncated
            | OfflineCause::StreamError { .. }
    )
}

/// The path that an end of a stream is.
const fn path_of(cause: &OfflineCause) -> &'static str {
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Connect => "offline: refused",
            TransportFailureKind::Tls => "offline: tls",
            TransportFailureKind::Certificate => "offline: certificate",
            _ => "offline: transport",
        },
        OfflineCause::TimedOut(_) => "offline: timed out",
        OfflineCause::PeerClosed => "offline: closed by the server",
        OfflineCause::Truncated => "offline: cut short",
        OfflineCause::StreamError { .. } => "offline: stream error",
        OfflineCause::Xml(_) => "offline: xml",
        OfflineCause::PeerMisbehaved(_) => "offline: server misbehaved",
        OfflineCause::PeerIncompatible(_) => "offline: server incompatible",
        OfflineCause::Auth(_) => "offline: login refused",
        OfflineCause::Bind(_) => "offline: bind refused",
        OfflineCause::Closed => "offline: asked",
        OfflineCause::Internal(_) => "offline: internal",
    }
}
