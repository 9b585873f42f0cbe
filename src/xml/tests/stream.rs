//! The stream around the stanzas: its header and end, pieces of any size, what is
//! between, and what is kept from one stanza to the next.

use super::*;

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

/// RFC 6120, section 4.4: after the closing tag the peer has nothing more to say; how much it says
/// all the same is its own affair.
#[test]
fn x35_what_comes_after_the_end_is_ignored_however_long() {
    let limits = XmlLimits::default();
    let after = "x".repeat(2 * limits.stanza_bytes);
    let mut framer = Framer::new(limits);
    for (text, closes) in [
        (HEAD, false),
        ("</stream:stream>", true),
        (&*after, false),
        (&*after, false),
    ] {
        let (read, found) = framer.push(text.as_bytes());
        assert_eq!(read, text.len());
        assert_eq!(matches!(found, Some(Ok(Frame::Close))), closes);
        assert!(!matches!(found, Some(Err(_))));
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
