//! Rooms: M1 to M28.

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, Cursor, Entry, Fetch, FetchEvent, JoinFailure, JoinRoom, LeaveCause, Nick, Post,
    PostError, PostOutcome, Retry, RoomEvent, RoomId, Start, Via,
};

use crate::peer::{ROOM, ROOM_FEATURES, archived, attribute, fin, message, no_end, presence};
use crate::*;

const OCCUPANT_IDS: &str = "<feature var='urn:xmpp:occupant-id:0'/>";
const OWN: &str = "<status code='110'/>";

/// A peer that was asked to let us into [`ROOM`], with the id of that.
fn joining(nick: Nick) -> (Peer, String) {
    let mut peer = Peer::online(config());
    peer.heard();
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), nick);
    peer.engine.join(peer.now, room).unwrap();
    let sent = peer.heard();
    let id = attribute(&sent[sent.find("<presence ").unwrap()..], "id").to_owned();
    // The question what the room can do is left open.
    peer.kept = sent;
    (peer, id)
}

fn ada() -> Nick {
    Nick::Chosen("ada".into())
}

fn unavailable(nick: &str, more: &str) -> String {
    presence(nick, more).replace("<presence ", "<presence type='unavailable' ")
}

fn refusal(from: &str, id: &str, condition: &str) -> String {
    format!(
        "<presence from='{from}' type='error'{id}><error type='cancel'>\
         <{condition} xmlns='{STANZAS}'/></error></presence>"
    )
}

/// A post was sent; its id, and its id on the wire.
fn posted(peer: &mut Peer, room: RoomId) -> (parley_xmpp::PostId, String) {
    let id = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    (id, origin)
}

/// What somebody says under this id.
fn says(nick: &str, id: &str, more: &str) -> String {
    format!(
        "<message from='{ROOM}/{nick}' type='groupchat' id='{id}'><body>hi</body>{more}</message>"
    )
}

fn origin(id: &str) -> String {
    format!("<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>")
}

fn stanza_id(id: &str) -> String {
    format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{id}'/>")
}

/// The room refuses what was said.
fn bounce(from: &str, id: &str, condition: &str, kind: &str) -> String {
    format!(
        "<message from='{from}' type='error'{id}><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></message>"
    )
}

