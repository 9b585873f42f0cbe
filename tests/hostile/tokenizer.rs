//! What a tokenizer of XML lets through, and a parser must not: T1 to T13. The framer looks for
//! the ends of tags with one (quick-xml), which judges none of this.

use parley_xmpp::xml::{Frame, Framer, Writer, XmlError, XmlFault as F};
use parley_xmpp::{StreamCondition, XmlLimits};

use crate::HEADER;

/// What came of a document: its stanzas as text, and the error that ended it.
type Read = (Vec<String>, Option<XmlError>);

fn read_in(document: &[u8], size: usize) -> Read {
    let mut framer = Framer::new(XmlLimits::default());
    let mut stanzas = Vec::new();
    for piece in document.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (n, found) = framer.push(rest);
            match found {
                Some(Ok(Frame::Stanza(stanza))) => stanzas.push(stanza.to_string()),
                Some(Ok(_)) | None => {}
                Some(Err(error)) => return (stanzas, Some(error)),
            }
            rest = &rest[n..];
        }
    }
    (stanzas, None)
}

/// Reads a document whole and in pieces, which must agree.
#[track_caller]
fn read(document: impl AsRef<[u8]>) -> Read {
    let document = document.as_ref();
    let whole = read_in(document, usize::MAX);
    for size in [1, 7] {
        assert_eq!(read_in(document, size), whole, "pieces of {size}");
    }
    whole
}

fn within(inner: &str) -> String {
    format!("{HEADER}{inner}")
}

/// That each of these within a stream is refused for that.
#[track_caller]
fn refuses(fault: F, inputs: &[&str]) {
    for input in inputs {
        let (_, error) = read(within(input));
        assert_eq!(error.map(|error| error.fault), Some(fault), "{input:?}");
    }
}

/// That this as a stream is refused for that.
#[track_caller]
fn refuses_stream(fault: F, input: impl AsRef<[u8]>) {
    let (_, error) = read(input);
    assert_eq!(error.map(|error| error.fault), Some(fault));
}

/// The only stanza of a stream.
#[track_caller]
fn takes(inner: &str) -> String {
    let (mut stanzas, error) = read(within(inner));
    assert_eq!((stanzas.len(), error), (1, None), "{inner}");
    stanzas.remove(0)
}

#[test]
fn t01_characters_are_checked_as_they_are_and_by_reference() {
    refuses(
        F::ForbiddenCharacter,
        &[
            "<a>\0",
            "<a>\u{1}",
            "<a>\u{FFFE}",
            "<a b='\u{8}'/>",
            "<a\u{1f}/>",
            "<a><![CDATA[\u{b}",
        ],
    );
    let references = ["<a>&#1;", "<a>&#x1F;", "<a>&#xFFFE;", "<a b='&#2;'/>"];
    refuses(F::ForbiddenReference, &references);
}

#[test]
fn t02_names_are_checked_and_not_what_stands_before_a_space() {
    refuses(
        F::MalformedName,
        &[
            "<1a>",
            "<-a>",
            "<a<b/>",
            "<a&b/>",
            "<a'b'/>",
            "<>",
            "<a:b:c/>",
            "<a:/>",
            "<a\u{a0}/>",
            "<a\u{85}/>",
            "<a ='1'/>",
        ],
    );
    refuses(F::StraySlash, &["<a/b/>"]);
    refuses(F::ForbiddenCharacter, &["<a\u{c}b='1'/>"]);
}

#[test]
fn t03_values_are_checked_whether_anybody_reads_them() {
    refuses(F::LessThanInValue, &["<a b='<'/>"]);
    refuses(F::MissingSpace, &["<a b='1'c='2'/>"]);
    refuses(F::UndefinedEntity, &["<a b='&nbsp;'/>"]);
    refuses(F::MalformedReference, &["<a b='a & b'/>", "<a b='&'/>"]);
}

#[test]
fn t04_what_stands_where_is_checked() {
    refuses(F::CDataEndInText, &["<a>]]>"]);
    refuses(F::TextBetweenStanzas, &["<![CDATA[x]]>", "x"]);
    refuses(F::DocumentType, &["<!DOCTYPE a>", "<a><!doctype a>"]);
    refuses(
        F::ProcessingInstruction,
        &["<?xml version='1.0'?>", "<a><?xml version='1.0'?>"],
    );
    refuses_stream(F::TextBeforeHeader, "x");
    refuses_stream(F::TextBeforeHeader, "<![CDATA[x]]>");
    refuses_stream(F::DeclaredVersion, "<?xml version='9.9'?>");
    refuses_stream(F::DeclarationSyntax, "<?xml nonsense?>");
    // A second root is a stream header within the stream; an end with open elements is no end.
    refuses(F::SecondHeader, &["<stream:stream>"]);
    for open in ["<a>", "<a><b></b>", "<a", "<a>x", "<"] {
        let mut framer = Framer::new(XmlLimits::default());
        framer.push(HEADER.as_bytes());
        assert!(framer.push(open.as_bytes()).1.is_none());
        assert!(!framer.is_between_frames(), "{open}");
    }
}

#[test]
fn t05_a_processing_instruction_is_one_whatever_its_target() {
    let instructions = ["<?XML version='1.0'?>", "<?XmL x?>", "<??>", "<?x?>", "<?>"];
    refuses(F::ProcessingInstruction, &instructions);
    for instruction in instructions {
        refuses_stream(F::ProcessingInstruction, instruction);
    }
}

