//! What a host and a server can do to an engine, one after the other, and what
//! must hold meanwhile: the body of the property tests and of the fuzz targets.

use std::time::Duration;

use parley_xmpp::jid::{BareJid, Jid};
use parley_xmpp::{
    ChannelBinding, Config, Cursor, Deadline, Engine, Event, Fetch, Instant, JoinRoom, Nick,
    Plaintext, Post, PostToken, QueryId, RoomId, Security, Seed, Start, SubscriptionId, Timer,
    Transport, TransportFailure, TransportFailureKind,
};

use crate::scram::{Scram, base64};
use crate::watch::{Ledger, Watch};

/// What a server may say. `{id}` and `{from}` are those of a request that was
/// made, `{query}` that of a page of an archive, `{post}` that of a post, `{room}`
/// is a room; `{h}` how many stanzas a server may have handled; `{first}` and `{last}` what a right SCRAM server says.
pub(crate) const LINES: &[&str] = &[
    HEADER,
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@parley.local/here</jid></bind></iq>",
    "<presence from='{room}/ada'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x></presence>",
    "<iq type='result' id='{id}'{from}><query xmlns='http://jabber.org/protocol/disco#info'><feature var='http://jabber.org/protocol/muc'/><feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:sid:0'/></query></iq>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{first}</challenge>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{last}</success>",
    "<message from='{room}/bob' type='groupchat' id='x'><body>said &lt;\u{20ac}</body><stanza-id xmlns='urn:xmpp:sid:0' by='{room}' id='{n}'/></message>",
    "<message from='{room}/ada' type='groupchat' id='{post}'><body>ours</body><origin-id xmlns='urn:xmpp:sid:0' id='{post}'/><stanza-id xmlns='urn:xmpp:sid:0' by='{room}' id='{n}'/></message>",
    "<message from='{room}' type='error' id='{post}'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    "<message from='{room}'><result xmlns='urn:xmpp:mam:2' queryid='{query}' id='{n}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-11-21T09:00:00Z'/><message xmlns='jabber:client' from='{room}/bob' type='groupchat'><body>old</body></message></forwarded></result></message>",
    "<iq type='result' id='{id}'{from}><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><first>1</first><last>{n}</last></set></fin></iq>",
    "<iq type='result' id='{id}'{from}><fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><first>{n}</first><last>{n}</last></set></fin></iq>",
    "<iq type='result' id='{id}'{from}><fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'/></fin></iq>",
    "<iq type='error' id='{id}'{from}><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<iq type='error' id='{id}'{from}><error type='wait'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<iq type='result' id='{id}'{from}/>",
    "<iq type='result' id='{id}' from='evil.example'/>",
    "<iq type='get' id='p' from='{room}/ada'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<presence from='{room}/bob'><x xmlns='http://jabber.org/protocol/muc#user'><item/></x></presence>",
    "<presence type='unavailable' from='{room}/bob'/>",
    "<presence from='{room}/ada' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    "<presence from='{room}/ada' type='error'><error type='wait'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    "<presence from='{room}/ada' type='error'><error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
    "<presence from='{room}/ada'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/><status code='201'/></x></presence>",
    "<presence type='unavailable' from='{room}/ada'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/><status code='307'/></x></presence>",
    "<presence type='unavailable' from='{room}/ada'><x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/><status code='332'/></x></presence>",
    "<presence type='unavailable' from='{room}/ada'><x xmlns='http://jabber.org/protocol/muc#user'><item nick='eve'/><status code='110'/><status code='303'/></x></presence>",
    "<message from='{room}/bob' type='groupchat'><subject>s</subject></message>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "</stream:stream>",
    " \n",
    "<stream:features/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<iq/><message/><presence/>",
    "<message from='{room}/bob' type='groupchat'><body>no id</body></message>",
    "<!-- -->",
    "<unknown/>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/>",
    "<enabled xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='{h}'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>",
    "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<failed xmlns='urn:xmpp:sm:3' h='{h}'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='sm-2' h='{h}'/>",
    "<iq type='error' id='{id}'{from}><error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<message from='{room}' type='error' id='{post}'><error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
];

