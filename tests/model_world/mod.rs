//! Engines and the model server, connected in memory: no network, no delay. Time
//! passes only when a test says so.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking, and uses its own part of this module"
)]

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::sim::server::{
    ConnectionId, Note, Operation, Personality, Server, ServerSetup, ServerTransport,
};
use parley_xmpp::{
    ChannelBinding, Config, Engine, Event, Instant, JoinRoom, Nick, Plaintext, RoomEvent, RoomId,
    Security, Seed, Transport, TransportFailure, TransportFailureKind,
};

pub const ROOM: &str = "ops@muc.parley.local";

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    StartTls,
    DirectTls,
    Loopback,
}

pub struct World {
    pub server: Server,
    pub clients: Vec<Client>,
    pub now: Instant,
    pub way: Way,
    /// The most bytes that are handed over at once.
    pub piece: usize,
    /// All that was handed over, with its direction.
    pub wire: Vec<u8>,
    pub notes: Vec<Note>,
}

pub struct Client {
    pub engine: Engine,
    pub connection: Option<ConnectionId>,
    pub events: Vec<Event>,
    starting_tls: bool,
}

pub fn setup(personality: Personality) -> ServerSetup {
    let mut setup = ServerSetup::new(personality, "parley.local");
    for name in ["alice", "bob", "carol"] {
        setup = setup.account(name, "secret");
    }
    setup.page_cap = 10;
    setup
}

pub fn binding() -> ChannelBinding {
    let mut binding = ChannelBinding::default();
    binding.exporter = Some(vec![7; 32]);
    binding
}

impl World {
    pub fn new(setup: ServerSetup, way: Way, piece: usize) -> Self {
        let now = Instant::from_millis(1000);
        Self {
            server: Server::new(setup, now),
            clients: Vec::new(),
            now,
            way,
            piece,
            wire: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn personality(personality: Personality) -> Self {
        Self::new(setup(personality), Way::StartTls, usize::MAX)
    }

    /// A client of an account, online.
    pub fn client(&mut self, name: &str) -> usize {
        let index = self.client_with(name, "secret");
        let online = |e: &Event| matches!(e, Event::Online { .. });
        assert!(
            self.events(index).iter().any(online),
            "{:?}",
            self.clients[index].events
        );
        index
    }

    pub fn client_with(&mut self, name: &str, password: &str) -> usize {
        let mut config = Config::new("parley.local", name, password).expect("a config");
        config.plaintext = Plaintext::OnLoopback;
        let seed = u8::try_from(self.clients.len()).expect("few clients");
        self.clients.push(Client {
            engine: Engine::new(config, Seed::new([seed; 32]), self.now),
            connection: None,
            events: Vec::new(),
            starting_tls: false,
        });
        self.settle();
        self.clients.len() - 1
    }

    /// Hands everything over until nothing is left to hand over.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let mut busy = false;
            for client in 0..self.clients.len() {
                busy |= self.turn(client);
            }
            if !busy {
                self.notes
                    .extend(core::iter::from_fn(|| self.server.poll_note()));
                return;
            }
        }
        panic!("they never come to rest");
    }

