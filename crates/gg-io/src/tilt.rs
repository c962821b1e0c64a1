//! Axes that are none of the body's: a gantry that was tilted, so that slices lie askew on each other, and volumes that
//! were cut obliquely.

use gg_volume::{Affine, Warning};

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

/// Axes that are further from those of the body count as oblique, in degrees.
const OBLIQUE_DEGREES: f64 = 15.0;
/// The third axis of LPS+.
const FEET_TO_HEAD: usize = 2;

/// The remark on axes far from those of the body; none where they are near, or where `tilt` degrees of a tilted gantry
/// say why.
pub(crate) fn oblique(affine: &Affine, tilt: f64) -> Option<Warning> {
    let axes = affine.orientation().axes();
    let off: [f64; 3] = std::array::from_fn(|i| {
        let (column, axis) = (affine.columns()[i], axes[i].0);
        let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
        (column[axis].abs() / length).clamp(0.0, 1.0).acos().to_degrees()
    });
    let degrees = off.into_iter().fold(0.0, f64::max);
    let upright = (0..3).all(|i| axes[i].0 != FEET_TO_HEAD || off[i] <= OBLIQUE_DEGREES);
    let so = if upright {
        "sides and zones follow the nearest axes"
    } else {
        "slices are not axial, sides and zones follow the nearest axes"
    };
    (degrees - tilt > OBLIQUE_DEGREES).then(|| {
        Warning::new(
            "oblique",
            format!("the axes of the volume are {degrees:.0} degrees off those of the body; {so}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turned about the axis from feet to head, or about that from right to left.
    fn turned(degrees: f64, upright: bool, tilt: f64) -> Option<String> {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let columns = match upright {
            true => [[0.7 * cos, 0.7 * sin, 0.0], [-0.7 * sin, 0.7 * cos, 0.0], [0.0, 0.0, 5.0]],
            false => [[0.7, 0.0, 0.0], [0.0, 0.7 * cos, 0.7 * sin], [0.0, -5.0 * sin, 5.0 * cos]],
        };
        Affine::new(columns, [0.0; 3]).ok().and_then(|a| oblique(&a, tilt)).map(|w| w.message)
    }

    #[test]
    fn a_volume_turned_by_more_than_15_degrees_is_oblique() {
        assert_eq!([0.0, 14.0, 90.0, 180.0].map(|d| turned(d, true, 0.0)), [const { None }; 4]);
        assert!(turned(20.0, true, 0.0).is_some_and(|m| m.contains("20 degrees") && !m.contains("axial")));
        assert!(
            turned(44.0, false, 0.0).is_some_and(|m| m.contains("44 degrees") && m.contains("not axial"))
        );
    }

    #[test]
    fn a_tilted_gantry_explains_as_much_as_it_tilts() {
        assert_eq!(turned(20.0, false, 20.0), None);
        assert!(turned(40.0, true, 1.0).is_some());
    }
}
