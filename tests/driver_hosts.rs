//! The driver against peers that no real server is: silent, lying, hanging up.
#![cfg(feature = "tokio")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

use std::time::Duration;

use parley_xmpp::OfflineCause;
use parley_xmpp::tokio::{Client, ConnectError, Settings, TlsMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='1' from='parley.local' version='1.0'>";
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
    <required/></starttls></stream:features>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

async fn listen() -> (TcpListener, Settings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let service = format!("xmpp://{}", listener.local_addr().expect("an address"));
    let settings = Settings::new(&service, "parley.local", "ana", "secret").expect("settings");
    (listener, settings)
}

/// Reads until the peer has said `what`.
async fn hear(tcp: &mut TcpStream, what: &str) {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&heard).contains(what) {
        let count = tcp.read(&mut buffer).await.expect("to read");
        assert_ne!(
            count,
            0,
            "hung up before {what}: {}",
            String::from_utf8_lossy(&heard)
        );
        heard.extend_from_slice(&buffer[..count]);
    }
}

async fn say(tcp: &mut TcpStream, what: &str) {
    tcp.write_all(what.as_bytes()).await.expect("to write");
}

/// What becomes of a client whose server is `script`.
async fn against<F: Future<Output = ()>>(
    change: impl FnOnce(Settings) -> Settings,
    script: impl FnOnce(TcpStream) -> F,
) -> ConnectError {
    let (listener, settings) = listen().await;
    let server = async {
        let (tcp, _) = listener.accept().await.expect("a client");
        script(tcp).await;
    };
    let both = async { tokio::join!(Client::connect(change(settings)), server).0 };
    match timeout(Duration::from_secs(20), both)
        .await
        .expect("an end")
    {
        Err(error) => error,
        Ok(client) => panic!("connected as {}", client.jid()),
    }
}

fn impatient(mut settings: Settings) -> Settings {
    settings.config.timing.negotiation = Duration::from_millis(200);
    settings.config.timing.close = Duration::from_millis(200);
    settings
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let error = against(impatient, |mut tcp| async move {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert!(
        matches!(error, ConnectError::Stream(OfflineCause::TimedOut(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told_from_a_silent_one() {
    let error = against(impatient, |tcp| async move { drop(tcp) }).await;
    assert!(
        matches!(
            error,
            ConnectError::Stream(OfflineCause::PeerClosed | OfflineCause::Transport(_))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_byte_may_come_between_the_agreement_on_tls_and_tls() {
    for late in [false, true] {
        let error = against(impatient, |mut tcp| async move {
            hear(&mut tcp, "<stream:stream").await;
            say(&mut tcp, &format!("{HEADER}{STARTTLS}")).await;
            hear(&mut tcp, "<starttls").await;
            if late {
                say(&mut tcp, PROCEED).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                say(&mut tcp, "<presence/>").await;
            } else {
                say(&mut tcp, &format!("{PROCEED}<presence/>")).await;
            }
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        })
        .await;
        // At once the engine sees it; later it is no TLS.
        let injected = matches!(error, ConnectError::Stream(OfflineCause::PeerMisbehaved(_)));
        let no_tls = matches!(error, ConnectError::Tls { .. });
        assert!(if late { no_tls } else { injected }, "{late}: {error:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let error = against(impatient, |mut tcp| async move {
        hear(&mut tcp, "<stream:stream").await;
        say(&mut tcp, &format!("{HEADER}{STARTTLS}")).await;
        hear(&mut tcp, "<starttls").await;
        say(&mut tcp, PROCEED).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert!(
        matches!(error, ConnectError::Stream(OfflineCause::TimedOut(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_in_clear_on_the_port_of_tls_is_told() {
    let (listener, _) = listen().await;
    let service = format!("xmpps://{}", listener.local_addr().expect("an address"));
    let settings = Settings::new(&service, "parley.local", "ana", "secret").expect("settings");
    let server = async {
        let (mut tcp, _) = listener.accept().await.expect("a client");
        say(&mut tcp, HEADER).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    };
    let (result, ()) = tokio::join!(Client::connect(settings.tls(TlsMode::Required)), server);
    let error = result.map(|client| client.jid()).expect_err("no TLS there");
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    assert!(error.remedy().expect("a remedy").contains("xmpps://"));
}

#[tokio::test]
async fn a_connection_that_nobody_waits_for_any_more_is_dropped() {
    let (listener, settings) = listen().await;
    let connecting = tokio::spawn(Client::connect(impatient(settings)));
    let (mut tcp, _) = listener.accept().await.expect("a client");
    hear(&mut tcp, "<stream:stream").await;
    connecting.abort();
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(10), tcp.read_to_end(&mut rest)).await;
    drop(end.expect("the client to hang up"));
}

/// With time that jumps, days pass at once: no timer may spin, and each attempt
/// must come to its end.
#[tokio::test(start_paused = true)]
async fn attempts_go_on_for_days_without_a_server() {
    let (listener, settings) = listen().await;
    drop(listener);
    let connecting = tokio::spawn(Client::connect(settings.keep_trying(true)));
    tokio::time::sleep(Duration::from_secs(3 * 24 * 60 * 60)).await;
    assert!(!connecting.is_finished());
    connecting.abort();
}

/// RFC 6120 section 4.4: who closes a stream "MUST send a TLS close_notify alert".
#[tokio::test]
async fn a_stream_under_tls_ends_with_a_close_notify() {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    let made = rcgen::generate_simple_self_signed(["parley.local".to_owned()]).expect("a key");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).expect("to write");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            config
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
        })
        .expect("a configuration");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let error = against(
        |settings| settings.tls(TlsMode::Required).ca_file(&file),
        |mut tcp| async move {
            hear(&mut tcp, "<stream:stream").await;
            say(&mut tcp, &format!("{HEADER}{STARTTLS}")).await;
            hear(&mut tcp, "<starttls").await;
            say(&mut tcp, PROCEED).await;
            let mut tls = acceptor.accept(tcp).await.expect("a handshake");
            let reset = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                         </stream:error></stream:stream>";
            tls.write_all(format!("{HEADER}{reset}").as_bytes())
                .await
                .expect("to write");
            // Without the alert this is an error: the end could be somebody else's cut.
            let mut all = Vec::new();
            tls.read_to_end(&mut all).await.expect("a whole stream");
            assert!(String::from_utf8_lossy(&all).ends_with("</stream:stream>"));
        },
    )
    .await;
    assert!(
        matches!(
            error,
            ConnectError::Stream(OfflineCause::StreamError { .. })
        ),
        "{error:?}"
    );
}
