//! Archives and their pages: Q1 to Q22.

use std::time::Duration;

use parley_xmpp::{
    ArchiveId, Condition, Cursor, Fetch, FetchEvent, GapReason, Message, QueryId, RequestError,
};

use crate::peer::{ROOM_FEATURES, message};
use crate::*;

/// A fetch from there, and its first question.
pub(super) fn fetching(fetch: Fetch) -> (Peer, QueryId, String) {
    let mut config = config();
    // What an archive does not show is not there.
    config.timing.settle = Duration::ZERO;
    config.anchor_at_join = false;
    let mut peer = Peer::online(config);
    peer.heard();
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let id = peer.engine.fetch(peer.now, room, fetch).unwrap();
    let question = question(&mut peer);
    (peer, id, question)
}

pub(super) fn newest() -> (Peer, QueryId, String) {
    fetching(Fetch::newest(10))
}

pub(super) fn all(limit: u32) -> (Peer, QueryId, String) {
    fetching(Fetch::since(Cursor::Beginning, limit))
}

/// The only question that was asked since last time.
#[track_caller]
pub(super) fn question(peer: &mut Peer) -> String {
    let sent = peer.heard();
    match &requests(&sent)[..] {
        [one] if one.contains("urn:xmpp:mam:2") => (*one).to_owned(),
        _ => panic!("not one question: {sent}"),
    }
}

/// A result of the page that was asked for.
pub(super) fn result(question: &str, id: &str) -> String {
    archived(attribute(question, "queryid"), id, id)
}

pub(super) fn ends(peer: &mut Peer, question: &str, complete: bool, ids: &[&str]) {
    peer.say(&fin(attribute(question, "id"), complete, ids));
}

/// Answers with a page of these.
pub(super) fn gives(peer: &mut Peer, question: &str, complete: bool, ids: &[&str]) {
    for id in ids {
        peer.say(&result(question, id));
    }
    ends(peer, question, complete, ids);
}

fn refuses(peer: &mut Peer, question: &str, condition: &str, kind: &str) {
    peer.say(&failure(attribute(question, "id"), condition, kind));
}

/// What a fetch gave, and how it ended.
#[track_caller]
pub(super) fn fetched(peer: &mut Peer) -> (Vec<Message>, FetchEvent) {
    let (mut messages, mut end) = (Vec::new(), None);
    for event in peer.events() {
        match event {
            Event::Fetch { event, .. } => match event {
                FetchEvent::Page(page) => messages.extend(page),
                other => assert_eq!(end.replace(other), None, "one end"),
            },
            other => panic!("{other:?}"),
        }
    }
    (messages, end.expect("an end"))
}

/// The bodies of a fetch that ended well, and where it goes on.
#[track_caller]
pub(super) fn done(peer: &mut Peer) -> (Vec<String>, String, bool) {
    match fetched(peer) {
        (messages, FetchEvent::Done { next, complete, .. }) => {
            let bodies = messages.into_iter().map(|m| m.body).collect();
            (bodies, next.as_str().to_owned(), complete)
        }
        other => panic!("{other:?}"),
    }
}

/// Why a fetch failed that gave nothing.
#[track_caller]
pub(super) fn failed(peer: &mut Peer) -> RequestError {
    match fetched(peer) {
        (messages, FetchEvent::Failed(error)) if messages.is_empty() => error,
        other => panic!("{other:?}"),
    }
}

/// A subscription after `a0`, and its first question.
pub(super) fn following(credit: u32) -> (Peer, String) {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, credit)
        .unwrap();
    let question = question(&mut peer);
    assert!(question.contains("<after>a0</after>"), "{question}");
    (peer, question)
}

