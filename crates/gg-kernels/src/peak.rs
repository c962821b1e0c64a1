//! The most that this processor's multiply-add units do, measured: what every kernel's speed is a share of.

use crate::Isa;
use crate::simd::{Kernel, Simd};
use std::time::Instant;

/// Independent chains, enough to hide the latency of two units.
const CHAINS: usize = 12;
const STEPS: usize = 1 << 20;

struct Peak;

impl Kernel for Peak {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self) -> f32 {
        // SAFETY: entered through an `Isa`; no memory is touched.
        unsafe {
            let (a, b) = (S::splat(std::hint::black_box(0.999)), S::splat(std::hint::black_box(1e-3)));
            let mut acc = [S::zero(); CHAINS];
            for _ in 0..STEPS {
                for c in &mut acc {
                    *c = S::fma(*c, a, b);
                }
            }
            let mut sum = 0.0;
            for c in acc {
                sum += S::sum(c);
            }
            sum
        }
    }
}

/// fp32 GFLOP/s (one multiply-add = 2) of `threads` threads at once, the best of `rounds`.
pub fn fma_peak(isa: Isa, threads: usize, rounds: usize) -> f64 {
    let mut best = 0.0f64;
    for _ in 0..rounds {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| std::hint::black_box(isa.run(Peak)));
            }
        });
        let flops = (2 * STEPS * CHAINS * isa.lanes() * threads) as f64;
        best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}
