//! XMPP addresses: parsed, prepared and compared as RFC 7622 says; beyond ASCII with
//! the feature `precis`, and as far as that goes without Unicode tables without it.
//!
//! An address is cut at the first `/`, then at the first `@` (section 3.2), before
//! anything is mapped; a part is 1 to 1023 bytes long once it is prepared (section
//! 3.1). What is kept is the prepared text, so two addresses are equal if their texts
//! are, byte by byte.
//!
//! In ASCII the rules are the same with the feature and without: localpart and domain are lower-cased, the localpart refuses `"&'/:<>@`,
//! spaces and controls (section 3.3.1), the domain is letters, digits, `-`, `.` and (as
//! hosts are named in practice) `_`, or an IPv6 address in brackets, without its final
//! dot; the resource takes anything but controls. What the DNS would say to a label of letters
//! and digits is not asked here, its length (63) and its hyphens: such a name is not found. Only a domain with an `xn--` label is
//! ASCII and is not: it stands for a name beyond ASCII.
//!
//! # With the feature `precis`
//!
//! The localpart is enforced by UsernameCaseMapped, the resource by OpaqueString (RFC
//! 8265), and the domain is made of U-labels (IDNA2008): full-width letters become
//! ASCII, capitals small, all is Form C, `xn--` labels are decoded. Symbols and
//! compatibility characters are refused in localpart and domain, so is text whose
//! directions are mixed, and what Unicode does not know yet. In a domain the likes of a
//! dot (U+3002, U+FF0E, U+FF61) are refused rather than cut at, and so is a label beyond
//! ASCII that the DNS could not carry, longer than 63 bytes there (RFC 5890, section 2.3.1).
//!
//! # Without it
//!
//! Localpart and domain are lower-cased one `char` at a time, so that a final
//! sigma and a middle one stay different (section 3.5); the resource stays as it
//! is. Nothing is normalised, no width is mapped, no `xn--` label is decoded, no
//! text direction is checked. Refused is only what no profile lets through and
//! what could pass for ASCII: in every part controls, with those of C1, and
//! non-characters; in localpart and domain also white space, the private use
//! area, the slashes, dots and full-width letters that would turn into ASCII
//! once mapped, and the Kelvin sign, whose lower case is `k`. What is equal without the
//! feature is equal with it, where it is an address at all; two spellings of one address
//! may be different. A server, which does have the tables, may therefore refuse or
//! rewrite an address that is accepted here; what it calls an occupant or an account
//! counts.
//!
//! # Where it happens
//!
//! It is servers that must enforce these rules, on every address that they route
//! (section 4); a client should prepare what it sends. So what the host gives is
//! prepared when it is parsed, and nothing else leaves. An address that a peer
//! wrote is held against a prepared one: equal bytes are equal at once, ASCII is
//! compared without a copy, and only else it is prepared for the comparison. The nick of
//! an occupant is what its room says, to the byte: whom the room tells apart, nothing
//! here confuses.
//!
//! One departure: section 3.5 calls a resource with a leading space wrong, but
//! the profile it names lets it pass, and so do servers; it passes here, since
//! else an occupant of that name could not be heard.
//!
//! Nothing is escaped (XEP-0106): whoever names `me@work` as a user has most
//! likely confused user and address, and hears that.

use alloc::borrow::{Cow, ToOwned as _};
use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

#[cfg(feature = "precis")]
use crate::precis::{self, Refused};

/// The most bytes of one part. RFC 7622, section 3.1.
const PART_BYTES: usize = 1023;

/// No text gets shorter than a quarter when it is prepared: a full-width letter with two
/// marks, seven bytes, may become two, and so may an `xn--` label of one letter.
const SHRINKS: usize = 4;

/// An address: `domain`, `local@domain`, each with or without `/resource`.
///
/// Prepared as the [module](self) says, and never longer than 3071 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    text: String,
}

/// An address without a resource: `domain` or `local@domain`.
///
/// Prepared as the [module](self) says, and never longer than 2047 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid {
    text: String,
}

