//! Parameters in the order of the kernels, and buffers that are used again.

use super::program::{Kind, Program};
use crate::weights::{Tensor, Weights};
use gg_kernels::{
    After, Buffer, ChannelSums, ConvPlan, Dest, Isa, Precision, Source, WinogradWeights, backward_weights,
    backward_weights_winograd, forward, forward_winograd, padded,
};

/// Buffers kept for the next tensor, step and batch.
#[derive(Default)]
pub(super) struct Pool {
    free: Vec<Buffer>,
    /// Arrays of the last step's gradients, by name.
    pub(super) spare: Weights,
}

impl Pool {
    /// A buffer of at least `len` floats, contents arbitrary: the smallest that fits.
    pub(super) fn take(&mut self, len: usize) -> Buffer {
        let fits = self.free.iter().enumerate().filter(|(_, b)| b.len() >= len && b.len() <= 2 * len);
        if len == 0 {
            return Buffer::default();
        }
        match fits.min_by_key(|(_, b)| b.len()).map(|(i, _)| i) {
            Some(i) => self.free.swap_remove(i),
            None => Buffer::zeros(len),
        }
    }

    /// An array of this shape, contents arbitrary: last step's of this name if there was one.
    pub(super) fn tensor(&mut self, name: &str, shape: &[usize]) -> Tensor {
        match self.spare.tensors.remove(name) {
            Some(tensor) if tensor.shape == shape => tensor,
            _ => Tensor::filled(shape, 0.0),
        }
    }

    /// Gives a buffer back.
    pub(super) fn give(&mut self, buffer: Buffer) {
        if !buffer.is_empty() {
            self.free.push(buffer);
        }
    }
}

/// Parameters of one step; vectors have one float per padded channel.
#[derive(Clone)]
pub(super) struct Params {
    /// Packed weights.
    pub(super) weights: Buffer,
    pub(super) bias: Vec<f32>,
    pub(super) gamma: Vec<f32>,
    pub(super) beta: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

impl Params {
    /// Weights of a 1x1 convolution to one channel, one per padded channel of its source, and the bias.
    pub(super) fn to_logits(&self, isa: Isa, source: &Source<'_>) -> (Vec<f32>, f32) {
        // Packed, each input lane has a vector of output lanes, of which the first alone holds a channel.
        let lanes = (0..padded(source.channels, isa)).map(|c| self.weights[c * isa.lanes()]);
        (lanes.collect(), self.bias.first().copied().unwrap_or(0.0))
    }
}

impl Default for Params {
    fn default() -> Self {
        let empty = Vec::new;
        Self {
            weights: Buffer::default(),
            bias: empty(),
            gamma: empty(),
            beta: empty(),
            mean: empty(),
            variance: empty(),
        }
    }
}

/// A vector with one float per padded channel; the lanes without a channel hold `rest`.
fn vector(isa: Isa, values: &[f32], rest: f32) -> Vec<f32> {
    let mut v = values.to_vec();
    v.resize(padded(values.len(), isa), rest);
    v
}

/// Takes the weights of all steps over.
pub(super) fn load(isa: Isa, program: &Program, weights: &Weights, params: &mut Vec<Params>) {
    params.resize_with(program.steps.len(), Params::default);
    for (step, to) in program.steps.iter().zip(params) {
        if let Kind::Conv { plan, name, bias, .. } = &step.kind {
            to.weights.reserve(plan.packed_len(isa));
            plan.pack(isa, weights.values(&format!("{name}.weight")), &mut to.weights);
            to.bias =
                if *bias { vector(isa, weights.values(&format!("{name}.bias")), 0.0) } else { Vec::new() };
        }
        if let Some(norm) = &step.norm {
            let get =
                |suffix: &str, rest| vector(isa, weights.values(&format!("{}.{suffix}", norm.name)), rest);
            to.gamma = get("weight", 0.0);
            to.beta = get("bias", 0.0);
            to.mean = get("running_mean", 0.0);
            to.variance = get("running_var", 1.0);
        }
    }
}

/// How a convolution is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Direct(Precision),
    /// A 3x3 convolution with a quarter of the multiplications.
    Winograd(Precision),
    /// The same, transforming the packed weights on the way.
    WinogradWithin(Precision),
}

