//! Runs of character data: UTF-8, characters, line ends. XML 1.0 (5th ed.),
//! sections 2.2, 2.4 and 2.11.

use alloc::string::String;
use core::str;

use super::chars;
use super::error::XmlFault;

/// What has to be remembered of a run while its next piece is awaited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// The first bytes of a character whose last ones have not come.
    pending: [u8; 4],
    pending_len: u8,
    /// The last byte was a carriage return, already written as a line feed.
    after_return: bool,
    /// How many of the last two bytes were `]` with nothing after them.
    brackets: u8,
}

/// A fault and its place: bytes after the start of the piece, or before it.
pub(super) type Misplaced = (XmlFault, isize);

impl Run {
    /// Whether nothing has to be remembered.
    pub(super) const fn is_fresh(&self) -> bool {
        self.pending_len == 0 && !self.after_return && self.brackets == 0
    }

    /// Reads the next piece of a run and appends it to `out`.
    ///
    /// `ended` tells that the byte after the piece is no longer of the run, and
    /// `cdata` that `]]>` is no concern here.
    ///
    /// # Errors
    /// The first fault in the order of the bytes, however they are cut.
    pub(super) fn take(
        &mut self,
        piece: &[u8],
        ended: bool,
        cdata: bool,
        out: &mut String,
    ) -> Result<(), Misplaced> {
        let rest = self.complete(piece, out)?;
        let skipped = piece.len().saturating_sub(rest.len());
        let (text, broken) = match str::from_utf8(rest) {
            Ok(text) => (text, None),
            Err(e) => {
                let (good, bad) = rest.split_at_checked(e.valid_up_to()).unwrap_or_default();
                (
                    str::from_utf8(good).unwrap_or_default(),
                    Some((bad, e.error_len())),
                )
            }
        };
        self.append(text, skipped, piece, cdata, out)?;
        match broken {
            None => {}
            // The start of a character, at most three bytes.
            Some((tail, None)) => {
                self.after_return = false;
                for (slot, byte) in self.pending.iter_mut().zip(tail) {
                    *slot = *byte;
                }
                self.pending_len = u8::try_from(tail.len()).unwrap_or_default();
            }
            Some((_, Some(_))) => {
                return Err((
                    XmlFault::InvalidUtf8,
                    offset(skipped.saturating_add(text.len())),
                ));
            }
        }
        self.note_brackets(piece);
        if ended {
            if self.pending_len > 0 {
                let at = offset(piece.len()).saturating_sub(offset(usize::from(self.pending_len)));
                return Err((XmlFault::InvalidUtf8, at));
            }
            *self = Self::default();
        }
        Ok(())
    }

    /// Completes the character that the last piece began; gives what is left.
    fn complete<'b>(&mut self, piece: &'b [u8], out: &mut String) -> Result<&'b [u8], Misplaced> {
        let mut rest = piece;
        while self.pending_len > 0 {
            let Some((&byte, after)) = rest.split_first() else {
                break;
            };
            let len = usize::from(self.pending_len);
            let began = offset(piece.len().saturating_sub(rest.len())).saturating_sub(offset(len));
            let Some(slot) = self.pending.get_mut(len) else {
                return Err((XmlFault::InvalidUtf8, began));
            };
            *slot = byte;
            match str::from_utf8(self.pending.get(..=len).unwrap_or_default()) {
                Ok(text) => {
                    if chars::first_forbidden(text).is_some() {
                        return Err((XmlFault::ForbiddenCharacter, began));
                    }
                    out.push_str(text);
                    self.pending_len = 0;
                }
                Err(e) if e.error_len().is_none() => {
                    self.pending_len = self.pending_len.saturating_add(1)
                }
                Err(_) => return Err((XmlFault::InvalidUtf8, began)),
            }
            rest = after;
        }
        Ok(rest)
    }

    /// Appends text that is known to be UTF-8, `skipped` bytes into the piece.
    fn append(
        &mut self,
        text: &str,
        skipped: usize,
        piece: &[u8],
        cdata: bool,
        out: &mut String,
    ) -> Result<(), Misplaced> {
        let bytes = text.as_bytes();
        // The line feed of a pair was written when the carriage return came.
        let mut written = usize::from(self.after_return && bytes.first() == Some(&b'\n'));
        self.after_return &= bytes.is_empty();
        for (i, &byte) in bytes.iter().enumerate() {
            let fault = match byte {
                b'\r' => {
                    out.push_str(text.get(written..i).unwrap_or_default());
                    written = i.saturating_add(1);
                    match bytes.get(written) {
                        Some(b'\n') => {}
                        Some(_) => out.push('\n'),
                        None => {
                            out.push('\n');
                            self.after_return = true;
                        }
                    }
                    continue;
                }
                b'>' if !cdata && self.closes_cdata(piece, skipped.saturating_add(i)) => {
                    XmlFault::CDataEndInText
                }
                b'\t' | b'\n' => continue,
                0..0x20 => XmlFault::ForbiddenCharacter,
                0xEF => match text.get(i..).and_then(|t| t.chars().next()) {
                    Some(c) if !chars::is_char(c) => XmlFault::ForbiddenCharacter,
                    _ => continue,
                },
                _ => continue,
            };
            return Err((fault, offset(skipped.saturating_add(i))));
        }
        out.push_str(text.get(written..).unwrap_or_default());
        Ok(())
    }

    /// Whether the `>` at `at` of this piece has `]]` before it.
    fn closes_cdata(&self, piece: &[u8], at: usize) -> bool {
        let before = piece.get(..at).unwrap_or_default();
        let here = before
            .iter()
            .rev()
            .take(2)
            .take_while(|&&b| b == b']')
            .count();
        here == 2 || (here == before.len() && here.saturating_add(usize::from(self.brackets)) >= 2)
    }

    fn note_brackets(&mut self, piece: &[u8]) {
        let here = piece
            .iter()
            .rev()
            .take(2)
            .take_while(|&&b| b == b']')
            .count();
        let before = if here == piece.len() {
            self.brackets
        } else {
            0
        };
        self.brackets = before
            .saturating_add(u8::try_from(here).unwrap_or(2))
            .min(2);
    }
}

fn offset(n: usize) -> isize {
    isize::try_from(n).unwrap_or(isize::MAX)
}
