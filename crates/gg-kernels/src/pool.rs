//! 2x2 max-pool and global average pool, forward and backward. An odd last row or column is left out by the
//! max-pool; of equal values the first (row by row) gets the gradient, as in PyTorch.

use crate::Isa;
use crate::buffer::Shared;
use crate::simd::{Kernel, Simd};
use crate::source::{Reader, Source};
use rayon::prelude::*;

/// 2x2 max-pool of what is read from `source` (`n` images of `h` x `w`) into `out`, blocked.
pub fn max_pool(isa: Isa, source: &Source<'_>, (n, h, w): (usize, usize, usize), out: &mut [f32]) {
    let lanes = isa.lanes();
    source.check(n * h * w, lanes);
    assert!(!source.is_plane(), "blocked tensors are pooled");
    let blocks = source.channels.div_ceil(lanes);
    let plane = (h / 2) * (w / 2) * lanes;
    if plane == 0 {
        return;
    }
    out[..n * blocks * plane].par_chunks_mut(plane).enumerate().for_each(|(i, out)| {
        isa.run(Pool { source, block: i % blocks, from: i * h * w * lanes, w, out });
    });
}

/// The gradient of [`max_pool`]: each window's value of `gradient` goes to its largest value in `out`, which has the
/// size of the source. `add`: added to what `out` holds; otherwise `out` is overwritten.
pub fn max_pool_backward(
    isa: Isa,
    source: &Source<'_>,
    (n, h, w): (usize, usize, usize),
    gradient: &Source<'_>,
    out: &mut [f32],
    add: bool,
) {
    let lanes = isa.lanes();
    source.check(n * h * w, lanes);
    assert!(!source.is_plane(), "blocked tensors are pooled");
    let blocks = source.channels.div_ceil(lanes);
    let plane = h * w * lanes;
    let small = (h / 2) * (w / 2) * lanes;
    gradient.check(n * (h / 2) * (w / 2), lanes);
    assert!(gradient.channels == source.channels && !gradient.is_plane(), "the gradient of all windows");
    if plane == 0 {
        return;
    }
    out[..n * blocks * plane].par_chunks_mut(plane).enumerate().for_each(|(i, out)| {
        if !add {
            out.fill(0.0);
        }
        isa.run(Unpool {
            source,
            gradient,
            block: i % blocks,
            from: i * plane,
            gradient_from: i * small,
            size: (h, w),
            out,
        });
    });
}

/// Mean over the pixels of each channel of what is read from `source`: `[n, c]`, not blocked.
pub fn average_pool(isa: Isa, source: &Source<'_>, n: usize, pixels: usize, out: &mut [f32]) {
    let lanes = isa.lanes();
    let blocks = source.channels.div_ceil(lanes);
    assert!(out.len() >= n * source.channels, "one mean per image and channel");
    for image in 0..n {
        let len = blocks * pixels * lanes;
        // Each image alone: the sums over one image.
        let from = image * len;
        let one = source.tail(from);
        let sums = crate::reduce::channel_sums(isa, &one, 1, pixels);
        for c in 0..source.channels {
            out[image * source.channels + c] = (sums.sum[c] / pixels as f64) as f32;
        }
    }
}

/// The gradient of [`average_pool`], blocked.
pub fn average_pool_backward(
    isa: Isa,
    channels: usize,
    n: usize,
    pixels: usize,
    gradient: &[f32],
    out: &mut [f32],
) {
    let lanes = isa.lanes();
    let blocks = channels.div_ceil(lanes);
    out[..n * blocks * pixels * lanes].par_chunks_mut(pixels * lanes).enumerate().for_each(|(i, out)| {
        let (image, block) = (i / blocks, i % blocks);
        let mut row = [0.0f32; 16];
        for (lane, v) in row.iter_mut().enumerate().take(lanes) {
            let c = block * lanes + lane;
            if c < channels {
                *v = gradient[image * channels + c] / pixels as f32;
            }
        }
        for pixel in out.chunks_exact_mut(lanes) {
            pixel.copy_from_slice(&row[..lanes]);
        }
    });
}

