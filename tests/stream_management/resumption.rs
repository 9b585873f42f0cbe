//! A broken stream is resumed: everything goes on as if nothing had happened.

use crate::*;
use parley_xmpp::{Cursor, Entry, Fetch, FetchEvent, NotSent, Start, Via};
use peer::{archived, fin, message};

fn online_again(peer: &mut Peer) -> Vec<Event> {
    let events = peer.events();
    let at = events
        .iter()
        .position(|e| matches!(e, Event::Online { .. }));
    let Event::Online { login, jid } = &events[at.expect("online")] else {
        unreachable!()
    };
    assert!(login.resumed && login.stream_management);
    assert_eq!(jid.as_str(), "alice@parley.local/here");
    events
}

/// processone/ejabberd#1151, processone/ejabberd#3228, iNPUTmice/Conversations#2661: what was in
/// flight when the link broke is lost, although the stream is resumed.
#[test]
fn sm7_what_was_not_handled_is_sent_again_before_anything_new() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    let first = first.replace(ASK, "");
    cut(&mut peer);
    let events = peer.events();
    // The end of the stream is told, and nothing else.
    assert!(matches!(events[..], [Event::Offline { .. }]), "{events:?}");
    let three = peer
        .engine
        .post(peer.now, room, Post::new("three"))
        .unwrap();
    ask_to_resume(&mut peer, 2);
    // The presence, the join, the question and the first post arrived.
    peer.say(&resumed(4));
    let written = peer.heard();
    let rest = written
        .strip_prefix(&second)
        .expect("the second, byte by byte");
    assert!(
        rest.starts_with("<message ") && rest.contains("<body>three</body>"),
        "{rest}"
    );
    assert_eq!(rest.matches("<message ").count(), 1);
    assert!(
        !written.contains("<presence") && !written.contains("<iq"),
        "{written}"
    );
    let events = online_again(&mut peer);
    assert_eq!(room_events(&events), []);
    for (written, at) in [(&first, "1"), (&second, "2"), (&rest.to_owned(), "3")] {
        reflect(&mut peer, written, at);
    }
    let committed = outcomes(&peer.events());
    let ids: Vec<_> = committed.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [one, two, three]);
    assert!(committed.iter().all(|(_, outcome)| matches!(
        outcome,
        PostOutcome::Committed {
            via: Via::Reflection,
            ..
        }
    )));
    peer.say(&ack(6));
    assert_eq!(causes(&peer.events()), []);
}

