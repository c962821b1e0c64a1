//! From masks and truth of many cases to `scores.json`: what is counted per case, and what is made of it over patients.

use crate::manifest::{Compute, ModelUsed, Program};
use gg_dataset::{Layout, Structure};
use gg_eval::{
    BlandAltman, ByBurden, Calibration, ClassScores, Interval, PrCurve, RocCurve, ScoredVolume, SegScores,
    SegSummary, bland_altman, bootstrap_by_group, by_burden, calibration, class_scores, class_scores_called,
    mean_known, pr_curve, roc_curve, summarize,
};
use gg_volume::Warning;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Version of `scores.json`.
const SCHEMA_VERSION: u32 = 1;
/// Seed of the bootstrap; fixed, so that the same masks give the same intervals.
const BOOTSTRAP_SEED: u64 = 20_230_407;
/// Bins of the reliability curve.
const CALIBRATION_BINS: usize = 10;
/// The operating point that nobody chose.
const THRESHOLD_FIXED: f32 = 0.5;

/// What was measured on one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CaseScores {
    pub(crate) case_id: String,
    pub(crate) patient: String,
    /// Hash of the CT that was scored.
    pub(crate) sha256: String,
    pub(crate) intensity: gg_volume::Intensity,
    /// Canonical slices scored.
    pub(crate) slices: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lung: Option<SegScores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection: Option<SegScores>,
    /// Infected percentage of the lung.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung: Option<Measured>,
    /// Voxels of the true lungs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) true_lung_voxels: Option<u64>,
    /// Volume of the lungs in millilitres, where the spacing is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lung_ml: Option<Measured>,
    /// Volume of infection inside the lungs in millilitres, where the spacing is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_ml: Option<Measured>,
    /// Threshold of the classifier that saw this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classify_threshold: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) slice_scores: Vec<SliceScore>,
    pub(crate) warnings: Vec<Warning>,
}

/// A quantity measured twice: on the truth masks, and on the predicted ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Measured {
    pub(crate) truth: Option<f64>,
    pub(crate) pred: Option<f64>,
}

impl Measured {
    /// `None` where neither was measured.
    pub(crate) fn of(truth: Option<f64>, pred: Option<f64>) -> Option<Self> {
        (truth.is_some() || pred.is_some()).then_some(Self { truth, pred })
    }
}

impl CaseScores {
    /// The scores of one structure.
    pub(crate) fn of(&self, structure: Structure) -> Option<SegScores> {
        match structure {
            Structure::Lung => self.lung,
            Structure::Infection => self.infection,
        }
    }
}

/// One classified slice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct SliceScore {
    /// Canonical slice, counted from the feet.
    pub(crate) slice: usize,
    pub(crate) probability: f32,
    /// Whether it shows infection; `None` where nobody said.
    pub(crate) truth: Option<bool>,
}

/// Where predictions came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The bundles that were scored.
    Models,
    /// A folder of masks, of whatever program.
    Masks,
}

/// A data set that was scored; its name and place are the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ScoredSet {
    pub(crate) layout: Layout,
    /// Cases of it that were scored.
    pub(crate) cases: usize,
    /// Whether its CT are phantoms.
    pub(crate) phantoms: bool,
}

/// `scores.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scores {
    pub(crate) schema_version: u32,
    pub(crate) program: Program,
    /// Said where patients stand in training and in test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leak: Option<String>,
    /// Which part was scored.
    pub(crate) part: String,
    pub(crate) fold: Option<usize>,
    pub(crate) patients: usize,
    pub(crate) data_sets: Vec<ScoredSet>,
    /// What was scored.
    pub(crate) predictions: Source,
    pub(crate) models: Vec<ModelUsed>,
    /// What computed, where models did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compute: Option<Compute>,
    /// Bootstrap resamples behind each interval.
    pub(crate) resamples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lung: Option<SegSection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection: Option<SegSection>,
    /// The infection of volumes with and (nearly) without it, told apart; where the lungs are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_by_burden: Option<ByBurden>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung: Option<BlandAltman>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classification: Option<ClassSection>,
    pub(crate) cases: Vec<CaseScores>,
    pub(crate) warnings: Vec<Warning>,
}

/// One segmented structure over all cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SegSection {
    pub(crate) summary: SegSummary,
    /// Mean Dice of each patient's cases.
    pub(crate) dice_per_patient: BTreeMap<String, Option<f64>>,
}

/// Slices with and without infection over all cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassSection {
    /// Scores at the threshold that was chosen on validation data.
    pub(crate) scores: ClassScores,
    /// The same at 0.5.
    pub(crate) scores_at_half: ClassScores,
    pub(crate) intervals: ClassIntervals,
    /// Slices whose truth nobody stated; they are not scored.
    pub(crate) unlabelled: usize,
    pub(crate) roc: RocCurve,
    pub(crate) pr: PrCurve,
    pub(crate) calibration: Calibration,
}

/// 95 % intervals at the chosen threshold, over patients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassIntervals {
    pub(crate) accuracy: Interval,
    pub(crate) precision: Interval,
    pub(crate) recall: Interval,
    pub(crate) f1: Interval,
    pub(crate) specificity: Interval,
    pub(crate) auroc: Interval,
}

