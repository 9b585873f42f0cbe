//! Ends of streams: what class each is of, and when the next attempt comes.

use crate::peer::{BIND, HEADER, PLAIN};
use crate::*;
use parley_xmpp::{
    AuthFailure, ChannelBinding, JoinError, OfflineCause, Post, PostOutcome, Security,
};

/// The only end told, and how long until the next attempt.
#[track_caller]
fn ended(peer: &mut Peer) -> (OfflineCause, Option<Duration>) {
    let now = peer.now;
    let ends: Vec<_> = peer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Offline { cause, retry } => Some((cause, retry)),
            _ => None,
        })
        .collect();
    match <[_; 1]>::try_from(ends) {
        Ok([(cause, Retry::At(at))]) => (cause, Some(at.since(now))),
        Ok([(cause, _)]) => (cause, None),
        Err(other) => panic!("{other:?}"),
    }
}

fn stream_error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>"
    )
}

/// A peer whose stream is set up as far as the login.
fn greeted() -> Peer {
    let mut peer = Peer::new(config());
    greet(&mut peer);
    peer
}

fn greet(peer: &mut Peer) {
    let security = Security::Tls(ChannelBinding::default());
    peer.engine.transport_opened(peer.now, security);
    peer.say(HEADER);
    peer.say(PLAIN);
    peer.heard();
}

fn refuse_login(peer: &mut Peer, condition: &str) {
    peer.say(&format!(
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"
    ));
    if matches!(peer.engine.wants().transport, Transport::Shutdown) {
        peer.heard();
        peer.engine.handle_eof(peer.now);
    }
}

fn failed(kind: TransportFailureKind) -> impl Fn(&mut Peer) {
    move |peer| {
        let detail = String::new();
        let why = TransportFailure { kind, detail };
        peer.engine.transport_failed(peer.now, why);
    }
}

const TRANSIENT: [&str; 5] = [
    "system-shutdown",
    "reset",
    "connection-timeout",
    "internal-server-error",
    "remote-connection-failed",
];
const ATTENTION: [&str; 7] = [
    "conflict",
    "host-unknown",
    "host-gone",
    "unsupported-version",
    "see-other-host",
    "not-authorized",
    "invalid-namespace",
];

// ---- the classes -----------------------------------------------------------

#[test]
fn s07_transient_ends_are_followed_at_once_and_then_ever_more_slowly() {
    for condition in TRANSIENT {
        let mut peer = Peer::online(config());
        let mut longest = secs(0);
        for round in 0..10_u32 {
            peer.say(&stream_error(condition));
            peer.engine.handle_eof(peer.now);
            let pause = ended(&mut peer).1.expect(condition);
            let ceiling = (Duration::from_millis(500) * (1 << round)).min(secs(60));
            assert!(pause <= ceiling, "{condition} {round}: {pause:?}");
            longest = longest.max(pause);
            until_connect(&mut peer);
            peer.log_in();
        }
        assert!(longest > secs(10), "{condition}: {longest:?}");
        // A minute is enough to be forgiven; less is not.
        peer.pass(secs(59));
        cut(&mut peer);
        until_connect(&mut peer);
        peer.events();
        peer.log_in();
        peer.pass(secs(60));
        cut(&mut peer);
        assert!(ended(&mut peer).1.unwrap() <= Duration::from_millis(500));
    }
}

#[test]
fn transport_failures_are_transient_but_for_certificates() {
    for kind in [
        TransportFailureKind::Resolve,
        TransportFailureKind::Connect,
        TransportFailureKind::Tls,
        TransportFailureKind::Io,
    ] {
        let mut peer = Peer::new(config());
        failed(kind)(&mut peer);
        assert!(ended(&mut peer).1.unwrap() <= Duration::from_millis(500));
    }
    let mut peer = Peer::new(config());
    failed(TransportFailureKind::Certificate)(&mut peer);
    assert_eq!(ended(&mut peer).1, None);
}

