//! Streams up to the session.

use super::Scenario;
use crate::stage::{Stage, account};

pub(super) const ALL: &[Scenario] = &[
    ("features", features),
    ("wrong-password", wrong_password),
    ("unknown-account", unknown_account),
    ("unknown-mechanism", unknown_mechanism),
    ("abort", abort),
    ("bind", bind),
    ("bind-chosen", bind_chosen),
    ("bind-again", bind_again),
    ("bind-conflict", bind_conflict),
    ("bind-conflict-in-room", bind_conflict_in_room),
    ("before-login", before_login),
    ("session", session),
];

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

fn log_in(stage: &mut Stage<'_>, name: &str, password: &str) {
    stage.connect(name);
    stage.client(name).log_in(account(name), password);
}

fn features(stage: &mut Stage<'_>) {
    log_in(stage, "u0", "secret-alice");
    stage.step_done("logged in by SCRAM-SHA-1");
}

fn wrong_password(stage: &mut Stage<'_>) {
    stage.open("u0");
    let (response, _) = {
        let initial = crate::scram::first("alice");
        let auth = format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{initial}</auth>");
        let client = stage.client("u0");
        client.send(&auth);
        let challenge = client.until_stanza("challenge").text();
        crate::scram::answer("alice", "wrong", &challenge)
    };
    let response = format!("<response xmlns='{SASL}'>{response}</response>");
    stage.client("u0").send(&response);
    stage.client("u0").until_stanza("failure");
    stage.step_done("the proof of another password");
    stage.step_until_count(
        "another try on the same stream",
        "u0",
        &format!("<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>biwsbj1hbGljZSxyPXg=</auth>"),
        1,
    );
}

fn unknown_account(stage: &mut Stage<'_>) {
    stage.open("u0");
    let initial = crate::scram::first("nobody");
    let client = stage.client("u0");
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{initial}</auth>"
    ));
    client.until_count(1);
    stage.step_done("a login as nobody");
}

fn unknown_mechanism(stage: &mut Stage<'_>) {
    stage.open("u0");
    let auth = format!("<auth xmlns='{SASL}' mechanism='X-UNKNOWN'>eA==</auth>");
    stage.step_until_count("a mechanism that is not offered", "u0", &auth, 1);
}

fn abort(stage: &mut Stage<'_>) {
    stage.open("u0");
    let initial = crate::scram::first("alice");
    let client = stage.client("u0");
    client.send(&format!(
        "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{initial}</auth>"
    ));
    client.until_count(1);
    stage.step_done("a challenge");
    let abort = format!("<abort xmlns='{SASL}'/>");
    stage.step_until_count("no answer to it", "u0", &abort, 1);
}

fn bind(stage: &mut Stage<'_>) {
    stage.log_in("u0");
    stage.client("u0").bind("b", Some("here"));
    stage.name("alice@parley.local/here", "u0");
    stage.step_done("with a resource");
}

fn bind_chosen(stage: &mut Stage<'_>) {
    stage.log_in("u0");
    let client = stage.client("u0");
    client.bind("b", None);
    let jid = client.jid.clone();
    stage.name(&jid, "u0");
    stage.step_done("without a resource");
}

fn bind_again(stage: &mut Stage<'_>) {
    stage.enter("u0");
    let again = "<iq type='set' id='again'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <resource>other</resource></bind></iq>";
    stage.step("another resource on the same stream", &[("u0", again)]);
}

fn bind_conflict(stage: &mut Stage<'_>) {
    stage.enter("u0");
    stage.log_in("u0b");
    stage.client("u0b").bind("b", Some("u0"));
    stage.client("u0").until_end();
    stage.step_done("the resource of another stream");
}

fn bind_conflict_in_room(stage: &mut Stage<'_>) {
    super::in_room(stage, &["u0", "u1"]);
    stage.log_in("u1b");
    stage.client("u1b").bind("b", Some("u1"));
    stage.client("u1").until_end();
    stage.client("u0").until_stanza("presence");
    stage.sync_rooms("u0");
    stage.step_done("the resource of an occupant");
    stage.step("said then", &[("u0", &super::post("m1", "who is there?"))]);
    stage.step(
        "the new stream speaks",
        &[("u1b", &super::post("m2", "am I in?"))],
    );
}

fn before_login(stage: &mut Stage<'_>) {
    stage.open("u0");
    let message = "<message to='bob@parley.local'><body>hello</body></message>";
    stage.step_unbound("a message before the login", "u0", message, 1);
}

fn session(stage: &mut Stage<'_>) {
    stage.enter("u0");
    let session =
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    stage.step("a session as of old", &[("u0", session)]);
}
