//! A host as its oracle sees it: what it asked for and what it was told.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::found::Found;
use super::reading::{Follow, Reading};
use super::scan::Looked;
use super::trouble::Trouble;
use super::truth::{Account, Truth};
use super::verdicts::{self, LastHour, Past, Standing};
use super::wire::{Learnt, Managed};
use super::{ATTEMPTS, BYTES_AT_ONCE, CLOSING, TOLD_AT_ONCE};
use crate::sim::happening::{LinkId, Request};
use crate::{
    Entry, Event, FetchEvent, Instant, JoinFailure, LeaveCause, Limits, Message, Nick,
    OfflineCause, PostId, PostOutcome, QueryId, Retry, RoomEvent, RoomId, SubscriptionId, Timer,
    TransportFailureKind,
};

#[derive(Debug, Default)]
pub(super) struct Host {
    /// Its name, without the domain.
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
    /// When it was online last in a session of its own.
    began: Instant,
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
    /// What it did at one instant.
    at_once: (Instant, u32, usize),
}

/// A room that a host asked to join.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) name: String,
    /// The nick that was suggested.
    nick: String,
    pub(super) truth: usize,
    pub(super) asked: Instant,
    /// How far its host's clock was ahead then.
    ahead: Duration,
    pub(super) joined: bool,
    entries: u32,
    /// The nick was not only suggested.
    chosen: bool,
    /// It asked to leave.
    leaving: bool,
    kicks: LastHour,
    /// So many of them are answered by coming back.
    forgiven: u32,
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

/// And their outcomes may take that long to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

impl Membership {
    const fn standing(&self, trying: Duration, over: bool, disturbed: bool) -> Standing {
        Standing {
            entered: self.entries > 0,
            over,
            kicks: 0,
            forgiven: self.forgiven,
            chosen: self.chosen,
            trying,
            disturbed,
        }
    }
}

impl Posted {
    /// How long after it was asked for its outcome may be told at the latest.
    fn allowed(&self) -> Duration {
        self.deadline
            .unwrap_or(DEADLINE)
            .saturating_add(TOLD_WITHIN)
    }
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

    pub(super) fn opening(&mut self, link: LinkId, found: &mut Found) {
        self.link = Some(link);
        self.opened = self.opened.saturating_add(1);
        self.next_attempt = None;
        self.deceived = false;
        self.heard_at = None;
        self.trouble.opens(found.now);
        if self.rests {
            found.violate("L5", String::from("connects although it was to stay away"));
        }
        if self.closed {
            found.violate("S8", String::from("connects although it is closed"));
        }
        if !core::mem::take(&mut self.asked_to_connect) {
            self.attempts(found);
        }
    }

