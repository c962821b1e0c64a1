//! The most that this processor's multiply-add units do, measured: what every kernel's speed is a share of.

use crate::Isa;
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::simd::{Kernel, Simd};
use std::marker::PhantomData;
use std::time::Instant;

/// Independent chains, enough to hide the latency of two units.
const CHAINS: usize = 12;
const STEPS: usize = 1 << 20;

struct Peak<A>(PhantomData<A>);

impl<A: Arith> Kernel for Peak<A> {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self) -> f32 {
        // SAFETY: entered through an `Isa`; no memory is touched.
        unsafe {
            let (a, b) = (S::splat(std::hint::black_box(0.999)), S::splat(std::hint::black_box(1e-3)));
            let mut acc = [S::zero(); CHAINS];
            for _ in 0..STEPS {
                for c in &mut acc {
                    *c = A::dot::<S>(*c, a, b);
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

/// GFLOP/s (one multiply-add = 2) of `threads` threads at once, the best of `rounds` of a few milliseconds each.
///
/// # Panics
/// In bf16 on a processor without it.
pub fn fma_peak(isa: Isa, precision: Precision, threads: usize, rounds: usize) -> f64 {
    let run = || match precision {
        Precision::Fp32 => isa.run(Peak::<Fp32>(PhantomData)),
        Precision::Bf16 => isa.run_bf16(Peak::<Bf16>(PhantomData)),
    };
    let mut best = 0.0f64;
    for _ in 0..rounds {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| std::hint::black_box(run()));
            }
        });
        let flops = (2 * STEPS * CHAINS * precision.per_word() * isa.lanes() * threads) as f64;
        best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}
