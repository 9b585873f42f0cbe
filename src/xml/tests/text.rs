//! Text, in elements and in values: characters, references, CDATA, line ends.

use super::*;

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

/// The byte that makes it wrong is the one at which it is told, not what comes after.
#[test]
fn x08_a_character_that_is_cut_is_refused_at_the_byte_that_breaks_it() {
    for bytes in [
        &b"<a>\xC3A"[..],
        b"<a>\xE2\x82A",
        b"<a>\xF0\x9F\x98A",
        b"<a>\xE2A",
    ] {
        let mut framer = Framer::new(XmlLimits::default());
        framer.push(HEAD.as_bytes());
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            assert!(framer.push(&[*byte]).1.is_none());
        }
        let error = framer.push(&[*last]).1.unwrap().unwrap_err();
        let at = (HEAD.len() + "<a>".len()) as u64;
        assert_eq!(
            (error.fault, error.offset),
            (F::InvalidUtf8, at),
            "{bytes:?}"
        );
    }
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
    // A reference is `'&' Name ';'` (section 4.1): what begins a name, and then what goes on.
    refused("<a>&-lt;", F::MalformedReference, 4);
    refused("<a>&1t;", F::MalformedReference, 4);
    refused("<a>&l1;", F::UndefinedEntity, 6);
    refused("<a b='a & b'/>", F::MalformedReference, 9);
    refused("<a b='&'/>", F::MalformedReference, 7);
    refused("<a b='&nbsp;'/>", F::UndefinedEntity, 11);
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

/// As far as white space is concerned: RFC 6120, section 11.7 lets it stand between elements.
#[test]
fn white_space_alone_is_no_text() {
    for (inner, expected) in [
        ("<a> \t\r\n<b>x</b> </a>", false),
        ("<a/>", false),
        ("<a><b/>x</a>", true),
        ("<a>\u{A0}</a>", true),
    ] {
        stanza(inner, |a| assert_eq!(a.has_text(), expected, "{inner}"));
    }
}

/// What a host sees who prints what it iterates over.
#[test]
fn iterators_show_what_is_left_of_them() {
    stanza("<a b='1' xml:lang='en'>x<c/>y</a>", |a| {
        let mut attributes = a.attrs();
        assert_eq!(attributes.size_hint(), (2, Some(2)));
        attributes.next();
        assert_eq!(attributes.size_hint(), (1, Some(1)));
        assert_eq!(
            format!("{attributes:?}"),
            "[(\"http://www.w3.org/XML/1998/namespace\", \"lang\", \"en\")]"
        );
        let mut contents = a.contents();
        contents.next();
        let c = "<c xmlns='jabber:client'/>";
        assert_eq!(
            format!("{contents:?}"),
            format!("[Element({c}), Text(\"y\")]")
        );
        assert_eq!(format!("{:?}", a.children()), format!("[{c}]"));
    });
}
