//! Posts of one room until their outcome is known.
//!
//! A post is resolved by its reflection (XEP-0045 v1.35.5 section 7.4), by an
//! error that names it, by its deadline, or by the end of the stream. Which posts
//! an ended stream may have delivered is decided by bytes: a stanza of which the
//! transport did not take the last byte was never whole at the other end.

use alloc::collections::VecDeque;
use alloc::string::String;

use super::recent::Recent;
use crate::command::Post;
use crate::cx::Cx;
use crate::error::{Condition, StanzaError};
use crate::event::{Event, NotSent, PostOutcome, Via};
use crate::ids::{ArchiveId, Label, PostId};
use crate::jid::BareJid;
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
    /// Where its last byte lies in the stream, once it is written.
    end: Option<u64>,
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
        cx.arm(Timer::Post, id.0, post.deadline.unwrap_or(cx.timing.post));
        self.posts.push_back(Pending {
            id,
            origin_id,
            body: post.body,
            reply_to: post.reply_to,
            end: None,
        });
    }

    /// Writes what is not written yet, in order, as far as there is room.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>, room: &BareJid) {
        for post in self.posts.iter_mut().filter(|post| post.end.is_none()) {
            if cx.out.waiting().len() >= cx.limits.write_bytes {
                break;
            }
            post.end = Some(cx.out.write(|w| {
                let reply_to = post.reply_to.as_deref();
                message::write_post(w, room.as_str(), &post.origin_id, &post.body, reply_to);
            }));
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
            .position(|p| p.end.is_some() && is_it(&p.origin_id))?;
        self.posts.remove(at)
    }

    /// The deadline of a post came.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>, id: PostId) {
        let Some(at) = self.posts.iter().position(|post| post.id == id) else {
            return;
        };
        if let Some(post) = self.posts.remove(at) {
            // What is written cannot be taken back, even if it still waits here.
            let outcome = match post.end {
                Some(_) => PostOutcome::Unknown {
                    origin_id: post.origin_id,
                },
                None => PostOutcome::NotSent(NotSent::Deadline),
            };
            resolve(cx, id, outcome);
        }
    }

    /// The stream ended after the transport took `sent` bytes of it.
    pub(crate) fn stream_ended(&mut self, cx: &mut Cx<'_>, sent: u64) {
        for mut post in core::mem::take(&mut self.posts) {
            match post.end {
                Some(end) if end <= sent => {
                    resolve(
                        cx,
                        post.id,
                        PostOutcome::Unknown {
                            origin_id: post.origin_id,
                        },
                    );
                }
                _ => {
                    post.end = None;
                    self.posts.push_back(post);
                }
            }
        }
    }

    /// We are out of the room although the stream stands: what was written may
    /// have reached it before.
    pub(crate) fn room_left(&mut self, cx: &mut Cx<'_>) {
        self.stream_ended(cx, u64::MAX);
    }

    /// Nothing will be sent any more.
    pub(crate) fn give_up(&mut self, cx: &mut Cx<'_>, why: NotSent) {
        for post in core::mem::take(&mut self.posts) {
            let outcome = match post.end {
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
    cx.disarm(Timer::Post, id.0);
    cx.tell(Event::Post { id, outcome });
}
