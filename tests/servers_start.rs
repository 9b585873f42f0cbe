//! The harness for real servers does what the other integration tests rely on: each variant starts,
//! offers what it should, survives a restart, and leaves nothing behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking, and real processes need a real clock"
)]

mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::{Certificate, Kind, Passwords, Server, ServerOptions};

/// Set by the test that runs itself as a child, to see what that child leaves behind.
const ORPHAN: &str = "PARLEY_XMPP_TEST_ORPHAN";

/// A stream of either sort.
trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    stream
}

/// Reads until `end` has come, and returns all up to there.
fn read_until(stream: &mut dyn Duplex, end: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1..) => text.extend(byte),
            other => panic!(
                "{end} did not come ({other:?}), only: {}",
                String::from_utf8_lossy(&text)
            ),
        }
        if text.ends_with(end.as_bytes()) {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
}

/// Opens a stream and returns the features that the server offers.
fn features(stream: &mut dyn Duplex) -> String {
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{}' version='1.0' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        support::DOMAIN
    );
    stream.write_all(header.as_bytes()).expect("a header sent");
    stream.flush().expect("a header sent");
    let answer = read_until(stream, "</stream:features>");
    let begin = answer.find("<stream:features").expect("features");
    answer.split_at(begin).1.to_owned()
}

/// Asks for `request` and returns the answer up to `end`.
fn ask(stream: &mut dyn Duplex, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).expect("a request");
    stream.flush().expect("a request");
    read_until(stream, end)
}

/// Does a TLS handshake that trusts only the server's own authority and expects its domain.
fn tls(stream: TcpStream, ca: &Path) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("a file of certificates") {
        roots
            .add(certificate.expect("a certificate"))
            .expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(support::DOMAIN).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(connection, stream);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// Logs in by PLAIN within TLS, and returns the features that follow.
fn log_in(stream: &mut dyn Duplex, name: &str, password: &str) -> String {
    let offered = features(stream);
    assert!(
        offered.contains("<mechanism>PLAIN</mechanism>"),
        "{offered}"
    );
    let initial = STANDARD.encode(format!("\0{name}\0{password}"));
    let auth = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{initial}</auth>"
    );
    let answer = ask(stream, &auth, ">");
    assert!(answer.starts_with("<success"), "{name}: {answer}");
    if !answer.ends_with("/>") {
        read_until(stream, "</success>");
    }
    features(stream)
}

fn bind(stream: &mut dyn Duplex) {
    let bound = ask(
        stream,
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <resource>r</resource></bind></iq>",
        "</iq>",
    );
    assert!(bound.contains("/r</jid>"), "{bound}");
}

fn mechanisms(features: &str) -> Vec<&str> {
    features
        .split("<mechanism>")
        .skip(1)
        .filter_map(|rest| rest.split_once('<'))
        .map(|(name, _)| name)
        .collect()
}

/// Runs a test against each server, with its log in the output if it fails.
fn each(options: &ServerOptions, test: impl Fn(&mut Server)) {
    for kind in Kind::ALL {
        let begin = Instant::now();
        if let Some(mut server) = Server::start(kind, options.clone()) {
            println!("{kind} started in {:?}", begin.elapsed());
            test(&mut server);
            let begin = Instant::now();
            drop(server);
            println!("{kind} removed in {:?}", begin.elapsed());
        }
    }
}

fn refusal(server: &Server) -> String {
    tls(tcp(server.tls_port()), server.ca_file())
        .map(|_| ())
        .expect_err("a refused certificate")
        .to_string()
}

#[test]
fn the_plain_port_offers_starttls_and_login() {
    each(&ServerOptions::default(), |server| {
        let offered = features(&mut tcp(server.port()));
        println!("{} in clear: {offered}", server.kind());
        assert!(offered.contains("<starttls "), "{offered}");
        assert!(!offered.contains("<required"), "{offered}");
        let mechanisms = mechanisms(&offered);
        assert!(mechanisms.contains(&"SCRAM-SHA-1"), "{offered}");
    });
}

#[test]
fn without_plaintext_starttls_is_required() {
    let options = ServerOptions {
        plaintext_allowed: false,
        ..ServerOptions::default()
    };
    each(&options, |server| {
        let offered = features(&mut tcp(server.port()));
        println!("{} TLS required: {offered}", server.kind());
        assert!(offered.contains("<starttls "), "{offered}");
        assert!(offered.contains("<required"), "{offered}");
        assert!(mechanisms(&offered).is_empty(), "{offered}");
    });
}

