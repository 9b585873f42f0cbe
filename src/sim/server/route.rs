//! Where a client's stanzas go (RFC 6120, section 10): to the server itself, to
//! the rooms, to another client. There are no other servers.

use super::model::Model;
use super::ns;
use super::session::SessionId;
use super::stanza::{Refusal, passed_on};
use crate::jid::Jid;
use crate::xml::Element;
use crate::{Condition, StreamCondition};

impl Model {
    pub(super) fn on_stanza(&mut self, session: SessionId, stanza: Element<'_>) {
        if stanza.name() == "iq" {
            let children = stanza.children().count();
            let wrong = match stanza.attr("type") {
                // RFC 6120 section 8.2.3: a request has exactly one child.
                Some("get" | "set") => children != 1,
                Some("result" | "error") => false,
                _ => true,
            };
            if wrong || stanza.attr("id").is_none() {
                let refusal = Refusal::modify(Condition::BadRequest);
                return self.hub.refuse(session, stanza, refusal);
            }
        }
        let own = self.hub.address(session);
        let bare = own.split('/').next().unwrap_or_default();
        let forged = stanza
            .attr("from")
            .is_some_and(|from| from != own && from != bare);
        if forged && !self.hub.is_prosody() {
            // RFC 6120 section 8.1.2.1. Measured: Prosody puts the right one there.
            return self.close_session(session, Some(StreamCondition::InvalidFrom));
        }
        let Some(to) = stanza.attr("to") else {
            return self.on_own(session, stanza);
        };
        let Ok(to) = Jid::parse(to) else {
            let refusal = Refusal::modify(if self.hub.is_prosody() {
                Condition::JidMalformed
            } else {
                Condition::BadRequest
            });
            return self.hub.refuse(session, stanza, refusal);
        };
        if to.domain() == self.hub.muc {
            if matches!(stanza.attr("type"), Some("get" | "set")) {
                self.forge_answers(session, &to, stanza);
            }
            return self.muc.on_stanza(&mut self.hub, session, &to, stanza);
        }
        if to.domain() != self.hub.setup.domain {
            // Measured: without other servers Prosody forbids to try.
            let refusal = Refusal::cancel(if self.hub.is_prosody() {
                Condition::NotAllowed
            } else {
                Condition::RemoteServerNotFound
            });
            return self.hub.refuse(session, stanza, refusal);
        }
        let account = self.hub.sessions.get(&session).map(|s| s.account.as_str());
        let own = to.local().is_some() && to.local() == account;
        if to.local().is_none() || own && to.is_bare() {
            return self.on_own(session, stanza);
        }
        self.on_other(session, &to, stanza);
    }

    /// Takes what is for another client of this server.
    fn on_other(&mut self, session: SessionId, to: &Jid, stanza: Element<'_>) {
        let target = match to.resource() {
            Some(_) => self.hub.bound.get(to.as_str()).copied(),
            None if stanza.name() == "message" => {
                let account = to.local().unwrap_or_default();
                self.hub.sessions_of(account).first().copied()
            }
            None => None,
        };
        let Some(target) = target else {
            if stanza.name() == "presence" {
                return;
            }
            let refusal = Refusal::cancel(Condition::ServiceUnavailable);
            return self.hub.refuse(session, stanza, refusal);
        };
        let from = self.hub.address(session);
        self.hub.forward(target, stanza, &from, stanza.attr("id"));
    }
}

impl super::hub::Hub {
    /// Sends a stanza on to a session, from this address.
    pub(super) fn forward(
        &mut self,
        target: SessionId,
        stanza: Element<'_>,
        from: &str,
        id: Option<&str>,
    ) {
        let name = match stanza.name() {
            "iq" => "iq",
            "presence" => "presence",
            _ => "message",
        };
        let to = self.address(target);
        let contents = passed_on(self.is_prosody(), stanza, |_| true);
        let lang = stanza.attr_ns("lang", ns::XML).unwrap_or("en");
        self.send_with(
            target,
            name,
            |w| {
                w.start(name).attr("from", from).attr("to", &to);
                w.attr("xml:lang", lang);
                if let Some(kind) = stanza.attr("type") {
                    w.attr("type", kind);
                }
                if let Some(id) = id {
                    w.attr("id", id);
                }
            },
            &contents,
            |_| {},
        );
    }
}
