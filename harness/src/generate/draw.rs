//! Drawing from a generator: the same on every platform.

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

/// The generator of the *n*-th plan of a seed. Platforms agree on it.
pub fn random_for(seed: u64, plan: u64) -> Xoshiro256PlusPlus {
    // The golden ratio's bits spread neighbouring plans over the seeds.
    Xoshiro256PlusPlus::seed_from_u64(seed ^ plan.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(super) struct Draw<'a, R> {
    pub(super) random: &'a mut R,
}

impl<R: Rng> Draw<'_, R> {
    /// A number below `bound`, which is small: the bias of the multiplication is below 2⁻²⁴.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.random.next_u32()) * u64::from(bound);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    pub(super) fn below_len(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    pub(super) fn one<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below_len(all.len())]
    }

    /// One of these, each as often as it weighs; none if they weigh nothing.
    pub(super) fn weighted<T>(
        &mut self,
        all: impl Iterator<Item = T> + Clone,
        weight: impl Fn(&T) -> u32,
    ) -> Option<T> {
        let mut place = self.below(all.clone().map(|one| weight(&one)).sum());
        let mut all = all;
        all.find(|one| {
            let is_here = place < weight(one);
            place = place.saturating_sub(weight(one));
            is_here
        })
    }

    pub(super) fn chance(&mut self, sixteenths: u32) -> bool {
        self.below(16) < sixteenths
    }

    /// A length from 2 to `max`, where there is room, by [octaves](Draw::in_octaves): an actor of a single command meets nothing.
    pub(super) fn length(&mut self, max: u8, full: bool) -> u8 {
        if full || max < 4 { max.max(1) } else { self.in_octaves(1, max) }
    }

    /// A number up to `max`, from 2 to the power of `first` on: of what lies between one power of 2 and the next, each is as likely
    /// as the others.
    pub(super) fn in_octaves(&mut self, first: u32, max: u8) -> u8 {
        let max = max.max(1);
        let octaves = max.ilog2().max(first + 1);
        let octave = first + self.below(octaves - first);
        let least = 1 << octave;
        let most = if octave + 1 == octaves { u32::from(max) } else { 2 * least - 1 };
        u8::try_from(least + self.below(most - least + 1)).unwrap_or(max)
    }

    /// A size from 1 to `max`, the larger of two.
    pub(super) fn large_size(&mut self, max: u8, full: bool) -> u8 {
        self.size(max, full).max(self.size(max, full))
    }

    pub(super) fn size(&mut self, max: u8, full: bool) -> u8 {
        let max = max.max(1);
        if full { max } else { u8::try_from(self.below(u32::from(max))).unwrap_or(0) + 1 }
    }
}
