//! Hosts of the bridge that read slowly, or not at all for a while.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout};

use serde_json::{Value, json};

use crate::{PATIENCE, Running, Target, dealt_with, id, temporary};

/// More than all that lies between a bridge and its host takes: their pipe and the lines
/// that wait to be written.
const MESSAGES: usize = 1_000;
const BYTES: usize = 24 * 1024;

/// Posts that many messages of that size to `t`, and gives their ids.
fn fill(target: &Target, messages: usize, bytes: usize) -> Vec<String> {
    let mut poster = Running::start(&mut target.command("bob", &["post", "t"]));
    let filler = "x".repeat(bytes);
    for n in 0..messages {
        poster.say(&format!("{n} {filler}"));
    }
    let posted = poster.finish();
    assert_eq!(posted.len(), messages);
    target.archive("t").into_iter().map(|(id, _)| id).collect()
}

/// A bridge of which no line is read but by the test.
struct Host {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn start(target: &Target, state: &Path) -> Self {
        let args = ["bridge", "--state", state.to_str().unwrap()];
        let mut child = target.command("alice", &args).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut host = Self {
            child,
            input,
            output,
        };
        host.ask(0, "connect", json!({}));
        host
    }

    fn ask(&mut self, id: u64, method: &str, params: Value) {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        writeln!(self.input, "{call}").unwrap();
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect(&line)
    }

    /// The next line that is a message.
    fn message(&mut self) -> String {
        loop {
            let line = self.line();
            assert!(line.get("error").is_none(), "{line}");
            assert_ne!(line["method"], "gap", "{line}");
            if line["method"] == "message" {
                return id(&line["params"]);
            }
        }
    }

    /// What of it is in memory, in KiB.
    #[cfg(target_os = "linux")]
    fn resident(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bridge once kept all that it wrote as long as more waited to be written, and saved
/// nothing as long.
#[test]
fn a_bridge_whose_host_reads_slowly_keeps_little_and_remembers_its_place() {
    for personality in ["prosody", "ejabberd"] {
        let target = Target::serve(personality);
        let archive = fill(&target, MESSAGES, BYTES);
        let file = temporary("slow.json");
        let mut host = Host::start(&target, &file);
        host.ask(1, "subscribe", json!({ "topic": "t", "since": "" }));
        let mut resident = Vec::new();
        let half = MESSAGES / 2;
        for (n, expected) in archive.iter().enumerate().take(half) {
            assert_eq!(host.message(), *expected);
            if n == half / 4 || n == half - 1 {
                #[cfg(target_os = "linux")]
                resident.push(host.resident());
            }
            // For the bridge to be ahead, so that more always waits.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        if let [early, late] = resident[..] {
            println!("{personality}: {early} KiB, then {late} KiB");
            let written = (half * BYTES / 1024) as u64;
            assert!(late < early + written / 2, "{early} KiB, then {late} KiB");
        }
        // The host reads no more. What it has read is remembered all the same.
        let begin = std::time::Instant::now();
        let read = archive[half - 1].clone();
        let remembered = || -> bool {
            let known = crate::read(&file)["bookmarks"]["t"].is_string();
            known && dealt_with(&file, "t", &archive).contains(&read)
        };
        while !remembered() {
            assert!(begin.elapsed() < PATIENCE, "{personality}: no place");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        drop(host);
        // The next goes on behind all that was read.
        let left = dealt_with(&file, "t", &archive);
        let mut host = Host::start(&target, &file);
        host.ask(1, "subscribe", json!({ "topic": "t" }));
        assert_eq!(host.message(), archive[left.len()]);
        assert!(left.len() >= half);
        drop(host);
        let _ = std::fs::remove_file(&file);
    }
}

/// The place to go on from was once taken when the request came, while what the subscription
/// before it had queued was not written yet, and so came again.
#[test]
fn a_topic_subscribed_again_at_once_gives_nothing_twice() {
    let topic = json!({ "topic": "t" });
    let again = [("unsubscribe", topic.clone()), ("subscribe", topic.clone())];
    let back = [
        ("disconnect", json!({})),
        ("connect", json!({})),
        ("subscribe", topic.clone()),
    ];
    // Some of it before it has begun.
    let thrice = [again.clone(), again.clone(), again.clone()].concat();
    let ways = [&again[..], &back, &thrice];
    for personality in ["prosody", "ejabberd"] {
        let target = Target::serve(personality);
        let mut archive = fill(&target, 300, 4 * 1024);
        for calls in ways {
            let file = temporary("again.json");
            let mut host = Host::start(&target, &file);
            host.ask(1, "subscribe", json!({ "topic": "t", "since": "" }));
            let mut told: Vec<String> = (0..5).map(|_| host.message()).collect();
            // For lines to queue up; without, this shows less.
            std::thread::sleep(std::time::Duration::from_millis(500));
            for (id, (method, params)) in (2..).zip(calls) {
                host.ask(id, method, params.clone());
            }
            while told.last() != archive.last() {
                told.push(host.message());
            }
            assert_eq!(told, archive, "{personality}: {calls:?}");
            // Nothing is left out of what follows.
            let mut poster = Running::start(&mut target.command("bob", &["post", "t"]));
            poster.say("and on");
            let next = id(&poster.finish()[0]);
            assert_eq!(host.message(), next, "{personality}: {calls:?}");
            archive.push(next);
            drop(host);
            let _ = std::fs::remove_file(&file);
        }
    }
}
