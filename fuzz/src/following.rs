//! An archive that a subscription reads, while the room goes on.

use parley_xmpp::{Entry, Event, GapReason, Start};

use crate::paging::Archive;
use crate::session::{ROOM, Session};

/// No subscription to an archive of so few messages asks more often before it is caught up.
const QUESTIONS: usize = 400;

/// What a subscription was told.
#[derive(Default)]
struct Told {
    /// The places of what came in its turn, and late.
    in_turn: Vec<String>,
    late: Vec<String>,
    gaps: Vec<GapReason>,
    caught_up: bool,
}

impl Told {
    fn take(&mut self, entry: Entry) {
        let late = matches!(entry, Entry::Late(_));
        match entry {
            Entry::Message(message) | Entry::Late(message) => {
                assert!(!message.body.contains("stranger"), "a stranger's message");
                let id = message.id.expect("a place").as_str().to_owned();
                let known = self.in_turn.contains(&id) || self.late.contains(&id);
                assert!(!known, "told twice: {id}");
                if late {
                    self.late.push(id);
                } else {
                    self.in_turn.push(id);
                }
            }
            Entry::Gap { reason, .. } => self.gaps.push(reason),
            Entry::CaughtUp { .. } => self.caught_up = true,
            Entry::Confirmed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever the archive says, nothing is told twice, and there is an end to the questions; of
/// one that keeps to the rules all is told that lies behind the place, in its order.
pub(crate) fn follow(
    session: &mut Session,
    archive: &mut Archive,
    place: usize,
    credit: u32,
    mut answers: &[u8],
) {
    let start = Start::Cursor(archive.place(place));
    let is_there = place <= archive.len();
    let (room, now) = (session.room, session.now);
    let followed = session.engine.subscribe(now, room, start, credit);
    let subscription = followed.expect("a first subscription");
    let (mut told, mut questions) = (Told::default(), 0);
    loop {
        let mut asked = false;
        for (sent, query) in session.questions() {
            asked = true;
            questions += 1;
            assert!(questions < QUESTIONS, "it asks for ever");
            let (&answer, after) = answers.split_first().unwrap_or((&0, &[]));
            answers = after;
            let before = archive.len();
            archive.answer(session, &sent, &query, answer);
            // What the archive has more than before was said in the room.
            for said in archive.said_since(before) {
                session.say(&said);
            }
        }
        for event in session.told() {
            match event {
                Event::Entry { entry, .. } => told.take(entry),
                Event::Offline { cause, .. } => panic!("it left: {cause:?}"),
                _ => {}
            }
        }
        if asked {
            continue;
        }
        if told.caught_up {
            break;
        }
        // The reader takes all that it was told.
        session.engine.grant(session.now, subscription, 64);
        if session.engine.wants().write.is_empty() {
            let deadline = session
                .engine
                .wants()
                .deadline
                .expect("it waits for something");
            session.now = session.now.max(deadline.at);
            session.engine.handle_timeout(session.now);
        }
    }
    if archive.lied {
        return;
    }
    assert_eq!(is_there, told.gaps.is_empty(), "{:?}", told.gaps);
    if is_there {
        assert!(told.late.is_empty(), "late: {:?}", told.late);
        assert_eq!(told.in_turn, archive.messages_from(place));
    }
}

/// What somebody says in the room, with its place in the archive.
pub(crate) fn said(id: &str, body: &str) -> String {
    format!(
        "<message type='groupchat' from='{ROOM}/bob' to='alice@parley.local/here'>\
         <body>{body}</body><stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='{id}'/></message>"
    )
}
