//! What the server itself answers: pings (XEP-0199 v2.0.1), discovery (XEP-0030
//! v2.5.0), an empty contact list; and what it does with presence and the like.

use super::model::Model;
use super::session::SessionId;
use super::stanza::Refusal;
use super::{features, ns};
use crate::Condition;
use crate::xml::Element;

impl Model {
    /// Takes a stanza to the server, or to the client's own account.
    pub(super) fn on_own(&mut self, session: SessionId, stanza: Element<'_>) {
        match stanza.name() {
            "presence" if stanza.attr("to").is_none() => self.on_presence(session, stanza),
            "iq" => self.on_request(session, stanza),
            "message" if self.hub.is_prosody() && stanza.attr("to").is_some() => {
                let refusal = Refusal::cancel(Condition::ServiceUnavailable);
                self.hub.refuse(session, stanza, refusal);
            }
            _ => {}
        }
    }

    fn on_presence(&mut self, session: SessionId, stanza: Element<'_>) {
        let available = match stanza.attr("type") {
            None => true,
            Some("unavailable") => false,
            Some(_) => return,
        };
        let Some(state) = self.hub.sessions.get_mut(&session) else {
            return;
        };
        state.available = available;
        let full = state.full.clone();
        // RFC 6121 section 4.2.2: one's own available resources are told too.
        // Measured: ejabberd tells only of the coming.
        if available || self.hub.is_prosody() {
            self.hub.forward(session, stanza, &full, stanza.attr("id"));
        }
        if !available {
            // RFC 6121 section 4.5.2: whoever got directed presence is told.
            self.muc.leave_all(&mut self.hub, session, |_| false);
        }
    }

    fn on_request(&mut self, session: SessionId, stanza: Element<'_>) {
        let kind = stanza.attr("type").unwrap_or_default();
        let Some(payload) = stanza
            .children()
            .next()
            .filter(|_| matches!(kind, "get" | "set"))
        else {
            return;
        };
        let id = stanza.attr("id").unwrap_or_default();
        let from = stanza.attr("to");
        let to_account = from.is_none_or(|from| from.contains('@'));
        let prosody = self.hub.is_prosody();
        let domain = self.hub.setup.domain.clone();
        match (kind, payload.name(), payload.ns()) {
            // Measured: who answers differs where nobody in particular is asked.
            ("set", "session", ns::SESSION) if !prosody => {
                self.hub.result(session, Some(&domain), id, |_| {});
            }
            ("get", "ping", ns::PING) if prosody && to_account => {
                self.hub.result(session, None, id, |_| {});
            }
            ("get", "ping", ns::PING) | ("set", "session", ns::SESSION) => {
                self.hub.result(session, from, id, |_| {});
            }
            ("get", "query", ns::ROSTER) if to_account => {
                self.hub.result(session, from, id, |w| {
                    w.start("query").attr("xmlns", ns::ROSTER).end();
                });
            }
            ("get", "query", ns::DISCO_INFO) => self.hub.result(session, from, id, |w| {
                w.start("query").attr("xmlns", ns::DISCO_INFO);
                let (category, kind) = if to_account {
                    ("account", "registered")
                } else {
                    ("server", "im")
                };
                let name = if prosody { "Prosody" } else { "ejabberd" };
                w.start("identity")
                    .attr("category", category)
                    .attr("type", kind);
                if !to_account {
                    w.attr("name", name);
                }
                w.end();
                let features = if to_account {
                    features::of_account(prosody)
                } else {
                    features::of_server(prosody)
                };
                for feature in features {
                    w.start("feature").attr("var", feature).end();
                }
                if !prosody && !to_account {
                    features::server_info(w);
                }
                w.end();
            }),
            ("get", "query", ns::DISCO_ITEMS) => {
                let muc = self.hub.muc.clone();
                self.hub.result(session, from, id, |w| {
                    w.start("query").attr("xmlns", ns::DISCO_ITEMS);
                    if !to_account {
                        w.start("item").attr("jid", &muc).end();
                    }
                    w.end();
                });
            }
            _ => {
                let refusal = Refusal::cancel(Condition::ServiceUnavailable);
                self.hub.refuse(session, stanza, refusal);
            }
        }
    }
}