/// The next question to the archive, with whatever time passes until then.
#[track_caller]
pub(super) fn next_question(peer: &mut Peer) -> String {
    for _ in 0..1000 {
        let sent = peer.heard();
        answer_pings(peer, &sent);
        let all = requests(&sent);
        if let Some(question) = all.iter().find(|r| r.contains("urn:xmpp:mam:2")) {
            return (*question).to_owned();
        }
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    panic!("nothing is asked");
}

/// What those who follow were told, in words.
pub(super) fn told(peer: &mut Peer) -> Vec<String> {
    let entries = peer.events().into_iter().filter_map(|event| match event {
        Event::Entry { entry, .. } => Some(entry),
        _ => None,
    });
    entries
        .filter_map(|entry| match entry {
            Entry::Message(message) => Some(message.body),
            Entry::Late(message) => Some(format!("late {}", message.body)),
            Entry::CaughtUp { at } => Some(format!("caught up {}", at.unwrap())),
            Entry::Gap { reason, .. } => Some(format!("gap {reason:?}")),
            Entry::Confirmed { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn q01_results_count_only_from_the_archive_that_was_asked() {
    let (mut peer, _, question) = newest();
    let forged = result(&question, "forged");
    let from = format!("from='{ROOM}'");
    for other in [
        "from='evil@parley.local'",
        "from='parley.local'",
        "from='evil@muc.parley.local'",
        &format!("from='{ROOM}/bob'"),
        "from='alice@parley.local'",
        "",
    ] {
        peer.say(&forged.replacen(&from, other, 1));
        let end = fin(attribute(&question, "id"), true, &["forged"]);
        peer.say(&end.replace(&from, other));
    }
    assert_eq!(peer.events(), []);
    gives(&mut peer, &question, true, &["a1"]);
    assert_eq!(done(&mut peer).0, ["a1"]);
}

#[test]
fn q02_results_count_only_under_the_id_of_the_page() {
    let (mut peer, _, first) = all(4);
    let id = attribute(&first, "queryid").to_owned();
    assert!(id.len() >= 22, "128 bits: {id}");
    let right = format!(" queryid='{id}'");
    peer.say(&result(&first, "forged").replace(&right, ""));
    peer.say(&archived("guessed", "forged", "forged"));
    gives(&mut peer, &first, false, &["a1"]);
    let second = question(&mut peer);
    assert_ne!(attribute(&second, "queryid"), id, "one for each page");
    peer.say(&result(&first, "stale"));
    gives(&mut peer, &second, true, &["a2"]);
    assert_eq!(done(&mut peer).0, ["a1", "a2"]);
}

#[test]
fn q03_an_id_counts_once() {
    let (mut peer, _, first) = all(9);
    peer.say(&archived(attribute(&first, "queryid"), "a1", "first"));
    peer.say(&archived(attribute(&first, "queryid"), "a1", "again"));
    peer.say(&result(&first, "a2"));
    ends(&mut peer, &first, false, &["a1", "a2"]);
    // The next page begins with what the last one ended with.
    let second = question(&mut peer);
    gives(&mut peer, &second, true, &["a2", "a3"]);
    assert_eq!(done(&mut peer).0, ["first", "a2", "a3"]);
}

#[test]
fn q04_a_page_that_is_not_what_its_end_says_is_none() {
    // In the order of the wire, whatever the ids look like.
    let (mut peer, _, page) = all(9);
    gives(&mut peer, &page, true, &["z9", "a1", "m5"]);
    assert_eq!(
        done(&mut peer),
        (
            ["z9", "a1", "m5"].map(String::from).into(),
            "m5".into(),
            true
        )
    );
    // Swapped ends: asked again, not for ever.
    let (mut peer, _, mut page) = all(9);
    for round in 0.. {
        peer.say(&result(&page, "a1"));
        peer.say(&result(&page, "a2"));
        ends(&mut peer, &page, true, &["a2", "a1"]);
        if round == 2 {
            break;
        }
        assert_eq!(peer.events(), []);
        page = question(&mut peer);
    }
    assert!(matches!(failed(&mut peer), RequestError::Inconsistent(_)));
    assert_eq!(peer.heard(), "");
}

#[test]
fn q05_results_belong_to_a_page_until_it_ends() {
    let (mut peer, _, page) = all(9);
    // The end comes first: the page has a hole, and is asked for again.
    ends(&mut peer, &page, true, &["a1", "a2"]);
    peer.say(&result(&page, "a1"));
    peer.say(&result(&page, "a2"));
    assert_eq!(peer.events(), []);
    let page = question(&mut peer);
    gives(&mut peer, &page, true, &["a1", "a2"]);
    assert_eq!(done(&mut peer).0, ["a1", "a2"]);
    peer.say(&result(&page, "a3"));
    assert_eq!(peer.events(), []);
}

/// More than was asked for is cut, and what is left of the page is checked all the same.
#[test]
fn q05_a_page_too_full_hides_no_hole() {
    // Forward the first that is told has to be there, backward the last.
    let (mut peer, _, page) = all(2);
    for id in ["a1", "a2", "a3"] {
        peer.say(&result(&page, id));
    }
    ends(&mut peer, &page, false, &["a0", "a3"]);
    assert_eq!(peer.events(), []);
    let page = question(&mut peer);
    gives(&mut peer, &page, false, &["a0", "a1", "a2"]);
    assert_eq!(done(&mut peer).0, ["a0", "a1"]);
    let (mut peer, _, page) = fetching(Fetch::newest(2));
    for id in ["a1", "a2", "a3"] {
        peer.say(&result(&page, id));
    }
    ends(&mut peer, &page, false, &["a1", "a4"]);
    assert_eq!(peer.events(), []);
    let page = question(&mut peer);
    gives(&mut peer, &page, false, &["a2", "a3", "a4"]);
    assert_eq!(done(&mut peer).0, ["a3", "a4"]);
    // An item that comes twice does not make a page too full.
    let (mut peer, _, page) = all(2);
    for id in ["a1", "a2", "a2"] {
        peer.say(&result(&page, id));
    }
    ends(&mut peer, &page, false, &["a0", "a2"]);
    assert_eq!(peer.events(), []);
    question(&mut peer);
}

#[test]
fn q06_an_end_need_not_say_what_it_ends_with() {
    let (mut peer, _, page) = newest();
    ends(&mut peer, &page, true, &[]);
    assert_eq!(done(&mut peer), (vec![], String::new(), true));
    let (mut peer, _, page) = newest();
    peer.say(&result(&page, "a1"));
    peer.say(&result(&page, "a2"));
    ends(&mut peer, &page, true, &[]);
    assert_eq!(done(&mut peer).1, "a2");
}

/// A fetch after an id that the archive is not known to have; nothing is made up for it.
fn doubted(since: &str) -> (Peer, String) {
    let mut config = config();
    config.timing.settle = Duration::ZERO;
    config.anchor_at_join = false;
    let mut peer = Peer::online(config);
    peer.shows = false;
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let fetch = Fetch::since(Cursor::parse(since).unwrap(), 10);
    peer.engine.fetch(peer.now, room, fetch).unwrap();
    let page = question(&mut peer);
    assert!(
        page.contains(&format!("<before>{since}</before>")),
        "{page}"
    );
    (peer, page)
}

fn expired(oldest: &str) -> RequestError {
    RequestError::CursorExpired {
        oldest: ArchiveId::new(oldest),
    }
}

#[test]
fn q09_an_item_that_is_not_found_is_told_from_a_room_that_is_not() {
    let (mut peer, page) = doubted("gone");
    refuses(&mut peer, &page, "item-not-found", "modify");
    let page = question(&mut peer);
    assert!(!page.contains("<after"), "{page}");
    gives(&mut peer, &page, false, &["a9"]);
    assert_eq!(failed(&mut peer), expired("a9"));

    let (mut peer, page) = doubted("gone");
    refuses(&mut peer, &page, "item-not-found", "cancel");
    let page = question(&mut peer);
    refuses(&mut peer, &page, "item-not-found", "cancel");
    assert_eq!(failed(&mut peer), RequestError::NoSuchRoom);
}

#[test]
fn q10_a_cursor_that_is_ignored_in_silence_is_not_believed() {
    // Answered with everything, as if it were less than all ids.
    let (mut peer, page) = doubted("00000000-0000-4000-8000-000000000000");
    gives(&mut peer, &page, true, &[]);
    let page = question(&mut peer);
    gives(&mut peer, &page, true, &["a1", "a2", "a3"]);
    assert_eq!(failed(&mut peer), expired("a1"));
    // With nothing, as if it were greater.
    let (mut peer, page) = doubted("00000000-0000-4000-8000-000000000000");
    gives(&mut peer, &page, false, &["a9"]);
    let page = question(&mut peer);
    gives(&mut peer, &page, true, &[]);
    let page = question(&mut peer);
    gives(&mut peer, &page, false, &["a1"]);
    assert_eq!(failed(&mut peer), expired("a1"));
    // And one that the archive says is no id of its own.
    let (mut peer, page) = doubted("not an id");
    refuses(&mut peer, &page, "bad-request", "modify");
    let page = question(&mut peer);
    gives(&mut peer, &page, false, &["a1"]);
    assert_eq!(failed(&mut peer), RequestError::CursorForeign);
}

#[test]
fn q11_from_the_beginning_is_to_ask_for_no_place() {
    let (peer, _, page) = all(10);
    assert!(
        !page.contains("<after") && !page.contains("<before"),
        "{page}"
    );
    drop(peer);
    assert_eq!(Cursor::parse(""), Some(Cursor::Beginning));
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 10).unwrap();
    let page = question(&mut peer);
    assert!(!page.contains("<after"), "{page}");
}

#[test]
fn q12_an_archive_that_lags_is_waited_for_and_not_for_ever() {
    let (mut peer, page) = following(100);
    peer.say(&message("bob", "a2", "a2"));
    ends(&mut peer, &page, true, &[]);
    assert_eq!(told(&mut peer), [""; 0], "a1 may be on its way");
    let page = next_question(&mut peer);
    gives(&mut peer, &page, true, &["a1", "a2"]);
    assert_eq!(told(&mut peer), ["a1", "a2", "caught up a2"]);

    let (mut peer, mut page) = following(100);
    let began = peer.now;
    peer.say(&message("bob", "a2", "a2"));
    let told = loop {
        ends(&mut peer, &page, true, &[]);
        let told = told(&mut peer);
        if !told.is_empty() {
            break told;
        }
        page = next_question(&mut peer);
    };
    assert_eq!(told, ["gap Unsettled", "caught up a0", "a2"]);
    assert!(peer.now.since(began) < Duration::from_secs(6));
}

#[test]
fn q13_what_may_still_change_is_told_and_not_confirmed() {
    let unstable = |peer: &mut Peer, page: &str| {
        peer.say(&result(page, "a1"));
        let end = fin(attribute(page, "id"), true, &["a1"]);
        peer.say(&end.replace("complete='true'", "complete='true' stable='false'"));
    };
    let (mut peer, page) = following(100);
    unstable(&mut peer, &page);
    assert_eq!(told(&mut peer), ["a1", "caught up a1"]);
    for _ in 0..3 {
        let page = next_question(&mut peer);
        unstable(&mut peer, &page);
        // Neither again, nor as what is sure.
        assert_eq!(peer.events(), []);
    }
    let mut confirmed = false;
    for _ in 0..3 {
        let page = next_question(&mut peer);
        gives(&mut peer, &page, true, &["a1"]);
        let sure = |event: &Event| matches!(event, Event::Entry { entry: Entry::Confirmed { at }, .. } if at.as_str() == "a1");
        confirmed |= peer.events().iter().any(sure);
    }
    assert!(confirmed);
}

/// A fetch has one end only, and says with it what it is worth.
#[test]
fn q13_a_fetch_tells_what_may_still_change() {
    for (word, sure) in [
        ("", true),
        (" stable='true'", true),
        (" stable='false'", false),
    ] {
        let (mut peer, _, page) = all(9);
        peer.say(&result(&page, "a1"));
        let end = fin(attribute(&page, "id"), false, &["a1"]);
        peer.say(&end.replace(" complete='false'", &format!(" complete='false'{word}")));
        let page = question(&mut peer);
        gives(&mut peer, &page, true, &["a2"]);
        match fetched(&mut peer).1 {
            FetchEvent::Done { stable, .. } => assert_eq!(stable, sure, "{word}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn q14_what_was_removed_is_progress_and_no_message() {
    let empty = |page: &str, id: &str| {
        format!(
            "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{}' id='{id}'>\
             <forwarded xmlns='urn:xmpp:forward:0'/></result></message>",
            attribute(page, "queryid")
        )
    };
    let (mut peer, _, page) = all(9);
    for id in ["a1", "a2"] {
        peer.say(&empty(&page, id));
    }
    ends(&mut peer, &page, false, &["a1", "a2"]);
    let page = question(&mut peer);
    assert!(page.contains("<after>a2</after>"), "{page}");
    // As somebody's placeholder has it: a message without a body.
    let placeholder = result(&page, "a3").replace("<body>a3</body>", "<retracted xmlns='u'/>");
    peer.say(&placeholder);
    peer.say(&result(&page, "a4"));
    ends(&mut peer, &page, true, &["a3", "a4"]);
    assert_eq!(done(&mut peer), (vec!["a4".into()], "a4".into(), true));
}

#[test]
fn q15_a_stamp_is_the_archives_and_a_time_or_none() {
    let good = "stamp='2026-11-21T09:00:00Z'";
    let (mut peer, _, page) = all(99);
    let inner =
        "<delay xmlns='urn:xmpp:delay' stamp='1999-01-01T00:00:00Z'/></message></forwarded>";
    peer.say(&result(&page, "a1").replace("</message></forwarded>", inner));
    let mut ids = vec!["a1"];
    let bad = [
        ("a2", "stamp='-0001-01-01T00:00:00Z'"),
        ("a3", "stamp='1000000-01-01T00:00:00Z'"),
        ("a4", "stamp='2026-11-21T24:00:00Z'"),
        ("a5", "stamp='2026-02-30T00:00:00Z'"),
        ("a6", "stamp='&#x9b;2J'"),
        ("a7", ""),
    ];
    for (id, stamp) in bad {
        peer.say(&result(&page, id).replace(good, stamp));
        ids.push(id);
    }
    // Of several, the first; one that is no time is not replaced by the next.
    let delay = |stamp: &str| format!("<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>");
    let (later, never) = (delay("2030-01-01T00:00:00Z"), delay("never"));
    let first = delay("2026-11-21T09:00:00Z");
    let said = result(&page, "a8");
    assert!(said.contains(&first), "{said}");
    peer.say(&said.replace(&first, &format!("{first}{later}{never}")));
    peer.say(&result(&page, "a9").replace(&first, &format!("{never}{first}")));
    ids.extend(["a8", "a9"]);
    ends(&mut peer, &page, true, &ids);
    let (messages, _) = fetched(&mut peer);
    let stamps: Vec<_> = messages.iter().map(|m| m.stamp.as_deref()).collect();
    assert_eq!(stamps[0], Some("2026-11-21T09:00:00Z"));
    assert_eq!(stamps[1..7], [None; 6]);
    assert_eq!(stamps[7..], [Some("2026-11-21T09:00:00Z"), None]);
}

#[test]
fn q16_what_was_not_said_in_the_room_is_not_of_the_room() {
    let (mut peer, _, page) = all(99);
    let said = format!("from='{ROOM}/bob' type='groupchat'");
    let foreign = [
        (
            "a1",
            "from='evil@muc.parley.local/bob' type='groupchat'".to_owned(),
        ),
        (
            "a2",
            "from='mallory@parley.local/x' type='groupchat'".to_owned(),
        ),
        ("a3", format!("from='{ROOM}' type='groupchat'")),
        ("a4", format!("from='{ROOM}/bob' type='chat'")),
        ("a5", format!("from='{ROOM}/bob'")),
        ("a6", "type='groupchat'".to_owned()),
        ("a6-2", format!("from='{ROOM}/' type='groupchat'")),
        (
            "a6-3",
            format!("from='{ROOM}/{}' type='groupchat'", "x".repeat(1024)),
        ),
    ];
    let mut ids = Vec::new();
    for (id, from) in &foreign {
        peer.say(&result(&page, id).replace(&said, from));
        ids.push(*id);
    }
    peer.say(&result(&page, "a7"));
    ids.push("a7");
    ends(&mut peer, &page, true, &ids);
    assert_eq!(done(&mut peer), (vec!["a7".into()], "a7".into(), true));
}

#[test]
fn q17_what_is_forwarded_within_is_not_looked_at() {
    let (mut peer, _, page) = all(99);
    let nested =
        result(&page, "forged").replacen("<message ", "<message xmlns='jabber:client' ", 1);
    let inner = format!("{nested}</message></forwarded>");
    peer.say(&result(&page, "a1").replace("</message></forwarded>", &inner));
    // A result that holds another and nothing else: nothing is left of it.
    let within = format!("<forwarded xmlns='urn:xmpp:forward:0'>{nested}</forwarded>");
    let shell = result(&page, "a2");
    let (head, _) = shell.split_once("<forwarded").unwrap();
    peer.say(&format!("{head}{within}</result></message>"));
    ends(&mut peer, &page, true, &["a1", "a2"]);
    assert_eq!(done(&mut peer).0, ["a1"]);
}

#[test]
fn q18_an_archive_that_refuses_is_told_and_what_is_said_goes_on() {
    for (condition, kind) in [
        ("forbidden", "auth"),
        ("not-allowed", "cancel"),
        ("policy-violation", "cancel"),
        ("internal-server-error", "cancel"),
        ("resource-constraint", "wait"),
        ("feature-not-implemented", "cancel"),
        ("service-unavailable", "cancel"),
    ] {
        let (mut peer, _, page) = newest();
        refuses(&mut peer, &page, condition, kind);
        let missing = ["feature-not-implemented", "service-unavailable"].contains(&condition);
        match failed(&mut peer) {
            RequestError::ArchiveUnsupported => assert!(missing, "{condition}"),
            RequestError::Refused(error) => {
                assert_eq!(error.condition, Condition::from_wire(condition));
            }
            other => panic!("{condition}: {other:?}"),
        }
        // Who follows is told that something may be missing, and what is said now.
        let (mut peer, mut page) = following(100);
        peer.say(&message("bob", "a9", "live"));
        let mut all = Vec::new();
        for _ in 0..20 {
            refuses(&mut peer, &page, condition, kind);
            all.extend(told(&mut peer));
            if all.iter().any(|entry| entry == "live") {
                break;
            }
            page = next_question(&mut peer);
        }
        let gap = all.first().is_some_and(|first| first.starts_with("gap "));
        assert!(gap, "{condition}: {all:?}, {page}");
        assert_eq!(
            all.last().map(String::as_str),
            Some("live"),
            "{condition}: {all:?}"
        );
    }
}

#[test]
fn q19_what_the_archive_puts_behind_us_comes_late_and_once() {
    let (mut peer, page) = following(100);
    ends(&mut peer, &page, true, &[]);
    peer.say(&message("bob", "a5", "a5"));
    assert_eq!(told(&mut peer), ["caught up a0", "a5"]);
    // The clock of the server went back: a message of now has an older place.
    for round in 0..3 {
        let page = next_question(&mut peer);
        gives(&mut peer, &page, true, &["a3", "a5"]);
        let due: &[&str] = if round == 0 { &["late a3"] } else { &[] };
        assert_eq!(told(&mut peer), due, "{round}");
    }
    // An id that was given before is no other message.
    peer.say(&message("bob", "a3", "another"));
    assert_eq!(told(&mut peer), [""; 0]);
}

#[test]
fn q22_what_an_archive_let_go_of_is_a_gap() {
    let mut config = config();
    config.timing.settle = Duration::ZERO;
    config.anchor_at_join = false;
    let mut peer = Peer::online(config);
    peer.shows = false;
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let start = Start::Cursor(Cursor::parse("last week").unwrap());
    peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    let page = question(&mut peer);
    refuses(&mut peer, &page, "item-not-found", "modify");
    for _ in 0..2 {
        let page = question(&mut peer);
        assert!(!page.contains("<after"), "{page}");
        gives(&mut peer, &page, true, &["a9"]);
    }
    let told = told(&mut peer);
    let gap = format!("gap {:?}", GapReason::CursorExpired);
    assert_eq!(told, [gap.as_str(), "a9", "caught up a9"]);
}