#[test]
fn sm7_a_resumption_of_another_stream_is_fatal() {
    for previd in ["previd='sm-2'", "previd=''", ""] {
        let (mut peer, _) = in_room();
        cut(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.events();
        peer.say(&format!("<resumed xmlns='urn:xmpp:sm:3' h='3' {previd}/>"));
        assert_fatal(&mut peer, PeerMisbehaved::ResumedAnother, UNDEFINED);
    }
}

#[test]
fn sm7_a_resumption_with_a_wrong_count_is_fatal() {
    let too_high = PeerMisbehaved::HandledCountTooHigh { h: 4, sent: 3 };
    for (h, what) in [
        ("4", too_high),
        ("1", PeerMisbehaved::HandledCountBackwards),
        ("x", PeerMisbehaved::MalformedHandledCount),
    ] {
        let (mut peer, _) = in_room();
        peer.say(&ack(2));
        cut(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.events();
        peer.say(&resumed(h));
        let events = peer.events();
        assert_eq!(causes(&events), [OfflineCause::PeerMisbehaved(what)]);
        // Now it is known that the room has to be joined anew.
        assert!(matches!(room_events(&events)[..], [RoomEvent::Left { .. }]));
        peer.heard();
        peer.engine.handle_eof(peer.now);
        assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
    }
}

#[test]
fn sm9_what_the_server_says_twice_is_given_out_once() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let iq = attribute(&peer.heard(), "id").to_owned();
    peer.say(&fin(&iq, true, &[]));
    peer.say(&message("bob", "1", "said"));
    cut(&mut peer);
    ask_to_resume(&mut peer, 4);
    peer.say(&resumed(4));
    peer.say(&message("bob", "1", "said"));
    peer.say(&message("bob", "2", "and more"));
    peer.pass(Duration::ZERO);
    let asked = peer.heard();
    let (iq, query) = (attribute(&asked, "id"), attribute(&asked, "queryid"));
    peer.say(&archived(query, "2", "and more"));
    peer.say(&fin(iq, true, &["2"]));
    let events = peer.events();
    let said = |event: &Event| match event {
        Event::Entry {
            entry: Entry::Message(message),
            ..
        } => Some(message.body.clone()),
        _ => None,
    };
    let said: Vec<_> = events.iter().filter_map(said).collect();
    assert_eq!(said, ["said", "and more"]);
}

#[test]
fn sm10_another_location_is_not_followed() {
    let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='1' \
        location='10.0.0.1:25' max='600'/>";
    let (mut peer, _) = in_room_of(config(), enabled);
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    online_again(&mut peer);
}

#[test]
fn a_subscription_that_was_reading_reads_on() {
    let (mut peer, room) = in_room();
    let start = Start::Cursor(Cursor::Beginning);
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let asked = peer.heard();
    let (iq, query) = (attribute(&asked, "id"), attribute(&asked, "queryid"));
    peer.say(&archived(query, "1", "one"));
    cut(&mut peer);
    peer.pass(secs(100));
    peer.events();
    ask_to_resume(&mut peer, 3);
    // It was asked and is answering.
    peer.say(&resumed(4));
    assert_eq!(peer.heard(), "");
    peer.say(&message("bob", "3", "live"));
    peer.say(&archived(query, "2", "two"));
    peer.say(&fin(iq, true, &["1", "2"]));
    // The archive does not show yet what was heard.
    let mut events = peer.events();
    peer.pass(secs(1));
    let asked = peer.heard();
    let (iq, query) = (attribute(&asked, "id"), attribute(&asked, "queryid"));
    // And it still shows where we stand.
    peer.say(&archived(query, "2", "two"));
    peer.say(&archived(query, "3", "live"));
    peer.say(&fin(iq, true, &["2", "3"]));
    events.extend(peer.events());
    let bodies: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message.body.as_str()),
            Event::Entry {
                entry: Entry::CaughtUp { .. },
                ..
            } => Some("caught up"),
            Event::Entry { entry, .. } => panic!("{entry:?}"),
            _ => None,
        })
        .collect();
    assert_eq!(bodies, ["one", "two", "live", "caught up"]);
}

#[test]
fn a_fetch_goes_on() {
    let (mut peer, room) = in_room();
    let fetch = Fetch::since(Cursor::Beginning, 5);
    let id = peer.engine.fetch(peer.now, room, fetch).unwrap();
    // It was never asked: the transport took none of it.
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    let asked = peer.heard();
    peer.pass(secs(10));
    peer.say(&archived(attribute(&asked, "queryid"), "1", "one"));
    peer.say(&fin(attribute(&asked, "id"), true, &["1"]));
    let events = peer.events();
    assert!(
        matches!(
            events.last(),
            Some(Event::Fetch { id: fetch, event: FetchEvent::Done { .. } }) if *fetch == id
        ),
        "{events:?}"
    );
}

/// legastero/stanza#495: the count begins at zero again with a resumption, and the server says
/// everything twice. qxmpp-project/qxmpp#66: counts of several resumptions are mixed up.
#[test]
fn what_breaks_again_and_again_is_resumed_from_where_it_broke_last() {
    let (mut peer, room) = in_room();
    let (id, written) = post(&mut peer, room, "x");
    cut(&mut peer);
    // The answer is lost, and then the transport while the stanza is sent again.
    ask_to_resume(&mut peer, 2);
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    peer.say("<message/>");
    cut(&mut peer);
    ask_to_resume(&mut peer, 3);
    peer.say(&resumed(3));
    assert!(peer.heard().starts_with(&written.replace(ASK, "")));
    reflect(&mut peer, &written, "1");
    assert!(matches!(
        outcomes(&peer.events())[..],
        [(post, PostOutcome::Committed { .. })] if post == id
    ));
}

