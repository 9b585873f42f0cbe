//! Views of a checked stanza, borrowed from the framer.

use alloc::vec::Vec;
use core::fmt;

use super::tape::{Attr, Name, Node, Span, Tape};
use super::writer;
use crate::ns;

/// An element of a checked stanza. Copying it copies a reference.
///
/// `Display` and `Debug` write it as XML that parses back to the same element, given room:
/// namespaces as defaults, attributes in document order, each with a declaration of its own
/// where its name has a namespace. That and what has to be escaped can take more than the
/// limits under which it was read. They do not recurse.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    tape: &'a Tape,
    node: u32,
}

/// Something within an element.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A child element.
    Element(Element<'a>),
    /// Text between two tags, never empty, however it was spelled: references
    /// are resolved and CDATA sections are nothing special.
    Text(&'a str),
}

impl<'a> Element<'a> {
    pub(super) const fn new(tape: &'a Tape, node: u32) -> Self {
        Self { tape, node }
    }

    /// The local name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.tape.str(self.parts().name.local())
    }

    /// The namespace; empty where there is none.
    #[must_use]
    pub fn ns(&self) -> &'a str {
        self.tape.str(self.parts().ns)
    }

    /// Whether this is element `name` of namespace `ns`.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// The value of the attribute `name` that has no namespace, references resolved.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&'a str> {
        self.attr_ns(name, "")
    }

    /// The value of the attribute `name` of namespace `ns`.
    ///
    /// An attribute without a prefix has no namespace, whatever that of its
    /// element. Namespaces in XML 1.0, section 6.2.
    #[must_use]
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&'a str> {
        self.attrs()
            .find(|&(n, local, _)| local == name && n == ns)
            .map(|(_, _, value)| value)
    }

    /// All attributes but namespace declarations, in document order.
    #[must_use]
    pub fn attrs(&self) -> Attributes<'a> {
        let (from, to) = self.parts().attrs;
        let list = self
            .tape
            .attrs
            .get(from as usize..to as usize)
            .unwrap_or_default();
        Attributes {
            tape: self.tape,
            list: list.iter(),
        }
    }

    /// The child elements, in document order.
    #[must_use]
    pub fn children(&self) -> Children<'a> {
        Children {
            contents: self.contents(),
        }
    }

    /// The child elements and the texts between them, in document order.
    #[must_use]
    pub fn contents(&self) -> Contents<'a> {
        Contents {
            tape: self.tape,
            next: self.node.saturating_add(1),
            end: self.parts().end,
        }
    }

    /// The first child element `name` of namespace `ns`.
    #[must_use]
    pub fn child(&self, name: &str, ns: &str) -> Option<Self> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The text right within this element: all of it where there are no child
    /// elements; else the first run that is not empty, be it only the white space
    /// before the first child; empty where there is none. [`contents`](Self::contents)
    /// has every run.
    #[must_use]
    pub fn text(&self) -> &'a str {
        let mut texts = self.contents().filter_map(|content| match content {
            Content::Text(text) => Some(text),
            Content::Element(_) => None,
        });
        texts.next().unwrap_or_default()
    }

    /// Whether anything but white space and the child elements stands right within.
    #[must_use]
    pub fn has_text(&self) -> bool {
        let blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
        self.contents().any(|content| match content {
            Content::Text(text) => !text.chars().all(blank),
            Content::Element(_) => false,
        })
    }

    fn parts(&self) -> Parts {
        match self.tape.nodes.get(self.node as usize) {
            Some(&Node::Element {
                ns,
                name,
                attrs,
                end,
            }) => Parts {
                ns,
                name,
                attrs,
                end,
            },
            _ => Parts::default(),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Parts {
    ns: Span,
    name: Name,
    attrs: (u32, u32),
    end: u32,
}

/// Iterates over the child elements of an element.
#[derive(Clone)]
pub struct Children<'a> {
    contents: Contents<'a>,
}

impl<'a> Iterator for Children<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.contents.find_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text(_) => None,
        })
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Iterates over the child elements and texts of an element. A child is passed
/// by in one step, whatever is within.
#[derive(Clone)]
pub struct Contents<'a> {
    tape: &'a Tape,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Contents<'a> {
    type Item = Content<'a>;

    fn next(&mut self) -> Option<Content<'a>> {
        if self.next >= self.end {
            return None;
        }
        let node = self.next;
        match *self.tape.nodes.get(node as usize)? {
            Node::Element { end, .. } => {
                self.next = end;
                Some(Content::Element(Element::new(self.tape, node)))
            }
            Node::Text(span) => {
                self.next = self.next.saturating_add(1);
                Some(Content::Text(self.tape.str(span)))
            }
        }
    }
}

