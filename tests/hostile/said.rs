//! What is said in rooms: M14 to M28, X36.

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, Cursor, Entry, Fetch, FetchEvent, JoinRoom, Post, PostOutcome, RoomEvent, Start, Via,
};

use super::muc::{OWN, ada, bounce, joining, outcome, posted, says, stanza_id, unavailable};
use crate::peer::{ROOM, ROOM_FEATURES, archived, attribute, fin, message, no_end, presence};
use crate::*;

const OCCUPANT_IDS: &str = "<feature var='urn:xmpp:occupant-id:0'/>";

fn origin(id: &str) -> String {
    format!("<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>")
}

#[test]
fn m14_only_the_room_refuses_a_post_and_only_the_one_it_names() {
    for (condition, rejected) in [
        ("forbidden", true),
        ("item-not-found", true),
        ("gone", true),
        ("policy-violation", true),
        ("resource-constraint", true),
        ("not-allowed", true),
        // As a stranger's: it is sent again when we are back.
        ("not-acceptable", false),
    ] {
        for from in [ROOM, &format!("{ROOM}/ada")] {
            let (mut peer, room) = in_room(ROOM_FEATURES);
            let (_, id) = posted(&mut peer, room);
            let this = format!(" id='{id}'");
            let bob = format!("{ROOM}/bob");
            for (from, id) in [
                ("evil@muc.parley.local", &*this),
                (&bob, &this),
                ("parley.local", &this),
                (ROOM, " id='another'"),
                (ROOM, ""),
            ] {
                peer.say(&bounce(from, id, condition, "auth"));
                assert_eq!(peer.events(), [], "{from} {id}");
            }
            peer.say(&bounce(from, &this, condition, "wait"));
            if rejected {
                let PostOutcome::Rejected(error) = outcome(&mut peer) else {
                    panic!("{condition}");
                };
                assert_eq!(error.condition, Condition::from_wire(condition));
            } else {
                let events = peer.events();
                assert!(
                    !events.iter().any(|e| matches!(e, Event::Post { .. })),
                    "{events:?}"
                );
                peer.pass(Duration::from_secs(2));
                peer.let_in("ada", ROOM_FEATURES);
                let again = peer.heard();
                assert!(again.contains(&format!("id='{id}'")), "{again}");
            }
        }
    }
}

#[test]
fn m15_silence_about_a_post_is_doubt_and_no_failure() {
    let (mut peer, room) = in_room("");
    let post = Post::new("hi").within(Duration::from_secs(5));
    peer.engine.post(peer.now, room, post).unwrap();
    peer.heard();
    peer.pass(Duration::from_secs(5));
    assert!(matches!(outcome(&mut peer), PostOutcome::Unknown { .. }));
}

#[test]
fn m16_a_reflection_without_a_place_is_accepted_and_no_cursor() {
    let (mut peer, room) = followed(ROOM_FEATURES);
    let (_, id) = posted(&mut peer, room);
    peer.say(&says("ada", &id, &origin(&id)));
    let events = peer.events();
    let committed = PostOutcome::Committed {
        id: None,
        via: Via::Reflection,
    };
    assert!(
        matches!(&events[..], [Event::Post { outcome, .. }, Event::Entry { entry: Entry::Message(m), .. }]
        if *outcome == committed && m.id.is_none() && m.own),
        "{events:?}"
    );
    // What is gone on from is the last place that is known.
    peer.say(&unavailable(
        "ada",
        "<status code='110'/><status code='333'/>",
    ));
    peer.pass(Duration::from_secs(2));
    peer.let_in("ada", ROOM_FEATURES);
    let sent = peer.heard();
    assert!(sent.contains("<after>a7</after>"), "{sent}");
}

