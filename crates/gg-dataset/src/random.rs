//! Seeded random numbers: one stream for each (seed, purpose, epoch, draw), so that no result depends on the order
//! in which threads ask.
//!
//! Source: ChaCha with 8 rounds, whose stream is fixed by its specification; the conversions to ranges are ours.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// 2^-53: turns 53 random bits into a number in [0, 1).
const UNIT: f64 = 1.0 / (1u64 << 53) as f64;

/// What a stream is used for; two purposes never share numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Order of samples in an epoch.
    Order = 1,
    /// Change of one sample.
    Augment = 2,
    /// Dealing of patients to folds.
    Folds = 3,
    /// Choice of validation patients.
    Validation = 4,
    /// Order of a scan's slices where scans are balanced.
    Balance = 5,
    /// Whether and from where lesions of another slice are laid into one.
    Lesions = 6,
}

/// A stream of random numbers.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one (seed, purpose, a, b).
    pub(crate) fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        for (slot, value) in key.as_chunks_mut::<8>().0.iter_mut().zip([seed, purpose as u64, a, b]) {
            *slot = value.to_le_bytes();
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * UNIT
    }

    /// Uniform in [low, high).
    pub(crate) fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with this probability; always takes one number from the stream.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in 0..n, `n` at least 1; the bias of the multiplication is below n / 2^64.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Fills with random bytes.
    pub(crate) fn bytes(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }
}
