//! What one convolution is, and the packed order of its weights.
//!
//! Packed: `[pair of output blocks][input block][tap][input lane][block of the pair][output lane]`, the order in
//! which the tile kernel reads them. Input blocks are those of the sources one after the other, each source padded
//! to whole blocks; output blocks likewise.

use crate::Isa;
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;

/// How the input (output) grid lies to the grid of tiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sampling {
    /// The same grid.
    Same,
    /// Twice as fine in both directions: its four phases count as four tensors, in the order (0,0) (0,1) (1,0) (1,1).
    Double,
}

impl Sampling {
    pub(crate) fn phases(self) -> usize {
        match self {
            Self::Same => 1,
            Self::Double => 4,
        }
    }
}

/// One convolution: kernel size, input channels of each source, output channels of each destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConvPlan {
    /// 1 or 3.
    pub kernel: usize,
    /// Channels of each source (their concatenation is the input).
    pub inputs: Vec<usize>,
    /// Channels of each destination.
    pub outputs: Vec<usize>,
    /// The only source is one channel that is not blocked ([`crate::Read::Plane`]).
    pub plane: bool,
    /// The grid of the sources.
    pub input_grid: Sampling,
    /// The grid of the destinations.
    pub output_grid: Sampling,
}

impl ConvPlan {
    /// A convolution of `kernel` x `kernel` from the concatenation of `inputs` to `outputs` channels.
    pub fn new(kernel: usize, inputs: &[usize], outputs: usize) -> Self {
        assert!(kernel == 1 || kernel == 3, "kernels of 1 and 3");
        Self {
            kernel,
            inputs: inputs.to_vec(),
            outputs: vec![outputs],
            plane: false,
            input_grid: Sampling::Same,
            output_grid: Sampling::Same,
        }
    }

    /// The 3x3 convolution of one channel that is not blocked.
    pub fn of_plane(outputs: usize) -> Self {
        Self { plane: true, ..Self::new(3, &[1], outputs) }
    }

    /// The 2x2 transposed convolution of stride 2.
    pub fn transposed(input: usize, output: usize) -> Self {
        Self { output_grid: Sampling::Double, ..Self::new(1, &[input], output) }
    }

