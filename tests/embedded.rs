//! The embedded server as users of it meet it: real clients over real sockets.

#![cfg(feature = "embedded")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup};
use parley_xmpp::sim::server::{Note, Operation, Personality, Removal, ServerSetup};
use parley_xmpp::tokio::{Client, ConnectError, Room, Settings, State, Subscription};
use parley_xmpp::{AuthFailure, Cursor, Entry, Fetch, LeaveCause, Nick, RoomEvent, Start};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far beyond what anything takes: a test that waits that long hangs.
const PATIENCE: Duration = Duration::from_secs(120);
const KINDS: [Personality; 2] = [Personality::Prosody, Personality::Ejabberd];

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("no end of: {what}"))
}

fn setup(kind: Personality) -> ServerSetup {
    ServerSetup::new(kind, "parley.local")
        .account("ana", "secret-ana")
        .account("ben", "secret-ben")
}

async fn start(setup: ServerSetup) -> EmbeddedServer {
    EmbeddedServer::start(EmbeddedSetup::new(setup))
        .await
        .expect("a server")
}

/// Quick to come back: the default rests are for servers of others.
fn quick(settings: Option<Settings>) -> Settings {
    let mut settings = settings.expect("an account");
    settings.config.timing.backoff_min = Duration::from_millis(50);
    settings.config.timing.backoff_max = Duration::from_millis(200);
    settings
}

async fn connect(settings: Settings) -> Client {
    soon("connect", Client::connect(settings))
        .await
        .expect("to connect")
}

async fn join(client: &Client, topic: &str) -> Room {
    soon("join", client.room(topic)).await.expect("to join")
}

async fn follow(room: &Room) -> Subscription {
    let start = Start::Cursor(Cursor::Beginning);
    soon("subscribe", room.subscribe(start))
        .await
        .expect("to subscribe")
}

async fn post(room: &Room, text: &str) -> String {
    let posted = soon("post", room.post(text)).await.expect("to post");
    posted.id.expect("an archived post").as_str().into()
}

