//! What goes wrong in worlds, one thing at a time: each fault does what it says, and the
//! client comes through. Which fault is done by what: `src/sim/plan/faults.md`.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use parley_xmpp::sim::plan::{Plan, Weather};
use parley_xmpp::sim::server::{Personality, ServerSetup};
use parley_xmpp::sim::{Bot, Hands, Pulling, Report, World, run};
use parley_xmpp::{Config, Event, Instant};

/// Two clients follow a room; what is particular comes from the lines. Breaks no rule.
fn world(server: &str, lines: &str) -> Report {
    let text = format!(
        "plan 1
seed 7
server {server}
weather latency 0.01s jitter 0.002s packet 1460
host u0
host u1
heal 300s
end 600s
at 0.1s host 0 join red@muc.parley.local
at 0.1s host 0 follow red@muc.parley.local
at 0.3s host 1 join red@muc.parley.local
at 0.3s host 1 follow red@muc.parley.local
at 5s host 0 post red@muc.parley.local before
at 400s host 0 post red@muc.parley.local after
at 401s host 1 post red@muc.parley.local \"after that\"
{lines}"
    );
    let plan = Plan::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(Plan::parse(&plan.to_string()), Ok(plan.clone()));
    let report = run(&plan, Pulling::default(), Vec::new());
    assert_eq!(report.violations, [], "{text}\n{:#?}", report.tally);
    report
}

const SERVERS: [&str; 2] = [
    "prosody resumption page-cap 50",
    "ejabberd resumption page-cap 50",
];

/// How often a path was taken.
fn count(report: &Report, path: &str) -> u64 {
    report.tally.get(path).copied().unwrap_or_default()
}

#[test]
fn tls_that_ends_without_a_word_or_with_an_alert_is_a_broken_link() {
    for (how, path) in [
        ("truncation", "offline: transport"),
        ("alert", "offline: tls"),
    ] {
        for from in ["host", "server"] {
            let line = format!("at 20s cut host 1 from {from} after 0 how {how}");
            let report = world(SERVERS[0], &line);
            assert_eq!(count(&report, &format!("cut: {how}")), 1, "{line}");
            assert_eq!(count(&report, path), 1, "{line}");
            assert_eq!(count(&report, "resumed"), 1, "{line}");
        }
    }
}

#[test]
fn half_a_link_is_found_by_somebody_s_patience() {
    for from in ["host", "server"] {
        let line = format!("at 20s cut host 1 from {from} after 0 how half-open");
        let report = world(SERVERS[0], &line);
        assert_eq!(count(&report, "cut: half-open"), 1, "{line}");
        assert_eq!(count(&report, "offline: timed out"), 1, "{line}");
        assert_eq!(count(&report, "resumed"), 1, "{line}");
    }
}

#[test]
fn a_server_that_does_not_answer_or_is_not_found_is_tried_again() {
    let cut = "at 20s cut host 1 from host after 0 how reset";
    for (fault, path) in [
        ("no-answer", "offline: not answered"),
        ("no-name", "offline: not resolved"),
    ] {
        let report = world(
            SERVERS[1],
            &format!("at 20s {fault} host 1 lasts 100s\n{cut}"),
        );
        assert!(count(&report, path) > 0, "{:?}", report.tally);
        assert_eq!(count(&report, "stays away"), 0);
    }
    // An answer that is late is an answer.
    let report = world(
        SERVERS[1],
        &format!("at 20s no-answer host 1 lasts 10s\n{cut}"),
    );
    assert_eq!(count(&report, "offline: not answered"), 0);
    assert_eq!(count(&report, "resumed"), 1);
}

#[test]
fn a_byte_a_second_is_no_link_and_heals() {
    for from in ["host", "server"] {
        let report = world(
            SERVERS[0],
            &format!(
                "at 20s throttle host 1 from {from} rate 1 lasts 200s
at 21s host 0 post red@muc.parley.local slowly
at 22s host 1 post red@muc.parley.local \"slowly too\""
            ),
        );
        assert_eq!(count(&report, "trickle"), 1);
        assert!(
            count(&report, "offline: timed out") > 0,
            "{:?}",
            report.tally
        );
    }
}

