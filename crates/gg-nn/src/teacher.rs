//! Distillation: a network learns from masks or labels and from what trained networks say about the same pictures.
//!
//! The truth of each value is `(1 - share) y + share p`, with y the mask's or label's value and p the mean of the teachers' calibrated
//! probabilities of the picture as the student sees it, augmented. Source: Hinton et al. 2015 (arXiv 1503.02531).

use crate::bundle::Bundle;
use crate::engine::{EngineError, Images, Processor};
use crate::predict::Predictor;

/// Trained networks that another one learns from.
pub struct Teacher {
    predictors: Vec<Predictor>,
    sha256: Vec<String>,
}

impl Teacher {
    /// Takes the bundles over, on the engine of this processor.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn load(bundles: &[Bundle], on: &Processor) -> Result<Self, EngineError> {
        let predictors = bundles.iter().map(|b| Predictor::load(b, on.clone())).collect::<Result<_, _>>()?;
        Ok(Self { predictors, sha256: bundles.iter().map(|b| b.info.weights_sha256.clone()).collect() })
    }

    /// SHA-256 of the weights of each bundle.
    pub fn sha256(&self) -> &[String] {
        &self.sha256
    }

    /// `(1 - share) y + share p` for the targets `y` of a batch.
    pub(crate) fn targets(
        &mut self,
        images: &Images<'_>,
        targets: &[f32],
        share: f64,
    ) -> Result<Vec<f32>, EngineError> {
        let each = share / self.predictors.len().max(1) as f64;
        let mut mixed: Vec<f64> = targets.iter().map(|y| (1.0 - share) * f64::from(*y)).collect();
        for predictor in &mut self.predictors {
            let said = predictor.probabilities(images)?;
            if said.len() != mixed.len() {
                return Err(EngineError::Len { found: said.len(), right: mixed.len() });
            }
            mixed.iter_mut().zip(said).for_each(|(m, p)| *m += each * f64::from(p));
        }
        Ok(mixed.into_iter().map(|m| m as f32).collect())
    }
}
