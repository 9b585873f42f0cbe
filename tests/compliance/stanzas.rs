//! Stanzas: all that is written, and what is made of what comes (RFC 6120, section 8).

use std::time::Duration;

use parley_xmpp::jid::Jid;
use parley_xmpp::xml::{Element, Frame, Framer};
use parley_xmpp::{
    Condition, ErrorType, Event, Fetch, JoinFailure, OfflineCause, Post, PostOutcome, RequestError,
    RoomEvent, Start, StreamCondition, XmlLimits,
};

use crate::peer::{self, BIND_SM, Peer, ROOM, ROOM_FEATURES, attribute, presence};

/// A conversation in which the engine says all that it can say: everything it wrote, from
/// the header to the closing tag of the stream that is online.
fn everything_written() -> String {
    let mut config = peer::config();
    config.timing.self_ping = Duration::from_secs(60);
    let mut peer = Peer::new(config);
    peer.authenticate();
    let mut all = peer.heard();
    peer.say(BIND_SM);
    let bind = peer.heard();
    all.push_str(&bind);
    let id = attribute(&bind, "id").to_owned();
    peer.say(&format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/here</jid></bind></iq>"
    ));
    peer.say("<enabled xmlns='urn:xmpp:sm:3' id='sm' resume='true'/>");
    let room = parley_xmpp::jid::BareJid::parse(ROOM).unwrap();
    let nick = parley_xmpp::Nick::Chosen("<\u{e4}'\"&>".into());
    let room = parley_xmpp::JoinRoom::new(room, nick);
    let room = peer.engine.join(peer.now, room).unwrap();
    let join = peer.heard();
    all.push_str(&join);
    let id = attribute(join.rsplit("<iq ").next().unwrap(), "id").to_owned();
    peer.say(&presence(
        "&lt;\u{e4}&apos;\"&amp;>",
        "<status code='110'/><status code='201'/>",
    ));
    let unlock = peer.heard();
    all.push_str(&unlock);
    let unlocking = attribute(&unlock, "id").to_owned();
    peer.say(&format!(
        "<iq type='result' id='{unlocking}' from='{ROOM}'/>"
    ));
    let examine = peer.heard();
    all.push_str(&examine);
    for id in [id, attribute(&examine, "id").to_owned()] {
        peer.say(&format!(
            "<iq type='result' id='{id}' from='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>{ROOM_FEATURES}</query></iq>"
        ));
    }
    let now = peer.now;
    peer.engine
        .post(now, room, Post::new("]]> <!-- & \u{1f980} '\"\n\t"))
        .unwrap();
    let answer = Post::new("yes")
        .in_reply_to("a&1")
        .by("b'ob")
        .quoting("is it?\n<so>");
    peer.engine.post(now, room, answer).unwrap();
    peer.engine.subscribe(now, room, Start::Now, 10).unwrap();
    peer.engine.fetch(now, room, Fetch::newest(5)).unwrap();
    let cursor = parley_xmpp::Cursor::parse("<a&'\">").unwrap();
    peer.engine
        .fetch(now, room, Fetch::since(cursor, 5))
        .unwrap();
    let service = Jid::parse("muc.parley.local").unwrap();
    peer.engine.disco_info(now, &service).unwrap();
    peer.engine.disco_items(now, &service).unwrap();
    peer.say("<iq type='get' id='1' from='x@y/\"z'><ping xmlns='urn:xmpp:ping'/></iq>");
    peer.say("<iq type='set' id='2' from='x@y/z'><query xmlns='jabber:iq:roster'/></iq>");
    peer.say("<iq type='odd' from='x@y/z'/>");
    peer.say("<r xmlns='urn:xmpp:sm:3'/>");
    all.push_str(&peer.heard());
    // Silence: the server is asked, and the room.
    for _ in 0..30 {
        peer.pass(Duration::from_secs(5));
        let h = peer.sent;
        peer.say(&format!(
            "<a xmlns='urn:xmpp:sm:3' h='{h}'/><message from='parley.local'/>"
        ));
    }
    all.push_str(&peer.heard());
    peer.engine.destroy(peer.now, room);
    peer.engine.leave(peer.now, room);
    all.push_str(&peer.heard());
    peer.engine.close(peer.now);
    all.push_str(&peer.heard());
    let online = all.rfind("<?xml ").expect("a header");
    all.split_off(online)
}

