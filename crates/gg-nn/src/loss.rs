//! Losses on plain arrays, each with its derivative by the logits; one implementation for every engine.
//!
//! With logit z, probability p = 1 / (1 + exp(-z)), truth y (0 or 1; between them at coarser levels and where a teacher
//! has a share, where the cross-entropy is least at p = y, Dice and Tversky at a p of 0 or 1), N values in the batch, s
//! = smooth:
//!
//! * BCE: mean of `w (max(z, 0) - z y + ln(1 + exp(-|z|)))`, w the weight of the sample (class weights);
//! * Dice: `1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)`, sums over the whole batch as in the paper's lineage;
//! * BCE + Dice: weighted sum of both, the lineage has 0.5 and 0.5;
//! * Tversky: `1 - (tp + s) / (tp + alpha fp + beta fn + s)` with soft counts over the batch (Salehi et al. 2017);
//! * focal: mean of `w a (1 - q)^gamma (-ln q)`, q = p where y is 1, else 1 - p; a = alpha where y is 1, else 1 - alpha
//!   (Lin et al. 2017).
//!
//! Sums are f64, of a few thousand values at a time and then of these in their order: the same at any number of
//! threads. Golden set: `nn/losses` (PyTorch).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Values of one task.
const CHUNK: usize = 4096;

/// Which loss, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy.
    Bce {},
    /// One minus the soft Dice coefficient of the batch.
    Dice {
        /// Added to numerator and denominator.
        #[serde(default = "one")]
        smooth: f64,
    },
    /// Weighted sum of both.
    BceDice {
        /// Weight of the cross-entropy.
        #[serde(default = "half")]
        bce: f64,
        /// Weight of the Dice loss.
        #[serde(default = "half")]
        dice: f64,
        /// Added to numerator and denominator.
        #[serde(default = "one")]
        smooth: f64,
    },
    /// Dice with false positives and false negatives weighted apart.
    Tversky {
        /// Weight of false positives.
        #[serde(default = "tversky_alpha")]
        alpha: f64,
        /// Weight of false negatives.
        #[serde(default = "tversky_beta")]
        beta: f64,
        /// Added to numerator and denominator.
        #[serde(default = "one")]
        smooth: f64,
    },
    /// Cross-entropy that counts hard values more.
    Focal {
        /// Power of the miss.
        #[serde(default = "focal_gamma")]
        gamma: f64,
        /// Weight of positives; negatives have one minus it.
        #[serde(default = "focal_alpha")]
        alpha: f64,
    },
}

fn one() -> f64 {
    1.0
}
fn half() -> f64 {
    0.5
}
fn tversky_alpha() -> f64 {
    0.3
}
fn tversky_beta() -> f64 {
    0.7
}
fn focal_gamma() -> f64 {
    2.0
}
fn focal_alpha() -> f64 {
    0.25
}

/// Probability of a logit.
pub fn sigmoid(z: f32) -> f32 {
    sigmoid_f64(f64::from(z)) as f32
}

/// The probability whose logit is that of `p`, divided by a temperature; with its inverse, the way back.
pub fn tempered(p: f32, temperature: f32) -> f32 {
    if temperature == 1.0 { p } else { sigmoid((p / (1.0 - p)).ln() / temperature) }
}

