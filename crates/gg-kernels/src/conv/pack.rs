//! Weights from PyTorch's order to the packed one ([`super::plan`]) and back, and to that of the backward pass.
//!
//! A whole block of inputs and outputs is a matrix that is transposed in registers, a vector of rows at a time; blocks
//! with empty lanes go value by value.

use super::panel::Block;
use super::plan::{ConvPlan, Sampling};
use crate::Isa;
use crate::buffer::Shared;
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;

impl ConvPlan {
    /// Weights in PyTorch's order (`[out, in, kh, kw]`, for the transposed convolution `[in, out, 2, 2]`) to packed.
    pub fn pack(&self, isa: Isa, plain: &[f32], packed: &mut [f32]) {
        let len = self.packed_len(isa);
        let packed = Shared::new(&mut packed[..len]);
        self.pieces(isa, plain.len()).par_iter().for_each(|piece| {
            // SAFETY: `pieces` has checked the lengths; a pair's weights from one input block are one task's alone.
            unsafe { isa.run(Pack { piece, plain: plain.as_ptr(), to: packed.at(piece.start) }) }
        });
    }

    /// All pieces of the packed weights in their order: pair by pair of output blocks, and there by input block.
    pub(super) fn pieces(&self, isa: Isa, plain_len: usize) -> Vec<Piece> {
        assert!(self.outputs.len() == 1 && self.input_grid == Sampling::Same, "a forward convolution");
        let (lanes, taps, in_lanes) = (isa.lanes(), self.taps(), self.input_lanes(isa));
        let (n_in, n_out) = (self.inputs.iter().sum::<usize>(), self.outputs[0]);
        assert!(plain_len >= n_in * n_out * taps * self.output_grid.phases(), "weights of all channels");
        let ins = Block::list(self.inputs.iter().copied(), Sampling::Same, lanes);
        let outs = self.out_blocks(isa);
        let piece = |pair: usize, block: usize| {
            let input = &ins[block];
            let first_in = self.inputs[..input.tensor].iter().sum::<usize>() + input.block * lanes;
            let width = (outs - 2 * pair).min(2);
            Piece {
                start: (2 * pair * ins.len() + block * width) * taps * in_lanes * lanes,
                len: width * taps * in_lanes * lanes,
                taps,
                in_lanes,
                double: self.output_grid == Sampling::Double,
                ins: (first_in, input.lanes, n_in),
                pair,
                width,
                n_out,
            }
        };
        (0..outs.div_ceil(2))
            .flat_map(|pair| (0..ins.len()).map(move |block| (pair, block)))
            .map(|(pair, block)| piece(pair, block))
            .collect()
    }

    /// Packed weights with those to output channel `o` multiplied by `factors[o]` (batch norm folded in).
    pub fn scale_outputs(&self, isa: Isa, packed: &[f32], factors: &[f32], out: &mut [f32]) {
        let lanes = isa.lanes();
        assert!(self.output_grid == Sampling::Same && factors.len() >= self.out_blocks(isa) * lanes);
        let piece = 2 * self.in_blocks(isa) * self.taps() * self.input_lanes(isa) * lanes;
        let len = self.packed_len(isa);
        out[..len].par_chunks_mut(piece).zip(packed[..len].par_chunks(piece)).enumerate().for_each(
            |(pair, (out, packed))| {
                let width = if 2 * packed.len() > piece { 2 * lanes } else { lanes };
                let factors = &factors[2 * pair * lanes..][..width];
                for (out, packed) in out.chunks_exact_mut(width).zip(packed.chunks_exact(width)) {
                    for ((o, p), f) in out.iter_mut().zip(packed).zip(factors) {
                        *o = p * f;
                    }
                }
            },
        );
    }

    /// Packed weights to bf16: two input lanes per word, half as many floats.
    pub fn pack_bf16(&self, isa: Isa, packed: &[f32], out: &mut [f32]) {
        let lanes = isa.lanes();
        assert!(isa.has_bf16() && !self.plane, "a processor with bf16, and blocked channels");
        let piece = 2 * self.in_blocks(isa) * self.taps() * lanes * lanes;
        let len = self.packed_len(isa);
        out[..len / 2].par_chunks_mut(piece / 2).zip(packed[..len].par_chunks(piece)).for_each(
            |(out, packed)| {
                let width = if 2 * packed.len() > piece { 2 * lanes } else { lanes };
                isa.run_bf16(PackPairs { packed, out, width });
            },
        );
    }

