//! One room: getting in ([`joining`]), who is there ([`presence`]), whether we still
//! are ([`selfping`]), getting out ([`leaving`]), and what follows from it all
//! ([`policy`]); what is said there ([`reading`]), posts until their outcome is known
//! ([`outbox`], and [`interruption`] and [`inquiry`] after a break), and messages as one sequence ([`log`]).

mod audit;
mod early;
mod echo;
mod inquiry;
mod interruption;
mod joining;
mod leaving;
pub(crate) mod log;
pub(crate) mod neighbours;
pub(crate) mod outbox;
mod policy;
mod presence;
mod reading;
pub(crate) mod recent;
pub(crate) mod search;
mod selfping;
mod told;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use core::time::Duration;

use crate::cx::Cx;
use crate::event::{Event, JoinFailure, Message, Privacy, RoomEvent, RoomInfo};
use crate::ids::RoomId;
use crate::jid::BareJid;
use crate::limits::Limits;
use crate::time::Instant;
use crate::token::PostToken;
use early::Early;
use leaving::Partings;
pub(crate) use log::Log;
use neighbours::Neighbours;
use outbox::Outbox;
use policy::Kicks;
pub(crate) use reading::Places;
use reading::ids_are_places;
use recent::Recent;
use selfping::Vigil;

/// A room of the engine.
#[derive(Debug)]
pub(crate) struct Room {
    id: RoomId,
    jid: BareJid,
    standing: Standing,
    nick: Nickname,
    /// The nick we have, or ask for.
    current: String,
    info: RoomInfo,
    /// What it lets be known, as it said since it let us in.
    privacy: Privacy,
    asked: Asked,
    /// It has never said what it can do, and may yet: no answer came, or one that will pass.
    unsaid: bool,
    /// Questions since we came that failed.
    unanswered: u32,
    /// The request that is under way: what the room can do, or to unlock it.
    question: Option<u64>,
    /// Its configuration changed since that was asked.
    outdated: bool,
    /// Whether a failure to say what it can do is worth another question.
    again: bool,
    /// The id of the join under way, which a refusal of it bears.
    join_id: String,
    /// While joining: an occupant of the nick we asked for came, and nothing says
    /// yet whether that is us; with its lasting id.
    provisional: Option<Option<String>>,
    created: bool,
    /// We created it, and do not know that it was unlocked.
    locked: bool,
    /// Since when it has been locked to us, as if it were not there.
    locked_out: Option<Instant>,
    /// We tried to unlock it from outside since then.
    knocked: bool,
    /// We were in before: a refusal now may be our own ghost's doing.
    entered: bool,
    /// It did not exist any more when we came back; those who follow it are to know.
    recreated: bool,
    /// How often the room was told that we go, and has not said that we are gone: it may do
    /// so after it let us in again.
    parted: Partings,
    /// When we came in last.
    arrived: Option<Instant>,
    /// We were kicked, and do not come back before that.
    grounded: Option<Instant>,
    kicks: Kicks,
    vigil: Vigil,
    occupants: BTreeSet<String>,
    /// The nicks we went by, the latest only.
    own_nicks: Recent<String>,
    occupant_id: Option<String>,
    /// What is left of the time for the first join: what was spent on streams that broke
    /// counts.
    patience: Option<Duration>,
    /// Said after we came in and before we know what the room's ids are worth.
    early: Early,
    /// The room told its subject since we came, or what was said live: all that follows is said
    /// now.
    history_told: bool,
    /// Attempts to get in, since we last were in for a while.
    failures: u32,
    /// Nicks that were taken, since we last came in.
    conflicts: u32,
    /// Since when somebody has had our nick, who may be our own ghost.
    haunted: Option<Instant>,
    /// Why we were not let in, last time.
    last_refusal: Option<JoinFailure>,
    /// Hints at what lies next to what in its archive.
    pub(crate) neighbours: Neighbours,
    pub(crate) outbox: Outbox,
}

/// The nick that is wanted, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nickname {
    /// This one or none.
    Chosen(String),
    /// This one or one like it.
    Suggested(String),
}

