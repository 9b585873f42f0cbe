//! A server that is slow, on purpose or not: each step has its deadline, and the
//! login as a whole, however busy the server looks.

use std::time::Duration;

use crate::peer::{self, BIND, HEADER, Peer};
use crate::*;

const SECOND: Duration = Duration::from_secs(1);

/// Says `text` and then one byte a second of an element that has no end; how long
/// until the engine has had enough.
#[track_caller]
fn trickle(mut peer: Peer, why: Timer) -> Duration {
    let start = peer.now;
    let drops = "<a b='cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
    for drop in drops.as_bytes().chunks(1) {
        if !matches!(
            peer.engine.wants().transport,
            Transport::Open | Transport::StartTls
        ) {
            break;
        }
        if peer.engine.wants().read {
            peer.say(core::str::from_utf8(drop).unwrap());
        }
        peer.pass(SECOND);
    }
    let at = peer.events().into_iter().find_map(|event| match event {
        Event::Offline { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(at, Some(OfflineCause::TimedOut(why)));
    peer.now.since(start)
}

#[test]
fn s10_no_step_is_prolonged_by_a_trickle_of_bytes() {
    type Step = (&'static str, fn() -> Peer);
    let steps: [Step; 8] = [
        ("header", || opened(peer::config(), secure())),
        ("features", || greeted(peer::config(), secure())),
        ("proceed", || {
            let mut peer = greeted(peer::config(), CLEAR);
            peer.say(&offer(Some(true), &[]));
            peer
        }),
        ("TLS", || {
            let mut peer = greeted(peer::config(), CLEAR);
            peer.say(&offer(Some(true), &[]));
            peer.heard();
            peer.say(PROCEED);
            peer
        }),
        ("SASL", || authenticating("SCRAM-SHA-1").0),
        ("the proof", || proved("SCRAM-SHA-1").0),
        ("bind", || binding(BIND).0),
        ("the second header", || {
            let mut peer = greeted(peer::config(), secure());
            peer.say(peer::PLAIN);
            peer.say(SUCCESS);
            peer
        }),
    ];
    for (step, start) in steps {
        let peer = start();
        let due = peer.engine.config().timing.negotiation;
        let took = trickle(peer, Timer::Negotiation);
        assert!(took <= due + SECOND, "{step}: {took:?}");
    }
}

#[test]
fn s10_silence_while_tls_is_set_up_leaves_nothing_to_write() {
    let mut peer = greeted(peer::config(), CLEAR);
    peer.say(&offer(Some(true), &[]));
    peer.heard();
    peer.say(PROCEED);
    peer.pass(Duration::from_secs(15));
    assert_eq!(peer.engine.wants().write, b"");
    assert_eq!(
        ended_for_now(&mut peer),
        OfflineCause::TimedOut(Timer::Negotiation)
    );
}

#[test]
fn s10_stanzas_before_the_bind_result_do_not_prolong_it() {
    let (mut peer, _) = binding(BIND);
    let start = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        peer.say("<message><body>early</body></message><r xmlns='urn:xmpp:sm:3'/>");
        peer.pass(SECOND);
    }
    assert_eq!(
        ended(&mut peer).0,
        OfflineCause::TimedOut(Timer::Negotiation)
    );
    assert!(peer.now.since(start) <= Duration::from_secs(16));
}

#[test]
fn s10_the_login_as_a_whole_has_a_deadline() {
    let pause = Duration::from_secs(14);
    let mut peer = opened(peer::config(), CLEAR);
    let start = peer.now;
    peer.pass(pause);
    peer.say(HEADER);
    peer.pass(pause);
    peer.say(&offer(Some(true), &[]));
    peer.heard();
    peer.pass(pause);
    peer.say(PROCEED);
    peer.pass(pause);
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    assert_eq!(peer.events(), []);
    peer.pass(4 * SECOND);
    assert_eq!(ended(&mut peer).0, OfflineCause::TimedOut(Timer::Login));
    assert_eq!(peer.now.since(start), peer.engine.config().timing.login);
}

#[test]
fn s10_our_own_computation_is_not_the_servers_silence() {
    let (mut peer, _, first) = authenticating("SCRAM-SHA-1");
    peer.say(&challenge(&first.replace("i=4096", "i=20000")));
    // A slow machine: three seconds a slice.
    while peer
        .engine
        .wants()
        .deadline
        .is_some_and(|d| d.why == Timer::Work)
    {
        peer.now = peer.now.plus(3 * SECOND);
        peer.engine.handle_timeout(peer.now);
    }
    let response = peer.heard();
    assert!(response.contains("<response "), "{response}");
    // The server has its time from then on.
    peer.pass(Duration::from_secs(14));
    assert_eq!(peer.events(), []);
    peer.pass(SECOND);
    assert_eq!(
        ended(&mut peer).0,
        OfflineCause::TimedOut(Timer::Negotiation)
    );
}

#[test]
fn s10_nobody_opens_a_transport() {
    let mut peer = Peer::new(peer::config());
    peer.pass(Duration::from_secs(30));
    assert_eq!(ended(&mut peer).0, OfflineCause::TimedOut(Timer::Connect));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
}

/// xmppjs/xmpp.js#874, horazont/aioxmpp#96: a link that is dead without a word stays "online".
#[test]
fn s11_a_dead_peer_is_noticed() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    let start = peer.now;
    peer.pass(Duration::from_secs(30));
    assert!(peer.heard().contains("<ping xmlns='urn:xmpp:ping'/>"));
    // White space is no sign of life.
    while peer.engine.wants().transport == Transport::Open {
        peer.say(" \n");
        peer.pass(SECOND);
    }
    assert_eq!(
        ended(&mut peer).0,
        OfflineCause::TimedOut(Timer::KeepaliveReply)
    );
    assert!(peer.now.since(start) <= Duration::from_secs(46));
}

#[test]
fn s11_any_stanza_is_a_sign_of_life() {
    let mut peer = Peer::online(peer::config());
    for _ in 0..100 {
        peer.pass(Duration::from_secs(29));
        peer.say("<message/>");
    }
    assert_eq!(peer.events(), []);
}

#[test]
fn s14_the_server_says_how_long_it_bears_silence() {
    for (idle, ping_after) in [
        ("10", 5),
        ("0", 30),
        ("1", 5),
        ("40", 20),
        ("99999999999999999999", 30),
    ] {
        let (mut peer, id) = binding(&BIND.replace(
            "</stream:features>",
            &format!(
                "<limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>{idle}</idle-seconds>\
                 </limits></stream:features>"
            ),
        ));
        peer.say(&bound(&id, "alice@parley.local/x"));
        peer.heard();
        peer.pass(Duration::from_secs(ping_after) - Duration::from_millis(1));
        assert_eq!(peer.heard(), "", "{idle}");
        peer.pass(Duration::from_millis(1));
        assert!(peer.heard().contains("urn:xmpp:ping"), "{idle}");
    }
}

#[test]
fn s14_the_server_says_how_much_it_takes() {
    for (most, fits, too_large) in [
        ("0", 9000, 10_000),
        ("20000", 19_000, 20_000),
        ("9223372036854775808", 200_000, 270_000),
        ("99999999999999999999", 200_000, 270_000),
        ("-1", 200_000, 270_000),
    ] {
        let (mut peer, id) = binding(&BIND.replace(
            "</stream:features>",
            &format!(
                "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{most}</max-bytes>\
                 </limits></stream:features>"
            ),
        ));
        peer.say(&bound(&id, "alice@parley.local/x"));
        peer.heard();
        let room = peer.join(peer::ROOM_FEATURES);
        let mut post = |bytes: usize| {
            let post = parley_xmpp::Post::new(&"x".repeat(bytes));
            peer.engine.post(peer.now, room, post).is_ok()
        };
        assert!(post(fits) && !post(too_large), "{most}");
    }
}
