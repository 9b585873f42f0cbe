//! Being removed from a room, and coming back or not (XEP-0045 v1.35.5).

use crate::peer::{fin, message};
use crate::*;
use parley_xmpp::{Cursor, Entry, GapReason, JoinFailure, Start};

const KICK: &str = "<status code='307'/>";

/// Lets the pause pass, and is let in again.
fn come_back(peer: &mut Peer, pause: Option<Duration>) {
    peer.pass(pause.expect("to come back"));
    peer.let_in("ada", ROOM_FEATURES);
    let told = room_events(peer);
    assert!(matches!(told[..], [RoomEvent::Joined(_)]), "{told:?}");
}

/// Lets the pause pass; what is written then.
fn until_join(peer: &mut Peer) -> String {
    loop {
        let sent = peer.heard();
        if !joins(&sent).is_empty() {
            return sent;
        }
        let deadline = peer.engine.wants().deadline.expect("another attempt");
        peer.pass(deadline.at.since(peer.now));
    }
}

/// Stays out, whatever time passes.
#[track_caller]
fn stays_out(peer: &mut Peer) {
    assert_eq!(peer.heard(), "");
    peer.pass(secs(24 * 3600));
    assert_eq!(peer.heard(), "");
    assert!(
        peer.engine.join(peer.now, ada()).is_ok(),
        "the host may try"
    );
}

// ---- nobody meant us -------------------------------------------------------

/// horazont/aioxmpp#335: removed for a technical problem (333), and never back.
#[test]
fn m09_332_333_and_no_reason_bring_us_back_ever_more_slowly() {
    for status in [
        "<status code='332'/>",
        "<status code='333'/>",
        "<status code='333'/><status code='307'/>",
        "",
    ] {
        let (mut peer, _) = in_room();
        let mut longest = secs(0);
        // The room lets us in and throws us out again, at once.
        for round in 0..12_u32 {
            peer.say(&out(status));
            let (cause, pause) = left(&mut peer);
            assert!(!matches!(cause, LeaveCause::Kicked { .. }));
            let pause = pause.expect("to come back");
            assert!(pause <= (secs(1) * (1 << round)).min(secs(60)), "{round}");
            longest = longest.max(pause);
            come_back(&mut peer, Some(pause));
        }
        assert!(longest > secs(5), "{longest:?}");
        // A stay that lasts is forgiven.
        peer.pass(secs(60));
        peer.say(&out(status));
        assert!(left(&mut peer).1.unwrap() <= secs(1));
    }
}

/// jitsi/jicoco#158, horazont/aioxmpp#315: a join that fails after a reconnect, or after an eviction
/// was found out, was never tried again.
#[test]
fn thread_1_a_room_is_joined_again_however_often_that_fails() {
    let (mut peer, _) = in_room();
    peer.say(&out("<status code='332'/>"));
    left(&mut peer);
    let (mut attempts, start) = (0, peer.now);
    let failures = [
        ("service-unavailable", "cancel"),
        ("remote-server-not-found", "cancel"),
        ("internal-server-error", "cancel"),
        ("resource-constraint", "wait"),
        ("item-not-found", "cancel"),
    ];
    for (condition, kind) in failures.iter().cycle().take(100) {
        let sent = until_join(&mut peer);
        attempts += 1;
        refuse(&mut peer, &sent, condition, kind);
        let told = room_events(&mut peer);
        assert!(
            matches!(
                told[..],
                [RoomEvent::JoinFailed {
                    retry: Retry::At(_),
                    ..
                }]
            ),
            "{told:?}"
        );
    }
    let took = peer.now.since(start);
    assert!(took > secs(1800), "{attempts} attempts in {took:?}");
    peer.kept = until_join(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(room_events(&mut peer)[..], [RoomEvent::Joined(_)]));
}

