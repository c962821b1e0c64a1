//! Adam, gradient clipping, running statistics and the moving average of weights, on plain arrays.
//!
//! Adam is Kingma and Ba's algorithm 1 as PyTorch computes it: with m and v the moments after step t,
//! `w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)`. (Keras puts eps beside the uncorrected root, which is
//! PyTorch's with eps / sqrt(1 - b2^t): larger in the first steps, the same later; the paper profile takes Keras's value
//! 1e-7 in PyTorch's place, where both are negligible.)
//!
//! Running statistics: `running = momentum * running + (1 - momentum) * batch` with the **unbiased** batch variance, as
//! PyTorch and Keras's fused kernel have it.
//!
//! All loops are elementwise or sum in a fixed order. Golden sets: `nn/unet`, `nn/classifier_*` (10 steps, running
//! statistics).

use crate::engine::{BatchStats, Isa};
use crate::net::{Graph, Op};
use crate::weights::Weights;
use gg_kernels::{AdamStep, adam_step};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Values per task; large enough that the loop pays for the task.
const CHUNK: usize = 1 << 15;

/// Settings of Adam.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamConfig {
    /// Learning rate before the schedule.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// Limit of the gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clip {
    /// No limit.
    None {},
    /// All gradients are scaled together where their Euclidean norm exceeds `max`.
    Norm {
        /// Largest norm.
        max: f64,
    },
    /// Each value is cut to `-max..max`.
    Value {
        /// Largest absolute value.
        max: f64,
    },
}

/// Moments of Adam.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adam {
    /// Steps taken.
    pub steps: u64,
    /// First moments.
    pub m: Weights,
    /// Second moments.
    pub v: Weights,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-7 }
    }
}

impl Adam {
    /// Before the first step.
    pub fn new(graph: &Graph) -> Self {
        Self { steps: 0, m: Weights::zeros_of_trained(graph), v: Weights::zeros_of_trained(graph) }
    }

    /// One step with this learning rate; every instruction set gives the same bytes.
    pub fn step(
        &mut self,
        isa: Isa,
        config: &AdamConfig,
        lr: f64,
        weights: &mut Weights,
        gradients: &Weights,
    ) {
        self.steps += 1;
        let t = self.steps.min(i32::MAX as u64) as i32;
        let rate = (lr / (1.0 - config.beta1.powi(t))) as f32;
        let root = (1.0 - config.beta2.powi(t)).sqrt() as f32;
        let step = AdamStep {
            rate,
            root,
            betas: (config.beta1 as f32, config.beta2 as f32),
            rests: ((1.0 - config.beta1) as f32, (1.0 - config.beta2) as f32),
            eps: config.eps as f32,
        };
        for (name, g) in &gradients.tensors {
            let moments = (self.m.tensors.get_mut(name), self.v.tensors.get_mut(name));
            let ((Some(m), Some(v)), Some(w)) = (moments, weights.tensors.get_mut(name)) else { continue };
            adam_step(isa, step, &mut w.values, &mut m.values, &mut v.values, &g.values);
        }
    }
}

impl Clip {
    /// Limits the gradients in place; returns their norm before where it was needed.
    pub fn apply(&self, gradients: &mut Weights) -> Option<f64> {
        match *self {
            Self::None {} => None,
            Self::Norm { max } => {
                let norm = norm(gradients);
                if norm > max {
                    let factor = (max / norm) as f32;
                    each(gradients, |v| v * factor);
                }
                Some(norm)
            }
            Self::Value { max } => {
                let max = max as f32;
                each(gradients, |v| v.clamp(-max, max));
                None
            }
        }
    }
}

