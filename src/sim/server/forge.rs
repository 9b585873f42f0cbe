//! Lies: what an account of this server, an occupant of a room or a room that nobody is
//! in sends to clients, or makes them believe to have been sent by others.
//!
//! A server lets nobody write another's address as the sender's (RFC 6120, section
//! 8.1.2.1), and neither of those measured lets through an id that claims to be by the
//! room (XEP-0359, section 3): a liar has its own address, and can put anything else into
//! a stanza. What [`Lie::Foreign`] sends from the bare address of the room is what rooms
//! themselves do say.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::archive::Stored;
use super::groupchat::ids;
use super::model::Model;
use super::session::SessionId;
use super::{Lie, Note, ns};
use crate::jid::{BareJid, Jid};
use crate::xml::Element;

/// The account that lies, and its nick in rooms. It has no sessions, and is never seen to
/// come in.
pub const STRANGER: &str = "mallory";

/// What the text of a lie begins with: no event may have it anywhere.
pub const MARK: &str = "forged:";

/// A room that no client is in.
const ELSEWHERE: &str = "elsewhere";

/// What the one who lies remembers.
#[derive(Debug, Default)]
pub(super) struct Forger {
    told: u64,
    /// Accounts whose next request to a room is answered by others.
    pub(super) answers: BTreeSet<String>,
    /// Ids of others that were taken.
    copied: BTreeSet<String>,
}

/// The addresses that lies come from.
struct Liar {
    /// A client of the account that lies.
    client: String,
    /// An occupant of the room, or who would be one.
    occupant: String,
    /// A room that no client is in, and somebody of the client's nick there.
    elsewhere: String,
    nick: String,
}

impl Model {
    pub(super) fn forge(&mut self, account: &str, room: &str, lie: Lie) {
        let Ok(room) = BareJid::parse(room) else {
            return;
        };
        let room = room.as_str();
        match lie {
            Lie::Answer => {
                self.forger.answers.insert(account.into());
            }
            Lie::Copied => self.say_copied(room),
            Lie::Nested => self.say_nested(account, room),
            _ => {
                for session in self.hub.sessions_of(account) {
                    self.lie(session, account, room, lie);
                }
            }
        }
    }

    /// A text that nobody said.
    fn marker(&mut self, account: &str) -> String {
        self.forger.told = self.forger.told.saturating_add(1);
        let marker = format!("{MARK}{}", self.forger.told);
        self.hub.note(Note::Forged {
            account: account.into(),
            marker: marker.clone(),
        });
        marker
    }

    fn liar(&self, session: SessionId, account: &str, room: &str) -> Liar {
        let own = self.muc.rooms.get(room).and_then(|r| r.occupant(session));
        Liar {
            client: format!("{}/x", self.hub.bare(STRANGER)),
            occupant: format!("{room}/{STRANGER}"),
            elsewhere: format!("{ELSEWHERE}@{}", self.hub.muc),
            nick: own.map_or(account, |own| own.nick.as_str()).into(),
        }
    }

    fn lie(&mut self, session: SessionId, account: &str, room: &str, lie: Lie) {
        let marker = self.marker(account);
        let liar = self.liar(session, account, room);
        let Liar {
            client, elsewhere, ..
        } = &liar;
        let own = format!("{elsewhere}/{}", liar.nick);
        let named = format!("{}/{}", self.hub.bare(STRANGER), liar.nick);
        let text = format!("<body>{marker}</body>");
        let with_id = format!(
            "{text}<stanza-id xmlns='{}' by='{room}' id='{marker}'/>",
            ns::SID
        );
        let mut say = |name, kind, from: &str, inner: &str| {
            self.say_as(session, name, kind, from, &marker, inner);
        };
        match lie {
            Lie::Result => {
                let result = result(room, &marker, "nobody asked");
                for from in [client, &liar.occupant, room] {
                    say("message", None, from, &result);
                }
            }
            Lie::Foreign => {
                for from in [room, client, &own] {
                    say("message", Some("groupchat"), from, &with_id);
                }
            }
            Lie::Carbon => {
                for kind in ["received", "sent"] {
                    let inner = format!(
                        "<{kind} xmlns='urn:xmpp:carbons:2'>{}</{kind}>",
                        forwarded(room, &marker)
                    );
                    say("message", None, client, &inner);
                }
            }
            Lie::Entered => {
                for from in [&own, &named] {
                    say("presence", None, from, &status(&["110"]));
                }
            }
            Lie::Kicked => {
                for from in [&own, &named] {
                    let kind = Some("unavailable");
                    say("presence", kind, from, &status(&["307", "110"]));
                }
            }
            Lie::Push => {
                let push = format!(
                    "<query xmlns='{}'><item jid='{marker}@example.org' subscription='both'/>\
                     </query>",
                    ns::ROSTER
                );
                say("iq", Some("set"), client, &push);
            }
            Lie::Answer | Lie::Copied | Lie::Nested => {}
        }
    }

