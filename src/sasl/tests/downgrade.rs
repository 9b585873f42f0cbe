//! Who stands between, and takes something from what the server offers.

use super::*;

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

/// XEP-0440: channel binding may be announced for mechanisms that are none of SCRAM's. Where no
/// SCRAM is offered, nothing was taken from it.
#[test]
fn what_is_announced_for_other_mechanisms_is_no_downgrade() {
    let offer = |mechanisms| Offer {
        mechanisms,
        channel_bindings: Some(&["tls-exporter"]),
    };
    let policy = Policy {
        secure: true,
        allow_plain: true,
    };
    let binding = ChannelBinding {
        exporter: Some(vec![1; 32]),
        server_end_point: None,
    };
    let choice = choose(offer(&["PLAIN", "OAUTHBEARER"]), policy, &binding).unwrap();
    assert_eq!(
        (choice.mechanism(), choice.channel_binding()),
        ("PLAIN", None)
    );
    assert!(matches!(
        choose(offer(&["PLAIN", "SCRAM-SHA-1"]), policy, &binding),
        Err(AuthFailure::Downgraded)
    ));
    let both = ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"];
    let choice = choose(offer(&both), policy, &binding).unwrap();
    assert_eq!(choice.mechanism(), "SCRAM-SHA-1-PLUS");
    assert_eq!(choice.channel_binding(), Some("tls-exporter"));
}
