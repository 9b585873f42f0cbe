//! A session is handed on to another process, which resumes its stream.

use crate::*;
use parley_xmpp::{Engine, NotSent, SavedSession, Seed};
use proptest::prelude::*;

/// The process ends, and another begins with what the first one wrote down.
fn another(peer: &mut Peer) -> (SavedSession, Vec<Event>) {
    let saved = peer.engine.suspend(peer.now).expect("a session");
    let events = peer.events();
    assert!(matches!(events.last(), Some(Event::Closed)), "{events:?}");
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    assert!(peer.engine.wants().write.is_empty(), "not a word");
    let saved = SavedSession::parse(&saved.to_string()).expect("what was written");
    begin(peer, saved.clone());
    (saved, events)
}

fn begin(peer: &mut Peer, saved: SavedSession) {
    peer.engine = Engine::resume(config(), Seed::new([9; 32]), peer.now, saved);
}

fn is_online(events: &[Event], resumed: bool) -> bool {
    let online = |event: &Event| match event {
        Event::Online { login, jid } => {
            assert_eq!(jid.as_str(), "alice@parley.local/here");
            login.resumed == resumed
        }
        _ => false,
    };
    events.iter().any(online)
}

#[test]
fn sm7_another_process_sends_what_was_not_handled_before_anything_new() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    let token = {
        let (saved, events) = another(&mut peer);
        assert_eq!(saved.jid().as_str(), "alice@parley.local/here");
        assert_eq!(saved.max(), secs(600));
        let shown = format!("{saved:?}");
        assert!(
            !shown.contains("sm-1") && !shown.contains("<message"),
            "{shown}"
        );
        let of = outcomes(&events);
        let [
            (a, PostOutcome::Unknown { .. }),
            (b, PostOutcome::Unknown { token }),
        ] = &of[..]
        else {
            panic!("{of:?}");
        };
        assert_eq!((*a, *b), (one, two));
        token.clone()
    };
    assert!(second.contains(token.origin_id()));
    // It joins at once; nothing goes out before the server has decided.
    let join = parley_xmpp::JoinRoom::new(
        parley_xmpp::jid::BareJid::parse(ROOM).unwrap(),
        parley_xmpp::Nick::Chosen("ada".into()),
    );
    let room = peer.engine.join(peer.now, join).unwrap();
    ask_to_resume(&mut peer, 2);
    // The presence, the join, the question and the first post arrived.
    peer.say(&resumed(4));
    let written = peer.heard();
    let rest = written
        .strip_prefix(&second)
        .unwrap_or_else(|| panic!("the second, byte by byte, first: {written}"));
    assert!(!written.contains(&first.replace(ASK, "")), "{written}");
    assert!(
        rest.starts_with("<presence to="),
        "the join is next: {rest}"
    );
    assert!(is_online(&peer.events(), true));
    peer.kept = rest.to_owned();
    peer.let_in("ada", ROOM_FEATURES);
    let (three, written) = post(&mut peer, room, "three");
    reflect(&mut peer, &written, "3");
    let of = outcomes(&peer.events());
    assert!(
        matches!(of[..], [(id, PostOutcome::Committed { .. })] if id == three),
        "{of:?}"
    );
    // The presence, join, question and post of the first process, the second post of it,
    // and what this one wrote.
    peer.say(&ack(8));
    assert_eq!(causes(&peer.events()), []);
}

#[test]
fn a_post_that_was_not_written_is_not_sent() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    let id = peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    let (_, events) = another(&mut peer);
    let of = outcomes(&events);
    assert_eq!(of, [(id, PostOutcome::NotSent(NotSent::Offline))]);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(3));
    assert!(is_online(&peer.events(), true));
    assert!(!peer.heard().contains("<message"));
}

