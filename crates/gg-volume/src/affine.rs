//! The affine from voxel indices to patient space, and the orientation it implies.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Below this share of the product of the axis lengths a determinant counts as zero.
const SINGULAR: f64 = 1e-6;

/// Why a matrix cannot be an affine of a CT.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum AffineError {
    /// Two axes point the same way, or one has no length.
    #[error("the affine is singular: its axes {0:?} (mm per voxel) do not span space")]
    Singular([[f64; 3]; 3]),
    /// NaN or infinity.
    #[error("the affine holds a value that is not a finite number")]
    NotFinite,
}

/// Voxel index `(x, y, z)` to millimetres in LPS+: `p = columns * (x, y, z) + origin`.
///
/// # Units
/// Millimetres; the columns are millimetres per voxel step along x, y and z of the array `[z, y, x]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    columns: [[f64; 3]; 3],
    origin: [f64; 3],
}

impl Affine {
    /// An affine from the steps along x, y and z (each a vector in LPS+ mm) and the position of voxel (0, 0, 0).
    ///
    /// # Errors
    /// [`AffineError`] where a value is not finite or the axes do not span space.
    pub fn new(columns: [[f64; 3]; 3], origin: [f64; 3]) -> Result<Self, AffineError> {
        if columns.iter().flatten().chain(&origin).any(|v| !v.is_finite()) {
            return Err(AffineError::NotFinite);
        }
        let lengths = columns.map(norm);
        let volume = lengths[0] * lengths[1] * lengths[2];
        if !volume.is_finite() {
            return Err(AffineError::NotFinite); // values that no product of them can be told from infinity
        }
        if volume <= 0.0 || determinant(columns).abs() <= SINGULAR * volume {
            return Err(AffineError::Singular(columns));
        }
        Ok(Self { columns, origin })
    }

    /// Steps along the array's x, y and z, in LPS+ mm.
    pub fn columns(&self) -> [[f64; 3]; 3] {
        self.columns
    }

    /// Position of voxel (0, 0, 0), in LPS+ mm.
    pub fn origin(&self) -> [f64; 3] {
        self.origin
    }

    /// Position of a voxel, in LPS+ mm. `index` is `(x, y, z)`.
    pub fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|r| self.origin[r] + (0..3).map(|c| self.columns[c][r] * index[c]).sum::<f64>())
    }

    /// The index `(x, y, z)` of a position in LPS+ mm, in parts of voxels: the inverse of [`Affine::apply`].
    ///
    /// # Source
    /// Cramer's rule.
    pub fn index_of(&self, position: [f64; 3]) -> [f64; 3] {
        let from_origin: [f64; 3] = std::array::from_fn(|r| position[r] - self.origin[r]);
        let whole = determinant(self.columns);
        std::array::from_fn(|axis| {
            let mut columns = self.columns;
            columns[axis] = from_origin;
            determinant(columns) / whole
        })
    }

    /// Distance between voxel centres along z, y and x (array order), in mm.
    pub fn spacing_mm(&self) -> [f64; 3] {
        [norm(self.columns[2]), norm(self.columns[1]), norm(self.columns[0])]
    }

    /// Volume of one voxel in cubic millimetres: the determinant, so right for sheared grids too.
    pub fn voxel_mm3(&self) -> f64 {
        determinant(self.columns).abs()
    }

    /// The patient directions to which the array's x, y and z come closest.
    pub fn orientation(&self) -> Orientation {
        let axes = nearest_axes(self.columns);
        let letters = [['L', 'R'], ['P', 'A'], ['S', 'I']];
        Orientation(axes.map(|(world, negative)| letters[world][usize::from(negative)]))
    }
}

/// Directions in which the array's x, y and z grow, as letters: `L`/`R`, `P`/`A`, `S`/`I`.
///
/// An axial CT as DICOM stores it, feet first, is `LPS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orientation(pub [char; 3]);

impl Orientation {
    /// The usual axial orientation: columns to the left, rows to the posterior, slices to the head.
    pub const LPS: Self = Self(['L', 'P', 'S']);

