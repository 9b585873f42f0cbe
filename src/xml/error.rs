//! Why XML was refused.

use core::fmt;

use crate::error::StreamCondition;

/// Writes the enum of faults: each with its explanation and its stream condition.
macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident: $condition:ident, $text:literal;)*) => {
        /// What exactly is wrong with the XML.
        ///
        /// Each fact maps to the stream error condition that RFC 6120, section
        /// 4.9.3, names for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum XmlFault {
            $($(#[$doc])* $variant,)*
        }

        impl XmlFault {
            /// The stream error that RFC 6120, section 4.9.3, names for it.
            #[must_use]
            pub const fn condition(self) -> StreamCondition {
                match self { $(Self::$variant => StreamCondition::$condition,)* }
            }

            /// One line for people.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Every fault, in the order of the documentation.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$variant,)*];
        }
    };
}

faults! {
    // The encoding.
    /// The first bytes are those of UTF-16 or UTF-32. RFC 6120, section 11.6.
    ForeignEncoding: UnsupportedEncoding, "the stream is not encoded in UTF-8";
    /// The XML declaration names an encoding other than UTF-8. RFC 6120, section 11.6.
    DeclaredEncoding: UnsupportedEncoding, "the XML declaration names an encoding other than UTF-8";
    /// The bytes are not UTF-8: overlong, surrogate, out of range or cut short.
    /// RFC 6120, section 4.9.3.22, names it among the encodings.
    InvalidUtf8: UnsupportedEncoding, "the bytes are not UTF-8";
    /// The stream begins with U+FEFF. It is no byte order mark here but a
    /// character, and none may stand before the header. RFC 6120, section 11.6.
    ByteOrderMark: NotWellFormed, "the stream begins with U+FEFF, which is no byte order mark in XMPP";

    // The XML declaration.
    /// The XML declaration breaks its syntax. XML 1.0, section 2.8.
    DeclarationSyntax: NotWellFormed, "the XML declaration is malformed";
    /// The XML declaration names a version other than 1.0. RFC 6120, section 11.8.
    DeclaredVersion: NotWellFormed, "the XML declaration names a version other than 1.0";
    /// The XML declaration says `standalone='no'`. RFC 6120, section 11.5.
    DeclaredStandalone: RestrictedXml, "the XML declaration says that external markup is needed";

    // What XMPP forbids.
    /// A comment. RFC 6120, section 11.1.
    Comment: RestrictedXml, "XMPP forbids comments";
    /// A document type declaration. RFC 6120, section 11.1.
    DocumentType: RestrictedXml, "XMPP forbids document type declarations";
    /// A processing instruction, or an XML declaration anywhere but at the very
    /// first byte. RFC 6120, section 11.1.
    ProcessingInstruction: RestrictedXml, "XMPP forbids processing instructions";
    /// A reference to an entity that is not predefined. RFC 6120, section 11.1.
    UndefinedEntity: RestrictedXml, "only the five predefined entities exist in XMPP";

    // Characters and references.
    /// A character outside the production `Char`. XML 1.0, section 2.2.
    ForbiddenCharacter: NotWellFormed, "XML cannot carry this character";
    /// A reference to a character outside the production `Char`. XML 1.0, section 4.1.
    ForbiddenReference: NotWellFormed, "XML cannot carry the character that is referred to";
    /// `&` does not begin a complete reference. XML 1.0, section 4.1.
    MalformedReference: NotWellFormed, "an ampersand does not begin a reference";
    /// `]]>` in text. XML 1.0, section 2.4.
    CDataEndInText: NotWellFormed, "`]]>` stands in text";
    /// Something other than white space before the stream header. XML 1.0, section 2.1.
    TextBeforeHeader: NotWellFormed, "text stands before the stream header";
    /// Something other than white space between two stanzas. RFC 6120, section 11.7.
    TextBetweenStanzas: BadFormat, "text stands between two stanzas";

    // Tags.
    /// `<!` begins nothing that exists. XML 1.0, section 2.
    MalformedMarkup: NotWellFormed, "`<!` begins nothing that XML knows";
    /// A name breaks the productions `NCName` and `QName`. Namespaces in XML 1.0, sections 3 and 4.
    MalformedName: NotWellFormed, "a name is malformed";
    /// No white space before an attribute. XML 1.0, section 3.1.
    MissingSpace: NotWellFormed, "white space is missing before an attribute";
    /// No `=` after the name of an attribute. XML 1.0, section 3.1.
    MissingEquals: NotWellFormed, "an attribute has no value";
    /// No quote after the `=` of an attribute. XML 1.0, section 3.1.
    MissingQuote: NotWellFormed, "the value of an attribute is not quoted";
    /// `<` in the value of an attribute. XML 1.0, section 3.1.
    LessThanInValue: NotWellFormed, "`<` stands in the value of an attribute";
    /// `/` in a tag, not followed by `>`. XML 1.0, section 3.1.
    StraySlash: NotWellFormed, "`/` in a tag is not followed by `>`";
    /// An end tag without a start tag. XML 1.0, section 2.1.
    UnexpectedEndTag: NotWellFormed, "an end tag has no start tag";
    /// An end tag that is not that of the innermost open element, prefix
    /// included. XML 1.0, section 3.
    MismatchedEndTag: NotWellFormed, "an end tag does not match its start tag";
    /// Something after the name of an end tag. XML 1.0, section 3.1.
    MalformedEndTag: NotWellFormed, "an end tag holds more than a name";
    /// The same attribute twice, by expanded name. Namespaces in XML 1.0, section 6.3.
    DuplicateAttribute: NotWellFormed, "an attribute stands twice in a tag";
    /// The same prefix, or the default, declared twice in a tag. XML 1.0, section 3.1.
    DuplicateDeclaration: NotWellFormed, "a namespace is declared twice in a tag";

    // Namespaces.
    /// A prefix that is not declared. RFC 6120, section 4.9.3.13, has this very example.
    UndeclaredPrefix: NotWellFormed, "a namespace prefix is not declared";
    /// A reserved prefix is declared or used. Namespaces in XML 1.0, section 3.
    ReservedPrefix: NotWellFormed, "a reserved namespace prefix is misused";
    /// A reserved namespace is bound to another prefix or made the default.
    /// Namespaces in XML 1.0, section 3.
    ReservedNamespace: NotWellFormed, "a reserved namespace is misused";
    /// A prefix is bound to nothing. Namespaces in XML 1.0, section 5.
    EmptyPrefixDeclaration: NotWellFormed, "a namespace prefix is bound to nothing";

    // The stream.
    /// The root element is not of the stream namespace. RFC 6120, section 4.8.1.
    WrongStreamNamespace: InvalidNamespace, "the root element is not of the stream namespace";
    /// The root element is of the stream namespace but not a stream. RFC 6120, section 4.8.1.
    NotAStream: BadFormat, "the root element is not a stream";
    /// A stream header within a stream. RFC 6120, sections 4.2 and 4.9.3.24.
    SecondHeader: UnsupportedStanzaType, "a stream header stands within the stream";

    // Bounds, all in `XmlLimits` but the last two.
    /// A stanza, or all up to the end of the stream header, is too long.
    StanzaTooLong: PolicyViolation, "a stanza has too many bytes";
    /// Too many elements within elements.
    TooDeep: PolicyViolation, "elements are nested too deeply";
    /// Too many elements and texts in one stanza.
    TooManyNodes: PolicyViolation, "a stanza has too many elements and texts";
    /// Too many attributes on one element.
    TooManyAttributes: PolicyViolation, "an element has too many attributes";
    /// Too many namespace declarations on one element.
    TooManyDeclarations: PolicyViolation, "an element declares too many namespaces";
    /// Too many namespace declarations in scope.
    TooManyBindings: PolicyViolation, "too many namespaces are declared at one place";
    /// A name is too long.
    NameTooLong: PolicyViolation, "a name has too many bytes";
    /// The value of an attribute is too long.
    ValueTooLong: PolicyViolation, "the value of an attribute has too many bytes";
    /// A character reference has more than 8 digits.
    ReferenceTooLong: PolicyViolation, "a character reference has too many digits";
    /// The XML declaration has more than 256 bytes.
    DeclarationTooLong: PolicyViolation, "the XML declaration has too many bytes";
}

impl fmt::Display for XmlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// XML was refused: what is wrong, and after how many bytes of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XmlError {
    /// What is wrong.
    pub fault: XmlFault,
    /// Bytes of this stream before the one that was refused. It does not depend
    /// on how the stream was cut into pieces.
    pub offset: u64,
}

impl XmlError {
    /// The stream error that RFC 6120, section 4.9.3, names for it.
    #[must_use]
    pub const fn condition(&self) -> StreamCondition {
        self.fault.condition()
    }
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the stream)", self.fault, self.offset)
    }
}

impl core::error::Error for XmlError {}

/// A fault and where it lies, counted from some start that the caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) fault: XmlFault,
    pub(super) at: u64,
}

impl Refused {
    pub(super) const fn new(fault: XmlFault, at: u64) -> Self {
        Self { fault, at }
    }
}
