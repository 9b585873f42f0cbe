//! What was heard and dropped, and not shown when the archive was read to its end.
//!
//! An archive may write things in another order than they were said, or be late: then they lie
//! behind the reader. A comparison finds them if it begins before them. After one that did not, they
//! are looked for back from where the reader stands, each by its id, and told as
//! [`Entry::Late`]. What lies ahead of the reader comes in its turn.

use alloc::boxed::Box;

use crate::cx::Cx;
use crate::event::{Entry, GapReason, RequestError};
use crate::ids::Cursor;
use crate::mam::{Direction, Pager, WholePage};
use crate::room::log::Log;

impl Log {
    /// Looks for what is missing, if it is time to and the reader can take it. Says whether.
    pub(super) fn look_behind(&mut self, cx: &mut Cx<'_>, at: &str) -> bool {
        if !self.missing.is_due(cx.now, cx.timing.settle) || !self.takes_what_is_late() {
            return false;
        }
        self.missing.look(cx.now);
        // A place that the archive showed just now, at which the reader stands, or that lies
        // further back.
        let here = match &self.cursor {
            Some(Cursor::After(here)) if self.audit.pass.passed => Some(here),
            _ => self.audit.pass.over.as_ref(),
        };
        let Some(here) = here.cloned() else {
            self.not_found(cx, None);
            return false;
        };
        self.audit.pager = Pager::new(Direction::Backward, Some(here), cx.limits.page);
        self.audit.pass.looks_behind = true;
        self.ask_audit(cx, at);
        true
    }

    /// Whether the reader can take it, and it can be remembered.
    fn takes_what_is_late(&self) -> bool {
        self.credit > 0 && !self.audit.is_full() && self.audit.has_place()
    }

    /// A page was answered.
    pub(super) fn looked_behind(&mut self, cx: &mut Cx<'_>, at: &str, page: WholePage) {
        let mut ends = page.complete;
        for message in page.messages {
            let Some(id) = &message.id else { continue };
            ends |= self.missing.begins_after(id);
            if self.missing.has_late(id) {
                if !self.takes_what_is_late() {
                    return self.end_look(cx);
                }
                self.deliver_late(cx, Box::new(message));
            }
        }
        for (_, id) in page.removed {
            ends |= self.missing.begins_after(&id);
            self.missing.found(&id);
        }
        if !self.missing.is_late() {
            return self.end_look(cx);
        }
        if ends || !self.missing.looks_on() {
            self.not_found(cx, None);
            return self.end_look(cx);
        }
        self.ask_audit(cx, at);
    }

    /// It was not answered, or with an error. A place that is gone since the page before is none.
    pub(super) fn look_failed(&mut self, cx: &mut Cx<'_>, error: &RequestError) {
        let is_gone = matches!(error, RequestError::Inconsistent(_));
        self.not_found(cx, Some(error).filter(|_| !is_gone));
        self.end_look(cx);
    }

    /// What is missing was not found, or could not be looked for. If that is so for long, a gap is
    /// told.
    pub(super) fn not_found(&mut self, cx: &mut Cx<'_>, error: Option<&RequestError>) {
        let settle = cx.timing.settle;
        if let Some(after) = self.missing.was_not_found(error, cx.now, settle) {
            let reason = error
                .cloned()
                .map_or(GapReason::Unsettled, GapReason::ArchiveFailed);
            let after = after.or_else(|| self.cursor.clone());
            self.tell(cx, Entry::Gap { after, reason });
        }
    }

    fn end_look(&mut self, cx: &mut Cx<'_>) {
        self.audit.pass.looks_behind = false;
        self.next_audit(cx);
        self.flush(cx);
    }
}
