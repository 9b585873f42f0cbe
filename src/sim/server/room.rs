//! A room and who is in it (XEP-0045 v1.35.5): entering, leaving, being put out.
//!
//! An occupant here is one session; sessions of one account may share a nick, as
//! both servers let them. Rooms are semi-anonymous, nobody is without voice.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::archive::Archive;
use super::hub::Hub;
use super::keys::Hash;
use super::session::SessionId;
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
    /// XEP-0421, where the server has it.
    pub(super) occupant_id: Option<String>,
}

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) text: String,
    pub(super) nick: String,
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
}

/// A presence of an occupant, as it is told to one of them.
struct Telling<'a> {
    about: &'a Occupant,
    affiliation: Affiliation,
    available: bool,
    shows_jid: bool,
    codes: &'a [&'static str],
    own: bool,
    parting: Parting<'a>,
    /// The id of the presence that led to it.
    id: Option<&'a str>,
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
        id: Option<&str>,
        codes: &'static [&'static str],
    ) {
        let mut told: Vec<&str> = Vec::new();
        for other in &self.occupants {
            if other.nick != occupant.nick && !told.contains(&other.nick.as_str()) {
                told.push(&other.nick);
                self.tell(hub, &occupant, &self.available(other), None);
            }
        }
        if !hub.is_prosody() {
            self.introduce(hub, occupant.session);
        }
        let session = occupant.session;
        self.occupants.push(occupant);
        self.announce(hub, session, id, codes);
    }

    /// Tells everybody, itself at last, how an occupant is.
    pub(super) fn announce(
        &self,
        hub: &mut Hub,
        session: SessionId,
        id: Option<&str>,
        codes: &'static [&'static str],
    ) {
        let Some(about) = self.occupant(session) else {
            return;
        };
        for to in self.occupants.iter().filter(|o| o.nick != about.nick) {
            self.tell(hub, to, &self.available(about), None);
        }
        for to in self.occupants.iter().filter(|o| o.nick == about.nick) {
            let own = Telling {
                // Measured: ejabberd does not tell who shares the nick that it is
                // theirs.
                own: to.session == session || hub.is_prosody(),
                codes: if to.session == session { codes } else { &[] },
                id: id.filter(|_| to.session == session),
                ..self.available(about)
            };
            self.tell(hub, to, &own, None);
        }
    }

    /// ejabberd sends a presence of the room itself before one's own. Measured.
    fn introduce(&self, hub: &mut Hub, session: SessionId) {
        let to = hub.address(session);
        hub.send(session, |w| {
            w.start("presence").attr("to", &to).attr("from", &self.jid);
            w.start("c")
                .attr("xmlns", ns::CAPS)
                .attr("hash", "sha-1")
                .attr("node", "http://www.process-one.net/en/ejabberd/")
                .attr("ver", "1MMXBvWS93p5kxtqvr6BUyfCp0g=")
                .end();
            w.end();
        });
    }

    const fn telling<'a>(&self, about: &'a Occupant, affiliation: Affiliation) -> Telling<'a> {
        Telling {
            about,
            affiliation,
            available: true,
            shows_jid: false,
            codes: &[],
            own: false,
            parting: Parting {
                codes: &[],
                own: false,
                new_nick: None,
                destroyed: false,
                reason: None,
            },
            id: None,
        }
    }

    fn available<'a>(&self, about: &'a Occupant) -> Telling<'a> {
        self.telling(about, self.affiliation(&about.bare))
    }

    /// Puts out those for whom `leaves` holds, and tells everybody if `told`.
    pub(super) fn put_out(
        &mut self,
        hub: &mut Hub,
        parting: Parting<'_>,
        told: bool,
        leaves: impl Fn(&Occupant) -> bool,
    ) {
        let (gone, stay): (Vec<_>, Vec<_>) = core::mem::take(&mut self.occupants)
            .into_iter()
            .partition(leaves);
        self.occupants = stay;
        for (index, occupant) in gone.iter().enumerate() {
            let shared = self.by_nick(&occupant.nick).is_some();
            let before = gone.iter().take(index).any(|o| o.nick == occupant.nick);
            if told {
                let affiliation = self.affiliation(&occupant.bare);
                let telling = Telling {
                    available: false,
                    parting,
                    codes: parting.codes,
                    ..self.telling(occupant, affiliation)
                };
                for to in self.occupants.iter().filter(|_| !shared && !before) {
                    self.tell(hub, to, &telling, None);
                }
                let own = Telling {
                    own: parting.own,
                    ..telling
                };
                self.tell(hub, occupant, &own, Some(affiliation));
            }
            // Measured: on Prosody whoever shares the nick is told once more that
            // it is there.
            if told && shared && hub.is_prosody() {
                for to in self.occupants.iter().filter(|o| o.nick == occupant.nick) {
                    let own = Telling {
                        own: true,
                        ..self.available(to)
                    };
                    self.tell(hub, to, &own, None);
                }
            }
            if parting.new_nick.is_none() {
                hub.note(Note::Left {
                    room: self.jid.clone(),
                    nick: occupant.nick.clone(),
                    jid: occupant.jid.clone(),
                    told: told && hub.sessions.contains_key(&occupant.session),
                });
            }
        }
    }

    /// Writes a presence of an occupant to one of them. `as_if`: who reads it is
    /// out already and stood so.
    fn tell(
        &self,
        hub: &mut Hub,
        to: &Occupant,
        telling: &Telling<'_>,
        as_if: Option<Affiliation>,
    ) {
        let reader = as_if.unwrap_or_else(|| self.affiliation(&to.bare));
        let about = telling.about;
        let own = to.bare == about.bare;
        let telling = Telling {
            shows_jid: telling.shows_jid || own || reader.is_moderator(),
            codes: telling.codes,
            parting: telling.parting,
            ..*telling
        };
        let inner = if telling.available {
            about.payload.as_str()
        } else {
            ""
        };
        hub.send_with(
            to.session,
            "presence",
            |w| {
                w.start("presence")
                    .attr("from", &[&self.jid, "/", &about.nick].concat())
                    .attr("to", &to.jid);
                if !telling.available {
                    w.attr("type", "unavailable");
                }
                if let Some(id) = telling.id {
                    w.attr("id", id);
                }
            },
            inner,
            |w| telling.write(w),
        );
    }

    /// Takes a nick from a session and gives it another (XEP-0045, section 7.6).
    pub(super) fn rename(&mut self, hub: &mut Hub, session: SessionId, nick: &str) {
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
        self.occupants.push(Occupant { nick, ..occupant });
        self.announce(hub, session, None, &[]);
    }
}

