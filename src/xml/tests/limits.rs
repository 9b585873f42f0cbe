//! What of a stanza is bounded, and when that is seen.

use super::*;

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
        assert!(fed <= 256, "a name must not go on");
    }
    assert_eq!(fed, 256);
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    framer.push(b"<a \"");
    let mut fed = 0;
    while framer.push(b"'").1.is_none() {
        fed += 1;
        assert!(fed < 256, "a fault must be found");
    }
}

/// RFC 6120, section 11.6: what is not UTF-8 ends the stream; so it does in a tag that never ends.
#[test]
fn x26_what_is_no_utf8_is_found_before_the_tag_ends() {
    for bytes in [&b"<a b='\xFF"[..], b"<a b='\xC3'", b"<a b='\xED\xA0\x80"] {
        let mut framer = Framer::new(XmlLimits::default());
        framer.push(HEAD.as_bytes());
        assert!(framer.push(bytes).1.is_none());
        let found = framer.push(&[b'v'; 300]).1;
        let fault = found.and_then(Result::err).map(|error| error.fault);
        assert_eq!(fault, Some(F::InvalidUtf8), "{bytes:?}");
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

/// Of whatever a tag is made, byte by byte: what is too much is refused with its first byte, of
/// declarations with the one after the name.
mod x26_each_limit_of_a_tag_fires_at_its_byte {
    use super::*;
    use proptest::prelude::*;

    const PIECES: &[&str] = &[
        " ",
        "\n",
        " a='",
        " b=\"",
        " c",
        "d",
        "=",
        "'",
        "\"",
        "v",
        "vvvvv",
        "&lt;",
        "&#",
        "&#x41;",
        " xmlns='u'",
        " xmlns:p",
        " xmlns:q='u'",
        " xmlns:r = 'u",
        " e='' f=''",
        " p:g='v'",
        "\u{e9}",
        "\u{20ac}",
        "\u{1f600}",
        "nnnnnnn",
        ":",
    ];

    fn fed_until(framer: &mut Framer, bytes: &[u8]) -> Option<(XmlError, usize)> {
        for (i, byte) in bytes.iter().enumerate() {
            if let Some(Err(error)) = framer.push(core::slice::from_ref(byte)).1 {
                return Some((error, i));
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn whatever_it_is_made_of(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 1..24),
            name in 1..12_usize, value in 0..12_usize, attributes in 0..5_usize,
            declarations in 0..3_usize, bindings in 2..5_usize,
        ) {
            let limits = XmlLimits {
                name_bytes: name, value_bytes: value, attributes, declarations, bindings,
                ..XmlLimits::default()
            };
            let head = "<s:s xmlns:s='http://etherx.jabber.org/streams'>";
            let head = head.replace("s:s ", "s:stream ");
            let opened = || {
                let mut framer = Framer::new(XmlLimits { bindings, ..XmlLimits::default() });
                assert!(matches!(framer.push(head.as_bytes()).1, Some(Ok(Frame::Open(_)))));
                framer.limit(limits.clone());
                framer
            };
            let tag = format!("<n{}", pieces.concat());
            // All at once, and enough behind it that it is looked at.
            let long = format!("{tag}{}", " ".repeat(1000));
            let Some(Err(error)) = opened().push(long.as_bytes()).1 else {
                return Ok(());
            };
            let found = fed_until(&mut opened(), tag.as_bytes());
            let at = error.offset as usize - head.len();
            let rest = &long.as_bytes()[at..];
            let last = match error.fault {
                // The byte may be in the middle of a character, which is one at its end.
                F::NameTooLong | F::ValueTooLong | F::TooManyAttributes => {
                    (at + 1..).find(|end| long.is_char_boundary(*end)).unwrap() - 1
                }
                F::TooManyDeclarations | F::TooManyBindings => {
                    let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b':' || *b >= 0x80;
                    at + rest.iter().take_while(|b| is_name(b)).count()
                }
                _ => return Ok(()),
            };
            // Beyond the end of the tag it is what stands behind it that is too much.
            if last < tag.len() {
                prop_assert_eq!(found, Some((error, last)), "{}", tag);
            }
        }
    }
}

/// Namespaces are long and small children use them: they are compared when they are bound.
#[test]
fn namespaces_are_not_compared_for_each_attribute() {
    let long = "u".repeat(15_000);
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEAD.as_bytes());
    let open: String = (0..14)
        .map(|i| format!(" xmlns:p{i:02}='{long}{i:02}'"))
        .collect();
    assert!(framer.push(format!("<a{open}>").as_bytes()).1.is_none());
    let bound = framer.compared_bytes();
    // Each with those before it: what was read, times how many there are at most.
    assert!(bound <= open.len() * 14, "{bound}");
    let attributes: String = (0..14).map(|i| format!(" p{i:02}:a=''")).collect();
    let child = format!("<x{attributes}/>");
    let children = 200;
    for _ in 0..children {
        assert!(framer.push(child.as_bytes()).1.is_none());
    }
    let compared = framer.compared_bytes() - bound;
    let read = child.len() * children;
    assert!(compared < read * 14, "{compared} for {read}");
    // What is equal is found all the same, whatever it is called, wherever it was bound.
    let again = format!("<y xmlns:q='{long}07' p07:a='' q:a=''/>");
    let fault = framer.push(again.as_bytes()).1.and_then(Result::err);
    assert_eq!(fault.map(|error| error.fault), Some(F::DuplicateAttribute));
}

#[test]
fn equal_namespaces_are_found_however_they_were_bound() {
    for (tag, twice) in [
        ("<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", true),
        ("<a xmlns:p='u' xmlns:q='&#117;' p:b='' q:b=''/>", true),
        ("<a xmlns:p='u'><b xmlns:q='u' p:b='' q:b=''/></a>", true),
        (
            "<a xmlns:p='jabber:client' xmlns:q='jabber:client' p:b='' q:b=''/>",
            true,
        ),
        (
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:b='' xml:b=''/>",
            true,
        ),
        ("<a xmlns:p='u' xmlns:q='v' p:b='' q:b=''/>", false),
        ("<a xmlns:p='u' xmlns='u' p:b='' b=''/>", false),
        ("<a xmlns='' b=''><c xmlns='' b=''/></a>", false),
    ] {
        let fault = read(format!("{HEAD}{tag}")).error.map(|error| error.fault);
        assert_eq!(fault, twice.then_some(F::DuplicateAttribute), "{tag}");
    }
}

/// Found by fuzzing: what is wrong with a tag whose end has not come was noticed with other
/// bytes, the more of it came at a time.
#[test]
fn an_unfinished_tag_is_looked_at_with_the_same_bytes_however_it_comes() {
    let limits = XmlLimits {
        stanza_bytes: 600,
        attributes: 5,
        declarations: 2,
        bindings: 5,
        name_bytes: 20,
        ..XmlLimits::default()
    };
    let document =
        b"<stanza-id by='room@muc.parleyrn:xm<a><a><a> b='' c='' d='' e='' f='' xmlns:a='";
    for len in 1..document.len() {
        let document = &document[..len];
        let mut whole = Framer::new(limits.clone());
        let whole = whole.push(document).1.map(|found| found.map(drop));
        let mut bytes = Framer::new(limits.clone());
        let bytes = document
            .chunks(1)
            .find_map(|byte| bytes.push(byte).1.map(|found| found.map(drop)));
        assert_eq!(whole, bytes, "{len}");
    }
}

/// A tag is read again only when it is twice as long: what is wrong in it before the limit is
/// told all the same, however it is cut.
#[test]
fn x26_a_fault_before_the_limit_is_told_whatever_the_pieces() {
    let limits = XmlLimits {
        stanza_bytes: 400,
        ..XmlLimits::default()
    };
    // Looked at after 256 bytes, and the next time after 512.
    let space = " ".repeat(300);
    let document = format!("{HEAD}<a{space}= {space}");
    for piece in [1, 7, 64, document.len()] {
        let mut framer = Framer::new(limits.clone());
        let error = document.as_bytes().chunks(piece).find_map(|chunk| {
            let mut rest = chunk;
            while !rest.is_empty() {
                match framer.push(rest) {
                    (_, Some(Err(error))) => return Some(error),
                    (n, _) => rest = &rest[n..],
                }
            }
            None
        });
        let error = error.unwrap();
        assert_eq!(
            (error.fault, error.offset as usize),
            (F::MalformedName, HEAD.len() + 302),
            "in pieces of {piece}"
        );
    }
}

/// However a reference ends that begins with the last byte of a value, the next is beyond the limit.
#[test]
fn x26_a_reference_that_crosses_the_limit_of_a_value_is_refused_with_its_byte() {
    // The header has values of its own.
    for value_bytes in 40..300 {
        let limits = XmlLimits {
            value_bytes,
            ..XmlLimits::default()
        };
        let mut framer = Framer::new(limits);
        assert!(framer.push(HEAD.as_bytes()).1.is_some());
        let within = format!("<a b='{}&", "v".repeat(value_bytes - 1));
        for byte in within.bytes() {
            assert!(framer.push(&[byte]).1.is_none(), "{value_bytes} bytes");
        }
        let (_, refused) = framer.push(b"a");
        let error = refused.expect("it is beyond").unwrap_err();
        let at = HEAD.len() + within.len();
        assert_eq!(
            (error.fault, error.offset as usize),
            (F::ValueTooLong, at),
            "{value_bytes} bytes"
        );
    }
}
