//! Requests to a bridge with a state file, and the place that it keeps.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Bridge, PATIENCE, Running, Target, dealt_with, id, read, temporary};

fn post(target: &Target, text: &str) -> String {
    let lines = Running::start(&mut target.command("bob", &["post", "t", text])).finish();
    id(&lines[0])
}

fn place(file: &std::path::Path) -> Value {
    read(file)["topics"]["t"].clone()
}

/// Whether it says that this message was told.
fn knows(file: &std::path::Path, id: &str) -> bool {
    let archive = [id.to_owned()];
    place(file).is_string() && dealt_with(file, "t", &archive).contains(id)
}

fn until_known(file: &std::path::Path, id: &str) {
    let begin = Instant::now();
    while !knows(file, id) {
        assert!(begin.elapsed() < PATIENCE, "{}", read(file));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The place was once given up before the room had let us in.
#[test]
fn a_subscribe_that_fails_leaves_the_place_that_was_kept() {
    let target = Target::serve("prosody");
    let file = temporary("place.json");
    let args = ["--state", file.to_str().unwrap()];
    let first = post(&target, "one");
    let mut bridge = Bridge::start(&target, "alice", &args);
    bridge.ask("subscribe", json!({ "topic": "t", "since": "" }));
    assert_eq!(id(&bridge.told("message")), first);
    until_known(&file, &first);
    // Somebody has the nick that the next connection insists on.
    let mut other = Bridge::start(&target, "bob", &[]);
    other.ask("subscribe", json!({ "topic": "t" }));
    bridge.ask("disconnect", json!({}));
    bridge.ask("connect", json!({ "nick": "bob" }));
    let refused = bridge.answer("subscribe", json!({ "topic": "t", "since": "" }));
    assert!(refused.get("error").is_some(), "{refused}");
    bridge.ask("disconnect", json!({}));
    bridge.running.finish();
    assert!(knows(&file, &first), "{}", read(&file));
    // The next goes on from it.
    let second = post(&target, "two");
    let mut bridge = Bridge::start(&target, "alice", &args);
    bridge.ask("subscribe", json!({ "topic": "t" }));
    assert_eq!(id(&bridge.told("message")), second);
    bridge.running.finish();
    std::fs::remove_file(file).unwrap();
}

/// A subscription once kept its turn until its answer was written, which is in a batch when all
/// of that is through.
#[test]
fn a_batch_that_takes_long_keeps_no_later_subscribe_waiting() {
    let target = Target::serve("prosody");
    let first = post(&target, "one");
    let topic = json!({ "topic": "t" });
    for way in [&["unsubscribe"][..], &["disconnect", "connect"]] {
        let mut bridge = Bridge::start(&target, "alice", &[]);
        let wait = json!({ "topic": "u", "since": "", "blockMs": 3_600_000 });
        let batch = json!([
            { "jsonrpc": "2.0", "id": "s", "method": "subscribe", "params": topic },
            { "jsonrpc": "2.0", "id": "f", "method": "fetchRecent", "params": wait },
        ]);
        bridge.running.say(&batch.to_string());
        // A fetch asked for later takes a way to the server and back more: the first is set up.
        bridge.ask("fetchRecent", topic.clone());
        for method in way {
            let params = match *method {
                "unsubscribe" => topic.clone(),
                _ => json!({}),
            };
            bridge.ask(method, params);
        }
        let from_the_beginning = json!({ "topic": "t", "since": "" });
        bridge.ask("subscribe", from_the_beginning);
        assert_eq!(id(&bridge.told("message")), first, "{way:?}");
        drop(bridge);
    }
}

/// The same batch ends the connection that its first subscription is on, and goes on.
#[test]
fn a_batch_that_subscribes_on_two_connections_in_turn_ends() {
    let target = Target::serve("prosody");
    post(&target, "one");
    let mut bridge = Bridge::start(&target, "alice", &[]);
    for round in 0..20 {
        // Joined already, so that the first subscription takes as little as it can.
        bridge.ask("fetchRecent", json!({ "topic": "t" }));
        let call = |id: &str, method: &str, params: Value| {
            let id = format!("{round} {id}");
            json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
        };
        let batch = json!([
            call("s1", "subscribe", json!({ "topic": "t" })),
            call("d", "disconnect", json!({})),
            call("c", "connect", json!({})),
            call("s2", "subscribe", json!({ "topic": "t" })),
        ]);
        bridge.running.say(&batch.to_string());
        let answers = bridge.until(Value::is_array);
        let answers = answers.as_array().unwrap();
        for method in ["d", "c", "s2"] {
            let id = format!("{round} {method}");
            let answer = answers.iter().find(|answer| answer["id"] == id.as_str());
            assert!(answer.unwrap().get("result").is_some(), "{answers:?}");
        }
        bridge.ask("unsubscribe", json!({ "topic": "t" }));
    }
    bridge.running.finish();
}

/// That the file was not saved once stood in a log, where a host does not look.
#[test]
fn a_bridge_that_cannot_save_says_so_goes_on_and_saves_later() {
    let target = Target::serve("prosody");
    let file = temporary("unsaved.json");
    let name = file.file_name().unwrap().to_str().unwrap();
    // It is written here first; a directory in the way keeps root off as well.
    let in_the_way = file.with_file_name(format!(".{name}.tmp"));
    let first = post(&target, "one");
    let args = ["bridge", "--state", file.to_str().unwrap()];
    let mut command = target.command("alice", &args);
    let mut bridge = Bridge::begin(command.stderr(Stdio::piped()));
    bridge.ask("subscribe", json!({ "topic": "t", "since": "" }));
    until_known(&file, &first);
    for _ in 0..2 {
        std::fs::create_dir(&in_the_way).unwrap();
        let next = post(&target, "more");
        let told = bridge.told("stateFile");
        assert_eq!(told["saved"], false, "{told}");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(in_the_way.to_str().unwrap()), "{told}");
        assert!(told["remedy"].is_string(), "{told}");
        // What is posted is refused, and all else goes on.
        let refused = bridge.answer("post", json!({ "topic": "t", "content": "x" }));
        assert_eq!(refused["error"]["data"]["kind"], "not-sent", "{refused}");
        bridge.ask("fetchRecent", json!({ "topic": "t" }));
        assert!(!knows(&file, &next));
        std::fs::remove_dir(&in_the_way).unwrap();
        assert_eq!(bridge.told("stateFile"), json!({ "saved": true }));
        until_known(&file, &next);
    }
    // Once more, and for good.
    std::fs::create_dir(&in_the_way).unwrap();
    post(&target, "last");
    assert_eq!(bridge.told("stateFile")["saved"], false);
    drop(bridge.running.input.take());
    let status = bridge.running.child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    let mut said = String::new();
    let mut errors = bridge.running.child.stderr.take().unwrap();
    std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    assert!(said.contains("cannot write the state file"), "{said}");
    std::fs::remove_dir(&in_the_way).unwrap();
    std::fs::remove_file(file).unwrap();
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
