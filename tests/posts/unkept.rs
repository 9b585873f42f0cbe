//! Posts that no archive may have kept, since the room had none while they were under way: that
//! they are not in the one which it has later shows nothing.

use crate::*;
use parley_xmpp::{CannotTell, PostToken, Resolution};

const CHANGED: &str = "<message from='ops@muc.parley.local' type='groupchat'>\
     <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>";

/// A configuration under which nothing is asked while time passes but what is to be seen here.
fn quiet() -> Config {
    let mut config = config();
    config.timing.keepalive = secs(1_000_000_000);
    config.timing.self_ping = Duration::MAX;
    config
}

/// The room says that it changed, and that it has an archive now, or none.
fn turns(peer: &mut Peer, archive: bool) {
    peer.heard();
    peer.say(CHANGED);
    let question = peer.heard();
    let features = if archive { ROOM_FEATURES } else { "" };
    peer.say(&described(&question, features));
    peer.events();
}

fn lasting(body: &str) -> Post {
    Post::new(body).within(secs(1_000_000))
}

/// The token of the one post that came to no other end.
#[track_caller]
fn token(peer: &mut Peer, of: PostId) -> PostToken {
    match &outcomes(peer)[..] {
        [(id, PostOutcome::Unknown { token })] if *id == of => (**token).clone(),
        other => panic!("{other:?}"),
    }
}

/// The archive of now does not have it, and it is not said once more; nor does who has its token
/// hear later that it is absent.
#[track_caller]
fn nobody_can_tell(peer: &mut Peer, id: PostId) {
    has_not(peer);
    let token = token(peer, id);
    assert!(!peer.heard().contains("<body>"));
    resolves_to(peer, &token, Resolution::CannotTell(CannotTell::Unkept));
}

#[track_caller]
fn resolves_to(peer: &mut Peer, token: &PostToken, expected: Resolution) {
    // By another process, as well.
    let token = PostToken::parse(&token.to_string()).unwrap();
    let asked_for = peer.engine.resolve(peer.now, &token).unwrap();
    let query = asked(peer);
    has(peer, &query, &[]);
    let events = peer.events();
    let told = events.iter().find_map(|event| match event {
        Event::Resolved { id, resolution } if *id == asked_for => Some(resolution),
        _ => None,
    });
    assert_eq!(told, Some(&expected), "{events:?}");
}

#[test]
fn what_is_posted_to_a_room_without_an_archive_is_not_absent_from_the_next() {
    let (mut peer, room) = in_room_of(quiet());
    turns(&mut peer, false);
    let (id, _) = send(&mut peer, room, lasting("hi"));
    break_and_heal(&mut peer);
    nobody_can_tell(&mut peer, id);
}

#[test]
fn nor_is_what_was_under_way_when_it_said_that_it_has_none() {
    let (mut peer, room) = in_room_of(quiet());
    let (id, _) = send(&mut peer, room, lasting("hi"));
    turns(&mut peer, false);
    turns(&mut peer, true);
    break_and_heal(&mut peer);
    nobody_can_tell(&mut peer, id);
}

/// What the archive said before it was switched off was not its last word, and afterwards it has
/// none to say.
#[test]
fn nor_is_what_is_looked_for_while_the_archive_is_switched_off_and_on() {
    let (mut peer, room) = in_room_of(quiet());
    let (id, _) = send(&mut peer, room, lasting("hi"));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    turns(&mut peer, false);
    turns(&mut peer, true);
    peer.pass(secs(5));
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    token(&mut peer, id);
    assert!(!peer.heard().contains("<body>"));
}

/// Whoever changed the room may have switched the archive off, and on again before it has answered
/// what it is now; or it never answers, or refuses to.
#[test]
fn nor_is_what_was_under_way_before_a_room_that_changed_has_said_what_it_is() {
    let answers: [fn(&mut Peer, &str); 4] = [
        |_, _| {},
        |peer, question| refuses(peer, question, "resource-constraint", "wait"),
        |peer, question| refuses(peer, question, "forbidden", "auth"),
        |peer, question| {
            // Off and on: the first answer is older than the second change.
            peer.say(CHANGED);
            peer.say(&described(question, ROOM_FEATURES));
        },
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        for late in [false, true] {
            let (mut peer, room) = in_room_of(quiet());
            peer.heard();
            let before = (!late).then(|| send(&mut peer, room, lasting("hi")).0);
            peer.say(CHANGED);
            let question = peer.heard();
            answer(&mut peer, &question);
            let id = before.unwrap_or_else(|| {
                let post = lasting("hi");
                peer.engine.post(peer.now, room, post).unwrap()
            });
            peer.heard();
            assert_eq!(outcomes(&mut peer), []);
            break_and_heal(&mut peer);
            has_not(&mut peer);
            token(&mut peer, id);
            assert!(!peer.heard().contains("<body>"), "{n}, {late}");
        }
    }
}

/// The archive that it came back with has what was said since: also that is sent again which is
/// not there.
#[test]
fn what_is_posted_to_a_room_that_has_an_archive_again_is_absent_if_it_is_not_there() {
    let (mut peer, room) = in_room_of(quiet());
    turns(&mut peer, false);
    turns(&mut peer, true);
    let (_, sent) = send(&mut peer, room, lasting("hi"));
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_eq!(outcomes(&mut peer), []);
    assert_eq!(peer.heard(), sent);
}

