//! Servers that send as many messages as they like, whatever was asked for.

use crate::peer::archived;
use crate::*;

/// An archive that does not know `<max/>`.
struct Archive {
    ids: Vec<String>,
    page: usize,
    /// How large each message is.
    padding: String,
}

impl Archive {
    fn new(items: usize, page: usize) -> Self {
        Self {
            ids: (0..items).map(|n| format!("i{n}")).collect(),
            page,
            padding: String::new(),
        }
    }

    fn place(&self, query: &str, name: &str) -> Option<usize> {
        let (_, rest) = query.split_once(&format!("<{name}>"))?;
        let (id, _) = rest.split_once('<')?;
        Some(self.ids.iter().position(|i| i == id).expect("a known id"))
    }

    fn answer(&self, peer: &mut Peer, query: &str) {
        let range = if query.contains("<before") {
            let end = self.place(query, "before").unwrap_or(self.ids.len());
            end.saturating_sub(self.page)..end
        } else {
            let start = self.place(query, "after").map_or(0, |at| at + 1);
            start..self.ids.len().min(start + self.page)
        };
        let complete = if query.contains("<before") {
            range.start == 0
        } else {
            range.end == self.ids.len()
        };
        let page: Vec<_> = self.ids[range].iter().map(String::as_str).collect();
        for id in &page {
            let body = format!("{id}{}", self.padding);
            peer.say(&archived(query_id(query), id, &body));
        }
        peer.say(&fin(iq(query), complete, &page));
    }

    /// Answers what is asked until nothing is; returns what was told.
    fn serve(&self, peer: &mut Peer) -> Vec<Event> {
        peer.shows = false;
        let mut told = Vec::new();
        let mut turns = 0;
        loop {
            let sent = peer.heard();
            let asked = queries(&sent);
            if asked.is_empty() {
                return told;
            }
            for query in asked {
                self.answer(peer, query);
                told.extend(peer.events());
            }
            turns += 1;
            assert!(turns <= 2 * self.ids.len() + 10, "asked for ever");
        }
    }
}

fn ids(messages: &[Message]) -> Vec<&str> {
    let ids = messages.iter();
    ids.map(|m| m.id.as_ref().expect("an id").as_str())
        .collect()
}

#[test]
fn a_fetch_of_all_gives_each_message_once_in_order() {
    for (page, limit) in [(7, 1000), (30, 1000), (1000, 1000), (1000, 250), (3, 250)] {
        let archive = Archive::new(250, page);
        let (mut peer, room) = in_room();
        peer.engine
            .fetch(peer.now, room, everything(limit))
            .unwrap();
        let (messages, ends) = fetched(archive.serve(&mut peer));
        assert_eq!(ids(&messages), archive.ids, "{page} of {limit}");
        assert!(
            matches!(&ends[..], [FetchEvent::Done { next, .. }] if next.as_str() == "i249"),
            "{ends:?}"
        );
    }
}

#[test]
fn a_fetch_gives_no_more_than_it_was_asked_for() {
    for page in [1, 3, 30, 1000] {
        let archive = Archive::new(250, page);
        let (mut peer, room) = in_room();
        peer.engine.fetch(peer.now, room, everything(10)).unwrap();
        let (messages, ends) = fetched(archive.serve(&mut peer));
        assert_eq!(ids(&messages), archive.ids[..10]);
        match &ends[..] {
            [FetchEvent::Done { next, complete, .. }] => {
                assert_eq!((next.as_str(), *complete), ("i9", false));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_fetch_of_the_newest_gives_the_newest_each_once() {
    for (page, limit) in [
        (1, 10),
        (3, 10),
        (30, 10),
        (1000, 10),
        (30, 100),
        (30, 1000),
    ] {
        let archive = Archive::new(250, page);
        let (mut peer, room) = in_room();
        peer.engine
            .fetch(peer.now, room, Fetch::newest(limit))
            .unwrap();
        let (mut messages, ends) = fetched(archive.serve(&mut peer));
        // Pages come newest first; here only the whole counts.
        messages.sort_by_key(|m| m.body[1..].parse::<u32>().unwrap());
        let limit = usize::try_from(limit).unwrap().min(250);
        assert_eq!(ids(&messages), archive.ids[250 - limit..], "{page}");
        assert!(
            matches!(&ends[..], [FetchEvent::Done { next, .. }] if next.as_str() == "i249"),
            "{ends:?}"
        );
    }
}

#[test]
fn pages_too_heavy_to_keep_are_read_to_the_end_both_ways() {
    let mut archive = Archive::new(60, 30);
    archive.padding = "x".repeat(200 * 1024);
    for fetch in [Fetch::newest(100), everything(100)] {
        let (mut peer, room) = in_room();
        peer.engine.fetch(peer.now, room, fetch).unwrap();
        let (messages, ends) = fetched(archive.serve(&mut peer));
        let mut seen = ids(&messages);
        seen.sort_by_key(|id| id[1..].parse::<u32>().unwrap());
        assert_eq!(seen, archive.ids);
        assert!(matches!(ends[..], [FetchEvent::Done { .. }]), "{ends:?}");
    }
}

#[test]
fn no_more_is_delivered_than_was_granted() {
    for page in [1, 3, 50] {
        let archive = Archive::new(50, page);
        let (mut peer, room) = in_room();
        let start = FROM_THE_BEGINNING;
        let id = peer.engine.subscribe(peer.now, room, start, 2).unwrap();
        let mut seen = Vec::new();
        let mut granted = 2;
        while granted < 60 {
            let told = entries(archive.serve(&mut peer));
            seen.extend(bodies(&told).into_iter().map(ToOwned::to_owned));
            assert_eq!(seen.len(), granted.min(50), "page of {page}");
            peer.engine.grant(peer.now, id, 3);
            granted += 3;
        }
        let told = entries(archive.serve(&mut peer));
        assert_eq!(bodies(&told), [""; 0]);
        assert_eq!(seen, archive.ids);
    }
}