#[test]
fn stream_management_in_each_of_its_modes() {
    let broken = "at 20s forget-streams
at 20s cut host 1 from host after 0 how reset
at 80s cut host 1 from host after 0 how reset";
    for (what, managed, refused, resumed) in [
        ("", 2, 0, 0),
        ("enabling ", 2, 2, 0),
        ("resumption ", 4, 0, 0),
    ] {
        let line = format!("at 20s withhold-management {what}lasts 280s\n{broken}");
        let report = world(SERVERS[0], &line);
        assert_eq!(count(&report, "stream managed"), managed, "{line}");
        let path = "stream managed, without resumption";
        let unresumable = managed.saturating_sub(2);
        assert_eq!(count(&report, path), unresumable, "{line}");
        assert_eq!(
            count(&report, "stream management refused"),
            refused,
            "{line}"
        );
        assert_eq!(count(&report, "resumed"), resumed, "{line}");
        assert!(count(&report, "online") >= 4, "{line}");
    }
    let report = world(SERVERS[0], broken);
    assert_eq!(
        count(&report, "resumed"),
        1,
        "the second break finds it there"
    );
}

/// RFC 6120, sections 4.9.3.1 to 4.9.3.25; and whether the client comes back by itself:
/// what may be better next time, and what it may have brought about by one stanza, is
/// tried again. What says that it is not wanted, or speaks another language, is not.
const CONDITIONS: &[(&str, bool)] = &[
    ("bad-format", true),
    ("bad-namespace-prefix", true),
    ("conflict", false),
    ("connection-timeout", true),
    ("host-gone", false),
    ("host-unknown", false),
    ("improper-addressing", true),
    ("internal-server-error", true),
    ("invalid-from", false),
    ("invalid-namespace", false),
    ("invalid-xml", true),
    ("not-authorized", false),
    ("not-well-formed", true),
    ("policy-violation", true),
    ("remote-connection-failed", true),
    ("reset", true),
    ("resource-constraint", true),
    ("restricted-xml", true),
    ("see-other-host", false),
    ("system-shutdown", true),
    ("undefined-condition", true),
    ("unsupported-encoding", false),
    ("unsupported-feature", false),
    ("unsupported-stanza-type", true),
    ("unsupported-version", false),
];

#[test]
fn after_each_stream_error_the_client_does_what_its_class_asks_for() {
    for (condition, passes) in CONDITIONS {
        let line = format!("at 20s stream-error u1 {condition}");
        let report = world(SERVERS[0], &line);
        assert_eq!(count(&report, condition), 1, "{line}");
        assert_eq!(count(&report, "offline: stream error"), 1, "{line}");
        let (online, away) = if *passes { (3, 0) } else { (2, 1) };
        assert_eq!(count(&report, "online"), online, "{line}");
        assert_eq!(count(&report, "stays away"), away, "{line}");
    }
}

#[test]
fn mechanisms_may_become_fewer_but_not_too_weak() {
    let cut = "at 20s cut host 1 from host after 0 how reset";
    for left in ["unbound", "sha-1", "plain"] {
        let line = format!("at 20s withhold-mechanisms left {left} lasts 100s\n{cut}");
        let back = "at 200s host 1 reconnect";
        let report = world(SERVERS[1], &format!("{line}\n{back}"));
        let refused = u64::from(left == "plain");
        assert_eq!(count(&report, "offline: login refused"), refused, "{left}");
        assert_eq!(count(&report, "stays away"), refused, "{left}");
        assert_eq!(count(&report, "online"), 3, "{left}");
    }
}

#[test]
fn a_cursor_of_the_server_before_is_foreign_to_the_archive() {
    for server in SERVERS {
        let report = world(
            server,
            "at 10s host 0 post red@muc.parley.local more
at 100s migrate red@muc.parley.local
at 101s restart host 1 after 5s",
        );
        assert_eq!(count(&report, "archive taken over"), 1);
        assert!(count(&report, "gap: cursor expired") > 0, "{server}");
    }
}

