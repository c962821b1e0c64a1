//! The table of layers (the paper's Fig. 6), parameters and floating-point operations of a network.

use super::{Graph, NetError, Op, Shape};
use serde::Serialize;
use std::fmt;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRow {
    /// Prefix of the layer's parameters.
    pub name: String,
    /// What it computes, in words.
    pub kind: String,
    /// What it computes.
    #[serde(skip)]
    pub op: Op,
    /// Channels, rows, columns of its output.
    pub output: Shape,
    /// Number of its parameters, running statistics included.
    pub params: usize,
    /// Floating-point operations of one image; a multiply-add counts two, only convolutions and dense layers count.
    pub flops: u64,
}

/// All layers of a network at one image size; `Display` prints it as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetTable {
    /// In the order of computation.
    pub rows: Vec<LayerRow>,
    /// Values that the optimiser changes.
    pub trained: usize,
    /// Running statistics.
    pub not_trained: usize,
    /// Floating-point operations of one image.
    pub flops: u64,
}

impl Graph {
    /// The table of layers for an image of this size.
    ///
    /// # Errors
    /// As [`Graph::shapes`].
    pub fn table(&self, height: usize, width: usize) -> Result<NetTable, NetError> {
        let shapes = self.shapes(height, width)?;
        let mut rows = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let prefix = format!("{}.", layer.name);
            let params = self
                .params
                .iter()
                .filter(|p| p.name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('.')))
                .map(super::Param::len)
                .sum();
            let [c, h, w] = shapes[i];
            let inp = layer.inputs.first().map_or(0, |&j| shapes[j][0]);
            let macs = match layer.op {
                Op::Conv { kernel, .. } => c * h * w * inp * kernel * kernel,
                Op::ConvTranspose | Op::Linear => c * h * w * inp,
                _ => 0,
            };
            rows.push(LayerRow {
                name: layer.name.clone(),
                kind: words(layer.op),
                op: layer.op,
                output: shapes[i],
                params,
                flops: 2 * macs as u64,
            });
        }
        let trained = self.trained_values();
        let all: usize = rows.iter().map(|r| r.params).sum();
        let flops = rows.iter().map(|r| r.flops).sum();
        Ok(NetTable { rows, trained, not_trained: all - trained, flops })
    }
}

impl fmt::Display for NetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:<28} {:>16} {:>10}", "layer", "kind", "output", "parameters")?;
        for r in &self.rows {
            let [c, h, w] = r.output;
            let output = format!("{c} x {h} x {w}");
            writeln!(f, "{:<16} {:<28} {output:>16} {:>10}", r.name, r.kind, r.params)?;
        }
        write!(
            f,
            "trained {}, not trained {}, {:.3} GFLOP per image",
            self.trained,
            self.not_trained,
            self.flops as f64 / 1e9
        )
    }
}

fn words(op: Op) -> String {
    match op {
        Op::Input => "input".into(),
        Op::Conv { kernel, .. } => format!("convolution {kernel}x{kernel}"),
        Op::ConvTranspose => "transposed convolution 2x2".into(),
        Op::BatchNorm { .. } => "batch normalisation".into(),
        Op::Relu => "ReLU".into(),
        Op::MaxPool => "max-pool 2x2".into(),
        Op::Concat => "concatenation".into(),
        Op::Add => "sum".into(),
        Op::Gate => "attention gate".into(),
        Op::GlobalAvgPool => "global average pool".into(),
        Op::Linear => "dense".into(),
        Op::Dropout { rate } => format!("dropout {rate}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::net::{Block, ClassifierAConfig, NetConfig, Skips, UnetConfig};

    #[test]
    fn the_unet_of_base_32_has_7_76_million_parameters_and_24_07_gflop_per_slice_of_256() {
        let graph = NetConfig::Unet(UnetConfig::default()).graph().unwrap();
        assert_eq!(graph.trained_values(), 7_762_465);
        let table = graph.table(256, 256).unwrap();
        assert_eq!((table.flops as f64 / 1e7).round(), 2407.0);
    }

    /// Trained values of U-Net++ of base 32 and five levels, summed up node by node.
    const NESTED: usize = 9_045_249;

    #[test]
    fn what_is_chosen_about_a_unet_has_its_parameters_and_its_sizes() {
        let plain = UnetConfig::default;
        // 1x1 convolutions (and batch norms of two values a channel) from what goes into a block to what comes out
        let projections: usize = [(1, 32), (32, 64), (64, 128), (128, 256), (256, 512)]
            .into_iter()
            .chain([(512, 256), (256, 128), (128, 64), (64, 32)])
            .map(|(from, to)| from * to + 2 * to)
            .sum();
        // two 1x1 convolutions to half the channels with batch norms, and one to a single channel with a bias
        let gates: usize = [32, 64, 128, 256].iter().map(|c| c * c + 2 * c + c / 2 + 1).sum();
        for (config, right, sides) in [
            (UnetConfig { block: Block::Residual, ..plain() }, 7_762_465 + projections, vec![]),
            (UnetConfig { skips: Skips::Gated, ..plain() }, 7_762_465 + gates, vec![]),
            (UnetConfig { skips: Skips::Nested, ..plain() }, NESTED, vec![]),
            (
                UnetConfig { deep_supervision: true, ..plain() },
                7_762_465 + (64 + 1) + (128 + 1) + (256 + 1),
                vec![128, 64, 32],
            ),
            (
                UnetConfig { skips: Skips::Nested, deep_supervision: true, ..plain() },
                NESTED + 3 * (32 + 1),
                vec![256; 3],
            ),
        ] {
            let graph = NetConfig::Unet(config).graph().unwrap();
            assert_eq!(graph.trained_values(), right);
            let table = graph.table(256, 256).unwrap();
            assert_eq!(table.rows.last().unwrap().output, [1, 256, 256]);
            let found: Vec<_> = graph.sides.iter().map(|&i| table.rows[i].output).collect();
            assert_eq!(found, sides.iter().map(|&s| [1, s, s]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_table_of_classifier_a_ends_on_one_value_and_counts_every_parameter() {
        let graph = NetConfig::ClassifierA(ClassifierAConfig::default()).graph().unwrap();
        let table = graph.table(128, 128).unwrap();
        assert_eq!(table.rows.last().unwrap().output, [1, 1, 1]);
        assert_eq!(table.trained, 576 + 64 + 36_928 + 73_856 + 295_168 + 1024 + 131_584 + 513);
        assert_eq!(table.not_trained, 1024);
        assert!(table.to_string().contains("global average pool"));
    }

    #[test]
    fn an_image_that_the_poolings_cannot_halve_is_refused() {
        let graph = NetConfig::Unet(UnetConfig::default()).graph().unwrap();
        let error = graph.shapes(100, 128).unwrap_err().to_string();
        assert_eq!(error, "image of 100 x 128 pixels, this network takes sides divisible by 16");
    }
}