#[test]
fn thread_1_a_room_that_never_answers_is_asked_again_and_each_failure_told() {
    let (mut peer, _) = in_room();
    peer.say(&out("<status code='333'/>"));
    left(&mut peer);
    peer.pass(secs(3600));
    let sent = peer.heard();
    let told = room_events(&mut peer);
    assert!((20..=120).contains(&joins(&sent).len()));
    assert!(told.iter().all(|event| matches!(
        event,
        RoomEvent::JoinFailed {
            error: JoinFailure::TimedOut,
            retry: Retry::At(_)
        }
    )));
    assert!(told.len() + 1 >= joins(&sent).len());
    // And let in when it answers after all.
    peer.kept = until_join(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(
        room_events(&mut peer)[..],
        [.., RoomEvent::Joined(_)]
    ));
}

// ---- somebody did ----------------------------------------------------------

#[test]
fn m09_307_brings_us_back_once_and_a_second_is_final() {
    let (mut peer, _) = in_room();
    peer.say(&out(KICK));
    let (cause, pause) = left(&mut peer);
    assert_eq!(cause, LeaveCause::Kicked { reason: None });
    assert!((secs(10)..=secs(15)).contains(&pause.unwrap()), "{pause:?}");
    come_back(&mut peer, pause);
    peer.pass(secs(600));
    peer.heard();
    peer.say(&out(KICK));
    assert_eq!(left(&mut peer), (LeaveCause::Kicked { reason: None }, None));
    stays_out(&mut peer);
}

#[test]
fn m09_307_is_forgotten_after_a_while() {
    let mut config = config();
    config.timing.self_ping = Duration::MAX;
    let (mut peer, _) = in_room_of(config);
    for _ in 0..3 {
        peer.say(&out(KICK));
        let (_, pause) = left(&mut peer);
        come_back(&mut peer, pause);
        peer.pass(secs(3600));
        peer.heard();
    }
}

#[test]
fn m09_307_with_other_limits() {
    let mut never = config();
    never.limits.kicks = 0;
    let (mut peer, _) = in_room_of(never.clone());
    peer.say(&out(KICK));
    assert_eq!(left(&mut peer).1, None);
    stays_out(&mut peer);
    // A room has its own.
    let mut peer = Peer::online(never);
    peer.heard();
    peer.engine.join(peer.now, ada().kicks(3)).unwrap();
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    for least in [10, 20, 40] {
        peer.say(&out(KICK));
        let (_, pause) = left(&mut peer);
        assert!((secs(least)..=secs(least * 3 / 2)).contains(&pause.unwrap()));
        come_back(&mut peer, pause);
    }
    peer.say(&out(KICK));
    assert_eq!(left(&mut peer).1, None);
}

#[test]
fn m09_307_outlives_the_stream() {
    let (mut peer, _) = in_room();
    peer.say(&out(KICK));
    let (_, pause) = left(&mut peer);
    let until = peer.now.plus(pause.unwrap());
    cut(&mut peer);
    until_connect(&mut peer);
    peer.log_in();
    assert!(joins(&peer.heard()).is_empty());
    let rest = until.since(peer.now);
    peer.pass(rest - Duration::from_millis(1));
    assert!(joins(&peer.heard()).is_empty());
    peer.pass(Duration::from_millis(1));
    assert_eq!(joins(&peer.heard()).len(), 1);
}

// ---- the room does not want us, or is no more ------------------------------

#[test]
fn m09_301_321_322_are_final() {
    let banned = LeaveCause::Banned { reason: None };
    for (status, cause) in [
        ("<status code='301'/>", banned.clone()),
        ("<status code='301'/><status code='307'/>", banned),
        ("<status code='321'/>", LeaveCause::NotMember),
        ("<status code='322'/>", LeaveCause::NotMember),
    ] {
        let (mut peer, _) = in_room();
        peer.say(&out(status));
        assert_eq!(left(&mut peer), (cause, None), "{status}");
        stays_out(&mut peer);
    }
}

