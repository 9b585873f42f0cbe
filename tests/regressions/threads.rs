//! What users of other clients reported, as things never to do: one test for each failure that
//! no other test shows. `README.md` beside this file lists every thread and the test that holds
//! it; the last test here sees to it that the list is true.

use crate::peer::{archived, fin, message};
use crate::*;
use parley_xmpp::{Engine, Post, PostOutcome, Retry, Seed, Via};

/// A subscription at the end of an archive whose last item is `a0`.
fn caught_up() -> (Peer, RoomId) {
    caught_up_with(config())
}

fn caught_up_with(config: parley_xmpp::Config) -> (Peer, RoomId) {
    let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine
        .subscribe(peer.now, room, start, 10_000)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.events();
    (peer, room)
}

/// The link breaks, and the engine logs in anew.
fn come_back(peer: &mut Peer) {
    cut(peer);
    until_connect(peer);
    peer.events();
    peer.log_in();
}

/// Let in again, the engine asks the archive.
fn back_in_the_room(peer: &mut Peer) -> String {
    come_back(peer);
    peer.let_in("ada", ROOM_FEATURES);
    query(peer)
}

/// Answers a question to the archive with these messages, the body of each its id.
fn answer(peer: &mut Peer, asked: &str, ids: &[&str], complete: bool) {
    for id in ids {
        peer.say(&archived(query_id(asked), id, id));
    }
    peer.say(&fin(iq(asked), complete, ids));
}

fn after(asked: &str) -> Option<&str> {
    let rest = asked.split("<after>").nth(1)?;
    rest.split('<').next()
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    let ids = messages(entries).into_iter();
    ids.map(|message| message.id.as_ref().expect("an id").as_str())
        .collect()
}

// ---- rooms that were lost --------------------------------------------------

/// 42wim/matterbridge#222, 42wim/matterbridge#1552, 42wim/matterbridge#1758,
/// 42wim/matterbridge#2063, profanity-im/profanity#1120, redsolution/xabber-android#758,
/// iNPUTmice/Conversations#1671, iNPUTmice/Conversations#2983, jappix/jappix#438: connected
/// again, but in no room, and nothing says so. Holds that a new session joins every room of the
/// one before, and that subscriptions go on in it.
#[test]
fn a_bot_that_reconnects_is_not_deaf() {
    let (mut peer, _) = caught_up();
    let mut before: Option<String> = None;
    for round in ["1", "2", "3"] {
        come_back(&mut peer);
        let sent = core::str::from_utf8(peer.engine.wants().write).unwrap();
        assert_eq!(joins(sent).len(), 1, "{sent}");
        peer.let_in("ada", ROOM_FEATURES);
        let asked = query(&mut peer);
        let (missed, live) = (format!("b{round}"), format!("c{round}"));
        // The archive shows what was said live before, or it would be said to be gone.
        let mut page = Vec::from_iter(before.as_deref());
        page.push(missed.as_str());
        answer(&mut peer, &asked, &page, true);
        peer.say(&message("bob", &live, "live"));
        let mut told = entries(peer.events());
        // An audit may come first.
        for _ in 0..20 {
            if ids(&told).len() == 2 {
                break;
            }
            turn(&mut peer);
            let sent = peer.heard();
            for asked in queries(&sent) {
                nothing(&mut peer, asked);
            }
            told.extend(entries(peer.events()));
        }
        assert_eq!(ids(&told), [&missed, &live]);
        before = Some(live);
    }
}

// ---- holes -----------------------------------------------------------------

/// processone/fluux-messenger#534: what is said live while the archive is still read becomes the
/// place to go on from, and the hole before it is forgotten. Holds that the cursor is the last
/// message delivered without a hole.
#[test]
fn a_live_message_during_catch_up_is_no_cursor() {
    let (mut peer, _) = caught_up();
    let asked = back_in_the_room(&mut peer);
    assert_eq!(after(&asked), Some("a0"));
    peer.say(&message("bob", "a9", "live"));
    assert_eq!(entries(peer.events()), [], "held back");
    // Before the archive answers, the link breaks once more.
    let asked = back_in_the_room(&mut peer);
    assert_eq!(after(&asked), Some("a0"));
    answer(&mut peer, &asked, &["a1", "a5", "a9"], true);
    assert_eq!(ids(&entries(peer.events())), ["a1", "a5", "a9"]);
}

