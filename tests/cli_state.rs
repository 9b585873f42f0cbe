//! What outlives the process: `tail`, `post` and `bridge` with `--state`, killed again and again.
//! Every program here is a process of its own, and is killed as by `kill -9`: no line of it
//! runs after that. Against the server of `serve`, and real ones where they are found (see
//! `support`).

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
#[allow(unreachable_pub, reason = "a module of its own crate")]
mod cli_state {
    pub mod doubt;
    pub mod in_use;
    pub mod killed;
    pub mod late;
    pub mod requests;
    pub mod slow;
}

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use parley_xmpp::Bookmark;
use serde_json::Value;
use support::{DOMAIN, Kind, MUC, Server, ServerOptions};

/// On a busy machine everything takes its time; only a failure takes all of it.
const PATIENCE: Duration = Duration::from_secs(60);
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A process, and the lines that it prints, as they come.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // A line that was cut off by the end of the process was never told.
            while output.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if sender.send(std::mem::take(&mut line)).is_err() {
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

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    /// Ends it as the machine would; gives what it had printed until then.
    fn kill(mut self) -> Vec<Value> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let rest: Vec<String> = self.lines.iter().collect();
        rest.iter()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// Waits for it to end by itself; gives what it printed.
    fn finish(mut self) -> Vec<Value> {
        drop(self.input.take());
        let rest: Vec<String> = self.lines.iter().collect();
        assert!(self.child.wait().unwrap().success(), "{rest:?}");
        rest.iter()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where to connect, and what serves there.
struct Target {
    port: u16,
    name: String,
    _server: Serving,
}

impl Target {
    /// The server of the program itself, in both its habits, and those that are installed.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::serve("prosody"), Self::serve("ejabberd")];
        all.extend(Kind::ALL.into_iter().filter_map(Self::real));
        all
    }

    fn real(kind: Kind) -> Option<Self> {
        let options = ServerOptions {
            plaintext_allowed: true,
            ..ServerOptions::default()
        };
        let server = Server::start(kind, options)?;
        Some(Self {
            port: server.port(),
            name: kind.to_string(),
            _server: Serving::Real(server),
        })
    }

    fn serve(personality: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parley-xmpp"));
        command
            .args(["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--personality", personality, "--domain", DOMAIN]);
        for user in USERS {
            command.args(["--user", &format!("{user}:secret-{user}")]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let server = Running::start(&mut command);
        let address = server.next()["serving"]["address"].clone();
        let port = address.as_str().unwrap().rsplit(':').next().unwrap();
        Self {
            port: port.parse().unwrap(),
            name: format!("serve as {personality}"),
            _server: Serving::Own(server),
        }
    }

    fn command(&self, user: &str, args: &[&str]) -> Command {
        let mut command = self.plain(user, args);
        command.arg("--json");
        command
    }

    /// The same, with what it prints as text.
    fn plain(&self, user: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parley-xmpp"));
        let service = format!("xmpp://127.0.0.1:{}", self.port);
        command
            .args(args)
            .args(["--nick", user])
            .env("PARLEY_XMPP_SERVICE", service)
            .env("PARLEY_XMPP_DOMAIN", DOMAIN)
            .env("PARLEY_XMPP_MUC", MUC)
            .env("PARLEY_XMPP_USER", user)
            .env("PARLEY_XMPP_PASS", format!("secret-{user}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command
    }

    /// What the archive of a topic holds: ids and texts.
    fn archive(&self, topic: &str) -> Vec<(String, String)> {
        let args = ["fetch", topic, "--since", "", "--limit", "10000"];
        let mut all = Running::start(&mut self.command("carol", &args)).finish();
        let last = all.pop().unwrap();
        assert_eq!(last["complete"], true, "{last}");
        all.iter()
            .map(|message| (id(message), message["content"].as_str().unwrap().to_owned()))
            .collect()
    }
}

/// What is stopped when it is dropped.
#[allow(dead_code, reason = "held for its end")]
#[allow(clippy::large_enum_variant, reason = "there are few")]
enum Serving {
    Own(Running),
    Real(Server),
}

fn id(message: &Value) -> String {
    message["backendMsgId"].as_str().expect("an id").to_owned()
}

fn temporary(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = path.join(format!("parley-xmpp-state-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn read(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The ids that a state file says were dealt with, of those in the archive.
fn dealt_with(file: &Path, topic: &str, archive: &[String]) -> BTreeSet<String> {
    let state = read(file);
    let text = state["bookmarks"][topic].as_str().expect("a bookmark");
    let bookmark = Bookmark::parse(text).unwrap();
    let cursor = bookmark.cursor().unwrap().as_str();
    let reached = archive.iter().position(|id| id == cursor);
    let up_to = reached.map_or(0, |place| place + 1);
    let beyond = bookmark.beyond().map(|id| id.as_str().to_owned());
    archive[..up_to].iter().cloned().chain(beyond).collect()
}

/// Numbers that are arbitrary and the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A bridge, and the answers and notifications that it gave while something else was
/// waited for.
struct Bridge {
    running: Running,
    asked: u64,
    seen: Vec<Value>,
}

impl Bridge {
    fn start(target: &Target, user: &str, args: &[&str]) -> Self {
        let args = [&["bridge"], args].concat();
        Self::begin(&mut target.command(user, &args))
    }

    fn begin(command: &mut Command) -> Self {
        let mut bridge = Self {
            running: Running::start(command),
            asked: 0,
            seen: Vec::new(),
        };
        bridge.ask("connect", serde_json::json!({}));
        bridge
    }

    fn until(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.seen.iter().position(&is) {
            return self.seen.remove(at);
        }
        loop {
            let line = self.running.next();
            if is(&line) {
                return line;
            }
            self.seen.push(line);
        }
    }

    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let call = serde_json::json!({
            "jsonrpc": "2.0", "id": id, "method": method, "params": params
        });
        self.running.say(&call.to_string());
        self.until(|line| line["id"] == id)
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    fn refused(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params);
        assert_eq!(answer["error"]["data"]["kind"], "invalid", "{answer}");
        answer["error"].take()
    }

    fn told(&mut self, notification: &str) -> Value {
        self.until(|line| line["method"] == notification)["params"].take()
    }
}

/// The token of a post to a room of this address.
fn token(room: &str, origin_id: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use sha2::Digest as _;

    let parts = [room, origin_id, "", "bob"].map(|part| BASE64.encode(part));
    let content = format!("pt1.{}.~", parts.join("."));
    let check = BASE64.encode(&sha2::Sha256::digest(&content)[..6]);
    format!("{content}.{check}")
}