#[test]
fn m17_a_reflection_is_known_by_its_ids_and_never_by_its_text() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let (_, id) = posted(&mut peer, room);
    // The same words by the same nick.
    peer.say(&says("ada", "other", &stanza_id("a1")));
    assert_eq!(peer.events(), []);
    // The room's own id on the stanza, ours within.
    peer.say(&says("ada", "other", &(origin(&id) + &stanza_id("a2"))));
    match outcome(&mut peer) {
        PostOutcome::Committed { id: Some(at), .. } => assert_eq!(at.as_str(), "a2"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn m18_who_copies_our_ids_commits_nothing() {
    let (mut peer, _) = joining(ada());
    let sent = peer.heard();
    let occupant = |id: &str| format!("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/>");
    let own = presence("ada", OWN).replace("</presence>", &(occupant("me") + "</presence>"));
    peer.say(&own);
    let features = format!("{ROOM_FEATURES}{OCCUPANT_IDS}");
    peer.say(&disco(&request_of(&sent, "disco#info"), &features));
    peer.say(&no_end(&request_of(&sent, "urn:xmpp:mam:2"), ROOM));
    let room = peer.events().iter().find_map(|event| match event {
        Event::Room { room, .. } => Some(*room),
        _ => None,
    });
    let room = room.unwrap();
    let (_, id) = posted(&mut peer, room);
    assert!(id.len() >= 22, "128 bits: {id}");
    let copied = origin(&id) + &stanza_id("a1");
    peer.say(&says("mallory", &id, &(occupant("other") + &copied)));
    peer.say(&says("mallory", &id, &copied));
    // Even under our nick.
    peer.say(&says("ada", &id, &(occupant("other") + &copied)));
    let evil = says("ada", &id, &copied);
    peer.say(&evil.replace(ROOM, "evil@muc.parley.local"));
    // Nor without any id, where the room gives one to each.
    peer.say(&evil);
    assert_eq!(peer.events(), []);
    peer.say(&says(
        "ada",
        &id,
        &(occupant("me") + &origin(&id) + &stanza_id("a3")),
    ));
    assert!(matches!(outcome(&mut peer), PostOutcome::Committed { .. }));
}

/// An archive that does not keep the ids of occupants: what it shows is there, and is not to be
/// sent again.
#[test]
fn m18_of_an_archive_no_id_is_demanded() {
    for (occupant, found) in [("", true), ("me", true), ("other", false)] {
        let (mut peer, _) = joining(ada());
        let sent = peer.heard();
        let own = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='me'/></presence>";
        peer.say(&presence("ada", OWN).replace("</presence>", own));
        let features = format!("{ROOM_FEATURES}{OCCUPANT_IDS}");
        peer.say(&disco(&request_of(&sent, "disco#info"), &features));
        peer.say(&no_end(&request_of(&sent, "urn:xmpp:mam:2"), ROOM));
        let room = peer.events().iter().find_map(|event| match event {
            Event::Room { room, .. } => Some(*room),
            _ => None,
        });
        let room = room.unwrap();
        let (_, id) = posted(&mut peer, room);
        peer.engine
            .fetch(peer.now, room, Fetch::newest(10))
            .unwrap();
        let asked = peer.heard();
        let asked = &asked[asked.find("<iq ").unwrap()..];
        let occupant = match occupant {
            "" => String::new(),
            id => format!("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/>"),
        };
        let said = archived(attribute(asked, "queryid"), "a1", "x").replace("/bob", "/ada");
        let ids = occupant + &origin(&id) + "</message></forwarded>";
        peer.say(&said.replace("</message></forwarded>", &ids));
        peer.say(&fin(attribute(asked, "id"), true, &["a1"]));
        let committed = peer.events().iter().any(|event| {
            matches!(
                event,
                Event::Post {
                    outcome: PostOutcome::Committed { .. },
                    ..
                }
            )
        });
        assert_eq!(committed, found, "{ids}");
    }
}

#[test]
fn m19_what_another_session_of_ours_says_is_not_this_ones() {
    let (mut peer, room) = followed(ROOM_FEATURES);
    let (_, id) = posted(&mut peer, room);
    peer.say(&says(
        "ada",
        "phone-1",
        &(origin("phone-1") + &stanza_id("a8")),
    ));
    peer.say(&says("ada", &id, &(origin(&id) + &stanza_id("a9"))));
    let events = peer.events();
    let own: Vec<_> = (events.iter())
        .filter_map(|event| match event {
            Event::Entry {
                entry: Entry::Message(m),
                ..
            } => Some(m.own),
            _ => None,
        })
        .collect();
    assert_eq!(own, [false, true], "{events:?}");
}

#[test]
fn m20_history_that_nobody_asked_for_is_not_said_now() {
    let old = |id: &str, more: &str| {
        let delay = format!(
            "<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2020-01-01T00:00:00Z'/></message>"
        );
        message("bob", id, "old").replace("</message>", &(more.to_owned() + &delay))
    };
    for features in [ROOM_FEATURES, ""] {
        let (mut peer, room) = followed(features);
        peer.say(&old("a5", ""));
        peer.say(&old("a6", ""));
        assert_eq!(peer.events(), [], "{features}");
        // A post of ours among it is there all the same.
        let (_, id) = posted(&mut peer, room);
        let reflected = old("a7", &origin(&id)).replace("/bob", "/ada");
        peer.say(&reflected);
        assert!(matches!(outcome(&mut peer), PostOutcome::Committed { .. }));
        // With the subject it ends; who stamps afterwards hides nothing.
        peer.say(&format!(
            "<message from='{ROOM}' type='groupchat'><subject/></message>"
        ));
        peer.events();
        peer.say(&old("a8", ""));
        assert_eq!(peer.events().len(), 1, "{features}");
    }
    // Stamped by somebody else it is late, and said now.
    let (mut peer, _) = followed(ROOM_FEATURES);
    peer.say(&old("a8", "").replace(&format!("from='{ROOM}' stamp"), "from='parley.local' stamp"));
    assert_eq!(peer.events().len(), 1);
    // What is told from nothing but its place is not told twice.
    let (mut peer, _) = in_room(ROOM_FEATURES);
    let room = match peer.engine.join(
        peer.now,
        JoinRoom::new(BareJid::parse(ROOM).unwrap(), ada()),
    ) {
        Err(parley_xmpp::JoinError::AlreadyJoined(room)) => room,
        other => panic!("{other:?}"),
    };
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    let query = peer.heard();
    peer.say(&message("bob", "a1", "one"));
    peer.say(&archived(attribute(&query, "queryid"), "a1", "one"));
    peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
    assert_eq!(bodies(&peer.events()), ["one"]);
}

#[test]
fn m21_a_subject_is_told_apart_and_not_depended_on() {
    let (mut peer, _) = followed("");
    let groupchat =
        |inner: &str| format!("<message from='{ROOM}/bob' type='groupchat'>{inner}</message>");
    peer.say(&groupchat("<subject>Today</subject>"));
    peer.say(&groupchat("<subject/>"));
    let by = || Some("bob".to_owned());
    let subject = |text: &str| RoomEvent::Subject {
        text: text.into(),
        by: by(),
    };
    assert_eq!(room_events(&mut peer), [subject("Today"), subject("")]);
    peer.say(&groupchat("<subject>s</subject><body>both</body>"));
    assert_eq!(bodies(&peer.events()), ["both"]);
    // XEP-0045 section 8.1: with a thread it changes none, nor is it a message.
    peer.say(&groupchat("<subject>Forged</subject><thread>t</thread>"));
    assert_eq!(peer.events(), []);
    // `in_room` never heard one, and is in.
    let (mut peer, room) = in_room("");
    assert!(peer.engine.post(peer.now, room, Post::new("x")).is_ok());
    assert!(peer.heard().contains("<body>x</body>"));
}

#[test]
fn m22_a_private_message_is_not_the_rooms_and_is_not_answered() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    let x = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    for kind in ["type='chat'", "type='normal'", "", "type='headline'"] {
        for more in ["", x] {
            peer.say(&format!(
                "<message from='{ROOM}/bob' {kind} id='1'><body>psst</body>{more}</message>"
            ));
        }
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}

#[test]
fn m23_nobody_leads_us_into_a_room() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    let x = |inner: &str| format!("<x xmlns='http://jabber.org/protocol/muc#user'>{inner}</x>");
    let changed = x("<status code='104'/><status code='170'/><status code='172'/>");
    for inner in [
        x(
            "<invite from='mallory@parley.local'><reason>come</reason></invite>\
             <password>p</password>",
        ),
        x("<decline from='mallory@parley.local'/>"),
        "<x xmlns='jabber:x:conference' jid='trap@muc.evil.example' password='p'/>".to_owned(),
        "<x xmlns='jabber:x:data' type='form'><field var='muc#role'/></x>".to_owned(),
        changed.clone(),
    ] {
        let bob = format!("{ROOM}/bob");
        for from in [
            ROOM,
            &bob,
            "trap@muc.evil.example",
            "mallory@parley.local/x",
        ] {
            for kind in ["", " type='groupchat'"] {
                if inner == changed && from == ROOM {
                    // The room itself may say so: below.
                    continue;
                }
                peer.say(&format!(
                    "<message from='{from}'{kind} id='1'>{inner}</message>"
                ));
            }
        }
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    // Its configuration is the room's to tell; all that is done about it is to ask what it can do.
    peer.say(&format!(
        "<message from='{ROOM}' type='groupchat' id='1'>{changed}</message>"
    ));
    assert!(bodies(&peer.events()).is_empty());
    let sent = peer.heard();
    request_of(&sent, "http://jabber.org/protocol/disco#info");
    assert_eq!(requests(&sent).len(), 1, "{sent}");
}

#[test]
fn m24_only_an_occupant_of_the_room_speaks_in_it() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    let said = message("bob", "a8", "hi");
    for from in [
        "mallory@parley.local/bob",
        "mallory@parley.local",
        "evil@muc.parley.local/bob",
        "muc.parley.local/bob",
        // The room itself, of which nobody is the author.
        ROOM,
        // Nobody has no nick, or one that is longer than an address can be.
        &format!("{ROOM}/"),
        &format!("{ROOM}/{}", "x".repeat(1024)),
    ] {
        peer.say(&said.replace(&format!("from='{ROOM}/bob'"), &format!("from='{from}'")));
    }
    peer.say(&said.replace(&format!(" from='{ROOM}/bob'"), ""));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}

#[test]
fn m25_who_somebody_claims_to_be_is_not_looked_at() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    let forged = "<x xmlns='http://jabber.org/protocol/muc#user'>\
        <item jid='admin@parley.local' role='moderator' affiliation='owner'/></x></message>";
    peer.say(&message("bob", "a8", "hi").replace("</message>", forged));
    let told = format!("{:?}", peer.events());
    assert!(
        told.contains("nick: \"bob\"") && told.contains("\"hi\""),
        "{told}"
    );
    assert!(!told.contains("admin") && !told.contains("owner"), "{told}");
}

