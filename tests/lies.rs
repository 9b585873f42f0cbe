//! A client that is lied to: by an account of its server, by occupants, by rooms that it
//! is not in, by whoever stands in for its server. It reads every lie, and nothing comes of
//! any.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::rc::Rc;

use parley_xmpp::sim::plan::Plan;
use parley_xmpp::sim::server::{Lie, MARK, Note};
use parley_xmpp::sim::{Happening, HostId, Pulling, Report, Side, Watch, run};
use parley_xmpp::{Entry, Event, Instant};

/// What was seen of a lie: bytes of it that hosts read, all that host 0 was told.
#[derive(Default)]
struct Seen {
    read: String,
    told: Vec<String>,
    bodies: Vec<String>,
    false_proofs: u32,
    trusted: u32,
}

impl Watch for Seen {
    fn see(&mut self, _: Instant, happening: &Happening<'_>) {
        match happening {
            Happening::Read { by, bytes, .. } if *by == Side::Host => {
                self.read.push_str(&String::from_utf8_lossy(bytes));
            }
            Happening::Told { host, event } if *host == HostId(0) => {
                if let Event::Entry { entry, .. } = event
                    && let Entry::Message(message) | Entry::Late(message) = entry
                {
                    self.bodies.push(message.body.clone());
                }
                // Times and ids aside, what a host without the lie is told too.
                self.told.push(match event {
                    Event::Room { event, .. } => format!("{event:?}"),
                    Event::Post { outcome, .. } => format!("{outcome:?}"),
                    other => format!("{other:?}"),
                });
            }
            Happening::Noted(Note::FalseProof { .. }) => self.false_proofs += 1,
            Happening::Noted(Note::Trusted { .. }) => self.trusted += 1,
            _ => {}
        }
    }
}

fn watched(plan: &str) -> (Report, Seen) {
    let plan = Plan::parse(plan).expect("a plan");
    let seen = Rc::new(RefCell::new(Seen::default()));
    let watchers: Vec<Box<dyn Watch>> = vec![Box::new(Rc::clone(&seen))];
    let report = run(&plan, Pulling::default(), watchers);
    (report, seen.take())
}

/// Two hosts that talk, and a line about host 0 in the middle; it reads the archive after.
fn talk(server: &str, line: &str) -> (Report, Seen) {
    watched(&format!(
        r#"plan 1
seed 1
server {server} resumption page-cap 2
weather latency 0.01s jitter 0s packet 1460
host u0
host u1
heal 20s
end 230s
at 0s host 0 join red@muc.parley.local
at 0s host 1 join red@muc.parley.local
at 0.5s host 0 follow red@muc.parley.local
at 1s host 1 post red@muc.parley.local "one"
at 1.5s host 0 post red@muc.parley.local "two"
at 2s {line}
at 2.1s host 0 unfollow red@muc.parley.local
at 2.2s host 1 post red@muc.parley.local "three"
at 2.5s host 0 follow red@muc.parley.local
at 3s host 0 fetch red@muc.parley.local 3
at 4s host 0 post red@muc.parley.local "four"
"#
    ))
}

#[test]
fn lies_are_read_and_change_nothing() {
    for server in ["prosody", "ejabberd"] {
        let (truth, honest) = talk(server, "expire-streams");
        assert!(truth.violations.is_empty(), "{:?}", truth.violations);
        assert_eq!(honest.bodies, ["one", "two", "three", "four"]);
        for (lie, name) in [
            (Lie::Result, "result"),
            (Lie::Answer, "answer"),
            (Lie::Foreign, "foreign"),
            (Lie::Carbon, "carbon"),
            (Lie::Entered, "entered"),
            (Lie::Kicked, "kicked"),
            (Lie::Push, "push"),
        ] {
            let line = format!("forge u0 red@muc.parley.local {name}");
            let (report, seen) = talk(server, &line);
            assert!(report.violations.is_empty(), "{lie:?}: {report:?}");
            assert!(seen.read.contains(MARK), "{lie:?} was not read");
            assert!(!honest.read.contains(MARK));
            assert_eq!(seen.bodies, honest.bodies, "{server}, {lie:?}");
            assert_eq!(seen.told.len(), honest.told.len(), "{server}, {lie:?}");
            assert!(!seen.told.join("").contains(MARK), "{server}, {lie:?}");
        }
    }
}

#[test]
fn what_an_occupant_says_is_told_whatever_it_looks_like() {
    for server in ["prosody", "ejabberd"] {
        for (name, body) in [("copied", "copied:1"), ("nested", "nested:1")] {
            let line = format!("forge u0 red@muc.parley.local {name}");
            let (report, seen) = talk(server, &line);
            assert!(report.violations.is_empty(), "{name}: {report:?}");
            assert_eq!(seen.bodies, ["one", "two", body, "three", "four"]);
            assert!(!seen.told.join("").contains(MARK), "{server}, {name}");
        }
    }
}

#[test]
fn s10_nobody_goes_on_after_a_false_proof() {
    for server in ["prosody", "ejabberd"] {
        for missing in ["", " missing"] {
            let line = format!(
                "false-proof u0 1{missing}\nat 2s cut host 0 from host after 0 how reset\n\
                 at 9s host 0 reconnect"
            );
            let (report, seen) = talk(server, &line);
            assert!(report.violations.is_empty(), "{missing}: {report:?}");
            assert_eq!((seen.false_proofs, seen.trusted), (1, 0));
            assert_eq!(report.tally.get("offline: login refused"), Some(&1));
        }
    }
}

#[test]
fn an_archive_that_repeats_itself_is_told_once() {
    for server in ["prosody", "ejabberd"] {
        for how in ["twice", "again", "bounds", "after-end"] {
            let (report, seen) = talk(server, &format!("garble {how}"));
            assert!(report.violations.is_empty(), "{how}: {report:?}");
            assert_eq!(seen.bodies, ["one", "two", "three", "four"], "{how}");
            assert_eq!(
                report.tally.get("page garbled"),
                Some(&1),
                "{server}, {how}"
            );
        }
    }
}
