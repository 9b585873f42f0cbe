//! What a server sent, as a tree that is kept.

use parley_xmpp::xml::{Content, Element};

/// An element.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) ns: String,
    pub(crate) name: String,
    /// Namespace, name, value.
    pub(crate) attrs: Vec<(String, String, String)>,
    pub(crate) children: Vec<Child>,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Node(Node),
    Text(String),
}

impl Node {
    pub(crate) fn of(element: Element<'_>) -> Self {
        let children = element.contents().map(|content| match content {
            Content::Text(text) => Child::Text(text.into()),
            Content::Element(child) => Child::Node(Self::of(child)),
        });
        Self {
            ns: element.ns().into(),
            name: element.name().into(),
            attrs: element
                .attrs()
                .map(|(ns, name, value)| (ns.into(), name.into(), value.into()))
                .collect(),
            children: children.collect(),
        }
    }

    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        let found = self
            .attrs
            .iter()
            .find(|(ns, n, _)| ns.is_empty() && n == name);
        found.map(|(_, _, value)| value.as_str())
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Child::Node(node) => Some(node),
            Child::Text(_) => None,
        })
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.nodes().find(|node| node.name == name)
    }

    pub(crate) fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|child| match child {
            Child::Text(text) => Some(text.as_str()),
            Child::Node(_) => None,
        });
        texts.collect()
    }
}

/// What came over a stream.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// The stream's header.
    Header(Node),
    Stanza(Node),
    /// `</stream:stream>`
    Footer,
    /// The connection ended.
    Closed,
    /// What is no XML.
    Broken(String),
}
