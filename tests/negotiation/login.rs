//! SASL: what a server says during the login, and what that means for the next.

use std::time::Duration;

use parley_xmpp::{AuthFailure, SaslCondition};

use crate::peer::{self, BIND, HEADER, Peer};
use crate::*;

/// The login failed for good, and no further word was said about it.
#[track_caller]
fn refused(peer: &mut Peer) -> AuthFailure {
    let said = peer.heard();
    assert!(!said.contains("<response"), "{said}");
    assert!(!said.contains("<stream:stream"), "{said}");
    match ended_for_good(peer) {
        OfflineCause::Auth(failure) => failure,
        cause => panic!("{cause:?}"),
    }
}

fn success(message: &str) -> String {
    format!("<success xmlns='{SASL}'>{}</success>", base64(message))
}

fn refusal(condition: &str, text: &str) -> String {
    format!("<failure xmlns='{SASL}'><{condition}/><text>{text}</text></failure>")
}

const BOTH: [&str; 2] = ["SCRAM-SHA-1", "SCRAM-SHA-256"];

#[test]
fn a01_nothing_on_offer_that_may_be_used() {
    for offered in [
        &[][..],
        &["PLAIN"],
        &["ANONYMOUS", "EXTERNAL"],
        &["SCRAM-MD5"],
        &[""],
    ] {
        let mut peer = greeted(strict(), secure());
        peer.say(&offer(None, offered));
        let AuthFailure::NoMechanism { offered: told } = refused(&mut peer) else {
            panic!("{offered:?}");
        };
        assert_eq!(told, offered);
    }
    let mut peer = greeted(strict(), secure());
    peer.say("<stream:features/>");
    assert!(matches!(
        refused(&mut peer),
        AuthFailure::NoMechanism { .. }
    ));
}

#[test]
fn a01_plain_is_not_used_where_scram_is_offered() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(&offer(
        None,
        &["PLAIN", "X", "SCRAM-SHA-1", "SCRAM-SHA-1", "SCRAM-SHA-256"],
    ));
    assert!(peer.heard().contains("mechanism='SCRAM-SHA-256'"));
}

#[test]
fn a02_to_a08_a_challenge_that_is_none() {
    for mechanism in BOTH {
        let (_, _, good) = authenticating(mechanism);
        let (nonce, rest) = good.split_once(",s=").unwrap();
        let ours = nonce.strip_suffix("server+nonce").unwrap();
        let (salt, _) = rest.split_once(",i=").unwrap();
        let with = |nonce: &str, salt: &str, rounds: &str| format!("{nonce},s={salt},i={rounds}");
        let mut wrong = vec![
            // A2
            with(ours, salt, "4096"),
            with("r=another", salt, "4096"),
            with(&nonce.replacen("r=", "r=x", 1), salt, "4096"),
            // A4
            with(nonce, "", "4096"),
            with(nonce, "!", "4096"),
            with(nonce, &base64(&"x".repeat(1025)), "4096"),
            // A5 and A7
            format!("m=x,{good}"),
            format!("s={salt},{nonce},i=4096"),
            format!("{nonce},{good}"),
            format!("{nonce},s={salt}"),
            nonce.to_owned(),
            String::new(),
            ",".to_owned(),
            "\u{0}".to_owned(),
        ];
        // A3
        for rounds in [
            "0", "-1", "04096", "", "4096x", "+4096", "١", "1", "4095", "1000001",
        ] {
            wrong.push(with(nonce, salt, rounds));
        }
        wrong.push(with(nonce, salt, "99999999999999999999999"));
        for message in wrong {
            let (mut peer, ..) = authenticating(mechanism);
            peer.say(&challenge(&message));
            work(&mut peer);
            let failure = refused(&mut peer);
            assert!(
                matches!(
                    failure,
                    AuthFailure::BadMessage(_) | AuthFailure::Iterations(_)
                ),
                "{message}: {failure:?}"
            );
        }
    }
}

#[test]
fn a06_an_unknown_attribute_is_part_of_what_is_signed() {
    for mechanism in BOTH {
        let (mut peer, mut server, first) = authenticating(mechanism);
        let first = format!("{first},x=1,y=b=c");
        server.replace_first(&first);
        peer.say(&challenge(&first));
        work(&mut peer);
        let response = peer.heard();
        let last = server.last(text_of(&response, "response"), b"").unwrap();
        peer.say(&success(&last));
        assert!(peer.heard().contains("<stream:stream"));
    }
}

