//! The convolution forward (and, with the weights of [`ConvPlan::backward`], the gradient of its input).

use super::ahead::Ahead;
use super::panel::{Block, fill};
use super::plan::ConvPlan;
use super::tile::{Tile, tile};
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::Source;
use crate::{Buffer, Isa};
use rayon::prelude::*;

/// Floats of scratch per task: well inside the second-level cache.
const SCRATCH: usize = 96 * 1024;
/// Words of weights of one pass over a task's pixels: they stream from the second-level cache, in long runs.
const WEIGHTS: usize = 48 * 1024;
/// Pieces of work to aim at, whatever the number of threads.
const TASKS: usize = 16;

/// A tensor that results are written to, blocked; what it held is lost.
pub struct Dest<'a> {
    /// Blocked data.
    pub data: &'a mut [f32],
    /// Channels.
    pub channels: usize,
}

/// What happens to the results on their way to memory.
#[derive(Clone, Copy)]
pub struct After<'a> {
    /// Added per channel; one float per padded channel of all destinations together.
    pub bias: Option<&'a [f32]>,
    /// Slope of the activation below zero: 0 for ReLU, 1 for none.
    pub slope: f32,
}

impl After<'_> {
    /// Nothing.
    pub const NONE: Self = Self { bias: None, slope: 1.0 };
}

/// Sum and sum of squares of the results of each padded channel, over all images.
#[derive(Clone, Debug, Default)]
pub struct ChannelSums {
    /// Sums.
    pub sum: Vec<f64>,
    /// Sums of squares.
    pub squares: Vec<f64>,
}

impl ChannelSums {
    /// Adds up the sums and sums of squares of each task, over `width` floats that hold the channels of all phases.
    pub(super) fn add_up(&mut self, partial: &[f32], width: usize, phases: usize) {
        for sums in [&mut self.sum, &mut self.squares] {
            sums.clear();
            sums.resize(width / phases, 0.0);
        }
        for part in partial.chunks_exact(2 * width) {
            for i in 0..width {
                self.sum[i % (width / phases)] += f64::from(part[i]);
                self.squares[i % (width / phases)] += f64::from(part[width + i]);
            }
        }
    }
}

struct Job<'a> {
    isa: Isa,
    sources: &'a [Source<'a>],
    ins: Vec<Block>,
    lanes: Vec<usize>,
    outs: Vec<Block>,
    dests: Vec<Shared>,
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    slope: f32,
    sums: Option<Shared>,
    size: (usize, usize),
    kernel: usize,
    plane: bool,
    row_chunks: usize,
    /// Words of a pixel of one block.
    in_words: usize,
}

