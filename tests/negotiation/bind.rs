//! Binding a resource, the legacy session, and being replaced.

use parley_xmpp::{Condition, OfflineCause, PeerIncompatible, PeerMisbehaved, StreamCondition};

use crate::peer::{self, BIND, HEADER, Peer};
use crate::*;

fn online(peer: &mut Peer) -> String {
    match &peer.events()[..] {
        [Event::Online { jid, .. }] => jid.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn b01_another_resource_is_taken() {
    for (given, taken) in [
        ("alice@parley.local/theirs", "alice@parley.local/theirs"),
        (
            "Alice@PARLEY.local/A b\u{20ac}",
            "alice@parley.local/A b\u{20ac}",
        ),
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&bound(&id, given));
        assert_eq!(online(&mut peer), taken);
        assert!(peer.heard().contains("<presence>"));
    }
}

#[test]
fn b01_another_account_is_fatal() {
    for jid in [
        "mallory@parley.local/x",
        "alice@evil.example/x",
        "parley.local/x",
        "alice@parley.local.evil/x",
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&bound(&id, jid));
        let due = OfflineCause::PeerMisbehaved(PeerMisbehaved::BoundToAnotherAccount);
        assert_eq!(ended_for_now(&mut peer), due, "{jid}");
        assert!(!peer.heard().contains("<presence"));
    }
}

#[test]
fn b01_a_malformed_answer_is_fatal() {
    let long = format!("alice@parley.local/{}", "x".repeat(1024));
    for jid in [
        "",
        " ",
        "alice@parley.local",
        "alice@parley.local/",
        "@/",
        "a b@parley.local/x",
        &long,
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&bound(&id, jid));
        let due = OfflineCause::PeerMisbehaved(PeerMisbehaved::MalformedBind);
        assert_eq!(ended_for_now(&mut peer), due, "{jid}");
    }
    for payload in [
        "",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid xmlns='x'>alice@parley.local/x</jid></bind>",
        "<jid xmlns='urn:ietf:params:xml:ns:xmpp-bind'>alice@parley.local/x</jid>",
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&format!("<iq type='result' id='{id}'>{payload}</iq>"));
        let due = OfflineCause::PeerMisbehaved(PeerMisbehaved::MalformedBind);
        assert_eq!(ended_for_now(&mut peer), due, "{payload}");
    }
}

#[test]
fn b02_refusals_and_the_next_attempt() {
    for (condition, for_good) in [
        ("conflict", true),
        ("not-allowed", true),
        ("bad-request", true),
        ("made-up", true),
        ("resource-constraint", false),
        ("internal-server-error", false),
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&format!(
            "<iq type='error' id='{id}'><error type='cancel'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));
        let cause = if for_good {
            ended_for_good(&mut peer)
        } else {
            ended_for_now(&mut peer)
        };
        let OfflineCause::Bind(error) = cause else {
            panic!("{cause:?}");
        };
        assert_eq!(error.condition, Condition::from_wire(condition));
    }
    let (mut peer, id) = binding(BIND);
    peer.say(&format!("<iq type='error' id='{id}'/>"));
    assert!(matches!(ended_for_good(&mut peer), OfflineCause::Bind(_)));
}

#[test]
fn b02_no_binding_on_offer() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.say("<stream:features><bind xmlns='urn:example:other'/></stream:features>");
    let due = OfflineCause::PeerIncompatible(PeerIncompatible::NoBind);
    assert_eq!(ended_for_good(&mut peer), due);
}

const SESSION: &str = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'>";

fn with_session(inner: &str) -> String {
    BIND.replace(
        "</stream:features>",
        &format!("{SESSION}{inner}</session></stream:features>"),
    )
}

