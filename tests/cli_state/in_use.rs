//! A state file that another process uses.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Bridge, PATIENCE, Running, Target, read, temporary, token};

/// `tail` once wrote back the posts in doubt that it had found at its start, and so erased
/// what a `post` beside it had written down.
#[test]
fn a_state_file_in_use_is_refused() {
    let target = Target::serve("prosody");
    let file = temporary("in-use.json");
    let state = file.to_str().unwrap();
    let mut bridge = Bridge::start(&target, "alice", &["--state", state]);
    bridge.ask("post", json!({ "topic": "t", "content": "one" }));
    // It has nothing more to write.
    let begin = Instant::now();
    while read(&file)["posts"] != json!([]) {
        assert!(begin.elapsed() < PATIENCE, "the post stays in doubt");
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = read(&file);
    let token = token("ops@muc.parley.local", "one");
    // However it is named.
    let other = temporary("in-use-too.json");
    std::os::unix::fs::symlink(&file, &other).unwrap();
    for args in [
        &["post", "t", "two", "--state", state][..],
        &["tail", "t", "--state", other.to_str().unwrap()],
        &["tail", "t", "--state", state],
        &["post", "--state", state],
        &["post", "--state", state, "--forget", &token],
        &["bridge", "--state", state],
    ] {
        let mut command = target.command("bob", args);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let said: serde_json::Value = serde_json::from_str(said.trim_end()).expect(&said);
        assert!(said["error"].as_str().unwrap().contains("in use"), "{said}");
        assert!(said["remedy"].as_str().unwrap().contains("own"), "{said}");
    }
    assert_eq!(read(&file), before);
    // A process that is killed leaves no lock.
    bridge.running.kill();
    let args = ["post", "t", "two", "--state", state];
    let lines = Running::start(&mut target.command("bob", &args)).finish();
    assert!(lines.iter().any(|line| line.get("backendMsgId").is_some()));
    assert_eq!(target.archive("t").len(), 2);
    for file in [file, other] {
        std::fs::remove_file(file).unwrap();
    }
}
