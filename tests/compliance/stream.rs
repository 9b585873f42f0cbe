//! Streams: how they are opened, restarted and ended, and what is never written on them
//! (RFC 6120, sections 4 to 7 and 11; XEP-0198).

use parley_xmpp::{
    ChannelBinding, Config, Event, Instant, OfflineCause, PeerMisbehaved, Retry, Security,
    StreamCondition, Transport, XmlLimits,
};

use crate::peer::{self, BIND, BIND_SM, HEADER, PLAIN, Peer, ROOM_FEATURES, attribute};
use crate::scram::{Scram, base64};

const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const CLEAR: Security = Security::Clear { loopback: false };

fn secure() -> Security {
    Security::Tls(ChannelBinding::default())
}

/// A peer that has opened its side of the stream.
fn greeted(config: Config, security: Security) -> (Peer, String) {
    let mut peer = Peer::new(config);
    peer.engine.transport_opened(peer.now, security);
    let written = peer.heard();
    peer.say(HEADER);
    (peer, written)
}

/// Why the stream ended, and whether another follows.
fn ended(peer: &mut Peer) -> (OfflineCause, Retry) {
    let offline = peer.events().into_iter().find_map(|event| match event {
        Event::Offline { cause, retry } => Some((cause, retry)),
        _ => None,
    });
    offline.expect("the stream goes on")
}

/// A whole login by STARTTLS and SCRAM, up to the stream that is online: what was
/// written before TLS and after it.
fn whole_login() -> (Peer, String, String) {
    let config = Config::new("parley.local", "alice", "secret").unwrap();
    let (mut peer, mut before) = greeted(config, CLEAR);
    peer.say(
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    );
    before.push_str(&peer.heard());
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    peer.say(PROCEED);
    assert_eq!(peer.engine.wants().transport, Transport::StartTls);
    peer.engine
        .tls_established(peer.now, ChannelBinding::default());
    let mut after = peer.heard();
    peer.say(HEADER);
    peer.say(&PLAIN.replace("PLAIN", "SCRAM-SHA-1"));
    let auth = peer.heard();
    after.push_str(&auth);
    let mut server = Scram::new("SCRAM-SHA-1", "secret");
    let text = |sent: &str| {
        sent.rsplit_once("</")
            .unwrap()
            .0
            .rsplit_once('>')
            .unwrap()
            .1
            .to_owned()
    };
    let first = server.first(&text(&auth));
    peer.say(&format!(
        "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</challenge>",
        base64(&first)
    ));
    while peer
        .engine
        .wants()
        .deadline
        .is_some_and(|due| due.at <= peer.now)
    {
        peer.engine.handle_timeout(peer.now);
    }
    let response = peer.heard();
    after.push_str(&response);
    let last = server.last(&text(&response), b"").unwrap();
    peer.say(&SUCCESS.replace("/>", &format!(">{}</success>", base64(&last))));
    after.push_str(&peer.heard());
    assert_eq!(peer.engine.wants().transport, Transport::Open);
    peer.say(HEADER);
    peer.say(BIND_SM);
    let bind = peer.heard();
    after.push_str(&bind);
    let id = attribute(&bind, "id").to_owned();
    peer.say(&format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>alice@parley.local/x</jid></bind></iq>"
    ));
    after.push_str(&peer.heard());
    assert!(matches!(peer.events()[..], [Event::Online { .. }]));
    (peer, before, after)
}

/// RFC 6120 sections 4.3.3, 5.4.3.3, 6.4.6 and 7.3.2.
#[test]
fn a_stream_is_restarted_without_an_end_and_on_the_same_transport() {
    let (peer, before, after) = whole_login();
    // One before TLS; within it one before the login and one after, none after binding.
    assert_eq!(before.matches("<stream:stream ").count(), 1);
    assert_eq!(after.matches("<stream:stream ").count(), 2);
    let (negotiated, bound) = after.split_once("<iq ").unwrap();
    assert_eq!(negotiated.matches("<stream:stream ").count(), 2);
    assert!(!bound.contains("<stream:stream "));
    assert!(!before.contains("</stream") && !after.contains("</stream"));
    assert_eq!(peer.engine.wants().transport, Transport::Open);
}