/// What it is found by is drawn before it is sent, and may be all that is left of it.
#[test]
fn a_post_that_is_prepared_in_a_room_without_an_archive_is_not_absent_from_the_next() {
    for archive in [false, true] {
        let (mut peer, room) = in_room_of(quiet());
        turns(&mut peer, archive);
        let token = peer.engine.prepare(peer.now, room).unwrap();
        turns(&mut peer, true);
        let expected = if archive {
            Resolution::AbsentSoFar
        } else {
            Resolution::CannotTell(CannotTell::Unkept)
        };
        resolves_to(&mut peer, &token, expected);
    }
}

/// Where no place was known when it left, nothing in the archive of a room that was made anew tells
/// whether it is that of before: whether the session ended, or the stay in the room.
#[test]
fn nor_is_it_where_the_room_was_made_anew_and_no_place_was_known() {
    for (anew, same_session) in [(false, false), (true, false), (true, true)] {
        let (mut peer, room) = in_room_with(quiet(), ROOM_FEATURES, None);
        let (id, sent) = send(&mut peer, room, lasting("hi"));
        if same_session {
            let out = presence("ada", "<status code='110'/><status code='333'/>");
            peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
            peer.events();
            let deadline = peer.engine.wants().deadline.unwrap();
            peer.pass(deadline.at.since(peer.now));
        } else {
            cut(&mut peer);
            until_connect(&mut peer);
            peer.events();
            peer.log_in();
        }
        let written = peer.heard();
        let anchor = attribute(queries(&written)[0], "id").to_owned();
        peer.say(&peer::no_end(&anchor, ROOM));
        if anew {
            peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
            let unlock = attribute(&peer.heard(), "id").to_owned();
            peer.say(&format!("<iq type='result' id='{unlock}' from='{ROOM}'/>"));
            let question = peer.heard();
            peer.say(&described(&question, ROOM_FEATURES));
        } else {
            let_in(&mut peer, &written, ROOM_FEATURES);
        }
        assert!(peer.events().iter().any(joined));
        let written = has_another(&mut peer);
        if anew {
            token(&mut peer, id);
            assert!(!written.contains("<body>"), "{same_session}");
        } else {
            assert_eq!(outcomes(&mut peer), []);
            assert!(written.ends_with(&sent));
        }
    }
}

/// The archive has something of somebody else's, as often as it is asked. Gives what was written
/// when it was not.
fn has_another(peer: &mut Peer) -> String {
    loop {
        let written = peer.heard();
        let asked = queries(&written);
        if asked.is_empty() {
            return written;
        }
        for query in asked {
            peer.say(&peer::archived(attribute(query, "queryid"), "b1", "other"));
            peer.say(&fin(attribute(query, "id"), true, &["b1"]));
        }
        peer.pass(secs(5));
    }
}

/// A room that refuses to say what it is counts as one without an archive, whenever it refuses.
#[test]
fn nor_is_what_is_posted_to_a_room_that_refuses_to_say_whether_it_has_one() {
    for late in [false, true] {
        let mut peer = Peer::online(quiet());
        let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
        let room = peer.engine.join(peer.now, join).unwrap();
        let written = peer.heard();
        let anchor = attribute(queries(&written)[0], "id").to_owned();
        peer.say(&peer::no_end(&anchor, ROOM));
        peer.say(&presence("ada", "<status code='110'/>"));
        if late {
            peer.pass(secs(30));
        }
        // Asked once more since we are in.
        let mut question = attribute(written.rsplit("<iq ").next().unwrap(), "id").to_owned();
        for _ in 0..2 {
            peer.heard();
            peer.say(&format!(
                "<iq type='error' id='{question}' from='{ROOM}'><error type='cancel'>\
                 <forbidden xmlns='{STANZAS}'/></error></iq>"
            ));
            let written = peer.heard();
            let asked = written.rsplit("<iq ").next().unwrap();
            if asked.contains("disco#info") {
                attribute(asked, "id").clone_into(&mut question);
            }
        }
        peer.pass(secs(6));
        assert!(peer.events().iter().any(joined));
        let (id, sent) = send(&mut peer, room, lasting("hi"));
        assert!(sent.contains("<body>"), "{sent}");
        turns(&mut peer, true);
        break_and_heal(&mut peer);
        let written = has_another(&mut peer);
        token(&mut peer, id);
        assert!(!written.contains("<body>"), "{late}");
    }
}

/// What never left was not under way.
#[test]
fn what_was_never_taken_by_the_transport_is_absent_from_the_next() {
    let (mut peer, room) = in_room_of(quiet());
    turns(&mut peer, false);
    peer.engine.post(peer.now, room, lasting("hi")).unwrap();
    cut(&mut peer);
    heal(&mut peer);
    // It is sent now, for the first time, while there is an archive.
    let sent = peer.heard();
    assert!(sent.contains("<body>hi"), "{sent}");
    peer.events();
    break_and_heal(&mut peer);
    let written = has_another(&mut peer);
    assert_eq!(outcomes(&mut peer), []);
    assert!(written.contains("<body>hi"));
}
