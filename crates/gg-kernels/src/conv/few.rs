//! Winograd's convolution where few tiles meet many channels, as at the deepest levels: there the transformed weights of
//! a whole layer, four times as many as the weights, would travel to memory and back.
//!
//! First the tiles of all inputs are transformed, once for all output blocks. Then a task takes one pair of output blocks
//! and some tiles, transforms the weights of a few input blocks at a time into its second-level cache, and adds
//! their products to sums that lie there too.

use super::panel::fill;
use super::tile::{Tile, tile};
use super::transform::{IN, Inputs, OUT, PLACES, Weights};
use super::winograd::{Job, Write};
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Tiles of one task, to aim at: their sums stay in the second-level cache.
pub(super) const TILES: usize = 64;
/// Input blocks whose weights are transformed at once.
const BLOCKS: usize = 4;
/// Tasks whose inputs are transformed at once, so that memory does not grow with the number of images.
const TASKS: usize = 4;

/// Convolves `rows` rows of tiles of all images.
pub(super) fn convolve(job: &Job<'_>, precision: Precision, weights: &[f32], rows: usize) {
    let tasks = rows.div_ceil(job.rows);
    for first in (0..tasks).step_by(TASKS) {
        let count = TASKS.min(tasks - first);
        let rows = (first * job.rows, ((first + count) * job.rows).min(rows));
        let shapes = Shapes::of(job, rows.1 - rows.0, precision);
        with_scratch(PLACES * shapes.input_place, |inputs| {
            let to = Shared::new(inputs);
            (rows.0..rows.1).into_par_iter().for_each(|row| {
                with_scratch(IN * (job.across * OUT + 2) * job.isa.lanes(), |panel| {
                    let row = Row { job, shapes, row, first: rows.0, to, panel };
                    match precision {
                        Precision::Fp32 => job.isa.run(RowIn::<Fp32>(row, PhantomData)),
                        Precision::Bf16 => job.isa.run_bf16(RowIn::<Bf16>(row, PhantomData)),
                    }
                });
            });
            let pairs = job.outs.len().div_ceil(2);
            (0..pairs * count).into_par_iter().for_each(|i| {
                let (pair, task) = (i / count, first + i % count);
                let own = (task * job.rows, ((task + 1) * job.rows).min(rows.1));
                let len = PLACES * (shapes.result_place + shapes.weight_place);
                with_scratch(len, |scratch| {
                    let inputs = &*inputs;
                    let task =
                        Task { job, shapes, weights, inputs, task, first: rows.0, rows: own, pair, scratch };
                    match precision {
                        Precision::Fp32 => job.isa.run(TaskIn::<Fp32>(task, PhantomData)),
                        Precision::Bf16 => job.isa.run_bf16(TaskIn::<Bf16>(task, PhantomData)),
                    }
                });
            });
        });
    }
}

/// Tiles of all inputs, and words from place to place of inputs, of sums and of weights. A cache line between places keeps
/// them from falling on the same lines of the cache.
#[derive(Clone, Copy)]
struct Shapes {
    tiles: usize,
    input_place: usize,
    result_tiles: usize,
    result_place: usize,
    weight_place: usize,
}

impl Shapes {
    fn of(job: &Job<'_>, rows: usize, precision: Precision) -> Self {
        let (lanes, words) = (job.isa.lanes(), job.isa.lanes() / precision.per_word());
        let (tiles, result_tiles) = (rows * job.across, job.rows * job.across);
        Self {
            tiles,
            input_place: job.ins.len() * tiles * words + 16,
            result_tiles,
            result_place: 2 * result_tiles * lanes + 16,
            weight_place: BLOCKS * words * 2 * lanes + 16,
        }
    }
}

/// One row of tiles of all input blocks.
struct Row<'a> {
    job: &'a Job<'a>,
    shapes: Shapes,
    row: usize,
    /// The row that `to` begins with.
    first: usize,
    to: Shared,
    panel: &'a mut [f32],
}

struct RowIn<'a, A>(Row<'a>, PhantomData<A>);

