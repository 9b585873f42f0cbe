//! The link under it all: silence, back-pressure, conflicts, backoff.

use crate::*;

#[test]
fn a_silent_server_is_asked_and_then_given_up() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.pass(Duration::from_secs(30));
    assert!(peer.heard().contains("urn:xmpp:ping"));
    // White space is no answer (RFC 6120, section 4.6.1): it may be a buffer's.
    peer.say(" \n ");
    peer.pass(Duration::from_secs(14));
    assert_eq!(peer.events(), []);
    peer.pass(Duration::from_secs(1));
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::TimedOut(Timer::KeepaliveReply),
                retry: Retry::At(_),
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    assert!(peer.heard().ends_with("</stream:stream>"));
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
}

#[test]
fn a_peer_that_does_not_read_is_given_up_and_makes_us_keep_little() {
    let mut peer = Peer::online(config());
    peer.heard();
    let ping = "<iq type='get' id='p' from='parley.local'><ping xmlns='urn:xmpp:ping'/></iq>";
    let flood = ping.repeat(1000);
    let mut refused = false;
    for _ in 0..100 {
        let taken = peer.engine.handle_input(peer.now, flood.as_bytes());
        if taken < flood.len() {
            refused = true;
            break;
        }
    }
    assert!(refused && !peer.engine.wants().read);
    assert!(peer.engine.wants().write.len() < 3 * 1024 * 1024);
    peer.reads = false;
    peer.pass(Duration::from_secs(30));
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::TimedOut(Timer::Write),
                retry: Retry::At(_),
            },
        ] => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn back_pressure_is_not_death() {
    let mut config = config();
    config.limits.events = 8;
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.engine.fetch(peer.now, room, Fetch::newest(5)).unwrap();
    peer.heard();
    let coming: String = (0..100).map(|n| presence(&format!("n{n}"), "")).collect();
    let taken = peer.engine.handle_input(peer.now, coming.as_bytes());
    assert!(taken < coming.len() && !peer.engine.wants().read);
    // An hour passes without us listening: nobody is declared dead for it.
    peer.pass(Duration::from_secs(3600));
    let events = peer.events();
    assert!(
        events.iter().all(|e| matches!(e, Event::Room { .. })),
        "{events:?}"
    );
    let rest = &coming[taken..];
    assert!(peer.engine.handle_input(peer.now, rest.as_bytes()) > 0);
    peer.events();
    // The peer has as long to answer as it had before.
    peer.pass(Duration::from_secs(29));
    assert!(
        !peer
            .events()
            .iter()
            .any(|e| matches!(e, Event::Fetch { .. }))
    );
}

/// FluuxIO/go-xmpp#45, redsolution/xabber-android#157, redsolution/xabber-android#298,
/// hannesm/jackline#193: two programs with one resource throw each other out, for ever.
#[test]
fn thread_6_a_conflict_is_the_end_of_trying() {
    let (mut peer, room) = in_room();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.heard();
    peer.say(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         </stream:stream>",
    );
    peer.engine.handle_eof(peer.now);
    let events = peer.events();
    assert!(events.iter().any(|e| matches!(
        e,
        Event::Offline {
            retry: Retry::Never,
            ..
        }
    )));
    assert!(
        events.iter().any(|e| matches!(e, Event::Post { .. })),
        "{events:?}"
    );
    peer.pass(Duration::from_secs(86_400));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    assert_eq!(peer.engine.wants().deadline, None);
    peer.engine.reconnect(peer.now);
    assert!(matches!(
        peer.engine.wants().transport,
        Transport::Connect { .. }
    ));
}

