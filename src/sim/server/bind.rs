//! Sessions: binding a resource (RFC 6120, section 7) and stream management
//! (XEP-0198 v1.6.3). No `location`, no more than one stream per resource.

use super::connection::Stage;
use super::groupchat::stamp_of;
use super::hub::Due;
use super::model::Model;
use super::session::{Managed, SessionId};
use super::stanza::markup;
use super::{ConnectionId, Note, Personality, Withheld, ns};
use crate::jid::BareJid;
use crate::xml::Element;
use crate::{Condition, StreamCondition};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

/// For how long at most what is said last may be under way.
const OVERTAKEN: Duration = Duration::from_millis(100);

impl Model {
    /// Takes what a client without a session says.
    pub(super) fn on_logged_in(&mut self, id: ConnectionId, account: &str, element: Element<'_>) {
        if element.is("resume", ns::SM) && self.hub.resumption().is_some() {
            return self.resume(id, account, element);
        }
        if element.is("enable", ns::SM) && self.hub.resumption().is_some() {
            // Section 3: not before a resource is bound.
            let condition = if self.hub.is_prosody() {
                Condition::UnexpectedRequest
            } else {
                Condition::NotAuthorized
            };
            return self.failed(id, condition, None);
        }
        let bind = element.child("bind", ns::BIND);
        let request = element.is("iq", ns::CLIENT) && element.attr("type") == Some("set");
        let (Some(bind), true, Some(iq)) = (bind, request, element.attr("id")) else {
            // RFC 6120 section 7.1: no stanza before a resource is bound.
            return self.end(id, Some(StreamCondition::NotAuthorized));
        };
        let asked = bind.child("resource", ns::BIND).map(|r| r.text());
        let resource = match asked.filter(|r| !r.is_empty()) {
            Some(asked) => String::from(asked),
            None => self.hub.ids.token(),
        };
        let full = BareJid::parse(&self.hub.bare(account)).and_then(|b| b.with_resource(&resource));
        let Ok(full) = full else {
            // RFC 6120 section 7.7.2.1.
            return self.hub.say(id, |w| {
                w.start("iq").attr("type", "error").attr("id", iq);
                w.start("error").attr("type", "modify");
                w.start("bad-request")
                    .attr("xmlns", ns::STANZA_ERRORS)
                    .end();
                w.end().end();
            });
        };
        // RFC 6120 section 7.7.2.2: the older stream of a resource may be ended
        // with a conflict, which is what both servers do.
        let older = self.hub.bound.get(full.as_str()).copied();
        // Measured: Prosody ends it at first, ejabberd at last.
        let (first, last) = if self.hub.is_prosody() {
            (older, None)
        } else {
            (None, older)
        };
        if let Some(older) = first {
            self.close_session(older, Some(StreamCondition::Conflict));
        }
        if self.hub.sessions.len() >= self.hub.setup.connections.saturating_mul(2) {
            // RFC 6120 section 7.6.2.1: a limit on connected resources is reached.
            return self.hub.say(id, |w| {
                w.start("iq").attr("type", "error").attr("id", iq);
                w.start("error").attr("type", "wait");
                w.start("resource-constraint")
                    .attr("xmlns", ns::STANZA_ERRORS)
                    .end();
                w.end().end();
            });
        }
        let session = self.hub.begin_session(account, full.as_str(), id);
        if let Some(connection) = self.hub.connections.get_mut(&id) {
            connection.stage = Stage::Bound(session);
        }
        self.hub.say(id, |w| {
            w.start("iq").attr("type", "result").attr("id", iq);
            w.start("bind").attr("xmlns", ns::BIND);
            w.start("jid").text(full.as_str()).end();
            w.end().end();
        });
        self.hub.note(Note::Session {
            connection: id,
            jid: full.as_str().into(),
            resumed: false,
        });
        if let Some(older) = last {
            self.close_session(older, Some(StreamCondition::Conflict));
        }
    }

    /// Takes what a client in a session says.
    pub(super) fn on_bound(&mut self, id: ConnectionId, session: SessionId, element: Element<'_>) {
        if element.ns() == ns::CLIENT {
            if !matches!(element.name(), "iq" | "message" | "presence") {
                return self.unknown(id);
            }
            if let Some(sm) = self.managed(session) {
                // Section 4: what is received is counted before it is handled.
                sm.handled = sm.handled.wrapping_add(1);
            }
            return self.on_stanza(session, element);
        }
        match (element.name(), element.ns()) {
            ("enable", ns::SM) => self.enable(id, session, element),
            ("resume", ns::SM) => self.failed(id, Condition::UnexpectedRequest, None),
            ("r", ns::SM) => self.acknowledge(id, session),
            ("a", ns::SM) => self.acknowledged(id, session, element),
            _ => self.unknown(id),
        }
    }

