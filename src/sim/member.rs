//! The standard bot: an occupant that follows its rooms, says what it is told to,
//! and goes on where it stood after whatever happens. Also an example of a bot.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt::Write as _;
use core::time::Duration;

use crate::jid::BareJid;
use crate::sim::bot::Bot;
use crate::sim::plan::Order;
use crate::sim::world::Hands;
use crate::{
    Bookmark, Entry, Event, Fetch, JoinFailure, JoinRoom, LeaveCause, Nick, Post, PostError, Retry,
    RoomEvent, RoomId, Start, SubscriptionId,
};

/// How many messages it takes before it grants more.
const PORTION: u32 = 16;

/// How long it stays away from a room that put it out.
const SULK: Duration = Duration::from_secs(5);

/// So many posts wait until it is in their room; more are not made.
const WAITING: usize = 64;

/// The name under which the list of its rooms is kept.
const ROOMS: &str = "rooms";

/// The standard bot.
///
/// It does what it is [ordered](Order) to. What survives its process is the list of its
/// rooms and, for each that it follows, the [`Bookmark`] of what it was given; a new
/// process joins the rooms again and follows from there. It rejoins rooms that put
/// it out, unless they refuse it, and grants messages in portions. What it is to post
/// where it is not in waits until it is, if it does not wait for too much by then; a
/// process that dies takes that with it.
///
/// ```
/// use parley_xmpp::sim::{Bot, Member};
///
/// let bot: Box<dyn Bot> = Box::new(Member::new("ana"));
/// ```
#[derive(Debug)]
pub struct Member {
    nick: String,
    /// It goes by that nick and by no other.
    insists: bool,
    rooms: BTreeMap<String, Membership>,
    /// What it is to post in rooms that it is not in.
    waiting: VecDeque<(String, String)>,
    /// It was told to end.
    closed: bool,
}

/// How it stands with a room.
#[derive(Debug, Default)]
struct Membership {
    /// It wants what is said there.
    follows: bool,
    id: Option<RoomId>,
    subscription: Option<SubscriptionId>,
    /// Messages it can be given before it grants more.
    credit: u32,
    /// What it was given.
    bookmark: Bookmark,
}

impl Member {
    /// A bot that goes by this nick, or one like it.
    #[must_use]
    pub fn new(nick: &str) -> Self {
        Self {
            nick: nick.into(),
            insists: false,
            rooms: BTreeMap::new(),
            waiting: VecDeque::new(),
            closed: false,
        }
    }

    /// The same, by that nick and no other: where somebody else has it, it waits and
    /// tries again.
    #[must_use]
    pub fn insisting(mut self) -> Self {
        self.insists = true;
        self
    }

    /// Joins the rooms it wants to be in and is not, and follows those it wants to.
    fn ensure(&mut self, hands: &mut Hands<'_>) {
        if self.closed {
            return;
        }
        for (address, membership) in &mut self.rooms {
            if membership.id.is_none() {
                membership.subscription = None;
                let Ok(jid) = BareJid::parse(address) else {
                    continue;
                };
                let nick = self.nick.clone();
                let nick = if self.insists {
                    Nick::Chosen(nick)
                } else {
                    Nick::Suggested(nick)
                };
                let join = JoinRoom::new(jid, nick);
                // Refused where no stream is coming: it asks again once there is one.
                membership.id = hands.join(&join).ok();
            }
            let Some(room) = membership.id else { continue };
            if membership.follows && membership.subscription.is_none() {
                let kept = hands.kept(&bookmark_name(address));
                let kept = kept.and_then(|text| Bookmark::parse(text).ok());
                membership.bookmark = kept.unwrap_or_default();
                let start = match membership.bookmark.cursor() {
                    Some(_) => Start::Bookmark(membership.bookmark.clone()),
                    None => Start::Now,
                };
                membership.credit = PORTION;
                membership.subscription = hands.subscribe(room, &start, PORTION).ok();
            }
        }
        self.say_what_waits(hands);
    }

    /// Posts what waited for a room that it is in by now, in order.
    fn say_what_waits(&mut self, hands: &mut Hands<'_>) {
        for (room, text) in core::mem::take(&mut self.waiting) {
            self.post(hands, room, text);
        }
    }

    /// Posts a text, now or when it is in the room.
    fn post(&mut self, hands: &mut Hands<'_>, room: String, text: String) {
        // Where it is not in, it has nobody to say it to.
        let id = self.rooms.get(&room).and_then(|membership| membership.id);
        let posted = match id {
            Some(id) => hands.post(id, &Post::new(&text)) != Err(PostError::UnknownRoom),
            None => false,
        };
        if !posted && self.waiting.len() < WAITING {
            self.waiting.push_back((room, text));
        }
    }

    /// Keeps the list of its rooms.
    fn keep(&self, hands: &mut Hands<'_>) {
        let mut list = String::new();
        for (address, membership) in &self.rooms {
            let wish = if membership.follows { "follow" } else { "stay" };
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{wish} {address}");
        }
        hands.keep(ROOMS, &list);
    }

