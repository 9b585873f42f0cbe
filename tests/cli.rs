//! The program as a user or a host program meets it, as far as no server but its own is needed.

#![cfg(feature = "cli")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and these run programs"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parley-xmpp"));
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in ["SERVICE", "DOMAIN", "MUC", "USER", "PASS"] {
        command.env_remove(format!("PARLEY_XMPP_{name}"));
    }
    command
}

fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An error line and a remedy line, apart from warnings.
fn assert_failure(output: &Output, code: i32) -> String {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("warning: "))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(
        lines[0].starts_with("error: ") && lines[1].starts_with("remedy: "),
        "{said}"
    );
    said
}

/// A port on which nobody listens.
fn closed_port() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("xmpp://127.0.0.1:{port}")
}

#[test]
fn help_teaches_and_succeeds() {
    for name in ["post", "fetch", "tail", "doctor", "bridge", "serve", "demo"] {
        let output = run(program(&[name, "--help"]), b"");
        assert_eq!(output.status.code(), Some(0), "{name}");
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Example"), "{help}");
    }
    let output = run(program(&["--help"]), b"");
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for word in [
        "Exit codes:",
        "PARLEY_XMPP_SERVICE",
        "backend_config",
        "not decided",
    ] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
    let version = run(program(&["--version"]), b"").stdout;
    assert!(version.starts_with(b"parley-xmpp "));
}

