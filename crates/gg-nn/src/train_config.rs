//! Settings of a training run, besides data and network.

use crate::loss::Loss;
use crate::mirror::Mirror;
use crate::optim::{AdamConfig, Clip};
use crate::schedule::{EarlyStopping, Schedule};
use serde::{Deserialize, Serialize};

/// How a network is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// What is minimised.
    pub loss: Loss,
    /// The optimiser.
    pub adam: AdamConfig,
    /// Learning rate over the run.
    pub schedule: Schedule,
    /// Samples per step.
    pub batch: usize,
    /// Passes over the training part.
    pub epochs: u64,
    /// Limit of the gradients.
    pub clip: Clip,
    /// Decay of the moving average of weights that is validated and kept; without, the weights themselves are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// What the finished network looks at each slice with when it is scored and predicts, at twice the time.
    pub mirror: Mirror,
    /// Share of the truth that is what trained networks say, where there are some to learn from; the rest is masks or
    /// labels.
    #[serde(skip_serializing_if = "is_half")]
    pub teacher_share: f64,
    /// When to end before the last epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Weights of negative and positive slices in the loss (cross-entropy and focal).
    pub class_weights: ClassWeights,
    /// Which epoch is the best one.
    pub select: Select,
    /// Minutes between checkpoints inside an epoch; one is written after each epoch anyway.
    pub checkpoint_minutes: f64,
}

/// Weights of negative and positive slices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassWeights {
    /// All 1.
    None {},
    /// `all / (2 * of this class)`, as scikit-learn's `balanced`.
    Balanced {},
    /// As given.
    Fixed {
        /// Of slices without infection.
        negative: f32,
        /// Of slices with infection.
        positive: f32,
    },
}

/// Which epoch is the best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Highest Dice for masks, highest AUROC for slices; lowest loss where validation holds one class only.
    Auto,
    /// Lowest loss on validation.
    Loss,
    /// Highest Dice or accuracy on validation; lowest loss where nothing is positive in any mask.
    Metric,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_half(share: &f64) -> bool {
    *share == 0.5
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            loss: Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 },
            adam: AdamConfig::default(),
            schedule: Schedule::Constant {},
            batch: 8,
            epochs: 20,
            clip: Clip::None {},
            ema: None,
            mirror: Mirror::None,
            teacher_share: 0.5,
            early_stopping: None,
            class_weights: ClassWeights::None {},
            select: Select::Auto,
            checkpoint_minutes: 5.0,
        }
    }
}

impl TrainConfig {
    /// What is wrong with the settings, as one sentence; `None` where they can be used.
    pub fn fault(&self) -> Option<String> {
        let a = &self.adam;
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if !positive(a.lr) {
            return Some(format!("adam.lr is {}, right would be above 0", a.lr));
        }
        if !((0.0..1.0).contains(&a.beta1) && (0.0..1.0).contains(&a.beta2) && a.eps > 0.0) {
            return Some("adam.beta1 and beta2 are at least 0 and below 1, eps is above 0".to_owned());
        }
        if self.batch == 0 || self.epochs == 0 {
            return Some(format!(
                "batch {} and epochs {}, right would be at least 1",
                self.batch, self.epochs
            ));
        }
        if let Clip::Norm { max } | Clip::Value { max } = self.clip
            && !positive(max)
        {
            return Some(format!("clip.max is {max}, right would be above 0"));
        }
        if let Some(decay) = self.ema.filter(|d| !(0.0..1.0).contains(d)) {
            return Some(format!("ema is {decay}, right would be at least 0 and below 1"));
        }
        if !(0.0..=1.0).contains(&self.teacher_share) {
            return Some(format!("teacher_share is {}, right would be 0 to 1", self.teacher_share));
        }
        if let ClassWeights::Fixed { negative, positive } = self.class_weights
            && !(negative >= 0.0 && positive >= 0.0 && negative + positive > 0.0)
        {
            return Some(format!(
                "class weights {negative} and {positive}, right would be at least 0, one above"
            ));
        }
        if !positive(self.checkpoint_minutes) {
            return Some(format!(
                "checkpoint_minutes is {}, right would be above 0",
                self.checkpoint_minutes
            ));
        }
        self.loss.problem().or_else(|| self.schedule.problem())
    }
}

impl ClassWeights {
    /// Weights of negatives and positives for these numbers of each; `None` where all are 1.
    pub fn resolve(&self, counts: [usize; 2]) -> Option<[f32; 2]> {
        match *self {
            Self::None {} => None,
            Self::Fixed { negative, positive } => Some([negative, positive]),
            Self::Balanced {} => {
                let all = (counts[0] + counts[1]) as f64;
                Some(counts.map(|n| if n == 0 { 1.0 } else { (all / (2.0 * n as f64)) as f32 }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_named() {
        assert_eq!(TrainConfig::default().fault(), None);
        let base = TrainConfig::default;
        for (config, word) in [
            (TrainConfig { adam: AdamConfig { lr: f64::NAN, ..AdamConfig::default() }, ..base() }, "adam.lr"),
            (TrainConfig { epochs: 0, ..base() }, "epochs"),
            (TrainConfig { ema: Some(1.0), ..base() }, "ema"),
            (TrainConfig { clip: Clip::Norm { max: -1.0 }, ..base() }, "clip"),
            (TrainConfig { teacher_share: 1.5, ..base() }, "teacher_share"),
            (TrainConfig { checkpoint_minutes: 0.0, ..base() }, "checkpoint_minutes"),
        ] {
            assert!(config.fault().is_some_and(|f| f.contains(word)), "{word}");
        }
    }

    #[test]
    fn balanced_class_weights_are_those_of_scikit_learn() {
        assert_eq!(ClassWeights::Balanced {}.resolve([30, 10]), Some([2.0 / 3.0, 2.0]));
        assert_eq!(ClassWeights::Balanced {}.resolve([0, 10]), Some([1.0, 0.5]));
        assert_eq!(ClassWeights::None {}.resolve([1, 2]), None);
    }
}