impl Jid {
    /// Cuts an address into its parts, checks and prepares each.
    ///
    /// ```
    /// use parley_xmpp::jid::Jid;
    /// let jid = Jid::parse("Room@MUC.example./Nick@home").unwrap();
    /// assert_eq!(jid.as_str(), "room@muc.example/Nick@home");
    /// assert_eq!(jid.bare_str(), "room@muc.example");
    /// assert_eq!(jid.resource(), Some("Nick@home"));
    /// ```
    ///
    /// # Errors
    /// Says which part is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (local, domain, resource) = split(text);
        let bare = BareJid::new(local, domain)?;
        match resource {
            Some(resource) => bare.with_resource(resource),
            None => Ok(bare.into()),
        }
    }

    /// The whole address, prepared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        split(&self.text).0
    }

    /// The part between `@` and `/`.
    #[must_use]
    pub fn domain(&self) -> &str {
        split(&self.text).1
    }

    /// The part after the first `/`.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        split(&self.text).2
    }

    /// Whether there is no resource.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.resource().is_none()
    }

    /// A copy without the resource.
    #[must_use]
    pub fn bare(&self) -> BareJid {
        BareJid {
            text: self.bare_str().to_owned(),
        }
    }

    /// The part before the first `/`, without a copy.
    #[must_use]
    pub fn bare_str(&self) -> &str {
        self.text
            .split_once('/')
            .map_or(&self.text, |(bare, _)| bare)
    }
}

impl BareJid {
    /// Cuts an address into its parts, checks and prepares each.
    ///
    /// # Errors
    /// Says which part is wrong, and how; [`JidError::UnexpectedResource`] if
    /// there is a resource.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        match split(text) {
            (_, _, Some(_)) => Err(JidError::UnexpectedResource),
            (local, domain, None) => Self::new(local, domain),
        }
    }

    /// Puts an address together, each part checked and prepared by itself.
    ///
    /// A separator inside a part is an error, not another cut.
    ///
    /// # Errors
    /// Says which part is wrong, and how.
    pub fn new(local: Option<&str>, domain: &str) -> Result<Self, JidError> {
        let mut text = String::with_capacity(
            local
                .map_or(0, str::len)
                .saturating_add(1)
                .saturating_add(domain.len()),
        );
        if let Some(local) = local {
            push_local(&mut text, local)?;
            text.push('@');
        }
        push_domain(&mut text, domain)?;
        Ok(Self { text })
    }

    /// The whole address, prepared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        split(&self.text).0
    }

    /// The part after the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        split(&self.text).1
    }

    /// The domain as the DNS and certificates spell it: in ASCII, with A-labels for what
    /// is beyond (RFC 5890, section 2.3.2).
    ///
    /// Without the feature `precis` it is the domain as it is.
    #[must_use]
    pub fn ascii_domain(&self) -> Cow<'_, str> {
        #[cfg(feature = "precis")]
        if !self.domain().is_ascii() {
            return precis::ascii_domain(self.domain());
        }
        Cow::Borrowed(self.domain())
    }

    /// This address with a resource, checked and prepared.
    ///
    /// # Errors
    /// If the resource is empty, too long, or holds what it must not.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let mut text = String::with_capacity(
            self.text
                .len()
                .saturating_add(1)
                .saturating_add(resource.len()),
        );
        text.push_str(&self.text);
        text.push('/');
        push_resource(&mut text, resource)?;
        Ok(Jid { text })
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        Self { text: bare.text }
    }
}

impl From<&BareJid> for Jid {
    fn from(bare: &BareJid) -> Self {
        bare.clone().into()
    }
}

impl From<&Jid> for BareJid {
    fn from(jid: &Jid) -> Self {
        jid.bare()
    }
}

/// What both kinds of address have in common.
macro_rules! address {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = JidError;

            fn from_str(text: &str) -> Result<Self, JidError> {
                Self::parse(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.text
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.text, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.text)
            }
        }
    };
}

address!(Jid);
address!(BareJid);

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JidPart {
    /// Before the `@`: the account or the room.
    Local,
    /// The server or service.
    Domain,
    /// After the `/`: the device or the nick.
    Resource,
}

