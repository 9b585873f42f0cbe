//! `tail`: follows rooms until it is told to stop.

use core::time::Duration;
use std::sync::Arc;

use parley_xmpp::tokio::{Client, ConnectError, State};
use parley_xmpp::{Cursor, Entry, LeaveCause, Retry, RoomEvent, Start};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::args::{self, Common};
use crate::escape::Line;
use crate::exit::{Exit, Failure, from_write};
use crate::output::{self, MessageObject, to_json, to_text};
use crate::problem::{Kind, Problem};
use crate::state::StateFile;
use crate::{connect, fetch, signals};

/// Lines that wait to be printed. When so many do, the subscriptions wait too.
const WAITING: usize = 256;
/// The pause between two writings of the state file: who is killed prints that much again.
const REMEMBER_AFTER: Duration = Duration::from_millis(250);
/// How long printing may still take when the program is to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) async fn run(common: &Common, args: args::Tail) -> Result<(), Failure> {
    let mut topics = args.topic.clone();
    topics.sort();
    topics.dedup();
    if args.since.is_some() && topics.len() > 1 {
        return Err(Failure::usage(
            "--since is for a single topic: an id is of one room only",
            "follow one topic, or use --state FILE",
        ));
    }
    let since = args.since.as_deref().map(fetch::cursor).transpose()?;
    let mut state = args.state.as_deref().map(StateFile::load).transpose()?;
    let resource = state.as_ref().map(|state| state.resource().to_owned());
    let (client, _) = connect::connect_under(common, resource).await?;
    let stop = Notify::new();
    let mut result = tokio::select! {
        result = follow(&client, common.json, &topics, since, state.as_mut(), &stop) => result,
        () = async {
            signals::stop().await;
            stop.notify_one();
            // What is being printed is finished, unless nobody reads it.
            tokio::time::sleep(LAST_WORDS).await;
        } => Ok(()),
    };
    if let Some(state) = &mut state {
        result = result.and(state.save());
    }
    client.close().await;
    result
}

/// What there is to be printed.
enum Item {
    Entry(Arc<str>, Entry),
    Room(Arc<str>, RoomEvent),
    Client(State),
}