#[test]
fn m09_m10_a_destroyed_room_is_final_and_its_alternative_told_and_not_followed() {
    let (mut peer, _) = in_room();
    peer.say(&out(
        "<destroy jid='trap@muc.evil.example'><password>p</password><reason>r</reason></destroy>",
    ));
    let alternative = Some(BareJid::parse("trap@muc.evil.example").unwrap());
    let cause = LeaveCause::Destroyed {
        alternative,
        reason: Some("r".into()),
    };
    assert_eq!(left(&mut peer), (cause, None));
    stays_out(&mut peer);
}

#[test]
fn one_rooms_end_is_not_anothers() {
    let (mut peer, ops) = in_room();
    let dev = JoinRoom::new(
        BareJid::parse("dev@muc.parley.local").unwrap(),
        Nick::Random,
    );
    let dev = peer.engine.join(peer.now, dev).unwrap();
    let sent = peer.heard();
    let nick = joins(&sent)[0].split('/').nth(1).unwrap().to_owned();
    let in_dev = |text: &str| text.replace(ROOM, "dev@muc.parley.local");
    peer.say(&in_dev(&presence(&nick, "<status code='110'/>")));
    let id = attribute(requests(&sent)[0], "id");
    peer.say(&in_dev(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    )));
    peer.events();
    peer.engine
        .subscribe(peer.now, dev, Start::Now, 99)
        .unwrap();
    let sent = peer.heard();
    peer.say(&in_dev(&fin(attribute(&sent, "id"), true, &[])));
    peer.events();
    for (room, status) in [
        (ROOM, "<status code='301'/>"),
        (ROOM, "<status code='333'/>"),
    ] {
        peer.say(&out(status).replace(ROOM, room));
    }
    let told = peer.events();
    assert!(
        matches!(told[..], [Event::Room { room, .. }] if room == ops),
        "{told:?}"
    );
    peer.say(&in_dev(&message("bob", "a1", "still here")));
    assert!(matches!(
        peer.events()[..],
        [Event::Entry {
            entry: Entry::Message(_),
            ..
        }]
    ));
    assert!(
        peer.engine
            .post(peer.now, dev, parley_xmpp::Post::new("hi"))
            .is_ok()
    );
}

// ---- a room made anew ------------------------------------------------------

/// Answers the unlocking and the question what the room can do.
fn unlock(peer: &mut Peer) {
    let sent = peer.heard();
    let unlock = requests(&sent)
        .into_iter()
        .find(|request| request.contains("muc#owner"))
        .expect("to unlock");
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}'/>",
        attribute(unlock, "id")
    ));
    let sent = peer.heard();
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>",
        attribute(requests(&sent)[0], "id")
    ));
}

#[test]
fn m06_a_room_that_was_lost_meanwhile_is_told_and_leaves_a_gap() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::parse("a1").unwrap());
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let sent = peer.heard();
    peer.say(&fin(attribute(&sent, "id"), true, &[]));
    peer.events();
    peer.say(&out("<status code='332'/>"));
    let (_, pause) = left(&mut peer);
    peer.pass(pause.unwrap());
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    unlock(&mut peer);
    let after = Cursor::parse("a1");
    match &peer.events()[..] {
        [
            Event::Room {
                event: RoomEvent::Recreated,
                ..
            },
            Event::Room {
                event: RoomEvent::Joined(joined),
                ..
            },
            Event::Entry {
                entry:
                    Entry::Gap {
                        after: at,
                        reason: GapReason::Recreated,
                    },
                ..
            },
        ] => assert_eq!((joined.created, at), (true, &after)),
        other => panic!("{other:?}"),
    }
    // What is left is read all the same: some archives outlive their rooms.
    let sent = peer.heard();
    assert!(sent.contains("<after>a1</after>"), "{sent}");
    peer.say(&fin(attribute(requests(&sent)[0], "id"), true, &[]));
    assert!(matches!(
        peer.events()[..],
        [Event::Entry {
            entry: Entry::CaughtUp { .. },
            ..
        }]
    ));
    // Once.
    peer.say(&out("<status code='332'/>"));
    let (_, pause) = left(&mut peer);
    peer.pass(pause.unwrap());
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(
        peer.events()[..],
        [Event::Room {
            event: RoomEvent::Joined(_),
            ..
        }]
    ));
}

