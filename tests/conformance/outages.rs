//! The server dies and comes back while the library subscribes, and `parley-xmpp tail`
//! and `parley-xmpp bridge` run.
//!
//! Prosody must lose nothing, whatever kills it. ejabberd's default archive loses posts that it
//! acknowledged right before a crash, so there only an orderly restart must lose nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use parley_xmpp::tokio::{Client, Room, Settings, State, Subscription};
use parley_xmpp::{Cursor, Entry, GapReason, LeaveCause, Retry, RoomEvent, Start};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::program::{Running, program};
use crate::support::{DOMAIN, Kind, Server, ServerOptions};
use crate::{block_on, soon};

const TOPIC: &str = "Outages & news";

/// Those who follow the topic while the server dies.
struct Followers {
    client: Client,
    room: Room,
    subscription: Subscription,
    tail: Lines,
    bridge: Lines,
}

/// A program that follows the topic.
struct Lines {
    /// Ends when it is dropped.
    _running: Running,
    lines: mpsc::UnboundedReceiver<Value>,
    /// What it said apart from messages: `{what: …}`.
    told: Vec<Value>,
}

fn service(server: &Server) -> String {
    format!("xmpp://127.0.0.1:{}", server.port())
}

async fn connect(server: &Server, user: &str) -> Client {
    let settings = Settings::new(&service(server), DOMAIN, user, &format!("secret-{user}"));
    soon("connect", Client::connect(settings.expect("settings")))
        .await
        .expect("to connect")
}

impl Lines {
    fn tail(server: &Server) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let mut command = program(&["tail", TOPIC, "--since", "", "--json"]);
        command.args(["--service", &service(server), "--username", "bob"]);
        command.env("PARLEY_XMPP_PASS", "secret-bob");
        let running = Running::start(command, move |line| {
            let _ = sender.send(serde_json::from_str(line).expect(line));
        });
        Self {
            _running: running,
            lines,
            told: Vec::new(),
        }
    }

    fn bridge(server: &Server) -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        let running = Running::start(program(&["bridge"]), move |line| {
            let mut object: Value = serde_json::from_str(line).expect(line);
            assert!(object["error"].is_null(), "{line}");
            let params = object["params"].take();
            // As `tail` shows it.
            let _ = match object["method"].as_str() {
                None => Ok(()),
                Some("message") => sender.send(params),
                Some(what) => sender.send(json!({ what: params })),
            };
        });
        for (id, method, params) in [
            (
                1,
                "connect",
                json!({
                    "service": service(server), "username": "parley", "password": "secret-parley",
                }),
            ),
            (2, "subscribe", json!({ "topic": TOPIC, "since": "" })),
        ] {
            let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            running.write(&request.to_string());
        }
        Self {
            _running: running,
            lines,
            told: Vec::new(),
        }
    }

    /// The messages up to `last`. Only if the archive `lost` where we stood may one say that
    /// some may be missing.
    async fn up_to(&mut self, last: &str, lost: bool) -> Vec<String> {
        let mut contents = Vec::new();
        while contents.last().is_none_or(|content| content != last) {
            let line = self.lines.recv().await.expect("a line");
            let gap = &line["gap"];
            let is_expected = lost && gap["reason"] == "cursor-expired";
            assert!(gap.is_null() || is_expected, "{line}");
            match line["content"].as_str() {
                Some(content) => contents.push(content.to_owned()),
                None => self.told.push(line),
            }
        }
        contents
    }

    /// It was offline, then online again, and then back in the room.
    fn assert_told(&self) {
        let is = |line: &Value, what: &str, key: &str, value: &str| line[what][key] == value;
        let told = self.told.iter();
        let offline = told
            .clone()
            .position(|line| is(line, "state", "state", "offline"));
        let online = told
            .clone()
            .rposition(|line| is(line, "state", "state", "online"));
        let joined = told
            .clone()
            .rposition(|line| is(line, "room", "event", "joined"));
        let in_order = offline.is_some() && offline < online && online < joined;
        assert!(in_order, "{:#?}", self.told);
    }
}

impl Followers {
    async fn of(server: &Server) -> Self {
        let client = connect(server, "alice").await;
        let room = soon("join", client.room(TOPIC)).await.expect("to join");
        let start = Start::Cursor(Cursor::Beginning);
        let subscription = soon("subscribe", room.subscribe(start))
            .await
            .expect("to subscribe");
        Self {
            client,
            room,
            subscription,
            tail: Lines::tail(server),
            bridge: Lines::bridge(server),
        }
    }

