//! What a subscription delivered, by its places in the truth, and in what order.

use alloc::vec::Vec;

#[derive(Debug, Default)]
pub(super) struct Delivered {
    places: Bits,
    order: Vec<usize>,
}

impl Delivered {
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.has(place)
    }

    pub(super) fn insert(&mut self, place: usize) {
        self.places.insert(place);
        self.order.push(place);
    }

    /// All but what was delivered last may be delivered again.
    pub(super) fn forget_all_but(&mut self, last: usize) {
        let from = self.order.len().saturating_sub(last);
        for place in self.order.drain(..from) {
            self.places.remove(place);
        }
    }
}

/// A set of small numbers.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn has(&self, bit: usize) -> bool {
        self.0
            .get(bit / 64)
            .is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    pub(super) fn insert(&mut self, bit: usize) {
        let word = bit / 64;
        if self.0.len() <= word {
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (bit % 64);
        }
    }

    fn remove(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / 64) {
            *word &= !(1 << (bit % 64));
        }
    }
}
