//! Opening transports: names to addresses, TCP, TLS.
//!
//! RFC 6120 section 3.2, XEP-0368 v1.1.0. Addresses are tried one after the
//! other, each but the last for a bounded time. Nothing here retries: when and
//! whether another attempt is made is the engine's decision, and so is how long
//! one may take in all.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::path::PathBuf;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::{TcpStream, lookup_host};
use ::tokio::sync::OnceCell;
use ::tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use super::client::TlsInfo;
use super::error::ConnectError;
use super::service::{self, HostPort, Service};
use super::settings::Settings;
use super::srv::{self, Target};
use super::tls;
use crate::jid::BareJid;
use crate::{ChannelBinding, Security, TransportFailure, TransportFailureKind};

/// How long an address, or a server, may keep us from the next one.
const PATIENCE: Duration = Duration::from_secs(8);

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;

/// Spells a name beyond ASCII as the DNS does, if it can be one.
fn in_ascii(host: &mut String) {
    if !host.is_ascii()
        && let Ok(domain) = BareJid::new(None, host)
    {
        *host = domain.ascii_domain().into_owned();
    }
}

/// Opens the transports of one client.
#[derive(Debug)]
pub(super) struct Connector {
    service: Service,
    /// The name that the certificate must carry.
    name: String,
    trust: Trust,
}

#[derive(Debug)]
enum Trust {
    /// The program's own configuration.
    Given(Arc<ClientConfig>),
    /// Ours, made when it is first needed: without and with ALPN.
    Load {
        ca_file: Option<PathBuf>,
        made: OnceCell<(Arc<ClientConfig>, Arc<ClientConfig>)>,
    },
}

/// A transport as the engine is told of it.
pub(super) struct Opened {
    pub(super) socket: Socket,
    pub(super) security: Security,
    pub(super) tls: Option<TlsInfo>,
}

/// A connection after its TLS handshake.
pub(super) struct Secured {
    pub(super) socket: Socket,
    pub(super) binding: ChannelBinding,
    pub(super) tls: TlsInfo,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, ConnectError> {
        if let Some(name) = &settings.tls_name {
            tls::server_name(name).map_err(ConnectError::Settings)?;
        }
        let domain = settings.config.account().ascii_domain();
        let mut service = settings.service.clone();
        match &mut service {
            Service::Tcp { host, .. } | Service::DirectTls { host, .. } => in_ascii(host),
            Service::Domain(domain) => in_ascii(domain),
        }
        Ok(Self {
            service,
            name: settings.tls_name.as_deref().unwrap_or(&domain).to_owned(),
            trust: match &settings.tls_config {
                Some(config) => Trust::Given(Arc::clone(config)),
                None => Trust::Load {
                    ca_file: settings.ca_file.clone(),
                    made: OnceCell::new(),
                },
            },
        })
    }

    /// A new transport to the account's server.
    pub(super) async fn open(self: Arc<Self>) -> Result<Opened, ConnectError> {
        match &self.service {
            Service::Tcp { host, port } => self.open_one(host, *port, false).await,
            Service::DirectTls { host, port } => self.open_one(host, *port, true).await,
            Service::Domain(domain) => {
                let (direct, starttls) = srv::lookup(domain).await;
                let random = || {
                    let mut bytes = [0; 4];
                    // Without randomness the order is fixed, which is no harm.
                    let _ = tls::random(&mut bytes);
                    u32::from_ne_bytes(bytes)
                };
                let targets =
                    srv::order(domain, direct, starttls, random).map_err(|srv::NoService| {
                        ConnectError::Resolve {
                            detail: format!(
                                "{domain} says that it has no XMPP service for clients"
                            ),
                        }
                    })?;
                self.open_first(&targets).await
            }
        }
    }

