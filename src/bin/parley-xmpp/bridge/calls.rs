//! What each request does, once there is a connection for it and it is its turn.

use core::pin::pin;
use core::sync::atomic::Ordering;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use parley_xmpp::{ArchiveId, Cursor, Fetch, Post, PostToken, Start};
use serde_json::{Value, json};

use super::followers::{Opened, Reserved};
use super::live::Live;
use super::outcome::Outcome;
use super::params::{FetchParams, IdentityParams, PostParams, TokenParams};
use super::recent;
use super::rpc::Error;
use super::turns::Turn;
use crate::args;
use crate::connect;
use crate::doubts::Memory;
use crate::output::{self, MessageObject};
use crate::problem::Problem;

/// Messages in one answer of `fetchRecent`.
const MAX_LIMIT: u32 = 10_000;

pub(super) async fn subscribe(
    live: Arc<Live>,
    topic: String,
    since: Option<Cursor>,
    reserved: Reserved,
    mut turn: Turn,
) -> Outcome {
    let Reserved {
        generation,
        unwanted,
    } = reserved;
    // Also if it is unwanted by now: the next one may go on from where this one was to begin.
    turn.come().await;
    let start = start(&live, &topic, since).await;
    let opened = async {
        let room = live.room(&topic).await?;
        let subscription = room.subscribe(start.clone()).await.map_err(Problem::from)?;
        Ok::<_, Problem>((room.jid().clone(), subscription))
    };
    let opened = tokio::select! {
        biased;
        unwanted = unwanted => {
            return match unwanted {
                Ok(()) => {
                    begin(&live, &topic, &start);
                    Ok(json!({})).into()
                }
                Err(_) => Err(Error::not_connected()).into(),
            };
        }
        opened = opened => opened,
    };
    match opened {
        Ok((room, subscription)) => {
            // Before the next one has its turn, or anything of this one is shown.
            begin(&live, &topic, &start);
            let opened = Opened {
                room,
                subscription,
                turn,
            };
            live.followers.opened(&topic, generation, opened);
            Outcome {
                result: Ok(json!({})),
                after: Some(Box::new(move || live.follow(topic, generation))),
                settles: None,
            }
        }
        Err(problem) => {
            live.followers.give_back(&topic, generation);
            Err(Error::from(problem)).into()
        }
    }
}

/// Where a subscription begins. None of the topic is any more that could queue something.
async fn start(live: &Live, topic: &str, since: Option<Cursor>) -> Start {
    let since = since.map(Start::Cursor);
    let Some(memory) = &live.memory else {
        return since.unwrap_or(Start::Now);
    };
    // What the one before has queued is told, and comes before the place.
    live.through().await;
    since
        .or_else(|| memory.with(|file| file.start(topic)))
        .unwrap_or(Start::Now)
}

/// The answer to a `subscribe` is that it is done: only now the place that was kept before
/// counts no more.
fn begin(live: &Live, topic: &str, start: &Start) {
    if let Some(memory) = &live.memory {
        memory.with(|file| file.begin(topic, start));
    }
}

pub(super) async fn post(live: Arc<Live>, params: PostParams, turn: Turn) -> Outcome {
    let mut settles = None;
    let result = post_in_turn(&live, params, turn, &mut settles).await;
    Outcome {
        settles,
        ..result.into()
    }
}

async fn post_in_turn(
    live: &Arc<Live>,
    params: PostParams,
    mut turn: Turn,
    settles: &mut Option<PostToken>,
) -> Result<Value, Error> {
    check_reply(&params)?;
    let room = live.room(&params.topic).await?;
    let nick = room.nick();
    if params
        .identity
        .as_ref()
        .is_some_and(|identity| *identity != nick)
    {
        let text = format!("this connection posts as {nick:?} in that room, and as nobody else");
        let remedy = "leave `identity` out, or use a connection of its own with that nick";
        return Err(Error::invalid(text)
            .with("remedy", remedy)
            .with("nick", nick));
    }
    let known = params
        .in_reply_to
        .as_deref()
        .and_then(|id| live.recent.find(room.jid(), id));
    let mut message = recent::answering(Post::new(&params.content), &params, known);
    let reply = params
        .in_reply_to
        .is_some()
        .then(|| (message.reply_author.clone(), message.quote.is_some()));
    if params.replace_forbidden {
        message = message.replacing_forbidden();
    }
    message.deadline = params.deadline_ms.map(Duration::from_millis);
    turn.come().await;
    // Written down before it leaves.
    let token = match &live.memory {
        Some(memory) => Some(memory.prepare(&live.client, &room).await?),
        None => None,
    };
    if let Some(token) = &token {
        message = message.under(token);
    }
    turn.handed_over.0.store(true, Ordering::Release);
    let mut sending = pin!(room.send(message));
    // Polled once, it has been handed over, and the next may follow.
    let first = core::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
    drop(turn);
    let posted = match first {
        Poll::Ready(result) => result,
        Poll::Pending => sending.await,
    };
    if let (Some(memory), Some(token)) = (&live.memory, token) {
        *settles = memory.known(token, &posted);
    }
    let posted = posted.map_err(Problem::from)?;
    let id = posted.id.as_ref().map(ArchiveId::as_str);
    if let Some(id) = id {
        live.recent.said(room.jid(), id, &nick, &params.content);
    }
    let mut answer = json!({ "backendMsgId": id, "cursor": id, "via": output::via(posted.via) });
    if let (Some((author, quoted)), Some(answer)) = (reply, answer.as_object_mut()) {
        answer.insert("replyAuthor".into(), author.into());
        answer.insert("quoted".into(), quoted.into());
    }
    Ok(answer)
}