/// processone/fluux-messenger#299, zachpmanson/pi-msg#89: after so many pages the reading of what
/// was missed stops, short of the end. Holds that pages are asked for until one is complete.
#[test]
fn a_long_outage_is_read_to_its_end() {
    let (mut peer, _) = caught_up();
    let mut asked = back_in_the_room(&mut peer);
    let mut told = Vec::new();
    let mut expected = Vec::new();
    for page in 0..400 {
        let page: Vec<String> = (0..5).map(|n| format!("p{page}n{n}")).collect();
        let last = expected.last().map_or("a0", String::as_str);
        assert_eq!(after(&asked), Some(last));
        let texts: Vec<_> = page.iter().map(String::as_str).collect();
        let complete = expected.len() == 399 * 5;
        answer(&mut peer, &asked, &texts, complete);
        expected.extend(page);
        told.extend(entries(peer.events()));
        if !complete {
            asked = query(&mut peer);
        }
    }
    assert_eq!(ids(&told), expected);
}

/// processone/fluux-messenger#556: the client's own id of a message is kept as if it was the
/// archive's, and the archive does not know it, for ever. Holds that only a stanza-id of the room
/// is a place in its archive.
#[test]
fn an_id_of_the_clients_own_is_no_cursor() {
    let (mut peer, room) = caught_up();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let sent = peer.heard();
    let own = attribute(&sent, "id").to_owned();
    peer.say(&message("ada", "a5", "hi").replace("m-a5", &own));
    assert!(matches!(
        peer.events()[..],
        [
            Event::Post {
                outcome: PostOutcome::Committed {
                    via: Via::Reflection,
                    ..
                },
                ..
            },
            Event::Entry { .. }
        ] | [Event::Entry { .. }, Event::Post { .. }]
    ));
    // Somebody else's word for a place in the archive counts for nothing either.
    let forged =
        message("bob", "evil", "x").replace(&format!("by='{ROOM}'"), "by='bob@example.org'");
    peer.say(&forged);
    peer.events();
    let asked = back_in_the_room(&mut peer);
    let place = after(&asked).expect("a cursor");
    assert_eq!(place, "a5", "neither {own} nor what was forged");
}

/// The other half of processone/fluux-messenger#556: nothing was kept yet, and so nothing is
/// asked for. Holds that "from the beginning" stays that until something was delivered.
#[test]
fn with_nothing_kept_the_archive_is_read_from_its_beginning() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 100)
        .unwrap();
    assert_eq!(after(&query(&mut peer)), None);
    let asked = back_in_the_room(&mut peer);
    assert_eq!(after(&asked), None);
    assert!(!asked.contains("<before"), "{asked}");
    answer(&mut peer, &asked, &["a1"], true);
    assert_eq!(ids(&entries(peer.events())), ["a1"]);
}

/// processone/fluux-messenger#1019: the newest page is read for a look at it, lands above what was
/// known, and what lies between is never missed. Holds that a fetch moves no subscription.
#[test]
fn the_newest_page_is_no_place_to_go_on_from() {
    let (mut peer, room) = caught_up();
    peer.engine.fetch(peer.now, room, Fetch::newest(2)).unwrap();
    let asked = query(&mut peer);
    assert!(asked.contains("<before"), "{asked}");
    answer(&mut peer, &asked, &["a98", "a99"], false);
    peer.events();
    let asked = back_in_the_room(&mut peer);
    assert_eq!(after(&asked), Some("a0"));
    assert!(!asked.contains("<before"), "{asked}");
}

