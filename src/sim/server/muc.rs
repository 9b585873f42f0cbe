//! The room service (XEP-0045 v1.35.5): which room a stanza is for, who may enter,
//! when rooms come and go.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use super::groupchat::{RateLimit, not_inside};
use super::hub::Hub;
use super::room::{Affiliation, Occupant, Parting, Room};
use super::session::SessionId;
use super::stanza::{By, Refusal, passed_on};
use super::{Garbling, Note, ns};
use crate::jid::Jid;
use crate::xml::Element;
use crate::{Condition, Instant};

#[derive(Debug, Default)]
pub(super) struct Muc {
    pub(super) rooms: BTreeMap<String, Room>,
    /// Rooms that were destroyed, where the server remembers that.
    pub(super) gone: BTreeSet<String>,
    /// How long after a message was said it shows in the archive.
    pub(super) lag: Duration,
    pub(super) limit: Option<RateLimit>,
    /// The result that the next page comes without.
    pub(super) drop_result: Option<u32>,
    /// So many archive queries fail.
    pub(super) fail_queries: u32,
    /// Archives are unsettled: how long a message takes to show at most, and until when.
    pub(super) unsettled: Option<(Duration, Instant)>,
    /// So many messages cannot be archived.
    pub(super) fail_archiving: u32,
    /// What is wrong about the next page.
    pub(super) garbling: Option<Garbling>,
    /// Until when who enters is given another nick.
    pub(super) renames_until: Instant,
}

impl Muc {
    /// Takes a stanza to the service, a room or an occupant.
    pub(super) fn on_stanza(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        to: &Jid,
        stanza: Element<'_>,
    ) {
        if to.local().is_none() {
            return match stanza.name() {
                "iq" => self.on_service_request(hub, session, stanza),
                // Not modelled: Prosody makes a room without a name of this.
                "presence" if hub.is_prosody() => {}
                "presence" => hub.refuse(session, stanza, NO_SERVICE),
                // Measured.
                _ if hub.is_prosody() => hub.refuse(session, stanza, not_inside(true)),
                _ => hub.refuse(session, stanza, Refusal::auth(Condition::Forbidden)),
            };
        }
        match (stanza.name(), to.resource()) {
            ("presence", nick) => self.on_presence(hub, session, to, nick, stanza),
            ("iq", None) => self.on_room_request(hub, session, to.bare_str(), stanza),
            ("iq", Some(nick)) => self.on_occupant_request(hub, session, to, nick, stanza),
            (_, None) => self.on_message(hub, session, to.bare_str(), stanza),
            (_, Some(nick)) => self.on_private(hub, session, to, nick, stanza),
        }
    }

    fn on_presence(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        to: &Jid,
        nick: Option<&str>,
        stanza: Element<'_>,
    ) {
        let room = to.bare_str();
        let inside = self.rooms.get(room).and_then(|r| r.occupant(session));
        match stanza.attr("type") {
            Some("unavailable") => {
                if inside.is_some() {
                    self.leave(hub, session, room, OWN);
                } else if !self.rooms.contains_key(room) {
                    hub.refuse(session, stanza, NO_ROOM);
                }
            }
            Some("error") if inside.is_some() => self.on_error(hub, session, room, stanza),
            Some(_) => {}
            None => {
                // XEP-0045 section 7.2.2 asks for a nick; some clients tell the
                // room where they mean their occupant.
                let own = inside.map(|o| o.nick.clone());
                let Some(nick) = nick.map(String::from).or(own) else {
                    // Measured.
                    let refusal = if hub.is_prosody() {
                        NO_SERVICE
                    } else {
                        Refusal::modify(Condition::JidMalformed)
                    };
                    return hub.refuse(session, stanza, refusal);
                };
                self.on_available(hub, session, room, &nick, stanza);
            }
        }
    }

