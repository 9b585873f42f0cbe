//! Rooms on the wire (XEP-0045 v1.35.5): what we say to a room as an occupant,
//! and what its presences say. No administration beyond unlocking and destroying.

use crate::event::{LeaveCause, Privacy, RoomInfo};
use crate::jid::BareJid;
use crate::limits::Limits;
use crate::ns;
use crate::stanza::prose;
use crate::xml::{Element, Writer};

/// Enters a room under an id that its refusal will bear, without its history: the archive is where that is read
/// (XEP-0045, sections 7.2.1 and 7.2.14).
///
/// "If the client wishes to receive no history, it MUST set the 'maxchars' attribute to
/// a value of "0" (zero)." `maxstanzas` says the same to services that know only that.
pub(crate) fn write_join(w: &mut Writer<'_>, occupant: &str, id: &str) {
    w.start("presence").attr("to", occupant).attr("id", id);
    w.start("x").attr("xmlns", ns::MUC);
    w.start("history")
        .attr("maxchars", "0")
        .attr("maxstanzas", "0")
        .end();
    w.end().end();
}

/// The id of every leave: nothing is asked by it, and no other stanza has it.
pub(crate) const LEAVE: &str = "leave";

/// Leaves a room (XEP-0045, section 7.14).
///
/// It has an id, so that a server that refuses it, the room being gone, refuses nothing
/// else by that: Prosody answers with an error to whom it does not know as an occupant.
pub(crate) fn write_leave(w: &mut Writer<'_>, occupant: &str) {
    w.start("presence")
        .attr("to", occupant)
        .attr("id", LEAVE)
        .attr("type", "unavailable")
        .end();
}

/// Unlocks a room just created, as it is: an empty submitted form, the "instant
/// room" of XEP-0045 section 10.1.2. The payload of a request of type set.
pub(crate) fn write_unlock(w: &mut Writer<'_>) {
    w.start("query").attr("xmlns", ns::MUC_OWNER);
    w.start("x")
        .attr("xmlns", ns::DATA)
        .attr("type", "submit")
        .end();
    w.end();
}

/// Destroys a room (XEP-0045, section 10.9). The payload of a request of type set.
pub(crate) fn write_destroy(w: &mut Writer<'_>) {
    w.start("query").attr("xmlns", ns::MUC_OWNER);
    w.start("destroy").end();
    w.end();
}

/// Status codes of a room's presence (XEP-0045, section 15.6), those that decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// 100 and 170, in the presence by which the room lets us in.
    pub(crate) privacy: Privacy,
    /// 110: this presence is about ourselves.
    pub(crate) own: bool,
    /// 201: the room was just created, and is locked.
    pub(crate) created: bool,
    /// 301.
    pub(crate) banned: bool,
    /// 303: a nick changes.
    pub(crate) new_nick: bool,
    /// 307.
    pub(crate) kicked: bool,
    /// 321 or 322.
    pub(crate) not_member: bool,
    /// 332.
    pub(crate) shutdown: bool,
    /// 333.
    pub(crate) technical: bool,
}

/// The status codes in what a room says.
fn codes<'a>(x: Element<'a>) -> impl Iterator<Item = &'a str> {
    let status = x
        .children()
        .filter(|child| child.is("status", ns::MUC_USER));
    status.filter_map(|status| status.attr("code"))
}

/// What a room says that its configuration is from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// As far as it says so; the rest is as it was.
    pub(crate) privacy: Privacy,
    /// Something else changed.
    pub(crate) other: bool,
}

impl Configuration {
    /// Reads a message of the room itself, where `before` is what it was (XEP-0045, section
    /// 10.2.1). `None` if it says nothing of its configuration.
    ///
    /// 100 is what older rooms say for 172 (section 15.6.2 has it in messages too), and 174
    /// what those say that hide addresses from their moderators as well.
    pub(crate) fn read(message: Element<'_>, before: Privacy) -> Option<Self> {
        let mut now = Self {
            privacy: before,
            other: false,
        };
        let mut said = false;
        for code in codes(message.child("x", ns::MUC_USER)?) {
            match code {
                "100" | "172" => now.privacy.occupants_see_jids = true,
                "173" | "174" => now.privacy.occupants_see_jids = false,
                "170" => now.privacy.logged = true,
                "171" => now.privacy.logged = false,
                "102" | "103" | "104" => now.other = true,
                _ => continue,
            }
            said = true;
        }
        said.then_some(now)
    }
}

/// What a room's presence says about an occupant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OccupantPresence<'a> {
    pub(crate) status: Status,
    x: Option<Element<'a>>,
}

