//! A room and who is in it (XEP-0045 v1.35.5): entering, leaving, being put out.
//!
//! An occupant here is one session; sessions of one account may share a nick, as
//! both servers let them. Rooms are semi-anonymous.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::archive::Archive;
use super::hub::Hub;
use super::keys::Hash;
use super::session::SessionId;
use super::stanza::markup;
use super::{Note, ns, sasl};
use crate::Instant;
use crate::xml::Writer;

/// How somebody stands to a room for good (XEP-0045, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Affiliation {
    Outcast,
    None,
    Member,
    Admin,
    Owner,
}

impl Affiliation {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Outcast => "outcast",
            Self::None => "none",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Outcast,
            Self::None,
            Self::Member,
            Self::Admin,
            Self::Owner,
        ];
        all.into_iter().find(|a| a.as_str() == text)
    }

    /// The role that goes with it (XEP-0045, section 5.1), and whether it sees
    /// real addresses.
    const fn is_moderator(self) -> bool {
        matches!(self, Self::Admin | Self::Owner)
    }

    const fn role(self) -> &'static str {
        if self.is_moderator() {
            "moderator"
        } else {
            "participant"
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Occupant {
    pub(super) session: SessionId,
    pub(super) nick: String,
    /// The full address.
    pub(super) jid: String,
    /// The address of the account.
    pub(super) bare: String,
    /// What was in its last presence, as markup.
    pub(super) payload: String,
    /// The id of its last presence, which is told to all.
    pub(super) id: Option<String>,
    /// Lost its voice.
    pub(super) muted: bool,
    /// XEP-0421, where the server has it.
    pub(super) occupant_id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) text: String,
    pub(super) nick: String,
    /// When it was set, in microseconds since 1970.
    pub(super) micros: u64,
}

#[derive(Debug)]
pub(super) struct Room {
    /// Its address.
    pub(super) jid: String,
    pub(super) occupants: Vec<Occupant>,
    pub(super) affiliations: BTreeMap<String, Affiliation>,
    /// Nobody may enter until then, or until it is configured.
    pub(super) locked: Option<Instant>,
    pub(super) subject: Option<Subject>,
    pub(super) members_only: bool,
    pub(super) persistent: bool,
    /// Who is no member has no voice.
    pub(super) mutes_strangers: bool,
    pub(super) password: Option<String>,
    pub(super) archives: bool,
    pub(super) archive: Archive,
}

/// How occupants go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parting<'a> {
    /// Status codes (XEP-0045, section 15.6) for everybody.
    pub(super) codes: &'a [&'static str],
    /// Whether who goes is told so with code 110.
    pub(super) own: bool,
    /// The nick that they go by from now on.
    pub(super) new_nick: Option<&'a str>,
    /// The room is destroyed.
    pub(super) destroyed: bool,
    pub(super) reason: Option<&'a str>,
    /// Why, in the server's words.
    pub(super) status: Option<&'static str>,
    /// It is the occupant's own presence, passed on.
    pub(super) relayed: bool,
    /// Whose doing it is.
    pub(super) actor: Option<&'a Actor>,
}

/// Who put somebody out, or changed how they stand.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) jid: String,
    pub(super) nick: String,
}

/// A presence of an occupant, as it is told to one of them.
#[derive(Clone, Copy)]
struct Telling<'a> {
    about: &'a Occupant,
    /// The sessions that share its nick, itself among them.
    jids: &'a [String],
    affiliation: Affiliation,
    available: bool,
    codes: &'a [&'static str],
    own: bool,
    parting: Parting<'a>,
}

impl Room {
    pub(super) fn new(jid: &str, hub: &Hub) -> Self {
        Self {
            jid: jid.into(),
            occupants: Vec::new(),
            affiliations: BTreeMap::new(),
            locked: None,
            subject: None,
            members_only: hub.setup.members_only,
            persistent: hub.setup.persistent_rooms,
            mutes_strangers: false,
            password: None,
            archives: hub.setup.archive,
            archive: Archive::default(),
        }
    }

    pub(super) fn affiliation(&self, bare: &str) -> Affiliation {
        let known = self.affiliations.get(bare);
        known.copied().unwrap_or(Affiliation::None)
    }

