//! What an archive shows that does not show yet where the reader stands.
//!
//! The reader was late for some of it, and the rest is to come in its turn. Where something that
//! the reader has come by lies behind a message, the reader is late for that. So a comparison that
//! cannot tell reads on, telling nothing, until it sees such a thing, or the end of the archive;
//! then it goes back.

use crate::cx::Cx;
use crate::event::Message;
use crate::ids::ArchiveId;
use crate::mam::WholePage;
use crate::room::log::Log;

impl Log {
    /// How many messages of a page lie before the reader, or can be told from what is held back
    /// or was dropped: while the archive does not show the reader's place, nobody can say which
    /// of them the reader was late for, and which are yet to come.
    ///
    /// Where it was looked ahead, what lies before the thing seen then is; it is forgotten where
    /// the page shows that.
    pub(super) fn surely_before(&mut self, page: &WholePage) -> usize {
        let waits = self.dropped.is_some() || !self.held.is_empty();
        if !waits {
            return page.messages.len();
        }
        if let Some(seen) = self.audit.pass.seen.take() {
            if let Some(number) = number_in(page, |id| *id == seen) {
                return number.max(self.last_told(page));
            }
            if !page.complete {
                // It lies further on.
                self.audit.pass.seen = Some(seen);
                return page.messages.len();
            }
        }
        self.last_told(page)
    }

    /// How many messages of a page lie before the last that the reader has come by.
    fn last_told(&self, page: &WholePage) -> usize {
        number_in(page, |id| self.has_come_by(id)).unwrap_or(0)
    }

    fn has_come_by(&self, id: &ArchiveId) -> bool {
        self.stands_on(id) || self.told.is_in_turn(id)
    }

    /// Whether nothing behind a page can be something that the reader has come by.
    pub(super) fn ends_with(&self, page: &WholePage) -> bool {
        let mut ids = page.messages.iter().filter_map(|said| said.id.as_ref());
        page.complete || ids.any(|id| self.holds_back(id))
    }

    /// Reads on, telling nothing, to see whether the reader has come by anything that lies behind
    /// the place to which the comparison has come. If so the reader is late for what lies between
    /// them, and the comparison goes on there; else nobody can tell yet.
    pub(super) fn look_ahead(&mut self, cx: &mut Cx<'_>, at: &str, page: &WholePage) {
        let messages = page.messages.iter().filter_map(|said| said.id.as_ref());
        let mut ids = messages.chain(page.removed.iter().map(|(_, id)| id));
        let seen = ids.find(|id| self.has_come_by(id)).cloned();
        if let (Some(seen), Some(place)) = (seen, self.audit.pass.place.clone()) {
            let pass = &mut self.audit.pass;
            (pass.looks, pass.seen) = (false, Some(seen));
            self.audit.pager = self.pager_after(&place, cx.limits.page);
            return self.ask_audit(cx, at);
        }
        if self.ends_with(page) {
            return self.end_pass(cx, at, true);
        }
        self.ask_audit(cx, at);
    }

    /// Asks for the next page, to look at it. Where nothing was told since it was gone back the last
    /// time, it was of no use.
    pub(super) fn begin_to_look(&mut self, cx: &mut Cx<'_>, at: &str) {
        if core::mem::replace(&mut self.audit.pass.looked, true) {
            return self.end_pass(cx, at, true);
        }
        self.audit.pass.looks = true;
        self.ask_audit(cx, at);
    }
}

/// How many messages of a page there are up to the last item of such an id, and with it if it is
/// one.
fn number_in(page: &WholePage, is_such: impl Fn(&ArchiveId) -> bool) -> Option<usize> {
    let is_message = |message: &Message| message.id.as_ref().is_some_and(&is_such);
    let message = page.messages.iter().rposition(is_message);
    let message = message.map(|number| number.saturating_add(1));
    let removed = page.removed.iter().rev().find(|(_, id)| is_such(id));
    message.max(removed.map(|(number, _)| *number))
}