#[test]
fn a06_a_wrong_downgrade_hash() {
    let (mut peer, _, first) = authenticating("SCRAM-SHA-256");
    peer.say(&challenge(&format!(
        "{first},h={}",
        base64("not the hash of the offer")
    )));
    assert_eq!(refused(&mut peer), AuthFailure::Downgraded);
}

#[test]
fn a08_the_server_gives_up() {
    let (mut peer, ..) = authenticating("SCRAM-SHA-1");
    peer.say(&challenge("e=no-resources"));
    let (cause, retry) = ended(&mut peer);
    assert!(matches!(cause, OfflineCause::Auth(_)), "{cause:?}");
    assert_ne!(retry, Retry::Never);
    let (mut peer, _) = proved("SCRAM-SHA-1");
    let long = "\u{20ac}".repeat(2000);
    peer.say(&success(&format!("e={long}")));
    let AuthFailure::Rejected { condition, text } = refused(&mut peer) else {
        panic!("no rejection");
    };
    assert_eq!(condition, SaslCondition::Undefined);
    assert!(text.is_some_and(|text| text.len() <= 1024));
}

#[test]
fn a09_a_wrong_server_signature() {
    for mechanism in BOTH {
        let (_, good) = proved(mechanism);
        let short = &good[..good.len() - 4];
        for last in [
            format!("v={}", base64("x")),
            format!("v={}", base64(&"x".repeat(32))),
            short.to_owned(),
            "v=".to_owned(),
            format!("{good}AAAA"),
            good.replace("v=", "w="),
            format!("x=1,{good}"),
        ] {
            let (mut peer, _) = proved(mechanism);
            peer.say(&success(&last));
            refused(&mut peer);
            let (mut peer, _) = proved(mechanism);
            peer.say(&challenge(&last));
            refused(&mut peer);
        }
    }
}

#[test]
fn a10_success_without_proof() {
    for mechanism in BOTH {
        for early in [
            SUCCESS,
            &SUCCESS.replace("/>", ">=</success>"),
            &success("v=AAAA"),
        ] {
            let (mut peer, ..) = authenticating(mechanism);
            peer.say(early);
            assert_eq!(refused(&mut peer), AuthFailure::ServerNotAuthenticated);
        }
        for late in [SUCCESS, &SUCCESS.replace("/>", ">=</success>")] {
            let (mut peer, _) = proved(mechanism);
            peer.say(late);
            assert_eq!(refused(&mut peer), AuthFailure::ServerNotAuthenticated);
        }
        // While we still compute.
        let (mut peer, _, first) = authenticating(mechanism);
        peer.say(&challenge(&first));
        peer.say(SUCCESS);
        work(&mut peer);
        assert_eq!(refused(&mut peer), AuthFailure::ServerNotAuthenticated);
    }
}

#[test]
fn a11_the_proof_in_success_or_in_a_challenge() {
    for mechanism in BOTH {
        let (mut peer, last) = proved(mechanism);
        peer.say(&success(&last));
        assert!(peer.heard().starts_with("<?xml "));

        let (mut peer, last) = proved(mechanism);
        peer.say(&challenge(&last));
        assert_eq!(peer.heard(), format!("<response xmlns='{SASL}'/>"));
        peer.say(SUCCESS);
        assert!(peer.heard().starts_with("<?xml "));

        // Twice is once too often.
        let (mut peer, last) = proved(mechanism);
        peer.say(&challenge(&last));
        peer.heard();
        peer.say(&success(&last));
        assert!(matches!(refused(&mut peer), AuthFailure::BadMessage(_)));
    }
}

