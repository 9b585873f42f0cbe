//! A stanza, and what is read of it: against independent parsers and a second reading.

use parley_xmpp::{ArchiveId, Entry, Event, Message, RoomEvent, Start};
use rxml::Parse as _;

use crate::expat::Reading;
use crate::session::{HEADER, ROOM, Session};
use crate::xml::{Part, with_line_feeds};

const CLIENT: &str = "jabber:client";
const SID: &str = "urn:xmpp:sid:0";

/// An element as rxml and expat read it.
#[derive(Debug, Default, PartialEq)]
struct Tree {
    ns: String,
    name: String,
    attrs: Vec<(String, String)>,
    children: Vec<Tree>,
    /// Runs of text right within.
    texts: Vec<String>,
}

/// Whatever one stanza says in a room, no more and no less of it is told than stands in it:
/// the text, the nick and the ids, and for a request one answer.
pub fn stanza(data: &[u8]) {
    // What crosses a limit ends the stream, and is no matter here: none is crossed.
    let mut session = Session::open(false, |config| {
        let xml = &mut config.limits.xml;
        let names = [&mut xml.name_bytes, &mut xml.value_bytes];
        let lists = [&mut xml.attributes, &mut xml.declarations];
        let trees = [&mut xml.depth, &mut xml.nodes, &mut xml.bindings];
        for limit in names.into_iter().chain(lists).chain(trees) {
            *limit = limit.saturating_add(data.len());
        }
    });
    session.let_in();
    let room = session.room;
    let followed = session.engine.subscribe(session.now, room, Start::Now, 100);
    followed.expect("a first subscription");
    // It asks where it begins: nowhere, since there is nothing.
    let mut asked = session.sent();
    while let Some(sent) = asked.iter().find(|sent| sent.query.is_some()) {
        session.say(&format!(
            "<iq type='result' id='{}' from='{ROOM}'><fin xmlns='urn:xmpp:mam:2' complete='true'>\
             <set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set></fin></iq>",
            sent.id
        ));
        asked = session.sent();
    }
    session.told();

    let Ok(text) = core::str::from_utf8(data) else {
        return session.say_bytes(data);
    };
    session.say(text);
    let told = session.told();
    let Some(tree) = read(text) else {
        return;
    };
    let left = told
        .iter()
        .any(|event| matches!(event, Event::Offline { .. }));
    let known = tree.ns == CLIENT && matches!(&*tree.name, "message" | "presence" | "iq");
    if !known || left || !session.engine.wants().read {
        assert!(!known, "a stanza ended the stream: {told:?}");
        return;
    }
    answers(&mut session, &tree);
    let said: Vec<_> = told.iter().filter_map(said).collect();
    let subjects = told.iter().filter_map(|event| match event {
        Event::Room {
            event: RoomEvent::Subject { text, by },
            ..
        } => Some((text, by)),
        _ => None,
    });
    let subjects: Vec<_> = subjects.collect();
    match tree.nick_in_room() {
        None if tree.is_of_no_nick() => assert!(told.is_empty(), "nobody did {told:?}"),
        // The same address in other letters, perhaps.
        None if tree.is_near() => {}
        Some(nick) if tree.name == "message" && tree.attr("type") == Some("groupchat") => {
            let subject = tree.child("subject", CLIENT);
            let thread = tree.child("thread", CLIENT);
            match (tree.child("body", CLIENT), subject) {
                // RFC 6121 section 5.2.3: it "MUST NOT contain mixed content".
                (Some(body), _) if !body.children.is_empty() => {
                    assert!(said.is_empty() && subjects.is_empty(), "{told:?}");
                }
                (Some(body), _) => {
                    let Some(nick) = nick else {
                        return assert!(said.is_empty(), "nobody said {said:?}");
                    };
                    let [message] = said[..] else {
                        panic!("{said:?} for {tree:?}");
                    };
                    tree.check(message, nick, body);
                }
                // XEP-0045 section 8.1: it "SHALL NOT be interpreted as a subject change".
                (None, Some(_)) if thread.is_some() => {
                    assert!(said.is_empty() && subjects.is_empty(), "{told:?}");
                }
                (None, Some(subject)) => {
                    assert!(said.is_empty(), "{said:?}");
                    let expected = (&subject.text().to_owned(), &nick.map(str::to_owned));
                    assert_eq!(subjects, [expected]);
                }
                (None, None) => assert!(said.is_empty() && subjects.is_empty(), "{told:?}"),
            }
        }
        _ => assert!(said.is_empty() && subjects.is_empty(), "{told:?}"),
    }
}

