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
    pub mod in_use;
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

const KILLS: usize = 12;

/// zachpmanson/pi-msg#84: what was said while the process was not running is lost. Holds that the
/// next one goes on from what the last had written down.
#[test]
fn a_tail_that_is_killed_goes_on_without_a_gap_and_repeats_only_what_was_not_saved() {
    for target in Target::all() {
        let file = temporary("tail.json");
        let args = ["tail", "t", "--state", file.to_str().unwrap()];
        let mut dice = Dice(7);
        let mut poster = Running::start(&mut target.command("bob", &["post", "t"]));
        poster.say("begin");
        poster.next();
        // Once the file knows the place, nothing can be missed.
        let tail = Running::start(&mut target.command("alice", &args));
        let begin = Instant::now();
        while read(&file)["bookmarks"]["t"].is_null() {
            assert!(begin.elapsed() < PATIENCE, "no place");
            std::thread::sleep(Duration::from_millis(20));
        }
        tail.kill();
        // What each run printed, and the state that it was left with.
        let mut runs: Vec<Vec<Value>> = Vec::new();
        let mut states = vec![std::fs::read(&file).unwrap()];
        let mut said = 0;
        for round in 0..KILLS {
            let mut talk = |poster: &mut Running, lines: usize| {
                for _ in 0..lines {
                    poster.say(&format!("m{said}"));
                    said += 1;
                }
            };
            talk(&mut poster, 10);
            let tail = Running::start(&mut target.command("alice", &args));
            talk(&mut poster, 20);
            let mut printed = Vec::new();
            let wanted = dice.roll(26);
            let mut messages = 0;
            while messages < wanted {
                let line = tail.next();
                messages += u64::from(line.get("content").is_some());
                printed.push(line);
            }
            if round % 3 == 0 {
                std::thread::sleep(Duration::from_millis(dice.roll(600)));
            }
            printed.extend(tail.kill());
            runs.push(printed);
            states.push(std::fs::read(&file).unwrap());
        }
        assert_eq!(poster.finish().len(), said, "every post was accepted");
        let archive: Vec<_> = target.archive("t").into_iter().skip(1).collect();
        assert_eq!(archive.len(), said, "{}", target.name);
        // The last run is left alone until it has all.
        let tail = Running::start(&mut target.command("alice", &args));
        let mut printed = Vec::new();
        let last = &archive.last().unwrap().0;
        let told = |runs: &[Vec<Value>], last: &String| {
            let mut all = runs.iter().flatten();
            all.any(|line| line.get("content").is_some() && id(line) == *last)
        };
        while !told(&runs, last) && !told(std::slice::from_ref(&printed), last) {
            printed.push(tail.next());
        }
        printed.extend(tail.kill());
        runs.push(printed);

        let ids: Vec<String> = archive.iter().map(|(id, _)| id.clone()).collect();
        let (mut all, mut repeated) = (Vec::new(), 0);
        for (run, state) in runs.iter().zip(&states) {
            std::fs::write(&file, state).unwrap();
            let before = dealt_with(&file, "t", &ids);
            let mut mine = BTreeSet::new();
            for line in run {
                assert!(line.get("gap").is_none(), "{}: {line}", target.name);
                if line.get("content").is_none() {
                    continue;
                }
                let id = id(line);
                assert!(!before.contains(&id), "{}: twice: {line}", target.name);
                assert!(mine.insert(id.clone()), "{}: twice: {line}", target.name);
                if all.contains(&id) {
                    // It was printed, and its process killed before the file was saved.
                    repeated += 1;
                } else {
                    all.push(id);
                }
            }
        }
        println!("{}: {said} said, {repeated} repeated", target.name);
        assert_eq!(
            all, ids,
            "{}: no gap, and in the archive's order",
            target.name
        );
        let _ = std::fs::remove_file(&file);
    }
}

