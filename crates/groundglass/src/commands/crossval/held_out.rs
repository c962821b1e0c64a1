//! What is fitted on held-out patients: intervals around the percentage, and a temperature for the voxels.

use crate::manifest;
use crate::scoring::{self, CaseScores, Reliability};
use anyhow::Result;
use gg_eval::{INTERVAL_LEVEL, IntervalFit, LogitCounts, Predicted, cross_fit};
use gg_nn::BundleInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `scores/interval.json`: the interval, and what it belongs to.
#[derive(Serialize, Deserialize)]
pub(in crate::commands) struct FittedInterval {
    #[serde(flatten)]
    pub(in crate::commands) fit: IntervalFit,
    /// Of what the networks are and do beyond their weights ([`recipe_sha256`]); earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::commands) recipe_sha256: Option<String>,
    /// SHA-256 of the scans that it was fitted on.
    #[serde(default)]
    pub(in crate::commands) scans: Vec<String>,
}

/// SHA-256 of a bundle's network, preparation, posture and clean-up: masks of bundles that differ in it have other errors.
pub(in crate::commands) fn recipe_sha256(info: &BundleInfo) -> Result<String> {
    Ok(manifest::sha256(&serde_json::to_vec(&(&info.net, &info.prepare, info.mirror, &info.clean))?))
}

/// A temperature fitted on the voxels of patients that no network was trained on, where no fold had validation data to fit
/// one on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::commands) struct HeldOutTemperature {
    /// What logits are to be divided by; for a network that is trained on all patients by the same recipe.
    pub(in crate::commands) temperature: f64,
    /// Mean negative log-likelihood of the voxels as they are, and with each fold's logits divided by a temperature
    /// that was fitted on the other folds.
    pub(in crate::commands) nll_before_and_after: [f64; 2],
    /// Expected calibration error of the same.
    #[serde(default)]
    pub(in crate::commands) ece_before_and_after: [Option<f64>; 2],
    /// Voxels inside the predicted lungs.
    pub(in crate::commands) voxels: u64,
}

/// Gives each case an interval around its percentage that was fitted on the patients of other folds alone; gives the fit
/// on all of them, for patients to come.
pub(super) fn put_intervals(cases: &mut [CaseScores], folds: &[usize]) -> Option<IntervalFit> {
    let known: Vec<(usize, Predicted<'_>)> = cases
        .iter()
        .zip(folds)
        .enumerate()
        .filter_map(|(i, (case, fold))| Some((i, scoring::predicted(case, *fold)?)))
        .collect();
    let predicted: Vec<Predicted<'_>> = known.iter().map(|(_, p)| *p).collect();
    let found = cross_fit(&predicted, INTERVAL_LEVEL);
    let places: Vec<usize> = known.into_iter().map(|(i, _)| i).collect();
    for (i, interval) in places.into_iter().zip(found.intervals) {
        cases[i].percent_of_lung_interval = interval;
    }
    found.fit
}

/// The temperature that all folds' voxels ask for, and the reliability of each fold's voxels with the temperature of
/// the others; `None` if a fold brought one of its own.
pub(super) fn held_out_temperature<'a>(
    voxels: impl Iterator<Item = (usize, &'a (LogitCounts, f32))>,
) -> Option<(HeldOutTemperature, Reliability)> {
    let mut of_folds: BTreeMap<usize, LogitCounts> = BTreeMap::new();
    for (fold, (counts, temperature)) in voxels {
        if *temperature != 1.0 {
            return None;
        }
        of_folds.entry(fold).or_default().merge(counts);
    }
    let merged = |left_out: Option<usize>| {
        let mut all = LogitCounts::default();
        of_folds.iter().filter(|(fold, _)| Some(**fold) != left_out).for_each(|(_, c)| all.merge(c));
        all
    };
    let all = merged(None);
    let fit = all.fit()?;
    let mut of_others = Vec::with_capacity(of_folds.len());
    for (fold, counts) in &of_folds {
        of_others.push((counts, merged(Some(*fold)).fit()?.temperature));
    }
    let after: f64 = of_others.iter().map(|(counts, t)| counts.nll_at(*t) * counts.cases() as f64).sum();
    let reliability = Reliability::of_counts(of_others.into_iter());
    let voxels = all.cases();
    let found = HeldOutTemperature {
        temperature: fit.temperature,
        nll_before_and_after: [fit.nll_before, after / voxels as f64],
        ece_before_and_after: [reliability.before.as_ref().and_then(|b| b.ece), reliability.after.ece],
        voxels,
    };
    Some((found, reliability))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voxels of logit 2 and -2, of which so many of ten are what the sign says.
    fn voxels(right: usize) -> LogitCounts {
        let mut counts = LogitCounts::default();
        for i in 0..1000 {
            let said = i % 2 == 0;
            counts.add(if said { 2.0 } else { -2.0 }, (i / 2 % 10 < right) == said);
        }
        counts
    }

    #[test]
    fn a_temperature_is_fitted_on_held_out_voxels_and_measured_on_those_of_other_folds() {
        let (sure, unsure) = ((voxels(9), 1.0), (voxels(8), 1.0));
        let (both, reliability) =
            held_out_temperature([(0, &sure), (1, &unsure), (1, &unsure)].into_iter()).unwrap();
        // Right are (9 + 8 + 8) / 30: the logit that says so is ln 5.
        assert!((both.temperature - 2.0 / 5f64.ln()).abs() < 0.01, "{both:?}");
        assert_eq!(both.voxels, 3000);
        let [before, after] = both.nll_before_and_after;
        // Each fold with the temperature of the other: ln 4 / 2 and ln 9 / 2 as sharp.
        let nll = |right: f64, z: f64| (1.0 + (-z).exp()).ln() * right + (1.0 + z.exp()).ln() * (1.0 - right);
        let expected = (nll(0.9, 4f64.ln()) + 2.0 * nll(0.8, 9f64.ln())) / 3.0;
        assert!((after - expected).abs() < 1e-3, "{after} for {expected}");
        assert!((before - (nll(0.9, 2.0) + 2.0 * nll(0.8, 2.0)) / 3.0).abs() < 1e-6);
        // Said 0.88 of what is right in 0.9 and 0.8, in one bin; then 0.8 of the 0.9 and 0.9 of the 0.8, in two bins.
        let [said, right] = [1.0 / (1.0 + (-2f64).exp()), 2.5 / 3.0];
        let [ece_before, ece_after] = both.ece_before_and_after.map(Option::unwrap);
        assert!((ece_before - (said - right).abs()).abs() < 1e-3, "{ece_before}");
        assert!((ece_after - 0.1).abs() < 1e-3, "{ece_after}");
        assert_eq!(reliability.after.bins.iter().map(|b| b.count).sum::<u64>(), both.voxels);
    }

    #[test]
    fn folds_that_were_calibrated_or_show_one_kind_alone_need_none() {
        let (own, calibrated) = ((voxels(9), 1.0), (voxels(8), 1.4));
        assert_eq!(held_out_temperature([(0, &own), (1, &calibrated)].into_iter()), None);
        assert_eq!(held_out_temperature([(0, &own)].into_iter()), None, "no other fold");
        assert_eq!(held_out_temperature(std::iter::empty()), None);
    }
}