impl fmt::Display for JidPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "localpart",
            Self::Domain => "domain",
            Self::Resource => "resource",
        })
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JidError {
    /// The part is there and has nothing in it; or there is no domain.
    Empty(JidPart),
    /// The part, prepared, is longer than 1023 bytes.
    TooLong(JidPart),
    /// The part holds a character that it must not.
    Forbidden(JidPart, char),
    /// The domain has a dot at its start, or two in a row.
    EmptyLabel,
    /// The domain has a label beyond ASCII that is longer than 63 bytes as the DNS spells it.
    /// Only with the feature `precis`.
    LongLabel,
    /// The domain is in brackets and is not an IPv6 address.
    NotIpv6,
    /// The characters of the part must not stand together like that: text of both
    /// directions, a joiner between what does not join, an `xn--` label that says nothing.
    /// Only with the feature `precis`.
    Unsound(JidPart),
    /// There is a resource where only a bare address will do.
    UnexpectedResource,
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(part) => write!(f, "the {part} is empty"),
            Self::TooLong(part) => write!(f, "the {part} is longer than {PART_BYTES} bytes"),
            Self::Forbidden(part, c) => write!(f, "the {part} must not contain {c:?}"),
            Self::EmptyLabel => f.write_str("the domain has nothing between two dots"),
            Self::LongLabel => f.write_str("the domain has a label longer than the DNS has them"),
            Self::NotIpv6 => f.write_str("the domain is in brackets but no IPv6 address"),
            Self::Unsound(part) => {
                write!(
                    f,
                    "the characters of the {part} must not stand together like that"
                )
            }
            Self::UnexpectedResource => f.write_str("there must be no resource"),
        }
    }
}

impl core::error::Error for JidError {}

/// Localpart, domain and resource, as they stand. RFC 7622, section 3.2.
fn split(text: &str) -> (Option<&str>, &str, Option<&str>) {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain, resource),
        None => (None, bare, resource),
    }
}

/// Whether an address, as a peer wrote it, is the prepared address `ours`.
///
/// RFC 7622 section 3.2.3: to compare, "prepare each string [...] and then enforce". Copies
/// nothing for equal bytes or for ASCII.
pub(crate) fn same_address(ours: &str, theirs: &str) -> bool {
    if ours == theirs {
        return true;
    }
    // What cannot come to so little is not read.
    if theirs.len() > ours.len().saturating_mul(SHRINKS).saturating_add(1) {
        return false;
    }
    let (local, domain, resource) = split(theirs);
    if !theirs.is_ascii() || has_a_label(domain) {
        return Jid::parse(theirs).is_ok_and(|theirs| theirs.as_str() == ours);
    }
    let ours = split(ours);
    let lower = |ours: &str, theirs: &str| ours.eq_ignore_ascii_case(theirs);
    let same_local = match (ours.0, local) {
        (Some(ours), Some(theirs)) => lower(ours, theirs),
        (ours, theirs) => ours == theirs,
    };
    same_local && lower(ours.1, without_final_dot(domain)) && ours.2 == resource
}

/// The address of a room or account as a peer wrote it, prepared; without a copy where
/// preparing changes nothing.
pub(crate) fn prepared_bare(theirs: &str) -> Option<Cow<'_, str>> {
    let settled = theirs
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
        && !theirs.ends_with('.')
        && !has_a_label(split(theirs).1);
    if settled {
        return Some(Cow::Borrowed(theirs));
    }
    BareJid::parse(theirs)
        .ok()
        .map(|bare| Cow::Owned(bare.text))
}

fn push_local(out: &mut String, local: &str) -> Result<(), JidError> {
    let ascii = |c: char| {
        c.is_ascii_graphic() && !matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
    };
    #[cfg(feature = "precis")]
    if !local.is_ascii() {
        return push_enforced(out, local, JidPart::Local, precis::localpart, ascii);
    }
    push_lower(out, local, JidPart::Local, ascii)
}

fn push_domain(out: &mut String, domain: &str) -> Result<(), JidError> {
    let domain = without_final_dot(domain);
    if let Some(inner) = domain.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(JidError::NotIpv6)?;
        inner.parse::<Ipv6Addr>().map_err(|_| JidError::NotIpv6)?;
        return push_lower(out, domain, JidPart::Domain, |c| c.is_ascii_graphic());
    }
    let ascii = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    #[cfg(feature = "precis")]
    if !domain.is_ascii() || has_a_label(domain) {
        let enforce = |domain: &str| precis::domainpart(domain, PART_BYTES);
        push_enforced(out, domain, JidPart::Domain, enforce, ascii)?;
        return whole_labels(domain);
    }
    push_lower(out, domain, JidPart::Domain, ascii)?;
    whole_labels(domain)
}

