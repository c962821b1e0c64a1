//! What stands between and after the convolutions: sums, 2x2 max-pool, the 1x1 convolution to logits, means over pixels.

use super::layout::{ByteShape, LANES, Quant};
use super::simd::{Int8, Work};
use super::task::SharedBytes;
use crate::Isa;
use rayon::prelude::*;

/// 2x2 max-pool of `n` images of `c` channels and `h` x `w` pixels; an odd last row or column is left out. `norm`:
/// factor and summand per channel for what is pooled (of `from`), then rounded to bytes of the second [`Quant`];
/// without, the bytes stay what they mean.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn max_pool8(
    isa: Isa,
    shape: ByteShape,
    data: &[u8],
    (from, to): (Quant, Quant),
    norm: Option<(&[f32], &[f32])>,
    out: &mut [u8],
) {
    let small = ByteShape::new(shape.n, shape.c, shape.h / 2, shape.w / 2);
    assert!(data.len() >= shape.len() && out.len() >= small.len(), "tensors as large as their shapes");
    if small.is_empty() {
        return;
    }
    small.frame(out, to.zero);
    // The byte of a pooled byte q: factor q + summand.
    let affine = norm.map(|(factor, summand)| {
        let padded = shape.blocks() * LANES;
        let (mut scale, mut shift) = (vec![0.0; padded], vec![0.0; padded]);
        for c in 0..shape.c {
            scale[c] = factor[c] * from.scale / to.scale;
            shift[c] = summand[c] / to.scale + f32::from(to.zero) - scale[c] * f32::from(from.zero);
        }
        (scale, shift)
    });
    let out = SharedBytes(out.as_mut_ptr());
    (0..shape.n * shape.blocks() * small.h).into_par_iter().with_min_len(16).for_each(|i| {
        let (plane, y) = (i / small.h, i % small.h);
        let place = (plane / shape.blocks(), plane % shape.blocks(), y);
        isa.run_int8(PoolRow { data, shape, out, small, place, affine: affine.as_ref() });
    });
}

struct PoolRow<'a> {
    data: &'a [u8],
    shape: ByteShape,
    out: SharedBytes,
    small: ByteShape,
    place: (usize, usize, usize),
    affine: Option<&'a (Vec<f32>, Vec<f32>)>,
}

impl Work for PoolRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        let (image, block, y) = self.place;
        // SAFETY: entered through an `Isa`; `max_pool8` has checked the lengths, and the row is one task's alone.
        unsafe {
            let above = self.data.as_ptr().add(self.shape.at(image, block, 2 * y, 0));
            let below = above.add(self.shape.row());
            let to = self.out.at(self.small.at(image, block, y, 0));
            for x in 0..self.small.w {
                let (a, b) = (above.add(2 * x * LANES), below.add(2 * x * LANES));
                let to = to.add(x * LANES);
                S::max_bytes([a, a.add(LANES), b, b.add(LANES)], to);
                if let Some((scale, shift)) = self.affine {
                    let scale = S::load_floats(scale.as_ptr().add(block * LANES));
                    let shift = S::load_floats(shift.as_ptr().add(block * LANES));
                    let v = S::mul_add(S::from_bytes(to), scale, shift);
                    S::store_bytes(to, v, f32::from(super::TOP));
                }
            }
        }
    }
}

/// The sum of two tensors of one shape, below 0 cut where `relu` says so, in bytes of another [`Quant`].
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn add8(
    isa: Isa,
    shape: ByteShape,
    [a, b]: [(&[u8], Quant); 2],
    (relu, to): (bool, Quant),
    out: &mut [u8],
) {
    let len = shape.len();
    assert!(a.0.len() >= len && b.0.len() >= len && out.len() >= len, "tensors as large as their shape");
    if shape.is_empty() {
        return;
    }
    shape.frame(out, to.zero);
    // The byte of two bytes: a factor for each, and a summand.
    let factors = [a.1.scale / to.scale, b.1.scale / to.scale];
    let zeros = factors[0] * f32::from(a.1.zero) + factors[1] * f32::from(b.1.zero);
    let affine = (factors, f32::from(to.zero) - zeros);
    let least = if relu { f32::from(to.zero) } else { 0.0 };
    let out = SharedBytes(out.as_mut_ptr());
    (0..shape.n * shape.blocks() * shape.h).into_par_iter().with_min_len(16).for_each(|i| {
        let (plane, y) = (i / shape.h, i % shape.h);
        let at = shape.at(plane / shape.blocks(), plane % shape.blocks(), y, 0);
        isa.run_int8(AddRow { from: [&a.0[at..], &b.0[at..]], affine, least, out, at, w: shape.w });
    });
}

