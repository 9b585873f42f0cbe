//! Self-pings: when they are sent, and what the answers mean (XEP-0410 v1.1.0).

use crate::peer::{archived, fin, message};
use crate::*;
use parley_xmpp::{ChannelBinding, Condition, Cursor, Entry, Post, PostOutcome, Security, Start};

/// The silence after which a room is asked, and the most that is added.
pub(super) fn silence() -> (Duration, Duration) {
    let silence = config().timing.self_ping;
    (silence, silence / 4)
}

/// The ids of self-pings in what was written.
pub(super) fn pings(written: &str) -> Vec<String> {
    requests(written)
        .into_iter()
        .filter(|request| request.contains("<ping xmlns='urn:xmpp:ping'/>"))
        .inspect(|request| assert_eq!(attribute(request, "to"), format!("{ROOM}/ada")))
        .map(|request| attribute(request, "id").to_owned())
        .collect()
}

/// Lets a silence pass; the only ping that comes of it.
#[track_caller]
pub(super) fn ping(peer: &mut Peer) -> String {
    let (least, more) = silence();
    ping_within(peer, least + more)
}

#[track_caller]
pub(super) fn ping_within(peer: &mut Peer, time: Duration) -> String {
    let end = peer.now.plus(time);
    // To the ping and no further, so that it can be answered in time.
    loop {
        let written = peer.heard();
        if let [id] = &pings(&written)[..] {
            assert_eq!(requests(&written).len(), 1, "{written}");
            return id.clone();
        }
        let Some(deadline) = peer.engine.wants().deadline.filter(|d| d.at <= end) else {
            break;
        };
        peer.pass(deadline.at.since(peer.now));
    }
    panic!("no ping in {time:?}: {:?}", peer.events());
}

pub(super) fn result(id: &str) -> String {
    format!("<iq type='result' id='{id}' from='{ROOM}/ada'/>")
}

pub(super) fn error(id: &str, condition: &str) -> String {
    format!(
        "<iq type='error' id='{id}' from='{ROOM}/ada'><error type='cancel' by='{ROOM}'>\
         <{condition} xmlns='{STANZAS}'/></error></iq>"
    )
}

/// That answer means that we are in; and after the next silence the room is asked again.
#[track_caller]
fn means_in(answer: impl Fn(&str) -> String) {
    let (mut peer, _) = in_room();
    for _ in 0..3 {
        let before = peer.now;
        let id = ping(&mut peer);
        assert!(peer.now.since(before) >= silence().0);
        peer.say(&answer(&id));
        assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    }
}

/// That answer means that we are out; we come back by ourselves.
#[track_caller]
fn means_out(answer: impl Fn(&str) -> String) {
    let (mut peer, _) = in_room();
    let id = ping(&mut peer);
    peer.say(&answer(&id));
    let (cause, pause) = left(&mut peer);
    assert_eq!(cause, LeaveCause::Dropped);
    let pause = pause.expect("to come back");
    assert!(pause <= secs(1), "{pause:?}");
    peer.pass(pause);
    let sent = peer.heard();
    assert_eq!(joins(&sent), [format!("{ROOM}/ada")], "{sent}");
}

// ---- the table of section 3 ------------------------------------------------

#[test]
fn m13_self_ping_row_1_a_result_means_in() {
    means_in(result);
}

#[test]
fn m13_self_ping_row_2_service_unavailable_means_in() {
    means_in(|id| error(id, "service-unavailable"));
}

#[test]
fn m13_self_ping_row_2_feature_not_implemented_means_in() {
    means_in(|id| error(id, "feature-not-implemented"));
}

#[test]
fn m13_self_ping_row_3_item_not_found_means_another_nick_once() {
    let (mut peer, _) = in_room();
    let id = ping(&mut peer);
    peer.say(&error(&id, "item-not-found"));
    assert_eq!(peer.events(), [], "a nick that just changed");
    // The change is not long in coming, and we ask under the nick we have now.
    peer.say(&out("<status code='303'/>").replace("<item ", "<item nick='eve' "));
    peer.say(&presence("eve", "<status code='110'/>"));
    assert!(matches!(
        room_events(&mut peer)[..],
        [RoomEvent::NickChanged { .. }]
    ));
    peer.pass(secs(2));
    let sent = peer.heard();
    let again = requests(&sent)[0];
    assert_eq!(attribute(again, "to"), format!("{ROOM}/eve"));
    peer.say(&format!(
        "<iq type='result' id='{}' from='{ROOM}/eve'/>",
        attribute(again, "id")
    ));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}