/// Convolves. The grid of tiles is `h` x `w`; sources and destinations lie on it as the plan says. `weights` are packed
/// for `precision` (a plane is always fp32). With `sums`, also adds up the results per channel (after the activation)
/// for batch norm.
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn forward(
    isa: Isa,
    plan: &ConvPlan,
    precision: Precision,
    (n, h, w): (usize, usize, usize),
    sources: &[Source<'_>],
    weights: &[f32],
    dests: &mut [Dest<'_>],
    after: After<'_>,
    sums: Option<&mut ChannelSums>,
) {
    let lanes = isa.lanes();
    let pixels = n * h * w;
    assert_eq!(sources.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!(dests.iter().map(|d| d.channels).collect::<Vec<_>>(), plan.outputs);
    assert!(sources.iter().all(|s| s.is_plane() == plan.plane) && (!plan.plane || plan.kernel == 3));
    let bf16 = precision == Precision::Bf16 && !plan.plane;
    assert!(!bf16 || isa.has_bf16(), "a processor with bf16");
    assert!(weights.len() >= plan.packed_len(isa) / if bf16 { 2 } else { 1 }, "packed weights");
    for source in sources {
        source.check(pixels * plan.input_grid.phases(), lanes);
    }
    for dest in dests.iter() {
        let need = pixels * plan.output_grid.phases() * dest.channels.next_multiple_of(lanes);
        assert!(dest.data.len() >= need, "a destination as large as its shape");
    }
    let ins = Block::list(plan.inputs.iter().copied(), plan.input_grid, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), plan.output_grid, lanes);
    let bias_len = plan.outputs.iter().map(|c| c.next_multiple_of(lanes)).sum::<usize>();
    assert!(after.bias.is_none_or(|b| b.len() >= bias_len), "one bias per padded channel");
    if pixels == 0 || outs.is_empty() {
        return;
    }

    // The partition depends on the shape alone, so results do not depend on the number of threads.
    let pad = plan.kernel / 2;
    let in_words = plan.input_lanes(isa) / if bf16 { 2 } else { 1 };
    let per_row = ins.len() * in_words * (w + 2 * pad);
    let rows = (SCRATCH / per_row).saturating_sub(2 * pad).clamp(1, h);
    let mut row_chunks = h.div_ceil(rows);
    if n * row_chunks < TASKS {
        row_chunks = TASKS.div_ceil(n).min(h.div_ceil(8)).max(row_chunks);
    }
    let pairs = outs.len().div_ceil(2);
    let out_chunks = TASKS.div_ceil(n * row_chunks).min(pairs.div_ceil(2)).max(1);

    let width = outs.len() * lanes;
    let mut partial = Buffer::zeros(if sums.is_some() { n * row_chunks * 2 * width } else { 0 });
    let job = Job {
        isa,
        sources,
        lanes: ins.iter().map(|b| b.lanes).collect(),
        ins,
        outs,
        dests: dests.iter_mut().map(|d| Shared::new(d.data)).collect(),
        weights,
        bias: after.bias,
        slope: after.slope,
        sums: sums.is_some().then(|| Shared::new(&mut partial)),
        size: (h, w),
        kernel: plan.kernel,
        plane: plan.plane,
        row_chunks,
        in_words,
    };
    (0..n * row_chunks * out_chunks).into_par_iter().for_each(|task| {
        let (image_rows, out_chunk) = (task / out_chunks, task % out_chunks);
        let (image, chunk) = (image_rows / row_chunks, image_rows % row_chunks);
        let y = cut(h, row_chunks, chunk);
        let rows = cut(h, row_chunks, chunk + 1) - y;
        // The rows of the next task, which most often is this thread's too.
        let mut ahead = Ahead::default();
        let (image_rows, y_next) = (image_rows + 1, cut(h, row_chunks, (image_rows + 1) % row_chunks));
        if out_chunk + 1 == out_chunks && image_rows < n * row_chunks {
            for block in &job.ins {
                let (source, next) = (&job.sources[block.tensor], (y_next, rows + pad));
                ahead.add_rows(source, block, job.size, image_rows / row_chunks, next, lanes);
            }
        }
        let pairs = (cut(pairs, out_chunks, out_chunk), cut(pairs, out_chunks, out_chunk + 1));
        let len = job.ins.len() * (rows + 2 * pad) * (w + 2 * pad) * in_words;
        with_scratch(len, |scratch| {
            let task = Task { job: &job, image, chunk, y, rows, pairs, scratch, ahead };
            if bf16 {
                isa.run_bf16(TaskBf16(task));
            } else {
                isa.run(task);
            }
        });
    });
    if let Some(sums) = sums {
        sums.add_up(&partial, width, plan.output_grid.phases());
    }
}

struct Task<'a> {
    job: &'a Job<'a>,
    image: usize,
    chunk: usize,
    y: usize,
    rows: usize,
    /// Pairs of output blocks, from and to.
    pairs: (usize, usize),
    scratch: &'a mut [f32],
    ahead: Ahead,
}

impl Kernel for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        debug_assert_eq!(S::L, self.job.isa.lanes());
        // SAFETY: `forward` has checked all lengths; a task writes its own rows of its own output blocks.
        unsafe {
            match (self.job.kernel, self.job.plane) {
                (3, false) => self.compute::<S, Fp32, 3, false>(),
                (3, true) => self.compute::<S, Fp32, 3, true>(),
                _ => self.compute::<S, Fp32, 1, false>(),
            }
        }
    }
}

