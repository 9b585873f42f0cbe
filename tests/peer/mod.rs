//! A scripted peer: says what a test tells it to, and nothing by itself.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking, and uses its own part of this module"
)]

use std::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    ChannelBinding, Config, Engine, Event, Instant, JoinRoom, Nick, RoomId, Security, Seed,
    Transport,
};

pub const HEADER: &str = "<?xml version='1.0'?><stream:stream id='s' version='1.0' \
    from='parley.local' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub const PLAIN: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
pub const BIND: &str =
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
/// The same, with stream management.
pub const BIND_SM: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
pub const ROOM: &str = "ops@muc.parley.local";
/// What a room with an archive says it can do.
pub const ROOM_FEATURES: &str = "<feature var='http://jabber.org/protocol/muc'/>\
    <feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:sid:0'/>";

pub struct Peer {
    pub engine: Engine,
    pub now: Instant,
    /// Whether the transport takes what is written while time passes.
    pub reads: bool,
    /// What it took then.
    pub kept: String,
    /// Whether the archive shows every cursor that it is asked about, unseen by the
    /// test: what lies before it is made up, under the id [`BEFORE`] and its own.
    pub shows: bool,
    /// How many stanzas were written since management was enabled.
    pub sent: u32,
    /// Whether it acknowledges by itself.
    pub acks: bool,
}

/// How the ids begin that are made up: `w-a1` lies right before `a1`.
pub const BEFORE: &str = "w-";

/// A configuration that logs in with PLAIN, in one step.
pub fn config() -> Config {
    let mut config = Config::new("parley.local", "alice", "secret").expect("a config");
    config.allow_plain = true;
    config
}

impl Peer {
    pub fn new(config: Config) -> Self {
        let now = Instant::from_millis(1000);
        Self {
            engine: Engine::new(config, Seed::new([3; 32]), now),
            now,
            reads: true,
            kept: String::new(),
            shows: true,
            sent: 0,
            acks: false,
        }
    }

    /// A peer that the engine is logged in with.
    pub fn online(config: Config) -> Self {
        let mut peer = Self::new(config);
        peer.log_in();
        peer
    }

    pub fn log_in(&mut self) {
        self.authenticate();
        self.bind(BIND);
    }

    /// Logs in, up to where the server says what may be done then.
    pub fn authenticate(&mut self) {
        assert!(matches!(
            self.engine.wants().transport,
            Transport::Connect { .. }
        ));
        self.engine
            .transport_opened(self.now, Security::Tls(ChannelBinding::default()));
        self.say(HEADER);
        self.say(PLAIN);
        assert!(self.heard().contains("mechanism='PLAIN'"));
        self.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.say(HEADER);
    }

    /// Offers these features, and answers a request for a resource.
    pub fn bind(&mut self, features: &str) {
        self.heard();
        self.say(features);
        self.bound();
    }

