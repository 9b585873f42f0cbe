//! The oracle, fed by hand: what all tests of it need.

mod gaps;
mod requests;
mod time;
mod told;
mod wire;

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec;

use super::wire::Learnt;
use super::*;
use crate::jid::{BareJid, Jid};
use crate::sim::happening::Request;
use crate::sim::server::ConnectionId;
use crate::{
    ArchiveId, AuthFailure, Cursor, Entry, Event, Fetch, FetchEvent, JoinRoom, Message, Nick,
    OfflineCause, Post, PostId, PostOutcome, QueryId, RequestError, Retry, RoomId, SaslCondition,
    Source, Start, SubscriptionId, Via,
};

const HOST: HostId = HostId(0);
const ROOM: RoomId = RoomId(1);
const FOLLOW: SubscriptionId = SubscriptionId(1);

struct Hand {
    oracle: Oracle,
    at: Instant,
}

impl Hand {
    /// A host in a room that follows it from a cursor.
    fn following(start: Start) -> Self {
        let mut hand = Self {
            oracle: Oracle::new(),
            at: Instant::ZERO,
        };
        hand.see(&Happening::Started {
            host: HOST,
            // In full, as worlds say it: what is done to an account names its first part.
            account: "ana@x",
        });
        let join = JoinRoom::new(BareJid::parse("red@muc.x").unwrap(), Nick::Random);
        hand.ask(Request::Join(&join, ROOM));
        hand.ask(Request::Subscribe(ROOM, &start, FOLLOW));
        hand
    }

    fn see(&mut self, happening: &Happening<'_>) {
        self.at = self.at.plus(Duration::from_secs(1));
        self.oracle.see(self.at, happening);
    }

    fn ask(&mut self, request: Request<'_>) {
        self.see(&Happening::Asked {
            host: HOST,
            request,
        });
    }

    fn tell(&mut self, event: &Event) {
        self.see(&Happening::Told { host: HOST, event });
    }

    /// The room accepts a message and archives it.
    fn accept(&mut self, id: &str, body: &str) {
        self.accept_only(id, body);
        self.show(id);
    }

    /// The room accepts a message, and its archive does not show it yet.
    fn accept_only(&mut self, id: &str, body: &str) {
        let room = "red@muc.x".to_string();
        self.see(&Happening::Noted(&Note::Accepted {
            room,
            archive_id: Some(id.into()),
            nick: "bo".into(),
            jid: "bo@x/h1".into(),
            origin_id: None,
            body: body.into(),
        }));
    }

    fn show(&mut self, id: &str) {
        self.see(&Happening::Noted(&Note::Archived {
            room: "red@muc.x".into(),
            archive_id: id.into(),
        }));
    }

    /// The host is online as this address, after a login that was bound.
    fn online(&mut self, jid: &str) {
        let host = self.oracle.hosts.get_mut(&HOST).unwrap();
        host.seen.bound(self.at);
        host.learns(Learnt {
            logged_in: true,
            bound: true,
        });
        self.tell(&Event::Online {
            jid: Jid::parse(jid).unwrap(),
            login: Box::default(),
        });
    }

    /// Somebody comes into the room.
    fn enter(&mut self, jid: &str) {
        self.see(&Happening::Noted(&Note::Entered {
            room: "red@muc.x".into(),
            nick: "ana".into(),
            jid: jid.into(),
        }));
    }

    /// The host is told that it is in.
    fn join(&mut self) {
        let joined = Box::new(crate::Joined {
            room: BareJid::parse("red@muc.x").unwrap(),
            nick: "ana".into(),
            created: false,
            info: crate::RoomInfo::default(),
            privacy: crate::Privacy::default(),
        });
        let event = crate::RoomEvent::Joined(joined);
        self.tell(&Event::Room { room: ROOM, event });
    }

    /// Somebody removes the host's account from its room.
    fn remove(&mut self, how: crate::sim::server::Removal) {
        let remove = Operation::Remove {
            room: "red@muc.x".into(),
            account: "ana".into(),
            how,
        };
        self.see(&Happening::Fault(&Fault::Server(remove)));
    }

    fn open(&mut self, link: u32) {
        let link = LinkId(link);
        self.see(&Happening::Opening { link, host: HOST });
    }

    /// The password is refused, and it is tried again or not.
    fn refuse(&mut self, retry: Retry) {
        let cause = OfflineCause::Auth(AuthFailure::Rejected {
            condition: SaslCondition::NotAuthorized,
            text: None,
        });
        self.tell(&Event::Offline { cause, retry });
    }

    fn said(&mut self, posts: &[(&str, &str)]) {
        for (number, (id, body)) in posts.iter().enumerate() {
            let number = u64::try_from(number).unwrap();
            self.ask(Request::Post(ROOM, &Post::new(body), PostId(1000 + number)));
            self.accept(id, body);
        }
    }

    fn give(&mut self, id: &str, body: &str) {
        let message = Self::message(id, body);
        self.entry(Entry::Message(message));
    }

    /// Something is said and heard that has no place in the archive.
    fn give_placeless(&mut self, body: &str) {
        let origin_id = Some(String::from("o"));
        self.ask(Request::Post(ROOM, &Post::new(body), PostId(2000)));
        self.see(&Happening::Noted(&Note::Accepted {
            room: "red@muc.x".into(),
            archive_id: None,
            nick: "bo".into(),
            jid: "bo@x/h1".into(),
            origin_id: origin_id.clone(),
            body: body.into(),
        }));
        let message = *Self::message("x", body);
        let id = None;
        self.entry(Entry::Message(Box::new(Message {
            id,
            origin_id,
            ..message
        })));
    }

    fn give_late(&mut self, id: &str, body: &str) {
        let message = Self::message(id, body);
        self.entry(Entry::Late(message));
    }

    fn message(id: &str, body: &str) -> Box<Message> {
        Box::new(Message {
            id: ArchiveId::new(id),
            nick: "bo".into(),
            occupant_id: None,
            body: body.into(),
            origin_id: None,
            reply_to: None,
            stamp: None,
            own: false,
            source: Source::Live,
        })
    }

    fn entry(&mut self, entry: Entry) {
        self.tell(&Event::Entry {
            subscription: FOLLOW,
            entry,
        });
    }

    fn rules(mut self) -> Vec<&'static str> {
        let violations = self.oracle.take_violations();
        violations.into_iter().map(|(_, v)| v.rule).collect()
    }
}

const SAID: &[(&str, &str)] = &[("a", "one"), ("b", "two"), ("c", "three")];

fn from_beginning() -> Hand {
    let mut hand = Hand::following(Start::Cursor(Cursor::Beginning));
    hand.said(SAID);
    hand
}
