//! A session, and what it keeps to be resumed (XEP-0198 v1.6.3).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use super::ConnectionId;

/// A session. Never reused within a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u64);

/// More unacknowledged bytes than this, and the connection is given up.
const UNACKED_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Session {
    /// The name of the account.
    pub(super) account: String,
    /// The full address.
    pub(super) full: String,
    /// `None`: hibernating.
    pub(super) connection: Option<ConnectionId>,
    /// Whether it said that it is available.
    pub(super) available: bool,
    pub(super) sm: Option<Managed>,
    /// What was under way to the connection that broke, and is not in the queue: of ejabberd
    /// alone.
    pub(super) under_way: Vec<Box<[u8]>>,
}

/// The state of stream management.
#[derive(Debug, Default)]
pub(super) struct Managed {
    /// By which it can be resumed.
    pub(super) token: Option<String>,
    /// Stanzas of the client that were handled, modulo 2^32.
    pub(super) handled: u32,
    /// Stanzas that the client acknowledged, modulo 2^32.
    pub(super) acked: u32,
    /// Those that it did not, the oldest first.
    pub(super) unacked: VecDeque<Box<[u8]>>,
    pub(super) bytes: usize,
    /// An acknowledgement was asked for and has not come.
    pub(super) asked: bool,
}

impl Managed {
    /// Takes the client's count; `false` if it is more than was sent.
    ///
    /// Counts are of 32 bits and wrap (section 4). One that goes back looks like one
    /// that is too high.
    pub(super) fn acknowledge(&mut self, h: u32) -> bool {
        let Ok(fresh) = usize::try_from(h.wrapping_sub(self.acked)) else {
            return false;
        };
        if fresh > self.unacked.len() {
            return false;
        }
        for stanza in self.unacked.drain(..fresh) {
            self.bytes = self.bytes.saturating_sub(stanza.len());
        }
        self.acked = h;
        true
    }
}

impl Session {
    pub(super) fn new(account: &str, full: &str, over: ConnectionId) -> Self {
        Self {
            account: account.into(),
            full: full.into(),
            connection: Some(over),
            available: false,
            sm: None,
            under_way: Vec::new(),
        }
    }

    /// Keeps a stanza until it is acknowledged; `true` if that is to be asked for.
    pub(super) fn keep(&mut self, stanza: &[u8]) -> bool {
        let Some(sm) = &mut self.sm else {
            return false;
        };
        sm.unacked.push_back(stanza.into());
        sm.bytes = sm.bytes.saturating_add(stanza.len());
        self.connection.is_some() && !core::mem::replace(&mut sm.asked, true)
    }

    /// The session is resumed while the last of what its rooms said to it, `most` messages or
    /// fewer, are still under way to the process of the broken connection. Returns them.
    pub(super) fn overtake(&mut self, most: u64) -> &[Box<[u8]>] {
        let Some(sm) = &mut self.sm else {
            return &[];
        };
        for _ in 0..most {
            let Some(stanza) = sm.unacked.pop_back() else {
                break;
            };
            if !is_groupchat(&stanza) {
                sm.unacked.push_back(stanza);
                break;
            }
            sm.bytes = sm.bytes.saturating_sub(stanza.len());
            self.under_way.insert(0, stanza);
        }
        &self.under_way
    }

    /// Whether more is kept than is good.
    pub(super) fn is_overfull(&self) -> bool {
        self.sm.as_ref().is_some_and(|sm| sm.bytes > UNACKED_BYTES)
    }
}

/// Whether a stanza is a message that a room says to all.
pub(super) fn is_groupchat(stanza: &[u8]) -> bool {
    let head = stanza.split(|byte| *byte == b'>').next();
    let head = head.and_then(|head| core::str::from_utf8(head).ok());
    head.is_some_and(|head| head.starts_with("<message ") && head.contains("groupchat"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_wrap_and_neither_go_back_nor_ahead() {
        let mut session = Session::new("a", "a@b/c", ConnectionId(1));
        session.sm = Some(Managed {
            acked: u32::MAX - 1,
            ..Managed::default()
        });
        for _ in 0..3 {
            session.keep(b"<iq/>");
        }
        let mut sm = session.sm.take().unwrap_or_default();
        assert!(sm.acknowledge(u32::MAX));
        assert!(sm.acknowledge(1));
        assert!(sm.acknowledge(1));
        assert!(!sm.acknowledge(2) && !sm.acknowledge(0));
        assert_eq!((sm.unacked.len(), sm.bytes), (0, 0));
    }
}
