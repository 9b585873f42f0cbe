//! Requests to the server, the room service and rooms.

use super::{Scenario, get, in_room};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("ping", ping),
    ("disco-info", disco_info),
    ("disco-items", disco_items),
    ("disco-room", disco_room),
    ("unknown-requests", unknown_requests),
    ("private-requests", private_requests),
];

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
const UNKNOWN: &str = "<query xmlns='urn:example:unknown'/>";

fn ping(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("the server", &[("u0", &get("p1", "{domain}", PING))]);
    let nobody = "<iq type='get' id='p2'><ping xmlns='urn:xmpp:ping'/></iq>";
    stage.step("nobody in particular", &[("u0", nobody)]);
    stage.step("the own account", &[("u0", &get("p3", "{u0.bare}", PING))]);
    stage.step("the room service", &[("u0", &get("p4", "{muc}", PING))]);
    stage.step(
        "a room that is not there",
        &[("u0", &get("p5", "{room}", PING))],
    );
    let nobody = get("p6", "{room}/nobody", PING);
    stage.step("an occupant of that", &[("u0", &nobody)]);
    let nobody = get("p7", "nobody@{domain}/x", PING);
    stage.step("a client that is not there", &[("u0", &nobody)]);
}

fn disco_info(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("the domain", &[("u0", &get("d1", "{domain}", INFO))]);
    stage.step("the room service", &[("u0", &get("d2", "{muc}", INFO))]);
    stage.step(
        "a room that is not there",
        &[("u0", &get("d3", "{room}", INFO))],
    );
    stage.step("the own account", &[("u0", &get("d4", "{u0.bare}", INFO))]);
}

fn disco_items(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("the domain", &[("u0", &get("d1", "{domain}", ITEMS))]);
    stage.step(
        "a room that is not there",
        &[("u0", &get("d3", "{room}", ITEMS))],
    );
}

fn disco_room(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.enter("u2");
    stage.step("an occupant asks", &[("u0", &get("d1", "{room}", INFO))]);
    stage.step("somebody else asks", &[("u2", &get("d2", "{room}", INFO))]);
    stage.step(
        "items, an occupant asks",
        &[("u0", &get("d3", "{room}", ITEMS))],
    );
    stage.step(
        "items, somebody else asks",
        &[("u2", &get("d4", "{room}", ITEMS))],
    );
}

fn unknown_requests(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.step("the server", &[("u0", &get("q1", "{domain}", UNKNOWN))]);
    let nobody = "<iq type='get' id='q2'><query xmlns='urn:example:unknown'/></iq>";
    stage.step("nobody in particular", &[("u0", nobody)]);
    stage.step("the room service", &[("u0", &get("q3", "{muc}", UNKNOWN))]);
    stage.step("a room", &[("u0", &get("q4", "{room}", UNKNOWN))]);
    stage.step(
        "a room that is not there",
        &[("u0", &get("q5", "{room2}", UNKNOWN))],
    );
    let set = "<iq type='set' id='q6' to='{room}'><query xmlns='urn:example:unknown'/></iq>";
    stage.step("a room, to be changed", &[("u0", set)]);
    stage.step("nothing asked", &[("u0", &get("q7", "{domain}", ""))]);
    let odd = "<iq type='odd' id='q8' to='{domain}'><ping xmlns='urn:xmpp:ping'/></iq>";
    stage.step("an unknown type", &[("u0", odd)]);
    let other = "<iq type='get' id='q9' to='{domain}' from='bob@parley.local'>\
                 <query xmlns='urn:example:unknown'/></iq>";
    stage.enter("u1");
    stage.step("in another's name", &[("u1", other)]);
}

fn private_requests(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let ask = get("p1", "{room}/u1", UNKNOWN);
    stage.step_unanswered("an occupant is asked through the room", &[("u0", &ask)]);
    let ask = get("p2", "{room}/nobody", UNKNOWN);
    stage.step("nobody is asked through the room", &[("u0", &ask)]);
}
