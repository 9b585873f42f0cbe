//! That expat reads what we read, that a difference would be noticed, and what the deliberate
//! ones are. Where one of these fails with another libexpat, the list in `expat.rs` is to change.

use proptest::prelude::*;

use super::*;
use crate::documents::{document, stream};
use crate::xml::{HEAD, Op, check_writer};

const CLOSE: &str = "</stream:stream>";

/// Changes what we made of a document.
type Plant<'a> = &'a dyn Fn(&mut Vec<Part>);
/// Frames a document in pieces.
type Framing<'a> = &'a dyn Fn(&[&[u8]]) -> Outcome;

fn in_stream(stanza: &str) -> String {
    format!("{HEAD}{stanza}{CLOSE}")
}

fn ours(document: &str) -> Outcome {
    frame(&XmlLimits::default(), [document.as_bytes()])
}

fn theirs(document: &str) -> Reading {
    Reading::of([document.as_bytes()])
}

/// Whether each of us takes a document to its end.
fn accepted(document: &str) -> (bool, bool) {
    let ours = ours(document);
    let whole = ours.error.is_none() && ours.closed == Some(document.len());
    (whole, theirs(document).is_whole())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents_read_the_same(
        document in document(),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        check(&XmlLimits::default(), &document, &sizes);
    }

    /// Here nothing is refused by us, so that each tree is compared to its end.
    #[test]
    fn generated_streams_read_the_same(
        document in stream(),
        sizes in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let ours = frame(&XmlLimits::default(), [document.as_slice()]);
        prop_assert_eq!(ours.closed, Some(document.len()));
        check(&XmlLimits::default(), &document, &sizes);
    }
}

#[test]
fn every_cut_in_two_reads_the_same() {
    let document = in_stream(
        "<message \u{e9}='\u{1f600}&#x20AC;\r\n\t&#10;' xmlns:p='u&#10;v' p:a='1'>\r\n<p:b/>]]\
         <![CDATA[<\r]]]]>&amp;\u{1f600}\r</message> \r\n<a xmlns=''>x</a>",
    );
    let document = format!("<?xml version='1.0' encoding='UTF-8'?>{document}");
    let whole = theirs(&document);
    assert!(whole.is_whole(), "{whole:?}");
    for at in 0..=document.len() {
        check(
            &XmlLimits::default(),
            document.as_bytes(),
            &[at.max(1), document.len()],
        );
        // And up to there, which is never wrong.
        check(&XmlLimits::default(), &document.as_bytes()[..at], &[3, 1]);
        let (before, after) = document.as_bytes().split_at(at);
        assert_eq!(Reading::of([before, after]).parts, whole.parts);
    }
}

/// All characters that XML has: as text and as the value of an attribute they read the same.
#[test]
fn characters_read_the_same() {
    let all: Vec<char> = ('\u{9}'..=char::MAX).collect();
    let mut compared = 0;
    for some in all.chunks(4000) {
        let text: String = some
            .iter()
            .filter(|c| parley_xmpp::xml::check_text(c.encode_utf8(&mut [0; 4])).is_ok())
            .filter(|c| !"<&'".contains(**c))
            .collect();
        let document = in_stream(&format!("<a b='{text}'>{text}</a>"));
        let (ours, theirs) = (ours(&document), theirs(&document));
        assert!(theirs.is_whole());
        assert_eq!(agree(&ours, &theirs), Ok(()));
        compared += text.chars().count();
    }
    // `Char` has 1,112,033 of them, and three are left out.
    assert_eq!(compared, 1_112_030);
}

