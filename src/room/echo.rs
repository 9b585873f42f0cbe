//! Messages that their sender had to send again, shown once.
//!
//! Neither Prosody nor ejabberd leaves out a message that comes a second time under
//! the same id, so that readers have to (XEP-0359 v0.7.0, section 2.2). An id alone
//! proves nothing: who copies somebody's id must not be able to have that message
//! left out, so that only one of the same occupant counts. An occupant is known by
//! its lasting id (XEP-0421) or else, where the room gives none, by its nick. Nor does
//! everybody draw ids anew (dino#194): another text under the same id is another message.
//!
//! It does not matter how the copies come: live, from a page, or late. The first that a
//! subscription comes upon is delivered.

use sha2::{Digest as _, Sha256};

use super::recent::Recent;
use crate::event::Message;

/// The last messages that bore an id of their sender.
#[derive(Debug)]
pub(crate) struct Echoes {
    seen: Recent<Mark>,
    heeded: bool,
}

/// What a message is known by again: who said it under which id, and its text.
type Mark = ([u8; 16], u64);

impl Echoes {
    /// Remembers so many; where they are not to be heeded, none is ever found.
    pub(crate) const fn new(remembered: usize, heeded: bool) -> Self {
        Self {
            seen: Recent::new(remembered),
            heeded,
        }
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.seen.held(|_| 0)
    }

    /// Whether the same occupant said the same under the same id before.
    pub(crate) fn repeats(&mut self, message: &Message) -> bool {
        let Some(origin_id) = message.origin_id.as_deref().filter(|_| self.heeded) else {
            return false;
        };
        let lasting = message.occupant_id.as_deref();
        let who = lasting.unwrap_or(&message.nick);
        let name = name(lasting.is_some(), who, origin_id);
        !self.seen.insert((name, text(&message.body)))
    }
}

/// Stands for an occupant, known by its lasting id or not, and an id. Whoever could make theirs
/// come to somebody else's could have that one's messages left out.
fn name(lasting: bool, who: &str, id: &str) -> [u8; 16] {
    let mut digest = Sha256::new();
    // No two different ones are written alike: neither has a zero byte in it.
    digest.update([u8::from(lasting)]);
    digest.update(who);
    digest.update([0]);
    digest.update(id);
    let digest = digest.finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

/// Stands for a text (FNV-1a). Whoever makes two of theirs come to the same has one of their own
/// left out, and nobody else's.
fn text(body: &str) -> u64 {
    body.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;

    fn said(nick: &str, occupant_id: Option<&str>, origin_id: Option<&str>) -> Message {
        Message {
            id: None,
            nick: nick.into(),
            occupant_id: occupant_id.map(Into::into),
            body: "hi".into(),
            origin_id: origin_id.map(Into::into),
            reply_to: None,
            stamp: None,
            own: false,
            source: Source::Live,
        }
    }

    #[test]
    fn the_same_id_of_the_same_occupant_is_a_repetition() {
        let mut echoes = Echoes::new(8, true);
        assert!(!echoes.repeats(&said("ana", Some("o1"), Some("x"))));
        // Under another nick, as after a rejoin.
        assert!(echoes.repeats(&said("ana2", Some("o1"), Some("x"))));
        assert!(!echoes.repeats(&said("ana", Some("o1"), Some("y"))));
        // Another text under an id that was not drawn anew (dino#194, Monal#707).
        let mut other = said("ana", Some("o1"), Some("x"));
        other.body = "ho".into();
        assert!(!echoes.repeats(&other) && echoes.repeats(&other));
        assert!(!echoes.repeats(&said("bob", None, Some("x"))));
        assert!(echoes.repeats(&said("bob", None, Some("x"))));
    }

    #[test]
    fn a_copied_id_suppresses_nobody() {
        let mut echoes = Echoes::new(8, true);
        assert!(!echoes.repeats(&said("mallory", Some("o2"), Some("x"))));
        assert!(!echoes.repeats(&said("ana", Some("o1"), Some("x"))));
        // Nor does a nick that reads as another's lasting id.
        assert!(!echoes.repeats(&said("o1", None, Some("x"))));
        // And without an id nothing is a repetition (converse.js#951, dino#194).
        assert!(!echoes.repeats(&said("ana", Some("o1"), None)));
        assert!(!echoes.repeats(&said("ana", Some("o1"), None)));
    }

    #[test]
    fn it_forgets_and_can_be_told_not_to_look() {
        let mut echoes = Echoes::new(1, true);
        assert!(!echoes.repeats(&said("ana", None, Some("x"))));
        assert!(!echoes.repeats(&said("ana", None, Some("y"))));
        assert!(!echoes.repeats(&said("ana", None, Some("x"))));
        let mut off = Echoes::new(8, false);
        assert!(!off.repeats(&said("ana", None, Some("x"))));
        assert!(!off.repeats(&said("ana", None, Some("x"))));
    }
}
