//! One address in several spellings: wherever a peer writes one, it is compared prepared
//! (RFC 7622, section 3.2.3). With the feature `precis` that goes beyond ASCII.

use crate::peer::{BIND, HEADER, PLAIN, archived, message};
use crate::*;
use parley_xmpp::jid::Jid;
use parley_xmpp::{Config, JoinError, Post, PostOutcome};

/// Other spellings of [`ROOM`].
const SPELLINGS: &[&str] = &[
    "OPS@MUC.Parley.LOCAL",
    "ops@muc.parley.local.",
    "Ops@muc.parley.local.",
    #[cfg(feature = "precis")]
    "\u{ff4f}p\u{ff33}@muc.parley.local",
    #[cfg(feature = "precis")]
    "ops@\u{ff2d}uc.parley.local.",
];

/// What looks like [`ROOM`] and is not.
const STRANGERS: &[&str] = &[
    "ops@muc.parley.local..",
    "ops.@muc.parley.local",
    "ops@muc.parley.loca\u{2113}",
    "\u{43e}ps@muc.parley.local",
    "o\u{ad}ps@muc.parley.local",
    "op\u{17f}@muc.parley.local",
    "ops@muc\u{3002}parley.local",
    "ops@xn--muc-.parley.local",
    #[cfg(not(feature = "precis"))]
    "\u{ff4f}ps@muc.parley.local",
];

fn spelt(said: &str, room: &str) -> String {
    said.replace(ROOM, room)
}

/// In a room that spells its address so in its answers; `None` if none of them counts.
fn in_room_spelt(room: &str) -> Option<(Peer, RoomId)> {
    let mut peer = Peer::online(config());
    let id = peer.engine.join(peer.now, ada()).unwrap();
    let sent = peer.heard();
    let asked = requests(&sent).last().map(|request| iq(request).to_owned());
    peer.say(&spelt(&presence("ada", "<status code='110'/>"), room));
    let answer = features(&asked.expect("a question"), ROOM_FEATURES);
    peer.say(&spelt(&answer, room));
    peer.events().iter().any(joined).then_some((peer, id))
}

#[test]
fn presences_and_answers_of_a_room_are_its_own_in_any_spelling() {
    for room in SPELLINGS {
        assert!(in_room_spelt(room).is_some(), "{room}");
    }
    for room in STRANGERS {
        assert!(in_room_spelt(room).is_none(), "{room}");
    }
}

#[test]
fn reflections_and_the_places_in_them_are_of_the_room_in_any_spelling() {
    let place = |from: &str, by: &str| {
        let (mut peer, id) = in_room();
        peer.engine.post(peer.now, id, Post::new("hi")).unwrap();
        let origin = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<message from='{from}/ada' type='groupchat' id='{origin}'><body>hi</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='a1'/></message>"
        ));
        match &peer.events()[..] {
            [] => None,
            [
                Event::Post {
                    outcome: PostOutcome::Committed { id, .. },
                    ..
                },
            ] => Some(id.as_ref().map(|id| id.as_str().to_owned())),
            other => panic!("{other:?}"),
        }
    };
    for room in SPELLINGS {
        assert_eq!(place(room, room), Some(Some("a1".into())), "{room}");
    }
    for room in STRANGERS {
        assert_eq!(place(room, ROOM), None, "{room}");
        assert_eq!(place(ROOM, room), Some(None), "{room}");
    }
}

#[test]
fn pages_of_an_archive_are_of_the_room_in_any_spelling() {
    let read = |outer: &str, inner: &str| {
        let (mut peer, id) = in_room();
        peer.engine.fetch(peer.now, id, everything(9)).unwrap();
        let query = query(&mut peer);
        let said = archived(query_id(&query), "a1", "hi");
        let of_bob = format!("{ROOM}/bob");
        let said = said.replace(&of_bob, &format!("{inner}/bob"));
        peer.say(&said.replace(&format!("from='{ROOM}'"), &format!("from='{outer}'")));
        peer.say(&spelt(&fin(iq(&query), true, &["a1"]), outer));
        fetched(peer.events()).0.len()
    };
    for room in SPELLINGS {
        assert_eq!(read(room, room), 1, "{room}");
    }
    for room in STRANGERS {
        assert_eq!(read(room, ROOM), 0, "{room}");
        assert_eq!(read(ROOM, room), 0, "{room}");
    }
}

#[test]
fn history_is_the_rooms_in_any_spelling() {
    let said_now = |by: &str| {
        let (mut peer, id) = in_room();
        peer.engine.post(peer.now, id, Post::new("hi")).unwrap();
        peer.heard();
        peer.engine
            .subscribe(peer.now, id, Start::Now, 100)
            .unwrap();
        let query = query(&mut peer);
        nothing(&mut peer, &query);
        peer.events();
        let delay = format!(
            "<delay xmlns='urn:xmpp:delay' from='{by}' stamp='2020-01-01T00:00:00Z'/></message>"
        );
        peer.say(&message("bob", "a9", "old").replace("</message>", &delay));
        entries(peer.events()).len()
    };
    assert_eq!(said_now(ROOM), 0);
    for room in SPELLINGS {
        assert_eq!(said_now(room), 0, "{room}");
    }
    for room in STRANGERS {
        assert_eq!(said_now(room), 1, "{room}");
    }
}

