//! `post`: one message, or each line of standard input as one.

use core::pin::Pin;
use core::task::Poll;
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;

use parley_xmpp::tokio::{Client, PostFailure, Posted, Room};
use parley_xmpp::{ArchiveId, Post, PostToken, Resolution};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, BufReader};

use crate::args::{self, Common};
use crate::connect;
use crate::doubts::{self, Memory};
use crate::escape::Line;
use crate::exit::{Exit, Failure, from_write};
use crate::lines::{Lines, NextLine};
use crate::output::to_json;
use crate::problem::Problem;
use crate::state::StateFile;

/// Posts without an outcome at a time: enough to hide a round trip, few enough
/// that a failure leaves little on its way.
const IN_FLIGHT: usize = 64;
/// Servers take a quarter of it.
const MAX_TEXT: usize = 1024 * 1024;

pub(crate) async fn run(common: &Common, args: args::Post) -> Result<(), Failure> {
    if let Some(token) = &args.resolve {
        return resolve(common, token).await;
    }
    let memory = match (&args.forget, args.state.as_deref()) {
        (Some(token), Some(path)) => return forget(&mut StateFile::load(path)?, token),
        (_, path) => path.map(StateFile::load).transpose()?,
    };
    let poster = Poster {
        args: &args,
        json: common.json,
        memory: memory.map(Memory::new),
        quote: None,
    };
    // What cannot be posted is better known before a connection is made.
    let quote = args
        .quote
        .clone()
        .filter(|quote| !quote.is_empty())
        .map(|quote| poster.fit(quote))
        .transpose();
    let quote = quote.map_err(|why| {
        let mut failure = refused(why);
        failure.error = format!("--quote: {}", failure.error);
        failure
    })?;
    let poster = Poster { quote, ..poster };
    let text = match &args.text {
        Some(text) => Some(poster.fit(text.clone()).map_err(refused)?),
        None if args.whole => Some(poster.whole().await?),
        None => None,
    };
    let resource = poster.memory.as_ref().map(Memory::resource);
    let (client, resolved) = connect::connect_under(common, resource).await?;
    let result = async {
        if let Some(memory) = &poster.memory {
            let tell = |found, settles: Option<PostToken>| {
                if poster.resolved(&found) {
                    poster.told(settles.as_ref());
                }
                core::future::ready(())
            };
            let is_own = |service: &str| connect::is_own_service(&resolved, service);
            doubts::resolve(&client, memory, memory.posts(), is_own, tell).await?;
        }
        let Some(topic) = args.topic.as_deref() else {
            return Ok(());
        };
        let room = connect::join(&client, topic).await?;
        match text {
            Some(text) => poster.one(&client, &room, text).await,
            None => poster.lines(&client, &room).await,
        }
    }
    .await;
    client.close().await;
    match &poster.memory {
        Some(memory) => result.and(memory.save()),
        None => result,
    }
}

/// Finds out what became of a post.
async fn resolve(common: &Common, token: &PostToken) -> Result<(), Failure> {
    let (client, _) = connect::connect(common).await?;
    let resolved = async {
        let room = connect::join_room(&client, token.room().clone()).await?;
        room.resolve(token).await.map_err(Problem::from)
    }
    .await;
    client.close().await;
    let resolution = resolved?;
    if common.json {
        print(&to_json(&crate::output::resolution(&resolution)))?;
    } else if let Resolution::Found(id) = &resolution {
        print(&Line(id.as_str()).to_string())?;
    }
    match resolution {
        Resolution::Found(_) => Ok(()),
        Resolution::AbsentSoFar => Err(Failure::new(
            Exit::Refused,
            "it is not in the room so far",
            "post it again, if the connection that it was sent on is gone",
        )),
        Resolution::CannotTell(why) => Err(Failure::new(
            Exit::NotDecided,
            format!("it cannot be told: {why}"),
            "look into the room: `parley-xmpp fetch` shows what is there",
        )),
        _ => Err(Failure::new(Exit::NotDecided, "it cannot be told", "")),
    }
}

