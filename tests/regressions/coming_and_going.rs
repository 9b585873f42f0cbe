//! Getting into a room, out of it, and in again.

use crate::peer::message;
use crate::*;
use parley_xmpp::{Condition, JoinFailure, LeaveCause, Post, PostOutcome, Retry};

fn of_room(events: &[Event], id: RoomId) -> Vec<&RoomEvent> {
    let of_room = |event| match event {
        &Event::Room { room, ref event } if room == id => Some(event),
        _ => None,
    };
    events.iter().filter_map(of_room).collect()
}

fn asked_to_leave() -> RoomEvent {
    RoomEvent::Left {
        cause: LeaveCause::Asked,
        retry: Retry::Never,
    }
}

// ---- leaving, and joining again at once ------------------------------------

#[test]
fn what_a_room_says_of_the_first_stay_is_not_taken_for_the_second() {
    let mut peer = Peer::online(config());
    let first = peer.engine.join(peer.now, ada()).unwrap();
    let sent = peer.heard();
    peer.engine.leave(peer.now, first);
    let second = peer.engine.join(peer.now, ada()).unwrap();
    assert_ne!(first, second);
    assert_eq!(of_room(&peer.events(), first), [&asked_to_leave()]);
    let parting = peer.heard();
    assert!(parting.contains("type='unavailable'"), "{parting}");
    assert!(joins(&parting).is_empty(), "not yet: {parting}");
    // What answers the first join.
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(&features(iq(requests(&sent)[1]), ""));
    peer.say(&message("bob", "a1", "to those inside"));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    // And what answers the leave.
    peer.say(&out(""));
    assert_eq!(peer.events(), []);
    peer.let_in("ada", ROOM_FEATURES);
    let events = peer.events();
    assert!(
        matches!(of_room(&events, second)[..], [RoomEvent::Joined(_)]),
        "{events:?}"
    );
    assert_eq!(events.len(), 1);
}

#[test]
fn a_farewell_that_is_refused_says_nothing_about_the_next_join() {
    let mut peer = Peer::online(config());
    let first = peer.engine.join(peer.now, ada()).unwrap();
    let joined = joins(&peer.heard())[0].to_owned();
    peer.engine.leave(peer.now, first);
    let second = peer.engine.join(peer.now, ada()).unwrap();
    let parting = peer.heard();
    // The room was destroyed: neither the join nor the leave comes to anything.
    let refusal = |id: &str| {
        format!(
            "<presence type='error' id='{id}' from='{ROOM}/ada'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
        )
    };
    peer.say(&refusal(&joined));
    assert_eq!(joins(&peer.heard()).len(), 1);
    peer.say(&refusal(attribute(&parting, "id")));
    peer.pass(secs(5));
    assert_eq!(
        joins(&peer.heard()),
        [""; 0],
        "asked again before the answer"
    );
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(secs(30));
    let events = peer.events();
    let told = of_room(&events, second);
    assert!(matches!(told[..], [RoomEvent::Joined(_)]), "{told:?}");
}

#[test]
fn the_farewell_of_another_occupant_is_not_ours() {
    let (mut peer, first) = in_room();
    peer.engine.leave(peer.now, first);
    peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    peer.say(&presence("bob", "").replace("<presence ", "<presence type='unavailable' "));
    assert_eq!(peer.heard(), "");
    peer.say(&out(""));
    assert_eq!(joins(&peer.heard()).len(), 1);
}

#[test]
fn a_farewell_under_another_nick_than_we_asked_for_is_ours() {
    let mut peer = Peer::online(config());
    let first = peer.engine.join(peer.now, ada()).unwrap();
    peer.engine.leave(peer.now, first);
    peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    peer.say(&presence(
        "ada-of-old",
        "<status code='110'/><status code='210'/>",
    ));
    assert_eq!(peer.heard(), "");
    let gone = presence("ada-of-old", "<status code='110'/>");
    peer.say(&gone.replace("<presence ", "<presence type='unavailable' "));
    assert_eq!(joins(&peer.heard()).len(), 1);
}

