//! Posts of one room until their outcome is known.
//!
//! ```text
//! Queued --> Sent --> (outcome: reflected, refused)
//!   ^         |--> Doubt --> (outcome: found, or nobody can tell)
//!   |         |      +-----> Queued (not there, and nothing brings it there)
//!   |         +--> Displaced (we were not in the room) --> Queued, once in again
//! ```
//!
//! A post is resolved by its reflection (XEP-0045 v1.35.5 section 7.4), by an
//! error that names it, by its deadline, or by what the archive says after a break
//! ([`inquiry`](super::inquiry)). Which posts an ended session may have delivered is
//! decided by the numbers of their stanzas: from some number on none was ever
//! handled, be it that no transport had it whole or that the server counts fewer
//! (XEP-0198 v1.6.3, section 5). Whenever a post is sent again it is the same, byte
//! by byte.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use super::inquiry::Inquiry;
use super::recent::Recent;
use super::search::{Search, Seen};
use crate::command::OnDoubt;
use crate::cx::Cx;
use crate::error::{Condition, StanzaError, StreamCondition};
use crate::event::{Event, NotSent, PostOutcome, Via};
use crate::ids::{ArchiveId, Cursor, Label, PostId, RoomId};
use crate::jid::BareJid;
use crate::planted::{Bug, planted};
use crate::stanza::message::{self, Draft};
use crate::time::{Instant, Timer};
use crate::token::{PostToken, Whose};

/// So often a post is sent again after the room said that we were not in it.
const DISPLACEMENTS: u8 = 3;

/// A place of the archive that is older is asked for anew when we come in: archives let go
/// of what is old, and a post behind a place that is gone cannot be looked for.
const STALE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct Outbox {
    pub(super) id: RoomId,
    pub(super) room: BareJid,
    /// The room is at our own server: see [`Config::own_services`](crate::Config::own_services).
    pub(super) near: bool,
    /// In the order of the calls, which is the order on the wire.
    pub(super) posts: VecDeque<Pending>,
    /// Ids of posts of this engine, to know its own messages by.
    own: Recent<String>,
    /// The address that the session has which posts are sent in.
    bound: Option<Box<str>>,
    /// The largest stanza that the server takes.
    limit: usize,
    /// What is sent now may be kept by no archive: the room has none, as it said last, or changed
    /// since and has not said what it is.
    pub(super) unkept: bool,
    pub(super) anchor: Anchor,
    pub(super) inquiry: Inquiry,
}

/// The newest place of the archive that is known: what is sent now comes after it.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    place: Option<Cursor>,
    /// Counts the places, which are opaque, so that of two the older can be told.
    serial: u64,
    /// When it was told.
    since: Instant,
    /// It is worth a question: [`Config::anchor_at_join`](crate::Config::anchor_at_join).
    pub(super) wanted: bool,
    /// Where the archive ends was asked, under this number, and after so many places.
    pub(super) asked: Option<(u64, Search)>,
    /// What is posted waits for the answer: it comes with that to the join, or soon.
    pub(super) awaited: bool,
    pub(super) asked_after: u64,
}

/// A post to be queued, found fit to be sent.
#[derive(Debug)]
pub(crate) struct Fit {
    pub(crate) draft: Draft,
    /// Bytes of its stanza.
    pub(crate) size: usize,
    pub(crate) deadline: Option<Duration>,
    pub(crate) ordered: bool,
    pub(crate) on_doubt: OnDoubt,
    /// The id that was drawn for it before.
    pub(crate) origin_id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: PostId,
    pub(super) origin_id: String,
    draft: Draft,
    size: usize,
    pub(super) ordered: bool,
    pub(super) on_doubt: OnDoubt,
    pub(super) state: State,
    /// How it was sent, once it was.
    pub(super) sent: Option<Sent>,
    /// It is not known of each time that it was sent that it came to nothing.
    pub(super) tainted: bool,
    /// The archive has a message of its id that cannot be told to be ours: it was said.
    pub(super) copied: bool,
    /// It is sent again although what was sent before may be there, or get there.
    pub(super) doubled: bool,
    displaced: u8,
    /// So many sessions in a row ended with this as the first in flight.
    pub(super) endings: u8,
    /// The stream ended over something in flight, and this was among so many. Without a
    /// condition: one stream after the other, whatever was said.
    pub(super) suspect: Option<(Option<StreamCondition>, u32)>,
}

