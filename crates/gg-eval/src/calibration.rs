//! Whether probabilities mean what they say: of the cases given 70 %, are 70 % positive?
//!
//! Bins of equal width; a value on a border belongs to the bin below it (scikit-learn's `calibration_curve`, strategy
//! `uniform`). ECE is the mean gap between observed and predicted share over bins, weighted by their cases; Brier is
//! the mean squared difference. Golden: `eval/classify`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One bin that holds at least one case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lower and upper border.
    pub range: [f64; 2],
    /// Cases in it.
    pub count: u64,
    /// Mean of their probabilities.
    pub predicted: f64,
    /// Share of them that is positive.
    pub observed: f64,
}

/// The reliability of a classifier's probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Bins that are not empty, from low to high.
    pub bins: Vec<CalibrationBin>,
    /// Expected calibration error; `None` without cases.
    pub ece: Option<f64>,
    /// Brier score; `None` without cases.
    pub brier: Option<f64>,
}

/// Sorts probabilities (0 to 1) into `bins` bins and compares them with the truth.
pub fn calibration(probabilities: &[f32], labels: &[bool], bins: usize) -> Calibration {
    let n_bins = bins.max(1);
    let border = |i: usize| i as f64 / n_bins as f64;
    let mut sums = vec![(0u64, 0u64, 0.0f64); n_bins];
    let mut squares = 0.0;
    for (&p, &label) in probabilities.iter().zip(labels) {
        let p = f64::from(p);
        // the number of inner borders below p
        let bin = (1..n_bins).take_while(|&i| border(i) < p).count();
        sums[bin].0 += 1;
        sums[bin].1 += u64::from(label);
        sums[bin].2 += p;
        squares += (p - f64::from(u8::from(label))).powi(2);
    }
    let filled = |(i, &(count, positives, sum)): (usize, &(u64, u64, f64))| {
        (count > 0).then(|| CalibrationBin {
            range: [border(i), border(i + 1)],
            count,
            predicted: sum / count as f64,
            observed: positives as f64 / count as f64,
        })
    };
    let bins: Vec<CalibrationBin> = sums.iter().enumerate().filter_map(filled).collect();
    let n: u64 = bins.iter().map(|b| b.count).sum();
    Calibration::of_bins(bins, (n > 0).then(|| squares / n as f64))
}

impl Calibration {
    /// From bins that are not empty, and the Brier score of the same cases.
    pub(crate) fn of_bins(bins: Vec<CalibrationBin>, brier: Option<f64>) -> Self {
        let n: u64 = bins.iter().map(|b| b.count).sum();
        let gap: f64 = bins.iter().map(|b| b.count as f64 * (b.observed - b.predicted).abs()).sum();
        Self { bins, ece: (n > 0).then(|| gap / n as f64), brier }
    }

    /// The reliability of all cases together, from that of their parts in equal bins.
    pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sums: BTreeMap<u64, ([f64; 2], u64, f64, f64)> = BTreeMap::new();
        let (mut squares, mut all) = (0.0, 0);
        for part in parts {
            let mut cases = 0;
            for bin in &part.bins {
                // Borders are at least 0: their bits have their order.
                let sum = sums.entry(bin.range[0].to_bits()).or_insert((bin.range, 0, 0.0, 0.0));
                let count = bin.count as f64;
                *sum =
                    (sum.0, sum.1 + bin.count, sum.2 + count * bin.predicted, sum.3 + count * bin.observed);
                cases += bin.count;
            }
            squares += part.brier.unwrap_or(0.0) * cases as f64;
            all += cases;
        }
        let bins = sums.into_values().map(|(range, count, predicted, observed)| CalibrationBin {
            range,
            count,
            predicted: predicted / count as f64,
            observed: observed / count as f64,
        });
        Self::of_bins(bins.collect(), (all > 0).then(|| squares / all as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_and_right_classifier_has_no_error() {
        let c = calibration(&[0.0, 1.0, 1.0], &[false, true, true], 10);
        assert_eq!((c.ece, c.brier, c.bins.len()), (Some(0.0), Some(0.0), 2));
    }

    #[test]
    fn parts_together_are_the_whole() {
        let p = [0.1f32, 0.15, 0.35, 0.6, 0.62, 0.95, 0.97];
        let labels = [false, true, false, true, false, true, true];
        let whole = calibration(&p, &labels, 5);
        let parts = [calibration(&p[..3], &labels[..3], 5), calibration(&p[3..], &labels[3..], 5)];
        let merged = Calibration::merged(&parts);
        assert_eq!(merged.bins.len(), whole.bins.len());
        for (m, w) in merged.bins.iter().zip(&whole.bins) {
            assert_eq!((m.range, m.count), (w.range, w.count));
            assert!((m.predicted - w.predicted).abs() < 1e-9 && (m.observed - w.observed).abs() < 1e-9);
        }
        assert!((merged.ece.unwrap() - whole.ece.unwrap()).abs() < 1e-9);
        assert!((merged.brier.unwrap() - whole.brier.unwrap()).abs() < 1e-9);
        assert_eq!(Calibration::merged([]), calibration(&[], &[], 5));
    }

    #[test]
    fn the_error_is_the_gap_weighted_by_cases() {
        let c = calibration(&[0.25, 0.25, 0.25, 0.75], &[true, false, false, true], 2);
        let expected = 0.75 * (1.0 / 3.0 - 0.25) + 0.25 * 0.25;
        assert!((c.ece.unwrap() - expected).abs() < 1e-9);
        assert_eq!(calibration(&[], &[], 10).ece, None);
    }
}
