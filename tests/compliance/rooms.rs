//! Rooms, their archives, and ids (XEP-0045, XEP-0059, XEP-0313, XEP-0359).

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Config, Cursor, Entry, Event, Fetch, JoinError, JoinRoom, Message, Nick, Post, PostOutcome,
    RoomEvent, RoomId, Start,
};

use crate::peer::{self, Peer, ROOM, ROOM_FEATURES, attribute, message, presence};

fn config() -> Config {
    let mut config = peer::config();
    config.anchor_at_join = false;
    config
}

fn in_room(features: &str) -> (Peer, RoomId) {
    let mut peer = Peer::online(config());
    let room = peer.join(features);
    peer.events();
    peer.heard();
    (peer, room)
}

/// XEP-0045 sections 7.2.1, 7.2.14 and 7.14.
#[test]
fn entering_and_leaving_are_written_as_they_must_be() {
    let mut peer = Peer::online(config());
    peer.heard();
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, room).unwrap();
    let join = peer.heard();
    let id = attribute(&join, "id").to_owned();
    let (join, ask) = join.split_once("</presence>").unwrap();
    assert_eq!(
        join,
        format!(
            "<presence to='{ROOM}/ada' id='{id}'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxchars='0' maxstanzas='0'/></x>"
        )
    );
    let ask = attribute(ask, "id").to_owned();
    peer.say(&presence("ada", "<status code='110'/>"));
    peer.say(&format!(
        "<iq type='result' id='{ask}' from='{ROOM}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
    ));
    peer.heard();
    peer.engine.leave(peer.now, room);
    let leave = peer.heard();
    let id = attribute(&leave, "id");
    assert_eq!(
        leave,
        format!("<presence to='{ROOM}/ada' id='{id}' type='unavailable'/>")
    );
}

/// XEP-0045 sections 14.3 and 14.5: "the user's client MUST warn the user", when it comes in
/// and when the room is changed. Whoever is the user's client beyond the host is told.
#[test]
fn a_host_is_told_what_to_warn_of() {
    let privacy = |peer: &mut Peer| {
        let events = peer.events();
        let [Event::Room { event, .. }] = &events[..] else {
            panic!("{events:?}");
        };
        match event {
            RoomEvent::Joined(joined) => joined.privacy,
            RoomEvent::PrivacyChanged(privacy) => *privacy,
            other => panic!("{other:?}"),
        }
    };
    for (at_entry, later) in [("100", "172"), ("170", "170")] {
        let enter = |statuses: &str| {
            let mut peer = Peer::online(config());
            peer.heard();
            let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
            peer.engine.join(peer.now, room).unwrap();
            let sent = peer.heard();
            let ask = attribute(sent.rsplit("<iq ").next().unwrap(), "id").to_owned();
            peer.say(&presence("ada", &format!("{statuses}<status code='110'/>")));
            peer.say(&format!(
                "<iq type='result' id='{ask}' from='{ROOM}'><query \
                 xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
            ));
            let told = privacy(&mut peer);
            (peer, told)
        };
        let (_, told) = enter(&format!("<status code='{at_entry}'/>"));
        assert_eq!(told.occupants_see_jids, at_entry == "100");
        assert_eq!(told.logged, at_entry == "170");
        let (mut peer, before) = enter("");
        assert!(!before.occupants_see_jids && !before.logged);
        peer.say(&format!(
            "<message from='{ROOM}' type='groupchat'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><status code='{later}'/></x></message>"
        ));
        assert_eq!(privacy(&mut peer), told);
    }
}

/// XEP-0045 section 7.2.1: to take part "a user MUST first become an occupant".
#[test]
fn a_post_waits_until_the_room_has_let_us_in() {
    let mut peer = Peer::online(config());
    peer.heard();
    let room = JoinRoom::new(BareJid::parse(ROOM).unwrap(), Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, room).unwrap();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.say(&message("bob", "a0", "early"));
    assert!(
        !peer
            .engine
            .wants()
            .write
            .windows(8)
            .any(|w| w == b"<message")
    );
    peer.let_in("ada", ROOM_FEATURES);
    assert!(peer.heard().contains("<message "));
}

