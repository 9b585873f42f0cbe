//! The engine, a scripted room with an archive that is made up as it is asked, and a host that
//! grants nothing for a virtual minute.

use std::fmt::Write as _;
use std::time::Duration;

use parley_xmpp::{Cursor, Entry, Event, Limits, Start, Timer};

use crate::peer::{Peer, ROOM, ROOM_FEATURES, attribute, config};
use crate::{ALLOCATOR, alone};

const FLOOD: usize = 100_000;
/// One after another, a virtual minute in all.
const PACE: Duration = Duration::from_micros(600);
/// After so many everything that is kept is as full as it gets.
const FULL: usize = 5_000;

/// Text about as long as people's.
const WORDS: &str = "what somebody says in a room that never sleeps, with one more sentence to it";

fn id(n: usize) -> String {
    format!("m{n:06}")
}

/// The room, which tells what is said and answers for its archive, out of one buffer.
struct Room {
    peer: Peer,
    said: usize,
    text: String,
    /// The most that was ever allocated.
    most: usize,
}

impl Room {
    fn measure(&mut self) {
        self.most = self.most.max(ALLOCATOR.allocated());
    }

    fn hand_over(&mut self) {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_bytes();
        let mut told = 0;
        while !rest.is_empty() {
            let taken = self.peer.engine.handle_input(self.peer.now, rest);
            rest = &rest[taken..];
            self.measure();
            if taken == 0 {
                told += 1;
                assert!(told < 2, "the engine reads no more");
            }
        }
        self.text = text;
        self.text.clear();
    }

    /// The next message is said.
    fn say_next(&mut self) {
        self.said += 1;
        let id = id(self.said);
        let _ = write!(
            self.text,
            "<message from='{ROOM}/bob' type='groupchat' id='s-{id}'><body>{} {WORDS}</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{id}'/></message>",
            self.said
        );
        self.hand_over();
    }

    /// Answers what the engine asks; whether it asked the archive.
    fn answer(&mut self) -> bool {
        let heard = self.peer.heard();
        let mut asked = false;
        for part in heard.split("<iq ").skip(1) {
            let part = format!(" {part}");
            let iq = attribute(&part, "id");
            if part.contains("urn:xmpp:mam:2") {
                asked = true;
                self.page(&part);
            } else {
                let from = attribute(&part, "to");
                let _ = write!(self.text, "<iq type='result' id='{iq}' from='{from}'/>");
            }
            self.hand_over();
        }
        asked
    }

    fn page(&mut self, part: &str) {
        let (iq, query) = (attribute(part, "id"), attribute(part, "queryid"));
        assert!(!part.contains("<before"), "{part}");
        let max = part.split("<max>").nth(1).unwrap().split('<').next();
        let max: usize = max.unwrap().parse().unwrap();
        let after = part.split("<after>m").nth(1);
        let after: usize = after.map_or(0, |rest| rest[..6].parse().unwrap());
        let last = self.said.min(after + max);
        for n in after + 1..=last {
            let _ = write!(
                self.text,
                "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{query}' \
                 id='{}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' \
                 stamp='2026-11-21T09:00:00Z'/><message xmlns='jabber:client' from='{ROOM}/bob' \
                 type='groupchat'><body>{n} {WORDS}</body></message></forwarded></result></message>",
                id(n)
            );
        }
        let set = if last > after {
            format!("<first>{}</first><last>{}</last>", id(after + 1), id(last))
        } else {
            String::new()
        };
        let complete = last == self.said;
        let _ = write!(
            self.text,
            "<iq type='result' id='{iq}' from='{ROOM}'><fin xmlns='urn:xmpp:mam:2' \
             complete='{complete}'><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></fin></iq>"
        );
    }

