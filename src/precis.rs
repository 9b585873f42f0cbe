//! Addresses beyond ASCII, part by part: the profiles of PRECIS (RFC 8264, RFC 8265) and
//! the labels of IDNA2008 (RFC 5890 to 5893), as RFC 7622 puts them together.
//!
//! The rules are those of `precis-profiles` and `idna`. Three things are done here:
//!
//! - `precis-core` knows the characters of Unicode 6.3, at which the registry of PRECIS
//!   stands still, and calls all that came after unassigned: a nick of U+1F916 would be
//!   none. RFC 8264, section 8, derives what a character may do from its properties, so
//!   characters that came later are asked for theirs.
//! - A profile is applied until nothing changes any more (RFC 8264, section 7).
//! - `idna` does what browsers do (UTS #46), which lets symbols pass and maps more than
//!   IDNA2008 has. What goes in there has passed the identifier class and was mapped by
//!   the rules of RFC 5892; what it would map further is unstable there, and refused; what
//!   it decodes has to be what it would be if it were written out.
//!
//! Two departures. A part with more than 64 characters that are allowed or not by what
//! stands around them is refused, since the library reads the whole part for each; and
//! Cherokee, which got small letters with Unicode 8, cannot be in a domain: IDNA has its
//! capitals as the stable ones, the mapping to lower case the small ones.

use alloc::borrow::Cow;
use alloc::string::String;
use core::iter::once;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::punycode;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::Rules;
use precis_profiles::precis_core::stringclasses::SpecificDerivedPropertyValue;
use precis_profiles::precis_core::{
    DerivedPropertyValue, Error, FreeformClass, IdentifierClass, StringClass,
};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use unicode_normalization::UnicodeNormalization as _;

/// So many characters of a part may depend on what stands around them.
const MOST_RULED: usize = 64;

/// RFC 5890 section 2.3.1: "Like all DNS labels, its total length must not exceed 63 octets."
const LABEL_BYTES: usize = 63;

/// Form C makes one character of at most so many.
const COMPOSED: usize = 4;

/// The fewest bytes of what an A-label stands for: one character beyond ASCII.
const U_LABEL_LEAST: usize = 2;

/// Why a part cannot be prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It holds a character that it must not, or not there.
    Char(char),
    /// Its characters must not stand together like that.
    Text,
    /// A label of it is longer than the DNS has them.
    Label,
    /// It is longer than it may be, whatever its A-labels stand for.
    Long,
}

/// RFC 7622 section 3.3: "The localpart of a JID is an instance of the UsernameCaseMapped
/// profile". What XMPP excludes besides is for the caller.
pub(crate) fn localpart(part: &str) -> Result<String, Refused> {
    stable(part, username)
}

/// RFC 7622 section 3.4: "The resourcepart of a JID is an instance of the OpaqueString
/// profile".
pub(crate) fn resourcepart(part: &str) -> Result<String, Refused> {
    stable(part, |part| {
        allowed(FreeformClass::default(), part)?;
        // RFC 8265 section 4.2.2: the spaces, then Form C.
        let rules = OpaqueString::new();
        let mapped = rules.additional_mapping_rule(part).map_err(refused)?;
        rules.normalization_rule(mapped).map_err(refused)
    })
}

