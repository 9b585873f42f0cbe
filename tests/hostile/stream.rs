//! The stream and what is under it: S1 to S15.

use std::time::Duration;

use parley_xmpp::{
    Config, OfflineCause, PeerIncompatible, PeerMisbehaved, Plaintext, Post, PostError, Retry,
    StreamCondition, Timer, TransportFailure, TransportFailureKind,
};

use crate::peer::{BIND, BIND_SM, HEADER, PLAIN, ROOM_FEATURES};
use crate::*;

const CLEAR: Security = Security::Clear { loopback: false };
const LOOPBACK: Security = Security::Clear { loopback: true };
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
/// TLS on offer, and a password wanted all the same.
const BOTH: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";

fn over(config: Config, security: Security) -> Peer {
    let mut peer = Peer::new(config);
    peer.engine.transport_opened(peer.now, security);
    peer.heard();
    peer.say(HEADER);
    peer
}

/// A peer that was asked for TLS.
fn asked_for_tls() -> Peer {
    let mut peer = over(config(), CLEAR);
    peer.say(BOTH);
    assert_eq!(peer.heard(), STARTTLS);
    peer
}

/// A peer in the middle of setting up TLS.
fn setting_up_tls() -> Peer {
    let mut peer = asked_for_tls();
    peer.say(PROCEED);
    peer
}

fn tls_stands(peer: &mut Peer) {
    let binding = ChannelBinding::default();
    peer.engine.tls_established(peer.now, binding);
}

/// The end of the only stream, and whether another is set up without being asked for.
#[track_caller]
fn ends(peer: &mut Peer) -> (OfflineCause, bool) {
    match &peer.events()[..] {
        [Event::Offline { cause, retry }] => (cause.clone(), *retry != Retry::Never),
        other => panic!("not the end alone: {other:?}"),
    }
}

fn stream_error(inner: &str) -> String {
    format!("<stream:error>{inner}</stream:error>")
}

fn condition(name: &str) -> String {
    format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
}

#[test]
fn s01_no_password_in_clear_whoever_took_tls_away() {
    let mut on_loopback = config();
    on_loopback.plaintext = Plaintext::OnLoopback;
    let stripped = BOTH.replace(STARTTLS, "");
    for (config, security) in [
        (config(), CLEAR),
        (config(), LOOPBACK),
        (on_loopback, CLEAR),
    ] {
        let mut peer = over(config.clone(), security.clone());
        peer.say(&stripped);
        assert!(!peer.heard().contains("<auth"));
        let no_tls = OfflineCause::PeerIncompatible(PeerIncompatible::NoTls);
        assert_eq!(ends(&mut peer), (no_tls, false));
        let mut peer = over(config, security);
        peer.say(BOTH);
        peer.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert!(!peer.heard().contains("<auth"));
        let refused = OfflineCause::PeerIncompatible(PeerIncompatible::TlsRefused);
        assert_eq!(ends(&mut peer), (refused, false));
    }
}

#[test]
fn s02_nothing_may_come_between_the_agreement_on_tls_and_tls() {
    for injected in [" ", PLAIN, HEADER, "\u{16}\u{3}\u{1}"] {
        for together in [true, false] {
            let mut peer = asked_for_tls();
            if together {
                peer.say(&format!("{PROCEED}{injected}"));
            } else {
                peer.say(PROCEED);
                peer.say(injected);
            }
            tls_stands(&mut peer);
            assert_eq!(peer.heard(), "", "{injected}");
            let cause = OfflineCause::PeerMisbehaved(PeerMisbehaved::DataAfterProceed);
            assert_eq!(ended(&mut peer), cause);
        }
    }
}

