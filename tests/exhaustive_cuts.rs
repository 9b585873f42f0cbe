//! One session, disturbed at every place there is: login, stream management, join, posts,
//! live messages, catch-up, leave; on the models of both servers, with resumption and
//! without. Afterwards all is well again, and every rule has to hold.
//!
//! - cut at every byte, in both directions, by FIN, RST and silence (on the model with
//!   ejabberd's habits by one of them in turn);
//! - every stanza of the server doubled, dropped, and swapped with the next;
//! - every timer of the client late, by a second and by a minute.
//!
//! A release build cuts at every byte, a debug build at every 61st; `PARLEY_STRIDE=1` tries
//! every one there too. Stanzas and timers are all tried in both.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::rc::Rc;

use parley_xmpp::Instant;
use parley_xmpp::sim::plan::Plan;
use parley_xmpp::sim::server::Note;
use parley_xmpp::sim::{Happening, Pulling, Report, Watch, run};

/// The session of host 0; host 1 is who it talks to.
const SESSION: &str = r#"
heal 8s
end 215s
at 0s host 1 join red@muc.parley.local
at 0s host 0 join red@muc.parley.local
at 0s host 0 follow red@muc.parley.local
at 1s host 0 post red@muc.parley.local "one"
at 1s host 0 post red@muc.parley.local "two"
at 1.1s host 1 post red@muc.parley.local "three"
at 1.2s host 1 post red@muc.parley.local "four\r\n& <five>"
at 2s host 0 unfollow red@muc.parley.local
at 2.1s host 1 post red@muc.parley.local "six"
at 2.2s host 1 post red@muc.parley.local "seven"
at 2.5s host 0 follow red@muc.parley.local
at 3s host 0 fetch red@muc.parley.local 3
at 3.1s host 0 post red@muc.parley.local "eight"
at 3.5s host 1 post red@muc.parley.local "nine"
at 5s host 0 leave red@muc.parley.local
at 6s host 0 join red@muc.parley.local
at 6s host 0 follow red@muc.parley.local
"#;

/// How many posts there are: of host 1, which nothing befalls, and in all.
const BY_THE_OTHER: u64 = 5;
const POSTS: u64 = 8;

/// Whether the disturbance came to be, and which stanzas it was about.
#[derive(Default)]
struct Came {
    broken: bool,
    tampered: Vec<String>,
}

impl Watch for Came {
    fn see(&mut self, _: Instant, happening: &Happening<'_>) {
        match happening {
            Happening::Broken { .. } => self.broken = true,
            Happening::Noted(Note::Tampered { stanzas, .. }) => self.tampered.clone_from(stanzas),
            _ => {}
        }
    }
}

/// Runs the session of a server with one more line.
fn session(server: &str, line: &str) -> (Report, Came, String) {
    let plan = format!(
        "plan 1\nseed 1\nserver {server} page-cap 2\n\
         weather latency 0.01s jitter 0s packet 1460\nhost u0\nhost u1\nat 0s {line}{SESSION}"
    );
    let parsed = Plan::parse(&plan).expect("a plan");
    let came = Rc::new(RefCell::new(Came::default()));
    let watchers: Vec<Box<dyn Watch>> = vec![Box::new(Rc::clone(&came))];
    let report = run(&parsed, Pulling::default(), watchers);
    let came = came.take();
    (report, came, plan)
}

fn count(report: &Report, path: &str) -> u64 {
    report.tally.get(path).copied().unwrap_or(0)
}

/// How many posts are committed; each has an outcome, and who is left alone commits all.
fn outcomes(report: &Report, plan: &str) -> u64 {
    let committed = count(report, "post committed");
    // Who created the room on Prosody and falls silent before unlocking it keeps all others
    // out for longer than a first join waits: that is told, and nothing is posted.
    let locked_out = plan.contains("how silence") && count(report, "join failed: refused") > 0;
    assert!(
        committed >= BY_THE_OTHER || locked_out,
        "{committed} committed:\n{plan}"
    );
    let others = ["post not sent", "post unknown", "post rejected"];
    let others: u64 = others.iter().map(|path| count(report, path)).sum();
    assert_eq!(committed + others, POSTS, "outcomes:\n{plan}");
    committed
}

