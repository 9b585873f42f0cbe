//! What is true: what each room accepted, in its order, and what became of it.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::verdicts::Deed;
use crate::sim::server::{Note, Operation, Removal, STRANGER};
use crate::{Cursor, Instant, Message};

/// All rooms there ever were.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) rooms: Vec<Room>,
    by_name: BTreeMap<String, usize>,
    /// When the server last crashed: what its archives lose then is lost, not let go.
    pub(super) crashed: Option<Instant>,
    /// What is to be told of archives that is not so.
    pub(super) lies: Lies,
    /// So many messages are not taken by archives.
    archiving_fails: u32,
    /// Until when what is said shows up in archives out of its order.
    unsettled_until: Instant,
}

/// What archives are made to say that is not so, or not to say. Each lie waits for the
/// query that it spoils.
#[derive(Debug, Default)]
pub(super) struct Lies {
    /// So many queries fail.
    failing: u32,
    /// A page comes without a result.
    dropping: bool,
    /// A page is garbled.
    garbling: bool,
    /// Rooms have no archives.
    withheld: bool,
    /// When the last was told.
    told: Instant,
}

/// What a room accepted. A room that was destroyed and made anew is the same one.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// In the order in which the room accepted them.
    pub(super) items: Vec<Item>,
    by_id: BTreeMap<String, usize>,
    by_origin: BTreeMap<String, usize>,
    last_by_origin: BTreeMap<String, usize>,
    /// What became of posts with the same text.
    pub(super) accounts: BTreeMap<String, Account>,
    /// Who came in when, by full address.
    entries: BTreeMap<String, Vec<Entered>>,
    /// Those put out without a word who have not come in since, by full address.
    unaware: BTreeMap<String, Instant>,
    /// Accounts that were removed, and how.
    removed: Vec<(String, Removal)>,
    /// How often it was destroyed, or lost.
    pub(super) deaths: u32,
    /// When a page of its archive last was not as it should be, or may change, or a query was
    /// made to fail, or its messages got other ids.
    pub(super) spoilt: Option<Instant>,
    /// When its archive last let go of a place.
    pub(super) let_go: Option<Instant>,
}

/// Somebody came in.
#[derive(Clone, Copy, Debug)]
struct Entered {
    /// The place of the first message that was said since.
    place: usize,
    at: Instant,
}

/// A message that a room accepted.
#[derive(Debug)]
pub(super) struct Item {
    /// `None`: the room does not archive it.
    pub(super) id: Option<String>,
    pub(super) nick: String,
    /// The sender's account, which its lasting id stands for.
    account: String,
    pub(super) origin_id: Option<String>,
    pub(super) body: String,
    pub(super) said: Instant,
    /// Since when the archive shows it.
    pub(super) shown: Option<Instant>,
    /// It shows up when it may, perhaps after what was said later.
    pub(super) unsettled: bool,
    /// It expired, was retracted or lost.
    pub(super) gone: bool,
    /// Its place went with it: nobody can read on from there.
    pub(super) unplaced: bool,
    /// It is another that got this id: where that was.
    pub(super) copy_of: Option<usize>,
}

/// The posts of one text to one room.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// How often it was to be posted.
    pub(super) asked: u32,
    /// How often the client said that it is not there.
    pub(super) denied: u32,
    /// How often the client said that it is there.
    pub(super) committed: u32,
    /// How often the room accepted it.
    pub(super) accepted: u32,
    /// How often a crash took it out of the archive again, or it never came there: who
    /// then looks for it does right to send it again, since the room does not have it.
    pub(super) lost: u32,
}

impl Item {
    /// Whether the archive has it, or will.
    pub(super) const fn is_kept(&self) -> bool {
        self.id.is_some() && !self.gone
    }
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            rooms: Vec::new(),
            by_name: BTreeMap::new(),
            crashed: None,
            lies: Lies::default(),
            archiving_fails: 0,
            unsettled_until: Instant::ZERO,
        }
    }
}

impl Truth {
    /// The room of this address.
    pub(super) fn room(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.rooms.len();
        self.rooms.push(Room::default());
        self.by_name.insert(name.into(), index);
        index
    }

    /// An account's clock leapt: what it said and is not shown yet looks as if it never came
    /// there, once the time for that is over.
    pub(super) fn leapt(&mut self, account: &str) {
        for room in &mut self.rooms {
            let unseen = |item: &&Item| item.shown.is_none() && !item.gone;
            let of_it = |item: &&Item| item.account.split('@').next() == Some(account);
            for item in room.items.iter().filter(unseen).filter(of_it) {
                let said = room.accounts.entry(item.body.clone()).or_default();
                said.lost = said.lost.saturating_add(1);
            }
        }
    }