#[test]
fn a_stanza_that_breaks_every_stream_is_not_sent_for_ever() {
    let (mut peer, room) = in_room();
    post(&mut peer, room, "poison");
    let mut resumptions = 0;
    loop {
        cut(&mut peer);
        peer.events();
        if return_to(&mut peer, BIND_SM).contains("<bind ") {
            break;
        }
        peer.heard();
        peer.say(&resumed(3));
        peer.heard();
        resumptions += 1;
        assert!(resumptions < 10);
    }
    assert_eq!(resumptions, 3);
}

#[test]
fn a_stream_that_the_server_ends_for_now_is_resumed() {
    for condition in ["system-shutdown", "reset", "internal-server-error"] {
        let (mut peer, _) = in_room();
        peer.say(&format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error></stream:stream>"
        ));
        assert_eq!(peer.heard(), "</stream:stream>");
        peer.engine.handle_eof(peer.now);
        assert_eq!(room_events(&peer.events()), []);
        ask_to_resume(&mut peer, 2);
    }
}

#[test]
fn nothing_is_resumed_where_the_server_did_not_like_what_was_said() {
    for condition in ["not-well-formed", "policy-violation", "invalid-xml"] {
        let (mut peer, room) = in_room();
        let (id, _) = post(&mut peer, room, "poison");
        peer.say(&format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error>"
        ));
        let events = peer.events();
        assert_eq!(outcomes(&events), []);
        peer.heard();
        peer.engine.handle_eof(peer.now);
        assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
        assert!(matches!(
            given_up(&mut peer)[..],
            [(post, PostOutcome::Unknown { .. })] if post == id
        ));
    }
}

/// Found on Prosody 0.12.3, by the proxy of `tests/delivery.rs`: after a resumption it goes on with
/// the parser of the broken stream, in the middle of the stanza that was cut, and calls what is
/// sent again ill-formed. Holds that only a stream that began anew convicts a post.
#[test]
fn an_ill_formed_stream_that_was_resumed_convicts_no_post() {
    let (mut peer, room) = in_room();
    let (id, _) = post(&mut peer, room, "innocent");
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    let ill_formed = "<stream:error><not-well-formed \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let mut outcome = Vec::new();
    for stream in ["resumed", "new"] {
        assert!(peer.heard().contains("<body>innocent</body>"), "{stream}");
        peer.say(ill_formed);
        peer.heard();
        peer.engine.handle_eof(peer.now);
        assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
        peer.bound();
        peer.let_in("ada", ROOM_FEATURES);
        peer.events();
        // The archive does not have it, nor a little later.
        for _ in 0..20 {
            let wants = core::str::from_utf8(peer.engine.wants().write).unwrap();
            if wants.contains("<body>innocent") {
                break;
            }
            let sent = peer.heard();
            for part in sent
                .split("<iq ")
                .filter(|part| part.contains("urn:xmpp:mam:2"))
            {
                let iq = attribute(&format!(" {part}"), "id").to_owned();
                peer.say(&fin(&iq, true, &[]));
            }
            outcome.extend(outcomes(&peer.events()));
            if peer.engine.wants().write.is_empty() && outcome.is_empty() {
                let deadline = peer.engine.wants().deadline.expect("a deadline");
                peer.now = peer.now.max(deadline.at);
                peer.engine.handle_timeout(peer.now);
            }
        }
        assert_eq!(outcome.is_empty(), stream == "resumed", "{outcome:?}");
    }
    assert!(matches!(
        outcome[..],
        [(post, PostOutcome::StreamKill { .. })] if post == id
    ));
}

