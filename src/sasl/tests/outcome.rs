//! How a login ends, and what does not end it.

use super::*;

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
        ("invalid-encoding", SaslCondition::IncorrectEncoding),
        ("extensions-not-supported", SaslCondition::MalformedRequest),
        (
            "channel-binding-not-supported",
            SaslCondition::InvalidMechanism,
        ),
        (
            "unsupported-channel-binding-type",
            SaslCondition::InvalidMechanism,
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
