//! The login: A1 to A18.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use parley_xmpp::{AuthFailure, Config, ConfigError, OfflineCause, Retry, SaslCondition, Timer};

use crate::peer::{BIND, HEADER, PLAIN, attribute};
use crate::scram::{Scram, base64, unbase64};
use crate::*;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const MECHANISM: &str = "SCRAM-SHA-256";

/// The features of a server before the login, with more of them.
fn offer(mechanisms: &[&str], more: &str) -> String {
    let names = mechanisms
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"));
    let names: String = names.collect();
    format!(
        "<stream:features><mechanisms xmlns='{SASL}'>{names}</mechanisms>{more}</stream:features>"
    )
}

/// As it comes: no PLAIN.
fn strict() -> Config {
    Config::new("parley.local", "alice", "secret").unwrap()
}

/// A peer that was asked to open a stream over this channel, and that offers that.
fn offering(config: Config, channel: ChannelBinding, features: &str) -> Peer {
    let mut peer = Peer::new(config);
    peer.engine
        .transport_opened(peer.now, Security::Tls(channel));
    peer.heard();
    peer.say(HEADER);
    peer.say(features);
    peer
}

/// The text of the last element of that name that was written.
fn text_of<'a>(sent: &'a str, name: &str) -> &'a str {
    let element = sent.rsplit_once(&format!("<{name} ")).expect(name).1;
    let text = element.split_once('>').unwrap().1;
    text.split_once('<').map_or("", |(text, _)| text)
}

fn challenge(message: &str) -> String {
    format!("<challenge xmlns='{SASL}'>{}</challenge>", base64(message))
}

fn success(message: &str) -> String {
    format!("<success xmlns='{SASL}'>{}</success>", base64(message))
}

fn failure(condition: &str) -> String {
    format!("<failure xmlns='{SASL}'><{condition}/></failure>")
}

/// Lets the engine compute.
fn work(peer: &mut Peer) {
    while (peer.engine.wants().deadline).is_some_and(|d| d.why == Timer::Work) {
        peer.engine.handle_timeout(peer.now);
    }
}

/// A peer to which the client has said its first words; with the server's.
fn authenticating() -> (Peer, Scram, String) {
    let features = offer(&[MECHANISM], "");
    let mut peer = offering(strict(), ChannelBinding::default(), &features);
    let auth = peer.heard();
    assert_eq!(attribute(&auth, "mechanism"), MECHANISM);
    let mut server = Scram::new(MECHANISM, "secret");
    let first = server.first(text_of(&auth, "auth"));
    (peer, server, first)
}

/// A peer to which the client has proved itself; with the proof of the server.
fn proved() -> (Peer, String) {
    let (mut peer, server, first) = authenticating();
    peer.say(&challenge(&first));
    work(&mut peer);
    let response = peer.heard();
    let last = server
        .last(text_of(&response, "response"), b"")
        .expect("the right proof");
    (peer, last)
}

/// The login failed, nothing more was said, and nobody tries again.
#[track_caller]
fn failed(peer: &mut Peer) -> AuthFailure {
    let said = peer.heard();
    assert!(!said.contains("<response"), "{said}");
    assert!(!said.contains("<stream:stream"), "{said}");
    match &peer.events()[..] {
        [
            Event::Offline {
                cause: OfflineCause::Auth(failure),
                retry: Retry::Never,
            },
        ] => failure.clone(),
        other => panic!("{other:?}"),
    }
}

/// That this in place of the server's first words ends the login, before any proof.
#[track_caller]
fn refused_first(message: &str) {
    let (mut peer, ..) = authenticating();
    peer.say(&challenge(message));
    work(&mut peer);
    let failure = failed(&mut peer);
    assert!(
        matches!(
            failure,
            AuthFailure::BadMessage(_) | AuthFailure::Iterations(_)
        ),
        "{message:.99}: {failure:?}"
    );
}

