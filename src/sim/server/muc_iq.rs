//! Requests to the room service, to rooms and to occupants: discovery, owners' and
//! administrators' use cases (XEP-0045 v1.35.5, sections 6, 8 to 10), self-pings
//! (XEP-0410 v1.1.0). Of a room's configuration only what the model heeds is read.

use alloc::string::String;
use alloc::vec::Vec;

use super::groupchat::not_inside;
use super::hub::Hub;
use super::muc::{Muc, NO_SERVICE};
use super::ns;
use super::room::{Affiliation, Parting, Room};
use super::session::SessionId;
use super::stanza::Refusal;
use crate::Condition;
use crate::jid::Jid;
use crate::xml::{Element, Writer};

impl Muc {
    /// Takes a request to the service itself.
    pub(super) fn on_service_request(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        iq: Element<'_>,
    ) {
        let Some((kind, payload, id)) = request(iq) else {
            return;
        };
        let from = iq.attr("to");
        match (kind, payload.name(), payload.ns()) {
            ("get", "ping", ns::PING) => hub.result(session, from, id, |_| {}),
            ("get", "query", ns::DISCO_INFO) => hub.result(session, from, id, |w| {
                w.start("query").attr("xmlns", ns::DISCO_INFO);
                identity(w, "Chatrooms");
                for feature in [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::MUC, ns::PING] {
                    w.start("feature").attr("var", feature).end();
                }
                w.end();
            }),
            // Rooms on Prosody are hidden by default, on ejabberd they are public.
            ("get", "query", ns::DISCO_ITEMS) => {
                let listed = !hub.is_prosody();
                hub.result(session, from, id, |w| {
                    w.start("query").attr("xmlns", ns::DISCO_ITEMS);
                    for room in self.rooms.keys().filter(|_| listed) {
                        w.start("item").attr("jid", room).end();
                    }
                    w.end();
                });
            }
            _ => hub.refuse(session, iq, NO_SERVICE),
        }
    }

    /// Takes a request to a room.
    pub(super) fn on_room_request(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        iq: Element<'_>,
    ) {
        let Some((kind, payload, id)) = request(iq) else {
            return;
        };
        if payload.is("query", ns::MAM) {
            return self.on_archive_request(hub, session, jid, iq);
        }
        if self.gone.contains(jid) {
            return hub.refuse(session, iq, Refusal::cancel(Condition::Gone));
        }
        let Some(room) = self.rooms.get_mut(jid) else {
            return hub.refuse(session, iq, Refusal::cancel(Condition::ItemNotFound));
        };
        match (kind, payload.name(), payload.ns()) {
            ("get", "query", ns::DISCO_INFO) => {
                let prosody = hub.is_prosody();
                hub.result(session, Some(jid), id, |w| room.describe(w, prosody));
            }
            ("get", "query", ns::DISCO_ITEMS) => hub.result(session, Some(jid), id, |w| {
                w.start("query").attr("xmlns", ns::DISCO_ITEMS).end();
            }),
            ("get" | "set", "query", ns::MUC_OWNER) => {
                self.on_owner_request(hub, session, jid, iq);
            }
            ("set", "query", ns::MUC_ADMIN) => self.on_admin_request(hub, session, jid, iq),
            _ => hub.refuse(session, iq, NO_SERVICE),
        }
    }

    fn on_owner_request(&mut self, hub: &mut Hub, session: SessionId, jid: &str, iq: Element<'_>) {
        let Some((kind, payload, id)) = request(iq) else {
            return;
        };
        let bare = bare_of(hub, session);
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        if room.affiliation(&bare) != Affiliation::Owner {
            return hub.refuse(session, iq, Refusal::auth(Condition::Forbidden));
        }
        if kind == "get" {
            return hub.result(session, Some(jid), id, |w| room.form(w));
        }
        if let Some(destroy) = payload.child("destroy", ns::MUC_OWNER) {
            let reason = destroy.child("reason", ns::MUC_OWNER).map(|r| r.text());
            self.destroy(hub, jid, reason);
            return hub.result(session, Some(jid), id, |_| {});
        }
        let form = payload.child("x", ns::DATA);
        match form.and_then(|form| form.attr("type")) {
            // XEP-0045 section 10.1.2: an empty form takes the room as it is.
            Some("submit") => {
                room.locked = None;
                let value = |name| form.and_then(|form| field(form, name));
                if let Some(flag) = value("muc#roomconfig_membersonly") {
                    room.members_only = matches!(flag, "1" | "true");
                }
                if let Some(flag) = value("muc#roomconfig_persistentroom") {
                    room.persistent = matches!(flag, "1" | "true");
                }
                let members_only = room.members_only;
                hub.result(session, Some(jid), id, |_| {});
                if members_only {
                    self.put_out_strangers(hub, jid);
                }
            }
            // Section 10.1.3: who cancels the first configuration wants no room.
            Some("cancel") => {
                let is_new = room.is_locked(hub.now);
                hub.result(session, Some(jid), id, |_| {});
                if is_new {
                    self.destroy(hub, jid, None);
                }
            }
            _ => hub.refuse(session, iq, Refusal::modify(Condition::BadRequest)),
        }
    }

