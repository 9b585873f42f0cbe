//! The calls of libexpat that are needed: the only unsafe code here.
//!
//! Bound by hand, since no kept crate does it: `expat-sys` builds a libexpat of 2012 (2.1.0) that it
//! carries, with cmake; `expat` is a port of it in Rust, not the library that Prosody reads with.
//! `build.rs` looks at the header for what is assumed of the types.

#![allow(unsafe_code, reason = "libexpat is written in C")]

use core::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use core::slice;
use std::borrow::Cow;

/// What expat puts between a namespace and a name. It gives UTF-8, in which this byte never
/// stands, so no namespace that a document declares can imitate it.
const SEPARATOR: u8 = 0xFF;

/// What a parser is told to do, as it reads.
pub(super) trait Handler {
    fn start(&mut self, name: Name<'_>, attributes: Vec<(Name<'_>, Cow<'_, str>)>);
    /// Any part of a text.
    fn text(&mut self, text: &str);
    fn end(&mut self);
}

/// A namespace, empty if there is none, and a name.
pub(super) type Name<'a> = (Cow<'a, str>, Cow<'a, str>);

/// `XML_ERROR_INVALID_TOKEN`.
pub(super) const INVALID_TOKEN: c_uint = 4;
/// `XML_ERROR_ABORTED`: a comment, a processing instruction or a document type declaration.
#[cfg(test)]
pub(super) const RESTRICTED: c_uint = 35;
/// `XML_ERROR_NO_ELEMENTS`, `UNCLOSED_TOKEN`, `PARTIAL_CHAR` and `UNCLOSED_CDATA_SECTION`: what
/// is wrong at the end of the input of what could go on.
const CUT: [c_uint; 4] = [3, 5, 6, 20];

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The document is whole.
    Whole,
    /// Nothing is wrong but that it ends.
    Cut,
    /// With expat's code for it, and the byte where it lies.
    Refused(c_uint, usize),
}

/// Has expat read a document in pieces.
///
/// Its encoding is UTF-8, whatever it says of itself. What XMPP forbids (RFC 6120, section 11.1:
/// comments, processing instructions, document type declarations and so all entities but the
/// five) ends the reading with `XML_ERROR_ABORTED`.
pub(super) fn parse<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    handler: &mut dyn Handler,
) -> Ending {
    let parser = Parser::new();
    let mut context = Context {
        parser: parser.0,
        handler,
    };
    // SAFETY: the parser lives, and so does the context, at one place, until the parser is
    // freed; nothing else uses it as long. The functions are of the types that expat wants.
    unsafe {
        XML_SetUserData(parser.0, (&raw mut context).cast());
        XML_SetElementHandler(parser.0, Some(start), Some(end));
        XML_SetCharacterDataHandler(parser.0, Some(text));
        XML_SetCommentHandler(parser.0, Some(comment));
        XML_SetProcessingInstructionHandler(parser.0, Some(instruction));
        XML_SetStartDoctypeDeclHandler(parser.0, Some(document_type));
    }
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        if let Err((code, at)) = parser.push(piece, false) {
            return Ending::Refused(code, at);
        }
    }
    // Expat may put off what it was given (since 2.6), but not beyond this.
    match parser.push(&[], true) {
        Ok(()) => Ending::Whole,
        Err((code, _)) if CUT.contains(&code) => Ending::Cut,
        Err((code, at)) => Ending::Refused(code, at),
    }
}

/// Expat's words for one of its codes.
pub(super) fn explain(code: c_uint) -> Cow<'static, str> {
    // SAFETY: it takes any code, and gives null or a constant.
    let text = unsafe { XML_ErrorString(code) };
    if text.is_null() {
        return "an unknown error".into();
    }
    // SAFETY: a constant of the library, which is never unloaded.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// The library's name for itself.
pub(super) fn version() -> Cow<'static, str> {
    // SAFETY: it gives a constant of the library, which is never unloaded.
    unsafe { CStr::from_ptr(XML_ExpatVersion()) }.to_string_lossy()
}

/// A parser that is freed when it is dropped.
struct Parser(*mut Opaque);

impl Parser {
    fn new() -> Self {
        // SAFETY: the encoding is a string that ends; the result is looked at.
        let parser =
            unsafe { XML_ParserCreateNS(c"UTF-8".as_ptr(), c_char::from_ne_bytes([SEPARATOR])) };
        assert!(!parser.is_null(), "expat has no memory");
        // SAFETY: the parser lives, and has read nothing yet. The same each time: runs repeat.
        unsafe { XML_SetHashSalt(parser, 1) };
        Self(parser)
    }

    /// Reads a piece, or gives the code of what is wrong and the byte where it lies.
    fn push(&self, piece: &[u8], last: bool) -> Result<(), (c_uint, usize)> {
        let len = c_int::try_from(piece.len()).expect("a short piece");
        // SAFETY: the parser lives, and the piece is as long as is said.
        let status = unsafe { XML_Parse(self.0, piece.as_ptr().cast(), len, c_int::from(last)) };
        if status == 1 {
            return Ok(());
        }
        // SAFETY: the parser lives.
        let (code, at) = unsafe { (XML_GetErrorCode(self.0), XML_GetCurrentByteIndex(self.0)) };
        Err((code, usize::try_from(at).unwrap_or(0)))
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: it lives, and this is the last of it.
        unsafe { XML_ParserFree(self.0) };
    }
}