const HEADER: &str = "<?xml version='1.0'?><stream:stream id='s' version='1.0' from='parley.local' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

const ROOMS: [&str; 3] = [
    "ops@muc.parley.local",
    "dev@muc.parley.local",
    "x@evil.example",
];
const TEXTS: [&str; 6] = [
    "hello",
    "<&>'\"]]>",
    "\u{20ac}\r\n\t",
    "",
    "\u{1b}[2J",
    "x\u{ffff}",
];

/// Of posts to the first room, by `bob` under the id `x`: to be looked for from the
/// beginning, or from a cursor.
const TOKENS: [&str; 2] = [
    "pt1.b3BzQG11Yy5wYXJsZXkubG9jYWw.eA..Ym9i.~.vB72gVIy",
    "pt1.b3BzQG11Yy5wYXJsZXkubG9jYWw.eA.Nw.Ym9i.~.Bd4xy-WP",
];

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Which, and what it is about.
    Do(u8, u8, u8),
    /// The server says just this.
    Raw(Vec<u8>),
}

/// Kinds of [`Op::Do`].
pub(crate) const KINDS: u8 = 41;

/// How scripts begin: with nothing, or deep in the life of a stream.
pub(crate) fn opening(which: u8) -> Vec<Op> {
    let open = Op::Do(16, 3, 0);
    let say = |line: u8| Op::Do(0, line, 0);
    let login = [open, say(0), say(1), say(2), say(0), say(3), say(4)];
    let join = [Op::Do(20, 0, 0), say(5), say(6)];
    let more = [
        Op::Do(22, 0, 0),
        Op::Do(24, 0, 0),
        Op::Do(23, 0, 1),
        Op::Do(25, 0, 0),
    ];
    let line = |text: &str| {
        let at = LINES.iter().position(|line| line.contains(text));
        at.and_then(|at| u8::try_from(at).ok()).expect("a line")
    };
    let (features, enabled) = (line("<sm "), line("<enabled "));
    let resumed = line("<resumed ");
    let managed = {
        let mut login = login.to_vec();
        login[5] = say(features);
        [&login[..], &[say(enabled)], &join, &more].concat()
    };
    match which % 10 {
        8 => managed,
        9 => {
            let cut = [Op::Do(37, 0, 0), Op::Do(18, 0, 0), Op::Do(31, 0, 0)];
            let again = [&login[..5], &[say(features), say(resumed)]].concat();
            [managed, cut.into(), again].concat()
        }
        0 => Vec::new(),
        1 => vec![Op::Do(16, 0, 0), say(0)],
        2 => vec![Op::Do(16, 1, 0), say(0)],
        3 => vec![Op::Do(16, 2, 0), say(0), say(9)],
        4 => login.into(),
        5 => [&login[..], &join].concat(),
        6 => [&login[..], &join, &more].concat(),
        _ => vec![Op::Do(16, 1, 0), say(0), say(7), say(8)],
    }
}

/// How a script is played. None of it may make a difference.
#[derive(Clone, Debug)]
pub(crate) struct Mode {
    /// The most bytes that are given to the engine at once.
    pub(crate) piece: usize,
    /// Whether events are taken as soon as they come, or when the script says.
    pub(crate) eager: bool,
    /// Whether timeouts are handled that are not due.
    pub(crate) spurious: bool,
    /// [`parley_xmpp::Limits::events`].
    pub(crate) events: usize,
}

impl Mode {
    pub(crate) const PLAIN: Self = Self {
        piece: usize::MAX,
        eager: true,
        spurious: false,
        events: 1_000_000,
    };
}

/// What the host was told to do after each step.
type Seen = (Transport, Vec<u8>, bool, Option<Deadline>);

/// All that can be seen of an engine while a script is played.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Seen>,
    pub(crate) events: Vec<Event>,
}

