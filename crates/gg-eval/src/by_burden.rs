//! Segmentation scores told apart by how much there is to find.
//!
//! Where nearly nothing is infected, the Dice of a volume is ruled by a few voxels: such volumes are reported by what
//! was missed and what was found falsely. The others get the mean over patients of the mean over a patient's volumes.
//!
//! What was found falsely is every such voxel, inside the lung or not, over the voxels of the lung: it may exceed 100 %. A
//! volume without a prediction missed all there is, and says nothing of what is found falsely: it is counted beside that.

use crate::bootstrap::{Interval, bootstrap_by_group};
use crate::seg::{MaskState, SegCounts, SegScores};
use crate::summary::mean_known;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From this true share of the lung on, in percent, a volume counts as infected.
pub const INFECTED_PERCENT: f64 = 0.5;

/// One volume with its infection scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredVolume<'a> {
    /// Whose volume it is.
    pub patient: &'a str,
    /// Scores of the infection mask.
    pub scores: SegScores,
    /// True infected share of the lung, in percent.
    pub truth_percent: f64,
    /// Voxels of true lung.
    pub lung_voxels: u64,
}

/// Infection scores, of volumes with and (nearly) without infection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ByBurden {
    /// True share of the lung, in percent, from which on a volume counts as infected.
    pub infected_from_percent: f64,
    /// Volumes from there on.
    pub infected_volumes: usize,
    /// Over patients, of the mean Dice over each one's infected volumes.
    pub dice: Interval,
    /// Dice of all infected volumes' voxels together.
    pub pooled_dice: Option<f64>,
    /// Volumes below.
    pub other_volumes: usize,
    /// Those of them without a prediction: all of their infection is missed, and what is found falsely leaves them out.
    #[serde(default)]
    pub other_missing_predictions: usize,
    /// In the volumes below: missed voxels, as a percentage of the lung's voxels; mean over volumes.
    pub missed_percent_of_lung: Option<f64>,
    /// In those with a prediction: falsely found voxels, inside the lung or not, as a percentage of the lung's voxels; mean
    /// over volumes.
    pub false_percent_of_lung: Option<f64>,
    /// In those with a prediction: the largest such percentage.
    pub largest_false_percent: Option<f64>,
}

