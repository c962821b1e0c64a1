//! Where the voxels of a NIfTI file lie: sform, qform, units and pixdim to a grid in LPS+ mm, and back.
//!
//! NIfTI's world is RAS+ (x to the right, y to the anterior); ours is LPS+, so the first two rows change sign here
//! and nowhere else. A file whose two codes are 0 has no orientation, and none is made up for it.
//!
//! # Source
//! `nifti1.h` (`nifti2.h` means the same), "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE", methods 2 (qform) and
//! 3 (sform); the tolerance for the quaternion's length is nibabel 5.3's.

use super::fields::Fields;
use super::header::{Checked, contradiction};
use crate::ReadError;
use crate::tilt::{TILT_DEGREES, oblique, tilted};
use gg_volume::{Affine, AffineError, Grid, SpacingTrust, Warning};

/// nifti1_io.c: what is left of a quaternion's length below this is rounding, and the turn a half one.
const HALF_TURN: f64 = 1e-7;
/// nibabel: three times the rounding of 32-bit floats.
const QUATERNION_TOLERANCE: f64 = 3.0 * f32::EPSILON as f64;
/// Two geometries agree when no corner of the volume moves by more than this share of a voxel.
const SAME_PLACE_VOXELS: f64 = 0.1;
/// Axes of two geometries point the same way up to 60 degrees apart; one that is turned round is 180 off, another one 90.
const SAME_WAY_COSINE: f64 = 0.5;
/// Two spacings agree within this share.
const SAME_SPACING: f64 = 0.01;

/// A matrix in the file's own words: RAS+, columns per x, y, z step, and the origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ras {
    pub(super) columns: [[f64; 3]; 3],
    pub(super) origin: [f64; 3],
}

impl Ras {
    fn to_lps(self, mm: f64) -> Result<Affine, AffineError> {
        let turn = |v: [f64; 3]| [-v[0] * mm, -v[1] * mm, v[2] * mm];
        Affine::new(self.columns.map(turn), turn(self.origin))
    }

    /// The same matrix from ours, in mm.
    pub(super) fn from_lps(affine: &Affine) -> Self {
        let turn = |v: [f64; 3]| [-v[0], -v[1], v[2]];
        Self { columns: affine.columns().map(turn), origin: turn(affine.origin()) }
    }

    fn apply(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|r| self.origin[r] + (0..3).map(|c| self.columns[c][r] * index[c]).sum::<f64>())
    }

    fn spacing_xyz(&self) -> [f64; 3] {
        self.columns.map(|c| (c[0] * c[0] + c[1] * c[1] + c[2] * c[2]).sqrt())
    }

    /// Largest deviation of the axes from right angles, in degrees.
    fn tilt_degrees(&self) -> f64 {
        let length = self.spacing_xyz();
        let off = [(0, 1), (0, 2), (1, 2)].map(|(i, j)| {
            let dot: f64 = (0..3).map(|k| self.columns[i][k] * self.columns[j][k]).sum();
            (dot / (length[i] * length[j])).clamp(-1.0, 1.0).asin().abs().to_degrees()
        });
        off.into_iter().fold(0.0, f64::max)
    }

    /// Whether an axis of the array points elsewhere than the other form says: turned round, or along another axis.
    fn contradicts(&self, other: &Self) -> bool {
        let (a, b) = (self.spacing_xyz(), other.spacing_xyz());
        (0..3).any(|c| {
            let dot: f64 = (0..3).map(|r| self.columns[c][r] * other.columns[c][r]).sum();
            dot / (a[c] * b[c]) < SAME_WAY_COSINE
        })
    }

    fn is_identity(&self) -> bool {
        self.origin == [0.0; 3]
            && (0..3).all(|c| (0..3).all(|r| self.columns[c][r] == f64::from(u8::from(c == r))))
    }
}

/// A grid, and why its spacing cannot be trusted whatever the grey values are (`None`: it can).
pub(super) struct Placed {
    pub(super) grid: Grid,
    pub(super) doubt: Option<String>,
}

