//! Stream management (XEP-0198): SM1 to SM13.

use std::fmt::Display;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parley_xmpp::{
    Config, Cursor, Engine, OfflineCause, PeerMisbehaved, Post, PostOutcome, RoomId, SavedSession,
    Seed, TransportFailure, TransportFailureKind,
};
use sha2::{Digest as _, Sha256};

use crate::peer::{BIND_SM, ROOM_FEATURES, message};
use crate::*;

const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='600'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// Nothing is said that a test did not ask for.
fn quiet() -> Config {
    let mut config = config();
    config.anchor_at_join = false;
    config
}

fn ack(h: impl Display) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn resumed(h: impl Display) -> String {
    format!("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>")
}

fn failed(h: &str, condition: &str) -> String {
    format!("<failed xmlns='urn:xmpp:sm:3'{h}><{condition} xmlns='{STANZAS}'/></failed>")
}

fn managed_with(config: Config, enabled: &str) -> Peer {
    let mut peer = Peer::new(config);
    peer.authenticate();
    peer.bind(BIND_SM);
    assert!(peer.heard().starts_with("<enable "));
    peer.say(enabled);
    peer
}

/// A stream that is managed; one stanza was sent, the presence.
fn managed() -> Peer {
    managed_with(quiet(), ENABLED)
}

/// The same, in a room: three stanzas were sent, two received.
fn inside() -> (Peer, RoomId) {
    inside_with(quiet(), ENABLED)
}

fn inside_with(config: Config, enabled: &str) -> (Peer, RoomId) {
    let mut peer = managed_with(config, enabled);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    assert_eq!(peer.heard(), "");
    (peer, room)
}

fn post(peer: &mut Peer, room: RoomId, body: &str) -> String {
    peer.engine.post(peer.now, room, Post::new(body)).unwrap();
    peer.heard().replace(ASK, "")
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Lets the backoff pass and logs in again; what is asked for then.
fn come_back(peer: &mut Peer) -> String {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    peer.authenticate();
    peer.heard();
    peer.say(BIND_SM);
    core::str::from_utf8(peer.engine.wants().write)
        .unwrap()
        .to_owned()
}

/// The link breaks, and we ask to resume, having handled so many.
#[track_caller]
fn break_and_ask(peer: &mut Peer, h: u32) {
    cut(peer);
    peer.events();
    let asked = come_back(peer);
    assert_eq!(
        asked,
        format!("<resume xmlns='urn:xmpp:sm:3' h='{h}' previd='sm-1'/>")
    );
    peer.heard();
    peer.events();
}

/// The stream ended over that, and cannot be resumed.
#[track_caller]
fn fatal(peer: &mut Peer, what: PeerMisbehaved, condition: &str, detail: &str) {
    let end = format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>{detail}\
         </stream:error></stream:stream>"
    );
    assert_eq!(peer.heard(), end);
    let events = peer.events();
    let causes: Vec<_> = (events.iter())
        .filter_map(|event| match event {
            Event::Offline { cause, .. } => Some(cause.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [OfflineCause::PeerMisbehaved(what)]);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Post { .. }))
    );
    peer.engine.handle_eof(peer.now);
    let asked = come_back(peer);
    assert!(asked.contains("<bind "), "{asked}");
}

const UNDEFINED: &str = "undefined-condition";

#[test]
fn sm01_a_count_too_high_is_fatal() {
    let (mut peer, room) = inside();
    post(&mut peer, room, "hi");
    peer.say(&ack(99));
    let detail = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='99' send-count='4'/>";
    let what = PeerMisbehaved::HandledCountTooHigh { h: 99, sent: 4 };
    fatal(&mut peer, what, UNDEFINED, detail);
}

/// What was written while there was no stream was sent to nobody.
#[test]
fn sm01_what_waits_for_a_stream_is_not_handled() {
    let (mut peer, room) = inside();
    peer.say(&ack(3));
    cut(&mut peer);
    peer.engine.leave(peer.now, room);
    assert!(come_back(&mut peer).contains("<resume "));
    peer.heard();
    peer.events();
    peer.say("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='4'/>");
    let detail = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='4' send-count='3'/>";
    let what = PeerMisbehaved::HandledCountTooHigh { h: 4, sent: 3 };
    fatal(&mut peer, what, UNDEFINED, detail);
}

