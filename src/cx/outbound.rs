//! Bytes on their way to the transport, and stanzas until the peer handled them.
//!
//! Every stanza has a number, which goes on over all streams of an engine. Which
//! stanzas can have arrived is decided by it: at first by bytes, a stanza of
//! which the transport did not take the last byte was never whole at the other
//! end; and where the peer acknowledges (XEP-0198), by what it says. What it has
//! not acknowledged is kept as it was written, to be sent again.
//!
//! What an acknowledgement looks like is no matter of this file, but of `sm`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::limits::Limits;
use crate::planted::{Bug, planted};
use crate::xml::Writer;

/// So many bytes the transport has to take for what waits behind them to be given its time again:
/// who takes one now and then does not read.
pub(crate) const PROGRESS: u64 = 512;

/// Bytes on their way to the transport.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    /// How many of `bytes` the transport has taken.
    taken: usize,
    /// How many the transport has taken of all bytes of this stream.
    sent: u64,
    /// Where the stanzas end of which the transport has not taken all, in the stream.
    ends: VecDeque<u64>,
    /// Stanzas written so far, on all streams: the number of the next.
    count: u64,
    /// The number of the first stanza that no transport has had whole.
    whole: u64,
    /// The number of the first stanza that was never there for a transport to take.
    offered: u64,
    /// Where the last one ends of which the transport has taken all, in the stream.
    last_end: u64,
    kept: Option<Kept>,
    /// Something was written of which it is to be known soon whether it arrived.
    urgent: bool,
}

/// The newest stanzas as they were written, without a hole, until the peer
/// handled them.
#[derive(Debug)]
struct Kept {
    stanzas: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// There is no stream: what is written waits here for the next one.
    parked: bool,
    /// The most stanzas and bytes before posts wait.
    most: (usize, usize),
}

/// A question on its way to the peer, who cannot answer what our transport has not taken: however
/// long that takes of what was to be written before it, if only it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Question {
    /// Where it ends in the stream; 0 once the transport has taken it.
    end: u64,
    /// How much the transport had taken of the stream when the answer was last given its time.
    taken: u64,
}

impl Question {
    /// What was written last.
    pub(crate) fn written(out: &Outbound) -> Self {
        Self {
            end: out.end(),
            taken: out.sent(),
        }
    }

    /// The transport took something. Says whether the answer is to be given its whole time again.
    pub(crate) const fn moved(&mut self, out: &Outbound) -> bool {
        if self.end == 0 {
            return false;
        }
        if self.end <= out.sent {
            self.end = 0;
        } else if out.sent.saturating_sub(self.taken) < PROGRESS {
            return false;
        }
        self.taken = out.sent;
        true
    }
}

impl Kept {
    fn reaches(&self, times: usize) -> bool {
        self.stanzas.len() >= self.most.0.saturating_mul(times)
            || self.bytes >= self.most.1.saturating_mul(times)
    }

    fn push(&mut self, stanza: &[u8]) {
        if self.reaches(2) {
            // Who makes us write that much and acknowledges none of it does not
            // make us keep it: the stream goes on, only resumed it cannot be.
            self.stanzas.clear();
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(stanza.len());
        self.stanzas.push_back(stanza.into());
    }
}

impl Outbound {
    /// Appends what `write` writes, all of it or, if it holds a character that
    /// XML cannot carry, nothing. For what is no stanza.
    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        into(&mut self.bytes, write);
    }

    /// Appends white space: traffic, and nothing to take notice of (RFC 6120, section 4.6.1).
    pub(crate) fn white_space(&mut self) {
        self.bytes.push(b' ');
    }