#[test]
fn an_archive_that_goes_is_missed_and_one_that_comes_back_is_read_by_who_comes_in() {
    for server in SERVERS {
        let report = world(
            server,
            "at 20s archives off
at 30s host 0 post red@muc.parley.local \"not kept\"
at 32s restart host 1 after 1s
at 60s archives on
at 61s restart host 1 after 1s
at 100s host 1 post red@muc.parley.local \"kept again\"",
        );
        assert_eq!(count(&report, "not archived"), 1, "{server}");
        assert_eq!(count(&report, "gap: no archive"), 1, "{server}");
        assert_eq!(count(&report, "post committed"), 5, "{server}");
    }
}

#[test]
fn a_nick_that_the_room_gave_is_ours() {
    let report = world(
        SERVERS[0],
        "at 20s rewrite-nicks lasts 60s
at 20s remove red@muc.parley.local u1 technical
at 40s host 1 post red@muc.parley.local \"under another name\"",
    );
    assert_eq!(count(&report, "joined under another nick"), 1);
    assert_eq!(count(&report, "post committed"), 4);
}

#[test]
fn who_insists_on_a_nick_waits_for_the_ghost_that_has_it() {
    // The first is gone without a word; its session, which could be resumed, keeps the nick.
    let report = world(
        SERVERS[0],
        "habits one-nick insist
at 20s refuse host 0 lasts 250s
at 20s cut host 0 from host after 0 how silence
at 280s host 0 leave red@muc.parley.local",
    );
    assert!(count(&report, "join failed: nick conflict") > 1);
    assert_eq!(count(&report, "joined under another nick"), 0);
    assert!(count(&report, "post committed") > 1, "{:?}", report.tally);
}

#[test]
fn a_page_of_one_message_makes_progress() {
    let mut lines = String::from(
        "at 20s refuse host 1 lasts 60s\nat 20s cut host 1 from host after 0 how reset\nat 21s forget-streams",
    );
    for number in 0..30 {
        lines.push_str(&format!(
            "\nat 30s host 0 post red@muc.parley.local \"text {number}\""
        ));
    }
    for server in ["prosody page-cap 1", "ejabberd page-cap 1"] {
        let report = world(server, &lines);
        assert_eq!(count(&report, "post committed"), 33);
        assert_eq!(count(&report, "gap"), 0, "{:?}", report.tally);
    }
}

/// Looks at its clock whenever it can.
struct Watchman(Rc<RefCell<Vec<Instant>>>);

impl Bot for Watchman {
    fn started(&mut self, hands: &mut Hands<'_>) {
        hands.wake_after(Duration::from_millis(7));
    }

    fn told(&mut self, hands: &mut Hands<'_>, _: Event) {
        self.0.borrow_mut().push(hands.now());
    }

    fn woken(&mut self, hands: &mut Hands<'_>) {
        self.0.borrow_mut().push(hands.now());
        hands.wake_after(Duration::from_millis(7));
    }
}

#[test]
fn a_coarse_clock_shows_whole_ticks_and_nothing_comes_early() {
    let server = ServerSetup::new(Personality::Prosody, "parley.local").account("u0", "secret");
    let mut world = World::new(1, Weather::calm(), server);
    let times = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&times);
    let account = Config::new("parley.local", "u0", "secret").unwrap();
    let bot = move || -> Box<dyn Bot> { Box::new(Watchman(Rc::clone(&seen))) };
    let host = world.add_host(account, Box::new(bot));
    world.coarse_clock(host, Duration::from_millis(15));
    world.run_until(Instant::from_millis(3000));
    let times = times.borrow();
    assert!(times.iter().all(|at| at.as_micros() % 15_000 == 0));
    assert!(times.is_sorted());
    // Woken at each tick, since what it asks for is less than one.
    assert!(
        (195..=201).contains(
            &times
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        )
    );
}

#[test]
fn coarse_clocks_make_no_trouble() {
    let report = world(
        SERVERS[1],
        "habits tick 0.015s
at 20s cut host 1 from host after 0 how silence
at 100s leap host 0 by 31.007s",
    );
    assert!(count(&report, "online") >= 3);
}

#[test]
fn the_table_of_faults_names_files_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("src/sim/plan/faults.md")).unwrap();
    let mut named = 0;
    let words = table.split('`').skip(1).step_by(2);
    for file in words.filter(|word| word.starts_with("tests/") || word.starts_with("src/")) {
        assert!(root.join(file).is_file(), "{file}");
        named += 1;
    }
    assert!(named > 10, "{named}");
}
