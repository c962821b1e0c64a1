//! One task of a convolution: some rows of one image, for some of its output blocks.

use super::layout::{ByteShape, LANES};
use super::simd::{Int8, Work};
use super::tile::{Tile, tile};
use super::weights::{Conv8, Kind8, PLACES, WORD, WORDS};
use crate::layout::cut;

/// Memory that several tasks write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct SharedBytes(pub(super) *mut u8);

// SAFETY: only `at` reaches the memory, and it is unsafe: its callers keep to disjoint parts.
unsafe impl Send for SharedBytes {}
// SAFETY: as above.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    /// The place of byte `i`.
    ///
    /// # Safety
    /// `i` lies in the slice, and no other task reads or writes what is written through this.
    #[inline(always)]
    pub(super) unsafe fn at(self, i: usize) -> *mut u8 {
        self.0.add(i)
    }
}

/// One convolution.
pub(super) struct Job<'a> {
    pub(super) conv: &'a Conv8,
    /// Each source and its shape.
    pub(super) sources: Vec<(&'a [u8], ByteShape)>,
    pub(super) out: SharedBytes,
    pub(super) out_shape: ByteShape,
    /// Output blocks of a group, and groups.
    pub(super) group: usize,
    pub(super) groups: usize,
}

pub(super) struct Task<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) image: usize,
    pub(super) rows: (usize, usize),
    /// Groups of output blocks, from and to.
    pub(super) groups: (usize, usize),
    pub(super) scratch: &'a mut [f32],
}

/// Bytes of a row of transformed pairs of pixels.
pub(super) fn pairs_row(w: usize) -> usize {
    // Room for a whole vector at the end.
    (w.div_ceil(2).next_multiple_of(4)) * LANES
}

impl Work for Task<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        // SAFETY: `convolve8` has checked all lengths; a task writes its own rows of its own output blocks.
        unsafe {
            match self.job.conv.kind {
                Kind8::Same3x3 => self.pairs::<S>(),
                Kind8::Same1x1 | Kind8::Up2x2 => self.points::<S>(),
            }
        }
    }
}

