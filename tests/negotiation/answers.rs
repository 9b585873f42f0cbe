//! Answers and requests on an established stream: from whom they count, and how often.

use std::time::Duration;

use parley_xmpp::jid::Jid;
use parley_xmpp::{Condition, FetchEvent, QueryId, RequestError};

use crate::peer::{self, BIND, Peer, ROOM, ROOM_FEATURES};
use crate::*;

const STRANGERS: [&str; 7] = [
    "evil.example",
    "mallory@parley.local",
    "alice@parley.local/other",
    "muc.parley.local/x",
    "x@muc.parley.local",
    "muc.parley.local.evil.example",
    "\u{20ac}@@//",
];

fn ask(of: &str) -> (Peer, QueryId, String) {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    let query = peer
        .engine
        .disco_info(peer.now, &Jid::parse(of).unwrap())
        .unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    (peer, query, id)
}

fn answer(kind: &str, id: &str, from: Option<&str>) -> String {
    let from = from.map_or(String::new(), |from| format!(" from='{from}'"));
    format!(
        "<iq type='{kind}' id='{id}'{from}><query xmlns='http://jabber.org/protocol/disco#info'>\
         <feature var='f'/></query></iq>"
    )
}

/// The outcomes of discoveries, in order.
fn outcomes(peer: &mut Peer) -> Vec<(QueryId, Result<bool, RequestError>)> {
    let events = peer.events().into_iter();
    events
        .map(|event| match event {
            Event::Disco { id, result } => (id, result.map(|info| info.has("f"))),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn r01_answers_from_strangers() {
    let (mut peer, query, id) = ask("muc.parley.local");
    for from in STRANGERS
        .map(Some)
        .into_iter()
        .chain([None, Some("parley.local"), Some("")])
    {
        for kind in ["result", "error"] {
            peer.say(&answer(kind, &id, from));
            assert_eq!(outcomes(&mut peer), [], "{from:?}");
        }
    }
    peer.say(&answer("result", &id, Some("MUC.parley.local")));
    assert_eq!(outcomes(&mut peer), [(query, Ok(true))]);
}

#[test]
fn r01_our_own_server_need_not_name_itself() {
    for (of, from) in [
        ("parley.local", None),
        ("parley.local", Some("parley.local")),
        ("alice@parley.local", None),
        ("alice@parley.local", Some("alice@parley.local")),
    ] {
        let (mut peer, query, id) = ask(of);
        peer.say(&answer("result", &id, from));
        assert_eq!(outcomes(&mut peer), [(query, Ok(true))], "{of} {from:?}");
    }
}

#[test]
fn r01_a_page_from_an_occupant_is_none() {
    let mut peer = Peer::online(peer::config());
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let fetch = parley_xmpp::Fetch::newest(10);
    let query = peer.engine.fetch(peer.now, room, fetch).unwrap();
    let id = attribute(&peer.heard(), "id").to_owned();
    let fin = peer::fin(&id, true, &[]);
    for from in [
        "ops@muc.parley.local/ada",
        "muc.parley.local",
        "parley.local",
    ] {
        peer.say(&fin.replace(ROOM, from));
    }
    peer.say(&fin.replace(&format!(" from='{ROOM}'"), ""));
    assert_eq!(peer.events(), []);
    peer.say(&fin);
    assert!(matches!(
        peer.events()[..],
        [Event::Fetch { id, event: FetchEvent::Done { complete: true, .. } }] if id == query
    ));
}

#[test]
fn r02_the_first_answer_counts_and_no_other() {
    let (mut peer, query, id) = ask("muc.parley.local");
    let from = Some("muc.parley.local");
    peer.say(&answer("result", "unsolicited", from));
    peer.say(&answer("result", "", from));
    assert_eq!(outcomes(&mut peer), []);
    for kind in ["error", "result", "error", "result"] {
        peer.say(&answer(kind, &id, from));
    }
    let outcomes = outcomes(&mut peer);
    let [(id, Err(RequestError::Refused(error)))] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    // R5: an error without an error is one all the same.
    assert_eq!(
        (*id, error.condition),
        (query, Condition::UndefinedCondition)
    );
}

#[test]
fn r02_an_answer_that_comes_too_late() {
    let (mut peer, query, id) = ask("muc.parley.local");
    let (ping, deadline) = (Duration::from_secs(1), peer.engine.config().timing.request);
    let mut waited = Duration::ZERO;
    while waited < deadline {
        peer.pass(ping);
        peer.say("<iq type='result' id='some'/>");
        waited += ping;
    }
    assert_eq!(outcomes(&mut peer), [(query, Err(RequestError::TimedOut))]);
    peer.say(&answer("result", &id, Some("muc.parley.local")));
    assert_eq!(outcomes(&mut peer), []);
}

#[test]
fn r02_an_answer_of_the_last_stream() {
    let (mut peer, query, id) = ask("muc.parley.local");
    peer.engine.handle_eof(peer.now);
    let events = peer.events();
    let outcome = Event::Disco {
        id: query,
        result: Err(RequestError::Offline),
    };
    assert_eq!(events.iter().filter(|event| **event == outcome).count(), 1);
    peer.pass(Duration::from_secs(1));
    peer.log_in();
    peer.say(&answer("result", &id, Some("muc.parley.local")));
    assert_eq!(outcomes(&mut peer), []);
}

#[test]
fn r02_every_request_has_one_outcome() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    let of = Jid::parse("muc.parley.local").unwrap();
    let mut queries = Vec::new();
    while let Ok(query) = peer.engine.disco_info(peer.now, &of) {
        queries.push(query);
    }
    assert_eq!(queries.len(), peer.engine.config().limits.queries);
    let sent = peer.heard();
    let ids = sent
        .split("<iq ")
        .skip(1)
        .map(|iq| attribute(&format!(" {iq}"), "id").to_owned());
    for (n, id) in ids.enumerate().filter(|(n, _)| n % 3 != 0) {
        let kind = if n % 3 == 1 { "result" } else { "error" };
        peer.say(&answer(kind, &id, Some("muc.parley.local")));
        peer.say(&answer(kind, &id, Some("muc.parley.local")));
    }
    peer.engine.close(peer.now);
    peer.engine.handle_eof(peer.now);
    let mut seen = Vec::new();
    for event in peer.events() {
        if let Event::Disco { id, .. } = event {
            seen.push(id);
        }
    }
    seen.sort();
    assert_eq!(seen, queries);
}

#[test]
fn r03_a_ping_is_answered_to_whom_it_came_from() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    for (from, to) in [
        ("", ""),
        (" from='parley.local'", " to='parley.local'"),
        (
            " from='ops@muc.parley.local/ada'",
            " to='ops@muc.parley.local/ada'",
        ),
        (
            " from='&lt;&apos;&#x9;\u{20ac}'",
            " to='&lt;&apos;&#9;\u{20ac}'",
        ),
    ] {
        peer.say(&format!(
            "<iq type='get' id='p&amp;1'{from}><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        let said = peer.heard();
        let same = format!("<iq type='result' id='p&amp;1'{to}/>");
        assert_eq!(said.replace("&#x9;", "&#9;"), same);
    }
}

#[test]
fn r03_other_requests_are_refused_and_odd_ones_dropped() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    // R4: nobody's contact list is ours to keep.
    for (payload, condition) in [
        ("", "bad-request"),
        (
            "<query xmlns='jabber:iq:roster'><item jid='x@y'/></query>",
            "service-unavailable",
        ),
        ("<a xmlns='x'/><ping xmlns='urn:xmpp:ping'/>", "bad-request"),
        ("<ping xmlns='urn:xmpp:ping'/><a xmlns='x'/>", "bad-request"),
        ("text", "bad-request"),
        ("<ping xmlns='urn:example:other'/>", "service-unavailable"),
    ] {
        for kind in ["get", "set"] {
            peer.say(&format!(
                "<iq type='{kind}' id='1' from='evil@x/y'>{payload}</iq>"
            ));
            let said = peer.heard();
            assert!(
                said.starts_with("<iq type='error' id='1' to='evil@x/y'>"),
                "{said}"
            );
            assert_eq!(said.matches(&format!("<{condition} ")).count(), 1, "{said}");
        }
    }
    for odd in [
        "<iq type='error' id='1'/>",
        "<iq type='result' id='1'/>",
        "<iq type='error'/>",
        "<iq type='result' from='x@y'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<presence type='subscribe' from='x@y'/>",
        "<message type='headline'><body/></message>",
    ] {
        peer.say(odd);
        assert_eq!(
            (peer.heard().as_str(), peer.events()),
            ("", Vec::new()),
            "{odd}"
        );
    }
}

/// RFC 6120 section 8.2.3: the type "MUST be one of the following; if not, the recipient
/// [...] MUST return a <bad-request/> stanza error"; the id is preserved, "or be empty".
#[test]
fn r03_what_is_neither_request_nor_answer_is_a_bad_request() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    for (odd, id, to) in [
        ("type='get' from='x@y'", "", " to='x@y'"),
        ("type='set' id='' from='x@y/z'", "", " to='x@y/z'"),
        ("id='1'", "1", ""),
        ("type='GET' id='2'", "2", ""),
        ("type='' id='3' from='x@y'", "3", " to='x@y'"),
        ("", "", ""),
    ] {
        peer.say(&format!("<iq {odd}><ping xmlns='urn:xmpp:ping'/></iq>"));
        let refusal = format!(
            "<iq type='error' id='{id}'{to}><error type='modify'>\
             <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        );
        assert_eq!((peer.heard(), peer.events()), (refusal, Vec::new()));
    }
}

#[test]
fn r07_a_room_that_never_has_a_free_nick_is_not_asked_without_end() {
    let mut peer = Peer::online(peer::config());
    peer.heard();
    let room = parley_xmpp::jid::BareJid::parse(ROOM).unwrap();
    let nick = parley_xmpp::Nick::Suggested("ada".into());
    peer.engine
        .join(peer.now, parley_xmpp::JoinRoom::new(room, nick))
        .unwrap();
    let conflict = format!(
        "<presence from='{ROOM}/ada' type='error'><error type='cancel'>\
         <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    );
    for _ in 0..1000 {
        peer.say(&conflict);
    }
    let joins = peer.heard().matches("<presence ").count();
    assert!((2..=10).contains(&joins), "{joins}");
}

#[test]
fn features_after_the_login_are_no_answer() {
    let (mut peer, _, _) = ask("muc.parley.local");
    peer.say(BIND);
    peer.say("<failed xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(
        (peer.heard().as_str(), outcomes(&mut peer)),
        ("", Vec::new())
    );
}

#[test]
fn r07_requests_to_one_who_does_not_read_fill_no_memory() {
    let mut config = peer::config();
    config.limits.write_bytes = 10_000;
    let mut peer = Peer::online(config);
    let from = "x".repeat(1000);
    let ping = format!("<iq type='get' id='n' from='{from}'><ping xmlns='urn:xmpp:ping'/></iq>");
    let flood = ping.repeat(1000);
    let mut taken = peer.engine.handle_input(peer.now, flood.as_bytes());
    assert!(taken < flood.len() && !peer.engine.wants().read);
    assert!(peer.engine.wants().write.len() < 22_000);
    // As it reads, it is heard again, and every request answered.
    let mut answers = 0;
    while taken < flood.len() {
        answers += peer.heard().matches("type='result'").count();
        taken += peer
            .engine
            .handle_input(peer.now, &flood.as_bytes()[taken..]);
    }
    answers += peer.heard().matches("type='result'").count();
    assert_eq!(answers, 1000);
    peer.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(peer.heard(), "<iq type='result' id='p'/>");
}
