//! What is said in rooms, and what is not let through.

use super::{Scenario, get, in_room, leave, post};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("post", posted),
    ("post-twice", posted_twice),
    ("post-forged", posted_forged),
    ("post-not-in", posted_not_in),
    ("post-odd", posted_odd),
    ("subject", subject),
    ("private-message", private_message),
    ("visitor", visitor),
    ("self-ping", self_ping),
    ("error-answered", error_answered),
    ("presence-error-answered", presence_error_answered),
];

const ORIGIN: &str = "<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>";

fn message(id: &str, more: &str) -> String {
    format!("<message type='groupchat' id='{id}' to='{{room}}'>{more}</message>")
}

fn posted(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let said = message("m1", &format!("<body>hello &lt;&amp;&gt;</body>{ORIGIN}"));
    stage.step("with an origin-id", &[("u0", &said)]);
    stage.step("without one", &[("u1", &post("m2", "hello"))]);
    let said = "<message type='groupchat' to='{room}'><body>no id</body></message>";
    stage.step("without an id", &[("u1", said)]);
    let said = message(
        "m4",
        "<body xml:lang='de'>hallo</body><body>hello</body><thread>t</thread>\
         <active xmlns='http://jabber.org/protocol/chatstates'/>\
         <reply xmlns='urn:xmpp:reply:0' id='x' to='{room}/u0'/>",
    );
    stage.step("with much besides", &[("u1", &said)]);
}

fn posted_twice(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    let said = message("m1", &format!("<body>hello</body>{ORIGIN}"));
    stage.step("once", &[("u0", &said)]);
    stage.step("again", &[("u0", &said)]);
}

fn posted_forged(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let forged = "<body>hello</body><stanza-id xmlns='urn:xmpp:sid:0' id='f' by='{room}'/>";
    stage.step(
        "a place of the own choice",
        &[("u0", &message("m1", forged))],
    );
    let forged = "<body>hello</body><stanza-id xmlns='urn:xmpp:sid:0' id='f' by='else.where'/>";
    stage.step("a place elsewhere", &[("u0", &message("m2", forged))]);
    let forged = "<body>hello</body><delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/>";
    stage.step(
        "a time of the own choice",
        &[("u0", &message("m3", forged))],
    );
    let forged = "<body>hello</body><x xmlns='http://jabber.org/protocol/muc#user'>\
                  <item affiliation='owner' jid='root@example'/></x>";
    stage.step(
        "a role of the own choice",
        &[("u0", &message("m4", forged))],
    );
    let forged = "<body>hello</body><occupant-id xmlns='urn:xmpp:occupant-id:0' id='f'/>";
    stage.step(
        "an occupant of the own choice",
        &[("u0", &message("m5", forged))],
    );
}

fn posted_not_in(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    stage.enter("u1");
    stage.step("by somebody else", &[("u1", &post("m1", "hello"))]);
    let missing = post("m2", "hello").replace("{room}", "{room2}");
    stage.step("to a room that is not there", &[("u1", &missing)]);
    let service = post("m3", "hello").replace("{room}", "{muc}");
    stage.step("to the room service", &[("u1", &service)]);
    stage.step("leaves", &[("u0", &leave("u0"))]);
    stage.step("by one who has left", &[("u0", &post("m4", "hello"))]);
}

fn posted_odd(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    stage.step("an empty body", &[("u0", &message("m1", "<body/>"))]);
    stage.step("no body", &[("u0", &message("m2", ""))]);
    let active = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
    stage.step("a state of the chat", &[("u0", &message("m3", active))]);
    let store = "<x xmlns='urn:example:x'/><store xmlns='urn:xmpp:hints'/>";
    stage.step(
        "to be kept, without a body",
        &[("u0", &message("m4", store))],
    );
    let no_store = "<body>hello</body><no-store xmlns='urn:xmpp:hints'/>";
    stage.step("not to be kept", &[("u0", &message("m5", no_store))]);
    let marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='m5'/>";
    stage.step("a marker", &[("u0", &message("m6", marker))]);
    let normal = "<message id='m7' to='{room}'><body>hello</body></message>";
    stage.step("not of type groupchat", &[("u0", normal)]);
    let occupant = post("m8", "hello").replace("{room}", "{room}/u1");
    stage.step("of type groupchat, to an occupant", &[("u0", &occupant)]);
    let retract = "<apply-to xmlns='urn:xmpp:fasten:0' id='x'>\
                   <retract xmlns='urn:xmpp:message-retract:0'/></apply-to>";
    stage.step("taken back", &[("u0", &message("m9", retract))]);
}