/// RFC 6120 sections 5.3.3 and 6.3.5.
#[test]
fn no_white_space_is_written_between_elements() {
    let (_, before, after) = whole_login();
    for written in [before, after] {
        assert_eq!(written.trim(), written);
        for gap in ["> ", ">\n", ">\t", ">\r", " <", "\n<"] {
            assert!(!written.contains(gap), "{written}");
        }
    }
}

/// RFC 6120 section 4.3.5: no stanza to others "until stream negotiation has been
/// completed".
#[test]
fn no_stanza_goes_to_anybody_before_a_resource_is_bound() {
    let (mut peer, mut written) = greeted(peer::config(), secure());
    let room = parley_xmpp::jid::BareJid::parse(peer::ROOM).unwrap();
    let room = parley_xmpp::JoinRoom::new(room, parley_xmpp::Nick::Chosen("ada".into()));
    let room = peer.engine.join(peer.now, room).unwrap();
    let post = parley_xmpp::Post::new("early");
    peer.engine.post(peer.now, room, post).unwrap();
    peer.say(PLAIN);
    peer.say(SUCCESS);
    peer.say(HEADER);
    written.push_str(&peer.heard());
    assert_eq!(written.matches("<iq ").count(), 0);
    peer.say(BIND);
    let bind = peer.heard();
    written.push_str(&bind);
    // Of whoever asks meanwhile nobody is answered.
    peer.say("<iq type='get' id='p' from='x@y'><ping xmlns='urn:xmpp:ping'/></iq>");
    written.push_str(&peer.heard());
    assert_eq!(written.matches("<iq ").count(), 1, "{written}");
    assert!(!written.contains("<presence") && !written.contains("<message"));
    assert!(bind.starts_with("<iq type='set' id='") && !bind.contains(" to='"));
}

