//! The model server under what an engine never says: stream faults, resumption,
//! forged ids, cursors that are unknown; and where the two personalities differ.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod model_world;
#[path = "model_world/raw.rs"]
mod raw;

use std::time::Duration;

use model_world::ROOM;
use parley_xmpp::sim::server::{Note, Operation, Personality, Removal, ServerTransport};
use parley_xmpp::{ChannelBinding, Instant, Security, StreamCondition};
use raw::{HEADER, attribute, bodies, both, has, lacks};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

// ---- streams ---------------------------------------------------------------

#[test]
fn a_stream_that_goes_wrong_ends_with_the_condition_that_says_how() {
    let other = HEADER.replace("parley.local", "elsewhere");
    let old = HEADER.replace("1.0' xmlns", "0.9' xmlns");
    let wrong = HEADER.replace("etherx.jabber.org/streams", "etherx/");
    let cases = [
        (other.as_str(), "host-unknown"),
        (&old, "unsupported-version"),
        (&wrong, "invalid-namespace"),
        (&[HEADER, "<a></b>"].concat(), "not-well-formed"),
        (&[HEADER, "<message/>"].concat(), "not-authorized"),
        (&[HEADER, "<!-- -->"].concat(), "not-well-formed"),
    ];
    both(|mut raw, _| {
        for (text, condition) in cases {
            let id = raw.connect();
            let answer = raw.say(id, text);
            let error = format!("<stream:error><{condition} ");
            has(&answer, &["<stream:stream ", &error, "</stream:stream>"]);
            assert_eq!(raw.server.wants(id).transport, ServerTransport::Shutdown);
            assert_eq!(raw.say(id, "<more/>"), "", "nothing is heard any more");
        }
        let id = raw.connect();
        raw.say(id, HEADER);
        raw.say(id, "</stream:stream>");
        raw.now = raw.server.deadline().expect("a deadline");
        raw.server.handle_timeout(raw.now);
        assert_eq!(raw.server.wants(id).transport, ServerTransport::Closed);
    });
}

#[test]
fn in_clear_there_is_nothing_but_starttls() {
    both(|mut raw, _| {
        let clear = Security::Clear { loopback: true };
        let id = raw.server.accept(raw.now, clear).expect("a connection");
        let features = raw.say(id, HEADER);
        has(&features, &["<starttls", "<required/>"]);
        lacks(&features, &["<mechanism"]);
        let answer = raw.say(
            id,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
        );
        has(&answer, &["<encryption-required/>"]);
        has(
            &raw.say(id, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            &["<proceed "],
        );
        assert_eq!(raw.server.wants(id).transport, ServerTransport::StartTls);
        let binding = ChannelBinding::default();
        raw.server.tls_established(raw.now, id, binding);
        has(&raw.say(id, HEADER), &["PLAIN", "SCRAM-SHA-256"]);
        let id = raw
            .server
            .accept(raw.now, Security::Clear { loopback: true });
        let id = id.expect("a connection");
        raw.say(id, HEADER);
        raw.say(id, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/> ");
        assert_eq!(raw.server.wants(id).transport, ServerTransport::Closed);
    });
}

#[test]
fn a_stream_that_ends_while_tls_is_set_up_is_opened_first() {
    both(|mut raw, _| {
        let clear = Security::Clear { loopback: true };
        let id = raw.server.accept(raw.now, clear).expect("a connection");
        raw.say(id, HEADER);
        raw.say(id, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        let stop = Operation::Stop;
        raw.server.operate(raw.now, &stop);
        let said = raw.heard(id);
        has(&said, &["<stream:error", "<system-shutdown "]);
        let at = |what| said.find(what);
        assert!(at("<stream:stream ") < at("<stream:error"), "{said}");
        assert!(at("<stream:stream ").is_some(), "{said}");
    });
}

#[test]
fn who_binds_a_resource_again_ends_the_older_stream() {
    both(|mut raw, _| {
        let old = raw.bind("alice", "here");
        raw.enter(old, "ada");
        let new = raw.bind("alice", "here");
        has(&raw.heard(old), &["<conflict ", "</stream:stream>"]);
        assert_eq!(raw.server.occupants(ROOM).count(), 0);
        has(
            &raw.say(
                new,
                "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
            ),
            &["type='result'", "id='p'"],
        );
    });
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    both(|mut raw, _| {
        let id = raw.bind("alice", "here");
        raw.enter(id, "ada");
        let deaf = raw.bind("bob", "there");
        raw.enter(deaf, "bob");
        let body = "x".repeat(100_000);
        for _ in 0..50 {
            raw.post(id, &body);
        }
        assert_eq!(raw.server.wants(deaf).transport, ServerTransport::Closed);
        assert_eq!(raw.server.occupants(ROOM).count(), 1);
    });
}

// ---- stream management -----------------------------------------------------

#[test]
fn a_broken_stream_goes_on_where_it_stood() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        let enabled = raw.say(alice, ENABLE);
        has(&enabled, &["resume='true'", "max='300'"]);
        let token = attribute(&enabled, "<enabled", "id").to_owned();
        raw.enter(alice, "ada");
        let acked = raw.say(alice, "<r xmlns='urn:xmpp:sm:3'/>");
        has(&acked, &["<a xmlns='urn:xmpp:sm:3' h='2'/>"]);
        let bob = raw.bind("bob", "there");
        raw.enter(bob, "bob");
        let heard = raw.heard(alice);
        assert_eq!(heard.matches("<presence").count(), 1, "{heard}");
        raw.server.transport_failed(raw.now, alice);
        raw.post(bob, "missed");
        assert_eq!(raw.server.occupants(ROOM).count(), 2);
        let again = raw.log_in("alice");
        // All that came before the post: presences, the subject, the result.
        let before = if raw.server.setup().personality == Personality::Prosody {
            4
        } else {
            5
        };
        let answer = raw.say(
            again,
            &format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{before}'/>"),
        );
        has(&answer, &["<resumed ", "h='2'"]);
        assert_eq!(bodies(&answer), ["missed"]);
        lacks(&answer, &["<presence"]);
        let resumed = core::iter::from_fn(|| raw.server.poll_note())
            .any(|n| matches!(n, Note::Session { resumed: true, .. }));
        assert!(resumed);
        has(&raw.post(again, "here"), &["<body>here</body>"]);
        let high = raw.say(again, "<a xmlns='urn:xmpp:sm:3' h='99'/>");
        has(&high, &["<undefined-condition ", "</text>"]);
    });
}

