//! Two tensors into one: their sum, and one of them times a share per pixel that the other decides (an attention gate).

use crate::Isa;
use crate::buffer::Shared;
use crate::logits::pieces;
use crate::simd::{Kernel, Simd};
use crate::source::{Reader, Source, activate};
use rayon::prelude::*;

/// What is read from `a` plus what is read from `b` (where there is one), through an activation of this slope below zero
/// (0: ReLU, 1: none), to `out`, blocked. Both have `n` images of so many pixels.
///
/// # Panics
/// When a slice is shorter than the shape needs.
pub fn add(
    isa: Isa,
    (a, b): (&Source<'_>, Option<&Source<'_>>),
    (n, pixels): (usize, usize),
    slope: f32,
    out: &mut [f32],
) {
    let blocks = check(isa, a, n * pixels, out);
    if let Some(b) = b {
        check(isa, b, n * pixels, out);
        assert_eq!(a.channels, b.channels, "tensors of one shape");
    }
    let out = Shared::new(out);
    pieces(n * blocks, pixels).into_par_iter().for_each(|piece| {
        isa.run(Add { a, b, block: piece.0 % blocks, piece, pixels, slope, out });
    });
}

/// What is read from `source` times the sigmoid of one logit per pixel (`[n, pixels]`), to `out`, blocked; the sigmoids
/// go to `shares`.
///
/// # Panics
/// When a slice is shorter than the shape needs.
pub fn gate(
    isa: Isa,
    source: &Source<'_>,
    logits: &[f32],
    (n, pixels): (usize, usize),
    shares: &mut [f32],
    out: &mut [f32],
) {
    check(isa, source, n * pixels, out);
    assert!(logits.len() >= n * pixels && shares.len() >= n * pixels, "one logit per pixel");
    shares[..n * pixels]
        .par_iter_mut()
        .zip(logits)
        .with_min_len(1024)
        .for_each(|(share, z)| *share = 1.0 / (1.0 + (-z).exp()));
    let (shares, out) = (&*shares, Shared::new(out));
    pieces(n, pixels).into_par_iter().for_each(|piece| {
        isa.run(Gate { source, shares, piece, pixels, out });
    });
}

/// The gradients of [`gate`] from that of its result: of the source, blocked, to `to_source`, and of the logits to
/// `to_logits`.
///
/// # Panics
/// When a slice is shorter than the shape needs.
pub fn gate_backward(
    isa: Isa,
    (source, shares): (&Source<'_>, &[f32]),
    gradient: &Source<'_>,
    (n, pixels): (usize, usize),
    to_source: &mut [f32],
    to_logits: &mut [f32],
) {
    check(isa, source, n * pixels, to_source);
    check(isa, gradient, n * pixels, to_source);
    assert_eq!(source.channels, gradient.channels, "tensors of one shape");
    assert!(shares.len() >= n * pixels && to_logits.len() >= n * pixels, "one share per pixel");
    let (to_source, to_logits) = (Shared::new(to_source), Shared::new(to_logits));
    pieces(n, pixels).into_par_iter().for_each(|piece| {
        isa.run(GateBackward { source, shares, gradient, piece, pixels, to_source, to_logits });
    });
}

/// Checks one tensor and gives its number of blocks.
fn check(isa: Isa, source: &Source<'_>, pixels: usize, out: &[f32]) -> usize {
    source.check(pixels, isa.lanes());
    assert!(!source.is_plane(), "blocked tensors");
    assert!(out.len() >= pixels * crate::padded(source.channels, isa), "a result as large as its shape");
    source.channels.div_ceil(isa.lanes())
}

struct Add<'a> {
    a: &'a Source<'a>,
    b: Option<&'a Source<'a>>,
    block: usize,
    /// Plane (image and block), first pixel, last.
    piece: (usize, usize, usize),
    pixels: usize,
    slope: f32,
    out: Shared,
}

impl Kernel for Add<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (plane, from, to) = self.piece;
        let places = (plane * self.pixels + from) * S::L..(plane * self.pixels + to) * S::L;
        // SAFETY: entered through an `Isa`; `add` has checked all lengths, and each piece is one task's alone.
        unsafe {
            let slope = S::splat(self.slope);
            let a = Reader::<S>::new(self.a, self.block);
            let data = self.a.data.as_ptr();
            match self.b {
                None => {
                    for i in places.step_by(S::L) {
                        S::store(self.out.at(i), activate::<S>(a.get(data, i), slope));
                    }
                }
                Some(b) => {
                    let (other, b) = (b.data.as_ptr(), Reader::<S>::new(b, self.block));
                    for i in places.step_by(S::L) {
                        let sum = S::add(a.get(data, i), b.get(other, i));
                        S::store(self.out.at(i), activate::<S>(sum, slope));
                    }
                }
            }
        }
    }
}

struct Gate<'a> {
    source: &'a Source<'a>,
    shares: &'a [f32],
    /// Image, first pixel, last.
    piece: (usize, usize, usize),
    pixels: usize,
    out: Shared,
}

impl Kernel for Gate<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (image, from, to) = self.piece;
        let blocks = self.source.channels.div_ceil(S::L);
        let data = self.source.data.as_ptr();
        for block in 0..blocks {
            // SAFETY: entered through an `Isa`; `gate` has checked all lengths, and each pixel is one task's alone.
            unsafe {
                let reader = Reader::<S>::new(self.source, block);
                let plane = (image * blocks + block) * self.pixels;
                for p in from..to {
                    let (i, share) = ((plane + p) * S::L, self.shares[image * self.pixels + p]);
                    S::store(self.out.at(i), S::mul(reader.get(data, i), S::splat(share)));
                }
            }
        }
    }
}

struct GateBackward<'a> {
    source: &'a Source<'a>,
    shares: &'a [f32],
    gradient: &'a Source<'a>,
    /// Image, first pixel, last.
    piece: (usize, usize, usize),
    pixels: usize,
    to_source: Shared,
    to_logits: Shared,
}

impl Kernel for GateBackward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (image, from, to) = self.piece;
        let blocks = self.source.channels.div_ceil(S::L);
        let (data, dy) = (self.source.data.as_ptr(), self.gradient.data.as_ptr());
        for block in 0..blocks {
            // SAFETY: entered through an `Isa`; `gate_backward` has checked all lengths, and each pixel is one task's
            // alone.
            unsafe {
                let reader = Reader::<S>::new(self.source, block);
                let gradients = Reader::<S>::new(self.gradient, block);
                let plane = (image * blocks + block) * self.pixels;
                for p in from..to {
                    let (i, at) = ((plane + p) * S::L, image * self.pixels + p);
                    let (g, share) = (gradients.get(dy, i), self.shares[at]);
                    S::store(self.to_source.at(i), S::mul(g, S::splat(share)));
                    // d sigmoid(z) / d z = share (1 - share)
                    let sum = S::sum(S::mul(g, reader.get(data, i))) * share * (1.0 - share);
                    let to = self.to_logits.at(at);
                    *to = if block == 0 { sum } else { *to + sum };
                }
            }
        }
    }
}
