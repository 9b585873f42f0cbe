//! STARTTLS, the stream header, features.

use parley_xmpp::{OfflineCause, PeerIncompatible, PeerMisbehaved, Transport, XmlLimits};

use crate::peer::{self, BIND, HEADER, Peer};
use crate::*;

fn misbehaved(what: PeerMisbehaved) -> OfflineCause {
    OfflineCause::PeerMisbehaved(what)
}

fn incompatible(what: PeerIncompatible) -> OfflineCause {
    OfflineCause::PeerIncompatible(what)
}

#[test]
fn s01_starttls_stripped_from_the_features() {
    for (config, security) in [
        (strict(), CLEAR),
        (peer::config(), CLEAR),
        (strict(), LOOPBACK),
        (on_loopback(), CLEAR),
    ] {
        let mut peer = greeted(config, security);
        peer.say(&offer(None, &["SCRAM-SHA-1", "PLAIN"]));
        assert!(!peer.heard().contains("<auth"));
        assert_eq!(
            ended_for_good(&mut peer),
            incompatible(PeerIncompatible::NoTls)
        );
    }
}

#[test]
fn s01_starttls_refused() {
    let mut peer = greeted(on_loopback(), CLEAR);
    peer.say(&offer(Some(true), &["SCRAM-SHA-1"]));
    assert_eq!(peer.heard(), format!("<starttls xmlns='{TLS}'/>"));
    peer.say(&format!("<failure xmlns='{TLS}'/>"));
    assert!(!peer.heard().contains("<auth"));
    assert_eq!(
        ended_for_good(&mut peer),
        incompatible(PeerIncompatible::TlsRefused)
    );
}

#[test]
fn s01_starttls_answered_with_something_else() {
    for answer in [
        SUCCESS.to_owned(),
        offer(None, &["SCRAM-SHA-1"]),
        format!("<proceed xmlns='{SASL}'/>"),
        "<message/>".to_owned(),
    ] {
        let mut peer = greeted(strict(), CLEAR);
        peer.say(&offer(Some(false), &["SCRAM-SHA-1"]));
        peer.heard();
        peer.say(&answer);
        assert!(!peer.heard().contains("<auth"));
        let due = misbehaved(PeerMisbehaved::UnexpectedElement);
        assert_eq!(ended_for_now(&mut peer), due, "{answer}");
    }
}

/// What is said to an offer over a loopback address, plaintext being allowed.
fn answer_on_loopback(offer: &str) -> (Peer, String) {
    let mut peer = greeted(on_loopback(), LOOPBACK);
    peer.say(offer);
    let said = peer.heard();
    (peer, said)
}

#[test]
fn s01_in_clear_on_loopback_scram_only() {
    // As ejabberd offers it.
    for starttls in [None, Some(false)] {
        let (_, said) = answer_on_loopback(&offer(starttls, &["PLAIN", "SCRAM-SHA-1"]));
        assert!(said.contains("mechanism='SCRAM-SHA-1'"), "{said}");
        assert!(!said.contains("PLAIN"));
    }
}

#[test]
fn s01_in_clear_plain_is_never_sent() {
    let (mut peer, said) = answer_on_loopback(&offer(None, &["PLAIN"]));
    assert!(!said.contains("<auth"));
    assert!(matches!(ended_for_good(&mut peer), OfflineCause::Auth(_)));
}

#[test]
fn s01_on_loopback_tls_where_required_or_where_only_plain_is_offered() {
    for offer in [
        offer(Some(true), &["SCRAM-SHA-1", "PLAIN"]),
        offer(Some(false), &["PLAIN"]),
        offer(Some(false), &[]),
        format!("<stream:features><starttls xmlns='{TLS}'/></stream:features>"),
    ] {
        let (mut peer, said) = answer_on_loopback(&offer);
        assert_eq!(said, format!("<starttls xmlns='{TLS}'/>"));
        peer.say(PROCEED);
        assert_eq!(peer.engine.wants().transport, Transport::StartTls);
        peer.engine
            .tls_established(peer.now, ChannelBinding::default());
        assert!(peer.heard().contains("<stream:stream"));
        peer.say(HEADER);
        peer.say(peer::PLAIN);
        assert!(peer.heard().contains("mechanism='PLAIN'"));
    }
}

/// A peer that the engine has asked for TLS.
fn asked_for_tls() -> Peer {
    let mut peer = greeted(strict(), CLEAR);
    peer.say(&offer(Some(true), &["PLAIN"]));
    peer.heard();
    peer
}

fn injected(mut peer: Peer) {
    let wants = peer.engine.wants();
    assert_eq!((wants.transport, wants.read), (Transport::Closed, false));
    assert_eq!(wants.write, b"");
    let cause = ended_for_now(&mut peer);
    assert_eq!(cause, misbehaved(PeerMisbehaved::DataAfterProceed));
}

