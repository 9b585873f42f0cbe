//! The time of a first join, and rooms that are slow to say what they can do.

use parley_xmpp::SubscriptionId;

use crate::*;

/// The room's configuration changed.
const CHANGED: &str = "<message from='ops@muc.parley.local' type='groupchat'>\
    <x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x></message>";

/// Lets the backoff pass, and logs in; nothing is said by the room.
fn reconnect(peer: &mut Peer) {
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a next attempt");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    peer.log_in();
}

fn gave_up(peer: &mut Peer) -> bool {
    let events = peer.events();
    room_events(&events).iter().any(|event| {
        matches!(
            event,
            RoomEvent::JoinFailed {
                error: JoinFailure::TimedOut,
                retry: Retry::Never,
            }
        )
    })
}

#[test]
fn the_time_of_a_first_join_is_one_for_all_streams() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    peer.pass(Duration::from_secs(25));
    cut(&mut peer);
    // Without a stream it stands still.
    peer.reads = false;

    assert!(!gave_up(&mut peer));
    reconnect(&mut peer);
    peer.reads = true;
    peer.pass(Duration::from_millis(4_999));
    assert!(!gave_up(&mut peer));
    peer.pass(Duration::from_millis(1));
    assert!(gave_up(&mut peer));
}

#[test]
fn a_link_that_is_cut_again_and_again_does_not_put_off_a_first_join_for_ever() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let mut streams = 1;
    loop {
        peer.pass(Duration::from_secs(7));
        if gave_up(&mut peer) {
            break;
        }
        cut(&mut peer);
        reconnect(&mut peer);
        streams += 1;
        assert!(streams < 10, "nobody is told");
    }
    assert_eq!(streams, 5);
}

/// The question what the room can do, if it was asked.
fn disco(written: &str) -> Option<String> {
    let at = written.rfind("<query xmlns='http://jabber.org/protocol/disco#info'")?;
    let iq = written[..at].rfind("<iq ")?;
    Some(attribute(&written[iq..], "id").to_owned())
}

fn describe(peer: &mut Peer, id: &str, features: &str) {
    peer.say(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
    ));
}

/// In a room that has not said what it can do, which is followed; and the question.
fn in_a_silent_room(start: Start) -> (Peer, String) {
    let (peer, question, _) = in_a_silent_room_of(config(), start, 99);
    (peer, question)
}

fn in_a_silent_room_of(
    mut config: Config,
    start: Start,
    credit: u32,
) -> (Peer, String, SubscriptionId) {
    config.timing.keepalive = Duration::from_secs(100_000);
    config.timing.self_ping = Duration::MAX;
    let mut peer = Peer::online(config);
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, room).unwrap();
    let question = disco(&peer.heard()).expect("a question");
    let followed = peer
        .engine
        .subscribe(peer.now, room, start, credit)
        .unwrap();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.pass(Duration::from_secs(30));
    let again = disco(&peer.heard());
    assert_eq!(again, None, "an answer is still waited for");
    (peer, question, followed)
}

fn after(id: &str) -> Cursor {
    Cursor::After(parley_xmpp::ArchiveId::new(id).unwrap())
}

fn described(events: &[Event]) -> usize {
    let events = room_events(events);
    let described = events
        .iter()
        .filter(|e| matches!(e, RoomEvent::Described(_)));
    described.count()
}

/// The archive answers the query that was written last.
fn archive_shows(peer: &mut Peer, ids: &[&str]) -> String {
    let written = peer.heard();
    let at = written.rfind("<iq ").expect("a query");
    let query = written[at..].to_owned();
    for id in ids {
        peer.say(&archived(attribute(&query, "queryid"), id, id));
    }
    peer.say(&fin(attribute(&query, "id"), true, ids));
    query
}