#[test]
fn sm02_a_count_may_stay_and_not_go_back() {
    let (mut peer, _) = inside();
    for h in [1, 1, 3, 3] {
        peer.say(&ack(h));
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    peer.say(&ack(2));
    fatal(
        &mut peer,
        PeerMisbehaved::HandledCountBackwards,
        UNDEFINED,
        "",
    );
}

#[test]
fn sm03_a_count_is_a_number() {
    for h in ["", "-1", "abc", "4294967296", "+5", "\u{663}", "1.0", " 1"] {
        let mut peer = managed();
        peer.events();
        peer.say(&ack(h));
        fatal(
            &mut peer,
            PeerMisbehaved::MalformedHandledCount,
            "bad-format",
            "",
        );
    }
    let mut peer = managed();
    peer.events();
    peer.say("<a xmlns='urn:xmpp:sm:3'/>");
    fatal(
        &mut peer,
        PeerMisbehaved::MalformedHandledCount,
        "bad-format",
        "",
    );
}

/// A session as another process left it: so many stanzas handled, and of ours.
fn saved(handled: u32, acked: u32, stanzas: &[&str]) -> SavedSession {
    let (handled, acked) = (handled.to_string(), acked.to_string());
    let mut text = "ss1".to_owned();
    let parts = [
        "alice@parley.local/here",
        "nick",
        "sm-1",
        "",
        "600",
        &handled,
        &acked,
    ];
    for part in parts.iter().chain(stanzas) {
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut text);
    }
    let check = URL_SAFE_NO_PAD.encode(&Sha256::digest(&text)[..6]);
    SavedSession::parse(&format!("{text}.{check}")).expect("a session")
}

#[test]
fn sm04_counts_wrap_in_both_directions() {
    let near = u32::MAX - 2;
    let kept = [
        "<message id='1'/>",
        "<message id='2'/>",
        "<message id='3'/>",
        "<message id='4'/>",
    ];
    let mut peer = Peer::new(quiet());
    let session = saved(near, near, &kept);
    peer.engine = Engine::resume(quiet(), Seed::new([9; 32]), peer.now, session);
    let asked = come_back(&mut peer);
    assert!(asked.contains(&format!("h='{near}'")), "{asked}");
    peer.heard();
    // It handled three of the four: 2^32 - 3 and three is nought.
    peer.say(&resumed(0));
    assert_eq!(peer.heard().replace(ASK, ""), kept[3]);
    peer.say(&ack(1));
    // What comes is counted over the edge too.
    for due in [u32::MAX - 1, u32::MAX, 0, 1] {
        peer.say("<message/>");
        peer.say(ASK);
        assert_eq!(peer.heard(), ack(due));
    }
    // Beyond it is beyond it, and before it backwards.
    peer.events();
    peer.say(&ack(u32::MAX));
    let sent = peer.heard();
    assert!(sent.contains("<stream:error>"), "{sent}");
}

#[test]
fn sm05_stanzas_are_counted_and_nothing_else() {
    let mut peer = Peer::new(quiet());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    // From `<enabled/>` on, not before.
    peer.say("<message/><presence/>");
    peer.say(ENABLED);
    for (said, count) in [
        ("<message/>", 1),
        ("<presence/>", 1),
        ("<iq/>", 1),
        ("<message from='@@' type='nonsense'/>", 1),
        (ASK, 0),
        ("<a xmlns='urn:xmpp:sm:3' h='1'/>", 0),
        ("<stream:features/>", 0),
        ("<message xmlns='urn:example:other'/>", 0),
        (" \n", 0),
    ] {
        peer.heard();
        peer.say(ASK);
        let before: u32 = attribute(&peer.heard(), "h").parse().unwrap();
        peer.say(said);
        peer.heard();
        peer.say(ASK);
        let after: u32 = attribute(&peer.heard(), "h").parse().unwrap();
        assert_eq!(after - before, count, "{said}");
    }
}

#[test]
fn sm06_requests_before_their_time_are_nothing_and_floods_of_them_one() {
    let mut peer = online();
    peer.say(&ASK.repeat(1000));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    let mut peer = managed();
    peer.reads = false;
    peer.say(&ASK.repeat(1000));
    assert_eq!(peer.engine.wants().write, ack(0).as_bytes());
}

