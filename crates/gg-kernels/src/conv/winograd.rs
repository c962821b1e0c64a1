//! The 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.
//!
//! Each tile of 4x4 results comes from 6x6 inputs d and the 3x3 weights g as `A' ((G g G') . (B' d B)) A`, where `.`
//! multiplies value by value and sums over the input channels: 36 multiplications for 16 results in place of 144. The
//! matrices evaluate polynomials at 0, +-3/4, +-3/2 and infinity. With these points (all factors exact in binary) the
//! largest error for 256 channels is 1.4e-6 of the largest result and its root mean square 3e-7, no more than the direct
//! sum's; the textbook's points 0, +-1, +-2 lose 2.6 times as much.
//!
//! For each of the 36 places of the transformed tiles the sum over channels is a 1x1 convolution whose pixels are tiles,
//! so it runs on the same tile kernel. A task is some rows of tiles, of one image or several: it reads its inputs as
//! [`super::forward()`] does, and results do not depend on how tiles are shared out.
//!
//! In bf16 the transformed tiles and weights are rounded; for 256 channels the root mean square of the error is 1 % of
//! that of the results (direct: 0.2 %), which prediction can bear.
//!
//! Source: Lavin and Gray 2016 (arXiv 1509.09308); the choice of points as in Barabasz et al. 2020 (arXiv 1803.10986).

use super::forward::{After, ChannelSums, Dest};
use super::panel::{Block, fill};
use super::plan::{ConvPlan, Sampling};
use super::tile::{Tile, tile};
use crate::arith::{Arith, Bf16, Fp32, Precision};
use crate::buffer::{Shared, with_scratch};
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::{Source, activate};
use crate::{Buffer, Isa};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Results along a side of a tile, and inputs.
pub(super) const OUT: usize = 4;
pub(super) const IN: usize = 6;
pub(super) const PLACES: usize = IN * IN;
/// The points besides 0 and infinity are these and their negatives.
const A: f32 = 0.75;
const B: f32 = 1.5;
/// Images with shorter sides have too few tiles to pay for the larger weights.
const MIN_SIDE: usize = 8;
/// Tiles of one task, to aim at: enough to use each weight vector often, few enough for the second-level cache.
const TILES: usize = 32;
/// Pieces of work to aim at, whatever the number of threads; each one transforms the inputs of its tiles.
const TASKS: usize = 8;

impl ConvPlan {
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

    /// Floats of the weights that [`ConvPlan::pack_winograd`] makes.
    pub fn winograd_len(&self, isa: Isa, precision: Precision) -> usize {
        self.packed_len(isa) / self.taps() * PLACES / precision.per_word()
    }

    /// Packed weights to the transformed ones that [`forward_winograd`] takes:
    /// `[pair of output blocks][place][input block][input lane][block of the pair][output lane]`, in bf16 two input lanes
    /// per word.
    pub fn pack_winograd(&self, isa: Isa, precision: Precision, packed: &[f32], out: &mut [f32]) {
        assert!(self.kernel == 3 && !self.plane, "a 3x3 convolution of blocked channels");
        let rows = self.in_blocks(isa) * isa.lanes();
        let piece = 2 * rows * self.taps() * isa.lanes();
        let len = self.packed_len(isa);
        assert!(packed.len() >= len && out.len() >= self.winograd_len(isa, precision), "packed weights");
        let out = Shared::new(out);
        // Each input block of each pair is a task of its own.
        let blocks = self.in_blocks(isa);
        let pairs = self.out_blocks(isa).div_ceil(2);
        (0..pairs * blocks).into_par_iter().for_each(|task| {
            let (pair, block) = (task / blocks, task % blocks);
            let packed = &packed[pair * piece..len.min((pair + 1) * piece)];
            let start = pair * piece / self.taps() * PLACES / precision.per_word();
            let transform = Transform { packed, rows, block, blocks, out, start };
            match precision {
                Precision::Fp32 => isa.run(TransformIn::<Fp32>(transform, PhantomData)),
                Precision::Bf16 => isa.run_bf16(TransformIn::<Bf16>(transform, PhantomData)),
            }
        });
    }
}

