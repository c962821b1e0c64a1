//! A chest CT in memory.

use crate::{Grid, Intensity, IntensityKind, Volume};

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

impl CtVolume {
    /// The same in Hounsfield units where something was added to them, so that whatever holds of HU can be asked of it;
    /// the reasons of its intensity say what was taken off. All other grey values stay as they are.
    pub fn into_hu(mut self) -> Self {
        let offset = self.intensity.kind.hu_offset().unwrap_or(0.0);
        if offset != 0.0 {
            self.voxels.data_mut().iter_mut().for_each(|v| *v += offset);
            self.intensity.kind = IntensityKind::Hu;
            self.intensity.reasons.push(format!("{} was added to HU, and taken off here", -offset));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_to_hu_is_taken_off_and_other_grey_values_stay() {
        let ct = |kind| {
            let voxels = Volume::filled([1, 2, 2], 224.0f32);
            let grid = Grid::unknown([1, 2, 2], "made by a test");
            CtVolume { voxels, grid, intensity: Intensity::stated(kind) }
        };
        let hu = ct(IntensityKind::HuPlus1024).into_hu();
        assert_eq!((hu.intensity.kind, hu.voxels.data()[3]), (IntensityKind::Hu, -800.0));
        assert_eq!(hu.intensity.reasons.last().unwrap(), "1024 was added to HU, and taken off here");
        for kind in IntensityKind::ALL.into_iter().filter(|k| *k != IntensityKind::HuPlus1024) {
            assert_eq!(ct(kind).into_hu(), ct(kind));
        }
    }
}
