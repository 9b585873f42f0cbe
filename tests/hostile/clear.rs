//! What is said in clear, before the server has shown who it is: it may be anybody's. S3, S9.

use std::time::Duration;

use parley_xmpp::{PeerMisbehaved, Retry, StreamCondition};

use crate::peer::BIND_SM;
use crate::*;

const CLEAR: Security = Security::Clear { loopback: false };
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true' max='600'/>";

/// What a captive portal says, and who wants us gone.
fn sayings() -> Vec<String> {
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
        </stream:features>";
    let mut sayings = vec![
        "HTTP/1.1 400 Bad Request\r\n\r\n".into(),
        HEADER.replace("parley.local", "evil.example") + features,
        HEADER.replace("version='1.0'", ""),
        format!("{HEADER}<stream:features/>"),
        format!("{HEADER}{features}<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        format!("{HEADER}{features}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>x"),
        format!("{HEADER}<message/>"),
        format!("{HEADER}</stream:stream>"),
    ];
    for condition in [
        "conflict",
        "host-gone",
        "host-unknown",
        "not-authorized",
        "policy-violation",
        "see-other-host",
        "undefined-condition",
        "unsupported-version",
    ] {
        sayings.push(format!("{HEADER}{}", farewell(condition)));
    }
    sayings
}

/// Opens the next transport in clear and says that; what the host is told of its end.
fn say_in_clear(peer: &mut Peer, saying: &str) -> Retry {
    peer.engine.transport_opened(peer.now, CLEAR);
    peer.heard();
    peer.say(saying);
    peer.heard();
    let events = peer.events();
    peer.engine.handle_eof(peer.now);
    match events[..] {
        [Event::Offline { retry, .. }] => retry,
        _ => panic!("{saying}: {events:?}"),
    }
}

#[test]
fn s03_what_is_said_in_clear_ends_no_session() {
    for saying in sayings() {
        let mut peer = Peer::new(config());
        peer.authenticate();
        peer.heard();
        peer.say(BIND_SM);
        let asked = peer.heard();
        let id = attribute(&asked, "id");
        let resource = |asked: &str| {
            let (_, rest) = asked.split_once("<resource>").expect("a resource");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        let ours = resource(&asked);
        peer.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/{ours}</jid></bind></iq>"
        ));
        peer.heard();
        peer.say(ENABLED);
        peer.engine.handle_eof(peer.now);
        peer.pass(Duration::from_secs(2));
        peer.events();
        // Nothing has become of it but time.
        let retry = say_in_clear(&mut peer, &saying);
        assert_ne!(retry, Retry::Never, "{saying}");
        peer.engine.reconnect(peer.now);
        peer.authenticate();
        peer.heard();
        peer.say(BIND_SM);
        let asked = peer.heard();
        assert!(asked.contains("<resume "), "{saying}: {asked}");
        // Nor has anybody our place.
        peer.say("<failed xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(resource(&peer.heard()), ours, "{saying}");
    }
}

#[test]
fn s03_who_was_logged_in_is_not_stopped_by_what_is_said_in_clear() {
    for saying in sayings() {
        let mut peer = online();
        peer.engine.handle_eof(peer.now);
        peer.events();
        for time in 0..9 {
            while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
                assert!(peer.engine.wants().deadline.is_some(), "{saying}");
                peer.pass(Duration::from_secs(1));
                assert_eq!(peer.events(), [], "{saying}");
            }
            let retry = say_in_clear(&mut peer, &saying);
            assert_ne!(retry, Retry::Never, "{saying}, {time}");
        }
    }
}

/// It is a mistake in the configuration then, mostly.
#[test]
fn s03_who_was_never_logged_in_is_told_at_once() {
    for condition in ["host-gone", "host-unknown", "see-other-host"] {
        let mut peer = Peer::new(config());
        let saying = format!("{HEADER}{}", farewell(condition));
        let retry = say_in_clear(&mut peer, &saying);
        assert_eq!(retry, Retry::Never, "{condition}");
    }
}

/// RFC 6120 section 4.9.1.3, and the examples of 4.9.3.6.
#[test]
fn s09_who_has_no_such_host_says_so_under_a_name_of_its_own() {
    for from in ["im.example.com", ""] {
        let mut peer = opened();
        peer.say(&HEADER.replace("parley.local", from));
        peer.say(&farewell("host-unknown"));
        let told = ended(&mut peer);
        let unknown = matches!(
            told,
            OfflineCause::StreamError {
                condition: StreamCondition::HostUnknown,
                ..
            }
        );
        assert!(unknown, "{from}: {told:?}");
    }
    // Anything else under that name counts for nothing.
    let mut peer = opened();
    peer.say(&HEADER.replace("parley.local", "im.example.com"));
    peer.say("</stream:stream>");
    assert_eq!(ended(&mut peer), OfflineCause::PeerClosed);
    let mut peer = opened();
    peer.say(&HEADER.replace("parley.local", "im.example.com"));
    peer.say("<message/>");
    let foreign = OfflineCause::PeerMisbehaved(PeerMisbehaved::WrongStreamHeader);
    assert_eq!(ended(&mut peer), foreign);
}
