//! What reads the image: 3x3 from floats to bytes. It is a five-hundredth of a U-Net's work (twice that with a residual
//! block's projection, a 1x1 in the middle of a 3x3), and its input is exact, so its products are fp32.

use super::layout::{ByteShape, LANES, Quant};
use super::simd::{Int8, Work};
use super::task::SharedBytes;
use super::weights::After8;
use crate::Isa;
use crate::buffer::with_scratch;
use rayon::prelude::*;

/// Pixels at once.
const TILE: usize = 4;

/// A 3x3 convolution of an image.
#[derive(Debug)]
pub struct ImageConv {
    inputs: usize,
    outputs: usize,
    /// `[block of outputs][input][tap][output]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    least: f32,
    zero: u8,
}

impl ImageConv {
    /// From weights `[out, in, 3, 3]`.
    ///
    /// # Panics
    /// When a slice has another length than its shape.
    pub fn new(inputs: usize, outputs: usize, weights: &[f32], after: After8<'_>, out: Quant) -> Self {
        assert!(
            weights.len() == outputs * inputs * 9 && after.bias.len() == outputs,
            "weights of this shape"
        );
        let padded = outputs.next_multiple_of(LANES);
        let mut packed = vec![0.0; padded * inputs * 9];
        for (i, w) in weights.iter().enumerate() {
            let (o, rest) = (i / (inputs * 9), i % (inputs * 9));
            packed[(o / LANES * inputs * 9 + rest) * LANES + o % LANES] = *w;
        }
        let (mut bias, mut scale, mut shift) = (vec![0.0; padded], vec![0.0; padded], vec![0.0; padded]);
        for o in 0..outputs {
            let (factor, summand) = after.norm.map_or((1.0, 0.0), |(f, s)| (f[o], s[o]));
            bias[o] = after.bias[o];
            scale[o] = factor / out.scale;
            shift[o] = summand / out.scale + f32::from(out.zero);
        }
        let least = if after.relu { 0.0 } else { f32::MIN };
        Self { inputs, outputs, weights: packed, bias, scale, shift, least, zero: out.zero }
    }
}

/// Convolves images `[n, c, h, w]` into bytes.
///
/// # Panics
/// When a slice is shorter than its shape.
pub fn convolve_image(
    isa: Isa,
    conv: &ImageConv,
    (n, h, w): (usize, usize, usize),
    images: &[f32],
    out: &mut [u8],
) {
    let shape = ByteShape::new(n, conv.outputs, h, w);
    assert!(
        images.len() >= n * conv.inputs * h * w && out.len() >= shape.len(),
        "tensors as large as shapes"
    );
    if shape.is_empty() {
        return;
    }
    shape.frame(out, conv.zero);
    let out = SharedBytes(out.as_mut_ptr());
    let width = (w + 2).next_multiple_of(TILE) + TILE;
    let task = 8;
    (0..n * h.div_ceil(task)).into_par_iter().for_each(|i| {
        let (image, first) = (i / h.div_ceil(task), i % h.div_ceil(task) * task);
        with_scratch(conv.inputs * 3 * width, |rows| {
            for y in first..(first + task).min(h) {
                rows.fill(0.0);
                for c in 0..conv.inputs {
                    for tap in 0..3 {
                        if (1..=h).contains(&(y + tap)) {
                            let from = ((image * conv.inputs + c) * h + y + tap - 1) * w;
                            rows[(c * 3 + tap) * width + 1..][..w].copy_from_slice(&images[from..from + w]);
                        }
                    }
                }
                isa.run_int8(Row { conv, rows, width, w, out, shape, place: (image, y) });
            }
        });
    });
}

struct Row<'a> {
    conv: &'a ImageConv,
    /// Three rows of each channel, with a border of zeros.
    rows: &'a [f32],
    width: usize,
    w: usize,
    out: SharedBytes,
    shape: ByteShape,
    place: (usize, usize),
}

impl Work for Row<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Int8>(self) {
        let conv = self.conv;
        let taps = conv.inputs * 9;
        // SAFETY: entered through an `Isa`; `convolve_image` has checked the lengths, scratch rows have room for whole
        // tiles, and the row is one task's alone.
        unsafe {
            for block in 0..self.shape.blocks() {
                let weights = conv.weights.as_ptr().add(block * taps * LANES);
                let at = block * LANES;
                let bias = S::load_floats(conv.bias.as_ptr().add(at));
                let scale = S::load_floats(conv.scale.as_ptr().add(at));
                let shift = S::load_floats(conv.shift.as_ptr().add(at));
                let least = S::splat(conv.least);
                for x in (0..self.w).step_by(TILE) {
                    let mut acc = [bias; TILE];
                    for tap in 0..taps {
                        let from = self.rows.as_ptr().add(tap / 3 * self.width + tap % 3 + x);
                        let w = S::load_floats(weights.add(tap * LANES));
                        for (i, a) in acc.iter_mut().enumerate() {
                            *a = S::mul_add(S::splat(*from.add(i)), w, *a);
                        }
                    }
                    let to = self.out.at(self.shape.at(self.place.0, block, self.place.1, x));
                    for (i, a) in acc.into_iter().enumerate() {
                        if x + i < self.w {
                            let v = S::mul_add(S::max(a, least), scale, shift);
                            S::store_bytes(to.add(i * LANES), v, f32::from(super::TOP));
                        }
                    }
                }
            }
        }
    }
}
