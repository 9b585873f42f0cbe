//! What a room says after it let us in, and before we know what its ids are worth.

use alloc::vec::Vec;

use crate::event::Message;
use crate::ids::ArchiveId;
use crate::limits::Limits;

/// Said early: the first of it, as much as is held back for a subscription.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(super) said: Vec<Message>,
    /// What did not fit, if anything did not.
    pub(super) lost: Option<Lost>,
}

/// What did not fit.
#[derive(Debug)]
pub(super) struct Lost {
    /// The last of it that has a place in an archive.
    pub(super) last: Option<ArchiveId>,
    /// Some of it has none.
    pub(super) unplaced: bool,
}

impl Early {
    pub(super) fn hear(&mut self, message: Message, limits: &Limits) {
        let fits = self.lost.is_none()
            && self.said.len() < limits.held_messages
            && self.held() < limits.held_bytes;
        if fits {
            self.said.push(message);
            return;
        }
        let lost = self.lost.get_or_insert(Lost {
            last: None,
            unplaced: false,
        });
        lost.unplaced |= message.id.is_none();
        lost.last = message.id.or(lost.last.take());
    }

    /// Its ids are not those of an archive.
    pub(super) fn displace(&mut self) {
        for message in &mut self.said {
            message.id = None;
        }
        if let Some(lost) = &mut self.lost {
            lost.last = None;
            lost.unplaced = true;
        }
    }

    /// The last place that was heard of.
    pub(super) fn newest(&self) -> Option<&ArchiveId> {
        let lost = self.lost.as_ref().and_then(|lost| lost.last.as_ref());
        lost.or_else(|| self.said.iter().rev().find_map(|said| said.id.as_ref()))
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let said = self.said.iter().map(Message::weight);
        said.fold(0, usize::saturating_add)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;
    use alloc::string::String;

    fn id(text: &str) -> Option<ArchiveId> {
        ArchiveId::new(text)
    }

    fn said(at: Option<&str>, body: &str) -> Message {
        Message {
            id: at.and_then(ArchiveId::new),
            nick: "n".into(),
            occupant_id: None,
            body: body.into(),
            origin_id: None,
            reply_to: None,
            stamp: None,
            own: false,
            source: Source::Live,
        }
    }

    fn bodies(early: &Early) -> Vec<&str> {
        early.said.iter().map(|m| m.body.as_str()).collect()
    }

    #[test]
    fn no_more_messages_are_kept_than_for_a_subscription() {
        let limits = Limits {
            held_messages: 2,
            ..Limits::default()
        };
        let mut early = Early::default();
        assert_eq!(early.newest(), None);
        for (at, body) in [(Some("1"), "a"), (None, "b")] {
            early.hear(said(at, body), &limits);
        }
        assert!(early.lost.is_none());
        assert_eq!(early.newest(), id("1").as_ref());
        early.hear(said(Some("3"), "c"), &limits);
        assert_eq!(bodies(&early), ["a", "b"]);
        assert_eq!(early.newest(), id("3").as_ref());
        // What has no place does not move the last place, but is lost all the same.
        early.hear(said(None, "d"), &limits);
        let lost = early.lost.as_ref().unwrap();
        assert!(lost.unplaced && lost.last == id("3"));
        early.hear(said(Some("5"), "e"), &limits);
        let lost = early.lost.as_ref().unwrap();
        assert!(lost.unplaced && lost.last == id("5"));
        early.clear();
        assert_eq!((early.held(), early.newest()), (0, None));
        assert!(early.lost.is_none());
    }

    #[test]
    fn no_more_bytes_are_kept_than_for_a_subscription() {
        let weight = said(Some("1"), "x").weight();
        let limits = Limits {
            held_bytes: 2 * weight,
            ..Limits::default()
        };
        let mut early = Early::default();
        for n in ["1", "2", "3"] {
            early.hear(said(Some(n), "x"), &limits);
        }
        assert_eq!((early.said.len(), early.held()), (2, 2 * weight));
        // Once something is lost, all that follows is: the sequence has no holes.
        early.said.pop();
        early.hear(said(Some("4"), "x"), &limits);
        assert_eq!(early.said.len(), 1);
        assert_eq!(early.lost.as_ref().unwrap().last, id("4"));
        assert!(!early.lost.as_ref().unwrap().unplaced);
    }

    #[test]
    fn ids_that_are_not_those_of_an_archive_are_no_places() {
        let limits = Limits {
            held_messages: 1,
            ..Limits::default()
        };
        let mut early = Early::default();
        early.hear(said(Some("1"), "a"), &limits);
        early.hear(said(Some("2"), "b"), &limits);
        early.displace();
        assert_eq!(early.newest(), None);
        assert_eq!(early.said.first().unwrap().body, String::from("a"));
        assert!(early.lost.as_ref().unwrap().unplaced);
    }
}