    /// The messages up to `last` as all three got them. Only if the archive `lost` where they
    /// stood may they say that some may be missing.
    async fn up_to(&mut self, last: &str, lost: bool) -> [Vec<String>; 3] {
        let library = async {
            let mut bodies = Vec::new();
            while bodies.last().is_none_or(|body| body != last) {
                match self.subscription.next().await.expect("an entry") {
                    Entry::Message(message) => bodies.push(message.body),
                    Entry::CaughtUp { .. } | Entry::Confirmed { .. } => {}
                    Entry::Gap {
                        reason: GapReason::CursorExpired,
                        ..
                    } if lost => {}
                    other => panic!("{other:?}"),
                }
            }
            bodies
        };
        let (tail, bridge) = (self.tail.up_to(last, lost), self.bridge.up_to(last, lost));
        let seen = async { tokio::join!(library, tail, bridge) };
        soon(last, seen).await.into()
    }
}

/// What a client that lives as long as that posts.
async fn post(server: &Server, bodies: &[String]) {
    let client = connect(server, "carol").await;
    let room = soon("join", client.room(TOPIC)).await.expect("to join");
    for body in bodies {
        soon("post", room.post(body)).await.expect("to post");
    }
    soon("close", client.close()).await;
}

fn bodies(round: &str, when: &str) -> Vec<String> {
    (0..20).map(|n| format!("{round}: {when} {n}")).collect()
}

/// Ends the server, lets some time pass, and starts it again.
async fn outage(mut server: Server, end: fn(&mut Server)) -> Server {
    let again = tokio::task::spawn_blocking(move || {
        end(&mut server);
        std::thread::sleep(Duration::from_millis(300));
        server.restart();
        server
    });
    again.await.expect("a server")
}

/// Ends the server after some posts, and starts it again: all followers hear of what is posted
/// afterwards, and, if nothing is `lost`, of all that was posted before, once and in order.
async fn goes_on(round: &str, server: Server, lost: bool, end: fn(&mut Server)) -> Server {
    let mut followers = Followers::of(&server).await;
    let mut states = followers.client.states();
    let mut events = followers.room.events();

    post(&server, &bodies(round, "before")).await;
    let before = followers.up_to(&format!("{round}: before 19"), false).await;
    for seen in before {
        assert!(seen.ends_with(&bodies(round, "before")), "{seen:?}");
    }
    // Nobody waits until these are read.
    post(&server, &bodies(round, "last")).await;
    let server = outage(server, end).await;
    post(&server, &bodies(round, "after")).await;
    for mut seen in followers.up_to(&format!("{round}: after 19"), lost).await {
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "{seen:?}");
        let after = seen.split_off(seen.len().saturating_sub(20));
        assert_eq!(after, bodies(round, "after"));
        if lost {
            assert!(bodies(round, "last").starts_with(&seen), "{seen:?}");
        } else {
            assert_eq!(seen, bodies(round, "last"));
        }
    }
    // And live again: a reader that had only fallen back to reading would be late.
    let live = format!("{round}: live");
    post(&server, std::slice::from_ref(&live)).await;
    for seen in followers.up_to(&live, false).await {
        assert_eq!(seen, [live.as_str()]);
    }

    // What the library says about it.
    let went = async {
        loop {
            if let State::Offline { retry_in, .. } = states.next().await.expect("a state") {
                break retry_in;
            }
        }
    };
    assert!(soon("offline", went).await.is_some());
    let came = async { while !matches!(states.next().await, Some(State::Online { .. })) {} };
    soon("online", came).await;
    let left = async {
        loop {
            if let Some(Ok(RoomEvent::Left { cause, retry })) = events.next().await {
                break (cause, retry);
            }
        }
    };
    let (cause, retry) = soon("left", left).await;
    assert!(
        matches!(cause, LeaveCause::Offline | LeaveCause::ServiceShutdown),
        "{cause:?}"
    );
    assert!(matches!(retry, Retry::At(_)));
    let joined = async { while !matches!(events.next().await, Some(Ok(RoomEvent::Joined(_)))) {} };
    soon("joined", joined).await;
    // And what the programs say.
    followers.tail.assert_told();
    followers.bridge.assert_told();
    soon("close", followers.client.close()).await;
    server
}

#[test]
fn prosody_killed_loses_nothing() {
    if let Some(server) = Server::start(Kind::Prosody, ServerOptions::default()) {
        block_on(goes_on("kill", server, false, Server::kill));
    }
}

/// First the orderly restart, so that what it must keep was not lost by a crash.
#[test]
fn ejabberd_stopped_loses_nothing_and_killed_goes_on() {
    if let Some(server) = Server::start(Kind::Ejabberd, ServerOptions::default()) {
        block_on(async {
            let server = goes_on("stop", server, false, Server::stop).await;
            goes_on("kill", server, true, Server::kill).await;
        });
    }
}