impl Task<'_> {
    /// A 3x3 convolution.
    #[inline(always)]
    unsafe fn pairs<S: Int8>(self) {
        let job = self.job;
        let (_, shape) = job.sources[0];
        let height = self.rows.1 - self.rows.0;
        let row = pairs_row(shape.w);
        let plane = (height + 2) * row;
        let count: usize = job.sources.iter().map(|(_, s)| s.blocks()).sum();
        let scratch = self.scratch.as_mut_ptr().cast::<u8>();
        let mut blocks = Vec::with_capacity(PLACES * count);
        for i in 0..PLACES * count {
            blocks.push(scratch.add(i * plane).cast_const());
        }
        let pairs = shape.w.div_ceil(2);
        let mut b = 0;
        for (data, shape) in &job.sources {
            for block in 0..shape.blocks() {
                // The frame is a part of each plane: the row above lies one row before.
                let from =
                    data.as_ptr().add(shape.at(self.image, block, self.rows.0, 0) - shape.row() - LANES);
                let to = scratch.add(b * plane);
                S::enter(Widen {
                    from,
                    to,
                    place: count * plane,
                    rows: height + 2,
                    pairs,
                    step: shape.row(),
                    row,
                });
                b += 1;
            }
        }
        let tiles = pairs.div_ceil(S::TILE);
        for group in self.groups.0..self.groups.1 {
            for y in self.rows.0..self.rows.1 {
                for i in 0..tiles {
                    let (x, end) = (cut(pairs, tiles, i), cut(pairs, tiles, i + 1));
                    let place = (self.image, y, 2 * x);
                    let mut t = self.tile(group, (blocks.as_ptr(), count), 2 * LANES, place, place);
                    t.offset = (y - self.rows.0) * row + x * LANES;
                    t.row = row;
                    t.odd = (shape.w - 2 * x) / 2;
                    tile::<S>(true, self.width(group), end - x, t);
                }
            }
        }
    }

    /// A 1x1 convolution, or a transposed one: four of them side by side.
    #[inline(always)]
    unsafe fn points<S: Int8>(self) {
        let job = self.job;
        let (_, shape) = job.sources[0];
        let mut blocks = Vec::new();
        for (data, shape) in &job.sources {
            for block in 0..shape.blocks() {
                blocks.push(data.as_ptr().add(shape.at(self.image, block, 0, 0)));
            }
        }
        let (per_phase, fine) = (job.out_shape.blocks(), job.conv.kind.fine());
        let tiles = shape.w.div_ceil(S::TILE);
        for group in self.groups.0..self.groups.1 {
            for y in self.rows.0..self.rows.1 {
                for i in 0..tiles {
                    let (x, end) = (cut(shape.w, tiles, i), cut(shape.w, tiles, i + 1));
                    let at = |k: usize| {
                        let phase = (group * job.group + k) / per_phase;
                        (self.image, fine * y + phase / 2, fine * x + phase % 2)
                    };
                    let list = (blocks.as_ptr(), blocks.len());
                    let mut t = self.tile(group, list, fine * LANES, at(0), at(self.width(group) - 1));
                    t.offset = y * shape.row() + x * LANES;
                    t.row = shape.row();
                    tile::<S>(false, self.width(group), end - x, t);
                }
            }
        }
    }

    /// Output blocks of a group.
    #[inline(always)]
    fn width(&self, group: usize) -> usize {
        let all = self.job.conv.kind.phases() * self.job.out_shape.blocks();
        (all - group * self.job.group).min(self.job.group)
    }

    /// A tile that writes from these places on.
    #[inline(always)]
    unsafe fn tile(
        &self,
        group: usize,
        (blocks, count): (*const *const u8, usize),
        step: usize,
        first: (usize, usize, usize),
        last: (usize, usize, usize),
    ) -> Tile {
        let (conv, shape) = (self.job.conv, self.job.out_shape);
        let (per_phase, block) = (shape.blocks(), group * self.job.group);
        let second = block + self.width(group) - 1;
        let out = |block: usize, (image, y, x)| self.job.out.at(shape.at(image, block % per_phase, y, x));
        let kind = conv.kind;
        let per_block = kind.places() * count * kind.rows() * WORDS * WORD;
        let rounding = &conv.rounding;
        Tile {
            blocks,
            count,
            offset: 0,
            row: 0,
            weights: conv.weights.as_ptr().cast::<i8>().add(block * per_block),
            out: [out(block, first), out(second, last)],
            step,
            start: [conv.start[0].as_ptr().add(block * LANES), conv.start[1].as_ptr().add(block * LANES)],
            scale: rounding.scale.as_ptr().add(block * LANES),
            shift: rounding.shift.as_ptr().add(block * LANES),
            floor: rounding.floor,
            top: rounding.top,
            odd: 0,
        }
    }
}

/// Transforms rows of one block.
struct Widen {
    /// The first row's frame.
    from: *const u8,
    to: *mut u8,
    /// Bytes between the four places.
    place: usize,
    rows: usize,
    pairs: usize,
    /// Bytes from row to row, there and here.
    step: usize,
    row: usize,
}

impl Work for Widen {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        // SAFETY: entered through an `Isa`; rows lie inside the framed plane (and the bytes kept free behind the last one),
        // and scratch rows have room for whole vectors.
        unsafe {
            for y in 0..self.rows {
                let (from, to) = (self.from.add(y * self.step), self.to.add(y * self.row));
                for x in (0..self.pairs).step_by(S::COUNT) {
                    let mut places = [to.add(x * LANES); PLACES];
                    for (i, p) in places.iter_mut().enumerate() {
                        *p = p.add(i * self.place);
                    }
                    S::widen(from.add(2 * x * LANES), places);
                }
            }
        }
    }
}
