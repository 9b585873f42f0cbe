//! The first message of each side: nonce, salt, rounds, order, extensions, names.

use super::*;

#[test]
fn a02_nonce_must_extend_ours() {
    for nonce in [
        "XYZ",
        "fyko+d2lbbFgONRv9qkxdawL",
        "fyko+d2lbbFgONRv9qkxdaw",
        "yfyko+d2lbbFgONRv9qkxdawLxx",
    ] {
        let message = FIRST.replace("fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j", nonce);
        assert!(bad(first(&message)), "{nonce}");
    }
    for tail in ["\u{7f}", " ", "\u{e4}", "\n", &"x".repeat(1024)] {
        let message = FIRST.replace("Vs7j", tail);
        assert!(bad(first(&message)), "{tail:?}");
    }
}

#[test]
fn a03_iteration_counts_are_bounded_and_well_formed() {
    for (count, outside) in [
        ("1", 1),
        ("4095", 4095),
        ("1000001", 1_000_001),
        ("4294967296", 1 << 32),
        ("4294971392", (1 << 32) + 4096),
        ("99999999999999999999", u64::MAX),
    ] {
        let message = FIRST.replace("4096", count);
        assert!(
            matches!(first(&message), Err(AuthFailure::Iterations(n)) if n == outside),
            "{count}"
        );
    }
    for count in [
        "0", "04096", "-1", "+4096", "4096 ", "4_096", "0x1000", "4096.0", "٤٠٩٦",
    ] {
        assert!(bad(first(&FIRST.replace("4096", count))), "{count}");
    }
    for count in ["4096", "1000000"] {
        assert!(matches!(
            first(&FIRST.replace("4096", count)),
            Ok(Step::Work)
        ));
    }
}

#[test]
fn a04_the_salt_is_neither_empty_nor_huge() {
    let salt = |salt: &str| first(&FIRST.replace("QSXCR+Q6sek8bf92", salt));
    for wrong in [
        "",
        "=",
        "QSXCR+Q6sek8bf9",
        "QSXCR-Q6sek8bf92",
        "QR==",
        "Q Q=",
    ] {
        assert!(bad(salt(wrong)), "{wrong}");
    }
    assert!(bad(salt(&encode(&[7; 1025]))));
    assert!(salt(&encode(&[7; 1024])).is_ok());
    assert!(salt("QQ==").is_ok());
}

#[test]
fn a05_a_mandatory_extension_fails_the_login() {
    assert!(bad(first(&format!("m=x,{FIRST}"))));
    assert!(bad(first(&format!("{FIRST},m=x"))));
    let last = encode(format!("{FINAL},m=x").as_bytes());
    assert!(proved().success(Some(&last)).is_err());
}

#[test]
fn a06_unknown_attributes_are_ignored_and_signed() {
    // That they are signed is in the vector with `x=unknown`.
    assert!(matches!(
        first(&format!("{FIRST},x=1,Y=a=b")),
        Ok(Step::Work)
    ));
    for wrong in [
        ",",
        ",x",
        ",x=",
        ",xy=1",
        ",1=1",
        ",=1",
        ",x=\0",
        ",\u{e4}=1",
    ] {
        assert!(bad(first(&format!("{FIRST}{wrong}"))), "{wrong:?}");
    }
}

#[test]
fn a07_attributes_have_an_order_and_occur_once() {
    let (r, rest) = FIRST.split_once(',').unwrap();
    let (s, i) = rest.split_once(',').unwrap();
    for message in [
        format!("{s},{r},{i}"),
        format!("{r},{i},{s}"),
        format!("{r},{r},{s},{i}"),
        format!("{r},{s},{i},{r}"),
        format!("{r},{s},{i},{i}"),
        format!("{r},{s},{i},x=1,x=1"),
        format!("{r},{s}"),
        format!("{r},{i}"),
        format!("x=1,{r},{s},{i}"),
        format!("{r},x=1,{s},{i}"),
        format!(",{r},{s},{i}"),
        format!("{r},,{s},{i}"),
        r.to_owned(),
        String::new(),
        FINAL.to_owned(),
    ] {
        assert!(bad(first(&message)), "{message}");
    }
}

#[test]
fn a12_base64_is_strict() {
    let good = encode(FIRST.as_bytes());
    assert!(begun().challenge(&good).is_ok());
    let (head, tail) = good.split_at(12);
    for wrong in [
        String::new(),
        "=".into(),
        "==".into(),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{head} {tail}"),
        format!("{head}={tail}"),
        format!("{good}="),
        good.trim_end_matches('=').chars().skip(1).collect(),
        encode(&[FIRST.as_bytes(), b"\xff"].concat()),
        "A".repeat(16 * 1024 + 4),
        "-_-_".into(),
    ] {
        assert!(bad(begun().challenge(&wrong)), "{wrong}");
    }
    for (text, expected) in [
        ("QQ==", true),
        ("QR==", false),
        ("QQ", false),
        ("QQ=", false),
        ("QUE=", true),
        ("QUF=", false),
    ] {
        assert_eq!(decode(text).is_ok(), expected, "{text}");
    }
    assert_eq!(decode("=").as_deref(), Ok(""));
    assert_eq!(encode(b""), "");
}

#[test]
fn a13_names_are_escaped_once() {
    for (name, sent) in [("a,b=c", "a=2Cb=3Dc"), ("=2C", "=3D2C"), ("a b", "a b")] {
        let credentials = Credentials::new(name, "x").unwrap();
        let (_, message) = Exchange::start(sha1(), &credentials, "r".into(), LIMITS, None);
        assert_eq!(message, format!("n,,n={sent},r=r").as_bytes());
        let plain = Choice { kind: Kind::Plain };
        let (_, message) = Exchange::start(plain, &credentials, String::new(), LIMITS, None);
        assert_eq!(message, format!("\0{name}\0x").as_bytes());
    }
}

/// Of what a server may make us keep there is a most, which is taken.
#[test]
fn a02_a_nonce_has_a_longest() {
    let with = |len: usize| {
        let nonce = format!("{NONCE}{}", "x".repeat(len - NONCE.len()));
        first(&format!("r={nonce},s=QSXCR+Q6sek8bf92,i=4096"))
    };
    assert!(matches!(with(1024), Ok(Step::Work)));
    assert!(bad(with(1025)));
}

#[test]
fn a_message_has_a_longest() {
    let with = |len: usize| begun().challenge(&"A".repeat(len));
    let too_long = AuthFailure::BadMessage("too long");
    assert_ne!(with(MESSAGE_CHARS).err(), Some(too_long.clone()));
    for len in [MESSAGE_CHARS + 1, MESSAGE_CHARS + 4, 2 * MESSAGE_CHARS] {
        assert_eq!(with(len).err(), Some(too_long.clone()), "{len}");
    }
}
