//! Means of a slice's probabilities with those of the slices near it, in one pass over the slices.
//!
//! A network that sees one slice at a time is unsure in each of them anew, while disease goes on from slice to slice.
//!
//! # Memory
//! The slices from one reach below to one reach above, and no more, whatever the volume.

use rayon::prelude::*;
use std::collections::VecDeque;

/// What one thread does of a slice, at least.
pub(super) const PIXELS_AT_ONCE: usize = 1 << 14;

/// The slices that a mean still needs, in the order of their z.
pub(super) struct Near {
    reach: usize,
    slices: VecDeque<(usize, Vec<f32>)>,
    /// How many of them had their turn.
    done: usize,
}

impl Near {
    /// Means over `reach` slices to each side, with weights that fall in a straight line.
    pub(super) fn new(reach: usize) -> Self {
        Self { reach, slices: VecDeque::new(), done: 0 }
    }

    /// Whether each mean would be the slice itself.
    pub(super) fn is_none(&self) -> bool {
        self.reach == 0
    }

    /// Takes in the next slice, of a higher z than all before, and gives the means that no later slice can change.
    pub(super) fn put(&mut self, z: usize, pixels: Vec<f32>, take: &mut impl FnMut(usize, &[f32])) {
        self.slices.push_back((z, pixels));
        self.give(Some(z), take);
    }

    /// Gives the means of the last slices.
    pub(super) fn finish(mut self, take: &mut impl FnMut(usize, &[f32])) {
        self.give(None, take);
    }

    /// Gives the means that are whole, where `last` came last, or all.
    fn give(&mut self, last: Option<usize>, take: &mut impl FnMut(usize, &[f32])) {
        let reach = self.reach;
        let whole = |z: usize| last.is_none_or(|last| z + reach <= last);
        while let Some(z) = self.slices.get(self.done).map(|(z, _)| *z).filter(|&z| whole(z)) {
            take(z, &self.mean(z));
            self.done += 1;
            while self.slices.front().is_some_and(|(below, _)| below + reach <= z) {
                self.slices.pop_front();
                self.done -= 1;
            }
        }
    }

    /// The mean around z; slices that are not there have no say.
    fn mean(&self, z: usize) -> Vec<f32> {
        let weight = |other: usize| (self.reach + 1).saturating_sub(z.abs_diff(other)) as f32;
        let with: Vec<(f32, &[f32])> = self
            .slices
            .iter()
            .map(|(other, pixels)| (weight(*other), pixels.as_slice()))
            .filter(|(weight, _)| *weight > 0.0)
            .collect();
        let total: f32 = with.iter().map(|(weight, _)| weight).sum();
        let mut mean = vec![0.0; with.first().map_or(0, |(_, pixels)| pixels.len())];
        mean.par_chunks_mut(PIXELS_AT_ONCE).enumerate().for_each(|(i, some)| {
            let from = i * PIXELS_AT_ONCE;
            for (weight, pixels) in &with {
                let share = weight / total;
                some.iter_mut().zip(&pixels[from..]).for_each(|(m, p)| *m += share * p);
            }
        });
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIXELS: usize = 3;

    /// What each slice says in each of its pixels.
    fn pixels(z: usize) -> Vec<f32> {
        (0..PIXELS).map(|i| ((z * 7 + i * 5) % 11) as f32 / 10.0).collect()
    }

    /// The same by its definition, with all slices in memory.
    fn slow(zs: &[usize], reach: usize) -> Vec<(usize, Vec<f32>)> {
        let mean = |z: usize, i: usize| {
            let near = zs.iter().filter(|o| o.abs_diff(z) <= reach);
            let weighed = near.map(|&o| ((reach + 1 - o.abs_diff(z)) as f32, pixels(o)[i]));
            let (sum, weights) = weighed.fold((0.0, 0.0), |(s, w), (weight, p)| (s + weight * p, w + weight));
            sum / weights
        };
        zs.iter().map(|&z| (z, (0..PIXELS).map(|i| mean(z, i)).collect())).collect()
    }

    #[test]
    fn means_are_those_of_all_slices_in_memory_and_few_slices_are_kept() {
        let runs: [&[usize]; 5] =
            [&[4], &[0, 1], &[0, 1, 2, 3, 4, 5, 6, 7], &[2, 3, 9, 10, 11, 12, 40, 42], &[]];
        for (zs, reach) in runs.iter().flat_map(|zs| (0..5).map(move |reach| (*zs, reach))) {
            let mut given = Vec::new();
            let mut near = Near::new(reach);
            let mut take = |z: usize, mean: &[f32]| given.push((z, mean.to_vec()));
            for &z in zs {
                near.put(z, pixels(z), &mut take);
                assert!(near.slices.len() <= 2 * reach + 1, "{} slices of reach {reach}", near.slices.len());
            }
            near.finish(&mut take);
            let expected = slow(zs, reach);
            assert_eq!(given.len(), expected.len());
            for ((z, mean), (right, slow)) in given.iter().zip(&expected) {
                assert_eq!(z, right);
                let off = mean.iter().zip(slow).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-6, "{zs:?}, reach {reach}, slice {z}: {mean:?} for {slow:?}");
            }
        }
    }
}
