//! What the infected area of a slice adds to what a classifier says of it.
//!
//! A classifier looks at a whole picture and may take the look of a scanner for an answer; a mask is drawn from what each
//! place looks like. The two are weighed by a logistic regression on slices of patients that neither network was trained
//! on (stacking: Wolpert, Neural Networks 1992;5:241). Weights below zero are not taken: a term that would count against
//! its own meaning is left out.

use crate::logistic::Logistic;
use crate::roc::roc_curve;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Added to the area before its logarithm: a ten-thousandth of the largest slice of lung is as good as nothing.
const FLOOR: f64 = 1e-4;
/// Penalty of the regression: the weights are of the order of one, and slices are many.
const PENALTY: f64 = 1.0;
/// Probabilities are kept this far from 0 and 1 before their logit.
const MARGIN: f64 = 1e-4;

/// Weights of a classifier's logit and of the infected area.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaFit {
    /// Weight of the classifier's logit.
    pub network: f64,
    /// Weight of the logarithm of the infected area.
    pub area: f64,
    /// Log-odds without either.
    pub offset: f64,
    /// Slices of the fit.
    pub slices: usize,
    /// Patients of the fit.
    pub patients: usize,
    /// What the two say of patients that the fit has not seen; `None` where there are too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Stacked>,
}

/// AUROC over the slices of all patients, each scored by a fit on the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stacked {
    /// Of the classifier alone.
    pub network: f64,
    /// Of the infected area alone.
    pub area: f64,
    /// Of both.
    pub both: f64,
}

/// One slice of a patient that neither network was trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalledSlice<'a> {
    /// Whose it is.
    pub patient: &'a str,
    /// The classifier's probability.
    pub probability: f32,
    /// Infected voxels as a share of the lung voxels in the slice of the CT that has most of them.
    pub area: f64,
    /// Whether it shows infection.
    pub infected: bool,
}

