//! What is shown, and what addresses are: L1 to L3.

use parley_xmpp::jid::{BareJid, Jid, JidError};
use parley_xmpp::xml::XmlFault;
use parley_xmpp::{AuthFailure, OfflineCause};

use crate::peer::{ROOM_FEATURES, message};
use crate::*;

#[test]
fn l01_what_steers_a_terminal_is_refused_or_told_as_it_is() {
    // XML has no escape character, as it is or by reference.
    for said in ["\u{1b}]0;owned\u{7}", "\u{1b}[2J", "&#27;[2J", "&#x7;"] {
        let fault = if said.starts_with('&') {
            XmlFault::ForbiddenReference
        } else {
            XmlFault::ForbiddenCharacter
        };
        let said = message("bob", "a8", said);
        refused(online, said, fault, "not-well-formed");
    }
    // It has others, which are for whoever shows it to make harmless: nothing is lost.
    for body in [
        "\u{9b}2J",
        "\u{202e}gpj.exe",
        "a\u{200b}b",
        "\u{2066}x\u{2069}",
    ] {
        let (mut peer, _) = followed(ROOM_FEATURES);
        peer.say(&message("bob", "a8", body));
        assert_eq!(bodies(&peer.events()), [body]);
    }
}

#[test]
fn l02_no_words_of_a_peer_stand_in_ours() {
    let evil = "x\n2026-11-21 ERROR forged\u{9b}2J\u{202e}";
    // An error in one line, as logs have them.
    let text = format!(
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{evil}</text>\
         <reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    );
    let mut peer = online();
    peer.say(&format!("<stream:error>{text}</stream:error>"));
    let cause = ended(&mut peer);
    // As it is printed for those who look for a mistake it is escaped.
    let shown = format!("{cause:?}");
    assert!(!shown.contains(['\n', '\u{9b}', '\u{202e}']), "{shown:?}");
    assert!(matches!(cause, OfflineCause::StreamError { text: Some(text), .. } if text == evil));
    let mut peer = greeted();
    peer.say(&peer::PLAIN.replace("PLAIN", evil));
    let OfflineCause::Auth(failure) = ended(&mut peer) else {
        panic!("a login");
    };
    assert!(matches!(failure, AuthFailure::NoMechanism { .. }));
    let shown = failure.to_string();
    assert!(!shown.contains("forged"), "{shown}");
    // What does not name a known condition is not repeated.
    let (mut peer, room) = in_room(ROOM_FEATURES);
    peer.engine
        .post(peer.now, room, parley_xmpp::Post::new("x"))
        .unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{id}'><error type='cancel'>\
         <forged-\u{20ac} xmlns='{STANZAS}'/><text xmlns='{STANZAS}'>{evil}</text></error></message>"
    ));
    let events = peer.events();
    let [
        Event::Post {
            outcome: parley_xmpp::PostOutcome::Rejected(error),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(error.to_string(), "undefined-condition");
}

#[test]
fn l03_an_address_is_one_address() {
    let parse = |text: &str| Jid::parse(text);
    assert_eq!(
        parse("Room@MUC.example").unwrap(),
        parse("room@muc.example").unwrap()
    );
    assert_ne!(parse("r@m/Nick").unwrap(), parse("r@m/nick").unwrap());
    // The first slash, then the first at.
    let jid = parse("room@muc.example/a/b@c").unwrap();
    assert_eq!((jid.local(), jid.domain()), (Some("room"), "muc.example"));
    assert_eq!(jid.resource(), Some("a/b@c"));
    for bad in [
        "",
        "@",
        "/",
        "@d",
        "l@",
        "l@/r",
        "d/",
        "a@b@c",
        "a b@c",
        "\u{2044}@c",
        "a\u{ff20}b",
        "a\u{2044}b",
        "a@b/\u{1b}",
        "a@b/\u{9b}",
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
    let long = "x".repeat(1024);
    for text in [format!("{long}@d"), long.clone(), format!("a@b/{long}")] {
        assert!(matches!(parse(&text), Err(JidError::TooLong(_))));
    }
    assert!(BareJid::parse("room@muc.example/nick").is_err());
    // Nor is a room another whose name begins or ends as its own does.
    let (mut peer, _) = followed(ROOM_FEATURES);
    let said = message("bob", "a8", "hi");
    for from in [
        "ops@muc.parley.local.evil.example",
        "xops@muc.parley.local",
        "ops@muc.parley.loca",
        "ops%40muc.parley.local",
        "evil.example/ops@muc.parley.local",
    ] {
        peer.say(&said.replace(&format!("from='{ROOM}/bob'"), &format!("from='{from}/bob'")));
    }
    assert_eq!(peer.events(), []);
    // It is the same in other letters.
    peer.say(&said.replacen(ROOM, "OPS@Muc.Parley.LOCAL", 1));
    assert_eq!(bodies(&peer.events()), ["hi"]);
}