/// XEP-0045 section 17.1: the room and the nick "MUST be of non-zero length".
#[test]
fn a_room_and_a_nick_have_something_in_them() {
    let mut peer = Peer::online(config());
    peer.heard();
    let room = BareJid::parse(ROOM).unwrap();
    for nick in ["", "a\u{7}", &"x".repeat(1024)] {
        for nick in [Nick::Chosen(nick.into()), Nick::Suggested(nick.into())] {
            let refused = peer
                .engine
                .join(peer.now, JoinRoom::new(room.clone(), nick));
            assert_eq!(refused, Err(JoinError::InvalidNick));
        }
    }
    let service = BareJid::parse("muc.parley.local").unwrap();
    let refused = peer
        .engine
        .join(peer.now, JoinRoom::new(service, Nick::Chosen("ada".into())));
    assert_eq!(refused, Err(JoinError::InvalidRoom));
    assert_eq!(peer.heard(), "");
}

/// XEP-0045 section 10.9: by an IQ of type set, to the address of the room.
#[test]
fn a_room_is_destroyed_by_a_set_to_its_address() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    peer.engine.destroy(peer.now, room);
    let said = peer.heard();
    let id = attribute(&said, "id").to_owned();
    assert_eq!(
        said,
        format!(
            "<iq type='set' id='{id}' to='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        )
    );
}

/// XEP-0045 section 7.5: receivers "MUST NOT rely on the existence of the <x/> element on
/// private messages".
#[test]
fn private_messages_are_told_by_their_type_alone() {
    let (mut peer, room) = in_room("");
    peer.engine
        .subscribe(peer.now, room, Start::Now, 10)
        .unwrap();
    peer.events();
    for kind in ["type='chat'", "type='normal'", ""] {
        for x in ["", "<x xmlns='http://jabber.org/protocol/muc#user'/>"] {
            peer.say(&format!(
                "<message from='{ROOM}/bob' id='p' {kind}><body>psst</body>{x}</message>"
            ));
            assert_eq!(
                (peer.heard().as_str(), peer.events()),
                ("", Vec::new()),
                "{kind}{x}"
            );
        }
    }
    // An <x/> makes nothing private that was said to all.
    peer.say(&format!(
        "<message from='{ROOM}/bob' type='groupchat'><body>all</body>\
         <x xmlns='http://jabber.org/protocol/muc#user'/></message>"
    ));
    assert!(matches!(
        &peer.events()[..],
        [Event::Entry { entry: Entry::Message(message), .. }] if message.body == "all"
    ));
}

/// Says a message in a room of these features; what a subscription makes of it.
fn heard_in(features: &str, said: &str) -> Message {
    let (mut peer, room) = in_room(features);
    peer.engine
        .subscribe(peer.now, room, Start::Now, 10)
        .unwrap();
    // Where there is an archive, its end is asked for first.
    let mut asked = peer.heard();
    while asked.contains("<iq ") {
        let id = attribute(&asked, "id").to_owned();
        peer.say(&peer::fin(&id, true, &[]));
        asked = peer.heard();
    }
    peer.events();
    peer.say(said);
    match peer.events().pop() {
        Some(Event::Entry {
            entry: Entry::Message(message),
            ..
        }) => *message,
        other => panic!("{other:?}"),
    }
}