#[test]
fn m13_self_ping_row_3_item_not_found_again_means_that_the_room_is_gone() {
    // Prosody 0.12 and ejabberd 23.01 say it of a room that did not outlive a restart.
    let (mut peer, _) = in_room();
    let id = ping(&mut peer);
    peer.say(&error(&id, "item-not-found"));
    let id = ping_within(&mut peer, secs(2));
    peer.say(&error(&id, "item-not-found"));
    let (cause, pause) = left(&mut peer);
    assert_eq!((cause, pause.is_some()), (LeaveCause::Dropped, true));
}

/// Nobody knows: the room is asked again, ever more slowly, until somebody does.
#[track_caller]
fn means_nothing(answer: impl Fn(&mut Peer, &str)) {
    let (mut peer, _) = in_room();
    let mut id = ping(&mut peer);
    for round in 0..20_u32 {
        answer(&mut peer, &id);
        assert_eq!(peer.events(), [], "round {round}");
        let before = peer.now;
        let most = (secs(30) * (1 << round.min(6))).min(silence().0);
        id = ping_within(&mut peer, most);
        let pause = peer.now.since(before);
        assert!(pause >= most / 2, "{pause:?} in round {round}");
    }
    peer.say(&error(&id, "not-acceptable"));
    assert_eq!(left(&mut peer).0, LeaveCause::Dropped);
}

#[test]
fn m13_self_ping_row_4_remote_server_not_found_means_nothing() {
    means_nothing(|peer, id| peer.say(&error(id, "remote-server-not-found")));
}

#[test]
fn m13_self_ping_row_4_remote_server_timeout_means_nothing() {
    means_nothing(|peer, id| peer.say(&error(id, "remote-server-timeout")));
}

/// 42wim/matterbridge#819: a ping of the server proves nothing about the room. It is the room that
/// is asked, through our own occupant.
#[test]
fn m13_self_ping_row_5_any_other_error_means_out() {
    for condition in ["not-acceptable", "not-allowed", "bad-request", "forbidden"] {
        means_out(|id| error(id, condition));
    }
}

#[test]
fn m13_self_ping_row_5_an_error_that_says_nothing_means_out_if_it_stays() {
    let (mut peer, _) = in_room();
    let mut id = ping(&mut peer);
    for _ in 0..2 {
        peer.say(&error(&id, "undefined-condition"));
        assert_eq!(peer.events(), []);
        id = ping_within(&mut peer, secs(30));
    }
    peer.say(&error(&id, "undefined-condition"));
    assert_eq!(left(&mut peer).0, LeaveCause::Dropped);
}

#[test]
fn m13_self_ping_row_6_no_answer_means_nothing() {
    means_nothing(|peer, _| peer.pass(peer.engine.config().timing.request));
}

// ---- what follows ----------------------------------------------------------

/// movim/movim#1164, movim/movim#1417, dino/dino#391, conversejs/converse.js#1111,
/// zachpmanson/pi-msg#6: evicted without a word, the client is deaf and does not know.
#[test]
fn thread_2_a_silent_eviction_is_found_out_and_what_was_missed_is_read() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::parse("a1").unwrap());
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let sent = peer.heard();
    peer.say(&fin(attribute(&sent, "id"), true, &[]));
    peer.events();
    let id = ping(&mut peer);
    peer.say(&error(&id, "not-acceptable"));
    let (_, pause) = left(&mut peer);
    peer.pass(pause.unwrap());
    peer.let_in("ada", ROOM_FEATURES);
    let sent = peer.heard();
    let query = requests(&sent)[0];
    assert!(query.contains("<after>a1</after>"), "{query}");
    peer.say(&archived(
        attribute(query, "queryid"),
        "a2",
        "said meanwhile",
    ));
    peer.say(&fin(attribute(query, "id"), true, &["a2"]));
    let bodies: Vec<_> = peer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message.body),
            _ => None,
        })
        .collect();
    assert_eq!(bodies, ["said meanwhile"]);
}