#[test]
fn without_starttls_only_login_is_offered() {
    let options = ServerOptions {
        starttls: false,
        ..ServerOptions::default()
    };
    each(&options, |server| {
        let offered = features(&mut tcp(server.port()));
        println!("{} no STARTTLS: {offered}", server.kind());
        assert!(!offered.contains("<starttls"), "{offered}");
        assert!(mechanisms(&offered).contains(&"SCRAM-SHA-1"), "{offered}");
        tls(tcp(server.tls_port()), server.ca_file()).expect("direct TLS all the same");
    });
}

#[test]
fn each_store_of_passwords_has_its_mechanisms() {
    for (passwords, expected) in [
        (Passwords::Plain, &["SCRAM-SHA-1", "SCRAM-SHA-256"][..]),
        (Passwords::Sha256, &["SCRAM-SHA-256"][..]),
    ] {
        let options = ServerOptions {
            passwords,
            ..ServerOptions::default()
        };
        each(&options, |server| {
            let mut stream = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS");
            let offered = features(&mut stream);
            println!("{} {passwords:?} in TLS: {offered}", server.kind());
            let mechanisms = mechanisms(&offered);
            for name in expected {
                assert!(mechanisms.contains(name), "{offered}");
            }
            let mut stream = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS");
            log_in(&mut stream, "alice", "secret-alice");
        });
    }
}

#[test]
fn a_good_certificate_is_accepted_by_both_ways_into_tls() {
    each(&ServerOptions::default(), |server| {
        let mut direct = tls(tcp(server.tls_port()), server.ca_file()).expect("direct TLS");
        let offered = features(&mut direct);
        println!(
            "{} in direct TLS ({:?}): {offered}",
            server.kind(),
            direct.conn.protocol_version()
        );
        assert!(mechanisms(&offered).contains(&"SCRAM-SHA-1"), "{offered}");

        let mut plain = tcp(server.port());
        features(&mut plain);
        let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        let answer = ask(&mut plain, starttls, ">");
        assert!(answer.starts_with("<proceed"), "{answer}");
        let mut upgraded = tls(plain, server.ca_file()).expect("STARTTLS");
        let offered = features(&mut upgraded);
        println!("{} after STARTTLS: {offered}", server.kind());
        assert!(!offered.contains("<starttls"), "{offered}");
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let options = ServerOptions {
        certificate: Certificate::WrongName,
        ..ServerOptions::default()
    };
    each(&options, |server| {
        let refusal = refusal(server);
        println!("{} wrong name: {refusal}", server.kind());
        assert!(refusal.contains("not valid for name"), "{refusal}");
        assert!(features(&mut tcp(server.port())).contains("<starttls "));
    });
}

#[test]
fn an_expired_certificate_is_refused() {
    let options = ServerOptions {
        certificate: Certificate::Expired,
        ..ServerOptions::default()
    };
    each(&options, |server| {
        let refusal = refusal(server);
        println!("{} expired: {refusal}", server.kind());
        assert!(refusal.to_lowercase().contains("expired"), "{refusal}");
        assert!(features(&mut tcp(server.port())).contains("<starttls "));
    });
}

#[test]
fn accounts_and_archived_rooms_outlive_a_restart() {
    each(&ServerOptions::default(), |server| {
        server.user("da-ve.2", "a \"pass\\word\" ö");
        let mut stream = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS");
        let offered = log_in(&mut stream, "da-ve.2", "a \"pass\\word\" ö");
        println!("{} after login: {offered}", server.kind());
        bind(&mut stream);
        let muc = server.muc();
        let join = format!(
            "<presence to='room@{muc}/dave'><x xmlns='http://jabber.org/protocol/muc'>\
             <history maxstanzas='0'/></x></presence>"
        );
        stream.write_all(join.as_bytes()).expect("a join");
        // The last thing of a join is the message with the room's subject.
        read_until(&mut stream, "</message>");
        // A room for members only: what the creator can ask for while the room is new.
        let configure = format!(
            "<iq type='set' id='c' to='room@{muc}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_membersonly'><value>1</value></field></x></query></iq>"
        );
        stream.write_all(configure.as_bytes()).expect("a request");
        let post = format!(
            "<message type='groupchat' id='m' to='room@{muc}'><body>remember</body></message>"
        );
        let reflection = ask(&mut stream, &post, "remember</body>");
        println!("{} configured and posted: {reflection}", server.kind());
        assert!(reflection.contains("type='result'"), "{reflection}");
        read_until(&mut stream, "</message>");
        drop(stream);

        let port = server.port();
        let begin = Instant::now();
        server.restart();
        println!("{} restarted in {:?}", server.kind(), begin.elapsed());
        assert_eq!(server.port(), port);
        let mut stream = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS again");
        log_in(&mut stream, "da-ve.2", "a \"pass\\word\" ö");
        bind(&mut stream);
        let query =
            format!("<iq type='set' id='q' to='room@{muc}'><query xmlns='urn:xmpp:mam:2'/></iq>");
        let archived = ask(&mut stream, &query, "</fin>");
        assert!(archived.contains("remember</body>"), "{archived}");
        drop(stream);

        let mut bob = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS");
        log_in(&mut bob, "bob", "secret-bob");
        bind(&mut bob);
        let join = join.replace("/dave", "/bob");
        let refused = ask(&mut bob, &join, "</presence>");
        assert!(refused.contains("<registration-required"), "{refused}");
    });
}

#[test]
fn a_killed_server_is_gone_and_comes_back() {
    each(&ServerOptions::default(), |server| {
        let id = server.process_id().expect("a process");
        server.kill();
        assert!(server.process_id().is_none());
        assert!(!alive(id));
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).is_err());
        let begin = Instant::now();
        server.restart();
        println!("{} back in {:?}", server.kind(), begin.elapsed());
        let mut stream = tls(tcp(server.tls_port()), server.ca_file()).expect("TLS");
        log_in(&mut stream, "carol", "secret-carol");
    });
}