/// What expat hands to each of the functions below.
struct Context<'h> {
    parser: *mut Opaque,
    handler: &'h mut dyn Handler,
}

impl Context<'_> {
    /// # Safety
    /// The data is what [`parse`] gave to the parser that calls, and nobody else has it.
    unsafe fn of<'a>(data: *mut c_void) -> &'a mut Self {
        // SAFETY: as the caller warrants.
        unsafe { &mut *data.cast() }
    }

    fn stop(&mut self) {
        // SAFETY: the parser lives, since it is what calls.
        unsafe { XML_StopParser(self.parser, 0) };
    }
}

/// # Safety
/// A string that ends, and lives for `'a`.
unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: as the caller warrants.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

fn name(bytes: &[u8]) -> Name<'_> {
    let at = bytes.iter().position(|&byte| byte == SEPARATOR);
    let (ns, name) = at.map_or((&[][..], bytes), |at| (&bytes[..at], &bytes[at + 1..]));
    (String::from_utf8_lossy(ns), String::from_utf8_lossy(name))
}

// Called by expat, from within `XML_Parse`, with what it says in its header: the user data, and
// strings that end and live as long as the call. What panics here ends the process.

unsafe extern "C" fn start(data: *mut c_void, own: *const c_char, attrs: *mut *const c_char) {
    let mut list = Vec::new();
    // SAFETY: see above. Names and values alternate, and after the last comes a null.
    unsafe {
        let mut next = attrs;
        while !(*next).is_null() {
            let value = String::from_utf8_lossy(bytes(*next.add(1)));
            list.push((name(bytes(*next)), value));
            next = next.add(2);
        }
        Context::of(data).handler.start(name(bytes(own)), list);
    }
}

unsafe extern "C" fn end(data: *mut c_void, _: *const c_char) {
    // SAFETY: see above.
    unsafe { Context::of(data) }.handler.end();
}

unsafe extern "C" fn text(data: *mut c_void, text: *const c_char, len: c_int) {
    let len = usize::try_from(len).expect("a length");
    // SAFETY: see above; the text has no end but its length.
    let (context, text) = unsafe { (Context::of(data), slice::from_raw_parts(text.cast(), len)) };
    context.handler.text(&String::from_utf8_lossy(text));
}

unsafe extern "C" fn comment(data: *mut c_void, _: *const c_char) {
    // SAFETY: see above.
    unsafe { Context::of(data) }.stop();
}

unsafe extern "C" fn instruction(data: *mut c_void, _: *const c_char, _: *const c_char) {
    // SAFETY: see above.
    unsafe { Context::of(data) }.stop();
}

unsafe extern "C" fn document_type(
    data: *mut c_void,
    _: *const c_char,
    _: *const c_char,
    _: *const c_char,
    _: c_int,
) {
    // SAFETY: see above.
    unsafe { Context::of(data) }.stop();
}

/// `struct XML_ParserStruct`.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

type Start = unsafe extern "C" fn(*mut c_void, *const c_char, *mut *const c_char);
type End = unsafe extern "C" fn(*mut c_void, *const c_char);
type Text = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);
type Comment = unsafe extern "C" fn(*mut c_void, *const c_char);
type Instruction = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char);
type DocumentType =
    unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, *const c_char, c_int);

#[link(name = "expat")]
unsafe extern "C" {
    fn XML_ParserCreateNS(encoding: *const c_char, separator: c_char) -> *mut Opaque;
    fn XML_ParserFree(parser: *mut Opaque);
    fn XML_SetHashSalt(parser: *mut Opaque, salt: c_ulong) -> c_int;
    fn XML_SetUserData(parser: *mut Opaque, data: *mut c_void);
    fn XML_SetElementHandler(parser: *mut Opaque, start: Option<Start>, end: Option<End>);
    fn XML_SetCharacterDataHandler(parser: *mut Opaque, handler: Option<Text>);
    fn XML_SetCommentHandler(parser: *mut Opaque, handler: Option<Comment>);
    fn XML_SetProcessingInstructionHandler(parser: *mut Opaque, handler: Option<Instruction>);
    fn XML_SetStartDoctypeDeclHandler(parser: *mut Opaque, handler: Option<DocumentType>);
    fn XML_Parse(parser: *mut Opaque, piece: *const c_char, len: c_int, last: c_int) -> c_uint;
    fn XML_StopParser(parser: *mut Opaque, resumable: c_uchar) -> c_uint;
    fn XML_GetErrorCode(parser: *mut Opaque) -> c_uint;
    fn XML_GetCurrentByteIndex(parser: *mut Opaque) -> c_long;
    fn XML_ErrorString(code: c_uint) -> *const c_char;
    fn XML_ExpatVersion() -> *const c_char;
}
