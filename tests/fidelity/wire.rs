//! Where a client's bytes go: over a socket to a real server, or straight into the model.

use std::cell::RefCell;
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use parley_xmpp::sim::server::{
    ConnectionId, Personality, Server as Model, ServerSetup, ServerTransport,
};
use parley_xmpp::{Instant, Security};

use crate::support::{ACCOUNTS, DOMAIN, Kind, Server};

/// Generous: nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far the model's clock goes when somebody waits for a server that says nothing.
const VIRTUAL_PATIENCE: Duration = Duration::from_secs(120);
/// What one turn of a client costs on the model's clock, so that no two are at one time.
const TURN: Duration = Duration::from_millis(3);

/// What there is to read.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes(Vec<u8>),
    End,
    /// Nothing came, for longer than a server may take.
    Silence,
}

/// A connection in clear.
pub(crate) trait Wire: fmt::Debug {
    fn write(&mut self, bytes: &[u8]);
    fn read(&mut self) -> Read;
    /// Ends the connection without a word of XMPP.
    fn cut(&mut self);
}

/// A server that can be connected to.
pub(crate) trait Backend {
    fn connect(&self) -> Box<dyn Wire>;
}

impl Backend for Server {
    fn connect(&self) -> Box<dyn Wire> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port())).expect("a server");
        socket.set_nodelay(true).expect("no delay");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        Box::new(socket)
    }
}

impl Wire for TcpStream {
    fn write(&mut self, bytes: &[u8]) {
        // A server that has hung up is found out by reading.
        let _ = self.write_all(bytes);
    }

    fn read(&mut self) -> Read {
        let mut buffer = vec![0; 16_384];
        match std::io::Read::read(self, &mut buffer) {
            Ok(0) => Read::End,
            Ok(n) => {
                buffer.truncate(n);
                Read::Bytes(buffer)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Read::Silence
            }
            Err(_) => Read::End,
        }
    }

    fn cut(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// The model server, and what its clock shows.
pub(crate) struct ModelBackend {
    world: Rc<RefCell<World>>,
}

struct World {
    server: Model,
    now: Instant,
}

impl ModelBackend {
    pub(crate) fn new(kind: Kind) -> Self {
        let personality = match kind {
            Kind::Prosody => Personality::Prosody,
            Kind::Ejabberd => Personality::Ejabberd,
        };
        let mut setup = ServerSetup::new(personality, DOMAIN);
        setup.accounts = ACCOUNTS
            .iter()
            .map(|name| ((*name).into(), format!("secret-{name}")))
            .collect();
        setup.tls = false;
        setup.resumption = Some(Duration::from_secs(300));
        setup.rounds = 4096;
        let now = Instant::ZERO;
        let server = Model::new(setup, now);
        Self {
            world: Rc::new(RefCell::new(World { server, now })),
        }
    }
}

impl Backend for ModelBackend {
    fn connect(&self) -> Box<dyn Wire> {
        let world = &mut *self.world.borrow_mut();
        world.turn();
        let connection = world
            .server
            .accept(world.now, Security::Clear { loopback: true })
            .expect("a server that is up");
        Box::new(ModelWire {
            world: Rc::clone(&self.world),
            connection,
            cut: false,
        })
    }
}

impl World {
    fn turn(&mut self) {
        self.go_to(self.now.plus(TURN));
    }

    /// Lets the clock go on, and the server do on the way what is due.
    fn go_to(&mut self, then: Instant) {
        while let Some(due) = self.server.deadline().filter(|due| *due <= then) {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
        }
        self.now = then;
    }
}

struct ModelWire {
    world: Rc<RefCell<World>>,
    connection: ConnectionId,
    cut: bool,
}

impl fmt::Debug for ModelWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl Wire for ModelWire {
    fn write(&mut self, bytes: &[u8]) {
        let world = &mut *self.world.borrow_mut();
        world.turn();
        world.server.handle_input(world.now, self.connection, bytes);
    }

    fn read(&mut self) -> Read {
        if self.cut {
            return Read::End;
        }
        let world = &mut *self.world.borrow_mut();
        world.turn();
        let patience = world.now.plus(VIRTUAL_PATIENCE);
        loop {
            let wants = world.server.wants(self.connection);
            let bytes = wants.write.to_vec();
            if wants.transport != ServerTransport::Closed && !bytes.is_empty() {
                world
                    .server
                    .written(world.now, self.connection, bytes.len());
                return Read::Bytes(bytes);
            }
            match wants.transport {
                ServerTransport::Open | ServerTransport::StartTls => {}
                ServerTransport::Shutdown | ServerTransport::Closed => {
                    self.cut = true;
                    world.server.handle_eof(world.now, self.connection);
                    return Read::End;
                }
            }
            match world.server.deadline().filter(|due| *due <= patience) {
                Some(due) => world.go_to(due.max(world.now)),
                None => return Read::Silence,
            }
        }
    }

    fn cut(&mut self) {
        if !self.cut {
            self.cut = true;
            let world = &mut *self.world.borrow_mut();
            world.turn();
            world.server.handle_eof(world.now, self.connection);
        }
    }
}
