//! The contract of `Engine`: whatever a host and a server do, in whatever order.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    unreachable_pub,
    reason = "helpers of tests fail by panicking"
)]

mod peer;

#[path = "peer/scram.rs"]
mod scram;
#[path = "support/script.rs"]
mod script;
#[path = "support/watch.rs"]
mod watch;

use std::time::Duration;

use parley_xmpp::{Cursor, Entry, Event, Instant, Start, Timer, Transport};
use peer::{Peer, ROOM_FEATURES, message};
use proptest::prelude::*;
use script::{KINDS, LINES, Mode, Op, decode, opening, play};

fn op() -> impl Strategy<Value = Op> {
    let line = (0..LINES.len() as u8, 0..16_u8).prop_map(|(line, pick)| Op::Do(0, line, pick));
    let far = (16..KINDS, any::<u8>(), any::<u8>()).prop_map(|(kind, a, b)| Op::Do(kind, a, b));
    // The same, most likely about what is there.
    let near = (16..KINDS, 0..4_u8, 0..8_u8).prop_map(|(kind, a, b)| Op::Do(kind, a, b));
    let raw = prop::collection::vec(any::<u8>(), 1..20).prop_map(Op::Raw);
    prop_oneof![12 => line, 4 => far, 12 => near, 1 => raw]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let more = prop::collection::vec(op(), 0..60);
    // Deep states more often than shallow ones.
    let start = prop_oneof![0..10_u8, 4..7_u8, Just(6_u8), 8..10_u8];
    (start, more).prop_map(|(start, more)| [opening(start), more].concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The same calls give the same bytes and the same events; and whatever the
    /// pieces, whoever looks, and whenever events are taken, they are the same.
    #[test]
    fn how_it_is_driven_makes_no_difference(
        ops in ops(),
        piece in prop_oneof![Just(1_usize), 1..30_usize, Just(usize::MAX)],
        eager in any::<bool>(),
        spurious in any::<bool>(),
    ) {
        let plain = play(&ops, &Mode::PLAIN);
        prop_assert!(plain == play(&ops, &Mode::PLAIN), "not deterministic");
        let other = play(&ops, &Mode { piece, eager, spurious, ..Mode::PLAIN });
        prop_assert_eq!(&plain.events, &other.events);
        prop_assert_eq!(plain.steps, other.steps);
    }

    /// With room for few events nothing is lost, and nothing comes otherwise.
    #[test]
    fn back_pressure_loses_nothing(ops in ops(), piece in prop_oneof![1..30_usize, Just(usize::MAX)]) {
        let plain = play(&ops, &Mode::PLAIN);
        let tight = play(&ops, &Mode { piece, events: 4, ..Mode::PLAIN });
        prop_assert_eq!(plain.events, tight.events);
        prop_assert_eq!(plain.steps, tight.steps);
    }

    /// A host that takes events late, and has room for few.
    #[test]
    fn back_pressure_with_a_lazy_host(ops in ops(), events in 1..5_usize) {
        play(&ops, &Mode { eager: false, events, ..Mode::PLAIN });
    }

    /// As the fuzzers make scripts: out of any bytes.
    #[test]
    fn any_bytes_are_a_script(start in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        play(&[opening(start), decode(&bytes)].concat(), &Mode::PLAIN);
    }
}

/// A peer in a room, whose engine keeps four events at most, all of them taken.
fn tight() -> (Peer, parley_xmpp::RoomId) {
    let mut config = peer::config();
    config.limits.events = 4;
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    (peer, room)
}

/// Nothing is read and nobody is blamed for that, for an hour; then it goes on.
#[track_caller]
fn an_hour_without_reading(peer: &mut Peer) -> Vec<Event> {
    assert!(!peer.engine.wants().read);
    peer.pass(Duration::from_secs(3600));
    let events = peer.events();
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Offline { .. })),
        "{events:?}"
    );
    assert_eq!(peer.engine.wants().deadline.unwrap().why, Timer::Resume);
    peer.engine.handle_timeout(peer.now);
    assert_eq!(
        (peer.engine.wants().read, peer.events()),
        (true, Vec::new())
    );
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    assert_eq!(peer.heard(), "");
    // The peer has all its time, but not more than that.
    peer.pass(Duration::from_secs(31));
    assert!(peer.heard().contains("urn:xmpp:ping"));
    peer.pass(Duration::from_secs(30));
    assert!(
        peer.events()
            .iter()
            .any(|event| matches!(event, Event::Offline { .. }))
    );
    events
}

