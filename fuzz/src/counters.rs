//! Stream management: what each side says it handled.

use std::collections::VecDeque;

use parley_xmpp::{Event, OfflineCause, PeerMisbehaved, Post, PostOutcome};

use crate::session::{ROOM, Sent, Session};

/// A server as XEP-0198 v1.6.3 has it, and one that lies about its counts.
struct Server {
    session: Session,
    /// Stanzas that the client sent since management was asked for; numbers wrap.
    got: u32,
    /// Those among them that were acknowledged.
    acked: u32,
    /// Stanzas that were said to the client since.
    said: u32,
    /// Those of the client that were not acknowledged, by name and id, in their order.
    unacked: VecDeque<(String, String)>,
    /// It was told that it lies: nothing is to be expected any more.
    over: bool,
}

/// The client counts as the server does, and takes no count that cannot be. Two bytes a
/// step: what happens, and a number for it.
pub fn sm_counters(data: &[u8]) {
    let mut session = Session::open(true, |config| {
        config.limits.posts_per_room = 8;
        // Nothing is answered here: a post would wait for that, and not be sent.
        config.anchor_at_join = false;
    });
    let entry = session.let_in();
    let mut server = Server {
        session,
        got: 0,
        acked: 0,
        // What lets it in: a presence, a subject, an answer.
        said: 3,
        unacked: VecDeque::new(),
        over: false,
    };
    server.count(&entry);
    let info = ("iq".to_owned(), String::new());
    // The question of the room was taken out of what was sent, and counts.
    server.unacked.push_back(info);
    server.got += 1;
    server.look();
    for step in data.chunks_exact(2).take(120) {
        server.step(step[0], step[1]);
        if server.over {
            return;
        }
    }
}

impl Server {
    fn step(&mut self, what: u8, number: u8) {
        match what % 8 {
            0 | 1 => {
                let room = self.session.room;
                let text = format!("post {number}");
                // It may have as many as it can take.
                let _ = self
                    .session
                    .engine
                    .post(self.session.now, room, Post::new(&text));
            }
            2 => {
                // What it may have handled: any number of what is not acknowledged.
                let of = self.got.wrapping_sub(self.acked);
                let h = self.acked.wrapping_add(u32::from(number) % (of + 1));
                self.acknowledge(h);
            }
            3 => self.impossible(number),
            4 => {
                let h = self.said;
                self.session.say("<r xmlns='urn:xmpp:sm:3'/>");
                let sent = self.session.sent();
                self.count(&sent);
                let told = sent.iter().filter(|sent| sent.name == "a");
                let told: Vec<_> = told.filter_map(|sent| sent.h).collect();
                assert_eq!(told, [h], "another count");
            }
            5 => {
                self.said = self.said.wrapping_add(1);
                self.session.say(&format!(
                    "<message from='{ROOM}/bob' type='groupchat'><body>{number}</body>\
                     <stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{}'/></message>",
                    self.said
                ));
            }
            6 => {
                self.said = self.said.wrapping_add(1);
                self.session.say(
                    "<iq type='get' id='ping' from='parley.local'><ping xmlns='urn:xmpp:ping'/></iq>",
                );
            }
            _ => self.break_off(number),
        }
        if !self.over {
            self.look();
        }
    }

    /// Reads what it sent, and what it told: nothing ended the stream.
    fn look(&mut self) {
        let sent = self.session.sent();
        self.count(&sent);
        for event in self.session.told() {
            match event {
                Event::Offline { cause, .. } => panic!("it left: {cause:?}"),
                Event::Post {
                    outcome: PostOutcome::NotSent(why),
                    ..
                } => panic!("not sent, though it was: {why:?}"),
                _ => {}
            }
        }
        let open = self.got.wrapping_sub(self.acked);
        assert_eq!(usize::try_from(open).ok(), Some(self.unacked.len()));
    }

    fn count(&mut self, sent: &[Sent]) {
        for sent in sent {
            if matches!(&*sent.name, "iq" | "message" | "presence") {
                self.got = self.got.wrapping_add(1);
                self.unacked.push_back((sent.name.clone(), sent.id.clone()));
            }
        }
    }

    fn handled(&mut self, h: u32) {
        while self.acked != h {
            self.acked = self.acked.wrapping_add(1);
            self.unacked.pop_front();
        }
    }

    fn acknowledge(&mut self, h: u32) {
        self.handled(h);
        self.session
            .say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
    }

    /// Says that it handled more than there was, or less than before: XEP-0198 section 6.
    fn impossible(&mut self, number: u8) {
        let by = u32::from(number) + 1;
        let h = if number.is_multiple_of(2) {
            self.got.wrapping_add(by)
        } else {
            self.acked.wrapping_sub(by)
        };
        self.session
            .say(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
        self.refused();
    }

    fn refused(&mut self) {
        self.over = true;
        // It says why, and waits for the stream's end.
        self.session.sent();
        self.session.engine.handle_eof(self.session.now);
        let told = self.session.told();
        let refused = told.iter().any(|event| {
            matches!(
                event,
                Event::Offline {
                    cause: OfflineCause::PeerMisbehaved(
                        PeerMisbehaved::HandledCountTooHigh { .. }
                            | PeerMisbehaved::HandledCountBackwards
                    ),
                    ..
                }
            )
        });
        assert!(refused, "a count that cannot be was taken: {told:?}");
    }

    /// The link breaks: what was not handled comes again, in its order and first.
    fn break_off(&mut self, number: u8) {
        // All that it wrote so far was lost with the link, if the server says so.
        let sent = self.session.sent();
        self.count(&sent);
        let Some(h) = self.session.resume() else {
            // It is not resumed once more where that led nowhere.
            self.over = true;
            return;
        };
        assert_eq!(h, self.said, "another count in a request to resume");
        let of = self.got.wrapping_sub(self.acked);
        if number > 250 {
            let h = self.got.wrapping_add(1);
            self.session.say(&format!(
                "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>"
            ));
            return self.refused();
        }
        let h = self.acked.wrapping_add(u32::from(number) % (of + 1));
        self.handled(h);
        self.session.say(&format!(
            "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>"
        ));
        // What comes again was counted already.
        let again: Vec<_> = core::mem::take(&mut self.unacked).into();
        self.got = self.acked;
        self.session.told().iter().for_each(|event| {
            assert!(
                !matches!(
                    event,
                    Event::Post {
                        outcome: PostOutcome::NotSent(_),
                        ..
                    }
                ),
                "{event:?}"
            )
        });
        let sent = self.session.sent();
        self.count(&sent);
        let came: Vec<_> = self.unacked.iter().take(again.len()).cloned().collect();
        let known = |(name, id): &(String, String)| name == "iq" && id.is_empty();
        assert!(came.len() == again.len(), "{came:?} for {again:?}");
        for (came, again) in came.iter().zip(&again) {
            assert!(came == again || known(again), "{came:?} for {again:?}");
        }
    }
}
