//! Dense layers on plain arrays: `y = W x + b` with W `[out, in]`, x `[n, in]`. Small beside the convolutions.

use rayon::prelude::*;

/// Partial sums that the compiler can keep in one vector; their order is fixed.
const LANES: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            acc[i] += x[i] * y[i];
        }
    }
    acc.iter().sum::<f32>() + rest
}

/// `y = W x + b`.
pub fn dense(x: &[f32], weight: &[f32], bias: &[f32], n: usize, y: &mut [f32]) {
    let (outs, ins) = (bias.len(), weight.len() / bias.len().max(1));
    y[..n * outs].par_chunks_mut(outs).zip(x.par_chunks(ins)).for_each(|(y, x)| {
        for (o, y) in y.iter_mut().enumerate() {
            *y = bias[o] + dot(&weight[o * ins..][..ins], x);
        }
    });
}

/// From the gradient `dy` of [`dense`]: those of x, W and b.
pub fn dense_backward(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    n: usize,
    outs: usize,
    (dx, d_weight, d_bias): (&mut [f32], &mut [f32], &mut [f32]),
) {
    let ins = weight.len() / outs.max(1);
    d_bias.fill(0.0);
    for dy in dy[..n * outs].chunks_exact(outs) {
        for (d, g) in d_bias.iter_mut().zip(dy) {
            *d += g;
        }
    }
    d_weight.par_chunks_mut(ins).enumerate().for_each(|(o, d)| {
        d.fill(0.0);
        for image in 0..n {
            let g = dy[image * outs + o];
            for (d, x) in d.iter_mut().zip(&x[image * ins..][..ins]) {
                *d += g * x;
            }
        }
    });
    dx[..n * ins].par_chunks_mut(ins).enumerate().for_each(|(image, d)| {
        d.fill(0.0);
        for o in 0..outs {
            let g = dy[image * outs + o];
            for (d, w) in d.iter_mut().zip(&weight[o * ins..][..ins]) {
                *d += g * w;
            }
        }
    });
}