fn stride() -> u64 {
    let usual = if cfg!(debug_assertions) { 61 } else { 1 };
    std::env::var("PARLEY_STRIDE").map_or(usual, |text| text.parse().expect("a number"))
}

/// Cuts the session of one server in one direction, at every byte there is: on Prosody
/// each in all three ways, on ejabberd in one of them in turn.
fn cut_everywhere(server: &str, from: &str) {
    let in_turn = server.contains("ejabberd");
    let stride = stride() * if in_turn { 3 } else { 1 };
    let (mut runs, mut sessions, mut resumed, mut committed) = (0, 0, 0, 0);
    let mut failed = Vec::new();
    for (how, turn) in [("fin", 0), ("reset", 1), ("silence", 2)] {
        let mut after = if in_turn { turn * stride / 3 } else { 0 };
        let before = runs;
        loop {
            let line = format!("cut host 0 from {from} after {after} how {how}");
            let (report, came, plan) = session(server, &line);
            if let Some((at, violation)) = report.violations.first() {
                failed.push(format!("{at:?} {violation:?}\n{plan}"));
            }
            committed += outcomes(&report, &plan);
            sessions += 1;
            resumed += u64::from(count(&report, "resumed") > 0);
            // The session is over before that byte: it was cut everywhere.
            if !came.broken {
                break;
            }
            runs += 1;
            after += stride;
        }
        assert!(runs > before + 10, "{how}: {runs}");
    }
    println!(
        "{server}, bytes from the {from}: {runs} sessions, cut at each {stride}. byte; \
         {resumed} resumed, {committed} posts committed"
    );
    let first = failed.first();
    assert!(failed.is_empty(), "{} of {runs}: {first:?}", failed.len());
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

/// Whether nothing could tell the client what was done to these stanzas: a page of an
/// archive names its first item and its last (XEP-0059, section 2.2), not those between;
/// and what is said in a room is in the order in which it comes.
fn is_beyond(how: &str, stanzas: &[String]) -> bool {
    let result = |text: &String| text.contains("<result ");
    let said = |text: &String| text.contains("type='groupchat'");
    match how {
        "drop" => stanzas.iter().any(result),
        "swap" => stanzas.iter().all(result) || stanzas.iter().all(said),
        _ => false,
    }
}

/// Tampers with every stanza for host 0.
fn tamper_everywhere(server: &str) {
    let (mut runs, mut beyond) = (0, 0);
    let mut failed = Vec::new();
    for how in ["double", "drop", "swap"] {
        let before = runs;
        for after in 0..60 {
            let (report, came, plan) = session(server, &format!("tamper u0 after {after} {how}"));
            runs += usize::from(!came.tampered.is_empty());
            let excused = is_beyond(how, &came.tampered);
            for (at, violation) in report.violations {
                if excused && ["S3", "S4", "S5"].contains(&violation.rule) {
                    beyond += 1;
                    break;
                }
                failed.push(format!("{at:?} {violation:?}\n{:?}\n{plan}", came.tampered));
            }
        }
        assert!(runs > before + 25, "{server}, {how}: {before} to {runs}");
    }
    println!("{server}: {runs} stanzas tampered with, {beyond} of them beyond the client");
    let first = failed.first().map_or("", String::as_str);
    assert!(failed.is_empty(), "{} of {runs}: {first}", failed.len());
}

/// Lets every timer of host 0 go off late.
fn late_everywhere(server: &str) {
    let (mut runs, mut failed) = (0, Vec::new());
    for by in ["1s", "60s"] {
        for after in 0..25 {
            let line = format!("skew host 0 after {after} by {by}");
            let (report, _, plan) = session(server, &line);
            runs += 1;
            for (at, violation) in &report.violations {
                failed.push(format!("{at:?} {violation:?}\n{plan}"));
            }
            outcomes(&report, &plan);
        }
    }
    let first = failed.first().map_or("", String::as_str);
    assert!(failed.is_empty(), "{} of {runs}: {first}", failed.len());
}

const SERVERS: [&str; 4] = [
    "prosody",
    "prosody resumption",
    "ejabberd",
    "ejabberd resumption",
];

#[test]
fn every_stanza_of_the_server_doubled_dropped_and_swapped() {
    for server in SERVERS {
        tamper_everywhere(server);
    }
}

#[test]
fn every_timer_late() {
    for server in SERVERS {
        late_everywhere(server);
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
