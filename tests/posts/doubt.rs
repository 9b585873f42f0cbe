//! After a break: the archive is asked, and what it says decides.

use crate::*;
use parley_xmpp::{Cursor, NotSent};
use peer::message;

#[test]
fn found_it_is_committed() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    assert!(query.contains("<after>a0</after>"), "{query}");
    assert_eq!(outcomes(&mut peer), []);
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
    peer.pass(secs(100));
    assert!(!peer.heard().contains("<body>"), "it is not sent again");
}

#[test]
fn the_search_begins_with_what_was_heard_last_before_it_was_sent() {
    let (mut peer, room) = in_room();
    peer.say(&message("bob", "a7", "hello"));
    let (_, written) = post(&mut peer, room, "hi");
    peer.say(&message("bob", "a8", "later"));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    assert!(query.contains("<after>a7</after>"), "{query}");
    // Over as many pages as it takes.
    peer.say(&peer::archived(attribute(&query, "queryid"), "a8", "later"));
    peer.say(&fin(attribute(&query, "id"), false, &["a8"]));
    let query = asked(&mut peer);
    assert!(query.contains("<after>a8</after>"), "{query}");
    has(&mut peer, &query, &[("a9", &written)]);
    assert_eq!(outcomes(&mut peer).len(), 1);
}

#[test]
fn absent_from_a_room_of_our_own_server_it_is_sent_again_byte_by_byte() {
    let (mut peer, room) = in_room();
    let rich = Post::new("<b>\u{20ac}\r\n")
        .in_reply_to("a0")
        .by("bob")
        .quoting("q\nr");
    let (id, written) = send(&mut peer, room, rich);
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    assert_eq!(outcomes(&mut peer), []);
    // And again, from the same place.
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    reflect(&mut peer, &written, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(id, committed("a1", Via::Reflection))]
    );
}

/// Q12: archives are written some time after what they hold was said.
#[test]
fn q12_what_comes_late_is_found_when_the_archive_is_asked_again() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    peer.pass(secs(5));
    let query = asked(&mut peer);
    assert!(query.contains("<after>a0</after>"), "from where it began");
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
}

#[test]
fn absent_from_a_room_elsewhere_nobody_can_tell() {
    let (mut peer, room) = in_room_of(far());
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    has_not(&mut peer);
    let outcomes = outcomes(&mut peer);
    assert_unknown(&outcomes, &[id]);
    let PostOutcome::Unknown { token } = &outcomes[0].1 else {
        panic!("{outcomes:?}")
    };
    assert_eq!(token.origin_id(), attribute(&written, "id"));
    assert_eq!(token.anchor(), Cursor::parse("a0").as_ref());
    assert_eq!(token.nick(), "ada");
    assert_eq!(peer.heard(), "");
}

#[test]
fn absent_from_a_room_elsewhere_it_is_sent_again_if_it_wants_to() {
    let (mut peer, room) = in_room_of(far());
    let (_, written) = send(&mut peer, room, Post::new("hi").or_resend());
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    // Nor does it need an archive for that.
    let (mut peer, room) = in_room();
    let (_, written) = send(&mut peer, room, Post::new("hi").or_resend());
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    refuses(&mut peer, &query, "forbidden", "auth");
    assert_eq!(peer.heard(), written);
}

/// Q9, Q18: the archive refuses, or no longer knows the place.
#[test]
fn q18_an_archive_that_refuses_cannot_tell() {
    for (condition, kind) in [
        ("forbidden", "auth"),
        ("not-allowed", "cancel"),
        ("feature-not-implemented", "cancel"),
        ("service-unavailable", "cancel"),
        ("item-not-found", "modify"),
    ] {
        let (mut peer, room) = in_room();
        let (id, _) = post(&mut peer, room, "hi");
        break_and_heal(&mut peer);
        peer.shows = false;
        let query = asked(&mut peer);
        refuses(&mut peer, &query, condition, kind);
        if condition == "item-not-found" {
            // The room's, or the place's? What is left tells.
            let query = asked(&mut peer);
            has(&mut peer, &query, &[]);
        }
        assert_unknown(&outcomes(&mut peer), &[id]);
        assert_eq!(peer.heard(), "", "{condition}");
    }
}

#[test]
fn a_room_without_an_archive_cannot_tell() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "hi");
    cut(&mut peer);
    until_connect(&mut peer);
    peer.log_in();
    peer.let_in("ada", "<feature var='http://jabber.org/protocol/muc'/>");
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert_eq!(peer.heard(), "");
}