    /// Whether archives are made to say what is not so.
    pub(super) const fn is_lied_about_by(operation: &Operation) -> bool {
        matches!(
            operation,
            Operation::FailQueries { .. }
                | Operation::DropResult { .. }
                | Operation::Garble(_)
                | Operation::Archives(_)
        )
    }

    /// The server is made to do something.
    pub(super) fn operated(&mut self, at: Instant, operation: &Operation) {
        match operation {
            Operation::Crash { .. } => self.crashed = Some(at),
            Operation::FailQueries { count } => self.lies.failing = *count,
            Operation::DropResult { .. } => self.lies.dropping = true,
            Operation::Garble { .. } => self.lies.garbling = true,
            Operation::FailArchiving { count } => self.archiving_fails = *count,
            Operation::Archives(there) => self.withhold(!there, at),
            Operation::Unsettle { lasts, .. } => self.unsettled(at.plus(*lasts)),
            Operation::Remove { room, account, how } => {
                let room = self.room(room);
                if let Some(room) = self.rooms.get_mut(room) {
                    room.removed.push((account.clone(), *how));
                }
            }
            _ => {}
        }
    }

    /// From now on the server does as it should; a query may still fail, or come without a
    /// result.
    pub(super) fn healed(&mut self, at: Instant) {
        self.archiving_fails = 0;
        self.withhold(false, at);
        self.unsettled_until = self.unsettled_until.min(at);
        if self.lies.garbling {
            self.lies.told = at;
        }
        self.lies.garbling = false;
    }

    /// Rooms have no archives, or have them again. Who came in meanwhile stands nowhere: to
    /// it nothing is owed until it comes in again.
    const fn withhold(&mut self, withheld: bool, at: Instant) {
        if self.lies.withheld {
            self.lies.told = at;
        }
        self.lies.withheld = withheld;
    }

    /// Since when archives have been telling what is so; in the future while one may not.
    pub(super) const fn honest_since(&self) -> Instant {
        let lies = &self.lies;
        if lies.failing > 0 || lies.dropping || lies.garbling || lies.withheld {
            return Instant::from_micros(u64::MAX);
        }
        lies.told
    }

    /// A query was spoilt.
    fn spoilt(&mut self, at: Instant) {
        let lies = &mut self.lies;
        lies.told = at;
        if lies.failing > 0 {
            // It failed, and nothing else befell it.
            lies.failing = lies.failing.saturating_sub(1);
        } else if lies.dropping {
            // The next page comes without a result, whatever else befalls it.
            lies.dropping = false;
        } else {
            lies.garbling = false;
        }
    }

    /// Whether this was done in a room to somebody at some time.
    pub(super) fn did(&self, room: usize, account: &str, deed: Deed) -> bool {
        self.rooms.get(room).is_some_and(|room| match deed {
            Deed::Destroyed => room.deaths > 0,
            Deed::Removed(how) => room
                .removed
                .iter()
                .any(|(who, h)| who == account && *h == how),
        })
    }

    /// These stanzas came twice, not at all or out of their turn: what they carry may be
    /// late, if it comes.
    pub(super) fn tampered(&mut self, stanzas: &[String]) {
        for item in self.rooms.iter_mut().flat_map(|room| &mut room.items) {
            let carries = |stanza: &String| {
                let ids = [&item.id, &item.origin_id];
                let mut ids = ids.into_iter().flatten();
                ids.any(|id| stanza.contains(id.as_str()))
            };
            item.unsettled |= stanzas.iter().any(carries);
        }
    }

    /// What is said until then shows up in archives in any order, and so does what was said
    /// before and is not shown yet.
    fn unsettled(&mut self, until: Instant) {
        self.unsettled_until = until;
        let items = self.rooms.iter_mut().flat_map(|room| &mut room.items);
        for item in items.filter(|item| item.shown.is_none()) {
            item.unsettled = true;
        }
    }

    pub(super) fn at(&mut self, room: usize) -> Option<&mut Room> {
        self.rooms.get_mut(room)
    }

