//! Looks over an engine's shoulder: at what it writes, and at what it tells.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parley_xmpp::xml::{Element, Frame, Framer};
use parley_xmpp::{
    Entry, Event, FetchEvent, JoinFailure, LeaveCause, PostId, PostOutcome, PostToken, QueryId,
    Retry, RoomEvent, RoomId, SubscriptionId, Transport, Wants, XmlLimits,
};

/// Reads what an engine writes, as a server would.
pub(crate) struct Watch {
    framer: Framer,
    /// What was written on this transport and not yet taken from it.
    waiting: Vec<u8>,
    closed: bool,
    pub(crate) transport: Transport,
    /// Requests made on it: ids, and of whom.
    pub(crate) requests: Vec<(String, String)>,
    /// Ids of the archive queries among them.
    pub(crate) queries: Vec<String>,
    /// Ids of posts.
    pub(crate) posts: Vec<String>,
    /// By id: what a post said when it was sent first.
    said: BTreeMap<String, String>,
    /// Stanzas since management was asked for, as a server counts them.
    pub(crate) sent: u32,
    /// The mechanism and text of the last `<auth/>`.
    pub(crate) auth: Option<(String, String)>,
    /// The text of the last `<response/>`.
    pub(crate) response: Option<String>,
}

impl Default for Watch {
    fn default() -> Self {
        let mut limits = XmlLimits::default();
        limits.stanza_bytes = 1 << 24;
        limits.value_bytes = 1 << 20;
        Self {
            framer: Framer::new(limits),
            waiting: Vec::new(),
            closed: false,
            transport: Transport::Closed,
            requests: Vec::new(),
            queries: Vec::new(),
            posts: Vec::new(),
            said: BTreeMap::new(),
            sent: 0,
            auth: None,
            response: None,
        }
    }
}

impl Watch {
    /// The transport took so many bytes.
    pub(crate) fn written(&mut self, n: usize) {
        self.waiting.drain(..n);
    }

    /// What is to be written only ever grows at its end, whole element by whole
    /// element, and is well-formed; what is wanted fits together.
    pub(crate) fn look(&mut self, wants: &Wants<'_>) {
        self.transport = wants.transport;
        match wants.transport {
            Transport::Closed | Transport::Connect { .. } => {
                assert!(wants.write.is_empty() && !wants.read, "{wants:?}");
                self.waiting.clear();
                self.closed = false;
                self.framer.restart();
                return;
            }
            Transport::StartTls => assert!(wants.write.is_empty() && !wants.read, "{wants:?}"),
            Transport::Shutdown => assert!(!wants.read && wants.deadline.is_some(), "{wants:?}"),
            // A timer runs, or nothing is read and it is for the host to take events.
            Transport::Open => assert!(wants.deadline.is_some() || !wants.read, "{wants:?}"),
            _ => {}
        }
        let new = wants.write.strip_prefix(&self.waiting[..]);
        let new = new.expect("what was written was taken back").to_vec();
        self.waiting.extend_from_slice(&new);
        // Far less than anybody says to it makes it keep more than it may.
        assert!(
            self.waiting.len() < 200_000,
            "{} bytes wait",
            self.waiting.len()
        );
        let text = core::str::from_utf8(&new).expect("text");
        for (n, stream) in text.split("<?xml ").enumerate() {
            if n > 0 {
                assert!(self.framer.is_between_frames());
                self.framer.restart();
                self.read("<?xml ");
            }
            self.read(stream);
        }
        assert!(self.framer.is_between_frames(), "half an element in {text}");
    }

    fn read(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            assert!(!self.closed, "after the end: {text}");
            let mut framer =
                core::mem::replace(&mut self.framer, Framer::new(XmlLimits::default()));
            let (n, frame) = framer.push(rest);
            match frame {
                Some(Ok(Frame::Stanza(element))) => self.note(element),
                Some(Ok(Frame::Close)) => self.closed = true,
                Some(Ok(Frame::Open(_))) | None => {}
                Some(Err(error)) => panic!("{error:?} in {text}"),
            }
            self.framer = framer;
            rest = &rest[n..];
        }
    }

    fn note(&mut self, element: Element<'_>) {
        let attr = |name| element.attr(name).unwrap_or_default().to_owned();
        if matches!(element.name(), "iq" | "message" | "presence") {
            self.sent += 1;
        }
        match element.name() {
            "iq" if matches!(element.attr("type"), Some("get" | "set")) => {
                self.requests.push((attr("id"), attr("to")));
                let query = element.children().find_map(|child| child.attr("queryid"));
                self.queries.extend(query.map(str::to_owned));
            }
            "message" => {
                // Sent again it is the same.
                let now = format!("{element:?}");
                let first = self.said.entry(attr("id")).or_insert_with(|| now.clone());
                assert_eq!(*first, now);
                self.posts.push(attr("id"));
            }
            "enable" => self.sent = 0,
            "auth" if attr("mechanism").starts_with("SCRAM") => {
                self.auth = Some((attr("mechanism"), element.text().to_owned()));
            }
            "response" => self.response = Some(element.text().to_owned()),
            _ => {}
        }
    }
}