/// Section 4: an `h` says what was handled, and what is handled broke no parser. Only what lies
/// above it can have ended the stream.
#[test]
fn a_post_that_the_server_handled_is_not_taken_for_what_ended_the_stream() {
    let (mut peer, room) = in_room();
    let (handled, _) = post(&mut peer, room, "handled");
    peer.say(&ack(4));
    let (poison, _) = post(&mut peer, room, "poison");
    peer.say(
        "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         </stream:error>",
    );
    peer.heard();
    peer.engine.handle_eof(peer.now);
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
    peer.bound();
    peer.let_in("ada", ROOM_FEATURES);
    let mut found = outcomes(&peer.events());
    for _ in 0..20 {
        let sent = peer.heard();
        for part in sent.split("<iq ").skip(1) {
            if part.contains("urn:xmpp:mam:2") {
                let iq = attribute(&format!(" {part}"), "id").to_owned();
                peer.say(&fin(&iq, true, &[]));
            }
        }
        found.extend(outcomes(&peer.events()));
        if found.is_empty() {
            peer.pass(secs(1));
        }
    }
    let among = |id| {
        let of = |(post, outcome): &(PostId, PostOutcome)| match outcome {
            PostOutcome::StreamKill { among, .. } if *post == id => Some(*among),
            _ => None,
        };
        found.iter().find_map(of)
    };
    assert_eq!(
        (among(handled), among(poison)),
        (None, Some(1)),
        "{found:?}"
    );
}

/// processone/fluux-messenger#785, processone/fluux-messenger#787: the stream was resumed, and so
/// the room is taken for caught up; but what the room did not hand over while we were away is
/// nowhere. Holds that a resumption makes the archive be compared.
#[test]
fn a_resumption_is_no_proof_that_a_room_is_caught_up() {
    /// Answers every question to the archive with these; how many there were.
    fn answer(peer: &mut Peer, ids: &[&str]) -> u32 {
        let sent = peer.heard();
        let mut count = 0;
        for part in sent
            .split("<iq ")
            .filter(|part| part.contains("urn:xmpp:mam:2"))
        {
            let part = format!(" {part}");
            let (iq, query) = (attribute(&part, "id"), attribute(&part, "queryid"));
            for id in ids {
                peer.say(&archived(query, id, id));
            }
            peer.say(&fin(iq, true, ids));
            count += 1;
        }
        count
    }
    let mut config = config();
    config.timing.keepalive = secs(1_000_000);
    config.timing.self_ping = Duration::MAX;
    // Only what the resumption makes it do.
    config.timing.audit = secs(1_000_000);
    let (mut peer, room) = in_room_of(config, ENABLED);
    let start = Start::Cursor(Cursor::parse("a0").unwrap());
    peer.engine.subscribe(peer.now, room, start, 99).unwrap();
    let mut asked = 0;
    for _ in 0..60 {
        asked += answer(&mut peer, &[]);
        peer.pass(secs(1));
    }
    assert_eq!(answer(&mut peer, &[]), 0, "it is compared still");
    peer.events();
    cut(&mut peer);
    let sent = return_to(&mut peer, BIND_SM);
    assert!(sent.starts_with("<resume "), "{sent}");
    peer.heard();
    peer.say(&resumed(3 + asked));
    let mut told = Vec::new();
    for _ in 0..60 {
        answer(&mut peer, &["a1"]);
        told.extend(peer.events());
        peer.pass(secs(1));
    }
    let missed = told.iter().filter(|event| {
        matches!(event, Event::Entry { entry: Entry::Message(message) | Entry::Late(message), .. }
            if message.body == "a1")
    });
    assert_eq!(missed.count(), 1, "{told:?}");
}

