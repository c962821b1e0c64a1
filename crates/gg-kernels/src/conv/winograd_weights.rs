//! The gradient of a 3x3 convolution's weights by Winograd's minimal filtering, the transpose of
//! [`super::forward_winograd`]: with inputs d and the gradient y of a tile's results, each tile adds
//! `G' ((B' d B) . (A y A')) G`, and the outer transformation is made once, after the sum over all tiles.
//!
//! For each of the 36 places this is an outer product of input lanes and output lanes, summed over tiles. A task takes
//! some pairs of output blocks and a share of the tiles; the shares' sums are added in a fixed order.

use super::ahead::Ahead;
use super::few_weights;
use super::panel::{Block, fill};
use super::plan::{ConvPlan, Sampling};
use super::transform::{IN, Inputs, OUT, PLACES};
use super::winograd_walk::{Finish, Gradients, Walk};
use crate::arith::{Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::Source;
use crate::{Buffer, Isa};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Floats of transformed inputs and gradients at once, to aim at: well inside the second-level cache.
const CHUNK: usize = 64 * 1024;
/// Tiles between two additions to memory: at least, and at most.
const TILES: (usize, usize) = (24, 128);
/// Pieces of work to aim at, whatever the number of threads.
const TASKS: usize = 8;
/// Into how many groups blocks are cut: up to [`TASKS`].
const GROUPS: [usize; 4] = [1, 2, 4, 8];
/// What the transformation of one tile of one block costs, as a fraction, and the sums of one pair of blocks in one
/// share of the tiles: see [`Cuts`].
const TRANSFORM: (usize, usize) = (1, 2);
const SUMS: usize = 64;

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
    plain: &mut [f32],
    scratch: &mut Buffer,
) {
    let lanes = isa.lanes();
    let pixels = n * h * w;
    assert!(plan.kernel == 3 && !plan.plane, "a 3x3 convolution of blocked channels");
    assert!(plan.input_grid == Sampling::Same && plan.output_grid == Sampling::Same);
    assert_eq!(inputs.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!([gradient.channels].as_slice(), plan.outputs.as_slice());
    assert!(inputs.iter().all(|s| !s.is_plane()) && !gradient.is_plane());
    for source in inputs {
        source.check(pixels, lanes);
    }
    gradient.check(pixels, lanes);
    let ins = Block::list(plan.inputs.iter().copied(), Sampling::Same, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), Sampling::Same, lanes);

    // The partition depends on the shape alone.
    let (across, down) = (w.div_ceil(OUT), h.div_ceil(OUT));
    if pixels == 0 {
        return plain.fill(0.0);
    }
    let (weights, plain) = (plan.pieces(isa, plain.len()), Shared::new(plain));
    if n * down * across <= few_weights::TILES && plan.transforms_within(isa, (h, w)) {
        let job = Job { isa, inputs, ins, gradient, outs, size: (h, w), across, down, rows: n * down };
        return few_weights::gradient(&job, &weights, plain);
    }
    let pairs = outs.len().div_ceil(2);
    let cuts = Cuts::of(n * down * across, ins.len(), pairs);
    let blocks = ins.len().div_ceil(cuts.inputs) + 2 * pairs.div_ceil(cuts.pairs);
    let tiles = (CHUNK / (PLACES * blocks * lanes)).clamp(TILES.0, TILES.1);
    let rows = (tiles / across.max(1)).max(1);
    let chunks = (n * down).div_ceil(rows);
    let splits = cuts.splits.min(chunks).max(1);
    let long = plan.winograd_len(isa, Precision::Fp32);
    scratch.reserve(splits * long);
    let target = Shared::new(scratch);
    let job = Job { isa, inputs, ins, gradient, outs, size: (h, w), across, down, rows };
    let groups = cuts.inputs * cuts.pairs;
    (0..groups * splits).into_par_iter().for_each(|task| {
        let (split, group) = (task / groups, task % groups);
        let part = |size: usize, parts: usize, i: usize| (cut(size, parts, i), cut(size, parts, i + 1));
        let chunks = part(chunks, splits, split);
        let blocks = part(job.ins.len(), cuts.inputs, group % cuts.inputs);
        let pairs = part(pairs, cuts.pairs, group / cuts.inputs);
        let sizes = Scratch::of(&job, blocks.1 - blocks.0, pairs.1 - pairs.0, lanes);
        with_scratch(sizes.len, |scratch| {
            let task = Task {
                job: &job,
                rows: n * down,
                chunks,
                blocks,
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
    let sums = Shared::new(scratch);
    weights.par_iter().enumerate().for_each(|(task, piece)| {
        let (pair, block) = (task / blocks, task % blocks);
        let width = (job.outs.len() - 2 * pair).min(2) * lanes;
        let first = (2 * pair * blocks * PLACES * lanes + block * width) * lanes;
        with_scratch(piece.len, |packed| {
            let to = packed.as_mut_ptr();
            // SAFETY: the sums of all splits are there, and nobody writes them any more; the weights of one input block and
            // pair are one task's alone.
            unsafe {
                let sums = sums.at(first).cast_const();
                isa.run(Finish { sums, place: blocks * lanes * width, splits, long, width, to });
                piece.unpack(isa, to, plain);
            }
        });
    });
}

/// How the work is cut: into groups of input blocks, of pairs of output blocks, and of tiles.
struct Cuts {
    inputs: usize,
    pairs: usize,
    splits: usize,
}

impl Cuts {
    /// The cheapest cut into at least [`TASKS`] tasks. Groups of blocks transform the tiles of the other side once more
    /// each; shares of the tiles each have sums of their own, which travel to memory and back. One unit is the
    /// multiplication of one tile of one input block with one output block.
    fn of(tiles: usize, ins: usize, pairs: usize) -> Self {
        let cost = |c: &Self| {
            let transforms = TRANSFORM.0 * (ins * c.pairs + 2 * pairs * c.inputs) / TRANSFORM.1;
            tiles * (2 * ins * pairs + transforms) + SUMS * c.splits * 2 * ins * pairs
        };
        let cuts = GROUPS.into_iter().filter(|i| *i <= ins).flat_map(|inputs| {
            let pairs = GROUPS.into_iter().filter(move |p| *p <= pairs);
            pairs.map(move |pairs| Self { inputs, pairs, splits: TASKS.div_ceil(inputs * pairs) })
        });
        cuts.min_by_key(cost).unwrap_or(Self { inputs: 1, pairs: 1, splits: TASKS })
    }
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
    fn of(job: &Job<'_>, blocks: usize, pairs: usize, lanes: usize) -> Self {
        let tiles = job.rows * job.across;
        // A cache line between places keeps them from falling on the same lines of the cache.
        let input_place = blocks * tiles * lanes + 16;
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
    /// Input blocks, from and to.
    blocks: (usize, usize),
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
            let own = &job.ins[self.blocks.0..self.blocks.1];
            for chunk in self.chunks.0..self.chunks.1 {
                let rows = (chunk * job.rows, ((chunk + 1) * job.rows).min(self.rows));
                for row in rows.0..rows.1 {
                    let (image, y) = (row / job.down, row % job.down * OUT);
                    let first = (row - rows.0) * job.across;
                    for (b, block) in own.iter().enumerate() {
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
                let mut ahead = Ahead::default();
                if chunk + 1 < self.chunks.1 {
                    for row in rows.1..(rows.1 + job.rows).min(self.rows) {
                        let (image, y) = (row / job.down, row % job.down * OUT);
                        for block in own {
                            let source = &job.inputs[block.tensor];
                            ahead.add_rows(source, block, job.size, image, (y + 1, OUT), S::L);
                        }
                        for block in &job.outs[ends.0..ends.1] {
                            ahead.add_rows(job.gradient, block, job.size, image, (y, OUT), S::L);
                        }
                    }
                }
                let mut ahead = ahead.in_shares((self.pairs.1 - self.pairs.0) * PLACES * own.len());
                let tiles = (rows.1 - rows.0) * job.across;
                for pair in self.pairs.0..self.pairs.1 {
                    let k = (job.outs.len() - 2 * pair).min(2);
                    let sums = sums.add(2 * pair * blocks * per_block);
                    for place in 0..PLACES {
                        let from = gradients.add(place * sizes.gradient_place);
                        let from = from.add(2 * (pair - self.pairs.0) * sizes.tiles * S::L);
                        for (b, block) in own.iter().enumerate() {
                            let to = sums.add((place * blocks + self.blocks.0 + b) * S::L * k * S::L);
                            let add = chunk > self.chunks.0;
                            if !add && block.lanes < S::L {
                                // Lanes without a channel are not walked.
                                std::ptr::write_bytes(to, 0, S::L * k * S::L);
                            }
                            let walk = Walk {
                                input: inputs.add(place * sizes.input_place + b * sizes.tiles * S::L),
                                gradients: [from, from.add(sizes.tiles * S::L)],
                                tiles,
                                lanes: block.lanes,
                                add,
                                to,
                            };
                            walk.enter::<S>(k);
                            ahead.fetch::<S>();
                        }
                    }
                }
            }
        }
    }
}
