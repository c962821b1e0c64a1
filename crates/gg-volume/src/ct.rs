//! A chest CT in memory.

use crate::{Grid, Intensity, Volume};

/// A CT as read: its grey values, where they lie and what they mean. No patient attribute has a place here.
#[derive(Debug, Clone, PartialEq)]
pub struct CtVolume {
    /// Grey values after slope and intercept, `[z, y, x]`.
    ///
    /// # Units
    /// Those of `intensity.kind`.
    pub voxels: Volume<f32>,
    /// Where they lie; `grid.shape == voxels.shape()`.
    pub grid: Grid,
    /// What they mean.
    pub intensity: Intensity,
}
