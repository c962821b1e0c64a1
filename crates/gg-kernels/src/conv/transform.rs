//! The transformations of Winograd's minimal filtering F(4x4, 3x3).
//!
//! Each tile of 4x4 results comes from 6x6 inputs d and the 3x3 weights g as `A' ((G g G') . (B' d B)) A`, where `.`
//! multiplies value by value and sums over the input channels: 36 multiplications for 16 results in place of 144. The
//! matrices evaluate polynomials at 0, +-3/4, +-3/2 and infinity, all factors exact in binary: the error stays near that
//! of the direct sum, where the textbook's points 0, +-1, +-2 lose more (`groundglass bench` prints it). In bf16 the
//! transformed tiles and weights are rounded.
//!
//! Source: Lavin and Gray 2016 (arXiv 1509.09308); the choice of points as in Barabasz et al. 2020 (arXiv 1803.10986).

use super::plan::ConvPlan;
use crate::Isa;
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::Shared;
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Results along a side of a tile, and inputs.
pub(super) const OUT: usize = 4;
pub(super) const IN: usize = 6;
pub(super) const PLACES: usize = IN * IN;
/// The points besides 0 and infinity are these and their negatives.
const A: f32 = 0.75;
const B: f32 = 1.5;

impl ConvPlan {
    /// Floats of the weights that [`ConvPlan::pack_winograd`] makes.
    pub fn winograd_len(&self, isa: Isa, precision: Precision) -> usize {
        self.packed_len(isa) / self.taps() * PLACES / precision.per_word()
    }

    /// Packed weights to the transformed ones that [`super::forward_winograd`] takes:
    /// `[pair of output blocks][place][input block][input lane][block of the pair][output lane]`, in bf16 two input lanes
    /// per word.
    pub fn pack_winograd(&self, isa: Isa, precision: Precision, packed: &[f32], out: &mut [f32]) {
        assert!(self.kernel == 3 && !self.plane, "a 3x3 convolution of blocked channels");
        let (len, lanes) = (self.packed_len(isa), isa.lanes());
        assert!(packed.len() >= len && out.len() >= self.winograd_len(isa, precision), "packed weights");
        let (blocks, outs) = (self.in_blocks(isa), self.out_blocks(isa));
        let out = Shared::new(out);
        // Each input block of each pair is a task of its own.
        (0..outs.div_ceil(2) * blocks).into_par_iter().for_each(|task| {
            let (pair, block) = (task / blocks, task % blocks);
            let width = (outs - 2 * pair).min(2) * lanes;
            let from = packed[2 * pair * blocks * 9 * lanes * lanes + block * 9 * lanes * width..].as_ptr();
            let words = lanes / precision.per_word();
            let to = 2 * pair * PLACES * blocks * words * lanes + block * words * width;
            // SAFETY: `to` lies in the weights, and those of one input block and pair are one task's alone.
            let to = unsafe { out.at(to) };
            let place = blocks * words * width;
            match precision {
                Precision::Fp32 => {
                    isa.run(Weights::<Fp32> { from, width, to, place, precision: PhantomData })
                }
                Precision::Bf16 => {
                    isa.run_bf16(Weights::<Bf16> { from, width, to, place, precision: PhantomData })
                }
            }
        });
    }
}

/// Transforms the weights of one input block to one pair of output blocks.
pub(super) struct Weights<A> {
    /// Packed.
    pub(super) from: *const f32,
    /// Output lanes of the pair.
    pub(super) width: usize,
    /// The first word at the first place, and words from place to place.
    pub(super) to: *mut f32,
    pub(super) place: usize,
    pub(super) precision: PhantomData<A>,
}

impl<A: Arith> Kernel for Weights<A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        for lane in (0..S::L).step_by(A::PER_WORD) {
            for k in (0..self.width).step_by(S::L) {
                // SAFETY: entered through an `Isa`; nine rows of weights per lane are there, and room for all places.
                unsafe {
                    let from = self.from.add(lane * self.width + k);
                    let low = weights_of_lane::<S>(from, S::L * self.width);
                    let mut high = low;
                    if A::PER_WORD == 2 {
                        high = weights_of_lane::<S>(from.add(self.width), S::L * self.width);
                    }
                    for place in 0..PLACES {
                        let v = A::word::<S>(low[place / IN][place % IN], high[place / IN][place % IN]);
                        let to = self.to.add(place * self.place + lane / A::PER_WORD * self.width + k);
                        S::store(to, v);
                    }
                }
            }
        }
    }
}

/// `G g G'` of one vector of weights, whose taps lie `step` floats apart.
#[inline(always)]
unsafe fn weights_of_lane<S: Simd>(from: *const f32, step: usize) -> [[S::V; IN]; IN] {
    let mut rows = [[S::zero(); IN]; 3];
    for y in 0..3 {
        let mut taps = [S::zero(); 3];
        for x in 0..3 {
            taps[x] = S::load(from.add((y * 3 + x) * step));
        }
        rows[y] = widen_weights::<S>(taps);
    }
    let mut out = [[S::zero(); IN]; IN];
    for x in 0..IN {
        let column = widen_weights::<S>([rows[0][x], rows[1][x], rows[2][x]]);
        for y in 0..IN {
            out[y][x] = column[y];
        }
    }
    out
}

