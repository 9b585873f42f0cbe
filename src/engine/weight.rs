//! How much memory an engine holds, as far as peers can make it hold any.
//!
//! The parts know their own weight; this adds up what [`Limits::worst_case_bytes`]
//! bounds, by the same account: buffers by what is reserved, collections by their items.
//! What the host brought is not counted: the configuration, and posts that it queued.
//!
//! [`Limits::worst_case_bytes`]: crate::Limits::worst_case_bytes

use super::machine::Machine;

/// About what a small entry of an ordered collection takes beside its text.
const ENTRY: usize = 64;

impl Machine {
    pub(super) fn held(&self) -> usize {
        let rooms = self.rooms.values().map(|entry| {
            let logs = entry.logs.values().map(crate::room::Log::held);
            logs.fold(entry.room.held(), usize::saturating_add)
        });
        let partings = self.partings.iter();
        let partings =
            partings.map(|(room, parting)| room.len().saturating_add(parting.nick.len()));
        let small = [
            self.by_address.len(),
            self.partings.len(),
            self.subscriptions.len(),
            self.discos.len(),
        ];
        let small = small.into_iter().fold(0, usize::saturating_add);
        [
            self.core.out.held(),
            self.core.events.bytes(),
            self.core.timers.held(),
            self.core.requests.held(),
            small.saturating_mul(ENTRY),
        ]
        .into_iter()
        .chain(rooms)
        .chain(partings)
        .chain(self.fetches.values().map(super::fetching::Fetching::held))
        .chain(
            self.resolving
                .values()
                .map(super::resolving::Resolving::held),
        )
        .fold(0, usize::saturating_add)
    }
}