    pub(super) fn is_locked(&self, now: Instant) -> bool {
        self.locked.is_some_and(|until| now < until)
    }

    pub(super) fn occupant(&self, session: SessionId) -> Option<&Occupant> {
        self.occupants.iter().find(|o| o.session == session)
    }

    pub(super) fn by_nick(&self, nick: &str) -> Option<&Occupant> {
        self.occupants.iter().find(|o| o.nick == nick)
    }

    /// The id of an account in this room; Prosody's alone, the ejabberd that was
    /// measured has none.
    pub(super) fn occupant_id(&self, hub: &Hub, bare: &str) -> Option<String> {
        hub.is_prosody().then(|| {
            let id = Hash::Sha256.hmac(self.jid.as_bytes(), bare.as_bytes());
            sasl::encode(&id)
        })
    }

    /// Lets an occupant in: it is told of the others, the others of it, then it of
    /// itself (XEP-0045, section 7.2.2).
    pub(super) fn enter(
        &mut self,
        hub: &mut Hub,
        occupant: Occupant,
        codes: &'static [&'static str],
    ) {
        if !hub.is_prosody() {
            self.introduce(hub, occupant.session);
        }
        self.introduce_others(hub, &occupant);
        let session = occupant.session;
        self.occupants.push(occupant);
        self.announce(hub, session, codes, None);
    }

    /// Tells everybody, itself at last, how an occupant is.
    pub(super) fn announce(
        &self,
        hub: &mut Hub,
        session: SessionId,
        codes: &'static [&'static str],
        actor: Option<&Actor>,
    ) {
        let Some(about) = self.occupant(session) else {
            return;
        };
        let jids = self.jids(hub, about);
        let telling = Telling {
            parting: Parting {
                actor,
                ..Parting::default()
            },
            ..self.available(about, &jids)
        };
        for to in self.occupants.iter().filter(|o| o.nick != about.nick) {
            self.tell(hub, to, &telling, None);
        }
        for to in self.occupants.iter().filter(|o| o.nick == about.nick) {
            let own = to.session == session;
            let own = Telling {
                // Measured: ejabberd says so only to the session itself.
                own: own || hub.is_prosody(),
                codes: if own { codes } else { &[] },
                ..telling
            };
            self.tell(hub, to, &own, None);
        }
    }

    /// Tells one of them of all others.
    pub(super) fn introduce_others(&self, hub: &mut Hub, to: &Occupant) {
        let mut told: Vec<&str> = Vec::new();
        for other in &self.occupants {
            if other.nick != to.nick && !told.contains(&other.nick.as_str()) {
                told.push(&other.nick);
                let jids = self.jids(hub, other);
                self.tell(hub, to, &self.available(other, &jids), None);
            }
        }
    }

    /// The sessions behind a nick, as far as the server tells. Measured: Prosody
    /// tells all, ejabberd the one that it is about.
    fn jids(&self, hub: &Hub, about: &Occupant) -> Vec<String> {
        let shares = |o: &&Occupant| {
            o.session == about.session || (hub.is_prosody() && o.nick == about.nick)
        };
        let sessions = self.occupants.iter().filter(shares);
        sessions.map(|o| o.jid.clone()).collect()
    }

    /// ejabberd sends a presence of the room itself before that of the others.
    /// Measured.
    pub(super) fn introduce(&self, hub: &mut Hub, session: SessionId) {
        let to = hub.address(session);
        let id = hub.ids.stream();
        hub.send(session, |w| {
            w.start("presence").attr("to", &to).attr("from", &self.jid);
            w.attr("id", &id);
            w.start("c")
                .attr("xmlns", ns::CAPS)
                .attr("hash", "sha-1")
                .attr("node", "http://www.process-one.net/en/ejabberd/")
                .attr("ver", "1MMXBvWS93p5kxtqvr6BUyfCp0g=")
                .end();
            w.end();
        });
    }

    /// And takes its leave when the occupant does.
    fn bow_out(&self, hub: &mut Hub, to: &Occupant) {
        let id = hub.ids.stream();
        hub.send(hub.heir(to.session, &to.jid), |w| {
            w.start("presence")
                .attr("to", &to.jid)
                .attr("from", &self.jid)
                .attr("type", "unavailable")
                .attr("id", &id)
                .end();
        });
    }

    fn available<'a>(&self, about: &'a Occupant, jids: &'a [String]) -> Telling<'a> {
        Telling {
            about,
            jids,
            affiliation: self.affiliation(&about.bare),
            available: true,
            codes: &[],
            own: false,
            parting: Parting::default(),
        }
    }

    /// Puts out those for whom `leaves` holds, and tells everybody if `told`.
    pub(super) fn put_out(
        &mut self,
        hub: &mut Hub,
        parting: Parting<'_>,
        told: bool,
        leaves: impl Fn(&Occupant) -> bool,
    ) {
        // Whoever shares a nick is told of all that did.
        let shared: Vec<Vec<String>> = self
            .occupants
            .iter()
            .filter(|o| leaves(o))
            .map(|o| self.jids(hub, o))
            .collect();
        let (gone, stay): (Vec<_>, Vec<_>) = core::mem::take(&mut self.occupants)
            .into_iter()
            .partition(leaves);
        self.occupants = stay;
        for (about, jids) in gone.iter().zip(&shared) {
            if told {
                self.tell_parting(hub, parting, about, jids);
            }
            if parting.new_nick.is_none() {
                hub.note(Note::Left {
                    room: self.jid.clone(),
                    nick: about.nick.clone(),
                    jid: about.jid.clone(),
                    told: told && hub.sessions.contains_key(&about.session),
                });
            }
        }
    }

    fn tell_parting(&self, hub: &mut Hub, parting: Parting<'_>, about: &Occupant, jids: &[String]) {
        let prosody = hub.is_prosody();
        let affiliation = self.affiliation(&about.bare);
        let shared = self.by_nick(&about.nick).is_some();
        let telling = Telling {
            available: false,
            parting,
            codes: parting.codes,
            ..self.available(about, jids)
        };
        // Measured: on Prosody the nick that others still have is told once more to
        // be there, on ejabberd nobody hears of it.
        let to_others = Telling {
            available: shared,
            ..telling
        };
        if !shared || prosody {
            for to in &self.occupants {
                let to_others = Telling {
                    own: to.nick == about.nick,
                    ..to_others
                };
                self.tell(hub, to, &to_others, None);
            }
        }
        if !prosody && parting.new_nick.is_none() {
            self.bow_out(hub, about);
        }
        let own = Telling {
            own: parting.own,
            ..telling
        };
        self.tell(hub, about, &own, Some((affiliation, shared)));
    }

    /// Writes a presence of an occupant to one of them. `as_if`: who reads it is
    /// out already and stood so, and whether others still have its nick.
    fn tell(
        &self,
        hub: &mut Hub,
        to: &Occupant,
        telling: &Telling<'_>,
        as_if: Option<(Affiliation, bool)>,
    ) {
        let reader = as_if.map_or_else(|| self.affiliation(&to.bare), |(stood, _)| stood);
        let shares = as_if.is_some_and(|(_, shares)| shares);
        let about = telling.about;
        let moderates = reader.is_moderator();
        let sees = moderates || to.bare == about.bare;
        let prosody = hub.is_prosody();
        let parting = telling.parting;
        let says_id = !(as_if.is_some() && (shares || parting.new_nick.is_some()));
        let (before, after) = match (telling.available, parting.status) {
            (true, _) if prosody => (about.payload.clone(), String::new()),
            (true, _) => (String::new(), about.payload.clone()),
            (false, Some(status)) => {
                let status = markup(|w| {
                    w.start("status");
                    if !prosody {
                        w.attr("xml:lang", "en");
                    }
                    w.text(status).end();
                });
                if prosody {
                    (status, String::new())
                } else {
                    (String::new(), status)
                }
            }
            (false, None) => (String::new(), String::new()),
        };
        let what = markup(|w| {
            if let Some(id) = about.occupant_id.as_ref().filter(|_| says_id) {
                w.start("occupant-id")
                    .attr("xmlns", ns::OCCUPANT_ID)
                    .attr("id", id)
                    .end();
            }
            telling.write(w, prosody, sees, moderates, shares, about.role(self));
        });
        hub.send_with(
            hub.heir(to.session, &to.jid),
            "presence",
            |w| {
                w.start("presence")
                    .attr("from", &[&self.jid, "/", &about.nick].concat())
                    .attr("to", &to.jid);
                if !telling.available {
                    w.attr("type", "unavailable");
                }
                if telling.available || parting.relayed {
                    w.attr("xml:lang", "en");
                }
                if let Some(id) = about.id.as_ref().filter(|_| telling.available) {
                    w.attr("id", id);
                }
            },
            &[before, what, after].concat(),
            |_| {},
        );
    }

    /// Takes a nick from a session and gives it another (XEP-0045, section 7.6).
    pub(super) fn rename(&mut self, hub: &mut Hub, session: SessionId, nick: &str, joins: bool) {
        let Some(occupant) = self.occupant(session).cloned() else {
            return;
        };
        let parting = Parting {
            codes: &["303"],
            own: true,
            new_nick: Some(nick),
            ..Parting::default()
        };
        self.put_out(hub, parting, true, |o| o.session == session);
        hub.note(Note::Renamed {
            room: self.jid.clone(),
            from: occupant.nick.clone(),
            to: nick.into(),
            jid: occupant.jid.clone(),
        });
        let nick = nick.into();
        let occupant = Occupant { nick, ..occupant };
        if joins && hub.is_prosody() {
            return self.enter(hub, occupant, &[]);
        }
        self.occupants.push(occupant);
        self.announce(hub, session, &[], None);
    }
}

