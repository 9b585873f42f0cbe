//! Questions to an archive that it answers otherwise, or not at all.

use super::archive::{five, query, query_form};
use super::{Scenario, in_room, post};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("archive-unknown-id", unknown_id),
    ("archive-empty-after", empty_after),
    ("archive-odd-max", odd_max),
    ("archive-odd-window", odd_window),
    ("archive-with", with),
    ("archive-missing-room", missing_room),
    ("archive-outsider", outsider),
    ("archive-members-only", members_only),
    ("archive-of-another", other),
    ("archive-old-namespace", old_namespace),
];

const UUID: &str = "00000000-0000-4000-8000-000000000000";

/// Ids of other makes, and what is almost a number.
const FOREIGN: [&str; 6] = [
    "9f1c2d3e-4b5a-4978-8695-a4b3c2d1e0f0",
    "d41d8cd98f00b204",
    "Zk3xQ-not_a_number-bWq2A",
    "-5",
    "1.5",
    "0",
];

fn unknown_id(stage: &mut Stage<'_>) {
    five(stage);
    let of_prosody = format!("<max>2</max><after>{UUID}</after>");
    stage.step(
        "after a uuid of elsewhere",
        &[("u0", &query("q1", &of_prosody))],
    );
    let old = query("q2", "<max>2</max><after>1000000000000000</after>");
    stage.step("after a number of long ago", &[("u0", &old)]);
    let new = query("q3", "<max>2</max><after>4000000000000000</after>");
    stage.step("after a number of the future", &[("u0", &new)]);
    let odd = query("q4", "<max>2</max><after>not an id</after>");
    stage.step("after what is no id", &[("u0", &odd)]);
    let odd = query("q5", &format!("<max>2</max><before>{UUID}</before>"));
    stage.step("before a uuid of elsewhere", &[("u0", &odd)]);
    let old = query("q6", "<max>2</max><before>1000000000000000</before>");
    stage.step("before a number of long ago", &[("u0", &old)]);
    let new = query("q7", "<max>2</max><before>4000000000000000</before>");
    stage.step("before a number of the future", &[("u0", &new)]);
    stage.step(
        "after a uuid, all",
        &[("u0", &query("q8", &format!("<after>{UUID}</after>")))],
    );
    for (n, foreign) in FOREIGN.iter().enumerate() {
        let after = format!("<max>2</max><after>{foreign}</after>");
        let name = format!("after {foreign}");
        stage.step(&name, &[("u0", &query(&format!("a{n}"), &after))]);
        let before = format!("<max>2</max><before>{foreign}</before>");
        let name = format!("before {foreign}");
        stage.step(&name, &[("u0", &query(&format!("b{n}"), &before))]);
    }
}

fn empty_after(stage: &mut Stage<'_>) {
    five(stage);
    stage.step(
        "after nothing",
        &[("u0", &query("q1", "<max>2</max><after/>"))],
    );
}

fn odd_max(stage: &mut Stage<'_>) {
    five(stage);
    stage.step("less than none", &[("u0", &query("q1", "<max>-1</max>"))]);
    stage.step("a word", &[("u0", &query("q2", "<max>many</max>"))]);
    stage.step("nothing", &[("u0", &query("q3", "<max/>"))]);
    stage.step(
        "an index",
        &[("u0", &query("q4", "<max>2</max><index>2</index>"))],
    );
}

fn odd_window(stage: &mut Stage<'_>) {
    five(stage);
    let asked = query_form("q1", &[("start", "yesterday")], "");
    stage.step("since yesterday", &[("u0", &asked)]);
    let asked = query_form("q2", &[("start", "")], "");
    stage.step("since nothing", &[("u0", &asked)]);
    let asked = query_form("q3", &[("colour", "green")], "");
    stage.step("a field unheard of", &[("u0", &asked)]);
    let asked = "<iq type='set' id='q4' to='{room}'><query xmlns='urn:xmpp:mam:2'>\
                 <x xmlns='jabber:x:data' type='submit'><field var='start'>\
                 <value>2001-01-01T00:00:00Z</value></field></x></query></iq>";
    stage.step("a form of no type", &[("u0", asked)]);
}

fn with(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("said", &[("u0", &post("m1", "by the first"))]);
    stage.step("said", &[("u1", &post("m2", "by the second"))]);
    stage.steps.clear();
    let asked = query_form("q1", &[("with", "{room}/u1")], "");
    stage.step("of an occupant", &[("u0", &asked)]);
    let asked = query_form("q2", &[("with", "{u1.bare}")], "");
    stage.step("of an account", &[("u0", &asked)]);
}

fn missing_room(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("a room that is not there", &[("u0", &query("q1", ""))]);
    let service = query("q2", "").replace("{room}", "{muc}");
    stage.step("the room service", &[("u0", &service)]);
}

fn outsider(stage: &mut Stage<'_>) {
    five(stage);
    stage.enter("u1");
    stage.step("not an occupant", &[("u1", &query("q1", "<max>1</max>"))]);
    let ban = super::administer("a1", "<item jid='{u1.bare}' affiliation='outcast'/>");
    stage.step("banned", &[("u0", &ban)]);
    stage.step(
        "not an occupant, and banned",
        &[("u1", &query("q3", "<max>1</max>"))],
    );
}

fn members_only(stage: &mut Stage<'_>) {
    five(stage);
    let field = "<field var='muc#roomconfig_membersonly'><value>1</value></field>";
    stage.step("for members only", &[("u0", &super::configure(field))]);
    stage.enter("u1");
    stage.step("not a member", &[("u1", &query("q1", "<max>1</max>"))]);
    let member = super::administer("a1", "<item affiliation='member' jid='{u1.bare}'/>");
    stage.step("becomes a member", &[("u0", &member)]);
    stage.step("a member", &[("u1", &query("q2", "<max>1</max>"))]);
}

fn other(stage: &mut Stage<'_>) {
    stage.enter("u0");
    let asked = "<iq type='set' id='q2' to='bob@parley.local'><query xmlns='urn:xmpp:mam:2'/></iq>";
    stage.step("the archive of another", &[("u0", asked)]);
}

fn old_namespace(stage: &mut Stage<'_>) {
    five(stage);
    let asked = query("q1", "<max>1</max>").replace("urn:xmpp:mam:2", "urn:xmpp:mam:1");
    stage.step("the version before", &[("u0", &asked)]);
}
