//! The gradient of a 3x3 convolution's weights by Winograd's minimal filtering, the transpose of
//! [`super::forward_winograd`]: with inputs d and the gradient y of a tile's results, each tile adds
//! `G' ((B' d B) . (A y A')) G`, and the outer transformation is made once, after the sum over all tiles.
//!
//! For each of the 36 places this is an outer product of input lanes and output lanes, summed over tiles. A task takes
//! some pairs of output blocks and a share of the tiles; the shares' sums are added in a fixed order.

use super::few_weights;
use super::panel::{Block, fill};
use super::plan::{ConvPlan, Sampling};
use super::transform::{IN, Inputs, OUT, PLACES, sum_weights, widen_gradient};
use crate::arith::{Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::Source;
use crate::{Buffer, Isa};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Floats of transformed inputs at once, to aim at.
const CHUNK: usize = 256 * 1024;
/// Tiles between two additions to memory: at least, and at most.
const TILES: (usize, usize) = (32, 128);
/// Pieces of work to aim at, whatever the number of threads.
const TASKS: usize = 8;
/// Pairs of output blocks of a task, which share the transformed inputs.
const PAIRS: usize = 2;

pub(super) struct Job<'a> {
    pub(super) isa: Isa,
    pub(super) inputs: &'a [Source<'a>],
    pub(super) ins: Vec<Block>,
    pub(super) gradient: &'a Source<'a>,
    pub(super) outs: Vec<Block>,
    pub(super) size: (usize, usize),
    /// Tiles of a row, rows of tiles of an image, and of a chunk.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) rows: usize,
}

