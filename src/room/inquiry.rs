//! What became of posts that were in flight when their session, or our stay in the
//! room, ended: the room's archive is asked once we are in again.
//!
//! ```text
//! in the room, with posts in doubt --> Reading --> all found: over
//!                                      |   ^-----> Pausing (it failed for now)
//!                                      +--> not there --> Settling --> Reading --> decided
//! ```
//!
//! What the archive has, under our id and by us, is committed. What it has under our id by
//! somebody else, as far as can be told, was said in the room, for nobody else knew that id:
//! where it lies, nobody can tell. What it does not have
//! after it was read from before the post to its end, twice, with
//! [`Timing::settle`](crate::Timing::settle) between, is not there. Whether it can still
//! get there depends: in a room of our own server not, if the session that had it
//! is known to be over. Then it is sent again, the same byte by byte. Otherwise
//! nobody can know, and that is said, unless the post would rather be there twice.
//!
//! A post that may have killed the stream is never sent again. Silence of the
//! archive is not absence: it is asked again until the deadlines of the posts.
//!
//! Neither server tells that it dropped what it had accepted in a crash.

use alloc::boxed::Box;
use core::time::Duration;

use super::outbox::{Outbox, Pending, State, resolve};
use super::search::{Reach, Read, Search, Seen, Setback};
use crate::command::OnDoubt;
use crate::cx::{Cx, Purpose};
use crate::event::{CannotTell, PostOutcome, RequestError, Via};
use crate::ids::{ArchiveId, Cursor};
use crate::mam::{Archived, Fin};
use crate::time::Timer;

/// The pause before an archive that failed is asked again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);

/// Where the inquiry into the posts of a room stands.
#[derive(Debug)]
pub(super) enum Inquiry {
    /// Nothing is in doubt, or we are not in the room.
    Idle,
    /// A page was asked for, under this number.
    Reading {
        search: Box<Search>,
        serial: u64,
        progress: Progress,
    },
    /// A timer runs: the archive did not have all, or failed for now.
    Waiting(Progress),
}

/// What an inquiry has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The archive did not have the posts when it was read last, a while ago.
    settled: bool,
    /// How often it failed since it was read to its end last: after each it is read from the
    /// same place again, however far it was read before.
    failures: u32,
}

/// What the archive says of the posts that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are not there.
    Absent,
    /// It does not tell.
    Silent,
}

impl Outbox {
    /// We are in the room, at first or again; whether it has no archive, as far as it said.
    /// One that has not said is asked: its answer tells.
    pub(super) fn entered(&mut self, cx: &mut Cx<'_>, no_archive: bool) {
        self.replace();
        self.doubt_unanswered();
        self.drop_too_large(cx);
        self.archive_is(cx, !no_archive);
        if !no_archive {
            self.await_anchor(cx);
        }
        if !self.has_doubt() {
            return;
        }
        let progress = Progress::default();
        if no_archive {
            self.decide(cx, Verdict::Silent, progress);
        } else {
            self.look(cx, progress);
        }
    }

    /// The room was made anew. An anchor in its archive shows whether that is still the
    /// same; where it was empty when a post left, or nothing was known of it, nothing does.
    pub(super) fn renewed(&mut self) {
        for sent in self.posts.iter_mut().filter_map(|post| post.sent.as_mut()) {
            sent.unkept |= !matches!(sent.anchor, Some((_, Cursor::After(_))));
        }
    }

    /// Asks where the archive ends, if nothing told it yet, or not lately. This goes out with
    /// the join, so that posts, which wait for the answer, rarely wait longer than for that to
    /// the join; and where that question got no answer, once more when we are in.
    pub(super) fn ask_anchor(&mut self, cx: &mut Cx<'_>) {
        self.withdraw_anchor(cx);
        if self.anchor.is_fresh(cx.now) || !self.anchor.wanted {
            return;
        }
        self.anchor.asked_after = self.anchor.told();
        let mut search = Search::new(None, 1);
        let serial = search.ask(cx, &self.room, Purpose::Anchor(self.id), 1);
        self.anchor.asked = Some((serial, search));
    }