#[test]
fn sm8_a_session_that_the_server_has_forgotten_is_bound_anew_under_the_same_resource() {
    // Also where its count contradicts what was saved: that may be older.
    for answer in [
        format!("<failed xmlns='urn:xmpp:sm:3'>{NOT_FOUND}</failed>"),
        failed(3),
        failed(77),
    ] {
        let (mut peer, _) = in_room();
        another(&mut peer);
        ask_to_resume(&mut peer, 2);
        peer.say(&answer);
        let asked = peer.heard();
        assert!(
            asked.contains("<resource>here</resource>"),
            "{answer}: {asked}"
        );
        let id = attribute(&asked, "id").to_owned();
        peer.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/here</jid></bind></iq>"
        ));
        let events = peer.events();
        assert!(is_online(&events, false), "{events:?}");
        assert_eq!(causes(&events), []);
    }
}

#[test]
fn sm1_a_saved_session_that_the_server_contradicts_is_dropped_and_another_begun() {
    let (mut peer, _) = in_room();
    another(&mut peer);
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(77));
    let what = PeerMisbehaved::HandledCountTooHigh { h: 77, sent: 3 };
    assert_eq!(causes(&peer.events()), [OfflineCause::PeerMisbehaved(what)]);
    peer.heard();
    peer.engine.handle_eof(peer.now);
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
}

#[test]
fn a_session_of_another_account_is_none_of_ours() {
    let (mut peer, _) = in_room();
    let (saved, _) = another(&mut peer);
    let text = saved.to_string();
    assert_eq!(text.parse(), Ok(saved.clone()));
    let config = parley_xmpp::Config::new("parley.local", "bob", "secret").unwrap();
    let mut config = config;
    config.allow_plain = true;
    peer.engine = Engine::resume(config, Seed::new([9; 32]), peer.now, saved);
    let asked = return_to(&mut peer, BIND_SM);
    assert!(
        asked.contains("<bind ") && !asked.contains("here"),
        "{asked}"
    );
}

#[test]
fn what_cannot_be_resumed_is_closed_in_good_order() {
    for enabled in [
        "<enabled xmlns='urn:xmpp:sm:3'/>",
        "<failed xmlns='urn:xmpp:sm:3'/>",
    ] {
        let mut peer = online_with(config(), enabled);
        assert_eq!(peer.engine.suspend(peer.now), None);
        assert!(peer.heard().ends_with("</stream:stream>"));
        peer.say("</stream:stream>");
        peer.engine.handle_eof(peer.now);
        assert!(matches!(peer.events().last(), Some(Event::Closed)));
    }
}

/// The server took it, and the room does not send it back: whether it is there is for the
/// archive to say, and never a reason to send it again.
#[test]
fn a_post_that_the_server_handled_and_nobody_hears_is_unknown_at_its_deadline() {
    let (mut peer, room) = in_room();
    let begun = peer.now;
    let (id, _) = post(&mut peer, room, "one");
    cut(&mut peer);
    peer.events();
    ask_to_resume(&mut peer, 2);
    peer.say(&resumed(4));
    assert!(!peer.heard().contains("<message"));
    peer.say(&ack(4));
    // The room is asked long before that whether we are in it at all.
    let mut pinged = None;
    loop {
        let written = peer.heard();
        assert!(!written.contains("<message"), "{written}");
        if let Some(at) = written.find("<ping xmlns='urn:xmpp:ping'/>") {
            let start = written[..at].rfind("<iq ").unwrap();
            let iq = attribute(&written[start..], "id").to_owned();
            let to = attribute(&written[start..], "to").to_owned();
            if to == format!("{ROOM}/ada") {
                assert_eq!(pinged.replace(peer.now.since(begun)), None, "asked twice");
            }
            peer.say(&format!("<iq type='result' id='{iq}' from='{to}'/>"));
        } else if written.contains(ASK) {
            peer.say(&ack(5));
        }
        let of = outcomes(&peer.events());
        if let [(of, PostOutcome::Unknown { .. })] = &of[..] {
            assert_eq!(*of, id);
            break;
        }
        assert_eq!(of, []);
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    }
    let pinged = pinged.expect("a self-ping");
    assert!(pinged <= secs(20), "{pinged:?}");
    assert_eq!(peer.now.since(begun), secs(60));
}

