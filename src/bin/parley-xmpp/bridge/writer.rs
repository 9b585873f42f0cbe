//! All that is written goes through here: one bounded queue, and one task that writes and
//! remembers what it has told.
//!
//! A line, or a few short ones, is written, flushed and only then remembered, before the next
//! is looked at, so that a host that reads slowly, or not at all, makes nothing grow here.

use core::time::Duration;
use std::sync::Arc;

use parley_xmpp::{Entry, PostToken};
use serde_json::json;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::rpc::notification;
use crate::doubts::Memory;
use crate::exit::Failure;

/// Lines that wait to be written. When so many do, who has another one waits too.
const WAITING: usize = 64;
/// As many lines as fit into that are written at once. POSIX, `write`: to a pipe, requests of
/// `PIPE_BUF` bytes or less are not split, and that is this much on Linux. So a host that does
/// not read has been told all of them or none.
const AT_ONCE: usize = 4096;
/// How long a place reached may wait to be remembered: who is killed writes that much again.
const REMEMBER_AFTER: Duration = Duration::from_millis(250);
/// How long the next attempt to save waits at most; each waits twice as long as the one before.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The two ends of the queue. `remembers`: there is a state file.
pub(super) fn queue(remembers: bool) -> (Out, Lines) {
    let (lines, queued) = mpsc::channel(WAITING);
    (Out { lines, remembers }, Lines(queued))
}

/// A line to be written; an empty one is none.
#[derive(Debug)]
struct Outgoing {
    line: String,
    then: Then,
}

/// What is to happen once a line was written.
#[derive(Debug)]
enum Then {
    Nothing,
    /// An entry of that topic was shown.
    Shown(Arc<str>, Entry),
    /// What became of these posts was told.
    Settled(Vec<PostToken>),
    /// All before is through: somebody waits for that.
    Through(oneshot::Sender<()>),
}

/// Where lines go out. Cloning gives another handle to the same.
#[derive(Clone, Debug)]
pub(super) struct Out {
    lines: mpsc::Sender<Outgoing>,
    remembers: bool,
}

/// The lines that wait to be written.
pub(super) struct Lines(mpsc::Receiver<Outgoing>);

impl Out {
    /// Queues a line; waits while too many do. `false`: nobody reads any more.
    pub(super) async fn line(&self, line: String) -> bool {
        self.queue(line, Then::Nothing).await
    }

    /// Queues a line that tells what became of these posts, likewise. An empty one is none.
    pub(super) async fn settling(&self, line: String, settles: Vec<PostToken>) -> bool {
        self.queue(line, Then::Settled(settles)).await
    }

    /// Queues a line that shows an entry of a topic, likewise. An empty one is none.
    pub(super) async fn entry(&self, line: String, topic: &Arc<str>, entry: Entry) -> bool {
        let then = if self.remembers {
            Then::Shown(Arc::clone(topic), place(entry))
        } else {
            Then::Nothing
        };
        self.queue(line, then).await
    }

    /// Waits until all that was queued before is written and remembered, or nobody reads any
    /// more.
    pub(super) async fn through(&self) {
        let (through, all) = oneshot::channel();
        if self.queue(String::new(), Then::Through(through)).await {
            // Dropped unsaid where nobody reads any more.
            let _ = all.await;
        }
    }

    /// Resolves when nobody reads any more.
    pub(super) async fn closed(&self) {
        self.lines.closed().await;
    }

    async fn queue(&self, line: String, then: Then) -> bool {
        self.lines.send(Outgoing { line, then }).await.is_ok()
    }
}

/// Of an entry what a bookmark takes of it: its id, and no texts.
fn place(mut entry: Entry) -> Entry {
    if let Entry::Message(message) | Entry::Late(message) = &mut entry {
        message.body = String::new();
        message.nick = String::new();
        message.occupant_id = None;
        message.origin_id = None;
        message.reply_to = None;
        message.stamp = None;
    }
    entry
}