/// Plays a script to its end, and closes then.
pub(crate) fn play(ops: &[Op], mode: &Mode) -> Trace {
    let mut world = World::new(mode.clone());
    for op in ops {
        world.step(op);
    }
    world.finish();
    world.trace
}

struct World {
    engine: Engine,
    now: Instant,
    mode: Mode,
    watch: Watch,
    ledger: Ledger,
    scram: Option<Scram>,
    rooms: Vec<RoomId>,
    queries: Vec<QueryId>,
    subscriptions: Vec<SubscriptionId>,
    said: u32,
    /// How often the engine was called, and how many bytes it read.
    calls: usize,
    fed: usize,
    trace: Trace,
}

/// So often, at most, a host has to call an engine until all that one thing makes it do is
/// done and told; and so much more often for each byte that comes with it.
const CALLS: usize = 100;
const CALLS_PER_BYTE: usize = 2;

fn config(mode: &Mode) -> Config {
    let mut config = Config::new("parley.local", "alice", "secret").expect("a config");
    config.allow_plain = true;
    config.plaintext = Plaintext::OnLoopback;
    config.limits.events = mode.events;
    config.limits.scram_iterations = (1, 50);
    config.limits.scram_iterations_per_call = 3;
    config.limits.rooms = 2;
    config.limits.posts_per_room = 4;
    config.limits.queries = 3;
    config.limits.subscriptions = 3;
    config.limits.held_messages = 3;
    config.limits.remembered_ids = 4;
    config.limits.page = 3;
    config.limits.write_bytes = 4096;
    config.limits.unacked_stanzas = 12;
    config.limits.unacked_bytes = 8192;
    config
}

/// The `nth` of a list, from its end.
fn nth<T: Clone>(list: &[T], n: u8) -> Option<T> {
    let back = usize::from(n) % list.len().max(1) + 1;
    list.get(list.len().checked_sub(back)?).cloned()
}

impl World {
    fn new(mode: Mode) -> Self {
        let now = Instant::from_millis(1000);
        let mut world = Self {
            engine: Engine::new(config(&mode), Seed::new([3; 32]), now),
            now,
            mode,
            watch: Watch::default(),
            ledger: Ledger::default(),
            scram: None,
            rooms: Vec::new(),
            queries: Vec::new(),
            subscriptions: Vec::new(),
            said: 0,
            calls: 0,
            fed: 0,
            trace: Trace {
                steps: Vec::new(),
                events: Vec::new(),
            },
        };
        world.look();
        world
    }

    fn step(&mut self, op: &Op) {
        let (calls, fed) = (self.calls, self.fed);
        self.happen(op);
        let (calls, bytes) = (self.calls - calls, self.fed - fed);
        let most = CALLS + CALLS_PER_BYTE * bytes;
        assert!(calls <= most, "{calls} calls for {bytes} bytes of {op:?}");
    }

    fn happen(&mut self, op: &Op) {
        match op {
            Op::Raw(bytes) => self.say(bytes),
            &Op::Do(kind, a, b) => self.act(kind % KINDS, a, b),
        }
        self.look();
        if self.mode.eager {
            self.poll(usize::MAX);
        }
        if self.mode.spurious {
            self.spurious(self.now);
        }
        let wants = self.engine.wants();
        let seen = (
            wants.transport,
            wants.write.to_vec(),
            wants.read,
            wants.deadline,
        );
        self.trace.steps.push(seen);
    }