#[test]
fn sm07_a_resumed_stream_goes_on_with_what_was_not_handled() {
    let (mut peer, room) = inside();
    post(&mut peer, room, "one");
    let two = post(&mut peer, room, "two");
    break_and_ask(&mut peer, 2);
    peer.engine
        .post(peer.now, room, Post::new("three"))
        .unwrap();
    peer.say(&resumed(4));
    let sent = peer.heard().replace(ASK, "");
    let rest = sent.strip_prefix(&two).expect("byte by byte, and first");
    assert!(
        rest.starts_with("<message ") && rest.contains(">three<"),
        "{rest}"
    );
    assert_eq!(sent.matches("<message ").count(), 2);
    assert!(
        !sent.contains("<presence") && !sent.contains("<iq"),
        "{sent}"
    );
    assert_eq!(room_events(&mut peer), []);
    // Of another stream than was asked for: fatal.
    for previd in ["previd='sm-2'", "previd=''", ""] {
        let (mut peer, _) = inside();
        break_and_ask(&mut peer, 2);
        peer.say(&format!("<resumed xmlns='urn:xmpp:sm:3' h='3' {previd}/>"));
        fatal(&mut peer, PeerMisbehaved::ResumedAnother, UNDEFINED, "");
    }
}

#[test]
fn sm08_a_stream_that_is_not_resumed_is_begun_anew() {
    for (h, condition, again) in [
        // It says what it handled: the second post is nowhere.
        (" h='4'", "item-not-found", true),
        ("", "item-not-found", false),
        ("", "feature-not-implemented", false),
    ] {
        let (mut peer, room) = inside();
        post(&mut peer, room, "one");
        let two = post(&mut peer, room, "two");
        break_and_ask(&mut peer, 2);
        peer.say(&failed(h, condition));
        let left = room_events(&mut peer);
        assert!(matches!(left[..], [RoomEvent::Left { .. }]), "{left:?}");
        // On the same stream: a resource, the presence, the room.
        peer.bound();
        let sent = peer.heard();
        assert!(
            sent.contains("<presence>") && sent.contains("protocol/muc'"),
            "{sent}"
        );
        peer.say(ENABLED);
        peer.kept = sent;
        peer.let_in("ada", "");
        let sent = peer.heard();
        assert_eq!(sent.contains(&two), again, "{h}: {sent}");
        assert!(!sent.contains(">one<"), "{sent}");
    }
}

#[test]
fn sm09_what_is_sent_to_us_twice_is_told_once() {
    let (mut peer, room) = inside();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    answer_archive_of(&mut peer, &[]);
    peer.say(&message("bob", "1", "said"));
    // Whatever the server lost of our answers: what we handled is in our request.
    break_and_ask(&mut peer, 4);
    peer.say(&resumed(4));
    peer.say(&message("bob", "1", "said"));
    peer.say(&message("bob", "2", "more"));
    // What comes first after a resumption is told in the order of the archive.
    peer.pass(Duration::ZERO);
    let sent = peer.heard();
    peer.say(&archived(attribute(&sent, "queryid"), "2", "more"));
    peer.say(&fin(attribute(&sent, "id"), true, &["2"]));
    assert_eq!(bodies(&peer.events()), ["more"]);
}

#[test]
fn sm10_another_place_to_resume_at_is_told_and_not_gone_to() {
    let enabled = ENABLED.replace("max=", "location='10.0.0.1:25' max=");
    let (mut peer, _) = inside_with(quiet(), &enabled);
    break_and_ask(&mut peer, 2);
    peer.say(&resumed(3));
    let online = |event: &Event| matches!(event, Event::Online { login, .. } if login.resumed);
    assert!(peer.events().iter().any(online));
    let session = peer.engine.suspend(peer.now).expect("a session");
    assert_eq!(session.location(), Some("10.0.0.1:25"));
}

