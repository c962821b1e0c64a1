//! The 348 bytes at the start of a NIfTI-1 file, checked before anything believes them.
//!
//! # Source
//! `nifti1.h`, 2 October 2007 (Cox, Jenkinson and others), and nibabel 5.3's `Nifti1Header` for what is tolerated.

use crate::ReadError;
use nifti::{Endianness, NiftiHeader};

/// Length of the header, and the value of its first field.
pub(super) const HEADER_BYTES: usize = 348;
/// The first byte of voxel data in one file: the header and four bytes that announce extensions.
pub(super) const FIRST_VOXEL: u64 = 352;
/// The first field of a NIfTI-2 header.
const NIFTI2_HEADER_BYTES: i32 = 540;
/// Where the magic string lies in NIfTI-1.
const MAGIC_AT: usize = 344;
/// Dimensions are 16-bit signed numbers in NIfTI-1.
const LARGEST_DIM: u16 = 32_767;

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
    pub(crate) fields: NiftiHeader,
    /// `[z, y, x]`.
    pub(crate) shape: [usize; 3],
    /// Type of a stored voxel.
    pub(crate) stored: StoredType,
    /// Whether numbers are stored with the largest byte first.
    pub(crate) big_endian: bool,
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
/// The other members of the family and types that are no real scalars by name, and every field that cannot be true.
pub(super) fn check(bytes: &[u8], max_voxels: usize) -> Result<Checked, ReadError> {
    let Some((size, big_endian)) = family(bytes) else {
        return Err(ReadError::NotNifti(
            "the first four bytes are not the length of a NIfTI header (348)".to_owned(),
        ));
    };
    if size == NIFTI2_HEADER_BYTES {
        return Err(ReadError::NiftiFlavour("NIfTI-2"));
    }
    if bytes.len() < HEADER_BYTES {
        return Err(ReadError::NotNifti(format!("{} bytes, and the header alone has 348", bytes.len())));
    }
    match &bytes[MAGIC_AT..HEADER_BYTES] {
        b"n+1\0" => {}
        b"ni1\0" => return Err(ReadError::NiftiFlavour("one half of a NIfTI pair (.hdr and .img)")),
        _ => return Err(ReadError::NiftiFlavour("Analyze 7.5")),
    }
    let fields = NiftiHeader::from_reader(bytes).map_err(|e| ReadError::NotNifti(e.to_string()))?;
    if (fields.endianness == Endianness::Big) != big_endian {
        return contradiction(format!(
            "dim[0] is {}, outside 1 to 7, in the byte order of the rest",
            fields.dim[0]
        ));
    }
    let shape = shape_of(&fields.dim)?;
    let stored = StoredType::from_code(fields.datatype)?;
    if usize::try_from(fields.bitpix) != Ok(stored.bytes() * 8) {
        return contradiction(format!("bitpix is {} for data of type {}", fields.bitpix, stored.name()));
    }
    let claimed = shape.iter().map(|&n| n as u128).product::<u128>();
    if claimed > max_voxels as u128 {
        return Err(ReadError::TooManyVoxels { claimed, limit: max_voxels });
    }
    let offset = f64::from(fields.vox_offset);
    // 2^40 is far beyond any extension and keeps the sum with the data's length exact.
    if offset.fract() != 0.0 || !(FIRST_VOXEL as f64..=(1u64 << 40) as f64).contains(&offset) {
        return contradiction(format!(
            "vox_offset is {offset}; in one file it is a whole number from {FIRST_VOXEL}"
        ));
    }
    let scaling = scaling_of(&fields)?;
    Ok(Checked { shape, stored, big_endian, offset: offset as u64, scaling, fields })
}

/// The first field (348 or 540) and whether it is stored with the largest byte first.
fn family(start: &[u8]) -> Option<(i32, bool)> {
    let first: [u8; 4] = start.get(..4)?.try_into().ok()?;
    let known = |size: i32| size == HEADER_BYTES as i32 || size == NIFTI2_HEADER_BYTES;
    let (little, big) = (i32::from_le_bytes(first), i32::from_be_bytes(first));
    if known(little) {
        Some((little, false))
    } else if known(big) {
        Some((big, true))
    } else {
        None
    }
}

fn shape_of(dim: &[u16; 8]) -> Result<[usize; 3], ReadError> {
    let used = usize::from(dim[0]);
    if !(2..=7).contains(&used) {
        return contradiction(format!("dim[0] is {used}; a volume has 3 dimensions, a slice 2"));
    }
    for (axis, &n) in dim.iter().enumerate().skip(1).take(used) {
        if n == 0 || n > LARGEST_DIM {
            // Stored as a signed number: show what the writer meant.
            return contradiction(format!("dim[{axis}] is {}; it must be from 1 to {LARGEST_DIM}", n as i16));
        }
    }
    let volumes: usize = dim.iter().skip(4).take(used.saturating_sub(3)).map(|&n| usize::from(n)).product();
    if volumes > 1 {
        return Err(ReadError::SeveralVolumes(volumes));
    }
    let slices = if used >= 3 { usize::from(dim[3]) } else { 1 };
    Ok([slices, usize::from(dim[2]), usize::from(dim[1])])
}

/// nibabel's rule: a slope of 0 or one that is not finite means that nothing is scaled.
fn scaling_of(fields: &NiftiHeader) -> Result<Option<(f64, f64)>, ReadError> {
    let (slope, inter) = (f64::from(fields.scl_slope), f64::from(fields.scl_inter));
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
