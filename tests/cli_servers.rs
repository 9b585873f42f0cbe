//! The program against real servers. See `support` for when they are left out.

#![cfg(all(feature = "cli", unix))]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and these run programs"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{DOMAIN, Kind, MUC, Server, ServerOptions};

/// On a busy machine everything takes its time; only a failure takes all of it.
const PATIENCE: Duration = Duration::from_secs(60);

fn in_clear() -> ServerOptions {
    ServerOptions {
        plaintext_allowed: true,
        ..ServerOptions::default()
    }
}

fn program(server: &Server, user: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parley-xmpp"));
    command
        .args(args)
        .env(
            "PARLEY_XMPP_SERVICE",
            format!("xmpp://127.0.0.1:{}", server.port()),
        )
        .env("PARLEY_XMPP_DOMAIN", DOMAIN)
        .env("PARLEY_XMPP_MUC", MUC)
        .env("PARLEY_XMPP_USER", user)
        .env("PARLEY_XMPP_PASS", format!("secret-{user}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().expect("the program starts");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn objects(output: &Output) -> Vec<Value> {
    lines(output)
        .iter()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn what_is_posted_is_fetched() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind, in_clear()) else {
            continue;
        };
        let one = lines(&run(
            program(&server, "alice", &["post", "Demo Room", "one @bob"]),
            "",
        ));
        let input: String = (0..200).map(|number| format!("line {number}\n")).collect();
        let ids = lines(&run(
            program(&server, "bob", &["post", "Demo Room"]),
            &input,
        ));
        assert_eq!(ids.len(), 200);

        let all = objects(&run(
            program(
                &server,
                "carol",
                &[
                    "fetch",
                    "Demo Room",
                    "--since",
                    "",
                    "--limit",
                    "500",
                    "--json",
                ],
            ),
            "",
        ));
        let (last, messages) = all.split_last().unwrap();
        assert_eq!(
            last,
            &json!({"nextCursor": ids[199], "complete": true, "stable": true})
        );
        assert_eq!(messages[0]["content"], "one @bob");
        assert_eq!(messages[0]["mentions"], json!(["bob"]));
        assert_eq!(messages[0]["backendMsgId"], one[0]);
        let fetched: Vec<_> = messages[1..]
            .iter()
            .map(|message| message["cursor"].as_str().unwrap())
            .collect();
        assert_eq!(fetched, ids, "{kind}");
        assert_eq!(messages[200]["content"], "line 199");

        let rest = objects(&run(
            program(
                &server,
                "carol",
                &["fetch", "Demo Room", "--since", &ids[197], "--json"],
            ),
            "",
        ));
        assert_eq!(rest.len(), 3);
        let newest = objects(&run(
            program(
                &server,
                "carol",
                &["fetch", "Demo Room", "--limit", "120", "--json"],
            ),
            "",
        ));
        assert_eq!(newest.len(), 121);
        assert_eq!(newest[0]["content"], "line 80");

        // Nothing of what a stranger wrote reaches the terminal as it is.
        let hostile = "\u{9b}2J\u{202e}x\ny\u{85}";
        lines(&run(
            program(&server, "bob", &["post", "Demo Room", hostile]),
            "",
        ));
        let output = run(
            program(&server, "carol", &["fetch", "Demo Room", "--limit", "1"]),
            "",
        );
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            shown.contains("\\u{9b}2J\\u{202e}x\n    y\\u{85}"),
            "{shown:?}"
        );
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    }
}

#[test]
fn the_first_line_that_cannot_be_posted_ends_it() {
    let Some(server) = Server::start(Kind::Prosody, in_clear()) else {
        return;
    };
    let output = run(
        program(&server, "alice", &["post", "t"]),
        "a\nb\nc\u{1b}\nd\n",
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("line 3: the text holds U+001B at byte 1") && said.contains("2 posted"),
        "{said}"
    );
    let output = run(
        program(
            &server,
            "alice",
            &["post", "t", "--replace-forbidden", "--json"],
        ),
        "c\u{1b}\n",
    );
    let posted = objects(&output);
    assert_eq!(
        (&posted[0]["line"], &posted[0]["via"]),
        (&json!(1), &json!("reflection"))
    );
}

