//! Does a patient's CT show infection? One score per CT, from what the networks say of its slices.
//!
//! Infection reaches over neighbouring slices; a single slice called positive is often a vessel or a motion artefact.
//! The score therefore starts from the largest mean probability of `k` neighbouring slices. A second network, which
//! draws the infection, has a say too: where it marks less of the lung than makes a volume count as infected
//! ([`INFECTED_PERCENT`]), the score is lowered in proportion. It stays on the scale of the slices' probabilities, so that
//! their thresholds hold for it.
//!
//! Without a classifier the marked share alone speaks: one half at [`INFECTED_PERCENT`].

use crate::by_burden::INFECTED_PERCENT;
use serde::{Deserialize, Serialize};

/// Share of the neighbouring slices among all that were classified: about a centimetre of a lung.
const SHARE: f64 = 0.03;
/// At least so many slices, where there are as many.
const FEWEST: usize = 3;

/// What the slices of one CT add up to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientScore {
    /// From 0 (no infection) to 1.
    pub score: f64,
    /// Largest mean probability of neighbouring slices; `None` without a classifier.
    pub highest_mean: Option<f64>,
    /// Number of neighbouring slices in that mean.
    pub neighbours: usize,
    /// Infected percentage of the lung; `None` without masks.
    pub percent_of_lung: Option<f64>,
}

/// The score of one CT; `None` where no network says anything.
///
/// # Shape
/// One probability per classified slice, in their order along the body.
pub fn patient_score(probabilities: &[f32], percent_of_lung: Option<f64>) -> Option<PatientScore> {
    let n = probabilities.len();
    let neighbours = ((n as f64 * SHARE).round() as usize).max(FEWEST).min(n);
    let mean = |w: &[f32]| w.iter().map(|&p| f64::from(p)).sum::<f64>() / w.len() as f64;
    let highest_mean =
        if n == 0 { None } else { probabilities.windows(neighbours).map(mean).reduce(f64::max) };
    let score = match (highest_mean, percent_of_lung) {
        (None, None) => return None,
        (Some(mean), None) => mean,
        (Some(mean), Some(percent)) => mean * (percent / INFECTED_PERCENT).min(1.0),
        (None, Some(percent)) => percent / (percent + INFECTED_PERCENT),
    };
    Some(PatientScore { score, highest_mean, neighbours, percent_of_lung })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(probabilities: &[f32], percent: Option<f64>) -> f64 {
        patient_score(probabilities, percent).unwrap().score
    }

    #[test]
    fn one_loud_slice_says_less_than_quieter_neighbours() {
        let mut lone = vec![0.05f32; 40];
        lone[20] = 1.0;
        let mut some = vec![0.05f32; 40];
        some[20..25].fill(0.8);
        assert!((score(&some, None) - 0.8).abs() < 1e-6);
        assert!(score(&lone, None) < 0.4);
    }

    #[test]
    fn the_number_of_neighbours_goes_with_the_slices() {
        let of = |n: usize| patient_score(&vec![0.5; n], None).unwrap().neighbours;
        assert_eq!([of(1), of(2), of(40), of(100), of(300)], [1, 2, 3, 3, 9]);
    }

    #[test]
    fn a_mask_without_infection_lowers_the_score_in_proportion() {
        let sure = [0.9f32; 10];
        assert!((score(&sure, Some(5.0)) - 0.9).abs() < 1e-6);
        assert!((score(&sure, Some(0.25)) - 0.45).abs() < 1e-6);
        assert_eq!(score(&sure, Some(0.0)), 0.0);
        assert_eq!(score(&[], Some(INFECTED_PERCENT)), 0.5);
        assert_eq!(patient_score(&[], None), None);
    }
}
