//! The task that owns the engine: what it wants is done, what happens is told to it.
//!
//! One turn of the loop polls everything at once: commands, the transport being
//! opened, writing, reading, the deadline. So neither a flood from the peer nor
//! one of commands keeps the others waiting, and writing never waits for
//! reading or the other way round.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use ::tokio::io::ReadBuf;
use ::tokio::sync::{mpsc, oneshot};
use ::tokio::time::{Instant as Moment, Sleep, sleep_until};

use super::connect::{Connector, Opened, Secured, Socket, failure};
use super::error::ConnectError;
use super::link::{Command, Link, Shared};
use super::route::Router;
use super::settings::{Settings, SettingsError};
use super::tls;
use crate::jid::Jid;
use crate::{
    ConfigError, Engine, Instant, Plaintext, Seed, Transport, TransportFailure,
    TransportFailureKind,
};

/// Bytes read at a time.
const READ: usize = 16 * 1024;
/// Commands taken in one turn.
const COMMANDS: usize = 64;
/// Turns without a pause before other tasks of the thread have theirs.
const TURNS: u32 = 32;
/// As far into the future as a timer is set.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts the task of a client.
pub(super) fn spawn(
    settings: Settings,
    ready: oneshot::Sender<Result<(), ConnectError>>,
) -> Result<Link, ConnectError> {
    let connector = Arc::new(Connector::new(&settings)?);
    let tls_only = settings.tls_only();
    let Settings {
        mut config,
        muc_service,
        nick,
        keep_trying,
        resume,
        ..
    } = settings;
    config.plaintext = if tls_only {
        Plaintext::Never
    } else {
        Plaintext::OnLoopback
    };
    let account = Jid::parse(config.account().as_str()).map_err(|error| {
        ConnectError::Settings(SettingsError::Config(ConfigError::Account(error)))
    })?;
    // The engine's own answer is to come first.
    let patience = config.timing.request.saturating_add(Duration::from_secs(2));
    let shared = Arc::new(Shared::new(muc_service, nick, patience, account));
    let mut seed = [0; 32];
    if !tls::random(&mut seed) {
        return Err(ConnectError::Tls {
            detail: "the system has no randomness to give".into(),
        });
    }
    let (sender, commands) = mpsc::unbounded_channel();
    let start = Moment::now();
    let seed = Seed::new(seed);
    let engine = match resume {
        Some(saved) => Engine::resume(config, seed, Instant::ZERO, saved),
        None => Engine::new(config, seed, Instant::ZERO),
    };
    let task = Task {
        engine,
        router: Router::new(Arc::clone(&shared), keep_trying, ready),
        connector,
        commands: Some(commands),
        line: Line::Down,
        attempt: 0,
        input: Input {
            bytes: Box::new([0; READ]),
            start: 0,
            end: 0,
            eof: false,
        },
        start,
        sleep: Box::pin(sleep_until(start)),
    };
    ::tokio::spawn(task.run());
    Ok(Link::new(sender, shared))
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, ConnectError>> + Send>>;

/// The transport as it is.
enum Line {
    Down,
    Opening(Work<Opened>),
    Up {
        socket: Socket,
        /// Something was written that may still wait within TLS.
        unflushed: bool,
        /// Writing failed. What the peer said before may still be read.
        broken: Option<io::Error>,
    },
    Securing(Work<Secured>),
}

/// What was read and not yet taken.
struct Input {
    bytes: Box<[u8; READ]>,
    start: usize,
    end: usize,
    /// The peer has closed its side behind these bytes.
    eof: bool,
}

impl Input {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    const fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.eof = false;
    }
}

struct Task {
    engine: Engine,
    router: Router,
    connector: Arc<Connector>,
    /// `None` when the last handle is gone.
    commands: Option<mpsc::UnboundedReceiver<Command>>,
    line: Line,
    /// The attempt that the line belongs to.
    attempt: u32,
    input: Input,
    start: Moment,
    sleep: Pin<Box<Sleep>>,
}

/// What one turn of the loop found.
#[derive(Default)]
struct Turn {
    commands: Vec<Command>,
    handles_gone: bool,
    opened: Option<Result<Opened, ConnectError>>,
    secured: Option<Result<Secured, ConnectError>>,
    wrote: Option<io::Result<usize>>,
    shut_down: bool,
    read: Option<io::Result<usize>>,
    due: bool,
    /// Progress without a word to the engine.
    moved: bool,
}

impl Turn {
    const fn is_empty(&self) -> bool {
        self.commands.is_empty()
            && !self.handles_gone
            && self.opened.is_none()
            && self.secured.is_none()
            && self.wrote.is_none()
            && !self.shut_down
            && self.read.is_none()
            && !self.due
            && !self.moved
    }
}

