//! Plays a scenario against one server and writes down what its clients see.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::client::{Client, HEADER};
use crate::node::Item;
use crate::shape::{Shaper, sort_runs};
use crate::support::{DOMAIN, MUC};
use crate::wire::Backend;

const MANAGEMENT: &str = "urn:xmpp:sm:3";
const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

/// What was seen in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A server and the clients of one scenario. Their names are `u0`, `u1`, … for
/// different accounts, with a letter for a further session of an account.
pub(crate) struct Stage<'a> {
    backend: &'a dyn Backend,
    clients: BTreeMap<String, Client>,
    shaper: Shaper,
    /// What `{name}` stands for in what clients say.
    values: BTreeMap<String, String>,
    syncs: u32,
    pub(crate) steps: Vec<Step>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(backend: &'a dyn Backend, scenario: &str) -> Self {
        let mut shaper = Shaper::default();
        shaper.said("'bind' 'b'");
        let mut stage = Self {
            backend,
            clients: BTreeMap::new(),
            shaper,
            values: BTreeMap::new(),
            syncs: 0,
            steps: Vec::new(),
        };
        stage.name(DOMAIN, "domain");
        stage.name(MUC, "muc");
        stage.name(&format!("{scenario}@{MUC}"), "room");
        stage.name(&format!("{scenario}-2@{MUC}"), "room2");
        for (number, account) in ["alice", "bob", "carol"].iter().enumerate() {
            stage.name(&format!("{account}@{DOMAIN}"), &format!("u{number}.bare"));
        }
        stage
    }

    /// Connects, logs in and binds the client's name as a resource.
    pub(crate) fn enter(&mut self, name: &str) {
        self.log_in(name);
        let client = self.client(name);
        client.bind("bind", Some(name));
        assert!(client.is_online(), "{name} is bound: {client:?}");
        client.take();
        let jid = client.jid.clone();
        self.name(&jid, name);
    }

    /// Connects and logs in, and writes nothing down.
    pub(crate) fn log_in(&mut self, name: &str) {
        self.connect(name);
        let account = account(name);
        let client = self.client(name);
        client.log_in(account, &format!("secret-{account}"));
        client.take();
    }

    /// Connects and has a stream, and writes nothing down.
    pub(crate) fn open(&mut self, name: &str) {
        self.connect(name);
        let client = self.client(name);
        client.send(HEADER);
        client.until_count(2);
        client.take();
    }

    /// Connects, no more.
    pub(crate) fn connect(&mut self, name: &str) {
        let client = Client::new(self.backend.connect());
        self.clients.insert(name.to_owned(), client);
    }

    pub(crate) fn client(&mut self, name: &str) -> &mut Client {
        let client = self.clients.get_mut(name);
        client.unwrap_or_else(|| panic!("no {name}"))
    }

    /// What stands for a value in what is shown and said.
    pub(crate) fn name(&mut self, value: &str, name: &str) {
        self.shaper.name(value, name);
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Clients say something, and all see everything that comes of it.
    pub(crate) fn step(&mut self, name: &str, said: &[(&str, &str)]) {
        let mut shown = String::new();
        for (who, template) in said {
            let text = self.say(who, template, &mut shown);
            if let Some(id) = request_id(&text) {
                self.client(who).until_answer(id);
            }
        }
        self.settle(name, said, shown);
    }

    /// The same, where a request is not due an answer.
    pub(crate) fn step_unanswered(&mut self, name: &str, said: &[(&str, &str)]) {
        let mut shown = String::new();
        for (who, template) in said {
            self.say(who, template, &mut shown);
        }
        self.settle(name, said, shown);
    }

    fn settle(&mut self, name: &str, said: &[(&str, &str)], shown: String) {
        for (who, _) in said {
            self.sync_rooms(who);
        }
        self.sync_all();
        self.write_down(name, shown);
    }

    /// A client that is not bound says something, and sees so many elements.
    pub(crate) fn step_until_count(&mut self, name: &str, who: &str, template: &str, count: usize) {
        let mut shown = String::new();
        self.say(who, template, &mut shown);
        self.client(who).until_count(count);
        self.write_down(name, shown);
    }

    /// A client that is not bound says something, and sees so many elements or the end.
    pub(crate) fn step_unbound(&mut self, name: &str, who: &str, template: &str, count: usize) {
        let mut shown = String::new();
        self.say(who, template, &mut shown);
        self.client(who).until_count(count);
        if self.client(who).was_told_the_end() {
            self.client(who).until_end();
        }
        self.write_down(name, shown);
    }

    /// Waits until a room has ended: until it is said that it is not there. What is
    /// said to it while it ends may be lost for ever on ejabberd, so asking goes on
    /// while pings are answered.
    pub(crate) fn until_gone(&mut self, who: &str) {
        let to = self.values["room"].clone();
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        for _ in 0..10_000 {
            let ask = format!("<iq type='get' id='sync-gone' to='{to}'>{query}</iq>");
            self.client(who).send(&ask);
            self.sync(who, DOMAIN, PING);
            if self.client(who).was_refused("sync-gone") {
                return;
            }
        }
        panic!("{to} does not end");
    }

    /// A client says something that ends a room.
    pub(crate) fn step_ending_room(&mut self, name: &str, who: &str, template: &str) {
        let mut shown = String::new();
        let text = self.say(who, template, &mut shown);
        let id = request_id(&text).expect("a request");
        self.client(who).until_answer(id);
        self.until_gone(who);
        self.sync_all();
        self.write_down(name, shown);
    }

    /// A client says something that ends its stream.
    pub(crate) fn step_until_end(&mut self, name: &str, who: &str, template: &str) {
        let mut shown = String::new();
        self.say(who, template, &mut shown);
        self.client(who).until_end();
        self.sync_all();
        self.write_down(name, shown);
    }

    /// A client says something that may end its stream.
    pub(crate) fn step_or_end(&mut self, name: &str, who: &str, template: &str) {
        let mut shown = String::new();
        self.say(who, template, &mut shown);
        self.sync(who, DOMAIN, PING);
        if self.client(who).was_told_the_end() {
            self.client(who).until_end();
        }
        self.sync_all();
        self.write_down(name, shown);
    }

    /// A client says something, and how many messages come of it is written down,
    /// and all that is none.
    pub(crate) fn summary(&mut self, name: &str, who: &str, template: &str) {
        let mut shown = String::new();
        let text = self.say(who, template, &mut shown);
        let id = request_id(&text).expect("a request");
        let client = self.client(who);
        client.until_answer(id);
        let (messages, rest): (Vec<_>, Vec<_>) = client
            .take()
            .into_iter()
            .partition(|item| matches!(item, Item::Stanza(node) if node.name == "message"));
        let _ = writeln!(shown, "{who} gets {} messages", messages.len());
        for message in &messages {
            // The places are counted all the same.
            self.shaper.item(message);
        }
        for item in rest {
            let _ = write!(shown, "{who} gets {}", self.shaper.item(&item));
        }
        self.steps.push(Step {
            name: name.to_owned(),
            text: shown,
        });
    }

    /// Writes down what a client did by itself.
    pub(crate) fn step_done(&mut self, name: &str) {
        self.sync_all();
        self.write_down(name, String::new());
    }

    /// Ends all streams in good order.
    pub(crate) fn finish(mut self) -> Vec<Step> {
        for client in self.clients.values_mut() {
            client.close();
        }
        self.steps
    }

    /// Sends what a template makes; the text is that.
    pub(crate) fn say(&mut self, who: &str, template: &str, shown: &mut String) -> String {
        let text = self.expand(who, template);
        self.shaper.said(&text);
        self.client(who).send(&text);
        let _ = writeln!(shown, "{who} says {}", template.replace('\n', "\\n"));
        text
    }

    fn expand(&mut self, who: &str, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        for n in 1..10 {
            if let Some(id) = self.shaper.archive_id(n) {
                text = text.replace(&format!("{{archive-id {n}}}"), id);
            }
        }
        if text.contains("{h}") {
            let handled = self.client(who).handled.to_string();
            text = text.replace("{h}", &handled);
        }
        assert!(!text.contains('{'), "all is known of: {text}");
        text
    }

    /// Waits until the rooms handled all that a client said to them: one handles what
    /// it is sent in that order.
    pub(crate) fn sync_rooms(&mut self, who: &str) {
        for room in ["room", "room2"] {
            let to = self.values[room].clone();
            let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
            self.sync(who, &to, query);
        }
    }

    /// Waits until all clients have what was sent to them: a server answers a ping
    /// after what it sent before.
    fn sync_all(&mut self) {
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for who in names {
            self.sync(&who, DOMAIN, PING);
        }
    }

    fn sync(&mut self, who: &str, to: &str, payload: &str) {
        self.syncs += 1;
        let id = format!("sync-{}", self.syncs);
        let client = self.client(who);
        if client.is_online() {
            client.send(&format!(
                "<iq type='get' id='{id}' to='{to}'>{payload}</iq>"
            ));
            client.answer(&id);
        }
    }

    fn write_down(&mut self, name: &str, shown: String) {
        let mut text = shown;
        for (who, client) in &mut self.clients {
            let mut shapes = Vec::new();
            for item in client.take() {
                if let Item::Stanza(node) = &item
                    && node.ns == MANAGEMENT
                {
                    if node.name == "r" {
                        // When it comes is a matter of time.
                        continue;
                    }
                    if let Some(id) = node.attr("id") {
                        self.values.insert("stream".to_owned(), id.to_owned());
                    }
                }
                if !is_sync(&item) {
                    shapes.push(self.shaper.item(&item));
                }
            }
            // Prosody has no order for the occupants that a newcomer is told of.
            sort_runs(&mut shapes, |shape| {
                let head = shape.lines().next().unwrap_or_default();
                head.starts_with("presence ")
                    && !head.contains(" type=")
                    && !shape.contains("status code=110")
            });
            for shape in shapes {
                let _ = write!(text, "{who} gets {shape}");
            }
        }
        self.steps.push(Step {
            name: name.to_owned(),
            text,
        });
    }

    /// Writes down that a scenario went no further.
    pub(crate) fn stopped(&mut self, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.steps.push(Step {
            name: "stopped".to_owned(),
            text: format!("{why}\n"),
        });
    }
}

/// The account of a client: sessions of one account differ in a letter at the end.
pub(crate) fn account(name: &str) -> &'static str {
    match name.get(..2) {
        Some("u0") => "alice",
        Some("u1") => "bob",
        Some("u2") => "carol",
        _ => panic!("no account for {name}"),
    }
}

/// Whether this is an answer to a sync that a resumed stream brought again.
fn is_sync(item: &Item) -> bool {
    matches!(item, Item::Stanza(node)
        if node.attr("id").is_some_and(|id| id.starts_with("sync-")))
}

/// The id of a request, which is due an answer.
fn request_id(text: &str) -> Option<&str> {
    let tag = text.strip_prefix("<iq ")?.split_once('>')?.0;
    let value = |name: &str| Some(tag.split_once(name)?.1.split_once('\'')?.0);
    matches!(value("type='")?, "get" | "set").then(|| value(" id='"))?
}
