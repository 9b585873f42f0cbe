//! The XML declaration, and the encoding (RFC 6120, sections 11.5 and 11.6).

use super::*;

#[test]
fn x04_the_xml_declaration_comes_first_and_says_only_this() {
    for good in [
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\"?>",
        "<?xml\n\tversion = '1.0'  ?>\r\n",
        "<?xml version='1.0' encoding='UTF-8'?>",
        "<?xml version='1.0' encoding='utf-8'?>",
        "<?xml version='1.0' encoding='Utf-8' standalone='yes' ?>",
        "<?xml version='1.0' standalone='yes'?>",
        " \r\n\t",
        "",
    ] {
        let outcome = read(format!("{good}{HEAD}"));
        assert_eq!((outcome.frames.len(), outcome.error), (1, None), "{good}");
    }
    for (bad, fault, at) in [
        (" <?xml version='1.0'?>", F::ProcessingInstruction, 2),
        (
            "<?xml version='1.0'?><?xml version='1.0'?>",
            F::ProcessingInstruction,
            22,
        ),
        ("<?xml version='1.1'?>", F::DeclaredVersion, 15),
        ("<?xml version='9.9'?>", F::DeclaredVersion, 15),
        (
            "<?xml version='1.0' encoding='ISO-8859-1'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding='UTF8'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding='UTF-16'?>",
            F::DeclaredEncoding,
            30,
        ),
        (
            "<?xml version='1.0' encoding=' utf-8'?>",
            F::DeclarationSyntax,
            30,
        ),
        (
            "<?xml version='1.0' standalone='no'?>",
            F::DeclaredStandalone,
            32,
        ),
        (
            "<?xml version='1.0' standalone='maybe'?>",
            F::DeclarationSyntax,
            32,
        ),
        ("<?xml?>", F::DeclarationSyntax, 5),
        ("<?xml ?>", F::DeclarationSyntax, 5),
        ("<?xml encoding='utf-8'?>", F::DeclarationSyntax, 5),
        (
            "<?xml version='1.0' standalone='yes' encoding='utf-8'?>",
            F::DeclarationSyntax,
            37,
        ),
        (
            "<?xml version='1.0'encoding='utf-8'?>",
            F::DeclarationSyntax,
            19,
        ),
        (
            "<?xml version='1.0' foo='bar' <?>",
            F::DeclarationSyntax,
            20,
        ),
        (
            "<?xml version='1.0' version='1.0'?>",
            F::DeclarationSyntax,
            20,
        ),
        ("<?xml version=1.0?>", F::DeclarationSyntax, 14),
        ("<?xml version '1.0'?>", F::DeclarationSyntax, 14),
        ("<?xml version='1.0?>", F::DeclarationSyntax, 15),
        ("<?xml version='1.0' > ?>", F::DeclarationSyntax, 20),
    ] {
        refused_stream(format!("{bad}{HEAD}"), fault, at);
    }
    let long = format!("<?xml {}", " ".repeat(300));
    refused_stream(long, F::DeclarationTooLong, 256);
    refused("<?xml version='1.0'?>", F::ProcessingInstruction, 1);
    refused("<a/><?xml version='1.0'?>", F::ProcessingInstruction, 5);
}

#[test]
fn x30_a_byte_order_mark_is_text_before_the_header() {
    refused_stream(b"\xEF\xBB\xBF<?xml version='1.0'?>", F::ByteOrderMark, 0);
    refused_stream("\u{FF21}", F::TextBeforeHeader, 0);
    refused(b"\xEF\xBB\xBF", F::TextBetweenStanzas, 0);
    assert_eq!(only_text("\u{FEFF}x\u{FEFF}"), "\u{FEFF}x\u{FEFF}");
}

#[test]
fn x31_other_encodings_are_named_as_such() {
    for bytes in [
        &b"\xFF\xFE<\0"[..],
        b"\xFE\xFF\0<",
        b"\0<\0?",
        b"\0\0\0<",
        b"\0\0\xFE\xFF",
        b"\xFF\xFE\0\0",
    ] {
        refused_stream(bytes, F::ForeignEncoding, 0);
    }
    refused_stream(b"<\0?\0", F::ForeignEncoding, 1);
    assert_eq!(
        F::ForeignEncoding.condition(),
        StreamCondition::UnsupportedEncoding
    );
}
