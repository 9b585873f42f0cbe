//! The engine does its job on real servers from a single thread without a runtime.
//!
//! With `PARLEY_XMPP_RECORD=1` what passes is written to `tests/transcripts`,
//! from where `tests/transcripts.rs` replays it.

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

mod blocking_host;
mod support;

use blocking_host::Host;
use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    ArchiveId, Config, Cursor, Entry, Event, Fetch, FetchEvent, JoinRoom, Message, Nick, Plaintext,
    Post, PostOutcome, RoomEvent, RoomId, Start,
};
use support::{Kind, Server, ServerOptions};

fn join(host: &mut Host, room: &str) -> RoomId {
    host.note(&format!("join {room}"));
    let room = BareJid::parse(room).expect("an address");
    let now = host.now();
    let id = host
        .engine
        .join(now, JoinRoom::new(room, Nick::Chosen("ada".into())))
        .expect("to join");
    host.until("join", |e| {
        matches!(
            e,
            Event::Room {
                event: RoomEvent::Joined(_),
                ..
            }
        )
    });
    id
}

fn post(host: &mut Host, room: RoomId, text: &str) -> ArchiveId {
    host.note(&format!("post {text}"));
    let now = host.now();
    let id = host
        .engine
        .post(now, room, Post::new(text))
        .expect("to post");
    let event = host.until(
        "outcome",
        |e| matches!(e, Event::Post { id: i, .. } if *i == id),
    );
    match event {
        Event::Post {
            outcome: PostOutcome::Committed { id: Some(id), .. },
            ..
        } => id,
        other => panic!("{other:?}"),
    }
}

fn fetch(host: &mut Host, room: RoomId, since: &str) -> (Vec<Message>, Cursor) {
    host.note(&format!("fetch {since}"));
    let now = host.now();
    let cursor = Cursor::parse(since).expect("a cursor");
    let id = host
        .engine
        .fetch(now, room, Fetch::since(cursor, 100))
        .expect("to fetch");
    let done = host.until("fetch", |e| {
        matches!(e, Event::Fetch { id: i, event } if *i == id && !matches!(event, FetchEvent::Page(_)))
    });
    let messages = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Fetch {
                id: i,
                event: FetchEvent::Page(page),
            } if *i == id => Some(page.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    match done {
        Event::Fetch {
            event:
                FetchEvent::Done {
                    next,
                    complete: true,
                    ..
                },
            ..
        } => (messages, next),
        other => panic!("{other:?}"),
    }
}

fn main_job(kind: Kind, name: &str) {
    let Some(server) = Server::start(kind, ServerOptions::default()) else {
        return;
    };
    let mut config = Config::new(support::DOMAIN, "alice", "secret-alice").expect("a config");
    config.plaintext = Plaintext::OnLoopback;
    let mut host = Host::new(config, [7; 32], server.port());
    host.until("login", |e| matches!(e, Event::Online { .. }));
    let room = join(&mut host, &format!("job@{}", support::MUC));

    assert_eq!(fetch(&mut host, room, "").0, []);
    host.note("subscribe");
    let now = host.now();
    host.engine
        .subscribe(now, room, Start::Now, u32::MAX)
        .expect("to subscribe");
    host.until("end", |e| {
        matches!(
            e,
            Event::Entry {
                entry: Entry::CaughtUp { .. },
                ..
            }
        )
    });
    let posted: Vec<_> = ["one", "two <&>", "drei — 3"]
        .iter()
        .map(|text| post(&mut host, room, text))
        .collect();

    let (all, next) = fetch(&mut host, room, "");
    let ids: Vec<_> = all.iter().filter_map(|m| m.id.clone()).collect();
    assert_eq!(ids, posted);
    assert_eq!(next, Cursor::After(posted[2].clone()));
    assert_eq!(all[1].body, "two <&>");
    let (after, _) = fetch(&mut host, room, posted[0].as_str());
    assert_eq!(after, all[1..]);
    let (none, same) = fetch(&mut host, room, next.as_str());
    assert_eq!((none.len(), &same), (0, &next));
    let pushed: Vec<_> = host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message),
            _ => None,
        })
        .collect();
    assert_eq!(pushed.len(), 3);
    for (pushed, fetched) in pushed.iter().zip(&all) {
        let mut pushed = (**pushed).clone();
        // When it was said is what the archive says; how it came differs by nature.
        pushed.stamp.clone_from(&fetched.stamp);
        pushed.source = fetched.source;
        assert_eq!(&*pushed, fetched);
        assert!(pushed.own);
    }
    host.note("close");
    let now = host.now();
    host.engine.close(now);
    host.until("end", |e| matches!(e, Event::Closed));
    if std::env::var_os("PARLEY_XMPP_RECORD").is_some() {
        std::fs::write(format!("tests/transcripts/{name}.xmpp"), &host.transcript)
            .expect("to write");
    }
}

#[test]
fn prosody_without_a_runtime() {
    main_job(Kind::Prosody, "prosody");
}

#[test]
fn ejabberd_without_a_runtime() {
    main_job(Kind::Ejabberd, "ejabberd");
}
