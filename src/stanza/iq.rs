//! Requests and their answers (RFC 6120, section 8.2.3).

use crate::error::{Condition, ErrorType};
use crate::ns;
use crate::xml::{Element, Writer};

/// An `<iq/>`, as far as routing needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iq<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) element: Element<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Set,
    Result,
    Error,
}

impl<'a> Iq<'a> {
    /// The request or answer; `None` if its type or id is missing or wrong.
    pub(crate) fn parse(element: Element<'a>) -> Option<Self> {
        let kind = match element.attr("type")? {
            "get" => Kind::Get,
            "set" => Kind::Set,
            "result" => Kind::Result,
            "error" => Kind::Error,
            _ => return None,
        };
        let id = element.attr("id").filter(|id| !id.is_empty())?;
        Some(Self {
            kind,
            id,
            from: element.attr("from"),
            element,
        })
    }

    /// Its payload: the one child that is not an error.
    pub(crate) fn payload(&self) -> Option<Element<'a>> {
        self.element
            .children()
            .find(|child| !child.is("error", ns::CLIENT))
    }
}

/// Answers a ping (XEP-0199 v2.0.1, section 4) with an empty result.
pub(crate) fn write_result(w: &mut Writer<'_>, to: Option<&str>, id: &str) {
    w.start("iq").attr("type", "result").attr("id", id);
    if let Some(to) = to {
        w.attr("to", to);
    }
    w.end();
}

/// Refuses a request. RFC 6120 section 8.4: "If an intended recipient receives an IQ
/// stanza of type "get" or "set" containing a child element qualified by a namespace it
/// does not understand, then the entity MUST return an IQ stanza of type "error" with an
/// error condition of `<service-unavailable/>`."
pub(crate) fn write_unavailable(w: &mut Writer<'_>, to: Option<&str>, id: &str) {
    write_refusal(w, to, id, ErrorType::Cancel, Condition::ServiceUnavailable);
}

/// Refuses what is neither a request nor an answer, has no id, or does not ask for
/// exactly one thing. RFC 6120 section
/// 8.2.3: the value of 'type' "MUST be one of the following; if not, the recipient or an
/// intermediate router MUST return a `<bad-request/>` stanza error".
pub(crate) fn write_malformed(w: &mut Writer<'_>, iq: Element<'_>) {
    write_refusal(
        w,
        iq.attr("from"),
        // "The response MUST preserve the 'id' attribute of the request (or be empty if
        // the generated stanza did not include an 'id' attribute)."
        iq.attr("id").unwrap_or_default(),
        ErrorType::Modify,
        Condition::BadRequest,
    );
}

fn write_refusal(
    w: &mut Writer<'_>,
    to: Option<&str>,
    id: &str,
    kind: ErrorType,
    condition: Condition,
) {
    w.start("iq").attr("type", "error").attr("id", id);
    if let Some(to) = to {
        w.attr("to", to);
    }
    w.start("error").attr("type", kind.as_str());
    w.start(condition.as_str())
        .attr("xmlns", ns::STANZA_ERRORS)
        .end();
    w.end().end();
}
