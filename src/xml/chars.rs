//! The productions of XML 1.0 (5th ed.) and Namespaces in XML 1.0 that concern
//! single characters.

/// White space, `S` of section 2.3.
pub(super) const fn is_space(byte: u8) -> bool {
    // Without branches: then many bytes are judged at once.
    (byte == b' ') | (byte == b'\t') | (byte == b'\r') | (byte == b'\n')
}

/// Whether this byte is a character of text that means itself: in ASCII, no control but
/// tab and line feed, and of no markup, reference or end of a section, nor forbidden after
/// others (`]]>`, section 2.4).
pub(super) fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The same in a CDATA section, section 2.7.
pub(super) fn is_plain_in_cdata(byte: u8) -> bool {
    is_plain(byte) || matches!(byte, b'<' | b'&' | b'>')
}

/// What [`is_plain`] says of each byte.
static PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0_u8;
    while let Some((plain, after)) = rest.split_first_mut() {
        *plain = matches!(byte, b'\t' | b'\n' | b' '..=0x7F)
            && !matches!(byte, b'<' | b'&' | b'>' | b']');
        byte = byte.wrapping_add(1);
        rest = after;
    }
    table
};

/// `Char` of section 2.2: what a document can hold at all.
pub(super) const fn is_char(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// `NameStartChar` of section 2.3 without the colon, as namespaces want it.
pub(super) const fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of section 2.3 without the colon.
pub(super) const fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c,
            '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether this byte is of a `QName`, as far as it alone tells.
pub(super) const fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        | (byte == b':')
        | (byte == b'-')
        | (byte == b'.')
        | (byte == b'_')
        | (byte >= 0x80)
}

/// The offset and the value of the first character that is no `Char`.
pub(super) fn first_forbidden(text: &str) -> Option<(usize, char)> {
    // Only controls and what begins with EF can be forbidden: all else passes
    // without being decoded.
    let mut from = 0;
    while let Some(rest) = text.as_bytes().get(from..) {
        let next = rest
            .iter()
            .position(|&b| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0xEF)?;
        let at = from.saturating_add(next);
        let c = text.get(at..).and_then(|t| t.chars().next())?;
        if !is_char(c) {
            return Some((at, c));
        }
        from = at.saturating_add(c.len_utf8());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_search_agrees_with_the_production() {
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            let text: &str = c.encode_utf8(&mut buffer);
            assert_eq!(first_forbidden(text).is_none(), is_char(c), "{c:?}");
        }
    }

    #[test]
    fn bytes_of_names_are_those_of_their_characters() {
        let mut buffer = [0; 4];
        for c in '\0'..=char::MAX {
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            let known = c == ':' || is_name_char(c) || !c.is_ascii();
            assert!(bytes.iter().all(|&byte| is_in_name(byte) == known), "{c:?}");
        }
    }

    #[test]
    fn names_exclude_what_looks_like_markup_or_space() {
        for c in "<>&'\"/=: \t\r\n!?;#\u{85}\u{A0}\u{D7}\u{F7}\u{37E}\u{2028}\u{FFFE}".chars() {
            assert!(!is_name_char(c), "{c:?}");
        }
        for c in "-.0\u{B7}\u{300}\u{2040}".chars() {
            assert!(is_name_char(c) && !is_name_start(c), "{c:?}");
        }
    }
}
