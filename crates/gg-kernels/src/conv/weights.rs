//! The gradient of a convolution's weights.
//!
//! For each weight the sum over all pixels of input value times output gradient. Some input lanes x one row of taps
//! x one or two output blocks are held in registers while the kernel walks over the pixels. Pieces of the images
//! give partial sums that are added in a fixed order, so the result does not depend on the number of threads.

use super::ahead::Ahead;
use super::pack::Piece;
use super::panel::{Block, fill, fill_pairs};
use super::plan::ConvPlan;
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::{Read, Source};
use crate::{Buffer, Isa};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Pixels of one image that a task copies at once (both sides stay in the second-level cache).
const PIXELS: usize = 2048;
/// Pixels between two additions to memory (both sides stay in the first-level cache).
const INNER_PIXELS: usize = 128;
/// Input blocks that are taken together where one task sees all pixels: as each few of them are complete, their weights
/// go to memory while the next ones are multiplied.
const INPUTS: usize = 8;
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
    /// Input blocks that a task takes through its pixels together.
    at_once: usize,
    /// Where one task sees all pixels: the weights in their packed order, and where they go in PyTorch's.
    whole: Option<(&'a [Piece], Shared)>,
}

/// Computes the gradient of the weights of `plan` from its `inputs` (read as in the forward pass) and the `gradient` of
/// its result, and writes it in PyTorch's order. `scratch` is memory to be kept between calls.
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn backward_weights(
    isa: Isa,
    plan: &ConvPlan,
    precision: Precision,
    (n, h, w): (usize, usize, usize),
    inputs: &[Source<'_>],
    gradient: &Source<'_>,
    plain: &mut [f32],
    scratch: &mut Buffer,
) {
    let lanes = isa.lanes();
    let pixels = n * h * w;
    let len = plan.packed_len(isa);
    let weights = plan.pieces(isa, plain.len());
    assert_eq!(inputs.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!([gradient.channels].as_slice(), plan.outputs.as_slice());
    assert!(inputs.iter().all(|s| s.is_plane() == plan.plane) && (!plan.plane || plan.kernel == 3));
    for source in inputs {
        source.check(pixels * plan.input_grid.phases(), lanes);
    }
    gradient.check(pixels * plan.output_grid.phases(), lanes);
    let bf16 = precision == Precision::Bf16 && !plan.plane;
    assert!(!bf16 || isa.has_bf16(), "a processor with bf16");
    let ins = Block::list(plan.inputs.iter().copied(), plan.input_grid, lanes);
    let outs = Block::list(plan.outputs.iter().copied(), plan.output_grid, lanes);
    let in_lanes = plan.input_lanes(isa);

    if pixels == 0 {
        return plain.fill(0.0);
    }
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
    // Where one task sees all pixels, it adds up in memory that stays in its cache.
    scratch.reserve(if splits == 1 { 0 } else { splits * len });
    let (target, plain) = (Shared::new(scratch), Shared::new(plain));
    let whole = (splits == 1).then_some((weights.as_slice(), plain));
    let at_once = if splits == 1 { INPUTS.min(ins.len()) } else { ins.len() };
    let (size, kernel) = ((h, w), plan.kernel);
    let job = Job { inputs, ins, gradient, outs, size, kernel, in_lanes, pieces, at_once, whole };
    (0..pairs * splits).into_par_iter().for_each(|task| {
        let (split, pair) = (task / pairs, task % pairs);
        let pieces = cut(job.pieces.len(), splits, split)..cut(job.pieces.len(), splits, split + 1);
        let pad = job.kernel / 2;
        let rows = job.pieces.iter().map(|p| p.2).max().unwrap_or(0);
        // In bf16: the pairs from even and from odd pixels on, and the pairs of the gradient.
        let pairs_wide = w.div_ceil(2) + pad;
        let (panel, gradient) = if bf16 {
            let panels = 2 * (rows + 2 * pad) * pairs_wide * lanes;
            (panels, 2 * rows * w.div_ceil(2) * lanes)
        } else {
            ((rows + 2 * pad) * (w + 2 * pad) * in_lanes, 2 * rows * w * lanes)
        };
        let (panel, gradient) = (panel.next_multiple_of(16), gradient.next_multiple_of(16));
        let of_pair = &weights[pair * job.ins.len()..][..job.ins.len()];
        let sums = of_pair.iter().take(job.at_once).map(|piece| piece.len).sum::<usize>();
        with_scratch(panel + gradient + if splits == 1 { sums } else { 0 }, |scratch| {
            let (panel, scratch) = scratch.split_at_mut(panel);
            let (gradient, own) = scratch.split_at_mut(gradient);
            let sums = if splits == 1 {
                own
            } else {
                let start = split * len + of_pair.first().map_or(0, |piece| piece.start);
                // SAFETY: inside the scratch memory; a pair of a split is one task's alone.
                unsafe { std::slice::from_raw_parts_mut(target.at(start), sums) }
            };
            let task = Task { job: &job, pair, pieces, sums, panel, gradient };
            if bf16 {
                isa.run_bf16(TaskBf16(task));
            } else {
                isa.run(task);
            }
        });
    });
    if splits > 1 {
        weights.par_iter().for_each(|piece| {
            // SAFETY: the sums lie in the scratch memory and are complete; a piece is one task's alone.
            unsafe {
                let sum = std::slice::from_raw_parts_mut(target.at(piece.start), piece.len);
                for split in 1..splits {
                    let more = std::slice::from_raw_parts(target.at(split * len + piece.start), piece.len);
                    sum.iter_mut().zip(more).for_each(|(sum, v)| *sum += v);
                }
                piece.unpack(isa, sum.as_ptr(), plain);
            }
        });
    }
}

struct Task<'a> {
    job: &'a Job<'a>,
    pair: usize,
    pieces: std::ops::Range<usize>,
    /// To be added up here, in the packed order.
    sums: &'a mut [f32],
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
        let (h, w) = job.size;
        let (pad, taps) = (KERNEL / 2, KERNEL * KERNEL);
        let bf16 = A::PER_WORD == 2;
        let first_out = 2 * self.pair;
        let k = (job.outs.len() - first_out).min(2);
        let per_in = taps * job.in_lanes * k * S::L;
        // Steps of a row: pixels, or pairs of them; and the words of a row of the panel and of the gradient.
        let steps = w.div_ceil(A::PER_WORD);
        let row_stride = if bf16 { (steps + pad) * S::L } else { (w + 2 * pad) * job.in_lanes };
        let panel = self.panel.as_mut_ptr();
        let pieces = &job.pieces[self.pieces.clone()];
        for first_in in (0..job.ins.len()).step_by(job.at_once) {
            let ins = &job.ins[first_in..(first_in + job.at_once).min(job.ins.len())];
            let sums = &mut self.sums[..ins.len() * per_in];
            sums.fill(0.0);
            let sums = sums.as_mut_ptr();
            for (piece, &(image, y, rows)) in pieces.iter().enumerate() {
                let step = (INNER_PIXELS / w).clamp(1, rows);
                let mut ahead = Ahead::default();
                if let Some(&(image, y, rows)) = pieces.get(piece + 1) {
                    let next = (y, rows + pad);
                    for block in &job.outs[first_out..first_out + k] {
                        ahead.add_rows(job.gradient, block, (h, w), image, next, S::L);
                    }
                    for block in ins {
                        ahead.add_rows(&job.inputs[block.tensor], block, (h, w), image, next, S::L);
                    }
                }
                let mut ahead = ahead.in_shares(ins.len() * rows.div_ceil(step));
                // In bf16: even pairs, odd pairs.
                let odd = panel.add((rows + 2 * pad) * row_stride);
                // The gradient as it is can be read in place; else it is worked out once for all input blocks.
                let mut gradients = [std::ptr::null::<f32>(); 2];
                for b in 0..k {
                    let block = &job.outs[first_out + b];
                    let to = self.gradient.as_mut_ptr().add(b * rows * steps * S::L);
                    gradients[b] = to;
                    if bf16 {
                        fill_pairs::<S>(job.gradient, block, (h, w), image, (y, rows), 0, (to, None), steps);
                    } else if matches!(job.gradient.read, Read::Plain) && !block.double {
                        gradients[b] = job.gradient.data.as_ptr().add(block.at(image, y, 0, (h, w), S::L));
                    } else {
                        fill::<S, Fp32>(job.gradient, block, (h, w), image, (y, rows), 0, w, to);
                    }
                }
                for (i, block) in ins.iter().enumerate() {
                    let source = &job.inputs[block.tensor];
                    if bf16 {
                        let to = (panel, (KERNEL == 3).then_some(odd));
                        fill_pairs::<S>(source, block, (h, w), image, (y, rows), pad, to, steps + pad);
                    } else {
                        fill::<S, Fp32>(source, block, (h, w), image, (y, rows), pad, w + 2 * pad, panel);
                    }
                    let to = sums.add(i * per_in);
                    // With the last pixels the sums are complete. Their places are fetched while these are multiplied.
                    let last = piece + 1 == pieces.len();
                    let complete = job.whole.filter(|_| last).map(|(weights, plain)| {
                        let piece = &weights[self.pair * job.ins.len() + first_in + i];
                        piece.prefetch::<S>(plain);
                        piece.to_plain(to, plain)
                    });
                    let mut r = 0;
                    while r < rows {
                        let count = step.min(rows - r);
                        let input = panel.add(r * row_stride);
                        let columns = if bf16 {
                            [input, odd.add(r * row_stride), input.wrapping_add(S::L)]
                        } else {
                            [input, input.wrapping_add(S::L), input.wrapping_add(2 * S::L)]
                        };
                        let walk = Walk {
                            columns: columns.map(<*mut f32>::cast_const),
                            row_stride,
                            gradient: gradients.map(|g| g.wrapping_add(r * steps * S::L)),
                            rows: count,
                            steps,
                            to,
                        };
                        if PLANE {
                            if k == 2 {
                                S::enter(PlaneKernel::<2>(walk));
                            } else {
                                S::enter(PlaneKernel::<1>(walk));
                            }
                        } else if k == 2 && S::WEIGHT_BLOCKS == 2 {
                            A::enter::<S, _>(WalkKernel::<A, KERNEL, 2, 2>(
                                walk,
                                0,
                                block.lanes,
                                PhantomData,
                            ));
                        } else {
                            let lanes = block.lanes;
                            for b in 0..k {
                                if k == 2 {
                                    A::enter::<S, _>(WalkKernel::<A, KERNEL, 2, 1>(
                                        walk,
                                        b,
                                        lanes,
                                        PhantomData,
                                    ));
                                } else {
                                    A::enter::<S, _>(WalkKernel::<A, KERNEL, 1, 1>(
                                        walk,
                                        b,
                                        lanes,
                                        PhantomData,
                                    ));
                                }
                            }
                        }
                        r += count;
                        ahead.fetch::<S>();
                    }
                    if let Some(complete) = complete {
                        S::enter(complete);
                    }
                }
            }
        }
    }
}

