//! An interval around the infected percentage of a lung, whose coverage does not rest on what a network believes of
//! itself: split-conformal prediction on a scale of factors.
//!
//! Masks of one lesion differ by a share of its size, so errors of the percentage grow with it. Each patient of known
//! truth gets a score `|ln((truth + c) / (found + c))|`, the largest of his volumes, with `c` one percentage point. Of `n`
//! patients the `ceil((n + 1) * level)`-th smallest score is `ln` of the factor `g`, and a new case's interval is
//! `(found + c) / g - c` to `(found + c) * g - c`, cut to 0 and 100.
//!
//! If one network, trained on others, had scored those patients and a new one like them, the chance that the truth lies
//! within would be at least `level`. Here the scores come from the networks of a cross-validation, one for each fold, and
//! the interval goes around what a further network says that was trained on all: how often it holds the truth is measured
//! on patients outside the fit ([`Coverage`]), not guaranteed. What is proved for folds (CV+, at least about
//! `1 - 2 (1 - level)`) is proved for another construction.
//!
//! With fewer than `level / (1 - level)` patients (9 at 90 %) no finite interval reaches the level even with one network:
//! there is none.
//! Scaling errors by a network's own doubt (the sum of p (1 - p) over the lungs) instead made wider intervals of the same
//! coverage on 13 patients.
//!
//! # Source
//! Vovk et al., Algorithmic Learning in a Random World, 2005; Lei et al., Distribution-free predictive inference for
//! regression, JASA 2018; Barber et al., Predictive inference with the jackknife+, Annals of Statistics 2021 (CV+).

use crate::median;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Version of [`IntervalFit`] in files.
const VERSION: u32 = 1;
/// Chance with which the truth is to lie within; measured, not guaranteed.
pub const INTERVAL_LEVEL: f64 = 0.9;
/// Added to both percentages, in points: among traces it is points that count, not factors.
const FLOOR_POINTS: f64 = 1.0;

/// A case of which the percentage is known and was predicted, by networks that never saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted<'a> {
    /// Whose it is.
    pub patient: &'a str,
    /// What it is held out with: cases of one group never calibrate each other.
    pub group: usize,
    /// The true percentage.
    pub truth: f64,
    /// The predicted one.
    pub found: f64,
}

/// What makes an interval of a percentage; fitted on patients that the networks never saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntervalFit {
    /// Version of this description.
    pub version: u32,
    /// Chance with which the truth is to lie within.
    pub level: f64,
    /// By what factor the truth may differ to either side, at least 1.
    pub factor: f64,
    /// What is added to percentages before, in points.
    pub floor_points: f64,
    /// Patients that it was fitted on.
    pub patients: usize,
    /// How intervals that were made in the same way did on patients outside their fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Coverage>,
}

/// How often intervals held the truth, each of a case that had no part in its fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Share of the patients of whom every volume's truth lies within.
    pub coverage: f64,
    /// Patients with an interval.
    pub patients: usize,
    /// Share of the volumes whose truth lies within.
    pub coverage_of_volumes: f64,
    /// Volumes with an interval.
    pub volumes: usize,
    /// Volumes for which too few patients were left to fit on.
    pub without_interval: usize,
    /// Median width, in percentage points.
    pub median_width: f64,
}

/// The fit of each group on all others, its intervals, and what they are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossFit {
    /// The interval of each case, in their order; `None` where too few patients were left.
    pub intervals: Vec<Option<[f64; 2]>>,
    /// What they are worth; `None` where there is none.
    pub measured: Option<Coverage>,
    /// Fitted on all cases, for cases to come; `None` with too few patients.
    pub fit: Option<IntervalFit>,
}

