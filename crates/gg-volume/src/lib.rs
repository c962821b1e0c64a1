//! The types that travel along the pipe from file to report: voxels, the grid they lie on, labels, and remarks.
//!
//! Nothing here reads a file, computes a feature or knows a network. Two conventions hold for the whole project:
//!
//! * arrays are indexed `[z, y, x]`, `x` fastest, exactly as NIfTI and DICOM store them;
//! * world coordinates are millimetres in **LPS+** (x grows to the patient's **l**eft, y to the **p**osterior,
//!   z to the **s**uperior), DICOM's convention. RAS+ exists only inside the NIfTI reader and writer.

mod affine;
mod axis_map;
mod correlation;
mod ct;
mod grid;
mod intensity;
mod volume;
mod warned;

pub use affine::{Affine, AffineError, Orientation};
pub use axis_map::AxisMap;
pub use correlation::correlation;
pub use ct::CtVolume;
pub use grid::{Grid, SpacingTrust};
pub use intensity::{Intensity, IntensityKind};
pub use volume::{LabelVolume, ShapeError, Volume};
pub use warned::{Warned, Warning};

/// Label of the patient's right lung in the lung masks that groundglass writes.
pub const LUNG_RIGHT: u8 = 1;
/// Label of the patient's left lung in the lung masks that groundglass writes.
pub const LUNG_LEFT: u8 = 2;
