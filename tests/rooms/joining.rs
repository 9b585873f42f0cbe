//! Coming in: nicks, rooms that are created, refusals.

use crate::*;

#[test]
fn m02_self_presence_counts_by_nick_without_110() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let id = attribute(peer.heard().rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&presence("ada", ""));
    peer.say(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    ));
    assert_eq!(peer.events(), [], "it may be somebody else");
    let mut silent = peer;
    silent.pass(Duration::from_secs(2));
    assert!(silent.events().iter().any(joined), "nothing else came");
}

#[test]
fn m03_a_rewritten_nick_is_adopted() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("Ｂｏｂ".into()));
    peer.let_in("Bob", ROOM_FEATURES);
    let events = peer.events();
    let nick = room_events(&events).into_iter().find_map(|e| match e {
        RoomEvent::Joined(joined) => Some(joined.nick.clone()),
        _ => None,
    });
    assert_eq!(nick.as_deref(), Some("Bob"));
}

#[test]
fn m01_self_presence_of_another_room_is_nothing() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    peer.heard();
    for from in [
        "evil@muc.parley.local/ada",
        "mallory@parley.local/x",
        "parley.local",
    ] {
        peer.say(&presence("ada", "<status code='110'/>").replace(&format!("{ROOM}/ada"), from));
    }
    assert_eq!(peer.events(), []);
}

#[test]
fn a_created_room_is_unlocked_before_it_is_joined() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let first = attribute(peer.heard().rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    let sent = peer.heard();
    let id = attribute(&sent, "id");
    let unlock = format!(
        "<iq type='set' id='{id}' to='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'/></query></iq>"
    );
    assert_eq!(sent, unlock);
    peer.say(&format!(
        "<iq type='error' id='{first}' from='{ROOM}'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    assert!(
        !peer.events().iter().any(joined),
        "not before it is unlocked"
    );
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}'/>",
        attribute(&sent, "id")
    ));
    let sent = peer.heard();
    assert!(
        sent.contains("disco#info"),
        "asked again, now that it is set up: {sent}"
    );
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}'><query \
         xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>",
        attribute(&sent, "id")
    ));
    let events = peer.events();
    let created = room_events(&events).into_iter().find_map(|e| match e {
        RoomEvent::Joined(joined) => Some((joined.created, joined.info.archive)),
        _ => None,
    });
    assert_eq!(created, Some((true, true)));
}

/// ejabberd 23.01 gives two who come at the same moment a room each, tells both
/// that they created it, and keeps one: the other is no owner of what is kept.
#[test]
fn a_creator_who_is_refused_as_owner_comes_again_as_a_guest() {
    let refused = |peer: &mut Peer| {
        peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
        let sent = peer.heard();
        let unlock = sent.rsplit("<iq ").next().unwrap();
        assert!(unlock.contains("type='submit'"), "{sent}");
        peer.say(&format!(
            "<iq type='error' id='{}' from='{ROOM}'><error type='auth'>\
             <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            attribute(unlock, "id")
        ));
        assert!(peer.heard().contains("type='unavailable'"));
        assert_eq!(peer.events(), []);
        peer.pass(Duration::from_secs(1));
    };
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    refused(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));

    // And not for ever.
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    for _ in 0..3 {
        refused(&mut peer);
    }
    peer.pass(Duration::from_secs(60));
    let events = peer.events();
    let ended = room_events(&events);
    let [
        RoomEvent::JoinFailed {
            error: JoinFailure::Refused(error),
            retry: Retry::Never,
        },
    ] = ended[..]
    else {
        panic!("{ended:?}");
    };
    assert_eq!(error.condition, Condition::Forbidden);
}

#[test]
fn m05_the_cold_creation_race_is_tried_again_and_ends() {
    for condition in [
        "item-not-found",
        "recipient-unavailable",
        "remote-server-not-found",
    ] {
        let mut peer = Peer::online(config());
        join(&mut peer, Nick::Chosen("ada".into()));
        for _ in 0..3 {
            assert!(peer.heard().contains("protocol/muc'"));
            peer.say(&refusal(condition, "cancel"));
            assert_eq!(peer.events(), []);
            peer.pass(Duration::from_secs(1));
        }
        peer.let_in("ada", ROOM_FEATURES);
        assert!(peer.events().iter().any(joined));

        let mut peer = Peer::online(config());
        join(&mut peer, Nick::Chosen("ada".into()));
        for _ in 0..60 {
            peer.heard();
            peer.say(&refusal(condition, "cancel"));
            peer.pass(Duration::from_secs(1));
            peer.say("<message/>");
        }
        let events = peer.events();
        let ended = room_events(&events);
        assert!(
            matches!(
                ended[..],
                [RoomEvent::JoinFailed {
                    error: JoinFailure::Refused(_),
                    retry: Retry::Never
                }]
            ),
            "{ended:?}"
        );
    }
}

#[test]
fn a_chosen_nick_in_use_fails_loudly_and_a_suggested_one_is_varied() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    peer.heard();
    peer.say(&refusal("conflict", "cancel"));
    let events = peer.events();
    assert_eq!(
        room_events(&events),
        [&RoomEvent::JoinFailed {
            error: JoinFailure::NickConflict,
            retry: Retry::Never
        }]
    );
    peer.pass(Duration::from_secs(20));
    assert!(!peer.heard().contains("muc"), "and is not tried again");

    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Suggested("ada".into()));
    peer.heard();
    peer.say(&refusal("conflict", "cancel"));
    let sent = peer.heard();
    assert!(
        attribute(&sent, "to").starts_with(&format!("{ROOM}/ada-")),
        "{sent}"
    );
}

#[test]
fn m04_a_refusal_is_final_and_says_why() {
    for (condition, expected) in [
        ("registration-required", Condition::RegistrationRequired),
        ("forbidden", Condition::Forbidden),
        ("not-allowed", Condition::NotAllowed),
    ] {
        let mut peer = Peer::online(config());
        join(&mut peer, Nick::Random);
        peer.heard();
        peer.say(&refusal(condition, "auth").replace("/ada", ""));
        match room_events(&peer.events())[..] {
            [
                RoomEvent::JoinFailed {
                    error: JoinFailure::Refused(e),
                    retry: Retry::Never,
                },
            ] => {
                assert_eq!(e.condition, expected);
            }
            ref other => panic!("{other:?}"),
        }
    }
}
