//! A session that is up, in a room with an archive, for targets that begin there.

use core::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::xml::{Element, Frame, Framer};
use parley_xmpp::{
    ChannelBinding, Config, Engine, Event, Instant, JoinRoom, Nick, Plaintext, RoomId, Security,
    Seed, Transport, XmlLimits,
};

pub(crate) const ROOM: &str = "ops@muc.parley.local";

/// What the server says first on each stream.
pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream id='s' version='1.0' \
    from='parley.local' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// An engine and the server's end of its stream.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    pub(crate) room: RoomId,
    framer: Framer,
}

/// What a server keeps of something that it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) to: String,
    /// `h` of an `<a/>` or a `<resume/>`.
    pub(crate) h: Option<u32>,
    pub(crate) query: Option<Query>,
}

/// A question to an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) id: String,
    pub(crate) max: usize,
    pub(crate) after: Option<String>,
    pub(crate) before: Option<String>,
}

impl Session {
    /// Logs in, and joins the room.
    pub(crate) fn open(managed: bool, limits: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("parley.local", "alice", "secret").expect("a config");
        config.allow_plain = true;
        config.plaintext = Plaintext::OnLoopback;
        limits(&mut config);
        let now = Instant::ZERO;
        let mut engine = Engine::new(config, Seed::new([3; 32]), now);
        let address = BareJid::parse(ROOM).expect("an address");
        let room = engine
            .join(now, JoinRoom::new(address, Nick::Chosen("ada".into())))
            .expect("a first room");
        let mut session = Self {
            engine,
            now,
            room,
            framer: Framer::new(XmlLimits::default()),
        };
        session.log_in();
        let bind = session.bound(managed);
        let here = format!(
            "<iq type='result' id='{bind}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/here</jid></bind></iq>"
        );
        session.say(&here);
        if managed {
            session.say("<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/>");
        }
        session
    }

    /// Lets it into the room, whose archive it is told of. Returns what it asked since.
    pub(crate) fn let_in(&mut self) -> Vec<Sent> {
        let mut sent = self.sent();
        self.say(&format!(
            "<presence from='{ROOM}/ada' to='alice@parley.local/here'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x></presence>\
             <message from='{ROOM}' type='groupchat'><subject/></message>"
        ));
        let info = sent
            .iter()
            .position(|sent| sent.name == "iq" && sent.to == ROOM && sent.query.is_none());
        let info = sent.remove(info.expect("it asks what the room can do"));
        self.say(&format!(
            "<iq type='result' id='{}' from='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>\
             <feature var='http://jabber.org/protocol/muc'/><feature var='urn:xmpp:mam:2'/>\
             <feature var='urn:xmpp:sid:0'/></query></iq>",
            info.id
        ));
        sent
    }

    /// The stream up to the features after the login.
    fn log_in(&mut self) {
        self.engine
            .transport_opened(self.now, Security::Tls(ChannelBinding::default()));
        self.framer.restart();
        self.say(HEADER);
        self.say(
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             <mechanism>PLAIN</mechanism></mechanisms></stream:features>",
        );
        let sent = self.sent();
        assert!(sent.iter().any(|sent| sent.name == "auth"), "{sent:?}");
        self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.say(HEADER);
    }

    fn bound(&mut self, managed: bool) -> String {
        let sm = if managed {
            "<sm xmlns='urn:xmpp:sm:3'/>"
        } else {
            ""
        };
        self.say(&format!(
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>{sm}</stream:features>"
        ));
        let sent = self.sent();
        let bind = sent.iter().find(|sent| sent.name == "iq");
        bind.unwrap_or_else(|| panic!("no request to bind: {sent:?}"))
            .id
            .clone()
    }

    /// The link breaks, and the next one stands up to the request to resume; `None` if
    /// there is none.
    pub(crate) fn resume(&mut self) -> Option<u32> {
        self.engine.handle_eof(self.now);
        self.wait_until(|engine| matches!(engine.wants().transport, Transport::Connect { .. }))?;
        self.log_in();
        self.say(
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
             <sm xmlns='urn:xmpp:sm:3'/></stream:features>",
        );
        let sent = self.sent();
        sent.iter().find(|sent| sent.name == "resume")?.h
    }

    /// The server says this, all at once.
    pub(crate) fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes());
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.engine.wants().read {
            let taken = self.engine.handle_input(self.now, rest);
            rest = &rest[taken..];
            if taken == 0 {
                break;
            }
        }
    }

    /// The questions to the archive in what it wrote; whatever else it asks has an empty answer.
    pub(crate) fn questions(&mut self) -> Vec<(Sent, Query)> {
        let mut questions = Vec::new();
        for mut sent in self.sent().into_iter().filter(|sent| sent.name == "iq") {
            if let Some(query) = sent.query.take() {
                questions.push((sent, query));
            } else {
                let (id, to) = (&sent.id, &sent.to);
                self.say(&format!("<iq type='result' id='{id}' from='{to}'/>"));
            }
        }
        questions
    }

    /// All that it wrote since it was asked last.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let text = self.engine.wants().write.to_vec();
        self.engine.written(self.now, text.len());
        let text = String::from_utf8(text).expect("text");
        let mut sent = Vec::new();
        for (number, stream) in text.split("<?xml ").enumerate() {
            if number > 0 {
                self.framer.restart();
                self.read("<?xml ", &mut sent);
            }
            self.read(stream, &mut sent);
        }
        sent
    }

    fn read(&mut self, text: &str, sent: &mut Vec<Sent>) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (n, frame) = self.framer.push(rest);
            match frame {
                Some(Ok(Frame::Stanza(element))) => sent.push(Sent::read(element)),
                Some(Err(error)) => panic!("{error:?} in {text}"),
                _ => {}
            }
            rest = &rest[n..];
        }
    }

    /// Lets time pass, deadline by deadline, until something is so; `None` if it does not
    /// come to be within an hour.
    pub(crate) fn wait_until(&mut self, so: impl Fn(&Engine) -> bool) -> Option<()> {
        let end = self.now.plus(Duration::from_secs(3600));
        while !so(&self.engine) {
            let at = self.engine.wants().deadline?.at;
            if at > end {
                return None;
            }
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        Some(())
    }

    /// What it told since it was asked last.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.engine.poll_event()).collect()
    }
}

impl Sent {
    fn read(element: Element<'_>) -> Self {
        let attr = |name| element.attr(name).unwrap_or_default().to_owned();
        let query = element.child("query", "urn:xmpp:mam:2").map(|query| {
            let set = query.child("set", "http://jabber.org/protocol/rsm");
            let text = |name| {
                let child = set?.child(name, "http://jabber.org/protocol/rsm")?;
                Some(child.text().to_owned())
            };
            Query {
                id: query.attr("queryid").unwrap_or_default().to_owned(),
                max: text("max").and_then(|max| max.parse().ok()).unwrap_or(0),
                after: text("after"),
                before: text("before"),
            }
        });
        Self {
            name: element.name().to_owned(),
            id: attr("id"),
            to: attr("to"),
            h: element.attr("h").and_then(|h| h.parse().ok()),
            query,
        }
    }
}
