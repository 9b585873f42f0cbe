//! A host without a runtime: one thread, one socket of the standard library, and
//! the loop that the documentation of `Engine` describes. It can write down what
//! passes, for the tests that replay it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking, and a host has a real clock"
)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant as Clock};

use parley_xmpp::{Config, Engine, Event, Instant, Security, Seed, Transport};

pub struct Host {
    pub engine: Engine,
    port: u16,
    start: Clock,
    socket: Option<TcpStream>,
    attempt: u32,
    pub events: VecDeque<Event>,
    /// What passed, as `tests/transcripts` describes it.
    pub transcript: String,
}

impl Host {
    /// A host whose engine connects to this port of the loopback interface, in clear.
    pub fn new(config: Config, seed: [u8; 32], port: u16) -> Self {
        Self {
            engine: Engine::new(config, Seed::new(seed), Instant::ZERO),
            port,
            start: Clock::now(),
            socket: None,
            attempt: 0,
            events: VecDeque::new(),
            transcript: String::new(),
        }
    }

    pub fn now(&self) -> Instant {
        Instant::ZERO.plus(self.start.elapsed())
    }

    /// Writes down a command before it is given.
    pub fn note(&mut self, command: &str) {
        let _ = writeln!(self.transcript, "H {command}");
    }

    /// Runs until an event satisfies `is_it`, which is returned.
    pub fn until(&mut self, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
        let deadline = Clock::now() + Duration::from_secs(60);
        loop {
            while let Some(event) = self.engine.poll_event() {
                let found = is_it(&event);
                self.events.push_back(event.clone());
                if found {
                    return event;
                }
            }
            assert!(
                Clock::now() < deadline,
                "no {what}; so far: {:#?}",
                self.events
            );
            self.turn();
        }
    }

    /// Does once what the engine wants.
    pub fn turn(&mut self) {
        let now = self.now();
        let wants = self.engine.wants();
        match wants.transport {
            Transport::Closed => self.socket = None,
            Transport::Connect { attempt } if attempt != self.attempt => {
                self.attempt = attempt;
                let socket =
                    TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("a server");
                socket.set_nodelay(true).expect("no delay");
                self.socket = Some(socket);
                self.engine
                    .transport_opened(now, Security::Clear { loopback: true });
                return;
            }
            Transport::Shutdown if wants.write.is_empty() => {
                self.socket = None;
                self.engine.handle_eof(now);
                return;
            }
            _ => {}
        }
        if wants.deadline.is_some_and(|deadline| deadline.at <= now) {
            self.engine.handle_timeout(now);
            return;
        }
        let Some(socket) = &mut self.socket else {
            std::thread::sleep(Duration::from_millis(5));
            return;
        };
        if !wants.write.is_empty() {
            let n = socket.write(wants.write).expect("to write");
            let bytes = wants.write[..n].to_vec();
            line(&mut self.transcript, 'C', &bytes);
            self.engine.written(now, n);
            return;
        }
        if !wants.read {
            return;
        }
        let patience = wants
            .deadline
            .map_or(Duration::from_secs(1), |d| d.at.since(now));
        let patience = patience.clamp(Duration::from_millis(1), Duration::from_millis(200));
        socket.set_read_timeout(Some(patience)).expect("a timeout");
        let mut buffer = [0; 16 * 1024];
        match socket.read(&mut buffer) {
            Ok(0) => {
                self.socket = None;
                self.engine.handle_eof(self.now());
            }
            Ok(n) => {
                line(&mut self.transcript, 'S', &buffer[..n]);
                let now = self.now();
                assert_eq!(self.engine.handle_input(now, &buffer[..n]), n);
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => panic!("reading: {e}"),
        }
    }
}

/// Appends a line of bytes; pieces that follow each other in one direction are one.
fn line(transcript: &mut String, who: char, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes)
        .replace('\\', "\\\\")
        .replace('\n', "\\n");
    let last = transcript.trim_end().rfind('\n').map_or(0, |at| at + 1);
    if transcript.get(last..).is_some_and(|l| l.starts_with(who)) {
        transcript.truncate(transcript.trim_end_matches('\n').len());
        let _ = writeln!(transcript, "{text}");
    } else {
        let _ = writeln!(transcript, "{who} {text}");
    }
}
