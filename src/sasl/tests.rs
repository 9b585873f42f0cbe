//! Conversations: vectors, each thing that a server can do wrong, and a model
//! server that shares no code with the client.

use super::choice::Binding;
use super::hash::Hash;
use super::*;
use crate::config::ChannelBinding;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;
use proptest::prelude::*;

const LIMITS: (u32, u32) = (4096, 1_000_000);
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
/// The server-first-message of RFC 5802, section 5, to [`NONCE`].
const FIRST: &str = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
/// The server-final-message that belongs to it.
const FINAL: &str = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=";

fn scram(hash: Hash, binding: Binding) -> Choice {
    Choice {
        kind: Kind::Scram(choice::ScramChoice {
            hash,
            binding,
            offer: "SCRAM-SHA-1".into(),
            vouch: false,
        }),
    }
}

fn sha1() -> Choice {
    scram(Hash::Sha1, Binding::Unsupported)
}

fn pencil() -> Credentials {
    Credentials::new("user", "pencil").unwrap()
}

fn start(choice: Choice, nonce: &str) -> (Exchange, String) {
    let (exchange, first) = Exchange::start(choice, &pencil(), nonce.into(), LIMITS, None);
    (exchange, String::from_utf8(first).unwrap())
}

/// After the client-first-message of RFC 5802.
fn begun() -> Exchange {
    start(sha1(), NONCE).0
}

/// What comes of a server-first-message in place of [`FIRST`].
fn first(message: &str) -> Result<Step, AuthFailure> {
    begun().challenge(&encode(message.as_bytes()))
}

/// After the client-final-message of RFC 5802.
fn proved() -> Exchange {
    let mut exchange = begun();
    finish(&mut exchange, FIRST, 4096);
    exchange
}

fn finish(exchange: &mut Exchange, message: &str, slice: u32) -> String {
    let step = exchange.challenge(&encode(message.as_bytes())).unwrap();
    let last = match step {
        Step::Respond(message) => message,
        Step::Work => loop {
            assert!(exchange.is_working());
            if let Some(message) = exchange.work(slice) {
                break message;
            }
        },
    };
    assert!(!exchange.is_working());
    String::from_utf8(last).unwrap()
}

fn bad(result: Result<Step, AuthFailure>) -> bool {
    matches!(result, Err(AuthFailure::BadMessage(_)))
}

struct Vector {
    choice: Choice,
    user: &'static str,
    password: &'static str,
    nonce: &'static str,
    messages: [&'static str; 4],
}

fn vectors() -> Vec<Vector> {
    vec![
        // RFC 5802, section 5.
        Vector {
            choice: sha1(),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                FINAL,
            ],
        },
        // RFC 7677, section 3.
        Vector {
            choice: scram(Hash::Sha256, Binding::Unsupported),
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        },
        // The rest is computed by the formulas of RFC 5802, section 3, in Python 3
        // with hashlib and hmac; the same program gives the two above. With H = the
        // hash, M(key, data) = hmac.digest and
        // salted = hashlib.pbkdf2_hmac(name, password, salt, rounds):
        //   auth = first_bare + "," + server_first + "," + final_without_proof
        //   p = M(salted, "Client Key") ^ M(H(M(salted, "Client Key")), auth)
        //   v = M(M(salted, "Server Key"), auth)
        Vector {
            choice: scram(Hash::Sha512, Binding::Unsupported),
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
                "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
            ],
        },
        // Bound to the connection; A13, escaping; A6, an unknown attribute.
        Vector {
            choice: scram(Hash::Sha256, Binding::Exporter((0..32).collect())),
            user: "a,b=c",
            password: "p,=s",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "p=tls-exporter,,n=a=2Cb=3Dc,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=c2FsdCAmIG1vcmU=,i=4096,x=unknown",
                "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,p=A3rzxxlb1dLlLAVGEdOor/F0Apg/zkqDcczYDfT6SVY=",
                "v=I9GxAfMEYwS88/ICbGr6z8DGRzA5fhHLMYNaTDVjoDo=",
            ],
        },
        Vector {
            choice: scram(Hash::Sha1, Binding::ServerEndPoint(vec![0xff; 32])),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "p=tls-server-end-point,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws//////////////////////////////////////////8=,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=vOkk9HB7W2XANQp8Y8t0Um4EDRA=",
                "v=pqS2HgPQ5TFFtcKTnJfa/9sR2TQ=",
            ],
        },
        Vector {
            choice: scram(Hash::Sha1, Binding::Unoffered),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "y,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=eSws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=BjZF5dV+EkD3YCb3pH3IP8riMGw=",
                "v=dsprQ5R2AGYt1kn4bQRwTAE0PTU=",
            ],
        },
    ]
}

