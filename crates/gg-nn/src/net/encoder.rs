//! A classifier made of the encoder of a U-Net: the blocks and poolings of its way down, then global average pool,
//! dense + ReLU, dropout, dense to one logit.
//!
//! Its layers bear the names of the U-Net's (`down.0.conv1`, ..), so that weights of a segmentation network can be
//! taken over as the first ones: what tells infection from lung is known before the first slice label is seen.

use super::classifier::head;
use super::graph::Builder;
use super::unet::block;
use super::{EncoderConfig, Graph, Norm, Op, UnetConfig};

pub(super) fn graph(c: &EncoderConfig) -> Graph {
    let unet = UnetConfig {
        in_channels: c.in_channels,
        base: c.base,
        levels: c.levels,
        dropout: 0.0,
        norm: Norm::Batch,
        norm_eps: c.norm_eps,
        norm_momentum: c.norm_momentum,
        init: c.init,
    };
    let deepest = c.levels - 1;
    let (mut b, mut x) = Builder::new(c.in_channels, 1 << deepest);
    for level in 0..c.levels {
        x = block(&mut b, &format!("down.{level}"), x, c.base << level, &unet);
        if level < deepest {
            x = b.plain(&format!("pool.{level}"), Op::MaxPool, x);
        }
    }
    head(b, x, c.dense, c.dropout)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::net::NetConfig;
    use crate::weights::Weights;

    #[test]
    fn the_encoder_takes_over_every_array_of_the_unets_way_down_and_nothing_else() {
        let unet = NetConfig::Unet(UnetConfig { base: 4, levels: 3, ..UnetConfig::default() });
        let encoder = NetConfig::Encoder(EncoderConfig { base: 4, levels: 3, ..EncoderConfig::default() });
        let trained = Weights::init(&unet, 1).unwrap();
        let mut fresh = Weights::init(&encoder, 2).unwrap();
        let before = fresh.clone();
        // 3 levels of 2 convolutions (one array) and 2 batch norms (four arrays)
        assert_eq!(fresh.take_from(&trained), 3 * 2 * (1 + 4));
        fresh.check(&encoder.graph().unwrap()).unwrap();
        for (name, tensor) in &fresh.tensors {
            let right = if name.starts_with("down.") { &trained } else { &before };
            assert_eq!(tensor, &right.tensors[name], "{name}");
        }
    }
}