/// The grid a checked header describes. Its trust is left to the caller, who knows the grey values.
pub(super) fn place(header: &Checked, warnings: &mut Vec<Warning>) -> Result<Placed, ReadError> {
    let fields = &header.fields;
    let unit = unit_mm(fields.xyzt_units, warnings);
    let mm = unit.unwrap_or(1.0);
    let pixdim = pixdim_of(fields, mm)?;
    let qform = if fields.qform_code > 0 { Some(qform_of(fields, pixdim.is_some())) } else { None };
    let sform = (fields.sform_code > 0).then(|| sform_of(fields));
    let mut contradicted = false;
    let mut doubt = None;
    let (ras, source) = match (sform, qform) {
        (Some(s), q) => {
            contradicted = q.as_ref().is_some_and(|q| compare(&s, q, header.shape, warnings));
            (Some(s), "sform")
        }
        (None, Some(q)) => (q?, "qform"),
        (None, None) => (None, "none"),
    };
    let nothing_stated = unit.is_none() && pixdim.is_none_or(|p| p == [1.0; 3]);
    let (affine, spacing_xyz) = match ras {
        Some(ras) if nothing_stated && ras.is_identity() => {
            warnings.push(Warning::new(
                "invented_geometry",
                "the header holds the identity as affine and no unit, as programs write that know no geometry; \
                 orientation and spacing are taken as unknown",
            ));
            (None, None)
        }
        Some(ras) => {
            let affine = ras.to_lps(mm)?;
            if let (Some(p), "sform") = (pixdim, source) {
                let apart = compare_spacing(affine.spacing_mm(), p, warnings);
                doubt = (contradicted && apart).then(|| "the header's sform and qform disagree".to_owned());
            }
            let [z, y, x] = affine.spacing_mm();
            ((!contradicted).then_some(affine), Some([x, y, z]))
        }
        None if nothing_stated => (None, None),
        None => (None, pixdim),
    };
    if affine.is_none() && fields.sform_code <= 0 && fields.qform_code <= 0 {
        warnings.push(Warning::new(
            "no_orientation",
            "the header codes neither an sform nor a qform: orientation unknown",
        ));
    }
    if affine.is_some_and(|a| Grid { affine: Some(a), ..unknown(header.shape) }.axis_map().flip[0]) {
        warnings.push(Warning::new(
            "reversed_z",
            "the slices are stored from head to feet; they are read from feet to head",
        ));
    }
    let tilt = ras.filter(|_| affine.is_some()).map_or(0.0, |r| r.tilt_degrees());
    if tilt > TILT_DEGREES {
        warnings.push(tilted(tilt));
    }
    warnings.extend(affine.and_then(|a| oblique(&a, tilt)));
    let spacing_mm = spacing_xyz.map(|[x, y, z]| [z, y, x]);
    let doubt = match (affine, unit) {
        (None, _) if !contradicted => {
            Some("the header codes no affine, so its spacing may be a default".to_owned())
        }
        (_, None) => Some("the header names no unit of length".to_owned()),
        _ => doubt,
    };
    Ok(Placed { grid: Grid { spacing_mm, affine, ..unknown(header.shape) }, doubt })
}

fn unknown(shape: [usize; 3]) -> Grid {
    Grid { shape, spacing_mm: None, affine: None, trust: SpacingTrust::Trusted }
}

/// Millimetres per unit of length; `None` where the header does not name the unit.
fn unit_mm(xyzt_units: i32, warnings: &mut Vec<Warning>) -> Option<f64> {
    match xyzt_units & 7 {
        0 => None,
        1 => Some(1000.0),
        2 => Some(1.0),
        3 => Some(0.001),
        other => {
            warnings.push(Warning::new(
                "unknown_unit",
                format!("the unit of length has the unknown code {other}"),
            ));
            None
        }
    }
}

