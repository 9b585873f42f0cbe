//! XMPP addresses: parsed, prepared and compared as RFC 7622 says, as far as
//! that goes without Unicode tables.
//!
//! An address is cut at the first `/`, then at the first `@` (section 3.2); a
//! part is 1 to 1023 bytes long (section 3.1). What is kept is the prepared text,
//! so two addresses are equal if their texts are, byte by byte.
//!
//! In ASCII the rules are followed to the letter: localpart and domain are
//! lower-cased, the localpart refuses `"&'/:<>@`, spaces and controls (section
//! 3.3.1), the domain is letters, digits, `-`, `.` and (as hosts are named in
//! practice) `_`, or an IPv6 address in brackets, without its final dot; the
//! resource takes anything but controls.
//!
//! Beyond ASCII the profiles of PRECIS and IDNA need tables that are not here.
//! Localpart and domain are lower-cased one `char` at a time, so that a final
//! sigma and a middle one stay different (section 3.5); the resource stays as it
//! is. Nothing is normalised, no width is mapped, no `xn--` label is decoded, no
//! text direction is checked. Refused is only what no profile lets through and
//! what could pass for ASCII: in every part controls, with those of C1, and
//! non-characters; in localpart and domain also white space, the private use
//! area, the slashes, dots and full-width letters that would turn into ASCII
//! once mapped, and the Kelvin sign, whose lower case is `k`. A server, which
//! does have the tables, may therefore refuse or rewrite an address that is
//! accepted here; what it calls an occupant or an account counts.
//!
//! One departure: section 3.5 calls a resource with a leading space wrong, but
//! the profile it names lets it pass, and so do servers; it passes here, since
//! else an occupant of that name could not be heard.
//!
//! Nothing is escaped (XEP-0106): whoever names `me@work` as a user has most
//! likely confused user and address, and hears that.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

/// The most bytes of one part. RFC 7622, section 3.1.
const PART_BYTES: usize = 1023;

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
        let mut text = String::with_capacity(local.map_or(0, str::len) + 1 + domain.len());
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

    /// This address with a resource.
    ///
    /// # Errors
    /// If the resource is empty, too long, or holds a control.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        check_resource(resource)?;
        let mut text = String::with_capacity(self.text.len() + 1 + resource.len());
        text.push_str(&self.text);
        text.push('/');
        text.push_str(resource);
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
    /// The domain is in brackets and is not an IPv6 address.
    NotIpv6,
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
            Self::NotIpv6 => f.write_str("the domain is in brackets but no IPv6 address"),
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

fn push_local(out: &mut String, local: &str) -> Result<(), JidError> {
    push_lower(out, local, JidPart::Local, |c| {
        c.is_ascii_graphic() && !matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
    })
}

fn push_domain(out: &mut String, domain: &str) -> Result<(), JidError> {
    // Before any other step, says RFC 7622, section 3.2.
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if let Some(inner) = domain.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(JidError::NotIpv6)?;
        inner.parse::<Ipv6Addr>().map_err(|_| JidError::NotIpv6)?;
        return push_lower(out, domain, JidPart::Domain, |c| c.is_ascii_graphic());
    }
    push_lower(out, domain, JidPart::Domain, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
    })?;
    if domain.split('.').any(str::is_empty) {
        return Err(JidError::EmptyLabel);
    }
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
        if out.len() - start > PART_BYTES {
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

    #[test]
    fn the_legal_examples_of_rfc_7622() {
        // Table 1. Where preparation changes nothing the text must survive.
        for text in [
            "juliet@example.com",
            "juliet@example.com/foo",
            "juliet@example.com/foo bar",
            "juliet@example.com/foo@bar",
            "foo\\20bar@example.com",
            "fussball@example.com",
            "fu\u{df}ball@example.com",
            "\u{3c0}@example.com",
            "\u{3c3}@example.com/foo",
            "\u{3c2}@example.com/foo",
            "king@example.com/\u{265a}",
            "example.com",
            "example.com/foobar",
            "a.example.com/b@example.net",
        ] {
            assert_eq!(Jid::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(
            Jid::parse("\u{3a3}@example.com/foo").unwrap(),
            Jid::parse("\u{3c3}@example.com/foo").unwrap()
        );
        assert_eq!(
            parts("a.example.com/b@example.net"),
            (None, "a.example.com".into(), Some("b@example.net".into()))
        );
    }

    #[test]
    fn the_illegal_examples_of_rfc_7622() {
        use JidPart::{Domain, Local, Resource};
        // Table 2, but for 18, 20 and 21, of which the module speaks.
        for (text, why) in [
            ("\"juliet\"@example.com", JidError::Forbidden(Local, '"')),
            ("foo bar@example.com", JidError::Forbidden(Local, ' ')),
            ("@example.com/", JidError::Empty(Local)),
            ("example.com/", JidError::Empty(Resource)),
            ("juliet@", JidError::Empty(Domain)),
            ("/foobar", JidError::Empty(Domain)),
            ("", JidError::Empty(Domain)),
        ] {
            assert_eq!(Jid::parse(text), Err(why), "{text}");
        }
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
            assert_eq!(
                Jid::parse(&format!("a{c}b@c")),
                Err(JidError::Forbidden(JidPart::Local, c))
            );
            assert_eq!(
                Jid::parse(&format!("a{c}b")),
                Err(JidError::Forbidden(JidPart::Domain, c))
            );
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

    proptest! {
        #[test]
        fn preparing_twice_is_preparing_once(text in "\\PC{0,12}[@/.]?\\PC{0,12}[@/.]?\\PC{0,8}") {
            if let Ok(jid) = Jid::parse(&text) {
                let again = Jid::parse(jid.as_str()).unwrap();
                prop_assert_eq!(&again, &jid);
                let bare = again.bare();
                prop_assert_eq!(bare.as_str(), jid.bare_str());
                prop_assert_eq!(bare.local(), jid.local());
                let whole = BareJid::new(jid.local(), jid.domain()).unwrap();
                let whole = match jid.resource() {
                    Some(resource) => whole.with_resource(resource).unwrap(),
                    None => whole.into(),
                };
                prop_assert_eq!(whole, jid);
            }
        }

        #[test]
        fn anything_may_be_tried(text in any::<String>()) {
            let _ = Jid::parse(&text);
        }
    }
}