/// The parts of the server's first words: the nonce with ours in it, ours, the salt.
fn parts() -> (String, String, String) {
    let (_, server, first) = authenticating();
    let (nonce, rest) = first.split_once(",s=").unwrap();
    let ours = nonce.strip_suffix(&server.nonce).unwrap();
    let (salt, _) = rest.split_once(",i=").unwrap();
    (nonce.to_owned(), ours.to_owned(), salt.to_owned())
}

#[test]
fn a01_no_weaker_mechanism_than_the_floor_and_no_plain_after_scram_in_one_engine() {
    for offered in [
        &[][..],
        &["PLAIN"],
        &["ANONYMOUS", "EXTERNAL"],
        &["SCRAM-MD5", ""],
    ] {
        let features = offer(offered, "");
        let mut peer = offering(strict(), ChannelBinding::default(), &features);
        let told = failed(&mut peer);
        assert!(matches!(told, AuthFailure::NoMechanism { offered: o } if o == offered));
    }
    // The strongest counts, whatever the order, and whatever else is there.
    let all = ["PLAIN", "X", "SCRAM-SHA-1", "SCRAM-SHA-1", "SCRAM-SHA-256"];
    let mut peer = offering(config(), ChannelBinding::default(), &offer(&all, ""));
    assert_eq!(attribute(&peer.heard(), "mechanism"), "SCRAM-SHA-256");

    // PLAIN by consent, but not after SCRAM was used: somebody took it away.
    let features = offer(&[MECHANISM, "PLAIN"], "");
    let mut peer = offering(config(), ChannelBinding::default(), &features);
    let mut server = Scram::new(MECHANISM, "secret");
    let first = server.first(text_of(&peer.heard(), "auth"));
    peer.say(&challenge(&first));
    work(&mut peer);
    let last = server
        .last(text_of(&peer.heard(), "response"), b"")
        .unwrap();
    peer.say(&success(&last));
    peer.say(HEADER);
    peer.heard();
    peer.say(BIND);
    peer.bound();
    peer.engine.handle_eof(peer.now);
    peer.events();
    peer.pass(Duration::from_secs(1));
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.heard();
    peer.say(&offer(&["PLAIN"], ""));
    let said = peer.heard();
    assert!(!said.contains("<auth"), "{said}");
    assert!(matches!(failed(&mut peer), AuthFailure::NoMechanism { .. }));
}

#[test]
fn a02_a_nonce_that_is_not_ours_and_more_is_refused() {
    let (nonce, ours, salt) = parts();
    let other = nonce.replacen("r=", "r=x", 1);
    for nonce in [&ours, "r=XYZ", &other, &ours[..ours.len() - 1], "r="] {
        refused_first(&format!("{nonce},s={salt},i=4096"));
    }
}

#[test]
fn a03_rounds_are_a_number_within_bounds() {
    let (nonce, _, salt) = parts();
    for rounds in [
        "0",
        "1",
        "4095",
        "04096",
        "-1",
        "+4096",
        "",
        "4096x",
        "1000001",
        "1000000000",
        "99999999999999999999",
    ] {
        refused_first(&format!("{nonce},s={salt},i={rounds}"));
    }
    // What is asked for and may be is computed in slices, which an end interrupts.
    let (mut peer, ..) = authenticating();
    peer.say(&challenge(&format!("{nonce},s={salt},i=1000000")));
    for _ in 0..3 {
        let deadline = peer.engine.wants().deadline.expect("work");
        assert_eq!(deadline.why, Timer::Work);
        peer.engine.handle_timeout(peer.now);
        assert_eq!(peer.heard(), "");
    }
    peer.engine.close(peer.now);
    assert!((peer.engine.wants().deadline).is_none_or(|d| d.why != Timer::Work));
}

#[test]
fn a04_a_salt_is_neither_empty_nor_huge_nor_garbled() {
    let (nonce, ..) = parts();
    let huge = base64(&"x".repeat(1 << 14));
    let large = base64(&"x".repeat(1025));
    for salt in ["", "!", "QQ", &large, &huge] {
        refused_first(&format!("{nonce},s={salt},i=4096"));
    }
}

