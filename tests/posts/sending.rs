//! Before a post leaves, and what the room says to it.

use crate::*;
use parley_xmpp::{Condition, NotSent, PostError};

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
