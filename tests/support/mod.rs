//! Starts real XMPP servers for the integration tests.
//!
//! Each [`Server`] is Prosody or ejabberd as a child process, in a temporary directory, on free
//! ports of the loopback interface. Nothing of the system's own configuration is read or changed,
//! root is neither needed nor a hindrance, and any number can run side by side. The server and its
//! directory go away when the value is dropped, and at the latest when the test process ends,
//! however it ends (see [`process`]).
//!
//! A server that is not installed is reported on standard error and left out, unless
//! `PARLEY_XMPP_REQUIRE_SERVERS=1` is set: then its absence is a failure.
//!
//! ```ignore
//! mod support;
//! use support::{Kind, Server, ServerOptions};
//!
//! let Some(server) = Server::start(Kind::Prosody, ServerOptions::default()) else { return };
//! // connect to 127.0.0.1:server.port() as alice@parley.local, password "secret-alice"
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module whole and uses its own part of it"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking, and a harness for real processes needs a real clock"
)]

mod ejabberd;
mod pki;
mod process;
mod prosody;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use pki::Certificate;
use pki::Pki;
use process::{STEP, Supervised};

/// The domain that every server serves.
pub const DOMAIN: &str = "parley.local";
/// The room service of that domain.
pub const MUC: &str = "muc.parley.local";
/// A room service that by its domain is another server's. Prosody only.
pub const MUC_ELSEWHERE: &str = "rooms.elsewhere.example";
/// The accounts that exist from the start, each with the password `secret-<name>`.
pub const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "parley"];

/// Set to `1`, a server that is not installed is a failure.
const REQUIRE: &str = "PARLEY_XMPP_REQUIRE_SERVERS";
/// Generous: a busy machine may start a dozen servers at once.
const START_PATIENCE: Duration = Duration::from_secs(90);
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How often to choose new ports when somebody else took them in between.
const ATTEMPTS: u32 = 5;

/// The server software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prosody,
    Ejabberd,
}

impl Kind {
    /// Both, for tests that run against each.
    pub const ALL: [Self; 2] = [Self::Prosody, Self::Ejabberd];

    fn installed(self) -> bool {
        match self {
            Self::Prosody => prosody::installed(),
            Self::Ejabberd => ejabberd::installed(),
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Prosody => prosody::PACKAGE,
            Self::Ejabberd => ejabberd::PACKAGE,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prosody => "Prosody",
            Self::Ejabberd => "ejabberd",
        })
    }
}

/// How the server stores passwords, which decides the mechanisms it can offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passwords {
    /// As they are: every SCRAM that the server knows.
    Plain,
    /// Hashed for SCRAM-SHA-1: what both servers do unless told otherwise (ejabberd once told to
    /// hash at all).
    #[default]
    Sha1,
    /// Hashed for SCRAM-SHA-256.
    Sha256,
}

/// What kind of server to start. The default is one that a client gets along with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Whether a client may log in without TLS. If not, STARTTLS is required.
    pub plaintext_allowed: bool,
    /// Whether STARTTLS is offered at all. Direct TLS always is.
    pub starttls: bool,
    /// The certificate that the server shows.
    pub certificate: Certificate,
    /// How passwords are stored.
    pub passwords: Passwords,
    /// The most messages that a page of the archive holds; `None` leaves the default of 50.
    /// Prosody only: ejabberd's default of 50 and cap of 250 are fixed.
    pub page_cap: Option<u32>,
    /// Whether rooms are archived.
    pub archive: bool,
    /// Whether a new room is for members only: for the account that made it, that is.
    pub members_only: bool,
    /// The largest stanza in bytes; beyond it the server ends the stream.
    pub max_stanza_size: u32,
    /// For how many seconds a lost stream can be resumed.
    pub resume_seconds: u32,
    /// Whether rooms and their archives are in an SQL database (SQLite), which loses nothing in a
    /// crash. ejabberd only; a server without the module for it counts as not installed.
    pub sql: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            plaintext_allowed: true,
            starttls: true,
            certificate: Certificate::Good,
            passwords: Passwords::Sha1,
            page_cap: None,
            archive: true,
            members_only: false,
            max_stanza_size: 262_144,
            resume_seconds: 300,
            sql: false,
        }
    }
}

