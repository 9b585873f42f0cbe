//! From bytes in pieces of any size to whole, checked stanzas.
//!
//! Implements XML 1.0 (5th ed.) and Namespaces in XML 1.0 (3rd ed.) as RFC 6120,
//! section 11, restricts them, and the framing of its section 4: the stream
//! header, its children, its end. Every byte is looked at once, but those of a
//! tag that comes in several pieces: they are kept, and read when there are 256
//! of them, when there are twice as many, and so on, to find faults in time; with
//! the first byte that can be beyond a limit; and when the tag is whole. Each time
//! reading goes on from where it stopped, so the work is linear whatever the pieces.
//!
//! quick-xml does two things here. Its `ElementParser` finds the end of a start
//! tag, across pieces, past `>` in quotes; and it knows the five predefined
//! entities. It judges nothing: names, attributes, characters, references,
//! namespaces, nesting and limits are checked by this module, because what
//! quick-xml takes for a tag is far more than XML allows.
//!
//! What it does not do: validate, resolve `xml:lang` inheritance, judge the
//! stream header's attributes, or know what stanzas there are.

mod data;
mod markup;

use alloc::vec::Vec;

use quick_xml::parser::ElementParser;

use super::element::Element;
use super::error::{Refused, XmlError, XmlFault};
use super::reference;
use super::scope::Scope;
use super::tag::{Awaited, Progress};
use super::tape::{Mark, Name, Tape};
use super::text::Run;
use super::{chars, declaration};
use crate::limits::XmlLimits;

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
    /// How much of the tag there was when it was looked at, and is when it will be.
    looked: usize,
    next_look: usize,
    /// What brings that forward, and from where on it was not looked for.
    awaited: Option<(Awaited, usize)>,
    /// What was made of it at the last look.
    reading: Progress,
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
        let (tape, scope) = (Tape::default(), Scope::default());
        let reading = Progress::begin(&tape, &scope, &limits);
        let mut framer = Self {
            limits,
            state: State::Start,
            offset: 0,
            frame_bytes: 0,
            idle: 0,
            tape,
            scope,
            open: Vec::new(),
            root: None,
            base: Mark::default(),
            base_bindings: 0,
            carry: Vec::new(),
            looked: 0,
            next_look: 0,
            awaited: None,
            reading,
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
        self.next_look = 0;
        self.awaited = None;
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
    /// What is beyond a limit is refused in the call that brings its first byte (or
    /// the last of that character; a declaration too many, with the byte after its
    /// name). Another fault in a start tag that never ends is found when the tag is
    /// twice as long as it is at the fault, but perhaps not before 256 bytes of it;
    /// any other at once.
    pub fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Frame<'_>, XmlError>>) {
        if let State::Failed(error) = self.state {
            return (0, Some(Err(error)));
        }
        let began = self.offset;
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok((n, found)) => {
                    taken = taken.saturating_add(n);
                    self.offset = self.offset.saturating_add(n as u64);
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
        [
            self.tape.allocated(),
            self.scope.allocated(),
            self.carry.capacity(),
            self.open.capacity().saturating_mul(size_of::<Open>()),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    /// Other limits, from the next stanza on.
    #[cfg(test)]
    pub(crate) fn limit(&mut self, limits: XmlLimits) {
        self.limits = limits;
    }

    /// How many bytes of names and namespaces were compared with each other.
    #[cfg(test)]
    pub(crate) fn compared_bytes(&self) -> usize {
        self.tape
            .compared
            .load(core::sync::atomic::Ordering::Relaxed)
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
            self.frame_bytes = self.frame_bytes.saturating_add(n);
        }
        Ok((n, found))
    }

    /// The stanza has more bytes than it may. A fault that is in them goes first.
    fn too_long(&mut self) -> Refused {
        let too_long = Refused::new(XmlFault::StanzaTooLong, self.offset);
        match self.state {
            State::Tag(_) => self.look().err().unwrap_or(too_long),
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
        let began = self.offset.saturating_sub(matched as u64);
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
        if at.saturating_add("<?".len()) == declaration::LONGEST {
            return self.refuse(XmlFault::DeclarationTooLong);
        }
        self.carry.push(byte);
        let Some(content) = self.carry.strip_suffix(b"?>").and_then(|c| c.get(3..)) else {
            return Ok((1, None));
        };
        if let Err((fault, within)) = declaration::check(content) {
            let content_at = self
                .offset
                .saturating_sub((content.len() as u64).saturating_add(1));
            return Err(Refused::new(
                fault,
                content_at.saturating_add(within as u64),
            ));
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
                self.frame_bytes = 1;
                self.go(1, State::Less { first: false })
            }
            _ => self.refuse(XmlFault::TextBetweenStanzas),
        }
    }
}
