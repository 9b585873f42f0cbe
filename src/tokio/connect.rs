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
use super::service::{HostPort, Service};
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
        let loopback = tcp
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
mod tests {
    use super::super::error::CertificateProblem;
    use super::*;
    use ::tokio::net::TcpListener;
    use ::tokio::task::JoinHandle;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
    };
    use sha2::{Digest as _, Sha256};
    use std::{env, fs, process};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, crypto, version};

    /// The account's domain is kept as its U-label (RFC 7622, section 3.2.1); the DNS and
    /// certificates have the A-label.
    #[test]
    #[cfg(feature = "precis")]
    fn a_domain_beyond_ascii_is_looked_up_and_verified_by_its_a_label() {
        let domain = "B\u{fc}cher.example";
        for (service, host) in [
            (domain, Service::Domain("xn--bcher-kva.example".into())),
            (
                "xmpp://b\u{fc}cher.example:5299",
                Service::Tcp {
                    host: "xn--bcher-kva.example".into(),
                    port: 5299,
                },
            ),
        ] {
            let settings = Settings::new(service, domain, "ana", "secret").unwrap();
            let connector = Connector::new(&settings).unwrap();
            assert_eq!(connector.name, "xn--bcher-kva.example");
            assert_eq!(connector.service, host);
            assert!(tls::server_name(&connector.name).is_ok());
        }
    }

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        named("authority")
    }

    fn named(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// What a server was asked for by those who connected.
    #[derive(Debug)]
    struct Seen {
        name: Option<String>,
        alpn: Option<Vec<u8>>,
        exporter: Vec<u8>,
    }

    /// A TLS server for one connection.
    async fn server(
        params: CertificateParams,
        issuer: Option<&Authority>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> (u16, Vec<u8>, JoinHandle<Option<Seen>>) {
        let key = KeyPair::generate().unwrap();
        let certificate = match issuer {
            Some(issuer) => params.signed_by(&key, issuer).unwrap(),
            None => params.self_signed(&key).unwrap(),
        };
        let der = certificate.der().to_vec();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    alloc::vec![certificate.into()],
                    PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
                )
                .unwrap();
        config.alpn_protocols = alloc::vec![b"xmpp-client".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = ::tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.ok()?;
            let connection = stream.get_ref().1;
            let exporter = connection
                .export_keying_material(Vec::from([0; 32]), b"EXPORTER-Channel-Binding", Some(b""))
                .unwrap();
            let (name, alpn) = (
                connection.server_name().map(Into::into),
                connection.alpn_protocol().map(<[u8]>::to_vec),
            );
            Some(Seen {
                name,
                alpn,
                exporter,
            })
        });
        (port, der, task)
    }

    fn example(names: &[&str]) -> CertificateParams {
        CertificateParams::new(
            names
                .iter()
                .map(|name| String::from(*name))
                .collect::<Vec<_>>(),
        )
        .unwrap()
    }

    /// The authority's certificate as a file, and the settings that trust it.
    fn trusting(label: &str, authority: &Authority, port: u16) -> Settings {
        let path = env::temp_dir().join(format!("parley-xmpp-{}-{label}.pem", process::id()));
        fs::write(&path, authority.pem()).unwrap();
        Settings::new(
            &format!("xmpps://127.0.0.1:{port}"),
            "example.org",
            "ana",
            "secret",
        )
        .unwrap()
        .ca_file(path)
    }

    async fn open(settings: Settings) -> Result<Opened, ConnectError> {
        let opened = Arc::new(Connector::new(&settings)?).open().await;
        if let Some(path) = &settings.ca_file {
            let _ = fs::remove_file(path);
        }
        opened
    }

    /// RFC 6120 section 3.2.1: where a target fails, the next one is tried.
    #[::tokio::test]
    async fn the_next_target_is_tried_where_one_fails() {
        let authority = authority();
        let (untrusted, _, _) = server(example(&["example.org"]), None, &[&version::TLS13]).await;
        let (port, _, _) = server(
            example(&["example.org"]),
            Some(&authority),
            &[&version::TLS13],
        )
        .await;
        let target = |port, direct_tls| Target {
            host: "127.0.0.1".into(),
            port,
            direct_tls,
        };
        let settings = trusting("targets", &authority, port);
        let connector = Connector::new(&settings).unwrap();
        let good = [
            target(1, false),
            target(untrusted, true),
            target(port, true),
        ];
        assert!(connector.open_first(&good).await.is_ok());
        // Where none works, the one that got furthest says why.
        let (untrusted, _, _) = server(example(&["example.org"]), None, &[&version::TLS13]).await;
        let bad = [target(untrusted, true), target(1, false)];
        let error = connector.open_first(&bad).await.err().unwrap();
        assert!(
            matches!(error, ConnectError::Certificate { .. }),
            "{error:?}"
        );
        if let Some(path) = &settings.ca_file {
            let _ = fs::remove_file(path);
        }
    }

    #[::tokio::test]
    async fn direct_tls_asks_for_the_domain_and_binds_to_the_channel() {
        let authority = authority();
        let (port, der, task) = server(
            example(&["example.org"]),
            Some(&authority),
            &[&version::TLS13],
        )
        .await;
        let opened = open(trusting("direct", &authority, port)).await.unwrap();
        let seen = task.await.unwrap().unwrap();
        assert_eq!(seen.name.as_deref(), Some("example.org"));
        assert_eq!(seen.alpn.as_deref(), Some(ALPN));
        let Security::Tls(binding) = opened.security else {
            panic!("{:?}", opened.security)
        };
        assert_eq!(binding.exporter, Some(seen.exporter));
        assert_eq!(
            binding.server_end_point,
            Some(Sha256::digest(&der).to_vec())
        );
        assert_eq!(opened.tls.unwrap().version, "TLSv1.3");
    }

    const ALPN: &[u8] = b"xmpp-client";

    #[::tokio::test]
    async fn an_older_tls_exports_no_binding() {
        let authority = authority();
        let (port, _, _task) = server(
            example(&["example.org"]),
            Some(&authority),
            &[&version::TLS12],
        )
        .await;
        let opened = open(trusting("tls12", &authority, port)).await.unwrap();
        let Security::Tls(binding) = opened.security else {
            panic!("{:?}", opened.security)
        };
        assert_eq!(binding.exporter, None);
        assert!(binding.server_end_point.is_some());
    }

    #[::tokio::test]
    async fn what_is_wrong_with_a_certificate_is_told() {
        let (authority, again, other) = (authority(), authority(), named("other"));
        let mut expired = example(&["example.org"]);
        expired.not_after = date_time_ymd(2020, 1, 1);
        expired.not_before = date_time_ymd(2019, 1, 1);
        let mut early = example(&["example.org"]);
        early.not_before = date_time_ymd(2999, 1, 1);
        early.not_after = date_time_ymd(3000, 1, 1);
        for (label, params, issuer, problem, words) in [
            (
                "expired",
                expired,
                &authority,
                CertificateProblem::Expired,
                "days ago",
            ),
            (
                "early",
                early,
                &authority,
                CertificateProblem::NotYetValid,
                "not valid yet",
            ),
            (
                "name",
                example(&["host.example"]),
                &authority,
                CertificateProblem::WrongName,
                "but to host.example",
            ),
            (
                "issuer",
                example(&["example.org"]),
                &other,
                CertificateProblem::UnknownIssuer,
                "nobody",
            ),
            (
                "again",
                example(&["example.org"]),
                &again,
                CertificateProblem::UnknownIssuer,
                "another key",
            ),
        ] {
            let (port, _, _task) = server(params, Some(issuer), &[&version::TLS13]).await;
            match open(trusting(label, &authority, port)).await.err() {
                Some(ConnectError::Certificate {
                    problem: found,
                    detail,
                }) => {
                    assert_eq!(found, problem, "{label}: {detail}");
                    assert!(detail.contains(words), "{label}: {detail}");
                }
                result => panic!("{label}: {result:?}"),
            }
        }
    }

    #[::tokio::test]
    async fn an_authority_is_not_a_server() {
        let authority = authority();
        let mut params = example(&["example.org"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (port, _, _task) = server(params, Some(&authority), &[&version::TLS13]).await;
        let error = open(trusting("authority", &authority, port)).await.err();
        let problem = CertificateProblem::Authority;
        assert!(
            matches!(&error, Some(ConnectError::Certificate { problem: p, .. }) if *p == problem),
            "{error:?}"
        );
    }

    #[::tokio::test]
    async fn the_name_to_verify_can_be_another() {
        let authority = authority();
        let (port, _, task) = server(
            example(&["host.example"]),
            Some(&authority),
            &[&version::TLS13],
        )
        .await;
        open(trusting("other-name", &authority, port).tls_name("host.example"))
            .await
            .unwrap();
        assert_eq!(
            task.await.unwrap().unwrap().name.as_deref(),
            Some("host.example")
        );
    }

    #[::tokio::test]
    async fn a_file_without_certificates_is_named() {
        let path = env::temp_dir().join(format!("parley-xmpp-{}-empty.pem", process::id()));
        fs::write(&path, "nothing").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = format!("xmpps://{}", listener.local_addr().unwrap());
        let settings = Settings::new(&service, "example.org", "ana", "secret")
            .unwrap()
            .ca_file(&path);
        let error = open(settings).await.err().unwrap();
        assert!(
            error.to_string().contains("holds no certificate"),
            "{error}"
        );
    }

    /// A port that nobody listens on.
    async fn closed_port() -> u16 {
        TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    }

    #[::tokio::test]
    async fn a_closed_port_is_named() {
        let port = closed_port().await;
        let error = dial("127.0.0.1", port).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")),
            "{error}"
        );
        assert!(error.remedy().unwrap().contains("running"));
    }

    #[::tokio::test]
    async fn the_next_server_is_tried_and_the_furthest_failure_told() {
        let authority = authority();
        let target = |port, direct_tls| Target {
            host: "127.0.0.1".into(),
            port,
            direct_tls,
        };
        let (bad, _, _task) = server(
            example(&["host.example"]),
            Some(&authority),
            &[&version::TLS13],
        )
        .await;
        let closed = closed_port().await;
        let settings = trusting("targets", &authority, 1);
        let connector = Connector::new(&settings).unwrap();
        let error = connector
            .open_first(&[target(bad, true), target(closed, false)])
            .await
            .err()
            .unwrap();
        assert!(matches!(error, ConnectError::Certificate { .. }), "{error}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap().port();
        let opened = connector
            .open_first(&[target(closed, true), target(good, false)])
            .await
            .unwrap();
        assert_eq!(opened.security, Security::Clear { loopback: true });
        let Socket::Clear(tcp) = opened.socket else {
            panic!("not in clear")
        };
        assert!(tcp.nodelay().unwrap());
        fs::remove_file(settings.ca_file.unwrap()).unwrap();
    }
}
