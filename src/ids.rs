//! Names for things: handles that the engine gives out, archive ids, and the
//! seed from which every random value is drawn.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroize as _;

/// A room of one engine. Never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub(crate) u64);

/// A post of one engine. Never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostId(pub(crate) u64);

/// A fetch or a discovery of one engine. Never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(crate) u64);

/// A subscription of one engine. Never reused within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub(crate) u64);

/// The position of a message in a room's archive: an opaque string that the
/// server chose (XEP-0359 v0.7.0 section 2.1, XEP-0313 v1.1.3 section 3.5).
///
/// Never empty, at most [`ArchiveId::MAX_BYTES`] long, compared byte by byte.
/// It says nothing about order: of two ids only the server knows which is older.
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId(Arc<str>);

impl ArchiveId {
    /// The longest id taken from a server; a longer one counts as none.
    pub const MAX_BYTES: usize = 1024;

    /// The id, or `None` if it is empty, longer than [`Self::MAX_BYTES`], or holds
    /// characters that XML cannot carry back to the server.
    #[must_use]
    pub fn new(id: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&id.len());
        // XML 1.0, section 2.2: what cannot be carried cannot have come either.
        let clean = |c: char| !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
        (fits && id.chars().all(clean)).then(|| Self(id.into()))
    }

    /// The id as the server wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a room's archive from which to read on.
///
/// Its text form, which programs store, is the archive id, and the empty string
/// for the beginning. It is good for the room whose archive gave it, and for as long as
/// that keeps the message it names: mind how long the server does, a week with
/// Prosody unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// Before the oldest message.
    Beginning,
    /// Right after this message, exclusively.
    After(ArchiveId),
}

impl Cursor {
    /// The cursor that [`Self::as_str`] wrote; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            Some(Self::Beginning)
        } else {
            ArchiveId::new(text).map(Self::After)
        }
    }

    /// The archive id, or the empty string for the beginning.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Beginning => "",
            Self::After(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 32 fresh bytes from a cryptographic source, one for each engine.
///
/// Every id, nonce and jitter is drawn from it. A seed used twice repeats SCRAM
/// nonces and message ids, which is what a simulation wants and nobody else.
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a random value is drawn for. Each label is a stream of its own, so that
/// a new consumer does not shift the values of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    ScramNonce,
    OriginId,
    IqId,
    QueryId,
    Resource,
    Nick,
    Jitter,
    SelfPing,
}

impl Label {
    const COUNT: usize = 8;

    const fn name(self) -> &'static [u8] {
        match self {
            Self::ScramNonce => b"scram-nonce",
            Self::OriginId => b"origin-id",
            Self::IqId => b"iq-id",
            Self::QueryId => b"query-id",
            Self::Resource => b"resource",
            Self::Nick => b"nick",
            Self::Jitter => b"jitter",
            Self::SelfPing => b"self-ping",
        }
    }
}

/// Draws random values from a seed: HMAC-SHA-256(seed, label || counter).
#[derive(Debug)]
pub(crate) struct IdSource {
    seed: Seed,
    drawn: [u64; Label::COUNT],
}

impl IdSource {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            seed,
            drawn: [0; Label::COUNT],
        }
    }

    fn draw(&mut self, label: Label) -> [u8; 32] {
        let Some(counter) = self.drawn.get_mut(label as usize) else {
            return [0; 32];
        };
        *counter = counter.wrapping_add(1);
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.seed.0) else {
            return [0; 32];
        };
        mac.update(label.name());
        mac.update(&[0]);
        mac.update(&counter.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// 128 random bits as 22 characters of `A-Za-z0-9_-`.
    pub(crate) fn token(&mut self, label: Label) -> String {
        let drawn = self.draw(label);
        URL_SAFE_NO_PAD.encode(drawn.first_chunk::<16>().unwrap_or(&[0; 16]))
    }

    /// A duration drawn evenly from zero to `max`, both included.
    pub(crate) fn jitter(&mut self, max: Duration) -> Duration {
        self.jitter_for(Label::Jitter, max)
    }

    /// The same, of the stream of values with this label.
    pub(crate) fn jitter_for(&mut self, label: Label, max: Duration) -> Duration {
        let drawn = self.draw(label);
        let wide = u64::from_be_bytes(*drawn.first_chunk::<8>().unwrap_or(&[0; 8]));
        let span = u128::from(u64::try_from(max.as_micros()).unwrap_or(u64::MAX)).saturating_add(1);
        // Multiply and shift: even enough for a delay, and no loop.
        let micros = u128::from(wide).saturating_mul(span) >> 64;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_independent_streams() {
        let mut one = IdSource::new(Seed::new([7; 32]));
        let mut two = IdSource::new(Seed::new([7; 32]));
        let _ = two.token(Label::IqId);
        assert_eq!(one.token(Label::OriginId), two.token(Label::OriginId));
        assert_ne!(one.token(Label::OriginId), one.token(Label::OriginId));
    }

    #[test]
    fn jitter_stays_within_its_bound_and_moves() {
        let mut ids = IdSource::new(Seed::new([1; 32]));
        let max = Duration::from_millis(500);
        let drawn: alloc::vec::Vec<_> = (0..64).map(|_| ids.jitter(max)).collect();
        assert!(drawn.iter().all(|d| *d <= max));
        assert!(drawn.iter().any(|d| *d > max / 2) && drawn.iter().any(|d| *d < max / 2));
        assert_eq!(ids.jitter(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn an_archive_id_is_neither_empty_nor_huge() {
        assert_eq!(ArchiveId::new(""), None);
        assert_eq!(ArchiveId::new(&"x".repeat(1025)), None);
        assert_eq!(Cursor::parse(""), Some(Cursor::Beginning));
        assert_eq!(ArchiveId::new("a\u{1b}b"), None);
        assert_eq!(Cursor::parse("a").unwrap().as_str(), "a");
    }
}
