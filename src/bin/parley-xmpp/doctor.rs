//! `doctor`: looks at a server and says what it can do, and what to change.

use core::time::Duration;
use std::io::Write as _;

use parley_xmpp::jid::Jid;
use parley_xmpp::tokio::{Client, Room};
use parley_xmpp::{Cursor, Fetch, Login};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{self, Common};
use crate::connect;
use crate::escape::Line;
use crate::exit::{Exit, Failure, from_write};
use crate::output::to_json;
use crate::problem::Problem;
use crate::settings::Resolved;

/// More than the largest page that servers are known to send.
const PAGE: u32 = 1000;
/// What `--probe-page-cap` posts: more than ejabberd's cap of 250.
const PROBES: u32 = 300;

pub(crate) async fn run(common: &Common, args: &args::Doctor) -> Result<(), Failure> {
    let (client, settings) = connect::connect_with(common, |settings| {
        // The engine's own page size would hide the server's.
        settings.config.limits.page = PAGE;
    })
    .await?;
    let mut report = Report {
        json: common.json,
        ..Report::default()
    };
    examine(&client, &settings, args, &mut report).await;
    client.close().await;
    report.conclude()
}

async fn examine(client: &Client, settings: &Resolved, args: &args::Doctor, report: &mut Report) {
    let login = client.login();
    report.ok(
        "connection",
        format!("{} at {}", client.jid(), settings.service),
    );
    tls(client, &login, report);
    mechanisms(&login, report);
    stream(&login, report);
    if muc_service(client, settings, report).await {
        temporary_room(client, settings, args, report).await;
    }
    if let Some(topic) = &args.topic {
        existing_room(client, topic, report).await;
    } else if !args.probe_page_cap {
        report.info(
            "page-cap",
            "how many messages the server sends in a page was not measured: \
             --topic TOPIC measures on an existing room, --probe-page-cap on a temporary one",
        );
    }
}

fn tls(client: &Client, login: &Login, report: &mut Report) {
    match client.tls() {
        Some(tls) => report.ok("tls", format!("{} with {}", tls.version, tls.cipher)),
        None => report.warn(
            "tls",
            "no TLS; that is tolerated with a server on this machine only",
            "a certificate for the domain in the directory `certs`, then `c2s_require_encryption = true`",
            "`certfiles` in ejabberd.yml, then `starttls_required: true` at the c2s listener",
        ),
    }
    let announced = match login.announced_bindings.as_slice() {
        [] => String::from("none announced"),
        some => format!("announced: {}", some.join(", ")),
    };
    match login.channel_binding {
        Some(binding) => {
            report.ok(
                "channel-binding",
                format!("the login is bound to the channel: {binding} ({announced})"),
            );
        }
        None if login.tls => report.warn(
            "channel-binding",
            format!("the login is not bound to the TLS channel ({announced})"),
            "a version that announces tls-exporter (XEP-0440): 0.12 knows only tls-unique, \
             which TLS 1.3 does not have; no TLS proxy in front",
            "a version that announces tls-exporter (XEP-0440): 23.01 knows only tls-unique, \
             which TLS 1.3 does not have; no TLS proxy in front",
        ),
        None => report.info("channel-binding", format!("none without TLS ({announced})")),
    }
}

fn mechanisms(login: &Login, report: &mut Report) {
    let found = format!(
        "{} (offered: {})",
        login.mechanism,
        login.offered.join(", ")
    );
    if login.mechanism.starts_with("SCRAM-SHA-1") {
        report.warn(
            "mechanism",
            found,
            "`password_hash = \"SHA-256\"`, then set the passwords anew",
            "`auth_scram_hash: sha256`, then set the passwords anew",
        );
    } else if login.mechanism.starts_with("SCRAM-") {
        report.ok("mechanism", found);
    } else {
        report.warn(
            "mechanism",
            found,
            "`authentication = \"internal_hashed\"`, which offers SCRAM",
            "`auth_password_format: scram`, and do not disable SCRAM in `disable_sasl_mechanisms`",
        );
    }
}