/// How a post was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The last place known when it was sent first, and its serial.
    pub(super) anchor: Option<(u64, Cursor)>,
    /// The archive may not have kept it: that it is not there proves nothing. The room had none
    /// while the post was under way; or it was made anew since, and nothing in its archive tells
    /// whether that began anew as well.
    pub(super) unkept: bool,
    nick: String,
    occupant_id: Option<String>,
    /// When it was sent last.
    at: Instant,
}

#[derive(Debug)]
pub(super) enum State {
    /// It is to be sent, and nothing sent before can still bring it there.
    Queued,
    /// It was written, as the stanza of this number.
    Sent {
        number: u64,
        /// A later post came to the room already.
        overtaken: bool,
    },
    /// The session or stay in the room that it was sent in is over.
    Doubt {
        /// What was sent then cannot arrive any more, if the room is near.
        fenced: bool,
        /// A later post is in the room, so that sent again it would be out of order.
        overtaken: bool,
    },
    /// The room refused it because we were not in: it is sent again once we are.
    Displaced { number: u64, error: StanzaError },
}

/// Who we are in the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us<'a> {
    pub(crate) nick: &'a str,
    pub(crate) occupant_id: Option<&'a str>,
}

impl Outbox {
    pub(crate) fn new(id: RoomId, room: BareJid, near: bool, remembered: usize) -> Self {
        Self {
            id,
            room,
            near,
            posts: VecDeque::new(),
            own: Recent::new(remembered),
            bound: None,
            limit: usize::MAX,
            unkept: false,
            anchor: Anchor::default(),
            inquiry: Inquiry::Idle,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    /// How many bytes it holds, the posts themselves not counted: they are the host's.
    pub(crate) fn held(&self) -> usize {
        let anchor = self.anchor.asked.as_ref().map(|(_, search)| search.held());
        let inquiry = match &self.inquiry {
            Inquiry::Reading { search, .. } => search.held(),
            Inquiry::Idle | Inquiry::Waiting(_) => 0,
        };
        let own = self.own.held(|id| id.len().saturating_mul(2));
        own.saturating_add(anchor.unwrap_or(0))
            .saturating_add(inquiry)
    }

    /// Asks with the first join where the archive ends.
    pub(crate) const fn want_anchor(&mut self, wanted: bool) {
        self.anchor.wanted = wanted;
    }

    /// Queues a post.
    pub(crate) fn push(&mut self, cx: &mut Cx<'_>, id: PostId, post: Fit) {
        let origin_id = post.origin_id;
        let origin_id = origin_id.unwrap_or_else(|| cx.ids.token(Label::OriginId));
        self.own.insert(origin_id.clone());
        if !planted(Bug::NoDeadline) {
            let wrong = planted(Bug::DeadlineWraps) && cx.now.as_micros() > 1 << 31;
            let deadline = post.deadline.unwrap_or(cx.timing.post);
            cx.arm(
                Timer::Post,
                id.0,
                deadline.saturating_mul(if wrong { 2 } else { 1 }),
            );
        }
        self.posts.push_back(Pending {
            id,
            origin_id,
            draft: post.draft,
            size: post.size,
            ordered: post.ordered,
            on_doubt: post.on_doubt,
            state: State::Queued,
            sent: None,
            tainted: false,
            copied: false,
            doubled: false,
            displaced: 0,
            endings: 0,
            suspect: None,
        });
    }

    /// What a post that is yet to be made can be found by.
    pub(super) fn prepare(&self, cx: &mut Cx<'_>, us: Us<'_>) -> PostToken {
        PostToken {
            room: self.room.clone(),
            origin_id: cx.ids.token(Label::OriginId),
            anchor: self.anchor.now().map(|(_, place)| place),
            unkept: self.unkept,
            nick: us.nick.into(),
            occupant_id: us.occupant_id.map(Into::into),
        }
    }

    /// Writes what is not written yet, in order, as far as there is room. What is to
    /// stay in order waits while something before it is in doubt.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>, us: Us<'_>) {
        let mut held = false;
        let awaits_anchor = self.awaits_anchor(cx.now);
        for post in &mut self.posts {
            match post.state {
                State::Doubt { .. } | State::Displaced { .. } => held = true,
                State::Sent { .. } => {}
                State::Queued if held && post.ordered => {}
                // Without it nobody could say later where to look for the post.
                State::Queued if awaits_anchor && post.sent.is_none() => held = true,
                State::Queued => {
                    if cx.out.waiting().len() >= cx.limits.write_bytes || cx.out.is_full() {
                        break;
                    }
                    let number = cx.out.stanza(|w| {
                        message::write_post(w, self.room.as_str(), &post.origin_id, &post.draft);
                    });
                    cx.out.urge();
                    post.state = State::Sent {
                        number,
                        overtaken: false,
                    };
                    let (anchor, unkept) = match post.sent.take() {
                        // Of all the times it was sent the first counts.
                        Some(sent) => (sent.anchor, sent.unkept),
                        None => (self.anchor.now(), false),
                    };
                    post.sent = Some(Sent {
                        anchor,
                        unkept: unkept || self.unkept,
                        nick: us.nick.into(),
                        occupant_id: us.occupant_id.map(Into::into),
                        at: cx.now,
                    });
                }
            }
        }
    }

    /// Whether what is posted first waits for the place that it can be found behind.
    pub(super) fn awaits_anchor(&self, now: Instant) -> bool {
        let anchor = &self.anchor;
        anchor.awaited && anchor.asked.is_some() && !anchor.is_fresh(now)
    }

    /// When the oldest post was sent that neither came back nor was refused, of those
    /// that were sent after this.
    pub(super) fn awaits_since(&self, after: Instant) -> Option<Instant> {
        let sent = self
            .posts
            .iter()
            .filter(|post| matches!(post.state, State::Sent { .. }));
        let at = sent.filter_map(|post| post.sent.as_ref().map(|sent| sent.at));
        at.filter(|at| *at >= after).min()
    }

    /// Whether a message with this id is of this engine's making.
    pub(crate) fn is_own(&self, origin_id: &str) -> bool {
        self.own.contains(origin_id)
    }

    /// The room said something, at this place of its archive.
    pub(crate) fn heard(&mut self, at: &ArchiveId, now: Instant) {
        self.anchor.set(Cursor::After(at.clone()), now);
    }

    /// The room sent a post back: it is accepted and ordered.
    pub(crate) fn reflected(
        &mut self,
        cx: &mut Cx<'_>,
        ids: [Option<&str>; 2],
        at: Option<ArchiveId>,
    ) {
        let Some((index, post)) = self.take_sent(|origin_id| ids.contains(&Some(origin_id))) else {
            return;
        };
        if let State::Sent { number, .. } = post.state {
            self.prove_inside(cx, number);
        }
        let via = Via::Reflection;
        resolve(cx, post.id, PostOutcome::Committed { id: at, via });
        self.overtake(index);
    }

    /// A post of this number came to the room: we were in it, so that what was
    /// written before was refused for another reason.
    pub(crate) fn prove_inside(&mut self, cx: &mut Cx<'_>, reached: u64) {
        let mut at = 0;
        while let Some(post) = self.posts.get(at) {
            match &post.state {
                State::Displaced { number, error } if *number < reached => {
                    let outcome = self.rejected(post, error.clone());
                    resolve(cx, post.id, outcome);
                    self.posts.remove(at);
                }
                _ => at = at.saturating_add(1),
            }
        }
    }

    /// A post is in the room that was behind the first `index` of these.
    pub(super) fn overtake(&mut self, index: usize) {
        for post in self.posts.iter_mut().take(index) {
            if let State::Sent { overtaken, .. } | State::Doubt { overtaken, .. } = &mut post.state
            {
                *overtaken = true;
            }
        }
    }

    /// The room refused the post with this id.
    pub(crate) fn refused(&mut self, cx: &mut Cx<'_>, id: &str, error: StanzaError) {
        let Some((index, mut post)) = self.take_sent(|origin_id| origin_id == id) else {
            return;
        };
        let outcome = match error.condition {
            // XEP-0045 section 7.4: "If the sender is not an occupant of the room, the
            // service SHOULD return a <not-acceptable/> error to the sender and SHOULD
            // NOT reflect the message". What it returns is not there.
            Condition::NotAcceptable if post.displaced < DISPLACEMENTS => {
                post.displaced = post.displaced.saturating_add(1);
                post.state = match post.state {
                    State::Sent { number, .. } => State::Displaced { number, error },
                    // It was sent before we came in again.
                    _ => State::Queued,
                };
                self.posts.insert(index, post);
                return;
            }
            _ => self.rejected(&post, error),
        };
        resolve(cx, post.id, outcome);
    }

    /// What it means that a post is refused: that it is not there, unless it may be all the
    /// same.
    fn rejected(&self, post: &Pending, error: StanzaError) -> PostOutcome {
        let by_the_way = match error.condition {
            // Said by our own server about the room's: it may have arrived.
            Condition::RemoteServerTimeout => true,
            // Prosody sends back with this what it gave to a stream to another server that
            // ended before it was acknowledged (XEP-0198 between servers).
            Condition::RecipientUnavailable | Condition::RemoteServerNotFound => !self.near,
            _ => false,
        };
        if by_the_way || post.doubled {
            return self.unknown(post);
        }
        PostOutcome::Rejected(error)
    }

    /// The archive shows this message at this place, whoever asked for it: a post that is
    /// open is committed by that. Says whether there was one.
    pub(super) fn archived(&mut self, cx: &mut Cx<'_>, seen: &Seen<'_>, at: ArchiveId) -> bool {
        let mut posts = self.posts.iter();
        let post = posts.find(|post| post.whose(seen) == Some(Whose::Ours));
        let Some(origin_id) = post.map(|post| post.origin_id.clone()) else {
            return false;
        };
        self.found(cx, &origin_id, at);
        self.stop_if_settled(cx);
        true
    }

    /// We are in the room, at first or again: what was refused because we were not
    /// is sent again.
    pub(super) fn replace(&mut self) {
        for post in &mut self.posts {
            if matches!(post.state, State::Displaced { .. }) {
                post.state = State::Queued;
            }
        }
    }

    /// We are in the room: what it answered of what was sent before we asked to come in has
    /// come by now (RFC 6120, section 10.1), and nothing more of that will.
    pub(super) fn doubt_unanswered(&mut self) {
        for post in &mut self.posts {
            if let State::Sent { overtaken, .. } = post.state {
                post.tainted = true;
                post.state = State::Doubt {
                    fenced: true,
                    overtaken,
                };
            }
        }
    }

    fn take_sent(&mut self, is_it: impl Fn(&str) -> bool) -> Option<(usize, Pending)> {
        let at = self.posts.iter().position(|post| {
            let open = matches!(post.state, State::Sent { .. } | State::Doubt { .. });
            // What is to be sent again may have come all the same.
            (open || post.tainted) && is_it(&post.origin_id)
        })?;
        Some((at, self.posts.remove(at)?))
    }

    /// The deadline of a post came. Says whether there was such a post.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, id: PostId) -> bool {
        let Some(at) = self.posts.iter().position(|post| post.id == id) else {
            return false;
        };
        if let Some(post) = self.posts.remove(at) {
            self.abandon(cx, post, NotSent::Deadline);
            self.stop_if_settled(cx);
        }
        true
    }

