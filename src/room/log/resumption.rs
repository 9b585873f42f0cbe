//! Going on after the stream was resumed (XEP-0198 v1.6.3, section 5).
//!
//! Within a stream what a room says comes in the order in which it was said (RFC 6120, section
//! 10.1), and over a resumption it should. It need not on every server. By its source (of August
//! 2026), ejabberd gives what was under way to the process of the broken connection to the one
//! of the new connection after that took over: behind what the room said to the new one
//! meanwhile. Nothing in such a message tells so. With ejabberd 23.01, over many resumptions, one
//! message was once heard before the one before it. Therefore what a room says first after a
//! resumption is held back until the archive was read to its end once more, as after coming into
//! the room, and comes in the archive's order. All that can be out of it is in the archive then,
//! or will be soon. Where the room says nothing before the archive is compared anyway, nothing
//! more is asked. Where the archive does not show it in time, a gap is told, and it comes as late:
//! nobody knows its place.

use core::time::Duration;

use super::{Log, Phase};
use crate::cx::Cx;
use crate::ids::ArchiveId;
use crate::planted::{Bug, planted};
use crate::time::Timer;

/// The order in which the room's messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The one in which they were said, as far as they were heard.
    Kept,
    /// Some came out of another, perhaps, while the archive was read: it is to be read again.
    ToRead,
    /// It is read for that.
    Read,
}

impl Log {
    /// The stream was resumed, which is no proof that the room told us everything, nor in its
    /// order.
    pub(crate) fn resumed(&mut self, cx: &mut Cx<'_>) {
        // What was given in a room without an archive cannot be told from what is read.
        if !self.archived {
            return;
        }
        if !planted(Bug::ResumedInOrder) {
            self.doubtful = true;
            // Else what is held back came after another resumption, and was not read since.
            if self.held.is_empty() {
                self.order = Order::Kept;
            }
            self.audit.orders = false;
        }
        if self.is_idle() {
            self.compare_anew(cx);
        }
    }

    /// The room said something that has a place, perhaps after what it said later.
    pub(super) fn order_of_what_is_heard(&mut self, cx: &mut Cx<'_>) {
        if !self.archived || !core::mem::take(&mut self.doubtful) {
            return;
        }
        match self.phase {
            Phase::Live => {}
            // All that is held back is read behind the place that is looked for.
            Phase::Anchoring | Phase::Placing => {
                self.order = Order::Read;
                return;
            }
            _ => {
                self.order = Order::ToRead;
                return;
            }
        }
        self.order = Order::Read;
        self.failures = 0;
        // As soon as what came with it is heard.
        self.phase = Phase::Settling;
        cx.arm(Timer::LogSettle, self.id.0, Duration::ZERO);
    }

    /// The archive was compared up to its end: not where that stopped at what is held back, and
    /// what lies behind it was not seen.
    pub(in crate::room) const fn ordered(&mut self) {
        if self.audit.orders {
            self.order = Order::Kept;
            self.doubtful = false;
        }
    }

    /// A comparison begins: what is out of its order by then is in the archive, unless something
    /// is held back that is to be read for its own sake.
    pub(in crate::room) fn orders(&self) -> bool {
        self.doubtful && self.order == Order::Kept
    }

    /// The end of the archive was reached. Whether it has to be read again for what came since.
    pub(super) fn rereads(&mut self) -> bool {
        let rereads = self.order == Order::ToRead;
        if rereads {
            self.order = Order::Read;
            // All that was heard by now.
            self.awaited = 0;
        }
        rereads
    }

    /// The archive is asked. Where it lags, it has to show all that was heard so far, which has
    /// its own time for that.
    pub(super) fn expects_order(&mut self) {
        if self.order == Order::Read && self.awaited == 0 && !self.held.is_empty() {
            self.awaited = self.held.len();
            self.settles_until = None;
        }
    }

    /// The archive shows a message. If the room said it after one that was heard, and it was not
    /// heard, what is held back may belong before it, or behind it: the archive has to show that.
    pub(super) fn order_of_what_is_read(&mut self, id: Option<&ArchiveId>) {
        let is_news = |id: &ArchiveId| !self.told.contains(id) && !self.holds_back(id);
        if !self.shown.is_empty() && id.is_some_and(is_news) {
            self.awaited = self.held.len();
        }
    }

    /// The archive does not tell the order, and a gap is told: nobody knows the places of what is
    /// held back.
    pub(super) fn gives_up_order(&mut self) {
        if matches!(self.order, Order::ToRead | Order::Read) {
            self.are_late(true);
            // It may lie behind what is to be read yet.
            if self.late_held > 0 && !core::mem::replace(&mut self.audit.ahead, true) {
                self.told.begin_reading();
            }
        }
    }

    /// What is held back is told late; in an order that is not the room's, perhaps.
    pub(in crate::room) fn are_late(&mut self, scattered: bool) {
        self.scattered &= self.late_held > 0;
        self.scattered |= scattered || self.order != Order::Kept;
        self.late_held = self.held.len();
    }

