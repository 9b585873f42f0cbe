//! A bounded memory of what was seen lately.

use alloc::collections::{BTreeSet, VecDeque};

/// Remembers the last so many values it was told, the oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    order: VecDeque<T>,
    set: BTreeSet<T>,
    capacity: usize,
}

impl<T: Ord + Clone> Recent<T> {
    pub(crate) const fn new(capacity: usize) -> Self {
        Self {
            order: VecDeque::new(),
            set: BTreeSet::new(),
            capacity,
        }
    }

    /// Remembers `value`; says whether it was not remembered before.
    pub(crate) fn insert(&mut self, value: T) -> bool {
        if !self.set.insert(value.clone()) {
            return false;
        }
        self.order.push_back(value);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    /// How many bytes it holds; `text` says how many of them are a value's own.
    pub(crate) fn held(&self, text: impl Fn(&T) -> usize) -> usize {
        let each = |value| text(value).saturating_add(size_of::<T>().saturating_mul(2));
        self.order.iter().map(each).fold(0, usize::saturating_add)
    }

    pub(crate) fn contains<Q>(&self, value: &Q) -> bool
    where
        T: core::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.set.contains(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_first() {
        let mut recent = Recent::new(2);
        assert!(recent.insert(1) && recent.insert(2) && !recent.insert(1) && recent.insert(3));
        assert!(!recent.contains(&1) && recent.contains(&2) && recent.contains(&3));
    }

    #[test]
    fn it_holds_its_values_and_what_they_hold() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.held(|_| 100), 0);
        for value in [1_u64, 2, 3] {
            recent.insert(value);
        }
        // Each is there twice: by its time, and to be found.
        assert_eq!(
            recent.held(|value| 100 * usize::try_from(*value).unwrap()),
            500 + 2 * 16
        );
    }
}
