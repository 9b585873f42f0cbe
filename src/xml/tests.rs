//! What the framer accepts and refuses, case by case, numbered after the
//! catalogue of hostile XML that the framer was written against.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::XmlFault as F;
use super::*;
use crate::error::StreamCondition;
use crate::limits::XmlLimits;

const HEAD: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

/// What came of a document: its frames as text, and the error that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    frames: Vec<String>,
    error: Option<XmlError>,
    between: bool,
}

fn read_cut<'a>(limits: &XmlLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut framer = Framer::new(limits.clone());
    let mut frames = Vec::new();
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            let (n, found) = framer.push(rest);
            let left = rest.len() - n;
            match found {
                None => assert_eq!(left, 0, "all must be read where nothing is found"),
                Some(Ok(Frame::Open(e))) => frames.push(format!("open {e}")),
                Some(Ok(Frame::Stanza(e))) => frames.push(e.to_string()),
                Some(Ok(Frame::Close)) => frames.push("close".into()),
                Some(Err(error)) => {
                    let (n, again) = framer.push(rest);
                    assert_eq!(n, 0);
                    assert_eq!(again.unwrap().unwrap_err(), error, "errors are latched");
                    return Outcome {
                        frames,
                        error: Some(error),
                        between: false,
                    };
                }
            }
            rest = &rest[n..];
        }
    }
    Outcome {
        frames,
        error: None,
        between: framer.is_between_frames(),
    }
}

/// Reads a document whole and byte by byte, which must agree.
fn read_limited(limits: &XmlLimits, document: &[u8]) -> Outcome {
    let whole = read_cut(limits, [document]);
    let bytes = read_cut(limits, document.chunks(1));
    assert!(
        whole == bytes,
        "whole: {whole:.500?}\nby bytes: {bytes:.500?}"
    );
    whole
}

fn read(document: impl AsRef<[u8]>) -> Outcome {
    read_limited(&XmlLimits::default(), document.as_ref())
}

/// What `inner` gives within a stream: its frames.
#[track_caller]
fn stanzas(inner: impl AsRef<[u8]>) -> Vec<String> {
    let outcome = read([HEAD.as_bytes(), inner.as_ref()].concat());
    assert_eq!(outcome.error, None);
    outcome.frames[1..].to_vec()
}

/// That `inner` within a stream is refused at its byte `at`, for `fault`.
#[track_caller]
fn refused(inner: impl AsRef<[u8]>, fault: F, at: usize) {
    let outcome = read([HEAD.as_bytes(), inner.as_ref()].concat());
    let inner: String = String::from_utf8_lossy(inner.as_ref())
        .chars()
        .take(200)
        .collect();
    let error = outcome
        .error
        .unwrap_or_else(|| panic!("accepted: {inner:?} as {outcome:?}"));
    assert_eq!(
        (error.fault, error.offset as usize),
        (fault, HEAD.len() + at),
        "{inner:?}"
    );
}

/// That the document is refused at its byte `at`, for `fault`.
#[track_caller]
fn refused_stream(document: impl AsRef<[u8]>, fault: F, at: u64) {
    let outcome = read(document.as_ref());
    assert_eq!(
        outcome.error,
        Some(XmlError { fault, offset: at }),
        "{outcome:?}"
    );
}