/// Moves running statistics towards those of a batch.
pub fn update_running_stats(graph: &Graph, weights: &mut Weights, stats: &[BatchStats]) {
    for s in stats {
        let momentum = graph.layers.iter().find_map(|l| match l.op {
            Op::BatchNorm { momentum, .. } if l.name == s.layer => Some(momentum),
            _ => None,
        });
        let Some(kept) = momentum else { continue };
        let unbiased = s.count as f64 / (s.count.max(2) - 1) as f64;
        for (suffix, batch, factor) in
            [("running_mean", &s.mean, 1.0), ("running_var", &s.biased_var, unbiased)]
        {
            if let Some(t) = weights.tensors.get_mut(&format!("{}.{suffix}", s.layer)) {
                for (r, b) in t.values.iter_mut().zip(batch) {
                    *r = (kept * f64::from(*r) + (1.0 - kept) * factor * f64::from(*b)) as f32;
                }
            }
        }
    }
}

/// Moves an average of weights towards the weights: `average = decay * average + (1 - decay) * weights`, running
/// statistics included. In the first steps the decay is at most `(1 + step) / (10 + step)`, so that the first weights are
/// forgotten quickly.
pub fn update_average(average: &mut Weights, weights: &Weights, decay: f64, step: u64) {
    let decay = decay.min((1.0 + step as f64) / (10.0 + step as f64)) as f32;
    for (name, a) in &mut average.tensors {
        let Some(w) = weights.tensors.get(name) else { continue };
        a.values.par_chunks_mut(CHUNK).zip(w.values.par_chunks(CHUNK)).for_each(|(a, w)| {
            for (a, w) in a.iter_mut().zip(w) {
                *a = decay * *a + (1.0 - decay) * w;
            }
        });
    }
}

fn norm(gradients: &Weights) -> f64 {
    let mut sum = 0.0;
    for t in gradients.tensors.values() {
        let parts: Vec<f64> = t
            .values
            .par_chunks(CHUNK)
            .map(|c| c.iter().map(|v| f64::from(*v) * f64::from(*v)).sum())
            .collect();
        sum += parts.iter().sum::<f64>();
    }
    sum.sqrt()
}

fn each(gradients: &mut Weights, f: impl Fn(f32) -> f32 + Sync) {
    for t in gradients.tensors.values_mut() {
        t.values.par_chunks_mut(CHUNK).for_each(|c| c.iter_mut().for_each(|v| *v = f(*v)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Tensor;

    fn weights(values: &[f32]) -> Weights {
        let tensor = Tensor { shape: vec![values.len()], values: values.to_vec() };
        Weights { tensors: [("w".to_string(), tensor)].into() }
    }

    #[test]
    fn clipping_by_norm_scales_all_and_by_value_cuts_each() {
        let mut g = weights(&[3.0, -4.0]);
        assert_eq!(Clip::Norm { max: 1.0 }.apply(&mut g), Some(5.0));
        assert_eq!(g, weights(&[0.6, -0.8]));
        assert_eq!(Clip::Norm { max: 2.0 }.apply(&mut g).map(|n| n.round()), Some(1.0));
        assert_eq!(g, weights(&[0.6, -0.8]));
        Clip::Value { max: 0.7 }.apply(&mut g);
        assert_eq!(g, weights(&[0.6, -0.7]));
    }

    #[test]
    fn the_average_follows_quickly_at_first_and_slowly_later() {
        let mut early = weights(&[0.0]);
        update_average(&mut early, &weights(&[1.0]), 0.999, 0);
        assert_eq!(early, weights(&[0.9]));
        let mut late = weights(&[0.0]);
        update_average(&mut late, &weights(&[1.0]), 0.999, 1_000_000);
        assert!((late.values("w")[0] - 0.001).abs() < 1e-6);
    }

    #[test]
    fn the_first_step_of_adam_is_the_learning_rate_in_the_direction_of_the_gradient() {
        let (mut w, g) = (weights(&[1.0, 1.0]), weights(&[0.5, -20.0]));
        let zeros = weights(&[0.0, 0.0]);
        let mut adam = Adam { steps: 0, m: zeros.clone(), v: zeros };
        adam.step(Isa::detect(), &AdamConfig::default(), 0.01, &mut w, &g);
        gg_testkit::assert_close(w.values("w"), &[0.99, 1.01], 1e-6, 0.0);
    }
}