#[test]
fn a_room_that_says_late_what_it_can_do_is_read_from_the_cursor_and_nothing_twice() {
    let (mut peer, question) = in_a_silent_room(Start::Cursor(after("a0")));
    peer.say(&message("bob", "a3", "a3"));
    let told = entries(peer.events());
    assert!(
        matches!(
            &told[..],
            [
                Entry::Gap {
                    reason: GapReason::NoArchive,
                    ..
                },
                Entry::CaughtUp { at: None },
                Entry::Message(message),
            ] if message.id.is_none()
        ),
        "{told:?}"
    );
    peer.pass(Duration::from_secs(15));
    peer.heard();
    describe(&mut peer, &question, ROOM_FEATURES);
    peer.say(&message("bob", "a4", "a4"));
    let query = archive_shows(&mut peer, &["a1", "a2", "a3", "a4"]);
    assert!(query.contains("<after>a0</after>"), "{query}");
    let events = peer.events();
    assert_eq!(described(&events), 1);
    let told = entries(events);
    assert_eq!(bodies(&told), ["a1", "a2", "a4"]);
    assert!(
        matches!(&told[3..], [Entry::CaughtUp { at: Some(at) }] if *at == after("a4")),
        "{told:?}"
    );
}

#[test]
fn who_follows_from_now_on_finds_a_place_when_the_room_says_that_it_has_an_archive() {
    let (mut peer, question) = in_a_silent_room(Start::Now);
    peer.say(&message("bob", "a3", "a3"));
    describe(&mut peer, &question, ROOM_FEATURES);
    let query = archive_shows(&mut peer, &["a4"]);
    assert!(query.contains("<after>a3</after>"), "{query}");
    let told = entries(peer.events());
    assert!(matches!(&told[0], Entry::CaughtUp { at: None }), "{told:?}");
    assert_eq!(bodies(&told), ["a3", "a4"]);
    assert!(
        matches!(&told[3..], [Entry::CaughtUp { at: Some(at) }] if *at == after("a4")),
        "{told:?}"
    );
}

#[test]
fn a_room_that_does_not_say_what_it_can_do_is_asked_ever_more_slowly_until_it_does() {
    let (mut peer, _) = in_a_silent_room(Start::Now);
    let mut asked = Vec::new();
    let began = peer.now;
    while peer.now.since(began) < Duration::from_secs(3600) {
        peer.pass(Duration::from_secs(1));
        asked.extend(disco(&peer.heard()));
    }
    assert!((4..12).contains(&asked.len()), "{}", asked.len());
    describe(&mut peer, asked.last().unwrap(), "");
    peer.events();
    peer.pass(Duration::from_secs(3600));
    assert_eq!(disco(&peer.heard()), None);
    assert!(entries(peer.events()).is_empty());
}

