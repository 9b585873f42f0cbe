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

/// S6: answers of the DNS are not authenticated, so they do not make a server one of this machine,
/// with which it would do without TLS.
#[::tokio::test]
async fn s06_a_name_that_resolves_to_loopback_is_no_loopback() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = |service: &str| Settings::new(service, "example.org", "ana", "secret").unwrap();
    for (service, host, loopback) in [
        // The target of an SRV record, whatever it is called.
        ("example.org", "127.0.0.1", false),
        ("example.org", "localhost", false),
        ("localhost", "localhost", true),
        ("xmpp://127.0.0.1", "127.0.0.1", true),
        ("xmpp://localhost", "localhost", true),
    ] {
        let connector = Connector::new(&settings(service)).unwrap();
        let target = Target {
            host: host.into(),
            port,
            direct_tls: false,
        };
        let opened = connector.open_first(&[target]).await.unwrap();
        assert_eq!(opened.security, Security::Clear { loopback }, "{service}");
    }
    // Not a name of the service's own that is one of ours in the hosts file only.
    for name in [
        "im.example.org",
        "127.0.0.1.example.org",
        "localhost.example.org",
    ] {
        let service: Service = format!("xmpp://{name}:{port}").parse().unwrap();
        assert!(!service.is_loopback(), "{name}");
    }
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
    assert!(matches!(opened.security, Security::Clear { .. }));
    let Socket::Clear(tcp) = opened.socket else {
        panic!("not in clear")
    };
    assert!(tcp.nodelay().unwrap());
    fs::remove_file(settings.ca_file.unwrap()).unwrap();
}