#[test]
fn s03_what_was_learned_in_clear_is_forgotten() {
    let mut peer = over(config(), CLEAR);
    let limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>77</max-bytes></limits>";
    let lies = format!("{limits}</stream:features>");
    peer.say(&BOTH.replace("</stream:features>", &lies));
    peer.say(PROCEED);
    peer.heard();
    tls_stands(&mut peer);
    assert!(peer.heard().starts_with("<?xml "), "all begins anew");
    peer.say(HEADER);
    peer.say(PLAIN);
    assert!(
        peer.heard().contains("mechanism='PLAIN'"),
        "SCRAM was a lie"
    );
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.heard();
    peer.say(BIND);
    peer.bound();
    assert!(matches!(peer.engine.wants().transport, Transport::Open));
    let room = peer.join(ROOM_FEATURES);
    let post = Post::new(&"x".repeat(20_000));
    assert!(peer.engine.post(peer.now, room, post).is_ok());
    // The old stream does not go on: a header must come.
    let mut peer = setting_up_tls();
    tls_stands(&mut peer);
    peer.heard();
    peer.say(PLAIN);
    assert!(!peer.heard().contains("<auth"));
    assert!(matches!(ended(&mut peer), OfflineCause::Xml(_)));
}

#[test]
fn s04_what_is_offered_again_changes_nothing_and_at_the_wrong_time_is_fatal() {
    // TLS within TLS.
    let mut peer = over(config(), secure());
    peer.say(&BOTH.replace("<mechanism>SCRAM-SHA-1</mechanism>", ""));
    assert!(peer.heard().starts_with("<auth "));
    // Mechanisms after the login.
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.heard();
    peer.say(&BOTH.replace(
        "<starttls ",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><starttls ",
    ));
    let sent = peer.heard();
    assert!(
        sent.starts_with("<iq ") && sent.contains("<bind "),
        "{sent}"
    );
    // Features once more, on a stream that is set up.
    let mut peer = online();
    peer.say(BIND);
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
    // And before the login.
    let unexpected = OfflineCause::PeerMisbehaved(PeerMisbehaved::UnexpectedElement);
    let mut peer = greeted();
    peer.say(&format!("{PLAIN}{PLAIN}"));
    assert_eq!(peer.heard().matches("<auth ").count(), 1);
    assert_eq!(ended(&mut peer), unexpected);
    for early in [SUCCESS, PROCEED, "<message/>"] {
        let mut peer = greeted();
        peer.say(early);
        assert_eq!(ended(&mut peer), unexpected, "{early}");
    }
    // Nor is the stream set up once more while it is asked for a resource.
    for late in [
        SUCCESS,
        PROCEED,
        BIND,
        "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</challenge>",
    ] {
        let mut peer = Peer::new(config());
        peer.authenticate();
        peer.say(BIND);
        peer.say(late);
        assert_eq!(ended(&mut peer), unexpected, "{late}");
    }
    // Before the header.
    let mut peer = opened();
    peer.say("<features xmlns='http://etherx.jabber.org/streams'/>");
    assert!(matches!(ended(&mut peer), OfflineCause::Xml(_)));
}

#[test]
fn s05_nothing_is_said_before_tls_stands() {
    let mut peer = setting_up_tls();
    let wants = peer.engine.wants();
    assert_eq!((wants.transport, wants.read), (Transport::StartTls, false));
    assert_eq!(wants.write, b"");
    peer.pass(Duration::from_secs(5));
    assert_eq!(peer.heard(), "");
    tls_stands(&mut peer);
    assert!(peer.heard().starts_with("<?xml "));
}

#[test]
fn s06_a_certificate_that_cannot_be_trusted_is_not_tried_again() {
    for start in [setting_up_tls as fn() -> Peer, || Peer::new(config())] {
        let mut peer = start();
        let why = TransportFailure {
            kind: TransportFailureKind::Certificate,
            detail: "it is of evil.example".into(),
        };
        peer.engine.transport_failed(peer.now, why.clone());
        assert_eq!(ends(&mut peer), (OfflineCause::Transport(why), false));
        peer.pass(Duration::from_secs(86_400));
        assert_eq!(peer.engine.wants().transport, Transport::Closed);
    }
}