#[test]
fn s02_bytes_after_proceed_are_fatal() {
    for tail in [
        " ",
        "\n",
        "\u{16}\u{3}\u{1}",
        HEADER,
        "<stream:features/>",
        "x",
    ] {
        let mut whole = asked_for_tls();
        whole.say(&format!("{PROCEED}{tail}"));
        injected(whole);

        let mut split = asked_for_tls();
        split.say(PROCEED);
        assert_eq!(split.engine.wants().transport, Transport::StartTls);
        assert!(!split.engine.wants().read);
        split.say(tail);
        // What the host makes of it is of no consequence.
        split
            .engine
            .tls_established(split.now, ChannelBinding::default());
        assert_eq!(split.engine.wants().write, b"");
        injected(split);
    }
}

#[test]
fn s02_tls_before_it_is_asked_for_is_ignored() {
    let mut peer = asked_for_tls();
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    assert_eq!(peer.heard(), "");
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    peer.engine.transport_opened(peer.now, secure());
    assert_eq!(peer.heard(), "");
}

#[test]
fn s03_what_was_learned_before_tls_is_forgotten() {
    let mut peer = greeted(peer::config(), CLEAR);
    peer.say(&offer(Some(true), &["SCRAM-SHA-1"]).replace(
        "</stream:features>",
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>77</max-bytes></limits>\
         <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    ));
    peer.say(PROCEED);
    peer.heard();
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    peer.say(HEADER);
    peer.heard();
    peer.say(peer::PLAIN);
    assert!(peer.heard().contains("mechanism='PLAIN'"));
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.say(BIND);
    let sent = peer.heard();
    let id = attribute(sent.rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&bound(&id, "alice@parley.local/x"));
    let [Event::Online { login, .. }] = &peer.events()[..] else {
        panic!("not online");
    };
    assert!(login.tls);
    assert_eq!(
        (&login.offered[..], login.max_bytes),
        (&["PLAIN".to_owned()][..], None)
    );
}

#[test]
fn s03_the_old_stream_does_not_go_on_inside_tls() {
    let mut peer = asked_for_tls();
    peer.say(PROCEED);
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    peer.say(&offer(None, &["SCRAM-SHA-1"]));
    assert!(!peer.heard().contains("<auth"));
    assert!(matches!(ended_for_now(&mut peer), OfflineCause::Xml(_)));
}

#[test]
fn s04_starttls_inside_tls_and_mechanisms_after_the_login_are_ignored() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(&offer(Some(true), &["PLAIN"]));
    assert!(peer.heard().starts_with("<auth "));
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.heard();
    let again = offer(Some(true), &["PLAIN"]);
    peer.say(&again.replace(
        "</stream:features>",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    ));
    let sent = peer.heard();
    assert!(
        sent.starts_with("<iq ") && sent.contains("<bind "),
        "{sent}"
    );
}

#[test]
fn s04_elements_out_of_their_state_are_fatal() {
    let unexpected = misbehaved(PeerMisbehaved::UnexpectedElement);
    for early in [
        SUCCESS,
        PROCEED,
        "<message/>",
        "<iq type='result' id='1'/>",
        "<features xmlns='jabber:client'/>",
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj0=</challenge>",
    ] {
        let mut peer = greeted(peer::config(), secure());
        peer.say(early);
        assert_eq!(ended_for_now(&mut peer), unexpected, "{early}");
        let mut peer = greeted(peer::config(), secure());
        peer.say(peer::PLAIN);
        peer.say(&early.replace("urn:ietf:params:xml:ns:xmpp-sasl", TLS));
        assert_eq!(ended_for_now(&mut peer), unexpected, "{early}");
    }
}

#[test]
fn s04_features_once_more() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(&format!("{}{}", peer::PLAIN, peer::PLAIN));
    assert_eq!(peer.heard().matches("<auth ").count(), 1);
    let unexpected = misbehaved(PeerMisbehaved::UnexpectedElement);
    assert_eq!(ended_for_now(&mut peer), unexpected);
    // Nor while a resource is asked for.
    let (mut peer, _) = binding(BIND);
    peer.say(BIND);
    assert_eq!(ended_for_now(&mut peer), unexpected);
    // On a stream that is set up they change nothing: one resource is asked for, once.
    let (mut peer, id) = binding(BIND);
    peer.say(&bound(&id, "alice@parley.local/x"));
    peer.say(BIND);
    assert!(!peer.heard().contains("<iq "));
    assert!(matches!(peer.events()[..], [Event::Online { .. }]));
}