#[test]
fn a05_a_mandatory_extension_is_refused() {
    let (_, _, first) = authenticating();
    refused_first(&format!("m=foo,{first}"));
    refused_first(&format!("m=,{first}"));
}

#[test]
fn a06_unknown_attributes_are_signed_and_the_hash_of_the_offer_is_checked() {
    let (mut peer, mut server, first) = authenticating();
    let first = format!("{first},x=1,y=b=c");
    server.replace_first(&first);
    peer.say(&challenge(&first));
    work(&mut peer);
    let response = peer.heard();
    let last = server.last(text_of(&response, "response"), b"");
    peer.say(&success(&last.expect("what was sent is signed")));
    assert!(peer.heard().contains("<stream:stream"));

    let (mut peer, _, first) = authenticating();
    let wrong = base64("not the hash of the offer");
    peer.say(&challenge(&format!("{first},h={wrong}")));
    work(&mut peer);
    assert_eq!(failed(&mut peer), AuthFailure::Downgraded);
}

/// XEP-0474 hashes all that was offered, however much that is: the server's hash is right.
#[test]
fn a06_the_hash_is_of_the_whole_of_a_long_offer() {
    let names: Vec<_> = (0..60).map(|n| format!("X-MECHANISM-{n:02}")).collect();
    let mut mechanisms: Vec<_> = names.iter().map(String::as_str).collect();
    mechanisms.push(MECHANISM);
    let types: Vec<_> = (0..20).map(|n| format!("x-type-{n:02}")).collect();
    let bindings = types
        .iter()
        .map(|kind| format!("<channel-binding type='{kind}'/>"));
    let bindings: String = bindings.collect();
    let bindings = format!(
        "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{bindings}</sasl-channel-binding>"
    );
    // Both are in the order of their bytes, but for the one that counts.
    let hash = |mechanisms: &[&str], types: &[String]| {
        let mut mechanisms = mechanisms.to_vec();
        mechanisms.sort_unstable();
        let text = [mechanisms.join("\u{1e}"), types.join("\u{1e}")].join("\u{1f}");
        STANDARD.encode(Sha256::digest(text))
    };
    for (claimed, right) in [
        (hash(&mechanisms, &types), true),
        (hash(&mechanisms[1..], &types), false),
        (hash(&mechanisms, &types[1..]), false),
        // As if only so many had been looked at.
        (hash(&mechanisms[..32], &types[..8]), false),
    ] {
        let features = offer(&mechanisms, &bindings);
        let mut peer = offering(strict(), ChannelBinding::default(), &features);
        let mut server = Scram::new(MECHANISM, "secret");
        let first = server.first(text_of(&peer.heard(), "auth"));
        let first = format!("{first},h={claimed}");
        server.replace_first(&first);
        peer.say(&challenge(&first));
        if !right {
            assert_eq!(failed(&mut peer), AuthFailure::Downgraded);
            continue;
        }
        work(&mut peer);
        let last = server.last(text_of(&peer.heard(), "response"), b"");
        peer.say(&success(&last.expect("the right proof")));
        assert!(peer.heard().contains("<stream:stream"));
        peer.say(HEADER);
        peer.heard();
        peer.say(BIND);
        let id = attribute(&peer.heard(), "id").to_owned();
        peer.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/here</jid></bind></iq>"
        ));
        let events = peer.events();
        let login = events.iter().find_map(|event| match event {
            Event::Online { login, .. } => Some(login),
            _ => None,
        });
        // What is told of it is bounded.
        let login = login.expect("a login");
        assert_eq!(
            (login.offered.len(), login.announced_bindings.len()),
            (32, 8)
        );
    }
}

#[test]
fn a07_attributes_have_an_order_and_stand_once() {
    let (nonce, _, salt) = parts();
    for message in [
        format!("s={salt},{nonce},i=4096"),
        format!("{nonce},{nonce},s={salt},i=4096"),
        format!("{nonce},i=4096,s={salt}"),
        format!("{nonce},s={salt}"),
        nonce,
        String::new(),
        ",,".to_owned(),
    ] {
        refused_first(&message);
    }
}