    /// Appends a stanza, likewise; returns its number.
    pub(crate) fn stanza(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> u64 {
        let number = self.count;
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.parked) {
            let mut stanza = Vec::new();
            into(&mut stanza, write);
            kept.push(&stanza);
        } else {
            let start = self.bytes.len();
            into(&mut self.bytes, write);
            if let Some(kept) = &mut self.kept {
                kept.push(self.bytes.get(start..).unwrap_or_default());
            }
            self.ends.push_back(self.end());
            self.offered = number.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        number
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        let kept = self.kept.as_ref().map_or(0, |kept| {
            let places = kept.stanzas.len().saturating_mul(size_of::<Box<[u8]>>());
            kept.bytes.saturating_add(places)
        });
        let ends = self.ends.len().saturating_mul(size_of::<u64>());
        self.bytes
            .capacity()
            .saturating_add(kept)
            .saturating_add(ends)
    }

    /// It is to be known soon whether what was just written arrived.
    pub(crate) const fn urge(&mut self) {
        self.urgent = true;
    }

    /// Whether anything is, and was not yet asked about.
    pub(crate) const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// It is being asked about.
    pub(crate) const fn asked(&mut self) {
        self.urgent = false;
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// How many bytes there are: what waits, and what the transport took of late.
    pub(crate) const fn buffered(&self) -> usize {
        self.bytes.len()
    }

    /// The stream position behind the last byte written.
    pub(crate) fn end(&self) -> u64 {
        self.sent
            .saturating_add(u64::try_from(self.waiting().len()).unwrap_or(u64::MAX))
    }

    /// The stream position behind the last byte the transport has taken.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// The number that the next stanza will have.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The number of the first stanza that was never there for a transport to take: no peer can
    /// have handled it. Which bytes a transport took is not asked: whether a host tells first of
    /// what was written or of the answer to it is its own affair.
    pub(crate) const fn offered(&self) -> u64 {
        self.offered
    }

    /// The number of the first stanza that no transport has had whole.
    pub(crate) const fn whole(&self) -> u64 {
        self.whole
    }

    /// The number of the first stanza of which the transport has not even had the
    /// first byte; a later one, where something else stands between.
    pub(crate) fn begun(&self) -> u64 {
        let partial = !self.ends.is_empty() && self.sent > self.last_end;
        self.whole.saturating_add(u64::from(partial))
    }

    pub(crate) fn advance(&mut self, n: usize) {
        let n = n.min(self.waiting().len());
        self.taken = self.taken.saturating_add(n);
        self.sent = self
            .sent
            .saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        while self.ends.front().is_some_and(|end| *end <= self.sent) {
            self.last_end = self.ends.pop_front().unwrap_or(self.sent);
            self.whole = self.whole.saturating_add(1);
        }
        if planted(Bug::WrittenIsKept) {
            return;
        }
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken >= self.bytes.len().div_ceil(2) {
            // Moves at most as many bytes as were taken since the last move.
            // In range: no more is taken than waited.
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Forgets what waits: the stream it was for is gone.
    pub(crate) fn reset(&mut self) {
        self.bytes = Vec::new();
        self.taken = 0;
        self.sent = 0;
        self.last_end = 0;
        self.ends.clear();
    }

    /// Begins to keep stanzas, from the next one on.
    pub(crate) fn keep(&mut self, limits: &Limits) {
        self.kept = Some(Kept {
            stanzas: VecDeque::new(),
            bytes: 0,
            parked: false,
            most: (limits.unacked_stanzas, limits.unacked_bytes),
        });
    }

    /// Keeps nothing any more.
    pub(crate) fn keep_nothing(&mut self) {
        self.kept = None;
    }

    /// What was written so far is over and done with.
    pub(crate) fn forget(&mut self) {
        self.keep_nothing();
        self.urgent = false;
        self.ends.clear();
        self.whole = self.count;
        self.offered = self.count;
    }

    /// Whether so much is kept that posts have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.reaches(1))
    }

    /// Whether every stanza from that number on is kept.
    pub(crate) fn keeps_from(&self, number: u64) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| self.first(kept) <= number)
    }

    /// All stanzas from that number on, as they were written; `None` if not all are kept.
    pub(crate) fn kept_from(&self, number: u64) -> Option<Vec<Box<[u8]>>> {
        let kept = self.kept.as_ref()?;
        let before = number.checked_sub(self.first(kept))?;
        let before = usize::try_from(before).ok()?;
        Some(kept.stanzas.iter().skip(before).cloned().collect())
    }

    /// Keeps what another process wrote, for the stream that is resumed.
    pub(crate) fn restore(&mut self, stanzas: Vec<Box<[u8]>>) {
        if let Some(kept) = &mut self.kept {
            kept.parked = true;
            for stanza in stanzas {
                kept.bytes = kept.bytes.saturating_add(stanza.len());
                kept.stanzas.push_back(stanza);
                self.count = self.count.saturating_add(1);
            }
            // Whether that process had a transport for all of them is not known.
            self.offered = self.count;
        }
    }

    /// The peer handled all stanzas below that number.
    pub(crate) fn handled(&mut self, below: u64) {
        while let Some(kept) = &self.kept
            && self.first(kept) < below
            && let Some(kept) = &mut self.kept
            && let Some(stanza) = kept.stanzas.pop_front()
        {
            kept.bytes = kept.bytes.saturating_sub(stanza.len());
        }
    }

    /// There is no stream: stanzas are kept for the next, after those that are.
    pub(crate) fn park(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.parked = true;
        }
    }

    /// Writes all that is kept, in order, before anything new: the very bytes
    /// that were written before.
    pub(crate) fn unpark(&mut self) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        kept.parked = false;
        self.offered = self.count;
        self.whole = self
            .count
            .saturating_sub(u64::try_from(kept.stanzas.len()).unwrap_or(u64::MAX));
        self.ends.clear();
        let waiting = self.bytes.len().saturating_sub(self.taken);
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        let mut end = self.sent.saturating_add(waiting);
        for stanza in &kept.stanzas {
            self.bytes.extend_from_slice(stanza);
            if planted(Bug::ResendAltered) && self.bytes.pop_if(|last| *last == b'>').is_some() {
                self.bytes.extend_from_slice(b" >");
                end = end.saturating_add(1);
            }
            end = end.saturating_add(u64::try_from(stanza.len()).unwrap_or(u64::MAX));
            self.ends.push_back(end);
        }
    }

    /// The number of the first stanza that is kept.
    fn first(&self, kept: &Kept) -> u64 {
        self.count
            .saturating_sub(u64::try_from(kept.stanzas.len()).unwrap_or(u64::MAX))
    }
}

fn into(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    let mut writer = Writer::new(bytes);
    write(&mut writer);
    let written = writer.finish();
    // Data is checked before it gets here; names and ids are our own.
    debug_assert!(written.is_ok(), "unchecked data was written: {written:?}");
}
