//! Stanzas as such: copying what is in them, refusing them (RFC 6120, section 8.3).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::hub::Hub;
use super::ns;
use super::session::SessionId;
use crate::xml::{Element, Writer};
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

/// Children of a stanza as the server passes them on. Measured: ejabberd puts last
/// what the stanza itself defines, Prosody leaves all where it is.
pub(super) fn passed_on(
    prosody: bool,
    stanza: Element<'_>,
    keep: impl Fn(Element<'_>) -> bool,
) -> String {
    if prosody {
        return inner(stanza, keep);
    }
    let mut all = inner(stanza, |child| keep(child) && !is_core(child));
    all.push_str(&core_of(stanza, keep));
    all
}

/// What ejabberd puts last of a stanza.
fn core_of(stanza: Element<'_>, keep: impl Fn(Element<'_>) -> bool) -> String {
    let mut all = String::new();
    for name in ["show", "status", "priority", "body", "subject", "thread"] {
        all.push_str(&inner(stanza, |child| {
            child.is(name, ns::CLIENT) && keep(child)
        }));
    }
    all
}

fn is_core(child: Element<'_>) -> bool {
    let core = ["show", "status", "priority", "body", "subject", "thread"];
    child.ns() == ns::CLIENT && core.contains(&child.name())
}

/// Who says of itself that it refused; only Prosody tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Nobody,
    Room,
    Service,
}

/// Why a stanza is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: ErrorType,
    pub(super) condition: Condition,
    /// What Prosody says with it; ejabberd says something with each.
    pub(super) text: Option<&'static str>,
    pub(super) by: By,
}

impl Refusal {
    pub(super) const fn new(kind: ErrorType, condition: Condition) -> Self {
        Self {
            kind,
            condition,
            text: None,
            by: By::Nobody,
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

    pub(super) const fn by(mut self, by: By) -> Self {
        self.by = by;
        self
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
        let prosody = self.is_prosody();
        // Measured: ejabberd sends back what it refuses, Prosody does not.
        let (before, after) = if prosody {
            (String::new(), String::new())
        } else {
            (
                inner(stanza, |child| !is_core(child)),
                core_of(stanza, |_| true),
            )
        };
        let room = stanza
            .attr("to")
            .map(|to| to.split('/').next().unwrap_or(to));
        let by = match refusal.by {
            By::Room if prosody => room,
            By::Service if prosody => Some(self.muc.as_str()),
            _ => None,
        };
        let by = by.map(String::from);
        let own = to.split('/').next().filter(|_| !prosody).map(String::from);
        let from = stanza.attr("to").map(String::from).or(own);
        let error = markup(|w| {
            w.start("error").attr("type", refusal.kind.as_str());
            if let Some(by) = &by {
                w.attr("by", by);
            }
            w.start(refusal.condition.as_str())
                .attr("xmlns", ns::STANZA_ERRORS)
                .end();
            if let Some(text) = refusal.text.or((!prosody).then_some("Refused")) {
                w.start("text").attr("xmlns", ns::STANZA_ERRORS);
                if !prosody {
                    w.attr("xml:lang", "en");
                }
                w.text(text).end();
            }
            w.end();
        });
        self.send_with(
            session,
            name,
            |w| {
                w.start(name).attr("type", "error").attr("to", &to);
                if let Some(from) = &from {
                    w.attr("from", from);
                }
                if let Some(id) = stanza.attr("id") {
                    w.attr("id", id);
                }
                if !prosody {
                    w.attr("xml:lang", stanza.attr_ns("lang", ns::XML).unwrap_or("en"));
                }
            },
            &[before, error, after].concat(),
            |_| {},
        );
    }
}

/// What a writer writes, as markup.
pub(super) fn markup(write: impl FnOnce(&mut Writer<'_>)) -> String {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer);
    // What XML cannot carry did not come through XML.
    let _ = writer.finish();
    String::from_utf8(bytes).unwrap_or_default()
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