    fn act(&mut self, kind: u8, a: u8, b: u8) {
        let (now, engine) = (self.now, &mut self.engine);
        let room = nth(&self.rooms, a).filter(|_| a < 200);
        let text = TEXTS[usize::from(b) % TEXTS.len()];
        match kind {
            16 => engine.transport_opened(now, security(a)),
            17 => engine.tls_established(now, ChannelBinding::default()),
            18 if a < 128 => engine.handle_eof(now),
            18 => {
                let kind = match a % 3 {
                    0 => TransportFailureKind::Io,
                    1 => TransportFailureKind::Resolve,
                    _ => TransportFailureKind::Certificate,
                };
                let detail = String::new();
                engine.transport_failed(now, TransportFailure { kind, detail });
            }
            19 => self.write(a),
            20 => {
                let address = BareJid::parse(ROOMS[usize::from(a) % 3]).expect("an address");
                let nick = match b % 4 {
                    0 => Nick::Chosen("ada".into()),
                    1 => Nick::Suggested("ada".into()),
                    2 => Nick::Random,
                    _ => Nick::Chosen(text.into()),
                };
                if let Ok(room) = engine.join(now, JoinRoom::new(address, nick)) {
                    self.ledger.room(room);
                    self.rooms.push(room);
                }
            }
            21 => match (room, b % 4) {
                (Some(room), 0) => engine.leave(now, room),
                (Some(room), 1) => engine.destroy(now, room),
                _ => {}
            },
            22 => {
                if let Some(room) = room {
                    let mut post =
                        Post::new(text).within(Duration::from_secs(u64::from(a) * 9 + 9));
                    if b >= 64 {
                        post = post.in_reply_to("7").by("bob").quoting(text);
                    }
                    if b >= 128 {
                        post = post.or_resend().replacing_forbidden();
                    }
                    if b >= 192 {
                        post = post.unordered();
                    }
                    if let Ok(post) = engine.post(now, room, post) {
                        self.ledger.post(post);
                    }
                }
            }
            23 => {
                let fetch = match b % 4 {
                    0 => Fetch::newest(u32::from(a)),
                    1 => Fetch::since(Cursor::Beginning, 5),
                    2 => Fetch::since(cursor(a), 5).wait(Duration::from_secs(40)),
                    _ => Fetch::since(cursor(b), u32::MAX),
                };
                if let Some(Ok(query)) = room.map(|room| engine.fetch(now, room, fetch)) {
                    self.ledger.query(query);
                    self.queries.push(query);
                }
            }
            24 => {
                let start = if b < 100 {
                    Start::Now
                } else {
                    Start::Cursor(cursor(b))
                };
                let credit = if b.is_multiple_of(2) {
                    u32::MAX
                } else {
                    u32::from(b) % 7
                };
                if let Some(Ok(id)) = room.map(|room| engine.subscribe(now, room, start, credit)) {
                    self.ledger.subscription(id);
                    self.subscriptions.push(id);
                }
            }
            25 => {
                let of =
                    Jid::parse(["parley.local", "x@evil.example/\u{20ac}"][usize::from(b) % 2]);
                let of = of.expect("an address");
                let asked = if a < 128 {
                    engine.disco_info(now, &of)
                } else {
                    engine.disco_items(now, &of)
                };
                if let Ok(query) = asked {
                    self.ledger.query(query);
                    self.queries.push(query);
                }
            }
            26 => {
                if let Some(query) = nth(&self.queries, a) {
                    engine.cancel(now, query);
                    self.ledger.cancelled(query);
                }
            }
            27 => {
                if let Some(id) = nth(&self.subscriptions, a) {
                    engine.grant(now, id, u32::from(b) % 9);
                }
            }
            28 if a < 100 => {
                if let Some(id) = nth(&self.subscriptions, a) {
                    engine.unsubscribe(now, id);
                    self.ledger.unsubscribed(id);
                }
            }
            29 => engine.reconnect(now),
            30 if a < 50 => engine.close(now),
            30 if a < 80 => engine.disconnect(now),
            31 | 32 => self.due(),
            33 => {
                self.now = now.plus(Duration::from_millis(u64::from(a) * u64::from(b) * 10));
                self.engine.handle_timeout(self.now);
            }
            34 => {
                // Time that runs backwards stands still.
                let earlier = Instant::from_micros(now.as_micros() / 2);
                if engine.wants().deadline.is_none_or(|d| d.at > now) {
                    engine.handle_timeout(earlier);
                }
                engine.written(earlier, 0);
            }
            35 => {
                if let Some(deadline) = engine.wants().deadline {
                    let just_before =
                        Instant::from_micros(deadline.at.as_micros().saturating_sub(1));
                    self.now = now.max(just_before);
                    if self.now < deadline.at {
                        self.spurious(self.now);
                    }
                }
            }
            36 => drop(self.poll(usize::from(a) % 5)),
            37 => self.write(u8::MAX),
            38 => self.work(),
            39 => self.say(HEADER.as_bytes()),
            40 => {
                let token = PostToken::parse(TOKENS[usize::from(a) % 2]).expect("a token");
                if let Ok(query) = engine.resolve(now, &token) {
                    self.ledger.query(query);
                    self.queries.push(query);
                }
            }
            _ => {
                let line = self.line(a, b);
                self.say(line.as_bytes());
            }
        }
    }