    fn on_available(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        jid: &str,
        nick: &str,
        stanza: Element<'_>,
    ) {
        let joins = stanza.child("x", ns::MUC);
        let payload = passed_on(hub.is_prosody(), stanza, |child| !child.is("x", ns::MUC));
        let id = stanza.attr("id").map(String::from);
        let Some(state) = hub.sessions.get(&session) else {
            return;
        };
        let (account, full) = (state.account.clone(), state.full.clone());
        let bare = hub.bare(&account);
        if self.gone.contains(jid) {
            return hub.refuse(session, stanza, GONE);
        }
        let created = !self.rooms.contains_key(jid);
        if created {
            if joins.is_none() && hub.is_prosody() {
                return hub.refuse(session, stanza, NOT_CONNECTED);
            }
            if self.rooms.len() >= hub.setup.rooms {
                let refusal = Refusal::wait(Condition::ResourceConstraint);
                return hub.refuse(session, stanza, refusal);
            }
            self.create(hub, jid, &bare);
        }
        let Some(room) = self.rooms.get_mut(jid) else {
            return;
        };
        let inside = room.occupant(session).map(|o| o.nick.clone());
        // XEP-0045 section 7.2.3: the service may assign another nick than the one asked
        // for.
        let renames = hub.now < self.renames_until && joins.is_some() && inside.is_none();
        let given = if renames {
            [nick, " (guest)"].concat()
        } else {
            nick.into()
        };
        let nick = given.as_str();
        let older = room.by_nick(nick);
        let taken = older.is_some_and(|o| o.bare != bare);
        match inside {
            // XEP-0045 section 7.6: a nick that is in use is a conflict.
            Some(_) if taken => {
                let refusal = Refusal::cancel(Condition::Conflict).by(By::Room);
                hub.refuse(session, stanza, refusal);
            }
            Some(own) if own != nick => {
                // Measured: ejabberd tells of the new nick with the old presence.
                if hub.is_prosody() {
                    room.present(session, id, payload);
                }
                room.rename(hub, session, nick, joins.is_some());
                if joins.is_some() && hub.is_prosody() {
                    room.introduce_history(hub, session, joins);
                }
            }
            Some(_) => {
                room.present(session, id, payload);
                if joins.is_none() {
                    return room.announce(hub, session, &[], None);
                }
                // XEP-0045 section 7.2.2: who joins again is out of step and is
                // told everything again.
                let Some(at) = room.occupants.iter().position(|o| o.session == session) else {
                    return;
                };
                let occupant = room.occupants.remove(at);
                room.enter(hub, occupant, &[]);
                room.introduce_history(hub, session, joins);
            }
            None => {
                if joins.is_none() && !created && hub.is_prosody() {
                    return hub.refuse(session, stanza, NOT_CONNECTED);
                }
                let password = joins.and_then(|x| x.child("password", ns::MUC));
                let password = password.map(|p| p.text());
                if let Some(refusal) = room.refuses(hub, &bare, taken, created, password) {
                    return hub.refuse(session, stanza, refusal);
                }
                let occupant = Occupant {
                    session,
                    nick: nick.into(),
                    jid: full,
                    occupant_id: room.occupant_id(hub, &bare),
                    muted: room.mutes(&bare),
                    bare,
                    payload,
                    id,
                };
                hub.note(Note::Entered {
                    room: jid.into(),
                    nick: occupant.nick.clone(),
                    jid: occupant.jid.clone(),
                });
                let codes: &'static [&'static str] = match (created, renames) {
                    (true, true) => &["201", "210"],
                    (true, false) => &["201"],
                    (false, true) => &["210"],
                    (false, false) => &[],
                };
                room.enter(hub, occupant, codes);
                room.introduce_history(hub, session, joins);
            }
        }
    }

    fn create(&mut self, hub: &mut Hub, jid: &str, owner: &str) {
        let mut room = Room::new(jid, hub);
        // XEP-0045 section 10.1.1: the creator is the owner, and the room locked
        // until it is configured.
        room.affiliations.insert(owner.into(), Affiliation::Owner);
        room.locked = hub.setup.room_lock.map(|time| hub.now.plus(time));
        self.rooms.insert(jid.into(), room);
        hub.note(Note::RoomCreated { room: jid.into() });
    }

    /// Takes one session out of a room, and everybody is told.
    fn leave(&mut self, hub: &mut Hub, session: SessionId, jid: &str, parting: Parting<'_>) {
        if let Some(room) = self.rooms.get_mut(jid) {
            room.put_out(hub, parting, true, |o| o.session == session);
        }
        self.sweep(hub, jid);
    }

    /// Takes a session out of all rooms.
    /// `bounced`: the room gets back what it said.
    pub(super) fn leave_all(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        bounced: impl Fn(&str) -> bool,
    ) {
        let inside = |room: &&Room| room.occupant(session).is_some();
        let rooms = self.rooms.values().filter(inside);
        let rooms: alloc::vec::Vec<_> = rooms.map(|room| room.jid.clone()).collect();
        for jid in rooms {
            let unasked = Parting {
                relayed: false,
                ..OWN
            };
            let parting = if bounced(&jid) {
                by_error(hub.is_prosody())
            } else {
                unasked
            };
            self.leave(hub, session, &jid, parting);
        }
    }

    /// A room that is empty and not persistent is no more.
    pub(super) fn sweep(&mut self, hub: &mut Hub, jid: &str) {
        let room = self.rooms.get(jid);
        if room.is_some_and(|room| room.occupants.is_empty() && !room.persistent) {
            self.rooms.remove(jid);
            hub.note(Note::RoomGone { room: jid.into() });
        }
    }

    /// An occupant answered something with an error. Measured: both servers then
    /// put it out, Prosody with 333 and only for conditions that say it is not
    /// there, ejabberd without a code.
    pub(super) fn on_error(
        &mut self,
        hub: &mut Hub,
        session: SessionId,
        room: &str,
        stanza: Element<'_>,
    ) {
        if !hub.is_prosody() {
            return self.leave(hub, session, room, by_error(false));
        }
        let error = stanza.child("error", ns::CLIENT);
        let conditions = error.into_iter().flat_map(|e| e.children());
        let mut named = conditions.filter(|c| c.ns() == ns::STANZA_ERRORS && c.name() != "text");
        let condition = named.next().map_or("undefined-condition", |c| c.name());
        let kicks = [
            "gone",
            "internal-server-error",
            "item-not-found",
            "jid-malformed",
            "recipient-unavailable",
            "redirect",
            "remote-server-not-found",
            "remote-server-timeout",
            "service-unavailable",
        ];
        if kicks.contains(&condition) {
            self.leave(hub, session, room, by_error(true));
        }
    }

    /// A room is no more, and nobody is told.
    pub(super) fn forget(&mut self, hub: &mut Hub, jid: &str) {
        if let Some(mut room) = self.rooms.remove(jid) {
            room.put_out(hub, Parting::default(), false, |_| true);
            hub.note(Note::RoomGone { room: jid.into() });
        }
    }

    /// Destroys a room (XEP-0045, section 10.9).
    pub(super) fn destroy(&mut self, hub: &mut Hub, jid: &str, reason: Option<&str>) {
        let Some(mut room) = self.rooms.remove(jid) else {
            return;
        };
        let prosody = hub.is_prosody();
        let parting = Parting {
            // Measured: ejabberd does not say 110 here.
            own: prosody,
            destroyed: true,
            reason,
            ..Parting::default()
        };
        room.put_out(hub, parting, true, |_| true);
        if prosody && self.gone.len() < hub.setup.rooms {
            self.gone.insert(jid.into());
        }
        hub.note(Note::RoomGone { room: jid.into() });
    }
}

