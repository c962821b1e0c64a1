//! Scores of yes and no: of slices, of single images, of patients. Each question has its own section.

use super::reliability::{self, Reliability};
use super::{BOOTSTRAP_SEED, CaseScores, Question};
use gg_eval::{
    ClassScores, HeldOutSlice, Interval, PrCurve, RocCurve, bootstrap_by_group, class_scores,
    class_scores_called, pr_curve, roc_curve,
};
use gg_volume::Warning;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The operating point that nobody chose.
const THRESHOLD_FIXED: f32 = 0.5;

/// One question over all cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassSection {
    /// Scores at the model's threshold; of areas, where anything at all was found.
    pub(crate) scores: ClassScores,
    /// The same at 0.5; `None` where the scores are no probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scores_at_half: Option<ClassScores>,
    pub(crate) intervals: ClassIntervals,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intervals_at_half: Option<ClassIntervals>,
    /// Slices, images or patients whose truth nobody stated; they are not scored.
    pub(crate) unlabelled: usize,
    pub(crate) roc: RocCurve,
    pub(crate) pr: PrCurve,
    /// `None` where the scores are no probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reliability: Option<Reliability>,
}

/// 95 % intervals, over patients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassIntervals {
    pub(crate) accuracy: Interval,
    pub(crate) precision: Interval,
    pub(crate) recall: Interval,
    pub(crate) f1: Interval,
    pub(crate) specificity: Interval,
    pub(crate) auroc: Interval,
}

/// Something that was scored and called, with its truth.
struct Row<'a> {
    patient: &'a str,
    score: f32,
    truth: Option<bool>,
    /// Score from which on it is called positive.
    threshold: f32,
    /// What its logit was divided by.
    temperature: Option<f32>,
}

/// The classifier's slices or images, by the question that their data set asks.
pub(super) fn slices(
    cases: &[CaseScores],
    question: Question,
    resamples: usize,
    warnings: &mut Vec<Warning>,
) -> Option<ClassSection> {
    let mut rows = Vec::new();
    for case in cases.iter().filter(|c| c.question == question) {
        let Some(threshold) = case.classify_threshold else { continue };
        rows.extend(case.slice_scores.iter().map(|s| Row {
            patient: &case.patient,
            score: s.probability,
            truth: s.truth,
            threshold,
            temperature: case.classify_temperature,
        }));
    }
    section(&rows, true, resamples, warnings)
}

/// Slices that fits on other patients answered for.
pub(crate) fn held_out<'a>(slices: &[HeldOutSlice<'a>], resamples: usize) -> Option<ClassSection> {
    let row = |s: &HeldOutSlice<'a>| Row {
        patient: s.patient,
        score: s.probability,
        truth: Some(s.infected),
        threshold: s.threshold,
        temperature: None,
    };
    section(&slices.iter().map(row).collect::<Vec<_>>(), true, resamples, &mut Vec::new())
}

/// Slices by their infected area. An area is no probability, and nobody chose a threshold: any infection calls a slice
/// positive.
pub(super) fn areas(cases: &[CaseScores], resamples: usize) -> Option<ClassSection> {
    let mut rows = Vec::new();
    for case in cases.iter().filter(|c| c.question == Question::SliceShowsInfection) {
        rows.extend(case.slice_areas.iter().map(|s| Row {
            patient: &case.patient,
            score: s.infected_share,
            truth: s.truth,
            threshold: f32::MIN_POSITIVE,
            temperature: None,
        }));
    }
    both_kinds(&rows).then(|| section(&rows, false, resamples, &mut Vec::new())).flatten()
}