/// The weights of one input block to one pair of output blocks.
struct Transform<'a> {
    packed: &'a [f32],
    /// Input lanes of all blocks.
    rows: usize,
    block: usize,
    blocks: usize,
    out: Shared,
    start: usize,
}

struct TransformIn<'a, A>(Transform<'a>, PhantomData<A>);

impl<A: Arith> Kernel for TransformIn<'_, A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let t = self.0;
        let width = t.packed.len() / t.rows / 9;
        let from = t.packed[t.block * t.packed.len() / t.blocks..].as_ptr();
        let words = t.rows / A::PER_WORD;
        for lane in (0..S::L).step_by(A::PER_WORD) {
            for k in (0..width).step_by(S::L) {
                // SAFETY: entered through an `Isa`; `pack_winograd` has checked the lengths, and the rows of one input
                // block are one task's alone.
                unsafe {
                    let low = weights_of_lane::<S>(from.add(lane * width + k), S::L * width);
                    let mut high = low;
                    if A::PER_WORD == 2 {
                        high = weights_of_lane::<S>(from.add((lane + 1) * width + k), S::L * width);
                    }
                    for place in 0..PLACES {
                        let row = place * words + (t.block * S::L + lane) / A::PER_WORD;
                        let v = A::word::<S>(low[place / IN][place % IN], high[place / IN][place % IN]);
                        S::store(t.out.at(t.start + row * width + k), v);
                    }
                }
            }
        }
    }
}

/// `G g G'` of one vector of weights, whose taps lie `step` floats apart.
#[inline(always)]
unsafe fn weights_of_lane<S: Simd>(from: *const f32, step: usize) -> [[S::V; IN]; IN] {
    let mut rows = [[S::zero(); IN]; 3];
    for y in 0..3 {
        let mut taps = [S::zero(); 3];
        for x in 0..3 {
            taps[x] = S::load(from.add((y * 3 + x) * step));
        }
        rows[y] = widen_weights::<S>(taps);
    }
    let mut out = [[S::zero(); IN]; IN];
    for x in 0..IN {
        let column = widen_weights::<S>([rows[0][x], rows[1][x], rows[2][x]]);
        for y in 0..IN {
            out[y][x] = column[y];
        }
    }
    out
}

/// One column of `G g`.
#[inline(always)]
unsafe fn widen_weights<S: Simd>(g: [S::V; 3]) -> [S::V; IN] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (at_a, at_b) = (1.0 / (2.0 * A2 * (A2 - B2)), 1.0 / (2.0 * B2 * (B2 - A2)));
    let even_a = S::mul(S::splat(at_a), S::fma(S::splat(A2), g[2], g[0]));
    let even_b = S::mul(S::splat(at_b), S::fma(S::splat(B2), g[2], g[0]));
    let odd_a = S::mul(S::splat(at_a * A), g[1]);
    let odd_b = S::mul(S::splat(at_b * B), g[1]);
    [
        S::mul(S::splat(1.0 / (A2 * B2)), g[0]),
        S::add(even_a, odd_a),
        S::sub(even_a, odd_a),
        S::add(even_b, odd_b),
        S::sub(even_b, odd_b),
        g[2],
    ]
}

/// One column of `B' d`.
#[inline(always)]
unsafe fn widen_inputs<S: Simd>(d: [S::V; IN]) -> [S::V; IN] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (ab, both) = (S::splat(A2 * B2), S::splat(-(A2 + B2)));
    let (a, b, minus_a2, minus_b2) = (S::splat(A), S::splat(B), S::splat(-A2), S::splat(-B2));
    let even_a = S::fma(minus_b2, d[2], d[4]);
    let odd_a = S::mul(a, S::fma(minus_b2, d[1], d[3]));
    let even_b = S::fma(minus_a2, d[2], d[4]);
    let odd_b = S::mul(b, S::fma(minus_a2, d[1], d[3]));
    [
        S::fma(ab, d[0], S::fma(both, d[2], d[4])),
        S::add(even_a, odd_a),
        S::sub(even_a, odd_a),
        S::add(even_b, odd_b),
        S::sub(even_b, odd_b),
        S::fma(ab, d[1], S::fma(both, d[3], d[5])),
    ]
}