impl fmt::Debug for Contents<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Iterates over attributes as (namespace, name, value).
#[derive(Clone)]
pub struct Attributes<'a> {
    tape: &'a Tape,
    list: core::slice::Iter<'a, Attr>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let attr = self.list.next()?;
        let str = |span| self.tape.str(span);
        Some((str(attr.ns), str(attr.name.local()), str(attr.value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// An element whose end tag is to be written yet.
        struct Open<'a> {
            contents: Contents<'a>,
            element: Element<'a>,
            default: &'a str,
        }
        let default = write_start(f, *self, "")?;
        let mut open = Vec::new();
        let mut current = Open {
            contents: self.contents(),
            element: *self,
            default,
        };
        if current.contents.next >= current.contents.end {
            return f.write_str("/>");
        }
        f.write_str(">")?;
        loop {
            match current.contents.next() {
                Some(Content::Text(text)) => write_escaped(f, text, false)?,
                Some(Content::Element(element)) => {
                    let default = write_start(f, element, current.default)?;
                    let contents = element.contents();
                    if contents.next >= contents.end {
                        f.write_str("/>")?;
                        continue;
                    }
                    f.write_str(">")?;
                    open.push(core::mem::replace(
                        &mut current,
                        Open {
                            contents,
                            element,
                            default,
                        },
                    ));
                }
                None => {
                    write!(
                        f,
                        "</{}{}>",
                        prefix(current.element.ns()),
                        current.element.name()
                    )?;
                    match open.pop() {
                        Some(outer) => current = outer,
                        None => return Ok(()),
                    }
                }
            }
        }
    }
}

/// Writes a start tag without its end, where `outer` is the default namespace;
/// gives the one that holds within.
fn write_start<'a>(
    f: &mut fmt::Formatter<'_>,
    element: Element<'a>,
    outer: &'a str,
) -> Result<&'a str, fmt::Error> {
    let ns = element.ns();
    write!(f, "<{}{}", prefix(ns), element.name())?;
    // The one namespace that cannot be a default has a prefix always.
    let default = if ns == ns::XML { outer } else { ns };
    if default != outer {
        f.write_str(" xmlns='")?;
        write_escaped(f, default, true)?;
        f.write_str("'")?;
    }
    for (i, (ns, name, value)) in element.attrs().enumerate() {
        if ns.is_empty() || ns == ns::XML {
            write!(f, " {}{name}='", prefix(ns))?;
        } else {
            write!(f, " xmlns:n{i}='")?;
            write_escaped(f, ns, true)?;
            write!(f, "' n{i}:{name}='")?;
        }
        write_escaped(f, value, true)?;
        f.write_str("'")?;
    }
    Ok(default)
}

fn prefix(ns: &str) -> &'static str {
    if ns == ns::XML { "xml:" } else { "" }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str, in_attribute: bool) -> fmt::Result {
    let mut rest = text;
    while let Some((plain, escape, after)) = writer::next_escape(rest, in_attribute) {
        f.write_str(plain)?;
        f.write_str(escape)?;
        rest = after;
    }
    f.write_str(rest)
}