#[test]
fn m26_what_is_nested_in_a_message_is_its_sender_s_affair() {
    let (mut peer, room) = followed(ROOM_FEATURES);
    let (_, id) = posted(&mut peer, room);
    peer.engine
        .fetch(peer.now, room, Fetch::newest(10))
        .unwrap();
    let query = peer.heard();
    let forwarded = format!(
        "<forwarded xmlns='urn:xmpp:forward:0'>{}</forwarded>",
        says("ada", &id, &stanza_id("forged"))
            .replace("<message ", "<message xmlns='jabber:client' ")
    );
    let queryid = attribute(&query, "queryid");
    for nested in [
        format!(
            "<result xmlns='urn:xmpp:mam:2' queryid='{queryid}' id='forged'>{forwarded}</result>"
        ),
        format!("<sent xmlns='urn:xmpp:carbons:2'>{forwarded}</sent>"),
        format!("<received xmlns='urn:xmpp:carbons:2'>{forwarded}</received>"),
        forwarded.clone(),
    ] {
        let more = format!("{nested}{}", stanza_id("a8"));
        peer.say(&says("mallory", "m", &more).replace("'m'", "'m1'"));
        peer.say(&says("mallory", "m", &nested).replace("type='groupchat' ", ""));
    }
    let events = peer.events();
    assert!(!format!("{events:?}").contains("forged"), "{events:?}");
    assert!(
        !events
            .iter()
            .any(|e| matches!(e, Event::Post { .. } | Event::Fetch { .. }))
    );
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    let events = peer.events();
    assert!(
        matches!(
            events[..],
            [Event::Fetch {
                event: FetchEvent::Done { .. },
                ..
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn m28_no_error_is_ever_said_to_a_room_and_every_request_answered() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    let bob = format!("{ROOM}/bob");
    for stanza in [
        format!("<message from='{bob}' type='chat' id='1'><unknown xmlns='u'/></message>"),
        format!("<message from='{bob}' type='nonsense' id='1'/>"),
        format!("<message from='{ROOM}' id='1'/>"),
        format!("<presence from='{bob}' type='probe' id='1'/>"),
        format!("<presence from='{bob}' type='nonsense' id='1'/>"),
        format!("<presence from='{ROOM}/\u{200d}' id='1'/>"),
        "<message from='@@' id='1'/>".to_owned(),
    ] {
        peer.say(&stanza);
        assert_eq!(peer.heard(), "", "{stanza}");
    }
    peer.say(&format!(
        "<iq type='get' id='1' from='{bob}'><query xmlns='jabber:iq:version'/></iq>"
    ));
    let sent = peer.heard();
    assert!(sent.contains(&format!("to='{bob}'")) && sent.contains("<service-unavailable "));
}

/// The window for history closes with the first that is said live, and in any case soon: who
/// stamps as the room would, in a room that never tells a subject, hides nothing.
#[test]
fn m20_history_has_an_end_without_a_subject() {
    let stamped = |id: &str| {
        message("mallory", id, "hidden?").replace(
            "</message>",
            &format!(
                "<delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2020-01-01T00:00:00Z'/></message>"
            ),
        )
    };
    for features in [ROOM_FEATURES, ""] {
        let (mut peer, _) = followed(features);
        peer.say(&stamped("a8"));
        assert_eq!(peer.events(), [], "{features}");
        peer.say(&message("bob", "a9", "live"));
        peer.say(&stamped("b1"));
        assert_eq!(bodies(&peer.events()), ["live", "hidden?"], "{features}");
        let (mut peer, _) = followed(features);
        peer.pass(peer.engine.config().timing.settle);
        peer.events();
        peer.say(&stamped("b1"));
        assert_eq!(bodies(&peer.events()), ["hidden?"], "{features}");
    }
}

/// RFC 6121 section 5.2.3: a body has no elements in it. What its text is, clients do not agree
/// on, so that one reader would be told another thing than the next.
#[test]
fn x36_a_body_with_elements_in_it_is_none() {
    let split = "pay 1<x xmlns='u'/>0";
    let (mut peer, _) = followed(ROOM_FEATURES);
    peer.say(&message("bob", "a8", split));
    assert_eq!(peer.events(), []);
    peer.say(&message("bob", "a9", "pay 1<![CDATA[0]]>"));
    assert_eq!(bodies(&peer.events()), ["pay 10"]);
    // Nor is it one in the archive.
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let all = Fetch::since(Cursor::Beginning, 10);
    peer.engine.fetch(peer.now, room, all).unwrap();
    let query = peer.heard();
    for (id, body) in [("a8", split), ("a9", "pay 10")] {
        peer.say(&archived(attribute(&query, "queryid"), id, body));
    }
    peer.say(&fin(attribute(&query, "id"), true, &["a8", "a9"]));
    match &peer.events()[..] {
        [
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            },
            Event::Fetch {
                event: FetchEvent::Done { .. },
                ..
            },
        ] => assert_eq!((page.len(), &*page[0].body), (1, "pay 10")),
        other => panic!("{other:?}"),
    }
}
