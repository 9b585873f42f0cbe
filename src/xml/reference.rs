//! References: `&lt;` and `&#60;`. XML 1.0 (5th ed.), sections 4.1 and 4.6.

use quick_xml::escape::resolve_predefined_entity;

use super::chars;
use super::error::XmlFault;

/// Digits of a character reference that are read; U+10FFFF needs 7.
const DIGITS: usize = 8;
/// The longest name of a predefined entity.
const ENTITY: usize = 4;
/// The longest text that [`read`] can want to see.
pub(super) const LONGEST: usize = "#x".len() + DIGITS + ";".len();

/// What a text that begins after `&` turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// This character, and how many bytes spell it, the semicolon included.
    Is(char, usize),
    /// More bytes are needed to tell.
    Partial,
    /// Not allowed, and which byte makes it so.
    Refused(XmlFault, usize),
}

/// Reads the reference at the start of `bytes`, which begin after the `&`.
///
/// It says the same of every longer text once it is not [`Reference::Partial`],
/// which it never is of [`LONGEST`] bytes.
pub(super) fn read(bytes: &[u8]) -> Reference {
    match bytes {
        [] | [b'#'] | [b'#', b'x'] => Reference::Partial,
        [b'#', b'x', digits @ ..] => read_number(digits, 16, 2),
        [b'#', digits @ ..] => read_number(digits, 10, 1),
        name => read_name(name),
    }
}

fn read_number(digits: &[u8], radix: u32, start: usize) -> Reference {
    let mut code = 0_u32;
    for (i, &byte) in digits.iter().enumerate() {
        if byte == b';' && i > 0 {
            return match char::from_u32(code) {
                Some(c) if chars::is_char(c) => {
                    Reference::Is(c, start.saturating_add(i).saturating_add(1))
                }
                _ => Reference::Refused(XmlFault::ForbiddenReference, start.saturating_add(i)),
            };
        }
        let Some(digit) = char::from(byte).to_digit(radix) else {
            return Reference::Refused(XmlFault::MalformedReference, start.saturating_add(i));
        };
        if i == DIGITS {
            return Reference::Refused(XmlFault::ReferenceTooLong, start.saturating_add(i));
        }
        // Eight digits of either radix fit into 32 bits.
        code = code.wrapping_mul(radix).wrapping_add(digit);
    }
    Reference::Partial
}

fn read_name(name: &[u8]) -> Reference {
    for (i, &byte) in name.iter().enumerate() {
        if byte == b';' && i > 0 {
            let entity = name.get(..i).and_then(|n| core::str::from_utf8(n).ok());
            let text = entity.and_then(resolve_predefined_entity);
            return match text.and_then(|t| t.chars().next()) {
                Some(c) => Reference::Is(c, i.saturating_add(1)),
                None => Reference::Refused(XmlFault::UndefinedEntity, i),
            };
        }
        let c = char::from(byte);
        let fits = if i == 0 {
            chars::is_name_start(c)
        } else {
            chars::is_name_char(c)
        };
        if byte.is_ascii() && !fits {
            return Reference::Refused(XmlFault::MalformedReference, i);
        }
        // No need to see the end of what cannot be one of the five.
        if i == ENTITY || !byte.is_ascii() {
            return Reference::Refused(XmlFault::UndefinedEntity, i);
        }
    }
    Reference::Partial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_of_a_reference_is_mistaken() {
        for text in [
            "lt;",
            "gt;",
            "amp;",
            "quot;",
            "apos;",
            "#65;",
            "#x10FFFF;",
            "#00000065;",
            "#x;",
            "#;",
            "#000000065;",
            "#x110000;",
            "#X41;",
            "#+65;",
            "nbsp;",
            ";",
            " b",
            "toolong;",
            "a b;",
        ] {
            let whole = read(text.as_bytes());
            assert_ne!(whole, Reference::Partial, "{text}");
            for cut in 0..text.len() {
                let part = read(&text.as_bytes()[..cut]);
                assert!(
                    part == Reference::Partial || part == whole,
                    "{text} cut at {cut}"
                );
            }
            let longer = std::format!("{text}lt;lt;lt;lt;");
            assert_eq!(read(longer.as_bytes()), whole);
        }
    }

    #[test]
    fn the_longest_reference_is_decided() {
        assert_eq!(LONGEST, 11);
        for text in ["#x000000000", "#0000000000", "aaaaaaaaaaa", "#x00000041;"] {
            assert_ne!(read(text.as_bytes()), Reference::Partial, "{text}");
        }
        assert_eq!(read(b"#x00000041;"), Reference::Is('A', 11));
    }

    #[test]
    fn x10_character_references_to_what_xml_cannot_carry() {
        for text in [
            "#0;",
            "#1;",
            "#x1f;",
            "#xFFFE;",
            "#xffff;",
            "#xD800;",
            "#x110000;",
            "#99999999;",
        ] {
            let at = text.len() - 1;
            assert_eq!(
                read(text.as_bytes()),
                Reference::Refused(XmlFault::ForbiddenReference, at)
            );
        }
        for text in ["#X41;", "#+65;", "#;", "#x;", "#-1;", "#6 5;", "#xg;"] {
            assert!(
                matches!(
                    read(text.as_bytes()),
                    Reference::Refused(XmlFault::MalformedReference, _)
                ),
                "{text}"
            );
        }
        assert_eq!(
            read(b"#000000000000065;"),
            Reference::Refused(XmlFault::ReferenceTooLong, 9)
        );
        assert_eq!(read(b"#00000065;"), Reference::Is('A', 10));
        assert_eq!(read(b"#x9;"), Reference::Is('\t', 4));
    }
}
