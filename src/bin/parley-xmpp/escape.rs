//! Makes text of strangers fit for a terminal.
//!
//! XML admits the C1 controls and every bidirectional override, so a message can
//! move the cursor, rename the window, or show one thing and mean another
//! (CWE-150). What could do so is shown as `\u{…}` instead. A backslash of the
//! text itself stays as it is: this is for eyes, not to be parsed back.

use core::fmt::{self, Write as _};

/// Whether a terminal or a reader's eye could be misled by it: what steers, and what is not seen
/// (Unicode's `Default_Ignorable_Code_Point`, but for the variation selectors that emoji have).
pub(crate) const fn is_dangerous(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'     // C0, DEL, C1
        | '\u{ad}' | '\u{61c}'                     // soft hyphen, Arabic mark
        | '\u{34f}' | '\u{17b4}' | '\u{17b5}'      // joiner of graphemes, Khmer vowels without a shape
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
        | '\u{180b}'..='\u{180f}'                   // Mongolian selectors and separator
        | '\u{1bca0}'..='\u{1bca3}'                 // shorthand controls
        | '\u{1d173}'..='\u{1d17a}'                 // musical controls
        | '\u{200b}'..='\u{200f}'                   // zero width, directional marks
        | '\u{2028}'..='\u{202e}'                   // line and paragraph separators, bidi
        | '\u{2060}'..='\u{206f}'                   // joiners, invisible operators, isolates
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}'      // byte order mark, annotations
        | '\u{e0000}'..='\u{e0fff}'                 // tags and their like
    )
}

/// On one line: line breaks and tabs are shown as escapes too.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a>(pub(crate) &'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| put(f, c))
    }
}

/// On as many lines as the text has, those after the first indented, so that no
/// line of a text can pass for one of ours.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a>(pub(crate) &'a str);

/// What the lines after the first begin with.
pub(crate) const INDENT: &str = "    ";

impl fmt::Display for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\n' => write!(f, "\n{INDENT}"),
            '\t' => f.write_str(INDENT),
            c => put(f, c),
        })
    }
}

fn put(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if is_dangerous(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        c => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Strings in which the dangerous characters are frequent.
    fn text() -> impl Strategy<Value = String> {
        let c = prop_oneof![
            any::<char>(),
            prop::char::range('\0', '\u{a0}'),
            prop::char::range('\u{2000}', '\u{2070}'),
        ];
        prop::collection::vec(c, 0..64).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_dangerous_comes_out(text in text()) {
            prop_assert!(!Line(&text).to_string().chars().any(is_dangerous));
            let body = Body(&text).to_string();
            prop_assert!(!body.chars().any(|c| c != '\n' && (is_dangerous(c) || c.is_control())));
            prop_assert!(body.lines().skip(1).all(|line| line.starts_with(INDENT)));
        }

        #[test]
        fn harmless_text_stays_as_it_is(text in "[a-zA-Z0-9 äöüß日本語\u{1f600}\\\\]{0,40}") {
            prop_assert_eq!(Line(&text).to_string(), text.clone());
            prop_assert_eq!(Body(&text).to_string(), text);
        }
    }

    #[test]
    fn what_has_been_tried_on_terminals_is_shown_instead() {
        assert_eq!(Line("\u{1b}]0;x\u{7}").to_string(), "\\u{1b}]0;x\\u{7}");
        assert_eq!(Line("\u{9b}2J").to_string(), "\\u{9b}2J");
        assert_eq!(Line("a\r\nb").to_string(), "a\\r\\nb");
        assert_eq!(Line("\u{202e}gpj.exe").to_string(), "\\u{202e}gpj.exe");
        assert_eq!(
            Body("one\n12:00:00 bob: two").to_string(),
            "one\n    12:00:00 bob: two"
        );
    }

    #[test]
    fn l01_no_text_steers_the_terminal() {
        for text in [
            "\u{1b}]0;owned\u{7}",
            "\u{1b}[2J",
            "\u{9b}2J",
            "over\rwritten",
            "\u{202e}gpj.exe",
            "\u{2066}x\u{2069}",
            "a\u{200b}b",
            "admin\u{34f}",
            "admin\u{3164}",
            "\u{ffa0}admin",
            "ad\u{180b}min",
            "ad\u{1d173}min",
        ] {
            for shown in [Line(text).to_string(), Body(text).to_string()] {
                assert!(!shown.chars().any(is_dangerous), "{shown:?}");
                assert_ne!(shown, text);
            }
        }
        // A line without end is as long as it is, and no longer.
        let long = "x".repeat(10_000_000);
        assert_eq!(Line(&long).to_string().len(), long.len());
        // Nor does what is escaped in it grow beyond what each character takes.
        let long = "\u{202e}".repeat(10_000_000 / 3);
        assert_eq!(
            Line(&long).to_string().len(),
            "\\u{202e}".len() * (10_000_000 / 3)
        );
    }

    #[test]
    fn l02_no_text_looks_like_a_line_of_ours() {
        let forged = "bob\n2026-11-21T10:00:00Z ERROR forged";
        assert!(!Line(forged).to_string().contains('\n'));
        let body = Body(forged).to_string();
        assert!(body.lines().skip(1).all(|line| line.starts_with(INDENT)));
    }
}