    /// A line of the server with its blanks filled in.
    fn line(&mut self, line: u8, pick: u8) -> String {
        self.said += 1;
        let line = LINES[usize::from(line) % LINES.len()];
        let (id, to) = nth(&self.watch.requests, pick % 8).unwrap_or_default();
        let from = if to.is_empty() {
            to
        } else {
            format!(" from='{to}'")
        };
        let query = nth(&self.watch.queries, pick % 8).unwrap_or_default();
        let mut line = line.replace("{id}", &id).replace("{from}", &from);
        line = line
            .replace("{query}", &query)
            .replace("{n}", &self.said.to_string());
        line = line.replace(
            "{post}",
            &nth(&self.watch.posts, pick % 8).unwrap_or_default(),
        );
        if line.contains("{h}") {
            let h = self.watch.sent.saturating_sub(u32::from(pick % 8));
            if line.starts_with("<resumed") {
                // What comes again is counted again.
                self.watch.sent = h;
            }
            line = line.replace("{h}", &h.to_string());
        }
        if line.contains("{first}") {
            let first = self.watch.auth.take().map(|(mechanism, auth)| {
                let mut server = Scram::new(&mechanism, "secret");
                server.rounds = u32::from(pick % 60) + 1;
                let first = server.first(&auth);
                self.scram = Some(server);
                base64(&first)
            });
            line = line.replace("{first}", &first.unwrap_or_default());
        }
        if line.contains("{last}") {
            self.work();
            self.look();
            let response = self.watch.response.take().unwrap_or_default();
            let last = self
                .scram
                .take()
                .and_then(|server| server.last(&response, b""));
            line = line.replace("{last}", &base64(&last.unwrap_or_default()));
        }
        line.replace("{room}", ROOMS[usize::from(pick / 8) % ROOMS.len()])
    }

    fn say(&mut self, bytes: &[u8]) {
        self.fed += bytes.len();
        for mut rest in bytes.chunks(self.mode.piece.max(1)) {
            loop {
                let before = self.engine.wants().read;
                let taken = self.engine.handle_input(self.now, rest);
                self.calls += 1;
                rest = &rest[taken..];
                if rest.is_empty() {
                    break;
                }
                assert!(!self.engine.wants().read, "it takes less and wants to read");
                self.look();
                // Nothing is lost, and nothing goes on, until events are taken.
                assert_eq!(self.engine.handle_input(self.now, rest), 0);
                assert!(
                    self.poll(usize::MAX) > 0,
                    "full of nothing; read was {before}"
                );
                assert!(self.engine.wants().read || self.watch.transport != Transport::Open);
            }
        }
    }

    fn write(&mut self, how: u8) {
        let waiting = self.engine.wants().write.len();
        let n = match how {
            u8::MAX => waiting,
            254 => waiting + 1000,
            _ => waiting * usize::from(how) / 256,
        };
        self.watch.written(n.min(waiting));
        self.engine.written(self.now, n);
    }

    /// Goes to the deadline exactly, and does what is due: it comes to an end.
    fn due(&mut self) {
        let Some(deadline) = self.engine.wants().deadline else {
            return;
        };
        self.now = self.now.max(deadline.at);
        for _ in 0..60 {
            self.engine.handle_timeout(self.now);
            self.calls += 1;
            match self.engine.wants().deadline {
                Some(deadline) if deadline.at <= self.now => {}
                _ => return,
            }
            self.look();
        }
        panic!("it spins: {:?}", self.engine.wants());
    }

