//! Rooms, getting in and staying: M1 to M13, M27. What is said in them: `said.rs`.

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, JoinFailure, JoinRoom, LeaveCause, Nick, Post, PostError, PostOutcome, Retry,
    RoomEvent, RoomId,
};

use crate::peer::{ROOM, ROOM_FEATURES, attribute, fin, message, presence};
use crate::*;

pub(super) const OWN: &str = "<status code='110'/>";

/// A peer that was asked to let us into [`ROOM`], with the id of that.
pub(super) fn joining(nick: Nick) -> (Peer, String) {
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

pub(super) fn ada() -> Nick {
    Nick::Chosen("ada".into())
}

pub(super) fn unavailable(nick: &str, more: &str) -> String {
    presence(nick, more).replace("<presence ", "<presence type='unavailable' ")
}

fn refusal(from: &str, id: &str, condition: &str) -> String {
    format!(
        "<presence from='{from}' type='error'{id}><error type='cancel'>\
         <{condition} xmlns='{STANZAS}'/></error></presence>"
    )
}

/// A post was sent; its id, and its id on the wire.
pub(super) fn posted(peer: &mut Peer, room: RoomId) -> (parley_xmpp::PostId, String) {
    let id = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    (id, origin)
}

/// What somebody says under this id.
pub(super) fn says(nick: &str, id: &str, more: &str) -> String {
    format!(
        "<message from='{ROOM}/{nick}' type='groupchat' id='{id}'><body>hi</body>{more}</message>"
    )
}

pub(super) fn stanza_id(id: &str) -> String {
    format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{id}'/>")
}

/// The room refuses what was said.
pub(super) fn bounce(from: &str, id: &str, condition: &str, kind: &str) -> String {
    format!(
        "<message from='{from}' type='error'{id}><error type='{kind}'>\
         <{condition} xmlns='{STANZAS}'/></error></message>"
    )
}

/// What became of the only post.
#[track_caller]
pub(super) fn outcome(peer: &mut Peer) -> PostOutcome {
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

/// We are renamed to that, as the room says it in an attribute.
fn renames(from: &str, to: &str, own: &str) -> String {
    unavailable(from, &format!("<status code='303'/>{own}"))
        .replace("<item ", &format!("<item nick='{to}' "))
}

/// A token is for later processes: what a room makes of our nick must not take that away.
#[test]
fn m08_whatever_nick_a_room_gives_its_token_can_be_read() {
    for nick in ["&#x85;", "\u{2028}", "a/b@c", &"x".repeat(1023)] {
        let (mut peer, room) = in_room(ROOM_FEATURES);
        peer.say(&renames("ada", nick, OWN));
        let token = peer.engine.prepare(peer.now, room).unwrap();
        let read = parley_xmpp::PostToken::parse(&token.to_string());
        assert_eq!(read.as_ref(), Ok(&token), "{nick}");
        let expected = if nick == "&#x85;" { "\u{85}" } else { nick };
        assert_eq!(token.nick(), expected);
    }
    // A nick that nobody can have is no other nick: we are gone, and come back.
    for nick in ["", &"x".repeat(1024)] {
        let (mut peer, _) = in_room(ROOM_FEATURES);
        peer.say(&renames("ada", nick, OWN));
        let events = room_events(&mut peer);
        assert!(
            matches!(
                &events[..],
                [RoomEvent::Left {
                    retry: Retry::At(_),
                    ..
                }]
            ),
            "{events:?}"
        );
    }
}

#[test]
fn m27_a_change_of_nick_is_bounded_as_a_nick_is() {
    let mut config = config();
    config.limits.occupants = 4096;
    let mut peer = Peer::online(config);
    peer.join("");
    peer.events();
    for n in 0..4096 {
        let long = format!("{n}{}", "x".repeat(10_000));
        peer.say(&presence(&format!("n{n}"), ""));
        peer.say(&renames(&format!("n{n}"), &long, ""));
        let events = room_events(&mut peer);
        assert!(
            matches!(&events[..], [_, RoomEvent::OccupantLeft { .. }]),
            "{events:?}"
        );
    }
    let held = peer.engine.held_bytes();
    assert!(held < 64 * 1024, "{held}");
    // As long as one may be, it is one.
    let longest = "y".repeat(1023);
    peer.say(&presence("bob", ""));
    peer.say(&renames("bob", &longest, ""));
    assert!(matches!(
        &room_events(&mut peer)[..],
        [_, RoomEvent::NickChanged { to, .. }] if *to == longest
    ));
}
