//! Binding a resource: B1 to B6.

use std::time::Duration;

use parley_xmpp::{
    Condition, OfflineCause, PeerMisbehaved, Retry, StreamCondition, TransportFailure,
    TransportFailureKind,
};

use crate::peer::{BIND, HEADER, PLAIN, attribute};
use crate::*;

/// A peer that was asked for a resource, with the id of that request.
fn binding(features: &str) -> (Peer, String) {
    let mut peer = greeted();
    peer.say(PLAIN);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(HEADER);
    peer.heard();
    peer.say(features);
    let id = attribute(&peer.heard(), "id").to_owned();
    (peer, id)
}

fn bound(id: &str, jid: &str) -> String {
    format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}\
         </bind></iq>"
    )
}

fn jid(text: &str) -> String {
    format!("<jid>{text}</jid>")
}

#[track_caller]
fn address(peer: &mut Peer) -> String {
    match &peer.events()[..] {
        [Event::Online { jid, .. }] => jid.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn b01_another_resource_is_ours_and_another_account_is_not() {
    let (mut peer, id) = binding(BIND);
    peer.say(&bound(&id, &jid("Alice@PARLEY.local/theirs")));
    assert_eq!(address(&mut peer), "alice@parley.local/theirs");
    let long = format!("alice@parley.local/{}", "x".repeat(1024));
    for (given, fault) in [
        (jid("other@evil/x"), PeerMisbehaved::BoundToAnotherAccount),
        (
            jid("mallory@parley.local/x"),
            PeerMisbehaved::BoundToAnotherAccount,
        ),
        (jid("parley.local/x"), PeerMisbehaved::BoundToAnotherAccount),
        (jid("alice@parley.local"), PeerMisbehaved::MalformedBind),
        (jid("alice@parley.local/"), PeerMisbehaved::MalformedBind),
        (jid(""), PeerMisbehaved::MalformedBind),
        (jid("@/"), PeerMisbehaved::MalformedBind),
        (jid(&long), PeerMisbehaved::MalformedBind),
        (String::new(), PeerMisbehaved::MalformedBind),
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&bound(&id, &given));
        assert!(!peer.heard().contains("<presence"), "{given}");
        assert_eq!(
            ended(&mut peer),
            OfflineCause::PeerMisbehaved(fault),
            "{given}"
        );
    }
    // Only the answer to the request, and only what it says in the place for it.
    let (mut peer, id) = binding(BIND);
    for other in ["message", "presence"] {
        let answer = bound(&id, &jid("alice@parley.local/x"));
        let answer = answer.replace("<iq ", &format!("<{other} "));
        peer.say(&answer.replace("</iq>", &format!("</{other}>")));
        assert_eq!(peer.events(), [], "{other}");
    }
    for (wrong, from, to) in [
        (
            "another wrapper",
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>",
            "<bind xmlns='u'>",
        ),
        ("an address in pieces", "/x", "/<y/>x"),
    ] {
        let (mut peer, id) = binding(BIND);
        let answer = bound(&id, &jid("alice@parley.local/x"));
        let answer = answer.replace(from, to);
        let answer = answer.replace("<jid>", "<jid xmlns='urn:ietf:params:xml:ns:xmpp-bind'>");
        peer.say(&answer);
        let malformed = OfflineCause::PeerMisbehaved(PeerMisbehaved::MalformedBind);
        assert_eq!(ended(&mut peer), malformed, "{wrong}");
    }
}

#[test]
fn b02_a_refusal_stops_us_or_slows_us_down() {
    for (condition, kind, slowly) in [
        ("conflict", "cancel", false),
        ("not-allowed", "cancel", false),
        ("bad-request", "modify", false),
        ("resource-constraint", "cancel", true),
        // Who says "wait" is believed.
        ("not-allowed", "wait", true),
    ] {
        let (mut peer, id) = binding(BIND);
        peer.say(&format!(
            "<iq type='error' id='{id}'><error type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));
        match &peer.events()[..] {
            [
                Event::Offline {
                    cause: OfflineCause::Bind(error),
                    retry,
                },
            ] => {
                assert_eq!(error.condition, Condition::from_wire(condition));
                let pause = match retry {
                    Retry::At(at) => Some(at.since(peer.now)),
                    _ => None,
                };
                assert_eq!(pause.is_some(), slowly, "{condition}");
                assert!(pause.is_none_or(|pause| pause >= Duration::from_secs(30)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn b03_a_session_is_asked_for_where_it_is_required() {
    let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'>";
    for (inner, asked) in [("", true), ("<optional/>", false)] {
        let more = format!("{session}{inner}</session></stream:features>");
        let (mut peer, id) = binding(&BIND.replace("</stream:features>", &more));
        peer.say(&bound(&id, &jid("alice@parley.local/x")));
        let sent = peer.heard();
        assert_eq!(sent.contains("<session "), asked, "{sent}");
        if asked {
            assert_eq!(peer.events(), []);
            let id = attribute(&sent, "id");
            peer.say(&format!("<iq type='result' id='{id}'/>"));
        }
        address(&mut peer);
    }
}

#[test]
fn b04_the_id_says_what_is_answered_while_we_have_no_address() {
    for from in ["", "from='parley.local'", "from='alice@parley.local'"] {
        let (mut peer, id) = binding(BIND);
        let answer = bound(&id, &jid("alice@parley.local/x"));
        peer.say(&answer.replace("<iq ", &format!("<iq {from} ")));
        address(&mut peer);
    }
    for id in ["", "another"] {
        let (mut peer, right) = binding(BIND);
        peer.say(&bound(id, &jid("alice@parley.local/x")));
        assert_eq!(peer.events(), []);
        peer.say(&bound(&right, &jid("alice@parley.local/x")));
        address(&mut peer);
    }
}

#[test]
fn b05_what_comes_before_we_are_bound_is_nothing_to_us() {
    let (mut peer, id) = binding(BIND);
    for early in [
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        "<message from='x@y'><body>early</body></message>",
        "<presence from='ops@muc.parley.local/ada'/>",
        "<iq/>",
        "<nothing/>",
    ] {
        peer.say(&early.repeat(1000));
    }
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
    peer.say(&bound(&id, &jid("alice@parley.local/x")));
    address(&mut peer);
}

#[test]
fn b06_who_is_replaced_does_not_take_the_place_back() {
    let mut peer = online();
    peer.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    );
    let cause = OfflineCause::StreamError {
        condition: StreamCondition::Conflict,
        text: None,
    };
    let retry = Retry::Never;
    assert_eq!(peer.events(), [Event::Offline { cause, retry }]);
    peer.heard();
    peer.engine.handle_eof(peer.now);
    peer.pass(Duration::from_secs(86_400));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    // Nor by another way to lose a stream: only the host may ask.
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: String::new(),
    };
    peer.engine.transport_failed(peer.now, why);
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    peer.engine.reconnect(peer.now);
    let asked = Transport::Connect { attempt: 2 };
    assert_eq!(peer.engine.wants().transport, asked);
}
