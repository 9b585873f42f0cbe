//! Finding out later what became of a post in doubt, by its token alone.
//!
//! The room's archive is read once, from the place the token names. It is not read
//! again, and nothing is sent again: whoever asks may ask again, and decides.

use alloc::vec::Vec;

use super::link::Link;
use super::machine::Machine;
use super::refusal::QueryError;
use crate::cx::{Cx, Purpose};
use crate::event::{CannotTell, Event, RequestError, Resolution, Retry};
use crate::ids::{QueryId, RoomId};
use crate::mam::{Archived, Fin};
use crate::room::Room;
use crate::room::search::{Reach, Read, Search, Setback};
use crate::time::Timer;
use crate::token::PostToken;

/// A resolution under way.
#[derive(Debug)]
pub(super) struct Resolving {
    pub(super) id: QueryId,
    pub(super) room: RoomId,
    token: PostToken,
    /// The archive has a message of its id that cannot be told to be the post.
    copied: bool,
    /// The search, and the page asked for; `None` while we are not in the room.
    search: Option<(Search, u64)>,
}

impl Resolving {
    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let search = self.search.as_ref().map_or(0, |(search, _)| search.held());
        search.saturating_add(size_of::<Self>())
    }

    /// Lets go of its timer and its question.
    pub(super) fn disarm(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::FetchStalled, self.id.0);
        self.away(cx);
    }

    fn away(&mut self, cx: &mut Cx<'_>) {
        cx.forget(self.search.take().map(|(_, serial)| serial));
    }

    /// We are in the room. Says so if that settles it.
    fn enter(&mut self, cx: &mut Cx<'_>, room: &Room) -> Option<Resolution> {
        if self.search.is_some() {
            return None;
        }
        if room.lacks_archive() {
            return Some(Resolution::CannotTell(CannotTell::NoArchive));
        }
        let mut search = Search::new(self.token.anchor.as_ref(), cx.limits.page);
        let serial = search.ask(cx, &self.token.room, Purpose::Resolve(self.id), u32::MAX);
        self.search = Some((search, serial));
        None
    }

    /// Whether a result of the archive was asked for by this; takes it if so.
    pub(super) fn take(&mut self, archived: &Archived<'_>) -> bool {
        let Some((search, _)) = &mut self.search else {
            return false;
        };
        if !search.is_open(archived.query_id) {
            return false;
        }
        let token = &self.token;
        search.take(archived, &token.room, |seen| {
            token.whose(seen.origin_id, seen.nick, seen.occupant_id)
        });
        true
    }

    /// The page asked for was answered. Says so if that settles it.
    fn page(
        &mut self,
        cx: &mut Cx<'_>,
        asked: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) -> Option<Resolution> {
        // A late answer to an older question says nothing about this page.
        let (mut search, _) = self.search.take_if(|(_, serial)| *serial == asked)?;
        let why = match search.close(answer) {
            Err(Setback::Passing(error)) => CannotTell::Failed(error),
            Err(Setback::Lasting(_)) if self.copied => CannotTell::Copied,
            Err(Setback::Lasting(why)) => why,
            Ok(Read {
                mut hits,
                copies,
                reach,
                ..
            }) => {
                self.copied |= !copies.is_empty();
                if let Some((_, at)) = hits.pop() {
                    return Some(Resolution::Found(at));
                }
                match reach {
                    // It was said, wherever the search ends.
                    Reach::End | Reach::Short(_) if self.copied => CannotTell::Copied,
                    Reach::End if self.token.unkept => CannotTell::Unkept,
                    Reach::End => return Some(Resolution::AbsentSoFar),
                    Reach::Short(why) => why,
                    Reach::More => {
                        let purpose = Purpose::Resolve(self.id);
                        let serial = search.ask(cx, &self.token.room, purpose, u32::MAX);
                        self.search = Some((search, serial));
                        return None;
                    }
                }
            }
        };
        Some(Resolution::CannotTell(why))
    }
}

impl Machine {
    pub(super) fn resolve(&mut self, token: &PostToken) -> Result<QueryId, QueryError> {
        self.may_query()?;
        let room = self
            .by_address
            .get(token.room.as_str())
            .copied()
            .ok_or(QueryError::UnknownRoom)?;
        let id = QueryId(self.ids.next());
        let patience = self.core.config.timing.post;
        self.core.cx().arm(Timer::FetchStalled, id.0, patience);
        let resolving = Resolving {
            id,
            room,
            token: token.clone(),
            copied: false,
            search: None,
        };
        self.resolving.insert(id, resolving);
        self.resolving_entered(Some(room));
        Ok(id)
    }

    /// We are in a room, or in all that we were in before.
    pub(super) fn resolving_entered(&mut self, room: Option<RoomId>) {
        if !matches!(self.link, Link::Online) {
            return;
        }
        let mut settled = Vec::new();
        for resolving in self.resolving.values_mut() {
            if room.is_none_or(|room| room == resolving.room)
                && let Some(entry) = self.rooms.get(&resolving.room)
                && entry.room.is_in()
                && let Some(resolution) = resolving.enter(&mut self.core.cx(), &entry.room)
            {
                settled.push((resolving.id, resolution));
            }
        }
        for (id, resolution) in settled {
            self.resolved(id, resolution);
        }
    }

    pub(super) fn resolving_away(&mut self, room: RoomId) {
        for resolving in self.resolving.values_mut() {
            if resolving.room == room {
                resolving.away(&mut self.core.cx());
            }
        }
    }

    pub(super) fn resolving_offline(&mut self, retry: Retry) {
        if retry == Retry::Never {
            return self.fail_resolving(|_| true, &RequestError::Offline);
        }
        for resolving in self.resolving.values_mut() {
            resolving.away(&mut self.core.cx());
        }
    }

    pub(super) fn fail_resolving(
        &mut self,
        which: impl Fn(&Resolving) -> bool,
        why: &RequestError,
    ) {
        let failed = self.resolving.values().filter(|resolving| which(resolving));
        let failed: Vec<_> = failed.map(|resolving| resolving.id).collect();
        for id in failed {
            let why = CannotTell::Failed(why.clone());
            self.resolved(id, Resolution::CannotTell(why));
        }
    }

    /// The page of a resolution was answered.
    pub(super) fn resolve_page(
        &mut self,
        id: QueryId,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        if let Some(resolving) = self.resolving.get_mut(&id)
            && let Some(resolution) = resolving.page(&mut self.core.cx(), serial, answer)
        {
            self.resolved(id, resolution);
        }
    }

    fn resolved(&mut self, id: QueryId, resolution: Resolution) {
        if let Some(mut resolving) = self.resolving.remove(&id) {
            resolving.disarm(&mut self.core.cx());
            self.core.cx().tell(Event::Resolved { id, resolution });
        }
    }
}