    /// Nothing more is done for a post.
    fn abandon(&self, cx: &mut Cx<'_>, post: Pending, why: NotSent) {
        let outcome = match &post.state {
            State::Queued if !post.tainted => PostOutcome::NotSent(why),
            State::Displaced { error, .. } => self.rejected(&post, error.clone()),
            // What is written cannot be taken back, even if it still waits here.
            _ => self.unknown(&post),
        };
        resolve(cx, post.id, outcome);
    }

    pub(super) fn unknown(&self, post: &Pending) -> PostOutcome {
        let sent = post.sent.clone();
        let (anchor, unkept, nick, occupant_id) = sent.map_or_else(Default::default, |sent| {
            (sent.anchor, sent.unkept, sent.nick, sent.occupant_id)
        });
        PostOutcome::Unknown {
            token: Box::new(PostToken {
                room: self.room.clone(),
                origin_id: post.origin_id.clone(),
                anchor: anchor.map(|(_, place)| place),
                unkept,
                nick,
                occupant_id,
            }),
        }
    }

    /// A session begins, bound to this address; the server takes stanzas so large.
    ///
    /// To bind the resource that the session before had makes the server end what is
    /// left of it, so that nothing of it arrives any more. If the server gives another
    /// one, the old session may live on.
    pub(crate) fn session_began(&mut self, cx: &mut Cx<'_>, address: &str, limit: usize) {
        let same = self.bound.as_deref().is_none_or(|bound| bound == address);
        if !same {
            for post in &mut self.posts {
                if let State::Doubt { fenced, .. } = &mut post.state {
                    *fenced = false;
                }
            }
        }
        self.bound = Some(address.into());
        self.shrink(cx, limit);
    }

