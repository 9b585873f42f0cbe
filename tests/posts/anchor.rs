//! The place that a post can be found behind, which is known before it leaves.

use parley_xmpp::Cursor;

use crate::*;

/// On the way into the room, and what was written for that.
fn joining() -> (Peer, RoomId, String) {
    joining_of(config())
}

fn joining_of(config: Config) -> (Peer, RoomId, String) {
    let mut peer = Peer::online(config);
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
    (peer, room, written)
}

/// The place that the only post in flight is to be looked for behind.
fn place(peer: &mut Peer) -> Option<Cursor> {
    cut(peer);
    peer.engine.close(peer.now);
    match &*outcomes(peer) {
        [(_, PostOutcome::Unknown { token })] => token.anchor().cloned(),
        other => panic!("{other:?}"),
    }
}

/// In the room, which has not said where its archive ends; that question.
fn in_room_unanswered() -> (Peer, RoomId, String) {
    let (mut peer, room, written) = joining();
    let asked = queries(&written)[0].to_owned();
    assert!(asked.contains("<max>1</max><before/>"), "{written}");
    let_in(&mut peer, &written, ROOM_FEATURES);
    peer.events();
    (peer, room, asked)
}

/// A post leaves only when it is known behind which place it can be found.
#[test]
fn a_post_waits_for_the_answer_where_the_archive_ends() {
    let (mut peer, room, asked) = in_room_unanswered();
    let unordered = Post::new("so").unordered();
    for post in [Post::new("hi"), unordered] {
        assert_eq!(send(&mut peer, room, post).1, "");
    }
    has(&mut peer, &asked, &[("a7", &asked)]);
    let written = peer.heard();
    let sent = |text: &str| written.find(text).expect(text);
    assert!(sent("<body>hi</body>") < sent("<body>so</body>"));
    cut(&mut peer);
    peer.engine.close(peer.now);
    let told = outcomes(&mut peer);
    assert_eq!(told.len(), 2);
    for (_, outcome) in told {
        let PostOutcome::Unknown { token } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            token.anchor(),
            Some(&Cursor::After(ArchiveId::new("a7").unwrap()))
        );
    }
}

/// That an archive is empty has to be said twice.
#[test]
fn a_post_waits_for_the_second_answer_of_an_empty_archive() {
    let (mut peer, room, asked_first) = in_room_unanswered();
    assert_eq!(post(&mut peer, room, "hi").1, "");
    peer.say(&empty(&asked_first));
    let asked = asked(&mut peer);
    peer.say(&empty(&asked));
    assert!(peer.heard().starts_with("<message "));
    assert_eq!(place(&mut peer), Some(Cursor::Beginning));
}

/// But not for longer than for one.
#[test]
fn a_post_waits_for_both_answers_of_an_empty_archive_in_one_time() {
    let (mut peer, room, asked_first) = in_room_unanswered();
    assert_eq!(post(&mut peer, room, "hi").1, "");
    peer.pass(secs(4));
    peer.say(&empty(&asked_first));
    asked(&mut peer);
    peer.pass(Duration::from_millis(999));
    assert_eq!(peer.heard(), "");
    peer.pass(Duration::from_millis(1));
    assert!(peer.heard().starts_with("<message "));
}

/// What the room says meanwhile is a place too.
#[test]
fn a_post_leaves_behind_what_was_heard_while_it_waited() {
    let (mut peer, room, asked) = in_room_unanswered();
    assert_eq!(post(&mut peer, room, "hi").1, "");
    peer.say(&peer::message("bob", "a8", "x"));
    assert!(peer.heard().starts_with("<message "));
    // Asked before that, so that it may be older.
    has(&mut peer, &asked, &[("a7", &asked)]);
    assert_eq!(place(&mut peer), ArchiveId::new("a8").map(Cursor::After));
}

/// The time to wait begins when we are in, however long that took.
#[test]
fn a_post_waits_for_the_answer_after_a_slow_join() {
    let (mut peer, room, written) = joining();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.pass(secs(6));
    let_in(&mut peer, &written, ROOM_FEATURES);
    assert_eq!(peer.heard(), "", "without a place");
    let asked = queries(&written)[0].to_owned();
    has(&mut peer, &asked, &[("a7", &asked)]);
    assert!(peer.heard().starts_with("<message "));
    assert_eq!(place(&mut peer), ArchiveId::new("a7").map(Cursor::After));
}

#[test]
fn a_post_does_not_wait_for_an_archive_that_there_is_not() {
    let (mut peer, room, written) = joining();
    let_in(
        &mut peer,
        &written,
        "<feature var='http://jabber.org/protocol/muc'/>",
    );
    assert!(post(&mut peer, room, "hi").1.starts_with("<message "));
}

/// In a room that takes its time to say what it can do, and has not said where its archive ends;
/// what was written for that.
fn in_room_undescribed() -> (Peer, RoomId, String) {
    let (mut peer, room, written) = joining();
    peer.say(&presence("ada", "<status code='110'/>"));
    while !peer.events().iter().any(joined) {
        peer.pass(secs(1));
    }
    peer.heard();
    (peer, room, written)
}

/// What the room says of itself at last is an end to waiting for an archive that there is not.
#[test]
fn a_post_that_waits_leaves_once_the_room_says_that_it_has_no_archive() {
    let (mut peer, room, asked) = in_room_undescribed();
    assert_eq!(post(&mut peer, room, "hi").1, "");
    let none = "<feature var='http://jabber.org/protocol/muc'/>";
    peer.say(&described(&asked, none));
    assert!(peer.heard().starts_with("<message "));
}

