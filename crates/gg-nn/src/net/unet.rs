//! The U-Net of the paper's Fig. 8, and what can be chosen about it.
//!
//! Per level two times 3x3 convolution, batch norm, ReLU (no bias before a batch norm); 2x2 max-pool between levels;
//! in the decoder a transposed 2x2 convolution with bias, concatenation (skip first, then up), the same block again;
//! a 1x1 convolution to one logit. Levels `base, 2 base, 4 base, ..`.
//!
//! The paper puts batch normalisation and dropout into the bottleneck: dropout acts once, on the bottleneck's output
//! after its second ReLU; with one level there is no bottleneck beside that block, and it acts there.
//!
//! * Residual blocks: what goes into a block is added before its second ReLU; through a 1x1 convolution and batch norm
//!   where the numbers of channels differ, and from the image.
//! * Gated skips: with `s` the skip and `g` the up-sampled maps at its resolution, `s sigmoid(psi(relu(W_s s + W_g g)))`
//!   is concatenated instead of `s`. `W_s` and `W_g` are 1x1 convolutions to half the channels with batch norm, `psi` is
//!   one to a single channel, with a bias and no batch norm. (The source gates with the maps of the level below and
//!   brings them together at that size; it has no batch norm there.)
//! * Nested skips: node `(i, j)` is a block at level `i` on the concatenation of the nodes `(i, 0)` to `(i, j - 1)` and
//!   the up-sampled node `(i + 1, j - 1)`. The nodes `(i, 0)` are the way down, the logits come from `(0, levels - 1)`.
//!
//! * Deep supervision: 1x1 convolutions to one logit at the coarser levels of the way up, the finest of them first; with
//!   nested skips, as there, at the nodes `(0, levels - 2)` to `(0, 1)`, which have the size of the image. They are the
//!   side outputs of the graph: trained beside its logits (see `supervision.rs`), left out in prediction.
//!
//! Sources: Ronneberger et al. 2015 (arXiv 1505.04597), with "same" padding; He et al. 2016 (arXiv 1512.03385); Oktay et
//! al. 2018 (arXiv 1804.03999); Zhou et al. 2018 (arXiv 1807.10165). Golden set: `nn/unet`.

use super::graph::Builder;
use super::{Block, Graph, Norm, Op, Skips, UnetConfig};

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
    let (x, coarser) =
        if c.skips == Skips::Nested { nested(b, x, skips, c) } else { decoder(b, x, skips, c) };
    if c.deep_supervision {
        for (i, from) in coarser.into_iter().enumerate() {
            b.side(&format!("side.{}", i + 1), from);
        }
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

/// The way up; returns its last layer, and what the levels before it gave, the finest first.
fn decoder(b: &mut Builder, bottleneck: usize, skips: Vec<usize>, c: &UnetConfig) -> (usize, Vec<usize>) {
    let (mut x, mut coarser) = (bottleneck, Vec::new());
    for (level, skip) in skips.into_iter().enumerate().rev() {
        let i = c.levels - 2 - level;
        let channels = c.base << level;
        let up = b.conv_transpose(&format!("up.{i}"), x, channels);
        let skip = if c.skips == Skips::Gated { gate(b, &format!("gate.{i}"), skip, up, c) } else { skip };
        let both = b.concat(&format!("cat.{i}"), vec![skip, up]);
        x = block(b, &format!("dec.{i}"), both, channels, c);
        if level > 0 {
            coarser.insert(0, x);
        }
    }
    (x, coarser)
}

/// The nodes of U-Net++ beyond the way down; returns the last one of the finest level, and those before it, the last first.
fn nested(b: &mut Builder, bottleneck: usize, skips: Vec<usize>, c: &UnetConfig) -> (usize, Vec<usize>) {
    let mut nodes: Vec<Vec<usize>> = skips.into_iter().chain([bottleneck]).map(|x| vec![x]).collect();
    for j in 1..c.levels {
        for i in 0..c.levels - j {
            let (name, channels) = (format!("{i}.{j}"), c.base << i);
            let up = b.conv_transpose(&format!("up.{name}"), nodes[i + 1][j - 1], channels);
            let mut from = nodes[i].clone();
            from.push(up);
            let all = b.concat(&format!("cat.{name}"), from);
            let node = block(b, &format!("node.{name}"), all, channels, c);
            nodes[i].push(node);
        }
    }
    let between = (1..c.levels.saturating_sub(1)).rev().map(|j| nodes[0][j]).collect();
    (nodes[0][c.levels - 1], between)
}

fn block(b: &mut Builder, name: &str, from: usize, channels: usize, c: &UnetConfig) -> usize {
    let x = normed(b, (&format!("{name}.conv1"), &format!("{name}.bn1")), from, (channels, 3), c);
    let x = b.plain(&format!("{name}.relu1"), Op::Relu, x);
    let mut x = normed(b, (&format!("{name}.conv2"), &format!("{name}.bn2")), x, (channels, 3), c);
    if c.block == Block::Residual {
        let shortcut = if b.channels(from) == channels && !b.is_image(from) {
            from
        } else {
            normed(b, (&format!("{name}.proj"), &format!("{name}.proj_bn")), from, (channels, 1), c)
        };
        x = b.join(&format!("{name}.add"), Op::Add, x, shortcut);
    }
    b.plain(&format!("{name}.relu2"), Op::Relu, x)
}

/// The skip as far as the attention gate lets it through.
fn gate(b: &mut Builder, name: &str, skip: usize, up: usize, c: &UnetConfig) -> usize {
    let inner = (b.channels(skip) / 2).max(1);
    let of_skip = normed(b, (&format!("{name}.skip"), &format!("{name}.skip_bn")), skip, (inner, 1), c);
    let of_up = normed(b, (&format!("{name}.up"), &format!("{name}.up_bn")), up, (inner, 1), c);
    let sum = b.join(&format!("{name}.add"), Op::Add, of_skip, of_up);
    let sum = b.plain(&format!("{name}.relu"), Op::Relu, sum);
    let psi = b.conv(&format!("{name}.psi"), sum, 1, 1, true);
    b.join(&format!("{name}.gate"), Op::Gate, skip, psi)
}

/// A convolution and the batch norm after it; without batch norm a convolution with bias.
fn normed(
    b: &mut Builder,
    (conv, bn): (&str, &str),
    from: usize,
    (channels, kernel): (usize, usize),
    c: &UnetConfig,
) -> usize {
    let x = b.conv(conv, from, channels, kernel, c.norm == Norm::None);
    if c.norm == Norm::Batch { b.batch_norm(bn, x, c.norm_eps, c.norm_momentum) } else { x }
}
