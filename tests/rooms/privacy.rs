//! What the room lets be known of us, and to whom.

use crate::*;

/// What the room itself says of its configuration.
fn configured(codes: &[&str]) -> String {
    let codes = codes.iter().map(|code| format!("<status code='{code}'/>"));
    format!(
        "<message from='{ROOM}' type='groupchat'><x xmlns='http://jabber.org/protocol/muc#user'>\
         {}</x></message>",
        codes.collect::<String>()
    )
}

/// Whether everybody sees our address, and whether what is said is logged.
fn known(privacy: Privacy) -> (bool, bool) {
    (privacy.occupants_see_jids, privacy.logged)
}

/// Lets us in with these statuses besides 110; what we are told of it.
fn let_in_with(codes: &str) -> (Peer, Privacy) {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let id = attribute(peer.heard().rsplit("<iq ").next().unwrap(), "id").to_owned();
    // Others say nothing of the room, nor of what is shown of us.
    peer.say(&presence("bob", "<status code='170'/>"));
    peer.say(&presence("ada", &format!("{codes}<status code='110'/>")));
    peer.say(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'><query \
         xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    ));
    let told = room_events(&peer.events())
        .into_iter()
        .find_map(|e| match e {
            RoomEvent::Joined(joined) => Some(joined.privacy),
            _ => None,
        });
    (peer, told.expect("to be in"))
}

/// XEP-0045 v1.35.5, sections 7.2.3 and 7.2.12.
#[test]
fn what_a_room_lets_be_known_is_told_when_it_lets_us_in() {
    for (codes, expected) in [
        ("", (false, false)),
        ("<status code='100'/>", (true, false)),
        ("<status code='170'/>", (false, true)),
        ("<status code='100'/><status code='170'/>", (true, true)),
        // Of another namespace, or of no known meaning.
        (
            "<status xmlns='urn:x' code='100'/><status code='999'/>",
            (false, false),
        ),
    ] {
        let (mut peer, privacy) = let_in_with(codes);
        assert_eq!(known(privacy), expected, "{codes}");
        // It is what the room says this time that counts.
        cut(&mut peer);
        heal(&mut peer);
        let events = peer.events();
        let again = room_events(&events).into_iter().find_map(|e| match e {
            RoomEvent::Joined(joined) => Some(joined.privacy),
            _ => None,
        });
        assert_eq!(again.map(known), Some((false, false)), "{codes}");
    }
}

/// XEP-0045 v1.35.5, section 10.2.1.
#[test]
fn what_a_room_lets_be_known_is_told_when_it_changes() {
    let (mut peer, _) = let_in_with("");
    let mut told = |text: &str| {
        peer.say(text);
        let events = peer.events();
        let told = room_events(&events).into_iter().map(|event| match event {
            RoomEvent::PrivacyChanged(privacy) => Some(known(*privacy)),
            RoomEvent::ConfigChanged => None,
            other => panic!("{other:?}"),
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&configured(&["172"])), [Some((true, false))]);
    assert_eq!(told(&configured(&["172"])), [], "no news");
    assert_eq!(told(&configured(&["170"])), [Some((true, true))]);
    assert_eq!(told(&configured(&["173", "171"])), [Some((false, false))]);
    assert_eq!(told(&configured(&["100"])), [Some((true, false))]);
    assert_eq!(told(&configured(&["174"])), [Some((false, false))]);
    assert_eq!(told(&configured(&["104"])), [None]);
    assert_eq!(
        told(&configured(&["104", "170"])),
        [Some((false, true)), None]
    );
    assert_eq!(told(&configured(&[])), []);
    assert_eq!(told(&configured(&["110", "201", "307"])), []);
    // Only the room itself says so, and says it to all.
    let from = |who: &str| configured(&["171"]).replace(&format!("from='{ROOM}'"), who);
    for text in [
        from(&format!("from='{ROOM}/bob'")),
        from("from='evil@muc.parley.local'"),
        from("from='parley.local'"),
        configured(&["171"]).replace("groupchat", "chat"),
        configured(&["171"]).replace("muc#user", "muc#admin"),
    ] {
        assert_eq!(told(&text), [], "{text}");
    }
    assert_eq!(told(&configured(&["171"])), [Some((false, false))]);
}

/// What is said while we are let in is in what we are told then, once.
#[test]
fn what_changes_while_we_are_let_in_is_told_with_the_rest() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let id = attribute(peer.heard().rsplit("<iq ").next().unwrap(), "id").to_owned();
    // Of a stay before.
    peer.say(&configured(&["170"]));
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(&configured(&["172", "104"]));
    peer.say(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'><query \
         xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    ));
    let events = peer.events();
    match room_events(&events)[..] {
        [RoomEvent::Joined(joined)] => assert_eq!(known(joined.privacy), (true, false)),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_but_requests_is_ever_answered() {
    let (mut peer, _) = in_room();
    peer.heard();
    peer.say(&message("bob", "a1", "hi"));
    peer.say("<message from='x@y' type='chat'><body>psst</body></message>");
    peer.say("<message from='x@y'><unknown xmlns='u'/></message>");
    peer.say("<presence from='x@y' type='subscribe'/>");
    peer.say("<iq type='result' id='nobody-asked' from='x@y'/>");
    assert_eq!(peer.heard(), "");
    peer.say("<iq type='get' id='p1' from='x@y/z'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(peer.heard(), "<iq type='result' id='p1' to='x@y/z'/>");
    peer.say("<iq type='set' id='r1' from='x@y/z'><query xmlns='jabber:iq:roster'/></iq>");
    assert_eq!(
        peer.heard(),
        "<iq type='error' id='r1' to='x@y/z'><error type='cancel'><service-unavailable \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
}
