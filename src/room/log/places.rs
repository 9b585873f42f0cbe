//! Whether the ids of a room are places of its archive, to a subscription.
//!
//! A room that has not said whether it has an archive is heard live, without places. What is
//! delivered then is remembered under the ids it came with, so that it is not delivered
//! again if they turn out to be places; then the archive is read from the cursor, or from
//! the last that was delivered. A room may come to have an archive, or lose it, at any time:
//! what was missed where there was none no archive shows later.

use super::{Log, Phase};
use crate::cx::Cx;
use crate::event::GapReason;
use crate::ids::Cursor;
use crate::planted::{Bug, planted};
use crate::room::reading::Places;

impl Log {
    /// We are in the room `at`.
    pub(crate) fn enter(&mut self, cx: &mut Cx<'_>, at: &str, places: Places) {
        self.begin_stay(cx, at, places, true);
    }

    /// Begins with what the ids of the room `at` are worth; something said before may be missed.
    fn begin_stay(&mut self, cx: &mut Cx<'_>, at: &str, places: Places, missed: bool) {
        let entered_before = core::mem::replace(&mut self.entered, true);
        // Where there was no archive, that of now does not show what was missed.
        let lost = missed && entered_before && !self.archived && !self.unsaid;
        self.failures = 0;
        // An archive whose ids are not those of the live messages is of no use:
        // what was read could not be told from what is heard.
        self.archived = places == Places::Sure;
        self.unsaid = places == Places::Unsaid;
        if !self.archived {
            if !self.unsaid {
                self.displace();
            }
            if entered_before || self.cursor.is_some() {
                self.gap(cx, GapReason::NoArchive);
            }
            return self.go_live(cx, None);
        }
        if entered_before && planted(Bug::LiveAfterBreak) {
            return self.go_live(cx, self.cursor.clone());
        }
        if entered_before && planted(Bug::GapAfterBreak) {
            self.gap(cx, GapReason::Recreated);
            return self.go_live(cx, self.cursor.clone());
        }
        self.find_place();
        if entered_before && self.cursor.is_none() {
            self.gap(cx, GapReason::NeverAnchored);
        } else if lost {
            self.gap(cx, GapReason::NoArchive);
        }
        self.begin(cx, at);
    }

    /// The room at `at` said at last what its ids are worth, or that it will not say. Where
    /// they are places, what lies behind the cursor is read now, but for what was delivered
    /// already, and what is held back follows. Where it says something else than before, because
    /// its configuration changed, that is as if we came anew.
    pub(crate) fn described(&mut self, cx: &mut Cx<'_>, at: &str, places: Places) {
        let unsaid = core::mem::replace(&mut self.unsaid, false);
        if self.phase == Phase::Away {
            return;
        }
        if !unsaid {
            if self.archived != (places == Places::Sure) {
                let missed = !self.held.is_empty();
                self.away(cx);
                self.begin_stay(cx, at, places, missed);
            }
            return;
        }
        self.archived = places == Places::Sure;
        if !self.archived {
            return self.displace();
        }
        let placeless = self.placeless;
        self.find_place();
        if placeless {
            self.gap(cx, GapReason::NeverAnchored);
        }
        self.begin(cx, at);
    }

    /// The ids of the room are no places.
    fn displace(&mut self) {
        for held in &mut self.held {
            held.id = None;
        }
        self.dropped = None;
        self.missing.clear();
        self.told_early = 0;
        let unvouched = [self.unvouched.take(), self.unvouched_before.take()];
        self.placeless |= unvouched.iter().any(Option::is_some);
    }

    /// The ids of the room are places: finds the one to go on from.
    fn find_place(&mut self) {
        if core::mem::take(&mut self.told_early) > 0 {
            // What was delivered without a place lies ahead of what is read now.
            self.audit.ahead = true;
            self.told.begin_reading();
        }
        let last = self.unvouched.take();
        let last = self.unvouched_before.take().or(last);
        if core::mem::take(&mut self.placeless) {
            // The room had no archive for a while. What was heard then lies in it after
            // the cursor, and would be told again.
            self.cursor = None;
            self.audit.forget();
            self.missing.clear();
        } else if self.cursor.is_none() {
            self.cursor = last.map(Cursor::After);
        }
    }
}
