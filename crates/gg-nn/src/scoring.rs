//! Loss, Dice, accuracy and AUROC of a part of the data, batch by batch, and the temperature and threshold that suit it
//! best.

use crate::loss::{Loss, sigmoid};
use gg_eval::{LogitCounts, roc_curve, youden_threshold};
use serde::{Deserialize, Serialize};

/// Thresholds are looked for in steps of one hundredth.
const BINS: usize = 100;
/// Lowest and highest threshold of masks, in hundredths.
const THRESHOLDS: std::ops::RangeInclusive<usize> = 5..=95;
/// How much Dice a mask's threshold may give away for a truer volume, as a share of what lacks to 1: 0.005 where 0.75
/// is the highest, next to nothing where masks are nearly right.
const GIVEN_AWAY: f64 = 0.02;
/// Thresholds stay this far from 0 and 1.
const MARGIN: f32 = 1e-6;

/// Sums over samples of the training part; small enough to stand in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    loss: f64,
    samples: u64,
    /// Values called positive rightly, called positive, truly positive, called rightly, in all.
    hit: u64,
    called: u64,
    positive: u64,
    right: u64,
    values: u64,
}

/// What a pass over the validation part gives.
#[derive(Debug, Clone, PartialEq)]
pub struct PartScores {
    /// Mean loss per sample.
    pub loss: f64,
    /// Dice over all pixels at probability 0.5, `None` where none is positive; or accuracy of slices.
    pub metric: Option<f64>,
    /// Area under the ROC curve, for slices of both classes.
    pub auroc: Option<f64>,
    /// Threshold: for masks that of the truest volume among those of nearly the highest Dice, in steps of 0.01; for
    /// slices the maximum of TPR - FPR; 0.5 where the part cannot tell.
    pub threshold: f32,
    /// Dice or accuracy at that threshold.
    pub metric_at_threshold: Option<f64>,
    /// What logits are to be divided by, so that probabilities are calibrated; the threshold is one of calibrated
    /// probabilities. 1 where the part cannot tell.
    pub temperature: f32,
    /// Mean negative log-likelihood per pixel or slice before and after; `None` where the part cannot tell.
    pub nll: Option<[f64; 2]>,
}

/// Collects a pass over a part.
pub(crate) struct Scorer {
    sums: Sums,
    segments: bool,
    /// Pixels by hundredth of their probability: negative, positive.
    histogram: Vec<[u64; 2]>,
    counts: LogitCounts,
    logits: Vec<f32>,
    labels: Vec<bool>,
}

impl Sums {
    /// Takes in one batch.
    pub(crate) fn add(&mut self, loss: f64, samples: usize, logits: &[f32], targets: &[f32]) {
        self.loss += loss * samples as f64;
        self.samples += samples as u64;
        for (z, y) in logits.iter().zip(targets) {
            let (called, positive) = (*z >= 0.0, *y > 0.5);
            self.hit += u64::from(called && positive);
            self.called += u64::from(called);
            self.positive += u64::from(positive);
            self.right += u64::from(called == positive);
            self.values += 1;
        }
    }

    pub(crate) fn loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    /// Dice for masks, `None` where nothing is positive; accuracy for slices.
    pub(crate) fn metric(&self, segments: bool) -> Option<f64> {
        if segments {
            dice(self.hit, self.called, self.positive).filter(|_| self.positive > 0)
        } else {
            (self.values > 0).then(|| self.right as f64 / self.values as f64)
        }
    }
}

impl Scorer {
    pub(crate) fn new(segments: bool) -> Self {
        let histogram = if segments { vec![[0; 2]; BINS + 1] } else { vec![] };
        let counts = LogitCounts::default();
        Self { sums: Sums::default(), segments, histogram, counts, logits: vec![], labels: vec![] }
    }

    pub(crate) fn add(&mut self, loss: &Loss, n: usize, logits: &[f32], targets: &[f32], weights: &[f32]) {
        self.sums.add(loss.value(logits, targets, weights), n, logits, targets);
        for (z, y) in logits.iter().zip(targets) {
            let positive = *y > 0.5;
            self.counts.add(*z, positive);
            if self.segments {
                self.histogram[bin(sigmoid(*z))][usize::from(positive)] += 1;
            } else {
                self.logits.push(*z);
                self.labels.push(positive);
            }
        }
    }

