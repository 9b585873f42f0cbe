//! From bytes in pieces of any size to whole, checked stanzas.
//!
//! Implements XML 1.0 (5th ed.) and Namespaces in XML 1.0 (3rd ed.) as RFC 6120,
//! section 11, restricts them, and the framing of its section 4: the stream
//! header, its children, its end. Every byte is looked at once, but those of a
//! tag that comes in several pieces: they are kept, and read when the tag is
//! whole, and at 256 bytes, 512, and so on, to find faults in time. So the work
//! is linear whatever the pieces.
//!
//! quick-xml does two things here. Its `ElementParser` finds the end of a start
//! tag, across pieces, past `>` in quotes; and it knows the five predefined
//! entities. It judges nothing: names, attributes, characters, references,
//! namespaces, nesting and limits are checked by this module, because what
//! quick-xml takes for a tag is far more than XML allows.
//!
//! What it does not do: validate, resolve `xml:lang` inheritance, judge the
//! stream header's attributes, or know what stanzas there are.

use alloc::vec::Vec;

use memchr::{memchr, memchr2};
use quick_xml::parser::{ElementParser, Parser};

use super::element::Element;
use super::error::{Refused, XmlError, XmlFault};
use super::reference::{self, Reference};
use super::scope::Scope;
use super::tag::{self, Tag};
use super::tape::{Mark, Name, Node, Tape, index};
use super::text::Run;
use super::{chars, declaration};
use crate::limits::XmlLimits;
use crate::ns;

/// The most bytes of a stanza, whatever the limits say: 1 GiB.
const STANZA_BYTES: usize = 1 << 30;
/// A tag in pieces is read for the first time when this much of it is there.
const FIRST_LOOK: usize = 256;

/// What the framer found.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// The opening tag of the stream, with its attributes and no children.
    Open(Element<'a>),
    /// A whole child of the stream, in whatever namespace.
    Stanza(Element<'a>),
    /// The closing tag of the stream. It comes once; what is read after it is
    /// ignored.
    Close,
}

/// Takes bytes, gives frames.
///
/// What it accepts is namespace-well-formed XML in UTF-8 without what XMPP
/// forbids, within the limits. Memory is bounded by them and, once grown,
/// reused: a stanza like the last ones allocates nothing.
///
/// ```
/// use parley_xmpp::xml::{Frame, Framer};
/// use parley_xmpp::XmlLimits;
///
/// let mut framer = Framer::new(XmlLimits::default());
/// let mut rest: &[u8] = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' \
///     xmlns='jabber:client'><message><body>1 &lt; 2</body></message>";
/// let mut bodies = 0;
/// while !rest.is_empty() {
///     let (read, found) = framer.push(rest);
///     rest = &rest[read..];
///     if let Some(Ok(Frame::Stanza(stanza))) = found {
///         let body = stanza.child("body", "jabber:client").unwrap();
///         assert_eq!(body.text(), "1 < 2");
///         bodies += 1;
///     }
/// }
/// assert_eq!(bodies, 1);
/// ```
#[derive(Debug)]
pub struct Framer {
    limits: XmlLimits,
    state: State,
    /// Bytes of this stream read so far.
    offset: u64,
    /// Those of them since the frame began.
    frame_bytes: usize,
    idle: usize,

    tape: Tape,
    scope: Scope,
    open: Vec<Open>,
    /// The name of the stream's root, once there is one.
    root: Option<Name>,
    /// What of the tape and the scope outlasts a stanza: the header's.
    base: Mark,
    base_bindings: usize,

    /// The start of a tag or an XML declaration that comes in pieces.
    carry: Vec<u8>,
    /// How much of the tag was looked at, a power of two.
    looked: usize,
    /// The start of a reference in text that comes in pieces.
    partial: [u8; reference::LONGEST],
    partial_len: usize,
    run: Run,
    /// The last node is a text that what comes next is a part of.
    in_text: bool,
}

/// An element whose end tag has not come.
#[derive(Clone, Copy, Debug)]
struct Open {
    node: u32,
    /// Bindings in scope around it.
    bindings: usize,
}

/// What the next byte is a part of.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The first byte of the stream.
    Start,
    /// After this many bytes of U+FEFF at the start.
    ByteOrderMark(usize),
    /// Before the header, after something.
    Prolog { declared: bool },
    /// After the `<?` at the very start.
    Declaration,
    /// Between stanzas.
    Between,
    /// Text within an element.
    Text,
    /// After `&` in text.
    Reference,
    /// After `<`.
    Less { first: bool },
    /// In a start tag.
    Tag(ElementParser),
    /// Before the `>` of a stream header that ends in `/>`.
    SelfClosed,
    /// After `</` and this many bytes of the name that must come.
    EndTag(usize),
    /// After the name of an end tag.
    EndTagName,
    /// After the name of an end tag and white space.
    EndTagSpace,
    /// After `<!`.
    Bang,
    /// After `<![` and this many bytes of `CDATA[`.
    CDataWord(usize),
    /// In a CDATA section, after this many brackets, at most two.
    CData(usize),
    /// After the end of the stream.
    Closed,
    /// After an error.
    Failed(XmlError),
}