/// jitsi/jicofo#1297: a leave that was never answered kept the room from being joined ever again.
#[test]
fn a_room_that_bids_no_farewell_is_joined_again_in_time() {
    let (mut peer, first) = in_room();
    peer.engine.leave(peer.now, first);
    let second = peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    let patience = peer.engine.config().timing.request;
    peer.pass(patience - Duration::from_millis(1));
    assert!(joins(&peer.heard()).is_empty());
    peer.pass(Duration::from_millis(1));
    let sent = peer.heard();
    assert_eq!(joins(&sent).len(), 1, "{sent}");
    pong(&mut peer, &sent);
    peer.say(&presence("ada", "<status code='110'/>"));
    for request in requests(&sent) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    let events = peer.events();
    assert!(
        of_room(&events, second)
            .iter()
            .any(|e| matches!(e, RoomEvent::Joined(_)))
    );
    // The farewell, late, is about the first stay; the same again is not.
    peer.say(&out(""));
    assert_eq!(peer.events(), []);
    peer.say(&out(""));
    let events = peer.events();
    assert!(
        matches!(of_room(&events, second)[..], [RoomEvent::Left { .. }]),
        "{events:?}"
    );
}

#[test]
fn a_stream_that_breaks_while_a_room_is_left_does_not_hold_up_the_next() {
    let (mut peer, first) = in_room();
    peer.engine.leave(peer.now, first);
    peer.engine.join(peer.now, ada()).unwrap();
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    peer.let_in("ada", ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));
}

#[test]
fn a_late_refusal_of_an_earlier_attempt_is_not_taken_for_the_next() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    let first = joins(&peer.heard())[0].to_owned();
    peer.say(&refusal(&first, "resource-constraint", "wait"));
    peer.events();
    knock_again(&mut peer);
    let sent = peer.heard();
    let second = joins(&sent)[0].to_owned();
    assert_ne!(first, second);
    for condition in ["forbidden", "conflict"] {
        peer.say(&refusal(&first, condition, "auth"));
    }
    assert_eq!(peer.events(), [], "about what is over");
    peer.say(&refusal(&second, "forbidden", "auth"));
    match &room_events(peer.events())[..] {
        [
            RoomEvent::JoinFailed {
                error: JoinFailure::Refused(error),
                retry: Retry::Never,
            },
        ] => assert_eq!(error.condition, Condition::Forbidden),
        other => panic!("{other:?}"),
    }
}

#[test]
fn proof_that_we_are_in_counts_after_a_refusal_too() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    let sent = peer.heard();
    // Late, and without an id that would say of what.
    peer.say(&refusal("", "remote-server-timeout", "wait").replace(" id=''", ""));
    peer.events();
    peer.say(&presence("ada", "<status code='110'/>"));
    for request in requests(&sent) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    for request in requests(&peer.heard()) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    assert!(peer.events().iter().any(joined));
    peer.pass(secs(20));
    assert!(joins(&peer.heard()).is_empty(), "in is in");
}

// ---- who is who ------------------------------------------------------------

#[test]
fn a_stranger_with_the_nick_we_asked_for_is_not_us() {
    let mut peer = Peer::online(config());
    let room = peer.engine.join(peer.now, ada()).unwrap();
    let sent = peer.heard();
    let with_id = |nick: &str, id: &str, status: &str| {
        presence(nick, status).replace(
            "<x ",
            &format!("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/><x "),
        )
    };
    peer.say(&features(
        iq(requests(&sent)[1]),
        &format!("{ROOM_FEATURES}<feature var='urn:xmpp:occupant-id:0'/>"),
    ));
    peer.say(&with_id("ada", "stranger", ""));
    assert_eq!(peer.events(), [], "it may be us or not");
    peer.say(&with_id(
        "ada-2",
        "us",
        "<status code='110'/><status code='210'/>",
    ));
    match &room_events(peer.events())[..] {
        [
            RoomEvent::OccupantJoined { nick },
            RoomEvent::Joined(joined),
        ] => assert_eq!((nick.as_str(), joined.nick.as_str()), ("ada", "ada-2")),
        other => panic!("{other:?}"),
    }
    peer.say(&peer::no_end(iq(requests(&sent)[0]), ROOM));
    let post = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    let said = |nick: &str, id: &str| {
        message(nick, "a1", "hi").replace("m-a1", &origin).replace(
            "<body>",
            &format!("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/><body>"),
        )
    };
    peer.say(&said("ada", "stranger"));
    assert_eq!(peer.events(), [], "not our reflection");
    peer.say(&said("ada-2", "us"));
    assert!(matches!(
        peer.events()[..],
        [Event::Post { id, outcome: PostOutcome::Committed { .. } }] if id == post
    ));
}

// ---- rooms that do not answer, and nicks that are taken --------------------

#[test]
fn a_room_that_does_not_say_what_it_can_do_is_joined_all_the_same() {
    let mut peer = Peer::online(config());
    peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(secs(29));
    assert_eq!(peer.events(), []);
    peer.pass(secs(1));
    match &room_events(peer.events())[..] {
        [RoomEvent::Joined(joined)] => assert!(!joined.info.archive && !joined.info.stanza_ids),
        other => panic!("{other:?}"),
    }
    assert!(!peer.heard().contains("type='unavailable'"));
}

