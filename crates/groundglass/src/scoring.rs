//! From masks and truth of many cases to `scores.json`: what is counted per case, and what is made of it over patients.

use crate::manifest::{Compute, ModelUsed, Program};
use crate::seen;
use gg_dataset::{Layout, Structure};
use gg_eval::{
    BlandAltman, ByBurden, Coverage, FreeSlices, FreeSummary, LogitCounts, PatientScore, Predicted,
    ScoredVolume, SegScores, SegSummary, bland_altman, by_burden, coverage, free_slices, mean_known,
    summarize,
};
use gg_volume::Warning;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

mod by_set;
mod classes;
mod reliability;

pub(crate) use by_set::SetScores;
pub(crate) use classes::{ClassIntervals, ClassSection, held_out};
pub(crate) use reliability::Reliability;

/// Version of `scores.json`.
const SCHEMA_VERSION: u32 = 1;
/// Seed of the bootstrap; fixed, so that the same masks give the same intervals.
const BOOTSTRAP_SEED: u64 = 20_230_407;

/// What was measured on one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CaseScores {
    pub(crate) case_id: String,
    pub(crate) patient: String,
    /// Index of its data set among [`Scores::data_sets`].
    pub(crate) data_set: usize,
    /// Hash of the CT that was scored.
    pub(crate) sha256: String,
    pub(crate) intensity: gg_volume::Intensity,
    /// What the labels of its slices tell.
    pub(crate) question: Question,
    /// Canonical slices scored.
    pub(crate) slices: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lung: Option<SegScores>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection: Option<SegScores>,
    /// Infected percentage of the lung.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung: Option<Measured>,
    /// Interval around the predicted percentage, fitted without this patient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung_interval: Option<[f64; 2]>,
    /// What was called infected on slices that show no infection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_free: Option<FreeSlices>,
    /// Probabilities of each structure's voxels against the truth, with the temperature that they were divided by.
    #[serde(skip)]
    pub(crate) voxels: [Option<(LogitCounts, f32)>; 2],
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
    /// What its logits were divided by; `None` also where the infected area was weighed in after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classify_temperature: Option<f32>,
    /// Whether the classifier's probabilities have the infected area in them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) area_weighed: bool,
    /// What the whole CT adds up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patient_score: Option<PatientScore>,
    /// Whether the CT shows infection; `None` where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shows_infection: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) slice_areas: Vec<SliceArea>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) slice_scores: Vec<SliceScore>,
    pub(crate) warnings: Vec<Warning>,
}

/// Three questions that are never mixed; the third, of patients, follows from slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Does a slice show infection?
    SliceShowsInfection,
    /// Is a single image one of COVID-19? Its label is the image's, whatever it shows.
    ImageIsCovid,
}

impl Question {
    /// What the labels of a layout tell.
    pub(crate) fn of(layout: Layout) -> Self {
        match layout {
            Layout::PictureTable => Self::ImageIsCovid,
            _ => Self::SliceShowsInfection,
        }
    }
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

/// One slice as the infection mask shows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct SliceArea {
    /// Canonical slice, counted from the feet.
    pub(crate) slice: usize,
    /// Infected share of the slice's pixels.
    pub(crate) infected_share: f32,
    /// Infected voxels over the lung voxels of the slice that has most of them; `None` where no lung was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) of_largest_lung: Option<f64>,
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
    /// What intervals around the percentage are worth: each case's was fitted on other patients. Not told of scans that a
    /// model was trained on, which its fit may know too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent_of_lung_interval: Option<Coverage>,
    /// Infection found on slices that show none, inside the lung or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) infection_free_slices: Option<FreeSummary>,
    /// Does a slice show infection? By the classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classification: Option<ClassSection>,
    /// The same question, answered by the infected share of the slice in the mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) classification_by_area: Option<ClassSection>,
    /// Is an image one of COVID-19? By the classifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) images: Option<ClassSection>,
    /// Does a patient's CT show infection? Where there are patients of both kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patients_with_infection: Option<ClassSection>,
    /// The main numbers of each data set by itself, where several were scored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) by_data_set: Vec<SetScores>,
    pub(crate) cases: Vec<CaseScores>,
    pub(crate) warnings: Vec<Warning>,
}

/// One segmented structure over all cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SegSection {
    pub(crate) summary: SegSummary,
    /// Mean Dice of each patient's cases.
    pub(crate) dice_per_patient: BTreeMap<String, Option<f64>>,
    /// Whether the probabilities of voxels mean what they say; of infection, inside the predicted lungs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reliability: Option<Reliability>,
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
    Scores {
        schema_version: SCHEMA_VERSION,
        program: Program::this(),
        leak: basis.leak,
        part: basis.part,
        fold: basis.fold,
        patients: patients.len(),
        predictions: basis.predictions,
        resamples: basis.resamples,
        lung: segmentation(&cases, Structure::Lung, basis.resamples),
        infection: segmentation(&cases, Structure::Infection, basis.resamples),
        infection_by_burden: told_apart(&cases, basis.resamples),
        percent_of_lung: percentages(&cases),
        percent_of_lung_interval: if seen::not_held_out(&warnings).is_some() {
            None
        } else {
            intervals(&cases)
        },
        infection_free_slices: free(&cases, basis.resamples),
        classification: classes::slices(
            &cases,
            Question::SliceShowsInfection,
            basis.resamples,
            &mut warnings,
        ),
        classification_by_area: classes::areas(&cases, basis.resamples),
        images: classes::slices(&cases, Question::ImageIsCovid, basis.resamples, &mut warnings),
        patients_with_infection: classes::patients(&cases, basis.resamples),
        by_data_set: by_set::by_set(&cases, basis.data_sets.len(), basis.resamples),
        data_sets: basis.data_sets,
        models: basis.models,
        compute: basis.compute,
        cases,
        warnings,
    }
}

/// The predicted percentages beside the true ones.
fn percentages(cases: &[CaseScores]) -> Option<BlandAltman> {
    let pair = |c: &CaseScores| c.percent_of_lung.and_then(|p| Some((p.pred?, p.truth?)));
    let pairs: Vec<(f64, f64)> = cases.iter().filter_map(pair).collect();
    (!pairs.is_empty()).then(|| bland_altman(&pairs))
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
        reliability: reliability::of_voxels(cases, structure),
    })
}

/// A case whose percentage is known and was predicted; `group` is what it was held out with.
pub(crate) fn predicted(case: &CaseScores, group: usize) -> Option<Predicted<'_>> {
    let percent = case.percent_of_lung?;
    Some(Predicted { patient: &case.patient, group, truth: percent.truth?, found: percent.pred? })
}

/// What the cases' intervals are worth.
fn intervals(cases: &[CaseScores]) -> Option<Coverage> {
    let known: Vec<(Predicted<'_>, Option<[f64; 2]>)> =
        cases.iter().filter_map(|c| Some((predicted(c, 0)?, c.percent_of_lung_interval))).collect();
    let (cases, intervals): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    coverage(&cases, &intervals)
}

fn free(cases: &[CaseScores], resamples: usize) -> Option<FreeSummary> {
    let volumes: Vec<(&str, FreeSlices)> =
        cases.iter().filter_map(|c| Some((c.patient.as_str(), c.infection_free?))).collect();
    free_slices(&volumes, BOOTSTRAP_SEED, resamples)
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
