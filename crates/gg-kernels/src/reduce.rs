//! Sums over all pixels of a channel, each image apart and then added in order, in f64 every few pixels.

use crate::conv::ChannelSums;
use crate::simd::{Kernel, Simd};
use crate::source::{Reader, Source};
use crate::{Isa, Read};
use rayon::prelude::*;

/// Pixels added up in fp32 before f64 takes over.
const RUN: usize = 256;

/// What is added up.
#[derive(Clone, Copy)]
enum What<'a> {
    /// The value and its square.
    Squares,
    /// With the source a [`Read::Gradient`]: `g` and `g (z - mean)`.
    Gradient(&'a [f32]),
}

/// Sum and sum of squares of what is read from `source`, per padded channel.
pub fn channel_sums(isa: Isa, source: &Source<'_>, n: usize, pixels: usize) -> ChannelSums {
    reduce(isa, source, n, pixels, What::Squares)
}

/// For a [`Read::Gradient`] source with `g = dy act'(scale z + shift)`: the sums of `g` (in `sum`) and of
/// `g (z - mean)` (in `squares`), from which [`crate::norm_backward`] makes `a`, `b` and `c`.
///
/// # Panics
/// When the source is no gradient.
pub fn gradient_sums(isa: Isa, source: &Source<'_>, n: usize, pixels: usize, mean: &[f32]) -> ChannelSums {
    assert!(matches!(source.read, Read::Gradient(_)), "the sums of a gradient");
    assert!(mean.len() >= source.channels.next_multiple_of(isa.lanes()), "one mean per padded channel");
    reduce(isa, source, n, pixels, What::Gradient(mean))
}

fn reduce(isa: Isa, source: &Source<'_>, n: usize, pixels: usize, what: What<'_>) -> ChannelSums {
    let lanes = isa.lanes();
    source.check(n * pixels, lanes);
    assert!(!source.is_plane(), "sums are taken of blocked tensors");
    let blocks = source.channels.div_ceil(lanes);
    let parts: Vec<[[f64; 16]; 2]> = (0..n * blocks)
        .into_par_iter()
        .map(|plane| {
            isa.run(Sum { source, block: plane % blocks, from: plane * pixels * lanes, pixels, what })
        })
        .collect();
    let mut sums = ChannelSums { sum: vec![0.0; blocks * lanes], squares: vec![0.0; blocks * lanes] };
    for (plane, part) in parts.iter().enumerate() {
        for lane in 0..lanes {
            sums.sum[plane % blocks * lanes + lane] += part[0][lane];
            sums.squares[plane % blocks * lanes + lane] += part[1][lane];
        }
    }
    sums
}

struct Sum<'a> {
    source: &'a Source<'a>,
    block: usize,
    from: usize,
    pixels: usize,
    what: What<'a>,
}

impl Kernel for Sum<'_> {
    type Out = [[f64; 16]; 2];

    #[inline(always)]
    fn run<S: Simd>(self) -> Self::Out {
        let mut totals = [[0.0f64; 16]; 2];
        let data = self.source.data.as_ptr();
        // SAFETY: entered through an `Isa`; `reduce` has checked the source, and the plane lies inside it.
        unsafe {
            let reader = Reader::<S>::new(self.source, self.block);
            let mean = match self.what {
                What::Squares => S::zero(),
                What::Gradient(mean) => S::load(mean.as_ptr().add(self.block * S::L)),
            };
            let mut start = 0;
            while start < self.pixels {
                let end = (start + RUN).min(self.pixels);
                let mut acc = [S::zero(); 2];
                match self.what {
                    What::Squares => {
                        for p in start..end {
                            let v = reader.get(data, self.from + p * S::L);
                            acc[0] = S::add(acc[0], v);
                            acc[1] = S::fma(v, v, acc[1]);
                        }
                    }
                    What::Gradient(_) => {
                        for p in start..end {
                            let (g, z) = reader.gradient(data, self.from + p * S::L);
                            acc[0] = S::add(acc[0], g);
                            acc[1] = S::fma(g, S::sub(z, mean), acc[1]);
                        }
                    }
                }
                for (total, acc) in totals.iter_mut().zip(acc) {
                    let mut lanes = [0.0f32; 16];
                    S::store(lanes.as_mut_ptr(), acc);
                    for (t, v) in total.iter_mut().zip(lanes) {
                        *t += f64::from(v);
                    }
                }
                start = end;
            }
        }
        totals
    }
}
