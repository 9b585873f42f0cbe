//! Posts of a killed process that the network still carries, and the resource by which the
//! next process makes the server end the connection that they are on.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Kind, MUC, MUC_ELSEWHERE};
use crate::{Bridge, PATIENCE, Running, Target, read, temporary};

/// A way to a server on which what the client says can be held back, and goes on when the
/// client is long gone, as a kernel does that sends again what was lost.
struct Way {
    port: u16,
    /// What is held back, once it is.
    held: Arc<Mutex<Option<Vec<u8>>>>,
    let_go: Sender<()>,
    /// The server has read all that there was, or ended the connection before.
    over: Receiver<()>,
}

impl Way {
    /// For one connection.
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = Arc::new(Mutex::new(None));
        let (let_go, released) = channel();
        let (ended, over) = channel();
        let holding = Arc::clone(&held);
        std::thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).unwrap();
            let (mut from_server, mut to_client) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = from_server.read(&mut chunk) {
                    // The client may be gone.
                    let _ = to_client.write_all(&chunk[..read]);
                }
                let _ = to_client.shutdown(Shutdown::Both);
                let _ = ended.send(());
            });
            carry(client, &server, &holding);
            // The client is gone. Its last words arrive when they do.
            if released.recv().is_err() {
                return;
            }
            let held = holding.lock().unwrap().take().unwrap_or_default();
            let _ = (&server).write_all(&held);
            let _ = server.shutdown(Shutdown::Write);
        });
        Self {
            port,
            held,
            let_go,
            over,
        }
    }

    fn hold(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    fn holds(&self, text: &str) -> bool {
        let held = self.held.lock().unwrap();
        let held = held.as_ref().unwrap();
        held.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn let_go(&self) {
        self.let_go.send(()).unwrap();
        self.over.recv_timeout(PATIENCE).expect("an end");
    }
}

/// From the client to the server, or to what is held back.
fn carry(mut client: TcpStream, mut server: &TcpStream, held: &Mutex<Option<Vec<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut chunk) {
        match &mut *held.lock().unwrap() {
            Some(held) => held.extend_from_slice(&chunk[..read]),
            None => server.write_all(&chunk[..read]).unwrap(),
        }
    }
}

fn until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Leaves a post to `t` on its way that the server has not got yet, by a process that is
/// killed.
fn leave_on_its_way(target: &Target, file: &Path, text: &str) -> Way {
    leave_on_its_way_to(MUC, target, file, text)
}

/// The same at that room service.
fn leave_on_its_way_to(muc: &str, target: &Target, file: &Path, text: &str) -> Way {
    let way = Way::to(target.port);
    let args = ["post", "t", "--state", file.to_str().unwrap()];
    let mut command = target.command("bob", &args);
    command.env("PARLEY_XMPP_MUC", muc);
    command.env(
        "PARLEY_XMPP_SERVICE",
        format!("xmpp://127.0.0.1:{}", way.port),
    );
    let mut poster = Running::start(&mut command);
    poster.say("in time");
    poster.next();
    way.hold();
    poster.say(text);
    until("it does not leave", || way.holds(text));
    poster.kill();
    way
}

fn resolved(command: &mut Command) -> Value {
    let mut lines = Running::start(command).finish();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)["resolved"].take()
}

/// Each process once connected under a resource of its own: what it did not find in the room
/// was told to be absent, and came later on the connection of the one before.
#[test]
fn a_post_of_a_killed_process_that_arrives_late_is_fenced_or_kept() {
    for target in Target::all() {
        let file = temporary("late.json");
        let args = ["post", "--state", file.to_str().unwrap()];
        let way = leave_on_its_way(&target, &file, "too late");
        let told = resolved(&mut target.command("bob", &args));
        assert_eq!(told["outcome"], "absent-so-far", "{}: {told}", target.name);
        assert!(told.get("kept").is_none(), "{}: {told}", target.name);
        assert_eq!(read(&file)["posts"], json!([]));
        way.let_go();
        let archive = target.archive("t");
        let texts: Vec<_> = archive.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["in time"], "{}", target.name);
        std::fs::remove_file(file).unwrap();
    }
}

