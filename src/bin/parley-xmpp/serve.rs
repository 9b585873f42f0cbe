//! `serve`: the embedded server, for development, until it is told to stop.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, Write as _};
use std::path::Path;

use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup, Notes};
use parley_xmpp::sim::server::{Note, Personality, ServerSetup};
use serde_json::{Value, json};

use crate::args::{self, Common};
use crate::escape::Line;
use crate::exit::{Exit, Failure, from_write};
use crate::output::to_json;
use crate::settings::{Layer, Resolved};
use crate::signals;
use crate::surroundings::{env, invocation};

pub(crate) async fn run(common: &Common, args: &args::Serve) -> Result<(), Failure> {
    let resolved = Layer::gather(common, &env)?.resolve_for_server()?;
    let remote = !args.listen.ip().to_canonical().is_loopback();
    check_remote(args, &resolved, remote)?;
    let accounts = accounts(args, &resolved)?;
    let mut setup = ServerSetup::new(args.personality.into(), &resolved.domain);
    for (name, password) in &accounts {
        setup = setup.account(name, password);
    }
    // With a certificate to trust there is no reason to stay in clear; without one
    // clients with default settings, which know no certificate, are to get in.
    setup.tls = args.ca_file.is_some();
    let setup = EmbeddedSetup::new(setup).listen(args.listen);
    let server = EmbeddedServer::start(setup)
        .await
        .map_err(|error| cannot_listen(args.listen, &error))?;
    let mut notes = server.notes();
    if let Some(path) = &args.ca_file {
        write_ca(path, server.ca_pem())?;
    }
    let banner = Banner {
        server: &server,
        args,
        resolved: &resolved,
    };
    let hello = if common.json {
        to_json(&banner.object())
    } else {
        banner.text()
    };
    print(&hello)?;
    let result = tokio::select! {
        result = tell(&mut notes, common.json, args.quiet) => result,
        () = signals::stop() => Ok(()),
    };
    server.close().await;
    result
}

/// Whoever lets strangers in has to mean it.
fn check_remote(args: &args::Serve, resolved: &Resolved, remote: bool) -> Result<(), Failure> {
    if !remote {
        return Ok(());
    }
    let address = args.listen;
    if !args.allow_remote {
        return Err(Failure::usage(
            format!(
                "{address} can be reached from other machines, and this server is for development"
            ),
            "listen on 127.0.0.1 or [::1]; or, if strangers may come, add --allow-remote",
        ));
    }
    if args.user.is_empty() && resolved.default_password {
        return Err(Failure::usage(
            "the default password is for servers that only this machine can reach",
            "name the accounts with --user NAME:PASS, or set PARLEY_XMPP_PASS",
        ));
    }
    if args.ca_file.is_none() {
        return Err(Failure::usage(
            "clients on other machines connect over TLS, and have to know the certificate",
            "add --ca-file FILE, and give them that file",
        ));
    }
    Ok(())
}

/// The accounts of the command line, or the one that a client with the same
/// settings would use.
fn accounts(args: &args::Serve, resolved: &Resolved) -> Result<Vec<(String, String)>, Failure> {
    if args.user.is_empty() {
        let password = resolved.password.expose().to_owned();
        return Ok(vec![(resolved.username.clone(), password)]);
    }
    args.user
        .iter()
        .map(|user| match user.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok((name.to_owned(), password.to_owned()))
            }
            _ => Err(Failure::usage(
                "an account is NAME:PASS, and neither may be empty",
                "write it as --user ana:secret",
            )),
        })
        .collect()
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the server that is there, or listen elsewhere: --listen 127.0.0.1:0 takes a free port"
        }
        io::ErrorKind::PermissionDenied => {
            "choose a port above 1023: --listen 127.0.0.1:5222, or :0 for a free one"
        }
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
        _ => "check --listen and --domain",
    };
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "something listens there already".into(),
        _ => error.to_string(),
    };
    Failure::new(
        Exit::Machine,
        format!("cannot serve on {address}: {why}"),
        remedy,
    )
}

/// Writes the certificate that clients have to trust.
pub(crate) fn write_ca(path: &Path, pem: &str) -> Result<(), Failure> {
    std::fs::write(path, pem).map_err(|error| {
        Failure::new(
            Exit::Machine,
            format!(
                "cannot write the certificate to {}: {error}",
                path.display()
            ),
            "check the path and its permissions",
        )
    })
}

/// What is said at the start.
struct Banner<'a> {
    server: &'a EmbeddedServer,
    args: &'a args::Serve,
    resolved: &'a Resolved,
}

