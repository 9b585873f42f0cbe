//! Before a post leaves, and what the room says to it.

use crate::*;
use parley_xmpp::{Condition, Cursor, NotSent, PostError};

fn refuse(peer: &mut Peer, written: &str, condition: &str) {
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{}'><error type='modify'><{condition} \
         xmlns='{STANZAS}'/></error></message>",
        attribute(written, "id")
    ));
}

/// The room drops us, and lets us in again.
fn drop_and_rejoin(peer: &mut Peer) {
    let out = presence("ada", "<status code='110'/><status code='333'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    peer.pass(secs(15));
    peer.let_in("ada", ROOM_FEATURES);
}

/// home-assistant/core#72192: `not-acceptable`, since we are not in the room, unseen.
#[test]
fn refused_because_we_were_not_in_it_is_sent_again_once_we_are() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    for _ in 0..3 {
        refuse(&mut peer, &written, "not-acceptable");
        assert_eq!(outcomes(&mut peer), []);
        // Told so again, we ask first.
        let asked = peer.heard();
        assert!(
            asked.is_empty() || asked.contains("urn:xmpp:ping"),
            "{asked}"
        );
        drop_and_rejoin(&mut peer);
        assert_eq!(peer.heard(), written);
        peer.events();
    }
    // Not for ever.
    refuse(&mut peer, &written, "not-acceptable");
    assert!(matches!(
        &outcomes(&mut peer)[..],
        [(post, PostOutcome::Rejected(error))]
            if *post == id && error.condition == Condition::NotAcceptable
    ));
}

#[test]
fn refused_while_others_come_through_it_was_refused_for_its_own_sake() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    refuse(&mut peer, &first, "not-acceptable");
    assert_eq!(outcomes(&mut peer), []);
    reflect(&mut peer, &second, "a1");
    match &outcomes(&mut peer)[..] {
        [(rejected, PostOutcome::Rejected(_)), (came, _)] => {
            assert_eq!((*rejected, *came), (one, two));
        }
        other => panic!("{other:?}"),
    }
}

/// The room took one post and then lost us: that the one came through does not show that the
/// other was refused for its own sake.
#[test]
fn what_came_through_before_a_refusal_says_nothing_about_it() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    refuse(&mut peer, &second, "not-acceptable");
    reflect(&mut peer, &first, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(one, committed("a1", Via::Reflection))]
    );
    peer.pass(secs(15));
    peer.let_in("ada", ROOM_FEATURES);
    assert_eq!(peer.heard(), second);
    reflect(&mut peer, &second, "a2");
    assert_eq!(
        outcomes(&mut peer),
        [(two, committed("a2", Via::Reflection))]
    );
}

#[test]
fn refused_because_we_were_not_in_it_is_known_not_to_be_there() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    refuse(&mut peer, &written, "not-acceptable");
    peer.engine.leave(peer.now, room);
    assert!(matches!(
        outcomes(&mut peer)[..],
        [(post, PostOutcome::Rejected(_))] if post == id
    ));
}

/// x37, L1: what agents paste from terminals.
#[test]
fn x37_escape_codes_are_refused_with_their_place_or_replaced() {
    let (mut peer, room) = in_room();
    let error = peer.engine.post(peer.now, room, Post::new("a\u{1b}[0m"));
    assert!(matches!(error, Err(PostError::ForbiddenChar(at)) if at.offset == 1));
    let (_, written) = send(
        &mut peer,
        room,
        Post::new("a\u{1b}[0m\u{ffff}\u{85}").replacing_forbidden(),
    );
    assert!(
        written.contains("<body>a\u{fffd}[0m\u{fffd}\u{85}</body>"),
        "{written}"
    );
    // An id that holds one is no id of anything.
    let reply = Post::new("x").in_reply_to("\u{1b}").replacing_forbidden();
    assert!(peer.engine.post(peer.now, room, reply).is_err());
}