/// 4.4: "A MAM timeout is not absent" (dino#1458: an archive that never answers).
#[test]
fn an_archive_that_never_answers_is_asked_until_the_deadline() {
    let (mut peer, room) = in_room();
    let (id, _) = send(&mut peer, room, Post::new("hi").within(secs(100)));
    break_and_heal(&mut peer);
    asked(&mut peer);
    let mut asked = 1;
    let mut told = Vec::new();
    for _ in 0..100 {
        peer.pass(secs(1));
        let written = peer.heard();
        asked += queries(&written).len();
        assert!(!written.contains("<body>"), "{written}");
        for request in written.split("<iq ").skip(1) {
            if request.contains("urn:xmpp:ping") {
                let id = attribute(request, "id").to_owned();
                peer.say(&format!(
                    "<iq type='result' id='{id}' from='parley.local'/>"
                ));
            }
        }
        told.extend(outcomes(&mut peer));
    }
    assert!((3..6).contains(&asked), "{asked}");
    assert_unknown(&told, &[id]);
}

#[test]
fn an_archive_that_fails_for_now_is_asked_again() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    refuses(&mut peer, &query, "internal-server-error", "wait");
    peer.pass(secs(1));
    // Q5: a page of which an item never came is none.
    let query = asked(&mut peer);
    peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
    peer.pass(secs(2));
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
}

/// Q13: what the archive shows may change yet.
#[test]
fn q13_an_unstable_archive_is_not_believed() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("hi").within(secs(20)));
    break_and_heal(&mut peer);
    for _ in 0..3 {
        let query = asked(&mut peer);
        let end = fin(attribute(&query, "id"), true, &[]);
        peer.say(&end.replace(" complete=", " stable='false' complete="));
        assert_eq!(outcomes(&mut peer), []);
        peer.pass(secs(5));
    }
    peer.pass(secs(10));
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert!(!peer.heard().contains(&written));
}

/// The fence is the resource: under another one the old stream may live on.
#[test]
fn bound_to_another_resource_what_is_absent_may_still_come() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "hi");
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.authenticate();
    bind_as(&mut peer, peer::BIND, "there");
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    has_not(&mut peer);
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert_eq!(peer.heard(), "");
}

/// Who copies our id does not make us believe that we were heard.
#[test]
fn what_another_said_under_our_id_is_not_ours() {
    const OCCUPANT: &str = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='them'/>";
    let (mut peer, room) = in_room();
    let ours = OCCUPANT.replace("them", "us");
    let proof = presence("ada", "<status code='110'/>");
    peer.say(&proof.replace("<x ", &format!("{ours}<x ")));
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    peer.say(&archived_as(&query, "a1", &written, "mallory", ""));
    peer.say(&archived_as(&query, "a2", &written, "ada", OCCUPANT));
    peer.say(&fin(attribute(&query, "id"), true, &["a1", "a2"]));
    assert_eq!(outcomes(&mut peer), []);
    peer.pass(secs(5));
    let query = asked(&mut peer);
    peer.say(&archived_as(&query, "a2", &written, "ada", OCCUPANT));
    peer.say(&archived_as(&query, "a3", &written, "ada", &ours));
    peer.say(&fin(attribute(&query, "id"), true, &["a2", "a3"]));
    assert_eq!(outcomes(&mut peer), [(id, committed("a3", Via::Archive))]);
}

/// A room without occupant-ids gave us another nick while the post was under way (XEP-0045
/// v1.35.5, section 7.6), and the archive has it under that: whoever knows the id knows it from
/// the room, so that it is there, and not to be sent again.
#[test]
fn what_was_said_under_a_nick_that_we_were_given_meanwhile_is_not_sent_again() {
    for said in [Post::new("hi"), Post::new("hi").or_resend()] {
        let (mut peer, room) = in_room();
        let (id, written) = send(&mut peer, room, said);
        peer.say(&format!(
            "<presence type='unavailable' from='{ROOM}/ada'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' \
             role='participant' nick='eve'/><status code='303'/><status code='110'/></x></presence>"
        ));
        peer.say(&presence("eve", "<status code='110'/>"));
        break_and_heal(&mut peer);
        has_by(&mut peer, &written, "eve");
        assert_unknown(&outcomes(&mut peer), &[id]);
        assert_eq!(peer.heard(), "");
    }
}