    /// The server takes stanzas so large: what is larger and waits is not sent.
    pub(crate) fn shrink(&mut self, cx: &mut Cx<'_>, limit: usize) {
        self.limit = limit;
        self.drop_too_large(cx);
    }

    pub(super) fn drop_too_large(&mut self, cx: &mut Cx<'_>) {
        let mut at = 0;
        while let Some(post) = self.posts.get(at) {
            if matches!(post.state, State::Queued) && post.size > self.limit {
                if let Some(post) = self.posts.remove(at) {
                    self.abandon(cx, post, NotSent::TooLarge);
                }
            } else {
                at = at.saturating_add(1);
            }
        }
    }

    /// Nothing will be sent any more.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, why: NotSent) {
        self.stop(cx);
        self.withdraw_anchor(cx);
        for post in core::mem::take(&mut self.posts) {
            self.abandon(cx, post, why);
        }
    }
}

impl Anchor {
    pub(super) fn set(&mut self, place: Cursor, now: Instant) {
        self.place = Some(place);
        self.serial = self.serial.saturating_add(1);
        self.since = now;
    }

    /// Whether it is known, and not so old that it may be gone.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.place.is_some() && now.since(self.since) < STALE
    }

    /// How many places were told.
    pub(super) const fn told(&self) -> u64 {
        self.serial
    }

    fn now(&self) -> Option<(u64, Cursor)> {
        Some((self.serial, self.place.clone()?))
    }
}

