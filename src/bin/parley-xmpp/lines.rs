//! Lines of standard input, each of bounded length.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// What comes next on the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextLine {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line longer than allowed; it was skipped.
    TooLong,
    /// The end. A last line without its end is still a line.
    End,
}

/// Reads lines, keeping no more than `max` bytes of each.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    max: usize,
    line: Vec<u8>,
    any: bool,
    too_long: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) const fn new(input: R, max: usize) -> Self {
        Self {
            input,
            max,
            line: Vec::new(),
            any: false,
            too_long: false,
        }
    }

    /// The next line. Can be dropped at any time without losing anything.
    pub(crate) async fn next(&mut self) -> std::io::Result<NextLine> {
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(if self.any {
                    self.finish()
                } else {
                    NextLine::End
                });
            }
            self.any = true;
            let (part, end) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(at) => (chunk.get(..at).unwrap_or_default(), true),
                None => (chunk, false),
            };
            self.too_long = self.too_long || self.line.len() + part.len() > self.max;
            if self.too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end);
            self.input.consume(taken);
            if end {
                return Ok(self.finish());
            }
        }
    }

    fn finish(&mut self) -> NextLine {
        let mut line = core::mem::take(&mut self.line);
        self.any = false;
        if core::mem::take(&mut self.too_long) {
            return NextLine::TooLong;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        NextLine::Line(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_skipped_and_the_next_is_read() {
        for size in [1, 3, 100] {
            let text = &b"one\r\n\ntoo long\nfour\nlast"[..];
            let mut input = Lines::new(tokio::io::BufReader::with_capacity(size, text), 5);
            let mut lines = Vec::new();
            loop {
                match input.next().await.unwrap() {
                    NextLine::End => break,
                    line => lines.push(line),
                }
            }
            let line = |text: &str| NextLine::Line(text.into());
            assert_eq!(
                lines,
                [
                    line("one"),
                    line(""),
                    NextLine::TooLong,
                    line("four"),
                    line("last")
                ]
            );
        }
    }
}
