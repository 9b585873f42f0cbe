//! Names, prefixes and namespaces.

use super::*;

#[test]
fn x12_undeclared_prefixes() {
    refused("<p:a/>", F::UndeclaredPrefix, 5);
    refused("<a p:b='1'/>", F::UndeclaredPrefix, 11);
    refused("<a xmlns:p='u'/><p:a/>", F::UndeclaredPrefix, 21);
    refused("<a><b xmlns:p='u'></b><p:c/></a>", F::UndeclaredPrefix, 27);
    assert_eq!(
        stanzas("<p:a p:b='1' xmlns:p='u'/>"),
        ["<a xmlns='u' xmlns:n0='u' n0:b='1'/>"]
    );
    assert_eq!(
        stanzas("<a xml:lang='en'/>"),
        ["<a xmlns='jabber:client' xml:lang='en'/>"]
    );
    assert_eq!(stanzas("<xml:a/>"), ["<xml:a/>"]);
}

#[test]
fn x12_a_long_tag_leaves_no_prefix_behind() {
    // Long enough to be looked at before it ends, where it comes in pieces.
    let long = format!("<a xmlns:p='u' b='{}'/>", "v".repeat(600));
    refused(format!("{long}<p:b/>"), F::UndeclaredPrefix, long.len() + 5);
    let inner = format!("<c>{long}<p:b/>");
    refused(&inner, F::UndeclaredPrefix, inner.len() - 1);
}

#[test]
fn x13_reserved_prefixes_and_namespaces() {
    let xml = crate::ns::XML;
    let xmlns = crate::ns::XMLNS;
    for (inner, fault) in [
        ("<a xmlns:xml='u'/>".to_string(), F::ReservedPrefix),
        ("<a xmlns:xml=''/>".to_string(), F::ReservedPrefix),
        (format!("<a xmlns:xml='{xmlns}'/>"), F::ReservedPrefix),
        (format!("<a xmlns:p='{xml}'/>"), F::ReservedNamespace),
        (format!("<a xmlns='{xml}'/>"), F::ReservedNamespace),
        (format!("<a xmlns:p='{xmlns}'/>"), F::ReservedNamespace),
        (format!("<a xmlns='{xmlns}'/>"), F::ReservedNamespace),
        ("<a xmlns:xmlns='u'/>".to_string(), F::ReservedPrefix),
        (format!("<a xmlns:xmlns='{xmlns}'/>"), F::ReservedPrefix),
    ] {
        refused(&inner, fault, inner.len() - 3);
    }
    refused("<xmlns:a/>", F::ReservedPrefix, 9);
    let again = format!("<xml:a xmlns:xml='{xml}'/>");
    assert_eq!(stanzas(again), ["<xml:a/>"]);
}

#[test]
fn x14_prefixes_cannot_be_undeclared_but_the_default_can() {
    refused("<b xmlns:p=''/>", F::EmptyPrefixDeclaration, 12);
    refused(
        "<b xmlns:p='u'><c xmlns:p=''/>",
        F::EmptyPrefixDeclaration,
        27,
    );
    assert_eq!(
        stanzas("<a xmlns=''><b/><c xmlns='u'/></a>"),
        ["<a><b/><c xmlns='u'/></a>"]
    );
}

#[test]
fn x15_duplicates_by_expanded_name() {
    refused("<a b='1' b='2'/>", F::DuplicateAttribute, 15);
    refused("<a b='1' b='1'/>", F::DuplicateAttribute, 15);
    refused(
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        F::DuplicateAttribute,
        43,
    );
    refused("<a xmlns='u' xmlns='v'/>", F::DuplicateDeclaration, 21);
    refused("<a xmlns:p='u' xmlns:p='u'/>", F::DuplicateDeclaration, 25);
    let good = "<a xmlns='u' xmlns:p='u' xmlns:q='v' b='1' p:b='2' q:b='3'/>";
    assert_eq!(
        stanzas(good),
        ["<a xmlns='u' b='1' xmlns:n1='u' n1:b='2' xmlns:n2='v' n2:b='3'/>"]
    );
}

#[test]
fn x16_namespaces_are_normalised_before_they_are_bound() {
    assert_eq!(
        stanzas("<a xmlns='jabber&#58;client'/>"),
        ["<a xmlns='jabber:client'/>"]
    );
    assert_eq!(stanzas("<a xmlns='u\tv\r\nw'/>"), ["<a xmlns='u v w'/>"]);
    assert_eq!(stanzas("<a xmlns=' U '/>"), ["<a xmlns=' U '/>"]);
    refused(
        "<a xmlns='http://www.w3.org/2000/xmlns&#47;'/>",
        F::ReservedNamespace,
        43,
    );
    refused(
        "<a xmlns:p='a&amp;b' xmlns:q='a&#38;b' p:x='' q:x=''/>",
        F::DuplicateAttribute,
        53,
    );
}

#[test]
fn x17_a_namespace_is_never_glued_to_a_name() {
    refused(
        "<a xmlns='jabber:client\u{1}message'/>",
        F::ForbiddenCharacter,
        23,
    );
    assert_eq!(
        stanzas("<c xmlns='a b'/><b xmlns='a'/>"),
        ["<c xmlns='a b'/>", "<b xmlns='a'/>"]
    );
    let document = format!("{HEAD}<c xmlns='a}}b'/>");
    let mut framer = Framer::new(XmlLimits::default());
    let (n, _) = framer.push(document.as_bytes());
    match framer.push(&document.as_bytes()[n..]).1 {
        Some(Ok(Frame::Stanza(c))) => assert_eq!((c.ns(), c.name()), ("a}b", "c")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn x18_malformed_names() {
    for (inner, at) in [
        ("<1a/>", 1),
        ("<-a/>", 1),
        ("<.a/>", 1),
        ("<a<b/>", 2),
        ("<a&b/>", 2),
        ("<a'b'/>", 2),
        ("<a\"b\"/>", 2),
        ("<>", 1),
        ("< a/>", 1),
        ("<a:b:c/>", 4),
        ("<:a/>", 1),
        ("<:/>", 1),
        ("<a:/>", 3),
        ("<a: b='c'/>", 3),
        ("<a:1/>", 3),
        ("<a\u{85}b='1'/>", 2),
        ("<a\u{a0}b='1'/>", 2),
        ("<a\u{2028}b='1'/>", 2),
        ("<a=b/>", 2),
        ("<a 1='1'/>", 3),
        ("<a ='1'/>", 3),
        ("<a :b='1'/>", 3),
        ("<a b:='1'/>", 5),
        ("<a b:c:d='1'/>", 6),
        ("<a xmlns:='u'/>", 9),
        ("<a xmlns:1='u'/>", 9),
        ("<\u{d7}/>", 1),
        ("<a \u{37e}='1'/>", 3),
    ] {
        refused(inner, F::MalformedName, at);
    }
    refused("<a/b/>", F::StraySlash, 3);
    refused("<a\u{c}b='1'/>", F::ForbiddenCharacter, 2);
    refused("<a\0b/>", F::ForbiddenCharacter, 2);
    assert_eq!(stanzas("<\u{e9}l\u{e9}m.e-n_t1\u{b7}/>").len(), 1);
    assert_eq!(
        stanzas("<_ xmlns:\u{10000}='u' \u{10000}:\u{e9}='1'/>").len(),
        1
    );
}
