//! Where the bytes of a tensor lie.

use rayon::prelude::*;

/// Channels of a block.
pub(crate) const LANES: usize = 16;
/// The largest byte of a tensor that a 3x3 convolution reads: the sum of two fits a byte.
pub const TOP: u8 = 127;
/// Bytes that a kernel may read beyond the last pixel.
const SLACK: usize = 256;

/// What a byte q means: `scale (q - zero)`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quant {
    /// One step.
    pub scale: f32,
    /// The byte of the number 0.
    pub zero: u8,
}

impl Quant {
    /// Bytes 0 to [`TOP`] for numbers from `low` (or 0, if that is less) to `high`; 0 has a byte of its own.
    pub fn of_range(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let span = high - low;
        if !(span > 0.0 && span.is_finite()) {
            return Self { scale: 1.0, zero: 0 };
        }
        let scale = span / f32::from(TOP);
        Self { scale, zero: (-low / scale).round_ties_even() as u8 }
    }
}

/// A tensor of `[image][block of channels][row][column][channel]`, each plane in a frame of one pixel; an odd width has
/// one more column at the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteShape {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl ByteShape {
    /// A shape.
    pub fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w }
    }

    /// Blocks of channels.
    pub fn blocks(self) -> usize {
        self.c.div_ceil(LANES)
    }

    /// Bytes from one row to the next.
    pub(crate) fn row(self) -> usize {
        (self.w.next_multiple_of(2) + 2) * LANES
    }

    /// Bytes from one plane to the next.
    pub(crate) fn plane(self) -> usize {
        (self.h + 2) * self.row()
    }

    /// Where pixel (y, x) of a block of an image begins; the frame lies at -1.
    pub(crate) fn at(self, image: usize, block: usize, y: usize, x: usize) -> usize {
        (image * self.blocks() + block) * self.plane() + (y + 1) * self.row() + (x + 1) * LANES
    }

    /// Bytes of the whole.
    pub fn len(self) -> usize {
        self.n * self.blocks() * self.plane() + SLACK
    }

    /// Whether there is no pixel.
    pub fn is_empty(self) -> bool {
        self.n * self.c * self.h * self.w == 0
    }

    /// Fills all frames.
    pub(crate) fn frame(self, data: &mut [u8], zero: u8) {
        let row = self.row();
        data[..self.n * self.blocks() * self.plane()].par_chunks_mut(self.plane()).for_each(|plane| {
            plane[..row].fill(zero);
            plane[(self.h + 1) * row..].fill(zero);
            for row in plane[row..(self.h + 1) * row].chunks_exact_mut(row) {
                row[..LANES].fill(zero);
                row[(self.w + 1) * LANES..].fill(zero);
            }
        });
    }

    /// `[n, c, h, w]` to this layout.
    pub fn pack(self, plain: &[u8], data: &mut [u8], zero: u8) {
        data[..self.len()].fill(zero);
        for (i, v) in plain.iter().enumerate() {
            let (plane, y, x) = (i / (self.h * self.w), i / self.w % self.h, i % self.w);
            let (image, c) = (plane / self.c, plane % self.c);
            data[self.at(image, c / LANES, y, x) + c % LANES] = *v;
        }
    }

    /// This layout to `[n, c, h, w]`.
    pub fn unpack(self, data: &[u8]) -> Vec<u8> {
        let of = |i: usize| {
            let (plane, y, x) = (i / (self.h * self.w), i / self.w % self.h, i % self.w);
            let (image, c) = (plane / self.c, plane % self.c);
            data[self.at(image, c / LANES, y, x) + c % LANES]
        };
        (0..self.n * self.c * self.h * self.w).map(of).collect()
    }
}
