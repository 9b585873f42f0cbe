//! `bridge`: JSON-RPC 2.0 over standard input and output, one object a line.
//!
//! One task reads, one task writes, and each request, subscription and watched
//! room has a task of its own. All that is written goes through one bounded
//! queue: a host that does not read slows the subscriptions down, which then
//! read from the archive later what they did not take.

mod calls;
mod followers;
mod live;
mod outcome;
mod params;
mod recent;
mod rpc;
mod session;
mod turns;
mod writer;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::BufReader;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::outcome::Pending;
use self::rpc::{Call, Incoming, Reply};
use self::session::Session;
use self::writer::Out;
use crate::args::{self, Common};
use crate::doubts::Memory;
use crate::exit::Failure;
use crate::lines::{Lines, NextLine};
use crate::output::to_json;
use crate::settings::Layer;
use crate::signals;
use crate::state::StateFile;

/// A request line longer than this is refused; servers take a quarter of it.
const MAX_LINE: usize = 1024 * 1024;
/// Lines without an answer. When so many are, reading stops until one is answered.
const IN_FLIGHT: usize = 256;
/// Lines with a fetch that waits for news, which do not count among those.
const IN_FLIGHT_WAITING: usize = 256;
/// How long requests may still take after the end of the input.
const GRACE: Duration = Duration::from_secs(5);
/// How long the closing of the connection may take to decide those that remain.
const LAST: Duration = Duration::from_secs(1);

pub(crate) async fn run(common: &Common, args: args::Bridge) -> Result<(), Failure> {
    // A mistake in the flags or the file is better known now than at `connect`.
    let defaults = Layer::gather(common, &crate::surroundings::env)?;
    let state = args.state.as_deref().map(StateFile::load).transpose()?;
    let memory = state.map(Memory::new);
    let (out, lines) = writer::queue(memory.is_some());
    let mut writing = tokio::spawn(writer::write(lines, tokio::io::stdout(), memory.clone()));
    let patience = common.connect_timeout;
    let session = Session::new(defaults, patience, out.clone(), memory.clone());
    let session = Arc::new(session);
    let mut input = Lines::new(BufReader::new(tokio::io::stdin()), MAX_LINE);
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    let waiting_permits = Arc::new(Semaphore::new(IN_FLIGHT_WAITING));
    let mut tasks = JoinSet::new();
    let (give_up, given_up) = watch::channel(false);
    let stop = signals::stop();
    tokio::pin!(stop);
    loop {
        // The permits are never closed.
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, input.next().await)
        };
        let (permit, line) = tokio::select! {
            next = next => next,
            _ = tasks.join_next(), if !tasks.is_empty() => continue,
            () = out.closed() => break,
            () = &mut stop => break,
        };
        let incoming = match line {
            Ok(NextLine::Line(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Ok(NextLine::Line(line)) => rpc::parse(&line),
            Ok(NextLine::TooLong) => {
                let error = rpc::Error::request(format!("a line holds at most {MAX_LINE} bytes"));
                Incoming::Single(Err(rpc::failed(Value::Null, &error)))
            }
            Ok(NextLine::End) => break,
            Err(error) => {
                tracing::error!(%error, "standard input cannot be read");
                break;
            }
        };
        // What has to happen in the order of the lines happens here, the rest in the task.
        let work = begin(&session, incoming);
        let permit = if work.waits() {
            let waiting = Arc::clone(&waiting_permits).try_acquire_owned().ok();
            waiting.or(permit)
        } else {
            permit
        };
        let (out, given_up) = (out.clone(), given_up.clone());
        tasks.spawn(async move {
            answer(work, &out, &given_up).await;
            drop(permit);
        });
    }
    tracing::info!(in_flight = tasks.len(), "closing");
    let in_time = finish(&mut tasks, GRACE).await;
    // Decides what becomes of posts that are still open.
    session.end().await;
    if !in_time && !finish(&mut tasks, LAST).await {
        give_up.send_replace(true);
        if !finish(&mut tasks, GRACE).await {
            // Nobody reads the answers.
            tasks.shutdown().await;
        }
    }
    drop((session, out));
    // A host that reads no more must not keep us.
    if tokio::time::timeout(GRACE, &mut writing).await.is_err() {
        writing.abort();
    }
    memory.map_or(Ok(()), |memory| memory.save())
}

