//! The stream, its deadlines, and what its host does out of turn.

use crate::peer::{BIND, HEADER, PLAIN, message};
use crate::scram::{Scram, base64};
use crate::*;
use parley_xmpp::{
    ChannelBinding, Config, ConfigError, OfflineCause, Post, PostOutcome, QueryError, Retry,
};

const SCRAM: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>";

/// A peer whose challenge the engine works on.
fn at_work(iterations_per_call: u32) -> (Peer, Scram) {
    let mut config = Config::new("parley.local", "alice", "secret").unwrap();
    config.limits.scram_iterations_per_call = iterations_per_call;
    let mut peer = Peer::new(config);
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.say(SCRAM);
    let mut scram = Scram::new("SCRAM-SHA-256", "secret");
    let sent = peer.heard();
    let auth = &sent[sent.find("<auth").unwrap()..];
    let auth = &auth[auth.find('>').unwrap() + 1..auth.find("</auth>").unwrap()];
    let first = base64(&scram.first(auth));
    peer.say(&format!(
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{first}</challenge>"
    ));
    (peer, scram)
}

#[test]
fn a_spurious_tls_established_changes_nothing() {
    let negotiating = || {
        let mut peer = Peer::new(config());
        peer.engine.transport_opened(peer.now, secure());
        peer.say(HEADER);
        peer
    };
    let draining = || {
        let mut peer = Peer::online(config());
        peer.say(CONFLICT);
        peer
    };
    let waiting = || {
        let mut peer = Peer::online(config());
        cut(&mut peer);
        peer
    };
    let parting = || {
        let mut peer = Peer::online(config());
        peer.engine.close(peer.now);
        peer
    };
    let closed = || {
        let mut peer = Peer::new(config());
        peer.engine.close(peer.now);
        peer
    };
    let states = [
        ("connecting", Peer::new(config())),
        ("negotiating", negotiating()),
        ("online", in_room().0),
        ("draining", draining()),
        ("waiting", waiting()),
        ("parting", parting()),
        ("closed", closed()),
    ];
    for (state, mut peer) in states {
        peer.events();
        let before = format!("{:?}", peer.engine.wants());
        peer.engine
            .tls_established(peer.now, ChannelBinding::default());
        assert_eq!(format!("{:?}", peer.engine.wants()), before, "{state}");
        assert_eq!(peer.events(), [], "{state}");
    }
    let (mut peer, room) = in_room();
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    peer.say(&message("bob", "a1", "still heard"));
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    assert!(peer.heard().contains("<body>hi</body>"));
}

#[test]
fn work_and_login_due_together_end_the_stream_in_good_order() {
    let (mut peer, _) = at_work(1);
    assert_eq!(peer.engine.wants().deadline.unwrap().why, Timer::Work);
    // Both are due: the next slice of work, and the end of all patience.
    peer.now = peer.now.plus(peer.engine.config().timing.login);
    peer.engine.handle_timeout(peer.now);
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::TimedOut(Timer::Login),
                retry: Retry::At(_),
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    let said = peer.heard();
    assert!(
        said.contains("<connection-timeout") && said.ends_with("</stream:stream>"),
        "{said}"
    );
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
    peer.engine.handle_eof(peer.now);
    until_connect(&mut peer);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
}