/// RFC 6120 sections 4.7, 4.8 and 11.5: `to` and `version`, no `id`, the two namespaces and
/// no other, a declaration that names no encoding but UTF-8, no byte order mark.
#[test]
fn the_header_names_the_domain_and_bears_no_id() {
    let (_, written) = greeted(peer::config(), secure());
    assert_eq!(
        written,
        "<?xml version='1.0'?><stream:stream to='parley.local' version='1.0' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    );
}

/// RFC 6120 section 4.7.5.
#[test]
fn leading_zeros_of_a_version_are_ignored() {
    for (version, taken) in [
        ("01.0", true),
        ("001.00", true),
        ("00.9", false),
        ("0.10", false),
    ] {
        let mut peer = Peer::new(peer::config());
        peer.engine.transport_opened(peer.now, secure());
        peer.heard();
        peer.say(&HEADER.replace("version='1.0' from", &format!("version='{version}' from")));
        assert_eq!(
            peer.engine.wants().transport == Transport::Open,
            taken,
            "{version}"
        );
    }
}

/// RFC 6120 section 4.8.5: declarations of a header "MUST apply only to that stream".
#[test]
fn namespaces_of_the_header_end_with_its_stream() {
    let (mut peer, _) = greeted(peer::config(), secure());
    peer.say(PLAIN);
    peer.say(SUCCESS);
    // The first header declared a prefix that the second does not.
    let mut again = Peer::new(peer::config());
    again.engine.transport_opened(again.now, secure());
    again.say(&HEADER.replace("xmlns='jabber", "xmlns:old='urn:old' xmlns='jabber"));
    again.say(PLAIN);
    again.say(SUCCESS);
    again.heard();
    again.say(HEADER);
    again.say("<old:features/>");
    assert!(again.heard().contains("<not-well-formed "));
    assert!(matches!(ended(&mut again).0, OfflineCause::Xml(_)));
}

/// RFC 6120 section 8.4: no prefix means anything, but to whom it is declared.
#[test]
fn prefixes_mean_nothing() {
    let mut peer = Peer::new(peer::config());
    peer.engine.transport_opened(peer.now, secure());
    let rename = |text: &str| text.replace("stream:", "s:").replace(":stream=", ":s=");
    peer.say(&rename(HEADER));
    peer.say(&rename(PLAIN));
    assert!(peer.heard().contains("<auth "));
    peer.say("<a:success xmlns:a='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.say(&rename(HEADER));
    peer.heard();
    peer.say(&rename(BIND));
    peer.bound();
    peer.heard();
    peer.say(
        "<c:iq xmlns:c='jabber:client' type='get' id='1'><p:ping xmlns:p='urn:xmpp:ping'/></c:iq>",
    );
    assert_eq!(peer.heard(), "<iq type='result' id='1'/>");
    // The word without the namespace is another word.
    peer.say("<iq type='get' id='2'><ping xmlns='urn:other'/></iq>");
    assert!(peer.heard().contains("<service-unavailable "));
}

/// RFC 6120 sections 4.9.1.1, 4.9.2, 11.1 and 11.3: an error of the stream is sent, its
/// condition in the namespace for that, then the closing tag, and nothing after it.
#[test]
fn a_fault_of_the_peer_is_named_and_ends_the_stream() {
    for (fault, condition) in [
        ("<message><!-- x --></message>", "restricted-xml"),
        ("<?php x?>", "restricted-xml"),
        ("<!DOCTYPE x>", "restricted-xml"),
        ("<message>&nbsp;</message>", "restricted-xml"),
        ("<message></presence>", "not-well-formed"),
        ("<message a='1' a='2'/>", "not-well-formed"),
        ("<x:message/>", "not-well-formed"),
        ("<message>&#0;</message>", "not-well-formed"),
        ("<message xmlns='jabber:server'/>", "invalid-namespace"),
        ("<unheard-of/>", "unsupported-stanza-type"),
        (
            HEADER.split_once("?>").unwrap().1,
            "unsupported-stanza-type",
        ),
        ("text", "bad-format"),
    ] {
        let mut peer = Peer::online(peer::config());
        peer.heard();
        peer.say(fault);
        let end = format!(
            "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error></stream:stream>"
        );
        assert_eq!(peer.heard(), end, "{fault}");
        assert_eq!(StreamCondition::from_wire(condition).as_str(), condition);
        assert!(matches!(
            ended(&mut peer).0,
            OfflineCause::Xml(_) | OfflineCause::PeerMisbehaved(_)
        ));
        // The transport is closed once that is written.
        assert_eq!(peer.engine.wants().transport, Transport::Shutdown);
    }
    assert!(XmlLimits::default().stanza_bytes > 10_000);
}

/// RFC 6120 section 4.4: "Refrain from sending any further data over its outbound stream".
#[test]
fn after_our_closing_tag_nothing_is_written() {
    let mut peer = Peer::online(peer::config());
    let room = peer.join(ROOM_FEATURES);
    peer.heard();
    peer.engine.close(peer.now);
    let last = peer.heard();
    assert!(last.ends_with("</stream:stream>"), "{last}");
    peer.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    peer.say(&peer::message("bob", "a1", "hi"));
    peer.say("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    assert!(
        peer.engine
            .post(peer.now, room, parley_xmpp::Post::new("x"))
            .is_err()
    );
    peer.pass(std::time::Duration::from_secs(60));
    assert_eq!(peer.heard(), "");
}

/// RFC 6120 section 5.3.1: TLS is mandatory where it alone is offered, or is required.
#[test]
fn tls_is_set_up_where_nothing_else_is_offered() {
    let mut config = peer::config();
    config.plaintext = parley_xmpp::Plaintext::OnLoopback;
    for required in ["", "<required/>"] {
        let loopback = Security::Clear { loopback: true };
        let (mut peer, _) = greeted(config.clone(), loopback);
        peer.say(&format!(
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>{required}\
             </starttls></stream:features>"
        ));
        assert_eq!(
            peer.heard(),
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        );
    }
}

/// RFC 6120 section 6.5: an unknown condition is "equivalent to <not-authorized/>".
#[test]
fn an_unknown_failure_of_the_login_is_like_a_wrong_password() {
    let refused = |condition: &str, was_right: bool| {
        let mut peer = if was_right {
            let mut peer = Peer::online(peer::config());
            peer.engine.handle_eof(peer.now);
            while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
                peer.pass(std::time::Duration::from_secs(1));
            }
            peer.events();
            peer
        } else {
            Peer::new(peer::config())
        };
        peer.engine.transport_opened(peer.now, secure());
        peer.heard();
        peer.say(HEADER);
        peer.say(PLAIN);
        peer.say(&format!(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{condition}</failure>"
        ));
        let (cause, retry) = ended(&mut peer);
        assert!(matches!(cause, OfflineCause::Auth(_)));
        retry != Retry::Never
    };
    for was_right in [false, true] {
        let due = refused("<not-authorized/>", was_right);
        assert_eq!(due, was_right);
        for unknown in ["<made-up/>", "", "<made-up xmlns='urn:x'/>"] {
            assert_eq!(refused(unknown, was_right), due, "{unknown}");
        }
        assert!(!refused("<account-disabled/>", was_right));
    }
}

/// XEP-0198 section 3: once, and not before the binding.
#[test]
fn management_is_asked_for_once_and_after_the_binding() {
    let (mut peer, before, after) = whole_login();
    assert!(!before.contains("urn:xmpp:sm:3"));
    let (until_bound, then) = after.split_once("</iq>").unwrap();
    assert!(!until_bound.contains("urn:xmpp:sm:3"));
    assert!(then.starts_with("<enable xmlns='urn:xmpp:sm:3' resume='true'/>"));
    assert_eq!(then.matches("<enable").count(), 1);
    // Not again on this stream, whatever the server makes of it.
    peer.say("<failed xmlns='urn:xmpp:sm:3'/>");
    peer.say(BIND_SM);
    peer.pass(std::time::Duration::from_secs(30));
    assert!(!peer.heard().contains("<enable"));
}

/// Breaks a managed stream; what the engine says first on the next one, once logged in.
fn next_after(enabled: &str) -> String {
    let mut peer = Peer::new(peer::config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say(enabled);
    peer.engine.handle_eof(peer.now);
    while !matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
        peer.pass(std::time::Duration::from_secs(1));
    }
    peer.authenticate();
    peer.heard();
    peer.say(BIND_SM);
    peer.heard()
}

/// XEP-0198 sections 3 and 5: "implementations MUST support both styles of lexical
/// representation".
#[test]
fn both_spellings_of_a_boolean_count() {
    for (resume, resumed) in [
        ("resume='true'", true),
        ("resume='1'", true),
        ("resume='false'", false),
        ("resume='0'", false),
        ("", false),
    ] {
        let next = next_after(&format!("<enabled xmlns='urn:xmpp:sm:3' id='x' {resume}/>"));
        assert_eq!(next.starts_with("<resume "), resumed, "{resume}: {next}");
        assert_eq!(next.contains("<bind "), !resumed);
    }
}

/// XEP-0198 section 5: the id of a stream is opaque.
#[test]
fn an_id_of_a_stream_comes_back_as_it_was_given() {
    for id in [
        "0",
        "  two  words ",
        "&lt;&amp;&apos;\"",
        "\u{20ac}\u{1f980}",
        "resume='1'",
    ] {
        let id = id.replace('\'', "&apos;");
        let next = next_after(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='1'/>"
        ));
        let same = format!("<resume xmlns='urn:xmpp:sm:3' h='0' previd='{}'/>", id);
        assert_eq!(next.replace("&quot;", "\"").replace("&gt;", ">"), same);
    }
}

/// What has no place on a stream, whatever its state, is no reason to believe it.
#[test]
fn a_stanza_of_servers_is_refused_during_the_login_as_well() {
    let (mut peer, _) = greeted(peer::config(), secure());
    peer.say("<message xmlns='jabber:server'/>");
    assert!(peer.heard().contains("<invalid-namespace "));
    assert_eq!(
        ended(&mut peer).0,
        OfflineCause::PeerMisbehaved(PeerMisbehaved::WrongContentNamespace)
    );
    assert!(peer.now >= Instant::ZERO);
}
