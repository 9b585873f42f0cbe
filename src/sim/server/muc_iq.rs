//! Requests to the room service, to rooms and to occupants: discovery, owners' and
//! administrators' use cases (XEP-0045 v1.35.5, sections 6, 8 to 10), self-pings
//! (XEP-0410 v1.1.0). Of a room's configuration only what the model heeds is read.

use alloc::string::String;
use alloc::vec::Vec;

use super::groupchat::{NOT_THERE, not_inside};
use super::hub::Hub;
use super::muc::{GONE, Muc, NO_ROOM, NO_SERVICE};
use super::room::{Actor, Affiliation, Occupant, Parting, Room};
use super::session::SessionId;
use super::stanza::{By, Refusal};
use super::{features, ns};
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
            ("get", "query", ns::DISCO_INFO) => {
                let prosody = hub.is_prosody();
                hub.result(session, from, id, |w| {
                    w.start("query").attr("xmlns", ns::DISCO_INFO);
                    identity(w, "Chatrooms");
                    for feature in features::of_service(prosody) {
                        w.start("feature").attr("var", feature).end();
                    }
                    if !prosody {
                        features::server_info(w);
                    }
                    w.end();
                });
            }
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
            return hub.refuse(session, iq, GONE);
        }
        let Some(room) = self.rooms.get_mut(jid) else {
            let destroys = payload.child("destroy", ns::MUC_OWNER).is_some();
            if destroys && !hub.is_prosody() {
                // Measured: what is not there is destroyed already.
                return hub.result(session, Some(jid), id, |_| {});
            }
            let about_rooms = [
                ns::DISCO_INFO,
                ns::DISCO_ITEMS,
                ns::MUC_OWNER,
                ns::MUC_ADMIN,
            ];
            // Measured: Prosody looks for the room only where rooms do something.
            let looks = !hub.is_prosody() || about_rooms.contains(&payload.ns());
            let refusal = if looks { NO_ROOM } else { NO_SERVICE };
            return hub.refuse(session, iq, refusal);
        };
        match (kind, payload.name(), payload.ns()) {
            ("get", "query", ns::DISCO_INFO) => {
                let prosody = hub.is_prosody();
                hub.result(session, Some(jid), id, |w| room.describe(w, prosody));
            }
            ("get", "query", ns::DISCO_ITEMS) => {
                let prosody = hub.is_prosody();
                hub.result(session, Some(jid), id, |w| {
                    w.start("query").attr("xmlns", ns::DISCO_ITEMS);
                    // Measured: ejabberd lists the occupants, the latest first.
                    let listed = room.occupants.iter().rev().filter(|_| !prosody);
                    for nick in listed.map(|o| &o.nick) {
                        w.start("item")
                            .attr("jid", &[jid, "/", nick].concat())
                            .attr("name", nick)
                            .end();
                    }
                    w.end();
                });
            }
            ("get" | "set", "query", ns::MUC_OWNER) => {
                self.on_owner_request(hub, session, jid, iq);
            }
            ("get" | "set", "query", ns::MUC_ADMIN) => {
                self.on_admin_request(hub, session, jid, iq);
            }
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
            let refusal = Refusal::auth(Condition::Forbidden);
            return hub.refuse(session, iq, refusal.saying("Only owners configure rooms"));
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
                let Some(changed) = room.configure(hub, form) else {
                    return hub.refuse(session, iq, Refusal::modify(Condition::BadRequest));
                };
                // Measured: Prosody answers first.
                let prosody = hub.is_prosody();
                if prosody {
                    hub.result(session, Some(jid), id, |_| {});
                }
                if changed {
                    room.tell_change(hub);
                }
                if !prosody {
                    hub.result(session, Some(jid), id, |_| {});
                }
                if room.members_only {
                    self.put_out_strangers(hub, jid);
                }
            }
            // Section 10.1.3: who cancels the first configuration wants no room.
            Some("cancel") => {
                let is_new = room.is_locked(hub.now);
                hub.result(session, Some(jid), id, |_| {});
                if is_new {
                    // Measured: without a word.
                    self.forget(hub, jid);
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
        let Some((kind, payload, id)) = request(iq) else {
            return;
        };
        let bare = bare_of(hub, session);
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        let prosody = hub.is_prosody();
        if !room.moderates(&bare) {
            return hub.refuse(session, iq, Refusal::cancel(Condition::NotAllowed));
        }
        let Some(item) = payload.child("item", ns::MUC_ADMIN) else {
            return hub.refuse(session, iq, Refusal::modify(Condition::BadRequest));
        };
        if kind == "get" {
            let wanted = item.attr("affiliation").and_then(Affiliation::parse);
            return hub.result(session, Some(jid), id, |w| room.list(w, wanted));
        }
        let nick = item.attr("nick").and_then(|nick| room.by_nick(nick));
        let target = match item.attr("jid").map(Jid::parse) {
            Some(Ok(jid)) => Some(String::from(jid.bare_str())),
            _ => nick.map(|o| o.bare.clone()),
        };
        let Some(target) = target else {
            let refusal = Refusal::modify(if prosody {
                Condition::ItemNotFound
            } else {
                Condition::NotAcceptable
            });
            return hub.refuse(session, iq, refusal);
        };
        // Section 8.2: "A user cannot be kicked by a moderator with a lower affiliation".
        // Measured: nor on ejabberd by one of the same, oneself included.
        let role = item.attr("role");
        let above = room.affiliation(&target) > room.affiliation(&bare);
        let beside = room.affiliation(&target) == room.affiliation(&bare);
        if above || (beside && !prosody && role == Some("none")) {
            return hub.refuse(session, iq, Refusal::cancel(Condition::NotAllowed));
        }
        let reason = item.child("reason", ns::MUC_ADMIN).map(|r| r.text());
        let actor = room.actor(session, &target);
        match (role, item.attr("affiliation").map(Affiliation::parse)) {
            (Some("none"), _) => self.remove(hub, jid, &target, &["307"], reason, actor.as_ref()),
            (Some(role @ ("visitor" | "participant")), _) => {
                room.give_role(hub, &target, role == "visitor", actor.as_ref());
            }
            (_, Some(Some(new))) => {
                let inside = room.occupants.iter().any(|o| o.bare == target);
                self.affiliate(hub, jid, &target, new, reason, actor.as_ref());
                if let Some(room) = self.rooms.get(jid).filter(|_| !inside) {
                    room.tell_affiliation(hub, &target, new);
                }
            }
            _ => {
                let condition = if prosody {
                    Condition::NotAcceptable
                } else {
                    Condition::BadRequest
                };
                return hub.refuse(session, iq, Refusal::modify(condition));
            }
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
        actor: Option<&Actor>,
    ) {
        if let Some(room) = self.rooms.get_mut(jid) {
            let parting = Parting {
                codes,
                own: true,
                reason,
                actor,
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
        actor: Option<&Actor>,
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
            Affiliation::Outcast => self.remove(hub, jid, bare, &["301"], reason, actor),
            Affiliation::None if members_only => {
                self.remove(hub, jid, bare, &["321"], reason, actor)
            }
            _ => {
                let inside = room.occupants.iter().filter(|o| o.bare == bare);
                for session in inside.map(|o| o.session).collect::<Vec<_>>() {
                    if let Some(room) = self.rooms.get(jid) {
                        let named = actor.filter(|_| hub.is_prosody());
                        room.announce(hub, session, &[], named);
                        room.show_addresses(hub, session, new);
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
        let Some(room) = self.rooms.get(to.bare_str()) else {
            let gone = self.gone.contains(to.bare_str());
            return hub.refuse(session, iq, if gone { GONE } else { NO_ROOM });
        };
        let Some(own) = room.occupant(session) else {
            // XEP-0410 section 3: an error other than a few means "not joined".
            let refusal = not_inside(hub.is_prosody()).by(By::Room);
            return hub.refuse(session, iq, refusal);
        };
        let id = iq.attr("id").unwrap_or_default();
        let pings = iq.attr("type") == Some("get") && iq.child("ping", ns::PING).is_some();
        if pings && own.nick == nick {
            return hub.result(session, iq.attr("to"), id, |_| {});
        }
        let Some(target) = room.by_nick(nick) else {
            let refusal = Refusal::cancel(Condition::ItemNotFound).by(By::Room);
            return hub.refuse(session, iq, refusal.saying(NOT_THERE));
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
        for var in features::of_room(prosody) {
            feature(var);
        }
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
        feature(if self.password.is_some() {
            "muc_passwordprotected"
        } else {
            "muc_unsecured"
        });
        if prosody {
            feature(if self.mutes_strangers {
                "muc_moderated"
            } else {
                "muc_unmoderated"
            });
        }
        if self.archives {
            for var in features::of_archive(prosody) {
                feature(var);
            }
        }
        features::room_info(w, prosody, &Hub::decimal(self.occupants.len()));
        w.end();
    }

    /// Writes who stands so to the room.
    fn list(&self, w: &mut Writer<'_>, wanted: Option<Affiliation>) {
        w.start("query").attr("xmlns", ns::MUC_ADMIN);
        for (bare, affiliation) in &self.affiliations {
            if Some(*affiliation) == wanted {
                w.start("item")
                    .attr("affiliation", affiliation.as_str())
                    .attr("jid", bare)
                    .end();
            }
        }
        w.end();
    }

    /// Takes what of a configuration the model heeds, and says whether it changes
    /// anything; `None`: the form is refused.
    fn configure(&mut self, hub: &Hub, form: Option<Element<'_>>) -> Option<bool> {
        let prosody = hub.is_prosody();
        let value = |name| form.and_then(|form| field(form, name));
        let is = |name| value(name).map(|flag| matches!(flag, "1" | "true"));
        if !prosody && value("muc#roomconfig_membersbydefault").is_some() {
            return None;
        }
        self.locked = None;
        let before = (self.members_only, self.persistent, self.mutes_strangers);
        let secret = self.password.clone();
        if let Some(flag) = is("muc#roomconfig_membersonly") {
            self.members_only = flag;
        }
        if let Some(flag) = is("muc#roomconfig_persistentroom") {
            self.persistent = flag;
        }
        if is("muc#roomconfig_membersbydefault") == Some(false) {
            self.mutes_strangers = is("muc#roomconfig_moderatedroom") == Some(true);
        }
        if let Some(password) = value("muc#roomconfig_roomsecret") {
            self.password = Some(password.into()).filter(|p: &String| !p.is_empty());
        }
        let after = (self.members_only, self.persistent, self.mutes_strangers);
        Some(before != after || secret != self.password)
    }

    /// XEP-0045 section 10.2.1: everybody is told that something changed (104).
    fn tell_change(&self, hub: &mut Hub) {
        for to in &self.occupants {
            if !hub.is_prosody() {
                self.introduce(hub, to.session);
            }
        }
        for to in &self.occupants {
            self.notice(hub, to, true, |w| {
                w.start("status").attr("code", "104").end();
            });
        }
    }

    /// Tells moderators how somebody stands who is not there.
    fn tell_affiliation(&self, hub: &mut Hub, bare: &str, new: Affiliation) {
        let prosody = hub.is_prosody();
        for to in self.occupants.iter().filter(|o| self.moderates(&o.bare)) {
            self.notice(hub, to, false, |w| {
                if prosody && new == Affiliation::Outcast {
                    w.start("status").attr("code", "301").end();
                }
                w.start("item")
                    .attr("affiliation", new.as_str())
                    .attr("jid", bare);
                if !prosody {
                    w.attr("role", "none");
                }
                w.end();
            });
        }
    }

    /// Says something of the room itself to an occupant.
    fn notice(
        &self,
        hub: &mut Hub,
        to: &Occupant,
        to_all: bool,
        what: impl FnOnce(&mut Writer<'_>),
    ) {
        let id = (!hub.is_prosody()).then(|| hub.ids.stream());
        hub.send(to.session, |w| {
            w.start("message")
                .attr("from", &self.jid)
                .attr("to", &to.jid);
            if to_all {
                w.attr("type", "groupchat");
            }
            if let Some(id) = &id {
                w.attr("id", id);
            }
            w.start("x").attr("xmlns", ns::MUC_USER);
            what(w);
            w.end().end();
        });
    }

    /// Who acts, where the servers say so: not of oneself.
    fn actor(&self, session: SessionId, target: &str) -> Option<Actor> {
        let actor = self.occupant(session).filter(|o| o.bare != target)?;
        Some(Actor {
            jid: actor.jid.clone(),
            nick: actor.nick.clone(),
        })
    }

    /// Takes the voice of an account's occupants, or gives it back.
    fn give_role(&mut self, hub: &mut Hub, bare: &str, muted: bool, actor: Option<&Actor>) {
        let mut changed = Vec::new();
        for occupant in self.occupants.iter_mut().filter(|o| o.bare == bare) {
            occupant.muted = muted;
            changed.push(occupant.session);
        }
        let named = actor.filter(|_| hub.is_prosody());
        for session in changed {
            self.announce(hub, session, &[], named);
        }
    }

    /// Measured: on Prosody who now moderates is told the others' addresses.
    fn show_addresses(&self, hub: &mut Hub, session: SessionId, new: Affiliation) {
        let promoted = hub.is_prosody() && new >= Affiliation::Admin;
        if let Some(to) = self.occupant(session).filter(|_| promoted) {
            self.introduce_others(hub, to);
        }
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
