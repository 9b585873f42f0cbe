//! `tail`, `post` and `bridge`, killed again and again on each server.

use crate::*;

const KILLS: usize = 12;

/// What was told is written down while the process goes on, so that no other is told it again.
fn assert_written_down(target: &Target, file: &Path, told: &[Value]) {
    let told = told.iter().filter(|line| line.get("content").is_some());
    let told: BTreeSet<String> = told.map(id).collect();
    let archive = target.archive("t");
    let ids: Vec<String> = archive.into_iter().skip(1).map(|(id, _)| id).collect();
    let begin = Instant::now();
    while !told.is_subset(&dealt_with(file, "t", &ids)) {
        assert!(begin.elapsed() < PATIENCE, "{}: not saved", target.name);
        std::thread::sleep(Duration::from_millis(20));
    }
}

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
            match round % 3 {
                0 => std::thread::sleep(Duration::from_millis(dice.roll(600))),
                1 => assert_written_down(&target, &file, &printed),
                _ => {}
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
            match round % 3 {
                0 => std::thread::sleep(Duration::from_millis(dice.roll(600))),
                1 => assert_written_down(&target, &file, &run.messages),
                _ => {}
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
