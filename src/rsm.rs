//! Result sets: pages of a longer answer (XEP-0059 v1.0).

use crate::ids::ArchiveId;
use crate::ns;
use crate::xml::{Element, Writer};

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The first of all.
    First,
    /// The one after an item.
    After(ArchiveId),
    /// The last of all.
    Last,
    /// The one before an item.
    Before(ArchiveId),
}

/// Writes the page asked for, of at most `max` items.
///
/// "From the beginning" is the absence of `<after/>`: an empty one is an error
/// on both servers that were measured.
pub(crate) fn write(w: &mut Writer<'_>, page: &Page, max: u32) {
    let mut digits = [0; 10];
    w.start("set").attr("xmlns", ns::RSM);
    w.start("max").text(decimal(max, &mut digits)).end();
    match page {
        Page::First => {}
        Page::After(id) => {
            w.start("after").text(id.as_str()).end();
        }
        Page::Last => {
            w.start("before").end();
        }
        Page::Before(id) => {
            w.start("before").text(id.as_str()).end();
        }
    }
    w.end();
}

/// What a page says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set<'a> {
    pub(crate) first: Option<&'a str>,
    pub(crate) last: Option<&'a str>,
    /// The whole result, not only this page, is said to hold nothing.
    pub(crate) nothing: bool,
}

/// Reads the `<set/>` within `parent`.
pub(crate) fn read(parent: Element<'_>) -> Set<'_> {
    let Some(set) = parent.child("set", ns::RSM) else {
        return Set::default();
    };
    let text = |name| {
        set.child(name, ns::RSM)
            .map(|e| e.text())
            .filter(|t| !t.is_empty())
    };
    Set {
        first: text("first"),
        last: text("last"),
        nothing: text("count") == Some("0"),
    }
}

/// `number` in decimal, written into `buffer`.
fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &str {
    let mut start = buffer.len();
    for (at, digit) in buffer.iter_mut().enumerate().rev() {
        // A digit: below sixteen, as the low half of its character.
        *digit = u8::try_from(number % 10).unwrap_or(0) | b'0';
        number /= 10;
        start = at;
        if number == 0 {
            break;
        }
    }
    buffer
        .get(start..)
        .and_then(|d| core::str::from_utf8(d).ok())
        .unwrap_or("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 100, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), alloc::format!("{number}"));
        }
    }
}
