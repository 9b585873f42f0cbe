//! Fetches from the archive.

use crate::*;

fn fetched(events: Vec<Event>) -> (Vec<Message>, Option<FetchEvent>) {
    let (mut messages, mut end) = (Vec::new(), None);
    for event in events {
        match event {
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => messages.extend(page),
            Event::Fetch { event, .. } => assert!(end.replace(event).is_none(), "one outcome"),
            _ => {}
        }
    }
    (messages, end)
}

#[test]
fn q01_q02_results_count_only_from_the_archive_that_was_asked() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .fetch(peer.now, room, Fetch::newest(10))
        .unwrap();
    let query = peer.heard();
    let (iq, q) = (attribute(&query, "id"), attribute(&query, "queryid"));
    let result = archived(q, "a1", "one");
    peer.say(&result.replacen(&format!("from='{ROOM}'"), "from='evil@parley.local'", 1));
    peer.say(&result.replacen(&format!("from='{ROOM}'"), &format!("from='{ROOM}/bob'"), 1));
    peer.say(&result.replacen(&format!(" from='{ROOM}'"), "", 1));
    peer.say(&archived("guessed", "a1", "forged"));
    // Q16: under the right envelope, but not said in this room.
    peer.say(
        &archived(q, "a2", "foreign").replace(&format!("{ROOM}/bob"), "other@muc.parley.local/bob"),
    );
    peer.say(&fin(iq, true, &[]).replace(ROOM, "evil@parley.local"));
    assert_eq!(peer.events(), []);
    peer.say(&archived(q, "a3", "three"));
    peer.say(&fin(iq, true, &["a2", "a3"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(
        messages.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(),
        ["three"]
    );
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true, .. }) if next.as_str() == "a3")
    );
}

#[test]
fn a_fetch_that_waits_returns_with_news_and_not_before_its_time() {
    let (mut peer, room) = in_room();
    peer.heard();
    let fetch = Fetch::since(Cursor::parse("a1").unwrap(), 10).wait(Duration::from_secs(30));
    peer.engine.fetch(peer.now, room, fetch.clone()).unwrap();
    let query = peer.heard();
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_secs(10));
    assert_eq!(fetched(peer.events()).1, None);
    peer.say(&message("bob", "a2", "news"));
    let query = peer.heard();
    assert!(query.contains("<after>a1</after>"), "{query}");
    // The archive lags behind: asked again a little later.
    peer.say(&message("bob", "a3", "more"));
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_millis(300));
    let query = peer.heard();
    peer.say(&archived(attribute(&query, "queryid"), "a2", "news"));
    peer.say(&fin(attribute(&query, "id"), true, &["a2"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(messages.len(), 1);
    assert!(matches!(end, Some(FetchEvent::Done { next, .. }) if next.as_str() == "a2"));

    peer.engine.fetch(peer.now, room, fetch).unwrap();
    let query = peer.heard();
    peer.say(&fin(attribute(&query, "id"), true, &[]));
    peer.pass(Duration::from_millis(29_999));
    peer.say("<message/>");
    assert_eq!(fetched(peer.events()).1, None);
    peer.pass(Duration::from_millis(1));
    let end = fetched(peer.events()).1;
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true, .. }) if next.as_str() == "a1")
    );
}

#[test]
fn a_fetch_survives_a_break_and_gives_no_page_twice() {
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine
        .fetch(peer.now, room, Fetch::since(Cursor::Beginning, 500))
        .unwrap();
    let query = peer.heard();
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&fin(attribute(&query, "id"), false, &["a1"]));
    let query = peer.heard();
    peer.say(&archived(
        attribute(&query, "queryid"),
        "a2",
        "lost with the stream",
    ));
    cut(&mut peer);
    heal(&mut peer);
    let query = peer.heard();
    assert!(
        !query.contains("<after>"),
        "what it stands on is to be shown: {query}"
    );
    peer.say(&archived(attribute(&query, "queryid"), "a1", "1"));
    peer.say(&archived(attribute(&query, "queryid"), "a2", "2"));
    peer.say(&fin(attribute(&query, "id"), true, &["a1", "a2"]));
    let (messages, end) = fetched(peer.events());
    assert_eq!(
        messages.iter().map(|m| m.body.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert!(matches!(end, Some(FetchEvent::Done { complete: true, .. })));
}

#[test]
fn a_page_that_fails_is_an_error_and_never_a_short_list() {
    for (answer, expected) in [
        (
            "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            RequestError::ArchiveUnsupported,
        ),
        (
            "<error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
            RequestError::ArchiveUnsupported,
        ),
    ] {
        let (mut peer, room) = in_room();
        peer.heard();
        peer.engine
            .fetch(peer.now, room, Fetch::since(Cursor::parse("x").unwrap(), 5))
            .unwrap();
        let id = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<iq type='error' id='{id}' from='{ROOM}'>{answer}</iq>"
        ));
        assert_eq!(fetched(peer.events()).1, Some(FetchEvent::Failed(expected)));
    }
    let (mut peer, room) = in_room();
    peer.heard();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    peer.heard();
    peer.pass(Duration::from_secs(30));
    assert_eq!(
        fetched(peer.events()).1,
        Some(FetchEvent::Failed(RequestError::TimedOut))
    );
}

#[test]
fn a_room_without_an_archive_says_so() {
    let mut peer = Peer::online(config());
    let room = peer.join("");
    peer.events();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    let end = fetched(peer.events()).1;
    assert_eq!(
        end,
        Some(FetchEvent::Failed(RequestError::ArchiveUnsupported))
    );
}