impl Telling<'_> {
    fn write(&self, w: &mut Writer<'_>) {
        if let Some(id) = &self.about.occupant_id {
            w.start("occupant-id")
                .attr("xmlns", ns::OCCUPANT_ID)
                .attr("id", id)
                .end();
        }
        w.start("x").attr("xmlns", ns::MUC_USER);
        let changes_nick = self.parting.new_nick.is_some();
        let role = if self.available || changes_nick {
            self.affiliation.role()
        } else {
            "none"
        };
        w.start("item")
            .attr("affiliation", self.affiliation.as_str())
            .attr("role", role);
        if self.shows_jid {
            w.attr("jid", &self.about.jid);
        }
        if let Some(nick) = self.parting.new_nick {
            w.attr("nick", nick);
        }
        let reason = self.parting.reason.filter(|_| !self.parting.destroyed);
        if let Some(reason) = reason {
            w.start("reason").text(reason).end();
        }
        w.end();
        if self.parting.destroyed {
            w.start("destroy");
            if let Some(reason) = self.parting.reason {
                w.start("reason").text(reason).end();
            }
            w.end();
        }
        for code in self.codes {
            w.start("status").attr("code", code).end();
        }
        if self.own {
            w.start("status").attr("code", "110").end();
        }
        w.end();
    }
}
