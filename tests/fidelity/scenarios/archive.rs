//! Reading a room's archive, page by page.

use super::{Scenario, in_room, join, leave, post};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("archive-empty", empty),
    ("archive-whole", whole),
    ("archive-forward", forward),
    ("archive-backward", backward),
    ("archive-between", between),
    ("archive-window", window),
    ("archive-page-cap", page_cap),
    ("archive-contents", contents),
    ("archive-ends", ends),
    ("archive-form", form),
];

/// Asks the archive; the second is what RSM is asked for.
pub(super) fn query(id: &str, set: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{{room}}'><query xmlns='urn:xmpp:mam:2' queryid='{id}'>\
         <set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query></iq>"
    )
}

/// Asks for a window of time.
pub(super) fn query_form(id: &str, fields: &[(&str, &str)], set: &str) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("<field var='{name}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<iq type='set' id='{id}' to='{{room}}'><query xmlns='urn:xmpp:mam:2' queryid='{id}'>\
         <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:mam:2</value></field>{fields}</x>{set}</query></iq>"
    )
}

/// A room in which five messages were said, with their places known.
pub(super) fn five(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    said(stage, 5);
}

fn said(stage: &mut Stage<'_>, count: usize) {
    for n in 1..=count {
        let message = post(&format!("m{n}"), &format!("message {n}"));
        stage.step("said", &[("u0", &message)]);
    }
    stage.steps.clear();
}

fn empty(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    let bare = "<iq type='set' id='q0' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>";
    stage.step("all", &[("u0", bare)]);
    stage.step("a page", &[("u0", &query("q1", "<max>10</max>"))]);
    let last = query("q2", "<max>10</max><before/>");
    stage.step("the last page", &[("u0", &last)]);
    stage.step("the count", &[("u0", &query("q3", "<max>0</max>"))]);
}

fn whole(stage: &mut Stage<'_>) {
    five(stage);
    let bare = "<iq type='set' id='q0' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>";
    stage.step("without a query's id", &[("u0", bare)]);
    stage.step("with one", &[("u0", &query("q1", ""))]);
}

fn forward(stage: &mut Stage<'_>) {
    five(stage);
    stage.step("two", &[("u0", &query("q1", "<max>2</max>"))]);
    let next = query("q2", "<max>2</max><after>{archive-id 2}</after>");
    stage.step("two more", &[("u0", &next)]);
    let next = query("q3", "<max>2</max><after>{archive-id 4}</after>");
    stage.step("the rest", &[("u0", &next)]);
    let next = query("q4", "<max>2</max><after>{archive-id 5}</after>");
    stage.step("after the last", &[("u0", &next)]);
    let all = query("q5", "<max>5</max>");
    stage.step("as many as there are", &[("u0", &all)]);
    let exact = query("q6", "<max>2</max><after>{archive-id 3}</after>");
    stage.step("just as many as are left", &[("u0", &exact)]);
}

fn backward(stage: &mut Stage<'_>) {
    five(stage);
    let last = query("q1", "<max>2</max><before/>");
    stage.step("the last two", &[("u0", &last)]);
    let earlier = query("q2", "<max>2</max><before>{archive-id 4}</before>");
    stage.step("two before", &[("u0", &earlier)]);
    let earlier = query("q3", "<max>2</max><before>{archive-id 2}</before>");
    stage.step("the rest", &[("u0", &earlier)]);
    let earlier = query("q4", "<max>2</max><before>{archive-id 1}</before>");
    stage.step("before the first", &[("u0", &earlier)]);
    let all = query("q5", "<max>10</max><before/>");
    stage.step("a page larger than all", &[("u0", &all)]);
    let unlimited = query("q6", "<before/>");
    stage.step("a page of the server's size", &[("u0", &unlimited)]);
}

fn between(stage: &mut Stage<'_>) {
    five(stage);
    let between = query(
        "q1",
        "<max>10</max><after>{archive-id 1}</after><before>{archive-id 4}</before>",
    );
    stage.step("after one and before another", &[("u0", &between)]);
}

