//! XMPP addresses: parsed, prepared and compared as RFC 7622 says; beyond ASCII with
//! the feature `precis`, and as far as that goes without Unicode tables without it.
//!
//! An address is cut at the first `/`, then at the first `@` (section 3.2), before
//! anything is mapped; a part is 1 to 1023 bytes long once it is prepared (section
//! 3.1). What is kept is the prepared text, so two addresses are equal if their texts
//! are, byte by byte.
//!
//! In ASCII the rules are followed to the letter, and are the same with the feature and
//! without: localpart and domain are lower-cased, the localpart refuses `"&'/:<>@`,
//! spaces and controls (section 3.3.1), the domain is letters, digits, `-`, `.` and (as
//! hosts are named in practice) `_`, or an IPv6 address in brackets, without its final
//! dot; the resource takes anything but controls. Only a domain with an `xn--` label is
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
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    fn parts(text: &str) -> (Option<String>, String, Option<String>) {
        let jid = Jid::parse(text).unwrap();
        (
            jid.local().map(Into::into),
            jid.domain().into(),
            jid.resource().map(Into::into),
        )
    }

    /// What is made of a text, with the feature `precis` or without.
    #[track_caller]
    fn becomes(text: &str, prepared: Result<&str, JidError>) {
        let jid = Jid::parse(text);
        assert_eq!(
            jid.as_ref().map(Jid::as_str),
            prepared.as_ref().copied(),
            "{text:?}"
        );
    }

    const PRECIS: bool = cfg!(feature = "precis");

    #[test]
    fn the_legal_examples_of_rfc_7622() {
        // Table 1, by its numbers; all but the ninth are prepared already.
        for (number, text) in [
            (1, "juliet@example.com"),
            (2, "juliet@example.com/foo"),
            (3, "juliet@example.com/foo bar"),
            (4, "juliet@example.com/foo@bar"),
            (5, "foo\\20bar@example.com"),
            (6, "fussball@example.com"),
            (7, "fu\u{df}ball@example.com"),
            (8, "\u{3c0}@example.com"),
            (10, "\u{3c3}@example.com/foo"),
            (11, "\u{3c2}@example.com/foo"),
            (12, "king@example.com/\u{265a}"),
            (13, "example.com"),
            (14, "example.com/foobar"),
            (15, "a.example.com/b@example.net"),
        ] {
            let jid = Jid::parse(text);
            assert_eq!(jid.unwrap().as_str(), text, "example {number}");
        }
        // 9: its first letter is a capital sigma, which matches 10 and not 11.
        becomes("\u{3a3}@example.com/foo", Ok("\u{3c3}@example.com/foo"));
        assert_eq!(
            parts("a.example.com/b@example.net"),
            (None, "a.example.com".into(), Some("b@example.net".into()))
        );
    }

    #[test]
    fn the_illegal_examples_of_rfc_7622() {
        use JidPart::{Domain, Local, Resource};
        // Table 2, but for 18, of which the module speaks.
        for (text, why) in [
            ("\"juliet\"@example.com", JidError::Forbidden(Local, '"')),
            ("foo bar@example.com", JidError::Forbidden(Local, ' ')),
            ("@example.com/", JidError::Empty(Local)),
            ("juliet@", JidError::Empty(Domain)),
            ("/foobar", JidError::Empty(Domain)),
            // Besides.
            ("example.com/", JidError::Empty(Resource)),
            ("", JidError::Empty(Domain)),
        ] {
            becomes(text, Err(why));
        }
        // 18: the one that passes.
        becomes("juliet@example.com/ foo", Ok("juliet@example.com/ foo"));
        // 20 and 21 take tables to be told from letters.
        let symbol = |c, plain| match PRECIS {
            true => Err(JidError::Forbidden(Local, c)),
            false => Ok(plain),
        };
        becomes(
            "henry\u{2163}@example.com",
            symbol('\u{2163}', "henry\u{2173}@example.com"),
        );
        becomes(
            "\u{265a}@example.com",
            symbol('\u{265a}', "\u{265a}@example.com"),
        );
    }

    #[test]
    fn the_examples_of_rfc_8265() {
        use JidPart::{Local, Resource};
        // Section 3.6: 1 is a user name whose `@` XMPP excludes, 2 to 8 and 10 are those of
        // RFC 7622.
        let local = |text: &str| BareJid::new(Some(text), "b");
        assert_eq!(
            local("juliet@example.com"),
            Err(JidError::Forbidden(Local, '@'))
        );
        assert_eq!(local(""), Err(JidError::Empty(Local)));
        let infinity = local("\u{221e}");
        if PRECIS {
            assert_eq!(infinity, Err(JidError::Forbidden(Local, '\u{221e}')));
        } else {
            assert_eq!(infinity.unwrap().as_str(), "\u{221e}@b");
        }
        // Section 4.3, where a space that is none of ASCII becomes one.
        let bare = BareJid::parse("a@b").unwrap();
        let resource = |text: &str| {
            let jid = bare.with_resource(text)?;
            Ok(jid.resource().unwrap().to_owned())
        };
        for text in [
            "correct horse battery staple",
            "Correct Horse Battery Staple",
            "\u{3c0}\u{df}\u{e5}",
            "Jack of \u{2666}s",
        ] {
            assert_eq!(resource(text).as_deref(), Ok(text));
        }
        let spaced = if PRECIS { "foo bar" } else { "foo\u{1680}bar" };
        assert_eq!(resource("foo\u{1680}bar").as_deref(), Ok(spaced));
        assert_eq!(resource(""), Err(JidError::Empty(Resource)));
        let tab = JidError::Forbidden(Resource, '\t');
        assert_eq!(resource("my cat is a \tby"), Err(tab));
    }

    /// Text, what it is without the feature, what it is with it.
    #[test]
    fn beyond_ascii_the_feature_maps_and_refuses() {
        use JidError::{Forbidden, Unsound};
        use JidPart::{Domain, Local};
        type Made<'a> = Result<&'a str, JidError>;
        let table: &[(&str, Made<'_>, Made<'_>)] = &[
            // Form C, in each part.
            ("a\u{308}@b", Ok("a\u{308}@b"), Ok("\u{e4}@b")),
            ("a@u\u{308}.b", Ok("a@u\u{308}.b"), Ok("a@\u{fc}.b")),
            ("a@b/A\u{308}", Ok("a@b/A\u{308}"), Ok("a@b/\u{c4}")),
            // Width, in localpart and domain.
            ("\u{ff21}b@c", Err(Forbidden(Local, '\u{ff21}')), Ok("ab@c")),
            (
                "\u{ff21}b.c",
                Err(Forbidden(Domain, '\u{ff21}')),
                Ok("ab.c"),
            ),
            ("a@b/\u{ff21}", Ok("a@b/\u{ff21}"), Ok("a@b/\u{ff21}")),
            // No separator comes of it, and nothing that a part excludes.
            (
                "a\u{ff20}b@c",
                Err(Forbidden(Local, '\u{ff20}')),
                Err(Forbidden(Local, '@')),
            ),
            (
                "a\u{ff0e}b",
                Err(Forbidden(Domain, '\u{ff0e}')),
                Err(Unsound(Domain)),
            ),
            (
                "a\u{ff0f}b",
                Err(Forbidden(Domain, '\u{ff0f}')),
                Err(Forbidden(Domain, '/')),
            ),
            (
                "a\u{3002}b",
                Err(Forbidden(Domain, '\u{3002}')),
                Err(Forbidden(Domain, '\u{3002}')),
            ),
            // A-labels become U-labels, those that are none nothing.
            (
                "XN--bcher-kva.example",
                Ok("xn--bcher-kva.example"),
                Ok("b\u{fc}cher.example"),
            ),
            (
                "B\u{dc}CHER.example",
                Ok("b\u{fc}cher.example"),
                Ok("b\u{fc}cher.example"),
            ),
            (
                "a@\u{ff38}n--bcher-kva.",
                Err(Forbidden(Domain, '\u{ff38}')),
                Ok("a@b\u{fc}cher"),
            ),
            ("xn--a.b", Ok("xn--a.b"), Err(Unsound(Domain))),
            ("xn--abc-.b", Ok("xn--abc-.b"), Err(Unsound(Domain))),
            // A heart in Punycode: a symbol is no letter however it is written.
            (
                "xn--i-n3p.b",
                Ok("xn--i-n3p.b"),
                Err(Forbidden(Domain, '\u{2665}')),
            ),
            (
                "i\u{2665}.b",
                Ok("i\u{2665}.b"),
                Err(Forbidden(Domain, '\u{2665}')),
            ),
            // What is stable in IDNA2008, and was not in the one before.
            ("fa\u{df}.de", Ok("fa\u{df}.de"), Ok("fa\u{df}.de")),
            ("\u{3c2}.gr", Ok("\u{3c2}.gr"), Ok("\u{3c2}.gr")),
            // A ligature is not the letters.
            (
                "\u{fb01}@b",
                Ok("\u{fb01}@b"),
                Err(Forbidden(Local, '\u{fb01}')),
            ),
            (
                "\u{fb01}.b",
                Ok("\u{fb01}.b"),
                Err(Forbidden(Domain, '\u{fb01}')),
            ),
            // Both directions in one name.
            ("\u{5d0}a@b", Ok("\u{5d0}a@b"), Err(Unsound(Local))),
            ("\u{5d0}a.b", Ok("\u{5d0}a.b"), Err(Unsound(Domain))),
            (
                "\u{5d0}\u{5d1}@b",
                Ok("\u{5d0}\u{5d1}@b"),
                Ok("\u{5d0}\u{5d1}@b"),
            ),
            // A joiner that joins nothing, a dot between two of the right letters.
            (
                "a\u{200d}b@c",
                Ok("a\u{200d}b@c"),
                Err(Forbidden(Local, '\u{200d}')),
            ),
            ("l\u{b7}l@c", Ok("l\u{b7}l@c"), Ok("l\u{b7}l@c")),
            // Nothing to see.
            (
                "a\u{ad}b@c",
                Ok("a\u{ad}b@c"),
                Err(Forbidden(Local, '\u{ad}')),
            ),
            // A letter of Unicode 7, a symbol of Unicode 8.
            ("\u{10350}@c", Ok("\u{10350}@c"), Ok("\u{10350}@c")),
            (
                "\u{1f916}@c/\u{1f916}",
                Ok("\u{1f916}@c/\u{1f916}"),
                Err(Forbidden(Local, '\u{1f916}')),
            ),
            ("c/\u{1f916}", Ok("c/\u{1f916}"), Ok("c/\u{1f916}")),
        ];
        for &(text, without, with) in table {
            becomes(text, if PRECIS { with } else { without });
        }
    }

    #[test]
    fn a_domain_goes_to_the_dns_in_ascii() {
        let dns = |text: &str| BareJid::parse(text).unwrap().ascii_domain().into_owned();
        assert_eq!(dns("a@Example.ORG."), "example.org");
        assert_eq!(dns("[::1]"), "[::1]");
        assert_eq!(dns("xn--bcher-kva.example"), "xn--bcher-kva.example");
        let book = if PRECIS {
            "xn--bcher-kva.example"
        } else {
            "b\u{fc}cher.example"
        };
        assert_eq!(dns("B\u{fc}cher.example"), book);
    }

    #[test]
    fn an_address_of_a_peer_is_held_against_ours_prepared() {
        for (ours, theirs, same) in [
            ("a@b/C", "a@b/C", true),
            ("a@b/C", "A@B./C", true),
            ("a@b/C", "a@b/c", false),
            ("a@b", "a@b/C", false),
            ("a@b/C", "a@b", false),
            ("b", "@b", false),
            ("b", "a@b", false),
            ("b", "b..", false),
            ("b", "b.", true),
            ("b", "", false),
            ("[::1]", "[::1].", true),
            ("\u{e4}@b", "\u{c4}@b", true),
            ("\u{e4}@b", "a\u{308}@b", PRECIS),
            ("a@b", "\u{ff41}@b", PRECIS),
            ("\u{fc}.b", "xn--tda.b", PRECIS),
            ("xn--tda.b", "XN--tda.b", true),
            // Prepared it would be the same: 7 bytes that become 2.
            ("\u{1d6}", "\u{ff35}\u{308}\u{304}", PRECIS),
        ] {
            // What is ours is prepared: with the tables no A-label is.
            if Jid::parse(ours).is_ok_and(|jid| jid.as_str() == ours) {
                assert_eq!(same_address(ours, theirs), same, "{ours} {theirs}");
            }
        }
        let bare = |text: &'static str| prepared_bare(text);
        assert!(matches!(
            bare("room@muc.b"),
            Some(Cow::Borrowed("room@muc.b"))
        ));
        assert_eq!(bare("Room@muc.b").as_deref(), Some("room@muc.b"));
        assert_eq!(bare("room@muc.b.").as_deref(), Some("room@muc.b"));
        assert_eq!(bare("r\u{d6}om@muc.b").as_deref(), Some("r\u{f6}om@muc.b"));
        assert_eq!(bare("R@a@b"), None);
    }

    #[test]
    fn l3_addresses_cannot_be_confused() {
        assert_eq!(
            Jid::parse("Room@MUC.Example").unwrap(),
            Jid::parse("room@muc.example").unwrap()
        );
        assert_ne!(
            Jid::parse("r@m/Nick").unwrap(),
            Jid::parse("r@m/nick").unwrap()
        );
        assert_eq!(parts("room@muc/a/b").2.unwrap(), "a/b");
        assert_eq!(
            Jid::parse("a@b@c"),
            Err(JidError::Forbidden(JidPart::Domain, '@'))
        );
        for c in [
            '\u{2044}', '\u{ff0f}', '\u{ff20}', '\u{212a}', '\u{3002}', '\u{85}', '\u{a0}',
        ] {
            for (text, part) in [
                (format!("a{c}b@c"), JidPart::Local),
                (format!("a{c}b"), JidPart::Domain),
            ] {
                // With the tables it is named as what it would have become.
                let shown = match c {
                    '\u{ff0f}' if PRECIS => '/',
                    '\u{ff20}' if PRECIS => '@',
                    c => c,
                };
                assert_eq!(Jid::parse(&text), Err(JidError::Forbidden(part, shown)));
            }
        }
        for c in [
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{fffe}',
            '\u{fdd0}',
            '\u{10ffff}',
        ] {
            assert_eq!(
                Jid::parse(&format!("a@b/{c}")),
                Err(JidError::Forbidden(JidPart::Resource, c))
            );
        }
        assert!(Jid::parse("a@b/\u{2044}\u{ff20} \u{212a}").is_ok());
        for c in "\"&':<>\u{7f}\t".chars() {
            assert!(Jid::parse(&format!("a{c}@b")).is_err());
        }
    }

    #[test]
    fn parts_are_bounded_after_preparation() {
        let long = "x".repeat(1023);
        assert!(Jid::parse(&format!("{long}@{long}/{long}")).is_ok());
        for text in [
            format!("{long}x@b"),
            format!("{long}x"),
            format!("a@b/{long}x"),
        ] {
            assert!(matches!(Jid::parse(&text), Err(JidError::TooLong(_))));
        }
        // U+023A is two bytes, its lower case U+2C65 three.
        let grows = "\u{23a}".repeat(400);
        assert_eq!(
            Jid::parse(&format!("{grows}@b")),
            Err(JidError::TooLong(JidPart::Local))
        );
        assert_eq!(
            Jid::parse(&"\u{fc}.".repeat(342)),
            Err(JidError::TooLong(JidPart::Domain))
        );
    }

    #[test]
    fn a_label_beyond_ascii_is_no_longer_than_the_dns_has_them() {
        let long = "\u{fc}".repeat(100);
        let with = Err(JidError::LongLabel);
        becomes(&long, if PRECIS { with } else { Ok(&long) });
        // What is ASCII either way is only bounded as a part.
        becomes(&"x".repeat(100), Ok(&"x".repeat(100)));
    }

    #[test]
    fn a_domain_may_be_an_address_of_the_internet() {
        assert_eq!(parts("a@127.0.0.1").1, "127.0.0.1");
        assert_eq!(parts("a@[2001:DB8::1]/x").1, "[2001:db8::1]");
        for bad in [
            "[::1",
            "[::1]x",
            "[1.2.3.4]",
            "[]",
            "[fe80::1%25eth0]",
            "::1",
        ] {
            assert!(Jid::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_final_dot_is_dropped_and_only_one() {
        assert_eq!(parts("a@example.org.").1, "example.org");
        assert_eq!(Jid::parse("a@example.org.."), Err(JidError::EmptyLabel));
        assert_eq!(Jid::parse(".example.org"), Err(JidError::EmptyLabel));
        assert_eq!(Jid::parse("a@."), Err(JidError::Empty(JidPart::Domain)));
    }

    #[test]
    fn parts_put_together_are_not_cut_again() {
        let user = "me@example.org";
        assert_eq!(
            BareJid::new(Some(user), "example.org"),
            Err(JidError::Forbidden(JidPart::Local, '@'))
        );
        assert!(BareJid::new(Some("a/b"), "c").is_err());
        assert!(BareJid::new(Some("a"), "c/d").is_err());
        assert_eq!(BareJid::parse("a@b/c"), Err(JidError::UnexpectedResource));
    }

    #[test]
    fn conversions_lose_nothing_but_the_resource() {
        let jid: Jid = "a@b/c".parse().unwrap();
        let bare = BareJid::from(&jid);
        assert!(!jid.is_bare() && Jid::from(&bare).is_bare());
        assert_eq!(
            (bare.as_str(), bare.local(), bare.domain()),
            ("a@b", Some("a"), "b")
        );
        assert_eq!(bare.with_resource("c").unwrap(), jid);
        assert_eq!(
            format!("{jid} {jid:?} {:6}|", Jid::from(bare)),
            "a@b/c \"a@b/c\" a@b   |"
        );
        assert_eq!(
            JidError::Forbidden(JidPart::Local, '\u{1b}').to_string(),
            "the localpart must not contain '\\u{1b}'"
        );
    }

    /// Text of every kind that the rules speak of.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zA-Z0-9._@/-]{1,3}",
            2 => "\\PC",
            1 => any::<char>().prop_map(String::from),
            2 => prop::sample::select(alloc::vec![
                "xn--", "XN--nxa", "\u{ff21}", "\u{ff0e}", "\u{ff20}", "\u{308}", "\u{200d}",
                "\u{200c}", "\u{94d}", "\u{b7}", "\u{30fb}", "\u{660}", "\u{6f0}", "\u{5d0}",
                "\u{3a3}", "\u{130}", "\u{1e9e}", "\u{212a}", "\u{13a0}", "\u{1100}\u{1161}",
                "\u{345}", "\u{2126}", "\u{1f916}", "\u{a0}", "\u{3000}", "[::1]",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// What a text is by the rules that take no tables.
    fn plain(text: &str) -> Option<String> {
        let (local, domain, resource) = split(text);
        let mut out = String::new();
        if let Some(local) = local {
            push_lower(&mut out, local, JidPart::Local, |_| true).ok()?;
            out.push('@');
        }
        push_lower(&mut out, without_final_dot(domain), JidPart::Domain, |_| {
            true
        })
        .ok()?;
        if let Some(resource) = resource {
            out.push('/');
            out.push_str(resource);
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn preparing_twice_is_preparing_once(text in text()) {
            if let Ok(jid) = Jid::parse(&text) {
                let again = Jid::parse(jid.as_str()).unwrap();
                prop_assert_eq!(&again, &jid);
                prop_assert_eq!(jid.to_string(), jid.as_str());
                let bare = again.bare();
                prop_assert_eq!(bare.as_str(), jid.bare_str());
                prop_assert_eq!(bare.local(), jid.local());
                let dns = BareJid::new(bare.local(), &bare.ascii_domain());
                prop_assert_eq!(dns.as_ref(), Ok(&bare));
                let whole = BareJid::new(jid.local(), jid.domain()).unwrap();
                let whole = match jid.resource() {
                    Some(resource) => whole.with_resource(resource).unwrap(),
                    None => whole.into(),
                };
                prop_assert_eq!(whole, jid);
            }
        }

        #[test]
        fn parts_are_bounded_whatever_was_written(text in text(), times in 1_usize..400) {
            let texts = [text.repeat(times), format!("{}@b/{}", text.repeat(times), text)];
            for jid in texts.iter().filter_map(|text| Jid::parse(text).ok()) {
                for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
                    prop_assert!((1..=1023).contains(&part.len()));
                }
            }
        }

        /// Two are equal if their texts are, in order and in hash as well.
        #[test]
        fn equal_is_what_prepares_alike(one in text(), two in text(), cases in any::<u64>()) {
            // The same, in other letters here and there.
            let other: String = one
                .chars()
                .enumerate()
                .map(|(at, c)| match cases >> (at % 64) & 1 {
                    1 => c.to_ascii_uppercase(),
                    _ => c,
                })
                .collect();
            for theirs in [&one, &two, &other] {
                let (Ok(ours), Ok(jid)) = (Jid::parse(&one), Jid::parse(theirs)) else {
                    continue;
                };
                let same = ours.as_str() == jid.as_str();
                prop_assert_eq!(ours == jid, same);
                prop_assert_eq!(ours.cmp(&jid).is_eq(), same);
                prop_assert_eq!(same_address(ours.as_str(), theirs), same, "{} {}", ours, theirs);
                prop_assert_eq!(same_address(jid.as_str(), &one), same);
            }
            if let Ok(ours) = BareJid::parse(&one) {
                let prepared = prepared_bare(&one);
                prop_assert_eq!(prepared.as_deref(), Some(ours.as_str()));
                let theirs = Jid::parse(&two).is_ok_and(|theirs| theirs.as_str() == ours.as_str());
                prop_assert_eq!(same_address(ours.as_str(), &two), theirs);
            }
        }

        /// With tables and without, ASCII is the same; and what is one address without is
        /// one with them, so that what a build without them wrote down is read by the other.
        #[test]
        fn tables_tell_apart_nothing_that_was_equal(text in text()) {
            let Some(plain) = plain(&text) else { return Ok(()) };
            let Ok(jid) = Jid::parse(&text) else { return Ok(()) };
            if text.is_ascii() && !text.to_ascii_lowercase().contains("xn--") {
                prop_assert_eq!(jid.as_str(), &plain);
            }
            if let Ok(of_plain) = Jid::parse(&plain) {
                prop_assert_eq!(of_plain, jid);
            }
        }

        #[test]
        fn anything_may_be_tried(text in any::<String>()) {
            let _ = Jid::parse(&text);
            let _ = prepared_bare(&text);
            let _ = same_address("a@b", &text);
        }
    }
}
