//! Means of a slice's probabilities with those of the slices near it, in one pass over the slices.
//!
//! A network that sees one slice at a time is unsure in each of them anew, while disease goes on from slice to slice.
//!
//! `mean(z) = sum of w(d) p(z + d) / sum of w(d)`, `w(d) = max(0, r + 1 - |d|)` with a reach of `r` slices, whole or
//! not: the triangle by which areas of neighbouring slices are weighed too (`gg_eval::AreaFit`), over the slices that
//! are there (beyond the ends and in gaps there are none). Golden: `eval/near` (SciPy).
//!
//! # Memory
//! The slices from one reach below to one reach above, at most `2 r + 3`, whatever the volume.

use rayon::prelude::*;
use std::collections::VecDeque;

/// What one thread does of a slice, at least.
pub(super) const PIXELS_AT_ONCE: usize = 1 << 14;

/// The slices that a mean still needs, in the order of their z.
pub(super) struct Near {
    reach: f64,
    slices: VecDeque<(usize, Vec<f32>)>,
    /// How many of them had their turn.
    done: usize,
}

impl Near {
    /// Means that reach so many slices to each side, with weights that fall in a straight line.
    pub(super) fn new(reach: f64) -> Self {
        Self { reach, slices: VecDeque::new(), done: 0 }
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

    /// The farthest slice that has a weight.
    fn farthest(&self) -> usize {
        self.reach.ceil() as usize
    }

    /// Gives the means that are whole, where `last` came last, or all.
    fn give(&mut self, last: Option<usize>, take: &mut impl FnMut(usize, &[f32])) {
        let reach = self.farthest();
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
        let weight = |other: usize| (self.reach + 1.0 - z.abs_diff(other) as f64).max(0.0) as f32;
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
    fn slow(zs: &[usize], reach: f64) -> Vec<(usize, Vec<f32>)> {
        let mean = |z: usize, i: usize| {
            let weighed = zs.iter().map(|&o| ((reach + 1.0 - o.abs_diff(z) as f64).max(0.0), pixels(o)[i]));
            let (sum, weights) =
                weighed.fold((0.0, 0.0), |(s, w), (weight, p)| (s + weight * f64::from(p), w + weight));
            (sum / weights) as f32
        };
        zs.iter().map(|&z| (z, (0..PIXELS).map(|i| mean(z, i)).collect())).collect()
    }

    #[test]
    fn means_are_those_of_all_slices_in_memory_and_few_slices_are_kept() {
        let runs: [&[usize]; 5] =
            [&[4], &[0, 1], &[0, 1, 2, 3, 4, 5, 6, 7], &[2, 3, 9, 10, 11, 12, 40, 42], &[]];
        let reaches = [0.0, 0.02, 0.5, 1.0, 1.7, 2.0, 2.1, 4.0];
        for (zs, reach) in runs.iter().flat_map(|zs| reaches.map(|reach| (*zs, reach))) {
            let mut given = Vec::new();
            let mut near = Near::new(reach);
            let mut take = |z: usize, mean: &[f32]| given.push((z, mean.to_vec()));
            for &z in zs {
                near.put(z, pixels(z), &mut take);
                assert!(near.slices.len() as f64 <= 2.0 * reach + 3.0, "{} of {reach}", near.slices.len());
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

    #[test]
    fn means_are_those_of_scipy_where_slices_are_missing() {
        let golden = gg_testkit::Golden::open("eval/near.safetensors");
        let [n, pixels] = golden.shape("p")[..] else { panic!("two axes") };
        let (p, there) = (golden.f32("p"), golden.u8("there"));
        let zs: Vec<usize> = (0..n).filter(|&z| there[z] != 0).collect();
        assert!(zs.len() < n && zs.windows(2).any(|pair| pair[1] - pair[0] > 1));
        for name in ["none", "part", "one", "two_and_a_half", "eight"] {
            let mut near = Near::new(golden.f64(&format!("{name}.reach"))[0]);
            let right = golden.f64(&format!("{name}.mean"));
            let mut given = Vec::new();
            let mut take = |z: usize, mean: &[f32]| given.push((z, mean.to_vec()));
            zs.iter().for_each(|&z| near.put(z, p[z * pixels..(z + 1) * pixels].to_vec(), &mut take));
            near.finish(&mut take);
            assert_eq!(given.iter().map(|(z, _)| *z).collect::<Vec<_>>(), zs, "{name}");
            for (z, mean) in &given {
                let right: Vec<f32> = right[z * pixels..(z + 1) * pixels].iter().map(|&v| v as f32).collect();
                gg_testkit::assert_close(mean, &right, 1e-6, 0.0);
            }
        }
    }
}