fn said(event: &Event) -> Option<&Message> {
    match event {
        Event::Entry {
            entry: Entry::Message(message),
            ..
        } => Some(message),
        _ => None,
    }
}

/// RFC 6120 section 8.2.3: "An entity that receives an IQ request of type "get" or "set"
/// MUST reply with an IQ response of type "result" or "error"".
fn answers(session: &mut Session, tree: &Tree) {
    let sent = session.sent();
    let Some(id) = tree.attr("id").filter(|id| !id.is_empty()) else {
        return;
    };
    // And of any other type but those of answers: it "MUST return a stanza error of <bad-request/>".
    let is_request = tree.name == "iq" && !matches!(tree.attr("type"), Some("result" | "error"));
    let answers = sent
        .iter()
        .filter(|sent| sent.name == "iq" && sent.id == id);
    assert_eq!(
        answers.count(),
        usize::from(is_request),
        "answers to {tree:?}: {sent:?}"
    );
}

impl Tree {
    fn attr(&self, name: &str) -> Option<&str> {
        let attr = self.attrs.iter().find(|(own, _)| own == name);
        attr.map(|(_, value)| &**value)
    }

    fn child(&self, name: &str, ns: &str) -> Option<&Self> {
        self.children
            .iter()
            .find(|child| child.name == name && child.ns == ns)
    }

    /// The first run of text, which is all of it where there are no children.
    fn text(&self) -> &str {
        self.texts.first().map_or("", |text| text)
    }

    /// The nick, if it is of the room, letter by letter.
    fn nick_in_room(&self) -> Option<Option<&str>> {
        let rest = self.attr("from")?.strip_prefix(ROOM)?;
        match rest.strip_prefix('/') {
            Some(nick) if is_nick(nick) => Some(Some(nick)),
            None if rest.is_empty() => Some(None),
            _ => None,
        }
    }

    /// Whether it is the room's, letter by letter, with a nick that nobody can have.
    fn is_of_no_nick(&self) -> bool {
        let rest = self.attr("from").and_then(|from| from.strip_prefix(ROOM));
        let nick = rest.and_then(|rest| rest.strip_prefix('/'));
        nick.is_some_and(|nick| !is_nick(nick))
    }

    /// Whether the address may be the room's though it is spelt in another way.
    fn is_near(&self) -> bool {
        let near = |from: &str| from.to_lowercase().starts_with("ops");
        self.attr("from").is_some_and(near)
    }

    /// The id that a child gives, if it is one.
    fn id_of(&self, name: &str, ns: &str) -> Option<&str> {
        let id = self.child(name, ns)?.attr("id")?;
        (!id.is_empty() && id.len() <= ArchiveId::MAX_BYTES).then_some(id)
    }

    fn check(&self, message: &Message, nick: &str, body: &Self) {
        assert_eq!((&*message.nick, &*message.body), (nick, body.text()));
        let expected = [
            self.id_of("occupant-id", "urn:xmpp:occupant-id:0"),
            self.id_of("origin-id", SID),
            self.id_of("reply", "urn:xmpp:reply:0"),
        ];
        let told = [&message.occupant_id, &message.origin_id, &message.reply_to];
        assert_eq!(told.map(|told| told.as_deref()), expected);
        assert!(!message.own, "we said nothing");
        let by = |child: &&Self| child.name == "stanza-id" && child.ns == SID;
        let ids: Vec<_> = self.children.iter().filter(by).collect();
        let near = |id: &&&Self| {
            let by = id.attr("by").unwrap_or_default();
            by.to_lowercase().starts_with("ops")
        };
        let exact: Vec<_> = ids
            .iter()
            .filter(|id| id.attr("by") == Some(ROOM))
            .collect();
        let id = message.id.as_ref().map(ArchiveId::as_str);
        if exact.len() == ids.iter().filter(near).count() {
            match exact[..] {
                [one] => {
                    let of = one.attr("id").and_then(ArchiveId::new);
                    assert_eq!(id, of.as_ref().map(ArchiveId::as_str));
                }
                // Two of the same: somebody lies.
                _ => assert_eq!(id, None),
            }
        }
    }
}

