//! A TCP proxy that does to connections what networks do.
//!
//! Each connection through it has a fate, drawn from a seed and its number: in each direction it
//! is cut after so many bytes exactly, at one end by FIN or RST, at the other the same moment or
//! a little later, by FIN or RST as well; on the way there bytes are delayed, and now and then
//! nothing moves for a while. What a cut catches between the two ends is lost.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module whole and uses its own part of it"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What is carried at a time, at most.
const CHUNK: usize = 4096;

/// How rough a proxy is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The fewest and the most bytes that one direction carries before it is cut. Drawn so that
    /// each order of magnitude is as likely.
    pub bytes: (u64, u64),
    /// The longest delay of one chunk.
    pub delay: Duration,
    /// The longest that nothing moves.
    pub stall: Duration,
}

/// What a proxy has done.
#[derive(Debug, Default)]
pub struct Damage {
    pub connections: AtomicU64,
    /// Connections cut with FIN to the client first, or to the server first.
    pub fins: AtomicU64,
    /// Connections cut with RST.
    pub resets: AtomicU64,
    pub stalls: AtomicU64,
    /// Connections for which there was no server.
    pub refused: AtomicU64,
}

impl Damage {
    pub fn cuts(&self) -> u64 {
        self.fins.load(Ordering::Relaxed) + self.resets.load(Ordering::Relaxed)
    }
}

/// A proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    damage: Arc<Damage>,
    calm: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 for connections to `target`.
    pub async fn start(target: u16, seed: u64, weather: Weather) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let damage = Arc::new(Damage::default());
        let calm = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(serve(
            listener,
            target,
            seed,
            weather,
            Arc::clone(&damage),
            Arc::clone(&calm),
        ));
        Self {
            address,
            damage,
            calm,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// From now on nothing is cut, stalled or delayed any more.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: u16,
    seed: u64,
    weather: Weather,
    damage: Arc<Damage>,
    calm: Arc<AtomicBool>,
) {
    // Connections end with the proxy.
    let mut carried = tokio::task::JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        while carried.try_join_next().is_some() {}
        let number = damage.connections.fetch_add(1, Ordering::Relaxed);
        let fate = Fate::draw(seed, number, weather);
        let (damage, calm) = (Arc::clone(&damage), Arc::clone(&calm));
        carried.spawn(async move {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
                damage.refused.fetch_add(1, Ordering::Relaxed);
                let _ = client.set_zero_linger();
                return;
            };
            carry(client, server, fate, damage, calm).await;
        });
    }
}

/// How an end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Fin,
    Rst,
}

/// What becomes of one connection.
#[derive(Clone, Debug)]
struct Fate {
    /// Bytes that pass, to the server and to the client.
    bytes: [u64; 2],
    /// How each end is told, in the order of `first`.
    manner: [Manner; 2],
    /// The client hears of it first.
    client_first: bool,
    /// How much later the other end hears of it.
    later: Duration,
    dice: [Dice; 2],
    weather: Weather,
}

impl Fate {
    fn draw(seed: u64, number: u64, weather: Weather) -> Self {
        let mut dice = Dice::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let manner = |dice: &mut Dice| match dice.below(2) {
            0 => Manner::Fin,
            _ => Manner::Rst,
        };
        Self {
            bytes: [dice.magnitude(weather.bytes), dice.magnitude(weather.bytes)],
            manner: [manner(&mut dice), manner(&mut dice)],
            client_first: dice.below(2) == 0,
            later: Duration::from_millis(match dice.below(3) {
                0 => dice.below(400),
                _ => 0,
            }),
            dice: [Dice::new(dice.bits()), Dice::new(dice.bits())],
            weather,
        }
    }
}

