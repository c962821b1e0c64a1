//! A gantry that was tilted: the slices lie askew on each other, and so do the axes of the volume.

use gg_volume::Warning;

/// Axes that are further from a right angle than this count as those of a tilted gantry, in degrees.
pub(crate) const TILT_DEGREES: f64 = 0.5;

/// The remark on it.
pub(crate) fn tilted(degrees: f64) -> Warning {
    Warning::new(
        "tilted_gantry",
        format!(
            "the gantry was tilted by {degrees:.1} degrees; volumes are right, pictures from the side are sheared"
        ),
    )
}
