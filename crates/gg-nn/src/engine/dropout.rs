//! Masks of dropout, the same for every engine: a function of seed, step and layer, so that a resumed run drops what
//! the uninterrupted one would have dropped.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Values of one task.
const CHUNK: usize = 1 << 14;

/// What a mask depends on besides its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the training step from the run's start.
    pub step: u64,
}

/// Factors for the values of one layer: 0 with probability `rate`, else `1 / (1 - rate)`; `layer` is its index in the
/// graph.
pub(crate) fn dropout_mask(key: DropoutKey, layer: usize, rate: f64, len: usize) -> Vec<f32> {
    let mut seed = [0u8; 32];
    seed[..8].copy_from_slice(&key.seed.to_le_bytes());
    seed[8..16].copy_from_slice(&key.step.to_le_bytes());
    seed[16..24].copy_from_slice(&(layer as u64).to_le_bytes());
    seed[24..].copy_from_slice(b"dropout!");
    let rng = ChaCha8Rng::from_seed(seed);
    let kept = (1.0 / (1.0 - rate)) as f32;
    let limit = (rate * f64::from(u32::MAX)) as u32;
    let mut factors = vec![0.0; len];
    factors.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, factors)| {
        // The same numbers as from one generator that draws them all.
        let mut rng = rng.clone();
        rng.set_word_pos((chunk * CHUNK) as u128);
        factors.iter_mut().for_each(|f| *f = if rng.next_u32() < limit { 0.0 } else { kept });
    });
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_depends_on_seed_step_and_layer_and_keeps_its_share() {
        let key = DropoutKey { seed: 1, step: 2 };
        let mask = dropout_mask(key, 3, 0.25, 40_000);
        assert_eq!(mask, dropout_mask(key, 3, 0.25, 40_000));
        for (other, layer) in
            [(DropoutKey { seed: 2, step: 2 }, 3), (DropoutKey { seed: 1, step: 3 }, 3), (key, 4)]
        {
            assert_ne!(mask, dropout_mask(other, layer, 0.25, 40_000));
        }
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64 / 40_000.0;
        assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
        let mean = mask.iter().sum::<f32>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
}
