//! Requests, answers and bounds: R1 to R7.

use std::time::Duration;

use parley_xmpp::jid::{BareJid, Jid};
use parley_xmpp::{
    Condition, JoinError, JoinRoom, Limits, Nick, Post, PostError, QueryError, QueryId,
    RequestError,
};

use crate::peer::{ROOM_FEATURES, message, presence};
use crate::*;

/// A discovery, and the id of its request.
fn asking(of: &str) -> (Peer, QueryId, String) {
    let mut peer = online();
    let of = Jid::parse(of).unwrap();
    let query = peer.engine.disco_info(peer.now, &of).unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    (peer, query, id)
}

fn answer(kind: &str, id: &str, from: &str) -> String {
    format!(
        "<iq type='{kind}' id='{id}'{from}><query xmlns='http://jabber.org/protocol/disco#info'>\
         <feature var='f'/></query></iq>"
    )
}

fn outcomes(peer: &mut Peer) -> Vec<Result<bool, RequestError>> {
    let events = peer.events().into_iter();
    events
        .map(|event| match event {
            Event::Disco { result, .. } => result.map(|info| info.has("f")),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn r01_an_answer_counts_only_from_whom_was_asked() {
    let (mut peer, _, id) = asking("muc.parley.local");
    for from in [
        " from='evil.example'",
        " from='mallory@parley.local'",
        " from='alice@parley.local/other'",
        " from='muc.parley.local/x'",
        " from='x@muc.parley.local'",
        " from='muc.parley.local.evil.example'",
        " from='parley.local'",
        " from=''",
        "",
    ] {
        for kind in ["result", "error"] {
            peer.say(&answer(kind, &id, from));
            assert_eq!(outcomes(&mut peer), [], "{kind}{from}");
        }
    }
    peer.say(&answer("result", &id, " from='MUC.parley.local'"));
    assert_eq!(outcomes(&mut peer), [Ok(true)]);
    // Who names nobody is our own server, for our account and its own domain.
    for of in ["parley.local", "alice@parley.local"] {
        let (mut peer, _, id) = asking(of);
        peer.say(&answer("result", &id, ""));
        assert_eq!(outcomes(&mut peer), [Ok(true)], "{of}");
    }
}

#[test]
fn r02_the_first_answer_counts_and_no_other() {
    let from = " from='muc.parley.local'";
    let (mut peer, _, id) = asking("muc.parley.local");
    assert!(id.len() >= 22, "128 bits: {id}");
    peer.say(&answer("result", "unsolicited", from));
    peer.say(&answer("error", &id, from));
    for kind in ["result", "error"] {
        peer.say(&answer(kind, &id, from));
    }
    assert!(matches!(
        outcomes(&mut peer)[..],
        [Err(RequestError::Refused(_))]
    ));
    // Too late.
    let (mut peer, _, id) = asking("muc.parley.local");
    for _ in 0..31 {
        peer.pass(Duration::from_secs(1));
        peer.say("<message/>");
    }
    assert_eq!(outcomes(&mut peer), [Err(RequestError::TimedOut)]);
    peer.say(&answer("result", &id, from));
    assert_eq!(outcomes(&mut peer), []);
    // On the next stream.
    let (mut peer, _, id) = asking("muc.parley.local");
    peer.engine.handle_eof(peer.now);
    peer.events();
    peer.pass(Duration::from_secs(1));
    peer.log_in();
    peer.say(&answer("result", &id, from));
    assert_eq!(outcomes(&mut peer), []);
}

#[test]
fn r03_a_ping_is_answered_and_nothing_else_granted() {
    let mut peer = online();
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    for (from, to) in [
        ("", ""),
        (" from='parley.local'", " to='parley.local'"),
        (
            " from='ops@muc.parley.local/ada'",
            " to='ops@muc.parley.local/ada'",
        ),
    ] {
        peer.say(&format!("<iq type='get' id='1'{from}>{ping}</iq>"));
        assert_eq!(peer.heard(), format!("<iq type='result' id='1'{to}/>"));
    }
    for (request, condition) in [
        (
            "<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
            "service-unavailable",
        ),
        (
            &*format!("<iq type='set' id='1'>{ping}</iq>"),
            "service-unavailable",
        ),
        // Not one child.
        ("<iq type='get' id='1'/>", "bad-request"),
        (
            &format!("<iq type='get' id='1'>{ping}{ping}</iq>"),
            "bad-request",
        ),
        (
            &format!("<iq type='get' id='1'>{ping}<x xmlns='u'/></iq>"),
            "bad-request",
        ),
        // No id, or no type that there is.
        (&format!("<iq type='get'>{ping}</iq>"), "bad-request"),
        (
            &format!("<iq type='nonsense' id='1'>{ping}</iq>"),
            "bad-request",
        ),
        (&format!("<iq id='1'>{ping}</iq>"), "bad-request"),
    ] {
        peer.say(request);
        let said = peer.heard();
        assert!(said.starts_with("<iq type='error' "), "{request}: {said}");
        assert_eq!(
            said.matches(&format!("<{condition} ")).count(),
            1,
            "{request}: {said}"
        );
    }
    // An answer is never answered.
    for odd in [
        "<iq type='result'/>",
        "<iq type='error' id='1'/>",
        "<iq type='result' id='1'/>",
    ] {
        peer.say(odd);
        assert_eq!(
            (peer.heard(), peer.events()),
            (String::new(), vec![]),
            "{odd}"
        );
    }
}

#[test]
fn r04_a_contact_list_is_nobodys_to_push() {
    let mut peer = online();
    let query = "<query xmlns='jabber:iq:roster'><item jid='evil@x' subscription='both'/></query>";
    for from in [
        "",
        " from='evil@x'",
        " from='alice@parley.local'",
        " from='parley.local'",
    ] {
        peer.say(&format!("<iq type='set' id='1'{from}>{query}</iq>"));
        let said = peer.heard();
        assert!(said.contains("<service-unavailable "), "{from}: {said}");
    }
    assert_eq!(peer.events(), []);
}

#[test]
fn r05_an_error_that_says_nothing_is_an_error() {
    let from = " from='muc.parley.local'";
    for inner in [
        "",
        "<error/>",
        "<error type='nonsense'><made-up xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "<error xmlns='urn:example:other'/>",
    ] {
        let (mut peer, _, id) = asking("muc.parley.local");
        peer.say(&format!("<iq type='error' id='{id}'{from}>{inner}</iq>"));
        let told = outcomes(&mut peer);
        let [Err(RequestError::Refused(error))] = &told[..] else {
            panic!("{inner}: {told:?}");
        };
        assert_eq!(error.condition, Condition::UndefinedCondition);
    }
    // A result with an error in it is a result, of nothing.
    let (mut peer, _, id) = asking("muc.parley.local");
    let error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    peer.say(&format!("<iq type='result' id='{id}'{from}>{error}</iq>"));
    assert_eq!(outcomes(&mut peer), [Ok(false)]);
}

#[test]
fn r06_nobody_subscribes_to_us() {
    let (mut peer, _) = in_room(ROOM_FEATURES);
    for kind in [
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "probe",
        "nonsense",
    ] {
        for from in [
            "mallory@parley.local",
            "ops@muc.parley.local/bob",
            "parley.local",
        ] {
            peer.say(&format!("<presence type='{kind}' from='{from}'/>"));
        }
    }
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
}

#[test]
fn r07_every_collection_has_a_bound_and_something_happens_at_it() {
    // Requests of ours.
    let mut peer = online();
    let of = Jid::parse("muc.parley.local").unwrap();
    let mut asked = 0;
    while peer.engine.disco_info(peer.now, &of).is_ok() {
        asked += 1;
    }
    assert_eq!(asked, Limits::default().queries);
    // Rooms.
    let mut config = config();
    config.limits.rooms = 3;
    config.limits.posts_per_room = 4;
    config.limits.subscriptions = 2;
    config.limits.events = 5;
    let mut peer = Peer::online(config);
    peer.heard();
    let rooms: Vec<_> = (0..5)
        .map(|n| {
            let room = BareJid::parse(&format!("r{n}@muc.parley.local")).unwrap();
            peer.engine
                .join(peer.now, JoinRoom::new(room, Nick::Random))
        })
        .collect();
    assert_eq!(
        rooms[3..],
        [Err(JoinError::TooMany), Err(JoinError::TooMany)]
    );
    // Who follows them.
    let room = rooms[0].unwrap();
    for due in [Ok(()), Ok(()), Err(QueryError::TooManySubscriptions)] {
        let follow = peer.engine.subscribe(peer.now, room, Start::Now, 1);
        assert_eq!(follow.map(drop), due);
    }
    // Posts.
    let posts: Vec<_> = (0..5)
        .map(|_| peer.engine.post(peer.now, room, Post::new("x")).map(drop))
        .collect();
    assert_eq!(posts[4], Err(PostError::Busy));
    assert!(posts[..4].iter().all(Result::is_ok));
    // Events: what is not taken is not read.
    peer.heard();
    let mut coming = presence("ada", "<status code='110'/>");
    for n in 0..100 {
        coming += &presence(&format!("n{n}"), "");
    }
    let coming = coming.replace(ROOM, "r0@muc.parley.local");
    let taken = peer.engine.handle_input(peer.now, coming.as_bytes());
    assert!(taken < coming.len() && !peer.engine.wants().read);
    assert_eq!(peer.events().len(), 5);
    assert!(peer.engine.wants().read);
    // What somebody makes us write and does not read.
    let mut config = crate::config();
    config.limits.write_bytes = 1000;
    let mut peer = Peer::online(config);
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>".repeat(1000);
    let taken = peer.engine.handle_input(peer.now, ping.as_bytes());
    assert!(taken < ping.len() && peer.engine.wants().write.len() < 4000);
    // What is said while a page of the archive does not come.
    let mut config = crate::config();
    config.limits.held_messages = 10;
    let mut peer = Peer::online(config);
    peer.heard();
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 100)
        .unwrap();
    peer.heard();
    for n in 0..10_000 {
        peer.say(&message("bob", &format!("m{n}"), "flood"));
    }
    assert_eq!(peer.events(), []);
    let (held, most) = (peer.engine.held_bytes(), 64 * 1024);
    assert!(held < most, "{held}");
    assert!(held < peer.engine.config().limits.worst_case_bytes());
}

/// What the transport took is let go of, however it takes it.
#[test]
fn r07_what_was_written_is_let_go() {
    const MOST: usize = 500_000;
    let mut config = config();
    config.limits.write_bytes = MOST;
    let mut peer = Peer::online(config);
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>".repeat(1000);
    let mut most = 0;
    for _ in 0..50 {
        while peer.engine.wants().read {
            assert!(peer.engine.handle_input(peer.now, ping.as_bytes()) > 0);
        }
        most = most.max(peer.engine.held_bytes());
        let waiting = peer.engine.wants().write.len();
        // Little by little, so that for long not half of it is gone.
        peer.engine.written(peer.now, waiting / 4);
    }
    assert!(most < 9 * MOST as u64 / 2, "{most}");
}

/// What waits for the host is counted with all that a peer can put into it.
#[test]
fn r07_events_weigh_what_they_hold() {
    let mut config = config();
    config.limits.events = 100_000;
    config.limits.event_bytes = 64 * 1024;
    let mut peer = Peer::online(config);
    peer.join("");
    peer.events();
    let nicks = ["a", "b"].map(|letter| letter.repeat(1023));
    for nick in nicks.iter().cycle().take(10_000) {
        let renamed = presence(nick, "<status code='110'/>");
        if peer.engine.handle_input(peer.now, renamed.as_bytes()) < renamed.len() {
            break;
        }
    }
    assert!(!peer.engine.wants().read);
    let events = peer.events();
    assert!((16..=32).contains(&events.len()), "{}", events.len());
}