/// A frame without its borrow.
#[derive(Clone, Copy, Debug)]
enum Found {
    Open,
    Stanza,
    Close,
}

/// How many bytes a step took, and what they completed.
type Step = Result<(usize, Option<Found>), Refused>;

impl Framer {
    /// A framer at the start of a stream.
    #[must_use]
    pub fn new(limits: XmlLimits) -> Self {
        let mut framer = Self {
            limits,
            state: State::Start,
            offset: 0,
            frame_bytes: 0,
            idle: 0,
            tape: Tape::default(),
            scope: Scope::default(),
            open: Vec::new(),
            root: None,
            base: Mark::default(),
            base_bindings: 0,
            carry: Vec::new(),
            looked: 0,
            partial: [0; reference::LONGEST],
            partial_len: 0,
            run: Run::default(),
            in_text: false,
        };
        framer.restart();
        framer
    }

    /// Forgets everything, errors included: the next byte is the first of a new
    /// stream. RFC 6120, section 4.3.3. The memory is kept.
    pub fn restart(&mut self) {
        self.state = State::Start;
        self.offset = 0;
        self.frame_bytes = 0;
        self.idle = 0;
        self.tape.rewind(Mark::default());
        self.scope.restart(&mut self.tape);
        self.open.clear();
        self.root = None;
        self.base = self.tape.mark();
        self.base_bindings = 0;
        self.carry.clear();
        self.looked = 0;
        self.partial_len = 0;
        self.run = Run::default();
        self.in_text = false;
    }

