//! Bad XML: X1 to X38. What is refused ends the stream, whatever pieces it comes in.

use std::fmt::Write as _;
use std::time::Duration;

use parley_xmpp::xml::{Frame, Framer, Writer, check_text};
use parley_xmpp::{
    Entry, Forbidden, OfflineCause, PeerIncompatible, PeerMisbehaved, Post, PostError, RoomId,
    Start, SubscriptionId, XmlLimits,
};

use crate::XmlFault as F;
use crate::peer::{BIND, HEADER, PLAIN, ROOM, attribute};
use crate::*;

const NOT_WELL_FORMED: &str = "not-well-formed";
const RESTRICTED: &str = "restricted-xml";
const POLICY: &str = "policy-violation";
const ENCODING: &str = "unsupported-encoding";

/// A room that has no archive, and somebody who follows it.
fn followed() -> (Peer, RoomId, SubscriptionId) {
    let mut peer = online();
    let room = peer.join("");
    let start = Start::Now;
    let following = peer.engine.subscribe(peer.now, room, start, 100).unwrap();
    peer.events();
    peer.heard();
    (peer, room, following)
}

/// What somebody said, the markup of the body being this.
#[track_caller]
fn said(markup: &str) -> String {
    let mut bodies = Vec::new();
    let message =
        format!("<message from='{ROOM}/bob' type='groupchat'><body>{markup}</body></message>");
    for size in [usize::MAX, 1, 2, 3] {
        let (mut peer, _, _) = followed();
        feed(&mut peer, message.as_bytes(), size);
        match &peer.events()[..] {
            [
                Event::Entry {
                    entry: Entry::Message(message),
                    ..
                },
            ] => bodies.push(message.body.clone()),
            other => panic!("{markup}: {other:?}"),
        }
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    bodies.remove(0)
}

/// What is answered to a request with this payload.
#[track_caller]
fn answer(payload: &str) -> String {
    let mut peer = online();
    peer.say(&format!("<iq type='get' id='1'>{payload}</iq>"));
    peer.heard()
}

const PONG: &str = "<iq type='result' id='1'/>";

#[test]
fn x01_a_document_type_is_restricted() {
    let at_start = ["<!DOCTYPE a><stream:stream", "<!doctype a>", "<!D"];
    all_refused(opened, RESTRICTED, F::DocumentType, &at_start);
    let later = ["<!DOCTYPE a>", "<a><!doctype", "<a>text<!d"];
    all_refused(online, RESTRICTED, F::DocumentType, &later);
    let declared = "<?xml version='1.0'?><!DOCTYPE a [";
    refused(opened, declared, F::DocumentType, RESTRICTED);
}

#[test]
fn x02_no_entity_is_declared_or_resolved() {
    let bomb = "<!DOCTYPE a [<!ENTITY x 'y'><!ENTITY z '&x;&x;'>]><a>&z;</a>";
    refused(opened, bomb, F::DocumentType, RESTRICTED);
    let used = ["<a>&x;</a>", "<a b='&x;'/>", "<a>&LT;</a>"];
    all_refused(online, RESTRICTED, F::UndefinedEntity, &used);
    assert_eq!(said("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
}

#[test]
fn x03_a_processing_instruction_is_restricted() {
    let instructions = ["<?php x?>", "<??>", "<?XmL x?>", "<a><?p"];
    all_refused(online, RESTRICTED, F::ProcessingInstruction, &instructions);
    all_refused(
        opened,
        RESTRICTED,
        F::ProcessingInstruction,
        &instructions[..3],
    );
}

#[test]
fn x04_an_xml_declaration_stands_first_and_says_no_more_than_it_may() {
    let after_success = || {
        let mut peer = greeted();
        peer.say(PLAIN);
        peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        peer.heard();
        peer
    };
    for start in [opened as fn() -> Peer, after_success] {
        for (declaration, fault, condition) in [
            (
                " <?xml version='1.0'?>",
                F::ProcessingInstruction,
                RESTRICTED,
            ),
            (
                "<?xml version='1.0'?><?xml version='1.0'?>",
                F::ProcessingInstruction,
                RESTRICTED,
            ),
            ("<?xml version='1.1'?>", F::DeclaredVersion, NOT_WELL_FORMED),
            ("<?xml version='9.9'?>", F::DeclaredVersion, NOT_WELL_FORMED),
            (
                "<?xml version='1.0' encoding='ISO-8859-1'?>",
                F::DeclaredEncoding,
                ENCODING,
            ),
            (
                "<?xml version='1.0' standalone='no'?>",
                F::DeclaredStandalone,
                RESTRICTED,
            ),
            (
                "<?xml encoding='utf-8'?>",
                F::DeclarationSyntax,
                NOT_WELL_FORMED,
            ),
            (
                "<?xml version='1.0' foo='bar' <?>",
                F::DeclarationSyntax,
                NOT_WELL_FORMED,
            ),
        ] {
            refused(start, declaration, fault, condition);
        }
    }
    refused(
        online,
        "<?xml version='1.0'?>",
        F::ProcessingInstruction,
        RESTRICTED,
    );
    // Whatever it may say is taken, and so is none.
    for declaration in [
        "",
        "<?xml version=\"1.0\" ?>",
        "<?xml version='1.0' encoding='uTf-8' standalone='yes'?>",
    ] {
        let mut peer = opened();
        peer.say(&HEADER.replace("<?xml version='1.0'?>", declaration));
        peer.say(PLAIN);
        assert!(peer.heard().contains("<auth "), "{declaration}");
    }
}

#[test]
fn x05_a_comment_is_restricted() {
    let comments = ["<!-- x -->", "<!-- a--b -->", "<!-- a--->", "<!-->", "<!-"];
    all_refused(opened, RESTRICTED, F::Comment, &comments);
    all_refused(online, RESTRICTED, F::Comment, &comments);
    refused(online, "<a>x<!-", F::Comment, RESTRICTED);
}

#[test]
fn x06_character_data_is_text_within_a_stanza_and_nowhere_else() {
    assert_eq!(said("<![CDATA[<b>&amp;]]>"), "<b>&amp;");
    assert_eq!(said("a<![CDATA[]]]]><![CDATA[>]]>z"), "a]]>z");
    assert_eq!(said("<![CDATA[x]]]>"), "x]");
    assert_eq!(said("<![CDATA[]]>"), "");
    refused(online, "<![CDATA[x]]>", F::TextBetweenStanzas, "bad-format");
    refused(
        online,
        "<message/><![CDATA[]]>",
        F::TextBetweenStanzas,
        "bad-format",
    );
    refused(
        opened,
        "<![CDATA[x]]>",
        F::TextBeforeHeader,
        NOT_WELL_FORMED,
    );
}

#[test]
fn x07_the_end_of_character_data_is_no_text() {
    let ends = ["<a>x]]>y</a>", "<a>]]]>", "<a><![CDATA[]]>]]>"];
    all_refused(online, NOT_WELL_FORMED, F::CDataEndInText, &ends);
    // And is never written: the bracket is escaped.
    let (mut peer, room, _) = followed();
    peer.engine
        .post(peer.now, room, Post::new("x]]>y"))
        .unwrap();
    let sent = peer.heard();
    assert!(sent.contains("x]]&gt;y"), "{sent}");
}

#[test]
fn x08_bytes_that_are_not_utf8_swallow_nothing() {
    for bytes in [
        &b"\xED\xA0\x80"[..],
        b"\xC0\xBC",
        b"\xE0\x80\xBC",
        b"\xF4\x90\x80\x80",
        b"\xF8\x88\x80\x80\x80",
    ] {
        for (before, after) in [
            (&b"<a>"[..], &b"</a>"[..]),
            (b"<a b='", b"'/>"),
            (b"<a", b"/>"),
        ] {
            let input = [before, bytes, after].concat();
            refused(online, input, F::InvalidUtf8, ENCODING);
        }
    }
    // The lead of three bytes, and two of markup after it.
    refused(online, b"<a>\xEB</a><b>", F::InvalidUtf8, ENCODING);
    refused(online, b"<a>\xEB\x3C\x2F\x61\x3E", F::InvalidUtf8, ENCODING);
}

#[test]
fn x09_characters_that_xml_lacks_are_refused() {
    let controls = (0..0x20).filter(|c| !matches!(c, 9 | 10 | 13));
    for code in controls.chain([0xFFFE, 0xFFFF]) {
        let c = char::from_u32(code).unwrap();
        for input in [
            format!("<a>{c}</a>"),
            format!("<a b='{c}'/>"),
            format!("<a{c}/>"),
            format!("<{c}/>"),
        ] {
            refused(online, input, F::ForbiddenCharacter, NOT_WELL_FORMED);
        }
    }
    let edges = "\t\n\u{20}\u{7f}\u{85}\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}";
    assert_eq!(said(edges), edges);
}

#[test]
fn x10_references_to_what_xml_lacks_are_refused() {
    for reference in [
        "&#0;",
        "&#1;",
        "&#x1f;",
        "&#xFFFE;",
        "&#xD800;",
        "&#x110000;",
    ] {
        for input in [format!("<a>{reference}"), format!("<a b='{reference}'/>")] {
            refused(online, input, F::ForbiddenReference, NOT_WELL_FORMED);
        }
    }
    for reference in ["&#X41;", "&#+65;", "&#;"] {
        for input in [format!("<a>{reference}"), format!("<a b='{reference}'/>")] {
            refused(online, input, F::MalformedReference, NOT_WELL_FORMED);
        }
    }
    assert_eq!(said("&#65;&#x41;&#00000065;"), "AAA");
    let long = ["<a>&#000000065;", "<a b='&#x000000041;'/>"];
    all_refused(online, POLICY, F::ReferenceTooLong, &long);
}

#[test]
fn x11_unknown_entities_and_bare_ampersands_are_refused() {
    let unknown = ["<a>&nbsp;", "<a>&foo;", "<a b='&foo;'/>"];
    all_refused(online, RESTRICTED, F::UndefinedEntity, &unknown);
    let bare = [
        "<a>&;",
        "<a>a & b",
        "<a b='a & b'/>",
        "<a b='&;'/>",
        "<a>&amp</a>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::MalformedReference, &bare);
}

#[test]
fn x12_an_undeclared_prefix_is_refused() {
    let undeclared = [
        "<p:a/>",
        "<a p:b='1'/>",
        "<message xmlns:p='u'/><p:b/>",
        "<a><b xmlns:p='u'/><p:c/>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::UndeclaredPrefix, &undeclared);
}

#[test]
fn x13_reserved_prefixes_and_namespaces_are_refused() {
    let prefixes = [
        "<a xmlns:xml='u'/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<xmlns:a/>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::ReservedPrefix, &prefixes);
    let namespaces = [
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::ReservedNamespace, &namespaces);
}

#[test]
fn x14_a_prefix_cannot_be_undeclared() {
    let inputs = ["<b xmlns:p=''/>", "<b xmlns:p='u'><c xmlns:p=''/>"];
    all_refused(online, NOT_WELL_FORMED, F::EmptyPrefixDeclaration, &inputs);
    // The default namespace can: that is no stanza, and no harm.
    let mut peer = online();
    peer.say("<iq xmlns='' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
}

#[test]
fn x15_an_attribute_stands_once() {
    let attributes = [
        "<a b='1' b='2'/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<a xmlns:p='a&amp;b' xmlns:q='a&#38;b' p:x='' q:x=''/>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::DuplicateAttribute, &attributes);
    let declarations = ["<a xmlns='u' xmlns='v'/>", "<a xmlns:p='u' xmlns:p='v'/>"];
    all_refused(
        online,
        NOT_WELL_FORMED,
        F::DuplicateDeclaration,
        &declarations,
    );
}

#[test]
fn x16_a_namespace_is_read_before_it_is_compared() {
    assert_eq!(answer("<ping xmlns='urn&#58;xmpp:pin&#x67;'/>"), PONG);
    let mut peer = online();
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    peer.say(&format!(
        "<iq xmlns='jabber&#58;client' type='get' id='1'>{ping}</iq>"
    ));
    assert_eq!(peer.heard(), PONG);
    // Nothing is trimmed or folded.
    for other in [
        " urn:xmpp:ping",
        "urn:xmpp:ping ",
        "URN:xmpp:ping",
        "urn:xmpp:ping&#9;",
    ] {
        let said = answer(&format!("<ping xmlns='{other}'/>"));
        assert!(said.contains("<service-unavailable "), "{other}: {said}");
    }
    let reserved = "<a xmlns='http://www.w3.org/2000/xmlns&#47;'/>";
    refused(online, reserved, F::ReservedNamespace, NOT_WELL_FORMED);
}

#[test]
fn x17_a_namespace_is_not_glued_to_a_name() {
    let glued = "<a xmlns='jabber:client\u{1}message'/>";
    refused(online, glued, F::ForbiddenCharacter, NOT_WELL_FORMED);
    // Separators that trees have used, on either side.
    for separator in ["|", "}", " ", ":", "#", "\u{FFFD}"] {
        for payload in [
            format!("<g xmlns='urn:xmpp:pin{separator}'/>"),
            format!("<x xmlns='urn:xmpp:ping{separator}ping'/>"),
            format!("<ping xmlns='urn:xmpp:ping{separator}'/>"),
        ] {
            let said = answer(&payload);
            assert!(said.contains("<service-unavailable "), "{payload}: {said}");
        }
    }
}

#[test]
fn x18_names_are_names() {
    let names = [
        "<1a>",
        "<-a>",
        "<a<b/>",
        "<a&b/>",
        "<a'b'/>",
        "<>",
        "<a:b:c/>",
        "<:a/>",
        "<a:/>",
        "<a\u{85}b='1'/>",
        "<a\u{a0}b='1'/>",
        "<a 1b='1'/>",
        "<a b:='1'/>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::MalformedName, &names);
    all_refused(online, NOT_WELL_FORMED, F::StraySlash, &["<a/b/>"]);
    // `</` ends what is open, which here is the stream.
    all_refused(online, NOT_WELL_FORMED, F::MismatchedEndTag, &["</>"]);
    let controls = ["<a\u{c}b='1'/>", "<a\0b/>"];
    all_refused(online, NOT_WELL_FORMED, F::ForbiddenCharacter, &controls);
}

#[test]
fn x19_attributes_have_a_name_a_value_quotes_and_space() {
    for (input, fault) in [
        ("<a b=c/>", F::MissingQuote),
        ("<a b/>", F::MissingEquals),
        ("<a b='1'c='2'/>", F::MissingSpace),
        ("<a b='<'/>", F::LessThanInValue),
        ("<a / >", F::StraySlash),
        ("<a></a b='1'>", F::MalformedEndTag),
        ("<a b=\"'/><c d='\"/>", F::LessThanInValue),
    ] {
        refused(online, input, fault, NOT_WELL_FORMED);
    }
}

#[test]
fn x20_a_bad_attribute_hides_no_declaration() {
    let hidden = "<iq type=get xmlns='evil' id='1'>";
    refused(online, hidden, F::MissingQuote, NOT_WELL_FORMED);
    let hidden = "<x y xmlns='evil'>";
    refused(online, hidden, F::MissingEquals, NOT_WELL_FORMED);
}

#[test]
fn x21_tags_match_and_a_stanza_without_an_end_is_a_truncation() {
    let mismatched = [
        "<a><b></a></b>",
        "</b>",
        "<a></A>",
        "<a xmlns='u' xmlns:p='u'></p:a>",
    ];
    all_refused(online, NOT_WELL_FORMED, F::MismatchedEndTag, &mismatched);
    let before = ["text", "&lt;", "\u{a0}"];
    all_refused(opened, NOT_WELL_FORMED, F::TextBeforeHeader, &before);
    all_refused(opened, NOT_WELL_FORMED, F::UnexpectedEndTag, &["</a>"]);
    for (input, truncated) in [
        ("<", true),
        ("<message", true),
        ("<message b='", true),
        ("<message><body>half of i", true),
        ("<message><body>&am", true),
        ("<message></message", true),
        ("<message/>", false),
        ("<message/>\n", false),
        ("", false),
    ] {
        let mut peer = online();
        peer.say(input);
        peer.engine.handle_eof(peer.now);
        let due = if truncated {
            OfflineCause::Truncated
        } else {
            OfflineCause::PeerClosed
        };
        assert_eq!(ended(&mut peer), due, "{input}");
    }
}

#[test]
fn x22_an_error_is_the_last_of_a_stream() {
    // `refused` asks for an answer after the error: none comes.
    let input = "<a></b><iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
    refused(online, input, F::MismatchedEndTag, NOT_WELL_FORMED);
    // The same holds of a framer alone.
    let mut framer = Framer::new(XmlLimits::default());
    framer.push(HEADER.as_bytes());
    let (_, first) = framer.push(b"<a></b>");
    let first = first.unwrap().unwrap_err();
    for more in ["<c>hi</c>", HEADER, "</stream:stream>"] {
        let (read, again) = framer.push(more.as_bytes());
        assert_eq!((read, again.unwrap().unwrap_err()), (0, first));
    }
}

#[test]
fn x23_between_stanzas_stand_stanzas_and_white_space() {
    for text in ["x", "<message/>x", "<message/> &lt;", "\u{a0}"] {
        refused(online, text, F::TextBetweenStanzas, "bad-format");
    }
    // No stanza that there is.
    let mut peer = online();
    peer.say("<foo/><message/>");
    assert_eq!(peer.heard(), farewell("unsupported-stanza-type"));
    let unexpected = OfflineCause::PeerMisbehaved(PeerMisbehaved::UnexpectedElement);
    assert_eq!(ended(&mut peer), unexpected);
    // Of another namespace: nothing to us, but before the login it is the end.
    let mut peer = online();
    peer.say("<foo xmlns='urn:example:nonza'/><message xmlns='urn:example:other'/>");
    peer.say("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!((peer.heard().as_str(), peer.events()), (PONG, vec![]));
    let mut peer = greeted();
    peer.say("<foo xmlns='urn:example:nonza'/>");
    assert_eq!(ended(&mut peer), unexpected);
    // What servers are to each other is not for clients.
    let mut peer = online();
    peer.say("<message xmlns='jabber:server'/>");
    assert_eq!(peer.heard(), farewell("invalid-namespace"));
}

#[test]
fn x24_depth_is_bounded_and_recursion_absent() {
    refused(online, "<a>".repeat(70_000), F::TooDeep, POLICY);
    let deepest = XmlLimits::default().depth;
    let inner = format!(
        "{}{}",
        "<a>".repeat(deepest - 1),
        "</a>".repeat(deepest - 1)
    );
    let said = answer(&inner);
    assert!(said.contains("<service-unavailable "), "{said}");
    // Where a host allows it, a tree of any depth is read, and let go of.
    let mut limits = XmlLimits::default();
    (limits.depth, limits.nodes) = (usize::MAX, usize::MAX);
    limits.stanza_bytes = usize::MAX;
    let mut framer = Framer::new(limits);
    framer.push(HEADER.as_bytes());
    let deep = format!("{}{}", "<a>".repeat(500_000), "</a>".repeat(500_000));
    assert!(matches!(
        framer.push(deep.as_bytes()),
        (_, Some(Ok(Frame::Stanza(_))))
    ));
    drop(framer);
}

/// A tag with that many of these.
fn with(count: usize, name: &str) -> String {
    let mut tag = "<a".to_owned();
    for n in 0..count {
        write!(tag, " {name}{n}='u{n}'").unwrap();
    }
    tag
}

#[test]
fn x25_attributes_and_declarations_are_bounded() {
    refused(online, with(50_000, "b"), F::TooManyAttributes, POLICY);
    refused(online, with(300, "xmlns:p"), F::TooManyDeclarations, POLICY);
    let limits = XmlLimits::default();
    assert_eq!(
        (limits.attributes, limits.declarations, limits.bindings),
        (64, 16, 64)
    );
    let nested = (with(16, "xmlns:p") + ">").repeat(5);
    refused(online, nested, F::TooManyBindings, POLICY);
}

#[test]
fn x26_bytes_are_bounded_as_they_come() {
    let mega = "x".repeat(1 << 20);
    for (input, fault) in [
        (format!("<message><body>{mega}"), F::StanzaTooLong),
        (format!("<{mega}"), F::NameTooLong),
        (format!("<a {mega}"), F::NameTooLong),
        (format!("<a b='{mega}"), F::ValueTooLong),
        // Four bytes received for each that is decoded.
        (format!("<a>{}", "&lt;".repeat(70_000)), F::StanzaTooLong),
        (format!("<a{}", " ".repeat(1 << 20)), F::StanzaTooLong),
    ] {
        refused(online, input, fault, POLICY);
    }
    assert_eq!(XmlLimits::default().stanza_bytes, 256 * 1024);
}

#[test]
fn x27_children_are_bounded() {
    let bomb = format!("<message>{}", "<x/>".repeat(60_000));
    refused(online, bomb, F::TooManyNodes, POLICY);
    let bomb = format!("<message>{}", "t<x/>".repeat(50_000));
    refused(online, bomb, F::TooManyNodes, POLICY);
}

#[test]
fn x28_what_was_read_is_not_kept_to_be_read_again() {
    // Four bytes received for each that is decoded: who reads a stanza anew with each
    // piece has to keep them all until it ends.
    let message = format!("<message><body>{}", "&lt;".repeat(60_000));
    let held = |size: usize| {
        let mut framer = Framer::new(XmlLimits::default());
        framer.push(HEADER.as_bytes());
        for piece in message.as_bytes().chunks(size) {
            let (read, found) = framer.push(piece);
            assert_eq!(read, piece.len());
            assert!(found.is_none());
        }
        framer.allocated_bytes()
    };
    let whole = held(usize::MAX);
    assert!(whole < message.len() * 3 / 4, "{whole}");
    for size in [1, 64, 1460] {
        assert_eq!(held(size), whole, "pieces of {size}");
    }
}

/// A stream with something at every kind of place, from the header on.
fn golden() -> String {
    format!(
        "{HEADER}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>PLAIN</mechanism></mechanisms></stream:features>\
         <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>{HEADER}{BIND}\
         <message from='x@y'><body>&amp;\u{20ac}]]<![CDATA[]]]]>\r\n&#x1F600;</body></message>\
         <iq type='get' id=\"'&gt;'\" from='x@y'><p:ping xmlns:p='urn:xmpp:ping'/></iq> \r\n\
         <iq type='set' id='2'><query xmlns='jabber:iq:roster'/></iq></stream:stream > after"
    )
}

#[test]
fn x29_pieces_of_any_size_are_the_same() {
    let read = |pieces: Vec<&[u8]>| {
        let mut peer = opened();
        for piece in pieces {
            let taken = peer.engine.handle_input(peer.now, piece);
            assert_eq!(taken, piece.len());
        }
        (peer.heard(), peer.events())
    };
    let golden = golden();
    let bytes = golden.as_bytes();
    let whole = read(vec![bytes]);
    assert!(
        whole.0.contains("<auth ") && whole.0.contains("<bind "),
        "{}",
        whole.0
    );
    for at in 0..=bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(read(vec![a, b]), whole, "cut at {at}");
    }
    for size in 1..20 {
        assert_eq!(
            read(bytes.chunks(size).collect()),
            whole,
            "pieces of {size}"
        );
    }
}

#[test]
fn x30_a_byte_order_mark_is_refused_and_a_character_elsewhere() {
    let marked = format!("\u{FEFF}{HEADER}");
    refused(opened, marked, F::ByteOrderMark, NOT_WELL_FORMED);
    assert_eq!(said("\u{FEFF}x\u{FEFF}"), "\u{FEFF}x\u{FEFF}");
}

#[test]
fn x31_utf16_is_refused() {
    for bytes in [
        &b"\xFF\xFE<\0s\0"[..],
        b"\xFE\xFF\0<\0s",
        b"\0<\0?",
        b"<\0?\0",
    ] {
        refused(opened, bytes, F::ForeignEncoding, ENCODING);
    }
}

#[test]
fn x32_white_space_is_no_answer_and_has_a_bound_before_the_login() {
    // A megabyte of it is nothing, held nowhere.
    let mut peer = online();
    peer.say(&"\t\r\n ".repeat(250_000));
    assert_eq!((peer.heard(), peer.events()), (String::new(), vec![]));
    // It does not answer a ping.
    let mut peer = online();
    let asked = peer.now;
    while peer.engine.wants().transport == Transport::Open {
        peer.say(" ");
        peer.pass(Duration::from_secs(1));
        assert!(
            peer.now.since(asked) < Duration::from_secs(120),
            "still waiting"
        );
    }
    assert!(matches!(ended(&mut peer), OfflineCause::TimedOut(_)));
    // Before the login there is an end to it.
    let most = XmlLimits::default().idle_bytes_before_login;
    for start in [opened as fn() -> Peer, greeted] {
        let mut peer = start();
        peer.say(&" ".repeat(most));
        assert_eq!(peer.events(), []);
        peer.say(" ");
        let flood = OfflineCause::PeerMisbehaved(PeerMisbehaved::IdleFlood);
        assert_eq!(ended(&mut peer), flood);
    }
    // None is allowed in what is encoded.
    let mut peer = greeted();
    peer.say(PLAIN);
    peer.heard();
    peer.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'> </success>");
    assert!(matches!(ended(&mut peer), OfflineCause::Auth(_)));
}

#[test]
fn x33_a_new_stream_in_the_same_piece_is_a_new_stream() {
    let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    let mut peer = greeted();
    peer.say(PLAIN);
    peer.heard();
    peer.say(&format!("{success}{HEADER}{BIND}"));
    assert!(peer.heard().contains("<bind "));
    // What the old stream declared is not declared in the new one, which needs a header.
    for (next, fault) in [
        (BIND, F::UndeclaredPrefix),
        ("<stream:stream version='1.0'>", F::UndeclaredPrefix),
        ("<message xmlns='jabber:client'/>", F::WrongStreamNamespace),
        ("</stream:stream>", F::UnexpectedEndTag),
    ] {
        let mut peer = greeted();
        peer.say(PLAIN);
        peer.say(&format!("{success}{next}"));
        match ended(&mut peer) {
            OfflineCause::Xml(error) => assert_eq!(error.fault, fault, "{next}"),
            other => panic!("{next}: {other:?}"),
        }
    }
}

#[test]
fn x34_odd_stream_headers() {
    // By another prefix, or none.
    let ns = "http://etherx.jabber.org/streams";
    for (header, plain) in [
        (
            format!("<stream xmlns='{ns}' version='1.0'>"),
            PLAIN.replace("stream:", ""),
        ),
        (
            format!("<s:stream xmlns:s='{ns}' xmlns='jabber:client' version='1.10'>"),
            PLAIN.replace("stream:", "s:"),
        ),
    ] {
        let mut peer = opened();
        peer.say(&header);
        peer.say(&plain);
        assert!(peer.heard().contains("<auth "), "{header}");
    }
    let wrong = HEADER.replace("http://etherx", "http://evil");
    refused(opened, wrong, F::WrongStreamNamespace, "invalid-namespace");
    let again = HEADER.replace("<?xml version='1.0'?>", "");
    refused(greeted, again, F::SecondHeader, "unsupported-stanza-type");
    // Closed as soon as opened.
    let mut peer = opened();
    peer.say(&HEADER.replace("'>", "'/>"));
    assert_eq!(ended(&mut peer), OfflineCause::PeerClosed);
    for version in ["", "version='0.9'", "version='0'", "version='one'"] {
        let mut peer = opened();
        peer.say(&HEADER.replace(" version='1.0' from", &format!(" {version} from")));
        let legacy = OfflineCause::PeerIncompatible(PeerIncompatible::LegacyStream);
        assert_eq!(ended(&mut peer), legacy, "{version}");
    }
    // Neither an id nor a name is needed.
    let mut peer = opened();
    peer.say(
        &HEADER
            .replace("id='s'", "")
            .replace("from='parley.local'", ""),
    );
    peer.say(PLAIN);
    assert!(peer.heard().contains("<auth "));
}

#[test]
fn x35_the_end_of_the_stream_between_stanzas_and_within_one() {
    let mut peer = online();
    peer.say("</stream:stream><message/>\u{1}<<<");
    assert_eq!(peer.heard(), "</stream:stream>");
    assert_eq!(ended(&mut peer), OfflineCause::PeerClosed);
    refused(
        online,
        "<message></stream:stream>",
        F::MismatchedEndTag,
        NOT_WELL_FORMED,
    );
    // Ours without an answer: not for long.
    let mut peer = online();
    peer.engine.close(peer.now);
    peer.heard();
    peer.pass(Duration::from_secs(5));
    assert_ne!(peer.engine.wants().transport, Transport::Open);
}

#[test]
fn x36_markup_in_data_is_data() {
    let evil = "</body></message></stream:stream><stream:stream><message from='x'>";
    assert_eq!(said(&format!("<![CDATA[{evil}]]>")), evil);
    assert_eq!(said("&lt;/body&gt;&#60;b&#62;&amp;lt;"), "</body><b>&lt;");
    // A header within a stanza is somebody's data, and opens nothing.
    let mut peer = online();
    let ping = "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
    peer.say(&format!(
        "<message><stream:stream><stream:error/></stream:stream></message>{ping}"
    ));
    assert_eq!((peer.heard().as_str(), peer.events()), (PONG, vec![]));
    // Where one parser saw data, so would others: it is refused, not guessed at.
    refused(
        online,
        "<message a='<?xml ?>'/>",
        F::LessThanInValue,
        NOT_WELL_FORMED,
    );
    refused(
        online,
        "<message><?xml ?>",
        F::ProcessingInstruction,
        RESTRICTED,
    );
}

#[test]
fn x37_nothing_said_is_markup_and_nothing_unsayable_is_queued() {
    let (mut peer, room, _) = followed();
    for (body, offset) in [("a\u{1b}[31m", 1), ("\0", 0), ("\u{20ac}\u{FFFE}", 3)] {
        let mut post = Post::new(body);
        let refused = peer.engine.post(peer.now, room, post.clone()).unwrap_err();
        let PostError::ForbiddenChar(forbidden) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(forbidden.offset, offset, "{body:?}");
        assert_eq!(peer.heard(), "");
        post.forbidden = Forbidden::Replace;
        peer.engine.post(peer.now, room, post).unwrap();
        let sent = peer.heard();
        assert_eq!(check_text(&sent), Ok(()), "{sent:?}");
    }
    // What is written is what is read, in a text and in an attribute.
    let evil = "]]> & <b/> ' \" \r\n\t \r </body> \u{1f600}";
    let mut out = HEADER.as_bytes().to_vec();
    let mut writer = Writer::new(&mut out);
    writer.start("a").attr("b", evil).text(evil).end();
    writer.finish().unwrap();
    let mut framer = Framer::new(XmlLimits::default());
    let (read, _) = framer.push(&out);
    match framer.push(&out[read..]) {
        (_, Some(Ok(Frame::Stanza(a)))) => {
            assert_eq!((a.attr("b"), a.text()), (Some(evil), evil));
        }
        other => panic!("{other:?}"),
    }
    peer.engine.post(peer.now, room, Post::new(evil)).unwrap();
    let sent = peer.heard();
    assert_eq!(sent.matches("</body>").count(), 1, "{sent}");
    assert!(sent.contains("&#xD;") || sent.contains("&#13;"), "{sent}");
}

#[test]
fn x38_white_space_in_a_value_is_normalised() {
    let mut peer = online();
    for (sent, id) in [
        ("a\tb", "a b"),
        ("a\r\nb", "a b"),
        ("a&#10;b", "a\nb"),
        ("a&#9;&#13;b", "a\t\rb"),
        (" a  b ", " a  b "),
    ] {
        peer.say(&format!(
            "<iq type='get' id='{sent}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        // What comes back is read as any value is.
        let said = peer.heard();
        let mut framer = Framer::new(XmlLimits::default());
        framer.push(HEADER.as_bytes());
        match framer.push(said.as_bytes()) {
            (_, Some(Ok(Frame::Stanza(iq)))) => assert_eq!(iq.attr("id"), Some(id)),
            other => panic!("{other:?}"),
        }
        assert!(
            !attribute(&said, "id").contains(['\t', '\n', '\r']),
            "{said:?}"
        );
    }
}
