//! From the settings to a connection.

use core::time::Duration;

use parley_xmpp::Nick;
use parley_xmpp::jid::BareJid;
use parley_xmpp::tokio::{Client, ConnectError, Room, Settings, SettingsError};

use crate::args::Common;
use crate::exit::Failure;
use crate::problem::{Kind, Problem};
use crate::settings::{DEFAULT_PASSWORD_WARNING, Layer, Resolved};

/// Connects as the command line, the environment, the file and the defaults say.
pub(crate) async fn connect(common: &Common) -> Result<(Client, Resolved), Failure> {
    connect_under(common, None).await
}

/// The same, under that resource unless the user chose one.
pub(crate) async fn connect_under(
    common: &Common,
    resource: Option<String>,
) -> Result<(Client, Resolved), Failure> {
    set_up(common, resource, |_| ()).await
}

/// The same with a change to the settings.
pub(crate) async fn connect_with(
    common: &Common,
    change: impl FnOnce(&mut Settings),
) -> Result<(Client, Resolved), Failure> {
    set_up(common, None, change).await
}

async fn set_up(
    common: &Common,
    resource: Option<String>,
    change: impl FnOnce(&mut Settings),
) -> Result<(Client, Resolved), Failure> {
    let resolved = Layer::gather(common, &crate::surroundings::env)?.resolve()?;
    let resolved = resolved.or_under(resource);
    if resolved.default_password {
        crate::say(DEFAULT_PASSWORD_WARNING);
    }
    let client = open_with(&resolved, common.connect_timeout, change).await?;
    Ok((client, resolved))
}

/// Connects within the given time.
pub(crate) async fn open(resolved: &Resolved, patience: Duration) -> Result<Client, Problem> {
    open_with(resolved, patience, |_| ()).await
}

async fn open_with(
    resolved: &Resolved,
    patience: Duration,
    change: impl FnOnce(&mut Settings),
) -> Result<Client, Problem> {
    let mut settings = settings(resolved).map_err(ConnectError::Settings)?;
    change(&mut settings);
    let service = &resolved.service;
    tracing::info!(service = ?service, domain = ?resolved.domain, username = ?resolved.username, "connecting");
    let client = match tokio::time::timeout(patience, Client::connect(settings)).await {
        Ok(connected) => connected?,
        Err(_) => {
            return Err(Problem::new(
                Kind::ConnectFailed,
                format!(
                    "no connection to {service} within {} s",
                    patience.as_secs_f32()
                ),
                "is the server up and reachable from here? --connect-timeout allows more time",
            )
            .for_bridge(
                "is the server up and reachable from here? the bridge's flag --connect-timeout allows more time",
            ));
        }
    };
    tracing::info!(jid = ?client.jid(), login = ?client.login(), "connected");
    Ok(client)
}

/// Whether the room service at `domain` counts as one of the server that we connect to.
pub(crate) fn is_own_service(resolved: &Resolved, domain: &str) -> bool {
    // The library's rule. With settings that cannot be used nobody connects.
    settings(resolved).is_ok_and(|settings| settings.config.is_own_service(domain))
}

fn settings(resolved: &Resolved) -> Result<Settings, SettingsError> {
    let password = resolved.password.expose();
    let mut settings = Settings::new(
        &resolved.service,
        &resolved.domain,
        &resolved.username,
        password,
    )?
    .muc_service(&resolved.muc_service)?
    // Servers let one account have a nick more than once, so that a program may
    // well run twice for the same user; a chosen nick is never varied in silence.
    .nick(if resolved.nick_chosen {
        Nick::Chosen(resolved.nick.clone())
    } else {
        Nick::Suggested(resolved.nick.clone())
    });
    if let Some(resource) = &resolved.resource {
        settings = settings.resource(resource)?;
    }
    if let Some(file) = &resolved.ca_file {
        settings = settings.ca_file(file);
    }
    if let Some(name) = &resolved.tls_name {
        settings = settings.tls_name(name);
    }
    Ok(settings)
}

/// Joins a room under the nick of the settings, as any topic's.
pub(crate) async fn join_room(client: &Client, room: BareJid) -> Result<Room, Problem> {
    let room = client.room_at(room).await.map_err(Problem::from)?;
    tracing::info!(room = ?room.jid(), nick = ?room.nick(), joined = ?room.joined(), "joined");
    Ok(room)
}

/// Joins the room of a topic.
pub(crate) async fn join(client: &Client, topic: &str) -> Result<Room, Problem> {
    let room = client.room(topic).await.map_err(Problem::from)?;
    tracing::info!(room = ?room.jid(), nick = ?room.nick(), joined = ?room.joined(), "joined");
    Ok(room)
}