fn subject(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let change = message("s1", "<subject>cats</subject>");
    stage.step("by the owner", &[("u0", &change)]);
    stage.step(
        "by another",
        &[("u1", &message("s2", "<subject>dogs</subject>"))],
    );
    let both = message("s3", "<subject>birds</subject><body>and a text</body>");
    stage.step("with a body", &[("u0", &both)]);
    stage.step("taken away", &[("u0", &message("s4", "<subject/>"))]);
    stage.step("another one", &[("u0", &change)]);
    stage.enter("u2");
    stage.step("told to a newcomer", &[("u2", &super::join("u2"))]);
}

fn private_message(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let said = "<message type='chat' id='p1' to='{room}/u1'><body>psst</body></message>";
    stage.step("to an occupant", &[("u0", said)]);
    let said = "<message type='chat' id='p2' to='{room}/nobody'><body>psst</body></message>";
    stage.step("to nobody", &[("u0", said)]);
    stage.enter("u2");
    let said = "<message type='chat' id='p3' to='{room}/u1'><body>psst</body></message>";
    stage.step("from outside", &[("u2", said)]);
}

fn visitor(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("a new room", &[("u0", &super::join("u0"))]);
    let field = "<field var='muc#roomconfig_moderatedroom'><value>1</value></field>\
                 <field var='muc#roomconfig_membersbydefault'><value>0</value></field>";
    stage.step("moderated", &[("u0", &super::configure(field))]);
    stage.enter("u1");
    stage.step("a newcomer", &[("u1", &super::join("u1"))]);
    let mute = super::administer("a1", "<item nick='u1' role='visitor'/>");
    stage.step("loses the voice", &[("u0", &mute)]);
    stage.step("speaks", &[("u1", &post("m1", "may I?"))]);
    let voice = super::administer("a2", "<item nick='u1' role='participant'/>");
    stage.step("is given a voice", &[("u0", &voice)]);
    stage.step("speaks again", &[("u1", &post("m2", "thanks"))]);
}

fn self_ping(stage: &mut Stage<'_>) {
    let ping = |id, nick: &str| {
        let to = format!("{{room}}/{nick}");
        get(id, &to, "<ping xmlns='urn:xmpp:ping'/>")
    };
    in_room(stage, &["u0", "u1"]);
    stage.step("in", &[("u0", &ping("p1", "u0"))]);
    stage.step(
        "the room itself",
        &[("u0", &get("p2", "{room}", "<ping xmlns='urn:xmpp:ping'/>"))],
    );
    stage.step("in, a nick of nobody", &[("u0", &ping("p3", "nobody"))]);
    stage.enter("u2");
    stage.step("not in, a nick of nobody", &[("u2", &ping("p4", "u2"))]);
    stage.step("not in, the nick of another", &[("u2", &ping("p5", "u1"))]);
    stage.step(
        "not in, the room itself",
        &[("u2", &get("p6", "{room}", "<ping xmlns='urn:xmpp:ping'/>"))],
    );
    stage.enter("u0b");
    stage.step(
        "another session of an occupant",
        &[("u0b", &ping("p7", "u0"))],
    );
    stage.step("leaves", &[("u0", &leave("u0"))]);
    stage.step("after leaving", &[("u0", &ping("p8", "u0"))]);
}

fn error_answered(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1", "u2"]);
    let error = "<message type='error' id='m1' to='{room}'><error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\
                 </message>";
    stage.step("a message of the room", &[("u1", error)]);
    let error = error.replace("{room}", "{room}/u0");
    stage.step("a message of an occupant", &[("u2", &error)]);
}

fn presence_error_answered(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let error = "<presence type='error' id='m1' to='{room}/u1'><error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\
                 </presence>";
    stage.step("a presence of the room", &[("u1", error)]);
    stage.step("speaks", &[("u1", &post("m2", "still in?"))]);
}
