//! The delivery contract on real servers: through a proxy that cuts, stalls and delays
//! ([`proxy`]), while the server itself is killed with SIGKILL and started again.
//!
//! Two clients post to one room, a third follows it from the beginning. At the end what they were
//! told is held against the archive, which a fresh client reads without the proxy ([`account`]):
//! every post has an outcome; what was committed is there exactly once, what was refused or not
//! sent never, what is unknown at most once; and the follower's log is the archive in its order,
//! or names where it is not.
//!
//! Named exception: ejabberd's default archive (Mnesia) loses what it acknowledged in its last
//! moments when it is killed. There such posts are counted instead; with its SQL storage, and on
//! Prosody, none may be missing.
//!
//! `PARLEY_DELIVERY_POSTS` says how many posts each of the two makes (default 300),
//! `PARLEY_DELIVERY_SEED` what befalls the connections (default 1). Nothing depends on how fast
//! the machine is, but for deadlines that are far beyond what it takes.
#![cfg(feature = "tokio")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking, and real processes need a real clock"
)]

#[path = "support/proxy.rs"]
mod proxy;
mod support;
#[allow(unreachable_pub, reason = "a module of its own crate")]
mod delivery {
    pub mod account;
}

use std::fmt::Write as _;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use delivery::account::{self, Account, Evidence, Heard, Posted, Resolved, Said, Told};
use parley_xmpp::tokio::{Client, PostFailure, Room, Settings, State};
use parley_xmpp::{Cursor, Entry, Fetch, Message, Nick, Post, PostToken, Resolution, Start, Via};
use proxy::{Dice, Proxy, Weather};
use support::{DOMAIN, Kind, Server, ServerOptions};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const TOPIC: &str = "delivery";
/// Far beyond what anything takes: who waits that long hangs.
const PATIENCE: Duration = Duration::from_secs(300);
/// Messages of one page, for who reads the whole archive.
const PAGE: u32 = 1000;
/// For a whole run.
const LONG_PATIENCE: Duration = Duration::from_secs(3000);
/// Posts of one author without an outcome.
const WINDOW: usize = 24;
/// So many posts of each author have hardly any time: they may end as not sent, or in doubt.
const HASTY: usize = 10;
/// One post in so many says what XMPP cannot carry, in characters that are allowed: markup.
const MARKUP: usize = 7;

/// One run at a time: they would only slow each other down.
static TURN: Mutex<()> = Mutex::new(());

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    if text.is_empty() {
        return default;
    }
    text.parse().expect(name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("no end of: {what}"))
}

/// What everybody writes down as it happens.
#[derive(Debug, Default)]
struct Stage {
    posts: Mutex<Vec<Filed>>,
    heard: Mutex<Vec<Heard>>,
    settled: watch::Sender<usize>,
    online: Mutex<Online>,
}

/// A post, and its outcome once there is one.
#[derive(Debug)]
struct Filed {
    nick: &'static str,
    body: String,
    told: Option<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Told(Told),
    Doubt(Box<PostToken>),
}

#[derive(Debug, Default)]
struct Online {
    logins: u32,
    resumed: u32,
}

#[test]
fn on_prosody_every_post_is_accounted_for() {
    run("Prosody", Kind::Prosody, false);
}

#[test]
fn on_ejabberd_with_mnesia_every_post_is_accounted_for() {
    run("ejabberd, Mnesia", Kind::Ejabberd, false);
}

#[test]
fn on_ejabberd_with_sql_every_post_is_accounted_for() {
    run("ejabberd, SQL", Kind::Ejabberd, true);
}

