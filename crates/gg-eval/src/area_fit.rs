//! What the infected area of a slice adds to what a classifier says of it.
//!
//! A classifier looks at a whole picture and may take the look of a scanner for an answer; a mask is drawn from what each
//! place looks like. The two are weighed by a logistic regression on slices of patients that neither network was trained
//! on (stacking: Wolpert, Neural Networks 1992;5:241). Weights below zero are not taken: a term that would count against
//! its own meaning is left out.
//!
//! Infection seldom ends within a slice: the area is the mean over the slice and its neighbours, with weights that fall
//! to the sides, as far as that tells slices of patients apart best that a fit has not seen. How far is a share of the
//! slices with lung, not a number of slices, which may be thick or thin. What is measured is the highest of the few
//! shares in [`REACHES`], and so a little too high.

use crate::logistic::Logistic;
use crate::roc::{roc_curve, youden_threshold};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Added to the area before its logarithm: a ten-thousandth of the largest slice of lung is as good as nothing.
const FLOOR: f64 = 1e-4;
/// Penalty of the regression: the weights are of the order of one, and slices are many.
const PENALTY: f64 = 1.0;
/// Probabilities are kept this far from 0 and 1 before their logit.
const MARGIN: f64 = 1e-4;

/// Shares of the slices with lung that are tried.
const REACHES: [f64; 6] = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05];
/// The terms of the regression.
const BOTH: [usize; 2] = [0, 1];
/// Most neighbours on each side in fits of earlier versions, which counted slices.
const MOST_NEIGHBOURS: usize = 2;

/// Weights of a classifier's logit and of the infected area.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaFit {
    /// Weight of the classifier's logit.
    pub network: f64,
    /// Weight of the logarithm of the infected area.
    pub area: f64,
    /// Neighbours on each side over which that area is a mean, in fits of earlier versions; 0 since there is `reach`.
    #[serde(default)]
    pub neighbours: usize,
    /// How far to each side that mean reaches, as a share of the slices with lung.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reach: f64,
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

fn is_zero(reach: &f64) -> bool {
    *reach == 0.0
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

/// One scan of a patient that neither network was trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct CalledScan<'a> {
    /// Whose it is.
    pub patient: &'a str,
    /// Of every slice from one end to the other: infected voxels as a share of the lung voxels in the slice that has most.
    pub areas: Vec<f64>,
    /// How many of these slices hold lung.
    pub with_lung: usize,
    /// The slices that the fit takes.
    pub called: Vec<CalledSlice>,
}

/// One slice of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalledSlice {
    /// Its place in [`CalledScan::areas`].
    pub slice: usize,
    /// The classifier's probability.
    pub probability: f32,
    /// Whether it shows infection.
    pub infected: bool,
}

/// What fits on the slices of others say of one slice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOutSlice<'a> {
    /// Whose it is.
    pub patient: &'a str,
    /// The answer of the fit on the other patients.
    pub probability: f32,
    /// The threshold that they chose: the best sum of sensitivity and specificity.
    pub threshold: f32,
    /// Whether it shows infection.
    pub infected: bool,
}

/// What the regression sees of a slice.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    patient: &'a str,
    probability: f32,
    area: f64,
    infected: bool,
}

