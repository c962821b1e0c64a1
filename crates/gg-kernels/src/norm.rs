//! Batch norm from sums: what to read a convolution's raw result with, and what its backward pass needs.
//!
//! With batch mean m and biased variance v: `y = gamma (z - m) / sqrt(v + eps) + beta = scale z + shift`. Backward,
//! with `g` the gradient of y, M values per channel and i = 1 / sqrt(v + eps): `dbeta = sum g`,
//! `dgamma = i sum g (z - m)`, `dz = gamma i (g - dbeta / M - (z - m) i dgamma / M) = a g + b z + c`.
//!
//! Source: Ioffe and Szegedy 2015 (arXiv 1502.03167). All vectors have one float per padded channel.

use crate::conv::ChannelSums;

/// Batch norm as a scale and a shift.
#[derive(Clone, Debug, Default)]
pub struct Norm {
    /// Mean of the batch.
    pub mean: Vec<f32>,
    /// Variance of the batch, divided by the number of values.
    pub variance: Vec<f32>,
    /// Factor.
    pub scale: Vec<f32>,
    /// Summand.
    pub shift: Vec<f32>,
}

/// The backward pass of batch norm.
#[derive(Clone, Debug, Default)]
pub struct NormGradient {
    /// Gradient of gamma.
    pub gamma: Vec<f32>,
    /// Gradient of beta.
    pub beta: Vec<f32>,
    /// As in [`crate::Gradient`].
    pub a: Vec<f32>,
    /// As in [`crate::Gradient`].
    pub b: Vec<f32>,
    /// As in [`crate::Gradient`].
    pub c: Vec<f32>,
}

/// Batch norm of a batch with these sums over `count` values per channel.
pub fn norm_of_batch(sums: &ChannelSums, count: usize, gamma: &[f32], beta: &[f32], eps: f64) -> Norm {
    let mut norm = Norm::default();
    for (i, (sum, squares)) in sums.sum.iter().zip(&sums.squares).enumerate() {
        let mean = sum / count as f64;
        let variance = (squares / count as f64 - mean * mean).max(0.0);
        let scale = f64::from(gamma[i]) / (variance + eps).sqrt();
        norm.mean.push(mean as f32);
        norm.variance.push(variance as f32);
        norm.scale.push(scale as f32);
        norm.shift.push((f64::from(beta[i]) - mean * scale) as f32);
    }
    norm
}

/// Batch norm with running statistics.
pub fn norm_of_running(mean: &[f32], variance: &[f32], gamma: &[f32], beta: &[f32], eps: f64) -> Norm {
    let mut norm = Norm { mean: mean.to_vec(), variance: variance.to_vec(), ..Norm::default() };
    for i in 0..mean.len() {
        let scale = f64::from(gamma[i]) / (f64::from(variance[i]) + eps).sqrt();
        norm.scale.push(scale as f32);
        norm.shift.push((f64::from(beta[i]) - f64::from(mean[i]) * scale) as f32);
    }
    norm
}

/// The backward pass from the sums of [`crate::gradient_sums`].
pub fn norm_backward(norm: &Norm, sums: &ChannelSums, count: usize, gamma: &[f32], eps: f64) -> NormGradient {
    let mut out = NormGradient::default();
    let m = count as f64;
    for i in 0..norm.mean.len() {
        let inverse = 1.0 / (f64::from(norm.variance[i]) + eps).sqrt();
        let (d_beta, d_gamma) = (sums.sum[i], inverse * sums.squares[i]);
        let a = f64::from(gamma[i]) * inverse;
        let b = -a * inverse * d_gamma / m;
        out.gamma.push(d_gamma as f32);
        out.beta.push(d_beta as f32);
        out.a.push(a as f32);
        out.b.push(b as f32);
        out.c.push((-a * d_beta / m - b * f64::from(norm.mean[i])) as f32);
    }
    out
}