/// What is read from `source` times `factors` (blocked, of the same shape), for dropout.
pub fn multiply(isa: Isa, source: &Source<'_>, n: usize, pixels: usize, factors: &[f32], out: &mut [f32]) {
    let lanes = isa.lanes();
    source.check(n * pixels, lanes);
    assert!(!source.is_plane(), "blocked tensors are multiplied");
    let blocks = source.channels.div_ceil(lanes);
    let len = n * blocks * pixels * lanes;
    assert!(factors.len() >= len && out.len() >= len, "tensors of one shape");
    let out = Shared::new(out);
    (0..n * blocks).into_par_iter().for_each(|i| {
        isa.run(Multiply { source, block: i % blocks, from: i * pixels * lanes, pixels, factors, out });
    });
}

struct Pool<'a> {
    source: &'a Source<'a>,
    block: usize,
    from: usize,
    w: usize,
    out: &'a mut [f32],
}

impl Kernel for Pool<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (data, row) = (self.source.data.as_ptr(), self.w * S::L);
        // SAFETY: entered through an `Isa`; `max_pool` has checked the source, and the windows lie inside it.
        unsafe {
            let reader = Reader::<S>::new(self.source, self.block);
            for (y, out) in self.out.chunks_exact_mut(self.w / 2 * S::L).enumerate() {
                for x in 0..self.w / 2 {
                    let i = self.from + 2 * y * row + 2 * x * S::L;
                    let above = S::max(reader.get(data, i), reader.get(data, i + S::L));
                    let below = S::max(reader.get(data, i + row), reader.get(data, i + row + S::L));
                    S::store(out.as_mut_ptr().add(x * S::L), S::max(above, below));
                }
            }
        }
    }
}

struct Unpool<'a> {
    source: &'a Source<'a>,
    gradient: &'a Source<'a>,
    block: usize,
    from: usize,
    gradient_from: usize,
    size: (usize, usize),
    out: &'a mut [f32],
}

impl Kernel for Unpool<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let (h, w) = self.size;
        let (data, row) = (self.source.data.as_ptr(), w * S::L);
        // SAFETY: entered through an `Isa`; `max_pool_backward` has checked the lengths.
        unsafe {
            let reader = Reader::<S>::new(self.source, self.block);
            let gradients = Reader::<S>::new(self.gradient, self.block);
            for y in 0..h / 2 {
                for x in 0..w / 2 {
                    let at = 2 * y * row + 2 * x * S::L;
                    let offsets = [at, at + S::L, at + row, at + row + S::L];
                    let mut values = [S::zero(); 4];
                    for (v, o) in values.iter_mut().zip(offsets) {
                        *v = reader.get(data, self.from + o);
                    }
                    let most = S::max(S::max(values[0], values[1]), S::max(values[2], values[3]));
                    // What is left to give: all of it, until the first largest value has taken it.
                    let window = self.gradient_from + (y * (w / 2) + x) * S::L;
                    let mut left = gradients.get(self.gradient.data.as_ptr(), window);
                    for (o, v) in offsets.into_iter().zip(values) {
                        let to = self.out.as_mut_ptr().add(o);
                        let taken = S::where_equal(v, most, left, S::zero());
                        left = S::where_equal(v, most, S::zero(), left);
                        S::store(to, S::add(S::load(to), taken));
                    }
                }
            }
        }
    }
}

struct Multiply<'a> {
    source: &'a Source<'a>,
    block: usize,
    from: usize,
    pixels: usize,
    factors: &'a [f32],
    out: Shared,
}

impl Kernel for Multiply<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: entered through an `Isa`; `multiply` has checked the lengths; each plane is one task's alone.
        unsafe {
            let reader = Reader::<S>::new(self.source, self.block);
            for p in 0..self.pixels {
                let i = self.from + p * S::L;
                let v = reader.get(self.source.data.as_ptr(), i);
                S::store(self.out.at(i), S::mul(v, S::load(self.factors.as_ptr().add(i))));
            }
        }
    }
}
