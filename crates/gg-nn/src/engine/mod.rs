//! Engines execute a [`Graph`]: logits for prediction, gradients for training. Everything at the border is plain `f32`
//! in the order `[n, channels, rows, columns]`; losses, optimiser, running statistics and dropout masks live outside,
//! once for all engines.

mod burn;
mod cpu;
mod dropout;
mod gpu;
mod precision;

pub use self::burn::BurnEngine;
pub use cpu::{CpuEngine, Int8Engine};
pub use dropout::DropoutKey;
pub(crate) use dropout::dropout_mask;
pub use gg_kernels::{Isa, IsaError};
pub use gpu::{Gpu, GpuApi, GpuInfo, GpuKind, gpus};
pub use precision::Precision;

use crate::net::{Graph, NetError, Shape};
use crate::weights::{Weights, WeightsError};

/// Loss of a batch of logits and its derivative by each of them: the logits of the last layer for all images, then those of
/// each side output ([`Graph::ends`]).
pub type LossFn<'a> = dyn FnMut(&[f32]) -> (f64, Vec<f32>) + 'a;

/// How a CPU computes: on which of its instruction sets, and what its convolutions multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    /// The instruction set.
    pub isa: Isa,
    /// What convolutions multiply; all else is fp32, and so are the weights that training changes.
    pub precision: Precision,
}

impl Arithmetic {
    /// fp32 on this instruction set.
    pub fn fp32(isa: Isa) -> Self {
        Self { isa, precision: Precision::Fp32 }
    }

    /// The fastest precision for prediction on this instruction set, for networks without calibration.
    pub fn fastest(isa: Isa) -> Self {
        let precision = if isa.has_bf16() { Precision::Bf16 } else { Precision::Fp32 };
        Self { isa, precision }
    }

    /// Whether the instruction set has the precision.
    ///
    /// # Errors
    /// It lacks it.
    pub fn check(self) -> Result<(), EngineError> {
        if self.precision == Precision::Bf16 && !self.isa.has_bf16() {
            let (found, isa) = (self.precision.name(), self.isa.name());
            return Err(EngineError::Precision { found, isa });
        }
        Ok(())
    }
}

/// What networks run on, and how it computes.
#[derive(Debug, Clone)]
pub struct Processor {
    /// The graphics card; without, the CPU.
    pub gpu: Option<Gpu>,
    /// What convolutions multiply, and the instruction set of all that the CPU does.
    pub arithmetic: Arithmetic,
}

impl From<Arithmetic> for Processor {
    /// The CPU.
    fn from(arithmetic: Arithmetic) -> Self {
        Self { gpu: None, arithmetic }
    }
}

impl Processor {
    /// A card, in this precision; the CPU does the rest on this instruction set.
    ///
    /// # Errors
    /// The card lacks the precision; int8.
    pub fn gpu(gpu: Gpu, arithmetic: Arithmetic) -> Result<Self, EngineError> {
        if arithmetic.precision == Precision::Int8 {
            return Err(EngineError::GpuInt8);
        }
        if !gpu.has(arithmetic.precision) {
            let (found, name) = (arithmetic.precision.name(), gpu.info().name.clone());
            return Err(EngineError::GpuPrecision { found, name });
        }
        Ok(Self { gpu: Some(gpu), arithmetic })
    }
}

/// Executes one network.
///
/// # Determinism
/// On a CPU, one engine gives the same bytes for the same input at any number of threads, and each image of a batch
/// given to [`Engine::predict`] gets the same logits as alone. A graphics card promises neither.
pub trait Engine: Send {
    /// Name for manifests, e.g. `burn-flex`.
    fn name(&self) -> &str;

    /// What its results may depend on besides the input: for manifests.
    fn arithmetic(&self) -> Arithmetic;

    /// Takes weights over; called before the first prediction and after each change by the optimiser.
    ///
    /// # Errors
    /// Weights that do not fit the network.
    fn set_weights(&mut self, weights: &Weights) -> Result<(), EngineError>;

