//! From the transport to the bound stream and back, against a server that does
//! what no server should: through the public interface alone. Each test is named
//! after what the server does.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod peer;

mod negotiation {
    mod answers;
    mod bind;
    mod deadlines;
    mod ends;
    mod login;
    mod tls;
}

#[path = "peer/scram.rs"]
mod scram;

use parley_xmpp::{
    ChannelBinding, Config, Event, OfflineCause, Plaintext, Retry, Security, Timer, Transport,
};
use peer::{HEADER, Peer, attribute};
use scram::{Scram, base64};

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const CLEAR: Security = Security::Clear { loopback: false };
const LOOPBACK: Security = Security::Clear { loopback: true };

fn secure() -> Security {
    Security::Tls(ChannelBinding::default())
}

/// A configuration as it comes: no PLAIN, TLS always.
fn strict() -> Config {
    Config::new("parley.local", "alice", "secret").unwrap()
}

fn on_loopback() -> Config {
    let mut config = peer::config();
    config.plaintext = Plaintext::OnLoopback;
    config
}

/// The features of a server before the login.
fn offer(starttls: Option<bool>, mechanisms: &[&str]) -> String {
    let starttls = match starttls {
        None => String::new(),
        Some(false) => format!("<starttls xmlns='{TLS}'/>"),
        Some(true) => format!("<starttls xmlns='{TLS}'><required/></starttls>"),
    };
    let mechanisms: String = mechanisms
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"))
        .collect();
    format!(
        "<stream:features>{starttls}<mechanisms xmlns='{SASL}'>{mechanisms}</mechanisms>\
         </stream:features>"
    )
}

/// A peer to whom the engine has just opened its stream.
fn opened(config: Config, security: Security) -> Peer {
    let mut peer = Peer::new(config);
    peer.engine.transport_opened(peer.now, security);
    assert!(
        peer.heard()
            .starts_with("<?xml version='1.0'?><stream:stream to='parley.local'")
    );
    peer
}

/// A peer that has opened its side of the stream as well.
fn greeted(config: Config, security: Security) -> Peer {
    let mut peer = opened(config, security);
    peer.say(HEADER);
    peer
}

/// A peer to which the engine has logged in and to which it now binds; with the
/// id of that request.
fn binding(features: &str) -> (Peer, String) {
    let mut peer = greeted(peer::config(), secure());
    peer.say(peer::PLAIN);
    peer.say(SUCCESS);
    peer.say(HEADER);
    peer.heard();
    peer.say(features);
    let sent = peer.heard();
    assert!(sent.contains("<bind xmlns="), "{sent}");
    let id = attribute(&sent, "id").to_owned();
    (peer, id)
}

/// The answer to a request to bind.
fn bound(id: &str, jid: &str) -> String {
    format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>{jid}</jid></bind></iq>"
    )
}

/// The text of the last element of that name that was written.
fn text_of<'a>(sent: &'a str, name: &str) -> &'a str {
    let element = sent.rsplit_once(&format!("<{name} ")).expect(name).1;
    let text = element.split_once('>').unwrap().1;
    text.split_once('<').map_or("", |(text, _)| text)
}

/// The text of a challenge.
fn challenge(message: &str) -> String {
    format!("<challenge xmlns='{SASL}'>{}</challenge>", base64(message))
}

/// Lets the engine compute.
fn work(peer: &mut Peer) {
    while peer
        .engine
        .wants()
        .deadline
        .is_some_and(|d| d.why == Timer::Work)
    {
        peer.engine.handle_timeout(peer.now);
    }
}

/// A peer in the middle of SCRAM: `<auth/>` has come.
fn authenticating(mechanism: &str) -> (Peer, Scram, String) {
    let mut peer = greeted(strict(), secure());
    peer.say(&offer(None, &[mechanism]));
    let auth = peer.heard();
    assert_eq!(attribute(&auth, "mechanism"), mechanism);
    let mut server = Scram::new(mechanism, "secret");
    let first = server.first(text_of(&auth, "auth"));
    (peer, server, first)
}

/// A peer in the middle of SCRAM: the client has proved itself. With what the
/// server has to say to that.
fn proved(mechanism: &str) -> (Peer, String) {
    let (mut peer, server, first) = authenticating(mechanism);
    peer.say(&challenge(&first));
    work(&mut peer);
    let response = peer.heard();
    let last = server
        .last(text_of(&response, "response"), b"")
        .expect("the right proof");
    (peer, last)
}

/// How the stream ended: exactly once.
fn ended(peer: &mut Peer) -> (OfflineCause, Retry) {
    let mut ends = peer.events().into_iter().filter_map(|event| match event {
        Event::Offline { cause, retry } => Some((cause, retry)),
        _ => None,
    });
    let end = ends.next().expect("an end");
    assert_eq!(ends.next(), None);
    assert!(matches!(
        peer.engine.wants().transport,
        Transport::Closed | Transport::Shutdown
    ));
    end
}

/// As [`ended`], for good: nothing is armed that would try again.
#[track_caller]
fn ended_for_good(peer: &mut Peer) -> OfflineCause {
    let (cause, retry) = ended(peer);
    assert_eq!(retry, Retry::Never, "{cause:?}");
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    assert_eq!(peer.engine.wants().deadline, None);
    cause
}

/// As [`ended`], for now: it tries again when it said it would.
#[track_caller]
fn ended_for_now(peer: &mut Peer) -> OfflineCause {
    let (cause, retry) = ended(peer);
    let Retry::At(at) = retry else {
        panic!("no retry after {cause:?}");
    };
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.engine.wants().transport, Transport::Closed);
    assert_eq!(peer.engine.wants().deadline.unwrap().at, at);
    peer.now = peer.now.max(at);
    peer.engine.handle_timeout(peer.now);
    assert_eq!(
        peer.engine.wants().transport,
        Transport::Connect { attempt: 2 }
    );
    cause
}