    pub(crate) fn finish(self) -> PartScores {
        let (loss, metric) = (self.sums.loss(), self.sums.metric(self.segments));
        let fit = self.counts.fit();
        let temperature = fit.map_or(1.0, |f| f.temperature as f32);
        let nll = fit.map(|f| [f.nll_before, f.nll_after]);
        if self.segments {
            let (threshold, best) = best_dice(&self.histogram);
            let threshold = calibrated(threshold, temperature);
            return PartScores {
                loss,
                metric,
                auroc: None,
                threshold,
                metric_at_threshold: best,
                temperature,
                nll,
            };
        }
        let scores: Vec<f32> = self.logits.iter().map(|z| sigmoid(z / temperature)).collect();
        let auroc = roc_curve(&scores, &self.labels).auroc;
        let threshold = youden_threshold(&scores, &self.labels).unwrap_or(0.5).clamp(MARGIN, 1.0 - MARGIN);
        let right = scores.iter().zip(&self.labels).filter(|(s, l)| (**s >= threshold) == **l).count();
        let accuracy = (!scores.is_empty()).then(|| right as f64 / scores.len() as f64);
        PartScores { loss, metric, auroc, threshold, metric_at_threshold: accuracy, temperature, nll }
    }
}

/// Where a probability lies once logits are divided by `temperature`: what was called positive stays so.
fn calibrated(p: f32, temperature: f32) -> f32 {
    if temperature == 1.0 {
        return p;
    }
    sigmoid((p / (1.0 - p)).ln() / temperature).clamp(MARGIN, 1.0 - MARGIN)
}

/// The largest k for which `p >= k / 100`.
fn bin(p: f32) -> usize {
    let k = ((p * BINS as f32) as usize).min(BINS);
    if k < BINS && p >= hundredths(k + 1) {
        k + 1
    } else if k > 0 && p < hundredths(k) {
        k - 1
    } else {
        k
    }
}

fn hundredths(k: usize) -> f32 {
    k as f32 / BINS as f32
}

/// Among the thresholds whose Dice is within [`GIVEN_AWAY`] of the highest, that of the volume nearest to the truth, of
/// equal ones that of the higher Dice, then the nearest to 0.5.
///
/// Dice is flat about its summit, while the volume called is not: what is reported in the end is a volume.
fn best_dice(histogram: &[[u64; 2]]) -> (f32, Option<f64>) {
    let positive: u64 = histogram.iter().map(|b| b[1]).sum();
    let at = |k: usize| {
        let hit: u64 = histogram[k..].iter().map(|b| b[1]).sum();
        let called: u64 = hit + histogram[k..].iter().map(|b| b[0]).sum::<u64>();
        dice(hit, called, positive).filter(|_| positive > 0).map(|d| (k, d, called.abs_diff(positive)))
    };
    let scored: Vec<(usize, f64, u64)> = THRESHOLDS.filter_map(at).collect();
    let highest = scored.iter().map(|&(_, d, _)| d).fold(0.0, f64::max);
    let least = highest - GIVEN_AWAY * (1.0 - highest);
    let best = scored.into_iter().filter(|&(_, d, _)| d >= least).min_by(|a, b| {
        let middle = |k: usize| k.abs_diff(BINS / 2);
        a.2.cmp(&b.2).then(b.1.total_cmp(&a.1)).then(middle(a.0).cmp(&middle(b.0)))
    });
    best.map_or((0.5, None), |(k, d, _)| (hundredths(k), Some(d)))
}