impl Occupant {
    /// The role that it has (XEP-0045, section 5.1).
    fn role(&self, room: &Room) -> &'static str {
        if self.muted {
            "visitor"
        } else {
            room.affiliation(&self.bare).role()
        }
    }
}

impl Telling<'_> {
    fn write(
        &self,
        w: &mut Writer<'_>,
        prosody: bool,
        sees: bool,
        moderates: bool,
        shares: bool,
        role: &str,
    ) {
        let destroyed = self.parting.destroyed;
        w.start("x").attr("xmlns", ns::MUC_USER);
        if destroyed {
            w.start("destroy");
            if let Some(reason) = self.parting.reason {
                w.start("reason").text(reason).end();
            }
            w.end();
        }
        let own = |w: &mut Writer<'_>| {
            if self.own {
                w.start("status").attr("code", "110").end();
            }
        };
        let codes = |w: &mut Writer<'_>| {
            for code in self.codes {
                w.start("status").attr("code", code).end();
            }
        };
        // Measured: Prosody says the reason for a presence first, ejabberd last; of
        // who is put out ejabberd says at first that it is itself.
        if prosody {
            codes(w);
        }
        let stays = self.available || shares && prosody || self.parting.new_nick.is_some();
        let role = if stays { role } else { "none" };
        if destroyed && !prosody {
            w.start("item")
                .attr("affiliation", "none")
                .attr("role", "none")
                .end();
        } else if sees {
            for jid in self.jids {
                self.item(w, prosody, Some(jid), moderates, role);
            }
        } else {
            self.item(w, prosody, None, moderates, role);
        }
        let put_out = !self.available && self.parting.new_nick.is_none();
        if prosody {
            own(w);
        } else if put_out {
            own(w);
            codes(w);
        } else {
            codes(w);
            own(w);
        }
        w.end();
    }

    fn item(
        &self,
        w: &mut Writer<'_>,
        prosody: bool,
        jid: Option<&str>,
        moderates: bool,
        role: &str,
    ) {
        w.start("item")
            .attr("affiliation", self.affiliation.as_str())
            .attr("role", role);
        if let Some(jid) = jid {
            w.attr("jid", jid);
        }
        if let Some(nick) = self.parting.new_nick {
            w.attr("nick", nick);
        }
        let reason = self.parting.reason.filter(|_| !self.parting.destroyed);
        let reason = |w: &mut Writer<'_>| {
            if let Some(reason) = reason {
                w.start("reason").text(reason).end();
            }
        };
        if !prosody {
            reason(w);
        }
        if let Some(actor) = self.parting.actor {
            w.start("actor").attr("nick", &actor.nick);
            if prosody && moderates {
                w.attr("jid", &actor.jid);
            }
            w.end();
        }
        if prosody {
            reason(w);
        }
        w.end();
    }
}
