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

/// 95 % intervals, over the patients of what each one counts: where that is all of one patient there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ClassIntervals {
    /// Over all.
    pub(crate) accuracy: Interval,
    /// Over what was called positive.
    pub(crate) precision: Interval,
    /// Over the positives.
    pub(crate) recall: Interval,
    /// Over all; decided by the patients with a positive or something called so.
    pub(crate) f1: Interval,
    /// Over the negatives.
    pub(crate) specificity: Interval,
    /// Over all; decided by the patients with a positive or by those with a negative, whoever are fewer.
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

/// What is drawn from: a patient, a score and a label per row.
struct Drawing<'a> {
    patients: &'a [&'a str],
    scores: &'a [f32],
    labels: &'a [bool],
    resamples: usize,
}

impl Drawing<'_> {
    /// The rows that count.
    fn rows(&self, counts: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..self.labels.len()).filter(|&i| counts(i)).collect()
    }

    /// The number of patients who have a row that counts.
    fn patients_with(&self, counts: impl Fn(usize) -> bool) -> usize {
        self.rows(counts).into_iter().map(|i| self.patients[i]).collect::<BTreeSet<_>>().len()
    }

    /// A statistic of the rows that count, with its interval over the patients who have such rows.
    fn over(&self, counts: impl Fn(usize) -> bool, statistic: impl Fn(&[usize]) -> Option<f64>) -> Interval {
        let rows = self.rows(counts);
        let patients: Vec<&str> = rows.iter().map(|&i| self.patients[i]).collect();
        bootstrap_by_group(&patients, BOOTSTRAP_SEED, self.resamples, |drawn| {
            statistic(&drawn.iter().map(|&d| rows[d]).collect::<Vec<_>>())
        })
    }

    fn auroc(&self) -> Interval {
        let rarer = self.patients_with(|i| self.labels[i]).min(self.patients_with(|i| !self.labels[i]));
        let area = |rows: &[usize]| {
            let scores: Vec<f32> = rows.iter().map(|&i| self.scores[i]).collect();
            let labels: Vec<bool> = rows.iter().map(|&i| self.labels[i]).collect();
            roc_curve(&scores, &labels).auroc
        };
        self.over(|_| true, area).decided_by(rarer)
    }

    /// Each over the rows of its denominator.
    fn intervals(&self, called: &[bool], auroc: Interval) -> ClassIntervals {
        let of_calls = |rows: &[usize], pick: fn(&ClassScores) -> Option<f64>| {
            let labels: Vec<bool> = rows.iter().map(|&i| self.labels[i]).collect();
            let called: Vec<bool> = rows.iter().map(|&i| called[i]).collect();
            // Without scores there are no curves to sort for: calls alone are counted.
            pick(&class_scores_called(&[], &labels, &called).value)
        };
        let of_f1 = self.patients_with(|i| self.labels[i] || called[i]);
        ClassIntervals {
            accuracy: self.over(|_| true, |rows| of_calls(rows, |s| s.accuracy)),
            precision: self.over(|i| called[i], |rows| of_calls(rows, |s| s.precision)),
            recall: self.over(|i| self.labels[i], |rows| of_calls(rows, |s| s.recall)),
            f1: self.over(|_| true, |rows| of_calls(rows, |s| s.f1)).decided_by(of_f1),
            specificity: self.over(|i| !self.labels[i], |rows| of_calls(rows, |s| s.specificity)),
            auroc,
        }
    }
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
    let scores: Vec<f32> = known.iter().map(|(r, _)| r.score).collect();
    let labels: Vec<bool> = known.iter().map(|(_, l)| *l).collect();
    let called: Vec<bool> = known.iter().map(|(r, _)| r.score >= r.threshold).collect();
    let at_half: Vec<bool> = scores.iter().map(|s| *s >= THRESHOLD_FIXED).collect();
    let patients: Vec<&str> = known.iter().map(|(r, _)| r.patient).collect();
    let drawing = Drawing { patients: &patients, scores: &scores, labels: &labels, resamples };
    let auroc = drawing.auroc();
    let intervals = |called: &[bool]| drawing.intervals(called, auroc);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Three slices with infection of each patient, and `negatives` without, of the given patient; one of them is called.
    fn slices<'a>(patients: &'a [String], negatives: usize, whose: &'a str) -> Vec<HeldOutSlice<'a>> {
        let slice =
            |patient, probability, infected| HeldOutSlice { patient, probability, threshold: 0.5, infected };
        let positives =
            patients.iter().flat_map(|p| [0.9, 0.8, 0.4].map(|found| slice(p.as_str(), found, true)));
        let free = (0..negatives).map(|i| slice(whose, if i == 0 { 0.85 } else { 0.1 }, false));
        positives.chain(free).collect()
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("p{i:02}")).collect()
    }

    #[test]
    fn what_one_patient_alone_decides_has_no_interval() {
        let names = names(13);
        let found = held_out(&slices(&names, 22, "p03"), 200).unwrap();
        let of = &found.intervals;
        assert_eq!(of.specificity.mean, Some(21.0 / 22.0));
        assert_eq!((of.specificity.n_groups, of.specificity.n_values), (1, 22));
        for (what, i) in [("specificity", &of.specificity), ("auroc", &of.auroc)] {
            assert_eq!((i.low, i.high, i.few_groups), (None, None, true), "{what}");
        }
        assert_eq!(of.auroc.mean, found.scores.auroc);
        // Two thirds of each patient's positives are called, and one negative.
        assert_eq!((of.recall.n_groups, of.recall.n_values, of.recall.few_groups), (13, 39, false));
        assert_eq!((of.precision.n_groups, of.precision.n_values), (13, 27));
        for i in [&of.accuracy, &of.f1] {
            assert_eq!((i.n_groups, i.n_values, i.few_groups), (13, 61, false));
            assert!(i.low < i.high);
        }
    }

    #[test]
    fn few_patients_with_negatives_are_told() {
        let names = names(13);
        let mut few = slices(&names, 5, "p03");
        few.extend(slices(&names[..2], 4, "p07"));
        let of = held_out(&few, 200).unwrap().intervals;
        for (what, i) in [("specificity", &of.specificity), ("auroc", &of.auroc)] {
            assert!(i.few_groups && i.low < i.high, "{what}: {i:?}");
        }
        assert_eq!((of.specificity.n_groups, of.specificity.undefined), (2, 0));
    }

    #[test]
    fn patients_who_all_have_both_kinds_are_drawn_as_one_would_draw_all_rows() {
        let names = names(12);
        let all: Vec<HeldOutSlice<'_>> =
            names.iter().enumerate().flat_map(|(i, p)| slices(&names[i..=i], 1 + i % 4, p)).collect();
        let of = held_out(&all, 200).unwrap().intervals;
        let patients: Vec<&str> = all.iter().map(|s| s.patient).collect();
        let specificity = bootstrap_by_group(&patients, BOOTSTRAP_SEED, 200, |rows| {
            let free: Vec<&HeldOutSlice<'_>> =
                rows.iter().map(|&i| &all[i]).filter(|s| !s.infected).collect();
            Some(free.iter().filter(|s| s.probability < 0.5).count() as f64 / free.len() as f64)
        });
        assert_eq!((of.specificity.low, of.specificity.high), (specificity.low, specificity.high));
    }
}
