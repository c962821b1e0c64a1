//! A network as a list of layers in the order of computation, each naming its inputs by index.
//!
//! Parameters carry PyTorch's names and shapes: `weight` of a convolution `[out, in, 3, 3]`, of a transposed one
//! `[in, out, 2, 2]`, of a linear layer `[out, in]`; batch norm has `weight`, `bias`, `running_mean`, `running_var`.
//! The output of the last layer is logits: `[n, 1, h, w]` or `[n, 1, 1, 1]`. Side outputs, where a network has them, are
//! logits too, for training alone.

use super::NetError;

/// Channels, rows, columns of one layer's output.
pub type Shape = [usize; 3];

/// What a layer computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    /// The image itself; layer 0.
    Input,
    /// Convolution, stride 1, zero padding that keeps the size.
    Conv {
        /// Side of the kernel, 1 or 3.
        kernel: usize,
        /// Whether a bias is added.
        bias: bool,
    },
    /// Transposed convolution 2x2 with stride 2 and bias: doubles both sides.
    ConvTranspose,
    /// Batch normalisation: batch statistics (biased variance) in training, running ones in prediction.
    BatchNorm {
        /// Added to the variance before its root.
        eps: f64,
        /// Share of the old running statistics that is kept per step.
        momentum: f64,
    },
    /// `max(0, x)`.
    Relu,
    /// Maximum of 2x2 blocks; an odd last row or column is left out.
    MaxPool,
    /// Channels of the first input, then those of the second, and so on.
    Concat,
    /// Sum of two inputs of one shape.
    Add,
    /// The first input times the sigmoid of the second, which has one channel.
    Gate,
    /// Mean over all pixels of a channel: `[c, h, w]` to `[c, 1, 1]`.
    GlobalAvgPool,
    /// Dense layer with bias on `[c, 1, 1]`.
    Linear,
    /// Sets values to zero in training, with the others scaled by `1 / (1 - rate)`; nothing in prediction.
    Dropout {
        /// Share set to zero.
        rate: f64,
    },
}

/// One step of the computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Prefix of the layer's parameters, e.g. `down.0.conv1`.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// Indices of the layers whose outputs it takes; all smaller than its own index.
    pub inputs: Vec<usize>,
    /// Channels of its output.
    pub channels: usize,
}

/// What a parameter is, which decides its first value and whether the optimiser touches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Kernel or matrix, drawn at random with these fans.
    Weight {
        /// Inputs of one output value.
        fan_in: usize,
        /// Outputs of one input value.
        fan_out: usize,
    },
    /// First value 0.
    Bias,
    /// Scale of a batch norm, first value 1.
    Gamma,
    /// Running mean of a batch norm, first value 0, not trained.
    RunningMean,
    /// Running variance of a batch norm, first value 1, not trained.
    RunningVar,
}

/// One named array of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Name as in PyTorch's state dict.
    pub name: String,
    /// Shape as in PyTorch.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParamKind,
}

/// A network: layers and the parameters they name.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// In the order of computation; the last one's output is the logits.
    pub layers: Vec<Layer>,
    /// In the order of layers.
    pub params: Vec<Param>,
    /// Sides of an image must be a multiple of this.
    pub side_multiple: usize,
    /// Layers that give logits for training alone, `[n, 1, h, w]`, the one that counts most first.
    pub sides: Vec<usize>,
}

impl Param {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the optimiser changes it.
    pub fn trained(&self) -> bool {
        !matches!(self.kind, ParamKind::RunningMean | ParamKind::RunningVar)
    }
}

impl Graph {
    /// Channels of the input image.
    pub fn in_channels(&self) -> usize {
        self.layers.first().map_or(0, |l| l.channels)
    }

    /// Output shape of every layer for an image of this size.
    ///
    /// # Errors
    /// Sides that the poolings cannot halve evenly, or that end below one pixel.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, NetError> {
        let m = self.side_multiple;
        let wrong = NetError::ImageSize { height, width, multiple: m };
        if height == 0 || width == 0 || !height.is_multiple_of(m) || !width.is_multiple_of(m) {
            return Err(wrong);
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let from = layer.inputs.first().map_or([layer.channels, height, width], |&i| shapes[i]);
            let [_, h, w] = from;
            shapes.push(match layer.op {
                Op::MaxPool => [layer.channels, h / 2, w / 2],
                Op::ConvTranspose => [layer.channels, h * 2, w * 2],
                Op::GlobalAvgPool | Op::Linear => [layer.channels, 1, 1],
                _ => [layer.channels, h, w],
            });
        }
        Ok(shapes)
    }

    /// Values of the output per image: one, or one per pixel.
    ///
    /// # Errors
    /// As [`Graph::shapes`].
    pub fn output_len(&self, height: usize, width: usize) -> Result<usize, NetError> {
        Ok(self.shapes(height, width)?.last().map_or(0, |s| s.iter().product()))
    }

    /// The layers that give logits: the last one, then the side outputs.
    pub fn ends(&self) -> Vec<usize> {
        self.layers.len().checked_sub(1).into_iter().chain(self.sides.iter().copied()).collect()
    }

    /// Whether the output of each layer reaches that of the last one; the others are for training alone.
    pub fn reaches_output(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.layers.len()];
        if let Some(last) = reaches.last_mut() {
            *last = true;
        }
        for (i, layer) in self.layers.iter().enumerate().rev() {
            if reaches[i] {
                layer.inputs.iter().for_each(|&j| reaches[j] = true);
            }
        }
        reaches
    }

    /// Whether the output has one value per pixel.
    pub fn segments(&self) -> bool {
        !self.layers.iter().any(|l| l.op == Op::GlobalAvgPool)
    }

    /// Number of values that the optimiser changes.
    pub fn trained_values(&self) -> usize {
        self.params.iter().filter(|p| p.trained()).map(Param::len).sum()
    }
}

