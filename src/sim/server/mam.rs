//! Reading rooms' archives (XEP-0313 v1.1.3) page by page (XEP-0059 v1.0), as each
//! server was measured to answer.
//!
//! Not heeded: `with`, which Prosody ignores in rooms and ejabberd compares with the
//! senders' addresses. Not offered: `flip-page`, metadata, preferences, and on ejabberd the versions of the
//! protocol before this one.

use alloc::string::String;
use alloc::vec::Vec;

use super::archive::{Archive, Stored};
use super::groupchat::stamp_of;
use super::hub::Hub;
use super::muc::Muc;
use super::muc_iq::{bare_of, field, request};
use super::room::{Affiliation, Room};
use super::session::SessionId;
use super::stanza::Refusal;
use super::{Garbling, Note, ns, stamp};
use crate::Condition;
use crate::xml::Element;

/// The size of a page where none is asked for.
const fn page(prosody: bool) -> i64 {
    if prosody { 20 } else { 50 }
}

/// What is asked of an archive.
#[derive(Clone, Copy, Debug, Default)]
struct Query<'a> {
    id: Option<&'a str>,
    start: Option<u64>,
    end: Option<u64>,
    after: Option<&'a str>,
    /// Empty: the last page.
    before: Option<&'a str>,
    max: Option<i64>,
}

/// What can be asked for; the first three of ejabberd.
const FIELDS: [(&str, &str); 6] = [
    ("with", "jid-single"),
    ("start", "text-single"),
    ("end", "text-single"),
    ("before-id", "text-single"),
    ("after-id", "text-single"),
    ("ids", "list-multi"),
];

/// A page: what is on it, of the messages that show.
#[derive(Debug)]
struct Page<'a> {
    rows: Vec<&'a Stored>,
    complete: bool,
    /// Messages that fit the query, on whatever page.
    count: usize,
    /// Nothing is to appear between them yet.
    stable: bool,
}

impl<'a> Query<'a> {
    fn read(query: Element<'a>, prosody: bool) -> Result<Self, Refusal> {
        let mut read = Self {
            id: query.attr("queryid"),
            ..Self::default()
        };
        let bad = Refusal::modify(Condition::BadRequest).saying("Not a query");
        if let Some(form) = query.child("x", ns::DATA) {
            // XEP-0313 section 4.1: "The hidden FORM_TYPE field MUST be set". Measured:
            // Prosody wants it but takes any field, ejabberd the other way round.
            let right = field(form, "FORM_TYPE").map(|kind| kind == ns::MAM);
            let known = ["FORM_TYPE", "start", "end", "with", "withtext"];
            let unknown = form
                .children()
                .any(|f| f.attr("var").is_some_and(|name| !known.contains(&name)));
            if right == Some(false) || (prosody && right.is_none()) || (!prosody && unknown) {
                return Err(bad);
            }
            let time = |name| match field(form, name) {
                None => Ok(None),
                Some(text) => stamp::parse(text).map(Some).ok_or(bad),
            };
            (read.start, read.end) = (time("start")?, time("end")?);
        }
        if let Some(set) = query.child("set", ns::RSM) {
            let text = |name| set.child(name, ns::RSM).map(|e| e.text());
            (read.after, read.before) = (text("after"), text("before"));
            if !prosody && text("index").is_some() {
                return Err(Refusal::cancel(Condition::FeatureNotImplemented));
            }
            let max = text("max").map(str::trim).filter(|max| !max.is_empty());
            read.max = match max.map(str::parse::<i64>) {
                Some(Ok(max)) if max >= 0 || prosody => Some(max),
                Some(_) if !prosody => return Err(bad),
                _ => None,
            };
        }
        Ok(read)
    }

    /// Finds the page among the messages that show.
    fn find<'m>(&self, archive: &'m Archive, prosody: bool, cap: u32) -> Result<Page<'m>, Refusal> {
        let entries = archive.entries();
        let time = |m: &Stored| cut(prosody, m.micros);
        let fits = |m: &&Stored| {
            m.visible
                && self
                    .start
                    .is_none_or(|start| time(m) >= cut(prosody, start))
                && self.end.is_none_or(|end| time(m) <= cut(prosody, end))
        };
        let (mut from, mut to) = (0, entries.len());
        if let Some(after) = self.after {
            from = position(archive, prosody, after, true)?;
        }
        // Measured: ejabberd heeds only the first where both are asked for.
        let before = self.before.filter(|_| prosody || self.after.is_none());
        if let Some(before) = before.filter(|id| !id.is_empty()) {
            to = position(archive, prosody, before, false)?;
        }
        let inside = entries.iter().take(to).skip(from);
        let mut rows: Vec<&Stored> = inside.filter(fits).collect();
        // Measured: less than nothing is to Prosody a complete page of nothing.
        let negative = self.max.is_some_and(|max| max < 0);
        let max = self.max.unwrap_or(page(prosody)).clamp(0, cap.into());
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let complete = negative || rows.len() <= max;
        if negative {
            rows.clear();
        } else if !complete && self.before.is_some() {
            rows.drain(..rows.len().saturating_sub(max));
        } else {
            rows.truncate(max);
        }
        Ok(Page {
            rows,
            complete,
            count: entries.iter().filter(fits).count(),
            stable: !archive.is_unsettled(),
        })
    }
}