#[test]
fn a_room_that_does_not_let_itself_be_asked_is_not_left_each_time() {
    let (mut peer, _) = in_room();
    let (mut lefts, mut asked) = (0, 0);
    let end = peer.now.plus(secs(24 * 3600));
    while peer.now < end {
        peer.pass(secs(1));
        let sent = peer.heard();
        if !joins(&sent).is_empty() {
            let query = requests(&sent)[0];
            peer.say(&presence("ada", "<status code='110'/>"));
            peer.say(&format!(
                "<iq type='result' id='{}' from='{ROOM}'>\
                 <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>",
                attribute(query, "id")
            ));
        }
        for id in pings(&sent) {
            asked += 1;
            peer.say(&error(&id, "not-allowed"));
        }
        let told = room_events(&mut peer);
        lefts += told
            .iter()
            .filter(|event| matches!(event, RoomEvent::Left { .. }))
            .count();
    }
    assert!((1..=12).contains(&lefts), "left {lefts} times in a day");
    assert!((2..=24).contains(&asked), "asked {asked} times in a day");
}

#[test]
fn an_answer_counts_only_from_whom_it_was_asked_of() {
    let (mut peer, _) = in_room();
    let id = ping(&mut peer);
    for from in [
        &format!("{ROOM}/eve"),
        "evil.example",
        "muc.parley.local",
        ROOM,
    ] {
        peer.say(&error(&id, "not-acceptable").replace(&format!("{ROOM}/ada"), from));
    }
    assert_eq!(peer.events(), []);
    peer.say(&result(&id));
    // Nor a second time.
    peer.say(&error(&id, "not-acceptable"));
    assert_eq!(peer.events(), []);
}

// ---- when ------------------------------------------------------------------

#[test]
fn what_only_occupants_hear_postpones_the_question() {
    let (mut peer, _) = in_room();
    let (least, _) = silence();
    for n in 0..40 {
        peer.pass(least * 9 / 10);
        match n % 3 {
            0 => peer.say(&message("bob", &n.to_string(), "hi")),
            1 => peer.say(&presence("bob", "")),
            _ => peer.say(&format!(
                "<message from='{ROOM}' type='groupchat'><body>notice</body></message>"
            )),
        }
        assert_eq!(peer.heard(), "", "after {n}");
    }
    let before = peer.now;
    ping(&mut peer);
    assert!(peer.now.since(before) >= least);
}

#[test]
fn what_anybody_hears_does_not_postpone_it() {
    let (mut peer, _) = in_room();
    let (least, more) = silence();
    let end = peer.now.plus(least + more);
    let mut asked = 0;
    while peer.now < end {
        peer.pass(secs(10));
        asked += pings(&peer.heard()).len();
        peer.say(&format!(
            "<message from='{ROOM}' type='error' id='x'><error type='cancel'/></message>\
             <message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='q' id='1'/></message>\
             <iq type='result' id='x' from='{ROOM}'/>\
             <presence from='{ROOM}/ada' type='error'><error type='cancel'/></presence>\
             <message from='other@muc.parley.local/bob' type='groupchat'><body>b</body></message>"
        ));
    }
    assert_eq!(asked, 1);
}