fn dice(hit: u64, called: u64, positive: u64) -> Option<f64> {
    (called + positive > 0).then(|| 2.0 * hit as f64 / (called + positive) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logit(p: f32) -> f32 {
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn of_thresholds_of_nearly_the_highest_dice_the_truest_volume_wins() {
        let mut histogram = vec![[0, 0]; BINS + 1];
        histogram[80] = [0, 900];
        histogram[60] = [10, 20];
        histogram[40] = [43, 37];
        histogram[20] = [500, 43];
        // 930 of 1000 pixels are called from 0.6 on, Dice 1840 / 1930 = 0.9534; 1010 from 0.4 on, Dice 1914 / 2010 =
        // 0.9522: the second lacks 2.4 % more to 1 than the first.
        assert_eq!(best_dice(&histogram).0, 0.5, "as good as 0.6, and nearer to a half");
        // One pixel more is right: 0.9532 lacks 0.3 % more, and is truer.
        (histogram[40], histogram[20]) = ([42, 38], [500, 42]);
        let (threshold, dice) = best_dice(&histogram);
        assert_eq!(threshold, 0.4);
        assert!((dice.unwrap() - 1916.0 / 2010.0).abs() < 1e-12);
    }

    #[test]
    fn the_threshold_of_masks_is_that_of_the_highest_dice() {
        let mut s = Scorer::new(true);
        let probs = [0.05f32, 0.22, 0.315, 0.35, 0.9];
        let z: Vec<f32> = probs.iter().map(|p| logit(*p)).collect();
        s.add(&Loss::Bce {}, 1, &z, &[0.0, 0.0, 1.0, 1.0, 1.0], &[]);
        let scores = s.finish();
        assert_eq!(scores.metric, Some(0.5));
        assert_eq!(scores.metric_at_threshold, Some(1.0));
        // 0.23 to 0.31 are as good; what is kept is the place of 0.31 among calibrated probabilities.
        assert_eq!(scores.threshold, calibrated(0.31, scores.temperature));
    }

    #[test]
    fn a_calibrated_threshold_calls_the_same_values_positive() {
        let probs = [0.02f32, 0.2, 0.24, 0.26, 0.5, 0.74, 0.97];
        for temperature in [0.5f32, 1.0, 1.7, 10.0] {
            let threshold = calibrated(0.25, temperature);
            for p in probs {
                assert_eq!(sigmoid(logit(p) / temperature) >= threshold, p >= 0.25, "{p} at {temperature}");
            }
        }
        assert_eq!(calibrated(0.5, 3.0), 0.5, "one half stays one half");
    }

    #[test]
    fn slices_that_are_called_too_surely_get_a_temperature_above_one() {
        let mut s = Scorer::new(false);
        let z = [4.0f32, 4.0, 4.0, 4.0, -4.0, -4.0, -4.0, -4.0];
        s.add(&Loss::Bce {}, 8, &z, &[1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0], &[]);
        let scores = s.finish();
        assert!((sigmoid(4.0 / scores.temperature) - 0.75).abs() < 1e-3, "{scores:?}");
        assert_eq!(scores.threshold, sigmoid(4.0 / scores.temperature), "it is one of the calibrated scores");
        assert_eq!(scores.metric_at_threshold, Some(0.75));
        let [before, after] = scores.nll.unwrap();
        assert!(after < before);
    }

    #[test]
    fn each_probability_falls_into_the_bin_of_the_thresholds_it_reaches() {
        for k in 0..=BINS {
            assert_eq!(bin(hundredths(k)), k);
        }
        for p in [0.0999f32, 0.289_999_9, 0.569_999_9] {
            assert!(p >= hundredths(bin(p)) && p < hundredths(bin(p) + 1));
        }
    }

    #[test]
    fn a_part_of_one_class_has_no_auroc_and_keeps_one_half() {
        let mut s = Scorer::new(false);
        s.add(&Loss::Bce {}, 2, &[1.0, -1.0], &[1.0, 1.0], &[]);
        let scores = s.finish();
        assert_eq!((scores.auroc, scores.threshold, scores.metric), (None, 0.5, Some(0.5)));
        assert_eq!((scores.temperature, scores.nll), (1.0, None));
        let mut empty = Scorer::new(true);
        empty.add(&Loss::Bce {}, 1, &[-5.0, 5.0], &[0.0, 0.0], &[]);
        let scores = empty.finish();
        assert_eq!((scores.metric, scores.threshold), (None, 0.5));
    }
}