/// processone/fluux-messenger#1149: the archive is asked before the room has let us in; what is
/// said between its answer and the join is in neither. Holds the order: in the room, then the
/// archive.
#[test]
fn no_archive_is_asked_before_the_join_is_confirmed() {
    // For posts the archive's end is asked for with the join: too early does no harm there.
    let mut config = config();
    config.anchor_at_join = false;
    let (mut peer, _) = caught_up_with(config);
    come_back(&mut peer);
    let sent = peer.heard();
    assert_eq!(joins(&sent).len(), 1);
    assert_eq!(queries(&sent), [""; 0], "before the room answered");
    let disco = requests(&sent).pop().expect("a question").to_owned();
    peer.say(&features(iq(&disco), ROOM_FEATURES));
    let sent = peer.heard();
    assert_eq!(queries(&sent), [""; 0], "before it said that we are in");
    peer.say(&presence("ada", "<status code='110'/>"));
    assert_eq!(after(&query(&mut peer)), Some("a0"));
}

/// iNPUTmice/Conversations#2197, jabbercat/jabbercat#58, zachpmanson/pi-msg#94: what was said while the link was down, and right when it came back, is
/// lost, or thrown away because it carries the stamp of a delay. Holds that all of it is told, once
/// and in order.
#[test]
fn what_is_said_while_we_come_back_is_not_lost() {
    let (mut peer, _) = caught_up();
    come_back(&mut peer);
    let sent = peer.heard();
    assert!(sent.contains("maxstanzas='0'"), "{sent}");
    let disco = requests(&sent).pop().expect("a question").to_owned();
    peer.say(&presence("ada", "<status code='110'/>"));
    // Said while we were let in, with the stamp of a server that held it up.
    let held_up = message("bob", "a3", "a3").replace(
        "</message>",
        "<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T09:00:00Z'/></message>",
    );
    peer.say(&held_up);
    peer.say(&features(iq(&disco), ROOM_FEATURES));
    let asked = query(&mut peer);
    // Those of the archive all carry one.
    answer(&mut peer, &asked, &["a1", "a2", "a3"], true);
    peer.say(&message("bob", "a4", "a4"));
    assert_eq!(ids(&entries(peer.events())), ["a1", "a2", "a3", "a4"]);
}

// ---- storms, half-open links -----------------------------------------------

/// When the next attempt begins, of the only end of a stream that was told.
fn next_attempt(peer: &mut Peer) -> Duration {
    let ends = peer.events().into_iter().filter_map(|event| match event {
        Event::Offline {
            retry: Retry::At(at),
            ..
        } => Some(at.since(peer.now)),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(ends.len(), 1);
    ends[0]
}

/// fritzy/SleekXMPP#216: a load balancer takes each connection and closes it, and since it was
/// taken the pause starts afresh each time. Holds that only a stream that lasts does that.
#[test]
fn a_connection_that_is_taken_does_not_reset_the_backoff() {
    let mut config = config();
    // The budget alone would slow it down as well.
    config.limits.attempts_per_hour = 1_000_000;
    let mut peer = Peer::new(config);
    let mut attempts = 0;
    let start = peer.now;
    let mut longest = Duration::ZERO;
    while peer.now.since(start) < secs(3600) {
        until_connect(&mut peer);
        peer.engine.transport_opened(peer.now, secure());
        peer.heard();
        peer.engine.handle_eof(peer.now);
        attempts += 1;
        longest = longest.max(next_attempt(&mut peer));
    }
    assert!(attempts <= 300, "{attempts} in an hour");
    assert!(longest > secs(20), "{longest:?} at most");
}

/// fritzy/SleekXMPP#67: all clients of a server that restarts come back at the same moment. Holds
/// that pauses are drawn from the seed.
#[test]
fn clients_do_not_all_come_back_at_the_same_moment() {
    let mut pauses = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut peer = Peer::new(config());
        peer.engine = Engine::new(config(), Seed::new([seed; 32]), peer.now);
        peer.log_in();
        // The sixth pause is long enough to be spread.
        for _ in 0..6 {
            cut(&mut peer);
            until_connect(&mut peer);
            peer.events();
            peer.log_in();
        }
        cut(&mut peer);
        pauses.insert(next_attempt(&mut peer).as_millis() / 100);
    }
    assert!(pauses.len() > 25, "{pauses:?}");
}

/// xmppo/go-xmpp#197: the link is dead, nobody notices, and what is written into it counts as sent.
/// Holds that a post succeeds by the room's word only, and that silence ends a stream.
#[test]
fn a_post_into_a_dead_link_is_no_success() {
    let (mut peer, room) = in_room();
    let post = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    assert!(peer.heard().contains("<body>hi</body>"), "it was taken");
    let mut told = Vec::new();
    let start = peer.now;
    while peer.now.since(start) < secs(3600) && peer.engine.wants().deadline.is_some() {
        peer.heard();
        turn(&mut peer);
        told.extend(peer.events().into_iter().map(|event| (peer.now, event)));
        if matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
            break;
        }
    }
    let offline = told
        .iter()
        .find(|(_, event)| matches!(event, Event::Offline { .. }));
    let (at, _) = offline.expect("an end");
    assert!(at.since(start) <= secs(60), "{:?}", at.since(start));
    let committed = told.iter().any(|(_, event)| {
        matches!(
            event,
            Event::Post { id, outcome: PostOutcome::Committed { .. } } if *id == post
        )
    });
    assert!(!committed);
}