#[test]
fn mistakes_of_usage_are_2_with_a_remedy() {
    for args in [
        &["post"][..],
        &["shout", "x"],
        &["fetch", "t", "--limit", "0"],
        &["fetch", "t", "--wait", "5"],
        &["tail"],
        &["tail", "a", "b", "--since", "x"],
        &["post", "t", "bell\u{7}"],
        &["post", "--resolve", "1730"],
        &[
            "post",
            "--resolve",
            "pt1.b3BzQG11Yy5wYXJsZXkubG9jYWw.eA.Nw.Ym9i.~.cut",
        ],
        &[
            "post",
            "t",
            "--resolve",
            "pt1.b3BzQG11Yy5wYXJsZXkubG9jYWw.eA.Nw.Ym9i.~.Bd4xy-WP",
        ],
        &["post", "t", "x", "--service", "http://localhost"],
        &["post", "t", "x", "--config", "/no/such/file"],
        &["post", "t", "x", "--password-file", "/no/such/file"],
        &["post", "t", "x", "--password", "a", "--password-file", "b"],
        &["doctor", "--service", "xmpp://chat.example.org"],
        &["serve", "--listen", "localhost"],
        &["serve", "--personality", "exchange"],
        &["serve", "--listen", "127.0.0.1:0", "--user", "ana"],
        &["serve", "--listen", "127.0.0.1:0", "--user", "ana:"],
        &["demo", "--posts", "0"],
    ] {
        assert_failure(&run(program(args), b""), 2);
    }
    let output = run(program(&[]), b"");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_forbidden_character_is_named_with_its_place() {
    let said = assert_failure(&run(program(&["post", "t", "ü\u{1b}[31mred"]), b""), 2);
    assert!(
        said.contains("U+001B at byte 2") && said.contains("--replace-forbidden"),
        "{said}"
    );
    let said = assert_failure(&run(program(&["post", "t", "--whole"]), b"a\xff"), 2);
    assert!(said.contains("not UTF-8 at byte 1"), "{said}");
}

#[test]
fn json_makes_failures_objects() {
    for args in [
        &["--json", "post"][..],
        &["doctor", "--json", "--service", "ftp://x"],
    ] {
        let output = run(program(args), b"");
        let said = stderr(&output);
        let object: Value = serde_json::from_str(said.trim_end()).expect(&said);
        assert_eq!(object["exit"], 2);
        assert!(object["error"].is_string() && object["remedy"].is_string());
    }
}

#[test]
fn no_server_is_3() {
    let service = closed_port();
    for args in [
        &["post", "t", "x"][..],
        &["fetch", "t"],
        &["tail", "t"],
        &["doctor"],
    ] {
        let mut command = program(args);
        command.args(["--service", &service]);
        let output = run(command, b"");
        let said = assert_failure(&output, 3);
        assert!(said.contains("refused"), "{said}");
        assert!(
            said.starts_with("warning: using the default password"),
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_server_that_says_nothing_is_3_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = format!("xmpp://{}", listener.local_addr().unwrap());
    let args = [
        "fetch",
        "t",
        "--service",
        &service,
        "--connect-timeout",
        "0.5",
    ];
    assert_failure(&run(program(&args), b""), 3);
}

#[test]
fn a_password_of_ones_own_needs_no_warning() {
    let mut command = program(&["fetch", "t", "--service", &closed_port()]);
    command.env("PARLEY_XMPP_PASS", "hunter2");
    let said = assert_failure(&run(command, b""), 3);
    assert!(
        !said.contains("warning") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn the_environment_is_stronger_than_the_file_and_weaker_than_a_flag() {
    // An address of this machine on which nobody listens, and one that is told apart from it.
    let yaml = b"backend_config:\n  service: xmpp://127.0.0.2:1\n  password: p\n";
    let file = Temporary::new("precedence.yaml", yaml);
    let service_of = |command| {
        let said = stderr(&run(command, b""));
        ["127.0.0.1", "127.0.0.2"]
            .into_iter()
            .find(|name| said.contains(name))
            .expect("a service")
    };
    let base = [
        "fetch",
        "t",
        "--connect-timeout",
        "3",
        "--config",
        file.path(),
    ];
    assert_eq!(service_of(program(&base)), "127.0.0.2");
    let mut command = program(&base);
    command.env("PARLEY_XMPP_SERVICE", closed_port());
    assert_eq!(service_of(command), "127.0.0.1");
    let mut command = program(&base);
    command
        .env("PARLEY_XMPP_SERVICE", "xmpp://127.0.0.2:1")
        .args(["--service", &closed_port()]);
    assert_eq!(service_of(command), "127.0.0.1");
}

#[test]
fn a_broken_state_file_is_2_and_stays_as_it_is() {
    let file = Temporary::new("broken.json", b"{");
    assert_failure(
        &run(program(&["tail", "t", "--state", file.path()]), b""),
        2,
    );
    assert_eq!(std::fs::read(file.path()).unwrap(), b"{");
}

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> Self {
        let name = format!("parley-xmpp-cli-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        // What is locked for a state file.
        let name = self.0.file_name().unwrap().to_str().unwrap();
        let _ = std::fs::remove_file(self.0.with_file_name(format!(".{name}.lock")));
    }
}

/// What the bridge answers to these lines, which end with the input.
fn bridge(lines: &[&str]) -> Vec<Value> {
    let output = run(program(&["bridge"]), lines.join("\n").as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn by_id(answers: &[Value], id: &Value) -> Value {
    let found = answers.iter().find(|answer| answer["id"] == *id);
    found.unwrap_or_else(|| panic!("{id}: {answers:?}")).clone()
}

#[test]
fn bridge_answers_what_is_wrong_as_the_standard_says() {
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    let answers = bridge(&[
        "{not json",
        "",
        r#"{"jsonrpc":"2.0","id":1,"method":"shout"}"#,
        r#"{"jsonrpc":"2.0","method":"shout"}"#,
        r#"{"jsonrpc":"1.0","id":2,"method":"post"}"#,
        r#"{"jsonrpc":"2.0","id":"three","method":"post","params":{"topic":"t"}}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"fetchRecent","params":{"topic":"t","blockMS":1}}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"connect","params":{"password":12345}}"#,
        &long,
        r#"[{"jsonrpc":"2.0","id":6,"method":"shout"},{"jsonrpc":"2.0","method":"shout"},3]"#,
        r#"[{"jsonrpc":"2.0","method":"shout"}]"#,
    ]);
    assert_eq!(answers.len(), 8, "{answers:#?}");
    let expected = [
        (json!(1), -32601),
        (json!(2), -32600),
        (json!("three"), -32602),
        (json!(4), -32602),
        (json!(5), -32602),
    ];
    for (id, code) in expected {
        let answer = by_id(&answers, &id);
        assert_eq!(answer["jsonrpc"], "2.0");
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["data"]["kind"], "invalid");
        assert!(!answer.to_string().contains("12345"));
    }
    let mut codes: Vec<_> = answers
        .iter()
        .filter(|answer| answer.get("id") == Some(&Value::Null))
        .map(|answer| answer["error"]["code"].as_i64().unwrap())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [-32700, -32600]);
    let batch = answers.iter().find(|answer| answer.is_array()).unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2);
}

#[test]
fn bridge_without_a_connection() {
    let answers = bridge(&[
        r#"{"jsonrpc":"2.0","id":1,"method":"post","params":{"topic":"t","content":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"subscribe","params":{"topic":"t"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"fetchRecent","params":{"topic":"t"}}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"disconnect"}"#,
        r#"{"jsonrpc":"2.0","id":5,"method":"resolveIdentity","params":{"handle":"ana"}}"#,
    ]);
    for id in 1..=4 {
        let answer = by_id(&answers, &json!(id));
        assert_eq!(answer["error"]["data"]["kind"], "not-connected", "{answer}");
        assert_eq!(answer["error"]["code"], -32000);
    }
    let resolved = json!({"handle": "ana", "backendRef": "ana"});
    assert_eq!(by_id(&answers, &json!(5))["result"], resolved);
}

#[test]
fn bridge_says_why_it_cannot_connect_and_others_learn_of_it() {
    let params = json!({"service": closed_port()});
    let connect = json!({"jsonrpc": "2.0", "id": 1, "method": "connect", "params": params});
    let answers = bridge(&[
        &connect.to_string(),
        r#"{"jsonrpc":"2.0","id":2,"method":"post","params":{"topic":"t","content":"x"}}"#,
    ]);
    let answer = by_id(&answers, &json!(1));
    assert_eq!(
        answer["error"]["data"]["kind"], "connect-failed",
        "{answer}"
    );
    assert!(answer["error"]["data"]["remedy"].is_string());
    assert_eq!(
        by_id(&answers, &json!(2))["error"]["data"]["kind"],
        "not-connected"
    );
    // Away from this machine the default password is not used.
    let answers = bridge(&[
        r#"{"jsonrpc":"2.0","id":1,"method":"connect","params":{"service":"xmpp://chat.example.org"}}"#,
    ]);
    assert_eq!(answers[0]["error"]["data"]["kind"], "invalid");
    let remedy = answers[0]["error"]["data"]["remedy"].as_str().unwrap();
    assert!(
        remedy.contains("`password`") && !remedy.contains("--"),
        "{remedy}"
    );
}

#[test]
fn bridge_gives_large_ids_back_as_they_came() {
    let id = "12345678901234567890123";
    let line = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"resolveIdentity","params":{{"handle":"a"}}}}"#
    );
    let output = run(program(&["bridge"]), line.as_bytes());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!(r#""id":{id},"#)), "{said}");
}

#[test]
fn bridge_answers_what_is_open_when_its_input_ends() {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = format!("xmpp://{}", silent.local_addr().unwrap());
    let params = json!({"service": service});
    let connect = json!({"jsonrpc": "2.0", "id": 1, "method": "connect", "params": params});
    let answers = bridge(&[
        &connect.to_string(),
        r#"[{"jsonrpc":"2.0","id":2,"method":"post","params":{"topic":"t","content":"x"}}]"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"resolveIdentity","params":{"handle":"ana"}}"#,
    ]);
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!(
        by_id(&answers, &json!(1))["error"]["data"]["kind"],
        "timeout"
    );
    let batch = answers.iter().find(|answer| answer.is_array()).unwrap();
    let kind = &batch[0]["error"]["data"]["kind"];
    assert!(*kind == "timeout" || *kind == "not-connected", "{batch}");
}

/// A `serve` that runs, and what it said of itself.
struct Serving {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    about: Value,
}

impl Serving {
    fn start(args: &[&str]) -> Self {
        let mut command = program(&["serve", "--json", "--listen", "127.0.0.1:0"]);
        let mut child = command.args(args).spawn().expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let about: Value = serde_json::from_str(&line).expect(&line);
        let about = about["serving"].clone();
        Self {
            child,
            output,
            about,
        }
    }

    fn service(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.about["address"].as_str().unwrap())
    }

    /// As Ctrl-C does. Gives what else it said.
    fn interrupt(mut self) -> Vec<Value> {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest.lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stdout_of(args: &[&str]) -> String {
    let output = run(program(args), b"");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[cfg(unix)]
fn what_serve_serves_is_found_with_default_settings() {
    for personality in ["prosody", "ejabberd"] {
        let server = Serving::start(&["--personality", personality]);
        assert_eq!(server.about["domain"], "parley.local");
        assert_eq!(server.about["mucService"], "muc.parley.local");
        assert_eq!(server.about["accounts"], json!(["parley"]));
        let service = server.service("xmpp");
        let id = stdout_of(&["post", "ops", "hello", "--service", &service]);
        let all = stdout_of(&[
            "fetch",
            "ops",
            "--since",
            "",
            "--json",
            "--service",
            &service,
        ]);
        let first: Value = serde_json::from_str(all.lines().next().unwrap()).unwrap();
        assert_eq!(first["content"], "hello");
        assert_eq!(first["backendMsgId"], id.trim_end());
        let notes = server.interrupt();
        let accepted = notes.iter().find(|note| note["note"] == "accepted");
        assert_eq!(accepted.unwrap()["body"], "hello");
    }
}

#[test]
#[cfg(unix)]
fn serve_with_a_certificate_wants_tls_and_says_where_it_is() {
    let file = Temporary::new("serve-ca.pem", b"");
    let server = Serving::start(&[
        "--ca-file",
        file.path(),
        "--user",
        "ana:secret",
        "--domain",
        "dev.example",
    ]);
    assert_eq!(server.about["caFile"], file.path());
    for scheme in ["xmpp", "xmpps"] {
        let service = server.service(scheme);
        let flags = ["--service", &service, "--domain", "dev.example"];
        let who = ["-u", "ana", "--password", "secret"];
        let trust = ["--ca-file", file.path()];
        let post = ["post", "ops", "hello"];
        stdout_of(&[&post[..], &flags, &who, &trust].concat());
        let untrusted = run(program(&[&post[..], &flags, &who].concat()), b"");
        assert_failure(&untrusted, 3);
    }
    server.interrupt();
}

#[test]
#[cfg(unix)]
fn serve_is_for_this_machine_and_for_a_port_that_is_free() {
    for (args, word) in [
        (&["--listen", "0.0.0.0:0"][..], "--allow-remote"),
        (&["--listen", "[::]:0"], "--allow-remote"),
        (&["--listen", "0.0.0.0:0", "--allow-remote"], "--user"),
        (
            &["--listen", "0.0.0.0:0", "--allow-remote", "--user", "a:b"],
            "--ca-file",
        ),
    ] {
        let said = assert_failure(&run(program(&[&["serve"], args].concat()), b""), 2);
        assert!(said.contains(word), "{said}");
    }
    let server = Serving::start(&["--quiet"]);
    let address = server.about["address"].as_str().unwrap();
    let again = run(program(&["serve", "--listen", address]), b"");
    let said = assert_failure(&again, 1);
    assert!(
        said.contains(address) && said.contains("--listen"),
        "{said}"
    );
    assert!(server.interrupt().is_empty(), "it was to be quiet");
}

#[test]
fn the_demo_adds_up_also_twice_at_a_time() {
    let one = std::thread::spawn(|| stdout_of(&["demo", "--posts", "12", "--json"]));
    let two = stdout_of(&["demo", "--posts", "12", "--seed", "2"]);
    let account: Value = serde_json::from_str(&one.join().unwrap()).unwrap();
    assert_eq!(account["addsUp"], true, "{account}");
    let number = |key: &str| account[key].as_u64().unwrap();
    assert_eq!(number("posted"), 24);
    assert_eq!(number("delivered"), number("archived"));
    assert_eq!((number("cuts"), number("crashes")), (4, 2));
    let outcomes = number("committed") + number("rejected") + number("notSent");
    let unknown = account["unknown"].as_array().unwrap();
    assert_eq!(outcomes + unknown.len() as u64, 24);
    assert_eq!(number("gapsNotAnnounced") + number("duplicates"), 0);

    for line in [
        "  posted              24",
        "    duplicates         0",
        "    not announced      0",
        "The account adds up.",
        " serve",
        " post ops hello",
    ] {
        assert!(two.contains(line), "{line:?} is missing:\n{two}");
    }
    assert!(two.lines().all(|line| line.len() <= 100), "{two}");
}
