//! The two slice classifiers of the paper's lineage (Fig. 6, 7).
//!
//! * A: per width convolution 3x3 with bias, ReLU, max-pool 2, batch norm; global average pool; dense + ReLU; dropout;
//!   dense to one logit.
//! * B: per width two times (convolution 3x3 with bias, ReLU, batch norm), then max-pool 2; global average pool (where
//!   the lineage leaves flatten or pool open, pooling keeps the weights independent of the image's size); dense + ReLU;
//!   dropout; dense to one logit.
//!
//! Golden set: `nn/classifiers`.

use super::graph::Builder;
use super::{ClassifierAConfig, ClassifierBConfig, Graph, Op};

pub(super) fn graph_a(c: &ClassifierAConfig) -> Graph {
    let (mut b, mut x) = Builder::new(c.in_channels, 1 << c.widths.len());
    for (i, &width) in c.widths.iter().enumerate() {
        x = b.conv(&format!("conv.{i}"), x, width, 3, true);
        x = b.plain(&format!("relu.{i}"), Op::Relu, x);
        x = b.plain(&format!("pool.{i}"), Op::MaxPool, x);
        x = b.batch_norm(&format!("bn.{i}"), x, c.norm_eps, c.norm_momentum);
    }
    head(b, x, c.dense, c.dropout, "out")
}

pub(super) fn graph_b(c: &ClassifierBConfig) -> Graph {
    let (mut b, mut x) = Builder::new(c.in_channels, 1 << c.widths.len());
    for (i, &width) in c.widths.iter().enumerate() {
        for j in 1..=2 {
            x = b.conv(&format!("pair.{i}.conv{j}"), x, width, 3, true);
            x = b.plain(&format!("pair.{i}.relu{j}"), Op::Relu, x);
            x = b.batch_norm(&format!("pair.{i}.bn{j}"), x, c.norm_eps, c.norm_momentum);
        }
        x = b.plain(&format!("pool.{i}"), Op::MaxPool, x);
    }
    head(b, x, c.dense, c.dropout, "out")
}

/// From maps to one logit; `last` names the layer that gives it.
pub(super) fn head(mut b: Builder, from: usize, dense: usize, dropout: f64, last: &str) -> Graph {
    let x = b.plain("gap", Op::GlobalAvgPool, from);
    let x = b.linear("dense", x, dense);
    let mut x = b.plain("dense_relu", Op::Relu, x);
    if dropout > 0.0 {
        x = b.plain("dropout", Op::Dropout { rate: dropout }, x);
    }
    b.linear(last, x, 1);
    b.finish()
}
