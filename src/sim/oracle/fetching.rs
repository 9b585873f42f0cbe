//! Those who fetch from the archive of a room: rules S1 to S5.

use alloc::format;
use alloc::string::String;

use super::found::Found;
use super::truth::{Item, Room};
use crate::{Cursor, Fetch, FetchEvent, Instant, Message, RequestError};

/// A fetch.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) room: usize,
    /// Towards the present; else the newest there are.
    forward: bool,
    /// The place before the first page.
    start: Option<usize>,
    /// The places given: from the first, up to but not the second.
    given: Option<(usize, usize)>,
    left: u32,
    pub(super) asked: Instant,
    /// The archive had let go of the cursor before.
    expired: bool,
    /// Where it was to read on.
    since: Option<Cursor>,
    pub(super) over: bool,
}

impl Reading {
    pub(super) fn new(room: usize, truth: &Room, fetch: &Fetch, asked: Instant) -> Self {
        Self {
            room,
            forward: fetch.since.is_some(),
            start: fetch.since.as_ref().and_then(|cursor| truth.after(cursor)),
            given: None,
            left: fetch.limit,
            asked,
            expired: fetch
                .since
                .as_ref()
                .and_then(|cursor| truth.named(cursor))
                .is_some_and(|item| item.unplaced),
            since: fetch.since.clone(),
            over: false,
        }
    }

    pub(super) fn event(&mut self, truth: &Room, event: &FetchEvent, found: &mut Found) {
        if self.over {
            found.violate("S8", String::from("a fetch goes on after its outcome"));
        }
        if self.expired && !matches!(event, FetchEvent::Failed(_)) {
            let what = "a fetch goes on from a cursor that the archive had let go of";
            found.violate("S5", String::from(what));
        }
        match event {
            FetchEvent::Page(messages) => {
                found.count("page fetched");
                if self.given.is_some() {
                    found.count("fetched past the cap");
                }
                self.page(truth, messages, found);
            }
            FetchEvent::Done { next, complete, .. } => {
                self.over = true;
                self.done(truth, next, *complete, found);
            }
            FetchEvent::Failed(error) => {
                found.count("fetch failed");
                self.over = true;
                let expired = matches!(
                    error,
                    RequestError::CursorExpired { .. } | RequestError::CursorForeign
                );
                if expired {
                    found.count("fetch failed: cursor expired");
                    self.not_expired(truth, found);
                }
            }
        }
    }

    /// It says that a cursor of its own is gone.
    fn not_expired(&self, truth: &Room, found: &mut Found) {
        let since_asked = |at: Instant| at >= self.asked;
        let is_there = if self.given.is_some() {
            // It was one that the pages given already ended with, and went meanwhile.
            !truth.let_go.is_some_and(since_asked) && !truth.spoilt.is_some_and(since_asked)
        } else {
            // Nobody expires who begins at an end of the archive.
            let place = self.since.as_ref().and_then(|since| truth.named(since));
            place.is_none_or(|item| {
                !item.unplaced && item.shown.is_some_and(|shown| shown < self.asked)
            })
        };
        if is_there {
            let what = "a fetch says that a cursor is gone which is there";
            found.violate("S5", String::from(what));
        }
    }

    fn page(&mut self, truth: &Room, messages: &[Message], found: &mut Found) {
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if count > self.left {
            found.violate("S13", String::from("a fetch gives more than was asked for"));
        }
        self.left = self.left.saturating_sub(count);
        let mut next = None;
        let (mut low, mut high) = (None, 0);
        for message in messages {
            let Some(place) = truth.find(message) else {
                return found.violate("S1", format!("nobody said {:?}", message.body));
            };
            if next.is_some_and(|next| place < next) {
                found.violate("S3", format!("a page is out of order: {:?}", message.body));
            }
            if let Some(next) = next {
                hole(truth, next, place, self.asked, found);
            }
            next = Some(place.saturating_add(1));
            low = low.or(Some(place));
            high = place.saturating_add(1);
        }
        let Some(low) = low else { return };
        match (self.given, self.forward) {
            (Some((first, end)), true) => {
                if low < end {
                    found.violate("S2", String::from("pages of a fetch overlap"));
                }
                hole(truth, end, low, self.asked, found);
                self.given = Some((first, high));
            }
            (Some((first, end)), false) => {
                if high > first {
                    found.violate("S2", String::from("pages of a fetch overlap"));
                }
                hole(truth, high, first, self.asked, found);
                self.given = Some((low, end));
            }
            (None, _) => {
                if let Some(start) = self.start {
                    if low < start {
                        found.violate("S3", String::from("a fetch gives what it was told to skip"));
                    }
                    hole(truth, start, low, self.asked, found);
                }
                self.given = Some((low, high));
            }
        }
    }

    fn done(&self, truth: &Room, next: &Cursor, complete: bool, found: &mut Found) {
        found.count("fetched");
        let Some(place) = truth.after(next) else {
            return found.violate(
                "S5",
                format!("a fetch ends at a cursor that is none: {next}"),
            );
        };
        let end = self.given.map(|(_, end)| end).or(self.start).unwrap_or(0);
        if place < end {
            found.violate(
                "S5",
                format!("a fetch ends at a cursor too far back: {next}"),
            );
        }
        if self.forward {
            hole(truth, end, place, self.asked, found);
        }
        let behind = truth.items.iter().skip(place);
        let missed = behind
            .filter(|item| item.is_kept())
            .find(|item| item.shown.is_some_and(|shown| shown < self.asked));
        if let Some(item) = missed.filter(|_| complete) {
            found.violate(
                "S4",
                format!("a fetch says it is complete without {:?}", item.body),
            );
        }
    }
}

/// A fetch passed from one place to another by.
fn hole(truth: &Room, from: usize, to: usize, asked: Instant, found: &mut Found) {
    let between = truth.items.get(from..to).unwrap_or_default();
    // Where messages may come late, one may show after what was said later.
    let shown = |item: &Item| item.shown.is_some_and(|shown| shown < asked);
    let owed = |item: &&Item| item.is_kept() && shown(item);
    if let Some(item) = between.iter().find(owed) {
        found.violate("S4", format!("a fetch passes by {:?}", item.body));
    }
}
