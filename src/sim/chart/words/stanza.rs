//! Stanzas and nonzas in a few words.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::item::Kind;
use super::super::{brief, joined};
use super::{address, quoted};
use crate::xml::{Element, Frame};

pub(in crate::sim::chart) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const CLIENT: &str = "jabber:client";
const STREAM: &str = "http://etherx.jabber.org/streams";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// What it is, and the label of its arrow.
pub(in crate::sim::chart) fn frame(frame: &Frame<'_>) -> (Kind, String) {
    match frame {
        Frame::Open(_) => (Kind::Stream, "stream begins".into()),
        Frame::Close => (Kind::Stream, "stream ends".into()),
        Frame::Stanza(element) => match (element.name(), element.ns()) {
            ("message", CLIENT) => (Kind::Message, message(element)),
            ("presence", CLIENT) => (Kind::Presence, presence(element)),
            ("iq", CLIENT) => (Kind::Iq, iq(element)),
            _ => (Kind::Nonza, nonza(element)),
        },
    }
}

fn message(element: &Element<'_>) -> String {
    // A message of the archive, or a carbon copy, is within: what is of interest is that.
    for holder in element.children() {
        let inner = holder
            .child("forwarded", "urn:xmpp:forward:0")
            .and_then(|forwarded| forwarded.child("message", CLIENT));
        if let Some(inner) = inner {
            return format!("message: archived {}", said(&inner));
        }
    }
    match element.attr("type") {
        Some("error") => format!("message: error {}", condition(element)),
        _ => format!("message {}", said(element)),
    }
}

/// `“text” by t/bob`, or `“text” to t`, or what else a message has.
fn said(element: &Element<'_>) -> String {
    let who = match (element.attr("from"), element.attr("to")) {
        (Some(from), _) if from.contains('/') => format!(" by {}", address(from)),
        (None, Some(to)) => format!(" to {}", address(to)),
        (Some(from), _) => format!(" from {}", address(from)),
        (None, None) => String::new(),
    };
    if let Some(body) = element.child("body", CLIENT) {
        return format!("{}{who}", quoted(body.text()));
    }
    if let Some(subject) = element.child("subject", CLIENT) {
        return format!("subject {}{who}", quoted(subject.text()));
    }
    let names: Vec<String> = element
        .children()
        .map(|child| brief(child.name(), 24))
        .take(3)
        .collect();
    format!("({}){who}", joined(&names))
}

fn presence(element: &Element<'_>) -> String {
    let who = match (element.attr("from"), element.attr("to")) {
        (Some(from), _) => format!(" of {}", address(from)),
        (None, Some(to)) => format!(" to {}", address(to)),
        (None, None) => String::new(),
    };
    let what = match element.attr("type") {
        None => String::new(),
        Some("error") => format!(": error {}", condition(element)),
        Some(kind) => format!(" {}", brief(kind, 24)),
    };
    let codes: Vec<String> = element
        .child("x", MUC_USER)
        .into_iter()
        .flat_map(|x| x.children())
        .filter(|child| child.is("status", MUC_USER))
        .filter_map(|status| status.attr("code"))
        .map(|code| brief(code, 8))
        .take(6)
        .collect();
    match codes.is_empty() {
        true => format!("presence{who}{what}"),
        false => format!("presence{who}{what} [{}]", joined(&codes)),
    }
}

fn iq(element: &Element<'_>) -> String {
    let kind = brief(element.attr("type").unwrap_or("?"), 12);
    if kind == "error" {
        return format!("iq error {}", condition(element));
    }
    let payload = element
        .children()
        .next()
        .map_or_else(|| String::from("(empty)"), |child| payload(&child));
    let whose = match (element.attr("from"), element.attr("to")) {
        (None, Some(to)) => format!(" to {}", address(to)),
        (Some(from), _) => format!(" from {}", address(from)),
        (None, None) => String::new(),
    };
    format!("iq {kind} {payload}{whose}")
}

/// `query disco#info`: the name, and the end of the namespace where it says something.
fn payload(element: &Element<'_>) -> String {
    let ns = element.ns();
    let about = match ns {
        "urn:xmpp:mam:2" => "archive",
        "urn:ietf:params:xml:ns:xmpp-bind" => "",
        _ => ns
            .rsplit(['/', ':'])
            .find(|part| !part.is_empty() && !part.bytes().all(|b| b.is_ascii_digit()))
            .unwrap_or_default(),
    };
    let name = brief(element.name(), 24);
    match about {
        "" => name,
        about if about == element.name() => name,
        about => format!("{name} {}", brief(about, 24)),
    }
}

fn nonza(element: &Element<'_>) -> String {
    let name = brief(element.name(), 32);
    match (element.name(), element.ns()) {
        ("features", STREAM) => {
            let offered: Vec<String> = element
                .children()
                .map(|child| brief(child.name(), 16))
                .take(4)
                .collect();
            format!("features: {}", joined(&offered))
        }
        ("error", STREAM) => format!("stream error: {}", first_child(element)),
        ("auth", SASL) => format!(
            "auth {}",
            brief(element.attr("mechanism").unwrap_or("?"), 24)
        ),
        ("failure", _) => format!("failure: {}", first_child(element)),
        ("a" | "resume" | "resumed" | "failed", _) => {
            let handled = element.attr("h").map(|h| format!(" h={}", brief(h, 12)));
            format!("{name}{}", handled.unwrap_or_default())
        }
        ("r", _) => "r (what did you handle?)".to_string(),
        _ => name,
    }
}

fn first_child(element: &Element<'_>) -> String {
    element
        .children()
        .next()
        .map_or_else(|| String::from("?"), |child| brief(child.name(), 40))
}

fn condition(element: &Element<'_>) -> String {
    element
        .child("error", CLIENT)
        .map_or_else(|| String::from("?"), |error| first_child(&error))
}