/// One column of `G g`.
#[inline(always)]
unsafe fn widen_weights<S: Simd>(g: [S::V; 3]) -> [S::V; IN] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (at_a, at_b) = (1.0 / (2.0 * A2 * (A2 - B2)), 1.0 / (2.0 * B2 * (B2 - A2)));
    let even_a = S::mul(S::splat(at_a), S::fma(S::splat(A2), g[2], g[0]));
    let even_b = S::mul(S::splat(at_b), S::fma(S::splat(B2), g[2], g[0]));
    let odd_a = S::mul(S::splat(at_a * A), g[1]);
    let odd_b = S::mul(S::splat(at_b * B), g[1]);
    [
        S::mul(S::splat(1.0 / (A2 * B2)), g[0]),
        S::add(even_a, odd_a),
        S::sub(even_a, odd_a),
        S::add(even_b, odd_b),
        S::sub(even_b, odd_b),
        g[2],
    ]
}

/// One column of `B' d`.
#[inline(always)]
unsafe fn widen_inputs<S: Simd>(d: [S::V; IN]) -> [S::V; IN] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (ab, both) = (S::splat(A2 * B2), S::splat(-(A2 + B2)));
    let (a, b, minus_a2, minus_b2) = (S::splat(A), S::splat(B), S::splat(-A2), S::splat(-B2));
    let even_a = S::fma(minus_b2, d[2], d[4]);
    let odd_a = S::mul(a, S::fma(minus_b2, d[1], d[3]));
    let even_b = S::fma(minus_a2, d[2], d[4]);
    let odd_b = S::mul(b, S::fma(minus_a2, d[1], d[3]));
    [
        S::fma(ab, d[0], S::fma(both, d[2], d[4])),
        S::add(even_a, odd_a),
        S::sub(even_a, odd_a),
        S::add(even_b, odd_b),
        S::sub(even_b, odd_b),
        S::fma(ab, d[1], S::fma(both, d[3], d[5])),
    ]
}

/// One column of `A y`.
#[inline(always)]
pub(super) unsafe fn widen_gradient<S: Simd>(y: [S::V; OUT]) -> [S::V; IN] {
    let even_a = S::fma(S::splat(A * A), y[2], y[0]);
    let even_b = S::fma(S::splat(B * B), y[2], y[0]);
    let odd_a = S::fma(S::splat(A * A * A), y[3], S::mul(S::splat(A), y[1]));
    let odd_b = S::fma(S::splat(B * B * B), y[3], S::mul(S::splat(B), y[1]));
    [y[0], S::add(even_a, odd_a), S::sub(even_a, odd_a), S::add(even_b, odd_b), S::sub(even_b, odd_b), y[3]]
}

/// One column of `G' m`.
#[inline(always)]
pub(super) unsafe fn sum_weights<S: Simd>(m: [S::V; IN]) -> [S::V; 3] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (at_a, at_b) = (S::splat(1.0 / (2.0 * A2 * (A2 - B2))), S::splat(1.0 / (2.0 * B2 * (B2 - A2))));
    let (sum_a, difference_a) = (S::mul(at_a, S::add(m[1], m[2])), S::mul(at_a, S::sub(m[1], m[2])));
    let (sum_b, difference_b) = (S::mul(at_b, S::add(m[3], m[4])), S::mul(at_b, S::sub(m[3], m[4])));
    [
        S::fma(S::splat(1.0 / (A2 * B2)), m[0], S::add(sum_a, sum_b)),
        S::fma(S::splat(A), difference_a, S::mul(S::splat(B), difference_b)),
        S::fma(S::splat(A2), sum_a, S::fma(S::splat(B2), sum_b, m[5])),
    ]
}

/// One column of `A' m`.
#[inline(always)]
pub(super) unsafe fn narrow_results<S: Simd>(m: [S::V; IN]) -> [S::V; OUT] {
    let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
    let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
    [
        S::add(m[0], S::add(sum_a, sum_b)),
        S::fma(S::splat(B), difference_b, S::mul(S::splat(A), difference_a)),
        S::fma(S::splat(B * B), sum_b, S::mul(S::splat(A * A), sum_a)),
        S::fma(S::splat(B * B * B), difference_b, S::fma(S::splat(A * A * A), difference_a, m[5])),
    ]
}

/// Transforms one row of tiles of one input block.
pub(super) struct Inputs<A> {
    /// Six rows of `width` pixels.
    pub(super) panel: *const f32,
    pub(super) width: usize,
    pub(super) tiles: usize,
    /// The first tile at the first place, and floats from place to place.
    pub(super) to: *mut f32,
    pub(super) place: usize,
    pub(super) precision: PhantomData<A>,
}

impl<A: Arith> Kernel for Inputs<A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` has made room for six rows of the panel and for all places.
        unsafe {
            for tile in 0..self.tiles {
                let from = self.panel.add(tile * OUT * S::L);
                let mut columns = [[S::zero(); IN]; IN];
                for x in 0..IN {
                    let mut d = [S::zero(); IN];
                    for y in 0..IN {
                        d[y] = S::load(from.add((y * self.width + x) * S::L));
                    }
                    columns[x] = widen_inputs::<S>(d);
                }
                for y in 0..IN {
                    let mut row = [S::zero(); IN];
                    for x in 0..IN {
                        row[x] = columns[x][y];
                    }
                    let row = widen_inputs::<S>(row);
                    for x in 0..IN {
                        let to = self.to.add((y * IN + x) * self.place + tile * (S::L / A::PER_WORD));
                        A::store::<S>(to, row[x]);
                    }
                }
            }
        }
    }
}
