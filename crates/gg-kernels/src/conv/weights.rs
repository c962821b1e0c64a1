//! The gradient of a convolution's weights.
//!
//! For each weight the sum over all pixels of input value times output gradient. Some input lanes x one row of taps
//! x one or two output blocks are held in registers while the kernel walks over the pixels. Pieces of the images
//! give partial sums that are added in a fixed order, so the result does not depend on the number of threads.

use super::panel::{Block, fill};
use super::plan::ConvPlan;
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::{Read, Source};
use crate::{Buffer, Isa};
use rayon::prelude::*;

/// Pixels of one image that a task copies at once (both sides stay in the second-level cache).
const PIXELS: usize = 1024;
/// Pixels between two additions to memory (both sides stay in the first-level cache).
const INNER_PIXELS: usize = 128;
/// Pieces of work to aim at, whatever the number of threads.
const TASKS: usize = 16;

struct Job<'a> {
    inputs: &'a [Source<'a>],
    ins: Vec<Block>,
    gradient: &'a Source<'a>,
    outs: Vec<Block>,
    size: (usize, usize),
    kernel: usize,
    in_lanes: usize,
    /// (image, first row, rows)
    pieces: Vec<(usize, usize, usize)>,
}

/// Computes the gradient of the packed weights of `plan` from its `inputs` (read as in the forward pass) and the
/// `gradient` of its result, and writes it in packed order. `partial` is memory to be kept between calls.
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn backward_weights(
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
    assert_eq!(inputs.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!([gradient.channels].as_slice(), plan.outputs.as_slice());
    assert!(inputs.iter().all(|s| s.is_plane() == plan.plane) && (!plan.plane || plan.kernel == 3));
    assert!(out.len() >= len, "packed weights");
    for source in inputs {
        source.check(pixels * plan.input_grid.phases(), lanes);
    }
    gradient.check(pixels * plan.output_grid.phases(), lanes);
    let ins = Block::list(plan.inputs.iter().copied(), plan.input_grid, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), plan.output_grid, lanes);
    let in_lanes = plan.input_lanes(isa);

    let row_chunks = h.div_ceil((PIXELS / w.max(1)).clamp(1, h.max(1)));
    let pieces: Vec<_> = (0..n)
        .flat_map(|image| {
            (0..row_chunks).map(move |i| {
                let y = cut(h, row_chunks, i);
                (image, y, cut(h, row_chunks, i + 1) - y)
            })
        })
        .collect();
    let pairs = outs.len().div_ceil(2);
    let splits = TASKS.div_ceil(pairs).min(pieces.len()).max(1);
    let job = Job { inputs, ins, gradient, outs, size: (h, w), kernel: plan.kernel, in_lanes, pieces };
    let out = &mut out[..len];
    let target = if splits == 1 {
        Shared::new(out)
    } else {
        partial.reserve(splits * len);
        Shared::new(partial)
    };
    (0..pairs * splits).into_par_iter().for_each(|task| {
        let (split, pair) = (task / pairs, task % pairs);
        let pieces = cut(job.pieces.len(), splits, split)..cut(job.pieces.len(), splits, split + 1);
        let pad = job.kernel / 2;
        let rows = job.pieces.iter().map(|p| p.2).max().unwrap_or(0);
        let panel = (rows + 2 * pad) * (w + 2 * pad) * in_lanes.max(1);
        let room = panel.next_multiple_of(16) + 2 * rows * w * lanes;
        with_scratch(room, |scratch| {
            let (panel, gradient) = scratch.split_at_mut(panel.next_multiple_of(16));
            isa.run(Task { job: &job, pair, pieces, target, start: split * len, panel, gradient });
        });
    });
    if splits > 1 {
        let partial = &partial[..splits * len];
        const CHUNK: usize = 4096;
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(i, out)| {
            out.copy_from_slice(&partial[i * CHUNK..][..out.len()]);
            for split in 1..splits {
                let from = &partial[split * len + i * CHUNK..][..out.len()];
                for (o, v) in out.iter_mut().zip(from) {
                    *o += v;
                }
            }
        });
    }
}