    /// Reads on, up to the end of the next frame and not a byte further.
    ///
    /// Returns how many of `bytes` were read and what they completed. With
    /// `None`, all of them were. After an error every call returns `(0, Err)`
    /// with that error. The same bytes give the same frames and the same error,
    /// however they are cut.
    ///
    /// A call can read nothing and yet give a frame: a stream header that ends
    /// in `/>` is [`Frame::Open`] before its `>`, which is then [`Frame::Close`].
    /// Going on while there are bytes always comes to an end.
    ///
    /// A fault in a start tag that never ends is found when the tag is twice as
    /// long as it is at the fault, but not before 256 bytes of it; any other at
    /// once.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Frame<'_>, XmlError>>) {
        if let State::Failed(error) = self.state {
            return (0, Some(Err(error)));
        }
        let began = self.offset;
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok((n, found)) => {
                    taken += n;
                    self.offset += n as u64;
                    if let Some(found) = found {
                        return (taken, Some(Ok(self.frame(found))));
                    }
                }
                Err(Refused { fault, at }) => {
                    let error = XmlError { fault, offset: at };
                    self.state = State::Failed(error);
                    let good = usize::try_from(at.saturating_sub(began)).unwrap_or(usize::MAX);
                    return (good.min(bytes.len()), Some(Err(error)));
                }
            }
        }
        (taken, None)
    }

    /// Whether the last byte read was the end of a frame, or nothing but white
    /// space came after it: if not, an end of input here is a truncation.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(
            self.state,
            State::Start | State::Prolog { declared: false } | State::Between | State::Closed
        )
    }

    /// Bytes of white space read since the last frame.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.idle
    }

    /// Bytes of memory that are held, whether in use or not.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.tape.allocated()
            + self.scope.allocated()
            + self.carry.capacity()
            + self.open.capacity() * size_of::<Open>()
    }

    fn frame(&self, found: Found) -> Frame<'_> {
        match found {
            Found::Open => Frame::Open(Element::new(&self.tape, 0)),
            Found::Stanza => Frame::Stanza(Element::new(&self.tape, 0)),
            Found::Close => Frame::Close,
        }
    }

    /// Reads what goes together of `rest`, which is not empty.
    fn step(&mut self, rest: &[u8]) -> Step {
        match self.state {
            State::Between => return self.between(rest),
            State::Closed => return Ok((rest.len(), None)),
            _ => {}
        }
        let room = self
            .limits
            .stanza_bytes
            .min(STANZA_BYTES)
            .saturating_sub(self.frame_bytes);
        let window = rest.get(..room).unwrap_or(rest);
        let Some(&byte) = window.first() else {
            return Err(self.too_long());
        };
        let step = match self.state {
            State::Start => self.start(byte),
            State::ByteOrderMark(matched) => self.byte_order_mark(byte, matched),
            State::Prolog { .. } => self.prolog(byte),
            State::Declaration => self.declaration(byte),
            State::Text => self.text(window),
            State::Reference => self.reference(window),
            State::Less { first } => self.less(byte, first),
            State::Tag(parser) => self.tag(window, parser),
            State::EndTag(matched) => self.end_tag(window, matched),
            State::EndTagName => self.end_tag_name(byte),
            State::EndTagSpace => self.end_tag_space(byte),
            State::Bang => self.bang(byte),
            State::CDataWord(matched) => self.cdata_word(byte, matched),
            State::CData(brackets) => self.cdata(window, byte, brackets),
            State::SelfClosed => Ok((1, Some(self.close_stream()))),
            State::Between | State::Closed => Ok((rest.len(), None)),
            State::Failed(error) => Err(Refused::new(error.fault, error.offset)),
        };
        let (n, found) = step?;
        if found.is_some() {
            self.frame_bytes = 0;
            self.idle = 0;
        } else {
            self.frame_bytes += n;
        }
        Ok((n, found))
    }

    /// The stanza has more bytes than it may. A fault that is in them goes first.
    fn too_long(&mut self) -> Refused {
        let too_long = Refused::new(XmlFault::StanzaTooLong, self.offset);
        match self.state {
            State::Tag(_) => self.look(self.carry.len()).err().unwrap_or(too_long),
            _ => too_long,
        }
    }

    const fn refuse<T>(&self, fault: XmlFault) -> Result<T, Refused> {
        Err(Refused::new(fault, self.offset))
    }

    const fn go(&mut self, n: usize, state: State) -> Step {
        self.state = state;
        Ok((n, None))
    }
}

/// Before the header, and between stanzas.
impl Framer {
    fn start(&mut self, byte: u8) -> Step {
        match byte {
            b'<' => self.go(1, State::Less { first: true }),
            0xEF => self.go(1, State::ByteOrderMark(1)),
            // The first bytes of UTF-16 and UTF-32, with or without a mark.
            0xFE | 0xFF | 0 => self.refuse(XmlFault::ForeignEncoding),
            _ => self.prolog(byte),
        }
    }

    fn byte_order_mark(&mut self, byte: u8, matched: usize) -> Step {
        let began = self.offset - matched as u64;
        match (matched, byte) {
            (1, 0xBB) => self.go(1, State::ByteOrderMark(2)),
            (2, 0xBF) => Err(Refused::new(XmlFault::ByteOrderMark, began)),
            _ => Err(Refused::new(XmlFault::TextBeforeHeader, began)),
        }
    }

    fn prolog(&mut self, byte: u8) -> Step {
        let declared = matches!(self.state, State::Prolog { declared: true });
        if chars::is_space(byte) {
            self.idle = self.idle.saturating_add(1);
            return self.go(1, State::Prolog { declared });
        }
        match byte {
            b'<' => self.go(1, State::Less { first: false }),
            _ => self.refuse(XmlFault::TextBeforeHeader),
        }
    }