    /// It connects by itself, once more (L6). Its clock decides, which may have leapt.
    fn attempts(&mut self, found: &mut Found) {
        let now = found.now.plus(self.trouble.ahead);
        let hour = self.attempts.add(now);
        let minute = self.attempts.within(Duration::from_secs(60), now);
        let budget = usize::try_from(Limits::default().attempts_per_hour).unwrap_or(usize::MAX);
        if minute > ATTEMPTS || hour > budget {
            let what = format!("connects {minute} times in a minute, {hour} in an hour");
            found.violate("L6", what);
            self.attempts.clear();
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
                    ahead: self.trouble.ahead,
                    joined: false,
                    entries: 0,
                    chosen: matches!(join.nick, Nick::Chosen(_)),
                    leaving: false,
                    kicks: LastHour::default(),
                    forgiven: join.kicks.unwrap_or(Limits::default().kicks),
                    dead: false,
                };
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
            Event::Online { jid, login } => {
                self.jid = jid.to_string();
                if !login.resumed {
                    self.began = found.now;
                }
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
                if let Some(archive) = truth.at(follow.room) {
                    follow.entry(archive, entry, &self.jid, found);
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

    /// Time has passed, or its process dies: judges what is late by now (L4, L9).
    pub(super) fn overdue(&mut self, found: &mut Found) {
        let now = found.now;
        let due = |post: &Posted| self.trouble.excused(post.asked.plus(post.allowed()));
        let late = |post: &&Posted| !post.resolved && now > due(post);
        for post in self.posts.values().filter(late) {
            let account = &self.account;
            found.violate(
                "L4",
                format!("{account}: a post without an outcome: {post:?}"),
            );
        }
        self.close_in_time(found);
    }

    /// Who was told to close is closed in time (L9).
    pub(super) fn close_in_time(&mut self, found: &mut Found) {
        if let Some(closing) = self.closing
            && !self.closed
            && !self.slow_to_close
            && found.now > self.trouble.excused(closing.plus(CLOSING))
        {
            self.slow_to_close = true;
            found.violate("L9", format!("{} does not end", self.account));
        }
    }

    /// Something holds up those subscriptions that follow a room, or all.
    pub(super) fn disturb(&mut self, room: Option<usize>, truth: &Truth, found: &mut Found) {
        let peace = self.trouble.peace().max(truth.honest_since());
        let follows = self.follows.values_mut();
        for follow in follows.filter(|follow| room.is_none_or(|room| room == follow.room)) {
            if let Some(room) = truth.rooms.get(follow.room) {
                follow.disturbed(room, peace, found);
            }
        }
    }

    fn came_online(&mut self, found: &mut Found) {
        found.count("online");
        self.onlines = self.onlines.saturating_add(1);
        if self.online {
            found.violate("S8", String::from("online twice"));
        }
        // Who is told late may have been deceived since; what its engine does about that is
        // judged all the same.
        let told_late = self.trouble.excused(Instant::ZERO) >= found.now;
        if self.deceived && !told_late {
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
        // Who was not told for a while has opened more by now.
        let told_late = self.trouble.excused(Instant::ZERO) >= found.now;
        if (self.offline > self.opened || told_late) && unopened.contains(cause) {
            // It stood still for so long that it never got round to opening it, or was
            // told to end before it could.
            self.unopened = self.unopened.saturating_add(1);
        }
        if self.offline > self.opened.saturating_add(self.unopened) {
            found.violate("S8", String::from("offline twice for one transport"));
        }
        found.count(path_of(cause));
        self.rests = retry == Retry::Never;
        let breaches = if verdicts::is_breach(cause) {
            self.breaches.add(found.now.plus(self.trouble.ahead))
        } else {
            0
        };
        let past = Past {
            trusted: self.proven && !self.refused,
            breaches,
            closing: self.closing.is_some(),
        };
        if let Some((rule, what)) = verdicts::of_stream(cause, past).broken_by(retry) {
            found.violate(rule, format!("{what} after {cause:?}"));
        }
        if let OfflineCause::Internal(what) = cause {
            found.violate("S14", format!("a mistake of its own: {what}"));
        }
        let refused = verdicts::is_refusal(cause);
        match retry {
            Retry::At(at) => {
                let wait = at.since(found.now.plus(self.trouble.ahead));
                self.next_attempt = Some(found.now.plus(wait));
                self.refused |= refused;
                if wait > verdicts::patience(cause) {
                    found.violate("L1", format!("waits for {wait:?} after {cause:?}"));
                }
            }
            Retry::Never => {
                self.proven &= !refused;
                found.count("stays away");
            }
        }
    }

    fn room(&mut self, id: RoomId, event: &RoomEvent, truth: &Truth, found: &mut Found) {
        let now = found.now;
        let clock = now.plus(self.trouble.ahead);
        let disturbed = self.trouble.is_disturbed(now);
        let over = self.rests || self.closing.is_some();
        let account = self.account.as_str();
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
                let mut standing = room.standing(Duration::ZERO, over, disturbed);
                if matches!(cause, LeaveCause::Kicked { .. }) {
                    standing.kicks = room.kicks.add(clock);
                }
                let verdict = verdicts::of_removal(cause, standing);
                if let Some((rule, what)) = verdict.broken_by(*retry) {
                    found.violate(rule, format!("{what} {} after {cause:?}", room.name));
                }
                let behind = verdicts::behind_removal(cause);
                let unasked = *cause == LeaveCause::Asked && !room.leaving && !over;
                if unasked || behind.is_some_and(|deed| !truth.did(room.truth, account, deed)) {
                    found.violate("L1", format!("not what {} did: {cause:?}", room.name));
                }
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
                // By its own clock, which may have leapt since.
                let leapt = self.trouble.ahead.saturating_sub(room.ahead);
                let trying = now.since(self.began.max(room.asked)).saturating_add(leapt);
                let standing = room.standing(trying, over, disturbed);
                let verdict = verdicts::of_refusal(error, standing);
                if let Some((rule, what)) = verdict.broken_by(*retry) {
                    found.violate(rule, format!("{what} {} after {error:?}", room.name));
                }
                let behind = verdicts::behind_refusal(error);
                if behind.is_some_and(|deed| !truth.did(room.truth, account, deed)) {
                    found.violate("L1", format!("not what {} did: {error:?}", room.name));
                }
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
        let due = self.trouble.excused(post.asked.plus(post.allowed()));
        if found.now > due {
            let took = found.now.since(post.asked);
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

/// The path that an end of a stream is.
const fn path_of(cause: &OfflineCause) -> &'static str {
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Resolve => "offline: not resolved",
            TransportFailureKind::Connect => "offline: refused",
            TransportFailureKind::Tls => "offline: tls",
            TransportFailureKind::Certificate => "offline: certificate",
            _ => "offline: transport",
        },
        OfflineCause::TimedOut(Timer::Connect) => "offline: not answered",
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
