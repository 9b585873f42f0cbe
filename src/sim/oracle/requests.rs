//! What a host asks of its rooms, as its bytes show it, and how often it asks again:
//! joins and self-pings (L6), pages of an archive (L7), and posts that it sends again.
//!
//! What a resumption sends again was due before, and does not count; nor does a new
//! process answer for what the one before it asked. The host's own clock counts.
//!
//! Pages of an archive are no retries while they get on. The same page is: after the same
//! id, of the same size. So an archive that is read on and on is not judged here, but by
//! [`STANZAS`](super::STANZAS).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use core::time::Duration;

use super::found::Found;
use super::verdicts::LastHour;
use crate::Instant;
use crate::xml::Element;

const MUC: &str = "http://jabber.org/protocol/muc";
const PING: &str = "urn:xmpp:ping";
const MAM: &str = "urn:xmpp:mam:2";
const RSM: &str = "http://jabber.org/protocol/rsm";

const MINUTE: Duration = Duration::from_secs(60);

/// Worlds last for less than an hour: what an hour's budget would be is asked of its sixth.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// How often a host asks one room to let it in: in a minute, and in ten. A room that stays
/// locked is asked 16 times in a minute, by bots that come back whenever their engine gave
/// it up; 17 was the most in 600 worlds.
const JOINS: [usize; 2] = [40, 240];

/// How often a host asks one room whether it is in. Every minute of silence in plans; 3 in a
/// minute and 18 in a world were the most in 600 worlds.
const PINGS: [usize; 2] = [8, 30];

/// How often a host asks a room's archive for the same page within a minute: with each join
/// for its end, and some times for what it lags behind; 27 was the most in 600 worlds.
const SAME_PAGE: usize = 80;

/// Between two looks at an archive that lags: at least, and at most with the way there and
/// back. Who looks for a post waits for longer.
const LOOKS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(3000));

/// Something between a host and a room of it.
#[derive(Debug)]
pub(super) enum Talked {
    /// It asks to be let in.
    Join { room: String },
    /// It asks whether it still is in.
    Ping { room: String },
    /// It asks for a page of the archive, from a place on or not.
    Query {
        room: String,
        id: String,
        page: String,
        after: Option<String>,
    },
    /// A query was answered: whether with the last page, and where that ends.
    Answer {
        id: String,
        complete: bool,
        last: Option<String>,
    },
    /// It posts something. `handled`: the server told since the last break what it had
    /// handled of what came before.
    Post { id: String, handled: bool },
}

impl Talked {
    /// What a host says to a room with a stanza, if that is of interest.
    pub(super) fn said(element: Element<'_>, handled: bool) -> Option<Self> {
        let to = element.attr("to")?;
        let room: String = to.split('/').next().unwrap_or_default().into();
        let kind = element.attr("type");
        let id = || String::from(element.attr("id").unwrap_or_default());
        match (element.name(), kind) {
            ("presence", None) => {
                element.child("x", MUC)?;
                Some(Self::Join { room })
            }
            ("message", Some("groupchat")) => Some(Self::Post { id: id(), handled }),
            ("iq", Some("get")) if to.contains('/') => {
                element.child("ping", PING)?;
                Some(Self::Ping { room })
            }
            ("iq", Some("set")) => {
                let page = element.child("query", MAM)?.child("set", RSM)?;
                Some(Self::Query {
                    room,
                    id: id(),
                    page: page.to_string(),
                    after: page.child("after", RSM).map(|after| after.text().into()),
                })
            }
            _ => None,
        }
    }

    /// What a host hears with a stanza.
    pub(super) fn heard(element: Element<'_>) -> Option<Self> {
        let id = element.attr("id")?.into();
        match (element.name(), element.attr("type")?) {
            ("iq", "result") => {
                let fin = element.child("fin", MAM)?;
                let last = fin.child("set", RSM).and_then(|set| set.child("last", RSM));
                Some(Self::Answer {
                    id,
                    complete: matches!(fin.attr("complete"), Some("true" | "1")),
                    last: last.map(|last| last.text().into()),
                })
            }
            ("iq", "error") => Some(Self::Answer {
                id,
                complete: false,
                last: None,
            }),
            _ => None,
        }
    }
}

