//! Whether probabilities mean what they say, before and after their calibration.

use super::CaseScores;
use gg_dataset::Structure;
use gg_eval::{Calibration, LogitCounts, calibration};
use serde::Serialize;

/// Bins of the reliability curve.
const BINS: usize = 10;

/// The reliability of probabilities as they are, and as they were before calibration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Reliability {
    /// As the network gave them, temperature 1; `None` where the scores went through no calibration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Calibration>,
    /// As they are used.
    pub(crate) after: Calibration,
}

impl Reliability {
    /// Of voxels of uncalibrated logits, and of the same divided by the temperature that stands beside them.
    pub(crate) fn of_counts<'a>(parts: impl Iterator<Item = (&'a LogitCounts, f64)>) -> Self {
        let both: Vec<[Calibration; 2]> = parts
            .map(|(counts, t)| [1.0, 1.0 / t].map(|sharpness| counts.reliability(sharpness, BINS)))
            .collect();
        let [before, after] = [0, 1].map(|k| Calibration::merged(both.iter().map(|of| &of[k])));
        Self { before: Some(before), after }
    }
}

/// Of all voxels of a structure; each case had the temperature of its own network.
pub(super) fn of_voxels(cases: &[CaseScores], structure: Structure) -> Option<Reliability> {
    let parts: Vec<&(LogitCounts, f32)> =
        cases.iter().filter_map(|c| c.voxels[structure as usize].as_ref()).collect();
    if parts.is_empty() {
        return None;
    }
    let after: Vec<Calibration> = parts.iter().map(|(counts, _)| counts.reliability(1.0, BINS)).collect();
    let before: Vec<Calibration> =
        parts.iter().map(|(counts, t)| counts.reliability(f64::from(*t), BINS)).collect();
    Some(Reliability { before: Some(Calibration::merged(&before)), after: Calibration::merged(&after) })
}

/// Of single scores, with the temperature that each was divided by, where it was.
pub(super) fn of_scores(scores: &[f32], temperatures: &[Option<f32>], labels: &[bool]) -> Reliability {
    let known: Option<Vec<f32>> = temperatures.iter().copied().collect();
    let before = known.map(|temperatures| {
        let uncalibrated: Vec<f32> =
            scores.iter().zip(temperatures).map(|(&p, t)| gg_nn::tempered(p, 1.0 / t)).collect();
        calibration(&uncalibrated, labels, BINS)
    });
    Reliability { before, after: calibration(scores, labels, BINS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_from_a_calibrated_probability_is_the_network_s_own() {
        for z in [-9.0f32, -1.0, 0.0, 0.5, 4.0] {
            for temperature in [0.5f32, 1.0, 2.5] {
                let p = gg_nn::sigmoid(z / temperature);
                let back = gg_nn::tempered(p, 1.0 / temperature);
                assert!((back - gg_nn::sigmoid(z)).abs() < 1e-4, "{z} {temperature}");
            }
        }
        assert_eq!([gg_nn::tempered(0.0, 0.5), gg_nn::tempered(1.0, 0.5)], [0.0, 1.0]);
    }

    #[test]
    fn scores_that_were_never_calibrated_have_no_before() {
        assert_eq!(of_scores(&[0.2, 0.7], &[None, None], &[false, true]).before, None);
        let both = of_scores(&[0.2, 0.7], &[Some(1.0), Some(1.0)], &[false, true]);
        assert_eq!(both.before, Some(both.after));
    }
}