#[test]
fn s07_slow_ends_take_half_a_minute_to_ten() {
    for condition in ["resource-constraint", "policy-violation"] {
        let mut peer = Peer::online(config());
        let mut longest = secs(0);
        for round in 0..10_u32 {
            peer.say(&stream_error(condition));
            peer.engine.handle_eof(peer.now);
            let pause = ended(&mut peer).1.expect(condition);
            let ceiling = (secs(60) * (1 << round)).min(secs(600));
            assert!((secs(30)..=ceiling).contains(&pause), "{round}: {pause:?}");
            longest = longest.max(pause);
            until_connect(&mut peer);
            peer.log_in();
        }
        assert!(longest > secs(120), "{longest:?}");
    }
}

#[test]
fn s07_b06_ends_that_need_attention_are_followed_by_nothing() {
    for condition in ATTENTION {
        let mut peer = Peer::online(config());
        peer.say(&stream_error(condition));
        peer.engine.handle_eof(peer.now);
        assert_eq!(ended(&mut peer).1, None, "{condition}");
        peer.pass(secs(365 * 24 * 3600));
        assert_eq!(peer.engine.wants().transport, Transport::Closed);
        assert_eq!(peer.engine.wants().deadline, None);
        assert_eq!(peer.events(), []);
        peer.engine.reconnect(peer.now);
        peer.log_in();
    }
}

#[test]
fn s08_a_redirect_is_reported_and_not_followed() {
    for at in [
        "169.254.169.254:80",
        "other.parley.local",
        "[2001:db8::1]:0",
        "",
    ] {
        let mut peer = greeted();
        peer.say(&format!(
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{at}\
             </see-other-host></stream:error></stream:stream>"
        ));
        peer.engine.handle_eof(peer.now);
        assert_eq!(ended(&mut peer).1, None);
        assert_eq!(peer.engine.wants().transport, Transport::Closed);
    }
}

// ---- passwords -------------------------------------------------------------

/// xmppjs/xmpp.js#588, redsolution/xabber-android#320, cmeng-git/atalk-android#131,
/// fritzy/SleekXMPP#321: a wrong password is tried until the account or the address is locked.
#[test]
fn a17_thread_7_a_wrong_password_is_tried_once() {
    let mut peer = greeted();
    refuse_login(&mut peer, "not-authorized");
    let (cause, pause) = ended(&mut peer);
    assert!(matches!(
        cause,
        OfflineCause::Auth(AuthFailure::Rejected { .. })
    ));
    assert_eq!(pause, None);
}

#[test]
fn a17_thread_7_a_password_that_was_right_is_tried_once_more() {
    let mut peer = Peer::online(config());
    // Each time the server takes it again, it is worth one more attempt.
    for _ in 0..2 {
        cut(&mut peer);
        until_connect(&mut peer);
        peer.events();
        greet(&mut peer);
        refuse_login(&mut peer, "not-authorized");
        let pause = ended(&mut peer).1.expect("another attempt");
        assert!(pause >= secs(30), "{pause:?}");
        until_connect(&mut peer);
        peer.log_in();
    }
    cut(&mut peer);
    for retried in [true, false] {
        until_connect(&mut peer);
        peer.events();
        greet(&mut peer);
        refuse_login(&mut peer, "not-authorized");
        assert_eq!(ended(&mut peer).1.is_some(), retried);
    }
    // From now on it is as if it had never worked.
    peer.engine.reconnect(peer.now);
    greet(&mut peer);
    refuse_login(&mut peer, "not-authorized");
    assert_eq!(ended(&mut peer).1, None);
}