#[track_caller]
fn only_text(inner: impl AsRef<[u8]>) -> String {
    let document = [HEAD.as_bytes(), b"<a>", inner.as_ref(), b"</a>"].concat();
    read(&document);
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(&document);
    match framer.push(&document[n..]) {
        (_, Some(Ok(Frame::Stanza(a)))) => {
            assert!(a.contents().count() <= 1, "one run of text: {a}");
            a.text().into()
        }
        (_, other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn value(inner: &str) -> String {
    let document = format!("{HEAD}<a b=\"{inner}\"/>");
    read(&document);
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(document.as_bytes());
    match framer.push(&document.as_bytes()[n..]) {
        (_, Some(Ok(Frame::Stanza(a)))) => a.attr("b").unwrap().into(),
        (_, other) => panic!("{other:?}"),
    }
}

#[test]
fn x01_document_types_are_restricted() {
    refused("<!DOCTYPE a>", F::DocumentType, 2);
    refused("<!doctype a>", F::DocumentType, 2);
    refused("<a><!D", F::DocumentType, 5);
    refused_stream("<!DOCTYPE a><stream:stream/>", F::DocumentType, 2);
    refused_stream("<?xml version='1.0'?><!DOCTYPE", F::DocumentType, 23);
    refused("<!ENTITY x 'y'>", F::MalformedMarkup, 2);
}

#[test]
fn x02_entities_beyond_the_five_are_restricted() {
    refused_stream("<!DOCTYPE a [<!ENTITY x 'y'>]>", F::DocumentType, 2);
    refused("<a>&x;</a>", F::UndefinedEntity, 5);
    refused("<a b='&x;'/>", F::UndefinedEntity, 8);
    assert_eq!(only_text("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
    assert_eq!(value("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
    refused("<a>&LT;</a>", F::UndefinedEntity, 6);
}

#[test]
fn x03_processing_instructions_are_restricted() {
    for text in ["<?php x?>", "<??>", "<?XmL x?>", "<?xml-stylesheet ?>"] {
        refused(text, F::ProcessingInstruction, 1);
        refused(format!("<a>{text}"), F::ProcessingInstruction, 4);
    }
    refused_stream("<?php x?>", F::ProcessingInstruction, 2);
    refused_stream("<??>", F::ProcessingInstruction, 2);
    refused_stream("<?XmL x?>", F::ProcessingInstruction, 2);
    refused_stream("<?xml-stylesheet ?>", F::ProcessingInstruction, 5);
}

#[test]
fn x04_the_xml_declaration_comes_first_and_says_only_this() {
    for good in [
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\"?>",
        "<?xml\n\tversion = '1.0'  ?>\r\n",
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<?xml version='1.0' encoding='utf-8'?>",
        "<?xml version='1.0' encoding='Utf-8' standalone='yes' ?>",
        "<?xml version='1.0' standalone='yes'?>",
        " \r\n\t",
        "",
    ] {
        let outcome = read(format!("{good}{HEAD}"));
        assert_eq!((outcome.frames.len(), outcome.error), (1, None), "{good}");
    }
    for (bad, fault, at) in [
        (" <?xml version='1.0'?>", F::ProcessingInstruction, 2),
        (
            "<?xml version='1.0'?><?xml version='1.0'?>",
            F::ProcessingInstruction,
            22,
        ),
        ("<?xml version='1.1'?>", F::DeclaredVersion, 15),
        ("<?xml version='9.9'?>", F::DeclaredVersion, 15),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding='UTF8'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding='UTF-16'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding=' utf-8'?>",
            F::DeclarationSyntax,
            30,
        ),
        (
            "<?xml version='1.0' standalone='no'?>",
            F::DeclaredStandalone,
            32,
        ),
        (
            "<?xml version='1.0' standalone='maybe'?>",
            F::DeclarationSyntax,
            32,
        ),
        ("<?xml?>", F::DeclarationSyntax, 5),
        ("<?xml ?>", F::DeclarationSyntax, 5),
        ("<?xml encoding='utf-8'?>", F::DeclarationSyntax, 5),
        (
            "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
            F::DeclarationSyntax,
            37,
        ),
        (
            "<?xml version='1.0'encoding='utf-8'?>",
            F::DeclarationSyntax,
            19,
        ),
        (
            "<?xml version='1.0' foo='bar' <?>",
            F::DeclarationSyntax,
            20,
        ),
        (
            "<?xml version='1.0' version='1.0'?>",
            F::DeclarationSyntax,
            20,
        ),
        ("<?xml version=1.0?>", F::DeclarationSyntax, 14),
        ("<?xml version '1.0'?>", F::DeclarationSyntax, 14),
        ("<?xml version='1.0?>", F::DeclarationSyntax, 15),
        ("<?xml version='1.0' > ?>", F::DeclarationSyntax, 20),
    ] {
        refused_stream(format!("{bad}{HEAD}"), fault, at);
    }
    let long = format!("<?xml {}", " ".repeat(300));
    refused_stream(long, F::DeclarationTooLong, 256);
    refused("<?xml version='1.0'?>", F::ProcessingInstruction, 1);
    refused("<a/><?xml version='1.0'?>", F::ProcessingInstruction, 5);
}

#[test]
fn x05_comments_are_restricted() {
    for text in ["<!-- x -->", "<!-- a--b -->", "<!-- a--->", "<!-->", "<!-"] {
        refused(text, F::Comment, 2);
        refused(format!("<a>{text}"), F::Comment, 5);
        refused_stream(text, F::Comment, 2);
    }
}

#[test]
fn x06_cdata_is_text_within_elements() {
    assert_eq!(only_text("<![CDATA[<b>&amp;]]>"), "<b>&amp;");
    assert_eq!(only_text("a<![CDATA[b]]>c"), "abc");
    assert_eq!(only_text("<![CDATA[]]>"), "");
    assert_eq!(only_text("<![CDATA[]]]]>"), "]]");
    assert_eq!(only_text("<![CDATA[x]]]>"), "x]");
    assert_eq!(only_text("<![CDATA[]>]]>"), "]>");
    assert_eq!(only_text("<![CDATA[]]x]>]]]]>"), "]]x]>]]");
    assert_eq!(only_text("<![CDATA[a]]]]><![CDATA[>b]]>"), "a]]>b");
    assert_eq!(
        only_text("<![CDATA[<!--\u{e9}<?]]&gt;]]>"),
        "<!--\u{e9}<?]]&gt;"
    );
    assert_eq!(only_text("<![CDATA[a\r\nb\rc\r]]>\n"), "a\nb\nc\n\n");
    refused("<![CDATA[x]]>", F::TextBetweenStanzas, 2);
    refused("<a/><![CDATA[ ]]>", F::TextBetweenStanzas, 6);
    refused_stream("<![CDATA[x]]>", F::TextBeforeHeader, 2);
    // Nothing at all is still a section where none may be.
    refused_stream("<![CDATA[]]>", F::TextBeforeHeader, 2);
    refused("<a><![cdata[x]]>", F::MalformedMarkup, 6);
    refused("<a><![CDATA [x]]>", F::MalformedMarkup, 11);
    refused("<a><![CDATA[\u{1}]]>", F::ForbiddenCharacter, 12);
    refused(b"<a><![CDATA[\xEB]]>", F::InvalidUtf8, 12);
}

#[test]
fn x07_the_end_of_cdata_is_no_text() {
    refused("<a>x]]>y</a>", F::CDataEndInText, 6);
    refused("<a>]]]]>", F::CDataEndInText, 7);
    refused("<a><![CDATA[]]]>]]>", F::CDataEndInText, 18);
    assert_eq!(only_text("]]&gt;"), "]]>");
    assert_eq!(only_text("]&#93;>"), "]]>");
    assert_eq!(only_text("]] >]>>"), "]] >]>>");
    assert_eq!(only_text("<![CDATA[]]]]>>"), "]]>");
    assert_eq!(only_text("]\u{e9}]>"), "]\u{e9}]>");
    assert_eq!(value("]]>"), "]]>");
}

#[test]
fn x08_what_is_not_utf8_is_refused() {
    for bytes in [
        &b"\xED\xA0\x80"[..],
        b"\xC0\xBC",
        b"\xC0\xAF",
        b"\xE0\x80\xBC",
        b"\xF0\x80\x80\xBC",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
        b"\xFF",
        b"\x80",
        b"\xEB",
        b"\xF0\x9F",
        b"\xF0\x9F\x98",
    ] {
        refused([b"<a>x", bytes, b"</a>"].concat(), F::InvalidUtf8, 4);
        refused([b"<a>x", bytes, b"&lt;"].concat(), F::InvalidUtf8, 4);
        refused([b"<a>x", bytes, b"yyyy"].concat(), F::InvalidUtf8, 4);
        refused(
            [b"<a>\xC3\xA9", bytes, b"\xC3\xA9\xC3\xA9"].concat(),
            F::InvalidUtf8,
            5,
        );
        refused([b"<a b='", bytes, b"'/>"].concat(), F::InvalidUtf8, 6);
        refused([b"<a", bytes, b"/>"].concat(), F::InvalidUtf8, 2);
        refused([b"<", bytes, b"/>"].concat(), F::InvalidUtf8, 1);
    }
    // A lead byte does not swallow markup.
    refused(b"<a>\xEB</a><b>", F::InvalidUtf8, 3);
    assert_eq!(
        only_text("\u{e9}\u{20ac}\u{1f600}"),
        "\u{e9}\u{20ac}\u{1f600}"
    );
}

#[test]
fn x09_characters_that_xml_lacks_are_refused() {
    for code in (0..0x20).chain([0xFFFE, 0xFFFF]) {
        let c = char::from_u32(code).unwrap();
        if matches!(c, '\t' | '\n' | '\r') {
            continue;
        }
        refused(format!("<a>x{c}"), F::ForbiddenCharacter, 4);
        refused(format!("<a>\u{e9}{c}y</a>"), F::ForbiddenCharacter, 5);
        refused(format!("<a b='{c}'/>"), F::ForbiddenCharacter, 6);
        refused(format!("<a{c}/>"), F::ForbiddenCharacter, 2);
        refused(format!("<a {c}/>"), F::ForbiddenCharacter, 3);
        refused(format!("<a b{c}='1'/>"), F::ForbiddenCharacter, 4);
        refused(format!("<{c}/>"), F::ForbiddenCharacter, 1);
    }
    let edge = "\t\u{7f}\u{80}\u{D7FF}\u{E000}\u{FFFD}\u{FDD0}\u{10000}\u{1FFFE}\u{10FFFF}";
    assert_eq!(only_text(edge), edge);
}

#[test]
fn x10_character_references() {
    assert_eq!(
        only_text("&#65;&#x41;&#x1F600;&#00000065;&#13;&#10;&#9;"),
        "AA\u{1f600}A\r\n\t"
    );
    assert_eq!(value("&#65;&#x41;&#10;&#13;&#9;"), "AA\n\r\t");
    for bad in [
        "&#0;",
        "&#1;",
        "&#x1f;",
        "&#xFFFE;",
        "&#xD800;",
        "&#x110000;",
    ] {
        refused(format!("<a>{bad}"), F::ForbiddenReference, 2 + bad.len());
        refused(
            format!("<a b='{bad}'/>"),
            F::ForbiddenReference,
            5 + bad.len(),
        );
    }
    for (bad, at) in [
        ("&#X41;", 2),
        ("&#+65;", 2),
        ("&#;", 2),
        ("&#x;", 3),
        ("&#6 5;", 3),
    ] {
        refused(format!("<a>{bad}"), F::MalformedReference, 3 + at);
        refused(format!("<a b='{bad}'/>"), F::MalformedReference, 6 + at);
    }
    refused("<a>&#000000065;", F::ReferenceTooLong, 13);
    refused("<a>&#x000000041;", F::ReferenceTooLong, 14);
}

#[test]
fn x11_bare_ampersands_and_foreign_entities() {
    refused("<a>&nbsp;", F::UndefinedEntity, 8);
    refused("<a>&foo;", F::UndefinedEntity, 7);
    refused("<a>&\u{e9};", F::UndefinedEntity, 4);
    refused("<a>&;", F::MalformedReference, 4);
    refused("<a>a & b", F::MalformedReference, 6);
    refused("<a>&<b/>", F::MalformedReference, 4);
    refused("<a>&amp</a>", F::MalformedReference, 7);
    refused("<a b='a & b'/>", F::MalformedReference, 9);
    refused("<a b='&'/>", F::MalformedReference, 7);
    refused("<a b='&nbsp;'/>", F::UndefinedEntity, 11);
}

#[test]
fn x12_undeclared_prefixes() {
    refused("<p:a/>", F::UndeclaredPrefix, 5);
    refused("<a p:b='1'/>", F::UndeclaredPrefix, 11);
    refused("<a xmlns:p='u'/><p:a/>", F::UndeclaredPrefix, 21);
    refused("<a><b xmlns:p='u'></b><p:c/></a>", F::UndeclaredPrefix, 27);
    assert_eq!(
        stanzas("<p:a p:b='1' xmlns:p='u'/>"),
        ["<a xmlns='u' xmlns:n0='u' n0:b='1'/>"]
    );
    assert_eq!(
        stanzas("<a xml:lang='en'/>"),
        ["<a xmlns='jabber:client' xml:lang='en'/>"]
    );
    assert_eq!(stanzas("<xml:a/>"), ["<xml:a/>"]);
}

#[test]
fn x12_a_long_tag_leaves_no_prefix_behind() {
    // Long enough to be looked at before it ends, where it comes in pieces.
    let long = format!("<a xmlns:p='u' b='{}'/>", "v".repeat(600));
    refused(format!("{long}<p:b/>"), F::UndeclaredPrefix, long.len() + 5);
    let inner = format!("<c>{long}<p:b/>");
    refused(&inner, F::UndeclaredPrefix, inner.len() - 1);
}

#[test]
fn x13_reserved_prefixes_and_namespaces() {
    let xml = crate::ns::XML;
    let xmlns = crate::ns::XMLNS;
    for (inner, fault) in [
        ("<a xmlns:xml='u'/>".to_string(), F::ReservedPrefix),
        ("<a xmlns:xml=''/>".to_string(), F::ReservedPrefix),
        (format!("<a xmlns:xml='{xmlns}'/>"), F::ReservedPrefix),
        (format!("<a xmlns:p='{xml}'/>"), F::ReservedNamespace),
        (format!("<a xmlns='{xml}'/>"), F::ReservedNamespace),
        (format!("<a xmlns:p='{xmlns}'/>"), F::ReservedNamespace),
        (format!("<a xmlns='{xmlns}'/>"), F::ReservedNamespace),
        ("<a xmlns:xmlns='u'/>".to_string(), F::ReservedPrefix),
        (format!("<a xmlns:xmlns='{xmlns}'/>"), F::ReservedPrefix),
    ] {
        refused(&inner, fault, inner.len() - 3);
    }
    refused("<xmlns:a/>", F::ReservedPrefix, 9);
    let again = format!("<xml:a xmlns:xml='{xml}'/>");
    assert_eq!(stanzas(again), ["<xml:a/>"]);
}

#[test]
fn x14_prefixes_cannot_be_undeclared_but_the_default_can() {
    refused("<b xmlns:p=''/>", F::EmptyPrefixDeclaration, 12);
    refused(
        "<b xmlns:p='u'><c xmlns:p=''/>",
        F::EmptyPrefixDeclaration,
        27,
    );
    assert_eq!(
        stanzas("<a xmlns=''><b/><c xmlns='u'/></a>"),
        ["<a><b/><c xmlns='u'/></a>"]
    );
}

#[test]
fn x15_duplicates_by_expanded_name() {
    refused("<a b='1' b='2'/>", F::DuplicateAttribute, 15);
    refused("<a b='1' b='1'/>", F::DuplicateAttribute, 15);
    refused(
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        F::DuplicateAttribute,
        43,
    );
    refused("<a xmlns='u' xmlns='v'/>", F::DuplicateDeclaration, 21);
    refused("<a xmlns:p='u' xmlns:p='u'/>", F::DuplicateDeclaration, 25);
    let good = "<a xmlns='u' xmlns:p='u' xmlns:q='v' b='1' p:b='2' q:b='3'/>";
    assert_eq!(
        stanzas(good),
        ["<a xmlns='u' b='1' xmlns:n1='u' n1:b='2' xmlns:n2='v' n2:b='3'/>"]
    );
}

#[test]
fn x16_namespaces_are_normalised_before_they_are_bound() {
    assert_eq!(
        stanzas("<a xmlns='jabber&#58;client'/>"),
        ["<a xmlns='jabber:client'/>"]
    );
    assert_eq!(stanzas("<a xmlns='u\tv\r\nw'/>"), ["<a xmlns='u v w'/>"]);
    assert_eq!(stanzas("<a xmlns=' U '/>"), ["<a xmlns=' U '/>"]);
    refused(
        "<a xmlns='http://www.w3.org/2000/xmlns&#47;'/>",
        F::ReservedNamespace,
        43,
    );
    refused(
        "<a xmlns:p='a&amp;b' xmlns:q='a&#38;b' p:x='' q:x=''/>",
        F::DuplicateAttribute,
        53,
    );
}

#[test]
fn x17_a_namespace_is_never_glued_to_a_name() {
    refused(
        "<a xmlns='jabber:client\u{1}message'/>",
        F::ForbiddenCharacter,
        23,
    );
    assert_eq!(
        stanzas("<c xmlns='a b'/><b xmlns='a'/>"),
        ["<c xmlns='a b'/>", "<b xmlns='a'/>"]
    );
    let document = format!("{HEAD}<c xmlns='a}}b'/>");
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(document.as_bytes());
    match framer.push(&document.as_bytes()[n..]).1 {
        Some(Ok(Frame::Stanza(c))) => assert_eq!((c.ns(), c.name()), ("a}b", "c")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn x18_malformed_names() {
    for (inner, at) in [
        ("<1a/>", 1),
        ("<-a/>", 1),
        ("<.a/>", 1),
        ("<a<b/>", 2),
        ("<a&b/>", 2),
        ("<a'b'/>", 2),
        ("<a\"b\"/>", 2),
        ("<>", 1),
        ("< a/>", 1),
        ("<a:b:c/>", 4),
        ("<:a/>", 1),
        ("<:/>", 1),
        ("<a:/>", 3),
        ("<a: b='c'/>", 3),
        ("<a:1/>", 3),
        ("<a\u{85}b='1'/>", 2),
        ("<a\u{a0}b='1'/>", 2),
        ("<a\u{2028}b='1'/>", 2),
        ("<a=b/>", 2),
        ("<a 1='1'/>", 3),
        ("<a ='1'/>", 3),
        ("<a :b='1'/>", 3),
        ("<a b:='1'/>", 5),
        ("<a b:c:d='1'/>", 6),
        ("<a xmlns:='u'/>", 9),
        ("<a xmlns:1='u'/>", 9),
        ("<\u{d7}/>", 1),
        ("<a \u{37e}='1'/>", 3),
    ] {
        refused(inner, F::MalformedName, at);
    }
    refused("<a/b/>", F::StraySlash, 3);
    refused("<a\u{c}b='1'/>", F::ForbiddenCharacter, 2);
    refused("<a\0b/>", F::ForbiddenCharacter, 2);
    assert_eq!(stanzas("<\u{e9}l\u{e9}m.e-n_t1\u{b7}/>").len(), 1);
    assert_eq!(
        stanzas("<_ xmlns:\u{10000}='u' \u{10000}:\u{e9}='1'/>").len(),
        1
    );
}

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

#[test]
fn x22_errors_are_latched() {
    // `read` pushes again after an error and compares.
    refused("<a></b><c>hi</c>", F::MismatchedEndTag, 5);
}

#[test]
fn x23_what_stands_between_stanzas() {
    refused("x", F::TextBetweenStanzas, 0);
    refused("<a/>x<b/>", F::TextBetweenStanzas, 4);
    refused("<a/> &lt;", F::TextBetweenStanzas, 5);
    refused("<a/>\u{a0}", F::TextBetweenStanzas, 4);
    assert_eq!(
        F::TextBetweenStanzas.condition(),
        StreamCondition::BadFormat
    );
    assert_eq!(
        stanzas(" <foo/>\n<r xmlns='urn:xmpp:sm:3'/><x xmlns=''/>"),
        [
            "<foo xmlns='jabber:client'/>",
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<x/>"
        ]
    );
}

#[test]
fn x24_depth_is_bounded() {
    let limits = XmlLimits::default();
    let deep = |n: usize| format!("{HEAD}{}{}", "<a>".repeat(n), "</a>".repeat(n));
    assert_eq!(read(deep(limits.depth)).error, None);
    let bomb = "<a>".repeat(70_000);
    refused(bomb, F::TooDeep, limits.depth * 3 + 1);
    // The printing of what is deep does not recurse either.
    let far = XmlLimits {
        depth: usize::MAX,
        nodes: usize::MAX,
        stanza_bytes: usize::MAX,
        ..XmlLimits::default()
    };
    let outcome = read_cut(&far, [deep(200_000).as_bytes()]);
    assert_eq!(outcome.frames.len(), 2);
    assert!(outcome.frames[1].len() > 1_000_000);
}

#[test]
fn x25_attributes_and_declarations_are_bounded() {
    let many = |n: usize, what: &str| {
        let list: String = (0..n).map(|i| format!(" {what}{i}='u{i}'")).collect();
        format!("<a{list}/>")
    };
    assert_eq!(stanzas(many(64, "b")).len(), 1);
    refused(many(65, "b"), F::TooManyAttributes, many(64, "b").len() - 1);
    refused(
        many(50_000, "b"),
        F::TooManyAttributes,
        many(64, "b").len() - 1,
    );
    assert_eq!(stanzas(many(16, "xmlns:p")).len(), 1);
    refused(
        many(300, "xmlns:p"),
        F::TooManyDeclarations,
        many(16, "xmlns:p").len() - 1,
    );
    let tag = |level: usize| {
        let list: String = (0..16)
            .map(|i| format!(" xmlns:p{level}x{i}='u'"))
            .collect();
        format!("<a{list}>")
    };
    // The header has two of the 64.
    let nested: String = (0..4).map(tag).collect();
    let at = nested.len() - " xmlns:p3x15='u'".len() - " xmlns:p3x14='u'".len();
    refused(nested, F::TooManyBindings, at);
    // What has ended is no longer in scope.
    let after: String = (0..8).map(|i| tag(i) + "</a>").collect();
    assert_eq!(stanzas(after).len(), 8);
}

#[test]
fn x26_bytes_are_bounded() {
    let limits = XmlLimits::default();
    let mb = "x".repeat(1 << 20);
    refused(format!("<a>{mb}"), F::StanzaTooLong, limits.stanza_bytes);
    refused(format!("<{mb}"), F::NameTooLong, 1 + limits.name_bytes);
    refused(format!("<a {mb}"), F::NameTooLong, 3 + limits.name_bytes);
    refused(
        format!("<a b='{mb}"),
        F::ValueTooLong,
        6 + limits.value_bytes,
    );
    refused(
        format!("<a b='{}", "&lt;".repeat(1 << 18)),
        F::ValueTooLong,
        6 + limits.value_bytes,
    );
    refused(
        format!("<a{}", " ".repeat(1 << 20)),
        F::StanzaTooLong,
        limits.stanza_bytes,
    );
    refused(
        format!("<a></a{}", " ".repeat(1 << 20)),
        F::StanzaTooLong,
        limits.stanza_bytes,
    );
    refused_stream(
        " ".repeat(1 << 20),
        F::StanzaTooLong,
        limits.stanza_bytes as u64,
    );
    let name = "x".repeat(limits.name_bytes);
    let value = "v".repeat(limits.value_bytes);
    assert_eq!(stanzas(format!("<{name} {name}='{value}'/>")).len(), 1);
    let text = "x".repeat(limits.stanza_bytes - "<a></a>".len());
    assert_eq!(stanzas(format!("<a>{text}</a> <a>{text}</a>")).len(), 2);
    refused(
        format!("<a>{text}x</a>"),
        F::StanzaTooLong,
        limits.stanza_bytes,
    );
}

#[test]
fn x26_limits_fire_before_the_tag_ends() {
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    framer.push(b"<a ");
    let mut fed = 0;
    while framer.push(b"n").1.is_none() {
        fed += 1;
        assert!(fed < 2 * 256 + 8, "a name must not go on");
    }
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    framer.push(b"<a \"");
    let mut fed = 0;
    while framer.push(b"'").1.is_none() {
        fed += 1;
        assert!(fed < 256, "a fault must be found");
    }
}

#[test]
fn x26_every_tag_is_looked_at_before_it_ends() {
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    framer.push(b"<a><b c='");
    framer.push(&[b'v'; 1000]);
    assert!(framer.push(b"'/><b \"").1.is_none());
    assert!(
        framer.push(&[b'\''; 300]).1.is_some(),
        "the second long tag"
    );
}

#[test]
fn x26_what_comes_first_is_told() {
    let limits = XmlLimits {
        stanza_bytes: HEAD.len(),
        value_bytes: 40,
        ..XmlLimits::default()
    };
    let value = "v".repeat(39);
    let space = " ".repeat(100);
    for (inner, fault, at) in [
        // A fault within the bytes that a limit allows goes before the limit.
        (format!("<a b='{value}\u{1}"), F::ForbiddenCharacter, 45),
        (format!("<a b='{value}v\u{1}"), F::ValueTooLong, 46),
        (format!("<a b='{value}v'"), F::StanzaTooLong, 0),
        (format!("<a b='{value}&"), F::ValueTooLong, 46),
        (format!("<a b='{value}&;"), F::ValueTooLong, 46),
        (format!("<a b='{value}&lt;"), F::ValueTooLong, 46),
        (
            format!("<a b='{}&;", "v".repeat(38)),
            F::MalformedReference,
            45,
        ),
        (
            format!("<a b='{}&amp;'", "v".repeat(35)),
            F::StanzaTooLong,
            0,
        ),
        (
            format!("<a b='{}&amp;v", "v".repeat(35)),
            F::ValueTooLong,
            46,
        ),
        ("<a b=c".into(), F::MissingQuote, 5),
        ("<a".into(), F::StanzaTooLong, 0),
    ] {
        let at = if fault == F::StanzaTooLong {
            HEAD.len()
        } else {
            at
        };
        for end in ["", "/>", "'/>"] {
            let document = format!("{HEAD}{inner}{space}{end}");
            let error = read_limited(&limits, document.as_bytes()).error.unwrap();
            assert_eq!(
                (error.fault, error.offset as usize),
                (fault, HEAD.len() + at),
                "{inner}{space}{end}"
            );
        }
    }
}

#[test]
fn x27_nodes_are_bounded() {
    let children = format!("<a>{}", "<x/>".repeat(60_000));
    refused(children, F::TooManyNodes, 3 + 4095 * 4 + 1);
    let texts = format!("<a>{}", "t<x/>".repeat(60_000));
    refused(texts, F::TooManyNodes, 3 + 2047 * 5 + 2);
    let limits = XmlLimits {
        nodes: 1,
        ..XmlLimits::default()
    };
    for inner in ["<a/>", "<a></a>", "<a><![CDATA[]]></a>"] {
        assert_eq!(
            read_limited(&limits, format!("{HEAD}{inner}").as_bytes()).error,
            None
        );
    }
    for (inner, at) in [
        ("<a><b/></a>", 4),
        ("<a>x</a>", 3),
        ("<a>\u{e9}</a>", 3),
        ("<a>\u{1}</a>", 3),
        ("<a>&lt;</a>", 3),
        ("<a>&bad;</a>", 3),
        ("<a><![CDATA[x]]></a>", 12),
        ("<a><![CDATA[]x]]></a>", 13),
        ("<a><![CDATA[]]]]></a>", 14),
    ] {
        let error = read_limited(&limits, format!("{HEAD}{inner}").as_bytes())
            .error
            .unwrap();
        assert_eq!(
            (error.fault, error.offset as usize),
            (F::TooManyNodes, HEAD.len() + at),
            "{inner}"
        );
    }
}

/// Documents that have something at every kind of place.
pub(super) fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        "<a>&amp;&#x1F600;\r\n\r\u{e9}\u{20ac}\u{1f600}]]<![CDATA[]]]]]><b c='d>\r\n&lt;' e=\"'\"/>x</a>",
        "<a xmlns='u'><p:b xmlns:p='v' p:c='&#10;'>\r</p:b\n></a> \r\n</stream:stream  > after",
        "<a b='1'c='2'/>",
        "<a>]]>",
        "<a>\u{FFFF}",
        "<a b='\u{FFFE}'/>",
        "<a><!-",
        "<a></b>",
        "<p:a/>",
        "<a>&nbsp;",
        "x",
    ]
    .into_iter()
    .map(|inner| format!("<?xml version='1.0' ?>\n{HEAD}{inner}").into_bytes())
    .collect();
    all.push(b"<?xml version='1.0'?><stream xmlns='http://etherx.jabber.org/streams'/> x".to_vec());
    all.push(b"<?xml version='1.1'?>".to_vec());
    all.push(b"\xEF\xBB\xBF<a/>".to_vec());
    all.push([HEAD.as_bytes(), b"<a>\xF0\x9F\x98</a>"].concat());
    all
}

#[test]
fn x28_x29_every_cut_in_two_and_every_size_of_piece_gives_the_same() {
    let limits = XmlLimits::default();
    for document in corpus() {
        let whole = read_limited(&limits, &document);
        for at in 0..=document.len() {
            let (a, b) = document.split_at(at);
            assert_eq!(read_cut(&limits, [a, b]), whole, "cut at {at}");
        }
        for size in 2..20 {
            assert_eq!(
                read_cut(&limits, document.chunks(size)),
                whole,
                "pieces of {size}"
            );
        }
    }
}

#[test]
fn x30_a_byte_order_mark_is_text_before_the_header() {
    refused_stream(b"\xEF\xBB\xBF<?xml version='1.0'?>", F::ByteOrderMark, 0);
    refused_stream("\u{FF21}", F::TextBeforeHeader, 0);
    refused(b"\xEF\xBB\xBF", F::TextBetweenStanzas, 0);
    assert_eq!(only_text("\u{FEFF}x\u{FEFF}"), "\u{FEFF}x\u{FEFF}");
}

#[test]
fn x31_other_encodings_are_named_as_such() {
    for bytes in [
        &b"\xFF\xFE<\0"[..],
        b"\xFE\xFF\0<",
        b"\0<\0?",
        b"\0\0\0<",
        b"\0\0\xFE\xFF",
        b"\xFF\xFE\0\0",
    ] {
        refused_stream(bytes, F::ForeignEncoding, 0);
    }
    refused_stream(b"<\0?\0", F::ForeignEncoding, 1);
    assert_eq!(
        F::ForeignEncoding.condition(),
        StreamCondition::UnsupportedEncoding
    );
}

#[test]
fn x32_white_space_keeps_a_stream_alive_and_costs_nothing() {
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    let held = framer.allocated_bytes();
    for _ in 0..1000 {
        assert!(framer.push(&[b' '; 1024]).1.is_none());
    }
    assert!(framer.push(b"\r\n\t ").1.is_none());
    assert_eq!(framer.idle_bytes(), 1000 * 1024 + 4);
    assert_eq!(framer.allocated_bytes(), held);
    assert!(framer.is_between_frames());
    assert!(framer.push(b"<a/>").1.unwrap().is_ok());
    assert_eq!(framer.idle_bytes(), 0);
}

#[test]
fn x33_nothing_beyond_a_frame_is_read() {
    let mut framer = Framer::new(XmlLimits::default());
    let success = format!("{HEAD}<success/>");
    let bytes = format!("{success}<?xml version='1.0'?>{HEAD}<a/>");
    let bytes = bytes.as_bytes();
    let (n, open) = framer.push(bytes);
    assert!(matches!(open, Some(Ok(Frame::Open(_)))));
    assert_eq!(n, HEAD.len());
    let (m, stanza) = framer.push(&bytes[n..]);
    assert!(matches!(stanza, Some(Ok(Frame::Stanza(_)))));
    assert_eq!(n + m, success.len());
    framer.restart();
    let (o, open) = framer.push(&bytes[n + m..]);
    assert!(matches!(open, Some(Ok(Frame::Open(_)))));
    assert!(matches!(
        framer.push(&bytes[n + m + o..]),
        (4, Some(Ok(Frame::Stanza(_))))
    ));
    // Nothing of the old scope is left.
    framer.restart();
    let (_, error) = framer.push(b"<stream:stream>");
    assert_eq!(
        error.unwrap().unwrap_err(),
        XmlError {
            fault: F::UndeclaredPrefix,
            offset: 14
        }
    );
    framer.restart();
    assert!(framer.push(bytes).1.unwrap().is_ok());
}

#[test]
fn x34_stream_headers() {
    let ns = crate::ns::STREAM;
    for good in [
        format!("<stream xmlns='{ns}'>"),
        format!("<s:stream xmlns:s='{ns}' version='1.0' id='x'>"),
        format!("<stream:stream xmlns:stream='{ns}' xmlns='jabber:client'>"),
    ] {
        let outcome = read(format!("{good}<a xmlns=''/>"));
        assert_eq!((outcome.frames.len(), outcome.error), (2, None), "{good}");
    }
    let closed = read(format!("<stream xmlns='{ns}' /><a>"));
    assert_eq!(
        closed.frames,
        [format!("open <stream xmlns='{ns}'/>"), "close".into()]
    );
    assert!(closed.between);

    refused_stream("<stream>", F::WrongStreamNamespace, 7);
    refused_stream(
        "<stream xmlns='jabber:client'>",
        F::WrongStreamNamespace,
        29,
    );
    assert_eq!(
        F::WrongStreamNamespace.condition(),
        StreamCondition::InvalidNamespace
    );
    let other = format!("<features xmlns='{ns}'>");
    refused_stream(&other, F::NotAStream, other.len() as u64 - 1);
    refused(HEAD, F::SecondHeader, HEAD.len() - 1);
    refused("<stream:stream/>", F::SecondHeader, 15);
    // Deeper it is somebody's data.
    assert_eq!(stanzas("<a><stream:stream/></a>").len(), 1);
}

#[test]
fn x34_the_header_is_shown_with_its_attributes() {
    let mut framer = Framer::new(XmlLimits::default());
    let header = "<?xml version='1.0'?><stream:stream id='1' from='a&amp;b' xml:lang='en' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    match framer.push(header.as_bytes()).1 {
        Some(Ok(Frame::Open(open))) => {
            assert!(open.is("stream", crate::ns::STREAM));
            assert_eq!(open.attr("id"), Some("1"));
            assert_eq!(open.attr("from"), Some("a&b"));
            assert_eq!(open.attr_ns("lang", crate::ns::XML), Some("en"));
            assert_eq!(open.attr("lang"), None);
            assert_eq!(open.attr("xmlns"), None);
            assert_eq!(open.attrs().count(), 4);
            assert_eq!(open.children().count(), 0);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn x35_the_end_of_the_stream() {
    assert_eq!(stanzas("</stream:stream>"), ["close"]);
    assert_eq!(
        stanzas("<a/></stream:stream\n>\n<garbage & more"),
        ["<a xmlns='jabber:client'/>", "close"]
    );
    refused("<a></stream:stream>", F::MismatchedEndTag, 5);
    refused("</stream>", F::MismatchedEndTag, 8);
}

#[test]
fn x36_markup_in_data_stays_data() {
    let evil = "</a></stream:stream><stream:stream><b>";
    let cdata = format!("<![CDATA[{evil}]]>");
    assert_eq!(only_text(cdata), evil);
    assert_eq!(only_text("&lt;/a&gt;&#60;b&#62;"), "</a><b>");
    assert_eq!(only_text("&amp;lt;&#38;lt;"), "&lt;&lt;");
}

#[test]
fn x37_what_is_written_is_what_is_read() {
    let evil = "]]> & <b> \" ' \r\n\t \r \u{1f600} &lt; <![CDATA[";
    let mut out = HEAD.as_bytes().to_vec();
    let mut writer = Writer::new(&mut out);
    writer
        .start("a")
        .attr("b", evil)
        .text(evil)
        .start("c")
        .end()
        .end();
    writer.finish().unwrap();
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(&out);
    match framer.push(&out[n..]) {
        (m, Some(Ok(Frame::Stanza(a)))) => {
            assert_eq!(n + m, out.len());
            assert_eq!(a.attr("b"), Some(evil));
            assert_eq!(a.text(), evil);
            assert_eq!(a.children().count(), 1);
            assert_eq!(stanzas(a.to_string()), [a.to_string()]);
        }
        (_, other) => panic!("{other:?}"),
    }
}

#[test]
fn x38_white_space_in_values() {
    assert_eq!(value("a\r\nb\tc\nd\re\r\r\n\nf"), "a b c d e   f");
    assert_eq!(value("&#10;\r&#10;&#13;&#9; \n"), "\n \n\r\t  ");
    assert_eq!(value("  two  "), "  two  ");
    assert_eq!(
        only_text("a\r\nb\rc\r\r\nd\n\re&#13;&#10;f&#13;\ng"),
        "a\nb\nc\n\nd\n\ne\r\nf\r\ng"
    );
}

#[test]
fn text_between_children_is_not_joined() {
    let document = format!("{HEAD}<a>x<b>y</b>z&lt;<![CDATA[w]]><c/> </a>");
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(document.as_bytes());
    match framer.push(&document.as_bytes()[n..]).1 {
        Some(Ok(Frame::Stanza(a))) => {
            let all: Vec<String> = a.contents().map(|c| format!("{c:?}")).collect();
            assert_eq!(
                all,
                [
                    "Text(\"x\")",
                    "Element(<b xmlns='jabber:client'>y</b>)",
                    "Text(\"z<w\")",
                    "Element(<c xmlns='jabber:client'/>)",
                    "Text(\" \")",
                ]
            );
            assert_eq!(a.text(), "x");
            assert!(a.has_text());
            assert_eq!(a.child("b", "jabber:client").unwrap().text(), "y");
            assert!(!a.child("c", "jabber:client").unwrap().has_text());
            assert!(a.child("c", "").is_none());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_stanza_leaves_anything_behind() {
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    let stanza = format!(
        "<a b='{}'>{}<c xmlns:p='u'>&lt;</c></a>",
        "v".repeat(999),
        "t".repeat(9999)
    );
    let mut feed = |cut: usize| {
        let (a, b) = stanza.as_bytes().split_at(cut);
        assert!(framer.push(a).1.is_none());
        assert!(framer.push(b).1.unwrap().is_ok());
        framer.allocated_bytes()
    };
    let held = (0..stanza.len()).map(&mut feed).max().unwrap();
    for cut in (0..stanza.len()).cycle().take(100_000).step_by(7) {
        assert_eq!(feed(cut), held);
    }
}

#[test]
fn every_fault_explains_itself() {
    let mut seen = vec![];
    for fault in F::ALL {
        let text = fault.to_string();
        assert!(
            !text.is_empty() && !text.ends_with('.') && !seen.contains(&text),
            "{text}"
        );
        assert!(!text.contains('\n'));
        seen.push(text);
        let error = XmlError {
            fault: *fault,
            offset: 7,
        };
        assert_eq!(error.condition(), fault.condition());
        assert!(error.to_string().contains("byte 7"));
    }
}

#[test]
fn writer_refuses_what_xml_cannot_carry_and_takes_it_back() {
    let mut out = b"before".to_vec();
    let mut writer = Writer::new(&mut out);
    writer
        .start("a")
        .attr("b", "fine")
        .text("ok \u{1b}[31m")
        .text("\0")
        .end();
    let refused = writer.finish().unwrap_err();
    assert_eq!(
        refused,
        ForbiddenChar {
            character: '\u{1b}',
            offset: 3
        }
    );
    assert_eq!(out, b"before");
    assert_eq!(
        check_text("\u{20ac}\u{FFFE}"),
        Err(ForbiddenChar {
            character: '\u{FFFE}',
            offset: 3
        })
    );
    assert_eq!(check_text("\t\r\n\u{10FFFF}"), Ok(()));
    assert!(refused.to_string().contains("U+001B"));
}

#[test]
fn writer_leaves_a_stream_open_and_closes_it() {
    let mut out = vec![];
    let mut writer = Writer::new(&mut out);
    writer
        .declaration()
        .start("stream:stream")
        .attr("to", "a'b");
    writer.finish().unwrap();
    let mut writer = Writer::new(&mut out);
    writer.start("a").text("").end().close("stream:stream");
    writer.finish().unwrap();
    assert_eq!(
        out,
        b"<?xml version='1.0'?><stream:stream to='a&apos;b'><a/></stream:stream>"
    );
}

#[test]
fn writer_goes_deeper_than_its_inline_stack() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let mut out = vec![];
    let mut writer = Writer::new(&mut out);
    for i in 0..50 {
        writer.start(NAMES[i % 3]);
    }
    writer.text("x");
    for _ in 0..50 {
        writer.end();
    }
    writer.finish().unwrap();
    let limits = XmlLimits {
        depth: 50,
        ..XmlLimits::default()
    };
    let outcome = read_limited(&limits, &[HEAD.as_bytes(), &out].concat());
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
}
