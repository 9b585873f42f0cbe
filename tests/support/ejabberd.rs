//! ejabberd: its configuration, its accounts and how to run it.
//!
//! It runs as a plain Erlang program without a node name: there is no distribution, so no `epmd`, no
//! cookie, no name that two instances could dispute.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::pki::Pki;
use super::process::{Launch, find_program};
use super::{Account, DOMAIN, MUC, Passwords, Ports, ServerOptions};

/// The Debian package, for the message that it is missing.
pub(super) const PACKAGE: &str = "ejabberd";

/// The Debian package that lets it store in SQLite.
pub(super) const SQL_PACKAGE: &str = "erlang-p1-sqlite3";

/// What ejabberd logs when somebody else has one of the ports.
pub(super) const PORT_TAKEN: &str = "Failed to open socket";

/// What our own start-up expression prints once the accounts exist.
const ACCOUNTS_READY: &str = "harness: the accounts exist";

/// Whether ejabberd is installed.
pub(super) fn installed() -> bool {
    Installation::find().is_some()
}

/// Whether it can store in SQLite.
pub(super) fn sql_installed() -> bool {
    const FOUND: &str = "case code:which(sqlite3) of non_existing -> halt(1); _ -> halt(0) end.";
    let Some(installation) = Installation::find() else {
        return false;
    };
    let found = Command::new(installation.erl)
        .args(["-noshell", "-noinput", "-eval", FOUND])
        .env("ERL_LIBS", installation.libraries)
        .status();
    found.is_ok_and(|status| status.success())
}

/// What ejabberd prints once it listens on `ports` and knows the accounts.
pub(super) fn ready_lines(ports: &Ports) -> Vec<String> {
    vec![
        format!(
            "Start accepting TCP connections at 127.0.0.1:{}",
            ports.starttls
        ),
        format!("Start accepting TLS connections at 127.0.0.1:{}", ports.tls),
        format!(
            "Start accepting TCP connections at 127.0.0.1:{}",
            ports.admin
        ),
        ACCOUNTS_READY.to_owned(),
    ]
}

/// Writes the configuration below `directory` and says what to run.
pub(super) fn prepare(
    directory: &Path,
    ports: &Ports,
    pki: &Pki,
    options: &ServerOptions,
    accounts: &[Account],
) -> Launch {
    let installation = Installation::find().expect("ejabberd");
    let file = directory.join("ejabberd.yml");
    fs::write(&file, configuration(directory, ports, pki, options)).expect("the configuration");
    let database = format!("{:?}", directory.join("database").display().to_string());
    let register = start_expression(accounts);
    Launch {
        program: installation.erl,
        arguments: [
            "-noshell",
            "-noinput",
            // Idle schedulers must not spin: they would take the processor from the tests.
            "+sbwt",
            "none",
            "+sbwtdcpu",
            "none",
            "+sbwtdio",
            "none",
            "-mnesia",
            "dir",
            &database,
            "-s",
            "ejabberd",
            "-eval",
            &register,
        ]
        .map(str::to_owned)
        .to_vec(),
        environment: vec![
            ("HOME", directory.display().to_string()),
            ("ERL_LIBS", installation.libraries),
            ("ERL_CRASH_DUMP_SECONDS", "0".to_owned()),
            ("EJABBERD_CONFIG_PATH", file.display().to_string()),
            (
                "EJABBERD_LOG_PATH",
                directory.join("ejabberd.log").display().to_string(),
            ),
        ],
    }
}

/// Makes an account on the running server.
pub(super) fn register(ports: &Ports, account: &Account) {
    let body = format!(
        r#"{{"user":{},"host":{},"password":{}}}"#,
        json(&account.name),
        json(DOMAIN),
        json(&account.password),
    );
    let answer = command(ports, "register", &body);
    assert!(
        answer.starts_with("HTTP/1.1 200") || answer.contains("already registered"),
        "ejabberd did not register {}: {answer}",
        account.name,
    );
}