#[test]
fn a_join_given_up_leaves_no_ghost_behind() {
    let mut peer = Peer::online(config());
    peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    peer.pass(secs(30));
    assert_eq!(
        room_events(peer.events()),
        [RoomEvent::JoinFailed {
            error: JoinFailure::TimedOut,
            retry: Retry::Never
        }]
    );
    let said = peer.heard();
    assert!(
        said.contains(&format!(
            "<presence to='{ROOM}/ada' id='leave' type='unavailable'/>"
        )),
        "{said}"
    );
}

#[test]
fn the_farewell_of_an_attempt_given_up_is_no_removal() {
    let (mut peer, room) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    peer.pass(secs(29));
    pong_all(&mut peer);
    peer.pass(secs(4));
    let sent = peer.heard();
    assert!(sent.contains("type='unavailable'"), "{sent}");
    assert_eq!(joins(&sent).len(), 1, "{sent}");
    pong(&mut peer, &sent);
    peer.events();
    // A slow room handles it all at once: the first attempt, its end, the second.
    peer.say(&presence("ada", "<status code='110'/>"));
    for request in requests(&sent) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    peer.say(&out(""));
    peer.say(&presence("ada", "<status code='110'/>"));
    let events = peer.events();
    let told = of_room(&events, room);
    assert!(matches!(told[..], [RoomEvent::Joined(_)]), "{told:?}");
    // The same again was not asked for.
    peer.say(&out(""));
    let events = peer.events();
    let cause = LeaveCause::Unexplained;
    assert!(
        matches!(of_room(&events, room)[..], [RoomEvent::Left { cause: told, .. }] if *told == cause),
        "{events:?}"
    );
}

/// We told a slow room that we go, and are about to come again, when it answers the attempt that
/// we gave up: it answers the leave next. Who took the first for being in stayed out, unseen.
#[test]
fn an_attempt_given_up_that_succeeds_after_all_does_not_keep_us_from_trying_again() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    peer.pass(secs(29));
    pong_all(&mut peer);
    let mut sent = String::new();
    while !sent.contains("type='unavailable'") {
        peer.pass(Duration::from_millis(1));
        sent += &peer.heard();
    }
    assert_eq!(joins(&sent), [""; 0], "not yet");
    peer.events();
    peer.say(&presence("ada", "<status code='110'/>"));
    for request in requests(&peer.heard()) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    peer.say(&out(""));
    assert!(!peer.events().iter().any(joined));
    peer.pass(secs(5));
    assert_eq!(joins(&peer.heard()).len(), 1);
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(secs(30));
    assert!(peer.events().iter().any(joined));
}

/// The service refuses the leave, since it never had us: then nothing more comes of that, and a
/// removal without a reason is one.
#[test]
fn a_removal_after_a_farewell_that_was_refused_is_one() {
    let (mut peer, room) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    peer.pass(secs(29));
    pong_all(&mut peer);
    peer.pass(secs(4));
    let sent = peer.heard();
    assert!(sent.contains("id='leave' type='unavailable'"), "{sent}");
    pong(&mut peer, &sent);
    peer.events();
    peer.say(&refusal("leave", "not-acceptable", "modify"));
    peer.say(&presence("ada", "<status code='110'/>"));
    for request in requests(&sent) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    assert!(peer.events().iter().any(joined));
    peer.say(&out(""));
    let events = peer.events();
    assert!(
        matches!(of_room(&events, room)[..], [RoomEvent::Left { .. }]),
        "{events:?}"
    );
}

/// Put out while it has not said what it can do, and let in again by an attempt of before: the
/// question went with the stay that it was asked in, and is asked anew.
#[test]
fn a_room_that_lets_us_in_again_unasked_is_asked_again_what_it_can_do() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    let first = peer.heard();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(&dropped());
    peer.say(&presence("ada", "<status code='110'/>"));
    let again = peer.heard();
    assert_eq!(requests(&again).len(), 1, "{again}");
    peer.say(&features(iq(requests(&first)[0]), ""));
    peer.events();
    peer.say(&features(iq(requests(&again)[0]), ROOM_FEATURES));
    match &room_events(peer.events())[..] {
        [RoomEvent::Joined(joined)] => assert!(joined.info.archive),
        other => panic!("{other:?}"),
    }
}