/// Only we accept: `Name` of XML 1.0, section 2.3, fifth edition. In no place is a letter ours
/// not, but expat's.
#[test]
fn names_of_the_fifth_edition_are_only_ours() {
    // As the first letter of a name, and behind one.
    let mut both = [0, 0];
    let mut only_ours = [0, 0];
    for c in ('\u{80}'..='\u{FFFF}').chain(('\u{10000}'..=char::MAX).step_by(0x3FFF)) {
        for (i, before) in ["", "a"].into_iter().enumerate() {
            let document = in_stream(&format!("<{before}{c}/>"));
            match accepted(&document) {
                (true, false) => {
                    let late = theirs(&document).late_letter(document.as_bytes());
                    assert_eq!(late.map(|(late, _)| late), Some(c));
                    only_ours[i] += usize::from(c <= '\u{FFFF}');
                }
                (true, true) => {
                    assert!(c <= '\u{FFFF}', "{c:?} in {}", sys::version());
                    both[i] += 1;
                }
                (false, true) => panic!("only expat takes {c:?} behind {before:?}"),
                (false, false) => assert!(i == 0 || twin(c).is_none(), "{c:?}"),
            }
        }
    }
    // The ranges of the fifth edition up to U+FFFF hold 53,948 letters beyond ASCII, and 115 more
    // that may follow one: B7, 300 to 36F, 203F and 2040.
    assert_eq!(both, [34_462, 35_056], "{}", sys::version());
    assert_eq!(only_ours, [53_948 - 34_462, 53_948 + 115 - 35_056]);
    for c in ['\u{20AC}', '\u{FDF0}', '\u{FFFD}', '\u{1F600}', '\u{EFFFF}'] {
        assert_eq!(
            accepted(&in_stream(&format!("<{c}/>"))),
            (true, false),
            "{c:?}"
        );
        assert_eq!(
            accepted(&in_stream(&format!("<a {c}=''/>"))),
            (true, false),
            "{c:?}"
        );
        assert_eq!(
            accepted(&in_stream(&format!("<a xmlns:{c}='u'/>"))),
            (true, false),
            "{c:?}"
        );
    }
    assert_eq!(accepted(&in_stream("<a\u{203F}/>")), (true, false));
}

/// What stands in the place of those letters both take, where these may stand and nowhere else.
#[test]
fn late_letters_are_looked_past_and_nothing_else_is() {
    assert_eq!(twin('\u{4E00}'), Some('\u{4E00}'));
    assert_eq!(twin('\u{B7}'), Some('\u{B7}'));
    for (name, taken) in [("\u{4E00}", true), ("a\u{B7}", true), ("\u{B7}", false)] {
        assert_eq!(
            accepted(&in_stream(&format!("<{name}/>"))),
            (taken, taken),
            "{name}"
        );
    }
    let document =
        in_stream("<a \u{1F600}='\u{20AC}'><\u{20AC}\u{203F}>\u{203F}</\u{20AC}\u{203F}></a>");
    let (ours, theirs) = (ours(&document), theirs(&document));
    assert!(
        agree(&ours, &theirs).is_err(),
        "as they are, the trees differ"
    );
    check(&XmlLimits::default(), document.as_bytes(), &[1]);
    // A letter that may not stand there is none.
    let document = in_stream("<\u{B7}/>");
    assert_eq!(
        Reading::of([document.as_bytes()]).late_letter(document.as_bytes()),
        None
    );
}

#[test]
fn letters_of_texts_and_values_stay() {
    let document = "<?xml version='1.0'?><\u{20AC} \u{20AC}='\u{20AC}>\"' b=\"\u{20AC}'\">\
        \u{20AC}<![CDATA[<\u{20AC}]>]]>\u{20AC}</\u{20AC}>";
    let expected = "<?xml version='1.0'?><x x='\u{20AC}>\"' b=\"\u{20AC}'\">\
        \u{20AC}<![CDATA[<\u{20AC}]>]]>\u{20AC}</x>";
    let replaced = replace(document.as_bytes(), '\u{20AC}', 'x');
    assert_eq!(String::from_utf8(replaced).unwrap(), expected);
}