/// What a host asked of its rooms.
#[derive(Debug, Default)]
pub(super) struct Requests {
    rooms: BTreeMap<String, Asked>,
    /// Queries without an answer: by id the room, and the place from which on.
    open: BTreeMap<String, (String, Option<String>)>,
    /// What it posted, by the ids that it gave.
    posts: BTreeSet<String>,
}

/// What it asked of one of them.
#[derive(Debug, Default)]
struct Asked {
    joins: LastHour,
    pings: LastHour,
    /// The pages that it asked for within the last minute.
    pages: VecDeque<(Instant, String)>,
    /// Where the archive ended, and when it said so, if that was the last that it said.
    end: Option<(Instant, String)>,
}

impl Asked {
    /// It asks for a page. Returns how often it did within the last minute.
    fn pages_again(&mut self, page: String, clock: Instant) -> usize {
        self.pages.retain(|(at, _)| clock.since(*at) < MINUTE);
        let before = self.pages.iter().filter(|(_, asked)| *asked == page);
        let times = before.count().saturating_add(1);
        self.pages.push_back((clock, page));
        times
    }
}

/// Something was asked once more (L6): `most` in a minute and in ten.
fn judge(
    asked: &mut LastHour,
    most: [usize; 2],
    clock: Instant,
    found: &mut Found,
    what: impl FnOnce(String) -> String,
) {
    asked.add(clock);
    let minute = asked.within(MINUTE, clock);
    let ten = asked.within(TEN_MINUTES, clock);
    if minute > most[0] || ten > most[1] {
        let times = format!("{minute} times in a minute, {ten} in ten,");
        found.violate("L6", what(times));
        asked.clear();
    }
}

impl Requests {
    /// Takes what was said, at a time of the host's clock. `reads`: whether a room is being
    /// followed by somebody who is not caught up.
    pub(super) fn take(
        &mut self,
        talked: Talked,
        clock: Instant,
        reads: impl FnOnce(&str) -> bool,
        found: &mut Found,
    ) {
        match talked {
            Talked::Join { room } => {
                let joins = &mut self.rooms.entry(room.clone()).or_default().joins;
                judge(joins, JOINS, clock, found, |n| {
                    format!("{room} is asked {n} to let it in")
                });
            }
            Talked::Ping { room } => {
                let pings = &mut self.rooms.entry(room.clone()).or_default().pings;
                judge(pings, PINGS, clock, found, |n| {
                    format!("{room} is asked {n} whether it is in")
                });
            }
            Talked::Query {
                room,
                id,
                page,
                after,
            } => {
                let reads = reads(&room);
                let asked = self.rooms.entry(room.clone()).or_default();
                if let (Some((answered, end)), Some(after)) = (&asked.end, &after)
                    && end == after
                    && reads
                    && (LOOKS.0..LOOKS.1).contains(&clock.since(*answered))
                {
                    found.count("archive looked at again");
                }
                if asked.pages_again(page, clock) > SAME_PAGE {
                    let what = format!("{room} is asked for the same page again and again");
                    found.violate("L7", what);
                    asked.pages.clear();
                }
                self.open.insert(id, (room, after));
            }
            Talked::Answer { id, complete, last } => {
                let Some((room, after)) = self.open.remove(&id) else {
                    return;
                };
                let place = last.or(after).filter(|_| complete);
                let asked = self.rooms.entry(room).or_default();
                asked.end = place.map(|place| (clock, place));
            }
            Talked::Post { id, handled } => {
                if !self.posts.insert(id) {
                    found.count(if handled {
                        "post sent again, never handled"
                    } else {
                        "post sent again, not in the archive"
                    });
                }
            }
        }
    }
}
