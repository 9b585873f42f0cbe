//! Cut at every byte.

use super::session::{BRIEF, Failures, POSTS, count, outcomes, session, stride};

const WAYS: [&str; 3] = ["fin", "reset", "silence"];

/// Cuts the session of one server in one direction, at every byte there is: in all three
/// ways, or in one of them in turn.
fn cut_everywhere(server: &str, from: &str) {
    let all = std::env::var_os("PARLEY_CUTS").is_some_and(|cuts| cuts == "all");
    let in_turn = !all && server.contains("ejabberd");
    let stride = stride(61) * if in_turn { 3 } else { 1 };
    let (mut runs, mut sessions, mut resumed, mut committed, mut locked_out) = (0, 0, 0, 0, 0);
    let mut failures = Failures::default();
    for (how, turn) in WAYS.into_iter().zip(0..) {
        // Where not every byte has its turn in each way, each way has others.
        let mut after = turn * stride / 3;
        let before = runs;
        loop {
            let line = format!("at 0s cut host 0 from {from} after {after} how {how}");
            let (report, seen, plan) = session(server, BRIEF, &line);
            failures.take(&report, &plan);
            committed += outcomes(&report, &seen, &plan);
            assert_eq!(seen.posted, POSTS, "{plan}");
            sessions += 1;
            resumed += u64::from(count(&report, "resumed") > 0);
            if seen.locked_out {
                assert_eq!(how, "silence", "the creator can come back:\n{plan}");
                locked_out += 1;
            }
            // The session is over before that byte: it was cut everywhere.
            if !seen.broken {
                break;
            }
            runs += 1;
            after += stride;
        }
        assert!(runs > before + 10, "{how}: {runs}");
    }
    println!(
        "{server}, bytes from the {from}: {runs} sessions cut, {}; {resumed} resumed, \
         {committed} posts committed, {locked_out} rooms left locked",
        match in_turn {
            true => format!("at each {}. byte in one of three ways", stride / 3),
            false => format!("at each {stride}. byte in three ways"),
        }
    );
    failures.end(runs);
    assert!(runs > 30, "only {runs} sessions: nothing was cut");
    // What is not is the cut host's: it leaves the room before it is back, or is silent.
    let share = committed * 100 / (sessions * POSTS);
    assert!(share >= 75, "only {share} % of all posts are committed");
    if server.contains("resumption") {
        // Most of the bytes come after the login.
        assert!(resumed > runs / 3, "{resumed} of {runs} were resumed");
    } else {
        assert_eq!(resumed, 0, "resumed without resumption");
    }
}

/// Tests of their own, so that they run beside each other.
macro_rules! cuts {
    ($($name:ident: $server:literal from $from:literal,)*) => {$(
        #[test]
        fn $name() {
            cut_everywhere($server, $from);
        }
    )*};
}

cuts! {
    prosody_from_the_host: "prosody" from "host",
    prosody_from_the_server: "prosody" from "server",
    prosody_from_the_host_with_resumption: "prosody resumption" from "host",
    prosody_from_the_server_with_resumption: "prosody resumption" from "server",
    ejabberd_from_the_host: "ejabberd" from "host",
    ejabberd_from_the_server: "ejabberd" from "server",
    ejabberd_from_the_host_with_resumption: "ejabberd resumption" from "host",
    ejabberd_from_the_server_with_resumption: "ejabberd resumption" from "server",
}
