//! Requests and their answers (RFC 6120, section 8.2.3).

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
    /// The request or answer; `None` if its type or id is missing or wrong, in
    /// which case there is nothing to answer to.
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

/// Refuses a request. RFC 6120 section 8.4: "If the intended recipient does not
/// understand the namespace or the element, it MUST return an IQ stanza of type
/// "error" with an error condition of `<service-unavailable/>`."
pub(crate) fn write_unavailable(w: &mut Writer<'_>, to: Option<&str>, id: &str) {
    w.start("iq").attr("type", "error").attr("id", id);
    if let Some(to) = to {
        w.attr("to", to);
    }
    w.start("error").attr("type", "cancel");
    w.start("service-unavailable")
        .attr("xmlns", ns::STANZA_ERRORS)
        .end();
    w.end().end();
}
