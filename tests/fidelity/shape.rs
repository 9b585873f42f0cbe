//! What of a stanza has meaning, as text to read and to compare: generated values
//! are replaced by their kind, addresses by who they are.

use std::fmt::Write as _;

use crate::node::{Child, Item, Node};

const SID: &str = "urn:xmpp:sid:0";
const MAM: &str = "urn:xmpp:mam:2";
const RSM: &str = "http://jabber.org/protocol/rsm";
const XML: &str = "http://www.w3.org/XML/1998/namespace";
const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
const FORMS: &str = "jabber:x:data";
const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";

/// Makes shapes of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Shaper {
    /// What is replaced by a name, the longest first.
    names: Vec<(String, String)>,
    /// All that clients said, in which their own ids and texts are found again.
    said: String,
    /// Ids of archived messages, in the order in which they were first seen.
    archive_ids: Vec<String>,
}

impl Shaper {
    /// From now on this address is shown as that name.
    pub(crate) fn name(&mut self, real: &str, name: &str) {
        self.names.push((real.to_owned(), format!("{{{name}}}")));
        self.names
            .sort_by_key(|(real, _)| std::cmp::Reverse(real.len()));
    }

    /// Remembers what a client said.
    pub(crate) fn said(&mut self, text: &str) {
        self.said.push_str(text);
        self.said.push('\n');
    }

    /// The id of the `n`th archived message that was seen, from one.
    pub(crate) fn archive_id(&self, n: usize) -> Option<&str> {
        self.archive_ids.get(n.checked_sub(1)?).map(String::as_str)
    }

    pub(crate) fn item(&mut self, item: &Item) -> String {
        match item {
            Item::Header(node) => {
                let mut out = String::new();
                self.node(node, "", 0, &mut out);
                out.insert_str(0, "header: ");
                out
            }
            Item::Stanza(node) => {
                let mut out = String::new();
                self.node(node, "jabber:client", 0, &mut out);
                out
            }
            Item::Footer => "the stream ends\n".to_owned(),
            Item::Closed => "the connection ends\n".to_owned(),
            Item::Broken(why) => format!("NO XML: {why}\n"),
        }
    }

    fn node(&mut self, node: &Node, outer: &str, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        let _ = write!(out, "{indent}{}", node.name);
        if node.ns != outer {
            let _ = write!(out, " xmlns={}", node.ns);
        }
        let mut attrs: Vec<_> = node.attrs.iter().collect();
        attrs.sort_by_key(|(ns, name, _)| (ns, name));
        for (ns, name, value) in attrs {
            let prefix = if ns == XML { "xml:" } else { ns.as_str() };
            let value = self.attribute(node, name, value);
            let _ = write!(out, " {prefix}{name}={value}");
        }
        let text = node.text();
        if !text.trim().is_empty() || (!text.is_empty() && node.nodes().next().is_none()) {
            let _ = write!(out, " \"{}\"", self.text(node, &text));
        }
        out.push('\n');
        let mut shapes: Vec<String> = Vec::new();
        for child in &node.children {
            if let Child::Node(child) = child {
                let mut shape = String::new();
                self.node(child, &node.ns, depth + 1, &mut shape);
                shapes.push(shape);
            }
        }
        if has_no_order(node) {
            shapes.sort();
        }
        if node.ns == MUC_USER {
            // Prosody has no order for the sessions of one nick.
            let is_item = |shape: &String| shape.trim_start().starts_with("item ");
            sort_runs(&mut shapes, is_item);
        }
        out.extend(shapes);
    }

    fn attribute(&mut self, node: &Node, name: &str, value: &str) -> String {
        match name {
            "id" if is_place(node) => self.place(value),
            "stamp" => stamp(value),
            "ver" => "{hash}".to_owned(),
            "label" => "{text}".to_owned(),
            "name" if node.name == "identity" => "{text}".to_owned(),
            "previd" => format!("{{{}}}", kind(value)),
            "id" | "queryid" | "node" => self.id(value),
            _ => self.words(value),
        }
    }

    fn text(&mut self, node: &Node, text: &str) -> String {
        match (node.ns.as_str(), node.name.as_str()) {
            (RSM, "first" | "last") => self.place(text),
            (STREAM_ERRORS | STANZA_ERRORS | SASL, "text") => "{text}".to_owned(),
            (SASL, "challenge" | "success") => "{base64}".to_owned(),
            _ => self.words(text),
        }
    }

    /// A place in an archive.
    fn place(&mut self, id: &str) -> String {
        let known = self.archive_ids.iter().position(|known| known == id);
        let at = known.unwrap_or_else(|| {
            self.archive_ids.push(id.to_owned());
            self.archive_ids.len() - 1
        });
        format!("{{archive-id {} {}}}", at + 1, kind(id))
    }

    /// An id: one that a client gave, or the kind of one that the server made.
    fn id(&self, id: &str) -> String {
        if self.said.contains(&format!("'{id}'")) {
            self.words(id)
        } else {
            format!("{{{}}}", kind(id))
        }
    }

    /// A text of meaning; sentences of the server's own have none.
    fn words(&self, text: &str) -> String {
        if text.contains(' ') && !self.said.contains(text) {
            return "{text}".to_owned();
        }
        let mut shown = text.replace('\n', "\\n");
        for (real, name) in &self.names {
            shown = shown.replace(real, name);
        }
        shown
    }
}

/// Whether the order of children is left to chance by a server.
fn has_no_order(node: &Node) -> bool {
    ["features", "mechanisms"].contains(&node.name.as_str())
        || node.ns == DISCO_INFO
        || node.ns == RSM
        || (node.ns == FORMS && node.attr("type") == Some("result"))
}

/// Sorts those next to each other that have no order.
pub(crate) fn sort_runs(shapes: &mut [String], has_no_order: impl Fn(&String) -> bool) {
    for run in shapes.chunk_by_mut(|a, b| has_no_order(a) && has_no_order(b)) {
        if run.len() > 1 {
            run.sort();
        }
    }
}

/// Whether the id of this element is a place in an archive.
fn is_place(node: &Node) -> bool {
    matches!(
        (node.ns.as_str(), node.name.as_str()),
        (SID, "stanza-id") | (MAM, "result")
    )
}

fn kind(id: &str) -> &'static str {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let groups: Vec<&str> = id.split('-').collect();
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|g| hex(g))
    {
        "uuid"
    } else if id.is_empty() {
        "empty"
    } else if digits(id) {
        "digits"
    } else {
        "token"
    }
}

/// The precision and the zone of a stamp.
fn stamp(value: &str) -> String {
    let plain: String = value
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    match plain.strip_prefix("0000-00-00T00:00:00") {
        Some("Z") => "{stamp}".to_owned(),
        Some(rest) => format!("{{stamp{rest}}}"),
        None => format!("{{no stamp: {value}}}"),
    }
}
