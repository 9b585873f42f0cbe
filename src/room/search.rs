//! Looking for posts in a room's archive: page by page, keeping no message.
//!
//! XEP-0313 v1.1.3. A search goes forward from a place that its posts can only come
//! after; where none is known, backward from the newest, at most [`PAGES`] pages. A place
//! that the archive no longer shows is none: what follows it is not all that did. It
//! knows nothing of time and does not judge: it says what it saw and how far it got.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::cx::{Cx, Purpose};
use crate::error::{Condition, ErrorType};
use crate::event::{CannotTell, RequestError};
use crate::ids::{ArchiveId, Cursor, Label};
use crate::jid::{BareJid, same_address};
use crate::mam::{self, Archived, Barren, Direction, Fin, Pager};
use crate::ns;
use crate::planted::{Bug, planted};
use crate::stanza::iq::Kind;
use crate::stanza::message;
use crate::token::Whose;

/// Pages looked through where no place is known to begin at: a thousand messages
/// with the usual page.
const PAGES: u32 = 10;

/// A search under way.
#[derive(Debug)]
pub(crate) struct Search {
    pager: Pager,
    /// What was found on the page being received: origin-ids, and where.
    hits: Vec<(String, ArchiveId)>,
    /// Origin-ids found there under which somebody else spoke, as far as can be told.
    copies: Vec<String>,
    /// Pages that may still be asked for, if that is bounded.
    left: Option<u32>,
    stable: bool,
    /// Something was taken out of the archive where it was looked through: it may be
    /// what was looked for.
    removed: bool,
    /// Something that was said is on the page being received: it is none of what was removed.
    said: bool,
    /// What was looked through that was all removed.
    barren: Barren,
}

/// A page that was looked through.
#[derive(Debug)]
pub(crate) struct Read {
    /// What was found on it: origin-ids, and where.
    pub(crate) hits: Vec<(String, ArchiveId)>,
    /// Origin-ids on it under which somebody else spoke, as far as can be told.
    pub(crate) copies: Vec<String>,
    /// Its newest item.
    pub(crate) newest: Option<ArchiveId>,
    pub(crate) reach: Reach,
}

/// How far a search got with a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// There is more to look through.
    More,
    /// All was looked through.
    End,
    /// All that can be was, and that does not tell.
    Short(CannotTell),
}

/// Why a page was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Setback {
    /// It may be better in a moment. Silence is no answer: never "absent".
    Passing(RequestError),
    /// It will not be better.
    Lasting(CannotTell),
}

/// A message of an archive, as far as it takes to know a post by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) origin_id: &'a str,
    pub(crate) nick: &'a str,
    pub(crate) occupant_id: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// What a result of `room`'s archive says, if it is a message of that room.
    pub(crate) fn read(archived: &Archived<'a>, room: &BareJid) -> Option<Self> {
        let nick = archived.nick_in(|bare| same_address(room.as_str(), bare))?;
        let message = archived.message?;
        Some(Self {
            // Ours are the same; an archive may have kept but one of them.
            origin_id: message::origin_id(message).or_else(|| message.attr("id"))?,
            nick,
            occupant_id: message::occupant_id(message),
        })
    }
}

/// Whether a result is what is left of a message that was removed (XEP-0313 v1.1.3,
/// section 3.2), and does not tell by its id which one that was.
fn is_tombstone(archived: &Archived<'_>) -> bool {
    archived.message.is_none_or(|message| {
        let has = |name| message.child(name, ns::CLIENT).is_some();
        !has("body") && !has("subject") && message.attr("id").is_none()
    })
}

impl Search {
    /// A search from `anchor` on, in pages of so many items.
    pub(crate) fn new(anchor: Option<&Cursor>, page: u32) -> Self {
        let pager = match anchor {
            None => Pager::new(Direction::Backward, None, page),
            Some(anchor) => Pager::after(anchor, None, page),
        };
        Self {
            pager,
            hits: Vec::new(),
            copies: Vec::new(),
            left: anchor.is_none().then_some(PAGES),
            stable: true,
            removed: false,
            said: false,
            barren: Barren::default(),
        }
    }