/// Q1: only the room's own archive says what is in it.
#[test]
fn q01_somebody_elses_results_prove_nothing() {
    let (mut peer, room) = in_room();
    let (_, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    let forged = archived_as(&query, "a1", &written, "ada", "");
    for from in ["evil@muc.parley.local", "ops@muc.parley.local/mallory"] {
        peer.say(&forged.replacen(ROOM, from, 1));
    }
    has(&mut peer, &query, &[]);
    assert_eq!(outcomes(&mut peer), []);
}

/// The room let us go without the stream breaking: our rejoin comes after it.
#[test]
fn out_of_the_room_with_the_stream_standing_it_is_looked_for_as_well() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    let out = presence("ada", "<status code='110'/><status code='333'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    assert_eq!(outcomes(&mut peer), []);
    peer.pass(secs(1));
    peer.let_in("ada", ROOM_FEATURES);
    has_not(&mut peer);
    assert_eq!(peer.heard(), written);
    reflect(&mut peer, &written, "a1");
    assert_eq!(
        outcomes(&mut peer),
        [(id, committed("a1", Via::Reflection))]
    );
}

#[test]
fn a_reflection_or_refusal_that_comes_after_all_decides_at_once() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    let out = presence("ada", "<status code='110'/><status code='333'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    peer.pass(secs(1));
    peer.let_in("ada", ROOM_FEATURES);
    peer.events();
    let query = asked(&mut peer);
    reflect(&mut peer, &first, "a1");
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{}'><error type='auth'><forbidden \
         xmlns='{STANZAS}'/></error></message>",
        attribute(&second, "id")
    ));
    let outcomes = outcomes(&mut peer);
    assert_eq!(outcomes[0], (one, committed("a1", Via::Reflection)));
    assert!(matches!(outcomes[1], (id, PostOutcome::Rejected(_)) if id == two));
    has(&mut peer, &query, &[("a1", &first)]);
    peer.pass(secs(60));
    assert_eq!(crate::outcomes(&mut peer), []);
}

#[test]
fn at_its_deadline_it_is_given_up_and_others_go_on() {
    let (mut peer, room) = in_room();
    let (doubtful, _) = send(&mut peer, room, Post::new("one").within(secs(10)));
    break_and_heal(&mut peer);
    asked(&mut peer);
    let (next, written) = post(&mut peer, room, "two");
    assert_eq!(written, "", "it waits");
    peer.pass(secs(10));
    assert_unknown(&outcomes(&mut peer), &[doubtful]);
    let written = peer.heard();
    assert!(written.contains("<body>two</body>"), "{written}");
    reflect(
        &mut peer,
        &written[written.find("<message").unwrap()..],
        "a1",
    );
    assert_eq!(
        outcomes(&mut peer),
        [(next, committed("a1", Via::Reflection))]
    );
}

#[test]
fn a_host_that_closes_is_told_what_is_not_known() {
    let (mut peer, room) = in_room();
    let (sent, _) = post(&mut peer, room, "sent");
    cut(&mut peer);
    let (waits, _) = post(&mut peer, room, "waits");
    peer.events();
    peer.engine.close(peer.now);
    let outcomes = outcomes(&mut peer);
    assert_unknown(&outcomes[..1], &[sent]);
    let offline = PostOutcome::NotSent(NotSent::Offline);
    assert_eq!(outcomes[1..], [(waits, offline)]);
}

#[test]
fn without_a_place_to_begin_at_the_newest_pages_are_read() {
    let (mut peer, room) = in_room_with(config(), ROOM_FEATURES, None);
    let (id, written) = post(&mut peer, room, "hi");
    assert!(
        written.starts_with("<message"),
        "it does not wait: {written}"
    );
    cut(&mut peer);
    heal(&mut peer);
    // The end is asked for anew with the join, what is in doubt after it.
    let query = asked(&mut peer);
    assert!(query.contains("<before/>"), "{query}");
    peer.say(&peer::archived(attribute(&query, "queryid"), "a8", "x"));
    peer.say(&fin(attribute(&query, "id"), false, &["a8"]));
    let query = asked(&mut peer);
    assert!(query.contains("<before>a8</before>"), "{query}");
    has(&mut peer, &query, &[("a5", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a5", Via::Archive))]);
}

#[test]
fn without_a_place_to_begin_at_a_long_archive_cannot_tell() {
    let (mut peer, room) = in_room_with(config(), ROOM_FEATURES, None);
    let (id, _) = post(&mut peer, room, "hi");
    cut(&mut peer);
    heal(&mut peer);
    for page in 0..10 {
        let query = asked(&mut peer);
        let at = format!("b{page}");
        peer.say(&peer::archived(attribute(&query, "queryid"), &at, "x"));
        peer.say(&fin(attribute(&query, "id"), false, &[&at]));
    }
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert_eq!(peer.heard(), "");
}

/// An archive that is said to be empty is asked twice; then it is a place as well.
#[test]
fn an_empty_archive_is_a_place_to_begin_at() {
    let mut peer = Peer::online(config());
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
    peer.say(&empty(queries(&written)[0]));
    let again = asked(&mut peer);
    peer.say(&empty(&again));
    let_in(&mut peer, &written, ROOM_FEATURES);
    let (_, _) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    assert!(
        !query.contains("<after") && !query.contains("<before"),
        "{query}"
    );
}
