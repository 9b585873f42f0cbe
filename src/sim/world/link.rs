//! A link: two pipes, the TLS handshake between their ends, and how it ends.
//!
//! TLS is modelled by its shape: three flights of bytes that can be cut and
//! delayed like all others, and a channel binding that both ends share. Bytes
//! that follow are carried as they are.

use core::time::Duration;

use super::pipe::Pipe;
use crate::sim::happening::{Ending, LinkId, Side};
use crate::sim::plan::{Mishap, Weather};
use crate::sim::random::Random;
use crate::sim::server::ConnectionId;
use crate::{ChannelBinding, Instant};

/// Bytes of the client's first flight, the server's answer and the client's last flight.
const HELLO: usize = 250;
const FLIGHT: usize = 1400;
const FINISH: usize = 64;

/// After so long without any sign of the other end the server's system gives up.
const GIVEN_UP: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    /// The index of its host.
    pub(super) host: usize,
    /// When it stands, or turns out to be refused.
    pub(super) opens_at: Option<Instant>,
    pub(super) connection: Option<ConnectionId>,
    pub(super) to_server: Pipe,
    pub(super) to_host: Pipe,
    pub(super) host_end: End,
    pub(super) server_end: End,
    /// When the server's system notices that nobody is there.
    pub(super) given_up_at: Option<Instant>,
    /// What befalls it while it is opened, or its handshake.
    pub(super) mishap: Option<Mishap>,
    /// The host can write nothing until then.
    pub(super) unwritable_until: Option<Instant>,
    secret: [u8; 32],
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct End {
    /// It is held by somebody.
    pub(super) open: bool,
    /// When it learns that the link was reset.
    pub(super) reset_at: Option<Instant>,
    /// How it ends for its holder, where that is not what its system says by itself.
    pub(super) ends: Option<Ending>,
    pub(super) tls: Tls,
}

/// How far an end is with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// Not begun.
    None,
    /// So many bytes of the other end's flight are awaited.
    Awaits(usize),
    /// The server answered and awaits so many bytes of the client's last flight.
    AwaitsFinish(usize),
    /// It stands.
    Stands,
}

/// What a flight that is complete leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    Incomplete,
    /// The server's flight is complete: the client has TLS, or fails.
    Client,
    /// The client's last flight is complete: the server has TLS.
    Server,
}

impl Link {
    /// A link that is being opened: the `generation`-th of its host.
    pub(super) fn new(id: LinkId, host: usize, seed: u64, generation: u64) -> Self {
        let of_host = u64::try_from(host).unwrap_or(0).rotate_left(48);
        let mut random = Random::stream(seed ^ of_host ^ generation, "link");
        Self {
            id,
            host,
            opens_at: None,
            connection: None,
            to_server: Pipe::new(Random::stream(random.bits(), "to server")),
            to_host: Pipe::new(Random::stream(random.bits(), "to host")),
            host_end: End::new(),
            server_end: End::new(),
            given_up_at: None,
            mishap: None,
            unwritable_until: None,
            secret: random.bytes(),
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Host => &self.host_end,
            Side::Server => &self.server_end,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Host => &mut self.host_end,
            Side::Server => &mut self.server_end,
        }
    }

    /// The pipe that carries what `side` writes.
    pub(super) fn pipe_from(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Host => &mut self.to_server,
            Side::Server => &mut self.to_host,
        }
    }

    /// What both ends derive from the TLS session.
    pub(super) fn binding(&self) -> ChannelBinding {
        ChannelBinding {
            exporter: Some(self.secret.to_vec()),
            ..ChannelBinding::default()
        }
    }

    /// The client begins TLS.
    pub(super) fn begin_tls(&mut self, now: Instant, weather: &Weather) {
        self.host_end.tls = Tls::Awaits(FLIGHT);
        self.to_server.write(now, &[b'h'; HELLO], weather);
    }

    /// The server is ready for it.
    pub(super) fn await_tls(&mut self) {
        if self.server_end.tls == Tls::None {
            self.server_end.tls = Tls::Awaits(HELLO);
        }
    }

    /// How many of `bytes` that arrived at `side` belong to the handshake.
    pub(super) fn handshake_bytes(&self, side: Side, bytes: usize) -> usize {
        match self.end(side).tls {
            Tls::Awaits(left) | Tls::AwaitsFinish(left) => left.min(bytes),
            Tls::None | Tls::Stands => 0,
        }
    }

    /// An end read so many bytes of the handshake.
    pub(super) fn handshake(
        &mut self,
        now: Instant,
        side: Side,
        bytes: usize,
        weather: &Weather,
    ) -> Flight {
        let left = match self.end(side).tls {
            Tls::Awaits(left) | Tls::AwaitsFinish(left) => left.saturating_sub(bytes),
            Tls::None | Tls::Stands => return Flight::Incomplete,
        };
        let tls = self.end(side).tls;
        match (side, tls, left) {
            (_, Tls::Awaits(_), 1..) => self.end_mut(side).tls = Tls::Awaits(left),
            (_, _, 1..) => self.end_mut(side).tls = Tls::AwaitsFinish(left),
            (Side::Server, Tls::Awaits(_), _) => {
                self.server_end.tls = Tls::AwaitsFinish(FINISH);
                self.to_host.write(now, &[b's'; FLIGHT], weather);
            }
            (Side::Server, _, _) => {
                self.server_end.tls = Tls::Stands;
                return Flight::Server;
            }
            (Side::Host, _, _) => return Flight::Client,
        }
        Flight::Incomplete
    }

    /// The client is content with the server's flight.
    pub(super) fn finish_tls(&mut self, now: Instant, weather: &Weather) {
        self.host_end.tls = Tls::Stands;
        self.to_server.write(now, &[b'f'; FINISH], weather);
    }

    /// An end is dropped: what it wrote arrives, then the end.
    pub(super) fn drop_end(&mut self, now: Instant, side: Side, weather: &Weather) {
        self.end_mut(side).open = false;
        self.pipe_from(side).finish(now, weather);
    }

    /// The link breaks, seen from the direction in which it was cut.
    pub(super) fn cut(
        &mut self,
        now: Instant,
        from: Side,
        how: Ending,
        linger: Option<Duration>,
        weather: &Weather,
    ) {
        match how {
            Ending::Fin | Ending::Truncation => {
                self.pipe_from(from).break_off(now);
                let other = match from {
                    Side::Host => Side::Server,
                    Side::Server => Side::Host,
                };
                self.pipe_from(other).finish(now, weather);
                self.host_end.ends = (how == Ending::Truncation).then_some(how);
            }
            Ending::HalfOpen => {
                self.pipe_from(from).silence();
                self.given_up_at = Some(now.plus(GIVEN_UP));
            }
            Ending::Reset | Ending::Alert => {
                self.host_end.ends = (how == Ending::Alert).then_some(how);
                self.to_server.silence();
                self.to_host.silence();
                self.host_end.reset_at = Some(now);
                self.server_end.reset_at = Some(now.plus(weather.latency));
            }
            Ending::Silence => {
                self.to_host.silence();
                match linger {
                    Some(linger) => self.to_server.linger(now.plus(linger)),
                    None => self.to_server.silence(),
                }
                self.given_up_at = Some(now.plus(GIVEN_UP));
            }
        }
    }

    /// Nobody holds it and nothing is under way that anybody would read.
    pub(super) const fn is_over(&self) -> bool {
        !self.host_end.open && !self.server_end.open
    }
}

impl End {
    const fn new() -> Self {
        Self {
            open: true,
            reset_at: None,
            ends: None,
            tls: Tls::None,
        }
    }
}
