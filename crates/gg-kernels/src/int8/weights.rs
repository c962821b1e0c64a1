//! From the weights of a network to the bytes that are multiplied.
//!
//! Each output channel has a scale of its own, and the inputs' scales are multiplied into the weights before they are
//! rounded, so that sources of different scales can be added up.
//!
//! Packed: `[group of output blocks][place of the transform][input block][row of the kernel][word of four inputs][block of
//! the group][output][input of the word]`, the order in which the tile kernel reads them; a 1x1 convolution and a 2x2
//! transposed one have one place and one row, the latter four times as many output blocks.

use super::layout::{LANES, Quant};
use crate::{Buffer, Isa};
use rayon::prelude::*;

/// Bytes of the weights from a word of four inputs to a block.
pub(super) const WORD: usize = 4 * LANES;
/// Words of a block of inputs.
pub(super) const WORDS: usize = LANES / 4;
/// Inputs of the transform, in the order of [`super::Int8::widen`].
pub(super) const PLACES: usize = 4;
/// What is added to the differences among them.
const HALF: i32 = 128;
/// A bias may be so many steps of the sums.
const MOST_STEPS: f32 = (1 << 29) as f32;

/// A convolution that has a kernel of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind8 {
    /// 3x3, stride 1, zero padding that keeps the size; weights `[out, in, 3, 3]`.
    Same3x3,
    /// 1x1, stride 1; weights `[out, in, 1, 1]`.
    Same1x1,
    /// Transposed 2x2 of stride 2; weights `[in, out, 2, 2]`.
    Up2x2,
}

/// What happens to a convolution's sums before they are rounded to bytes again.
#[derive(Clone, Copy, Debug)]
pub struct After8<'a> {
    /// Added per channel.
    pub bias: &'a [f32],
    /// Whether what lies below zero becomes zero.
    pub relu: bool,
    /// Factor and summand per channel, after that.
    pub norm: Option<(&'a [f32], &'a [f32])>,
}

/// A convolution in bytes.
#[derive(Debug)]
pub struct Conv8 {
    pub(super) kind: Kind8,
    /// Channels of each source.
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: usize,
    pub(super) weights: Buffer,
    /// What the sums begin with: per output for even and for odd columns (all alike without the transform).
    pub(super) start: [Vec<i32>; 2],
    pub(super) rounding: Rounding,
}

/// From sums to bytes: `max(sum, floor) * scale + shift`, cut to 0 ..= top.
#[derive(Debug)]
pub(super) struct Rounding {
    pub(super) floor: i32,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) top: f32,
    /// The byte of the number 0.
    pub(super) zero: u8,
}

impl Kind8 {
    pub(super) fn places(self) -> usize {
        if self == Self::Same3x3 { PLACES } else { 1 }
    }

    pub(super) fn rows(self) -> usize {
        if self == Self::Same3x3 { 3 } else { 1 }
    }

    pub(super) fn phases(self) -> usize {
        if self == Self::Up2x2 { 4 } else { 1 }
    }

    /// Weights from one input to one output.
    fn taps(self) -> usize {
        match self {
            Self::Same3x3 => 9,
            Self::Same1x1 => 1,
            Self::Up2x2 => 4,
        }
    }

    /// Rows (columns) of the result for each of a source.
    pub(super) fn fine(self) -> usize {
        if self == Self::Up2x2 { 2 } else { 1 }
    }
}

