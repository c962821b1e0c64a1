//! Looking at what prediction stores between two kernels, for the calibration of int8.

use super::program::Kind;
use super::{CpuEngine, Folded};
use crate::engine::{EngineError, Images};
use std::collections::BTreeMap;

/// Gets the number of a step and its result as it is stored.
pub(super) type Watch<'a> = dyn FnMut(usize, &[f32]) + 'a;

impl CpuEngine {
    /// Least and largest value (0 among them) of every tensor that prediction stores, by the name of its layer.
    ///
    /// # Errors
    /// As [`crate::Engine::predict`].
    pub(crate) fn extremes(
        &mut self,
        images: &Images<'_>,
    ) -> Result<BTreeMap<String, [f32; 2]>, EngineError> {
        let mut found: BTreeMap<String, [f32; 2]> = BTreeMap::new();
        self.observe(images, &mut |name, values| {
            let (low, high) = values.iter().fold((0.0f32, 0.0f32), |(l, h), v| (l.min(*v), h.max(*v)));
            found.insert(name.to_owned(), [low, high]);
        })?;
        Ok(found)
    }

    /// Tells all values of every tensor that prediction stores, zeros for lanes without a channel among them, and the name
    /// of its layer.
    ///
    /// # Errors
    /// As [`crate::Engine::predict`].
    pub(crate) fn observe(
        &mut self,
        images: &Images<'_>,
        tell: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), EngineError> {
        let (sizes, _) = self.check(images)?;
        let folded = self.fold(&sizes);
        let mut pool = std::mem::take(&mut self.pool);
        let names: Vec<&str> =
            self.program.steps.iter().map(|s| self.graph.layers[s.layer].name.as_str()).collect();
        let done = self.predict_some(&mut pool, images, &folded, &mut |i, stored| {
            let (step, (h, w)) = (&self.program.steps[i], sizes[i]);
            let len = self.result_len(i, images.n, (h, w));
            if matches!(step.kind, Kind::Dropout { .. }) {
                return;
            }
            match &folded[i].view {
                None => tell(names[i], &stored[..len]),
                Some(_) => {
                    let seen = |(place, v): (usize, &f32)| self.seen(&folded[i], place, h * w, *v);
                    tell(names[i], &stored[..len].iter().enumerate().map(seen).collect::<Vec<_>>());
                }
            }
        });
        self.pool = pool;
        done.map(drop)
    }

    /// A stored value as its readers see it.
    fn seen(&self, folded: &Folded, place: usize, pixels: usize, v: f32) -> f32 {
        let Some((scale, shift, slope)) = &folded.view else { return v };
        let lanes = self.isa.lanes();
        let blocks = scale.len() / lanes;
        let c = place / (pixels * lanes) % blocks * lanes + place % lanes;
        let v = v * scale[c] + shift[c];
        if v > 0.0 { v } else { v * slope }
    }
}