/// A user of the server.
#[derive(Clone, Debug)]
struct Account {
    name: String,
    password: String,
}

/// The ports of a server, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
struct Ports {
    starttls: u16,
    tls: u16,
    /// ejabberd's administration commands. Prosody does not use it.
    admin: u16,
}

/// A running server. Dropping it stops the server and removes all that it wrote.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    options: ServerOptions,
    ports: Ports,
    pki: Pki,
    accounts: Mutex<Vec<Account>>,
    process: Supervised,
}

impl Server {
    /// Starts a server, and returns when it accepts clients.
    ///
    /// `None` if it is not installed, unless the environment says that it must be.
    ///
    /// # Panics
    ///
    /// When the server does not start: with its log.
    #[must_use]
    pub fn start(kind: Kind, options: ServerOptions) -> Option<Self> {
        let missing = if kind.installed() {
            let needs_sql = options.sql && kind == Kind::Ejabberd;
            (needs_sql && !ejabberd::sql_installed()).then_some(ejabberd::SQL_PACKAGE)
        } else {
            Some(kind.package())
        };
        if let Some(package) = missing {
            assert!(
                std::env::var(REQUIRE).as_deref() != Ok("1"),
                "{kind} is not installed (apt-get install {package}), and {REQUIRE} is set",
            );
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {package} is not installed (apt-get install {package})",
            );
            return None;
        }
        for attempt in 1.. {
            let mut server = Self::create(kind, options.clone());
            match server.launch() {
                Ok(()) => return Some(server),
                Err(Failure::PortTaken) if attempt < ATTEMPTS => {}
                Err(failure) => panic!("{kind} did not start: {failure:?}\n{}", server.log()),
            }
        }
        None
    }

    /// The domain of the accounts.
    #[must_use]
    pub fn domain(&self) -> &'static str {
        DOMAIN
    }

    /// The address of the room service.
    #[must_use]
    pub fn muc(&self) -> &'static str {
        MUC
    }

    /// Which software this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The port on 127.0.0.1 for streams that begin in clear.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.starttls
    }

    /// The port on 127.0.0.1 for streams in TLS from the first byte (XEP-0368).
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.ports.tls
    }

    /// The certificate (PEM) of the authority that signed the server's.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.pki.ca
    }

    /// The server's certificate and its authority's (PEM).
    #[must_use]
    pub fn certificate_file(&self) -> &Path {
        &self.pki.chain
    }

    /// The directory that the server lives in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.process.directory()
    }

    /// The process id, while the server runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Makes an account, which lasts over restarts. The [`ACCOUNTS`] exist already.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn user(&self, name: &str, password: &str) {
        let account = Account {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        match self.kind {
            Kind::Prosody => prosody::register(self.directory(), &account),
            // One that does not run hears of the account when it starts again.
            Kind::Ejabberd if self.process.id().is_none() => {}
            Kind::Ejabberd => ejabberd::register(&self.ports, &account),
        }
        self.accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(account);
    }

    /// Runs an administration command of ejabberd's (as `ejabberdctl` has them) with arguments in
    /// JSON, and returns the HTTP answer as it came. `None` on Prosody, which has no such thing.
    #[must_use]
    pub fn admin(&self, command: &str, arguments: &str) -> Option<String> {
        match self.kind {
            Kind::Prosody => None,
            Kind::Ejabberd => Some(ejabberd::command(&self.ports, command, arguments)),
        }
    }

    /// Kills the server at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the server to shut down, and waits until it has.
    pub fn stop(&mut self) {
        self.process.stop(STOP_PATIENCE);
    }

    /// Starts the server again on the same ports and the same data, shutting it down first if it
    /// runs. After [`kill`](Self::kill) this is what follows a crash.
    ///
    /// # Panics
    ///
    /// When the server does not start: with its log.
    pub fn restart(&mut self) {
        self.stop();
        if let Err(failure) = self.launch() {
            panic!(
                "{} did not start again: {failure:?}\n{}",
                self.kind,
                self.log()
            );
        }
    }

    /// What the server logged so far, for messages about failures.
    #[must_use]
    pub fn log(&self) -> String {
        let output = fs::read(self.process.output()).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }

    fn create(kind: Kind, options: ServerOptions) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("parley-xmpp-")
            .tempdir()
            .expect("a temporary directory")
            // The guard removes it.
            .keep();
        let process = Supervised::new(directory);
        let pki = Pki::create(process.directory(), options.certificate);
        let accounts: Vec<Account> = ACCOUNTS
            .iter()
            .map(|name| Account {
                name: (*name).to_owned(),
                password: format!("secret-{name}"),
            })
            .collect();
        if kind == Kind::Prosody {
            for account in &accounts {
                prosody::register(process.directory(), account);
            }
        }
        Self {
            kind,
            options,
            ports: free_ports(),
            pki,
            accounts: Mutex::new(accounts),
            process,
        }
    }

    fn launch(&mut self) -> Result<(), Failure> {
        let directory = self.process.directory();
        let launch = match self.kind {
            Kind::Prosody => prosody::prepare(directory, &self.ports, &self.pki, &self.options),
            Kind::Ejabberd => {
                let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
                ejabberd::prepare(directory, &self.ports, &self.pki, &self.options, &accounts)
            }
        };
        let (ready, port_taken) = match self.kind {
            Kind::Prosody => (prosody::ready_lines(&self.ports), prosody::PORT_TAKEN),
            Kind::Ejabberd => (ejabberd::ready_lines(&self.ports), ejabberd::PORT_TAKEN),
        };
        let seen = self.log().len();
        self.process.start(&launch);

        let deadline = Instant::now() + START_PATIENCE;
        loop {
            // In this order: what a process that has ended printed is complete.
            let exited = self.process.exited();
            let log = self.log();
            let news = log.get(seen..).unwrap_or_default();
            if news.contains(port_taken) {
                return Err(Failure::PortTaken);
            }
            if exited.is_some() {
                return Err(Failure::Exited);
            }
            // The log first: the port alone could be answered by another test's server.
            if ready.iter().all(|line| news.contains(line)) && answers(self.ports.starttls) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::TooSlow);
            }
            thread::sleep(STEP);
        }
    }
}

/// Why a server is not there.
#[derive(Debug)]
enum Failure {
    PortTaken,
    Exited,
    TooSlow,
}

/// Chooses ports that nobody listens on.
///
/// They lie below the range that the kernel gives out by itself, so that no client's connection and
/// no test's listener lands on them while a server is down between two starts.
fn free_ports() -> Ports {
    let mut random = RandomState::new().build_hasher();
    random.write_u8(0);
    let start = random.finish();
    let mut free = (0..)
        .map(|step: u64| 20_000 + (start.wrapping_add(step) % 12_000))
        .filter_map(|port| u16::try_from(port).ok())
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let mut next = || free.next().expect("a free port");
    Ports {
        starttls: next(),
        tls: next(),
        admin: next(),
    }
}

/// Whether a server answers the header of a stream on this port.
fn answers(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    if stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .is_err()
        || stream.write_all(header.as_bytes()).is_err()
    {
        return false;
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend(buffer.iter().take(length));
        if String::from_utf8_lossy(&answer).contains("<stream:features") {
            let _ = stream.write_all(b"</stream:stream>");
            return true;
        }
    }
    false
}