fn refuse(peer: &mut Peer, question: &str, kind: &str) {
    peer.say(&format!(
        "<iq type='error' id='{question}' from='{ROOM}'><error type='{kind}'>\
         <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
}

/// The first question went out with the join: what a room keeps from those outside it may
/// tell those who are in.
#[test]
fn a_refusal_that_lasts_ends_the_asking_and_one_that_passes_does_not() {
    for (kind, again) in [("cancel", false), ("wait", true)] {
        let (mut peer, question) = in_a_silent_room(Start::Now);
        refuse(&mut peer, &question, "cancel");
        let question = disco(&peer.heard()).expect("asked by one who is in");
        assert_eq!(entries(peer.events()).len(), 1);
        refuse(&mut peer, &question, kind);
        peer.pass(Duration::from_secs(5));
        assert_eq!(disco(&peer.heard()).is_some(), again, "{kind}");
    }
}

/// RFC 6120 section 8.3.2: of `wait`, "retry after waiting".
#[test]
fn a_room_that_cannot_say_now_what_it_can_do_is_asked_after_a_pause() {
    let (mut peer, question) = in_a_silent_room(Start::Now);
    refuse(&mut peer, &question, "wait");
    assert_eq!(disco(&peer.heard()), None);
    peer.pass(Duration::from_secs(5));
    assert!(disco(&peer.heard()).is_some());
}

/// An id that a room has not vouched for is nobody's place.
#[test]
fn what_was_said_before_a_room_says_that_it_has_no_archive_has_no_place() {
    let (mut peer, question) = in_a_silent_room(Start::Now);
    peer.say(&message("bob", "a3", "a3"));
    describe(&mut peer, &question, "<feature var='urn:xmpp:mam:2'/>");
    peer.say(&message("bob", "a3", "another"));
    let told = entries(peer.events());
    assert_eq!(bodies(&told), ["a3", "another"]);
    let ids = told
        .iter()
        .filter(|entry| matches!(entry, Entry::Message(m) if m.id.is_some()));
    assert_eq!(ids.count(), 0);
}

/// Nor is one that is held back for a reader who takes nothing meanwhile.
#[test]
fn what_is_held_back_in_a_room_that_has_no_archive_has_no_place() {
    let (mut peer, question, followed) = in_a_silent_room_of(config(), Start::Now, 0);
    peer.say(&message("bob", "a3", "a3"));
    describe(&mut peer, &question, "<feature var='urn:xmpp:mam:2'/>");
    peer.events();
    peer.engine.grant(peer.now, followed, 9);
    let told = entries(peer.events());
    assert!(
        matches!(&told[..], [Entry::Message(said)] if said.id.is_none() && said.body == "a3"),
        "{told:?}"
    );
}

/// What was told without a place may lie behind the cursor in an archive that the room has later:
/// nobody can tell, and it is not read from there.
#[test]
fn a_room_that_has_an_archive_at_last_is_not_read_from_before_what_was_told() {
    let (mut peer, question) = in_a_silent_room(Start::Cursor(after("a0")));
    peer.say(&message("bob", "a3", "a3"));
    describe(&mut peer, &question, "");
    assert_eq!(bodies(&entries(peer.events())), ["a3"]);
    peer.heard();
    peer.say(CHANGED);
    let question = disco(&peer.heard()).expect("a question");
    describe(&mut peer, &question, ROOM_FEATURES);
    let query = archive_shows(&mut peer, &["a4"]);
    assert!(query.contains("<before/>"), "{query}");
    let told = entries(peer.events());
    let never = |entry: &Entry| {
        let reason = GapReason::NeverAnchored;
        matches!(entry, Entry::Gap { reason: told, .. } if *told == reason)
    };
    assert!(told.iter().any(never), "{told:?}");
    assert_eq!(bodies(&told), [""; 0]);
}

/// What was told without a place is told from what is read by the ids it came with: as far as these
/// are remembered.
#[test]
fn more_than_is_remembered_without_a_place_leaves_none_to_read_from() {
    for (said, read_from) in [(16, "<after>a0</after>"), (17, "<before/>")] {
        let mut config = config();
        // Four pages of ids are remembered whatever is asked for, and 32.
        config.limits.page = 8;
        config.limits.held_messages = 8;
        config.limits.remembered_ids = 32;
        let start = Start::Cursor(after("a0"));
        let (mut peer, question, _) = in_a_silent_room_of(config, start, 99);
        for n in 1..=said {
            let id = format!("a{n}");
            peer.say(&message("bob", &id, &id));
        }
        peer.events();
        peer.heard();
        describe(&mut peer, &question, ROOM_FEATURES);
        let query = peer.heard();
        assert!(query.contains(read_from), "{said}: {query}");
    }
}

/// The pauses grow, and are never shorter than the least one.
#[test]
fn a_room_that_cannot_say_now_what_it_can_do_is_asked_ever_more_slowly() {
    let (mut peer, mut question) = in_a_silent_room(Start::Now);
    let (mut pauses, step) = (Vec::new(), Duration::from_millis(100));
    for _ in 0..12 {
        refuse(&mut peer, &question, "wait");
        let began = peer.now;
        question = loop {
            assert!(peer.now.since(began) < Duration::from_secs(600), "never");
            peer.pass(step);
            if let Some(question) = disco(&peer.heard()) {
                break question;
            }
        };
        pauses.push(peer.now.since(began));
    }
    let least = config().timing.backoff_min;
    assert!(pauses.iter().all(|pause| *pause >= least), "{pauses:?}");
    assert!(pauses[0] <= least * 2 + step, "{pauses:?}");
    let long = pauses.iter().filter(|pause| **pause > least * 16);
    assert!(long.count() >= 3, "{pauses:?}");
}

/// A room that said what it can do when it changed is not asked once more when the pause is over.
#[test]
fn a_room_that_has_said_what_it_can_do_is_not_asked_again() {
    let (mut peer, question) = in_a_silent_room(Start::Now);
    refuse(&mut peer, &question, "wait");
    peer.say(CHANGED);
    let question = disco(&peer.heard()).expect("asked since it changed");
    describe(&mut peer, &question, "");
    peer.events();
    peer.pass(Duration::from_secs(600));
    assert_eq!(disco(&peer.heard()), None);
}

/// In a room that said that it has an archive, and then that it changed; and the question.
fn in_a_room_that_changed() -> (Peer, parley_xmpp::RoomId, String) {
    let mut config = config();
    config.timing.keepalive = Duration::from_secs(100_000);
    config.timing.self_ping = Duration::MAX;
    let (mut peer, room) = in_room_of(config);
    peer.heard();
    peer.say(CHANGED);
    let question = disco(&peer.heard()).expect("a question");
    peer.events();
    (peer, room, question)
}

/// That it does not say does not mean that it is another: that holds which it said before, and it is
/// asked again.
#[test]
fn a_room_that_does_not_say_what_it_is_now_is_what_it_was_until_it_does() {
    for kind in [Some("cancel"), Some("wait"), None] {
        let (mut peer, room, question) = in_a_room_that_changed();
        match kind {
            Some(kind) => refuse(&mut peer, &question, kind),
            None => peer.pass(Duration::from_secs(31)),
        }
        let told = peer.events();
        assert!(room_events(&told).is_empty(), "{kind:?}: {told:?}");
        peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
        let asked = peer.heard();
        assert!(asked.contains("urn:xmpp:mam:2"), "{kind:?}: {asked}");
        archive_answers(&mut peer, &asked);
        let again = until_asked(&mut peer);
        describe(&mut peer, &again, "");
        assert_eq!(described(&peer.events()), 1, "{kind:?}");
        peer.pass(Duration::from_secs(3600));
        assert_eq!(disco(&peer.heard()), None, "{kind:?}");
    }
}

fn archive_answers(peer: &mut Peer, asked: &str) {
    peer.say(&archived(attribute(asked, "queryid"), "a1", "x"));
    peer.say(&fin(attribute(asked, "id"), true, &["a1"]));
    peer.events();
}

fn until_asked(peer: &mut Peer) -> String {
    let began = peer.now;
    while peer.now.since(began) < Duration::from_secs(60) {
        if let Some(question) = disco(&peer.heard()) {
            return question;
        }
        peer.pass(Duration::from_millis(250));
    }
    panic!("not asked again");
}

/// The question was asked before it changed.
#[test]
fn a_room_that_changes_while_we_come_in_is_asked_again() {
    let mut peer = Peer::online(config());
    join(&mut peer, Nick::Chosen("ada".into()));
    let question = disco(&peer.heard()).unwrap();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(CHANGED);
    describe(&mut peer, &question, ROOM_FEATURES);
    let again = disco(&peer.heard()).expect("a second question");
    peer.events();
    describe(&mut peer, &again, "");
    assert_eq!(described(&peer.events()), 1);
}

/// It may have become another while we were away.
#[test]
fn a_room_that_does_not_say_what_it_is_when_we_come_again_is_asked_until_it_does() {
    for refuses in [true, false] {
        let mut config = config();
        config.timing.keepalive = Duration::from_secs(100_000);
        config.timing.self_ping = Duration::MAX;
        let (mut peer, _) = in_room_of(config);
        cut(&mut peer);
        while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
            let deadline = peer.engine.wants().deadline.unwrap();
            peer.pass(deadline.at.since(peer.now));
        }
        peer.events();
        peer.log_in();
        let mut question = disco(&peer.heard()).expect("asked with the join");
        peer.say(&presence("ada", "<status code='110'/>"));
        for _ in 0..2 {
            if refuses {
                refuse(&mut peer, &question, "wait");
            } else {
                peer.pass(Duration::from_secs(31));
            }
            if let Some(again) = disco(&peer.heard()) {
                question = again;
            }
        }
        let joined = |e: &RoomEvent| matches!(e, RoomEvent::Joined(joined) if joined.info.archive);
        assert!(
            room_events(&peer.events()).iter().any(|e| joined(e)),
            "{refuses}"
        );
        let question = until_asked(&mut peer);
        describe(&mut peer, &question, "");
        assert_eq!(described(&peer.events()), 1, "{refuses}");
        peer.pass(Duration::from_secs(3600));
        assert_eq!(disco(&peer.heard()), None, "{refuses}");
    }
}