    /// Asks for the next page, of at most `wanted` items; returns the request's number.
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        room: &BareJid,
        purpose: Purpose,
        wanted: u32,
    ) -> u64 {
        let query_id = cx.ids.token(Label::QueryId);
        let (page, max) = self.pager.open(query_id.clone(), wanted);
        self.hits.clear();
        self.copies.clear();
        self.said = false;
        cx.request(Kind::Set, Some(room.as_str()), purpose, |w| {
            mam::write_query(w, &query_id, &page, max);
        })
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        let hits = self.hits.iter().map(|(origin_id, place)| {
            let text = origin_id.len().saturating_add(place.as_str().len());
            text.saturating_add(size_of::<(String, ArchiveId)>())
        });
        let copies = self
            .copies
            .iter()
            .map(|id| id.len().saturating_add(size_of::<String>()));
        hits.chain(copies)
            .fold(self.pager.held(), usize::saturating_add)
    }

    /// Whether results under this query id belong to the page being received.
    pub(crate) fn is_open(&self, query_id: &str) -> bool {
        self.pager.is_open(query_id)
    }

    /// Takes a result of that page; `whose` says whether it has the id of what is looked for.
    pub(crate) fn take(
        &mut self,
        archived: &Archived<'_>,
        room: &BareJid,
        whose: impl FnOnce(&Seen<'_>) -> Option<Whose>,
    ) {
        // What lies before the place to begin at is not looked through.
        self.removed |= is_tombstone(archived) && self.pager.is_beyond(archived.id);
        self.said |= !is_tombstone(archived);
        self.pager.take(archived.id, None);
        let Some(seen) = Seen::read(archived, room) else {
            return;
        };
        let whose = whose(&seen);
        // One for each post: no more than there are.
        if whose == Some(Whose::Ours)
            && let Some(id) = ArchiveId::new(archived.id)
            && !self.hits.iter().any(|(known, _)| known == seen.origin_id)
        {
            self.hits.push((seen.origin_id.to_string(), id));
        }
        let is_copy = whose == Some(Whose::Copied);
        if is_copy && !self.copies.iter().any(|known| known == seen.origin_id) {
            self.copies.push(seen.origin_id.to_string());
        }
    }

    /// Ends the page.
    pub(crate) fn close(&mut self, answer: Result<Fin<'_>, RequestError>) -> Result<Read, Setback> {
        let stable = answer.as_ref().is_ok_and(|fin| fin.stable);
        let page = match self.pager.close(answer) {
            Err(RequestError::CursorExpired { .. }) if planted(Bug::ExpiredIsAbsent) => {
                return Ok(Read {
                    hits: Vec::new(),
                    copies: Vec::new(),
                    newest: None,
                    reach: Reach::End,
                });
            }
            // What was looked for may be there all the same.
            Err(error)
                if error.is_expired() && !(self.hits.is_empty() && self.copies.is_empty()) =>
            {
                return Ok(Read {
                    hits: core::mem::take(&mut self.hits),
                    copies: core::mem::take(&mut self.copies),
                    newest: None,
                    reach: Reach::Short(CannotTell::AnchorExpired),
                });
            }
            page => page.map_err(setback)?,
        };
        let of_use = page.complete || self.said;
        self.barren.read(page.weight, of_use).map_err(setback)?;
        self.stable &= stable || page.doubtful;
        let hits = core::mem::take(&mut self.hits);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        let reach = if page.doubtful {
            Reach::More
        } else if page.complete && self.stable && self.removed {
            Reach::Short(CannotTell::Removed)
        } else if page.complete && self.stable {
            Reach::End
        } else if page.complete {
            Reach::Short(CannotTell::Unstable)
        } else if self.left == Some(0) {
            Reach::Short(CannotTell::NoAnchor)
        } else {
            Reach::More
        };
        Ok(Read {
            hits,
            copies: core::mem::take(&mut self.copies),
            newest: page.newest,
            reach,
        })
    }
}

/// What a failed request for a page means.
fn setback(error: RequestError) -> Setback {
    let refusal = match &error {
        RequestError::Refused(refusal) => refusal,
        // What the place to begin at was cannot be told from what the archive holds: that
        // a post is not there now says nothing.
        RequestError::CursorExpired { .. } | RequestError::CursorForeign => {
            return Setback::Lasting(CannotTell::AnchorExpired);
        }
        RequestError::NoSuchRoom | RequestError::ArchiveUnsupported => {
            return Setback::Lasting(CannotTell::Failed(error));
        }
        _ => return Setback::Passing(error),
    };
    match refusal.condition {
        Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => Setback::Passing(error),
        Condition::FeatureNotImplemented => Setback::Lasting(CannotTell::NoArchive),
        _ if refusal.kind == ErrorType::Wait => Setback::Passing(error),
        _ => Setback::Lasting(CannotTell::Failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Element, stanza};

    fn is_left(message: Option<Element<'_>>) -> bool {
        is_tombstone(&Archived {
            query_id: "q",
            id: "1",
            stamp: None,
            message,
        })
    }

    /// XEP-0313 v1.1.3, section 3.2, and XEP-0424: what is left of a message that was removed has no
    /// content any more. Where it has its id it tells which one it was.
    #[test]
    fn a_tombstone_is_what_has_no_content_and_no_name() {
        for (message, expected) in [
            ("<message/>", true),
            ("<message><x xmlns='u'/></message>", true),
            ("<message><body xmlns='u'/></message>", true),
            ("<message><body/></message>", false),
            ("<message><subject/></message>", false),
            ("<message id='a'/>", false),
            ("<message id='a'><body/></message>", false),
        ] {
            assert_eq!(stanza(message, |m| is_left(Some(m))), expected, "{message}");
        }
        assert!(is_left(None));
    }

    /// What passes is asked again, what lasts is told.
    #[test]
    fn some_failures_of_an_archive_pass_and_others_last() {
        let refused = |kind, condition| {
            RequestError::Refused(crate::error::StanzaError {
                kind,
                condition,
                text: None,
            })
        };
        for (error, passes) in [
            (RequestError::NoSuchRoom, false),
            (RequestError::ArchiveUnsupported, false),
            (RequestError::CursorForeign, false),
            (RequestError::CursorExpired { oldest: None }, false),
            (RequestError::TimedOut, true),
            (
                refused(ErrorType::Cancel, Condition::RemoteServerNotFound),
                true,
            ),
            (
                refused(ErrorType::Cancel, Condition::RemoteServerTimeout),
                true,
            ),
            (
                refused(ErrorType::Wait, Condition::ResourceConstraint),
                true,
            ),
            (
                refused(ErrorType::Wait, Condition::FeatureNotImplemented),
                false,
            ),
            (refused(ErrorType::Auth, Condition::Forbidden), false),
        ] {
            let text = alloc::format!("{error:?}");
            assert_eq!(
                matches!(setback(error), Setback::Passing(_)),
                passes,
                "{text}"
            );
        }
    }
}