#[test]
fn s07_a_stream_error_of_any_kind_is_read_and_not_answered() {
    for (start, header) in [
        (opened as fn() -> Peer, HEADER),
        (greeted, ""),
        (online, ""),
    ] {
        for (inner, known, again) in [
            (condition("conflict"), StreamCondition::Conflict, false),
            (
                condition("host-unknown"),
                StreamCondition::HostUnknown,
                false,
            ),
            (condition("reset"), StreamCondition::Reset, true),
            (
                condition("policy-violation"),
                StreamCondition::PolicyViolation,
                true,
            ),
            (
                condition("made-up"),
                StreamCondition::UndefinedCondition,
                true,
            ),
            (String::new(), StreamCondition::UndefinedCondition, true),
        ] {
            let mut peer = start();
            let more = "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
            peer.say(&format!(
                "{header}{}</stream:stream>{more}",
                stream_error(&inner)
            ));
            assert_eq!(peer.heard(), "</stream:stream>", "{inner}");
            let cause = OfflineCause::StreamError {
                condition: known,
                text: None,
            };
            assert_eq!(ends(&mut peer), (cause, again), "{inner}");
        }
    }
    // Before any header it is no stream, and no error of one.
    let mut peer = opened();
    peer.say("<error xmlns='http://etherx.jabber.org/streams'/>");
    assert!(matches!(ended(&mut peer), OfflineCause::Xml(_)));
    // Its words are bounded, and told as they are.
    let words = format!(
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{}</text>{}",
        "\u{9b}31m".repeat(1000),
        condition("reset")
    );
    let mut peer = online();
    peer.say(&stream_error(&words));
    match ended(&mut peer) {
        OfflineCause::StreamError {
            text: Some(text), ..
        } => assert!(text.len() <= 1024, "{}", text.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn s08_a_redirect_is_told_and_not_followed() {
    for (host, start) in [
        ("169.254.169.254:80", online as fn() -> Peer),
        ("[::1]:0", online),
        ("other.example", || over(config(), CLEAR)),
        ("no host at all", online),
    ] {
        let mut peer = start();
        let inner = condition("see-other-host").replace("/>", &format!(">{host}</see-other-host>"));
        peer.say(&stream_error(&inner));
        let cause = OfflineCause::StreamError {
            condition: StreamCondition::SeeOtherHost,
            text: None,
        };
        assert_eq!(ends(&mut peer), (cause, false), "{host}");
        peer.engine.handle_eof(peer.now);
        peer.pass(Duration::from_secs(86_400));
        assert_eq!(peer.engine.wants().transport, Transport::Closed);
    }
}

#[test]
fn s09_a_stream_of_another_domain_is_fatal() {
    for from in ["evil.example", "parley.local.evil.example", "", "@"] {
        let mut peer = opened();
        peer.say(&HEADER.replace("parley.local", from));
        assert_eq!(peer.heard(), "", "{from}");
        peer.say(PLAIN);
        assert_eq!(peer.heard(), farewell("invalid-from"), "{from}");
        let wrong = OfflineCause::PeerMisbehaved(PeerMisbehaved::WrongStreamHeader);
        assert_eq!(ended(&mut peer), wrong, "{from}");
    }
    let from = "from='parley.local'";
    for fine in [
        "",
        "from='PARLEY.local'",
        "from='parley.local' to='x@evil.example'",
    ] {
        let mut peer = opened();
        peer.say(&HEADER.replace(from, fine));
        peer.say(PLAIN);
        assert!(peer.heard().contains("<auth "), "{fine}");
    }
}

#[test]
fn s10_no_step_is_prolonged_by_bytes_and_the_login_has_an_end() {
    let secs = Duration::from_secs;
    for start in [
        opened as fn() -> Peer,
        greeted,
        asked_for_tls,
        setting_up_tls,
    ] {
        let mut peer = start();
        let began = peer.now;
        let mut drops = b"<a b='ccccccccccccccccccccccccccccccccccccccccccccccc".chunks(1);
        while peer.events().is_empty() {
            if peer.engine.wants().read {
                feed(&mut peer, drops.next().expect("an end"), 1);
            }
            peer.pass(secs(1));
        }
        assert!(peer.now.since(began) <= secs(16));
        assert!(!peer.engine.wants().read);
    }
    // Each step in its time, and all of them too slow.
    let mut peer = Peer::new(config());
    peer.engine.transport_opened(peer.now, CLEAR);
    for step in [HEADER, BOTH, PROCEED] {
        peer.pass(secs(14));
        peer.heard();
        peer.say(step);
    }
    peer.pass(secs(14));
    tls_stands(&mut peer);
    peer.pass(secs(4));
    assert_eq!(ended(&mut peer), OfflineCause::TimedOut(Timer::Login));
    // A host that opens no transport is not waited for either.
    let mut peer = Peer::new(config());
    peer.pass(secs(30));
    assert_eq!(ended(&mut peer), OfflineCause::TimedOut(Timer::Connect));
}

#[test]
fn s11_a_dead_peer_is_found_out() {
    let mut peer = online();
    let began = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        peer.say("\n");
        peer.pass(Duration::from_secs(1));
    }
    assert_eq!(
        ended(&mut peer),
        OfflineCause::TimedOut(Timer::KeepaliveReply)
    );
    assert!(peer.now.since(began) <= Duration::from_secs(46));
    // One who takes nothing of what is written.
    let mut peer = online();
    let room = peer.join("");
    peer.events();
    peer.reads = false;
    peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    peer.pass(Duration::from_secs(31));
    let events = peer.events();
    let timed_out = |event: &Event| {
        let cause = OfflineCause::TimedOut(Timer::Write);
        matches!(event, Event::Offline { cause: c, .. } if *c == cause)
    };
    assert!(events.iter().any(timed_out), "{events:?}");
}

/// With much to write, and a question behind it: who takes a byte now and then does not read.
#[test]
fn s11_who_takes_a_byte_now_and_then_is_not_alive() {
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say("<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>");
    let room = peer.join("");
    peer.events();
    peer.reads = false;
    let long = Post::new(&"x".repeat(60_000));
    peer.engine.post(peer.now, room, long).unwrap();
    let began = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        let so_far = peer.now.since(began);
        assert!(so_far < Duration::from_secs(120), "still online");
        peer.engine.written(peer.now, 1);
        peer.pass(Duration::from_secs(14));
    }
    let timed_out = |event: &Event| {
        matches!(
            event,
            Event::Offline {
                cause: OfflineCause::TimedOut(_),
                ..
            }
        )
    };
    assert!(peer.events().iter().any(timed_out));
    // Nor is who asks for more than it takes: what we owe it stops us from reading.
    let mut peer = online();
    peer.reads = false;
    let ping = |i| {
        format!(
            "<iq type='get' id='{}{i}'><ping xmlns='urn:xmpp:ping'/></iq>",
            "i".repeat(10_000)
        )
    };
    for i in 0.. {
        if !peer.engine.wants().read {
            break;
        }
        peer.say(&ping(i));
    }
    let began = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        let so_far = peer.now.since(began);
        assert!(so_far < Duration::from_secs(120), "still online");
        peer.engine.written(peer.now, 1);
        peer.pass(Duration::from_secs(1));
    }
    assert!(peer.events().iter().any(timed_out));
    // Who takes it slowly is.
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say("<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>");
    let room = peer.join("");
    peer.events();
    peer.reads = false;
    let long = Post::new(&"x".repeat(60_000));
    peer.engine.post(peer.now, room, long).unwrap();
    for second in 0..100 {
        assert_eq!(peer.engine.wants().transport, Transport::Open, "{second}");
        peer.engine.written(peer.now, 600);
        peer.pass(Duration::from_secs(1));
    }
}

