//! A cursor that the archive no longer knows is never taken for "nothing new", nor for
//! "everything is new", whatever the archive answers (reports Q3, Q4, Q9, Q10).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod peer;

use std::time::Duration;

use parley_xmpp::{
    ArchiveId, Cursor, Entry, Event, Fetch, FetchEvent, GapReason, RequestError, RoomId, Start,
};
use peer::{Peer, ROOM, ROOM_FEATURES, archived, attribute, config, fin, message};
use proptest::prelude::*;

/// In a room whose archive does not lag: what it does not show is not there.
fn in_room() -> (Peer, RoomId) {
    in_room_that_lags(Duration::ZERO)
}

/// In a room whose archive may show what was said so much later.
fn in_room_that_lags(settle: Duration) -> (Peer, RoomId) {
    let mut config = config();
    config.timing.settle = settle;
    let mut peer = Peer::online(config);
    peer.shows = false;
    let room = peer.join(ROOM_FEATURES);
    // Where the archive ends is asked with the join: that is for posts.
    peer.heard();
    peer.events();
    (peer, room)
}

fn cursor(id: &str) -> Cursor {
    Cursor::parse(id).unwrap()
}

fn expired(oldest: &str) -> RequestError {
    RequestError::CursorExpired {
        oldest: ArchiveId::new(oldest),
    }
}

/// The only question since last time, which asks for a page there.
#[track_caller]
fn asked(peer: &mut Peer, where_from: &str) -> String {
    let query = peer.heard();
    assert_eq!(query.matches("<iq ").count(), 1, "{query}");
    let set = &query[query.find("</max>").expect("a page") + 6..];
    let set = &set[..set.find("</set>").unwrap()];
    assert_eq!(set, where_from, "{query}");
    query
}

fn gives(peer: &mut Peer, query: &str, complete: bool, ids: &[&str]) {
    for id in ids {
        peer.say(&archived(attribute(query, "queryid"), id, id));
    }
    peer.say(&fin(attribute(query, "id"), complete, ids));
}

fn refuses(peer: &mut Peer, query: &str, condition: &str, kind: &str) {
    peer.say(&format!(
        "<iq type='error' id='{}' from='{ROOM}'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        attribute(query, "id")
    ));
}

/// What a fetch gave, and how it ended, if it did.
fn fetched(peer: &mut Peer) -> (Vec<String>, Option<FetchEvent>) {
    let (mut found, mut end) = (Vec::new(), None);
    for event in peer.events() {
        match event {
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => found.extend(page.into_iter().map(|m| m.body)),
            Event::Fetch { event, .. } => assert_eq!(end.replace(event), None, "one outcome"),
            _ => {}
        }
    }
    (found, end)
}

fn failed(error: RequestError) -> (Vec<String>, Option<FetchEvent>) {
    (Vec::new(), Some(FetchEvent::Failed(error)))
}

fn fetching(since: &str) -> (Peer, String) {
    let (mut peer, room) = in_room();
    let fetch = Fetch::since(cursor(since), 10);
    peer.engine.fetch(peer.now, room, fetch).unwrap();
    let query = asked(&mut peer, &format!("<before>{since}</before>"));
    assert!(query.contains("<max>1</max>"), "{query}");
    (peer, query)
}

#[test]
fn a_cursor_counts_once_the_archive_shows_it() {
    let (mut peer, query) = fetching("a5");
    gives(&mut peer, &query, false, &["a4"]);
    let query = asked(&mut peer, "<after>a4</after>");
    gives(&mut peer, &query, true, &["a5", "a6", "a7"]);
    let (found, end) = fetched(&mut peer);
    assert_eq!(found, ["a6", "a7"], "not what it stands on");
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true, .. }) if next.as_str() == "a7")
    );
}

#[test]
fn the_oldest_of_all_has_nothing_before_it() {
    let (mut peer, query) = fetching("a1");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a1"]);
    let (found, end) = fetched(&mut peer);
    assert!(found.is_empty());
    assert!(
        matches!(end, Some(FetchEvent::Done { next, complete: true, .. }) if next.as_str() == "a1")
    );
}