/// Patients: the highest score of each one's CTs, called by the slices' threshold; infected where one of his CTs is.
pub(super) fn patients(cases: &[CaseScores], resamples: usize) -> Option<ClassSection> {
    let mut by_patient: BTreeMap<&str, Row<'_>> = BTreeMap::new();
    for case in cases.iter().filter(|c| c.question == Question::SliceShowsInfection) {
        let Some(found) = case.patient_score else { continue };
        let row = Row {
            patient: &case.patient,
            score: found.score as f32,
            truth: case.shows_infection,
            threshold: case.classify_threshold.unwrap_or(THRESHOLD_FIXED),
            temperature: None,
        };
        match by_patient.get_mut(case.patient.as_str()) {
            None => {
                by_patient.insert(&case.patient, row);
            }
            Some(own) => {
                own.score = own.score.max(row.score);
                own.truth = match (own.truth, row.truth) {
                    (Some(true), _) | (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                };
            }
        }
    }
    let rows: Vec<Row<'_>> = by_patient.into_values().collect();
    both_kinds(&rows).then(|| section(&rows, true, resamples, &mut Vec::new())).flatten()
}

fn both_kinds(rows: &[Row<'_>]) -> bool {
    [true, false].iter().all(|kind| rows.iter().any(|r| r.truth == Some(*kind)))
}

fn section(
    rows: &[Row<'_>],
    probabilities: bool,
    resamples: usize,
    warnings: &mut Vec<Warning>,
) -> Option<ClassSection> {
    let known: Vec<(&Row<'_>, bool)> = rows.iter().filter_map(|r| Some((r, r.truth?))).collect();
    if known.is_empty() {
        return None;
    }
    let groups: Vec<&str> = known.iter().map(|(r, _)| r.patient).collect();
    let scores: Vec<f32> = known.iter().map(|(r, _)| r.score).collect();
    let labels: Vec<bool> = known.iter().map(|(_, l)| *l).collect();
    let called: Vec<bool> = known.iter().map(|(r, _)| r.score >= r.threshold).collect();
    let at_half: Vec<bool> = scores.iter().map(|s| *s >= THRESHOLD_FIXED).collect();
    let over = |statistic: &dyn Fn(&[usize]) -> Option<f64>| {
        bootstrap_by_group(&groups, BOOTSTRAP_SEED, resamples, statistic)
    };
    let auroc = over(&|rows| {
        let scores: Vec<f32> = rows.iter().map(|&i| scores[i]).collect();
        let labels: Vec<bool> = rows.iter().map(|&i| labels[i]).collect();
        roc_curve(&scores, &labels).auroc
    });
    let intervals = |called: &[bool]| {
        let of_calls = |pick: fn(&ClassScores) -> Option<f64>| {
            over(&|rows| {
                let labels: Vec<bool> = rows.iter().map(|&i| labels[i]).collect();
                let called: Vec<bool> = rows.iter().map(|&i| called[i]).collect();
                // Without scores there are no curves to sort for: calls alone are counted.
                pick(&class_scores_called(&[], &labels, &called).value)
            })
        };
        ClassIntervals {
            accuracy: of_calls(|s| s.accuracy),
            precision: of_calls(|s| s.precision),
            recall: of_calls(|s| s.recall),
            f1: of_calls(|s| s.f1),
            specificity: of_calls(|s| s.specificity),
            auroc,
        }
    };
    let mut at_chosen = class_scores_called(&scores, &labels, &called).drain_into(warnings);
    let thresholds: BTreeSet<u32> = rows.iter().map(|r| r.threshold.to_bits()).collect();
    if let [only] = thresholds.into_iter().collect::<Vec<_>>()[..] {
        at_chosen.threshold = Some(f64::from(f32::from_bits(only)));
    }
    let temperatures: Vec<Option<f32>> = known.iter().map(|(r, _)| r.temperature).collect();
    Some(ClassSection {
        intervals: intervals(&called),
        intervals_at_half: probabilities.then(|| intervals(&at_half)),
        scores: at_chosen,
        scores_at_half: probabilities.then(|| class_scores(&scores, &labels, THRESHOLD_FIXED).value),
        unlabelled: rows.len() - known.len(),
        roc: roc_curve(&scores, &labels),
        pr: pr_curve(&scores, &labels),
        reliability: probabilities.then(|| reliability::of_scores(&scores, &temperatures, &labels)),
    })
}
