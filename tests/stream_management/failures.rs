//! A broken stream is not resumed: what was handled is in doubt, what was not is
//! sent again in the next session, and rooms are joined anew.

use crate::*;
use parley_xmpp::{LeaveCause, NotSent, Retry};
use peer::BIND;

/// What follows once it is known that the room has to be joined anew.
#[track_caller]
fn assert_left(events: &[Event]) {
    assert!(
        matches!(
            room_events(events)[..],
            [RoomEvent::Left {
                cause: LeaveCause::Offline,
                retry: Retry::At(_)
            }]
        ),
        "{events:?}"
    );
}

fn ids(outcomes: &[(PostId, PostOutcome)]) -> Vec<PostId> {
    let unknown = |outcome: &PostOutcome| matches!(outcome, PostOutcome::Unknown { .. });
    assert!(
        outcomes.iter().all(|(_, outcome)| unknown(outcome)),
        "{outcomes:?}"
    );
    outcomes.iter().map(|(id, _)| *id).collect()
}

/// The server binds a resource, and lets us into the room.
fn begin_anew(peer: &mut Peer) -> String {
    peer.bound();
    let written = peer.heard();
    assert!(written.starts_with("<enable "), "{written}");
    assert!(
        written.contains("<presence to='ops@muc.parley.local/ada'"),
        "{written}"
    );
    peer.say(ENABLED);
    let query = written.rsplit("<iq ").next().unwrap();
    let id = attribute(query, "id").to_owned();
    peer.say(&peer::presence("ada", "<status code='110'/>"));
    peer.say(&format!(
        "<iq type='result' id='{id}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    ));
    // What is in doubt the archive is asked about; it does not tell.
    let asked = peer.heard();
    assert!(
        asked.contains("urn:xmpp:mam:2") && !asked.contains("<body>"),
        "{asked}"
    );
    peer.say(&format!(
        "<iq type='error' id='{}' from='{ROOM}'><error type='auth'>\
         <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        attribute(&asked[asked.find("<iq ").unwrap()..], "id")
    ));
    peer.heard()
}

#[test]
fn sm8_what_lies_above_h_is_sent_again_under_the_same_ids() {
    let (mut peer, room) = in_room();
    let (one, _) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    let (three, third) = post(&mut peer, room, "three");
    cut(&mut peer);
    peer.events();
    ask_to_resume(&mut peer, 2);
    peer.say(&failed(4));
    let events = peer.events();
    assert_left(&events);
    assert_eq!(outcomes(&events), []);
    // On the same stream.
    let again = begin_anew(&mut peer);
    let stanzas = format!("{second}{third}").replace(ASK, "");
    assert_eq!(again, stanzas + ASK);
    let events = peer.events();
    assert_eq!(ids(&outcomes(&events)), [one]);
    assert_eq!(causes(&events), []);
    reflect(&mut peer, &second, "2");
    reflect(&mut peer, &third, "3");
    let committed: Vec<_> = outcomes(&peer.events()).iter().map(|(id, _)| *id).collect();
    assert_eq!(committed, [two, three]);
    // The new session counts anew.
    peer.say(&ack(6));
    peer.say(ASK);
    assert!(peer.heard().ends_with(&ack(5)));
    assert_eq!(causes(&peer.events()), []);
}

/// To be written is not all that it takes: what the server says it did not handle is nowhere.
#[test]
fn sm8_what_lies_above_h_and_is_not_sent_again_is_not_sent() {
    let (mut peer, room) = in_room();
    let (one, _) = post(&mut peer, room, "one");
    let (two, _) = post(&mut peer, room, "two");
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&failed(4));
    peer.events();
    assert!(matches!(
        given_up(&mut peer)[..],
        [(first, PostOutcome::Unknown { .. }), (second, PostOutcome::NotSent(_))]
            if (first, second) == (one, two)
    ));
}

/// What no server handles, one session after the other, may be what ends them: it is not sent
/// for ever, and the archive tells what became of it.
#[test]
fn sm8_what_lies_above_h_in_every_session_is_not_sent_for_ever() {
    let (mut peer, room) = in_room();
    let poison = Post::new("poison").within(secs(1_000_000));
    let id = peer.engine.post(peer.now, room, poison).unwrap();
    let mut sent = peer.heard().matches("<body>").count();
    let asked = loop {
        cut(&mut peer);
        return_to(&mut peer, BIND_SM);
        peer.heard();
        peer.events();
        peer.say(&failed(3));
        peer.bound();
        peer.say(ENABLED);
        peer.let_in("ada", ROOM_FEATURES);
        assert_eq!(outcomes(&peer.events()), []);
        let written = peer.heard();
        if !written.contains("<body>") {
            break written;
        }
        sent += 1;
        assert!(sent < 20, "it is sent for ever");
    };
    assert_eq!(sent, 8);
    assert!(asked.contains("urn:xmpp:mam:2"), "{asked}");
    assert!(matches!(
        given_up(&mut peer)[..],
        [(post, PostOutcome::Unknown { .. })] if post == id
    ));
}

#[test]
fn sm8_without_h_everything_is_in_doubt_that_a_transport_had() {
    for failed in [
        format!("<failed xmlns='urn:xmpp:sm:3'>{NOT_FOUND}</failed>"),
        "<failed xmlns='urn:xmpp:sm:3'/>".into(),
        "<failed xmlns='urn:xmpp:sm:3'><feature-not-implemented \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
            .into(),
    ] {
        let (mut peer, room) = in_room();
        let (one, _) = post(&mut peer, room, "one");
        peer.say(&ack(4));
        let (two, _) = post(&mut peer, room, "two");
        // Of this one the transport takes not quite all.
        let three = peer
            .engine
            .post(peer.now, room, Post::new("three"))
            .unwrap();
        let most = peer.engine.wants().write.len() - 1;
        peer.engine.written(peer.now, most);
        cut(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.events();
        peer.say(&failed);
        let events = peer.events();
        assert_left(&events);
        assert_eq!(outcomes(&events), []);
        let again = begin_anew(&mut peer);
        assert_eq!(ids(&outcomes(&peer.events())), [one, two]);
        assert!(again.contains("<body>three</body>"), "{again}");
        reflect(&mut peer, &again, "3");
        assert!(matches!(
            outcomes(&peer.events())[..],
            [(post, PostOutcome::Committed { .. })] if post == three
        ));
    }
}

#[test]
fn sm8_a_failure_with_a_wrong_count_is_fatal() {
    for (h, what) in [
        ("5", PeerMisbehaved::HandledCountTooHigh { h: 5, sent: 4 }),
        ("2", PeerMisbehaved::HandledCountBackwards),
        ("-1", PeerMisbehaved::MalformedHandledCount),
    ] {
        let (mut peer, room) = in_room();
        let (id, _) = post(&mut peer, room, "x");
        peer.say(&ack(3));
        cut(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.events();
        peer.say(&failed(h));
        let events = peer.events();
        assert_eq!(causes(&events), [OfflineCause::PeerMisbehaved(what)]);
        assert_eq!(outcomes(&events), []);
        peer.heard();
        peer.engine.handle_eof(peer.now);
        assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
        assert_eq!(ids(&given_up(&mut peer)), [id]);
    }
}

#[test]
fn sm8_a_server_that_no_longer_offers_it_is_bound_to() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "x");
    cut(&mut peer);
    peer.events();
    assert!(return_to(&mut peer, BIND).contains("<bind "));
    let events = peer.events();
    assert_left(&events);
    assert_eq!(outcomes(&events), []);
    peer.bound();
    let written = peer.heard();
    assert!(written.starts_with("<presence>"), "{written}");
    assert_eq!(ids(&given_up(&mut peer)), [id]);
}

#[test]
fn sm11_what_cannot_be_resumed_is_over_when_it_breaks() {
    for enabled in [
        "<enabled xmlns='urn:xmpp:sm:3'/>".to_owned(),
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1'/>".into(),
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='false'/>".into(),
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='yes'/>".into(),
        "<enabled xmlns='urn:xmpp:sm:3' resume='true'/>".into(),
        "<enabled xmlns='urn:xmpp:sm:3' id='' resume='true'/>".into(),
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='0'/>".into(),
        format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='{}' resume='true'/>",
            "x".repeat(4001)
        ),
    ] {
        let (mut peer, room) = in_room_of(config(), &enabled);
        // What is acknowledged is acknowledged.
        let (id, written) = post(&mut peer, room, "x");
        assert!(written.ends_with(ASK));
        peer.say(&ack(4));
        cut(&mut peer);
        let events = peer.events();
        assert_left(&events);
        assert!(
            return_to(&mut peer, BIND_SM).contains("<bind "),
            "{enabled}"
        );
        assert_eq!(ids(&given_up(&mut peer)), [id]);
    }
}

