//! The tokio driver over real sockets: a follower in a process of its own, whose subscription
//! nobody reads while two clients post. The server and they live in this process.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup};
use parley_xmpp::sim::server::{Personality, ServerSetup};
use parley_xmpp::tokio::{Client, Room, Settings};
use parley_xmpp::{Cursor, Entry, Limits, Nick, Start};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::watch::Watch;
use crate::{ALLOCATOR, alone};

/// Tells a process that it is the follower: where the server is, and the file of its authority.
const FOLLOWER: &str = "PARLEY_FLOOD_FOLLOWER";
const TOPIC: &str = "flood";
/// Far beyond what anything takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Posts of one author without an outcome.
const WINDOW: usize = 128;

fn flood() -> usize {
    let usual = if cfg!(debug_assertions) {
        3_000
    } else {
        100_000
    };
    let text = std::env::var("PARLEY_FLOOD_POSTS").unwrap_or_default();
    if text.is_empty() {
        return usual;
    }
    text.parse().expect("a number")
}

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("no end of: {what}"))
}

/// What the ids of all messages come to, in their order (FNV-1a).
fn digest(sum: u64, id: &str) -> u64 {
    let bytes = id.bytes().chain([0]);
    bytes.fold(sum, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.rooms = 1;
    limits.subscriptions = 1;
    limits.queries = 1;
    limits.occupants = 100;
    limits
}

/// The follower's process. Does nothing in the process of the tests.
#[test]
fn follower() {
    let Ok(place) = std::env::var(FOLLOWER) else {
        return;
    };
    let (service, ca) = place.split_once(' ').expect("two parts");
    let runtime = runtime();
    let mut subscription = runtime.block_on(async {
        let mut settings = Settings::new(service, "parley.local", "cleo", "secret")
            .expect("settings")
            .ca_file(PathBuf::from(ca))
            .nick(Nick::Chosen("cleo".into()));
        settings.config.limits = limits();
        let client = soon("connect", Client::connect(settings)).await;
        let client = client.expect("to connect");
        let room = soon("join", client.room(TOPIC)).await.expect("to join");
        let start = Start::Cursor(Cursor::Beginning);
        let mut subscription = room.subscribe(start).await.expect("to subscribe");
        let first = soon("the beginning", subscription.next()).await;
        assert!(matches!(first, Some(Entry::CaughtUp { .. })), "{first:?}");
        subscription
    });
    let mut line = String::new();
    loop {
        println!("flood: {}", ALLOCATOR.allocated());
        line.clear();
        std::io::stdin().read_line(&mut line).expect("a word");
        let Some(count) = line.trim().strip_prefix("read ") else {
            assert_eq!(line.trim(), "size");
            continue;
        };
        let count: usize = count.parse().expect("a number");
        let (mut sum, mut read, mut most) = (0, 0, 0);
        runtime.block_on(async {
            while read < count {
                match soon("a message", subscription.next()).await {
                    Some(Entry::Message(message)) => {
                        sum = digest(sum, message.id.expect("an id").as_str());
                        read += 1;
                        most = most.max(ALLOCATOR.allocated());
                    }
                    Some(Entry::CaughtUp { .. } | Entry::Confirmed { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            // For what nobody expects: something told again.
            let more = timeout(Duration::from_secs(1), subscription.next()).await;
            assert!(
                !matches!(more, Ok(Some(Entry::Message(_) | Entry::Late(_)))),
                "{more:?}"
            );
        });
        println!("flood: {most}");
        println!("flood: {sum}");
        return;
    }
}

/// The follower, seen from here.
struct Follower {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Follower {
    fn start(service: &str, ca: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "flood::driver::follower", "--nocapture"])
            .env(FOLLOWER, format!("{service} {ca}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        Self {
            orders: child.stdin.take().expect("a pipe"),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("to be heard");
    }

    fn number(&mut self) -> u64 {
        let mut line = String::new();
        loop {
            line.clear();
            let length = self.answers.read_line(&mut line).expect("an answer");
            assert!(length > 0, "the follower is gone");
            if let Some(number) = line.trim().split("flood: ").nth(1) {
                return number.parse().expect("a number");
            }
        }
    }

    fn size(&mut self) -> u64 {
        self.order("size");
        self.number()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts `count` messages, as fast as they are taken.
async fn post(room: Room, name: &'static str, count: usize, watch: Arc<Watch>) {
    let window = Arc::new(Semaphore::new(WINDOW));
    let mut posts = JoinSet::new();
    for n in 0..count {
        let permit = Arc::clone(&window).acquire_owned().await.expect("a place");
        let (room, watch) = (room.clone(), Arc::clone(&watch));
        posts.spawn(async move {
            let body = format!("{name} says for the {n}th time what nobody reads for now");
            room.post(&body).await.expect("to post");
            watch.step();
            drop(permit);
        });
        while let Some(end) = posts.try_join_next() {
            end.expect("a post");
        }
    }
    while let Some(end) = posts.join_next().await {
        end.expect("a post");
    }
}

/// What the server and the clients know: how many messages of each author the archive holds, how
/// each client stands.
fn account(server: &EmbeddedServer, room: &str, clients: &[Client]) -> String {
    let mut text = String::new();
    for client in clients {
        let state = pin!(client.states().next()).poll(&mut Context::from_waker(Waker::noop()));
        let _ = writeln!(text, "  {}: {state:?}", client.jid());
    }
    let archive = server.archive(room);
    for name in ["ana", "ben"] {
        let said = archive
            .iter()
            .filter(|message| message.body.starts_with(name));
        let last = said.clone().next_back().map(|message| &message.body);
        let _ = writeln!(
            text,
            "  archived of {name}: {}, at last {last:?}",
            said.count()
        );
    }
    text
}

#[test]
fn a_subscription_that_nobody_reads_keeps_no_more_however_much_is_said() {
    if std::env::var(FOLLOWER).is_ok() {
        return;
    }
    let _alone = alone();
    let flood = flood();
    let runtime = runtime();
    let (server, rooms, clients) = runtime.block_on(async {
        let mut setup = ServerSetup::new(Personality::Prosody, "parley.local");
        for name in ["ana", "ben", "cleo"] {
            setup = setup.account(name, "secret");
        }
        let server = EmbeddedServer::start(EmbeddedSetup::new(setup)).await;
        let server = server.expect("a server");
        let (mut rooms, mut clients) = (Vec::new(), Vec::new());
        for name in ["ana", "ben"] {
            let mut settings = server.client_settings(name).expect("settings");
            settings.config.timing.post = PATIENCE;
            let client = soon("connect", Client::connect(settings)).await;
            let client = client.expect("to connect");
            rooms.push(soon("join", client.room(TOPIC)).await.expect("to join"));
            clients.push(client);
        }
        (Arc::new(server), rooms, clients)
    });
    let (jid, truth) = (rooms[0].jid().clone(), Arc::clone(&server));
    let watch = Watch::start(move || account(&truth, jid.as_str(), &clients));
    let directory = tempfile::tempdir().expect("a directory");
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).expect("a file");
    let service = format!("xmpp://{}", server.address());
    let mut follower = Follower::start(&service, &ca.display().to_string());
    let before = follower.number();

    let mut sizes = Vec::new();
    // Five parts; after the first everything that is kept is as full as it gets.
    for part in 1..=5 {
        watch.now(&format!("part {part} of the flood"));
        runtime.block_on(async {
            let posts = rooms.iter().zip(["ana", "ben"]);
            let posts =
                posts.map(|(room, name)| post(room.clone(), name, flood / 10, Arc::clone(&watch)));
            let posts: JoinSet<()> = posts.collect();
            soon("the flood", posts.join_all()).await;
        });
        watch.now("the follower's size");
        sizes.push(follower.size());
    }
    let archive = server.archive(rooms[0].jid().as_str());
    assert_eq!(archive.len(), flood / 10 * 10);
    let expected = archive
        .iter()
        .fold(0, |sum, message| digest(sum, &message.id));
    let (first, most) = (sizes[0], *sizes.iter().max().expect("sizes"));
    let (kept, later) = (most.saturating_sub(before), most.saturating_sub(first));
    println!(
        "driver: {} messages said while nobody read; kept at most {kept} bytes ({later} more after \
         the first fifth); the limits allow {}",
        archive.len(),
        limits().worst_case_bytes()
    );
    assert!(kept < limits().worst_case_bytes());
    assert!(kept < 3 * 1024 * 1024, "{kept} bytes");
    assert!(later < 512 * 1024, "it grows: {sizes:?}");

    watch.end();
    follower.order(&format!("read {}", archive.len()));
    let most = follower.number().saturating_sub(before);
    assert_eq!(follower.number(), expected, "not the archive in its order");
    println!("driver: all delivered in order; kept at most {most} bytes meanwhile");
    assert!(most < 3 * 1024 * 1024, "{most} bytes");
    assert!(follower.child.wait().expect("its end").success());
    drop(runtime);
}