// ---- twice, and not at all -------------------------------------------------

/// conversejs/converse.js#951: the room's own history and its archive give the same messages twice.
/// Holds that no history is asked for, and that what comes both ways is told once.
#[test]
fn history_and_archive_give_each_message_once() {
    let (mut peer, _) = caught_up();
    come_back(&mut peer);
    let sent = core::str::from_utf8(peer.engine.wants().write).unwrap();
    assert!(
        sent.contains("<history maxchars='0' maxstanzas='0'/>"),
        "{sent}"
    );
    peer.let_in("ada", ROOM_FEATURES);
    let asked = query(&mut peer);
    // A room that gives some all the same.
    for id in ["a1", "a2"] {
        let history = message("bob", id, id).replace(
            "</message>",
            "<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T09:00:00Z'/></message>",
        );
        peer.say(&history);
    }
    answer(&mut peer, &asked, &["a1", "a2"], true);
    peer.say(&message("bob", "a2", "a2"));
    assert_eq!(ids(&entries(peer.events())), ["a1", "a2"]);
}

/// matrix-org/matrix-bifrost#382: presences that look like one seen before are taken for
/// repetitions, and who comes back is never seen again. Holds that nothing is compared by content.
#[test]
fn who_comes_and_goes_alike_is_told_each_time() {
    let (mut peer, _) = in_room();
    let come = presence("bob", "");
    let go = come.replace("<presence ", "<presence type='unavailable' ");
    for _ in 0..3 {
        peer.say(&come);
        peer.say(&go);
        assert!(matches!(
            room_events(peer.events())[..],
            [
                RoomEvent::OccupantJoined { .. },
                RoomEvent::OccupantLeft { .. }
            ]
        ));
    }
}

// ---- the list --------------------------------------------------------------

