//! A client that does what it is told and keeps all that it is sent.

use parley_xmpp::XmlLimits;
use parley_xmpp::xml::{Frame, Framer};

use crate::node::{Item, Node};
use crate::scram;
use crate::wire::{Read, Wire};

pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream to='parley.local' \
    version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

#[derive(Debug)]
pub(crate) struct Client {
    wire: Box<dyn Wire>,
    framer: Framer,
    /// What came and was not taken.
    items: Vec<Item>,
    /// Stanzas that came since stream management was enabled.
    pub(crate) handled: u32,
    /// The full address, once bound.
    pub(crate) jid: String,
    /// The server asked for an acknowledgement.
    asked: bool,
    ended: bool,
}

impl Client {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            framer: Framer::new(XmlLimits::default()),
            items: Vec::new(),
            handled: 0,
            jid: String::new(),
            asked: false,
            ended: false,
        }
    }

    pub(crate) fn is_online(&self) -> bool {
        !self.ended && !self.jid.is_empty()
    }

    /// Whether the server ended the stream.
    pub(crate) fn was_told_the_end(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(item, Item::Footer)
                || matches!(item, Item::Stanza(node) if node.name == "error")
        })
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.wire.write(text.as_bytes());
    }

    /// Takes all that came so far.
    pub(crate) fn take(&mut self) -> Vec<Item> {
        std::mem::take(&mut self.items)
    }

    /// Begins a stream anew on the same connection.
    pub(crate) fn restart(&mut self) {
        self.framer = Framer::new(XmlLimits::default());
        self.send(HEADER);
    }

    /// Reads until an item satisfies `is_it`; `false` if the connection ends before.
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&Item) -> bool) -> bool {
        let mut seen = 0;
        loop {
            while let Some(item) = self.items.get(seen) {
                if is_it(item) {
                    return true;
                }
                seen += 1;
            }
            if self.ended {
                return false;
            }
            match self.wire.read() {
                Read::Bytes(bytes) => self.push(&bytes),
                Read::End => self.end(),
                Read::Silence => panic!("{} waits for {what}; so far: {:#?}", self.jid, self.items),
            }
        }
    }

    /// Reads until so many items are there that nobody took.
    pub(crate) fn until_count(&mut self, count: usize) {
        let seen = std::cell::Cell::new(0);
        let reached = self.until(&format!("{count} items"), |_| {
            seen.set(seen.get() + 1);
            seen.get() == count
        });
        assert!(reached, "{count} items: {:#?}", self.items);
    }

    /// Reads until the server has asked for an acknowledgement.
    pub(crate) fn until_asked(&mut self) {
        if !self.asked {
            self.until_stanza("r");
        }
    }

    /// Reads until the connection ends.
    pub(crate) fn until_end(&mut self) {
        self.until("the end", |_| false);
    }

    /// Waits for the answer to a request, and takes it out of what came.
    pub(crate) fn answer(&mut self, id: &str) -> Option<Node> {
        let is_it = |item: &Item| is_answer(item, id);
        if !self.until(&format!("the answer to {id}"), is_it) {
            return None;
        }
        let at = self.items.iter().position(is_it)?;
        match self.items.remove(at) {
            Item::Stanza(node) => Some(node),
            _ => None,
        }
    }

    /// Whether a request was refused so far.
    pub(crate) fn was_refused(&self, id: &str) -> bool {
        self.items.iter().any(|item| {
            is_answer(item, id)
                && matches!(item, Item::Stanza(node) if node.attr("type") == Some("error"))
        })
    }

    /// Waits for the answer to a request and leaves it.
    pub(crate) fn until_answer(&mut self, id: &str) -> bool {
        self.until(&format!("the answer to {id}"), |item| is_answer(item, id))
    }

    /// Ends the connection without a word.
    pub(crate) fn cut(&mut self) {
        self.wire.cut();
        self.ended = true;
    }

    /// Ends the stream and waits for the server's end.
    pub(crate) fn close(&mut self) {
        if !self.ended {
            self.send("</stream:stream>");
            self.until_end();
        }
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.items.push(Item::Closed);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let mut footer = false;
        while !rest.is_empty() {
            let (n, found) = self.framer.push(rest);
            rest = rest.get(n..).unwrap_or_default();
            let item = match found {
                None => continue,
                Some(Ok(Frame::Open(element))) => Item::Header(Node::of(element)),
                Some(Ok(Frame::Stanza(element))) => Item::Stanza(Node::of(element)),
                Some(Ok(Frame::Close)) => Item::Footer,
                Some(Err(error)) => {
                    self.items.push(Item::Broken(error.fault.to_string()));
                    self.cut();
                    return;
                }
            };
            if let Item::Stanza(node) = &item
                && ["iq", "message", "presence"].contains(&node.name.as_str())
            {
                self.handled += 1;
            }
            self.asked |= matches!(&item, Item::Stanza(node) if node.name == "r");
            footer |= matches!(item, Item::Footer);
            self.items.push(item);
        }
        if footer {
            // Or else the server would wait for it for a while.
            self.send("</stream:stream>");
        }
    }

    /// Opens a stream and logs in by SCRAM-SHA-1; what the server said is left to be taken.
    pub(crate) fn log_in(&mut self, name: &str, password: &str) {
        self.restart();
        self.until_stanza("features");
        let initial = scram::first(name);
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='SCRAM-SHA-1'>{initial}</auth>"
        ));
        let challenge = self.until_stanza("challenge").text();
        let (response, signature) = scram::answer(name, password, &challenge);
        self.send(&format!("<response xmlns='{SASL}'>{response}</response>"));
        assert_eq!(self.until_stanza("success").text(), signature);
        let seen = self.items.len();
        self.restart();
        self.until_count(seen + 2);
    }

    /// Binds a resource, or has the server choose one; the answer is left to be taken.
    pub(crate) fn bind(&mut self, id: &str, resource: Option<&str>) {
        let resource = resource.map_or_else(String::new, |r| format!("<resource>{r}</resource>"));
        self.send(&format!(
            "<iq type='set' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             {resource}</bind></iq>"
        ));
        self.until_answer(id);
        let jid = self.items.iter().find_map(|item| match item {
            Item::Stanza(node) if node.attr("id") == Some(id) => {
                Some(node.child("bind")?.child("jid")?.text())
            }
            _ => None,
        });
        self.jid = jid.unwrap_or_default();
    }

    /// Waits for an element of this name, and leaves it.
    pub(crate) fn until_stanza(&mut self, name: &str) -> Node {
        self.until(
            name,
            |item| matches!(item, Item::Stanza(node) if node.name == name),
        );
        let found = self.items.iter().find_map(|item| match item {
            Item::Stanza(node) if node.name == name => Some(node.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no {name}: {:#?}", self.items))
    }
}

fn is_answer(item: &Item, id: &str) -> bool {
    matches!(item, Item::Stanza(node) if node.name == "iq"
        && node.attr("id") == Some(id)
        && matches!(node.attr("type"), Some("result" | "error")))
}