    /// Answers a request for a resource.
    pub fn bound(&mut self) {
        let id = attribute(&self.heard(), "id").to_owned();
        self.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>alice@parley.local/here</jid></bind></iq>"
        ));
        let events = self.events();
        assert!(
            matches!(events[..], [.., Event::Online { .. }]),
            "{events:?}"
        );
    }

    /// Joins [`ROOM`] as `ada`, the room having these features.
    pub fn join(&mut self, features: &str) -> RoomId {
        let room = BareJid::parse(ROOM).expect("an address");
        let room = JoinRoom::new(room, Nick::Chosen("ada".into()));
        let id = self.engine.join(self.now, room).expect("to join");
        self.let_in("ada", features);
        id
    }

    /// Answers a join that was sent, and refuses to say where the archive ends, if that is read.
    pub fn let_in(&mut self, nick: &str, features: &str) {
        let sent = self.heard();
        let query = sent.rsplit("<iq ").next().expect("a query");
        let id = attribute(query, "id").to_owned();
        self.say(&presence(nick, "<status code='110'/>"));
        self.say(&format!(
            "<iq type='result' id='{id}' from='{ROOM}'>\
             <query xmlns='http://jabber.org/protocol/disco#info'>{features}</query></iq>"
        ));
        for question in sent
            .split("<iq ")
            .filter(|iq| iq.contains("<max>1</max><before/>"))
        {
            let question = format!(" {question}");
            let (id, room) = (attribute(&question, "id"), attribute(&question, "to"));
            if self.engine.wants().read {
                self.say(&no_end(id, room));
            }
        }
    }

    pub fn say(&mut self, text: &str) {
        assert_eq!(
            self.engine.handle_input(self.now, text.as_bytes()),
            text.len(),
            "{text}"
        );
    }

    /// All that the engine has written since last time, but for questions whether the
    /// archive shows a cursor, which are answered ([`Self::shows`]).
    pub fn heard(&mut self) -> String {
        let mut all = self.written();
        let asks = "<r xmlns='urn:xmpp:sm:3'/>";
        while self.acks && all.contains(asks) {
            all = all.replace(asks, "");
            let h = self.sent;
            self.say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
            all += &self.written();
        }
        while self.shows
            && let Some((question, item)) = witness_question(&all)
        {
            let (iq, q) = (attribute(&question, "id"), attribute(&question, "queryid"));
            let at = attribute(&question, "to");
            // In an attribute it stands as it does not have to in a text.
            let id = item.replace('\'', "&apos;");
            self.say(&archived(q, &id, "shown").replace(ROOM, at));
            self.say(&fin(iq, false, &[&item]).replace(ROOM, at));
            all = all.replacen(&question, "", 1) + &self.written();
        }
        all
    }

    fn written(&mut self) -> String {
        let mut all = core::mem::take(&mut self.kept);
        loop {
            let wants = self.engine.wants();
            let text = core::str::from_utf8(wants.write).expect("text").to_owned();
            if text.is_empty() {
                return all;
            }
            let counted = match text.find("<enable ") {
                Some(at) => {
                    self.sent = 0;
                    &text[at..]
                }
                None => &text,
            };
            for tag in ["<iq ", "<message ", "<presence"] {
                self.sent += counted.matches(tag).count() as u32;
            }
            all.push_str(&text);
            self.engine.written(self.now, text.len());
        }
    }

    pub fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.engine.poll_event()).collect()
    }

    /// Lets time pass, to the deadlines exactly, with nothing said.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now.plus(time);
        let mut turns = 0;
        if self.reads {
            self.kept = self.heard();
        }
        while let Some(deadline) = self.engine.wants().deadline.filter(|d| d.at <= end) {
            self.now = self.now.max(deadline.at);
            self.engine.handle_timeout(self.now);
            if self.reads {
                self.kept = self.heard();
            }
            turns += 1;
            assert!(turns < 100_000, "the engine spins: {deadline:?}");
        }
        self.now = end;
    }
}

/// The archive of a room does not say where it ends.
pub fn no_end(id: &str, room: &str) -> String {
    format!(
        "<iq type='error' id='{id}' from='{room}'><error type='cancel'><forbidden \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

/// The first question whether the archive shows a cursor, and the item that answers it.
fn witness_question(written: &str) -> Option<(String, String)> {
    written.match_indices("<iq ").find_map(|(at, _)| {
        let rest = &written[at..];
        let question = &rest[..rest.find("</iq>")? + 5];
        let text = |open: &str| {
            let rest = &question[question.find(open)? + open.len()..];
            Some(&rest[..rest.find('<')?])
        };
        let single = question.contains("<max>1</max>");
        let before = text("<before>").filter(|item| single && !item.is_empty());
        let before = before.map(|item| format!("{BEFORE}{item}"));
        let after = || text("<after>")?.strip_prefix(BEFORE).map(str::to_owned);
        Some((question.to_owned(), before.or_else(after)?))
    })
}

/// The value of the first attribute of that name.
pub fn attribute<'a>(markup: &'a str, name: &str) -> &'a str {
    let start = markup.find(&format!(" {name}='")).expect("the attribute") + name.len() + 3;
    let rest = &markup[start..];
    &rest[..rest.find('\'').expect("its end")]
}

/// A presence of an occupant of [`ROOM`].
pub fn presence(nick: &str, status: &str) -> String {
    format!(
        "<presence from='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc#user'>\
         <item affiliation='none' role='participant'/>{status}</x></presence>"
    )
}

/// A message that somebody says in [`ROOM`].
pub fn message(nick: &str, id: &str, body: &str) -> String {
    format!(
        "<message from='{ROOM}/{nick}' type='groupchat' id='m-{id}'><body>{body}</body>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{id}'/></message>"
    )
}

/// A message out of the archive of [`ROOM`].
pub fn archived(query: &str, id: &str, body: &str) -> String {
    format!(
        "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{query}' id='{id}'>\
         <forwarded xmlns='urn:xmpp:forward:0'>\
         <delay xmlns='urn:xmpp:delay' stamp='2026-11-21T09:00:00Z'/>\
         <message xmlns='jabber:client' from='{ROOM}/bob' type='groupchat'><body>{body}</body>\
         </message></forwarded></result></message>"
    )
}

/// The end of a page of that archive.
pub fn fin(iq: &str, complete: bool, ids: &[&str]) -> String {
    let set = match ids {
        [] => String::new(),
        [first, ..] => {
            format!(
                "<first>{first}</first><last>{}</last>",
                ids.last().expect("one")
            )
        }
    };
    format!(
        "<iq type='result' id='{iq}' from='{ROOM}'><fin xmlns='urn:xmpp:mam:2' \
         complete='{complete}'><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></fin></iq>"
    )
}
