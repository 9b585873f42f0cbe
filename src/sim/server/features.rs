//! What the servers say that they can do (XEP-0030), as they were recorded.

use super::ns;
use crate::xml::Writer;

const COMMANDS: &str = "http://jabber.org/protocol/commands";
const UNIQUE: &str = "http://jabber.org/protocol/muc#unique";
const CARBONS: &str = "urn:xmpp:carbons:2";
const CARBON_RULES: &str = "urn:xmpp:carbons:rules:0";
/// Older versions of the archive, which ejabberd still speaks.
const OLD_ARCHIVES: [&str; 3] = ["urn:xmpp:mam:0", "urn:xmpp:mam:1", ns::MAM_OLD];
const EXTENDED: &str = "urn:xmpp:mam:2#extended";
const ROOM_INFO: &str = "http://jabber.org/protocol/muc#roominfo";

/// Of the server.
pub(super) fn of_server(prosody: bool) -> &'static [&'static str] {
    const PROSODY: &[&str] = &[
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::ROSTER,
        "msgoffline",
        CARBONS,
        CARBON_RULES,
        ns::PING,
    ];
    const EJABBERD: &[&str] = &[
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        "iq",
        "presence",
        CARBONS,
        CARBON_RULES,
        OLD_ARCHIVES[0],
        OLD_ARCHIVES[1],
        ns::MAM,
        OLD_ARCHIVES[2],
        ns::PING,
    ];
    if prosody { PROSODY } else { EJABBERD }
}

/// Of an account.
pub(super) fn of_account(prosody: bool) -> &'static [&'static str] {
    const PROSODY: &[&str] = &[ns::MAM, EXTENDED, ns::SID];
    const EJABBERD: &[&str] = &[
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        OLD_ARCHIVES[0],
        OLD_ARCHIVES[1],
        ns::MAM,
        OLD_ARCHIVES[2],
        ns::SID,
    ];
    if prosody { PROSODY } else { EJABBERD }
}

/// Of the room service.
pub(super) fn of_service(prosody: bool) -> &'static [&'static str] {
    const PROSODY: &[&str] = &[
        COMMANDS,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MUC,
        UNIQUE,
        ns::MAM,
        ns::OCCUPANT_ID,
    ];
    const EJABBERD: &[&str] = &[
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::MUC,
        UNIQUE,
        ns::RSM,
        "jabber:iq:register",
        OLD_ARCHIVES[0],
        OLD_ARCHIVES[1],
        ns::MAM,
        OLD_ARCHIVES[2],
        "urn:xmpp:mucsub:0",
        "vcard-temp",
    ];
    if prosody { PROSODY } else { EJABBERD }
}

/// Of any room.
pub(super) fn of_room(prosody: bool) -> &'static [&'static str] {
    const PROSODY: &[&str] = &[
        ns::MUC,
        "muc_semianonymous",
        "muc_hidden",
        "jabber:iq:register",
        "http://jabber.org/protocol/muc#request",
        "http://jabber.org/protocol/muc#stable_id",
        "http://jabber.org/protocol/muc#self-ping-optimization",
        ns::OCCUPANT_ID,
        // Said always, whether the room archives or not.
        ns::SID,
    ];
    const EJABBERD: &[&str] = &[
        "vcard-temp",
        ns::MUC,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        COMMANDS,
        "muc_public",
        "muc_semianonymous",
        "muc_moderated",
    ];
    if prosody { PROSODY } else { EJABBERD }
}

/// Of a room that archives.
pub(super) fn of_archive(prosody: bool) -> &'static [&'static str] {
    const PROSODY: &[&str] = &[ns::MAM, EXTENDED];
    const EJABBERD: &[&str] = &[
        OLD_ARCHIVES[2],
        OLD_ARCHIVES[0],
        OLD_ARCHIVES[1],
        ns::MAM,
        ns::SID,
    ];
    if prosody { PROSODY } else { EJABBERD }
}

/// What ejabberd says of itself, which is nothing unless it is told to.
pub(super) fn server_info(w: &mut Writer<'_>) {
    begin(w, "http://jabber.org/network/serverinfo");
    w.end();
}

/// Writes a room's particulars (XEP-0045, section 15.5.4).
pub(super) fn room_info(w: &mut Writer<'_>, prosody: bool, occupants: &str) {
    begin(w, ROOM_INFO);
    if prosody {
        let invites = "{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites";
        field(w, "muc#roominfo_description", "text-single", true, Some(""));
        field(w, "muc#roomconfig_changesubject", "boolean", false, None);
        field(w, "muc#roomconfig_roomname", "text-single", true, None);
        field(w, "muc#roominfo_lang", "text-single", false, Some("en"));
        field(
            w,
            "muc#roominfo_occupants",
            "text-single",
            true,
            Some(occupants),
        );
        field(w, invites, "boolean", true, Some("0"));
        field(w, "muc#roomconfig_allowinvites", "boolean", true, Some("1"));
    } else {
        field(w, "muc#roomconfig_roomname", "text-single", true, None);
        field(
            w,
            "muc#roominfo_occupants",
            "text-single",
            true,
            Some(occupants),
        );
        field(w, "muc#roomconfig_allowinvites", "boolean", true, Some("0"));
        w.start("field")
            .attr("var", "muc#roomconfig_allowpm")
            .attr("type", "list-single")
            .attr("label", "Allow private messages");
        w.start("value").text("anyone").end();
        for option in ["anyone", "participants", "moderators", "none"] {
            w.start("option").attr("label", option);
            w.start("value").text(option).end();
            w.end();
        }
        w.end();
        field(w, "muc#roominfo_changesubject", "boolean", true, Some("1"));
        let queries = "muc#roomconfig_allow_query_users";
        field(w, queries, "boolean", true, Some("1"));
        field(w, "muc#roominfo_description", "text-single", true, None);
        field(w, "muc#roominfo_lang", "text-single", true, Some("en"));
    }
    w.end();
}

/// Opens a form that says what it is.
fn begin(w: &mut Writer<'_>, kind: &str) {
    w.start("x").attr("xmlns", ns::DATA).attr("type", "result");
    field(w, "FORM_TYPE", "hidden", false, Some(kind));
}

fn field(w: &mut Writer<'_>, name: &str, kind: &str, labelled: bool, value: Option<&str>) {
    w.start("field").attr("var", name).attr("type", kind);
    if labelled {
        w.attr("label", name);
    }
    if let Some(value) = value {
        w.start("value").text(value).end();
    }
    w.end();
}
