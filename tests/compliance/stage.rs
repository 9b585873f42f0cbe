//! A stream in the state in which an example comes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parley_xmpp::jid::{BareJid, Jid};
use parley_xmpp::{
    ChannelBinding, Config, Cursor, Fetch, JoinRoom, Nick, Post, RoomId, Security, Start, Transport,
};

use crate::peer::{self, BIND_SM, HEADER, PLAIN, Peer, attribute};

/// A stream in the state that an example comes in.
pub(super) struct Stage {
    pub(super) peer: Peer,
    domain: String,
    resource: String,
    room: Option<(RoomId, String)>,
    pub(super) features: String,
    /// What the engine gave ids to, and the last of each.
    pub(super) ids: BTreeMap<&'static str, String>,
    /// Stanzas of the engine on this stream, and how many of ours it says it handled.
    sent: u32,
    handled: u32,
    pub(super) managed: bool,
    /// What it wrote and nobody has looked at.
    written: String,
}

impl Stage {
    pub(super) fn new(account: &str) -> Self {
        let account = Jid::parse(account).expect("an account");
        let local = account.local().expect("a name");
        let mut config = Config::new(account.domain(), local, "secret").expect("a config");
        config.allow_plain = true;
        config.anchor_at_join = false;
        Self {
            peer: Peer::new(config),
            domain: account.domain().into(),
            resource: account.resource().unwrap_or("here").into(),
            room: None,
            features: String::new(),
            ids: BTreeMap::new(),
            sent: 0,
            handled: 0,
            managed: false,
            written: String::new(),
        }
    }

    /// What the engine has written since last time, its ids taken note of.
    pub(super) fn heard(&mut self) -> String {
        self.pull();
        std::mem::take(&mut self.written)
    }

    fn pull(&mut self) {
        let written = self.peer.heard();
        self.note(&written);
        self.written.push_str(&written);
    }

    fn note(&mut self, written: &str) {
        for stanza in ["<iq ", "<message ", "<presence"] {
            for (at, _) in written.match_indices(stanza) {
                let stanza = &written[at..];
                self.sent += 1;
                let end = stanza.find("</iq>").unwrap_or(stanza.len());
                let has = |what: &str| stanza[..end].contains(what);
                let name = match stanza.split(' ').next() {
                    Some("<presence") if stanza.starts_with("<presence to") => "join",
                    Some("<message") => "post",
                    Some("<iq") if has("disco#info") => "info",
                    Some("<iq") if has("disco#items") => "items",
                    Some("<iq") if has("urn:xmpp:mam:2") => "page",
                    Some("<iq") if has("urn:xmpp:ping") => "ping",
                    Some("<iq") if has("xmpp-bind") => "bind",
                    _ => continue,
                };
                let tag = &stanza[..stanza.find('>').expect("its end")];
                if tag.contains(" id='") {
                    self.ids.insert(name, attribute(tag, "id").to_owned());
                }
                if let Some((_, rest)) = stanza[..end].split_once("<resource>") {
                    let (resource, _) = rest.split_once('<').expect("its end");
                    self.ids.insert("resource", resource.to_owned());
                }
                if name == "page" {
                    let query = attribute(&stanza[..end], "queryid").to_owned();
                    self.ids.insert("query", query);
                }
            }
        }
    }

    fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    fn header(&self) -> String {
        HEADER.replace("parley.local", &self.domain)
    }

    fn open(&mut self) {
        let security = Security::Tls(ChannelBinding::default());
        self.peer.engine.transport_opened(self.peer.now, security);
        let header = self.header();
        self.peer.say(&header);
    }

    fn authenticate(&mut self) {
        self.open();
        self.peer.say(PLAIN);
        self.peer
            .say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.heard();
    }