/// Whether something stands between any two dots, as before it was prepared.
fn whole_labels(domain: &str) -> Result<(), JidError> {
    if domain.split('.').any(str::is_empty) {
        return Err(JidError::EmptyLabel);
    }
    Ok(())
}

fn push_resource(out: &mut String, resource: &str) -> Result<(), JidError> {
    #[cfg(feature = "precis")]
    if !resource.is_ascii() {
        let name = JidPart::Resource;
        return push_enforced(out, resource, name, precis::resourcepart, |c| {
            !c.is_control()
        });
    }
    check_resource(resource)?;
    out.push_str(resource);
    Ok(())
}

/// RFC 7622 section 3.2: the final dot "MUST be stripped before any other
/// canonicalization steps are taken".
fn without_final_dot(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

/// Whether a domain in ASCII stands for another, which only the tables tell.
#[cfg(feature = "precis")]
fn has_a_label(domain: &str) -> bool {
    domain.split('.').any(precis::is_a_label)
}

#[cfg(not(feature = "precis"))]
const fn has_a_label(_: &str) -> bool {
    false
}

/// Appends `part` as its profile has it, if `ascii` admits each ASCII character that then
/// is in it.
#[cfg(feature = "precis")]
fn push_enforced(
    out: &mut String,
    part: &str,
    name: JidPart,
    enforce: fn(&str) -> Result<String, Refused>,
    ascii: impl Fn(char) -> bool,
) -> Result<(), JidError> {
    // The rules of context take the square of the length.
    if part.len() > PART_BYTES * SHRINKS {
        return Err(JidError::TooLong(name));
    }
    let part = enforce(part).map_err(|why| match why {
        Refused::Char(c) => JidError::Forbidden(name, c),
        Refused::Text => JidError::Unsound(name),
        Refused::Label => JidError::LongLabel,
        Refused::Long => JidError::TooLong(name),
    })?;
    if part.len() > PART_BYTES {
        return Err(JidError::TooLong(name));
    }
    if let Some(c) = part.chars().find(|c| c.is_ascii() && !ascii(*c)) {
        return Err(JidError::Forbidden(name, c));
    }
    out.push_str(&part);
    Ok(())
}

/// Appends `part` in lower case, if `ascii` admits each of its ASCII characters.
fn push_lower(
    out: &mut String,
    part: &str,
    name: JidPart,
    ascii: impl Fn(char) -> bool,
) -> Result<(), JidError> {
    if part.is_empty() {
        return Err(JidError::Empty(name));
    }
    let start = out.len();
    for c in part.chars() {
        let admitted = if c.is_ascii() {
            ascii(c)
        } else {
            is_plausible(c)
        };
        if !admitted {
            return Err(JidError::Forbidden(name, c));
        }
        out.extend(c.to_lowercase());
        if out.len().saturating_sub(start) > PART_BYTES {
            return Err(JidError::TooLong(name));
        }
    }
    Ok(())
}

fn check_resource(resource: &str) -> Result<(), JidError> {
    if resource.is_empty() {
        return Err(JidError::Empty(JidPart::Resource));
    }
    if resource.len() > PART_BYTES {
        return Err(JidError::TooLong(JidPart::Resource));
    }
    match resource
        .chars()
        .find(|c| c.is_control() || is_noncharacter(*c))
    {
        Some(c) => Err(JidError::Forbidden(JidPart::Resource, c)),
        None => Ok(()),
    }
}

/// Whether a character beyond ASCII may stand in a localpart or domain, for all
/// that can be said without tables.
fn is_plausible(c: char) -> bool {
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    let turns_into_ascii = matches!(
        c,
        // slashes and their likes
        '\u{2044}' | '\u{2215}'
        // dots: ideographic, half-width ideographic
        | '\u{3002}' | '\u{ff61}'
        // full-width forms of ASCII
        | '\u{ff01}'
            ..='\u{ff5e}'
        // Kelvin sign
        | '\u{212a}'
    );
    !(c.is_control() || c.is_whitespace() || is_noncharacter(c) || private || turns_into_ascii)
}

/// U+FDD0..U+FDEF and the last two of every plane.
const fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || (c as u32) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests;
