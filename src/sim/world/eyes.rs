//! Those who watch a world, and what they are shown.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::hash::Hash;
use crate::Instant;
use crate::sim::happening::{Happening, Watch};

/// All watchers, and the hash of all they see.
pub(super) struct Eyes {
    pub(super) now: Instant,
    watchers: Vec<Box<dyn Watch>>,
    hash: Hash,
}

impl Eyes {
    pub(super) const fn new() -> Self {
        Self {
            now: Instant::ZERO,
            watchers: Vec::new(),
            hash: Hash::new(),
        }
    }

    pub(super) fn add(&mut self, watcher: Box<dyn Watch>) {
        self.watchers.push(watcher);
    }

    pub(super) fn show(&mut self, happening: &Happening<'_>) {
        if !matches!(happening, Happening::Held { .. }) {
            self.hash.see(self.now, happening);
        }
        for watcher in &mut self.watchers {
            watcher.see(self.now, happening);
        }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash.value()
    }
}

/// A watcher that its owner looks at again afterwards.
impl<W: Watch> Watch for Rc<RefCell<W>> {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        if let Ok(mut watcher) = self.try_borrow_mut() {
            watcher.see(at, happening);
        }
    }
}