/// The room had lost us in silence: what it then says of the archive decides in time.
#[test]
fn a_silent_eviction_is_noticed_by_the_post_that_is_not_heard() {
    let (mut peer, room) = in_room();
    let begun = peer.now;
    post(&mut peer, room, "one");
    peer.say(&ack(4));
    let ping = loop {
        let written = peer.heard();
        if let Some(at) = written.find("<ping xmlns='urn:xmpp:ping'/>") {
            break written[written[..at].rfind("<iq ").unwrap()..].to_owned();
        }
        let deadline = peer.engine.wants().deadline.expect("a deadline");
        peer.now = peer.now.max(deadline.at);
        peer.engine.handle_timeout(peer.now);
    };
    assert!(peer.now.since(begun) <= secs(10), "{:?}", peer.now);
    let iq = attribute(&ping, "id").to_owned();
    peer.say(&format!(
        "<iq type='error' id='{iq}' from='{ROOM}/ada'><error type='cancel'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    let left = room_events(&peer.events());
    assert!(
        matches!(
            left[..],
            [RoomEvent::Left {
                cause: parley_xmpp::LeaveCause::Dropped,
                ..
            }]
        ),
        "{left:?}"
    );
}

/// What was written down can be read: a session whose text would be too long for that is
/// ended instead, and nobody is left with half of one.
#[test]
fn a_session_that_lacks_more_than_its_text_holds_is_closed() {
    for (posts, kept) in [(40, true), (60, false)] {
        let mut config = config();
        config.limits.unacked_bytes = 64 * 1024 * 1024;
        let (mut peer, room) = in_room_of(config, ENABLED);
        let body = "x".repeat(250_000);
        for _ in 0..posts {
            post(&mut peer, room, &body);
        }
        let saved = peer.engine.suspend(peer.now);
        assert_eq!(saved.is_some(), kept, "{posts} posts");
        if let Some(saved) = saved {
            let text = saved.to_string();
            assert!(text.len() <= SavedSession::MAX_BYTES);
            assert_eq!(SavedSession::parse(&text), Ok(saved));
        } else {
            assert!(peer.heard().ends_with("</stream:stream>"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was said, what is written down of it can be read.
    #[test]
    fn what_an_engine_saves_can_be_read(
        bodies in proptest::collection::vec("[\\n\\t -~\u{a0}-\u{d7ff}\u{e000}-\u{fffd}😀]{1,40}", 1..8),
        taken in 0..4_usize,
        broken in any::<bool>(),
    ) {
        let (mut peer, room) = in_room();
        for (n, body) in bodies.iter().enumerate() {
            peer.engine.post(peer.now, room, Post::new(body)).unwrap();
            if n < taken {
                peer.heard();
            }
        }
        if broken {
            cut(&mut peer);
        }
        let saved = peer.engine.suspend(peer.now).expect("a session");
        prop_assert_eq!(SavedSession::parse(&saved.to_string()), Ok(saved));
    }
}

/// Who has a session has logged in: what somebody says in clear before anything is proven does not
/// end it.
#[test]
fn a_session_that_was_handed_on_does_not_end_by_what_is_said_in_clear() {
    let (mut peer, _) = in_room();
    let (saved, _) = another(&mut peer);
    let seed = Seed::new([9; 32]);
    peer.engine = Engine::resume(config(), seed, peer.now, saved);
    let clear = parley_xmpp::Security::Clear { loopback: false };
    peer.engine.transport_opened(peer.now, clear);
    peer.heard();
    let text = format!("{}<stream:features/>", peer::HEADER);
    let _ = peer.engine.handle_input(peer.now, text.as_bytes());
    let events = peer.events();
    let ends = |event: &Event| {
        matches!(
            event,
            Event::Offline {
                retry: parley_xmpp::Retry::Never,
                ..
            }
        )
    };
    assert!(!events.iter().any(ends), "{events:?}");
    ask_to_resume(&mut peer, 2);
}
