//! A model in use: weights are given to the engine once, slices go through in small batches, probabilities come out.

use crate::bundle::Bundle;
use crate::engine::{Arithmetic, Engine, EngineError, Images, Int8Engine, Precision, Processor, engine_for};
use crate::loss::sigmoid;
use rayon::prelude::*;

/// Pictures to put through a network together: more gain nothing and cost memory.
pub const PREDICT_BATCH: usize = 8;

/// A bundle ready to predict.
pub struct Predictor {
    engine: Box<dyn Engine>,
    size: usize,
    channels: usize,
    temperature: f32,
}

impl Predictor {
    /// Takes a model over, on the engine of this processor.
    ///
    /// # Errors
    /// Weights that do not fit; int8 for a bundle without calibration, and on a graphics card.
    pub fn load(bundle: &Bundle, on: impl Into<Processor>) -> Result<Self, EngineError> {
        let on = on.into();
        let graph = bundle.graph()?;
        let mut engine: Box<dyn Engine> = match (on.arithmetic.precision, &bundle.info.int8) {
            (Precision::Int8, _) if on.gpu.is_some() => return Err(EngineError::GpuInt8),
            (Precision::Int8, Some(ranges)) => {
                Box::new(Int8Engine::new(graph.clone(), on.arithmetic.isa, ranges)?)
            }
            (Precision::Int8, None) => return Err(EngineError::NoCalibration),
            _ => engine_for(&graph, on),
        };
        engine.set_weights(&bundle.weights)?;
        Ok(Self {
            engine,
            size: bundle.info.prepare.size,
            channels: graph.in_channels(),
            temperature: bundle.info.temperature,
        })
    }

    /// Name of the engine, for manifests.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }

    /// How the engine computes, for manifests.
    pub fn arithmetic(&self) -> Arithmetic {
        self.engine.arithmetic()
    }

    /// Slices that the network sees at once: 1, or an odd number of neighbours with the predicted one in the middle.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Gives back the memory that is kept from one call to the next; the weights stay.
    pub fn release(&mut self) {
        self.engine.release();
    }

    /// Calibrated probabilities of pictures: one per pixel, or one per slice for a classifier. Each picture is the prepared slice
    /// with its neighbours as channels, [`Predictor::channels`] in all.
    ///
    /// All pictures go through the network at once: [`PREDICT_BATCH`] bounds the memory, and on a CPU no result depends on it.
    ///
    /// # Errors
    /// A slice of another size than the model's preparation says, another number of channels.
    pub fn predict(&mut self, pictures: &[Vec<&[u8]>]) -> Result<Vec<Vec<f32>>, EngineError> {
        let size = self.size;
        let plane = size * size;
        for channels in pictures {
            if let Some(slice) = channels.iter().find(|s| s.len() != plane) {
                return Err(EngineError::Len { found: slice.len(), right: plane });
            }
            if channels.len() != self.channels {
                let (found, right) = (channels.len() * plane, self.channels * plane);
                return Err(EngineError::Len { found, right });
            }
        }
        if pictures.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = vec![0.0; pictures.len() * self.channels * plane];
        let planes = values.par_chunks_exact_mut(plane).enumerate();
        planes.for_each(|(i, out)| {
            let slice = pictures[i / self.channels][i % self.channels];
            out.iter_mut().zip(slice).for_each(|(o, &v)| *o = f32::from(v) / 255.0);
        });
        let images = Images { values: &values, n: pictures.len(), height: size, width: size };
        let logits = self.engine.predict(&images)?;
        let per_picture = logits.len() / pictures.len();
        let calibrated = |z: &f32| sigmoid(z / self.temperature);
        Ok(logits.par_chunks_exact(per_picture).map(|z| z.iter().map(calibrated).collect()).collect())
    }
}
