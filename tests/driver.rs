//! The driver on real servers: connections of each kind, many handles at once,
//! futures and handles dropped at any time.
#![cfg(feature = "tokio")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::tokio::{
    CertificateProblem, Client, ConnectError, PostFailure, RoomError, Settings, State,
    Subscription, TlsMode,
};
use parley_xmpp::{AuthFailure, Cursor, Entry, Fetch, Nick, Post, RequestError, RoomEvent, Start};
use support::{Certificate, DOMAIN, Kind, MUC, Server, ServerOptions};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Fails instead of waiting for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("no end of: {what}"))
}

fn settings(server: &Server, user: &str) -> Settings {
    let service = format!("xmpp://127.0.0.1:{}", server.port());
    Settings::new(&service, DOMAIN, user, &format!("secret-{user}")).expect("settings")
}

fn direct(server: &Server, user: &str) -> Settings {
    let service = format!("xmpps://127.0.0.1:{}", server.tls_port());
    Settings::new(&service, DOMAIN, user, &format!("secret-{user}"))
        .expect("settings")
        .ca_file(server.ca_file())
}

async fn connect(settings: Settings) -> Client {
    soon("connect", Client::connect(settings))
        .await
        .expect("to connect")
}

async fn refused(settings: Settings) -> ConnectError {
    match soon("connect", Client::connect(settings)).await {
        Err(error) => error,
        Ok(client) => panic!("connected as {}", client.jid()),
    }
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

async fn each<F: Future<Output = ()>>(options: ServerOptions, test: impl Fn(Server) -> F) {
    for kind in Kind::ALL {
        if let Some(server) = Server::start(kind, options.clone()) {
            test(server).await;
        }
    }
}

async fn converse(client: &Client, topic: &str) {
    let room = soon("join", client.room(topic)).await.expect("to join");
    let mut subscription = soon("subscribe", room.subscribe(Start::Now))
        .await
        .expect("to subscribe");
    assert!(matches!(
        soon("anchor", subscription.next()).await,
        Some(Entry::CaughtUp { .. })
    ));
    let posted = soon("post", room.post("one")).await.expect("to post");
    soon("send", room.send(Post::new("two")))
        .await
        .expect("to post");
    assert_eq!(bodies(&mut subscription, 2).await, ["one", "two"]);
    let after = Cursor::After(posted.id.expect("an archived post"));
    let page = soon("fetch", room.fetch(Fetch::since(after, 10)))
        .await
        .expect("to fetch");
    assert_eq!(
        page.messages
            .iter()
            .map(|m| m.body.as_str())
            .collect::<Vec<_>>(),
        ["two"]
    );
    assert!(page.complete);
}

#[tokio::test]
async fn each_kind_of_connection_carries_a_conversation() {
    each(ServerOptions::default(), |server| async move {
        let clear = connect(settings(&server, "alice")).await;
        assert!(clear.tls().is_none() && !clear.login().tls);
        converse(&clear, "in clear").await;
        clear.close().await;

        let starttls = connect(settings(&server, "alice").ca_file(server.ca_file())).await;
        assert_eq!(starttls.tls().expect("TLS").version, "TLSv1.3");
        let login = starttls.login();
        assert_eq!(
            login.mechanism.ends_with("-PLUS"),
            login.channel_binding.is_some(),
            "{login:?}"
        );
        converse(&starttls, "starttls").await;
        starttls.close().await;

        let tls = connect(direct(&server, "alice")).await;
        assert!(tls.login().tls && tls.tls().is_some());
        converse(&tls, "direct").await;
        tls.close().await;
    })
    .await;
}

#[tokio::test]
async fn why_a_connection_fails_is_told() {
    let options = ServerOptions {
        certificate: Certificate::WrongName,
        ..ServerOptions::default()
    };
    each(options, |server| async move {
        let error = refused(direct(&server, "alice")).await;
        assert!(
            matches!(&error, ConnectError::Certificate { problem: CertificateProblem::WrongName, detail }
                if detail.contains("other.example")),
            "{error:?}"
        );
        // The name can be given, and then it holds over STARTTLS too.
        let named = settings(&server, "alice").ca_file(server.ca_file()).tls_name("other.example");
        connect(named).await.close().await;
        let error = refused(settings(&server, "alice").tls(TlsMode::Required)).await;
        assert!(
            matches!(&error, ConnectError::Certificate { problem: CertificateProblem::UnknownIssuer, .. }),
            "{error:?}"
        );
        let service = format!("xmpp://127.0.0.1:{}", server.port());
        let wrong = Settings::new(&service, DOMAIN, "alice", "wrong").expect("settings");
        let error = refused(wrong).await;
        assert!(matches!(&error, ConnectError::Auth(AuthFailure::Rejected { .. })), "{error:?}");
        assert_eq!(error.to_string(), "the server refused the login: not-authorized");
        assert_eq!(error.remedy(), Some("check the user name and password"));
        let (plain, tls) = (server.port(), server.tls_port());
        drop(server);
        for service in [format!("xmpp://127.0.0.1:{plain}"), format!("xmpps://127.0.0.1:{tls}")] {
            let error = refused(Settings::new(&service, DOMAIN, "alice", "x").expect("settings")).await;
            assert!(matches!(&error, ConnectError::Connect { .. }), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_tls_is_no_connection_where_tls_is_meant() {
    let options = ServerOptions {
        starttls: false,
        ..ServerOptions::default()
    };
    each(options, |server| async move {
        let error = refused(settings(&server, "alice").tls(TlsMode::Required)).await;
        assert_eq!(error, ConnectError::NoTls);
    })
    .await;
}

#[tokio::test]
async fn who_keeps_trying_connects_when_the_server_comes() {
    let Some(mut server) = Server::start(Kind::Prosody, ServerOptions::default()) else {
        return;
    };
    server.stop();
    let connecting = tokio::spawn(Client::connect(
        settings(&server, "alice").keep_trying(true),
    ));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!connecting.is_finished());
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = server.await.expect("a server");
    let client = soon("connect", connecting)
        .await
        .expect("no panic")
        .expect("to connect");
    client.close().await;
}

/// jitsi/jicoco#160: a connection that nobody holds any more lives on.
#[tokio::test]
async fn the_last_handle_ends_the_task() {
    each(ServerOptions::default(), |server| async move {
        let client = connect(settings(&server, "alice")).await;
        let mut states = client.states();
        assert!(matches!(states.next().await, Some(State::Online { .. })));
        let room = soon("join", client.room("handles")).await.expect("to join");
        let mut events = room.events();
        let subscription = soon("subscribe", room.subscribe(Start::Now))
            .await
            .expect("to subscribe");
        drop(client);
        drop(room);
        assert!(
            timeout(Duration::from_millis(200), states.next())
                .await
                .is_err(),
            "a handle is left"
        );
        drop(subscription);
        let end = async {
            let mut all = Vec::new();
            while let Some(state) = states.next().await {
                all.push(state);
            }
            all
        };
        let all = soon("end", end).await;
        assert_eq!(all.last(), Some(&State::Closed), "{all:?}");
        soon("end of events", async {
            while events.next().await.is_some() {}
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn after_the_end_every_call_says_so() {
    let Some(server) = Server::start(Kind::Prosody, ServerOptions::default()) else {
        return;
    };
    let client = connect(settings(&server, "alice")).await;
    let room = soon("join", client.room("end")).await.expect("to join");
    let mut subscription = soon("subscribe", room.subscribe(Start::Now))
        .await
        .expect("to subscribe");
    soon("close", client.close()).await;
    soon("close again", client.close()).await;
    assert_eq!(room.post("late").await, Err(PostFailure::Closed));
    assert_eq!(
        room.fetch(Fetch::newest(1)).await.map_err(|f| f.error),
        Err(RequestError::Offline)
    );
    assert_eq!(
        client.room("other").await.map(|_| ()),
        Err(RoomError::Closed)
    );
    assert_eq!(
        client.disco_info(client.jid()).await,
        Err(RequestError::Offline)
    );
    soon("end", async {
        while subscription.next().await.is_some() {}
    })
    .await;
    assert!(matches!(client.states().next().await, Some(State::Closed)));
    room.leave().await;
}

#[tokio::test]
async fn a_dropped_runtime_ends_what_others_wait_for() {
    let Some(server) = Server::start(Kind::Prosody, ServerOptions::default()) else {
        return;
    };
    let settings = settings(&server, "alice");
    let (client, mut subscription) = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let client = connect(settings).await;
            let room = soon("join", client.room("runtime")).await.expect("to join");
            let subscription = soon("subscribe", room.subscribe(Start::Now))
                .await
                .expect("to subscribe");
            (client, subscription)
        })
    })
    .await
    .expect("no panic");
    soon("end", async {
        while subscription.next().await.is_some() {}
    })
    .await;
    soon("close", client.close()).await;
}

#[tokio::test]
async fn one_topic_is_one_room() {
    each(ServerOptions::default(), |server| async move {
        let client = connect(settings(&server, "alice").nick(Nick::Chosen("ana".into()))).await;
        let (one, two) = tokio::join!(client.room("Same / topic"), client.room("Same / topic"));
        let (one, two) = (one.expect("to join"), two.expect("to join"));
        assert_eq!(one.jid(), two.jid());
        assert_eq!(
            (one.topic(), one.nick().as_str()),
            (Some("Same / topic"), "ana")
        );
        let again = client
            .join(one.jid().clone(), Nick::Random)
            .await
            .expect("to join");
        assert_eq!((again.topic(), again.nick().as_str()), (None, "ana"));
        // Leaving and coming back at once.
        let mut events = two.events();
        let (_, back) = tokio::join!(soon("leave", one.leave()), async {
            tokio::task::yield_now().await;
            soon("back", client.room("Same / topic")).await
        });
        back.expect("to come back")
            .post("here again")
            .await
            .expect("to post");
        let last = async {
            let mut last = None;
            while let Some(event) = events.next().await {
                last = Some(event);
            }
            last
        };
        assert!(matches!(
            soon("left", last).await,
            Some(Ok(RoomEvent::Left { .. }))
        ));
        assert!(matches!(
            two.post("from outside").await,
            Err(PostFailure::Invalid(_))
        ));
        // A nick that is taken.
        let other = connect(settings(&server, "bob").nick(Nick::Chosen("ana".into()))).await;
        let error = soon("conflict", other.room("Same / topic"))
            .await
            .map(|_| ())
            .expect_err("a conflict");
        assert!(error.to_string().contains("nick"), "{error}");
        other.close().await;
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn services_can_be_asked_and_rooms_destroyed() {
    each(ServerOptions::default(), |server| async move {
        let client = connect(settings(&server, "alice")).await;
        let muc = parley_xmpp::jid::Jid::parse(MUC).expect("an address");
        let info = soon("disco", client.disco_info(muc.clone()))
            .await
            .expect("an answer");
        assert!(info.has("http://jabber.org/protocol/muc"), "{info:?}");
        let room = soon("join", client.room("doomed")).await.expect("to join");
        let guest = connect(settings(&server, "bob")).await;
        let seen = soon("join", guest.room("doomed")).await.expect("to join");
        let refused = soon("destroy", seen.destroy()).await;
        assert!(
            matches!(refused, Err(RequestError::Refused(_))),
            "{refused:?}"
        );
        soon("destroy", room.destroy()).await.expect("to destroy");
        assert_eq!(
            soon("destroy", room.destroy()).await,
            Err(RequestError::NoSuchRoom)
        );
        client.close().await;
        guest.close().await;
    })
    .await;
}

/// Every future is dropped at some point of its life; afterwards all still works.
#[tokio::test]
async fn futures_can_be_dropped_at_any_time() {
    each(ServerOptions::default(), |server| async move {
        let client = connect(settings(&server, "alice")).await;
        let room = soon("join", client.room("dropped")).await.expect("to join");
        for n in 0..120u64 {
            let wait = Duration::from_micros(n * 97 % 4000);
            let waiting = Cursor::Beginning;
            drop(timeout(wait, room.post(&format!("post {n}"))).await);
            drop(timeout(wait, room.fetch(Fetch::newest(50))).await);
            drop(
                timeout(
                    wait,
                    room.fetch(Fetch::since(waiting, 5).wait(Duration::from_secs(60))),
                )
                .await,
            );
            drop(timeout(wait, client.room(&format!("dropped {}", n % 5))).await);
            drop(timeout(wait, client.disco_info(client.jid())).await);
            if let Ok(Ok(mut subscription)) =
                timeout(wait, room.subscribe(Start::Cursor(Cursor::Beginning))).await
            {
                drop(timeout(wait, subscription.next()).await);
            }
            drop(timeout(wait, Client::connect(settings(&server, "bob"))).await);
        }
        soon("post", room.post("last")).await.expect("to post");
        let page = soon("fetch", room.fetch(Fetch::newest(1)))
            .await
            .expect("to fetch");
        assert_eq!(page.messages.last().expect("a message").body, "last");
        soon("close", client.close()).await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_who_sleeps_misses_nothing_and_holds_up_nobody() {
    each(ServerOptions::default(), |server| async move {
        let client = connect(settings(&server, "alice")).await;
        let room = soon("join", client.room("sleeper")).await.expect("to join");
        let mut sleeper = soon(
            "subscribe",
            room.subscribe(Start::Cursor(Cursor::Beginning)),
        )
        .await
        .expect("one");
        let mut reader = soon(
            "subscribe",
            room.subscribe(Start::Cursor(Cursor::Beginning)),
        )
        .await
        .expect("one");
        let count = Subscription::WINDOW as usize * 2 + 50;
        let said: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        for text in &said {
            soon("post", room.post(text)).await.expect("to post");
        }
        assert_eq!(bodies(&mut reader, count).await, said);
        assert_eq!(bodies(&mut sleeper, count).await, said);
        let mut seen = Vec::new();
        let page = soon(
            "fetch",
            room.fetch_with(Fetch::newest(300), |n| seen.push(n)),
        )
        .await
        .expect("to fetch");
        let tail: Vec<_> = page.messages.iter().map(|m| m.body.clone()).collect();
        assert_eq!(tail, said[count - 300..]);
        assert_eq!(seen.last(), Some(&300));
        assert!(seen.len() > 1, "{seen:?}");
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn after_a_restart_the_subscription_goes_on() {
    each(ServerOptions::default(), |mut server| async move {
        let client = connect(settings(&server, "alice").nick(Nick::Chosen("ana".into()))).await;
        let mut states = client.states();
        let room = soon("join", client.room("restart")).await.expect("to join");
        let mut subscription = soon(
            "subscribe",
            room.subscribe(Start::Cursor(Cursor::Beginning)),
        )
        .await
        .expect("one");
        soon("post", room.post("before")).await.expect("to post");
        // The subscription alone keeps the room.
        drop(room);
        let server = tokio::task::spawn_blocking(move || {
            server.restart();
            server
        })
        .await
        .expect("a server");
        soon("offline", async {
            loop {
                if let Some(State::Offline { retry_in, .. }) = states.next().await {
                    assert!(retry_in.is_some());
                    break;
                }
            }
        })
        .await;
        soon("online", async {
            while !matches!(states.next().await, Some(State::Online { .. })) {}
        })
        .await;
        let other = connect(settings(&server, "bob")).await;
        let room = soon("join", other.room("restart")).await.expect("to join");
        soon("post", room.post("after")).await.expect("to post");
        assert_eq!(bodies(&mut subscription, 2).await, ["before", "after"]);
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_injected_configuration_of_rustls_is_used_as_it_is() {
    use parley_xmpp::tokio::rustls;
    use std::sync::Arc;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    each(ServerOptions::default(), |server| async move {
        let with_roots = |trust: bool| {
            let mut roots = rustls::RootCertStore::empty();
            if trust {
                let issuer = CertificateDer::from_pem_file(server.ca_file()).expect("an issuer");
                roots.add(issuer).expect("a root");
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let service = format!("xmpp://127.0.0.1:{}", server.port());
            Settings::new(&service, DOMAIN, "alice", "secret-alice")
                .expect("settings")
                .tls_config(Arc::new(config))
        };
        // It shows that TLS is meant: the loopback is not reason enough to go without.
        let client = connect(with_roots(true)).await;
        assert!(client.login().tls);
        client.close().await;
        assert!(matches!(
            refused(with_roots(false)).await,
            ConnectError::Certificate { .. }
        ));
    })
    .await;
}

/// Posters, fetchers and subscribers of several rooms on one client.
async fn stress(server: &Server) {
    const ROOMS: usize = 3;
    const POSTERS: usize = 4;
    const POSTS: usize = 25;
    let client = connect(direct(server, "alice")).await;
    let mut tasks = Vec::new();
    for room in 0..ROOMS {
        let topic = format!("stress {room}");
        let room = soon("join", client.room(&topic)).await.expect("to join");
        for _ in 0..3 {
            let room = room.clone();
            tasks.push(tokio::spawn(async move {
                let start = Start::Cursor(Cursor::Beginning);
                let mut subscription = soon("subscribe", room.subscribe(start))
                    .await
                    .expect("to subscribe");
                let said = bodies(&mut subscription, POSTERS * POSTS).await;
                let different: BTreeSet<_> = said.iter().collect();
                assert_eq!(different.len(), POSTERS * POSTS);
            }));
        }
        for poster in 0..POSTERS {
            let room = room.clone();
            tasks.push(tokio::spawn(async move {
                for n in 0..POSTS {
                    soon("post", room.post(&format!("{poster}.{n}")))
                        .await
                        .expect("to post");
                }
            }));
        }
        for _ in 0..40 {
            let room = room.clone();
            tasks.push(tokio::spawn(async move {
                soon("fetch", room.fetch(Fetch::newest(20)))
                    .await
                    .expect("to fetch");
            }));
        }
        let room = client.join(
            BareJid::parse(room.jid().as_str()).expect("an address"),
            Nick::Random,
        );
        drop(soon("join", room).await.expect("to join"));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    soon("close", client.close()).await;
}

#[tokio::test]
async fn many_at_once_on_one_thread() {
    each(ServerOptions::default(), |server| async move {
        stress(&server).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_many_threads() {
    each(ServerOptions::default(), |server| async move {
        stress(&server).await
    })
    .await;
}