impl Conv8 {
    /// Rounds the weights of a convolution of these sources (channels each) to `outputs` channels.
    ///
    /// # Panics
    /// When a slice has another length than its shape.
    pub fn new(
        isa: Isa,
        kind: Kind8,
        inputs: &[(usize, Quant)],
        outputs: usize,
        weights: &[f32],
        after: After8<'_>,
        out: Quant,
    ) -> Self {
        let blocks: usize = inputs.iter().map(|(c, _)| c.div_ceil(LANES)).sum();
        // Per input channel: its place among the packed ones, and its source's meaning.
        let mut places = Vec::new();
        let mut first = 0;
        for &(c, quant) in inputs {
            places.extend((0..c).map(|i| (first * LANES + i, quant)));
            first += c.div_ceil(LANES);
        }
        let (ins, phases) = (places.len(), kind.phases());
        let taps = kind.taps();
        assert!(
            weights.len() == outputs * ins * taps && after.bias.len() == outputs,
            "weights of this shape"
        );
        let per_phase = outputs.div_ceil(LANES);
        let out_blocks = phases * per_phase;
        let per_block = kind.places() * blocks * kind.rows() * WORDS * WORD;
        let group = isa.int8_blocks();
        let mut packed = Buffer::zeros((out_blocks * per_block).div_ceil(4));
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut packed);
        // Of each output block: starts of even and odd columns and scale of every lane.
        let made: Vec<Vec<[Lane; LANES]>> = bytes
            .par_chunks_mut(group * per_block)
            .enumerate()
            .map(|(g, bytes)| {
                let width = bytes.len() / per_block;
                let lane = |k: usize, lane: usize, bytes: &mut [i8]| {
                    let (phase, o) =
                        ((g * group + k) / per_phase, (g * group + k) % per_phase * LANES + lane);
                    if o >= outputs {
                        return Lane::default();
                    }
                    let values = |i: usize, row: usize| -> [f32; PLACES] {
                        let s = places[i].1.scale;
                        match kind {
                            Kind8::Same3x3 => transform(&weights[(o * ins + i) * 9 + 3 * row..][..3], s),
                            Kind8::Same1x1 => [weights[o * ins + i] * s, 0.0, 0.0, 0.0],
                            Kind8::Up2x2 => [weights[(i * outputs + o) * 4 + phase] * s, 0.0, 0.0, 0.0],
                        }
                    };
                    let mut most = 0.0f32;
                    for i in 0..ins {
                        for row in 0..kind.rows() {
                            most = values(i, row).iter().fold(most, |m, v| m.max(v.abs()));
                        }
                    }
                    let scale = (most / 127.0).max(after.bias[o].abs() / MOST_STEPS).max(f32::MIN_POSITIVE);
                    let bias = (after.bias[o] / scale).round_ties_even() as i32;
                    let mut made = Lane { start: [bias; 2], scale };
                    for i in 0..ins {
                        let (at, quant) = places[i];
                        let zero = i32::from(quant.zero);
                        for row in 0..kind.rows() {
                            for (place, v) in values(i, row).into_iter().enumerate().take(kind.places()) {
                                let q = (v / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
                                let word = (place * blocks * LANES + at / LANES * LANES) * kind.rows() / 4
                                    + row * WORDS
                                    + at % LANES / 4;
                                bytes[((word * width + k) * LANES + lane) * 4 + at % 4] = q;
                                made.offset(kind, place, i32::from(q), zero);
                            }
                        }
                    }
                    made
                };
                let mut blocks = vec![[Lane::default(); LANES]; width];
                for (k, lanes) in blocks.iter_mut().enumerate() {
                    for (l, made) in lanes.iter_mut().enumerate() {
                        *made = lane(k, l, bytes);
                    }
                }
                blocks
            })
            .collect();
        let lanes: Vec<Lane> = made.into_iter().flatten().flatten().collect();
        let rounding = Rounding::new(&lanes, per_phase * LANES, outputs, after, out);
        let start = [0, 1].map(|odd| lanes.iter().map(|l| l.start[odd]).collect());
        let inputs = inputs.iter().map(|(c, _)| *c).collect();
        Self { kind, inputs, outputs, weights: packed, start, rounding }
    }
}

/// What an output's sums begin with, and what one step of them is worth.
#[derive(Clone, Copy, Default)]
struct Lane {
    start: [i32; 2],
    scale: f32,
}

impl Lane {
    /// Takes out what a weight adds for stored inputs that mean 0.
    fn offset(&mut self, kind: Kind8, place: usize, weight: i32, zero: i32) {
        let [even, odd] = &mut self.start;
        match (kind, place) {
            (Kind8::Same1x1 | Kind8::Up2x2, _) => {
                *even -= weight * zero;
                *odd -= weight * zero;
            }
            (Kind8::Same3x3, 0) => {
                *even -= weight * 2 * zero;
                *odd -= weight * 2 * zero;
            }
            (Kind8::Same3x3, 1) => {
                *even -= weight * HALF;
                *odd += weight * HALF;
            }
            (Kind8::Same3x3, 2) => *even -= weight * HALF,
            (Kind8::Same3x3, _) => *odd -= weight * HALF,
        }
    }
}

/// One row of a kernel as it multiplies `d1 + d2`, `d2 - d1`, `d0 - d2`, `d1 - d3`; the last one with the sign that lets
/// products be added up alone.
fn transform(g: &[f32], scale: f32) -> [f32; PLACES] {
    let g = [g[0] * scale, g[1] * scale, g[2] * scale];
    [0.5 * (g[0] + g[1] + g[2]), 0.5 * (g[0] - g[1] + g[2]), g[0], -g[2]]
}

impl Rounding {
    fn new(lanes: &[Lane], per_phase: usize, outputs: usize, after: After8<'_>, out: Quant) -> Self {
        let (mut scale, mut shift) = (vec![0.0; lanes.len()], vec![0.0; lanes.len()]);
        for (i, lane) in lanes.iter().enumerate() {
            let o = i % per_phase;
            if o < outputs {
                let (factor, summand) = after.norm.map_or((1.0, 0.0), |(f, s)| (f[o], s[o]));
                scale[i] = lane.scale * factor / out.scale;
                shift[i] = summand / out.scale + f32::from(out.zero);
            }
        }
        let floor = if after.relu { 0 } else { i32::MIN };
        Self { floor, scale, shift, top: f32::from(super::TOP), zero: out.zero }
    }
}
