//! Cursors that a real server no longer knows, or never did: told for what they are, whatever it
//! answers. Prosody refuses them, ejabberd takes each for a place of its own.

use parley_xmpp::tokio::{Client, Room, Settings};
use parley_xmpp::{Cursor, Fetch, RequestError};

use crate::support::{DOMAIN, Kind, Server, ServerOptions};
use crate::{block_on, soon};

const TOPIC: &str = "cursors of all sorts";

/// Of a Prosody, longer than any of ejabberd's; a number, and no number, that are shorter; and one
/// that is as long and of the future.
const FOREIGN: [&str; 4] = [
    "00000000-0000-4000-8000-000000000000",
    "7",
    "not an id",
    "4000000000000000",
];

async fn connect(server: &Server) -> (Client, Room) {
    let service = format!("xmpp://127.0.0.1:{}", server.port());
    let settings = Settings::new(&service, DOMAIN, "alice", "secret-alice").expect("settings");
    let client = soon("connect", Client::connect(settings)).await;
    let client = client.expect("to connect");
    let room = soon("join", client.room(TOPIC)).await.expect("to join");
    (client, room)
}

async fn post(room: &Room, body: &str) -> String {
    let posted = soon("post", room.post(body)).await.expect("to post");
    posted.id.expect("an archived post").to_string()
}

async fn after(room: &Room, cursor: &str) -> Result<Vec<String>, RequestError> {
    let cursor = Cursor::parse(cursor).expect("a cursor");
    let page = soon("fetch", room.fetch(Fetch::since(cursor, 100))).await;
    let page = page.map_err(|failure| failure.error)?;
    Ok(page.messages.into_iter().map(|m| m.body).collect())
}

/// Takes all that was said out of the archive.
fn purge(server: &mut Server) {
    match server.kind() {
        Kind::Ejabberd => {
            let arguments = r#"{"type":"all","days":0}"#;
            let answer = server.admin("delete_old_mam_messages", arguments);
            let answer = answer.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        Kind::Prosody => {
            server.stop();
            let data = server.directory().join("data");
            let mut gone = 0;
            for host in std::fs::read_dir(&data).expect("data").flatten() {
                let archives = host.path().join("muc_log");
                if archives.is_dir() {
                    std::fs::remove_dir_all(&archives).expect("to remove");
                    gone += 1;
                }
            }
            assert_eq!(gone, 1, "archives in {}", data.display());
            server.restart();
        }
    }
}

async fn all_sorts(server: &mut Server) {
    let (client, room) = connect(server).await;
    let mut ids = Vec::new();
    for body in ["1", "2", "3"] {
        ids.push(post(&room, body).await);
    }
    // A new process: nothing is known of what was said.
    soon("close", client.close()).await;
    let (client, room) = connect(server).await;
    let rest = |from: &str| -> Vec<String> { from.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(after(&room, &ids[0]).await, Ok(rest("2 3")));
    assert_eq!(after(&room, &ids[1]).await, Ok(rest("3")));
    assert_eq!(after(&room, &ids[2]).await, Ok(rest("")));
    let expired = |oldest: &str| -> Result<Vec<String>, RequestError> {
        Err(RequestError::CursorExpired {
            oldest: parley_xmpp::ArchiveId::new(oldest),
        })
    };
    for foreign in FOREIGN {
        assert_eq!(after(&room, foreign).await, expired(&ids[0]), "{foreign}");
    }
    soon("close", client.close()).await;

    purge(server);
    let (client, room) = connect(server).await;
    assert_eq!(after(&room, &ids[1]).await, expired(""), "nothing is left");
    let fourth = post(&room, "4").await;
    post(&room, "5").await;
    for gone in &ids {
        assert_eq!(after(&room, gone).await, expired(&fourth));
    }
    assert_eq!(after(&room, &fourth).await, Ok(rest("5")));
    assert_eq!(after(&room, "").await, Ok(rest("4 5")));
    soon("close", client.close()).await;
}

fn on(kind: Kind) {
    if let Some(mut server) = Server::start(kind, ServerOptions::default()) {
        block_on(all_sorts(&mut server));
    }
}

#[test]
fn prosody_tells_cursors_that_are_gone() {
    on(Kind::Prosody);
}

#[test]
fn ejabberd_gives_something_after_any_cursor_and_it_is_not_believed() {
    on(Kind::Ejabberd);
}
