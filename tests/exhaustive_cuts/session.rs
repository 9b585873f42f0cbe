//! The session, and what is seen of it.

use std::cell::RefCell;
use std::rc::Rc;

use parley_xmpp::sim::plan::{Mishap, Plan};
use parley_xmpp::sim::server::Note;
use parley_xmpp::sim::{Happening, HostId, LinkId, Pulling, Report, Request, Side, Watch, run};
use parley_xmpp::{Event, Instant, JoinFailure, RoomEvent, Timer};
use std::time::Duration;

/// The session of host 0; host 1 is who it talks to.
const SESSION: &str = r#"
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
pub(super) const BY_THE_OTHER: u64 = 5;
pub(super) const POSTS: u64 = 8;

/// A client notices by then that its link is dead: the longest wait for an acknowledgement
/// or a sign of life, as [`parley_xmpp::sim::RECOVERY`] has it.
const DEAD: Instant = Instant::from_millis(45_000);

pub(super) const SERVERS: [&str; 4] = [
    "prosody",
    "prosody resumption",
    "ejabberd",
    "ejabberd resumption",
];

/// A timer of host 0 that its engine was told of early, or late, and by how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Untimely {
    pub(super) timer: Timer,
    pub(super) early: bool,
    pub(super) by: Duration,
}

/// Whether the disturbance came to be, and what it was about.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) broken: bool,
    /// The stanzas that were tampered with.
    pub(super) tampered: Vec<String>,
    pub(super) mishaps: Vec<Mishap>,
    pub(super) untimely: Vec<Untimely>,
    /// How many posts were asked for.
    pub(super) posted: u64,
    /// What host 0 wrote after a mishap over the link that it befell: when, how much.
    pub(super) written: Vec<(Instant, usize)>,
    /// When a mishap befell it.
    pub(super) mishap_at: Instant,
    /// The link of host 0, and the one that a mishap befell.
    link: Option<LinkId>,
    struck: Option<LinkId>,
    /// What the server read over the link of host 0, until it was told to unlock the room.
    read: Vec<u8>,
    unlocked: bool,
    /// How many sessions host 0 had.
    sessions: u32,
    /// Host 1 was never let in, and not for want of a creator who could be asked.
    shut_out: bool,
    /// Host 1 was never let in: the room was locked, and its creator's link dead.
    pub(super) locked_out: bool,
}

impl Seen {
    /// The server read something of host 0: perhaps the form that unlocks the room.
    fn reads(&mut self, bytes: &[u8]) {
        if !self.unlocked {
            self.read.extend_from_slice(bytes);
            let text = String::from_utf8_lossy(&self.read);
            let form = text.split_once("muc#owner").map(|(_, rest)| rest);
            self.unlocked = form.is_some_and(|rest| rest.contains("</iq>"));
        }
    }
}

impl Watch for Seen {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        match happening {
            Happening::Broken { .. } => self.broken = true,
            Happening::Noted(Note::Tampered { stanzas, .. }) => self.tampered.clone_from(stanzas),
            Happening::Noted(Note::Session { jid, .. }) if jid.starts_with("u0@") => {
                self.sessions += 1;
            }
            Happening::Asked {
                request: Request::Post(..),
                ..
            } => self.posted += 1,
            Happening::Opening {
                link,
                host: HostId(0),
            } => {
                self.link = Some(*link);
                self.read.clear();
            }
            Happening::Mishap { what, .. } => {
                self.mishaps.push(*what);
                self.mishap_at = at;
                self.struck = self.link;
            }
            Happening::Written {
                link,
                by: Side::Host,
                bytes,
            } if Some(*link) == self.struck => self.written.push((at, bytes.len())),
            Happening::Untimely {
                timer, early, by, ..
            } => self.untimely.push(Untimely {
                timer: *timer,
                early: *early,
                by: *by,
            }),
            Happening::Read {
                link,
                by: Side::Server,
                bytes,
            } if Some(*link) == self.link => self.reads(bytes),
            Happening::Told {
                host: HostId(1),
                event:
                    Event::Room {
                        event: RoomEvent::JoinFailed { error, .. },
                        ..
                    },
            } => {
                let refused = matches!(error, JoinFailure::Refused(_));
                let creator_is_gone = self.sessions == 1 && at <= DEAD;
                if refused && !self.unlocked && creator_is_gone {
                    self.locked_out = true;
                } else {
                    self.shut_out = true;
                }
            }
            _ => {}
        }
    }
}

