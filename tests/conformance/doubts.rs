//! The connection breaks again and again while posts are in flight, and nothing is resumed: every
//! post is committed, is in the archive once, and all are there in the order of the calls.

use std::time::Duration;

use parley_xmpp::tokio::{Client, PostFailure, Room, Settings};
use parley_xmpp::{Cursor, Fetch, Resolution, Via};

use crate::resumption::{MOMENT, Relay};
use crate::support::{DOMAIN, Kind, Server};
use crate::{block_on, common, soon};

const TOPIC: &str = "posts in doubt";

/// How the connection breaks: holding back what we say, what the server says, or nothing.
const BREAKS: [(bool, bool); 3] = [(false, true), (true, false), (false, false)];
const EACH: usize = 20;

async fn connect(port: u16, user: &str, far: bool) -> Client {
    let service = format!("xmpp://127.0.0.1:{port}");
    let settings = Settings::new(&service, DOMAIN, user, &format!("secret-{user}"));
    let mut settings = settings.expect("settings");
    settings.config.stream_management = false;
    settings.config.timing.settle = Duration::from_secs(2);
    if far {
        settings.config.own_services = Some(Vec::new());
    }
    soon("connect", Client::connect(settings))
        .await
        .expect("to connect")
}

async fn archive(room: &Room) -> Vec<(String, String)> {
    let fetch = Fetch::since(Cursor::Beginning, 1000);
    let page = soon("fetch", room.fetch(fetch)).await.expect("to fetch");
    let message = |message: parley_xmpp::Message| {
        let id = message.id.expect("an id").to_string();
        (id, message.body)
    };
    page.messages.into_iter().map(message).collect()
}

async fn once_each(server: &Server) {
    let relay = Relay::to(server.port()).await;
    let client = connect(relay.port, "alice", false).await;
    let room = soon("join", client.room(TOPIC)).await.expect("to join");
    let other = connect(server.port(), "bob", false).await;
    let others = soon("join", other.room(TOPIC)).await.expect("to join");

    let mut posts = Vec::new();
    for (to_server, to_client) in BREAKS {
        for n in 0..EACH {
            if n == EACH / 2 {
                relay.hold(to_server, to_client);
            }
            let (room, body) = (room.clone(), posts.len().to_string());
            posts.push(tokio::spawn(async move { room.post(&body).await }));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(MOMENT).await;
        relay.cut();
        // Back, and with some of it decided on.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let (mut expected, mut searched) = (Vec::new(), 0);
    for (n, post) in posts.into_iter().enumerate() {
        let posted = soon("outcome", post).await.expect("a task");
        let posted = posted.unwrap_or_else(|error| panic!("post {n}: {error}"));
        searched += usize::from(posted.via == Via::Archive);
        expected.push((posted.id.expect("an id").to_string(), n.to_string()));
    }
    assert_eq!(archive(&others).await, expected);
    assert!(searched > 0, "nothing was ever in doubt");
    soon("close", client.close()).await;
    soon("close", other.close()).await;
}

/// Of a room elsewhere nothing is sent again; what became of it another client finds out.
async fn found_out_later(server: &Server) {
    let relay = Relay::to(server.port()).await;
    let client = connect(relay.port, "alice", true).await;
    let room = soon("join", client.room("found out later"))
        .await
        .expect("to join");
    soon("post", room.post("before")).await.expect("to post");
    relay.hold(true, false);
    let lost = {
        let room = room.clone();
        tokio::spawn(async move { room.post("lost").await })
    };
    tokio::time::sleep(MOMENT).await;
    relay.cut();
    let lost = match soon("outcome", lost).await.expect("a task") {
        Err(PostFailure::Unknown { token }) => token,
        other => panic!("{other:?}"),
    };
    let text = lost.to_string();
    let token = text.parse().expect("a token");
    let other = connect(server.port(), "bob", true).await;
    let room = soon("join", other.room_at(lost.room().clone())).await;
    let room = room.expect("to join");
    let resolution = soon("resolve", room.resolve(&token)).await;
    assert_eq!(resolution, Ok(Resolution::AbsentSoFar));
    soon("close", client.close()).await;
    soon("close", other.close()).await;
}

#[test]
fn prosody_has_each_post_once() {
    if let Some(server) = common(Kind::Prosody) {
        block_on(once_each(server));
    }
}

#[test]
fn ejabberd_has_each_post_once() {
    if let Some(server) = common(Kind::Ejabberd) {
        block_on(once_each(server));
    }
}

#[test]
fn prosody_tells_later_what_became_of_it() {
    if let Some(server) = common(Kind::Prosody) {
        block_on(found_out_later(server));
    }
}

#[test]
fn ejabberd_tells_later_what_became_of_it() {
    if let Some(server) = common(Kind::Ejabberd) {
        block_on(found_out_later(server));
    }
}
