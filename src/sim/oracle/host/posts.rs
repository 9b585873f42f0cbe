//! A host and its posts: what it is told became of them (S6 to S8), and by when (L4).

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Host;
use crate::sim::oracle::found::Found;
use crate::sim::oracle::truth::{Account, Truth};
use crate::{Instant, Post, PostId, PostOutcome, Via};

/// A post of a host.
#[derive(Debug)]
pub(in crate::sim::oracle) struct Posted {
    pub(super) body: String,
    truth: usize,
    pub(in crate::sim::oracle) asked: Instant,
    pub(in crate::sim::oracle) resolved: bool,
    deadline: Option<Duration>,
}

/// Posts have a minute, unless they say otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

/// And their outcomes may take that long to be told.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

impl Posted {
    pub(super) fn new(post: &Post, truth: usize, asked: Instant) -> Self {
        Self {
            body: post.body.clone(),
            truth,
            asked,
            resolved: false,
            deadline: post.deadline,
        }
    }

    /// How long after it was asked for its outcome may be told at the latest.
    fn allowed(&self) -> Duration {
        self.deadline
            .unwrap_or(DEADLINE)
            .saturating_add(TOLD_WITHIN)
    }
}

impl Host {
    pub(super) fn outcome(
        &mut self,
        id: PostId,
        outcome: &PostOutcome,
        truth: &mut Truth,
        found: &mut Found,
    ) {
        let Some(post) = self.posts.get_mut(&id) else {
            return found.violate("S8", String::from("an outcome of no post"));
        };
        if post.resolved {
            found.violate("S8", format!("two outcomes of one post: {:?}", post.body));
            return;
        }
        post.resolved = true;
        let due = self.trouble.excused(post.asked, post.allowed());
        if found.now > due {
            let took = found.now.since(post.asked);
            found.violate("L4", format!("an outcome after {took:?}: {:?}", post.body));
        }
        let Some(room) = truth.at(post.truth) else {
            return;
        };
        if let PostOutcome::Committed { id: Some(id), .. } = outcome {
            let item = room
                .place(id.as_str())
                .and_then(|place| room.items.get(place));
            if item.is_none_or(|item| item.body != post.body) {
                found.violate("S7", format!("{:?} is not at {id}", post.body));
            }
        }
        let Some(account) = room.accounts.get_mut(&post.body) else {
            return;
        };
        let count = |count: &mut u32| *count = count.saturating_add(1);
        let path = match outcome {
            PostOutcome::Committed { via, .. } => {
                count(&mut account.committed);
                if *via == Via::Archive {
                    found.count("post found in the archive");
                }
                "post committed"
            }
            PostOutcome::Rejected(_) => {
                count(&mut account.denied);
                "post rejected"
            }
            PostOutcome::StreamKill { .. } => {
                count(&mut account.denied);
                "post killed a stream"
            }
            PostOutcome::NotSent(_) => {
                count(&mut account.denied);
                "post not sent"
            }
            PostOutcome::Unknown { .. } => "post unknown",
        };
        found.count(path);
        accuse(account, &post.body, found);
    }

    /// Time has passed, or its process dies: judges what is late by now (L4, L9).
    pub(in crate::sim::oracle) fn overdue(&mut self, found: &mut Found) {
        let now = found.now;
        let due = |post: &Posted| self.trouble.excused(post.asked, post.allowed());
        let late = |post: &&Posted| !post.resolved && now > due(post);
        for post in self.posts.values().filter(late) {
            let account = &self.account;
            found.violate(
                "L4",
                format!("{account}: a post without an outcome: {post:?}"),
            );
        }
        self.close_in_time(found);
    }
}

/// Says what is wrong about the posts of one text.
fn accuse(account: &Account, body: &str, found: &mut Found) {
    if let Some((rule, what)) = account.verdict() {
        found.violate(rule, format!("{body:?} {what}"));
    }
}
