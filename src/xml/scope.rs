//! Namespaces in scope. Namespaces in XML 1.0, sections 3, 5 and 6.

use alloc::vec::Vec;

use super::error::XmlFault;
use super::tape::{Span, Tape};
use crate::ns;

/// A prefix (empty for the default) and what it stands for.
#[derive(Clone, Copy, Debug)]
struct Binding {
    prefix: Span,
    uri: Span,
}

/// All declarations in scope, innermost last.
#[derive(Debug, Default)]
pub(super) struct Scope {
    bindings: Vec<Binding>,
    /// Where the arena holds the namespace of the prefix `xml`.
    xml: Span,
}

impl Scope {
    /// Forgets all and puts the one namespace that is always bound into `tape`.
    pub(super) fn restart(&mut self, tape: &mut Tape) {
        self.bindings.clear();
        self.xml = tape.push_str(ns::XML);
    }

    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    pub(super) fn truncate(&mut self, to: usize) {
        self.bindings.truncate(to);
    }

    /// Binds a prefix, or the default where it is empty. `first` is how many
    /// bindings there were before this tag.
    ///
    /// Equal namespaces in scope are one range of the tape, so that who compares two need not
    /// read them: else a few long ones would be read again for each small child that uses
    /// their prefixes. For that each is compared here, once, with those in scope, which costs
    /// at most its length for each: what was read, times the limit of bindings.
    ///
    /// # Errors
    /// What section 3 reserves, section 5 forbids, or the tag declares twice.
    pub(super) fn bind(
        &mut self,
        tape: &Tape,
        prefix: Span,
        uri: Span,
        first: usize,
    ) -> Result<(), XmlFault> {
        let (name, value) = (tape.str(prefix), tape.str(uri));
        if name == "xmlns" || (name == "xml" && value != ns::XML) {
            return Err(XmlFault::ReservedPrefix);
        }
        if value == ns::XMLNS || (value == ns::XML && name != "xml") {
            return Err(XmlFault::ReservedNamespace);
        }
        if value.is_empty() && !name.is_empty() {
            return Err(XmlFault::EmptyPrefixDeclaration);
        }
        let mut tag = self.bindings.iter().skip(first);
        if tag.any(|b| tape.same(b.prefix, prefix)) {
            return Err(XmlFault::DuplicateDeclaration);
        }
        let mut known = self.bindings.iter().map(|b| b.uri).chain([self.xml]);
        let uri = match value {
            "" => Span::default(),
            _ => known.find(|known| tape.same(*known, uri)).unwrap_or(uri),
        };
        self.bindings.push(Binding { prefix, uri });
        Ok(())
    }

    /// The namespace of an element with this prefix.
    ///
    /// # Errors
    /// The prefix is not declared, or is `xmlns`.
    pub(super) fn element(&self, tape: &Tape, prefix: Span) -> Result<Span, XmlFault> {
        let name = tape.str(prefix);
        if name == "xmlns" {
            return Err(XmlFault::ReservedPrefix);
        }
        match self
            .bindings
            .iter()
            .rev()
            .find(|b| tape.same(b.prefix, prefix))
        {
            Some(binding) => Ok(binding.uri),
            None if name.is_empty() => Ok(Span::default()),
            None if name == "xml" => Ok(self.xml),
            None => Err(XmlFault::UndeclaredPrefix),
        }
    }

    /// The namespace of an attribute with this prefix: none without one.
    ///
    /// # Errors
    /// The prefix is not declared.
    pub(super) fn attribute(&self, tape: &Tape, prefix: Span) -> Result<Span, XmlFault> {
        if tape.str(prefix).is_empty() {
            return Ok(Span::default());
        }
        self.element(tape, prefix)
    }

    /// How many bytes it has reserved.
    pub(super) fn allocated(&self) -> usize {
        self.bindings
            .capacity()
            .saturating_mul(size_of::<Binding>())
    }
}
