//! A room loses us without a word, on real servers: what it says when it is asked
//! (XEP-0410), and that we come back.
//!
//! The test leaves the room behind the engine's back, on the engine's own connection,
//! and keeps the answer to itself.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant as Clock};

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Condition, Config, Engine, Event, Instant, JoinFailure, JoinRoom, LeaveCause, Nick, Plaintext,
    Post, PostOutcome, Retry, RoomEvent, RoomId, Security, Seed, Transport,
};

use crate::common;
use crate::support::{DOMAIN, Kind, Server};

pub(crate) struct Host {
    engine: Engine,
    stream: TcpStream,
    start: Clock,
    address: BareJid,
    /// All that the engine wrote.
    written: String,
}

impl Host {
    /// A host in a room of that name; its engine asks rooms after that silence.
    pub(crate) fn in_room(server: &Server, name: &str, silence: Duration) -> (Self, RoomId) {
        let mut config = Config::new(DOMAIN, "alice", "secret-alice").expect("a config");
        config.plaintext = Plaintext::OnLoopback;
        // What is said behind its back must not disturb its counts.
        config.stream_management = false;
        config.timing.self_ping = silence;
        let start = Clock::now();
        let mut seed = [0; 32];
        for (at, byte) in seed.iter_mut().zip(name.bytes().cycle()) {
            *at = byte;
        }
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("a connection");
        let pause = Some(Duration::from_millis(20));
        stream.set_read_timeout(pause).expect("a timeout");
        let mut host = Self {
            engine: Engine::new(config, Seed::new(seed), Instant::ZERO),
            stream,
            start,
            address: BareJid::parse(&format!("{name}@muc.{DOMAIN}")).expect("an address"),
            written: String::new(),
        };
        let now = host.now();
        host.engine
            .transport_opened(now, Security::Clear { loopback: true });
        host.until(|event| matches!(event, Event::Online { .. }));
        let nick = Nick::Chosen("ada".into());
        let room = JoinRoom::new(host.address.clone(), nick);
        let room = host.engine.join(host.now(), room).expect("to join");
        host.until_room(|event| matches!(event, RoomEvent::Joined(_)));
        (host, room)
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).expect("a time"))
    }

    /// One round of writing, reading and waiting; bytes that were read.
    fn turn(&mut self, heard: bool) {
        let now = self.now();
        self.engine.handle_timeout(now);
        assert_eq!(self.engine.wants().transport, Transport::Open);
        let waiting = self.engine.wants().write.to_vec();
        self.stream.write_all(&waiting).expect("to write");
        self.written.push_str(&String::from_utf8_lossy(&waiting));
        self.engine.written(now, waiting.len());
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(count @ 1..) if heard => {
                let now = self.now();
                assert_eq!(self.engine.handle_input(now, &bytes[..count]), count);
            }
            Ok(0) => panic!("the server closed"),
            Ok(_) => {}
            Err(e) => assert!(matches!(
                e.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut
            )),
        }
    }

    /// Goes on until that happens; all that happened.
    fn until(&mut self, what: impl Fn(&Event) -> bool) -> Vec<Event> {
        let give_up = Clock::now() + Duration::from_secs(20);
        let mut events = Vec::new();
        while Clock::now() < give_up {
            self.turn(true);
            while let Some(event) = self.engine.poll_event() {
                events.push(event);
                if events.last().is_some_and(&what) {
                    return events;
                }
            }
        }
        panic!("it does not come to it: {events:?}");
    }

    pub(crate) fn until_room(&mut self, what: impl Fn(&RoomEvent) -> bool) -> Vec<RoomEvent> {
        let events = self.until(|event| matches!(event, Event::Room { event, .. } if what(event)));
        let of_room = |event| match event {
            Event::Room { event, .. } => Some(event),
            _ => None,
        };
        events.into_iter().filter_map(of_room).collect()
    }

    /// Says something in the engine's name, and keeps what is answered from it.
    fn behind_its_back(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("to write");
        let end = Clock::now() + Duration::from_secs(2);
        while Clock::now() < end {
            self.turn(false);
        }
    }

    /// Changes the room's configuration as its owner.
    pub(crate) fn configure(&mut self, field: &str, value: &str) {
        let address = &self.address;
        let iq = format!(
            "<iq type='set' id='configure' to='{address}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value>\
             </field><field var='{field}'><value>{value}</value></field></x></query></iq>"
        );
        self.stream.write_all(iq.as_bytes()).expect("to write");
    }

    pub(crate) fn leave(&mut self) {
        let presence = format!("<presence to='{}/ada' type='unavailable'/>", self.address);
        self.behind_its_back(&presence);
    }

    fn destroy(&mut self) {
        let address = &self.address;
        let iq = format!(
            "<iq type='set' id='behind' to='{address}'>\
             <query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>"
        );
        self.behind_its_back(&iq);
    }

    /// How often the room was asked whether we are in it.
    fn asked(&self) -> usize {
        let ping = format!("to='{}/ada'><ping xmlns='urn:xmpp:ping'/>", self.address);
        self.written.matches(&ping).count()
    }
}

