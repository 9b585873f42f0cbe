//! The play: two who post, one who follows, one who breaks things.
//!
//! Everything they see is written down as it happens, so that a play that is called
//! off still has an account.

use core::future::Future as _;
use core::task::Poll;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parley_xmpp::embedded::EmbeddedServer;
use parley_xmpp::sim::server::Operation;
use parley_xmpp::tokio::{Client, PostFailure, Room, Settings, State};
use parley_xmpp::{Cursor, Entry, Fetch, Message, Nick, Post, Start};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::account::{Evidence, Heard, Posted, Said, Told};
use super::plan::{Blow, Dice, blows};
use super::show::Show;
use crate::exit::{Exit, Failure};
use crate::problem::Problem;

/// Where they meet.
pub(super) const TOPIC: &str = "ops";
pub(super) const AUTHORS: [&str; 2] = ["ana", "ben"];
pub(super) const FOLLOWER: &str = "cleo";

/// Posts of one author without an outcome.
const WINDOW: usize = 8;
/// Posts that follow each other without a pause.
const BURST: usize = 5;
/// How long a play may last, apart from what its posts take. It is there so that a
/// fault ends in an account rather than in silence.
const LIMIT: Duration = Duration::from_secs(180);
/// What each post may take at the worst.
const LIMIT_A_POST: Duration = Duration::from_millis(50);
/// How long the follower may stand still at the end before it is given up.
const STANDSTILL: Duration = Duration::from_secs(20);
/// How long is waited for what nobody expects: something delivered again.
const ECHO: Duration = Duration::from_millis(250);
/// How long bytes take each way.
pub(super) const DELAY: Duration = Duration::from_millis(10);
/// How long a blow waits for somebody to post.
const LULL: Duration = Duration::from_millis(400);
/// How long the next blow waits for everybody to be back.
const RECOVERY: Duration = Duration::from_secs(20);

/// What is known, filled by everybody.
#[derive(Debug, Default)]
pub(super) struct Stage {
    evidence: Mutex<Evidence>,
    /// How many posts were handed over to a client.
    handed: watch::Sender<usize>,
    /// How many of them have their outcome.
    settled: watch::Sender<usize>,
    /// How often each of the three was online.
    online: watch::Sender<[u32; 3]>,
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, Evidence> {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a play.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) evidence: Evidence,
    pub(super) cuts: u32,
    pub(super) crashes: u32,
    pub(super) reconnects: u32,
    pub(super) took: Duration,
}

/// Plays it. Fails only where there is nothing to give an account of.
pub(super) async fn play(
    server: &EmbeddedServer,
    seed: u64,
    posts: usize,
    show: &Show,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let stage = Arc::new(Stage::default());

    let mut clients = Vec::new();
    for (index, name) in AUTHORS.iter().chain([&FOLLOWER]).enumerate() {
        let settings = if index == 1 {
            server.direct_tls_settings(name)
        } else {
            server.client_settings(name)
        };
        let client = connect(settings, name).await?;
        tokio::spawn(count_logins(Arc::clone(&stage), client.clone(), index));
        let room = client.room(TOPIC).await.map_err(Problem::from)?;
        clients.push((client, room));
    }

    let room = clients.last().map(|(_, room)| room.jid().to_string());
    let room = room.unwrap_or_default();
    let blows_struck = Mutex::new((0, 0));
    let whole = async {
        let mut cast = JoinSet::new();
        for (index, name) in AUTHORS.iter().enumerate() {
            if let Some((_, room)) = clients.get(index) {
                let dice = Dice::new(seed, 2 + index as u64);
                cast.spawn(author(Arc::clone(&stage), room.clone(), name, posts, dice));
            }
        }
        if let Some((_, room)) = clients.last() {
            cast.spawn(follower(Arc::clone(&stage), room.clone()));
        }
        let breaking = breaker(
            &stage,
            server,
            seed,
            posts * AUTHORS.len(),
            show,
            &blows_struck,
        );
        let showing = count_posts(&stage, posts * AUTHORS.len(), show);
        let working = async {
            // The authors end by themselves, the follower is stopped below.
            for _ in AUTHORS {
                let _ = cast.join_next().await;
            }
            caught_up(&stage, server, &room).await;
        };
        tokio::join!(breaking, showing, working);
        let fetched = fetch_all(&clients).await;
        stage.lock().fetched = fetched;
    };
    let limit = LIMIT + LIMIT_A_POST * u32::try_from(posts).unwrap_or(u32::MAX);
    if timeout(limit, whole).await.is_err() {
        show.line("the play takes too long and is called off");
    }
    let took = start.elapsed();

    for (client, _) in &clients {
        client.close().await;
    }
    let (cuts, crashes) = *blows_struck.lock().unwrap_or_else(PoisonError::into_inner);
    let logins: u32 = stage.online.borrow().iter().sum();
    let mut evidence = stage.lock().clone();
    evidence.archive = truth(server, &room);
    Ok(Outcome {
        evidence,
        cuts,
        crashes,
        reconnects: logins.saturating_sub(3),
        took,
    })
}

