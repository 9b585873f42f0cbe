//! Rooms, posts, subscriptions and fetches against a scripted peer: each rule of
//! the engine that real servers show only now and then.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod peer;

mod rooms {
    mod slow;
}

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, Config, Cursor, Entry, Event, Fetch, FetchEvent, GapReason, JoinFailure, JoinRoom,
    LeaveCause, Message, Nick, NotSent, OfflineCause, Post, PostError, PostOutcome, Privacy,
    RequestError, Retry, RoomEvent, Start, Timer, Transport, TransportFailure,
    TransportFailureKind, Via,
};
use peer::{Peer, ROOM, ROOM_FEATURES, archived, attribute, config, fin, message, presence};

fn in_room() -> (Peer, parley_xmpp::RoomId) {
    in_room_of(config())
}

fn in_room_of(config: Config) -> (Peer, parley_xmpp::RoomId) {
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));
    (peer, room)
}

fn joined(event: &Event) -> bool {
    matches!(
        event,
        Event::Room {
            event: RoomEvent::Joined(_),
            ..
        }
    )
}

fn join(peer: &mut Peer, nick: Nick) {
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), nick);
    peer.engine.join(peer.now, room).unwrap();
}

fn room_events(events: &[Event]) -> Vec<&RoomEvent> {
    events
        .iter()
        .filter_map(|e| {
            if let Event::Room { event, .. } = e {
                Some(event)
            } else {
                None
            }
        })
        .collect()
}

fn entries(events: Vec<Event>) -> Vec<Entry> {
    events
        .into_iter()
        .filter_map(|e| {
            if let Event::Entry { entry, .. } = e {
                Some(entry)
            } else {
                None
            }
        })
        .collect()
}

fn bodies(entries: &[Entry]) -> Vec<&str> {
    entries
        .iter()
        .filter_map(|e| {
            if let Entry::Message(m) = e {
                Some(m.body.as_str())
            } else {
                None
            }
        })
        .collect()
}

fn refusal(condition: &str, kind: &str) -> String {
    format!(
        "<presence from='{ROOM}/ada' type='error'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    )
}

fn cut(peer: &mut Peer) {
    let why = TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    };
    peer.engine.transport_failed(peer.now, why);
}

/// Lets the backoff pass, logs in and is let into the room again.
fn heal(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a next attempt");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    peer.engine.transport_opened(
        peer.now,
        parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default()),
    );
    peer.say(peer::HEADER);
    peer.say(peer::PLAIN);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(peer::HEADER);
    peer.say(peer::BIND);
    let sent = peer.heard();
    let bind = sent.rsplit("<iq ").next().unwrap();
    let id = attribute(bind, "id").to_owned();
    peer.say(&format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/here</jid></bind></iq>"
    ));
    peer.let_in("ada", ROOM_FEATURES);
}

// ---- joining ---------------------------------------------------------------

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
    assert!(
        sent.contains("muc#owner") && sent.contains("type='submit'"),
        "{sent}"
    );
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

// ---- being in, and out again -----------------------------------------------

#[test]
fn m09_m10_removals_tell_their_cause() {
    let kick = "<status code='307'/>";
    let cases = [
        (kick, LeaveCause::Kicked { reason: None }, true),
        (
            "<status code='301'/>",
            LeaveCause::Banned { reason: None },
            false,
        ),
        ("<status code='321'/>", LeaveCause::NotMember, false),
        ("<status code='110'/>", LeaveCause::Unexplained, true),
        ("<status code='332'/>", LeaveCause::ServiceShutdown, true),
        (
            "<status code='333'/><status code='307'/>",
            LeaveCause::TechnicalProblem,
            true,
        ),
        (
            "<destroy jid='new@muc.parley.local'><reason>moved</reason></destroy>",
            LeaveCause::Destroyed {
                alternative: Some(BareJid::parse("new@muc.parley.local").unwrap()),
                reason: Some("moved".into()),
            },
            false,
        ),
    ];
    for (status, expected, comes_back) in cases {
        let (mut peer, _) = in_room();
        peer.say(&presence("ada", status).replace("<presence ", "<presence type='unavailable' "));
        match room_events(&peer.events())[..] {
            [RoomEvent::Left { cause, retry }] => {
                assert_eq!(*cause, expected);
                assert_eq!(*retry != Retry::Never, comes_back, "{status}");
            }
            ref other => panic!("{status}: {other:?}"),
        }
        peer.pass(Duration::from_secs(15));
        assert_eq!(peer.heard().contains(ROOM), comes_back, "{status}");
    }
}