impl Task {
    async fn run(mut self) {
        let mut busy: u32 = 0;
        loop {
            self.settle();
            if self.router.closed {
                return;
            }
            let mut waited = false;
            let turn = core::future::poll_fn(|cx| {
                let turn = self.turn(cx);
                if turn.is_empty() {
                    waited = true;
                    return Poll::Pending;
                }
                Poll::Ready(turn)
            })
            .await;
            // Computation in slices is always due at once: others first.
            busy = if waited { 0 } else { busy.saturating_add(1) };
            if busy >= TURNS || (turn.due && !waited) {
                busy = 0;
                ::tokio::task::yield_now().await;
            }
            self.apply(turn);
        }
    }

    fn now(&self) -> Instant {
        let elapsed = self.start.elapsed().as_micros();
        Instant::from_micros(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Brings everything that needs no waiting to rest.
    fn settle(&mut self) {
        // Each step answers one wish of the engine; their number is small, and
        // bounded here so that a mistake cannot hold the thread.
        for _ in 0..8 {
            self.feed();
            self.drain();
            let now = self.now();
            self.router.retry_waiting(&mut self.engine, now);
            if !self.follow() {
                break;
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            let now = self.now();
            self.router.event(&mut self.engine, now, event);
        }
    }

    /// Offers what was read, as long as the engine takes of it.
    fn feed(&mut self) {
        loop {
            self.drain();
            if self.input.rest().is_empty() {
                self.input.start = 0;
                self.input.end = 0;
                break;
            }
            let now = self.now();
            if !self.engine.wants().read {
                return;
            }
            let taken = self.engine.handle_input(now, self.input.rest());
            if taken == 0 {
                return;
            }
            self.input.start = self.input.start.saturating_add(taken).min(self.input.end);
        }
        if self.input.eof {
            self.hang_up();
        }
    }

    /// The peer's side is closed, or ours is: tells the engine.
    fn hang_up(&mut self) {
        self.input.clear();
        let line = core::mem::replace(&mut self.line, Line::Down);
        let now = self.now();
        match line {
            Line::Up {
                broken: Some(error),
                ..
            } => self.engine.transport_failed(now, io_failure(&error)),
            _ => self.engine.handle_eof(now),
        }
    }

    /// Brings the transport nearer to what the engine wants. `true` if the engine was told something.
    fn follow(&mut self) -> bool {
        let wants = self.engine.wants();
        let unwritten = !wants.write.is_empty();
        match wants.transport {
            Transport::Closed => {
                self.line = Line::Down;
                self.input.clear();
                false
            }
            Transport::Connect { attempt } => {
                if attempt != self.attempt {
                    self.attempt = attempt;
                    self.input.clear();
                    self.router.tls = None;
                    self.router.problem = None;
                    self.line = Line::Opening(Box::pin(Arc::clone(&self.connector).open()));
                }
                false
            }
            Transport::Open => false,
            Transport::StartTls => match &self.line {
                Line::Up {
                    socket: Socket::Clear(_),
                    unflushed: false,
                    broken: None,
                } if !unwritten => self.start_tls(),
                _ => false,
            },
            Transport::Shutdown => match &self.line {
                // There is nothing that could be closed in good order.
                Line::Opening(_)
                | Line::Securing(_)
                | Line::Up {
                    broken: Some(_), ..
                } => {
                    self.line = Line::Down;
                    self.hang_up();
                    true
                }
                Line::Up { .. } | Line::Down => false,
            },
        }
    }

    fn start_tls(&mut self) -> bool {
        if !self.input.rest().is_empty() {
            // The engine knows what to make of it.
            let now = self.now();
            let taken = self.engine.handle_input(now, self.input.rest());
            self.input.start = self.input.start.saturating_add(taken).min(self.input.end);
            if self.engine.wants().transport != Transport::StartTls {
                return true;
            }
        }
        if !self.input.rest().is_empty() {
            // Whoever speaks between the agreement and TLS is not the server
            // (CVE-2011-0411).
            self.line = Line::Down;
            self.input.clear();
            let detail = "bytes came in clear where TLS was to begin".to_string();
            let why = TransportFailure {
                kind: TransportFailureKind::Tls,
                detail,
            };
            self.engine.transport_failed(self.now(), why);
            return true;
        }
        if let Line::Up {
            socket: Socket::Clear(tcp),
            ..
        } = core::mem::replace(&mut self.line, Line::Down)
        {
            self.line = Line::Securing(Box::pin(Arc::clone(&self.connector).secure(tcp)));
        }
        false
    }

    /// Polls everything once. An empty turn means that each will wake the task.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = Turn::default();
        self.poll_commands(cx, &mut turn);
        self.poll_line(cx, &mut turn);
        self.poll_deadline(cx, &mut turn);
        turn
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        let Some(commands) = &mut self.commands else {
            return;
        };
        match commands.poll_recv_many(cx, &mut turn.commands, COMMANDS) {
            Poll::Ready(0) => turn.handles_gone = true,
            Poll::Ready(_) | Poll::Pending => {}
        }
    }

    fn poll_line(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        let wants = self.engine.wants();
        let (socket, unflushed, broken) = match &mut self.line {
            Line::Down => return,
            Line::Opening(work) => {
                if let Poll::Ready(result) = work.as_mut().poll(cx) {
                    turn.opened = Some(result);
                }
                return;
            }
            Line::Securing(work) => {
                if let Poll::Ready(result) = work.as_mut().poll(cx) {
                    turn.secured = Some(result);
                }
                return;
            }
            Line::Up {
                socket,
                unflushed,
                broken,
            } => (socket, unflushed, broken),
        };
        if broken.is_none() {
            if !wants.write.is_empty() {
                if let Poll::Ready(result) = socket.poll_write(cx, wants.write) {
                    *unflushed = true;
                    turn.wrote = Some(result);
                }
            } else if *unflushed {
                match socket.poll_flush(cx) {
                    Poll::Ready(Ok(())) => {
                        *unflushed = false;
                        turn.moved = true;
                    }
                    Poll::Ready(Err(error)) => turn.wrote = Some(Err(error)),
                    Poll::Pending => {}
                }
            } else if wants.transport == Transport::Shutdown {
                // However it ends: the stream is over.
                turn.shut_down = socket.poll_shutdown(cx).is_ready();
            }
        }
        // Between the agreement on TLS and its beginning nothing may be read:
        // the bytes belong to the handshake.
        let may_read = wants.read && wants.transport != Transport::StartTls;
        if may_read && self.input.rest().is_empty() && !self.input.eof {
            let mut buffer = ReadBuf::new(self.input.bytes.as_mut_slice());
            if let Poll::Ready(result) = socket.poll_read(cx, &mut buffer) {
                turn.read = Some(result.map(|()| buffer.filled().len()));
            }
        } else if broken.is_some() && !may_read && !self.input.eof {
            turn.read = Some(Ok(0));
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, turn: &mut Turn) {
        let Some(deadline) = self.engine.wants().deadline else {
            return;
        };
        let left = deadline.at.since(self.now());
        if left.is_zero() {
            turn.due = true;
            return;
        }
        let micros = Duration::from_micros(deadline.at.as_micros());
        let at = self
            .start
            .checked_add(micros)
            .filter(|_| left < FAR)
            .unwrap_or_else(|| {
                let now = Moment::now();
                now.checked_add(FAR).unwrap_or(now)
            });
        // A far deadline moves with every look; only a nearer one needs a new timer.
        if (left < FAR && self.sleep.deadline() != at) || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(at);
        }
        turn.due = self.sleep.as_mut().poll(cx).is_ready();
    }

    /// Tells the engine what a turn found.
    fn apply(&mut self, turn: Turn) {
        for command in turn.commands {
            let now = self.now();
            self.router.command(&mut self.engine, now, command);
        }
        let now = self.now();
        if turn.handles_gone {
            self.commands = None;
            self.engine.close(now);
        }
        if let Some(result) = turn.opened {
            self.opened(now, result);
        }
        if let Some(result) = turn.secured {
            self.secured(now, result);
        }
        match turn.wrote {
            Some(Ok(0)) => self.break_line(io::ErrorKind::WriteZero.into()),
            Some(Ok(count)) => self.engine.written(now, count),
            Some(Err(error)) => self.break_line(error),
            None => {}
        }
        match turn.read {
            Some(Ok(0)) => self.input.eof = true,
            Some(Ok(count)) => {
                self.input.start = 0;
                self.input.end = count;
            }
            // Most servers close TLS without saying so; the end of the stream is
            // said in the stream, which is where the engine looks for it.
            Some(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.input.eof = true
            }
            Some(Err(error)) => {
                self.break_line(error);
                self.input.eof = true;
            }
            None => {}
        }
        if turn.shut_down {
            self.hang_up();
        }
        if turn.due {
            self.engine.handle_timeout(now);
        }
    }

    fn opened(&mut self, now: Instant, result: Result<Opened, ConnectError>) {
        match result {
            Ok(Opened {
                socket,
                security,
                tls,
            }) => {
                self.line = Line::Up {
                    socket,
                    unflushed: false,
                    broken: None,
                };
                self.router.tls = tls;
                self.engine.transport_opened(now, security);
            }
            Err(error) => self.failed(now, error),
        }
    }

    fn secured(&mut self, now: Instant, result: Result<Secured, ConnectError>) {
        match result {
            Ok(Secured {
                socket,
                binding,
                tls,
            }) => {
                self.line = Line::Up {
                    socket,
                    unflushed: false,
                    broken: None,
                };
                self.router.tls = Some(tls);
                self.engine.tls_established(now, binding);
            }
            Err(error) => self.failed(now, error),
        }
    }

    fn failed(&mut self, now: Instant, error: ConnectError) {
        self.line = Line::Down;
        self.engine.transport_failed(now, failure(&error));
        self.router.problem = Some(error);
    }

    fn break_line(&mut self, error: io::Error) {
        if let Line::Up { broken, .. } = &mut self.line {
            broken.get_or_insert(error);
        }
    }
}

fn io_failure(error: &io::Error) -> TransportFailure {
    TransportFailure {
        kind: TransportFailureKind::Io,
        detail: error.to_string(),
    }
}