impl Banner<'_> {
    fn names(&self) -> Vec<&str> {
        let accounts = &self.server.setup().accounts;
        accounts.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn personality(&self) -> &'static str {
        match self.server.setup().personality {
            Personality::Ejabberd => "ejabberd",
            _ => "prosody",
        }
    }

    fn text(&self) -> String {
        let (address, domain) = (self.server.address(), &self.resolved.domain);
        let accounts = self.names().join(", ");
        let password = if self.args.user.is_empty() && self.resolved.default_password {
            ", with the default password"
        } else {
            ""
        };
        let tls = match &self.args.ca_file {
            Some(path) => format!("required; its certificate is in {}", path.display()),
            None => "not needed on this machine; --ca-file FILE switches it on".into(),
        };
        let with = match self.names().first() {
            Some(name) if !self.args.user.is_empty() => {
                format!(", with PARLEY_XMPP_PASS set to the password of {name}")
            }
            _ => String::new(),
        };
        let (program, flags) = (invocation(), self.client_flags());
        let mut text = format!(
            "A server for development. It keeps everything in memory only.\n\n\
             \x20 address    {address}\n\
             \x20 domain     {}\n\
             \x20 rooms      muc.{}\n\
             \x20 accounts   {}{password}\n\
             \x20 behaves    like {}\n\
             \x20 TLS        {}\n\n\
             In another terminal{}:\n",
            Line(domain),
            Line(domain),
            Line(&accounts),
            self.personality(),
            Line(&tls),
            Line(&with),
        );
        for command in [
            "post ops hello",
            "fetch ops --since ''",
            "tail ops",
            "doctor",
        ] {
            text.push_str(&format!("  {program} {command}{}\n", Line(&flags)));
        }
        text.push_str("\nCtrl-C ends it.");
        text
    }

    /// What a client has to be told beyond its defaults.
    fn client_flags(&self) -> String {
        let address = self.server.address();
        let ip = address.ip();
        let mut flags = String::new();
        if address.port() != 5222 || ip != Ipv4Addr::LOCALHOST {
            let reachable = if ip.is_unspecified() {
                format!("HOST:{}", address.port())
            } else {
                address.to_string()
            };
            flags.push_str(&format!(" --service xmpp://{reachable}"));
        }
        if self.resolved.domain != "parley.local" {
            flags.push_str(&format!(" --domain {}", self.resolved.domain));
        }
        if let Some(path) = &self.args.ca_file {
            flags.push_str(&format!(" --ca-file {}", path.display()));
        }
        if let Some(name) = self.names().first().filter(|name| **name != "parley") {
            flags.push_str(&format!(" -u {name}"));
        }
        flags
    }

    fn object(&self) -> Value {
        let domain = &self.resolved.domain;
        json!({ "serving": {
            "address": self.server.address().to_string(),
            "domain": domain,
            "mucService": format!("muc.{domain}"),
            "accounts": self.names(),
            "personality": self.personality(),
            "caFile": self.args.ca_file,
        }})
    }
}

/// Tells what the server does, for as long as it does anything.
async fn tell(notes: &mut Notes, json: bool, quiet: bool) -> Result<(), Failure> {
    while let Some(note) = notes.next().await {
        if quiet {
            continue;
        }
        match note {
            Ok(note) if json => {
                if let Some(object) = object(&note) {
                    print(&to_json(&object))?;
                }
            }
            Ok(note) => {
                if let Some(words) = words(&note) {
                    crate::say(&Line(&words).to_string());
                }
            }
            Err(lagged) => crate::say(&format!("{lagged}: too much happened at once")),
        }
    }
    Ok(())
}

/// What a person who tries something out wants to see.
fn words(note: &Note) -> Option<String> {
    let room = |room: &str| room.split('@').next().unwrap_or_default().to_owned();
    let account = |jid: &str| jid.split('@').next().unwrap_or_default().to_owned();
    Some(match note {
        Note::RoomCreated { room: name } => format!("#{} came into being", room(name)),
        Note::RoomGone { room: name } => format!("#{} is no more", room(name)),
        Note::Entered {
            room: name,
            nick,
            jid,
        } => format!("#{}: {nick} came in ({})", room(name), account(jid)),
        Note::Left {
            room: name, nick, ..
        } => format!("#{}: {nick} is out", room(name)),
        Note::Accepted {
            room: name,
            archive_id,
            nick,
            body,
            ..
        } => {
            let id = archive_id.as_deref().unwrap_or("not archived");
            format!("#{} {nick}: {body}  [{id}]", room(name))
        }
        Note::Refused {
            room: name, jid, ..
        } => {
            format!("#{}: a message of {} was refused", room(name), account(jid))
        }
        Note::StreamError { condition, .. } => format!("a stream ended with {condition}"),
        _ => return None,
    })
}

/// The same for programs.
fn object(note: &Note) -> Option<Value> {
    Some(match note {
        Note::Session { jid, resumed, .. } => {
            json!({ "note": "session", "jid": jid, "resumed": resumed })
        }
        Note::SessionEnded { jid } => json!({ "note": "session-ended", "jid": jid }),
        Note::RoomCreated { room } => json!({ "note": "room-created", "room": room }),
        Note::RoomGone { room } => json!({ "note": "room-gone", "room": room }),
        Note::Entered { room, nick, jid } => {
            json!({ "note": "entered", "room": room, "nick": nick, "jid": jid })
        }
        Note::Left {
            room,
            nick,
            jid,
            told,
        } => json!({ "note": "left", "room": room, "nick": nick, "jid": jid, "told": told }),
        Note::Accepted {
            room,
            archive_id,
            nick,
            jid,
            origin_id,
            body,
        } => json!({
            "note": "accepted", "room": room, "id": archive_id, "nick": nick, "jid": jid,
            "originId": origin_id, "body": body,
        }),
        Note::Refused {
            room,
            jid,
            origin_id,
        } => json!({ "note": "refused", "room": room, "jid": jid, "originId": origin_id }),
        Note::StreamError { condition, .. } => {
            json!({ "note": "stream-error", "condition": condition.as_str() })
        }
        Note::Archived { room, archive_id } => {
            json!({ "note": "archived", "room": room, "id": archive_id })
        }
        Note::Unarchived {
            room, archive_id, ..
        } => {
            json!({ "note": "unarchived", "room": room, "id": archive_id })
        }
        _ => return None,
    })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => from_write(&error).map_or(Ok(()), Err),
    }
}
