//! The blocked layout: `[image][channel block][row][column][lane]`, a block being as many channels as a vector has
//! lanes. Lanes beyond the last channel hold zeros, always.

use crate::Isa;

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
    out[..shape.blocked_len(isa)].fill(0.0);
    if pixels == 0 {
        return;
    }
    for n in 0..shape.n {
        for c in 0..shape.c {
            let from = &src[(n * shape.c + c) * pixels..][..pixels];
            let to = &mut out[(n * blocks + c / lanes) * pixels * lanes..][..pixels * lanes];
            for (t, f) in to[c % lanes..].iter_mut().step_by(lanes).zip(from) {
                *t = *f;
            }
        }
    }
}

/// Blocked to `[n, c, h, w]`.
pub fn from_blocked(isa: Isa, src: &[f32], shape: Shape, out: &mut [f32]) {
    let (lanes, pixels) = (isa.lanes(), shape.pixels());
    let blocks = shape.c.div_ceil(lanes);
    if pixels == 0 {
        return;
    }
    for n in 0..shape.n {
        for c in 0..shape.c {
            let to = &mut out[(n * shape.c + c) * pixels..][..pixels];
            let from = &src[(n * blocks + c / lanes) * pixels * lanes..][..pixels * lanes];
            for (t, f) in to.iter_mut().zip(from[c % lanes..].iter().step_by(lanes)) {
                *t = *f;
            }
        }
    }
}

/// `size` cut into `parts` pieces as even as possible: the start of piece `i`.
pub(crate) fn cut(size: usize, parts: usize, i: usize) -> usize {
    size * i / parts
}
