//! Bad XML: X1 to X23. What is refused ends the stream, whatever pieces it comes in.

use parley_xmpp::xml::Framer;
use parley_xmpp::{OfflineCause, PeerMisbehaved, Post, XmlLimits};

use crate::XmlFault as F;
use crate::peer::{HEADER, PLAIN};
use crate::*;

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
    let (mut peer, room) = followed("");
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