    /// Binds a resource, stream management being offered or not.
    fn bind(&mut self, features: &str) {
        let header = self.header();
        self.peer.say(&header);
        self.peer.say(features);
        self.heard();
        let account = self.peer.engine.config().account().to_string();
        let (id, resource) = (self.id("bind").to_owned(), self.resource.clone());
        self.sent = 0;
        self.peer.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>{account}/{resource}</jid></bind></iq>"
        ));
        self.heard();
    }

    fn managed(&mut self) {
        self.authenticate();
        self.bind(BIND_SM);
        self.peer
            .say("<enabled xmlns='urn:xmpp:sm:3' id='some-long-sm-id' resume='true'/>");
        self.managed = true;
    }

    /// Something that is a part of the state: it is of no interest whether it is counted.
    fn say(&mut self, text: &str) {
        self.peer.say(text);
        self.count();
    }

    /// Asks how many stanzas were handled; says how many more than last time.
    pub(super) fn count(&mut self) -> u32 {
        // It answers when its last answer was read.
        self.pull();
        self.peer.say("<r xmlns='urn:xmpp:sm:3'/>");
        let answer = self.peer.heard();
        let handled: u32 = attribute(&answer, "h").parse().expect("a number");
        let more = handled - self.handled;
        self.handled = handled;
        more
    }

    fn enter(&mut self, at: &str, nick: &str) {
        let room = BareJid::parse(at).expect("a room");
        let room = JoinRoom::new(room, Nick::Chosen(nick.into()));
        let id = self.peer.engine.join(self.peer.now, room).expect("to join");
        self.room = Some((id, format!("{at}/{nick}")));
        self.heard();
    }

    /// The room says what it can do, as it was asked.
    fn examined(&mut self) {
        let (_, occupant) = self.room.clone().expect("a room");
        let (room, id) = (occupant.split('/').next().unwrap(), self.id("info"));
        let features: String = self
            .features
            .split_whitespace()
            .map(|feature| format!("<feature var='{feature}'/>"))
            .collect();
        let answer = format!(
            "<iq type='result' id='{id}' from='{room}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
        );
        self.say(&answer);
    }

    fn self_presence(&self) -> String {
        let (_, occupant) = self.room.as_ref().expect("a room");
        format!(
            "<presence from='{occupant}'><x xmlns='http://jabber.org/protocol/muc#user'>\
             <item affiliation='member' role='participant'/><status code='110'/></x></presence>"
        )
    }

    /// In the room, and following it.
    fn inside(&mut self, others: &str) {
        self.examined();
        let (room, occupant) = self.room.clone().expect("a room");
        for nick in others.split_whitespace() {
            let at = occupant.split('/').next().unwrap();
            self.say(&format!("<presence from='{at}/{nick}'/>"));
        }
        let entered = self.self_presence();
        self.say(&entered);
        self.peer
            .engine
            .subscribe(self.peer.now, room, Start::Now, 100)
            .expect("to subscribe");
        // Where there is an archive, its end is asked for first.
        while self.heard().contains("urn:xmpp:mam:2") {
            let fin = self.fin(&[]);
            self.say(&fin);
        }
    }

    fn fin(&self, ids: &[&str]) -> String {
        let (_, occupant) = self.room.as_ref().expect("a room");
        let room = occupant.split('/').next().unwrap();
        peer::fin(self.id("page"), true, ids).replace(peer::ROOM, room)
    }

    /// Brings about the state that the head names.
    pub(super) fn set(&mut self, state: &str, others: &str) {
        let words: Vec<_> = state.split(' ').collect();
        match words[..] {
            ["greeted"] => self.open(),
            ["authenticated"] => self.authenticate(),
            ["enabling"] => {
                self.authenticate();
                self.bind(BIND_SM);
            }
            ["managed"] => self.managed(),
            ["resuming"] => {
                self.managed();
                self.next_stream();
                assert!(self.heard().contains("<resume "));
            }
            ["entering", room, nick] => {
                self.managed();
                self.enter(room, nick);
            }
            ["inside", room, nick] => {
                self.managed();
                self.enter(room, nick);
                self.inside(others);
            }
            _ => panic!("no such state: {state}"),
        }
    }

    /// Does what goes before the example.
    pub(super) fn act(&mut self, what: &str) {
        let now = self.peer.now;
        let room = self.room.as_ref().map(|(id, _)| *id);
        let (verb, object) = what.split_once(' ').unwrap_or((what, ""));
        match verb {
            "post" => {
                let post = Post::new(object);
                self.peer
                    .engine
                    .post(now, room.expect("a room"), post)
                    .expect("to post");
            }
            "fetch" => {
                let fetch = match Cursor::parse(object) {
                    Some(since) => Fetch::since(since, 100),
                    None => Fetch::newest(100),
                };
                self.peer
                    .engine
                    .fetch(now, room.expect("a room"), fetch)
                    .expect("to fetch");
            }
            // The archive does not show what is asked for.
            "forget" => self.peer.shows = false,
            // The results of the page that was asked for.
            "results" => {
                self.heard();
                let (_, occupant) = self.room.clone().expect("a room");
                for id in object.split(' ') {
                    let result = peer::archived(self.id("query"), id, "archived");
                    let at = occupant.split('/').next().unwrap();
                    self.say(&result.replace(peer::ROOM, at));
                }
            }
            "disco-info" | "disco-items" => {
                let of = Jid::parse(object).expect("an address");
                let engine = &mut self.peer.engine;
                match verb {
                    "disco-info" => engine.disco_info(now, &of),
                    _ => engine.disco_items(now, &of),
                }
                .expect("to ask");
            }
            "examined" => self.examined(),
            "leave" => self.peer.engine.leave(now, room.expect("a room")),
            // Until the engine has sent so many stanzas on this stream.
            "sent" => {
                let count: u32 = object.parse().expect("a number");
                while self.sent < count {
                    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
                    self.peer.say(ping);
                    self.heard();
                }
            }
            // Until the room is asked whether we are in it.
            "silence" => {
                self.ids.remove("ping");
                while !self.ids.contains_key("ping") {
                    self.peer.pass(Duration::from_secs(5));
                    if self.heard().contains("<r ") {
                        let h = self.sent;
                        self.peer
                            .say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
                    }
                }
            }
            _ => panic!("nothing to do: {what}"),
        }
        self.heard();
    }

    /// The stream breaks; another one comes as far as to a resource or a resumption.
    pub(super) fn next_stream(&mut self) {
        self.managed = false;
        self.peer.engine.handle_eof(self.peer.now);
        while !matches!(
            self.peer.engine.wants().transport,
            Transport::Connect { .. }
        ) {
            self.peer.pass(Duration::from_secs(1));
        }
        self.heard();
        self.authenticate();
        let header = self.header();
        self.peer.say(&header);
        self.peer.say(BIND_SM);
    }

    /// What comes after the example.
    pub(super) fn then(&mut self, what: &str) -> String {
        let (verb, object) = what.split_once(' ').unwrap_or((what, ""));
        match verb {
            "enter" => self.self_presence(),
            "fin" => self.fin(&object.split(' ').collect::<Vec<_>>()),
            _ => panic!("nothing to come: {what}"),
        }
    }

    /// Tells what came of what was just said.
    pub(super) fn outcome(&mut self, example: &str, out: &mut String) {
        if self.managed && self.peer.engine.wants().transport == Transport::Open {
            match self.count() {
                0 => {}
                1 => out.push_str("  counted\n"),
                more => writeln!(out, "  counted {more} times").unwrap(),
            }
        }
        let mut nothing = true;
        for event in self.peer.events() {
            let event = without_times(&format!("{event:?}"));
            writeln!(out, "  event {}", self.named(&event)).unwrap();
            nothing = false;
        }
        let written = self.heard();
        if !written.is_empty() {
            let written = without_ids(&self.named(&written), example);
            writeln!(out, "  write {written}").unwrap();
            nothing = false;
        }
        if nothing {
            out.push_str("  nothing\n");
        }
    }

    /// The same with names in place of the ids that the engine gave.
    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, id) in &self.ids {
            text = text.replace(id.as_str(), &format!("{{{name}}}"));
        }
        text
    }
}

/// Without the instants of attempts, which are drawn.
fn without_times(event: &str) -> String {
    let mut parts = event.split("At(");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once(')').expect("its end");
        text.push_str("At(..)");
        text.push_str(rest);
    }
    text
}

/// Without the values of ids that are neither named nor of the example.
fn without_ids(written: &str, example: &str) -> String {
    let mut parts = written.split(" id='");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (id, rest) = part.split_once('\'').expect("its end");
        let known = id.starts_with('{') || example.contains(&format!("'{id}'"));
        write!(text, " id='{}'{rest}", if known { id } else { "*" }).unwrap();
    }
    text
}
