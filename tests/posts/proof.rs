//! What a refusal, a silence or an archive proves of a post, and what it does not.

use crate::*;
use parley_xmpp::{Condition, Fetch};

const OCCUPANT: &str = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='us'/>";

fn refuse(peer: &mut Peer, written: &str, condition: &str) {
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{}'><error type='cancel'><{condition} \
         xmlns='{STANZAS}'/></error></message>",
        attribute(written, "id")
    ));
}

#[track_caller]
fn assert_rejected(peer: &mut Peer, post: PostId, because: Condition) {
    match &outcomes(peer)[..] {
        [(id, PostOutcome::Rejected(error))] => {
            assert_eq!((*id, &error.condition), (post, &because));
        }
        other => panic!("{other:?}"),
    }
}

/// Prosody's stream to another server sends back what it wrote and was not acknowledged, which
/// may have come there.
#[test]
fn a_stream_between_servers_that_ended_refuses_nothing() {
    for (condition, kind) in [
        ("recipient-unavailable", Condition::RecipientUnavailable),
        ("remote-server-not-found", Condition::RemoteServerNotFound),
    ] {
        let (mut peer, room) = in_room_of(far());
        let (id, written) = post(&mut peer, room, "hi");
        refuse(&mut peer, &written, condition);
        assert_unknown(&outcomes(&mut peer), &[id]);
        // A room of our own server is at no other end of such a stream.
        let (mut peer, room) = in_room();
        let (id, written) = post(&mut peer, room, "hi");
        refuse(&mut peer, &written, condition);
        assert_rejected(&mut peer, id, kind);
    }
}

#[test]
fn a_second_copy_that_is_refused_says_nothing_of_the_first() {
    let (mut peer, room) = in_room_of(far());
    let insisting = Post::new("hi").within(secs(1000)).or_resend();
    let (id, written) = send(&mut peer, room, insisting);
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    refuse(&mut peer, &written, "forbidden");
    assert_unknown(&outcomes(&mut peer), &[id]);
}

/// The first may be there, or get there, although the second never left.
#[test]
fn a_second_copy_that_never_left_says_nothing_of_the_first() {
    let (mut peer, room) = in_room_of(far());
    let insisting = Post::new("hi").within(secs(1000)).or_resend();
    let (id, _) = send(&mut peer, room, insisting);
    break_and_heal(&mut peer);
    // Written once more at the end of this, which no transport takes.
    has_not(&mut peer);
    cut(&mut peer);
    assert_eq!(outcomes(&mut peer), []);
    peer.engine.close(peer.now);
    assert_unknown(&outcomes(&mut peer), &[id]);
}

#[test]
fn a_second_copy_is_the_only_one_where_the_first_is_proven_to_be_absent() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("hi").within(secs(1000)));
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    refuse(&mut peer, &written, "forbidden");
    assert_rejected(&mut peer, id, Condition::Forbidden);
}

/// We are not in the room any more, unseen, and are told so by an answer to our own ping. What
/// it took before that, and sent back to nobody, is in its archive.
#[test]
fn what_was_in_flight_when_a_self_ping_finds_us_out_is_looked_for() {
    for is_there in [true, false] {
        let (mut peer, room) = in_room();
        let (id, written) = send(&mut peer, room, Post::new("hi").within(secs(1000)));
        let mut ping = String::new();
        while !ping.contains("urn:xmpp:ping") {
            peer.pass(secs(1));
            ping = peer.heard();
        }
        peer.say(&format!(
            "<iq type='error' id='{}' from='{ROOM}/ada'><error type='cancel'>\
             <not-acceptable xmlns='{STANZAS}'/></error></iq>",
            attribute(&ping, "id")
        ));
        peer.pass(secs(15));
        peer.let_in("ada", ROOM_FEATURES);
        assert_eq!(outcomes(&mut peer), []);
        // It asks for that, and whether we are in, which is no matter here.
        let question = |peer: &mut Peer| {
            let written = peer.heard();
            queries(&written)[0].to_owned()
        };
        let query = question(&mut peer);
        if is_there {
            has(&mut peer, &query, &[("a1", &written)]);
            assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
        } else {
            has(&mut peer, &query, &[]);
            peer.pass(secs(5));
            let query = question(&mut peer);
            has(&mut peer, &query, &[]);
            assert_eq!(peer.heard(), written);
        }
    }
}

/// The same where the room says that it puts us out, and lets us in again.
#[test]
fn what_was_in_flight_when_we_are_put_out_is_looked_for() {
    for why in ["307", "332"] {
        let (mut peer, room) = in_room();
        let (_, written) = send(&mut peer, room, Post::new("hi").within(secs(1000)));
        put_out(&mut peer, why);
        assert_eq!(outcomes(&mut peer), []);
        has_not(&mut peer);
        assert_eq!(peer.heard(), written);
    }
}

/// Who is not in the room may not read its archive, however we came to be out.
#[test]
fn nothing_is_asked_of_an_archive_while_we_are_put_out() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("hi").within(secs(1000)));
    break_and_heal(&mut peer);
    let late = asked(&mut peer);
    put_out(&mut peer, "307");
    // The answer to what was asked before that is nobody's.
    has(&mut peer, &late, &[]);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    reflect(&mut peer, &written, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(id, committed("a1", Via::Reflection))]
    );
}

