//! Deep supervision: the loss of a network's side outputs beside that of its last layer, so that the coarser levels
//! learn to find what is looked for, too.
//!
//! The last layer counts 1, the first side output 1/2, the second 1/4, and so on, divided by the sum of all. The truth of a
//! side output is the mean of the truth over the area of each of its pixels. Sources: Lee et al. 2015 (arXiv 1409.5185)
//! for the idea, Isensee et al. 2021 (nnU-Net, doi 10.1038/s41592-020-01008-z) for the weights.

use crate::loss::Loss;
use crate::net::{Graph, NetError};

/// What each output of a network that segments counts in the loss, and its size.
pub struct Supervision {
    /// Rows and columns of the last layer.
    side: usize,
    outputs: Vec<Output>,
}

struct Output {
    /// Share of the loss.
    share: f64,
    /// The last layer's side divided by this one's.
    factor: usize,
}

impl Supervision {
    /// The outputs of a network for square images of this side.
    ///
    /// # Errors
    /// As [`Graph::shapes`].
    pub fn new(graph: &Graph, side: usize) -> Result<Self, NetError> {
        let shapes = graph.shapes(side, side)?;
        let counts = |k: usize| 0.5f64.powi(i32::try_from(k).unwrap_or(i32::MAX));
        let all: f64 = (0..=graph.sides.len()).map(counts).sum();
        let outputs = graph.ends().into_iter().enumerate();
        let outputs =
            outputs.map(|(k, end)| Output { share: counts(k) / all, factor: side / shapes[end][1].max(1) });
        Ok(Self { side, outputs: outputs.collect() })
    }

    /// Value of the loss over all logits (those of the last layer for all images, then those of each side output), and its
    /// derivative by each of them; `targets` and `weights` are those of the last layer.
    pub fn value_and_slope(
        &self,
        loss: &Loss,
        logits: &[f32],
        targets: &[f32],
        weights: &[f32],
    ) -> (f64, Vec<f32>) {
        if self.outputs.len() == 1 {
            return loss.value_and_slope(logits, targets, weights);
        }
        let (mut value, mut slopes) = (0.0, Vec::with_capacity(logits.len()));
        for output in &self.outputs {
            let truth = area_means(targets, self.side, output.factor);
            let logits = &logits[slopes.len()..slopes.len() + truth.len()];
            let (v, slope) = loss.value_and_slope(logits, &truth, weights);
            value += output.share * v;
            slopes.extend(slope.iter().map(|s| (f64::from(*s) * output.share) as f32));
        }
        (value, slopes)
    }
}

/// Means over squares of `factor` x `factor` pixels of square images.
fn area_means(values: &[f32], side: usize, factor: usize) -> Vec<f32> {
    if factor <= 1 {
        return values.to_vec();
    }
    let small = side / factor;
    let mut sums = vec![0.0; values.len() / (factor * factor)];
    for (row, values) in values.chunks_exact(side).enumerate() {
        let (image, y) = (row / side, row % side / factor);
        let sums = &mut sums[(image * small + y) * small..][..small];
        for (sum, values) in sums.iter_mut().zip(values.chunks_exact(factor)) {
            *sum += values.iter().sum::<f32>();
        }
    }
    let area = (factor * factor) as f32;
    sums.iter().map(|sum| sum / area).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{NetConfig, Skips, UnetConfig};

    const LOSS: Loss = Loss::BceDice { bce: 0.5, dice: 0.5, smooth: 1.0 };

    fn supervision(skips: Skips, deep_supervision: bool) -> Supervision {
        let net = UnetConfig { base: 2, levels: 4, skips, deep_supervision, ..UnetConfig::default() };
        Supervision::new(&NetConfig::Unet(net).graph().unwrap(), 16).unwrap()
    }

    #[test]
    fn each_output_counts_half_of_the_one_before_and_has_its_size() {
        let found = |skips, deep| -> Vec<(f64, usize)> {
            supervision(skips, deep).outputs.iter().map(|o| (o.share, o.factor)).collect()
        };
        assert_eq!(found(Skips::Plain, false), [(1.0, 1)]);
        assert_eq!(found(Skips::Gated, true), [(4.0 / 7.0, 1), (2.0 / 7.0, 2), (1.0 / 7.0, 4)]);
        assert_eq!(found(Skips::Nested, true), [(4.0 / 7.0, 1), (2.0 / 7.0, 1), (1.0 / 7.0, 1)]);
    }

    #[test]
    fn the_truth_of_a_coarser_level_is_the_mean_over_its_pixels() {
        let two = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        let values: Vec<f32> = two.iter().copied().chain([1.0; 16]).collect();
        assert_eq!(area_means(&values, 4, 2), [0.75, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(area_means(&values, 4, 4), [7.0 / 16.0, 1.0]);
        assert_eq!(area_means(&values, 4, 1), values);
    }

    #[test]
    fn the_slope_of_all_outputs_is_the_difference_quotient_of_the_value() {
        let of = supervision(Skips::Plain, true);
        let noise = |len: u32, seed: u32| {
            (0..len).map(move |i| {
                (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32
            })
        };
        let n = 2;
        let y: Vec<f32> = noise(n * 256, 5).map(|v| (v > 0.6).into()).collect();
        let z: Vec<f32> = noise(n * (256 + 64 + 16), 1).map(|v| 4.0 * v - 2.0).collect();
        let value = |z: &[f32]| of.value_and_slope(&LOSS, z, &y, &[]).0;
        let (_, slope) = of.value_and_slope(&LOSS, &z, &y, &[]);
        assert_eq!(slope.len(), z.len());
        for i in (0..z.len()).step_by(37) {
            let step = 1.0 / 64.0;
            let (mut up, mut down) = (z.clone(), z.clone());
            up[i] += step;
            down[i] -= step;
            let quotient = (value(&up) - value(&down)) / (2.0 * f64::from(step));
            assert!(
                (quotient - f64::from(slope[i])).abs() < 1e-6,
                "value {i}: {quotient} against {}",
                slope[i]
            );
        }
    }
}