fn window(stage: &mut Stage<'_>) {
    five(stage);
    let past = "2001-01-01T00:00:00Z";
    let future = "2099-01-01T00:00:00Z";
    let page = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set>";
    let asked = query_form("q1", &[("start", past)], page);
    stage.step("since long ago", &[("u0", &asked)]);
    let asked = query_form("q2", &[("start", future)], page);
    stage.step("since the future", &[("u0", &asked)]);
    let asked = query_form("q3", &[("end", past)], page);
    stage.step("until long ago", &[("u0", &asked)]);
    let asked = query_form("q4", &[("end", future)], page);
    stage.step("until the future", &[("u0", &asked)]);
    let asked = query_form("q5", &[("start", past), ("end", future)], "");
    stage.step("a window around all", &[("u0", &asked)]);
    let asked = query_form("q6", &[("start", future), ("end", past)], "");
    stage.step("a window the wrong way round", &[("u0", &asked)]);
    let after = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max>\
                 <after>{archive-id 2}</after></set>";
    let asked = query_form("q7", &[("start", past)], after);
    stage.step("since long ago, after one", &[("u0", &asked)]);
    let last = "<set xmlns='http://jabber.org/protocol/rsm'><max>2</max><before/></set>";
    let asked = query_form("q8", &[("end", future)], last);
    stage.step("the last until the future", &[("u0", &asked)]);
}

/// 60 messages are more than Prosody's page and less than ejabberd's largest.
fn page_cap(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    said(stage, 60);
    stage.summary("no size asked for", "u0", &query("q1", ""));
    stage.summary("a hundred asked for", "u0", &query("q2", "<max>100</max>"));
    stage.summary(
        "the last hundred",
        "u0",
        &query("q3", "<max>100</max><before/>"),
    );
    let rest = query("q4", "<max>100</max><after>{archive-id 2}</after>");
    stage.summary("a hundred after the second", "u0", &rest);
}

fn contents(stage: &mut Stage<'_>) {
    in_room(stage, &["u0", "u1"]);
    let rich = "<message type='groupchat' id='m1' to='{room}'><body xml:lang='de'>hallo</body>\
                <body>hello &lt;&amp;&gt;</body><thread>t</thread>\
                <origin-id xmlns='urn:xmpp:sid:0' id='o1'/>\
                <stanza-id xmlns='urn:xmpp:sid:0' id='f' by='{room}'/>\
                <active xmlns='http://jabber.org/protocol/chatstates'/></message>";
    stage.step("said with much besides", &[("u1", rich)]);
    let empty = "<message type='groupchat' id='m2' to='{room}'><body/></message>";
    stage.step("said with an empty body", &[("u1", empty)]);
    let subject = "<message type='groupchat' id='m3' to='{room}'><subject>cats</subject></message>";
    stage.step("a subject", &[("u0", subject)]);
    let state = "<message type='groupchat' id='m4' to='{room}'>\
                 <active xmlns='http://jabber.org/protocol/chatstates'/></message>";
    stage.step("no body", &[("u1", state)]);
    let no_store = "<message type='groupchat' id='m5' to='{room}'><body>do not keep</body>\
                    <no-store xmlns='urn:xmpp:hints'/></message>";
    stage.step("said, not to be kept", &[("u1", no_store)]);
    let retract = "<message type='groupchat' id='m6' to='{room}'>\
                   <apply-to xmlns='urn:xmpp:fasten:0' id='o1'>\
                   <retract xmlns='urn:xmpp:message-retract:0'/></apply-to>\
                   <store xmlns='urn:xmpp:hints'/></message>";
    stage.step("taken back", &[("u1", retract)]);
    stage.step("the second leaves", &[("u1", &leave("u1"))]);
    stage.step("the second comes back", &[("u1", &join("u1"))]);
    stage.step("what the archive has", &[("u0", &query("q1", ""))]);
}

fn ends(stage: &mut Stage<'_>) {
    five(stage);
    let none = query("q1", "<max>0</max>");
    stage.step("no message asked for", &[("u0", &none)]);
    let none = query("q2", "<max>0</max><before/>");
    stage.step("no message from the end", &[("u0", &none)]);
    let none = query("q3", "<max>0</max><after>{archive-id 3}</after>");
    stage.step("no message after the third", &[("u0", &none)]);
    let one = query("q4", "<max>1</max>");
    stage.step("the first", &[("u0", &one)]);
    let one = query("q5", "<max>1</max><before/>");
    stage.step("the last", &[("u0", &one)]);
}

fn form(stage: &mut Stage<'_>) {
    five(stage);
    let fields = "<iq type='get' id='f' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>";
    stage.step("what can be asked", &[("u0", fields)]);
}