#[test]
fn sm11_a_huge_max_is_cut_and_a_bad_one_is_none() {
    for (max, lasts) in [
        ("max='99999999999999999999999'", 86_400),
        ("max='4294967295'", 86_400),
        ("max='abc'", 300),
        ("max='-1'", 300),
        ("", 300),
        ("max='007'", 7),
    ] {
        let enabled = format!("<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' {max}/>");
        let (mut peer, _) = in_room_of(config(), &enabled);
        cut(&mut peer);
        let broken = peer.now;
        let mut left = None;
        while left.is_none() {
            let deadline = peer.engine.wants().deadline.expect("a deadline");
            peer.now = peer.now.max(deadline.at);
            peer.engine.handle_timeout(peer.now);
            let events = peer.events();
            left = room_events(&events)
                .first()
                .cloned()
                .map(|_| peer.now.since(broken));
        }
        assert_eq!(left, Some(secs(lasts)), "{max}");
    }
}

#[test]
fn sm12_after_too_long_nobody_asks() {
    let (mut peer, room) = in_room();
    let post = Post::new("x").within(secs(10_000));
    let id = peer.engine.post(peer.now, room, post).unwrap();
    peer.heard();
    cut(&mut peer);
    peer.pass(secs(599));
    let events = peer.events();
    assert_eq!((room_events(&events), outcomes(&events)), (vec![], vec![]));
    peer.pass(secs(1));
    let events = peer.events();
    assert_left(&events);
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
    assert_eq!(ids(&given_up(&mut peer)), [id]);
}

