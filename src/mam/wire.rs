//! A query and its answers on the wire (XEP-0313 v1.1.3, sections 4.1 to 4.3).

use crate::ns;
use crate::rsm::{self, Page};
use crate::stanza::RawJid;
use crate::xml::{Element, Writer};

/// Writes a query for a page: the payload of a request of type set (section 4).
pub(crate) fn write_query(w: &mut Writer<'_>, query_id: &str, page: &Page, max: u32) {
    w.start("query")
        .attr("xmlns", ns::MAM)
        .attr("queryid", query_id);
    rsm::write(w, page, max);
    w.end();
}

/// A `<result/>`: one archived message, or what is left of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archived<'a> {
    pub(crate) query_id: &'a str,
    pub(crate) id: &'a str,
    /// When the archive says that it was sent.
    pub(crate) stamp: Option<&'a str>,
    /// `None`: a tombstone, the message was removed (section 3.2).
    pub(crate) message: Option<Element<'a>>,
}

impl<'a> Archived<'a> {
    /// The result that this message is the envelope of.
    ///
    /// Only a `<result/>` right under the stanza counts; one within a forwarded
    /// message is somebody's payload.
    pub(crate) fn read(envelope: Element<'a>) -> Option<Self> {
        let result = envelope.child("result", ns::MAM)?;
        let forwarded = result.child("forwarded", ns::FORWARD);
        Some(Self {
            query_id: result.attr("queryid").unwrap_or_default(),
            id: result.attr("id").unwrap_or_default(),
            stamp: forwarded
                .and_then(|f| f.child("delay", ns::DELAY))
                .and_then(|delay| delay.attr("stamp")),
            message: forwarded.and_then(|f| f.child("message", ns::CLIENT)),
        })
    }

    /// The nick of the archived room message, if it is one of `room`'s.
    ///
    /// Anything else under a room's id was not said there, whoever put it in.
    pub(crate) fn nick_in(&self, is_room: impl Fn(&str) -> bool) -> Option<&'a str> {
        let message = self.message?;
        if message.attr("type") != Some("groupchat") {
            return None;
        }
        let from = RawJid::read(message.attr("from")?)?;
        from.resource.filter(|_| is_room(from.bare))
    }
}

/// The `<fin/>` that ends a page (section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fin<'a> {
    pub(crate) complete: bool,
    /// Results of a server that does not say otherwise "are stable" (section 4.2).
    pub(crate) stable: bool,
    pub(crate) set: rsm::Set<'a>,
}

impl<'a> Fin<'a> {
    /// Reads the payload of the answer to a query.
    pub(crate) fn read(fin: Element<'a>) -> Option<Self> {
        fin.is("fin", ns::MAM).then(|| Self {
            complete: matches!(fin.attr("complete"), Some("true" | "1")),
            stable: !matches!(fin.attr("stable"), Some("false" | "0")),
            set: rsm::read(fin),
        })
    }
}