fn run(name: &str, kind: Kind, sql: bool) {
    let _turn = lock(&TURN);
    let options = ServerOptions {
        sql,
        // Prosody reads the whole archive of a room for each page of it: the reader at the end
        // asks for large ones.
        page_cap: Some(PAGE),
        ..ServerOptions::default()
    };
    let Some(server) = Server::start(kind, options) else {
        return;
    };
    let posts = usize::try_from(number("PARLEY_DELIVERY_POSTS", 300)).expect("a number");
    let seed = number("PARLEY_DELIVERY_SEED", 1);
    let may_forget = kind == Kind::Ejabberd && !sql;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (account, text) = runtime.block_on(async {
        timeout(LONG_PATIENCE, play(server, posts, seed, may_forget))
            .await
            .expect("an end of it all")
    });
    println!("{name}, {posts} posts each, seed {seed}\n{text}");
    assert!(
        account.faults.is_empty(),
        "{} faults on {name}, seed {seed}; the first: {:#?}",
        account.faults.len(),
        account.faults.iter().take(10).collect::<Vec<_>>(),
    );
    // A run in which nothing happened shows nothing.
    assert!(account.reflected > 0, "nothing was reflected");
    assert_eq!(account.posted, 2 * posts);
}

/// Settings for a client that never tires.
fn settings(service: &str, user: &str, nick: &str) -> Settings {
    let mut settings = Settings::new(service, DOMAIN, user, &format!("secret-{user}"))
        .expect("settings")
        .nick(Nick::Chosen(nick.into()))
        .keep_trying(true);
    let timing = &mut settings.config.timing;
    timing.backoff_min = Duration::from_millis(50);
    timing.backoff_max = Duration::from_millis(500);
    // The server is down for as long as it takes to start, and machines may be busy.
    timing.post = Duration::from_secs(240);
    timing.join = Duration::from_secs(120);
    timing.settle = Duration::from_secs(2);
    settings.config.limits.attempts_per_hour = 1_000_000;
    settings
}

