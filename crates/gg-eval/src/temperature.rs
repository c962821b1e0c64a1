//! Temperature scaling: one number by which a network's logits are divided, so that its probabilities mean what they say.
//!
//! `p = sigmoid(z / T)`, with the `T` that makes the truth likeliest (least negative log-likelihood, NLL). The order of
//! cases stays, and so does every decision at a threshold that is moved along: only the probabilities change. The NLL is
//! convex in `1 / T`; its slope is followed to zero by halving, between bounds that no sound network reaches.
//!
//! Logits are counted in narrow bins, each represented by its middle: whole counts, so that neither the order of cases
//! nor the number of threads matters, and volumes of any size fit.
//!
//! # Source
//! Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

use crate::calibration::{Calibration, CalibrationBin};

/// Lowest temperature: probabilities are sharpened by no more than this.
pub const LOWEST_TEMPERATURE: f64 = 0.5;
/// Highest temperature: what needs more knows nothing.
pub const HIGHEST_TEMPERATURE: f64 = 10.0;
/// Bins per unit of the logit.
const PER_UNIT: f64 = 16.0;
/// Logits beyond this count as this: the probability is within 1e-10 of 0 or 1.
const FURTHEST: f64 = 24.0;
/// Halvings of the range of `1 / T`; more change no bit that is stored.
const HALVINGS: usize = 48;

/// How often each logit was seen, by truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogitCounts {
    /// Negative and positive cases of each bin, from low to high.
    bins: Vec<[u64; 2]>,
}

/// A temperature and what it gains on the data that it was fitted on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemperatureFit {
    /// What logits are to be divided by.
    pub temperature: f64,
    /// Mean negative log-likelihood at temperature 1.
    pub nll_before: f64,
    /// The same at the temperature found.
    pub nll_after: f64,
}

impl Default for LogitCounts {
    fn default() -> Self {
        Self { bins: vec![[0; 2]; (2.0 * FURTHEST * PER_UNIT) as usize + 1] }
    }
}

impl LogitCounts {
    /// Counts one case.
    pub fn add(&mut self, logit: f32, positive: bool) {
        let z = f64::from(logit).clamp(-FURTHEST, FURTHEST);
        // What is no number says nothing: it counts as undecided.
        let z = if z.is_nan() { 0.0 } else { z };
        self.bins[((z + FURTHEST) * PER_UNIT).round() as usize][usize::from(positive)] += 1;
    }

    /// Counts one case of which the probability is known.
    pub fn add_probability(&mut self, p: f32, positive: bool) {
        self.add((p / (1.0 - p)).ln(), positive);
    }

    /// Adds the counts of others.
    pub fn merge(&mut self, others: &Self) {
        for (own, more) in self.bins.iter_mut().zip(&others.bins) {
            *own = [own[0] + more[0], own[1] + more[1]];
        }
    }