/// A task in bf16.
struct TaskBf16<'a>(Task<'a>);

impl Kernel for TaskBf16<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: as above.
        unsafe {
            match self.0.job.kernel {
                3 => self.0.compute::<S, Bf16, 3, false>(),
                _ => self.0.compute::<S, Bf16, 1, false>(),
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    unsafe fn compute<S: Simd, A: Arith, const KERNEL: usize, const PLANE: bool>(self) {
        let job = self.job;
        let (_, w) = job.size;
        let pad = KERNEL / 2;
        let row_stride = (w + 2 * pad) * job.in_words;
        let block_stride = (self.rows + 2 * pad) * row_stride;
        for (i, block) in job.ins.iter().enumerate() {
            let to = self.scratch.as_mut_ptr().add(i * block_stride);
            fill::<S, A>(
                &job.sources[block.tensor],
                block,
                job.size,
                self.image,
                (self.y, self.rows),
                pad,
                w + 2 * pad,
                to,
            );
        }
        let per_block = KERNEL * KERNEL * job.in_words * S::L;
        let out_width = job.outs.len() * S::L;
        // A plane is nine multiplications per result: narrow tiles leave registers for the values of three rows.
        let widest = if PLANE { S::TILE.div_ceil(2) + 1 } else { S::TILE };
        let tiles = w.div_ceil(widest);
        let pass = (WEIGHTS / (2 * per_block)).max(1);
        let shares = (self.pairs.1 - self.pairs.0) * job.ins.len().div_ceil(pass) * self.rows * tiles;
        let mut ahead = self.ahead.in_shares(shares);
        for pair in self.pairs.0..self.pairs.1 {
            let first_out = 2 * pair;
            let k = (job.outs.len() - first_out).min(2);
            let outs = [&job.outs[first_out], &job.outs[first_out + k - 1]];
            let weights = job.weights.as_ptr().add(first_out * job.ins.len() * per_block);
            let bias = job.bias.map(|b| {
                let at = |i: usize| {
                    // The phases of a fine grid share the bias.
                    let per_phase = if job.outs[0].double { job.outs.len() / 4 } else { job.outs.len() };
                    b.as_ptr().add(((first_out + i) % per_phase) * S::L)
                };
                [at(0), at(k - 1)]
            });
            let sums = job.sums.map(|s| {
                let at = |i: usize| {
                    let base = (self.image * job.row_chunks + self.chunk) * 2 * out_width;
                    let place = base + (first_out + i) * S::L;
                    (s.at(place), s.at(place + out_width))
                };
                [at(0), at(k - 1)]
            });
            let mut block = 0;
            while block < job.ins.len() {
                let blocks = pass.min(job.ins.len() - block);
                for r in 0..self.rows {
                    for i in 0..tiles {
                        let x = cut(w, tiles, i);
                        let width = cut(w, tiles, i + 1) - x;
                        let place = |b: &Block| {
                            job.dests[b.tensor].at(b.at(self.image, self.y + r, x, job.size, S::L))
                        };
                        let from = block * block_stride + r * row_stride + x * job.in_words;
                        let t = Tile {
                            input: self.scratch.as_ptr().add(from),
                            block_stride,
                            row_stride,
                            blocks,
                            lanes: job.lanes.as_ptr().add(block),
                            weights: weights.add(block * k * per_block),
                            out: [place(outs[0]), place(outs[1])],
                            out_step: outs[0].step() * S::L,
                            bias,
                            first: block == 0,
                            last: block + blocks == job.ins.len(),
                            slope: job.slope,
                            sums,
                        };
                        tile::<S, A, KERNEL, PLANE>(k, width, t);
                        ahead.fetch::<S>();
                    }
                }
                block += blocks;
            }
        }
    }
}
