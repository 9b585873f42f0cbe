//! The connection breaks, and the stream is resumed where it broke (XEP-0198): a post in flight is
//! committed, once; nobody left the room; and the subscription goes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use parley_xmpp::tokio::{Client, Settings, State};
use parley_xmpp::{Cursor, Entry, Fetch, Start};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{DOMAIN, Kind, Server};
use crate::{block_on, common, soon};

/// As long as a server may need for a stanza.
pub(crate) const MOMENT: Duration = Duration::from_millis(300);

/// What a relay lets pass. What it holds back when it is cut is lost.
#[derive(Clone, Copy, Debug)]
struct Flow {
    to_server: bool,
    to_client: bool,
    /// Connections made before are cut.
    cuts: u32,
}

/// Passes connections on to a server, as long as it is let.
pub(crate) struct Relay {
    pub(crate) port: u16,
    flow: watch::Sender<Flow>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let (flow, flowing) = watch::channel(Flow {
            to_server: true,
            to_client: true,
            cuts: 0,
        });
        let relay = Self {
            port: listener.local_addr().expect("an address").port(),
            flow,
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, port, flowing.clone()));
            }
        });
        relay
    }

    pub(crate) fn hold(&self, to_server: bool, to_client: bool) {
        self.flow.send_modify(|flow| {
            (flow.to_server, flow.to_client) = (!to_server, !to_client);
        });
    }

    /// Cuts what there is; what comes then passes.
    pub(crate) fn cut(&self) {
        self.flow.send_modify(|flow| {
            *flow = Flow {
                to_server: true,
                to_client: true,
                cuts: flow.cuts + 1,
            };
        });
    }
}

async fn pass(client: TcpStream, port: u16, flow: watch::Receiver<Flow>) {
    let Ok(server) = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await else {
        return;
    };
    let born = flow.borrow().cuts;
    let mut until_cut = flow.clone();
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    // What is held back when the connection is cut must not slip through then.
    let there = pump(from_client, to_server, flow.clone(), move |flow| {
        flow.to_server && flow.cuts == born
    });
    let back = pump(from_server, to_client, flow, move |flow| {
        flow.to_client && flow.cuts == born
    });
    tokio::select! {
        _ = until_cut.wait_for(|flow| flow.cuts > born) => {}
        () = async { tokio::join!(there, back); } => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    passes: impl Fn(&Flow) -> bool,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if flow.wait_for(&passes).await.is_err() || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

async fn connect(port: u16, user: &str) -> Client {
    let service = format!("xmpp://127.0.0.1:{port}");
    let settings = Settings::new(&service, DOMAIN, user, &format!("secret-{user}"));
    soon("connect", Client::connect(settings.expect("settings")))
        .await
        .expect("to connect")
}

/// A post is under way when the connection breaks: before the server has it, or before we know.
async fn in_flight(server: &Server, topic: &str, handled: bool) {
    let relay = Relay::to(server.port()).await;
    let client = connect(relay.port, "alice").await;
    let room = soon("join", client.room(topic)).await.expect("to join");
    let mut subscription = soon(
        "subscribe",
        room.subscribe(Start::Cursor(Cursor::Beginning)),
    )
    .await
    .expect("to subscribe");
    let other = connect(server.port(), "bob").await;
    let others = soon("join", other.room(topic)).await.expect("to join");
    let mut events = others.events();
    let mut states = client.states();
    soon("post", room.post("before")).await.expect("to post");

    relay.hold(!handled, handled);
    let posted = {
        let room = room.clone();
        tokio::spawn(async move { room.post("in flight").await })
    };
    tokio::time::sleep(MOMENT).await;
    relay.cut();
    soon("post", others.post("meanwhile"))
        .await
        .expect("to post");

    let posted = soon("outcome", posted).await.expect("a task");
    let posted = posted.expect("to post").id.expect("an id");
    let mut broke = false;
    loop {
        match soon("state", states.next()).await.expect("a state") {
            State::Online { login, .. } if broke => {
                assert!(login.resumed);
                break;
            }
            State::Offline { retry_in, .. } => broke = retry_in.is_some(),
            _ => {}
        }
    }
    soon("post", room.post("after")).await.expect("to post");

    let mut seen = Vec::new();
    while seen.last().is_none_or(|body| body != "after") {
        match soon("entry", subscription.next()).await.expect("an entry") {
            Entry::Message(message) => seen.push(message.body),
            Entry::CaughtUp { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let fetch = Fetch::since(Cursor::Beginning, 100);
    let page = soon("fetch", others.fetch(fetch)).await.expect("to fetch");
    let archived: Vec<_> = page.messages.iter().map(|m| m.body.clone()).collect();
    assert_eq!(seen, archived);
    let mut bodies = archived.clone();
    bodies.sort();
    assert_eq!(bodies, ["after", "before", "in flight", "meanwhile"]);
    let ours = page.messages.iter().find(|m| m.body == "in flight");
    assert_eq!(ours.and_then(|m| m.id.clone()), Some(posted));

    // To the others we were there all the time.
    soon("close", other.close()).await;
    while let Some(event) = soon("event", events.next()).await {
        use parley_xmpp::RoomEvent::{OccupantJoined, OccupantLeft};
        assert!(
            !matches!(event, Ok(OccupantLeft { .. } | OccupantJoined { .. })),
            "{event:?}"
        );
    }
    soon("close", client.close()).await;
}

fn on(kind: Kind, handled: bool) {
    if let Some(server) = common(kind) {
        let topic = format!("resumption, handled: {handled}");
        block_on(in_flight(server, &topic, handled));
    }
}

#[test]
fn prosody_sends_again_what_we_did_not_hear() {
    on(Kind::Prosody, true);
}

#[test]
fn prosody_is_sent_again_what_it_did_not_hear() {
    on(Kind::Prosody, false);
}

#[test]
fn ejabberd_sends_again_what_we_did_not_hear() {
    on(Kind::Ejabberd, true);
}

#[test]
fn ejabberd_is_sent_again_what_it_did_not_hear() {
    on(Kind::Ejabberd, false);
}
