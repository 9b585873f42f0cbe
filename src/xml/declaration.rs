//! The XML declaration. XML 1.0 (5th ed.), section 2.8; RFC 6120, sections
//! 11.5, 11.6 and 11.8.

use super::chars;
use super::error::XmlFault;

/// Bytes of an XML declaration, its `<?` and `?>` included. 38 would do.
pub(super) const LONGEST: usize = 256;

/// A fault and the byte where it lies.
type Misplaced = (XmlFault, usize);

/// Checks what stands between `<?xml` and `?>`.
///
/// # Errors
/// The fault and the byte where it lies.
pub(super) fn check(bytes: &[u8]) -> Result<(), Misplaced> {
    let mut reader = Reader { bytes, at: 0 };
    let Some((version, at)) = reader.attribute(b"version")? else {
        return Err((XmlFault::DeclarationSyntax, reader.at));
    };
    if version != b"1.0" {
        return Err((XmlFault::DeclaredVersion, at));
    }
    if let Some((encoding, at)) = reader.attribute(b"encoding")? {
        let mut rest = encoding.iter();
        let named = rest.next().is_some_and(u8::is_ascii_alphabetic)
            && rest.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !named {
            return Err((XmlFault::DeclarationSyntax, at));
        }
        if !encoding.eq_ignore_ascii_case(b"utf-8") {
            return Err((XmlFault::DeclaredEncoding, at));
        }
    }
    if let Some((standalone, at)) = reader.attribute(b"standalone")? {
        match standalone {
            b"yes" => {}
            b"no" => return Err((XmlFault::DeclaredStandalone, at)),
            _ => return Err((XmlFault::DeclarationSyntax, at)),
        }
    }
    reader.skip_space();
    match reader.rest() {
        [] => Ok(()),
        _ => Err((XmlFault::DeclarationSyntax, reader.at)),
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// The value of the attribute that must be called `name` if it is there,
    /// and where it stands.
    fn attribute(&mut self, name: &[u8]) -> Result<Option<(&'b [u8], usize)>, Misplaced> {
        let before = self.at;
        if !self.skip_space() || !self.skip(name) {
            self.at = before;
            return Ok(None);
        }
        self.skip_space();
        let equals = self.skip(b"=");
        self.skip_space();
        let quote = match self.rest() {
            [quote @ (b'"' | b'\''), ..] if equals => *quote,
            _ => return Err((XmlFault::DeclarationSyntax, self.at)),
        };
        self.at = self.at.saturating_add(1);
        let start = self.at;
        let Some(len) = self.rest().iter().position(|&b| b == quote) else {
            return Err((XmlFault::DeclarationSyntax, self.at));
        };
        let value = self.rest().get(..len).unwrap_or_default();
        self.at = self.at.saturating_add(len).saturating_add(1);
        Ok(Some((value, start)))
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at = self.at.saturating_add(word.len());
        }
        found
    }

    fn skip_space(&mut self) -> bool {
        let n = self
            .rest()
            .iter()
            .take_while(|&&b| chars::is_space(b))
            .count();
        self.at = self.at.saturating_add(n);
        n > 0
    }
}
