//! Seeded random numbers: ChaCha8 with one stream per purpose, so that a new draw in one place moves nothing elsewhere.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What the numbers are for; each purpose has a stream of its own.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Purpose {
    Cohort = 1,
    Anatomy = 2,
    Tree = 3,
    Texture = 4,
    Lesions = 5,
    Noise = 1 << 32, // one stream per slice follows from here on
}

pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64, purpose: Purpose) -> Self {
        Self::with_offset(seed, purpose, 0)
    }

    pub(crate) fn with_offset(seed: u64, purpose: Purpose, offset: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose as u64 + offset);
        Self(rng)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in 0..1, 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        const STEPS: f32 = (1u32 << 24) as f32;
        (self.0.next_u32() >> 8) as f32 / STEPS
    }

    /// Uniform in `low..high`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Whether an event of this probability happens.
    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Mean 0, standard deviation 1: the sum of four 16-bit uniforms (Irwin-Hall), which needs no logarithm and so
    /// is the same on every platform; its tails end at 3.5.
    pub(crate) fn normal(&mut self) -> f32 {
        const MEAN: f32 = 2.0 * 65535.0;
        const DEVIATION: f32 = 37_836.9; // sqrt((2^32 - 1) / 12 * 4)
        let bits = self.0.next_u64();
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        (sum as f32 - MEAN) / DEVIATION
    }
}
