//! How the archive is asked about posts in doubt: what ends that, what does not, and how often.

use crate::*;
use parley_xmpp::{Cursor, Entry, Start};

/// A configuration under which nothing but the archive is asked while time passes.
fn quiet() -> Config {
    let mut config = config();
    config.timing.keepalive = secs(1_000_000_000);
    config.timing.self_ping = Duration::MAX;
    config
}

fn lasting(body: &str) -> Post {
    Post::new(body).within(secs(1_000_000))
}

/// Lets time pass until the archive is asked; the question, and how long that took.
fn next_question(peer: &mut Peer) -> (String, Duration) {
    let start = peer.now;
    loop {
        let written = peer.heard();
        if let [query, ..] = &queries(&written)[..] {
            return ((*query).to_owned(), peer.now.since(start));
        }
        let deadline = peer.engine.wants().deadline.expect("another question");
        assert!(peer.now.since(start) < secs(3600), "no question");
        peer.pass(deadline.at.since(peer.now));
    }
}

/// RFC 6120 section 8.3.2: of `wait`, "retry after waiting". An archive in trouble is not helped
/// by being asked at once; nor one that has a page or two each time before it fails.
#[test]
fn an_archive_in_trouble_is_asked_ever_more_slowly() {
    for pages in 0..3 {
        let (mut peer, room) = in_room_of(quiet());
        let (id, written) = send(&mut peer, room, lasting("hi"));
        break_and_heal(&mut peer);
        let mut query = asked(&mut peer);
        let mut last = Duration::from_millis(500);
        for _ in 0..8 {
            for page in 0..pages {
                let at = format!("x{page}");
                peer.say(&peer::archived(attribute(&query, "queryid"), &at, "x"));
                peer.say(&fin(attribute(&query, "id"), false, &[&at]));
                query = asked(&mut peer);
            }
            refuses(&mut peer, &query, "resource-constraint", "wait");
            let pause;
            (query, pause) = next_question(&mut peer);
            assert_eq!(pause, (last * 2).min(secs(32)), "after {pages} pages");
            last = pause;
        }
        // Read to its end it is in no trouble any more.
        has(&mut peer, &query, &[]);
        (query, _) = next_question(&mut peer);
        refuses(&mut peer, &query, "resource-constraint", "wait");
        let (query, pause) = next_question(&mut peer);
        assert_eq!(pause, secs(1));
        has(&mut peer, &query, &[("a2", &written)]);
        assert_eq!(outcomes(&mut peer), [(id, committed("a2", Via::Archive))]);
    }
}

#[test]
fn an_archive_is_not_read_on_once_all_is_found() {
    for complete in [false, true] {
        let (mut peer, room) = in_room_of(quiet());
        let (one, first) = send(&mut peer, room, lasting("one"));
        let (two, second) = send(&mut peer, room, lasting("two"));
        break_and_heal(&mut peer);
        let query = asked(&mut peer);
        peer.say(&archived_as(&query, "a1", &first, "ada", ""));
        peer.say(&archived_as(&query, "a2", &second, "ada", ""));
        peer.say(&fin(attribute(&query, "id"), complete, &["a1", "a2"]));
        let found = |id, at| (id, committed(at, Via::Archive));
        assert_eq!(outcomes(&mut peer), [found(one, "a1"), found(two, "a2")]);
        peer.pass(secs(1000));
        assert_eq!(peer.heard(), "", "complete: {complete}");
    }
}

#[test]
fn an_archive_is_not_asked_about_what_was_given_up() {
    let mut config = quiet();
    config.timing.settle = secs(100);
    let (mut peer, room) = in_room_of(config);
    let (id, _) = send(&mut peer, room, Post::new("hi").within(secs(10)));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[]);
    peer.pass(secs(10));
    assert_unknown(&outcomes(&mut peer), &[id]);
    peer.pass(secs(1000));
    assert_eq!(peer.heard(), "");
}

#[test]
fn a_post_that_is_given_up_takes_no_other_with_it() {
    let (mut peer, room) = in_room_of(quiet());
    let (one, _) = send(&mut peer, room, Post::new("one").within(secs(10)));
    let (two, second) = send(&mut peer, room, lasting("two"));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    peer.pass(secs(10));
    assert_unknown(&outcomes(&mut peer), &[one]);
    has(&mut peer, &query, &[("a2", &second)]);
    assert_eq!(outcomes(&mut peer), [(two, committed("a2", Via::Archive))]);
}

/// What a page showed before it failed is proof; that it showed no more is none.
#[test]
fn a_page_that_breaks_off_says_nothing_of_what_it_did_not_show() {
    let (mut peer, room) = in_room_of(quiet());
    let (one, first) = send(&mut peer, room, lasting("one"));
    let (two, second) = send(&mut peer, room, lasting("two"));
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    peer.say(&archived_as(&query, "a1", &first, "ada", ""));
    refuses(&mut peer, &query, "resource-constraint", "wait");
    let (query, _) = next_question(&mut peer);
    has(&mut peer, &query, &[("a1", &first), ("a2", &second)]);
    let found = |id, at| (id, committed(at, Via::Archive));
    assert_eq!(outcomes(&mut peer), [found(one, "a1"), found(two, "a2")]);
}

/// XEP-0313 v1.1.3, section 3.2: what was removed may leave a tombstone, which does not tell what
/// it was. It may be the post.
#[test]
fn what_may_have_been_removed_is_not_absent() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    let left = peer::archived(attribute(&query, "queryid"), "a1", "");
    peer.say(&left.replace("<body></body>", ""));
    peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
    assert_unknown(&outcomes(&mut peer), &[id]);
    peer.pass(secs(60));
    assert!(!peer.heard().contains("<body>"), "it is not sent again");
}

