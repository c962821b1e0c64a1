//! The 1x1 convolution to one channel that ends a network which segments. Its result is one number per pixel, `[n, h, w]`
//! as it is: blocked, it would be as many numbers as a block has lanes, all but one of them zero.

use crate::Isa;
use crate::buffer::Shared;
use crate::layout::cut;
use crate::simd::{Kernel, Simd};
use crate::source::{Reader, Source};
use rayon::prelude::*;

/// Pixels that a task takes at most.
const CHUNK: usize = 4096;
/// Pixels added up in fp32 before f64 takes over.
const RUN: usize = 256;
/// The most lanes that a set has.
const LANES: usize = 16;

/// The gradients of [`logits`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogitsGradient {
    /// Of the weights, one per padded channel.
    pub weights: Vec<f32>,
    /// Of the bias.
    pub bias: f32,
}

/// For each of the `pixels` pixels of `n` images: the bias plus the sum over channels of weight (one per padded channel)
/// times what is read from `source`.
///
/// # Panics
/// When a slice is shorter than the shape needs.
pub fn logits(
    isa: Isa,
    source: &Source<'_>,
    (n, pixels): (usize, usize),
    (weights, bias): (&[f32], f32),
    out: &mut [f32],
) {
    check(isa, source, n * pixels, weights);
    let out = Shared::new(&mut out[..n * pixels]);
    pieces(n, pixels).into_par_iter().for_each(|piece| {
        isa.run(Forward { source, pixels, weights, bias, piece, out });
    });
}

/// The gradient of [`logits`] from that of its result; the gradient of the source, blocked, is written to `out`.
///
/// # Panics
/// When a slice is shorter than the shape needs.
pub fn logits_backward(
    isa: Isa,
    source: &Source<'_>,
    (n, pixels): (usize, usize),
    weights: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) -> LogitsGradient {
    check(isa, source, n * pixels, weights);
    let width = crate::padded(source.channels, isa);
    assert!(
        gradient.len() >= n * pixels && out.len() >= n * pixels * width,
        "tensors as large as their shapes"
    );
    let out = Shared::new(out);
    // The partition depends on the shape alone, and the parts are added in order.
    let parts: Vec<Vec<f64>> = pieces(n, pixels)
        .into_par_iter()
        .map(|piece| isa.run(Backward { source, pixels, weights, gradient, piece, out }))
        .collect();
    let mut sums = vec![0.0; width + 1];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
    }
    let bias = sums.pop().unwrap_or_default() as f32;
    LogitsGradient { weights: sums.into_iter().map(|v| v as f32).collect(), bias }
}

fn check(isa: Isa, source: &Source<'_>, pixels: usize, weights: &[f32]) {
    source.check(pixels, isa.lanes());
    assert!(!source.is_plane(), "blocked channels");
    assert!(weights.len() >= crate::padded(source.channels, isa), "one weight per padded channel");
}

/// Image, first pixel and last of each task.
pub(crate) fn pieces(n: usize, pixels: usize) -> Vec<(usize, usize, usize)> {
    let parts = pixels.div_ceil(CHUNK);
    (0..n * parts)
        .map(|i| (i / parts, cut(pixels, parts, i % parts), cut(pixels, parts, i % parts + 1)))
        .collect()
}

struct Forward<'a> {
    source: &'a Source<'a>,
    pixels: usize,
    weights: &'a [f32],
    bias: f32,
    piece: (usize, usize, usize),
    out: Shared,
}

impl Kernel for Forward<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (image, from, to) = self.piece;
        let blocks = self.source.channels.div_ceil(S::L);
        let data = self.source.data.as_ptr();
        // SAFETY: entered through an `Isa`; `logits` has checked all lengths, and each pixel is one task's alone.
        unsafe {
            for block in 0..blocks {
                let reader = Reader::<S>::new(self.source, block);
                let weights = S::load(self.weights.as_ptr().add(block * S::L));
                let plane = (image * blocks + block) * self.pixels;
                for p in from..to {
                    let sum = S::sum(S::mul(weights, reader.get(data, (plane + p) * S::L)));
                    let out = self.out.at(image * self.pixels + p);
                    *out = sum + if block == 0 { self.bias } else { *out };
                }
            }
        }
    }
}

struct Backward<'a> {
    source: &'a Source<'a>,
    pixels: usize,
    weights: &'a [f32],
    gradient: &'a [f32],
    piece: (usize, usize, usize),
    out: Shared,
}

impl Kernel for Backward<'_> {
    type Out = Vec<f64>;

    /// The sums of the weights' gradient and, behind them, that of the bias.
    #[inline(always)]
    fn run<S: Simd>(self) -> Vec<f64> {
        let (image, from, to) = self.piece;
        let blocks = self.source.channels.div_ceil(S::L);
        let data = self.source.data.as_ptr();
        let gradient = &self.gradient[image * self.pixels..][..self.pixels];
        let mut sums = vec![0.0; blocks * S::L + 1];
        for block in 0..blocks {
            // SAFETY: entered through an `Isa`; `logits_backward` has checked all lengths, and each pixel is one task's
            // alone.
            unsafe {
                let reader = Reader::<S>::new(self.source, block);
                let weights = S::load(self.weights.as_ptr().add(block * S::L));
                let plane = (image * blocks + block) * self.pixels;
                for start in (from..to).step_by(RUN) {
                    let mut acc = S::zero();
                    for p in start..(start + RUN).min(to) {
                        let (g, at) = (S::splat(gradient[p]), (plane + p) * S::L);
                        acc = S::fma(g, reader.get(data, at), acc);
                        S::store(self.out.at(at), S::mul(g, weights));
                    }
                    let mut lanes = [0.0f32; LANES];
                    S::store(lanes.as_mut_ptr(), acc);
                    for (sum, v) in sums[block * S::L..][..S::L].iter_mut().zip(lanes) {
                        *sum += f64::from(v);
                    }
                }
            }
        }
        sums[blocks * S::L] = gradient[from..to].iter().map(|g| f64::from(*g)).sum();
        sums
    }
}