    /// Lets the engine compute.
    fn work(&mut self) {
        while self
            .engine
            .wants()
            .deadline
            .is_some_and(|d| d.why == Timer::Work)
        {
            self.engine.handle_timeout(self.now);
            self.calls += 1;
        }
    }

    /// A timeout that is not due changes nothing.
    fn spurious(&mut self, now: Instant) {
        let wants = self.engine.wants();
        if wants.deadline.is_some_and(|d| d.at <= now) {
            return;
        }
        let before = format!("{wants:?}");
        self.engine.handle_timeout(now);
        assert_eq!(format!("{:?}", self.engine.wants()), before);
    }

    fn look(&mut self) {
        let wants = self.engine.wants();
        assert_eq!(wants, self.engine.wants());
        self.watch.look(&wants);
        self.ledger.attempt(wants.transport);
        let held = self.engine.held_bytes();
        assert!(
            held <= self.engine.config().limits.worst_case_bytes(),
            "{held} bytes are held"
        );
    }

    fn poll(&mut self, most: usize) -> usize {
        let mut taken = 0;
        let due = |d: Deadline| d.why == Timer::Resume;
        loop {
            while taken < most
                && let Some(event) = self.engine.poll_event()
            {
                self.ledger.event(&event);
                self.trace.events.push(event);
                taken += 1;
                self.calls += 1;
            }
            if !self.engine.wants().deadline.is_some_and(due) {
                return taken;
            }
            self.engine.handle_timeout(self.now);
            self.calls += 1;
            self.look();
        }
    }

    /// Closes; everything comes to its end.
    fn finish(&mut self) {
        self.engine.close(self.now);
        self.look();
        assert!(self.engine.join(self.now, self.a_room()).is_err());
        self.write(u8::MAX);
        self.engine.handle_eof(self.now);
        self.look();
        let wants = self.engine.wants();
        assert_eq!((wants.transport, wants.deadline), (Transport::Closed, None));
        self.poll(usize::MAX);
        self.ledger.finish();
        self.engine.reconnect(self.now);
        self.engine.transport_opened(self.now, security(3));
        assert_eq!(self.engine.handle_input(self.now, b"<a"), 2);
        self.engine
            .handle_timeout(self.now.plus(Duration::from_secs(1_000_000)));
        self.look();
        assert_eq!(self.engine.wants().transport, Transport::Closed);
        assert_eq!(self.engine.poll_event(), None);
    }

    fn a_room(&self) -> JoinRoom {
        let address = BareJid::parse("new@muc.parley.local").expect("an address");
        JoinRoom::new(address, Nick::Random)
    }
}

fn cursor(n: u8) -> Cursor {
    let text = match n {
        250.. => TEXTS[usize::from(n) % TEXTS.len()].to_owned(),
        _ => n.to_string(),
    };
    Cursor::parse(&text).unwrap_or(Cursor::Beginning)
}

fn security(which: u8) -> Security {
    match which % 4 {
        0 => Security::Clear { loopback: false },
        1 => Security::Clear { loopback: true },
        2 => {
            let mut binding = ChannelBinding::default();
            binding.exporter = Some(vec![7; 32]);
            Security::Tls(binding)
        }
        _ => Security::Tls(ChannelBinding::default()),
    }
}

/// A script out of bytes: three for a step, or a length and what is said.
pub(crate) fn decode(mut bytes: &[u8]) -> Vec<Op> {
    let mut ops = Vec::new();
    while let Some((&[kind, a, b], rest)) = bytes.split_first_chunk() {
        if kind == u8::MAX {
            let (said, rest) = rest.split_at(usize::from(a).min(rest.len()));
            ops.push(Op::Raw([&[b], said].concat()));
            bytes = rest;
        } else {
            ops.push(Op::Do(kind, a, b));
            bytes = rest;
        }
    }
    ops.truncate(400);
    ops
}