/// RFC 7622 section 3.2.1: "each A-label MUST be converted to a U-label". The final dot, and
/// what ASCII may be in a domain, are for the caller. No more than `most` bytes come of it:
/// what cannot is refused before `idna` takes memory for it, many times its length.
pub(crate) fn domainpart(part: &str, most: usize) -> Result<String, Refused> {
    let mut mapped = String::with_capacity(part.len());
    let mut least = 0_usize;
    for (at, label) in part.split('.').enumerate() {
        if at > 0 {
            mapped.push('.');
        }
        let label = if label.is_ascii() {
            Cow::Borrowed(label)
        } else if label.chars().nth(LABEL_BYTES * COMPOSED).is_some() {
            return Err(Refused::Label);
        } else {
            Cow::Owned(stable(label, username)?)
        };
        // It came of mapping, and would cut a label that was none.
        if label.contains('.') {
            return Err(Refused::Text);
        }
        check_label_length(&label)?;
        let says = if is_a_label(&label) {
            U_LABEL_LEAST
        } else {
            label.len()
        };
        least = least
            .saturating_add(says)
            .saturating_add(usize::from(at > 0));
        if least > most {
            return Err(Refused::Long);
        }
        mapped.extend(label.chars().map(|c| c.to_ascii_lowercase()));
    }
    let (unicode, sound) =
        Uts46::new().to_unicode(mapped.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Check);
    sound.map_err(|_| Refused::Text)?;
    let mut written = mapped.split('.');
    for label in unicode.split('.') {
        let written = written.next().ok_or(Refused::Text)?;
        if label == written {
            continue;
        }
        // Anything else that changed is not stable, and so disallowed (RFC 5892, section 2.2).
        if !is_a_label(written) || stable(label, username)? != label {
            return Err(Refused::Text);
        }
    }
    match written.next() {
        None => Ok(unicode.into_owned()),
        Some(_) => Err(Refused::Text),
    }
}

/// Refuses a label that is, or stands for, an A-label longer than the DNS has them: it is none,
/// and `idna` takes the square of its length. What is ASCII either way is no affair of IDNA.
fn check_label_length(label: &str) -> Result<(), Refused> {
    let bytes = if !label.is_ascii() {
        punycode::encode_str(label).map(|digits| digits.len().saturating_add("xn--".len()))
    } else if is_a_label(label) {
        Some(label.len())
    } else {
        return Ok(());
    };
    match bytes {
        Some(bytes) if bytes <= LABEL_BYTES => Ok(()),
        _ => Err(Refused::Label),
    }
}

/// The domain as the DNS and certificates spell it: every U-label as an A-label.
pub(crate) fn ascii_domain(prepared: &str) -> Cow<'_, str> {
    let domain = prepared.as_bytes();
    Uts46::new()
        .to_ascii(
            domain,
            AsciiDenyList::EMPTY,
            Hyphens::Check,
            DnsLength::Ignore,
        )
        .unwrap_or(Cow::Borrowed(prepared))
}

/// Whether a label says in ASCII what it is beyond (RFC 5890, section 2.3.2.1).
pub(crate) fn is_a_label(label: &str) -> bool {
    label
        .get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// Width, class, case, Form C, direction: RFC 8265, sections 3.3.1 and 3.3.2.
fn username(part: &str) -> Result<Cow<'_, str>, Refused> {
    let rules = UsernameCaseMapped::new();
    let mapped = rules.width_mapping_rule(part).map_err(refused)?;
    allowed(IdentifierClass::default(), &mapped)?;
    let mapped = rules.case_mapping_rule(mapped).map_err(refused)?;
    let mapped = rules.normalization_rule(mapped).map_err(refused)?;
    rules.directionality_rule(mapped).map_err(refused)
}

/// Whether a class allows every character of a text, where it stands.
fn allowed<C: StringClass + SpecificDerivedPropertyValue>(
    class: C,
    text: &str,
) -> Result<(), Refused> {
    // RFC 5892, appendix A: what has a rule of its own.
    let ruled = |c: &char| {
        matches!(c, '\u{b7}' | '\u{375}' | '\u{5f3}' | '\u{5f4}' | '\u{660}'..='\u{669}'
            | '\u{6f0}'..='\u{6f9}' | '\u{200c}' | '\u{200d}' | '\u{30fb}')
    };
    if text.chars().filter(ruled).nth(MOST_RULED).is_some() {
        return Err(Refused::Text);
    }
    Newer(class).allows(text).map_err(refused)
}

/// Applies a profile until its outcome is the same again.
///
/// RFC 8264 section 7: "if the output string does not stabilize after reapplying the rules
/// three (3) additional times after the first application, the string SHOULD be rejected".
fn stable(
    part: &str,
    apply: impl Fn(&str) -> Result<Cow<'_, str>, Refused>,
) -> Result<String, Refused> {
    let mut now = apply(part)?.into_owned();
    for _ in 0..3 {
        let again = apply(&now)?;
        if *again == *now {
            return Ok(now);
        }
        now = again.into_owned();
    }
    Err(Refused::Text)
}

