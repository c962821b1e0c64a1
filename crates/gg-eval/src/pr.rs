//! The precision-recall curve, and average precision: the sum of precision over the steps of recall, without
//! interpolation (AP = sum of (R_n - R_(n-1)) P_n).
//!
//! Golden: `eval/classify` (`precision_recall_curve`, `average_precision_score` of scikit-learn, whose points run the
//! other way and end with an extra point of precision 1 at recall 0).

use crate::roc::cuts;
use serde::{Deserialize, Serialize};

/// Points of the curve, from the highest threshold to the lowest; recall grows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PrCurve {
    /// Share of the cases called positive that are.
    pub precision: Vec<f64>,
    /// Share of the positives that are called so.
    pub recall: Vec<f64>,
    /// Score from which on a case is called positive.
    pub thresholds: Vec<f64>,
    /// Area in steps; `None` where one class is missing (the curve is empty then).
    pub average_precision: Option<f64>,
}

/// The curve of scores against the truth.
///
/// # Shape
/// One score and one label per case.
pub fn pr_curve(scores: &[f32], labels: &[bool]) -> PrCurve {
    let cuts = cuts(scores, labels);
    let Some(last) = cuts.last().filter(|c| c.tp > 0 && c.fp > 0) else { return PrCurve::default() };
    let positives = last.tp as f64;
    let mut curve = PrCurve::default();
    let mut area = 0.0;
    let mut before = 0.0;
    for cut in &cuts {
        let precision = cut.tp as f64 / (cut.tp + cut.fp) as f64;
        let recall = cut.tp as f64 / positives;
        area += (recall - before) * precision;
        before = recall;
        curve.precision.push(precision);
        curve.recall.push(recall);
        curve.thresholds.push(f64::from(cut.threshold));
    }
    curve.average_precision = Some(area);
    curve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_order_has_average_precision_one() {
        assert_eq!(pr_curve(&[0.9, 0.8, 0.1], &[true, true, false]).average_precision, Some(1.0));
        assert_eq!(pr_curve(&[0.9, 0.8], &[true, true]).average_precision, None);
    }
}