impl Nickname {
    fn text(&self) -> &str {
        match self {
            Self::Chosen(nick) | Self::Suggested(nick) => nick,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Not in, and nothing under way: there is no session.
    Out,
    /// The join was sent.
    Joining,
    /// We are in, alone: the room was created and is locked.
    Unlocking,
    /// We are in; what the room can do was asked.
    Examining,
    /// In.
    In,
    /// A timer runs until the next attempt.
    Waiting,
    /// Out for good.
    Dead,
}

/// Whether the room said what it can do.
///
/// It is asked together with the join, which saves a round trip where the room
/// exists and is not hidden; and again after the join where that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Pending,
    Known,
    Failed,
}

/// What came of a stanza of the room, for those who follow it.
#[derive(Debug)]
pub(crate) enum RoomOutput {
    Nothing,
    /// We are in, at first or again; what was said meanwhile.
    Entered(Early),
    /// It said only now what it can do, or that it will not say.
    Described,
    /// Somebody said something; what, if anybody wants to know.
    Said(Option<Box<Message>>),
    /// We are out; `true` if for good.
    Out(bool),
}

/// How many of our own nicks in a room are remembered.
const OWN_NICKS: usize = 16;

impl Room {
    pub(crate) fn new(
        id: RoomId,
        jid: BareJid,
        nick: Nickname,
        near: bool,
        limits: &Limits,
    ) -> Self {
        Self {
            outbox: Outbox::new(id, jid.clone(), near, limits.remembered_ids),
            id,
            jid,
            standing: Standing::Out,
            current: nick.text().into(),
            nick,
            info: RoomInfo::default(),
            privacy: Privacy::default(),
            asked: Asked::Failed,
            unsaid: true,
            unanswered: 0,
            patience: None,
            question: None,
            outdated: false,
            again: false,
            join_id: String::new(),
            provisional: None,
            created: false,
            locked: false,
            locked_out: None,
            knocked: false,
            entered: false,
            recreated: false,
            parted: Partings::default(),
            arrived: None,
            grounded: None,
            kicks: Kicks::new(limits.kicks),
            vigil: Vigil::default(),
            occupants: BTreeSet::new(),
            own_nicks: Recent::new(OWN_NICKS),
            occupant_id: None,
            early: Early::default(),
            history_told: false,
            failures: 0,
            conflicts: 0,
            haunted: None,
            last_refusal: None,
            neighbours: Neighbours::default(),
        }
    }

    /// How many bytes it holds, posts that the host queued not counted.
    pub(crate) fn held(&self) -> usize {
        let occupants = self.occupants.iter();
        let occupants = occupants.map(|nick| nick.len().saturating_add(size_of::<String>()));
        [
            size_of::<Self>(),
            self.own_nicks.held(|nick| nick.len().saturating_mul(2)),
            self.outbox.held(),
            self.neighbours.held(),
        ]
        .into_iter()
        .chain(occupants)
        .chain([self.early.held()])
        .fold(0, usize::saturating_add)
    }

    pub(crate) const fn jid(&self) -> &BareJid {
        &self.jid
    }

    /// What the ids on its messages are worth.
    pub(crate) const fn places(&self) -> Places {
        if ids_are_places(&self.info) {
            Places::Sure
        } else if self.unsaid {
            Places::Unsaid
        } else {
            Places::None
        }
    }

    /// Whether it said that it has no archive, or will not say what it has.
    pub(crate) const fn lacks_archive(&self) -> bool {
        !self.info.archive && !self.unsaid
    }

    pub(crate) fn is_in(&self) -> bool {
        self.standing == Standing::In
    }

    /// Whether we were in before.
    pub(crate) const fn was_in(&self) -> bool {
        self.entered
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.standing == Standing::Dead
    }

    /// The same with another patience for kicks than [`Limits::kicks`].
    pub(crate) fn with_kicks(mut self, allowed: u32) -> Self {
        self.kicks = Kicks::new(allowed);
        self
    }

    /// Whether the room was lost and made anew since this was asked last.
    pub(crate) const fn take_recreated(&mut self) -> bool {
        core::mem::replace(&mut self.recreated, false)
    }

    fn tell(&self, cx: &mut Cx<'_>, event: RoomEvent) {
        cx.tell(Event::Room {
            room: self.id,
            event,
        });
    }

    /// Writes the posts that wait, as far as there is room.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) {
        if self.is_in() {
            let us = outbox::Us {
                nick: &self.current,
                occupant_id: self.occupant_id.as_deref(),
            };
            self.outbox.flush(cx, us);
            self.expect_echo(cx);
        }
    }

    /// What a post that is yet to be made can be found by.
    pub(crate) fn prepare(&self, cx: &mut Cx<'_>) -> PostToken {
        let us = outbox::Us {
            nick: &self.current,
            occupant_id: self.occupant_id.as_deref(),
        };
        self.outbox.prepare(cx, us)
    }

    /// Whose the room's timers are.
    fn owner(&self) -> u64 {
        self.id.0
    }
}
