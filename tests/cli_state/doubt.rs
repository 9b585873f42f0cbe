//! Posts in doubt to a room that does not let us in any more.

use crate::*;

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