#[test]
fn m06_a_room_made_at_the_first_join_was_not_lost() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.engine.join(peer.now, ada()).unwrap();
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    unlock(&mut peer);
    match &room_events(&mut peer)[..] {
        [RoomEvent::Joined(joined)] => assert!(joined.created),
        other => panic!("{other:?}"),
    }
}

// ---- a room that stays locked ----------------------------------------------

/// The requests to unlock the room, in what was written.
fn unlocks(written: &str) -> usize {
    let requests = requests(written).into_iter();
    let submits = requests.filter(|r| r.contains("muc#owner") && r.contains("type='submit'"));
    submits.count()
}

/// The room is locked to us, as if it were not there (XEP-0045 v1.35.5, section 10.1.2),
/// for that long; after how long each request to unlock it went out.
fn locked_out(peer: &mut Peer, time: Duration) -> Vec<Duration> {
    let since = peer.now;
    let mut unlocked = Vec::new();
    while peer.now.since(since) < time {
        let sent = peer.heard();
        if !joins(&sent).is_empty() {
            refuse(peer, &sent, "item-not-found", "cancel");
        }
        for _ in 0..unlocks(&(sent + &peer.heard())) {
            unlocked.push(peer.now.since(since));
        }
        let deadline = peer.engine.wants().deadline.expect("another attempt");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    unlocked
}

/// Whoever created it may be filling in its form, also under our account: that is not
/// ended for them within a second, and for a lost creator tried once.
#[test]
fn a_room_that_stays_locked_is_unlocked_from_outside_after_a_while_and_once() {
    let mut patient = config();
    patient.timing.join = secs(90);
    let mut peer = Peer::online(patient);
    peer.heard();
    peer.engine.join(peer.now, ada()).unwrap();
    let unlocked = locked_out(&mut peer, secs(60));
    let [at] = unlocked[..] else {
        panic!("once: {unlocked:?}");
    };
    assert!((secs(15)..=secs(45)).contains(&at), "{at:?}");
    // It was: we come in.
    peer.kept = until_join(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    // Locked again, later, it is given as long once more.
    peer.say(&out("<status code='332'/>"));
    let unlocked = locked_out(&mut peer, secs(60));
    assert_eq!(unlocked.len(), 1, "{unlocked:?}");
    assert!(unlocked[0] >= secs(15), "{unlocked:?}");
}

/// Whoever is filling in its form is done in time: nobody does it for them.
#[test]
fn a_room_that_is_locked_for_a_moment_is_left_to_its_creator() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.engine.join(peer.now, ada()).unwrap();
    let unlocked = locked_out(&mut peer, secs(12));
    assert!(unlocked.is_empty(), "{unlocked:?}");
    let sent = until_join(&mut peer);
    assert_eq!(unlocks(&sent), 0, "{sent}");
    peer.kept = sent;
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(room_events(&mut peer)[..], [RoomEvent::Joined(_)]));
}

// ---- nicks that are taken --------------------------------------------------

/// psi-im/psi#396, jitsi/lib-jitsi-meet#162, jitsi/jicoco#158: our own ghost has the nick, and the
/// room is given up.
#[test]
fn m07_thread_12_our_own_ghost_is_waited_for() {
    let (mut peer, _) = in_room();
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    for _ in 0..5 {
        let sent = peer.heard();
        assert_eq!(joins(&sent), [format!("{ROOM}/ada")], "under our nick");
        refuse(&mut peer, &sent, "conflict", "cancel");
        match &room_events(&mut peer)[..] {
            [
                RoomEvent::JoinFailed {
                    error: JoinFailure::NickConflict,
                    retry: Retry::At(at),
                },
            ] => {
                let pause = at.since(peer.now);
                peer.pass(pause);
            }
            other => panic!("{other:?}"),
        }
    }
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(room_events(&mut peer)[..], [RoomEvent::Joined(_)]));
}

