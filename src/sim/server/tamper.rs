//! A stanza that is sent twice, not at all, or after the one behind it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::hub::Hub;
use super::session::SessionId;
use super::{Note, Tampering};

/// What waits for its stanza.
#[derive(Debug)]
pub(super) struct Tamper {
    left: u32,
    how: Tampering,
    /// The stanza that waits for the next one.
    held: Option<(SessionId, Vec<u8>)>,
}

impl Tamper {
    pub(super) const fn new(left: u32, how: Tampering) -> Self {
        Self {
            left,
            how,
            held: None,
        }
    }
}

impl Hub {
    /// What is sent instead of a stanza; `None` is the stanza itself.
    pub(super) fn tampered(&mut self, session: SessionId, stanza: &[u8]) -> Option<Vec<Vec<u8>>> {
        if self.tampers.is_empty() {
            return None;
        }
        let account = self.sessions.get(&session)?.account.clone();
        let tamper = self.tampers.get_mut(&account)?;
        if tamper.left > 0 {
            tamper.left = tamper.left.saturating_sub(1);
            return None;
        }
        let stanza = stanza.to_vec();
        let (instead, tampered) = match (tamper.how, tamper.held.take()) {
            (Tampering::Double, _) => (vec![stanza.clone(), stanza.clone()], vec![stanza]),
            (Tampering::Drop, _) => (Vec::new(), vec![stanza]),
            (Tampering::Swap, None) => {
                tamper.held = Some((session, stanza));
                return Some(Vec::new());
            }
            (Tampering::Swap, Some((_, held))) => {
                let swapped = vec![stanza, held];
                (swapped.clone(), swapped)
            }
        };
        self.tampers.remove(&account);
        let text = |stanza: Vec<u8>| String::from_utf8(stanza).unwrap_or_default();
        self.note(Note::Tampered {
            account,
            stanzas: tampered.into_iter().map(text).collect(),
        });
        Some(instead)
    }

    /// Nothing more is tampered with; what waits for the next stanza goes now.
    pub(super) fn end_tampering(&mut self) {
        for tamper in core::mem::take(&mut self.tampers).into_values() {
            if let Some((session, stanza)) = tamper.held {
                self.deliver_one(session, &stanza);
            }
        }
    }
}