    fn declaration(&mut self, byte: u8) -> Step {
        let at = self.carry.len();
        match b"xml".get(at) {
            Some(&letter) if letter != byte => return self.refuse(XmlFault::ProcessingInstruction),
            None if at == 3 && byte == b'?' => return self.refuse(XmlFault::DeclarationSyntax),
            None if at == 3 && !chars::is_space(byte) => {
                return self.refuse(XmlFault::ProcessingInstruction);
            }
            _ => {}
        }
        if at + "<?".len() == declaration::LONGEST {
            return self.refuse(XmlFault::DeclarationTooLong);
        }
        self.carry.push(byte);
        let Some(content) = self.carry.strip_suffix(b"?>").and_then(|c| c.get(3..)) else {
            return Ok((1, None));
        };
        if let Err((fault, within)) = declaration::check(content) {
            let content_at = (self.offset + 1).saturating_sub((content.len() + 2) as u64);
            return Err(Refused::new(fault, content_at + within as u64));
        }
        self.carry.clear();
        self.go(1, State::Prolog { declared: true })
    }

    fn between(&mut self, rest: &[u8]) -> Step {
        let space = rest.iter().take_while(|&&b| chars::is_space(b)).count();
        self.idle = self.idle.saturating_add(space);
        match rest.get(space) {
            _ if space > 0 => Ok((space, None)),
            Some(b'<') => {
                self.tape.rewind(self.base);
                self.scope.truncate(self.base_bindings);
                self.in_text = false;
                self.frame_bytes = 1;
                self.go(1, State::Less { first: false })
            }
            _ => self.refuse(XmlFault::TextBetweenStanzas),
        }
    }
}

/// Markup.
impl Framer {
    fn less(&mut self, byte: u8, first: bool) -> Step {
        match byte {
            b'/' if self.root.is_none() => return self.refuse(XmlFault::UnexpectedEndTag),
            b'/' => return self.go(1, State::EndTag(0)),
            b'!' => return self.go(1, State::Bang),
            b'?' if first => {
                self.carry.clear();
                return self.go(1, State::Declaration);
            }
            b'?' => return self.refuse(XmlFault::ProcessingInstruction),
            0 if first => return self.refuse(XmlFault::ForeignEncoding),
            _ if !byte.is_ascii() || chars::is_name_start(char::from(byte)) => {}
            _ if !chars::is_char(char::from(byte)) => {
                return self.refuse(XmlFault::ForbiddenCharacter);
            }
            _ => return self.refuse(XmlFault::MalformedName),
        }
        if self.root.is_some() {
            if self.open.len() >= self.limits.depth {
                return self.refuse(XmlFault::TooDeep);
            }
            if self.tape.nodes.len() >= self.limits.nodes {
                return self.refuse(XmlFault::TooManyNodes);
            }
        }
        self.in_text = false;
        self.carry.clear();
        self.looked = 0;
        // That byte is the first of the tag.
        self.go(0, State::Tag(ElementParser::default()))
    }

    fn tag(&mut self, window: &[u8], mut parser: ElementParser) -> Step {
        let (bytes, whole) = match parser.feed(window) {
            Some(last) => (window.get(..=last).unwrap_or(window), true),
            None => (window, false),
        };
        let began = self.offset - self.carry.len() as u64;
        let bindings = self.scope.len();
        if !whole {
            self.carry.extend_from_slice(bytes);
            let reach = 1_usize << self.carry.len().ilog2();
            if reach >= FIRST_LOOK && reach > self.looked {
                self.looked = reach;
                // Faults are counted from the start of the tag, `offset` is not there yet.
                self.look_from(began, reach)?;
            }
            return self.go(bytes.len(), State::Tag(parser));
        }
        let tag = if self.carry.is_empty() {
            bytes
        } else {
            self.carry.extend_from_slice(bytes);
            &self.carry
        };
        match tag::read(tag, true, &mut self.tape, &mut self.scope, &self.limits) {
            Ok(Some(tag)) => self.opened(tag, bytes.len(), bindings),
            Ok(None) => self.refuse(XmlFault::MalformedName),
            Err((fault, at)) => Err(Refused::new(fault, began + at as u64)),
        }
    }

    /// Reads the first bytes of a tag whose end has not come, only for faults.
    fn look(&mut self, reach: usize) -> Result<(), Refused> {
        self.look_from(self.offset - self.carry.len() as u64, reach)
    }