/// XEP-0045 section 7.2.8: who refuses us for our nick shows who has it. That is not us, however
/// it looked, and nothing that is said to those inside makes it so.
#[test]
fn a_refusal_outweighs_an_occupant_of_our_nick() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    let sent = peer.heard();
    for request in requests(&sent) {
        peer.say(&features(iq(request), ROOM_FEATURES));
    }
    peer.say(&presence("ada", ""));
    peer.say(&refusal(joins(&sent)[0], "conflict", "cancel"));
    peer.events();
    peer.say(&format!(
        "<message from='{ROOM}/bob' type='groupchat'><subject>all in</subject></message>"
    ));
    let events = peer.events();
    assert!(!events.iter().any(joined), "{events:?}");
    assert_eq!(peer.heard(), "", "nobody is asked what it can do");
}

/// What it refuses to say to an occupant, for good, it is not taken to be able to.
#[test]
fn what_a_room_does_not_say_any_more_it_is_not_taken_to_be_able_to() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    knock_again(&mut peer);
    peer.say(&presence("ada", "<status code='110'/>"));
    for _ in 0..2 {
        let sent = peer.heard();
        let asked = requests(&sent).pop().unwrap();
        peer.say(&failure(iq(asked), "forbidden", "auth"));
    }
    let told = room_events(peer.events());
    assert!(
        matches!(&told[..], [.., RoomEvent::Joined(joined)] if !joined.info.archive),
        "{told:?}"
    );
}

fn pong_all(peer: &mut Peer) {
    let sent = peer.heard();
    pong(peer, &sent);
}

/// Refuses every join for an hour with a conflict; the number of joins, and what
/// became of it.
fn conflicts_for_an_hour(peer: &mut Peer) -> (usize, Vec<RoomEvent>) {
    let start = peer.now;
    let (mut count, mut told) = (0, Vec::new());
    while peer.now.since(start) < secs(3600) {
        let sent = peer.heard();
        pong(peer, &sent);
        for id in joins(&sent) {
            count += 1;
            peer.say(&refusal(id, "conflict", "cancel"));
        }
        told.extend(room_events(peer.events()));
        if peer.engine.wants().write.is_empty() {
            turn(peer);
        }
    }
    (count, told)
}

fn nick_conflict() -> RoomEvent {
    RoomEvent::JoinFailed {
        error: JoinFailure::NickConflict,
        retry: Retry::Never,
    }
}

#[test]
fn other_nicks_are_tried_a_few_times_and_then_at_leisure() {
    let mut peer = Peer::online(config());
    let nick = Nick::Suggested("ada".into());
    peer.engine.join(peer.now, ops(nick)).unwrap();
    let mut count = 0;
    for _ in 0..1000 {
        let sent = peer.heard();
        count += joins(&sent).len();
        let Some(id) = joins(&sent).pop() else { break };
        peer.say(&refusal(id, "conflict", "cancel"));
    }
    assert!((2..=8).contains(&count), "{count} at once");
    let (count, told) = conflicts_for_an_hour(&mut peer);
    assert!(count <= 50, "{count} in an hour");
    assert_eq!(told, [nick_conflict()]);
}

#[test]
fn our_own_ghost_is_waited_for_and_not_for_ever() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    peer.events();
    let (count, mut told) = conflicts_for_an_hour(&mut peer);
    assert!((2..=50).contains(&count), "{count} in an hour");
    assert_eq!(told.pop(), Some(nick_conflict()));
    assert!(told.iter().all(|event| matches!(
        event,
        RoomEvent::JoinFailed {
            error: JoinFailure::NickConflict,
            retry: Retry::At(_)
        }
    )));
}

// ---- out of a room without a word ------------------------------------------

#[test]
fn a_removal_without_a_reason_is_told_and_mended() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.events();
    peer.say(&out(""));
    let events = peer.events();
    assert!(
        matches!(
            of_room(&events, room)[..],
            [RoomEvent::Left {
                cause: LeaveCause::Unexplained,
                retry: Retry::At(_)
            }]
        ),
        "{events:?}"
    );
    assert_eq!(events.len(), 1, "the subscription waits");
    knock_again(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.say(&message("bob", "a1", "welcome back"));
    assert_eq!(bodies(&entries(peer.events())), ["welcome back"]);
}

#[test]
fn a_room_that_we_are_not_in_cannot_be_destroyed() {
    let mut peer = Peer::online(config());
    let room = peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    let refused = |peer: &mut Peer| {
        peer.engine.destroy(peer.now, room);
        let told = room_events(peer.events());
        assert!(
            matches!(told[..], [RoomEvent::DestroyRefused(_)]),
            "{told:?}"
        );
        assert_eq!(peer.heard(), "");
    };
    refused(&mut peer);
    cut(&mut peer);
    peer.events();
    refused(&mut peer);
}