#[test]
fn back_pressure_by_what_the_server_says() {
    let (mut peer, room) = tight();
    let start = Start::Cursor(Cursor::Beginning);
    let id = peer
        .engine
        .subscribe(peer.now, room, start, u32::MAX)
        .unwrap();
    let iq = peer::attribute(&peer.heard(), "id").to_owned();
    peer.say(&peer::fin(&iq, true, &[]));
    let said: String = (0..10)
        .map(|n| message("bob", &n.to_string(), "b"))
        .collect();
    let mut rest = said.as_bytes();
    let mut events = peer.events();
    let taken = peer.engine.handle_input(peer.now, rest);
    assert!(taken < rest.len());
    rest = &rest[taken..];
    let before = peer.now;
    peer.pass(Duration::from_secs(3600));
    while !rest.is_empty() {
        assert_eq!(peer.engine.handle_input(peer.now, rest), 0);
        events.extend(peer.events());
        let taken = peer.engine.handle_input(peer.now, rest);
        assert!(taken > 0);
        rest = &rest[taken..];
    }
    events.extend(peer.events());
    let of = |event: &Event| matches!(event, Event::Entry { subscription, entry: Entry::Message(_) } if *subscription == id);
    assert_eq!(events.iter().filter(|event| of(event)).count(), 10);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Offline { .. }))
    );
    assert!(peer.now > before);
}

#[test]
fn back_pressure_by_what_the_server_says_lasts() {
    let (mut peer, _) = tight();
    for nick in ["bob", "eve", "joe", "sue"] {
        peer.say(&peer::presence(nick, ""));
    }
    assert_eq!(an_hour_without_reading(&mut peer).len(), 4);
}

#[test]
fn back_pressure_by_what_the_host_asks_for() {
    let (mut peer, room) = tight();
    let start = Start::Cursor(Cursor::Beginning);
    let id = peer.engine.subscribe(peer.now, room, start, 1).unwrap();
    let iq = peer::attribute(&peer.heard(), "id").to_owned();
    peer.say(&peer::fin(&iq, true, &[]));
    for n in 0..10 {
        peer.say(&message("bob", &n.to_string(), "b"));
        peer.events();
    }
    // All at once, by a command.
    peer.engine.grant(peer.now, id, 100);
    assert_eq!(an_hour_without_reading(&mut peer).len(), 9);
}

#[test]
fn back_pressure_while_a_new_stream_is_set_up() {
    let mut config = peer::config();
    config.limits.events = 1;
    let mut peer = Peer::new(config);
    peer.engine.handle_eof(peer.now);
    peer.pass(Duration::from_secs(30));
    // The end of the first attempt is not taken while the second goes on.
    let deadline = peer.engine.wants().deadline.unwrap();
    peer.now = deadline.at;
    peer.engine.handle_timeout(peer.now);
    assert!(matches!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    ));
    let security = parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default());
    peer.engine.transport_opened(peer.now, security);
    assert!(!peer.engine.wants().read);
    peer.pass(Duration::from_secs(3600));
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    assert_eq!(peer.events().len(), 1);
    peer.engine.handle_timeout(peer.now);
    peer.say(peer::HEADER);
    peer.say(peer::PLAIN);
    assert!(peer.heard().contains("<auth "));
}

#[test]
fn the_end_of_time_is_survived() {
    let (mut peer, _) = tight();
    let end = Instant::from_micros(u64::MAX);
    for _ in 0..100 {
        peer.engine.handle_timeout(end);
        peer.engine.handle_timeout(Instant::ZERO);
        peer.events();
    }
    peer.engine.close(end);
    peer.engine.handle_eof(end);
    assert_eq!(peer.events().last(), Some(&Event::Closed));
}

#[test]
fn no_waiting_time_is_too_short() {
    let mut config = peer::config();
    config.timing.keepalive = Duration::ZERO;
    config.timing.keepalive_reply = Duration::ZERO;
    let mut peer = Peer::online(config);
    peer.engine.handle_timeout(peer.now);
    peer.engine.handle_timeout(peer.now);
    let ends = peer.events();
    assert!(matches!(ends[..], [Event::Offline { .. }]), "{ends:?}");
}

#[test]
fn a_cursor_that_xml_cannot_carry_is_none() {
    for text in ["\u{1}", "a\u{1b}", "\u{fffe}", "\u{0}"] {
        assert_eq!(Cursor::parse(text), None);
    }
    assert!(Cursor::parse("\u{20ac}\t\r\n<&>").is_some());
}

