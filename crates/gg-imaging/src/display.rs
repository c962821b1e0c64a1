//! Slices for people to look at: grey by what the values mean, without contrast step, crop or resizing.

use crate::PrepareConfig;
use crate::grey::{GreyRule, grey_rule, grey_slice};
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
}
