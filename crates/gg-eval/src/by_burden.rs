//! Segmentation scores told apart by how much there is to find.
//!
//! Where nearly nothing is infected, the Dice of a volume is ruled by a few voxels: such volumes are reported by what
//! was missed and what was found falsely. The others get the mean over patients of the mean over a patient's volumes.

use crate::bootstrap::{Interval, bootstrap_by_group};
use crate::seg::{SegCounts, SegScores};
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
    /// In those: missed voxels, as a percentage of the lung; mean over volumes.
    pub missed_percent_of_lung: Option<f64>,
    /// In those: falsely found voxels, as a percentage of the lung; mean over volumes.
    pub false_percent_of_lung: Option<f64>,
    /// In those: the largest falsely found percentage.
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
    let share = |voxels: fn(&SegCounts) -> u64| {
        others
            .iter()
            .map(|v| {
                (v.lung_voxels > 0).then(|| 100.0 * voxels(&v.scores.counts) as f64 / v.lung_voxels as f64)
            })
            .collect::<Vec<_>>()
    };
    let false_shares = share(|c| c.fp);
    ByBurden {
        infected_from_percent: INFECTED_PERCENT,
        infected_volumes: infected.len(),
        dice: bootstrap_by_group(&patients, seed, n, over_patients),
        pooled_dice: if infected.is_empty() { None } else { all.dice() },
        other_volumes: others.len(),
        missed_percent_of_lung: mean_known(share(|c| c.fn_)),
        largest_false_percent: false_shares.iter().flatten().copied().reduce(f64::max),
        false_percent_of_lung: mean_known(false_shares),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seg_scores;
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
    }
}