#[test]
fn q09_item_not_found_is_the_cursor_s_or_the_room_s() {
    // As Prosody and MongooseIM answer.
    let (mut peer, query) = fetching("gone");
    refuses(&mut peer, &query, "item-not-found", "modify");
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, false, &["a9"]);
    assert_eq!(fetched(&mut peer), failed(expired("a9")));

    let (mut peer, query) = fetching("gone");
    refuses(&mut peer, &query, "item-not-found", "cancel");
    let query = asked(&mut peer, "");
    refuses(&mut peer, &query, "item-not-found", "cancel");
    assert_eq!(fetched(&mut peer), failed(RequestError::NoSuchRoom));

    let (mut peer, query) = fetching("gone");
    refuses(&mut peer, &query, "item-not-found", "modify");
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &[]);
    assert_eq!(fetched(&mut peer), failed(expired("")), "nothing is left");
}

#[test]
fn q10_an_empty_page_after_a_longer_id_is_not_nothing_new() {
    // As ejabberd answers: it is greater than all.
    let (mut peer, query) = fetching("00000000-0000-4000-8000-000000000000");
    gives(&mut peer, &query, false, &["a9"]);
    let query = asked(&mut peer, "<after>a9</after>");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, false, &["a1"]);
    assert_eq!(fetched(&mut peer), failed(expired("a1")));
}

#[test]
fn q10_the_whole_archive_after_a_shorter_id_is_not_all_new() {
    // As ejabberd answers: it is less than all; and so is one that it let go of.
    let (mut peer, query) = fetching("-5");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a1", "a2", "a3"]);
    assert_eq!(fetched(&mut peer), failed(expired("a1")));
}

#[test]
fn what_the_archive_says_is_no_id_is_foreign() {
    let (mut peer, query) = fetching("not an id");
    refuses(&mut peer, &query, "bad-request", "modify");
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, false, &["a1"]);
    assert_eq!(fetched(&mut peer), failed(RequestError::CursorForeign));
}

#[test]
fn who_may_not_read_is_told_that_and_nothing_else() {
    let (mut peer, query) = fetching("a5");
    refuses(&mut peer, &query, "forbidden", "auth");
    let (found, end) = fetched(&mut peer);
    assert!(found.is_empty());
    assert!(
        matches!(&end, Some(FetchEvent::Failed(RequestError::Refused(error))) if error.condition == parley_xmpp::Condition::Forbidden),
        "{end:?}"
    );
    assert_eq!(peer.heard(), "");

    let (mut peer, query) = fetching("a5");
    refuses(&mut peer, &query, "feature-not-implemented", "cancel");
    assert_eq!(fetched(&mut peer), failed(RequestError::ArchiveUnsupported));
}

#[test]
fn q08_an_archive_that_ignores_where_from_contradicts_itself() {
    let (mut peer, query) = fetching("a5");
    gives(&mut peer, &query, false, &["a2"]);
    for _ in 0..3 {
        let query = asked(&mut peer, "<after>a2</after>");
        gives(&mut peer, &query, false, &["a1", "a2"]);
    }
    let end = fetched(&mut peer).1;
    assert!(
        matches!(end, Some(FetchEvent::Failed(RequestError::Inconsistent(_)))),
        "{end:?}"
    );
}

#[test]
fn a_predecessor_that_goes_between_two_questions_is_looked_for_once_more() {
    let (mut peer, query) = fetching("a5");
    gives(&mut peer, &query, false, &["a4"]);
    let query = asked(&mut peer, "<after>a4</after>");
    refuses(&mut peer, &query, "item-not-found", "modify");
    let query = asked(&mut peer, "<before>a5</before>");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a5", "a6"]);
    assert_eq!(fetched(&mut peer).0, ["a6"]);
}

#[test]
fn what_an_earlier_fetch_saw_saves_the_question() {
    let (mut peer, room) = in_room();
    peer.engine.fetch(peer.now, room, Fetch::newest(3)).unwrap();
    let query = asked(&mut peer, "<before/>");
    gives(&mut peer, &query, true, &["a1", "a2", "a3"]);
    fetched(&mut peer);
    let since = |peer: &mut Peer| {
        let fetch = Fetch::since(cursor("a3"), 10);
        peer.engine.fetch(peer.now, room, fetch).unwrap();
        let query = asked(peer, "<after>a2</after>");
        assert!(query.contains("<max>11</max>"), "{query}");
        query
    };
    let query = since(&mut peer);
    gives(&mut peer, &query, true, &["a3", "a4"]);
    assert_eq!(fetched(&mut peer).0, ["a4"]);
    // What was not there before comes before what was asked for: it is no news.
    let query = since(&mut peer);
    gives(&mut peer, &query, true, &["late", "a3", "a4"]);
    assert_eq!(fetched(&mut peer).0, ["a4"]);
    // A hint that is wrong, or no more than a hint, costs one question.
    let query = since(&mut peer);
    gives(&mut peer, &query, true, &["a4"]);
    let query = asked(&mut peer, "<before>a3</before>");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a4"]);
    assert_eq!(fetched(&mut peer), failed(expired("a4")));
}