/// coyim/coyim#580: the nick is taken, and nobody is told.
#[test]
fn m07_thread_12_a_strangers_nick_is_not_waited_for() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.engine.join(peer.now, ada()).unwrap();
    let sent = peer.heard();
    refuse(&mut peer, &sent, "conflict", "cancel");
    assert_eq!(
        room_events(&mut peer),
        [RoomEvent::JoinFailed {
            error: JoinFailure::NickConflict,
            retry: Retry::Never
        }]
    );
    stays_out(&mut peer);
    let mut peer = Peer::online(config());
    peer.heard();
    let nick = Nick::Suggested("ada".into());
    peer.engine.join(peer.now, join_as(nick)).unwrap();
    let sent = peer.heard();
    refuse(&mut peer, &sent, "conflict", "cancel");
    let sent = peer.heard();
    assert!(
        joins(&sent)[0].starts_with(&format!("{ROOM}/ada-")),
        "{sent}"
    );
}

// ---- before a first join is through ----------------------------------------

/// The room has let us in, and not said what it can do yet.
fn half_in() -> Peer {
    let mut peer = Peer::online(config());
    peer.engine.join(peer.now, ada()).unwrap();
    peer.heard();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.heard();
    peer
}

fn failed(error: JoinFailure) -> [RoomEvent; 1] {
    let retry = Retry::Never;
    [RoomEvent::JoinFailed { error, retry }]
}

#[test]
fn a_first_join_put_out_before_it_is_through_ends_in_time() {
    for (status, cause) in [
        ("<status code='332'/>", LeaveCause::ServiceShutdown),
        ("<status code='333'/>", LeaveCause::TechnicalProblem),
        ("", LeaveCause::Unexplained),
    ] {
        let mut peer = half_in();
        peer.pass(secs(10));
        peer.say(&out(status));
        assert_eq!(
            room_events(&mut peer),
            [],
            "nobody was told that we were in"
        );
        // It asks once more, and hears nothing.
        peer.pass(secs(15));
        assert_eq!(joins(&peer.heard()).len(), 1, "{status}");
        peer.pass(secs(4));
        assert_eq!(room_events(&mut peer), []);
        peer.pass(secs(1));
        assert_eq!(room_events(&mut peer), failed(JoinFailure::PutOut(cause)));
        peer.heard();
        stays_out(&mut peer);
    }
}

#[test]
fn a_first_join_put_out_before_it_is_through_is_tried_again() {
    let mut peer = half_in();
    peer.say(&out("<status code='333'/>"));
    peer.kept = until_join(&mut peer);
    peer.let_in("ada", ROOM_FEATURES);
    let told = room_events(&mut peer);
    assert!(matches!(told[..], [RoomEvent::Joined(_)]), "{told:?}");
}

#[test]
fn a_first_join_put_out_by_somebody_has_failed() {
    let destroyed = LeaveCause::Destroyed {
        alternative: None,
        reason: None,
    };
    for (said, cause) in [
        (KICK, LeaveCause::Kicked { reason: None }),
        ("<status code='301'/>", LeaveCause::Banned { reason: None }),
        ("<status code='321'/>", LeaveCause::NotMember),
        ("<destroy/>", destroyed),
    ] {
        let mut peer = half_in();
        peer.say(&out(said));
        let told = room_events(&mut peer);
        assert_eq!(told, failed(JoinFailure::PutOut(cause)), "{said}");
        stays_out(&mut peer);
    }
}
