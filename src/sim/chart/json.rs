//! Writes JSON that can stand in a page: small, and without a character that HTML
//! or a reader's eye takes for something else.

use alloc::string::String;
use core::fmt::Write as _;

/// JSON under construction. Commas are put where they belong.
#[derive(Debug, Default)]
pub(super) struct Json {
    out: String,
    /// Something stands before, at this level.
    follows: bool,
}

impl Json {
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// `[`, what `fill` writes, `]`.
    pub(super) fn list(&mut self, fill: impl FnOnce(&mut Self)) {
        self.nest('[', fill, ']');
    }

    /// `{`, the members that `fill` writes, `}`.
    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.nest('{', fill, '}');
    }

    /// The name of the member whose value is written next.
    pub(super) fn name(&mut self, name: &str) {
        self.text(name);
        self.out.push(':');
        self.follows = false;
    }

    pub(super) fn number(&mut self, number: u64) {
        self.comma();
        let _ = write!(self.out, "{number}");
    }

    /// A number, or -1 for none.
    pub(super) fn maybe(&mut self, number: Option<u64>) {
        match number {
            Some(number) => self.number(number),
            None => self.minus(1),
        }
    }

    /// A negative number.
    pub(super) fn minus(&mut self, number: u64) {
        self.comma();
        let _ = write!(self.out, "-{number}");
    }

    pub(super) fn text(&mut self, text: &str) {
        self.comma();
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                // `</script>`, `<!--` and `]]>` never stand in the page.
                '<' | '>' | '&' | '\'' => self.escaped(c),
                c if is_invisible(c) => self.escaped(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escaped(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }

    fn nest(&mut self, open: char, fill: impl FnOnce(&mut Self), close: char) {
        self.comma();
        self.out.push(open);
        self.follows = false;
        fill(self);
        self.out.push(close);
        self.follows = true;
    }

    fn comma(&mut self) {
        if self.follows {
            self.out.push(',');
        }
        self.follows = true;
    }
}

/// Whether it could mislead an eye: controls, directions, what has no width.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
        | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let mut json = Json::default();
        json.object(|json| {
            json.name("a");
            json.list(|json| {
                json.number(1);
                json.maybe(None);
                json.list(|_| {});
                json.text("x");
            });
            json.name("b");
            json.text("");
        });
        assert_eq!(json.finish(), r#"{"a":[1,-1,[],"x"],"b":""}"#);
    }

    #[test]
    fn nothing_that_html_or_an_eye_takes_for_something_else() {
        let mut json = Json::default();
        json.text("</script><!--'\u{202e}\u{2028}\u{e0041}\"\\\n&");
        assert_eq!(
            json.finish(),
            "\"\\u003c/script\\u003e\\u003c!--\\u0027\\u202e\\u2028\\udb40\\udc41\\\"\\\\\\n\\u0026\""
        );
    }
}
