//! Stream management (XEP-0198): counted, acknowledged, resumed.

use super::{Scenario, in_room, join, post, unlock};
use crate::stage::Stage;

pub(super) const ALL: &[Scenario] = &[
    ("sm-enable", enable),
    ("sm-not-resumable", not_resumable),
    ("sm-too-early", too_early),
    ("sm-acks", acks),
    ("sm-ack-too-high", ack_too_high),
    ("sm-resume", resume),
    ("sm-resume-unacked", resume_unacked),
    ("sm-resume-taken", resume_taken),
    ("sm-resume-unknown", resume_unknown),
    ("sm-resume-ended", resume_ended),
    ("sm-bind-instead", bind_instead),
];

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' previd='{stream}' h='{h}'/>";

/// Logs in and manages the stream from the first stanza after it was bound.
fn managed(stage: &mut Stage<'_>, name: &str) {
    stage.enter(name);
    enable_now(stage, name);
}

fn enable_now(stage: &mut Stage<'_>, name: &str) {
    let kept = stage.steps.len();
    stage.client(name).handled = 0;
    stage.client(name).send(ENABLE);
    stage.client(name).until_stanza("enabled");
    stage.step_done("enabled");
    stage.steps.truncate(kept);
}

fn enable(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.client("u0").send(ENABLE);
    stage.client("u0").until_stanza("enabled");
    stage.step_done("enabled");
    stage.step("enabled again", &[("u0", ENABLE)]);
}

fn not_resumable(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.step(
        "without resumption",
        &[("u0", "<enable xmlns='urn:xmpp:sm:3'/>")],
    );
    stage.enter("u1");
    let short = "<enable xmlns='urn:xmpp:sm:3' resume='true' max='10'/>";
    stage.step("for ten seconds", &[("u1", short)]);
}

fn too_early(stage: &mut Stage<'_>) {
    stage.log_in("u0");
    stage.step_until_count("enabled before a resource is bound", "u0", ENABLE, 1);
    stage.enter("u1");
    stage.step_or_end("asked before it is enabled", "u1", ASK);
    stage.enter("u2");
    stage.step(
        "a resumption on a bound stream",
        &[("u2", "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>")],
    );
}

fn acks(stage: &mut Stage<'_>) {
    managed(stage, "u0");
    stage.step("asked", &[("u0", ASK)]);
    stage.step("enters", &[("u0", &join("u0")), ("u0", &unlock())]);
    stage.step("asked again", &[("u0", ASK)]);
    stage.client("u0").until_asked();
    stage.step(
        "acknowledged",
        &[("u0", "<a xmlns='urn:xmpp:sm:3' h='{h}'/>")],
    );
    stage.step(
        "acknowledged again",
        &[("u0", "<a xmlns='urn:xmpp:sm:3' h='{h}'/>")],
    );
    stage.step("asked at last", &[("u0", ASK)]);
}

fn ack_too_high(stage: &mut Stage<'_>) {
    managed(stage, "u0");
    stage.step_or_end(
        "more than was sent",
        "u0",
        "<a xmlns='urn:xmpp:sm:3' h='99'/>",
    );
    managed(stage, "u1");
    stage.step_or_end("no number", "u1", "<a xmlns='urn:xmpp:sm:3' h='many'/>");
    managed(stage, "u2");
    stage.step_or_end("without a number", "u2", "<a xmlns='urn:xmpp:sm:3'/>");
}

/// The link breaks, and another takes over the stream.
fn resumed(stage: &mut Stage<'_>, name: &str, step: &str) {
    let (handled, jid) = {
        let client = stage.client(name);
        (client.handled, client.jid.clone())
    };
    stage.log_in(name);
    let client = stage.client(name);
    client.handled = handled;
    stage.say(name, RESUME, &mut String::new());
    let client = stage.client(name);
    client.until_stanza("resumed");
    client.jid = jid;
    stage.step_done(step);
}

fn resume(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    managed(stage, "u1");
    stage.step("enters", &[("u1", &join("u1"))]);
    stage.steps.clear();
    stage.client("u1").cut();
    stage.step("said meanwhile", &[("u0", &post("m1", "are you there?"))]);
    resumed(stage, "u1", "resumed");
    stage.step("speaks", &[("u1", &post("m2", "I am"))]);
    stage.step("asks", &[("u1", ASK)]);
    stage.client("u1").cut();
    resumed(stage, "u1", "resumed again");
}

fn resume_unacked(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    managed(stage, "u1");
    stage.step("enters", &[("u1", &join("u1"))]);
    stage.steps.clear();
    stage.client("u1").cut();
    stage.client("u1").handled = 0;
    resumed(stage, "u1", "resumed as if nothing had come");
}

fn resume_taken(stage: &mut Stage<'_>) {
    managed(stage, "u0");
    stage.log_in("u0b");
    let handled = stage.client("u0").handled;
    stage.client("u0b").handled = handled;
    stage.say("u0b", RESUME, &mut String::new());
    stage.client("u0b").until_stanza("resumed");
    stage.client("u0").until_end();
    stage.step_done("resumed while the old link stands");
}

fn resume_unknown(stage: &mut Stage<'_>) {
    stage.log_in("u0");
    let unknown = "<resume xmlns='urn:xmpp:sm:3' previd='unknown' h='0'/>";
    stage.step_until_count("an unknown stream", "u0", unknown, 1);
    stage.client("u0").bind("b", Some("u0"));
    stage.name("alice@parley.local/u0", "u0");
    stage.step_done("bound instead");
    managed(stage, "u1");
    stage.log_in("u0b");
    let other = "<resume xmlns='urn:xmpp:sm:3' previd='{stream}' h='0'/>";
    stage.step_until_count("the stream of another account", "u0b", other, 1);
}

fn resume_ended(stage: &mut Stage<'_>) {
    managed(stage, "u0");
    stage.client("u0").close();
    stage.step_done("ended in good order");
    stage.log_in("u0");
    stage.say(
        "u0",
        "<resume xmlns='urn:xmpp:sm:3' previd='{stream}' h='0'/>",
        &mut String::new(),
    );
    stage.client("u0").until_count(1);
    stage.step_done("a stream that was ended");
}

fn bind_instead(stage: &mut Stage<'_>) {
    in_room(stage, &["u0"]);
    managed(stage, "u1");
    stage.step("enters", &[("u1", &join("u1"))]);
    stage.client("u1").cut();
    stage.steps.clear();
    stage.log_in("u1");
    stage.client("u1").bind("b", Some("u1"));
    stage.client("u0").until_stanza("presence");
    stage.sync_rooms("u0");
    stage.step_done("the same resource bound after the link broke");
    stage.step("speaks", &[("u1", &post("m1", "am I in?"))]);
    enable_now(stage, "u1");
    stage.step("enters again", &[("u1", &join("u1"))]);
}
