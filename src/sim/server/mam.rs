//! Reading rooms' archives (XEP-0313 v1.1.3) page by page (XEP-0059 v1.0), as each
//! server was measured to answer.
//!
//! Not heeded: `with`, which Prosody ignores in rooms and ejabberd compares with the
//! senders' addresses, and every optional field. Not offered: `flip-page`, metadata, preferences.

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
use super::{ns, stamp};
use crate::Condition;
use crate::xml::Element;

/// The size of a page where none is asked for; both servers'.
const PAGE: u32 = 50;

/// What is asked of an archive.
#[derive(Clone, Copy, Debug, Default)]
struct Query<'a> {
    id: Option<&'a str>,
    start: Option<u64>,
    end: Option<u64>,
    after: Option<&'a str>,
    /// Empty: the last page.
    before: Option<&'a str>,
    max: Option<u32>,
}

/// A page: where it lies among the messages that show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    from: usize,
    to: usize,
    complete: bool,
    /// Messages that fit the query, on whatever page.
    count: usize,
}

impl<'a> Query<'a> {
    fn read(query: Element<'a>) -> Result<Self, Refusal> {
        let mut read = Self {
            id: query.attr("queryid"),
            ..Self::default()
        };
        if let Some(form) = query.child("x", ns::DATA) {
            let bad = Refusal::modify(Condition::BadRequest);
            // XEP-0313 section 4.1: "The hidden FORM_TYPE field MUST be set".
            if field(form, "FORM_TYPE") != Some(ns::MAM) {
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
            read.max = text("max").and_then(|max| max.trim().parse().ok());
        }
        Ok(read)
    }

    /// Finds the page among the messages that show.
    fn find(&self, archive: &Archive, prosody: bool, cap: u32) -> Result<Page, Refusal> {
        let entries = archive.entries();
        let shown = archive.shown();
        let time = |from: usize, to: usize, is_before: &dyn Fn(&Stored) -> bool| {
            let outside = entries
                .iter()
                .take(to)
                .skip(from)
                .take_while(|m| is_before(m));
            from.saturating_add(outside.count())
        };
        let begin = self.start.map_or(0, |start| {
            time(0, shown, &|m| cut(prosody, m.micros) < cut(prosody, start))
        });
        let end = self.end.map_or(shown, |end| {
            time(begin, shown, &|m| {
                cut(prosody, m.micros) <= cut(prosody, end)
            })
        });
        let count = end.saturating_sub(begin);
        let (mut from, mut to) = (begin, end);
        if let Some(after) = self.after {
            let position = position(archive, prosody, after, true)?;
            from = position.map_or(from, |at| at.max(from)).min(to);
        }
        if let Some(before) = self.before.filter(|id| !id.is_empty()) {
            let position = position(archive, prosody, before, false)?;
            // Measured: nothing comes before an id that ejabberd cannot read.
            to = position.map_or(from, |at| at.min(to)).max(from);
        }
        let max = self.max.unwrap_or(PAGE).min(cap);
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let complete = to.saturating_sub(from) <= max;
        if !complete && self.before.is_some() {
            from = to.saturating_sub(max);
        } else {
            to = to.min(from.saturating_add(max));
        }
        Ok(Page {
            from,
            to,
            complete,
            count,
        })
    }
}

/// Prosody keeps whole seconds only.
const fn cut(prosody: bool, micros: u64) -> u64 {
    if prosody { micros / 1_000_000 } else { micros }
}

/// Where the messages after, or before, this one begin, or end; `None` if the
/// server does not mind that it knows no such message.
fn position(
    archive: &Archive,
    prosody: bool,
    id: &str,
    after: bool,
) -> Result<Option<usize>, Refusal> {
    let entries = archive.entries();
    let within = |at: usize| Some(at.saturating_add(usize::from(after)));
    if prosody {
        let at = entries.iter().rposition(|m| m.id == id);
        // Measured: `modify`, where a room that does not exist is `cancel`. So is
        // an empty id.
        return match at {
            Some(at) => Ok(within(at)),
            None => Err(Refusal::modify(Condition::ItemNotFound)),
        };
    }
    if id.is_empty() {
        return Err(Refusal::modify(Condition::BadRequest));
    }
    // Measured: ids are times, which are compared; whatever is no number is as if
    // it were not there.
    let Ok(time) = id.parse::<u64>() else {
        return Ok(None);
    };
    let at = entries.partition_point(|m| m.micros < time);
    match entries.get(at) {
        Some(m) if m.micros == time => Ok(within(at)),
        _ => Ok(Some(at)),
    }
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
            return hub.result(session, Some(jid), id, |w| {
                w.start("query").attr("xmlns", ns::MAM);
                w.start("x").attr("xmlns", ns::DATA).attr("type", "form");
                w.start("field")
                    .attr("type", "hidden")
                    .attr("var", "FORM_TYPE");
                w.start("value").text(ns::MAM).end().end();
                for name in ["start", "end"] {
                    w.start("field")
                        .attr("type", "text-single")
                        .attr("var", name);
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
            return Err(Refusal::wait(Condition::InternalServerError));
        }
        self.reveal(hub, jid);
        let prosody = hub.is_prosody();
        let asked = Query::read(query)?;
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
        let page = asked.find(&room.archive, prosody, cap)?;
        let dropped = self.drop_result.take();
        let dropped = dropped.and_then(|index| usize::try_from(index).ok());
        let all = room.archive.entries().iter();
        let on_page = all.take(page.to).skip(page.from);
        for (index, message) in on_page.clone().enumerate() {
            if dropped != Some(index) {
                room.give(hub, session, asked.id, message, room.moderates(&bare));
            }
        }
        let ids: Vec<&str> = on_page.map(|m| m.id.as_str()).collect();
        finish(hub, session, jid, iq, &page, &ids);
        Ok(())
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

/// Ends a page.
fn finish(hub: &mut Hub, session: SessionId, jid: &str, iq: &str, page: &Page, ids: &[&str]) {
    let prosody = hub.is_prosody();
    let count = Hub::decimal(page.count);
    hub.result(session, Some(jid), iq, |w| {
        w.start("fin").attr("xmlns", ns::MAM);
        // Measured: Prosody says it where it holds, ejabberd always.
        if page.complete {
            w.attr("complete", "true");
        } else if !prosody {
            w.attr("complete", "false");
        }
        w.start("set").attr("xmlns", ns::RSM);
        if !prosody {
            w.start("count").text(&count).end();
        }
        if let Some(first) = ids.first() {
            w.start("first").text(first).end();
        }
        if prosody {
            w.start("count").text(&count).end();
        }
        if let Some(last) = ids.last() {
            w.start("last").text(last).end();
        }
        w.end().end();
    });
}