/// One column of `A y`.
#[inline(always)]
pub(super) unsafe fn widen_gradient<S: Simd>(y: [S::V; OUT]) -> [S::V; IN] {
    let even_a = S::fma(S::splat(A * A), y[2], y[0]);
    let even_b = S::fma(S::splat(B * B), y[2], y[0]);
    let odd_a = S::fma(S::splat(A * A * A), y[3], S::mul(S::splat(A), y[1]));
    let odd_b = S::fma(S::splat(B * B * B), y[3], S::mul(S::splat(B), y[1]));
    [y[0], S::add(even_a, odd_a), S::sub(even_a, odd_a), S::add(even_b, odd_b), S::sub(even_b, odd_b), y[3]]
}

/// One column of `G' m`.
#[inline(always)]
pub(super) unsafe fn sum_weights<S: Simd>(m: [S::V; IN]) -> [S::V; 3] {
    const A2: f32 = A * A;
    const B2: f32 = B * B;
    let (at_a, at_b) = (S::splat(1.0 / (2.0 * A2 * (A2 - B2))), S::splat(1.0 / (2.0 * B2 * (B2 - A2))));
    let (sum_a, difference_a) = (S::mul(at_a, S::add(m[1], m[2])), S::mul(at_a, S::sub(m[1], m[2])));
    let (sum_b, difference_b) = (S::mul(at_b, S::add(m[3], m[4])), S::mul(at_b, S::sub(m[3], m[4])));
    [
        S::fma(S::splat(1.0 / (A2 * B2)), m[0], S::add(sum_a, sum_b)),
        S::fma(S::splat(A), difference_a, S::mul(S::splat(B), difference_b)),
        S::fma(S::splat(A2), sum_a, S::fma(S::splat(B2), sum_b, m[5])),
    ]
}

/// One column of `A' m`.
#[inline(always)]
unsafe fn narrow_results<S: Simd>(m: [S::V; IN]) -> [S::V; OUT] {
    let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
    let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
    [
        S::add(m[0], S::add(sum_a, sum_b)),
        S::fma(S::splat(B), difference_b, S::mul(S::splat(A), difference_a)),
        S::fma(S::splat(B * B), sum_b, S::mul(S::splat(A * A), sum_a)),
        S::fma(S::splat(B * B * B), difference_b, S::fma(S::splat(A * A * A), difference_a, m[5])),
    ]
}

struct Job<'a> {
    isa: Isa,
    sources: &'a [Source<'a>],
    ins: Vec<Block>,
    lanes: Vec<usize>,
    outs: Vec<Block>,
    dests: Vec<Shared>,
    weights: &'a [f32],
    after: After<'a>,
    sums: Option<Shared>,
    size: (usize, usize),
    /// Tiles of a row, rows of tiles of an image, and of a task.
    across: usize,
    down: usize,
    rows: usize,
}