/// Every thread that must be held by a test.
const THREADS: [&str; 66] = [
    // Rooms not joined again.
    "42wim/matterbridge#222",
    "42wim/matterbridge#1552",
    "42wim/matterbridge#1758",
    "42wim/matterbridge#2063",
    "profanity-im/profanity#1120",
    "redsolution/xabber-android#758",
    "iNPUTmice/Conversations#1671",
    "iNPUTmice/Conversations#2983",
    "jappix/jappix#438",
    "jitsi/jicoco#158",
    "jitsi/jicofo#1297",
    // Evicted in silence.
    "processone/ejabberd#3410",
    "movim/movim#1164",
    "movim/movim#1417",
    "42wim/matterbridge#819",
    "dino/dino#391",
    "conversejs/converse.js#1111",
    "horazont/aioxmpp#335",
    "horazont/aioxmpp#315",
    "zachpmanson/pi-msg#6",
    // Holes after an outage.
    "processone/fluux-messenger#534",
    "processone/fluux-messenger#299",
    "processone/fluux-messenger#556",
    "processone/fluux-messenger#785",
    "processone/fluux-messenger#787",
    "processone/fluux-messenger#1019",
    "processone/fluux-messenger#1149",
    "iNPUTmice/Conversations#2197",
    "zachpmanson/pi-msg#84",
    "zachpmanson/pi-msg#89",
    "zachpmanson/pi-msg#94",
    "jabbercat/jabbercat#58",
    // Storms.
    "xmppjs/xmpp.js#1111",
    "fritzy/SleekXMPP#216",
    "fritzy/SleekXMPP#67",
    "fritzy/SleekXMPP#328",
    "jelmer/prometheus-xmpp-alerts#15",
    // Conflicts.
    "FluuxIO/go-xmpp#45",
    "redsolution/xabber-android#157",
    "redsolution/xabber-android#298",
    "hannesm/jackline#193",
    // Wrong passwords.
    "xmppjs/xmpp.js#588",
    "redsolution/xabber-android#320",
    "cmeng-git/atalk-android#131",
    "fritzy/SleekXMPP#321",
    // Half-open links.
    "xmppo/go-xmpp#197",
    "jitsi/jicoco#160",
    "xmppjs/xmpp.js#874",
    "horazont/aioxmpp#96",
    // Counting and resumption.
    "legastero/stanza#495",
    "iNPUTmice/Conversations#2661",
    "dino/dino#1882",
    "processone/ejabberd#205",
    "esl/MongooseIM#408",
    "jitsi/jigasi#253",
    "processone/ejabberd#1151",
    "processone/ejabberd#3228",
    "qxmpp-project/qxmpp#66",
    // Twice, or not at all.
    "conversejs/converse.js#951",
    "monal-im/Monal#707",
    "dino/dino#194",
    "matrix-org/matrix-bifrost#382",
    // Ghosts and refused joins.
    "psi-im/psi#396",
    "jitsi/lib-jitsi-meet#162",
    "coyim/coyim#580",
    // Both kinds of failure are in that thread.
    "jitsi/jicoco#158 (refused)",
];

/// The rows of the list: thread, file and test.
fn rows() -> Vec<(String, String, String)> {
    let list = include_str!("README.md").lines();
    let rows = list.filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split('|').map(str::trim);
        let thread = cells.next()?.to_owned();
        let test = cells.nth(1)?.trim_matches('`');
        let (file, test) = test.split_once("::")?;
        Some((thread, format!("{file}.rs"), test.to_owned()))
    });
    rows.collect()
}

#[test]
fn every_thread_is_held_by_a_test_that_cites_it() {
    let rows = rows();
    let listed: Vec<_> = rows.iter().map(|(thread, ..)| thread.as_str()).collect();
    for thread in THREADS {
        let count = listed.iter().filter(|listed| **listed == thread).count();
        assert_eq!(count, 1, "{thread} in the list");
    }
    assert_eq!(listed.len(), THREADS.len());
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (thread, file, test) in &rows {
        let source = std::fs::read_to_string(tests.join(file)).expect(file);
        let lines: Vec<_> = source.lines().map(str::trim).collect();
        let head = format!("fn {test}()");
        let at = lines
            .iter()
            .position(|line| line.starts_with(&head) || line.starts_with(&format!("async {head}")));
        let at = at.unwrap_or_else(|| panic!("no {test} in {file}"));
        let above = lines[..at].iter().rev();
        let above: Vec<_> = above
            .take_while(|line| line.starts_with("///") || line.starts_with("#["))
            .collect();
        assert!(
            above.iter().any(|line| line.contains("test")),
            "{test} is no test"
        );
        let cited = thread.split(' ').next().expect("a thread");
        let cites = |line: &&str| {
            line.match_indices(cited).any(|(at, _)| {
                let rest = &line[at + cited.len()..];
                !rest.starts_with(|c: char| c.is_ascii_digit())
            })
        };
        assert!(
            above.iter().any(|line| cites(line)),
            "{test} cites no {thread}"
        );
    }
}
