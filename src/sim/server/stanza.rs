//! Stanzas as such: copying what is in them, refusing them (RFC 6120, section 8.3).

use alloc::string::{String, ToString as _};

use super::hub::Hub;
use super::ns;
use super::session::SessionId;
use crate::xml::Element;
use crate::{Condition, ErrorType};

/// The child elements for which `keep` holds, as markup within a stanza.
pub(super) fn inner(stanza: Element<'_>, keep: impl Fn(Element<'_>) -> bool) -> String {
    let mut all = String::new();
    for child in stanza.children().filter(|child| keep(*child)) {
        let markup = child.to_string();
        // An element alone names its namespace; within a stanza that of the
        // stanza need not be named, and having none has to be.
        let name = child.name().len().saturating_add(1);
        let (start, rest) = markup.split_at_checked(name).unwrap_or_default();
        all.push_str(start);
        match child.ns() {
            "" => {
                all.push_str(" xmlns=''");
                all.push_str(rest);
            }
            ns::CLIENT => {
                all.push_str(rest.strip_prefix(" xmlns='jabber:client'").unwrap_or(rest));
            }
            _ => all.push_str(rest),
        }
    }
    all
}

/// Why a stanza is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ErrorType,
    pub(super) condition: Condition,
    pub(super) text: Option<&'static str>,
}

impl Refusal {
    pub(super) const fn new(kind: ErrorType, condition: Condition) -> Self {
        Self {
            kind,
            condition,
            text: None,
        }
    }

    pub(super) const fn cancel(condition: Condition) -> Self {
        Self::new(ErrorType::Cancel, condition)
    }

    pub(super) const fn auth(condition: Condition) -> Self {
        Self::new(ErrorType::Auth, condition)
    }

    pub(super) const fn modify(condition: Condition) -> Self {
        Self::new(ErrorType::Modify, condition)
    }

    pub(super) const fn wait(condition: Condition) -> Self {
        Self::new(ErrorType::Wait, condition)
    }

    pub(super) const fn saying(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }
}

impl Hub {
    /// Answers a stanza with an error, unless it is an answer itself.
    ///
    /// RFC 6120 section 8.3.1: "An entity that receives an error stanza MUST NOT
    /// respond to the stanza with a further error stanza"; nor to a result.
    pub(super) fn refuse(&mut self, session: SessionId, stanza: Element<'_>, refusal: Refusal) {
        if matches!(stanza.attr("type"), Some("error" | "result")) {
            return;
        }
        let name = match stanza.name() {
            "iq" => "iq",
            "presence" => "presence",
            _ => "message",
        };
        let to = self.address(session);
        // Measured: ejabberd sends back what it refuses, Prosody does not.
        let sent = if self.is_prosody() {
            String::new()
        } else {
            inner(stanza, |_| true)
        };
        self.send_with(
            session,
            name,
            |w| {
                w.start(name).attr("type", "error").attr("to", &to);
                if let Some(from) = stanza.attr("to") {
                    w.attr("from", from);
                }
                if let Some(id) = stanza.attr("id") {
                    w.attr("id", id);
                }
            },
            &sent,
            |w| {
                w.start("error").attr("type", refusal.kind.as_str());
                w.start(refusal.condition.as_str())
                    .attr("xmlns", ns::STANZA_ERRORS)
                    .end();
                if let Some(text) = refusal.text {
                    w.start("text")
                        .attr("xmlns", ns::STANZA_ERRORS)
                        .text(text)
                        .end();
                }
                w.end();
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::XmlLimits;
    use crate::xml::{Frame, Framer};

    #[test]
    fn what_is_copied_means_the_same_within_a_stanza() {
        let head = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
        let stanza = "<message><body>1 &lt; 2</body>\n<x xmlns='u' a='&apos;'><y/></x>\
                      <z xmlns=''/><gone/></message>";
        let mut framer = Framer::new(XmlLimits::default());
        assert!(framer.push(head).1.is_some());
        let (_, found) = framer.push(stanza.as_bytes());
        let Some(Ok(Frame::Stanza(message))) = found else {
            unreachable!("{found:?}");
        };
        assert_eq!(
            inner(message, |child| child.name() != "gone"),
            "<body>1 &lt; 2</body><x xmlns='u' a='&apos;'><y/></x><z xmlns=''/>"
        );
    }
}