#[test]
fn t06_namespaces_are_checked_and_read_before_they_are_bound() {
    refuses(F::UndeclaredPrefix, &["<a p:b='1'/>", "<p:a/>"]);
    refuses(
        F::DuplicateAttribute,
        &["<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>"],
    );
    refuses(
        F::ReservedNamespace,
        &[
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            // By reference.
            "<a xmlns='http://www.w3.org/2000/xmlns&#x2F;'/>",
        ],
    );
    refuses(F::ReservedPrefix, &["<xmlns:a/>", "<a xmlns:xmlns='u'/>"]);
    refuses(F::EmptyPrefixDeclaration, &["<a xmlns:p=''/>"]);
    refuses(F::MalformedName, &["<a xmlns:='u'/>"]);
    assert_eq!(takes("<a xmlns='jabber&#58;client'/>"), takes("<a/>"));
    assert_eq!(takes("<a xmlns='u\tv'/>"), "<a xmlns='u v'/>");
}

#[test]
fn t07_a_bad_attribute_hides_none_behind_it() {
    refuses(F::MissingQuote, &["<a y=z xmlns='evil'/>"]);
    refuses(F::MissingEquals, &["<a y xmlns='evil'/>"]);
    refuses(F::MissingSpace, &["<a y='1'xmlns='evil'/>"]);
}

#[test]
fn t08_a_namespace_is_declared_once() {
    refuses(
        F::DuplicateDeclaration,
        &["<a xmlns='u' xmlns='v'/>", "<a xmlns:p='u' xmlns:p='u'/>"],
    );
}

#[test]
fn t09_nothing_is_recoverable() {
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEADER.as_bytes());
    let (_, first) = framer.push(b"<a></b><c/>");
    let first = first.unwrap().unwrap_err();
    assert_eq!(first.fault, F::MismatchedEndTag);
    for _ in 0..3 {
        let (read, again) = framer.push(b"<c/></stream:stream>");
        assert_eq!((read, again.unwrap().unwrap_err()), (0, first));
    }
    // But for a new stream, which is another one.
    framer.restart();
    assert!(matches!(
        framer.push(HEADER.as_bytes()),
        (_, Some(Ok(Frame::Open(_))))
    ));
}

#[test]
fn t10_everything_has_a_bound_and_a_text_is_one() {
    for fault in [
        (F::TooDeep, "<a>".repeat(100_000)),
        (F::StanzaTooLong, format!("<a>{}", "x".repeat(1 << 20))),
        (F::NameTooLong, format!("<{}", "a".repeat(1 << 20))),
        (
            F::TooManyAttributes,
            (0..1000).fold("<a".to_owned(), |tag, n| tag + &format!(" b{n}=''")),
        ),
        (F::TooManyNodes, format!("<a>{}", "<b/>".repeat(10_000))),
    ] {
        let (fault, input) = fault;
        let (_, error) = read_in(within(&input).as_bytes(), 4096);
        let error = error.expect("an end");
        assert_eq!(error.fault, fault);
        assert_eq!(error.condition(), StreamCondition::PolicyViolation);
    }
    // References and sections do not take a text apart.
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEADER.as_bytes());
    let (_, found) = framer.push(b"<a>1&lt;2<![CDATA[&]]>&#51;4</a>");
    match found {
        Some(Ok(Frame::Stanza(a))) => {
            assert_eq!((a.text(), a.contents().count()), ("1<2&34", 1));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn t11_no_mark_is_skipped_and_no_encoding_but_one_is_read() {
    refuses_stream(F::ByteOrderMark, format!("\u{FEFF}{HEADER}"));
    let utf16: Vec<u8> = HEADER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refuses_stream(F::ForeignEncoding, utf16);
    refuses_stream(
        F::DeclaredEncoding,
        "<?xml version='1.0' encoding='UTF-16'?>",
    );
    refuses_stream(
        F::DeclaredEncoding,
        "<?xml version='1.0' encoding='windows-1252'?>",
    );
    // Latin-1 without a word about it.
    refuses_stream(
        F::InvalidUtf8,
        [HEADER.as_bytes(), b"<a>\xE9t\xE9</a>"].concat(),
    );
}

#[test]
fn t12_attributes_are_counted_before_they_are_compared() {
    // Whatever their names have been chosen to do to a table of them, no more than 64 are.
    let many = (0..50_000).fold(within("<a"), |tag, n| tag + &format!(" b{n}=''"));
    let (_, error) = read_in(many.as_bytes(), usize::MAX);
    let error = error.expect("an end");
    assert_eq!(error.fault, F::TooManyAttributes);
    let most = u64::try_from(HEADER.len() + 2 + 65 * " b99=''".len()).unwrap();
    assert!(error.offset <= most, "{} of {}", error.offset, many.len());
}

#[test]
fn t13_what_is_written_can_be_read() {
    for text in ["\0", "\u{1}", "\u{1b}[2J", "\u{FFFE}", "\u{FFFF}"] {
        let mut out = b"before".to_vec();
        let mut writer = Writer::new(&mut out);
        writer.start("a").text(text).end();
        assert!(writer.finish().is_err(), "{text:?}");
        let mut writer = Writer::new(&mut out);
        writer.start("a").attr("b", text).end();
        assert!(writer.finish().is_err(), "{text:?}");
        assert_eq!(out, b"before", "nothing is left of it");
    }
    // Names of elements and attributes are our own words: no value becomes one.
    let evil = "a b='x'><evil y=\"'/>]]>&lt;\r\n\t";
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.start("a").attr("b", evil).text(evil).end();
    writer.finish().unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("<evil") && !text.contains("]]>"), "{text}");
    assert_eq!(takes(&text), takes(&takes(&text)));
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEADER.as_bytes());
    match framer.push(text.as_bytes()) {
        (_, Some(Ok(Frame::Stanza(a)))) => {
            assert_eq!((a.attr("b"), a.text()), (Some(evil), evil));
        }
        other => panic!("{other:?}"),
    }
}