/// Else each stream that is resumed would end at once, and what is sent again grow for ever.
#[test]
fn a_client_that_missed_much_is_not_dropped_for_what_it_missed() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        let enabled = raw.say(alice, ENABLE);
        let token = attribute(&enabled, "<enabled", "id").to_owned();
        raw.enter(alice, "ada");
        let bob = raw.bind("bob", "there");
        raw.enter(bob, "bob");
        raw.heard(alice);
        raw.server.transport_failed(raw.now, alice);
        let body = "x".repeat(100_000);
        for _ in 0..50 {
            raw.post(bob, &body);
        }
        let again = raw.log_in("alice");
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
        let answer = raw.say(again, &resume);
        assert_eq!(raw.server.wants(again).transport, ServerTransport::Open);
        assert_eq!(answer.matches(&body).count(), 50);
    });
}

#[test]
fn a_stream_that_waited_too_long_is_remembered_by_its_count() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        let enabled = raw.say(alice, ENABLE);
        let token = attribute(&enabled, "<enabled", "id").to_owned();
        raw.enter(alice, "ada");
        raw.server.transport_failed(raw.now, alice);
        raw.now = raw.now.plus(Duration::from_secs(300));
        raw.server.handle_timeout(raw.now);
        assert_eq!(raw.server.occupants(ROOM).count(), 0);
        let again = raw.log_in("alice");
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
        has(
            &raw.say(again, &resume),
            &["<failed ", "h='2'", "<item-not-found "],
        );
        let unknown = "<resume xmlns='urn:xmpp:sm:3' previd='nobody' h='0'/>";
        let answer = raw.say(again, unknown);
        has(&answer, &["<item-not-found "]);
        lacks(&answer, &["h="]);
        let early = if prosody {
            "<unexpected-request "
        } else {
            "<not-authorized "
        };
        has(&raw.say(again, ENABLE), &[early]);
    });
}

#[test]
fn a_forgotten_stream_is_not_resumed() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        let enabled = raw.say(alice, ENABLE);
        let token = attribute(&enabled, "<enabled", "id").to_owned();
        raw.server.transport_failed(raw.now, alice);
        raw.server.operate(raw.now, &Operation::ForgetStreams);
        let again = raw.log_in("alice");
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
        let answer = raw.say(again, &resume);
        has(&answer, &["<failed ", "<item-not-found "]);
        lacks(&answer, &["h="]);
    });
}

// ---- rooms -----------------------------------------------------------------

