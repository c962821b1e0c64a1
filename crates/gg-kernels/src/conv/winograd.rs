//! The 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications. The matrices are
//! in [`super::transform`].
//!
//! For each of the 36 places of the transformed tiles the sum over channels is a 1x1 convolution whose pixels are tiles,
//! so it runs on the same tile kernel. A task is some rows of tiles, of one image or several: it reads its inputs as
//! [`super::forward()`] does, and results do not depend on how tiles are shared out.

use super::ahead::Ahead;
use super::few;
use super::forward::{After, ChannelSums, Dest};
use super::panel::{Block, fill};
use super::plan::{ConvPlan, Sampling};
use super::tile::{Tile, tile};
use super::transform::{IN, Inputs, OUT, PLACES, narrow_results};
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::{Source, activate};
use crate::{Buffer, Isa};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Images with shorter sides have too few tiles to pay for the larger weights.
const MIN_SIDE: usize = 8;
/// Tiles of one task, to aim at: enough to use each weight vector often, few enough for the second-level cache.
const TILES: usize = 32;
/// Pieces of work to aim at, whatever the number of threads; each one transforms the inputs of its tiles.
const TASKS: usize = 8;

/// Images with more pixels use transformed weights often enough to read them from memory.
const MAX_PIXELS_WITHIN: usize = 16 * 16;
/// With fewer pairs of input and output blocks all transformed weights lie in a cache.
const MIN_BLOCKS_WITHIN: usize = 64;

/// The weights of [`forward_winograd`].
#[derive(Clone, Copy)]
pub enum WinogradWeights<'a> {
    /// Those of [`ConvPlan::pack_winograd`] for the same precision.
    Transformed(&'a [f32]),
    /// Those of [`ConvPlan::pack`], to be transformed on the way.
    Packed(&'a [f32]),
}

impl ConvPlan {
    /// Whether [`forward_winograd`] is faster on images of `h` x `w` when it transforms the weights itself: with few pixels
    /// and many channels the transformed weights, four times as many, cost more memory traffic than their making.
    pub fn transforms_within(&self, isa: Isa, (h, w): (usize, usize)) -> bool {
        h * w <= MAX_PIXELS_WITHIN && self.in_blocks(isa) * self.out_blocks(isa) >= MIN_BLOCKS_WITHIN
    }

    /// Whether [`forward_winograd`] computes this convolution on images of `h` x `w`, and is the faster way.
    pub fn suits_winograd(&self, isa: Isa, (h, w): (usize, usize)) -> bool {
        let wide = |channels: &[usize]| channels.iter().all(|&c| c >= isa.lanes());
        let same = self.input_grid == Sampling::Same && self.output_grid == Sampling::Same;
        self.kernel == 3
            && !self.plane
            && same
            && h.min(w) >= MIN_SIDE
            && wide(&self.inputs)
            && wide(&self.outputs)
    }
}

pub(super) struct Job<'a> {
    pub(super) isa: Isa,
    pub(super) sources: &'a [Source<'a>],
    pub(super) ins: Vec<Block>,
    pub(super) lanes: Vec<usize>,
    pub(super) outs: Vec<Block>,
    pub(super) dests: Vec<Shared>,
    pub(super) after: After<'a>,
    pub(super) sums: Option<Shared>,
    pub(super) size: (usize, usize),
    /// Tiles of a row, rows of tiles of an image, and of a task.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) rows: usize,
    /// Rows of tiles of all images.
    pub(super) total: usize,
}