#[test]
fn rooms_are_asked_within_bounds_and_not_all_at_once() {
    let mut peer = Peer::online(config());
    peer.heard();
    for n in 0..64 {
        let address = format!("r{n}@muc.parley.local");
        let room = JoinRoom::new(
            BareJid::parse(&address).unwrap(),
            Nick::Chosen("ada".into()),
        );
        peer.engine.join(peer.now, room).unwrap();
        let sent = peer.heard();
        let id = attribute(requests(&sent)[0], "id");
        peer.say(&presence("ada", "<status code='110'/>").replace(ROOM, &address));
        peer.say(&format!(
            "<iq type='error' id='{id}' from='{address}'><error/></iq>"
        ));
        let sent = peer.heard();
        let id = attribute(requests(&sent)[0], "id");
        peer.say(&format!(
            "<iq type='error' id='{id}' from='{address}'><error/></iq>"
        ));
    }
    let (least, more) = silence();
    let start = peer.now;
    peer.pass(least - Duration::from_millis(1));
    assert_eq!(peer.heard(), "");
    let (mut asked, mut moments) = (0, 0);
    while peer.now.since(start) < least + more {
        peer.pass(secs(1));
        let sent = peer.heard();
        for request in requests(&sent) {
            let (id, at) = (attribute(request, "id"), attribute(request, "to"));
            peer.say(&format!("<iq type='result' id='{id}' from='{at}'/>"));
        }
        asked += requests(&sent).len();
        moments += usize::from(!sent.is_empty());
    }
    assert_eq!(asked, 64);
    assert!(moments > 30, "in {moments} seconds of {more:?}");
}

#[test]
fn nobody_is_asked_while_we_refuse_to_read() {
    let mut config = config();
    config.limits.events = 4;
    let (mut peer, _) = in_room_of(config);
    let (least, _) = silence();
    peer.pass(least / 2);
    for nick in ["bob", "eve", "joe", "sue"] {
        peer.say(&presence(nick, ""));
    }
    assert!(!peer.engine.wants().read);
    peer.pass(secs(24 * 3600));
    assert_eq!(peer.heard(), "");
    peer.events();
    peer.engine.handle_timeout(peer.now);
    // Nor at once then: it was not the room's silence.
    peer.pass(least - secs(1));
    assert_eq!(peer.heard(), "");
    let id = ping(&mut peer);
    peer.say(&error(&id, "not-acceptable"));
    assert_eq!(left(&mut peer).0, LeaveCause::Dropped);
}

#[test]
fn a_room_that_is_not_to_be_asked_is_not() {
    let mut config = config();
    config.timing.self_ping = Duration::MAX;
    let (mut peer, _) = in_room_of(config);
    peer.pass(secs(365 * 24 * 3600));
    assert_eq!(peer.heard(), "");
    let mut config = self::config();
    config.timing.self_ping = Duration::ZERO;
    let (mut peer, _) = in_room_of(config);
    let mut asked = 0;
    for _ in 0..100 {
        peer.pass(Duration::from_millis(100));
        for id in pings(&peer.heard()) {
            asked += 1;
            peer.say(&result(&id));
        }
    }
    assert!((8..=10).contains(&asked), "{asked} in ten seconds");
}

#[test]
fn a_broken_stream_defers_the_question_until_it_is_resumed() {
    let mut peer = Peer::new(config());
    let secure = || Security::Tls(ChannelBinding::default());
    peer.engine.transport_opened(peer.now, secure());
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for said in [
        peer::HEADER,
        peer::PLAIN,
        success,
        peer::HEADER,
        peer::BIND_SM,
    ] {
        peer.say(said);
    }
    let sent = peer.heard();
    let bind = requests(&sent)[0];
    peer.say(&format!(
        "<iq type='result' id='{}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/here</jid></bind></iq>\
         <enabled xmlns='urn:xmpp:sm:3' resume='true' id='r' max='100000'/>",
        attribute(bind, "id")
    ));
    peer.heard();
    peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let (least, more) = silence();
    peer.pass(least / 2);
    peer.say("<a xmlns='urn:xmpp:sm:3' h='3'/>");
    cut(&mut peer);
    until_connect(&mut peer);
    // Nobody could answer: neither asked nor counted.
    for _ in 0..20 {
        peer.engine.handle_eof(peer.now);
        let deadline = peer.engine.wants().deadline.unwrap();
        let step = deadline.at.since(peer.now);
        peer.pass(step);
        assert!(!peer.heard().contains("urn:xmpp:ping"));
    }
    until_connect(&mut peer);
    assert!(room_events(&mut peer).is_empty());
    peer.engine.transport_opened(peer.now, secure());
    for said in [
        peer::HEADER,
        peer::PLAIN,
        success,
        peer::HEADER,
        peer::BIND_SM,
    ] {
        peer.say(said);
    }
    peer.say("<resumed xmlns='urn:xmpp:sm:3' previd='r' h='3'/>");
    assert!(matches!(peer.events()[..], [.., Event::Online { .. }]));
    peer.heard();
    ping_within(&mut peer, least / 2 + more);
}

