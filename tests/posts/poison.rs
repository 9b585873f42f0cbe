//! A post that may have killed the stream is not sent again.

use crate::*;
use parley_xmpp::StreamCondition;

fn kill(peer: &mut Peer, condition: &str) {
    peer.say(&format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    ));
    peer.heard();
    peer.engine.handle_eof(peer.now);
}

fn killed(condition: StreamCondition, among: u32) -> PostOutcome {
    let condition = Some(condition);
    PostOutcome::StreamKill { condition, among }
}

/// An ESC in a body closes the stream of Prosody and ejabberd alike.
#[test]
fn what_the_server_does_not_bear_is_never_sent_again() {
    for (name, condition) in [
        ("not-well-formed", StreamCondition::NotWellFormed),
        ("invalid-xml", StreamCondition::InvalidXml),
        ("policy-violation", StreamCondition::PolicyViolation),
        ("bad-format", StreamCondition::BadFormat),
        ("bad-namespace-prefix", StreamCondition::BadNamespacePrefix),
        ("restricted-xml", StreamCondition::RestrictedXml),
        (
            "unsupported-stanza-type",
            StreamCondition::UnsupportedStanzaType,
        ),
    ] {
        let (mut peer, room) = in_room();
        // Even if it would rather be there twice.
        let post = Post::new("poison").within(secs(1000)).or_resend();
        let (id, _) = send(&mut peer, room, post);
        kill(&mut peer, name);
        heal(&mut peer);
        has_not(&mut peer);
        assert_eq!(outcomes(&mut peer), [(id, killed(condition, 1))]);
        peer.pass(secs(10));
        assert_eq!(peer.heard(), "");
    }
}

#[test]
fn what_is_in_the_archive_killed_nothing() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("fine").within(secs(1000)));
    kill(&mut peer, "policy-violation");
    heal(&mut peer);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a1", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a1", Via::Archive))]);
}

/// Nor did what is there under another's name: it was said.
#[test]
fn what_was_said_under_another_nick_killed_nothing() {
    let (mut peer, room) = in_room();
    let (id, written) = send(&mut peer, room, Post::new("fine").within(secs(1000)));
    kill(&mut peer, "policy-violation");
    heal(&mut peer);
    has_by(&mut peer, &written, "eve");
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert_eq!(peer.heard(), "");
}

#[test]
fn where_nobody_can_tell_that_is_said() {
    let (mut peer, room) = in_room_of(far());
    let (id, _) = send(
        &mut peer,
        room,
        Post::new("x").within(secs(1000)).or_resend(),
    );
    kill(&mut peer, "not-well-formed");
    heal(&mut peer);
    has_not(&mut peer);
    assert_unknown(&outcomes(&mut peer), &[id]);
    assert_eq!(peer.heard(), "");
}

/// Of several at most one is guilty: none is sent again, but what was not begun.
#[test]
fn of_several_in_flight_none_is_sent_again() {
    let (mut peer, room) = in_room();
    let within = |body: &str| Post::new(body).within(secs(1000));
    let (one, _) = send(&mut peer, room, within("one"));
    let (two, _) = send(&mut peer, room, within("two"));
    let three = peer.engine.post(peer.now, room, within("three")).unwrap();
    let some = peer.engine.wants().write.len() / 2;
    peer.engine.written(peer.now, some);
    peer.engine.post(peer.now, room, within("four")).unwrap();
    kill(&mut peer, "not-well-formed");
    heal(&mut peer);
    has_not(&mut peer);
    let condition = StreamCondition::NotWellFormed;
    let all = [one, two, three].map(|id| (id, killed(condition, 3)));
    assert_eq!(outcomes(&mut peer), all);
    let written = peer.heard();
    assert!(written.contains("<body>four</body>"), "{written}");
    assert_eq!(written.matches("<body>").count(), 1);
}

#[test]
fn another_end_of_the_stream_is_nobodys_fault() {
    for condition in ["reset", "system-shutdown", "internal-server-error"] {
        let (mut peer, room) = in_room();
        let (_, written) = send(&mut peer, room, Post::new("x").within(secs(1000)));
        kill(&mut peer, condition);
        heal(&mut peer);
        has_not(&mut peer);
        assert_eq!(peer.heard(), written, "{condition}");
    }
}