/// What the own server took may wait in its queue for the other one, whatever becomes of the
/// connection: it was once told to be absent, and dropped.
#[test]
fn a_post_to_a_room_elsewhere_is_kept_although_its_connection_was_ended() {
    let Some(target) = Target::real(Kind::Prosody) else {
        return;
    };
    let file = temporary("far.json");
    let state = file.to_str().unwrap();
    let way = leave_on_its_way_to(MUC_ELSEWHERE, &target, &file, "in a queue");
    let posts = read(&file)["posts"].clone();
    let told = resolved(&mut target.command("bob", &["post", "--state", state]));
    assert_eq!(told["outcome"], "cannot-tell", "{told}");
    assert_eq!(told["kept"], true, "{told}");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains(MUC_ELSEWHERE), "{told}");
    assert_eq!(read(&file)["posts"], posts);
    way.let_go();
    // The same through the bridge.
    let mut bridge = Bridge::start(&target, "bob", &["--state", state]);
    let told = bridge.told("resolved");
    assert_eq!(told["kept"], true, "{told}");
    let token = told["token"].clone();
    bridge.ask("forget", json!({ "token": token }));
    bridge.running.finish();
    assert_eq!(read(&file)["posts"], json!([]));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_post_is_not_called_absent_by_who_has_another_resource() {
    let target = Target::serve("prosody");
    let file = temporary("elsewhere.json");
    let state = file.to_str().unwrap();
    let way = leave_on_its_way(&target, &file, "late");
    let posts = read(&file)["posts"].clone();
    let args = ["post", "--state", state, "--resource", "elsewhere"];
    let told = resolved(&mut target.command("bob", &args));
    assert_eq!(told["outcome"], "cannot-tell", "{told}");
    assert_eq!(told["kept"], true, "{told}");
    let sender = format!(
        "bob@parley.local/{}",
        read(&file)["resource"].as_str().unwrap()
    );
    assert!(told["reason"].as_str().unwrap().contains(&sender), "{told}");
    assert_eq!(read(&file)["posts"], posts);
    way.let_go();
    let told = resolved(&mut target.command("bob", &["post", "--state", state]));
    assert_eq!(told["outcome"], "found", "{told}");
    assert_eq!(read(&file)["posts"], json!([]));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn who_has_the_state_file_has_the_resource() {
    let target = Target::serve("prosody");
    let file = temporary("resource.json");
    let args = ["--state", file.to_str().unwrap()];
    // What a program says of its connection with -v.
    let says = |args: &[&str], jid: &str| {
        let mut command = target.command("alice", args);
        let output = command.arg("-v").stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(jid), "{jid}: {said}");
    };
    let jid = |bridge: &mut Bridge| bridge.told("state")["jid"].as_str().unwrap().to_owned();
    let mut bridge = Bridge::start(&target, "alice", &args);
    let first = jid(&mut bridge);
    let kept = read(&file)["resource"].as_str().unwrap().to_owned();
    assert_eq!(first, format!("alice@parley.local/{kept}"));
    bridge.running.kill();
    let mut bridge = Bridge::start(&target, "alice", &args);
    assert_eq!(jid(&mut bridge), first);
    bridge.running.kill();
    says(&[&["post", "t", "x"], &args[..]].concat(), &first);
    // One that is given counts for that run.
    let mut bridge = Bridge::start(
        &target,
        "alice",
        &[&args[..], &["--resource", "r"]].concat(),
    );
    assert_eq!(jid(&mut bridge), "alice@parley.local/r");
    bridge.running.kill();
    let mut tail = target.command("alice", &[&["tail", "t"], &args[..]].concat());
    let mut tail = tail.arg("-v").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = Vec::new();
    let mut errors = tail.stderr.take().unwrap();
    while !said.ends_with(first.as_bytes()) {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "no {first}");
        said.push(byte[0]);
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(read(&file)["resource"], kept);
    std::fs::remove_file(file).unwrap();
}