impl Pending {
    /// Whose a message is, if it has the id of this post: by the occupant-id, which lasts
    /// (XEP-0421), and without one by the nick, which may be another by the time that a post is
    /// there.
    pub(super) fn whose(&self, seen: &Seen<'_>) -> Option<Whose> {
        let sent = self.sent.as_ref()?;
        let us = (sent.nick.as_str(), sent.occupant_id.as_deref());
        (seen.origin_id == self.origin_id)
            .then(|| Whose::between(us, (seen.nick, seen.occupant_id)))
    }
}

pub(super) fn resolve(cx: &mut Cx<'_>, id: PostId, outcome: PostOutcome) {
    let outcome = match outcome {
        PostOutcome::Unknown { .. } if planted(Bug::NotSentThoughSent) => {
            PostOutcome::NotSent(NotSent::Offline)
        }
        PostOutcome::Unknown { .. } if planted(Bug::UnknownIsCommitted) => {
            let via = Via::Reflection;
            PostOutcome::Committed { id: None, via }
        }
        outcome => outcome,
    };
    if planted(Bug::OutcomeTwice) {
        let outcome = outcome.clone();
        cx.tell(Event::Post { id, outcome });
    }
    cx.disarm(Timer::Post, id.0);
    cx.tell(Event::Post { id, outcome });
}