    /// XEP-0045 section 10.2.1: a room for members only has nobody else in it (322).
    fn put_out_strangers(&mut self, hub: &mut Hub, jid: &str) {
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        let members: Vec<String> = room
            .affiliations
            .iter()
            .filter(|(_, affiliation)| **affiliation > Affiliation::None)
            .map(|(bare, _)| bare.clone())
            .collect();
        let parting = Parting {
            codes: &["322"],
            own: true,
            ..Parting::default()
        };
        room.put_out(hub, parting, true, |o| !members.contains(&o.bare));
        self.sweep(hub, jid);
    }

    /// Kicks (section 8.2) and changes of affiliation (section 9), one at a time.
    fn on_admin_request(&mut self, hub: &mut Hub, session: SessionId, jid: &str, iq: Element<'_>) {
        let Some((_, payload, id)) = request(iq) else {
            return;
        };
        let bare = bare_of(hub, session);
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        if !room.moderates(&bare) {
            return hub.refuse(session, iq, Refusal::auth(Condition::Forbidden));
        }
        let Some(item) = payload.child("item", ns::MUC_ADMIN) else {
            return hub.refuse(session, iq, Refusal::modify(Condition::BadRequest));
        };
        let nick = item.attr("nick").and_then(|nick| room.by_nick(nick));
        let target = match item.attr("jid").map(Jid::parse) {
            Some(Ok(jid)) => Some(String::from(jid.bare_str())),
            _ => nick.map(|o| o.bare.clone()),
        };
        let Some(target) = target else {
            return hub.refuse(session, iq, Refusal::cancel(Condition::ItemNotFound));
        };
        // Section 8.2: "A user cannot be kicked by a moderator with a lower affiliation".
        if room.affiliation(&target) > room.affiliation(&bare) {
            return hub.refuse(session, iq, Refusal::cancel(Condition::NotAllowed));
        }
        let reason = item.child("reason", ns::MUC_ADMIN).map(|r| r.text());
        if item.attr("role") == Some("none") {
            self.remove(hub, jid, &target, &["307"], reason);
        } else if let Some(new) = item.attr("affiliation").and_then(Affiliation::parse) {
            self.affiliate(hub, jid, &target, new, reason);
        } else {
            return hub.refuse(session, iq, Refusal::modify(Condition::BadRequest));
        }
        hub.result(session, Some(jid), id, |_| {});
    }

    /// Puts an account's occupants out of a room with a code.
    pub(super) fn remove(
        &mut self,
        hub: &mut Hub,
        jid: &str,
        bare: &str,
        codes: &[&'static str],
        reason: Option<&str>,
    ) {
        if let Some(room) = self.rooms.get_mut(jid) {
            let parting = Parting {
                codes,
                own: true,
                reason,
                ..Parting::default()
            };
            room.put_out(hub, parting, true, |o| o.bare == bare);
        }
        self.sweep(hub, jid);
    }

    /// Changes an affiliation; who may not be there any more is put out.
    pub(super) fn affiliate(
        &mut self,
        hub: &mut Hub,
        jid: &str,
        bare: &str,
        new: Affiliation,
        reason: Option<&str>,
    ) {
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        if new == Affiliation::None {
            room.affiliations.remove(bare);
        } else {
            room.affiliations.insert(bare.into(), new);
        }
        let members_only = room.members_only;
        match new {
            Affiliation::Outcast => self.remove(hub, jid, bare, &["301"], reason),
            Affiliation::None if members_only => self.remove(hub, jid, bare, &["321"], reason),
            _ => {
                let inside = room.occupants.iter().filter(|o| o.bare == bare);
                for session in inside.map(|o| o.session).collect::<Vec<_>>() {
                    if let Some(room) = self.rooms.get(jid) {
                        room.announce(hub, session, None, &[]);
                    }
                }
            }
        }
    }

    /// Takes a request, or an answer, to an occupant.
    pub(super) fn on_occupant_request(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        to: &Jid,
        nick: &str,
        iq: Element<'_>,
    ) {
        let room = self.rooms.get(to.bare_str());
        let Some((room, own)) = room.and_then(|r| Some((r, r.occupant(session)?))) else {
            // XEP-0410 section 3: an error other than a few means "not joined".
            return hub.refuse(session, iq, not_inside(hub.is_prosody()));
        };
        let id = iq.attr("id").unwrap_or_default();
        let pings = iq.attr("type") == Some("get") && iq.child("ping", ns::PING).is_some();
        if pings && own.nick == nick {
            return hub.result(session, iq.attr("to"), id, |_| {});
        }
        let Some(target) = room.by_nick(nick) else {
            return hub.refuse(session, iq, Refusal::cancel(Condition::ItemNotFound));
        };
        let from = [&room.jid, "/", &own.nick].concat();
        hub.forward(target.session, iq, &from, Some(id));
    }
}

impl Room {
    /// Whether an account moderates here.
    pub(super) fn moderates(&self, bare: &str) -> bool {
        self.affiliation(bare) >= Affiliation::Admin
    }