#[test]
fn a12_base64_that_is_not_canonical() {
    let (_, _, first) = authenticating("SCRAM-SHA-1");
    let good = base64(&first);
    for text in [
        String::new(),
        "=".to_owned(),
        " ".to_owned(),
        format!(" {good}"),
        format!("{good}\n"),
        good.trim_end_matches('=')[..good.trim_end_matches('=').len() - 1].to_owned(),
        format!("{good}="),
        "_-8=".to_owned(),
        "QQ=".to_owned(),
        "QR==".to_owned(),
        "/w==".to_owned(),
        "A".repeat(20_000),
    ] {
        let (mut peer, ..) = authenticating("SCRAM-SHA-1");
        peer.say(&format!("<challenge xmlns='{SASL}'>{text}</challenge>"));
        work(&mut peer);
        assert!(
            matches!(refused(&mut peer), AuthFailure::BadMessage(_)),
            "{text}"
        );
    }
}

#[test]
fn a13_a_name_with_commas() {
    let config = Config::new("parley.local", "a,b=c", "secret").unwrap();
    let mut peer = greeted(config, secure());
    peer.say(&offer(None, &["SCRAM-SHA-1"]));
    let mut server = Scram::new("SCRAM-SHA-1", "secret");
    server.first(text_of(&peer.heard(), "auth"));
    assert_eq!(server.username(), "a=2Cb=3Dc");
}

#[test]
fn a15_bound_to_the_channel() {
    let mut channel = ChannelBinding::default();
    channel.exporter = Some(vec![0xCD; 32]);
    for (offered, mechanism, data) in [
        (
            &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"][..],
            "SCRAM-SHA-256-PLUS",
            &[0xCD; 32][..],
        ),
        (&["SCRAM-SHA-256"], "SCRAM-SHA-256", b""),
    ] {
        let mut peer = greeted(strict(), Security::Tls(channel.clone()));
        peer.say(&offer(None, offered).replace(
            "</stream:features>",
            if data.is_empty() {
                "</stream:features>"
            } else {
                "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
                 <channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>"
            },
        ));
        let auth = peer.heard();
        assert_eq!(attribute(&auth, "mechanism"), mechanism);
        let mut server = Scram::new(mechanism, "secret");
        let first = server.first(text_of(&auth, "auth"));
        peer.say(&challenge(&first));
        work(&mut peer);
        let response = peer.heard();
        assert_eq!(
            server.last(text_of(&response, "response"), b"another channel"),
            None
        );
        let last = server.last(text_of(&response, "response"), data).unwrap();
        peer.say(&success(&last));
        assert!(peer.heard().contains("<stream:stream"));
    }
}

#[test]
fn a15_the_offer_of_channel_binding_is_stripped() {
    let mut channel = ChannelBinding::default();
    channel.exporter = Some(vec![1; 32]);
    // Types of binding, but no mechanism to bind with.
    let mut peer = greeted(strict(), Security::Tls(channel.clone()));
    peer.say(&offer(None, &["SCRAM-SHA-256"]).replace(
        "</stream:features>",
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
         <channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>",
    ));
    assert_eq!(refused(&mut peer), AuthFailure::Downgraded);
    // The server notices by our `y`.
    let mut peer = greeted(strict(), Security::Tls(channel));
    peer.say(&offer(None, &["SCRAM-SHA-256"]));
    let auth = peer.heard();
    assert!(scram::unbase64(text_of(&auth, "auth")).starts_with("y,,"));
    peer.say(&challenge("e=server-does-support-channel-binding"));
    assert_eq!(refused(&mut peer), AuthFailure::Downgraded);
}

#[test]
fn a16_messages_out_of_order() {
    // A challenge to PLAIN, and one after the last.
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.heard();
    peer.say(&challenge("x"));
    assert!(matches!(refused(&mut peer), AuthFailure::BadMessage(_)));
    let (mut peer, last) = proved("SCRAM-SHA-1");
    peer.say(&challenge(&last));
    peer.heard();
    peer.say(&challenge(&last));
    assert!(matches!(refused(&mut peer), AuthFailure::BadMessage(_)));
    // Two challenges at once: the second comes while we compute.
    let (mut peer, _, first) = authenticating("SCRAM-SHA-1");
    peer.say(&format!("{}{}", challenge(&first), challenge(&first)));
    work(&mut peer);
    assert!(matches!(refused(&mut peer), AuthFailure::BadMessage(_)));
    // Data with the success of PLAIN.
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.heard();
    peer.say(&success("x"));
    assert!(matches!(refused(&mut peer), AuthFailure::BadMessage(_)));
}

