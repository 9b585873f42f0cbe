//! Attributes, and which tag ends which.

use super::*;

#[test]
fn x19_attribute_syntax() {
    refused("<a b=c/>", F::MissingQuote, 5);
    refused("<a b/>", F::MissingEquals, 4);
    refused("<a b>", F::MissingEquals, 4);
    refused("<a b c='1'/>", F::MissingEquals, 5);
    refused("<a b='1'c='2'/>", F::MissingSpace, 8);
    refused("<a b='<'/>", F::LessThanInValue, 6);
    refused("<a / >", F::StraySlash, 4);
    refused("<a/ >", F::StraySlash, 3);
    refused("<a b='1'/ >", F::StraySlash, 9);
    refused("<a></a b='1'>", F::MalformedEndTag, 7);
    refused("<a></a/>", F::MalformedEndTag, 6);
    assert_eq!(
        stanzas("<a\tb = '1'\r\nc\n=\r\"2\" ></a\n>"),
        ["<a xmlns='jabber:client' b='1' c='2'/>"]
    );
    refused("<a b=\"'/><c d='\"/>", F::LessThanInValue, 9);
    assert_eq!(value("'/>"), "'/>");
}

#[test]
fn x20_a_bad_attribute_never_hides_a_declaration() {
    refused("<x y=z xmlns='evil'>", F::MissingQuote, 5);
    refused("<x y xmlns='evil'/>", F::MissingEquals, 5);
}

#[test]
fn x21_tags_match() {
    refused("<a><b></a></b>", F::MismatchedEndTag, 8);
    refused("</b>", F::MismatchedEndTag, 2);
    refused("<a></ab>", F::MismatchedEndTag, 6);
    refused("<ab></a>", F::MismatchedEndTag, 7);
    refused("<a></>", F::MismatchedEndTag, 5);
    refused("<a></ a>", F::MismatchedEndTag, 5);
    refused("<a></A>", F::MismatchedEndTag, 5);
    refused("<a></a:>", F::MismatchedEndTag, 6);
    // No name begins with that character, but it may be in one, as far as its first byte tells.
    refused("<a></a\u{5d0}>", F::MismatchedEndTag, 6);
    refused("<a xmlns='u' xmlns:p='u'></p:a>", F::MismatchedEndTag, 27);
    refused_stream("</a>", F::UnexpectedEndTag, 1);
    refused_stream("text", F::TextBeforeHeader, 0);
    for open in [
        "<",
        "<a",
        "<a ",
        "<a b='",
        "<a>",
        "<a>x",
        "<a>&",
        "<a><b></b>",
        "<a></a",
    ] {
        assert!(!read(format!("{HEAD}{open}")).between, "{open}: truncated");
    }
    for whole in [
        "",
        " ",
        "<a/>",
        "<a></a>\n",
        "</stream:stream>",
        "</stream:stream> x",
    ] {
        assert!(
            read(format!("{HEAD}{whole}")).between,
            "{whole}: not truncated"
        );
    }
    assert!(read("").between);
    assert!(!read("<").between);
    assert!(!read("<?xml version='1.0'?>").between);
    assert!(!read("<stream:str").between);
}

/// What begins no name is refused with that byte, not when there is more of a tag.
#[test]
fn x21_what_begins_no_tag_is_refused_at_once() {
    for (byte, fault) in [
        (b'1', F::MalformedName),
        (b' ', F::MalformedName),
        (b'<', F::MalformedName),
        (b'>', F::MalformedName),
        (b'\n', F::MalformedName),
        (1, F::ForbiddenCharacter),
        (0, F::ForbiddenCharacter),
    ] {
        let mut framer = Framer::new(XmlLimits::default());
        assert!(framer.push(HEAD.as_bytes()).1.is_some());
        assert!(framer.push(b"<").1.is_none());
        let (_, refused) = framer.push(&[byte]);
        let refused = refused.expect("refused").unwrap_err();
        assert_eq!(
            (refused.fault, refused.offset),
            (fault, HEAD.len() as u64 + 1)
        );
    }
}