/// Spacing along x, y, z in mm; `None` for a two-dimensional file that says nothing about z.
fn pixdim_of(fields: &Fields, mm: f64) -> Result<Option<[f64; 3]>, ReadError> {
    let mut out = [0.0; 3];
    for (i, axis) in ['x', 'y', 'z'].into_iter().enumerate() {
        let found = fields.pixdim[i + 1] * mm;
        if !(found.is_finite() && found > 0.0) {
            if i == 2 && fields.dim[0] == 2 {
                return Ok(None);
            }
            return Err(ReadError::BadSpacing { axis, found });
        }
        out[i] = found;
    }
    Ok(Some(out))
}

fn sform_of(fields: &Fields) -> Ras {
    let rows = &fields.srow;
    Ras { columns: std::array::from_fn(|c| [rows[0][c], rows[1][c], rows[2][c]]), origin: rows.map(|r| r[3]) }
}

/// Method 2: a unit quaternion, the spacing, and a sign for the third axis. `None` without a spacing along z.
fn qform_of(fields: &Fields, has_spacing: bool) -> Result<Option<Ras>, ReadError> {
    let [b, c, d] = fields.quatern;
    let rest = 1.0 - (b * b + c * c + d * d);
    if rest.is_nan() || rest < -QUATERNION_TOLERANCE {
        return contradiction(format!("the qform's quaternion ({b}, {c}, {d}) is longer than 1"));
    }
    if !has_spacing {
        return Ok(None);
    }
    // A quaternion rounded to a little more than 1 is a half turn: nibabel rescales it by its length.
    let a = if rest < HALF_TURN { 0.0 } else { rest.sqrt() };
    let n = a * a + b * b + c * c + d * d;
    let s = 2.0 / n;
    let rotation = [
        [1.0 - s * (c * c + d * d), s * (b * c + a * d), s * (b * d - a * c)],
        [s * (b * c - a * d), 1.0 - s * (b * b + d * d), s * (c * d + a * b)],
        [s * (b * d + a * c), s * (c * d - a * b), 1.0 - s * (b * b + c * c)],
    ];
    let qfac = if fields.pixdim[0] == -1.0 { -1.0 } else { 1.0 };
    let steps = [fields.pixdim[1], fields.pixdim[2], fields.pixdim[3] * qfac];
    let columns = std::array::from_fn(|i| rotation[i].map(|v| v * steps[i]));
    Ok(Some(Ras { columns, origin: fields.qoffset }))
}

/// Says so where the two forms put the volume in different places. The sform is used, unless they contradict each other in
/// where the axes point, which is the answer: then nobody knows which of them is right, and readers differ.
fn compare(
    sform: &Ras,
    qform: &Result<Option<Ras>, ReadError>,
    shape: [usize; 3],
    warnings: &mut Vec<Warning>,
) -> bool {
    let voxel = sform.spacing_xyz().into_iter().fold(f64::INFINITY, f64::min);
    let far = match qform {
        Ok(None) => return false,
        Ok(Some(q)) if sform.contradicts(q) => {
            let words = |ras: &Ras| {
                ras.to_lps(1.0).map_or_else(|_| "none".to_owned(), |a| a.orientation().to_string())
            };
            warnings.push(Warning::new(
                "sform_qform_disagree",
                format!(
                    "the header's sform says that the axes run to {}, its qform to {}: which is right is not known, and no \
                     orientation is taken from it",
                    words(sform),
                    words(q)
                ),
            ));
            return true;
        }
        Ok(Some(q)) => {
            let [z, y, x] = shape.map(|n| (n - 1) as f64);
            (0..8u8)
                .map(|corner| {
                    let at = |bit: u8, n: f64| if corner & bit == 0 { 0.0 } else { n };
                    let index = [at(1, x), at(2, y), at(4, z)];
                    let (s, q) = (sform.apply(index), q.apply(index));
                    (0..3).map(|i| (s[i] - q[i]).powi(2)).sum::<f64>().sqrt()
                })
                .fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
        }
        Err(_) => f64::INFINITY,
    };
    if far > SAME_PLACE_VOXELS * voxel {
        let amount = if far.is_finite() { format!(" by up to {far:.3}") } else { String::new() };
        warnings.push(Warning::new(
            "sform_qform_disagree",
            format!(
                "the header's sform and qform disagree{amount} (in its unit of length); the sform is used"
            ),
        ));
    }
    false
}