/// Nor does it end the search: the post may be on a page that is to come.
#[test]
fn behind_what_was_removed_is_read_on() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "hi");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    let left = peer::archived(attribute(&query, "queryid"), "a1", "");
    peer.say(&left.replace("<body></body>", ""));
    peer.say(&fin(attribute(&query, "id"), false, &["a1"]));
    assert_eq!(outcomes(&mut peer), []);
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a2", &written)]);
    assert_eq!(outcomes(&mut peer), [(id, committed("a2", Via::Archive))]);
}

/// What stands there under another nick may be ours all the same, each of them.
#[test]
fn copies_of_several_posts_make_each_of_them_unknown() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    break_and_heal(&mut peer);
    for _ in 0..2 {
        let query = asked(&mut peer);
        for (at, written) in [("a1", &first), ("a2", &first), ("a3", &second)] {
            peer.say(&archived_as(&query, at, written, "eve", ""));
        }
        peer.say(&fin(attribute(&query, "id"), true, &["a1", "a2", "a3"]));
        peer.pass(secs(5));
    }
    assert_unknown(&outcomes(&mut peer), &[one, two]);
    assert_eq!(peer.heard(), "", "none is sent again");
}

/// Whoever reads the same archive at the same time gets what they asked for.
#[test]
fn a_subscription_is_given_its_pages_while_posts_are_looked_for() {
    for order in [[0, 1], [1, 0]] {
        let (mut peer, room) = in_room_of(quiet());
        let start = Start::Cursor(Cursor::parse("a0").unwrap());
        peer.engine.subscribe(peer.now, room, start, 99).unwrap();
        let query = asked(&mut peer);
        peer.say(&fin(attribute(&query, "id"), true, &[]));
        send(&mut peer, room, lasting("hi"));
        break_and_heal(&mut peer);
        let written = peer.heard();
        let both = queries(&written);
        assert_eq!(both.len(), 2, "{written}");
        for query in order.map(|at| both[at]) {
            peer.say(&peer::archived(attribute(query, "queryid"), "a1", "hello"));
            peer.say(&fin(attribute(query, "id"), true, &["a1"]));
        }
        let events = peer.events();
        let told = events.iter().filter(|event| {
            let Event::Entry { entry, .. } = event else {
                return false;
            };
            assert!(!matches!(entry, Entry::Gap { .. }), "{events:?}");
            matches!(entry, Entry::Message(message) if message.body == "hello")
        });
        assert_eq!(told.count(), 1, "{events:?}");
    }
}

/// A room that was destroyed and made anew begins an archive anew as well, or goes on with that
/// of before: where it was empty when the post left, nothing in it tells which. So that the post
/// is not there now does not show that it never was.
#[test]
fn absent_from_a_room_that_was_made_anew_nobody_can_tell() {
    for anew in [false, true] {
        let mut peer = Peer::online(quiet());
        let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
        let room = peer.engine.join(peer.now, join).unwrap();
        let written = peer.heard();
        let empty = |query: &str| {
            let end = fin(attribute(query, "id"), true, &[]);
            let set = "<set xmlns='http://jabber.org/protocol/rsm'>";
            end.replace(set, &format!("{set}<count>0</count>"))
        };
        peer.say(&empty(queries(&written)[0]));
        let again = asked(&mut peer);
        peer.say(&empty(&again));
        let_in(&mut peer, &written, ROOM_FEATURES);
        let (id, sent) = send(&mut peer, room, lasting("hi"));
        cut(&mut peer);
        until_connect(&mut peer);
        peer.events();
        peer.log_in();
        if anew {
            peer.heard();
            peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
            let unlock = attribute(&peer.heard(), "id").to_owned();
            peer.say(&format!("<iq type='result' id='{unlock}' from='{ROOM}'/>"));
            let disco = attribute(&peer.heard(), "id").to_owned();
            peer.say(&format!(
                "<iq type='result' id='{disco}' from='{ROOM}'>\
                 <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
            ));
        } else {
            peer.let_in("ada", ROOM_FEATURES);
        }
        assert!(peer.events().iter().any(joined));
        // Twice, and each time once more, since it says that it is empty.
        for _ in 0..4 {
            let query = asked(&mut peer);
            peer.say(&empty(&query));
            peer.pass(secs(5));
        }
        if anew {
            assert_unknown(&outcomes(&mut peer), &[id]);
            assert!(!peer.heard().contains("<body>"));
        } else {
            assert_eq!(outcomes(&mut peer), []);
            assert_eq!(peer.heard(), sent);
        }
    }
}

/// What is heard while the archive is asked where it ends is newer than what it answers.
#[test]
fn a_late_word_of_where_the_archive_ends_does_not_move_the_place_back() {
    let mut peer = Peer::online(quiet());
    let join = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, join).unwrap();
    let written = peer.heard();
    let question = queries(&written)[0].to_owned();
    let_in(&mut peer, &written, ROOM_FEATURES);
    peer.say(&peer::message("bob", "a7", "hello"));
    peer.say(&peer::archived(
        attribute(&question, "queryid"),
        "a0",
        "before",
    ));
    peer.say(&fin(attribute(&question, "id"), false, &["a0"]));
    let token = peer.engine.prepare(peer.now, room).unwrap();
    assert_eq!(token.anchor(), Cursor::parse("a7").as_ref());
}