/// RFC 7622 section 3.4.
fn is_nick(text: &str) -> bool {
    (1..=1023).contains(&text.len())
}

/// The one element that this text is, if it is one and nothing else.
fn read(text: &str) -> Option<Tree> {
    let document = format!("{HEADER}{text}</stream:stream>");
    let tree = read_with_rxml(&with_line_feeds(document.as_bytes()))?;
    let reading = Reading::of([document.as_bytes()]);
    if reading.is_whole() {
        let theirs = tree_of(&reading.parts);
        assert_eq!(theirs.as_ref(), Some(&tree), "rxml and expat differ");
        return Some(tree);
    }
    // Either expat knows a letter only from the fifth edition of XML, and rxml is right; or it
    // refuses what rxml 0.14 should: a namespace declared twice, or reserved.
    let late = reading.late_letter(document.as_bytes()).is_some();
    late.then_some(tree)
}

/// What rxml reads. Line ends are made line feeds before, since it reads a carriage return
/// otherwise than XML 1.0, section 2.11, and than we and expat do. Names with letters from U+FDF0
/// to U+FFFD (section 2.3) it refuses, as expat does.
fn read_with_rxml(document: &[u8]) -> Option<Tree> {
    let mut parser = rxml::Parser::default();
    let mut rest = document;
    let mut open = Vec::<Tree>::new();
    let mut last_was_text = false;
    loop {
        match parser.parse(&mut rest, true) {
            Ok(Some(rxml::Event::XmlDeclaration(..))) => {}
            Ok(Some(rxml::Event::StartElement(_, (ns, name), attrs))) => {
                last_was_text = false;
                let own = attrs.iter().filter(|((ns, _), _)| ns.is_none());
                let own = own.map(|((_, name), value)| (name.as_str().into(), value.clone()));
                let mut attrs: Vec<_> = own.collect();
                attrs.sort();
                open.push(Tree {
                    ns: ns.as_str().into(),
                    name: name.as_str().into(),
                    attrs,
                    ..Tree::default()
                });
            }
            Ok(Some(rxml::Event::Text(_, text))) => {
                let parent = open.last_mut()?;
                match parent.texts.last_mut().filter(|_| last_was_text) {
                    Some(last) => last.push_str(&text),
                    None if text.is_empty() => continue,
                    None => parent.texts.push(text),
                }
                last_was_text = true;
            }
            Ok(Some(rxml::Event::EndElement(_))) => {
                last_was_text = false;
                let tree = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(tree),
                    None => {
                        let mut stream = tree;
                        let stanza = stream.children.pop()?;
                        let alone = stream.children.is_empty() && stream.texts.is_empty();
                        return alone.then_some(stanza);
                    }
                }
            }
            Ok(None) | Err(_) => return None,
        }
    }
}

/// The one stanza of a stream.
fn tree_of(parts: &[Part]) -> Option<Tree> {
    let mut open = Vec::<Tree>::new();
    for part in parts {
        match part {
            Part::Start(ns, name, attrs) => {
                let own = attrs.iter().filter(|(ns, _, _)| ns.is_empty());
                open.push(Tree {
                    ns: ns.clone(),
                    name: name.clone(),
                    attrs: own
                        .map(|(_, name, value)| (name.clone(), value.clone()))
                        .collect(),
                    ..Tree::default()
                });
            }
            Part::Text(text) => open.last_mut()?.texts.push(text.clone()),
            Part::End => {
                let tree = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(tree),
                    None => return tree.children.into_iter().next(),
                }
            }
        }
    }
    None
}