impl IntervalFit {
    /// Fits on cases; `None` where there are too few patients for the level.
    pub fn on(cases: &[Predicted<'_>], level: f64) -> Option<Self> {
        let mut scores: BTreeMap<&str, f64> = BTreeMap::new();
        for case in cases {
            let score = ((case.truth + FLOOR_POINTS) / (case.found + FLOOR_POINTS)).ln().abs();
            let own = scores.entry(case.patient).or_insert(0.0);
            *own = own.max(score);
        }
        let mut sorted: Vec<f64> = scores.into_values().collect();
        sorted.sort_by(f64::total_cmp);
        let patients = sorted.len();
        // A tiny bit less, so that 0.9 * 10 is 9 and not 10.
        let rank = ((patients + 1) as f64 * level - 1e-9).ceil() as usize;
        let factor = sorted.get(rank.checked_sub(1)?)?.exp();
        Some(Self { version: VERSION, level, factor, floor_points: FLOOR_POINTS, patients, measured: None })
    }

    /// The interval around a percentage.
    pub fn around(&self, found: f64) -> [f64; 2] {
        let raised = found + self.floor_points;
        let ends = [raised / self.factor - self.floor_points, raised * self.factor - self.floor_points];
        // Rounding must not push the percentage itself out.
        [ends[0].max(0.0).min(found), ends[1].min(100.0).max(found)]
    }

    /// What is wrong with a fit that was read, as a sentence; `None` where it can be used.
    pub fn fault(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("interval of version {}, right would be {VERSION}", self.version));
        }
        let sound = self.level > 0.0
            && self.level < 1.0
            && self.factor.is_finite()
            && self.factor >= 1.0
            && self.floor_points.is_finite()
            && self.floor_points > 0.0;
        (!sound).then(|| {
            format!(
                "interval of level {}, factor {} and floor {}, right would be a level between 0 and 1, a factor of at \
                 least 1 and a floor above 0",
                self.level, self.factor, self.floor_points
            )
        })
    }
}

