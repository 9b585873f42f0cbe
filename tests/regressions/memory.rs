//! What a subscription has to remember so that nothing is told twice, against an archive
//! that is late, or holds much that is no message.

use parley_xmpp::{Bookmark, SubscriptionId};

use crate::peer::{archived, message};
use crate::*;

struct Item {
    id: String,
    /// Whether it is a message; else a marker, a reaction or the like.
    body: bool,
    /// Whether the archive shows it.
    shown: bool,
}

/// A room whose archive shows what it is told to, a reader in it, and what came of that.
pub(super) struct World {
    peer: Peer,
    room: RoomId,
    subscription: Option<SubscriptionId>,
    config: parley_xmpp::Config,
    items: Vec<Item>,
    /// Whether the archive refuses to be read.
    pub(super) refuses: bool,
    pub(super) bookmark: Bookmark,
    /// What was told, in the words of [`words`].
    pub(super) told: Vec<String>,
    /// How many questions the archive was asked.
    pub(super) asked: usize,
}

/// An entry in words: messages are their ids, late ones are marked.
fn words(entry: Entry) -> String {
    match entry {
        Entry::Message(message) => message.body,
        Entry::Late(message) => format!("late {}", message.body),
        Entry::CaughtUp { .. } => "caught up".into(),
        Entry::Confirmed { .. } => "confirmed".into(),
        Entry::Gap { reason, .. } => format!("gap {reason:?}"),
        other => format!("{other:?}"),
    }
}

impl World {
    /// An archive of one message, `m0`, and nobody who reads it yet.
    pub(super) fn new(config: parley_xmpp::Config) -> Self {
        let (mut peer, room) = in_room_of(config.clone(), ROOM_FEATURES);
        peer.shows = false;
        let first = Item {
            id: "m0".into(),
            body: true,
            shown: true,
        };
        Self {
            peer,
            room,
            subscription: None,
            config,
            items: vec![first],
            refuses: false,
            bookmark: Bookmark::at(Cursor::parse("m0").unwrap()),
            told: Vec::new(),
            asked: 0,
        }
    }

    /// Begins to read where the bookmark stands.
    pub(super) fn read(&mut self, credit: u32) {
        let start = Start::Bookmark(self.bookmark.clone());
        let (now, room) = (self.peer.now, self.room);
        let id = self.peer.engine.subscribe(now, room, start, credit);
        self.subscription = Some(id.unwrap());
        self.serve();
    }

    /// The process is killed, and another goes on from what it kept.
    pub(super) fn restart(&mut self, credit: u32) {
        let kept = self.bookmark.to_string();
        self.bookmark = Bookmark::parse(&kept).unwrap();
        (self.peer, self.room) = in_room_of(self.config.clone(), ROOM_FEATURES);
        self.peer.shows = false;
        self.read(credit);
    }

    /// The reader can take more.
    pub(super) fn grant(&mut self, credit: u32) {
        let id = self.subscription.expect("a reader");
        self.peer.engine.grant(self.peer.now, id, credit);
        self.serve();
    }

    /// Puts something into the archive, or only behind it, that the reader does not hear.
    pub(super) fn store(&mut self, body: bool, shown: bool) {
        let id = format!("m{}", self.items.len());
        self.items.push(Item { id, body, shown });
    }

    /// The room says something.
    pub(super) fn say(&mut self, shown: bool) {
        self.store(true, shown);
        let id = self.items.last().map(|item| item.id.clone()).unwrap();
        self.peer.say(&message("bob", &id, &id));
        self.serve();
    }

    /// The archive shows all that it has.
    pub(super) fn show(&mut self) {
        for item in &mut self.items {
            item.shown = true;
        }
    }

    /// The room drops the reader, `meanwhile` happens, and it is let in again.
    pub(super) fn away(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.peer.say(&dropped());
        self.take();
        meanwhile(self);
        for _ in 0..1000 {
            let sent = self.peer.heard();
            if !joins(&sent).is_empty() {
                self.peer.kept = sent;
                self.peer.let_in("ada", ROOM_FEATURES);
                return self.serve();
            }
            self.answer(&sent);
            turn(&mut self.peer);
            self.take();
        }
        panic!("never back in the room");
    }