#[test]
fn s12_how_a_stream_ended_is_told_apart_and_mostly_it_can_be_resumed() {
    let broken = |kind| TransportFailure {
        kind,
        detail: "reset".into(),
    };
    type End = fn(&mut Peer);
    let ends: [(End, OfflineCause, bool); 5] = [
        (
            |peer| {
                peer.say("</stream:stream>");
                peer.heard();
                peer.engine.handle_eof(peer.now);
            },
            OfflineCause::PeerClosed,
            true,
        ),
        (
            |peer| peer.engine.handle_eof(peer.now),
            OfflineCause::PeerClosed,
            true,
        ),
        (
            |peer| {
                peer.say("<message><body>half");
                peer.engine.handle_eof(peer.now);
            },
            OfflineCause::Truncated,
            true,
        ),
        (
            |peer| {
                let why = TransportFailure {
                    kind: TransportFailureKind::Io,
                    detail: "reset".into(),
                };
                peer.engine.transport_failed(peer.now, why);
            },
            OfflineCause::Transport(broken(TransportFailureKind::Io)),
            true,
        ),
        (
            |peer| {
                peer.engine.close(peer.now);
                peer.heard();
                peer.say("</stream:stream>");
                peer.engine.handle_eof(peer.now);
            },
            OfflineCause::Closed,
            false,
        ),
    ];
    for (end, due, resumes) in ends {
        let mut peer = Peer::new(config());
        peer.authenticate();
        peer.bind(BIND_SM);
        peer.say("<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='600'/>");
        peer.heard();
        end(&mut peer);
        let events = peer.events();
        let told = |event: &&Event| matches!(event, Event::Offline { .. });
        let offline: Vec<_> = events.iter().filter(told).collect();
        assert!(
            matches!(offline[..], [Event::Offline { cause, .. }] if *cause == due),
            "{events:?}"
        );
        if resumes {
            peer.pass(Duration::from_secs(1));
            peer.authenticate();
            peer.heard();
            peer.say(BIND_SM);
            let asked = peer.heard();
            assert!(asked.contains("<resume "), "{due:?}: {asked}");
        } else {
            assert_eq!(events.last(), Some(&Event::Closed));
        }
    }
}