    /// Packed weights of this convolution to those of [`ConvPlan::backward`].
    pub fn pack_backward(&self, isa: Isa, packed: &[f32], backward: &mut [f32]) {
        let back = self.backward();
        let (lanes, taps) = (isa.lanes(), self.taps());
        assert!(!self.plane, "the gradient of the image is not asked for");
        let (ins, outs) = (self.in_blocks(isa), self.out_blocks(isa));
        let packed = &packed[..self.packed_len(isa)];
        let back_len = back.packed_len(isa);
        let backward = Shared::new(&mut backward[..back_len]);
        (0..ins.div_ceil(2) * outs).into_par_iter().for_each(|task| {
            let (pair, output) = (task / outs, task % outs);
            let width = (ins - 2 * pair).min(2);
            let out_width = (outs - output / 2 * 2).min(2);
            let from = (output / 2 * 2 * ins + 2 * pair * out_width) * taps * lanes * lanes;
            let from = packed[from + output % 2 * lanes..].as_ptr();
            let to = (2 * pair * outs + output * width) * taps * lanes * lanes;
            // SAFETY: both lie in their slices, whose lengths are the plans'; the weights from one output block to a pair
            // of input blocks are one task's alone.
            unsafe { isa.run(Turn { taps, width, out_width, from, to: backward.at(to) }) };
        });
    }
}

/// The weights from one input block to a pair of output blocks.
pub(super) struct Piece {
    /// Where they begin, packed, and how many floats they are.
    pub(super) start: usize,
    pub(super) len: usize,
    taps: usize,
    in_lanes: usize,
    double: bool,
    /// First channel, channels of the block, channels of all inputs.
    ins: (usize, usize, usize),
    pair: usize,
    /// Output blocks of the pair.
    width: usize,
    n_out: usize,
}

impl Piece {
    /// From packed to PyTorch's order, where `to` is the first of all weights.
    ///
    /// # Safety
    /// `packed` are this piece's weights; no other task writes them to `to`.
    pub(super) unsafe fn unpack(&self, isa: Isa, packed: *const f32, to: Shared) {
        isa.run(self.to_plain(packed, to));
    }

    /// As [`Piece::unpack`], to be run as a kernel.
    pub(super) fn to_plain(&self, packed: *const f32, to: Shared) -> Unpack<'_> {
        Unpack { piece: self, packed, to }
    }

    /// Asks for the memory that [`Piece::to_plain`] will write.
    #[inline(always)]
    pub(super) unsafe fn prefetch<S: Simd>(&self, to: Shared) {
        for k in 0..self.width {
            let (first, count, phase) = self.output(k, S::L);
            if self.whole(count, S::L) {
                for row in 0..count {
                    let row = to.at(self.plain(0, 0, first + row, phase));
                    for c in (0..self.taps * S::L).step_by(S::L) {
                        S::prefetch_to_write(row.add(c));
                    }
                }
            }
        }
    }

    /// First channel, number of channels and phase of a block of the pair.
    fn output(&self, k: usize, lanes: usize) -> (usize, usize, usize) {
        let per_phase = self.n_out.div_ceil(lanes);
        let (phase, block) = ((2 * self.pair + k) / per_phase, (2 * self.pair + k) % per_phase);
        (block * lanes, (self.n_out - block * lanes).min(lanes), phase)
    }

    /// Whether no lane is empty and the weights of one output lie side by side.
    fn whole(&self, outputs: usize, lanes: usize) -> bool {
        !self.double && self.in_lanes == lanes && self.ins.1 == lanes && outputs == lanes
    }

    /// In PyTorch's order: where the weight stands from the block's lane `i` through `tap` to channel `o`.
    fn plain(&self, i: usize, tap: usize, o: usize, phase: usize) -> usize {
        let (first, _, n_in) = self.ins;
        if self.double {
            ((first + i) * self.n_out + o) * 4 + phase
        } else {
            (o * n_in + first + i) * self.taps + tap
        }
    }

    /// Packed, from `start` on: where the weights stand from lane `i` through `tap` to block `k` of the pair.
    fn packed(&self, i: usize, tap: usize, k: usize, lanes: usize) -> usize {
        ((tap * self.in_lanes + i) * self.width + k) * lanes
    }
}