    /// RFC 6120 section 4.9.3.24. Measured: ejabberd passes over it.
    fn unknown(&mut self, id: ConnectionId) {
        if self.hub.is_prosody() {
            self.end(id, Some(StreamCondition::UnsupportedStanzaType));
        }
    }

    fn managed(&mut self, session: SessionId) -> Option<&mut Managed> {
        self.hub.sessions.get_mut(&session)?.sm.as_mut()
    }

    fn enable(&mut self, id: ConnectionId, session: SessionId, element: Element<'_>) {
        let time = self.hub.resumption();
        let (Some(time), None) = (time, self.managed(session)) else {
            return self.failed(id, Condition::UnexpectedRequest, None);
        };
        let withheld = self.hub.withheld();
        if withheld == Some(Withheld::Enabling) {
            return self.failed(id, Condition::InternalServerError, None);
        }
        let resume = matches!(element.attr("resume"), Some("true" | "1"));
        let resume = resume && withheld != Some(Withheld::Resumption);
        let token = resume.then(|| self.hub.ids.token());
        // Measured: ejabberd heeds a wish for less, Prosody does not.
        let wish = element.attr("max").and_then(|max| max.parse().ok());
        let wish = wish.filter(|_| !self.hub.is_prosody()).unwrap_or(u64::MAX);
        let seconds = time.as_secs().min(wish).to_string();
        self.hub.say(id, |w| {
            w.start("enabled").attr("xmlns", ns::SM);
            if let Some(token) = &token {
                w.attr("id", token)
                    .attr("resume", "true")
                    .attr("max", &seconds);
            }
            w.end();
        });
        if let Some(state) = self.hub.sessions.get_mut(&session) {
            state.sm = Some(Managed {
                token,
                ..Managed::default()
            });
        }
    }

    fn acknowledge(&mut self, id: ConnectionId, session: SessionId) {
        if let Some(handled) = self.managed(session).map(|sm| sm.handled.to_string()) {
            self.hub.say(id, |w| {
                w.start("a").attr("xmlns", ns::SM).attr("h", &handled).end();
            });
        } else if self.hub.is_prosody() {
            self.unknown(id);
        } else {
            self.failed(id, Condition::UnexpectedRequest, None);
        }
    }

    fn acknowledged(&mut self, id: ConnectionId, session: SessionId, element: Element<'_>) {
        let h = element.attr("h").unwrap_or_default();
        let Some(sm) = self.managed(session) else {
            return;
        };
        let Some(count) = counter(h) else {
            if self.hub.is_prosody() {
                return self.end(id, Some(StreamCondition::InvalidXml));
            }
            return self.failed(id, Condition::BadRequest, None);
        };
        let handled = sm.handled;
        if sm.acknowledge(count) {
            sm.asked = false;
            if !sm.unacked.is_empty() {
                sm.asked = true;
                self.hub.say(id, |w| {
                    w.start("r").attr("xmlns", ns::SM).end();
                });
            }
            return;
        }
        self.end_session(session);
        self.too_high(id, Some(handled));
    }

    /// Section 4 wants a `<handled-count-too-high/>` with it. Measured: neither server
    /// says more than that it is over, and why in words.
    fn too_high(&mut self, id: ConnectionId, handled: Option<u32>) {
        if let Some(handled) = handled.filter(|_| self.hub.is_prosody()) {
            let handled = handled.to_string();
            self.hub.say(id, |w| {
                w.start("a").attr("xmlns", ns::SM).attr("h", &handled).end();
            });
        }
        let condition = Some(StreamCondition::UndefinedCondition);
        let lang = !self.hub.is_prosody();
        self.hub.end_stream_with(id, condition, |w| {
            w.start("text").attr("xmlns", ns::STREAM_ERRORS);
            if lang {
                w.attr("xml:lang", "en");
            }
            w.text("More was acknowledged than was sent").end();
        });
    }

