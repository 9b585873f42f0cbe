//! The oracle, fed by hand.

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
            account: "ana",
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
        self.oracle.hosts.get_mut(&HOST).unwrap().learns(Learnt {
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

#[test]
fn what_is_right_is_left_alone() {
    let mut hand = from_beginning();
    for (id, body) in SAID {
        hand.give(id, body);
    }
    let at = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), [""; 0]);
}

#[test]
fn s1_what_nobody_said() {
    let mut hand = from_beginning();
    hand.give("a", "another");
    assert_eq!(hand.rules(), ["S1"]);
}

#[test]
fn s2_twice() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give("a", "one");
    assert_eq!(hand.rules(), ["S2"]);
}

#[test]
fn s3_and_s5_out_of_order() {
    let mut hand = from_beginning();
    hand.give("b", "two");
    hand.give("a", "one");
    assert_eq!(hand.rules(), ["S5", "S3"]);
}

#[test]
fn s4_a_hole_and_what_excuses_it() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give("c", "three");
    assert_eq!(hand.rules(), ["S4"]);

    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.entry(Entry::Gap {
        after: None,
        reason: crate::GapReason::Overflow,
    });
    hand.give("c", "three");
    assert_eq!(hand.rules(), [""; 0]);

    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.see(&Happening::Noted(&Note::Unarchived {
        room: "red@muc.x".into(),
        archive_id: "b".into(),
        tombstone: false,
    }));
    hand.give("c", "three");
    assert_eq!(hand.rules(), [""; 0]);
}

#[test]
fn s5_a_cursor_that_lies_behind_what_was_not_given() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    let at = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), ["S4"]);

    let mut hand = from_beginning();
    for (id, body) in SAID {
        hand.give(id, body);
    }
    let at = ArchiveId::new("a").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    assert_eq!(hand.rules(), ["S5"]);
}

#[test]
fn s5_a_cursor_that_the_archive_let_go_of() {
    let fetch = Fetch::since(ArchiveId::new("a").map(Cursor::After).unwrap(), 9);
    let id = QueryId(7);
    let done = FetchEvent::Done {
        next: ArchiveId::new("c").map(Cursor::After).unwrap(),
        complete: true,
    };
    let expired = || FetchEvent::Failed(RequestError::CursorExpired { oldest: None });
    let rules = |tombstone, event| {
        let mut hand = from_beginning();
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "a".into(),
            tombstone,
        }));
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "b".into(),
            tombstone: false,
        }));
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "c".into(),
            tombstone: true,
        }));
        hand.ask(Request::Fetch(ROOM, &fetch, id));
        hand.tell(&Event::Fetch { id, event });
        hand.rules()
    };
    assert_eq!(rules(false, done.clone()), ["S5"]);
    assert_eq!(rules(true, done), [""; 0]);
    assert_eq!(rules(false, expired()), [""; 0]);
    assert_eq!(rules(true, expired()), ["S5"]);

    // The same of a subscription, unless it says so.
    for told in [false, true] {
        let mut hand = from_beginning();
        hand.see(&Happening::Noted(&Note::Unarchived {
            room: "red@muc.x".into(),
            archive_id: "a".into(),
            tombstone: false,
        }));
        let cursor = ArchiveId::new("a").map(Cursor::After);
        let start = Start::Cursor(cursor.clone().unwrap());
        hand.ask(Request::Subscribe(ROOM, &start, FOLLOW));
        if told {
            hand.entry(Entry::Gap {
                after: cursor,
                reason: crate::GapReason::CursorExpired,
            });
        }
        hand.give("b", "two");
        assert_eq!(hand.rules(), ["S5"][usize::from(told)..]);
    }
}

