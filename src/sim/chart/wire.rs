//! The stanzas in the bytes of one direction of a link: where each begins and ends,
//! when it was written, and when it was read.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::item::{Kind, Stamp};
use super::words;
use crate::XmlLimits;
use crate::xml::{Frame, Framer};

const UNFINISHED: &str = "a stanza that was never completed";

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Direction {
    framer: Framer,
    /// What is not whole yet, of which only this much is kept.
    raw: Vec<u8>,
    keep: usize,
    /// Where it begins, among all bytes of this direction, and when that was written.
    start: u64,
    began: Option<Stamp>,
    /// In how many pieces it was written so far.
    pieces: u32,
    written: u64,
    read: u64,
    /// What was written whole and not read whole, the oldest first.
    waiting: VecDeque<Waiting>,
}

/// Something on its way.
#[derive(Debug)]
struct Waiting {
    start: u64,
    end: u64,
    item: usize,
}

/// Something that was found in what was written.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) label: String,
    /// As written; its beginning, if that is too long.
    pub(super) text: String,
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// When its first byte was written, and its last.
    pub(super) began: Stamp,
    pub(super) ended: Stamp,
    pub(super) pieces: u32,
    /// The streams of both directions begin anew after it.
    pub(super) restarts: bool,
}

/// How far something on its way came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many of its bytes were read, over all.
    Part(u64),
    /// All of it.
    Whole,
}

impl Direction {
    pub(super) fn new(keep: usize) -> Self {
        // Broader than any engine's: what is refused there is still to be seen here.
        let limits = XmlLimits {
            stanza_bytes: 16 * 1024 * 1024,
            value_bytes: 1024 * 1024,
            nodes: 64 * 1024,
            idle_bytes_before_login: usize::MAX,
            ..XmlLimits::default()
        };
        Self {
            framer: Framer::new(limits),
            raw: Vec::new(),
            keep,
            start: 0,
            began: None,
            pieces: 0,
            written: 0,
            read: 0,
            waiting: VecDeque::new(),
        }
    }

    /// A new stream begins with the next byte.
    pub(super) fn restart(&mut self) -> Option<Found> {
        self.framer.restart();
        self.rest()
    }

    /// Bytes were written: what they complete.
    pub(super) fn write(&mut self, now: Stamp, mut bytes: &[u8]) -> Vec<Found> {
        let mut all = Vec::new();
        if self.began.is_none() && bytes.iter().all(u8::is_ascii_whitespace) {
            let start = self.written;
            self.written = start.saturating_add(wide(bytes.len()));
            // Nothing of a stanza: the framer's state between stanzas stays as it is.
            all.push(Found {
                kind: Kind::Nonza,
                label: String::from("white space (keepalive)"),
                text: format!("{:?}", String::from_utf8_lossy(bytes)),
                start,
                bytes: wide(bytes.len()),
                began: now,
                ended: now,
                pieces: 1,
                restarts: false,
            });
            return all;
        }
        if self.began.is_some() && !bytes.is_empty() {
            self.pieces = self.pieces.saturating_add(1);
        }
        while !bytes.is_empty() {
            let (taken, found) = self.framer.push(bytes);
            let (head, tail) = bytes.split_at_checked(taken).unwrap_or((bytes, &[]));
            match found {
                Some(Ok(frame)) => {
                    let (kind, label) = words::frame(&frame);
                    let restarts = matches!(&frame, Frame::Stanza(element)
                        if element.is("success", words::SASL));
                    self.add(now, head);
                    bytes = tail;
                    all.extend(self.take(now, kind, label, restarts));
                    if restarts {
                        self.framer.restart();
                    }
                }
                // Not XML: shown as it is, piece by piece.
                Some(Err(error)) => {
                    self.add(now, bytes);
                    bytes = &[];
                    let label = format!("bytes that are no stanza ({})", error.fault);
                    all.extend(self.take(now, Kind::Bytes, label, false));
                }
                None => {
                    self.add(now, head);
                    bytes = tail;
                    if taken == 0 {
                        break;
                    }
                }
            }
        }
        all
    }

    /// Bytes were read: which items they belong to. `seen` is told of each.
    pub(super) fn read(&mut self, bytes: usize, mut seen: impl FnMut(usize, Progress)) {
        self.read = self.read.saturating_add(wide(bytes));
        while let Some(first) = self.waiting.front() {
            if first.end <= self.read {
                seen(first.item, Progress::Whole);
                self.waiting.pop_front();
            } else {
                if first.start < self.read {
                    seen(
                        first.item,
                        Progress::Part(self.read.saturating_sub(first.start)),
                    );
                }
                break;
            }
        }
    }

    /// This item is what was found from `start` on.
    pub(super) fn await_reading(&mut self, found: &Found, item: usize) {
        self.waiting.push_back(Waiting {
            start: found.start,
            end: found.start.saturating_add(found.bytes),
            item,
        });
    }

    /// What was begun and never completed.
    pub(super) fn rest(&mut self) -> Option<Found> {
        let now = self.began?;
        self.take(now, Kind::Bytes, UNFINISHED.into(), false)
    }

    /// The same, left where it is: a page can be drawn while the run goes on.
    pub(super) fn peek_rest(&self) -> Option<Found> {
        let now = self.began?;
        Some(Found {
            kind: Kind::Bytes,
            label: UNFINISHED.into(),
            text: shown(&self.raw),
            start: self.start,
            bytes: self.written.saturating_sub(self.start),
            began: now,
            ended: now,
            pieces: self.pieces,
            restarts: false,
        })
    }

    /// How many of the bytes from `start` on were read.
    pub(super) const fn read_from(&self, start: u64) -> u64 {
        self.read.saturating_sub(start)
    }

    fn add(&mut self, now: Stamp, mut bytes: &[u8]) {
        if self.began.is_none() {
            // White space between stanzas belongs to none.
            let from = bytes
                .iter()
                .position(|byte| !byte.is_ascii_whitespace())
                .unwrap_or(bytes.len());
            self.written = self.written.saturating_add(wide(from));
            bytes = bytes.get(from..).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            self.start = self.written;
            self.began = Some(now);
            self.pieces = 1;
        }
        self.written = self.written.saturating_add(wide(bytes.len()));
        let room = self.keep.saturating_sub(self.raw.len()).min(bytes.len());
        self.raw
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    fn take(&mut self, now: Stamp, kind: Kind, label: String, restarts: bool) -> Option<Found> {
        let began = self.began.take()?;
        let raw = core::mem::take(&mut self.raw);
        Some(Found {
            kind,
            label,
            text: shown(&raw),
            start: self.start,
            bytes: self.written.saturating_sub(self.start),
            began,
            ended: now,
            pieces: core::mem::take(&mut self.pieces),
            restarts,
        })
    }
}

/// What is shown of a piece of the stream: all of it, but for what a login says, which is as good
/// as a password to who can try many.
fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let secret = ["<auth", "<response", "<challenge", "<success"]
        .iter()
        .any(|tag| text.starts_with(tag));
    match text.split_once('>') {
        Some((tag, said)) if secret && !said.is_empty() => format!("{tag}>\u{2026}"),
        _ => text.into_owned(),
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