    fn look_from(&mut self, began: u64, reach: usize) -> Result<(), Refused> {
        let (mark, bindings) = (self.tape.mark(), self.scope.len());
        let bytes = self.carry.get(..reach).unwrap_or(&self.carry);
        let seen = tag::read(bytes, false, &mut self.tape, &mut self.scope, &self.limits);
        self.tape.rewind(mark);
        self.scope.truncate(bindings);
        match seen {
            Ok(_) => Ok(()),
            Err((fault, at)) => Err(Refused::new(fault, began + at as u64)),
        }
    }

    /// A start tag of which `n` bytes are in this step, the `>` being the last.
    fn opened(&mut self, tag: Tag, n: usize, bindings: usize) -> Step {
        let last = self.offset + (n as u64).saturating_sub(1);
        let in_stream_ns = self.tape.str(tag.ns) == ns::STREAM;
        let is_stream = in_stream_ns && self.tape.str(tag.name.local()) == "stream";
        let fault = match self.root {
            None if !in_stream_ns => Some(XmlFault::WrongStreamNamespace),
            None if !is_stream => Some(XmlFault::NotAStream),
            Some(_) if is_stream && self.open.is_empty() => Some(XmlFault::SecondHeader),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(Refused::new(fault, last));
        }
        let node = index(self.tape.nodes.len());
        let Tag {
            ns,
            name,
            attrs,
            empty,
        } = tag;
        self.tape.nodes.push(Node::Element {
            ns,
            name,
            attrs,
            end: node.saturating_add(1),
        });
        if self.root.is_none() {
            self.root = Some(name);
            self.base = self.tape.mark_without_nodes();
            self.base_bindings = self.scope.len();
            self.state = if empty {
                State::SelfClosed
            } else {
                State::Between
            };
            return Ok((n.saturating_sub(usize::from(empty)), Some(Found::Open)));
        }
        self.state = State::Text;
        if !empty {
            self.open.push(Open { node, bindings });
            return Ok((n, None));
        }
        self.scope.truncate(bindings);
        Ok((n, self.stanza_if_closed()))
    }

    fn end_tag(&mut self, window: &[u8], matched: usize) -> Step {
        let name = match self.open.last() {
            None => self.root.unwrap_or_default(),
            Some(open) => match self.tape.nodes.get(open.node as usize) {
                Some(&Node::Element { name, .. }) => name,
                _ => Name::default(),
            },
        };
        let name = self.tape.str(name.whole()).as_bytes();
        let due = name.get(matched..).unwrap_or_default();
        let same = due.iter().zip(window).take_while(|(a, b)| a == b).count();
        if same == due.len() {
            return self.go(same, State::EndTagName);
        }
        if same < window.len() {
            return Err(Refused::new(
                XmlFault::MismatchedEndTag,
                self.offset + same as u64,
            ));
        }
        self.go(same, State::EndTag(matched + same))
    }

    fn end_tag_name(&mut self, byte: u8) -> Step {
        let more = !byte.is_ascii() || byte == b':' || chars::is_name_char(char::from(byte));
        if more {
            return self.refuse(XmlFault::MismatchedEndTag);
        }
        self.end_tag_space(byte)
    }

    fn end_tag_space(&mut self, byte: u8) -> Step {
        if chars::is_space(byte) {
            return self.go(1, State::EndTagSpace);
        }
        if byte != b'>' {
            return self.refuse(XmlFault::MalformedEndTag);
        }
        self.in_text = false;
        let Some(open) = self.open.pop() else {
            return Ok((1, Some(self.close_stream())));
        };
        self.tape.close(open.node);
        self.scope.truncate(open.bindings);
        self.state = State::Text;
        Ok((1, self.stanza_if_closed()))
    }

    fn stanza_if_closed(&mut self) -> Option<Found> {
        if !self.open.is_empty() {
            return None;
        }
        self.state = State::Between;
        Some(Found::Stanza)
    }

    const fn close_stream(&mut self) -> Found {
        self.state = State::Closed;
        Found::Close
    }