/// A post in doubt does not matter any more.
fn forget(file: &mut StateFile, token: &PostToken) -> Result<(), Failure> {
    if file.settle(token) {
        return file.save();
    }
    Err(Failure::usage(
        "the state file knows of no such post in doubt",
        "its `posts` are the tokens of those",
    ))
}

struct Poster<'a> {
    args: &'a args::Post,
    json: bool,
    memory: Option<Memory>,
    /// What is quoted, as XMPP can carry it.
    quote: Option<String>,
}

impl Poster<'_> {
    async fn one(&self, client: &Client, room: &Room, text: String) -> Result<(), Failure> {
        let sending = self.sending(client, room, self.post(text)).await?;
        let Ended { fate, settles } = sending.await;
        match fate {
            Ok(posted) => {
                self.print(None, &posted)?;
                self.told(settles.as_ref());
                Ok(())
            }
            Err(failure) => {
                // It is told as the program ends.
                self.told(settles.as_ref());
                Err(Problem::from(failure).into())
            }
        }
    }

    /// A post that goes its way as soon as this is polled; with a state file it is written
    /// down before.
    async fn sending(&self, client: &Client, room: &Room, post: Post) -> Result<Sending, Problem> {
        let room = room.clone();
        let Some(memory) = self.memory.clone() else {
            return Ok(Box::pin(async move {
                let (fate, settles) = (room.send(post).await, None);
                Ended { fate, settles }
            }));
        };
        let token = memory.prepare(client, &room).await?;
        let post = post.under(&token);
        Ok(Box::pin(async move {
            let fate = room.send(post).await;
            let settles = memory.known(token, &fate);
            Ended { fate, settles }
        }))
    }

    /// What became of a post was told.
    fn told(&self, settles: Option<&PostToken>) {
        if let (Some(memory), Some(token)) = (&self.memory, settles) {
            memory.told(token);
        }
    }

    /// Tells of a post that a run before left in doubt. Returns whether somebody was there
    /// to be told; if not, that is noticed with what the reader waits for.
    fn resolved(&self, found: &serde_json::Value) -> bool {
        if self.json {
            return print(&to_json(&json!({ "resolved": found }))).is_ok();
        }
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        if found["kept"] == true {
            let file = self.args.state.as_deref().unwrap_or(Path::new("FILE"));
            let (room, reason, token) = (text("room"), text("reason"), text("token"));
            let file = file.display();
            crate::say(&format!(
                "{}\n{}",
                Line(&format!(
                    "a post to {room} that was in doubt may be in the room or not, and stays in {file}: {reason}"
                )),
                Line(&format!(
                    "remedy: the next run looks again; to drop it: parley-xmpp post --state {file} --forget {token}"
                ))
            ));
            return true;
        }
        let fate = match found["outcome"].as_str() {
            Some("found") => format!("is in the room: {}", text("backendMsgId")),
            Some("absent-so-far") => "is not in the room".to_owned(),
            _ => format!("may be in the room or not: {}", text("reason")),
        };
        let words = format!("a post to {} that was in doubt {fate}", text("room"));
        crate::say(&Line(&words).to_string());
        true
    }

    async fn whole(&self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let mut input = tokio::io::stdin().take(MAX_TEXT as u64 + 1);
        input
            .read_to_end(&mut bytes)
            .await
            .map_err(|error| unreadable(&error))?;
        while bytes
            .last()
            .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
        {
            bytes.pop();
        }
        self.decode(bytes).map_err(refused)
    }

    async fn lines(&self, client: &Client, room: &Room) -> Result<(), Failure> {
        let mut input = Lines::new(BufReader::new(tokio::io::stdin()), MAX_TEXT);
        let mut pipeline = Pipeline::default();
        let (mut number, mut posted) = (0_u64, 0_u64);
        let mut failure: Option<Failure> = None;
        // The line that failed first: those before it are as good as ever.
        let mut failed_at = u64::MAX;
        let mut reading = true;
        while reading || !pipeline.is_empty() {
            tokio::select! {
                biased;
                (at, ended) = pipeline.next(), if !pipeline.is_empty() => {
                    let mut unheard = false;
                    match ended.fate {
                        Ok(outcome) => {
                            posted += 1;
                            if at > failed_at && !self.json {
                                let id = outcome.id.as_ref().map_or("-", ArchiveId::as_str);
                                crate::say(&format!("line {at} was posted all the same: {}", Line(id)));
                            } else if let Err(error) = self.print(Some(at), &outcome) {
                                unheard = true;
                                failure.get_or_insert(error);
                            }
                        }
                        Err(error) => {
                            let error = Problem::from(error).while_at(&format!("line {at}"));
                            if at < failed_at {
                                failed_at = at;
                                failure = Some(error.into());
                            } else {
                                crate::say(&Failure::from(error).render(self.json));
                            }
                        }
                    }
                    if !unheard {
                        self.told(ended.settles.as_ref());
                    }
                    reading = reading && failure.is_none();
                }
                line = input.next(), if reading && pipeline.len() < IN_FLIGHT => {
                    number += 1;
                    let text = match line {
                        Ok(NextLine::End) => {
                            reading = false;
                            continue;
                        }
                        Ok(NextLine::Line(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
                        Ok(NextLine::Line(line)) => self.decode(line),
                        Ok(NextLine::TooLong) => Err(Forbidden::TooLong),
                        Err(error) => {
                            failure = Some(unreadable(&error));
                            reading = false;
                            continue;
                        }
                    };
                    match text {
                        Ok(text) => match self.sending(client, room, self.post(text)).await {
                            Ok(sending) => pipeline.push(number, sending),
                            Err(problem) => {
                                failure = Some(problem.while_at(&format!("line {number}")).into());
                                failed_at = number;
                                reading = false;
                            }
                        },
                        Err(why) => {
                            let mut error = refused(why);
                            error.error = format!("line {number}: {}", error.error);
                            failure = Some(error);
                            failed_at = number;
                            reading = false;
                        }
                    }
                }
            }
        }
        match failure {
            None => Ok(()),
            // A closed pipe: whoever read our ids has enough.
            Some(failure) if failure.error.is_empty() => Ok(()),
            Some(mut failure) => {
                failure.error = format!("{}; {posted} posted", failure.error);
                Err(failure)
            }
        }
    }

    fn post(&self, text: String) -> Post {
        let mut post = Post::new(&text);
        post.reply_to.clone_from(&self.args.reply_to);
        post.reply_author.clone_from(&self.args.reply_author);
        post.quote.clone_from(&self.quote);
        post.deadline = self.args.deadline;
        if self.args.resend {
            post = post.or_resend();
        }
        post
    }

    fn decode(&self, bytes: Vec<u8>) -> Result<String, Forbidden> {
        if bytes.len() > MAX_TEXT {
            return Err(Forbidden::TooLong);
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) if self.args.replace_forbidden => {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
            Err(error) => {
                return Err(Forbidden::NotUtf8 {
                    at: error.utf8_error().valid_up_to(),
                });
            }
        };
        self.fit(text)
    }

    /// The text, if XMPP can carry it, or made so that it can.
    fn fit(&self, text: String) -> Result<String, Forbidden> {
        let Some(at) = text.find(|c| !is_xml(c)) else {
            return Ok(text);
        };
        if self.args.replace_forbidden {
            return Ok(text.replace(|c| !is_xml(c), "\u{fffd}"));
        }
        let character = text
            .get(at..)
            .and_then(|rest| rest.chars().next())
            .unwrap_or('\0');
        Err(Forbidden::Character { character, at })
    }

    fn print(&self, line: Option<u64>, posted: &Posted) -> Result<(), Failure> {
        let id = posted.id.as_ref().map(ArchiveId::as_str);
        let text = if self.json {
            let mut object =
                json!({ "backendMsgId": id, "cursor": id, "via": crate::output::via(posted.via) });
            if let (Some(line), Some(object)) = (line, object.as_object_mut()) {
                object.insert("line".into(), line.into());
            }
            to_json(&object)
        } else {
            Line(id.unwrap_or("-")).to_string()
        };
        if id.is_none() {
            tracing::warn!("the room archives nothing: the message has no id");
        }
        print(&text)
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => {
            Err(from_write(&error).unwrap_or_else(|| Failure::new(Exit::Machine, "", "")))
        }
    }
}

/// Why a text is not even tried.
#[derive(Debug, PartialEq, Eq)]
enum Forbidden {
    Character { character: char, at: usize },
    NotUtf8 { at: usize },
    TooLong,
}

fn refused(why: Forbidden) -> Failure {
    match why {
        Forbidden::Character { character, at } => Failure::usage(
            format!(
                "the text holds U+{:04X} at byte {at}, which XMPP cannot carry",
                u32::from(character)
            ),
            "remove it, or use --replace-forbidden to post U+FFFD in its place",
        ),
        Forbidden::NotUtf8 { at } => Failure::usage(
            format!("the text is not UTF-8 at byte {at}"),
            "convert it, or use --replace-forbidden to post U+FFFD in its place",
        ),
        Forbidden::TooLong => Failure::usage("the text is longer than 1 MiB", "split it"),
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Machine,
        format!("cannot read standard input: {error}"),
        "look at where it comes from",
    )
}

/// XML 1.0, production `Char`.
const fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

type Fate = Result<Posted, PostFailure>;
type Sending = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A post whose fate is known.
struct Ended {
    fate: Fate,
    /// What is settled once that was told.
    settles: Option<PostToken>,
}

/// Posts on their way, handed over and answered in the order of their lines.
#[derive(Default)]
struct Pipeline {
    posts: VecDeque<(u64, Sending, Option<Ended>)>,
}

impl Pipeline {
    fn is_empty(&self) -> bool {
        self.posts.is_empty()
    }

    fn len(&self) -> usize {
        self.posts.len()
    }

    fn push(&mut self, line: u64, sending: Sending) {
        self.posts.push_back((line, sending, None));
    }

    /// The outcome of the oldest. A post is handed over when first polled, so
    /// all are, the oldest first. Can be dropped at any time.
    async fn next(&mut self) -> (u64, Ended) {
        core::future::poll_fn(|cx| {
            for (_, sending, outcome) in &mut self.posts {
                if outcome.is_none()
                    && let Poll::Ready(result) = sending.as_mut().poll(cx)
                {
                    *outcome = Some(result);
                }
            }
            match self.posts.pop_front() {
                Some((line, _, Some(outcome))) => Poll::Ready((line, outcome)),
                Some(waiting) => {
                    self.posts.push_front(waiting);
                    Poll::Pending
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(replace_forbidden: bool) -> args::Post {
        args::Post {
            topic: Some("t".into()),
            text: None,
            whole: false,
            replace_forbidden,
            reply_to: None,
            deadline: None,
            resend: false,
            resolve: None,
            state: None,
            reply_author: None,
            quote: None,
            forget: None,
        }
    }

    #[test]
    fn what_xmpp_cannot_carry_is_refused_with_its_place_or_replaced() {
        let strict = args(false);
        let strict = Poster {
            args: &strict,
            json: false,
            memory: None,
            quote: None,
        };
        assert_eq!(strict.fit("tab\t ü\u{85}".into()).unwrap(), "tab\t ü\u{85}");
        assert_eq!(
            strict.fit("ü\u{1b}[0m".into()),
            Err(Forbidden::Character {
                character: '\u{1b}',
                at: 2
            })
        );
        assert_eq!(
            strict.decode(vec![b'a', 0xff]),
            Err(Forbidden::NotUtf8 { at: 1 })
        );
        let lenient = args(true);
        let lenient = Poster {
            args: &lenient,
            json: false,
            memory: None,
            quote: None,
        };
        assert_eq!(
            lenient.fit("a\u{1b}b\u{ffff}".into()).unwrap(),
            "a\u{fffd}b\u{fffd}"
        );
        assert_eq!(lenient.decode(vec![b'a', 0xff]).unwrap(), "a\u{fffd}");
    }
}