#[test]
fn entering_is_told_in_the_order_of_the_specification() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        let answer = raw.enter(alice, "ada");
        has(&answer, &["code='201'", "code='110'", "<subject/>"]);
        assert_eq!(answer.contains("<occupant-id"), prosody);
        raw.post(alice, "before");
        let bob = raw.bind("bob", "there");
        let answer = raw.say(
            bob,
            &format!(
                "<presence to='{ROOM}/bob'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
            ),
        );
        let order = ["/ada'", "code='110'", "<body>before</body>", "<subject/>"];
        let places: Vec<_> = order.iter().map(|part| answer.find(part)).collect();
        assert!(places.is_sorted() && places[0].is_some(), "{answer}");
        lacks(&answer, &["alice@parley.local"]);
        has(&raw.heard(alice), &["jid='bob@parley.local/there'"]);
        let carol = raw.bind("carol", "c");
        has(&raw.enter(carol, "bob"), &["type='error'", "<conflict "]);
    });
}

#[test]
fn prosody_locks_a_new_room_and_ejabberd_does_not() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        let join = "<presence to='new@muc.parley.local/n'>\
                    <x xmlns='http://jabber.org/protocol/muc'/></presence>";
        raw.say(alice, join);
        let bob = raw.bind("bob", "there");
        let answer = raw.say(bob, &join.replace("/n'", "/m'"));
        assert_eq!(answer.contains("<item-not-found "), prosody, "{answer}");
        raw.now = raw.now.plus(Duration::from_secs(300));
        has(&raw.say(bob, &join.replace("/n'", "/m'")), &["code='110'"]);
    });
}

#[test]
fn two_sessions_share_a_nick_and_one_goes() {
    both(|mut raw, prosody| {
        let one = raw.bind("alice", "one");
        raw.enter(one, "ada");
        let two = raw.bind("alice", "two");
        has(&raw.enter(two, "ada"), &["code='110'"]);
        raw.heard(one);
        raw.post(two, "both");
        assert_eq!(bodies(&raw.heard(one)), ["both"]);
        let gone = raw.say(
            two,
            &format!("<presence to='{ROOM}/ada' type='unavailable'/>"),
        );
        has(&gone, &["type='unavailable'", "code='110'"]);
        let told = raw.heard(one);
        assert_eq!(told.contains("code='110'"), prosody, "{told}");
        lacks(&told, &["unavailable"]);
    });
}

#[test]
fn a_nick_changes_and_pings_of_oneself_tell() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        let ping = |nick: &str| {
            format!("<iq type='get' id='p' to='{ROOM}/{nick}'><ping xmlns='urn:xmpp:ping'/></iq>")
        };
        has(&raw.say(alice, &ping("ada")), &["type='result'"]);
        let renamed = raw.say(alice, &format!("<presence to='{ROOM}/eve'/>"));
        has(
            &renamed,
            &["code='303'", "nick='eve'", "/eve'", "code='110'"],
        );
        has(&raw.say(alice, &ping("ada")), &["<item-not-found "]);
        has(&raw.say(alice, &ping("eve")), &["type='result'"]);
        raw.server.operate(
            raw.now,
            &Operation::Remove {
                room: ROOM.into(),
                account: "alice".into(),
                how: Removal::Silent,
            },
        );
        assert_eq!(raw.heard(alice), "");
        has(&raw.say(alice, &ping("eve")), &["<not-acceptable "]);
        has(&raw.post(alice, "x"), &["<not-acceptable "]);
        let refused = core::iter::from_fn(|| raw.server.poll_note())
            .any(|n| matches!(n, Note::Refused { .. }));
        assert!(refused);
    });
}

#[test]
fn forged_ids_are_taken_out_and_the_senders_own_stays() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        let answer = raw.say(
            alice,
            "<message to='ops@muc.parley.local' type='groupchat' id='m'><body>b</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='OPS@muc.parley.local' id='FORGED'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='elsewhere' id='OTHER'/>\
             <origin-id xmlns='urn:xmpp:sid:0' id='mine'/></message>",
        );
        lacks(&answer, &["FORGED"]);
        has(&answer, &["OTHER", "id='mine'", "id='m'"]);
        let kept: Vec<_> = raw.server.archive(ROOM).collect();
        assert_eq!(kept[0].origin_id, Some("mine"));
        has(&answer, &[&format!("id='{}'", kept[0].archive_id)]);
    });
}