/// What became of the only post.
#[track_caller]
fn outcome(peer: &mut Peer) -> PostOutcome {
    let outcomes: Vec<_> = (peer.events().into_iter())
        .filter_map(|event| match event {
            Event::Post { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    match <[_; 1]>::try_from(outcomes) {
        Ok([outcome]) => outcome,
        Err(other) => panic!("not one outcome: {other:?}"),
    }
}

#[test]
fn m01_self_presence_counts_only_of_the_room_that_is_joined() {
    let (mut peer, _) = joining(ada());
    peer.heard();
    let own = presence("ada", OWN);
    for from in [
        "evil@muc.parley.local/ada",
        "mallory@parley.local/x",
        "parley.local",
        "muc.parley.local",
    ] {
        peer.say(&own.replace(&format!("{ROOM}/ada"), from));
    }
    peer.say(&own.replace(&format!(" from='{ROOM}/ada'"), ""));
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
    // Nor is anybody thrown out of a room by another.
    let (mut peer, _) = in_room(ROOM_FEATURES);
    let out = unavailable("ada", "<status code='110'/><status code='301'/>");
    peer.say(&out.replace(ROOM, "evil@muc.parley.local"));
    peer.say(&out.replace(&format!(" from='{ROOM}/ada'"), ""));
    assert_eq!(peer.events(), []);
}

#[test]
fn m02_a_room_that_does_not_mark_us_is_known_by_our_nick() {
    let (mut peer, _) = joining(ada());
    peer.say(&presence("bob", ""));
    peer.say(&presence("ada", ""));
    peer.pass(Duration::from_secs(2));
    peer.say(&presence("eve", ""));
    let sent = peer.heard();
    peer.say(&disco(&request_of(&sent, "disco#info"), ""));
    let events = room_events(&mut peer);
    assert!(
        events
            .iter()
            .any(|e| matches!(e, RoomEvent::Joined(j) if j.nick == "ada"))
    );
    // And of our end in it, which one server tells without the mark.
    peer.say(&unavailable("ada", "<destroy/>"));
    let left = room_events(&mut peer);
    let destroyed = |event: &RoomEvent| {
        let cause = LeaveCause::Destroyed {
            alternative: None,
            reason: None,
        };
        *event
            == RoomEvent::Left {
                cause,
                retry: Retry::Never,
            }
    };
    assert!(left.iter().any(destroyed), "{left:?}");
}

#[test]
fn m03_a_nick_that_the_room_rewrote_is_ours() {
    for status in [OWN, "<status code='110'/><status code='210'/>"] {
        let (mut peer, _) = joining(Nick::Chosen("\u{ff22}\u{ff4f}\u{ff42}".into()));
        let sent = peer.heard();
        peer.say(&presence("Bob", status));
        peer.say(&disco(&request_of(&sent, "disco#info"), ROOM_FEATURES));
        let events = room_events(&mut peer);
        let [RoomEvent::Joined(joined)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(joined.nick, "Bob");
    }
}

#[test]
fn m04_a_refusal_fails_that_join_or_is_waited_out() {
    for (condition, passes) in [
        ("not-authorized", false),
        ("forbidden", false),
        ("registration-required", false),
        ("not-allowed", false),
        ("not-acceptable", false),
        ("service-unavailable", false),
        ("gone", false),
        ("jid-malformed", false),
        ("conflict", false),
        ("item-not-found", true),
        ("remote-server-not-found", true),
        ("remote-server-timeout", true),
        ("internal-server-error", true),
    ] {
        for from in [ROOM, &format!("{ROOM}/ada")] {
            for echoed in [true, false] {
                let (mut peer, id) = joining(ada());
                peer.heard();
                peer.say(&refusal(from, " id='another'", condition));
                peer.say(&refusal("evil@muc.parley.local", "", condition));
                assert_eq!(peer.events(), [], "not about this join");
                let id = if echoed {
                    format!(" id='{id}'")
                } else {
                    String::new()
                };
                peer.say(&refusal(from, &id, condition));
                let events = room_events(&mut peer);
                if passes {
                    assert_eq!(events, [], "{condition}");
                    peer.pass(Duration::from_secs(5));
                    assert!(peer.heard().contains("protocol/muc'"), "{condition}");
                    continue;
                }
                let [
                    RoomEvent::JoinFailed {
                        error,
                        retry: Retry::Never,
                    },
                ] = &events[..]
                else {
                    panic!("{condition}: {events:?}");
                };
                match error {
                    JoinFailure::NickConflict => assert_eq!(condition, "conflict"),
                    JoinFailure::Refused(error) => {
                        assert_eq!(error.condition, Condition::from_wire(condition));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn m05_a_new_room_is_unlocked_before_it_counts_and_others_wait_for_that() {
    let (mut peer, _) = joining(ada());
    peer.heard();
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    let sent = peer.heard();
    let unlock = requests(&sent)[0];
    assert!(
        unlock.contains("muc#owner") && unlock.contains("type='submit'"),
        "{sent}"
    );
    assert_eq!(peer.events(), []);
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}'/>",
        attribute(unlock, "id")
    ));
    let sent = peer.heard();
    peer.say(&disco(&request_of(&sent, "disco#info"), ROOM_FEATURES));
    let events = room_events(&mut peer);
    assert!(matches!(&events[..], [RoomEvent::Joined(joined)] if joined.created));

    // Who comes second is told that there is no such room; not for ever.
    let (mut peer, _) = joining(ada());
    let (mut joins, began) = (0, peer.now);
    loop {
        let sent = peer.heard();
        if sent.contains("protocol/muc'") {
            joins += 1;
            peer.say(&refusal(ROOM, "", "item-not-found"));
        }
        peer.pass(Duration::from_millis(100));
        let events = room_events(&mut peer);
        if matches!(
            events[..],
            [RoomEvent::JoinFailed {
                retry: Retry::Never,
                ..
            }]
        ) {
            break;
        }
        assert!(
            peer.now.since(began) < Duration::from_secs(120),
            "{events:?}"
        );
    }
    assert!((3..60).contains(&joins), "{joins}");
}

#[test]
fn m06_a_room_that_has_to_be_made_anew_was_lost() {
    let (mut peer, _) = in_room(ROOM_FEATURES);
    peer.say(&unavailable(
        "ada",
        "<status code='110'/><status code='332'/>",
    ));
    room_events(&mut peer);
    peer.pass(Duration::from_secs(5));
    peer.heard();
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    let sent = peer.heard();
    let unlock = attribute(requests(&sent)[0], "id").to_owned();
    peer.say(&format!("<iq type='result' id='{unlock}' from='{ROOM}'/>"));
    let sent = peer.heard();
    peer.say(&disco(&request_of(&sent, "disco#info"), ROOM_FEATURES));
    let events = room_events(&mut peer);
    assert!(
        matches!(events[..], [RoomEvent::Recreated, RoomEvent::Joined(_)]),
        "{events:?}"
    );
}

#[test]
fn m07_a_nick_that_is_taken_ends_in_another_one_or_in_a_failure() {
    // Never in before: somebody else has it.
    let (mut peer, _) = joining(ada());
    peer.heard();
    peer.say(&refusal(&format!("{ROOM}/ada"), "", "conflict"));
    let failed = RoomEvent::JoinFailed {
        error: JoinFailure::NickConflict,
        retry: Retry::Never,
    };
    assert_eq!(room_events(&mut peer), std::slice::from_ref(&failed));
    // One like it is good enough.
    let (mut peer, _) = joining(Nick::Suggested("ada".into()));
    peer.heard();
    peer.say(&refusal(&format!("{ROOM}/ada"), "", "conflict"));
    let sent = peer.heard();
    assert!(
        attribute(&sent, "to").starts_with(&format!("{ROOM}/ada-")),
        "{sent}"
    );
    // Our own ghost is waited for, not for ever.
    let (mut peer, _) = in_room(ROOM_FEATURES);
    peer.say(&unavailable(
        "ada",
        "<status code='110'/><status code='332'/>",
    ));
    let (mut joins, began) = (0, peer.now);
    while !room_events(&mut peer).contains(&failed) {
        peer.pass(Duration::from_millis(500));
        let sent = peer.heard();
        answer_pings(&mut peer, &sent);
        if sent.contains("protocol/muc'") {
            joins += 1;
            peer.say(&refusal(&format!("{ROOM}/ada"), "", "conflict"));
        }
        assert!(peer.now.since(began) < Duration::from_secs(3600), "{joins}");
    }
    assert!((3..30).contains(&joins), "{joins}");
}

#[test]
fn m08_a_change_of_nick_keeps_us_in() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    peer.say(
        &unavailable("ada", "<status code='303'/><status code='110'/>")
            .replace("<item ", "<item nick='eda' "),
    );
    peer.say(&presence("eda", OWN));
    let changed = |from: &str, to: &str| RoomEvent::NickChanged {
        from: from.into(),
        to: to.into(),
    };
    assert_eq!(room_events(&mut peer), [changed("ada", "eda")]);
    let (_, id) = posted(&mut peer, room);
    peer.say(&says("eda", &id, &stanza_id("a1")));
    assert!(matches!(outcome(&mut peer), PostOutcome::Committed { .. }));
    // Others' likewise.
    peer.say(&presence("bob", ""));
    peer.say(&unavailable("bob", "<status code='303'/>").replace("<item ", "<item nick='rob' "));
    peer.say(&presence("rob", ""));
    let came = RoomEvent::OccupantJoined { nick: "bob".into() };
    assert_eq!(room_events(&mut peer), [came, changed("bob", "rob")]);
    // Without the new one we are out, and in again.
    peer.say(&unavailable(
        "eda",
        "<status code='303'/><status code='110'/>",
    ));
    peer.say(&presence("uma", OWN));
    let sent = peer.heard();
    for request in requests(&sent) {
        peer.say(&disco(attribute(request, "id"), ROOM_FEATURES));
    }
    let events = room_events(&mut peer);
    assert!(
        matches!(&events[..], [RoomEvent::Left { retry: Retry::At(_), .. }, RoomEvent::Joined(j)]
            if j.nick == "uma"),
        "{events:?}"
    );
}

#[test]
fn m09_a_removal_is_final_or_answered_by_coming_back() {
    for (status, returns) in [
        ("<status code='307'/>", true),
        ("<status code='301'/>", false),
        ("<status code='301'/><status code='307'/>", false),
        ("<status code='321'/>", false),
        ("<status code='322'/>", false),
        ("<status code='332'/>", true),
        ("<status code='333'/>", true),
        // A broken link, and no kick.
        ("<status code='333'/><status code='307'/>", true),
        ("", true),
        (
            "<destroy jid='trap@muc.evil.example'><password>p</password></destroy>",
            false,
        ),
    ] {
        let (mut peer, _) = in_room(ROOM_FEATURES);
        peer.say(&unavailable("ada", &format!("{OWN}{status}")));
        let events = room_events(&mut peer);
        let [RoomEvent::Left { cause, retry }] = &events[..] else {
            panic!("{status}: {events:?}");
        };
        assert_eq!(*retry != Retry::Never, returns, "{status}");
        let kicked = matches!(cause, LeaveCause::Kicked { .. });
        assert_eq!(kicked, status == "<status code='307'/>");
        peer.pass(Duration::from_secs(20));
        let sent = peer.heard();
        assert_eq!(
            sent.contains(&format!("to='{ROOM}/ada'")),
            returns,
            "{status}: {sent}"
        );
        assert!(!sent.contains("evil"), "{sent}");
    }
}

#[test]
fn m10_an_empty_archive_does_not_prove_a_room() {
    // One server refuses a post to a room that is gone; its archive is empty, and complete.
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let (_, id) = posted(&mut peer, room);
    peer.say(&bounce(ROOM, &format!(" id='{id}'"), "gone", "cancel"));
    assert!(matches!(outcome(&mut peer), PostOutcome::Rejected(_)));
    let mut asked = 0;
    for _ in 0..20 {
        let sent = peer.heard();
        for request in requests(&sent) {
            let id = attribute(request, "id");
            if request.contains("urn:xmpp:mam:2") {
                peer.say(&fin(id, true, &[]));
            } else {
                asked += 1;
                peer.say(
                    &failure(id, "item-not-found", "cancel")
                        .replace(ROOM, attribute(request, "to")),
                );
            }
        }
        peer.pass(Duration::from_millis(500));
    }
    let events = room_events(&mut peer);
    let dropped = |event: &RoomEvent| {
        matches!(
            event,
            RoomEvent::Left {
                cause: LeaveCause::Dropped,
                ..
            }
        )
    };
    assert!(
        asked >= 2 && events.iter().any(dropped),
        "{asked}, {events:?}"
    );
    // Of a room that was destroyed nothing is left to ask.
    let (mut peer, room) = in_room(ROOM_FEATURES);
    peer.say(&unavailable("ada", "<destroy/>"));
    peer.events();
    let refused = peer.engine.post(peer.now, room, Post::new("hi"));
    assert_eq!(refused, Err(PostError::UnknownRoom));
}

#[test]
fn m11_the_presence_of_a_room_is_of_no_occupant() {
    let (mut peer, _) = in_room(ROOM_FEATURES);
    let at = format!("{ROOM}/ada");
    for one in [
        presence("ada", OWN),
        presence("ada", ""),
        unavailable("ada", OWN),
    ] {
        peer.say(&one.replace(&at, ROOM));
        peer.say(&one.replace(&at, &format!("{ROOM}/")));
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}

#[test]
fn m12_our_own_presence_again_changes_nothing() {
    let (mut peer, _) = followed(ROOM_FEATURES);
    for _ in 0..3 {
        peer.say(&presence("ada", OWN));
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    peer.say(&message("bob", "a8", "once"));
    assert_eq!(peer.events().len(), 1);
}

#[test]
fn m13_a_room_that_lost_us_is_found_out_and_read_again() {
    // Whether the answer says that we are out.
    for (answer, out) in [
        ("", false),
        ("service-unavailable", false),
        ("feature-not-implemented", false),
        ("remote-server-not-found", false),
        ("remote-server-timeout", false),
        ("not-acceptable", true),
        ("bad-request", true),
    ] {
        let (mut peer, _) = followed(ROOM_FEATURES);
        let own = format!("{ROOM}/ada");
        let ping = loop {
            peer.pass(Duration::from_secs(1));
            let sent = peer.heard();
            answer_pings(&mut peer, &sent);
            answer_archive(&mut peer, &sent);
            let to_us = |r: &&&str| r.contains("urn:xmpp:ping") && r.contains(&own);
            if let Some(ping) = requests(&sent).iter().find(to_us) {
                break attribute(ping, "id").to_owned();
            }
        };
        peer.events();
        // Not from anybody else.
        peer.say(&failure(&ping, "not-acceptable", "cancel"));
        let reply = match answer {
            "" => format!("<iq type='result' id='{ping}' from='{own}'/>"),
            _ => failure(&ping, answer, "cancel").replace(ROOM, &own),
        };
        peer.say(&reply);
        let events = room_events(&mut peer);
        if !out {
            assert_eq!(events, [], "{answer}");
            continue;
        }
        assert!(
            matches!(
                events[..],
                [RoomEvent::Left {
                    cause: LeaveCause::Dropped,
                    retry: Retry::At(_)
                }]
            ),
            "{answer}: {events:?}"
        );
        peer.pass(Duration::from_secs(2));
        peer.let_in("ada", ROOM_FEATURES);
        let sent = peer.heard();
        let query = requests(&sent)[0];
        assert!(
            query.contains("<after>a7</after>"),
            "caught up with: {sent}"
        );
    }
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
    // Its configuration is the room's to tell; nothing is asked or done about it.
    peer.say(&format!(
        "<message from='{ROOM}' type='groupchat' id='1'>{changed}</message>"
    ));
    assert!(bodies(&peer.events()).is_empty());
    assert_eq!(peer.heard(), "");
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
fn m27_a_flood_of_occupants_is_remembered_up_to_a_bound() {
    let mut config = config();
    config.limits.occupants = 100;
    let mut peer = Peer::online(config);
    let room = peer.join("");
    peer.events();
    let mut told = 0;
    for n in 0..20_000 {
        peer.say(&presence(&format!("n{n}"), ""));
        told += peer.events().len();
    }
    assert_eq!(told, 100);
    let held = peer.engine.held_bytes();
    assert!(held < 64 * 1024, "{held}");
    // Who was not remembered goes as they came.
    peer.say(&unavailable("n19999", ""));
    peer.say(&unavailable("n5", ""));
    assert_eq!(peer.events().len(), 1);
    let _ = room;
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