#[test]
fn reconnect_while_the_old_transport_is_closed_asks_for_a_new_one() {
    let (mut peer, _) = in_room();
    peer.say(CONFLICT);
    assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
    peer.engine.reconnect(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
    assert_eq!(peer.heard(), "", "what was left to write is let go");
    // What the host still says of the old transport is not about the new one.
    peer.engine.handle_eof(peer.now);
    peer.events();
    peer.log_in();
    assert_eq!(peer.engine.wants().transport, Transport::Open);
}

#[test]
fn reconnect_right_after_the_end_is_heeded() {
    let (mut peer, _) = in_room();
    peer.say(CONFLICT);
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    peer.engine.reconnect(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
    // Nor does it wait for the backoff.
    let (mut peer, _) = in_room();
    cut(&mut peer);
    peer.engine.reconnect(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
}

#[test]
fn events_of_our_own_commands_stop_the_clock_that_accuses_the_peer() {
    let mut config = config();
    config.limits.events = 1;
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    peer.pass(secs(30));
    assert!(peer.heard().contains("urn:xmpp:ping"));
    // Its event fills the queue: from now on the answer could not be heard.
    peer.engine.leave(peer.now, room);
    assert!(!peer.engine.wants().read);
    peer.heard();
    peer.pass(secs(20));
    let events = peer.events();
    assert!(
        matches!(events[..], [Event::Room { .. }]),
        "nobody is declared dead: {events:?}"
    );
    // The server has as long to answer as it had then, and no longer.
    peer.pass(Duration::from_millis(14_900));
    assert_eq!(peer.events(), []);
    peer.pass(secs(1));
    assert!(matches!(
        peer.events()[..],
        [Event::Offline {
            cause: OfflineCause::TimedOut(Timer::KeepaliveReply),
            ..
        }]
    ));
}

#[test]
fn a_server_that_bears_little_silence_hears_us_in_a_busy_room_too() {
    let mut peer = Peer::new(config());
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.say(PLAIN);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(HEADER);
    peer.say(&BIND.replace(
        "</stream:features>",
        "<limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>60</idle-seconds></limits>\
         </stream:features>",
    ));
    let sent = peer.heard();
    let bind = iq(requests(&sent)[0]).to_owned();
    peer.say(&format!(
        "<iq type='result' id='{bind}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/here</jid></bind></iq>"
    ));
    peer.join(ROOM_FEATURES);
    peer.heard();
    let mut silent = 0;
    for n in 0..360 {
        peer.pass(secs(10));
        let said = peer.heard();
        silent = if said.is_empty() { silent + 10 } else { 0 };
        assert!(silent < 60, "silent for {silent} s");
        pong(&mut peer, &said);
        peer.say(&message("bob", &format!("m{n}"), "hi"));
        assert!(
            !peer
                .events()
                .iter()
                .any(|e| matches!(e, Event::Offline { .. }))
        );
    }
}

#[test]
fn bounds_of_zero_do_not_wedge_the_engine() {
    let mut config = config();
    let limits = &mut config.limits;
    limits.events = 0;
    limits.event_bytes = 0;
    limits.held_messages = 0;
    limits.held_bytes = 0;
    limits.page = 0;
    limits.remembered_ids = 0;
    limits.occupants = 0;
    config.anchor_at_join = false;
    let (mut peer, room) = in_room_of(config, ROOM_FEATURES);
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    peer.say(&message("ada", "a1", "hi").replace("m-a1", &origin));
    assert!(matches!(
        peer.events()[..],
        [Event::Post {
            outcome: PostOutcome::Committed { .. },
            ..
        }]
    ));
    peer.engine.fetch(peer.now, room, everything(5)).unwrap();
    let asked = query(&mut peer);
    assert!(asked.contains("<max>1</max>"), "{asked}");
    peer.say(&peer::archived(query_id(&asked), "a1", "hi"));
    peer.say(&fin(iq(&asked), true, &["a1"]));
    let (found, ends) = fetched(peer.events());
    assert_eq!((found.len(), ends.len()), (1, 1));
    peer.engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.events();
    peer.say(&message("bob", "a2", "live"));
    assert_eq!(bodies(&entries(peer.events())), ["live"]);
}

#[test]
fn an_engine_that_may_keep_nothing_unwritten_reads_once_it_is_written() {
    let mut config = config();
    config.limits.write_bytes = 0;
    let mut peer = Peer::new(config);
    peer.engine.transport_opened(peer.now, secure());
    assert!(!peer.engine.wants().read);
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    let mut last = String::new();
    for said in [HEADER, PLAIN, success, HEADER, BIND] {
        peer.heard();
        peer.say(said);
        last = peer.engine.wants().write.escape_ascii().to_string();
    }
    assert!(last.contains("xmpp-bind"), "{last}");
}

#[test]
fn a_login_in_slices_of_no_size_is_finished_all_the_same() {
    let (mut peer, scram) = at_work(0);
    let mut turns = 0;
    while peer.engine.wants().write.is_empty() {
        assert_eq!(peer.engine.wants().deadline.unwrap().why, Timer::Work);
        turn(&mut peer);
        turns += 1;
        assert!(turns <= 5000);
    }
    let sent = peer.heard();
    let response = &sent[sent.find('>').unwrap() + 1..sent.find("</response>").unwrap()];
    assert!(scram.last(response, b"").is_some());
}

#[test]
fn a_resource_that_cannot_be_sent_is_refused_beforehand() {
    for wrong in ["", "a\u{1}b", "a\u{fffe}b", &"x".repeat(1024)] {
        let refused = config().resource(wrong).unwrap_err();
        assert!(matches!(refused, ConfigError::Resource(_)), "{refused:?}");
    }
    let mut peer = Peer::new(config().resource("desk & <chair>").unwrap());
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.say(PLAIN);
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(HEADER);
    peer.say(BIND);
    assert!(
        peer.heard()
            .contains("<resource>desk &amp; &lt;chair&gt;</resource>")
    );
}

#[test]
fn long_polls_starve_no_subscription() {
    let (mut peer, room) = in_room();
    for _ in 0..64 {
        let poll = everything(1).wait(secs(3600));
        peer.engine.fetch(peer.now, room, poll).unwrap();
        let asked = query(&mut peer);
        nothing(&mut peer, &asked);
    }
    assert_eq!(
        peer.engine.fetch(peer.now, room, everything(1)),
        Err(QueryError::Busy)
    );
    let id = peer
        .engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    assert!(
        peer.events()
            .iter()
            .any(|e| matches!(e, Event::Entry { subscription, entry: Entry::CaughtUp { .. } } if *subscription == id))
    );
}
