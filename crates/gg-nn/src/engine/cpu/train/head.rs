//! The dense layers behind the last step, and back.

use super::super::linear;
use super::super::program::Flat;
use crate::engine::{DropoutKey, dropout_mask};
use crate::weights::{Tensor, Weights};
use gg_kernels::dense_backward;

/// The dense layers: logits, and the input of each layer (for dropout its factors).
pub(super) fn head_forward(
    head: &[Flat],
    weights: &Weights,
    mut x: Vec<f32>,
    n: usize,
    key: DropoutKey,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut kept = Vec::new();
    for layer in head {
        match layer {
            Flat::Linear { name, outputs } => {
                let y = linear(&x, weights, name, n, *outputs);
                kept.push(std::mem::replace(&mut x, y));
            }
            Flat::Relu => {
                kept.push(x.clone());
                x.iter_mut().for_each(|v| *v = v.max(0.0));
            }
            Flat::Dropout { rate, layer } => {
                let mask = dropout_mask(key, *layer, *rate, x.len());
                x.iter_mut().zip(&mask).for_each(|(v, m)| *v *= m);
                kept.push(mask);
            }
        }
    }
    (x, kept)
}

/// Gradient of the head's input.
pub(super) fn head_backward(
    head: &[Flat],
    weights: &Weights,
    kept: &[Vec<f32>],
    mut dy: Vec<f32>,
    n: usize,
    by_param: &mut Weights,
) -> Vec<f32> {
    for (layer, x) in head.iter().zip(kept).rev() {
        match layer {
            Flat::Linear { name, outputs } => {
                let weight = weights.values(&format!("{name}.weight"));
                let mut dx = vec![0.0; x.len()];
                let mut dw = Tensor::filled(&[*outputs, weight.len() / (*outputs).max(1)], 0.0);
                let mut db = Tensor::filled(&[*outputs], 0.0);
                dense_backward(x, weight, &dy, n, *outputs, (&mut dx, &mut dw.values, &mut db.values));
                by_param.tensors.insert(format!("{name}.weight"), dw);
                by_param.tensors.insert(format!("{name}.bias"), db);
                dy = dx;
            }
            Flat::Relu => {
                dy.iter_mut().zip(x).for_each(|(g, x)| {
                    if *x <= 0.0 {
                        *g = 0.0;
                    }
                });
            }
            Flat::Dropout { .. } => dy.iter_mut().zip(x).for_each(|(g, m)| *g *= m),
        }
    }
    dy
}