/// XEP-0313 section 3.5: ids are places only where `urn:xmpp:mam:2` is advertised.
#[test]
fn ids_are_places_in_an_archive_only_where_there_is_one() {
    let (mam, sid) = (
        "<feature var='urn:xmpp:mam:2'/>",
        "<feature var='urn:xmpp:sid:0'/>",
    );
    let old = "<feature var='urn:xmpp:mam:1'/>";
    for (features, place) in [
        (format!("{mam}{sid}"), true),
        (sid.to_owned(), false),
        (mam.to_owned(), false),
        (format!("{old}{sid}"), false),
        (String::new(), false),
    ] {
        let message = heard_in(&features, &message("bob", "a1", "hi"));
        assert_eq!(message.id.is_some(), place, "{features}");

        let (mut peer, room) = in_room(&features);
        peer.engine.post(peer.now, room, Post::new("mine")).unwrap();
        let written = peer.heard();
        let id = attribute(&written[written.find("<message").unwrap()..], "id").to_owned();
        peer.say(&peer::message("ada", "a2", "mine").replace("m-a2", &id));
        let events = peer.events();
        let [
            Event::Post {
                outcome: PostOutcome::Committed { id, .. },
                ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(id.is_some(), place, "{features}");
    }
}

/// XEP-0359 sections 2.1, 2.2, 3 and 6.
#[test]
fn an_origin_id_says_nothing_and_comes_once() {
    let (mut peer, room) = in_room(ROOM_FEATURES);
    let mut ids = std::collections::BTreeSet::new();
    for n in 0..20 {
        peer.engine
            .post(peer.now, room, Post::new("the same"))
            .unwrap();
        let written = peer.heard();
        assert_eq!(written.matches("<origin-id ").count(), 1, "{n}");
        let at = written.find("<origin-id ").unwrap();
        let id = attribute(&written[at..], "id").to_owned();
        let whole = format!("<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>");
        assert!(written.contains(&whole), "{written}");
        assert!(!written.contains("<stanza-id"));
        // Of a length that guessing does not reach, whatever was said before.
        assert!(id.len() >= 20, "{id}");
        assert!(ids.insert(id));
        peer.say(&message("bob", &format!("n{n}"), "x"));
    }
    // Nothing of one is in the next.
    let all: Vec<_> = ids.iter().collect();
    for pair in all.windows(2) {
        let same = pair[0]
            .chars()
            .zip(pair[1].chars())
            .take_while(|(a, b)| a == b);
        assert!(same.count() < 8, "{pair:?}");
    }
}

/// XEP-0359 section 3: ids that break its rules count for nothing.
#[test]
fn ids_that_are_not_well_made_are_none() {
    let with = |ids: &str| {
        let said =
            format!("<message from='{ROOM}/bob' type='groupchat'><body>hi</body>{ids}</message>");
        let message = heard_in(ROOM_FEATURES, &said);
        (
            message.id.map(|id| id.as_str().to_owned()),
            message.origin_id,
        )
    };
    let sid = "xmlns='urn:xmpp:sid:0'";
    let good = format!("<stanza-id {sid} by='{ROOM}' id='a1'/>");
    let a1 = Some("a1".to_owned());
    assert_eq!(with(&good), (a1.clone(), None));
    for bad in [
        format!("<stanza-id {sid} id='a1'/>"),
        format!("<stanza-id {sid} by='{ROOM}'/>"),
        format!("<stanza-id {sid} by='{ROOM}' id=''/>"),
        format!("<stanza-id {sid} by='other@muc.parley.local' id='a1'/>"),
        format!("<stanza-id {sid} by='{ROOM}/bob' id='a1'/>"),
        format!("<stanza-id xmlns='urn:xmpp:sid:1' by='{ROOM}' id='a1'/>"),
        format!("<x xmlns='urn:x'>{good}</x>"),
        format!("{good}{good}"),
        format!("<origin-id {sid}/><origin-id {sid} id=''/>"),
    ] {
        assert_eq!(with(&bad), (None, None), "{bad}");
    }
    // Addresses are compared as prepared, and what stands within is not looked at.
    let upper = good
        .replace("ops@muc", "OPS@Muc")
        .replace("/>", "><id>a2</id></stanza-id>");
    assert_eq!(with(&upper), (a1, None));
    let origin = format!("<origin-id {sid} id='o1'/>");
    assert_eq!(with(&origin), (None, Some("o1".to_owned())));
}

/// XEP-0059 section 2.2: the entity that asks "MUST treat all UIDs as opaque".
#[test]
fn places_in_an_archive_come_back_as_they_were_given() {
    for (uid, escaped) in [
        ("0", "0"),
        ("-1", "-1"),
        (" two  words ", " two  words "),
        ("\u{1f980}\u{e9}e\u{301}", "\u{1f980}\u{e9}e\u{301}"),
        ("<before/>&amp;'\"", "&lt;before/&gt;&amp;amp;'\""),
        ("28482-98726-73623", "28482-98726-73623"),
    ] {
        let (mut peer, room) = in_room(ROOM_FEATURES);
        let since = Cursor::parse(uid).unwrap();
        let fetch = Fetch::since(since, 100);
        peer.engine.fetch(peer.now, room, fetch).unwrap();
        let after = format!("<after>{escaped}</after>");
        let unescaped = |text: String| text.replace("&quot;", "\"").replace("&apos;", "'");
        assert!(unescaped(peer.heard()).contains(&after), "{uid}");
        // And one that came with a page.
        let (mut peer, room) = in_room(ROOM_FEATURES);
        let fetch = Fetch::since(Cursor::Beginning, 100);
        peer.engine.fetch(peer.now, room, fetch).unwrap();
        let asked = peer.heard();
        let (iq, query) = (attribute(&asked, "id"), attribute(&asked, "queryid"));
        let in_attribute = escaped.replace('\'', "&apos;");
        peer.say(&peer::archived(query, &in_attribute, "hi"));
        peer.say(&peer::fin(iq, false, &[escaped]));
        assert!(unescaped(peer.heard()).contains(&after), "{uid}");
    }
    let (mut peer, _) = in_room(ROOM_FEATURES);
    peer.say(&presence("bob", ""));
    assert!(matches!(
        peer.events()[..],
        [Event::Room {
            event: RoomEvent::OccupantJoined { .. },
            ..
        }]
    ));
}