/// As [`super::forward()`] for a plan that [`ConvPlan::suits_winograd`], with the weights of
/// [`ConvPlan::pack_winograd`] for the same precision.
///
/// # Panics
/// When a slice is shorter than the plan and the shape need.
pub fn forward_winograd(
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
    assert!(plan.kernel == 3 && !plan.plane, "a 3x3 convolution of blocked channels");
    assert!(plan.input_grid == Sampling::Same && plan.output_grid == Sampling::Same);
    assert_eq!(sources.iter().map(|s| s.channels).collect::<Vec<_>>(), plan.inputs);
    assert_eq!(dests.iter().map(|d| d.channels).collect::<Vec<_>>(), plan.outputs);
    assert!(sources.iter().all(|s| !s.is_plane()));
    assert!(weights.len() >= plan.winograd_len(isa, precision), "transformed weights");
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
    let rows = (TILES / across).max(1);
    let tasks = (n * down).div_ceil(rows);
    let pairs = outs.len().div_ceil(2);
    let out_chunks = TASKS.div_ceil(tasks).min(pairs.div_ceil(2)).max(1);
    let mut partial = Buffer::zeros(if sums.is_some() { tasks * 2 * width } else { 0 });
    let job = Job {
        isa,
        sources,
        lanes: ins.iter().map(|b| b.lanes).collect(),
        ins,
        outs,
        dests: dests.iter_mut().map(|d| Shared::new(d.data)).collect(),
        weights,
        after,
        sums: sums.is_some().then(|| Shared::new(&mut partial)),
        size: (h, w),
        across,
        down,
        rows,
    };
    (0..tasks * out_chunks).into_par_iter().for_each(|i| {
        let (task, chunk) = (i / out_chunks, i % out_chunks);
        let pairs = (cut(pairs, out_chunks, chunk), cut(pairs, out_chunks, chunk + 1));
        let rows = (task * rows, ((task + 1) * rows).min(n * down));
        let sizes = Scratch::of(&job, lanes, precision);
        with_scratch(sizes.len, |scratch| {
            let task = Task { job: &job, task, rows, pairs, sizes, scratch };
            match precision {
                Precision::Fp32 => isa.run(TaskIn::<Fp32>(task, PhantomData)),
                Precision::Bf16 => isa.run_bf16(TaskIn::<Bf16>(task, PhantomData)),
            }
        });
    });
    if let Some(sums) = sums {
        sums.sum.clear();
        sums.sum.resize(width, 0.0);
        sums.squares.clear();
        sums.squares.resize(width, 0.0);
        for part in partial.chunks_exact(2 * width) {
            for i in 0..width {
                sums.sum[i] += f64::from(part[i]);
                sums.squares[i] += f64::from(part[width + i]);
            }
        }
    }
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
        let Task { job, task, rows, pairs, sizes, scratch } = self.0;
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
            for pair in pairs.0..pairs.1 {
                let first = 2 * pair;
                let k = (job.outs.len() - first).min(2);
                let per_place = job.ins.len() * words * k * S::L;
                let weights = job.weights.as_ptr().add(first * job.ins.len() * words * S::L * PLACES);
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

/// Transforms one row of tiles of one input block.
pub(super) struct Inputs<A> {
    /// Six rows of `width` pixels.
    pub(super) panel: *const f32,
    pub(super) width: usize,
    pub(super) tiles: usize,
    /// The first tile at the first place, and floats from place to place.
    pub(super) to: *mut f32,
    pub(super) place: usize,
    pub(super) precision: PhantomData<A>,
}

impl<A: Arith> Kernel for Inputs<A> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `Task` has made room for six rows of the panel and for all places.
        unsafe {
            for tile in 0..self.tiles {
                let from = self.panel.add(tile * OUT * S::L);
                let mut columns = [[S::zero(); IN]; IN];
                for x in 0..IN {
                    let mut d = [S::zero(); IN];
                    for y in 0..IN {
                        d[y] = S::load(from.add((y * self.width + x) * S::L));
                    }
                    columns[x] = widen_inputs::<S>(d);
                }
                for y in 0..IN {
                    let mut row = [S::zero(); IN];
                    for x in 0..IN {
                        row[x] = columns[x][y];
                    }
                    let row = widen_inputs::<S>(row);
                    for x in 0..IN {
                        let to = self.to.add((y * IN + x) * self.place + tile * (S::L / A::PER_WORD));
                        A::store::<S>(to, row[x]);
                    }
                }
            }
        }
    }
}

/// Transforms the sums of one output block back and writes them.
struct Write<'a> {
    job: &'a Job<'a>,
    task: usize,
    rows: (usize, usize),
    out: usize,
    from: *const f32,
    place: usize,
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