#[test]
fn logins_and_certificates_have_their_exit_codes() {
    for kind in Kind::ALL {
        let Some(server) = Server::start(kind, ServerOptions::default()) else {
            continue;
        };
        let ca_file = server.ca_file().to_str().unwrap();
        let failure = |command| {
            let output = run(command, "");
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(said.lines().count(), 2, "{said}");
            (output.status.code(), said)
        };
        let mut command = program(&server, "alice", &["post", "t", "x", "--ca-file", ca_file]);
        command.env("PARLEY_XMPP_PASS", "wrong");
        let (code, said) = failure(command);
        assert_eq!(code, Some(4), "{said}");
        // Without the authority of this test, the certificate is nobody's.
        let (code, said) = failure(program(
            &server,
            "alice",
            &["post", "t", "x", "--tls-name", DOMAIN],
        ));
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains("certificate") && said.contains("remedy: "),
            "{said}"
        );
        // A service without rooms.
        let (code, said) = failure(program(
            &server,
            "alice",
            &[
                "post",
                "t",
                "x",
                "--ca-file",
                ca_file,
                "--muc-service",
                "nowhere.parley.local",
            ],
        ));
        assert_eq!(code, Some(5), "{said}");

        let service = format!("xmpps://127.0.0.1:{}", server.tls_port());
        lines(&run(
            program(
                &server,
                "alice",
                &[
                    "post",
                    "t",
                    "x",
                    "--ca-file",
                    ca_file,
                    "--service",
                    &service,
                ],
            ),
            "",
        ));
        let report = objects(&run(
            program(
                &server,
                "alice",
                &["doctor", "--json", "--ca-file", ca_file, "--probe-page-cap"],
            ),
            "",
        ));
        let status = |check: &str| {
            report
                .iter()
                .find(|line| line["check"] == check)
                .unwrap_or_else(|| panic!("{check}: {report:#?}"))["status"]
                .clone()
        };
        for check in [
            "connection",
            "tls",
            "stream-management",
            "muc-service",
            "archive",
            "stanza-ids",
            "post",
            "fetch",
            "room-destruction",
            "page-cap",
        ] {
            assert_eq!(status(check), "ok", "{kind}: {check}: {report:#?}");
        }
    }
}

