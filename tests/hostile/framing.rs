//! What frames the stanzas, X24 to X38: amounts, pieces, encodings, white space, where streams and
//! values begin and end.

use std::fmt::Write as _;
use std::time::Duration;

use parley_xmpp::xml::{Frame, Framer, Writer, check_text};
use parley_xmpp::{
    Forbidden, OfflineCause, PeerIncompatible, PeerMisbehaved, Post, PostError, XmlLimits,
};

use crate::XmlFault as F;
use crate::peer::{BIND, HEADER, PLAIN, attribute};
use crate::*;

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
    for version in [
        "",
        "version='0.9'",
        "version='0'",
        "version='one'",
        "version='+1.0'",
        "version='1.x'",
        "version='1.'",
        "version='1.-3'",
        "version='1.0.0'",
    ] {
        let mut peer = opened();
        peer.say(&HEADER.replace(" version='1.0' from", &format!(" {version} from")));
        let legacy = OfflineCause::PeerIncompatible(PeerIncompatible::LegacyStream);
        assert_eq!(peer.heard(), farewell("unsupported-version"), "{version}");
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
    let (mut peer, room) = followed("");
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
