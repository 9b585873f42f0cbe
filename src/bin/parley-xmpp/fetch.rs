//! `fetch`: what was said, as far back or forward as asked.

use core::time::Duration;
use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parley_xmpp::tokio::Room;
use parley_xmpp::{Cursor, Fetch, Message};
use serde_json::json;

use crate::args::{self, Common};
use crate::connect;
use crate::escape::Line;
use crate::exit::{Failure, from_write};
use crate::output::{MessageObject, to_json, to_text};
use crate::problem::{Kind, Problem};

pub(crate) async fn run(common: &Common, args: args::Fetch) -> Result<(), Failure> {
    let fetch = request(&args)?;
    let (client, _) = connect::connect(common).await?;
    let result = async {
        let room = connect::join(&client, &args.topic).await?;
        read(&room, common.json, &args.topic, fetch).await
    }
    .await;
    client.close().await;
    result
}

fn request(args: &args::Fetch) -> Result<Fetch, Failure> {
    let fetch = match &args.since {
        None => Fetch::newest(args.limit),
        Some(since) => Fetch::since(cursor(since)?, args.limit),
    };
    Ok(match args.wait {
        Some(wait) => fetch.wait(wait),
        None => fetch,
    })
}

/// The place that a user names with `--since`.
pub(crate) fn cursor(since: &str) -> Result<Cursor, Problem> {
    Cursor::parse(since).ok_or_else(|| {
        Problem::new(
            Kind::Invalid,
            "what --since names is too long to be the id of a message",
            "give an id that `post`, `fetch` or `tail` printed, or '' for the beginning",
        )
    })
}

async fn read(room: &Room, json: bool, topic: &str, fetch: Fetch) -> Result<(), Failure> {
    let bar = bar(&fetch);
    let result = room
        .fetch_with(fetch, |count| bar.set_position(count))
        .await;
    bar.finish_and_clear();
    match result {
        Ok(page) => {
            let next = page.next.as_str();
            let last =
                json!({ "nextCursor": next, "complete": page.complete, "stable": page.stable });
            print(json, topic, &page.messages, Some(&last))?;
            if !json {
                let count = page.messages.len();
                let more = if page.complete {
                    "nothing newer"
                } else {
                    "there is more"
                };
                let plural = if count == 1 { "" } else { "s" };
                let doubt = if page.stable {
                    ""
                } else {
                    " (the archive says that this may still change: something may come before it)"
                };
                crate::say(&format!(
                    "{count} message{plural}, {more}{doubt}; go on with --since '{}'",
                    Line(next)
                ));
            }
            Ok(())
        }
        Err(failure) => {
            // What was read is whole: it is given before the failure is reported.
            print(json, topic, &failure.prefix, None)?;
            let mut problem = Problem::from(&failure);
            if let (Some(next), false) = (&failure.next, failure.prefix.is_empty()) {
                problem.remedy =
                    format!("{}; go on with --since '{}'", problem.remedy, next.as_str());
            }
            Err(problem.into())
        }
    }
}

/// A bar that shows itself where somebody looks and once it takes a while.
fn bar(fetch: &Fetch) -> ProgressBar {
    if !std::io::stderr().is_terminal() || fetch.limit <= 100 {
        return ProgressBar::hidden();
    }
    let bar =
        ProgressBar::with_draw_target(Some(u64::from(fetch.limit)), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} messages, {elapsed}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn print(
    json: bool,
    topic: &str,
    messages: &[Message],
    last: Option<&serde_json::Value>,
) -> Result<(), Failure> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let written = (|| {
        for message in messages {
            if json {
                writeln!(out, "{}", to_json(&MessageObject::new(topic, message)))?;
            } else {
                out.write_all(to_text(None, message).as_bytes())?;
            }
        }
        if let (true, Some(last)) = (json, last) {
            writeln!(out, "{}", to_json(last))?;
        }
        out.flush()
    })();
    match written {
        Ok(()) => Ok(()),
        Err(error) => from_write(&error).map_or(Ok(()), Err),
    }
}
