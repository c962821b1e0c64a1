//! Parameters in the order of the kernels, and buffers that are used again.

use super::program::{Kind, Program};
use crate::weights::Weights;
use gg_kernels::{Buffer, ConvPlan, Isa, Precision, padded};

/// Buffers kept for the next tensor, step and batch.
#[derive(Default)]
pub(super) struct Pool {
    free: Vec<Buffer>,
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

/// Packed weights in the precision that multiplies them; `None` where that is how they are.
pub(super) fn as_multiplied(
    isa: Isa,
    plan: &ConvPlan,
    packed: &[f32],
    precision: Precision,
    pool: &mut Pool,
) -> Option<Buffer> {
    if precision == Precision::Fp32 || plan.plane {
        return None;
    }
    let mut words = pool.take(plan.packed_len(isa) / 2);
    plan.pack_bf16(isa, packed, &mut words);
    Some(words)
}

/// Weights as the prediction uses them, a batch norm's factors multiplied in.
pub(super) fn fold(isa: Isa, plan: &ConvPlan, packed: &[f32], scale: &[f32], precision: Precision) -> Buffer {
    let mut folded = Buffer::zeros(plan.packed_len(isa));
    plan.scale_outputs(isa, packed, scale, &mut folded);
    as_multiplied(isa, plan, &folded, precision, &mut Pool::default()).unwrap_or(folded)
}
