//! One session, cut at every byte: login, stream management, join, posts, live messages,
//! catch-up, leave; in both directions; by FIN, RST and silence; with resumption and
//! without; on the model with Prosody's habits. After each cut all is well again, and every rule has to hold.
//!
//! A release build tries every byte, a debug build every 61st; `PARLEY_STRIDE=1` tries
//! every one there too.

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
use parley_xmpp::sim::{Happening, Pulling, Watch, run};

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

/// Whether the cut came to be.
#[derive(Default)]
struct Broken(bool);

impl Watch for Broken {
    fn see(&mut self, _: Instant, happening: &Happening<'_>) {
        self.0 |= matches!(happening, Happening::Broken { .. });
    }
}

fn stride() -> u64 {
    let usual = if cfg!(debug_assertions) { 61 } else { 1 };
    std::env::var("PARLEY_STRIDE").map_or(usual, |text| text.parse().expect("a number"))
}

/// Cuts the session of one server in one direction, at every byte there is.
fn cut_everywhere(server: &str, from: &str) {
    let stride = stride();
    let (mut runs, mut failed) = (0, Vec::new());
    for how in ["fin", "reset", "silence"] {
        let mut after = 0;
        let before = runs;
        loop {
            let plan = format!(
                "plan 1\nseed 1\nserver {server} page-cap 2\n\
                 weather latency 0.01s jitter 0s packet 1460\nhost u0\nhost u1\n\
                 at 0s cut host 0 from {from} after {after} how {how}{SESSION}"
            );
            let parsed = Plan::parse(&plan).expect("a plan");
            let broken = Rc::new(RefCell::new(Broken::default()));
            let watchers: Vec<Box<dyn Watch>> = vec![Box::new(Rc::clone(&broken))];
            let report = run(&parsed, Pulling::default(), watchers);
            if let Some((at, violation)) = report.violations.first() {
                failed.push(format!("{at:?} {violation:?}\n{plan}"));
            }
            // The session is over before that byte: it was cut everywhere.
            if !broken.borrow().0 {
                break;
            }
            runs += 1;
            after += stride;
        }
        assert!(runs > before + 30, "{how}: {runs}");
    }
    println!("{server}, bytes from the {from}: {runs} sessions, cut at each {stride}. byte");
    let first = failed.first();
    assert!(failed.is_empty(), "{} of {runs}: {first:?}", failed.len());
    assert!(runs > 100, "only {runs} sessions: nothing was cut");
}

// Four tests, so that they run beside each other.

#[test]
fn from_the_host() {
    cut_everywhere("prosody", "host");
}

#[test]
fn from_the_server() {
    cut_everywhere("prosody", "server");
}

#[test]
fn from_the_host_with_resumption() {
    cut_everywhere("prosody resumption", "host");
}

#[test]
fn from_the_server_with_resumption() {
    cut_everywhere("prosody resumption", "server");
}