    fn resume(&mut self, id: ConnectionId, account: &str, element: Element<'_>) {
        let token = element.attr("previd").unwrap_or_default();
        let Some(h) = element.attr("h").and_then(counter) else {
            return self.failed(id, Condition::BadRequest, None);
        };
        let found = self.hub.sessions.iter().find(|(_, session)| {
            let own = session.sm.as_ref().and_then(|sm| sm.token.as_deref());
            session.account == account && own == Some(token)
        });
        let Some(session) = found.map(|(session, _)| *session) else {
            let known = self.expired.get(token).filter(|(who, _)| who == account);
            let h = known.map(|(_, h)| *h);
            return self.failed(id, Condition::ItemNotFound, h);
        };
        let Some(state) = self.hub.sessions.get_mut(&session) else {
            return;
        };
        let older = state.connection;
        let full = state.full.clone();
        let Some(sm) = state.sm.as_mut() else {
            return;
        };
        if !sm.acknowledge(h) {
            self.close_session(session, Some(StreamCondition::UndefinedCondition));
            return self.too_high(id, None);
        }
        let handled = sm.handled.to_string();
        let most = self.hub.resumptions.below(3);
        // ejabberd's archives do not lag.
        let lags = self.muc.lags(self.hub.now);
        let mut overtaken = Vec::new();
        if self.hub.setup.personality == Personality::Ejabberd && !lags {
            let stanzas = state.overtake(most).iter().map(AsRef::<[u8]>::as_ref);
            overtaken.extend(stanzas.map(|stanza| String::from_utf8_lossy(stanza).into_owned()));
        }
        let Some(sm) = state.sm.as_mut() else {
            return;
        };
        let missed = sm.unacked.clone();
        sm.asked = !missed.is_empty();
        state.connection = Some(id);
        match older {
            // Section 5: the old connection is closed. Measured: by ejabberd with a
            // word.
            Some(older) if !self.hub.is_prosody() => {
                self.hub.end_stream(older, Some(StreamCondition::Conflict));
            }
            Some(older) => {
                if let Some(connection) = self.hub.connections.get_mut(&older) {
                    connection.stage = Stage::Over;
                }
                self.hub.drop_connection(older);
            }
            None => self
                .hub
                .timers
                .retain(|(_, due)| *due != Due::Hibernation(session)),
        }
        if let Some(connection) = self.hub.connections.get_mut(&id) {
            connection.stage = Stage::Bound(session);
        }
        self.hub.say(id, |w| {
            w.start("resumed")
                .attr("xmlns", ns::SM)
                .attr("h", &handled)
                .attr("previd", token)
                .end();
        });
        let delay = self.delay_of(&full);
        for stanza in &missed {
            let late = late(stanza, &delay, self.hub.is_prosody());
            self.hub.replay(id, late.as_deref().unwrap_or(stanza));
        }
        if let Some(connection) = self.hub.connections.get_mut(&id) {
            connection.out.spare();
        }
        if !missed.is_empty() {
            self.hub.say(id, |w| {
                w.start("r").attr("xmlns", ns::SM).end();
            });
        }
        if !overtaken.is_empty() {
            self.hub.arm(OVERTAKEN, Due::UnderWay(session));
            self.hub.note(Note::Overtaken {
                jid: full.clone(),
                stanzas: overtaken,
            });
        }
        self.hub.note(Note::Session {
            connection: id,
            jid: full,
            resumed: true,
        });
    }

    /// What marks a stanza as sent again.
    fn delay_of(&self, full: &str) -> String {
        let micros = self.hub.wall_clock();
        let prosody = self.hub.is_prosody();
        let bare = full.split('/').next().unwrap_or_default();
        let from = if prosody {
            bare
        } else {
            &self.hub.setup.domain
        };
        markup(|w| {
            w.start("delay")
                .attr("xmlns", ns::DELAY)
                .attr("from", from)
                .attr("stamp", &stamp_of(prosody, micros));
            if !prosody {
                w.text("Resent");
            }
            w.end();
        })
    }

    fn failed(&mut self, id: ConnectionId, condition: Condition, h: Option<u32>) {
        let explains = !self.hub.is_prosody();
        self.hub.say(id, |w| {
            w.start("failed").attr("xmlns", ns::SM);
            if let Some(h) = h {
                w.attr("h", &h.to_string());
            }
            w.start(condition.as_str())
                .attr("xmlns", ns::STANZA_ERRORS)
                .end();
            if explains {
                w.start("text")
                    .attr("xmlns", ns::STANZA_ERRORS)
                    .attr("xml:lang", "en")
                    .text("It failed")
                    .end();
            }
            w.end();
        });
    }
}

/// A stanza with a mark that it comes late, if it is of those that get one. Measured:
/// ejabberd's is before the text, Prosody's at the end, an iq has none.
fn late(stanza: &[u8], delay: &str, prosody: bool) -> Option<Vec<u8>> {
    let text = core::str::from_utf8(stanza).ok()?;
    if text.starts_with("<iq") {
        return None;
    }
    let end = text
        .rfind("</message>")
        .or_else(|| text.rfind("</presence>"))?;
    let (contents, end) = text.split_at_checked(end)?;
    let core = [
        "<body",
        "<subject",
        "<thread",
        "<show",
        "<status>",
        "<priority",
    ];
    let at = core.iter().filter_map(|tag| contents.find(tag)).min();
    let at = at.filter(|_| !prosody).unwrap_or(contents.len());
    let (before, after) = contents.split_at_checked(at)?;
    Some([before, delay, after, end].concat().into_bytes())
}

/// A count: an unsigned number of 32 bits (XEP-0198, section 4).
fn counter(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
