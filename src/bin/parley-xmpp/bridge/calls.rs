//! What each request does, once there is a connection for it and it is its turn.

use core::pin::pin;
use core::sync::atomic::Ordering;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use parley_xmpp::{ArchiveId, Cursor, Fetch, Post, PostToken, Start};
use serde_json::{Value, json};

use super::followers::Reserved;
use super::live::Live;
use super::outcome::Outcome;
use super::params::{FetchParams, IdentityParams, PostParams, ResolveParams};
use super::rpc::Error;
use super::turns::Turn;
use crate::connect;
use crate::output::{self, MessageObject};
use crate::problem::Problem;

/// Messages in one answer of `fetchRecent`.
const MAX_LIMIT: u32 = 10_000;

pub(super) async fn subscribe(
    live: Arc<Live>,
    topic: String,
    start: Start,
    reserved: Reserved,
) -> Outcome {
    let Reserved {
        generation,
        unwanted,
    } = reserved;
    let opened = async {
        let room = live.room(&topic).await?;
        room.subscribe(start).await.map_err(Problem::from)
    };
    let opened = tokio::select! {
        biased;
        unwanted = unwanted => {
            return unwanted.map(|()| json!({})).map_err(|_| Error::not_connected()).into();
        }
        opened = opened => opened,
    };
    match opened {
        Ok(subscription) => Outcome {
            result: Ok(json!({})),
            after: Some(Box::new(move || {
                live.follow(topic, generation, subscription);
            })),
            settles: None,
        },
        Err(problem) => {
            live.followers.give_back(&topic, generation);
            Err(Error::from(problem)).into()
        }
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
    let mut message = Post::new(&params.content);
    message.reply_to = params.in_reply_to;
    message.deadline = params.deadline_ms.map(Duration::from_millis);
    turn.come().await;
    // Written down before it leaves.
    let token = match &live.memory {
        Some(memory) => Some(memory.prepare(&room).await?),
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
    Ok(json!({ "backendMsgId": id, "cursor": id, "via": output::via(posted.via) }))
}

pub(super) async fn resolve(live: Arc<Live>, params: ResolveParams) -> Outcome {
    let resolved = async {
        let token = PostToken::parse(&params.token)
            .map_err(|error| Error::invalid(error.to_string()).with("remedy", TOKEN_REMEDY))?;
        let room = connect::join_room(&live.client, token.room().clone()).await?;
        let resolution = room.resolve(&token).await.map_err(Problem::from)?;
        Ok(output::resolution(&resolution))
    };
    resolved.await.into()
}

/// Of a token that is none.
const TOKEN_REMEDY: &str = "give `data.token` of the error `unknown` as it was";

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
        messages
            .iter()
            .map(|message| json!(MessageObject::new(topic, message)))
            .collect()
    };
    match room.fetch(request).await {
        Ok(page) => Ok(json!({
            "messages": messages(&page.messages),
            "nextCursor": page.next.as_str(),
            "complete": page.complete,
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
