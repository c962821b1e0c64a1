//! Engines execute a [`Graph`]: logits for prediction, gradients for training. Everything at the border is plain `f32`
//! in the order `[n, channels, rows, columns]`; losses, optimiser, running statistics and dropout masks live outside,
//! once for all engines.

mod burn;
mod cpu;
mod dropout;

pub use self::burn::BurnEngine;
pub use cpu::CpuEngine;
pub use dropout::{DropoutKey, dropout_mask};

use crate::net::{Graph, NetError};
use crate::weights::{Weights, WeightsError};

/// Loss of a batch of logits and its derivative by each of them.
pub type LossFn<'a> = dyn FnMut(&[f32]) -> (f64, Vec<f32>) + 'a;

/// Executes one network.
///
/// # Determinism
/// One engine gives the same bytes for the same input at any number of threads, and each image of a batch given to
/// [`Engine::predict`] gets the same logits as alone.
pub trait Engine: Send {
    /// Name for manifests, e.g. `burn-flex`.
    fn name(&self) -> &str;

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
}

/// The fastest engine for a network on this machine.
pub fn engine_for(graph: &Graph) -> Box<dyn Engine> {
    match CpuEngine::new(graph.clone()) {
        Ok(engine) => Box::new(engine),
        Err(_) => Box::new(BurnEngine::new(graph.clone())),
    }
}

/// Name of the instruction set that the CPU engine uses on this processor, for manifests.
pub fn instruction_set() -> &'static str {
    gg_kernels::Isa::detect().name()
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
    /// Logits in training mode.
    pub logits: Vec<f32>,
    /// Derivative of the loss by each trained parameter.
    pub by_param: Weights,
    /// Statistics of the batch, one entry per batch norm.
    pub batch_stats: Vec<BatchStats>,
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