impl Way {
    /// The fastest for images of this size; whether there are several makes no difference.
    pub(super) fn of(isa: Isa, plan: &ConvPlan, precision: Precision, size: (usize, usize)) -> Self {
        match (plan.suits_winograd(isa, size), plan.transforms_within(isa, size)) {
            (true, false) => Self::Winograd(precision),
            (true, true) => Self::WinogradWithin(precision),
            (false, _) => Self::Direct(precision),
        }
    }

    /// The same for training, where gradients are to be no noisier than direct sums in bf16: by Winograd in fp32, which
    /// is faster than those.
    pub(super) fn in_training(isa: Isa, plan: &ConvPlan, precision: Precision, size: (usize, usize)) -> Self {
        match Self::of(isa, plan, precision, size) {
            Self::Winograd(_) => Self::Winograd(Precision::Fp32),
            Self::WinogradWithin(_) => Self::WinogradWithin(Precision::Fp32),
            direct => direct,
        }
    }

    /// Packed weights as this way multiplies them; `None` where that is how they are.
    pub(super) fn weights(
        self,
        isa: Isa,
        plan: &ConvPlan,
        packed: &[f32],
        pool: &mut Pool,
    ) -> Option<Buffer> {
        match self {
            Self::Direct(Precision::Bf16) if !plan.plane => {
                let mut words = pool.take(plan.packed_len(isa) / 2);
                plan.pack_bf16(isa, packed, &mut words);
                Some(words)
            }
            Self::Direct(_) | Self::WinogradWithin(_) => None,
            Self::Winograd(precision) => {
                let mut transformed = pool.take(plan.winograd_len(isa, precision));
                plan.pack_winograd(isa, precision, packed, &mut transformed);
                Some(transformed)
            }
        }
    }

    /// Convolves, with the weights of [`Way::weights`]; `size` is that of the grid of the kernel.
    pub(super) fn convolve(
        self,
        isa: Isa,
        plan: &ConvPlan,
        size: (usize, usize, usize),
        (sources, weights): (&[Source<'_>], &[f32]),
        dests: &mut [Dest<'_>],
        (after, sums): (After<'_>, Option<&mut ChannelSums>),
    ) {
        match self {
            Self::Direct(precision) => {
                forward(isa, plan, precision, size, sources, weights, dests, after, sums);
            }
            Self::Winograd(precision) => {
                let weights = WinogradWeights::Transformed(weights);
                forward_winograd(isa, plan, precision, size, sources, weights, dests, after, sums);
            }
            Self::WinogradWithin(precision) => {
                let weights = WinogradWeights::Packed(weights);
                forward_winograd(isa, plan, precision, size, sources, weights, dests, after, sums);
            }
        }
    }

    /// The gradient of the weights in PyTorch's order, with memory to be kept between calls.
    pub(super) fn backward_weights(
        self,
        isa: Isa,
        plan: &ConvPlan,
        size: (usize, usize, usize),
        inputs: &[Source<'_>],
        gradient: &Source<'_>,
        (plain, scratch): (&mut [f32], &mut Buffer),
    ) {
        match self {
            Self::Direct(precision) => {
                backward_weights(isa, plan, precision, size, inputs, gradient, plain, scratch);
            }
            Self::Winograd(_) | Self::WinogradWithin(_) => {
                backward_weights_winograd(isa, plan, size, inputs, gradient, plain, scratch);
            }
        }
    }
}

/// Weights as the prediction uses them, a batch norm's factors multiplied in.
pub(super) fn fold(isa: Isa, plan: &ConvPlan, packed: &[f32], scale: &[f32], way: Way) -> Buffer {
    let mut folded = Buffer::zeros(plan.packed_len(isa));
    plan.scale_outputs(isa, packed, scale, &mut folded);
    way.weights(isa, plan, &folded, &mut Pool::default()).unwrap_or(folded)
}