impl AreaFit {
    /// Fits slices; `None` where they are all of one kind.
    pub fn fit(slices: &[CalledSlice<'_>]) -> Option<Self> {
        let mut fit = Self::weigh(slices)?;
        fit.measured = fit_on_others(slices);
        Some(fit)
    }

    /// Whether the classifier has a say at all.
    pub fn asks_network(&self) -> bool {
        self.network > 0.0
    }

    /// What is wrong with the weights, in words.
    pub fn fault(&self) -> Option<String> {
        let sound =
            [self.network, self.area].iter().all(|w| w.is_finite() && *w >= 0.0) && self.offset.is_finite();
        (!sound).then(|| {
            format!(
                "weights {} of a classifier and {} of the infected area, offset {}; right would be finite weights of at least 0",
                self.network, self.area, self.offset
            )
        })
    }

    fn weigh(slices: &[CalledSlice<'_>]) -> Option<Self> {
        let outcomes: Vec<bool> = slices.iter().map(|s| s.infected).collect();
        let rows: Vec<[f64; 2]> = slices.iter().map(|s| [logit(s.probability), log_area(s.area)]).collect();
        // The terms that are kept: both, then without those whose weight is below zero.
        let mut kept = vec![0, 1];
        let (weights, offset) = loop {
            let rows: Vec<Vec<f64>> = rows.iter().map(|r| kept.iter().map(|&k| r[k]).collect()).collect();
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let found = Logistic::fit(&rows, &outcomes, PENALTY)?;
            let mut weights = [0.0; 2];
            for (&k, &c) in kept.iter().zip(&found.coefficients) {
                weights[k] = c;
            }
            match kept.iter().position(|&k| weights[k] < 0.0) {
                Some(against) => kept.remove(against),
                None => break (weights, found.intercept),
            };
        };
        let patients: BTreeSet<&str> = slices.iter().map(|s| s.patient).collect();
        Some(Self {
            network: weights[0],
            area: weights[1],
            offset,
            slices: slices.len(),
            patients: patients.len(),
            measured: None,
        })
    }

    /// Probability that a slice shows infection.
    ///
    /// # Units
    /// `area` as in [`CalledSlice::area`].
    pub fn probability(&self, probability: f32, area: f64) -> f32 {
        let odds = self.network * logit(probability) + self.area * log_area(area) + self.offset;
        (1.0 / (1.0 + (-odds).exp())) as f32
    }
}

fn logit(probability: f32) -> f64 {
    let p = f64::from(probability).clamp(MARGIN, 1.0 - MARGIN);
    (p / (1.0 - p)).ln()
}

/// 0 where nothing is infected.
fn log_area(area: f64) -> f64 {
    ((area + FLOOR) / FLOOR).ln()
}

fn fit_on_others(slices: &[CalledSlice<'_>]) -> Option<Stacked> {
    let patients: BTreeSet<&str> = slices.iter().map(|s| s.patient).collect();
    let mut both = vec![0f32; slices.len()];
    for patient in patients {
        let others: Vec<CalledSlice<'_>> = slices.iter().filter(|s| s.patient != patient).copied().collect();
        let fit = AreaFit::weigh(&others)?;
        for (score, s) in both.iter_mut().zip(slices).filter(|(_, s)| s.patient == patient) {
            *score = fit.probability(s.probability, s.area);
        }
    }
    let labels: Vec<bool> = slices.iter().map(|s| s.infected).collect();
    let auroc = |scores: &[f32]| roc_curve(scores, &labels).auroc;
    Some(Stacked {
        network: auroc(&slices.iter().map(|s| s.probability).collect::<Vec<_>>())?,
        area: auroc(&slices.iter().map(|s| s.area as f32).collect::<Vec<_>>())?,
        both: auroc(&both)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Slices of four patients; `network` and `area` say how far each is right, from 0 (chance) to 1.
    fn slices(network: f64, area: f64) -> Vec<CalledSlice<'static>> {
        let mut state = 12345u64;
        let mut noise = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        (0..400)
            .map(|i| {
                let infected = i % 3 == 0;
                let of =
                    |right: f64, noise: f64| right * f64::from(u8::from(infected)) + (1.0 - right) * noise;
                CalledSlice {
                    patient: ["a", "b", "c", "d"][i % 4],
                    probability: of(network, noise()) as f32,
                    area: 0.1 * of(area, noise()).powi(2),
                    infected,
                }
            })
            .collect()
    }

    #[test]
    fn the_one_that_knows_more_weighs_more_and_both_beat_either() {
        let fit = AreaFit::fit(&slices(0.3, 0.3)).unwrap();
        let measured = fit.measured.unwrap();
        assert!(fit.network > 0.0 && fit.area > 0.0);
        assert!(measured.both > measured.network && measured.both > measured.area, "{measured:?}");
        assert_eq!((fit.slices, fit.patients), (400, 4));
        let blind = AreaFit::fit(&slices(0.0, 0.5)).unwrap();
        assert!(blind.network < 0.1 * fit.network.max(blind.area), "{blind:?}");
    }

    #[test]
    fn probabilities_rise_with_both_and_are_calibrated() {
        let slices = slices(0.3, 0.3);
        let fit = AreaFit::fit(&slices).unwrap();
        assert!(fit.probability(0.5, 0.1) > fit.probability(0.5, 0.01));
        assert!(fit.probability(0.9, 0.01) > fit.probability(0.1, 0.01));
        assert!((0.0..=1.0).contains(&fit.probability(0.0, 0.0)) && fit.probability(1.0, 1.0) <= 1.0);
        let mean = slices.iter().map(|s| f64::from(fit.probability(s.probability, s.area))).sum::<f64>();
        let infected = slices.iter().filter(|s| s.infected).count() as f64;
        assert!((mean - infected).abs() < 2.0, "{mean} of {infected}");
    }

    #[test]
    fn a_term_that_speaks_against_its_meaning_is_left_out() {
        let mut slices = slices(0.4, 0.4);
        for s in &mut slices {
            s.probability = 1.0 - s.probability;
        }
        let fit = AreaFit::fit(&slices).unwrap();
        assert_eq!(fit.network, 0.0);
        assert!(!fit.asks_network());
        assert!(fit.area > 0.0);
    }

    #[test]
    fn weights_that_cannot_be_are_told() {
        let fit = AreaFit::fit(&slices(0.3, 0.3)).unwrap();
        assert_eq!(fit.fault(), None);
        assert!(AreaFit { area: -0.1, ..fit.clone() }.fault().is_some());
        assert!(AreaFit { offset: f64::NAN, ..fit }.fault().is_some());
    }

    #[test]
    fn slices_of_one_kind_fit_nothing() {
        let all: Vec<CalledSlice<'_>> = slices(0.5, 0.5).into_iter().filter(|s| s.infected).collect();
        assert_eq!(AreaFit::fit(&all), None);
    }
}
