//! What befalls one step of a host: a connection it opens, a TLS handshake, a write.

use alloc::format;
use core::fmt;
use core::time::Duration;

use super::FaultKind;
use super::words::{Words, Wrong, wrong};
use super::write::Secs;

/// What befalls one step of a host. Which kind of step it is about, it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mishap {
    /// A connection is refused.
    Refused,
    /// A connection is not answered, until the host's system gives up after two minutes.
    Unanswered,
    /// A TLS handshake ends with an alert.
    Alert,
    /// A TLS handshake shows a certificate that cannot be trusted.
    Certificate,
    /// A TLS handshake is not answered.
    Stalled,
    /// The transport takes none of a write, nor of those after it, for so long.
    Unwritable(Duration),
    /// The transport takes a byte at a time, from a write on, until the world heals.
    Trickled,
    /// The link is reset instead of taking a write.
    Broken,
}

/// A kind of step that a host takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Effect {
    Connect,
    Handshake,
    Write,
}

impl Mishap {
    /// What kind of step it befalls.
    pub(in crate::sim) const fn effect(self) -> Effect {
        match self {
            Self::Refused | Self::Unanswered => Effect::Connect,
            Self::Alert | Self::Certificate | Self::Stalled => Effect::Handshake,
            Self::Unwritable(_) | Self::Trickled | Self::Broken => Effect::Write,
        }
    }

    /// Whose kind it shares with the faults that last.
    pub(super) const fn kind(self) -> FaultKind {
        match self {
            Self::Refused | Self::Unanswered => FaultKind::Refuse,
            Self::Alert | Self::Stalled => FaultKind::TlsFails,
            Self::Certificate => FaultKind::Certificate,
            Self::Unwritable(_) | Self::Trickled => FaultKind::SmallWrites,
            Self::Broken => FaultKind::Cut,
        }
    }

    pub(super) fn read(words: &mut Words) -> Result<Self, Wrong> {
        Ok(match words.text("a mishap")?.as_str() {
            "refused" => Self::Refused,
            "unanswered" => Self::Unanswered,
            "alert" => Self::Alert,
            "certificate" => Self::Certificate,
            "stalled" => Self::Stalled,
            "unwritable" => Self::Unwritable(words.lasts()?),
            "trickled" => Self::Trickled,
            "broken" => Self::Broken,
            other => {
                return wrong(
                    format!("`{other}` is no mishap"),
                    "use refused, unanswered, alert, certificate, stalled, unwritable, \
                     trickled or broken",
                );
            }
        })
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Alert => "alert",
            Self::Certificate => "certificate",
            Self::Stalled => "stalled",
            Self::Unwritable(lasts) => return write!(f, "unwritable lasts {}", Secs(*lasts)),
            Self::Trickled => "trickled",
            Self::Broken => "broken",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn mishaps_read_back() {
        for mishap in [
            Mishap::Refused,
            Mishap::Unanswered,
            Mishap::Alert,
            Mishap::Certificate,
            Mishap::Stalled,
            Mishap::Unwritable(Duration::from_millis(1500)),
            Mishap::Trickled,
            Mishap::Broken,
        ] {
            let mut words = Words::new(&mishap.to_string()).unwrap();
            assert_eq!(Mishap::read(&mut words).ok(), Some(mishap));
            assert!(words.end().is_ok());
        }
        let mut words = Words::new("refuse").unwrap();
        assert!(Mishap::read(&mut words).is_err());
    }
}
