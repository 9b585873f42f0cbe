//! placeholder
use alloc::vec::Vec;

/// A character that XML 1.0 cannot carry, escaped or not (section 2.2), and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForbiddenChar {
    /// The character.
    pub character: char,
    /// Its byte offset in the text.
    pub offset: usize,
}

/// Finds the first character that XML cannot carry.
///
/// # Errors
/// That character and where it stands.
pub fn check_text(_text: &str) -> Result<(), ForbiddenChar> { Ok(()) }

/// Appends markup to a buffer.
#[derive(Debug)]
pub struct Writer<'a> { out: &'a mut Vec<u8> }

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self { Self { out } }
    /// Opens an element. Names come from the program, never from data.
    pub fn start(&mut self, name: &'static str) -> &mut Self { let _ = &self.out; let _ = name; self }
    /// Adds an attribute to the element just opened.
    pub fn attr(&mut self, name: &'static str, value: &str) -> &mut Self { let _ = (name, value); self }
    /// Adds text, escaped.
    pub fn text(&mut self, text: &str) -> &mut Self { let _ = text; self }
    /// Closes the innermost open element, `/>` where it is empty.
    pub fn end(&mut self) -> &mut Self { self }
    /// Ends the writing.
    ///
    /// # Errors
    /// A character that XML cannot carry; then nothing was appended.
    pub fn finish(self) -> Result<(), ForbiddenChar> { Ok(()) }
}