impl AreaFit {
    /// Fits the slices of scans; `None` where they are all of one kind.
    pub fn fit(scans: &[CalledScan<'_>]) -> Option<Self> {
        let mut best: Option<Self> = None;
        for reach in REACHES {
            let slices = rows(scans, reach);
            let measured = fit_on_others(&slices);
            let found = Self { reach, measured, ..Self::weigh(&slices, &BOTH)? };
            let higher = |best: &Self| match (best.of_answer(), found.of_answer()) {
                (Some(old), Some(new)) => new > old,
                _ => false,
            };
            if best.as_ref().is_none_or(higher) {
                best = Some(found);
            }
        }
        best
    }

    /// Each patient's slices as a fit on the others answers, with the terms and the reach of this one (which all
    /// chose); `None` where some patient's others have slices of one kind alone.
    pub fn held_out<'a>(&self, scans: &[CalledScan<'a>]) -> Option<Vec<HeldOutSlice<'a>>> {
        let slices = rows(scans, self.reach);
        let terms: Vec<usize> =
            [self.network, self.area].iter().enumerate().filter(|(_, w)| **w > 0.0).map(|(k, _)| k).collect();
        let patients: BTreeSet<&str> = slices.iter().map(|s| s.patient).collect();
        let mut found = Vec::with_capacity(slices.len());
        for patient in patients {
            let (own, others): (Vec<Row<'_>>, Vec<Row<'_>>) =
                slices.iter().copied().partition(|s| s.patient == patient);
            let fit = Self::weigh(&others, &terms)?;
            let answers: Vec<f32> = others.iter().map(|s| fit.probability(s.probability, s.area)).collect();
            let labels: Vec<bool> = others.iter().map(|s| s.infected).collect();
            let threshold = youden_threshold(&answers, &labels)?;
            found.extend(own.into_iter().map(|s| HeldOutSlice {
                patient: s.patient,
                probability: fit.probability(s.probability, s.area),
                threshold,
                infected: s.infected,
            }));
        }
        Some(found)
    }

    /// The infected areas of a scan's slices as they are weighed: means over neighbours. `with_lung` of the slices hold
    /// lung.
    pub fn areas(&self, areas: &[f64], with_lung: usize) -> Vec<f64> {
        around(areas, self.neighbours as f64 + self.reach * with_lung as f64)
    }

    /// Whether the classifier has a say at all.
    pub fn asks_network(&self) -> bool {
        self.network > 0.0
    }

    /// What is wrong with the weights, in words.
    pub fn fault(&self) -> Option<String> {
        let sound =
            [self.network, self.area].iter().all(|w| w.is_finite() && *w >= 0.0) && self.offset.is_finite();
        if !sound {
            return Some(format!(
                "weights {} of a classifier and {} of the infected area, offset {}; right would be finite weights of at least 0",
                self.network, self.area, self.offset
            ));
        }
        let farthest = REACHES[REACHES.len() - 1];
        (self.neighbours > MOST_NEIGHBOURS || !(0.0..=farthest).contains(&self.reach)).then(|| {
            format!(
                "an infected area over {} neighbours and {} of the slices with lung on each side; right would be at most \
                 {MOST_NEIGHBOURS} and {farthest}",
                self.neighbours, self.reach
            )
        })
    }

    /// Why such a fit is of no use, in words: it leaves out both, or patients whom it has not seen are told apart no
    /// better than by chance.
    pub fn tells_nothing(&self) -> Option<String> {
        if self.network <= 0.0 && self.area <= 0.0 {
            return Some(
                "neither the classifier nor the infected area rises with infection in these slices"
                    .to_owned(),
            );
        }
        self.of_answer().filter(|auroc| *auroc <= 0.5).map(|auroc| {
            format!("slices of patients that the weights have not seen are told apart no better than by chance (AUROC {auroc:.3})")
        })
    }

    /// What was measured of what this fit answers: of both together, or of the area alone where the classifier has no say.
    fn of_answer(&self) -> Option<f64> {
        self.measured.map(|m| if self.asks_network() { m.both } else { m.area })
    }

    /// `terms`: which may take part, 0 the classifier and 1 the area.
    fn weigh(slices: &[Row<'_>], terms: &[usize]) -> Option<Self> {
        let outcomes: Vec<bool> = slices.iter().map(|s| s.infected).collect();
        let rows: Vec<[f64; 2]> = slices.iter().map(|s| [logit(s.probability), log_area(s.area)]).collect();
        // The terms that are kept: all, then without those whose weight is below zero.
        let mut kept = terms.to_vec();
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
            neighbours: 0,
            reach: 0.0,
            offset,
            slices: slices.len(),
            patients: patients.len(),
            measured: None,
        })
    }

    /// Probability that a slice shows infection.
    ///
    /// # Units
    /// `area` as [`AreaFit::areas`] gives it, a share of the lung voxels in the slice that has most of them.
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

/// Means over neighbours with weights that fall to the sides by equal steps, to nothing at one slice beyond `far`; at
/// the ends, over those there are.
fn around(areas: &[f64], far: f64) -> Vec<f64> {
    let whole = far.ceil() as usize;
    let mean = |i: usize| {
        let near = i.saturating_sub(whole)..(i + whole + 1).min(areas.len());
        let weighed = near.map(|k| ((far + 1.0 - i.abs_diff(k) as f64).max(0.0), areas[k]));
        let (weight, sum) =
            weighed.fold((0.0, 0.0), |(w, s), (weight, area)| (w + weight, s + weight * area));
        sum / weight
    };
    (0..areas.len()).map(mean).collect()
}