    fn room_of(&mut self, id: RoomId) -> Option<(&String, &mut Membership)> {
        self.rooms.iter_mut().find(|(_, m)| m.id == Some(id))
    }

    fn on_room(&mut self, hands: &mut Hands<'_>, id: RoomId, event: &RoomEvent) {
        let refused = match event {
            RoomEvent::JoinFailed {
                error,
                retry: Retry::Never,
            } => matches!(
                error,
                JoinFailure::Refused(_) | JoinFailure::PutOut(LeaveCause::Banned { .. })
            ),
            RoomEvent::Left {
                cause,
                retry: Retry::Never,
            } => matches!(cause, LeaveCause::Banned { .. }),
            _ => return,
        };
        let Some((address, membership)) = self.room_of(id) else {
            return;
        };
        membership.id = None;
        membership.subscription = None;
        if refused {
            let address = address.clone();
            self.rooms.remove(&address);
            self.keep(hands);
        } else {
            hands.wake_after(SULK);
        }
    }

    fn on_entry(&mut self, hands: &mut Hands<'_>, id: SubscriptionId, entry: &Entry) {
        let found = self
            .rooms
            .iter_mut()
            .find(|(_, m)| m.subscription == Some(id));
        let Some((address, membership)) = found else {
            return;
        };
        match entry {
            Entry::Message(_) | Entry::Late(_) => {
                membership.credit = membership.credit.saturating_sub(1);
            }
            Entry::CaughtUp { .. } | Entry::Confirmed { .. } | Entry::Gap { .. } => {}
            Entry::Ended => membership.subscription = None,
        }
        if membership.bookmark.take(entry) {
            hands.keep(&bookmark_name(address), &membership.bookmark.to_string());
        }
        if membership.credit == 0 && membership.subscription.is_some() {
            membership.credit = PORTION;
            hands.grant(id, PORTION);
        }
    }
}

fn bookmark_name(address: &str) -> String {
    format!("bookmark {address}")
}

impl Bot for Member {
    fn started(&mut self, hands: &mut Hands<'_>) {
        let kept = String::from(hands.kept(ROOMS).unwrap_or_default());
        for line in kept.lines() {
            if let Some((wish, address)) = line.split_once(' ') {
                let membership = Membership {
                    follows: wish == "follow",
                    ..Membership::default()
                };
                self.rooms.insert(address.into(), membership);
            }
        }
        self.ensure(hands);
    }

    fn told(&mut self, hands: &mut Hands<'_>, event: Event) {
        match event {
            Event::Online { .. } => self.ensure(hands),
            Event::Room { room, event } => self.on_room(hands, room, &event),
            Event::Entry {
                subscription,
                entry,
            } => self.on_entry(hands, subscription, &entry),
            _ => {}
        }
    }

    fn ordered(&mut self, hands: &mut Hands<'_>, order: &Order) {
        match order {
            Order::Join(room) => {
                self.rooms.entry(room.clone()).or_default();
                self.keep(hands);
            }
            Order::Follow(room) => {
                if let Some(membership) = self.rooms.get_mut(room) {
                    membership.follows = true;
                    self.keep(hands);
                }
            }
            Order::FollowNow(room) => {
                if let Some(membership) = self.rooms.get_mut(room)
                    && let Some(id) = membership.id
                    && membership.subscription.is_none()
                {
                    membership.follows = true;
                    membership.credit = PORTION;
                    membership.subscription = hands.subscribe(id, &Start::Now, PORTION).ok();
                    self.keep(hands);
                }
            }
            Order::Unfollow(room) => {
                if let Some(membership) = self.rooms.get_mut(room) {
                    membership.follows = false;
                    if let Some(subscription) = membership.subscription.take() {
                        hands.unsubscribe(subscription);
                    }
                    self.keep(hands);
                }
            }
            Order::Leave(room) => {
                if let Some(id) = self.rooms.remove(room).and_then(|m| m.id) {
                    hands.leave(id);
                }
                self.keep(hands);
            }
            Order::Post(room, text) => {
                self.post(hands, room.clone(), text.clone());
            }
            Order::Fetch(room, limit) => {
                if let Some(id) = self.rooms.get(room).and_then(|m| m.id) {
                    let kept = hands.kept(&bookmark_name(room));
                    let kept = kept.and_then(|text| Bookmark::parse(text).ok());
                    let kept = kept.and_then(|bookmark| bookmark.cursor().cloned());
                    let fetch = kept.map_or_else(
                        || Fetch::newest(*limit),
                        |cursor| Fetch::since(cursor, *limit),
                    );
                    let _ = hands.fetch(id, &fetch);
                }
            }
            Order::Reconnect => hands.reconnect(),
            Order::Close => {
                self.closed = true;
                hands.close();
            }
        }
        self.ensure(hands);
    }

    fn woken(&mut self, hands: &mut Hands<'_>) {
        self.ensure(hands);
    }
}
