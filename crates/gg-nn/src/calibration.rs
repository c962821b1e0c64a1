//! Ranges of a network's activations, which fix the scales of prediction in int8.
//!
//! Measured in fp32 over a few slices: first the least and the largest value of every tensor that int8 stores, then a
//! histogram of each. The range is cut where that makes the mean squared error of rounding and cutting least. On real CT
//! that changes probabilities less (infection: by 0.00065 in the mean) than a cut at 99.99 % of the values (0.00074) or
//! none (0.0012).

use crate::engine::{CpuEngine, EngineError, Images};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the format that this program writes, and the newest that it understands.
pub const CALIBRATION_FORMAT: u32 = 1;
/// Slices that ranges are measured on.
pub const CALIBRATION_SLICES: usize = 64;
/// Bins of a histogram.
const BINS: usize = 4096;
/// Ranges tried: shares of the largest one, in steps of one hundredth.
const LEAST_SHARE: usize = 20;
/// Steps of a range.
const LEVELS: f64 = gg_kernels::TOP as f64;

/// What values a network's activations take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Version of the format.
    pub version: u32,
    /// Slices that were looked at.
    pub slices: usize,
    /// Least and largest value that int8 can tell apart from others, by the layer that computes them.
    pub ranges: BTreeMap<String, [f32; 2]>,
}

impl Calibration {
    /// Measures with an engine that has weights. `batches` is called twice, and gives the same images each time to the
    /// function that it gets.
    ///
    /// # Errors
    /// The engine's, and those of `batches`.
    pub fn measure<E: From<EngineError>>(
        engine: &mut CpuEngine,
        mut batches: impl FnMut(&mut dyn FnMut(&Images<'_>) -> Result<(), E>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut histograms: BTreeMap<String, Histogram> = BTreeMap::new();
        let mut slices = 0;
        batches(&mut |images| {
            slices += images.n;
            for (name, [low, high]) in engine.extremes(images)? {
                let h = histograms.entry(name).or_default();
                (h.low, h.high) = (h.low.min(low), h.high.max(high));
            }
            Ok(())
        })?;
        for h in histograms.values_mut() {
            h.counts = vec![0; BINS];
        }
        batches(&mut |images| {
            engine.observe(images, &mut |name, values| {
                if let Some(h) = histograms.get_mut(name) {
                    values.iter().for_each(|v| h.add(*v));
                }
            })?;
            Ok(())
        })?;
        let ranges = histograms.into_iter().map(|(name, h)| (name, h.range())).collect();
        Ok(Self { version: CALIBRATION_FORMAT, slices, ranges })
    }

    /// The range of a layer.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn range(&self, layer: &str) -> Result<[f32; 2], EngineError> {
        let found = self.ranges.get(layer).copied().filter(|r| r.iter().all(|v| v.is_finite()));
        found.ok_or_else(|| {
            EngineError::Failed(format!("the calibration for int8 has no range for layer {layer}"))
        })
    }
}

/// How often values occur between two bounds that include 0.
#[derive(Default)]
struct Histogram {
    low: f32,
    high: f32,
    counts: Vec<u64>,
}

impl Histogram {
    /// Exact zeros are left out: they have a byte of their own, whatever the range.
    fn add(&mut self, value: f32) {
        if value != 0.0 {
            let place = (value - self.low) / (self.high - self.low) * BINS as f32;
            self.counts[(place as usize).min(BINS - 1)] += 1;
        }
    }

    /// The range with the least mean squared error.
    fn range(&self) -> [f32; 2] {
        let share = |s: usize| [self.low, self.high].map(|v| v * (s as f32 / 100.0));
        let error = |s: usize| {
            let [low, high] = share(s).map(f64::from);
            let rounding = ((high - low) / LEVELS).powi(2) / 12.0;
            let width = f64::from(self.high - self.low) / BINS as f64;
            let of_bin = |(i, n): (usize, &u64)| {
                let value = f64::from(self.low) + (i as f64 + 0.5) * width;
                let cut = value - value.clamp(low, high);
                *n as f64 * (rounding + cut * cut)
            };
            self.counts.iter().enumerate().map(of_bin).sum::<f64>()
        };
        // The widest of equal ones.
        let best = (LEAST_SHARE..=100).rev().min_by(|a, b| error(*a).total_cmp(&error(*b)));
        share(best.unwrap_or(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = f32> + Clone) -> [f32; 2] {
        let fold = |f: fn(f32, f32) -> f32| values.clone().fold(0.0, f);
        let mut h = Histogram { low: fold(f32::min), high: fold(f32::max), counts: vec![0; BINS] };
        values.for_each(|v| h.add(v));
        h.range()
    }

    #[test]
    fn a_range_keeps_values_that_are_evenly_spread_and_cuts_a_lone_one_far_outside() {
        assert_eq!(of((0..1000).map(|i| i as f32 / 999.0)), [0.0, 1.0]);
        assert_eq!(of((0..1000).map(|i| i as f32 / 999.0 - 0.5)), [-0.5, 0.5]);
        let [low, high] = of((0..1_000_000).map(|i| if i == 7 { 3.0 } else { (i % 1000) as f32 / 999.0 }));
        assert!(low == 0.0 && (0.95..1.3).contains(&high), "{high}");
        assert_eq!(of([0.0, 0.0].into_iter()), [0.0, 0.0]);
    }
}