fn stream(login: &Login, report: &mut Report) {
    if login.stream_management {
        report.ok(
            "stream-management",
            "on offer: a connection that breaks is resumed where it broke",
        );
    } else {
        report.warn(
            "stream-management",
            "not on offer: after each interruption rooms are joined anew and archives read",
            "add \"smacks\" to `modules_enabled`",
            "add `mod_stream_mgmt: {}` to `modules`",
        );
    }
    let bytes = login
        .max_bytes
        .map(|bytes| format!("stanzas up to {bytes} bytes"));
    let idle = login
        .idle_seconds
        .map(|secs| format!("silence up to {secs} s"));
    match (bytes, idle) {
        (None, None) => report.info("stream-limits", "none announced (XEP-0478)"),
        (bytes, idle) => {
            let found: Vec<String> = [bytes, idle].into_iter().flatten().collect();
            report.ok("stream-limits", found.join(", "));
        }
    }
}

async fn muc_service(client: &Client, settings: &Resolved, report: &mut Report) -> bool {
    let service = &settings.muc_service;
    let remedies = (
        format!("`Component \"{service}\" \"muc\"`, with `modules_enabled = {{ \"muc_mam\" }}`"),
        format!("`mod_muc: {{ host: \"{service}\" }}` and `mod_mam: {{}}` in `modules`"),
    );
    let Ok(jid) = Jid::parse(service) else {
        report.fail(
            "muc-service",
            format!("{service} is no address"),
            remedies.0,
            remedies.1,
        );
        return false;
    };
    match client.disco_info(jid).await {
        Ok(info) if info.has("http://jabber.org/protocol/muc") => {
            report.ok("muc-service", format!("{service} hosts rooms"));
            true
        }
        Ok(_) => {
            let found =
                format!("{service} is there, but hosts no rooms; --muc-service names another");
            report.fail("muc-service", found, remedies.0, remedies.1);
            false
        }
        Err(error) => {
            let found = format!(
                "{service} does not answer as it should: {error}; --muc-service names another"
            );
            report.fail("muc-service", found, remedies.0, remedies.1);
            false
        }
    }
}

async fn temporary_room(
    client: &Client,
    settings: &Resolved,
    args: &args::Doctor,
    report: &mut Report,
) {
    let topic = format!("parley-doctor-{}", crate::surroundings::random_suffix(10));
    let room = match connect::join(client, &topic).await {
        Ok(room) => room,
        Err(problem) => {
            report.problem(
                "room-creation",
                &problem,
                "`restrict_room_creation = false` at the MUC component",
                "`access_create: all` in `mod_muc`",
            );
            return;
        }
    };
    report.ok("room-creation", format!("made {}", room.jid()));
    features(&room, report);
    if round_trip(&room, report).await && args.probe_page_cap {
        probe(&room, report).await;
    }
    // Whatever happened, nothing is left behind.
    match room.destroy().await {
        Ok(()) => report.ok("room-destruction", "destroyed it"),
        Err(error) => {
            let left = format!("the temporary room {} is still there: {error}", room.jid());
            report.warn(
                "room-destruction",
                left,
                "destroy it in the shell: `prosodyctl shell`, then `muc:room(\"ROOM\"):destroy()`",
                format!(
                    "`ejabberdctl destroy_room {topic} {}`",
                    settings.muc_service
                ),
            );
        }
    }
}

