//! How streams end, and how the engine does.

use parley_xmpp::{StreamCondition, TransportFailure, TransportFailureKind};

use crate::peer::{self, BIND, HEADER, Peer, ROOM_FEATURES};
use crate::*;

fn stream_error(inner: &str) -> String {
    format!("<stream:error>{inner}</stream:error>")
}

fn condition(name: &str) -> String {
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
}

/// A way to bring a peer into a state.
type Start = fn() -> Peer;

const STARTED: [(&str, Start); 6] = [
    ("features", || greeted(peer::config(), secure())),
    ("proceed", || {
        let mut peer = greeted(peer::config(), CLEAR);
        peer.say(&offer(Some(true), &[]));
        peer.heard();
        peer
    }),
    ("SASL", || authenticating("SCRAM-SHA-1").0),
    ("bind", || binding(BIND).0),
    ("online", || Peer::online(peer::config())),
    ("in a room", || {
        let mut peer = Peer::online(peer::config());
        peer.join(ROOM_FEATURES);
        peer.events();
        peer
    }),
];

#[test]
fn s07_stream_errors_and_the_next_attempt() {
    for (name, for_good) in [
        ("conflict", true),
        ("host-unknown", true),
        ("host-gone", true),
        ("not-authorized", true),
        ("unsupported-version", true),
        ("invalid-namespace", true),
        // S8: it is not followed.
        ("see-other-host", true),
        ("system-shutdown", false),
        ("reset", false),
        ("connection-timeout", false),
        ("internal-server-error", false),
        ("remote-connection-failed", false),
        ("resource-constraint", false),
        ("policy-violation", false),
        ("undefined-condition", false),
        ("made-up", false),
    ] {
        for (state, start) in STARTED {
            let mut peer = start();
            peer.heard();
            peer.say(&stream_error(&condition(name)));
            assert_eq!(peer.heard(), "</stream:stream>", "{state}");
            let cause = if for_good {
                ended_for_good(&mut peer)
            } else {
                ended_for_now(&mut peer)
            };
            let due = OfflineCause::StreamError {
                condition: StreamCondition::from_wire(name),
                text: None,
            };
            assert_eq!(cause, due, "{state}");
        }
    }
}

#[test]
fn s07_slow_causes_wait_longer() {
    for (name, least) in [
        ("resource-constraint", 30),
        ("policy-violation", 30),
        ("reset", 0),
    ] {
        let mut peer = Peer::online(peer::config());
        peer.say(&stream_error(&condition(name)));
        let (_, Retry::At(at)) = ended(&mut peer) else {
            panic!("no retry");
        };
        let pause = at.since(peer.now).as_secs();
        assert!((least..=600).contains(&pause), "{name}: {pause}");
        assert!(least > 0 || pause <= 1);
    }
}

#[test]
fn s07_odd_stream_errors() {
    let long = "\u{1F980}".repeat(1000);
    for (inner, due, text_bytes) in [
        (String::new(), StreamCondition::UndefinedCondition, 0),
        (
            "<x xmlns='urn:x'/>".to_owned(),
            StreamCondition::UndefinedCondition,
            0,
        ),
        (
            format!(
                "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{long}</text>{}",
                condition("reset")
            ),
            StreamCondition::Reset,
            1024,
        ),
    ] {
        let mut peer = Peer::online(peer::config());
        peer.say(&stream_error(&inner));
        let (OfflineCause::StreamError { condition, text }, _) = ended(&mut peer) else {
            panic!("no stream error");
        };
        assert_eq!((condition, text.map_or(0, |t| t.len())), (due, text_bytes));
    }
}