    /// Takes the question where the archive ends back.
    pub(super) fn withdraw_anchor(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.anchor.asked.take().map(|(serial, _)| serial));
        self.anchor.awaited = false;
        cx.disarm(Timer::Anchor, self.id.0);
    }

    /// The room that we are in said whether it has an archive. What waited for that archive's
    /// end for long already does not do so once more.
    pub(super) fn described(&mut self, cx: &mut Cx<'_>, archive: bool) {
        self.archive_is(cx, archive);
        if archive && self.anchor.asked.is_none() {
            self.await_anchor(cx);
        }
    }

    /// The room has an archive, or may have, or has none.
    fn archive_is(&mut self, cx: &mut Cx<'_>, on: bool) {
        self.unkept = !on;
        if !on {
            self.withdraw_anchor(cx);
            self.may_be_off();
        }
    }

    /// The room has no archive, or changed and has not said what it is now. What is under way may
    /// come to it at a time when it has none, and then no archive shows it, now or later.
    pub(super) fn may_be_off(&mut self) {
        self.unkept = true;
        for sent in self.posts.iter_mut().filter_map(|post| post.sent.as_mut()) {
            sent.unkept = true;
        }
    }

    /// We are in, and what is posted waits for the answer to that question, which is asked now
    /// unless it was: for [`Timing::settle`](crate::Timing::settle) from now, even if it takes
    /// two.
    fn await_anchor(&mut self, cx: &mut Cx<'_>) {
        if self.anchor.asked.is_none() {
            self.ask_anchor(cx);
        }
        if self.anchor.asked.is_some() && !self.anchor.awaited {
            self.anchor.awaited = true;
            cx.arm(Timer::Anchor, self.id.0, cx.timing.settle);
        }
    }

    /// Where the archive ends is not waited for any longer. What it says counts all the same.
    pub(crate) const fn anchor_is_late(&mut self) {
        self.anchor.awaited = false;
    }

    /// The archive said where it ends, or did not.
    pub(crate) fn anchored(
        &mut self,
        cx: &mut Cx<'_>,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        let Some((_, mut search)) = self.anchor.asked.take_if(|(asked, _)| *asked == serial) else {
            return;
        };
        let Ok(Read { newest, reach, .. }) = search.close(answer) else {
            return self.withdraw_anchor(cx);
        };
        // What was heard meanwhile is newer.
        match newest {
            _ if self.anchor.told() > self.anchor.asked_after => {}
            Some(newest) => self.anchor.set(Cursor::After(newest), cx.now),
            None if reach == Reach::End => self.anchor.set(Cursor::Beginning, cx.now),
            // Said to be empty by an archive that is asked twice about that.
            None if reach == Reach::More => {
                let serial = search.ask(cx, &self.room, Purpose::Anchor(self.id), 1);
                self.anchor.asked = Some((serial, search));
                return;
            }
            // It may still change: what is heard next tells, or the next time we come in.
            None => {}
        }
        self.withdraw_anchor(cx);
    }

    /// Whether a result of the archive was asked for by these posts; takes it if so.
    pub(crate) fn take(&mut self, archived: &Archived<'_>) -> bool {
        let Self { room, posts, .. } = self;
        if let Some((_, search)) = &mut self.anchor.asked
            && search.is_open(archived.query_id)
        {
            search.take(archived, room, |_| None);
            return true;
        }
        match &mut self.inquiry {
            Inquiry::Reading { search, .. } if search.is_open(archived.query_id) => {
                let whose = |seen: &Seen<'_>| posts.iter().find_map(|post| post.whose(seen));
                search.take(archived, room, whose);
                true
            }
            _ => false,
        }
    }

    fn has_doubt(&self) -> bool {
        self.posts
            .iter()
            .any(|post| matches!(post.state, State::Doubt { .. }))
    }

    /// Begins to read the archive, from before the oldest of the posts in doubt.
    fn look(&mut self, cx: &mut Cx<'_>, progress: Progress) {
        let doubtful = self
            .posts
            .iter()
            .filter(|post| matches!(post.state, State::Doubt { .. }));
        let anchors = doubtful.map(|post| post.sent.as_ref().and_then(|sent| sent.anchor.as_ref()));
        // None, if there is one without, is before all others.
        let oldest = anchors.min_by_key(|anchor| anchor.map(|(serial, _)| *serial));
        let oldest = oldest.flatten().map(|(_, place)| place);
        let mut search = Box::new(Search::new(oldest, cx.limits.page));
        let serial = search.ask(cx, &self.room, Purpose::Inquiry(self.id), u32::MAX);
        self.inquiry = Inquiry::Reading {
            search,
            serial,
            progress,
        };
    }

    /// The page asked for was answered.
    pub(crate) fn inquired(
        &mut self,
        cx: &mut Cx<'_>,
        asked: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        let (mut search, mut progress) = match core::mem::replace(&mut self.inquiry, Inquiry::Idle)
        {
            Inquiry::Reading {
                search,
                serial,
                progress,
            } if serial == asked => (search, progress),
            // A late answer to an older question says nothing about this page.
            other => {
                self.inquiry = other;
                return;
            }
        };
        match search.close(answer) {
            Err(Setback::Passing(_)) => {
                progress.failures = progress.failures.saturating_add(1);
                let pause = PAUSE.saturating_mul(1 << progress.failures.min(6));
                self.wait(cx, progress, pause);
            }
            Err(Setback::Lasting(_)) => self.decide(cx, Verdict::Silent, progress),
            Ok(Read {
                hits,
                copies,
                reach,
                ..
            }) => {
                for (origin_id, at) in hits {
                    self.found(cx, &origin_id, at);
                }
                for origin_id in copies {
                    self.copied(&origin_id);
                }
                match reach {
                    _ if !self.has_doubt() => {}
                    Reach::More => {
                        let purpose = Purpose::Inquiry(self.id);
                        let serial = search.ask(cx, &self.room, purpose, u32::MAX);
                        self.inquiry = Inquiry::Reading {
                            search,
                            serial,
                            progress,
                        };
                    }
                    Reach::End => self.decide(cx, Verdict::Absent, progress),
                    // It may say more when it is asked again.
                    Reach::Short(CannotTell::Unstable) => {
                        let pause = cx.timing.settle;
                        self.wait(cx, progress, pause);
                    }
                    Reach::Short(_) => self.decide(cx, Verdict::Silent, progress),
                }
            }
        }
    }

    /// A post is in the archive, by us.
    pub(super) fn found(&mut self, cx: &mut Cx<'_>, origin_id: &str, at: ArchiveId) {
        let index = self.posts.iter().position(|post| {
            post.origin_id == origin_id && !matches!(post.state, State::Displaced { .. })
        });
        if let Some(index) = index
            && let Some(post) = self.posts.remove(index)
        {
            let outcome = PostOutcome::Committed {
                id: Some(at),
                via: Via::Archive,
            };
            resolve(cx, post.id, outcome);
            self.overtake(index);
        }
    }

    /// A post was said, and whether it is in the archive by us nobody can tell.
    fn copied(&mut self, origin_id: &str) {
        let index = self
            .posts
            .iter()
            .position(|post| post.origin_id == origin_id);
        if let Some(index) = index
            && let Some(post) = self.posts.get_mut(index)
        {
            post.copied = true;
            self.overtake(index);
        }
    }

    /// Decides on what was not found.
    fn decide(&mut self, cx: &mut Cx<'_>, verdict: Verdict, mut progress: Progress) {
        if verdict == Verdict::Absent && !progress.settled {
            // Archives may be written some time after what they hold was said.
            progress.settled = true;
            progress.failures = 0;
            let pause = cx.timing.settle;
            return self.wait(cx, progress, pause);
        }
        let mut at = 0;
        while let Some(post) = self.posts.get_mut(at) {
            match decision(post, verdict, self.near) {
                Decision::Keep => at = at.saturating_add(1),
                Decision::Resend { doubled } => {
                    post.state = State::Queued;
                    post.doubled |= doubled;
                    at = at.saturating_add(1);
                }
                Decision::StreamKill => {
                    if let Some(post) = self.posts.remove(at)
                        && let Some((condition, among)) = post.suspect
                    {
                        let outcome = PostOutcome::StreamKill { condition, among };
                        resolve(cx, post.id, outcome);
                    }
                }
                Decision::Unknown => {
                    if let Some(post) = self.posts.remove(at) {
                        resolve(cx, post.id, self.unknown(&post));
                    }
                }
            }
        }
        self.drop_too_large(cx);
    }

    fn wait(&mut self, cx: &mut Cx<'_>, progress: Progress, pause: Duration) {
        cx.arm(Timer::Settle, self.id.0, pause);
        self.inquiry = Inquiry::Waiting(progress);
    }

    /// The pause is over: the archive is read once more, from where it was at first,
    /// since what comes late may lie before what was there already.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>) {
        if let Inquiry::Waiting(progress) = self.inquiry {
            self.look(cx, progress);
        }
    }

    /// Ends the inquiry if nothing is left in doubt.
    pub(super) fn stop_if_settled(&mut self, cx: &mut Cx<'_>) {
        if !self.has_doubt() {
            self.stop(cx);
        }
    }

    /// Ends the inquiry; what is in doubt stays so until we are in the room again.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        match core::mem::replace(&mut self.inquiry, Inquiry::Idle) {
            Inquiry::Idle => {}
            Inquiry::Reading { serial, .. } => cx.forget(Some(serial)),
            Inquiry::Waiting(_) => cx.disarm(Timer::Settle, self.id.0),
        }
    }
}

/// What is to become of a post.
enum Decision {
    /// It is not in doubt.
    Keep,
    Resend {
        /// What was sent before may be there, or get there.
        doubled: bool,
    },
    StreamKill,
    Unknown,
}

/// Decides on a post that was not found, in a room that is `near` or not.
fn decision(post: &Pending, verdict: Verdict, near: bool) -> Decision {
    let State::Doubt { fenced, overtaken } = post.state else {
        return Decision::Keep;
    };
    // Stanzas that our own server accepted for a room at another may wait there in a
    // queue, and arrive after the archive was read. Nothing fences these.
    let unkept = post.sent.as_ref().is_some_and(|sent| sent.unkept);
    let gone = verdict == Verdict::Absent && near && fenced && !unkept;
    if post.suspect.is_some() {
        return if gone && !post.copied {
            Decision::StreamKill
        } else {
            Decision::Unknown
        };
    }
    if post.copied {
        // It was in the room: never absent, and never to be sent again.
        return Decision::Unknown;
    }
    let in_order = !(overtaken && post.ordered);
    if (gone && in_order) || post.on_doubt == OnDoubt::Resend {
        Decision::Resend { doubled: !gone }
    } else {
        Decision::Unknown
    }
}