#[test]
fn thread_5_backoff_grows_and_does_not_start_afresh_with_a_login() {
    let mut peer = Peer::online(config());
    let mut ceiling = Duration::from_millis(500);
    for round in 0..12 {
        cut(&mut peer);
        let Some(Event::Offline {
            retry: Retry::At(at),
            ..
        }) = peer
            .events()
            .into_iter()
            .find(|e| matches!(e, Event::Offline { .. }))
        else {
            panic!("no attempt in round {round}");
        };
        assert!(at.since(peer.now) <= ceiling, "round {round}");
        ceiling = (ceiling * 2).min(Duration::from_secs(60));
        peer.pass(at.since(peer.now));
        peer.log_in();
    }
    assert_eq!(ceiling, Duration::from_secs(60));
    // A stream that lasts is forgiven.
    for _ in 0..8 {
        peer.pass(Duration::from_secs(10));
        peer.say("<message/>");
    }
    cut(&mut peer);
    let again = peer.events().into_iter().find_map(|e| match e {
        Event::Offline {
            retry: Retry::At(at),
            ..
        } => Some(at.since(peer.now)),
        _ => None,
    });
    assert!(again.unwrap() <= Duration::from_millis(500));
}

/// The ping waits behind what was posted, and cannot be answered before the transport took it.
#[test]
fn a_ping_is_not_unanswered_before_it_was_heard() {
    let mut peer = Peer::online(config());
    let room = peer.join(ROOM_FEATURES);
    peer.heard();
    peer.events();
    let post = Post::new(&"x".repeat(60_000)).within(Duration::from_secs(1000));
    peer.engine.post(peer.now, room, post).unwrap();
    peer.reads = false;
    let began = peer.now;
    // The transport is slow, but takes something all the time; and the server says nothing.
    let mut pings = 0;
    while !peer.engine.wants().write.is_empty() {
        peer.pass(Duration::from_secs(1));
        let waiting = peer.engine.wants().write;
        pings = pings.max(
            waiting
                .windows(13)
                .filter(|w| w == b"urn:xmpp:ping")
                .count(),
        );
        let some = waiting.len().min(1000);
        peer.engine.written(peer.now, some);
    }
    assert!(peer.now.since(began) >= Duration::from_secs(60));
    // Not one each time that the server might be asked, while one was asked and waits.
    assert_eq!(pings, 1);
    let late = OfflineCause::TimedOut(Timer::KeepaliveReply);
    peer.pass(Duration::from_secs(14));
    let is_late = |e: &Event| matches!(e, Event::Offline { cause, .. } if *cause == late);
    assert!(!peer.events().iter().any(is_late));
    peer.pass(Duration::from_secs(1));
    assert!(peer.events().iter().any(is_late));
}

/// XEP-0478 v0.2.0 section 3: the server "MAY" end a stream on which the client is silent for longer.
/// It answers each ping at once, and hears from us all the same; or not at all.
#[test]
fn a_server_that_bears_little_silence_hears_from_us_often_enough() {
    for (managed, answers) in [(false, true), (true, true), (false, false), (true, false)] {
        for bears in [10, 20, 30, 40, 44, 50, 60, 90] {
            let limits = format!(
                "<limits xmlns='urn:xmpp:stream-limits:0'>\
                 <idle-seconds>{bears}</idle-seconds></limits></stream:features>"
            );
            let features = if managed { peer::BIND_SM } else { peer::BIND };
            let mut peer = Peer::new(config());
            peer.authenticate();
            peer.bind(&features.replace("</stream:features>", &limits));
            if managed {
                peer.say("<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>");
            }
            peer.heard();
            peer.events();
            let (mut silent, mut longest) = (0, 0);
            for _ in 0..300 {
                peer.pass(Duration::from_secs(1));
                if peer
                    .events()
                    .iter()
                    .any(|e| matches!(e, Event::Offline { .. }))
                {
                    assert!(!answers);
                    break;
                }
                let said = peer.heard();
                silent = if said.is_empty() { silent + 1 } else { 0 };
                longest = longest.max(silent);
                if said.contains("urn:xmpp:ping") && answers {
                    let ping = &said[said.rfind("<iq ").unwrap()..];
                    let id = attribute(ping, "id");
                    peer.say(&format!(
                        "<iq type='result' id='{id}' from='parley.local'/>"
                    ));
                }
                if said.contains("<r ") && answers {
                    let h = peer.sent;
                    peer.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
                }
            }
            assert!(
                longest < bears,
                "{managed} {answers} {bears}: silent for {longest} s"
            );
        }
    }
}