/// The lines that a program prints, as they come.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            input,
            lines,
        }
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line");
        serde_json::from_str(&line).expect(&line)
    }

    /// The next object for which it holds, and those before it.
    fn until(&self, wanted: impl Fn(&Value) -> bool) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let object = self.next();
            if wanted(&object) {
                return (object, before);
            }
            before.push(object);
        }
    }

    fn content(&self, content: &str) -> Value {
        let wanted = |object: &Value| object.get("content").is_some();
        let (message, _) = self.until(wanted);
        assert_eq!(message["content"], content, "{message}");
        message
    }

    fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.end().success());
    }

    fn end(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the program does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn temporary(name: &str) -> PathBuf {
    let path =
        std::env::temp_dir().join(format!("parley-xmpp-servers-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn tail_goes_on_over_restarts_of_the_server_and_its_own() {
    for kind in Kind::ALL {
        let Some(mut server) = Server::start(kind, in_clear()) else {
            continue;
        };
        let file = temporary(&format!("{kind}.json"));
        let state = file.to_str().unwrap();
        let tail = |server: &Server| {
            Running::start(program(
                server,
                "alice",
                &["tail", "a", "b", "--json", "--state", state],
            ))
        };
        let post = |server: &Server, topic: &str, text: &str| {
            lines(&run(program(server, "bob", &["post", topic, text]), "")).remove(0)
        };
        let running = tail(&server);
        // Once the file knows both places, nothing can be missed.
        let begin = Instant::now();
        let place = |topic: &str| {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let state: Value = serde_json::from_str(&text).unwrap_or_default();
            state["topics"][topic].is_string()
        };
        while !place("a") || !place("b") {
            assert!(begin.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = post(&server, "a", "one");
        assert_eq!(running.content("one")["backendMsgId"], id);
        post(&server, "b", "two");
        assert_eq!(running.content("two")["topic"], "b");
        if kind == Kind::Prosody {
            // ejabberd's default storage forgets what it has acknowledged when it is killed.
            server.kill();
        }
        server.restart();
        post(&server, "a", "three");
        running.content("three");
        running.terminate();
        let last = post(&server, "a", "four");
        let running = tail(&server);
        assert_eq!(running.content("four")["source"], "archive");
        running.terminate();
        let saved: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let bookmark = saved["bookmarks"]["a"].as_str().unwrap();
        let bookmark = parley_xmpp::Bookmark::parse(bookmark).unwrap();
        let newest = bookmark.beyond().last().map(parley_xmpp::ArchiveId::as_str);
        assert_eq!(newest, Some(last.as_str()));
        let _ = std::fs::remove_file(&file);
    }
}

struct Bridge {
    running: Running,
    ids: u64,
}

impl Bridge {
    fn start(server: &Server, user: &str) -> Self {
        Self {
            running: Running::start(program(server, user, &["bridge"])),
            ids: 0,
        }
    }

    fn send(&mut self, method: &str, params: Value) -> u64 {
        self.ids += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.ids, "method": method, "params": params});
        writeln!(self.running.input.as_mut().unwrap(), "{request}").unwrap();
        self.ids
    }

    fn answer(&self, id: u64) -> (Value, Vec<Value>) {
        self.running.until(|object| object["id"] == id)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let (answer, _) = self.answer(id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn notification(&self, method: &str) -> Value {
        self.running.until(|object| object["method"] == method).0["params"].clone()
    }
}

#[test]
fn the_bridge_posts_fetches_and_follows() {
    for kind in Kind::ALL {
        let Some(mut server) = Server::start(kind, in_clear()) else {
            continue;
        };
        let mut bridge = Bridge::start(&server, "alice");
        // Requests need not wait for the answer to `connect`, and posts keep their order.
        let connect = bridge.send("connect", json!({"nick": "ana"}));
        let posts: Vec<u64> = (0..20)
            .map(|number| {
                bridge.send(
                    "post",
                    json!({"topic": "t", "content": format!("{number} @bob")}),
                )
            })
            .collect();
        let (answer, _) = bridge.answer(connect);
        assert_eq!(answer["result"]["nick"], "ana");
        let mut ids = Vec::new();
        for id in &posts {
            let (answer, _) = bridge
                .running
                .until(|object| posts.contains(&object["id"].as_u64().unwrap_or(0)));
            assert!(
                answer["result"]["backendMsgId"].is_string(),
                "{id}: {answer}"
            );
            ids.push(answer["result"]["cursor"].clone());
        }
        let fetched = bridge.call("fetchRecent", json!({"topic": "t"}));
        let order: Vec<_> = fetched["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["content"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            order,
            (0..20)
                .map(|number| format!("{number} @bob"))
                .collect::<Vec<_>>()
        );
        assert_eq!(fetched["messages"][19]["cursor"], fetched["nextCursor"]);
        assert_eq!(fetched["complete"], true);
        assert_eq!(fetched["messages"][0]["senderHandle"], "ana");

        // `{}` comes before the first message; pushed and fetched they are the same.
        let id = bridge.send("subscribe", json!({"topic": "t", "since": ""}));
        let (_, before) = bridge.answer(id);
        assert!(
            before.iter().all(|object| object["method"] != "message"),
            "{before:?}"
        );
        for number in 0..20 {
            let mut pushed = bridge.notification("message");
            let mut expected = fetched["messages"][number].clone();
            for object in [&mut pushed, &mut expected] {
                object.as_object_mut().unwrap().remove("timestamp");
                object.as_object_mut().unwrap().remove("source");
            }
            assert_eq!(pushed, expected, "{kind}");
        }
        let id = bridge.send("subscribe", json!({"topic": "t"}));
        assert_eq!(bridge.answer(id).0["error"]["data"]["kind"], "invalid");

        // An identity other than our nick cannot be had.
        let id = bridge.send(
            "post",
            json!({"topic": "t", "content": "x", "identity": "bob"}),
        );
        let error = bridge.answer(id).0["error"].clone();
        assert_eq!(
            (&error["data"]["kind"], &error["data"]["nick"]),
            (&json!("invalid"), &json!("ana"))
        );

        let id = bridge.send("post", json!({"topic": "t", "content": "a\u{1}b"}));
        let error = bridge.answer(id).0["error"].clone();
        assert_eq!(
            error["data"]["remedy"],
            "remove the character from `content`, or give `replaceForbidden`: true"
        );

        // An empty topic has a cursor too, and waiting ends when somebody speaks.
        let empty = bridge.call("fetchRecent", json!({"topic": "empty"}));
        assert_eq!(
            empty,
            json!({"messages": [], "nextCursor": "", "complete": true, "stable": true})
        );
        let waiting = bridge.send(
            "fetchRecent",
            json!({"topic": "empty", "since": "", "blockMs": 60_000}),
        );
        let mut other = Bridge::start(&server, "bob");
        other.call("connect", json!({}));
        other.call("post", json!({"topic": "empty", "content": "at last"}));
        let answer = bridge.answer(waiting).0;
        assert_eq!(
            answer["result"]["messages"][0]["content"], "at last",
            "{answer}"
        );

        // Over a restart of the server, everything goes on.
        server.restart();
        let (online, _) = bridge
            .running
            .until(|object| object["params"]["state"] == "online");
        assert_eq!(online["params"]["resumed"], false);
        other.call(
            "post",
            json!({"topic": "t", "content": "after", "identity": null}),
        );
        assert_eq!(bridge.notification("message")["content"], "after", "{kind}");

        bridge.call("unsubscribe", json!({"topic": "t"}));
        other.call("post", json!({"topic": "t", "content": "unheard"}));
        let id = bridge.send("disconnect", json!({}));
        let (answer, before) = bridge.answer(id);
        assert_eq!(answer["result"], json!({}));
        assert!(
            before.iter().all(|object| object["method"] != "message"),
            "{before:?}"
        );
        assert!(
            before
                .iter()
                .any(|object| object["params"]["state"] == "closed"),
            "{before:?}"
        );
        bridge.call("connect", json!({}));
        for mut bridge in [bridge, other] {
            drop(bridge.running.input.take());
            assert!(bridge.running.end().success());
        }
    }
}

#[test]
fn posts_through_the_bridge_keep_their_order_around_wrong_ones() {
    let Some(server) = Server::start(Kind::Prosody, in_clear()) else {
        return;
    };
    let mut bridge = Bridge::start(&server, "alice");
    bridge.send("connect", json!({"nick": "ana"}));
    let mut good = Vec::new();
    for number in 0..40 {
        good.push(bridge.send("post", json!({"topic": "t", "content": number.to_string()})));
        bridge.send("post", json!({"topic": "t"}));
        bridge.send(
            "post",
            json!({"topic": "t", "content": "x", "identity": "bob"}),
        );
    }
    for _ in &good {
        bridge.running.until(|object| {
            good.contains(&object["id"].as_u64().unwrap_or(0)) && object.get("result").is_some()
        });
    }
    let fetched = bridge.call("fetchRecent", json!({"topic": "t"}));
    let messages = fetched["messages"].as_array().unwrap();
    let order: Vec<_> = messages
        .iter()
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    assert_eq!(order, expected);
}

#[test]
fn the_bridge_answers_everything_when_its_input_ends() {
    let Some(server) = Server::start(Kind::Prosody, in_clear()) else {
        return;
    };
    let mut bridge = Bridge::start(&server, "alice");
    bridge.call("connect", json!({}));
    let poll = bridge.send(
        "fetchRecent",
        json!({"topic": "t", "since": "", "blockMs": 600_000}),
    );
    drop(bridge.running.input.take());
    let answer = bridge.answer(poll).0;
    assert!(
        ["not-connected", "timeout"]
            .map(Value::from)
            .contains(&answer["error"]["data"]["kind"]),
        "{answer}"
    );
    assert!(bridge.running.end().success());
}

#[test]
fn subscriptions_through_the_bridge_go_by_the_order_of_the_lines() {
    let Some(server) = Server::start(Kind::Prosody, in_clear()) else {
        return;
    };
    let mut bridge = Bridge::start(&server, "alice");
    bridge.call("connect", json!({}));
    let mut texts = Vec::new();
    for text in ["one", "two", "three"] {
        texts.push(bridge.call("post", json!({"topic": "t", "content": text})));
    }
    let second = texts[1]["cursor"].clone();
    for _ in 0..10 {
        bridge.send("subscribe", json!({"topic": "t", "since": ""}));
        bridge.send("unsubscribe", json!({"topic": "t"}));
        let id = bridge.send("subscribe", json!({"topic": "t", "since": second}));
        let (answer, before) = bridge.answer(id);
        assert_eq!(answer["result"], json!({}), "{answer}");
        assert!(
            before.iter().all(|object| object.get("error").is_none()),
            "{before:?}"
        );
        assert_eq!(bridge.notification("message")["content"], "three");
        bridge.call("unsubscribe", json!({"topic": "t"}));
    }
    bridge.send("subscribe", json!({"topic": "t"}));
    let id = bridge.send("unsubscribe", json!({"topic": "t"}));
    bridge.answer(id);
    bridge.call("post", json!({"topic": "t", "content": "unheard"}));
    let id = bridge.send("disconnect", json!({}));
    let (_, before) = bridge.answer(id);
    assert!(
        before.iter().all(|object| object["method"] != "message"),
        "{before:?}"
    );
}

#[test]
fn long_polls_through_the_bridge_keep_no_other_request_waiting() {
    let Some(server) = Server::start(Kind::Prosody, in_clear()) else {
        return;
    };
    let mut bridge = Bridge::start(&server, "alice");
    bridge.call("connect", json!({}));
    for _ in 0..256 {
        bridge.send(
            "fetchRecent",
            json!({"topic": "t", "since": "", "blockMs": 600_000}),
        );
    }
    bridge.call("fetchRecent", json!({"topic": "t"}));
    bridge.call("resolveIdentity", json!({"handle": "bob"}));
    bridge.call("disconnect", json!({}));
}
