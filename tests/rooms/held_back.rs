//! What is said while the archive is read, or while nobody takes it.

use crate::*;

/// Follows the room from `a0` on; and the question for what came after it.
fn catching_up(config: Config) -> (Peer, String) {
    let (mut peer, room) = in_room_of(config);
    peer.heard();
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let query = peer.heard();
    assert!(query.contains("<after>a0</after>"), "{query}");
    (peer, query)
}

fn hear(peer: &mut Peer, ids: &[&str]) {
    for id in ids {
        peer.say(&message("bob", id, id));
    }
}

/// An archive of these, of which those with a cross were removed, answers a question.
fn shows(peer: &mut Peer, query: &str, items: &[&str]) {
    let ids = items.iter().map(|item| item.trim_start_matches('\u{2020}'));
    let ids: Vec<_> = ids.collect();
    let after = query.split("<after>").nth(1).expect("a place");
    let after = &after[..after.find('<').unwrap()];
    let after = ids.iter().position(|id| *id == after);
    let from = after.map_or(0, |at| at + 1);
    for (item, id) in items[from..].iter().zip(&ids[from..]) {
        let shown = archived(attribute(query, "queryid"), id, id);
        let removed = shown.replace(&format!("<body>{id}</body>"), "");
        peer.say(if id == item { &shown } else { &removed });
    }
    peer.say(&fin(attribute(query, "id"), true, &ids[from..]));
}

/// What a reader is told, in short.
fn told(peer: &mut Peer) -> Vec<String> {
    let short = |entry: Entry| match entry {
        Entry::Message(message) => message.body,
        Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
        other => format!("{other:?}"),
    };
    entries(peer.events()).into_iter().map(short).collect()
}

#[test]
fn what_was_held_back_and_is_removed_by_then_is_not_waited_for() {
    let (mut peer, query) = catching_up(config());
    hear(&mut peer, &["a2"]);
    shows(&mut peer, &query, &["a1", "\u{2020}a2"]);
    assert_eq!(told(&mut peer), ["a1", "caught up a2"]);
    hear(&mut peer, &["a3"]);
    assert_eq!(told(&mut peer), ["a3"]);
}

#[test]
fn what_was_too_much_and_is_removed_by_then_is_not_waited_for() {
    let mut config = config();
    config.limits.held_messages = 2;
    let (mut peer, query) = catching_up(config);
    hear(&mut peer, &["a1", "a2", "a3", "a4"]);
    // What came behind it was not heard.
    let archive = ["a1", "a2", "a3", "\u{2020}a4", "a5"];
    shows(&mut peer, &query, &archive);
    let query = peer.heard();
    shows(&mut peer, &query, &archive);
    assert_eq!(told(&mut peer), ["a1", "a2", "a3", "a5", "caught up a5"]);
}

/// An archive lags: once it shows the first that was heard, what was said before that is there.
#[test]
fn what_was_heard_after_what_the_archive_shows_is_not_waited_for() {
    let (mut peer, query) = catching_up(config());
    hear(&mut peer, &["a3", "a4", "a5"]);
    shows(&mut peer, &query, &["a1"]);
    assert_eq!(told(&mut peer), ["a1"]);
    peer.pass(Duration::from_millis(250));
    let query = peer.heard();
    shows(&mut peer, &query, &["a1", "a2", "a3", "a4"]);
    assert_eq!(told(&mut peer), ["a2", "a3", "a4", "caught up a4", "a5"]);
}

/// What was removed is not told late either.
#[test]
fn what_was_held_back_and_is_removed_by_then_is_not_told() {
    let (mut peer, query) = catching_up(config());
    hear(&mut peer, &["a2", "a3"]);
    shows(&mut peer, &query, &["a1", "\u{2020}a2", "a3"]);
    assert_eq!(told(&mut peer), ["a1", "a3", "caught up a3"]);
}

/// The archive shows one that was not heard, behind one that was: the next may be missing as well,
/// until the archive shows the last that was heard by then.
#[test]
fn what_was_not_heard_between_what_was_is_waited_for() {
    let (mut peer, query) = catching_up(config());
    hear(&mut peer, &["a3", "a6"]);
    shows(&mut peer, &query, &["a1", "a3", "a4"]);
    assert_eq!(told(&mut peer), ["a1", "a3", "a4"], "a6 is not next");
    // What is heard now is no part of that.
    hear(&mut peer, &["a7"]);
    peer.pass(Duration::from_millis(250));
    let query = peer.heard();
    shows(&mut peer, &query, &["a1", "a3", "a4", "a6"]);
    assert_eq!(told(&mut peer), ["a6", "caught up a6", "a7"]);
}

/// A page that was asked for by one who was in, and comes when he is out, is nobody's.
#[test]
fn a_page_that_comes_when_we_are_out_is_not_told() {
    let (mut peer, query) = catching_up(config());
    let out = presence("ada", "<status code='110'/><status code='333'/>");
    peer.say(&out.replace("<presence ", "<presence type='unavailable' "));
    assert_eq!(told(&mut peer), [""; 0]);
    shows(&mut peer, &query, &["a1"]);
    assert_eq!(told(&mut peer), [""; 0]);
    peer.pass(Duration::from_secs(2));
    peer.let_in("ada", ROOM_FEATURES);
    let query = peer.heard();
    assert!(query.contains("<after>a0</after>"), "{query}");
    shows(&mut peer, &query, &["a1"]);
    assert_eq!(told(&mut peer), ["a1", "caught up a1"]);
}

/// RFC 6120 section 8.3.2: of `wait`, "retry after waiting". Each pause is twice as long, until a
/// gap is told.
#[test]
fn an_archive_that_fails_is_asked_ever_more_slowly() {
    let (mut peer, mut query) = catching_up(config());
    let mut pauses = Vec::new();
    loop {
        peer.say(&format!(
            "<iq type='error' id='{}' from='{ROOM}'><error type='wait'><resource-constraint \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            attribute(&query, "id")
        ));
        let told = told(&mut peer);
        if !told.is_empty() {
            assert!(told[0].contains("ArchiveFailed"), "{told:?}");
            assert_eq!(told[1..], ["caught up a0"]);
            break;
        }
        let began = peer.now;
        while !query_in(&mut peer, &mut query) {
            peer.pass(Duration::from_millis(250));
        }
        pauses.push(peer.now.since(began));
    }
    let least = config().timing.backoff_min;
    assert_eq!(pauses, [2, 4, 8, 16].map(|times| least * times));
}

/// Whether something is asked now, which is put into `query`.
fn query_in(peer: &mut Peer, query: &mut String) -> bool {
    *query = peer.heard();
    !query.is_empty()
}