    /// The archive shows this behind all that the reader was told: what was heard from there on is
    /// not late, wherever the rest of what is held back lies; if it was heard in its order.
    pub(in crate::room) fn is_in_turn_from(&mut self, id: &ArchiveId) {
        if self.scattered {
            return;
        }
        let at = self
            .held
            .iter()
            .position(|held| held.id.as_ref() == Some(id));
        self.late_held = self.late_held.min(at.unwrap_or(self.late_held));
    }

    /// Whether the archive shows all that may be out of its order, and all that came before
    /// something that it shows: else that may be yet to come there. Where the order was kept:
    /// whether it shows the last of what is awaited, or what came after that.
    pub(super) fn is_in_order(&self) -> bool {
        let held = self.held.iter().enumerate();
        let mut ids = held.filter_map(|(number, held)| Some((number, held.id.as_ref()?)));
        if self.order != Order::Read {
            let last = ids.clone().take_while(|(number, _)| *number < self.awaited);
            let last = last.last().map(|(number, _)| number);
            return last
                .is_none_or(|last| ids.any(|(number, id)| number >= last && self.knows(id)));
        }
        match ids.find(|(_, id)| !self.knows(id)) {
            Some((number, _)) => number >= self.awaited && !ids.any(|(_, id)| self.knows(id)),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::String;

    use super::*;
    use crate::command::Start;
    use crate::event::{Message, Source};
    use crate::ids::SubscriptionId;
    use crate::room::told::Turn;

    fn id(text: &str) -> ArchiveId {
        ArchiveId::new(text).unwrap()
    }

    /// A log that holds back these, and was told `t` by the archive.
    fn log(held: &[&str]) -> Log {
        let mut log = Log::new(SubscriptionId(1), Start::Now, 9, 64, false, 8);
        log.told.insert(&id("t"), Turn::In, true);
        for text in held {
            log.held.push_back(Box::new(Message {
                id: Some(id(text)),
                nick: String::new(),
                occupant_id: None,
                body: String::new(),
                origin_id: None,
                reply_to: None,
                stamp: None,
                own: false,
                source: Source::Live,
            }));
        }
        log
    }

    /// Whether the reading of the archive that is under way is the one that came by `t`.
    fn reads_on(log: &Log) -> bool {
        log.told.come_by_before(9).is_some()
    }

    #[test]
    fn a_comparison_tells_the_order_of_what_is_doubtful_and_not_read_anyway() {
        for doubtful in [false, true] {
            for order in [Order::Kept, Order::ToRead, Order::Read] {
                let mut log = log(&[]);
                (log.doubtful, log.order) = (doubtful, order);
                assert_eq!(log.orders(), doubtful && order == Order::Kept, "{order:?}");
            }
        }
    }

    #[test]
    fn an_order_that_is_given_up_makes_late_what_is_held_back() {
        for order in [Order::Kept, Order::ToRead, Order::Read] {
            let mut log = log(&["1", "2"]);
            log.order = order;
            log.gives_up_order();
            let late = order != Order::Kept;
            assert_eq!(log.late_held, if late { 2 } else { 0 }, "{order:?}");
            // What was told so far may come again.
            assert_eq!(
                (log.audit.ahead, reads_on(&log)),
                (late, !late),
                "{order:?}"
            );
        }
        // Nothing is told late where nothing is held back.
        let mut empty = log(&[]);
        empty.order = Order::Read;
        empty.gives_up_order();
        assert_eq!((empty.audit.ahead, reads_on(&empty)), (false, true));
        // It was known before that it may.
        let mut ahead = log(&["1"]);
        (ahead.order, ahead.audit.ahead) = (Order::Read, true);
        ahead.gives_up_order();
        assert_eq!((ahead.audit.ahead, reads_on(&ahead)), (true, true));
    }

    /// What the archive shows behind the reader is in its turn, with all that was heard after it:
    /// unless any of what is late may be out of its order.
    #[test]
    fn what_is_late_is_in_its_turn_from_what_the_archive_shows() {
        let late = |log: &mut Log| {
            log.is_in_turn_from(&id("2"));
            log.late_held
        };
        let mut kept = log(&["1", "2", "3"]);
        kept.are_late(false);
        assert_eq!(late(&mut kept), 1);
        // Again, while one is late yet.
        kept.are_late(false);
        assert_eq!(late(&mut kept), 1);

        let mut scattered = log(&["1", "2", "3"]);
        scattered.are_late(true);
        assert_eq!(late(&mut scattered), 3);
        // As long as any of these is late yet.
        scattered.are_late(false);
        assert_eq!(late(&mut scattered), 3);
        scattered.late_held = 0;
        scattered.are_late(false);
        assert_eq!(late(&mut scattered), 1);

        let mut overtaken = log(&["1", "2", "3"]);
        overtaken.order = Order::ToRead;
        overtaken.are_late(false);
        assert_eq!(late(&mut overtaken), 3);
    }
}
