//! The two tags that are not an element of their own: those that open and close
//! the stream (RFC 6120, sections 4.2 and 4.4).

use alloc::vec::Vec;

use super::Writer;
use crate::ns;

/// Opens a stream to `to`, a domain.
pub(crate) fn open_stream(out: &mut Vec<u8>, to: &str) {
    out.extend_from_slice(b"<?xml version='1.0'?>");
    let mut w = Writer::new(out);
    w.start("stream:stream")
        .attr("to", to)
        .attr("version", "1.0");
    w.attr("xmlns", ns::CLIENT).attr("xmlns:stream", ns::STREAM);
    w.end();
    // A domain was prepared as part of an address: it holds nothing forbidden.
    let written = w.finish();
    debug_assert!(written.is_ok(), "a domain that XML cannot carry");
    // The writer closed what stays open.
    if out.ends_with(b"/>") {
        out.truncate(out.len().saturating_sub(2));
        out.push(b'>');
    }
}

/// Closes the stream.
pub(crate) fn close_stream(out: &mut Vec<u8>) {
    out.extend_from_slice(b"</stream:stream>");
}