/// The farewell of the first stay was taken for one of the second, and the room left
/// unjoined until the patience was over.
#[test]
fn a_farewell_is_the_rooms_in_any_spelling() {
    for room in SPELLINGS {
        let (mut peer, first) = in_room();
        peer.engine.leave(peer.now, first);
        peer.engine.join(peer.now, ada()).unwrap();
        peer.heard();
        peer.say(&spelt(&out(""), room));
        assert_eq!(joins(&peer.heard()).len(), 1, "{room}");
    }
}

#[test]
fn the_stream_and_the_account_are_ours_in_any_spelling() {
    let online = |domain: &str, account: &str| {
        let mut peer = Peer::new(config());
        peer.engine.transport_opened(peer.now, secure());
        for said in [
            HEADER,
            PLAIN,
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            HEADER,
        ] {
            peer.say(&said.replace("parley.local", domain));
        }
        peer.heard();
        peer.say(BIND);
        let id = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>{account}/here</jid></bind></iq>"
        ));
        peer.events().into_iter().find_map(|event| match event {
            Event::Online { jid, .. } => Some(jid),
            _ => None,
        })
    };
    let ours = Jid::parse("alice@parley.local/here").unwrap();
    for (domain, account) in [
        ("Parley.local.", "Alice@Parley.LOCAL."),
        ("PARLEY.local", "alice@parley.local."),
        #[cfg(feature = "precis")]
        ("p\u{ff21}rley.local", "\u{ff21}lice@parley.\u{ff4c}ocal"),
    ] {
        assert_eq!(online(domain, account).as_ref(), Some(&ours), "{account}");
    }
    assert_eq!(online("parley.local", "al\u{131}ce@parley.local"), None);
}

#[test]
fn what_the_host_gives_goes_out_prepared() {
    let mut config = Config::new("parley.local", "alice", "secret").unwrap();
    config.allow_plain = true;
    // A with a diaeresis, in two characters.
    let config = config.resource("A\u{308}").unwrap();
    let mut peer = Peer::new(config);
    peer.authenticate();
    peer.heard();
    peer.say(BIND);
    let bind = peer.heard();
    let (name, nick) = if cfg!(feature = "precis") {
        ("\u{c4}", "\u{e4} b")
    } else {
        ("A\u{308}", "a\u{308}\u{a0}b")
    };
    assert!(
        bind.contains(&format!("<resource>{name}</resource>")),
        "{bind}"
    );

    let mut peer = Peer::online(crate::config());
    let join = ops(Nick::Chosen("a\u{308}\u{a0}b".into()));
    peer.engine.join(peer.now, join).unwrap();
    let sent = peer.heard();
    assert!(sent.contains(&format!("to='{ROOM}/{nick}'")), "{sent}");
    // The room says no more than that somebody of this nick is there: it is us.
    let asked = requests(&sent).last().map(|request| iq(request).to_owned());
    peer.say(&presence(nick, ""));
    peer.pass(secs(10));
    peer.say(&features(&asked.expect("a question"), ROOM_FEATURES));
    assert!(peer.events().iter().any(joined));
}

/// Two occupants whom the room tells apart stay two, though a profile maps one nick to the
/// other: who is not us could else settle our posts.
#[test]
fn occupants_are_whom_the_room_tells_apart() {
    let mut peer = Peer::online(config());
    let join = ops(Nick::Chosen("a b".into()));
    let id = peer.engine.join(peer.now, join).unwrap();
    peer.let_in("a b", ROOM_FEATURES);
    peer.events();
    peer.engine.post(peer.now, id, Post::new("hi")).unwrap();
    let origin = attribute(&peer.heard(), "id").to_owned();
    let said = |nick: &str| {
        format!(
            "<message from='{ROOM}/{nick}' type='groupchat' id='{origin}'><body>hi</body>\
             </message>"
        )
    };
    peer.say(&said("a\u{a0}b"));
    assert_eq!(peer.events(), []);
    peer.say(&said("a b"));
    assert_eq!(peer.events().len(), 1);
}

#[test]
fn a_nick_of_today_is_one() {
    for (nick, is_one) in [
        // A robot, of Unicode 8; a face, of Unicode 6.
        ("\u{1f916}", true),
        ("\u{1f600}", true),
        ("Zo\u{eb}", true),
        ("", false),
        ("a\u{7}", false),
        // Not a character yet, and never one.
        ("\u{e0080}", !cfg!(feature = "precis")),
        ("\u{ffff}", false),
    ] {
        let mut peer = Peer::online(config());
        let joined = peer.engine.join(peer.now, ops(Nick::Chosen(nick.into())));
        if is_one {
            assert!(joined.is_ok(), "{nick:?}");
        } else {
            assert_eq!(joined, Err(JoinError::InvalidNick), "{nick:?}");
        }
    }
}