fn rows<'a>(scans: &[CalledScan<'a>], reach: f64) -> Vec<Row<'a>> {
    let of_scan = |scan: &CalledScan<'a>| {
        let areas = around(&scan.areas, reach * scan.with_lung as f64);
        let patient = scan.patient;
        let row = |s: &CalledSlice| {
            let area = *areas.get(s.slice)?;
            Some(Row { patient, probability: s.probability, area, infected: s.infected })
        };
        scan.called.iter().filter_map(row).collect::<Vec<_>>()
    };
    scans.iter().flat_map(of_scan).collect()
}

fn fit_on_others(slices: &[Row<'_>]) -> Option<Stacked> {
    let patients: BTreeSet<&str> = slices.iter().map(|s| s.patient).collect();
    let mut both = vec![0f32; slices.len()];
    for patient in patients {
        let others: Vec<Row<'_>> = slices.iter().filter(|s| s.patient != patient).copied().collect();
        let fit = AreaFit::weigh(&others, &BOTH)?;
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
mod tests {
    use super::*;

    /// Scans of four patients, of which every third part of `run` slices is infected; `network` and `area` say how far
    /// each is right, from 0 (chance) to 1.
    fn scans(network: f64, area: f64, run: usize) -> Vec<CalledScan<'static>> {
        let mut state = 12345u64;
        let mut noise = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / (1u64 << 31) as f64
        };
        let mut scan = |patient| {
            let mut scan = CalledScan { patient, areas: Vec::new(), with_lung: 100, called: Vec::new() };
            for slice in 0..100 {
                let infected = (slice / run).is_multiple_of(3);
                let mut of = |right: f64| right * f64::from(u8::from(infected)) + (1.0 - right) * noise();
                scan.called.push(CalledSlice { slice, probability: of(network) as f32, infected });
                scan.areas.push(0.1 * of(area).powi(2));
            }
            scan
        };
        ["a", "b", "c", "d"].map(&mut scan).to_vec()
    }

    #[test]
    fn the_one_that_knows_more_weighs_more_and_both_beat_either() {
        let fit = AreaFit::fit(&scans(0.3, 0.3, 1)).unwrap();
        let measured = fit.measured.unwrap();
        assert!(fit.network > 0.0 && fit.area > 0.0);
        assert!(measured.both > measured.network && measured.both > measured.area, "{measured:?}");
        assert_eq!((fit.slices, fit.patients, fit.reach), (400, 4, 0.0));
        let blind = AreaFit::fit(&scans(0.0, 0.5, 1)).unwrap();
        assert!(blind.network < 0.1 * fit.network.max(blind.area), "{blind:?}");
    }

    #[test]
    fn neighbours_are_asked_where_infection_runs_through_many_slices() {
        let fit = AreaFit::fit(&scans(0.0, 0.3, 10)).unwrap();
        assert!((0.02..=0.05).contains(&fit.reach) && fit.neighbours == 0, "{fit:?}");
        let of = |neighbours, reach| AreaFit { neighbours, reach, ..fit.clone() };
        let close = |found: &[f64], right: &[f64]| {
            assert!(found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        };
        let areas = [0.0, 0.4, 0.0, 0.0];
        // One slice to each side, said in either way; half of one, with a weight of a third beside one.
        close(&of(1, 0.0).areas(&areas, 4), &[0.4 / 3.0, 0.2, 0.1, 0.0]);
        close(&of(0, 0.05).areas(&areas, 20), &[0.4 / 3.0, 0.2, 0.1, 0.0]);
        close(&of(0, 0.05).areas(&areas, 10), &[0.1, 0.24, 0.08, 0.0]);
        assert_eq!(of(0, 0.0).areas(&[0.1, 0.2], 2), [0.1, 0.2]);
        assert_eq!(fit.areas(&[0.3], 1), [0.3]);
        assert!(
            of(3, 0.0).fault().is_some()
                && of(0, 0.06).fault().is_some()
                && of(0, f64::NAN).fault().is_some()
        );
        assert_eq!((of(2, 0.0).fault(), of(0, 0.05).fault()), (None, None));
    }

    #[test]
    fn probabilities_rise_with_both_and_are_calibrated() {
        let scans = scans(0.3, 0.3, 1);
        let fit = AreaFit::fit(&scans).unwrap();
        assert!(fit.probability(0.5, 0.1) > fit.probability(0.5, 0.01));
        assert!(fit.probability(0.9, 0.01) > fit.probability(0.1, 0.01));
        assert!((0.0..=1.0).contains(&fit.probability(0.0, 0.0)) && fit.probability(1.0, 1.0) <= 1.0);
        let slices = rows(&scans, fit.reach);
        let mean = slices.iter().map(|s| f64::from(fit.probability(s.probability, s.area))).sum::<f64>();
        let infected = slices.iter().filter(|s| s.infected).count() as f64;
        assert!((mean - infected).abs() < 2.0, "{mean} of {infected}");
    }

    #[test]
    fn a_term_that_speaks_against_its_meaning_is_left_out() {
        let mut scans = scans(0.4, 0.4, 1);
        for s in scans.iter_mut().flat_map(|s| &mut s.called) {
            s.probability = 1.0 - s.probability;
        }
        let fit = AreaFit::fit(&scans).unwrap();
        assert_eq!(fit.network, 0.0);
        assert!(!fit.asks_network());
        assert!(fit.area > 0.0);
        assert_eq!(fit.tells_nothing(), None);
    }

    #[test]
    fn slices_of_a_patient_are_called_by_what_the_others_chose() {
        let all = scans(0.3, 0.3, 1);
        let fit = AreaFit::fit(&all).unwrap();
        let found = fit.held_out(&all).unwrap();
        assert_eq!(found.len(), 400);
        // By hand for one of them: a fit, and its threshold, of the other three.
        let others = AreaFit::fit(&all[1..]).unwrap();
        assert_eq!(others.reach, fit.reach);
        let own = found.iter().filter(|s| s.patient == "a");
        for (s, called) in own.zip(&all[0].called) {
            let right = others.probability(called.probability, all[0].areas[called.slice]);
            assert!((s.probability - right).abs() < 1e-6 && s.infected == called.infected);
        }
        let thresholds: BTreeSet<u32> = found.iter().map(|s| s.threshold.to_bits()).collect();
        assert!(thresholds.len() > 1);
        let right = found.iter().filter(|s| (s.probability >= s.threshold) == s.infected).count();
        assert!(right > 300, "{right}");
        // Others of one kind alone fit nothing.
        let mut one = all[..2].to_vec();
        one[1].called.retain(|c| c.infected);
        assert_eq!(fit.held_out(&one), None);
    }

    #[test]
    fn a_fit_of_no_use_is_told() {
        let mut scans = scans(0.4, 0.4, 1);
        for s in &mut scans {
            s.areas.iter_mut().for_each(|a| *a = 1.0 - *a);
            s.called.iter_mut().for_each(|c| c.probability = 1.0 - c.probability);
        }
        let told = AreaFit::fit(&scans).unwrap().tells_nothing();
        assert!(told.is_some_and(|t| t.starts_with("neither the classifier nor the infected area")));
        let measured = Some(Stacked { network: 0.5, area: 0.4, both: 0.48 });
        let chance = AreaFit { network: 1.0, area: 1.0, measured, ..AreaFit::fit(&scans).unwrap() };
        assert!(chance.tells_nothing().is_some_and(|t| t.contains("AUROC 0.480")));
    }

    #[test]
    fn weights_that_cannot_be_are_told() {
        let fit = AreaFit::fit(&scans(0.3, 0.3, 1)).unwrap();
        assert_eq!(fit.fault(), None);
        assert!(AreaFit { area: -0.1, ..fit.clone() }.fault().is_some());
        assert!(AreaFit { offset: f64::NAN, ..fit }.fault().is_some());
    }

    #[test]
    fn slices_of_one_kind_fit_nothing() {
        let mut all = scans(0.5, 0.5, 1);
        all.iter_mut().for_each(|s| s.called.retain(|c| c.infected));
        assert_eq!(AreaFit::fit(&all), None);
    }
}