#[test]
fn m08_m12_nick_changes_and_repeated_self_presence_keep_us_in() {
    let (mut peer, room) = in_room();
    peer.say(&presence("ada", "<status code='110'/>"));
    assert_eq!(peer.events(), []);
    peer.say(
        &presence("ada", "<status code='303'/><status code='110'/>")
            .replace("<presence ", "<presence type='unavailable' ")
            .replace("<item ", "<item nick='eda' "),
    );
    peer.say(&presence("eda", "<status code='110'/>"));
    assert_eq!(
        room_events(&peer.events()),
        [&RoomEvent::NickChanged {
            from: "ada".into(),
            to: "eda".into()
        }]
    );
    let id = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    peer.say(&message("eda", "a1", "hi").replace("m-a1", &origin));
    assert!(matches!(
        peer.events()[..],
        [Event::Post { id: i, outcome: PostOutcome::Committed { .. } }] if i == id
    ));
}

#[test]
fn occupants_come_and_go_and_the_subject_is_no_message() {
    let (mut peer, _) = in_room();
    peer.say(&presence("bob", ""));
    peer.say(&presence("bob", ""));
    peer.say(&presence("bob", "").replace("<presence ", "<presence type='unavailable' "));
    peer.say(&format!(
        "<message from='{ROOM}/bob' type='groupchat'><subject>Today</subject></message>"
    ));
    peer.say(&presence("", "").replace(&format!("{ROOM}/"), ROOM));
    assert_eq!(
        room_events(&peer.events()),
        [
            &RoomEvent::OccupantJoined { nick: "bob".into() },
            &RoomEvent::OccupantLeft {
                nick: "bob".into(),
                cause: LeaveCause::Asked
            },
            &RoomEvent::Subject {
                text: "Today".into(),
                by: Some("bob".into())
            },
        ]
    );
}

// ---- what the room lets be known -------------------------------------------

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

// ---- posts -----------------------------------------------------------------

#[test]
fn a_post_is_resolved_by_its_reflection_and_by_nothing_else() {
    let (mut peer, room) = in_room();
    let id = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    let ours = message("ada", "a1", "hi").replace("m-a1", &origin);
    // Another occupant that copied the id; another room; the same nick without it.
    peer.say(&ours.replace("/ada", "/mallory"));
    peer.say(&ours.replace(&format!("{ROOM}/"), "evil@muc.parley.local/"));
    peer.say(&message("ada", "a0", "hi"));
    assert_eq!(peer.events(), []);
    peer.say(&ours);
    match &peer.events()[..] {
        [
            Event::Post {
                id: i,
                outcome: PostOutcome::Committed { id: Some(at), via },
            },
        ] => {
            assert_eq!((*i, at.as_str(), *via), (id, "a1", Via::Reflection));
        }
        other => panic!("{other:?}"),
    }
    peer.say(&ours);
    assert_eq!(peer.events(), [], "once");
}