/// As [`super::backward_weights`] for a plan that [`ConvPlan::suits_winograd`], in fp32.
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn backward_weights_winograd(
    isa: Isa,
    plan: &ConvPlan,
    (n, h, w): (usize, usize, usize),
    inputs: &[Source<'_>],
    gradient: &Source<'_>,
    out: &mut [f32],
    partial: &mut Buffer,
) {
    let lanes = isa.lanes();
    let pixels = n * h * w;
    let len = plan.packed_len(isa);
    assert!(plan.kernel == 3 && !plan.plane, "a 3x3 convolution of blocked channels");
    assert!(plan.input_grid == Sampling::Same && plan.output_grid == Sampling::Same);
    assert_eq!(inputs.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!([gradient.channels].as_slice(), plan.outputs.as_slice());
    assert!(inputs.iter().all(|s| !s.is_plane()) && !gradient.is_plane());
    assert!(out.len() >= len, "packed weights");
    for source in inputs {
        source.check(pixels, lanes);
    }
    gradient.check(pixels, lanes);
    let ins = Block::list(plan.inputs.iter().copied(), Sampling::Same, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), Sampling::Same, lanes);

    // The partition depends on the shape alone.
    let (across, down) = (w.div_ceil(OUT), h.div_ceil(OUT));
    if n * down * across <= few_weights::TILES && plan.transforms_within(isa, (h, w)) {
        let job = Job { isa, inputs, ins, gradient, outs, size: (h, w), across, down, rows: n * down };
        return few_weights::gradient(&job, &mut out[..len]);
    }
    let tiles = (CHUNK / (PLACES * ins.len() * lanes)).clamp(TILES.0, TILES.1);
    let rows = (tiles / across.max(1)).max(1);
    let chunks = (n * down).div_ceil(rows);
    let pairs = outs.len().div_ceil(2);
    let groups = pairs.div_ceil(PAIRS);
    let splits = TASKS.div_ceil(groups).min(chunks).max(1);
    let long = plan.winograd_len(isa, Precision::Fp32);
    partial.reserve(splits * long);
    let target = Shared::new(partial);
    let job = Job { isa, inputs, ins, gradient, outs, size: (h, w), across, down, rows };
    (0..groups * splits).into_par_iter().for_each(|task| {
        let (split, group) = (task / groups, task % groups);
        let chunks = (cut(chunks, splits, split), cut(chunks, splits, split + 1));
        let pairs = (cut(pairs, groups, group), cut(pairs, groups, group + 1));
        let sizes = Scratch::of(&job, pairs.1 - pairs.0, lanes);
        with_scratch(sizes.len, |scratch| {
            let task = Task {
                job: &job,
                rows: n * down,
                chunks,
                pairs,
                target,
                start: split * long,
                sizes,
                scratch,
            };
            isa.run(task);
        });
    });
    // Each input block of each pair is a task of its own.
    let blocks = job.ins.len();
    let sums = Shared::new(partial);
    let out = Shared::new(&mut out[..len]);
    (0..pairs * blocks).into_par_iter().for_each(|task| {
        let (pair, block) = (task / blocks, task % blocks);
        let width = (job.outs.len() - 2 * pair).min(2) * lanes;
        let first = (2 * pair * blocks * PLACES * lanes + block * width) * lanes;
        let start = (2 * pair * blocks * lanes + block * width) * 9 * lanes;
        // SAFETY: the sums of all splits are there, and nobody writes them any more; the weights of one input block and pair
        // are one task's alone.
        let (sums, to) = unsafe { (sums.at(first).cast_const(), out.at(start)) };
        isa.run(Finish { sums, place: blocks * lanes * width, splits, long, width, to });
    });
}

/// The scratch memory of a task: transformed inputs, transformed gradients, six rows of one block.
#[derive(Clone, Copy)]
struct Scratch {
    tiles: usize,
    input_place: usize,
    gradient_place: usize,
    gradients: usize,
    panel: usize,
    panel_width: usize,
    len: usize,
}

impl Scratch {
    fn of(job: &Job<'_>, pairs: usize, lanes: usize) -> Self {
        let tiles = job.rows * job.across;
        // A cache line between places keeps them from falling on the same lines of the cache.
        let input_place = job.ins.len() * tiles * lanes + 16;
        let gradient_place = 2 * pairs * tiles * lanes + 16;
        let gradients = PLACES * input_place;
        let panel = gradients + PLACES * gradient_place;
        let panel_width = job.across * OUT + 2;
        let len = panel + IN * panel_width * lanes;
        Self { tiles, input_place, gradient_place, gradients, panel, panel_width, len }
    }
}

struct Task<'a> {
    job: &'a Job<'a>,
    /// Rows of tiles of all images.
    rows: usize,
    /// Chunks of rows, from and to.
    chunks: (usize, usize),
    /// Pairs of output blocks, from and to.
    pairs: (usize, usize),
    target: Shared,
    start: usize,
    sizes: Scratch,
    scratch: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        debug_assert_eq!(S::L, self.job.isa.lanes());
        let (job, sizes) = (self.job, self.sizes);
        let blocks = job.ins.len();
        // SAFETY: `backward_weights_winograd` has checked all lengths; a task writes the sums of its own pairs and split.
        unsafe {
            let inputs = self.scratch.as_mut_ptr();
            let (gradients, panel) = (inputs.add(sizes.gradients), inputs.add(sizes.panel));
            let per_block = S::L * S::L * PLACES;
            let ends = (2 * self.pairs.0, (2 * self.pairs.1).min(job.outs.len()));
            let sums = self.target.at(self.start);
            std::ptr::write_bytes(
                sums.add(ends.0 * blocks * per_block),
                0,
                (ends.1 - ends.0) * blocks * per_block,
            );
            for chunk in self.chunks.0..self.chunks.1 {
                let rows = (chunk * job.rows, ((chunk + 1) * job.rows).min(self.rows));
                for row in rows.0..rows.1 {
                    let (image, y) = (row / job.down, row % job.down * OUT);
                    let first = (row - rows.0) * job.across;
                    for (b, block) in job.ins.iter().enumerate() {
                        let source = &job.inputs[block.tensor];
                        fill::<S, Fp32>(
                            source,
                            block,
                            job.size,
                            image,
                            (y, OUT),
                            1,
                            sizes.panel_width,
                            panel,
                        );
                        let to = inputs.add((b * sizes.tiles + first) * S::L);
                        let (width, tiles) = (sizes.panel_width, job.across);
                        let place = sizes.input_place;
                        S::enter(Inputs::<Fp32> { panel, width, tiles, to, place, precision: PhantomData });
                    }
                    for out in ends.0..ends.1 {
                        let block = &job.outs[out];
                        let width = job.across * OUT;
                        fill::<S, Fp32>(job.gradient, block, job.size, image, (y, OUT), 0, width, panel);
                        let to = gradients.add(((out - ends.0) * sizes.tiles + first) * S::L);
                        let tiles = job.across;
                        S::enter(Gradients { panel, width, tiles, to, place: sizes.gradient_place });
                    }
                }
                let tiles = (rows.1 - rows.0) * job.across;
                for pair in self.pairs.0..self.pairs.1 {
                    let k = (job.outs.len() - 2 * pair).min(2);
                    let sums = sums.add(2 * pair * blocks * per_block);
                    for place in 0..PLACES {
                        let from = gradients.add(place * sizes.gradient_place);
                        let from = from.add(2 * (pair - self.pairs.0) * sizes.tiles * S::L);
                        for (b, block) in job.ins.iter().enumerate() {
                            let walk = Walk {
                                input: inputs.add(place * sizes.input_place + b * sizes.tiles * S::L),
                                gradients: [from, from.add(sizes.tiles * S::L)],
                                tiles,
                                lanes: block.lanes,
                                add: true,
                                to: sums.add((place * blocks + b) * S::L * k * S::L),
                            };
                            walk.enter::<S>(k);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms the gradient of one row of tiles of one output block.
pub(super) struct Gradients {
    pub(super) panel: *const f32,
    pub(super) width: usize,
    pub(super) tiles: usize,
    pub(super) to: *mut f32,
    pub(super) place: usize,
}

impl Kernel for Gradients {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` has made room for four rows of the panel and for all places.
        unsafe {
            for tile in 0..self.tiles {
                let from = self.panel.add(tile * OUT * S::L);
                let mut columns = [[S::zero(); IN]; OUT];
                for x in 0..OUT {
                    let mut y = [S::zero(); OUT];
                    for i in 0..OUT {
                        y[i] = S::load(from.add((i * self.width + x) * S::L));
                    }
                    columns[x] = widen_gradient::<S>(y);
                }
                for y in 0..IN {
                    let row = [columns[0][y], columns[1][y], columns[2][y], columns[3][y]];
                    let row = widen_gradient::<S>(row);
                    for x in 0..IN {
                        S::store(self.to.add((y * IN + x) * self.place + tile * S::L), row[x]);
                    }
                }
            }
        }
    }
}

/// One place of one input block and a pair of output blocks.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    pub(super) input: *const f32,
    pub(super) gradients: [*const f32; 2],
    pub(super) tiles: usize,
    /// Input lanes that hold channels.
    pub(super) lanes: usize,
    /// Whether to add to what is there.
    pub(super) add: bool,
    pub(super) to: *mut f32,
}

impl Walk {
    /// For `k` output blocks.
    ///
    /// # Safety
    /// All tiles and sums are there; the processor has the set `S`.
    #[inline(always)]
    pub(super) unsafe fn enter<S: Simd>(self, k: usize) {
        if k == 2 {
            S::enter(WalkKernel::<2>(self));
        } else {
            S::enter(WalkKernel::<1>(self));
        }
    }
}

struct WalkKernel<const K: usize>(Walk);

impl<const K: usize> Kernel for WalkKernel<K> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` vouches for the pointers.
        unsafe {
            let mut lane = 0;
            while lane < self.0.lanes {
                if S::L == 16 {
                    self.lanes::<S, 8>(lane);
                    lane += 8;
                } else {
                    self.lanes::<S, 4>(lane);
                    lane += 4;
                }
            }
        }
    }
}

impl<const K: usize> WalkKernel<K> {
    /// `Q` input lanes. Lanes without a channel hold zeros and give zeros.
    #[inline(always)]
    unsafe fn lanes<S: Simd, const Q: usize>(&self, lane: usize) {
        let walk = &self.0;
        let mut acc = [[S::zero(); Q]; K];
        let input = walk.input.add(lane);
        for t in 0..walk.tiles {
            let mut g = [S::zero(); K];
            for k in 0..K {
                g[k] = S::load(walk.gradients[k].add(t * S::L));
            }
            for q in 0..Q {
                let value = S::splat(*input.add(t * S::L + q));
                for k in 0..K {
                    acc[k][q] = S::fma(value, g[k], acc[k][q]);
                }
            }
        }
        for q in 0..Q {
            for k in 0..K {
                let to = walk.to.add(((lane + q) * K + k) * S::L);
                let sum = if walk.add { S::add(S::load(to), acc[k][q]) } else { acc[k][q] };
                S::store(to, sum);
            }
        }
    }
}

/// Adds the sums of all splits for one input block of one pair, and transforms them back.
pub(super) struct Finish {
    /// Those of the first lane at the first place, and floats from place to place.
    pub(super) sums: *const f32,
    pub(super) place: usize,
    /// How many sums are to be added, and floats from one to the next.
    pub(super) splits: usize,
    pub(super) long: usize,
    /// Floats of the pair's output lanes.
    pub(super) width: usize,
    /// Packed weights.
    pub(super) to: *mut f32,
}

impl Kernel for Finish {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        for lane in 0..S::L {
            for k in (0..self.width).step_by(S::L) {
                // SAFETY: entered through an `Isa`; the caller vouches for the pointers.
                unsafe {
                    let mut columns = [[S::zero(); 3]; IN];
                    for x in 0..IN {
                        let mut m = [S::zero(); IN];
                        for y in 0..IN {
                            let from = self.sums.add((y * IN + x) * self.place + lane * self.width + k);
                            m[y] = S::load(from);
                            for split in 1..self.splits {
                                m[y] = S::add(m[y], S::load(from.add(split * self.long)));
                            }
                        }
                        columns[x] = sum_weights::<S>(m);
                    }
                    for y in 0..3 {
                        let mut m = [S::zero(); IN];
                        for x in 0..IN {
                            m[x] = columns[x][y];
                        }
                        let row = sum_weights::<S>(m);
                        for x in 0..3 {
                            let tap = y * 3 + x;
                            S::store(self.to.add((tap * S::L + lane) * self.width + k), row[x]);
                        }
                    }
                }
            }
        }
    }
}
