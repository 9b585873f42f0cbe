//! Names that the server gives: of streams, of sessions, of archived messages.
//!
//! Prosody's are random text without order, ejabberd's are numbers, those of the
//! archive the time in microseconds. All come from the seed and the virtual time.

use alloc::format;
use alloc::string::{String, ToString as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::Personality;
use crate::sim::Random;

/// The source of names.
#[derive(Debug)]
pub(super) struct Ids {
    personality: Personality,
    random: Random,
    nonces: Random,
    /// The last number given to an archived message.
    last: u64,
}

impl Ids {
    pub(super) fn new(personality: Personality, seed: u64) -> Self {
        Self {
            personality,
            random: Random::stream(seed, "server.ids"),
            nonces: Random::stream(seed, "server.nonces"),
            last: 0,
        }
    }

    /// The id of a stream.
    pub(super) fn stream(&mut self) -> String {
        let (a, b) = (self.random.bits(), self.random.bits());
        match self.personality {
            Personality::Prosody => format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a >> 32,
                a >> 16 & 0xffff,
                a & 0xfff,
                b >> 48 & 0xfff,
                b & 0xffff_ffff_ffff
            ),
            Personality::Ejabberd => a.to_string(),
        }
    }

    /// A random token: a resource, a resumption id.
    pub(super) fn token(&mut self) -> String {
        encode(&mut self.random)
    }

    /// What of a login's nonce is the server's.
    pub(super) fn nonce(&mut self) -> String {
        encode(&mut self.nonces)
    }

    /// The wall clock was set back: so are the places, which are times.
    pub(super) const fn step_back(&mut self) {
        self.last = 0;
    }

    /// The place of a message that is archived at this time of the wall clock,
    /// and the time that its stamp will show.
    pub(super) fn archived(&mut self, micros: u64) -> (String, u64) {
        // Two messages of one microsecond are two places.
        self.last = micros.max(self.last.saturating_add(1));
        match self.personality {
            Personality::Prosody => (encode(&mut self.random), self.last),
            Personality::Ejabberd => (self.last.to_string(), self.last),
        }
    }
}

/// 24 characters, as Prosody's medium-length ids are.
fn encode(random: &mut Random) -> String {
    let mut bytes = random.bytes().to_vec();
    bytes.truncate(18);
    URL_SAFE.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejabberds_places_are_times_that_never_repeat() {
        let mut ids = Ids::new(Personality::Ejabberd, 1);
        let mut place = |micros| ids.archived(micros).0;
        assert_eq!(place(1_795_257_366_637_944), "1795257366637944");
        assert_eq!(place(1_795_257_366_637_944), "1795257366637945");
        assert_eq!(place(1_795_257_366_000_000), "1795257366637946");
    }

    #[test]
    fn prosodys_places_are_opaque() {
        let mut ids = Ids::new(Personality::Prosody, 1);
        let (a, b) = (ids.archived(7).0, ids.archived(7).0);
        assert_eq!((a.len(), b.len()), (24, 24));
        assert_ne!(a, b);
    }
}
