//! Every step that a host takes outside its engine failed: connections, TLS handshakes,
//! writes; in a session with links that break, so that there is more than one of each.

use parley_xmpp::Instant;
use parley_xmpp::sim::plan::Mishap;

use super::session::{Failures, LONG, SERVERS, Seen, outcomes, session, stride};

/// Links that break: in both directions, in good order and not.
pub(super) const CUTS: &str = "\
at 0.7s cut host 0 from server after 0 how reset
at 1.6s cut host 0 from host after 0 how fin
at 2.7s cut host 0 from server after 300 how reset
at 4.2s cut host 0 from server after 0 how fin
";

/// Somebody looks after the host, which does not try again by itself: a certificate does
/// not become better.
const CARE: &str = "\
at 12s host 0 reconnect
at 30s host 0 reconnect
";

/// What goes wrong with connections, handshakes and writes, and how many of those there are
/// at least in a session that breaks four times.
const CONNECTS: (&[&str], u64) = (&["refused", "unanswered"], 5);
const HANDSHAKES: (&[&str], u64) = (&["alert", "certificate", "stalled"], 5);
const WRITES: (&[&str], u64) = (
    &[
        "unwritable lasts 3s",
        "unwritable lasts 60s",
        "trickled",
        "broken",
    ],
    60,
);

/// What the host could write over the link that a mishap befell is what the mishap allows.
fn is_in_effect(mishap: Mishap, seen: &Seen) -> bool {
    let healed = Instant::from_millis(u64::from(LONG.heal) * 1000);
    let mut written = seen.written.iter();
    match mishap {
        Mishap::Unwritable(lasts) => {
            let until = seen.mishap_at.plus(lasts).min(healed);
            written.all(|(at, _)| *at >= until)
        }
        Mishap::Trickled => written.all(|(at, bytes)| *bytes == 1 || *at >= healed),
        // It costs the link.
        _ => written.next().is_none(),
    }
}

/// Lets every step of a kind go wrong on one server. Returns how many there were.
fn fail_everywhere(server: &str, cuts: &str, what: &str, stride: u64) -> u64 {
    let care = if what == "certificate" { CARE } else { "" };
    let mut failures = Failures::default();
    let (mut runs, mut after) = (0, 0);
    loop {
        let line = format!("at 0s mishap host 0 after {after} {what}\n{cuts}{care}");
        let (report, seen, plan) = session(server, LONG, &line);
        // The session has no such step any more: each one before it went wrong.
        let [mishap] = seen.mishaps[..] else {
            assert!(seen.mishaps.is_empty(), "{:?}\n{plan}", seen.mishaps);
            break;
        };
        assert_eq!(mishap.to_string(), what, "{plan}");
        assert!(is_in_effect(mishap, &seen), "{:?}\n{plan}", seen.written);
        failures.take(&report, &plan);
        outcomes(&report, &seen, &plan);
        runs += 1;
        after += stride;
    }
    failures.end(runs);
    runs
}

fn fail_all((mishaps, least): (&[&str], u64), cuts: &str) {
    let stride = if least > 10 { stride(7) } else { 1 };
    for what in mishaps {
        let runs = SERVERS.map(|server| fail_everywhere(server, cuts, what, stride));
        let sum: u64 = runs.iter().sum();
        println!("{what}: {sum} steps, by server {runs:?}");
        let few = runs.iter().any(|runs| runs * stride < least);
        assert!(!few, "fewer than {least} steps to be {what}: {runs:?}");
    }
}

#[test]
fn every_connection_refused_or_unanswered() {
    fail_all(CONNECTS, CUTS);
}

#[test]
fn every_handshake_failed() {
    fail_all(HANDSHAKES, CUTS);
}

#[test]
fn every_write_refused_trickled_or_broken() {
    fail_all(WRITES, CUTS);
    // Without a cut that ends what befalls an early one.
    let (writes, _) = WRITES;
    fail_all((writes, 30), "");
}
