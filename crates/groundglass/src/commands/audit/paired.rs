//! What a leak does to a score: two networks on the same slices, and the difference with its interval over patients.
//!
//! Both scores are of the same patients, who may be easy or hard: in their difference that cancels. It is resampled as a
//! whole, patient by patient, so that the interval is that of a paired comparison.

use gg_eval::{Interval, SegCounts, bootstrap_by_group, mean_known, roc_curve};
use serde::Serialize;
use std::collections::BTreeSet;

/// Seed of the bootstrap; fixed, so that the same predictions give the same interval.
const BOOTSTRAP_SEED: u64 = 20_230_407;

const NO_SLICE: &str = "no slice with a truth is in the test of both splits";
const NOTHING_TO_FIND: &str = "the truth shows nothing on the slices that both splits test";
const ONE_CLASS: &str = "the slices that both splits test are of one class alone, or of none that is known";

/// The slices of one case that both splits test, as both networks see them: first that of the split by slice.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    pub(super) patient: String,
    /// Slices of which the truth is known.
    pub(super) slices: usize,
    /// Voxels of both masks against the truth, of all these slices together.
    pub(super) voxels: [SegCounts; 2],
    /// Of each slice: what both classifiers say, and whether it shows infection.
    pub(super) classified: Vec<([f32; 2], bool)>,
}

/// Both networks on the same slices.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Paired {
    pub(super) slices: usize,
    pub(super) patients: usize,
    /// Cases of which the truth shows nothing on their slices: they have no Dice and are left out.
    pub(super) empty_cases: usize,
    /// Of the network that the split by slice trained, which knows other slices of these patients.
    pub(super) slice_split: f64,
    /// Of the network that the split by patient trained, which knows none.
    pub(super) patient_split: f64,
    /// The former less the latter.
    pub(super) optimism: Interval,
}

/// Mean Dice over cases, each of its common slices together; or why there is none.
pub(super) fn dice(cases: &[Common], resamples: usize) -> Result<Paired, &'static str> {
    let tested = cases.iter().filter(|c| c.slices > 0);
    let (shown, empty): (Vec<&Common>, Vec<&Common>) =
        tested.partition(|c| c.voxels[0].tp + c.voxels[0].fn_ > 0);
    let nothing = if empty.is_empty() { NO_SLICE } else { NOTHING_TO_FIND };
    let patients: Vec<&str> = shown.iter().map(|c| c.patient.as_str()).collect();
    let score =
        |network: usize, rows: &[usize]| mean_known(rows.iter().map(|&i| shown[i].voxels[network].dice()));
    let paired = paired(&patients, resamples, score).ok_or(nothing)?;
    let slices = shown.iter().map(|c| c.slices).sum();
    Ok(Paired { slices, empty_cases: empty.len(), ..paired })
}

/// AUROC over the common slices; or why there is none.
pub(super) fn auroc(cases: &[Common], resamples: usize) -> Result<Paired, &'static str> {
    let rows: Vec<(&str, [f32; 2], bool)> = cases
        .iter()
        .flat_map(|c| c.classified.iter().map(|&(says, infected)| (c.patient.as_str(), says, infected)))
        .collect();
    let nothing = if rows.is_empty() { NO_SLICE } else { ONE_CLASS };
    let patients: Vec<&str> = rows.iter().map(|r| r.0).collect();
    let score = |network: usize, drawn: &[usize]| {
        let says: Vec<f32> = drawn.iter().map(|&i| rows[i].1[network]).collect();
        let infected: Vec<bool> = drawn.iter().map(|&i| rows[i].2).collect();
        roc_curve(&says, &infected).auroc
    };
    let paired = paired(&patients, resamples, score).ok_or(nothing)?;
    let with = |kind: bool| rows.iter().filter(|r| r.2 == kind).map(|r| r.0).collect::<BTreeSet<_>>().len();
    Ok(Paired { optimism: paired.optimism.decided_by(with(true).min(with(false))), ..paired })
}

