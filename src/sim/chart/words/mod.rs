//! What is seen, in a few words: labels for the chart. The details go with them in full.

mod bot;
mod stanza;
mod trouble;

use alloc::format;
use alloc::string::String;

use super::brief;
use crate::sim::happening::Ending;
use crate::sim::server::Personality;

pub(super) use bot::{event, kept, note, request};
pub(super) use stanza::{SASL, frame};
pub(super) use trouble::{Harm, fault};

/// The server's habits, by name.
pub(super) const fn personality(personality: Personality) -> &'static str {
    match personality {
        Personality::Prosody => "like Prosody 0.12",
        Personality::Ejabberd => "like ejabberd 23.01",
    }
}

/// How a link ends.
pub(super) const fn ending(how: Ending) -> &'static str {
    match how {
        Ending::Fin => "FIN",
        Ending::Reset => "reset",
        Ending::Silence => "silence",
        Ending::Truncation => "end of TLS without a word",
        Ending::Alert => "TLS alert",
        Ending::HalfOpen => "silence one way",
    }
}

/// `1:02.345`, and `1:01:02.345` after an hour.
pub(super) fn time(micros: u64) -> String {
    let (seconds, millis) = (micros / 1_000_000, micros / 1000 % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}.{millis:03}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{millis:03}"),
    }
}

/// `1st`, `2nd`, `3rd`, `4th`.
pub(super) fn ordinal(n: u32) -> String {
    let ending = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// A text in quotes, short.
fn quoted(text: &str) -> String {
    format!("“{}”", brief(text, 48))
}

/// The part of an address that tells it from others in a chart: `room/nick` for
/// `room@muc.example.org/nick`.
pub(super) fn address(jid: &str) -> String {
    let (bare, resource) = jid.split_once('/').unwrap_or((jid, ""));
    let local = bare.split_once('@').map_or(bare, |(local, _)| local);
    match resource {
        "" => brief(local, 40),
        _ => format!("{}/{}", brief(local, 40), brief(resource, 24)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ordinals_are_read_as_one_would_say_them() {
        assert_eq!(time(0), "0:00.000");
        assert_eq!(time(62_345_999), "1:02.345");
        assert_eq!(time(3_661_000_000), "1:01:01.000");
        for (n, said) in [
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (11, "11th"),
            (22, "22nd"),
        ] {
            assert_eq!(ordinal(n), said);
        }
    }

    #[test]
    fn addresses_are_short() {
        assert_eq!(address("t@muc.example.org/bob"), "t/bob");
        assert_eq!(address("t@muc.example.org"), "t");
        assert_eq!(address("example.org"), "example.org");
    }
}