#[test]
fn s04_features_before_the_header() {
    let mut peer = opened(peer::config(), secure());
    peer.say("<features xmlns='http://etherx.jabber.org/streams'/>");
    assert!(matches!(ended_for_now(&mut peer), OfflineCause::Xml(_)));
}

#[test]
fn s09_a_stream_of_another_domain() {
    for from in [
        "evil.example",
        "parley.local.evil.example",
        "",
        "@",
        "parley.local/x",
    ] {
        let mut peer = opened(peer::config(), secure());
        peer.say(&HEADER.replace("parley.local", from));
        peer.say(peer::PLAIN);
        assert!(peer.heard().contains("<invalid-from "), "{from}");
        let wrong = misbehaved(PeerMisbehaved::WrongStreamHeader);
        assert_eq!(ended_for_now(&mut peer), wrong, "{from}");
    }
    // Also after the login.
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.say(SUCCESS);
    peer.say(&HEADER.replace("parley.local", "evil.example"));
    peer.say(BIND);
    let wrong = misbehaved(PeerMisbehaved::WrongStreamHeader);
    assert_eq!(ended_for_now(&mut peer), wrong);
}

#[test]
fn s09_a_stream_without_from_or_in_capitals() {
    for header in [
        HEADER.replace("from='parley.local'", ""),
        HEADER.replace("parley.local", "Parley.LOCAL"),
        HEADER.replace(
            "from='parley.local'",
            "from='parley.local' to='somebody@else'",
        ),
        HEADER.replace("id='s'", ""),
    ] {
        let mut peer = opened(peer::config(), secure());
        peer.say(&header);
        peer.say(peer::PLAIN);
        assert!(peer.heard().contains("<auth "), "{header}");
    }
}

#[test]
fn s09_a_second_header() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(&HEADER.replace("<?xml version='1.0'?>", ""));
    let (cause, _) = ended(&mut peer);
    assert!(matches!(
        cause,
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_)
    ));
    let mut peer = Peer::online(peer::config());
    peer.say(&HEADER.replace("<?xml version='1.0'?>", ""));
    let (cause, _) = ended(&mut peer);
    assert!(matches!(
        cause,
        OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_)
    ));
}

#[test]
fn x34_versions_are_numbers() {
    for version in [
        "version='0.9'",
        "version=''",
        "version='one'",
        "version='-1.0'",
        "",
    ] {
        let mut peer = opened(peer::config(), secure());
        peer.say(&HEADER.replace(" version='1.0' from", &format!(" {version} from")));
        assert!(peer.heard().contains("<unsupported-version "), "{version}");
        let legacy = incompatible(PeerIncompatible::LegacyStream);
        assert_eq!(ended_for_good(&mut peer), legacy, "{version}");
    }
    for version in ["1.0", "1.10", "1", "2.0", "10.0"] {
        let mut peer = opened(peer::config(), secure());
        peer.say(&HEADER.replace("version='1.0' from", &format!("version='{version}' from")));
        peer.say(peer::PLAIN);
        assert!(peer.heard().contains("<auth "), "{version}");
    }
}

#[test]
fn x34_odd_headers() {
    let default_ns = "<stream xmlns='http://etherx.jabber.org/streams' version='1.0'>";
    let mut peer = opened(peer::config(), secure());
    peer.say(default_ns);
    peer.say(&peer::PLAIN.replace("stream:", ""));
    assert!(peer.heard().contains("<auth "));

    let mut peer = opened(peer::config(), secure());
    peer.say(&HEADER.replace("http://etherx", "http://evil"));
    assert!(matches!(ended_for_now(&mut peer), OfflineCause::Xml(_)));

    let mut peer = opened(peer::config(), secure());
    peer.say(&HEADER.replace("'>", "'/>"));
    assert_eq!(ended_for_now(&mut peer), OfflineCause::PeerClosed);
    assert!(peer.heard().is_empty());
}

/// RFC 6120 section 4.8.3: "If an entity receives a first-level child element qualified by
/// a content namespace it does not support, it MUST close the stream with an
/// <invalid-namespace/> stream error".
#[test]
fn x34_stanzas_of_another_content_namespace_end_the_stream() {
    let due = || misbehaved(PeerMisbehaved::WrongContentNamespace);
    let server = HEADER.replace("jabber:client", "jabber:server");
    let mut peer = opened(peer::config(), secure());
    peer.say(&server);
    peer.say(peer::PLAIN);
    peer.say(SUCCESS);
    peer.say(&server);
    peer.heard();
    peer.say(BIND);
    let id = attribute(&peer.heard(), "id").to_owned();
    peer.say(&bound(&id, "alice@parley.local/x"));
    assert!(peer.heard().contains("<invalid-namespace "));
    assert_eq!(ended_for_now(&mut peer), due());

    for stanza in ["message", "presence", "iq", "other"] {
        let mut peer = Peer::online(peer::config());
        peer.heard();
        peer.say(&format!(
            "<{stanza} xmlns='jabber:server' type='get' id='1'/>"
        ));
        assert!(
            peer.heard()
                .starts_with("<stream:error><invalid-namespace ")
        );
        assert_eq!(ended_for_now(&mut peer), due());
    }
    // Whatever else is no stanza of anybody's, and no harm.
    let mut peer = Peer::online(peer::config());
    peer.heard();
    peer.say("<message xmlns='urn:example:other'/><nothing xmlns=''/>");
    assert_eq!((peer.heard().as_str(), peer.events()), ("", Vec::new()));
}