#[test]
fn dropping_a_server_leaves_nothing() {
    for kind in Kind::ALL {
        if let Some(server) = Server::start(kind, ServerOptions::default()) {
            let id = server.process_id().expect("a process");
            let directory = server.directory().to_owned();
            drop(server);
            assert!(!alive(id));
            assert!(!directory.exists());
        }
    }
}

/// Run by [`nothing_outlives_the_test_process`] in a process of its own; does nothing otherwise.
#[test]
fn orphan() {
    static SERVERS: OnceLock<Vec<Server>> = OnceLock::new();
    if std::env::var_os(ORPHAN).is_none() {
        return;
    }
    let servers = SERVERS.get_or_init(|| {
        Kind::ALL
            .into_iter()
            .filter_map(|kind| Server::start(kind, ServerOptions::default()))
            .collect()
    });
    for server in servers {
        let id = server.process_id().expect("a process");
        println!("server {id} {}", server.directory().display());
    }
    println!("servers end");
    thread::sleep(Duration::from_secs(600));
}

/// The worst end: the test process is killed while servers run in a `static`.
#[test]
fn nothing_outlives_the_test_process() {
    let mut child = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["orphan", "--exact", "--nocapture"])
        .env(ORPHAN, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test's program");
    let mut servers = Vec::new();
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    for line in output.lines().map_while(Result::ok) {
        // The test runner writes its own words to the same line.
        if let Some((_, rest)) = line.split_once("server ") {
            let (id, directory) = rest.split_once(' ').expect("an id and a directory");
            servers.push((id.parse().expect("an id"), directory.to_owned()));
        } else if line.contains("servers end") {
            break;
        }
    }
    assert!(servers.iter().all(|(id, _)| alive(*id)), "{servers:?}");
    child.kill().expect("an end");
    child.wait().expect("an end");

    let deadline = Instant::now() + Duration::from_secs(20);
    let left = || {
        servers
            .iter()
            .any(|(id, directory)| alive(*id) || Path::new(directory).exists())
    };
    while left() {
        assert!(Instant::now() < deadline, "something is left: {servers:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process runs. One that has ended and only waits to be noticed does not.
fn alive(id: u32) -> bool {
    let output = Command::new("ps")
        .args(["-o", "stat=", "-p", &id.to_string()])
        .output()
        .expect("ps");
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
