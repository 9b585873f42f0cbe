//! The words of a line of a plan: quoted texts, numbers, times.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;
use crate::sim::happening::{HostId, Side};

/// What is wrong, and what would be right.
pub(super) type Wrong = (String, String);

pub(super) fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Wrong> {
    Err((problem.into(), remedy.into()))
}

/// The words of a line, quoted ones unquoted.
pub(super) struct Words {
    words: alloc::vec::IntoIter<String>,
}

impl Words {
    pub(super) fn new(line: &str) -> Result<Self, Wrong> {
        let mut words = Vec::new();
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '#' => break,
                '"' => words.push(quoted(&mut chars)?),
                c if c.is_whitespace() => {}
                c => {
                    let mut word = String::from(c);
                    while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                        word.push(c);
                    }
                    words.push(word);
                }
            }
        }
        Ok(Self {
            words: words.into_iter(),
        })
    }

    pub(super) fn next(&mut self) -> Option<String> {
        self.words.next()
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, Wrong> {
        self.next().ok_or_else(|| {
            (
                format!("the line ends where {what} should be"),
                format!("add {what}"),
            )
        })
    }

    pub(super) fn number<T: core::str::FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.text(what)?;
        word.parse().map_err(|_| {
            (
                format!("`{word}` is not {what}"),
                "use a whole number that is not negative".into(),
            )
        })
    }

    /// One of those that have names.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        names: &[(T, &'static str)],
        what: &str,
    ) -> Result<T, Wrong> {
        let word = self.text(&format!("a {what}"))?;
        let found = names.iter().find(|(_, name)| *name == word);
        found.map(|(one, _)| *one).ok_or_else(|| {
            let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
            (
                format!("`{word}` is no {what}"),
                format!("use one of: {}", known.join(", ")),
            )
        })
    }

    /// Whether the next word is this one.
    pub(super) fn is_next(&self, word: &str) -> bool {
        let next = self.words.as_slice().first();
        next.is_some_and(|next| next == word)
    }

    /// Whether the next word is this one; takes it if so.
    pub(super) fn flag(&mut self, word: &str) -> bool {
        let is_it = self.is_next(word);
        if is_it {
            self.words.next();
        }
        is_it
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), Wrong> {
        if self.flag(word) {
            return Ok(());
        }
        let there = self.next().unwrap_or_default();
        wrong(
            format!("`{there}` stands where `{word}` should be"),
            format!("write `{word}` and its value there"),
        )
    }

    pub(super) fn duration(&mut self) -> Result<Duration, Wrong> {
        let word = self.text("a time")?;
        read_micros(&word)
            .map(Duration::from_micros)
            .ok_or_else(|| {
                (
                    format!("`{word}` is no time"),
                    "use seconds with at most six decimals: `1.5s`, or `20ms`, `7us`".into(),
                )
            })
    }

    pub(super) fn instant(&mut self) -> Result<Instant, Wrong> {
        Ok(Instant::ZERO.plus(self.duration()?))
    }

    pub(super) fn lasts(&mut self) -> Result<Duration, Wrong> {
        self.keyword("lasts")?;
        self.duration()
    }

    pub(super) fn host(&mut self) -> Result<HostId, Wrong> {
        self.keyword("host")?;
        self.number("a host's number").map(HostId)
    }

    pub(super) fn side(&mut self) -> Result<Side, Wrong> {
        self.keyword("from")?;
        match self.text("a side")?.as_str() {
            "host" => Ok(Side::Host),
            "server" => Ok(Side::Server),
            other => wrong(format!("`{other}` is no side"), "use host or server"),
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        match self.next() {
            None => Ok(()),
            Some(word) => wrong(
                format!("`{word}` is one word too many"),
                "take it away, or quote a text that has spaces",
            ),
        }
    }
}

/// The rest of a quoted text, its closing mark included.
fn quoted(chars: &mut impl Iterator<Item = char>) -> Result<String, Wrong> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(text),
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('r') => text.push('\r'),
                Some('t') => text.push('\t'),
                Some('u') => {
                    let code: String = chars.take_while(|c| *c != '}').collect();
                    let code = code.strip_prefix('{');
                    let c = code
                        .and_then(|code| u32::from_str_radix(code, 16).ok())
                        .and_then(char::from_u32);
                    match c {
                        Some(c) => text.push(c),
                        None => return wrong("a `\\u` names no character", "write `\\u{1f600}`"),
                    }
                }
                Some(c @ ('"' | '\\')) => text.push(c),
                _ => {
                    return wrong(
                        "a backslash stands before nothing that it can",
                        "write \\\\, \\\", \\n, \\r, \\t or \\u{..}",
                    );
                }
            },
            c => text.push(c),
        }
    }
    wrong("a quoted text does not end", "close it with a quote")
}

/// The microseconds of `1.5s`, `20ms` or `7us`.
pub(super) fn read_micros(word: &str) -> Option<u64> {
    if let Some(number) = word.strip_suffix("ms") {
        return number.parse::<u64>().ok()?.checked_mul(1000);
    }
    if let Some(number) = word.strip_suffix("us") {
        return number.parse().ok();
    }
    let number = word.strip_suffix('s')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 6 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(part)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::super::write::{Secs, Word};
    use super::*;

    #[test]
    fn texts_of_any_kind_read_back() {
        for text in [
            "",
            " ",
            "a b",
            "#",
            "\"\\\n\r\t\u{0}\u{2028}\u{1f600}",
            "\u{85}",
        ] {
            let line = Word(text).to_string();
            assert_eq!(line.lines().count(), 1, "{line:?}");
            assert_eq!(Words::new(&line).unwrap().next().as_deref(), Some(text));
        }
    }

    #[test]
    fn times_read_back_to_the_microsecond() {
        for micros in [0, 1, 999_999, 1_000_000, 1_500_000, 12_345_678] {
            let time = Duration::from_micros(micros);
            assert_eq!(read_micros(&Secs(time).to_string()), Some(micros));
        }
        assert_eq!(read_micros("20ms"), Some(20_000));
        assert_eq!(read_micros("1.2345678s"), None);
        assert_eq!(read_micros("s"), None);
    }
}
