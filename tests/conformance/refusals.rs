//! What cannot work is told for what it is, at once, by every way in, and nothing is tried again.
//!
//! Each attempt is made through the library, the bridge and the program, each over a relay that
//! counts connections and what is said to the server.

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parley_xmpp::tokio::{CertificateProblem, Client, ConnectError, RoomError, Settings};
use parley_xmpp::{
    AuthFailure, Condition, JoinFailure, Nick, OfflineCause, SaslCondition, StreamCondition,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bridge::Bridge;
use crate::program::{program, run};
use crate::support::{DOMAIN, Kind, Server};
use crate::{block_on, common, expired, misnamed, soon};

/// Far above what any of these takes, far below any patience of the programs.
const QUICKLY: Duration = Duration::from_secs(10);
/// As long as the first pause before another attempt can be, and more.
const QUIET: Duration = Duration::from_millis(700);

const FAREWELL: Duration = Duration::from_millis(150);

/// Passes connections on to a server, and counts.
struct Relay {
    port: u16,
    connections: Arc<AtomicUsize>,
    /// Bytes towards the server.
    said: Arc<AtomicUsize>,
}

impl Relay {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let relay = Self {
            port: listener.local_addr().expect("an address").port(),
            connections: Arc::default(),
            said: Arc::default(),
        };
        let (connections, said) = (Arc::clone(&relay.connections), Arc::clone(&relay.said));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(pass(client, port, Arc::clone(&said)));
            }
        });
        relay
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Nothing more is tried.
    async fn assert_quiet(&self) {
        let now = || (self.connections(), self.said.load(Ordering::SeqCst));
        // The farewells of what has just ended may still be on their way.
        let mut before = now();
        loop {
            tokio::time::sleep(FAREWELL).await;
            if now() == std::mem::replace(&mut before, now()) {
                break;
            }
        }
        tokio::time::sleep(QUIET).await;
        assert_eq!(now(), before, "something was tried again");
    }
}

async fn pass(client: TcpStream, port: u16, said: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else {
        return;
    };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let there = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            said.fetch_add(count, Ordering::SeqCst);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(there, back);
}

/// An attempt to connect.
#[derive(Clone)]
struct Attempt<'a> {
    service: String,
    domain: &'a str,
    user: &'a str,
    password: &'a str,
    ca_file: Option<&'a Path>,
    nick: Option<&'a str>,
}

impl<'a> Attempt<'a> {
    /// One that would work, if that is where a server is.
    fn at(service: String) -> Self {
        Self {
            service,
            domain: DOMAIN,
            user: "alice",
            password: "secret-alice",
            ca_file: None,
            nick: None,
        }
    }

    fn in_clear(relay: &Relay) -> Self {
        Self::at(format!("xmpp://127.0.0.1:{}", relay.port))
    }

    fn direct_tls(relay: &Relay, server: &'a Server) -> Self {
        Self {
            ca_file: Some(server.ca_file()),
            ..Self::at(format!("xmpps://127.0.0.1:{}", relay.port))
        }
    }

    fn bob(self) -> Self {
        Self {
            user: "bob",
            password: "secret-bob",
            ..self
        }
    }

    async fn library(&self) -> Result<Client, ConnectError> {
        let mut settings = Settings::new(&self.service, self.domain, self.user, self.password)
            .expect("settings")
            .muc_service("muc.parley.local")
            .expect("a service");
        if let Some(file) = self.ca_file {
            settings = settings.ca_file(file);
        }
        if let Some(nick) = self.nick {
            settings = settings.nick(Nick::Chosen(nick.to_owned()));
        }
        soon("connect", Client::connect(settings)).await
    }

    /// A bridge, and what it says to `connect`.
    async fn bridge(&self) -> (Bridge, Result<Value, Value>) {
        let bridge = Bridge::start();
        let mut params = json!({
            "service": self.service,
            "domain": self.domain,
            "muc_service": "muc.parley.local",
            "username": self.user,
            "password": self.password,
            "ca_file": self.ca_file,
        });
        if let Some(nick) = self.nick {
            params["nick"] = nick.into();
        }
        let answer = bridge.request("connect", params).await;
        (bridge, answer)
    }

    /// What `parley-xmpp post` says.
    async fn program(&self, topic: &str) -> Output {
        let mut command = program(&["post", topic, "hello"]);
        command.args(["--service", &self.service, "--domain", self.domain]);
        command.args(["--muc-service", "muc.parley.local"]);
        command.args(["--username", self.user]);
        command.env("PARLEY_XMPP_PASS", self.password);
        if let Some(file) = self.ca_file {
            command.arg("--ca-file").arg(file);
        }
        if let Some(nick) = self.nick {
            command.args(["--nick", nick]);
        }
        run(command).await
    }
}

