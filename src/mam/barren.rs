//! How much of an archive was read without any use.
//!
//! An archive may hold much that is of no use to who reads it: what was removed above all, and what
//! was given before. It can also make such things up for ever, each under an id of its own. Neither
//! ends by itself, so there is an end to it: who reads counts what is of no use *to the reader*,
//! since a pager cannot know.

use crate::event::RequestError;

/// So many items in a row are read at most.
const ITEMS: u32 = 100_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Barren(u32);

impl Barren {
    /// A page that is shorter than it was asked for counts as so many, so that a thousand of these
    /// are enough. One of full length counts for what is on it: who asks for single items is not
    /// done sooner than who asks for many.
    pub(crate) const PAGE: u32 = 100;

    /// What a page counts that has so many items, of `max` that were asked for.
    pub(super) fn weight(items: usize, max: usize) -> u32 {
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        if items < max {
            items.max(Self::PAGE)
        } else {
            items
        }
    }

    /// A page of that weight was read, which was `of_use` or not.
    ///
    /// # Errors
    /// It is enough; the next page counts anew.
    pub(crate) fn read(&mut self, weight: u32, of_use: bool) -> Result<(), RequestError> {
        self.0 = if of_use {
            0
        } else {
            self.0.saturating_add(weight)
        };
        if self.0 < ITEMS {
            return Ok(());
        }
        self.0 = 0;
        Err(RequestError::Inconsistent(
            "no end of pages, and nothing of use on any of them",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_short_pages_are_enough_and_a_hundred_thousand_items() {
        for (items, max, pages) in [
            (0, 100, 1000),
            (99, 100, 1000),
            (100, 100, 1000),
            (1, 1, ITEMS),
        ] {
            let weight = Barren::weight(items, max);
            let mut barren = Barren::default();
            for _ in 1..pages {
                assert_eq!(barren.read(weight, false), Ok(()));
            }
            assert!(barren.read(weight, false).is_err());
            assert_eq!(barren.read(weight, false), Ok(()), "it counts anew");
        }
    }

    #[test]
    fn a_page_of_use_makes_up_for_all_before_it() {
        let mut barren = Barren::default();
        for _ in 0..10 {
            for _ in 0..999 {
                assert_eq!(barren.read(Barren::PAGE, false), Ok(()));
            }
            assert_eq!(barren.read(Barren::PAGE, true), Ok(()));
        }
    }
}