/// Prosody keeps whole seconds only.
const fn cut(prosody: bool, micros: u64) -> u64 {
    if prosody { micros / 1_000_000 } else { micros }
}

/// Where the messages after, or before, this one begin, or end.
fn position(archive: &Archive, prosody: bool, id: &str, after: bool) -> Result<usize, Refusal> {
    let entries = archive.entries();
    if prosody {
        let at = entries.iter().rposition(|m| m.id == id);
        // Measured: `modify`, where a room that does not exist is `cancel`. So is
        // an empty id.
        let at = at.ok_or(Refusal::modify(Condition::ItemNotFound))?;
        return Ok(at.saturating_add(usize::from(after)));
    }
    if id.is_empty() {
        return Err(Refusal::modify(Condition::BadRequest));
    }
    // Measured: ids are numbers, which are compared as texts: the longer one is the
    // greater. So nothing comes after an id that is longer, whatever it is, nor does
    // ejabberd say that it does not know it.
    let key = |id: &str| (id.len(), String::from(id));
    let own = key(id);
    Ok(entries.partition_point(|m| {
        let other = key(&m.id);
        other < own || (after && other == own)
    }))
}

impl Muc {
    /// Takes a request to a room's archive.
    pub(super) fn on_archive_request(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        iq: Element<'_>,
    ) {
        let Some((kind, payload, id)) = request(iq) else {
            return;
        };
        if kind == "get" {
            let prosody = hub.is_prosody();
            return hub.result(session, Some(jid), id, |w| {
                w.start("query").attr("xmlns", ns::MAM);
                w.start("x").attr("xmlns", ns::DATA).attr("type", "form");
                w.start("field")
                    .attr("type", "hidden")
                    .attr("var", "FORM_TYPE");
                w.start("value").text(ns::MAM).end().end();
                let fields = FIELDS.iter().take(if prosody { 6 } else { 3 });
                for (name, kind) in fields {
                    w.start("field").attr("type", kind).attr("var", name);
                    if !prosody {
                        w.attr("label", name);
                    } else if matches!(*name, "start" | "end") {
                        w.start("validate")
                            .attr("xmlns", "http://jabber.org/protocol/xdata-validate")
                            .attr("datatype", "xs:dateTime")
                            .end();
                    }
                    w.end();
                }
                w.end().end();
            });
        }
        if let Err(refusal) = self.query(hub, session, jid, payload, id) {
            hub.refuse(session, iq, refusal);
        }
    }

    fn query(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        query: Element<'_>,
        iq: &str,
    ) -> Result<(), Refusal> {
        if self.fail_queries > 0 {
            self.fail_queries = self.fail_queries.saturating_sub(1);
            hub.note(Note::Garbled { room: jid.into() });
            return Err(Refusal::wait(Condition::InternalServerError));
        }
        self.reveal(hub, jid);
        let prosody = hub.is_prosody();
        let asked = Query::read(query, prosody)?;
        let destroyed;
        let room = match self.rooms.get(jid) {
            Some(room) => room,
            // Measured: an empty archive is no proof that there is a room.
            None if self.gone.contains(jid) => {
                destroyed = Room::new(jid, hub);
                &destroyed
            }
            None => return Err(Refusal::cancel(Condition::ItemNotFound)),
        };
        let bare = bare_of(hub, session);
        let affiliation = room.affiliation(&bare);
        let stranger = room.members_only
            && affiliation == Affiliation::None
            && (prosody || room.occupant(session).is_none());
        if affiliation == Affiliation::Outcast || stranger {
            return Err(Refusal::auth(Condition::Forbidden));
        }
        if !room.archives {
            return Err(Refusal::cancel(if prosody {
                Condition::ServiceUnavailable
            } else {
                Condition::FeatureNotImplemented
            }));
        }
        let cap = hub.setup.page_cap;
        let mut page = asked.find(&room.archive, prosody, cap)?;
        let garbling = self.garbling.take_if(|how| how.applies(&page, &asked));
        if garbling.is_some() {
            hub.note(Note::Garbled { room: jid.into() });
        }
        if garbling == Some(Garbling::Again) {
            let stored = |id: &str| room.archive.entries().iter().find(|m| m.id == id);
            if let Some(again) = asked.after.and_then(stored) {
                page.rows.insert(0, again);
            } else {
                page.rows.extend(asked.before.and_then(stored));
            }
        }
        if garbling == Some(Garbling::AfterEnd) {
            finish(hub, session, jid, iq, &page, false);
        }
        let dropped = self.drop_result.take();
        if dropped.is_some() {
            hub.note(Note::Garbled { room: jid.into() });
        }
        let dropped = dropped.and_then(|index| usize::try_from(index).ok());
        let times = if garbling == Some(Garbling::Twice) {
            2
        } else {
            1
        };
        for (index, message) in page.rows.iter().enumerate() {
            for _ in 0..times {
                if dropped != Some(index) {
                    room.give(hub, session, asked.id, message, room.moderates(&bare));
                }
            }
        }
        if garbling != Some(Garbling::AfterEnd) {
            let swapped = garbling == Some(Garbling::Bounds);
            finish(hub, session, jid, iq, &page, swapped);
        }
        Ok(())
    }
}