fn told(peer: &mut Peer) -> Vec<String> {
    let entries = peer.events().into_iter().filter_map(|event| match event {
        Event::Entry { entry, .. } => Some(entry),
        _ => None,
    });
    let told = entries.map(|entry| match entry {
        Entry::Message(message) => message.body,
        Entry::Late(message) => format!("late {}", message.body),
        Entry::CaughtUp { at } => format!("caught up {}", at.unwrap()),
        Entry::Gap {
            after,
            reason: GapReason::CursorExpired,
        } => format!("gap {}", after.unwrap()),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn a_subscription_whose_cursor_is_gone_says_so_and_goes_on_from_the_oldest() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(cursor("a1"));
    peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    let query = asked(&mut peer, "<before>a1</before>");
    gives(&mut peer, &query, true, &[]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a8", "a9"]);
    assert_eq!(told(&mut peer), ["gap a1"]);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a8", "a9"]);
    assert_eq!(told(&mut peer), ["a8", "a9", "caught up a9"]);
}

/// Lets time pass up to what is due next.
fn turn(peer: &mut Peer) {
    let deadline = peer.engine.wants().deadline.expect("a deadline");
    peer.now = peer.now.max(deadline.at);
    peer.engine.handle_timeout(peer.now);
}

const SETTLE: Duration = Duration::from_secs(5);

/// Answers as an archive that ends with `a4`, of what begins with `a1`, to who asks for `a5`.
fn shows_no_a5(peer: &mut Peer) {
    let query = asked(peer, "<before>a5</before>");
    gives(peer, &query, false, &["a4"]);
    let query = asked(peer, "<after>a4</after>");
    gives(peer, &query, true, &[]);
    let query = asked(peer, "");
    gives(peer, &query, false, &["a1"]);
}

#[test]
fn a_cursor_that_the_archive_shows_a_while_later_is_not_gone() {
    let (mut peer, room) = in_room_that_lags(SETTLE);
    let fetch = Fetch::since(cursor("a5"), 10);
    peer.engine.fetch(peer.now, room, fetch).unwrap();
    for _ in 0..2 {
        shows_no_a5(&mut peer);
        assert_eq!(fetched(&mut peer), (vec![], None));
        assert_eq!(peer.heard(), "", "not at once");
        turn(&mut peer);
    }
    let query = asked(&mut peer, "<before>a5</before>");
    gives(&mut peer, &query, false, &["a4"]);
    let query = asked(&mut peer, "<after>a4</after>");
    gives(&mut peer, &query, true, &["a5", "a6"]);
    let (found, end) = fetched(&mut peer);
    assert_eq!(found, ["a6"]);
    assert!(matches!(end, Some(FetchEvent::Done { complete: true, .. })));
}

#[test]
fn a_cursor_that_the_archive_does_not_show_in_time_is_gone() {
    let (mut peer, room) = in_room_that_lags(SETTLE);
    let fetch = Fetch::since(cursor("a5"), 10);
    let since = peer.now;
    peer.engine.fetch(since, room, fetch).unwrap();
    loop {
        shows_no_a5(&mut peer);
        match fetched(&mut peer) {
            (found, None) => assert!(found.is_empty() && peer.now < since.plus(SETTLE)),
            end => break assert_eq!(end, failed(expired("a1"))),
        }
        turn(&mut peer);
    }
    assert!(peer.now >= since.plus(SETTLE), "{:?}", peer.now);
}

#[test]
fn a_subscription_looks_for_its_cursor_as_long() {
    let (mut peer, room) = in_room_that_lags(SETTLE);
    let start = Start::Cursor(cursor("a5"));
    let since = peer.now;
    peer.engine.subscribe(since, room, start, 100).unwrap();
    loop {
        shows_no_a5(&mut peer);
        let told = told(&mut peer);
        if !told.is_empty() {
            break assert_eq!(told, ["gap a5"]);
        }
        assert!(peer.now < since.plus(SETTLE), "{:?}", peer.now);
        turn(&mut peer);
    }
    assert!(peer.now >= since.plus(SETTLE), "{:?}", peer.now);
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a1", "a4"]);
    assert_eq!(told(&mut peer), ["a1", "a4", "caught up a4"]);
}

#[test]
fn what_came_late_before_the_cursor_is_told_when_it_is_seen() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    let query = asked(&mut peer, "");
    gives(&mut peer, &query, true, &["a1"]);
    peer.say(&message("bob", "a3", "a3"));
    assert_eq!(told(&mut peer), ["a1", "caught up a1", "a3"]);
    // The room drops us and lets us in again.
    peer.say(
        &peer::presence("ada", "<status code='110'/><status code='333'/>")
            .replace("<presence ", "<presence type='unavailable' "),
    );
    let deadline = peer.engine.wants().deadline.expect("to come back");
    peer.now = peer.now.max(deadline.at);
    peer.engine.handle_timeout(peer.now);
    peer.let_in("ada", ROOM_FEATURES);
    let query = asked(&mut peer, "<after>a1</after>");
    gives(&mut peer, &query, true, &["a2", "a3", "a4"]);
    assert_eq!(told(&mut peer), ["late a2", "a4", "caught up a4"]);
}

// ---- where a subscription falls back to ------------------------------------

/// Who follows the room from `a0` on, and the archive that it is served from.
struct Follower {
    peer: Peer,
    archive: Vec<&'static str>,
    /// Where the questions asked for pages, since they were looked at last.
    asked: Vec<String>,
}

impl Follower {
    fn new(archive: &[&'static str], start: Start, settle: Duration) -> Self {
        let mut config = config();
        config.timing.settle = settle;
        let mut peer = Peer::online(config);
        peer.shows = false;
        let room = peer.join(ROOM_FEATURES);
        peer.heard();
        peer.events();
        peer.engine.subscribe(peer.now, room, start, 100).unwrap();
        let archive = archive.to_vec();
        let mut follower = Self {
            peer,
            archive,
            asked: Vec::new(),
        };
        follower.serve();
        follower
    }

    /// Answers all that is asked.
    fn serve(&mut self) {
        loop {
            let written = self.peer.heard();
            let Some(at) = written.find("<query xmlns='urn:xmpp:mam:2'") else {
                return assert!(!written.contains("urn:xmpp:mam:2"), "{written}");
            };
            let query = written[written[..at].rfind("<iq ").unwrap()..].to_owned();
            self.answer(&query);
        }
    }

    fn answer(&mut self, query: &str) {
        let set = &query[query.find("<max>").expect("a page") + 5..];
        let (max, set) = set[..set.find("</set>").unwrap()]
            .split_once("</max>")
            .unwrap();
        let max: usize = max.parse().unwrap();
        self.asked.push(set.to_owned());
        let place = |open: &str| {
            let id = set.strip_prefix(open)?;
            Some(&id[..id.find('<')?])
        };
        let find = |id: &str| self.archive.iter().position(|known| *known == id);
        let range = match (place("<after>"), place("<before>")) {
            (Some(id), _) => find(id).map(|at| at + 1..self.archive.len()),
            (_, Some(id)) => find(id).map(|at| 0..at),
            _ => Some(0..self.archive.len()),
        };
        let Some(range) = range else {
            return refuses(&mut self.peer, query, "item-not-found", "modify");
        };
        let all = &self.archive[range];
        let page = match set.contains("<before") {
            true => &all[all.len().saturating_sub(max)..],
            false => &all[..max.min(all.len())],
        };
        let (complete, page) = (page.len() == all.len(), page.to_vec());
        gives(&mut self.peer, query, complete, &page);
    }

    fn hear(&mut self, id: &'static str) {
        self.archive.push(id);
        self.peer.say(&message("bob", id, id));
    }

    /// Lets time pass up to what is due next, and answers.
    fn go_on(&mut self) {
        turn(&mut self.peer);
        self.serve();
    }

    /// The room drops us, and lets us in again; what was asked then.
    fn come_back(&mut self) -> Vec<String> {
        self.asked.clear();
        self.peer.say(
            &peer::presence("ada", "<status code='110'/><status code='333'/>")
                .replace("<presence ", "<presence type='unavailable' "),
        );
        turn(&mut self.peer);
        self.peer.let_in("ada", ROOM_FEATURES);
        self.serve();
        core::mem::take(&mut self.asked)
    }
}

fn from_a0() -> Start {
    Start::Cursor(cursor("a0"))
}

/// An archive that lost its end, with a backup of some time before: it is read from where all before
/// was compared last, and nothing is told again.
#[test]
fn an_archive_that_lost_its_end_is_read_from_where_the_reader_began() {
    let archive = ["z9", "a0", "a1", "a2", "a3"];
    let mut reader = Follower::new(&archive, from_a0(), Duration::ZERO);
    assert_eq!(told(&mut reader.peer), ["a1", "a2", "a3", "caught up a3"]);
    reader.archive.truncate(3);
    reader.archive.push("b2");
    let asked = reader.come_back();
    let (a3, a0) = ("<before>a3</before>", "<before>a0</before>");
    assert_eq!(
        asked,
        ["<after>a2</after>", a3, "", a0, "<after>z9</after>"]
    );
    assert_eq!(told(&mut reader.peer), ["gap a3", "b2", "caught up b2"]);
}

/// Where that place is gone as well, so is what was delivered after it.
#[test]
fn an_archive_that_knows_neither_place_is_read_from_its_beginning() {
    let archive = ["z9", "a0", "a1", "a2", "a3"];
    let mut reader = Follower::new(&archive, from_a0(), Duration::ZERO);
    told(&mut reader.peer);
    reader.archive = vec!["b1", "b2"];
    let asked = reader.come_back();
    assert_eq!(asked.last().unwrap(), "", "{asked:?}");
    assert_eq!(told(&mut reader.peer), ["gap a3"]);
    // One answer may be wrong: it is looked for twice.
    reader.asked.clear();
    reader.go_on();
    assert_eq!(reader.asked, ["<before>a0</before>", "", ""]);
    assert_eq!(told(&mut reader.peer), ["b1", "b2", "caught up b2"]);
}

/// What all before was compared twice is no older than where the reader stands: of what was told
/// before it, the first that is remembered is the place.
#[test]
fn an_archive_that_lost_what_was_compared_is_read_from_what_is_remembered() {
    let archive = ["z9", "a0", "a1", "a2", "a3"];
    let mut reader = Follower::new(&archive, from_a0(), Duration::ZERO);
    reader.hear("a4");
    told_until_confirmed(&mut reader, "a4");
    reader.archive.truncate(4);
    reader.archive.push("b3");
    let asked = reader.come_back();
    assert_eq!(asked.last().unwrap(), "<after>a0</after>", "{asked:?}");
    assert_eq!(told(&mut reader.peer), ["gap a4", "b3", "caught up b3"]);
}

/// Lets the comparisons come after which this is confirmed.
fn told_until_confirmed(reader: &mut Follower, id: &str) {
    for _ in 0..20 {
        let events = reader.peer.events().into_iter();
        let confirmed = |event: Event| match event {
            Event::Entry {
                entry: Entry::Confirmed { at },
                ..
            } => at == cursor(id),
            _ => false,
        };
        if events.map(confirmed).fold(false, |any, is| any | is) {
            return;
        }
        reader.go_on();
    }
    panic!("never confirmed");
}

// ---- any archive -----------------------------------------------------------

/// How an archive treats an id that it does not know.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It says so, as it must.
    Refuses,
    /// It compares it with its own: the longer one is the greater.
    Compares,
    /// As if none were named.
    Ignores,
}

#[derive(Clone, Debug)]
struct Archive {
    ids: Vec<String>,
    manner: Manner,
    cap: usize,
}

impl Archive {
    /// Where the items after, or from, this one begin; `None` if it says that there is
    /// none such.
    fn place(&self, id: &str, after: bool) -> Option<usize> {
        if let Some(at) = self.ids.iter().position(|known| known == id) {
            return Some(at + usize::from(after));
        }
        let key = |id: &str| (id.len(), id.to_owned());
        match self.manner {
            Manner::Refuses => None,
            Manner::Compares => Some(self.ids.partition_point(|known| key(known) < key(id))),
            Manner::Ignores if after => Some(0),
            Manner::Ignores => Some(self.ids.len()),
        }
    }

    fn answer(&self, peer: &mut Peer, query: &str) {
        let text = |open: &str| {
            let rest = &query[query.find(open)? + open.len()..];
            Some(&rest[..rest.find('<')?])
        };
        let max: usize = text("<max>").unwrap().parse().unwrap();
        let (mut from, mut to) = (0, self.ids.len());
        let max = max.min(self.cap);
        if let Some(id) = text("<after>") {
            match self.place(id, true) {
                Some(at) => from = at,
                None => return refuses(peer, query, "item-not-found", "modify"),
            }
        }
        if let Some(id) = text("<before>") {
            match self.place(id, false) {
                Some(at) => to = at,
                None => return refuses(peer, query, "item-not-found", "modify"),
            }
            from = from.max(to.saturating_sub(max));
        }
        let page: Vec<_> = self.ids[from..to].iter().take(max).collect();
        let complete = match text("<before>") {
            Some(_) => from == 0,
            None => from + page.len() == to,
        };
        let page: Vec<_> = page.into_iter().map(String::as_str).collect();
        gives(peer, query, complete, &page);
    }

    /// Answers until the fetch is over.
    fn serve(&self, peer: &mut Peer) -> (Vec<String>, FetchEvent) {
        let mut all = Vec::new();
        for _ in 0..200 {
            let (found, end) = fetched(peer);
            all.extend(found);
            if let Some(end) = end {
                return (all, end);
            }
            let query = peer.heard();
            assert_eq!(query.matches("<iq ").count(), 1, "{query}");
            self.answer(peer, &query);
        }
        panic!("it asks for ever");
    }
}

const FOREIGN: [&str; 6] = [
    "00000000-0000-4000-8000-000000000000",
    "5",
    "-5",
    "not an id",
    "9999999999999999999",
    "101",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// For any archive, however it treats what it does not know, whatever it lets go of
    /// and wherever the cursor stands: a fetch gives what comes after the cursor,
    /// nothing else, or says that the cursor is gone.
    #[test]
    fn a_fetch_gives_what_comes_after_its_cursor_or_says_that_it_is_gone(
        steps in prop::collection::vec(1..60_u32, 0..25),
        manner in prop_oneof![
            Just(Manner::Refuses), Just(Manner::Compares), Just(Manner::Ignores)
        ],
        cap in 1..8_usize,
        limit in 1..30_u32,
        (old, lost) in (0..26_usize, 0..4_usize),
        pick in any::<prop::sample::Index>(),
        warm in 0..3_u8,
    ) {
        let mut at = 90;
        let ids: Vec<String> = steps
            .iter()
            .map(|step| { at += step * 2; at.to_string() })
            .collect();
        let mut archive = Archive { ids: ids.clone(), manner, cap };
        let (mut peer, room) = in_room();
        // What was read before is remembered, rightly or not.
        let before = match warm {
            0 => None,
            1 => Some(Fetch::newest(limit)),
            _ => Some(Fetch::since(Cursor::Beginning, limit)),
        };
        if let Some(fetch) = before {
            peer.engine.fetch(peer.now, room, fetch).unwrap();
            let (_, end) = archive.serve(&mut peer);
            let done = matches!(end, FetchEvent::Done { .. });
            prop_assert!(done);
        }
        archive.ids.drain(..old.min(ids.len()));
        archive.ids.truncate(archive.ids.len().saturating_sub(lost));

        let all: Vec<&str> = ids.iter().map(String::as_str).chain(FOREIGN).collect();
        let since = all[pick.index(all.len())];
        peer.engine.fetch(peer.now, room, Fetch::since(cursor(since), limit)).unwrap();
        let (found, end) = archive.serve(&mut peer);
        match archive.ids.iter().position(|id| id == since) {
            Some(at) => {
                let after = &archive.ids[at + 1..];
                let wanted = &after[..after.len().min(limit as usize)];
                prop_assert_eq!(&found[..], wanted);
                let last = wanted.last().map_or(since, String::as_str);
                let there = matches!(&end, FetchEvent::Done { next, .. } if next.as_str() == last);
                prop_assert!(there, "{:?}", end);
            }
            None => {
                let oldest = archive.ids.first().and_then(|id| ArchiveId::new(id));
                prop_assert_eq!(found, [""; 0]);
                prop_assert_eq!(
                    end,
                    FetchEvent::Failed(RequestError::CursorExpired { oldest })
                );
            }
        }
    }
}