/// Whether all ended within the given time.
async fn finish(tasks: &mut JoinSet<()>, time: Duration) -> bool {
    let all = async { while tasks.join_next().await.is_some() {} };
    tokio::time::timeout(time, all).await.is_ok()
}

/// A line's work, begun.
enum Work {
    Single(Started),
    Batch(Vec<Started>),
}

impl Work {
    /// Whether it may take long because it was told to.
    fn waits(&self) -> bool {
        let waits = |started: &Started| matches!(started, Ok((_, pending)) if pending.waits);
        match self {
            Self::Single(started) => waits(started),
            Self::Batch(started) => started.iter().any(waits),
        }
    }
}

/// A request begun, or the answer to what was none.
type Started = Result<(Option<Value>, Pending), Reply>;

fn begin(session: &Arc<Session>, incoming: Incoming) -> Work {
    let start = |call: Result<Call, Reply>| {
        call.map(|call| (call.id, session.begin(&call.method, call.params)))
    };
    match incoming {
        Incoming::Single(call) => Work::Single(start(call)),
        Incoming::Batch(calls) => Work::Batch(calls.into_iter().map(start).collect()),
    }
}

/// Waits for the outcome, answers, and only then lets follow what has to come
/// after the answer.
async fn answer(work: Work, out: &Out, given_up: &watch::Receiver<bool>) {
    let (started, batch) = match work {
        Work::Single(started) => (vec![started], false),
        Work::Batch(started) => (started, true),
    };
    // Side by side, as the standard allows, and so that one that waits keeps no other.
    let mut running = JoinSet::new();
    let mut replies: Vec<Option<Reply>> = Vec::with_capacity(started.len());
    let mut ids = Vec::with_capacity(started.len());
    let mut afters = Vec::new();
    let mut settles = Vec::new();
    for (at, started) in started.into_iter().enumerate() {
        match started {
            Ok((id, pending)) => {
                ids.push(id);
                replies.push(None);
                let mut given_up = given_up.clone();
                running.spawn(async move {
                    let Pending {
                        work, handed_over, ..
                    } = pending;
                    let outcome = tokio::select! {
                        biased;
                        outcome = work => outcome,
                        _ = given_up.wait_for(|given_up| *given_up) => {
                            Err(outcome::given_up(&handed_over)).into()
                        }
                    };
                    (at, outcome)
                });
            }
            Err(reply) => {
                ids.push(None);
                replies.push(Some(reply));
            }
        }
    }
    while let Some(joined) = running.join_next().await {
        let Ok((at, outcome)) = joined else {
            continue;
        };
        let result = outcome.result;
        afters.extend(outcome.after);
        settles.extend(outcome.settles);
        if let (Some(id), Some(reply)) =
            (ids.get_mut(at).and_then(Option::take), replies.get_mut(at))
        {
            *reply = Some(match result {
                Ok(result) => rpc::done(id, result),
                Err(error) => rpc::failed(id, &error),
            });
        }
    }
    // A request whose task broke still has to be answered.
    for (id, reply) in ids.into_iter().zip(&mut replies) {
        if let (Some(id), None) = (id, &reply) {
            *reply = Some(rpc::failed(id, &rpc::Error::internal()));
        }
    }
    let replies: Vec<Reply> = replies.into_iter().flatten().collect();
    let line = match (batch, replies.first()) {
        (_, None) => None,
        (false, Some(reply)) => Some(to_json(reply)),
        (true, Some(_)) => Some(to_json(&replies)),
    };
    // A notification has no answer, and nobody to be told.
    if line.is_some() || !settles.is_empty() {
        out.settling(line.unwrap_or_default(), settles).await;
    }
    for after in afters {
        after();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
