//! XML as XMPP restricts it (RFC 6120, section 11): the only place that sees `<`.
//!
//! [`Framer`] takes bytes in pieces of any size and gives whole stanzas, checked
//! and namespaced, as borrowed [`Element`]s. [`Writer`] emits markup that parses
//! back to what was put in. Neither recurses, and neither does dropping them.

mod chars;
mod declaration;
mod element;
mod error;
mod framer;
mod reference;
mod scope;
mod tag;
mod tape;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use element::{Attributes, Children, Content, Contents, Element};
pub use error::{XmlError, XmlFault};
pub use framer::{Frame, Framer};
#[cfg(test)]
pub(crate) use tests::stanza;
pub use writer::{ForbiddenChar, Writer, check_text};