    /// One turn of one client; whether anything happened.
    fn turn(&mut self, index: usize) -> bool {
        let now = self.now;
        let client = &mut self.clients[index];
        let before = client.events.len();
        client
            .events
            .extend(core::iter::from_fn(|| client.engine.poll_event()));
        let mut busy = client.events.len() > before;
        // Due at once: slices of key derivation, mostly.
        if client.engine.wants().deadline.is_some_and(|d| d.at <= now) {
            client.engine.handle_timeout(now);
            busy = true;
        }
        let wants = client.engine.wants().transport;
        let Some(id) = client.connection else {
            if !matches!(wants, Transport::Connect { .. }) {
                return busy;
            }
            let security = match self.way {
                Way::DirectTls => Security::Tls(binding()),
                Way::StartTls => Security::Clear { loopback: false },
                Way::Loopback => Security::Clear { loopback: true },
            };
            client.connection = self.server.accept(now, security.clone());
            match client.connection {
                Some(_) => client.engine.transport_opened(now, security),
                None => client.engine.transport_failed(now, failure()),
            }
            return true;
        };
        // The client's bytes.
        let write = client.engine.wants().write;
        let n = write.len().min(self.piece);
        if n > 0 {
            let bytes = write[..n].to_vec();
            self.wire.extend_from_slice(&bytes);
            client.engine.written(now, n);
            self.server.handle_input(now, id, &bytes);
            return true;
        }
        // The server's.
        let wants_server = self.server.wants(id);
        let (to, write) = (wants_server.transport, wants_server.write);
        let n = write.len().min(self.piece);
        if n > 0 && client.engine.wants().read {
            let bytes = write[..n].to_vec();
            self.wire.extend_from_slice(&bytes);
            let taken = client.engine.handle_input(now, &bytes);
            self.server.written(now, id, taken);
            return taken > 0 || busy;
        }
        match (client.engine.wants().transport, to) {
            (Transport::StartTls, ServerTransport::StartTls) => {
                self.server.tls_established(now, id, binding());
                client.engine.tls_established(now, binding());
                true
            }
            (Transport::Closed | Transport::Connect { .. }, _) => {
                client.connection = None;
                self.server.transport_failed(now, id);
                true
            }
            (_, ServerTransport::Closed) => {
                client.connection = None;
                client.engine.transport_failed(now, failure());
                true
            }
            (Transport::Shutdown, _) | (_, ServerTransport::Shutdown) => {
                client.connection = None;
                self.server.handle_eof(now, id);
                client.engine.handle_eof(now);
                true
            }
            _ => busy,
        }
    }

    /// Lets time pass, to each deadline exactly.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        for _ in 0..1_000_000 {
            self.settle();
            let engines = self.clients.iter();
            let deadlines = engines.filter_map(|c| c.engine.wants().deadline.map(|d| d.at));
            let Some(at) = deadlines
                .chain(self.server.deadline())
                .min()
                .filter(|at| *at <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            for client in &mut self.clients {
                client.engine.handle_timeout(self.now);
            }
        }
        panic!("time does not pass");
    }

    /// Cuts a client's connection: neither side hears why.
    pub fn cut(&mut self, index: usize) {
        if let Some(id) = self.clients[index].connection.take() {
            self.server.transport_failed(self.now, id);
            self.clients[index]
                .engine
                .transport_failed(self.now, failure());
        }
        self.settle();
    }

    pub fn operate(&mut self, operation: &Operation) {
        self.server.operate(self.now, operation);
        self.settle();
    }

    pub fn events(&mut self, index: usize) -> Vec<Event> {
        self.settle();
        core::mem::take(&mut self.clients[index].events)
    }

    pub fn take_notes(&mut self) -> Vec<Note> {
        self.settle();
        core::mem::take(&mut self.notes)
    }

    /// Joins [`ROOM`] and waits until it is joined.
    pub fn join(&mut self, index: usize, nick: &str) -> RoomId {
        let room = JoinRoom::new(
            BareJid::parse(ROOM).expect("an address"),
            Nick::Chosen(nick.into()),
        );
        let id = self.clients[index]
            .engine
            .join(self.now, room)
            .expect("to join");
        self.pass(Duration::from_secs(3));
        let events = self.events(index);
        let joined = |e: &Event| {
            matches!(
                e,
                Event::Room {
                    event: RoomEvent::Joined(_),
                    ..
                }
            )
        };
        assert!(events.iter().any(joined), "{events:?}");
        id
    }

    pub fn now_do<T>(&mut self, index: usize, act: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        let result = act(&mut self.clients[index].engine, self.now);
        self.settle();
        result
    }
}

fn failure() -> TransportFailure {
    TransportFailure {
        kind: TransportFailureKind::Io,
        detail: "cut".into(),
    }
}
