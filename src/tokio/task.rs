//! The task that owns the engine.

use ::tokio::sync::oneshot;

use super::error::ConnectError;
use super::link::Link;
use super::settings::Settings;

#[expect(unused_variables, clippy::todo, reason = "the loop is being written")]
pub(super) fn spawn(settings: Settings, ready: oneshot::Sender<Result<(), ConnectError>>) -> Result<Link, ConnectError> {
    todo!()
}