/// What the numbers stand on besides the cases themselves.
pub(crate) struct Basis {
    pub(crate) leak: Option<String>,
    pub(crate) part: String,
    pub(crate) fold: Option<usize>,
    pub(crate) data_sets: Vec<ScoredSet>,
    pub(crate) predictions: Source,
    pub(crate) models: Vec<ModelUsed>,
    pub(crate) compute: Option<Compute>,
    pub(crate) resamples: usize,
    pub(crate) warnings: Vec<Warning>,
}

/// Makes the means, curves and intervals.
pub(crate) fn sum_up(cases: Vec<CaseScores>, basis: Basis) -> Scores {
    let patients: BTreeSet<&str> = cases.iter().map(|c| c.patient.as_str()).collect();
    let mut warnings = basis.warnings;
    let pairs: Vec<(f64, f64)> = cases
        .iter()
        .filter_map(|c| c.percent_of_lung.as_ref())
        .filter_map(|p| Some((p.pred?, p.truth?)))
        .collect();
    Scores {
        schema_version: SCHEMA_VERSION,
        program: Program::this(),
        leak: basis.leak,
        part: basis.part,
        fold: basis.fold,
        patients: patients.len(),
        data_sets: basis.data_sets,
        predictions: basis.predictions,
        resamples: basis.resamples,
        lung: segmentation(&cases, Structure::Lung, basis.resamples),
        infection: segmentation(&cases, Structure::Infection, basis.resamples),
        infection_by_burden: told_apart(&cases, basis.resamples),
        percent_of_lung: (!pairs.is_empty()).then(|| bland_altman(&pairs)),
        classification: classification(&cases, basis.resamples, &mut warnings),
        models: basis.models,
        compute: basis.compute,
        cases,
        warnings,
    }
}

fn segmentation(cases: &[CaseScores], structure: Structure, resamples: usize) -> Option<SegSection> {
    let scored: Vec<(&str, SegScores)> =
        cases.iter().filter_map(|c| Some((c.patient.as_str(), c.of(structure)?))).collect();
    if scored.is_empty() {
        return None;
    }
    let mut by_patient: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for (patient, scores) in &scored {
        by_patient.entry((*patient).to_owned()).or_default().push(scores.dice);
    }
    Some(SegSection {
        summary: summarize(&scored, BOOTSTRAP_SEED, resamples),
        dice_per_patient: by_patient.into_iter().map(|(p, v)| (p, mean_known(v))).collect(),
    })
}

/// Infection scores of volumes whose true percentage is known.
fn told_apart(cases: &[CaseScores], resamples: usize) -> Option<ByBurden> {
    let volumes: Vec<ScoredVolume<'_>> = cases
        .iter()
        .filter_map(|c| {
            Some(ScoredVolume {
                patient: &c.patient,
                scores: c.infection?,
                truth_percent: c.percent_of_lung?.truth?,
                lung_voxels: c.true_lung_voxels?,
            })
        })
        .collect();
    (!volumes.is_empty()).then(|| by_burden(&volumes, BOOTSTRAP_SEED, resamples))
}

/// Adds the cases of the same data sets, in their order.
pub(crate) fn add_sets(all: &mut Vec<ScoredSet>, more: &[ScoredSet]) {
    if all.is_empty() {
        all.extend_from_slice(more);
        return;
    }
    all.iter_mut().zip(more).for_each(|(a, m)| a.cases += m.cases);
}

fn classification(
    cases: &[CaseScores],
    resamples: usize,
    warnings: &mut Vec<Warning>,
) -> Option<ClassSection> {
    let mut groups = Vec::new();
    let mut scores = Vec::new();
    let mut labels = Vec::new();
    let mut called = Vec::new();
    let mut unlabelled = 0;
    for case in cases {
        let Some(threshold) = case.classify_threshold else { continue };
        for slice in &case.slice_scores {
            match slice.truth {
                Some(label) => {
                    groups.push(case.patient.as_str());
                    scores.push(slice.probability);
                    labels.push(label);
                    called.push(slice.probability >= threshold);
                }
                None => unlabelled += 1,
            }
        }
    }
    if scores.is_empty() {
        return None;
    }
    let over = |pick: fn(&ClassScores) -> Option<f64>| {
        bootstrap_by_group(&groups, BOOTSTRAP_SEED, resamples, |rows| {
            let scores: Vec<f32> = rows.iter().map(|&i| scores[i]).collect();
            let labels: Vec<bool> = rows.iter().map(|&i| labels[i]).collect();
            let called: Vec<bool> = rows.iter().map(|&i| called[i]).collect();
            pick(&class_scores_called(&scores, &labels, &called).value)
        })
    };
    let thresholds: BTreeSet<u32> =
        cases.iter().filter_map(|c| c.classify_threshold).map(f32::to_bits).collect();
    let mut at_chosen = class_scores_called(&scores, &labels, &called).drain_into(warnings);
    if let [only] = thresholds.into_iter().collect::<Vec<_>>()[..] {
        at_chosen.threshold = Some(f64::from(f32::from_bits(only)));
    }
    Some(ClassSection {
        intervals: ClassIntervals {
            accuracy: over(|s| s.accuracy),
            precision: over(|s| s.precision),
            recall: over(|s| s.recall),
            f1: over(|s| s.f1),
            specificity: over(|s| s.specificity),
            auroc: over(|s| s.auroc),
        },
        scores: at_chosen,
        scores_at_half: class_scores(&scores, &labels, THRESHOLD_FIXED).value,
        unlabelled,
        roc: roc_curve(&scores, &labels),
        pr: pr_curve(&scores, &labels),
        calibration: calibration(&scores, &labels, CALIBRATION_BINS),
    })
}