    /// Something became a fact. Returns what is wrong about it: the rule and why.
    pub(super) fn note(
        &mut self,
        at: Instant,
        note: &Note,
    ) -> Option<(&'static str, &'static str)> {
        match note {
            Note::Accepted {
                room,
                archive_id,
                nick,
                jid,
                origin_id,
                body,
            } => {
                let withheld = self.lies.withheld;
                let unarchived = archive_id.is_none() && (withheld || self.archiving_fails > 0);
                if unarchived && !withheld {
                    self.archiving_fails = self.archiving_fails.saturating_sub(1);
                }
                let unsettled = at < self.unsettled_until;
                let room = self.room(room);
                let room = self.rooms.get_mut(room)?;
                let index = room.items.len();
                if let Some(id) = archive_id {
                    room.by_id.insert(id.clone(), index);
                }
                if let Some(id) = origin_id {
                    room.by_origin.entry(id.clone()).or_insert(index);
                    room.last_by_origin.insert(id.clone(), index);
                }
                room.items.push(Item {
                    id: archive_id.clone(),
                    nick: nick.clone(),
                    account: jid.split('/').next().unwrap_or_default().into(),
                    origin_id: origin_id.clone(),
                    body: body.clone(),
                    said: at,
                    shown: None,
                    unsettled,
                    gone: false,
                    unplaced: false,
                    copy_of: None,
                });
                let account = room.accounts.entry(body.clone()).or_default();
                account.accepted = account.accepted.saturating_add(1);
                if unarchived {
                    // Who looks for it does not find it either.
                    account.lost = account.lost.saturating_add(1);
                }
                if nick == STRANGER {
                    account.asked = account.asked.saturating_add(1);
                }
                account.verdict()
            }
            Note::Archived { room, archive_id } => {
                let item = self.item(room, archive_id)?;
                item.shown = item.shown.or(Some(at));
                None
            }
            Note::Unarchived {
                room,
                archive_id,
                tombstone,
            } => {
                let crashed = self.crashed == Some(at);
                let item = self.item(room, archive_id)?;
                item.gone = true;
                item.unplaced |= !tombstone;
                let body = item.body.clone();
                let (account, said) = (item.account.clone(), item.said);
                let room = self.room(room);
                if let Some(room) = self.rooms.get_mut(room).filter(|_| !tombstone) {
                    room.let_go = Some(at);
                }
                // Who came into an empty room may stand at the beginning of its archive, which
                // does not expire: nothing tells that what was said since then did.
                let came_first = !tombstone && self.rooms.get(room)?.came_first(&account, said);
                if crashed || came_first {
                    let account = self.rooms.get_mut(room)?.accounts.entry(body).or_default();
                    account.lost = account.lost.saturating_add(1);
                }
                None
            }
            Note::Migrated { room, ids } => {
                let room = self.room(room);
                self.rooms.get_mut(room)?.migrated(at, ids);
                None
            }
            Note::Entered { room, jid, .. } => {
                let room = self.room(room);
                let room = self.rooms.get_mut(room)?;
                let place = room.items.len();
                room.unaware.remove(jid);
                let entries = room.entries.entry(jid.clone()).or_default();
                entries.push(Entered { place, at });
                None
            }
            Note::Left {
                room,
                jid,
                told: false,
                ..
            } => {
                let room = self.room(room);
                let room = self.rooms.get_mut(room)?;
                room.unaware.insert(jid.clone(), at);
                None
            }
            Note::Garbled { room } | Note::Unstable { room } => {
                if matches!(note, Note::Garbled { .. }) {
                    self.spoilt(at);
                }
                let room = self.room(room);
                self.rooms.get_mut(room)?.spoilt = Some(at);
                None
            }
            Note::RoomGone { room } => {
                let room = self.room(room);
                let room = self.rooms.get_mut(room)?;
                room.deaths = room.deaths.saturating_add(1);
                room.let_go = Some(at);
                for item in &mut room.items {
                    item.unplaced = true;
                }
                // What was said there went with it: a room of its name does not have it.
                for item in room.items.iter_mut().filter(|item| !item.gone) {
                    item.gone = true;
                    let account = room.accounts.entry(item.body.clone()).or_default();
                    account.lost = account.lost.saturating_add(1);
                }
                None
            }
            _ => None,
        }
    }

    fn item(&mut self, room: &str, id: &str) -> Option<&mut Item> {
        let room = self.room(room);
        let room = self.rooms.get_mut(room)?;
        let index = *room.by_id.get(id)?;
        room.items.get_mut(index)
    }
}

impl Room {
    /// Whether the occupant of this full address could not hear a message, and does not know.
    pub(super) fn went_unheard(&self, place: usize, jid: &str) -> bool {
        let out = self.unaware.get(jid);
        let said = self.items.get(place).map(|item| item.said);
        out.is_some_and(|out| said.is_some_and(|said| said >= *out))
    }

    /// Whether an account came in before anything was said, and has not come again by then.
    fn came_first(&self, account: &str, by: Instant) -> bool {
        let of_it = |jid: &str| jid.split('/').next() == Some(account);
        self.entries
            .iter()
            .filter(|(jid, _)| of_it(jid))
            .filter_map(|(_, entries)| entries.iter().rev().find(|entered| entered.at <= by))
            .any(|entered| entered.place == 0)
    }
}