#[test]
fn s13_compression_is_never_negotiated() {
    let compression = "<compression xmlns='http://jabber.org/features/compress'>\
        <method>zlib</method></compression></stream:features>";
    let mut peer = greeted();
    peer.say(&PLAIN.replace("</stream:features>", compression));
    let mut sent = peer.heard();
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.say(&BIND.replace("</stream:features>", compression));
    sent += &peer.heard();
    assert!(sent.contains("<auth ") && sent.contains("<bind "), "{sent}");
    assert!(!sent.contains("compress"), "{sent}");
}

/// A peer that says what it bears, at the end of the login.
fn limited(limits: &str) -> Peer {
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(&BIND.replace(
        "</stream:features>",
        &format!("<limits xmlns='urn:xmpp:stream-limits:0'>{limits}</limits></stream:features>"),
    ));
    peer.heard();
    peer
}

#[test]
fn s14_limits_that_a_server_announces_are_kept_and_absurd_ones_are_not_believed() {
    for (most, fits, too_large) in [
        ("20000", 19_000, 20_000),
        ("0", 9_000, 10_000),
        ("9223372036854775808", 200_000, 270_000),
        ("99999999999999999999", 200_000, 270_000),
    ] {
        let mut peer = limited(&format!("<max-bytes>{most}</max-bytes>"));
        let room = peer.join("");
        let mut post = |bytes: usize| {
            let post = Post::new(&"x".repeat(bytes));
            peer.engine.post(peer.now, room, post)
        };
        assert!(post(fits).is_ok(), "{most}");
        match post(too_large) {
            Err(PostError::TooLarge { size, limit }) => assert!(size > limit, "{most}"),
            other => panic!("{most}: {other:?}"),
        }
    }
    for (idle, ping_after) in [("40", 20), ("1", 5), ("0", 30), ("9223372036854775808", 30)] {
        let mut peer = limited(&format!("<idle-seconds>{idle}</idle-seconds>"));
        peer.pass(Duration::from_secs(ping_after) - Duration::from_millis(1));
        assert_eq!(peer.heard(), "", "{idle}");
        peer.pass(Duration::from_millis(1));
        assert!(peer.heard().contains("urn:xmpp:ping"), "{idle}");
    }
}

#[test]
fn s15_a_post_that_no_server_takes_is_refused_before_it_is_queued() {
    // No limit is announced: the one of Prosody for its clients holds.
    let mut peer = online();
    let room = peer.join("");
    peer.events();
    // Escaped, it is five times as large.
    let large = Post::new(&"&".repeat(60_000));
    match peer.engine.post(peer.now, room, large) {
        Err(PostError::TooLarge { size, limit }) => {
            assert!(size > 300_000 && limit <= 256 * 1024, "{size} of {limit}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
    let fits = Post::new(&"&".repeat(50_000));
    assert!(peer.engine.post(peer.now, room, fits).is_ok());
}
