//! What is said in a room, by whom, and what became of posts.

use crate::peer::{archived, message};
use crate::*;
use parley_xmpp::{Condition, Engine, Post, PostOutcome, Seed, Source};

fn post(peer: &mut Peer, room: RoomId) -> String {
    peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    attribute(&peer.heard(), "id").to_owned()
}

fn bounce(from: &str, id: &str, condition: &str) -> String {
    format!(
        "<message from='{from}' type='error' id='{id}'><error type='wait'>\
         <{condition} xmlns='{STANZAS}'/></error></message>"
    )
}

fn outcomes(events: Vec<Event>) -> Vec<PostOutcome> {
    let outcome = |event| match event {
        Event::Post { outcome, .. } => Some(outcome),
        _ => None,
    };
    events.into_iter().filter_map(outcome).collect()
}

#[test]
fn nobody_hides_a_message_behind_the_looks_of_an_archive() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    let result = |query: &str| {
        message("eve", &format!("a-{query}"), "the order").replace(
            "<body>",
            &format!("<result xmlns='urn:xmpp:mam:2' queryid='{query}' id='x'/><body>"),
        )
    };
    peer.say(&result(""));
    peer.say(&result(query_id(&asked)));
    peer.say(&message("bob", "a2", "seen"));
    assert_eq!(
        bodies(&entries(peer.events())),
        ["the order", "the order", "seen"]
    );
}

#[test]
fn a_copied_id_makes_no_message_ours() {
    let (mut peer, room) = in_room();
    peer.engine
        .subscribe(peer.now, room, Start::Now, 99)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    let origin = post(&mut peer, room);
    let mark = format!("<origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>");
    let marked = |text: String| text.replace("</body>", &format!("</body>{mark}"));
    peer.events();
    peer.say(&marked(message("mallory", "a1", "forged")));
    peer.say(&marked(message("ada", "a2", "hi")).replace("m-a2", &origin));
    let events = peer.events();
    assert_eq!(outcomes(events.clone()).len(), 1);
    let own = |entries: Vec<Entry>| -> Vec<(String, bool, Source)> {
        let read = messages(&entries).into_iter();
        read.map(|m| (m.nick.clone(), m.own, m.source)).collect()
    };
    assert_eq!(
        own(entries(events)),
        [
            ("mallory".into(), false, Source::Live),
            ("ada".into(), true, Source::Live)
        ]
    );
    // Nor in the archive, where the nick is that of whoever said it.
    peer.engine
        .subscribe(peer.now, room, FROM_THE_BEGINNING, 99)
        .unwrap();
    let asked = query(&mut peer);
    peer.say(&marked(archived(query_id(&asked), "a1", "forged")));
    peer.say(&marked(archived(query_id(&asked), "a2", "hi")).replace("/bob'", "/ada'"));
    peer.say(&fin(iq(&asked), true, &["a1", "a2"]));
    assert_eq!(
        own(entries(peer.events())),
        [
            ("bob".into(), false, Source::Archive),
            ("ada".into(), true, Source::Archive)
        ]
    );
}

#[test]
fn an_occupant_id_outweighs_the_nick() {
    let mut peer = Peer::online(config());
    let room = peer.engine.join(peer.now, ada()).unwrap();
    let sent = peer.heard();
    let occupant = |id: &str| format!("<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{id}'/>");
    let proof = presence("ada", "<status code='110'/>");
    peer.say(&proof.replace("<x ", &format!("{}<x ", occupant("us"))));
    peer.say(&features(iq(requests(&sent)[1]), ROOM_FEATURES));
    peer.say(&peer::no_end(iq(requests(&sent)[0]), ROOM));
    peer.engine
        .subscribe(peer.now, room, Start::Now, 99)
        .unwrap();
    let asked = query(&mut peer);
    nothing(&mut peer, &asked);
    peer.events();
    let origin = post(&mut peer, room);
    let said = |id: &str| {
        let mark = format!("<origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>");
        message("ada", &format!("a-{id}"), "hi")
            .replace("</body>", &format!("</body>{mark}{}", occupant(id)))
    };
    // The nick was ours, and somebody took it and the id.
    peer.say(&said("somebody"));
    let events = peer.events();
    assert_eq!(outcomes(events.clone()), []);
    assert!(!messages(&entries(events))[0].own);
    peer.say(&said("us"));
    let events = peer.events();
    assert_eq!(outcomes(events.clone()).len(), 1);
    assert!(messages(&entries(events))[0].own);
}

