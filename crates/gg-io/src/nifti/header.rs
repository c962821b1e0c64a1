//! The header of a NIfTI file, checked before anything believes it.
//!
//! # Source
//! `nifti1.h` and `nifti2.h` (see `fields`), and nibabel 5.3's `Nifti1Header` for what is tolerated.

use super::fields::{Fields, family};
use crate::ReadError;

/// The stored type of one voxel: real scalars only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl StoredType {
    fn from_code(code: i16) -> Result<Self, ReadError> {
        Ok(match code {
            2 => Self::U8,
            256 => Self::I8,
            512 => Self::U16,
            4 => Self::I16,
            768 => Self::U32,
            8 => Self::I32,
            1280 => Self::U64,
            1024 => Self::I64,
            16 => Self::F32,
            64 => Self::F64,
            other => {
                let name = match other {
                    0 => "unknown (code 0)",
                    1 => "1-bit (binary)",
                    32 => "complex64 (complex numbers)",
                    128 => "RGB24 (colour)",
                    1536 => "float128",
                    1792 => "complex128 (complex numbers)",
                    2048 => "complex256 (complex numbers)",
                    2304 => "RGBA32 (colour)",
                    _ => return Err(ReadError::NiftiType(format!("unknown (code {other})"))),
                };
                return Err(ReadError::NiftiType(name.to_owned()));
            }
        })
    }

    /// Bytes of one voxel.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The usual name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::U32 => "uint32",
            Self::I32 => "int32",
            Self::U64 => "uint64",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// What a header says about the voxels, after the check.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// All fields, for the geometry.
    pub(super) fields: Fields,
    /// `[z, y, x]`.
    pub(crate) shape: [usize; 3],
    /// Type of a stored voxel.
    pub(crate) stored: StoredType,
    /// First byte of the voxels.
    pub(crate) offset: u64,
    /// Slope and intercept; `None` where the stored values are the values.
    pub(crate) scaling: Option<(f64, f64)>,
}

impl Checked {
    /// Number of voxels. The check has made sure that it fits.
    pub(crate) fn voxels(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// Bytes of voxel data that must follow.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.voxels() as u64 * self.stored.bytes() as u64
    }
}

/// Whether a file that starts with these bytes is of the NIfTI family (NIfTI-1, NIfTI-2 or Analyze).
pub(crate) fn is_nifti_header(start: &[u8]) -> bool {
    family(start).is_some()
}

/// Checks a header.
///
/// # Errors
/// As [`Fields::parse`]; types that are no real scalars by name, and every field that cannot be true.
pub(super) fn check(bytes: &[u8], max_voxels: usize) -> Result<Checked, ReadError> {
    let fields = Fields::parse(bytes)?;
    let shape = shape_of(&fields)?;
    let stored = StoredType::from_code(fields.datatype)?;
    if usize::try_from(fields.bitpix) != Ok(stored.bytes() * 8) {
        return contradiction(format!("bitpix is {} for data of type {}", fields.bitpix, stored.name()));
    }
    let claimed = shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    if claimed > max_voxels as u128 {
        return Err(ReadError::TooManyVoxels { claimed, limit: max_voxels });
    }
    let (offset, first) = (fields.vox_offset, fields.edition.first_voxel());
    // 2^40 is far beyond any extension and keeps the sum with the data's length exact.
    if offset.fract() != 0.0 || !(first as f64..=(1u64 << 40) as f64).contains(&offset) {
        return contradiction(format!(
            "vox_offset is {offset}; in one file it is a whole number from {first} to 2^40"
        ));
    }
    let scaling = scaling_of(&fields)?;
    Ok(Checked { shape, stored, offset: offset as u64, scaling, fields })
}

fn shape_of(fields: &Fields) -> Result<[usize; 3], ReadError> {
    let (dim, largest) = (&fields.dim, fields.edition.largest_dim());
    let used = match dim[0] {
        n @ 2..=7 => n as usize,
        n => return contradiction(format!("dim[0] is {n}; a volume has 3 dimensions, a slice 2")),
    };
    let mut sizes = [1usize; 8];
    for (axis, &n) in dim.iter().enumerate().skip(1).take(used) {
        sizes[axis] = match usize::try_from(n) {
            Ok(size @ 1..) if n <= largest => size,
            _ => return contradiction(format!("dim[{axis}] is {n}; it must be from 1 to {largest}")),
        };
    }
    let volumes = sizes[4..].iter().fold(1usize, |product, &n| product.saturating_mul(n));
    if volumes > 1 {
        return Err(ReadError::SeveralVolumes(volumes));
    }
    Ok([sizes[3], sizes[2], sizes[1]])
}

/// nibabel's rule: a slope of 0 or one that is not finite means that nothing is scaled.
fn scaling_of(fields: &Fields) -> Result<Option<(f64, f64)>, ReadError> {
    let (slope, inter) = (fields.scl_slope, fields.scl_inter);
    if slope == 0.0 || !slope.is_finite() {
        return Ok(None);
    }
    if !inter.is_finite() {
        return contradiction(format!("scl_slope is {slope}, but scl_inter is {inter}"));
    }
    Ok((slope != 1.0 || inter != 0.0).then_some((slope, inter)))
}

pub(super) fn contradiction<T>(what: String) -> Result<T, ReadError> {
    Err(ReadError::HeaderContradiction(what))
}