/// Only expat accepts: each with the fault for which we do not, which is in the list.
#[test]
fn what_xmpp_takes_from_xml_only_expat_accepts() {
    use XmlFault as F;
    let root = |head: &str| format!("{head}{CLOSE}");
    let deep = in_stream(&("<a>".repeat(100) + &"</a>".repeat(100)));
    let cases = [
        (
            root("<stream:stream xmlns:stream='u'>"),
            F::WrongStreamNamespace,
        ),
        (
            "<a xmlns='http://etherx.jabber.org/streams'></a>".into(),
            F::NotAStream,
        ),
        (in_stream("<stream:stream/>"), F::SecondHeader),
        (in_stream("&#9;"), F::TextBetweenStanzas),
        (in_stream("x"), F::TextBetweenStanzas),
        (in_stream("<![CDATA[ ]]>"), F::TextBetweenStanzas),
        (format!("\u{FEFF}{}", in_stream("")), F::ByteOrderMark),
        (
            format!("<?xml version='1.0' encoding='KOI8-R'?>{}", in_stream("")),
            F::DeclaredEncoding,
        ),
        (
            format!("<?xml version='1..'?>{}", in_stream("")),
            F::DeclaredVersion,
        ),
        (
            format!("<?xml version='1.0' standalone='no'?>{}", in_stream("")),
            F::DeclaredStandalone,
        ),
        (in_stream("<a>&#000000065;</a>"), F::ReferenceTooLong),
        (deep, F::TooDeep),
    ];
    for (document, fault) in cases {
        assert_eq!(
            ours(&document).error.map(|e| e.fault),
            Some(fault),
            "{document}"
        );
        assert!(theirs(&document).is_whole(), "{document}");
        assert!(is_known_difference(fault), "{document}");
    }
    let utf16: Vec<u8> = "\u{FEFF}"
        .encode_utf16()
        .chain(in_stream("<a/>").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let ours = frame(&XmlLimits::default(), [utf16.as_slice()]);
    assert_eq!(ours.error.map(|e| e.fault), Some(F::ForeignEncoding));
    assert!(Reading::of([utf16.as_slice()]).is_whole());
}

/// At these expat is stopped, so that neither accepts them.
#[test]
fn comments_instructions_and_document_types_stop_expat() {
    for document in [
        in_stream("<!-- x -->"),
        in_stream("<a><?x y?></a>"),
        format!("<!DOCTYPE a>{}", in_stream("")),
        format!("<!DOCTYPE a [<!ENTITY x 'y'>]>{}", in_stream("<a>&x;</a>")),
    ] {
        let Ending::Refused(code, _) = theirs(&document).ending else {
            panic!("{document}");
        };
        assert_eq!(code, sys::RESTRICTED, "{document}: {}", sys::explain(code));
        assert_eq!(accepted(&document), (false, false));
    }
}

/// What rxml takes though XML does not: here the second oracle knows better.
#[test]
fn expat_refuses_what_rxml_takes() {
    for stanza in [
        "<a xmlns='u' xmlns='v'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    ] {
        assert_eq!(accepted(&in_stream(stanza)), (false, false), "{stanza}");
    }
}

#[test]
fn no_namespace_imitates_the_separator() {
    for ns in [
        "a&#10;b",
        "a|b",
        "a b",
        "\u{FF}",
        "a&#xFF;b",
        "urn:x:a",
        "\u{1F600}",
    ] {
        let document = in_stream(&format!("<p:a xmlns:p='{ns}' p:b='' b=''/>"));
        let (ours, theirs) = (ours(&document), theirs(&document));
        assert!(theirs.is_whole(), "{ns}");
        assert_eq!(agree(&ours, &theirs), Ok(()));
        assert_eq!(theirs.parts, ours.parts);
    }
}

#[test]
fn planted_differences_are_noticed() {
    let document = in_stream("<a xmlns='u' b='1' xml:lang='en'>x<c/>y</a>");
    let (right, theirs) = (ours(&document), theirs(&document));
    assert_eq!(agree(&right, &theirs), Ok(()));
    let attrs = |parts: &mut Vec<Part>| match &mut parts[1] {
        Part::Start(_, _, attrs) => std::mem::take(attrs),
        part => panic!("{part:?}"),
    };
    let plants: [(&str, Plant<'_>); 9] = [
        ("an attribute's value", &|parts| {
            let mut own = attrs(parts);
            own[0].2.push('2');
            parts[1] = Part::Start("u".into(), "a".into(), own);
        }),
        ("an attribute's namespace", &|parts| {
            let mut own = attrs(parts);
            own[1].0.clear();
            parts[1] = Part::Start("u".into(), "a".into(), own);
        }),
        ("an attribute less", &|parts| drop(attrs(parts))),
        ("another namespace", &|parts| {
            let own = attrs(parts);
            parts[1] = Part::Start("v".into(), "a".into(), own);
        }),
        ("another name", &|parts| {
            let own = attrs(parts);
            parts[1] = Part::Start("u".into(), "b".into(), own);
        }),
        ("another text", &|parts| parts[2] = Part::Text("X".into())),
        ("a text less", &|parts| drop(parts.remove(2))),
        ("an end elsewhere", &|parts| parts.swap(4, 5)),
        ("a stanza less", &|parts| drop(parts.drain(1..7))),
    ];
    for (what, plant) in plants {
        let mut wrong = right.clone();
        plant(&mut wrong.parts);
        assert_ne!(wrong, right, "{what}");
        assert!(agree(&wrong, &theirs).is_err(), "{what}");
    }
}

/// If we took what is no XML, that would be noticed: here we pretend to, with the tree of what
/// stands in its place.
#[test]
fn planted_acceptance_is_noticed() {
    for (right, wrong) in [
        ("<a>x</a>", "<a>&x;</a>"),
        ("<a b='x'/>", "<a b='&x;'/>"),
        ("<a></a>", "<a></b>"),
        ("<a/>", "<p:a/>"),
        ("<a b='1'/>", "<a b='1' b='1'/>"),
        ("<a>x</a>", "<a>\u{FFFF}</a>"),
        ("<a>&#x9;</a>", "<a>&#x0;</a>"),
        ("<a>]]</a>", "<a>]]></a>"),
        ("<a>x</a>", "<a>x<!-- y --></a>"),
        ("", "<!-- y -->"),
        ("<a/>", "<a/"),
        ("<a/>", "<a/><"),
    ] {
        let pretended = ours(&in_stream(right));
        assert_eq!(agree(&pretended, &theirs(&in_stream(right))), Ok(()));
        assert!(
            agree(&pretended, &theirs(&in_stream(wrong))).is_err(),
            "{wrong}"
        );
    }
    // Nor between two stanzas.
    let head = |rest: &str| format!("{HEAD}{rest}");
    let pretended = ours(&head("<a/>"));
    assert!(pretended.between);
    assert_eq!(agree(&pretended, &theirs(&head("<a/>"))), Ok(()));
    assert!(agree(&pretended, &theirs(&head("<a/>&x;"))).is_err());
    assert!(agree(&pretended, &theirs(&head("<b/>"))).is_err());
    assert!(agree(&pretended, &theirs(&head(""))).is_err());
    assert!(agree(&pretended, &theirs(&head("<a/><b/>"))).is_err());
    assert!(agree(&pretended, &theirs(&in_stream("<a/>"))).is_err());
}

/// And that we refused what is well-formed: here we pretend to, for another document's fault.
#[test]
fn planted_refusal_is_noticed() {
    let document = in_stream("<a/>");
    let refused = ours(&in_stream("<a/><b c/>"));
    assert!(refused.error.is_some());
    assert!(agree(&refused, &theirs(&document)).is_err());
}

/// A framer with a fault does not get past the whole check, in which letters are replaced and
/// pieces cut.
#[test]
fn planted_framers_are_noticed() {
    let sound = |pieces: &[&[u8]]| frame(&XmlLimits::default(), pieces.iter().copied());
    let takes_any_entity = |pieces: &[&[u8]]| {
        let document = String::from_utf8(pieces.concat()).unwrap();
        sound(&[document.replace("&x;", "x").as_bytes()])
    };
    let forgets_when_cut = |pieces: &[&[u8]]| {
        let mut outcome = sound(pieces);
        if pieces.len() > 1 {
            outcome.parts.retain(|part| !matches!(part, Part::Text(_)));
        }
        outcome
    };
    let misreads_an_astral = |pieces: &[&[u8]]| {
        let mut outcome = sound(pieces);
        for part in &mut outcome.parts {
            if let Part::Text(text) = part {
                *text = text.replace('\u{1F600}', "?");
            }
        }
        outcome
    };
    let fails = |stanza: &str, framing: Framing<'_>| {
        let document = in_stream(stanza);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check_framing(document.as_bytes(), &[7], framing);
        }))
        .is_err()
    };
    // Each stanza has letters that are looked past.
    let late = "<\u{1F600} \u{20AC}=''/>";
    let cases: [(&str, Framing<'_>); 3] = [
        ("<a>&x;</a>", &takes_any_entity),
        ("<a>x</a>", &forgets_when_cut),
        ("<a>\u{1F600}</a>", &misreads_an_astral),
    ];
    for (stanza, framing) in cases {
        for stanza in [stanza.to_owned(), late.to_owned() + stanza] {
            assert!(fails(&stanza, framing), "{stanza}");
            assert!(!fails(&stanza, &sound), "{stanza}");
        }
        assert!(!fails(late, framing));
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let ops = [
        Op::Start(1),
        Op::Attr(0, "'\"<&\t\r\n\u{FFFD}\u{1F600}".into()),
        Op::Attr(3, "a b\n|\u{FF}".into()),
        Op::Text("]]>\r\n<\u{85}".into()),
    ];
    let (written, ours) = check_writer(&ops).expect("nothing forbidden");
    let theirs = Reading::of([written.as_slice()]);
    assert!(theirs.is_whole());
    assert_eq!(agree(&ours, &theirs), Ok(()));
}