fn refused(error: Error) -> Refused {
    match error {
        Error::BadCodepoint(info) => char::from_u32(info.cp).map_or(Refused::Text, Refused::Char),
        Error::Invalid | Error::Unexpected(_) => Refused::Text,
    }
}

/// A class of PRECIS for characters of today.
struct Newer<C>(C);

impl<C: StringClass + SpecificDerivedPropertyValue> StringClass for Newer<C> {
    fn get_value_from_char(&self, c: char) -> DerivedPropertyValue {
        match self.0.get_value_from_char(c) {
            DerivedPropertyValue::Unassigned => self.derived(c),
            known => known,
        }
    }

    fn get_value_from_codepoint(&self, cp: u32) -> DerivedPropertyValue {
        char::from_u32(cp).map_or(DerivedPropertyValue::Disallowed, |c| {
            self.get_value_from_char(c)
        })
    }
}

impl<C: SpecificDerivedPropertyValue> Newer<C> {
    /// RFC 8264, section 8, without the exceptions and contexts, of which none was added, and
    /// without ASCII and old Hangul, in which nothing is.
    fn derived(&self, c: char) -> DerivedPropertyValue {
        use GeneralCategory as Is;
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        if category == Is::Unassigned {
            return DerivedPropertyValue::Unassigned;
        }
        if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) {
            return DerivedPropertyValue::Disallowed;
        }
        if !once(c).nfkc().eq(once(c)) {
            return self.0.on_has_compat();
        }
        match category {
            Is::LowercaseLetter
            | Is::UppercaseLetter
            | Is::OtherLetter
            | Is::DecimalNumber
            | Is::ModifierLetter
            | Is::NonspacingMark
            | Is::SpacingMark => DerivedPropertyValue::PValid,
            Is::TitlecaseLetter | Is::LetterNumber | Is::OtherNumber | Is::EnclosingMark => {
                self.0.on_other_letter_digits()
            }
            Is::SpaceSeparator => self.0.on_spaces(),
            Is::MathSymbol | Is::CurrencySymbol | Is::ModifierSymbol | Is::OtherSymbol => {
                self.0.on_symbols()
            }
            Is::DashPunctuation
            | Is::OpenPunctuation
            | Is::ClosePunctuation
            | Is::ConnectorPunctuation
            | Is::InitialPunctuation
            | Is::FinalPunctuation
            | Is::OtherPunctuation => self.0.on_punctuation(),
            _ => DerivedPropertyValue::Disallowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned as _;
    use alloc::format;

    type Profile = fn(&str) -> Result<String, Refused>;

    const PROFILES: [(&str, Profile); 3] = [
        ("localpart", localpart),
        ("domainpart", |part| domainpart(part, 1023)),
        ("resourcepart", resourcepart),
    ];

    /// All characters that are any, and some that are none.
    fn characters() -> impl Iterator<Item = char> {
        ('\0'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}')
    }

    #[test]
    fn every_character_is_refused_or_stable_and_not_much_longer_than_what_it_becomes() {
        for c in characters() {
            for text in [format!("{c}"), format!("a{c}a")] {
                for (name, profile) in PROFILES {
                    let Ok(made) = profile(&text) else { continue };
                    assert_eq!(profile(&made).as_ref(), Ok(&made), "{name} {text:?}");
                    assert!(made.len() * 4 >= text.len(), "{name} {text:?}");
                }
            }
        }
    }

    /// RFC 8264, section 8, for what came after Unicode 6.3 and before.
    #[test]
    fn characters_of_any_age_have_the_property_that_the_rfc_derives() {
        use DerivedPropertyValue as Is;
        let identifier = Newer(IdentifierClass::default());
        let freeform = Newer(FreeformClass::default());
        for (c, of_identifier, of_freeform) in [
            ('a', Is::PValid, Is::PValid),
            ('\u{265a}', Is::SpecClassDis, Is::SpecClassPval),
            // Unicode 7: a letter; 8: a letter, a face; 10: a letter digit of the rest, a sign.
            ('\u{10350}', Is::PValid, Is::PValid),
            ('\u{ab70}', Is::PValid, Is::PValid),
            ('\u{1f916}', Is::SpecClassDis, Is::SpecClassPval),
            ('\u{20bf}', Is::SpecClassDis, Is::SpecClassPval),
            // Unicode 13: a letter with a compatible one; 9: punctuation.
            ('\u{ab69}', Is::SpecClassDis, Is::SpecClassPval),
            ('\u{1e95e}', Is::SpecClassDis, Is::SpecClassPval),
            // Not assigned, private, and no character at all.
            ('\u{378}', Is::Unassigned, Is::Unassigned),
            ('\u{e000}', Is::Disallowed, Is::Disallowed),
            ('\u{ffff}', Is::Disallowed, Is::Disallowed),
        ] {
            assert_eq!(identifier.get_value_from_char(c), of_identifier, "{c:?}");
            assert_eq!(freeform.get_value_from_char(c), of_freeform, "{c:?}");
            assert_eq!(freeform.get_value_from_codepoint(c as u32), of_freeform);
        }
    }

    /// A text that took 40 ms.
    #[test]
    fn what_the_library_reads_again_and_again_is_few() {
        let most = "l\u{b7}".repeat(64) + "l";
        assert_eq!(localpart(&most).as_ref(), Ok(&most));
        assert_eq!(localpart(&(most.clone() + "\u{b7}l")), Err(Refused::Text));
        // Half-width, it is such a character only once it is mapped.
        let dots = "\u{30a2}".to_owned() + &"\u{ff65}".repeat(65);
        assert_eq!(localpart(&dots), Err(Refused::Text));
    }

    /// One of 520 bytes took 27 KB, one of 1900 took 67: found by fuzzing.
    #[test]
    fn a_label_that_the_dns_could_not_carry_is_refused_before_it_is_decoded() {
        let domain = |part: &str| domainpart(part, 1023);
        // 59 bytes after the `xn--`: one of U+FC, and what stands before it.
        let most = "a".repeat(55);
        let u_label = most.clone() + "\u{fc}";
        let a_label = format!("xn--{}", punycode::encode_str(&u_label).unwrap());
        assert_eq!(a_label.len(), 63);
        assert_eq!(domain(&u_label).as_ref(), Ok(&u_label));
        assert_eq!(domain(&a_label).as_ref(), Ok(&u_label));
        assert_eq!(ascii_domain(&u_label), a_label);
        let long = "a".to_owned() + &u_label;
        let digits = punycode::encode_str(&long).unwrap();
        for long in [
            format!("xn--{digits}"),
            format!("\u{ff58}n--{digits}"),
            format!("b.xn--{}", "a".repeat(1900)),
            format!("xn--nxa{}", "QY".repeat(250)),
            "\u{fc}".repeat(253),
            "\u{308}".repeat(1500),
            "a".repeat(1001) + "\u{fc}",
            long,
        ] {
            assert_eq!(domain(&long), Err(Refused::Label), "{long}");
        }
    }

    /// One of 3000 bytes took 88 KB.
    #[test]
    fn a_domain_that_is_too_long_whatever_it_stands_for_is_not_decoded() {
        let domain = |part: &str| domainpart(part, 1023);
        for (label, u_label) in [("\u{fc}.", "\u{fc}."), ("xn--tda.", "\u{fc}.")] {
            let most = label.repeat(340) + "abc";
            assert_eq!(domain(&most), Ok(u_label.repeat(340) + "abc"));
            // It is longer only as it stands, or only if the empty label at its end counts.
            assert_eq!(domain(&(most.clone() + "d")), Err(Refused::Long));
            assert_eq!(domain(&(most + ".")), Err(Refused::Long));
        }
    }
}