fn features(room: &Room, report: &mut Report) {
    let info = room.joined().info;
    if info.archive {
        report.ok("archive", "rooms have an archive (MAM)");
    } else {
        report.fail(
            "archive",
            "rooms have no archive: what is said while nobody listens is lost",
            "add \"muc_mam\" to `modules_enabled` of the MUC component, and `muc_log_by_default = true`",
            "add `mod_mam: {}` to `modules`, and `default_room_options: { mam: true }` to `mod_muc`",
        );
    }
    if info.stanza_ids {
        report.ok("stanza-ids", "the room vouches for its message ids");
    } else {
        report.fail(
            "stanza-ids",
            "the room does not vouch for its message ids (urn:xmpp:sid:0)",
            "Prosody 0.11 or newer with \"muc_mam\"",
            "ejabberd 16.09 or newer with `mod_mam`",
        );
    }
    if info.occupant_ids {
        report.ok(
            "occupant-ids",
            "the room names its occupants by lasting ids",
        );
    } else {
        report.warn(
            "occupant-ids",
            "the room does not name its occupants by lasting ids (XEP-0421): \
             after an interruption, some posts stay undecided",
            "Prosody 0.12 or newer, or add \"muc_occupant_id\" to the MUC component",
            "add `mod_muc_occupantid: {}` to `modules`",
        );
    }
    if info.persistent {
        report.ok("persistence", "new rooms outlive their last occupant");
    } else {
        report.warn(
            "persistence",
            "new rooms end with their last occupant, and with them perhaps their archive",
            "`muc_room_default_persistent = true` at the MUC component",
            "`default_room_options: { persistent: true }` in `mod_muc`",
        );
    }
    if info.members_only {
        report.warn(
            "room-access",
            "new rooms are for members: others cannot enter",
            "`muc_room_default_members_only = false` at the MUC component",
            "`default_room_options: { members_only: false }` in `mod_muc`",
        );
    } else if info.moderated {
        // ejabberd moderates by default and gives voice to all who enter.
        report.info(
            "room-access",
            "new rooms are open and moderated: who is given no voice cannot post",
        );
    } else {
        report.ok("room-access", "new rooms are open");
    }
}

/// Posts a message and reads it back.
async fn round_trip(room: &Room, report: &mut Report) -> bool {
    let begin = Instant::now();
    let posted = match room.post("parley-xmpp doctor").await {
        Ok(posted) => posted,
        Err(failure) => {
            report.problem(
                "post",
                &Problem::from(failure),
                "give occupants voice: `muc_room_default_moderated = false`",
                "`default_room_options: { moderated: false }` in `mod_muc`",
            );
            return false;
        }
    };
    let took = begin.elapsed();
    let Some(id) = posted.id else {
        report.fail(
            "post",
            "a message was posted, but came back without an id",
            "add \"muc_mam\" to `modules_enabled` of the MUC component",
            "add `mod_mam: {}` to `modules`",
        );
        return false;
    };
    report.ok(
        "post",
        format!(
            "a message was posted and came back with an id within {} ms",
            took.as_millis()
        ),
    );
    let begin = Instant::now();
    let mut found = room.fetch(Fetch::since(Cursor::Beginning, 10)).await;
    // Archives may lag behind what is said.
    for _ in 0..10 {
        let there = |page: &parley_xmpp::tokio::Page| {
            page.messages
                .iter()
                .any(|message| message.id.as_ref() == Some(&id))
        };
        if found.as_ref().is_ok_and(there) {
            let took = begin.elapsed().as_millis();
            report.ok(
                "fetch",
                format!("it is in the archive under the same id ({took} ms)"),
            );
            return true;
        }
        if found.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        found = room.fetch(Fetch::since(Cursor::Beginning, 10)).await;
    }
    match found {
        Ok(_) => report.fail(
            "fetch",
            "the message is not in the archive three seconds later",
            "`muc_log_by_default = true` at the MUC component, and look at `storage.muc_log`",
            "`default: always` in `mod_mam`, and look at its `db_type`",
        ),
        Err(failure) => report.problem(
            "fetch",
            &Problem::from(&failure),
            "add \"muc_mam\" to `modules_enabled` of the MUC component",
            "add `mod_mam: {}` to `modules`",
        ),
    }
    false
}

/// Fills the temporary room until it has more messages than a page can hold.
async fn probe(room: &Room, report: &mut Report) {
    let mut posts = JoinSet::new();
    for number in 0..PROBES {
        let room = room.clone();
        posts.spawn(async move { room.post(&format!("probe {number}")).await.is_ok() });
        if posts.len() >= 64 {
            let _ = posts.join_next().await;
        }
    }
    while posts.join_next().await.is_some() {}
    page_cap(room, report).await;
}

