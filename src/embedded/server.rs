//! The handle on a running server, and how one is set up.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use ::tokio::net::TcpListener;
use ::tokio::sync::oneshot;
use ::tokio::task::JoinHandle;
use ::tokio::time::Instant as Moment;

use super::certificate::{Identity, random};
use super::driver::{Driver, End};
use super::hub::{Hub, Notes, Shared};
use super::line::Carriage;
use crate::Instant;
use crate::sim::server::{Operation, Server, ServerSetup};
use crate::tokio::Settings;

/// Beyond it a client takes the server for dead.
const MOST_DELAY: Duration = Duration::from_secs(60);

/// How an embedded server is set up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmbeddedSetup {
    /// What the server is like. Its `wall_clock` is set to the system's when it starts.
    pub server: ServerSetup,
    /// Where it listens. Default: 127.0.0.1, on a port that is free.
    pub listen: SocketAddr,
    /// How long bytes wait before they are taken, and again before the answer is
    /// given, as on a slow link. Default: not at all. At most a minute.
    pub delay: Duration,
}

impl EmbeddedSetup {
    /// This server on a free port of 127.0.0.1, with ids and nonces of a random
    /// seed. For ids that are the same each time set `server.seed` afterwards.
    #[must_use]
    pub fn new(mut server: ServerSetup) -> Self {
        if let Some(seed) = random() {
            server.seed = seed;
        }
        Self {
            server,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            delay: Duration::ZERO,
        }
    }

    /// The same on links this slow, each way: so that something is under way when
    /// links are cut.
    #[must_use]
    pub const fn delay(mut self, each_way: Duration) -> Self {
        self.delay = each_way;
        self
    }

    /// The same at this address; port 0 is one that is free.
    ///
    /// Any address is taken. On one that strangers reach, a server for
    /// development is theirs too.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }
}

/// A server that runs in this process.
///
/// Tasks of the runtime carry it. It ends when [`close`](Self::close) is called, and
/// without a word to its clients soon after it is dropped. Any number can run side
/// by side; they share nothing.
///
/// It takes as many connections as
/// [`ServerSetup::connections`] says, and closes further ones at once. A client has
/// 15 seconds for its first byte, as many for the handshake of TLS, and is cut off
/// if it reads nothing for a minute of what there is for it.
#[derive(Debug)]
pub struct EmbeddedServer {
    shared: Arc<Shared>,
    identity: Arc<Identity>,
    setup: ServerSetup,
    address: SocketAddr,
    end: Option<oneshot::Sender<End>>,
    driver: Option<JoinHandle<()>>,
}

impl EmbeddedServer {
    /// Makes a certificate, listens, and serves. Resolves when clients can connect.
    ///
    /// Must be called within a tokio runtime with its clock and I/O enabled.
    ///
    /// # Errors
    /// If the address cannot be listened on, or the domain cannot be in a certificate.
    pub async fn start(setup: EmbeddedSetup) -> io::Result<Self> {
        let EmbeddedSetup {
            mut server,
            listen,
            delay,
        } = setup;
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let identity = Arc::new(Identity::create(&server.domain, address.ip())?);
        server.wall_clock = wall_clock();
        let setup = server.clone();
        let most = server.connections;
        let model = Server::new(server, Instant::ZERO);
        let shared = Arc::new(Shared::new(Hub::new(model, Moment::now())));
        let (end, ended) = oneshot::channel();
        let carriage = Carriage {
            shared: Arc::clone(&shared),
            identity: Arc::clone(&identity),
            delay: delay.min(MOST_DELAY),
        };
        let driver = Driver::new(carriage, listener, most);
        let driver = ::tokio::spawn(driver.run(ended));
        Ok(Self {
            shared,
            identity,
            setup,
            address,
            end: Some(end),
            driver: Some(driver),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it was set up.
    #[must_use]
    pub const fn setup(&self) -> &ServerSetup {
        &self.setup
    }

    /// The certificate to trust, as PEM: for [`Settings::ca_file`] and other programs.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.identity.ca_pem
    }

    /// The settings of a client for this account: by STARTTLS if the server offers it,
    /// else in clear.
    ///
    /// `None` if there is no such account, or one whose name or password cannot be
    /// used in a login. Knows the passwords of the setup, not those changed later.
    #[must_use]
    pub fn client_settings(&self, account: &str) -> Option<Settings> {
        let settings = self.settings("xmpp", account)?;
        if !self.setup.tls {
            return Some(settings);
        }
        Some(settings.tls_config(Arc::new(self.identity.client()?)))
    }

    /// The settings of a client for this account, with TLS from the first byte;
    /// otherwise as [`client_settings`](Self::client_settings).
    #[must_use]
    pub fn direct_tls_settings(&self, account: &str) -> Option<Settings> {
        let config = self.identity.direct_client()?;
        Some(
            self.settings("xmpps", account)?
                .tls_config(Arc::new(config)),
        )
    }

    fn settings(&self, scheme: &str, account: &str) -> Option<Settings> {
        let accounts = &self.setup.accounts;
        let (name, password) = accounts.iter().find(|(name, _)| name == account)?;
        let service = format!("{scheme}://{}", self.reachable());
        Settings::new(&service, &self.setup.domain, name, password).ok()
    }

    /// An address at which a client on this machine finds it.
    fn reachable(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port()).to_string()
    }

    /// Does something to the server that an operator, an accident or a rival would.
    ///
    /// It has happened when this returns; clients learn of it over their connections.
    /// After a [`Crash`](Operation::Crash) or a [`Stop`](Operation::Stop) the port
    /// stays ours, and connections to it are reset, until [`Start`](Operation::Start).
    pub fn operate(&self, operation: &Operation) {
        self.shared
            .lock()
            .act(|server, now| server.operate(now, operation));
    }

    /// Whether it is up, neither crashed nor stopped.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared.lock().server().is_up()
    }

    /// Breaks every connection by a reset, as when a link fails: what is on its way
    /// in either direction is lost. New ones are taken at once.
    pub fn cut_links(&self) {
        self.shared.lock().cut();
    }

    /// What the server does, in truth, from now on: whom it let in, what it accepted
    /// and archived. For whoever checks what clients believe.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.shared.lock().notes()
    }

    /// What the archive of a room holds, in truth and in its order, named by its bare
    /// address; nothing if there is no such room.
    #[must_use]
    pub fn archive(&self, room: &str) -> Vec<Archived> {
        let hub = self.shared.lock();
        let archive = hub.server().archive(room);
        archive
            .map(|message| Archived {
                id: message.archive_id.into(),
                nick: message.nick.into(),
                origin_id: message.origin_id.map(Into::into),
                body: message.body.into(),
                visible: message.visible,
            })
            .collect()
    }

    /// Ends the server in good order: streams are closed, and clients have two seconds
    /// to part. Resolves when nothing listens any more and every connection is gone.
    pub async fn close(mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(End::Gracefully);
        }
        if let Some(driver) = self.driver.take() {
            let _ = driver.await;
        }
    }
}

/// A message as a room's archive holds it. See [`EmbeddedServer::archive`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Archived {
    /// Its place.
    pub id: String,
    /// The sender's nick.
    pub nick: String,
    /// The id its sender gave it.
    pub origin_id: Option<String>,
    /// The text; empty for a tombstone.
    pub body: String,
    /// Whether who reads the archive sees it now; archives may lag.
    pub visible: bool,
}

/// Microseconds since 1970.
fn wall_clock() -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the driver, which alone asks the clock"
    )]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}