    /// Reads three letters such as `LPS` or `RAI`; `None` where they do not name three different body axes.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: Vec<char> = text.trim().to_uppercase().chars().collect();
        let letters: [char; 3] = letters.try_into().ok()?;
        let mut seen = [false; 3];
        for c in letters {
            let (world, _) = axis_of(c)?;
            if std::mem::replace(&mut seen[world], true) {
                return None;
            }
        }
        Some(Self(letters))
    }

    /// For x, y, z of the array: which world axis (0 = LR, 1 = AP, 2 = IS) and whether it runs against LPS+.
    pub fn axes(self) -> [(usize, bool); 3] {
        self.0.map(|c| axis_of(c).unwrap_or((0, false)))
    }
}

impl std::fmt::Display for Orientation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

impl Serialize for Orientation {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Orientation {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is no orientation; one of L/R, P/A and S/I each, as in LPS"
            ))
        })
    }
}

fn axis_of(letter: char) -> Option<(usize, bool)> {
    Some(match letter {
        'L' => (0, false),
        'R' => (0, true),
        'P' => (1, false),
        'A' => (1, true),
        'S' => (2, false),
        'I' => (2, true),
        _ => return None,
    })
}

fn norm(v: [f64; 3]) -> f64 {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

fn determinant(c: [[f64; 3]; 3]) -> f64 {
    c[0][0] * (c[1][1] * c[2][2] - c[1][2] * c[2][1]) - c[1][0] * (c[0][1] * c[2][2] - c[0][2] * c[2][1])
        + c[2][0] * (c[0][1] * c[1][2] - c[0][2] * c[1][1])
}

/// The assignment of array axes to world axes whose direction cosines have the largest product.
///
/// All six are tried, so that no world axis is taken twice however oblique the grid is.
fn nearest_axes(columns: [[f64; 3]; 3]) -> [(usize, bool); 3] {
    const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let cosine = |axis: usize, world: usize| columns[axis][world] / norm(columns[axis]);
    let mut best = PERMUTATIONS[0];
    let mut best_score = -1.0;
    for p in PERMUTATIONS {
        let score: f64 = (0..3).map(|axis| cosine(axis, p[axis]).abs()).sum();
        if score > best_score + 1e-9 {
            best = p;
            best_score = score;
        }
    }
    std::array::from_fn(|axis| (best[axis], columns[axis][best[axis]] < 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affine(columns: [[f64; 3]; 3]) -> Affine {
        Affine::new(columns, [0.0; 3]).unwrap()
    }

    #[test]
    fn a_diagonal_affine_in_lps_is_lps() {
        let a = affine([[0.7, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 2.0]]);
        assert_eq!(a.orientation(), Orientation::LPS);
        assert_eq!(a.spacing_mm(), [2.0, 0.7, 0.7]);
        assert!((a.voxel_mm3() - 0.98).abs() < 1e-12);
    }

    #[test]
    fn the_index_of_a_voxels_position_is_that_of_the_voxel() {
        let columns = [[0.0, 0.1, -0.7], [-0.8, 0.1, 0.0], [0.3, -2.0, 0.0]];
        let a = Affine::new(columns, [-120.0, 35.5, 900.0]).unwrap();
        let index = a.index_of(a.apply([3.0, -4.5, 20.0]));
        assert!(index.iter().zip([3.0, -4.5, 20.0]).all(|(i, right)| (i - right).abs() < 1e-9), "{index:?}");
    }

    #[test]
    fn letters_follow_axes_and_signs() {
        let a = affine([[0.0, 0.0, -1.0], [-1.0, 0.1, 0.0], [0.0, -1.0, 0.0]]);
        assert_eq!(a.orientation().to_string(), "IRA");
    }

    #[test]
    fn parse_refuses_an_axis_named_twice() {
        assert_eq!(Orientation::parse("ras").map(|o| o.to_string()), Some("RAS".into()));
        assert_eq!(Orientation::parse("LRS"), None);
        assert_eq!(Orientation::parse("LP"), None);
    }

    #[test]
    fn singular_and_non_finite_affines_are_refused() {
        assert!(Affine::new([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]).is_err());
        assert!(Affine::new([[1e200, 0.0, 0.0], [0.0, 1e200, 0.0], [0.0, 0.0, 1e200]], [0.0; 3]).is_err());
        assert!(Affine::new([[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]).is_err());
    }
}