async fn existing_room(client: &Client, topic: &str, report: &mut Report) {
    match connect::join(client, topic).await {
        Ok(room) => {
            let created = if room.joined().created {
                ", which was made just now"
            } else {
                ""
            };
            report.ok(
                "topic",
                format!("#{topic} is the room {}{created}", room.jid()),
            );
            features(&room, report);
            page_cap(&room, report).await;
        }
        Err(problem) => report.problem(
            "topic",
            &problem,
            "look at the room's settings",
            "look at the room's settings",
        ),
    }
}

/// The first page of a large request is as large as the server makes them.
async fn page_cap(room: &Room, report: &mut Report) {
    let mut first = None;
    let result = room
        .fetch_with(Fetch::newest(PAGE), |count| {
            first.get_or_insert(count);
        })
        .await;
    let first = first.unwrap_or(0);
    match result {
        Ok(page) if page.messages.len() as u64 > first => {
            report.ok("page-cap", format!("the server sends {first} messages in a page; more are read page by page"));
        }
        Ok(_) => report.info(
            "page-cap",
            format!("the server sends at least {first} messages in a page; the room holds too few to tell"),
        ),
        Err(failure) => {
            let problem = Problem::from(&failure);
            report.problem("page-cap", &problem, "look at the server's log", "look at the server's log");
        }
    }
}

/// What was found, printed as it is found.
#[derive(Default)]
struct Report {
    json: bool,
    failed: Vec<&'static str>,
    broken: Option<std::io::Error>,
}

impl Report {
    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.line(check, "ok", &found.into(), None);
    }

    fn info(&mut self, check: &'static str, found: impl Into<String>) {
        self.line(check, "info", &found.into(), None);
    }

    fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        prosody: impl Into<String>,
        ejabberd: impl Into<String>,
    ) {
        self.line(
            check,
            "warning",
            &found.into(),
            Some([prosody.into(), ejabberd.into()]),
        );
    }

    fn fail(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        prosody: impl Into<String>,
        ejabberd: impl Into<String>,
    ) {
        self.failed.push(check);
        self.line(
            check,
            "failed",
            &found.into(),
            Some([prosody.into(), ejabberd.into()]),
        );
    }

    fn problem(&mut self, check: &'static str, problem: &Problem, prosody: &str, ejabberd: &str) {
        let found = match &problem.text {
            Some(text) => format!("{} ({text}); {}", problem.message, problem.remedy),
            None => format!("{}; {}", problem.message, problem.remedy),
        };
        self.fail(check, found, prosody, ejabberd);
    }

    fn line(&mut self, check: &str, status: &str, found: &str, remedies: Option<[String; 2]>) {
        let text = if self.json {
            let mut object = json!({ "check": check, "status": status, "finding": found });
            if let (Some([prosody, ejabberd]), Some(object)) = (remedies, object.as_object_mut()) {
                object.insert(
                    "remedies".into(),
                    json!({ "prosody": prosody, "ejabberd": ejabberd }),
                );
            }
            to_json(&object)
        } else {
            let mark = match status {
                "ok" => '✓',
                "info" => '·',
                "warning" => '!',
                _ => '✗',
            };
            let mut text = format!("{mark} {check}: {}", Line(found));
            if let Some([prosody, ejabberd]) = remedies {
                text.push_str(&format!(
                    "\n    Prosody:  {}\n    ejabberd: {}",
                    Line(&prosody),
                    Line(&ejabberd)
                ));
            }
            text
        };
        let mut out = std::io::stdout().lock();
        if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
            self.broken.get_or_insert(error);
        }
    }

    fn conclude(self) -> Result<(), Failure> {
        if let Some(failure) = self.broken.as_ref().and_then(from_write) {
            return Err(failure);
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Refused,
            format!(
                "posting, fetching and following will not work: {}",
                self.failed.join(", ")
            ),
            "follow the remedies above",
        ))
    }
}
