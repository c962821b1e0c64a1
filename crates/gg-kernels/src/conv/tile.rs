//! The tile kernel: `W` pixels of one row for `K` blocks of output channels, held in registers.

use crate::arith::Arith;
use crate::simd::{Kernel, Simd};
use crate::source::activate;
use std::marker::PhantomData;

/// Where a tile reads and writes. All strides in floats.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    /// The first tap of the tile's first pixel in the panel of the first input block.
    pub(super) input: *const f32,
    pub(super) block_stride: usize,
    pub(super) row_stride: usize,
    /// Input blocks of this pass, and the used lanes of each.
    pub(super) blocks: usize,
    pub(super) lanes: *const usize,
    /// Packed weights of the first input block.
    pub(super) weights: *const f32,
    /// First pixel in each output block, and the distance to the next.
    pub(super) out: [*mut f32; 2],
    pub(super) out_step: usize,
    /// Bias of each output block; only read when `first`.
    pub(super) bias: Option<[*const f32; 2]>,
    /// No sums of earlier input blocks lie in `out`.
    pub(super) first: bool,
    /// No later input blocks follow: apply what comes after.
    pub(super) last: bool,
    pub(super) slope: f32,
    /// Sums and sums of squares of the results, to be added to, per output block.
    pub(super) sums: Option<[(*mut f32, *mut f32); 2]>,
}

struct TileKernel<A, const KERNEL: usize, const PLANE: bool, const K: usize, const W: usize>(
    Tile,
    PhantomData<A>,
);

impl<A: Arith, const KERNEL: usize, const PLANE: bool, const K: usize, const W: usize> Kernel
    for TileKernel<A, KERNEL, PLANE, K, W>
{
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: `run` was entered through an `Isa`; the caller of `tile` vouches for the pointers.
        unsafe { compute::<S, A, KERNEL, PLANE, K, W>(&self.0) }
    }
}

#[inline(always)]
unsafe fn compute<
    S: Simd,
    A: Arith,
    const KERNEL: usize,
    const PLANE: bool,
    const K: usize,
    const W: usize,
>(
    t: &Tile,
) {
    // Words of a pixel, and input words of a tap as packed.
    let step = if PLANE { 1 } else { S::L / A::PER_WORD };
    let mut acc = [[S::zero(); W]; K];
    if t.first {
        if let Some(bias) = t.bias {
            for k in 0..K {
                acc[k] = [S::load(bias[k]); W];
            }
        }
    } else {
        for k in 0..K {
            for x in 0..W {
                acc[k][x] = S::load(t.out[k].add(x * t.out_step));
            }
        }
    }
    let mut weights = t.weights;
    for b in 0..t.blocks {
        let panel = t.input.add(b * t.block_stride);
        let words = if PLANE { 1 } else { (*t.lanes.add(b)).div_ceil(A::PER_WORD) };
        for kh in 0..KERNEL {
            for kw in 0..KERNEL {
                let mut from = panel.add(kh * t.row_stride + kw * step);
                if PLANE {
                    // Hidden from the compiler, which would otherwise keep the values of all taps in registers.
                    from = std::hint::black_box(from);
                }
                for i in 0..words {
                    let mut vectors = [S::zero(); K];
                    for k in 0..K {
                        vectors[k] = S::load(weights.add((i * K + k) * S::L));
                    }
                    for x in 0..W {
                        let value = S::splat(*from.add(x * step + i));
                        for k in 0..K {
                            acc[k][x] = A::dot::<S>(acc[k][x], value, vectors[k]);
                        }
                    }
                }
                weights = weights.add(step * K * S::L);
            }
        }
    }
    if t.last {
        if t.slope == 0.0 {
            for k in 0..K {
                for x in 0..W {
                    acc[k][x] = S::max(S::zero(), acc[k][x]);
                }
            }
        } else if t.slope != 1.0 {
            let slope = S::splat(t.slope);
            for k in 0..K {
                for x in 0..W {
                    acc[k][x] = activate::<S>(acc[k][x], slope);
                }
            }
        }
        if let Some(sums) = t.sums {
            for k in 0..K {
                let (mut sum, mut squares) = (S::zero(), S::zero());
                for x in 0..W {
                    sum = S::add(sum, acc[k][x]);
                    squares = S::fma(acc[k][x], acc[k][x], squares);
                }
                S::store(sums[k].0, S::add(S::load(sums[k].0), sum));
                S::store(sums[k].1, S::add(S::load(sums[k].1), squares));
            }
        }
    }
    for k in 0..K {
        for x in 0..W {
            S::store(t.out[k].add(x * t.out_step), acc[k][x]);
        }
    }
}

/// Computes one tile of `width` pixels (at most `S::TILE`) for `k` output blocks (1 or 2).
///
/// # Safety
/// All that the tile points at is there, and no other task touches what it writes; the processor has the set `S`.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, A: Arith, const KERNEL: usize, const PLANE: bool>(
    k: usize,
    width: usize,
    t: Tile,
) {
    macro_rules! by_width {
        ($k:literal: $($w:literal)*) => {
            match width {
                $($w if $w <= S::TILE => A::enter::<S, _>(TileKernel::<A, KERNEL, PLANE, $k, $w>(t, PhantomData)),)*
                _ => debug_assert!(false, "a tile of {width}"),
            }
        };
    }
    if k == 2 {
        by_width!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    } else {
        by_width!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    }
}
