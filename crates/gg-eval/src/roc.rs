//! The ROC curve: true against false positives at every threshold.
//!
//! A case counts as positive at a threshold where its score is equal or larger. Equal scores move together, so that
//! ties count half in the area (AUROC = P(positive scores higher) + P(equal) / 2), by trapezoids.
//! The first point is (0, 0) at an infinite threshold (`null` in JSON). Without both classes there is no curve.
//!
//! Golden: `eval/classify` (`roc_curve` without dropped points and `roc_auc_score` of scikit-learn).

use serde::{Deserialize, Serialize};

/// Points of the curve, from the highest threshold to the lowest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RocCurve {
    /// Share of the negatives called positive (1 - specificity).
    pub fpr: Vec<f64>,
    /// Share of the positives called positive (sensitivity).
    pub tpr: Vec<f64>,
    /// Score from which on a case is called positive; the first is infinite.
    #[serde(serialize_with = "write_thresholds", deserialize_with = "read_thresholds")]
    pub thresholds: Vec<f64>,
    /// Area under the curve; `None` where one class is missing (the curve is empty then).
    pub auroc: Option<f64>,
}

/// Counts at one threshold.
pub(crate) struct Cut {
    pub(crate) threshold: f32,
    pub(crate) tp: u64,
    pub(crate) fp: u64,
}

/// Counts of positives called so at each distinct score, from the highest to the lowest.
pub(crate) fn cuts(scores: &[f32], labels: &[bool]) -> Vec<Cut> {
    let mut order: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut cuts: Vec<Cut> = Vec::new();
    let (mut tp, mut fp) = (0, 0);
    for (score, label) in order {
        if label {
            tp += 1
        } else {
            fp += 1
        }
        match cuts.last_mut() {
            Some(last) if last.threshold == score => (last.tp, last.fp) = (tp, fp),
            _ => cuts.push(Cut { threshold: score, tp, fp }),
        }
    }
    cuts
}

/// The curve of scores against the truth.
///
/// # Shape
/// One score and one label per case.
pub fn roc_curve(scores: &[f32], labels: &[bool]) -> RocCurve {
    let cuts = cuts(scores, labels);
    let Some(last) = cuts.last().filter(|c| c.tp > 0 && c.fp > 0) else { return RocCurve::default() };
    let (positives, negatives) = (last.tp as f64, last.fp as f64);
    let mut curve = RocCurve { fpr: vec![0.0], tpr: vec![0.0], thresholds: vec![f64::INFINITY], auroc: None };
    // twice the area in whole numbers: exact, so that ties and order cannot matter
    let mut doubled: u128 = 0;
    let (mut tp, mut fp) = (0, 0);
    for cut in &cuts {
        doubled += u128::from(cut.fp - fp) * u128::from(cut.tp + tp);
        (tp, fp) = (cut.tp, cut.fp);
        curve.fpr.push(fp as f64 / negatives);
        curve.tpr.push(tp as f64 / positives);
        curve.thresholds.push(f64::from(cut.threshold));
    }
    curve.auroc = Some(doubled as f64 / (2.0 * positives * negatives));
    curve
}

/// The threshold at which sensitivity + specificity is largest (Youden's index); of several equal ones the highest,
/// which calls the fewest cases positive. `None` where one class is missing. It is always one of the scores.
pub fn youden_threshold(scores: &[f32], labels: &[bool]) -> Option<f32> {
    let cuts = cuts(scores, labels);
    let last = cuts.last().filter(|c| c.tp > 0 && c.fp > 0)?;
    // J * positives * negatives, whole and so exact
    let index = |c: &Cut| i128::from(c.tp) * i128::from(last.fp) - i128::from(c.fp) * i128::from(last.tp);
    let mut best = cuts.first()?;
    for cut in &cuts {
        if index(cut) > index(best) {
            best = cut;
        }
    }
    Some(best.threshold)
}

/// JSON has no infinity: it is written as `null`.
pub(crate) fn write_thresholds<S: serde::Serializer>(values: &[f64], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(values.iter().map(|v| v.is_finite().then_some(*v)))
}

/// The way back of [`write_thresholds`].
pub(crate) fn read_thresholds<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(d)?;
    Ok(values.into_iter().map(|v| v.unwrap_or(f64::INFINITY)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_counts_half() {
        let curve = roc_curve(&[0.5, 0.5], &[true, false]);
        assert_eq!(curve.auroc, Some(0.5));
        assert_eq!((curve.fpr, curve.tpr), (vec![0.0, 1.0], vec![0.0, 1.0]));
    }

    #[test]
    fn one_class_alone_has_no_curve() {
        for labels in [[true, true], [false, false]] {
            assert_eq!(roc_curve(&[0.1, 0.9], &labels), RocCurve::default());
            assert_eq!(youden_threshold(&[0.1, 0.9], &labels), None);
        }
        assert_eq!(roc_curve(&[], &[]).auroc, None);
    }

    #[test]
    fn youden_takes_the_highest_of_equal_thresholds() {
        let scores = [0.9, 0.8, 0.7, 0.6, 0.2, 0.1];
        let check = |labels: &[bool], expected: f32| {
            assert_eq!(youden_threshold(&scores[..labels.len()], labels), Some(expected), "{labels:?}");
        };
        check(&[true, true, false, true, false, false], 0.8); // 2/3 - 0 = 3/3 - 1/3
        check(&[true, false, false, true, true, false], 0.9); // 1/3 - 0 = 3/3 - 2/3
        check(&[true, true, false, true, true, false], 0.8); // 2/4 - 0 = 4/4 - 1/2
        check(&[false, true, true, true, false, false], 0.6);
        check(&[false, true], 0.8); // worse than chance: still a score, never infinity
    }

    #[test]
    fn the_infinite_threshold_survives_json() {
        let curve = roc_curve(&[0.25, 0.5, 0.75], &[false, true, true]);
        let text = serde_json::to_string(&curve).unwrap();
        assert!(text.contains("\"thresholds\":[null,0.75"), "{text}");
        assert_eq!(serde_json::from_str::<RocCurve>(&text).unwrap(), curve);
    }
}
