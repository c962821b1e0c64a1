//! The blocked layout: `[image][channel block][row][column][lane]`, a block being as many channels as a vector has
//! lanes. Lanes beyond the last channel hold zeros, always.

use crate::Isa;
use rayon::prelude::*;

/// Images, channels, rows, columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Images.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// A shape.
    pub fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w }
    }

    /// Pixels of one image.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Floats of the tensor in the blocked layout.
    pub fn blocked_len(self, isa: Isa) -> usize {
        self.n * padded(self.c, isa) * self.pixels()
    }
}

/// `channels` rounded up to whole blocks.
pub fn padded(channels: usize, isa: Isa) -> usize {
    channels.next_multiple_of(isa.lanes())
}

/// `[n, c, h, w]` to blocked.
pub fn to_blocked(isa: Isa, src: &[f32], shape: Shape, out: &mut [f32]) {
    let (lanes, pixels) = (isa.lanes(), shape.pixels());
    let blocks = shape.c.div_ceil(lanes);
    let out = &mut out[..shape.blocked_len(isa)];
    if pixels == 0 {
        return;
    }
    out.par_chunks_mut(pixels * lanes).enumerate().for_each(|(i, to)| {
        let (n, first) = (i / blocks, i % blocks * lanes);
        if shape.c - first < lanes {
            to.fill(0.0);
        }
        for c in first..(first + lanes).min(shape.c) {
            let from = &src[(n * shape.c + c) * pixels..][..pixels];
            for (t, f) in to[c % lanes..].iter_mut().step_by(lanes).zip(from) {
                *t = *f;
            }
        }
    });
}

/// Blocked to `[n, c, h, w]`.
pub fn from_blocked(isa: Isa, src: &[f32], shape: Shape, out: &mut [f32]) {
    let (lanes, pixels) = (isa.lanes(), shape.pixels());
    let blocks = shape.c.div_ceil(lanes);
    if pixels == 0 {
        return;
    }
    out[..shape.n * shape.c * pixels].par_chunks_mut(pixels).enumerate().for_each(|(i, to)| {
        let (n, c) = (i / shape.c, i % shape.c);
        let from = &src[(n * blocks + c / lanes) * pixels * lanes..][..pixels * lanes];
        for (t, f) in to.iter_mut().zip(from[c % lanes..].iter().step_by(lanes)) {
            *t = *f;
        }
    });
}

/// `size` cut into `parts` pieces as even as possible: the start of piece `i`.
pub(crate) fn cut(size: usize, parts: usize, i: usize) -> usize {
    size * i / parts
}