    /// Writes what the room is and can do, as each server says it. Recorded.
    fn describe(&self, w: &mut Writer<'_>, prosody: bool) {
        w.start("query").attr("xmlns", ns::DISCO_INFO);
        identity(w, "");
        let mut feature = |var: &str| {
            w.start("feature").attr("var", var).end();
        };
        feature(ns::MUC);
        feature(if self.persistent {
            "muc_persistent"
        } else {
            "muc_temporary"
        });
        feature(if self.members_only {
            "muc_membersonly"
        } else {
            "muc_open"
        });
        feature("muc_semianonymous");
        feature("muc_unsecured");
        if self.archives {
            feature(ns::MAM);
        }
        if prosody {
            // Said always, whether the room archives or not.
            feature(ns::SID);
            feature("muc_unmoderated");
            feature("muc_hidden");
            feature(ns::OCCUPANT_ID);
            feature("http://jabber.org/protocol/muc#stable_id");
            feature("http://jabber.org/protocol/muc#self-ping-optimization");
        } else {
            feature("muc_public");
            feature("muc_moderated");
            if self.archives {
                feature(ns::MAM_OLD);
                feature(ns::SID);
            }
        }
        w.start("x").attr("xmlns", ns::DATA).attr("type", "result");
        write_field(w, "FORM_TYPE", "http://jabber.org/protocol/muc#roominfo");
        let count = Hub::decimal(self.occupants.len());
        write_field(w, "muc#roominfo_occupants", &count);
        w.end().end();
    }

    /// Writes the configuration, as far as there is one.
    fn form(&self, w: &mut Writer<'_>) {
        let flag = |is: bool| if is { "1" } else { "0" };
        w.start("query").attr("xmlns", ns::MUC_OWNER);
        w.start("x").attr("xmlns", ns::DATA).attr("type", "form");
        write_field(w, "FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig");
        write_field(w, "muc#roomconfig_membersonly", flag(self.members_only));
        write_field(w, "muc#roomconfig_persistentroom", flag(self.persistent));
        w.end().end();
    }
}

/// A request's type, payload and id; `None` for an answer.
pub(super) fn request<'a>(iq: Element<'a>) -> Option<(&'a str, Element<'a>, &'a str)> {
    let kind = iq.attr("type").filter(|t| matches!(*t, "get" | "set"))?;
    Some((kind, iq.children().next()?, iq.attr("id")?))
}

/// The value of a form's field.
pub(super) fn field<'a>(form: Element<'a>, name: &str) -> Option<&'a str> {
    let mut fields = form.children().filter(|f| f.is("field", ns::DATA));
    let field = fields.find(|f| f.attr("var") == Some(name))?;
    field.child("value", ns::DATA).map(|value| value.text())
}

/// The address of a session's account.
pub(super) fn bare_of(hub: &Hub, session: SessionId) -> String {
    let account = hub.sessions.get(&session).map(|s| s.account.as_str());
    hub.bare(account.unwrap_or_default())
}

fn identity(w: &mut Writer<'_>, name: &str) {
    w.start("identity")
        .attr("category", "conference")
        .attr("type", "text");
    if !name.is_empty() {
        w.attr("name", name);
    }
    w.end();
}

fn write_field(w: &mut Writer<'_>, name: &str, value: &str) {
    w.start("field").attr("var", name);
    w.start("value").text(value).end();
    w.end();
}