#[test]
fn an_occupant_that_answers_with_an_error_is_put_out() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        let answer = raw.say(
            alice,
            "<message to='ops@muc.parley.local' type='error' id='m'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        );
        has(&answer, &["type='unavailable'", "code='110'"]);
        assert_eq!(answer.contains("code='333'"), prosody, "{answer}");
    });
}

#[test]
fn a_destroyed_room_is_gone_in_the_way_of_each_server() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        raw.post(alice, "x");
        let answer = raw.say(
            alice,
            "<iq type='set' id='d' to='ops@muc.parley.local'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>",
        );
        has(&answer, &["<destroy/>", "type='result'"]);
        assert_eq!(answer.contains("code='110'"), prosody, "{answer}");
        let post = raw.post(alice, "y");
        let page = raw.page(alice, "<max>5</max>");
        if prosody {
            has(&post, &["<gone "]);
            has(&page, &["complete='true'", "<count>0</count>"]);
        } else {
            has(&post, &["<item-not-found "]);
            has(&page, &["<item-not-found "]);
        }
    });
}

#[test]
fn a_rate_limit_refuses_for_a_while() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        let limit = Operation::RateLimit {
            per_second: 1,
            lasts: Duration::from_secs(2),
        };
        raw.server.operate(raw.now, &limit);
        has(&raw.post(alice, "a"), &["<stanza-id "]);
        has(
            &raw.post(alice, "b"),
            &["type='wait'", "<resource-constraint "],
        );
        raw.now = raw.now.plus(Duration::from_secs(1));
        has(&raw.post(alice, "c"), &["<stanza-id "]);
        raw.now = raw.now.plus(Duration::from_secs(1));
        has(&raw.post(alice, "d"), &["<stanza-id "]);
        has(&raw.post(alice, "e"), &["<stanza-id "]);
    });
}

#[test]
fn a_server_that_stops_says_so_to_all() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        raw.server.operate(raw.now, &Operation::Stop);
        let heard = raw.heard(alice);
        has(
            &heard,
            &["code='332'", "<system-shutdown ", "</stream:stream>"],
        );
        let ended = core::iter::from_fn(|| raw.server.poll_note()).any(|n| {
            matches!(
                n,
                Note::StreamError {
                    condition: StreamCondition::SystemShutdown,
                    ..
                }
            )
        });
        assert!(ended);
        raw.server.operate(raw.now, &Operation::Start);
        let alice = raw.bind("alice", "here");
        lacks(&raw.enter(alice, "ada"), &["'201'"]);
    });
}

#[test]
fn nonsense_neither_ends_a_stream_nor_goes_unanswered() {
    both(|mut raw, prosody| {
        let address = if prosody {
            "<jid-malformed "
        } else {
            "<bad-request "
        };
        let remote = if prosody {
            "<not-allowed "
        } else {
            "<remote-server-not-found "
        };
        let (missing, service) = if prosody {
            ("<service-unavailable ", "<not-acceptable ")
        } else {
            ("<item-not-found ", "<forbidden ")
        };
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        let cases = [
            (
                "<iq type='get' id='1' to='a@b@c'><x xmlns='y'/></iq>",
                address,
            ),
            ("<iq type='get' id='1'/>", "<bad-request "),
            (
                "<iq type='what' id='1'><x xmlns='y'/></iq>",
                "<bad-request ",
            ),
            (
                "<iq type='get' id='1'><x xmlns='y'/></iq>",
                "<service-unavailable ",
            ),
            (
                "<iq type='get' id='1' to='x.org'><x xmlns='y'/></iq>",
                remote,
            ),
            (
                "<iq type='get' id='1' to='bob@parley.local'><x xmlns='y'/></iq>",
                "<service-unavailable ",
            ),
            (
                "<iq type='get' id='1' to='no@muc.parley.local'><x xmlns='y'/></iq>",
                missing,
            ),
            ("<message to='muc.parley.local'/>", service),
            (
                "<message to='ops@muc.parley.local/nobody'/>",
                "<item-not-found ",
            ),
        ];
        for (text, expected) in cases {
            has(&raw.say(alice, text), &["type='error'", expected]);
        }
        for silent in [
            "<iq type='result' id='1'/>",
            "<iq type='error' id='1'/>",
            " \n",
        ] {
            assert_eq!(raw.say(alice, silent), "");
        }
        raw.now = Instant::ZERO;
        has(
            &raw.say(
                alice,
                "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
            ),
            &["result"],
        );
        let unknown = raw.say(alice, "<foo/>");
        assert_eq!(unknown.contains("<unsupported-stanza-type "), prosody);
    });
}
