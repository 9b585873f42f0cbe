//! XMPP addresses (RFC 7622).

use alloc::string::String;
use core::fmt;

/// placeholder
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JidError;

/// An address: `domain`, `local@domain`, each with or without `/resource`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid { text: String }
/// An address without a resource.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid { text: String }

impl Jid {
    /// Parses and prepares.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, JidError> { Ok(Self { text: text.into() }) }
    /// The text.
    #[must_use] pub fn as_str(&self) -> &str { &self.text }
    /// The part before the `@`.
    #[must_use] pub fn local(&self) -> Option<&str> { None }
    /// The domain.
    #[must_use] pub fn domain(&self) -> &str { "" }
    /// The part after the `/`.
    #[must_use] pub fn resource(&self) -> Option<&str> { None }
    /// Without the resource.
    #[must_use] pub fn bare(&self) -> BareJid { BareJid { text: self.text.clone() } }
    /// The bare part as text, without a copy.
    #[must_use] pub fn bare_str(&self) -> &str { "" }
}
impl BareJid {
    /// Parses and prepares.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, JidError> { Ok(Self { text: text.into() }) }
    /// The text.
    #[must_use] pub fn as_str(&self) -> &str { &self.text }
    /// The part before the `@`.
    #[must_use] pub fn local(&self) -> Option<&str> { None }
    /// The domain.
    #[must_use] pub fn domain(&self) -> &str { "" }
    /// With this resource.
    ///
    /// # Errors
    /// If the resource is not one.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> { let _ = resource; Err(JidError) }
}
impl fmt::Debug for Jid { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", self.text) } }
impl fmt::Debug for BareJid { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", self.text) } }
impl fmt::Display for Jid { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.text) } }
impl fmt::Display for BareJid { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.text) } }

impl fmt::Display for JidError { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("bad address") } }
impl core::error::Error for JidError {}
/// placeholder
pub(crate) fn escape_local(local: &str) -> String { local.into() }
