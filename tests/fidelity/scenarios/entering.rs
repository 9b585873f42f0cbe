//! Rooms: made, entered, refused.

use super::{Scenario, configure, in_room, join, join_with, leave, post, unlock};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("create", create),
    ("create-reserved", create_reserved),
    ("locked", locked),
    ("second-joins", second_joins),
    ("nick-conflict", nick_conflict),
    ("second-session", second_session),
    ("nick-change", nick_change),
    ("nick-prepared", nick_prepared),
    ("leave-and-rejoin", leave_and_rejoin),
    ("enter-again", enter_again),
    ("join-refusals", join_refusals),
    ("members-only", members_only),
    ("password", password),
    ("history", history),
    ("lost-link", lost_link),
];

fn create(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("a new room", &[("u0", &join("u0"))]);
    stage.step("taken as it is", &[("u0", &unlock())]);
}

fn create_reserved(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("a new room", &[("u0", &join("u0"))]);
    let cancel = "<iq type='set' id='c' to='{room}'>\
                  <query xmlns='http://jabber.org/protocol/muc#owner'>\
                  <x xmlns='jabber:x:data' type='cancel'/></query></iq>";
    stage.step("not wanted after all", &[("u0", cancel)]);
}

fn locked(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.enter("u1");
    stage.step("a new room", &[("u0", &join("u0"))]);
    stage.step("another comes too early", &[("u1", &join("u1"))]);
    stage.step("the owner speaks", &[("u0", &post("m1", "alone"))]);
    stage.step("taken as it is", &[("u0", &unlock())]);
    stage.step("another comes", &[("u1", &join("u1"))]);
}

fn second_joins(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.enter("u1");
    stage.enter("u2");
    stage.step("the second", &[("u1", &join("u1"))]);
    stage.step("the third", &[("u2", &join("u2"))]);
    let away = "<presence to='{room}/u1' id='away'><show>away</show></presence>";
    stage.step("the second is away", &[("u1", away)]);
    stage.step("the second leaves", &[("u1", &leave("u1"))]);
    stage.step("the second comes back", &[("u1", &join("u1"))]);
}

fn nick_conflict(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.enter("u1");
    stage.step("the nick of another", &[("u1", &join("u0"))]);
    stage.step("another nick", &[("u1", &join("u1"))]);
    let change = "<presence to='{room}/u0' id='change'/>";
    stage.step("changes to the nick of another", &[("u1", change)]);
}

fn second_session(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.enter("u0b");
    stage.step("the same account and nick", &[("u0b", &join("u0"))]);
    stage.step("the first speaks", &[("u0", &post("m1", "from the first"))]);
    stage.step(
        "the second speaks",
        &[("u0b", &post("m2", "from the second"))],
    );
    stage.step("the second leaves", &[("u0b", &leave("u0"))]);
    stage.enter("u0c");
    stage.step("the same account, another nick", &[("u0c", &join("u0c"))]);
    stage.step("comes back", &[("u0b", &join("u0"))]);
    stage.step("the first leaves", &[("u0", &leave("u0"))]);
}

fn nick_change(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let change = "<presence to='{room}/new' id='change'/>";
    stage.step("another nick", &[("u1", change)]);
    stage.step("speaks", &[("u1", &post("m1", "hello"))]);
    let change = "<presence to='{room}/newer' id='change2'>\
                  <x xmlns='http://jabber.org/protocol/muc'/></presence>";
    stage.step("another nick, as if entering", &[("u1", change)]);
    let same = "<presence to='{room}/newer' id='same'/>";
    stage.step("the same nick", &[("u1", same)]);
}

fn nick_prepared(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.enter("u1");
    stage.step("a nick in wide letters", &[("u1", &join("\u{ff22}ob"))]);
    let bare = "<presence to='{room}'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    stage.enter("u2");
    stage.step("no nick", &[("u2", bare)]);
    stage.step("a blank nick", &[("u2", &join(" "))]);
}

fn leave_and_rejoin(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("leaves", &[("u1", &leave("u1"))]);
    stage.step("leaves again", &[("u1", &leave("u1"))]);
    stage.step("comes back", &[("u1", &join("u1"))]);
    stage.step("leaves by another nick", &[("u1", &leave("other"))]);
    stage.step("the owner leaves", &[("u0", &leave("u0"))]);
    stage.step("the last leaves", &[("u1", &leave("u1"))]);
    stage.step("the first comes back", &[("u1", &join("u1"))]);
}

fn enter_again(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("the occupant enters again", &[("u1", &join("u1"))]);
    let old = "<presence to='{room}/u1' id='old'/>";
    stage.step("a presence without more", &[("u1", old)]);
    stage.enter("u2");
    let old = "<presence to='{room}/u2' id='old2'/>";
    stage.step("a newcomer as of old (GC 1.0)", &[("u2", old)]);
}

fn join_refusals(stage: &mut Stage<'_>) {
    stage.enter("u0");
    let service = "<presence to='{muc}/u0' id='s'><x xmlns='http://jabber.org/protocol/muc'/>\
                   </presence>";
    stage.step("the room service itself", &[("u0", service)]);
    stage.step("leaves a room that is not there", &[("u0", &leave("u0"))]);
}

fn members_only(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("a new room", &[("u0", &join("u0"))]);
    let field = "<field var='muc#roomconfig_membersonly'><value>1</value></field>";
    stage.step("for members only", &[("u0", &configure(field))]);
    stage.enter("u1");
    stage.step("not a member", &[("u1", &join("u1"))]);
    let member = "<item affiliation='member' jid='{u1.bare}'/>";
    let member = super::administer("a1", member);
    stage.step("becomes a member", &[("u0", &member)]);
    stage.step("a member", &[("u1", &join("u1"))]);
    let none = super::administer("a2", "<item affiliation='none' jid='{u1.bare}'/>");
    stage.step("is a member no more", &[("u0", &none)]);
    stage.step("speaks all the same", &[("u1", &post("m1", "still here?"))]);
}

fn password(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.enter("u1");
    let fields = "<field var='muc#roomconfig_passwordprotectedroom'><value>1</value></field>\
                  <field var='muc#roomconfig_roomsecret'><value>sesame</value></field>";
    stage.step("from now on with a password", &[("u0", &configure(fields))]);
    stage.step("none", &[("u1", &join("u1"))]);
    let wrong = join_with("u1", "<password>seed</password>");
    stage.step("a wrong one", &[("u1", &wrong)]);
    let right = join_with("u1", "<history maxstanzas='0'/><password>sesame</password>");
    stage.step("the right one", &[("u1", &right)]);
}

fn history(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    for n in 1..=3 {
        let said = post(&format!("m{n}"), &format!("message {n}"));
        stage.step("said", &[("u0", &said)]);
    }
    stage.steps.clear();
    stage.enter("u1");
    stage.step("none", &[("u1", &join("u1"))]);
    stage.step("leaves", &[("u1", &leave("u1"))]);
    let two = join_with("u1", "<history maxstanzas='2'/>");
    stage.step("two", &[("u1", &two)]);
    stage.step("leaves", &[("u1", &leave("u1"))]);
    stage.step("what the room gives", &[("u1", &join_with("u1", ""))]);
}

fn lost_link(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.client("u1").cut();
    stage.client("u0").until_stanza("presence");
    stage.sync_rooms("u0");
    stage.step_done("the second is gone without a word");
}
