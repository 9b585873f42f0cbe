//! The framer at character data: text, references, CDATA sections.

use core::str;

use memchr::{memchr, memchr2};

use super::{Framer, State, Step};
use crate::xml::chars;
use crate::xml::error::{Refused, XmlFault};
use crate::xml::reference::{self, Reference};

impl Framer {
    pub(super) fn text(&mut self, window: &[u8]) -> Step {
        if self.run.is_fresh() {
            let plain = self.take_plain(window, chars::is_plain)?;
            match window.get(plain) {
                Some(b'<') => {
                    return self.go(plain.saturating_add(1), State::Less { first: false });
                }
                Some(b'&') => return self.begin_reference(plain),
                Some(_) if plain == 0 => {}
                _ => return Ok((plain, None)),
            }
        }
        let stop = memchr2(b'<', b'&', window);
        let piece = window
            .get(..stop.unwrap_or(window.len()))
            .unwrap_or_default();
        self.take(piece, stop.is_some(), false)?;
        let Some(stop) = stop else {
            return Ok((piece.len(), None));
        };
        if window.get(stop) == Some(&b'<') {
            return self.go(stop.saturating_add(1), State::Less { first: false });
        }
        self.begin_reference(stop)
    }

    /// The byte that is `ahead` begins a reference.
    fn begin_reference(&mut self, ahead: usize) -> Step {
        self.partial_len = 0;
        self.check_nodes(ahead)?;
        self.go(ahead.saturating_add(1), State::Reference)
    }

    pub(super) fn reference(&mut self, window: &[u8]) -> Step {
        let before = self.partial_len;
        let mut len = before;
        for (slot, byte) in self.partial.iter_mut().skip(before).zip(window) {
            *slot = *byte;
            len = len.saturating_add(1);
        }
        self.partial_len = len;
        match reference::read(self.partial.get(..len).unwrap_or_default()) {
            Reference::Partial => Ok((len.saturating_sub(before), None)),
            Reference::Is(c, used) => {
                self.append(c.encode_utf8(&mut [0; 4]));
                self.go(used.saturating_sub(before), State::Text)
            }
            Reference::Refused(fault, at) => Err(Refused::new(
                fault,
                self.offset
                    .saturating_add(at as u64)
                    .saturating_sub(before as u64),
            )),
        }
    }

    pub(super) fn cdata_word(&mut self, byte: u8, matched: usize) -> Step {
        match b"CDATA[".get(matched) {
            Some(&due) if due != byte => self.refuse(XmlFault::MalformedMarkup),
            Some(b'[') => self.go(1, State::CData(0)),
            _ => self.go(1, State::CDataWord(matched.saturating_add(1))),
        }
    }

    pub(super) fn cdata(&mut self, window: &[u8], byte: u8, brackets: usize) -> Step {
        match (brackets, byte) {
            (0, _) => {
                if self.run.is_fresh() {
                    let plain = self.take_plain(window, chars::is_plain_in_cdata)?;
                    if plain > 0 {
                        return Ok((plain, None));
                    }
                }
                let stop = memchr(b']', window);
                let piece = window
                    .get(..stop.unwrap_or(window.len()))
                    .unwrap_or_default();
                self.take(piece, stop.is_some(), true)?;
                match stop {
                    Some(stop) => self.go(stop.saturating_add(1), State::CData(1)),
                    None => Ok((piece.len(), None)),
                }
            }
            (1, b']') => self.go(1, State::CData(2)),
            (_, b']') => {
                self.check_nodes(0)?;
                self.append("]");
                Ok((1, None))
            }
            (2, b'>') => self.go(1, State::Text),
            _ => {
                self.check_nodes(0)?;
                self.append(if brackets == 1 { "]" } else { "]]" });
                self.go(0, State::CData(0))
            }
        }
    }

    /// Reads a run that begins where nothing has to be remembered, as long as every byte
    /// is a character that means itself whatever is around it, as most of any text is.
    /// Tells how many there were.
    fn take_plain(
        &mut self,
        window: &[u8],
        is_plain: impl Fn(u8) -> bool,
    ) -> Result<usize, Refused> {
        let special = window.iter().position(|&byte| !is_plain(byte));
        let plain = window
            .get(..special.unwrap_or(window.len()))
            .unwrap_or_default();
        if !plain.is_empty() {
            self.check_nodes(0)?;
            let start = self.tape.here();
            let text = str::from_utf8(plain).unwrap_or_default();
            self.tape.text.push_str(text);
            self.appended(start);
        }
        Ok(plain.len())
    }

    /// Reads a piece of text.
    fn take(&mut self, piece: &[u8], ended: bool, cdata: bool) -> Result<(), Refused> {
        if !piece.is_empty() {
            self.check_nodes(0)?;
        }
        let start = self.tape.here();
        if let Err((fault, at)) = self.run.take(piece, ended, cdata, &mut self.tape.text) {
            return Err(Refused::new(
                fault,
                self.offset.saturating_add_signed(at as i64),
            ));
        }
        self.appended(start);
        Ok(())
    }

    fn append(&mut self, text: &str) {
        let start = self.tape.here();
        self.tape.text.push_str(text);
        self.appended(start);
    }

    fn appended(&mut self, start: u32) {
        if self.tape.here() > start {
            self.tape.push_text(start, self.in_text);
            self.in_text = true;
        }
    }

    /// Refuses the byte that is `ahead` where it would begin a text too many.
    fn check_nodes(&self, ahead: usize) -> Result<(), Refused> {
        if self.in_text || self.tape.nodes.len() < self.limits.nodes {
            return Ok(());
        }
        Err(Refused::new(
            XmlFault::TooManyNodes,
            self.offset.saturating_add(ahead as u64),
        ))
    }
}