async fn connect(settings: Option<Settings>, name: &str) -> Result<Client, Failure> {
    let Some(settings) = settings else {
        return Err(Failure::new(
            Exit::Machine,
            format!("the demo's own server gives {name} no settings"),
            "please report it",
        ));
    };
    let mut settings = settings.nick(Nick::Chosen(name.into())).keep_trying(true);
    // A server in the same process needs no minute's rest.
    settings.config.timing.backoff_min = Duration::from_millis(100);
    settings.config.timing.backoff_max = Duration::from_millis(500);
    let client = Client::connect(settings).await.map_err(Problem::from)?;
    Ok(client)
}

/// Counts how often a client got online.
async fn count_logins(stage: Arc<Stage>, client: Client, index: usize) {
    let mut states = client.states();
    drop(client);
    while let Some(state) = states.next().await {
        if matches!(state, State::Online { .. }) {
            stage.online.send_modify(|counts| {
                if let Some(count) = counts.get_mut(index) {
                    *count += 1;
                }
            });
        }
    }
}

/// Posts in bursts, so that something is always on its way when a burst is hit.
async fn author(stage: Arc<Stage>, room: Room, name: &'static str, posts: usize, mut dice: Dice) {
    let window = Arc::new(Semaphore::new(WINDOW));
    let mut sendings = JoinSet::new();
    for n in 1..=posts {
        let Ok(permit) = Arc::clone(&window).acquire_owned().await else {
            return;
        };
        let body = format!("{name} {n} of {posts}");
        let index = {
            let mut evidence = stage.lock();
            evidence.posts.push(Posted {
                nick: name.into(),
                number: n,
                body: body.clone(),
                told: Vec::new(),
            });
            evidence.posts.len() - 1
        };
        let room = room.clone();
        let mut sending = Box::pin(async move { room.send(Post::new(&body)).await });
        // The first look hands it over, so that an author's posts keep their order.
        let first = core::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
        stage.handed.send_modify(|count| *count += 1);
        let stage = Arc::clone(&stage);
        sendings.spawn(async move {
            let result = match first {
                Poll::Ready(result) => result,
                Poll::Pending => sending.await,
            };
            let told = match result {
                Ok(posted) => Told::Committed(posted.id.map(|id| id.as_str().into())),
                Err(PostFailure::Rejected(_)) => Told::Rejected,
                Err(PostFailure::Unknown { .. }) => Told::Unknown,
                Err(_) => Told::NotSent,
            };
            if let Some(post) = stage.lock().posts.get_mut(index) {
                post.told.push(told);
            }
            stage.settled.send_modify(|count| *count += 1);
            drop(permit);
        });
        while sendings.try_join_next().is_some() {}
        if n % BURST == 0 {
            // However many there are, it takes about as long.
            let (low, high) = (20_000 / posts as u64, 44_000 / posts as u64);
            let pause = dice.between(low.min(100), high.min(220));
            sleep(Duration::from_millis(pause)).await;
        }
    }
    while sendings.join_next().await.is_some() {}
}

/// Follows from the beginning, until the room or the client is closed.
async fn follower(stage: Arc<Stage>, room: Room) {
    let Ok(mut subscription) = room.subscribe(Start::Cursor(Cursor::Beginning)).await else {
        return;
    };
    while let Some(entry) = subscription.next().await {
        let heard = match entry {
            Entry::Message(message) => Heard::Message(said(*message)),
            Entry::Late(message) => Heard::Late(said(*message)),
            Entry::Gap { .. } => Heard::Gap,
            Entry::Ended => return,
            // Where it stands is no matter here.
            _ => continue,
        };
        stage.lock().heard.push(heard);
    }
}

