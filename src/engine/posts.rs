//! Taking to posts what concerns them: the sessions they are sent in, their
//! deadlines, and what archives say about them.

use super::link::Link;
use super::machine::Machine;
use crate::error::StreamCondition;
use crate::event::{OfflineCause, RequestError};
use crate::ids::{PostId, RoomId};
use crate::mam::Fin;

impl Machine {
    /// A session begins.
    pub(super) fn posts_bound(&mut self) {
        let limit = self.stanza_limit();
        let Some(us) = &self.us else { return };
        for entry in self.rooms.values_mut() {
            let outbox = &mut entry.room.outbox;
            outbox.session_began(&mut self.core.cx(), us.as_str(), limit);
        }
    }

    /// The server may take only smaller stanzas than before.
    pub(super) fn posts_shrink(&mut self) {
        let limit = self.stanza_limit();
        for entry in self.rooms.values_mut() {
            entry.room.outbox.shrink(&mut self.core.cx(), limit);
        }
    }

    /// A stream ended: if over what we said, it may have been a post.
    ///
    /// The posts in flight are those whose stanzas the server had a byte of, and did
    /// not say that it handled (XEP-0198). What else was in flight may be guilty as
    /// well; it is not sent again either way.
    ///
    /// On a stream that was resumed nobody is suspected. Prosody 0.12 goes on there with
    /// the parser of the broken stream, which may stand in the middle of a stanza: seen,
    /// with every post lost that was sent again. What is in flight is in doubt then; who
    /// is guilty will end the next stream as well, and that is a new one, since after such
    /// an end none is resumed.
    pub(super) fn suspect_posts(&mut self, cause: &OfflineCause) {
        let OfflineCause::StreamError { condition, .. } = cause else {
            return;
        };
        if !matches!(self.link, Link::Online) || !is_about_us(*condition) || self.login.resumed {
            return;
        }
        let range = self.management.acked()..self.core.out.begun();
        let outboxes = self.rooms.values().map(|entry| &entry.room.outbox);
        let among = outboxes
            .map(|outbox| outbox.in_flight(&range))
            .fold(0, usize::saturating_add);
        let among = u32::try_from(among).unwrap_or(u32::MAX);
        for entry in self.rooms.values_mut() {
            entry.room.outbox.suspect(&range, *condition, among);
        }
    }

    pub(super) fn post_expired(&mut self, owner: u64) {
        let online = matches!(self.link, Link::Online);
        for entry in self.rooms.values_mut() {
            let ours = entry.room.outbox.expire(&mut self.core.cx(), PostId(owner));
            // Others may have waited for it.
            if ours && online {
                entry.room.flush(&mut self.core.cx());
            }
        }
    }

    /// An archive that did not have a post in doubt is looked at again.
    pub(super) fn settle_posts(&mut self, owner: u64) {
        if let Some(entry) = self.rooms.get_mut(&RoomId(owner)) {
            entry.room.outbox.settle(&mut self.core.cx());
        }
    }

    /// What is posted to a room waits no longer for the end of its archive.
    pub(super) fn anchor_is_late(&mut self, owner: u64) {
        if let Some(entry) = self.rooms.get_mut(&RoomId(owner)) {
            entry.room.outbox.anchor_is_late();
            if matches!(self.link, Link::Online) {
                entry.room.flush(&mut self.core.cx());
            }
        }
    }

    /// An archive was asked for posts in doubt.
    pub(super) fn posts_inquired(
        &mut self,
        id: RoomId,
        serial: u64,
        answer: Result<Fin<'_>, RequestError>,
    ) {
        if let Some(entry) = self.rooms.get_mut(&id) {
            let mut cx = self.core.cx();
            entry.room.outbox.inquired(&mut cx, serial, answer);
            entry.room.flush(&mut cx);
        }
    }
}

/// Whether a server ends a stream so over what it was sent (RFC 6120, section 4.9.3).
const fn is_about_us(condition: StreamCondition) -> bool {
    matches!(
        condition,
        StreamCondition::BadFormat
            | StreamCondition::BadNamespacePrefix
            | StreamCondition::InvalidXml
            | StreamCondition::NotWellFormed
            | StreamCondition::PolicyViolation
            | StreamCondition::RestrictedXml
            | StreamCondition::UnsupportedStanzaType
    )
}