/// As [`super::forward()`] for a plan that [`ConvPlan::suits_winograd`].
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn forward_winograd(
    isa: Isa,
    plan: &ConvPlan,
    precision: Precision,
    (n, h, w): (usize, usize, usize),
    sources: &[Source<'_>],
    weights: WinogradWeights<'_>,
    dests: &mut [Dest<'_>],
    after: After<'_>,
    sums: Option<&mut ChannelSums>,
) {
    let lanes = isa.lanes();
    let pixels = n * h * w;
    assert!(plan.kernel == 3 && !plan.plane, "a 3x3 convolution of blocked channels");
    assert!(plan.input_grid == Sampling::Same && plan.output_grid == Sampling::Same);
    assert_eq!(sources.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!(dests.iter().map(|d| d.channels).collect::<Vec<_>>(), plan.outputs);
    assert!(sources.iter().all(|s| !s.is_plane()));
    match weights {
        WinogradWeights::Transformed(w) => {
            assert!(w.len() >= plan.winograd_len(isa, precision), "transformed weights")
        }
        WinogradWeights::Packed(w) => assert!(w.len() >= plan.packed_len(isa), "packed weights"),
    }
    for source in sources {
        source.check(pixels, lanes);
    }
    for dest in dests.iter() {
        let need = pixels * dest.channels.next_multiple_of(lanes);
        assert!(dest.data.len() >= need, "a destination as large as its shape");
    }
    let ins = Block::list(plan.inputs.iter().copied(), Sampling::Same, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), Sampling::Same, lanes);
    let width = outs.len() * lanes;
    assert!(after.bias.is_none_or(|b| b.len() >= width), "one bias per padded channel");
    if pixels == 0 || outs.is_empty() {
        return;
    }

    // The partition depends on the shape alone.
    let (across, down) = (w.div_ceil(OUT), h.div_ceil(OUT));
    let within = matches!(weights, WinogradWeights::Packed(_));
    let rows = (if within { few::TILES } else { TILES } / across).max(1);
    let tasks = (n * down).div_ceil(rows);
    let mut partial = Buffer::zeros(if sums.is_some() { tasks * 2 * width } else { 0 });
    let job = Job {
        isa,
        sources,
        lanes: ins.iter().map(|b| b.lanes).collect(),
        ins,
        outs,
        dests: dests.iter_mut().map(|d| Shared::new(d.data)).collect(),
        after,
        sums: sums.is_some().then(|| Shared::new(&mut partial)),
        size: (h, w),
        across,
        down,
        rows,
        total: n * down,
    };
    match weights {
        WinogradWeights::Transformed(weights) => convolve(&job, precision, weights, n * down),
        WinogradWeights::Packed(weights) => few::convolve(&job, precision, weights, n * down),
    }
    if let Some(sums) = sums {
        sums.add_up(&partial, width, 1);
    }
}

/// With transformed weights, `rows` rows of tiles of all images.
fn convolve(job: &Job<'_>, precision: Precision, weights: &[f32], rows: usize) {
    let tasks = rows.div_ceil(job.rows);
    let pairs = job.outs.len().div_ceil(2);
    let out_chunks = TASKS.div_ceil(tasks).min(pairs.div_ceil(2)).max(1);
    (0..tasks * out_chunks).into_par_iter().for_each(|i| {
        let (task, chunk) = (i / out_chunks, i % out_chunks);
        let pairs = (cut(pairs, out_chunks, chunk), cut(pairs, out_chunks, chunk + 1));
        let rows = (task * job.rows, ((task + 1) * job.rows).min(rows));
        let sizes = Scratch::of(job, job.isa.lanes(), precision);
        with_scratch(sizes.len, |scratch| {
            let task = Task { job, weights, task, rows, pairs, sizes, scratch };
            match precision {
                Precision::Fp32 => job.isa.run(TaskIn::<Fp32>(task, PhantomData)),
                Precision::Bf16 => job.isa.run_bf16(TaskIn::<Bf16>(task, PhantomData)),
            }
        });
    });
}

/// The scratch memory of a task: transformed inputs, sums over channels, six rows of one input block. A cache line
/// between the 36 places keeps them from falling on the same lines of the cache.
#[derive(Clone, Copy)]
struct Scratch {
    tiles: usize,
    input_place: usize,
    result_place: usize,
    results: usize,
    panel: usize,
    panel_width: usize,
    len: usize,
}

impl Scratch {
    fn of(job: &Job<'_>, lanes: usize, precision: Precision) -> Self {
        let tiles = job.rows * job.across;
        let input_place = job.ins.len() * tiles * lanes / precision.per_word() + 16;
        let result_place = 2 * tiles * lanes + 16;
        let results = PLACES * input_place;
        let panel = results + PLACES * result_place;
        let panel_width = job.across * OUT + 2;
        Self {
            tiles,
            input_place,
            result_place,
            results,
            panel,
            panel_width,
            len: panel + IN * panel_width * lanes,
        }
    }
}

struct Task<'a> {
    job: &'a Job<'a>,
    weights: &'a [f32],
    task: usize,
    /// Rows of tiles of all images, from and to.
    rows: (usize, usize),
    /// Pairs of output blocks, from and to.
    pairs: (usize, usize),
    sizes: Scratch,
    scratch: &'a mut [f32],
}

/// A task in one precision.
struct TaskIn<'a, A>(Task<'a>, PhantomData<A>);