/// What cannot be a reply is refused before anything is sent.
fn check_reply(params: &PostParams) -> Result<(), Error> {
    match params.in_reply_to.as_deref() {
        None if params.reply_author.is_some() || params.quote.is_some() => Err(Error::invalid(
            "`replyAuthor` and `quote` are of the message that `inReplyTo` names",
        )
        .with("remedy", "give `inReplyTo` as well, or none of them")),
        Some("") => Err(Error::invalid(
            "`inReplyTo` is the id of a message, or left out",
        )),
        _ => match params.reply_author.as_deref() {
            None | Some("") => Ok(()),
            Some(author) => args::nick(author)
                .map(drop)
                .map_err(|error| Error::invalid(format!("`replyAuthor` is no nick: {error}"))),
        },
    }
}

pub(super) async fn resolve(live: Arc<Live>, params: TokenParams) -> Outcome {
    let resolved = async {
        let token = token(&params)?;
        let room = connect::join_room(&live.client, token.room().clone()).await?;
        let resolution = room.resolve(&token).await.map_err(Problem::from)?;
        Ok(output::resolution(&resolution))
    };
    resolved.await.into()
}

/// Drops a post in doubt from the state file.
pub(super) fn forget(memory: Option<&Memory>, params: &TokenParams) -> Result<Value, Error> {
    let token = token(params)?;
    let Some(memory) = memory else {
        let error = Error::invalid("without a state file there is nothing to forget");
        return Err(error.with("remedy", "start the bridge with --state FILE"));
    };
    memory.forget(&token)?;
    Ok(json!({}))
}

fn token(params: &TokenParams) -> Result<PostToken, Error> {
    let remedy = "give `token` of `resolved`, or of the data of the error `unknown`, as it was";
    PostToken::parse(&params.token)
        .map_err(|error| Error::invalid(error.to_string()).with("remedy", remedy))
}

pub(super) async fn fetch(live: Arc<Live>, params: FetchParams) -> Outcome {
    fetch_recent(&live, params).await.into()
}

async fn fetch_recent(live: &Arc<Live>, params: FetchParams) -> Result<Value, Error> {
    let limit = params.limit.unwrap_or(100);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::invalid(format!(
            "`limit` is a number from 1 to {MAX_LIMIT}"
        )));
    }
    let request = match params.since.as_deref().map(cursor).transpose()? {
        None => Fetch::newest(limit),
        Some(since) => {
            let wait = Duration::from_millis(params.block_ms.unwrap_or(0));
            Fetch::since(since, limit).wait(wait)
        }
    };
    let topic = params.topic.as_str();
    let room = live.room(topic).await?;
    let fetches = if request.wait.is_zero() {
        &live.fetches
    } else {
        &live.waiting_fetches
    };
    // Never closed.
    let _permit = fetches.acquire().await;
    let messages = |messages: &[parley_xmpp::Message]| -> Value {
        let tell = |message| {
            live.recent.told(room.jid(), message);
            json!(MessageObject::new(topic, message))
        };
        messages.iter().map(tell).collect()
    };
    match room.fetch(request).await {
        Ok(page) => Ok(json!({
            "messages": messages(&page.messages),
            "nextCursor": page.next.as_str(),
            "complete": page.complete,
            "stable": page.stable,
        })),
        Err(failure) => Err(Error::from(Problem::from(&failure))
            .with("messages", messages(&failure.prefix))
            .with("nextCursor", failure.next.as_ref().map(Cursor::as_str))),
    }
}

pub(super) fn resolve_identity(params: IdentityParams) -> Result<Value, Error> {
    // In a room, people are their nicks; there is no registry to look in.
    if params.handle.is_empty() || params.handle.len() > 1023 {
        return Err(Error::invalid("`handle` is a nick: 1 to 1023 bytes"));
    }
    Ok(json!({ "handle": params.handle, "backendRef": params.handle }))
}

pub(super) fn cursor(since: &str) -> Result<Cursor, Error> {
    Cursor::parse(since).ok_or_else(|| Error::invalid("`since` is too long to be a cursor"))
}
