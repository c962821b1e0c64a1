//! The scratch copy of the rows a task needs: `[input block][row][column][lane]` with a border of zeros.

use super::plan::Sampling;
use crate::arith::Arith;
use crate::simd::Simd;
use crate::source::{Reader, Source};

/// One input (or output) block: which tensor, which of its blocks, which phase of its grid.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) tensor: usize,
    pub(super) block: usize,
    /// Blocks of that tensor.
    pub(super) of: usize,
    /// Lanes that hold channels.
    pub(super) lanes: usize,
    /// (row, column) inside 2x2, and whether there are phases.
    pub(super) phase: (usize, usize),
    pub(super) double: bool,
}

impl Block {
    /// All blocks of tensors with these channels, in the packed order.
    pub(super) fn list(
        channels: impl Iterator<Item = usize> + Clone,
        grid: Sampling,
        lanes: usize,
    ) -> Vec<Self> {
        let mut blocks = Vec::new();
        for phase in 0..grid.phases() {
            for (tensor, c) in channels.clone().enumerate() {
                let of = c.div_ceil(lanes);
                blocks.extend((0..of).map(|block| Self {
                    tensor,
                    block,
                    of,
                    lanes: (c - block * lanes).min(lanes),
                    phase: (phase / 2, phase % 2),
                    double: grid == Sampling::Double,
                }));
            }
        }
        blocks
    }

    /// Index of the first float of pixel (y, x) of image n, the grid of tiles being h x w.
    #[inline(always)]
    pub(super) fn at(&self, n: usize, y: usize, x: usize, (h, w): (usize, usize), lanes: usize) -> usize {
        let plane = n * self.of + self.block;
        if self.double {
            ((plane * 2 * h + 2 * y + self.phase.0) * 2 * w + 2 * x + self.phase.1) * lanes
        } else {
            ((plane * h + y) * w + x) * lanes
        }
    }

    /// Pixels from one to the next.
    #[inline(always)]
    pub(super) fn step(&self) -> usize {
        if self.double { 2 } else { 1 }
    }
}

/// Copies rows `y0 - pad .. y0 + rows + pad` of image `n` of one block to rows of `width` pixels (`w + 2 pad` or more),
/// zeros outside the image.
///
/// # Safety
/// The source has been checked against the shape, `out` has room for the panel, the processor has the set `S`.
#[inline(always)]
pub(super) unsafe fn fill<S: Simd, A: Arith>(
    source: &Source<'_>,
    block: &Block,
    (h, w): (usize, usize),
    n: usize,
    (y0, rows): (usize, usize),
    pad: usize,
    width: usize,
    out: *mut f32,
) {
    let lanes = if source.is_plane() { 1 } else { S::L / A::PER_WORD };
    let reader = Reader::<S>::new(source, block.block);
    let data = source.data.as_ptr();
    for r in 0..rows + 2 * pad {
        let row = out.add(r * width * lanes);
        if y0 + r < pad || y0 + r >= h + pad {
            std::ptr::write_bytes(row, 0, width * lanes);
            continue;
        }
        let y = y0 + r - pad;
        std::ptr::write_bytes(row, 0, pad * lanes);
        std::ptr::write_bytes(row.add((pad + w) * lanes), 0, (width - pad - w) * lanes);
        let inside = row.add(pad * lanes);
        if source.is_plane() {
            std::ptr::copy_nonoverlapping(data.add((n * h + y) * w), inside, w);
        } else {
            reader.row::<A>(data, block.at(n, y, 0, (h, w), S::L), block.step(), w, inside);
        }
    }
}

/// As [`fill`] with pairs of neighbouring pixels as bf16 in each word: of the padded rows the pairs (0, 1) (2, 3) ..
/// in `even` and (1, 2) (3, 4) .. in `odd`, `pairs` of each per row; what lies beyond the padded row counts as zero.
///
/// # Safety
/// As [`fill`].
#[inline(always)]
pub(super) unsafe fn fill_pairs<S: Simd>(
    source: &Source<'_>,
    block: &Block,
    (h, w): (usize, usize),
    n: usize,
    (y0, rows): (usize, usize),
    pad: usize,
    (even, odd): (*mut f32, Option<*mut f32>),
    pairs: usize,
) {
    let reader = Reader::<S>::new(source, block.block);
    for r in 0..rows + 2 * pad {
        let to = even.add(r * pairs * S::L);
        let to_odd = odd.map(|odd| odd.add(r * pairs * S::L));
        if y0 + r < pad || y0 + r >= h + pad {
            std::ptr::write_bytes(to, 0, pairs * S::L);
            if let Some(to) = to_odd {
                std::ptr::write_bytes(to, 0, pairs * S::L);
            }
            continue;
        }
        let from = block.at(n, y0 + r - pad, 0, (h, w), S::L);
        reader.pairs(source.data.as_ptr(), (from, block.step(), w), pad, (to, to_odd), pairs);
    }
}