/// Runs until it is to stop, every room is left for good, or connecting again makes no sense.
/// It can be dropped at any time: a place counts as reached only once what was
/// before it has been flushed.
async fn follow(
    client: &Client,
    json: bool,
    topics: &[String],
    since: Option<Cursor>,
    mut state: Option<&mut StateFile>,
    stop: &Notify,
) -> Result<(), Failure> {
    let (sender, mut items) = mpsc::channel(WAITING);
    for topic in topics {
        let start = state
            .as_ref()
            .and_then(|state| state.start(topic))
            .or_else(|| since.clone().map(Start::Cursor))
            .unwrap_or(Start::Now);
        if let Some(state) = state.as_deref_mut() {
            state.begin(topic, &start);
        }
        let room = connect::join(client, topic)
            .await
            .map_err(|problem| problem.while_at(&format!("#{topic}")))?;
        let mut events = room.events();
        let mut subscription = room.subscribe(start).await.map_err(Problem::from)?;
        let topic: Arc<str> = topic.as_str().into();
        let (entries, rooms, name) = (sender.clone(), sender.clone(), Arc::clone(&topic));
        tokio::spawn(async move {
            while let Some(entry) = subscription.next().await {
                if entries
                    .send(Item::Entry(Arc::clone(&topic), entry))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            // A room without a handle may be left at the next interruption.
            drop(room);
        });
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                if rooms
                    .send(Item::Room(Arc::clone(&name), event))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    let mut states = client.states();
    tokio::spawn(async move {
        // The first is the present one: online.
        let _ = states.next().await;
        while let Some(state) = states.next().await {
            if sender.send(Item::Client(state)).await.is_err() {
                break;
            }
        }
    });

    let mut printer = Printer {
        json,
        several: topics.len() > 1,
        ..Printer::default()
    };
    let mut out = tokio::io::stdout();
    let mut remember_at: Option<Instant> = None;
    let mut remembered: Option<Instant> = None;
    let mut open = topics.len();
    loop {
        let due = async {
            match remember_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => core::future::pending().await,
            }
        };
        let first = tokio::select! {
            item = items.recv() => item,
            () = stop.notified() => return Ok(()),
            () = due => {
                remember_at = None;
                remembered = Some(Instant::now());
                if let Some(state) = state.as_deref_mut() {
                    state.save()?;
                }
                continue;
            }
        };
        let mut next = first;
        let mut end = None;
        while let Some(item) = next {
            if matches!(item, Item::Entry(_, Entry::Ended)) {
                open -= 1;
            }
            end = printer.add(item);
            if end.is_some() || printer.reached.len() >= WAITING {
                break;
            }
            next = items.try_recv().ok();
        }
        let written = async {
            out.write_all(printer.text.as_bytes()).await?;
            out.flush().await
        };
        if let Err(error) = written.await {
            return from_write(&error).map_or(Ok(()), Err);
        }
        printer.text.clear();
        for (topic, entry) in printer.reached.drain(..) {
            if let Some(state) = state.as_deref_mut() {
                state.written(&topic, &entry);
            }
        }
        if state.as_ref().is_some_and(|state| state.is_changed()) {
            // At once, unless it was written just now.
            let due = remembered.map_or_else(Instant::now, |at| at + REMEMBER_AFTER);
            remember_at.get_or_insert(due);
        }
        if let Some(failure) = end {
            return Err(failure);
        }
        if open == 0 || (items.is_closed() && items.is_empty()) {
            return Err(printer.last_words.unwrap_or_else(|| {
                Failure::new(Exit::Refused, "the room was left for good", "ask its owner")
            }));
        }
    }
}

/// Turns items into text, and keeps what they say about places reached.
#[derive(Default)]
struct Printer {
    json: bool,
    several: bool,
    offline: bool,
    text: String,
    /// What the text shows, for the state file.
    reached: Vec<(Arc<str>, Entry)>,
    /// Why the last room was left for good.
    last_words: Option<Failure>,
}

impl Printer {
    /// Returns why there is no point in going on, if so.
    fn add(&mut self, item: Item) -> Option<Failure> {
        match item {
            Item::Entry(topic, entry) => self.entry(&topic, entry),
            Item::Room(topic, event) => self.room(&topic, &event),
            Item::Client(state) => return self.client(&state),
        }
        None
    }

    fn entry(&mut self, topic: &Arc<str>, entry: Entry) {
        let late = matches!(entry, Entry::Late(_));
        match &entry {
            Entry::Message(message) | Entry::Late(message) => {
                if self.json {
                    let object = MessageObject::new(topic, message).late(late);
                    self.text.push_str(&to_json(&object));
                    self.text.push('\n');
                } else {
                    self.text
                        .push_str(&to_text(self.several.then_some(&**topic), message));
                }
            }
            Entry::Gap { after, reason } => {
                let object = output::gap(topic, after.as_ref(), reason);
                let after = match after {
                    None => "where we stood",
                    Some(Cursor::Beginning) => "the beginning",
                    Some(Cursor::After(id)) => id.as_str(),
                };
                let why = output::gap_reason(reason);
                self.aside(
                    "gap",
                    &object,
                    &format!("gap: messages of #{topic} may be missing after {after}: {why}"),
                );
            }
            _ => {}
        }
        self.reached.push((Arc::clone(topic), entry));
    }

    fn room(&mut self, topic: &str, event: &RoomEvent) {
        let (words, retry) = match event {
            // Who comes and goes is not what was asked for.
            RoomEvent::OccupantJoined { .. }
            | RoomEvent::OccupantLeft { .. }
            | RoomEvent::Subject { .. }
            | RoomEvent::NickChanged { .. }
            | RoomEvent::Described(_)
            | RoomEvent::ConfigChanged => return,
            // The client's own state tells it, once for all rooms.
            RoomEvent::Left {
                cause: LeaveCause::Offline,
                retry: Retry::At(_),
            } => return,
            RoomEvent::Joined(joined) => {
                let warning = match output::privacy(joined.privacy) {
                    "" => String::new(),
                    words => format!("; {words}"),
                };
                (format!("in #{topic} as {}{warning}", joined.nick), None)
            }
            RoomEvent::PrivacyChanged(privacy) => {
                let words = match output::privacy(*privacy) {
                    "" => "addresses are hidden, and nothing is logged publicly",
                    words => words,
                };
                (format!("#{topic} is set up otherwise: {words}"), None)
            }
            RoomEvent::Recreated => (
                format!("#{topic} was lost meanwhile, and is made anew"),
                None,
            ),
            RoomEvent::Left { cause, retry } => (
                format!("out of #{topic}: {}", output::leave_cause(cause)),
                Some(retry),
            ),
            RoomEvent::JoinFailed { error, retry } => (
                format!("not let into #{topic}: {}", output::join_failure(error)),
                Some(retry),
            ),
            _ => return,
        };
        let again = match retry {
            Some(Retry::At(_)) => "; trying again",
            Some(_) => "; not trying again",
            None => "",
        };
        if matches!(retry, Some(Retry::Never)) {
            self.last_words = Some(Failure::new(
                Exit::Refused,
                words.clone(),
                "ask the owner of the room, then start again",
            ));
        }
        self.aside(
            "room",
            &output::room_event(topic, event),
            &format!("room: {words}{again}"),
        );
    }

    fn client(&mut self, state: &State) -> Option<Failure> {
        let words = match state {
            State::Online { .. } if self.offline => {
                self.offline = false;
                "online again".to_owned()
            }
            State::Offline { cause, retry_in } => {
                self.offline = true;
                let error = ConnectError::from(cause.clone());
                match retry_in {
                    Some(wait) => {
                        format!(
                            "offline: {error}; trying again in {:.1} s",
                            wait.as_secs_f32()
                        )
                    }
                    None => return Some(Problem::from(error).into()),
                }
            }
            State::Closed => {
                let words = "the connection is closed";
                return Some(Problem::new(Kind::NotConnected, words, "start again").into());
            }
            _ => return None,
        };
        self.aside("state", &output::state(state), &words);
        None
    }

    /// What is no message: for programs in its place among them, for people beside them.
    fn aside(&mut self, key: &str, object: &serde_json::Value, words: &str) {
        if self.json {
            self.text.push_str(&to_json(&json!({ key: object })));
            self.text.push('\n');
        } else {
            crate::say(&Line(words).to_string());
        }
    }
}