/// Sums up volumes; intervals by `n` resamples of patients.
pub fn by_burden(volumes: &[ScoredVolume<'_>], seed: u64, n: usize) -> ByBurden {
    let (infected, others): (Vec<&ScoredVolume<'_>>, Vec<_>) =
        volumes.iter().partition(|v| v.truth_percent >= INFECTED_PERCENT);
    let patients: Vec<&str> = infected.iter().map(|v| v.patient).collect();
    let over_patients = |rows: &[usize]| {
        // A patient who was drawn twice counts twice: the mean over patients weighs each drawing alike.
        let mut drawn: BTreeMap<&str, (f64, usize, usize)> = BTreeMap::new();
        for &row in rows {
            let v = infected[row];
            let Some(dice) = v.scores.dice else { continue };
            let (sum, count, _) = drawn.entry(v.patient).or_default();
            (*sum, *count) = (*sum + dice, *count + 1);
        }
        for (patient, (_, count, times)) in &mut drawn {
            let own = patients.iter().filter(|p| *p == patient).count().max(1);
            *times = (*count).div_ceil(own);
        }
        let weight: usize = drawn.values().map(|d| d.2).sum();
        let total: f64 = drawn.values().map(|(sum, count, times)| sum / *count as f64 * *times as f64).sum();
        (weight > 0).then(|| total / weight as f64)
    };
    let all = infected.iter().fold(SegCounts::default(), |sum, v| sum.plus(&v.scores.counts));
    let share = |voxels: u64, v: &ScoredVolume<'_>| {
        (v.lung_voxels > 0).then(|| 100.0 * voxels as f64 / v.lung_voxels as f64)
    };
    let missing = |v: &ScoredVolume<'_>| v.scores.state == MaskState::Missing;
    let false_shares: Vec<Option<f64>> =
        others.iter().filter(|v| !missing(v)).map(|v| share(v.scores.counts.fp, v)).collect();
    ByBurden {
        infected_from_percent: INFECTED_PERCENT,
        infected_volumes: infected.len(),
        dice: bootstrap_by_group(&patients, seed, n, over_patients),
        pooled_dice: if infected.is_empty() { None } else { all.dice() },
        other_volumes: others.len(),
        other_missing_predictions: others.iter().filter(|v| missing(v)).count(),
        missed_percent_of_lung: mean_known(others.iter().map(|v| share(v.scores.counts.fn_, v))),
        largest_false_percent: false_shares.iter().flatten().copied().reduce(f64::max),
        false_percent_of_lung: mean_known(false_shares),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{missing_scores, seg_scores};
    use gg_volume::Volume;

    /// A volume of 10 voxels: which are infected, which were found.
    fn volume<'a>(patient: &'a str, truth: &[usize], pred: &[usize]) -> ScoredVolume<'a> {
        let mask = |on: &[usize]| {
            let values = (0..10).map(|i| u8::from(on.contains(&i))).collect();
            Volume::from_vec([1, 1, 10], values).unwrap()
        };
        ScoredVolume {
            patient,
            scores: seg_scores(&mask(pred), &mask(truth), None),
            truth_percent: 10.0 * truth.len() as f64,
            lung_voxels: 10,
        }
    }

    #[test]
    fn a_patient_with_many_volumes_counts_once() {
        let volumes = [
            volume("a", &[0, 1], &[0, 1]),
            volume("a", &[0, 1], &[0, 1]),
            volume("a", &[0, 1], &[0, 1]),
            volume("b", &[0, 1], &[0]),
        ];
        let found = by_burden(&volumes, 1, 200);
        let b = 2.0 / 3.0;
        assert!((found.dice.mean.unwrap() - (1.0 + b) / 2.0).abs() < 1e-12);
        assert!((found.pooled_dice.unwrap() - 14.0 / 15.0).abs() < 1e-12);
        let (low, high) = (found.dice.low.unwrap(), found.dice.high.unwrap());
        assert!((low - b).abs() < 1e-12 && (high - 1.0).abs() < 1e-12, "{low} {high}");
        assert_eq!((found.infected_volumes, found.other_volumes), (4, 0));
    }

    #[test]
    fn where_nothing_is_infected_what_was_found_is_told_as_a_share_of_the_lung() {
        let found =
            by_burden(&[volume("a", &[], &[3]), volume("b", &[], &[]), volume("c", &[1], &[1])], 1, 10);
        assert_eq!((found.infected_volumes, found.other_volumes), (1, 2));
        assert_eq!(found.false_percent_of_lung, Some(5.0));
        assert_eq!(found.largest_false_percent, Some(10.0));
        assert_eq!(found.missed_percent_of_lung, Some(0.0));
        assert_eq!(found.dice.mean, Some(1.0));
        assert_eq!(found.other_missing_predictions, 0);
    }

    #[test]
    fn a_missing_prediction_is_no_volume_without_a_false_alarm() {
        let nothing: Volume<u8> = Volume::filled([1, 1, 10], 0);
        let missing =
            |patient| ScoredVolume { scores: missing_scores(&nothing), ..volume(patient, &[], &[]) };
        let found = by_burden(&[volume("a", &[], &[3]), missing("b"), missing("c")], 1, 10);
        assert_eq!((found.other_volumes, found.other_missing_predictions), (3, 2));
        assert_eq!((found.false_percent_of_lung, found.largest_false_percent), (Some(10.0), Some(10.0)));
        let none = by_burden(&[missing("b")], 1, 10);
        assert_eq!((none.false_percent_of_lung, none.largest_false_percent), (None, None));
        // What little there was is missed.
        let mut one = nothing.clone();
        one.data_mut()[0] = 1;
        let little = ScoredVolume {
            scores: missing_scores(&one),
            truth_percent: 0.1,
            lung_voxels: 1000,
            ..missing("d")
        };
        assert_eq!(by_burden(&[little], 1, 10).missed_percent_of_lung, Some(0.1));
    }

    #[test]
    fn voxels_found_beside_the_lung_count_too() {
        let beside = ScoredVolume { lung_voxels: 2, ..volume("a", &[], &[0, 1, 2]) };
        assert_eq!(by_burden(&[beside], 1, 10).false_percent_of_lung, Some(150.0));
    }
}