#[test]
fn sm12_while_the_server_is_being_asked_its_answer_decides() {
    let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='20'/>";
    for answer in [resumed(3), failed(3)] {
        let (mut peer, _) = in_room_of(config(), enabled);
        cut(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.events();
        let broken = peer.now;
        peer.pass(secs(14));
        let _ = broken;
        peer.say(&answer);
        let left = room_events(&peer.events()).len();
        assert_eq!(left, usize::from(answer.contains("<failed")));
    }
}

#[test]
fn a_stream_that_is_not_tried_again_is_over() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "x");
    peer.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    );
    let events = peer.events();
    assert_eq!(ids(&outcomes(&events)), [id]);
    let left = RoomEvent::Left {
        cause: LeaveCause::Offline,
        retry: Retry::Never,
    };
    assert_eq!(room_events(&events), [left]);
    peer.engine.handle_eof(peer.now);
    peer.engine.reconnect(peer.now);
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
}

#[test]
fn a_login_refused_while_it_is_broken_ends_it() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    let waiting = peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    let secure = parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default());
    peer.engine.transport_opened(peer.now, secure);
    peer.say(peer::HEADER);
    peer.say(peer::PLAIN);
    peer.events();
    peer.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><account-disabled/></failure>");
    let events = peer.events();
    assert_eq!(
        outcomes(&events),
        [(waiting, PostOutcome::NotSent(NotSent::Offline))]
    );
    assert!(matches!(
        room_events(&events)[..],
        [RoomEvent::Left {
            retry: Retry::Never,
            ..
        }]
    ));
}

#[test]
fn a_host_that_closes_waits_for_nothing() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "x");
    cut(&mut peer);
    peer.events();
    peer.engine.close(peer.now);
    let events = peer.events();
    assert_eq!(ids(&outcomes(&events)), [id]);
    assert_eq!(events.last(), Some(&Event::Closed));
}