struct Task<'a> {
    job: &'a Job<'a>,
    pair: usize,
    pieces: std::ops::Range<usize>,
    target: Shared,
    start: usize,
    panel: &'a mut [f32],
    gradient: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let plane = self.job.inputs[0].is_plane();
        // SAFETY: `backward_weights` has checked all lengths; a task writes the weights of its own pair and split.
        unsafe {
            match (self.job.kernel, plane) {
                (3, false) => self.compute::<S, 3, false>(),
                (3, true) => self.compute::<S, 3, true>(),
                _ => self.compute::<S, 1, false>(),
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    unsafe fn compute<S: Simd, const KERNEL: usize, const PLANE: bool>(self) {
        let job = self.job;
        let (h, w) = job.size;
        let (pad, taps) = (KERNEL / 2, KERNEL * KERNEL);
        let first_out = 2 * self.pair;
        let k = (job.outs.len() - first_out).min(2);
        let per_in = taps * job.in_lanes * k * S::L;
        let weights = self.target.at(self.start + first_out * job.ins.len() * taps * job.in_lanes * S::L);
        std::ptr::write_bytes(weights, 0, job.ins.len() * per_in);
        let row_stride = (w + 2 * pad) * job.in_lanes;
        for &(image, y, rows) in &job.pieces[self.pieces] {
            // The gradient as it is can be read in place; else it is worked out once for all input blocks.
            let mut gradients = [std::ptr::null::<f32>(); 2];
            for b in 0..k {
                let block = &job.outs[first_out + b];
                gradients[b] = if matches!(job.gradient.read, Read::Plain) && !block.double {
                    job.gradient.data.as_ptr().add(block.at(image, y, 0, (h, w), S::L))
                } else {
                    let to = self.gradient.as_mut_ptr().add(b * rows * w * S::L);
                    fill::<S>(job.gradient, block, (h, w), image, (y, rows), 0, to);
                    to
                };
            }
            for (i, block) in job.ins.iter().enumerate() {
                let panel = self.panel.as_mut_ptr();
                fill::<S>(&job.inputs[block.tensor], block, (h, w), image, (y, rows), pad, panel);
                let to = weights.add(i * per_in);
                let step = (INNER_PIXELS / w).clamp(1, rows);
                let mut r = 0;
                while r < rows {
                    let count = step.min(rows - r);
                    let walk = Walk {
                        input: panel.add(r * row_stride),
                        row_stride,
                        gradient: gradients.map(|g| g.wrapping_add(r * w * S::L)),
                        rows: count,
                        w,
                        to,
                    };
                    if PLANE {
                        if k == 2 {
                            S::enter(PlaneKernel::<2>(walk));
                        } else {
                            S::enter(PlaneKernel::<1>(walk));
                        }
                    } else if k == 2 && S::WEIGHT_BLOCKS == 2 {
                        S::enter(WalkKernel::<KERNEL, 2, 2>(walk, 0, block.lanes));
                    } else {
                        for b in 0..k {
                            if k == 2 {
                                S::enter(WalkKernel::<KERNEL, 2, 1>(walk, b, block.lanes));
                            } else {
                                S::enter(WalkKernel::<KERNEL, 1, 1>(walk, b, block.lanes));
                            }
                        }
                    }
                    r += count;
                }
            }
        }
    }
}

/// Some rows of one input block and of the gradient of a pair of output blocks.
#[derive(Clone, Copy)]
struct Walk {
    input: *const f32,
    row_stride: usize,
    gradient: [*const f32; 2],
    rows: usize,
    w: usize,
    to: *mut f32,
}

/// `K` output blocks in the pair, `B` of them (from the second field on) worked on.
struct WalkKernel<const KERNEL: usize, const K: usize, const B: usize>(Walk, usize, usize);

impl<const KERNEL: usize, const K: usize, const B: usize> Kernel for WalkKernel<KERNEL, K, B> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task::compute` vouches for the pointers.
        unsafe {
            for kh in 0..KERNEL {
                let mut lane = 0;
                while lane < self.2 {
                    if KERNEL == 3 {
                        self.lanes::<S, 4>(kh, lane);
                        lane += 4;
                    } else {
                        self.lanes::<S, 8>(kh, lane);
                        lane += 8;
                    }
                }
            }
        }
    }
}

impl<const KERNEL: usize, const K: usize, const B: usize> WalkKernel<KERNEL, K, B> {
    /// Row `kh` of the taps for `Q` input lanes. Lanes without a channel hold zeros and give zeros.
    #[inline(always)]
    unsafe fn lanes<S: Simd, const Q: usize>(&self, kh: usize, lane: usize) {
        let walk = &self.0;
        let mut acc = [[[S::zero(); Q]; KERNEL]; B];
        for r in 0..walk.rows {
            // The three columns of taps overlap; hidden from the compiler, which would rather shuffle the values of
            // the last pixel about than load them again, and shuffles take the place of multiplications.
            let row = walk.input.add((r + kh) * walk.row_stride + lane);
            let mut inputs = [row; KERNEL];
            for kw in 0..KERNEL {
                inputs[kw] = std::hint::black_box(row.add(kw * S::L));
            }
            let mut gradient = [std::ptr::null::<f32>(); B];
            for b in 0..B {
                gradient[b] = walk.gradient[self.1 + b].add(r * walk.w * S::L);
            }
            for x in 0..walk.w {
                let mut g = [S::zero(); B];
                for b in 0..B {
                    g[b] = S::load(gradient[b].add(x * S::L));
                }
                for kw in 0..KERNEL {
                    for q in 0..Q {
                        let value = S::splat(*inputs[kw].add(x * S::L + q));
                        for b in 0..B {
                            acc[b][kw][q] = S::fma(value, g[b], acc[b][kw][q]);
                        }
                    }
                }
            }
        }
        for b in 0..B {
            for kw in 0..KERNEL {
                for q in 0..Q {
                    let place = ((kh * KERNEL + kw) * S::L + lane + q) * K + self.1 + b;
                    let to = walk.to.add(place * S::L);
                    S::store(to, S::add(S::load(to), acc[b][kw][q]));
                }
            }
        }
    }
}

/// All nine taps of one input channel that is not blocked.
struct PlaneKernel<const K: usize>(Walk);

impl<const K: usize> Kernel for PlaneKernel<K> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let walk = &self.0;
        // SAFETY: entered through an `Isa`; `Task::compute` vouches for the pointers.
        unsafe {
            let mut acc = [[S::zero(); 9]; K];
            for r in 0..walk.rows {
                let mut inputs = [walk.input; 9];
                for tap in 0..9 {
                    let tap_row = walk.input.add((r + tap / 3) * walk.row_stride);
                    inputs[tap] = std::hint::black_box(tap_row.add(tap % 3));
                }
                for x in 0..walk.w {
                    let mut g = [S::zero(); K];
                    for k in 0..K {
                        g[k] = S::load(walk.gradient[k].add((r * walk.w + x) * S::L));
                    }
                    for tap in 0..9 {
                        let value = S::splat(*inputs[tap].add(x));
                        for k in 0..K {
                            acc[k][tap] = S::fma(value, g[k], acc[k][tap]);
                        }
                    }
                }
            }
            for k in 0..K {
                for tap in 0..9 {
                    let to = walk.to.add((tap * K + k) * S::L);
                    S::store(to, S::add(S::load(to), acc[k][tap]));
                }
            }
        }
    }
}