/// How long things may go wrong, and how long it takes altogether, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) heal: u32,
    end: u32,
}

/// Until all that is asked for is done.
pub(super) const BRIEF: Span = Span { heal: 8, end: 215 };

/// Long enough for timers of a minute that are late by another.
pub(super) const LONG: Span = Span {
    heal: 140,
    end: 350,
};

/// Runs the session of a server with some more lines. Also returns its plan.
pub(super) fn session(server: &str, span: Span, lines: &str) -> (Report, Seen, String) {
    watched(server, span, lines, Vec::new())
}

/// The same, and others watch too.
pub(super) fn watched(
    server: &str,
    span: Span,
    lines: &str,
    mut watchers: Vec<Box<dyn Watch>>,
) -> (Report, Seen, String) {
    let Span { heal, end } = span;
    let plan = format!(
        "plan 1\nseed 1\nserver {server} page-cap 2\n\
         weather latency 0.01s jitter 0s packet 1460\nhost u0\nhost u1\n\
         heal {heal}s\nend {end}s\n{lines}{SESSION}"
    );
    let parsed = Plan::parse(&plan).expect("a plan");
    let seen = Rc::new(RefCell::new(Seen::default()));
    watchers.push(Box::new(Rc::clone(&seen)));
    let report = run(&parsed, Pulling::default(), watchers);
    let seen = seen.take();
    (report, seen, plan)
}

pub(super) fn count(report: &Report, path: &str) -> u64 {
    report.tally.get(path).copied().unwrap_or(0)
}

/// How many posts are committed; each that was asked for has an outcome, and who is left
/// alone commits all.
///
/// The one excuse is Prosody's: who creates a room there and falls silent before unlocking
/// it keeps all others out, who are no owners, until it is back. Its link is dead for longer
/// than a first join waits: that is told, and nothing of theirs is posted.
pub(super) fn outcomes(report: &Report, seen: &Seen, plan: &str) -> u64 {
    let committed = count(report, "post committed");
    let excused = seen.locked_out && plan.contains("server prosody");
    assert!(!seen.shut_out, "host 1 was not let in:\n{plan}");
    assert!(
        committed >= BY_THE_OTHER || excused,
        "{committed} committed:\n{plan}"
    );
    let others = ["post not sent", "post unknown", "post rejected"];
    let others: u64 = others.iter().map(|path| count(report, path)).sum();
    assert_eq!(committed + others, seen.posted, "outcomes:\n{plan}");
    committed
}

/// What was found wrong, and where.
#[derive(Default)]
pub(super) struct Failures(Vec<String>);

impl Failures {
    pub(super) fn take(&mut self, report: &Report, plan: &str) {
        for (at, violation) in &report.violations {
            self.add(format!("{at:?} {violation:?}\n{plan}"));
        }
    }

    pub(super) fn add(&mut self, what: String) {
        self.0.push(what);
    }

    pub(super) fn end(self, runs: u64) {
        let first = self.0.first().map_or("", String::as_str);
        assert!(self.0.is_empty(), "{} of {runs}: {first}", self.0.len());
    }
}

/// Of how many places one is tried: `PARLEY_STRIDE`, or all in a release build.
pub(super) fn stride(debug: u64) -> u64 {
    let usual = if cfg!(debug_assertions) { debug } else { 1 };
    std::env::var("PARLEY_STRIDE").map_or(usual, |text| text.parse().expect("a number"))
}