/// Strikes each blow in its turn, and waits for everybody to be back.
async fn breaker(
    stage: &Stage,
    server: &EmbeddedServer,
    seed: u64,
    posts: usize,
    show: &Show,
    struck: &Mutex<(u32, u32)>,
) {
    let mut settled = stage.settled.subscribe();
    let mut handed = stage.handed.subscribe();
    let mut online = stage.online.subscribe();
    let mut dice = Dice::new(seed, 4);
    for (at, blow) in blows(seed, posts) {
        if settled.wait_for(|count| *count >= at).await.is_err() {
            return;
        }
        // Where it hurts: while posts are on their way, there or back.
        let sent = *handed.borrow();
        let _ = timeout(LULL, handed.wait_for(|count| *count > sent)).await;
        sleep(Duration::from_millis(
            dice.between(0, 3 * DELAY.as_millis() as u64),
        ))
        .await;
        let before = *online.borrow();
        let start = Instant::now();
        let place = *settled.borrow();
        let what = match blow {
            Blow::Cut => {
                server.cut_links();
                "links cut".to_owned()
            }
            Blow::Crash(down) => {
                server.operate(&Operation::Crash {
                    lost_messages: 0,
                    lost_rooms: false,
                });
                sleep(down).await;
                server.operate(&Operation::Start);
                format!("server killed, back after {:.1} s", down.as_secs_f32())
            }
        };
        {
            let mut struck = struck.lock().unwrap_or_else(PoisonError::into_inner);
            match blow {
                Blow::Cut => struck.0 += 1,
                Blow::Crash(_) => struck.1 += 1,
            }
        }
        let back = online.wait_for(|counts| counts.iter().zip(before).all(|(now, was)| *now > was));
        let back = timeout(RECOVERY, back).await.is_ok_and(|back| back.is_ok());
        let end = if back {
            format!(
                "all online again after {:.1} s",
                start.elapsed().as_secs_f32()
            )
        } else {
            "not all came back in time".into()
        };
        show.line(&format!("{place:>6} posts   {what}; {end}"));
    }
}

/// Shows how far they are, until all posts have their outcome.
async fn count_posts(stage: &Stage, posts: usize, show: &Show) {
    let mut settled = stage.settled.subscribe();
    loop {
        let count = *settled.borrow_and_update();
        show.position(count);
        if count >= posts || settled.changed().await.is_err() {
            return;
        }
    }
}

/// What the archive holds, by the server's own word.
fn truth(server: &EmbeddedServer, room: &str) -> Vec<Said> {
    let archive = server.archive(room).into_iter();
    archive
        .map(|message| Said {
            id: message.id,
            nick: message.nick,
            body: message.body,
        })
        .collect()
}

/// Waits until the follower has what the archive has, or gets no further.
async fn caught_up(stage: &Stage, server: &EmbeddedServer, room: &str) {
    let newest = truth(server, room).pop().map(|said| said.id);
    let mut last = (0, Instant::now());
    loop {
        let (heard, done) = {
            let evidence = stage.lock();
            let done = evidence.heard.iter().rev().find_map(|heard| match heard {
                Heard::Message(said) => Some(&said.id),
                Heard::Late(_) | Heard::Gap => None,
            });
            (evidence.heard.len(), done == newest.as_ref())
        };
        if heard != last.0 {
            last = (heard, Instant::now());
        }
        if done || last.1.elapsed() > STANDSTILL {
            return sleep(ECHO).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads the whole archive as any client can.
async fn fetch_all(clients: &[(Client, Room)]) -> Option<Vec<Said>> {
    let (_, room) = clients.last()?;
    let page = room.fetch(Fetch::since(Cursor::Beginning, u32::MAX)).await;
    Some(page.ok()?.messages.into_iter().map(said).collect())
}

fn said(message: Message) -> Said {
    Said {
        id: message.id.map(|id| id.as_str().into()).unwrap_or_default(),
        nick: message.nick,
        body: message.body,
    }
}