/// Says so, and answers, whether the sform has other distances.
fn compare_spacing(affine_zyx: [f64; 3], pixdim_xyz: [f64; 3], warnings: &mut Vec<Warning>) -> bool {
    let [z, y, x] = affine_zyx;
    let apart = |(a, p): (&f64, &f64)| (a - p).abs() > SAME_SPACING * a.abs().max(p.abs());
    let disagree = [x, y, z].iter().zip(&pixdim_xyz).any(apart);
    if disagree {
        warnings.push(Warning::new(
            "spacing_disagrees",
            format!(
                "the header's pixdim ({:.4}, {:.4}, {:.4} mm) and its sform ({x:.4}, {y:.4}, {z:.4} mm) disagree; \
                 the sform is used",
                pixdim_xyz[0], pixdim_xyz[1], pixdim_xyz[2]
            ),
        ));
    }
    disagree
}

/// The quaternion `(b, c, d)` and qfac of an affine without shear; `None` where there is shear.
///
/// # Source
/// `nifti_mat44_to_quatern` of `nifti1_io.c`.
pub(super) fn quaternion(ras: &Ras) -> Option<([f64; 3], f64)> {
    /// Largest cosine between two axes that still counts as a right angle in 32-bit floats.
    const RIGHT_ANGLE: f64 = 1e-5;
    let lengths = ras.spacing_xyz();
    let mut r: [[f64; 3]; 3] = std::array::from_fn(|c| ras.columns[c].map(|v| v / lengths[c]));
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        if (0..3).map(|k| r[i][k] * r[j][k]).sum::<f64>().abs() > RIGHT_ANGLE {
            return None;
        }
    }
    let det = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
        - r[1][0] * (r[0][1] * r[2][2] - r[0][2] * r[2][1])
        + r[2][0] * (r[0][1] * r[1][2] - r[0][2] * r[1][1]);
    let qfac = if det < 0.0 { -1.0 } else { 1.0 };
    r[2] = r[2].map(|v| v * qfac);
    // m(row, column), as in the source.
    let m = |row: usize, column: usize| r[column][row];
    let trace = m(0, 0) + m(1, 1) + m(2, 2) + 1.0;
    let (a, mut q);
    if trace > 0.5 {
        a = 0.5 * trace.sqrt();
        q = [m(2, 1) - m(1, 2), m(0, 2) - m(2, 0), m(1, 0) - m(0, 1)].map(|v| 0.25 * v / a);
    } else {
        let xd = 1.0 + m(0, 0) - (m(1, 1) + m(2, 2));
        let yd = 1.0 + m(1, 1) - (m(0, 0) + m(2, 2));
        let zd = 1.0 + m(2, 2) - (m(0, 0) + m(1, 1));
        if xd > 1.0 {
            let b = 0.5 * xd.sqrt();
            q = [b, 0.25 * (m(0, 1) + m(1, 0)) / b, 0.25 * (m(0, 2) + m(2, 0)) / b];
            a = 0.25 * (m(2, 1) - m(1, 2)) / b;
        } else if yd > 1.0 {
            let c = 0.5 * yd.sqrt();
            q = [0.25 * (m(0, 1) + m(1, 0)) / c, c, 0.25 * (m(1, 2) + m(2, 1)) / c];
            a = 0.25 * (m(0, 2) - m(2, 0)) / c;
        } else {
            let d = 0.5 * zd.sqrt();
            q = [0.25 * (m(0, 2) + m(2, 0)) / d, 0.25 * (m(1, 2) + m(2, 1)) / d, d];
            a = 0.25 * (m(1, 0) - m(0, 1)) / d;
        }
        if a < 0.0 {
            q = q.map(|v| -v);
        }
    }
    Some((q, qfac))
}