#[test]
fn the_vectors_hold_in_slices_of_any_size() {
    for vector in vectors() {
        let credentials = Credentials::new(vector.user, vector.password).unwrap();
        let [client_first, server_first, client_final, server_final] = vector.messages;
        for slice in [0, 1, 7, 4096, u32::MAX] {
            let nonce = vector.nonce.to_owned();
            let (mut exchange, message) =
                Exchange::start(vector.choice.clone(), &credentials, nonce, LIMITS, None);
            assert_eq!(message, client_first.as_bytes());
            assert_eq!(finish(&mut exchange, server_first, slice), client_final);
            exchange
                .success(Some(&encode(server_final.as_bytes())))
                .unwrap();
        }
    }
}

#[test]
fn work_does_no_more_than_asked() {
    let mut exchange = begun();
    exchange.challenge(&encode(FIRST.as_bytes())).unwrap();
    // The first of the 4096 rounds is done on arrival.
    assert!(exchange.work(4094).is_none());
    assert!(exchange.work(1).is_some());
    assert!(exchange.work(4096).is_none());
}

#[test]
fn kept_keys_spare_the_work_where_they_fit() {
    let keys = proved()
        .success(Some(&encode(FINAL.as_bytes())))
        .unwrap()
        .take_keys()
        .unwrap();
    let again = |choice, message: &str| {
        let (mut exchange, _) =
            Exchange::start(choice, &pencil(), NONCE.into(), LIMITS, Some(&keys));
        let step = exchange.challenge(&encode(message.as_bytes())).unwrap();
        (exchange, step)
    };
    let (exchange, step) = again(sha1(), FIRST);
    assert!(
        matches!(step, Step::Respond(message) if message.ends_with(b"p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
    );
    assert!(exchange.success(Some(&encode(FINAL.as_bytes()))).is_ok());
    for (choice, message) in [
        (sha1(), FIRST.replace("i=4096", "i=4097")),
        (sha1(), FIRST.replace("s=QSX", "s=QSY")),
        (scram(Hash::Sha256, Binding::Unsupported), FIRST.to_owned()),
    ] {
        assert!(matches!(again(choice, &message).1, Step::Work));
    }
}

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
fn a06_the_offer_is_vouched_for() {
    let offer = Offer {
        mechanisms: &["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"],
        channel_bindings: Some(&["tls-server-end-point", "tls-exporter"]),
    };
    let binding = ChannelBinding {
        exporter: Some(vec![1; 32]),
        server_end_point: None,
    };
    let secure = Policy {
        secure: true,
        allow_plain: false,
    };
    let answer = |offer, suffix: &str| {
        let choice = choose(offer, secure, &binding).unwrap();
        let (mut exchange, _) = start(choice, NONCE);
        exchange.challenge(&encode(format!("{FIRST}{suffix}").as_bytes()))
    };
    // The hash of the example of XEP-0474.
    let hash = ",h=G6k/rBLDqgOhRRaCuuatSDFkJ08=";
    assert!(matches!(answer(offer, hash), Ok(Step::Work)));
    assert!(matches!(
        answer(offer, &format!(",x=1{hash}")),
        Ok(Step::Work)
    ));
    assert!(matches!(answer(offer, ""), Ok(Step::Work)));
    assert!(matches!(
        answer(offer, ",h=G6k/rBLDqgOhRRaCuuatSDFkJ0=="),
        Err(AuthFailure::Downgraded)
    ));
    assert!(bad(answer(offer, ",h=")));
    assert!(bad(answer(offer, &format!("{hash}{hash}"))));
    // What somebody took away, or added.
    for tampered in [
        Offer {
            channel_bindings: None,
            ..offer
        },
        Offer {
            channel_bindings: Some(&["tls-server-end-point"]),
            ..offer
        },
        Offer {
            channel_bindings: Some(&["tls-unique"]),
            ..offer
        },
        Offer {
            mechanisms: &["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "PLAIN"],
            ..offer
        },
    ] {
        assert!(
            matches!(answer(tampered, hash), Err(AuthFailure::Downgraded)),
            "{tampered:?}"
        );
    }
    // Types that are all foreign must be vouched for.
    let foreign = Offer {
        channel_bindings: Some(&["tls-unique"]),
        ..offer
    };
    assert!(matches!(answer(foreign, ""), Err(AuthFailure::Downgraded)));
    let vouched = "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-unique";
    let vouched = format!(",h={}", encode(&Hash::Sha1.digest(vouched.as_bytes())));
    assert!(matches!(answer(foreign, &vouched), Ok(Step::Work)));
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
fn a08_the_server_may_say_no_in_its_own_words() {
    let refused = |value: &str| {
        let message = encode(format!("e={value}").as_bytes());
        let failure = proved().success(Some(&message)).unwrap_err();
        assert_eq!(proved().challenge(&message).err(), Some(failure.clone()));
        assert_eq!(begun().challenge(&message).err(), Some(failure.clone()));
        failure
    };
    for (value, expected) in [
        ("invalid-proof", SaslCondition::NotAuthorized),
        ("unknown-user", SaslCondition::NotAuthorized),
        ("channel-bindings-dont-match", SaslCondition::NotAuthorized),
        (
            "invalid-username-encoding",
            SaslCondition::IncorrectEncoding,
        ),
        ("no-resources", SaslCondition::TemporaryAuthFailure),
        ("other-error", SaslCondition::Undefined),
        ("what-nobody-has-heard-of", SaslCondition::Undefined),
        // We said `n`: this makes no sense, and is no downgrade.
        (
            "server-does-support-channel-binding",
            SaslCondition::Undefined,
        ),
    ] {
        let AuthFailure::Rejected { condition, text } = refused(value) else {
            panic!("a refusal is a refusal");
        };
        assert_eq!((condition, text.as_deref()), (expected, Some(value)));
    }
    let long = "\u{e4}".repeat(2048);
    assert!(matches!(
        refused(&long),
        AuthFailure::Rejected { text: Some(text), .. } if text.len() == 1024 && long.starts_with(&text)
    ));
}

#[test]
fn a09_only_the_right_signature_will_do() {
    for message in [
        "v=rmF9pqV8S7suAoZWja4dJRkFsKU=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsA==",
        "v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKR=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=AAAA",
        "v=",
        "v",
        "V=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        "x=1,v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        FIRST,
        "",
    ] {
        let message = encode(message.as_bytes());
        assert!(proved().success(Some(&message)).is_err());
        assert!(proved().challenge(&message).is_err());
    }
    // The grammar lets extensions follow.
    assert!(
        proved()
            .success(Some(&encode(format!("{FINAL},x=1").as_bytes())))
            .is_ok()
    );
}

#[test]
fn a10_success_without_the_servers_proof_is_none() {
    for text in [None, Some(""), Some("=")] {
        for exchange in [begun(), proved()] {
            assert_eq!(
                exchange.success(text).err(),
                Some(AuthFailure::ServerNotAuthenticated)
            );
        }
    }
    let last = encode(FINAL.as_bytes());
    assert_eq!(
        begun().success(Some(&last)).err(),
        Some(AuthFailure::ServerNotAuthenticated)
    );
    let mut working = begun();
    working.challenge(&encode(FIRST.as_bytes())).unwrap();
    assert_eq!(
        working.success(Some(&last)).err(),
        Some(AuthFailure::ServerNotAuthenticated)
    );
}

#[test]
fn a11_the_proof_may_come_before_success() {
    let last = encode(FINAL.as_bytes());
    for text in [None, Some(""), Some("=")] {
        let mut exchange = proved();
        assert!(
            matches!(exchange.challenge(&last), Ok(Step::Respond(nothing)) if nothing.is_empty())
        );
        assert!(
            exchange
                .success(text)
                .is_ok_and(|mut done| done.take_keys().is_some())
        );
    }
    let mut exchange = proved();
    exchange.challenge(&last).unwrap();
    assert!(exchange.success(Some(&last)).is_err());
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

#[test]
fn a15_a_server_that_does_bind_tells_us_of_a_downgrade() {
    let refusal = encode(b"e=server-does-support-channel-binding");
    let (mut exchange, _) = start(scram(Hash::Sha1, Binding::Unoffered), NONCE);
    assert_eq!(
        exchange.challenge(&refusal).err(),
        Some(AuthFailure::Downgraded)
    );
    let (mut exchange, _) = start(scram(Hash::Sha1, Binding::Unoffered), NONCE);
    finish(&mut exchange, FIRST, 4096);
    assert_eq!(
        exchange.success(Some(&refusal)).err(),
        Some(AuthFailure::Downgraded)
    );
}

#[test]
fn a16_nothing_out_of_order_is_taken() {
    let (one, two) = (encode(FIRST.as_bytes()), encode(FINAL.as_bytes()));
    // Again, while working, after the proof.
    let mut exchange = begun();
    exchange.challenge(&one).unwrap();
    assert!(bad(exchange.challenge(&one)));
    let mut exchange = proved();
    assert!(exchange.challenge(&one).is_err());
    let mut exchange = proved();
    exchange.challenge(&two).unwrap();
    assert!(bad(exchange.challenge(&two)));
    // An error is the end.
    let mut exchange = begun();
    assert!(exchange.challenge("!").is_err());
    assert!(bad(exchange.challenge(&one)) && exchange.work(9).is_none());
    assert!(exchange.success(Some(&two)).is_err());
    // PLAIN is one message.
    let plain = || start(Choice { kind: Kind::Plain }, "").0;
    assert!(bad(plain().challenge("")));
    assert!(plain().success(Some(&two)).is_err());
    assert!(plain().success(Some("=")).is_ok());
    assert!(
        plain()
            .success(None)
            .is_ok_and(|mut done| done.take_keys().is_none())
    );
}

#[test]
fn a17_failures_by_their_names() {
    for (name, expected) in [
        ("not-authorized", SaslCondition::NotAuthorized),
        (
            "temporary-auth-failure",
            SaslCondition::TemporaryAuthFailure,
        ),
        ("bad-protocol", SaslCondition::Undefined),
    ] {
        let AuthFailure::Rejected { condition, text } = failure(name, Some("why")) else {
            panic!("a refusal is a refusal");
        };
        assert_eq!((condition, text.as_deref()), (expected, Some("why")));
    }
}

#[test]
fn a18_nothing_secret_shows() {
    let mut exchange = begun();
    let mut shown = format!("{exchange:?}");
    exchange.challenge(&encode(FIRST.as_bytes())).unwrap();
    shown.push_str(&format!("{exchange:?}"));
    let done = proved().success(Some(&encode(FINAL.as_bytes()))).unwrap();
    shown.push_str(&format!("{done:?} {:?}", pencil()));
    for secret in ["pencil", "salt", "client", "server", "["] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// The other side, by the formulas of RFC 5802, section 3, and nothing else.
#[derive(Debug)]
struct Server {
    hash: Hash,
    gs2: String,
    binding: Vec<u8>,
    password: String,
    salt: Vec<u8>,
    iterations: u32,
    extension: String,
}

impl Server {
    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        macro_rules! with {
            ($D:ty) => {{
                let mut mac = Hmac::<$D>::new_from_slice(key).unwrap();
                mac.update(data);
                mac.finalize().into_bytes().to_vec()
            }};
        }
        match self.hash {
            Hash::Sha1 => with!(sha1::Sha1),
            Hash::Sha256 => with!(sha2::Sha256),
            Hash::Sha512 => with!(sha2::Sha512),
        }
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        use sha2::Digest as _;
        match self.hash {
            Hash::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Hash::Sha256 => sha2::Sha256::digest(data).to_vec(),
            Hash::Sha512 => sha2::Sha512::digest(data).to_vec(),
        }
    }

    fn salted(&self) -> Vec<u8> {
        let key = self.password.as_bytes();
        let mut last = self.hmac(key, &[&*self.salt, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..self.iterations {
            last = self.hmac(key, &last);
            sum.iter_mut()
                .zip(&last)
                .for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }

    fn first(&self, client_first: &str) -> String {
        let nonce = client_first.rsplit_once("r=").unwrap().1;
        let salt = STANDARD.encode(&self.salt);
        format!(
            "r={nonce}theirs,s={salt},i={}{}",
            self.iterations, self.extension
        )
    }

    /// The server-final-message, if the client's proof and binding hold.
    fn last(&self, client_first: &str, first: &str, client_final: &str) -> String {
        let bare = client_first.strip_prefix(&*self.gs2).unwrap();
        let (without_proof, proof) = client_final.rsplit_once(",p=").unwrap();
        let (bound, nonce) = without_proof
            .strip_prefix("c=")
            .unwrap()
            .split_once(",r=")
            .unwrap();
        assert_eq!(
            STANDARD.decode(bound).unwrap(),
            [self.gs2.as_bytes(), &self.binding].concat()
        );
        assert!(first.starts_with(&format!("r={nonce},")));
        let auth = format!("{bare},{first},{without_proof}");
        let salted = self.salted();
        let stored = self.digest(&self.hmac(&salted, b"Client Key"));
        let mut key = STANDARD.decode(proof).unwrap();
        let signature = self.hmac(&stored, auth.as_bytes());
        key.iter_mut()
            .zip(&signature)
            .for_each(|(key, byte)| *key ^= byte);
        assert_eq!(self.digest(&key), stored, "the client's proof");
        let key = self.hmac(&salted, b"Server Key");
        format!("v={}", STANDARD.encode(self.hmac(&key, auth.as_bytes())))
    }
}

fn servers() -> impl Strategy<Value = (Server, Binding)> {
    (
        proptest::sample::select(vec![Hash::Sha1, Hash::Sha256, Hash::Sha512]),
        prop_oneof![
            Just(Binding::Unsupported),
            Just(Binding::Unoffered),
            any::<[u8; 32]>().prop_map(|data| Binding::Exporter(data.to_vec())),
            any::<[u8; 48]>().prop_map(|data| Binding::ServerEndPoint(data.to_vec())),
        ],
        "[ -~]{1,150}",
        proptest::collection::vec(any::<u8>(), 1..64),
        1..40_u32,
        "(,x=[!-+--~]{1,9})?",
    )
        .prop_map(|(hash, binding, password, salt, iterations, extension)| {
            let gs2 = match &binding {
                Binding::Unsupported => "n,,".to_string(),
                Binding::Unoffered => "y,,".to_string(),
                Binding::Exporter(_) => "p=tls-exporter,,".to_string(),
                Binding::ServerEndPoint(_) => "p=tls-server-end-point,,".to_string(),
            };
            let server = Server {
                hash,
                gs2,
                binding: binding.data().to_vec(),
                password,
                salt,
                iterations,
                extension,
            };
            (server, binding)
        })
}

/// The same text with one character replaced.
fn mutate(text: &str, at: proptest::sample::Index, by: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes[at] = by;
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn a_login_succeeds(
        (server, binding) in servers(),
        user in "[ -~]{1,20}",
        slice in 1..50_u32,
        in_challenge in any::<bool>(),
    ) {
        let credentials = Credentials::new(&user, &server.password).unwrap();
        let choice = scram(server.hash, binding);
        let (mut exchange, one) =
            Exchange::start(choice.clone(), &credentials, "ours".into(), (1, 50), None);
        let one = String::from_utf8(one).unwrap();
        let first = server.first(&one);
        let two = finish(&mut exchange, &first, slice);
        let last = encode(server.last(&one, &first, &two).as_bytes());
        let done = if in_challenge {
            exchange.challenge(&last).unwrap();
            exchange.success(None)
        } else {
            exchange.success(Some(&last))
        };
        // And again with the keys, which give the same.
        let keys = done.unwrap().take_keys();
        let (mut exchange, _) =
            Exchange::start(choice, &credentials, "ours".into(), (1, 50), keys.as_ref());
        prop_assert!(
            matches!(exchange.challenge(&encode(first.as_bytes())), Ok(Step::Respond(message)) if message == two.as_bytes())
        );
    }

    #[test]
    fn no_tampering_goes_unnoticed(
        (server, binding) in servers(),
        at in any::<proptest::sample::Index>(),
        by in 0..128_u8,
        on_the_wire in any::<bool>(),
        the_last in any::<bool>(),
    ) {
        let credentials = Credentials::new("user", &server.password).unwrap();
        let begin = || {
            let choice = scram(server.hash, binding.clone());
            Exchange::start(choice, &credentials, "ours".into(), (1, 400), None)
        };
        let (mut honest, one) = begin();
        let one = String::from_utf8(one).unwrap();
        let first = server.first(&one);
        let two = finish(&mut honest, &first, u32::MAX);
        let last = server.last(&one, &first, &two);

        // The same conversation, one character of what the server said replaced.
        let original = [encode(first.as_bytes()), encode(last.as_bytes())];
        let mut sent = original.clone();
        let (clear, wire) = if the_last { (&last, &mut sent[1]) } else { (&first, &mut sent[0]) };
        *wire = if on_the_wire {
            mutate(wire, at, by)
        } else {
            encode(mutate(clear, at, by).as_bytes())
        };
        let (mut exchange, _) = begin();
        let result = exchange.challenge(&sent[0]).and_then(|_| {
            exchange.work(u32::MAX);
            exchange.success(Some(&sent[1]))
        });
        prop_assert_eq!(result.is_ok(), sent == original);
    }
}
