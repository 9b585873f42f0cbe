//! A host and its rooms: what it is told when it comes in, is put out or refused (S8, S20),
//! and whether it tries again (L1, L5).

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Host;
use crate::sim::oracle::found::Found;
use crate::sim::oracle::truth::Truth;
use crate::sim::oracle::verdicts::{self, LastHour, Standing};
use crate::{Instant, JoinFailure, JoinRoom, LeaveCause, Limits, Nick, Retry, RoomEvent, RoomId};

/// A room that a host asked to join.
#[derive(Debug)]
pub(in crate::sim::oracle) struct Membership {
    pub(in crate::sim::oracle) name: String,
    /// The nick that was suggested.
    nick: String,
    pub(in crate::sim::oracle) truth: usize,
    pub(in crate::sim::oracle) asked: Instant,
    /// How far its host's clock was ahead then.
    ahead: Duration,
    /// For how long its host had had a session then.
    lived: Duration,
    /// For how long it had one from then until it had joined for the first time.
    spent: Duration,
    pub(in crate::sim::oracle) joined: bool,
    entries: u32,
    /// The nick was not only suggested.
    chosen: bool,
    /// It asked to leave.
    pub(super) leaving: bool,
    kicks: LastHour,
    /// So many of them are answered by coming back.
    forgiven: u32,
    pub(in crate::sim::oracle) dead: bool,
    /// How often the room had been lost when it asked.
    pub(in crate::sim::oracle) deaths: u32,
}

impl Membership {
    /// It asks to be let in, by a clock that is that far ahead, its host having had a session
    /// for so long.
    pub(super) fn new(
        join: &JoinRoom,
        truth: usize,
        asked: Instant,
        (ahead, lived): (Duration, Duration),
    ) -> Self {
        Self {
            name: join.room.as_str().into(),
            nick: match &join.nick {
                Nick::Chosen(nick) | Nick::Suggested(nick) => nick.clone(),
                Nick::Random => String::new(),
            },
            truth,
            asked,
            ahead,
            lived,
            spent: Duration::ZERO,
            joined: false,
            entries: 0,
            chosen: matches!(join.nick, Nick::Chosen(_)),
            leaving: false,
            kicks: LastHour::default(),
            forgiven: join.kicks.unwrap_or(Limits::default().kicks),
            dead: false,
            deaths: 0,
        }
    }

    /// If its host is in it for the first time: for how long it had had a session between being
    /// told to join and having joined.
    pub(super) fn first_join(&self) -> Option<Duration> {
        (self.entries == 1).then_some(self.spent)
    }

    const fn standing(&self, trying: Duration, over: bool, disturbed: bool) -> Standing {
        Standing {
            entered: self.entries > 0,
            over,
            kicks: 0,
            forgiven: self.forgiven,
            chosen: self.chosen,
            trying,
            disturbed,
        }
    }
}

impl Host {
    pub(super) fn room(&mut self, id: RoomId, event: &RoomEvent, truth: &Truth, found: &mut Found) {
        let now = found.now;
        let clock = now.plus(self.trouble.ahead);
        let disturbed = self.trouble.is_disturbed(now);
        let over = self.rests || self.closing.is_some();
        let account = self.account.as_str();
        let Some(room) = self.rooms.get_mut(&id) else {
            return found.violate("S8", String::from("an event of a room that nobody joined"));
        };
        if room.dead {
            let name = &room.name;
            found.violate("S8", format!("{name} is over, and something happens there"));
        }
        match event {
            RoomEvent::Joined(joined) => {
                if room.joined {
                    found.violate("S20", format!("joined twice: {}", room.name));
                }
                room.joined = true;
                room.entries = room.entries.saturating_add(1);
                if room.entries > 1 {
                    found.count("rejoined");
                } else {
                    room.spent = self.seen.lived(clock).saturating_sub(room.lived);
                }
                if joined.nick != room.nick {
                    found.count("joined under another nick");
                }
                if joined.created {
                    found.count(if room.entries > 1 {
                        "room created again"
                    } else {
                        "room created"
                    });
                }
            }
            RoomEvent::Left { cause, retry } => {
                let mut standing = room.standing(Duration::ZERO, over, disturbed);
                if matches!(cause, LeaveCause::Kicked { .. }) {
                    standing.kicks = room.kicks.add(clock);
                }
                let verdict = verdicts::of_removal(cause, standing);
                if let Some((rule, what)) = verdict.broken_by(*retry) {
                    found.violate(rule, format!("{what} {} after {cause:?}", room.name));
                }
                let behind = verdicts::behind_removal(cause);
                let unasked = *cause == LeaveCause::Asked && !room.leaving && !over;
                if unasked || behind.is_some_and(|deed| !truth.did(room.truth, account, deed)) {
                    found.violate("L1", format!("not what {} did: {cause:?}", room.name));
                }
                room.joined = false;
                room.dead = *retry == Retry::Never;
                self.seen.out_of(&room.name);
                found.count(match cause {
                    LeaveCause::Asked => "left: asked",
                    LeaveCause::Kicked { .. } => "left: kicked",
                    LeaveCause::Banned { .. } => "left: banned",
                    LeaveCause::NotMember => "left: not a member",
                    LeaveCause::ServiceShutdown => "left: shutdown",
                    LeaveCause::Dropped => "left: dropped",
                    LeaveCause::Unexplained => "left: unexplained",
                    LeaveCause::TechnicalProblem => "left: technical",
                    LeaveCause::Destroyed { .. } => "left: destroyed",
                    LeaveCause::Offline => "left: offline",
                });
            }
            RoomEvent::JoinFailed { error, retry } => {
                // By its own clock, which may have leapt since; and since its engine had a
                // session, which its bot may have been told later.
                let asked = room.asked.plus(room.ahead);
                let trying = if room.entries > 0 {
                    clock.since(self.seen.began().max(asked))
                } else {
                    // The time for a first join is one for all streams.
                    self.seen.lived(clock).saturating_sub(room.lived)
                };
                let standing = room.standing(trying, over, disturbed);
                let verdict = verdicts::of_refusal(error, standing);
                if let Some((rule, what)) = verdict.broken_by(*retry) {
                    found.violate(rule, format!("{what} {} after {error:?}", room.name));
                }
                let behind = match error {
                    JoinFailure::PutOut(cause) => verdicts::behind_removal(cause),
                    error => verdicts::behind_refusal(error),
                };
                if behind.is_some_and(|deed| !truth.did(room.truth, account, deed)) {
                    found.violate("L1", format!("not what {} did: {error:?}", room.name));
                }
                room.joined = false;
                room.dead = *retry == Retry::Never;
                found.count(match error {
                    JoinFailure::NickConflict => "join failed: nick conflict",
                    JoinFailure::Refused(_) => "join failed: refused",
                    JoinFailure::TimedOut => "join failed: timed out",
                    JoinFailure::Offline => "join failed: offline",
                    JoinFailure::PutOut(_) => "join failed: put out",
                });
            }
            RoomEvent::NickChanged { .. } => found.count("nick changed"),
            _ => {}
        }
    }
}
