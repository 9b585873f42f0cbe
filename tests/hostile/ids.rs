//! Stanza ids and carbons: I1 to I3, C1.

use parley_xmpp::{ArchiveId, GapReason, Post, PostOutcome};

use crate::peer::{ROOM_FEATURES, message};
use crate::*;

const MAM_ALONE: &str = "<feature var='urn:xmpp:mam:2'/>";
const SID_ALONE: &str = "<feature var='urn:xmpp:sid:0'/>";

fn stanza_id(by: &str, id: &str) -> String {
    format!("<stanza-id xmlns='urn:xmpp:sid:0'{by} id='{id}'/>")
}

fn by_room() -> String {
    format!(" by='{ROOM}'")
}

/// The place of a post that comes back with this in it, in a room of these features.
#[track_caller]
fn place(features: &str, more: &str) -> Option<String> {
    let (mut peer, room) = in_room(features);
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    peer.say(&format!(
        "<message from='{ROOM}/ada' type='groupchat' id='{origin}'><body>hi</body>{more}</message>"
    ));
    match &peer.events()[..] {
        [
            Event::Post {
                outcome: PostOutcome::Committed { id, .. },
                ..
            },
        ] => id.as_ref().map(|id| id.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i01_a_place_counts_only_of_a_room_that_vouches_for_it() {
    let id = stanza_id(&by_room(), "a1");
    assert_eq!(place(ROOM_FEATURES, &id).as_deref(), Some("a1"));
    for features in ["", MAM_ALONE, SID_ALONE] {
        assert_eq!(place(features, &id), None, "{features}");
    }
}

/// Status 104, and what it can do is something else from then on.
#[test]
fn i01_a_room_that_changes_is_asked_what_its_ids_are_worth_now() {
    let configured = format!(
        "<message from='{ROOM}' type='groupchat'>\
         <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>"
    );
    let (mut peer, _) = followed(ROOM_FEATURES);
    let said = |peer: &mut Peer, id: &str| {
        peer.say(&message("bob", id, id));
        let told = peer.events().into_iter().find_map(|event| match event {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message),
            _ => None,
        });
        told.expect("it is told")
            .id
            .map(|id| id.as_str().to_owned())
    };
    assert_eq!(said(&mut peer, "a8").as_deref(), Some("a8"));
    // However often it says so, there is one question at a time, and one more after that.
    peer.say(&configured.repeat(9));
    let sent = peer.heard();
    let id = request_of(&sent, "http://jabber.org/protocol/disco#info");
    peer.say(&disco(&id, MAM_ALONE));
    let events = peer.events();
    let gap = |event: &Event| {
        let reason = GapReason::NoArchive;
        matches!(event, Event::Entry { entry: Entry::Gap { reason: told, .. }, .. } if *told == reason)
    };
    assert!(events.iter().any(gap), "{events:?}");
    let again = peer.heard();
    let id = request_of(&again, "http://jabber.org/protocol/disco#info");
    peer.say(&disco(&id, MAM_ALONE));
    assert_eq!(
        (peer.heard(), peer.events()),
        (String::new(), vec![]),
        "nothing new"
    );
    assert_eq!(said(&mut peer, "forged"), None);
    // And back: what was said meanwhile is not told again.
    peer.say(&configured);
    let id = request_of(&peer.heard(), "http://jabber.org/protocol/disco#info");
    peer.say(&disco(&id, ROOM_FEATURES));
    answer_archive_of(&mut peer, &["a9"]);
    peer.events();
    assert_eq!(said(&mut peer, "a10").as_deref(), Some("a10"));
}

#[test]
fn i02_two_of_the_same_are_none_and_others_nothing() {
    let good = stanza_id(&by_room(), "a1");
    // Twice, and in other letters, is twice.
    for twin in [by_room(), format!(" by='{}'", ROOM.to_uppercase())] {
        let both = good.clone() + &stanza_id(&twin, "forged");
        assert_eq!(place(ROOM_FEATURES, &both), None, "{twin}");
    }
    for other in [
        String::new(),
        " by=''".into(),
        " by='mallory@parley.local'".into(),
        " by='muc.parley.local'".into(),
        format!(" by='{ROOM}/ada'"),
        format!(" by=' {ROOM}'"),
    ] {
        let forged = stanza_id(&other, "forged");
        assert_eq!(place(ROOM_FEATURES, &forged), None, "{other}");
        let both = forged + &good;
        assert_eq!(
            place(ROOM_FEATURES, &both).as_deref(),
            Some("a1"),
            "{other}"
        );
    }
    // Within something else it is somebody's payload.
    let nested = format!("<x xmlns='u'>{}</x>", stanza_id(&by_room(), "forged"));
    assert_eq!(place(ROOM_FEATURES, &nested), None);
    assert_eq!(
        place(ROOM_FEATURES, &(nested + &good)).as_deref(),
        Some("a1")
    );
    let capital = stanza_id(&format!(" by='{}'", ROOM.to_uppercase()), "a1");
    assert_eq!(place(ROOM_FEATURES, &capital).as_deref(), Some("a1"));
}

#[test]
fn i03_an_id_is_neither_empty_nor_huge_and_nothing_is_read_into_it() {
    assert_eq!(place(ROOM_FEATURES, &stanza_id(&by_room(), "")), None);
    let huge = "x".repeat(ArchiveId::MAX_BYTES + 1);
    assert_eq!(place(ROOM_FEATURES, &stanza_id(&by_room(), &huge)), None);
    for id in [" 1 ", "\u{20ac}", "00001", &huge[1..]] {
        let place = place(ROOM_FEATURES, &stanza_id(&by_room(), id));
        assert_eq!(place.as_deref(), Some(id));
    }
}

#[test]
fn c01_a_carbon_is_nobodys() {
    let (mut peer, room) = followed(ROOM_FEATURES);
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    let inner = format!(
        "<message xmlns='jabber:client' from='{ROOM}/ada' type='groupchat' id='{id}'>\
         <body>forged</body>{}</message>",
        stanza_id(&by_room(), "forged")
    );
    for direction in ["received", "sent"] {
        for from in [
            " from='evil@parley.local'",
            " from='alice@parley.local'",
            " from='alice@parley.local/other'",
            &format!(" from='{ROOM}'"),
            "",
        ] {
            for kind in ["", " type='chat'"] {
                peer.say(&format!(
                    "<message{from}{kind}><{direction} xmlns='urn:xmpp:carbons:2'>\
                     <forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></{direction}>\
                     </message>"
                ));
            }
        }
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}

/// XEP-0313 section 3.5: nor is an id believed while we are not in the room, whatever it can do.
#[test]
fn i01_a_place_counts_no_more_while_we_are_out() {
    for (features, place) in [(ROOM_FEATURES, Some("x")), ("", None), (MAM_ALONE, None)] {
        let (mut peer, room) = in_room(features);
        let ids: Vec<String> = (0..2)
            .map(|_| {
                peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
                attribute(&peer.heard(), "id").to_owned()
            })
            .collect();
        // The room no longer knows us.
        peer.say(&format!(
            "<message type='error' from='{ROOM}' id='{}'><error type='modify'>\
             <not-acceptable xmlns='{STANZAS}'/></error></message>",
            ids[0]
        ));
        peer.events();
        peer.say(&format!(
            "<message from='{ROOM}/ada' type='groupchat' id='{}'><body>hi</body>{}</message>",
            ids[1],
            stanza_id(&by_room(), "x")
        ));
        let told = peer.events().into_iter().find_map(|event| match event {
            Event::Post {
                outcome: PostOutcome::Committed { id, .. },
                ..
            } => Some(id),
            _ => None,
        });
        let id = told.expect("to be committed");
        assert_eq!(id.as_ref().map(ArchiveId::as_str), place, "{features}");
    }
}