impl Account {
    /// What is wrong about it: the rule and why.
    pub(super) const fn verdict(&self) -> Option<(&'static str, &'static str)> {
        let kept = self.accepted.saturating_sub(self.lost);
        if kept > self.asked || self.accepted > self.asked.saturating_add(self.lost) {
            Some(("S6", "is in the room more often than it was posted"))
        } else if kept > self.asked.saturating_sub(self.denied) {
            Some((
                "S7",
                "is in the room although the client said that it is not",
            ))
        } else if self.committed > self.accepted {
            Some((
                "S7",
                "is not in the room although the client said that it is",
            ))
        } else {
            None
        }
    }
}

impl Room {
    /// What was said has other ids from now on: to whoever goes by ids it is let go of,
    /// and there once more.
    fn migrated(&mut self, at: Instant, ids: &[(String, String)]) {
        (self.spoilt, self.let_go) = (Some(at), Some(at));
        for (old, new) in ids {
            let Some(index) = self.by_id.get(old).copied() else {
                continue;
            };
            let Some(item) = self.items.get_mut(index) else {
                continue;
            };
            let again = Item {
                id: Some(new.clone()),
                nick: item.nick.clone(),
                account: item.account.clone(),
                origin_id: item.origin_id.clone(),
                body: item.body.clone(),
                shown: item.shown.map(|_| at),
                copy_of: Some(index),
                ..*item
            };
            (item.gone, item.unplaced) = (true, true);
            self.by_id.insert(new.clone(), self.items.len());
            self.items.push(again);
        }
    }

    /// Whether a message has another place since its archive was taken over.
    pub(super) fn was_taken_over(&self, place: usize) -> bool {
        let is_original = |item: &Item| item.copy_of == Some(place);
        self.items.get(place).is_some_and(|item| item.unplaced)
            && self.items.iter().skip(place).any(is_original)
    }

    /// The place of a message that was given to somebody, if there is one like it.
    pub(super) fn find(&self, message: &Message) -> Option<usize> {
        let index = match (&message.id, &message.origin_id) {
            (Some(id), _) => self.by_id.get(id.as_str()),
            // What was lost may have been said again: it is the last that was heard.
            (None, Some(origin_id)) => self.last_by_origin.get(origin_id),
            (None, None) => None,
        };
        let index = *index?;
        let is_it = |item: &Item| {
            item.body == message.body
                && item.nick == message.nick
                && item.origin_id == message.origin_id
        };
        if self.items.get(index).is_some_and(is_it) {
            return Some(index);
        }
        // Said again under another nick before who is told late was told of the first.
        let before = self.items.get(..index).filter(|_| message.id.is_none());
        before.unwrap_or_default().iter().rposition(is_it)
    }

    /// The place where the same message was said first, if its sender said it again:
    /// the same occupant under the same id.
    pub(super) fn first_saying(&self, place: usize) -> Option<usize> {
        let item = self.items.get(place)?;
        let first = *self.by_origin.get(item.origin_id.as_ref()?)?;
        let said = self.items.get(first)?;
        let same = said.nick == item.nick || said.account == item.account;
        (same && first < place).then_some(first)
    }

    /// Whether somebody may have come to what lies behind this place without having been
    /// shown it: it was said before they came in, and the archive did not show it until
    /// after that; or the archive showed it out of its order. All else they heard
    /// themselves, or could read.
    pub(super) fn may_be_late(&self, place: usize, jid: &str) -> bool {
        let place = self.original(place);
        let Some(item) = self.items.get(place) else {
            return false;
        };
        if item.unsettled {
            return true;
        }
        let entries = self.entries.get(jid).map(Vec::as_slice);
        let mut entries = entries.unwrap_or_default().iter();
        entries.any(|entered| {
            place < entered.place && item.shown.is_none_or(|shown| shown > entered.at)
        })
    }

    /// The first place of a message: what an archive that was taken over has, it had under another
    /// id.
    pub(super) fn original(&self, mut place: usize) -> usize {
        while let Some(original) = self.items.get(place).and_then(|item| item.copy_of) {
            place = original;
        }
        place
    }

    /// The place of a message with this archive id.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The item that a cursor names.
    pub(super) fn named(&self, cursor: &Cursor) -> Option<&Item> {
        match cursor {
            Cursor::Beginning => None,
            Cursor::After(id) => self.items.get(self.place(id.as_str())?),
        }
    }

    /// The place right after a cursor.
    pub(super) fn after(&self, cursor: &Cursor) -> Option<usize> {
        match cursor {
            Cursor::Beginning => Some(0),
            Cursor::After(id) => self.place(id.as_str()).map(|place| place.saturating_add(1)),
        }
    }
}