    fn bang(&mut self, byte: u8) -> Step {
        match byte {
            b'-' => self.refuse(XmlFault::Comment),
            b'D' | b'd' => self.refuse(XmlFault::DocumentType),
            b'[' if self.root.is_none() => self.refuse(XmlFault::TextBeforeHeader),
            b'[' if self.open.is_empty() => self.refuse(XmlFault::TextBetweenStanzas),
            b'[' => self.go(1, State::CDataWord(0)),
            _ => self.refuse(XmlFault::MalformedMarkup),
        }
    }
}

/// Character data.
impl Framer {
    fn text(&mut self, window: &[u8]) -> Step {
        let stop = memchr2(b'<', b'&', window);
        let piece = window
            .get(..stop.unwrap_or(window.len()))
            .unwrap_or_default();
        self.take(piece, stop.is_some(), false)?;
        let Some(stop) = stop else {
            return Ok((piece.len(), None));
        };
        if window.get(stop) == Some(&b'<') {
            return self.go(stop + 1, State::Less { first: false });
        }
        self.partial_len = 0;
        self.check_nodes(stop)?;
        self.go(stop + 1, State::Reference)
    }

    fn reference(&mut self, window: &[u8]) -> Step {
        let before = self.partial_len;
        let mut len = before;
        for (slot, byte) in self.partial.iter_mut().skip(before).zip(window) {
            *slot = *byte;
            len += 1;
        }
        self.partial_len = len;
        match reference::read(self.partial.get(..len).unwrap_or_default()) {
            Reference::Partial => Ok((len - before, None)),
            Reference::Is(c, used) => {
                self.append(c.encode_utf8(&mut [0; 4]));
                self.go(used.saturating_sub(before), State::Text)
            }
            Reference::Refused(fault, at) => Err(Refused::new(
                fault,
                (self.offset + at as u64).saturating_sub(before as u64),
            )),
        }
    }

    fn cdata_word(&mut self, byte: u8, matched: usize) -> Step {
        match b"CDATA[".get(matched) {
            Some(&due) if due != byte => self.refuse(XmlFault::MalformedMarkup),
            Some(b'[') => self.go(1, State::CData(0)),
            _ => self.go(1, State::CDataWord(matched + 1)),
        }
    }

    fn cdata(&mut self, window: &[u8], byte: u8, brackets: usize) -> Step {
        match (brackets, byte) {
            (0, _) => {
                let stop = memchr(b']', window);
                let piece = window
                    .get(..stop.unwrap_or(window.len()))
                    .unwrap_or_default();
                self.take(piece, stop.is_some(), true)?;
                match stop {
                    Some(stop) => self.go(stop + 1, State::CData(1)),
                    None => Ok((piece.len(), None)),
                }
            }
            (1, b']') => self.go(1, State::CData(2)),
            (_, b']') => {
                self.check_nodes(0)?;
                self.append("]");
                Ok((1, None))
            }
            (2, b'>') => self.go(1, State::Text),
            _ => {
                self.check_nodes(0)?;
                self.append(if brackets == 1 { "]" } else { "]]" });
                self.go(0, State::CData(0))
            }
        }
    }

    /// Reads a piece of text.
    fn take(&mut self, piece: &[u8], ended: bool, cdata: bool) -> Result<(), Refused> {
        if !piece.is_empty() {
            self.check_nodes(0)?;
        }
        let start = self.tape.here();
        if let Err((fault, at)) = self.run.take(piece, ended, cdata, &mut self.tape.text) {
            return Err(Refused::new(
                fault,
                self.offset.saturating_add_signed(at as i64),
            ));
        }
        self.appended(start);
        Ok(())
    }

    fn append(&mut self, text: &str) {
        let start = self.tape.here();
        self.tape.text.push_str(text);
        self.appended(start);
    }

    fn appended(&mut self, start: u32) {
        if self.tape.here() > start {
            self.tape.push_text(start, self.in_text);
            self.in_text = true;
        }
    }

    /// Refuses the byte that is `ahead` where it would begin a text too many.
    fn check_nodes(&self, ahead: usize) -> Result<(), Refused> {
        if self.in_text || self.tape.nodes.len() < self.limits.nodes {
            return Ok(());
        }
        Err(Refused::new(
            XmlFault::TooManyNodes,
            self.offset + ahead as u64,
        ))
    }
}
