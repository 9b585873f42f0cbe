//! Being in, and out again.

use crate::*;

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