/// By the source of ejabberd, what was under way to the broken connection comes after what the room
/// said to the new one, without a mark. Holds that it is told in the order of the archive, that
/// one question is asked for that, and that a gap is told where the archive does not answer.
#[test]
fn what_comes_out_of_its_order_after_a_resumption_is_told_in_it() {
    for answered in [true, false] {
        let mut config = config();
        config.timing.keepalive = secs(1_000_000);
        config.timing.self_ping = Duration::MAX;
        config.timing.audit = secs(1_000_000);
        let (mut peer, room) = in_room_of(config, ENABLED);
        let start = Start::Cursor(Cursor::parse("a0").unwrap());
        peer.engine.subscribe(peer.now, room, start, 99).unwrap();
        let questions = |sent: &str| {
            let parts = sent.split("<iq ").map(|part| format!(" {part}"));
            let asked = parts.filter(|part| part.contains("urn:xmpp:mam:2"));
            asked
                .map(|part| {
                    (
                        attribute(&part, "id").to_owned(),
                        attribute(&part, "queryid").to_owned(),
                    )
                })
                .collect::<Vec<_>>()
        };
        let mut asked = 0;
        for _ in 0..60 {
            for (iq, _) in questions(&peer.heard()) {
                peer.say(&fin(&iq, true, &[]));
                asked += 1;
            }
            peer.pass(secs(1));
        }
        peer.events();
        cut(&mut peer);
        assert!(return_to(&mut peer, BIND_SM).starts_with("<resume "));
        peer.heard();
        peer.say(&resumed(3 + asked));
        // What the server had not handled.
        peer.heard();
        peer.say(&(message("bob", "a2", "second") + &message("bob", "a1", "first")));
        peer.pass(Duration::ZERO);
        let told = |peer: &mut Peer| {
            let entry = |event| match event {
                Event::Entry {
                    entry: Entry::Message(said),
                    ..
                } => Some(said.body),
                Event::Entry {
                    entry: Entry::Late(said),
                    ..
                } => Some(format!("late {}", said.body)),
                Event::Entry { entry, .. } => Some(format!("{entry:?}")),
                _ => None,
            };
            peer.events()
                .into_iter()
                .filter_map(entry)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(&mut peer),
            [""; 0],
            "nothing is told before it is in order"
        );
        let sent = questions(&peer.heard());
        let [(iq, query)] = &sent[..] else {
            panic!("one question is to be asked: {sent:?}");
        };
        if answered {
            peer.say(&archived(query, "a1", "first"));
            peer.say(&archived(query, "a2", "second"));
            peer.say(&fin(iq, true, &["a1", "a2"]));
            let all = told(&mut peer);
            assert_eq!(all[..2], ["first", "second"]);
            assert!(
                matches!(&all[2..], [caught_up] if caught_up.starts_with("CaughtUp")),
                "{all:?}"
            );
        } else {
            peer.say(&format!(
                "<iq type='error' id='{iq}' from='{ROOM}'><error type='auth'>\
                 <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            ));
            let all = told(&mut peer);
            let [gap, caught_up, said @ ..] = &all[..] else {
                panic!("a gap is to be told: {all:?}");
            };
            assert!(gap.starts_with("Gap") && caught_up.starts_with("CaughtUp"));
            // Nobody knows their places.
            assert_eq!(said, ["late second", "late first"]);
        }
        // From then on it is live again.
        peer.say(&message("bob", "a3", "third"));
        assert_eq!(told(&mut peer), ["third"]);
    }
}

/// Found on Prosody 0.12.3 as well: where the cut stanza was broken off in its text, what is sent
/// after a resumption becomes a part of it, and nothing is ever answered. Holds that such a stream
/// is resumed once, not again and again.
#[test]
fn a_resumed_stream_that_answers_nothing_is_not_resumed_again() {
    let (mut peer, room) = in_room();
    post(&mut peer, room, "swallowed");
    cut(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    assert!(peer.heard().contains("<body>swallowed</body>"));
    let start = peer.now;
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        peer.heard();
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
        assert!(peer.now.since(start) < secs(60), "it is not noticed");
    }
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
}

/// XEP-0478 v0.1.1: the limit is smaller on the stream that resumes the session, and holds for what
/// was posted meanwhile.
#[test]
fn a_limit_that_shrank_holds_for_what_waits_for_a_resumption() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    let large = Post::new(&"x".repeat(20_000));
    let large = peer.engine.post(peer.now, room, large).unwrap();
    let small = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let features = BIND_SM.replace(
        "</stream:features>",
        "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>12000</max-bytes></limits>\
         </stream:features>",
    );
    let asked = return_to(&mut peer, &features);
    assert!(asked.starts_with("<resume "), "{asked}");
    peer.heard();
    peer.events();
    peer.say(&resumed(3));
    assert_eq!(
        outcomes(&peer.events()),
        [(large, PostOutcome::NotSent(NotSent::TooLarge))]
    );
    let written = peer.heard();
    assert!(written.contains("<body>hi</body>"), "{written}");
    reflect(&mut peer, &written, "a1");
    let events = peer.events();
    assert!(matches!(
        outcomes(&events)[..],
        [(id, PostOutcome::Committed { .. })] if id == small
    ));
}