async fn play(mut server: Server, posts: usize, seed: u64, may_forget: bool) -> (Account, String) {
    let begin = Instant::now();
    let stage = Arc::new(Stage::default());
    // Some dozens of cuts, however many posts there are. A login takes a few thousand bytes, so
    // that some are cut in the middle of it.
    let most = (posts as u64 * 256).clamp(64 * 1024, 1024 * 1024);
    let weather = Weather {
        bytes: (2048, most),
        delay: Duration::from_millis(15),
        stall: Duration::from_millis(1500),
    };
    let mut proxies = Vec::new();
    let mut clients = Vec::new();
    for (index, (user, nick)) in [("alice", "ana"), ("bob", "ben"), ("carol", "cleo")]
        .into_iter()
        .enumerate()
    {
        // One of them speaks TLS from the first byte.
        let tls = index == 1;
        let port = if tls {
            server.tls_port()
        } else {
            server.port()
        };
        let proxy = Proxy::start(port, seed * 1000 + index as u64, weather).await;
        let scheme = if tls { "xmpps" } else { "xmpp" };
        let service = format!("{scheme}://127.0.0.1:{}", proxy.port());
        let mut settings = settings(&service, user, nick);
        if tls {
            settings = settings.ca_file(server.ca_file());
        }
        proxies.push(proxy);
        let client = soon("connect", Client::connect(settings)).await;
        let client = client.expect("to connect");
        tokio::spawn(count_logins(Arc::clone(&stage), client.states()));
        let room = soon("join", client.room(TOPIC)).await.expect("to join");
        clients.push((client, room));
    }

    let mut cast = JoinSet::new();
    for (index, nick) in ["ana", "ben"].into_iter().enumerate() {
        let room = clients[index].1.clone();
        let dice = Dice::new(seed * 77 + index as u64);
        cast.spawn(author(Arc::clone(&stage), room, nick, posts, dice));
    }
    let follower = tokio::spawn(follow(Arc::clone(&stage), clients[2].1.clone()));

    // The server dies while the work goes on, and its data directory is all that is left.
    let mut kills = 0;
    let mut settled = stage.settled.subscribe();
    for part in [1, 2, 3] {
        let due = posts * part / 2;
        settled
            .wait_for(|count| *count >= due)
            .await
            .expect("authors");
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .expect("the server again");
        kills += 1;
    }
    while let Some(end) = cast.join_next().await {
        end.expect("an author");
    }
    let worked = begin.elapsed();
    proxies.iter().for_each(Proxy::calm);

    // A fresh client, without the proxy, reads what is there.
    let direct = format!("xmpp://127.0.0.1:{}", server.port());
    let reader = soon(
        "connect",
        Client::connect(settings(&direct, "parley", "eve")),
    )
    .await;
    let reader = reader.expect("to connect");
    let archive = soon("join", reader.room(TOPIC)).await.expect("to join");
    caught_up(&stage, &archive).await;

    // Posts in doubt are resolved by another process than the one that posted.
    let filed = std::mem::take(&mut *lock(&stage.posts));
    let mut posts = Vec::new();
    let mut resolving = JoinSet::new();
    let window = Arc::new(Semaphore::new(WINDOW));
    for (index, post) in filed.into_iter().enumerate() {
        let told = match post.told {
            Some(Outcome::Told(told)) => told,
            Some(Outcome::Doubt(token)) => {
                let (archive, window) = (archive.clone(), Arc::clone(&window));
                resolving.spawn(async move {
                    let _permit = window.acquire_owned().await.expect("a place");
                    (index, Told::Unknown(resolve(&archive, &token).await))
                });
                Told::None("not resolved".into())
            }
            None => Told::None("none".into()),
        };
        posts.push(Posted {
            nick: post.nick,
            body: post.body,
            told,
        });
    }
    while let Some(resolved) = resolving.join_next().await {
        let (index, told) = resolved.expect("a resolution");
        posts[index].told = told;
    }
    let evidence = Evidence {
        posts,
        archive: read(&archive).await,
        heard: lock(&stage.heard).clone(),
        may_forget,
    };
    assert!(!follower.is_finished(), "the subscription has ended");
    let account = Account::of(&evidence);
    if !account.faults.is_empty() {
        println!("the follower was given: {}", account::story(&evidence));
    }
    let online = lock(&stage.online);
    let mut text = account.to_string();
    let sum = |count: fn(&proxy::Damage) -> u64| -> u64 {
        proxies.iter().map(|proxy| count(proxy.damage())).sum()
    };
    let _ = write!(
        text,
        "\n  cuts {} ({} first by FIN, {} by RST), stalls {}, server killed {kills} times, \
         refused {}\n  reconnects {}, of which resumed {}\n  seconds {:.1}, and {:.1} to settle",
        sum(proxy::Damage::cuts),
        sum(|damage| damage.fins.load(Ordering::Relaxed)),
        sum(|damage| damage.resets.load(Ordering::Relaxed)),
        sum(|damage| damage.stalls.load(Ordering::Relaxed)),
        sum(|damage| damage.refused.load(Ordering::Relaxed)),
        online.logins.saturating_sub(3),
        online.resumed,
        worked.as_secs_f32(),
        (begin.elapsed() - worked).as_secs_f32(),
    );
    assert!(sum(proxy::Damage::cuts) > 0, "nothing was cut");
    (account, text)
}

async fn count_logins(stage: Arc<Stage>, mut states: parley_xmpp::tokio::States) {
    while let Some(state) = states.next().await {
        if let State::Online { login, .. } = state {
            let mut online = lock(&stage.online);
            online.logins += 1;
            online.resumed += u32::from(login.resumed);
        }
    }
}