#[test]
fn posts_that_a_killed_process_left_in_doubt_are_resolved_by_the_next() {
    for target in Target::all() {
        let file = temporary("post.json");
        let state = file.to_str().unwrap();
        let mut dice = Dice(11);
        let mut known: BTreeSet<String> = BTreeSet::new();
        let (mut found, mut absent) = (0, 0);
        for round in 0..6_u32 {
            let args = ["post", "t", "--state", state];
            let mut poster = Running::start(&mut target.command("bob", &args));
            for line in 0..40 {
                poster.say(&format!("round {round} line {line}"));
            }
            // What the rounds before left comes first.
            let mut lines = Vec::new();
            let wanted = 1 + dice.roll(20);
            let mut posted = 0;
            while posted < wanted {
                let line = poster.next();
                posted += u64::from(line.get("backendMsgId").is_some());
                lines.push(line);
            }
            lines.extend(poster.kill());
            for line in lines {
                let line = match line.get("resolved") {
                    Some(resolved) if resolved["outcome"] == "found" => {
                        found += 1;
                        resolved.clone()
                    }
                    Some(resolved) => {
                        assert_eq!(resolved["outcome"], "absent-so-far", "{resolved}");
                        absent += 1;
                        continue;
                    }
                    None => line,
                };
                known.insert(id(&line));
            }
            assert!(
                !read(&file)["posts"].as_array().unwrap().is_empty(),
                "killed with posts on their way, and none is written down"
            );
        }
        let args = ["post", "--state", state];
        let last = Running::start(&mut target.command("bob", &args)).finish();
        for line in &last {
            let resolved = &line["resolved"];
            if resolved["outcome"] == "found" {
                found += 1;
                known.insert(id(resolved));
            } else {
                absent += 1;
            }
        }
        println!("{}: {found} found, {absent} absent", target.name);
        assert!(found > 0, "{}", target.name);
        let archive: BTreeSet<String> = target.archive("t").into_iter().map(|(id, _)| id).collect();
        // Each was told as posted, or found by the next: none is there that nobody knows of.
        assert_eq!(known, archive, "{}", target.name);
        assert_eq!(read(&file)["posts"], serde_json::json!([]));
        let _ = std::fs::remove_file(&file);
    }
}

/// One run of a bridge that follows a topic and posts to it, told apart.
#[derive(Default)]
struct Bridged {
    /// What it pushed of the topic, in its order.
    messages: Vec<Value>,
    /// Ids of posts that were answered, or found by the next run.
    posted: BTreeSet<String>,
    answers: usize,
    /// Posts that the run before left in doubt, and that are not in the room.
    absent: usize,
}

impl Bridged {
    fn take(&mut self, line: &Value) {
        let params = &line["params"];
        match line["method"].as_str() {
            Some("message") => self.messages.push(params.clone()),
            Some("gap") => panic!("{line}"),
            Some("resolved") if params["outcome"] == "found" => {
                self.posted.insert(id(params));
            }
            Some("resolved") => {
                assert_eq!(params["outcome"], "absent-so-far", "{line}");
                self.absent += 1;
            }
            Some(_) => {}
            None => {
                assert!(line.get("error").is_none(), "{line}");
                if line["result"].get("backendMsgId").is_some() {
                    self.posted.insert(id(&line["result"]));
                    self.answers += 1;
                }
            }
        }
    }
}

/// A bridge that is asked to connect, to follow `t` and to post that many lines to it.
fn bridge(target: &Target, state: &str, said: &mut usize, posts: usize) -> Running {
    let mut bridge = Running::start(&mut target.command("alice", &["bridge", "--state", state]));
    let mut ask = |id: usize, method: &str, params: Value| {
        let call = serde_json::json!({
            "jsonrpc": "2.0", "id": id, "method": method, "params": params
        });
        bridge.say(&call.to_string());
    };
    ask(0, "connect", serde_json::json!({}));
    ask(1, "subscribe", serde_json::json!({ "topic": "t" }));
    for id in 2..posts + 2 {
        let content = format!("b{said}");
        *said += 1;
        ask(
            id,
            "post",
            serde_json::json!({ "topic": "t", "content": content }),
        );
    }
    bridge
}