#[test]
fn x32_white_space_without_end_before_the_login() {
    let most = XmlLimits::default().idle_bytes_before_login;
    let flood = misbehaved(PeerMisbehaved::IdleFlood);
    let start: [fn() -> Peer; 3] = [
        || opened(peer::config(), secure()),
        || greeted(peer::config(), secure()),
        || binding(BIND).0,
    ];
    for start in start {
        for piece in [1, 100, most + 1] {
            let mut peer = start();
            let mut said = 0;
            while peer.engine.wants().transport == Transport::Open {
                peer.say(&" ".repeat(piece));
                said += piece;
                assert!(said <= most + piece);
            }
            assert!(said > most);
            assert_eq!(ended_for_now(&mut peer), flood);
        }
    }
}

#[test]
fn x32_white_space_is_counted_the_same_in_any_pieces() {
    let most = XmlLimits::default().idle_bytes_before_login;
    for (spaces, is_flood) in [(most, false), (most + 1, true)] {
        let text = format!("{}{}", " ".repeat(spaces), peer::PLAIN);
        for piece in [1, 64, most, usize::MAX] {
            let mut peer = greeted(peer::config(), secure());
            for piece in text.as_bytes().chunks(piece.min(text.len())) {
                peer.say(core::str::from_utf8(piece).unwrap());
            }
            assert_eq!(
                peer.heard().contains("<auth "),
                !is_flood,
                "{spaces} by {piece}"
            );
        }
    }
}

#[test]
fn x32_white_space_on_an_established_stream_is_nothing() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    peer.say(&"\t\r\n ".repeat(250_000));
    assert_eq!((peer.heard().as_str(), peer.events()), ("", Vec::new()));
    assert_eq!(peer.engine.wants().transport, Transport::Open);
}

#[test]
fn s13_compression_is_never_taken() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(&peer::PLAIN.replace(
        "</stream:features>",
        "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method>\
         </compression></stream:features>",
    ));
    assert!(!peer.heard().contains("compress"));
}

#[test]
fn any_pieces_log_in_the_same() {
    let login = |piece: usize| {
        let mut peer = Peer::new(strict());
        peer.engine.transport_opened(peer.now, secure());
        let mut sent = peer.heard();
        let say = |peer: &mut Peer, text: &str| {
            for piece in text.as_bytes().chunks(piece) {
                peer.say(core::str::from_utf8(piece).unwrap());
            }
            work(peer);
            peer.heard()
        };
        sent += &say(&mut peer, HEADER);
        let auth = say(&mut peer, &offer(None, &["SCRAM-SHA-256"]));
        let mut server = Scram::new("SCRAM-SHA-256", "secret");
        let first = server.first(text_of(&auth, "auth"));
        let response = say(&mut peer, &challenge(&first));
        let last = server.last(text_of(&response, "response"), b"").unwrap();
        // The new stream in the same piece as the end of the login.
        let success = format!(
            "<success xmlns='{SASL}'>{}</success>{HEADER}{BIND}",
            base64(&last)
        );
        let bind = say(&mut peer, &success);
        let id = attribute(bind.rsplit("<iq ").next().unwrap(), "id");
        sent += &auth;
        sent += &response;
        sent += &bind;
        sent += &say(&mut peer, &bound(id, "alice@parley.local/x"));
        (sent, peer.events())
    };
    let whole = login(usize::MAX);
    assert!(matches!(whole.1[..], [Event::Online { .. }]));
    for piece in [1, 2, 5, 64] {
        assert_eq!(login(piece), whole);
    }
}

#[test]
fn tls_that_nobody_asked_for_changes_nothing() {
    let mut peer = Peer::online(peer::config());
    peer.join(peer::ROOM_FEATURES);
    peer.events();
    peer.heard();
    let deadline = peer.engine.wants().deadline;
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    let wants = peer.engine.wants();
    assert_eq!(
        (wants.transport, wants.read, wants.deadline),
        (Transport::Open, true, deadline)
    );
    peer.engine.close(peer.now);
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    assert_eq!(
        peer.heard(),
        "<presence type='unavailable'/></stream:stream>"
    );
}