/// Put out because of an error. Measured: ejabberd does not say so with a code.
const fn by_error(prosody: bool) -> Parting<'static> {
    Parting {
        codes: if prosody { &["333"] } else { &[] },
        relayed: false,
        status: Some("Put out: an error was sent"),
        ..OWN
    }
}

/// Leaving as one asked to.
const OWN: Parting<'static> = Parting {
    codes: &[],
    own: true,
    new_nick: None,
    destroyed: false,
    reason: None,
    status: None,
    relayed: true,
    actor: None,
};

pub(super) const NO_SERVICE: Refusal = Refusal::cancel(Condition::ServiceUnavailable);

/// What Prosody says to a presence that neither joins nor is from an occupant.
const NOT_CONNECTED: Refusal = Refusal::cancel(Condition::ItemNotFound)
    .saying("You are not currently connected to this chat")
    .by(By::Room);

/// What Prosody says of a room that was destroyed.
pub(super) const GONE: Refusal = Refusal::cancel(Condition::Gone)
    .saying("This room is no more")
    .by(By::Service);

/// There is no such room.
pub(super) const NO_ROOM: Refusal = Refusal::cancel(Condition::ItemNotFound).by(By::Service);

impl Room {
    /// Keeps the latest presence of a session.
    fn present(&mut self, session: SessionId, id: Option<String>, payload: String) {
        let occupant = self.occupants.iter_mut().find(|o| o.session == session);
        if let Some(occupant) = occupant {
            (occupant.id, occupant.payload) = (id, payload);
        }
    }

    /// Whether somebody enters without a voice.
    fn mutes(&self, bare: &str) -> bool {
        self.mutes_strangers && self.affiliation(bare) == Affiliation::None
    }

    /// Why somebody may not enter.
    fn refuses(
        &self,
        hub: &Hub,
        bare: &str,
        taken: bool,
        created: bool,
        password: Option<&str>,
    ) -> Option<Refusal> {
        let affiliation = self.affiliation(bare);
        if !created && self.is_locked(hub.now) {
            // XEP-0045 section 7.2.10.
            Some(Refusal::cancel(Condition::ItemNotFound).by(By::Service))
        } else if affiliation == Affiliation::Outcast {
            // Section 7.2.7.
            Some(Refusal::auth(Condition::Forbidden).by(By::Room))
        } else if self.members_only && affiliation == Affiliation::None {
            // Section 7.2.6.
            Some(Refusal::auth(Condition::RegistrationRequired).by(By::Room))
        } else if affiliation != Affiliation::Owner
            && self.password.is_some()
            && self.password.as_deref() != password
        {
            // Section 7.2.5.
            Some(Refusal::auth(Condition::NotAuthorized).by(By::Room))
        } else if taken {
            // Section 7.2.8.
            Some(Refusal::cancel(Condition::Conflict).by(By::Room))
        } else {
            None
        }
    }
}
