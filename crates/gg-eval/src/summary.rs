//! Scores of many masks as one table row: each measure's mean with its interval over patients, and how many cases it
//! had no value for.

use crate::bootstrap::{Interval, bootstrap_mean_by_group};
use crate::seg::{MaskState, SegScores};
use serde::{Deserialize, Serialize};

/// Means over cases, intervals over patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegSummary {
    /// Cases scored.
    pub cases: usize,
    /// Cases with nothing to find and nothing found: no Dice; not in the means.
    pub both_empty: usize,
    /// Cases in which one mask is empty: Dice 0, no distances.
    pub one_empty: usize,
    /// Cases without a prediction, where others have one: Dice 0, no distances.
    pub missing_predictions: usize,
    /// Over cases that have one.
    pub dice: Interval,
    /// Over cases that have one.
    pub iou: Interval,
    /// Over cases that have one.
    pub sensitivity: Interval,
    /// Over cases that have one.
    pub specificity: Interval,
    /// Over cases that have one.
    pub precision: Interval,
    /// Over cases with trusted spacing and two masks.
    pub hd95_mm: Interval,
    /// Over cases without trusted spacing.
    pub hd95_vox: Interval,
    /// Over cases with trusted spacing and two masks.
    pub nsd_2mm: Interval,
    /// Over cases without trusted spacing.
    pub nsd_vox: Interval,
}

/// Sums up `(patient, scores)` of cases with `n` resamples.
pub fn summarize(cases: &[(&str, SegScores)], seed: u64, n: usize) -> SegSummary {
    let count = |state: MaskState| cases.iter().filter(|(_, s)| s.state == state).count();
    let over = |pick: fn(&SegScores) -> Option<f64>| {
        let values: Vec<(&str, f64)> = cases.iter().filter_map(|(p, s)| Some((*p, pick(s)?))).collect();
        bootstrap_mean_by_group(&values, seed, n)
    };
    SegSummary {
        cases: cases.len(),
        both_empty: count(MaskState::BothEmpty),
        one_empty: count(MaskState::OneEmpty),
        missing_predictions: count(MaskState::Missing),
        dice: over(|s| s.dice),
        iou: over(|s| s.iou),
        sensitivity: over(|s| s.sensitivity),
        specificity: over(|s| s.specificity),
        precision: over(|s| s.precision),
        hd95_mm: over(|s| s.hd95_mm),
        hd95_vox: over(|s| s.hd95_vox),
        nsd_2mm: over(|s| s.nsd_2mm),
        nsd_vox: over(|s| s.nsd_vox),
    }
}

/// The mean of what is known; `None` of nothing.
pub fn mean_known(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{missing_scores, seg_scores};
    use gg_volume::Volume;

    #[test]
    fn empty_pairs_are_counted_and_left_out_of_the_mean() {
        let none = Volume::filled([2, 3, 3], 0u8);
        let some = Volume::filled([2, 3, 3], 1u8);
        let score = |a, b| seg_scores(a, b, Some([1.0; 3]));
        let cases = [("p1", score(&some, &some)), ("p2", score(&none, &none)), ("p2", score(&some, &none))];
        let s = summarize(&cases, 1, 100);
        assert_eq!((s.cases, s.both_empty, s.one_empty), (3, 1, 1));
        assert_eq!((s.dice.mean, s.dice.n_values), (Some(0.5), 2));
        assert_eq!((s.hd95_mm.mean, s.hd95_mm.n_values, s.hd95_vox.mean), (Some(0.0), 1, None));
    }

    #[test]
    fn missing_predictions_are_counted_and_pull_the_mean_down() {
        let some = Volume::filled([2, 3, 3], 1u8);
        let s = summarize(&[("p1", seg_scores(&some, &some, None)), ("p2", missing_scores(&some))], 1, 100);
        assert_eq!((s.cases, s.missing_predictions, s.one_empty), (2, 1, 0));
        assert_eq!((s.dice.mean, s.hd95_vox.mean, s.hd95_vox.n_values), (Some(0.5), Some(0.0), 1));
    }

    #[test]
    fn a_mean_is_that_of_what_is_known() {
        assert_eq!(mean_known([Some(1.0), None, Some(3.0)]), Some(2.0));
        assert_eq!(mean_known([None, None]), None);
    }
}