#[test]
fn a08_an_error_of_the_server_is_told_within_bounds() {
    for (error, long) in [("invalid-proof", false), (&*"\u{20ac}".repeat(1400), true)] {
        for start in [(|| authenticating().0) as fn() -> Peer, || proved().0] {
            let mut peer = start();
            peer.say(&challenge(&format!("e={error}")));
            let AuthFailure::Rejected { condition, text } = failed(&mut peer) else {
                panic!("no rejection");
            };
            assert!(!long || condition == SaslCondition::Undefined);
            assert!(text.is_none_or(|text| text.len() <= 1024));
        }
    }
}

#[test]
fn a09_no_proof_of_the_servers_but_the_right_one_will_do() {
    let (_, good) = proved();
    let short = &good[..good.len() - 4];
    for last in [
        short.to_owned(),
        format!("v={}", base64(&"x".repeat(32))),
        "v=".to_owned(),
        String::from("w=") + &good[2..],
        format!("{good}AAAA"),
        format!("x=1,{good}"),
    ] {
        for element in [success(&last), challenge(&last)] {
            let (mut peer, _) = proved();
            peer.say(&element);
            failed(&mut peer);
            // It is closed before anything is bound.
            assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
        }
    }
}

#[test]
fn a10_success_without_a_proof_is_none() {
    let empty = SUCCESS.replace("/>", ">=</success>");
    for success in [SUCCESS, &empty] {
        let (mut early, ..) = authenticating();
        early.say(success);
        assert_eq!(failed(&mut early), AuthFailure::ServerNotAuthenticated);
        let (mut late, _) = proved();
        late.say(success);
        assert_eq!(failed(&mut late), AuthFailure::ServerNotAuthenticated);
        let (mut meanwhile, _, first) = authenticating();
        meanwhile.say(&challenge(&first));
        meanwhile.say(success);
        work(&mut meanwhile);
        assert_eq!(failed(&mut meanwhile), AuthFailure::ServerNotAuthenticated);
    }
}

#[test]
fn a11_the_proof_comes_with_success_or_before_it() {
    let (mut peer, last) = proved();
    peer.say(&success(&last));
    assert!(peer.heard().starts_with("<?xml "));
    let (mut peer, last) = proved();
    peer.say(&challenge(&last));
    assert_eq!(peer.heard(), format!("<response xmlns='{SASL}'/>"));
    peer.say(SUCCESS);
    assert!(peer.heard().starts_with("<?xml "));
}

#[test]
fn a12_base64_is_canonical_or_nothing() {
    let (_, _, first) = authenticating();
    let good = base64(&first);
    let bare = good.trim_end_matches('=');
    for text in [
        String::new(),
        // Zero bytes, which are no message of the server's.
        "=".to_owned(),
        " ".to_owned(),
        format!("{}\n{}", &good[..8], &good[8..]),
        format!("{good} "),
        format!("{good}="),
        bare[..bare.len() - 1].to_owned(),
        "_-8=".to_owned(),
        "QR==".to_owned(),
        "QQ=".to_owned(),
    ] {
        let (mut peer, ..) = authenticating();
        peer.say(&format!("<challenge xmlns='{SASL}'>{text}</challenge>"));
        work(&mut peer);
        let failure = failed(&mut peer);
        assert!(
            matches!(failure, AuthFailure::BadMessage(_)),
            "{text}: {failure:?}"
        );
    }
}

