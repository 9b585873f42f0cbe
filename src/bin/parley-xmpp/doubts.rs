//! Posts in doubt, from one process to the next: each is written down before it leaves, and
//! looked for by the next process if its fate was never told.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use parley_xmpp::tokio::{Client, PostFailure, Posted, Room};
use parley_xmpp::{CannotTell, PostToken, Resolution};
use serde_json::Value;

use crate::connect;
use crate::exit::Failure;
use crate::problem::{Kind, Problem};
use crate::state::StateFile;

/// For an archive to show what its room accepted: as long as the library gives it.
const SETTLE: Duration = Duration::from_secs(5);

/// The state file of a process, for all its tasks.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Mutex<StateFile>>);

impl Memory {
    pub(crate) fn new(file: StateFile) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// Looks into the file, or changes it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut StateFile) -> T) -> T {
        // It is replaced as a whole, so that nothing is left half done.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn save(&self) -> Result<(), Failure> {
        self.with(StateFile::save)
    }

    /// Draws the id of a post and writes it down: only then it may leave.
    pub(crate) async fn prepare(&self, room: &Room) -> Result<PostToken, Problem> {
        let token = room.prepare().await.map_err(Problem::from)?;
        self.with(|file| file.doubt(&token));
        if let Err(failure) = self.save() {
            self.with(|file| file.settle(&token));
            let words = format!("not sent: {}", failure.error);
            return Err(Problem::new(Kind::NotSent, words, failure.remedy));
        }
        Ok(token)
    }

    /// What became of a post is known now, or not. Gives what is to be [settled](Self::told)
    /// once that was told: who is killed before finds the post in doubt, and in the room.
    pub(crate) fn known(
        &self,
        token: PostToken,
        fate: &Result<Posted, PostFailure>,
    ) -> Option<PostToken> {
        match fate {
            // As it was sent in the end.
            Err(PostFailure::Unknown { token }) => {
                self.with(|file| file.doubt(token));
                None
            }
            // Nobody waited for it.
            Err(PostFailure::Closed) => None,
            _ => Some(token),
        }
    }

    /// What became of a post was told. The file is saved with the next change.
    pub(crate) fn told(&self, token: &PostToken) {
        self.with(|file| file.settle(token));
    }
}

/// Finds out what became of the posts that a run before left in doubt, and has each told,
/// with what is then to be given to [`Memory::told`]: nothing where it could not be found
/// out for now, which is kept for the next run.
pub(crate) async fn resolve<F: Future<Output = ()>>(
    client: &Client,
    memory: &Memory,
    tell: impl Fn(Value, Option<PostToken>) -> F,
) -> Result<(), Failure> {
    for token in memory.with(|file| file.posts()) {
        let resolution = match look(client, &token).await {
            Ok(resolution) => resolution,
            Err(problem) => {
                tracing::warn!(problem = ?problem.message, "a post in doubt stays so");
                continue;
            }
        };
        let open = matches!(
            resolution,
            Resolution::CannotTell(CannotTell::Failed(_) | CannotTell::Unstable)
        );
        let found = object(&token, &resolution);
        tell(found, (!open).then_some(token)).await;
        memory.save()?;
    }
    Ok(())
}

async fn look(client: &Client, token: &PostToken) -> Result<Resolution, Problem> {
    let room = connect::join_room(client, token.room().clone()).await?;
    let resolution = room.resolve(token).await.map_err(Problem::from)?;
    if resolution != Resolution::AbsentSoFar {
        return Ok(resolution);
    }
    // The process that sent it may have ended just now.
    tokio::time::sleep(SETTLE).await;
    room.resolve(token).await.map_err(Problem::from)
}

/// `{room, originId, token, outcome, …}`.
fn object(token: &PostToken, resolution: &Resolution) -> Value {
    let mut object = crate::output::resolution(resolution);
    if let Some(object) = object.as_object_mut() {
        object.insert("room".into(), token.room().to_string().into());
        object.insert("originId".into(), token.origin_id().into());
        object.insert("token".into(), token.to_string().into());
    }
    object
}