#[test]
fn s07_what_comes_after_the_end_is_ignored() {
    for end in [
        stream_error(&condition("reset")),
        "</stream:stream>".to_owned(),
    ] {
        for (_, start) in STARTED {
            let mut peer = start();
            peer.heard();
            peer.say(&format!("{end}<message/></stream:stream>\u{0}<<<"));
            peer.say("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
            assert_eq!(peer.heard(), "</stream:stream>");
            ended_for_now(&mut peer);
        }
    }
}

#[test]
fn s12_the_connection_breaks_at_any_state() {
    for (state, start) in STARTED
        .into_iter()
        .chain([("header", (|| opened(peer::config(), secure())) as Start)])
    {
        let mut peer = start();
        peer.engine.handle_eof(peer.now);
        assert_eq!(peer.engine.wants().write, b"");
        assert_eq!(
            ended_for_now(&mut peer),
            OfflineCause::PeerClosed,
            "{state}"
        );
        for (kind, for_good) in [
            (TransportFailureKind::Io, false),
            (TransportFailureKind::Tls, false),
            (TransportFailureKind::Certificate, true),
        ] {
            let mut peer = start();
            let why = TransportFailure {
                kind,
                detail: "broken".into(),
            };
            peer.engine.transport_failed(peer.now, why.clone());
            let cause = if for_good {
                ended_for_good(&mut peer)
            } else {
                ended_for_now(&mut peer)
            };
            assert_eq!(cause, OfflineCause::Transport(why), "{state}");
        }
    }
}

/// Closes, does what is wanted, and gives the events.
fn close(peer: &mut Peer, answers: bool) -> Vec<Event> {
    peer.engine.close(peer.now);
    peer.engine.close(peer.now);
    for _ in 0..10 {
        peer.heard();
        match peer.engine.wants().transport {
            Transport::Closed => break,
            Transport::Open if answers => peer.say("</stream:stream>"),
            Transport::Open => {
                peer.now = peer.engine.wants().deadline.unwrap().at;
                peer.engine.handle_timeout(peer.now);
            }
            Transport::Shutdown => peer.engine.handle_eof(peer.now),
            other => panic!("{other:?}"),
        }
    }
    peer.events()
}

fn closed(events: &[Event], offlines: usize) {
    let told = |event: &Event| matches!(event, Event::Offline { .. });
    assert_eq!(
        events.iter().filter(|event| told(event)).count(),
        offlines,
        "{events:?}"
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| **event == Event::Closed)
            .count(),
        1
    );
    assert_eq!(events.last(), Some(&Event::Closed));
}

#[test]
fn s12_closing_at_any_state() {
    let more: [(&str, Start); 4] = [
        ("nothing", || Peer::new(peer::config())),
        ("header", || opened(peer::config(), secure())),
        ("TLS", || {
            let mut peer = STARTED[1].1();
            peer.say(PROCEED);
            peer
        }),
        ("second header", || {
            let mut peer = greeted(peer::config(), secure());
            peer.say(peer::PLAIN);
            peer.say(SUCCESS);
            peer
        }),
    ];
    for (state, start) in STARTED.into_iter().chain(more) {
        for answers in [true, false] {
            let mut peer = start();
            peer.events();
            let events = close(&mut peer, answers);
            closed(&events, 1);
            let due = Event::Offline {
                cause: OfflineCause::Closed,
                retry: Retry::Never,
            };
            assert!(events.contains(&due), "{state}");
            // Nothing brings it back.
            peer.engine.reconnect(peer.now);
            peer.engine.transport_opened(peer.now, secure());
            peer.engine.handle_eof(peer.now);
            peer.say(HEADER);
            peer.pass(std::time::Duration::from_secs(86_400));
            assert_eq!(peer.events(), []);
            assert_eq!(peer.engine.wants().transport, Transport::Closed);
            assert_eq!(peer.engine.wants().deadline, None);
        }
    }
}

#[test]
fn s12_closing_between_attempts_and_while_the_last_words_are_written() {
    // The stream was told of as ended already.
    for for_good in [false, true] {
        let mut peer = Peer::online(peer::config());
        peer.heard();
        peer.events();
        let name = if for_good { "conflict" } else { "reset" };
        peer.say(&stream_error(&condition(name)));
        assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
        ended(&mut peer);
        closed(&close(&mut peer, true), 0);

        let mut peer = Peer::online(peer::config());
        peer.events();
        peer.say(&stream_error(&condition(name)));
        peer.engine.handle_eof(peer.now);
        ended(&mut peer);
        closed(&close(&mut peer, true), 0);
    }
}

#[test]
fn s12_a_server_that_does_not_close_its_side() {
    let mut peer = Peer::online(peer::config());
    peer.events();
    peer.heard();
    peer.engine.close(peer.now);
    assert_eq!(
        peer.heard(),
        "<presence type='unavailable'/></stream:stream>"
    );
    let start = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        peer.say("<message/> ");
        peer.pass(std::time::Duration::from_millis(500));
    }
    // RFC 6120 section 4.4: it is waited for, "a reasonable amount of time".
    assert!((2..=5).contains(&peer.now.since(start).as_secs()));
    peer.engine.handle_eof(peer.now);
    closed(&peer.events(), 1);
    // And no longer than it takes.
    let mut peer = Peer::online(peer::config());
    peer.events();
    peer.engine.close(peer.now);
    peer.heard();
    for _ in 0..2 {
        peer.pass(std::time::Duration::from_millis(500));
        assert_eq!(peer.engine.wants().transport, Transport::Open);
    }
    peer.say("</stream:stream>");
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
}
