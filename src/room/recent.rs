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

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.set.clear();
    }

    /// Forgets the last so many.
    pub(crate) fn forget_last(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(last) = self.order.pop_back() {
                self.set.remove(&last);
            }
        }
    }

    /// Forgets `value`, and all that was remembered before it.
    pub(crate) fn forget_through(&mut self, value: &T) {
        while self.set.contains(value)
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether the next that is remembered makes it forget one.
    pub(crate) fn is_full(&self) -> bool {
        self.order.len() >= self.capacity
    }

    /// How many bytes it holds; `text` says how many of them are a value's own.
    pub(crate) fn held(&self, text: impl Fn(&T) -> usize) -> usize {
        let each = |value| text(value).saturating_add(size_of::<T>().saturating_mul(2));
        self.order.iter().map(each).fold(0, usize::saturating_add)
    }

    /// What is forgotten next.
    pub(crate) fn oldest(&self) -> Option<&T> {
        self.order.front()
    }

    /// One that as many were remembered before as after.
    pub(crate) fn middle(&self) -> Option<&T> {
        self.order.get(self.order.len() / 2)
    }

    /// What was remembered right before `value`, which is a late one if any.
    pub(crate) fn before(&self, value: &T) -> Option<&T> {
        if !self.set.contains(value) {
            return None;
        }
        let at = self.order.iter().rposition(|known| known == value)?;
        self.order.get(at.checked_sub(1)?)
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
        assert_eq!((recent.before(&3), recent.before(&2)), (Some(&2), None));
        assert_eq!(recent.before(&1), None);
    }

    #[test]
    fn it_can_be_made_to_forget_from_both_ends() {
        let mut recent = Recent::new(4);
        for value in 1..=4 {
            assert!(!recent.is_full());
            recent.insert(value);
        }
        assert!(recent.is_full());
        recent.forget_last(1);
        recent.forget_through(&9);
        assert_eq!((recent.len(), recent.contains(&4)), (3, false));
        recent.forget_through(&2);
        assert_eq!((recent.len(), recent.oldest()), (1, Some(&3)));
        recent.forget_last(2);
        assert!(recent.insert(3) && recent.insert(4));
    }

    #[test]
    fn it_holds_its_values_and_what_they_hold() {
        let mut recent = Recent::new(2);
        assert_eq!((recent.held(|_| 100), recent.oldest()), (0, None));
        for value in [1_u64, 2, 3] {
            recent.insert(value);
        }
        assert_eq!(recent.oldest(), Some(&2));
        // Each is there twice: by its time, and to be found.
        assert_eq!(
            recent.held(|value| 100 * usize::try_from(*value).unwrap()),
            500 + 2 * 16
        );
    }
}