    /// The temperature that fits best; `None` where one class is missing, which says nothing about it.
    pub fn fit(&self) -> Option<TemperatureFit> {
        let all = self.bins.iter().fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
        if all.contains(&0) {
            return None;
        }
        let (mut low, mut high) = (1.0 / HIGHEST_TEMPERATURE, 1.0 / LOWEST_TEMPERATURE);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if self.slope(middle) > 0.0 { high = middle } else { low = middle }
        }
        let sharpness = 0.5 * (low + high);
        Some(TemperatureFit {
            temperature: 1.0 / sharpness,
            nll_before: self.nll(1.0),
            nll_after: self.nll(sharpness),
        })
    }

    /// Mean negative log-likelihood of the cases with logits divided by `temperature`; 0 without cases.
    pub fn nll_at(&self, temperature: f64) -> f64 {
        self.nll(1.0 / temperature)
    }

    /// How many cases were counted.
    pub fn cases(&self) -> u64 {
        self.bins.iter().flatten().sum()
    }

    /// Reliability of the probabilities after the logits were multiplied by `sharpness`, in `bins` bins of equal width.
    pub fn reliability(&self, sharpness: f64, bins: usize) -> Calibration {
        let n = bins.max(1);
        let mut sums = vec![([0u64; 2], 0.0f64); n];
        let mut squares = 0.0;
        for (z, [negative, positive]) in self.filled() {
            let p = sigmoid(z * sharpness);
            let sum = &mut sums[((p * n as f64) as usize).min(n - 1)];
            sum.0 = [sum.0[0] + negative, sum.0[1] + positive];
            sum.1 += p * (negative + positive) as f64;
            squares += negative as f64 * p * p + positive as f64 * (1.0 - p) * (1.0 - p);
        }
        let all: u64 = sums.iter().map(|s| s.0[0] + s.0[1]).sum();
        let filled = sums.iter().enumerate().filter(|(_, s)| s.0 != [0; 2]);
        let bins: Vec<CalibrationBin> = filled
            .map(|(i, &([negative, positive], sum))| {
                let count = negative + positive;
                CalibrationBin {
                    range: [i as f64 / n as f64, (i + 1) as f64 / n as f64],
                    count,
                    predicted: sum / count as f64,
                    observed: positive as f64 / count as f64,
                }
            })
            .collect();
        Calibration::of_bins(bins, (all > 0).then(|| squares / all as f64))
    }

    /// Logits that were seen, with their counts.
    fn filled(&self) -> impl Iterator<Item = (f64, [u64; 2])> {
        let middle = |i: usize| i as f64 / PER_UNIT - FURTHEST;
        self.bins.iter().enumerate().filter(|(_, c)| **c != [0; 2]).map(move |(i, c)| (middle(i), *c))
    }

    /// Slope of the NLL (summed over cases) in `1 / T`.
    fn slope(&self, sharpness: f64) -> f64 {
        let of = |(z, [negative, positive]): (f64, [u64; 2])| {
            z * ((negative + positive) as f64 * sigmoid(sharpness * z) - positive as f64)
        };
        self.filled().map(of).sum()
    }

    fn nll(&self, sharpness: f64) -> f64 {
        let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
        let of = |(z, [negative, positive]): (f64, [u64; 2])| {
            let z = sharpness * z;
            negative as f64 * softplus(z) + positive as f64 * softplus(-z)
        };
        let cases: u64 = self.bins.iter().map(|c| c[0] + c[1]).sum();
        self.filled().map(of).sum::<f64>() / cases.max(1) as f64
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases whose truth follows `sigmoid(z / 2)` exactly, in thousands.
    fn overconfident() -> LogitCounts {
        let mut counts = LogitCounts::default();
        for i in -48..=48 {
            let z = f64::from(i) / 8.0;
            let positive = (1000.0 * sigmoid(z / 2.0)).round() as usize;
            (0..1000).for_each(|k| counts.add(z as f32, k < positive));
        }
        counts
    }

    #[test]
    fn the_temperature_that_made_the_truth_is_found_again() {
        let fit = overconfident().fit().unwrap();
        assert!((fit.temperature - 2.0).abs() < 0.01, "{fit:?}");
        assert!(fit.nll_after < fit.nll_before, "{fit:?}");
        // No other temperature is better.
        for sharpness in [0.45, 0.55] {
            assert!(overconfident().nll(sharpness) > fit.nll_after);
        }
    }

    #[test]
    fn calibrated_probabilities_are_reliable_and_uncalibrated_ones_are_not() {
        let counts = overconfident();
        let (before, after) = (counts.reliability(1.0, 10), counts.reliability(0.5, 10));
        assert!(before.ece.unwrap() > 0.05 && after.ece.unwrap() < 0.002, "{before:?} {after:?}");
        assert!(after.brier < before.brier);
    }

    #[test]
    fn reliability_of_counts_is_that_of_the_cases() {
        let cases = [(-3.0f32, false), (-0.5, true), (-0.5, false), (0.25, true), (2.0, true), (4.0, true)];
        let mut counts = LogitCounts::default();
        cases.iter().for_each(|&(z, y)| counts.add(z, y));
        let p: Vec<f32> = cases.iter().map(|c| sigmoid(f64::from(c.0)) as f32).collect();
        let labels: Vec<bool> = cases.iter().map(|c| c.1).collect();
        let (found, right) = (counts.reliability(1.0, 5), crate::calibration(&p, &labels, 5));
        assert_eq!(found.bins.len(), right.bins.len());
        assert!((found.ece.unwrap() - right.ece.unwrap()).abs() < 1e-6);
        assert!((found.brier.unwrap() - right.brier.unwrap()).abs() < 1e-6);
    }

    #[test]
    fn one_class_alone_has_no_temperature_and_a_perfect_order_is_bounded() {
        let mut counts = LogitCounts::default();
        assert_eq!(counts.fit(), None);
        counts.add(1.0, true);
        assert_eq!(counts.fit(), None);
        counts.add(-1.0, false);
        assert!((counts.fit().unwrap().temperature - LOWEST_TEMPERATURE).abs() < 1e-9);
        let mut wrong = LogitCounts::default();
        wrong.add(1.0, false);
        wrong.add(-1.0, true);
        assert!((wrong.fit().unwrap().temperature - HIGHEST_TEMPERATURE).abs() < 1e-6);
    }

    #[test]
    fn counts_add_up_and_odd_numbers_do_no_harm() {
        let mut parts = LogitCounts::default();
        let mut half = LogitCounts::default();
        half.add(f32::NAN, true);
        half.add_probability(1.0, true);
        half.add_probability(0.0, false);
        parts.merge(&half);
        parts.merge(&half);
        let reliability = parts.reliability(1.0, 10);
        assert_eq!(reliability.bins.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 2, 2]);
    }
}
