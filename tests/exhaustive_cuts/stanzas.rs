//! Every stanza of the server doubled, dropped, and swapped with the next.

use super::session::{BRIEF, Failures, SERVERS, session};

/// What the client does not bear, on any server: two messages of the room that were swapped
/// on the way are told in the order in which they came. That is the room's order for who is
/// in it: a stream keeps it (RFC 6120, section 10.1), and nothing in the second tells that
/// it was said first. Ids of archives are opaque (XEP-0313, section 3.1), and when the
/// archive is compared, both are told. Nothing else that was done to a stanza may break a
/// rule; results of a page that were swapped or dropped are noticed, since pages of two have
/// nothing between their first and their last.
const BEYOND: [[&str; 2]; 4] = [
    ["two", "one"],
    ["three", "two"],
    ["four&#13;\n&amp; &lt;five&gt;", "three"],
    ["nine", "eight"],
];

/// The bodies of messages that a room sends.
fn said(stanzas: &[String]) -> Vec<&str> {
    fn body(stanza: &str) -> Option<&str> {
        let (_, rest) = stanza.split_once("<body>")?;
        rest.split_once("</body>").map(|(body, _)| body)
    }
    let said = stanzas.iter().filter(|s| s.contains("type='groupchat'"));
    said.filter_map(|s| body(s)).collect()
}

/// Tampers with every stanza for host 0.
fn tamper_everywhere(server: &str) {
    let mut failures = Failures::default();
    let mut beyond = Vec::new();
    let (mut runs, mut stanzas, mut alone) = (0, 0, 0);
    for how in ["double", "drop", "swap"] {
        for after in 0.. {
            let line = format!("at 0s tamper u0 after {after} {how}");
            let (report, seen, plan) = session(server, BRIEF, &line);
            if seen.tampered.is_empty() {
                // Held back until the heal, for want of another to change places with; or
                // there are no more.
                if how != "swap" || after >= stanzas {
                    break;
                }
                alone += 1;
            }
            runs += 1;
            if how == "double" {
                stanzas = after + 1;
            }
            match (&report.violations[..], &said(&seen.tampered)[..]) {
                ([(_, violation)], [first, second])
                    if how == "swap"
                        && violation.rule == "S3"
                        && BEYOND.contains(&[first, second]) =>
                {
                    beyond.push([first.to_string(), second.to_string()]);
                }
                _ => failures.take(&report, &format!("{:?}\n{plan}", seen.tampered)),
            }
        }
    }
    println!(
        "{server}: {stanzas} stanzas, {runs} times tampered with; {alone} had none to change \
         places with, {} are beyond the client",
        beyond.len()
    );
    failures.end(runs);
    assert_eq!(beyond, BEYOND, "{server}: no longer beyond the client");
    assert!(stanzas > 35 && runs >= stanzas * 2, "{runs} of {stanzas}");
}

#[test]
fn every_stanza_of_the_server_doubled_dropped_and_swapped() {
    for server in SERVERS {
        tamper_everywhere(server);
    }
}