#[test]
fn b03_a_required_session_is_asked_for() {
    let (mut peer, id) = binding(&with_session(""));
    peer.say(&bound(&id, "alice@parley.local/x"));
    assert_eq!(peer.events(), []);
    let sent = peer.heard();
    assert!(
        sent.contains("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"),
        "{sent}"
    );
    let session = attribute(&sent, "id").to_owned();
    // The answer to the binding again is not the one to this.
    peer.say(&bound(&id, "alice@parley.local/y"));
    assert_eq!(peer.events(), []);
    peer.say(&format!("<iq type='result' id='{session}'/>"));
    assert_eq!(online(&mut peer), "alice@parley.local/x");

    let (mut peer, id) = binding(&with_session(""));
    peer.say(&bound(&id, "alice@parley.local/x"));
    let session = attribute(&peer.heard(), "id").to_owned();
    peer.say(&format!(
        "<iq type='error' id='{session}'><error type='wait'>\
         <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    assert!(matches!(ended_for_now(&mut peer), OfflineCause::Bind(_)));
}

#[test]
fn b03_an_optional_session_is_not() {
    let (mut peer, id) = binding(&with_session("<optional/>"));
    peer.say(&bound(&id, "alice@parley.local/x"));
    assert!(!peer.heard().contains("<session"));
    online(&mut peer);
}

#[test]
fn b04_while_binding_the_id_alone_counts() {
    for from in [
        "",
        "from='parley.local'",
        "from='alice@parley.local'",
        "from='x@y/z'",
    ] {
        let (mut peer, id) = binding(BIND);
        let answer = bound(&id, "alice@parley.local/x");
        peer.say(&answer.replace("<iq ", &format!("<iq {from} ")));
        online(&mut peer);
    }
    for id in ["", "x", "0"] {
        let (mut peer, _) = binding(BIND);
        peer.say(&bound(id, "alice@parley.local/x"));
        assert_eq!(peer.events(), []);
        assert_eq!(peer.engine.wants().transport, Transport::Open);
    }
}

#[test]
fn b05_stanzas_before_the_answer_are_survived() {
    let (mut peer, id) = binding(BIND);
    for early in [
        "<iq type='set' id='roster' to='alice@parley.local'><query xmlns='jabber:iq:roster'/></iq>",
        "<message from='x@y'><body>early</body></message>",
        "<presence from='ops@muc.parley.local/ada'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<nothing/>",
        "<iq/>",
    ] {
        peer.say(early);
    }
    assert_eq!((peer.heard().as_str(), peer.events()), ("", Vec::new()));
    peer.say(&bound(&id, "alice@parley.local/x"));
    online(&mut peer);
}

#[test]
fn b06_replaced_by_another_stream_is_the_end() {
    let mut peer = Peer::online(peer::config());
    peer.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    );
    let cause = ended_for_good(&mut peer);
    assert!(matches!(
        cause,
        OfflineCause::StreamError {
            condition: StreamCondition::Conflict,
            text: None
        }
    ));
    // Unless somebody says so.
    peer.engine.reconnect(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
}

/// RFC 6120 section 4.9.3.3: after a <conflict/> a client "MUST NOT blindly request the
/// resourcepart it used during the former session but instead MUST choose a different
/// resourcepart".
#[test]
fn b06_after_a_conflict_another_resource_is_asked_for() {
    let asked = |config: Config, condition: &str| {
        let mut peer = Peer::new(config);
        let mut resources = Vec::new();
        for _ in 0..2 {
            peer.authenticate();
            peer.heard();
            peer.say(BIND);
            let bind = peer.heard();
            let (_, rest) = bind.split_once("<resource>").unwrap();
            resources.push(rest.split_once('<').unwrap().0.to_owned());
            let id = attribute(&bind, "id").to_owned();
            peer.say(&bound(&id, "alice@parley.local/x"));
            peer.say(&format!(
                "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                 </stream:error></stream:stream>"
            ));
            peer.engine.handle_eof(peer.now);
            peer.events();
            peer.engine.reconnect(peer.now);
        }
        resources
    };
    let drawn = asked(peer::config(), "conflict");
    assert_ne!(drawn[0], drawn[1]);
    // Nobody has our place: the same, so that what is left of the old stream is ended.
    let drawn = asked(peer::config(), "system-shutdown");
    assert_eq!(drawn[0], drawn[1]);
    // The host's choice is the host's, who alone asked to try again.
    let chosen = asked(peer::config().resource("desk").unwrap(), "conflict");
    assert_eq!(chosen, ["desk", "desk"]);
}