#[test]
fn a_bridge_that_is_killed_tells_the_next_of_its_posts_and_its_place() {
    for target in Target::all() {
        let file = temporary("bridge.json");
        let state = file.to_str().unwrap();
        let mut dice = Dice(13);
        let mut begin = Running::start(&mut target.command("bob", &["post", "t"]));
        begin.say("begin");
        begin.finish();
        let mut said = 0;
        // Once the file knows the place, nothing can be missed.
        let first = bridge(&target, state, &mut said, 0);
        let began = Instant::now();
        while read(&file)["bookmarks"]["t"].is_null() {
            assert!(began.elapsed() < PATIENCE, "no place");
            std::thread::sleep(Duration::from_millis(20));
        }
        first.kill();
        let mut runs: Vec<Bridged> = Vec::new();
        let mut states = vec![std::fs::read(&file).unwrap()];
        for round in 0..8 {
            let running = bridge(&target, state, &mut said, 40);
            let mut run = Bridged::default();
            let wanted = 1 + dice.roll(38);
            while u64::try_from(run.answers).unwrap() < wanted {
                run.take(&running.next());
            }
            if round % 3 == 0 {
                std::thread::sleep(Duration::from_millis(dice.roll(600)));
            }
            running.kill().iter().for_each(|line| run.take(line));
            runs.push(run);
            states.push(std::fs::read(&file).unwrap());
        }
        // The last run is left alone until it has said what the others left.
        let mut running = bridge(&target, state, &mut said, 1);
        let mut run = Bridged::default();
        let began = Instant::now();
        while run.answers == 0 || !read(&file)["posts"].as_array().unwrap().is_empty() {
            assert!(began.elapsed() < PATIENCE, "posts stay in doubt");
            if let Ok(line) = running.lines.recv_timeout(Duration::from_millis(50)) {
                run.take(&serde_json::from_str(&line).expect(&line));
            }
        }
        let archive: Vec<_> = target.archive("t").into_iter().skip(1).collect();
        let last = &archive.last().unwrap().0;
        while !run.messages.iter().any(|message| id(message) == *last) {
            run.take(&running.next());
        }
        drop(running.input.take());
        running.finish().iter().for_each(|line| run.take(line));
        runs.push(run);

        let ids: Vec<String> = archive.iter().map(|(id, _)| id.clone()).collect();
        let (mut all, mut repeated, mut absent) = (Vec::new(), 0, 0);
        let mut posted = BTreeSet::new();
        for (run, state) in runs.iter().zip(&states) {
            std::fs::write(&file, state).unwrap();
            let before = dealt_with(&file, "t", &ids);
            let mut mine = BTreeSet::new();
            for message in &run.messages {
                let id = id(message);
                assert!(!before.contains(&id), "{}: twice: {message}", target.name);
                assert!(mine.insert(id.clone()), "{}: twice: {message}", target.name);
                if all.contains(&id) {
                    repeated += 1;
                } else {
                    all.push(id);
                }
            }
            posted.extend(run.posted.iter().cloned());
            absent += run.absent;
        }
        println!(
            "{}: {said} said, {} in the room, {absent} absent, {repeated} repeated",
            target.name,
            ids.len()
        );
        assert_eq!(
            all, ids,
            "{}: no gap, and in the archive's order",
            target.name
        );
        let there: BTreeSet<String> = ids.into_iter().collect();
        // Each was answered, or found by the next: none is there that nobody knows of.
        assert_eq!(posted, there, "{}", target.name);
        let _ = std::fs::remove_file(&file);
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

#[test]
fn replies_name_the_author_and_quote_and_forbidden_characters_are_replaced_if_asked() {
    use serde_json::json;

    for target in Target::all() {
        let name = &target.name;
        let args = ["post", "t", "@carol: red\nagain"];
        let bobs = id(&Running::start(&mut target.command("bob", &args)).finish()[0]);
        let mut bridge = Bridge::start(&target, "alice", &[]);
        bridge.ask("subscribe", json!({ "topic": "t", "since": "" }));
        let message = bridge.told("message");
        assert_eq!(message["backendMsgId"], bobs.as_str());
        assert_eq!(message["mentions"], json!(["carol"]));

        // The id alone is enough for what the bridge told.
        let reply = json!({ "topic": "t", "content": "mended", "inReplyTo": bobs });
        let answer = bridge.ask("post", reply);
        assert_eq!(answer["replyAuthor"], "bob", "{name}");
        assert_eq!(answer["quoted"], true, "{name}");
        let message = bridge.told("message");
        assert_eq!(message["inReplyTo"], bobs.as_str());
        assert_eq!(message["mentions"], json!([]), "{message}");
        // Also for what it posted, without what that quotes itself.
        let own = id(&answer);
        let reply = json!({ "topic": "t", "content": "really", "inReplyTo": own });
        assert_eq!(bridge.ask("post", reply)["replyAuthor"], "alice");
        // Of what it does not know it says so.
        let reply = json!({ "topic": "t", "content": "what?", "inReplyTo": "no-such-id" });
        let answer = bridge.ask("post", reply);
        assert!(answer["replyAuthor"].is_null(), "{answer}");
        assert_eq!(answer["quoted"], false);
        // What is given counts.
        let reply = json!({
            "topic": "t", "content": "no", "inReplyTo": bobs,
            "replyAuthor": "carol", "quote": "blue",
        });
        assert_eq!(bridge.ask("post", reply)["replyAuthor"], "carol");
        let reply = json!({ "topic": "t", "content": "so", "inReplyTo": bobs, "quote": "" });
        assert_eq!(bridge.ask("post", reply)["quoted"], false);
        for reply in [
            json!({ "topic": "t", "content": "x", "quote": "blue" }),
            json!({ "topic": "t", "content": "x", "inReplyTo": "" }),
            json!({ "topic": "t", "content": "x", "inReplyTo": bobs, "replyAuthor": "a\u{7}" }),
        ] {
            bridge.refused("post", reply);
        }

        let mut post = json!({ "topic": "t", "content": "a\u{1b}b" });
        let error = bridge.refused("post", post.clone());
        let remedy = error["data"]["remedy"].as_str().unwrap();
        assert!(remedy.contains("replaceForbidden"), "{remedy}");
        post["replaceForbidden"] = true.into();
        assert!(bridge.ask("post", post).get("quoted").is_none());
        bridge.running.finish();

        let args = ["post", "t", "late", "--reply-to", &bobs, "--reply-author"];
        let args = [&args[..], &["bob", "--quote", "red"]].concat();
        Running::start(&mut target.command("carol", &args)).finish();
        let archive = target.archive("t");
        let texts: Vec<_> = archive.iter().map(|(_, text)| text.as_str()).collect();
        let expected = [
            "@carol: red\nagain",
            "> bob wrote:\n> @carol: red\n> again\nmended",
            "> alice wrote:\n> mended\nreally",
            "what?",
            "> carol wrote:\n> blue\nno",
            "so",
            "a\u{fffd}b",
            "> bob wrote:\n> red\nlate",
        ];
        assert_eq!(texts, expected, "{name}");
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

#[test]
fn posts_in_doubt_to_a_room_that_refuses_us_are_told_and_kept_until_they_are_forgotten() {
    use serde_json::json;

    let target = Target::serve("prosody");
    let file = temporary("refused.json");
    let state = file.to_str().unwrap();
    let tokens = ["one", "two"].map(|id| token("ops@muc.nowhere.example", id));
    std::fs::write(&file, json!({ "topics": {}, "posts": tokens }).to_string()).unwrap();
    let args = ["post", "t", "hello", "--state", state];
    let lines = Running::start(&mut target.command("bob", &args)).finish();
    let (resolved, posted): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|line| line.get("resolved").is_some());
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert_eq!(resolved.len(), 2, "{resolved:?}");
    for line in &resolved {
        let found = &line["resolved"];
        assert_eq!(found["outcome"], "cannot-tell", "{found}");
        assert_eq!(found["kept"], true, "{found}");
        assert!(found["reason"].is_string(), "{found}");
    }
    assert_eq!(read(&file)["posts"], json!(tokens));

    // In words, each once, with what to do about it.
    let mut command = target.plain("bob", &["post", "--state", state]);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    for token in &tokens {
        let remedy = format!("post --state {state} --forget {token}");
        assert_eq!(said.matches(&remedy).count(), 1, "{said}");
    }
    let forget = ["post", "--state", state, "--forget", &tokens[0]];
    assert!(
        Running::start(&mut target.command("bob", &forget))
            .finish()
            .is_empty()
    );
    assert_eq!(read(&file)["posts"], json!([tokens[1]]));
    let again = target.plain("bob", &forget).output().unwrap();
    assert_eq!(again.status.code(), Some(2));

    // The same through the bridge.
    let mut bridge = Bridge::start(&target, "bob", &["--state", state]);
    let resolved = bridge.told("resolved");
    assert_eq!(resolved["token"], tokens[1].as_str());
    assert_eq!(resolved["kept"], true, "{resolved}");
    assert_eq!(read(&file)["posts"], json!([tokens[1]]));
    bridge.ask("forget", json!({ "token": tokens[1] }));
    assert_eq!(read(&file)["posts"], json!([]));
    bridge.refused("forget", json!({ "token": tokens[1] }));
    bridge.refused("forget", json!({ "token": "pt1.x" }));
    bridge.running.finish();
    let _ = std::fs::remove_file(&file);
}
