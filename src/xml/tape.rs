//! Where the framer keeps a stanza: one string and two flat lists.
//!
//! Nothing here is nested, so nothing recurses: an element knows where it ends,
//! and all between is within it. Three allocations serve all stanzas of a
//! stream; they grow to the largest one, which the limits bound.

use alloc::string::String;
use alloc::vec::Vec;
#[cfg(test)]
use core::sync::atomic::{AtomicUsize, Ordering};

/// A range of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

/// A qualified name: `prefix:local`, or `local` where the two starts agree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name {
    start: u32,
    local: u32,
    end: u32,
}

impl Name {
    pub(super) const fn local(self) -> Span {
        Span {
            start: self.local,
            end: self.end,
        }
    }

    pub(super) const fn whole(self) -> Span {
        Span {
            start: self.start,
            end: self.end,
        }
    }

    /// The prefix; empty where there is none.
    pub(super) const fn prefix(self) -> Span {
        // The colon is one byte.
        let end = if self.local > self.start {
            self.local.saturating_sub(1)
        } else {
            self.start
        };
        Span {
            start: self.start,
            end,
        }
    }
}

/// An element or a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    Element {
        ns: Span,
        name: Name,
        /// Its attributes: a range of the list.
        attrs: (u32, u32),
        /// The node after the last one within it.
        end: u32,
    },
    Text(Span),
}

/// An attribute that is no namespace declaration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attr {
    pub(super) ns: Span,
    pub(super) name: Name,
    pub(super) value: Span,
}

/// How much of a [`Tape`] there was at some time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    text: usize,
    nodes: usize,
    attrs: usize,
}

/// One stanza, and the names and values of the stream header before it.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) text: String,
    pub(super) nodes: Vec<Node>,
    pub(super) attrs: Vec<Attr>,
    /// How many bytes were compared, for tests of what that costs.
    #[cfg(test)]
    pub(super) compared: AtomicUsize,
}

/// An index or offset as the tape keeps it. The framer caps a stanza at 1 GiB,
/// so nothing is ever cut off.
pub(super) fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl Tape {
    pub(super) fn str(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Whether two ranges hold the same: where their lengths differ, no byte is looked at.
    pub(super) fn same(&self, one: Span, other: Span) -> bool {
        let (one, other) = (self.str(one), self.str(other));
        if one.len() != other.len() {
            return false;
        }
        #[cfg(test)]
        self.compared.fetch_add(one.len(), Ordering::Relaxed);
        one == other
    }

    pub(super) fn here(&self) -> u32 {
        index(self.text.len())
    }

    /// All that was appended since `start`.
    pub(super) fn since(&self, start: u32) -> Span {
        Span {
            start,
            end: self.here(),
        }
    }

    /// The name that was appended since `start`; `colon` is the offset of the colon within,
    /// if there is one.
    pub(super) fn name_since(&self, start: u32, colon: Option<usize>) -> Name {
        let local = colon.map_or(start, |at| {
            start.saturating_add(index(at.saturating_add(1)))
        });
        Name {
            start,
            local,
            end: self.here(),
        }
    }

    pub(super) fn push_str(&mut self, text: &str) -> Span {
        let start = self.here();
        self.text.push_str(text);
        self.since(start)
    }

    /// Notes that the element at `node` ends with the last node there is.
    pub(super) fn close(&mut self, node: u32) {
        let last = index(self.nodes.len());
        if let Some(Node::Element { end, .. }) = self.nodes.get_mut(node as usize) {
            *end = last;
        }
    }

    /// Makes what was appended since `start` a text, or the last text longer by
    /// it where `joined`.
    pub(super) fn push_text(&mut self, start: u32, joined: bool) {
        let span = self.since(start);
        match self.nodes.last_mut() {
            Some(Node::Text(last)) if joined => last.end = span.end,
            _ => self.nodes.push(Node::Text(span)),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            text: self.text.len(),
            nodes: self.nodes.len(),
            attrs: self.attrs.len(),
        }
    }

    pub(super) fn rewind(&mut self, to: Mark) {
        self.text.truncate(to.text);
        self.nodes.truncate(to.nodes);
        self.attrs.truncate(to.attrs);
    }

    /// Forgets elements and attributes but keeps the text: names that are bound
    /// in the stream header live there.
    pub(super) fn mark_without_nodes(&self) -> Mark {
        Mark {
            text: self.text.len(),
            nodes: 0,
            attrs: 0,
        }
    }

    /// How many bytes it has reserved.
    pub(super) fn allocated(&self) -> usize {
        let nodes = self.nodes.capacity().saturating_mul(size_of::<Node>());
        let attrs = self.attrs.capacity().saturating_mul(size_of::<Attr>());
        self.text
            .capacity()
            .saturating_add(nodes)
            .saturating_add(attrs)
    }
}
