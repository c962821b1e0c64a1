//! Classifiers made of a U-Net, whose layers bear the U-Net's names (`down.0.conv1`, ..), so that the weights of a
//! segmentation network can be taken over as the first ones: what tells infection from lung is known before the first
//! slice label is seen.
//!
//! * Encoder: the blocks and poolings of the way down, then global average pool, dense + ReLU, dropout, dense to one
//!   logit.
//! * Area: the whole U-Net, a ReLU on its map of logits, and the same layers behind it. The mean over all pixels of the
//!   positive logits grows with the area that the network marks and with how sure it is of it, so the slice is judged by
//!   a soft area, and its Grad-CAM shows which.

use super::classifier::head;
use super::graph::Builder;
use super::{Graph, Norm, Op, UnetClassifierConfig, UnetConfig, unet};

pub(super) fn encoder(c: &UnetClassifierConfig) -> Graph {
    let (mut b, input) = Builder::new(c.in_channels, 1 << (c.levels - 1));
    let (x, _) = unet::encoder(&mut b, input, &whole(c));
    head(b, x, c.dense, c.dropout, "out")
}

pub(super) fn area(c: &UnetClassifierConfig) -> Graph {
    let (mut b, input) = Builder::new(c.in_channels, 1 << (c.levels - 1));
    let logits = unet::logits(&mut b, input, &whole(c));
    let marked = b.plain("out_relu", Op::Relu, logits);
    head(b, marked, c.dense, c.dropout, "score")
}

/// The U-Net; dropout acts in the dense layers alone.
fn whole(c: &UnetClassifierConfig) -> UnetConfig {
    UnetConfig {
        in_channels: c.in_channels,
        base: c.base,
        levels: c.levels,
        dropout: 0.0,
        norm: Norm::Batch,
        norm_eps: c.norm_eps,
        norm_momentum: c.norm_momentum,
        init: c.init,
        block: c.block,
        ..UnetConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Block, NetConfig};
    use crate::weights::Weights;

    #[test]
    fn a_classifier_takes_over_every_array_of_its_part_of_the_unet_and_nothing_else() {
        let unet = |block| NetConfig::Unet(UnetConfig { base: 4, levels: 3, block, ..UnetConfig::default() });
        let config = |block| UnetClassifierConfig { base: 4, levels: 3, block, ..Default::default() };
        // per block 2 convolutions (one array) and 2 batch norms (four arrays), 3 and 3 in a residual one; 3 blocks down,
        // 2 up, each of these with a transposed convolution (two arrays); the last convolution has two
        for (block, classifier, taken) in [
            (Block::Plain, NetConfig::Encoder(config(Block::Plain)), 3 * 2 * (1 + 4)),
            (Block::Plain, NetConfig::UnetArea(config(Block::Plain)), 5 * 2 * (1 + 4) + 2 * 2 + 2),
            (Block::Residual, NetConfig::Encoder(config(Block::Residual)), 3 * 3 * (1 + 4)),
            (Block::Residual, NetConfig::UnetArea(config(Block::Residual)), 5 * 3 * (1 + 4) + 2 * 2 + 2),
        ] {
            let trained = Weights::init(&unet(block), 1).unwrap();
            let mut fresh = Weights::init(&classifier, 2).unwrap();
            let before = fresh.clone();
            assert_eq!(fresh.take_from(&trained), taken);
            fresh.check(&classifier.graph().unwrap()).unwrap();
            let area = matches!(classifier, NetConfig::UnetArea(_));
            for (name, tensor) in &fresh.tensors {
                let of_unet = name.starts_with("down.")
                    || (area && ["up.", "dec.", "out."].iter().any(|p| name.starts_with(p)));
                let right = if of_unet { &trained } else { &before };
                assert_eq!(tensor, &right.tensors[name], "{name}");
            }
        }
    }
}