/// Posts as fast as outcomes come in, always with some on their way.
async fn author(stage: Arc<Stage>, room: Room, nick: &'static str, posts: usize, mut dice: Dice) {
    let window = Arc::new(Semaphore::new(WINDOW));
    let mut sendings = JoinSet::new();
    for n in 1..=posts {
        let permit = Arc::clone(&window).acquire_owned().await.expect("a place");
        let mut body = format!("{nick} {n} of {posts}");
        if n % MARKUP == 0 {
            body.push_str(" <b>&amp;]]> \u{e4}\u{1f600}\n");
        }
        let mut post = Post::new(&body);
        if n % (posts / HASTY).max(1) == 0 {
            post.deadline = Some(Duration::from_millis(5 + dice.below(60)));
        }
        let index = {
            let mut filed = lock(&stage.posts);
            filed.push(Filed {
                nick,
                body,
                told: None,
            });
            filed.len() - 1
        };
        let (stage, room) = (Arc::clone(&stage), room.clone());
        sendings.spawn(async move {
            let outcome = match room.send(post).await {
                Ok(posted) => Outcome::Told(match (posted.id, posted.via) {
                    (Some(id), Via::Reflection) => Told::Reflected(id.as_str().into()),
                    (Some(id), Via::Archive) => Told::FoundInArchive(id.as_str().into()),
                    other => Told::None(format!("{other:?}")),
                }),
                Err(PostFailure::Rejected(_)) => Outcome::Told(Told::Rejected),
                Err(PostFailure::NotSent(_)) => Outcome::Told(Told::NotSent),
                Err(PostFailure::Unknown { token }) => Outcome::Doubt(token),
                Err(other) => Outcome::Told(Told::None(other.to_string())),
            };
            let filed = &mut lock(&stage.posts)[index];
            assert!(filed.told.is_none(), "two outcomes");
            filed.told = Some(outcome);
            stage.settled.send_modify(|count| *count += 1);
            drop(permit);
        });
        while sendings.try_join_next().is_some() {}
        if dice.below(30) == 0 {
            sleep(Duration::from_millis(dice.below(40))).await;
        }
    }
    while let Some(end) = sendings.join_next().await {
        end.expect("a post");
    }
}

/// Follows from the beginning.
async fn follow(stage: Arc<Stage>, room: Room) {
    let start = Start::Cursor(Cursor::Beginning);
    let mut subscription = room.subscribe(start).await.expect("to subscribe");
    while let Some(entry) = subscription.next().await {
        let heard = match entry {
            Entry::Message(message) => Heard::Message(said(*message)),
            Entry::Late(message) => Heard::Late(said(*message)),
            Entry::Gap { reason, .. } => Heard::Gap(format!("{reason:?}")),
            Entry::Ended => return,
            _ => continue,
        };
        lock(&stage.heard).push(heard);
    }
}

/// Waits until the follower has the newest of the archive, or stands still for long.
async fn caught_up(stage: &Stage, archive: &Room) {
    let newest = read(archive).await.pop().map(|said| said.id);
    let mut last = (0, Instant::now());
    loop {
        let (count, done) = {
            let heard = lock(&stage.heard);
            let done = heard.iter().rev().find_map(|heard| match heard {
                Heard::Message(said) => Some(said.id.clone()),
                Heard::Late(_) | Heard::Gap(_) => None,
            });
            (heard.len(), done == newest)
        };
        if count != last.0 {
            last = (count, Instant::now());
        }
        if done || last.1.elapsed() > PATIENCE {
            // For what nobody expects: something given again.
            return sleep(Duration::from_secs(1)).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn resolve(room: &Room, token: &PostToken) -> Resolved {
    match soon("resolve", room.resolve(token)).await {
        Ok(Resolution::Found(id)) => Resolved::Found(id.as_str().into()),
        Ok(Resolution::AbsentSoFar) => Resolved::Absent,
        Ok(Resolution::CannotTell(_)) => Resolved::CannotTell,
        other => panic!("{other:?}"),
    }
}

/// The whole archive, as any client can read it.
async fn read(room: &Room) -> Vec<Said> {
    let everything = Fetch::since(Cursor::Beginning, u32::MAX);
    // Prosody reads all of it for each page: on a busy machine that takes very long.
    let page = timeout(LONG_PATIENCE, room.fetch(everything)).await;
    let page = page.expect("an end of the fetch");
    let page = page.expect("the archive");
    assert!(page.complete, "more was said meanwhile");
    page.messages.into_iter().map(said).collect()
}

fn said(message: Message) -> Said {
    Said {
        id: message.id.map(|id| id.as_str().into()).unwrap_or_default(),
        nick: message.nick,
        body: message.body,
    }
}
