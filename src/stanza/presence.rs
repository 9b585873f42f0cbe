//! Presence: the little of it that a client without a roster needs
//! (RFC 6121, section 4).

use crate::xml::{Element, Writer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Available,
    Unavailable,
    Error,
    /// Subscriptions and probes: nothing to us.
    Other,
}

pub(crate) fn kind(presence: Element<'_>) -> Kind {
    match presence.attr("type") {
        None => Kind::Available,
        Some("unavailable") => Kind::Unavailable,
        Some("error") => Kind::Error,
        Some(_) => Kind::Other,
    }
}

/// Initial presence (RFC 6121, section 4.2), of negative priority: messages to
/// the bare address are for the account's other clients (section 8.5.2).
pub(crate) fn write_initial(w: &mut Writer<'_>) {
    w.start("presence");
    w.start("priority").text("-1").end();
    w.end();
}

/// Takes the presence back, the last stanza of an orderly end (RFC 6121, section 4.5).
pub(crate) fn write_final(w: &mut Writer<'_>) {
    w.start("presence").attr("type", "unavailable").end();
}