struct AddRow<'a> {
    from: [&'a [u8]; 2],
    affine: ([f32; 2], f32),
    least: f32,
    out: SharedBytes,
    /// Where the row begins.
    at: usize,
    w: usize,
}

impl Work for AddRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        let ([a, b], summand) = self.affine;
        // SAFETY: entered through an `Isa`; `add8` has checked the lengths, and the row is one task's alone.
        unsafe {
            let (a, b, summand, least) = (S::splat(a), S::splat(b), S::splat(summand), S::splat(self.least));
            for x in 0..self.w {
                let p = S::from_bytes(self.from[0].as_ptr().add(x * LANES));
                let q = S::from_bytes(self.from[1].as_ptr().add(x * LANES));
                let v = S::mul_add(p, a, S::mul_add(q, b, summand));
                S::store_bytes(self.out.at(self.at + x * LANES), S::max(v, least), f32::from(super::TOP));
            }
        }
    }
}

/// The 1x1 convolution to one channel of floats, `[n, h, w]`, from sources that lie side by side; `weights` has one float
/// per channel.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn logits8(
    isa: Isa,
    shape: ByteShape,
    (data, quant): (&[u8], Quant),
    (weights, bias): (&[f32], f32),
    out: &mut [f32],
) {
    assert!(
        data.len() >= shape.len() && out.len() >= shape.n * shape.h * shape.w,
        "as large as their shapes"
    );
    assert_eq!(weights.len(), shape.c);
    if shape.is_empty() {
        return;
    }
    let mut scaled: Vec<f32> = weights.iter().map(|w| w * quant.scale).collect();
    let bias = bias - scaled.iter().sum::<f32>() * f32::from(quant.zero);
    scaled.resize(shape.blocks() * LANES, 0.0);
    out[..shape.n * shape.h * shape.w].par_chunks_mut(shape.w).with_min_len(8).enumerate().for_each(
        |(i, out)| {
            let from = shape.at(i / shape.h, 0, i % shape.h, 0);
            isa.run_int8(LogitRow { data: &data[from..], shape, weights: &scaled, bias, out });
        },
    );
}

struct LogitRow<'a> {
    data: &'a [u8],
    shape: ByteShape,
    weights: &'a [f32],
    bias: f32,
    out: &'a mut [f32],
}

impl Work for LogitRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        for (x, out) in self.out.iter_mut().enumerate() {
            // SAFETY: entered through an `Isa`; `logits8` has checked the lengths.
            unsafe {
                let mut sum = S::splat(0.0);
                for block in 0..self.shape.blocks() {
                    let from = self.data.as_ptr().add(block * self.shape.plane() + x * LANES);
                    let weights = S::load_floats(self.weights.as_ptr().add(block * LANES));
                    sum = S::mul_add(S::from_bytes(from), weights, sum);
                }
                *out = S::sum(sum) + self.bias;
            }
        }
    }
}

/// Mean over the pixels of each channel: `[n, c]`.
///
/// # Panics
/// When the slice is shorter than its shape.
pub fn means8(shape: ByteShape, (data, quant): (&[u8], Quant)) -> Vec<f32> {
    assert!(data.len() >= shape.len(), "a tensor as large as its shape");
    let mean = |i: usize| {
        let (image, c) = (i / shape.c, i % shape.c);
        let mut sum = 0u64;
        for y in 0..shape.h {
            for x in 0..shape.w {
                sum += u64::from(data[shape.at(image, c / LANES, y, x) + c % LANES]);
            }
        }
        let mean = sum as f64 / (shape.h * shape.w) as f64;
        ((mean - f64::from(quant.zero)) * f64::from(quant.scale)) as f32
    };
    (0..shape.n * shape.c).into_par_iter().map(mean).collect()
}