    /// Answers a request to a room before the room does, if that is what is to be done.
    pub(super) fn forge_answers(&mut self, session: SessionId, to: &Jid, iq: Element<'_>) {
        let account = self.hub.sessions.get(&session).map(|s| s.account.clone());
        let Some(account) = account.filter(|account| self.forger.answers.remove(account)) else {
            return;
        };
        let (Some(id), Some(payload)) = (iq.attr("id"), iq.children().next()) else {
            return;
        };
        let room = to.bare_str();
        let marker = self.marker(&account);
        let Liar {
            client,
            occupant,
            elsewhere,
            ..
        } = self.liar(session, &account, room);
        let query = payload.attr("queryid").unwrap_or_default();
        if payload.is("query", ns::MAM) && query.bytes().all(is_plain) {
            let result = result(room, &marker, query);
            for from in [&client, &occupant, &elsewhere] {
                self.say_as(session, "message", None, from, &marker, &result);
            }
        }
        let error = format!(
            "<error type='cancel'><item-not-found xmlns='{0}'/>\
             <text xmlns='{0}'>{marker}</text></error>",
            ns::STANZA_ERRORS
        );
        let fin = format!(
            "<fin xmlns='{}' complete='true'><set xmlns='{}'/></fin>",
            ns::MAM,
            ns::RSM
        );
        for (kind, from, inner) in [
            ("error", &client, &error),
            ("result", &elsewhere, &fin),
            ("error", &occupant, &error),
        ] {
            self.say_as(session, "iq", Some(kind), from, id, inner);
        }
    }

    /// Sends one stanza in somebody's name.
    fn say_as(
        &mut self,
        session: SessionId,
        name: &'static str,
        kind: Option<&str>,
        from: &str,
        id: &str,
        inner: &str,
    ) {
        let to = self.hub.address(session);
        self.hub.send_with(
            session,
            name,
            |w| {
                w.start(name).attr("from", from).attr("to", &to);
                w.attr("id", id);
                if let Some(kind) = kind {
                    w.attr("type", kind);
                }
            },
            inner,
            |_| {},
        );
    }

    /// An occupant says something under the id of what was said last.
    fn say_copied(&mut self, room: &str) {
        let Some(known) = self.muc.rooms.get(room) else {
            return;
        };
        let said = known.archive.entries().iter().rev();
        let said = said.filter(|said| said.nick != STRANGER);
        let Some(id) = said.filter_map(|said| said.origin.clone()).next() else {
            return;
        };
        // Twice would be the same occupant saying the same thing again.
        if !self.forger.copied.insert(id.clone()) {
            return;
        }
        self.forger.told = self.forger.told.saturating_add(1);
        let body = format!("copied:{}", self.forger.told);
        let by = format!("{ELSEWHERE}@{}", self.hub.muc);
        let more = format!("<stanza-id xmlns='{}' by='{by}' id='copied'/>", ns::SID);
        self.say_in(room, &id, &body, &more);
    }

