//! The model server's archives as text: the shapes of pages, unknown cursors, what
//! befalls them; and where the two personalities differ.

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
use parley_xmpp::Security;
use parley_xmpp::sim::server::{Note, Operation, ServerTransport};
use raw::{bodies, both, has, lacks};

#[test]
fn pages_are_shaped_as_each_server_shapes_them() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        for n in 0..14 {
            raw.post(alice, &n.to_string());
        }
        let ids: Vec<String> = raw
            .server
            .archive(ROOM)
            .map(|m| m.archive_id.into())
            .collect();
        let first = raw.page(alice, "<max>100</max>");
        assert_eq!(bodies(&first).len(), 10, "the cap of this setup");
        assert_eq!(first.contains("complete='false'"), !prosody);
        lacks(&first, &["complete='true'"]);
        has(
            &first,
            &["<count>14</count>", &format!("<last>{}</last>", ids[9])],
        );
        let rest = raw.page(alice, &format!("<max>9</max><after>{}</after>", ids[9]));
        assert_eq!(bodies(&rest), ["10", "11", "12", "13"]);
        has(&rest, &["complete='true'"]);
        let none = raw.page(alice, &format!("<after>{}</after>", ids[13]));
        has(&none, &["complete='true'"]);
        lacks(&none, &["<first>", "<last>"]);
        let last = raw.page(alice, "<max>2</max><before/>");
        assert_eq!(bodies(&last), ["12", "13"]);
        has(&last, &[&format!("<first>{}</first>", ids[12])]);
        let before = raw.page(alice, &format!("<max>2</max><before>{}</before>", ids[1]));
        assert_eq!(bodies(&before), ["0"]);
        has(&before, &["complete='true'"]);
    });
}

#[test]
fn cursors_that_are_unknown_are_answered_in_two_ways() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        for n in 0..4 {
            raw.post(alice, &n.to_string());
        }
        let first = raw
            .server
            .archive(ROOM)
            .next()
            .expect("one")
            .archive_id
            .to_owned();
        let room = ROOM.to_owned();
        raw.server
            .operate(raw.now, &Operation::Expire { room, keep: 2 });
        let expired = raw.page(alice, &format!("<after>{first}</after>"));
        let foreign = raw.page(alice, "<after>0e9a-foreign</after>");
        let empty = raw.page(alice, "<after/>");
        if prosody {
            for answer in [&expired, &foreign, &empty] {
                has(answer, &["type='modify'", "<item-not-found "]);
            }
        } else {
            assert_eq!(bodies(&expired), ["2", "3"]);
            assert_eq!(bodies(&foreign), ["2", "3"], "the whole archive");
            has(&empty, &["<bad-request "]);
        }
        let nowhere = raw.say(
            alice,
            "<iq type='set' id='q' to='no@muc.parley.local'><query xmlns='urn:xmpp:mam:2'/></iq>",
        );
        has(&nowhere, &["type='cancel'", "<item-not-found "]);
    });
}

#[test]
fn a_window_of_time_holds_what_was_said_in_it() {
    both(|mut raw, _| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        for n in 0..5 {
            raw.now = raw.now.plus(Duration::from_secs(1));
            raw.post(alice, &n.to_string());
        }
        let window = |from: &str, to: &str| {
            format!(
                "<iq type='set' id='q' to='{ROOM}'><query xmlns='urn:xmpp:mam:2'>\
                 <x xmlns='jabber:x:data' type='submit'>\
                 <field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
                 <field var='start'><value>{from}</value></field>\
                 <field var='end'><value>{to}</value></field></x></query></iq>"
            )
        };
        // The clock shows 12:00:01 when the connection is made.
        let answer = raw.say(
            alice,
            &window("2026-11-21T12:00:03Z", "2026-11-21T12:00:04Z"),
        );
        assert_eq!(bodies(&answer), ["1", "2"], "{answer}");
        has(&answer, &["<count>2</count>"]);
        has(
            &raw.say(alice, &window("yesterday", "")),
            &["<bad-request "],
        );
    });
}

#[test]
fn what_befalls_an_archive_is_seen_and_noted() {
    both(|mut raw, prosody| {
        let alice = raw.bind("alice", "here");
        raw.enter(alice, "ada");
        raw.post(alice, "0");
        let lag = Duration::from_secs(5);
        raw.server.operate(raw.now, &Operation::ArchiveLag(lag));
        raw.post(alice, "1");
        assert_eq!(bodies(&raw.page(alice, "")), ["0"]);
        assert_eq!(raw.server.archive(ROOM).filter(|m| m.visible).count(), 1);
        assert_eq!(raw.server.deadline(), Some(raw.now.plus(lag)));
        raw.now = raw.now.plus(lag);
        raw.server.handle_timeout(raw.now);
        assert_eq!(bodies(&raw.page(alice, "")), ["0", "1"]);
        raw.server
            .operate(raw.now, &Operation::ArchiveLag(Duration::ZERO));
        raw.post(alice, "2");
        raw.server
            .operate(raw.now, &Operation::DropResult { index: 1 });
        let holed = raw.page(alice, "");
        assert_eq!(bodies(&holed), ["0", "2"]);
        has(&holed, &["<count>3</count>"]);
        let room = ROOM.to_owned();
        raw.server
            .operate(raw.now, &Operation::Retract { room, from_end: 1 });
        let retracted = raw.page(alice, "");
        assert_eq!(bodies(&retracted), ["0", "2"]);
        assert_eq!(retracted.matches("<result ").count(), 3);
        assert_eq!(retracted.contains("<retracted "), prosody);
        raw.server
            .operate(raw.now, &Operation::FailQueries { count: 1 });
        has(&raw.page(alice, ""), &["type='wait'"]);
        has(&raw.page(alice, ""), &["<fin "]);
        let lost = Operation::Crash {
            lost_messages: 1,
            lost_rooms: false,
        };
        raw.server.operate(raw.now, &lost);
        assert_eq!(raw.server.wants(alice).transport, ServerTransport::Closed);
        assert!(!raw.server.is_up());
        let refused = Security::Clear { loopback: true };
        assert_eq!(raw.server.accept(raw.now, refused), None);
        raw.server.operate(raw.now, &Operation::Start);
        let alice = raw.bind("alice", "here");
        assert_eq!(bodies(&raw.page(alice, "")), ["0"]);
        let notes: Vec<_> = core::iter::from_fn(|| raw.server.poll_note()).collect();
        let archived = notes.iter().filter(|n| matches!(n, Note::Archived { .. }));
        let unarchived = notes
            .iter()
            .filter(|n| matches!(n, Note::Unarchived { .. }));
        assert_eq!((archived.count(), unarchived.count()), (3, 2));
    });
}