/// The bodies of the next `count` messages.
async fn bodies(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        match soon("entry", subscription.next()).await.expect("an entry") {
            Entry::Message(message) => bodies.push(message.body),
            Entry::CaughtUp { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    bodies
}

async fn converse(server: &EmbeddedServer, settings: Settings, tls: bool) {
    let client = connect(settings).await;
    assert_eq!(client.tls().is_some(), tls);
    assert_eq!(client.login().tls, tls);
    let room = join(&client, "ops").await;
    let mut subscription = follow(&room).await;
    let before = server.archive("ops@muc.parley.local").len();
    drop(bodies(&mut subscription, before).await);
    let one = post(&room, "one").await;
    let two = post(&room, "two").await;
    assert_eq!(bodies(&mut subscription, 2).await, ["one", "two"]);
    let after = Cursor::parse(&one).expect("a cursor");
    let page = soon("fetch", room.fetch(Fetch::since(after, 10)))
        .await
        .expect("to fetch");
    let ids: Vec<_> = page.messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(page.next.as_str(), two);
    let archive = server.archive("ops@muc.parley.local");
    let told: Vec<_> = archive
        .iter()
        .skip(before)
        .map(|message| message.id.as_str())
        .collect();
    assert_eq!(told, [&one, &two]);
    soon("close", client.close()).await;
}

#[tokio::test]
async fn each_way_in_carries_a_conversation() {
    for kind in KINDS {
        let server = start(setup(kind)).await;
        assert!(server.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
        converse(&server, server.client_settings("ana").expect("ana"), true).await;
        converse(
            &server,
            server.direct_tls_settings("ben").expect("ben"),
            true,
        )
        .await;
        assert!(server.client_settings("nobody").is_none());
        soon("close", server.close()).await;

        let mut clear = setup(kind);
        clear.tls = false;
        let server = start(clear).await;
        converse(&server, server.client_settings("ana").expect("ana"), false).await;
        // From the first byte there is TLS all the same, on the same port.
        converse(
            &server,
            server.direct_tls_settings("ana").expect("ana"),
            true,
        )
        .await;
    }
}

#[tokio::test]
async fn the_certificate_is_one_that_a_file_can_hold() {
    let server = start(setup(Personality::Prosody)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, server.ca_pem()).expect("a file");
    for scheme in ["xmpp", "xmpps"] {
        let service = format!("{scheme}://{}", server.address());
        let settings = Settings::new(&service, "parley.local", "ana", "secret-ana");
        let trusting = settings.clone().expect("settings").ca_file(&file);
        let client = connect(trusting).await;
        assert!(client.login().tls);
        soon("close", client.close()).await;
        let strange = soon("connect", Client::connect(settings.expect("settings"))).await;
        assert!(
            matches!(strange, Err(ConnectError::Certificate { .. })),
            "{strange:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = start(setup(Personality::Prosody)).await;
    server.operate(&Operation::ChangePassword {
        account: "ana".into(),
        password: "another".into(),
    });
    let settings = server.client_settings("ana").expect("ana");
    let refused = soon("connect", Client::connect(settings)).await;
    assert!(
        matches!(
            refused,
            Err(ConnectError::Auth(AuthFailure::Rejected { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn whoever_is_kicked_is_told() {
    let server = start(setup(Personality::Prosody)).await;
    let client = connect(quick(server.client_settings("ana"))).await;
    let room = join(&client, "ops").await;
    let mut events = room.events();
    let mut notes = server.notes();
    server.operate(&Operation::Remove {
        room: "ops@muc.parley.local".into(),
        account: "ana".into(),
        how: Removal::Kicked,
    });
    loop {
        let event = soon("event", events.next()).await.expect("an event");
        if let Ok(RoomEvent::Left { cause, .. }) = event {
            assert!(matches!(cause, LeaveCause::Kicked { .. }), "{cause:?}");
            break;
        }
    }
    loop {
        let note = soon("note", notes.next()).await.expect("a note");
        if let Ok(Note::Left { room, told, .. }) = note {
            assert_eq!((room.as_str(), told), ("ops@muc.parley.local", true));
            break;
        }
    }
}

/// Waits until a client is offline, and then until it is online again.
async fn interrupted(states: &mut parley_xmpp::tokio::States) {
    let mut offline = false;
    loop {
        match soon("state", states.next()).await.expect("a state") {
            State::Offline { .. } => offline = true,
            State::Online { .. } if offline => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn conversations_go_on_over_cuts_and_crashes() {
    for kind in KINDS {
        let server = start(setup(kind)).await;
        let ana = connect(quick(server.client_settings("ana"))).await;
        let ben = connect(quick(server.direct_tls_settings("ben"))).await;
        let (says, hears) = (join(&ana, "ops").await, join(&ben, "ops").await);
        let mut log = follow(&hears).await;
        let (mut a, mut b) = (ana.states(), ben.states());
        post(&says, "one").await;

        server.cut_links();
        interrupted(&mut a).await;
        interrupted(&mut b).await;
        post(&says, "two").await;

        server.operate(&Operation::Crash {
            lost_messages: 0,
            lost_rooms: false,
        });
        assert!(!server.is_up());
        let refused = soon("connect", TcpStream::connect(server.address())).await;
        // The port stays ours, but nobody is served there.
        if let Ok(mut tcp) = refused {
            let end = soon("end", tcp.read(&mut [0])).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        }
        server.operate(&Operation::Start);
        assert!(server.is_up());
        interrupted(&mut a).await;
        interrupted(&mut b).await;
        post(&says, "three").await;

        server.operate(&Operation::Stop);
        server.operate(&Operation::Start);
        // What is posted before the break is noticed is in doubt, and no matter here.
        interrupted(&mut a).await;
        interrupted(&mut b).await;
        post(&says, "four").await;
        assert_eq!(bodies(&mut log, 4).await, ["one", "two", "three", "four"]);
        soon("close", server.close()).await;
    }
}

#[tokio::test]
async fn many_clients_hear_the_same() {
    const CLIENTS: usize = 40;
    let server = start(setup(Personality::Prosody)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let settings = server.client_settings("ana").expect("ana");
        let settings = settings.nick(Nick::Chosen(format!("n{n}")));
        tasks.spawn(async move {
            let client = connect(settings).await;
            let room = join(&client, "ops").await;
            let mut log = follow(&room).await;
            post(&room, &format!("by {n}")).await;
            let heard = bodies(&mut log, CLIENTS).await;
            soon("close", client.close()).await;
            heard
        });
    }
    let mut logs = BTreeSet::new();
    while let Some(heard) = soon("all", tasks.join_next()).await {
        logs.insert(heard.expect("a log"));
    }
    assert_eq!(logs.len(), 1, "all heard the same in the same order");
    let archive = server.archive("ops@muc.parley.local");
    let archive: Vec<_> = archive.into_iter().map(|message| message.body).collect();
    assert_eq!(logs.first(), Some(&archive));
}

#[tokio::test]
async fn servers_side_by_side_share_nothing() {
    let one = start(setup(Personality::Prosody)).await;
    let two = start(setup(Personality::Prosody)).await;
    assert_ne!(one.address(), two.address());
    assert_ne!(one.ca_pem(), two.ca_pem());
    let client = connect(one.client_settings("ana").expect("ana")).await;
    post(&join(&client, "ops").await, "here").await;
    assert_eq!(one.archive("ops@muc.parley.local").len(), 1);
    assert!(two.archive("ops@muc.parley.local").is_empty());
    // A certificate of the one is none for the other.
    let service = format!("xmpps://{}", two.address());
    let stranger = Settings::new(&service, "parley.local", "ana", "secret-ana");
    let refused = soon("connect", Client::connect(stranger.expect("settings"))).await;
    assert!(matches!(refused, Err(ConnectError::Certificate { .. })));
}

#[tokio::test]
async fn bytes_that_are_no_xmpp_do_no_harm() {
    use tokio::io::AsyncWriteExt as _;
    let server = start(setup(Personality::Prosody)).await;
    for bytes in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ] {
        let mut tcp = TcpStream::connect(server.address()).await.expect("TCP");
        tcp.write_all(bytes).await.expect("to write");
        tcp.shutdown().await.expect("to close");
        let mut answer = Vec::new();
        let _ = soon("the end", tcp.read_to_end(&mut answer)).await;
    }
    converse(&server, server.client_settings("ana").expect("ana"), true).await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let mut small = setup(Personality::Prosody);
    small.connections = 2;
    let server = start(small).await;
    let ana = connect(server.client_settings("ana").expect("ana")).await;
    let _ben = connect(server.client_settings("ben").expect("ben")).await;
    let mut third = TcpStream::connect(server.address()).await.expect("TCP");
    let end = soon("the end", third.read(&mut [0])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // The others do not mind.
    join(&ana, "ops").await;
}

#[tokio::test]
async fn closing_ends_streams_and_nothing_listens_afterwards() {
    let server = start(setup(Personality::Prosody)).await;
    let address = server.address();
    let client = connect(server.client_settings("ana").expect("ana")).await;
    let mut states = client.states();
    soon("close", server.close()).await;
    loop {
        if let State::Offline { cause, .. } = soon("state", states.next()).await.expect("a state") {
            let said = format!("{cause:?}");
            assert!(said.contains("SystemShutdown"), "{said}");
            break;
        }
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn dropping_ends_it_too() {
    let server = start(setup(Personality::Prosody)).await;
    let address = server.address();
    let client = connect(server.client_settings("ana").expect("ana")).await;
    let mut states = client.states();
    let mut notes = server.notes();
    drop(server);
    // The notes end when the last task has.
    soon("the end", async { while notes.next().await.is_some() {} }).await;
    assert!(TcpStream::connect(address).await.is_err());
    loop {
        if let State::Offline { .. } = soon("state", states.next()).await.expect("a state") {
            break;
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let server = start(setup(Personality::Prosody)).await;
    let again = EmbeddedSetup::new(setup(Personality::Prosody)).listen(server.address());
    let error = EmbeddedServer::start(again).await.expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_slow_link_is_slow_and_loses_nothing() {
    let slow = EmbeddedSetup::new(setup(Personality::Prosody)).delay(Duration::from_millis(5));
    let server = EmbeddedServer::start(slow).await.expect("a server");
    converse(&server, server.client_settings("ana").expect("ana"), true).await;
    converse(
        &server,
        server.direct_tls_settings("ben").expect("ben"),
        true,
    )
    .await;
}

/// What is suspended goes on in another client, which is nobody else to the server.
#[tokio::test]
async fn a_session_is_handed_on_and_goes_on_in_its_rooms() {
    for kind in KINDS {
        let server = start(setup(kind)).await;
        let ana =
            connect(quick(server.client_settings("ana")).nick(Nick::Chosen("ana".into()))).await;
        let room = join(&ana, "t").await;
        post(&room, "before").await;
        let jid = ana.jid();
        let saved = soon("suspend", ana.suspend()).await.expect("a session");
        assert!(room.post("too late").await.is_err());
        let saved = saved.to_string().parse().expect("what was written");
        let settings = quick(server.client_settings("ana")).nick(Nick::Chosen("ana".into()));
        let ana = connect(settings.resume(saved)).await;
        assert!(ana.login().resumed, "{kind:?}");
        assert_eq!(ana.jid(), jid);
        // A join of an occupant is answered as a first one.
        let room = join(&ana, "t").await;
        assert_eq!(room.nick(), "ana");
        post(&room, "after").await;
        let mut entries = follow(&room).await;
        let mut bodies = Vec::new();
        while bodies.len() < 2 {
            if let Some(Entry::Message(message)) = soon("entry", entries.next()).await {
                bodies.push(message.body);
            }
        }
        assert_eq!(bodies, ["before", "after"]);
        soon("close", ana.close()).await;
    }
}
