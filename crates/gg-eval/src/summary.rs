//! Scores of many masks as one table row: each measure's mean with its interval over patients, and how many cases it
//! had no value for.

use crate::bootstrap::{Interval, bootstrap_by_group, bootstrap_mean_by_group};
use crate::seg::{MaskState, SegCounts, SegScores};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Over patients, of each one's mean over his cases.
    pub dice_over_patients: Interval,
    /// Of the voxels of all cases together; a large volume weighs more.
    pub pooled_dice: Interval,
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
    let mut by_patient: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    cases.iter().for_each(|(p, s)| by_patient.entry(p).or_default().push(s.dice));
    let means: Vec<(&str, f64)> =
        by_patient.into_iter().filter_map(|(p, dice)| Some((p, mean_known(dice)?))).collect();
    let patients: Vec<&str> = cases.iter().map(|(p, _)| *p).collect();
    let pooled = |rows: &[usize]| {
        rows.iter().fold(SegCounts::default(), |sum, &i| sum.plus(&cases[i].1.counts)).dice()
    };
    SegSummary {
        dice_over_patients: bootstrap_mean_by_group(&means, seed, n),
        pooled_dice: bootstrap_by_group(&patients, seed, n, pooled),
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

/// The middle value; the mean of the middle two where their number is even, `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| f64::midpoint(values[(n - 1) / 2], values[n / 2]))
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
    fn pooled_and_per_patient_dice_weigh_cases_differently() {
        let row =
            |on: usize| Volume::from_vec([1, 1, 8], (0..8).map(|i| u8::from(i < on)).collect()).unwrap();
        // Dice 1 on 2 voxels, 0.5 on 6 and 2, 0.8 on 6 and 4.
        let score = |a: usize, b: usize| seg_scores(&row(a), &row(b), None);
        let cases = [("p1", score(2, 2)), ("p1", score(6, 2)), ("p2", score(6, 4))];
        let s = summarize(&cases, 1, 100);
        let close = |i: &Interval, right: f64| assert!((i.mean.unwrap() - right).abs() < 1e-12, "{i:?}");
        close(&s.dice, (1.0 + 0.5 + 0.8) / 3.0);
        close(&s.dice_over_patients, (0.75 + 0.8) / 2.0);
        close(&s.pooled_dice, 2.0 * 8.0 / (4.0 + 8.0 + 10.0));
        assert_eq!((s.dice_over_patients.n_values, s.pooled_dice.n_groups), (2, 2));
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