/// Appends layers one by one; each method returns the index of the new layer.
pub(super) struct Builder {
    graph: Graph,
}

impl Builder {
    pub(super) fn new(in_channels: usize, side_multiple: usize) -> (Self, usize) {
        let input = Layer { name: "input".into(), op: Op::Input, inputs: vec![], channels: in_channels };
        (Self { graph: Graph { layers: vec![input], params: vec![], side_multiple, sides: vec![] } }, 0)
    }

    pub(super) fn finish(self) -> Graph {
        self.graph
    }

    pub(super) fn conv(&mut self, name: &str, from: usize, out: usize, kernel: usize, bias: bool) -> usize {
        let inp = self.channels(from);
        let area = kernel * kernel;
        let kind = ParamKind::Weight { fan_in: inp * area, fan_out: out * area };
        self.param(name, "weight", vec![out, inp, kernel, kernel], kind);
        if bias {
            self.param(name, "bias", vec![out], ParamKind::Bias);
        }
        self.push(name, Op::Conv { kernel, bias }, vec![from], out)
    }

    pub(super) fn conv_transpose(&mut self, name: &str, from: usize, out: usize) -> usize {
        let inp = self.channels(from);
        // Keras's fans of a transposed kernel [2, 2, out, in]: in = 4 out, out = 4 in; with stride 2 each output value
        // sees one kernel position, so the inputs of one output value are `in`.
        let kind = ParamKind::Weight { fan_in: inp, fan_out: out * 4 };
        self.param(name, "weight", vec![inp, out, 2, 2], kind);
        self.param(name, "bias", vec![out], ParamKind::Bias);
        self.push(name, Op::ConvTranspose, vec![from], out)
    }

    pub(super) fn batch_norm(&mut self, name: &str, from: usize, eps: f64, momentum: f64) -> usize {
        let c = self.channels(from);
        self.param(name, "weight", vec![c], ParamKind::Gamma);
        self.param(name, "bias", vec![c], ParamKind::Bias);
        self.param(name, "running_mean", vec![c], ParamKind::RunningMean);
        self.param(name, "running_var", vec![c], ParamKind::RunningVar);
        self.push(name, Op::BatchNorm { eps, momentum }, vec![from], c)
    }

    pub(super) fn linear(&mut self, name: &str, from: usize, out: usize) -> usize {
        let inp = self.channels(from);
        self.param(name, "weight", vec![out, inp], ParamKind::Weight { fan_in: inp, fan_out: out });
        self.param(name, "bias", vec![out], ParamKind::Bias);
        self.push(name, Op::Linear, vec![from], out)
    }

    /// A layer without parameters that keeps the number of channels.
    pub(super) fn plain(&mut self, name: &str, op: Op, from: usize) -> usize {
        let c = self.channels(from);
        self.push(name, op, vec![from], c)
    }

    pub(super) fn concat(&mut self, name: &str, from: Vec<usize>) -> usize {
        let c = from.iter().map(|&i| self.channels(i)).sum();
        self.push(name, Op::Concat, from, c)
    }

    /// A side output: a 1x1 convolution to one logit.
    pub(super) fn side(&mut self, name: &str, from: usize) {
        let side = self.conv(name, from, 1, 1, true);
        self.graph.sides.push(side);
    }

    /// [`Op::Add`] or [`Op::Gate`].
    pub(super) fn join(&mut self, name: &str, op: Op, first: usize, second: usize) -> usize {
        let c = self.channels(first);
        self.push(name, op, vec![first, second], c)
    }

    /// Whether a layer is the image itself.
    pub(super) fn is_image(&self, layer: usize) -> bool {
        self.graph.layers[layer].op == Op::Input
    }

    pub(super) fn channels(&self, layer: usize) -> usize {
        self.graph.layers[layer].channels
    }

    fn param(&mut self, layer: &str, name: &str, shape: Vec<usize>, kind: ParamKind) {
        self.graph.params.push(Param { name: format!("{layer}.{name}"), shape, kind });
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<usize>, channels: usize) -> usize {
        self.graph.layers.push(Layer { name: name.to_owned(), op, inputs, channels });
        self.graph.layers.len() - 1
    }
}
