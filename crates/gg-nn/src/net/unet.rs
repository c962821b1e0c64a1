//! The U-Net of the paper's Fig. 8.
//!
//! Per level two times 3x3 convolution, batch norm, ReLU (no bias before a batch norm); 2x2 max-pool between levels;
//! in the decoder a transposed 2x2 convolution with bias, concatenation (skip first, then up), the same block again;
//! a 1x1 convolution to one logit. Levels `base, 2 base, 4 base, ..`.
//!
//! The paper puts batch normalisation and dropout into the bottleneck: dropout acts once, on the bottleneck's output
//! after its second ReLU; with one level there is no bottleneck beside that block, and it acts there.
//!
//! Source: Ronneberger et al. 2015 (arXiv 1505.04597), with "same" padding. Golden set: `nn/unet`.

use super::graph::Builder;
use super::{Graph, Norm, Op, UnetConfig};

pub(super) fn graph(c: &UnetConfig) -> Graph {
    let (mut b, input) = Builder::new(c.in_channels, 1 << (c.levels - 1));
    logits(&mut b, input, c);
    b.finish()
}

/// The whole network; returns its last layer, one logit per pixel.
pub(super) fn logits(b: &mut Builder, input: usize, c: &UnetConfig) -> usize {
    let (mut x, skips) = encoder(b, input, c);
    if c.dropout > 0.0 {
        x = b.plain("dropout", Op::Dropout { rate: c.dropout }, x);
    }
    for (level, skip) in skips.into_iter().enumerate().rev() {
        let i = c.levels - 2 - level;
        let channels = c.base << level;
        let up = b.conv_transpose(&format!("up.{i}"), x, channels);
        let both = b.concat(&format!("cat.{i}"), skip, up);
        x = block(b, &format!("dec.{i}"), both, channels, c);
    }
    b.conv("out", x, 1, 1, true)
}

/// The way down; returns its last layer and what the way up takes over, from the finest level on.
pub(super) fn encoder(b: &mut Builder, input: usize, c: &UnetConfig) -> (usize, Vec<usize>) {
    let (mut x, mut skips) = (input, Vec::new());
    for level in 0..c.levels {
        x = block(b, &format!("down.{level}"), x, c.base << level, c);
        if level + 1 < c.levels {
            skips.push(x);
            x = b.plain(&format!("pool.{level}"), Op::MaxPool, x);
        }
    }
    (x, skips)
}

fn block(b: &mut Builder, name: &str, from: usize, channels: usize, c: &UnetConfig) -> usize {
    let mut x = from;
    for i in 1..=2 {
        x = b.conv(&format!("{name}.conv{i}"), x, channels, 3, c.norm == Norm::None);
        if c.norm == Norm::Batch {
            x = b.batch_norm(&format!("{name}.bn{i}"), x, c.norm_eps, c.norm_momentum);
        }
        x = b.plain(&format!("{name}.relu{i}"), Op::Relu, x);
    }
    x
}