#[test]
fn a16_success_twice_or_then_failure() {
    for then in [SUCCESS, &refusal("not-authorized", "")] {
        let mut peer = greeted(peer::config(), secure());
        peer.say(peer::PLAIN);
        peer.say(&format!("{SUCCESS}{then}"));
        // The new stream must begin with a header.
        assert!(matches!(ended_for_now(&mut peer), OfflineCause::Xml(_)));
    }
    // Within the new stream it is out of place, and so is failure after features.
    for then in [SUCCESS, &refusal("not-authorized", "")] {
        let mut peer = greeted(peer::config(), secure());
        peer.say(peer::PLAIN);
        peer.say(&format!("{SUCCESS}{HEADER}{then}"));
        assert!(matches!(
            ended_for_now(&mut peer),
            OfflineCause::PeerMisbehaved(_)
        ));
    }
}

#[test]
fn a17_failures_and_the_next_attempt() {
    for (condition, known) in [
        ("not-authorized", SaslCondition::NotAuthorized),
        ("account-disabled", SaslCondition::AccountDisabled),
        ("credentials-expired", SaslCondition::CredentialsExpired),
        ("mechanism-too-weak", SaslCondition::MechanismTooWeak),
        ("encryption-required", SaslCondition::EncryptionRequired),
        ("invalid-mechanism", SaslCondition::InvalidMechanism),
        ("aborted", SaslCondition::Aborted),
        ("made-up", SaslCondition::Undefined),
        ("text", SaslCondition::Undefined),
    ] {
        let (mut peer, ..) = authenticating("SCRAM-SHA-256");
        peer.say(&refusal(condition, &"no ".repeat(1000)));
        let AuthFailure::Rejected { condition, text } = refused(&mut peer) else {
            panic!("{condition}");
        };
        assert_eq!(condition, known);
        assert!(text.unwrap().len() <= 1024);
    }
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.heard();
    peer.say(&format!("<failure xmlns='{SASL}'/>"));
    assert!(matches!(
        refused(&mut peer),
        AuthFailure::Rejected { text: None, .. }
    ));
}

#[test]
fn a17_a_server_that_cannot_decide_is_asked_again() {
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.say(&refusal("temporary-auth-failure", ""));
    let (_, Retry::At(at)) = ended(&mut peer) else {
        panic!("no retry");
    };
    let pause = at.since(peer.now);
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
}

#[test]
fn a18_nothing_shows_the_password() {
    let (peer, ..) = authenticating("SCRAM-SHA-256");
    let shown = format!(
        "{:?} {:?} {:?}",
        peer.engine,
        peer.engine.config(),
        peer.engine.wants()
    );
    assert!(!shown.contains("secret"), "{shown}");
}

/// Logs in again with what was derived the first time.
fn second_login(server: impl Fn(&mut Scram)) -> (Peer, String) {
    let (mut peer, last) = proved("SCRAM-SHA-1");
    peer.say(&success(&last));
    peer.engine.handle_eof(peer.now);
    let Retry::At(at) = ended(&mut peer).1 else {
        panic!("no retry");
    };
    peer.now = at;
    peer.engine.handle_timeout(peer.now);
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.heard();
    peer.say(&offer(None, &["SCRAM-SHA-1"]));
    let mut again = Scram::new("SCRAM-SHA-1", "secret");
    server(&mut again);
    let first = again.first(text_of(&peer.heard(), "auth"));
    peer.say(&challenge(&first));
    work(&mut peer);
    let response = peer.heard();
    let last = again
        .last(text_of(&response, "response"), b"")
        .expect("the right proof");
    (peer, last)
}

#[test]
fn keys_of_the_last_login_serve_only_the_same_salt_and_rounds() {
    let changes: [fn(&mut Scram); 3] = [
        |_| {},
        |server| server.salt = b"another".to_vec(),
        |server| server.rounds = 5000,
    ];
    for change in changes {
        let (mut peer, last) = second_login(change);
        peer.say(SUCCESS);
        assert_eq!(refused(&mut peer), AuthFailure::ServerNotAuthenticated);
        let (mut peer, last_again) = second_login(change);
        assert_eq!(last, last_again);
        peer.say(&success(&last_again));
        peer.say(HEADER);
        peer.say(BIND);
        assert!(peer.heard().contains("<bind "));
    }
}