fn sigmoid_f64(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

impl Loss {
    /// Value of the loss, and its derivative by each logit.
    ///
    /// `weights` has one value per sample (or is empty for all ones); `logits` and `targets` hold the samples one after
    /// the other, targets 0 to 1 (the focal loss takes those above a half for 1).
    pub fn value_and_slope(&self, logits: &[f32], targets: &[f32], weights: &[f32]) -> (f64, Vec<f32>) {
        let halves = |smooth: f64| Overlap { alpha: 0.5, beta: 0.5, smooth: smooth / 2.0 };
        let (bce, share, overlap) = match *self {
            Self::Bce {} => (1.0, 0.0, halves(0.0)),
            Self::Dice { smooth } => (0.0, 1.0, halves(smooth)),
            Self::BceDice { bce, dice, smooth } => (bce, dice, halves(smooth)),
            Self::Tversky { alpha, beta, smooth } => (0.0, 1.0, Overlap { alpha, beta, smooth }),
            Self::Focal { gamma, alpha } => return focal(logits, targets, weights, gamma, alpha),
        };
        mixed(logits, targets, weights, (bce, share, overlap))
    }

    /// Value of the loss alone.
    pub fn value(&self, logits: &[f32], targets: &[f32], weights: &[f32]) -> f64 {
        self.value_and_slope(logits, targets, weights).0
    }

    /// What is wrong with the numbers, in words; `None` where nothing is.
    pub fn problem(&self) -> Option<String> {
        let (numbers, names): (Vec<f64>, Vec<&str>) = match *self {
            Self::Bce {} => (vec![], vec![]),
            Self::Dice { smooth } => (vec![smooth], vec!["smooth"]),
            Self::BceDice { bce, dice, smooth } => (vec![bce, dice, smooth], vec!["bce", "dice", "smooth"]),
            Self::Tversky { alpha, beta, smooth } => {
                (vec![alpha, beta, smooth], vec!["alpha", "beta", "smooth"])
            }
            Self::Focal { gamma, alpha } => {
                if alpha > 1.0 {
                    return Some(format!("alpha of the focal loss is {alpha}, right would be 0 to 1"));
                }
                (vec![gamma, alpha], vec!["gamma", "alpha"])
            }
        };
        let bad = numbers.iter().zip(names).find(|(v, _)| !(v.is_finite() && **v >= 0.0));
        bad.map(|(v, name)| format!("{name} of the loss is {v}, right would be a number of at least 0"))
    }
}

/// Weight of value `i` where each sample has `per_sample` values.
fn weight(weights: &[f32], i: usize, per_sample: usize) -> f64 {
    if weights.is_empty() { 1.0 } else { f64::from(weights[i / per_sample]) }
}

fn per_sample(logits: &[f32], weights: &[f32]) -> usize {
    (logits.len() / weights.len().max(1)).max(1)
}

/// Tversky's index; with alpha = beta = 1/2 and half the smoothing it is Dice.
struct Overlap {
    alpha: f64,
    beta: f64,
    smooth: f64,
}

/// Cross-entropy and overlap with these weights.
fn mixed(
    logits: &[f32],
    targets: &[f32],
    weights: &[f32],
    (bce, share, of): (f64, f64, Overlap),
) -> (f64, Vec<f32>) {
    let n = logits.len() as f64;
    let per_sample = per_sample(logits, weights);
    let mut probs = vec![0.0f64; logits.len()];
    let chunks = probs.par_chunks_mut(CHUNK).zip(logits.par_chunks(CHUNK)).zip(targets.par_chunks(CHUNK));
    let parts: Vec<[f64; 4]> = chunks
        .enumerate()
        .map(|(chunk, ((probs, logits), targets))| {
            let mut sums = [0.0; 4];
            for (i, ((p, z), y)) in probs.iter_mut().zip(logits).zip(targets).enumerate() {
                let (z, y) = (f64::from(*z), f64::from(*y));
                let e = (-z.abs()).exp();
                *p = if z >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
                if bce != 0.0 {
                    let w = weight(weights, chunk * CHUNK + i, per_sample);
                    sums[0] += w * (z.max(0.0) - z * y + e.ln_1p());
                }
                sums[1] += *p * y;
                sums[2] += *p;
                sums[3] += y;
            }
            sums
        })
        .collect();
    let sum = |k: usize| parts.iter().map(|p| p[k]).sum::<f64>();
    let (tp, sum_p, sum_y) = (sum(1), sum(2), sum(3));
    let above = tp + of.smooth;
    let below = tp + of.alpha * (sum_p - tp) + of.beta * (sum_y - tp) + of.smooth;
    let slope_of = |(i, (p, y)): (usize, (&f64, &f32))| {
        let y = f64::from(*y);
        let mut slope = 0.0;
        if bce != 0.0 {
            slope += bce * weight(weights, i, per_sample) * (p - y) / n;
        }
        if share != 0.0 {
            let d_below = y + of.alpha * (1.0 - y) - of.beta * y;
            slope += share * -(y * below - above * d_below) / (below * below) * p * (1.0 - p);
        }
        slope as f32
    };
    let slopes = probs.par_iter().zip(targets).enumerate().with_min_len(CHUNK).map(slope_of).collect();
    let mut value = 0.0;
    if bce != 0.0 {
        value += bce * sum(0) / n;
    }
    if share != 0.0 {
        value += share * (1.0 - above / below);
    }
    (value, slopes)
}

fn focal(logits: &[f32], targets: &[f32], weights: &[f32], gamma: f64, alpha: f64) -> (f64, Vec<f32>) {
    let n = logits.len() as f64;
    let per_sample = per_sample(logits, weights);
    let terms = logits.par_iter().zip(targets).enumerate().with_min_len(CHUNK).map(|(i, (z, y))| {
        let (sign, a) = if *y > 0.5 { (1.0, alpha) } else { (-1.0, 1.0 - alpha) };
        let m = sign * f64::from(*z); // margin: positive where the value is right
        let a = a * weight(weights, i, per_sample);
        let ce = (-m).max(0.0) + (-m.abs()).exp().ln_1p();
        let (q, miss) = (sigmoid_f64(m), sigmoid_f64(-m));
        (a * miss.powf(gamma) * ce, -sign * a * miss.powf(gamma) * (gamma * q * ce + miss) / n)
    });
    let terms: Vec<(f64, f64)> = terms.collect();
    (terms.iter().map(|t| t.0).sum::<f64>() / n, terms.into_iter().map(|t| t.1 as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_prediction_has_a_loss_near_zero_in_every_loss() {
        let y = [0.0, 1.0, 1.0, 0.0];
        let z = [-40.0, 40.0, 40.0, -40.0];
        for text in ["bce", "dice", "bce_dice", "tversky", "focal"] {
            let loss: Loss = serde_json::from_str(&format!("{{\"kind\":\"{text}\"}}")).unwrap();
            assert!(loss.value(&z, &y, &[]).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn the_slope_is_the_difference_quotient_of_the_value() {
        let y = [0.0, 1.0, 1.0, 0.25, 1.0, 0.75];
        let z = [-1.5f32, 0.25, 2.0, 0.5, -0.75, -3.0];
        let w = [0.5, 2.0, 1.0];
        for loss in [
            Loss::Bce {},
            Loss::Dice { smooth: 1.0 },
            Loss::BceDice { bce: 0.3, dice: 0.9, smooth: 0.5 },
            Loss::Tversky { alpha: 0.2, beta: 0.8, smooth: 1.0 },
            Loss::Focal { gamma: 1.5, alpha: 0.4 },
        ] {
            let (_, slope) = loss.value_and_slope(&z, &y, &w);
            for i in 0..z.len() {
                let step = 1.0 / 1024.0;
                let (mut up, mut down) = (z, z);
                up[i] += step;
                down[i] -= step;
                let quotient =
                    (loss.value(&up, &y, &w) - loss.value(&down, &y, &w)) / (2.0 * f64::from(step));
                assert!((quotient - f64::from(slope[i])).abs() < 1e-6, "{loss:?} value {i}");
            }
        }
    }

    #[test]
    fn an_unknown_key_and_a_bad_number_of_a_loss_are_refused() {
        assert!(
            serde_json::from_str::<Loss>(r#"{"kind":"dice","smoth":1}"#)
                .unwrap_err()
                .to_string()
                .contains("smoth")
        );
        assert!(serde_json::from_str::<Loss>(r#"{"kind":"bce","x":1}"#).is_err());
        assert!(Loss::Dice { smooth: f64::NAN }.problem().unwrap().contains("smooth"));
        assert!(Loss::Focal { gamma: 2.0, alpha: 1.5 }.problem().is_some());
        assert_eq!(Loss::Bce {}.problem(), None);
    }
}