fn assert_error(error: &Value, kind: &str, words: &str) {
    assert_eq!(error["data"]["kind"], kind, "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains(words) && !message.contains('\n'),
        "{error}"
    );
    let remedy = error["data"]["remedy"].as_str().expect("a remedy");
    assert!(!remedy.is_empty() && !remedy.contains('\n'), "{error}");
}

/// One line that says what happened, and one with a remedy.
fn assert_failure(output: &Output, exit: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(output.stdout.is_empty());
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("error: ") && lines[0].contains(words),
        "{said}"
    );
    let remedy = lines[1].strip_prefix("remedy: ").expect("a remedy");
    assert!(!remedy.is_empty(), "{said}");
}

async fn quickly<T>(what: impl Debug, future: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let value = future.await;
    let took = start.elapsed();
    assert!(took < QUICKLY, "{what:?} took {took:?}");
    value
}

/// What is to be said about a connection that cannot be.
struct Refusal<'a> {
    error: fn(&ConnectError) -> bool,
    kind: &'a str,
    exit: i32,
    words: &'a str,
}

/// All three say so, with one connection each, if there is a relay to count.
async fn refused(attempt: Attempt<'_>, relay: Option<&Relay>, refusal: Refusal<'_>) {
    let Refusal {
        error: expected,
        kind,
        exit,
        words,
    } = refusal;
    let error = match quickly("the library", attempt.library()).await {
        Err(error) => error,
        Ok(client) => panic!("connected as {}", client.jid()),
    };
    assert!(expected(&error), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.remedy().is_some(), "{error:?}");

    let (bridge, answer) = quickly("the bridge", attempt.bridge()).await;
    assert_error(&answer.expect_err("no connection"), kind, words);

    let output = quickly("the program", attempt.program("refused")).await;
    assert_failure(&output, exit, words);
    if let Some(relay) = relay {
        relay.assert_quiet().await;
        assert_eq!(relay.connections(), 3, "one for each");
    }
    bridge.finish().await;
}

fn wrong_password(kind: Kind) {
    let Some(server) = common(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt {
            password: "secret-bob",
            ..Attempt::in_clear(&relay)
        };
        let refusal = Refusal {
            error: |error| {
                let condition = SaslCondition::NotAuthorized;
                matches!(error, ConnectError::Auth(AuthFailure::Rejected { condition: c, .. }) if *c == condition)
            },
            kind: "auth-failed",
            exit: 4,
            words: "not-authorized",
        };
        refused(attempt, Some(&relay), refusal).await;
    });
}

fn a_domain_that_is_not_served(kind: Kind) {
    let Some(server) = common(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt {
            domain: "elsewhere.example",
            ..Attempt::in_clear(&relay)
        };
        let refusal = Refusal {
            error: |error| {
                let ConnectError::Stream(OfflineCause::StreamError { condition, .. }) = error
                else {
                    return false;
                };
                *condition == StreamCondition::HostUnknown
            },
            kind: "connect-failed",
            exit: 3,
            words: "host-unknown",
        };
        refused(attempt, Some(&relay), refusal).await;
    });
}

#[test]
fn a_name_without_an_address() {
    block_on(async {
        let attempt = Attempt::at("xmpp://no-such-host.invalid:5222".to_owned());
        let refusal = Refusal {
            error: |error| matches!(error, ConnectError::Resolve { .. }),
            kind: "connect-failed",
            exit: 3,
            words: "no-such-host.invalid",
        };
        refused(attempt, None, refusal).await;
    });
}

#[test]
fn a_closed_port() {
    block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let refusal = Refusal {
            error: |error| matches!(error, ConnectError::Connect { .. }),
            kind: "connect-failed",
            exit: 3,
            words: &address.to_string(),
        };
        refused(Attempt::at(format!("xmpp://{address}")), None, refusal).await;
    });
}

fn a_certificate_of_another_name(kind: Kind) {
    let Some(server) = misnamed(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.tls_port()).await;
        let refusal = Refusal {
            error: |error| {
                let ConnectError::Certificate { problem, .. } = error else {
                    return false;
                };
                *problem == CertificateProblem::WrongName
            },
            kind: "tls-failed",
            exit: 3,
            words: "other.example",
        };
        refused(Attempt::direct_tls(&relay, server), Some(&relay), refusal).await;
    });
}

