//! An archive and its pages: what a fetch gives of it.

use core::time::Duration;

use parley_xmpp::{Cursor, Event, Fetch, FetchEvent, Message, RequestError};

use crate::following::{follow, said};
use crate::session::{Query, ROOM, Sent, Session};

/// No fetch of at most 63 messages, out of an archive of as many, asks more often.
const QUESTIONS: usize = 200;

/// An item of the archive.
struct Item {
    id: String,
    /// `None`: a tombstone, or what is no message.
    body: Option<String>,
    kind: u8,
}

pub(crate) struct Archive {
    items: Vec<Item>,
    /// How many items a page has at most.
    cap: usize,
    /// Its last page, for one that repeats itself.
    last: Vec<usize>,
    /// It said what no archive does that keeps to the rules.
    pub(crate) lied: bool,
    /// Something was said meanwhile.
    grew: bool,
}

/// A fetch ends, gives no more than it was asked for, and nothing of a stranger's; of an
/// archive that keeps to the rules it gives what is there, in its order. A subscription the same,
/// while the room goes on ([`follow`]).
///
/// The bytes: which of the two, the direction and the limit; the cap of a page; the cursor; how many items
/// there are; what each is; then how each question is answered.
pub fn mam_paging(data: &[u8]) {
    let Some((&[how, cap, since, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let (kinds, mut answers) = rest.split_at(usize::from(count % 64).min(rest.len()));
    let mut archive = Archive {
        items: Vec::new(),
        cap: usize::from(cap % 32) + 1,
        last: Vec::new(),
        lied: false,
        grew: false,
    };
    kinds.iter().for_each(|kind| archive.add(*kind));

    let mut session = Session::open(false, |config| {
        // What an archive does not show is not there.
        config.timing.settle = Duration::ZERO;
        config.anchor_at_join = false;
        config.limits.page = u32::from(cap >> 5) + 3;
    });
    session.let_in();
    session.sent();
    session.told();

    let limit = u32::from(how >> 1) % 64;
    let newest = how % 2 == 1;
    // One more than there are: an id that the archive never gave.
    let place = usize::from(since) % (archive.items.len() + 2);
    let is_there = newest || place <= archive.items.len();
    if how >> 7 == 1 {
        return follow(&mut session, &mut archive, place, limit, answers);
    }
    let fetch = if newest {
        Fetch::newest(limit)
    } else {
        Fetch::since(archive.place(place), limit)
    };
    let room = session.room;
    let fetched = session.engine.fetch(session.now, room, fetch);
    fetched.expect("a first fetch");

    let mut given: Vec<Message> = Vec::new();
    let mut end = None;
    let mut questions = 0;
    while end.is_none() {
        let mut asked = false;
        for (sent, query) in session.questions() {
            asked = true;
            questions += 1;
            assert!(questions < QUESTIONS, "it asks for ever");
            let (&answer, after) = answers.split_first().unwrap_or((&0, &[]));
            answers = after;
            archive.answer(&mut session, &sent, &query, answer);
        }
        for event in session.told() {
            let Event::Fetch { event, .. } = event else {
                if let Event::Offline { cause, .. } = event {
                    panic!("it left: {cause:?}");
                }
                continue;
            };
            match event {
                FetchEvent::Page(page) if newest => {
                    given.splice(0..0, page);
                }
                FetchEvent::Page(page) => given.extend(page),
                other => assert_eq!(end.replace(other), None, "two ends"),
            }
        }
        if end.is_none() && !asked {
            let before = session
                .engine
                .wants()
                .deadline
                .expect("it waits for something");
            session.now = session.now.max(before.at);
            session.engine.handle_timeout(session.now);
        }
    }

    assert!(
        given.len() <= usize::try_from(limit).expect("a small number"),
        "more than asked for"
    );
    let end = end.expect("an end");
    for message in &given {
        assert!(!message.body.contains("stranger"), "a stranger's message");
    }
    if archive.lied {
        return;
    }
    match end {
        FetchEvent::Done { next, complete, .. } => {
            assert!(is_there || limit == 0, "a cursor that is not there");
            archive.check(
                &given,
                newest,
                if newest { 0 } else { place },
                limit,
                &next,
                complete,
            );
        }
        FetchEvent::Failed(RequestError::CursorExpired { oldest }) => {
            assert!(!is_there, "a cursor that is there is expired");
            if !archive.grew {
                let first = archive.items.first().map(|item| &*item.id);
                assert_eq!(oldest.as_ref().map(|id| id.as_str()), first);
            }
        }
        other => panic!("{other:?} of an archive that keeps to the rules"),
    }
}

impl Archive {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The place behind so many items; one that it never gave behind more than there are.
    pub(crate) fn place(&self, behind: usize) -> Cursor {
        let Some(last) = behind.checked_sub(1) else {
            return Cursor::Beginning;
        };
        let item = self.items.get(last);
        Cursor::parse(item.map_or("gone", |item| &item.id)).expect("a cursor")
    }

    /// The messages behind so many items, as they were said.
    pub(crate) fn said_since(&self, behind: usize) -> Vec<String> {
        let since = self.items.iter().skip(behind);
        let messages = since.filter_map(|item| Some((&item.id, item.body.as_ref()?)));
        messages.map(|(id, body)| said(id, body)).collect()
    }

    /// Their places.
    pub(crate) fn messages_from(&self, behind: usize) -> Vec<String> {
        let since = self.items.iter().skip(behind);
        let messages = since.filter(|item| item.body.is_some());
        messages.map(|item| item.id.clone()).collect()
    }

    fn add(&mut self, kind: u8) {
        let number = self.items.len();
        self.items.push(Item {
            id: format!("a{number}"),
            body: (kind % 8 < 5).then(|| format!("said {number}")),
            kind: kind % 8,
        });
    }

    /// The page that was asked for, as numbers of items in their order; whether nothing
    /// lies beyond it. `None`: the place is not there.
    fn page(&self, query: &Query, cap: usize) -> Option<(Vec<usize>, bool)> {
        let place = |id: &String| self.items.iter().position(|item| item.id == *id);
        let n = query.max.min(cap);
        let (range, complete) = match (&query.after, &query.before) {
            (Some(after), _) => {
                let from = place(after)? + 1;
                let to = (from + n).min(self.items.len());
                (from..to, to == self.items.len())
            }
            (None, Some(before)) => {
                let to = if before.is_empty() {
                    self.items.len()
                } else {
                    place(before)?
                };
                let from = to.saturating_sub(n);
                (from..to, from == 0)
            }
            (None, None) => {
                let to = n.min(self.items.len());
                (0..to, to == self.items.len())
            }
        };
        Some((range.collect(), complete))
    }

    pub(crate) fn answer(&mut self, session: &mut Session, sent: &Sent, query: &Query, how: u8) {
        let how = how % 20;
        if how == 13 {
            self.grew = true;
            self.add(0);
        }
        self.lied |= matches!(how, 6..=10 | 14..=17 | 19);
        let id = &sent.id;
        let error = |condition: &str, kind: &str| {
            format!(
                "<iq type='error' id='{id}' from='{ROOM}'><error type='{kind}'>\
                 <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        };
        let cap = if how == 18 { 1 } else { self.cap };
        let Some((mut page, mut complete)) = self.page(query, cap) else {
            return session.say(&error("item-not-found", "cancel"));
        };
        let mut set = None;
        match how {
            6 => page.clone_from(&self.last),
            7 => set = Some(String::new()),
            8 => {
                page.clear();
                complete = true;
            }
            9 => return session.say(&error("item-not-found", "cancel")),
            10 => return session.say(&error("internal-server-error", "wait")),
            11 => session.say(&self.result("another", ROOM, 0, "stranger")),
            12 => {
                let from = "ops@muc.evil.example";
                session.say(&self.result(&query.id, from, 0, "stranger"));
            }
            14 => set = Some("<first>zz</first><last>zz</last>".into()),
            15 => page.reverse(),
            16 => return,
            17 => page = page.iter().flat_map(|n| [*n, *n]).collect(),
            19 => {
                page.clear();
                complete = false;
            }
            _ => {}
        }
        let ends = |n: Option<&usize>, name: &str| {
            n.map_or(String::new(), |n| {
                format!("<{name}>{}</{name}>", self.items[*n].id)
            })
        };
        let set = set.unwrap_or_else(|| {
            let (first, last) = (ends(page.first(), "first"), ends(page.last(), "last"));
            format!("{first}{last}<count>{}</count>", self.items.len())
        });
        for n in &page {
            session.say(&self.result(&query.id, ROOM, *n, ""));
        }
        let complete = if complete { " complete='true'" } else { "" };
        session.say(&format!(
            "<iq type='result' id='{id}' from='{ROOM}'><fin xmlns='urn:xmpp:mam:2'{complete}>\
             <set xmlns='http://jabber.org/protocol/rsm'>{set}</set></fin></iq>"
        ));
        self.last = page;
    }

    /// One result; with a text of its own if there is one.
    fn result(&self, query_id: &str, from: &str, n: usize, text: &str) -> String {
        let strange = Item {
            id: "strange".into(),
            body: Some(text.into()),
            kind: 0,
        };
        let item = match self.items.get(n) {
            Some(item) if text.is_empty() => item,
            _ => &strange,
        };
        let inner = match (&item.body, item.kind) {
            (Some(body), _) => format!("<body>{body}</body>"),
            (None, 5) => "<retracted xmlns='urn:xmpp:message-retract:1'/>".into(),
            (None, 6) => "<subject>a subject</subject>".into(),
            (None, _) => String::new(),
        };
        let message = format!(
            "<message xmlns='jabber:client' type='groupchat' from='{ROOM}/bob'>{inner}</message>"
        );
        let message = if item.kind == 7 { "" } else { &message };
        format!(
            "<message from='{from}' to='alice@parley.local/here'>\
             <result xmlns='urn:xmpp:mam:2' queryid='{query_id}' id='{}'>\
             <forwarded xmlns='urn:xmpp:forward:0'>\
             <delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>{message}\
             </forwarded></result></message>",
            item.id
        )
    }

    /// What an archive that keeps to the rules has after a place, and nothing else.
    fn check(
        &self,
        given: &[Message],
        newest: bool,
        place: usize,
        limit: u32,
        next: &Cursor,
        complete: bool,
    ) {
        let ids: Vec<_> = given
            .iter()
            .map(|m| m.id.as_ref().expect("an id").as_str())
            .collect();
        let there = self.items[place.min(self.items.len())..].iter();
        let there: Vec<_> = there.filter(|i| i.body.is_some()).map(|i| &*i.id).collect();
        let limit = usize::try_from(limit).expect("a small number");
        let n = limit.min(there.len());
        if !self.grew {
            let expected = if newest {
                &there[there.len() - n..]
            } else {
                &there[..n]
            };
            assert_eq!(ids, expected);
        } else if !ids.is_empty() {
            // A piece of it, without a hole.
            let at = there
                .iter()
                .position(|id| *id == ids[0])
                .expect("an item of it");
            assert!(newest || at == 0, "it left out {:?}", &there[..at]);
            assert_eq!(ids, there[at..at + ids.len()]);
        }
        for (message, id) in given.iter().zip(&ids) {
            let item = self.items.iter().find(|item| item.id == *id);
            assert_eq!(
                item.and_then(|item| item.body.as_ref()),
                Some(&message.body)
            );
        }
        if complete && !self.grew {
            let left = next.as_str();
            let after = self.items.iter().position(|item| item.id == left);
            let rest = &self.items[after.map_or(0, |at| at + 1)..];
            let left: Vec<_> = rest
                .iter()
                .filter(|i| i.body.is_some())
                .map(|i| &i.id)
                .collect();
            assert!(
                left.is_empty(),
                "complete, though there are {left:?} behind {next:?}"
            );
        }
    }
}