impl<A: Arith> Kernel for RowIn<'_, A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let Row { job, shapes, row, first, to, panel } = self.0;
        let words = S::L / A::PER_WORD;
        let (image, y) = (row / job.down, row % job.down * OUT);
        let (panel, width, tiles) = (panel.as_mut_ptr(), job.across * OUT + 2, job.across);
        for (b, block) in job.ins.iter().enumerate() {
            // SAFETY: `forward_winograd` has checked the sources; the panel has room for six rows, and the tiles of one row
            // are one task's alone.
            unsafe {
                let source = &job.sources[block.tensor];
                fill::<S, Fp32>(source, block, job.size, image, (y, OUT), 1, width, panel);
                let to = to.at((b * shapes.tiles + (row - first) * tiles) * words);
                let place = shapes.input_place;
                A::enter::<S, _>(Inputs::<A> { panel, width, tiles, to, place, precision: PhantomData });
            }
        }
    }
}

/// Some rows of tiles of one pair of output blocks.
struct Task<'a> {
    job: &'a Job<'a>,
    shapes: Shapes,
    weights: &'a [f32],
    /// Transformed.
    inputs: &'a [f32],
    task: usize,
    /// The row that `inputs` begin with.
    first: usize,
    /// Rows of tiles of all images, from and to.
    rows: (usize, usize),
    pair: usize,
    /// Sums and transformed weights.
    scratch: &'a mut [f32],
}

struct TaskIn<'a, A>(Task<'a>, PhantomData<A>);

impl<A: Arith> Kernel for TaskIn<'_, A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        debug_assert_eq!(S::L, self.0.job.isa.lanes());
        let Task { job, shapes, weights, inputs, task, first, rows, pair, scratch } = self.0;
        let (words, ins) = (S::L / A::PER_WORD, job.ins.len());
        let k = (job.outs.len() - 2 * pair).min(2);
        let tiles = (rows.1 - rows.0) * job.across;
        let pieces = tiles.div_ceil(S::TILE);
        // SAFETY: `forward_winograd` has checked all lengths; a task writes its own tiles of its own output blocks.
        unsafe {
            let results = scratch.as_mut_ptr();
            let transformed = results.add(PLACES * shapes.result_place);
            let inputs = inputs.as_ptr().add((rows.0 - first) * job.across * words);
            let packed = weights.as_ptr().add(2 * pair * ins * 9 * S::L * S::L);
            for from in (0..ins).step_by(BLOCKS) {
                let blocks = BLOCKS.min(ins - from);
                for b in 0..blocks {
                    A::enter::<S, _>(Weights::<A> {
                        from: packed.add((from + b) * 9 * S::L * k * S::L),
                        width: k * S::L,
                        to: transformed.add(b * words * k * S::L),
                        place: shapes.weight_place,
                        precision: PhantomData,
                    });
                }
                for place in 0..PLACES {
                    for i in 0..pieces {
                        let x = crate::layout::cut(tiles, pieces, i);
                        let out = results.add(place * shapes.result_place + x * S::L);
                        let input = place * shapes.input_place + (from * shapes.tiles + x) * words;
                        let t = Tile {
                            input: inputs.add(input),
                            block_stride: shapes.tiles * words,
                            row_stride: 0,
                            blocks,
                            lanes: job.lanes.as_ptr().add(from),
                            weights: transformed.add(place * shapes.weight_place),
                            out: [out, out.add(shapes.result_tiles * S::L)],
                            out_step: S::L,
                            bias: None,
                            first: from == 0,
                            last: false,
                            slope: 1.0,
                            sums: None,
                        };
                        tile::<S, A, 1, false>(k, crate::layout::cut(tiles, pieces, i + 1) - x, t);
                    }
                }
            }
            for b in 0..k {
                let from = results.add(b * shapes.result_tiles * S::L).cast_const();
                S::enter(Write { job, task, rows, out: 2 * pair + b, from, place: shapes.result_place });
            }
        }
    }
}