    /// Lets time pass, the archive answering.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.peer.now.plus(time);
        self.serve();
        while let Some(deadline) = self.peer.engine.wants().deadline.filter(|d| d.at <= end) {
            self.peer.now = self.peer.now.max(deadline.at);
            self.peer.engine.handle_timeout(self.peer.now);
            self.serve();
        }
        self.peer.now = end;
    }

    /// Answers all that is asked.
    fn serve(&mut self) {
        for turns in 0.. {
            assert!(turns < 10_000, "it is asked for ever");
            let sent = self.peer.heard();
            self.take();
            if requests(&sent).is_empty() {
                self.peer.kept = sent;
                return;
            }
            self.answer(&sent);
        }
    }

    fn answer(&mut self, sent: &str) {
        for request in requests(sent) {
            if request.contains("urn:xmpp:mam:2") {
                self.page(request);
            } else {
                let (id, to) = (iq(request), attribute(request, "to"));
                let pong = format!("<iq type='result' id='{id}' from='{to}'/>");
                self.peer.say(&pong);
            }
            self.take();
        }
    }

    fn page(&mut self, query: &str) {
        self.asked += 1;
        if self.refuses {
            let refusal = failure(iq(query), "not-allowed", "cancel");
            return self.peer.say(&refusal);
        }
        let text = |name: &str| {
            let (_, rest) = query.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<').unwrap().0)
        };
        let max: usize = text("max").unwrap().parse().unwrap();
        let shown: Vec<_> = self.items.iter().filter(|item| item.shown).collect();
        let place = |id| shown.iter().position(|item| item.id == id);
        let backward = query.contains("<before");
        let named = text("before").or_else(|| text("after"));
        let at = named.filter(|id| !id.is_empty()).map(place);
        let range = match (at, backward) {
            (Some(None), _) => {
                let unknown = failure(iq(query), "item-not-found", "cancel");
                return self.peer.say(&unknown);
            }
            (Some(Some(end)), true) => end.saturating_sub(max)..end,
            (None, true) => shown.len().saturating_sub(max)..shown.len(),
            (Some(Some(at)), false) => at + 1..shown.len().min(at + 1 + max),
            (None, false) => 0..shown.len().min(max),
        };
        let complete = match backward {
            true => range.start == 0,
            false => range.end == shown.len(),
        };
        let mut said = String::new();
        for item in &shown[range.clone()] {
            let all = archived(query_id(query), &item.id, &item.id);
            said += &match item.body {
                true => all,
                false => all.replace(&format!("<body>{}</body>", item.id), "<x xmlns='marker'/>"),
            };
        }
        let ids: Vec<_> = shown[range].iter().map(|item| item.id.as_str()).collect();
        said += &fin(iq(query), complete, &ids);
        self.peer.say(&said);
    }

    /// What was told since last time.
    fn take(&mut self) {
        for entry in entries(self.peer.events()) {
            self.bookmark.take(&entry);
            self.told.push(words(entry));
        }
    }

    /// How often each message was told, in the order of the archive.
    pub(super) fn times(&self) -> Vec<(&str, usize)> {
        let mut times = std::collections::BTreeMap::new();
        for words in &self.told {
            let id = words.strip_prefix("late ").unwrap_or(words);
            *times.entry(id).or_insert(0) += 1;
        }
        let messages = self.items.iter().skip(1).filter(|item| item.body);
        messages
            .map(|item| item.id.as_str())
            .map(|id| (id, times.get(id).copied().unwrap_or(0)))
            .collect()
    }

    /// Those that were not told once.
    pub(super) fn not_once(&self) -> Vec<(&str, usize)> {
        let mut times = self.times();
        times.retain(|(_, times)| *times != 1);
        times
    }
}
