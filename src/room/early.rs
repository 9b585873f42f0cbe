//! What a room says after it let us in, and before we know what its ids are worth.

use alloc::vec::Vec;

use crate::event::Message;
use crate::ids::ArchiveId;
use crate::limits::Limits;

/// Said early: the first of it, as much as is held back for a subscription.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(super) said: Vec<Message>,
    /// What did not fit, if anything did not.
    pub(super) lost: Option<Lost>,
}

/// What did not fit.
#[derive(Debug)]
pub(super) struct Lost {
    /// The last of it that has a place in an archive.
    pub(super) last: Option<ArchiveId>,
    /// Some of it has none.
    pub(super) unplaced: bool,
}

impl Early {
    pub(super) fn hear(&mut self, message: Message, limits: &Limits) {
        let fits = self.lost.is_none()
            && self.said.len() < limits.held_messages
            && self.held() < limits.held_bytes;
        if fits {
            self.said.push(message);
            return;
        }
        let lost = self.lost.get_or_insert(Lost {
            last: None,
            unplaced: false,
        });
        lost.unplaced |= message.id.is_none();
        lost.last = message.id.or(lost.last.take());
    }

    /// Its ids are not those of an archive.
    pub(super) fn displace(&mut self) {
        for message in &mut self.said {
            message.id = None;
        }
        if let Some(lost) = &mut self.lost {
            lost.last = None;
            lost.unplaced = true;
        }
    }

    /// The last place that was heard of.
    pub(super) fn newest(&self) -> Option<&ArchiveId> {
        let lost = self.lost.as_ref().and_then(|lost| lost.last.as_ref());
        lost.or_else(|| self.said.iter().rev().find_map(|said| said.id.as_ref()))
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> usize {
        let said = self.said.iter().map(Message::weight);
        said.fold(0, usize::saturating_add)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
