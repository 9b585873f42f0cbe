//! What becomes of posts that were in flight when their stream, session or stay in the room
//! ended: which are sent again, which are in doubt, and which are taken for what ended it.
//!
//! A post that may have killed the stream is never sent again. It is accused by the condition
//! that the server gave, together with all else that was in flight; or by being the first in
//! flight whenever a session ends, whatever is said.

use super::outbox::{Outbox, Pending, State};
use crate::cx::Cx;
use crate::error::StreamCondition;
use crate::planted::{Bug, planted};

/// So many sessions in a row may end with a post as the first in flight, before it is taken
/// for what ends them. A link that breaks is innocent that often; and a post that kills
/// whoever reads it is not sent for ever.
const DEADLY: u8 = 8;

impl Outbox {
    /// How many posts are in flight with a number of `range`.
    pub(crate) fn in_flight(&self, range: &core::ops::Range<u64>) -> usize {
        self.numbered(range).count()
    }

    fn numbered(&self, range: &core::ops::Range<u64>) -> impl Iterator<Item = &Pending> {
        self.posts.iter().filter(
            |post| matches!(post.state, State::Sent { number, .. } if range.contains(&number)),
        )
    }

    /// The server ended the stream over something in flight: it may be one of these,
    /// `among` all that were. None of them is sent again.
    pub(crate) fn suspect(
        &mut self,
        range: &core::ops::Range<u64>,
        condition: StreamCondition,
        among: u32,
    ) {
        for post in &mut self.posts {
            if let State::Sent { number, .. } = post.state
                && range.contains(&number)
            {
                post.suspect = Some((Some(condition), among));
            }
        }
    }

    /// The session ended. Stanzas numbered from `doubtful` on were never handled, so
    /// that these posts are sent again, under the same ids; the others may be there.
    pub(crate) fn session_ended(&mut self, cx: &mut Cx<'_>, doubtful: u64) {
        let mut in_flight = self.posts.iter_mut();
        if let Some(first) = in_flight.find(|post| matches!(post.state, State::Sent { .. })) {
            first.endings = first.endings.saturating_add(1);
        }
        self.stop(cx);
        self.withdraw_anchor(cx);
        for post in &mut self.posts {
            match post.state {
                State::Sent { number, overtaken }
                    if number < doubtful && !planted(Bug::ResendUnseen) =>
                {
                    post.tainted = true;
                    post.state = State::Doubt {
                        fenced: true,
                        overtaken,
                    };
                }
                State::Sent { overtaken, .. } if post.endings >= DEADLY => {
                    post.state = State::Doubt {
                        fenced: true,
                        overtaken,
                    };
                }
                State::Sent { .. } => {
                    post.state = State::Queued;
                    // What was not handled has killed nothing.
                    post.suspect = None;
                    // Nor is it anywhere: what is known of how it was sent is of no use.
                    post.sent.take_if(|_| !post.tainted);
                }
                State::Displaced { .. } => post.state = State::Queued,
                State::Queued | State::Doubt { .. } => {}
            }
            if post.endings >= DEADLY {
                post.suspect.get_or_insert((None, 1));
            }
        }
    }
}