#[test]
fn a17_other_refusals_of_a_login() {
    for condition in [
        "account-disabled",
        "credentials-expired",
        "mechanism-too-weak",
    ] {
        let mut peer = Peer::online(config());
        cut(&mut peer);
        until_connect(&mut peer);
        peer.events();
        greet(&mut peer);
        refuse_login(&mut peer, condition);
        assert_eq!(ended(&mut peer).1, None, "{condition}");
    }
    let mut peer = greeted();
    refuse_login(&mut peer, "temporary-auth-failure");
    assert!(ended(&mut peer).1.is_some());
}

#[test]
fn s01_a_server_without_tls_needs_attention() {
    let mut peer = Peer::new(config());
    let security = Security::Clear { loopback: false };
    peer.engine.transport_opened(peer.now, security);
    peer.say(HEADER);
    peer.say(PLAIN);
    assert_eq!(ended(&mut peer).1, None);
}

// ---- servers that break XML ------------------------------------------------

#[test]
fn broken_xml_needs_attention_at_the_third_time() {
    let mut peer = Peer::online(config());
    for comes_back in [true, true, false] {
        peer.say("<message><!-- --></message>");
        peer.heard();
        peer.engine.handle_eof(peer.now);
        let (cause, pause) = ended(&mut peer);
        assert!(matches!(cause, OfflineCause::Xml(_)), "{cause:?}");
        assert_eq!(pause.is_some(), comes_back);
        if comes_back {
            assert!(pause.unwrap() >= secs(30));
            until_connect(&mut peer);
            peer.log_in();
            // Neither a login nor a stable stream makes it forgotten.
            peer.pass(secs(120));
        }
    }
    peer.engine.reconnect(peer.now);
    peer.log_in();
}

#[test]
fn broken_xml_now_and_then_is_lived_with() {
    let mut peer = Peer::online(config());
    for _ in 0..6 {
        peer.say("<message><!-- --></message>");
        peer.heard();
        peer.engine.handle_eof(peer.now);
        assert!(ended(&mut peer).1.is_some());
        until_connect(&mut peer);
        peer.log_in();
        peer.pass(secs(1800));
    }
}

// ---- the budget ------------------------------------------------------------

/// Connects and fails, `fail` says how, for so many hours: when it was tried.
fn attempts(peer: &mut Peer, hours: u64, fail: impl Fn(&mut Peer)) -> Vec<u64> {
    let (start, mut at) = (peer.now, Vec::new());
    while peer.now.since(start) < secs(hours * 3600) {
        until_connect(peer);
        at.push(peer.now.as_micros());
        fail(peer);
        assert_eq!(ended(peer).1.map(drop), Some(()));
    }
    at
}

fn most_in_an_hour(at: &[u64]) -> usize {
    let in_its_hour = |from: &u64| {
        let hour = *from..*from + 3_600_000_000;
        at.iter().filter(|at| hour.contains(at)).count()
    };
    at.iter().map(in_its_hour).max().unwrap()
}

#[test]
fn thread_5_permanent_failure_never_exceeds_the_budget() {
    let fast = |config: &mut Config| {
        config.timing.backoff_max = Duration::from_millis(1);
        config.limits.attempts_per_hour = 40;
    };
    let mut hasty = config();
    fast(&mut hasty);
    let mut peer = Peer::new(hasty);
    let at = attempts(&mut peer, 10, failed(TransportFailureKind::Connect));
    let most = most_in_an_hour(&at);
    assert!((30..=40).contains(&most), "{most}");
    // As it comes.
    let mut peer = Peer::new(config());
    let at = attempts(&mut peer, 10, failed(TransportFailureKind::Connect));
    assert!(most_in_an_hour(&at) <= 120);
    assert!(at.len() > 300, "{} in ten hours", at.len());
}