#[test]
fn a13_a_name_is_escaped_once() {
    for (name, escaped) in [("a,b=c", "a=2Cb=3Dc"), ("a=2Cb", "a=3D2Cb")] {
        let config = Config::new("parley.local", name, "secret").unwrap();
        let features = offer(&[MECHANISM], "");
        let mut peer = offering(config, ChannelBinding::default(), &features);
        let mut server = Scram::new(MECHANISM, "secret");
        server.first(text_of(&peer.heard(), "auth"));
        assert_eq!(server.username(), escaped);
    }
    // Nor may what the server says hold one that is bare.
    let (nonce, _, salt) = parts();
    refused_first(&format!("{nonce},,s={salt},i=4096"));
}

#[test]
fn a14_what_cannot_be_prepared_is_no_wrong_password() {
    let new = |password: &str| Config::new("parley.local", "alice", password);
    for password in ["a\u{7}b", "\u{7f}", "a\u{0}", "\u{1f680}"] {
        assert_eq!(
            new(password).unwrap_err(),
            ConfigError::Unprepared,
            "{password:?}"
        );
    }
    for (password, prepared) in [("se\u{ad}cret", "secret"), ("sec\u{2000}ret", "sec ret")] {
        // Without the tables it is told, not sent as it is.
        assert_eq!(new(password).is_ok(), cfg!(feature = "saslprep"));
        let Ok(config) = new(password) else {
            continue;
        };
        let features = offer(&[MECHANISM], "");
        let mut peer = offering(config, ChannelBinding::default(), &features);
        let mut server = Scram::new(MECHANISM, prepared);
        let first = server.first(text_of(&peer.heard(), "auth"));
        peer.say(&challenge(&first));
        work(&mut peer);
        let response = peer.heard();
        assert!(server.last(text_of(&response, "response"), b"").is_some());
    }
}

#[test]
fn a15_the_flag_of_channel_binding_says_what_is_so() {
    let mut bound = ChannelBinding::default();
    bound.exporter = Some(vec![0xCD; 32]);
    let types = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
        <channel-binding type='tls-exporter'/></sasl-channel-binding>";
    for (channel, names, more, flag) in [
        (ChannelBinding::default(), &[MECHANISM][..], "", "n,,"),
        (bound.clone(), &[MECHANISM], "", "y,,"),
        (
            bound.clone(),
            &[MECHANISM, "SCRAM-SHA-256-PLUS"],
            types,
            "p=tls-exporter,,",
        ),
    ] {
        let mut peer = offering(strict(), channel, &offer(names, more));
        let auth = peer.heard();
        let first = unbase64(text_of(&auth, "auth"));
        assert!(first.starts_with(flag), "{first}");
        // `c=` is that flag, and the channel's data with it.
        let mut server = Scram::new(attribute(&auth, "mechanism"), "secret");
        let first = server.first(text_of(&auth, "auth"));
        peer.say(&challenge(&first));
        work(&mut peer);
        let response = peer.heard();
        let data: &[u8] = if flag.starts_with('p') {
            &[0xCD; 32]
        } else {
            b""
        };
        let response = text_of(&response, "response");
        assert!(server.last(response, data).is_some());
        assert!(server.last(response, b"another channel").is_none());
    }
    // Who strips the mechanism and leaves the types, or who fails us for our `y`.
    let mut peer = offering(strict(), bound.clone(), &offer(&[MECHANISM], types));
    assert_eq!(failed(&mut peer), AuthFailure::Downgraded);
    let mut peer = offering(strict(), bound, &offer(&[MECHANISM], ""));
    peer.heard();
    peer.say(&challenge("e=server-does-support-channel-binding"));
    assert_eq!(failed(&mut peer), AuthFailure::Downgraded);
}