/// XEP-0478: the limit is smaller when the server comes back.
#[test]
fn a_limit_that_shrinks_holds_for_what_waits() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    let (large, _) = post(&mut peer, room, &"&".repeat(3000));
    let (small, _) = post(&mut peer, room, "hi");
    until_connect(&mut peer);
    peer.authenticate();
    let features = peer::BIND.replace(
        "</stream:features>",
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>12000</max-bytes></limits>\
         </stream:features>",
    );
    bind_as(&mut peer, &features, "here");
    assert_eq!(
        outcomes(&mut peer),
        [(large, PostOutcome::NotSent(NotSent::TooLarge))]
    );
    peer.let_in("ada", ROOM_FEATURES);
    let written = peer.heard();
    assert!(written.contains("<body>hi</body>"), "{written}");
    reflect(&mut peer, &written, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(small, committed("a1", Via::Reflection))]
    );
}

/// XEP-0478 v0.1.1, section 3: `max-bytes` is "the maximum size" of a stanza: one of that size is
/// taken.
#[test]
fn a_stanza_as_large_as_the_limit_is_sent() {
    for (spare, sent) in [(0, true), (1, false)] {
        let (mut peer, room) = in_room();
        let body = "x".repeat(12_000);
        let (_, written) = post(&mut peer, room, &body);
        reflect(&mut peer, &written, "a1");
        cut(&mut peer);
        let (id, _) = post(&mut peer, room, &body);
        until_connect(&mut peer);
        peer.events();
        peer.authenticate();
        let limit = written.len() - spare;
        let features = peer::BIND.replace(
            "</stream:features>",
            &format!(
                "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{limit}</max-bytes></limits>\
                 </stream:features>"
            ),
        );
        bind_as(&mut peer, &features, "here");
        peer.let_in("ada", ROOM_FEATURES);
        assert_eq!(peer.heard().len(), if sent { written.len() } else { 0 });
        let dropped = [(id, PostOutcome::NotSent(NotSent::TooLarge))];
        assert_eq!(outcomes(&mut peer), if sent { &[][..] } else { &dropped });
    }
}

/// XEP-0461, XEP-0428: positions count characters, not bytes.
#[test]
fn an_answer_names_what_it_answers() {
    let (mut peer, room) = in_room();
    let (_, bare) = send(&mut peer, room, Post::new("yes").in_reply_to("a0"));
    assert!(
        bare.contains("<body>yes</body><reply xmlns='urn:xmpp:reply:0' id='a0'/><origin-id "),
        "{bare}"
    );
    let full = Post::new("yes")
        .in_reply_to("a0")
        .by("bob")
        .quoting("so \u{20ac}\nor not?");
    let (_, full) = send(&mut peer, room, full);
    assert!(
        full.contains(
            "<body>&gt; bob wrote:\n&gt; so \u{20ac}\n&gt; or not?\nyes</body>\
             <reply xmlns='urn:xmpp:reply:0' to='ops@muc.parley.local/bob' id='a0'/>\
             <fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'>\
             <body start='0' end='30'/></fallback><origin-id "
        ),
        "{full}"
    );
}

/// In the room, which has not said where its archive ends; that question.
fn in_room_unanswered() -> (Peer, RoomId, String) {
    let mut peer = Peer::online(config());
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
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

/// That an archive is empty has to be said twice. What the room says meanwhile is a place too.
#[test]
fn a_post_waits_for_the_second_answer_of_an_empty_archive() {
    for heard in [false, true] {
        let (mut peer, room, asked_first) = in_room_unanswered();
        assert_eq!(post(&mut peer, room, "hi").1, "");
        peer.say(&empty(&asked_first));
        let asked = asked(&mut peer);
        if heard {
            peer.say(&peer::message("bob", "a8", "x"));
        }
        peer.say(&empty(&asked));
        assert!(peer.heard().starts_with("<message "));
    }
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

/// It is asked for with the join, and never again.
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
