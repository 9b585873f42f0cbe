//! Views of a checked stanza, borrowed from the framer.

/// An element of a checked stanza. Copying it copies a reference.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    _todo: &'a (),
}

impl<'a> Element<'a> {
    /// The local name.
    #[must_use]
    pub fn name(&self) -> &'a str { "" }
    /// The namespace; empty where there is none.
    #[must_use]
    pub fn ns(&self) -> &'a str { "" }
    /// Whether this is element `name` of namespace `ns`.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool { self.name() == name && self.ns() == ns }
    /// The value of the attribute `name` that has no namespace, references resolved.
    #[must_use]
    pub fn attr(&self, _name: &str) -> Option<&'a str> { None }
    /// The value of the attribute `name` of namespace `ns`.
    #[must_use]
    pub fn attr_ns(&self, _name: &str, _ns: &str) -> Option<&'a str> { None }
    /// All attributes but namespace declarations, in document order.
    #[must_use]
    pub fn attrs(&self) -> Attributes<'a> { Attributes { _todo: &() } }
    /// The child elements, in document order.
    #[must_use]
    pub fn children(&self) -> Children<'a> { Children { _todo: &() } }
    /// The first child element `name` of namespace `ns`.
    #[must_use]
    pub fn child(&self, _name: &str, _ns: &str) -> Option<Element<'a>> { None }
    /// The text right within this element, where it is one run; the first run
    /// where child elements part it; empty where there is none.
    #[must_use]
    pub fn text(&self) -> &'a str { "" }
    /// Whether anything but white space and the child elements stands within.
    #[must_use]
    pub fn has_text(&self) -> bool { false }
}

/// Iterates over the child elements of an element.
#[derive(Clone, Debug)]
pub struct Children<'a> { _todo: &'a () }
impl<'a> Iterator for Children<'a> {
    type Item = Element<'a>;
    fn next(&mut self) -> Option<Element<'a>> { None }
}
/// Iterates over attributes as (namespace, name, value).
#[derive(Clone, Debug)]
pub struct Attributes<'a> { _todo: &'a () }
impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> { None }
}