// ---- posts that come back --------------------------------------------------

/// Posts, and refuses it with this condition.
pub(super) fn refused_post(peer: &mut Peer, room: RoomId, condition: &str) {
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let sent = peer.heard();
    let id = attribute(&sent, "id");
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='{id}'><error type='modify'>\
         <{condition} xmlns='{STANZAS}'/></error></message>"
    ));
}

/// processone/ejabberd#3410: the room has dropped us without a word, looks alive, and refuses each
/// post.
#[test]
fn m13_m14_a_post_refused_as_a_strangers_brings_us_back() {
    let (mut peer, room) = in_room();
    refused_post(&mut peer, room, "not-acceptable");
    let events = peer.events();
    // The post waits: it is not there, and nobody was to blame.
    let [
        Event::Room {
            event:
                RoomEvent::Left {
                    cause: LeaveCause::Dropped,
                    retry: Retry::At(at),
                },
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    peer.pass(at.since(peer.now));
    peer.let_in("ada", ROOM_FEATURES);
    assert!(matches!(room_events(&mut peer)[..], [RoomEvent::Joined(_)]));
    assert!(peer.heard().contains("<body>hi</body>"));
    // If that did not help it is not what was meant, and the room is asked.
    refused_post(&mut peer, room, "not-acceptable");
    assert!(room_events(&mut peer).is_empty());
    let id = ping_within(&mut peer, secs(0));
    peer.say(&result(&id));
    let events = peer.events();
    let [
        Event::Post {
            outcome: PostOutcome::Rejected(error),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(error.condition, Condition::NotAcceptable);
}

#[test]
fn posts_under_way_are_each_refused_and_each_sent_again() {
    let (mut peer, room) = in_room();
    for _ in 0..3 {
        peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    }
    let sent = peer.heard();
    for part in sent.split("<message ").skip(1) {
        let id = attribute(&format!(" {part}"), "id").to_owned();
        peer.say(&format!(
            "<message from='{ROOM}' type='error' id='{id}'><error type='modify'>\
             <not-acceptable xmlns='{STANZAS}'/></error></message>"
        ));
    }
    let events = peer.events();
    assert!(
        matches!(
            events[..],
            [Event::Room {
                event: RoomEvent::Left { .. },
                ..
            }]
        ),
        "{events:?}"
    );
    peer.pass(secs(1));
    peer.let_in("ada", ROOM_FEATURES);
    let again = peer.heard();
    assert_eq!(again.matches("<body>hi</body>").count(), 3, "{again}");
}

#[test]
fn m14_other_refusals_make_us_ask_or_nothing() {
    let asks = [
        "remote-server-timeout",
        "remote-server-not-found",
        "item-not-found",
        "gone",
    ];
    for condition in asks {
        let (mut peer, room) = in_room();
        refused_post(&mut peer, room, condition);
        assert!(room_events(&mut peer).is_empty(), "{condition}");
        ping_within(&mut peer, secs(0));
    }
    for condition in [
        "forbidden",
        "policy-violation",
        "resource-constraint",
        "not-allowed",
    ] {
        let (mut peer, room) = in_room();
        refused_post(&mut peer, room, condition);
        assert!(room_events(&mut peer).is_empty(), "{condition}");
        assert_eq!(peer.heard(), "", "{condition}");
    }
}

#[test]
fn a_refusal_of_what_we_never_said_is_nothing() {
    let (mut peer, _) = in_room();
    peer.say(&format!(
        "<message from='{ROOM}' type='error' id='x'><error type='modify'>\
         <not-acceptable xmlns='{STANZAS}'/></error></message>"
    ));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
}