    /// The first of the targets that works. The certificate is checked for the
    /// same name at each.
    async fn open_first(&self, targets: &[Target]) -> Result<Opened, ConnectError> {
        let mut worst = None;
        for (left, target) in (0..targets.len()).rev().zip(targets) {
            let attempt = self.open_one(&target.host, target.port, target.direct_tls);
            let result = if left == 0 {
                attempt.await
            } else {
                timeout(PATIENCE, attempt).await.unwrap_or_else(|_| {
                    Err(ConnectError::Connect {
                        detail: cannot(&target.host, target.port, "no answer in time"),
                    })
                })
            };
            match result {
                Ok(opened) => return Ok(opened),
                // What a server got furthest with says most.
                Err(error)
                    if worst
                        .as_ref()
                        .is_none_or(|worst| rank(&error) > rank(worst)) =>
                {
                    worst = Some(error)
                }
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or(ConnectError::Resolve {
            detail: "there is no server to try".into(),
        }))
    }

    async fn open_one(
        &self,
        host: &str,
        port: u16,
        direct_tls: bool,
    ) -> Result<Opened, ConnectError> {
        let tcp = dial(host, port).await?;
        if direct_tls {
            let secured = self.handshake(tcp, true).await?;
            let (socket, tls) = (secured.socket, Some(secured.tls));
            return Ok(Opened {
                socket,
                security: Security::Tls(secured.binding),
                tls,
            });
        }
        // Without TLS nothing says who is there, and answers of the DNS are not authenticated: they
        // do not make a server one of this machine.
        let loopback = self.service.is_loopback()
            && service::is_loopback(host)
            && tcp
                .peer_addr()
                .is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        Ok(Opened {
            socket: Socket::Clear(tcp),
            security: Security::Clear { loopback },
            tls: None,
        })
    }

    /// TLS on top of a connection that has agreed to it.
    pub(super) async fn secure(self: Arc<Self>, tcp: TcpStream) -> Result<Secured, ConnectError> {
        self.handshake(tcp, false).await
    }

    async fn handshake(&self, tcp: TcpStream, direct: bool) -> Result<Secured, ConnectError> {
        let config = self.trust.config(direct).await?;
        let name = tls::server_name(&self.name).map_err(ConnectError::Settings)?;
        let require_ems = config.require_ems;
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        let stream = stream.map_err(|error| tls::classify(&error, &self.name))?;
        let connection = stream.get_ref().1;
        Ok(Secured {
            binding: tls::channel_binding(connection, require_ems),
            tls: tls::info(connection),
            socket: Socket::Tls(Box::new(stream)),
        })
    }
}

impl Trust {
    async fn config(&self, direct: bool) -> Result<Arc<ClientConfig>, ConnectError> {
        let (ca_file, made) = match self {
            Self::Given(config) => return Ok(Arc::clone(config)),
            Self::Load { ca_file, made } => (ca_file, made),
        };
        let load = || async {
            let ca_file = ca_file.clone();
            // Some hundred files on some systems: not on a thread that serves sockets.
            let loaded =
                ::tokio::task::spawn_blocking(move || tls::config(ca_file.as_deref())).await;
            let config = loaded.map_err(|_| ConnectError::Closed)??;
            Ok::<_, ConnectError>((Arc::new(config.clone()), Arc::new(tls::with_alpn(&config))))
        };
        let (plain, alpn) = made.get_or_try_init(load).await?;
        Ok(Arc::clone(if direct { alpn } else { plain }))
    }
}

/// Connects to the first address of a host that takes it.
async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> = match lookup_host((host, port)).await {
        Ok(found) => found.take(MOST_ADDRESSES).collect(),
        Err(error) => {
            return Err(ConnectError::Resolve {
                detail: format!("no address for {}: {error}", host.escape_debug()),
            });
        }
    };
    let mut errors = String::new();
    for (left, address) in (0..addresses.len()).rev().zip(&addresses) {
        let attempt = TcpStream::connect(address);
        let result = if left == 0 {
            attempt.await
        } else {
            timeout(PATIENCE, attempt)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match result {
            Ok(tcp) => {
                // Without it a small stanza waits for the acknowledgement of the one before.
                if let Err(error) = tcp.set_nodelay(true) {
                    return Err(ConnectError::Connect {
                        detail: cannot(host, port, &error.to_string()),
                    });
                }
                return Ok(tcp);
            }
            Err(error) if addresses.len() == 1 => errors = error.to_string(),
            Err(error) => {
                let separator = if errors.is_empty() { "" } else { "; " };
                errors.push_str(&format!("{separator}{}: {error}", address.ip()));
            }
        }
    }
    if addresses.is_empty() {
        return Err(ConnectError::Resolve {
            detail: format!("no address for {}", host.escape_debug()),
        });
    }
    Err(ConnectError::Connect {
        detail: cannot(host, port, &errors),
    })
}

fn cannot(host: &str, port: u16, why: &str) -> String {
    format!("cannot connect to {}: {why}", HostPort(host, port))
}

/// How far an attempt got.
const fn rank(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Settings(_) => 5,
        ConnectError::Certificate { .. } => 4,
        ConnectError::Tls { .. } => 3,
        ConnectError::Connect { .. } => 2,
        _ => 1,
    }
}

/// What the engine is told of a failure.
pub(super) fn failure(error: &ConnectError) -> TransportFailure {
    let kind = match error {
        ConnectError::Resolve { .. } => TransportFailureKind::Resolve,
        ConnectError::Certificate { .. } => TransportFailureKind::Certificate,
        // No retry mends settings either.
        ConnectError::Settings(_) => TransportFailureKind::Certificate,
        ConnectError::Tls { .. } => TransportFailureKind::Tls,
        _ => TransportFailureKind::Connect,
    };
    let detail = match error {
        ConnectError::Resolve { detail }
        | ConnectError::Certificate { detail, .. }
        | ConnectError::Tls { detail }
        | ConnectError::Connect { detail } => detail.clone(),
        other => other.to_string(),
    };
    TransportFailure { kind, detail }
}

/// A connection, in clear or under TLS.
#[derive(Debug)]
pub(super) enum Socket {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
