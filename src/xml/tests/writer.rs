//! What is written.

use super::*;

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

/// XML 1.0, section 3.3.3: literal white space in a value is read as spaces, so that it is
/// written as references. Text stays as it is, but for markup and what line ends become of.
#[test]
fn writer_escapes_what_would_be_read_otherwise() {
    let all = "&<>\r\"'\t\n";
    let mut out = vec![];
    let mut writer = Writer::new(&mut out);
    writer.start("a").attr("b", all).text(all).end();
    writer.finish().unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<a b='&amp;&lt;&gt;&#13;&quot;&apos;&#9;&#10;'>&amp;&lt;&gt;&#13;\"'\t\n</a>"
    );
}
