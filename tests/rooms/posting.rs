//! What becomes of posts.

use crate::*;

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
