//! How streams end, and what ends them.

use super::Scenario;
use crate::client::HEADER;
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("stream-close", close),
    ("stream-unavailable", unavailable),
    ("stream-unexpected", unexpected),
    ("stream-malformed", malformed),
    ("stream-forbidden-xml", forbidden_xml),
    ("stream-wrong-host", wrong_host),
    ("stream-wrong-namespace", wrong_namespace),
    ("stream-no-xml", no_xml),
    ("stream-before-bind", before_bind),
    ("stream-other-sender", other_sender),
];

fn close(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step_until_end("after the login", "u0", "</stream:stream>");
    stage.open("u1");
    stage.step_until_end("before the login", "u1", "</stream:stream>");
}

fn unavailable(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step("available", &[("u0", "<presence/>")]);
    stage.step("unavailable", &[("u0", "<presence type='unavailable'/>")]);
    stage.step_until_end("the end", "u0", "</stream:stream>");
}

fn unexpected(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step_or_end("an unknown element", "u0", "<unknown/>");
    stage.enter("u1");
    stage.step_or_end(
        "an element of elsewhere",
        "u1",
        "<unknown xmlns='urn:example:unknown'/>",
    );
    stage.enter("u2");
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>";
    stage.step_or_end("another login", "u2", auth);
}

fn malformed(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step_until_end("tags that do not match", "u0", "<message><body></message>");
    stage.enter("u1");
    let escape = "<message type='groupchat' to='{room}'><body>\u{1b}[2J</body></message>";
    stage.step_until_end("a character that XML forbids", "u1", escape);
    stage.enter("u2");
    let unbound = "<message><x:y/></message>";
    stage.step_until_end("a prefix that is not bound", "u2", unbound);
}

fn forbidden_xml(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step_or_end("a comment", "u0", "<!-- nothing -->");
    stage.enter("u1");
    stage.step_or_end("an instruction", "u1", "<?php echo?>");
    stage.enter("u2");
    let entity = "<message><body>&nbsp;</body></message>";
    stage.step_or_end("an entity", "u2", entity);
}

fn wrong_host(stage: &mut Stage<'_>) {
    stage.connect("u0");
    let header = HEADER.replace("parley.local", "else.where");
    stage.step_until_end("a domain that is not served", "u0", &header);
}

fn wrong_namespace(stage: &mut Stage<'_>) {
    stage.connect("u0");
    let header = HEADER.replace("jabber:client", "jabber:server");
    stage.step_unbound("a stream of servers", "u0", &header, 2);
    stage.connect("u1");
    let header = HEADER.replace("http://etherx.jabber.org/streams", "urn:example:streams");
    stage.step_unbound("a stream of another kind", "u1", &header, 2);
}

fn no_xml(stage: &mut Stage<'_>) {
    stage.connect("u0");
    stage.step_until_end("another protocol", "u0", "GET / HTTP/1.1\r\n\r\n");
}

fn before_bind(stage: &mut Stage<'_>) {
    stage.log_in("u0");
    let message = "<message to='{domain}' id='m'><body>hello</body></message>";
    stage.say("u0", message, &mut String::new());
    stage.client("u0").bind("b", Some("u0"));
    stage.name("alice@parley.local/u0", "u0");
    stage.step_done("a message to the server before a resource is bound");
}

fn other_sender(stage: &mut Stage<'_>) {
    stage.enter("u0");
    let other =
        "<message from='bob@parley.local/x' to='{domain}' id='m'><body>hello</body></message>";
    stage.step_or_end("in another's name", "u0", other);
}
