//! What the framer accepts and refuses, case by case, numbered after the
//! catalogue of hostile XML that the framer was written against.

mod declaration;
mod limits;
mod names;
mod restrictions;
mod stream;
mod tags;
mod text;
mod writer;

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

/// Looks at the one stanza that `inner` is.
#[track_caller]
pub(crate) fn stanza<T>(inner: &str, look: impl FnOnce(Element<'_>) -> T) -> T {
    let document = format!("{HEAD}{inner}");
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(document.as_bytes());
    match framer.push(&document.as_bytes()[n..]) {
        (_, Some(Ok(Frame::Stanza(element)))) => look(element),
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