/// fritzy/SleekXMPP#328, jelmer/prometheus-xmpp-alerts#15: reconnection without a pause.
#[test]
fn thread_5_a_server_that_fails_each_session_is_not_stormed() {
    let mut peer = Peer::new(config());
    let fail = |peer: &mut Peer| {
        peer.log_in();
        peer.say(&stream_error("internal-server-error"));
        peer.engine.handle_eof(peer.now);
    };
    let start = peer.now;
    let mut at = Vec::new();
    while peer.now.since(start) < secs(5 * 3600) {
        until_connect(&mut peer);
        at.push(peer.now.as_micros());
        fail(&mut peer);
        assert!(ended(&mut peer).1.is_some());
    }
    assert!(most_in_an_hour(&at) <= 120);
    let first_minute = at.iter().filter(|at| **at < start.as_micros() + 60_000_000);
    assert!(first_minute.count() <= 30);
}

// ---- the host's hand on it -------------------------------------------------

#[test]
fn thread_5_disconnect_stops_and_reconnect_starts() {
    // While the backoff runs.
    let (mut peer, room) = in_room();
    cut(&mut peer);
    peer.events();
    let post = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.engine.disconnect(peer.now);
    let events = peer.events();
    assert!(
        !events
            .iter()
            .any(|e| matches!(e, Event::Offline { .. } | Event::Closed))
    );
    assert!(events.iter().any(|e| matches!(
        e,
        Event::Post { id, outcome: PostOutcome::NotSent(_) } if *id == post
    )));
    assert_eq!(peer.engine.wants().deadline, None);
    assert_eq!(peer.engine.join(peer.now, ada()), Err(JoinError::Offline));
    peer.engine.reconnect(peer.now);
    peer.log_in();

    // While there is a stream, in good order.
    let mut peer = Peer::online(config());
    peer.heard();
    peer.engine.disconnect(peer.now);
    peer.engine.disconnect(peer.now);
    assert_eq!(ended(&mut peer), (OfflineCause::Closed, None));
    assert!(peer.heard().ends_with("</stream:stream>"));
    peer.say("</stream:stream>");
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    peer.pass(secs(24 * 3600));
    assert_eq!(
        (peer.events(), peer.engine.wants().deadline),
        (vec![], None)
    );
    peer.engine.reconnect(peer.now);
    peer.log_in();

    // While one is opened or set up, and while the last one is closed.
    let mut peer = Peer::new(config());
    peer.engine.disconnect(peer.now);
    assert_eq!(ended(&mut peer), (OfflineCause::Closed, None));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    let mut peer = greeted();
    peer.engine.disconnect(peer.now);
    assert_eq!(ended(&mut peer).1, None);
    peer.engine.reconnect(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
    assert_eq!(peer.heard(), "");
    // And the end is the end.
    peer.engine.disconnect(peer.now);
    peer.events();
    peer.engine.close(peer.now);
    assert_eq!(peer.events(), [Event::Closed]);
    peer.engine.disconnect(peer.now);
    peer.engine.reconnect(peer.now);
    assert_eq!(
        (peer.events(), peer.engine.wants().deadline),
        (vec![], None)
    );
}

/// xmppjs/xmpp.js#1111: no way to switch it off.
#[test]
fn thread_5_reconnection_can_be_switched_off() {
    let mut config = config();
    config.reconnect = false;
    let mut peer = Peer::online(config);
    cut(&mut peer);
    assert_eq!(ended(&mut peer).1, None);
    assert_eq!(peer.engine.wants().deadline, None);
    peer.engine.reconnect(peer.now);
    peer.log_in();
}

#[test]
fn each_attempt_ends_once() {
    let mut peer = Peer::online(config());
    peer.say(&stream_error("reset"));
    peer.engine.handle_eof(peer.now);
    failed(TransportFailureKind::Io)(&mut peer);
    peer.engine.handle_eof(peer.now);
    ended(&mut peer);
    // A stream that breaks in the middle of the login, twice over.
    until_connect(&mut peer);
    greet(&mut peer);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(HEADER);
    peer.say(BIND);
    cut(&mut peer);
    cut(&mut peer);
    peer.engine.handle_eof(peer.now);
    ended(&mut peer);
}
