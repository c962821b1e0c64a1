//! A model in use: weights are given to the engine once, slices go through in small batches, probabilities come out.

use crate::bundle::{Bundle, BundleInfo};
use crate::engine::{Engine, EngineError, Images, engine_for};
use crate::loss::sigmoid;

/// Slices that go through the network together; bounds the memory, changes no result.
const BATCH: usize = 8;

/// A bundle ready to predict.
pub struct Predictor {
    engine: Box<dyn Engine>,
    info: BundleInfo,
    channels: usize,
}

impl Predictor {
    /// Takes a model over, on the default engine.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn load(bundle: &Bundle) -> Result<Self, EngineError> {
        let graph = bundle.graph()?;
        Self::with_engine(bundle, engine_for(&graph))
    }

    /// Takes a model over, on an engine made for its graph.
    ///
    /// # Errors
    /// Weights that do not fit.
    pub fn with_engine(bundle: &Bundle, mut engine: Box<dyn Engine>) -> Result<Self, EngineError> {
        engine.set_weights(&bundle.weights)?;
        let channels = bundle.graph()?.in_channels();
        Ok(Self { engine, info: bundle.info.clone(), channels })
    }

    /// The model's description.
    pub fn info(&self) -> &BundleInfo {
        &self.info
    }

    /// Name of the engine, for manifests.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }

    /// Probabilities of prepared slices: one per pixel, or one per slice for a classifier.
    ///
    /// A network of several channels sees each slice between its neighbours in `slices`, which must then be
    /// consecutive; the first and last ones stand in for what lies beyond.
    ///
    /// # Errors
    /// A slice of another size than the model's preparation says.
    pub fn predict_slices(&mut self, slices: &[&[u8]]) -> Result<Vec<Vec<f32>>, EngineError> {
        let size = self.info.prepare.size;
        if let Some(wrong) = slices.iter().find(|s| s.len() != size * size) {
            let len = EngineError::Len { found: wrong.len(), right: size * size };
            return Err(len);
        }
        let reach = (self.channels / 2) as isize;
        let mut probs = Vec::with_capacity(slices.len());
        for from in (0..slices.len()).step_by(BATCH) {
            let n = BATCH.min(slices.len() - from);
            let mut values = Vec::with_capacity(n * self.channels * size * size);
            for i in from..from + n {
                for offset in -reach..=reach {
                    let j = i.saturating_add_signed(offset).min(slices.len() - 1);
                    values.extend(slices[j].iter().map(|&v| f32::from(v) / 255.0));
                }
            }
            let images = Images { values: &values, n, height: size, width: size };
            let logits = self.engine.predict(&images)?;
            let per_image = logits.len() / n;
            probs.extend(
                logits.chunks_exact(per_image).map(|z| z.iter().map(|z| sigmoid(*z)).collect::<Vec<f32>>()),
            );
        }
        Ok(probs)
    }

    /// Masks of prepared slices: 1 where the probability reaches the model's threshold.
    ///
    /// # Errors
    /// As [`Predictor::predict_slices`].
    pub fn predict_masks(&mut self, slices: &[&[u8]]) -> Result<Vec<Vec<u8>>, EngineError> {
        let threshold = self.info.threshold;
        let probs = self.predict_slices(slices)?;
        Ok(probs.iter().map(|p| p.iter().map(|v| u8::from(*v >= threshold)).collect()).collect())
    }
}
