//! What the suite asks of a way in, and the first one: the library.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use parley_xmpp::tokio::{Client, Room, Settings};
use parley_xmpp::{Cursor, Entry, Fetch, Source, Start, topic};
use tokio::sync::mpsc;

use crate::soon;
use crate::support::{DOMAIN, Server};

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    StartTls,
    DirectTls,
    /// Not at all: in clear, over the loopback interface.
    Loopback,
}

/// Where to connect.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) server: &'static Server,
    pub(crate) security: Security,
}

impl Target {
    pub(crate) fn service(&self) -> String {
        match self.security {
            Security::DirectTls => format!("xmpps://127.0.0.1:{}", self.server.tls_port()),
            _ => format!("xmpp://127.0.0.1:{}", self.server.port()),
        }
    }

    /// A file of trusted certificates rules clear text out.
    pub(crate) fn ca_file(&self) -> Option<&'static Path> {
        (self.security != Security::Loopback).then(|| self.server.ca_file())
    }

    /// A topic that no other combination uses.
    pub(crate) fn topic<B: Backend>(&self, what: &str) -> String {
        format!("{what} {:?} {}", self.security, B::NAME)
    }

    pub(crate) fn settings(&self, user: &str) -> Settings {
        let settings = Settings::new(&self.service(), DOMAIN, user, &format!("secret-{user}"))
            .expect("settings");
        match self.ca_file() {
            Some(file) => settings.ca_file(file),
            None => settings,
        }
    }
}

/// A message as both ways in show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) sender: String,
    pub(crate) content: String,
    pub(crate) id: String,
    pub(crate) cursor: String,
    pub(crate) mentions: Vec<String>,
    /// Everything that the way in tells, but for the timestamp, which is informational, and
    /// whether it came live or from the archive.
    pub(crate) whole: String,
}

/// What a fetch gave.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) messages: Vec<Message>,
    pub(crate) next: String,
    pub(crate) complete: bool,
}

impl Page {
    pub(crate) fn contents(&self) -> Vec<&str> {
        let contents = self.messages.iter().map(|message| message.content.as_str());
        contents.collect()
    }

    pub(crate) fn ids(&self) -> Vec<&str> {
        self.messages
            .iter()
            .map(|message| message.id.as_str())
            .collect()
    }
}

/// A way in: one connection. Whatever fails, fails the test.
pub(crate) trait Backend: Sized {
    const NAME: &'static str;

    /// Connects as `user`, whose password is `secret-<user>`.
    async fn connect(target: &Target, user: &str) -> Self;
    /// Posts, and returns the id.
    async fn post(&self, topic: &str, content: &str) -> String;
    async fn fetch(&self, topic: &str, since: Option<&str>, limit: u32, block_ms: u64) -> Page;
    async fn subscribe(&self, topic: &str, since: Option<&str>);
    /// The next message of any subscription.
    async fn pushed(&self) -> Message;
    async fn close(self);
}

/// The library.
pub(crate) struct Library {
    client: Client,
    rooms: Mutex<BTreeMap<String, Room>>,
    sender: mpsc::UnboundedSender<Message>,
    messages: tokio::sync::Mutex<mpsc::UnboundedReceiver<Message>>,
}

impl Library {
    async fn room(&self, topic: &str) -> Room {
        let lock = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(topic).cloned();
        if let Some(room) = known {
            return room;
        }
        let room = soon("join", self.client.room(topic))
            .await
            .expect("to join");
        lock().insert(topic.to_owned(), room.clone());
        room
    }
}

fn cursor(text: &str) -> Cursor {
    Cursor::parse(text).expect("a cursor")
}

fn message(topic: &str, message: &parley_xmpp::Message) -> Message {
    let id = message.id.as_ref().expect("an archived message").as_str();
    let mut whole = message.clone();
    whole.stamp = None;
    whole.source = Source::Archive;
    Message {
        topic: topic.to_owned(),
        sender: message.nick.clone(),
        content: message.body.clone(),
        id: id.to_owned(),
        cursor: id.to_owned(),
        mentions: topic::mentions(&message.body),
        whole: format!("{whole:?}"),
    }
}

impl Backend for Library {
    const NAME: &'static str = "library";

    async fn connect(target: &Target, user: &str) -> Self {
        let client = soon("connect", Client::connect(target.settings(user)))
            .await
            .expect("to connect");
        assert_eq!(client.tls().is_some(), target.ca_file().is_some());
        let (sender, messages) = mpsc::unbounded_channel();
        Self {
            client,
            rooms: Mutex::default(),
            sender,
            messages: messages.into(),
        }
    }

    async fn post(&self, topic: &str, content: &str) -> String {
        let posted = soon("post", self.room(topic).await.post(content))
            .await
            .expect("to post");
        posted.id.expect("an archived post").as_str().to_owned()
    }

    async fn fetch(&self, topic: &str, since: Option<&str>, limit: u32, block_ms: u64) -> Page {
        let fetch = match since {
            Some(since) => Fetch::since(cursor(since), limit).wait(Duration::from_millis(block_ms)),
            None => Fetch::newest(limit),
        };
        let page = soon("fetch", self.room(topic).await.fetch(fetch))
            .await
            .expect("to fetch");
        Page {
            messages: page
                .messages
                .iter()
                .map(|one| message(topic, one))
                .collect(),
            next: page.next.as_str().to_owned(),
            complete: page.complete,
        }
    }

    async fn subscribe(&self, topic: &str, since: Option<&str>) {
        let start = since.map_or(Start::Now, |since| Start::Cursor(cursor(since)));
        let mut subscription = soon("subscribe", self.room(topic).await.subscribe(start))
            .await
            .expect("to subscribe");
        let (sender, topic) = (self.sender.clone(), topic.to_owned());
        tokio::spawn(async move {
            while let Some(entry) = subscription.next().await {
                match entry {
                    Entry::Message(one) => {
                        if sender.send(message(&topic, &one)).is_err() {
                            break;
                        }
                    }
                    Entry::CaughtUp { .. } | Entry::Ended => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }

    async fn pushed(&self) -> Message {
        let mut messages = self.messages.lock().await;
        soon("a message", messages.recv()).await.expect("a message")
    }

    async fn close(self) {
        soon("close", self.client.close()).await;
    }
}