/// Carries bytes both ways until the fate, or one of the two, ends it.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    fate: Fate,
    damage: Arc<Damage>,
    calm: Arc<AtomicBool>,
) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (stop, stopped) = watch::channel(false);
    let [up, down] = fate.dice.clone();
    let lane = |dice, bytes| Lane {
        dice,
        left: bytes,
        weather: fate.weather,
        damage: Arc::clone(&damage),
        calm: Arc::clone(&calm),
        stopped: stopped.clone(),
    };
    let up = tokio::spawn(lane(up, fate.bytes[0]).run(from_client, to_server));
    let down = tokio::spawn(lane(down, fate.bytes[1]).run(from_server, to_client));
    tokio::pin!(up, down);
    // The first direction that ends stops the other, so that both halves come together again.
    let (mut up_end, mut down_end) = (None, None);
    tokio::select! {
        end = &mut up => up_end = end.ok(),
        end = &mut down => down_end = end.ok(),
    }
    let _ = stop.send(true);
    if up_end.is_none() {
        up_end = up.await.ok();
    }
    if down_end.is_none() {
        down_end = down.await.ok();
    }
    let (Some((up, from_client, to_server)), Some((down, from_server, to_client))) =
        (up_end, down_end)
    else {
        return;
    };
    let (Ok(client), Ok(server)) = (
        from_client.reunite(to_client),
        from_server.reunite(to_server),
    ) else {
        return;
    };
    if up != End::Cut && down != End::Cut {
        // One of the two closed, and in good order that is passed on.
        return;
    }
    let count = match fate.manner[0] {
        Manner::Fin => &damage.fins,
        Manner::Rst => &damage.resets,
    };
    count.fetch_add(1, Ordering::Relaxed);
    let (first, second) = if fate.client_first {
        (client, server)
    } else {
        (server, client)
    };
    end(first, fate.manner[0]).await;
    sleep(fate.later).await;
    end(second, fate.manner[1]).await;
}

async fn end(mut stream: TcpStream, manner: Manner) {
    match manner {
        Manner::Fin => {
            let _ = stream.shutdown().await;
            // What is unread in it would turn the FIN into an RST; a little patience, for the
            // peer may still be writing.
            let mut waste = [0; CHUNK];
            let drained = async { while let Ok(1..) = stream.read(&mut waste).await {} };
            let _ = tokio::time::timeout(Duration::from_millis(100), drained).await;
        }
        Manner::Rst => {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Why a direction carries no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cut,
    Closed,
}

/// One direction of a connection.
struct Lane {
    dice: Dice,
    left: u64,
    weather: Weather,
    damage: Arc<Damage>,
    calm: Arc<AtomicBool>,
    stopped: watch::Receiver<bool>,
}

impl Lane {
    async fn run(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> (End, OwnedReadHalf, OwnedWriteHalf) {
        let mut stopped = self.stopped.clone();
        let end = tokio::select! {
            end = self.carry(&mut from, &mut to) => end,
            _ = stopped.wait_for(|stop| *stop) => End::Closed,
        };
        (end, from, to)
    }

    async fn carry(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> End {
        let mut buffer = [0; CHUNK];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else {
                return End::Closed;
            };
            let calm = self.calm.load(Ordering::Relaxed);
            let mut pass = count;
            if !calm {
                pass = usize::try_from(self.left).map_or(count, |left| left.min(count));
                self.left -= pass as u64;
                self.dawdle().await;
            }
            if to.write_all(&buffer[..pass]).await.is_err() {
                return End::Closed;
            }
            if !calm && self.left == 0 {
                return End::Cut;
            }
        }
    }

    async fn dawdle(&mut self) {
        if self.dice.below(400) == 0 {
            self.damage.stalls.fetch_add(1, Ordering::Relaxed);
            sleep(self.dice.up_to(self.weather.stall)).await;
        } else if self.dice.below(4) == 0 {
            sleep(self.dice.up_to(self.weather.delay)).await;
        }
    }
}

/// Reproducible choices (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(micros + 1))
    }

    /// A number from `least` to `most`, each doubling as likely.
    fn magnitude(&mut self, (least, most): (u64, u64)) -> u64 {
        let doublings = (most / least).max(1).ilog2();
        let low = least << self.below(u64::from(doublings.max(1)));
        low + self.below(low)
    }
}