/// `Engine::held_bytes`: "Texts count exactly, what collections need around them about." Whatever
/// is kept of what peers said, for whatever purpose, it counts.
#[test]
fn what_is_kept_is_counted() {
    const BODY: usize = 3000;
    let body = "x".repeat(BODY);
    let mut peer = Peer::online(peer::config());
    let grows = |peer: &mut Peer, what: &str, by: usize, f: &mut dyn FnMut(&mut Peer)| {
        let before = peer.engine.held_bytes();
        f(peer);
        peer.events();
        let grown = peer.engine.held_bytes().saturating_sub(before);
        assert!(grown >= by as u64, "{what}: {grown} of {by}");
    };

    // It lets us in, and speaks before it says what it is.
    let room = parley_xmpp::jid::BareJid::parse(peer::ROOM).unwrap();
    let join = parley_xmpp::JoinRoom::new(room, parley_xmpp::Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let sent = peer.heard();
    let disco = peer::attribute(sent.rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&peer::presence("ada", "<status code='110'/>"));
    // The framer's memory is as large as it gets.
    peer.say(&message("eve", "e0", &body));
    grows(&mut peer, "said early", 5 * BODY, &mut |peer| {
        for n in 1..=5 {
            peer.say(&message("eve", &format!("e{n}"), &body));
        }
    });
    peer.say(&format!(
        "<iq type='result' id='{disco}' from='{}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>",
        peer::ROOM
    ));
    peer.heard();
    peer.events();

    // A subscription that waits for the archive, and what is said meanwhile.
    let subscription = peer
        .engine
        .subscribe(peer.now, room, Start::Cursor(Cursor::Beginning), 100)
        .unwrap();
    peer.heard();
    grows(&mut peer, "held back", 5 * BODY, &mut |peer| {
        for n in 1..=5 {
            peer.say(&message("eve", &format!("l{n}"), &body));
        }
    });
    peer.engine.unsubscribe(peer.now, subscription);
    peer.events();

    // A page on its way.
    let fetch = parley_xmpp::Fetch::since(Cursor::Beginning, 50);
    peer.engine.fetch(peer.now, room, fetch).unwrap();
    let sent = peer.heard();
    let query = peer::attribute(&sent, "queryid").to_owned();
    grows(&mut peer, "a page", 5 * BODY, &mut |peer| {
        for n in 1..=5 {
            peer.say(&peer::archived(&query, &format!("a{n}"), &body));
        }
    });
}

/// The same of what is remembered of messages and posts that are done with, and of an archive that
/// is looked through for others.
#[test]
fn what_is_remembered_is_counted() {
    let long = |c: char, n: usize| format!("{}{n:04}", c.to_string().repeat(1000));
    let mut peer = Peer::online(peer::config());
    let room = peer.join(ROOM_FEATURES);
    peer.heard();
    let grown = |peer: &mut Peer, what: &str, by: usize, before: u64| {
        peer.events();
        let grown = peer.engine.held_bytes().saturating_sub(before);
        assert!(grown >= by as u64, "{what}: {grown} of {by}");
    };
    let reflect = |peer: &mut Peer, written: &str| {
        peer.say(&format!(
            "<message from='{}/ada' type='groupchat' id='{}'><body>x</body></message>",
            peer::ROOM,
            peer::attribute(written, "id")
        ));
    };

    // By which our own messages are known.
    let post = || parley_xmpp::Post::new("hi").within(Duration::from_secs(1_000_000));
    peer.engine.post(peer.now, room, post()).unwrap();
    let written = peer.heard();
    reflect(&mut peer, &written);
    peer.events();
    let before = peer.engine.held_bytes();
    for _ in 0..50 {
        peer.engine.post(peer.now, room, post()).unwrap();
        let written = peer.heard();
        reflect(&mut peer, &written);
    }
    let id = peer::attribute(&written, "id").len();
    grown(&mut peer, "our ids", 50 * 2 * id, before);

    // By which messages are known that come a second time.
    let start = Start::Now;
    let subscription = peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    let said = |n: usize| {
        let origin = format!("<origin-id xmlns='urn:xmpp:sid:0' id='{}'/>", long('o', n));
        message("eve", &format!("e{n}"), "hi").replace("<body>", &format!("{origin}<body>"))
    };
    let asked = peer.heard();
    let (iq, query) = (
        peer::attribute(&asked, "id"),
        peer::attribute(&asked, "queryid"),
    );
    peer.say(&peer::archived(query, "e", "before"));
    peer.say(&peer::fin(iq, true, &["e"]));
    peer.say(&said(0));
    assert!(peer.events().len() > 1, "given out as it is said");
    let before = peer.engine.held_bytes();
    for n in 1..=5 {
        peer.say(&said(n));
    }
    // However long they are: each by its digest, in two places.
    grown(&mut peer, "ids of others", 5 * 2 * 24, before);

    peer.engine.unsubscribe(peer.now, subscription);

    // Places of the page in which a post is looked for.
    peer.engine.post(peer.now, room, post()).unwrap();
    peer.heard();
    let out = peer::presence("ada", "<status code='110'/><status code='333'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    peer.pass(Duration::from_secs(5));
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    let asked = peer.heard();
    let query = peer::attribute(&asked, "queryid").to_owned();
    let before = peer.engine.held_bytes();
    for n in 1..=5 {
        peer.say(&peer::archived(&query, &long('a', n), "x"));
    }
    grown(&mut peer, "a page of a search", 5 * 1000, before);
}