    /// An occupant says something with all kinds of things in it.
    fn say_nested(&mut self, account: &str, room: &str) {
        if !self.muc.rooms.contains_key(room) {
            return;
        }
        let marker = self.marker(account);
        let body = format!("nested:{}", self.forger.told);
        let forwarded = forwarded(room, &marker);
        let more = format!(
            "{}<received xmlns='urn:xmpp:carbons:2'>{forwarded}</received>{forwarded}\
             <x xmlns='{}'><item jid='{marker}@example.org'/><status code='110'/></x>",
            result(room, &marker, "nobody asked"),
            ns::MUC_USER
        );
        let id = format!("of {STRANGER}:{}", self.forger.told);
        self.say_in(room, &id, &body, &more);
    }

    /// An occupant says something: the room takes it like anything else.
    fn say_in(&mut self, jid: &str, id: &str, body: &str, more: &str) {
        let sender = format!("{}/x", self.hub.bare(STRANGER));
        let (hub, muc) = (&mut self.hub, &mut self.muc);
        let (lag, unsettled) = (muc.lag, muc.settling(hub));
        let Some(room) = muc.rooms.get_mut(jid) else {
            return;
        };
        let prosody = hub.is_prosody();
        let id = id.to_string();
        let (place, micros) = hub.ids.archived(hub.wall_clock());
        let place = Some(place).filter(|_| room.archives);
        hub.note(Note::Accepted {
            room: jid.into(),
            archive_id: place.clone(),
            nick: STRANGER.into(),
            jid: sender.clone(),
            origin_id: Some(id.clone()),
            body: body.into(),
        });
        let own = super::stanza::markup(|w| {
            w.start("origin-id")
                .attr("xmlns", ns::SID)
                .attr("id", &id)
                .end();
        });
        let said = [&*own, more, "<body>", body, "</body>"].concat();
        let mark = place.as_ref().map(|place| ids(jid, place, !prosody));
        let mark = mark.unwrap_or_default();
        let contents = if prosody {
            [&*said, &*mark].concat()
        } else {
            [&*mark, &*said].concat()
        };
        let targets = room.occupants.iter().map(|o| o.session);
        let from = format!("{jid}/{STRANGER}");
        for session in targets.collect::<Vec<_>>() {
            let to = hub.address(session);
            hub.send_with(
                session,
                "message",
                |w| {
                    w.start("message").attr("from", &from).attr("to", &to);
                    w.attr("type", "groupchat").attr("id", &id);
                },
                &contents,
                |_| {},
            );
        }
        let Some(place) = place else { return };
        let shows = hub.now.plus(unsettled.unwrap_or(lag));
        let stored = Stored {
            id: place,
            micros,
            shows,
            visible: false,
            unsettled: unsettled.is_some(),
            nick: STRANGER.into(),
            jid: sender,
            stanza: Some(id.clone()),
            origin: Some(id),
            body: body.into(),
            inner: if prosody { said } else { contents },
            tombstone: false,
        };
        room.archive.push(stored, !prosody);
        muc.reveal(hub, jid);
    }
}

/// A message of the room, forwarded, that was never said.
fn forwarded(room: &str, marker: &str) -> String {
    format!(
        "<forwarded xmlns='{}'><message xmlns='{}' type='groupchat' from='{room}/{STRANGER}' \
         id='{marker}'><body>{marker}</body></message></forwarded>",
        ns::FORWARD,
        ns::CLIENT
    )
}

/// An archived message of the room that is not in its archive.
fn result(room: &str, marker: &str, query: &str) -> String {
    format!(
        "<result xmlns='{}' id='{marker}' queryid='{query}'>{}</result>",
        ns::MAM,
        forwarded(room, marker)
    )
}

/// Whether a byte stands for itself in an attribute.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'/' | b'+')
}

/// What a room says of an occupant with these codes.
fn status(codes: &[&str]) -> String {
    let codes = codes.iter().map(|code| format!("<status code='{code}'/>"));
    format!(
        "<x xmlns='{}'><item affiliation='none' role='none'/>{}</x>",
        ns::MUC_USER,
        codes.collect::<String>()
    )
}