impl Garbling {
    /// Whether this page can be spoilt in this way.
    fn applies(self, page: &Page<'_>, asked: &Query<'_>) -> bool {
        match self {
            Self::Twice | Self::AfterEnd => !page.rows.is_empty(),
            Self::Again => {
                let before = asked.before.is_some_and(|id| !id.is_empty());
                asked.after.is_some() || before
            }
            Self::Bounds => page.rows.len() > 1,
        }
    }
}

impl Room {
    /// Sends one message of the archive (XEP-0313, section 4.2).
    fn give(
        &self,
        hub: &mut Hub,
        session: SessionId,
        query: Option<&str>,
        message: &Stored,
        moderator: bool,
    ) {
        let to = hub.address(session);
        let prosody = hub.is_prosody();
        let stamp = stamp_of(prosody, message.micros);
        let muc = hub.muc.clone();
        let mut forwarded = Vec::new();
        if prosody || !message.tombstone {
            self.restore(&mut forwarded, message, moderator && !prosody);
        }
        let forwarded = String::from_utf8(forwarded).unwrap_or_default();
        hub.send_with(
            session,
            "message",
            |w| {
                w.start("message").attr("to", &to).attr("from", &self.jid);
                w.start("result")
                    .attr("xmlns", ns::MAM)
                    .attr("id", &message.id);
                if let Some(query) = query {
                    w.attr("queryid", query);
                }
                w.start("forwarded").attr("xmlns", ns::FORWARD);
                if prosody {
                    w.start("delay")
                        .attr("xmlns", ns::DELAY)
                        .attr("stamp", &stamp);
                    w.end();
                }
            },
            &forwarded,
            |w| {
                if !prosody {
                    w.start("delay").attr("xmlns", ns::DELAY);
                    w.attr("from", &muc).attr("stamp", &stamp).end();
                }
                w.close("forwarded").close("result");
            },
        );
    }

    /// Writes a message as it was said; of a tombstone a placeholder, which
    /// XEP-0313 section 3.2 allows as it allows nothing at all.
    fn restore(&self, out: &mut Vec<u8>, message: &Stored, names_sender: bool) {
        let from = [&self.jid, "/", &message.nick].concat();
        super::hub::enclose(
            out,
            "message",
            |w| {
                w.start("message")
                    .attr("from", &from)
                    .attr("xmlns", ns::CLIENT);
                w.attr("type", "groupchat").attr("xml:lang", "en");
                if let Some(id) = &message.stanza {
                    w.attr("id", id);
                }
                if names_sender {
                    w.start("x").attr("xmlns", ns::MUC_USER);
                    w.start("item").attr("jid", &message.jid).end();
                    w.end();
                }
                if message.tombstone {
                    w.start("retracted").attr("xmlns", ns::RETRACT).end();
                }
            },
            &message.inner,
            |_| {},
        );
    }
}

/// Ends a page; `swapped`: the ids of its first and last item are each other's.
fn finish(hub: &mut Hub, session: SessionId, jid: &str, iq: &str, page: &Page<'_>, swapped: bool) {
    let prosody = hub.is_prosody();
    let count = Hub::decimal(page.count);
    if !page.stable {
        hub.note(Note::Unstable { room: jid.into() });
    }
    let (mut first, mut last) = (page.rows.first(), page.rows.last());
    if swapped {
        core::mem::swap(&mut first, &mut last);
    }
    hub.result(session, Some(jid), iq, |w| {
        w.start("fin").attr("xmlns", ns::MAM);
        // Measured: Prosody says it where it holds, ejabberd always.
        if page.complete {
            w.attr("complete", "true");
        } else if !prosody {
            w.attr("complete", "false");
        }
        if !page.stable {
            w.attr("stable", "false");
        }
        w.start("set").attr("xmlns", ns::RSM);
        if !prosody {
            w.start("count").text(&count).end();
        }
        if let Some(first) = first {
            w.start("first").text(&first.id).end();
        }
        if prosody {
            w.start("count").text(&count).end();
        }
        if let Some(last) = last {
            w.start("last").text(&last.id).end();
        }
        w.end().end();
    });
}
