//! Distillation: a network learns from masks or labels and from what trained networks say about the same pictures.
//!
//! The truth of each value is `(1 - share) y + share p`, with y the mask's or label's value and p the mean of the
//! teachers' calibrated probabilities of the picture as the student sees it, augmented. Source: Hinton et al. 2015
//! (arXiv 1503.02531).

use crate::bundle::{Bundle, BundleInfo};
use crate::engine::{EngineError, Images, Processor};
use crate::predict::Predictor;

/// Trained networks that another one learns from.
pub struct Teacher {
    predictors: Vec<Predictor>,
    identity: Vec<String>,
}

impl Teacher {
    /// Takes the bundles over, on the engine of this processor; `None` of no bundles.
    ///
    /// # Errors
    /// As [`Predictor::load`].
    pub fn load<'a>(
        bundles: impl IntoIterator<Item = &'a Bundle>,
        on: &Processor,
    ) -> Result<Option<Self>, EngineError> {
        let (mut predictors, mut identity) = (Vec::new(), Vec::new());
        for bundle in bundles {
            predictors.push(Predictor::load(bundle, on.clone())?);
            identity.push(says(&bundle.info));
        }
        Ok((!predictors.is_empty()).then_some(Self { predictors, identity }))
    }

    /// All that what it says depends on: of each bundle the hash of its weights, its temperatures, what it looks at
    /// slices with.
    pub(crate) fn identity(&self) -> &[String] {
        &self.identity
    }

    /// `(1 - share) y + share p` for the targets `y` of a batch.
    pub(crate) fn targets(
        &mut self,
        images: &Images<'_>,
        targets: &[f32],
        share: f64,
    ) -> Result<Vec<f32>, EngineError> {
        let each = share / self.predictors.len() as f64;
        let pixels = images.values.len() / images.n.max(1);
        let mut mixed: Vec<f64> = targets.iter().map(|y| (1.0 - share) * f64::from(*y)).collect();
        for predictor in &mut self.predictors {
            let mut said = Vec::with_capacity(mixed.len());
            for values in images.values.chunks(predictor.batch() * pixels) {
                let some = Images { values, n: values.len() / pixels, ..*images };
                said.extend(predictor.probabilities(&some)?);
            }
            if said.len() != mixed.len() {
                return Err(EngineError::Len { found: said.len(), right: mixed.len() });
            }
            mixed.iter_mut().zip(said).for_each(|(m, p)| *m += each * f64::from(p));
        }
        Ok(mixed.into_iter().map(|m| m as f32).collect())
    }
}

fn says(info: &BundleInfo) -> String {
    let members: Vec<f32> = info.members.iter().map(|m| m.temperature).collect();
    let mirror = info.mirror.words();
    format!("{}, temperature {} {members:?}, {mirror}", info.weights_sha256, info.temperature)
}