    /// The convolution that takes the gradient of the outputs to that of the inputs.
    pub fn backward(&self) -> Self {
        Self {
            kernel: self.kernel,
            inputs: self.outputs.clone(),
            outputs: self.inputs.clone(),
            plane: false,
            input_grid: self.output_grid,
            output_grid: self.input_grid,
        }
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Input lanes per block as packed.
    pub(crate) fn input_lanes(&self, isa: Isa) -> usize {
        if self.plane { 1 } else { isa.lanes() }
    }

    pub(crate) fn in_blocks(&self, isa: Isa) -> usize {
        self.input_grid.phases() * self.inputs.iter().map(|c| c.div_ceil(isa.lanes())).sum::<usize>()
    }

    pub(crate) fn out_blocks(&self, isa: Isa) -> usize {
        self.output_grid.phases() * self.outputs.iter().map(|c| c.div_ceil(isa.lanes())).sum::<usize>()
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self, isa: Isa) -> usize {
        self.in_blocks(isa) * self.input_lanes(isa) * self.taps() * self.out_blocks(isa) * isa.lanes()
    }

    /// Where the weight from (input block, lane) through `tap` to (output block, lane) stands.
    fn place(&self, isa: Isa, input: (usize, usize), tap: usize, output: (usize, usize)) -> usize {
        let (lanes, in_lanes) = (isa.lanes(), self.input_lanes(isa));
        let (in_blocks, out_blocks) = (self.in_blocks(isa), self.out_blocks(isa));
        let pair = output.0 / 2;
        let in_pair = (out_blocks - 2 * pair).min(2);
        let start = 2 * pair * in_blocks * self.taps() * in_lanes * lanes;
        start
            + (((input.0 * self.taps() + tap) * in_lanes + input.1) * in_pair + output.0 % 2) * lanes
            + output.1
    }

    /// The (block, lane) of each channel of the concatenated tensors, phase by phase.
    fn places(isa: Isa, channels: &[usize], grid: Sampling) -> Vec<Vec<(usize, usize)>> {
        let lanes = isa.lanes();
        let blocks: usize = channels.iter().map(|c| c.div_ceil(lanes)).sum();
        (0..grid.phases())
            .map(|phase| {
                let mut first = phase * blocks;
                let mut places = Vec::new();
                for &c in channels {
                    places.extend((0..c).map(|i| (first + i / lanes, i % lanes)));
                    first += c.div_ceil(lanes);
                }
                places
            })
            .collect()
    }

    /// (block, lane) of each input channel, and the number of output channels.
    fn lanes_of(&self, isa: Isa) -> (Vec<(usize, usize)>, usize) {
        assert!(self.outputs.len() == 1 && self.input_grid == Sampling::Same, "a forward convolution");
        (Self::places(isa, &self.inputs, Sampling::Same).remove(0), self.outputs[0])
    }

    /// Weights in PyTorch's order (`[out, in, kh, kw]`, for the transposed convolution `[in, out, 2, 2]`) to packed.
    pub fn pack(&self, isa: Isa, plain: &[f32], packed: &mut [f32]) {
        let (ins, n_out) = self.lanes_of(isa);
        let (lanes, taps, n_in) = (isa.lanes(), self.taps(), ins.len());
        let per_block = self.in_blocks(isa) * taps * self.input_lanes(isa) * lanes;
        let per_phase = n_out.div_ceil(lanes);
        packed[..self.packed_len(isa)].par_chunks_mut(2 * per_block).enumerate().for_each(
            |(pair, packed)| {
                packed.fill(0.0);
                let start = 2 * pair * per_block;
                for block in (2 * pair)..(2 * pair + packed.len() / per_block) {
                    let (phase, first) = (block / per_phase, block % per_phase * lanes);
                    let count = (n_out - first).min(lanes);
                    for (i, input) in ins.iter().enumerate() {
                        for tap in 0..taps {
                            let to = self.place(isa, *input, tap, (block, 0)) - start;
                            for (lane, v) in packed[to..to + count].iter_mut().enumerate() {
                                *v = plain[self.plain_place(i, n_in, tap, phase, first + lane, n_out)];
                            }
                        }
                    }
                }
            },
        );
    }

    /// Packed weights to PyTorch's order.
    pub fn unpack(&self, isa: Isa, packed: &[f32], plain: &mut [f32]) {
        let (ins, n_out) = self.lanes_of(isa);
        let (lanes, taps, n_in) = (isa.lanes(), self.taps(), ins.len());
        match self.output_grid {
            // A block of outputs is one contiguous piece.
            Sampling::Same => {
                plain[..n_out * n_in * taps].par_chunks_mut(lanes * n_in * taps).enumerate().for_each(
                    |(block, plain)| {
                        for (i, input) in ins.iter().enumerate() {
                            for tap in 0..taps {
                                let from = &packed[self.place(isa, *input, tap, (block, 0))..][..lanes];
                                for (row, v) in plain.chunks_exact_mut(n_in * taps).zip(from) {
                                    row[i * taps + tap] = *v;
                                }
                            }
                        }
                    },
                );
            }
            // One input channel is one contiguous piece.
            Sampling::Double => {
                let per_phase = n_out.div_ceil(lanes);
                plain[..n_in * n_out * 4].par_chunks_mut(n_out * 4).zip(&ins).for_each(|(plain, input)| {
                    for phase in 0..4 {
                        for o in 0..n_out {
                            let output = (phase * per_phase + o / lanes, o % lanes);
                            plain[o * 4 + phase] = packed[self.place(isa, *input, 0, output)];
                        }
                    }
                });
            }
        }
    }

    fn plain_place(&self, i: usize, n_in: usize, tap: usize, phase: usize, o: usize, n_out: usize) -> usize {
        match self.output_grid {
            Sampling::Same => (o * n_in + i) * self.taps() + tap,
            Sampling::Double => (i * n_out + o) * 4 + phase,
        }
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
        assert!(packed.len() >= self.packed_len(isa) && backward.len() >= back.packed_len(isa));
        // A pair of backward output blocks (our input blocks) is one contiguous piece.
        let (ins, outs) = (self.in_blocks(isa), self.out_blocks(isa));
        let piece = 2 * outs * taps * lanes * lanes;
        backward[..back.packed_len(isa)].par_chunks_mut(piece).enumerate().for_each(|(pair, to)| {
            let in_pair = (ins - 2 * pair).min(2);
            for o in 0..outs {
                let (o_pair, o_in_pair) = (o / 2, (outs - o / 2 * 2).min(2));
                let o_start = 2 * o_pair * ins * taps * lanes * lanes;
                for k in 0..in_pair {
                    for tap in 0..taps {
                        // [input lane][output lane] here, [output lane][input lane] there.
                        let i = 2 * pair + k;
                        let from = o_start + ((i * taps + tap) * lanes * o_in_pair + o % 2) * lanes;
                        let into = ((o * taps + taps - 1 - tap) * lanes * in_pair + k) * lanes;
                        for il in 0..lanes {
                            let row = &packed[from + il * o_in_pair * lanes..][..lanes];
                            for (ol, v) in row.iter().enumerate() {
                                to[into + ol * in_pair * lanes + il] = *v;
                            }
                        }
                    }
                }
            }
        });
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