/// Reads what was written as its peer would: the stanzas and other children of the stream.
fn read(written: &str, mut with: impl FnMut(Element<'_>)) {
    let mut framer = Framer::new(XmlLimits::default());
    let (mut rest, mut closed) = (written.as_bytes(), false);
    while !rest.is_empty() {
        let (taken, found) = framer.push(rest);
        rest = &rest[taken..];
        match found.map(|found| found.expect("well-formed")) {
            Some(Frame::Stanza(element)) => with(element),
            Some(Frame::Close) => closed = true,
            Some(Frame::Open(_)) | None => {}
        }
    }
    assert!(closed, "the end is missing");
}

/// RFC 6120 sections 4.8.3, 4.8.5, 8.1.3, 8.2.3, 8.4, 11.1 and 11.3.
#[test]
fn all_that_is_written_obeys_the_restrictions() {
    let written = everything_written();
    for forbidden in ["<!", "<?xml-", "jabber:server", "\u{feff}", "standalone"] {
        assert!(!written.contains(forbidden), "{forbidden}");
    }
    assert_eq!(written.matches("<?").count(), 1);
    // No prefix but that of the stream itself, and none declared within it.
    for tag in written.split('<').skip(1) {
        let name = tag.trim_start_matches('/');
        let name = &name[..name.find([' ', '>', '/']).unwrap()];
        assert!(!name.contains(':') || name.starts_with("stream:"), "{name}");
    }
    assert_eq!(written.matches("xmlns:").count(), 1);
    let mut kinds = std::collections::BTreeSet::new();
    read(&written, |element| {
        if element.ns() != "jabber:client" {
            assert_eq!(element.ns(), "urn:xmpp:sm:3");
            kinds.insert(format!("{} of the management", element.name()));
            return;
        }
        let kind = element.attr("type").unwrap_or("available");
        let children = element.children().count();
        match element.name() {
            "iq" => {
                assert!(element.attr("id").is_some());
                match kind {
                    "get" | "set" => {
                        assert_eq!(children, 1);
                        let payload = element.children().next().unwrap();
                        let own = ["jabber:client", "http://etherx.jabber.org/streams", ""];
                        assert!(!own.contains(&payload.ns()));
                        let name = format!("{kind} {} {}", payload.name(), payload.ns());
                        kinds.insert(name);
                    }
                    "result" => assert_eq!(children, 0),
                    "error" => assert!(element.child("error", "jabber:client").is_some()),
                    other => panic!("{other}"),
                }
            }
            "message" | "presence" => {
                for child in element.children() {
                    let own = matches!(child.name(), "body" | "priority");
                    assert_eq!(child.ns() == "jabber:client", own);
                }
            }
            other => panic!("{other}"),
        }
        kinds.insert(format!("{} {kind}", element.name()));
    });
    // It did say all that it can say.
    for said in [
        "enable of the management",
        "a of the management",
        "r of the management",
        "set bind urn:ietf:params:xml:ns:xmpp-bind",
        "get query http://jabber.org/protocol/disco#info",
        "get query http://jabber.org/protocol/disco#items",
        "set query http://jabber.org/protocol/muc#owner",
        "set query urn:xmpp:mam:2",
        "get ping urn:xmpp:ping",
        "iq result",
        "iq error",
        "message groupchat",
        "presence available",
        "presence unavailable",
    ] {
        assert!(kinds.contains(said), "{said} is missing: {kinds:?}");
    }
}

/// RFC 6120 section 8.1.1.1, XEP-0045 section 7.4.
#[test]
fn stanzas_say_to_whom_they_go() {
    let written = everything_written();
    read(&written, |element| {
        let to = element.attr("to");
        let kind = element.attr("type");
        match element.name() {
            // To be handled by the server itself: the binding, and presence for all.
            "iq" if element.children().any(|child| child.name() == "bind") => {
                assert_eq!(to, None);
            }
            "presence" if element.child("priority", "jabber:client").is_some() => {
                assert_eq!(to, None);
            }
            "presence" if kind == Some("unavailable") && to.is_none() => {}
            "presence" => assert!(to.is_some_and(|to| to.starts_with("ops@muc.parley.local/"))),
            "message" => assert_eq!((to, kind), (Some(ROOM), Some("groupchat"))),
            "iq" => assert!(Jid::parse(to.expect("to somebody")).is_ok()),
            _ => {}
        }
    });
}

/// RFC 6120 section 8.1.2.1: what has no `from` is from our account, and from nobody else.
#[test]
fn what_has_no_from_is_of_our_account() {
    let mut peer = Peer::online(peer::config());
    peer.join(ROOM_FEATURES);
    peer.events();
    let said = peer::message("bob", "a1", "hi");
    let from = format!(" from='{ROOM}/bob'");
    peer.say(&said.replace(&from, ""));
    peer.say(&presence("bob", "").replace(&from, ""));
    assert_eq!((peer.heard().as_str(), peer.events()), ("", Vec::new()));
    // Asked of our account, answered without a name: that is its answer; of a room, not.
    for (of, taken) in [("alice@parley.local", true), (ROOM, false)] {
        let of = Jid::parse(of).unwrap();
        peer.engine.disco_info(peer.now, &of).unwrap();
        let id = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<iq type='result' id='{id}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ));
        let events = peer.events();
        assert_eq!(
            matches!(events[..], [Event::Disco { .. }]),
            taken,
            "{events:?}"
        );
    }
}

/// What comes of a discovery that is refused like this.
fn refused(error: &str) -> (ErrorType, Condition, Option<String>) {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    let of = Jid::parse("muc.parley.local").unwrap();
    peer.engine.disco_info(peer.now, &of).unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    peer.say(&format!(
        "<iq type='error' id='{id}' from='muc.parley.local'>{error}</iq>"
    ));
    assert_eq!(peer.heard(), "");
    match peer.events().pop() {
        Some(Event::Disco {
            result: Err(RequestError::Refused(error)),
            ..
        }) => (error.kind, error.condition, error.text),
        other => panic!("{other:?}"),
    }
}

const CONDITIONS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// RFC 6120 sections 8.3.2 and 8.3.4.
#[test]
fn an_unknown_condition_is_undefined_and_the_rest_is_read() {
    let text = format!("<text xmlns='{CONDITIONS}'>why</text>");
    let why = Some("why".to_owned());
    for (error, due) in [
        (
            format!("<error type='cancel'><made-up xmlns='{CONDITIONS}'/>{text}</error>"),
            (
                ErrorType::Cancel,
                Condition::UndefinedCondition,
                why.clone(),
            ),
        ),
        // An application's own condition is ignored, before the defined one and after it.
        (
            format!(
                "<error type='wait'><gone xmlns='urn:example:app'/>{text}\
                 <not-allowed xmlns='{CONDITIONS}'/><gone xmlns='urn:example:app'/></error>"
            ),
            (ErrorType::Wait, Condition::NotAllowed, why),
        ),
        // Words in another namespace are not its words, a type that is none is none.
        (
            format!("<error type='odd'><forbidden xmlns='{CONDITIONS}'/><text>why</text></error>"),
            (ErrorType::Unknown, Condition::Forbidden, None),
        ),
    ] {
        assert_eq!(refused(&error), due, "{error}");
    }
}

/// RFC 6120 sections 4.9.2 and 8.3.2: the words "MUST NOT be interpreted programmatically".
#[test]
fn the_words_of_an_error_decide_nothing() {
    let streams = "urn:ietf:params:xml:ns:xmpp-streams";
    for words in ["conflict", "reset", "see-other-host"] {
        let mut peer = Peer::online(peer::config());
        peer.say(&format!(
            "<stream:error><system-shutdown xmlns='{streams}'/>\
             <text xmlns='{streams}'>{words}</text></stream:error>"
        ));
        let Some(Event::Offline {
            cause: OfflineCause::StreamError { condition, text },
            retry,
        }) = peer.events().pop()
        else {
            panic!("no stream error");
        };
        assert_eq!(
            (condition, text.as_deref()),
            (StreamCondition::SystemShutdown, Some(words))
        );
        assert!(matches!(retry, parley_xmpp::Retry::At(_)));

        let (_, condition, text) = refused(&format!(
            "<error type='cancel'><forbidden xmlns='{CONDITIONS}'/>\
             <text xmlns='{CONDITIONS}'>{words}</text></error>"
        ));
        assert_eq!(
            (condition, text.as_deref()),
            (Condition::Forbidden, Some(words))
        );
    }
}

/// RFC 6120 section 8.4: what is not understood is not processed, and the rest is.
#[test]
fn what_is_not_understood_is_ignored() {
    let mut peer = Peer::online(peer::config());
    let room = peer.join("");
    peer.engine
        .subscribe(peer.now, room, Start::Now, 10)
        .unwrap();
    peer.events();
    peer.heard();
    // Messages of nothing else: ignored as a whole.
    for only in [
        "<x xmlns='urn:example:unknown'><body xmlns='jabber:client'>no</body></x>",
        "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<body xmlns='urn:example:unknown'>no</body>",
    ] {
        peer.say(&format!(
            "<message from='{ROOM}/bob' type='groupchat'>{only}</message>"
        ));
        peer.say(&format!("<message from='x@y' type='chat'>{only}</message>"));
        assert_eq!(
            (peer.heard().as_str(), peer.events()),
            ("", Vec::new()),
            "{only}"
        );
    }
    // Presence of nothing else: as if it had no child.
    peer.say(&format!(
        "<presence from='{ROOM}/bob'><x xmlns='urn:example:unknown'><status code='110'/></x>\
         </presence>"
    ));
    assert!(matches!(
        &peer.events()[..],
        [Event::Room { event: RoomEvent::OccupantJoined { nick }, .. }] if nick == "bob"
    ));
    // Among what is understood: that portion is.
    let odd = "<x xmlns='urn:example:unknown' code='301'><body>no</body></x>";
    let said = peer::message("bob", "a1", "yes").replace("<body>", &format!("{odd}<body>"));
    peer.say(&said.replace(
        "<message ",
        "<message xmlns:o='urn:example:o' o:type='error' odd='1' ",
    ));
    assert!(matches!(
        &peer.events()[..],
        [Event::Entry { entry: parley_xmpp::Entry::Message(message), .. }] if message.body == "yes"
    ));
    assert_eq!(peer.heard(), "");
}

/// A refusal of a join and one of a post are read the same whatever else they hold.
#[test]
fn refusals_need_nothing_but_their_error() {
    let mut peer = Peer::online(peer::config());
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    let written = peer.heard();
    let id = attribute(&written[written.find("<message").unwrap()..], "id").to_owned();
    peer.say(&format!(
        "<message type='error' id='{id}' from='{ROOM}'><error type='auth'>\
         <forbidden xmlns='{CONDITIONS}'/></error></message>"
    ));
    assert!(matches!(
        &peer.events()[..],
        [Event::Post { outcome: PostOutcome::Rejected(error), .. }]
            if error.condition == Condition::Forbidden
    ));
    let other = parley_xmpp::jid::BareJid::parse("other@muc.parley.local").unwrap();
    let nick = parley_xmpp::Nick::Chosen("ada".into());
    peer.engine
        .join(peer.now, parley_xmpp::JoinRoom::new(other, nick))
        .unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    peer.say(&format!(
        "<presence type='error' id='{id}' from='other@muc.parley.local/ada'>\
         <error type='auth'><forbidden xmlns='{CONDITIONS}'/></error></presence>"
    ));
    assert!(peer.events().iter().any(|event| matches!(
        event,
        Event::Room {
            event: RoomEvent::JoinFailed { error: JoinFailure::Refused(error), .. },
            ..
        } if error.condition == Condition::Forbidden
    )));
}
