//! What befalls the demo, drawn from its seed.

use core::time::Duration;

/// A small generator (SplitMix64), for a plan that a seed brings back.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// A stream of draws of its own for each use of a seed.
    pub(super) const fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to below `high`.
    pub(super) const fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = high.saturating_sub(low);
        if width == 0 {
            return low;
        }
        low.saturating_add(self.next() % width)
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// Every connection is reset.
    Cut,
    /// The server is killed, and started again after that long. Sessions are lost,
    /// archives are kept.
    Crash(Duration),
}

/// All that happens: each when so many posts have their outcome, in order.
pub(super) fn blows(seed: u64, posts: usize) -> Vec<(usize, Blow)> {
    let mut dice = Dice::new(seed, 1);
    let mut down = || Blow::Crash(Duration::from_millis(dice.between(200, 600)));
    let mut blows = [Blow::Cut, Blow::Cut, Blow::Cut, Blow::Cut, down(), down()];
    for last in (1..blows.len()).rev() {
        let other = dice.between(0, last as u64 + 1) as usize;
        blows.swap(last, other);
    }
    let part = posts / (blows.len() + 1);
    let places = (1..).map(|n| {
        // Up to a quarter of the way to the next.
        let off = dice.between(0, (part / 4) as u64 + 1) as usize;
        (n * part + off).max(1)
    });
    places.zip(blows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_its_plan_back_and_another_brings_another() {
        assert_eq!(blows(7, 400), blows(7, 400));
        assert_ne!(blows(7, 400), blows(8, 400));
    }

    #[test]
    fn all_of_it_happens_while_they_work() {
        for seed in 0..200 {
            for posts in [2, 7, 20, 400, 20_000] {
                let blows = blows(seed, posts);
                assert_eq!(blows.len(), 6);
                assert!(blows.is_sorted_by_key(|(at, _)| *at), "{blows:?}");
                assert!(blows.iter().all(|(at, _)| (1..=posts).contains(at)));
                let crashes = blows.iter().filter(|(_, blow)| *blow != Blow::Cut);
                assert_eq!(crashes.count(), 2);
            }
        }
    }
}