fn dropped(event: &RoomEvent) -> bool {
    matches!(
        event,
        RoomEvent::Left {
            cause: LeaveCause::Dropped,
            retry: Retry::At(_)
        }
    )
}

const SOON: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::MAX;

fn an_occupant_is_told_so(server: &Server) {
    let (mut host, room) = Host::in_room(server, "asks-inside", SOON);
    while host.asked() < 3 {
        host.turn(true);
        assert_eq!(host.engine.poll_event(), None);
    }
    let now = host.now();
    host.engine
        .post(now, room, Post::new("in"))
        .expect("to post");
    let events = host.until(|event| matches!(event, Event::Post { .. }));
    assert!(
        matches!(
            events[..],
            [Event::Post {
                outcome: PostOutcome::Committed { .. },
                ..
            }]
        ),
        "{events:?}"
    );
}

fn who_is_out_finds_out_by_asking(server: &Server) {
    let (mut host, _) = Host::in_room(server, "asks-outside", 2 * SOON);
    host.leave();
    let events = host.until_room(dropped);
    assert_eq!((events.len(), host.asked()), (1, 1), "{events:?}");
    host.until_room(|event| matches!(event, RoomEvent::Joined(_)));
}

fn who_is_out_finds_out_by_posting(server: &Server) {
    let (mut host, room) = Host::in_room(server, "posts-outside", NEVER);
    host.leave();
    let now = host.now();
    host.engine
        .post(now, room, Post::new("out"))
        .expect("to post");
    host.until_room(dropped);
    host.until_room(|event| matches!(event, RoomEvent::Joined(_)));
    assert_eq!(host.asked(), 0);
}

/// What becomes of whose room was destroyed.
fn whose_room_is_gone(server: &Server) -> Vec<RoomEvent> {
    let (mut host, _) = Host::in_room(server, "asks-nobody", 2 * SOON);
    host.destroy();
    host.until_room(dropped);
    let is_over =
        |event: &RoomEvent| matches!(event, RoomEvent::Joined(_) | RoomEvent::JoinFailed { .. });
    host.until_room(is_over)
}

#[test]
fn ejabberd_makes_a_room_anew_that_is_gone() {
    if let Some(server) = common(Kind::Ejabberd) {
        let events = whose_room_is_gone(server);
        assert!(
            matches!(events[..], [.., RoomEvent::Recreated, RoomEvent::Joined(_)]),
            "{events:?}"
        );
    }
}

#[test]
fn prosody_remembers_that_a_room_was_destroyed() {
    if let Some(server) = common(Kind::Prosody) {
        match &whose_room_is_gone(server)[..] {
            [
                RoomEvent::JoinFailed {
                    error: JoinFailure::Refused(error),
                    retry: Retry::Never,
                },
            ] => assert_eq!(error.condition, Condition::Gone),
            other => panic!("{other:?}"),
        }
    }
}

macro_rules! on_each {
    ($($test:ident)*) => {
        mod prosody {
            $(#[test] fn $test() { super::common(super::Kind::Prosody).into_iter().for_each(super::$test); })*
        }
        mod ejabberd {
            $(#[test] fn $test() { super::common(super::Kind::Ejabberd).into_iter().for_each(super::$test); })*
        }
    };
}

on_each! {
    an_occupant_is_told_so
    who_is_out_finds_out_by_asking
    who_is_out_finds_out_by_posting
}
