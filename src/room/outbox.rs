//! Posts of one room until their outcome is known.
//!
//! A post is resolved by its reflection (XEP-0045 v1.35.5 section 7.4), by an
//! error that names it, by its deadline, or by the end of the session. Which posts
//! an ended session may have delivered is decided by the numbers of their stanzas:
//! from some number on none was ever handled, be it that no transport had it whole
//! or that the server counts fewer (XEP-0198 v1.6.3, section 5).

use alloc::collections::VecDeque;
use alloc::string::String;

use super::recent::Recent;
use crate::command::Post;
use crate::cx::Cx;
use crate::error::{Condition, StanzaError};
use crate::event::{Event, NotSent, PostOutcome, Via};
use crate::ids::{ArchiveId, Label, PostId};
use crate::jid::BareJid;
use crate::planted::{Bug, planted};
use crate::stanza::message;
use crate::time::Timer;

#[derive(Debug)]
pub(crate) struct Outbox {
    /// In the order of the calls, which is the order on the wire.
    posts: VecDeque<Pending>,
    /// Ids of posts of this engine, to know its own messages by.
    own: Recent<String>,
}

#[derive(Debug)]
struct Pending {
    id: PostId,
    origin_id: String,
    body: String,
    reply_to: Option<String>,
    /// The number of its stanza, once it is written.
    number: Option<u64>,
}

impl Outbox {
    pub(crate) const fn new(remembered: usize) -> Self {
        Self {
            posts: VecDeque::new(),
            own: Recent::new(remembered),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.posts.len()
    }

    /// Queues a post that was found fit to be sent.
    pub(crate) fn push(&mut self, cx: &mut Cx<'_>, id: PostId, post: Post) {
        let origin_id = cx.ids.token(Label::OriginId);
        self.own.insert(origin_id.clone());
        if !planted(Bug::NoDeadline) {
            cx.arm(Timer::Post, id.0, post.deadline.unwrap_or(cx.timing.post));
        }
        self.posts.push_back(Pending {
            id,
            origin_id,
            body: post.body,
            reply_to: post.reply_to,
            number: None,
        });
    }

    /// Writes what is not written yet, in order, as far as there is room.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>, room: &BareJid) {
        for post in self.posts.iter_mut().filter(|post| post.number.is_none()) {
            if cx.out.waiting().len() >= cx.limits.write_bytes || cx.out.is_full() {
                break;
            }
            post.number = Some(cx.out.stanza(|w| {
                let reply_to = post.reply_to.as_deref();
                message::write_post(w, room.as_str(), &post.origin_id, &post.body, reply_to);
            }));
            cx.out.urge();
        }
    }

    /// Whether a message with this id is of this engine's making.
    pub(crate) fn is_own(&self, origin_id: &str) -> bool {
        self.own.contains(origin_id)
    }

    /// The room sent a post back: it is accepted and ordered.
    pub(crate) fn reflected(
        &mut self,
        cx: &mut Cx<'_>,
        ids: [Option<&str>; 2],
        at: Option<ArchiveId>,
    ) {
        if let Some(post) = self.take_written(|origin_id| ids.contains(&Some(origin_id))) {
            resolve(
                cx,
                post.id,
                PostOutcome::Committed {
                    id: at,
                    via: Via::Reflection,
                },
            );
        }
    }

    /// The room refused the post with this id.
    pub(crate) fn refused(&mut self, cx: &mut Cx<'_>, id: &str, error: StanzaError) {
        if let Some(post) = self.take_written(|origin_id| origin_id == id) {
            let outcome = match error.condition {
                // Said by our own server about the room's: it may have arrived.
                Condition::RemoteServerTimeout => PostOutcome::Unknown {
                    origin_id: post.origin_id,
                },
                _ => PostOutcome::Rejected(error),
            };
            resolve(cx, post.id, outcome);
        }
    }

    fn take_written(&mut self, is_it: impl Fn(&str) -> bool) -> Option<Pending> {
        let at = self
            .posts
            .iter()
            .position(|p| p.number.is_some() && is_it(&p.origin_id))?;
        self.posts.remove(at)
    }

    /// The deadline of a post came.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, id: PostId) {
        let Some(at) = self.posts.iter().position(|post| post.id == id) else {
            return;
        };
        if let Some(post) = self.posts.remove(at) {
            // What is written cannot be taken back, even if it still waits here.
            let outcome = match post.number {
                Some(_) => PostOutcome::Unknown {
                    origin_id: post.origin_id,
                },
                None => PostOutcome::NotSent(NotSent::Deadline),
            };
            resolve(cx, id, outcome);
        }
    }

    /// The session ended. Stanzas numbered from `doubtful` on were never handled, so
    /// that these posts are sent again, under the same ids; the others may be there.
    pub(crate) fn session_ended(&mut self, cx: &mut Cx<'_>, doubtful: u64) {
        for mut post in core::mem::take(&mut self.posts) {
            match post.number {
                // To find out in the archive which of these are there belongs here.
                Some(number) if number < doubtful && !planted(Bug::ResendUnseen) => {
                    resolve(
                        cx,
                        post.id,
                        PostOutcome::Unknown {
                            origin_id: post.origin_id,
                        },
                    );
                }
                _ => {
                    post.number = None;
                    self.posts.push_back(post);
                }
            }
        }
    }

    /// We are out of the room although the stream stands: what was written may
    /// have reached it before.
    pub(crate) fn room_left(&mut self, cx: &mut Cx<'_>) {
        self.session_ended(cx, u64::MAX);
    }

    /// Nothing will be sent any more.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, why: NotSent) {
        for post in core::mem::take(&mut self.posts) {
            let outcome = match post.number {
                Some(_) => PostOutcome::Unknown {
                    origin_id: post.origin_id,
                },
                None => PostOutcome::NotSent(why),
            };
            resolve(cx, post.id, outcome);
        }
    }
}

fn resolve(cx: &mut Cx<'_>, id: PostId, outcome: PostOutcome) {
    let outcome = match outcome {
        PostOutcome::Unknown { .. } if planted(Bug::NotSentThoughSent) => {
            PostOutcome::NotSent(NotSent::Offline)
        }
        PostOutcome::Unknown { .. } if planted(Bug::UnknownIsCommitted) => {
            let via = Via::Reflection;
            PostOutcome::Committed { id: None, via }
        }
        outcome => outcome,
    };
    if planted(Bug::OutcomeTwice) {
        let outcome = outcome.clone();
        cx.tell(Event::Post { id, outcome });
    }
    cx.disarm(Timer::Post, id.0);
    cx.tell(Event::Post { id, outcome });
}
