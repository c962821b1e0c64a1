//! What is called infected on slices that show no infection: there, every voxel found is false, inside the lung or not.
//! Over the voxels of the lung that is a percentage which may exceed 100.

use crate::bootstrap::{Interval, bootstrap_by_group};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The infection-free slices of one volume.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FreeSlices {
    /// Slices whose truth is known and shows no infection.
    pub slices: usize,
    /// Those of them on which something was found.
    pub slices_with_finds: usize,
    /// Voxels found on them, inside the lung or not.
    pub false_voxels: u64,
    /// Lung voxels on them: of the truth where it is known, else of the prediction.
    pub lung_voxels: u64,
    /// Volume found on them in millilitres, where the spacing is trusted.
    pub false_ml: Option<f64>,
}

/// The infection-free slices of all volumes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FreeSummary {
    /// Volumes with such slices.
    pub volumes: usize,
    /// The slices.
    pub slices: usize,
    /// Those of them on which something was found.
    pub slices_with_finds: usize,
    /// Falsely found voxels on them, as a percentage of the lung's voxels on them: all volumes together, interval over
    /// patients. Voxels found beside the lung, or where there is none, count too: it may exceed 100.
    pub false_percent_of_lung: Interval,
    /// Falsely found millilitres of a volume: mean over volumes with trusted spacing, interval over patients.
    pub false_ml_per_volume: Interval,
}

/// Sums up volumes with their patients; `None` where no slice is free of infection. Intervals by `n` resamples.
pub fn free_slices(volumes: &[(&str, FreeSlices)], seed: u64, n: usize) -> Option<FreeSummary> {
    let volumes: Vec<&(&str, FreeSlices)> = volumes.iter().filter(|(_, v)| v.slices > 0).collect();
    if volumes.is_empty() {
        return None;
    }
    let patients: Vec<&str> = volumes.iter().map(|(p, _)| *p).collect();
    let percent = |rows: &[usize]| {
        let sum = |pick: fn(&FreeSlices) -> u64| rows.iter().map(|&i| pick(&volumes[i].1)).sum::<u64>();
        let lung = sum(|v| v.lung_voxels);
        (lung > 0).then(|| 100.0 * sum(|v| v.false_voxels) as f64 / lung as f64)
    };
    // Nothing is a share of no lung: patients without any do not decide it.
    let with_lung: BTreeSet<&str> =
        volumes.iter().filter(|(_, v)| v.lung_voxels > 0).map(|(p, _)| *p).collect();
    let measured: Vec<(&str, f64)> = volumes.iter().filter_map(|(p, v)| Some((*p, v.false_ml?))).collect();
    Some(FreeSummary {
        volumes: volumes.len(),
        slices: volumes.iter().map(|(_, v)| v.slices).sum(),
        slices_with_finds: volumes.iter().map(|(_, v)| v.slices_with_finds).sum(),
        false_percent_of_lung: bootstrap_by_group(&patients, seed, n, percent).decided_by(with_lung.len()),
        false_ml_per_volume: crate::bootstrap::bootstrap_mean_by_group(&measured, seed, n),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(slices: usize, false_voxels: u64, lung_voxels: u64, false_ml: Option<f64>) -> FreeSlices {
        let slices_with_finds = usize::from(false_voxels > 0);
        FreeSlices { slices, slices_with_finds, false_voxels, lung_voxels, false_ml }
    }

    #[test]
    fn the_share_is_that_of_all_voxels_together() {
        let volumes = [
            ("a", volume(10, 10, 1000, Some(1.0))),
            ("a", volume(10, 0, 1000, Some(3.0))),
            ("b", volume(5, 20, 2000, None)),
            ("c", volume(0, 0, 0, None)),
        ];
        let found = free_slices(&volumes, 1, 200).unwrap();
        assert_eq!((found.volumes, found.slices, found.slices_with_finds), (3, 25, 2));
        assert_eq!(found.false_percent_of_lung.mean, Some(0.75));
        assert_eq!((found.false_percent_of_lung.n_groups, found.false_percent_of_lung.n_values), (2, 3));
        assert_eq!((found.false_ml_per_volume.mean, found.false_ml_per_volume.n_values), (Some(2.0), 2));
        assert_eq!(free_slices(&volumes[3..], 1, 10), None);
    }

    #[test]
    fn voxels_beside_the_lung_count_and_one_patient_with_lung_has_no_interval() {
        let volumes = [("a", volume(1, 200, 100, None)), ("b", volume(1, 50, 0, None))];
        let found = free_slices(&volumes, 1, 100).unwrap().false_percent_of_lung;
        assert_eq!((found.mean, found.n_groups), (Some(250.0), 2));
        assert_eq!((found.low, found.high, found.few_groups), (None, None, true));
    }
}