/// Runs one of ejabberd's administration commands; the answer is HTTP as it came.
pub(super) fn command(ports: &Ports, name: &str, body: &str) -> String {
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, ports.admin)).expect("the administration port");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    let request = format!(
        "POST /api/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Where the parts are that `ejabberdctl` would put together.
struct Installation {
    erl: PathBuf,
    libraries: String,
}

impl Installation {
    /// Takes the paths from `ejabberdctl`, which every packager adapts. That script itself is of no
    /// use here: it insists on a system user, a node name and `epmd`.
    fn find() -> Option<Self> {
        let script = fs::read(find_program("ejabberdctl")?).ok()?;
        let script = String::from_utf8_lossy(&script);
        let variable = |name: &str| {
            let line = script
                .lines()
                .find_map(|line| line.trim().strip_prefix(name))?;
            Some(line.trim_matches(['"', '\'']).to_owned())
        };
        let erl = variable("ERL=")
            .map(PathBuf::from)
            .filter(|erl| erl.exists());
        Some(Self {
            erl: erl.or_else(|| find_program("erl"))?,
            libraries: variable("ERL_LIBS=")?,
        })
    }
}

/// Erlang that makes the accounts, or makes sure of them after a restart, and says so.
fn start_expression(accounts: &[Account]) -> String {
    let accounts: Vec<String> = accounts
        .iter()
        .map(|account| {
            format!(
                "{{{}, {}}}",
                binary(&account.name),
                binary(&account.password)
            )
        })
        .collect();
    format!(
        "[case ejabberd_auth:try_register(U, {}, P) of ok -> ok; {{error, exists}} -> ok end \
         || {{U, P}} <- [{}]], io:format(\"~n{ACCOUNTS_READY}~n\").",
        binary(DOMAIN),
        accounts.join(", "),
    )
}

fn configuration(directory: &Path, ports: &Ports, pki: &Pki, options: &ServerOptions) -> String {
    let chain = json(&pki.chain.display().to_string());
    let key = json(&pki.key.display().to_string());
    let passwords = match options.passwords {
        Passwords::Plain => "auth_password_format: plain",
        Passwords::Sha1 => "auth_password_format: scram",
        Passwords::Sha256 => "auth_password_format: scram\nauth_scram_hash: sha256",
    };
    let starttls = if options.starttls {
        format!(
            "starttls: true\n    starttls_required: {}",
            !options.plaintext_allowed,
        )
    } else {
        "starttls: false".to_owned()
    };
    let (database, storage) = if options.sql {
        let file = directory.join("ejabberd.sqlite");
        let file = json(&file.display().to_string());
        (
            format!("sql_type: sqlite\nsql_database: {file}"),
            "db_type: sql",
        )
    } else {
        (String::new(), "db_type: mnesia")
    };
    format!(
        r#"hosts: ["{DOMAIN}"]
loglevel: info
certfiles: [{chain}, {key}]
acme:
  auto: false
auth_method: internal
{passwords}
{database}
listen:
  -
    port: {starttls_port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    {starttls}
    max_stanza_size: {max_stanza_size}
    shaper: none
    access: all
  -
    port: {tls_port}
    ip: "127.0.0.1"
    module: ejabberd_c2s
    tls: true
    max_stanza_size: {max_stanza_size}
    shaper: none
    access: all
  -
    port: {admin_port}
    ip: "127.0.0.1"
    module: ejabberd_http
    request_handlers:
      /api: mod_http_api
api_permissions:
  "the tests":
    who:
      ip: 127.0.0.1/8
    what: "*"
modules:
  mod_admin_extra: {{}}
  mod_carboncopy: {{}}
  mod_disco: {{}}
  mod_http_api: {{}}
  mod_mam:
    {storage}
    default: never
  mod_muc:
    {storage}
    host: "{MUC}"
    access: all
    access_admin: none
    access_create: all
    access_persistent: all
    access_mam: all
    max_users: 1000
    min_message_interval: 0
    min_presence_interval: 0
    default_room_options:
      mam: {archive}
      persistent: true
      members_only: {members_only}
  mod_muc_admin: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_stream_mgmt:
    resume_timeout: {resume_seconds}
"#,
        starttls_port = ports.starttls,
        tls_port = ports.tls,
        admin_port = ports.admin,
        max_stanza_size = options.max_stanza_size,
        resume_seconds = options.resume_seconds,
        archive = options.archive,
        members_only = options.members_only,
    )
}

/// A binary of Erlang's, written as numbers so that nothing needs escaping.
fn binary(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    format!("<<{}>>", bytes.join(","))
}

/// A string of JSON, which is one of YAML as well.
fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