#[test]
fn a16_nothing_out_of_order_is_taken() {
    // Before anything was asked.
    for early in [challenge("r=x,s=QQ==,i=4096"), SUCCESS.to_owned()] {
        let mut peer = opened();
        peer.say(HEADER);
        peer.say(&early);
        assert!(matches!(ended(&mut peer), OfflineCause::PeerMisbehaved(_)));
    }
    // Twice, and after the end.
    let (mut peer, last) = proved();
    peer.say(&challenge(&last));
    peer.heard();
    peer.say(&challenge(&last));
    assert!(matches!(failed(&mut peer), AuthFailure::BadMessage(_)));
    for then in [
        SUCCESS.to_owned(),
        failure("not-authorized"),
        challenge("x"),
    ] {
        for header in ["", HEADER] {
            let (mut peer, last) = proved();
            peer.say(&format!("{}{header}{then}", success(&last)));
            let cause = ended(&mut peer);
            assert!(
                matches!(
                    cause,
                    OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_)
                ),
                "{then}: {cause:?}"
            );
        }
    }
    let (mut peer, _) = proved();
    peer.say(&failure("made-up"));
    assert!(matches!(failed(&mut peer), AuthFailure::Rejected { .. }));
}

#[test]
fn a17_a_refused_login_is_not_hammered() {
    for condition in [
        "not-authorized",
        "account-disabled",
        "credentials-expired",
        "mechanism-too-weak",
        "encryption-required",
        "aborted",
        "made-up",
    ] {
        let (mut peer, ..) = authenticating();
        peer.say(&failure(condition));
        let told = failed(&mut peer);
        assert!(matches!(told, AuthFailure::Rejected { .. }), "{condition}");
        peer.heard();
        peer.engine.handle_eof(peer.now);
        peer.pass(Duration::from_secs(86_400));
        assert_eq!(peer.engine.wants().transport, Transport::Closed);
    }
    // Who was logged in before has one attempt more, where the password may be right still.
    for (condition, attempts) in [
        ("not-authorized", 1),
        ("made-up", 1),
        ("account-disabled", 0),
        ("mechanism-too-weak", 0),
    ] {
        let mut peer = online();
        peer.engine.handle_eof(peer.now);
        peer.engine.reconnect(peer.now);
        for attempt in 0.. {
            peer.events();
            let secure = Security::Tls(ChannelBinding::default());
            peer.engine.transport_opened(peer.now, secure);
            peer.heard();
            peer.say(HEADER);
            peer.say(PLAIN);
            peer.say(&failure(condition));
            peer.heard();
            peer.engine.handle_eof(peer.now);
            peer.pass(Duration::from_secs(86_400));
            if peer.engine.wants().transport == Transport::Closed {
                assert_eq!(attempt, attempts, "{condition}");
                break;
            }
            peer.engine.reconnect(peer.now);
        }
    }
    // What an application adds is not the condition, wherever it stands.
    let failure_of = |conditions: &str| {
        format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{conditions}</failure>")
    };
    let (mut peer, ..) = authenticating();
    peer.say(&failure_of(
        "<temporary-auth-failure xmlns='urn:app'/><not-authorized/>",
    ));
    peer.heard();
    peer.engine.handle_eof(peer.now);
    peer.pass(Duration::from_secs(86_400));
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    let (mut peer, ..) = authenticating();
    peer.say(&failure_of(
        "<locked xmlns='urn:app'/><temporary-auth-failure/>",
    ));
    let events = peer.events();
    let again = |event: &Event| {
        let retry = matches!(
            event,
            Event::Offline {
                retry: Retry::At(_),
                ..
            }
        );
        retry
    };
    assert!(events.iter().any(again), "{events:?}");
}

#[test]
fn a18_no_secret_shows() {
    let (mut peer, _, first) = authenticating();
    let config = peer.engine.config().clone();
    let mut shown = format!("{:?} {config:?}", peer.engine);
    peer.say(&challenge(&first));
    shown += &format!("{:?}", peer.engine);
    work(&mut peer);
    shown += &format!("{:?}", peer.engine);
    assert!(!shown.contains("secret"), "{shown}");
    // Nor what is derived from it: the response is nowhere but on the wire.
    let response = peer.heard();
    let message = unbase64(text_of(&response, "response"));
    let (_, proof) = message.rsplit_once(",p=").unwrap();
    assert!(!format!("{:?}", peer.engine).contains(proof));
    peer.say(&failure("not-authorized"));
    assert!(!format!("{:?}", peer.events()).contains("secret"));
}