/// So many places a subscription remembers at least.
const REMEMBERED: usize = 32;

/// Keeps account of what was asked for and what came of it.
#[derive(Default)]
pub(crate) struct Ledger {
    attempts: u32,
    offlines: u32,
    online: bool,
    closed: bool,
    posts: BTreeSet<PostId>,
    queries: BTreeSet<QueryId>,
    cancelled: BTreeSet<QueryId>,
    rooms: BTreeSet<RoomId>,
    subscriptions: BTreeSet<SubscriptionId>,
    unsubscribed: BTreeSet<SubscriptionId>,
    /// The places of the messages that a subscription was told last, as many as it remembers at
    /// least, however small its limits.
    told: BTreeMap<SubscriptionId, VecDeque<String>>,
}

impl Ledger {
    pub(crate) fn attempt(&mut self, transport: Transport) {
        if let Transport::Connect { attempt } = transport {
            assert!(attempt == self.attempts || attempt == self.attempts + 1);
            self.attempts = attempt;
        }
    }

    pub(crate) fn room(&mut self, id: RoomId) {
        assert!(self.rooms.insert(id), "an id twice");
    }

    pub(crate) fn post(&mut self, id: PostId) {
        assert!(self.posts.insert(id), "an id twice");
    }

    pub(crate) fn query(&mut self, id: QueryId) {
        assert!(self.queries.insert(id), "an id twice");
    }

    pub(crate) fn cancelled(&mut self, id: QueryId) {
        if self.queries.remove(&id) {
            self.cancelled.insert(id);
        }
    }

    pub(crate) fn subscription(&mut self, id: SubscriptionId) {
        assert!(self.subscriptions.insert(id), "an id twice");
    }

    pub(crate) fn unsubscribed(&mut self, id: SubscriptionId) {
        if self.subscriptions.remove(&id) {
            self.unsubscribed.insert(id);
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        assert!(!self.closed, "after the end: {event:?}");
        match event {
            Event::Online { .. } => {
                assert!(!core::mem::replace(&mut self.online, true));
            }
            Event::Offline { .. } => {
                self.online = false;
                self.offlines += 1;
                assert!(self.offlines <= self.attempts, "more ends than beginnings");
            }
            Event::Room { room, event } => {
                assert!(
                    self.rooms.contains(room),
                    "{event:?} of a room that is dead"
                );
                let dead = match event {
                    RoomEvent::JoinFailed {
                        retry: Retry::Never,
                        error,
                    } => {
                        assert!(*error != JoinFailure::Offline || !self.online);
                        true
                    }
                    // Such a room comes to life again with a new stream.
                    RoomEvent::Left {
                        cause: LeaveCause::Offline,
                        ..
                    } => false,
                    RoomEvent::Left { retry, .. } => *retry == Retry::Never,
                    _ => false,
                };
                if dead {
                    self.rooms.remove(room);
                }
            }
            Event::Entry {
                subscription,
                entry,
            } => {
                let known = self.subscriptions.contains(subscription);
                assert!(
                    known || self.unsubscribed.contains(subscription),
                    "{event:?}"
                );
                // Whatever the room and its archive say, and how often.
                if let Entry::Message(message) | Entry::Late(message) = entry
                    && let Some(id) = &message.id
                {
                    let told = self.told.entry(*subscription).or_default();
                    let place = id.as_str().to_owned();
                    assert!(!told.contains(&place), "told twice: {event:?}");
                    told.push_back(place);
                    if told.len() > REMEMBERED {
                        told.pop_front();
                    }
                }
                if *entry == Entry::Ended {
                    self.subscriptions.remove(subscription);
                    self.unsubscribed.remove(subscription);
                }
            }
            Event::Post { id, outcome } => {
                assert!(self.posts.remove(id), "{event:?}");
                if let PostOutcome::Unknown { token } = outcome {
                    assert_eq!(PostToken::parse(&token.to_string()).as_ref(), Ok(&**token));
                }
            }
            Event::Fetch {
                id,
                event: FetchEvent::Page(page),
            } => {
                assert!(!page.is_empty());
                assert!(self.queries.contains(id) || self.cancelled.contains(id));
            }
            Event::Fetch { id, .. } | Event::Disco { id, .. } | Event::Resolved { id, .. } => {
                assert!(
                    self.queries.remove(id) || self.cancelled.remove(id),
                    "{event:?}"
                );
            }
            Event::Closed => self.closed = true,
            other => panic!("a new kind of event: {other:?}"),
        }
    }

    pub(crate) fn finish(&self) {
        assert!(self.closed, "it does not end");
        assert_eq!(self.offlines, self.attempts);
        assert!(self.posts.is_empty(), "posts without an outcome");
        assert!(self.queries.is_empty(), "queries without an outcome");
        assert!(
            self.subscriptions.is_empty(),
            "subscriptions without an end"
        );
    }
}
