//! Scores of a classifier at one threshold: confusion matrix and what follows from it.
//!
//! Without positives there is no recall, without negatives no specificity, without a positive call no precision:
//! `None` each (scikit-learn says 0 and warns). Golden: `eval/classify` against scikit-learn.

use crate::{pr::pr_curve, roc::roc_curve, seg::ratio};
use gg_volume::{Warned, Warning};
use serde::{Deserialize, Serialize};

/// Cases by truth and call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confusion {
    /// Positives called positive.
    pub tp: u64,
    /// Negatives called positive.
    pub fp: u64,
    /// Positives called negative.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Negatives called negative.
    pub tn: u64,
}

/// All scores at one threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Score from which on a case is called positive; `None` where not all cases have the same one.
    pub threshold: Option<f64>,
    /// Cases whose truth is positive.
    pub positives: u64,
    /// Cases whose truth is negative.
    pub negatives: u64,
    /// Calls against the truth.
    pub confusion: Confusion,
    /// Share of right calls.
    pub accuracy: Option<f64>,
    /// Share of the positive calls that are right.
    pub precision: Option<f64>,
    /// Share of the positives found (sensitivity).
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Share of the negatives called so.
    pub specificity: Option<f64>,
    /// Area under the ROC curve; does not depend on the threshold.
    pub auroc: Option<f64>,
    /// Average precision; does not depend on the threshold.
    pub average_precision: Option<f64>,
}

/// Counts calls (`score >= threshold`) against the truth.
pub fn confusion(scores: &[f32], labels: &[bool], threshold: f32) -> Confusion {
    let called: Vec<bool> = scores.iter().map(|&s| s >= threshold).collect();
    count(&called, labels)
}

fn count(called: &[bool], labels: &[bool]) -> Confusion {
    let mut c = Confusion::default();
    for (&called, &label) in called.iter().zip(labels) {
        match (called, label) {
            (true, true) => c.tp += 1,
            (true, false) => c.fp += 1,
            (false, true) => c.fn_ += 1,
            (false, false) => c.tn += 1,
        }
    }
    c
}

/// All scores at one threshold. One class alone: what needs the other is `None`, and a warning says so.
///
/// # Shape
/// One score and one label per case.
pub fn class_scores(scores: &[f32], labels: &[bool], threshold: f32) -> Warned<ClassScores> {
    let called: Vec<bool> = scores.iter().map(|&s| s >= threshold).collect();
    let mut found = class_scores_called(scores, labels, &called);
    found.value.threshold = Some(f64::from(threshold));
    found
}

/// As [`class_scores`], of calls that were made elsewhere: with another threshold for each fold, say.
///
/// # Shape
/// One score, one label and one call per case.
pub fn class_scores_called(scores: &[f32], labels: &[bool], called: &[bool]) -> Warned<ClassScores> {
    let c = count(called, labels);
    let (positives, negatives) = (c.tp + c.fn_, c.fp + c.tn);
    let value = ClassScores {
        threshold: None,
        positives,
        negatives,
        confusion: c,
        accuracy: ratio(c.tp + c.tn, positives + negatives),
        precision: ratio(c.tp, c.tp + c.fp),
        recall: ratio(c.tp, positives),
        f1: ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn_),
        specificity: ratio(c.tn, negatives),
        auroc: roc_curve(scores, labels).auroc,
        average_precision: pr_curve(scores, labels).average_precision,
    };
    let mut warnings = Vec::new();
    if positives == 0 || negatives == 0 {
        let message = match (positives, negatives) {
            (0, 0) => "there is no case with a label: nothing can be scored".to_owned(),
            (0, n) => format!("all {n} labels are negative: recall and the curves have no value"),
            (n, _) => format!("all {n} labels are positive: specificity and the curves have no value"),
        };
        warnings.push(Warning::new("one_class_only", message));
    }
    Warned::new(value, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bootstrap::Interval, calibration, roc, youden_threshold};
    use gg_testkit::Golden;

    fn close(found: &[f64], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (f, e) in found.iter().zip(expected) {
            assert!(f == e || (f - e).abs() < 1e-9, "{what}: {f}, scikit-learn {e}");
        }
    }

    #[test]
    fn curves_and_measures_are_those_of_scikit_learn() {
        let golden = Golden::open("eval/classify.safetensors");
        for name in ["smooth", "ties", "bad"] {
            let scores = golden.f32(&format!("{name}.scores"));
            let labels: Vec<bool> = golden.u8(&format!("{name}.labels")).iter().map(|v| *v == 1).collect();
            let get = |part: &str| golden.f64(&format!("{name}.{part}"));
            let curve = roc::roc_curve(&scores, &labels);
            close(&curve.fpr, &get("fpr"), "fpr");
            close(&curve.tpr, &get("tpr"), "tpr");
            close(&curve.thresholds, &get("thresholds"), "thresholds");
            let pr = pr_curve(&scores, &labels);
            close(&pr.precision, &get("precision"), "precision");
            close(&pr.recall, &get("recall"), "recall");
            let threshold = 0.5;
            let s = class_scores(&scores, &labels, threshold);
            assert!(s.warnings.is_empty());
            let s = s.value;
            let found =
                [s.accuracy, s.precision, s.recall, s.f1, s.specificity, s.auroc, s.average_precision];
            close(&found.map(|v| v.unwrap()), &get("measures"), "measures");
            let c = s.confusion;
            close(&[c.tn, c.fp, c.fn_, c.tp].map(|v| v as f64), &get("confusion"), "confusion");
            close(&[f64::from(youden_threshold(&scores, &labels).unwrap())], &get("youden"), "Youden");
            let cal = calibration(&scores, &labels, 10);
            let pick = |f: fn(&crate::CalibrationBin) -> f64| cal.bins.iter().map(f).collect::<Vec<_>>();
            close(&pick(|b| b.observed), &get("prob_true"), "observed");
            close(&pick(|b| b.predicted), &get("prob_pred"), "predicted");
            close(&[cal.brier.unwrap()], &get("brier"), "Brier");
        }
    }

    #[test]
    fn one_class_alone_gives_nulls_and_a_warning() {
        let s = class_scores(&[0.9, 0.2], &[true, true], 0.5);
        assert_eq!(s.warnings[0].code, "one_class_only");
        assert_eq!((s.value.specificity, s.value.auroc, s.value.recall), (None, None, Some(0.5)));
        let s = class_scores(&[0.9, 0.2], &[false, false], 0.95);
        assert_eq!(
            (s.value.recall, s.value.precision, s.value.f1, s.value.accuracy),
            (None, None, None, Some(1.0))
        );
        assert_eq!(class_scores(&[], &[], 0.5).value.accuracy, None);
    }

    #[test]
    fn an_interval_can_be_put_around_any_of_them() {
        let scores = [0.9f32, 0.8, 0.3, 0.2, 0.7, 0.1];
        let labels = [true, true, false, false, false, true];
        let groups = ["a", "a", "b", "b", "c", "c"];
        let interval: Interval = crate::bootstrap_by_group(&groups, 1, 200, |rows| {
            let pick = |i: &usize| (scores[*i], labels[*i]);
            let (s, l): (Vec<f32>, Vec<bool>) = rows.iter().map(pick).unzip();
            roc_curve(&s, &l).auroc
        });
        assert_eq!(interval.mean, roc_curve(&scores, &labels).auroc);
        assert!(interval.undefined > 0 && interval.low <= interval.mean && interval.mean <= interval.high);
    }
}