impl<'a> OccupantPresence<'a> {
    pub(crate) fn read(presence: Element<'a>) -> Self {
        // XEP-0045 section 17.3 has the service keep `<x/>` of others out of what it passes on, and
        // section 7.2.2 itself put in no more than one: of two nobody knows whose they are.
        let mut all = presence.children().filter(|c| c.is("x", ns::MUC_USER));
        let x = all.next().filter(|_| all.next().is_none());
        let mut status = Status::default();
        for code in x.into_iter().flat_map(codes) {
            match code {
                "100" => status.privacy.occupants_see_jids = true,
                "170" => status.privacy.logged = true,
                "110" => status.own = true,
                "201" => status.created = true,
                "301" => status.banned = true,
                "303" => status.new_nick = true,
                "307" => status.kicked = true,
                "321" | "322" => status.not_member = true,
                "332" => status.shutdown = true,
                "333" => status.technical = true,
                _ => {}
            }
        }
        Self { status, x }
    }

    fn item(&self) -> Option<Element<'a>> {
        self.x?.child("item", ns::MUC_USER)
    }

    /// The nick the occupant changes to, with status 303; `None` if nobody can have it, for
    /// then whom it is said of is gone.
    pub(crate) fn next_nick(&self) -> Option<&'a str> {
        self.item()?
            .attr("nick")
            .filter(|nick| Limits::is_nick(nick))
    }

    /// Why the occupant of an unavailable presence is gone.
    pub(crate) fn leave_cause(&self) -> LeaveCause {
        let reason = || {
            let reason = self.item()?.child("reason", ns::MUC_USER)?;
            prose(reason.text())
        };
        if let Some(destroy) = self.x.and_then(|x| x.child("destroy", ns::MUC_USER)) {
            return LeaveCause::Destroyed {
                alternative: destroy.attr("jid").and_then(|jid| BareJid::parse(jid).ok()),
                reason: destroy
                    .child("reason", ns::MUC_USER)
                    .and_then(|r| prose(r.text())),
            };
        }
        let status = self.status;
        // 333 comes together with 307 where a broken link is what "kicked", so
        // it is looked for first (XEP-0045, section 11.1).
        if status.technical {
            LeaveCause::TechnicalProblem
        } else if status.shutdown {
            LeaveCause::ServiceShutdown
        } else if status.banned {
            LeaveCause::Banned { reason: reason() }
        } else if status.not_member {
            LeaveCause::NotMember
        } else if status.kicked {
            LeaveCause::Kicked { reason: reason() }
        } else {
            LeaveCause::Asked
        }
    }
}

/// Reads what a room can do from its `disco#info` (XEP-0045, section 6.4).
pub(crate) fn room_info(query: Element<'_>) -> RoomInfo {
    let mut info = RoomInfo::default();
    let features = query
        .children()
        .filter(|child| child.is("feature", ns::DISCO_INFO));
    for feature in features.filter_map(|feature| feature.attr("var")) {
        match feature {
            ns::MAM => info.archive = true,
            ns::SID => info.stanza_ids = true,
            ns::SELF_PING => info.self_ping = true,
            ns::OCCUPANT_ID => info.occupant_ids = true,
            "muc_persistent" => info.persistent = true,
            "muc_membersonly" => info.members_only = true,
            "muc_moderated" => info.moderated = true,
            _ => {}
        }
    }
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::stanza;

    /// XEP-0045, section 6.4: "the list of supported features provides information about the
    /// MUC room configuration"; section 15.3 lists them. Each says one thing.
    #[test]
    fn a_room_says_what_it_can_do_by_its_features() {
        let info = |features: &[&str]| {
            let features: alloc::string::String = features
                .iter()
                .map(|var| alloc::format!("<feature var='{var}'/>"))
                .collect();
            let query = alloc::format!("<query xmlns='{}'>{features}</query>", ns::DISCO_INFO);
            stanza(&query, room_info)
        };
        type Set = fn(&mut RoomInfo);
        let all: [(&str, Set); 7] = [
            ("urn:xmpp:mam:2", |info| info.archive = true),
            ("urn:xmpp:sid:0", |info| info.stanza_ids = true),
            (
                "http://jabber.org/protocol/muc#self-ping-optimization",
                |info| info.self_ping = true,
            ),
            ("urn:xmpp:occupant-id:0", |info| info.occupant_ids = true),
            ("muc_persistent", |info| info.persistent = true),
            ("muc_membersonly", |info| info.members_only = true),
            ("muc_moderated", |info| info.moderated = true),
        ];
        for (feature, set) in all {
            let mut expected = RoomInfo::default();
            set(&mut expected);
            assert_eq!(info(&["muc_open", feature, "muc_public"]), expected);
        }
        assert_eq!(
            info(&["muc_temporary", "urn:xmpp:mam:1"]),
            RoomInfo::default()
        );
    }
}