/// Some rows of one input block and of the gradient of a pair of output blocks.
#[derive(Clone, Copy)]
struct Walk {
    /// The first step as each column of taps sees it.
    columns: [*const f32; 3],
    row_stride: usize,
    gradient: [*const f32; 2],
    rows: usize,
    /// Pixels of a row, in bf16 pairs of them.
    steps: usize,
    to: *mut f32,
}

/// `K` output blocks in the pair, `B` of them (from the second field on) worked on.
struct WalkKernel<A, const KERNEL: usize, const K: usize, const B: usize>(Walk, usize, usize, PhantomData<A>);

impl<A: Arith, const KERNEL: usize, const K: usize, const B: usize> Kernel for WalkKernel<A, KERNEL, K, B> {
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

impl<A: Arith, const KERNEL: usize, const K: usize, const B: usize> WalkKernel<A, KERNEL, K, B> {
    /// Row `kh` of the taps for `Q` input lanes. Lanes without a channel hold zeros and give zeros.
    #[inline(always)]
    unsafe fn lanes<S: Simd, const Q: usize>(&self, kh: usize, lane: usize) {
        let walk = &self.0;
        let mut acc = [[[S::zero(); Q]; KERNEL]; B];
        for r in 0..walk.rows {
            // The three columns of taps overlap; hidden from the compiler, which would rather shuffle the values of
            // the last pixel about than load them again, and shuffles take the place of multiplications.
            let mut inputs = [walk.to.cast_const(); KERNEL];
            for kw in 0..KERNEL {
                let row = walk.columns[kw].add((r + kh) * walk.row_stride + lane);
                inputs[kw] = std::hint::black_box(row);
            }
            let mut gradient = [std::ptr::null::<f32>(); B];
            for b in 0..B {
                gradient[b] = walk.gradient[self.1 + b].add(r * walk.steps * S::L);
            }
            for x in 0..walk.steps {
                let mut g = [S::zero(); B];
                for b in 0..B {
                    g[b] = S::load(gradient[b].add(x * S::L));
                }
                for kw in 0..KERNEL {
                    for q in 0..Q {
                        let value = S::splat(*inputs[kw].add(x * S::L + q));
                        for b in 0..B {
                            acc[b][kw][q] = A::dot::<S>(acc[b][kw][q], value, g[b]);
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
                let mut inputs = [walk.columns[0]; 9];
                for tap in 0..9 {
                    let tap_row = walk.columns[0].add((r + tap / 3) * walk.row_stride);
                    inputs[tap] = std::hint::black_box(tap_row.add(tap % 3));
                }
                for x in 0..walk.steps {
                    let mut g = [S::zero(); K];
                    for k in 0..K {
                        g[k] = S::load(walk.gradient[k].add((r * walk.steps + x) * S::L));
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