    /// Logits in prediction mode (running statistics, no dropout): `[n]` or `[n, h, w]`.
    ///
    /// # Errors
    /// Images whose size or number of values is wrong; no weights yet.
    fn predict(&mut self, images: &Images<'_>) -> Result<Vec<f32>, EngineError>;

    /// One forward pass in training mode (batch statistics, dropout), the loss, one backward pass.
    ///
    /// # Errors
    /// As [`Engine::predict`].
    fn gradients(
        &mut self,
        images: &Images<'_>,
        dropout: DropoutKey,
        loss: &mut LossFn<'_>,
    ) -> Result<Gradients, EngineError>;

    /// A second engine for the same network and weights, for another thread. The two share the weights, laid out for images
    /// of this height and width; where an engine cannot share them, `None`.
    ///
    /// # Errors
    /// A size that the network cannot take; no weights yet.
    fn twin(&mut self, _height: usize, _width: usize) -> Result<Option<Box<dyn Engine>>, EngineError> {
        Ok(None)
    }

    /// Takes the memory of gradients back that nobody needs any more, for the next step.
    fn recycle(&mut self, _gradients: Gradients) {}

    /// Gives back the memory that is kept from one call to the next, e.g. because another network's turn has come.
    fn release(&mut self) {}
}

/// The engine for a network. On a graphics card: Burn. On the CPU: our kernels; Burn (in fp32) where they cannot run the
/// network or lack the precision.
pub fn engine_for(graph: &Graph, on: impl Into<Processor>) -> Box<dyn Engine> {
    let Processor { gpu, arithmetic } = on.into();
    if let Some(gpu) = gpu {
        return Box::new(BurnEngine::on_gpu(graph.clone(), &gpu, arithmetic));
    }
    match CpuEngine::new(graph.clone(), arithmetic) {
        Ok(engine) => Box::new(engine),
        Err(_) => Box::new(BurnEngine::new(graph.clone())),
    }
}

/// A batch of images.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// `[n, channels, height, width]`, values 0..1.
    pub values: &'a [f32],
    /// Number of images.
    pub n: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What a training step needs from an engine.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Value of the loss.
    pub loss: f64,
    /// Logits in training mode, as the loss got them.
    pub logits: Vec<f32>,
    /// Derivative of the loss by each trained parameter.
    pub by_param: Weights,
    /// Statistics of the batch, one entry per batch norm.
    pub batch_stats: Vec<BatchStats>,
}

/// What a layer gave, and how much the logits depend on it.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerGradient {
    /// Channels, rows, columns of the layer's output for one image.
    pub shape: Shape,
    /// The output, `[n, channels, rows, columns]`.
    pub values: Vec<f32>,
    /// Derivative of the sum of the logits by each of the values.
    pub gradient: Vec<f32>,
}

/// Mean and variance that a batch norm found in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStats {
    /// Name of the batch-norm layer.
    pub layer: String,
    /// Per channel.
    pub mean: Vec<f32>,
    /// Per channel, divided by `count`.
    pub biased_var: Vec<f32>,
    /// Values per channel: images x rows x columns.
    pub count: usize,
}

/// What an engine cannot do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The network or the image's size.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Weights that do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Another number of values than the sizes say.
    #[error("{found} values in the batch, {right} expected")]
    Len {
        /// Values found.
        found: usize,
        /// Values expected.
        right: usize,
    },
    /// Not on this processor, or not on the instruction set that was forced.
    #[error(
        "found precision {found}, right would be fp32: the instruction set {isa} of this processor has no {found}"
    )]
    Precision {
        /// The precision asked for.
        found: &'static str,
        /// The instruction set.
        isa: &'static str,
    },
    /// int8 without ranges.
    #[error(
        "found no calibration for int8, right would be a bundle that has one (`groundglass models calibrate` adds it) or \
         --precision fp32 or bf16"
    )]
    NoCalibration,
    /// A network with layers that int8 cannot compute.
    #[error(
        "found the layer {layer}, which int8 cannot compute, right would be fp32 or bf16 for this network"
    )]
    NoInt8 {
        /// The layer.
        layer: String,
    },
    /// int8 on a graphics card.
    #[error("found precision int8, right would be fp32 or bf16: int8 is for the CPU")]
    GpuInt8,
    /// Not on this graphics card.
    #[error("found precision {found}, right would be fp32: {name} has no {found}")]
    GpuPrecision {
        /// The precision asked for.
        found: &'static str,
        /// The card.
        name: String,
    },
    /// `predict` or `gradients` before `set_weights`.
    #[error("the engine has no weights yet")]
    NoWeights,
    /// The engine's own failure.
    #[error("{0}")]
    Failed(String),
}

impl Images<'_> {
    /// Whether the number of values is what the sizes say, for images of so many channels.
    ///
    /// # Errors
    /// The two numbers.
    pub fn check(&self, channels: usize) -> Result<(), EngineError> {
        let right = [channels, self.height, self.width].iter().try_fold(self.n, |a, b| a.checked_mul(*b));
        let right = right.unwrap_or(usize::MAX);
        if self.values.len() == right {
            return Ok(());
        }
        Err(EngineError::Len { found: self.values.len(), right })
    }
}
