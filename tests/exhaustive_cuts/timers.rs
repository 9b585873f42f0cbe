//! Every timer of host 0 late, and early.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::time::Duration;

use parley_xmpp::sim::{Happening, Watch};
use parley_xmpp::{Instant, Timer};

use super::effects::CUTS;
use super::session::{Failures, LONG, SERVERS, Untimely, outcomes, session, stride, watched};

/// Timers that go off only where something is late or missing: signs of life, answers,
/// archives, a room that was left.
const WANT: &str = "\
at 0s archive-lag 3s
at 2.3s fail-queries 2
at 3.2s cut host 0 from host after 0 how silence
at 60s remove red@muc.parley.local u0 kicked
at 70s stall host 0 from server lasts 40s
";

/// The session as it is, with links that break, and with want of this and that.
const LINES: [&str; 3] = ["", CUTS, WANT];

/// The timers that any of these sessions comes to, one by one.
const COMMON: [Timer; 5] = [
    Timer::Reconnect,
    Timer::Keepalive,
    Timer::Stable,
    Timer::SelfPing,
    Timer::LogAudit,
];

/// How often which timer was hit.
#[derive(Default)]
struct Hit(BTreeMap<Timer, u64>);

impl Hit {
    fn count(&mut self, timer: Timer) {
        *self.0.entry(timer).or_default() += 1;
    }

    /// Says what was hit. All that is common has to be, where each timer was tried.
    fn end(&self, what: &str, least: u64, stride: u64) {
        let all: u64 = self.0.values().sum();
        println!("{all} timers {what}: {:?}", self.0);
        assert!(all * stride >= least, "only {all} timers {what}");
        let missing = COMMON.iter().find(|timer| !self.0.contains_key(timer));
        assert!(stride > 1 || missing.is_none(), "{missing:?} never {what}");
    }
}

/// A hash of all that happens, but for the fault itself and how often memory was looked at.
#[derive(Default)]
struct Course(DefaultHasher);

impl Watch for Course {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        let aside = matches!(
            happening,
            Happening::Fault(_) | Happening::Untimely { .. } | Happening::Held { .. }
        );
        if !aside {
            format!("{at:?} {happening:?}").hash(&mut self.0);
        }
    }
}

/// Lets every timer that goes off before the heal go off late by that much.
fn late_everywhere(server: &str, lines: &str, by: Duration, hit: &mut Hit) {
    let stride = stride(5);
    let (mut runs, mut after) = (0, 0);
    let mut failures = Failures::default();
    loop {
        let late = format!(
            "at 0s skew host 0 after {after} by {}s\n{lines}",
            by.as_secs()
        );
        let (report, seen, plan) = session(server, LONG, &late);
        let [
            Untimely {
                timer,
                early,
                by: was,
            },
        ] = seen.untimely[..]
        else {
            assert!(seen.untimely.is_empty(), "{:?}\n{plan}", seen.untimely);
            break;
        };
        assert!(!early);
        failures.take(&report, &plan);
        outcomes(&report, &seen, &plan);
        // What is held back when all is healed goes off then.
        assert!(was <= by, "{was:?}: the {after}. timer, {timer:?}\n{plan}");
        hit.count(timer);
        runs += 1;
        after += stride;
    }
    failures.end(runs);
    println!("{server}: {runs} late by {by:?}");
    assert!(runs * stride >= 5, "{server}: only {runs} timers were late");
}

/// Asks for every timer before it is due: as soon as it is armed, and when only that much
/// is left. Nothing may come of it.
fn early_everywhere(server: &str, lines: &str, hit: &mut Hit) {
    let course = |early: &str| {
        let course = Rc::new(RefCell::new(Course::default()));
        let watchers: Vec<Box<dyn Watch>> = vec![Box::new(Rc::clone(&course))];
        let lines = format!("{early}\n{lines}");
        let (report, seen, plan) = watched(server, LONG, &lines, watchers);
        let hash = course.take().0.finish();
        (report, seen, plan, hash)
    };
    let stride = stride(11);
    let mut failures = Failures::default();
    let on_time = course("").3;
    let mut runs = 0;
    let mut armed = 0;
    for by in ["3600s", "1us"] {
        for after in (0..).step_by(usize::try_from(stride).expect("small")) {
            if by == "1us" && after >= armed {
                break;
            }
            let line = format!("at 0s early host 0 after {after} by {by}");
            let (report, seen, plan, hash) = course(&line);
            let [
                Untimely {
                    timer,
                    early,
                    by: was,
                },
            ] = seen.untimely[..]
            else {
                assert!(seen.untimely.is_empty(), "{:?}\n{plan}", seen.untimely);
                if by == "1us" {
                    // It was disarmed before.
                    continue;
                }
                armed = after;
                break;
            };
            assert!(early && !was.is_zero());
            failures.take(&report, &plan);
            if hash != on_time {
                failures.add(format!(
                    "{timer:?} early by {was:?} made a difference:\n{plan}"
                ));
            }
            if by == "1us" {
                hit.count(timer);
            }
            runs += 1;
        }
    }
    failures.end(runs);
    println!("{server}: {armed} timers armed, {runs} asked for early");
    assert!(armed >= 20, "{server}: only {armed} timers were armed");
}

#[test]
fn every_timer_late() {
    for by in [Duration::from_secs(1), Duration::from_secs(60)] {
        let mut hit = Hit::default();
        for (server, lines) in SERVERS
            .iter()
            .flat_map(|server| LINES.map(|lines| (server, lines)))
        {
            late_everywhere(server, lines, by, &mut hit);
        }
        hit.end(&format!("late by {by:?}"), 80, stride(5));
    }
}

#[test]
fn every_timer_early() {
    let mut hit = Hit::default();
    for (server, lines) in SERVERS
        .iter()
        .flat_map(|server| LINES.map(|lines| (server, lines)))
    {
        early_everywhere(server, lines, &mut hit);
    }
    hit.end("asked for a microsecond early", 90, stride(11));
}