#[test]
fn a_bounce_of_our_own_server_leaves_a_post_in_doubt() {
    let (mut peer, room) = in_room();
    let origin = post(&mut peer, room);
    peer.say(&bounce(ROOM, &origin, "remote-server-timeout"));
    match &outcomes(peer.events())[..] {
        [PostOutcome::Unknown { token }] => assert_eq!(token.origin_id(), origin),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_of_another_occupant_refuses_nothing() {
    let (mut peer, room) = in_room();
    let origin = post(&mut peer, room);
    peer.say(&bounce(&format!("{ROOM}/mallory"), &origin, "forbidden"));
    peer.say(&bounce("mallory@parley.local", &origin, "forbidden"));
    assert_eq!(peer.events(), []);
    // Some rooms refuse in the name of whom they refuse.
    peer.say(&bounce(&format!("{ROOM}/ada"), &origin, "policy-violation"));
    match &outcomes(peer.events())[..] {
        [PostOutcome::Rejected(error)] => assert_eq!(error.condition, Condition::PolicyViolation),
        other => panic!("{other:?}"),
    }
}

/// A room whose creator was lost before it was unlocked: its owner, who may be us, unlocks
/// it after fifteen seconds, and whoever waits has to come again before a first join is
/// given up after thirty. The pauses doubled up to half a minute, so that neither happened.
#[test]
fn a_locked_room_is_tried_again_in_time() {
    for seed in 0..20 {
        let mut peer = Peer::new(config());
        peer.engine = Engine::new(config(), Seed::new([seed; 32]), peer.now);
        peer.log_in();
        peer.heard();
        peer.engine.join(peer.now, ada()).unwrap();
        let start = peer.now;
        let (mut tries, mut forms, mut last) = (0, Vec::new(), start);
        while peer.now < start.plus(secs(29)) {
            let sent = peer.heard();
            assert!(peer.now.since(last) <= secs(5), "no try since {last:?}");
            for iq in sent.split("<iq ").filter(|iq| iq.contains("type='submit'")) {
                forms.push(peer.now.since(start));
                let id = attribute(&format!(" {iq}"), "id").to_owned();
                peer.say(&format!(
                    "<iq type='error' id='{id}' from='{ROOM}'><error type='auth'>\
                     <forbidden xmlns='{STANZAS}'/></error></iq>"
                ));
            }
            for stanza in sent.split("<presence ").skip(1) {
                if stanza.contains("http://jabber.org/protocol/muc'") {
                    (tries, last) = (tries + 1, peer.now);
                    peer.say(&format!(
                        "<presence type='error' from='{ROOM}/ada'><error type='cancel'>\
                         <item-not-found xmlns='{STANZAS}'/></error></presence>"
                    ));
                }
            }
            peer.pass(Duration::from_millis(50));
        }
        assert!((8..40).contains(&tries), "{tries} tries");
        assert!(
            matches!(forms[..], [at] if at >= secs(15) && at <= secs(20)),
            "unlocked at {forms:?}"
        );
    }
}

/// Who has been in is in no hurry: once nobody is likely to unlock the room any more, it is
/// tried as seldom as any other that does not let us in.
#[test]
fn a_room_that_stays_locked_is_tried_ever_more_slowly() {
    let (mut peer, _) = in_room();
    peer.say(&dropped());
    let start = peer.now;
    let (mut last, mut soon, mut later) = (start, secs(0), secs(0));
    while peer.now < start.plus(secs(900)) {
        let sent = peer.heard();
        pong(&mut peer, &sent);
        if let [join] = joins(&sent)[..] {
            let pause = peer.now.since(last);
            last = peer.now;
            // For twice as long as until its creator is taken for lost.
            if peer.now.since(start) < secs(30) {
                soon = soon.max(pause);
            } else {
                later = later.max(pause);
            }
            peer.say(&refusal(join, "item-not-found", "cancel"));
        }
        for request in requests(&sent) {
            if request.contains("type='submit'") {
                peer.say(&failure(iq(request), "forbidden", "auth"));
            }
        }
        peer.events();
        peer.pass(Duration::from_millis(50));
    }
    assert!(soon <= secs(5), "{soon:?} while it may be unlocked soon");
    assert!((secs(20)..=secs(61)).contains(&later), "{later:?} then");
}

/// The form that we tried from outside is answered late, when we have created the room ourselves
/// and are unlocking it: that says nothing about it.
#[test]
fn the_answer_to_an_attempt_to_unlock_from_outside_is_not_about_our_own_room() {
    let mut peer = Peer::online(config());
    peer.heard();
    peer.engine.join(peer.now, ada()).unwrap();
    let form = loop {
        let sent = peer.heard();
        let form = requests(&sent)
            .into_iter()
            .find(|r| r.contains("type='submit'"));
        if let Some(form) = form {
            break iq(form).to_owned();
        }
        if let [join] = joins(&sent)[..] {
            peer.say(&refusal(join, "item-not-found", "cancel"));
        }
        peer.pass(Duration::from_millis(50));
    };
    while joins(&peer.heard()).is_empty() {
        peer.pass(Duration::from_millis(50));
    }
    peer.say(&presence("ada", "<status code='110'/><status code='201'/>"));
    let sent = peer.heard();
    let unlock = iq(requests(&sent)[0]).to_owned();
    assert!(sent.contains("type='submit'") && unlock != form, "{sent}");
    peer.say(&failure(&form, "forbidden", "auth"));
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    peer.say(&format!("<iq type='result' id='{unlock}' from='{ROOM}'/>"));
    let sent = peer.heard();
    peer.say(&features(iq(requests(&sent)[0]), ROOM_FEATURES));
    let told = room_events(peer.events());
    assert!(
        matches!(&told[..], [RoomEvent::Joined(joined)] if joined.created),
        "{told:?}"
    );
}