fn an_expired_certificate(kind: Kind) {
    let Some(server) = expired(kind) else { return };
    block_on(async {
        // Over STARTTLS, since the one of another name comes directly.
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt {
            ca_file: Some(server.ca_file()),
            ..Attempt::in_clear(&relay)
        };
        let refusal = Refusal {
            error: |error| {
                let ConnectError::Certificate { problem, .. } = error else {
                    return false;
                };
                *problem == CertificateProblem::Expired
            },
            kind: "tls-failed",
            exit: 3,
            words: "expired",
        };
        refused(attempt, Some(&relay), refusal).await;
    });
}

fn no_starttls_where_tls_is_meant(kind: Kind) {
    let Some(server) = misnamed(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt {
            ca_file: Some(server.ca_file()),
            ..Attempt::in_clear(&relay)
        };
        let refusal = Refusal {
            error: |error| *error == ConnectError::NoTls,
            kind: "tls-failed",
            exit: 3,
            words: "no TLS",
        };
        refused(attempt, Some(&relay), refusal).await;
    });
}

fn a_room_for_members(kind: Kind) {
    let Some(server) = expired(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt::in_clear(&relay);
        // Who makes the room owns it.
        let owner = attempt.library().await.expect("to connect");
        let room = soon("join", owner.room("club")).await.expect("to join");
        assert!(room.joined().info.members_only);
        relay.assert_quiet().await;

        let attempt = attempt.bob();
        let client = attempt.library().await.expect("to connect");
        let error = quickly("the library", client.room("club")).await;
        let error = error.map(|_| ()).expect_err("not a member");
        let RoomError::Refused(JoinFailure::Refused(refusal)) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal.condition, Condition::RegistrationRequired);

        let (bridge, answer) = attempt.bridge().await;
        answer.expect("a connection");
        for (method, params) in [
            ("post", json!({ "topic": "club", "content": "hello" })),
            ("fetchRecent", json!({ "topic": "club" })),
            ("subscribe", json!({ "topic": "club" })),
        ] {
            let answer = quickly(method, bridge.request(method, params)).await;
            let error = answer.expect_err("not a member");
            assert_error(&error, "rejected", "registration-required");
            assert_eq!(error["data"]["condition"], "registration-required");
        }
        let output = quickly("the program", attempt.program("club")).await;
        assert_failure(&output, 5, "registration-required");
        relay.assert_quiet().await;
        assert_eq!(relay.connections(), 4, "the owner and one for each");
        // It is but this room.
        soon("join", client.room("bobs own"))
            .await
            .expect("to join");
        bridge.finish().await;
        soon("close", client.close()).await;
        soon("close", owner.close()).await;
    });
}

/// Who chose a nick gets this one or none.
fn a_nick_in_use_by_another_account(kind: Kind) {
    let Some(server) = common(kind) else { return };
    block_on(async {
        let relay = Relay::to(server.port()).await;
        let attempt = Attempt {
            nick: Some("ana"),
            ..Attempt::in_clear(&relay)
        };
        let first = attempt.library().await.expect("to connect");
        let room = soon("join", first.room("nicks")).await.expect("to join");
        assert_eq!(room.nick(), "ana");

        let attempt = attempt.bob();
        let second = attempt.library().await.expect("to connect");
        let error = quickly("the library", second.room("nicks")).await;
        assert_eq!(
            error.map(|_| ()),
            Err(RoomError::Refused(JoinFailure::NickConflict))
        );
        relay.assert_quiet().await;

        let (bridge, answer) = attempt.bridge().await;
        answer.expect("a connection");
        for (method, params) in [
            ("post", json!({ "topic": "nicks", "content": "hello" })),
            ("fetchRecent", json!({ "topic": "nicks" })),
            ("subscribe", json!({ "topic": "nicks" })),
        ] {
            let answer = quickly(method, bridge.request(method, params)).await;
            assert_error(
                &answer.expect_err("somebody else is ana"),
                "rejected",
                "nick",
            );
        }
        let output = quickly("the program", attempt.program("nicks")).await;
        assert_failure(&output, 5, "nick");
        relay.assert_quiet().await;
        assert_eq!(relay.connections(), 4);
        bridge.finish().await;
        soon("close", first.close()).await;
        soon("close", second.close()).await;
    });
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod prosody {
            $(#[test] fn $name() { super::$name(crate::Kind::Prosody); })*
        }
        mod ejabberd {
            $(#[test] fn $name() { super::$name(crate::Kind::Ejabberd); })*
        }
    };
}

on_both! {
    wrong_password
    a_domain_that_is_not_served
    a_certificate_of_another_name
    an_expired_certificate
    no_starttls_where_tls_is_meant
    a_room_for_members
    a_nick_in_use_by_another_account
}
