//! Where voxels lie: shape, spacing and affine, and how far the spacing may be trusted.

use crate::{Affine, AxisMap, Orientation};
use serde::{Deserialize, Serialize};

/// Whether distances and volumes may be reported in millimetres and millilitres.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "trust", content = "reason")]
pub enum SpacingTrust {
    /// From DICOM positions and PixelSpacing, or a coded NIfTI affine of a CT in HU in known units.
    Trusted,
    /// Present or absent, but nothing may be computed from it; the reason is a clause for people.
    Untrusted(String),
}

/// The grid a volume lies on. What the file does not say is `None`: an affine is never invented.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// `[z, y, x]`.
    pub shape: [usize; 3],
    /// Distance between voxel centres `[z, y, x]` in mm, as the file states it, trusted or not.
    pub spacing_mm: Option<[f64; 3]>,
    /// Voxel to LPS+ mm; `None` where the orientation is unknown.
    pub affine: Option<Affine>,
    /// Whether `spacing_mm` may be used for distances and volumes.
    pub trust: SpacingTrust,
}

impl Grid {
    /// A grid of which only the shape is known.
    pub fn unknown(shape: [usize; 3], reason: &str) -> Self {
        Self { shape, spacing_mm: None, affine: None, trust: SpacingTrust::Untrusted(reason.to_owned()) }
    }

    /// Directions of the stored axes, where known.
    pub fn orientation(&self) -> Option<Orientation> {
        self.affine.map(|a| a.orientation())
    }

    /// How to walk the stored array as an axial LPS volume.
    pub fn axis_map(&self) -> AxisMap {
        AxisMap::from_affine(self.affine.as_ref())
    }

    /// Spacing `[z, y, x]` in mm, only where it may be trusted.
    pub fn trusted_spacing_mm(&self) -> Option<[f64; 3]> {
        match self.trust {
            SpacingTrust::Trusted => self.spacing_mm,
            SpacingTrust::Untrusted(_) => None,
        }
    }

    /// Millilitres of one voxel, or the reason why they cannot be told.
    ///
    /// # Units
    /// 1 ml = 1000 mm3.
    pub fn voxel_ml(&self) -> Result<f64, String> {
        match (&self.trust, self.spacing_mm) {
            (SpacingTrust::Untrusted(reason), _) => Err(reason.clone()),
            (SpacingTrust::Trusted, None) => Err("the file states no spacing".to_owned()),
            (SpacingTrust::Trusted, Some([z, y, x])) => {
                Ok(self.affine.map_or(z * y * x, |a| a.voxel_mm3()) / 1000.0)
            }
        }
    }
}
