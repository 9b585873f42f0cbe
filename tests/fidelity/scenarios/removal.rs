//! Occupants put out, rooms taken away.

use super::{OWNER, Scenario, administer, get, in_room, join, post};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("kick", kick),
    ("ban", ban),
    ("affiliation", affiliation),
    ("role-refused", role_refused),
    ("owner-kicks-owner", owner_kicks_owner),
    ("destroy", destroy),
    ("destroy-refused", destroy_refused),
];

fn kick(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1", "u2"]);
    let kick = administer(
        "a1",
        "<item nick='u1' role='none'><reason>noise</reason></item>",
    );
    stage.step("with a reason", &[("u0", &kick)]);
    stage.step("speaks all the same", &[("u1", &post("m1", "what?"))]);
    stage.step("comes back", &[("u1", &join("u1"))]);
    let kick = administer("a2", "<item nick='u1' role='none'/>");
    stage.step("without a reason", &[("u0", &kick)]);
    let kick = administer("a3", "<item nick='nobody' role='none'/>");
    stage.step("nobody", &[("u0", &kick)]);
}

fn ban(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1", "u2"]);
    let ban = administer(
        "a1",
        "<item jid='{u1.bare}' affiliation='outcast'><reason>noise</reason></item>",
    );
    stage.step("an occupant", &[("u0", &ban)]);
    stage.step("comes back", &[("u1", &join("u1"))]);
    stage.step("speaks", &[("u1", &post("m1", "what?"))]);
    let none = administer("a2", "<item jid='{u1.bare}' affiliation='none'/>");
    stage.step("no more", &[("u0", &none)]);
    stage.step("comes back again", &[("u1", &join("u1"))]);
}

fn affiliation(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let member = administer("a1", "<item jid='{u1.bare}' affiliation='member'/>");
    stage.step("a member", &[("u0", &member)]);
    let admin = administer("a2", "<item jid='{u1.bare}' affiliation='admin'/>");
    stage.step("an admin", &[("u0", &admin)]);
    let list = "<iq type='get' id='a3' to='{room}'>\
                <query xmlns='http://jabber.org/protocol/muc#admin'>\
                <item affiliation='admin'/></query></iq>";
    stage.step("who is admin", &[("u0", list)]);
    let odd = administer("a4", "<item jid='{u1.bare}' affiliation='king'/>");
    stage.step("what there is not", &[("u0", &odd)]);
}

fn role_refused(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1", "u2"]);
    let kick = administer("a1", "<item nick='u2' role='none'/>");
    stage.step("a participant kicks", &[("u1", &kick)]);
    let ban = administer("a2", "<item jid='{u2.bare}' affiliation='outcast'/>");
    stage.step("a participant bans", &[("u1", &ban)]);
    stage.step("a participant configures", &[("u1", &super::unlock())]);
    let kick = administer("a3", "<item nick='u0' role='none'/>");
    stage.step("a participant kicks the owner", &[("u1", &kick)]);
}

fn owner_kicks_owner(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    let kick = administer("a1", "<item nick='u0' role='none'/>");
    stage.step("the owner kicks itself", &[("u0", &kick)]);
}

fn destruction(more: &str) -> String {
    format!(
        "<iq type='set' id='destroy' to='{{room}}'><query xmlns='{OWNER}'>\
         <destroy>{more}</destroy></query></iq>"
    )
}

fn destroy(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("said", &[("u0", &post("m0", "before"))]);
    let with_reason = destruction("<reason>it is over</reason>");
    stage.step_ending_room("by the owner", "u0", &with_reason);
    stage.step("said to it", &[("u1", &post("m1", "hello"))]);
    let ping = get("p1", "{room}/u1", "<ping xmlns='urn:xmpp:ping'/>");
    stage.step("asked of it", &[("u1", &ping)]);
    let archive = "<iq type='set' id='q1' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>";
    stage.step("its archive", &[("u1", archive)]);
    let info = get(
        "d1",
        "{room}",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    );
    stage.step("its features", &[("u1", &info)]);
    stage.step("made anew by the other", &[("u1", &join("u1"))]);
    stage.step("taken as it is", &[("u1", &super::unlock())]);
    stage.step(
        "the archive of the new one",
        &[("u1", &archive.replace("q1", "q2"))],
    );
}

fn destroy_refused(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("by another", &[("u1", &destruction(""))]);
    let missing = destruction("").replace("{room}", "{room2}");
    stage.step("a room that is not there", &[("u0", &missing)]);
}
