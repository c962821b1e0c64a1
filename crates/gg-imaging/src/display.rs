//! Slices for people to look at: grey by what the values mean, without contrast step, crop or resizing.

use crate::PrepareConfig;
use crate::grey::{GreyRule, grey_row, grey_rule, grey_slice};
use gg_volume::{AxisMap, CtVolume};

/// Shows the slices of one CT, all in the same window.
///
/// # Units
/// Input in HU is shown in the default profile's lung window; other input keeps its grey range.
pub struct Display<'a> {
    ct: &'a CtVolume,
    map: AxisMap,
    rule: GreyRule,
}

impl<'a> Display<'a> {
    /// Decides the window from the kind of the values.
    pub fn new(ct: &'a CtVolume, map: AxisMap) -> Self {
        let (rule, _) = grey_rule(ct, &PrepareConfig::default(), &mut Vec::new());
        Self { ct, map, rule }
    }

    /// Shape `[z, y, x]` of the CT as it is shown: feet first, front on top, the patient's right on the left.
    pub fn shape(&self) -> [usize; 3] {
        self.map.canonical_shape(self.ct.voxels.shape())
    }

    /// Canonical slice `z` as 8-bit grey, row-major.
    pub fn slice(&self, z: usize) -> Vec<u8> {
        grey_slice(self.ct, &self.map, z, self.rule, &mut Vec::new())
    }

    /// Row `y` of canonical slice `z`.
    pub fn row(&self, z: usize, y: usize) -> Vec<u8> {
        match self.rule {
            GreyRule::Window(window) => grey_row(self.ct, &self.map, [z, y], window),
            GreyRule::MinMax => {
                let [_, _, w] = self.shape();
                self.slice(z)[y * w..(y + 1) * w].to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gg_volume::{Grid, Intensity, IntensityKind, Orientation, Volume};

    #[test]
    fn a_row_is_that_of_its_slice() {
        let shape = [3, 4, 5];
        let voxels = Volume::from_vec(shape, (0..60).map(|i| (i * 97 % 256) as f32 * 4.0 - 1024.0).collect());
        for (kind, axes) in
            [(IntensityKind::Hu, "LPS"), (IntensityKind::Hu, "RPI"), (IntensityKind::Unknown, "PIR")]
        {
            let ct = CtVolume {
                voxels: voxels.clone().unwrap(),
                grid: Grid::unknown(shape, "made for a test"),
                intensity: Intensity::stated(kind),
            };
            let display = Display::new(&ct, AxisMap::from_orientation(Orientation::parse(axes).unwrap()));
            let [n, h, w] = display.shape();
            for (z, y) in (0..n).flat_map(|z| (0..h).map(move |y| (z, y))) {
                assert_eq!(display.row(z, y), display.slice(z)[y * w..(y + 1) * w], "{axes} {z} {y}");
            }
        }
    }
}