#[test]
fn i01_i02_ids_count_only_from_rooms_that_vouch_for_them() {
    for (features, forged, expected) in [
        ("<feature var='urn:xmpp:mam:2'/>", "", None),
        (
            ROOM_FEATURES,
            "<stanza-id xmlns='urn:xmpp:sid:0' by='ops@muc.parley.local' id='x'/>",
            None,
        ),
        (
            ROOM_FEATURES,
            "<stanza-id xmlns='urn:xmpp:sid:0' by='evil@parley.local' id='x'/>",
            Some("a1"),
        ),
    ] {
        let mut peer = Peer::online(config());
        let room = peer.join(features);
        peer.events();
        peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
        let origin = attribute(&peer.heard(), "id").to_owned();
        let ours = message("ada", "a1", "hi").replace("m-a1", &origin);
        peer.say(&ours.replace("</message>", &format!("{forged}</message>")));
        match &peer.events()[..] {
            [
                Event::Post {
                    outcome: PostOutcome::Committed { id, .. },
                    ..
                },
            ] => {
                assert_eq!(id.as_ref().map(|id| id.as_str()), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn m14_a_refused_post_fails_at_once() {
    let (mut peer, room) = in_room();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    let error = |from: &str, id: &str| {
        format!(
            "<message from='{from}' type='error' id='{id}'><error type='auth'><forbidden \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no voice</text></error></message>"
        )
    };
    peer.say(&error("evil@muc.parley.local", &origin));
    peer.say(&error(ROOM, "another"));
    assert_eq!(peer.events(), []);
    peer.say(&error(ROOM, &origin));
    match &peer.events()[..] {
        [
            Event::Post {
                outcome: PostOutcome::Rejected(error),
                ..
            },
        ] => {
            assert_eq!(error.condition, Condition::Forbidden);
            assert_eq!(error.text.as_deref(), Some("no voice"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(peer.heard(), "", "an error is never answered");
}

#[test]
fn m15_a_post_that_nobody_answers_is_in_doubt_at_its_deadline() {
    let (mut peer, room) = in_room();
    let post = Post::new("hi").within(Duration::from_secs(5));
    peer.engine.post(peer.now, room, post).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    peer.pass(Duration::from_secs(5));
    match &peer.events()[..] {
        [
            Event::Post {
                outcome: PostOutcome::Unknown { token },
                ..
            },
        ] => {
            assert_eq!(token.origin_id(), origin);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_transport_did_not_take_whole_was_not_sent() {
    let (mut peer, room) = in_room();
    peer.heard();
    let sent = peer.engine.post(peer.now, room, Post::new("sent")).unwrap();
    peer.heard();
    peer.engine.post(peer.now, room, Post::new("half")).unwrap();
    peer.engine
        .post(peer.now, room, Post::new("not at all"))
        .unwrap();
    let half = peer.engine.wants().write.len() / 4;
    peer.engine.written(peer.now, half);
    cut(&mut peer);
    let outcomes: Vec<_> = peer
        .events()
        .into_iter()
        .filter(|e| matches!(e, Event::Post { .. }))
        .collect();
    assert_eq!(outcomes, []);
    heal(&mut peer);
    // Whether that is there the archive is asked first; the others come after it.
    let asked = peer.heard();
    assert!(asked.contains("urn:xmpp:mam:2") && !asked.contains("<body>"));
    let iq = attribute(&asked[asked.rfind("<iq ").unwrap()..], "id");
    peer.say(&format!(
        "<iq type='error' id='{iq}' from='{ROOM}'><error type='auth'>\
         <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    let again = peer.heard();
    let at = |body: &str| again.find(&format!("<body>{body}</body>"));
    assert!(at("half").unwrap() < at("not at all").unwrap(), "{again}");
    assert_eq!(at("sent"), None, "never sent twice");
    assert!(
        matches!(&peer.events()[..], [.., Event::Post { id, outcome: PostOutcome::Unknown { .. } }] if *id == sent)
    );
}

#[test]
fn a_post_without_a_stream_waits_and_says_not_sent_at_its_deadline() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    peer.events();
    let post = Post::new("hi").within(Duration::from_secs(1));
    peer.engine.post(peer.now, room, post).unwrap();
    peer.pass(Duration::from_secs(1));
    let outcome = peer.events().into_iter().find_map(|e| match e {
        Event::Post { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert_eq!(outcome, Some(PostOutcome::NotSent(NotSent::Deadline)));
}

#[test]
fn x37_what_cannot_be_said_is_refused_before_it_is_queued() {
    let (mut peer, room) = in_room();
    peer.heard();
    let mut post = |text: &str| {
        peer.engine
            .post(peer.now, room, Post::new(text))
            .unwrap_err()
    };
    assert_eq!(post(""), PostError::Empty);
    match post("red: \u{1b}[31m") {
        PostError::ForbiddenChar(c) => assert_eq!((c.character, c.offset), ('\u{1b}', 5)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        post(&"<".repeat(100_000)),
        PostError::TooLarge { limit: 262_144, .. }
    ));
    assert_eq!(peer.heard(), "");
}

// ---- subscriptions ---------------------------------------------------------

#[test]
fn a_subscription_reads_what_was_missed_then_what_was_held_then_what_is_said() {
    let (mut peer, room) = in_room();
    peer.heard();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, u32::MAX)
        .unwrap();
    let query = peer.heard();
    assert!(query.contains("<after>a0</after>"), "{query}");
    let (iq, q) = (attribute(&query, "id"), attribute(&query, "queryid"));
    // Said while the archive is read: one of them is in the page already.
    peer.say(&message("bob", "a2", "two"));
    peer.say(&message("bob", "a3", "three"));
    peer.say(&archived(q, "a1", "one"));
    peer.say(&archived(q, "a2", "two"));
    assert_eq!(entries(peer.events()), [], "not before the page is whole");
    peer.say(&fin(iq, true, &["a1", "a2"]));
    peer.say(&message("bob", "a4", "four"));
    peer.say(&message("bob", "a4", "four"));
    let entries = entries(peer.events());
    assert_eq!(bodies(&entries), ["one", "two", "three", "four"]);
    assert!(
        matches!(&entries[2], Entry::CaughtUp { at: Some(at) } if at.as_str() == "a2"),
        "{entries:?}"
    );
}

#[test]
fn after_a_break_a_subscription_goes_on_where_it_stood() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .subscribe(peer.now, room, Start::Now, u32::MAX)
        .unwrap();
    let query = peer.heard();
    assert!(
        query.contains("<before/>") && query.contains("<max>1</max>"),
        "{query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a7", "old"));
    peer.say(&fin(attribute(&query, "id"), false, &["a7"]));
    assert_eq!(
        bodies(&entries(peer.events())),
        [""; 0],
        "what was said before is not new"
    );
    cut(&mut peer);
    heal(&mut peer);
    let query = peer.heard();
    assert!(query.contains("<after>a7</after>"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a8", "missed"));
    peer.say(&fin(attribute(&query, "id"), true, &["a8"]));
    let entries = entries(peer.events());
    assert_eq!(bodies(&entries), ["missed"]);
    assert!(!entries.iter().any(|e| matches!(e, Entry::Gap { .. })));
}

#[test]
fn q09_an_expired_cursor_is_a_gap_and_a_new_beginning() {
    // The archive does not lag: what it does not show is not there.
    let mut config = config();
    config.timing.settle = Duration::ZERO;
    let (mut peer, room) = in_room_of(config);
    peer.heard();
    peer.shows = false;
    let start = Start::Cursor(Cursor::parse("gone").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, u32::MAX)
        .unwrap();
    let query = peer.heard();
    peer.say(&format!(
        "<iq type='error' id='{}' from='{ROOM}'><error type='modify'><item-not-found \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        attribute(&query, "id")
    ));
    let query = peer.heard();
    assert!(query.contains("<max>1</max></set>"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a9", "left"));
    peer.say(&fin(attribute(&query, "id"), true, &["a9"]));
    let query = peer.heard();
    assert!(!query.contains("<after"), "{query}");
    peer.say(&archived(attribute(&query, "queryid"), "a9", "left"));
    peer.say(&fin(attribute(&query, "id"), true, &["a9"]));
    let entries = entries(peer.events());
    assert!(
        matches!(&entries[0], Entry::Gap { after: Some(after), reason: GapReason::CursorExpired } if after.as_str() == "gone")
    );
    assert_eq!(bodies(&entries), ["left"]);
}

#[test]
fn a_reader_without_credit_gets_nothing_and_misses_nothing() {
    let (mut peer, room) = in_room();
    peer.heard();
    let start = Start::Cursor(Cursor::Beginning);
    let id = peer.engine.subscribe(peer.now, room, start, 2).unwrap();
    let query = peer.heard();
    assert!(
        query.contains("<max>2</max>"),
        "no more is asked for than can be taken: {query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&archived(attribute(&query, "queryid"), "a2", "2"));
    peer.say(&fin(attribute(&query, "id"), false, &["a1", "a2"]));
    assert_eq!(bodies(&entries(peer.events())), ["1", "2"]);
    // Far more is said than is held back.
    for n in 3..900 {
        peer.say(&message("bob", &format!("a{n}"), &n.to_string()));
    }
    assert_eq!(entries(peer.events()), []);
    assert_eq!(peer.heard(), "");
    peer.engine.grant(peer.now, id, 1000);
    let query = peer.heard();
    assert!(query.contains("<after>a1</after>"), "{query}");
    let ids: Vec<_> = (2..900).map(|n| format!("a{n}")).collect();
    let (mut query, mut seen) = (query, Vec::new());
    for page in ids.chunks(100) {
        let (q, iq) = (attribute(&query, "queryid"), attribute(&query, "id"));
        for id in page {
            peer.say(&archived(q, id, &id[1..]));
        }
        let complete = page.last() == ids.last();
        peer.say(&fin(iq, complete, &[&page[0], page.last().unwrap()]));
        seen.extend(
            bodies(&entries(peer.events()))
                .iter()
                .map(ToString::to_string),
        );
        query = peer.heard();
    }
    assert_eq!(seen, (3..900).map(|n| n.to_string()).collect::<Vec<_>>());
}

// ---- fetches ---------------------------------------------------------------

fn fetched(events: Vec<Event>) -> (Vec<Message>, Option<FetchEvent>) {
    let (mut messages, mut end) = (Vec::new(), None);
    for event in events {
        match event {
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => messages.extend(page),
            Event::Fetch { event, .. } => assert!(end.replace(event).is_none(), "one outcome"),
            _ => {}
        }
    }
    (messages, end)
}

#[test]
fn q01_q02_results_count_only_from_the_archive_that_was_asked() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .fetch(peer.now, room, Fetch::newest(10))
        .unwrap();
    let query = peer.heard();
    let (iq, q) = (attribute(&query, "id"), attribute(&query, "queryid"));
    let result = archived(q, "a1", "one");
    peer.say(&result.replacen(&format!("from='{ROOM}'"), "from='evil@parley.local'", 1));
    peer.say(&result.replacen(&format!("from='{ROOM}'"), &format!("from='{ROOM}/bob'"), 1));
    peer.say(&result.replacen(&format!(" from='{ROOM}'"), "", 1));
    peer.say(&archived("guessed", "a1", "forged"));
    // Q16: under the right envelope, but not said in this room.
    peer.say(
        &archived(q, "a2", "foreign").replace(&format!("{ROOM}/bob"), "other@muc.parley.local/bob"),
    );
    peer.say(&fin(iq, true, &[]).replace(ROOM, "evil@parley.local"));
    assert_eq!(peer.events(), []);
    peer.say(&archived(q, "a3", "three"));
    peer.say(&fin(iq, true, &["a2", "a3"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(
        messages.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(),
        ["three"]
    );
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true }) if next.as_str() == "a3")
    );
}

#[test]
fn a_fetch_that_waits_returns_with_news_and_not_before_its_time() {
    let (mut peer, room) = in_room();
    peer.heard();
    let fetch = Fetch::since(Cursor::parse("a1").unwrap(), 10).wait(Duration::from_secs(30));
    peer.engine.fetch(peer.now, room, fetch.clone()).unwrap();
    let query = peer.heard();
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_secs(10));
    assert_eq!(fetched(peer.events()).1, None);
    peer.say(&message("bob", "a2", "news"));
    let query = peer.heard();
    assert!(query.contains("<after>a1</after>"), "{query}");
    // The archive lags behind: asked again a little later.
    peer.say(&message("bob", "a3", "more"));
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_millis(300));
    let query = peer.heard();
    peer.say(&archived(attribute(&query, "queryid"), "a2", "news"));
    peer.say(&fin(attribute(&query, "id"), true, &["a2"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(messages.len(), 1);
    assert!(matches!(end, Some(FetchEvent::Done { next, .. }) if next.as_str() == "a2"));

    peer.engine.fetch(peer.now, room, fetch).unwrap();
    let query = peer.heard();
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_millis(29_999));
    peer.say("<message/>");
    assert_eq!(fetched(peer.events()).1, None);
    peer.pass(Duration::from_millis(1));
    let end = fetched(peer.events()).1;
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true }) if next.as_str() == "a1")
    );
}

#[test]
fn a_fetch_survives_a_break_and_gives_no_page_twice() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .fetch(peer.now, room, Fetch::since(Cursor::Beginning, 500))
        .unwrap();
    let query = peer.heard();
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&fin(attribute(&query, "id"), false, &["a1"]));
    let query = peer.heard();
    peer.say(&archived(
        attribute(&query, "queryid"),
        "a2",
        "lost with the stream",
    ));
    cut(&mut peer);
    heal(&mut peer);
    let query = peer.heard();
    assert!(
        !query.contains("<after>"),
        "what it stands on is to be shown: {query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&archived(attribute(&query, "queryid"), "a2", "2"));
    peer.say(&fin(attribute(&query, "id"), true, &["a1", "a2"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(
        messages.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert!(matches!(end, Some(FetchEvent::Done { complete: true, .. })));
}

#[test]
fn a_page_that_fails_is_an_error_and_never_a_short_list() {
    for (answer, expected) in [
        (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            RequestError::ArchiveUnsupported,
        ),
        (
            "<error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            RequestError::ArchiveUnsupported,
        ),
    ] {
        let (mut peer, room) = in_room();
        peer.heard();
        peer.engine
            .fetch(peer.now, room, Fetch::since(Cursor::parse("x").unwrap(), 5))
            .unwrap();
        let id = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<iq type='error' id='{id}' from='{ROOM}'>{answer}</iq>"
        ));
        assert_eq!(fetched(peer.events()).1, Some(FetchEvent::Failed(expected)));
    }
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    peer.heard();
    peer.pass(Duration::from_secs(30));
    assert_eq!(
        fetched(peer.events()).1,
        Some(FetchEvent::Failed(RequestError::TimedOut))
    );
}

#[test]
fn a_room_without_an_archive_says_so() {
    let mut peer = Peer::online(config());
    let room = peer.join("");
    peer.events();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    let end = fetched(peer.events()).1;
    assert_eq!(
        end,
        Some(FetchEvent::Failed(RequestError::ArchiveUnsupported))
    );
}

// ---- the link --------------------------------------------------------------

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.pass(Duration::from_secs(30));
    assert!(peer.heard().contains("urn:xmpp:ping"));
    // White space is no answer (RFC 6120, section 4.6.1): it may be a buffer's.
    peer.say(" \n ");
    peer.pass(Duration::from_secs(14));
    assert_eq!(peer.events(), []);
    peer.pass(Duration::from_secs(1));
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::TimedOut(Timer::KeepaliveReply),
                retry: Retry::At(_),
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    assert!(peer.heard().ends_with("</stream:stream>"));
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_makes_us_keep_little() {
    let mut peer = Peer::online(config());
    peer.heard();
    let ping = "<iq type='get' id='p' from='parley.local'><ping xmlns='urn:xmpp:ping'/></iq>";
    let flood = ping.repeat(1000);
    let mut refused = false;
    for _ in 0..100 {
        let taken = peer.engine.handle_input(peer.now, flood.as_bytes());
        if taken < flood.len() {
            refused = true;
            break;
        }
    }
    assert!(refused && !peer.engine.wants().read);
    assert!(peer.engine.wants().write.len() < 3 * 1024 * 1024);
    peer.reads = false;
    peer.pass(Duration::from_secs(30));
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::TimedOut(Timer::Write),
                retry: Retry::At(_),
            },
        ] => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn back_pressure_is_not_death() {
    let mut config = config();
    config.limits.events = 8;
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    peer.heard();
    let coming: String = (0..100).map(|n| presence(&format!("n{n}"), "")).collect();
    let taken = peer.engine.handle_input(peer.now, coming.as_bytes());
    assert!(taken < coming.len() && !peer.engine.wants().read);
    // An hour passes without us listening: nobody is declared dead for it.
    peer.pass(Duration::from_secs(3600));
    let events = peer.events();
    assert!(
        events.iter().all(|e| matches!(e, Event::Room { .. })),
        "{events:?}"
    );
    let rest = &coming[taken..];
    assert!(peer.engine.handle_input(peer.now, rest.as_bytes()) > 0);
    peer.events();
    // The peer has as long to answer as it had before.
    peer.pass(Duration::from_secs(29));
    assert!(
        !peer
            .events()
            .iter()
            .any(|e| matches!(e, Event::Fetch { .. }))
    );
}

/// FluuxIO/go-xmpp#45, redsolution/xabber-android#157, redsolution/xabber-android#298,
/// hannesm/jackline#193: two programs with one resource throw each other out, for ever.
#[test]
fn thread_6_a_conflict_is_the_end_of_trying() {
    let (mut peer, room) = in_room();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.heard();
    peer.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    );
    peer.engine.handle_eof(peer.now);
    let events = peer.events();
    assert!(events.iter().any(|e| matches!(
        e,
        Event::Offline {
            retry: Retry::Never,
            ..
        }
    )));
    assert!(
        events.iter().any(|e| matches!(e, Event::Post { .. })),
        "{events:?}"
    );
    peer.pass(Duration::from_secs(86_400));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    assert_eq!(peer.engine.wants().deadline, None);
    peer.engine.reconnect(peer.now);
    assert!(matches!(
        peer.engine.wants().transport,
        Transport::Connect { .. }
    ));
}

#[test]
fn thread_5_backoff_grows_and_does_not_start_afresh_with_a_login() {
    let mut peer = Peer::online(config());
    let mut ceiling = Duration::from_millis(500);
    for round in 0..12 {
        cut(&mut peer);
        let Some(Event::Offline {
            retry: Retry::At(at),
            ..
        }) = peer
            .events()
            .into_iter()
            .find(|e| matches!(e, Event::Offline { .. }))
        else {
            panic!("no attempt in round {round}");
        };
        assert!(at.since(peer.now) <= ceiling, "round {round}");
        ceiling = (ceiling * 2).min(Duration::from_secs(60));
        peer.pass(at.since(peer.now));
        peer.log_in();
    }
    assert_eq!(ceiling, Duration::from_secs(60));
    // A stream that lasts is forgiven.
    for _ in 0..8 {
        peer.pass(Duration::from_secs(10));
        peer.say("<message/>");
    }
    cut(&mut peer);
    let again = peer.events().into_iter().find_map(|e| match e {
        Event::Offline {
            retry: Retry::At(at),
            ..
        } => Some(at.since(peer.now)),
        _ => None,
    });
    assert!(again.unwrap() <= Duration::from_millis(500));
}