#[test]
fn sm11_what_cannot_be_resumed_is_not() {
    for enabled in [
        "<enabled xmlns='urn:xmpp:sm:3'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1'/>",
        "<enabled xmlns='urn:xmpp:sm:3' resume='true'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='' resume='true'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='0'/>",
    ] {
        let (mut peer, _) = inside_with(quiet(), enabled);
        peer.events();
        cut(&mut peer);
        let left = room_events(&mut peer);
        assert!(matches!(left[..], [RoomEvent::Left { .. }]), "{enabled}");
        assert!(come_back(&mut peer).contains("<bind "), "{enabled}");
    }
    // A time without end has one.
    let huge = ENABLED.replace("'600'", "'99999999999999999999999'");
    let (mut peer, _) = inside_with(quiet(), &huge);
    cut(&mut peer);
    peer.pass(Duration::from_secs(86_401));
    let left = room_events(&mut peer);
    assert!(matches!(left[..], [RoomEvent::Left { .. }]), "{left:?}");
}

#[test]
fn sm12_after_too_long_nobody_asks() {
    let (mut peer, _) = inside();
    cut(&mut peer);
    peer.pass(Duration::from_secs(599));
    assert_eq!(room_events(&mut peer), []);
    peer.pass(Duration::from_secs(1));
    let left = room_events(&mut peer);
    assert!(matches!(left[..], [RoomEvent::Left { .. }]), "{left:?}");
    assert!(come_back(&mut peer).contains("<bind "));
}

#[test]
fn sm13_who_never_acknowledges_is_not_written_to_for_ever() {
    let mut config = quiet();
    config.limits.unacked_stanzas = 8;
    let (mut peer, room) = inside_with(config, ENABLED);
    let sent: String = (0..20).map(|_| post(&mut peer, room, "x")).collect();
    // Three stanzas went before.
    assert_eq!(sent.matches("<message ").count(), 5);
    // It says other things all the time, which is no acknowledgement.
    let mut ends = Vec::new();
    for _ in 0..31 {
        peer.pass(Duration::from_secs(1));
        if peer.engine.wants().transport == Transport::Open {
            peer.say("<message/>");
        }
        ends.extend(peer.events());
    }
    let dead = |event: &Event| {
        matches!(
            event,
            Event::Offline {
                cause: OfflineCause::TimedOut(_),
                ..
            }
        )
    };
    assert!(ends.iter().any(dead), "{ends:?}");
    let told = |event: &Event| {
        matches!(
            event,
            Event::Post {
                outcome: PostOutcome::Rejected(_),
                ..
            }
        )
    };
    assert!(!ends.iter().any(told));
}

/// An answer is one if it acknowledges something. Else it is asked for again after a pause, not
/// at once, and not for longer than an answer may take.
#[test]
fn sm13_an_answer_that_acknowledges_nothing_is_none() {
    let mut config = quiet();
    config.limits.unacked_stanzas = 8;
    let (mut peer, room) = inside_with(config, ENABLED);
    for _ in 0..20 {
        peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    }
    let began = peer.now;
    let (mut asked, mut ends) = (0, Vec::new());
    while peer.engine.wants().transport == Transport::Open && asked < 1000 {
        if peer.heard().contains(ASK) {
            asked += 1;
            peer.say(&ack(3));
        } else {
            peer.pass(Duration::from_millis(100));
        }
        ends.extend(peer.events());
    }
    let dead = |event: &Event| {
        matches!(event, Event::Offline { cause: OfflineCause::TimedOut(timer), .. }
            if *timer == parley_xmpp::Timer::Ack)
    };
    assert!(ends.iter().any(dead), "{ends:?}");
    assert!((10..=40).contains(&asked), "{asked}");
    let took = peer.now.since(began);
    assert!(took <= Duration::from_secs(61), "{took:?}");
}

/// One that is slow to handle what it reads is not given up, as long as it goes on.
#[test]
fn sm13_who_is_slow_to_acknowledge_is_waited_for() {
    let mut config = quiet();
    config.limits.unacked_stanzas = 8;
    config.timing.post = Duration::from_secs(3600);
    let (mut peer, room) = inside_with(config, ENABLED);
    for _ in 0..20 {
        peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    }
    let mut h = 3;
    for second in 0..400 {
        if peer.heard().contains(ASK) {
            h += u32::from(second % 20 == 19);
            peer.say(&ack(h.min(peer.sent)));
        }
        peer.pass(Duration::from_secs(1));
        assert_eq!(peer.engine.wants().transport, Transport::Open, "{second}");
    }
    assert!(h > 15, "{h}");
}