/// Both scores of all rows, a patient each, and their difference; `None` where there is no score.
fn paired(
    patients: &[&str],
    resamples: usize,
    score: impl Fn(usize, &[usize]) -> Option<f64>,
) -> Option<Paired> {
    let all: Vec<usize> = (0..patients.len()).collect();
    let difference = |rows: &[usize]| Some(score(0, rows)? - score(1, rows)?);
    let optimism = bootstrap_by_group(patients, BOOTSTRAP_SEED, resamples, difference);
    Some(Paired {
        slices: patients.len(),
        patients: optimism.n_groups,
        empty_cases: 0,
        slice_split: score(0, &all)?,
        patient_split: score(1, &all)?,
        optimism,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask with this Dice, of a truth of 100 voxels and as many called.
    fn mask(dice: f64) -> SegCounts {
        let tp = (100.0 * dice).round() as u64;
        SegCounts { tp, fp: 100 - tp, fn_: 100 - tp, tn: 0 }
    }

    fn case(patient: usize, dice: [f64; 2]) -> Common {
        Common { patient: format!("p{patient}"), slices: 4, voxels: dice.map(mask), ..Common::default() }
    }

    fn slices(patient: &str, of: &[([f32; 2], bool)]) -> Common {
        Common { patient: patient.to_owned(), slices: of.len(), classified: of.to_vec(), ..Common::default() }
    }

    #[test]
    fn hard_patients_are_no_optimism() {
        // Fold 0 has two patients who are hard for any network; the split by slice reports the mean of all ten.
        let all = |i: usize| if i < 2 { 0.55 } else { 0.85 };
        let reported = (0..10).map(all).sum::<f64>() / 10.0 - 0.55;
        assert!(reported > 0.2);
        let tested: Vec<Common> = (0..2).map(|i| case(i, [all(i); 2])).collect();
        let found = dice(&tested, 200).unwrap();
        assert_eq!((found.slices, found.patients, found.empty_cases), (8, 2, 0));
        assert_eq!((found.slice_split, found.patient_split), (0.55, 0.55));
        let o = found.optimism;
        assert_eq!((o.mean, o.low, o.high, o.few_groups), (Some(0.0), Some(0.0), Some(0.0), true));
    }

    #[test]
    fn the_difference_is_paired_so_that_its_interval_knows_no_spread_of_patients() {
        let tested: Vec<Common> =
            (0..12).map(|i| 0.3 + 0.05 * i as f64).enumerate().map(|(i, d)| case(i, [d + 0.1, d])).collect();
        let found = dice(&tested, 500).unwrap();
        let o = found.optimism;
        assert!([o.mean, o.low, o.high].iter().all(|v| (v.unwrap() - 0.1).abs() < 1e-9), "{o:?}");
        assert!(!o.few_groups);
    }

    #[test]
    fn a_case_with_nothing_to_find_is_left_out_for_both() {
        let empty = |fp: u64| SegCounts { fp, tn: 100, ..SegCounts::default() };
        let healthy = Common { voxels: [empty(0), empty(9)], ..case(3, [0.0; 2]) };
        let found = dice(&[case(0, [0.8, 0.6]), healthy.clone(), Common::default()], 100).unwrap();
        assert_eq!((found.slices, found.patients, found.empty_cases), (4, 1, 1));
        assert!((found.optimism.mean.unwrap() - 0.2).abs() < 1e-9);
        assert_eq!((found.optimism.low, found.optimism.few_groups), (None, true));
        assert_eq!(dice(&[healthy], 100), Err(NOTHING_TO_FIND));
        assert_eq!(dice(&[Common::default()], 100), Err(NO_SLICE));
    }

    #[test]
    fn classifiers_are_compared_by_their_auroc_on_the_same_slices() {
        let (yes, no) = (true, false);
        let tested = [
            slices("a", &[([0.9, 0.4], yes), ([0.1, 0.3], no)]),
            slices("b", &[([0.8, 0.2], yes), ([0.2, 0.1], no)]),
        ];
        let found = auroc(&tested, 100).unwrap();
        assert_eq!((found.slices, found.patients), (4, 2));
        assert_eq!((found.slice_split, found.patient_split), (1.0, 0.75));
        assert_eq!(found.optimism.mean, Some(0.25));
        assert!(found.optimism.low <= found.optimism.mean && found.optimism.few_groups);
    }

    #[test]
    fn one_class_or_one_patient_of_it_is_told() {
        let one = slices("a", &[([0.9, 0.4], true)]);
        assert_eq!(auroc(std::slice::from_ref(&one), 100), Err(ONE_CLASS));
        assert_eq!(auroc(&[], 100), Err(NO_SLICE));
        let others = slices("b", &[([0.1, 0.5], false), ([0.2, 0.3], false)]);
        let found = auroc(&[one, others], 100).unwrap();
        assert_eq!((found.patients, found.optimism.low), (2, None));
    }
}
