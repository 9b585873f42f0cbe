//! What XMPP forbids of XML: document types, entities, processing instructions, comments
//! (RFC 6120, section 11.1).

use super::*;

#[test]
fn x01_document_types_are_restricted() {
    refused("<!DOCTYPE a>", F::DocumentType, 2);
    refused("<!doctype a>", F::DocumentType, 2);
    refused("<a><!D", F::DocumentType, 5);
    refused_stream("<!DOCTYPE a><stream:stream/>", F::DocumentType, 2);
    refused_stream("<?xml version='1.0'?><!DOCTYPE", F::DocumentType, 23);
    refused("<!ENTITY x 'y'>", F::MalformedMarkup, 2);
}

#[test]
fn x02_entities_beyond_the_five_are_restricted() {
    refused_stream("<!DOCTYPE a [<!ENTITY x 'y'>]>", F::DocumentType, 2);
    refused("<a>&x;</a>", F::UndefinedEntity, 5);
    refused("<a b='&x;'/>", F::UndefinedEntity, 8);
    assert_eq!(only_text("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
    assert_eq!(value("&lt;&gt;&amp;&quot;&apos;"), "<>&\"'");
    refused("<a>&LT;</a>", F::UndefinedEntity, 6);
}

#[test]
fn x03_processing_instructions_are_restricted() {
    for text in ["<?php x?>", "<??>", "<?XmL x?>", "<?xml-stylesheet ?>"] {
        refused(text, F::ProcessingInstruction, 1);
        refused(format!("<a>{text}"), F::ProcessingInstruction, 4);
    }
    refused_stream("<?php x?>", F::ProcessingInstruction, 2);
    refused_stream("<??>", F::ProcessingInstruction, 2);
    refused_stream("<?XmL x?>", F::ProcessingInstruction, 2);
    refused_stream("<?xml-stylesheet ?>", F::ProcessingInstruction, 5);
}

#[test]
fn x05_comments_are_restricted() {
    for text in ["<!-- x -->", "<!-- a--b -->", "<!-- a--->", "<!-->", "<!-"] {
        refused(text, F::Comment, 2);
        refused(format!("<a>{text}"), F::Comment, 5);
        refused_stream(text, F::Comment, 2);
    }
}
