//! The framer at markup: tags, and what else begins with `<`.

use quick_xml::parser::{ElementParser, Parser};

use super::{FIRST_LOOK, Found, Framer, Open, State, Step};
use crate::ns;
use crate::xml::chars;
use crate::xml::error::{Refused, XmlFault};
use crate::xml::tag::{self, Progress, Tag};
use crate::xml::tape::{Name, Node, index};

impl Framer {
    pub(super) fn less(&mut self, byte: u8, first: bool) -> Step {
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
        self.reading = Progress::begin(&self.tape, &self.scope, &self.limits);
        self.looked = 0;
        self.next_look = FIRST_LOOK.min(self.reading.due(0));
        self.awaited = Some(self.reading.awaited());
        // That byte is the first of the tag.
        self.go(0, State::Tag(ElementParser::default()))
    }

    pub(super) fn tag(&mut self, window: &[u8], mut parser: ElementParser) -> Step {
        let (bytes, whole) = match parser.feed(window) {
            Some(last) => (window.get(..=last).unwrap_or(window), true),
            None => (window, false),
        };
        let began = self.offset.saturating_sub(self.carry.len() as u64);
        if !whole {
            self.carry.extend_from_slice(bytes);
            // Faults are counted from the start of the tag, `offset` is not there yet.
            self.look_at_tag(began)?;
            return self.go(bytes.len(), State::Tag(parser));
        }
        let tag = if self.carry.is_empty() {
            bytes
        } else {
            self.carry.extend_from_slice(bytes);
            &self.carry
        };
        let (reading, tape, scope) = (&mut self.reading, &mut self.tape, &mut self.scope);
        match tag::read(tag, true, reading, tape, scope, &self.limits) {
            Ok(Some(tag)) => self.opened(tag, bytes.len()),
            Ok(None) => self.refuse(XmlFault::MalformedName),
            Err((fault, at)) => Err(Refused::new(fault, began.saturating_add(at as u64))),
        }
    }

    /// Reads all that there is of a tag whose end will not come, in search of faults.
    pub(super) fn look(&mut self) -> Result<(), Refused> {
        let began = self.offset.saturating_sub(self.carry.len() as u64);
        self.read_first(self.carry.len(), began)
    }

    /// The next look is when the tag is twice as long, or with the byte that may be the first
    /// beyond a limit, which is then refused and not only what comes later. While a name, a gap
    /// or a value is read no limit can be crossed but its own, and what is behind it is not
    /// looked at but awaited. A look goes on where the last one stopped ([`Progress`]), so that
    /// it costs the new bytes and a constant. It is at the same bytes however the tag comes, so
    /// that it tells the same.
    fn look_at_tag(&mut self, began: u64) -> Result<(), Refused> {
        loop {
            self.await_what_is_behind();
            let len = self.next_look;
            if self.carry.len() < len {
                return Ok(());
            }
            self.read_first(len, began)?;
            self.looked = len;
            let twice = len.saturating_mul(2).max(FIRST_LOOK);
            self.next_look = twice.min(self.reading.due(len));
            self.awaited = Some(self.reading.awaited());
        }
    }

    /// Brings the next look forward once that has come behind which limits can be crossed.
    fn await_what_is_behind(&mut self) {
        let Some((awaited, from)) = self.awaited else {
            return;
        };
        let new = self.carry.get(from..).unwrap_or_default();
        let Some(at) = awaited.position(new) else {
            self.awaited = Some((awaited, self.carry.len()));
            return;
        };
        self.awaited = None;
        let due = self
            .reading
            .due_behind(from.saturating_add(at), &self.limits);
        self.next_look = self.next_look.min(due.max(self.looked.saturating_add(1)));
    }

    /// Reads the first `len` bytes of a tag whose end has not come.
    fn read_first(&mut self, len: usize, began: u64) -> Result<(), Refused> {
        let bytes = self.carry.get(..len).unwrap_or_default();
        let (reading, tape, scope) = (&mut self.reading, &mut self.tape, &mut self.scope);
        let read = tag::read(bytes, false, reading, tape, scope, &self.limits);
        read.map(drop)
            .map_err(|(fault, at)| Refused::new(fault, began.saturating_add(at as u64)))
    }

    /// A start tag of which `n` bytes are in this step, the `>` being the last.
    fn opened(&mut self, tag: Tag, n: usize) -> Step {
        let last = self.offset.saturating_add((n as u64).saturating_sub(1));
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
            outer: bindings,
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

    pub(super) fn end_tag(&mut self, window: &[u8], matched: usize) -> Step {
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
                self.offset.saturating_add(same as u64),
            ));
        }
        self.go(same, State::EndTag(matched.saturating_add(same)))
    }

    pub(super) fn end_tag_name(&mut self, byte: u8) -> Step {
        let more = !byte.is_ascii() || byte == b':' || chars::is_name_char(char::from(byte));
        if more {
            return self.refuse(XmlFault::MismatchedEndTag);
        }
        self.end_tag_space(byte)
    }

    pub(super) fn end_tag_space(&mut self, byte: u8) -> Step {
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

    pub(super) const fn close_stream(&mut self) -> Found {
        self.state = State::Closed;
        Found::Close
    }

    pub(super) fn bang(&mut self, byte: u8) -> Step {
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