impl<A: Arith> Kernel for TaskIn<'_, A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        debug_assert_eq!(S::L, self.0.job.isa.lanes());
        let Task { job, weights, task, rows, pairs, sizes, scratch } = self.0;
        let words = S::L / A::PER_WORD;
        // SAFETY: `forward_winograd` has checked all lengths; a task writes its own tiles of its own output blocks.
        unsafe {
            let inputs = scratch.as_mut_ptr();
            let (results, panel) = (inputs.add(sizes.results), inputs.add(sizes.panel));
            for row in rows.0..rows.1 {
                let (image, y) = (row / job.down, row % job.down * OUT);
                let first = (row - rows.0) * job.across;
                for (b, block) in job.ins.iter().enumerate() {
                    let source = &job.sources[block.tensor];
                    fill::<S, Fp32>(source, block, job.size, image, (y, OUT), 1, sizes.panel_width, panel);
                    let to = inputs.add((b * sizes.tiles + first) * words);
                    let (width, tiles, place) = (sizes.panel_width, job.across, sizes.input_place);
                    A::enter::<S, _>(Inputs::<A> { panel, width, tiles, to, place, precision: PhantomData });
                }
            }
            let tiles = (rows.1 - rows.0) * job.across;
            // Memory works while the multiply-add units do: the rows that the next task reads and those that this one
            // writes.
            let calls = PLACES * tiles.div_ceil(S::TILE);
            let mut next = Ahead::default();
            for row in rows.1..(2 * rows.1 - rows.0).min(job.total) {
                let (image, y) = (row / job.down, row % job.down * OUT);
                for block in &job.ins {
                    next.add_rows(&job.sources[block.tensor], block, job.size, image, (y + 1, OUT), S::L);
                }
            }
            let mut next = next.in_shares(calls * (pairs.1 - pairs.0));
            for pair in pairs.0..pairs.1 {
                let mut dests = Ahead::default();
                for row in rows.0..rows.1 {
                    let (image, top) = (row / job.down, row % job.down * OUT);
                    for block in &job.outs[2 * pair..(2 * pair + 2).min(job.outs.len())] {
                        let to = job.dests[block.tensor].at(block.at(image, top, 0, job.size, S::L));
                        dests.add(to, OUT.min(job.size.0 - top) * job.size.1 * S::L);
                    }
                }
                let mut dests = dests.in_shares(calls);
                let first = 2 * pair;
                let k = (job.outs.len() - first).min(2);
                let per_place = job.ins.len() * words * k * S::L;
                let weights = weights.as_ptr().add(first * job.ins.len() * words * S::L * PLACES);
                let pieces = tiles.div_ceil(S::TILE);
                for place in 0..PLACES {
                    for i in 0..pieces {
                        let x = cut(tiles, pieces, i);
                        let out = results.add(place * sizes.result_place + x * S::L);
                        let t = Tile {
                            input: inputs.add(place * sizes.input_place + x * words),
                            block_stride: sizes.tiles * words,
                            row_stride: 0,
                            blocks: job.ins.len(),
                            lanes: job.lanes.as_ptr(),
                            weights: weights.add(place * per_place),
                            out: [out, out.add(sizes.tiles * S::L)],
                            out_step: S::L,
                            bias: None,
                            first: true,
                            last: false,
                            slope: 1.0,
                            sums: None,
                        };
                        tile::<S, A, 1, false>(k, cut(tiles, pieces, i + 1) - x, t);
                        next.fetch::<S>();
                        dests.fetch_to_write::<S>();
                    }
                }
                for b in 0..k {
                    let from = results.add(b * sizes.tiles * S::L).cast_const();
                    let (out, place) = (first + b, sizes.result_place);
                    S::enter(Write { job, task, rows, out, from, place });
                }
            }
        }
    }
}

/// Transforms the sums of one output block back and writes them.
pub(super) struct Write<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) task: usize,
    pub(super) rows: (usize, usize),
    pub(super) out: usize,
    pub(super) from: *const f32,
    pub(super) place: usize,
}

impl Kernel for Write<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let job = self.job;
        let (h, w) = job.size;
        let block = &job.outs[self.out];
        // SAFETY: entered through an `Isa`; the pixels lie inside the image, and no other task writes them.
        unsafe {
            let bias = match job.after.bias {
                Some(bias) => S::load(bias.as_ptr().add(self.out * S::L)),
                None => S::zero(),
            };
            let slope = S::splat(job.after.slope);
            let (mut sum, mut squares) = (S::zero(), S::zero());
            for row in self.rows.0..self.rows.1 {
                let (image, top) = (row / job.down, row % job.down * OUT);
                for tile in 0..job.across {
                    let from = self.from.add(((row - self.rows.0) * job.across + tile) * S::L);
                    let mut rows = [[S::zero(); IN]; OUT];
                    for x in 0..IN {
                        let mut m = [S::zero(); IN];
                        for y in 0..IN {
                            m[y] = S::load(from.add((y * IN + x) * self.place));
                        }
                        let column = narrow_results::<S>(m);
                        for y in 0..OUT {
                            rows[y][x] = column[y];
                        }
                    }
                    let left = tile * OUT;
                    for y in 0..OUT.min(h - top) {
                        let results = narrow_results::<S>(rows[y]);
                        let to = job.dests[block.tensor].at(block.at(image, top + y, left, job.size, S::L));
                        for x in 0..OUT.min(w - left) {
                            let mut v = S::add(results[x], bias);
                            if job.after.slope == 0.0 {
                                v = S::max(S::zero(), v);
                            } else if job.after.slope != 1.0 {
                                v = activate::<S>(v, slope);
                            }
                            sum = S::add(sum, v);
                            squares = S::fma(v, v, squares);
                            S::store(to.add(x * S::L), v);
                        }
                    }
                }
            }
            if let Some(sums) = job.sums {
                let place = (self.task * 2 * job.outs.len() + self.out) * S::L;
                S::store(sums.at(place), sum);
                S::store(sums.at(place + job.outs.len() * S::L), squares);
            }
        }
    }
}