/// Gives every case an interval that was fitted on the other groups alone, and measures what such intervals are worth.
/// A patient who stands in several groups never calibrates his own.
pub fn cross_fit(cases: &[Predicted<'_>], level: f64) -> CrossFit {
    let mut fits: BTreeMap<usize, Option<IntervalFit>> = BTreeMap::new();
    for case in cases {
        fits.entry(case.group).or_insert_with(|| {
            let own: BTreeSet<&str> =
                cases.iter().filter(|c| c.group == case.group).map(|c| c.patient).collect();
            let others: Vec<Predicted<'_>> =
                cases.iter().filter(|c| !own.contains(c.patient)).copied().collect();
            IntervalFit::on(&others, level)
        });
    }
    let intervals: Vec<Option<[f64; 2]>> =
        cases.iter().map(|c| fits.get(&c.group)?.as_ref().map(|fit| fit.around(c.found))).collect();
    let measured = coverage(cases, &intervals);
    let fit = IntervalFit::on(cases, level).map(|fit| IntervalFit { measured: measured.clone(), ..fit });
    CrossFit { intervals, measured, fit }
}

/// How many intervals hold the truth, and how wide they are.
pub fn coverage(cases: &[Predicted<'_>], intervals: &[Option<[f64; 2]>]) -> Option<Coverage> {
    let mut within: BTreeMap<&str, bool> = BTreeMap::new();
    let mut widths = Vec::new();
    let mut held = 0;
    for (case, interval) in cases.iter().zip(intervals) {
        let Some([low, high]) = *interval else { continue };
        let holds = low <= case.truth && case.truth <= high;
        *within.entry(case.patient).or_insert(true) &= holds;
        held += usize::from(holds);
        widths.push(high - low);
    }
    let n = widths.len();
    Some(Coverage {
        coverage: within.values().filter(|w| **w).count() as f64 / within.len() as f64,
        patients: within.len(),
        coverage_of_volumes: held as f64 / n as f64,
        volumes: n,
        without_interval: cases.len() - n,
        median_width: median(widths)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn uniform(rng: &mut ChaCha8Rng) -> f64 {
        rng.next_u64() as f64 / u64::MAX as f64
    }

    /// Patients of 0 to 50 percent whose errors are factors about 1.3, with a point of noise: as one network would make them.
    fn cohort<'a>(names: &'a [String], groups: usize, seed: u64) -> Vec<Predicted<'a>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| uniform(&mut rng)).sum::<f64>() - 6.0;
        let case = |(i, patient): (usize, &'a String)| {
            let found = (10.0 + 10.0 * normal()).clamp(0.0, 50.0);
            let truth = (found * (0.25 * normal()).exp() + 0.5 * normal()).clamp(0.0, 100.0);
            Predicted { patient, group: i % groups, truth, found }
        };
        names.iter().enumerate().map(case).collect()
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("p{i:04}")).collect()
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let names = names(600);
        let (mut held, mut all) = (0.0, 0.0);
        for seed in 0..20 {
            let found = cross_fit(&cohort(&names, 5, seed), 0.9).measured.unwrap();
            (held, all) = (held + found.coverage * found.patients as f64, all + found.patients as f64);
        }
        let coverage = held / all;
        assert!((0.885..0.93).contains(&coverage), "{coverage}");
    }

    #[test]
    fn few_patients_hold_it_as_often() {
        let names = names(13);
        let (mut held, mut all) = (0.0, 0.0);
        for seed in 0..400 {
            let found = cross_fit(&cohort(&names, 5, seed), 0.9).measured.unwrap();
            assert_eq!(found.patients, 13);
            (held, all) = (held + found.coverage * 13.0, all + 13.0);
        }
        let coverage = held / all;
        assert!((0.89..0.97).contains(&coverage), "{coverage}");
    }

    #[test]
    fn intervals_grow_with_the_percentage_and_stay_between_0_and_100() {
        let names = names(100);
        let fit = IntervalFit::on(&cohort(&names, 5, 1), 0.9).unwrap();
        let width = |found| {
            let [low, high] = fit.around(found);
            assert!(low <= found && found <= high);
            high - low
        };
        assert!(width(0.0) < 2.0 && width(5.0) < 10.0 && width(40.0) > 20.0, "{fit:?}");
        assert_eq!(fit.around(0.0)[0], 0.0);
        assert_eq!(fit.around(95.0)[1], 100.0);
        // As far up as down, by the factor.
        let [low, high] = fit.around(20.0);
        assert!(((high + 1.0) / 21.0 - 21.0 / (low + 1.0)).abs() < 1e-9);
    }

    #[test]
    fn too_few_patients_have_no_interval_and_volumes_do_not_count_as_patients() {
        let names = names(8);
        let mut cases = cohort(&names, 2, 1);
        cases.extend(cases.clone());
        assert_eq!(IntervalFit::on(&cases, 0.9), None);
        let none = cross_fit(&cases, 0.9);
        assert_eq!((none.measured, none.fit), (None, None));
        assert!(none.intervals.iter().all(Option::is_none));
        assert_eq!(IntervalFit::on(&cases, 0.5).unwrap().patients, 8);
    }

    #[test]
    fn a_patient_never_calibrates_his_own_interval() {
        let names = names(12);
        let mut cases = cohort(&names, 12, 3);
        // The second volume of the worst patient lies in another group.
        cases[0].truth = cases[0].found + 45.0;
        cases.push(Predicted { group: 5, ..cases[0] });
        let found = cross_fit(&cases, 0.9);
        assert_eq!(found.fit.unwrap().patients, 12);
        let worst =
            |i: usize| found.intervals[i].is_none_or(|[l, h]| l <= cases[i].truth && cases[i].truth <= h);
        assert!(!worst(0) && !worst(12));
        assert!(found.measured.unwrap().coverage < 1.0);
    }

    #[test]
    fn a_fit_survives_its_file_and_a_spoilt_one_is_told() {
        let names = names(20);
        let fit = cross_fit(&cohort(&names, 5, 2), 0.9).fit.unwrap();
        assert!(fit.measured.is_some() && fit.fault().is_none());
        let text = serde_json::to_string(&fit).unwrap();
        let back: IntervalFit = serde_json::from_str(&text).unwrap();
        assert!((back.factor - fit.factor).abs() < 1e-12);
        assert!(IntervalFit { version: 2, ..fit.clone() }.fault().unwrap().contains("version 2"));
        for bad in [IntervalFit { factor: f64::NAN, ..fit.clone() }, IntervalFit { level: 1.0, ..fit }] {
            assert!(bad.fault().unwrap().contains("right would be"));
        }
    }
}