#[test]
fn s6_and_s7_posts() {
    let committed = |id| PostOutcome::Committed {
        id: ArchiveId::new(id),
        via: Via::Reflection,
    };
    let outcome = |outcome| Event::Post {
        id: PostId(1000),
        outcome,
    };
    let mut hand = from_beginning();
    hand.accept("d", "one");
    assert_eq!(hand.rules(), ["S6"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(committed("a")));
    hand.tell(&outcome(committed("a")));
    assert_eq!(hand.rules(), ["S8"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(committed("b")));
    assert_eq!(hand.rules(), ["S7"]);

    let mut hand = from_beginning();
    hand.tell(&outcome(PostOutcome::NotSent(crate::NotSent::Offline)));
    assert_eq!(hand.rules(), ["S7"]);
}

#[test]
fn s8_offline_twice() {
    let mut hand = from_beginning();
    let offline = Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(Instant::ZERO),
    };
    hand.see(&Happening::Opening {
        link: LinkId(0),
        host: HOST,
    });
    hand.tell(&offline);
    hand.tell(&offline);
    assert_eq!(hand.rules(), ["S8"]);
}

/// A link with what the host reads and writes, TLS first.
fn wire(script: &[(Side, &str)]) -> Vec<&'static str> {
    let mut hand = from_beginning();
    let link = LinkId(0);
    hand.see(&Happening::Opening { link, host: HOST });
    for (by, text) in script {
        let (by, bytes) = (*by, text.as_bytes());
        match (by, *text) {
            (_, "TLS") => hand.see(&Happening::Protected { link }),
            (Side::Host, _) => {
                // In whatever pieces.
                for bytes in bytes.chunks(3) {
                    hand.see(&Happening::Written { link, by, bytes });
                }
            }
            (Side::Server, _) => hand.see(&Happening::Read {
                link,
                by: Side::Host,
                bytes,
            }),
        }
    }
    hand.rules()
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='x' version='1.0'>";

/// A login, then `more`.
fn session(more: &[(Side, &'static str)]) -> Vec<&'static str> {
    use Side::{Host, Server};
    let mut script = vec![
        (Host, HEADER),
        (Server, HEADER),
        (Host, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        (Host, "TLS"),
        (Host, HEADER),
        (Server, HEADER),
        (
            Host,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>",
        ),
        (
            Server,
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        ),
        (Server, HEADER),
        (Host, HEADER),
        (
            Host,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        ),
        (Server, "<iq type='result' id='1'/>"),
    ];
    script.extend_from_slice(more);
    wire(&script)
}

#[test]
fn s9_what_is_said_when() {
    use Side::{Host, Server};
    assert_eq!(session(&[(Host, "<presence/>")]), [""; 0]);
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    assert_eq!(
        wire(&[(Host, HEADER), (Server, HEADER), (Host, auth)]),
        ["S9"]
    );
    let early = wire(&[(Host, "TLS"), (Host, HEADER), (Host, "<presence/>")]);
    assert_eq!(early, ["S9"]);
}

#[test]
fn s11_errors_and_answers() {
    use Side::{Host, Server};
    let ping = (
        Server,
        "<iq type='get' id='p' from='x'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    let pong = (Host, "<iq type='result' id='p' to='x'/>");
    assert_eq!(session(&[ping, pong]), [""; 0]);
    assert_eq!(session(&[ping, pong, pong]), ["S11"]);
    let bounce = (Host, "<message type='error' to='x'/>");
    assert_eq!(session(&[bounce]), ["S11"]);
}

#[test]
fn s17_counters_and_what_is_resent() {
    use Side::{Host, Server};
    let enable = [
        (Host, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
        (Server, "<enabled xmlns='urn:xmpp:sm:3' id='s'/>"),
        (Server, "<message from='a@x'/><message from='b@x'/>"),
        (Server, "<r xmlns='urn:xmpp:sm:3'/>"),
    ];
    let with = |last| session(&[enable[0], enable[1], enable[2], enable[3], last]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='2'/>")), [""; 0]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='1'/>")), ["S17"]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='3'/>")), ["S17"]);
    let resume = (Host, "<resume xmlns='urn:xmpp:sm:3' h='2' previd='s'/>");
    let resumed = (Server, "<resumed xmlns='urn:xmpp:sm:3' h='1' previd='s'/>");
    let first = (Host, "<message id='1' to='r@x'/>");
    let second = (Host, "<message id='2' to='r@x'/>");
    let resumption = |again| {
        session(&[
            enable[0], enable[1], first, second, enable[2], resume, resumed, again,
        ])
    };
    assert_eq!(resumption(second), [""; 0]);
    assert_eq!(resumption(first), ["S17"]);
}

#[test]
fn s20_two_joins_at_a_time() {
    let join = "<presence to='r@x/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    let refused = "<presence from='r@x/n' type='error'/>";
    use Side::{Host, Server};
    assert_eq!(
        session(&[(Host, join), (Server, refused), (Host, join)]),
        [""; 0]
    );
    assert_eq!(session(&[(Host, join), (Host, join)]), ["S20"]);
}

#[test]
fn l1_to_l4_at_the_end() {
    let mut hand = from_beginning();
    hand.see(&Happening::Healed);
    let end = hand.at.plus(Duration::from_secs(900));
    hand.oracle.judge(end);
    assert_eq!(hand.rules(), ["L4", "L4", "L4", "L1"]);
}

/// What was said before the host came in, of which the archive shows the second only
/// after that; then something is said that it hears.
fn lagging() -> Hand {
    let mut hand = Hand::following(Start::Cursor(Cursor::Beginning));
    hand.online("ana@x/h0");
    for (number, (_, body)) in (0..).zip(SAID) {
        hand.ask(Request::Post(ROOM, &Post::new(body), PostId(number)));
    }
    hand.accept("a", "one");
    hand.accept_only("b", "two");
    hand.enter("ana@x/h0");
    hand.give("a", "one");
    hand.entry(Entry::CaughtUp {
        at: ArchiveId::new("a").map(Cursor::After),
    });
    hand.accept_only("c", "three");
    hand.give("c", "three");
    hand.show("b");
    hand.show("c");
    hand
}

#[test]
fn s4_what_the_archive_showed_too_late_comes_late() {
    let mut hand = lagging();
    hand.give_late("b", "two");
    assert_eq!(hand.rules(), [""; 0]);
    // Without being said to be late, it is out of order.
    let mut hand = lagging();
    hand.give("b", "two");
    assert_eq!(hand.rules(), ["S3"]);
    // Not at all, although it stood at the end for long enough to find it.
    let mut hand = lagging();
    hand.at = hand.at.plus(Duration::from_secs(61));
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::Never,
    });
    let rules = hand.rules();
    assert!(rules.contains(&"S4"), "{rules:?}");
}

#[test]
fn s4_only_who_could_not_see_it_may_be_late() {
    // Another came in too late to see it, and that is no excuse for this one.
    let mut hand = from_beginning();
    hand.online("ana@x/h0");
    hand.enter("ana@x/h0");
    hand.accept_only("d", "four");
    hand.enter("bo@x/h1");
    for (id, body) in SAID {
        hand.give(id, body);
    }
    hand.accept_only("e", "five");
    hand.give("e", "five");
    let rules = hand.rules();
    assert_eq!(rules, ["S6", "S6", "S4"]);
}

#[test]
fn s3_said_to_be_late_before_its_turn() {
    let mut hand = from_beginning();
    hand.give("a", "one");
    hand.give_late("b", "two");
    assert_eq!(hand.rules(), ["S3"]);
}

#[test]
fn s10_a_login_without_a_valid_signature() {
    let account = "ana".to_string();
    let connection = ConnectionId(1);
    let mut hand = from_beginning();
    hand.open(0);
    hand.see(&Happening::Noted(&Note::FalseProof {
        connection,
        account: account.clone(),
    }));
    hand.online("ana@x/h0");
    assert_eq!(hand.rules(), ["S10"]);
    // The next link is another matter.
    let mut hand = from_beginning();
    hand.see(&Happening::Noted(&Note::FalseProof {
        connection,
        account: account.clone(),
    }));
    hand.open(0);
    hand.online("ana@x/h0");
    assert_eq!(hand.rules(), [""; 0]);
    let mut hand = from_beginning();
    hand.see(&Happening::Noted(&Note::Trusted {
        connection,
        account,
    }));
    assert_eq!(hand.rules(), ["S10"]);
}

#[test]
fn s12_a_lie_is_told() {
    let mut hand = from_beginning();
    hand.tell(&Event::Room {
        room: ROOM,
        event: crate::RoomEvent::Subject {
            text: "forged:7".into(),
            by: None,
        },
    });
    assert_eq!(hand.rules(), ["S12"]);
}

#[test]
fn s13_more_than_anything_needs_is_held() {
    let held = |bytes, most| {
        let mut hand = from_beginning();
        let host = HOST;
        hand.see(&Happening::Held { host, bytes, most });
        hand.rules()
    };
    assert_eq!(held(1000, 1000), [""; 0]);
    assert_eq!(held(1001, 1000), ["S13"]);
    assert_eq!(held(1 << 30, u64::MAX), ["S13"]);
}

#[test]
fn s19_a_password_anywhere() {
    let mut hand = from_beginning();
    hand.tell(&Event::Room {
        room: ROOM,
        event: crate::RoomEvent::OccupantJoined {
            nick: "ana's secret".into(),
        },
    });
    assert_eq!(hand.rules(), ["S19"]);
    use Side::Host;
    let said = (
        Host,
        "<message to='r@x'><body>ana's secret</body></message>",
    );
    assert_eq!(session(&[said]), ["S19"]);
}

#[test]
fn l5_a_password_that_was_right_is_tried_once_more() {
    let again = Retry::At(Instant::from_millis(60_000));
    // Never right: not again.
    let mut hand = from_beginning();
    hand.open(0);
    hand.refuse(again);
    assert_eq!(hand.rules(), ["L5"]);
    // Right once: once more, and no more than that.
    let mut hand = from_beginning();
    let right = Learnt {
        logged_in: true,
        bound: false,
    };
    hand.open(0);
    hand.oracle.hosts.get_mut(&HOST).unwrap().learns(right);
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: again,
    });
    hand.open(1);
    hand.refuse(again);
    // Right again, on a link that breaks before there is a session (seed 10967).
    hand.open(2);
    hand.oracle.hosts.get_mut(&HOST).unwrap().learns(right);
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: again,
    });
    hand.open(3);
    hand.refuse(again);
    assert!(hand.oracle.fresh().is_empty());
    hand.open(4);
    hand.refuse(again);
    assert_eq!(hand.rules(), ["L5"]);
}