/// Writes lines, the only one to do so, and remembers what they showed. Ends when all
/// senders are gone, or nobody reads.
pub(super) async fn write(
    mut lines: Lines,
    mut out: impl AsyncWrite + Unpin,
    memory: Option<Memory>,
) {
    let mut keeper = Keeper {
        memory,
        save_at: None,
        trouble: None,
        notice: None,
    };
    let mut ahead = None;
    while let Some(first) = keeper.next(&mut ahead, &mut lines.0).await {
        let Outgoing { line, then } = first;
        let (mut text, mut thens) = (ended(line), vec![then]);
        while thens.len() < WAITING
            // What is ahead comes first.
            && ahead.is_none()
            && let Ok(next) = lines.0.try_recv()
        {
            // Its end counts as well.
            if text.len().saturating_add(next.line.len()) >= AT_ONCE {
                ahead = Some(next);
                break;
            }
            text.push_str(&ended(next.line));
            thens.push(next.then);
        }
        if !text.is_empty() {
            let written = async {
                out.write_all(text.as_bytes()).await?;
                out.flush().await
            };
            if let Err(error) = keeper.meanwhile(written).await {
                if error.kind() != std::io::ErrorKind::BrokenPipe {
                    tracing::error!(%error, "standard output cannot be written");
                }
                return;
            }
        }
        keeper.told(thens);
    }
}

/// A line with its end; an empty one is none.
fn ended(mut line: String) -> String {
    if !line.is_empty() {
        line.push('\n');
    }
    line
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => core::future::pending().await,
    }
}

/// Remembers what was told, and saves it before long.
struct Keeper {
    memory: Option<Memory>,
    save_at: Option<Instant>,
    /// It was not saved: how long the attempt after that waits.
    trouble: Option<Duration>,
    /// A line that says so, or that it is over.
    notice: Option<String>,
}

impl Keeper {
    /// What is to be written next: what this has to say, what is ahead, what comes.
    async fn next(
        &mut self,
        ahead: &mut Option<Outgoing>,
        lines: &mut mpsc::Receiver<Outgoing>,
    ) -> Option<Outgoing> {
        loop {
            if let Some(line) = self.notice.take() {
                let then = Then::Nothing;
                return Some(Outgoing { line, then });
            }
            if ahead.is_some() {
                return ahead.take();
            }
            tokio::select! {
                biased;
                () = due(self.save_at) => self.save(),
                next = lines.recv() => return next,
            }
        }
    }

    /// Does this; what is due to be saved meanwhile is saved, however long it takes.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                // Saved also where there is always more to do.
                biased;
                () = due(self.save_at) => self.save(),
                done = &mut work => return done,
            }
        }
    }

    /// Where it fails the host is told, once, and it is tried again: a full disk may have room
    /// again, and messages and answers go on meanwhile.
    fn save(&mut self) {
        self.save_at = None;
        let Some(memory) = &self.memory else {
            return;
        };
        let Err(Failure { error, remedy, .. }) = memory.save() else {
            if self.trouble.take().is_some() {
                let params = json!({ "saved": true });
                self.notice = Some(notification("stateFile", &params));
            }
            return;
        };
        let first = self.trouble.is_none();
        let wait = self.trouble.unwrap_or(REMEMBER_AFTER);
        self.save_at = Some(Instant::now() + wait);
        self.trouble = Some(wait.saturating_mul(2).min(TRY_AGAIN_AFTER));
        if first {
            tracing::error!(error, "places are not remembered");
            let params = json!({ "saved": false, "error": error, "remedy": remedy });
            self.notice = Some(notification("stateFile", &params));
        }
    }

    /// Lines were written and flushed: only now they have been told.
    fn told(&mut self, thens: Vec<Then>) {
        let Some(memory) = &self.memory else {
            return;
        };
        let changed = memory.with(|file| {
            for then in thens {
                match then {
                    Then::Nothing => {}
                    Then::Shown(topic, entry) => file.written(&topic, &entry),
                    Then::Settled(posts) => {
                        for token in &posts {
                            file.settle(token);
                        }
                    }
                    // Nobody may wait any more.
                    Then::Through(through) => drop(through.send(())),
                }
            }
            file.is_changed()
        });
        if changed {
            self.save_at
                .get_or_insert_with(|| Instant::now() + REMEMBER_AFTER);
        }
    }
}
