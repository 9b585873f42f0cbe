//! Stanza errors (RFC 6120, section 8.3).

use crate::error::{Condition, ErrorType, StanzaError};
use crate::ns;
use crate::xml::Element;

/// Reads the `<error/>` of a stanza of type `error`.
///
/// A stanza of that type without a usable `<error/>` still is a refusal: its
/// condition is undefined.
pub(crate) fn parse(stanza: Element<'_>) -> StanzaError {
    let Some(error) = stanza.child("error", ns::CLIENT) else {
        return StanzaError::new(ErrorType::Unknown, Condition::UndefinedCondition);
    };
    let mut read = StanzaError::new(
        ErrorType::from_wire(error.attr("type").unwrap_or_default()),
        Condition::UndefinedCondition,
    );
    for child in error.children().filter(|c| c.ns() == ns::STANZA_ERRORS) {
        if child.name() == "text" {
            read.text = super::prose(child.text());
        } else {
            read.condition = Condition::from_wire(child.name());
        }
    }
    read
}
