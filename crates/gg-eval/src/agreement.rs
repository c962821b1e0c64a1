//! Agreement of two measurements of one thing, such as predicted and true percentages of infected lung.
//!
//! Bland-Altman: the mean of the differences (bias) and bias ± 1.96 standard deviations (n - 1), within which 95 % of
//! the differences lie if they are normal.
//!
//! # Source
//! Bland and Altman, Lancet 1986.

use crate::median;
use serde::{Deserialize, Serialize};

/// Differences `found - truth` of pairs.
///
/// # Units
/// Those of the measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlandAltman {
    /// `(mean of the pair, difference)`, in the order of the input: the points of the plot.
    pub points: Vec<[f64; 2]>,
    /// Mean difference; `None` without pairs.
    pub bias: Option<f64>,
    /// Standard deviation of the differences; `None` with fewer than two pairs.
    pub deviation: Option<f64>,
    /// Lower and upper limit of agreement; `None` with fewer than two pairs.
    pub limits: Option<[f64; 2]>,
    /// Mean absolute difference.
    pub mean_absolute_error: Option<f64>,
    /// Median absolute difference (mean of the middle two where their number is even).
    pub median_absolute_error: Option<f64>,
    /// Largest absolute difference.
    pub max_absolute_error: Option<f64>,
}

/// 97.5th percentile of the normal distribution.
const NORMAL_95: f64 = 1.96;

/// Compares pairs `(found, truth)`.
pub fn bland_altman(pairs: &[(f64, f64)]) -> BlandAltman {
    let points: Vec<[f64; 2]> = pairs.iter().map(|(f, t)| [0.5 * (f + t), f - t]).collect();
    let n = points.len();
    let bias = (n > 0).then(|| points.iter().map(|p| p[1]).sum::<f64>() / n as f64);
    let deviation = bias
        .filter(|_| n > 1)
        .map(|bias| (points.iter().map(|p| (p[1] - bias).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt());
    let limits = bias.zip(deviation).map(|(b, d)| [b - NORMAL_95 * d, b + NORMAL_95 * d]);
    let errors: Vec<f64> = points.iter().map(|p| p[1].abs()).collect();
    BlandAltman {
        mean_absolute_error: (n > 0).then(|| errors.iter().sum::<f64>() / n as f64),
        median_absolute_error: median(errors.clone()),
        max_absolute_error: errors.into_iter().max_by(f64::total_cmp),
        points,
        bias,
        deviation,
        limits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bias_and_limits_follow_from_the_differences() {
        let b = bland_altman(&[(12.0, 10.0), (21.0, 20.0), (33.0, 30.0), (38.0, 40.0)]);
        assert_eq!(b.bias, Some(1.0));
        let deviation = (14.0f64 / 3.0).sqrt();
        assert!((b.deviation.unwrap() - deviation).abs() < 1e-12);
        assert!((b.limits.unwrap()[1] - (1.0 + 1.96 * deviation)).abs() < 1e-12);
        assert_eq!(
            (b.mean_absolute_error, b.median_absolute_error, b.max_absolute_error),
            (Some(2.0), Some(2.0), Some(3.0))
        );
        assert_eq!(b.points[0], [11.0, 2.0]);
    }

    #[test]
    fn without_pairs_there_is_nothing() {
        assert_eq!(bland_altman(&[]).bias, None);
        assert_eq!(bland_altman(&[(1.0, 1.0)]).limits, None);
    }
}
