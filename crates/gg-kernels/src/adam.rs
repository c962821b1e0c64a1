//! One step of Adam on one array.
//!
//! With decays b1, b2 and the gradient g: `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g g`,
//! `w -= rate m / (sqrt(v) / root + eps)`; the caller puts the corrections of the first steps into `rate` and `root`.
//! Every operation is rounded by itself, in this order: the same bytes on every instruction set.
//!
//! Source: Kingma and Ba 2015 (arXiv 1412.6980), algorithm 1, as PyTorch computes it.

use crate::Isa;
use crate::simd::{Kernel, Simd};
use rayon::prelude::*;

/// Values per task.
const CHUNK: usize = 1 << 15;

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// Learning rate over `1 - b1^t`.
    pub rate: f32,
    /// Square root of `1 - b2^t`.
    pub root: f32,
    /// Decays of the moments.
    pub betas: (f32, f32),
    /// One minus each decay.
    pub rests: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
}

/// Moves weights `w` and moments `m`, `v` by the gradient `g`.
///
/// # Panics
/// When the arrays have different lengths.
pub fn adam_step(isa: Isa, step: AdamStep, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
    assert!(w.len() == g.len() && m.len() == g.len() && v.len() == g.len(), "arrays of one length");
    let chunks = w.par_chunks_mut(CHUNK).zip(m.par_chunks_mut(CHUNK));
    chunks.zip(v.par_chunks_mut(CHUNK)).zip(g.par_chunks(CHUNK)).for_each(|(((w, m), v), g)| {
        isa.run(Adam { step, w, m, v, g });
    });
}

struct Adam<'a> {
    step: AdamStep,
    w: &'a mut [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    g: &'a [f32],
}

impl Kernel for Adam<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        let s = self.step;
        let whole = self.g.len() / S::L * S::L;
        // SAFETY: entered through an `Isa`; all four arrays have one length, and `i + L` is at most that.
        unsafe {
            let (b1, b2, c1, c2) =
                (S::splat(s.betas.0), S::splat(s.betas.1), S::splat(s.rests.0), S::splat(s.rests.1));
            let (rate, root, eps) = (S::splat(s.rate), S::splat(s.root), S::splat(s.eps));
            for i in (0..whole).step_by(S::L) {
                let g = S::load(self.g.as_ptr().add(i));
                let m = S::add(S::mul(b1, S::load(self.m.as_ptr().add(i))), S::mul(c1, g));
                let v = S::add(S::mul(b2, S::load(self.v.as_ptr().add(i))), S::mul(S::mul(c2, g), g));
                let below = S::add(S::div(S::sqrt(v), root), eps);
                let w = S::sub(S::load(self.w.as_ptr().add(i)), S::div(S::mul(rate, m), below));
                S::store(self.m.as_mut_ptr().add(i), m);
                S::store(self.v.as_mut_ptr().add(i), v);
                S::store(self.w.as_mut_ptr().add(i), w);
            }
        }
        for i in whole..self.g.len() {
            let g = self.g[i];
            self.m[i] = s.betas.0 * self.m[i] + s.rests.0 * g;
            self.v[i] = s.betas.1 * self.v[i] + s.rests.1 * g * g;
            self.w[i] -= s.rate * self.m[i] / (self.v[i].sqrt() / s.root + s.eps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_adam_is_the_same_bytes_on_every_instruction_set() {
        let values =
            |k: usize| (0..101).map(|i| ((i * 37 + k * 11) % 23) as f32 / 7.0 - 1.0).collect::<Vec<_>>();
        let step = AdamStep { rate: 0.01, root: 0.3, betas: (0.9, 0.999), rests: (0.1, 0.001), eps: 1e-7 };
        let right: Vec<f32> = (0..101)
            .map(|i| {
                let (g, m, v) = (values(3)[i], values(1)[i], values(2)[i].abs());
                let (m, v) = (0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g);
                values(0)[i] - 0.01 * m / (v.sqrt() / 0.3 + 1e-7)
            })
            .collect();
        for isa in Isa::available() {
            let (mut w, mut m, mut v) = (values(0), values(1), values(2));
            v.iter_mut().for_each(|v| *v = v.abs());
            adam_step(isa, step, &mut w, &mut m, &mut v, &values(3));
            assert_eq!(w, right, "{isa}");
        }
    }
}
