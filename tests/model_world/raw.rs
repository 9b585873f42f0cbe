//! A client of the model server that is nothing but text, for what an engine
//! never says.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

use parley_xmpp::sim::server::{ConnectionId, Personality, Server, ServerSetup};
use parley_xmpp::{ChannelBinding, Instant, Security};

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='parley.local' version='1.0' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

pub const BOTH: [Personality; 2] = [Personality::Prosody, Personality::Ejabberd];

/// Runs a test on both personalities; the flag is true for Prosody.
pub fn both(test: impl Fn(Raw, bool)) {
    for personality in BOTH {
        test(
            Raw::new(crate::model_world::setup(personality)),
            personality == Personality::Prosody,
        );
    }
}

/// Asserts that all of these are in a text.
pub fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

/// Asserts that none of these is.
pub fn lacks(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(!text.contains(part), "{part} in {text}");
    }
}

pub struct Raw {
    pub server: Server,
    pub now: Instant,
}

impl Raw {
    pub fn new(setup: ServerSetup) -> Self {
        let now = Instant::from_millis(1000);
        Self {
            server: Server::new(setup, now),
            now,
        }
    }

    pub fn connect(&mut self) -> ConnectionId {
        let security = Security::Tls(ChannelBinding::default());
        self.server
            .accept(self.now, security)
            .expect("a connection")
    }

    /// Says something; gives what is answered.
    pub fn say(&mut self, id: ConnectionId, text: &str) -> String {
        self.server.handle_input(self.now, id, text.as_bytes());
        self.heard(id)
    }

    pub fn heard(&mut self, id: ConnectionId) -> String {
        let write = self.server.wants(id).write;
        let text = core::str::from_utf8(write).expect("text").to_owned();
        self.server.written(self.now, id, text.len());
        text
    }

    /// A connection of an account that is logged in and bound to no resource.
    pub fn log_in(&mut self, name: &str) -> ConnectionId {
        use base64::Engine as _;
        let id = self.connect();
        let first = format!("\0{name}\0secret");
        let first = base64::engine::general_purpose::STANDARD.encode(first);
        self.say(id, HEADER);
        let answer = self.say(
            id,
            &format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{first}</auth>"
            ),
        );
        assert!(answer.contains("<success"), "{answer}");
        assert!(self.say(id, HEADER).contains("<bind"));
        id
    }

    /// A connection of an account that is bound to a resource.
    pub fn bind(&mut self, name: &str, resource: &str) -> ConnectionId {
        let id = self.log_in(name);
        let answer = self.say(
            id,
            &format!(
                "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <resource>{resource}</resource></bind></iq>"
            ),
        );
        let jid = format!("<jid>{name}@parley.local/{resource}</jid>");
        assert!(answer.contains(&jid), "{answer}");
        id
    }

    /// Enters the room `ops` and takes it as it is.
    pub fn enter(&mut self, id: ConnectionId, nick: &str) -> String {
        let answer = self.say(
            id,
            &format!(
                "<presence to='ops@muc.parley.local/{nick}' id='j'>\
                 <x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
            ),
        );
        if answer.contains("'201'") {
            self.say(
                id,
                "<iq type='set' id='u' to='ops@muc.parley.local'>\
                 <query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>",
            );
        }
        answer
    }

    pub fn post(&mut self, id: ConnectionId, body: &str) -> String {
        self.say(
            id,
            &format!(
                "<message to='ops@muc.parley.local' type='groupchat' id='m'>\
                 <body>{body}</body></message>"
            ),
        )
    }

    /// Asks for a page of the archive.
    pub fn page(&mut self, id: ConnectionId, set: &str) -> String {
        self.say(
            id,
            &format!(
                "<iq type='set' id='q' to='ops@muc.parley.local'>\
                 <query xmlns='urn:xmpp:mam:2' queryid='Q'>\
                 <set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query></iq>"
            ),
        )
    }
}

/// The bodies in a text, in their order.
pub fn bodies(text: &str) -> Vec<&str> {
    let parts = text.split("<body>").skip(1);
    parts
        .map(|p| p.split("</body>").next().unwrap_or_default())
        .collect()
}

/// The value of the first attribute of that name after `marker`.
pub fn attribute<'a>(text: &'a str, marker: &str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(marker).expect("the marker");
    let (_, rest) = rest
        .split_once(&format!(" {name}='"))
        .expect("the attribute");
    rest.split('\'').next().expect("its end")
}
