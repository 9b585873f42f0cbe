//! SASLprep (RFC 4013): names and passwords as both sides must see them, so that
//! the same password typed on two keyboards is the same password.
//!
//! Printable ASCII is already prepared. Everything else needs Unicode 3.2 tables,
//! which the feature `saslprep` brings; without it such a text cannot be
//! prepared, rather than being sent as it is and called a wrong password.
//!
//! Texts are treated as stored strings (RFC 3454, section 7): characters that
//! Unicode 3.2 did not know are refused. RFC 5802, section 5.1, would allow them
//! in a user name; but a server that stored the password may not have.

use alloc::borrow::Cow;

/// The prepared text, or `None` if it cannot be prepared or nothing remains.
pub(crate) fn prepare(text: &str) -> Option<Cow<'_, str>> {
    let prepared = if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Cow::Borrowed(text)
    } else {
        beyond_ascii(text)?
    };
    (!prepared.is_empty()).then_some(prepared)
}

#[cfg(feature = "saslprep")]
fn beyond_ascii(text: &str) -> Option<Cow<'_, str>> {
    stringprep::saslprep(text).ok()
}

#[cfg(not(feature = "saslprep"))]
const fn beyond_ascii(_: &str) -> Option<Cow<'_, str>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a14_printable_ascii_is_prepared_already() {
        let all: alloc::string::String = (' '..='~').collect();
        assert_eq!(prepare(&all).as_deref(), Some(&*all));
        assert_eq!(prepare(""), None);
        for control in ["\0", "a\u{7}", "\u{7f}", "\n"] {
            assert_eq!(prepare(control), None);
        }
    }

    #[test]
    #[cfg(not(feature = "saslprep"))]
    fn a14_what_needs_tables_is_refused_without_them() {
        for text in ["\u{ad}", "p\u{e4}ss", "\u{2000}", "\u{1f680}"] {
            assert_eq!(prepare(text), None);
        }
    }

    #[test]
    #[cfg(feature = "saslprep")]
    fn a14_what_needs_tables_is_prepared_with_them() {
        // RFC 4013, section 3, and the mapping and prohibition tables of section 2.
        for (text, prepared) in [
            ("I\u{ad}X", Some("IX")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("a\u{2000}b", Some("a b")),
            ("p\u{e4}ss", Some("p\u{e4}ss")),
            ("pa\u{308}ss", Some("p\u{e4}ss")),
            ("\u{7}", None),
            ("\u{e4}\u{7}", None),
            // right-to-left text that does not end so
            ("\u{627}\u{31}", None),
            // nothing remains
            ("\u{ad}", None),
            // not assigned in Unicode 3.2
            ("\u{1f680}", None),
        ] {
            assert_eq!(prepare(text).as_deref(), prepared, "{text:?}");
        }
    }
}