    /// The numbers of the messages that were delivered; anything else that a follower is told
    /// must be that it is caught up.
    fn delivered(&mut self, next: &mut usize) -> u32 {
        let mut count = 0;
        while let Some(event) = self.peer.engine.poll_event() {
            match event {
                Event::Entry {
                    entry: Entry::Message(message),
                    ..
                } => {
                    *next += 1;
                    count += 1;
                    assert_eq!(message.id.unwrap().as_str(), id(*next));
                    assert!(message.body.starts_with(&format!("{next} ")));
                }
                Event::Entry {
                    entry: Entry::CaughtUp { .. } | Entry::Confirmed { .. },
                    ..
                } => {}
                other => panic!("{other:?}"),
            }
        }
        count
    }
}

#[test]
fn an_engine_without_credit_keeps_no_more_however_much_is_said() {
    let _alone = alone();
    let mut config = config();
    config.anchor_at_join = false;
    // What a program in one room gives its engine.
    config.limits.rooms = 1;
    config.limits.subscriptions = 1;
    config.limits.queries = 1;
    config.limits.occupants = 100;
    let limits: Limits = config.limits.clone();
    let mut peer = Peer::online(config);
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    peer.heard();
    let mut room_of = Room {
        peer,
        said: 0,
        text: String::with_capacity(256 * 1024),
        most: 0,
    };
    let room_model = &mut room_of;
    let now = room_model.peer.now;
    let start = Start::Cursor(Cursor::Beginning);
    let subscription = room_model
        .peer
        .engine
        .subscribe(now, room, start, 10)
        .unwrap();
    assert!(room_model.answer());
    let mut next = 0;
    room_model.delivered(&mut next);
    let before = ALLOCATOR.allocated();

    // The flood: the host takes what it granted at the beginning, and then nothing.
    let begin = room_model.peer.now;
    let mut full = 0;
    for n in 1..=FLOOD {
        room_model.peer.now = room_model.peer.now.plus(PACE);
        while let Some(deadline) = room_model.peer.engine.wants().deadline
            && deadline.at <= room_model.peer.now
        {
            assert_ne!(deadline.why, Timer::KeepaliveReply);
            room_model.peer.engine.handle_timeout(room_model.peer.now);
            room_model.answer();
        }
        room_model.say_next();
        room_model.answer();
        room_model.delivered(&mut next);
        if n == FULL {
            full = room_model.most;
            room_model.most = 0;
        }
    }
    assert_eq!(room_model.peer.now.since(begin), Duration::from_secs(60));
    assert_eq!(next, 10, "more than was granted");
    let kept = room_model.most.max(full).saturating_sub(before);
    let later = room_model.most.saturating_sub(full);
    println!(
        "engine: {FLOOD} messages said in a virtual minute; kept at most {kept} bytes, {later} \
         more after the first {FULL}; the limits allow {}",
        limits.worst_case_bytes()
    );
    assert!((kept as u64) < limits.worst_case_bytes());
    assert!(kept < 1024 * 1024, "{kept} bytes");
    assert!(later < 16 * 1024, "it grows: {later} bytes");

    // The host takes again, in portions.
    room_model.most = 0;
    let mut pages = 0;
    let mut idle = 0;
    let mut credit = 200;
    while next < FLOOD {
        let now = room_model.peer.now;
        room_model
            .peer
            .engine
            .grant(now, subscription, std::mem::take(&mut credit));
        pages += usize::from(room_model.answer());
        let count = room_model.delivered(&mut next);
        credit += count;
        idle = if count == 0 { idle + 1 } else { 0 };
        if idle > 0 {
            assert!(idle < 100, "it stands still at {next}");
            room_model.peer.pass(Duration::from_millis(100));
        }
    }
    let kept = room_model.most.saturating_sub(before);
    println!(
        "engine: all {next} delivered in order, over {pages} pages; kept at most {kept} bytes"
    );
    assert!(kept < 1024 * 1024, "{kept} bytes");
    // And goes on live, with nothing again.
    room_model.say_next();
    for _ in 0..100 {
        room_model.answer();
        let now = room_model.peer.now;
        room_model.peer.engine.grant(now, subscription, 10);
        room_model.delivered(&mut next);
        room_model.peer.pass(Duration::from_millis(500));
    }
    assert_eq!(next, FLOOD + 1);
}