/// And no beginning, where the time to wait is over.
#[test]
fn a_post_does_not_wait_once_more_when_the_room_says_that_it_has_an_archive() {
    let (mut peer, room, asked) = in_room_undescribed();
    peer.pass(secs(6));
    assert!(post(&mut peer, room, "hi").1.starts_with("<message "));
    peer.say(&described(&asked, ROOM_FEATURES));
    peer.heard();
    assert!(post(&mut peer, room, "so").1.starts_with("<message "));
}

/// While we do not read, the answer may have come.
#[test]
fn a_post_waits_for_the_answer_while_the_host_does_not_read() {
    let mut config = config();
    config.limits.events = 8;
    let (mut peer, room, written) = joining_of(config);
    let asked = queries(&written)[0].to_owned();
    let_in(&mut peer, &written, ROOM_FEATURES);
    peer.events();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    for n in 0.. {
        if !peer.engine.wants().read {
            break;
        }
        peer.say(&presence(&format!("bob{n}"), ""));
    }
    peer.pass(secs(6));
    assert_eq!(peer.heard(), "", "without a place");
    peer.events();
    peer.engine.handle_timeout(peer.now);
    has(&mut peer, &asked, &[("a7", &asked)]);
    assert!(peer.heard().contains("<body>hi</body>"));
}

/// An archive that does not answer, or refuses, holds no post up for long.
#[test]
fn a_post_does_not_wait_for_long_where_the_archive_does_not_say_where_it_ends() {
    let (mut peer, room, asked) = in_room_unanswered();
    post(&mut peer, room, "hi");
    refuses(&mut peer, &asked, "forbidden", "auth");
    assert!(peer.heard().starts_with("<message "));
    let (mut peer, room, asked) = in_room_unanswered();
    post(&mut peer, room, "hi");
    peer.pass(secs(4));
    assert_eq!(peer.heard(), "");
    peer.pass(secs(1));
    assert!(peer.heard().starts_with("<message "));
    // It may still answer for those that follow.
    has(&mut peer, &asked, &[("a7", &asked)]);
    let (id, written) = post(&mut peer, room, "ho");
    assert!(written.starts_with("<message "));
    assert_eq!(outcomes(&mut peer), []);
    cut(&mut peer);
    peer.engine.close(peer.now);
    let told = outcomes(&mut peer);
    let anchor = |(_, outcome): &(PostId, PostOutcome)| match outcome {
        PostOutcome::Unknown { token } => token.anchor().is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told.iter().map(anchor).collect::<Vec<_>>(), [false, true]);
    assert_eq!(told[1].0, id);
}

/// A link that breaks meanwhile begins it anew, and nothing is held up for ever.
#[test]
fn a_post_that_waited_over_a_break_waits_for_the_next_answer() {
    let (mut peer, room, _) = in_room_unanswered();
    let (id, _) = post(&mut peer, room, "hi");
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    let written = peer.heard();
    let asked = queries(&written)[0].to_owned();
    let_in(&mut peer, &written, ROOM_FEATURES);
    assert_eq!(peer.heard(), "");
    has(&mut peer, &asked, &[("a7", &asked)]);
    let written = peer.heard();
    reflect(&mut peer, &written, "a8");
    assert_eq!(
        outcomes(&mut peer),
        [(id, committed("a8", Via::Reflection))]
    );
}

/// It is asked for with the join, and not once more where it is known.
#[test]
fn the_place_to_look_from_is_asked_for_once() {
    let (mut peer, room) = in_room();
    post(&mut peer, room, "hi");
    cut(&mut peer);
    until_connect(&mut peer);
    peer.log_in();
    let written = peer.heard();
    assert!(written.contains("<presence to='ops@"), "{written}");
    assert_eq!(queries(&written), [""; 0], "it is known");
    // And not at all where nobody wants it.
    let mut quiet = config();
    quiet.anchor_at_join = false;
    let mut peer = Peer::online(quiet);
    peer.join(ROOM_FEATURES);
    assert_eq!(peer.heard(), "");
}

/// An archive that says of its emptiness that it may change is not asked again at once:
/// each answer would be the same, and each question follow the one before without a pause.
#[test]
fn an_empty_archive_that_may_still_change_is_not_asked_for_its_end_without_pause() {
    let unstable = |peer: &mut Peer, written: &str| {
        let questions = queries(written);
        let [question] = questions[..] else {
            panic!("not one question: {written}");
        };
        assert!(question.contains("<max>1</max><before/>"), "{question}");
        let end = fin(attribute(question, "id"), true, &[]);
        peer.say(&end.replace(" complete=", " stable='false' complete="));
    };
    let mut peer = Peer::online(config());
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
    unstable(&mut peer, &written);
    assert_eq!(peer.heard(), "", "no question without a pause");
    // Once more when we are in, and then no more.
    let_in(&mut peer, &written, ROOM_FEATURES);
    assert!(peer.events().iter().any(joined));
    let again = peer.heard();
    unstable(&mut peer, &again);
    assert_eq!(peer.heard(), "", "no question without a pause");
    // What is heard tells where it ends: a post in doubt is looked for behind that.
    peer.say(&peer::message("bob", "a7", "hello"));
    let (_, sent) = post(&mut peer, room, "hi");
    assert!(sent.starts_with("<message "), "{sent}");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    assert!(query.contains("<after>a7</after>"), "{query}");
}