struct Pack<'a> {
    piece: &'a Piece,
    plain: *const f32,
    to: *mut f32,
}

impl Kernel for Pack<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let piece = self.piece;
        for k in 0..piece.width {
            let (first, count, phase) = piece.output(k, S::L);
            // SAFETY: entered through an `Isa`; all places lie in the weights, whose lengths `pack` has checked.
            unsafe {
                if piece.whole(count, S::L) {
                    for c in (0..piece.taps * S::L).step_by(S::L) {
                        let from = |r: usize| self.plain.add(piece.plain(0, c, first + r, 0));
                        S::transpose(from, |j| {
                            let (i, tap) = lane_and_tap(c + j, piece.taps);
                            self.to.add(piece.packed(i, tap, k, S::L))
                        });
                    }
                    continue;
                }
                for i in 0..piece.in_lanes {
                    for tap in 0..piece.taps {
                        let to = self.to.add(piece.packed(i, tap, k, S::L));
                        S::store(to, S::zero());
                        for o in 0..if i < piece.ins.1 { count } else { 0 } {
                            *to.add(o) = *self.plain.add(piece.plain(i, tap, first + o, phase));
                        }
                    }
                }
            }
        }
    }
}

pub(super) struct Unpack<'a> {
    piece: &'a Piece,
    packed: *const f32,
    to: Shared,
}

impl Kernel for Unpack<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let piece = self.piece;
        for k in 0..piece.width {
            let (first, count, phase) = piece.output(k, S::L);
            // SAFETY: as in `Pack`; each of PyTorch's places is one task's alone.
            unsafe {
                if piece.whole(count, S::L) {
                    for c in (0..piece.taps * S::L).step_by(S::L) {
                        let from = |j: usize| {
                            let (i, tap) = lane_and_tap(c + j, piece.taps);
                            self.packed.add(piece.packed(i, tap, k, S::L))
                        };
                        S::transpose(from, |r| self.to.at(piece.plain(0, c, first + r, 0)));
                    }
                    continue;
                }
                for i in 0..piece.ins.1 {
                    for tap in 0..piece.taps {
                        let from = self.packed.add(piece.packed(i, tap, k, S::L));
                        for o in 0..count {
                            *self.to.at(piece.plain(i, tap, first + o, phase)) = *from.add(o);
                        }
                    }
                }
            }
        }
    }
}

/// Lane and tap of column `c` of a block in PyTorch's order; the two divisors are constants.
#[inline(always)]
fn lane_and_tap(c: usize, taps: usize) -> (usize, usize) {
    if taps == 9 { (c / 9, c % 9) } else { (c, 0) }
}

/// `[input lane][output lane]` of each tap to `[output lane][input lane]` of the opposite tap.
struct Turn {
    taps: usize,
    /// Blocks of the pair that is written, and of the pair that is read.
    width: usize,
    out_width: usize,
    from: *const f32,
    to: *mut f32,
}

impl Kernel for Turn {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        for k in 0..self.width {
            for tap in 0..self.taps {
                // SAFETY: entered through an `Isa`; `pack_backward` vouches for the pointers.
                unsafe {
                    let from = self.from.add((k * self.taps + tap) * S::L * self.out_width * S::L);
                    let to = self.to.add(((self.taps - 1 - tap) * S::L * self.width + k) * S::L);
                    S::transpose(|i| from.add(i * self.out_width * S::L), |o| to.add(o * self.width * S::L));
                }
            }
        }
    }
}

/// Rows of `width` floats to one row of words per two.
struct PackPairs<'a> {
    packed: &'a [f32],
    out: &'a mut [f32],
    width: usize,
}

impl Kernel for PackPairs<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let two = 2 * self.width;
        for (out, rows) in self.out.chunks_exact_mut(self.width).zip(self.packed.chunks_exact(two)) {
            for i in (0..self.width).step_by(S::L) {
                // SAFETY: entered through `Isa::run_bf16`; `i + L` lies in a row, whose width is one or two vectors.
                unsafe {
                    let low = S::load(rows.as_ptr().add(i));
                    let high = S::load(rows.as_ptr().add(self.width + i));
                    S::store(out.as_mut_ptr().add(i), S::pair_bf16(low, high));
                }
            }
        }
    }
}