/// We are put out for that, and come back in time; nothing but the join is written until then.
fn put_out(peer: &mut Peer, why: &str) {
    let status = format!("<status code='{why}'/>");
    peer.say(&presence("ada", &status).replace("<presence ", "<presence type='unavailable' "));
    let began = peer.now;
    let mut written = peer.heard();
    while !written.contains("<presence ") {
        assert_eq!(written, "", "out of the room");
        assert!(peer.now.since(began) < secs(600), "it does not come back");
        peer.pass(secs(1));
        written = peer.heard();
    }
    let_in(peer, &written, ROOM_FEATURES);
}

/// What a room's archive keeps may be of a time when it had no occupant-ids, or lack them: a post
/// there is not sent again for that. Nor is one taken for somebody else's that comes live without
/// one from a room that does not say it has them.
#[test]
fn a_post_without_an_occupant_id_is_ours_where_it_need_not_have_one() {
    let ids = format!("{ROOM_FEATURES}<feature var='urn:xmpp:occupant-id:0'/>");
    let ours = presence("ada", "<status code='110'/>");
    let ours = ours.replace("<x ", &format!("{OCCUPANT}<x "));

    let (mut peer, room) = in_room_with(config(), &ids, Some("a0"));
    peer.say(&ours);
    let (id, written) = post(&mut peer, room, "hi");
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);

    let (mut peer, room) = in_room();
    peer.say(&ours);
    let (id, written) = post(&mut peer, room, "hi");
    reflect(&mut peer, &written, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(id, committed("a1", Via::Reflection))]
    );
}

/// Who is not in the room may not read its archive: what that answers says nothing of a post.
#[test]
fn an_inquiry_waits_until_we_are_in_again() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("hi").within(secs(1000)));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    assert_eq!(peer.heard(), "", "it is believed the second time only");
    let (_, other) = send(&mut peer, room, Post::new("other").unordered());
    refuse(&mut peer, &other, "not-acceptable");
    let out = |written: &str| queries(written).is_empty();
    let mut seen = String::new();
    while !seen.contains("protocol/muc'") {
        assert!(out(&seen), "{seen}");
        peer.pass(secs(1));
        seen = peer.heard();
    }
    peer.pass(secs(6));
    seen.push_str(&peer.heard());
    assert_eq!(outcomes(&mut peer), []);
    peer.kept = seen;
    peer.let_in("ada", ROOM_FEATURES);
    let query = peer.heard();
    let query = queries(&query).pop().expect("a question").to_owned();
    has(&mut peer, &query, &[("a1", &written)]);
    assert!(outcomes(&mut peer).contains(&(id, committed("a1", Via::Archive))));
}

/// "Stream killed right after our stanza": not by a condition that accuses it, but each time.
#[test]
fn what_every_session_ends_with_is_not_sent_for_ever() {
    let (mut peer, room) = in_room();
    let poison = Post::new("poison").within(secs(1_000_000));
    let (id, written) = send(&mut peer, room, poison);
    let behind = Post::new("behind").within(secs(1_000_000));
    let (behind, waits) = send(&mut peer, room, behind);
    let mut sent = 1;
    let killed = loop {
        break_and_heal(&mut peer);
        let query = asked(&mut peer);
        has(&mut peer, &query, &[]);
        peer.pass(secs(5));
        let query = asked(&mut peer);
        has(&mut peer, &query, &[]);
        let outcomes: Vec<_> = outcomes(&mut peer);
        let heard = peer.heard();
        if let [(killed, outcome)] = &outcomes[..] {
            let condition = None;
            assert_eq!(
                *outcome,
                PostOutcome::StreamKill {
                    condition,
                    among: 1
                }
            );
            assert_eq!(heard, waits);
            break *killed;
        }
        assert_eq!(heard, [&*written, &*waits].concat());
        sent += 1;
        assert!(sent < 20, "it is sent for ever");
    };
    assert_eq!((killed, sent), (id, 8));
    reflect(&mut peer, &waits, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(behind, committed("a1", Via::Reflection))]
    );
}

/// The service may give us another nick before a post is there (status 303), and we may hear
/// of that too late. The occupant-id lasts (XEP-0421 v1.0.1, section 3).
#[test]
fn the_occupant_id_tells_whose_a_post_is_under_whatever_nick() {
    let (mut peer, room) = in_room();
    let proof = presence("ada", "<status code='110'/>");
    peer.say(&proof.replace("<x ", &format!("{OCCUPANT}<x ")));
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    peer.say(&archived_as(&query, "a1", &written, "ada2", OCCUPANT));
    peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
}

/// Archives let go of what is old: a place that was told long ago may be gone by the time that
/// something is to be looked for behind it.
#[test]
fn the_place_to_look_from_is_asked_for_again_where_it_is_old() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    peer.now = peer.now.plus(secs(7200));
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    let written = peer.heard();
    let asks = queries(&written);
    assert!(asks[0].contains("<max>1</max><before/>"), "{written}");
    let at = peer::archived(attribute(asks[0], "queryid"), "a9", "since");
    peer.say(&at);
    peer.say(&fin(attribute(asks[0], "id"), false, &["a9"]));
    let_in(&mut peer, &written, ROOM_FEATURES);
    let (_, _) = post(&mut peer, room, "hi");
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    let written = peer.heard();
    assert_eq!(queries(&written), [""; 0], "it is fresh");
    let_in(&mut peer, &written, ROOM_FEATURES);
    let query = asked(&mut peer);
    assert!(query.contains("<after>a9</after>"), "{query}");
}

/// Whoever reads the archive, and for what: a post that it shows is there.
#[test]
fn a_post_that_a_fetch_finds_is_committed() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
    // Its reflection, late, is no second outcome.
    reflect(&mut peer, &written, "a1");
    assert_eq!(outcomes(&mut peer), []);
}
